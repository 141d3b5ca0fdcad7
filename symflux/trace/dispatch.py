"""The one table from NumPy functions to their implementations on traced arrays.

``Array.__array_ufunc__``, ``Array.__array_function__``, the methods of ``Array`` and the namespace
``symflux.numpy`` all read it. ``trace/ufuncs.py`` and the files of ``symflux/numpy`` fill it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import UnsupportedOperation
from ..ir.origin import user_frame
from .equals import SCIPY, public_home

__all__ = [
    "BY_NAME", "NAMESPACE", "PLAIN", "TABLE", "function_name", "implementation", "implements",
    "public_name", "unsupported",
]  # fmt: skip

#: NumPy function or ufunc -> implementation with the same signature
TABLE: dict[Any, Callable[..., Any]] = {}
#: the same by public name; also what scipy's ufuncs (erf, expit ...) are found by
BY_NAME: dict[str, Callable[..., Any]] = {}
#: name -> what computes the function for plain arrays: NumPy's own, where it has one
PLAIN: dict[str, Callable[..., Any]] = {}
#: the module that ``Array.__array_namespace__`` returns; ``symflux.numpy`` enters itself
NAMESPACE: list[Any] = [None]

_SHAPE = "the shape of the result would depend on the values"
_PLAIN = "a plain array cannot be filled with traced values"
_MEMORY = "a traced value has no elements in memory yet"
_OUTSIDE = "f(x, y)              # y computed by {} outside of the traced function"

#: name -> (what to write instead, why the function itself cannot be recorded)
_INSTEAD = {
    **dict.fromkeys(
        ("nonzero", "argwhere", "flatnonzero", "compress", "extract"),
        ("np.where(mask, x, 0)", _SHAPE),
    ),
    **dict.fromkeys(("unique", "union1d", "intersect1d", "setdiff1d"), (_OUTSIDE, _SHAPE)),
    "delete": ("np.concatenate([x[:i], x[i + 1 :]])", ""),
    **dict.fromkeys(
        ("array_str", "array_repr", "array2string", "save", "savez", "savetxt", "may_share_memory",
         "shares_memory"),
        ("the same with the result, outside of the traced function", _MEMORY),
    ),
    "sort": (_OUTSIDE, ""),
    "argsort": (_OUTSIDE, ""),
    "array_equal": ("np.all(a == b)", ""),
    "allclose": ("np.all(np.isclose(a, b))", ""),
    "nanmax": ("np.max(np.where(np.isnan(x), -np.inf, x))", ""),
    "nanmin": ("np.min(np.where(np.isnan(x), np.inf, x))", ""),
    "nanmean": ("np.nansum(x) / np.sum(~np.isnan(x))", ""),
    "nanargmax": ("np.argmax(np.where(np.isnan(x), -np.inf, x))", ""),
    "nanargmin": ("np.argmin(np.where(np.isnan(x), np.inf, x))", ""),
    "nancumsum": ("np.cumsum(np.where(np.isnan(x), 0, x))", ""),
    "nancumprod": ("np.cumprod(np.where(np.isnan(x), 1, x))", ""),
    "nanprod": ("np.prod(np.where(np.isnan(x), 1, x))", ""),
    "nanstd": ("np.std(x, where=~np.isnan(x))", ""),
    "nanvar": ("np.var(x, where=~np.isnan(x))", ""),
    "bincount": ("np.sum(i[:, None] == np.arange(n), axis=0)", ""),
    "block": ("np.concatenate([np.concatenate(row, axis=1) for row in rows])", ""),
    "correlate": ("np.stack([x[i : i + n] for i in range(k)]).T @ kernel", ""),
    "insert": ("np.concatenate([x[:i], y, x[i:]])", ""),
    "isin": ("np.any(x[..., None] == values, axis=-1)", ""),
    "piecewise": ("np.where(mask, f(x), g(x))", ""),
    "resize": ("np.tile(x, count)[:n]", ""),
    "searchsorted": ("np.sum(edges < x[..., None], axis=-1)", ""),
    "digitize": ("np.sum(edges <= x[..., None], axis=-1)", ""),
    **dict.fromkeys(
        ("trapezoid", "trapz"), ("np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2)", "")
    ),
    "vander": ("x[:, None] ** np.arange(n)[::-1]", ""),
    "cbrt": ("np.sign(x) * np.abs(x) ** (1 / 3)", ""),
    "gradient": ("np.diff(x) / dx", ""),
    "polyval": ("sum(c * x**i for i, c in enumerate(reversed(p)))", ""),
    "convolve": ("np.stack([x[i : i + n] for i in range(k)]).T @ kernel[::-1]", ""),
}  # fmt: skip


def numpys(*names: str) -> list[Any]:
    """The functions of these names that the installed NumPy has."""
    return [getattr(np, name) for name in names if hasattr(np, name)]


def public_name(function: Any) -> str:
    """The name of a NumPy function among all; with its module where ``np`` has another function of
    that name: ``np.linalg.trace`` has other axes than ``np.trace``."""
    name: str = function.__name__
    module = str(getattr(function, "__module__", None) or "")
    if module.endswith("linalg") and getattr(np, name, function) is not function:
        return f"linalg.{name}"
    return name


def implements(
    *functions: Any, name: str = "", plain: Callable[..., Any] | None = None
) -> Callable[[Callable[..., Any]], Any]:
    """Enter an implementation for NumPy functions, or for a name that NumPy does not have.

    Args:
        functions: of NumPy; they are also what computes the result for plain arrays.
        name: for functions that NumPy does not have; ``plain`` computes them for plain arrays.
    """

    def enter(implementation: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            TABLE[function] = implementation
            public = public_name(function)
            BY_NAME[public] = implementation
            PLAIN[public] = function
        if name:
            BY_NAME[name] = implementation
            PLAIN.setdefault(name, plain or implementation)
        return implementation

    return enter


def implementation(function: Any) -> Callable[..., Any] | None:
    """What records ``function``, if anything does."""
    found = TABLE.get(function)
    if found is None and public_home(function) == "scipy.special":
        found = BY_NAME.get(function.__name__)
    return found


def function_name(function: Any) -> str:
    """The name that a user knows it by: ``np.linalg.inv``."""
    module = str(getattr(function, "__module__", None) or public_home(function) or "numpy")
    name = getattr(function, "__name__", str(function))
    return f"{module.replace('numpy', 'np', 1)}.{name}"


def unsupported(function: Any, why: str = "", right: str = "") -> UnsupportedOperation:
    """The error for a function that graphs do not record, with one that they do in its place."""
    name = getattr(function, "__name__", str(function))
    if not right and function_name(function).startswith("scipy."):
        right = SCIPY.get(name, "")
    elif not right:
        right, reason = _INSTEAD.get(name, ("", ""))
        why = why or reason
    if not right:
        right = _OUTSIDE
    right = right.replace("{}", function_name(function))
    return UnsupportedOperation(
        f"{function_name(function)} cannot be recorded",
        place=user_frame(),
        why=why or "symflux has no operation for it so far",
        right=right,
    )
