"""The plan of a graph's loops: nests in order, what is stored where, which kernels there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..codegen.ir import BYTES
from ..ir.graph import Graph
from ..ir.node import CONSTANT, ITEM, Node, item
from ..ir.op import Kind
from ..ir.types import TupleType
from ..ops.index import scatter_add
from ..records import field, record
from ..thresholds import thresholds
from .affine import Axis
from .fuse import (
    ContractItem,
    Item,
    Leaf,
    LoopItem,
    Nest,
    RegionItem,
    Schedule,
    leaves_of,
)
from .reading import NeedsRoot
from .recompute import cheaper_again
from .roots import Access, Analysis, analyse, in_pieces, is_leaf, read_with
from .share import Share, share_out

__all__ = ["Plan", "Storage"]

#: Bytes of a cache line.
_LINE = 64


@record(eq=False)
class Storage:
    """Memory for a root's elements.

    ``kept`` are the axes of the result that the memory has (axes of shared loops need none).
    ``output`` is the position of the graph's output that it is, if any; other storage is
    temporary and live from kernel ``first`` to kernel ``last``."""

    shape: tuple[int, ...]
    dtype: str
    kept: tuple[int, ...]
    first: int
    last: int
    output: int | None = None
    name: str = ""
    copies: int = 1  # one for each piece of a loop that is shared out among threads
    view: Any = None  # set while emitting: where it lies (the first copy)

    @property
    def size(self) -> int:
        total = 1
        for axis in self.kept:
            total *= self.shape[axis]
        return total

    @property
    def apart(self) -> int:
        """Elements from one copy to the next: threads that write them share no cache line."""
        size = max(self.size, 1)
        line = _LINE // BYTES[self.dtype] if self.copies > 1 else 1
        return -(-size // line) * line

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements between neighbours along each result axis (0 for axes that are not kept)."""
        strides = [0] * len(self.shape)
        step = 1
        for axis in reversed(self.kept):
            strides[axis] = step
            step *= self.shape[axis]
        return tuple(strides)


