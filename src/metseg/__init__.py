"""metseg finds and outlines brain metastases and gliomas in MRI. Research use only."""

__version__ = "0.1.0"
