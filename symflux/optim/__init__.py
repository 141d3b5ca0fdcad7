"""Optimisers: from gradients to better params."""

from .optimisers import Adam, AdamW, Descent, Momentum, Optimizer, State

__all__ = ["Adam", "AdamW", "Descent", "Momentum", "Optimizer", "State"]


def __getattr__(name: str) -> object:
    hint = "; write sf.optim.Descent(rate)" if name.lower() in ("sgd", "gradientdescent") else ""
    raise AttributeError(f"module 'symflux.optim' has no attribute {name!r}{hint}")
