"""The logarithm of the gamma function's size: lgamma."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..expression import Value
from .arithmetic import INFINITY, Math, Pair
from .coefficients import (
    LGAMMA_AT_ZEROS,
    LGAMMA_BOTTOM,
    LGAMMA_TOP,
    LGAMMA_VALLEY,
    LGAMMA_VALLEY_CENTRE,
    LGAMMA_VALLEY_ZEROS,
    LGAMMA_ZEROS,
    SIN_PI,
    STIRLING,
)
from .log import log1p_near_0, log_pair

__all__ = ["lgamma"]

_STIRLING_LEAST = 3.0
_GREATEST = 2.5599833278516383e305  # the greatest argument whose result is finite
_HALF_LOG_2_PI_MINUS_HALF = (0.4189385332046728, -3.8782941580672414e-17)
_SMALL = 0.5  # below it, results for negative arguments are made more precise
_NEAR_ZERO = 0.25  # below it, or half of it between -3 and -2, they are computed from the zero
_ROWS = 32  # of the tables of zeros: a power of two, so that every lane looks up inside


class _Positive(NamedTuple):
    """lgamma(z) to a few bits more than the precision from 3 on, and about its derivative."""

    value: Pair
    slope: Value


def _lgamma_of_positive(m: Math, z: Value) -> _Positive:
    """log(gamma(z)) for z >= 1/2.

    Below 3: (z - 1) (z - 2) times a quotient of two polynomials, so that the zeros at 1 and 2 are
    exact. From 3 on, Stirling's series, its sum approximated by a polynomial in 1 / z**2."""
    t = z - 0.5
    zeros = m.two_product(z - 1.0, z - 2.0)
    fraction = m.quotient(m.polynomial_pair(t, LGAMMA_TOP), m.polynomial_pair(t, LGAMMA_BOTTOM))
    inner = m.pair_times_pair(zeros, fraction)
    large = m.at_most(z, _GREATEST)
    inverse = 1.0 / large
    series = inverse * m.polynomial(inverse * inverse, STIRLING)
    logarithm = log_pair(m, large)
    high, error = m.fast_two_sum(logarithm.high, -1.0)
    product = m.pair_times_pair(Pair(large - 0.5, m.zero), Pair(high, error + logarithm.low))
    total, error = m.two_sum(product.high, _HALF_LOG_2_PI_MINUS_HALF[0])
    rest = error + (product.low + (series + _HALF_LOG_2_PI_MINUS_HALF[1]))
    total = m.select(z > _GREATEST, INFINITY, total)
    below = z < _STIRLING_LEAST
    value = Pair(m.select(below, inner.high, total), m.select(below, inner.low, rest))
    return _Positive(value, m.fma(-0.5, inverse, logarithm.high))


def lgamma(m: Math, x: Value) -> Value:
    """log(abs(gamma(x))): from 1/2 on directly, and below it from its value at 1 + abs(x). The f32
    version is computed in f64."""
    if m.dtype == "f64":
        return _lgamma(m, x, True)
    wide = m.in_double()
    return m.cast(_lgamma(wide, wide.cast(x, "f64"), False), m.dtype)


def _lgamma(m: Math, x: Value, to_all_bits: bool) -> Value:
    """lgamma in f64; without ``to_all_bits`` it need only be right to half the bits next to zeros
    between the poles."""
    size = abs(x)
    z = m.select(x > 0.5, x, 1.0 + size)
    value, slope = _lgamma_of_positive(m, z)

    def reflected() -> tuple[Value]:
        # what rounding 1 + abs(x) took away is given back to the value
        low = m.fma(size - (z - 1.0), slope, value.low)
        return (_reflected(m, x, Pair(value.high, low), to_all_bits),)

    (y,) = m.where_rare(x <= 0.5, (value.high + value.low,), reflected)
    return m.select(size < INFINITY, y, x * x)  # inf for both infinities, nan for nan


def _reflected(m: Math, x: Value, value: Pair, to_all_bits: bool) -> Value:
    """lgamma(x) for x <= 1/2, where ``value`` is lgamma(1 + abs(x)):

    - for 0 < x < 1/2, gamma(x) = gamma(1 + x) / x;
    - for x < 0, gamma(x) = pi / (sin(pi x) gamma(1 - x)) by Euler's reflection formula.

    Near the zeros between the negative integers the two terms cancel: see ``_small``."""
    r = x - m.round(x)
    square = r * r
    bend = r * square * m.polynomial(square, SIN_PI)
    sine = r + bend  # sin(pi x) / pi
    positive = x > 0.0
    divisor = log_pair(m, m.select(positive, x, abs(sine)))
    high, error = m.two_sum(m.select(positive, value.high, -value.high), -divisor.high)
    rest = error + (m.select(positive, value.low, -value.low) - divisor.low)
    total = high + rest
    # from -2 up there is no zero
    small = (abs(total) < _SMALL) & (x < -2.0)

    def improved() -> tuple[Value]:
        better = high + (rest - ((r - sine) + bend) / sine)  # with the sine's rounding error
        return (_small(m, x, r, better) if to_all_bits else better,)

    (y,) = m.where_rare(small, (total,), improved)
    return m.select(m.equal(r, 0.0) & (x <= 0.0), INFINITY, y)


def _small(m: Math, x: Value, r: Value, total: Value) -> Value:
    """lgamma(x) for x < -2 where it is below 1/2; ``r`` is the distance to the nearest integer and
    ``total`` the result, exact to units of 1/4.

    Next to a zero that is not enough: there the result is computed from the distance to the zero,
    which is known in two parts."""
    valley = x > -3.0
    near_zero = m.select(valley, _in_valley(m, x), _at_zero(m, x, r))
    least = m.select(valley, 0.5 * _NEAR_ZERO, _NEAR_ZERO)
    # beyond -16.5 the floats next to a pole are further away from it than the zeros
    return m.select((abs(total) < least) & (x > -16.5), near_zero, total)


def _in_valley(m: Math, x: Value) -> Value:
    """lgamma(x) between -3 and -2, where it is at most 1/8: two zeros and a minimum between."""
    (left, left_rest), (right, right_rest) = LGAMMA_VALLEY_ZEROS
    distances = m.pair_times_pair(
        m.two_sum(x - left, -left_rest), m.two_sum(x - right, -right_rest)
    )
    factor = m.polynomial_pair(x - LGAMMA_VALLEY_CENTRE, LGAMMA_VALLEY)
    product = m.pair_times_pair(distances, factor)
    return product.high + product.low


def _at_zero(m: Math, x: Value, r: Value) -> Value:
    """lgamma(x) next to a zero below -3, which lies at the distance e from a pole -n: with
    d = r - e it is -log(1 + d / e), the pole's part, plus d times a polynomial in d."""
    _, whole = m.nearest((r - x) * 2.0 + m.select(r < 0.0, -6.0, -7.0))  # r - x is n
    place = whole & (_ROWS - 1)

    def look_up(column: Sequence[float]) -> Value:
        return m.lookup(place, [*column, *[0.0] * (_ROWS - len(column))])

    zero, zero_rest = map(look_up, LGAMMA_ZEROS)
    d = (r - zero) - zero_rest
    smooth = m.polynomial(d, [look_up(column) for column in LGAMMA_AT_ZEROS])
    return m.fma(d, smooth, -log1p_near_0(m, d / zero))
