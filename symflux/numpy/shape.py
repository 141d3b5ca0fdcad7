"""Functions that move elements of traced arrays: reshape, transpose, join, split, pad, take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError, UnsupportedOperation
from ..ir.node import Node, constant
from ..ir.op import lookup
from ..ir.origin import user_frame
from ..ir.types import broadcast_shapes
from ..trace.array import Array, as_array, as_node
from ..trace.dispatch import implements
from ..trace.promote import build, cast, literal
from ..trace.scope import short_dtype
from ..trace.views import read_slice, reshape
from .elementwise import common, no_keywords
from .reduce import axes_of

__all__ = ["broadcast_node"]


def _axis(x: Array, axis: int) -> int:
    return axes_of(x.node, axis)[0]


@implements(np.reshape)
def reshape_(a: Any, /, shape: Any = None, order: str = "C", *, newshape: Any = None,
             copy: bool | None = None) -> Array:  # fmt: skip
    """The elements in row-major order under another shape; a view where NumPy gives one."""
    wanted = newshape if shape is None else shape
    return as_array(a).reshape(wanted, order=order, copy=copy)


@implements(np.ravel)
def ravel(a: Any, order: str = "C") -> Array:
    """One axis."""
    return as_array(a).ravel(order)


@implements(np.transpose, np.permute_dims)
def transpose_(a: Any, axes: Any = None) -> Array:
    """The axes in another order, reversed by default."""
    x = as_array(a)
    return x.transpose() if axes is None else x.transpose(tuple(axes))


@implements(np.matrix_transpose)
def matrix_transpose(x: Any, /) -> Array:
    """The last two axes exchanged."""
    return as_array(x).mT


@implements(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Array:
    """Two axes exchanged."""
    x = as_array(a)
    order = list(range(x.ndim))
    i, j = _axis(x, axis1), _axis(x, axis2)
    order[i], order[j] = order[j], order[i]
    return x.transpose(tuple(order)) if x.ndim else x


@implements(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Array:
    """Axes moved to other places; the rest keep their order."""
    x = as_array(a)
    start = [_axis(x, s) for s in (source if isinstance(source, tuple | list) else (source,))]
    end = [_axis(x, d) for d in (
        destination if isinstance(destination, tuple | list) else (destination,)
    )]  # fmt: skip
    if len(start) != len(end):
        raise ShapeError(
            f"np.moveaxis: {len(start)} axes cannot go to {len(end)} places", place=user_frame()
        )
    order = [i for i in range(x.ndim) if i not in start]
    for to, axis in sorted(zip(end, start, strict=True)):
        order.insert(to, axis)
    return x.transpose(tuple(order))


@implements(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Array:
    """An axis moved to before place ``start``."""
    x = as_array(a)
    number = _axis(x, axis)
    to = start + x.ndim if start < 0 else start
    return moveaxis(x, number, to - 1 if to > number else to)


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Array:
    """New axes of extent 1."""
    x = as_array(a)
    given = axis if isinstance(axis, tuple | list) else (axis,)
    rank = x.ndim + len(given)
    if not all(-rank <= n < rank for n in given) or len({n % rank for n in given}) != len(given):
        raise ShapeError(f"np.expand_dims: axis {axis} for {x.type}", place=user_frame())
    new = {n % rank for n in given}
    return x[tuple(None if i in new else slice(None) for i in range(rank))]


@implements(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Array:
    """Axes of extent 1 dropped."""
    x = as_array(a)
    ones = tuple(i for i, n in enumerate(x.shape) if n == 1)
    axes = ones if axis is None else axes_of(x.node, axis)
    if not set(axes) <= set(ones):
        raise ShapeError(
            f"np.squeeze: axis {axis} of {x.type} has another extent than 1", place=user_frame()
        )
    if not axes:
        return x
    return x[tuple(0 if i in axes else slice(None) for i in range(x.ndim))]


def broadcast_node(x: Node, shape: tuple[int, ...]) -> Node:
    """``x`` repeated to ``shape``."""
    return x if x.shape == shape else build("broadcast_to", x, shape=shape)


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Array:
    """Repeated along new leading axes and axes of extent 1."""
    wanted = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    return Array(broadcast_node(as_node(array), wanted))


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Array, ...]:
    """All operands at their common shape."""
    nodes = [as_node(a) for a in args]
    shape = _common_shape(nodes)
    return tuple(Array(broadcast_node(n, shape)) for n in nodes)


def _common_shape(nodes: Sequence[Node]) -> tuple[int, ...]:
    try:
        return broadcast_shapes(*(n.shape for n in nodes)) if nodes else ()
    except ValueError:
        shapes = " and ".join(str(n.shape) for n in nodes)
        raise ShapeError(f"shapes {shapes} do not broadcast", place=user_frame()) from None


def _at_least(rank: int, place: Any) -> Any:
    def call(*arrays: Any) -> Any:
        results = []
        for a in arrays:
            x = as_array(a)
            results.append(place(x) if x.ndim < rank else x)
        return results[0] if len(results) == 1 else tuple(results)

    return call


atleast_1d = implements(np.atleast_1d)(_at_least(1, lambda x: x.reshape(1)))
atleast_2d = implements(np.atleast_2d)(_at_least(2, lambda x: x.reshape(1, -1)))
atleast_3d = implements(np.atleast_3d)(
    _at_least(3, lambda x: x.reshape(1, -1, 1) if x.ndim < 2 else x.reshape(*x.shape, 1))
)


# --- joining --------------------------------------------------------------------------------------


@implements(np.concatenate, np.concat)
def concatenate(arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None,
                casting: str = "same_kind") -> Array:  # fmt: skip
    """Arrays one after the other along an existing axis."""
    no_keywords("concatenate", out=out)
    given = list(arrays)
    if not given:
        raise ShapeError("np.concatenate needs at least one array", place=user_frame())
    nodes = common(*given)
    if dtype is not None:
        nodes = [cast(n, short_dtype(dtype)) for n in nodes]
    if axis is None:
        nodes = [reshape(n, (math.prod(n.shape),)) for n in nodes]
        axis = 0
    if not nodes[0].shape:
        raise ShapeError("np.concatenate: arrays of no axes cannot be joined", place=user_frame(),
                         right="np.stack([x, y])")  # fmt: skip
    number = axes_of(nodes[0], axis)[0]
    if len(nodes) == 1:
        return Array(nodes[0])
    return Array(build("concatenate", *nodes, axis=number))


@implements(np.stack)
def stack(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None,
          casting: str = "same_kind") -> Array:  # fmt: skip
    """Arrays of one shape along a new axis."""
    no_keywords("stack", out=out)
    nodes = common(*arrays)
    shapes = {n.shape for n in nodes}
    if len(shapes) != 1:
        found = " and ".join(str(s) for s in sorted(shapes))
        raise ShapeError(
            f"np.stack: all arrays must have one shape, got {found}"
            if nodes else "np.stack needs at least one array",
            place=user_frame(),
        )  # fmt: skip
    shape = nodes[0].shape
    rank = len(shape) + 1
    if not -rank <= axis < rank:
        raise ShapeError(f"np.stack: no axis {axis} in {rank} axes", place=user_frame())
    place = axis % rank
    rows = [reshape(n, (*shape[:place], 1, *shape[place:])) for n in nodes]
    return concatenate([Array(r) for r in rows], axis=place, dtype=dtype)


@implements(np.vstack)
def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Array:
    """Rows below one another."""
    return concatenate([atleast_2d(a) for a in tup], 0, dtype=dtype)


@implements(np.hstack)
def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Array:
    """Side by side."""
    arrays = [atleast_1d(a) for a in tup]
    return concatenate(arrays, 0 if arrays[0].ndim == 1 else 1, dtype=dtype)


@implements(np.dstack)
def dstack(tup: Any) -> Array:
    """Behind one another, along the third axis."""
    return concatenate([atleast_3d(a) for a in tup], 2)


@implements(np.column_stack)
def column_stack(tup: Any) -> Array:
    """Vectors as columns."""
    arrays = [as_array(a) for a in tup]
    return concatenate([a.reshape(-1, 1) if a.ndim < 2 else a for a in arrays], 1)


@implements(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Array:
    """``values`` after ``arr``."""
    return concatenate([arr, values], axis=axis)


# --- splitting ------------------------------------------------------------------------------------


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """Parts along ``axis``: a number of nearly equal ones, or cut at given places."""
    x = as_array(ary)
    number = _axis(x, axis)
    total = x.shape[number]
    if isinstance(indices_or_sections, int | np.integer):
        parts = int(indices_or_sections)
        each, extra = divmod(total, parts)
        cuts = [0]
        for i in range(parts):
            cuts.append(cuts[-1] + each + (i < extra))
    else:
        cuts = [0, *(int(i) for i in indices_or_sections), total]
    before = (slice(None),) * number
    return [x[(*before, slice(low, high))] for low, high in zip(cuts, cuts[1:], strict=False)]


@implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """As ``array_split``; a number of sections must divide the axis."""
    x = as_array(ary)
    if isinstance(indices_or_sections, int | np.integer):
        total = x.shape[_axis(x, axis)]
        if total % indices_or_sections:
            raise ShapeError(
                f"np.split: axis {axis} of {x.type} does not split into {indices_or_sections} equal "
                "parts",
                place=user_frame(),
                right=f"np.array_split(x, {indices_or_sections})",
            )
    return array_split(x, indices_or_sections, axis)


def _split_along(axis_of: Any) -> Any:
    return lambda ary, parts: split(ary, parts, axis_of(as_array(ary)))


implements(np.vsplit)(_split_along(lambda x: 0))
implements(np.hsplit)(_split_along(lambda x: 0 if x.ndim == 1 else 1))
implements(np.dsplit)(_split_along(lambda x: 2))


@implements(np.unstack)
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The parts along an axis, without it."""
    a = as_array(x)
    number = _axis(a, axis)
    before = (slice(None),) * number
    return tuple(a[(*before, i)] for i in range(a.shape[number]))


