"""Initial and trained weights: provenance, fixed normalisation, pruning."""
