"""Quotients and logarithms of sums of exponentials, scaled so that nothing overflows on the way.

A factor exp(-m), with m the largest exponent, cancels from a quotient and leaves a logarithm as m.
It is a constant to derivatives: what would flow back through it sums to zero. The sums are seen
through products, powers, contractions and moves of elements, as far as ``_DEPTH`` steps.
"""

from __future__ import annotations

import math

from ..ir.node import Node, constant, constant_value
from ..ops.contract import contract
from ..ops.elementwise import (
    abs_,
    add,
    cosh,
    div,
    exp,
    expm1,
    gt,
    isfinite,
    log,
    log1p,
    log2,
    log10,
    maximum,
    minimum,
    mul,
    ne,
    neg,
    pow_,
    stop_gradient,
    sub,
    where,
)
from ..ops.reduce import max_, sum_
from ..ops.shape import broadcast_to, reshape, transpose
from .rewrite import Law, Scope, law, rule
from .seams import is_number, never_negative

__all__ = ["QUOTIENTS", "SLOPES"]

#: how far sums are looked through, and how many nodes are looked at
_DEPTH, _MOST = 8, 48

_LINEAR = frozenset({"slice", "reshape", "transpose", "broadcast_to", "take", "concatenate"})
_SUMS = frozenset(
    {"exp", "add", "sub", "mul", "div", "neg", "sum", "contract", "cosh", "pow", "where", *_LINEAR}
)


class _NoScale(Exception):
    """The exponentials stand where a factor cannot be pulled out."""


# --- the largest exponent -------------------------------------------------------------------------


class _Peak:
    """The largest exponent of a sum of exponentials, and what its terms are like."""

    def __init__(self, hidden: bool = False) -> None:
        self.hidden = hidden  # whether terms with a factor of 0 count
        self.masked = False  # whether there may be some
        self.bounded = True  # no exponent is above 0
        self.beside = False  # a term that is no exponential keeps the sum from underflowing
        self.left = _MOST

    def of(self, node: Node, depth: int = _DEPTH) -> Node | None:
        """The largest exponent, broadcasting to the node; None for what has none."""
        op = node.op
        self.left -= 1
        if self.left < 0:
            raise _NoScale
        if op is exp:
            (x,) = node.inputs
            if _is_scaled(x):
                raise _NoScale
            self.bounded = self.bounded and _never_positive(x)
            return x
        if not depth or op.name not in _SUMS:
            return None
        if op is cosh:
            if _is_scaled(node.inputs[0]):
                raise _NoScale
            self.bounded = False
            return abs_(node.inputs[0])
        if op in (add, sub):
            return self._of_sum(node, depth)
        if op is where:
            return self._of_choice(node, depth)
        if op is mul:
            return self._of_product(node, depth)
        if op is pow_:
            return self._of_power(node, depth)
        if op is contract:
            return self._of_contraction(node, depth)
        first, *others = [self.of(x, depth - 1) for x in node.inputs]
        if first is None or any(p is not None for p in others):
            if op is div and others[0] is not None:
                raise _NoScale
            return None
        if op in (neg, div):
            return first
        if op.name == "concatenate":
            raise _NoScale
        full = _spread(first, node.inputs[0].shape)
        if op is sum_:
            return max_(full, axes=node["axes"])
        return op(full, *node.inputs[1:], **node.attributes)

    def _of_sum(self, node: Node, depth: int) -> Node | None:
        peaks = [self.of(x, depth - 1) for x in node.inputs]
        x, y = peaks
        if x is not None and y is not None:
            return maximum(x, y)
        found = x if y is None else y
        if found is None:
            return None
        self.beside = True
        return maximum(found, constant(0, found.dtype))

    def _of_choice(self, node: Node, depth: int) -> Node | None:
        condition, *branches = node.inputs
        peaks = [self.of(x, depth - 1) for x in branches]
        if peaks == [None, None]:
            return None
        shown = [
            p if p is not None else constant(-math.inf if is_number(x, 0.0) else 0.0, node.dtype)
            for p, x in zip(peaks, branches, strict=True)
        ]
        return where(condition, *shown)

    def _of_product(self, node: Node, depth: int) -> Node | None:
        x, y = node.inputs
        first = self.of(x, depth - 1)
        if x is y:
            return None if first is None else first * 2
        second = self.of(y, depth - 1)
        if first is not None and second is not None:
            raise _NoScale
        if first is None:
            first, y = second, x
        if first is None or self.hidden or _never_zero(y):
            return first
        self.masked = True
        return where(ne(y, constant(0, y.dtype)), first, constant(-math.inf, first.dtype))

    def _of_power(self, node: Node, depth: int) -> Node | None:
        x, exponent = node.inputs
        found = self.of(x, depth - 1)
        value = constant_value(exponent)
        if found is None:
            return None
        if value is None or value.ndim or not value > 0:
            raise _NoScale
        return found * float(value)

    def _of_contraction(self, node: Node, depth: int) -> Node | None:
        if len(node.inputs) != 2:
            return None
        peaks = [self.of(x, depth - 1) for x in node.inputs]
        if peaks == [None, None]:
            return None
        place = 0 if peaks[0] is not None else 1
        found, other = peaks[place], node.inputs[1 - place]
        if found is None or peaks[1 - place] is not None or not _never_zero(other):
            raise _NoScale
        operands, result = node["spec"].split("->")
        letters = operands.split(",")[place]
        full = _spread(found, node.inputs[place].shape)
        left = [c for c in letters if c in result]
        if len(set(letters)) != len(letters):
            raise _NoScale
        folded = max_(full, axes=tuple(i for i, c in enumerate(letters) if c not in result))
        order = tuple(left.index(c) for c in result if c in left)
        shape = tuple(n if c in left else 1 for c, n in zip(result, node.shape, strict=True))
        return reshape(transpose(folded, axes=order), shape=shape)


