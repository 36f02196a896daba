"""Volumes: NIfTI files, studies of several sequences, brain masks."""
