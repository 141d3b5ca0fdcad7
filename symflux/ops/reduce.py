"""Ops that fold axes away: sum, prod, max, min, any, all, argmax, argmin."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.node import Node, constant
from ..ir.op import LOCALLY_CONSTANT, Jvp, Linear, Op
from ..ir.types import numpy_dtype
from .elementwise import cast, eq, where
from .shape import broadcast_to, concatenate, reshape, slice_, transpose
from .table import Fold, reduction

__all__ = ["all_", "any_", "argmax", "argmin", "expand", "max_", "min_", "prod", "sum_"]


def expand(reduced: Node, shape: tuple[int, ...], axes: tuple[int, ...]) -> Node:
    """Undo a reduction's change of shape: extent 1 on ``axes``, then broadcast to ``shape``."""
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return broadcast_to(reshape(reduced, shape=kept), shape=shape)


# --- sum ------------------------------------------------------------------------------------------


def _sum_transpose(ct: Node, position: int, x: Node, *, axes: tuple[int, ...]) -> Node:
    return expand(ct, x.shape, axes)


sum_: Op = reduction(
    "sum",
    fold=Fold(init=lambda dtype: (0,), combine="add"),
    derivative=Linear(_sum_transpose),
    oracle=lambda x, axis: np.sum(x, axis=axis, dtype=x.dtype),
    doc="The sum of the elements along the axes.",
)

# --- prod -----------------------------------------------------------------------------------------


def _axes_last(x: Node, axes: Sequence[int]) -> Node:
    """``x`` with the given axes merged into one, the last."""
    kept = [i for i in range(len(x.shape)) if i not in axes]
    moved = transpose(x, axes=(*kept, *axes))
    shape = tuple(x.shape[i] for i in kept)
    return reshape(moved, shape=(*shape, math.prod(x.shape[i] for i in axes)))


def _cut(x: Node, low: int, high: int) -> Node:
    """Elements low to high of the last axis."""
    rest = x.shape[:-1]
    start = (*(0 for _ in rest), low)
    return slice_(x, start=start, step=(1,) * len(x.shape), shape=(*rest, high - low))


def _prod_jvp(out: Node, tangents: Sequence[Any], x: Node, *, axes: tuple[int, ...]) -> Node | None:
    """The product rule along a balanced tree of products: no division, so that zeros are exact.

    Each level multiplies the first half of the elements by the second half; the rule costs a
    constant number of operations per element, in both modes and at every order."""
    (t,) = tangents
    if t is None:
        return None
    values, tangent = _axes_last(x, axes), _axes_last(t, axes)
    while (n := values.shape[-1]) > 1:
        half = n // 2
        x0, t0 = _cut(values, 0, half), _cut(tangent, 0, half)
        x1, t1 = _cut(values, half, 2 * half), _cut(tangent, half, 2 * half)
        products, slopes = x0 * x1, t0 * x1 + x0 * t1
        if n % 2:
            products = concatenate(products, _cut(values, n - 1, n), axis=len(x0.shape) - 1)
            slopes = concatenate(slopes, _cut(tangent, n - 1, n), axis=len(x0.shape) - 1)
        values, tangent = products, slopes
    if 0 in values.shape:
        return broadcast_to(constant(0, out.dtype), shape=out.shape)
    return reshape(tangent, shape=out.shape)


prod: Op = reduction(
    "prod",
    fold=Fold(init=lambda dtype: (1,), combine="mul"),
    derivative=Jvp(_prod_jvp),
    oracle=lambda x, axis: np.prod(x, axis=axis, dtype=x.dtype),
    doc="The product of the elements along the axes.",
)

# --- max and min ----------------------------------------------------------------------------------


def _extremum_jvp(
    out: Node, tangents: Sequence[Any], x: Node, *, axes: tuple[int, ...]
) -> Node | None:
    """The mean of the tangents of the elements that reach the extremum."""
    (t,) = tangents
    if t is None:
        return None
    reached = eq(x, expand(out, x.shape, axes))
    total = sum_(where(reached, t, constant(0, t.dtype)), axes=axes)
    return total / sum_(cast(reached, dtype=t.dtype), axes=axes)


