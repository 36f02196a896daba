"""Summaries over patients: confidence intervals, paired tests, calibration, agreement."""
