"""Summarise a data set before training."""