def _spread(x: Node, shape: tuple[int, ...]) -> Node:
    return x if x.shape == shape else broadcast_to(x, shape=shape)


def _never_zero(node: Node) -> bool:
    while node.op in (broadcast_to, reshape):
        node = node.inputs[0]
    literal = constant_value(node)
    return literal is not None and bool((literal != 0).all())


def _never_positive(x: Node) -> bool:
    if x.op is neg:
        return never_negative(x.inputs[0])
    if x.op in (mul, div):
        for y, factor in ((x.inputs[0], x.inputs[1]), (x.inputs[1], x.inputs[0])):
            value = constant_value(factor)
            if value is not None and bool((value <= 0).all()) and (x.op is mul or factor is not y):
                return never_negative(y)
            if y.op is neg and never_negative(y.inputs[0]) and never_negative(factor):
                return True
    value = constant_value(x)
    return value is not None and bool((value <= 0).all())


_AROUND = frozenset({"add", "sub", "neg", "mul", "where", "stop_gradient", *_LINEAR})


def _is_scaled(x: Node) -> bool:
    """Whether a largest element is taken away in x already, here or by hand."""
    stack = [(x, _DEPTH)]
    seen = set()
    while stack:
        node, depth = stack.pop()
        if node.op is max_:
            return True
        if node.op is where and node.inputs[0].op is isfinite:
            return True
        if depth and node.op.name in _AROUND and node.id not in seen:
            seen.add(node.id)
            stack += [(y, depth - 1) for y in node.inputs]
    return False


#: exponents that overflow in no case
_FINITE = {"f16": 10.0, "f32": 85.0, "f64": 700.0}


def _with_masks(shown: Node, everything: Node | None) -> Node:
    """The largest exponent that a factor of 0 does not hide, but so that the hidden ones stay
    finite (0 times infinity is nan) wherever they were."""
    assert everything is not None
    return maximum(shown, everything - _FINITE[shown.dtype])


def _shift(peak: Node, least: float | None = None) -> Node:
    """The exponent to scale by: a constant to derivatives, 0 where the largest is infinite."""
    highest = stop_gradient(peak)
    if least is not None:
        highest = maximum(highest, constant(least, peak.dtype))
    return where(isfinite(highest), highest, constant(0, peak.dtype))


