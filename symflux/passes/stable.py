"""Numerically stable forms of expressions that users write as they stand in books.

Each law says on which domain it is better. Where the original is accurate, none changes its value
by more than a few units in the last place; most turn a spurious inf, nan or loss of digits into the
value.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from ..ir.node import Node, constant_value
from ..ir.op import Kind
from ..ops.composed import logsumexp, softmax
from ..ops.elementwise import add, div, exp, expm1, log, mul, neg, sigmoid, sub, tanh
from ..ops.reduce import max_, sum_
from ..ops.shape import broadcast_to, reshape
from .exponentials import QUOTIENTS, has_exponentials
from .patterns import number
from .rewrite import Law, Scope, law, rule
from .seams import never_negative

__all__ = ["LOGISTIC", "MEANS", "STABLE", "bare", "is_shifted", "spread_sum"]

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
    law("1 - exp(x)", "-expm1(x)", grade="accurate", domain="everywhere, as exp(x) - 1"),
    law("log(exp(x))", "x", grade="accurate",
        domain="everywhere: exp overflows above 709 and underflows below -745 (float64)"),
    law("exp(log(x))", "x", grade="fast", domain="x > 0; the original is nan for x < 0"),
    law("log1p(expm1(x))", "x", grade="accurate", domain="everywhere, as log(exp(x))"),
    law("log(sqrt(x))", "0.5 * log(x)", grade="accurate",
        domain="everywhere: halving is exact; nan for x < 0 in both"),
    law("sqrt(exp(x))", "exp(0.5 * x)", grade="accurate",
        domain="everywhere: exp overflows above 709; halving is exact"),
    law("sqrt(x * x)", "abs(x)", grade="accurate",
        domain="everywhere: x * x overflows above 1e154 and underflows below 1e-162 (float64)"),
    law("log1p(exp(x))", "softplus(x)", grade="accurate",
        domain="everywhere: exp overflows for large x, where the result is x"),
    law("log(sigmoid(x))", "-softplus(-x)", grade="accurate",
        domain="everywhere: sigmoid underflows for x < -745, and rounds to 1 for x > 37"),
    law("log1p(-sigmoid(x))", "-softplus(x)", grade="accurate",
        domain="everywhere: sigmoid rounds to 1 for x > 37, where the result is -x"),
    law("log(cosh(x))", "log_cosh(x)", grade="accurate",
        domain="everywhere: cosh overflows above 710, and is 1 and a bit for small x"),
    law("log(expm1(x))", "x + log(-expm1(-x))", grade="accurate",
        domain="everywhere: expm1 overflows above 709"),
    law("log(sinh(x))", lambda e: e["x"] + log(-expm1(e["x"] * -2.0)) - math.log(2),
        name="log(sinh(x)) = x + log(-expm1(-2 x)) - log(2)", grade="accurate",
        domain="everywhere: sinh overflows above 710"),
    law("log(x * exp(y))", "log(x) + y", grade="accurate",
        domain="everywhere: exp overflows above 709 and underflows below -745 (float64)"),
    law("log(exp(x) + exp(y))", "logaddexp(x, y)", grade="accurate",
        domain="everywhere: exp overflows above 709 and underflows below -745 (float64)"),
    law("log(0.5 * (1 + tanh(x)))", "-softplus(-2.0 * x)", grade="accurate",
        domain="everywhere: tanh rounds to -1 below -19"),
    law("log((1 + tanh(x)) / 2)", "-softplus(-2.0 * x)", grade="accurate",
        domain="everywhere: tanh rounds to -1 below -19"),
    law("log(0.5 * (1 - tanh(x)))", "-softplus(2.0 * x)", grade="accurate",
        domain="everywhere: tanh rounds to 1 above 19"),
    law("log((1 - tanh(x)) / 2)", "-softplus(2.0 * x)", grade="accurate",
        domain="everywhere: tanh rounds to 1 above 19"),
    law("1 - tanh(x) ** 2", "tanh_slope(tanh(x), x)", grade="accurate",
        domain="everywhere: tanh rounds to 1 above 19, where the result is tiny but not 0"),
    law("1 - tanh(x) * tanh(x)", "tanh_slope(tanh(x), x)", grade="accurate",
        domain="everywhere: tanh rounds to 1 above 19, where the result is tiny but not 0"),
    law("log(tanh_slope(y, x))", "-2.0 * log_cosh(x)", grade="accurate",
        domain="everywhere: the slope underflows above 373"),
    law("sinh(x) / cosh(x)", "tanh(x)", grade="accurate",
        domain="everywhere: both overflow above 710, and inf / inf is nan"),
    law("expm1(x) / (1 + exp(x))", "tanh(0.5 * x)", grade="accurate",
        domain="everywhere: exp overflows above 709, and inf / inf is nan"),
    law("-expm1(x) / (1 + exp(x))", "-tanh(0.5 * x)", grade="accurate",
        domain="everywhere: exp overflows above 709, and inf / inf is nan"),
    law("expm1(x) / (expm1(x) + 2)", "tanh(0.5 * x)", grade="accurate",
        domain="everywhere: expm1 overflows above 709, and inf / inf is nan"),
    law("log(x + sqrt(1 + x * x))", "arcsinh(x)", grade="accurate",
        domain="everywhere: the sum cancels for x < 0, and x * x overflows above 1e154"),
    law("log(x + sqrt(x * x - 1))", "arccosh(x)", grade="accurate",
        domain="x ≥ 1, nan below in both: digits of x are lost near 1, and x * x overflows"),
    law("log((1 + x) / (1 - x))", "2.0 * arctanh(x)", grade="accurate",
        domain="|x| ≤ 1, nan beyond in both: the digits of a small x are lost in 1 + x"),
    law("1 - erf(x)", "erfc(x)", grade="accurate",
        domain="x > 0.5: erf rounds to 1 above 6, where erfc is tiny but not 0"),
    law("1 - erfc(x)", "erf(x)", grade="accurate",
        domain="|x| < 0.5: erfc is close to 1 there"),
)  # fmt: skip


# --- pairs of exponentials ------------------------------------------------------------------------


def _opposite(x: Node, y: Node) -> bool:
    """Whether y is written as -x."""
    if x.op is y.op and x.op in (mul, div):
        shared = [(a, b) for a, b in zip(x.inputs, y.inputs, strict=True) if a is not b]
        if len(shared) == 1:
            c, d = shared[0]
            literal = c.op.name == d.op.name == "constant" and not (c.shape or d.shape)
            return literal and number(c) == -number(d) != 0
    return (y.op is neg and y.inputs[0] is x) or (x.op is neg and x.inputs[0] is y)


@rule(
    "(exp x - exp y) / (exp x + exp y) = tanh ((x - y) / 2)",
    "div",
    ("sub", "add"),
    grade="accurate",
    examples="x: f64, y: f64 ; exp x ; exp y ; sub %0, %1 ; add %0, %1 ; div %2, %3",
    domain="everywhere: exp overflows above 709, and inf / inf is nan",
)
def tanh_by_hand(node: Node, scope: Scope) -> Node | None:
    """Of x and -x as a rule."""
    difference, total = node.inputs
    if {*difference.inputs} != {*total.inputs} or any(x.op is not exp for x in total.inputs):
        return None
    x, y = (z.inputs[0] for z in difference.inputs)
    return tanh(x if _opposite(x, y) else (x - y) * 0.5)


@rule(
    "exp x / (exp x + exp y) = sigmoid (x - y)",
    "div",
    ("exp", "add"),
    grade="accurate",
    examples="x: f64, y: f64 ; exp x ; exp y ; add %1, %0 ; div %0, %2",
    domain="everywhere: exp overflows above 709, and inf / inf is nan",
)
def share_of_two(node: Node, scope: Scope) -> Node | None:
    """A softmax of two."""
    first, total = node.inputs
    x, y = total.inputs
    if first not in (x, y) or any(z.op is not exp for z in (x, y)):
        return None
    other = y if first is x else x
    return sigmoid(first.inputs[0] - other.inputs[0])


@rule(
    "log (x ** c) = c * log x",
    "log",
    ("pow",),
    grade="accurate",
    examples="x: f64[3] ; exp x ; pow %0, 2.5 ; log %1",
    domain="x ≥ 0: the power overflows and underflows before its logarithm does",
)
def log_of_power(node: Node, scope: Scope) -> Node | None:
    """Of what is never negative, as sums of exponentials are."""
    x, exponent = node.inputs[0].inputs
    literal = exponent.op.name == "constant" and not exponent.shape
    if not literal or number(exponent) == 0 or not has_exponentials(x) or not never_negative(x):
        return None
    return exponent * node.op(x)


@rule(
    "log (prod x) = sum (log x)",
    "log",
    ("prod",),
    grade="accurate",
    examples="x: f64[3,4] ; exp x ; prod %0 axes=(1,) ; log %1",
    domain="x ≥ 0: the product overflows and underflows before its logarithm does",
)
def log_of_product(node: Node, scope: Scope) -> Node | None:
    """Of exponentials, as in likelihoods."""
    product = node.inputs[0]
    (x,) = product.inputs
    if not has_exponentials(x) or not never_negative(x):
        return None
    return sum_(node.op(x), axes=product["axes"])


# --- sums of exponentials -------------------------------------------------------------------------


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


def _log_of_total(
    node: Node, scope: Scope, scaled: Node, total: Node, share: Any = None
) -> Node | None:
    """log(sum(exp(x))) by logsumexp, if ``total`` is the sum and nothing has shifted x yet."""
    total = bare(total)
    if total.op.name != "sum":
        return None
    weights = total.inputs[0]
    if weights.op.name != "exp" or is_shifted(weights.inputs[0], total["axes"], scope):
        return None
    result = logsumexp(weights.inputs[0], axis=total["axes"], share=share)
    return result if node.shape == result.shape else _again(scaled, total, result)


@rule(
    "log (sum (exp x)) = logsumexp x",
    "log",
    lambda keys: keys[0] in ("sum", "reshape", "broadcast_to"),
    grade="accurate",
    examples=(
        "x: f64[3,4] ; exp x ; sum %0 axes=(1,) ; log %1",
        "x: f64[3,4] ; exp x ; sum %0 axes=(1,) ; reshape %1 shape=(3, 1) ; log %2",
    ),
    domain="everywhere: exp overflows above 709 and underflows below -745 (float64)",
)
def log_sum_exp(node: Node, scope: Scope) -> Node | None:
    """log sum exp(x) = m + log sum exp(x - m), m = max x (Blanchard, Higham and Higham 2021)."""
    return _log_of_total(node, scope, node.inputs[0], node.inputs[0])


@rule(
    "log (mean (exp x)) = logsumexp x, shared",
    "log",
    lambda keys: keys[0] in ("div", "mul"),
    grade="accurate",
    examples="x: f64[3,4] ; exp x ; sum %0 axes=(1,) ; div %1, 4.0 ; log %2",
    domain="everywhere, as log(sum(exp(x)))",
)
def log_mean_exp(node: Node, scope: Scope) -> Node | None:
    """The sum times a positive number."""
    scaled = node.inputs[0]
    total, factor = scaled.inputs
    value = constant_value(factor)
    if value is None or value.ndim or not 0 < value < math.inf:
        return None
    return _log_of_total(node, scope, scaled, total, lambda y: scaled.op(y, factor))


def _again(node: Node, core: Node, new: Node) -> Node:
    """``new`` moved as ``core`` is on its way to ``node``."""
    if node is core:
        return new
    inner = _again(node.inputs[0], core, new)
    if node.op.kind is not Kind.INDEX_MAP:
        return inner
    return node.op(inner, *node.inputs[1:], **node.attributes)


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
    """Of a softmax whose argument is shifted by its maximum (which the law above sees to), or of
    one of its elements over the sum."""
    weights, total = node.inputs[0].inputs
    core = weights
    while core.op.name in _MOVES:
        core = core.inputs[0]
    if core.op is not exp or not has_exponentials(total):
        return None
    axes = spread_sum(total, weights)
    if axes is not None and not is_shifted(core.inputs[0], axes, scope):
        return None
    return _again(weights, core, core.inputs[0]) - node.op(total)


#: what may stand between a softmax and its logarithm: elements are moved, none is added
_MOVES = frozenset({"slice", "reshape", "transpose", "broadcast_to", "take"})


@rule(
    "log (part of x / y) = part of (log x / y)",
    "log",
    lambda keys: keys[0] in _MOVES,
    grade="accurate",
    examples=(
        "x: f64[3,4] ; exp x ; sum %0 axes=(1,) ; reshape %1 shape=(3, 1) ; div %0, %2"
        " ; slice %3 start=(0, 1) step=(1, 1) shape=(3, 1) ; log %4",
    ),
    domain="everywhere: the same values; the laws of logarithms see the quotient",
)
def log_of_part(node: Node, scope: Scope) -> Node | None:
    """Of a softmax: the part that cross-entropies pick."""
    core = node.inputs[0]
    while core.op.name in _MOVES:
        core = core.inputs[0]
    if core.op.name == "sigmoid":
        return _again(node.inputs[0], core, node.op(core))
    if core.op.name != "div" or core.inputs[0].op.name != "exp":
        return None
    if spread_sum(core.inputs[1], core.inputs[0]) is None:
        return None
    return _again(node.inputs[0], core, node.op(core))


#: factors that would hide a form
ONES: tuple[Law, ...] = (law("x * 1", "x", dtypes="iuf"), law("x / 1", "x"))

STABLE: tuple[Law, ...] = (
    *_ELEMENTARY, log_sum_exp, naive_softmax, log_softmax, log_of_part, log_of_power,
    log_of_product, tanh_by_hand, share_of_two, *QUOTIENTS,
)  # fmt: skip

#: the same for sums whose logarithm may cancel the shift: as near as sums in another order
MEANS: tuple[Law, ...] = (log_mean_exp,)
