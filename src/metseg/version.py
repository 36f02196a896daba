"""The version of metseg; it has a file of its own so that low layers can name it without importing the package."""

__version__ = "0.1.0"
