"""Metastases of the phantom: shapes, oedema, growth, exact truth."""
