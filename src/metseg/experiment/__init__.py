"""Experiments that drive many runs and end in a report."""
