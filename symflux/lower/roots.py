"""Which nodes are computed by a loop nest of their own, and what each nest reads.

A *root* is a node whose elements are computed at one place: results, reductions, contractions,
regions, operands that must lie in memory, and costly values that several places use. Every other
node is computed inline, where it is read. Whether a root needs memory at all is decided later,
when it is known which loops are shared.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..ir.node import CONSTANT, ITEM, Node
from ..ir.op import Kind
from ..ir.types import TupleType
from ..ir.walk import topological, use_counts
from ..ops.index import scatter_add, take
from ..ops.shape import concatenate
from ..records import field, record
from ..thresholds import thresholds
from .affine import Affine, Axis
from .piles import find_piles
from .reading import (
    Fill,
    Guard,
    Index,
    NeedsRoot,
    Read,
    Reader,
    ReadFlat,
    aligned_index,
)  # fmt: skip

__all__ = ["Access", "Analysis", "analyse", "in_pieces", "is_leaf", "read_with", "scalar_cost"]


@record(slots=True)
class Access:
    """Element ``index`` of ``node`` (None: some element; its flat number or run-time index)."""

    node: Node
    index: Index | None


@record
class Analysis:
    """The nodes of a graph, in order, and the ids of those that are roots; ``piles`` are the roots
    that are sums written operand by operand."""

    nodes: list[Node]
    roots: set[int]
    piles: dict[int, list[Node]] = field(default_factory=dict)


def is_leaf(node: Node) -> bool:
    """Whether elements are read from memory without any nest: inputs and constant arrays."""
    return node.op.kind is Kind.SOURCE and (not node.inputs) and node.op.lower is None


def scalar_cost(node: Node) -> int:
    """Flops of one element of a pointwise node, inputs not counted."""
    return _lowered_cost(node.op.lower)


@functools.cache
def _lowered_cost(lower: Any) -> int:
    from ..codegen.scalars import SCALARS

    if isinstance(lower, str) and lower in SCALARS:
        row = SCALARS[lower]
        return row.flops if row.native != "instruction" or row.flops > 1 else _cheap(lower)
    return 8 if callable(lower) else 1


def _cheap(name: str) -> int:
    return 4 if name in ("div", "floordiv", "mod") else 1


def analyse(outputs: Sequence[Node], cost: Callable[[Node], int] = scalar_cost) -> Analysis:
    """Choose the roots of the graph with these outputs."""
    nodes = topological(outputs)
    uses = use_counts(nodes, outputs)
    roots = {n.id for n in outputs if not is_leaf(n)}
    piles = find_piles(nodes, uses)
    roots.update(piles)
    inline: dict[int, int] = {}
    for node in nodes:
        kind = node.op.kind
        if kind is Kind.POINTWISE:
            total = cost(node)
            for x in node.inputs:
                total += inline.get(x.id, 0)
            total = min(total, 1 << 20)
            limit = thresholds.costly if node.type.shape else thresholds.costly_scalar
            if total >= limit and uses.get(node.id, 0) > 1:
                roots.add(node.id)
            if total >= thresholds.long_expression and node.type.shape:
                roots.add(node.id)
            if node.type.shape:
                for x in node.inputs:
                    if inline.get(x.id, 0) >= thresholds.costly and x.type.size < node.type.size:
                        roots.add(x.id)
            inline[node.id] = 0 if node.id in roots else total
            continue
        for x in node.inputs:
            if _needs_memory(node, x) and not _is_read_through(node, x, uses, inline, roots):
                _store(x, roots)
        if isinstance(node.type, TupleType):
            continue
        if _always_root(node) or (
            # each reader would be parted like it
            node.op is concatenate and uses.get(node.id, 0) > 1 and _parts_axes(node)
        ):
            roots.add(node.id)
        if kind is Kind.INDEX_MAP and node.id not in roots:
            repeated = node.type.size > sum(x.type.size for x in node.inputs)
            for x in node.inputs:
                if inline.get(x.id, 0) >= thresholds.costly and (repeated or uses.get(x.id, 0) > 1):
                    roots.add(x.id)
            inline[node.id] = max(
                [inline.get(x.id, 0) for x in node.inputs if x.id not in roots], default=0
            )
            if node.op is take:  # where to read is computed too, and elements lie anywhere
                inline[node.id] += thresholds.costly
    return Analysis(nodes, roots, piles)


def _always_root(node: Node) -> bool:
    kind = node.op.kind
    if kind in (Kind.REDUCTION, Kind.CONTRACTION) or node.op is ITEM:
        return True
    if kind is Kind.OPAQUE:
        return True
    return in_pieces(node)


def _parts_axes(node: Node) -> bool:
    """Whether the loops over a concatenation of concatenations are parted along several axes."""
    axis = node["axis"]
    return any(x.op is concatenate and x["axis"] != axis for x in node.inputs)


def in_pieces(node: Node) -> bool:
    """Whether a node is a concatenation that is written piece by piece: the loop over all of it
    would be parted between any two operands."""
    most = min(thresholds.few_pieces, thresholds.breaks + 1)
    return node.op is concatenate and len(node.inputs) > most


def _needs_memory(user: Node, x: Node) -> bool:
    """Whether ``user`` can only take ``x`` from memory."""
    if user.op is ITEM or isinstance(x.type, TupleType):
        return False
    return user.op.kind is Kind.OPAQUE


def _is_read_through(
    user: Node, x: Node, uses: Mapping[int, int], inline: Mapping[int, int], roots: set[int]
) -> bool:
    """Whether ``user`` computes the elements of ``x`` itself, one by one: what a scatter reads once
    (or what costs next to nothing), if plain arithmetic leads from it to memory. Few elements are
    computed in vectors before it, as they stay in the first cache."""
    if user.op is not scatter_add or uses.get(x.id, 0) > 1 or x.op.kind is not Kind.POINTWISE:
        return False
    if 1 < x.type.size <= thresholds.first_cache:
        return False
    if user.inputs[0].type.size > x.type.size and inline.get(x.id, 0) >= thresholds.costly:
        return False
    return all(is_leaf(y) or y.op is CONSTANT or y.id in roots for y in read_with(x, roots))


def read_with(x: Node, roots: set[int]) -> list[Node]:
    """What is read where ``x`` is: itself, or if it is computed there, what that reads."""
    if x.id in roots or x.op.kind is not Kind.POINTWISE:
        return [x]
    found: dict[Node, None] = {}
    seen = {x}
    stack = [x]
    while stack:
        for y in stack.pop().inputs:
            if y.op.kind is not Kind.POINTWISE or y.id in roots:
                found[y] = None
            elif y not in seen:
                seen.add(y)
                stack.append(y)
    return list(found)


def _store(x: Node, roots: set[int]) -> None:
    if not is_leaf(x) and x.op is not CONSTANT:
        roots.add(x.id)


class DryReader:
    """Follows the reads of a nest without emitting: its accesses, and where its loops must be
    split.

    Each index-map rule may ask whether an index is inside a range. Where that depends on the
    iteration and the index is one axis, the axis gets a break (the loop will be split there) and
    both answers are followed."""

    def __init__(self, is_stored: Callable[[Node], bool]) -> None:
        self.is_stored = is_stored
        self._found: dict[tuple[Node, Index | None], None] = {}
        self.breaks: dict[Axis, set[int]] = {}
        self.guarded = False
        self.operations = 1  # nodes that were looked through
        self.numbered = False  # whether a value depends on the number of the iteration

    def follow(self, start: Sequence[tuple[Node, Index]], own: Node | None = None) -> None:
        """Follow reads from the given elements; ``own`` is expanded although it is a root."""
        stack = list(start)
        seen = set()
        is_stored = self.is_stored
        while stack:
            element = stack.pop()
            if element in seen:
                continue
            seen.add(element)
            node, index = element
            if node is not own and (is_stored(node) or is_leaf(node)):
                if node.op is not CONSTANT or node.shape:
                    self._found[element] = None
                continue
            kind = node.op.kind
            if kind is Kind.POINTWISE:
                if index:
                    stack += [(x, aligned_index(index, x.shape)) for x in node.inputs]
                else:
                    stack += [(x, index) for x in node.inputs]
            elif kind is Kind.INDEX_MAP:
                stack += self._outcomes(node, index)
            elif kind is not Kind.SOURCE:
                raise NeedsRoot(node)
            else:
                self.numbered = True
        self.operations = len(seen)

    @property
    def accesses(self) -> list[Access]:
        """What is read from memory, each element once."""
        return [Access(node, index) for node, index in self._found]

    def _outcomes(self, node: Node, index: Index) -> list[tuple[Node, Index]]:
        found: list[tuple[Node, Index]] = []
        script: list[bool] = []
        while True:
            asked: list[bool] = []

            def decide(
                value: Affine,
                low: int,
                high: int,
                asked: list[bool] = asked,
                script: list[bool] = script,
            ) -> bool | None:
                answer = known_inside(value, low, high, {})
                if answer is not None:
                    return answer
                if not self._break(value, low, high):
                    return None
                position = len(asked)
                asked.append(script[position] if position < len(script) else True)
                return asked[-1]

            found.extend(self._one(node, index, decide))
            while asked and not asked[-1]:
                asked.pop()
            if not asked:
                return found
            script = [*asked[:-1], False]

    def _one(
        self, node: Node, index: Index, decide: Callable[..., bool | None]
    ) -> list[tuple[Node, Index]]:
        reads: list[tuple[Node, Index]] = []

        def dynamic(source: Node, at: Index, extent: int) -> Affine:
            reads.append((source, at))
            return Affine.of(_unknown(source))

        def clamp(guard: Guard) -> Affine:
            self.guarded = True
            return Affine.of(_unknown(guard))

        reader = Reader(node, {}, decide, self.is_stored, dynamic, clamp)
        demand = node.op.lower(reader, index, *[x.type for x in node.inputs], **node.attributes)
        if isinstance(demand, Read):
            reads.append((demand.node, demand.index))
        elif isinstance(demand, ReadFlat):
            self._found[demand.node, None] = None
        elif not isinstance(demand, Fill):
            raise TypeError(f"{node.op.name}: the lowering rule returned {demand!r}")
        return reads

    def _break(self, value: Affine, low: int, high: int) -> bool:
        """Split the axis of a one-axis index where it enters and leaves the range."""
        if len(value.terms) != 1:
            return False
        axis, coefficient = value.terms[0]
        if not isinstance(axis, Axis) or isinstance(axis, _Unknown):
            return False  # a loop can be split, a run-time index cannot
        places = set(self.breaks.get(axis, ()))
        for bound in (low, high):
            # the first axis value from which the index is >= bound (rising) or < bound (falling)
            if coefficient > 0:
                place = -((value.offset - bound) // coefficient)
            else:
                place = -((bound - 1 - value.offset) // -coefficient)
            if 0 < place < axis.extent:
                places.add(place)
        if len(places) > thresholds.breaks:
            return False
        self.breaks[axis] = places
        return True


def known_inside(
    value: Affine, low: int, high: int, ranges: dict[Axis, tuple[int, int]]
) -> bool | None:
    """Whether the index is inside for all iterations (True), for none (False), or neither
    (None)."""
    first, last = value.range(ranges)
    if low <= first and last < high:
        return True
    if last < low or first >= high:
        return False
    return None


class _Unknown(Axis):
    """An axis that equals no other: an index only known at run time."""

    __slots__ = ()


def _unknown(source: object) -> Axis:
    return _Unknown(1 << 60)
