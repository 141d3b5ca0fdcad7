"""Elements that lie a few places apart from lane to lane, accessed as whole vectors.

The coordinates of points, every other sample, an array read backwards: a gather takes an access for
every lane. Here the stretch of memory that holds the elements is accessed as whole vectors, and
shuffles bring the elements to their lanes. When a block reads (or writes) all that lies in the
stretch, x, y and z of each point, say, the vectors are plain ones. Otherwise they are masked: what
lies between the elements is neither read nor written.

Stores wait until their family is complete or something else needs them done: a vector that was
just stored under a mask is slow to load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...thresholds import thresholds
from ..ir import BYTES, Buffer, Index, Let, Load, Statement, Store
from .machine import Machine
from .masked import masked_load, masked_store

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["Waiting", "are_apart", "is_near", "load", "load_family", "store", "with_family"]


def is_near(stride: int, dtype: str, machine: Machine) -> bool:
    """Whether lanes ``stride`` elements apart are better accessed in whole vectors than singly."""
    if BYTES[dtype] < 4 or not machine.has_masks(dtype):
        return False
    return stride == -1 or 1 < abs(stride) <= thresholds.strided_most


def are_apart(a: Index, b: Index, stride: int) -> bool:
    """Whether two indices into a buffer never meet, in any two iterations: they grow alike, by
    ``stride``, and never by what they are apart."""
    return a.terms == b.terms and (a.offset - b.offset) % stride != 0


def with_family(first: Load, following: Sequence[Statement], stride: int) -> list[Load]:
    """``first`` and the loads after it that together read all elements of its stretch, in the order
    of these; empty when there are not all of them, or a store may come in between."""
    if stride < 2:
        return []
    found = {first.index.offset: first}
    written: list[Index] = []  # in between
    for statement in following:
        if not isinstance(statement, (Let, Load, Store)):
            break
        match statement:
            case Load() if statement.buffer is first.buffer:
                index = statement.index
                near = index.terms == first.index.terms and index.offset not in found
                near = near and abs(index.offset - first.index.offset) < stride
                if near and all(are_apart(index, w, stride) for w in written):
                    found[index.offset] = statement
            case Store() if statement.buffer is first.buffer:
                written.append(statement.index)
    for low in range(first.index.offset - stride + 1, first.index.offset + 1):
        if all(low + n in found for n in range(stride)):
            return [found[low + n] for n in range(stride)]
    return []


def load_family(e: Emitter, address: str, dtype: str, stride: int) -> list[str]:
    """All elements from ``address`` on: the first of each lane's, the second of each, ..."""
    lanes = e.lanes
    pieces = [
        masked_load(e, _moved(e, address, dtype, n * lanes), "", lanes, dtype)
        for n in range(stride)
    ]
    return [
        _gathered(e, dtype, pieces, [divmod(stride * n + place, lanes) for n in range(lanes)])
        for place in range(stride)
    ]


def load(e: Emitter, address: str, dtype: str, stride: int) -> str:
    """The elements at ``address``, ``address + stride``, ... in the current lanes."""
    lanes = e.lanes
    first = min(0, stride * (lanes - 1))
    places = [divmod(stride * n - first, lanes) for n in range(lanes)]
    pieces = []
    for piece in range(abs(stride)):
        mask = _mask(lanes, {at for p, at in places if p == piece})
        pointer = _moved(e, address, dtype, first + piece * lanes)
        pieces.append(masked_load(e, pointer, mask, lanes, dtype))
    return _gathered(e, dtype, pieces, places)


def store(e: Emitter, address: str, dtype: str, stride: int, value: str) -> None:
    """Store the current lanes at ``address``, ``address + stride``, ..."""
    lanes = e.lanes
    first = min(0, stride * (lanes - 1))
    for piece in range(abs(stride)):
        start = first + piece * lanes
        at = {stride * n - start: (0, n) for n in range(lanes)}
        spread = _gathered(e, dtype, [value], [at.get(n) for n in range(lanes)])
        mask = _mask(lanes, {n for n in range(lanes) if n in at})
        masked_store(e, spread, _moved(e, address, dtype, start), mask, lanes, dtype)


class Waiting:
    """Stores that are not written yet; all go to one buffer and grow alike from lane to lane."""

    def __init__(self, e: Emitter) -> None:
        self.e = e
        self.buffer: Buffer | None = None
        self.stride = 0
        self.terms: tuple[tuple[object, int], ...] = ()
        self.values: dict[int, tuple[Index, str]] = {}  # by offset

    def add(self, buffer: Buffer, index: Index, stride: int, value: str) -> None:
        """Let a store wait; write the others first if it is not one of their family."""
        same = self.buffer is buffer and self.terms == index.terms and self.stride == stride
        if not same or any(not are_apart(index, i, stride) for i, _ in self.values.values()):
            self.write()
        self.buffer, self.stride, self.terms = buffer, stride, index.terms
        self.values[index.offset] = index, value
        if len(self.values) == abs(stride):
            self.write()

    def before(self, buffer: Buffer, index: Index) -> None:
        """Write what waits if this access of the buffer may touch it."""
        if buffer is self.buffer and not all(
            are_apart(index, i, self.stride) for i, _ in self.values.values()
        ):
            self.write()

    def write(self) -> None:
        """Write what waits."""
        values, self.values = self.values, {}
        buffer, self.buffer = self.buffer, None
        if buffer is None:
            return
        e, stride = self.e, self.stride
        low = min(values)
        if stride > 1 and len(values) == stride and max(values) == low + stride - 1:
            address = e.address(buffer, values[low][0])
            parts = [values[low + n][1] for n in range(stride)]
            self._write_family(address, buffer.dtype, parts)
            return
        for index, value in values.values():
            store(e, e.address(buffer, index), buffer.dtype, stride, value)

    def _write_family(self, address: str, dtype: str, parts: list[str]) -> None:
        e, stride = self.e, self.stride
        lanes = e.lanes
        for first in range(0, stride * lanes, lanes):
            places = [(n % stride, n // stride) for n in range(first, first + lanes)]
            value = _gathered(e, dtype, parts, places)
            masked_store(e, value, _moved(e, address, dtype, first), "", lanes, dtype)


def _gathered(
    e: Emitter, dtype: str, sources: Sequence[str], places: Sequence[tuple[int, int] | None]
) -> str:
    """One vector whose lanes are (which source, which of its lanes); None: anything."""
    lanes, vector = len(places), e.kind(dtype)
    found = sources[0]
    for number in range(min(1, len(sources) - 1), len(sources)):
        picks = []
        for n, place in enumerate(places):
            if place is None or place[0] > number:
                picks.append("i32 poison")
            elif place[0] == number and number:
                picks.append(f"i32 {lanes + place[1]}")
            else:
                picks.append(f"i32 {place[1] if number <= 1 else n}")
        other = sources[number] if number else "poison"
        found = e.value(
            f"shufflevector {vector} {found}, {vector} {other}, <{lanes} x i32> "
            f"<{', '.join(picks)}>"
        )
    return found


def _moved(e: Emitter, address: str, dtype: str, elements: int) -> str:
    if not elements:
        return address
    return e.value(f"getelementptr {e.memory_type(dtype)}, ptr {address}, i64 {elements}", "p")


def _mask(lanes: int, used: set[int]) -> str:
    """The mask of these lanes; "" for all."""
    if len(used) == lanes:
        return ""
    return "<" + ", ".join(f"i1 {'true' if n in used else 'false'}" for n in range(lanes)) + ">"
