"""Walks over graphs: order, users, substitution. All iterative: a graph may have 10^6 nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from .node import Node, rebuild
from .origin import exchange

__all__ = ["dependents", "rewrite", "substitute", "topological", "use_counts"]


def topological(outputs: Iterable[Node], since: int = 0) -> list[Node]:
    """All nodes that ``outputs`` depend on, inputs before users, in order of creation; those
    older than the one with the id ``since`` are left out."""
    seen = {node.id: node for node in outputs if node.id >= since}
    stack = list(seen.values())
    while stack:
        for node in stack.pop().inputs:
            if node.id not in seen and node.id >= since:
                seen[node.id] = node
                stack.append(node)
    return [seen[key] for key in sorted(seen)]


def dependents(nodes: Sequence[Node], roots: Iterable[Node]) -> set[int]:
    """The ids of those among ``nodes`` (in topological order) that depend on a root, roots
    included."""
    found = {root.id for root in roots}
    for node in nodes:
        for x in node.inputs:
            if x.id in found:
                found.add(node.id)
                break
    return found


def use_counts(nodes: Iterable[Node], outputs: Iterable[Node]) -> dict[int, int]:
    """How often each node is used, as an input or as an output."""
    counts: dict[int, int] = {}
    for node in nodes:
        for x in node.inputs:
            counts[x.id] = counts.get(x.id, 0) + 1
    for node in outputs:
        counts[node.id] = counts.get(node.id, 0) + 1
    return counts


def rewrite(outputs: Sequence[Node], rule: Callable[[Node], Node]) -> list[Node]:
    """Rebuild bottom-up: ``rule`` sees each node with its inputs already rewritten.

    What takes a node's place comes from the same line."""
    done: dict[Node, Node] = {}
    before = exchange()
    try:
        for node in topological(outputs):
            exchange(node.origin)
            inputs = tuple([done[x] for x in node.inputs])
            done[node] = rule(rebuild(node, inputs))
    finally:
        exchange(before)
    return [done[node] for node in outputs]


def substitute(outputs: Sequence[Node], replacement: Mapping[Node, Node]) -> list[Node]:
    """``outputs`` with each key of ``replacement`` replaced by its value; other nodes are shared.

    Rebuilt nodes come from the line of the node that they stand for."""
    done: dict[Node, Node] = {}
    before = exchange()
    try:
        for node in topological(outputs):
            if node in replacement:
                done[node] = replacement[node]
                continue
            inputs = tuple([done[x] for x in node.inputs])
            if inputs == node.inputs:
                done[node] = node
            else:
                exchange(node.origin)
                done[node] = rebuild(node, inputs)
    finally:
        exchange(before)
    return [done[node] for node in outputs]
