"""Simulated scanner: grids, signal, motion."""
