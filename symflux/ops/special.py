"""Special functions: their NumPy meaning; polygamma, sinc and log_cosh as scalars."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = [
    "lower_log_cosh", "lower_polygamma", "lower_sinc", "oracle_erf", "oracle_erfc",
    "oracle_lgamma", "oracle_log_cosh", "oracle_polygamma", "oracle_sinc",
]  # fmt: skip


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

# B_2, B_4, ..., B_18
_BERNOULLI = (
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798,
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
#: digamma(zero + d) / d for -0.62 < d < 1.3, interpolated at Chebyshev's points
_AT_ZERO = {
    "f32": (
        0.9676722545301634,
        -0.44276355617531116,
        0.25849900184625463,
        -0.16392639218140095,
        0.10782489027877136,
        -0.07239043947996364,
        0.04896595486504673,
        -0.03233103045577475,
        0.02127476399892581,
        -0.016371812496062583,
        0.01388865641760248,
        -0.009062647051336506,
        0.0034398520812128647,
        -0.0005528301750832683,
    ),
    "f64": (
        0.9676722454476212,
        -0.4427631689835941,
        0.25849976095565735,
        -0.16394270544204112,
        0.10782405069035816,
        -0.07219956127588614,
        0.048804288214040974,
        -0.03316112601499985,
        0.022597646878316217,
        -0.015424771491940988,
        0.010538812087339589,
        -0.007204500355405827,
        0.004926597467264745,
        -0.003369853533913758,
        0.0023061236022955045,
        -0.0015775818396045198,
        0.0010757377853346168,
        -0.0007333588503595498,
        0.0005089328745232746,
        -0.00035955089032023034,
        0.00024130940632681073,
        -0.00014333961047309596,
        8.725102552147623e-05,
        -7.564823635641544e-05,
        7.448870249354326e-05,
        -5.675152233274293e-05,
        2.937081677361665e-05,
        -9.745895079614325e-06,
        1.8810805947201004e-06,
        -1.6130508428863179e-07,
    ),
}


def _at_zero(x: Any, value: Any, dtype: str, let: Callable[..., Any]) -> Any:
    """digamma(x): ``value``, but from the distance to its positive zero where that is near, as the
    terms that ``value`` is the sum of cancel there."""
    high, low = _ZERO[dtype]
    distance = (x - high) - low
    near = let("lt", let("abs", distance - 0.34), 0.96)
    return let("select", near, distance * _horner(distance, [*_AT_ZERO[dtype]]), value)


def _polygamma(x: Any, order: int, let: Callable[..., Any], dtype: str = "f64") -> Any:
    """The polygamma function of ``x``, branch-free; ``let(name, *operands)`` applies a scalar.

    Reflection moves x < 0 to 1 - x; the recurrence moves the argument up by 10 + 2·order; there the
    asymptotic series is exact to rounding. Source: NIST Digital Library of Mathematical Functions,
    5.5.2, 5.5.4, 5.11.2 and 5.15.5 to 5.15.9.
    """
    sign = -1 if order % 2 else 1  # (-1)^order
    factorial = math.factorial(order)
    negative = let("lt", x, 0.0)
    z = let("select", negative, 1.0 - x, x)
    shift = 10 + 2 * order
    steps: Any = None
    for j in reversed(range(1, shift)):  # the smallest first
        term = 1.0 / _integer_power(z + float(j), order + 1)
        steps = term if steps is None else steps + term
    w = 1.0 / (z + float(shift))
    series: list[float] = [
        bernoulli * math.factorial(2 * k + order - 1) / math.factorial(2 * k)
        for k, bernoulli in enumerate(_BERNOULLI, start=1)
    ]
    tail = w * (_horner(w * w, series) * w + 0.5 * factorial)
    if order == 0:
        above = let("log", z + float(shift)) - tail
    else:
        power = _integer_power(w, order)
        above = (tail + float(math.factorial(order - 1))) * power * float(-sign)
    pole = 1.0 / _integer_power(z, order + 1)
    value = (above - steps * float(sign * factorial)) - pole * float(sign * factorial)
    value = _at_zero(z, value, dtype, let) if order == 0 else value
    cotangent = _cotangent_of_pi(x, let)
    polynomial = [float(c) for c in _cotangent_polynomial(order)]
    poles = _horner(cotangent, polynomial) * math.pi ** (order + 1)
    return let("select", negative, value * float(sign) - poles, value)


_NUMPY: dict[str, Callable[..., Any]] = {
    "lt": np.less, "gt": np.greater, "select": np.where, "log": np.log, "round": np.rint,
    "tan": np.tan, "abs": np.abs, "copysign": np.copysign, "sin": np.sin, "cos": np.cos,
    "eq": np.equal, "exp": np.exp, "log1p": np.log1p, "sinh": np.sinh, "minimum": np.minimum,
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


def _sinc(z: Any, order: int, let: Callable[..., Any]) -> Any:
    """Derivative number ``order`` of sin(z) / z.

    Far from 0 by z f_n = sin_n - n f_(n-1) with the derivatives sin_n of the sine; near 0, where
    the two terms cancel, by the series."""
    value = let("sin", z) / z
    if order == 0:
        return let("select", let("eq", z, 0.0), 1.0, value)
    sines = (let("sin", z), let("cos", z))
    for n in range(1, order + 1):
        sine = sines[n % 2]
        value = ((sine if n % 4 < 2 else -sine) - value * float(n)) / z
    reach = 1 + order / 2
    series = _horner(z * z, _sinc_series(order, reach))
    near = series * z if order % 2 else series
    return let("select", let("lt", let("abs", z), reach), near, value)


def oracle_sinc(x: Any, *, order: int) -> Any:
    """A derivative of sin(x) / x in NumPy, computed in float64."""
    x = np.asarray(x)
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        return _sinc(wide, order, lambda name, *operands: _NUMPY[name](*operands)).astype(x.dtype)


def lower_sinc(b: Any, x: Any, *, order: int) -> Any:
    """A derivative of sin(x) / x as scalars; halves are computed in single precision."""
    if x.dtype == "f16":
        return b.cast(_sinc(b.cast(x, "f32"), order, b.let), "f16")
    return _sinc(x, order, b.let)


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
