"""Smooth functions of norms, sizes and deviations, written without the kink: before derivatives.

F(r), with r = sqrt(s) and s a sum of squares, is smooth where r is 0 if F'(0) = 0: a Matérn kernel,
cos(r), r sin(r). The chain rule does not see it, as r has no slope there. So where r is 0, such
a function is replaced by its expansion F(0) + F''(0) s / 2, whose derivatives to order 2 are exact.
Whether F'(0) is 0 is found out by numbers: F and its derivatives are computed for a few parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.node import Node, constant, constant_value, symbol
from ..ir.op import Kind
from ..ir.origin import derived
from ..ir.types import is_floating
from ..ir.walk import rebuild, substitute, topological
from ..ops.contract import contract
from ..ops.elementwise import abs_, add, div, eq, mul, neg, pow_, sqrt, where
from ..ops.pairs import hypot
from ..ops.reduce import sum_
from ..ops.shape import broadcast_to
from ..passes.seams import guarded_root, is_number, never_negative
from .jvp import pushforward

__all__ = ["without_kinks"]

#: Nodes between a root and what is smooth in it; roots that are looked at.
_REGION, _ROOTS = 24, 64
#: A small distance from the seam, and how far the expansion may be off there.
_NEAR, _SLACK = 1e-3, 0.05


class _Root:
    """r, a root or a size; ``square`` is r², and ``smooth`` is r with a slope that is finite."""

    def __init__(self, node: Node, square: Node, at_zero: Node, smooth: Node) -> None:
        self.node = node
        self.square = square
        self.at_zero = at_zero
        self.smooth = smooth


def _root(node: Node) -> _Root | None:
    """What the node is the root of, if it is one."""
    if node.op is abs_ and is_floating(node.dtype):
        (x,) = node.inputs
        return _Root(node, x * x, eq(x, constant(0, x.dtype)), node)
    half = node.op is pow_ and is_number(node.inputs[1], 0.5)
    if (node.op is sqrt or half) and _may_vanish(node.inputs[0]):
        s = node.inputs[0]
        at_zero = eq(s, constant(0, s.dtype))
        safe = sqrt(where(at_zero, constant(1, s.dtype), s))
        return _Root(node, s, at_zero, where(at_zero, constant(0, s.dtype), safe))
    if node.op is hypot:
        x, y = node.inputs
        return _Root(node, x * x + y * y, eq(node, constant(0, node.dtype)), node)
    if node.op is where:
        square = guarded_root(node)
        if square is not None and square.shape == node.shape:
            return _Root(node, square, eq(node, constant(0, node.dtype)), node)
    return None


def _may_vanish(s: Node, depth: int = 6) -> bool:
    """Whether s is a sum of squares and nothing else, as far as it is easily seen."""
    if (s.op is mul and s.inputs[0] is s.inputs[1]) or (s.op is pow_ and _is_even(s.inputs[1])):
        return True
    if s.op is contract:
        return never_negative(s)
    if depth and s.op in (mul, div):
        x, y = s.inputs
        if _positive(y):
            return _may_vanish(x, depth - 1)
        return s.op is mul and _positive(x) and _may_vanish(y, depth - 1)
    if depth and (s.op in (add, sum_) or s.op.kind is Kind.INDEX_MAP):
        return all(_may_vanish(x, depth - 1) for x in s.inputs)
    return False


def _is_even(exponent: Node) -> bool:
    value = constant_value(exponent)
    return value is not None and value.ndim == 0 and bool(value > 0 and value % 2 == 0)


def _positive(x: Node) -> bool:
    value = constant_value(x)
    return value is not None and bool((value > 0).all())


# --- functions of a root --------------------------------------------------------------------------


def _region(root: Node, users: dict[Node, list[Node]]) -> list[Node]:
    """What is computed from the root element by element, in order."""
    found, stack = {root}, [root]
    while stack:
        for user in users.get(stack.pop(), ()):
            if user in found or len(found) > _REGION or user.op.kind is not Kind.POINTWISE:
                continue
            if user.op.name != "cast":
                found.add(user)
                stack.append(user)
    return sorted(found - {root}, key=lambda x: x.id)


def _copies(root: _Root, region: Sequence[Node]) -> tuple[dict[Node, Node], list[Node]]:
    """The region on single float64 numbers, and the parameters among them."""
    copies: dict[Node, Node] = {root.node: symbol("r", (), "f64")}
    parameters: list[Node] = []

    def wide(x: Node) -> str:
        return "f64" if is_floating(x.dtype) else x.dtype

    for node in region:
        for x in node.inputs:
            if x in copies:
                continue
            value = constant_value(x)
            if value is not None and value.size and (value == value.flat[0]).all():
                copies[x] = constant(value.flat[0].item(), wide(x))
            elif _vanishes(x, root):
                copies[x] = constant(0, wide(x))
            else:
                copies[x] = symbol(f"p{len(parameters)}", (), wide(x))
                parameters.append(copies[x])
        copies[node] = node.op(*[copies[x] for x in node.inputs], **node.attributes)
    return copies, parameters


def _vanishes(x: Node, root: _Root, depth: int = 4) -> bool:
    """Whether x is 0 where the root is, as far as it is easily seen."""
    square = root.square
    if x is square or (square.op is add and x in square.inputs):
        return True
    if x.op is where and root.node.op is where and x.inputs[0] is root.node.inputs[0]:
        return _vanishes(x.inputs[2], root, depth - 1)
    if not depth or x.op not in (mul, div, add, neg):
        return False
    found = [_vanishes(y, root, depth - 1) for y in x.inputs]
    return all(found) if x.op is add else found[0] or (x.op is mul and found[1])


def _numbers(outputs: Sequence[Node], given: dict[Node, Any]) -> list[Any]:
    """The values of scalar nodes."""
    values = dict(given)
    for node in topological(outputs):
        if node not in values:
            literal = constant_value(node)
            inputs = [values[x] for x in node.inputs]
            values[node] = (
                literal if literal is not None else node.op.oracle(*inputs, **node.attributes)
            )
    return [values[x] for x in outputs]


def _smooth(root: _Root, region: Sequence[Node]) -> dict[Node, bool]:
    """Which nodes of the region have an expansion in r², and whether it is more than a constant."""
    copies, parameters = _copies(root, region)
    r = copies[root.node]
    values = [copies[x] for x in region]
    one = constant(1, "f64")
    slopes = [x or constant(0, "f64") for x in pushforward(values, [r], [one])]
    curves = [x or constant(0, "f64") for x in pushforward(slopes, [r], [one])]
    random = np.random.default_rng(0)
    found = {x: False for x in region if is_floating(x.dtype)}
    with np.errstate(all="ignore"):
        for _ in range(2):
            given: dict[Node, Any] = {
                p: np.float64(random.uniform(0.3, 1.7)) if is_floating(p.dtype)
                else np.asarray(random.integers(0, 2)).astype(bool if p.dtype == "bool" else int)
                for p in parameters
            }  # fmt: skip
            here = _numbers([*values, *slopes, *curves], {**given, r: np.float64(0)})
            near = _numbers(values, {**given, r: np.float64(_NEAR)})
            n = len(region)
            for node, v, s, c, w in zip(region, here, here[n:], here[2 * n :], near, strict=False):
                size = 1 + abs(v) + abs(c)
                off = abs(w - v - c * _NEAR**2 / 2) if is_floating(node.dtype) else 0
                if not (abs(s) < 1e-12 * size and off < _SLACK * size * _NEAR**2):
                    found.pop(node, None)
                elif node in found:
                    found[node] = found[node] or bool(c != 0)
    return found


def _expanded(node: Node, root: _Root) -> Node:
    """The node, with its expansion where the root is 0."""
    r = root.node
    ones = broadcast_to(constant(1, r.dtype), shape=r.shape)
    (slope,) = pushforward([node], [r], [ones])
    (curve,) = pushforward([slope], [r], [ones]) if slope is not None else [None]
    zeros = broadcast_to(constant(0, r.dtype), shape=r.shape)
    parts = substitute([node] if curve is None else [node, curve], {r: zeros})
    there = parts[0] if curve is None else parts[0] + parts[1] * root.square * 0.5
    (far,) = substitute([node], {r: root.smooth}) if root.smooth is not r else [node]
    return where(root.at_zero, there, far)


# --- the pass -------------------------------------------------------------------------------------


def without_kinks(outputs: Sequence[Node]) -> list[Node]:
    """Equal outputs, in which smooth functions of roots are smooth at 0.

    >>> from symflux.ir import symbol
    >>> from symflux.ops import abs_, cos
    >>> x = symbol("x", ())
    >>> without_kinks([cos(abs_(x))])[0].op.name
    'where'
    """
    order = topological(outputs)
    roots = [found for node in order if (found := _root(node)) is not None][:_ROOTS]
    planned = _plan(order, roots) if roots else {}
    if not planned and not any(_is_power(node) for node in order):
        return list(outputs)
    done: dict[Node, Node] = {}
    for node in order:
        with derived(node.origin, "expansion at a root of 0"):
            new = rebuild(node, tuple([done[x] for x in node.inputs]))
            if node in planned:
                root = _root(done[planned[node]])
                new = new if root is None else _expanded(new, root)
            elif _is_power(node):
                s = new.inputs[0]
                at_zero = eq(s, constant(0, s.dtype))
                power = pow_(where(at_zero, constant(1, s.dtype), s), new.inputs[1])
                new = where(at_zero, constant(0, s.dtype), power)
        done[node] = new
    return [done[node] for node in outputs]


def _is_power(node: Node) -> bool:
    """Whether the node is a power of a sum of squares that is flat to order 2 where that is 0."""
    if node.op is not pow_ or not _may_vanish(node.inputs[0]):
        return False
    exponent = constant_value(node.inputs[1])
    return exponent is not None and exponent.ndim == 0 and bool(exponent > 1 and exponent % 1)


def _plan(order: Sequence[Node], roots: Sequence[_Root]) -> dict[Node, Node]:
    """Which nodes are to be expanded, in which root."""
    users: dict[Node, list[Node]] = {}
    for node in order:
        for x in dict.fromkeys(node.inputs):
            users.setdefault(x, []).append(node)
    planned: dict[Node, Node] = {}
    for root in roots:
        if root.smooth is not root.node and any(
            x.op is div and x.inputs[1] is root.node for x in users.get(root.node, ())
        ):
            continue  # there is no value at 0 either
        region = _region(root.node, users)
        smooth = _smooth(root, region) if region else {}
        reached = {root.node}
        for node in region:
            if reached.isdisjoint(node.inputs):
                continue  # what is smooth lies between
            curved = smooth.get(node)
            if curved is None or node in planned:
                reached.add(node)
            elif curved or root.smooth is not root.node:
                planned[node] = root.node
    return planned
