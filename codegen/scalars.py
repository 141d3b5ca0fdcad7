"""The scalar functions of the loop IR, one row each: name, arity, types, meaning, cost.

``meaning`` is the NumPy function that defines the value (it is what the interpreter runs, and the
oracle of the native code's tests). ``native`` says how machine code gets it: an LLVM instruction
(``"instruction"``) or an intrinsic (``"intrinsic"``), both spelled in ``llvm/emit.py``, or a
function written in scalar IR (``"mathlib"``: see ``mathlib.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ..records import record

__all__ = [
    "FLOATS", "INTS", "SCALARS", "SIGNED", "UNSIGNED", "Scalar", "numpy_dtype", "result_dtype",
]  # fmt: skip

FLOATS = frozenset({"f16", "f32", "f64"})
SIGNED = frozenset({"i8", "i16", "i32", "i64"})
UNSIGNED = frozenset({"u8", "u16", "u32", "u64"})
INTS = SIGNED | UNSIGNED
BOOL = frozenset({"bool"})

_NUMPY = {"f": "float", "i": "int", "u": "uint"}


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """The NumPy dtype of a dtype name of the IR.

    >>> numpy_dtype("f32"), numpy_dtype("u8")
    (dtype('float32'), dtype('uint8'))
    """
    return np.dtype("bool" if dtype == "bool" else _NUMPY[dtype[0]] + dtype[1:])


Native = Literal["instruction", "intrinsic", "mathlib"]
Result = Literal["same", "bool", "cast", "select"]


@record(frozen=True, slots=True)
class Scalar:
    """One scalar function.

    All arguments share one dtype of ``domain`` except: ``select`` (bool, T, T) -> T, and ``cast``
    (any) -> the dtype of the Let's result. ``flops`` counts floating-point operations for cost
    reports (an elementary function counts as the operations of its polynomial)."""

    name: str
    arity: int
    domain: frozenset[str]
    meaning: Callable[..., Any]
    native: Native = "instruction"
    result: Result = "same"
    flops: int = 1
    commutative: bool = False


def _sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))`` by the exponential that cannot overflow, halves through singles."""
    wide = np.asarray(x, np.float32 if x.dtype == np.float16 else x.dtype)
    small = np.exp(-np.abs(wide))
    return (np.where(wide < 0, small, 1) / (1 + small)).astype(x.dtype)[()]


def _sigmoid_slope(s: Any, x: Any) -> Any:
    """``s (1 - s)`` for s = sigmoid(x); in the tail, where digits of 1 - s are lost, s² exp(-x)."""
    with np.errstate(all="ignore"):
        return np.where(x > 2, s * s * np.exp(-x), s * (1 - s)).astype(x.dtype)[()]


def _tanh_slope(t: Any, x: Any) -> Any:
    """``1 - t²`` for t = tanh(x); in the tails (1 + |t|)² exp(-2 |x|)."""
    with np.errstate(all="ignore"):
        tails = (1 + abs(t)) ** 2 * np.exp(-2 * abs(x))
        return np.where(abs(x) > 1, tails, (1 - t) * (1 + t)).astype(x.dtype)[()]


def _lgamma(x: Any) -> Any:
    import math

    return x.dtype.type(np.vectorize(lambda v: math.lgamma(v) if v > 0 or v % 1 else np.inf)(x))


def _erf(x: Any) -> Any:
    import math

    return np.vectorize(math.erf, otypes=[x.dtype])(x)[()]


def _erfc(x: Any) -> Any:
    import math

    return np.vectorize(math.erfc, otypes=[x.dtype])(x)[()]


NUMBERS = FLOATS | INTS
EVERY = NUMBERS | BOOL

