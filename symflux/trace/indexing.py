"""Index expressions: what ``x[...]`` means, by NumPy's rules, before any node is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import ConversionError, IndexOutOfRange, UnsupportedOperation
from ..ir.node import Node, constant, constant_value
from ..ir.op import lookup
from ..ir.origin import user_frame
from ..ir.types import broadcast_shapes, is_integer
from ..records import record
from .promote import build, cast, literal
from .views import View, fill_place, read_slice, reshape, transpose, write_slice

__all__ = [
    "Captured",
    "PickView",
    "Selection",
    "block_of",
    "parse",
    "read_advanced",
    "write_advanced",
]


class Captured(NamedTuple):
    """A plain array of indices, and the input that stands for it.

    Its elements now are checked; those at later calls are clamped to the axis, as traced ones."""

    node: Node
    array: np.ndarray[Any, Any]


@record(frozen=True, slots=True)
class Selection:
    """A parsed index: a strided block of the array, then arrays that pick along some of its axes.

    Attributes:
        start, step, extent: of the block, for each axis of the array.
        kept: the axes of the block that stay (the others were given an integer).
        shape: of the block with dropped and new axes, before any ``picks``.
        picks: axis of ``shape`` -> what picks along it: a node of integers or an integer array.
        scattered: whether other axes stand between the picking ones, so that NumPy puts the axes of
            the picked elements first.
        strides: of the elements of a view of this block, given the array's.
        is_scalar: every axis was given an integer, and no ellipsis was written: the result is a
            number.
    """

    start: tuple[int, ...]
    step: tuple[int, ...]
    extent: tuple[int, ...]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    picks: tuple[tuple[int, Any], ...]
    scattered: bool
    is_scalar: bool

    @property
    def result(self) -> tuple[int, ...]:
        """The shape of the result where all picks are single numbers."""
        axes = {axis for axis, _ in self.picks}
        return tuple(n for i, n in enumerate(self.shape) if i not in axes)


def _out_of_range(index: int, axis: int, shape: Sequence[int]) -> IndexOutOfRange:
    last = f"x[-1]                # the last one; there are {shape[axis]}"
    return IndexOutOfRange(
        f"index {index} is out of bounds for axis {axis} of size {shape[axis]}, "
        f"shape {tuple(shape)}",
        place=user_frame(),
        right=last if shape[axis] else "",
    )


def _axes_of(item: Any) -> int:
    """How many axes of the array an item of the index consumes."""
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, np.ndarray) and item.dtype == bool:
        return item.ndim
    return 1


def _expand(items: tuple[Any, ...], shape: tuple[int, ...]) -> list[Any]:
    """The items with the ellipsis (or a missing one at the end) written out."""
    used = sum(_axes_of(item) for item in items)
    if used > len(shape):
        raise IndexOutOfRange(
            f"too many indices: {used} for an array of shape {shape}",
            place=user_frame(),
            right=f"x[{', '.join('ijklmn'[: len(shape)])}]" if shape else "x",
        )
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise IndexOutOfRange(
            "an index can have only a single ellipsis ('...')", place=user_frame()
        )
    place = dots[0] if dots else len(items)
    rest = [slice(None)] * (len(shape) - used)
    return [*items[:place], *rest, *items[place + 1 :]]


def _bound(value: Any) -> Any:
    """A bound of a slice as Python's ``slice.indices`` takes it."""
    if value is None or isinstance(value, int | np.integer):
        return value
    if isinstance(value, Node):
        found = constant_value(value)
        if found is not None and found.shape == () and found.dtype.kind in "iu":
            return int(found)
        raise ConversionError(
            f"a slice cannot begin or end at a traced value ({value.type})",
            place=user_frame(),
            why="the shape of the result would depend on it; shapes are known while tracing",
            wrong="x[i : i + 3]",
            right="np.take(x, i + np.arange(3))",
        )
    return value


def _block(
    items: tuple[Any, ...], shape: tuple[int, ...], strides: tuple[int, ...]
) -> Selection | None:
    """The selection of an index of Python integers and of slices between such, axis by axis, that
    lies inside of the array; None for any other."""
    if len(items) > len(shape):
        return None
    start: list[int] = []
    step: list[int] = []
    extent: list[int] = []
    kept: list[int] = []
    by_strides: list[int] = []
    axis = 0
    for item in items:
        n = shape[axis]
        if type(item) is int:
            if not -n <= item < n:
                return None
            start.append(item if item >= 0 else item + n)
            step.append(1)
            extent.append(1)
        elif type(item) is slice:
            for bound in (item.start, item.stop, item.step):
                if bound is not None and type(bound) is not int:
                    return None
            first, last, by = item.indices(n)
            count = len(range(first, last, by))
            start.append(first if count else 0)
            step.append(by)
            extent.append(count)
            kept.append(count)
            by_strides.append(by * strides[axis])
        else:
            return None
        axis += 1
    rest = shape[axis:]
    return Selection(
        (*start, *(0,) * len(rest)), (*step, *(1,) * len(rest)), (*extent, *rest), (*kept, *rest),
        (*by_strides, *strides[axis:]), (), False, not kept and not rest,
    )  # fmt: skip