# --- reversing, shifting, repeating ---------------------------------------------------------------


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Array:
    """The order of the elements reversed along ``axis`` (all axes by default); a view."""
    x = as_array(m)
    axes = axes_of(x.node, axis)
    return x[tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(x.ndim))]


implements(np.flipud)(lambda m: flip(m, 0))
implements(np.fliplr)(lambda m: flip(m, 1))


@implements(np.rot90)
def rot90(m: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    """Turned by k quarters in the plane of two axes."""
    x = as_array(m)
    first, second = (_axis(x, a) for a in axes)
    turns = k % 4
    if turns == 0:
        return x[...]
    if turns == 2:
        return flip(x, (first, second))
    if turns == 1:
        return swapaxes(flip(x, second), first, second)
    return flip(swapaxes(x, first, second), second)


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Array:
    """Elements moved along ``axis``; those that leave at one end enter at the other."""
    x = as_node(a)
    shape = x.shape
    if axis is None:
        x = reshape(x, (math.prod(shape),))
        axis = 0
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    shifts = shift if isinstance(shift, tuple | list) else (shift,) * len(axes)
    for by, each in zip(shifts, axes, strict=True):
        number = axes_of(x, each)[0]
        n = x.shape[number]
        cut = (n - int(by)) % n if n else 0
        if cut:
            pieces = (_between(x, number, cut, n), _between(x, number, 0, cut))
            x = lookup("concatenate")(*pieces, axis=number)
    return Array(reshape(x, shape))


def _between(x: Node, axis: int, low: int, high: int) -> Node:
    start = tuple(low if i == axis else 0 for i in range(len(x.shape)))
    extent = tuple(high - low if i == axis else n for i, n in enumerate(x.shape))
    return read_slice(x, start, (1,) * len(start), extent)


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Array:
    """Each element ``repeats`` times along ``axis``."""
    x = as_node(a)
    if axis is None:
        x = reshape(x, (math.prod(x.shape),))
        axis = 0
    number = axes_of(x, axis)[0]
    counts = np.asarray(repeats)
    if counts.size != 1:
        places = np.repeat(np.arange(x.shape[number]), counts)
        return Array(build("take", x, constant(places, "i64"), axis=number))
    times = int(counts.reshape(()))
    spread = (*x.shape[: number + 1], times, *x.shape[number + 1 :])
    column = reshape(x, (*x.shape[: number + 1], 1, *x.shape[number + 1 :]))
    merged = (*x.shape[:number], x.shape[number] * times, *x.shape[number + 1 :])
    return Array(reshape(broadcast_node(column, spread), merged))


@implements(np.tile)
def tile(A: Any, reps: Any) -> Array:  # noqa: N803  # NumPy's name
    """The whole array ``reps`` times along each axis."""
    x = as_node(A)
    times = [int(n) for n in (reps if isinstance(reps, tuple | list | np.ndarray) else (reps,))]
    rank = max(len(times), len(x.shape))
    times = [1] * (rank - len(times)) + times
    shape = (1,) * (rank - len(x.shape)) + x.shape
    column = reshape(x, tuple(m for n in shape for m in (1, n)))
    spread = tuple(m for n, t in zip(shape, times, strict=True) for m in (t, n))
    merged = tuple(n * t for n, t in zip(shape, times, strict=True))
    return Array(reshape(broadcast_node(column, spread), merged))


# --- padding --------------------------------------------------------------------------------------


@implements(np.pad)
def pad(array: Any, pad_width: Any, mode: str = "constant", **kwargs: Any) -> Array:
    """Wider by ``pad_width`` elements at each end.

    Modes: constant (``constant_values``), edge, reflect, symmetric, wrap."""
    x = as_node(array)
    rank = len(x.shape)
    if isinstance(pad_width, dict):
        widths = np.array([pad_width.get(i, pad_width.get(i - rank, 0)) * np.ones(2, int)
                           for i in range(rank)])  # fmt: skip
    else:
        widths = np.broadcast_to(np.asarray(pad_width, dtype=int), (rank, 2))
    if (widths < 0).any():
        raise ShapeError("np.pad: widths must not be negative", place=user_frame())
    if mode == "constant":
        return Array(_pad_constant(x, widths, kwargs.get("constant_values", 0)))
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise UnsupportedOperation(
            f"np.pad: mode {mode!r} cannot be recorded", place=user_frame(),
            right="mode='constant', 'edge', 'reflect', 'symmetric' or 'wrap'",
        )  # fmt: skip
    for axis, (low, high) in enumerate(widths):
        if low or high:
            places = np.pad(np.arange(x.shape[axis]), (low, high), mode, **kwargs)
            x = build("take", x, constant(places, "i64"), axis=axis)
    return Array(x)


def _pad_constant(x: Node, widths: Any, values: Any) -> Node:
    rank = len(x.shape)
    places = {
        "low": tuple(int(w) for w in widths[:, 0]),
        "high": tuple(int(w) for w in widths[:, 1]),
        "interior": (0,) * rank,
    }
    padded = build("pad", x, **places)
    if not isinstance(values, Array) and np.ndim(values) == 0 and values == 0:
        return padded
    if not isinstance(values, Array) and np.ndim(values) > 0:
        ends = np.broadcast_to(np.asarray(values), (rank, 2))
        for axis in range(rank):
            own = np.zeros((rank, 2), int)
            own[axis] = widths[axis]
            for side in (0, 1):
                one = np.zeros((rank, 2), int)
                one[axis, side] = own[axis, side]
                x = _pad_constant(x, one, ends[axis, side].item())
        return x
    fill = cast(as_node(values), x.dtype)
    inside = build("pad", broadcast_node(literal(True, "bool"), x.shape), **places)
    return build("where", inside, padded, fill)


# --- picking --------------------------------------------------------------------------------------


@implements(np.take)
def take(a: Any, indices: Any, axis: int | None = None, out: Any = None,
         mode: str = "raise") -> Array:  # fmt: skip
    """Elements along ``axis`` at integer indices.

    ``mode`` decides about traced indices beyond the ends: "wrap", or clamped to the ends ("clip")."""
    no_keywords("take", out=out)
    x = as_array(a)
    if axis is None:
        x = x.ravel()
        axis = 0
    number = _axis(x, axis)
    n = x.shape[number]
    if mode == "raise":
        picked = indices if isinstance(indices, Array | np.ndarray | list | int) else np.asarray(indices)
        return x[(*(slice(None),) * number, picked)]
    which = as_node(indices)
    if mode == "wrap":
        which = build("mod", cast(which, "i64"), literal(n, "i64"))
    return Array(build("take", x.node, cast(which, "i64"), axis=number))


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Array:
    """Elements along ``axis`` at indices that differ from row to row."""
    x, which = as_array(arr), as_array(indices)
    if axis is None:
        x = x.ravel()
        axis = 0
    number = _axis(x, axis)
    picks = []
    for i in range(x.ndim):
        shape = [1] * x.ndim
        shape[i] = -1
        grid = np.arange(x.shape[i] if which.shape[i] == x.shape[i] else which.shape[i])
        picks.append(which if i == number else Array(constant(grid.reshape(shape), "i64")))
    return x[tuple(picks)]


# --- triangles and diagonals ----------------------------------------------------------------------


def _triangle(m: Any, k: int, upper: bool) -> Array:
    x = as_node(m)
    if len(x.shape) == 1:
        x = broadcast_node(x, (x.shape[0], x.shape[0]))
    shape = x.shape[-2:]
    rows = lookup("iota")(shape=shape, dtype="i64", axis=0)
    columns = lookup("iota")(shape=shape, dtype="i64", axis=1)
    edge = build("add", rows, literal(k, "i64"))
    mask = build("ge" if upper else "le", columns, edge)
    return Array(build("where", mask, x, literal(0, x.dtype)))


@implements(np.tril)
def tril(m: Any, k: int = 0) -> Array:
    """Zeros above diagonal ``k``."""
    return _triangle(m, k, upper=False)


@implements(np.triu)
def triu(m: Any, k: int = 0) -> Array:
    """Zeros below diagonal ``k``."""
    return _triangle(m, k, upper=True)


@implements(np.diagonal, np.linalg.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The elements of a diagonal, as the last axis."""
    x = moveaxis(a, (axis1, axis2), (-2, -1))
    rows, columns = x.shape[-2:]
    first = max(-offset, 0), max(offset, 0)
    count = max(min(rows - first[0], columns - first[1]), 0)
    flat = reshape(x.node, (*x.shape[:-2], rows * columns))
    start = (first[0] * columns + first[1]) if count else 0
    rank = len(flat.shape)
    return Array(
        read_slice(
            flat, (*(0,) * (rank - 1), start), (*(1,) * (rank - 1), columns + 1),
            (*flat.shape[:-1], count),
        )
    )  # fmt: skip


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Array:
    """The diagonal of a matrix, or the matrix with a given diagonal."""
    x = as_node(v)
    if len(x.shape) == 2:
        return diagonal(v, k)
    if len(x.shape) != 1:
        raise ShapeError(f"np.diag takes a vector or a matrix, not {x.type}", place=user_frame())
    n = x.shape[0]
    total = n + abs(k)
    square = build("pad", reshape(x, (n, 1)), low=(0, 0), high=(0, max(n, 0)), interior=(0, 0))
    body = read_slice(reshape(square, (n * (n + 1),)), (0,), (1,), (n * n,))
    matrix = reshape(body, (n, n))
    low = (max(-k, 0), max(k, 0))
    high = (total - n - low[0], total - n - low[1])
    return Array(build("pad", matrix, low=low, high=high, interior=(0, 0)))


@implements(np.trace, np.linalg.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None,
          out: Any = None) -> Array:  # fmt: skip
    """The sum of a diagonal."""
    no_keywords("trace", out=out)
    return diagonal(a, offset, axis1, axis2).sum(axis=-1, dtype=dtype)  # type: ignore[no-any-return]


@implements(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """Coordinate arrays of a grid."""
    vectors = [as_array(x).ravel() for x in xi]
    rank = len(vectors)
    grids = [v.reshape([-1 if i == j else 1 for j in range(rank)]) for i, v in enumerate(vectors)]
    if indexing == "xy" and rank > 1:
        grids = [swapaxes(g, 0, 1) for g in grids]
    return tuple(grids) if sparse else broadcast_arrays(*grids)


@implements(np.shape)
def shape(a: Any) -> tuple[int, ...]:
    """The extents."""
    return as_array(a).shape


@implements(np.ndim)
def ndim(a: Any) -> int:
    """The number of axes."""
    return as_array(a).ndim


@implements(np.size)
def size(a: Any, axis: int | None = None) -> int:
    """The number of elements."""
    x = as_array(a)
    return x.size if axis is None else x.shape[_axis(x, axis)]


@implements(np.copy)
def copy(a: Any, order: str = "K", subok: bool = False) -> Array:
    """A handle of its own."""
    return Array(as_node(a))


@implements(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """Graphs hold real numbers."""
    return False


@implements(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """Graphs hold real numbers."""
    return True


