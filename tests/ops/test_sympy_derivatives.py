"""Partial derivatives of every elementwise op against SymPy's own derivative, to 50 digits."""

from dataclasses import dataclass, field
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

from symflux.ir import Graph, Kind, symbol
from symflux.ir.node import Node, constant
from symflux.ir.op import Partials, lookup, registered
from symflux.ops import broadcast_to
from symflux.transform.evaluate import evaluate
from symflux.transform.jvp import pushforward
from symflux.transform.vjp import pullback

X, Y = sympy.symbols("x y", real=True)
RANDOM_POINTS = 32
mpmath.mp.dps = 50

MEANINGS = [
    {
        "Heaviside": lambda x, at_zero=0.5: mpmath.mpf(at_zero if x == 0 else x > 0),
        "DiracDelta": lambda x, *_: mpmath.mpf(0) if x else mpmath.inf,
    },
    "mpmath",
]


@dataclass(frozen=True)
class Case:
    """An op as a SymPy expression of X (and Y), where to compare, and how near.

    ``low`` and ``high`` bound random points of each operand; ``near`` are points near singularities
    and far out. ``floor`` is an absolute error that is allowed besides the relative one, where a
    function is a sum that cancels; ``floor2`` is that of the second derivative. ``digits`` are what
    the exact values are computed with: more where their formula cancels."""

    meaning: Any
    low: float = -3.0
    high: float = 3.0
    near: tuple[Any, ...] = ()
    attrs: dict[str, Any] = field(default_factory=dict)
    floor: float = 0.0
    floor2: float = 0.0
    second: bool = True
    digits: int = 50


def far(*values: float) -> tuple[float, ...]:
    return (*values, *(-v for v in values))


TINY = (1e-300, 1e-100, 1e-12, 1e-6, 1 - 1e-10, 1 + 1e-10, 1e6, 1e50)
EDGE = far(1 - 1e-14, 1 - 1e-10, 1 - 1e-5, 1e-10, 1e-300)
TAN_POLE = np.pi / 2 - 1e-6
PAIRS = tuple((a, b) for a in (-2.5, -1e-8, 0.3, 1e6) for b in (-1.5, -1e-8, 0.7, 1e5))
GAPS = ((-3.3, 690.0), (690.0, -3.3), (40.1, 0.3), (1e-17, 1.0), (0.1, 0.1 + 1e-9))
TIES = ((0.5, 0.5), (-2.0, -2.0), (0.0, 0.0))
QUOTIENT = sympy.Symbol("quotient", integer=True)  # of floordiv: constant between its jumps

