"""The power function, x**y = exp(y log(x)).

The error of the exponent is the relative error of the result, and the exponent may be as large as
745, so log(x) and its product with y carry about 15 bits more than the precision, as unevaluated
pairs."""

from __future__ import annotations

from ..expression import Value
from .arithmetic import INFINITY, Math, Pair
from .coefficients import EXP, LN2, LN2_SHORT, LOG, LOG2_E, LOG_PRECISE
from .exp import exp_rest
from .log import normal, split

__all__ = ["pow"]

_NAN = float("nan")
# beyond it the result is 0 or inf
_EXPONENT_RANGE = (-746.0, 710.0)
_SHORT_EXPONENT_RANGE = (-110.0, 100.0)
# any x but 1 to this power is 0 or inf
_LARGEST_POWER = {"f32": 2.0**100, "f64": 2.0**1000}


def _precise_log(m: Math, x: Value) -> Pair:
    """log(x) for x > 0 and finite, with a relative error of about 2**-66.

    As in ``log.py``, from s = f / (2 + f): 2 s + s**3 (2/3 + s**2 P(s**2)), where only P is
    evaluated in single precision."""
    lifted, offset = normal(m, x)
    k, _, mantissa = split(m, lifted)
    k = k + offset
    f = mantissa - 1.0
    s = m.quotient(Pair(f, m.zero), m.fast_two_sum(2.0, f))
    square = m.two_product(s.high, s.high)
    square = Pair(square.high, m.fma(2.0 * s.high, s.low, square.low))
    two_thirds, two_thirds_rest = 2.0 / 3.0, 3.700743415417188e-17
    series = m.fast_two_sum(two_thirds, square.high * m.polynomial(square.high, LOG_PRECISE))
    series = Pair(series.high, series.low + two_thirds_rest)
    rest = m.pair_times_pair(s, m.pair_times_pair(square, series))
    high, low = m.fast_two_sum(2.0 * s.high, rest.high)
    low = low + m.fma(2.0, s.low, rest.low)
    ln2_high, ln2_low = LN2_SHORT[m.dtype]
    high, error = m.fast_two_sum(k * ln2_high, high)
    return m.fast_two_sum(high, m.fma(k, ln2_low, error + low))


def _power_of_size(m: Math, size: Value, power: Value) -> Value:
    """size**power for size >= 0, in f64 to the last place."""
    logarithm = _precise_log(m, size)
    at_zero = m.select(m.equal(size, 0.0), -INFINITY, logarithm.high)
    log_high = m.select(size < INFINITY, at_zero, size)  # inf and nan are their own logarithms
    exponent = power * log_high
    low = m.fma(power, logarithm.low, m.fma(power, log_high, -exponent))
    low = m.select(abs(exponent) < -_EXPONENT_RANGE[0], low, 0.0)
    whole, r, rest = exp_rest(m, Pair(m.clamp(exponent, *_EXPONENT_RANGE), low))
    return m.scale(1.0 + (r + rest), whole)


def _short_power(m: Math, size: Value, power: Value) -> Value:
    """size**power in f64 with the polynomials of f32, for arguments and a result that are f32."""
    k, _, mantissa = split(m, size)
    f = mantissa - 1.0
    s = f / (f + 2.0)
    square = s * s
    logarithm = m.fma(s * square, m.polynomial(square, LOG["f32"]), s + s)
    logarithm = m.fma(k, LN2["f64"][0], logarithm)
    logarithm = m.select(m.equal(size, 0.0), -INFINITY, logarithm)
    logarithm = m.select(size < INFINITY, logarithm, size)
    exponent = m.clamp(power * logarithm, *_SHORT_EXPONENT_RANGE)
    n, whole = m.nearest(exponent, LOG2_E)
    r = m.fma(n, -LN2["f64"][0], exponent)
    e = 1.0 + m.fma(r * r, m.polynomial(r, EXP["f32"]), r)
    return e * m.power_of_two(whole)


def pow(m: Math, x: Value, y: Value) -> Value:
    """x**y with all the special cases of the C standard (7.12.7.4 and annex F).

    In f32 the logarithm and the power are f64 ones of f32's degree."""
    size = abs(x)
    power = m.clamp(y, -_LARGEST_POWER[m.dtype], _LARGEST_POWER[m.dtype])
    if m.dtype == "f32":
        wide = m.in_double()
        result = m.cast(_short_power(wide, wide.cast(size, "f64"), wide.cast(power, "f64")), "f32")
    else:
        result = _power_of_size(m, size, power)

    half = 0.5 * y
    whole_power = m.equal(m.floor(y), y)
    odd_power = whole_power & m.let("ne", m.floor(half), half)
    negative = m.copysign(1.0, x) < 0.0
    result = m.select(negative & odd_power, -result, result)
    # a negative finite number has only integer powers
    invalid = (x < 0.0) & (x > -INFINITY) & ~whole_power
    result = m.select(invalid, _NAN, result)
    return m.select(m.equal(x, 1.0) | m.equal(y, 0.0), 1.0, result)
