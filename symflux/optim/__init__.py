"""Optimisers: from gradients to better params."""

from .optimisers import Adam, AdamW, Descent, Momentum, Optimizer, State

__all__ = ["Adam", "AdamW", "Descent", "Momentum", "Optimizer", "State"]