def parse(
    index: Any, shape: tuple[int, ...], strides: tuple[int, ...], as_pick: Callable[[Any], Any]
) -> Selection:
    """What ``index`` means for an array of ``shape``.

    Args:
        as_pick: turns an item that is neither integer, slice, None nor Ellipsis into a node of
            integers, a NumPy array of integers or bools, or a Python integer.

    Raises:
        IndexOutOfRange, UnsupportedOperation, ConversionError: naming the user's line.
    """
    given = index if isinstance(index, tuple) else (index,)
    found = _block(given, shape, strides)
    if found is not None:
        return found
    items: list[Any] = []
    for item in given:
        if type(item) is int or item is None or item is Ellipsis:
            items.append(item)
        elif isinstance(item, slice):
            bounds = [
                as_pick(b) if b is not None else b for b in (item.start, item.stop, item.step)
            ]
            items.append(slice(*[_bound(b) for b in bounds]))
        else:
            items.append(as_pick(item))
    has_picks = any(isinstance(item, Node | np.ndarray | Captured) for item in items)
    is_scalar = not has_picks and all(type(item) is int for item in items)
    start: list[int] = []
    step: list[int] = []
    extent: list[int] = []
    out_shape: list[int] = []
    out_strides: list[int] = []
    picks: list[tuple[int, Any]] = []
    positions: list[int] = []  # of the picking items, among all items that keep or pick an axis
    axis = 0
    for position, item in enumerate(_expand(tuple(items), shape)):
        if item is None:
            out_shape.append(1)
            out_strides.append(0)
            continue
        if isinstance(item, slice):
            first, _, by = item.indices(shape[axis])
            count = len(range(*item.indices(shape[axis])))
            start.append(first if count else 0)
            step.append(by)
            extent.append(count)
            out_shape.append(count)
            out_strides.append(by * strides[axis])
            axis += 1
        elif type(item) is int and not has_picks:
            n = shape[axis]
            if not -n <= item < n:
                raise _out_of_range(item, axis, shape)
            start.append(item % n)
            step.append(1)
            extent.append(1)
            axis += 1
        elif _axes_of(item) == 0:  # a bool: a new axis, of which it picks one place or none
            positions.append(position)
            picks.append((len(out_shape), np.zeros(int(item), np.int64)))
            out_shape.append(1)
            out_strides.append(0)
        else:
            positions.append(position)
            for pick in _picks(item, axis, shape):
                picks.append((len(out_shape), pick))
                start.append(0)
                step.append(1)
                extent.append(shape[axis])
                out_shape.append(shape[axis])
                out_strides.append(strides[axis])
                axis += 1
    scattered = (
        positions != list(range(positions[0], positions[0] + len(positions)))
        if positions
        else False
    )
    return Selection(
        tuple(start), tuple(step), tuple(extent), tuple(out_shape), tuple(out_strides),
        tuple(picks), scattered, is_scalar and len(items) == len(shape),
    )  # fmt: skip


def _picks(item: Any, axis: int, shape: tuple[int, ...]) -> list[Any]:
    """Integers for each axis that ``item`` picks along, none of them negative."""
    if isinstance(item, Captured):
        _in_bounds(item.array, axis, shape)
        item = item.node
    if isinstance(item, Node):
        if item.dtype == "bool":
            raise UnsupportedOperation(
                f"a traced mask ({item.type}) cannot select elements",
                place=user_frame(),
                why="the shape of the result would depend on the mask's values",
                wrong="np.sum(x[x > 0])",
                right="np.sum(np.where(x > 0, x, 0))",
            )
        if not is_integer(item.dtype):
            raise IndexOutOfRange(
                f"an index must be an integer, not {item.type}", place=user_frame(),
                right="x[i.astype(int)]",
            )  # fmt: skip
        wide = cast(item, "i64")
        if wide.op.name == "iota":
            return [wide]
        below = build("lt", wide, literal(0, "i64"))
        return [build("where", below, build("add", wide, literal(shape[axis], "i64")), wide)]
    array = np.asarray(item)
    if array.dtype == bool:
        covered = shape[axis : axis + array.ndim]
        if array.shape != covered:
            raise IndexOutOfRange(
                f"a mask of shape {array.shape} does not fit axes of shape {covered}",
                place=user_frame(),
            )
        return list(np.nonzero(array))
    if array.dtype.kind not in "iu":
        raise IndexOutOfRange(
            f"an index must be an integer, a slice, None, an ellipsis or an array of integers or "
            f"bools, not {array.item() if array.ndim == 0 else item!r}"
            + (f" of {array.dtype}" if array.ndim else ""),
            place=user_frame(),
            right=_OTHER_INDICES.get(array.dtype.kind, ""),
        )
    array = _in_bounds(array, axis, shape).astype(np.int64)
    return [np.where(array < 0, array + shape[axis], array)]


