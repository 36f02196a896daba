"""One preprocessing step per file; the table of them is `metseg.preprocess.STEPS`."""
