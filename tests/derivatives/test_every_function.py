"""Every function that users can call, at its seams: kinks, ties, zeros, far out, next to integers.

What is composed of kinked or cancelling parts stands in one of two tables, with its exact first and
second derivatives; all other functions are listed by what they are. A new function must be entered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath
import numpy as np
import pytest

import symflux as sf
from symflux.trace.dispatch import BY_NAME

from .test_tails import FUNCTIONS as IN_TAILS

mpf = mpmath.mpf
#: errors in units of the dtype's epsilon
BOUND = 4.0
#: at and next to what formulas divide, round and compare by, and far out
SEAMS = (
    *(0.0, 1.0, 2.0, 3.0, 0.5, 1.5, 2.5, 40.0, 100.0, 800.0, 1e-3, 1e-8, 1e-20, 5e-324, 1e-310),
    *(1 - 2**-24, 1 + 2**-23, 2 - 2**-23, 3 + 2**-22, 20.0, 0.1, 1e8, 1e15),
)


def zero(*_: Any) -> int:
    return 0


def one(*_: Any) -> int:
    return 1


def sgn(x: Any) -> int:
    return int(x > 0) - int(x < 0)


class Elementwise(NamedTuple):
    """A function of one or two numbers; ``slopes`` are its partial derivatives, ``curves`` the
    second ones by x, x, by x, y and by y, y (None: there is none, or it is not representable)."""

    function: Callable[..., Any]
    slopes: tuple[Callable[..., Any], ...]
    curves: tuple[Callable[..., Any], ...]
    points: tuple[Any, ...]


def flat(function: Any, slope: Any, *extra: float) -> Elementwise:
    """A function of one number that is linear between its kinks."""
    points = sorted({*SEAMS, *(-v for v in SEAMS), *extra})
    return Elementwise(function, (slope,), (zero,), tuple((v,) for v in points))


def flat2(function: Any, by_x: Any, by_y: Any, at: Any = ()) -> Elementwise:
    """The same of two numbers."""
    values = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -3.0, 40.0, 1e-8, -1e-8, 1e-310, 1e8)
    points = tuple(at) or tuple((x, y) for x in values for y in values)
    return Elementwise(function, (by_x, by_y), (zero, zero, zero), points)


def winner(sign: int) -> tuple[Any, Any]:
    def share(x: Any, y: Any) -> float:
        return 0.5 if x == y else float(sign * x > sign * y)

    return share, lambda x, y: share(y, x)


def away_from_0(*values: float) -> tuple[tuple[float, float], ...]:
    """All pairs, and 0 for x, in changing signs."""
    pairs = [(x, y) for x in (*values, 0.0) for y in values]
    signs = ((1, 1), (-1, 1), (1, -1), (-1, -1))
    return tuple((x * signs[i % 4][0], y * signs[i % 4][1]) for i, (x, y) in enumerate(pairs))


WHOLE = (0.5, 1.0, -1.0, 1 + 1e-6, 2.0, 2.5, 3.0, 10.0, 40.25, -100.0, 1000.25, 1e5 + 0.25)
LEGS = (1.0, 3.0, 4.0, 1e-3, 1e-8, 1e-9, 1e8, 1e20, 1e-30, 1e150, 1e-150, 1e-200, 1e200, 0.3)
SIZES = (0.0, 1.0, -1.0, 1e-8, 1e-17, 0.3, 2.3, 40.0, -40.0, -3.3, 86.0, 690.0, -690.0, 800.0)


def _sinc(order: int) -> Callable[[Any], Any]:
    def at(x: Any) -> Any:
        z = mpmath.pi * x
        if abs(z) < mpf(10) ** -15:
            return (1 - z * z / 6, -z / 3, -mpf(1) / 3 + z * z / 10)[order] * mpmath.pi**order
        s, c = mpmath.sin(z), mpmath.cos(z)
        first = (c - s / z) / z
        return (s / z, first, (-s - 2 * first) / z)[order] * mpmath.pi**order

    return at


def _r(x: Any, y: Any) -> Any:
    return mpmath.sqrt(x * x + y * y) or mpf(1)  # the derivatives at the origin count as 0


def _share(x: Any, y: Any) -> Any:
    return 1 / (1 + mpmath.exp(y - x))


def _both(x: Any, y: Any) -> Any:
    return _share(x, y) * _share(y, x)


def _s2(x: Any, y: Any) -> Any:
    return x * x + y * y


BASES = (1e-150, 1e-8, 0.3, 1 - 1e-7, 1.0, 1 + 1e-7, 2.5, 40.0, 1e8, 1e20, 1e150)


LOGADDEXP = Elementwise(
    np.logaddexp,
    (_share, lambda x, y: _share(y, x)),
    (_both, lambda x, y: -_both(x, y), _both),
    tuple((x, y) for x in SIZES for y in SIZES),
)

ELEMENTWISE: dict[str, Elementwise] = {
    "absolute": flat(np.abs, sgn),
    "fabs": flat(np.fabs, sgn),
    "relu": flat(sf.relu, lambda x: int(x > 0)),
    "clip": flat(lambda x: np.clip(x, -1, 1), lambda x: 0.5 * ((abs(x) < 1) + (abs(x) <= 1))),
    "nan_to_num": flat(np.nan_to_num, one),
    "modf": flat(lambda x: np.modf(x)[0], one),
    "where": flat(lambda x: np.where(x > 0, x, -3 * x), lambda x: 1 if x > 0 else -3),
    "select": flat(lambda x: np.select([x > 0, x < -1], [x, 2 * x], -3 * x),
                   lambda x: 1 if x > 0 else 2 if x < -1 else -3),
    "maximum": flat2(np.maximum, *winner(1)),
    "minimum": flat2(np.minimum, *winner(-1)),
    "fmax": flat2(np.fmax, *winner(1)),
    "fmin": flat2(np.fmin, *winner(-1)),
    "copysign": flat2(np.copysign, lambda x, y: sgn(x) * (1 if y >= 0 else -1), zero),
    "heaviside": flat2(np.heaviside, zero, lambda x, y: int(x == 0)),
    "fmod": flat2(np.fmod, one, lambda x, y: -int(x / y),
                  away_from_0(1.0, 2.0, 0.5, 3.0, 40.0)),
    "remainder": flat2(np.remainder, one, lambda x, y: -mpmath.floor(x / y),
                       away_from_0(1.0, 2.0, 0.5, 3.0, 40.0)),
    "divmod": flat2(lambda x, y: np.divmod(x, y)[1], one, lambda x, y: -mpmath.floor(x / y),
                    away_from_0(1.0, 2.0, 0.5, 3.0, 40.0)),
    "square": Elementwise(np.square, (lambda x: 2 * x,), (lambda x: 2,),
                          tuple((v,) for v in SEAMS)),
    "reciprocal": Elementwise(np.reciprocal, (lambda x: -1 / x**2,), (lambda x: 2 / x**3,),
                              tuple((v,) for v in SEAMS if v)),
    "divide": Elementwise(
        np.divide, (lambda x, y: 1 / y, lambda x, y: -x / y**2),
        (zero, lambda x, y: -1 / y**2, lambda x, y: 2 * x / y**3),
        away_from_0(1.0, 3.0, 1e-3, 1e-8, 1e8, 0.3),
    ),
    "multiply": Elementwise(
        np.multiply, (lambda x, y: y, lambda x, y: x), (zero, one, zero), away_from_0(1.0, 3.0),
    ),
    "sinc": Elementwise(
        np.sinc, (_sinc(1),), (_sinc(2),),
        tuple((v,) for v in (0.0, 1e-310, 1e-20, 1e-8, 1e-4, 0.01, 0.1, 0.3, *WHOLE)),
    ),
    "hypot": Elementwise(
        np.hypot, (lambda x, y: x / _r(x, y), lambda x, y: y / _r(x, y)),
        (lambda x, y: y**2 / _r(x, y) ** 3, lambda x, y: -x * y / _r(x, y) ** 3,
         lambda x, y: x**2 / _r(x, y) ** 3),
        (*away_from_0(*LEGS), (0.0, 0.0)),
    ),
    "arctan2": Elementwise(
        lambda x, y: np.arctan2(y, x), (lambda x, y: -y / _s2(x, y), lambda x, y: x / _s2(x, y)),
        (lambda x, y: 2 * x * y / _s2(x, y) ** 2, lambda x, y: (y**2 - x**2) / _s2(x, y) ** 2,
         lambda x, y: -2 * x * y / _s2(x, y) ** 2),
        away_from_0(1.0, 1 + 2**-20, 3.0, 4.0, 1e-3, 1e-8, 1e8, 1e20, 1e-30, 1e100, 1e-100, 0.3),
    ),
    "logaddexp": LOGADDEXP,
    "power": Elementwise(
        np.power, (lambda x, y: y * x ** (y - 1), lambda x, y: x**y * mpmath.log(x)),
        (lambda x, y: y * (y - 1) * x ** (y - 2),
         lambda x, y: x ** (y - 1) * (1 + y * mpmath.log(x)),
         lambda x, y: x**y * mpmath.log(x) ** 2),
        tuple(
            (x, y) for x in BASES for y in (0.1, 1 / 3, 1 - 1e-7, 2.5, -0.5, -1 / 3, -3.3)
            if abs(1 + y * np.log(x)) > 0.6  # a factor of the mixed derivative
        ),
    ),
    "lgamma": Elementwise(
        sf.numpy.lgamma, (lambda x: mpmath.psi(0, x),), (lambda x: mpmath.psi(1, x),),
        tuple((v,) for v in (
            *(1e-20, 1e-8, 0.1, 0.5, 0.99, 1.0, 1.4, 1.4616321449683622, 1.46163215, 1.5, 2.0),
            *(1.4616321449683625, 2.02, 3.0, 10.0, 100.5, 1e10, -1e-8, -0.75, -1 + 1e-6),
            *(-1 - 1e-6, -2.5, -10.25, -1.57 - 0.3, -20.9),
        )),
    ),
}  # fmt: skip


def derivatives(f: Callable[..., Any], n: int) -> Callable[..., Any]:
    """The slopes and second derivatives of arrays of points, by reverse over reverse and by forward
    over forward."""
    pairs = [(0, 0), (0, 1), (1, 1)][: n * (n + 1) // 2]

    def reverse(g: Any, i: int) -> Any:
        return sf.grad(lambda *xs: np.sum(g(*xs)), i)

    def forward(g: Any, i: int) -> Any:
        def slope(*xs: Any) -> Any:
            def alone(x: Any) -> Any:
                return g(*xs[:i], x, *xs[i + 1 :])

            return sf.jvp(alone, (xs[i],), (np.ones(xs[i].shape, xs[i].dtype),))[1]

        return slope

    def all_of_them(*xs: Any) -> Any:
        return [
            [[mode(f, i)(*xs) for i in range(n)], [mode(mode(f, i), j)(*xs) for i, j in pairs]]
            for mode in (reverse, forward)
        ]

    return all_of_them


def check(name: str, got: Any, wanted: list[Any], points: Any, dtype: str, what: str) -> None:
    limits = np.finfo(dtype)
    for point, result, exact in zip(points, got, wanted, strict=True):
        size = abs(exact)
        if exact and not 8 * limits.tiny < size < limits.max:
            continue  # not a normal number
        error = abs(mpf(float(result)) - exact) / (size or 1)
        assert error <= BOUND * limits.eps, (name, what, point, result, float(exact))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_elementwise_functions_at_their_seams(dtype):
    names, arrays = list(ELEMENTWISE), {}
    for name in names:
        with np.errstate(all="ignore"):
            points = ELEMENTWISE[name].points
            table = np.array(points).astype(dtype)
        kept = np.isfinite(table).all(1) & ((table == 0) == (np.array(points) == 0)).all(1)
        arrays[name] = [np.ascontiguousarray(column) for column in table[kept].T]
    makers = {n: derivatives(ELEMENTWISE[n].function, len(arrays[n])) for n in names}
    found = sf.compile(lambda a: {n: maker(*a[n]) for n, maker in makers.items()})(arrays)
    with mpmath.workdps(80):
        for name in names:
            case = ELEMENTWISE[name]
            points = [tuple(mpf(float(v)) for v in p) for p in zip(*arrays[name], strict=True)]
            for order, exact in enumerate((case.slopes, case.curves)):
                for i, rule in enumerate(exact):
                    wanted = [mpf(rule(*p)) for p in points]
                    for mode, results in zip(("reverse", "forward"), found[name], strict=True):
                        what = f"order {order + 1}, {mode}, {i}"
                        check(name, results[order][i], wanted, points, dtype, what)


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("power", [1 / 3, -0.1, 0.3])
def test_powers_whose_exponent_less_one_is_rounded(power, dtype):
    x = np.array([v for v in BASES if 1e-30 < v < 1e30], dtype)
    exponent = mpf(float(np.dtype(dtype).type(power)))

    def slope(z: Any) -> Any:
        return sf.grad(lambda y: np.sum(y**power))(z)

    curve = sf.grad(lambda z: np.sum(slope(z)))
    for order, got in enumerate(sf.compile(lambda z: (slope(z), curve(z)))(x), start=1):
        with mpmath.workdps(80):
            wanted = [mpmath.ff(exponent, order) * mpf(float(v)) ** (exponent - order) for v in x]
            check(f"x**{power}", got, wanted, x, dtype, f"order {order}")


# --- functions of arrays --------------------------------------------------------------------------


class OfArray(NamedTuple):
    """A function from a vector to a number, with its gradient and Hessian at one point."""

    function: Callable[..., Any]
    point: Any
    gradient: Any
    hessian: Any


def matrix(n: int, entries: dict[tuple[int, int], float] | None = None) -> Any:
    """A symmetric matrix of zeros and these entries."""
    found = np.zeros((n, n))
    for (i, j), value in (entries or {}).items():
        found[i, j] = found[j, i] = value
    return found


def of_shares(x: Any, scale: float = 1.0) -> Any:
    """diag(p) - p p' for the softmax p of x: the Hessian of logsumexp."""
    p = shares(x)
    return scale * (np.diag(p) - np.outer(p, p))