# --- the sum, scaled ------------------------------------------------------------------------------


def _plain(shift: Node) -> Node:
    """The shift without axes of extent 1 in front, so that equal exponentials are one node."""
    shape = shift.shape
    while shape and shape[0] == 1:
        shape = shape[1:]
    while shift.op is reshape:
        shift = shift.inputs[0]
    return shift if shift.shape == shape else reshape(shift, shape=shape)


def _aligned(shift: Node, shape: tuple[int, ...]) -> Node:
    """The shift with as many axes as ``shape``, over which it broadcasts."""
    missing = len(shape) - len(shift.shape)
    sizes = (*(1,) * missing, *shift.shape)
    cut = len(sizes) - len(shape)
    beyond, sizes = sizes[:cut], sizes[cut:]
    fits = all(m in (1, n) for m, n in zip(sizes, shape, strict=True))
    if not fits or any(n != 1 for n in beyond):
        raise _NoScale
    return shift if sizes == shift.shape else reshape(shift, shape=sizes)


def has_exponentials(node: Node) -> bool:
    """Whether there are exponentials among the factors and terms."""
    stack, seen = [(node, _DEPTH)], {node.id}
    while stack:
        node, depth = stack.pop()
        if node.op in (exp, cosh):
            return True
        if not depth or node.op.name not in _SUMS or len(seen) > _MOST:
            continue
        for x in node.inputs:
            if x.id not in seen:
                seen.add(x.id)
                stack.append((x, depth - 1))
    return False


def _scaled(node: Node, shift: Node, depth: int = _DEPTH) -> Node:
    """``node * exp(-shift)``, where ``shift`` broadcasts to the node."""
    op = node.op
    if op is exp:
        return exp(node.inputs[0] - _plain(shift))
    if not depth or not has_exponentials(node):
        return exp(-_plain(shift)) if is_number(node, 1.0) else node * exp(-_plain(shift))
    if op is cosh:
        (x,) = node.inputs
        return (exp(x - _plain(shift)) + exp(-x - _plain(shift))) * 0.5
    if op in (add, sub):
        return op(*[_scaled(x, shift, depth - 1) for x in node.inputs])
    if op is where:
        condition, *branches = node.inputs
        return where(
            condition, *[x if is_number(x, 0.0) else _scaled(x, shift, depth - 1) for x in branches]
        )
    if op in (mul, div):
        x, y = node.inputs
        if x is y and op is mul:
            root = _scaled(x, shift * 0.5, depth - 1)
            return root * root
        if has_exponentials(x):
            return op(_scaled(x, shift, depth - 1), y)
        if op is mul:
            return op(x, _scaled(y, shift, depth - 1))
        raise _NoScale
    if op is neg:
        return -_scaled(node.inputs[0], shift, depth - 1)
    if op is pow_:
        value = constant_value(node.inputs[1])
        if value is None or value.ndim or value == 0:
            raise _NoScale
        return pow_(_scaled(node.inputs[0], shift * (1 / float(value)), depth - 1), node.inputs[1])
    return _scaled_inside(node, shift, depth)


def _scaled_inside(node: Node, shift: Node, depth: int) -> Node:
    """Of ops that add or move elements: the shift moves with them."""
    op, (x, *others) = node.op, node.inputs
    if op is contract:
        return _scaled_contraction(node, shift, depth)
    shift = _aligned(shift, node.shape)
    if op is sum_:
        left = iter(shift.shape)
        axes = node["axes"]
        inner = reshape(
            shift, shape=tuple(1 if i in axes else next(left) for i in range(len(x.shape)))
        )
    elif all(n == 1 for n in shift.shape) and op.name != "concatenate":
        inner = reshape(shift, shape=())
    elif op is transpose:
        order = node["axes"]
        inner = transpose(shift, axes=tuple(order.index(i) for i in range(len(order))))
    elif op is broadcast_to:
        inner = _aligned(shift, x.shape)
    elif op is reshape and _without_ones(node.shape) == _without_ones(x.shape):
        # only axes of extent 1 come or go
        sizes = iter([m for m, n in zip(shift.shape, node.shape, strict=True) if n != 1])
        inner = reshape(shift, shape=tuple(1 if n == 1 else next(sizes) for n in x.shape))
    else:
        raise _NoScale
    return op(_scaled(x, inner, depth - 1), *others, **node.attributes)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


