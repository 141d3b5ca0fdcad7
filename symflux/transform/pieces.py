"""Sums of arrays that are zero but for a block each: what does not overlap is put side by side.

The cotangent of an array that is used slice by slice is such a sum. Added up, every slice would
cost a pass over the whole array.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.node import Node, constant
from ..ops.shape import broadcast_to, concatenate, pad
from ..records import record

__all__ = ["add_up"]

Interval = tuple[int, int]


@record(frozen=True, slots=True)
class _Block:
    """``node`` lies at ``place`` (low, high along each axis); zeros around it."""

    node: Node
    place: tuple[Interval, ...]


def add_up(values: Sequence[Node]) -> Node:
    """The sum of arrays of one type."""
    rest: list[Node] = []
    blocks: list[_Block] = []
    for value in values:
        block = _as_block(value)
        if block is None:
            rest.append(value)
        else:
            blocks.append(block)
    shape = values[0].shape
    if len(blocks) > 1:
        for axis in range(len(shape) - 1, -1, -1):
            blocks = _join(blocks, axis)
    parts = [*rest, *(_padded(block, shape) for block in blocks)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _as_block(value: Node) -> _Block | None:
    """The inside of a pad that only adds zeros around it."""
    if value.op is not pad or any(value["interior"]):
        return None
    low, high = value["low"], value["high"]
    if not low or min(low) < 0 or min(high) < 0:
        return None
    x = value.inputs[0]
    return _Block(x, tuple([(a, a + n) for a, n in zip(low, x.shape, strict=True)]))


def _join(blocks: Sequence[_Block], axis: int) -> list[_Block]:
    """Blocks that differ along one axis alone, put side by side along it."""
    groups: dict[tuple[Interval, ...], list[_Block]] = {}
    for block in blocks:
        others = block.place[:axis] + block.place[axis + 1 :]
        groups.setdefault(others, []).append(block)
    joined: list[_Block] = []
    for group in groups.values():
        joined += [_side_by_side(layer, axis) for layer in _layers(group, axis)]
    return joined


def _layers(blocks: list[_Block], axis: int) -> list[list[_Block]]:
    """The blocks shared out among as few layers as there is overlap, in order within each."""
    import heapq

    layers: list[list[_Block]] = []
    ends: list[tuple[int, int]] = []  # (where a layer ends, its number)
    for block in sorted(blocks, key=lambda b: b.place[axis]):
        low, high = block.place[axis]
        if ends and ends[0][0] <= low:
            _, number = heapq.heappop(ends)
            layers[number].append(block)
        else:
            number = len(layers)
            layers.append([block])
        heapq.heappush(ends, (high, number))
    return layers


def _side_by_side(layer: list[_Block], axis: int) -> _Block:
    first = layer[0]
    if len(layer) == 1:
        return first
    pieces: list[Node] = []
    end = first.place[axis][0]
    for block in layer:
        low, high = block.place[axis]
        if low > end:
            shape = list(block.node.shape)
            shape[axis] = low - end
            zeros = broadcast_to(constant(0, block.node.dtype), shape=tuple(shape))
            pieces.append(zeros)
        pieces.append(block.node)
        end = high
    place = list(first.place)
    place[axis] = (first.place[axis][0], end)
    return _Block(concatenate(*pieces, axis=axis), tuple(place))


def _padded(block: _Block, shape: tuple[int, ...]) -> Node:
    if block.node.shape == shape:
        return block.node
    low = tuple([a for a, _ in block.place])
    high = tuple([n - b for n, (_, b) in zip(shape, block.place, strict=True)])
    return pad(block.node, low=low, high=high, interior=(0,) * len(shape))
