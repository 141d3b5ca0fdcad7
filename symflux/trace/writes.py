"""Writes to parts of an array that wait until the whole is read: reads of parts find their values.

``u[i] = v`` makes a new array of a whole one. Where a program writes element after element, as
loops over ``zeros`` do, arrays in between would be made that nobody reads: 800 of them, each of the
one before. Here a write only notes where its value lies. A read of elements that all come from one
value reads that value, and the whole is put together when somebody asks for it, of all values at
once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from ..ir.node import Node
from ..ir.op import lookup
from ..ir.origin import Origin, current, exchange
from ..records import record
from ..thresholds import thresholds
from .views import flip_axes, read_slice, reshape, write_slice

__all__ = ["Writes"]

Places: TypeAlias = tuple[int, ...]
#: How an array is put together: a part that comes from one value, or an axis along which parts lie.
_Part: TypeAlias = "tuple[int, Places, Places] | tuple[int, list[_Part]]"


@record(frozen=True, slots=True)
class _Write:
    """``value`` at ``start + step * i`` along each axis; steps are positive."""

    value: Node
    start: Places
    step: Places
    origin: Origin | None

    def read(self, start: Places, step: Places, extent: Places) -> Node:
        """Elements of the whole, all of which come from this value."""
        first, by = [], []
        own = zip(start, step, extent, self.start, self.step, strict=True)
        for a, s, n, begin, stride in own:
            first.append((a - begin) // stride)
            by.append(s // stride if n > 1 else 1)
        return read_slice(self.value, tuple(first), tuple(by), extent)


class Writes:
    """The writes to an array that ``base`` was before them.

    Attributes:
        stamp: another object after each write.
    """

    __slots__ = ("_noted", "_owner", "_whole", "_writes", "_written", "stamp")

    def __init__(self, base: Node) -> None:
        rank = len(base.shape)
        #: what has been written; the array before the first write is one as well
        self._writes = [_Write(base, (0,) * rank, (1,) * rank, base.origin)]
        #: which of the first so many writes each element comes from
        self._owner: np.ndarray[Any, Any] | None = None
        self._noted = 1
        #: the array after the first so many writes
        self._whole, self._written = base, 1
        self.stamp = object()

    @staticmethod
    def can_wait(whole: Node, extent: Places) -> bool:
        """Whether writes of ``extent`` are noted: that takes time in proportion to the elements."""
        return 0 < math.prod(extent) < whole.type.size <= thresholds.waiting_writes

    def add(self, value: Node, start: Places, step: Places) -> None:
        """``value`` lies at ``start + step * i`` from now on."""
        shape = value.shape
        backwards = [i for i, by in enumerate(step) if by < 0]
        if backwards:
            value = flip_axes(value, backwards)
            lasts = zip(start, step, shape, strict=True)
            start = tuple([s + by * (n - 1) if by < 0 else s for s, by, n in lasts])
        steps = tuple([1 if n == 1 else abs(by) for by, n in zip(step, shape, strict=True)])
        self._writes.append(_Write(value, start, steps, current()))
        self.stamp = object()

    # --- parts ---

    def read(self, start: Places, step: Places, extent: Places) -> Node | None:
        """The elements ``start + step * i``; None where they come from several values."""
        owner = self._owners()
        part = owner[_slices(start, step, extent)]
        if not part.size:
            return None
        first = part.item(0)
        if part.size > 1 and (part != first).any():
            return None
        return self._writes[first].read(start, step, extent)

    def _owners(self) -> np.ndarray[Any, Any]:
        """The number of the write that each element comes from."""
        owner = self._owner
        if owner is None:
            owner = self._owner = np.zeros(self._whole.shape, np.int32)
        for number in range(self._noted, len(self._writes)):
            made = self._writes[number]
            owner[_slices(made.start, made.step, made.value.shape)] = number
        self._noted = len(self._writes)
        return owner

    # --- the whole ---

    def whole(self) -> Node:
        """The array after all writes."""
        writes = self._writes
        if self._written == len(writes):
            return self._whole
        before = exchange(writes[-1].origin)
        try:
            new = range(self._written, len(writes))
            joined = self._joined() if len(new) > 1 else None
            if joined is None:
                joined = self._whole
                for number in new:
                    exchange(writes[number].origin)
                    made = writes[number]
                    joined = write_slice(joined, made.value, made.start, made.step)
        finally:
            exchange(before)
        self._whole, self._written = joined, len(writes)
        return joined

    def _joined(self) -> Node | None:
        """What was written since the array was put together last, and what is left of it, side by
        side; None where that takes more parts than masks would."""
        numbers = np.maximum(self._owners(), self._written - 1)  # what is left is one value
        shape = numbers.shape
        most = thresholds.written_parts * (len(self._writes) - self._written)
        start = (0,) * len(shape)
        parts: list[Any] = []
        split = _split(numbers, start, parts, most)
        if len(parts) > most:
            return None
        # parts of parts are arrays of their own: elements in a row are put together at once
        if split[0] >= 0 and any(x[0] >= 0 for x in split[1]):
            rows = _rows(numbers, len(parts))
            if rows is not None:
                pieces = [reshape(bare(self._part(*row)), (row[2][-1],)) for row in rows]
                return reshape(lookup("concatenate")(*pieces, axis=0), shape)
        return self._join(split)

    def _join(self, split: Any) -> Node:
        axis, parts = split[0], split[1]
        if axis < 0:
            return self._part(*parts)
        return lookup("concatenate")(*[self._join(x) for x in parts], axis=axis)

    def _part(self, number: int, start: Places, extent: Places) -> Node:
        step = (1,) * len(start)
        if number < self._written:
            return read_slice(self._whole, start, step, extent)
        return self._writes[number].read(start, step, extent)


def bare(x: Node) -> Node:
    """``x`` before it was reshaped."""
    while x.op.name == "reshape":
        x = x.inputs[0]
    return x


def _slices(start: Places, step: Places, extent: Places) -> tuple[slice, ...]:
    found = []
    for s, by, n in zip(start, step, extent, strict=True):
        end = s + by * (n - 1) + (1 if by > 0 else -1) if n else s
        found.append(slice(s, None if end < 0 else end, by))
    return tuple(found)


def _split(numbers: np.ndarray[Any, Any], start: Places, parts: list[Any], most: int) -> Any:
    """The tree of parts that come from one value each: (-1, part), or an axis and what lies side by
    side along it. ``parts`` gets them all; beyond ``most`` the tree is not finished."""
    first = numbers.item(0)
    if len(parts) > most or (numbers == first).all():
        part = (first, start, numbers.shape)
        parts.append(part)
        return -1, part
    axis, cuts = _fewest_cuts(numbers)
    found = []
    for low, high in zip([0, *cuts], [*cuts, numbers.shape[axis]], strict=True):
        place = (*start[:axis], start[axis] + low, *start[axis + 1 :])
        inside = numbers[(slice(None),) * axis + (slice(low, high),)]
        found.append(_split(inside, place, parts, most))
    return axis, found


def _fewest_cuts(numbers: np.ndarray[Any, Any]) -> tuple[int, list[int]]:
    """The axis along which the fewest slices differ from their neighbours, and where they do."""
    best: tuple[int, list[int]] | None = None
    for axis in range(numbers.ndim):
        others = tuple(i for i in range(numbers.ndim) if i != axis)
        cuts = (np.flatnonzero((np.diff(numbers, axis=axis) != 0).any(axis=others)) + 1).tolist()
        if cuts and (best is None or len(cuts) < len(best[1])):
            best = axis, cuts
    assert best is not None
    return best


def _rows(numbers: np.ndarray[Any, Any], most: int) -> list[tuple[int, Places, Places]] | None:
    """Parts of rows that come from one value each, in row-major order; None if there are more than
    ``most``."""
    flat = numbers.ravel()
    width = numbers.shape[-1]
    begins = np.diff(flat, prepend=flat[0] - 1) != 0
    begins[::width] = True
    places = np.flatnonzero(begins)
    if len(places) > most:
        return None
    rows = []
    lengths = np.diff(places, append=flat.size)
    starts = np.stack(np.unravel_index(places, numbers.shape), axis=1)
    ones = (1,) * (numbers.ndim - 1)
    for number, start, length in zip(
        flat[places].tolist(), starts.tolist(), lengths.tolist(), strict=True
    ):
        rows.append((number, tuple(start), (*ones, length)))
    return rows


def composed(
    start: Sequence[int],
    step: Sequence[int],
    extent: Sequence[int],
    shape: Sequence[int],
    inner: tuple[Places, Places, Places],
) -> tuple[Places, Places, Places] | None:
    """Where the elements ``inner`` (start, step, extent) of a view lie in its base.

    The view shows ``start + step * i``, i < ``extent``, under ``shape``, which has axes of extent 1
    more or less. None for a view or part without elements."""
    if 0 in extent or 0 in inner[2]:
        return None
    places = iter([x for *x, n in zip(*inner, shape, strict=True) if n != 1])
    first, by, count = [], [], []
    for s, d, n in zip(start, step, extent, strict=True):
        own_start, own_step, own_count = next(places) if n != 1 else (0, 1, 1)
        first.append(s + d * own_start)
        by.append(d * own_step)
        count.append(own_count)
    return tuple(first), tuple(by), tuple(count)
