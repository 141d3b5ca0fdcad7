"""The slow interpreter of graphs: what a graph means, node by node, in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import SymFluxError
from ..ir.graph import Graph
from ..ir.node import INPUT, Node
from ..ir.op import Rules
from ..ir.types import ArrayType, TupleType, numpy_dtype
from ..ir.walk import use_counts

__all__ = ["EvaluationError", "evaluate"]


class EvaluationError(SymFluxError, ValueError):
    """Arguments that do not fit the graph, or an oracle that breaks its op's type rule."""


def evaluate(graph: Graph, arrays: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    """The outputs of ``graph`` for these arguments, by the NumPy meaning (oracle) of each op.

    This is the reference for the compiler's tests: no rewriting, no fusing, each node computed
    once, each intermediate freed after its last use. Floating-point warnings are silent, as in
    native code.

    Args:
        graph: any graph; regions run by recursion.
        arrays: one array or scalar per input, of exactly its shape; the dtype is converted when
            NumPy calls that safe.

    Raises:
        EvaluationError: for arguments of another number, shape or dtype, and when an oracle returns
            something else than its op's type says.

    >>> from symflux.ir import Graph, symbol
    >>> x = symbol("x", (3,))
    >>> evaluate(Graph("f", (x,), (x * x + 1.0,)), [[1.0, 2.0, 3.0]])
    [array([ 2.,  5., 10.])]
    """
    if len(arrays) != len(graph.inputs):
        wanted = len(graph.inputs)
        raise EvaluationError(f"{graph.name} takes {wanted} arguments, not {len(arrays)}")
    values: dict[int, Any] = {
        x.id: _argument(x, array) for x, array in zip(graph.inputs, arrays, strict=True)
    }
    nodes = graph.nodes
    uses = use_counts(nodes, graph.outputs)
    with np.errstate(all="ignore"):
        for node in nodes:
            if node.op is INPUT:
                if node.id not in values:
                    raise EvaluationError(f"{graph.name} does not list its input {node['name']}")
                continue
            values[node.id] = _value(node, [values[x.id] for x in node.inputs])
            for x in node.inputs:
                uses[x.id] -= 1
                if not uses[x.id]:
                    del values[x.id]
    # An output may be an argument, or a view of one: hand out arrays of one's own.
    return [np.array(values[y.id]) for y in graph.outputs]


def _argument(node: Node, array: Any) -> np.ndarray[Any, Any]:
    given = np.asarray(array)
    dtype = numpy_dtype(node.dtype)
    if given.shape != node.shape or not np.can_cast(given.dtype, dtype, "safe"):
        raise EvaluationError(
            f"input {node['name']} is {node.type}, got shape {given.shape}, {given.dtype}"
        )
    return given.astype(dtype, copy=False)


def _value(node: Node, inputs: list[Any]) -> Any:
    attrs = node.attributes
    if isinstance(node.op.derivative, Rules):  # a region: it evaluates graphs
        attrs["evaluate"] = evaluate
    result = node.op.oracle(*inputs, **attrs)
    if isinstance(node.type, TupleType):
        if len(result) != len(node.type.items):
            raise EvaluationError(f"{node!r}: the oracle gave {len(result)} results")
        return tuple(_checked(node, y, t) for y, t in zip(result, node.type.items, strict=True))
    return _checked(node, result, node.type)


def _checked(node: Node, result: Any, wanted: ArrayType) -> np.ndarray[Any, Any]:
    array = np.asarray(result)
    if array.shape != wanted.shape or array.dtype != numpy_dtype(wanted.dtype):
        got = f"shape {array.shape}, {array.dtype}"
        raise EvaluationError(f"{node!r}: the oracle gave {got} instead of {wanted}")
    # NumPy's sums and products depend on the layout of their operands; a value must not.
    return array if array.flags.c_contiguous else array.copy(order="C")
