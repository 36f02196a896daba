"""Follow-ups of patients over finished studies, computed from stored results. Uses no torch."""
