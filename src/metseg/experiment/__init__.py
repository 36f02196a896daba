"""Experiments that drive several runs, and tools that prepare or combine them."""
