"""The error function and its complement: erf, erfc."""

from __future__ import annotations

from ..expression import Value
from .arithmetic import Math, Pair, in_double
from .coefficients import (
    ERF,
    ERF_CENTRE,
    ERF_END,
    ERF_INNER,
    ERF_MIDDLE,
    ERF_OUTER,
    ERF_TAIL,
    ERFC,
    ERFC_CENTRE,
)
from .error_tables import ERF_POLYNOMIALS, ERF_STEP
from .exp import exp_plain, exp_rest

__all__ = ["erf", "erfc"]

# where erf has become 1, and where erfc has become 0
_ERF_GREATEST = 6.0
_ERFC_GREATEST = 27.3
# below it, erfc is 1 - erf
_ERFC_LEAST = 0.85


def erf(m: Math, x: Value) -> Value:
    if m.permutes:
        return _erf_by_tables(m, x)
    return _erf_by_polynomials(m, x) if m.dtype == "f32" else _erf_by_exp(m, x)


def _erf_by_tables(m: Math, x: Value) -> Value:
    """erf(abs(x)) with the sign of x: one of 16 or 32 polynomials in t, which is abs(x) minus the
    nearest multiple of a step. Each coefficient is looked up."""
    step, polynomials = ERF_STEP[m.dtype], ERF_POLYNOMIALS[m.dtype]
    count = len(polynomials[0])
    size = m.at_most(abs(x), (count - 0.51) * step)  # nearest to the last
    n, whole = m.nearest(size, 1 / step)
    place = whole & (count - 1)
    t = m.fma(n, -step, size)
    constant, linear, *rest = [m.lookup(place, numbers) for numbers in polynomials]
    y = m.fma(t, m.fma(t, m.polynomial(t, rest), linear), constant)
    return m.copysign(y, x)


def _erf_by_polynomials(m: Math, x: Value) -> Value:
    """x + x P(x**2) up to ERF_MIDDLE, in f32; above it one polynomial until erf has become 1."""
    inner = m.fma(x, m.polynomial(x * x, ERF_INNER), x)
    size = m.at_most(abs(x), ERF_END)
    t = size - ERF_CENTRE
    constant, *rest = ERF_OUTER
    outer = m.fma(t, m.polynomial(t, rest), constant)
    return m.select(size < ERF_MIDDLE, inner, m.copysign(outer, x))


def _erf_by_exp(m: Math, x: Value) -> Value:
    """x + x P(x**2) up to 1; above it 1 - exp(-Q(abs(x) - 1)), as erfc is nearly an exponential of
    a parabola: its logarithm is a smooth function that needs few digits where erfc is small."""
    size = m.at_most(abs(x), _ERF_GREATEST)
    inner = m.fma(x, m.polynomial(x * x, ERF), x)
    exponent = -m.polynomial(size - 1.0, ERF_TAIL)
    outer = 1.0 - exp_plain(m, exponent, True)
    return m.select(size < 1.0, inner, m.copysign(outer, x))


@in_double
def erfc(m: Math, x: Value) -> Value:
    """1 - erf(x) up to 0.85; above it exp(-x**2) C(t) / (1 + 2 x) with t = (x - 4) / (x + 4), which
    maps the half line to an interval (Shepherd and Laframboise 1981); 2 - erfc(-x) below -0.85.

    The square, the power, C and the quotient are pairs, scaled at the very end."""
    size = m.at_most(abs(x), _ERFC_GREATEST)
    high, error = m.two_sum(1.0, -x)
    inner = high + (error - x * m.polynomial(x * x, ERF))

    square = m.two_product(-size, size)
    whole, r, rest = exp_rest(m, square)
    power = m.fast_two_sum(1.0, r + rest)
    t = (size - 4.0) / (size + 4.0)
    centre, centre_rest = ERFC_CENTRE
    factor = m.fast_two_sum(centre, t * m.polynomial(t, ERFC))
    factor = Pair(factor.high, factor.low + centre_rest)
    quotient = m.quotient(m.pair_times_pair(power, factor), m.fast_two_sum(size + size, 1.0))
    tail = m.scale(quotient.high + quotient.low, whole)
    outer = m.select(x < 0.0, 2.0 - tail, tail)
    return m.select(size < _ERFC_LEAST, inner, outer)
