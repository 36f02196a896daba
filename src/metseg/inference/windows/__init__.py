"""Sliding windows: grid, aggregation, test-time augmentation and memory."""
