"""Ops with indices as values: take along an axis, its transpose scatter_add, and iota."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..ir.node import Node, constant
from ..ir.op import LOCALLY_CONSTANT, Kind, Linear, Op
from ..ir.types import ArrayType, numpy_dtype
from .shape import broadcast_to, transpose
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


def _check_batch(name: str, x: ArrayType, indices: ArrayType, axis: int, batch: int) -> None:
    if not 0 <= batch <= min(axis, indices.rank) or x.shape[:batch] != indices.shape[:batch]:
        raise ValueError(
            f"{name}: the first {batch} axes of {x} and {indices} are not shared, or not before "
            f"axis {axis}"
        )


def _take_type(x: ArrayType, indices: ArrayType, *, axis: int, batch: int = 0) -> ArrayType:
    _check_indices("take", indices)
    if not 0 <= axis < x.rank:
        raise ValueError(f"take: {x} has no axis {axis}")
    _check_batch("take", x, indices, axis, batch)
    if x.shape[axis] == 0 and indices.size:
        raise ValueError(f"take: axis {axis} of {x} has no elements to take")
    return ArrayType((*x.shape[:axis], *indices.shape[batch:], *x.shape[axis + 1 :]), x.dtype)


def _move(x: Node, source: Sequence[int], destination: Sequence[int]) -> Node:
    """Axes ``source`` moved to the places ``destination``; the others keep their order."""
    order = [i for i in range(len(x.shape)) if i not in source]
    for to, axis in sorted(zip(destination, source, strict=True)):
        order.insert(to, axis)
    return transpose(x, axes=tuple(order))


def _spread(x: Node, batches: int) -> Node:
    """``x`` repeated along a new leading axis."""
    return broadcast_to(x, shape=(batches, *x.shape))


def _batch_take(
    inputs: Sequence[Node], batched: Sequence[bool], *, axis: int, batch: int = 0
) -> Node:
    x, indices = inputs
    if not batched[1] and batch == 0:
        return take(x, indices, axis=axis + 1)
    if not batched[0] and batch == 0:
        return _move(take(x, indices, axis=axis), (axis,), (0,))
    count = (x if batched[0] else indices).shape[0]
    x = x if batched[0] else _spread(x, count)
    indices = indices if batched[1] else _spread(indices, count)
    return take(x, indices, axis=axis + 1, batch=batch + 1)


def _lower_take(
    reader: Any, index: Any, x: ArrayType, indices: ArrayType, *, axis: int, batch: int = 0
) -> Any:
    if x.size == 0 or indices.size == 0:
        return reader.fill(0)
    end = axis + indices.rank - batch
    place = reader.index_value(1, (*index[:batch], *index[axis:end]), x.shape[axis])
    return reader.read(0, (*index[:axis], place, *index[end:]))


def _oracle_take(x: Any, indices: Any, *, axis: int, batch: int = 0) -> Any:
    if batch:
        shape = (*x.shape[:axis], *indices.shape[batch:], *x.shape[axis + 1 :])
        out = np.zeros(shape, x.dtype)
        for n in range(x.shape[0]):
            out[n] = _oracle_take(x[n], indices[n], axis=axis - 1, batch=batch - 1)
        return out
    if x.shape[axis] == 0:
        return np.zeros((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)
    return np.take(x, np.clip(indices, 0, x.shape[axis] - 1), axis=axis)


take: Op = index_map(
    "take",
    infer=_take_type,
    transpose=lambda ct, position, x, indices, **attrs: scatter_add(
        ct, indices, size=x.shape[attrs["axis"]], **attrs
    ),
    batch=_batch_take,
    lower=_lower_take,
    oracle=_oracle_take,
    doc="Elements along ``axis`` at integer indices, whose axes replace it; indices are clamped. "
    "The first ``batch`` axes are shared: each batch has its own indices.",
)


def _scatter_type(
    updates: ArrayType, indices: ArrayType, *, size: int, axis: int, batch: int = 0
) -> ArrayType:
    _check_indices("scatter_add", indices)
    if updates.dtype == "bool":
        raise TypeError(f"scatter_add: takes integer or float values, got {updates}")
    end = axis + indices.rank - batch
    if not 0 <= axis <= end <= updates.rank or updates.shape[axis:end] != indices.shape[batch:]:
        raise ValueError(
            f"scatter_add: axes {axis} to {end} of {updates} are not those of {indices}"
        )
    _check_batch("scatter_add", updates, indices, axis, batch)
    if size == 0 and indices.size:
        raise ValueError("scatter_add: an axis without elements cannot take updates")
    return ArrayType((*updates.shape[:axis], size, *updates.shape[end:]), updates.dtype)


def _batch_scatter(
    inputs: Sequence[Node], batched: Sequence[bool], *, size: int, axis: int, batch: int = 0
) -> Node:
    updates, indices = inputs
    if not batched[1] and batch == 0:
        return scatter_add(updates, indices, size=size, axis=axis + 1)
    count = (updates if batched[0] else indices).shape[0]
    updates = updates if batched[0] else _spread(updates, count)
    indices = indices if batched[1] else _spread(indices, count)
    return scatter_add(updates, indices, size=size, axis=axis + 1, batch=batch + 1)


def _oracle_scatter(updates: Any, indices: Any, *, size: int, axis: int, batch: int = 0) -> Any:
    end = axis + indices.ndim - batch
    if batch:
        out = np.zeros((*updates.shape[:axis], size, *updates.shape[end:]), updates.dtype)
        for n in range(updates.shape[0]):
            out[n] = _oracle_scatter(
                updates[n], indices[n], size=size, axis=axis - 1, batch=batch - 1
            )
        return out
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
        lambda ct, position, updates, indices, *, size, **attrs: _scatter_transpose(
            ct, updates, indices, attrs
        )
    ),
    _batch_scatter,
    lambda emitter, node: emitter.scatter_add(node),
    _oracle_scatter,
    doc="Zeros, with the updates added along ``axis`` (of extent ``size``) at integer indices. "
    "The first ``batch`` axes are shared: each batch has its own indices.",
)


def _scatter_transpose(ct: Node, updates: Node, indices: Node, attrs: Mapping[str, int]) -> Node:
    if math.prod(updates.shape) == 0:
        return broadcast_to(constant(0, ct.dtype), shape=updates.shape)
    return take(ct, indices, **attrs)
