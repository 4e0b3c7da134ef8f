"""The version of the package, which all of it may import."""

__version__ = "0.1.0"