@record(eq=False)
class Plan:
    """Everything decided before any statement is written.

    Args of :meth:`make`:
        graph: what to compute.
        whole: True for a program of kernels; False for a block inside a loop (the body of a
        region),
            where scalar results are values and everything is one kernel.
        in_place: output position -> input whose memory the output overwrites.
    """

    graph: Graph
    whole: bool
    in_place: Mapping[int, Node]
    items: list[Item] = field(default_factory=list)
    kernels: list[list[Item]] = field(default_factory=list)
    storage: dict[Any, Storage] = field(default_factory=dict)
    outputs: dict[int, Storage] = field(default_factory=dict)
    late_copies: list[tuple[Storage, int]] = field(default_factory=list)
    bodies: dict[Node, tuple[Plan, ...]] = field(default_factory=dict)
    extra: dict[tuple[Node, int], Storage] = field(default_factory=dict)  # unused region results
    roots: set[int] = field(default_factory=set)
    shared: dict[LoopItem, Share] = field(default_factory=dict)  # among threads
    partial: list[Storage] = field(default_factory=list)  # sums of the pieces of shared loops
    needed: set[int] = field(default_factory=set)  # not to be judged again by ``recompute``
    producers: dict[Any, list[Nest]] = field(default_factory=dict)
    holders: dict[Any, Item] = field(default_factory=dict)  # the first item of several (pieces)

    @staticmethod
    def make(
        graph: Graph, *, whole: bool = True, in_place: Mapping[int, Node] | None = None
    ) -> Plan:
        analysis = analyse(graph.outputs)
        needed: set[int] = set()
        for attempt in range(1, thresholds.plans + 1):
            plan = Plan(graph, whole, dict(in_place or {}), needed=needed)
            plan._schedule(analysis)
            plan._split_kernels()
            plan._place_results()
            plan._place_temporaries()
            again = cheaper_again(plan) if attempt < thresholds.plans else set()
            if not again:
                break
            analysis.roots -= again
            needed |= again  # judged once: what turns out to need memory keeps it
        plan.shared = share_out(plan)
        plan._plan_bodies()
        return plan

    # --- nests ---

    def _schedule(self, analysis: Analysis) -> None:
        while True:
            try:
                self.items = self._attempt(analysis)
                break
            except NeedsRoot as need:
                _settle(analysis, need.node)
        self.roots = set(analysis.roots)  # those of the next plan are others
        for an_item in self.items:
            for key in _holds(an_item):
                self.holders.setdefault(key, an_item)
            for leaf in leaves_of(an_item):
                self.producers.setdefault(leaf.nest.key, []).append(leaf.nest)

    def _attempt(self, analysis: Analysis) -> list[Item]:
        schedule = Schedule(lambda node: node.id in analysis.roots, analysis.piles)
        regions: dict[Node, RegionItem] = {}
        for node in analysis.nodes:
            if _is_region(node) and node.op is not ITEM:
                regions[node] = RegionItem(node, _whole_inputs(node, analysis.roots))
                schedule.place_region(regions[node])
                if not isinstance(node.type, TupleType):
                    regions[node].holds[node] = None
            elif node.op is ITEM:
                regions[node.inputs[0]].holds[node] = None
            elif node.id not in analysis.roots:
                continue
            elif node.op.kind is Kind.CONTRACTION:
                schedule.place_contraction(schedule.contraction(node))
            elif in_pieces(node):
                for nest in schedule.pieces(node):
                    schedule.place(nest)
            elif node.id in analysis.piles:
                for nest in schedule.pile(node):
                    schedule.place_apart(nest)
            else:
                schedule.place(schedule.nest(node))
        self._copy_outputs(schedule)
        return schedule.items

    def _copy_outputs(self, schedule: Schedule) -> None:
        """Outputs that are inputs, constants or repeated get a nest that copies."""
        taken: set[Node] = set()
        for position, node in enumerate(self.graph.outputs):
            if self._is_value(node) or self.in_place.get(position) is node:
                continue
            if is_leaf(node) or node in taken:
                schedule.place(schedule.nest(node, key=("copy", position)))
            taken.add(node)

    def _is_value(self, node: Node) -> bool:
        """Whether an output is handed over as a scalar value instead of in memory."""
        return not self.whole and node.shape == ()

    # --- kernels ---

    def _split_kernels(self) -> None:
        if not self.whole:
            self.kernels = [self.items] if self.items else []
            return
        small: list[Item] = []
        for an_item in self.items:
            if _work(an_item) < thresholds.kernel_from:
                small.append(an_item)
                continue
            if small:
                self.kernels.append(small)
                small = []
            self.kernels.append([an_item])
        if small:
            self.kernels.append(small)

    # --- storage ---

    def _kernel_numbers(self) -> dict[int, int]:
        return {id(x): number for number, kernel in enumerate(self.kernels) for x in kernel}

    def _place_results(self) -> None:
        """Memory of the outputs, in place where that is asked for and safe."""
        seen: set[Node] = set()
        for position, node in enumerate(self.graph.outputs):
            if self._is_value(node):
                continue
            replaced = self.in_place.get(position)
            if replaced is node:
                continue
            key: Any = ("copy", position) if is_leaf(node) or node in seen else node
            seen.add(node)
            every = tuple(range(len(node.shape)))
            storage = Storage(node.shape, node.dtype, every, 0, len(self.kernels), position)
            if replaced is not None and not self._overwrites_safely(key, replaced):
                storage.output = None
                self.late_copies.append((storage, position))
            else:
                self.outputs[position] = storage
            self.storage[key] = storage

    def _overwrites_safely(self, key: Any, replaced: Node) -> bool:
        """Whether every read of ``replaced`` happens before the nest of ``key`` overwrites it."""
        writers = self.producers.get(key, [])
        if len(writers) != 1 or writers[0].style != "map":
            return False
        writer = writers[0]
        place = next(
            i for i, x in enumerate(self.items) if any(leaf.nest is writer for leaf in leaves_of(x))
        )
        for number, an_item in enumerate(self.items):
            if number < place:
                continue
            direct = [] if isinstance(an_item, (LoopItem, Leaf)) else an_item.accesses
            if any(x.node is replaced for x in direct):
                return False
            before = True
            for leaf in leaves_of(an_item):
                nest = leaf.nest
                reads = [x for x in nest.accesses if x.node is replaced]
                own = tuple(writer.result_axes)
                harmless = (
                    number == place
                    and before
                    and nest.path == writer.path
                    and all(
                        x.index is not None
                        and all(i.is_axis(a) for i, a in zip(x.index, own, strict=True))
                        for x in reads
                    )
                )
                if reads and not harmless:
                    return False
                if nest is writer:
                    before = False
        return True

    def _place_temporaries(self) -> None:
        numbers = self._kernel_numbers()
        contracted: dict[Any, set[int]] = {}
        last: dict[Any, int] = {}
        needed: dict[Any, None] = {}  # in order: names and places must not depend on hashes
        for an_item in self.items:
            kernel = numbers[id(an_item)]
            if isinstance(an_item, (ContractItem, RegionItem)):
                for access in an_item.accesses:
                    self._use(access, None, an_item, kernel, numbers, contracted, last, needed)
            for leaf in leaves_of(an_item):
                for access in leaf.nest.accesses:
                    self._use(access, leaf.nest, an_item, kernel, numbers, contracted, last, needed)
        for an_item in self.items:
            kernel = numbers[id(an_item)]
            for leaf in leaves_of(an_item):
                if leaf.nest.style in ("memory fold", "piece"):
                    needed[leaf.nest.key] = None
                    last.setdefault(leaf.nest.key, kernel)
                    contracted.setdefault(leaf.nest.key, set())
        for node in self.graph.outputs:
            # a scalar that a block hands over is read behind the contraction that computes it
            if self._is_value(node) and isinstance(self.holders.get(node), ContractItem):
                needed[node] = None
                last.setdefault(node, numbers[id(self.holders[node])])
                contracted[node] = set()
        for key in needed:
            if key in self.storage or not isinstance(key, Node):
                continue
            kept = tuple(i for i in range(len(key.shape)) if i not in contracted.get(key, ()))
            first = numbers[id(self.holders[key])]
            self.storage[key] = Storage(key.shape, key.dtype, kept, first, max(last[key], first))

    def _use(
        self,
        access: Access,
        nest: Nest | None,
        an_item: Item,
        kernel: int,
        numbers: dict[int, int],
        contracted: dict[Any, set[int]],
        last: dict[Any, int],
        needed: dict[Any, None],
    ) -> None:
        node = access.node
        if is_leaf(node) or (node.id not in self.roots and node.op.kind is not Kind.OPAQUE):
            return
        holder = self.holders[node]
        same = numbers[id(holder)] == kernel
        if (
            same
            and nest is not None
            and type(holder) is Leaf
            and node.type.shape == ()
            and len(self.producers[node]) == 1
            and _direct(holder.nest)
        ):
            return  # computed outside of all loops: at hand in the rest of the kernel
        last[node] = max(last.get(node, 0), kernel)
        aligned: set[int] = set()
        if same:
            verdict = self._registers(access, nest, an_item, holder)
            if verdict is None:
                return
            aligned = verdict
        needed[node] = None
        if node in contracted:
            contracted[node] &= aligned
        else:
            contracted[node] = set(aligned)

    def _registers(
        self, access: Access, nest: Nest | None, an_item: Item, holder: Item
    ) -> set[int] | None:
        """None when the value is at hand where it is used; else the axes its memory can do
        without."""
        node = access.node
        if isinstance(holder, RegionItem) and not (
            isinstance(an_item, ContractItem) and nest is None
        ):
            return (
                None if node.shape == () and isinstance(node.inputs[0].type, TupleType) else set()
            )
        if isinstance(holder, ContractItem) and holder is an_item and nest is not None:
            return None if nest.contract is holder else set()
        if isinstance(holder, (ContractItem, RegionItem)):
            return set()
        if isinstance(an_item, ContractItem) and nest is None:
            return set()  # an operand of a contraction is read from memory
        nests = self.producers[node]
        if len(nests) != 1 or access.index is None:
            return None if len(nests) == 1 and node.shape == () and _direct(nests[0]) else set()
        producer = nests[0]
        scope = producer.path[: producer.settled]
        path = nest.path if nest is not None else []
        shared = 0
        while shared < min(len(scope), len(path)) and scope[shared] is path[shared]:
            shared += 1
        loops = {loop.axis for loop in scope[:shared]}
        aligned = {
            i
            for i, (axis, at) in enumerate(zip(producer.result_axes, access.index, strict=True))
            if axis in loops and at.is_axis(axis)
        }
        if shared == len(scope) and len(aligned) == len(producer.result_axes) and _direct(producer):
            return None
        return aligned

    def partial_storage(self, key: Any, whole: Storage, pieces: int, kernel: int) -> Storage:
        """Storage like that of ``key``, once for each piece of a loop."""
        made = Storage(whole.shape, whole.dtype, whole.kept, kernel, kernel, copies=pieces)
        self.partial.append(made)
        return made

    # --- bodies of regions ---

    def _plan_bodies(self) -> None:
        numbers = self._kernel_numbers()
        for an_item in self.items:
            if not isinstance(an_item, RegionItem):
                continue
            node = an_item.node
            kernel = numbers[id(an_item)]
            if isinstance(node.type, TupleType):
                for index, type_ in enumerate(node.type.items):
                    key = item(node, index)
                    if key not in self.storage and (type_.shape != ()):
                        every = tuple(range(type_.rank))
                        made = Storage(type_.shape, type_.dtype, every, kernel, kernel)
                        self.extra[node, index] = made
            elif node not in self.storage:
                every = tuple(range(len(node.shape)))
                self.storage[node] = Storage(node.shape, node.dtype, every, kernel, kernel)
            self.bodies[node] = _body_plans(node)

    def temporaries(self) -> list[Storage]:
        """All temporary storage, bodies of regions included (live as long as their region's
        kernel)."""
        found = [s for s in self.storage.values() if s.output is None]
        found += self.extra.values()
        found += self.partial
        numbers = self._kernel_numbers()
        for an_item in self.items:
            if isinstance(an_item, RegionItem):
                for body in self.bodies[an_item.node]:
                    for storage in body.temporaries():
                        storage.first = storage.last = numbers[id(an_item)]
                        found.append(storage)
        return found


