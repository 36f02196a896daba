"""Viewers of volumes and slices, and the table of lesions."""
