"""Functions that move elements of traced arrays: reshape, transpose, join, split, pad, take."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import ShapeError, UnsupportedOperation
from ..ir.node import Node
from ..ir.origin import user_frame
from ..ir.types import broadcast_shapes
from ..ops import arrange, composed
from ..ops.arrange import is_index
from ..trace.again import by_types
from ..trace.array import Array, as_array, as_node, is_weak
from ..trace.dispatch import implements, numpys
from ..trace.into import takes_out
from ..trace.promote import build, cast, check_casting, literal
from ..trace.scope import short_dtype
from ..trace.views import ReadOnlyView, reshape
from .elementwise import common, no_keywords, of_arrays
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


@implements(np.matrix_transpose, np.linalg.matrix_transpose)
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
    given = [n.__index__() for n in (axis if isinstance(axis, tuple | list) else (axis,))]
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
            f"np.squeeze: axis {axis} of {x.type} has another extent than 1",
            place=user_frame(),
            right="np.squeeze(x)        # all axes of extent 1\nx[0]                 # one element",
        )
    if not axes:
        return Array(x.node) if x.weak else x
    return x[tuple(0 if i in axes else slice(None) for i in range(x.ndim))]


def broadcast_node(x: Node, shape: tuple[int, ...]) -> Node:
    """``x`` repeated to ``shape``."""
    return x if x.shape == shape else build("broadcast_to", x, shape=shape)


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Array:
    """Repeated along new leading axes and axes of extent 1."""
    given = (shape,) if is_index(shape) else tuple(shape)
    wanted = tuple(n.__index__() for n in given)
    return _repeated(array, wanted)


def _repeated(x: Any, shape: tuple[int, ...]) -> Array:
    node = broadcast_node(as_node(x), shape)
    if not isinstance(x, Array) or x.weak:
        return Array(node)
    lead = len(shape) - len(x.shape)
    kept = [s if n == m else 0 for s, n, m in zip(x._strides(), x.shape, shape[lead:], strict=True)]
    return _shown(x, (0,) * lead + tuple(kept), lambda base: broadcast_node(base, shape))


def _shown(x: Array, strides: tuple[int, ...], shown: Callable[[Node], Node]) -> Array:
    """A view of ``x`` that cannot be written to."""
    return x._viewing(ReadOnlyView(x, strides, shown))


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Array, ...]:
    """All operands at their common shape."""
    nodes = [as_node(a) for a in args]
    shape = _common_shape(nodes)
    return tuple(
        a if isinstance(a, Array) and n.shape == shape else _repeated(a, shape)
        for a, n in zip(args, nodes, strict=True)
    )


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
@by_types
@takes_out()
def concatenate(arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None,
                casting: str = "same_kind") -> Array:  # fmt: skip
    """Arrays one after the other along an existing axis."""
    no_keywords("concatenate", out=out)
    given = list(arrays)
    if not given:
        raise ShapeError("np.concatenate needs at least one array", place=user_frame())
    nodes = common(*given)
    if dtype is not None or casting != "same_kind":
        kinds = [as_node(a).dtype for a in given if not is_weak(a)]
        nodes = _as_asked("concatenate", nodes, kinds, dtype, casting)
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
@by_types
@takes_out()
def stack(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None,
          casting: str = "same_kind") -> Array:  # fmt: skip
    """Arrays of one shape along a new axis."""
    no_keywords("stack", out=out)
    nodes = of_arrays(*arrays)
    if dtype is not None or casting != "same_kind":
        nodes = _as_asked("stack", nodes, [as_node(a).dtype for a in arrays], dtype, casting)
    return Array(build(arrange.stack, nodes, axis))


def _as_asked(
    what: str, nodes: list[Node], dtypes: list[str], dtype: Any, casting: str
) -> list[Node]:
    """Operands that are joined, in the dtype that the user asks for, where that is permitted."""
    wanted = nodes[0].dtype if dtype is None else short_dtype(dtype)
    check_casting(what, dtypes, wanted, casting)
    return [cast(n, wanted) for n in nodes]


@implements(np.vstack)
@by_types
def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Array:
    """Rows below one another."""
    return concatenate([atleast_2d(a) for a in tup], 0, dtype=dtype, casting=casting)


@implements(np.hstack)
@by_types
def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Array:
    """Side by side."""
    arrays = [atleast_1d(a) for a in tup]
    number = 0 if arrays[0].ndim == 1 else 1
    return concatenate(arrays, number, dtype=dtype, casting=casting)


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
    return concatenate([Array(as_node(arr)), Array(as_node(values))], axis=axis)


# --- splitting ------------------------------------------------------------------------------------


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """Parts along ``axis``: a number of nearly equal ones, or cut at given places."""
    x = as_array(ary)
    number = _axis(x, axis)
    total = x.shape[number]
    if is_index(indices_or_sections):
        parts = indices_or_sections.__index__()
        each, extra = divmod(total, parts)
        cuts = [0]
        for i in range(parts):
            cuts.append(cuts[-1] + each + (i < extra))
    else:
        cuts = [0, *(int(i) for i in indices_or_sections), total]
    before = (slice(None),) * number
    return [x[(*before, slice(low, high))] for low, high in pairwise(cuts)]


@implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """As ``array_split``; a number of sections must divide the axis."""
    x = as_array(ary)
    if is_index(indices_or_sections):
        total = x.shape[_axis(x, axis)]
        if total % indices_or_sections:
            raise ShapeError(
                f"np.split: axis {axis} of {x.type} does not split into {indices_or_sections} "
                "equal parts",
                place=user_frame(),
                right=f"np.array_split(x, {indices_or_sections})",
            )
    return array_split(x, indices_or_sections, axis)


def _split_along(axis_of: Any) -> Any:
    return lambda ary, indices_or_sections: split(ary, indices_or_sections, axis_of(as_array(ary)))


implements(np.vsplit)(_split_along(lambda x: 0))
implements(np.hsplit)(_split_along(lambda x: 0 if x.ndim == 1 else 1))
implements(np.dsplit)(_split_along(lambda x: 2))


@implements(*numpys("unstack"), name="unstack")
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
    return Array(build(arrange.roll, as_node(a), shift, axis))


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Array:
    """Each element ``repeats`` times along ``axis``."""
    return Array(build(arrange.repeat, as_node(a), repeats, axis))


@implements(np.tile)
def tile(A: Any, reps: Any) -> Array:  # NumPy's name
    """The whole array ``reps`` times along each axis."""
    return Array(build(arrange.tile, as_node(A), reps))


# --- padding --------------------------------------------------------------------------------------


@implements(np.pad)
def pad(array: Any, pad_width: Any, mode: str = "constant", **kwargs: Any) -> Array:
    """Wider by ``pad_width`` elements at each end.

    Modes: constant (``constant_values``), edge, reflect, symmetric, wrap."""
    x = as_node(array)
    rank = len(x.shape)
    if isinstance(pad_width, dict):
        widths = np.zeros((rank, 2), int)
        for axis, width in pad_width.items():
            widths[axis] = width
    else:
        widths = np.asarray(pad_width, dtype=int)
    if (widths < 0).any():
        raise ShapeError("np.pad: widths must not be negative", place=user_frame())
    values = kwargs.pop("constant_values", 0)
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap") or kwargs:
        extra = f" with {', '.join(kwargs)}" if kwargs else ""
        raise UnsupportedOperation(
            f"np.pad: mode {mode!r}{extra} cannot be recorded",
            place=user_frame(),
            right="mode='constant', 'edge', 'reflect', 'symmetric' or 'wrap'",
        )
    if isinstance(values, Array):
        values = cast(values.node, x.dtype)
    return Array(build(arrange.pad_with, x, widths, mode, values))


@implements(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Array:
    """Windows that slide along axes; their elements are new last axes. Nothing is copied where
    they are read."""
    if writeable:
        raise UnsupportedOperation(
            "sliding_window_view: windows of a traced array cannot be written to",
            place=user_frame(),
            right="x[i : i + size] = v",
        )
    node = as_node(x)
    sizes = (window_shape,) if is_index(window_shape) else tuple(window_shape)
    if axis is None:
        axes: tuple[int, ...] = tuple(range(len(node.shape)))
    else:
        given = (axis,) if is_index(axis) else tuple(axis)
        axes = tuple([arrange.axis_of(a, len(node.shape)) for a in given])
    if len(sizes) != len(axes):
        raise ShapeError(
            f"sliding_window_view: window {sizes} of {node.type} needs a size for each of "
            f"{len(axes)} axes",
            place=user_frame(),
            right="as many sizes as axes: sliding_window_view(x, (3, 3), axis=(1, 2))",
        )

    def windows(node: Node) -> Node:
        for a, size in zip(axes, sizes, strict=True):
            node = build("windows", node, axis=a, size=int(size), step=1, dilation=1)
        return node

    if not isinstance(x, Array):
        return Array(windows(node))
    strides = x._strides()
    return _shown(x, (*strides, *(strides[a] for a in axes)), windows)


# --- picking --------------------------------------------------------------------------------------


@implements(np.take)
@takes_out()
def take(a: Any, indices: Any, axis: int | None = None, out: Any = None,
         mode: str = "raise") -> Array:  # fmt: skip
    """Elements along ``axis`` at integer indices.

    ``mode`` decides about traced indices beyond the ends: "wrap", or clamped to them ("clip")."""
    no_keywords("take", out=out)
    x = as_array(a)
    if axis is None:
        x = x.ravel()
        axis = 0
    number = _axis(x, axis)
    n = x.shape[number]
    if mode == "raise":
        known = isinstance(indices, Array | np.ndarray | list) or is_index(indices)
        picked = indices if known else np.asarray(indices)
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
    rank = x.ndim
    if which.ndim != rank:
        raise ShapeError(
            f"np.take_along_axis: indices of {rank} axes are needed for {x.node.type}, "
            f"not {which.node.type}",
            place=user_frame(),
        )
    order = (*(i for i in range(rank) if i != number), number)
    rows, picks = [y.transpose(order) for y in (x, which)]
    shape = broadcast_shapes(rows.shape[:-1], picks.shape[:-1])
    rows, picks = [broadcast_to(y, (*shape, y.shape[-1])) for y in (rows, picks)]
    n = rows.shape[-1]
    wide = cast(picks.node, "i64")
    near = build("where", build("lt", wide, literal(0, "i64")),
                 build("add", wide, literal(n, "i64")), wide)  # fmt: skip
    taken = Array(build("take", rows.node, near, axis=rank - 1, batch=rank - 1))
    return taken.transpose(sorted(range(rank), key=order.__getitem__))


# --- triangles and diagonals ----------------------------------------------------------------------


def _square(m: Any) -> Node:
    """A vector as the rows of a square, as NumPy's triangles take it."""
    x = as_node(m)
    return broadcast_node(x, (x.shape[0], x.shape[0])) if len(x.shape) == 1 else x