def shares(x: Any) -> Any:
    e = np.exp(np.array(x, float) - np.max(x))
    return e / e.sum()


def bend_of_share(x: Any, k: int) -> Any:
    """The Hessian of element k of a softmax."""
    p, e = shares(x), np.eye(len(x))[k]
    return p[k] * (np.outer(e - p, e - p) - np.diag(p) + np.outer(p, p))


norm = np.linalg.norm
T3, O3 = matrix(3), [0.0, 0.0, 0.0]
R5 = matrix(2, {(0, 0): 16 / 125, (0, 1): -12 / 125, (1, 1): 9 / 125})
CENTRED = np.eye(3) - 1 / 3
TIE = [2.0, 2.0, 2.0]
LOGITS = [[800.0, 800.0, -800.0], [0.0, 0.0, 0.0], [40.0, 0.0, -40.0], [1e-310, 0.0, 1.0]]
P13 = [1 / 3, 1 / 3, 1 / 3]
PRODUCT = matrix(4, {(0, 1): 6.0})


def deviation(x: Any, ddof: int = 0) -> Any:
    return np.std(x, ddof=ddof)


#: name -> rows
ARRAYS: dict[str, list[OfArray]] = {
    "norm": [
        OfArray(norm, [3.0, 4.0], [0.6, 0.8], R5),
        OfArray(norm, [0.0, 0.0], [0.0, 0.0], matrix(2)),
        OfArray(norm, [0.0, -2.0], [0.0, -1.0], matrix(2, {(0, 0): 0.5})),
        OfArray(lambda x: norm(x, 1), [0.0, 2.0, -3.0], [0.0, 1.0, -1.0], T3),
        OfArray(lambda x: norm(x, np.inf), [3.0, -3.0, 0.0], [0.5, -0.5, 0.0], T3),
        OfArray(lambda x: norm(x, -np.inf), [3.0, -1.0, 1.0], [0.0, -0.5, 0.5], T3),
        OfArray(lambda x: norm(x, 3), O3, O3, T3),
        OfArray(lambda x: norm(x, 3), [0.0, -2.0], [0.0, -1.0], matrix(2)),
        OfArray(lambda x: norm(x, 4), [0.0, 2.0], [0.0, 1.0], matrix(2)),
        OfArray(lambda x: norm(x, 2.5), [0.0, 2.0], [0.0, 1.0], matrix(2)),
        OfArray(lambda x: norm(x, 0), [0.0, 2.0], [0.0, 0.0], matrix(2)),
        OfArray(lambda x: norm(x, 3) ** 3, [0.0, 2.0], [0.0, 12.0], matrix(2, {(1, 1): 12.0})),
        OfArray(lambda x: norm(x, 4) ** 4, [0.0, 1.0], [0.0, 4.0], matrix(2, {(1, 1): 12.0})),
    ],
    "vector_norm": [
        OfArray(np.linalg.vector_norm, [3.0, 4.0], [0.6, 0.8], R5),
        OfArray(np.linalg.vector_norm, O3, O3, T3),
    ],
    "matrix_norm": [
        OfArray(lambda x: np.linalg.matrix_norm(x.reshape(2, 1)), [3.0, 4.0], [0.6, 0.8], R5),
        OfArray(lambda x: norm(x.reshape(2, 2)), [0.0] * 4, [0.0] * 4, matrix(4)),
        OfArray(lambda x: norm(x.reshape(2, 2), 1), [1.0, -2.0, -1.0, 0.0],
                [0.5, -0.5, -0.5, 0.0], matrix(4)),
        OfArray(lambda x: norm(x.reshape(2, 2), np.inf), [1.0, -1.0, 0.0, 1.0],
                [1.0, -1.0, 0.0, 0.0], matrix(4)),
    ],
    "std": [
        OfArray(deviation, TIE, O3, T3),
        OfArray(deviation, [0.0, 0.0, 3.0], [-(2**0.5) / 6, -(2**0.5) / 6, 2**0.5 / 3],
                (CENTRED / 3 - np.outer([-1, -1, 2], [-1, -1, 2]) / 18) / 2**0.5),
        OfArray(lambda x: deviation(x, 1) ** 2, TIE, O3, CENTRED),
        OfArray(lambda x: np.std(x, where=[True, True, False]), [2.0, 2.0, 7.0], O3, T3),
        OfArray(lambda x: np.std(x, where=[True, True, False]) ** 2, [2.0, 2.0, 7.0], O3,
                matrix(3, {(0, 0): 0.5, (0, 1): -0.5, (1, 1): 0.5})),
    ],
    "var": [
        OfArray(np.var, TIE, O3, CENTRED * 2 / 3),
        OfArray(lambda x: np.var(x, ddof=1), TIE, O3, CENTRED),
        OfArray(lambda x: np.sqrt(np.var(x)) ** 2, TIE, O3, CENTRED * 2 / 3),
    ],
    "average": [
        OfArray(lambda x: np.average(x[:2], weights=x[2:]), [5.0, 7.0, 0.0, 2.0],
                [0.0, 1.0, -1.0, 0.0],
                matrix(4, {(0, 2): 0.5, (1, 2): -0.5, (2, 2): 1.0, (2, 3): 0.5})),
    ],
    "prod": [
        OfArray(np.prod, [2.0, 3.0, 0.0], [0.0, 0.0, 6.0], matrix(3, {(0, 2): 3.0, (1, 2): 2.0})),
        OfArray(np.prod, [0.0, 0.0, 2.0, 3.0], [0.0] * 4, PRODUCT),
        OfArray(np.prod, O3, O3, T3),
        OfArray(lambda x: np.prod(x, where=[True, True, False, True]), [0.0, 2.0, 0.0, 3.0],
                [6.0, 0.0, 0.0, 0.0], matrix(4, {(0, 1): 3.0, (0, 3): 2.0})),
        OfArray(lambda x: np.multiply.reduce(x), [0.0, 0.0, 2.0, 3.0], [0.0] * 4, PRODUCT),
    ],
    "cumprod": [
        OfArray(lambda x: np.cumprod(x)[-1], [0.0, 0.0, 2.0, 3.0], [0.0] * 4, PRODUCT),
        OfArray(lambda x: np.cumprod(np.concatenate([x, np.ones(20)]))[-1], [0.0, 0.0, 2.0, 3.0],
                [0.0] * 4, PRODUCT),
    ],
    "max": [
        OfArray(np.max, [1.0, 3.0, 3.0], [0.0, 0.5, 0.5], T3),
        OfArray(np.max, TIE, P13, T3),
        OfArray(lambda x: np.max(x, initial=2.0), [1.0, 2.0, 0.0], [0.0, 0.5, 0.0], T3),
        OfArray(lambda x: np.max(x) ** 2, [0.0, 1.0], [0.0, 2.0], matrix(2, {(1, 1): 2.0})),
    ],
    "min": [OfArray(np.min, [1.0, 1.0, 3.0], [0.5, 0.5, 0.0], T3), OfArray(np.min, TIE, P13, T3)],
    "ptp": [
        OfArray(np.ptp, [1.0, 3.0, 3.0], [-1.0, 0.5, 0.5], T3), OfArray(np.ptp, TIE, O3, T3),
    ],
    "logsumexp": [
        *(OfArray(sf.numpy.logsumexp, x, shares(x), of_shares(x)) for x in LOGITS),
        OfArray(sf.numpy.logsumexp, [-np.inf, 0.0, 0.0], [0.0, 0.5, 0.5],
                matrix(3, {(1, 1): 0.25, (1, 2): -0.25, (2, 2): 0.25})),
        OfArray(sf.numpy.logsumexp, [-np.inf, -np.inf], [0.0, 0.0], matrix(2)),
    ],
    "softmax": [
        OfArray(lambda x, k=k: sf.softmax(x)[k], x, of_shares(x)[k], bend_of_share(x, k))
        for x in LOGITS for k in (0, 2)
    ],
    "log_softmax": [
        OfArray(lambda x: sf.log_softmax(x)[1], x, [0.0, 1.0, 0.0] - shares(x), -of_shares(x))
        for x in LOGITS
    ],
    "cross_entropy": [
        OfArray(lambda x: sf.nn.cross_entropy(x[None], np.array([1])), x,
                shares(x) - [0.0, 1.0, 0.0], of_shares(x))
        for x in LOGITS
    ],
    "mse": [
        OfArray(lambda x: sf.nn.mse(x, np.array([1.0, 2.0])), [1.0, 5.0], [0.0, 3.0], np.eye(2)),
    ],
    "mae": [
        OfArray(lambda x: sf.nn.mae(x, np.array([1.0, 2.0])), [1.0, 5.0], [0.0, 0.5], matrix(2)),
    ],
    "MaxPool": [
        OfArray(lambda x: np.sum(sf.nn.MaxPool((2, 2))(x.reshape(1, 2, 2, 1))),
                [1.0, 3.0, 3.0, 0.0], [0.0, 0.5, 0.5, 0.0], matrix(4)),
    ],
}  # fmt: skip


