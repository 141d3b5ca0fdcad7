"""Numerically stable forms of expressions that users write as they stand in books.

Each law says on which domain it is better. Where the original is accurate, none changes its value
by more than a few units in the last place; most turn a spurious inf, nan or loss of digits into the
value.
"""

from __future__ import annotations

import itertools

from ..ir.node import Node
from ..ir.op import Kind
from ..ops.composed import logsumexp, softmax
from ..ops.elementwise import add, neg, sub
from ..ops.reduce import max_
from ..ops.shape import broadcast_to, reshape
from .rewrite import Law, Scope, law, rule

__all__ = ["LOGISTIC", "STABLE", "bare", "is_shifted", "spread_sum"]

#: the logistic function as it is written by hand: its derivative is not finite where exp overflows
LOGISTIC: tuple[Law, ...] = (
    law("1 / (1 + exp(-x))", "sigmoid(x)", grade="accurate",
        domain="everywhere: the same function"),
    law("reciprocal(1 + exp(-x))", "sigmoid(x)", grade="accurate",
        domain="everywhere: the same function"),
    law("1 / (1 + exp(x))", "sigmoid(-x)", grade="accurate",
        domain="everywhere: the same function"),
    law("exp(x) / (1 + exp(x))", "sigmoid(x)", grade="accurate",
        domain="everywhere: exp overflows above 709, and inf / inf is nan"),
)  # fmt: skip

_ELEMENTARY: tuple[Law, ...] = (
    *LOGISTIC,
    law("log(1 + x)", "log1p(x)", grade="accurate",
        domain="x > -1: 1 + x rounds the digits of a small x away"),
    law("log(1 - x)", "log1p(-x)", grade="accurate",
        domain="x < 1: 1 - x rounds the digits of a small x away"),
    law("exp(x) - 1", "expm1(x)", grade="accurate",
        domain="everywhere: exp(x) is close to 1 for small x, and the digits of x are lost in it"),
    law("log(exp(x))", "x", grade="accurate",
        domain="everywhere: exp overflows above 709 and underflows below -745 (float64)"),
    law("exp(log(x))", "x", grade="fast", domain="x > 0; the original is nan for x < 0"),
    law("log1p(expm1(x))", "x", grade="accurate", domain="everywhere, as log(exp(x))"),
    law("log(sqrt(x))", "0.5 * log(x)", grade="accurate",
        domain="everywhere: halving is exact; nan for x < 0 in both"),
    law("sqrt(x * x)", "abs(x)", grade="accurate",
        domain="everywhere: x * x overflows above 1e154 and underflows below 1e-162 (float64)"),
    law("log1p(exp(x))", "softplus(x)", grade="accurate",
        domain="everywhere: exp overflows for large x, where the result is x"),
    law("log(sigmoid(x))", "-softplus(-x)", grade="accurate",
        domain="everywhere: sigmoid underflows for x < -745, and rounds to 1 for x > 37"),
    law("log1p(-sigmoid(x))", "-softplus(x)", grade="accurate",
        domain="everywhere: sigmoid rounds to 1 for x > 37, where the result is -x"),
    law("1 - erf(x)", "erfc(x)", grade="accurate",
        domain="x > 0.5: erf rounds to 1 above 6, where erfc is tiny but not 0"),
    law("1 - erfc(x)", "erf(x)", grade="accurate",
        domain="|x| < 0.5: erfc is close to 1 there"),
)  # fmt: skip


def bare(node: Node) -> Node:
    """The node below maps that only repeat elements or add extents of 1."""
    while node.op in (broadcast_to, reshape):
        node = node.inputs[0]
    return node


def spread_sum(node: Node, x: Node) -> tuple[int, ...] | None:
    """The axes, if ``node`` is ``sum(x, axes)`` broadcast back over these axes of x."""
    total = bare(node)
    if total.op.name != "sum" or total.inputs[0] is not x:
        return None
    axes: tuple[int, ...] = total["axes"]
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    shapes = [x.shape, kept]
    while kept and kept[0] == 1:
        kept = kept[1:]
        shapes.append(kept)
    y = node
    while y is not total:
        if y.shape not in shapes:
            return None
        y = y.inputs[0]
    return axes if total.shape in shapes or node is not total else None


