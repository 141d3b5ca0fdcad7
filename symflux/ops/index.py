"""Ops with indices as values: take along an axis, its transpose scatter_add, and iota."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.node import Node, constant
from ..ir.op import LOCALLY_CONSTANT, Kind, Linear, Op
from ..ir.types import ArrayType, numpy_dtype
from .elementwise import cast, maximum, minimum
from .shape import broadcast_to, reshape, transpose
from .table import index_map

__all__ = ["iota", "scatter_add", "take"]

# --- iota -----------------------------------------------------------------------------------------


def _iota_type(*, shape: tuple[int, ...], dtype: str, axis: int) -> ArrayType:
    if not 0 <= axis < len(shape):
        raise ValueError(f"iota: shape {shape} has no axis {axis}")
    if dtype == "bool":
        raise TypeError("iota: takes integer or float values, got bool")
    return ArrayType(shape, dtype)


def _no_batch(inputs: Any, batched: Any, **attrs: Any) -> Node:
    raise AssertionError("iota has no inputs to batch")


def _oracle_iota(*, shape: tuple[int, ...], dtype: str, axis: int) -> Any:
    numbers = np.arange(shape[axis]).astype(numpy_dtype(dtype))
    own = [1] * len(shape)
    own[axis] = shape[axis]
    return np.broadcast_to(numbers.reshape(own), shape)


def _lower_iota(emitter: Any, index: Any, node: Node) -> Any:
    number = emitter.index_operand(index[node["axis"]])
    return number if node.dtype == "i64" else emitter.b.cast(number, node.dtype)


iota: Op = Op(
    "iota",
    Kind.SOURCE,
    _iota_type,
    LOCALLY_CONSTANT,
    _no_batch,
    _lower_iota,
    _oracle_iota,
    doc="The index of each element along ``axis``: 0, 1, 2, ...",
)

# --- take and scatter_add: each other's transpose -------------------------------------------------


def _check_indices(name: str, indices: ArrayType) -> None:
    if indices.dtype[0] not in "iu":
        raise TypeError(f"{name}: the indices must be integers, got {indices}")


def _take_type(x: ArrayType, indices: ArrayType, *, axis: int) -> ArrayType:
    _check_indices("take", indices)
    if not 0 <= axis < x.rank:
        raise ValueError(f"take: {x} has no axis {axis}")
    if x.shape[axis] == 0 and indices.size:
        raise ValueError(f"take: axis {axis} of {x} has no elements to take")
    return ArrayType((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)


def _rows_of_batches(indices: Node, extent: int) -> Node:
    """Indices into each batch's own ``extent`` rows, as indices into the rows of all batches.

    Clamped first: an index beyond the end must not reach into the next batch."""
    batches = indices.shape[0]
    inside = minimum(maximum(cast(indices, dtype="i64"), 0), max(extent - 1, 0))
    number = iota(shape=(batches, *(1,) * (len(indices.shape) - 1)), dtype="i64", axis=0)
    return inside + number * extent


def _move(x: Node, source: Sequence[int], destination: Sequence[int]) -> Node:
    """Axes ``source`` moved to the places ``destination``; the others keep their order."""
    order = [i for i in range(len(x.shape)) if i not in source]
    for to, axis in sorted(zip(destination, source, strict=True)):
        order.insert(to, axis)
    return transpose(x, axes=tuple(order))


def _batch_take(inputs: Sequence[Node], batched: Sequence[bool], *, axis: int) -> Node:
    x, indices = inputs
    if not batched[1]:
        return take(x, indices, axis=axis + 1)
    if not batched[0]:
        return _move(take(x, indices, axis=axis), (axis,), (0,))
    batches, extent = x.shape[0], x.shape[axis + 1]
    rows = _move(x, (axis + 1,), (1,))
    flat = reshape(rows, shape=(batches * extent, *rows.shape[2:]))
    taken = take(flat, _rows_of_batches(indices, extent), axis=0)
    rank = len(indices.shape) - 1
    return _move(taken, range(1, 1 + rank), range(1 + axis, 1 + axis + rank))


def _lower_take(reader: Any, index: Any, x: ArrayType, indices: ArrayType, *, axis: int) -> Any:
    if x.size == 0 or indices.size == 0:
        return reader.fill(0)
    end = axis + indices.rank
    place = reader.index_value(1, index[axis:end], x.shape[axis])
    return reader.read(0, (*index[:axis], place, *index[end:]))


def _oracle_take(x: Any, indices: Any, *, axis: int) -> Any:
    if x.shape[axis] == 0:
        return np.zeros((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)
    return np.take(x, np.clip(indices, 0, x.shape[axis] - 1), axis=axis)


take: Op = index_map(
    "take",
    infer=_take_type,
    transpose=lambda ct, position, x, indices, *, axis: scatter_add(
        ct, indices, size=x.shape[axis], axis=axis
    ),
    batch=_batch_take,
    lower=_lower_take,
    oracle=_oracle_take,
    doc="Elements along ``axis`` at integer indices, whose axes replace it; indices are clamped.",
)


def _scatter_type(updates: ArrayType, indices: ArrayType, *, size: int, axis: int) -> ArrayType:
    _check_indices("scatter_add", indices)
    if updates.dtype == "bool":
        raise TypeError(f"scatter_add: takes integer or float values, got {updates}")
    end = axis + indices.rank
    if not 0 <= axis <= end <= updates.rank or updates.shape[axis:end] != indices.shape:
        raise ValueError(
            f"scatter_add: axes {axis} to {end} of {updates} are not those of {indices}"
        )
    if size == 0 and indices.size:
        raise ValueError("scatter_add: an axis without elements cannot take updates")
    return ArrayType((*updates.shape[:axis], size, *updates.shape[end:]), updates.dtype)


def _batch_scatter(
    inputs: Sequence[Node], batched: Sequence[bool], *, size: int, axis: int
) -> Node:
    updates, indices = inputs
    if not batched[1]:
        return scatter_add(updates, indices, size=size, axis=axis + 1)
    batches, rank = indices.shape[0], len(indices.shape) - 1
    if not batched[0]:
        updates = broadcast_to(updates, shape=(batches, *updates.shape))
    rows = _move(updates, range(1 + axis, 1 + axis + rank), range(1, 1 + rank))
    summed = scatter_add(rows, _rows_of_batches(indices, size), size=batches * size, axis=0)
    split = reshape(summed, shape=(batches, size, *summed.shape[1:]))
    return _move(split, (1,), (1 + axis,))


def _oracle_scatter(updates: Any, indices: Any, *, size: int, axis: int) -> Any:
    end = axis + indices.ndim
    out = np.zeros((size, *updates.shape[:axis], *updates.shape[end:]), updates.dtype)
    rows = np.moveaxis(updates, range(axis, end), range(indices.ndim))
    if indices.size:
        np.add.at(out, np.clip(indices, 0, size - 1), rows)
    return np.moveaxis(out, 0, axis)


scatter_add: Op = Op(
    "scatter_add",
    Kind.OPAQUE,
    _scatter_type,
    Linear(
        lambda ct, position, updates, indices, *, size, axis: _scatter_transpose(
            ct, updates, indices, axis
        )
    ),
    _batch_scatter,
    lambda emitter, node: emitter.scatter_add(node),
    _oracle_scatter,
    doc="Zeros, with the updates added along ``axis`` (of extent ``size``) at integer indices.",
)


def _scatter_transpose(ct: Node, updates: Node, indices: Node, axis: int) -> Node:
    if math.prod(updates.shape) == 0:
        return broadcast_to(constant(0, ct.dtype), shape=updates.shape)
    return take(ct, indices, axis=axis)
