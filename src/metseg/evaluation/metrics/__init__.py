"""The metrics: overlap, surface distances, border NSD, and the table of them."""
