"""Inverse trigonometric functions: arcsin, arccos, arctan, arctan2.

Arguments are brought into a small interval by the theorems of addition and halving, with the
rounding error of each step carried along; the rest is one polynomial."""

from __future__ import annotations

from ..expression import Value
from .arithmetic import INFINITY, Math, Pair
from .coefficients import ARCSIN, ARCTAN, HALF_PI

__all__ = ["arccos", "arcsin", "arctan", "arctan2"]

_TAN_EIGHTH = 0.4142135623730951  # tan(pi/8)
# below it, arcsin and arctan are their argument
_LINEAR = {"f32": 2.0**-13, "f64": 2.0**-27}


def _arctan_of_fraction(m: Math, small: Value, large: Value) -> Pair:
    """arctan(small / large) for 0 <= small <= large, large normal and not near overflow.

    Above tan(pi/8), arctan(s / l) = pi/4 + arctan((s - l) / (s + l))."""
    upper = small > _TAN_EIGHTH * large
    difference = m.fast_two_sum(large, -small)
    total = m.fast_two_sum(large, small)
    top = Pair(m.select(upper, -difference.high, small), m.select(upper, -difference.low, 0.0))
    bottom = Pair(m.select(upper, total.high, large), m.select(upper, total.low, 0.0))
    t = m.quotient(top, bottom)
    square = t.high * t.high
    rest = m.fma(t.high * square, m.polynomial(square, ARCTAN[m.dtype]), t.low)
    quarter = [0.5 * part for part in HALF_PI[m.dtype]]
    high, error = m.fast_two_sum(m.select(upper, quarter[0], 0.0), t.high)
    return Pair(high, rest + (error + m.select(upper, quarter[1], 0.0)))


def _from(m: Math, angle: tuple[float, ...], turned: Value, y: Pair) -> Pair:
    """angle - y where ``turned``, else y."""
    high, error = m.fast_two_sum(angle[0], -y.high)
    low = (angle[1] - y.low) + error
    return Pair(m.select(turned, high, y.high), m.select(turned, low, y.low))


def arctan(m: Math, x: Value) -> Value:
    size = m.at_most(abs(x), 2.0**60)
    steep = size > 1.0
    y = _arctan_of_fraction(m, m.select(steep, 1.0, size), m.select(steep, size, 1.0))
    y = _from(m, HALF_PI[m.dtype], steep, y)
    return m.select(size < _LINEAR[m.dtype], x, m.copysign(y.high + y.low, x))


def arctan2(m: Math, y: Value, x: Value) -> Value:
    """The angle of the point (x, y). Both are scaled by one power of two, so that their sum does
    not overflow and the greater is normal; (inf, inf) counts as (1, 1) and (0, 0) as (1, 0)."""
    a, b = abs(y), abs(x)
    steep = a > b
    large, small = m.select(steep, a, b), m.select(steep, b, a)
    shape = m.format
    up, down = 2.0 ** (2 * shape.fraction), 2.0**-8
    factor = m.select(large < 1.0, up, m.select(large > 2.0 ** (shape.bias - 8), down, 1.0))
    infinite = m.equal(large, INFINITY)
    against_infinity = m.select(m.equal(small, INFINITY), 1.0, 0.0 * small)  # nan stays nan
    small = m.select(infinite, against_infinity, small * factor)
    large = m.select(infinite, 1.0, large * factor)
    large = m.select(m.equal(large, 0.0), 1.0, large)
    angle = _arctan_of_fraction(m, small, large)
    angle = _from(m, HALF_PI[m.dtype], steep, angle)
    pi = tuple(2.0 * part for part in HALF_PI[m.dtype])
    angle = _from(m, pi, m.copysign(1.0, x) < 0.0, angle)
    return m.copysign(angle.high + angle.low, y)


def _arcsin_rest(m: Math, x: Value, square: Value) -> Value:
    """arcsin(x) - x for abs(x) <= 1/2."""
    return x * square * m.polynomial(square, ARCSIN[m.dtype])


def _half_chord(m: Math, size: Value) -> tuple[Pair, Value]:
    """sqrt((1 - size) / 2), with its rounding error, and its square; for size in [1/2, 1]."""
    square = 0.5 - 0.5 * size
    root = m.sqrt(square)
    error = m.fma(-root, root, square) / m.select(root > 0.0, root + root, 1.0)
    return Pair(root, error), square


def arcsin(m: Math, x: Value) -> Value:
    """x + x**3 P(x**2) up to 1/2, above it pi/2 - 2 arcsin(sqrt((1 - x) / 2))."""
    size = abs(x)
    root, square = _half_chord(m, size)
    inner = m.select(size < 0.5, size, root.high)
    rest = _arcsin_rest(m, inner, m.select(size < 0.5, size * size, square))
    high, error = m.fast_two_sum(HALF_PI[m.dtype][0], -2.0 * root.high)
    outer = high + (error + (HALF_PI[m.dtype][1] - 2.0 * (root.low + rest)))
    y = m.select(size < 0.5, size + rest, outer)
    return m.select(size < _LINEAR[m.dtype], x, m.copysign(y, x))


def arccos(m: Math, x: Value) -> Value:
    """pi/2 - arcsin(x) up to 1/2; 2 arcsin(sqrt((1 - x) / 2)) above it, and pi minus that for
    -x."""
    size = abs(x)
    root, square = _half_chord(m, size)
    inside = size < 0.5
    inner = m.select(inside, x, root.high)
    rest = _arcsin_rest(m, inner, m.select(inside, x * x, square))
    half_pi, half_pi_rest = HALF_PI[m.dtype][:2]
    high, error = m.fast_two_sum(half_pi, -inner)
    low = error + (half_pi_rest - (rest + m.select(inside, 0.0, root.low)))
    near_one = 2.0 * (root.high + (root.low + rest))
    beyond = m.select(inside, 1.0, 2.0) * (high + low)
    return m.select(x < 0.5, beyond, near_one)
