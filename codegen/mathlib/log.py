"""Logarithms: log, log2, log10, log1p, and the inverse hyperbolic functions, which are logarithms.

All end alike: an argument 2**k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2) has the logarithm
k log(2) + log(1 + f), and with s = f / (2 + f)

    log(1 + f) = 2 atanh(s) = 2 s + s**3 P(s**2) = f - f**2/2 + s (f**2/2 + s**2 P(s**2)),

the last form losing nothing to rounding for small f (as in Sun's fdlibm, 1993).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ..expression import Value
from .arithmetic import INFINITY, Math, Pair, in_double
from .coefficients import (
    LN2_SHORT,
    LOG,
    LOG2_E_PARTS,
    LOG10_2,
    LOG10_E,
    LOG_NEAR_1,
    LOG_NEAR_1_F32,
    LOG_SERIES,
    PARTS,
    PARTS_LEAST,
    PARTS_LOG,
    SIXTEENTHS,
    SIXTEENTHS_LEAST,
    SIXTEENTHS_LOG,
)

__all__ = ["arccosh", "arcsinh", "arctanh", "log", "log1p", "log2", "log10"]

_SQRT_HALF = {"f32": 0x3F3504F3, "f64": 0x3FE6A09E667F3BCD}
_NAN = float("nan")
_LARGE = 2.0**60
#: the least mantissa; numbers c; -log(c) in two parts
_TABLES = {
    "f32": (PARTS_LEAST, PARTS, PARTS_LOG),
    "f64": (SIXTEENTHS_LEAST, SIXTEENTHS, SIXTEENTHS_LOG),
}
#: (log(1 + r) - r) / r**2
_SERIES = {"f32": LOG_NEAR_1_F32, "f64": (-0.5, *LOG_NEAR_1)}
# below it, the functions that are x + O(x**2) are x
_LINEAR = {"f32": 2.0**-26, "f64": 2.0**-55}


class Split(NamedTuple):
    """x = 2**k mantissa, where ``field`` holds k + bias in its low bits and ``above`` are the
    mantissa's bits minus those of the least mantissa."""

    k: Value
    field: Value
    mantissa: Value
    above: Value


def split(m: Math, x: Value, least: int = 0) -> Split:
    """``x`` > 0 and normal, split; the mantissa lies in [sqrt(1/2), sqrt(2)), or from the number
    whose bits are ``least``, below 1, up to twice that."""
    shape = m.format
    base = least or _SQRT_HALF[m.dtype]
    # the difference's exponent field is k; one more bias keeps it positive
    offset = m.bits(x) + ((shape.bias << shape.fraction) - base)
    field = offset >> shape.fraction
    lifted = m.from_bits(field | shape.bits_of_power(shape.fraction))
    k = lifted - (2.0**shape.fraction + shape.bias)
    above = offset & ((1 << shape.fraction) - 1)
    return Split(k, field, m.from_bits(above + base), above)


def _log_rest(m: Math, f: Value) -> tuple[Value, Value]:
    """(f**2 / 2, s (f**2/2 + s**2 P)): log(1 + f) is f - first + second."""
    s = f / (f + 2.0)
    square = s * s
    half_square = 0.5 * f * f
    series = square * m.polynomial(square, LOG[m.dtype])
    return half_square, s * (half_square + series)


def _log_series(m: Math, f: Value) -> tuple[Value, Value]:
    """The same from a polynomial in f, without a division: f**2 / 2 and f**3 P(f), in f32."""
    square = f * f
    return 0.5 * square, f * square * m.polynomial(f, LOG_SERIES)


def _domain(m: Math, x: Value, y: Value, pole: float = 0.0) -> Value:
    """``y`` inside (pole, inf), -inf at the pole, nan below it; inf and nan stay."""
    outside = m.select(m.equal(x, pole), -INFINITY, _NAN)
    return m.select(x > pole, m.select(x < INFINITY, y, x), outside)


def not_normal(m: Math, x: Value) -> Value:
    """Whether ``x`` is anything but a positive, normal, finite number."""
    shape = m.format
    least = shape.bits_of_power(1 - shape.bias)
    most = shape.bits_of_power(shape.bias + 1)
    return m.bits(x) - least >= most - least


