"""Anatomy of the phantom: tissues, head, vessels, deformation."""
