"""The handle: what a traced array stands for, and the views that share its elements."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ..ir.node import Node
from ..ir.types import ArrayType, numpy_dtype
from .scope import Life, innermost_life, note_write
from .views import View, contiguous_strides

__all__ = ["Handle"]


class Handle:
    """A mutable reference to a node, or to the part of another handle's node that a view shows.

    Attributes:
        node: what the handle stands for now.
        weak: whether it stands for a Python number, which adapts to the dtype of what it meets
            (NEP 50).
    """

    __slots__ = ("__weakref__", "_life", "_node", "_view", "weak")

    def __init__(self, node: Node, weak: bool = False) -> None:
        self._node = node
        self._view: View | None = None
        self._life = innermost_life()
        self.weak = weak

    # --- the handle -------------------------------------------------------------------------------

    @property
    def node(self) -> Node:
        if self._life is not None and not self._life.open:
            raise self._life.leaked(self._node.type)
        view = self._view
        if view is not None:
            base = view.base.node
            if base is not view.seen:
                self._node = view.read(base)
                view.seen = base
        return self._node

    def assign(self, node: Node) -> None:
        """Stand for ``node``, of the same type, from now on; a view writes through to its base."""
        view = self._view
        if view is not None:
            base = view.write(view.base.node, node)
            view.base.assign(base)
            view.seen = view.base.node
        elif self._life is not innermost_life():
            if self._life is not None and not self._life.open:
                raise self._life.leaked(self._node.type)
            note_write(self, self._node)
        self._node = node

    def rebind(self, node: Node) -> None:
        """Stand for ``node`` without that being a write: what a scope does to handles from
        outside of it, for the time of its recording."""
        self._node = node

    def belongs(self, life: Life) -> Self:
        """The handle itself, as one of the scope with that life."""
        self._life = life
        return self

    def _strides(self) -> tuple[int, ...]:
        return contiguous_strides(self.shape) if self._view is None else self._view.strides

    def _viewing(self, view: View) -> Self:
        handle = type(self).__new__(type(self))
        handle._view = view
        handle._life = self._life
        handle.weak = False
        base = view.base.node
        handle._node = view.read(base)
        view.seen = base
        return handle

    # --- types ------------------------------------------------------------------------------------

    @property
    def type(self) -> ArrayType:
        """Shape and short dtype."""
        return self.node.type

    @property
    def shape(self) -> tuple[int, ...]:
        return self._node.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return numpy_dtype(self._node.type.dtype)

    @property
    def ndim(self) -> int:
        return len(self._node.type.shape)

    @property
    def size(self) -> int:
        return self._node.type.size

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]