def normal(m: Math, x: Value) -> tuple[Value, Value]:
    """``x`` multiplied into the normal numbers, and minus the exponent of what it was multiplied
    by."""
    subnormal = x < m.format.tiny
    lift = m.format.fraction + 2
    return m.select(subnormal, x * 2.0**lift, x), m.select(subnormal, float(-lift), 0.0)


def _of_positive(m: Math, x: Value, write: Callable[[Value, Value], Value]) -> Value:
    """``write(x, offset)``, a logarithm of x 2**offset for x > 0, normal and finite (offset is 0
    for nearly all x); the others, among them subnormal numbers, are put right."""
    unusual = not_normal(m, x)
    lifted, offset = m.where_rare(unusual, (x, m.zero), lambda: normal(m, x))
    y = write(lifted, offset)
    return m.where_rare(unusual, (y,), lambda: (_domain(m, x, y),))[0]


def _k_log2(m: Math, k: Value, f: Value, half_square: Value, rest: Value) -> Value:
    """k log(2) + f - half_square + rest, smallest first; k times the short log(2) is exact."""
    high, low = LN2_SHORT[m.dtype]
    return k * high - ((half_square - m.fma(k, low, rest)) - f)


def log(m: Math, x: Value) -> Value:
    def of(x: Value, offset: Value) -> Value:
        if m.permutes:
            return _log_by_tables(m, x, offset)
        k, _, mantissa, _ = split(m, x)
        f = mantissa - 1.0
        rest = _log_series(m, f) if m.dtype == "f32" else _log_rest(m, f)
        return _k_log2(m, k + offset, f, *rest)

    return _of_positive(m, x, of)


def by_parts(m: Math, x: Value, offset: Value) -> tuple[Value, Value, Value]:
    """(r, whole, rest) where log(x 2**offset) is log(1 + r) + whole + rest, for x > 0, normal and
    finite.

    x = 2**k mantissa, and the mantissa times one of 16 or 32 numbers c of few bits is 1 + r,
    exactly (after Tang 1990): ``whole`` is the first part of k log(2) - log(c), which has so few
    bits that it is exact, and is 0 next to 1."""
    least, numbers, (log_high, log_low) = _TABLES[m.dtype]
    parts = split(m, x, least)
    k = parts.k + offset
    place = parts.above >> (m.format.fraction - len(numbers).bit_length() + 1)
    r = m.fma(parts.mantissa, m.lookup(place, numbers), -1.0)
    high, low = LN2_SHORT[m.dtype]
    whole = m.fma(k, high, m.lookup(place, log_high))
    return r, whole, m.fma(k, low, m.lookup(place, log_low))


def _log_by_tables(m: Math, x: Value, offset: Value) -> Value:
    r, whole, rest = by_parts(m, x, offset)
    return whole + (r + m.fma(r * r, m.polynomial(r, _SERIES[m.dtype]), rest))


def _log1p_pair(m: Math, f: Value) -> Pair:
    """log(1 + f) to a few bits more than the precision."""
    half_square, rest = _log_rest(m, f)
    high = f - half_square
    return Pair(high, ((f - high) - half_square) + rest)


def log1p_near_0(m: Math, f: Value) -> Value:
    """log(1 + f) for sqrt(1/2) <= 1 + f < sqrt(2)."""
    half_square, rest = _log_rest(m, f)
    return f - (half_square - rest)


def log_pair(m: Math, x: Value) -> Pair:
    """log(x) to a few bits more than the precision, for 0 < x < inf; finite for 0 and inf."""
    lifted, offset = normal(m, x)
    k, _, mantissa, _ = split(m, lifted)
    k = k + offset
    part = _log1p_pair(m, mantissa - 1.0)
    ln2_high, ln2_low = LN2_SHORT[m.dtype]
    high, error = m.fast_two_sum(k * ln2_high, part.high)
    return m.fast_two_sum(high, m.fma(k, ln2_low, error + part.low))


