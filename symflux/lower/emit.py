"""Writes the statements of a plan: loops, what threads share of them, folds, contractions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from ..codegen.builder import Builder
from ..codegen.ir import Buffer, Const, Operand
from ..codegen.ir import Index as LoopIndex
from ..ir.node import Node
from ..ops.table import Fold
from ..records import replace
from ..thresholds import thresholds
from .affine import Affine, Axis
from .elements import View, element_number
from .fuse import ContractItem, Item, Leaf, LoopItem, Nest, RegionItem
from .loops import (
    can_be_vector,
    inner_axes,
    inner_loops,
    is_heavy,
    run_as_one,
    sums_in_registers,
)
from .plan import Plan, Storage
from .reading import flat_index
from .regions import RegionEmitter
from .roots import is_leaf
from .share import Share, unit_of, used_again

__all__ = ["BlockEmitter"]


class BlockEmitter(RegionEmitter):
    """Emits one plan into the current block of a builder; see ``ElementEmitter`` for what it is
    given. ``constants`` is shared by all blocks of a program."""

    def __init__(
        self, b: Builder, plan: Plan, bound: dict[Node, Any], constants: dict[Node, View]
    ) -> None:
        self.b = b
        self.plan = plan
        self.bound = bound
        self.constants = constants
        self.memo = [{}]
        self.places = {}
        self.ranges = {}
        self.carried: dict[Nest, tuple[Operand, ...]] = {}
        self.bases = {}
        self.planned = None
        self.values = {}
        self.written_out: set[LoopItem] = set()  # loops that become copies of their body

    # --- items ---

    def items(self, items: Sequence[Item]) -> None:
        for item in items:
            if isinstance(item, Leaf):
                self._leaf(item.nest)
            elif isinstance(item, LoopItem):
                self._loop(item)
            elif isinstance(item, ContractItem):
                self._contract(item)
            else:
                self._region(item)

    def _region(self, item: RegionItem) -> None:
        item.node.op.lower(self, item.node)

    # --- loops ---

    def _loop(self, loop: LoopItem) -> None:
        for nest in loop.starts:
            init = nest.fold.init(nest.source[0].dtype)
            if nest.style == "memory fold":
                self._fill(nest, init[0])
            elif loop in self.written_out and nest.fold.combine and 0 not in _extents(nest):
                self.carried[nest] = ()  # the first element is the first sum
            else:
                self.carried[nest] = self._initial(nest)
        as_one = [] if loop in self.written_out else run_as_one(loop, self._flat_places)
        if len(as_one) > 1:
            self._merged(as_one)
        else:
            edges = [0, *sorted(loop.breaks), loop.axis.extent]
            for low, high in itertools.pairwise(edges):
                if high - low == 1 or loop in self.written_out:
                    for place in range(low, high):
                        self._iteration(loop, None, place, place + 1)
                elif high > low:
                    self._run(loop, low, high)
        self.places.pop(loop.axis, None)
        self.ranges.pop(loop.axis, None)
        for nest in loop.starts:
            if nest.style == "fold":
                self._finish_fold(nest)

    def _merged(self, loops: Sequence[LoopItem]) -> None:
        """Nested loops over neighbours in memory, as one loop over all of their elements."""
        *outer, last = loops
        for loop in outer:  # the innermost index runs on into the next row
            self.places[loop.axis] = (None, 0)
        extent = math.prod(loop.axis.extent for loop in loops)
        shared = self.plan.shared.get(loops[0])
        if shared is not None and not shared.own and not shared.partial:
            pieces = replace(shared, loop=last)
            self._pieces(pieces, 0, extent)
        else:
            self._segment(last, 0, extent)
        for loop in loops:
            self.places.pop(loop.axis, None)

    def _flat_places(self, nest: Nest) -> list[Affine] | None:
        """The element numbers that an iteration of a nest reads and writes; None where they are not
        known by now."""
        found = []
        for access in nest.accesses:
            node, at = access.node, access.index
            if at is None:
                return None
            view: Any = self.bound.get(node)
            if view is None and (is_leaf(node) or node in self.plan.storage):
                view = self.view(node)
            if isinstance(view, View):
                found.append(element_number(at, view.strides))
        if nest.key in self.plan.storage and nest.style != "piece":
            own = tuple(Affine.of(a) for a in nest.result_axes)
            found.append(element_number(own, self.plan.storage[nest.key].strides))
        return found

    def _run(self, loop: LoopItem, low: int, high: int) -> None:
        """Iterations ``low`` to ``high`` of a loop, in pieces where it is shared out."""
        shared = self.plan.shared.get(loop)
        if shared is None or (loop.breaks and 2 * (high - low) < loop.axis.extent):
            self._segment(loop, low, high)
        else:
            self._pieces(shared, low, high)

    def _pieces(self, share: Share, low: int, high: int) -> None:
        """A loop over pieces, which threads share out, around the loop over those of a piece."""
        loop, count = share.loop, high - low
        unit = unit_of(share, count)
        pieces = -(-count // unit)
        if pieces < 2:
            self._segment(loop, low, high)
            return
        own = loop.starts or loop.carries or share.own or share.partial
        if count > thresholds.unroll and can_be_vector(loop) and not own:
            self._segment(loop, low, high, shared=True)  # cut wherever it suits the threads
            return
        flat = [value for nest in loop.carries for value in self.carried[nest]]
        whole = {key: self.plan.storage[key].view for key in share.partial}
        with self.b.loop(pieces, "parallel", flat) as handle:
            self.memo.append({})
            piece: Any = handle.var
            for nest in loop.carries:
                self.carried[nest] = self._initial(nest)
            for storage in share.own:
                storage.view = _copy_of(storage, piece)
            for nest in loop.starts:
                if nest.key in share.partial:
                    self.plan.storage[nest.key].view = _copy_of(share.partial[nest.key], piece)
                    self._fill(nest, nest.fold.init(nest.source[0].dtype)[0])
            length: Any = unit
            if count % unit:
                rest = self.b.let("sub", Const(count, "i64"), self._times(piece, unit))
                length = self.b.let("minimum", rest, Const(unit, "i64"))
            self.bases[loop.axis] = ((piece, unit),)
            self._segment(loop, low, low + unit, length, within=high)
            del self.bases[loop.axis]
            results = [value for nest in loop.carries for value in self.carried[nest]]
            combines = [_combine(nest) for nest in loop.carries for _ in self.carried[nest]]
            self.memo.pop()
            if flat:
                pairs = zip(combines, handle.params, results, strict=True)
                handle.yield_(*[self.b.let(c, p, v, reassociate=True) for c, p, v in pairs])
        self._distribute(loop.carries, handle.results)
        for storage in share.own:
            storage.view = View(storage.view.buffer, storage.strides)
        for nest in loop.starts:
            if nest.key in share.partial:
                self.plan.storage[nest.key].view = whole[nest.key]
                self._add_partial(nest, share.partial[nest.key], pieces)

    def _times(self, var: Any, factor: int) -> Operand:
        return self.b.let("mul", var, Const(factor, "i64"))

    def _add_partial(self, nest: Nest, partial: Storage, pieces: int) -> None:
        """Add the sums of the pieces, in order, to those in memory."""
        view, size = self.plan.storage[nest.key].view, partial.size
        with (
            self.b.loop(pieces, "serial") as piece,
            self.b.loop(size, "vector" if size > thresholds.unroll else "unroll") as i,
        ):
            at = LoopIndex((*view.base.terms, (i.var, 1)), view.base.offset)
            own = LoopIndex(((piece.var, partial.apart), (i.var, 1)))
            more = self.b.load(partial.view.buffer, own)
            total = self.b.load(view.buffer, at)
            self.b.store(view.buffer, at, self.b.let(_combine(nest), total, more))

    def _segment(
        self,
        loop: LoopItem,
        low: int,
        high: int,
        length: Any = None,
        shared: bool = False,
        within: int | None = None,
    ) -> None:
        """Iterations ``low`` to ``high`` of a loop, or so many as ``length`` says; ``shared`` ones
        do not depend on each other and go to several threads. One piece stands for all pieces of
        ``low`` to ``within``: what holds for indices has to hold in each of them."""
        extent = high - low
        long = extent > thresholds.unroll or is_heavy(loop, extent, self.plan.roots.__contains__)
        vector = long and can_be_vector(loop)
        held = sums_in_registers(loop) if vector else []
        for nest in held:
            self.carried[nest] = tuple(
                [self.b.load(*self._place(nest)) for _ in self._inner_places(nest)]
            )
        carries = [*loop.carries, *held]
        if vector:
            self.written_out.update(inner_loops(loop))
        outer = self.values
        if vector:
            self.values = {storage: {} for storage in used_again(loop, self.plan.storage)}
        flat = [value for nest in carries for value in self.carried[nest]]
        mode = self._mode(loop, extent, vector)
        if shared and vector and not flat:
            mode = "parallel"
        with self.b.loop(extent if length is None else length, mode, flat) as handle:
            self._distribute(carries, handle.params)
            end = high if within is None else within
            self._iteration(loop, handle.var, low, min(end, low + loop.axis.extent))
            if carries:
                handle.yield_(*[v for nest in carries for v in self.carried[nest]])
        self.values = outer
        self._distribute(carries, handle.results)
        for nest in held:
            values = self.carried.pop(nest)
            for value, _ in zip(values, self._inner_places(nest), strict=True):
                self._store(nest, value)

    def _inner_places(self, nest: Nest) -> Iterator[int]:
        """Step through the elements of a sum that is kept for each place of short inner axes."""
        inner = inner_axes(nest)
        for number, place in enumerate(itertools.product(*[range(a.extent) for a in inner])):
            for axis, at in zip(inner, place, strict=True):
                self.places[axis] = (None, at)
            yield number
        for axis in inner:
            self.places.pop(axis, None)

    def _distribute(self, carries: Sequence[Nest], values: Sequence[Any]) -> None:
        position = 0
        for nest in carries:
            count = len(self.carried[nest])
            self.carried[nest] = tuple(values[position : position + count])
            position += count

    def _iteration(self, loop: LoopItem, var: Any, low: int, high: int) -> None:
        self.places[loop.axis] = (var, low)
        self.ranges[loop.axis] = (low, high - 1)
        self.memo.append({})
        self.items(loop.children)
        self.memo.pop()

    def _mode(self, loop: LoopItem, extent: int, vector: bool) -> Any:
        if vector:
            return "vector"
        if any(isinstance(child, (LoopItem, RegionItem, ContractItem)) for child in loop.children):
            return "serial"
        return "unroll" if extent <= thresholds.unroll else "serial"

    # --- folds ---

    def _initial(self, nest: Nest) -> tuple[Operand, ...]:
        dtypes = _fold_dtypes(nest)
        init = nest.fold.init(nest.source[0].dtype)
        return tuple(self.b.operand(v, d) for v, d in zip(init, dtypes, strict=True))

    def _finish_fold(self, nest: Nest) -> None:
        value = self.carried.pop(nest)[nest.fold.result]
        self._result(nest, self._narrow(value, nest.root.dtype))

    def _fill(self, nest: Nest, value: Any) -> None:
        """Set the memory of a fold to its starting value, over the axes kept inside."""
        storage = self.plan.storage[nest.key]
        if storage in self.values:
            for _ in self._inner_places(nest):
                self._store(nest, self.b.operand(value, storage.dtype))
            return
        inner = inner_axes(nest)
        for axis in inner:
            self.places[axis] = (None, 0)
        total = math.prod(axis.extent for axis in inner)  # they lie side by side
        with self.b.loop(total, "vector" if total > thresholds.unroll else "unroll") as handle:
            self.places[inner[-1]] = (handle.var, 0)
            self._store(nest, self.b.operand(value, storage.dtype))
        for axis in inner:
            self.places.pop(axis, None)

    # --- leaves ---

    def _leaf(self, nest: Nest) -> None:
        self.planned = frozenset([x.node for x in nest.accesses])
        self._element_of(nest)
        self.planned = None

    def _element_of(self, nest: Nest) -> None:
        """Compute one element of a nest, and store it or fold it in."""
        node, index = nest.source
        if nest.style == "map":
            own = node if nest.key is nest.root and not is_leaf(node) else None
            self._result(nest, self.value(node, index, own))
        elif nest.style == "piece":
            value = self.value(node, index)
            if nest.adds:
                value = self.b.let("add", self._stored(nest), value)
            elif nest.positive:
                value = self.b.let("add", value, Const(0.0, nest.root.dtype))
            self._store(nest, value)
        elif nest.style == "memory fold":
            value = self.value(node, index)
            combine = nest.fold.combine
            assert combine is not None
            if nest in self.carried:
                self._add_held(nest, combine, value)
            else:
                self._store(nest, self.b.let(combine, self._stored(nest), value))
        elif not nest.fold_axes:
            value = self.value(node, index)
            self.carried[nest] = self._initial(nest)
            self._step(nest, value)
            self._finish_fold(nest)
        else:
            self._step(nest, self.value(node, index))

    def _add_held(self, nest: Nest, combine: str, value: Any) -> None:
        """Combine one element with the sum of its place, where the sums are carried values."""
        number = 0
        for axis in inner_axes(nest):
            number = number * axis.extent + self.places[axis][1]
        sums = list(self.carried[nest])
        sums[number] = self.b.let(combine, sums[number], value, reassociate=True)
        self.carried[nest] = tuple(sums)

    def _step(self, nest: Nest, value: Any) -> None:
        fold = nest.fold
        state = self.carried[nest]
        if fold.combine is not None:
            wide = self._narrow(value, _fold_dtypes(nest)[0])
            if not state:
                self.carried[nest] = (wide,)
                return
            self.carried[nest] = (self.b.let(fold.combine, state[0], wide, reassociate=True),)
            return
        assert fold.step is not None
        position = None
        if fold.needs_position:
            index = tuple(Affine.of(a) for a in nest.fold_axes)
            number = flat_index(index, tuple(a.extent for a in nest.fold_axes))
            position = self.index_operand(number)
        self.carried[nest] = tuple(fold.step(self.b, state, value, position))

    def _result(self, nest: Nest, value: Any) -> None:
        """Bind the finished element, and store it where memory is wanted."""
        if nest.key is nest.root:
            index = tuple(Affine.of(a) for a in nest.result_axes)
            self.memo[-1][nest.root.id, index] = value
        if nest.key in self.plan.storage:
            self._store(nest, value)

    def _own_index(self, nest: Nest) -> tuple[Affine, ...]:
        index = tuple(Affine.of(a) for a in nest.result_axes)
        if nest.style == "piece":
            return tuple(i + start for i, start in zip(index, nest.offset, strict=True))
        return index

    def _place(self, nest: Nest) -> tuple[Buffer, LoopIndex]:
        return self.place(self.plan.storage[nest.key].view, self._own_index(nest))

    def _own_value(self, nest: Nest) -> tuple[dict[int, Any], int] | None:
        """The elements of the nest's storage and the number of its own; None in memory."""
        storage = self.plan.storage[nest.key]
        values = self.values.get(storage)
        if values is None:
            return None
        number = self.fixed(element_number(self._own_index(nest), storage.strides))
        return values, number.offset

    def _stored(self, nest: Nest) -> Any:
        """What was stored for this element."""
        own = self._own_value(nest)
        return self.b.load(*self._place(nest)) if own is None else own[0][own[1]]

    def _store(self, nest: Nest, value: Any) -> None:
        own = self._own_value(nest)
        if own is None:
            self.b.store(*self._place(nest), value)
        else:
            own[0][own[1]] = value

    # --- contractions ---

    def _contract(self, item: ContractItem) -> None:
        node = item.root
        operands, result = node["spec"].split("->")
        first, second = operands.split(",")
        (a, flat_a), (b, flat_b) = item.operands
        order = sorted(item.letters, key=lambda c: (result + c).index(c))
        dims = []
        for letter in order:
            axis = item.letters[letter]
            in_a, in_b, kept = letter in first, letter in second, letter in result
            role = "k" if not kept else "batch" if in_a and in_b else "m" if in_a else "n"
            dims.append((role, axis.extent, _coefficient(flat_a, axis), _coefficient(flat_b, axis)))
        view_a, view_b = self.view(a), self.view(b)
        wide = "f32" if node.dtype == "f16" else node.dtype
        with self.b.contract(
            view_a.buffer, view_b.buffer, dims, _constant_part(view_a, flat_a),
            _constant_part(view_b, flat_b), dtype=wide,
        ) as product:  # fmt: skip
            kept_axes = [
                item.letters[c] for c, dim in zip(order, dims, strict=True) if dim[0] != "k"
            ]
            for axis, handle in zip(kept_axes, product.indices, strict=True):
                self.places[axis] = (handle.terms[0][0], 0)
            self.memo.append({})
            index = tuple(Affine.of(axis) for axis in item.axes)
            value = self._narrow(product.acc, node.dtype)
            self.memo[-1][node.id, index] = value
            storage = self.plan.storage.get(item.key)
            if storage is not None:
                self.b.store(*self.place(storage.view, index), value)
            for leaf in item.epilogue:
                self._leaf(leaf.nest)
            self.memo.pop()


def _extents(nest: Nest) -> list[int]:
    return [axis.extent for axis in nest.fold_axes]


def _combine(nest: Nest) -> str:
    """The operation that joins partial results of a fold that may be split."""
    assert nest.fold.combine is not None
    return nest.fold.combine


def _fold_dtypes(nest: Nest) -> tuple[str, ...]:
    """The dtypes of the carried values: halves are summed in single precision."""
    fold: Fold = nest.fold
    dtype = nest.source[0].dtype
    if fold.combine is not None:
        return ("f32" if dtype == "f16" else nest.root.dtype,)
    return tuple(fold.dtypes(dtype)) if fold.dtypes is not None else (dtype, nest.root.dtype)


def _copy_of(storage: Storage, piece: Any) -> View:
    """Where the copy of a piece lies."""
    base = LoopIndex(((piece, storage.apart),))
    return View(storage.view.buffer, storage.strides, base)


def _coefficient(value: Affine, axis: Axis) -> int:
    return next((c for t, c in value.terms if t is axis), 0)


def _constant_part(view: View, flat: Affine) -> LoopIndex:
    """The element number of an operand's first element."""
    return LoopIndex(view.base.terms, view.base.offset + flat.offset)
