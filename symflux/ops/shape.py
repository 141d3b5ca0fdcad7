"""Ops that move elements: reshape, transpose, broadcast, slice, pad, concatenate."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.node import Node
from ..ir.op import Op
from ..ir.types import ArrayType
from .table import index_map, same_dtype

__all__ = ["broadcast_to", "concatenate", "pad", "reshape", "slice_", "transpose"]


# --- reshape --------------------------------------------------------------------------------------


def _reshape_type(x: ArrayType, *, shape: tuple[int, ...]) -> ArrayType:
    if math.prod(shape) != x.size:
        raise ValueError(
            f"reshape: {x} has {x.size} elements, shape {shape} needs {math.prod(shape)}"
        )
    return ArrayType(shape, x.dtype)


reshape: Op = index_map(
    "reshape",
    infer=_reshape_type,
    transpose=lambda ct, position, x, *, shape: reshape(ct, shape=x.shape),
    batch=lambda inputs, batched, *, shape: reshape(inputs[0], shape=(inputs[0].shape[0], *shape)),
    lower=lambda reader, index, x, *, shape: reader.read_reshaped(0, index, shape),
    oracle=lambda x, *, shape: np.reshape(x, shape),
    doc="The same elements in row-major order under another shape.",
)


# --- transpose ------------------------------------------------------------------------------------


def _transpose_type(x: ArrayType, *, axes: tuple[int, ...]) -> ArrayType:
    if sorted(axes) != list(range(x.rank)):
        raise ValueError(f"transpose: axes {axes} do not permute the axes of {x}")
    return ArrayType(tuple(x.shape[a] for a in axes), x.dtype)


def inverse_permutation(axes: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes ``axes``."""
    inverse = [0] * len(axes)
    for i, a in enumerate(axes):
        inverse[a] = i
    return tuple(inverse)


transpose: Op = index_map(
    "transpose",
    infer=_transpose_type,
    transpose=lambda ct, position, x, *, axes: transpose(ct, axes=inverse_permutation(axes)),
    batch=lambda inputs, batched, *, axes: transpose(inputs[0], axes=(0, *(a + 1 for a in axes))),
    lower=lambda reader, index, x, *, axes: reader.read(
        0, tuple(index[i] for i in inverse_permutation(axes))
    ),
    oracle=lambda x, *, axes: np.transpose(x, axes),
    doc="Axes in another order: result axis i is input axis ``axes[i]``.",
)


# --- broadcast ------------------------------------------------------------------------------------


def _broadcast_type(x: ArrayType, *, shape: tuple[int, ...]) -> ArrayType:
    if np.broadcast_shapes(x.shape, shape) != shape:
        raise ValueError(f"broadcast_to: {x} does not broadcast to shape {shape}")
    return ArrayType(shape, x.dtype)


def sum_to(x: Node, shape: tuple[int, ...]) -> Node:
    """The transpose of broadcasting: sum over the axes that broadcasting ``shape`` would repeat."""
    from .reduce import sum_

    if x.shape == shape:
        return x
    extra = len(x.shape) - len(shape)
    axes = tuple(range(extra)) + tuple(
        i + extra for i, n in enumerate(shape) if n == 1 and x.shape[i + extra] != 1
    )
    return reshape(sum_(x, axes=axes), shape=shape) if axes else reshape(x, shape=shape)


def _batch_broadcast(
    inputs: Sequence[Node], batched: Sequence[bool], *, shape: tuple[int, ...]
) -> Node:
    x = inputs[0]
    missing = len(shape) - (len(x.shape) - 1)
    if missing:
        x = reshape(x, shape=(x.shape[0], *(1,) * missing, *x.shape[1:]))
    return broadcast_to(x, shape=(x.shape[0], *shape))


def _lower_broadcast(reader: Any, index: Any, x: ArrayType, *, shape: tuple[int, ...]) -> Any:
    own = index[len(shape) - x.rank :]
    return reader.read(0, tuple(0 if n == 1 else i for i, n in zip(own, x.shape, strict=True)))


broadcast_to: Op = index_map(
    "broadcast_to",
    infer=_broadcast_type,
    transpose=lambda ct, position, x, *, shape: sum_to(ct, x.shape),
    batch=_batch_broadcast,
    lower=_lower_broadcast,
    oracle=lambda x, *, shape: np.broadcast_to(x, shape),
    doc="Repeat along new leading axes and along axes of extent 1.",
)


# --- slice and pad: each other's transpose --------------------------------------------------------


def _slice_type(
    x: ArrayType, *, start: tuple[int, ...], step: tuple[int, ...], shape: tuple[int, ...]
) -> ArrayType:
    for axis, (first, by, count, n) in enumerate(zip(start, step, shape, x.shape, strict=True)):
        last = first + by * (count - 1)
        if count and not (0 <= first < n and 0 <= last < n):
            raise ValueError(f"slice: axis {axis} of {x} has no elements {first}, ..., {last}")
    return ArrayType(shape, x.dtype)


def _slice_transpose(
    ct: Node, position: int, x: Node, *, start: Any, step: Any, shape: Any
) -> Node:
    for axis, by in enumerate(step):
        if by < 0:
            flipped = [0] * len(shape)
            steps = [1] * len(shape)
            flipped[axis] = max(shape[axis] - 1, 0)
            steps[axis] = -1
            ct = slice_(ct, start=tuple(flipped), step=tuple(steps), shape=ct.shape)
    low, high, interior = [], [], []
    for first, by, count, n in zip(start, step, shape, x.shape, strict=True):
        lowest = first if by > 0 else first + by * (count - 1)
        low.append(lowest if count else 0)
        interior.append(abs(by) - 1)
        high.append(n - low[-1] - (count + max(count - 1, 0) * (abs(by) - 1)))
    return pad(ct, low=tuple(low), high=tuple(high), interior=tuple(interior))


