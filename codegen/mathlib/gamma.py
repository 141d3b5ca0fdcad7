"""The logarithm of the gamma function's size: lgamma."""

from __future__ import annotations

from ..expression import Value
from .arithmetic import INFINITY, Math, Pair, in_double
from .coefficients import LGAMMA_BOTTOM, LGAMMA_TOP, SIN_PI, STIRLING
from .log import log_pair

__all__ = ["lgamma"]

_STIRLING_LEAST = 3.0
_GREATEST = 2.5599833278516383e305  # the greatest argument whose result is finite
_HALF_LOG_2_PI_MINUS_HALF = (0.4189385332046728, -3.8782941580672414e-17)


def _lgamma_of_positive(m: Math, z: Value) -> Value:
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
    outer = total + (error + (product.low + (series + _HALF_LOG_2_PI_MINUS_HALF[1])))
    outer = m.select(z > _GREATEST, INFINITY, outer)
    return m.select(z < _STIRLING_LEAST, inner.high + inner.low, outer)


@in_double
def lgamma(m: Math, x: Value) -> Value:
    """log(abs(gamma(x))): from 1/2 on directly, and below it from its value at 1 + abs(x):

    - for 0 < x < 1/2, gamma(x) = gamma(1 + x) / x;
    - for x < 0, gamma(x) = pi / (sin(pi x) gamma(1 - x)) by Euler's reflection formula.

    Near the zeros between the negative integers the two terms cancel: there the error is absolute,
    about 2**-53, not relative. The f32 version is computed in f64."""
    direct = x > 0.5
    z = m.select(direct, x, 1.0 + abs(x))
    value = _lgamma_of_positive(m, z)
    r = x - m.round(x)
    square = r * r
    sine = abs(m.fma(r * square, m.polynomial(square, SIN_PI), r))  # sin(pi x) / pi
    positive = x > 0.0
    divisor = log_pair(m, m.select(positive, x, sine))
    high, error = m.two_sum(m.select(positive, value, -value), -divisor.high)
    reflected = high + (error - divisor.low)
    at_pole = m.equal(r, 0.0) & (x <= 0.0)
    y = m.select(direct, value, m.select(at_pole, INFINITY, reflected))
    return m.select(abs(x) < INFINITY, y, x * x)  # inf for both infinities, nan for nan