SINGLE = pytest.param("float32", marks=pytest.mark.slow)


@pytest.mark.quick(every=4)
@pytest.mark.parametrize("dtype", ["float64", SINGLE])
@pytest.mark.parametrize("name", ARRAYS)
def test_functions_of_arrays_at_their_seams(name, dtype):
    def found(function: Any, x: Any) -> Any:
        forward = sf.jacobian(function, mode="forward")
        return (
            sf.grad(function)(x),
            forward(x),
            sf.jacobian(sf.grad(function), mode="reverse")(x),
            sf.jacobian(forward, mode="forward")(x),
        )

    rows = ARRAYS[name]
    points = [np.array(row.point, dtype) for row in rows]
    results = sf.compile(
        lambda xs: [found(row.function, x) for row, x in zip(rows, xs, strict=True)]
    )(points)
    for row, result in zip(rows, results, strict=True):
        for got, exact in zip(result, [row.gradient] * 2 + [row.hessian] * 2, strict=True):
            wanted = np.array(exact)
            slack = (
                BOUND
                * np.finfo(dtype).eps
                * max(np.abs(wanted).max(), np.abs(row.gradient).max(), 1e-300)
            )
            np.testing.assert_allclose(got, wanted, 0, slack, err_msg=f"{name} at {row.point}")


