"""The graphs among a node's attributes: the bodies of loops and branches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ir.graph import Graph
from ..ir.node import Node, apply
from ..ir.origin import exchange

__all__ = ["has_graphs", "map_attributes"]


def has_graphs(node: Node) -> bool:
    """Whether there are graphs among the node's attributes: the bodies of a region."""
    return any(
        isinstance(value, Graph) or (type(value) is tuple and value and isinstance(value[0], Graph))
        for _, value in node.attrs
    )


def map_attributes(node: Node, function: Callable[[Graph], Graph]) -> Node:
    """The node with ``function`` applied to every graph among its attributes."""
    if not has_graphs(node):
        return node
    attrs: dict[str, Any] = {}
    for name, value in node.attrs:
        if isinstance(value, Graph):
            value = function(value)
        elif type(value) is tuple and value and isinstance(value[0], Graph):
            value = tuple(function(v) for v in value)
        attrs[name] = value
    exchange(node.origin)
    return apply(node.op, node.inputs, attrs)
