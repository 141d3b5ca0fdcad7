"""Windows that slide along an axis: what convolutions, pooling and moving averages read."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from ..ir.node import Node, constant
from ..ir.op import Kind, Op
from ..ir.types import ArrayType
from .arrange import cut, flip
from .elementwise import add
from .index import scatter_add
from .shape import pad, reshape, transpose
from .table import index_map

__all__ = ["windows"]

#: elements of a window up to which its transpose adds one padded array for each
_FEW = 16


def _span(size: int, dilation: int) -> int:
    """How many elements a window reaches over."""
    return (size - 1) * dilation + 1


def _windows_type(x: ArrayType, *, axis: int, size: int, step: int, dilation: int) -> ArrayType:
    if min(size, step, dilation) < 1:
        raise ValueError(
            f"windows: size, step and dilation must be positive, got {size}, {step}, {dilation}"
        )
    n = x.shape[axis]
    if _span(size, dilation) > n:
        raise ValueError(
            f"windows: a window over {_span(size, dilation)} elements is longer than axis {axis} "
            f"of {x}"
        )
    count = (n - _span(size, dilation)) // step + 1
    return ArrayType((*x.shape[:axis], count, *x.shape[axis + 1 :], size), x.dtype)


def _windows_transpose(
    ct: Node, position: int, x: Node, *, axis: int, size: int, step: int, dilation: int
) -> Node:
    """Each element gets back what all windows that it lies in say of it."""
    if step == 1 and ct.op.kind is Kind.CONTRACTION:
        whole = _of_contraction(ct, axis, size, dilation)
        if whole is not None:
            return whole
    n, count = x.shape[axis], ct.shape[axis]
    rank = len(x.shape)
    if size > _FEW:
        order = (*range(axis + 1), rank, *range(axis + 1, rank))
        places = np.arange(count)[:, None] * step + np.arange(size) * dilation
        return scatter_add(transpose(ct, axes=order), constant(places), size=n, axis=axis)
    parts = []
    for j in range(size):
        one = reshape(cut(ct, rank, j, 1), shape=ct.shape[:-1])
        low, high, between = [0] * rank, [0] * rank, [0] * rank
        low[axis], between[axis] = j * dilation, step - 1
        high[axis] = n - low[axis] - ((count - 1) * step + 1)
        parts.append(pad(one, low=tuple(low), high=tuple(high), interior=tuple(between)))
    return reduce(add, parts)


def _of_contraction(ct: Node, axis: int, size: int, dilation: int) -> Node | None:
    """The transpose of windows of a contraction as one contraction; None where it is none.

    Where only one factor depends on the window's place, and only the other on the place inside of
    it, sum over j of a[m - j] b[j] is a sum over windows of a, between zeros, and b reversed: the
    gradient of a convolution by its input is a convolution."""
    words, result = ct["spec"].split("->")
    place, inside = result[axis], result[-1]
    factors = list(zip(words.split(","), ct.inputs, strict=True))
    for (word, a), (other, b) in (factors, factors[::-1]):
        if place in word and inside not in word and inside in other and place not in other:
            return _convolved(ct, axis, size, dilation, (word, a), (other, b))
    return None


def _convolved(
    ct: Node, axis: int, size: int, dilation: int, moving: tuple[str, Node], fixed: tuple[str, Node]
) -> Node:
    """That contraction: windows of the ``moving`` factor with the ``fixed`` one reversed."""
    result = ct["spec"].split("->")[1]
    place, inside = result[axis], result[-1]
    (word, a), (other, b) = moving, fixed
    around = [0] * len(word)
    at = word.index(place)
    around[at] = _span(size, dilation) - 1
    wide = pad(a, low=tuple(around), high=tuple(around), interior=(0,) * len(word))
    seen = windows(wide, axis=at, size=size, step=1, dilation=dilation)
    return ct.op(seen, flip(b, other.index(inside)), spec=f"{word}{inside},{other}->{result[:-1]}")


def _lower_windows(
    reader: Any, index: Any, x: ArrayType, *, axis: int, size: int, step: int, dilation: int
) -> Any:
    *outer, place = index
    outer[axis] = outer[axis] * step + place * dilation
    return reader.read(0, tuple(outer))


def _oracle_windows(x: Any, *, axis: int, size: int, step: int, dilation: int) -> Any:
    every = np.lib.stride_tricks.sliding_window_view(x, _span(size, dilation), axis)
    picks = [slice(None)] * every.ndim
    picks[axis], picks[-1] = slice(None, None, step), slice(None, None, dilation)
    return every[tuple(picks)]


windows: Op = index_map(
    "windows",
    infer=_windows_type,
    transpose=_windows_transpose,
    batch=lambda inputs, batched, *, axis, **attrs: windows(inputs[0], axis=axis + 1, **attrs),
    lower=_lower_windows,
    oracle=_oracle_windows,
    doc="Windows of ``size`` elements, ``dilation`` apart, from every ``step``-th element of an "
    "axis on; the elements of a window are a new last axis.",
)
