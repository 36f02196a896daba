"""Training: losses, the Lightning module, runs that can be resumed and end in a bundle."""
