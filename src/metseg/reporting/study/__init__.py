"""The report of one study, as PDF and HTML from one data model."""
