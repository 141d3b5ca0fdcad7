"""Reductions of traced arrays: sums, extremes, averages, and their relatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ArgumentError, AxisOutOfRange, DTypeError, ShapeError, UnsupportedOperation
from ..ir.graph import Graph
from ..ir.node import Node, item, symbol
from ..ir.op import lookup
from ..ir.origin import user_frame
from ..ir.types import is_floating, numpy_dtype
from ..ops import arrange, composed
from ..ops.control import scan
from ..trace.again import by_types
from ..trace.array import Array, as_array, as_node, operand
from ..trace.dispatch import TABLE, implements
from ..trace.fitting import adapted
from ..trace.into import takes_out
from ..trace.promote import build, cast, literal, reduced_dtype
from ..trace.scope import short_dtype
from ..trace.ufuncs import record, truth
from ..trace.views import reshape
from .elementwise import no_keywords

__all__ = ["axes_of", "reduced"]

NO = np._NoValue
#: Elements up to which running sums are written out.
FEW_STEPS = 16


def axes_of(x: Node, axis: Any) -> tuple[int, ...]:
    """The sorted axis numbers that ``axis`` (None, a number or a tuple of them) means for ``x``.

    Raises:
        ShapeError: for axes that ``x`` does not have, and repeated ones.
    """
    rank = len(x.shape)
    if axis is None:
        return tuple(range(rank))
    given = axis if isinstance(axis, tuple | list) else (axis,)
    numbers = []
    for each in given:
        number = each.__index__()
        if not -rank <= number < rank:
            raise AxisOutOfRange(
                f"axis {number} is out of bounds for {x.type}, of {rank} axes",
                place=user_frame(),
                right=f"axis=-1              # the last; there are {rank}" if rank else "no axis=",
            )
        numbers.append(number % rank)
    if len(set(numbers)) != len(numbers):
        raise ShapeError(
            f"axis {axis} names an axis twice", place=user_frame(), right="axis=(0, 1)"
        )
    return tuple(sorted(numbers))


def folded_axes(x: Node, axis: Any) -> tuple[int, ...]:
    """The axes that a reduction folds: a scalar has axes 0 and -1 there, as in NumPy."""
    one = axis is not None and not isinstance(axis, tuple | list)
    if one and not x.shape and axis.__index__() in (0, -1):
        return ()
    return axes_of(x, axis)


def _number(value: Any, dtype: str) -> Node:
    """``initial`` in the dtype of the result; a Python integer must fit."""
    return adapted(*operand(value), dtype)


def _kept(x: Node, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if i in axes else n for i, n in enumerate(x.shape))


def reduced(name: str, x: Node, axis: Any, keepdims: Any = False) -> Node:
    """The reduction op of that name along ``axis``."""
    axes = folded_axes(x, axis)
    result = build(name, x, axes=axes) if axes else x
    return reshape(result, _kept(x, axes)) if _keeps(keepdims) else result


def _keeps(keepdims: Any) -> bool:
    """Whether reduced axes stay, of extent 1; any true value says so."""
    return keepdims is not NO and bool(keepdims)


def _mask(where: Any, x: Node) -> Node | None:
    """Which elements of ``x`` a reduction takes, in its shape; None for all."""
    if _absent(where) is None or where is True:
        return None
    return build("broadcast_to", truth(as_node(where)), shape=x.shape)


def _absent(value: Any) -> Any:
    return None if value is NO else value


def _accumulated(
    name: str, ufunc: Any, a: Any, axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any,
    where: Any,
) -> Array:  # fmt: skip
    no_keywords(ufunc.__name__ if name not in ("sum", "prod") else name, out=out)
    x = as_node(a)
    wanted = reduced_dtype(ufunc, x.dtype) if _absent(dtype) is None else short_dtype(dtype)
    x = cast(x, wanted)
    # a sum of bools is whether any of them holds, a product whether all of them do
    fold, combine = {"sum": ("any", "or"), "prod": ("all", "and")}[name] if wanted == "bool" else (
        name, "add" if name == "sum" else "mul")  # fmt: skip
    x = _selected(x, where, 0 if name == "sum" else 1)
    result = reduced(fold, x, axis, keepdims)
    if _absent(initial) is not None:
        result = build(combine, result, _number(initial, wanted))
    return Array(result)


def _selected(x: Node, where: Any, neutral: Any) -> Node:
    """``x`` with ``neutral`` where the mask of the reduction is false."""
    mask = _mask(where, x)
    return x if mask is None else build("where", mask, x, literal(neutral, x.dtype))


@implements(np.sum)
@by_types
@takes_out(retypes=True)
def sum_(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NO,
         initial: Any = NO, where: Any = NO) -> Array:  # fmt: skip
    """The sum along ``axis``; small integers are summed as int64, as in NumPy."""
    return _accumulated("sum", np.add, a, axis, dtype, out, keepdims, initial, where)


@implements(np.prod)
@by_types
@takes_out(retypes=True)
def prod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NO,
         initial: Any = NO, where: Any = NO) -> Array:  # fmt: skip
    """The product along ``axis``."""
    return _accumulated("prod", np.multiply, a, axis, dtype, out, keepdims, initial, where)


@implements(np.nansum)
@takes_out(retypes=True)
def nansum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None,
           keepdims: Any = NO, initial: Any = NO, where: Any = NO) -> Array:  # fmt: skip
    """The sum of what is not nan."""
    x = as_node(a)
    if is_floating(x.dtype):
        x = build("where", build("isnan", x), literal(0, x.dtype), x)
    return sum_(Array(x), axis, dtype, out, keepdims, initial, where)


def _extreme(
    name: str, a: Any, axis: Any, out: Any, keepdims: Any, initial: Any, where: Any
) -> Array:
    no_keywords(name, out=out)
    x = as_node(a)
    start = _absent(initial)
    if start is None:
        if where is not True and _absent(where) is not None:
            raise ArgumentError(
                f"np.{name} with where= needs initial=", place=user_frame(),
                why="there may be nothing to take the extreme of",
                right=f"np.{name}(x, where=mask, initial=...)",
            )  # fmt: skip
        axes = folded_axes(x, axis)
        if any(x.shape[i] == 0 for i in axes):
            raise ShapeError(
                f"np.{name} of no elements ({x.type} along axis {axis})", place=user_frame(),
                right=f"np.{name}(x, initial=...)",
            )  # fmt: skip
        return Array(reduced(name, x, axis, keepdims))
    first = _number(start, x.dtype)
    mask = _mask(where, x)
    if mask is not None:
        x = build("where", mask, x, first)
    axes = folded_axes(x, axis)
    if any(x.shape[i] == 0 for i in axes):
        shape = _kept(x, axes)
        filled = lookup("broadcast_to")(first, shape=shape)
        squeezed = tuple(n for i, n in enumerate(shape) if i not in axes)
        return Array(filled if _keeps(keepdims) else reshape(filled, squeezed))
    pair = "maximum" if name == "max" else "minimum"
    return Array(build(pair, reduced(name, x, axis, keepdims), first))


@implements(np.max, np.amax)
@by_types
@takes_out()
def max_(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO, initial: Any = NO,
         where: Any = NO) -> Array:  # fmt: skip
    """The largest element along ``axis``; nan if there is one. Ties share its derivative."""
    return _extreme("max", a, axis, out, keepdims, initial, where)


@implements(np.min, np.amin)
@by_types
@takes_out()
def min_(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO, initial: Any = NO,
         where: Any = NO) -> Array:  # fmt: skip
    """The smallest element along ``axis``; nan if there is one."""
    return _extreme("min", a, axis, out, keepdims, initial, where)


@implements(np.ptp)
@takes_out()
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO) -> Array:
    """The largest minus the smallest element."""
    no_keywords("ptp", out=out)
    return max_(a, axis, None, keepdims) - min_(a, axis, None, keepdims)


@implements(np.any)
@by_types
@takes_out()
def any_(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO, *, where: Any = NO
) -> Array:
    """Whether any element is not zero."""
    no_keywords("any", out=out)
    return Array(reduced("any", _selected(truth(as_node(a)), where, False), axis, keepdims))


@implements(np.all)
@by_types
@takes_out()
def all_(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO, *, where: Any = NO
) -> Array:
    """Whether all elements are not zero."""
    no_keywords("all", out=out)
    return Array(reduced("all", _selected(truth(as_node(a)), where, True), axis, keepdims))


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Array:
    """How many elements are not zero."""
    return sum_(Array(truth(as_node(a))), axis, np.int64, None, keepdims)


def _position(name: str, a: Any, axis: Any, out: Any, keepdims: Any) -> Array:
    no_keywords(name, out=out)
    x = as_node(a)
    if axis is not None and isinstance(axis, tuple):
        raise DTypeError(f"np.{name}: axis must be one number, got {axis}", place=user_frame())
    axes = folded_axes(x, axis)
    if math.prod(x.shape[i] for i in axes) == 0:
        raise ShapeError(f"np.{name} of no elements ({x.type})", place=user_frame())
    found = build(name, x, axes=axes) if axes else _zero_like(x)
    return Array(reshape(found, _kept(x, axes)) if _keeps(keepdims) else found)


def _zero_like(x: Node) -> Node:
    return lookup("broadcast_to")(literal(0, "i64"), shape=x.shape)


@implements(np.argmax)
@by_types
def argmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = NO) -> Array:
    """Where the largest element is (the first of equals; the first nan)."""
    return _position("argmax", a, axis, out, keepdims)


@implements(np.argmin)
@by_types
def argmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = NO) -> Array:
    """Where the smallest element is (the first of equals; the first nan)."""
    return _position("argmin", a, axis, out, keepdims)


# --- averages -------------------------------------------------------------------------------------


def _count(x: Node, axis: Any) -> int:
    return math.prod(x.shape[i] for i in axes_of(x, axis))


def _in_dtype(a: Any, axis: Any, dtype: Any) -> Node:
    """The operand of an average, in the dtype that the user asks for; the axis is checked."""
    x = as_node(a)
    axes_of(x, axis)
    return x if _absent(dtype) is None else cast(x, short_dtype(dtype))


@implements(np.mean)
@by_types
@takes_out()
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NO, *,
         where: Any = NO) -> Array:  # fmt: skip
    """The average along ``axis``, float64 for integers."""
    no_keywords("mean", out=out)
    x = _in_dtype(a, axis, dtype)
    mask = _mask(where, x)
    if _absent(dtype) is not None and not is_floating(x.dtype):
        return Array(_whole_quotient(x, _counted(x, axis, mask, keepdims), axis, keepdims, mask))
    if mask is None:
        return Array(composed.mean(x, axis, _keeps(keepdims)))
    wide = "f64" if not is_floating(x.dtype) else "f32" if x.dtype == "f16" else x.dtype
    count = cast(_counted(x, axis, mask, keepdims), wide)
    total = reduced("sum", build("where", mask, cast(x, wide), literal(0, wide)), axis, keepdims)
    found = build("div", total, count)
    return Array(cast(found, x.dtype) if is_floating(x.dtype) else found)


def _counted(x: Node, axis: Any, mask: Node | None, keepdims: Any) -> Node:
    """How many elements a reduction takes, as f64."""
    if mask is None:
        return literal(float(_count(x, axis)), "f64")
    return cast(reduced("sum", cast(mask, "i64"), axis, keepdims), "f64")


def _whole_quotient(x: Node, count: Node, axis: Any, keepdims: Any, mask: Node | None) -> Node:
    """The sum of ``x``, which wraps, by ``count``, cut off: an average in the dtype of ``x``, an
    integer one that the user asked for."""
    taken = True if mask is None else Array(mask)
    total = sum_(Array(x), axis, numpy_dtype(x.dtype), None, keepdims, where=taken).node
    return cast(build("div", cast(total, "f64"), count), x.dtype)


@implements(np.var)
@by_types
@takes_out()
def var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0,
    keepdims: Any = NO, *, where: Any = NO, mean: Any = NO, correction: Any = NO,
) -> Array:  # fmt: skip
    """The mean squared distance from the mean, of ``n - ddof`` degrees of freedom."""
    return _spread(composed.var, a, axis, dtype, out, ddof, keepdims, where, mean, correction)


@implements(np.std)
@by_types
@takes_out()
def std(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0,
    keepdims: Any = NO, *, where: Any = NO, mean: Any = NO, correction: Any = NO,
) -> Array:  # fmt: skip
    """The square root of the variance; its derivative is 0 where all elements are equal."""
    return _spread(composed.std, a, axis, dtype, out, ddof, keepdims, where, mean, correction)


def _spread(
    function: Any, a: Any, axis: Any, dtype: Any, out: Any, ddof: float, keepdims: Any, where: Any,
    mean: Any, correction: Any,
) -> Array:  # fmt: skip
    no_keywords(function.__name__, out=out)
    if _absent(correction) is not None:
        if ddof != 0:
            raise ArgumentError(
                f"np.{function.__name__}: ddof and correction are the same", place=user_frame()
            )
        ddof = correction
    if _absent(dtype) is not None and not is_floating(short_dtype(dtype)):
        return _whole_spread(
            function.__name__, a, axis, short_dtype(dtype), ddof, keepdims, where, mean
        )
    x = _in_dtype(a, axis, dtype)
    mask = _mask(where, x)
    if _absent(mean) is None:
        return Array(function(x, axis, ddof, _keeps(keepdims), mask))
    wanted = x.dtype if is_floating(x.dtype) else "f64"
    middle = as_node(mean)
    apart = record(np.subtract, (x.dtype, middle.dtype), [x, middle])
    squares = cast(build("mul", apart, apart), "f32" if wanted == "f16" else wanted)
    if mask is not None:
        squares = build("where", mask, squares, literal(0, squares.dtype))
    free = build("maximum", build("sub", _counted(x, axis, mask, keepdims),
                 literal(float(ddof), "f64")), literal(0.0, "f64"))  # fmt: skip
    found = build("div", reduced("sum", squares, axis, keepdims), cast(free, squares.dtype))
    found = cast(found, wanted)
    return Array(found if function is composed.var else composed.root(found))


def _whole_spread(
    name: str, a: Any, axis: Any, dtype: str, ddof: float, keepdims: Any, where: Any, mean: Any
) -> Array:
    """The variance in an integer dtype, by NumPy's steps: means are cut off, squares may wrap.

    Raises:
        DTypeError: for differences of bools, and for deviations of more than one row, as in NumPy.
    """
    x = as_node(a)
    mask = _mask(where, x)
    if name == "std" and (_keeps(keepdims) or len(axes_of(x, axis)) < x.type.rank):
        raise DTypeError(
            f"np.std has no result of {dtype}", place=user_frame(), right=f"np.{name}(x)"
        )
    if _absent(mean) is None:
        count = _counted(x, axis, mask, True)
        middle = _whole_quotient(cast(x, dtype), count, axis, True, mask)
    else:
        middle = as_node(mean)
    apart = record(np.subtract, (x.dtype, middle.dtype), [x, middle])
    squares = record(np.multiply, (apart.dtype, apart.dtype), [apart, apart])
    free = build("maximum", build("sub", _counted(x, axis, mask, keepdims),
                 literal(float(ddof), "f64")), literal(0.0, "f64"))  # fmt: skip
    found = _whole_quotient(cast(squares, dtype), free, axis, keepdims, mask)
    return Array(found if name == "var" else cast(build("sqrt", cast(found, "f64")), dtype))


@implements(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *,
            keepdims: Any = NO) -> Any:  # fmt: skip
    """The weighted average along ``axis``."""
    x = as_array(a)
    if weights is None:
        result = mean(x, axis, keepdims=keepdims)
        total = as_array(np.full(result.shape, float(_count(x.node, axis)), result.dtype))
        return (result, total) if returned else result
    w = as_array(weights)
    if w.shape != x.shape:
        if axis is None or isinstance(axis, tuple) or w.ndim != 1:
            raise ShapeError(
                f"np.average: weights {w.type} do not fit {x.type} along axis {axis}",
                place=user_frame(),
            )
        w = w.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    kinds = (x.dtype, w.dtype, *((np.float64,) if x.dtype.kind in "bui" else ()))
    wide = np.result_type(*kinds)
    x, w = x.astype(wide), as_array(np.broadcast_to(w, x.shape)).astype(wide)
    total = sum_(w, axis, keepdims=keepdims)
    result = sum_(x * w, axis, keepdims=keepdims) / total
    return (result, total) if returned else result


# --- running sums, differences --------------------------------------------------------------------


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = NO, append: Any = NO) -> Array:
    """Differences of neighbours along ``axis``, ``n`` times."""
    x = as_array(a)
    number = axes_of(x.node, axis)[0]
    if n == 0:  # nothing is prepended or appended either
        return x
    if n < 0:
        raise ShapeError(f"np.diff: n = {n} is negative", place=user_frame())
    parts = [p for p in (_absent(prepend), x, _absent(append)) if p is not None]
    if len(parts) > 1:
        shape = tuple(1 if i == number else m for i, m in enumerate(x.shape))
        parts = [np.broadcast_to(p, shape) if np.ndim(p) == 0 else p for p in parts]
        x = TABLE[np.concatenate](parts, axis=number)
    return Array(build(composed.diff, x.node, n, number))


def _running(name: str, ufunc: Any, a: Any, axis: Any, dtype: Any, out: Any) -> Array:
    no_keywords(f"cum{name}", out=out)
    x = as_node(a)
    wanted = reduced_dtype(ufunc, x.dtype) if _absent(dtype) is None else short_dtype(dtype)
    if wanted == "bool":  # whether any, or all, of the elements so far hold
        counted = _running(name, ufunc, Array(cast(truth(x), "i64")), axis, None, None)
        return Array(truth(counted.node))
    x = cast(x, wanted)
    if axis is None or not folded_axes(x, axis):
        x = reshape(x, (math.prod(x.shape),))
        axis = 0
    number = axes_of(x, axis)[0]
    op, neutral = ("add", 0) if name == "sum" else ("mul", 1)
    if x.shape[number] > FEW_STEPS:
        return Array(_one_after_the_other(op, x, number))
    distance = 1
    while distance < x.shape[number]:
        # Each element takes in what the one ``distance`` before it has gathered.
        before = arrange.cut(x, number, 0, x.shape[number] - distance)
        filler = tuple(distance if i == number else n for i, n in enumerate(x.shape))
        first = lookup("broadcast_to")(literal(neutral, wanted), shape=filler)
        x = build(op, x, lookup("concatenate")(first, before, axis=number))
        distance *= 2
    return Array(x)


def _one_after_the_other(op: str, x: Node, axis: int) -> Node:
    """A loop along the axis that carries what the elements so far amount to: one pass."""
    last = len(x.shape) - 1
    if axis == last > 0:  # elements lie side by side: row after row
        count = math.prod(x.shape[:last])
        row = symbol("row", (x.shape[last],), x.dtype)
        body = Graph("rows", (symbol("n", (), "i64"), row), (_one_after_the_other(op, row, 0),))
        rows = reshape(x, (count, x.shape[last]))
        made = scan(rows, body=body, length=count, carry=0, consts=0, reverse=False)
        return reshape(item(made, 0), x.shape)
    rows = arrange.moveaxis(x, axis, 0)
    shape = rows.shape[1:]
    so_far, row = symbol("so_far", shape, x.dtype), symbol("row", shape, x.dtype)
    following = build(op, so_far, row)
    body = Graph(f"running_{op}", (symbol("n", (), "i64"), so_far, row), (following, following))
    neutral = 1 if op == "mul" else -0.0 if is_floating(x.dtype) else 0  # 0.0 + -0.0 is 0.0
    start = literal(neutral, x.dtype)
    if shape:
        start = lookup("broadcast_to")(start, shape=shape)
    made = scan(start, rows, body=body, length=rows.shape[0], carry=1, consts=0, reverse=False)
    return arrange.moveaxis(item(made, 1), 0, axis)


@implements(np.cumsum)
@takes_out(retypes=True)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Array:
    """The sums of the first 1, 2, ... elements along ``axis``: up to 16 in log2(n) steps that fuse
    with what surrounds them, more in a loop.

    Source: W. D. Hillis, G. L. Steele, Data parallel algorithms, CACM 29 (1986)."""
    return _running("sum", np.add, a, axis, dtype, out)


@implements(np.cumprod)
@takes_out(retypes=True)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Array:
    """The products of the first 1, 2, ... elements along ``axis``."""
    return _running("prod", np.multiply, a, axis, dtype, out)


# --- logarithms of sums of exponentials -----------------------------------------------------------


def _plain(function: Any) -> Any:
    """The same formula on plain arrays."""

    def centred(x: Any, axis: Any) -> tuple[Any, Any]:
        array = np.asarray(x)
        array = array if array.dtype.kind == "f" else array.astype(np.float64)
        largest = np.max(array, axis=axis, keepdims=True)
        finite = np.where(np.isfinite(largest), largest, 0).astype(array.dtype)
        return array - finite, finite

    def call(x: Any, axis: Any = None, **kwargs: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*centred(x, axis), axis, **kwargs)

    return call


def _plain_logsumexp(shifted: Any, largest: Any, axis: Any, keepdims: bool = False) -> Any:
    result = np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True)) + largest
    return result if keepdims else np.squeeze(result, axis=axis)[()]


def _plain_softmax(shifted: Any, largest: Any, axis: Any) -> Any:
    weights = np.exp(shifted)
    return weights / np.sum(weights, axis=axis, keepdims=True)


def _plain_log_softmax(shifted: Any, largest: Any, axis: Any) -> Any:
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


def _last(function: Any) -> Any:
    return lambda x, axis=-1: function(x, axis)


@implements(name="logsumexp", plain=_plain(_plain_logsumexp))
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Array:
    """``log(sum(exp(x)))`` without overflow."""
    return Array(composed.logsumexp(_in_dtype(x, axis, None), axis, keepdims))


@implements(name="softmax", plain=_last(_plain(_plain_softmax)))
def softmax(x: Any, axis: Any = -1) -> Array:
    """``exp(x) / sum(exp(x))`` along ``axis``, without overflow."""
    return Array(composed.softmax(_in_dtype(x, axis, None), axis))


@implements(name="log_softmax", plain=_last(_plain(_plain_log_softmax)))
def log_softmax(x: Any, axis: Any = -1) -> Array:
    """``log(softmax(x))``, exact where softmax rounds to 0 or 1."""
    return Array(composed.log_softmax(_in_dtype(x, axis, None), axis))


# --- ufunc.reduce: along the first axis by default ------------------------------------------------


def _enter_reduce(ufunc: Any, implementation: Any) -> None:
    def call(a: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: Any = False,
             initial: Any = NO, where: Any = True) -> Any:  # fmt: skip
        extra: dict[str, Any] = {"dtype": dtype} if dtype is not None else {}
        if initial is not NO and initial is not None:
            extra["initial"] = initial
        if where is not True:
            extra["where"] = where
        return implementation(a, axis=axis, out=out, keepdims=keepdims, **extra)

    TABLE[ufunc, "reduce"] = call


for _ufunc, _implementation in (
    (np.add, sum_), (np.multiply, prod), (np.maximum, max_), (np.minimum, min_),
    (np.logical_and, all_), (np.logical_or, any_),
):  # fmt: skip
    _enter_reduce(_ufunc, _implementation)


@implements(np.linalg.norm)
@by_types
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """The norm of vectors (None, 0, 1, 2, inf, p) or of matrices (None, "fro", 1, inf)."""
    node = _in_dtype(x, axis, None)
    try:
        return Array(composed.norm(node, ord, axis, keepdims))
    except ValueError as error:
        raise UnsupportedOperation(
            f"np.linalg.norm: {error}",
            place=user_frame(),
            right="np.linalg.norm(x)     # Frobenius",
        ) from None


@implements(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, ord: Any = 2, keepdims: bool = False) -> Array:
    """The norm of all elements as one vector, or along ``axis``."""
    a = as_array(x)
    axes = axes_of(a.node, axis)
    if len(axes) == 1:
        return norm(a, ord, axes[0], keepdims)
    rest = tuple(i for i in range(a.ndim) if i not in axes)
    rows = a.transpose((*rest, *axes)).reshape((*(a.shape[i] for i in rest), -1))
    found = norm(rows, ord, -1)
    return found.reshape(_kept(a.node, axes)) if keepdims else found


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """The norm of the matrices in the last two axes ("fro", 1, -1, inf, -inf)."""
    return norm(x, ord, (-2, -1), keepdims)


def _enter_accumulate(ufunc: Any, implementation: Any) -> None:
    def call(a: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Array:
        return implementation(a, axis, dtype, out)

    TABLE[ufunc, "accumulate"] = call


_enter_accumulate(np.add, cumsum)
_enter_accumulate(np.multiply, cumprod)
