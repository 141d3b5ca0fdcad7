"""Trigonometric functions: sin, cos, tan.

The nearest multiple n of pi/2 is taken off the argument; what is left, r, lies in [-pi/4, pi/4],
where sin and cos are short polynomials, and n modulo 4 says which of them is the result, and its
sign. The multiple is removed in three parts (Cody and Waite 1980). With a fused multiply-add the
first subtraction is exact: x and n times the rounded pi/2 are multiples of the same small power of
two, and their difference is so small that it fits into one float. So r is right to the last place
for every n that can be counted, not only for small ones."""

from __future__ import annotations

from collections.abc import Sequence

from ..builder import WhileScope
from ..expression import Value
from ..ir import Const
from .arithmetic import Math, Pair
from .coefficients import COS_QUARTER, HALF_PI, SIN_QUARTER, TWO_BY_PI, TWO_BY_PI_EXPONENT

__all__ = ["cos", "sin", "tan"]

_2_PI = {"f32": 0.6366197466850281, "f64": 0.6366197723675814}
# where n is no longer known exactly enough, and how many parts of 2/pi the largest arguments need
_LARGE = {"f32": 2.0**16, "f64": 2.0**45}
_PARTS_FOR_LARGE = {"f32": 6, "f64": 23}
# below it, sin and tan are their argument
_LINEAR = {"f32": 2.0**-13, "f64": 2.0**-27}


def _reduce(m: Math, x: Value) -> tuple[Value, Value]:
    """(an integer with n in its low bits, r) where x = n pi/2 + r."""
    n, whole = m.nearest(x, _2_PI[m.dtype])
    r = x
    for part in HALF_PI[m.dtype]:
        r = m.fma(n, -part, r)
    whole, (r,) = _reduce_large(m, x, whole, (r,))
    return whole, r


def _reduce_to_pair(m: Math, x: Value) -> tuple[Value, Pair]:
    """The same with the rounding error of r."""
    n, whole = m.nearest(x, _2_PI[m.dtype])
    first, second, third = HALF_PI[m.dtype]
    near = m.fma(n, -first, x)
    product, error = m.two_product(n, second)
    high = near - product
    low = ((near - high) - product) - error
    whole, r = _reduce_large(m, x, whole, (high, m.fma(n, -third, low)))
    return whole, Pair(*r)


def _reduce_large(
    m: Math, x: Value, whole: Value, r: Sequence[Value]
) -> tuple[Value, tuple[Value, ...]]:
    """``whole`` and ``r`` (one float, or two), made right where abs(x) is large."""
    rare = abs(x) >= _LARGE[m.dtype]
    whole, *r = m.where_rare(rare, (whole, *r), lambda: _payne_hanek(m, x, len(r)))
    return whole, tuple(r)


def _payne_hanek(m: Math, x: Value, count: int) -> tuple[Value, ...]:
    """The integer and ``count`` parts of r for any x.

    Each turn of the loop multiplies x by one of the f64 numbers whose sum is 2/pi (scaled, so that
    neither overflows nor underflows), takes the multiples of eight off the exact product, and adds
    the rest to a sum of three floats; that sum without its integer, times pi/2, is r."""
    parts = TWO_BY_PI[: _PARTS_FOR_LARGE[m.dtype]]
    zero = Const(0.0, "f64")
    with WhileScope(m, [Const(0, "i32"), zero, zero, zero]) as loop:
        turn, high, middle, low = loop.params
        loop.condition(turn < len(parts))
        scaled = m.cast(x, "f64") * 2.0**-TWO_BY_PI_EXPONENT
        wide = m if m.dtype == "f64" else m.in_double()
        part = wide.lookup(turn & 31, (*parts, *[0.0] * (32 - len(parts))))
        for term in m.two_product(scaled, part):
            high, error = m.two_sum(high, _without_eights(m, term))
            high = _without_eights(m, high)
            middle, error = m.two_sum(middle, error)
            low = low + error
        loop.yield_(turn + 1, high, middle, low)
    _, high, middle, low = loop.results
    n = m.round(high)
    fraction, error = m.two_sum(high - n, middle)
    half_pi, half_pi_rest, _ = HALF_PI["f64"]
    angle, rest = m.two_product(fraction, half_pi)
    rest = m.fma(fraction, half_pi_rest, m.fma(error + low, half_pi, rest))
    angle, rest = m.fast_two_sum(angle, rest)
    rounded = m.cast(angle, m.dtype)
    rest = m.cast((angle - m.cast(rounded, "f64")) + rest, m.dtype)
    counted = m.cast(m.cast(n, m.format.signed), m.format.unsigned)
    return counted, *(rounded, rest)[:count]


def _without_eights(m: Math, x: Value) -> Value:
    """x minus the nearest multiple of 8, exactly."""
    return m.fma(m.round(0.125 * x), -8.0, x)


def _with_sign(m: Math, y: Value, whole: Value) -> Value:
    """``y``, negated where the second lowest bit of ``whole`` is set."""
    return m.from_bits(m.bits(y) ^ ((whole >> 1) << (m.format.bits - 1)))


def sin(m: Math, x: Value) -> Value:
    whole, r = _reduce(m, x)
    y = m.select(m.odd(whole), _cos_quarter(m, r).high, _sin_quarter(m, r).high)
    return m.select(abs(x) < _LINEAR[m.dtype], x, _with_sign(m, y, whole))


def cos(m: Math, x: Value) -> Value:
    whole, r = _reduce(m, x)
    y = m.select(m.odd(whole), _sin_quarter(m, r).high, _cos_quarter(m, r).high)
    return _with_sign(m, y, whole + 1)


def tan(m: Math, x: Value) -> Value:
    """sin(r) / cos(r), or -cos(r) / sin(r) after an odd number of quarter turns."""
    whole, r = _reduce_to_pair(m, x)
    sine, cosine = _sin_quarter(m, *r), _cos_quarter(m, *r)
    odd = m.odd(whole)
    top = Pair(m.select(odd, cosine.high, sine.high), m.select(odd, cosine.low, sine.low))
    bottom = Pair(m.select(odd, sine.high, cosine.high), m.select(odd, sine.low, cosine.low))
    quotient = m.quotient(top, bottom)
    fraction = quotient.high + quotient.low
    y = m.from_bits(m.bits(fraction) ^ (whole << (m.format.bits - 1)))
    return m.select(abs(x) < _LINEAR[m.dtype], x, y)


def _sin_quarter(m: Math, r: Value, low: Value | None = None) -> Pair:
    """sin(r + low) for abs(r) <= pi/4."""
    square = r * r
    series = m.polynomial(square, SIN_QUARTER[m.dtype])
    cube = r * square
    return m.fast_two_sum(r, cube * series if low is None else m.fma(cube, series, low))


def _cos_quarter(m: Math, r: Value, low: Value | None = None) -> Pair:
    """cos(r + low) for abs(r) <= pi/4: 1 - r**2/2 with its rounding error, then the small terms."""
    square = r * r
    half = 0.5 * square
    near = 1.0 - half
    rest = (1.0 - near) - half
    series = m.polynomial(square, COS_QUARTER[m.dtype])
    small = rest if low is None else m.fma(-r, low, rest)
    return m.fast_two_sum(near, m.fma(square * square, series, small))
