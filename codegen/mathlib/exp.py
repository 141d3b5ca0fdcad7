"""Exponentials: exp, exp2, expm1, sinh, cosh, tanh and sigmoid, slopes of the last two.

All start alike (Cody and Waite 1980): x = n log(2) + r with an integer n and abs(r) <= log(2)/2, so
that exp(x) = 2**n exp(r), and exp(r) is a polynomial. log(2) is taken in two parts, so that the
reduced argument keeps its relative precision.
"""

from __future__ import annotations

from ..expression import Value
from .arithmetic import Math, Pair
from .coefficients import (
    EXP,
    EXP_SHORT,
    LN2,
    LOG2_E,
    ROOTS,
    ROOTS_REST,
    TANH,
    TANH_INNER,
    TANH_LEAST,
    TANH_MIDDLE,
    TANH_NEAR_0,
    TANH_STEP,
)

__all__ = [
    "cosh", "exp", "exp2", "expm1", "sigmoid", "sigmoid_slope", "sinh", "tanh", "tanh_slope",
]  # fmt: skip

# where the result has overflowed, and where it has become zero
_EXP_RANGE = {"f32": (-104.0, 89.0), "f64": (-745.2, 709.8)}
# up to here, exp(x) and exp(-x) are normal numbers
_EXP_NORMAL = {"f32": 87.0, "f64": 708.0}
_EXP2_RANGE = {"f32": (-150.5, 128.0), "f64": (-1075.5, 1024.0)}
# where expm1 has become -1 and where tanh has become 1
_EXPM1_LEAST = {"f32": -20.0, "f64": -40.0}
_TANH_GREATEST = {"f32": 31 * TANH_STEP, "f64": 22.0}
# beyond, 1 minus the function has lost digits
SIGMOID_TAIL, TANH_TAIL = 2.0, 1.0
_SINH_GREATEST = {"f32": 89.5, "f64": 710.48}
# below it, the functions that are x + O(x**2) or x + O(x**3) are x
_LINEAR = {"f32": 2.0**-26, "f64": 2.0**-55}


def _reduce(m: Math, x: Value) -> tuple[Value, Value, Pair]:
    """(n, the bits with n, r) where x = n log(2) + r; r to twice the precision."""
    ln2_high, ln2_low = LN2[m.dtype]
    n, whole = m.nearest(x, LOG2_E)
    near = m.fma(n, -ln2_high, x)
    rest = n * ln2_low
    r = near - rest
    return n, whole, Pair(r, (near - r) - rest)


def exp_rest(m: Math, x: Pair) -> tuple[Value, Value, Value]:
    """(the bits with n, r, rest) where exp(x) = 2**n (1 + r + rest), to more than the precision."""
    ln2_high, ln2_low = LN2[m.dtype]
    n, whole = m.nearest(x.high, LOG2_E)
    near = m.fma(n, -ln2_high, x.high)
    r, error = m.two_sum(near, m.fma(n, -ln2_low, x.low))
    return whole, r, m.fma(r * r, m.polynomial(r, EXP[m.dtype]), error)


def exp(m: Math, x: Value) -> Value:
    """Code for results that are not normal numbers is passed over."""
    write = _exp_by_roots if m.dtype == "f64" and m.permutes else exp_plain

    def anywhere() -> tuple[Value]:
        return (write(m, m.clamp(x, *_EXP_RANGE[m.dtype]), False),)

    rare = abs(x) > _EXP_NORMAL[m.dtype]
    return m.where_rare(rare, (write(m, x, True),), anywhere)[0]


def exp_plain(m: Math, x: Value, normal: bool) -> Value:
    """exp(x), where ``normal`` says that it is a normal number."""
    ln2_high, ln2_low = LN2[m.dtype]
    n, whole = m.nearest(x, LOG2_E)
    r = m.fma(n, -ln2_low, m.fma(n, -ln2_high, x))
    y = 1.0 + m.fma(r * r, m.polynomial(r, EXP[m.dtype]), r)
    if normal:
        return m.from_bits(m.bits(y) + (whole << m.format.fraction))
    return m.scale(y, whole)


def _exp_by_roots(m: Math, x: Value, normal: bool) -> Value:
    whole, place, root, p = _roots(m, x, far=True)
    s = m.from_bits(root + ((whole if normal else place) << (m.format.fraction - 4)))
    y = m.fma(s, p, s)
    return y if normal else m.scale(y, whole >> 4)