def _oracle_slice(x: Any, *, start: Any, step: Any, shape: Any) -> Any:
    picks = [
        np.arange(count) * by + first for first, by, count in zip(start, step, shape, strict=True)
    ]
    return x[np.ix_(*picks)] if picks else x


slice_: Op = index_map(
    "slice",
    infer=_slice_type,
    transpose=_slice_transpose,
    batch=lambda inputs, batched, *, start, step, shape: slice_(
        inputs[0], start=(0, *start), step=(1, *step), shape=(inputs[0].shape[0], *shape)
    ),
    lower=lambda reader, index, x, *, start, step, shape: reader.read(
        0, tuple(i * by + first for i, first, by in zip(index, start, step, strict=True))
    ),
    oracle=_oracle_slice,
    doc="Elements ``start + step * i`` along each axis, i < shape; steps may be negative.",
)


def _pad_type(
    x: ArrayType, *, low: tuple[int, ...], high: tuple[int, ...], interior: tuple[int, ...]
) -> ArrayType:
    if min((*low, *high, *interior, 0)) < 0:
        raise ValueError(
            f"pad: widths must not be negative, got low={low} high={high} interior={interior}"
        )
    shape = tuple(
        lo + n + max(n - 1, 0) * between + hi
        for lo, n, between, hi in zip(low, x.shape, interior, high, strict=True)
    )
    return ArrayType(shape, x.dtype)


def _pad_transpose(ct: Node, position: int, x: Node, *, low: Any, high: Any, interior: Any) -> Node:
    return slice_(ct, start=low, step=tuple(i + 1 for i in interior), shape=x.shape)


def _lower_pad(reader: Any, index: Any, x: ArrayType, *, low: Any, high: Any, interior: Any) -> Any:
    source = []
    for i, n, first, between in zip(index, x.shape, low, interior, strict=True):
        place = reader.unpad(i, first, between + 1, n)
        if place is None:
            return reader.fill(0)
        source.append(place)
    return reader.read(0, tuple(source))


def _oracle_pad(x: Any, *, low: Any, high: Any, interior: Any) -> Any:
    shape = [
        lo + n + max(n - 1, 0) * between + hi
        for lo, n, between, hi in zip(low, x.shape, interior, high, strict=True)
    ]
    out = np.zeros(shape, x.dtype)
    where = tuple(
        slice(lo, lo + max((n - 1) * (between + 1) + 1, 0), between + 1)
        for lo, n, between in zip(low, x.shape, interior, strict=True)
    )
    if x.size:
        out[where] = x
    return out


pad: Op = index_map(
    "pad",
    infer=_pad_type,
    transpose=_pad_transpose,
    batch=lambda inputs, batched, *, low, high, interior: pad(
        inputs[0], low=(0, *low), high=(0, *high), interior=(0, *interior)
    ),
    lower=_lower_pad,
    oracle=_oracle_pad,
    doc="Zeros around and between the elements of each axis.",
)


# --- concatenate ----------------------------------------------------------------------------------


def _concatenate_type(*types: ArrayType, axis: int) -> ArrayType:
    dtype = same_dtype("concatenate", types)
    first = types[0]
    if not 0 <= axis < first.rank:
        raise ValueError(f"concatenate: {first} has no axis {axis}")
    for t in types:
        if t.rank != first.rank or any(
            a != b for i, (a, b) in enumerate(zip(t.shape, first.shape, strict=True)) if i != axis
        ):
            shapes = ", ".join(map(str, types))
            raise ValueError(f"concatenate: shapes differ outside axis {axis}: {shapes}")
    shape = list(first.shape)
    shape[axis] = sum(t.shape[axis] for t in types)
    return ArrayType(tuple(shape), dtype)


def _concatenate_transpose(
    ct: Node, positions: Sequence[int], *inputs: Node, axis: int
) -> list[Node]:
    ends = list(itertools.accumulate([x.shape[axis] for x in inputs]))
    steps = (1,) * len(ct.shape)
    found = []
    for position in positions:
        shape = inputs[position].shape
        start = [0] * len(shape)
        if 0 not in shape:
            start[axis] = ends[position] - shape[axis]
        found.append(slice_(ct, start=tuple(start), step=steps, shape=shape))
    return found


def _batch_concatenate(inputs: Sequence[Node], batched: Sequence[bool], *, axis: int) -> Node:
    size = next(x.shape[0] for x, b in zip(inputs, batched, strict=True) if b)
    full = [
        x if b else broadcast_to(x, shape=(size, *x.shape))
        for x, b in zip(inputs, batched, strict=True)
    ]
    return concatenate(*full, axis=axis + 1)


def _lower_concatenate(reader: Any, index: Any, *types: ArrayType, axis: int) -> Any:
    end = 0
    last = max(i for i, t in enumerate(types) if t.shape[axis])
    for i, t in enumerate(types):
        start, end = end, end + t.shape[axis]
        if t.shape[axis] and (i == last or reader.inside(index[axis], start, end)):
            return reader.read(i, (*index[:axis], index[axis] - start, *index[axis + 1 :]))
    raise AssertionError("some operand holds the element")


concatenate: Op = index_map(
    "concatenate",
    infer=_concatenate_type,
    transpose=_concatenate_transpose,
    batch=_batch_concatenate,
    lower=_lower_concatenate,
    oracle=lambda *xs, axis: np.concatenate(xs, axis=axis),
    joint=True,
    doc="Operands one after the other along an existing axis.",
)
