"""A graph as a program of loops: buffers, kernels, memory."""

from __future__ import annotations

from collections.abc import Mapping

from ..codegen.builder import Builder
from ..codegen.ir import Program
from ..ir.graph import Graph
from ..ir.node import Node
from ..records import record
from .elements import View, row_major
from .emit import BlockEmitter
from .fuse import ContractItem, Item, RegionItem, leaves_of
from .memory import assign_offsets
from .names import buffer_names, unique
from .plan import Plan

__all__ = ["LoweredProgram", "lower"]


@record(frozen=True)
class LoweredProgram:
    """``program`` with the buffer name of each graph input and output.

    An output written in place has its input's buffer."""

    program: Program
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def lower(graph: Graph, donate: Mapping[int, int] | None = None) -> LoweredProgram:
    """Lower a graph to loops.

    Args:
        graph: verified; usually optimised.
        donate: output position -> input position whose memory that output overwrites (types equal).

    Returns:
        The program and its buffers' names. Inputs that nothing reads are buffers too.
    """
    donate = dict(donate or {})
    plan = Plan.make(graph, in_place={o: graph.inputs[i] for o, i in donate.items()})
    b = Builder(graph.name)
    bound: dict[Node, View] = {}
    inputs, outputs, names = buffer_names(graph, donate)
    donated = set(donate.values())
    for position, (node, name) in enumerate(zip(graph.inputs, inputs, strict=True)):
        make = b.inout if position in donated else b.input
        bound[node] = View(make(name, node.dtype, node.type.size), row_major(node.shape))
    for position, (node, name) in enumerate(zip(graph.outputs, outputs, strict=True)):
        if position in donate:
            view = bound[graph.inputs[donate[position]]]
        else:
            view = View(b.output(name, node.dtype, node.type.size), row_major(node.shape))
        if position in plan.outputs:
            plan.outputs[position].view = view
    temporaries = plan.temporaries()
    for number, (storage, offset) in enumerate(assign_offsets(temporaries)):
        size = storage.apart * storage.copies
        buffer = b.temp(unique(storage.name or f"t{number}", names), storage.dtype, size, offset)
        storage.view = View(buffer, storage.strides)
    emitter = BlockEmitter(b, plan, dict(bound), {})
    for number, items in enumerate(plan.kernels):
        emitter.memo = [{}]
        name, note = _describe(items)
        with b.kernel(f"k{number}_{name}" if name else f"k{number}", note):
            emitter.items(items)
            if number == len(plan.kernels) - 1:
                _late_copies(emitter, plan, graph, bound, donate)
    return LoweredProgram(b.program(), inputs, outputs)


def _late_copies(
    emitter: BlockEmitter,
    plan: Plan,
    graph: Graph,
    bound: dict[Node, View],
    donate: Mapping[int, int],
) -> None:
    for storage, position in plan.late_copies:
        target = bound[graph.inputs[donate[position]]]
        emitter._copy(target, storage.view, storage.shape)


def _describe(items: list[Item]) -> tuple[str, str]:
    """A name and a note for a kernel: its ops, and the user's lines they came from."""
    nodes: list[Node] = []
    for item in items:
        if isinstance(item, (ContractItem,)):
            nodes.append(item.root)
        elif isinstance(item, RegionItem):
            nodes.append(item.node)
        nodes.extend(leaf.nest.root for leaf in leaves_of(item))
    ops = list(dict.fromkeys(n.op.name for n in nodes))
    places = list(dict.fromkeys(str(n.origin) for n in nodes if n.origin is not None))
    name = "_".join(ops[:3]) + ("_etc" if len(ops) > 3 else "")
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return name, ", ".join(places[:3]) + more
