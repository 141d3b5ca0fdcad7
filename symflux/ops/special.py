"""Special functions: their NumPy meaning; polygamma, sinc and log_cosh as scalars."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "lower_log_cosh", "lower_polygamma", "lower_sinc", "lower_sinc_pi", "oracle_erf",
    "oracle_erfc", "oracle_lgamma", "oracle_log_cosh", "oracle_polygamma", "oracle_sinc",
    "oracle_sinc_pi",
]  # fmt: skip

Let = Callable[..., Any]


def _elementwise(function: Callable[[float], float]) -> Callable[[Any], Any]:
    """A function of Python floats on arrays, in the array's dtype."""

    def oracle(x: Any) -> Any:
        x = np.asarray(x)
        return np.vectorize(function, otypes=[np.float64])(x).astype(x.dtype)

    return oracle


def _lgamma(x: float) -> float:
    if math.isinf(x) or (x <= 0 and x == math.floor(x)):
        return math.inf
    return math.lgamma(x)


oracle_erf = _elementwise(math.erf)
oracle_erfc = _elementwise(math.erfc)
oracle_lgamma = _elementwise(_lgamma)

# B_2, B_4, ..., B_20
_BERNOULLI = (
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798,
    -174611 / 330,
)  # fmt: skip


def _cotangent_polynomial(order: int) -> list[int]:
    """Coefficients P with d^order/dt^order cot(t) = P(cot t): P' stands for -(1 + c²) P'(c)."""
    coefficients = [0, 1]
    for _ in range(order):
        slope = [k * c for k, c in enumerate(coefficients)][1:]
        coefficients = [0] * (len(slope) + 2)
        for k, c in enumerate(slope):
            coefficients[k] -= c
            coefficients[k + 2] -= c
    return coefficients


def _horner(x: Any, coefficients: list[float]) -> Any:
    total: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = total * x + c
    return total


def _integer_power(x: Any, n: int) -> Any:
    result = x
    for _ in range(n - 1):
        result = result * x
    return result


def _cotangent_of_pi(x: Any, let: Callable[..., Any]) -> Any:
    """cot(πx), exact near its poles and near its zeros: of the distance to the nearest of them."""
    near = x - let("round", x)  # exact
    distance = let("abs", near)
    zero = let("gt", distance, 0.25)
    tangent = let("tan", let("select", zero, 0.5 - distance, distance) * math.pi)
    return let("copysign", let("select", zero, tangent, 1.0 / tangent), near)


#: the zero of the digamma function among positive numbers, in two parts
_ZERO = {"f32": (1.4616321325302124, 1.2438149938918909e-08),
         "f64": (1.4616321449683622, 9.549995429965697e-17)}  # fmt: skip
#: digamma(zero + d) / d from 1 to 2.75, interpolated at Chebyshev's points
_AT_ZERO = {
    "f32": (
        0.9676722441402165,
        -0.4427629565076049,
        0.2584997273647476,
        -0.16395267875429484,
        0.1078369503308977,
        -0.07208038279140641,
        0.04853794906255998,
        -0.03351266079286781,
        0.02417343559881026,
        -0.016554080700356365,
        0.008763525146664324,
        -0.0028747751829003476,
        0.0004203740865421592,
    ),
    "f64": (
        0.9676722454476212,
        -0.44276316898359325,
        0.2584997609556356,
        -0.16394270544215478,
        0.10782405069252123,
        -0.07219956127324076,
        0.04880428813521863,
        -0.03316112596418016,
        0.022597648167835292,
        -0.015424773951850773,
        0.01053880311883582,
        -0.0072044696253698035,
        0.004926601248923915,
        -0.0033699859633710035,
        0.0023063636900792685,
        -0.0015777949865189871,
        0.0010752949573866483,
        -0.0007304214532740329,
        0.0005037322007019783,
        -0.00036102453401955367,
        0.0002608338303828647,
        -0.00017219383989878662,
        9.32382419742126e-05,
        -3.795248049554962e-05,
        1.0684669712883525e-05,
        -1.8408701930657986e-06,
        1.4579840050009343e-07,
    ),
}


