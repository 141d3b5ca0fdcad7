"""The power function, x**y = exp(y log(x)).

The error of the exponent is the relative error of the result, and the exponent may be as large as
745, so log(x) and its product with y carry about 15 bits more than the precision, as unevaluated
pairs."""

from __future__ import annotations

from ..expression import Value
from .arithmetic import INFINITY, Math, Pair
from .coefficients import (
    EXP,
    LN2,
    LOG,
    LOG2_E,
    LOG_NEAR_1,
)
from .log import by_parts, normal, not_normal, split

__all__ = ["pow"]

_NAN = float("nan")
# beyond them the result is 0 or inf, and up to it a normal number
_EXPONENT_RANGE = (-746.0, 710.0)
_NORMAL_EXPONENT = 708.0
_SHORT_EXPONENT_RANGE = (-110.0, 100.0)
# any x but 1 to this power is 0 or inf
_LARGEST_POWER = {"f32": 2.0**100, "f64": 2.0**1000}


def _precise_log(m: Math, x: Value, offset: Value) -> Pair:
    """log(x) + offset log(2) in f64 for x > 0, normal and finite, with a relative error of about
    2**-63: r - r**2/2 + r**3 P(r) is added to what ``by_parts`` gives, where only the last is
    evaluated in single precision."""
    r, whole, whole_rest = by_parts(m, x, offset)
    square = r * r
    square_rest = m.fma(r, r, -square)
    cube = m.polynomial(r, LOG_NEAR_1) * (r * square)
    high, error = m.fast_two_sum(whole, r)
    high, second = m.fast_two_sum(high, -0.5 * square)
    rest = m.fma(-0.5, square_rest, whole_rest) + (error + second)
    return m.fast_two_sum(high, rest + cube)


def _short_power(m: Math, size: Value, power: Value) -> Value:
    """size**power in f64 with the polynomials of f32, for arguments and a result that are f32."""
    k, _, mantissa, _ = split(m, size)
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


def _with_specials(m: Math, x: Value, y: Value, result: Value) -> Value:
    """x**y in all the special cases of the C standard (7.12.7.4 and annex F), from abs(x)**y."""
    half = 0.5 * y
    whole_power = m.equal(m.floor(y), y)
    odd_power = whole_power & m.let("ne", m.floor(half), half)
    negative = m.copysign(1.0, x) < 0.0
    result = m.select(negative & odd_power, -result, result)
    # a negative finite number has only integer powers
    invalid = (x < 0.0) & (x > -INFINITY) & ~whole_power
    result = m.select(invalid, _NAN, result)
    return m.select(m.equal(x, 1.0) | m.equal(y, 0.0), 1.0, result)


def pow(m: Math, x: Value, y: Value) -> Value:
    """x**y. In f32 the logarithm and the power are f64 ones of f32's degree.

    In f64 the code for bases that are not positive and normal, and for results that overflow or are
    not normal, runs only where there is one."""
    size = abs(x)
    largest = _LARGEST_POWER[m.dtype]
    if m.dtype == "f32":
        wide, power = m.in_double(), m.clamp(y, -largest, largest)
        short = _short_power(wide, wide.cast(size, "f64"), wide.cast(power, "f64"))
        return _with_specials(m, x, y, m.cast(short, "f32"))

    unusual = not_normal(m, x)
    base, offset = m.where_rare(unusual, (size, m.zero), lambda: normal(m, size))
    logarithm = _precise_log(m, base, offset)
    exponent = y * logarithm.high
    low = m.fma(y, logarithm.low, m.fma(y, logarithm.high, -exponent))
    n, whole = m.nearest(exponent, LOG2_E)
    ln2_high, ln2_low = LN2[m.dtype]
    r = m.fma(n, -ln2_high, exponent) + m.fma(n, -ln2_low, low)
    result = 1.0 + m.fma(r * r, m.polynomial(r, EXP[m.dtype]), r)

    def special() -> tuple[Value]:
        at_zero = m.select(m.equal(size, 0.0), -INFINITY, logarithm.high)
        its_log = m.select(size < INFINITY, at_zero, size)  # inf and nan are their own
        end = m.clamp(y, -largest, largest) * its_log
        least, most = _EXPONENT_RANGE
        scaled = m.select(end > least, m.scale(result, whole), 0.0)
        scaled = m.select(end < most, scaled, INFINITY)
        scaled = m.select(m.equal(end, 0.0), 1.0, scaled)  # (-1)**inf
        return (_with_specials(m, x, y, m.select(m.equal(end, end), scaled, end)),)

    unusual = unusual | ~(abs(exponent) < _NORMAL_EXPONENT)
    usual = m.from_bits(m.bits(result) + (whole << m.format.fraction))
    return m.where_rare(unusual, (usual,), special)[0]
