"""Which stored values are cheaper to compute again where they are read.

A value that several loops read lies in memory between them. Where it takes few operations on values
that those loops read anyway, computing it again costs less than writing and reading it: a core does
dozens of operations in the time that one number takes from and to a distant cache. The choice is
local: each stored value is judged with everything else left as it is, in order, and the loops are
planned anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..codegen.ir import BYTES
from ..ir.node import Node
from ..ir.op import Kind
from ..thresholds import thresholds
from .fuse import Leaf, LoopItem, Nest, leaves_of
from .roots import is_leaf, scalar_cost

if TYPE_CHECKING:
    from .plan import Plan

__all__ = ["NEAR", "RATE", "cheaper_again", "flops"]

#: Bytes that a loop moves in a nanosecond, by the size of the array they belong to: from the caches
#: of a core, and from what lies beyond them.
NEAR, FAR = 60.0, 12.0
#: Bytes of results that a core computes in a nanosecond, simple operations in vectors.
RATE = 160.0


def cheaper_again(plan: Plan) -> set[int]:
    """The ids of stored nodes that should be computed where they are read."""
    found: set[int] = set()
    touched: set[Node] = set()
    readers = _Readers(plan)
    results = set(plan.graph.outputs)  # those copied to their places at the end lie in temporaries
    for key, storage in plan.storage.items():
        if key in results or not isinstance(key, Node):
            continue
        if storage.size < thresholds.recompute_from:
            continue
        nest = readers.only_producer(key)
        if nest is None or key in touched or any(x.node in touched for x in nest.accesses):
            continue
        if _again(key, nest, readers) * thresholds.recompute_margin < _memory(key, readers):
            found.add(key.id)
            touched |= {key, *(x.node for x in nest.accesses)}
    return found


class _Readers:
    """Who reads what, in loops whose elements are computed one by one."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.nests: dict[Node, list[tuple[Nest, LoopItem | None, int]]] = {}
        self.fixed: set[Node] = set()  # read in ways that need memory
        for item in plan.items:
            if not isinstance(item, (LoopItem, Leaf)):
                self.fixed.update(x.node for x in item.accesses)
            top = item if isinstance(item, LoopItem) else None
            for leaf in leaves_of(item):
                self._add(leaf.nest, top)

    def _add(self, nest: Nest, top: LoopItem | None) -> None:
        counts: dict[Node, int] = {}
        for access in nest.accesses:
            counts[access.node] = counts.get(access.node, 0) + 1
            if access.index is None or top is None:
                self.fixed.add(access.node)
        for node, count in counts.items():
            self.nests.setdefault(node, []).append((nest, top, count))

    def only_producer(self, node: Node) -> Nest | None:
        """The nest that computes a node, if the node may be computed elsewhere as well."""
        nests = self.plan.producers.get(node, [])
        if len(nests) != 1 or node in self.fixed or node.id in self.plan.needed:
            return None
        nest = nests[0]
        if not nest.path:
            return None  # a scalar: it costs nothing to keep
        simple = nest.style == "map" and not nest.guarded and nest.contract is None
        return nest if simple and node.op.kind in (Kind.POINTWISE, Kind.INDEX_MAP) else None


def _speed(node: Node) -> float:
    return NEAR if node.type.size * BYTES[node.dtype] <= thresholds.recompute_cache else FAR


def _pass(node: Node) -> float:
    """Nanoseconds to write or read all elements once."""
    return node.type.size * BYTES[node.dtype] / _speed(node)


def _memory(node: Node, readers: _Readers) -> float:
    """Nanoseconds that storing a node and reading it take."""
    own = readers.plan.producers[node][0].path[0]
    elsewhere = {id(top) for _, top, _ in readers.nests.get(node, []) if top is not own}
    return _pass(node) * (1 + len(elsewhere))


def _again(node: Node, nest: Nest, readers: _Readers) -> float:
    """Nanoseconds that computing the node where it is read takes longer than here."""
    roots = readers.plan.roots
    each, volume = flops([node], lambda x: x.id in roots), node.type.size
    own = nest.path[0]
    evaluations = -volume
    total = 0.0
    seen: dict[int, set[Node]] = {}
    stored = readers.plan.storage
    for reader, top, count in readers.nests.get(node, []):
        assert top is not None
        times = 1
        for axis in reader.order:
            times *= axis.extent
        if top is own:
            evaluations += times if not seen.get(id(top)) else 0  # shared within the loop
            seen.setdefault(id(top), set()).add(node)
            continue
        evaluations += times * count
        have = seen.setdefault(id(top), set())
        for access in nest.accesses:
            source = access.node
            if source in have or (source in top.reads and source not in top.holds):
                continue
            have.add(source)
            total += _pass(source)
            if not is_leaf(source) and source not in stored:
                total += _pass(source)  # it has to be stored for that
    return total + max(evaluations, 0) * each * BYTES[node.dtype] / RATE


def flops(nodes: Sequence[Node], ends: Callable[[Node], bool]) -> int:
    """Operations for one element of each of the nodes together, down to inputs where it ``ends``:
    values that are stored or read."""
    total, stack, seen = 0, list(nodes), {node.id for node in nodes}
    while stack:
        top = stack.pop()
        if top.op.kind is Kind.POINTWISE:
            total += scalar_cost(top)
        for x in top.inputs:
            if x.id not in seen and not ends(x):
                seen.add(x.id)
                stack.append(x)
    return total
