"""Functions that make arrays: zeros and its relatives, arange, array; inside a trace, as nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..ir.node import constant
from ..ir.op import lookup
from ..ir.origin import user_frame
from ..ops import composed
from ..trace.again import by_types
from ..trace.array import Array, as_array, as_node, element, operand
from ..trace.dispatch import TABLE, implements, numpys
from ..trace.fitting import adapted
from ..trace.promote import FLOAT, STORED, build, cast, literal, promoted
from ..trace.scope import short_dtype
from ..trace.views import reshape
from .elementwise import no_keywords
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
def zeros(shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None,
          like: Any = None) -> Array:  # fmt: skip
    """Zeros, float64 by default."""
    return filled(shape, 0, _short(dtype, "f64"))


@implements(np.empty)
def empty(shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None,
          like: Any = None) -> Array:  # fmt: skip
    """Zeros: a graph has no uninitialised elements."""
    return filled(shape, 0, _short(dtype, "f64"))


@implements(np.ones)
def ones(shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None,
         like: Any = None) -> Array:  # fmt: skip
    """Ones, float64 by default."""
    return filled(shape, 1, _short(dtype, "f64"))


@implements(np.full)
def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", *, device: Any = None,
         like: Any = None) -> Array:  # fmt: skip
    """One value everywhere."""
    key, value = operand(fill_value)
    wanted = _short(dtype, STORED.get(key, key))
    return Array(broadcast_node(adapted(key, value, wanted), _shape(shape)))


def _like(a: Any, dtype: Any, shape: Any) -> tuple[tuple[int, ...], str]:
    x = as_array(a)
    return (x.shape if shape is None else _shape(shape)), _short(dtype, x.node.dtype)


@implements(np.empty_like)
def empty_like(prototype: Any, dtype: Any = None, order: str = "K", subok: bool = True,
               shape: Any = None, *, device: Any = None) -> Array:  # fmt: skip
    """Zeros: a graph has no uninitialised elements."""
    return zeros_like(prototype, dtype, shape=shape)


@implements(np.zeros_like)
def zeros_like(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None,
               *, device: Any = None) -> Array:  # fmt: skip
    """Zeros of the shape and dtype of ``a``."""
    extents, short = _like(a, dtype, shape)
    return filled(extents, 0, short)


@implements(np.ones_like)
def ones_like(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None,
              *, device: Any = None) -> Array:  # fmt: skip
    """Ones of the shape and dtype of ``a``."""
    extents, short = _like(a, dtype, shape)
    return filled(extents, 1, short)


@implements(np.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True,
              shape: Any = None, *, device: Any = None) -> Array:  # fmt: skip
    """One value everywhere, in the shape and dtype of ``a``."""
    extents, short = _like(a, dtype, shape)
    return Array(broadcast_node(adapted(*operand(fill_value), short), extents))


@implements(np.arange)
def arange(start: Any, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None,
           like: Any = None) -> Array:  # fmt: skip
    """``start``, ``start + step``, ... below ``stop``; all three known while tracing."""
    short = None if dtype is None else short_dtype(dtype)
    return Array(build(composed.arange, start, stop, step, short))


@implements(np.linspace)
def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False,
             dtype: Any = None, axis: int = 0, *, device: Any = None) -> Any:  # fmt: skip
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
def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = float, order: str = "C", *,
        device: Any = None, like: Any = None) -> Array:  # fmt: skip
    """Ones on a diagonal."""
    shape = (int(N), int(N if M is None else M))
    return Array(composed.eye(*shape, k, short_dtype(dtype)))


@implements(np.identity)
def identity(n: int, dtype: Any = None, *, like: Any = None) -> Array:
    """Ones on the diagonal of a square."""
    return eye(n, dtype=float if dtype is None else dtype)


@implements(np.array)
@by_types
def array(object: Any, dtype: Any = None, *, copy: bool | None = True, order: str = "K",
          subok: bool = False, ndmin: int = 0, ndmax: int = 0,
          like: Any = None) -> Array:  # fmt: skip
    """An array from numbers and arrays, nested in lists, of at least ``ndmin`` axes."""
    if ndmax:
        no_keywords("array", ndmax=ndmax)
    same = type(object) is Array and not object.weak and not copy
    same = same and (dtype is None or short_dtype(dtype) == object.node.dtype)
    made = object if same else _array(object, dtype)
    return made if made.ndim >= ndmin else made.reshape((1,) * (ndmin - made.ndim) + made.shape)


def _array(value: Any, dtype: Any) -> Array:
    if dtype is not None:
        short = short_dtype(dtype)
        return Array(element(_assembled(value, short), short))
    return Array(as_node(_assembled(value)))


@implements(np.asarray, np.asanyarray)
def asarray(a: Any, dtype: Any = None, order: str | None = None, *, device: Any = None,
            copy: bool | None = None, like: Any = None) -> Array:  # fmt: skip
    """``a`` as a traced array; itself where it is one."""
    return array(a, dtype, copy=copy)


@implements(np.ascontiguousarray)
def ascontiguousarray(a: Any, dtype: Any = None, *, like: Any = None) -> Array:
    """``a`` as a traced array of at least one axis."""
    return array(a, dtype, copy=None, ndmin=1)


def _ragged(what: str) -> ShapeError:
    return ShapeError(
        f"a list whose rows differ in length (ragged) is no array: {what}",
        place=user_frame(),
        right="[np.array(row) for row in rows]     # an array for each of the rows",
    )


def _assembled(value: Any, wanted: str = "") -> Any:
    """Nested lists as one array: traced where something in them is."""
    if not isinstance(value, list | tuple):
        return value
    if not _has_traced(value):
        if wanted:
            return Array(element(value, wanted))
        try:
            plain = np.asarray(value)
        except ValueError as error:
            raise _ragged(str(error)) from None
        return Array(constant(plain, short_dtype(plain.dtype)))
    parts = [_assembled(v, wanted) for v in value]
    pairs = [operand(p) for p in parts]
    dtype = wanted or promoted([key for key, _ in pairs])
    nodes = [adapted(key, v, dtype) for key, v in pairs]
    shapes = {n.shape for n in nodes}
    if len(shapes) != 1:
        found = " and ".join(map(str, sorted(shapes)))
        raise _ragged(f"the parts have shapes {found}")
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
