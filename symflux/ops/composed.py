"""Functions on nodes, composed of the ops: statistics, softmax, norms, numbers in a row.

Axes and ``keepdims`` are in NumPy's manner. Operands have the dtypes that NumPy would promote them
to, except where a docstring says what is converted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.node import Node, constant
from ..ir.op import Op
from ..ir.types import dtype_of, is_floating
from .arrange import Axis, axes_of, cut, is_index, listed
from .elementwise import (
    abs_,
    cast,
    copysign,
    eq,
    exp,
    ge,
    isfinite,
    log,
    maximum,
    minimum,
    mul,
    ne,
    pow_,
    round_,
    sqrt,
    stop_gradient,
    where,
)  # fmt: skip
from .index import iota
from .reduce import expand, max_, min_, sum_
from .shape import broadcast_to, reshape

__all__ = [
    "arange", "clip", "count_nonzero", "diff", "eye", "full", "isinf", "linspace",
    "log_softmax", "logsumexp", "mean", "nan_to_num", "norm", "ptp", "reduce_with", "root",
    "rounded", "sign_of", "softmax", "square", "std", "tri", "tril", "triu", "var",
]  # fmt: skip

Number = int | float


def full(shape: tuple[int, ...], value: Any, dtype: str) -> Node:
    """One value everywhere."""
    return broadcast_to(constant(value, dtype), shape=shape)


def _floating(x: Node) -> Node:
    """Integers and bools as float64, as NumPy's averages convert them."""
    return x if is_floating(x.dtype) else cast(x, dtype="f64")


