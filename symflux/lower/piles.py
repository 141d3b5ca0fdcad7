"""Sums of blocks that are added up in memory, one after the other.

A sum of arrays that are zero around a block each, as the gradient of an array that is used slice by
slice, could be one loop nest. Where the blocks begin and end its loops would be parted: for a
kernel of 5 in three dimensions in 729 boxes, of up to 125 terms each. Where that becomes too much,
each block is added where it lies by a nest of its own.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from ..codegen.ir import BYTES
from ..ir.node import Node
from ..ops.elementwise import add
from ..ops.shape import pad
from ..thresholds import thresholds

__all__ = ["find_piles", "is_block"]


def is_block(node: Node) -> bool:
    """Whether a node is a block with zeros around it."""
    return node.op is pad and not any(node["interior"]) and bool(node.shape)


def find_piles(nodes: Sequence[Node], uses: Mapping[int, int]) -> dict[int, list[Node]]:
    """The sums among ``nodes`` that are to be written operand by operand, and their operands in the
    order in which they are added."""
    found: dict[int, list[Node]] = {}
    inside: set[int] = set()
    for node in reversed(nodes):
        if node.op is not add or node.id in inside or not node.shape:
            continue
        operands = _operands(node, uses, inside)
        blocks = [x for x in operands[1:] if is_block(x)]
        if len(blocks) < 2:
            continue
        near = node.type.size * BYTES[node.dtype] <= thresholds.pile_near
        if _parted_terms(blocks) >= (thresholds.pile_from if near else thresholds.pile_far):
            found[node.id] = operands
    return found


def _operands(node: Node, uses: Mapping[int, int], inside: set[int]) -> list[Node]:
    """What a chain of additions adds up, innermost first; ``inside`` gets the chain."""
    found: list[Node] = []
    while True:
        first, second = node.inputs
        chained = [
            x.op is add and x.shape == node.shape and uses.get(x.id) == 1 for x in (first, second)
        ]
        if not any(chained):
            return [first, second, *reversed(found)]
        deeper, other = (first, second) if chained[0] else (second, first)
        found.append(other)
        inside.add(deeper.id)
        node = deeper


def _parted_terms(blocks: Sequence[Node]) -> int:
    """How many terms there are in all boxes that the loops over the sum would be parted in."""
    edges: list[list[int]] = []
    for axis in range(len(blocks[0].shape)):
        places = {x["low"][axis] for x in blocks}
        places.update([x["low"][axis] + x.inputs[0].shape[axis] for x in blocks])
        edges.append(sorted(places))
    total = 0
    for x in blocks:
        spans = zip(edges, x["low"], x.inputs[0].shape, strict=True)
        total += math.prod([bisect_left(e, low + n) - bisect_left(e, low) for e, low, n in spans])
    return total
