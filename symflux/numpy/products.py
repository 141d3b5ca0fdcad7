"""Products of traced arrays: matmul, dot, einsum and their relatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError, UnsupportedOperation
from ..ir.node import Node
from ..ir.origin import user_frame
from ..ops import products
from ..trace.array import Array, as_array
from ..trace.dispatch import implements
from ..trace.promote import build, cast
from ..trace.scope import short_dtype
from .elementwise import common, no_keywords
from .shape import moveaxis, stack

__all__: list[str] = []


def _enter(function: Callable[..., Node], *numpy_functions: Any) -> None:
    """A product of two operands and of nothing else."""
    name = numpy_functions[0].__name__

    def call(a: Any, b: Any, /, out: Any = None, *, dtype: Any = None, **kwargs: Any) -> Array:
        no_keywords(name, out=out, **kwargs)
        x, y = common(a, b)
        if dtype is not None:
            x, y = cast(x, short_dtype(dtype)), cast(y, short_dtype(dtype))
        return Array(build(function, x, y))

    call.__name__ = name
    call.__doc__ = f"``numpy.{name}`` on traced arrays."
    implements(*numpy_functions)(call)


def _batched(letters: str) -> Callable[[Node, Node], Node]:
    """A product written with einsum's letters, with leading axes that broadcast."""
    return lambda a, b: products.einsum(letters, a, b)


_enter(products.matmul, np.matmul)
_enter(products.dot, np.dot)
_enter(products.inner, np.inner)
_enter(products.vdot, np.vdot)
_enter(products.outer, np.outer)
_enter(products.kron, np.kron)
_enter(_batched("...i,...i->..."), np.vecdot)
for _name, _letters in (("matvec", "...ij,...j->...i"), ("vecmat", "...i,...ij->...j")):
    if hasattr(np, _name):  # since NumPy 2.2
        _enter(_batched(_letters), getattr(np, _name))


@implements(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Array:
    """The sum of products over pairs of axes."""
    return Array(build(products.tensordot, *common(a, b), axes))


@implements(np.einsum)
def einsum(subscripts: Any, /, *operands: Any, out: Any = None, optimize: Any = False,
           dtype: Any = None, order: str = "K", casting: str = "safe") -> Array:  # fmt: skip
    """Einstein's summation convention; products of several operands run in the cheapest order."""
    no_keywords("einsum", out=out)
    if not isinstance(subscripts, str):
        raise UnsupportedOperation(
            "np.einsum with lists of axis numbers cannot be recorded", place=user_frame(),
            wrong="np.einsum(a, [0, 1], b, [1, 2])", right="np.einsum('ij,jk->ik', a, b)",
        )  # fmt: skip
    nodes = common(*operands)
    if dtype is not None:
        nodes = [cast(n, short_dtype(dtype)) for n in nodes]
    return Array(build(products.einsum, subscripts, *nodes))


@implements(np.cross)
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


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Array:
    """The product of several matrices, in the order with the fewest multiplications."""
    no_keywords("multi_dot", out=out)
    nodes = common(*arrays)
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