_ROWS = (
    # name        arity domain   meaning
    Scalar("add", 2, NUMBERS, np.add, commutative=True),
    Scalar("sub", 2, NUMBERS, np.subtract),
    Scalar("mul", 2, NUMBERS, np.multiply, commutative=True),
    Scalar("div", 2, FLOATS, np.divide),
    Scalar("floordiv", 2, NUMBERS, np.floor_divide),  # NumPy's: rounds down; integer x // 0 is 0
    Scalar("mod", 2, NUMBERS, np.remainder),  # NumPy's: sign of the divisor; integer x % 0 is 0
    Scalar("neg", 1, NUMBERS, np.negative),
    Scalar("abs", 1, NUMBERS, np.absolute, native="intrinsic"),
    Scalar("sign", 1, NUMBERS, np.sign),  # nan stays nan
    Scalar("minimum", 2, EVERY, np.minimum, native="intrinsic", commutative=True),  # nan wins
    Scalar("maximum", 2, EVERY, np.maximum, native="intrinsic", commutative=True),  # nan wins
    Scalar("copysign", 2, FLOATS, np.copysign, native="intrinsic"),
    Scalar("fma", 3, FLOATS, lambda a, b, c: a * b + c, native="intrinsic", flops=2),
    Scalar("sqrt", 1, FLOATS, np.sqrt, native="intrinsic", flops=4),
    Scalar("floor", 1, FLOATS, np.floor, native="intrinsic"),
    Scalar("ceil", 1, FLOATS, np.ceil, native="intrinsic"),
    Scalar("trunc", 1, FLOATS, np.trunc, native="intrinsic"),
    Scalar("round", 1, FLOATS, np.rint, native="intrinsic"),  # half to even
    # comparisons and logic
    Scalar("eq", 2, EVERY, np.equal, result="bool", commutative=True),
    Scalar("ne", 2, EVERY, np.not_equal, result="bool", commutative=True),
    Scalar("lt", 2, EVERY, np.less, result="bool"),
    Scalar("le", 2, EVERY, np.less_equal, result="bool"),
    Scalar("gt", 2, EVERY, np.greater, result="bool"),
    Scalar("ge", 2, EVERY, np.greater_equal, result="bool"),
    Scalar("isnan", 1, FLOATS, np.isnan, result="bool"),
    Scalar("isfinite", 1, FLOATS, np.isfinite, result="bool"),
    Scalar("and", 2, INTS | BOOL, np.bitwise_and, commutative=True),
    Scalar("or", 2, INTS | BOOL, np.bitwise_or, commutative=True),
    Scalar("xor", 2, INTS | BOOL, np.bitwise_xor, commutative=True),
    Scalar("not", 1, INTS | BOOL, np.invert),  # bool: logical not
    Scalar("shl", 2, INTS, np.left_shift),
    Scalar("shr", 2, INTS, np.right_shift),  # arithmetic for signed, logical for unsigned
    Scalar("select", 3, EVERY, np.where, result="select"),
    Scalar("cast", 1, EVERY, lambda x: x, result="cast"),  # as NumPy's astype
    Scalar("bitcast", 1, NUMBERS, lambda x: x, result="cast"),  # same width, reinterpret the bits
    # elementary functions
    Scalar("exp", 1, FLOATS, np.exp, "mathlib", flops=16),
    Scalar("exp2", 1, FLOATS, np.exp2, "mathlib", flops=15),
    Scalar("expm1", 1, FLOATS, np.expm1, "mathlib", flops=20),
    Scalar("log", 1, FLOATS, np.log, "mathlib", flops=18),
    Scalar("log2", 1, FLOATS, np.log2, "mathlib", flops=18),
    Scalar("log10", 1, FLOATS, np.log10, "mathlib", flops=18),
    Scalar("log1p", 1, FLOATS, np.log1p, "mathlib", flops=22),
    Scalar("sin", 1, FLOATS, np.sin, "mathlib", flops=20),
    Scalar("cos", 1, FLOATS, np.cos, "mathlib", flops=20),
    Scalar("tan", 1, FLOATS, np.tan, "mathlib", flops=28),
    Scalar("arcsin", 1, FLOATS, np.arcsin, "mathlib", flops=20),
    Scalar("arccos", 1, FLOATS, np.arccos, "mathlib", flops=20),
    Scalar("arctan", 1, FLOATS, np.arctan, "mathlib", flops=22),
    Scalar("arctan2", 2, FLOATS, np.arctan2, "mathlib", flops=26),
    Scalar("sinh", 1, FLOATS, np.sinh, "mathlib", flops=24),
    Scalar("cosh", 1, FLOATS, np.cosh, "mathlib", flops=22),
    Scalar("tanh", 1, FLOATS, np.tanh, "mathlib", flops=24),
    Scalar("arcsinh", 1, FLOATS, np.arcsinh, "mathlib", flops=30),
    Scalar("arccosh", 1, FLOATS, np.arccosh, "mathlib", flops=30),
    Scalar("arctanh", 1, FLOATS, np.arctanh, "mathlib", flops=28),
    Scalar("sigmoid", 1, FLOATS, _sigmoid, "mathlib", flops=20),
    Scalar("sigmoid_slope", 2, FLOATS, _sigmoid_slope, "mathlib", flops=4),
    Scalar("tanh_slope", 2, FLOATS, _tanh_slope, "mathlib", flops=5),
    Scalar("erf", 1, FLOATS, _erf, "mathlib", flops=30),
    Scalar("erfc", 1, FLOATS, _erfc, "mathlib", flops=34),
    Scalar("lgamma", 1, FLOATS, _lgamma, "mathlib", flops=50),
    Scalar("pow", 2, FLOATS, np.power, "mathlib", flops=50),
)

#: name -> row
SCALARS: dict[str, Scalar] = {row.name: row for row in _ROWS}


def result_dtype(op: str, args: tuple[str, ...], wanted: str) -> str:
    """The dtype of ``op``'s result for argument dtypes ``args`` (``wanted``: for casts, as
    given)."""
    match SCALARS[op].result:
        case "same":
            return args[0]
        case "bool":
            return "bool"
        case "select":
            return args[1]
    return wanted