def _log_to_base(
    m: Math, x: Value, of_two: tuple[float, float], of_e: tuple[float, float]
) -> Value:
    """k log(2) + log(1 + f) in the base in which 2 and e have the logarithms ``of_two``,
    ``of_e``."""

    def of(x: Value, offset: Value) -> Value:
        k, _, mantissa, _ = split(m, x)
        k = k + offset
        natural = _log1p_pair(m, mantissa - 1.0)
        whole = m.two_product(k, of_two[0])
        part = m.two_product(natural.high, of_e[0])
        total, error = m.fast_two_sum(whole.high, part.high)
        low = m.fma(natural.high, of_e[1], m.fma(natural.low, of_e[0], part.low))
        low = low + m.fma(k, of_two[1], whole.low)
        return total + (error + low)

    return _of_positive(m, x, of)


def log2(m: Math, x: Value) -> Value:
    return _log_to_base(m, x, (1.0, 0.0), LOG2_E_PARTS[m.dtype])


def log10(m: Math, x: Value) -> Value:
    return _log_to_base(m, x, LOG10_2[m.dtype], LOG10_E[m.dtype])


def _log1p(m: Math, x: Pair) -> Value:
    """log(1 + x) for -1 < 1 + x < inf: what rounding 1 + x took away is given back to f."""
    total, error = m.two_sum(1.0, x.high)
    k, field, mantissa, _ = split(m, total)
    shape = m.format
    # twice 2**-k, which is 0 and not negative for the greatest k
    power = m.from_bits(((2 * shape.bias + 1) << shape.fraction) - (field << shape.fraction))
    f = m.fma(0.5 * (error + x.low), power, mantissa - 1.0)
    return _k_log2(m, k, f, *_log_rest(m, f))


def log1p(m: Math, x: Value) -> Value:
    y = _log1p(m, Pair(x, m.zero))
    return m.select(abs(x) < _LINEAR[m.dtype], x, _domain(m, x, y, pole=-1.0))


@in_double
def arcsinh(m: Math, x: Value) -> Value:
    """log(x + sqrt(x**2 + 1)) = log1p(x + x**2 / (1 + sqrt(x**2 + 1))), and log(2 x) for large
    x."""
    size = abs(x)
    square = m.two_product(size, size)
    root = m.pair_sqrt(m.number_plus_pair(1.0, square))
    fraction = m.quotient(square, m.number_plus_pair(1.0, root))
    argument = m.number_plus_pair(size, fraction)
    y = _log1p_or_log_twice(m, size, argument)
    return m.select(size < _LINEAR[m.dtype], x, m.copysign(y, x))


@in_double
def arccosh(m: Math, x: Value) -> Value:
    """log(x + sqrt(x**2 - 1)) = log1p(t + sqrt(2 t + t**2)) for t = x - 1, and log(2 x) for large
    x."""
    t = x - 1.0
    square = m.two_product(t, t)
    root = m.pair_sqrt(m.number_plus_pair(t + t, square))
    y = _log1p_or_log_twice(m, x, m.number_plus_pair(t, root))
    return m.select(x > 1.0, y, m.select(m.equal(x, 1.0), 0.0, _NAN))


def _log1p_or_log_twice(m: Math, x: Value, argument: Pair) -> Value:
    """log(1 + argument), or log(2 x) where x is so large that squares would overflow."""
    large = x > _LARGE
    high = m.select(large, x, argument.high)
    low = m.select(large, 0.0, argument.low)
    y = _log1p(m, Pair(high, low)) + m.select(large, math.log(2.0), 0.0)
    return m.select(x < INFINITY, y, x)


@in_double
def arctanh(m: Math, x: Value) -> Value:
    """log((1 + x) / (1 - x)) / 2 = log1p(2 x / (1 - x)) / 2."""
    size = abs(x)
    fraction = m.quotient(Pair(size + size, m.zero), m.two_sum(1.0, -size))
    y = m.copysign(0.5 * _log1p(m, fraction), x)
    outside = m.select(m.equal(size, 1.0), m.copysign(INFINITY, x), _NAN)
    return m.select(size < 1.0, m.select(size < _LINEAR[m.dtype], x, y), outside)
