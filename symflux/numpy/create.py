"""Functions that make arrays: zeros and its relatives, arange, array; inside a trace, as nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..ir.node import Node, constant
from ..ir.op import lookup
from ..ir.origin import user_frame
from ..ops import composed
from ..trace.array import Array, as_array, as_node, operand
from ..trace.dispatch import TABLE, implements, numpys
from ..trace.promote import FLOAT, STORED, build, cast, literal, promoted
from ..trace.scope import short_dtype
from ..trace.views import reshape
from .shape import broadcast_node, moveaxis

__all__ = ["filled"]


def _shape(shape: Any) -> tuple[int, ...]:
    given = shape if isinstance(shape, tuple | list | np.ndarray) else (shape,)
    return tuple(n.__index__() for n in given)


def filled(shape: Any, value: Any, dtype: str) -> Array:
    """An array with one value everywhere."""
    return Array(broadcast_node(literal(value, dtype), _shape(shape)))


def _short(dtype: Any, default: str) -> str:
    return default if dtype is None else short_dtype(dtype)


@implements(np.zeros)
def zeros(shape: Any, dtype: Any = None, order: str = "C", **_: Any) -> Array:
    """Zeros, float64 by default."""
    return filled(shape, 0, _short(dtype, "f64"))


@implements(np.empty)
def empty(shape: Any, dtype: Any = None, order: str = "C", **_: Any) -> Array:
    """Zeros: a graph has no uninitialised elements."""
    return filled(shape, 0, _short(dtype, "f64"))


@implements(np.ones)
def ones(shape: Any, dtype: Any = None, order: str = "C", **_: Any) -> Array:
    """Ones, float64 by default."""
    return filled(shape, 1, _short(dtype, "f64"))


@implements(np.full)
def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", **_: Any) -> Array:
    """One value everywhere."""
    key, value = operand(fill_value)
    wanted = _short(dtype, STORED.get(key, key))
    node = cast(value, wanted) if type(value) is Node else literal(value, wanted)
    return Array(broadcast_node(node, _shape(shape)))


def _like(a: Any, dtype: Any, shape: Any) -> tuple[tuple[int, ...], str]:
    x = as_array(a)
    return (x.shape if shape is None else _shape(shape)), _short(dtype, x.node.dtype)


@implements(np.empty_like)
def empty_like(prototype: Any, dtype: Any = None, order: str = "K", subok: bool = True,
               shape: Any = None, **_: Any) -> Array:  # fmt: skip
    """Zeros: a graph has no uninitialised elements."""
    return zeros_like(prototype, dtype, shape=shape)


@implements(np.zeros_like)
def zeros_like(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None,
               **_: Any) -> Array:  # fmt: skip
    """Zeros of the shape and dtype of ``a``."""
    extents, short = _like(a, dtype, shape)
    return filled(extents, 0, short)


@implements(np.ones_like)
def ones_like(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None,
              **_: Any) -> Array:  # fmt: skip
    """Ones of the shape and dtype of ``a``."""
    extents, short = _like(a, dtype, shape)
    return filled(extents, 1, short)


@implements(np.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True,
              shape: Any = None, **_: Any) -> Array:  # fmt: skip
    """One value everywhere, in the shape and dtype of ``a``."""
    extents, short = _like(a, dtype, shape)
    value = operand(fill_value)[1]
    node = cast(value, short) if type(value) is Node else literal(value, short)
    return Array(broadcast_node(node, extents))


@implements(np.arange)
def arange(start: Any, stop: Any = None, step: Any = 1, *, dtype: Any = None, **_: Any) -> Array:
    """``start``, ``start + step``, ... below ``stop``; all three known while tracing."""
    short = None if dtype is None else short_dtype(dtype)
    return Array(build(composed.arange, start, stop, step, short))


@implements(np.linspace)
def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False,
             dtype: Any = None, axis: int = 0, **_: Any) -> Any:  # fmt: skip
    """``num`` numbers from ``start`` to ``stop`` at equal distances; both may be traced."""
    first, last = (as_array(v) for v in (start, stop))
    pair = promoted([operand(first)[0], operand(last)[0], FLOAT])
    a, b = (Array(cast(v.node, pair)) for v in (first, last))
    num = num.__index__()
    gaps = num - 1 if endpoint else num
    rank = max(a.ndim, b.ndim)
    steps = lookup("iota")(shape=(num, *(1,) * rank), dtype=pair, axis=0)
    width = b - a
    step = width / max(gaps, 1)
    numbers = Array(steps) * step + a
    if endpoint and num > 1:
        numbers = _with_last(numbers, as_array(np.broadcast_to(b, numbers.shape[1:])))
    if dtype is not None:  # integers are those below, as in NumPy
        whole = short_dtype(dtype)[0] in "iu"
        numbers = (TABLE[np.floor](numbers) if whole else numbers).astype(dtype)
    result = moveaxis(numbers, 0, axis) if rank else numbers
    return (result, step) if retstep else result


def _with_last(numbers: Array, last: Array) -> Array:
    """The last row is exactly ``stop``, as in NumPy."""
    result = numbers.copy()
    result[-1] = last
    return result


@implements(np.eye)
def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = float, **_: Any) -> Array:
    """Ones on a diagonal."""
    shape = (int(N), int(N if M is None else M))
    return Array(composed.eye(*shape, k, short_dtype(dtype)))


@implements(np.identity)
def identity(n: int, dtype: Any = None, **_: Any) -> Array:
    """Ones on the diagonal of a square."""
    return eye(n, dtype=float if dtype is None else dtype)


@implements(np.array)
def array(object: Any, dtype: Any = None, *, copy: bool | None = True, **_: Any) -> Array:
    """An array from numbers and arrays, nested in lists."""
    if not copy and type(object) is Array:
        return asarray(object, dtype)
    value = _assembled(object)
    if dtype is not None:
        return Array(cast(as_node(value), short_dtype(dtype)))
    if type(value) is Array:
        return Array(value.node)
    return Array(as_node(value))


@implements(np.asarray, np.ascontiguousarray, np.asanyarray)
def asarray(a: Any, dtype: Any = None, *, copy: bool | None = None, **_: Any) -> Array:
    """``a`` as a traced array; itself where it is one."""
    same = type(a) is Array and (dtype is None or short_dtype(dtype) == a.node.dtype)
    if same and not copy:
        return a
    return array(a, dtype)


def _assembled(value: Any) -> Any:
    """Nested lists as one array: traced where something in them is."""
    if not isinstance(value, list | tuple):
        return value
    if not _has_traced(value):
        plain = np.asarray(value)
        return Array(constant(plain, short_dtype(plain.dtype)))
    parts = [_assembled(v) for v in value]
    pairs = [operand(p) for p in parts]
    dtype = promoted([key for key, _ in pairs])
    dtype = STORED.get(dtype, dtype)
    nodes = [cast(v, dtype) if type(v) is Node else literal(v, dtype) for _, v in pairs]
    shapes = {n.shape for n in nodes}
    if len(shapes) != 1:
        found = " and ".join(map(str, sorted(shapes)))
        raise ShapeError(f"array: the parts have shapes {found}", place=user_frame())
    rows = [reshape(n, (1, *n.shape)) for n in nodes]
    return Array(rows[0] if len(rows) == 1 else build("concatenate", *rows, axis=0))


def _has_traced(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_has_traced(v) for v in value)
    return type(value) is Array or hasattr(type(value), "_symflux_value")


@implements(*numpys("astype"), name="astype")
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Array:
    """``x`` converted to ``dtype``."""
    return as_array(x).astype(dtype)


@implements(np.fromfunction)
def fromfunction(function: Any, shape: Any, *, dtype: Any = float, **kwargs: Any) -> Any:
    """``function`` of the index arrays."""
    extents = _shape(shape)
    if not extents:
        raise ArgumentError("fromfunction needs a shape", place=user_frame())
    short = short_dtype(dtype)
    wide = "i64" if short == "bool" else short
    numbers = [lookup("iota")(shape=extents, dtype=wide, axis=i) for i in range(len(extents))]
    grids = [Array(cast(n, short)) for n in numbers]
    return function(*grids, **kwargs)
