"""Optimisers: from gradients to better params."""

from ..boundary import missing_name
from ..frames import shorten
from .optimisers import Adam, AdamW, Descent, Momentum, Optimizer, State

__all__ = ["Adam", "AdamW", "Descent", "Momentum", "Optimizer", "State"]


#: what other libraries call it
_HABITS = {
    **dict.fromkeys(("SGD", "sgd", "GradientDescent", "gradient_descent"),
                    "sf.optim.Descent(rate)\nsf.optim.Momentum(rate, 0.9)"),
    **dict.fromkeys(("adam", "ADAM"), "sf.optim.Adam(rate)"),
    **dict.fromkeys(("adamw", "ADAMW"), "sf.optim.AdamW(rate)"),
    "Nesterov": "sf.optim.Momentum(rate, 0.9, nesterov=True)",
}  # fmt: skip


def __getattr__(name: str) -> object:
    try:
        raise missing_name("symflux.optim", name, __all__, _HABITS, "sf.optim")
    except AttributeError as error:
        shorten(error)
        raise
