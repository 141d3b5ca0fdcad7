"""Products of traced arrays: matmul, dot, einsum and their relatives."""

from __future__ import annotations

import inspect
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..ir.node import Node
from ..ir.origin import user_frame
from ..ops import products
from ..trace.again import by_types
from ..trace.array import Array, as_array, as_node
from ..trace.dispatch import TABLE, implements
from ..trace.into import takes_out
from ..trace.promote import build, cast, check_casting
from ..trace.scope import short_dtype
from .elementwise import no_keywords, of_arrays
from .shape import moveaxis, stack

__all__: list[str] = []

#: einsum's letters in their order: those of axis numbers 0, 1, ...
_LETTERS = string.ascii_uppercase + string.ascii_lowercase


def _enter(function: Callable[..., Node], *numpy_functions: Any) -> None:
    """A product of two operands, with a place for the result."""

    def call(a: Any, b: Any, out: Any = None) -> Array:
        no_keywords(numpy_functions[0].__name__, out=out)
        return Array(build(function, *of_arrays(a, b)))

    _enter_as(call, *numpy_functions)


def _enter_plain(function: Callable[..., Node], *numpy_functions: Any) -> None:
    """A product of two operands and of nothing else."""

    def call(a: Any, b: Any) -> Array:
        return Array(build(function, *of_arrays(a, b)))

    _enter_as(call, *numpy_functions)


def _enter_ufunc(function: Callable[..., Node], *numpy_functions: Any) -> None:
    """A product that is one of NumPy's ufuncs."""
    name = numpy_functions[0].__name__

    def call(
        a: Any, b: Any, /, out: Any = None, *, dtype: Any = None, casting: str = "same_kind",
        order: str = "K", subok: bool = True, **kwargs: Any,
    ) -> Array:  # fmt: skip
        no_keywords(name, out=out, **kwargs)
        x, y = of_arrays(a, b)
        if dtype is not None:
            check_casting(name, [as_node(a).dtype, as_node(b).dtype], short_dtype(dtype), casting)
            x, y = cast(x, short_dtype(dtype)), cast(y, short_dtype(dtype))
        return Array(build(function, x, y))

    _enter_as(call, *numpy_functions)


def _enter_as(call: Callable[..., Array], *numpy_functions: Any) -> None:
    call.__name__ = numpy_functions[0].__name__
    call.__doc__ = f"``numpy.{call.__name__}`` on traced arrays."
    given = inspect.signature(call).parameters
    if "out" in given:
        call = takes_out("no" if call.__name__ == "dot" else "same_kind")(call)
    implements(*numpy_functions)(by_types(call))


def _batched(letters: str) -> Callable[[Node, Node], Node]:
    """A product written with einsum's letters, with leading axes that broadcast."""
    return lambda a, b: products.einsum(letters, a, b)


def _matmul_of_stack(x1: Any, x2: Any, /) -> Array:
    return TABLE[np.matmul](x1, x2)


_enter_ufunc(products.matmul, np.matmul)
_enter_as(_matmul_of_stack, np.linalg.matmul)
_enter(products.dot, np.dot)
_enter(products.outer, np.outer)
_enter_plain(products.inner, np.inner)
_enter_plain(products.vdot, np.vdot)
_enter_plain(products.kron, np.kron)
for _name, _letters in (("matvec", "...ij,...j->...i"), ("vecmat", "...i,...ij->...j")):
    if hasattr(np, _name):  # since NumPy 2.2
        _enter_ufunc(_batched(_letters), getattr(np, _name))


def _last(x: Any, axis: int) -> Any:
    """The operand with ``axis`` as its last one."""
    return x if axis == -1 else moveaxis(as_array(x), axis, -1)


@implements(np.vecdot)
@takes_out()
def vecdot(a: Any, b: Any, /, out: Any = None, *, axis: int = -1, dtype: Any = None,
           **kwargs: Any) -> Array:  # fmt: skip
    """The dot products of vectors along an axis; the other axes broadcast."""
    no_keywords("vecdot", out=out, **kwargs)
    pair = _last(a, axis), _last(b, axis)
    return TABLE[np.einsum]("...i,...i->...", *pair, dtype=dtype, casting="same_kind")


@implements(np.linalg.vecdot)
def vecdot_of_stack(x1: Any, x2: Any, /, *, axis: int = -1) -> Array:
    """The dot products of vectors along an axis."""
    return vecdot(x1, x2, axis=axis)


@implements(np.linalg.outer)
def outer_of_vectors(x1: Any, x2: Any, /) -> Array:
    """Every pair of elements of two vectors, multiplied."""
    pair = as_array(x1), as_array(x2)
    if any(x.ndim != 1 for x in pair):
        raise ShapeError(
            f"np.linalg.outer takes two vectors, got {pair[0].type} and {pair[1].type}",
            place=user_frame(),
            right="np.outer(x, y)       # of all elements",
        )
    return TABLE[np.outer](*pair)