def _scaled_contraction(node: Node, shift: Node, depth: int) -> Node:
    operands, result = node["spec"].split("->")
    held = [has_exponentials(x) for x in node.inputs]
    if len(held) != 2 or held[0] == held[1]:
        raise _NoScale
    place = 0 if held[0] else 1
    letters = operands.split(",")[place]
    shift = _aligned(shift, node.shape)
    size = dict(zip(result, shift.shape, strict=True))
    if any(n != 1 and c not in letters for c, n in size.items()):
        raise _NoScale
    kept = [c for c in result if c in letters]
    core = reshape(shift, shape=tuple(size[c] for c in kept))
    turned = transpose(core, axes=tuple(kept.index(c) for c in letters if c in kept))
    inner = reshape(turned, shape=tuple(size.get(c, 1) for c in letters))
    inputs = list(node.inputs)
    inputs[place] = _scaled(inputs[place], inner, depth - 1)
    return contract(*inputs, **node.attributes)


# --- laws -----------------------------------------------------------------------------------------


def _exponent(total: Node, scope: Scope, beside: bool = False) -> Node | None:
    """The exponent to scale a sum by; None where it has none, or cannot overflow and is kept from
    underflowing (``beside``: by a term outside of it).

    Raises:
        _NoScale: where the largest exponent is not seen.
    """
    if not scope.has_op("exp", "cosh") or not has_exponentials(total):
        return None
    peak = _Peak()
    found = peak.of(total)
    if found is None or (peak.bounded and (beside or peak.beside)):
        return None
    return _with_masks(found, _Peak(hidden=True).of(total)) if peak.masked else found


def _quotient(node: Node, scope: Scope) -> Node | None:
    top, bottom = node.inputs
    try:
        found = _exponent(bottom, scope)
        if found is None:
            return None
        shift = _shift(found)
        return _scaled(top, shift) / _scaled(bottom, shift)
    except _NoScale:
        return None


@rule(
    "sum of exp / sum of exp, scaled",
    "div",
    lambda keys: keys[0] in _SUMS and keys[1] in _SUMS and keys[1] != "exp",
    grade="accurate",
    dtypes="f",
    examples=(
        "x: f64[4] ; exp x ; sum %0 axes=(0,) ; slice %0 start=(1,) step=(1,) shape=(1,)"
        " ; reshape %2 shape=() ; div %3, %1",
        "x: f64[3], y: f64[3] ; exp x ; mul x, %0 ; exp y ; add %0, %2 ; div %1, %3",
    ),
    domain="everywhere: exp overflows above 709, and inf / inf is nan; underflows below -745",
)
def quotient_of_sums(node: Node, scope: Scope) -> Node | None:
    """Of which both hold exponentials: they overflow and underflow together."""
    return _quotient(node, scope) if has_exponentials(node.inputs[0]) else None


@rule(
    "sum of exp * (y / sum of exp) = (sum of exp * y) / sum of exp",
    "mul",
    lambda keys: "div" in keys,
    grade="accurate",
    dtypes="f",
    examples="x: f64[3] ; exp x ; sum %0 axes=(0,) ; div 1.0, %1 ; mul %0, %2",
    domain="everywhere: the quotient of the exponentials is scaled",
)
def times_quotient(node: Node, scope: Scope) -> Node | None:
    """Where a sum of exponentials is inverted first."""
    if not scope.has_op("exp", "cosh"):
        return None
    for x, quotient in (node.inputs, node.inputs[::-1]):
        if quotient.op is not div or not has_exponentials(x):
            continue
        y, total = quotient.inputs
        if has_exponentials(y) or not has_exponentials(total):
            continue
        try:
            if _Peak().of(total) is not None:
                return (x if is_number(y, 1.0) else x * y) / total
        except _NoScale:
            continue
    return None


