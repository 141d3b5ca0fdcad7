"""The handle: what a traced array stands for, and the views that share its elements."""

from __future__ import annotations

import weakref
from typing import Any, Self

import numpy as np

from ..ir.node import Node
from ..ir.types import ArrayType, numpy_dtype
from .scope import Life, innermost_life, note_write
from .views import SliceView, View, contiguous_strides, read_slice, reshape
from .writes import Places, Writes, bare, composed

__all__ = ["Handle"]


class _Unread:
    """In place of the node of a view that nobody has read yet."""

    __slots__ = ("type",)

    def __init__(self, type_: ArrayType) -> None:
        self.type = type_

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def dtype(self) -> str:
        return self.type.dtype

    @property
    def id(self) -> str:
        return "?"


class Handle:
    """A mutable reference to a node, or to the part of another handle's node that a view shows.

    Attributes:
        node: what the handle stands for now.
        weak: whether it stands for a Python number, which adapts to the dtype of what it meets
            (NEP 50).
    """

    __slots__ = ("__weakref__", "_life", "_node", "_view", "_writes", "weak")

    _node: Any  # a Node, or what stands for one until it is read

    def __init__(self, node: Node, weak: bool = False) -> None:
        self._node = node
        self._view: View | None = None
        self._writes: Writes | None = None  # those that wait until the whole is read
        self._life = innermost_life()
        self.weak = weak

    # --- the handle -------------------------------------------------------------------------------

    @property
    def node(self) -> Node:
        if self._life is not None and not self._life.open:
            raise self._life.leaked(self._node.type)
        view = self._view
        if view is not None:
            state = view.base.state()
            if state is not view.seen:
                self._node = view.shown_of(view.base)
                view.seen = state
        elif self._writes is not None:
            self._node = self._writes.whole()
        return self._node

    def state(self) -> object:
        """What is another object after each write to the handle, or to what it is a view of."""
        view = self._view
        if view is not None:
            return view.base.state()
        return self._node if self._writes is None else self._writes.stamp

    def part(self, start: Places, step: Places, extent: Places) -> Node:
        """The elements ``start + step * i``, i < ``extent``, along each axis.

        What was written there is read as it is, where that is one value."""
        owner, places = self._owned(start, step, extent)
        if places is not None and owner._writes is not None:
            if owner._life is not None and not owner._life.open:
                raise owner._life.leaked(owner._node.type)
            found = owner._writes.read(*places)
            if found is not None:
                return found if found.shape == extent else reshape(bare(found), extent)
        return read_slice(self.node, start, step, extent)

    def _owned(
        self, start: Places, step: Places, extent: Places
    ) -> tuple[Handle, tuple[Places, Places, Places] | None]:
        """The array that a part's elements belong to, and where they lie in it, if they lie at
        regular distances."""
        handle: Handle = self
        places: tuple[Places, Places, Places] | None = (start, step, extent)
        while (view := handle._view) is not None:
            if type(view) is not SliceView or places is None:
                return handle, None
            places = composed(view.start, view.step, view.extent, view.shape, places)
            handle = view.base
        return handle, places

    def write(self, view: View, node: Node) -> None:
        """Replace what ``view``, a view of this handle, shows by ``node``."""
        if type(view) is SliceView:
            extent = view.extent
            owner, places = self._owned(view.start, view.step, extent)
            if places is not None and owner._waits(places[2]):
                assert owner._writes is not None
                value = reshape(bare(node), places[2])
                owner._writes.add(value, places[0], places[1])
                return
        self.assign(view.write(self.node, node))

    def _waits(self, extent: Places) -> bool:
        """Whether a write of ``extent`` is only noted, until the whole is read."""
        life = self._life
        if life is None or life is not innermost_life() or not life.open:
            return False
        if not Writes.can_wait(self._node, extent):
            return False
        if self._writes is None:
            self._writes = Writes(self._node)
        listed = life.waiting.get(id(self))
        if listed is None or listed() is not self:
            life.waiting[id(self)] = weakref.ref(self)
        return True

    def settle(self) -> None:
        """Put the whole together: the nodes of what was written belong to the scope that ends
        now, or that another one begins in."""
        if self._writes is not None:
            self._node = self._writes.whole()

    def assign(self, node: Node) -> None:
        """Stand for ``node``, of the same type, from now on; a view writes through to its base."""
        view = self._view
        if view is not None:
            view.base.write(view, node)
            view.seen = view.base.state()
        else:
            if self._life is not innermost_life():
                if self._life is not None and not self._life.open:
                    raise self._life.leaked(self._node.type)
                note_write(self, self.node)
            self._writes = None
        self._node = node

    def rebind(self, node: Node) -> None:
        """Stand for ``node`` without that being a write: what a scope does to handles from
        outside of it, for the time of its recording."""
        self._writes = None
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
        handle._writes = None
        handle.weak = False
        if type(view) is SliceView and self._waiting():
            handle._node = _Unread(ArrayType(view.shape, self._node.type.dtype))
            return handle
        handle._node = view.shown_of(self)
        view.seen = self.state()
        return handle

    def _waiting(self) -> bool:
        """Whether writes to what the handle shows wait for somebody to read it."""
        handle: Handle = self
        while handle._view is not None:
            handle = handle._view.base
        return handle._writes is not None

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
