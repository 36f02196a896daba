"""Lesion-wise scoring: matching, detection rates, threshold sweeps, operating points."""