def _roots(m: Math, x: Value, *, far: bool) -> tuple[Value, Value, Value, Value]:
    """(the bits with n, n modulo 16, the bits of its root, exp(r) - 1) in f64, where
    x = n log(2) / 16 + r (after Tang 1989).

    2**(n / 16) is a power of two times one of sixteen numbers; what rounding the number took away
    is taken off r, and with ``far`` what the rounded log(2) lacks n times."""
    ln2_high, ln2_low = LN2["f64"]
    n, whole = m.nearest(x, 16 * LOG2_E)
    place = whole & 15
    rest = m.lookup(place, ROOTS_REST)
    if far:
        rest = m.fma(n, ln2_low / 16, rest)
    r = m.fma(n, -ln2_high / 16, x) - rest
    p = m.fma(r * r, m.polynomial(r, EXP_SHORT), r)
    return whole, place, m.bits(m.lookup(place, ROOTS)), p


def exp2(m: Math, x: Value) -> Value:
    x = m.clamp(x, *_EXP2_RANGE[m.dtype])
    ln2_high, ln2_low = LN2[m.dtype]
    n, whole = m.nearest(x)
    fraction = x - n
    r, error = m.two_product(fraction, ln2_high)
    low = m.fma(fraction, ln2_low, error)
    y = 1.0 + (r + m.fma(r * r, m.polynomial(r, EXP[m.dtype]), low))
    return m.scale(y, whole)


def _expm1(m: Math, x: Value) -> Pair:
    """Half of exp(x) - 1, for x in range and not subnormal.

    2**n exp(r) - 1 = (2**n - 1) + 2**n r + 2**n (exp(r) - 1 - r): the first two are exact and their
    sum's rounding error is carried along, for it is the only cancellation. Everything is halved
    (until the callers double it), so that 2**n does not overflow before its time."""
    _, whole, r = _reduce(m, x)
    half = m.power_of_two(whole, -1)
    rest = m.fma(r.high * r.high, m.polynomial(r.high, EXP[m.dtype]), r.low)
    total, error = m.fast_two_sum(half - 0.5, half * r.high)
    return Pair(total, m.fma(half, rest, error))


def expm1(m: Math, x: Value) -> Value:
    inside = m.clamp(x, _EXPM1_LEAST[m.dtype], _EXP_RANGE[m.dtype][1])
    high, low = _expm1(m, inside)
    return m.select(abs(x) < _LINEAR[m.dtype], x, 2.0 * (high + low))


def tanh(m: Math, x: Value) -> Value:
    """tanh(abs(x)) with the sign of x: in f32 one of 32 polynomials, in t = abs(x) minus the
    nearest multiple of TANH_STEP; in f64 e / (e + 2) for e = exp(2 abs(x)) - 1. Both look numbers
    up; without lookups in registers see _tanh_by_exp."""
    size = m.at_most(abs(x), _TANH_GREATEST[m.dtype])
    if not m.permutes:
        return m.copysign(_tanh_by_exp(m, size), x)
    if m.dtype == "f64":
        return m.copysign(_tanh_by_expm1(m, size), x)
    n, place = m.nearest(size, 1 / TANH_STEP)
    place = place & 31
    t = m.fma(n, -TANH_STEP, size)
    constant, linear, *rest = [m.lookup(place, numbers) for numbers in TANH]
    y = m.fma(t, m.fma(t, m.polynomial(t, rest), linear), constant)
    return m.copysign(y, x)


def _tanh_by_expm1(m: Math, size: Value) -> Value:
    """tanh of size >= 0: its series below TANH_LEAST, then e / (e + 2) for e = exp(2 size) - 1."""
    square = size * size
    inner = m.fma(size * square, m.polynomial(square, TANH_NEAR_0), size)
    whole, _, root, p = _roots(m, size + size, far=False)
    s = m.from_bits(root + (whole << (m.format.fraction - 4)))
    e = m.fma(s, p, s - 1.0)
    return m.select(size < TANH_LEAST, inner, e / (e + 2.0))