def _lowest(dtype: str) -> Any:
    if dtype == "bool":
        return False
    return -math.inf if dtype[0] == "f" else int(np.iinfo(numpy_dtype(dtype)).min)


def _highest(dtype: str) -> Any:
    if dtype == "bool":
        return True
    return math.inf if dtype[0] == "f" else int(np.iinfo(numpy_dtype(dtype)).max)


max_: Op = reduction(
    "max",
    domain="biuf",
    fold=Fold(init=lambda dtype: (_lowest(dtype),), combine="maximum"),
    derivative=Jvp(_extremum_jvp),
    oracle=lambda x, axis: np.max(x, axis=axis),
    empty=False,
    doc="The largest element along the axes; nan if there is one.",
)
min_: Op = reduction(
    "min",
    domain="biuf",
    fold=Fold(init=lambda dtype: (_highest(dtype),), combine="minimum"),
    derivative=Jvp(_extremum_jvp),
    oracle=lambda x, axis: np.min(x, axis=axis),
    empty=False,
    doc="The smallest element along the axes; nan if there is one.",
)

# --- any and all ----------------------------------------------------------------------------------

any_: Op = reduction(
    "any",
    domain="b",
    fold=Fold(init=lambda dtype: (False,), combine="or"),
    derivative=LOCALLY_CONSTANT,
    oracle=lambda x, axis: np.any(x, axis=axis),
    doc="Whether any element along the axes is true.",
)
all_: Op = reduction(
    "all",
    domain="b",
    fold=Fold(init=lambda dtype: (True,), combine="and"),
    derivative=LOCALLY_CONSTANT,
    oracle=lambda x, axis: np.all(x, axis=axis),
    doc="Whether all elements along the axes are true.",
)

# --- argmax and argmin ----------------------------------------------------------------------------


def _first_where(wins: str) -> Callable[..., tuple[Any, Any]]:
    """The step of a search for the first element that wins; the first nan wins over all."""

    def step(b: Any, carried: Sequence[Any], value: Any, position: Any) -> tuple[Any, Any]:
        best, place = carried
        better = b.let(wins, value, best)
        if value.dtype[0] == "f":
            unordered = b.let("and", b.let("isnan", value), b.let("not", b.let("isnan", best)))
            better = b.let("or", better, unordered)
        return b.let("select", better, value, best), b.let("select", better, position, place)

    return step


def _merged(search: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's search over several axes: over their elements in row-major order."""

    def oracle(x: Any, axis: tuple[int, ...]) -> Any:
        kept = [i for i in range(x.ndim) if i not in axis]
        shape = [x.shape[i] for i in kept]
        size = math.prod(x.shape[i] for i in axis)
        moved = np.transpose(x, (*kept, *axis)).reshape(*shape, size)
        return np.asarray(search(moved, axis=-1)).astype(np.int64)

    return oracle


argmax: Op = reduction(
    "argmax",
    domain="biuf",
    result="i64",
    fold=Fold(
        init=lambda dtype: (_lowest(dtype), 0),
        step=_first_where("gt"),
        needs_position=True,
        result=1,
        dtypes=lambda dtype: (dtype, "i64"),
    ),
    derivative=LOCALLY_CONSTANT,
    oracle=_merged(np.argmax),
    empty=False,
    doc="The row-major number, along the axes, of the first largest element or of the first nan.",
)
argmin: Op = reduction(
    "argmin",
    domain="biuf",
    result="i64",
    fold=Fold(
        init=lambda dtype: (_highest(dtype), 0),
        step=_first_where("lt"),
        needs_position=True,
        result=1,
        dtypes=lambda dtype: (dtype, "i64"),
    ),
    derivative=LOCALLY_CONSTANT,
    oracle=_merged(np.argmin),
    empty=False,
    doc="The row-major number, along the axes, of the first smallest element or of the first nan.",
)