@implements(np.tril)
def tril(m: Any, k: int = 0) -> Array:
    """Zeros above diagonal ``k``."""
    return Array(composed.tril(_square(m), k))


@implements(np.triu)
def triu(m: Any, k: int = 0) -> Array:
    """Zeros below diagonal ``k``."""
    return Array(composed.triu(_square(m), k))


@implements(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The elements of a diagonal, as the last axis."""

    def along(node: Node) -> Node:
        return build(arrange.diagonal, node, offset, axis1, axis2)

    if not isinstance(a, Array):
        return Array(along(as_node(a)))
    rank = len(along(a.node).shape) + 1  # checks the axes
    both = (arrange.axis_of(axis1, rank), arrange.axis_of(axis2, rank))
    strides = a._strides()
    kept = tuple(s for i, s in enumerate(strides) if i not in both)
    return _shown(a, (*kept, strides[both[0]] + strides[both[1]]), along)


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Array:
    """The diagonal of a matrix, or the matrix with a given diagonal."""
    x = as_node(v)
    if len(x.shape) == 2:
        return diagonal(v, k)
    if len(x.shape) != 1:
        raise ShapeError(f"np.diag takes a vector or a matrix, not {x.type}", place=user_frame())
    n = x.shape[0]
    low = (max(-k, 0), max(k, 0))
    high = (max(k, 0), max(-k, 0))
    square = build("where", composed.eye(n, dtype="bool"), reshape(x, (n, 1)), literal(0, x.dtype))
    return Array(build("pad", square, low=low, high=high, interior=(0, 0)))


@implements(np.trace)
@takes_out(retypes=True)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None,
          out: Any = None) -> Array:  # fmt: skip
    """The sum of a diagonal."""
    no_keywords("trace", out=out)
    return diagonal(a, offset, axis1, axis2).sum(axis=-1, dtype=dtype)


@implements(np.linalg.diagonal)
def diagonal_of_stack(x: Any, /, *, offset: int = 0) -> Array:
    """The elements of a diagonal of the last two axes, as the last axis."""
    return diagonal(x, offset, -2, -1)


@implements(np.linalg.trace)
def trace_of_stack(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Array:
    """The sum of a diagonal of the last two axes."""
    return trace(x, offset, -2, -1, dtype)


@implements(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """Coordinate arrays of a grid."""
    vectors = [as_array(x).ravel() for x in xi]
    rank = len(vectors)
    grids = [v.reshape([-1 if i == j else 1 for j in range(rank)]) for i, v in enumerate(vectors)]
    if indexing == "xy" and rank > 1:
        grids = [swapaxes(g, 0, 1) for g in grids]
    shown = tuple(grids) if sparse else broadcast_arrays(*grids)
    return tuple([Array(g.node) for g in shown]) if copy else shown


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