def _tanh_by_exp(m: Math, size: Value) -> Value:
    """tanh of size >= 0: size + size**3 P(size**2) below TANH_MIDDLE, 1 - 2 / (exp(2 size) + 1)
    above: there the fraction is so small that its rounding errors are."""
    square = size * size
    inner = m.fma(size * square, m.polynomial(square, TANH_INNER[m.dtype]), size)
    n, whole = m.nearest(size, 2.0 * LOG2_E)
    r = m.fma(n, -LN2[m.dtype][0], size + size)
    p = m.fma(r * r, m.polynomial(r, EXP[m.dtype]), r)
    s = m.power_of_two(whole)
    outer = 1.0 - 2.0 / m.fma(s, p, s + 1.0)
    return m.select(size < TANH_MIDDLE, inner, outer)


def sigmoid(m: Math, x: Value) -> Value:
    """1 / (1 + e) for x >= 0 and e / (1 + e) for x < 0, with e = exp(-abs(x)), which cannot
    overflow.

    What was rounded away from 1 + e corrects the fraction, times 1 / (1 + e) to a tenth, which is
    there before the fraction is."""
    e = exp(m, -abs(x))
    bottom = m.fast_two_sum(1.0, e)
    q = m.select(x < 0.0, e, 1.0) / bottom.high
    return m.fma(q, bottom.low * m.fma(0.5, e, -0.95), q)


def sigmoid_slope(m: Math, s: Value, x: Value) -> Value:
    """s (1 - s) for s = sigmoid(x), with 1 - s = exp(-x) s in the tail: code that is passed over
    where no lane is there."""

    def tail() -> tuple[Value]:
        return (s * s * _exp_anywhere(m, -x),)

    return m.where_rare(x > SIGMOID_TAIL, (s * (1.0 - s),), tail)[0]


def tanh_slope(m: Math, t: Value, x: Value) -> Value:
    """(1 - t) (1 + t) for t = tanh(x), with 1 - abs(t) = exp(-2 abs(x)) (1 + abs(t)) in the
    tails."""
    size = abs(x)

    def tails() -> tuple[Value]:
        above = 1.0 + abs(t)
        return (above * (above * _exp_anywhere(m, -(size + size))),)

    return m.where_rare(size > TANH_TAIL, ((1.0 - t) * (1.0 + t),), tails)[0]


def _exp_anywhere(m: Math, x: Value) -> Value:
    return exp_plain(m, m.clamp(x, *_EXP_RANGE[m.dtype]), False)


def _sinh_cosh(m: Math, size: Value) -> tuple[Pair, Pair, Pair, Value, Value]:
    """For sinh and cosh of x >= 0: 2**(n-2) + 2**(-n-2) and 2**(n-2) - 2**(-n-2), each with its
    rounding error, r, cosh(r) - 1 and sinh(r) - r.

    One polynomial gives both: its odd and even parts are the two functions' series."""
    _, whole, r = _reduce(m, size)
    up = m.power_of_two(whole, -2)
    down = m.select(size > -_EXPM1_LEAST[m.dtype], 0.0, m.power_of_two(0 - whole, -2))
    square = r.high * r.high
    series = EXP[m.dtype]
    cosh_rest = square * m.polynomial(square, series[0::2])
    sinh_rest = m.fma(square * r.high, m.polynomial(square, series[1::2]), r.low)
    return m.fast_two_sum(up, down), m.fast_two_sum(up, -down), r, cosh_rest, sinh_rest


def sinh(m: Math, x: Value) -> Value:
    """(2**n exp(r) - 2**-n exp(-r)) / 2, ordered by the size of the terms; halved once more inside,
    so that it overflows only at the end."""
    size = m.at_most(abs(x), _SINH_GREATEST[m.dtype])
    plus, minus, r, cosh_rest, sinh_rest = _sinh_cosh(m, size)
    product, low = m.two_product(plus.high, r.high)
    total, error = m.fast_two_sum(minus.high, product)
    rest = m.fma(plus.high, sinh_rest, error + (low + minus.low))
    y = 2.0 * (total + m.fma(minus.high, cosh_rest, rest))
    return m.select(size < _LINEAR[m.dtype], x, m.copysign(y, x))


def cosh(m: Math, x: Value) -> Value:
    """(2**n exp(r) + 2**-n exp(-r)) / 2, as sinh."""
    size = m.at_most(abs(x), _SINH_GREATEST[m.dtype])
    plus, minus, r, cosh_rest, sinh_rest = _sinh_cosh(m, size)
    rest = m.fma(plus.high, cosh_rest, m.fma(minus.high, sinh_rest, plus.low))
    return 2.0 * (plus.high + m.fma(minus.high, r.high, rest))
