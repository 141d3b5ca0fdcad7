"""Laws of forms that differentiate well: constant shifts, slopes that do not overflow."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.node import Node
from ..ops.elementwise import exp, log, stop_gradient, sub
from ..ops.reduce import sum_
from ..ops.shape import broadcast_to, reshape
from .exponentials import SLOPES
from .rewrite import Law, Laws, Scope, law, rewrite, rule
from .seams import SEAMS
from .stable import MEANS, ONES, STABLE, bare, is_shifted, spread_sum

__all__ = ["PREPARE", "apply", "apply_to_exponentials"]


def _marked(node: Node, shift: Node, stops: Sequence[Node]) -> Node:
    """``node`` with ``shift`` as a constant; nothing below ``stops`` is touched."""
    done: dict[Node, Node] = {shift: stop_gradient(shift), **{x: x for x in stops}}
    stack = [node]
    while stack:
        top = stack[-1]
        waiting = [x for x in top.inputs if x not in done and top.op in _OUTER]
        if top in done or not waiting:
            stack.pop()
        if top in done:
            continue
        if waiting:
            stack += waiting
        elif top.op in _OUTER:
            inputs = [done[x] for x in top.inputs]
            done[top] = top.op(*inputs, **top.attributes)
        else:
            done[top] = top
    return done[node]


#: what stands around the shift in the expressions below
_OUTER = (sub, exp, log, sum_, broadcast_to, reshape)


def _shift_of(x: Node, axes: tuple[int, ...], scope: Scope) -> Node | None:
    """What is subtracted in x, when that is a maximum and not a constant already."""
    if x.op is not sub or not is_shifted(x, axes, scope):
        return None
    shift = bare(x.inputs[1])
    return None if shift.op is stop_gradient else shift


def _log_sum(node: Node, scope: Scope) -> tuple[Node, Node] | None:
    """(x - shift, shift) if the node is ``log(sum(exp(x - shift)))``, repeated or reshaped."""
    total = bare(node)
    if total.op is not log:
        return None
    total = bare(total.inputs[0])
    if total.op is not sum_ or total.inputs[0].op is not exp:
        return None
    x = total.inputs[0].inputs[0]
    shift = _shift_of(x, total["axes"], scope)
    return None if shift is None else (x, shift)


_ROWS = (
    "x: f64[3,4] ; max x axes=(1,) ; reshape %0 shape=(3, 1) ; sub x, %1 ; exp %2"
    " ; sum %3 axes=(1,)"
)


@rule(
    "the shift of a softmax is constant",
    "div",
    ("exp",),
    examples=f"{_ROWS} ; reshape %4 shape=(3, 1) ; div %3, %5",
)
def shift_of_softmax(node: Node, scope: Scope) -> Node | None:
    """A factor exp(-shift) above and below."""
    weights, total = node.inputs
    axes = spread_sum(total, weights)
    shift = None if axes is None else _shift_of(weights.inputs[0], axes, scope)
    if shift is None:
        return None
    x = weights.inputs[0].inputs[0]
    return node.op(_marked(weights, shift, [x]), _marked(total, shift, [x]))


@rule(
    "the shift of a log softmax is constant",
    "sub",
    ("sub",),
    examples=f"{_ROWS} ; log %4 ; reshape %5 shape=(3, 1) ; sub %2, %6",
)
def shift_of_log_softmax(node: Node, scope: Scope) -> Node | None:
    """(y - shift) - log(sum(exp(x - shift)))."""
    moved, logarithm = node.inputs
    found = _log_sum(logarithm, scope)
    if found is None or bare(moved.inputs[1]) is not found[1]:
        return None
    x, shift = found
    y = moved.inputs[0]
    return node.op(_marked(moved, shift, [y]), _marked(logarithm, shift, [x.inputs[0]]))


def _shift_of_logsumexp(node: Node, first: int, scope: Scope) -> Node | None:
    outer, logarithm = node.inputs[first], node.inputs[1 - first]
    found = _log_sum(logarithm, scope)
    if found is None or bare(outer) is not found[1]:
        return None
    x, shift = found
    parts = [_marked(outer, shift, []), _marked(logarithm, shift, [x.inputs[0]])]
    return node.op(*(parts if first == 0 else parts[::-1]))


@rule(
    "the shift of a logsumexp is constant",
    "add",
    examples=(f"{_ROWS} ; log %4 ; add %5, %0", f"{_ROWS} ; log %4 ; add %0, %5"),
)
def shift_of_logsumexp(node: Node, scope: Scope) -> Node | None:
    """shift + log(sum(exp(x - shift)))."""
    return _shift_of_logsumexp(node, 0, scope) or _shift_of_logsumexp(node, 1, scope)


#: whose slopes are infinity by infinity where the exponential has overflowed
_SLOPES: tuple[Law, ...] = (
    law("y / (1 + exp(-x))", "y * sigmoid(x)", grade="accurate",
        domain="everywhere: one rounding more; its slope is nan where exp overflows"),
    law("y / (1 + exp(x))", "y * sigmoid(-x)", grade="accurate",
        domain="everywhere: one rounding more; its slope is nan where exp overflows"),
)  # fmt: skip

PREPARE: tuple[Law, ...] = (
    shift_of_softmax,
    shift_of_log_softmax,
    shift_of_logsumexp,
    *ONES,
    *STABLE,
    *MEANS,
    *_SLOPES,
    *SEAMS,
)

_PREPARE, _EXPONENTIALS = Laws(PREPARE), Laws(SLOPES)


def apply(outputs: Sequence[Node], order: Sequence[Node]) -> list[Node]:
    """The outputs, whose nodes are ``order``, after all laws of this file."""
    return rewrite(outputs, _PREPARE, order=order)


def apply_to_exponentials(outputs: Sequence[Node]) -> list[Node]:
    """The outputs after the laws of slopes of exponentials (see ``exponentials``)."""
    return rewrite(outputs, _EXPONENTIALS)