@implements(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Array:
    """The sum of products over pairs of axes."""
    return Array(build(products.tensordot, *of_arrays(a, b), axes))


@implements(np.linalg.tensordot)
def tensordot_of_stack(x1: Any, x2: Any, /, *, axes: Any = 2) -> Array:
    """The sum of products over pairs of axes."""
    return tensordot(x1, x2, axes)


def _from_axis_numbers(given: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """``a, [0, 1], b, [1, 2], [0, 2]`` as subscripts and operands; the last list may be absent.

    Letters have the order of the numbers, which is that of the result's axes without a last list.
    """
    lists = [given[i] for i in range(1, len(given), 2)]
    result = [given[-1]] if len(given) % 2 else []
    try:
        parts = [
            "".join("..." if n is Ellipsis else _LETTERS[n.__index__()] for n in numbers)
            for numbers in (*lists, *result)
        ]
    except (TypeError, AttributeError, IndexError):
        raise ArgumentError(
            "np.einsum takes subscripts as a string, or after each operand a list of axis numbers "
            f"from 0 to {len(_LETTERS) - 1}",
            place=user_frame(), wrong="np.einsum(a, b)", right="np.einsum(a, [0, 1], b, [1, 2])",
        ) from None  # fmt: skip
    text = ",".join(parts[: len(lists)]) + (f"->{parts[-1]}" if result else "")
    return text, given[: 2 * len(lists) : 2]


@implements(np.einsum)
@takes_out("safe")
def einsum(subscripts: Any, /, *operands: Any, out: Any = None, optimize: Any = False,
           dtype: Any = None, order: str = "K", casting: str = "safe") -> Array:  # fmt: skip
    """Einstein's summation convention; products of several operands run in the cheapest order."""
    no_keywords("einsum", out=out)
    if not isinstance(subscripts, str):
        subscripts, operands = _from_axis_numbers((subscripts, *operands))
    view = _view(subscripts, operands) if dtype is None else None
    if view is not None:
        return view
    nodes = of_arrays(*operands)
    if dtype is not None:
        kinds = [as_node(each).dtype for each in operands]
        check_casting("einsum", kinds, short_dtype(dtype), casting)
        nodes = [cast(n, short_dtype(dtype)) for n in nodes]
    return Array(build(products.einsum, subscripts, *nodes))


def _view(subscripts: str, operands: Sequence[Any]) -> Array | None:
    """What einsum gives where nothing is added up: a view in NumPy, which may be written to."""
    source, arrow, result = subscripts.replace(" ", "").partition("->")
    if len(operands) != 1 or type(operands[0]) is not Array or "." in source:
        return None
    x = operands[0]
    if not arrow:
        result = "".join(sorted(c for c in source if source.count(c) == 1))
    if len(source) != x.ndim or len(set(result)) < len(result):
        return None
    if sorted(source) == sorted(result):
        return x.transpose(tuple(source.index(c) for c in result))
    if source == 2 * result and len(result) == 1 and x.shape[0] == x.shape[1]:
        along = np.arange(x.shape[0])
        return x.view_of((along, along))
    return None


@implements(np.cross)
@by_types
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1,
          axis: int | None = None) -> Array:  # fmt: skip
    """The vector product of vectors of three elements along an axis."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x = moveaxis(as_array(a), axisa, -1)
    y = moveaxis(as_array(b), axisb, -1)
    if x.shape[-1:] != (3,) or y.shape[-1:] != (3,):
        raise ShapeError(
            f"np.cross takes vectors of three elements, got {as_array(a).type} and "
            f"{as_array(b).type}",
            place=user_frame(),
        )
    (x0, x1, x2), (y0, y1, y2) = (tuple(v[..., i] for i in range(3)) for v in (x, y))
    parts = [x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0]
    return moveaxis(stack(parts, axis=-1), -1, axisc)


@implements(np.linalg.cross)
def cross_of_stack(x1: Any, x2: Any, /, *, axis: int = -1) -> Array:
    """The vector product of vectors of three elements along an axis."""
    return cross(x1, x2, axis=axis)


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Array:
    """The product of several matrices, in the order with the fewest multiplications."""
    no_keywords("multi_dot", out=out)
    nodes = of_arrays(*arrays)
    letters = "abcdefghijklmnopqrstuvwxyz"
    position, parts, result = 0, [], ""
    for number, node in enumerate(nodes):
        if len(node.shape) == 2:
            parts.append(letters[position : position + 2])
            position += 1
        else:
            parts.append(letters[position])
        if number == 0 and len(node.shape) == 2:
            result += letters[0]
    if len(nodes[-1].shape) == 2:
        result += letters[position]
    return Array(build(products.einsum, f"{','.join(parts)}->{result}", *nodes))