def is_shifted(x: Node, axes: tuple[int, ...], scope: Scope) -> bool:
    """Whether x is ``y - max(y, axes)``, in whatever way the maximum is guarded and broadcast.

    What other laws make of the difference and of the maximum counts as well: ``-(z + shift)`` is
    ``-z - shift``, and the maximum of a transposed array is the maximum of the array."""
    for y, shift in _differences(x):
        largest = bare(scope.normal(max_(y, axes=axes)))
        stack = [(shift, 8)]
        while stack:
            node, depth = stack.pop()
            if node is largest:
                return True
            if depth and node.op.kind in (Kind.POINTWISE, Kind.INDEX_MAP):
                stack += [(y, depth - 1) for y in node.inputs]
    return False


def _differences(x: Node) -> list[tuple[Node, Node]]:
    """The pairs of nodes whose difference x is: one for ``y - z``, two for ``-(y + z)``."""
    if x.op is sub:
        pairs = [x.inputs]
    elif x.op is neg and x.inputs[0].op is add:
        pairs = [(neg(y), z) for y, z in itertools.permutations(x.inputs[0].inputs)]
    else:
        pairs = []
    return [(y, z) for y, z in pairs if y.shape == x.shape]


@rule(
    "log (sum (exp x)) = logsumexp x",
    "log",
    ("sum",),
    grade="accurate",
    examples="x: f64[3,4] ; exp x ; sum %0 axes=(1,) ; log %1",
    domain="everywhere: exp overflows above 709 and underflows below -745 (float64)",
)
def log_sum_exp(node: Node, scope: Scope) -> Node | None:
    """log sum exp(x) = m + log sum exp(x - m), m = max x (Blanchard, Higham and Higham 2021)."""
    total = node.inputs[0]
    weights = total.inputs[0]
    if weights.op.name != "exp" or is_shifted(weights.inputs[0], total["axes"], scope):
        return None
    return logsumexp(weights.inputs[0], axis=total["axes"])


@rule(
    "exp x / sum (exp x) = softmax x",
    "div",
    ("exp",),
    grade="accurate",
    examples=(
        "x: f64[3,4] ; exp x ; sum %0 axes=(1,) ; reshape %1 shape=(3, 1) ; div %0, %2",
        "x: f64[4] ; exp x ; sum %0 axes=(0,) ; div %0, %1",
    ),
    domain="everywhere: exp overflows above 709, and inf / inf is nan; underflows below -745",
)
def naive_softmax(node: Node, scope: Scope) -> Node | None:
    """A common factor exp(-max x) cancels, and keeps every term at most 1."""
    weights, total = node.inputs
    axes = spread_sum(total, weights)
    if axes is None or is_shifted(weights.inputs[0], axes, scope):
        return None
    return softmax(weights.inputs[0], axis=axes)


@rule(
    "log (exp x / sum (exp x)) = x - log (sum (exp x))",
    "log",
    ("div",),
    grade="accurate",
    examples="x: f64[3,4] ; max x axes=(1,) ; reshape %0 shape=(3, 1) ; sub x, %1 ; exp %2"
    " ; sum %3 axes=(1,) ; reshape %4 shape=(3, 1) ; div %3, %5 ; log %6",
    domain="everywhere: a softmax that underflows to 0 has a finite logarithm",
)
def log_softmax(node: Node, scope: Scope) -> Node | None:
    """Of a softmax whose argument is shifted by its maximum (which the law above sees to)."""
    weights, total = node.inputs[0].inputs
    if weights.op.name != "exp":
        return None
    axes = spread_sum(total, weights)
    if axes is None or not is_shifted(weights.inputs[0], axes, scope):
        return None
    return weights.inputs[0] - node.op(total)


STABLE: tuple[Law, ...] = (*_ELEMENTARY, log_sum_exp, naive_softmax, log_softmax)
