"""Simulated metastases in real scans: host scans, insertion of lesions, data sets."""