CASES: dict[str, list[Case]] = {
    "add": [Case(X + Y, near=PAIRS)],
    "sub": [Case(X - Y, near=PAIRS)],
    "mul": [Case(X * Y, near=PAIRS)],
    "div": [Case(X / Y, near=PAIRS)],
    "mod": [Case(X - QUOTIENT * Y, near=tuple(p for p in PAIRS if abs(p[1]) > 0.1))],
    "neg": [Case(-X)],
    "abs": [Case(sympy.Abs(X), near=far(1e-300, 1e300))],
    "reciprocal": [Case(1 / X, near=far(1e-100, 1e-8, 1e100))],
    "minimum": [Case(sympy.Min(X, Y), near=PAIRS + TIES, second=False)],
    "maximum": [Case(sympy.Max(X, Y), near=PAIRS + TIES, second=False)],
    "copysign": [Case(sympy.Abs(X) * sympy.sign(Y), near=PAIRS, second=False)],
    "pow": [
        Case(
            X**Y, 0.1, 4.0, near=tuple((a, b) for a in (1e-8, 1.0, 30.0) for b in (-3.0, 0.5, 9.0))
        )
    ],
    "power_less": [
        Case(
            X ** (Y - n), 0.1, 4.0, near=((1e-8, 0.1), (1e20, 0.3), (30.0, 9.0)), attrs={"less": n}
        )
        for n in (1, 2)
    ],
    "exp": [Case(sympy.exp(X), near=(-700.0, 700.0, 0.0, 1e-300))],
    "exp2": [Case(2**X, near=(-1000.0, 1000.0, 0.0))],
    "expm1": [Case(sympy.exp(X) - 1, near=(-40.0, -700.0, 700.0, 1e-300))],
    "log": [Case(sympy.log(X), 0, 5, near=TINY)],
    "log2": [Case(sympy.log(X, 2), 0, 5, near=TINY)],
    "log10": [Case(sympy.log(X, 10), 0, 5, near=TINY)],
    "log1p": [Case(sympy.log(1 + X), -1, 5, near=(-1 + 1e-10, 1e-300, 1e50))],
    "sqrt": [Case(sympy.sqrt(X), 0, 5, near=TINY)],
    "rsqrt": [Case(1 / sympy.sqrt(X), 0, 5, near=TINY[1:])],
    "sin": [Case(sympy.sin(X), near=far(1e-300, 100.5, 1e5))],
    "cos": [Case(sympy.cos(X), near=far(1e-300, 100.5, 1e5))],
    "tan": [Case(sympy.tan(X), -1.5, 1.5, near=far(TAN_POLE, 1e-300, 10.0))],
    "arcsin": [Case(sympy.asin(X), -1, 1, near=EDGE)],
    "arccos": [Case(sympy.acos(X), -1, 1, near=EDGE)],
    "arctan": [Case(sympy.atan(X), near=far(1e-300, 1e8, 1e100))],
    "arctan2": [
        Case(sympy.atan2(X, Y), near=(*PAIRS, (1e200, 1e199), (1e-160, -1e-160), (3.0, 0.0)))
    ],
    "arctan2_slope": [
        Case(X / (X**2 + Y**2), near=(*PAIRS, *TIES[:2], (1e100, 1e99), (1e-150, -1e-151)))
    ],
    "hypot": [Case(sympy.sqrt(X**2 + Y**2), near=(*PAIRS, (1e200, 1e199), (1e-160, -1e-160)))],
    "hypot_slope": [
        Case(X / sympy.sqrt(X**2 + Y**2), near=(*PAIRS, (1e200, 1e199), (1e-160, -1e-160)))
    ],
    "sinh": [Case(sympy.sinh(X), near=far(1e-300, 30.0, 700.0))],
    "cosh": [Case(sympy.cosh(X), near=far(1e-300, 30.0, 700.0))],
    "tanh": [Case(sympy.tanh(X), near=far(1e-300, 5.0, 25.0, 340.0), digits=700)],
    "arcsinh": [Case(sympy.asinh(X), near=far(1e-300, 1e8, 1e50))],
    "arccosh": [Case(sympy.acosh(X), 1, 5, near=(1 + 1e-12, 1 + 1e-6, 1e8, 1e50))],
    "arctanh": [Case(sympy.atanh(X), -1, 1, near=EDGE)],
    "sigmoid": [Case(1 / (1 + sympy.exp(-X)), -9, 9, near=far(40.0, 690.0, 1e-300), digits=700)],
    "softplus": [
        Case(sympy.log(1 + sympy.exp(X)), -9, 9, near=far(40.0, 690.0, 1e-300), digits=700)
    ],
    "logaddexp": [
        Case(sympy.log(sympy.exp(X) + sympy.exp(Y)), -9, 9, near=(*TIES, *GAPS), digits=700)
    ],
    "logaddexp_slope": [
        Case(share, -9, 9, near=(*TIES, *GAPS), attrs={"operand": i}, digits=700)
        for i, share in enumerate((1 / (1 + sympy.exp(Y - X)), 1 / (1 + sympy.exp(X - Y))))
    ],
    "log_cosh": [
        Case(sympy.log(sympy.cosh(X)), -9, 9, near=far(1e-100, 0.99, 40.0, 340.0), digits=700)
    ],
    "relu": [Case(sympy.Max(X, 0), near=far(1e-300, 1e300), second=False)],
    "erf": [Case(sympy.erf(X), near=far(1e-300, 6.0, 20.0))],
    "erfc": [Case(sympy.erfc(X), near=far(1e-300, 6.0, 20.0))],
    "lgamma": [Case(sympy.loggamma(X), 0, 9, near=(1e-10, 1e5, -0.5, -3.7, -20.3), floor=1e-14)],
    "arcsin_slope": [Case(1 / sympy.sqrt(1 - X**2), -1, 1, near=EDGE)],
    "arcsinh_slope": [Case(1 / sympy.sqrt(1 + X**2), near=far(1e-300, 1e8, 1e50))],
    "arccosh_slope": [Case(1 / sympy.sqrt(X**2 - 1), 1, 5, near=(1 + 1e-12, 1 + 1e-6, 1e8, 1e50))],
    "arctan_slope": [Case(1 / (1 + X**2), near=far(1e-300, 1e8, 1e50))],
    "arctanh_slope": [Case(1 / (1 - X**2), -1, 1, near=EDGE)],
    "gaussian": [Case(sympy.exp(-(X**2)), near=far(1e-300, 6.0, 20.0))],
    "sinc": [
        Case(
            sympy.diff(sympy.sin(X) / X, X, n),
            -9,
            9,
            near=far(1e-5, 1.0, 2.0, 40.0),
            attrs={"order": n},
            floor=1e-15,
        )
        for n in (0, 1, 2)
    ],
    "sinc_pi": [
        Case(
            sympy.diff(sympy.sin(sympy.pi * X) / (sympy.pi * X), X, n),
            near=far(1e-5, 1.0, 2.0, 40.25, 1000.25),
            attrs={"order": n},
            floor=1e-14,
        )
        for n in (0, 1, 2)
    ],
    "polygamma": [
        Case(sympy.polygamma(n, X), 0, 9, near=(1e-10, 1e5, -0.5, -3.7), attrs={"order": n})
        for n in (0, 1, 2, 5)
    ],
}
#: derivatives in terms of a function's value: as second derivatives in test_tails.py
AT_VALUES = {"sigmoid_slope", "tanh_slope"}
EVERY = [
    pytest.param(name, case, id=name + "".join(f"-{v}" for v in case.attrs.values()))
    for name, cases in CASES.items()
    for case in cases
]
ONE_OPERAND = [c for c in EVERY if Y not in c.values[1].meaning.free_symbols and c.values[1].second]


