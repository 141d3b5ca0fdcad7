"""Elements of nodes: computed where they are used, or found in memory.

An element is asked for by its index, affine over the loops that are open. Pointwise ops are
computed, index maps are followed to the element that they show, stored nodes are loaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..codegen.builder import Builder
from ..codegen.ir import Buffer, Const, Operand
from ..codegen.ir import Index as LoopIndex
from ..ir.node import CONSTANT, Node
from ..ir.op import Kind
from .affine import Affine, Axis, Dynamic
from .plan import Plan, Storage
from .reading import Fill, Guard, Index, Pending, Reader, ReadFlat, aligned_index
from .roots import is_leaf, known_inside

__all__ = ["ElementEmitter", "View", "element_number", "row_major"]


class View:
    """Where a node's elements lie: a buffer, and the element number of its first."""

    __slots__ = ("base", "buffer", "strides")

    def __init__(
        self, buffer: Buffer, strides: tuple[int, ...], base: LoopIndex | None = None
    ) -> None:
        self.buffer = buffer
        self.strides = strides
        self.base = base or LoopIndex()


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides in elements of a contiguous array."""
    strides = [0] * len(shape)
    step = 1
    for axis in range(len(shape) - 1, -1, -1):
        strides[axis] = step
        step *= shape[axis]
    return tuple(strides)


class ElementEmitter:
    """The part of the emitter that reads elements.

    ``bound`` says where inputs are: a :class:`View`, or an operand for scalars held as values;
    ``memo`` holds the values that are at hand, the innermost block last; ``places`` the variable
    and the offset of each open loop, ``ranges`` its least and greatest number, ``bases`` what is
    added in a piece of a loop: (variable, step); ``planned`` the nodes that the nest at hand reads
    from memory by its plan, None where it is not a nest that reads; ``values`` the elements, by
    number, of storage that iterations of the vector loop around would share if it were memory."""

    b: Builder
    plan: Plan
    bound: dict[Node, Any]
    constants: dict[Node, View]
    memo: list[dict[Any, Any]]
    places: dict[Axis, tuple[Any, int]]
    ranges: dict[Axis, tuple[int, int]]
    bases: dict[Axis, tuple[tuple[Any, int], ...]]
    planned: frozenset[Node] | None
    values: dict[Storage, dict[int, Any]]

    def value(self, node: Node, index: Index, own: Node | None = None) -> Any:
        """The operand that holds element ``index`` of ``node``, computed where it is not at hand.

        ``own`` is a root that is expanded although it is one (its own nest computes it)."""
        if not index and node.op.kind is Kind.POINTWISE:
            return self._scalar_value(node, own)
        stack: list[tuple[Node, Index]] = [(node, index)]
        while stack:
            top, at = stack[-1]
            key = (top.id, at)
            if self.find(key) is not None:
                stack.pop()
                continue
            found = self._compute(top, at, own)
            if isinstance(found, list):
                stack.extend(found)
            else:
                self.memo[-1][key] = found
                stack.pop()
        found = self.find((node.id, index))
        assert found is not None
        return found

    def _scalar_value(self, node: Node, own: Node | None) -> Any:
        """As ``value``, for scalars: a large graph of them has no indices to follow."""
        find, roots = self.find, self.plan.roots
        stack = [node]
        while stack:
            top = stack[-1]
            key = (top.id, ())
            found = find(key)
            if found is None:
                if top is not own and top.id in roots:
                    found = self._compute(top, (), own)
                else:
                    values = []
                    count = len(stack)
                    for x in top.inputs:
                        value = find((x.id, ()))
                        if value is None:
                            if x.op.kind is Kind.POINTWISE:
                                stack.append(x)
                                continue
                            value = self.value(x, ())
                        values.append(value)
                    if len(stack) > count:
                        continue
                    found = self._scalar(top, values)
                self.memo[-1][key] = found
            stack.pop()
        return found

    def find(self, key: Any) -> Any:
        """A value that is at hand in this block or one around it."""
        for scope in reversed(self.memo):
            value = scope.get(key)
            if value is not None:
                return value
        return None

    def _compute(self, node: Node, index: Index, own: Node | None) -> Any:
        """An operand, or the list of elements that are needed first."""
        kind = node.op.kind
        if node.op is CONSTANT and not node.shape:
            return self._literal(node)
        if node is not own and (is_leaf(node) or node.id in self.plan.roots):
            bound = self.bound.get(node)
            if bound is not None and not isinstance(bound, View):
                return bound
            self._expect(node)
            storage = self.plan.storage.get(node)
            if storage in self.values:
                return self._picked(self.values[storage], element_number(index, storage.strides))
            return self.b.load(*self.place(self.view(node), index))
        if kind is Kind.POINTWISE:
            if index:
                needs = [(x, aligned_index(index, x.shape)) for x in node.inputs]
            else:
                needs = [(x, index) for x in node.inputs]
            values = [self.find((x.id, at)) for x, at in needs]
            if None not in values:
                return self._scalar(node, values)
            return [need for need, value in zip(needs, values, strict=True) if value is None]
        if kind is Kind.INDEX_MAP:
            return self._map(node, index)
        if kind is Kind.SOURCE:
            return self.b.operand(node.op.lower(self, index, node), node.dtype)
        raise AssertionError(f"{node.op.name} is computed by its own nest")

    def _narrow(self, value: Any, dtype: str) -> Any:
        return value if value.dtype == dtype else self.b.cast(value, dtype)

    def _literal(self, node: Node) -> Const:
        from ..ir.node import constant_value

        value = constant_value(node)
        assert value is not None
        return Const(value.item(), node.dtype)

    def _scalar(self, node: Node, values: list[Any]) -> Any:
        lower = node.op.lower
        if lower == "cast":
            return self._narrow(values[0], node.dtype)
        if isinstance(lower, str):
            return self.b.let(lower, *values)
        operands = [self.b.expression(value) for value in values]
        result = lower(self.b, *operands, **node.attributes)
        return self.b.operand(result, node.dtype)

    def _map(self, node: Node, index: Index) -> Any:
        rule = ("rule", node.id, index)
        demand = self.find(rule)
        if demand is None:
            reader = Reader(
                node, self.ranges, self._decide, lambda x: is_leaf(x) or x.id in self.plan.roots,
                self._dynamic, self._clamp,
            )  # fmt: skip
            types = [x.type for x in node.inputs]
            try:
                demand = node.op.lower(reader, index, *types, **node.attributes)
            except Pending as pending:
                return [(pending.node, pending.index)]
            self.memo[-1][rule] = demand
        if isinstance(demand, Fill):
            return self.b.operand(demand.value, node.dtype)
        if isinstance(demand, ReadFlat):
            self._expect(demand.node)
            view = self.view(demand.node)
            assert view.strides == row_major(demand.node.shape), "a flat read needs whole memory"
            value = self.b.load(view.buffer, self.loop_index(demand.offset, view.base))
        else:
            value = self.find((demand.node.id, demand.index))
            if value is None:
                return [(demand.node, demand.index)]
        for guard in demand.guards:
            value = self.b.select(self._guard(guard)[0], value, self.b.operand(0, node.dtype))
        return value

    def _expect(self, node: Node) -> None:
        """What a nest reads from memory is what its plan was made for: whether its memory may be
        shared or overwritten was decided by that."""
        if self.planned is not None and node not in self.planned:
            raise AssertionError(f"{node!r} is read where the plan does not know of it")

    def _decide(self, value: Affine, low: int, high: int) -> bool | None:
        return known_inside(value, low, high, self.ranges)

    def _dynamic(self, node: Node, index: Index, extent: int) -> Affine:
        """An element of an integer node as an index, clamped to 0 .. extent-1."""
        value = self.find((node.id, index))
        if value is None:
            raise Pending(node, index)
        if isinstance(value, Const):
            return Affine((), min(max(int(value.value), 0), extent - 1))
        key = ("index", node.id, index, extent)
        found = self.find(key)
        if found is None:
            near = self.clamped(value, extent)
            found = self.memo[-1][key] = Affine.of(Dynamic(near, 0, extent - 1))
        return found

    def clamped(self, value: Any, extent: int) -> Any:
        """An integer value as an i64 index within 0 .. extent-1."""
        b, last = self.b, extent - 1
        if value.dtype == "u64":  # its upper half would turn negative
            return b.cast(b.let("minimum", value, Const(last, "u64")), "i64")
        wide = self._narrow(value, "i64")
        return b.let("minimum", b.let("maximum", wide, Const(0, "i64")), Const(last, "i64"))

    def _clamp(self, guard: Guard) -> Affine:
        return self._guard(guard)[1]

    def _guard(self, guard: Guard) -> tuple[Any, Affine]:
        """(whether the guard holds, the element it selects, clamped to those that exist)."""
        key = ("guard", guard)
        found = self.find(key)
        if found is None:
            b = self.b
            moved = b.let("sub", self.index_operand(guard.value), Const(guard.low, "i64"))
            count = (guard.high - guard.low - 1) // guard.step + 1
            place, holds = moved, None
            if guard.step > 1:
                step = Const(guard.step, "i64")
                place = b.let("floordiv", moved, step)
                holds = b.let("eq", b.let("mod", moved, step), Const(0, "i64"))
            last = Const(count - 1, "i64")
            near = b.let("minimum", b.let("maximum", place, Const(0, "i64")), last)
            same = b.let("eq", near, place)
            holds = same if holds is None else b.let("and", same, holds)
            found = (holds, Affine.of(Dynamic(near, 0, count - 1)))
            self.memo[-1][key] = found
        return found

    # --- elements that are values ---

    def fixed(self, number: Affine) -> Affine:
        """An element number in which the loops that are written out have their iteration."""
        for term, coefficient in number.terms:
            if isinstance(term, Axis):
                var, place = self.places[term]
                assert var is None, (
                    "only loops that are written out lead to elements held as values"
                )
                number = number + Affine(((term, -coefficient),), coefficient * place)
        return number

    def _picked(self, values: dict[int, Any], number: Affine) -> Any:
        """The value of an element; one of several, where run-time integers say which."""
        number = self.fixed(number)
        if not number.terms:
            return values[number.offset]
        low, high = number.range({})
        step = math.gcd(*[coefficient for _, coefficient in number.terms])
        *others, last = [n for n in range(low, high + 1, step) if n in values]
        picked, at = values[last], self.index_operand(number)
        for n in reversed(others):
            picked = self.b.select(self.b.let("eq", at, Const(n, "i64")), values[n], picked)
        return picked

    # --- places in memory ---

    def view(self, node: Node) -> View:
        """Where a stored node lies."""
        bound = self.bound.get(node)
        if bound is not None:
            assert isinstance(bound, View), f"{node!r} is held as a value"
            return bound
        if node.op is CONSTANT:
            if node not in self.constants:
                number = len(self.constants)
                while self.b.has_buffer(f"c{number}"):  # an argument may be called c0
                    number += 1
                buffer = self.b.const(f"c{number}", node.dtype, node["data"])
                self.constants[node] = View(buffer, row_major(node.shape))
            return self.constants[node]
        storage: Storage = self.plan.storage[node]
        assert isinstance(storage.view, View)
        return storage.view

    def place(self, view: View, index: Index) -> tuple[Buffer, LoopIndex]:
        """The buffer and index of an element of a view."""
        return view.buffer, self.loop_index(element_number(index, view.strides), view.base)

    def loop_index(self, value: Affine, base: LoopIndex) -> LoopIndex:
        """An element number over the loop variables that are open."""
        terms = dict(base.terms)
        offset = base.offset + value.offset
        for term, coefficient in value.terms:
            if isinstance(term, Dynamic):
                var = term.value
            else:
                var, start = self.places[term]
                offset += coefficient * start
                for base_var, step in self.bases.get(term, ()):
                    terms[base_var] = terms.get(base_var, 0) + coefficient * step
            if var is not None:
                terms[var] = terms.get(var, 0) + coefficient
        return LoopIndex(tuple(terms.items()), offset)

    def index_operand(self, value: Affine) -> Operand:
        """An index as an i64 operand."""
        from ..codegen.expression import Affine as LoopAffine

        index = self.loop_index(value, LoopIndex())
        return LoopAffine(self.b, index.terms, index.offset).operand()


def element_number(index: Index, strides: Sequence[int]) -> Affine:
    """The element number of an index."""
    total = Affine()
    for i, stride in zip(index, strides, strict=True):
        total = total + i * stride
    return total
