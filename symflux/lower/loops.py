"""How loops are written: which run as one, which in vectors, which are written out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

from ..ir.node import Node
from ..ir.types import ArrayType
from ..thresholds import thresholds
from .affine import Affine, Axis
from .fuse import Leaf, LoopItem, Nest, leaves_of
from .recompute import flops

__all__ = [
    "can_be_vector", "inner_axes", "inner_loops", "is_heavy", "run_as_one",
    "sums_in_registers",
]  # fmt: skip


def inner_loops(loop: LoopItem) -> Iterator[LoopItem]:
    """All loops inside a loop."""
    for child in loop.children:
        if isinstance(child, LoopItem):
            yield child
            yield from inner_loops(child)


def _copies(loop: LoopItem) -> int:
    """How often the leaves inside are written when all loops inside are; 0 where they cannot be."""
    total = 0
    for child in loop.children:
        if isinstance(child, Leaf):
            total += 1
        elif isinstance(child, LoopItem):
            inner = _copies(child)
            if inner == 0 or child.axis.extent > thresholds.unroll:
                return 0
            total += child.axis.extent * inner
        else:
            return 0
    return total


def can_be_vector(loop: LoopItem) -> bool:
    """Whether iterations are independent but for sums, and hold nothing but straight code once
    the short loops inside are written out."""
    copies = _copies(loop)
    leaves = sum(1 for _ in leaves_of(loop))
    if copies == 0 or copies > thresholds.written_out * leaves:
        return False
    if any(nest.fold.combine is None for nest in loop.carries):
        return False
    return all(_keeps_sums(leaf.nest, loop) for leaf in leaves_of(loop))


def is_heavy(loop: LoopItem, extent: int, is_root: Callable[[int], bool]) -> bool:
    """Whether a short loop computes so much that one vector for all iterations takes less than to
    write them out one by one."""
    if extent <= thresholds.unroll // 2:
        return False
    if any(inner.axis.extent > 1 for inner in inner_loops(loop)):
        return False
    sources = [leaf.nest.source[0] for leaf in leaves_of(loop)]
    return flops(sources, lambda x: is_root(x.id) or not _has_axes(x)) >= thresholds.heavy


def _has_axes(node: Node) -> bool:
    """Whether a value may differ between iterations: others are computed outside of the loop."""
    return isinstance(node.type, ArrayType) and node.shape != ()


def _keeps_sums(nest: Nest, loop: LoopItem) -> bool:
    """Whether a sum in memory over the iterations of this loop can be carried in registers."""
    if nest.style != "memory fold" or loop.axis not in nest.fold_axes:
        return True
    return nest in sums_in_registers(loop)


def sums_in_registers(loop: LoopItem) -> list[Nest]:
    """The sums in memory that the loop adds to at the same few places in each iteration."""
    found = []
    for leaf in leaves_of(loop):
        nest = leaf.nest
        if nest.style != "memory fold" or nest.fold_axes[-1] is not loop.axis:
            continue
        if math.prod(axis.extent for axis in inner_axes(nest)) <= thresholds.written_out:
            found.append(nest)
    return found


def inner_axes(nest: Nest) -> list[Axis]:
    """The axes of a sum in memory that are kept and lie inside of the reduced ones."""
    return nest.order[nest.settled + len(nest.fold_axes) :]


def run_as_one(loop: LoopItem, places: Callable[[Nest], list[Affine] | None]) -> list[LoopItem]:
    """``loop`` and the loops right inside of it that can run as one loop: an iteration of the outer
    one goes on in memory where the one before ended, everywhere.

    ``places`` gives the element numbers that an iteration of a nest reads and writes."""
    chain = [loop]
    while True:
        last = chain[-1]
        if last.breaks or len(last.children) != 1:
            break
        child = last.children[0]
        if not isinstance(child, LoopItem) or child.starts or child.breaks:
            break
        if {id(n) for n in child.carries} != {id(n) for n in last.carries}:
            break
        chain.append(child)
    if len(chain) == 1 or not all(isinstance(c, Leaf) for c in chain[-1].children):
        return [loop]
    for leaf in leaves_of(chain[-1]):
        nest = leaf.nest
        if nest.style == "piece" or nest.breaks or nest.guarded or nest.numbered:
            return [loop]
        if nest.style == "fold" and nest.fold.needs_position:
            return [loop]
        flat = places(nest)
        if flat is None:
            return [loop]
        for number in flat:
            steps = dict(number.terms)
            for outer, inner in itertools.pairwise(chain):
                if steps.get(outer.axis, 0) != inner.axis.extent * steps.get(inner.axis, 0):
                    return [loop]
    return chain
