"""Passes over graphs: named laws, and the list that applies them."""

from .pipeline import PASSES, Options, Pass, optimize

__all__ = ["PASSES", "Options", "Pass", "optimize"]
