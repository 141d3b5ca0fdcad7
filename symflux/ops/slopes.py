"""Derivatives that lose digits, or overflow on the way, where they are written with plain ops.

1 - tanh(x)² has no digits left where tanh rounds to 1, and the derivative of (1 - x)(1 + x) cancels
near 0. Each of these ops is one such derivative, accurate wherever it is representable, and states
its own, which is as accurate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.op import Op, lookup
from .table import pointwise

__all__ = [
    "arccosh_slope", "arcsin_slope", "arcsinh_slope", "arctan_slope", "arctanh_slope", "by_scalars",
    "gaussian", "sigmoid_slope", "tanh_slope",
]  # fmt: skip


def _half_tanh(x: Any) -> Any:
    return lookup("tanh")(x * 0.5)


# --- in terms of the function's value -------------------------------------------------------------


def _oracle_sigmoid_slope(s: Any, x: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.where(x > 2, s * s * np.exp(-x), s * (1 - s)).astype(x.dtype)


def _oracle_tanh_slope(t: Any, x: Any) -> Any:
    with np.errstate(all="ignore"):
        tails = (1 + abs(t)) ** 2 * np.exp(-2 * abs(x))
        return np.where(abs(x) > 1, tails, (1 - t) * (1 + t)).astype(x.dtype)


# the first operand is a function of the second: the derivative by that is the whole one
sigmoid_slope: Op = pointwise(
    "sigmoid_slope",
    partials=lambda out, s, x: (None, -out * _half_tanh(x)),
    oracle=_oracle_sigmoid_slope,
    doc="The derivative of sigmoid at the second operand; the first is the sigmoid itself.",
)
tanh_slope: Op = pointwise(
    "tanh_slope",
    partials=lambda out, t, x: (None, -2 * (t * out)),
    oracle=_oracle_tanh_slope,
    doc="The derivative of tanh at the second operand; the first is the tanh itself.",
)

# --- of inverse functions -------------------------------------------------------------------------


def by_scalars(
    name: str, f: Callable[..., Any], partials: Callable[..., tuple[Any, ...]], doc: str
) -> Op:
    """An op whose meaning is a formula of scalars: ``f(let, *operands, **attributes)``, where
    ``let(name, *operands)`` applies a scalar. Halves are computed in single precision."""

    def compute(xs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        arrays = [np.asarray(x) for x in xs]
        with np.errstate(all="ignore"):
            wide = [x.astype(np.float64) for x in arrays]
            made = f(lambda scalar, *values: _NUMPY[scalar](*values), *wide, **attrs)
            return np.asarray(made).astype(arrays[0].dtype)

    def lower(b: Any, *xs: Any, **attrs: Any) -> Any:
        if xs[0].dtype == "f16":
            return b.cast(f(b.let, *[b.cast(x, "f32") for x in xs], **attrs), "f16")
        return f(b.let, *xs, **attrs)

    # how many operands there are is read off the oracle
    oracles: tuple[Callable[..., Any], ...] = (
        lambda x, **attrs: compute((x,), attrs),
        lambda x, y, **attrs: compute((x, y), attrs),
    )
    oracle = oracles[f.__code__.co_argcount - 2]
    return pointwise(name, partials=partials, oracle=oracle, lower=lower, doc=doc)


_NUMPY: dict[str, Callable[..., Any]] = {
    "select": np.where, "abs": np.abs, "gt": np.greater, "sqrt": np.sqrt, "exp": np.exp,
    "lt": np.less, "fma": lambda a, b, c: np.float64(np.longdouble(a) * b + c), "eq": np.equal,
    "maximum": np.maximum, "or": np.bitwise_or, "and": np.bitwise_and, "log1p": np.log1p,
}  # fmt: skip

#: from here on 1 is nothing beside x²; its square overflows in no dtype
_LARGE = 2.0**30


def _of_circle(let: Callable[..., Any], x: Any) -> Any:
    return 1.0 / let("sqrt", (1.0 - x) * (1.0 + x))


def _of_hyperbola(least: float) -> Callable[..., Any]:
    """1 / sqrt(x² ± 1), which is 1 / |x| where x is large."""

    def f(let: Callable[..., Any], x: Any) -> Any:
        size = let("abs", x)
        square = x * x + 1.0 if least == 0 else (x - 1.0) * (x + 1.0)
        return 1.0 / let("select", let("gt", size, _LARGE), size, let("sqrt", square))

    return f


arcsin_slope: Op = by_scalars(
    "arcsin_slope",
    _of_circle,
    partials=lambda out, x: ((x * out) * out * out,),
    doc="1 / sqrt(1 - x²).",
)
arcsinh_slope: Op = by_scalars(
    "arcsinh_slope",
    _of_hyperbola(0),
    partials=lambda out, x: (-(x * out) * out * out,),
    doc="1 / sqrt(x² + 1).",
)
arccosh_slope: Op = by_scalars(
    "arccosh_slope",
    _of_hyperbola(1),
    partials=lambda out, x: (-(x * out) * out * out,),
    doc="1 / sqrt(x² - 1).",
)
arctan_slope: Op = by_scalars(
    "arctan_slope",
    lambda let, x: 1.0 / (x * x + 1.0),
    partials=lambda out, x: ((x * out) * out * -2,),
    doc="1 / (1 + x²).",
)
arctanh_slope: Op = by_scalars(
    "arctanh_slope",
    lambda let, x: 1.0 / ((1.0 - x) * (1.0 + x)),
    partials=lambda out, x: ((x * out) * out * 2,),
    doc="1 / (1 - x²).",
)

# --- of the error function ------------------------------------------------------------------------


def _gaussian(let: Callable[..., Any], x: Any) -> Any:
    """exp(-h) (1 - l) with x² = h + l, as the rounding error of x² is multiplied by x²."""
    high = x * x
    low = let("fma", x, x, -high)
    value = let("exp", -high)
    return value - value * let("select", let("lt", high, 800.0), low, 0.0)


gaussian: Op = by_scalars(
    "gaussian",
    _gaussian,
    partials=lambda out, x: (x * out * -2,),
    doc="exp(-x²).",
)