def _in_pairs(x: Any, coefficients: Sequence[float], let: Callable[..., Any]) -> Any:
    """``sum(c * x**n)`` in pairs (Estrin 1960): many steps at once."""
    terms: list[Any] = list(coefficients)
    while len(terms) > 1:
        pairs = [let("fma", b, x, a) for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[2 * len(pairs) :]
        x = x * x
    return terms[0]


def _digamma(z: Any, dtype: str, let: Callable[..., Any]) -> Any:
    """The digamma function of z > 0: up to 2.75 from the distance to its zero, where the terms of
    the asymptotic series cancel; below 1 after a step of the recurrence."""
    small = let("lt", z, 1.0)
    y = let("select", small, z + 1.0, z)
    high, low = _ZERO[dtype]
    distance = (y - high) - low
    near = distance * _in_pairs(distance, _AT_ZERO[dtype], let)
    steps: Any = 1.0 / (y + 4.0)
    for j in (3, 2, 1, 0):  # the smallest first
        steps = steps + 1.0 / (y + float(j))
    w = 1.0 / (y + 5.0)
    series = [b / (2 * k) for k, b in enumerate(_BERNOULLI, start=1)]
    tail = w * (_horner(w * w, series) * w + 0.5)
    far = (let("log", y + 5.0) - tail) - steps
    value = let("select", let("lt", y, 2.75), near, far)
    return let("select", small, value - 1.0 / z, value)


def _asymptotic(z: Any, order: int, let: Callable[..., Any]) -> Any:
    """The polygamma function of z > 0 for orders from 1 up: the recurrence moves the argument up by
    10 + 2·order; there the asymptotic series is exact to rounding."""
    sign = -1 if order % 2 else 1  # (-1)^order
    factorial = math.factorial(order)
    shift = 10 + 2 * order
    steps: Any = None
    for j in range(shift):
        term = 1.0 / _integer_power(z + float(j), order + 1)
        steps = term if steps is None else steps + term
    w = 1.0 / (z + float(shift))
    series: list[float] = [
        bernoulli * math.factorial(2 * k + order - 1) / math.factorial(2 * k)
        for k, bernoulli in enumerate(_BERNOULLI[:9], start=1)
    ]
    tail = w * (_horner(w * w, series) * w + 0.5 * factorial)
    above = (tail + float(math.factorial(order - 1))) * _integer_power(w, order) * float(-sign)
    return above - steps * float(sign * factorial)


def _polygamma(x: Any, order: int, let: Callable[..., Any], dtype: str = "f64") -> Any:
    """The polygamma function of ``x``, branch-free; ``let(name, *operands)`` applies a scalar.

    Reflection moves x < 0 to 1 - x. Source: NIST Digital Library of Mathematical Functions,
    5.5.2, 5.5.4, 5.11.2 and 5.15.5 to 5.15.9.
    """
    negative = let("lt", x, 0.0)
    z = let("select", negative, 1.0 - x, x)
    value = _digamma(z, dtype, let) if order == 0 else _asymptotic(z, order, let)
    cotangent = _cotangent_of_pi(x, let)
    polynomial = [float(c) for c in _cotangent_polynomial(order)]
    poles = _horner(cotangent, polynomial) * math.pi ** (order + 1)
    return let("select", negative, value * (-1.0) ** order - poles, value)


_NUMPY: dict[str, Callable[..., Any]] = {
    "lt": np.less, "gt": np.greater, "select": np.where, "log": np.log, "round": np.rint,
    "tan": np.tan, "abs": np.abs, "copysign": np.copysign, "sin": np.sin, "cos": np.cos,
    "eq": np.equal, "exp": np.exp, "floor": np.floor, "log1p": np.log1p,
    "sinh": np.sinh, "minimum": np.minimum, "fma": lambda a, b, c: a * b + c,
}  # fmt: skip


def oracle_polygamma(x: Any, *, order: int) -> Any:
    """The polygamma function in NumPy, computed in float64; poles are inf or nan."""
    x = np.asarray(x)
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        result = _polygamma(wide, order, lambda name, *operands: _NUMPY[name](*operands))
    # Poles have no reflection (x = 0), and their sign depends on the side for even order.
    pole = (wide <= 0) & (wide == np.floor(wide))
    return np.where(pole, np.nan if order % 2 == 0 else np.inf, result).astype(x.dtype)


def lower_polygamma(b: Any, x: Any, *, order: int) -> Any:
    """The polygamma function as scalars of the loop IR; halves are computed in single precision."""
    dtype = x.dtype
    z = b.cast(x, "f32") if dtype == "f16" else x
    value = _polygamma(z, order, b.let, z.dtype)
    pole = b.let("and", b.let("le", z, 0.0), b.let("eq", z, b.let("floor", z)))
    value = b.let("select", pole, math.nan if order % 2 == 0 else math.inf, value)
    return b.cast(value, "f16") if dtype == "f16" else value


def _sinc_series(order: int, reach: float) -> list[float]:
    """Coefficients of z^(2i), or of z^(2i+1) for odd orders, exact to rounding for |z| < reach.

    sin(z)/z is the sum of (-1)^k z^(2k) / (2k+1)!; j = 2k - order times is what is left of z^(2k).
    """
    coefficients: list[float] = []
    j = order % 2
    while not coefficients or reach**j / math.factorial(j) > 2.0**-58:
        k = (j + order) // 2
        coefficients.append((-1) ** k / ((2 * k + 1) * math.factorial(j)))
        j += 2
    return coefficients


def _sinc(z: Any, order: int, let: Let, sines: tuple[Any, Any] | None = None) -> Any:
    """Derivative number ``order`` of sin(z) / z; ``sines`` are the sine and the cosine of z.

    Far from 0 by z f_n = sin_n - n f_(n-1) with the derivatives sin_n of the sine; near 0, where
    the two terms cancel, by the series."""
    sines = sines or (let("sin", z), let("cos", z))
    value = sines[0] / z
    if order == 0:
        return let("select", let("eq", z, 0.0), 1.0, value)
    for n in range(1, order + 1):
        sine = sines[n % 2]
        value = ((sine if n % 4 < 2 else -sine) - value * float(n)) / z
    reach = 1 + order / 2
    series = _horner(z * z, _sinc_series(order, reach))
    near = series * z if order % 2 else series
    return let("select", let("lt", let("abs", z), reach), near, value)


def _sinc_pi(x: Any, order: int, let: Let) -> Any:
    """Derivative number ``order`` of sin(πx) / (πx). The value is NumPy's, of the rounded πx;
    derivatives take the sine of the distance to the nearest integer, which is exact."""
    z = x * math.pi
    if order == 0:
        return _sinc(z, 0, let)
    whole = let("round", x)
    angle = (x - whole) * math.pi
    half = whole * 0.5
    even = let("eq", let("floor", half), half)
    sine, cosine = let("sin", angle), let("cos", angle)
    sines = let("select", even, sine, -sine), let("select", even, cosine, -cosine)
    return _sinc(z, order, let, sines) * math.pi**order


def _sincs(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The NumPy meaning (in float64) and the scalars of a function above; halves are computed in
    single precision, but for what NumPy rounds to halves on the way."""
    write = _sinc_pi if name == "sinc_pi" else _sinc

    def oracle(x: Any, *, order: int) -> Any:
        x = np.asarray(x)
        with np.errstate(all="ignore"):
            wide = x.astype(np.float64)
            return write(wide, order, lambda name, *xs: _NUMPY[name](*xs)).astype(x.dtype)

    def lower(b: Any, x: Any, *, order: int) -> Any:
        if x.dtype != "f16":
            return write(x, order, b.let)
        if order == 0 and write is _sinc_pi:
            return lower_sinc(b, x * math.pi, order=0)
        return b.cast(write(b.cast(x, "f32"), order, b.let), "f16")

    return oracle, lower


oracle_sinc, lower_sinc = _sincs("sinc")
oracle_sinc_pi, lower_sinc_pi = _sincs("sinc_pi")


def _log_cosh(x: Any, let: Callable[..., Any]) -> Any:
    """log(1 + sinh²) / 2 near 0, where the digits of the result are those of sinh; else by
    exp(-2 |x|), which cannot overflow."""
    size = let("abs", x)
    near = let("lt", size, 1.0)
    sine = let("sinh", let("minimum", size, 1.0))
    logarithm = let("log1p", let("select", near, sine * sine, let("exp", size * -2.0)))
    return let("select", near, logarithm * 0.5, (size - math.log(2)) + logarithm)


def oracle_log_cosh(x: Any) -> Any:
    """log(cosh(x)) in NumPy, computed in float64."""
    x = np.asarray(x)
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        return _log_cosh(wide, lambda name, *xs: _NUMPY[name](*xs)).astype(x.dtype)


def lower_log_cosh(b: Any, x: Any) -> Any:
    """log(cosh(x)) as scalars; halves are computed in single precision."""
    if x.dtype == "f16":
        return b.cast(_log_cosh(b.cast(x, "f32"), b.let), "f16")
    return _log_cosh(x, b.let)
