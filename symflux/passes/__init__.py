"""Passes over graphs: named laws, and the list that applies them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pipeline import PASSES, Options, Pass, optimize

__all__ = ["PASSES", "Options", "Pass", "optimize"]


def __getattr__(name: str) -> Any:
    """The pipeline is loaded by whoever runs it: derivatives need a few of the laws only."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import pipeline

    return getattr(pipeline, name)