# --- all others -----------------------------------------------------------------------------------

#: every element of the result is an element of an argument, or a sum of them with fixed factors
LINEAR = """
    copyto fill_diagonal place put put_along_axis putmask
    add angle append array array_split asanyarray asarray ascontiguousarray astype atleast_1d
    atleast_2d atleast_3d broadcast_arrays broadcast_to column_stack concatenate conjugate copy
    cumsum deg2rad degrees diag diagonal diff dsplit dstack expand_dims flip fliplr flipud hsplit
    hstack linalg.diagonal linalg.matrix_transpose linalg.trace linspace matrix_transpose mean
    meshgrid moveaxis nansum negative pad positive rad2deg radians ravel real repeat reshape roll
    rollaxis rot90 sliding_window_view split squeeze stack subtract sum swapaxes take
    take_along_axis tile trace transpose tril triu unstack vsplit vstack
"""
#: sums of products of their arguments
PRODUCTS = """
    cross dot einsum inner kron linalg.cross linalg.matmul linalg.outer linalg.tensordot
    linalg.vecdot matmul matvec multi_dot outer tensordot vdot vecdot vecmat
"""
#: no derivative, or 0 everywhere
CONSTANT = """
    accuracy all any argmax argmin around bitwise_and bitwise_or bitwise_xor ceil count_nonzero
    equal fix floor floor_divide greater greater_equal invert isclose iscomplexobj isfinite isinf
    isnan isrealobj left_shift less less_equal logical_and logical_not logical_or logical_xor ndim
    not_equal parameter_count right_shift rint round shape sign signbit size trunc
"""
#: arrays that depend on no argument's elements
MAKE = """
    arange empty empty_like eye fromfunction full full_like glorot_normal glorot_uniform he_normal
    he_uniform identity ones ones_like zeros zeros_like
"""
#: one analytic op each: tests/ops/test_sympy_derivatives.py
ANALYTIC = "sin cos float_power"
#: the same function under another name
OTHER_NAMES = {"amax": "max", "amin": "min", "expit": "sigmoid", "gammaln": "lgamma"}
#: layers: products, sums and the functions that they are given
LAYERS = "Chain Conv Dense Function Layer MeanPool"


def test_every_function_is_here():
    """New functions stand in a table, or are named as what has no seams."""
    plain = " ".join((LINEAR, PRODUCTS, CONSTANT, MAKE, ANALYTIC, LAYERS)).split()
    listed = [*ELEMENTWISE, *ARRAYS, *IN_TAILS, *plain, *OTHER_NAMES]
    offered = {*BY_NAME, *sf._FUNCTIONS, *sf.nn.__all__}
    # `rsqrt` and others of test_tails.py are offered too
    assert sorted(set(listed)) == sorted(listed)
    assert set(listed) == offered
    for name, other in OTHER_NAMES.items():
        assert BY_NAME[name] is BY_NAME[other]


STEPS = ("around", "ceil", "fix", "floor", "rint", "round", "sign", "trunc")


def test_steps_have_no_slope():
    x = np.array([*SEAMS, *(-v for v in SEAMS)])
    functions = [getattr(sf.numpy, name) for name in STEPS]

    def weighted(f: Any) -> Any:
        return lambda z: np.sum(f(z) * np.arange(z.shape[0]))

    found = sf.compile(lambda z: [sf.grad(weighted(f))(z) for f in functions])(x)
    np.testing.assert_array_equal(found, np.zeros((len(STEPS), x.size)))
