"""Sample inputs of every operation: what ``test_every_op.py`` runs each op on.

A new op needs a line in ``SAMPLES``; its types, text, derivatives, batching and native code are
then tested. Float64 samples with ``gradient=True`` must lie where the op is smooth (``REACH``
around each element); put kinks, nan and infinities in samples with ``gradient=False``.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symflux.ir import Graph, constant, symbol
from symflux.ops import add, lt, mul, sin, sub

__all__ = ["REACH", "SAMPLES", "Sample"]

#: How far the differences of the gradient checks move an element.
REACH = 0.02


@dataclass(frozen=True)
class Sample:
    """Inputs and attributes of one application of an op.

    ``gradient`` is False where the op is not smooth; ``modes`` are the modes in which it can be
    differentiated; ``tolerance`` is the relative error allowed in native code, where the op needs
    more than its dtype's usual one."""

    arrays: tuple[np.ndarray[Any, Any], ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    gradient: bool = True
    modes: tuple[str, ...] = ("forward", "reverse")
    tolerance: float = 0.0

    def __repr__(self) -> str:
        inputs = " ".join(f"{a.dtype}{list(a.shape)}" for a in self.arrays)
        plain = {k: v for k, v in self.attrs.items() if not isinstance(v, Graph)}
        attrs = " ".join(f"{k}={v}" for k, v in plain.items())
        return " ".join(part for part in (inputs, attrs) if part)


INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
ODD = (np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e300, 5e-324, 3.0)


def _random(*key: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def _between(low: float, high: float, shape: Sequence[int], dtype: str, *key: object) -> Any:
    """Uniform in (low, high), REACH away from both, so that differences stay inside."""
    margin = min(2 * REACH, (high - low) / 4)
    values = _random(low, high, shape, dtype, *key).uniform(low + margin, high - margin, shape)
    return np.asarray(values).astype(dtype)


def _unary(
    low: float, high: float, odd: Sequence[float] = (), tolerance: float = 0.0, **attrs: Any
) -> list[Sample]:
    """Floats in an interval, in several shapes and dtypes; ``odd`` values without derivatives."""
    samples = [
        Sample((_between(low, high, shape, dtype),), attrs, dtype == "float64", tolerance=tolerance)
        for shape, dtype in (
            ((5,), "float64"), ((), "float64"), ((2, 1, 3), "float64"), ((0, 2), "float64"),
            ((17,), "float32"), ((3, 3), "float16"),
        )
    ]  # fmt: skip
    if odd:
        samples.append(Sample((np.array(odd),), attrs, False, tolerance=tolerance))
        with np.errstate(over="ignore"):
            single = np.array(odd).astype("float32")
        samples.append(Sample((single,), attrs, False, tolerance=tolerance))
    return samples


def _at_value(function: Any) -> list[Sample]:
    """A function's value and its argument, of which an op takes both: not to be moved apart."""
    samples = []
    for dtype in ("float64", "float32", "float16"):
        for x in (
            _between(-5, 5, (3, 5), dtype),
            np.array([0.0, 1.5, -2.5, np.inf, np.nan], dtype),
        ):
            samples.append(Sample((function(x).astype(dtype), x), gradient=False))
    return samples


PAIRS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((2, 1), (1, 4)),
    ((), (3,)),
    ((4,), ()),
    ((), ()),
    ((0, 3), (3,)),
]


def _binary(
    first: tuple[float, float],
    second: tuple[float, float],
    odd: bool = True,
    tolerance: float = 0.0,
    **attrs: Any,
) -> list[Sample]:
    """Pairs of floats in intervals, broadcasting in every way."""
    samples = [
        Sample(
            (_between(*first, a, "float64", 1), _between(*second, b, "float64", 2)),
            attrs=attrs,
            tolerance=tolerance,
        )
        for a, b in PAIRS
    ]
    for dtype in ("float32", "float16"):
        arrays = _between(*first, (3, 5), dtype, 1), _between(*second, (5,), dtype, 2)
        samples.append(Sample(arrays, attrs, gradient=False, tolerance=tolerance))
    if odd:
        values = np.array(ODD)
        arrays = values[:, None], values[None, :]
        samples.append(Sample(arrays, attrs, gradient=False, tolerance=tolerance))
    return samples


def _whole(dtype: str, shape: Sequence[int], key: int, small: bool = False) -> Any:
    """Random integers of the whole range of a dtype, or small ones around 0."""
    limits = np.iinfo(dtype)
    low, high = (max(limits.min, -4), 7) if small else (limits.min, limits.max)
    return _random(dtype, tuple(shape), key).integers(low, high, shape, dtype, endpoint=True)


def _integers(count: int, small: bool = False, dtypes: Sequence[str] = INTS) -> list[Sample]:
    shapes: list[tuple[int, ...]] = [(11,), (2, 11)]
    return [
        Sample(tuple(_whole(dtype, shapes[i], i, small) for i in range(count))) for dtype in dtypes
    ]


def _bools(count: int) -> list[Sample]:
    values = np.array([True, False])
    arrays = (values[:, None], values)[2 - count :]
    return [Sample(arrays)]


def _apart(shape: Sequence[int], dtype: str = "float64") -> Any:
    """Distinct values further than REACH apart, in random order."""
    size = math.prod(shape)
    order = _random("apart", tuple(shape)).permutation(size)
    return (order * 0.3 - 0.13 * size).reshape(shape).astype(dtype)


def _integer_dtypes(shape: Sequence[int], **attrs: Any) -> list[Sample]:
    return [
        Sample((_whole(dtype, shape, 5, True),), attrs) for dtype in ("int8", "int64", "uint32")
    ]


def _moves(shape: Sequence[int], /, **attrs: Any) -> list[Sample]:
    """An op that moves elements, on floats, integers and bools."""
    values = _between(-2, 2, shape, "float64")
    return [
        Sample((values,), attrs),
        Sample((values.astype("float32"),), attrs, gradient=False),
        Sample(((values * 10).astype("int16"),), attrs),
        Sample((values > 0,), attrs),
    ]


def _folds(dtypes: Sequence[str] = ("float64",), empty: bool = True) -> list[Sample]:
    """A reduction over every choice of axes."""
    samples = []
    for axes in ((0,), (1,), (2,), (0, 2), (1, 2), (0, 1, 2), ()):
        samples.append(Sample((_apart((2, 3, 4)),), {"axes": axes}))
    samples.append(Sample((_apart((33,)),), {"axes": (0,)}))
    samples.append(Sample((_apart((1, 1)),), {"axes": (0,)}))
    samples.append(Sample((_apart(()),), {"axes": ()}))
    if empty:
        samples.append(Sample((np.zeros((2, 0, 3)),), {"axes": (1,)}))
    samples.append(Sample((np.zeros((2, 0, 3)),), {"axes": (2,)}))
    for dtype in dtypes:
        array = _apart((3, 21)).astype(dtype)
        samples.append(Sample((array,), {"axes": (1,)}, gradient=False))
        samples.append(Sample((array,), {"axes": (0,)}, gradient=False))
    return samples


def _odd_folds() -> list[Sample]:
    """Ties, nan and infinities under reductions that compare."""
    rows = np.array(
        [
            [1, 3, 3, 1],
            [np.nan, 1, 2, np.nan],
            [-np.inf] * 4,
            [np.inf, 0, np.inf, 0],
            [0.0, -0.0, 0, 0],
        ]
    )
    return [Sample((rows,), {"axes": axes}, gradient=False) for axes in ((0,), (1,), (0, 1))]


def _truths() -> list[Sample]:
    table = np.array([[True, True, True], [False, True, False], [False, False, False]])
    samples = [Sample((table,), {"axes": axes}) for axes in ((0,), (1,), (0, 1), ())]
    return [*samples, Sample((np.zeros((2, 0), bool),), {"axes": (1,)})]


def _contract(spec: str, *shapes: Sequence[int], dtype: str = "float64") -> Sample:
    if dtype.startswith("float"):
        arrays = [_between(-1, 1, shape, dtype, i) for i, shape in enumerate(shapes)]
    else:
        arrays = [_whole(dtype, shape, i, True) for i, shape in enumerate(shapes)]
    return Sample(tuple(arrays), {"spec": spec}, gradient=dtype == "float64")


def _ints(*values: Any, dtype: str = "int64") -> Any:
    return np.array(values, dtype=dtype)


_X = _between(-2, 2, (3, 4, 2), "float64")
_PICKS = [
    _ints(2, 0, 2), _ints([0, 1], [2, 2], [1, 0]), np.array(1), _ints(-7, 0, 99),
    np.zeros((0,), "int64"),
    _ints(1, 2, dtype="uint8"), _ints(0, 2, dtype="int32"),
]  # fmt: skip


def _takes() -> list[Sample]:
    samples = [Sample((_X, picks), {"axis": 0}) for picks in _PICKS]
    samples += [Sample((_X, _ints(3, 3, 0)), {"axis": 1}), Sample((_X, _PICKS[1]), {"axis": 2})]
    samples.append(Sample((np.array([True, False]), _ints(1, 1, 0)), {"axis": 0}))
    samples.append(Sample((np.zeros((0, 3)), np.zeros((0, 2), "int64")), {"axis": 0}))
    samples.append(Sample((_X.astype("float32"), _PICKS[0]), {"axis": 0}, gradient=False))
    rows = _between(-2, 2, (3, 4, 2), "float64", "rows")
    for picks in (_ints(1, 3, 0), np.array([[1, 2], [0, 7], [-5, 3]]), _ints(0, 0, 0)[:, None]):
        samples.append(Sample((rows, picks), {"axis": 1, "batch": 1}))
    samples.append(Sample((rows, np.array([1, 0, 1])), {"axis": 2, "batch": 1}))
    samples.append(Sample((rows, _whole("int8", (3, 4, 2), 5)), {"axis": 2, "batch": 2}))
    return samples


def _scatters() -> list[Sample]:
    samples = []
    for picks in _PICKS:
        updates = _between(-2, 2, (*picks.shape, 2), "float64")
        samples.append(Sample((updates, picks), {"axis": 0, "size": 3}))
    updates = _between(-2, 2, (2, 3, 2), "float64")
    samples.append(Sample((updates, _ints(3, 3, 0)), {"axis": 1, "size": 4}))
    samples.append(Sample((updates, _ints(1, 1)), {"axis": 2, "size": 2}))
    samples.append(Sample((_ints(1, 2, 3), _ints(1, 1, 0)), {"axis": 0, "size": 2}))
    samples.append(
        Sample((updates.astype("float32"), _ints(3, 3, 0)), {"axis": 1, "size": 4}, gradient=False)
    )
    picks = np.array([[3, 1, 1], [9, -2, 0]])
    samples.append(Sample((updates, picks), {"axis": 1, "size": 4, "batch": 1}))
    samples.append(Sample((updates, np.array([2, 0])), {"axis": 1, "size": 4, "batch": 1}))
    samples.append(
        Sample((updates, np.array([[1], [9]])[:, 0]), {"axis": 3, "size": 2, "batch": 1})
    )
    samples.append(Sample((updates, picks), {"axis": 2, "size": 3, "batch": 2}))
    return samples


def _casts() -> list[Sample]:
    """Between all dtypes, on values that all of them hold."""
    names = ("bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f16", "f32", "f64")
    samples = []
    for source in ("bool", *INTS, "float16", "float32", "float64"):
        array = np.array([0, 1, 2, 100, 0, 7]).astype(source)
        samples += [Sample((array,), {"dtype": name}, gradient=False) for name in names]
    values = np.array([0.1, 1.7, 99.9, -0.0])
    samples += [
        Sample((values,), {"dtype": name}, gradient=False) for name in ("i32", "u8", "bool")
    ]
    samples += [Sample((values,), {"dtype": "f64"}), Sample((values - 3,), {"dtype": "i8"}, False)]
    return samples


def _scalar(name: str) -> Any:
    return symbol(name, ())


def _conds() -> list[Sample]:
    x, y = _scalar("x"), symbol("y", (3,))
    then = Graph("then", (x, y), (mul(x, x), sin(y)))
    otherwise = Graph("otherwise", (x, y), (x, mul(y, x)))
    arrays = np.float64(0.7), _between(-1, 1, (3,), "float64")
    attrs = {"then": then, "otherwise": otherwise}
    return [Sample((np.array(p), *arrays), attrs) for p in (True, False)]


def _scans() -> list[Sample]:
    i, c, e, k = symbol("i", (), "i64"), symbol("c", (2,)), symbol("e", (2,)), _scalar("k")
    step = sin(add(mul(c, k), e))
    body = Graph("body", (i, c, e, k), (step, mul(step, e)))
    samples = []
    for length in (3, 1, 0):
        arrays = tuple(_between(-1, 1, s, "float64") for s in ((2,), (length, 2), ()))
        for reverse in (False, True):
            attrs = {"body": body, "length": length, "carry": 1, "consts": 1, "reverse": reverse}
            samples.append(Sample(arrays, attrs))
    return samples


def _whiles() -> list[Sample]:
    n, c, k = symbol("n", (), "i64"), _scalar("c"), _scalar("k")
    test = Graph("test", (n, c, k), (lt(n, constant(4, "i64")),))
    body = Graph("body", (n, c, k), (add(n, constant(1, "i64")), sub(sin(mul(c, k)), c)))
    arrays = np.array(1), np.array(0.4), np.array(1.3)
    return [Sample(arrays, {"test": test, "body": body, "consts": 1}, modes=("forward",))]


_WHERE = [
    Sample((np.array([True, False, True]), _between(-1, 1, (2, 3), "float64"), _apart((2, 1)))),
    Sample((np.array(True), _apart(()), _apart((3,)))),
    Sample((np.array([[True], [False]]), _ints(1, 2, 3), _ints(-1, -2, -3))),
    Sample((np.array([True, False]), np.array([np.nan, 1]), np.array([1, np.inf])), gradient=False),
    Sample((np.zeros((0,), bool), np.zeros((0,)), np.zeros(()))),
    Sample((np.array([True, False]), np.array([True, True]), np.array([False, False]))),
]

_SIGNED = ("int8", "int16", "int32", "int64")
_POWERS = np.array([0.0, 1.0, 2.0, 3.0, -1.0, -2.0, 0.5])

SAMPLES: dict[str, list[Sample]] = {
    # arithmetic
    "add": _binary((-2, 2), (-2, 2)) + _integers(2),
    "sub": _binary((-2, 2), (-2, 2)) + _integers(2),
    "mul": _binary((-2, 2), (-2, 2)) + _integers(2),
    "div": _binary((-2, 2), (0.4, 2)),
    "floordiv": _binary((0.1, 0.9), (2, 3), odd=False) + _integers(2, small=True),
    "mod": _binary((0.1, 0.9), (1, 3), odd=False)
    + _integers(2, small=True)
    + [Sample((np.array([5.5, -5.5, 5.5, -5.5]), np.array([3.0, 3.0, -3.0, -3.0])))],
    "neg": _unary(-2, 2, ODD) + _integers(1),
    "abs": _unary(0.1, 2, ODD) + _unary(-2, -0.1) + _integers(1, dtypes=_SIGNED),
    "sign": _unary(0.1, 2, ODD) + _integers(1, dtypes=_SIGNED),
    "reciprocal": _unary(0.3, 2, ODD) + _unary(-2, -0.3),
    "minimum": _binary((-2, -0.1), (0.1, 2))
    + _binary((1.1, 2), (0.1, 1))
    + _integers(2)
    + _bools(2),
    "maximum": _binary((-2, -0.1), (0.1, 2))
    + _binary((1.1, 2), (0.1, 1))
    + _integers(2)
    + _bools(2),
    "copysign": _binary((0.1, 2), (-2, -0.1)) + _binary((-2, -0.1), (-2, -0.1), odd=False),
    "pow": [
        *_binary((0.3, 2), (-2, 3)),
        Sample(
            (np.array([0.0, 0.0, 0.0, -1.5, -1.5]), np.array([2.0, 1.0, 0.0, 2.0, 3.0])),
            gradient=False,
        ),
    ],
    # exponentials, logarithms, roots
    "exp": _unary(-3, 3, ODD),
    "exp2": _unary(-3, 3, ODD),
    "expm1": _unary(-3, 3, (*ODD, 1e-10)),
    "log": _unary(0.3, 4, ODD),
    "log2": _unary(0.3, 4, ODD),
    "log10": _unary(0.3, 4, ODD),
    "log1p": _unary(-0.7, 4, (*ODD, 1e-10)),
    "sqrt": _unary(0.3, 4, ODD),
    "rsqrt": _unary(0.3, 4, ODD),
    # trigonometry
    "sin": _unary(-3, 3, (*ODD[:-3], 1e5)),
    "cos": _unary(-3, 3, (*ODD[:-3], 1e5)),
    "tan": _unary(-1.2, 1.2, (*ODD[:-3], 1e5)),
    "arcsin": _unary(-0.8, 0.8, ODD),
    "arccos": _unary(-0.8, 0.8, ODD),
    "arctan": _unary(-3, 3, ODD),
    "arctan2": _binary((0.3, 2), (-2, 2)) + _binary((-2, 2), (-2, -0.3)),
    "arctan2_slope": _binary((0.3, 2), (-2, 2)) + _binary((-2, 2), (-2, -0.3)),
    "power_less": _binary((0.3, 3), (-2, 3), tolerance=1e-14, less=1)
    + _binary((0.3, 3), (-2, 3), odd=False, less=2),
    "hypot": _binary((0.3, 2), (-2, 2)) + _binary((-2, 2), (-2, -0.3)),
    "hypot_slope": _binary((0.3, 2), (-2, 2)) + _binary((-2, 2), (-2, -0.3)),
    "sinh": _unary(-3, 3, ODD),
    "cosh": _unary(-3, 3, ODD),
    "tanh": _unary(-3, 3, ODD),
    "arcsinh": _unary(-3, 3, ODD),
    "arccosh": _unary(1.3, 4, ODD),
    "arctanh": _unary(-0.8, 0.8, ODD),
    # learning and probability
    "sigmoid": _unary(-4, 4, ODD),
    "softplus": _unary(-4, 4, ODD),
    "logaddexp": _binary((-4, 4), (-4, 4)),
    "logaddexp_slope": _binary((-4, 4), (-4, 4), operand=0) + _binary((-4, 4), (-4, 4), operand=1),
    "log_cosh": _unary(-4, 4, ODD),
    "relu": _unary(0.1, 2, ODD) + _unary(-2, -0.1),
    "erf": _unary(-2, 2, ODD),
    "erfc": _unary(-2, 2, ODD),
    "lgamma": _unary(0.3, 6, (0.0, 1.0, 2.0, 100.0, -1.5), tolerance=1e-12) + _unary(-1.8, -1.2),
    "polygamma": _unary(0.5, 6, tolerance=1e-12, order=0)
    + _unary(-0.8, -0.2, tolerance=1e-12, order=0)
    + _unary(0.5, 6, tolerance=1e-12, order=1)
    + _unary(0.5, 6, tolerance=1e-12, order=4),
    "sigmoid_slope": _at_value(lambda x: 1 / (1 + np.exp(-x))),
    "tanh_slope": _at_value(np.tanh),
    **{name: _unary(-2, 2, ODD) for name in ("arcsinh_slope", "arctan_slope", "gaussian")},
    **{name: _unary(-0.9, 0.9, ODD) for name in ("arcsin_slope", "arctanh_slope")},
    "arccosh_slope": _unary(1.2, 9, ODD),
    "sinc": _unary(0.1, 9, ODD, order=0) + _unary(-0.9, 0.9, order=1) + _unary(-6, 6, order=3),
    "sinc_pi": _unary(0.1, 3, ODD, order=0) + _unary(-0.9, 0.9, order=1) + _unary(-2, 2, order=3),
    # rounding
    **{
        name: _unary(0.1, 0.4, (*ODD, -0.5, 1.5, 2.5)) + _unary(-1.4, -1.1)
        for name in ("floor", "ceil", "trunc", "round")
    },
    # comparison
    **{
        name: _binary((-2, 0), (0, 2)) + _integers(2, small=True) + _bools(2)
        for name in ("eq", "ne", "lt", "le", "gt", "ge")
    },
    "isnan": _unary(-2, 2, ODD),
    "isfinite": _unary(-2, 2, ODD),
    # logic and bits
    "and": _integers(2) + _bools(2),
    "or": _integers(2) + _bools(2),
    "xor": _integers(2) + _bools(2),
    "not": _integers(1) + _bools(1),
    "shl": [Sample((_whole(d, (5,), 1), np.array([0, 1, 3, 5, 7], d))) for d in INTS],
    "shr": [Sample((_whole(d, (5,), 1), np.array([0, 1, 3, 5, 7], d))) for d in INTS],
    # selection and conversion
    "where": _WHERE,
    "cast": _casts(),
    "stop_gradient": [
        Sample((_apart((3,)),), gradient=False),
        Sample((_ints(1, 2),)),
        Sample((np.array([True]),)),
    ],
    # moving elements
    "reshape": _moves((2, 6), shape=(3, 4))
    + _moves((), shape=(1, 1))
    + _moves((0, 3), shape=(5, 0))
    + _moves((1, 4, 1, 3), shape=(12,)),
    "transpose": _moves((2, 3, 4), axes=(2, 0, 1))
    + _moves((), axes=())
    + _moves((1, 0, 2), axes=(1, 2, 0)),
    "broadcast_to": _moves((3, 1), shape=(2, 3, 4))
    + _moves((), shape=(2, 2))
    + _moves((1,), shape=(0,))
    + _moves((2,), shape=(2,)),
    "slice": _moves((5, 4), start=(1, 0), step=(2, 3), shape=(2, 2))
    + _moves((5, 4), start=(4, 3), step=(-1, -2), shape=(5, 2))
    + _moves((3,), start=(2,), step=(-2,), shape=(1,))
    + _moves((3,), start=(0,), step=(1,), shape=(0,))
    + _moves((), start=(), step=(), shape=()),
    "pad": _moves((2, 3), low=(1, 0), high=(2, 1), interior=(0, 2))
    + _moves((0,), low=(2,), high=(1,), interior=(3,))
    + _moves((1,), low=(0,), high=(0,), interior=(2,))
    + _moves((), low=(), high=(), interior=()),
    "windows": _moves((7,), axis=0, size=3, step=1, dilation=1)
    + _moves((2, 9, 3), axis=1, size=2, step=3, dilation=2)
    + _moves((3, 40), axis=1, size=20, step=2, dilation=1)
    + _moves((4, 2), axis=0, size=4, step=1, dilation=1)
    + _moves((5,), axis=0, size=1, step=2, dilation=3),
    "concatenate": [
        Sample(tuple(_between(-2, 2, (2, n), "float64", n) for n in (1, 3, 0, 2)), {"axis": 1}),
        Sample((_apart((2, 2)), _apart((1, 2))), {"axis": 0}),
        Sample((_apart((3,)),), {"axis": 0}),
        Sample(tuple(_apart((2,)) + i for i in range(7)), {"axis": 0}),
        Sample((_ints(1, 2), _ints(3)), {"axis": 0}),
        Sample((np.array([True]), np.array([False, True])), {"axis": 0}),
        Sample((np.zeros((0,)), np.zeros((0,))), {"axis": 0}),
    ],
    "take": _takes(),
    "scatter_add": _scatters(),
    "iota": [
        Sample((), {"shape": (4,), "dtype": "i64", "axis": 0}),
        Sample((), {"shape": (2, 3), "dtype": "f32", "axis": 1}),
        Sample((), {"shape": (2, 3, 1), "dtype": "u8", "axis": 0}),
        Sample((), {"shape": (0, 3), "dtype": "f64", "axis": 1}),
    ],
    # reductions
    "sum": _folds(("float32", "float16", "int8", "uint64")),
    "prod": _folds(("float32", "int8", "uint64"))
    + [
        Sample((np.array(row),), {"axes": (0,)})
        for row in ([1.5, 0.0, 2.0], [0.0, 0.0, 3.0, 2.0], [0.0, 0.0, 0.0], [0.7])
    ]
    + [Sample((np.array([[0.0, 2.0], [3.0, 0.5]]),), {"axes": (0, 1)})],
    "max": _folds(("float32", "float16", "int8", "uint64", "bool"), empty=False) + _odd_folds(),
    "min": _folds(("float32", "float16", "int8", "uint64", "bool"), empty=False) + _odd_folds(),
    "any": _truths(),
    "all": _truths(),
    "argmax": _folds(("float32", "float16", "int8", "uint64", "bool"), empty=False) + _odd_folds(),
    "argmin": _folds(("float32", "float16", "int8", "uint64", "bool"), empty=False) + _odd_folds(),
    # contraction
    "contract": [
        _contract("ik,kj->ij", (2, 3), (3, 4)),
        _contract("ik,jk->ji", (2, 3), (4, 3)),
        _contract("ki,kj->ij", (3, 5), (3, 4)),
        _contract("bik,bjk->bij", (2, 3, 4), (2, 5, 4)),
        _contract("ibk,jkb->jbi", (3, 2, 4), (5, 4, 2)),
        _contract("ik,k->i", (4, 3), (3,)),
        _contract("k,k->", (5,), (5,)),
        _contract("i,j->ij", (2,), (3,)),
        _contract("ikl,lkj->ij", (2, 3, 4), (4, 3, 2)),
        _contract("b,b->b", (3,), (3,)),
        _contract("ij,->ji", (2, 3), ()),
        _contract("ik,kj->ij", (2, 0), (0, 3)),
        _contract("ik,kj->ij", (0, 2), (2, 3)),
        _contract("ik,kj->ij", (17, 19), (19, 33), dtype="float32"),
        _contract("ik,kj->ij", (3, 5), (5, 2), dtype="float16"),
        _contract("ik,kj->ij", (3, 5), (5, 2), dtype="int8"),
        _contract("bik,kj->bij", (2, 3, 5), (5, 2), dtype="uint32"),
    ],
    # regions
    "pack": [Sample((_apart((3,)), _ints(1, 2), np.float64(0.3)))],
    "cond": _conds(),
    "scan": _scans(),
    "while": _whiles(),
}
