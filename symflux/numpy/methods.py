"""The methods of ufuncs: ``add.outer``, ``reduce``, ``accumulate``, ``reduceat`` and ``at``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, OptionError, ShapeError, UnsupportedOperation
from ..ir.graph import Graph
from ..ir.node import Node, item, symbol
from ..ir.origin import user_frame
from ..ir.types import numpy_dtype
from ..ops.control import scan
from ..trace.array import Array, as_array, as_node
from ..trace.dispatch import BY_NAME, PLAIN, TABLE, function_name, implementation, unsupported
from ..trace.fitting import refuse_negative
from ..trace.into import is_target, write
from ..trace.promote import build, cast
from ..trace.scope import short_dtype
from ..trace.ufuncs import BUILDERS, record, truth
from .elementwise import no_keywords
from .reduce import axes_of, folded_axes

__all__ = ["METHODS", "methods_of"]

METHODS = ("outer", "reduce", "accumulate", "reduceat", "at")
#: loops over at most this many elements are written out
_WRITTEN_OUT = 8
_LOGICAL = (np.logical_and, np.logical_or, np.logical_xor)
_NO = np._NoValue


def methods_of(name: str, is_traced: Callable[[Any], bool]) -> dict[str, Any]:
    """The methods and numbers of a ufunc by name: recorded where something traced is given,
    NumPy's own otherwise; empty for what is no ufunc."""
    ufunc = PLAIN[name]
    if not isinstance(ufunc, np.ufunc) or ufunc.signature is not None:
        return {}
    found: dict[str, Any] = {n: getattr(ufunc, n) for n in ("nin", "nout", "nargs", "identity")}
    for method in METHODS:
        found[method] = _public(ufunc, method, is_traced)
    return found


def _public(ufunc: Any, method: str, is_traced: Callable[[Any], bool]) -> Callable[..., Any]:
    recorded, plain = TABLE[method], getattr(ufunc, method)

    def call(*args: Any, **kwargs: Any) -> Any:
        if any(map(is_traced, args)) or any(map(is_traced, kwargs.values())):
            return recorded(ufunc, *args, **kwargs)
        return plain(*args, **kwargs)

    call.__name__ = method
    call.__qualname__ = f"{ufunc.__name__}.{method}"
    call.__module__ = "symflux.numpy"
    call.__doc__ = f"``numpy.{ufunc.__name__}.{method}`` for traced and plain arrays."
    return call


def _check_pairs(ufunc: Any, method: str) -> None:
    """Raises for what is no function of two arguments, as NumPy does."""
    if implementation(ufunc) is None:
        raise unsupported(ufunc)
    if ufunc.nin != 2 or (ufunc.nout != 1 and method != "outer"):
        raise OptionError(
            f"{function_name(ufunc)}.{method}: only functions of two arguments and one result "
            "have it",
            place=user_frame(),
            right=f"np.add.{method}(...)" if method != "outer" else f"{function_name(ufunc)}(x)",
        )


# --- outer ----------------------------------------------------------------------------------------


def _outer(ufunc: Any, A: Any, B: Any, /, **kwargs: Any) -> Any:
    """Every pair: of shape ``A.shape + B.shape``. Numbers count as arrays, as in NumPy."""
    _check_pairs(ufunc, "outer")
    first, second = Array(as_node(A)), Array(as_node(B))
    pairs = first.reshape(*first.shape, *(1,) * second.ndim)
    found = implementation(ufunc)
    assert found is not None
    return found(pairs, second, **kwargs)


# --- folds ----------------------------------------------------------------------------------------


def _dtype_of(ufunc: Any, method: str, x: Node, dtype: Any, out: Any) -> str:
    """The dtype in which NumPy folds: that of its own result."""
    if dtype is None and out is not None:
        dtype = (out[0] if isinstance(out, tuple) else out).dtype
    try:
        example = np.ones(2, numpy_dtype(x.dtype))
        more = [[0]] if method == "reduceat" else []
        with np.errstate(all="ignore"):
            return short_dtype(getattr(ufunc, method)(example, *more, dtype=dtype).dtype)
    except TypeError as error:
        raise DTypeError(
            f"{function_name(ufunc)}.{method} is not defined for {x.type}",
            place=user_frame(),
            why=str(error).split("\n")[0][:200],
            right="x.astype(bool)" if x.dtype != "bool" else "x.astype(int)",
        ) from None


