"""Arrays that are passed to functions: what stands for them, and what was written to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import tree
from ..errors import ArgumentError
from ..ir.node import Node
from ..ir.types import ArrayType
from .array import Array
from .param import Param
from .scope import Life
from .views import SliceView

__all__ = ["argument_handle", "detached", "written_arguments"]


def argument_handle(leaf: Any, handle: Array) -> Array:
    """What stands for an argument while a function is traced.

    An array of no axes changes in place (``x += 1``), where a number is replaced: it is given as a
    view, whose elements lie elsewhere as well."""
    if handle.shape or not isinstance(leaf, np.ndarray):
        return handle
    return _in_place(handle)


def written_arguments(
    name: str, leaves: Sequence[Any], names: Sequence[str], handles: Sequence[Any],
    inputs: Sequence[Node],
) -> dict[int, Node]:  # fmt: skip
    """The arguments that a function wrote to, by number, and what they are at its end.

    Raises:
        ArgumentError: where a number was written to, or an object that is no array of NumPy's.
    """
    found: dict[int, Node] = {}
    for i, (leaf, handle, node) in enumerate(zip(leaves, handles, inputs, strict=True)):
        if type(leaf) is Param or handle.node is node:
            continue
        now = handle.node
        if not isinstance(leaf, np.ndarray | ArrayType | Node | Array):
            kind = type(leaf).__name__
            is_number = not handle.shape
            raise ArgumentError(
                f"{name} writes to its argument `{names[i]}`, a {kind}, which cannot be written to",
                place=now.origin,
                wrong=f"{name}({'1.0' if is_number else names[i]})     # a {kind}",
                right=f"{name}(np.asarray({names[i]}))\nsymflux.compile({name}, write_back=False)",
            )
        found[i] = now
    return found


def detached(arguments: Any, life: Life | None = None) -> Any:
    """Arguments with handles of their own in the places of traced arrays, so that what is written
    to them does not reach these; ``life`` is of the scope that they belong to."""
    leaves, structure = tree.flatten(arguments)
    if not any(type(leaf) is Array for leaf in leaves):
        return arguments

    def copied(leaf: Any) -> Any:
        if type(leaf) is not Array:
            return leaf
        copy = Array(leaf.node, leaf.weak)
        if life is not None:
            copy.belongs(life)
        return copy if leaf.shape or leaf._view is None else _in_place(copy)

    return structure.unflatten([copied(leaf) for leaf in leaves])


def _in_place(handle: Array) -> Array:
    """An array of no axes that changes in place."""
    return handle._viewing(SliceView(handle, (), (), (), (), ()))
