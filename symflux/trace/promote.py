"""Dtypes by NumPy's own rules (NEP 50), and operands as nodes of the dtype that they resolve to."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..errors import DTypeError, RangeError, ShapeError, SymFluxError
from ..ir.node import CONSTANT, Node, array_type, constant, constant_value, known
from ..ir.op import Op, lookup
from ..ir.origin import current, user_frame
from ..ir.types import dtype_of, numpy_dtype

__all__ = [
    "BOOL", "FLOAT", "INT", "build", "cast", "check_casting", "fits", "joined", "literal",
    "literal_scalar", "promoted",
    "reduced_dtype", "resolve",
]  # fmt: skip

# Keys stand for dtypes where promotion is decided: the short name of a dtype, or one of these for
# Python's own numbers, which adapt to the arrays that they meet.
BOOL, INT, FLOAT = "python bool", "python int", "python float"
_PYTHON: dict[str, Any] = {INT: int, FLOAT: float, BOOL: np.dtype(bool)}
#: the dtype in which a Python number is stored where nothing adapts it
STORED = {BOOL: "bool", INT: "i64", FLOAT: "f64"}
WEAK_KEYS = {"bool": BOOL, "i64": INT, "f64": FLOAT}

_resolved: dict[Any, tuple[str, ...]] = {}


def resolve(
    ufunc: Any, keys: tuple[str, ...], dtype: str = "", casting: str = "same_kind"
) -> tuple[str, ...]:
    """The dtypes in which NumPy would run ``ufunc`` for these operands: inputs, then outputs.

    Args:
        dtype: that of the outputs, where the user asked for one.
        casting: which conversions to the dtypes of the loop are permitted, in NumPy's words.

    Raises:
        DTypeError: naming the user's line, where NumPy has no such loop.
    """
    plain = not dtype and casting == "same_kind"
    key = (ufunc, keys) if plain else (ufunc, keys, dtype, casting)
    try:
        return _resolved[key]
    except KeyError:
        pass
    kinds = _PYTHON
    if all(key in STORED for key in keys):  # nothing to adapt to; two Python ints would be objects
        kinds = {key: numpy_dtype(stored) for key, stored in STORED.items()}
    given = tuple([kinds.get(key) or numpy_dtype(key) for key in keys])
    options: dict[str, Any] = {} if plain else {"casting": casting}
    if dtype:
        wanted = numpy_dtype(dtype)
        options["signature"] = (*[None] * ufunc.nin, *[wanted] * ufunc.nout)
    try:
        dtypes = ufunc.resolve_dtypes((*given, *[None] * ufunc.nout), **options)
        found = tuple([dtype_of(dtype) for dtype in dtypes])
    except TypeError as error:
        names = " and ".join(keys) + (f" with dtype={wanted.name!r}" if dtype else "")
        right = "x ^ y\nx.astype(int)" if ufunc is np.subtract else "x.astype(int)"
        raise DTypeError(
            f"np.{ufunc.__name__} is not defined for {names}",
            place=user_frame(),
            why=str(error).split("\n")[0][:200],
            right=right if set(keys) & {"bool", BOOL, "f16", "f32", "f64"} else "",
        ) from None
    _resolved[key] = found
    return found


def check_casting(what: str, dtypes: Iterable[str], wanted: str, casting: str) -> None:
    """Raise where a function may not convert its operands to a dtype.

    Raises:
        DTypeError: naming the user's line and ``astype``.
    """
    for dtype in dtypes:
        if not np.can_cast(numpy_dtype(dtype), numpy_dtype(wanted), casting):  # type: ignore[arg-type]
            name = numpy_dtype(wanted).name
            raise DTypeError(
                f"np.{what} cannot convert {numpy_dtype(dtype).name} to {name} under "
                f"casting={casting!r}",
                place=user_frame(),
                right=f"x.astype(np.{name})",
            )


def promoted(keys: list[str]) -> str:
    """The common dtype of operands of these keys, as for ``where`` or ``concatenate``."""
    key = ("result_type", *keys)
    try:
        return _resolved[key][0]
    except KeyError:
        pass
    examples = {INT: 0, FLOAT: 0.0, BOOL: False}
    values = [examples[k] if k in examples else numpy_dtype(k) for k in keys]
    dtype = dtype_of(np.result_type(*values))
    _resolved[key] = (dtype,)
    return dtype


def joined(keys: list[str]) -> str:
    """The common key of values of which one is taken: Python numbers among themselves stay so."""
    if all(key in STORED for key in keys):
        return max(keys, key=[BOOL, INT, FLOAT].index)
    return promoted(keys)


def reduced_dtype(ufunc: Any, dtype: str) -> str:
    """The dtype in which NumPy accumulates ``ufunc.reduce`` of elements of ``dtype``."""
    key = (ufunc, "reduce", dtype)
    try:
        return _resolved[key][0]
    except KeyError:
        pass
    _resolved[key] = (dtype_of(ufunc.reduce(np.ones(1, numpy_dtype(dtype))).dtype),)
    return _resolved[key][0]


def fits(value: float, dtype: str) -> bool:
    """Whether a number, cut off, is one of those that the integer dtype holds."""
    limits = np.iinfo(numpy_dtype(dtype))
    return math.isfinite(value) and int(limits.min) <= int(value) <= int(limits.max)


def literal_scalar(value: int, dtype: str) -> Any:
    """A Python integer as NumPy's scalar of an integer dtype.

    Raises:
        RangeError: if it does not fit.
    """
    return constant_value(literal(value, dtype))[()]  # type: ignore[index]


_literals: dict[Any, Node] = {}


def literal(value: Any, dtype: str) -> Node:
    """A constant of that dtype from a Python number, NumPy scalar or small array.

    Raises:
        RangeError: for a Python number that does not fit, as in NumPy.
    """
    cls = type(value)
    if cls is np.float64 and dtype == "f64":
        cls, value = float, float(value)
    key: Any = None
    if cls is float or cls is int or cls is bool:
        key = (cls, value or str(value), dtype)  # 0.0 and -0.0 are equal
        found = _literals.get(key)
        if found is not None:
            return found
        key = key if value == value else None
    if cls in (int, float) and dtype[0] in "iu" and not fits(value, dtype):
        limits = np.iinfo(numpy_dtype(dtype))
        name = numpy_dtype(dtype).name
        kind = "integer" if cls is int else "float"
        raise RangeError(
            f"the Python {kind} {value} does not fit into {name}",
            place=user_frame(),
            why=f"{name} holds {limits.min} to {limits.max}",
            right="x.astype(np.int64)" if dtype != "i64" else "a float, or a smaller number",
        )
    if cls is int and dtype[0] == "f":
        try:
            value = float(value)
        except OverflowError:
            raise RangeError(
                f"a Python integer of {value.bit_length()} bits is beyond all floats",
                place=user_frame(),
                right="float('inf'), or its logarithm",
            ) from None
    if cls is float and dtype == "f64":
        attrs = (("data", _DOUBLE.pack(value)), ("dtype", "f64"), ("shape", ()))
        node = known(CONSTANT, (), attrs, array_type((), "f64"), current(2))
    else:
        node = _constant_of(value, dtype)
    if key is not None:
        if len(_literals) > 4096:
            _literals.clear()
        _literals[key] = node
    return node


_DOUBLE = struct.Struct("=d")


def _constant_of(value: Any, dtype: str) -> Node:
    with np.errstate(all="ignore"):
        return constant(np.asarray(value).astype(numpy_dtype(dtype)), dtype)


def cast(node: Node, dtype: str) -> Node:
    """``node`` converted to ``dtype`` (itself where it already has it)."""
    return node if node.type.dtype == dtype else lookup("cast")(node, dtype=dtype)


#: what the sentence of a type rule says -> what helps; the first that is found decides
_SHAPE_CURES = (
    ("scalar operand", "x * y"),
    ("matmul", "A.T @ x              # a transpose, where its axes fit; or x.reshape(...)"),
    ("broadcast", "x[:, None] to add an axis, x.reshape(...) or x.T to arrange the axes"),
    ("tensordot", "np.dot(x[:n], y)     # of one extent; A.T where its axes fit"),
    ("concatenate", "y[None]              # an axis more, where one has fewer; or another axis="),
    ("stack", "np.concatenate([x, y])     # one after the other"),
    ("permute", "x.transpose(1, 0)    # each axis of x once"),
    (
        "does not name",
        "np.einsum('...i->...', x)     # a letter for each axis, or ... for the rest",
    ),
    (
        "has extents",
        "np.einsum('ij,kj->ik', x, y)     # a letter has one extent wherever it stands",
    ),
    ("equal division", "np.array_split(x, n)"),
)


def build(op: Op | Callable[..., Node] | str, *nodes: Any, **attrs: Any) -> Node:
    """Apply an op or a function on nodes; what it objects to is reported at the user's line.

    Raises:
        ShapeError, DTypeError: with the sentence of the type rule.
    """
    try:
        return (lookup(op) if isinstance(op, str) else op)(*nodes, **attrs)
    except SymFluxError:
        raise
    except ValueError as error:
        right = next((cure for word, cure in _SHAPE_CURES if word in str(error)), "")
        raise ShapeError(str(error), place=user_frame(), right=right) from None
    except OverflowError as error:  # a Python integer beyond the dtype of what it is put into
        raise RangeError(str(error), place=user_frame(), right="a wider dtype") from None
    except TypeError as error:
        raise DTypeError(str(error), place=user_frame()) from None
