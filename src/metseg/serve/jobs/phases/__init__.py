"""The phases of a study, from the upload to the report."""