def _settle(analysis: Analysis, first: Node) -> None:
    """Make ``first`` a root, and everything else that nests will turn out to need from memory.

    Each such need ends an attempt to make a plan: they are better found all at once."""
    schedule = Schedule(lambda node: node.id in analysis.roots, analysis.piles)
    waiting = [first]

    def check(node: Node) -> None:
        while True:
            try:
                schedule.try_out(node)
                return
            except NeedsRoot as need:
                if need.node.id in analysis.roots:
                    raise AssertionError(f"{need.node!r} is a root already") from None
                analysis.roots.add(need.node.id)
                waiting.append(need.node)

    if first.id in analysis.roots:
        raise AssertionError(f"{first!r} is a root already")
    analysis.roots.add(first.id)
    for node in analysis.nodes:
        if node.id in analysis.roots and not _is_region(node):
            check(node)
    while waiting:  # they became roots after their turn
        node = waiting.pop()
        if not _is_region(node):
            check(node)


def _is_region(node: Node) -> bool:
    return isinstance(node.type, TupleType) or node.op.kind is Kind.OPAQUE


def _body_plans(node: Node) -> tuple[Plan, ...]:
    """Plans of a region's graphs; carried arrays are updated in place where that is safe."""
    plans = []
    for name, value in node.attrs:
        if not isinstance(value, Graph):
            continue
        in_place: dict[int, Node] = {}
        if name == "body":
            shift = 1 if "length" in node.attributes else 0
            carry = node.attributes.get("carry", len(value.outputs))
            in_place = {
                i: value.inputs[i + shift] for i in range(carry) if value.outputs[i].shape != ()
            }
        plans.append(Plan.make(value, whole=False, in_place=in_place))
    return tuple(plans)


