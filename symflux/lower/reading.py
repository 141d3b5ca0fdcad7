"""How an element of a node is obtained from elements of its inputs, without emitting anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..ir.node import Node
from ..records import record
from .affine import Affine, Axis, as_affine, divide

__all__ = [
    "Fill",
    "Guard",
    "Index",
    "NeedsRoot",
    "Pending",
    "Read",
    "ReadFlat",
    "Reader",
    "aligned_index",
    "flat_index",
]  # fmt: skip

Index: TypeAlias = tuple[Affine, ...]


@record(frozen=True, slots=True)
class Guard:
    """A condition that is only known at run time: ``low <= value < high`` and
    ``(value - low) % step == 0``."""

    value: Affine
    low: int
    high: int
    step: int = 1


@record(frozen=True, slots=True)
class Read:
    """Element ``index`` of ``node``, where all guards hold; zero elsewhere."""

    node: Node
    index: Index
    guards: tuple[Guard, ...] = ()


@record(frozen=True, slots=True)
class ReadFlat:
    """Element number ``offset`` (row-major) of a stored node."""

    node: Node
    offset: Affine
    guards: tuple[Guard, ...] = ()


@record(frozen=True, slots=True)
class Fill:
    """The literal ``value``."""

    value: Any


class NeedsRoot(Exception):
    """The element can only be read from memory: ``node`` must be stored."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.node = node


class Pending(Exception):
    """A run-time index is needed first: element ``index`` of ``node``."""

    def __init__(self, node: Node, index: Index) -> None:
        super().__init__(node)
        self.node = node
        self.index = index


Decide: TypeAlias = Callable[[Affine, int, int], bool | None]


class Reader:
    """What a lowering rule of an index map works with; see ``ops/table.py``."""

    def __init__(
        self,
        node: Node,
        ranges: Mapping[Axis, tuple[int, int]],
        decide: Decide,
        is_stored: Callable[[Node], bool],
        dynamic: Callable[[Node, Index, int], Affine],
        clamp: Callable[[Guard], Affine],
    ) -> None:
        self.node = node
        self.ranges = ranges
        self._decide = decide
        self._is_stored = is_stored
        self._dynamic = dynamic
        self._clamp = clamp
        self._guards: list[Guard] = []

    def read(self, position: int, index: tuple[Affine | int, ...]) -> Read:
        """The element of input ``position`` at ``index``."""
        elements = tuple([as_affine(i) for i in index])
        return Read(self.node.inputs[position], elements, tuple(self._guards))

    def fill(self, value: Any) -> Fill:
        """A literal."""
        return Fill(value)

    def inside(self, value: Affine | int, low: int, high: int) -> bool:
        """Whether ``low <= value < high`` over the whole loop range."""
        answer = self._decide(as_affine(value), low, high)
        if answer is None:
            raise NeedsRoot(self.node)
        return answer

    def unpad(self, value: Affine | int, first: int, step: int, count: int) -> Affine | None:
        """The i < count with ``value == first + step * i``; None where there is none."""
        value = as_affine(value)
        if count == 0:
            return None
        high = first + step * (count - 1) + 1
        inside = self._decide(value, first, high)
        if inside is False:
            return None
        moved = value - first
        if step > 1:
            exact = all(c % step == 0 for _, c in moved.terms)
            if exact and inside:
                if moved.offset % step:
                    return None
                return Affine(tuple([(t, c // step) for t, c in moved.terms]), moved.offset // step)
            if exact and moved.offset % step:
                return None
        if step == 1 and inside:
            return moved
        guard = Guard(value, first, high, step)
        self._guards.append(guard)
        return self._clamp(guard)

    def index_value(self, position: int, index: tuple[Affine | int, ...], extent: int) -> Affine:
        """An element of an integer input as a run-time index, clamped to 0 .. extent-1."""
        elements = tuple([as_affine(i) for i in index])
        return self._dynamic(self.node.inputs[position], elements, extent)

    def read_reshaped(
        self, position: int, index: tuple[Affine | int, ...], shape: tuple[int, ...]
    ) -> Read | ReadFlat:
        """The element of input ``position`` whose row-major number is that of ``index`` in
        ``shape``."""
        source = self.node.inputs[position]
        elements = tuple([as_affine(i) for i in index])
        split = _reshape_index(elements, shape, source.shape, self.ranges)
        if split is not None:
            return Read(source, split)
        if not self._is_stored(source):
            raise NeedsRoot(source)
        return ReadFlat(source, flat_index(elements, shape))


def flat_index(index: Index, shape: tuple[int, ...]) -> Affine:
    """The row-major element number of ``index``."""
    total = Affine()
    stride = 1
    for i, n in zip(reversed(index), reversed(shape), strict=True):
        total = total + i * stride
        stride *= n
    return total


def aligned_index(index: Index, shape: tuple[int, ...]) -> Index:
    """The index of a broadcast operand of ``shape`` for the result's ``index``."""
    if len(index) == len(shape) and 1 not in shape:
        return index
    own = index[len(index) - len(shape) :]
    return tuple([_ZERO if n == 1 else i for i, n in zip(own, shape, strict=True)])


_ZERO = Affine()


def _reshape_index(
    index: Index,
    shape: tuple[int, ...],
    target: tuple[int, ...],
    ranges: Mapping[Axis, tuple[int, int]],
) -> Index | None:
    """``index`` of ``shape`` as an index of ``target``, group by group of equal extent; None
    when that needs division."""
    result: list[Affine] = []
    i = j = 0
    while i < len(shape) or j < len(target):
        have, want = 1, 1
        first_i, first_j = i, j
        if i < len(shape):
            have, i = shape[i], i + 1
        if j < len(target):
            want, j = target[j], j + 1
        while have != want:
            if have < want:
                if i == len(shape):
                    return None
                have, i = have * shape[i], i + 1
            else:
                if j == len(target):
                    return None
                want, j = want * target[j], j + 1
        part = flat_index(index[first_i:i], shape[first_i:i])
        for position in range(first_j, j - 1):
            inner = math.prod(target[position + 1 : j])
            pair = divide(part, inner, ranges) if inner > 0 else None
            if pair is None:
                return None
            result.append(pair[0])
            part = pair[1]
        if j > first_j:
            result.append(part)
    return tuple(result)
