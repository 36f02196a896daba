"""Simulated data sets on disk."""