def _direct(nest: Nest) -> bool:
    """Whether the result is a value where it is complete (not only in memory)."""
    return nest.style in ("map", "fold")


def _holds(an_item: Item) -> Mapping[Any, Any]:
    return {an_item.nest.key: an_item.nest} if isinstance(an_item, Leaf) else an_item.holds


def _whole_inputs(region: Node, roots: set[int]) -> list[Access]:
    """What a region reads: its inputs, or what those are computed of that it computes itself."""
    inputs = region.inputs
    if region.op is scatter_add:
        inputs = tuple(dict.fromkeys(y for x in inputs for y in read_with(x, roots)))
    return [_whole(x) for x in inputs if x.op is not CONSTANT or x.shape]


def _whole(node: Node) -> Access:
    return Access(node, () if node.shape == () else None)


def _work(an_item: Item) -> int:
    """Roughly how many elements an item computes."""
    if isinstance(an_item, Leaf):
        return 1
    if isinstance(an_item, RegionItem):
        return 1 << 60
    if isinstance(an_item, ContractItem):
        total = 1
        for axis in an_item.letters.values():
            total *= axis.extent
        return total
    return max((_volume(leaf.nest.order) for leaf in leaves_of(an_item)), default=0)


def _volume(axes: Sequence[Axis]) -> int:
    total = 1
    for axis in axes:
        total *= axis.extent
    return total