def test_every_elementwise_op_with_partials_is_here():
    found = {
        op.name
        for op in registered().values()
        if op.kind is Kind.POINTWISE and isinstance(op.derivative, Partials)
    }
    assert found - AT_VALUES == set(CASES)


def operands(name: str, case: Case) -> list[np.ndarray]:
    """Arrays of points, one for each operand."""
    random = np.random.default_rng(len(name))
    count = 2 if Y in case.meaning.free_symbols else 1
    points = list(random.uniform(case.low, case.high, (RANDOM_POINTS, count)))
    if count == 1 and case.low < 0 < case.high:
        points += [np.array([v]) for v in np.linspace(case.low, case.high, 9)[1:-1] * 1e-3 if v]
    points += [np.atleast_1d(np.array(p, dtype=float)) for p in case.near]
    table = np.array(points)
    assert len(table) >= 30
    return [np.ascontiguousarray(column) for column in table.T]


def exact(expression: sympy.Expr, arrays: list[np.ndarray], digits: int = 50) -> np.ndarray:
    """The expression at exactly these points, computed with many digits and then rounded."""
    function = sympy.lambdify([X, Y, QUOTIENT], expression, MEANINGS)
    values = []
    for row in zip(*arrays, strict=True):
        x, y = (*map(mpmath.mpf, row), mpmath.mpf(1))[:2]
        quotient = mpmath.floor(x / y) if y else 0
        with mpmath.workdps(digits):
            values.append(float(mpmath.re(function(x, y, quotient))))
    return np.array(values)


def compare(got: np.ndarray, wanted: np.ndarray, rtol: float, floor: float) -> None:
    smallest = np.finfo(float).tiny  # below, digits are lost to gradual underflow
    assert np.isfinite(wanted).all()
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=max(floor, smallest))


@pytest.mark.quick(every=2)
@pytest.mark.parametrize(("name", "case"), EVERY)
def test_partials(name: str, case: Case) -> None:
    arrays = operands(name, case)
    inputs = [symbol(f"x{i}", a.shape) for i, a in enumerate(arrays)]
    out = lookup(name)(*inputs, **case.attrs)
    statement = lookup(name).derivative
    assert isinstance(statement, Partials)
    for variable, partial in zip((X, Y), statement.rule(out, *inputs, **case.attrs), strict=False):
        node = partial if isinstance(partial, Node) else constant(float(partial or 0), "f64")
        full = broadcast_to(node, shape=out.shape)
        (got,) = evaluate(Graph("partial", tuple(inputs), (full,)), arrays)
        compare(
            got, exact(sympy.diff(case.meaning, variable), arrays, case.digits), 1e-12, case.floor
        )


@pytest.mark.quick(every=4)
@pytest.mark.parametrize(("name", "case"), ONE_OPERAND)
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_second_derivatives(name: str, case: Case, mode: str) -> None:
    arrays = operands(name, case)
    x = symbol("x", arrays[0].shape)
    one = broadcast_to(constant(1, "f64"), shape=x.shape)
    node = lookup(name)(x, **case.attrs)
    for _ in range(2):
        if node is not None:
            pushed = pushforward([node], [x], [one]) if mode == "forward" else None
            (node,) = pushed or pullback([node], [one], [x])
    wanted = exact(sympy.diff(case.meaning, X, 2), arrays, case.digits)
    if node is None:
        assert not wanted.any()
        return
    (got,) = evaluate(Graph("second", (x,), (node,)), arrays)
    size = np.abs(wanted)
    usable = (size < 1e290) & ((size > 1e-290) | (size == 0))  # beyond, steps on the way overflow
    compare(got[usable], wanted[usable], 1e-11, max(case.floor2, 4 * case.floor))


def test_powers_with_a_plain_exponent():
    points = np.array([-2.0, -1e-9, 0.0, 1e-9, 1.5])
    x = symbol("x", points.shape)
    for exponent in (0, 1, 2, 3, 4):
        node = lookup("pow")(x, float(exponent))
        for order in range(1, 5):
            one = broadcast_to(constant(1, "f64"), shape=x.shape)
            (node,) = pullback([node], [one], [x]) if node is not None else (None,)
            wanted = exact(sympy.diff(X**exponent, X, order), [points])
            if node is None:
                assert not wanted.any()
            else:
                (got,) = evaluate(Graph("g", (x,), (node,)), [points])
                compare(got, wanted, 1e-14, 0.0)
