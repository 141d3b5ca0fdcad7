"""Forms that differentiate well, put in place before derivatives are taken.

A shift by the largest element keeps exponentials from overflowing and cancels from the result, and
so does its derivative: what flows back through it sums to zero. Written as users write it, that
zero would be computed, with a search for the elements that reach the maximum. Here the shift is
marked as a constant instead, and values do not change by a single bit.

The derivatives of an expression overflow where it does: exp(x) / sum(exp(x)) has a slope of nan
where its value is mended afterwards only. So the stable forms come before derivatives too, in the
bodies of loops and branches as well, and the smooth forms of what is composed of kinks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from ..ir.graph import Graph
from ..ir.node import Node
from ..ir.walk import rewrite as rebuild_all
from ..ir.walk import topological
from .bodies import has_graphs, map_attributes

__all__ = ["prepare"]

#: Names of the ops without which no law holds.
_HEADS = frozenset(
    (
        *("abs", "copysign", "cosh", "erf", "erfc", "exp", "expm1", "hypot", "log"),
        *("log1p", "pow", "sigmoid"),
        *("sin", "sinh", "softplus", "sqrt", "tanh"),
    )
)

#: From outputs to equal ones.
Step: TypeAlias = Callable[[Sequence[Node]], list[Node]]


def prepare(outputs: Sequence[Node], expand: Step | None = None) -> list[Node]:
    """Equal outputs whose derivatives are cheaper or defined in more places.

    ``expand`` is applied to outputs whose squares of roots and stable forms are in place.

    >>> from symflux.ir import symbol
    >>> from symflux.ops import exp, max_, sum_
    >>> x = symbol("x", (3,))
    >>> weights = exp(x - max_(x, axes=(0,)))
    >>> (softmax,) = prepare([weights / sum_(weights, axes=(0,))])
    >>> softmax.inputs[0].inputs[0].inputs[1].op.name
    'stop_gradient'
    """
    order = topological(outputs)
    if any(has_graphs(node) for node in order):

        def body(graph: Graph) -> Graph:
            return _prepared(graph, expand)

        outputs = rebuild_all(outputs, lambda node: map_attributes(node, body))
        order = topological(outputs)
    if not any(node.op.name in _HEADS for node in order):
        return list(outputs)
    from .shifts import apply, apply_to_exponentials  # most graphs need no laws: not loaded then

    outputs = apply(outputs, order)
    outputs = outputs if expand is None else expand(outputs)
    # afterwards: quotients that are part of larger ones are not to be taken by themselves
    if any(x.op.name in ("cosh", "exp", "expm1") for x in order):
        outputs = apply_to_exponentials(outputs)
    return outputs


def _prepared(body: Graph, expand: Step | None) -> Graph:  # recursion over nested regions only
    outputs = tuple(prepare(body.outputs, expand))
    if outputs == body.outputs:
        return body
    return Graph(body.name, body.inputs, outputs, body.output_names)
