"""Reports: what was found out, as one page that can be opened anywhere and as figures for a paper."""
