"""The version of the package, which all of it may import."""

__version__ = "0.2.0"
