"""Functions of two numbers whose derivatives keep their digits: hypot, logaddexp, powers.

Written with plain ops, the derivatives of sqrt(x² + y²) cancel where one leg is short, those of
log(exp(x) + exp(y)) lose what rounding took from x - y, and those of x^y what it took from y - 1.
Here the scale and the difference stay inside of the scalars, and each derivative is an op that
states its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.node import Node, constant
from ..ir.op import Op, lookup
from .slopes import by_scalars
from .table import pointwise

__all__ = [
    "arctan2_slope", "hypot", "hypot_slope", "logaddexp", "logaddexp_slope", "power_less",
    "power_less_partials",
]  # fmt: skip

Let = Callable[..., Any]

# --- legs and hypotenuse --------------------------------------------------------------------------


def _scaled(let: Let, x: Any, y: Any) -> tuple[Any, Any, Any, Any]:
    """(the scale, x and y by it, whether one is infinite); the longer leg is 1 unless it is 0."""
    first, second = let("abs", x), let("abs", y)
    longer = let("maximum", first, second)
    usable = let("and", let("gt", longer, 0.0), let("lt", longer, math.inf))
    scale = let("select", usable, longer, 1.0)
    infinite = let("or", let("eq", first, math.inf), let("eq", second, math.inf))
    return scale, x / scale, y / scale, infinite


def _hypot(let: Let, x: Any, y: Any) -> Any:
    scale, u, v, infinite = _scaled(let, x, y)
    return let("select", infinite, math.inf, let("sqrt", u * u + v * v) * scale)


def _hypot_slope(let: Let, x: Any, y: Any) -> Any:
    _, u, v, infinite = _scaled(let, x, y)
    root = let("maximum", let("sqrt", u * u + v * v), 1.0)  # below 1 at the origin only
    return let("select", infinite, 0.0, u / root)


def _hypot_slope_partials(out: Node, x: Node, y: Node) -> tuple[Node, Node]:
    """y² / r³ and -x y / r³, by sine and cosine; 0 at the origin."""
    r, sine = hypot(x, y), hypot_slope(y, x)
    origin = lookup("eq")(r, constant(0, r.dtype))
    bend = sine / lookup("where")(origin, constant(1, r.dtype), r)
    return sine * bend, -out * bend


hypot: Op = by_scalars(
    "hypot",
    _hypot,
    partials=lambda out, x, y: (hypot_slope(x, y), hypot_slope(y, x)),
    doc="sqrt(x² + y²), without overflow; its derivative at the origin counts as 0.",
)
hypot_slope: Op = by_scalars(
    "hypot_slope",
    _hypot_slope,
    partials=_hypot_slope_partials,
    doc="x / sqrt(x² + y²), without overflow; 0 at the origin.",
)


def _arctan2_slope(let: Let, x: Any, y: Any) -> Any:
    scale = let("maximum", let("abs", x), let("abs", y))
    u, v = x / scale, y / scale
    return u / ((u * u + v * v) * scale)


def _arctan2_slope_partials(out: Node, x: Node, y: Node) -> tuple[Node, Node]:
    """(y - x) (y + x) / r⁴ and -2 x y / r⁴, by a scale that cancels: no derivative flows through
    it."""
    size = lookup("abs")
    scale = lookup("stop_gradient")(lookup("maximum")(size(x), size(y)))
    u, v = x / scale, y / scale
    divisor = (u * u + v * v) * scale
    by_x = ((y - x) / scale / divisor) * ((y + x) / scale / divisor)
    return by_x, -2 * (out * arctan2_slope(y, x))


arctan2_slope: Op = by_scalars(
    "arctan2_slope",
    _arctan2_slope,
    partials=_arctan2_slope_partials,
    doc="x / (x² + y²), without overflow: the derivative of arctan2(y, x) by y; nan at the origin.",
)

# --- sums of exponentials -------------------------------------------------------------------------


def _terms(let: Let, x: Any, y: Any) -> tuple[Any, Any]:
    """(x - y, the smaller of exp(x) and exp(y) by the larger); equal infinities are no distance
    apart. What rounding takes from x - y goes into the exponential."""
    gap = let("select", let("eq", x, y), 0.0, x - y)
    back = gap - x
    low = (x - (gap - back)) - (y + back)  # exact: Knuth's two-sum
    low = let("select", let("lt", let("abs", low), math.inf), low, 0.0)  # nan for infinities
    low = let("select", let("lt", gap, 0.0), low, -low)
    small = let("exp", -let("abs", gap))
    return gap, let("fma", small, low, small)


def _logaddexp(let: Let, x: Any, y: Any) -> Any:
    return let("maximum", x, y) + let("log1p", _terms(let, x, y)[1])


def _logaddexp_slope(let: Let, x: Any, y: Any, *, operand: int) -> Any:
    gap, small = _terms(let, x, y)
    larger = 1.0 / (1.0 + small)
    parts = (small * larger, larger) if operand == 0 else (larger, small * larger)
    return let("select", let("lt", gap, 0.0), *parts)


def _logaddexp_slope_partials(out: Node, x: Node, y: Node, *, operand: int) -> tuple[Node, Node]:
    product = out * logaddexp_slope(x, y, operand=1 - operand)
    return (product, -product) if operand == 0 else (-product, product)


logaddexp: Op = by_scalars(
    "logaddexp",
    _logaddexp,
    partials=lambda out, x, y: (
        logaddexp_slope(x, y, operand=0),
        logaddexp_slope(x, y, operand=1),
    ),
    doc="log(exp(x) + exp(y)), without overflow; differences of equal infinities count as 0.",
)
logaddexp_slope: Op = by_scalars(
    "logaddexp_slope",
    _logaddexp_slope,
    partials=_logaddexp_slope_partials,
    doc="The share of exp(x) (operand 0) or exp(y) (operand 1) in exp(x) + exp(y).",
)

# --- powers ---------------------------------------------------------------------------------------

#: from here on all numbers are even, and less 1 they are what they were
_EVEN = {"f32": 2.0**24, "f64": 2.0**53}


def _rough_log(b: Any, x: Any) -> Any:
    """log(abs(x)) to 0.06, from the exponent's bits; finite for all numbers."""
    size = b.let("abs", x)
    if x.dtype == "f32":
        whole, fraction, bias = b.cast(b.bitcast(size, "i32"), "f32"), 23, 127
    else:  # the upper half of the bits, below a fraction's last place
        upper = (b.bitcast(size, "u64") >> 32) | 0x4330000000000000
        whole, fraction, bias = b.bitcast(upper, "f64") - 2.0**52, 20, 1023
    return whole * (math.log(2) / 2**fraction) - bias * math.log(2)


