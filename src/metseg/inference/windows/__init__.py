"""Sliding windows: their grid, their sum, mirror images, and the memory that they need."""