@rule(
    "y / sum of exp, scaled",
    "div",
    lambda keys: keys[1] in _SUMS and keys[1] != "exp",
    grade="accurate",
    dtypes="f",
    examples="x: f64, y: f64 ; exp x ; exp y ; add %0, %1 ; div y, %2",
    domain="everywhere: its slope is nan where exp overflows",
)
def over_sum(node: Node, scope: Scope) -> Node | None:
    """The value is right where the sum overflows, its slope is infinity by infinity."""
    return _quotient(node, scope)


_LOGS = {log: 1.0, log2: math.log2(math.e), log10: math.log10(math.e)}


def _log_of_sum(head: str, examples: tuple[str, ...]) -> Law:
    @rule(
        f"{head} (sum of exp), scaled",
        head,
        lambda keys: keys[0] in _SUMS and keys[0] != "exp",
        grade="accurate",
        dtypes="f",
        examples=examples,
        domain="everywhere: exp overflows above 709 and underflows below -745 (float64)",
    )
    def scaled(node: Node, scope: Scope) -> Node | None:
        """The largest exponent stands beside the logarithm."""
        total = node.inputs[0]
        try:
            found = _exponent(total, scope, beside=node.op is log1p)
            if found is None:
                return None
            if node.op is log1p:
                shift = _shift(found, 0.0)
                return log1p(_scaled(total, shift) + expm1(-shift)) + shift
            shift = _shift(found)
            unit = _LOGS[node.op]
            return node.op(_scaled(total, shift)) + (shift if unit == 1.0 else shift * unit)
        except _NoScale:
            return None

    return scaled


_PAIR = "x: f64[3], y: f64[3] ; exp x ; exp y"

QUOTIENTS: tuple[Law, ...] = (
    times_quotient,
    quotient_of_sums,
    _log_of_sum("log", (f"{_PAIR} ; mul %1, 0.5 ; add %0, %2 ; log %3",)),
    _log_of_sum("log2", (f"{_PAIR} ; add %0, %1 ; log2 %2",)),
    _log_of_sum("log10", (f"{_PAIR} ; add %0, %1 ; log10 %2",)),
    _log_of_sum("log1p", (f"{_PAIR} ; add %0, %1 ; log1p %2",)),
)


@rule(
    "(sum of exp) ** -c, scaled",
    "pow",
    lambda keys: keys[0] in _SUMS,
    grade="accurate",
    dtypes="f",
    examples="x: f64 ; neg x ; exp %0 ; add %1, 1.0 ; pow %2, -2.0",
    domain="everywhere: its slope is nan where exp overflows",
)
def power_of_sum(node: Node, scope: Scope) -> Node | None:
    """A quotient, written as a power."""
    value = constant_value(node.inputs[1])
    if value is None or value.ndim or not value < 0:
        return None
    total = pow_(node.inputs[0], constant(-float(value), node.dtype))
    return _quotient(constant(1, node.dtype) / total, scope)


def _over_expm1(y: Node, x: Node) -> Node:
    """Of exp(-|x|) - 1 in place of exp(x) - 1: by exp(-x), where x is positive."""
    part = expm1(-abs_(x))
    return y * exp(minimum(-x, 0)) / where(gt(x, constant(0, x.dtype)), -part, part)


#: What is right as a value, but has slopes of infinity by infinity where exponentials overflow.
SLOPES: tuple[Law, ...] = (
    law("y / exp(x)", "y * exp(-x)", grade="accurate",
        domain="everywhere: one rounding more"),
    law("y / expm1(x)", lambda e: _over_expm1(e["y"], e["x"]), name="y / expm1(x), scaled",
        grade="accurate", domain="everywhere: expm1 overflows above 709"),
    over_sum,
    power_of_sum,
)  # fmt: skip
