"""Batching: a graph that maps over a new leading axis of some of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.graph import Graph
from ..ir.node import ITEM, Node, item, symbol
from ..ir.op import Rules
from ..ir.origin import exchange
from ..ir.walk import dependents, topological
from ..ops.shape import broadcast_to
from .jvp import Engine
from .placed import Placed
from .placing import place

__all__ = ["batch_graph", "batch_nodes"]


def batch_nodes(
    outputs: Sequence[Node], wrt: Sequence[Node], replacements: Sequence[Node | Placed]
) -> list[tuple[Node, bool]]:
    """``outputs`` with the nodes ``wrt`` replaced by versions that have a leading batch axis.

    Batches that are placed (see ``placed.py``) stay so as long as that is less work. Returns for
    each output the node and whether it has the batch axis (it has not when it does not depend on
    ``wrt``).
    """
    nodes = topological(outputs)
    active = dependents(nodes, wrt)
    done: dict[int, Node] = {}
    batched: dict[int, bool | tuple[bool, ...]] = {}
    placed: dict[int, Placed] = {}
    for old, new in zip(wrt, replacements, strict=True):
        if isinstance(new, Placed):
            placed[old.id] = new
        else:
            done[old.id] = new
        batched[old.id] = True
    given = {old.id for old in wrt}
    before = exchange()
    try:
        for node in nodes:
            if node.id in given:
                continue
            if node.id not in active:
                done[node.id] = node
                batched[node.id] = False
                continue
            exchange(node.origin)
            if any(x.id in placed for x in node.inputs):
                kept = _placed(node, placed, done, batched)
                if kept is not None:
                    placed[node.id] = kept
                    batched[node.id] = True
                    if not kept.is_sparse():
                        narrow = kept.narrowed()
                        if narrow is None:
                            done[node.id] = placed.pop(node.id).dense()
                        else:
                            placed[node.id] = narrow
                    continue
            inputs = [done[x.id] for x in node.inputs]
            if node.op is ITEM:
                flags = batched[node.inputs[0].id]  # one, if no result of the region has the axis
                done[node.id] = item(inputs[0], node["index"])
                batched[node.id] = flags[node["index"]] if isinstance(flags, tuple) else flags
                continue
            which = [bool(batched[x.id]) for x in node.inputs]
            if not any(which):  # depends on wrt through a result of a region that lacks the axis
                done[node.id] = node.op(*inputs, **node.attributes)
                batched[node.id] = False
                continue
            if isinstance(
                node.op.derivative, Rules
            ):  # a region: it says which results have the axis
                done[node.id], batched[node.id] = node.op.batch(
                    Engine, inputs, which, **node.attributes
                )
            else:
                done[node.id] = node.op.batch(inputs, which, **node.attributes)
                batched[node.id] = True
        for node in outputs:
            if node.id not in done:
                exchange(node.origin)
                done[node.id] = placed[node.id].dense()
    finally:
        exchange(before)
    return [(done[node.id], bool(batched[node.id])) for node in outputs]


def _placed(
    node: Node, placed: dict[int, Placed], done: dict[int, Node], batched: dict[int, Any]
) -> Placed | None:
    """The node's value as a placed batch, if there is one; else those of its operands are made
    dense."""
    if all(x.id in placed or not batched[x.id] for x in node.inputs):
        kept = place(node, [placed.get(x.id) or done[x.id] for x in node.inputs])
        if kept is not None:
            return kept
    for x in node.inputs:
        if x.id in placed and x.id not in done:
            done[x.id] = placed[x.id].dense()
    return None


def batch_graph(
    graph: Graph, which: Sequence[bool], size: int, force: Sequence[bool]
) -> tuple[Graph, tuple[bool, ...]]:
    """``graph`` over a leading axis of ``size`` on the inputs of ``which``.

    Outputs with ``force`` get the axis even when they do not depend on a batched input. Also
    returns which outputs have it.
    """
    new = [
        symbol(x["name"], (size, *x.shape), x.dtype) if b else x
        for x, b in zip(graph.inputs, which, strict=True)
    ]
    wrt = [x for x, b in zip(graph.inputs, which, strict=True) if b]
    results = batch_nodes(graph.outputs, wrt, [x for x, b in zip(new, which, strict=True) if b])
    outputs = []
    flags = []
    for (node, has), forced in zip(results, force, strict=True):
        if forced and not has:
            node, has = broadcast_to(node, shape=(size, *node.shape)), True
        outputs.append(node)
        flags.append(has)
    return Graph(f"batched_{graph.name}", tuple(new), tuple(outputs)), tuple(flags)
