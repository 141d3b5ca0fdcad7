"""Trigonometric functions: sin, cos, tan.

The nearest multiple n of pi/2 is taken off the argument; what is left, r, lies in [-pi/4, pi/4],
where sin and cos are short polynomials, and n modulo 4 says which of them is the result, and its
sign. The multiple is removed in three parts (Cody and Waite 1980). With a fused multiply-add the
first subtraction is exact: x and n times the rounded pi/2 are multiples of the same small power of
two, and their difference is so small that it fits into one float. So r is right to the last place
for every n that can be counted, not only for small ones."""

from __future__ import annotations

from ..expression import Value
from .arithmetic import Math, Pair
from .coefficients import COS_QUARTER, HALF_PI, SIN_QUARTER

__all__ = ["cos", "sin", "tan"]

_2_PI = {"f32": 0.6366197466850281, "f64": 0.6366197723675814}
# below it, sin and tan are their argument
_LINEAR = {"f32": 2.0**-13, "f64": 2.0**-27}


def _reduce(m: Math, x: Value) -> tuple[Value, Value]:
    """(an integer with n in its low bits, r) where x = n pi/2 + r."""
    n, whole = m.nearest(x, _2_PI[m.dtype])
    r = x
    for part in HALF_PI[m.dtype]:
        r = m.fma(n, -part, r)
    return whole, r


def _reduce_to_pair(m: Math, x: Value) -> tuple[Value, Pair]:
    """The same with the rounding error of r."""
    n, whole = m.nearest(x, _2_PI[m.dtype])
    first, second, third = HALF_PI[m.dtype]
    near = m.fma(n, -first, x)
    product, error = m.two_product(n, second)
    high = near - product
    low = ((near - high) - product) - error
    return whole, Pair(high, m.fma(n, -third, low))


def _with_sign(m: Math, y: Value, whole: Value) -> Value:
    """``y``, negated where the second lowest bit of ``whole`` is set."""
    return m.from_bits(m.bits(y) ^ ((whole >> 1) << (m.format.bits - 1)))


def sin(m: Math, x: Value) -> Value:
    whole, rounded = _reduce(m, x)
    r = Pair(rounded, m.zero)
    y = m.select(m.odd(whole), _cos_quarter(m, r).high, _sin_quarter(m, r).high)
    return m.select(abs(x) < _LINEAR[m.dtype], x, _with_sign(m, y, whole))


def cos(m: Math, x: Value) -> Value:
    whole, rounded = _reduce(m, x)
    r = Pair(rounded, m.zero)
    y = m.select(m.odd(whole), _sin_quarter(m, r).high, _cos_quarter(m, r).high)
    return _with_sign(m, y, whole + 1)


def tan(m: Math, x: Value) -> Value:
    """sin(r) / cos(r), or -cos(r) / sin(r) after an odd number of quarter turns."""
    whole, r = _reduce_to_pair(m, x)
    sine, cosine = _sin_quarter(m, r), _cos_quarter(m, r)
    odd = m.odd(whole)
    top = Pair(m.select(odd, cosine.high, sine.high), m.select(odd, cosine.low, sine.low))
    bottom = Pair(m.select(odd, sine.high, cosine.high), m.select(odd, sine.low, cosine.low))
    quotient = m.quotient(top, bottom)
    fraction = quotient.high + quotient.low
    y = m.from_bits(m.bits(fraction) ^ (whole << (m.format.bits - 1)))
    return m.select(abs(x) < _LINEAR[m.dtype], x, y)


def _sin_quarter(m: Math, r: Pair) -> Pair:
    """sin(r) for abs(r) <= pi/4."""
    square = r.high * r.high
    series = m.polynomial(square, SIN_QUARTER[m.dtype])
    return m.fast_two_sum(r.high, m.fma(r.high * square, series, r.low))


def _cos_quarter(m: Math, r: Pair) -> Pair:
    """cos(r) for abs(r) <= pi/4: 1 - r**2/2 with its rounding error, then the small terms."""
    square = r.high * r.high
    half = 0.5 * square
    near = 1.0 - half
    rest = (1.0 - near) - half
    series = m.polynomial(square, COS_QUARTER[m.dtype])
    return m.fast_two_sum(near, m.fma(square * square, series, m.fma(-r.high, r.low, rest)))