def _as_operand(ufunc: Any, x: Node, dtype: str) -> Node:
    return truth(x) if ufunc in _LOGICAL else cast(x, dtype)


def _pair(ufunc: Any, x: Node, y: Node) -> Node:
    if ufunc is np.power and x.dtype[0] == "i":  # negative exponents: see ``_check_powers``
        return BUILDERS[ufunc](x, y)
    return record(ufunc, (x.dtype, y.dtype), [x, y])


def _check_powers(ufunc: Any, exponents: Node) -> None:
    """Integers to negative powers are errors of the call; those of a fold are all looked at once,
    outside of its loop."""
    if ufunc is np.power and exponents.dtype[0] == "i":
        refuse_negative(exponents, numpy_dtype(exponents.dtype).name)


def _scanned(
    ufunc: Any, start: Node, rest: Array, mask: Array | None, *, stacked: bool
) -> tuple[Node, Node | None]:
    """``ufunc(ufunc(start, rest[0]), rest[1]) ...``, and all values on the way."""
    number = symbol("i", (), "i64")
    carry = symbol("carry", start.shape, start.dtype)
    x = symbol("x", rest.shape[1:], rest.node.dtype)
    inputs, sequences = [number, carry, x], [rest.node]
    y = _pair(ufunc, carry, x)
    if mask is not None:
        taken = symbol("taken", mask.shape[1:], "bool")
        inputs, sequences = [*inputs, taken], [*sequences, mask.node]
        y = build("where", taken, y, carry)
    made = scan(
        start, *sequences, body=Graph(ufunc.__name__, tuple(inputs), (y, y) if stacked else (y,)),
        length=rest.shape[0], carry=1, consts=0, reverse=False,
    )  # fmt: skip
    return item(made, 0), item(made, 1) if stacked else None


def _folded(ufunc: Any, start: Node | None, x: Array, mask: Array | None) -> Node:
    """The fold of ``x`` along its first axis."""
    if start is None:
        start, x = x[0].node, x[1:]
    if x.shape[0]:
        _check_powers(ufunc, x.node)
    if x.shape[0] > _WRITTEN_OUT:
        return _scanned(ufunc, start, x, mask, stacked=False)[0]
    for i in range(x.shape[0]):
        y = _pair(ufunc, start, x[i].node)
        start = y if mask is None else build("where", mask[i].node, y, start)
    return start


def _in_front(x: Array, axes: Sequence[int]) -> Array:
    """The axes as one, the first."""
    rest = [i for i in range(x.ndim) if i not in axes]
    moved = x.transpose((*axes, *rest)) if x.ndim > 1 else x
    return moved.reshape((-1, *(x.shape[i] for i in rest))) if len(axes) != 1 else moved


def _reduce(
    ufunc: Any, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None,
    keepdims: Any = False, initial: Any = _NO, where: Any = True,
) -> Any:  # fmt: skip
    """The fold along an axis, from its first element to its last."""
    own = TABLE.get((ufunc, "reduce"))
    if own is not None:
        if dtype is not None and ufunc not in (np.add, np.multiply):
            array, dtype = Array(_as_operand(ufunc, as_node(array), short_dtype(dtype))), None
        return own(array, axis, dtype, out, keepdims, initial, where)
    _check_pairs(ufunc, "reduce")
    name = function_name(ufunc)
    if out is not None and not is_target(out):
        no_keywords(f"{ufunc.__name__}.reduce", out=out)
    x = as_array(array)
    wanted = _dtype_of(ufunc, "reduce", x.node, dtype, out)
    x = Array(_as_operand(ufunc, x.node, wanted))
    axes = folded_axes(x.node, axis)
    if len(axes) > 1 and ufunc.identity is None and ufunc not in (np.fmax, np.fmin):
        raise OptionError(
            f"{name}.reduce: the order of its operands matters, so that it folds one axis only, "
            f"not {axes}",
            place=user_frame(),
            right=f"{name}.reduce(x.reshape(-1))     # in this order",
        )
    given = initial is not _NO and initial is not None
    start: Any = initial if given else None
    mask = None if where is True else Array(truth(as_node(where)))
    empty = any(x.shape[i] == 0 for i in axes)
    if start is None and (mask is not None or empty):
        if ufunc.identity is None:
            raise OptionError(
                f"{name}.reduce has no identity: of no elements, or with where=, it needs initial=",
                place=user_frame(),
                right=f"{name}.reduce(x, initial=...)",
            )
        start = ufunc.identity
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    if axes:
        front = _in_front(x, axes)
        shape = front.shape[1:]
        first = None
        if start is not None:
            number = as_node(start) if isinstance(start, Array) else Array(as_node(start)).node
            number = _as_operand(ufunc, number, wanted)
            first = build("broadcast_to", number, shape=shape)
        if mask is not None:
            mask = _in_front(Array(build("broadcast_to", mask.node, shape=x.shape)), axes)
        result = Array(_folded(ufunc, first, front, mask))
    else:
        result = x
        if given:
            result = Array(_pair(ufunc, _as_operand(ufunc, as_node(initial), wanted), x.node))
    if keepdims is not _NO and keepdims:
        result = result.reshape(kept)
    return result if out is None else write(f"{ufunc.__name__}.reduce", out, result)


