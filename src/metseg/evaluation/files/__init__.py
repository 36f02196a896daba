"""Masks and scores as files: matched, read, scored in parallel, written as tables."""
