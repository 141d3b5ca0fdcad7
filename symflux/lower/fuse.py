"""Loop nests for roots, and which nests share loops.

Each root becomes a nest: a list of axes and a leaf that computes one element. Nests are placed in
topological order; a nest enters an existing loop when the extents agree, when everything it
reads from inside that loop is read at that loop's own index, and when nothing it reads there is
an unfinished reduction. So a chain of elementwise ops and the reductions over it become one
loop, and a row-wise softmax becomes one loop over rows with three short loops inside.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from ..ir.node import Node
from ..ir.op import Kind
from ..ir.types import is_floating
from ..ops.table import Fold
from ..records import field, record
from ..thresholds import thresholds
from .affine import Affine, Axis
from .piles import is_block
from .reading import Index, NeedsRoot, Read, Reader, ReadFlat, flat_index
from .roots import Access, DryReader, in_pieces, is_leaf, known_inside

__all__ = [
    "ContractItem",
    "Item",
    "Leaf",
    "LoopItem",
    "Nest",
    "RegionItem",
    "Schedule",
    "leaves_of",
]

Style = Literal["map", "fold", "memory fold", "piece"]


@record(eq=False)
class Nest:
    """The loops of one root.

    ``result_axes`` index the result; ``order`` is the loop order; ``fold_axes`` are reduced.
    ``settled`` is the number of leading loops inside which the result is complete: all for a map,
    those outside of the first reduced axis for a fold."""

    root: Node
    style: Style
    result_axes: tuple[Axis, ...]
    fold_axes: tuple[Axis, ...]
    order: list[Axis]
    settled: int
    source: tuple[Node, Index]  # the element that the leaf computes or folds in
    accesses: list[Access]
    breaks: dict[Axis, set[int]]
    guarded: bool  # whether something is only read where a run-time condition holds
    numbered: bool  # whether a value depends on the number of the iteration
    key: Any = None  # what the result is known by: the root's node, or a marker for copies
    offset: tuple[int, ...] = ()  # of a piece: where it begins in the result
    adds: bool = False  # whether it is added to what is there
    positive: bool = False  # whether negative zeros become positive ones, as by adding zero
    path: list[LoopItem] = field(default_factory=list)
    contract: ContractItem | None = None  # set when the leaf is part of a contraction's epilogue
    operations: int = 1  # how many nodes are computed for an element

    @property
    def fold(self) -> Fold:
        fold = self.root.op.lower
        assert isinstance(fold, Fold)
        return fold

    def rename(self, mapping: Mapping[Axis, Axis]) -> None:
        """Use the axes of loops that the nest has entered."""
        swap = mapping.get
        self.result_axes = tuple([swap(a, a) for a in self.result_axes])
        self.fold_axes = tuple([swap(a, a) for a in self.fold_axes])
        self.order = [swap(a, a) for a in self.order]
        self.source = (self.source[0], tuple([i.replace(mapping) for i in self.source[1]]))
        self.accesses = [
            Access(
                x.node, None if x.index is None else tuple([i.replace(mapping) for i in x.index])
            )
            for x in self.accesses
        ]
        self.breaks = {swap(a, a): places for a, places in self.breaks.items()}


@record(eq=False)
class Leaf:
    """The place where one element of a nest is computed (and folded in or stored)."""

    nest: Nest


@record(eq=False)
class LoopItem:
    """A loop over ``axis``; ``children`` run in order in each iteration.

    ``starts`` are the folds whose first reduced axis this is; ``breaks`` are where it is split."""

    axis: Axis
    children: list[Item] = field(default_factory=list)
    starts: list[Nest] = field(default_factory=list)
    carries: list[Nest] = field(default_factory=list)  # folds in registers that reduce this axis
    breaks: set[int] = field(default_factory=set)
    holds: dict[Any, Nest] = field(default_factory=dict)  # results computed inside
    reads: set[Any] = field(default_factory=set)
    operations: int = 0  # of all nests inside


@record(eq=False)
class ContractItem:
    """A contraction with the nests that run in its epilogue."""

    root: Node
    axes: tuple[Axis, ...]  # of the result
    operands: tuple[tuple[Node, Affine], tuple[Node, Affine]]  # stored node, element number
    letters: dict[str, Axis]
    accesses: list[Access]
    epilogue: list[Leaf] = field(default_factory=list)
    holds: dict[Any, Nest | None] = field(default_factory=dict)
    key: Any = None


@record(eq=False)
class RegionItem:
    """An op that emits its own loops."""

    node: Node
    accesses: list[Access]
    holds: dict[Any, Nest | None] = field(default_factory=dict)


Item = LoopItem | Leaf | ContractItem | RegionItem


def leaves_of(item: Item) -> Iterator[Leaf]:
    """All leaves under an item, in order."""
    stack: list[Item] = [item]
    while stack:
        top = stack.pop()
        if isinstance(top, Leaf):
            yield top
        elif isinstance(top, LoopItem):
            stack.extend(reversed(top.children))
        elif isinstance(top, ContractItem):
            yield from top.epilogue


def held(item: Item) -> Mapping[Any, Nest | None]:
    """What is computed inside an item: key -> nest."""
    if isinstance(item, Leaf):
        return {item.nest.key: item.nest}
    return item.holds


class Schedule:
    """Places nests one after the other; ``items`` is the result."""

    def __init__(
        self, is_stored: Callable[[Node], bool], piles: Mapping[int, Sequence[Node]]
    ) -> None:
        self.is_stored = is_stored
        self.piles = piles
        self.items: list[Item] = []

    # --- making nests ---

    def nest(self, node: Node, key: Any = None) -> Nest:
        """The nest that computes a root (or copies it, when ``key`` is not the node)."""
        key = node if key is None else key
        reducing = node.op.kind is Kind.REDUCTION and key is node
        if reducing:
            return self._fold_nest(node)
        axes = tuple(Axis(n) for n in node.shape)
        index = tuple(Affine.of(a) for a in axes)
        dry = self._dry([(node, index)], node if key is node and not is_leaf(node) else None)
        return Nest(
            node,
            "map",
            axes,
            (),
            list(axes),
            len(axes),
            (node, index),
            dry.accesses,
            dry.breaks,
            dry.guarded,
            dry.numbered,
            key,
            operations=dry.operations,
        )

    def _fold_nest(self, node: Node) -> Nest:
        source = node.inputs[0]
        reduced = node["axes"]
        all_axes = [Axis(n) for n in source.shape]
        index = tuple(Affine.of(a) for a in all_axes)
        dry = self._dry([(source, index)], None)
        kept = [a for i, a in enumerate(all_axes) if i not in reduced]
        folded = [all_axes[i] for i in reduced]
        first = min(reduced, default=len(all_axes))
        inner = [a for i, a in enumerate(all_axes) if i > first and i not in reduced]
        fold = node.op.lower
        assert isinstance(fold, Fold)
        # a few terms are added in registers, each from a line of its own
        few = math.prod(a.extent for a in folded) <= thresholds.unroll
        last = len(all_axes) - 1
        in_memory = bool(inner) and last not in reduced and fold.combine is not None and not few
        style: Style = "memory fold" if in_memory else "fold"
        outer = [a for a in kept if a not in inner] if in_memory else kept
        order = [*outer, *folded, *inner] if in_memory else [*kept, *folded]
        return Nest(
            node,
            style,
            tuple(kept),
            tuple(folded),
            order,
            len(outer),
            (source, index),
            dry.accesses,
            dry.breaks,
            dry.guarded,
            dry.numbered,
            node,
            operations=dry.operations,
        )

    def pieces(self, node: Node) -> list[Nest]:
        """The nests that write the operands of a concatenation one after the other."""
        axis = node["axis"]
        nests = []
        offset = [0] * len(node.shape)
        for x in node.inputs:
            nests.append(self._piece(node, x, tuple(offset)))
            offset[axis] += x.shape[axis]
        return nests

    def pile(self, node: Node) -> list[Nest]:
        """The nests that add the operands of a sum to its memory one after the other, each where it
        is not zero."""
        first, *others = self.piles[node.id]
        nests = [self._piece(node, first, (0,) * len(node.shape))]
        nests[0].positive = not is_block(first) and is_floating(node.dtype)
        for x in others:
            padded = is_block(x) and not self.is_stored(x)
            inner, offset = (x.inputs[0], x["low"]) if padded else (x, (0,) * len(node.shape))
            nests.append(self._piece(node, inner, offset))
            nests[-1].adds = True
        return nests

    def _piece(self, node: Node, x: Node, offset: tuple[int, ...]) -> Nest:
        axes = tuple(Axis(n) for n in x.shape)
        index = tuple(Affine.of(a) for a in axes)
        dry = self._dry([(x, index)], None)
        return Nest(
            node,
            "piece",
            axes,
            (),
            list(axes),
            len(axes),
            (x, index),
            dry.accesses,
            dry.breaks,
            dry.guarded,
            dry.numbered,
            node,
            offset,
            operations=dry.operations,
        )

    def contraction(self, node: Node) -> ContractItem:
        """The item of a contraction."""
        operands, result = node["spec"].split("->")
        first, second = operands.split(",")
        extents = dict(
            zip(first + second, node.inputs[0].shape + node.inputs[1].shape, strict=True)
        )
        letters = {letter: Axis(n) for letter, n in extents.items()}
        operands_at = []
        for x, word in zip(node.inputs, (first, second), strict=True):
            operands_at.append(
                strided(x, tuple(Affine.of(letters[c]) for c in word), self.is_stored)
            )
        return ContractItem(
            node,
            tuple(letters[c] for c in result),
            (operands_at[0], operands_at[1]),
            letters,
            [Access(x, None) for x, _ in operands_at],
            holds={node: None},
            key=node,
        )

    def try_out(self, node: Node) -> None:
        """Make the nests of a root without placing them.

        Raises:
            NeedsRoot: naming a node that must be stored first.
        """
        if node.op.kind is Kind.CONTRACTION:
            self.contraction(node)
        elif in_pieces(node):
            self.pieces(node)
        elif node.id in self.piles:
            self.pile(node)
        else:
            self.nest(node)

    def _dry(self, start: list[tuple[Node, Index]], own: Node | None) -> DryReader:
        dry = DryReader(self.is_stored)
        dry.follow(start, own)
        return dry

    # --- placing nests ---

    def place(self, nest: Nest) -> None:
        """Put a nest behind everything it reads, sharing loops where that is allowed."""
        wanted = {x.node for x in nest.accesses}
        if nest.order and 0 not in [a.extent for a in nest.order]:
            for position in range(len(self.items) - 1, -1, -1):
                item = self.items[position]
                if (
                    isinstance(item, LoopItem)
                    and self._worth(item, nest, wanted)
                    and self._enter(item, nest)
                ):
                    return
                if isinstance(item, ContractItem) and self._into_epilogue(item, nest):
                    return
                if not wanted.isdisjoint(held(item)):
                    break
        self._append(self.items, nest, 0, [])

    def place_apart(self, nest: Nest) -> None:
        """Put a nest behind all others, in loops of its own."""
        self._append(self.items, nest, 0, [])

    def place_contraction(self, item: ContractItem) -> None:
        self.items.append(item)

    def place_region(self, item: RegionItem) -> None:
        self.items.append(item)

    def _worth(self, item: LoopItem, nest: Nest, wanted: set[Node]) -> bool:
        """Sharing pays when data is shared, or when everything is tiny."""
        if not wanted.isdisjoint(item.holds) or not wanted.isdisjoint(item.reads):
            return True
        short = item.axis.extent <= thresholds.tiny_loop
        return short and len(item.holds) < thresholds.tiny_loop_values

    def _enter(self, top: LoopItem, nest: Nest) -> bool:
        """Enter ``top`` as deep as possible."""
        path: list[LoopItem] = []
        loop: LoopItem | None = top
        mapping: dict[Axis, Axis] = {}
        wanted = {x.node for x in nest.accesses}
        while loop is not None and len(path) < len(nest.order):
            if not self._allowed(loop, nest, len(path)):
                break
            mapping[nest.order[len(path)]] = loop.axis
            path.append(loop)
            inner = None
            if len(path) < len(nest.order):
                for child in reversed(loop.children):
                    if isinstance(child, LoopItem) and self._allowed(child, nest, len(path)):
                        inner = child
                        break
                    if not wanted.isdisjoint(held(child)):
                        break
            loop = inner
        if not path:
            return False
        nest.rename(mapping)
        self._append(path[-1].children, nest, len(path), path)
        return True

    def _allowed(self, loop: LoopItem, nest: Nest, level: int) -> bool:
        axis = nest.order[level]
        if loop.axis.extent != axis.extent or len(loop.holds) > thresholds.loop_values:
            return False
        if loop.operations + nest.operations > thresholds.loop_operations:
            return False
        for access in nest.accesses:
            producer = loop.holds.get(access.node)
            if producer is None:
                continue
            if access.index is None or producer.style == "piece":
                return False
            if loop not in producer.path[: producer.settled]:
                return False  # an unfinished reduction
            place = producer.result_axes.index(loop.axis)
            if not access.index[place].is_axis(axis):
                return False
        return True

    def _into_epilogue(self, item: ContractItem, nest: Nest) -> bool:
        """Compute a map on the elements of a contraction while they are at hand."""
        if nest.style != "map" or nest.breaks or nest.guarded or nest.root.shape != item.root.shape:
            return False
        reads = [x for x in nest.accesses if x.node in item.holds]
        if not reads:
            return False
        mapping = dict(zip(nest.result_axes, item.axes, strict=True))
        for x in reads:
            if x.index is None or any(
                not i.is_axis(a) for i, a in zip(x.index, nest.result_axes, strict=True)
            ):
                return False
        if _parts_axes(item, nest, mapping):
            return False
        nest.rename(mapping)
        nest.contract = item
        item.epilogue.append(Leaf(nest))
        item.holds[nest.key] = nest
        return True

    def _append(self, children: list[Item], nest: Nest, depth: int, path: list[LoopItem]) -> None:
        """Add the loops of ``nest`` from ``depth`` on as a new child, and its leaf innermost."""
        path = list(path)
        for axis in nest.order[depth:]:
            loop = LoopItem(axis)
            children.append(loop)
            children = loop.children
            path.append(loop)
        children.append(Leaf(nest))
        nest.path = path
        for loop in path:
            loop.holds[nest.key] = nest
            loop.operations += nest.operations
            loop.reads.update(x.node for x in nest.accesses)
            loop.breaks |= nest.breaks.get(loop.axis, set())
        if nest.fold_axes and nest.style in ("fold", "memory fold"):
            path[nest.settled].starts.append(nest)
            if nest.style == "fold":
                for loop in path[nest.settled :]:
                    loop.carries.append(nest)


def _parts_axes(item: ContractItem, nest: Nest, mapping: Mapping[Axis, Axis]) -> bool:
    """Whether two axes of a long contraction that are one axis in memory, in the operand that has
    them and in the result, would not be one to what the nest reads.

    Long sums over many short rows take more time than to write the result and to read it again."""
    terms = math.prod(a.extent for a in item.letters.values() if a not in item.axes)
    if terms < thresholds.long_sum:
        return False
    own = [x for x in nest.accesses if x.index is not None and x.node not in item.holds]
    numbers: list[dict[Any, int]] = []
    for x in own:
        assert x.index is not None
        flat = flat_index(x.index, x.node.shape).terms
        numbers.append({mapping[a]: c for a, c in flat if isinstance(a, Axis) and a in mapping})
    operands: list[dict[Any, int]] = [dict(number.terms) for _, number in item.operands]
    for slow, fast in itertools.pairwise(item.axes):
        if fast.extent >= thresholds.long_sum:
            continue
        here = [o for o in operands if slow in o or fast in o]
        is_one = [o.get(slow, 0) == fast.extent * o.get(fast, 0) for o in (*here, *numbers)]
        if len(here) == 1 and is_one[0] and not all(is_one):
            return True
    return False


def strided(node: Node, index: Index, is_stored: Callable[[Node], bool]) -> tuple[Node, Affine]:
    """A stored node and the affine element number that ``node[index]`` is found at.

    Raises:
        NeedsRoot: naming the node that must be stored first.
    """
    while not (is_stored(node) or (is_leaf(node) and node.shape)):
        if node.op.kind is not Kind.INDEX_MAP:
            raise NeedsRoot(node)
        current = node

        def refuse(*_: Any, current: Node = current) -> Any:
            raise NeedsRoot(current)

        reader = Reader(
            node,
            {},
            lambda value, low, high: known_inside(value, low, high, {}),
            is_stored,
            refuse,
            refuse,
        )
        demand = node.op.lower(reader, index, *[x.type for x in node.inputs], **node.attributes)
        if isinstance(demand, ReadFlat):
            return demand.node, demand.offset
        if not isinstance(demand, Read):
            raise NeedsRoot(node)
        node, index = demand.node, demand.index
    return node, flat_index(index, node.shape)