def _lower_power_less(b: Any, x: Any, y: Any, *, less: int) -> Any:
    if x.dtype == "f16":
        wide = _lower_power_less(b, b.cast(x, "f32"), b.cast(y, "f32"), less=less)
        return b.cast(wide, "f16")
    exponent = y - float(less)
    back = exponent - y
    rest = (y - (exponent - back)) - (back + float(less))  # exact: Knuth's two-sum
    small = b.let("select", b.let("lt", b.let("abs", rest), 0.25), rest, 0.0)
    factor = small * _rough_log(b, x) + 1.0
    if less % 2:
        size = b.let("abs", y)
        even = b.let("and", b.let("ge", size, _EVEN[x.dtype]), b.let("lt", size, math.inf))
        factor = b.let("select", even, b.let("copysign", 1.0, x), factor)
    return b.let("pow", x, exponent) * factor


def _oracle_power_less(x: Any, y: Any, *, less: int) -> Any:
    x, y = np.asarray(x), np.asarray(y)
    with np.errstate(all="ignore"):
        exponent = y.astype(np.longdouble)
        result = np.power(x.astype(np.longdouble), exponent - less)
        even = (exponent - less == exponent) & np.isfinite(y) & (less % 2 == 1)
        return np.where(even, np.abs(result) * np.copysign(1, x), result).astype(x.dtype)


def power_less_partials(out: Node, x: Node, y: Node, *, less: int) -> tuple[Node, Node]:
    """(y - n) x^(y-n-1) and x^(y-n) log x, without nan where a factor is 0 and the other infinite;
    the derivative by y counts as 0 for x ≤ 0."""
    where, zero = lookup("where"), constant(0, x.dtype)
    one = constant(1, x.dtype)
    rest = y - less if less else y
    singular = lookup("and")(lookup("eq")(x, zero), lookup("eq")(rest, zero))
    by_x = where(singular, zero, rest * power_less(where(singular, one, x), y, less=less + 1))
    positive = lookup("gt")(x, zero)
    by_y = where(positive, out * lookup("log")(where(positive, x, one)), zero)
    return by_x, by_y


power_less: Op = pointwise(
    "power_less",
    partials=power_less_partials,
    oracle=_oracle_power_less,
    lower=_lower_power_less,
    doc="x^(y - ``less``), of an exponent that is not rounded.",
)
