"""Simulated metastases in real scans: the host scans, the lesions put into them, data sets of both."""
