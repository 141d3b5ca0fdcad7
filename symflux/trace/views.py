"""Views: how a handle on part of an array reads from its base, and writes through to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..errors import ReadOnlyError, ShapeError
from ..ir.node import Node, array_type, known
from ..ir.op import lookup
from ..ir.origin import current, user_frame
from ..ir.types import broadcast_shapes
from .promote import build, literal

if TYPE_CHECKING:
    from .array import Array
    from .handle import Handle

__all__ = [
    "ReadOnlyView", "ReshapeView", "SliceView", "TransposeView", "View", "contiguous_strides",
    "fill_place", "flip_axes", "read_slice", "reshaped_strides", "write_slice",
]  # fmt: skip


class View:
    """What connects a handle to the handle that owns its elements.

    ``seen`` is the base's state for which the handle's own node was computed: the handle is read
    anew when the base has another one by now.
    """

    __slots__ = ("base", "seen", "strides")

    def __init__(self, base: Array, strides: tuple[int, ...]) -> None:
        self.base = base
        self.seen: object = None
        self.strides = strides

    def shown_of(self, base: Handle) -> Node:
        """The view's elements of its base by now."""
        return self.read(base.node)

    def read(self, base: Node) -> Node:
        """The view's elements out of the base's."""
        raise NotImplementedError

    def write(self, base: Node, value: Node) -> Node:
        """The base's elements with the view's replaced by ``value`` (of the view's shape)."""
        raise NotImplementedError

    def same_place(self, other: View) -> bool:
        """Whether both show the same elements of the same base in the same order."""
        return self.base is other.base and type(self) is type(other) and self._key() == other._key()

    def _key(self) -> object:
        raise NotImplementedError


class ReadOnlyView(View):
    """What NumPy shows and lets nobody write to: repeated elements, windows, diagonals.

    ``shown`` makes the view's elements of the base's."""

    __slots__ = ("shown",)

    def __init__(
        self, base: Array, strides: tuple[int, ...], shown: Callable[[Node], Node]
    ) -> None:
        super().__init__(base, strides)
        self.shown = shown

    def read(self, base: Node) -> Node:
        return self.shown(base)

    def write(self, base: Node, value: Node) -> Node:
        raise ReadOnlyError(
            "assignment destination is read-only: a diagonal, windows, and what is broadcast are "
            "views that cannot be written to, as in NumPy",
            place=user_frame(),
            wrong="np.diagonal(x)[:] = 0",
            right="np.fill_diagonal(x, 0)            # or: a copy, np.diagonal(x).copy()",
        )

    def _key(self) -> object:
        return id(self)


class SliceView(View):
    """``start + step * i`` along each axis of the base, then axes dropped or added."""

    __slots__ = ("extent", "shape", "start", "step")

    def __init__(
        self, base: Array, strides: tuple[int, ...], start: tuple[int, ...],
        step: tuple[int, ...], extent: tuple[int, ...], shape: tuple[int, ...],
    ) -> None:  # fmt: skip
        super().__init__(base, strides)
        self.start = start
        self.step = step
        self.extent = extent
        self.shape = shape

    def shown_of(self, base: Handle) -> Node:
        return reshape(base.part(self.start, self.step, self.extent), self.shape)

    def read(self, base: Node) -> Node:
        return reshape(read_slice(base, self.start, self.step, self.extent), self.shape)

    def write(self, base: Node, value: Node) -> Node:
        return write_slice(base, reshape(value, self.extent), self.start, self.step)

    def _key(self) -> object:
        return (self.start, self.step, self.extent, self.shape)


class TransposeView(View):
    """The axes of the base in another order."""

    __slots__ = ("axes",)

    def __init__(self, base: Array, strides: tuple[int, ...], axes: tuple[int, ...]) -> None:
        super().__init__(base, strides)
        self.axes = axes

    def read(self, base: Node) -> Node:
        return transpose(base, self.axes)

    def write(self, base: Node, value: Node) -> Node:
        return transpose(value, sorted(range(len(self.axes)), key=self.axes.__getitem__))

    def _key(self) -> object:
        return self.axes


class ReshapeView(View):
    """The elements of the base, in order, under another shape."""

    __slots__ = ("shape",)

    def __init__(self, base: Array, strides: tuple[int, ...], shape: tuple[int, ...]) -> None:
        super().__init__(base, strides)
        self.shape = shape

    def read(self, base: Node) -> Node:
        return reshape(base, self.shape)

    def write(self, base: Node, value: Node) -> Node:
        return reshape(value, base.shape)

    def _key(self) -> object:
        return self.shape


# --- on nodes -------------------------------------------------------------------------------------


def reshape(x: Node, shape: tuple[int, ...]) -> Node:
    """``x`` under another shape; itself where it has it."""
    type_ = x.type
    if type_.shape == shape:
        return x
    if math.prod(shape) != math.prod(type_.shape):
        return build("reshape", x, shape=shape)  # which says what is wrong
    attrs = (("shape", shape),)
    return known(lookup("reshape"), (x,), attrs, array_type(shape, type_.dtype), current(2))


def transpose(x: Node, axes: Sequence[int]) -> Node:
    """``x`` with its axes permuted; itself where they stay."""
    axes = tuple(axes)
    return x if axes == tuple(range(len(axes))) else build("transpose", x, axes=axes)


