"""Formats and layouts in and out, and splits of patients."""
