"""Emits region ops: loops that carry values, branches; and scatter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..codegen.ir import Const
from ..codegen.ir import Index as LoopIndex
from ..ir.graph import Graph
from ..ir.node import Node, item
from ..thresholds import thresholds
from .elements import ElementEmitter, View, row_major
from .plan import Plan

__all__ = ["RegionEmitter"]


class RegionEmitter(ElementEmitter):
    """The part of the emitter that region ops call: ``op.lower(emitter, node)``."""

    # --- operands and results ---

    def _operand(self, node: Node) -> Any:
        """A region's input: a value when scalar, else where it lies."""
        if node.shape == ():
            return self.value(node, ())
        return self.view(node)

    def _result_view(self, node: Node, index: int) -> View:
        """Where result ``index`` of a region lies."""
        key = item(node, index)
        storage = self.plan.storage.get(key) or self.plan.extra[node, index]
        return storage.view

    def _bind_scalar(self, node: Node, index: int, value: Any) -> None:
        """A scalar result: at hand from here on, and stored where memory is wanted."""
        key = item(node, index)
        self.memo[-1][key.id, ()] = value
        storage = self.plan.storage.get(key)
        if storage is not None:
            self.b.store(*self.place(storage.view, ()), value)

    def _copy(self, target: View, source: Any, shape: tuple[int, ...]) -> None:
        """Copy an array between two places of the same contiguous shape."""
        size = 1
        for n in shape:
            size *= n
        if (target.buffer is source.buffer and target.base == source.base) or size == 0:
            return
        if source.strides == row_major(shape) == target.strides:
            mode = "vector" if size > thresholds.unroll else "unroll"
            with self.b.loop(size, mode) as i:  # type: ignore[arg-type]
                at = _plus(source.base, i.var)
                self.b.store(
                    target.buffer, _plus(target.base, i.var), self.b.load(source.buffer, at)
                )
            return
        raise AssertionError("regions take whole arrays")

    def block(
        self, graph: Graph, plan: Plan, inputs: Sequence[Any], outputs: dict[int, View]
    ) -> list[Any]:
        """Emit a region's graph here; returns the scalar outputs (None for those in memory)."""
        from .emit import BlockEmitter

        bound = dict(zip(graph.inputs, inputs, strict=True))
        inner = BlockEmitter(self.b, plan, bound, self.constants)
        for position, storage in plan.outputs.items():
            storage.view = outputs[position]
        for items in plan.kernels:
            inner.items(items)
        for storage, position in plan.late_copies:
            self._copy(outputs[position], storage.view, storage.shape)
        return [inner.value(node, ()) if node.shape == () else None for node in graph.outputs]

    # --- the regions ---

    def pack(self, node: Node) -> None:
        """Results that are other values: scalars are bound, arrays copied."""
        for index, x in enumerate(node.inputs):
            if x.shape == ():
                self._bind_scalar(node, index, self._operand(x))
            else:
                self._copy(self._result_view(node, index), self._operand(x), x.shape)

    def cond(self, node: Node) -> None:
        """A branch: arrays are written to the same place by either side, scalars are yielded."""
        predicate, *operands = [self._operand(x) for x in node.inputs]
        types = node.type.items
        views = {i: self._result_view(node, i) for i, t in enumerate(types) if t.shape != ()}
        plans = dict(
            zip(
                [n for n, v in node.attrs if isinstance(v, Graph)],
                self.plan.bodies[node],
                strict=True,
            )
        )
        scalar = [i for i, t in enumerate(types) if t.shape == ()]
        with self.b.if_(predicate) as branch:
            self.memo.append({})
            values = self.block(node["then"], plans["then"], operands, views)
            branch.yield_(*[values[i] for i in scalar])
            self.memo.pop()
        with branch.otherwise:
            self.memo.append({})
            values = self.block(node["otherwise"], plans["otherwise"], operands, views)
            branch.otherwise.yield_(*[values[i] for i in scalar])
            self.memo.pop()
        for i, value in zip(scalar, branch.results, strict=True):
            self._bind_scalar(node, i, value)

    def scan(self, node: Node) -> None:
        """A loop: scalar carries live in registers, array carries are updated in place."""
        carry, consts, length = node["carry"], node["consts"], node["length"]
        body: Graph = node["body"]
        (plan,) = self.plan.bodies[node]
        operands = [self._operand(x) for x in node.inputs]
        inits, sequences, constants = _split(operands, carry, consts)
        types = node.type.items
        views = {i: self._result_view(node, i) for i, t in enumerate(types) if t.shape != ()}
        for i in range(carry):
            if i in views:
                self._copy(views[i], inits[i], types[i].shape)
        registers = [i for i in range(carry) if i not in views]
        with self.b.loop(length, "serial", [inits[i] for i in registers]) as loop:
            self.memo.append({})
            step = _at(loop.var, length, node["reverse"])
            number = (
                self.b.let("sub", Const(length - 1, "i64"), loop.var)
                if node["reverse"]
                else loop.var
            )
            params = dict(zip(registers, loop.params, strict=True))
            inputs: list[Any] = [number]
            inputs += [params[i] if i in params else views[i] for i in range(carry)]
            for x, view in zip(
                node.inputs[carry : len(node.inputs) - consts], sequences, strict=True
            ):
                inputs.append(self._element(view, x.shape, step))
            inputs += constants
            targets = {i: views[i] for i in range(carry) if i in views}
            for i in range(carry, len(types)):
                targets[i] = self._slot(views[i], types[i].shape, step)
            values = self.block(body, plan, inputs, targets)
            for i in range(carry, len(types)):
                if types[i].shape[1:] == ():
                    self.b.store(targets[i].buffer, targets[i].base, values[i])
            if registers:
                loop.yield_(*[values[i] for i in registers])
            self.memo.pop()
        for i, value in zip(registers, loop.results, strict=True):
            self._bind_scalar(node, i, value)

    def _slot(self, view: View, shape: tuple[int, ...], step: LoopIndex) -> View:
        """Element ``step`` along the first axis of a stored array, as a place."""
        stride = 1
        for n in shape[1:]:
            stride *= n
        return View(view.buffer, row_major(shape[1:]), _sum(view.base, step, stride))

    def _element(self, view: View, shape: tuple[int, ...], step: LoopIndex) -> Any:
        """Element ``step`` of a sequence: a value when scalar, else a place."""
        slot = self._slot(view, shape, step)
        return self.b.load(slot.buffer, slot.base) if len(shape) == 1 else slot

    def while_loop(self, node: Node) -> None:
        """A loop without a known length."""
        consts = node["consts"]
        names = [n for n, v in node.attrs if isinstance(v, Graph)]
        plans = dict(zip(names, self.plan.bodies[node], strict=True))
        operands = [self._operand(x) for x in node.inputs]
        carry = len(operands) - consts
        types = node.type.items
        views = {i: self._result_view(node, i) for i, t in enumerate(types) if t.shape != ()}
        for i, view in views.items():
            self._copy(view, operands[i], types[i].shape)
        registers = [i for i in range(carry) if i not in views]
        with self.b.while_([operands[i] for i in registers]) as loop:
            self.memo.append({})
            params = dict(zip(registers, loop.params, strict=True))
            inputs = [params[i] if i in params else views[i] for i in range(carry)]
            inputs += operands[carry:]
            (going,) = self.block(node["test"], plans["test"], inputs, {})
            loop.condition(going)
            self.memo[-1].clear()
            values = self.block(node["body"], plans["body"], inputs, views)
            loop.yield_(*[values[i] for i in registers])
            self.memo.pop()
        for i, value in zip(registers, loop.results, strict=True):
            self._bind_scalar(node, i, value)

    def scatter_add(self, node: Node) -> None:
        """Zeros, then ``result[.., indices, ..] += updates`` in row-major order of the updates."""
        from .affine import Affine, Axis, Dynamic
        from .reading import flat_index

        updates, indices = node.inputs
        axis, size = node["axis"], node["size"]
        batch = node.attributes.get("batch", 0)
        target: View = self.plan.storage[node].view
        b = self.b
        total = node.type.size
        with b.loop(total, "vector" if total > thresholds.unroll else "unroll") as i:
            b.store(target.buffer, _plus(target.base, i.var), b.operand(0, node.dtype))
        axes = [Axis(n) for n in updates.shape]
        places = tuple(Affine.of(a) for a in axes)
        end = axis + len(indices.shape) - batch

        def add() -> None:
            self.memo.append({})
            own = (*places[:batch], *places[axis:end]) if indices.shape else ()
            near = self.clamped(self.value(indices, own), size)
            to = (*places[:axis], Affine.of(Dynamic(near, 0, size - 1)), *places[end:])
            where = self.loop_index(flat_index(to, node.shape), target.base)
            value = self.value(updates, places)
            b.store(target.buffer, where, b.let("add", b.load(target.buffer, where), value))
            self.memo.pop()

        if 0 not in updates.shape:
            self._serial(axes, add)

    def _serial(self, axes: Sequence[Any], body: Any) -> None:
        """Nested loops in order."""
        if not axes:
            body()
            return
        with self.b.loop(axes[0].extent, "serial") as handle:
            self.places[axes[0]] = (handle.var, 0)
            self.ranges[axes[0]] = (0, axes[0].extent - 1)
            self._serial(axes[1:], body)


def _split(
    values: Sequence[Any], carry: int, consts: int
) -> tuple[list[Any], list[Any], list[Any]]:
    last = len(values) - consts
    return list(values[:carry]), list(values[carry:last]), list(values[last:])


def _plus(base: LoopIndex, var: Any) -> LoopIndex:
    return LoopIndex((*base.terms, (var, 1)), base.offset)


def _at(var: Any, length: int, reverse: bool) -> LoopIndex:
    """The number of the element of this iteration."""
    return LoopIndex(((var, -1),), length - 1) if reverse else LoopIndex(((var, 1),))


def _sum(base: LoopIndex, step: LoopIndex, stride: int) -> LoopIndex:
    terms = (*base.terms, *((v, c * stride) for v, c in step.terms))
    return LoopIndex(terms, base.offset + step.offset * stride)
