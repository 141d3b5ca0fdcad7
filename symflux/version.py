"""The version of SymFlux."""

__version__ = "0.1.0"
