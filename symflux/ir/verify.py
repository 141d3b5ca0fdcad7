"""The verifier of graphs: what holds for every graph between any two passes.

1. An input of the graph is a node of op ``input``, listed once.
2. Every ``input`` node that an output depends on is listed among the inputs.
3. A node's op is the registered op of that name, and its inputs are older than the node (so that
   graphs have no cycles, and the order of ids is an order of evaluation).
4. A node has the type that its op infers from its inputs and attributes.
5. Attributes are sorted by name and made of bool, int, float, str, bytes, None, tuples of those,
   graphs and tuples of graphs: they hash, compare and print. Shapes hold plain ints.
6. The data of a constant has the size of its type.
7. A node with several results (a tuple type) is used by ``item`` nodes only; outputs are arrays.
8. All this holds within every graph that is an attribute, which sees nothing but its own inputs.
"""

from __future__ import annotations

import itertools
from typing import Any

from ..errors import VerifyError
from .graph import Graph
from .node import CONSTANT, INPUT, ITEM, Node
from .op import registered
from .types import ArrayType, TupleType, numpy_dtype

__all__ = ["GraphVerifyError", "verify"]

_SCALARS = (bool, int, float, str, bytes, type(None))


class GraphVerifyError(VerifyError):
    """A graph that breaks an invariant: ``rule`` is its number in ``symflux/ir/verify.py``."""

    def __init__(self, rule: int, message: str, graph: Graph, node: Node | None = None) -> None:
        where = f"graph {graph.name}" + (f", {node!r}" if node is not None else "")
        place = node.origin if node is not None else None
        super().__init__(f"rule {rule}: {message}\n  in {where}", place=place)
        self.rule = rule
        self.node = node


def verify(graph: Graph) -> Graph:
    """Check every invariant; returns the graph itself, so that calls chain.

    Raises:
        GraphVerifyError: names the rule, the node and the user's line it came from.

    >>> from symflux.ir import Graph, symbol
    >>> x, y = symbol("x"), symbol("y")
    >>> try:
    ...     verify(Graph("f", (x,), (x * y,)))
    ... except GraphVerifyError as error:
    ...     print(error.what.splitlines()[0])
    rule 2: input y is not among the inputs of the graph
    """
    waiting = [graph]
    seen = {id(graph)}
    while waiting:
        for inner in _verify_one(waiting.pop()):
            if id(inner) not in seen:
                seen.add(id(inner))
                waiting.append(inner)
    return graph


def _verify_one(graph: Graph) -> list[Graph]:
    """Check this graph alone; returns the graphs among its attributes."""
    listed: set[int] = set()
    for x in graph.inputs:
        if not isinstance(x, Node) or x.op is not INPUT:
            raise GraphVerifyError(1, "an input must be a node of op input", graph, x)
        if x.id in listed:
            raise GraphVerifyError(1, f"input {x['name']} is listed twice", graph, x)
        listed.add(x.id)
    ops = registered()
    inner: list[Graph] = []
    for node in _reached(graph):
        op = node.op
        if op is INPUT and node.id not in listed:
            message = f"input {node['name']} is not among the inputs of the graph"
            raise GraphVerifyError(2, message, graph, node)
        if ops.get(op.name) is not op:
            raise GraphVerifyError(3, f"op {op.name} is not in the table of ops", graph, node)
        for x in node.inputs:
            if x.id >= node.id:
                raise GraphVerifyError(3, "an input is younger than its user", graph, node)
            if isinstance(x.type, TupleType) and op is not ITEM:
                raise GraphVerifyError(7, "only item can use several results", graph, node)
        _verify_type(graph, node)
        inner += _verify_attributes(graph, node)
    for y in graph.outputs:
        if not isinstance(y.type, ArrayType):
            raise GraphVerifyError(7, "an output must be one array", graph, y)
    return inner


def _reached(graph: Graph) -> list[Node]:
    """All nodes by id. Not ``graph.nodes``: this one must not trust the graph."""
    seen: dict[int, Node] = {}
    stack: list[Node] = [*graph.inputs, *graph.outputs]
    while stack:
        node = stack.pop()
        known = seen.setdefault(node.id, node)
        if known is not node:
            raise GraphVerifyError(3, "two nodes have the same id", graph, node)
        stack += [x for x in node.inputs if seen.get(x.id) is not x]
    return [seen[key] for key in sorted(seen)]


def _verify_type(graph: Graph, node: Node) -> None:
    if isinstance(node.type, ArrayType) and not all(type(n) is int and n >= 0 for n in node.shape):
        raise GraphVerifyError(5, f"shape {node.shape} is no tuple of plain ints", graph, node)
    try:
        inferred = node.op.infer(*[x.type for x in node.inputs], **dict(node.attrs))
    except (TypeError, ValueError, AssertionError, IndexError) as error:
        raise GraphVerifyError(4, f"the op rejects its inputs: {error}", graph, node) from error
    if inferred != node.type:
        message = f"the op infers {inferred}, the node says {node.type}"
        raise GraphVerifyError(4, message, graph, node)


def _verify_attributes(graph: Graph, node: Node) -> list[Graph]:
    names = [name for name, _ in node.attrs]
    if any(a >= b for a, b in itertools.pairwise(names)):
        raise GraphVerifyError(5, "attributes are not sorted by name", graph, node)
    inner: list[Graph] = []
    for name, value in node.attrs:
        if isinstance(value, Graph):
            inner.append(value)
        elif type(value) is tuple and any(isinstance(v, Graph) for v in value):
            if not all(isinstance(v, Graph) for v in value):
                raise GraphVerifyError(5, f"attribute {name} mixes graphs and data", graph, node)
            inner += value
        elif not _plain(value):
            raise GraphVerifyError(5, f"attribute {name}={value!r} is no plain data", graph, node)
    if node.op is CONSTANT:
        wanted = node.type.size * numpy_dtype(node.dtype).itemsize
        if len(node["data"]) != wanted:
            message = f"{len(node['data'])} bytes of data, the type needs {wanted}"
            raise GraphVerifyError(6, message, graph, node)
    return inner


def _plain(value: Any) -> bool:
    if type(value) is tuple:
        return all(type(v) in _SCALARS or _plain(v) for v in value)
    return type(value) in _SCALARS
