"""Rearrangements on nodes, composed of the ops that move elements; axes in NumPy's manner."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.node import Node, constant
from .elementwise import where
from .index import take
from .shape import broadcast_to, concatenate, pad, reshape, slice_, transpose

__all__ = [
    "array_split", "atleast_1d", "atleast_2d", "atleast_3d", "axes_of", "axis_of", "cut",
    "diagonal", "expand_dims", "flip", "is_index", "listed", "moveaxis", "pad_with", "ravel",
    "repeat", "roll", "split", "squeeze", "stack", "swapaxes", "tile",
]  # fmt: skip

Axis = int | Sequence[int] | None


def is_index(value: Any) -> bool:
    """Whether ``value`` is one integer to NumPy: it, or anything that says ``__index__``."""
    return not isinstance(value, np.ndarray) and hasattr(type(value), "__index__")


def listed(value: Any) -> list[Any]:
    """One integer, or several, as a list."""
    return [value] if is_index(value) else list(value)


def axis_of(axis: int, rank: int) -> int:
    """``axis`` counted from the front.

    Raises:
        ValueError: if an array of ``rank`` axes has no such axis.
    """
    number = int(axis)
    if not -rank <= number < rank:
        raise ValueError(f"axis {axis} is out of bounds for an array of {rank} dimensions")
    return number % rank


def axes_of(axis: Axis, rank: int) -> tuple[int, ...]:
    """All axes (None), or the given ones, counted from the front, sorted.

    Raises:
        ValueError: for an axis out of bounds or given twice.
    """
    if axis is None:
        return tuple(range(rank))
    given = listed(axis)
    axes = sorted(axis_of(a, rank) for a in given)
    if len(set(axes)) != len(axes):
        raise ValueError(f"an axis is repeated in {tuple(given)}")
    return tuple(axes)


def cut(x: Node, axis: int, start: int, count: int, step: int = 1) -> Node:
    """``count`` elements from ``start`` on along one axis (not negative), every ``step``-th."""
    if (start, count, step) == (0, x.shape[axis], 1):
        return x
    starts, steps, shape = [0] * len(x.shape), [1] * len(x.shape), list(x.shape)
    starts[axis], steps[axis], shape[axis] = start, step, count
    return slice_(x, start=tuple(starts), step=tuple(steps), shape=tuple(shape))


# --- axes -----------------------------------------------------------------------------------------


def expand_dims(x: Node, axis: int | Sequence[int]) -> Node:
    """Insert axes of extent 1 at the places ``axis`` of the result."""
    count = len(listed(axis))
    axes = axes_of(axis, len(x.shape) + count)
    rest = iter(x.shape)
    shape = tuple(1 if i in axes else next(rest) for i in range(len(x.shape) + count))
    return reshape(x, shape=shape)


def squeeze(x: Node, axis: Axis = None) -> Node:
    """Remove axes of extent 1: the given ones, or all.

    Raises:
        ValueError: for a given axis of another extent.
    """
    if axis is None:
        axes = tuple(i for i, n in enumerate(x.shape) if n == 1)
    else:
        axes = axes_of(axis, len(x.shape))
    for a in axes:
        if x.shape[a] != 1:
            raise ValueError(f"squeeze: axis {a} of {x.type} has more than one element")
    return reshape(x, shape=tuple(n for i, n in enumerate(x.shape) if i not in axes))


def moveaxis(x: Node, source: int | Sequence[int], destination: int | Sequence[int]) -> Node:
    """Move axes to other places; the rest keep their order."""
    rank = len(x.shape)
    sources = listed(source)
    targets = listed(destination)
    if len(sources) != len(targets):
        raise ValueError("moveaxis: source and destination must have as many axes")
    axes_of(sources, rank)
    axes_of(targets, rank)
    sources, targets = [axis_of(a, rank) for a in sources], [axis_of(a, rank) for a in targets]
    order = [i for i in range(rank) if i not in sources]
    for target, axis in sorted(zip(targets, sources, strict=True)):
        order.insert(target, axis)
    return transpose(x, axes=tuple(order))


def swapaxes(x: Node, axis1: int, axis2: int) -> Node:
    """Exchange two axes."""
    order = list(range(len(x.shape)))
    a, b = axis_of(axis1, len(order)), axis_of(axis2, len(order))
    order[a], order[b] = order[b], order[a]
    return transpose(x, axes=tuple(order))


def ravel(x: Node) -> Node:
    """All elements along one axis, row by row."""
    return reshape(x, shape=(x.type.size,))


def atleast_1d(x: Node) -> Node:
    """A scalar as one element."""
    return x if x.shape else reshape(x, shape=(1,))


def atleast_2d(x: Node) -> Node:
    """Fewer than two axes as one row."""
    return x if len(x.shape) >= 2 else reshape(x, shape=(1, x.type.size))


def atleast_3d(x: Node) -> Node:
    """As NumPy: (n,) becomes (1, n, 1), and (m, n) becomes (m, n, 1)."""
    if len(x.shape) >= 3:
        return x
    return reshape(atleast_1d(x) if len(x.shape) < 2 else x, shape=_three(x.shape))


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return (*shape, 1) if len(shape) == 2 else (1, shape[0] if shape else 1, 1)


# --- joining and splitting ------------------------------------------------------------------------


def stack(arrays: Sequence[Node], axis: int = 0) -> Node:
    """Arrays of one type side by side along a new axis."""
    if not arrays:
        raise ValueError("stack: needs at least one array")
    shapes = {x.shape for x in arrays}
    if len(shapes) != 1:
        raise ValueError(f"stack: shapes differ: {', '.join(map(str, sorted(shapes)))}")
    place = axis_of(axis, len(arrays[0].shape) + 1)
    return concatenate(*[expand_dims(x, place) for x in arrays], axis=place)


def split(x: Node, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Node]:
    """Equal parts (a number), or the parts between the given indices.

    Raises:
        ValueError: if the number does not divide the axis.
    """
    place = axis_of(axis, len(x.shape))
    parts: Any = indices_or_sections
    if is_index(parts) and x.shape[place] % parts:
        raise ValueError(
            f"split: axis {axis} of {x.type} does not divide into {indices_or_sections} equal parts"
        )
    return array_split(x, indices_or_sections, axis)


def array_split(x: Node, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Node]:
    """As :func:`split`, where the first parts may have one element more."""
    place = axis_of(axis, len(x.shape))
    n = x.shape[place]
    given: Any = indices_or_sections
    if is_index(given):
        count = int(given)
        if count <= 0:
            raise ValueError("split: the number of parts must be positive")
        small, extra = divmod(n, count)
        edges = [i * small + min(i, extra) for i in range(count + 1)]
    else:
        edges = [0, *[slice(None, int(i)).indices(n)[1] for i in given], n]
    parts = []
    for low, high in itertools.pairwise(edges):
        size = max(high - low, 0)
        parts.append(cut(x, place, low if size else 0, size))
    return parts


# --- repeating and reordering ---------------------------------------------------------------------


def flip(x: Node, axis: Axis = None) -> Node:
    """Reverse the order along the axes (all by default)."""
    axes = axes_of(axis, len(x.shape))
    start = tuple(max(n - 1, 0) if i in axes else 0 for i, n in enumerate(x.shape))
    step = tuple(-1 if i in axes else 1 for i in range(len(x.shape)))
    return slice_(x, start=start, step=step, shape=x.shape)


def roll(x: Node, shift: int | Sequence[int], axis: Axis = None) -> Node:
    """Shift elements along axes; what leaves at one end comes in at the other."""
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), shape=x.shape)
    given = listed(axis)
    axes = [axis_of(a, len(x.shape)) for a in given]
    shifts = listed(shift)
    pairs = np.broadcast(np.array(axes), np.array(shifts))
    for a, by in pairs:
        n = x.shape[a]
        by = int(by) % n if n else 0
        if by:
            x = concatenate(cut(x, int(a), n - by, by), cut(x, int(a), 0, n - by), axis=int(a))
    return x


def tile(x: Node, reps: int | Sequence[int]) -> Node:
    """The array repeated as a whole, ``reps[i]`` times along axis i."""
    counts = [int(r) for r in listed(reps)]
    rank = max(len(counts), len(x.shape))
    counts = [1] * (rank - len(counts)) + counts
    shape = [1] * (rank - len(x.shape)) + list(x.shape)
    spread = reshape(x, shape=tuple(m for n in shape for m in (1, n)))
    full = broadcast_to(
        spread, shape=tuple(m for c, n in zip(counts, shape, strict=True) for m in (c, n))
    )
    return reshape(full, shape=tuple(c * n for c, n in zip(counts, shape, strict=True)))


def repeat(x: Node, repeats: int | Sequence[int], axis: int | None = None) -> Node:
    """Each element ``repeats`` times in a row (one number, or one for each element)."""
    if axis is None:
        return repeat(ravel(x), repeats, 0)
    place = axis_of(axis, len(x.shape))
    n = x.shape[place]
    counts = np.asarray(repeats)
    if counts.size == 1:
        count = int(counts.reshape(()))
        before, after = x.shape[:place], x.shape[place + 1 :]
        spread = reshape(x, shape=(*before, n, 1, *after))
        full = broadcast_to(spread, shape=(*before, n, count, *after))
        return reshape(full, shape=(*before, n * count, *after))
    if counts.shape != (n,):
        raise ValueError(f"repeat: {counts.size} counts do not fit axis {axis} of {x.type}")
    return take(x, constant(np.repeat(np.arange(n), counts), "i64"), axis=place)


# --- padding --------------------------------------------------------------------------------------


def pad_with(x: Node, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Node:
    """NumPy's ``pad`` for the modes constant, edge, reflect, symmetric and wrap.

    ``pad_width`` is one number, one pair (before, after), or a pair for each axis.
    ``constant_values`` likewise, of numbers or scalar nodes.

    Raises:
        ValueError: for another mode, and for reflect, symmetric and wrap wider than the axis.
    """
    rank = len(x.shape)
    widths = np.broadcast_to(np.asarray(pad_width, dtype=np.int64), (rank, 2)).tolist()
    if mode == "constant":
        return _pad_constant(x, widths, constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise ValueError(
            f"pad: mode {mode!r} is not supported; use constant, edge, reflect, symmetric or wrap"
        )
    for axis, (low, high) in enumerate(widths):
        x = _pad_axis(x, axis, low, high, mode)
    return x


def _pad_constant(x: Node, widths: list[list[int]], values: Any) -> Node:
    rank = len(x.shape)
    if isinstance(values, Node) or np.ndim(values) == 0:
        pairs = [[values, values]] * rank
    else:
        pairs = [list(v) for v in np.broadcast_to(np.asarray(values, dtype=object), (rank, 2))]
    for axis, (low, high) in enumerate(widths):
        before, after = ([0] * rank for _ in range(2))
        before[axis], after[axis] = low, high
        inner = x.shape
        x = pad(x, low=tuple(before), high=tuple(after), interior=(0,) * rank)
        ends = ((pairs[axis][0], 0, low), (pairs[axis][1], low + inner[axis], high))
        for value, first, count in ends:
            if count and (isinstance(value, Node) or value != 0):
                x = _fill(x, axis, first, count, value)
    return x


def _fill(x: Node, axis: int, first: int, count: int, value: Any) -> Node:
    """Elements first to first + count - 1 along the axis replaced by a value."""
    inside = np.zeros(x.shape[axis], dtype=bool)
    inside[first : first + count] = True
    shape = [1] * len(x.shape)
    shape[axis] = x.shape[axis]
    node = value if isinstance(value, Node) else constant(value, x.dtype)
    return where(reshape(constant(inside, "bool"), shape=tuple(shape)), node, x)


def _pad_axis(x: Node, axis: int, low: int, high: int, mode: str) -> Node:
    n = x.shape[axis]
    most = n - 1 if mode == "reflect" else n
    if (low or high) and (n == 0 or (mode != "edge" and max(low, high) > most)):
        raise ValueError(
            f"pad: mode {mode!r} cannot pad axis {axis} of {x.type} by {low} and {high}"
        )
    if mode == "edge":
        before = repeat(cut(x, axis, 0, min(n, 1)), low, axis)
        after = repeat(cut(x, axis, max(n - 1, 0), min(n, 1)), high, axis)
    elif mode == "wrap":
        before, after = cut(x, axis, n - low, low), cut(x, axis, 0, high)
    else:
        skip = 1 if mode == "reflect" else 0
        before = flip(cut(x, axis, skip if low else 0, low), axis)
        after = flip(cut(x, axis, n - high - skip if high else 0, high), axis)
    parts = [p for p, count in ((before, low), (x, n), (after, high)) if count]
    return concatenate(*parts, axis=axis) if len(parts) > 1 else x


# --- diagonals ------------------------------------------------------------------------------------


def diagonal(x: Node, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Node:
    """The elements whose index along ``axis2`` is ``offset`` more than along ``axis1``.

    They form a new last axis. One slice, with a step of a row and one element more."""
    rank, offset = len(x.shape), int(offset)
    if rank < 2:
        raise ValueError(f"diagonal: needs two axes, got {x.type}")
    first, second = axis_of(axis1, rank), axis_of(axis2, rank)
    if first == second:
        raise ValueError("diagonal: the two axes must differ")
    moved = moveaxis(x, (first, second), (rank - 2, rank - 1))
    n, m = moved.shape[-2:]
    start = offset if offset >= 0 else -offset * m
    count = max(min(n + min(offset, 0), m - max(offset, 0)), 0)
    rows = reshape(moved, shape=(*moved.shape[:-2], math.prod((n, m))))
    return cut(rows, rank - 2, start if count else 0, count, m + 1)