_OTHER_INDICES = {
    "f": "x[n // 2]            # a whole number; x[i.astype(int)] of an array",
    "U": "x['name']            # of a dict of arrays: {'name': array}",
    "O": "x[i]                 # one index for each axis",
}


def _in_bounds(array: np.ndarray[Any, Any], axis: int, shape: Sequence[int]) -> Any:
    n = shape[axis]
    if array.size and not (-n <= array.min() and array.max() < n):
        worst = int(array.min() if array.min() < -n else array.max())
        raise _out_of_range(worst, axis, shape)
    return array


def as_indices(pick: Any) -> Node:
    """An index array as a node of i64."""
    return pick if isinstance(pick, Node) else constant(pick, "i64")


@record(frozen=True, slots=True)
class _Merged:
    """A block with the axes that are picked along side by side, as one axis.

    Attributes:
        node: the block so arranged; ``place`` is the picked axis.
        order, moved: how: the permutation of the block's axes, and the shape after it.
        flat: indices along the picked axis: an array, or a node.
    """

    node: Node
    place: int
    order: tuple[int, ...]
    moved: tuple[int, ...]
    flat: Any

    @property
    def around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The extents before and after the picked axis."""
        return self.node.shape[: self.place], self.node.shape[self.place + 1 :]

    def restored(self, node: Node) -> Node:
        """A node arranged as ``node``, with its axes where the block had them."""
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return transpose(reshape(node, self.moved), back)


def _merge(block: Node, selection: Selection) -> _Merged:
    axes = [axis for axis, _ in selection.picks]
    picks = [pick for _, pick in selection.picks]
    if len(axes) == 1:
        return _Merged(block, axes[0], tuple(range(len(block.shape))), block.shape, picks[0])
    rest = [i for i in range(len(block.shape)) if i not in axes]
    place = 0 if selection.scattered else axes[0]
    order = (*rest[:place], *axes, *rest[place:])
    extents = tuple(block.shape[axis] for axis in axes)
    moved = transpose(block, order)
    shape = (*moved.shape[:place], math.prod(extents), *moved.shape[place + len(axes) :])
    return _Merged(reshape(moved, shape), place, order, moved.shape, _flat(picks, extents))


def _flat(picks: Sequence[Any], extents: tuple[int, ...]) -> Any:
    """Indices along several axes as one row-major index."""
    try:
        broadcast_shapes(*[pick.shape for pick in picks])
    except ValueError:
        shapes = " and ".join(str(pick.shape) for pick in picks)
        raise IndexOutOfRange(
            f"index arrays of shapes {shapes} do not broadcast", place=user_frame()
        ) from None
    if not all(isinstance(pick, np.ndarray) for pick in picks):
        flat, *nodes = [as_indices(pick) for pick in picks]
        for node, n in zip(nodes, extents[1:], strict=True):
            flat = build("add", build("mul", flat, literal(n, "i64")), node)
        return flat
    together = np.broadcast_arrays(*picks)
    if not math.prod(extents):
        return together[0]
    return np.asarray(np.ravel_multi_index(tuple(together), extents))


def read_advanced(block: Node, selection: Selection) -> Node:
    """The elements that ``selection.picks`` picks from the block (of ``selection.shape``)."""
    rows = _read_by_rows(block, selection)
    if rows is not None:
        return rows
    merged = _merge(block, selection)
    return lookup("take")(merged.node, as_indices(merged.flat), axis=merged.place)


def _read_by_rows(block: Node, selection: Selection) -> Node | None:
    """``x[np.arange(n), i]``: along its first axis every row has an index of its own. A loop over
    rows then reads each row where it is. None for any other selection."""
    if len(selection.picks) < 2 or selection.picks[0][0] != 0:
        return None
    (_, numbers), *others = selection.picks
    n = block.shape[0]
    if not n or not _counts_rows(numbers, n):
        return None
    rank = len(numbers.shape)
    if any(pick.shape[:1] != (n,) or len(pick.shape) != rank for _, pick in others):
        return None
    axes = [axis for axis, _ in others]
    if axes != list(range(1, 1 + len(axes))):
        return None
    extents = tuple(block.shape[axis] for axis in axes)
    merged = reshape(block, (n, math.prod(extents), *block.shape[1 + len(axes) :]))
    flat = _flat([pick for _, pick in others], extents)
    return lookup("take")(merged, as_indices(flat), axis=1, batch=1)


def _counts_rows(pick: Any, n: int) -> bool:
    """Whether an index is 0, 1, ..., n-1 along its first axis, and has no other."""
    if isinstance(pick, np.ndarray):
        rows = pick.shape[:1] == (n,) and pick.size == n
        return rows and bool((pick.ravel() == np.arange(n)).all())
    return pick.op.name == "iota" and pick.shape == (n,)


def write_advanced(block: Node, selection: Selection, value: Node) -> Node:
    """The block with the picked elements replaced by ``value``; the last of equal indices wins."""
    merged = _merge(block, selection)
    before, after = merged.around
    along = (1,) * len(before), (1,) * len(after)
    n = merged.node.shape[merged.place]
    flat = merged.flat
    if isinstance(flat, np.ndarray):
        value = fill_place(value, (*before, *flat.shape, *after), block.shape)
        if not flat.size:
            return block
        source, picked = np.zeros(n, np.int64), np.zeros(n, bool)
        source[flat.ravel()] = np.arange(flat.size)
        picked[flat.ravel()] = True
        rows = reshape(value, (*before, flat.size, *after))
        new = lookup("take")(rows, constant(source, "i64"), axis=merged.place)
        mask = constant(picked, "bool")
    elif flat.shape == ():
        value = fill_place(value, (*before, *after), block.shape)
        new = reshape(value, (*before, 1, *after))
        mask = build("eq", lookup("iota")(shape=(n,), dtype="i64", axis=0), flat)
    else:
        value = fill_place(value, (*before, *flat.shape, *after), block.shape)
        count = math.prod(flat.shape)
        if not count:
            return block
        last, mask = _last_of(reshape(flat, (count,)), n)
        new = lookup("take")(reshape(value, (*before, count, *after)), last, axis=merged.place)
    mask = reshape(mask, (*along[0], n, *along[1]))
    return merged.restored(build("where", mask, new, merged.node))


def _last_of(flat: Node, n: int) -> tuple[Node, Node]:
    """For each place from 0 to n - 1: the last position in ``flat`` at which it stands (0 for
    none), and whether there is one.

    The position is found bit by bit, the highest first: where one of the positions that are still
    in question has the bit, those without it are out."""
    (count,) = flat.shape
    take, scatter_add = lookup("take"), lookup("scatter_add")

    def somewhere(at: Node) -> Node:
        counts = scatter_add(cast(at, "i64"), flat, size=n, axis=0)
        return build("gt", counts, literal(0, "i64"))

    positions = lookup("iota")(shape=(count,), dtype="i64", axis=0)
    left = build("ge", positions, literal(0, "i64"))
    picked = somewhere(left)
    last = build("mul", cast(picked, "i64"), literal(0, "i64"))
    for bit in reversed(range((count - 1).bit_length())):
        masked = build("and", positions, literal(1 << bit, "i64"))
        has_bit = build("ne", masked, literal(0, "i64"))
        has = somewhere(build("and", left, has_bit))
        left = build("and", left, build("eq", has_bit, take(has, flat, axis=0)))
        last = build("add", last, build("mul", cast(has, "i64"), literal(1 << bit, "i64")))
    return last, picked


def add_advanced(block: Node, selection: Selection, value: Node) -> Node:
    """The block with ``value`` added to the picked elements, as often as each is picked."""
    merged = _merge(block, selection)
    before, after = merged.around
    flat = as_indices(merged.flat)
    value = fill_place(value, (*before, *flat.shape, *after), block.shape)
    n = merged.node.shape[merged.place]
    added = lookup("scatter_add")(value, flat, size=n, axis=merged.place)
    return merged.restored(build("add", merged.node, added))


def block_of(x: Node, selection: Selection) -> Node:
    """The strided block of ``x``, with axes dropped and added."""
    return reshape(
        read_slice(x, selection.start, selection.step, selection.extent), selection.shape
    )


class PickView(View):
    """A view at traced integers: ``x[i]``, that reads and writes through as NumPy's does."""

    __slots__ = ("selection",)

    def __init__(self, base: Any, strides: tuple[int, ...], selection: Selection) -> None:
        super().__init__(base, strides)
        self.selection = selection

    def read(self, base: Node) -> Node:
        return read_advanced(block_of(base, self.selection), self.selection)

    def write(self, base: Node, value: Node) -> Node:
        return self._changed(base, write_advanced, value)

    def add(self, base: Node, value: Node) -> Node:
        """What ``np.add.at`` leaves in ``base``."""
        return self._changed(base, add_advanced, value)

    def _changed(self, base: Node, change: Callable[..., Node], value: Node) -> Node:
        s = self.selection
        block = change(block_of(base, s), s, value)
        return write_slice(base, reshape(block, s.extent), s.start, s.step)

    def _key(self) -> object:
        return self.selection
