"""Evaluation of files: match and read masks, score them in parallel, and write tables."""