def read_slice(
    x: Node, start: tuple[int, ...], step: tuple[int, ...], extent: tuple[int, ...]
) -> Node:
    """The elements ``start + step * i``, i < extent, along each axis."""
    type_ = x.type
    if extent == type_.shape and step == (1,) * len(step):
        return x
    attrs = (("shape", extent), ("start", start), ("step", step))
    return known(lookup("slice"), (x,), attrs, array_type(extent, type_.dtype), current(2))


def flip_axes(x: Node, axes: Sequence[int]) -> Node:
    """``x`` with the order of the elements along ``axes`` reversed."""
    if not axes or 0 in x.shape:
        return x
    start = tuple(n - 1 if i in axes else 0 for i, n in enumerate(x.shape))
    step = tuple(-1 if i in axes else 1 for i in range(len(x.shape)))
    return lookup("slice")(x, start=start, step=step, shape=x.shape)


def write_slice(x: Node, value: Node, start: tuple[int, ...], step: tuple[int, ...]) -> Node:
    """``x`` with the elements ``start + step * i`` along each axis replaced by those of ``value``.

    A region without gaps is joined to what lies around it; one with gaps is selected by a mask.
    """
    extent = value.shape
    if 0 in extent:
        return x
    backwards = [i for i, by in enumerate(step) if by < 0]
    if backwards:
        value = flip_axes(value, backwards)
        start = tuple(
            s + by * (n - 1) if by < 0 else s for s, by, n in zip(start, step, extent, strict=True)
        )
        step = tuple(abs(by) for by in step)
    step = tuple(1 if n == 1 else by for by, n in zip(step, extent, strict=True))
    if all(by == 1 for by in step):
        return _join(x, value, start)
    low = start
    interior = tuple(by - 1 for by in step)
    high = tuple(
        total - first - ((n - 1) * by + 1)
        for total, first, n, by in zip(x.shape, start, extent, step, strict=True)
    )
    places = {"low": low, "high": high, "interior": interior}
    everywhere = lookup("broadcast_to")(literal(True, "bool"), shape=extent)
    pad = lookup("pad")
    return lookup("where")(pad(everywhere, **places), pad(value, **places), x)


def _join(x: Node, value: Node, start: tuple[int, ...]) -> Node:
    """``x`` with the block at ``start`` replaced: one axis after the other, innermost first."""
    partial = [
        axis for axis, (n, total) in enumerate(zip(value.shape, x.shape, strict=True)) if n != total
    ]
    if not partial:
        return value
    axis = partial[0]
    first, n = start[axis], value.shape[axis]
    inside = _part(x, axis, first, first + n)
    rest = (*start[:axis], 0, *start[axis + 1 :])
    pieces = [
        _part(x, axis, 0, first),
        _join(inside, value, rest),
        _part(x, axis, first + n, x.shape[axis]),
    ]
    return lookup("concatenate")(*[p for p in pieces if p.shape[axis]], axis=axis)


def _part(x: Node, axis: int, low: int, high: int) -> Node:
    start = tuple(low if i == axis else 0 for i in range(len(x.shape)))
    extent = tuple(high - low if i == axis else n for i, n in enumerate(x.shape))
    return read_slice(x, start if high > low else (0,) * len(start), (1,) * len(start), extent)


def fill_place(node: Node, shape: tuple[int, ...], whole: tuple[int, ...]) -> Node:
    """``node`` broadcast to the shape of the place that it is assigned to."""
    if node.shape == shape:
        return node
    extra = len(node.shape) - len(shape)
    if extra > 0 and all(n == 1 for n in node.shape[:extra]):
        node = reshape(node, node.shape[extra:])
    try:
        fits = broadcast_shapes(node.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"cannot assign an array of shape {node.shape} to a place of shape {shape} in an array "
            f"of shape {whole}",
            place=user_frame(),
            right="x[:n] = y            # n = len(y)",
        )
    return lookup("broadcast_to")(node, shape=shape) if node.shape != shape else node


# --- strides: which reshapes are views ------------------------------------------------------------


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The element strides of a row-major array."""
    strides: list[int] = []
    step = 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def reshaped_strides(
    shape: tuple[int, ...], strides: tuple[int, ...], wanted: tuple[int, ...]
) -> tuple[int, ...] | None:
    """The strides under which the same memory reads as shape ``wanted``; None if there are none.

    Axes are grouped so that the products of the extents agree; within a group of the old axes the
    elements must follow one another at one distance. This is when NumPy's reshape is a view.
    """
    if 0 in shape:
        return contiguous_strides(wanted)
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    result: list[int] = []
    position = 0  # in old
    group: list[int] = []  # extents of the new axes of the open group
    product = 1
    for n in wanted:
        group.append(n)
        product *= n
        if product == 1:
            continue
        extent, distance, end = 1, 1, position
        while extent < product and end < len(old):
            if end > position and old[end - 1][1] != old[end][0] * old[end][1]:
                return None
            extent *= old[end][0]
            distance = old[end][1]
            end += 1
        if extent == product:
            result += [s * distance for s in contiguous_strides(tuple(group))]
            position, group, product = end, [], 1
    return (*result, *(1 for _ in group))