def _one_axis(name: str, x: Array, axis: Any) -> int:
    if not x.ndim:
        raise ShapeError(
            f"{name}: a number has no axis to go along", place=user_frame(), right="x[None]"
        )
    if isinstance(axis, tuple) and len(axis) != 1:
        raise OptionError(
            f"{name} goes along one axis, not {axis}", place=user_frame(), right="axis=0"
        )
    return axes_of(x.node, axis)[0]


def _accumulate(ufunc: Any, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Any:
    """All values of the fold along an axis."""
    own = TABLE.get((ufunc, "accumulate"))
    if own is not None:
        return own(array, axis, dtype, out)
    _check_pairs(ufunc, "accumulate")
    if out is not None and not is_target(out):
        no_keywords(f"{ufunc.__name__}.accumulate", out=out)
    x = as_array(array)
    wanted = _dtype_of(ufunc, "accumulate", x.node, dtype, out)
    x = Array(_as_operand(ufunc, x.node, wanted))
    at = _one_axis(f"{function_name(ufunc)}.accumulate", x, axis)
    front = _moved(x, at)
    if front.shape[0] > 1:
        first = front[0]
        _check_powers(ufunc, front[1:].node)
        _, rest = _scanned(ufunc, first.node, front[1:], None, stacked=True)
        assert rest is not None
        front = Array(build("concatenate", first[None].node, rest, axis=0))
    result = _moved_back(front, at)
    return result if out is None else write(f"{ufunc.__name__}.accumulate", out, result)


def _moved(x: Array, axis: int) -> Array:
    """The axis in front."""
    return x if axis == 0 else x.transpose((axis, *(i for i in range(x.ndim) if i != axis)))


def _moved_back(x: Array, axis: int) -> Array:
    if axis == 0:
        return Array(x.node)
    return x.transpose((*range(1, axis + 1), 0, *range(axis + 1, x.ndim)))


def _reduceat(
    ufunc: Any, array: Any, indices: Any, axis: Any = 0, dtype: Any = None, out: Any = None
) -> Any:
    """The folds of the pieces that begin at ``indices``; those are known while tracing."""
    _check_pairs(ufunc, "reduceat")
    name = f"{function_name(ufunc)}.reduceat"
    if out is not None and not is_target(out):
        no_keywords(f"{ufunc.__name__}.reduceat", out=out)
    if isinstance(indices, Array):
        raise UnsupportedOperation(
            f"{name} at traced indices cannot be recorded",
            place=user_frame(),
            why="the extents of the pieces would depend on the values",
            right="y = sf.numpy.zeros(n); np.add.at(y, piece, x)     # piece: the number of each",
        )
    x = as_array(array)
    wanted = _dtype_of(ufunc, "reduceat", x.node, dtype, out)
    at = _one_axis(name, x, axis)
    front = _moved(x, at)
    starts = np.asarray(indices, np.intp).ravel().tolist()
    wrong = [i for i in starts if not 0 <= i < front.shape[0]]
    if wrong:
        raise ShapeError(
            f"{name}: index {wrong[0]} is out of bounds for {front.shape[0]} elements",
            place=user_frame(),
            right=f"0 ... {front.shape[0] - 1}",
        )
    pieces = []
    for begin, end in zip(starts, [*starts[1:], front.shape[0]], strict=True):
        part = front[begin : max(end, begin + 1)]
        pieces.append(_reduce(ufunc, part, 0, numpy_dtype(wanted))[None].node)
    if not pieces:
        pieces = [cast(front[:0].node, wanted)]
    joined = Array(build("concatenate", *pieces, axis=0) if len(pieces) > 1 else pieces[0])
    result = _moved_back(joined, at)
    return result if out is None else write(f"{ufunc.__name__}.reduceat", out, result)


# --- at -------------------------------------------------------------------------------------------


def _at(ufunc: Any, a: Any, indices: Any, b: Any = None, /) -> None:
    """``a[indices] = ufunc(a[indices], b)``, where equal indices count each time."""
    name = function_name(ufunc)
    if implementation(ufunc) is None:
        raise unsupported(ufunc)
    if not isinstance(a, Array):
        raise UnsupportedOperation(
            f"{name}.at cannot change a plain array",
            place=user_frame(),
            why="it would keep values that are known only when the compiled function runs",
            wrong=f"x = np.zeros(n)\n{name}.at(x, i, v)",
            right=f"x = sf.numpy.zeros(n)\n{name}.at(x, i, v)",
        )
    if (b is None) != (ufunc.nin == 1):
        raise ArgumentError(
            f"{name}.at takes {'an array and indices' if ufunc.nin == 1 else 'values, too'}",
            place=user_frame(),
            right=f"{name}.at(x, i)" if ufunc.nin == 1 else f"{name}.at(x, i, v)",
        )
    if ufunc in (np.add, np.subtract):
        a.add_at(indices, b if ufunc is np.add else -as_array(b))
        return
    places = _static_places(a, indices)
    if places is None:
        raise UnsupportedOperation(
            f"{name}.at at traced indices cannot be recorded", place=user_frame(),
            right=_instead_of_at(ufunc),
        )  # fmt: skip
    # the n-th time that each element is met, all at once
    flat = a.reshape(-1) if a.ndim != 1 else a
    values = None if b is None else Array(
        build("broadcast_to", as_node(b), shape=places.shape)).reshape(-1)  # fmt: skip
    waiting = np.arange(places.size)
    met = places.ravel()
    while waiting.size:
        _, first = np.unique(met[waiting], return_index=True)
        now = waiting[np.sort(first)]
        spots = met[now]
        given = [flat[spots]] if values is None else [flat[spots], values[now]]
        result = BY_NAME[ufunc.__name__](*given)
        if not np.can_cast(result.dtype, a.dtype, "same_kind"):
            raise DTypeError(
                f"{name}.at: an array of {a.node.dtype} cannot hold results of {result.node.dtype}",
                place=user_frame(),
                right="x = x.astype(np.float64)",
            )
        flat[spots] = result
        waiting = np.setdiff1d(waiting, now)
    if flat is not a:
        a[...] = flat.reshape(a.shape)


def _static_places(a: Array, indices: Any) -> np.ndarray[Any, Any] | None:
    """The numbers of the elements that an index names, where it is known while tracing."""
    items = indices if isinstance(indices, tuple) else (indices,)
    if any(isinstance(i, Array) for i in items):
        return None
    return np.asarray(np.arange(a.size).reshape(a.shape)[indices])


def _instead_of_at(ufunc: Any) -> str:
    fill = {np.minimum: "np.inf", np.maximum: "-np.inf"}.get(ufunc)
    if fill is None:
        return "x[i] = f(x[i], v)     # one i at a time, i a Python number"
    name = ufunc.__name__
    found = f"np.{name[:3]}(np.where(i == np.arange(len(x))[:, None], v, {fill}), axis=1)"
    return f"x[:] = np.{name}(x, {found})"


TABLE.update(outer=_outer, reduce=_reduce, accumulate=_accumulate, reduceat=_reduceat, at=_at)
