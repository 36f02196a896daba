"""The report of a patient over time: what changed first, each changed lesion at both dates side by side."""