def _kept(reduced: Node, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Node:
    if not keepdims:
        return reduced
    return reshape(reduced, shape=tuple(1 if i in axes else n for i, n in enumerate(shape)))


def _alike(x: Node, reduced: Node, axes: tuple[int, ...]) -> Node:
    """A reduced value repeated along the reduced axes."""
    return expand(reduced, x.shape, axes)


def reduce_with(op: Op, x: Node, axis: Axis = None, keepdims: bool = False) -> Node:
    """A reduction op (``sum_``, ``max_``, ``argmax`` ...) with NumPy's axis and keepdims."""
    axes = axes_of(axis, len(x.shape))
    return _kept(op(x, axes=axes), x.shape, axes, keepdims)


# --- elementwise ----------------------------------------------------------------------------------


def square(x: Node) -> Node:
    """x · x."""
    return mul(x, x)


def clip(x: Node, low: Any = None, high: Any = None) -> Node:
    """``x`` kept between two bounds (None: no bound); the upper bound wins where they cross."""
    if low is not None:
        x = maximum(x, low)
    return x if high is None else minimum(x, high)


def sign_of(x: Node) -> Node:
    """1 with the sign of x, that of -0.0 too; its derivative is 0."""
    return copysign(constant(1, x.dtype), x)


def isinf(x: Node) -> Node:
    """Whether x is infinite."""
    return eq(abs_(x), constant(math.inf, x.dtype))


def rounded(x: Node, decimals: int = 0) -> Node:
    """To that many decimals, halves to even, by NumPy's formula (scale, round, scale back)."""
    if not is_floating(x.dtype):
        if decimals >= 0:
            return x
        scale = 10.0**-decimals
        return cast(round_(cast(x, dtype="f64") / scale) * scale, dtype=x.dtype)
    if decimals == 0:
        return round_(x)
    if decimals > 0:
        return round_(x * 10.0**decimals) / 10.0**decimals
    return round_(x / 10.0**-decimals) * 10.0**-decimals


def nan_to_num(
    x: Node,
    nan: Number | Node = 0.0,
    posinf: Number | Node | None = None,
    neginf: Number | Node | None = None,
) -> Node:
    """nan and infinities replaced by numbers (by default 0 and the largest finite ones)."""
    if not is_floating(x.dtype):
        return x
    limit = float(np.finfo({"f16": "float16", "f32": "float32", "f64": "float64"}[x.dtype]).max)
    fillers = (
        f if isinstance(f, Node) else constant(f, x.dtype)
        for f in (nan, limit if posinf is None else posinf, -limit if neginf is None else neginf)
    )
    result = where(ne(x, x), next(fillers), x)
    result = where(eq(x, math.inf), next(fillers), result)
    return where(eq(x, -math.inf), next(fillers), result)


# --- statistics -----------------------------------------------------------------------------------


def _count(x: Node, axes: tuple[int, ...]) -> int:
    return math.prod(x.shape[a] for a in axes)


def _wide(x: Node) -> Node:
    """Half precision as single precision, in which NumPy averages it."""
    return cast(x, dtype="f32") if x.dtype == "f16" else x


def mean(x: Node, axis: Axis = None, keepdims: bool = False) -> Node:
    """The arithmetic mean; integers and bools are averaged in float64."""
    x = _floating(x)
    axes = axes_of(axis, len(x.shape))
    total = sum_(_wide(x), axes=axes)
    result = total / float(_count(x, axes))
    result = result if x.dtype == result.dtype else cast(result, dtype=x.dtype)
    return _kept(result, x.shape, axes, keepdims)


def var(
    x: Node,
    axis: Axis = None,
    ddof: float = 0,
    keepdims: bool = False,
    mask: Node | None = None,
) -> Node:
    """The mean squared distance from the mean, of ``n - ddof`` (at least 0) degrees of freedom; of
    the elements for which ``mask``, of x's shape, holds."""
    x = _floating(x)
    axes = axes_of(axis, len(x.shape))
    wide = _wide(x)
    zero = constant(0, wide.dtype)
    count: Any = float(_count(x, axes))
    free: Any = max(count - ddof, 0.0)
    if mask is not None:
        wide = where(mask, wide, zero)
        count = sum_(cast(mask, dtype=wide.dtype), axes=axes)
        free = maximum(count - ddof, zero)
    centred = wide - _alike(wide, sum_(wide, axes=axes) / count, axes)
    if mask is not None:
        centred = where(mask, centred, zero)
    result = sum_(centred * centred, axes=axes) / free
    result = result if x.dtype == wide.dtype else cast(result, dtype=x.dtype)
    return _kept(result, x.shape, axes, keepdims)


def root(x: Node) -> Node:
    """The square root, with a derivative of 0 at 0."""
    zero = eq(x, constant(0, x.dtype))
    return where(zero, constant(0, x.dtype), sqrt(where(zero, constant(1, x.dtype), x)))


def std(
    x: Node,
    axis: Axis = None,
    ddof: float = 0,
    keepdims: bool = False,
    mask: Node | None = None,
) -> Node:
    """The square root of :func:`var`; its derivative counts as 0 where all elements are equal."""
    return root(var(x, axis, ddof, keepdims, mask))


def ptp(x: Node, axis: Axis = None, keepdims: bool = False) -> Node:
    """The largest element less the smallest."""
    return reduce_with(max_, x, axis, keepdims) - reduce_with(min_, x, axis, keepdims)


def count_nonzero(x: Node, axis: Axis = None, keepdims: bool = False) -> Node:
    """How many elements are not zero, as i64."""
    held = x if x.dtype == "bool" else ne(x, constant(0, x.dtype))
    return reduce_with(sum_, cast(held, dtype="i64"), axis, keepdims)


def diff(x: Node, n: int = 1, axis: int = -1) -> Node:
    """Differences of neighbours along an axis, taken ``n`` times."""
    (place,) = axes_of(axis, len(x.shape))
    for _ in range(n):
        count = max(x.shape[place] - 1, 0)
        later, earlier = cut(x, place, min(1, count), count), cut(x, place, 0, count)
        x = ne(later, earlier) if x.dtype == "bool" else later - earlier
    return x


# --- exponentials in a row ------------------------------------------------------------------------


def _shift(x: Node, axes: tuple[int, ...]) -> Node:
    """The largest element along the axes, 0 where that is infinite; no derivative flows through it,
    because what is computed from it does not depend on it."""
    highest = stop_gradient(max_(x, axes=axes))
    return where(isfinite(highest), highest, constant(0, x.dtype))


def logsumexp(
    x: Node,
    axis: Axis = None,
    keepdims: bool = False,
    share: Callable[[Node], Node] | None = None,
) -> Node:
    """log(sum(exp(x))), without overflow; -inf, with a derivative of 0, where all x are -inf.

    ``share`` scales the sum by a constant (for the logarithm of a mean)."""
    x = _floating(x)
    axes = axes_of(axis, len(x.shape))
    shift = _shift(x, axes)
    total = sum_(exp(x - _alike(x, shift, axes)), axes=axes)
    total = total if share is None else share(total)
    empty = eq(total, constant(0, x.dtype))
    logarithm = log(where(empty, constant(1, x.dtype), total)) + shift
    result = where(empty, constant(-math.inf, x.dtype), logarithm)
    return _kept(result, x.shape, axes, keepdims)


def softmax(x: Node, axis: Axis = -1) -> Node:
    """exp(x) / sum(exp(x)) along the axes, without overflow."""
    x = _floating(x)
    axes = axes_of(axis, len(x.shape))
    weights = exp(x - _alike(x, _shift(x, axes), axes))
    return weights / _alike(x, sum_(weights, axes=axes), axes)


def log_softmax(x: Node, axis: Axis = -1) -> Node:
    """log(softmax(x)), without overflow or underflow."""
    x = _floating(x)
    axes = axes_of(axis, len(x.shape))
    moved = x - _alike(x, _shift(x, axes), axes)
    return moved - _alike(x, log(sum_(exp(moved), axes=axes)), axes)


# --- norms ----------------------------------------------------------------------------------------


def norm(x: Node, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Node:
    """The norm of vectors along one axis, or of all elements (None: the Euclidean norm).

    ``ord``: 2 or None (Euclidean), 1, inf, -inf, 0 (how many are not zero), any other number p.
    For two axes: None, "fro", 1, -1, inf and -inf. At 0 the derivative of the Euclidean norm is
    taken as 0.

    Raises:
        ValueError: for an order that does not exist, or needs singular values.
    """
    x = _floating(x)
    axes = axes_of(axis, len(x.shape))
    if ord is None or (ord == "fro" and len(axes) == 2) or (ord == 2 and len(axes) == 1):
        result = root(sum_(x * x, axes=axes))
    elif len(axes) == 1:
        result = _vector_norm(x, ord, axes)
    elif len(axes) == 2:
        first, second = axes if axis is None else listed(axis)
        result = _matrix_norm(x, ord, (first % len(x.shape), second % len(x.shape)))
    else:
        raise ValueError(f"norm: order {ord!r} is for one or two axes, got {len(axes)}")
    return _kept(result, x.shape, axes, keepdims)


def _vector_norm(x: Node, order: Any, axes: tuple[int, ...]) -> Node:
    size = abs_(x)
    if order == math.inf:
        return max_(size, axes=axes)
    if order == -math.inf:
        return min_(size, axes=axes)
    if order == 1:
        return sum_(size, axes=axes)
    if order == 0:
        return sum_(cast(ne(x, constant(0, x.dtype)), dtype=x.dtype), axes=axes)
    if not isinstance(order, int | float):
        raise ValueError(f"norm: there is no vector norm of order {order!r}")
    total = sum_(pow_(size, float(order)), axes=axes)
    zero = eq(total, constant(0, x.dtype))
    root = pow_(where(zero, constant(1, x.dtype), total), 1.0 / order)
    return where(zero, constant(0, x.dtype), root)


def _matrix_norm(x: Node, order: Any, axes: tuple[int, ...]) -> Node:
    row, column = axes
    if order not in (1, -1, math.inf, -math.inf):
        raise ValueError(f"norm: the matrix norm of order {order!r} needs singular values")
    summed, left = (row, column) if abs(order) == 1 else (column, row)
    sums = sum_(abs_(x), axes=(summed,))
    return (max_ if order > 0 else min_)(sums, axes=(left - (left > summed),))


# --- numbers in a row -----------------------------------------------------------------------------


def arange(
    start: Number, stop: Number | None = None, step: Number = 1, dtype: str | None = None
) -> Node:
    """start, start + step, ... below stop, as ``numpy.arange``; the length is static.

    Raises:
        ValueError: for a step of 0.
    """
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise ValueError("arange: the step must not be 0")
    example = np.asarray([start, stop, step])
    target = dtype_of(example.dtype) if dtype is None else dtype
    count = max(math.ceil((stop - start) / step), 0)
    wide = "i64" if all(is_index(v) for v in (start, stop, step)) else "f64"
    numbers = iota(shape=(count,), dtype=wide, axis=0)
    if step != 1:
        numbers = numbers * ((start + step) - start)
    if start != 0:
        numbers = numbers + start
    return numbers if wide == target else cast(numbers, dtype=target)


def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: str | None = None
) -> Node:
    """``num`` evenly spaced numbers from start to stop (numbers or scalar nodes)."""
    nodes = [v if isinstance(v, Node) else constant(float(v), "f64") for v in (start, stop)]
    floats = [v.dtype for v in (start, stop) if isinstance(v, Node) and is_floating(v.dtype)]
    wide = floats[0] if floats else "f64"
    first, last = (v if v.dtype == wide else cast(v, dtype=wide) for v in nodes)
    steps = num - 1 if endpoint else num
    numbers = iota(shape=(num,), dtype=wide, axis=0)
    result = numbers * ((last - first) / float(max(steps, 1))) + first
    if endpoint and num > 1:
        result = where(eq(numbers, constant(num - 1, wide)), last, result)
    target = wide if dtype is None else dtype
    return result if target == wide else cast(result, dtype=target)


def _places(rows: int, columns: int, k: int) -> tuple[Node, Node]:
    """Row number plus ``k``, and column number: equal on diagonal k, more or less beside it."""
    row = iota(shape=(rows, columns), dtype="i64", axis=0)
    return (row + k if k else row), iota(shape=(rows, columns), dtype="i64", axis=1)


def eye(n: int, m: int | None = None, k: int = 0, dtype: str = "f64") -> Node:
    """Ones on diagonal ``k``, zeros elsewhere."""
    return cast(eq(*_places(n, n if m is None else m, k)), dtype=dtype)


def tri(n: int, m: int | None = None, k: int = 0, dtype: str = "f64") -> Node:
    """Ones on and below diagonal ``k``, zeros above."""
    return cast(ge(*_places(n, n if m is None else m, k)), dtype=dtype)


def tril(x: Node, k: int = 0) -> Node:
    """The part on and below diagonal ``k`` of the last two axes; zeros above."""
    return where(ge(*_places(x.shape[-2], x.shape[-1], k)), x, constant(0, x.dtype))


def triu(x: Node, k: int = 0) -> Node:
    """The part on and above diagonal ``k`` of the last two axes; zeros below."""
    above = ge(*_places(x.shape[-2], x.shape[-1], k - 1))
    return where(above, constant(0, x.dtype), x)
