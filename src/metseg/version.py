"""The version of metseg, in a separate file so that low layers can use it without importing the package."""

__version__ = "0.1.0"
