"""Training: losses, the Lightning module, and resumable runs that produce a bundle."""
