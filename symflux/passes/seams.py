"""Smooth functions whose parts have kinks, written without the kinks: before derivatives are taken.

The square of a norm is smooth where the norm is not. Its derivatives by the chain rule are wrong
there, whatever the kink's own derivative is taken to be: that of ``norm(x)**2`` at 0 would come out
as 0 in place of 2. So products and sums are looked through for parts whose kinks cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ..ir.node import Node, constant, constant_value
from ..ir.op import Kind, Op, lookup
from ..ops.contract import contract
from ..ops.elementwise import (
    abs_,
    add,
    cast,
    div,
    eq,
    exp,
    gt,
    log1p,
    maximum,
    minimum,
    mul,
    ne,
    neg,
    pow_,
    relu,
    sign,
    sin,
    softplus,
    sqrt,
    stop_gradient,
    sub,
    where,
)
from ..ops.pairs import hypot
from ..ops.reduce import max_, sum_
from ..ops.shape import broadcast_to, transpose
from .rewrite import Law, Scope, law, rule

__all__ = ["SEAMS", "guarded_root", "is_number", "never_negative"]

#: How far roots are looked for, and how far products are looked through.
_DEPTH, _FEW = 8, 4

_POSITIVE = (exp, abs_, hypot, softplus)
_KEEPS_SIGN = (add, sum_, max_, mul, div, cast, broadcast_to, sqrt, stop_gradient)


def is_number(node: Node, value: float) -> bool:
    """Whether the node is a scalar constant of that value."""
    literal = constant_value(node)
    return literal is not None and literal.ndim == 0 and bool(literal == value)


def _any_sign(node: Node) -> bool:
    literal = constant_value(node)
    return literal is None or not bool((literal >= 0).all())


def never_negative(x: Node, depth: int = _DEPTH) -> bool:
    """Whether x is at least 0, or nan, whatever the inputs."""
    if x.op in _POSITIVE or (x.op is mul and x.inputs[0] is x.inputs[1]):
        return True
    if x.op is contract and len(set(x.inputs)) == 1 and len(set(_letters(x)[:2])) == 1:
        return True
    if depth and (x.op in _KEEPS_SIGN or x.op.kind is Kind.INDEX_MAP):
        return all(never_negative(y, depth - 1) for y in x.inputs)
    if depth and x.op is maximum:
        return any(never_negative(y, depth - 1) for y in x.inputs)
    if depth and x.op is where:
        return all(never_negative(y, depth - 1) for y in x.inputs[1:])
    return not x.inputs and not _any_sign(x)


def _letters(node: Node) -> tuple[str, ...]:
    """The letters of the operands of a contraction, then those of the result."""
    operands, result = node["spec"].split("->")
    return (*operands.split(","), result)


# --- squares --------------------------------------------------------------------------------------


def guarded_root(node: Node) -> Node | None:
    """x, if the node is sqrt(x) with a slope of 0 at 0 (as norms and standard deviations are)."""
    at_zero, zero, root = node.inputs
    if at_zero.op is not eq or root.op is not sqrt or not is_number(bare(zero), 0.0):
        return None
    safe, x = root.inputs[0], at_zero.inputs[0]
    if safe.op is where and safe.inputs[0] is at_zero and safe.inputs[2] is x:
        return x if is_number(bare(at_zero.inputs[1]), 0.0) and never_negative(x) else None
    return None


def bare(node: Node) -> Node:
    """The node below a repetition."""
    return node.inputs[0] if node.op is broadcast_to else node


def _square(node: Node, depth: int = _DEPTH) -> Node | None:
    """The square of a node that is a root or a size at the core, without root or size."""
    op = node.op
    if op is abs_:
        return node.inputs[0] * node.inputs[0]
    if op is hypot:
        x, y = node.inputs
        return x * x + y * y
    if op is sqrt or (op is pow_ and is_number(node.inputs[1], 0.5)):
        return node.inputs[0] if never_negative(node.inputs[0]) else None
    if not depth or not node.inputs:
        return None
    if op is where:
        found = guarded_root(node)
        if found is not None:
            return found
        squares = [_square(x, depth - 1) for x in node.inputs[1:]]
        if squares == [None, None]:
            return None
        kept = [s or x * x for s, x in zip(squares, node.inputs[1:], strict=True)]
        return where(node.inputs[0], *kept)
    if op is neg:
        return _square(node.inputs[0], depth - 1)
    if op.kind is Kind.INDEX_MAP and len(node.inputs) == 1:
        inner = _square(node.inputs[0], depth - 1)
        return None if inner is None else op(inner, **node.attributes)
    if op in (mul, div):
        inner = _square(node.inputs[0], depth - 1)
        other = _square(node.inputs[1], depth - 1) if op is mul else None
        if inner is None and other is None:
            return None
        x, y = node.inputs
        return op(inner or x * x, other or y * y)
    return None


def _factors(node: Node, depth: int = _FEW) -> list[Node]:
    """What the node is a product of, as far as it is easily seen; divisors are left out."""
    if depth and node.op is mul:
        x, y = node.inputs
        return [*_factors(x, depth - 1), *_factors(y, depth - 1)]
    if depth and node.op in (neg, div):
        return _factors(node.inputs[0], depth - 1)
    return [node]


def _replaced(node: Node, factor: Node, new: Node | None, depth: int = _FEW) -> Node:
    """The product with one factor replaced (None: by 1)."""
    if node is factor:
        return constant(1, node.dtype) if new is None else new
    x, *others = node.inputs
    if node.op is mul and not any(f is factor for f in _factors(x, depth - 1)):
        (y,) = others
        if y is factor and new is None:
            return x
        return x * _replaced(y, factor, new, depth - 1)
    if node.op is mul and x is factor and new is None:
        return others[0]
    return node.op(_replaced(x, factor, new, depth - 1), *others)


def _pair(x: Node, y: Node) -> tuple[Node, Node, Node] | None:
    """(a factor of x, a factor of y, their product without a kink)."""
    theirs = _factors(y)
    for a in _factors(x):
        if not a.inputs:
            continue
        if a in theirs:
            found = _square(a)
            if found is not None:
                return a, a, found
        if a.op in (abs_, sign):
            other = (sign if a.op is abs_ else abs_)(a.inputs[0])
            if other in theirs:
                return a, other, a.inputs[0]
    return None


_NORM = "x: f64[3] ; mul x, x ; sum %0 axes=(0,) ; sqrt %1"


@rule(
    "root x * root x = x",
    "mul",
    grade="accurate",
    dtypes="f",
    examples=(
        f"{_NORM} ; mul %2, %2",
        f"{_NORM} ; neg %2 ; mul %3, %2",
        "x: f64, y: f64 ; abs x ; mul y, %0 ; mul %1, %0",
        "x: f64 ; abs x ; sign x ; mul %0, %1",
    ),
    domain="everywhere: two roundings fewer; also of abs(x), for sqrt(x²)",
)
def product_of_roots(node: Node, scope: Scope) -> Node | None:
    """Anywhere in the two products: the square of a root or size, and abs(x) * sign(x)."""
    x, y = node.inputs
    found = _square(x) if x is y else None
    if found is not None:
        return found
    pair = _pair(x, y)
    if pair is None:
        return None
    a, b, product = pair
    rest = _replaced(y, b, None)
    whole = _replaced(x, a, product)
    return whole if is_number(rest, 1.0) else whole * rest


@rule(
    "contraction of root x with itself = sum of x",
    "contract",
    grade="accurate",
    dtypes="f",
    examples='x: f64[2,3] ; abs x ; contract %0, %0 "ij,ij->j"',
    domain="everywhere: two roundings fewer",
)
def dot_of_roots(node: Node, scope: Scope) -> Node | None:
    """Where both operands have the same letters: a sum of squares."""
    if len(node.inputs) != 2 or node.inputs[0] is not node.inputs[1]:
        return None
    ours, theirs, result = _letters(node)
    if ours != theirs or len(set(ours)) != len(ours):
        return None
    squares = _square(node.inputs[0])
    if squares is None or squares.dtype != node.dtype:
        return None
    if squares.shape != node.inputs[0].shape:
        return None
    left = [c for c in ours if c in result]
    total = sum_(squares, axes=tuple(i for i, c in enumerate(ours) if c not in result))
    order = tuple(left.index(c) for c in result)
    return total if order == tuple(range(len(order))) else transpose(total, axes=order)


# --- softplus, written by hand in the way that cannot overflow ------------------------------------

_Term: TypeAlias = tuple[bool, Node]  # whether it is taken away, and what


def _terms(node: Node, minus: bool = False, depth: int = _FEW) -> list[_Term]:
    """What the node is a sum of, as far as it is easily seen."""
    if depth and node.op in (add, sub):
        x, y = node.inputs
        second = minus != (node.op is sub)
        return [*_terms(x, minus, depth - 1), *_terms(y, second, depth - 1)]
    if depth and node.op is neg:
        return _terms(node.inputs[0], not minus, depth - 1)
    return [(minus, node)]


def _size_in_tail(node: Node) -> Node | None:
    """x, if the node is log(1 + exp(-|x|))."""
    if node.op is softplus:
        inner = node.inputs[0]
    elif node.op is log1p and node.inputs[0].op is exp:
        inner = node.inputs[0].inputs[0]
    else:
        return None
    if inner.op is not neg or inner.inputs[0].op is not abs_:
        return None
    return inner.inputs[0].inputs[0]


def _cut_at_zero(node: Node) -> tuple[Op, Node] | None:
    """(maximum, x) if the node is max(x, 0), (minimum, x) if it is min(x, 0)."""
    if node.op is relu:
        return maximum, node.inputs[0]
    if node.op in (maximum, minimum):
        x, y = node.inputs
        if is_number(bare(y), 0.0):
            return node.op, x
        if is_number(bare(x), 0.0):
            return node.op, y
    return None


def _negated(x: Node) -> Node:
    return x.inputs[0] if x.op is neg else -x


def _joined(cut: _Term, tail: _Term) -> Node | None:
    """What stands for ``cut`` when ``tail`` is left out: softplus(x) for max(x, 0) of
    max(x, 0) + log(1 + exp(-|x|)), and -softplus(-x) for min(x, 0) of min(x, 0) - log(...)."""
    size, found = _size_in_tail(tail[1]), _cut_at_zero(cut[1])
    if size is None or found is None:
        return None
    which, x = found
    if x not in (size, _negated(size)) or (cut[0] == tail[0]) != (which is maximum):
        return None
    return softplus(x) if which is maximum else -softplus(_negated(x))


def _swapped(node: Node, old: Node, new: Node | None, depth: int = _FEW) -> Node | None:
    """The sum with one term replaced (None: left out)."""
    if node is old:
        return new
    x, *others = node.inputs
    if not others:
        inner = _swapped(x, old, new, depth - 1)
        return None if inner is None else -inner
    (y,) = others
    if any(term is old for _, term in _terms(x, depth=depth - 1)):
        inner = _swapped(x, old, new, depth - 1)
        return node.op(inner, y) if inner is not None else y if node.op is add else -y
    inner = _swapped(y, old, new, depth - 1)
    return x if inner is None else node.op(x, inner)


def _softplus_by_hand(node: Node, scope: Scope) -> Node | None:
    """With other terms between the two, as in the cross-entropy of logits."""
    terms = _terms(node)
    tails = [t for t in terms if _size_in_tail(t[1]) is not None]
    for tail in tails:
        for cut in terms:
            new = _joined(cut, tail)
            if new is not None:
                whole = _swapped(node, cut[1], new)
                return None if whole is None else _swapped(whole, tail[1], None)
    return None


def _may_join(keys: Sequence[str]) -> bool:
    return any(key in ("softplus", "log1p", "maximum", "minimum", "relu", "neg") for key in keys)


_TAIL = "x: f64, y: f64 ; abs x ; neg %0 ; exp %1 ; log1p %2"


def _hand_law(head: str, examples: tuple[str, ...]) -> Law:
    return rule(
        f"max x, 0 + log1p (exp (-abs x)) = softplus x, {head}",
        head,
        _may_join,
        grade="accurate",
        dtypes="f",
        examples=examples,
        domain="everywhere: the same function, in the same steps",
    )(_softplus_by_hand)


# --- sin(x) / x -----------------------------------------------------------------------------------


@rule(
    "sin x / x, 1 at 0 = sinc x",
    "where",
    lambda keys: "div" in keys,
    grade="accurate",
    dtypes="b",
    examples="x: f64 ; ne x, 0.0 ; where %0, x, 1.0 ; sin x ; div %2, %1 ; where %0, %3, 1.0",
    domain="everywhere: the same function; its derivatives hold at 0",
)
def sinc_by_hand(node: Node, scope: Scope) -> Node | None:
    """With a choice of the value at 0, and of what is divided by there."""
    condition, x, y = node.inputs
    if condition.op not in (eq, ne, gt):
        return None
    away = y if condition.op is eq else x
    if away.op is not div or away.inputs[0].op is not sin:
        return None
    sine, divisor = away.inputs
    z = sine.inputs[0]
    if not is_number(bare(x if away is y else y), 1.0) or not is_number(
        bare(condition.inputs[1]), 0.0
    ):
        return None
    compared = condition.inputs[0]
    if compared is not z and not (condition.op is gt and compared is abs_(z)):
        return None
    if condition.op is gt and compared is z and not never_negative(z):
        return None
    safe = divisor.op is where and divisor.inputs[0] is condition and z in divisor.inputs[1:]
    return lookup("sinc")(z, order=0) if safe or divisor is z else None


SEAMS: tuple[Law, ...] = (
    product_of_roots,
    dot_of_roots,
    _hand_law(
        "add", (f"{_TAIL} ; relu x ; add %3, %4", f"{_TAIL} ; relu x ; sub %4, y ; add %5, %3")
    ),
    _hand_law("sub", (f"{_TAIL} ; relu x ; sub y, %4 ; sub %5, %3",)),
    sinc_by_hand,
    law("copysign(x, x)", "x"),
    law("copysign(abs(x), x)", "x"),
)
