"""Initial and trained weights: where they come from, fixed normalisation, pruning."""
