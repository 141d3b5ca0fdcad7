"""Laws of arithmetic, logic, selection, comparison and conversion, and of sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.node import Node, constant
from ..ir.op import Kind, lookup
from ..ir.types import is_floating, is_integer, numpy_dtype
from ..ops.shape import broadcast_to, reshape, transpose
from ..ops.table import Fold
from .patterns import Environment, number
from .rewrite import Law, Scope, law, rule
from .stable import ONES

__all__ = ["ALGEBRA"]

NUMBER = "iuf"
INTEGER = "iu"
EVERY = "biuf"

# --- conditions -----------------------------------------------------------------------------------


def _power_of_two(value: float) -> bool:
    return math.isfinite(value) and abs(math.frexp(value)[0]) == 0.5


def _has_exact_reciprocal(env: Environment) -> bool:
    """Whether 1 / c is a normal number, exactly."""
    c = env["c"]
    value = number(c)
    smallest = float(np.finfo(numpy_dtype(c.dtype)).smallest_normal)
    return _power_of_two(value) and smallest <= abs(1 / value) and smallest <= abs(value)


def _reciprocal(c: Node) -> Node:
    """1 / c as a literal: as an expression, with x = 1, it would be the law's left side again."""
    return constant(1 / number(c), c.dtype)


def _product_is_exact(env: Environment) -> bool:
    """Powers of two whose product is a normal number: scaling by it rounds at most once."""
    c, d = number(env["c"]), number(env["d"])
    if not (_power_of_two(c) and _power_of_two(d)):
        return False
    limits = np.finfo(numpy_dtype(env["c"].dtype))
    return float(limits.smallest_normal) <= abs(c * d) <= float(limits.max)


def _exponent(*values: float) -> Any:
    return lambda env: number(env["c"]) in values


def _lossless(source: str, target: str) -> bool:
    """Whether every value of dtype ``source`` is a value of dtype ``target``."""
    if source == target:
        return True
    a, b = numpy_dtype(source), numpy_dtype(target)
    if is_integer(source) and is_floating(target):
        return 8 * a.itemsize - (source[0] == "i") <= np.finfo(b).nmant + 1
    return np.can_cast(a, b, "safe")


# --- arithmetic -----------------------------------------------------------------------------------

ARITHMETIC: tuple[Law, ...] = (
    *ONES,
    law("x - 0", "x", dtypes=NUMBER),
    law("x + -0.0", "x"),  # x + 0.0 is not x for x = -0.0
    law("x + 0", "x", dtypes=INTEGER),
    law("x + 0.0", "x", grade="fast"),
    law("x * 0", "0", dtypes=INTEGER),  # for floats, nan * 0 is nan
    law("x - x", "0", dtypes=INTEGER),
    law("0 - x", "-x", dtypes="i"),  # for floats, 0 - 0 is 0 and -0 is -0.0
    law("-0.0 - x", "-x"),
    law("-(-x)", "x", dtypes=NUMBER),
    law("x * -1", "-x", dtypes="if"),
    law("x / -1", "-x"),
    law("x + -y", "x - y", dtypes=NUMBER),
    law("x - -y", "x + y", dtypes=NUMBER),
    law("-(x - y)", "y - x", dtypes=INTEGER, name="-(x - y) = y - x, of integers"),
    law("-(x - y)", "y - x", grade="accurate", single="sub",
        domain="everywhere: rounding is symmetric; 0 - 0 may lose a sign"),
    law("-x - y", "-(x + y)", grade="accurate",
        domain="everywhere: rounding is symmetric; x - x may gain a sign"),
    law("-x * -y", "x * y", dtypes=NUMBER),
    law("-x / -y", "x / y"),
    law("-x * c", lambda e: e["x"] * -e["c"], name="-x * c = x * (-c)", dtypes="if"),
    law("-x / c", lambda e: e["x"] / -e["c"], name="-x / c = x / (-c)"),
    law("c / -x", lambda e: -e["c"] / e["x"], name="c / -x = (-c) / x"),
    law("-(x * c)", lambda e: e["x"] * -e["c"], name="-(x * c) = x * (-c)", dtypes="if",
        single="mul"),
    law("-(x / c)", lambda e: e["x"] / -e["c"], name="-(x / c) = x / (-c)", single="div"),
    law("-(c / x)", lambda e: -e["c"] / e["x"], name="-(c / x) = (-c) / x", single="div"),
    law("-x * y", "-(x * y)", dtypes=NUMBER),
    law("-x / y", "-(x / y)"),
    law("x / -y", "-(x / y)"),
    law("x + c + d", lambda e: e["x"] + (e["c"] + e["d"]), name="x + c + d = x + (c + d)",
        dtypes=INTEGER),
    law("x * c * d", lambda e: e["x"] * (e["c"] * e["d"]), name="x * c * d = x * (c * d)",
        dtypes=INTEGER),
    law("x * c * d", lambda e: e["x"] * (e["c"] * e["d"]),
        name="x * c * d = x * (c * d), powers of two", grade="accurate", when=_product_is_exact,
        domain="rounds once at most; overflows or underflows only where the result does"),
    law("x / c", lambda e: e["x"] * _reciprocal(e["c"]), name="x / c = x * (1 / c), power of two",
        when=_has_exact_reciprocal),
    law("x / c", lambda e: e["x"] * _reciprocal(e["c"]), name="x / c = x * (1 / c)", grade="fast"),
    law("x * c * d", lambda e: e["x"] * (e["c"] * e["d"]), name="x * c * d = x * (c * d), rounded",
        grade="fast"),
    law("x * (1 / y)", "x / y", grade="accurate", single="div",
        domain="one rounding in place of two; 1 / y may overflow where x / y does not"),
    law("x * reciprocal(y)", "x / y", grade="accurate", single="reciprocal",
        domain="one rounding in place of two; 1 / y may overflow where x / y does not"),
    law("1 / sqrt(x)", "rsqrt(x)", single="sqrt"),
    law("abs(abs(x))", "abs(x)", dtypes="if"),
    law("abs(-x)", "abs(x)", dtypes="if"),
    law("abs(x * x)", "x * x"),
    law("abs(x) * abs(x)", "x * x", dtypes="if"),
    law("maximum(x, x)", "x", dtypes=EVERY),
    law("minimum(x, x)", "x", dtypes=EVERY),
    law("maximum(x, maximum(x, y))", "maximum(x, y)", dtypes=EVERY),
    law("minimum(x, minimum(x, y))", "minimum(x, y)", dtypes=EVERY),
    law("relu(relu(x))", "relu(x)"),
    law("stop_gradient(x)", "x", dtypes=EVERY),  # all derivatives are taken by now
)  # fmt: skip

# --- powers ---------------------------------------------------------------------------------------

POWERS: tuple[Law, ...] = (
    law("x ** 0", "1"),
    law("x ** 1", "x"),
    law("x ** 2", "x * x", grade="accurate", domain="everywhere: one correct rounding"),
    law("x ** -1", "1 / x", grade="accurate", domain="everywhere: one correct rounding"),
    law("x ** c", lambda e: e["x"] * e["x"] * e["x"], name="x ** 3 = x * x * x",
        when=_exponent(3), grade="accurate", domain="everywhere, within 1 ulp"),
    law("x ** c", lambda e: _square(_square(e["x"])), name="x ** 4 = (x * x) * (x * x)",
        when=_exponent(4), grade="accurate", domain="everywhere, within 1.5 ulp"),
    # the square of the reciprocal: x * x may overflow where 1 / (x * x) can still be held
    law("x ** c", lambda e: _square(1 / e["x"]), name="x ** -2 = (1 / x) * (1 / x)",
        when=_exponent(-2), grade="accurate", domain="everywhere, within 2 ulp"),
    law("x ** 0.5", lambda e: _root(e["x"]), name="x ** 0.5 = sqrt(x)", grade="accurate",
        domain="everywhere: one correct rounding; -0.0 and -inf are mended where they can occur"),
    law("x ** c", lambda e: 1 / _root(e["x"]), name="x ** -0.5 = 1 / sqrt(x)",
        when=_exponent(-0.5), grade="accurate", domain="everywhere, within 1 ulp"),
)  # fmt: skip


def _square(x: Node) -> Node:
    return x * x


def _never_negative(x: Node, depth: int = 8) -> bool:
    """Whether x is at least +0.0, or nan, whatever the inputs."""
    name = x.op.name
    if name == "mul":
        return x.inputs[0] is x.inputs[1]
    if name in ("exp", "abs", "sigmoid", "softplus", "cosh"):
        return True
    if depth and name in ("add", "maximum", "sum"):
        return all(_never_negative(y, depth - 1) for y in x.inputs)
    value = number(x) if name == "constant" and not x.shape else -1.0
    return bool(value > 0)


def _root(x: Node) -> Node:
    """``x ** 0.5``: unlike sqrt, it maps -0.0 to 0.0 and -inf to inf."""
    sqrt, where, eq = lookup("sqrt"), lookup("where"), lookup("eq")
    if _never_negative(x):
        return sqrt(x)
    infinite = eq(x, constant(-math.inf, x.dtype))
    return where(infinite, constant(math.inf, x.dtype), sqrt(x + 0.0))


# --- logic and comparison -------------------------------------------------------------------------

LOGIC: tuple[Law, ...] = (
    law("~~x", "x", dtypes="biu"),
    law("x & x", "x", dtypes="biu"),
    law("x | x", "x", dtypes="biu"),
    law("x & True", "x", dtypes="b"),
    law("x & False", "False", dtypes="b"),
    law("x | False", "x", dtypes="b"),
    law("x | True", "True", dtypes="b"),
    law("x & 0", "0", dtypes=INTEGER),
    law("x | 0", "x", dtypes=INTEGER),
    law("x & ~x", "False", dtypes="b"),
    law("x | ~x", "True", dtypes="b"),
    law("x & (x & y)", "x & y", dtypes="biu"),
    law("x | (x | y)", "x | y", dtypes="biu"),
    law("x & (x | y)", "x", dtypes="biu"),
    law("x | (x & y)", "x", dtypes="biu"),
    law("~(x == y)", "x != y", dtypes=EVERY),
    law("~(x != y)", "x == y", dtypes=EVERY),
    law("x < x", "False", dtypes=EVERY),
    law("x > x", "False", dtypes=EVERY),
    law("x == x", "True", dtypes="biu"),  # for floats: false where x is nan
    law("x <= x", "True", dtypes="biu"),
    law("x >= x", "True", dtypes="biu"),
    law("x != x", "False", dtypes="biu"),
    law("x != x", "isnan(x)"),
    law("x == True", "x", dtypes="b"),
    law("x == False", "~x", dtypes="b"),
    law("x != True", "~x", dtypes="b"),
    law("x != False", "x", dtypes="b"),
)


def _negated_order(name: str, opposite: str) -> Law:
    @rule(
        f"not ({name} x, y) = {opposite} x, y",
        "not",
        (name,),
        examples=f"x: i32[3], y: i32[3] ; {name} x, y ; not %0",
    )
    def negate(node: Node, scope: Scope) -> Node | None:
        """Of integers: floats may be nan, for which both are false."""
        x, y = node.inputs[0].inputs
        return None if is_floating(x.dtype) else lookup(opposite)(x, y)

    return negate


LOGIC += (
    _negated_order("lt", "ge"),
    _negated_order("le", "gt"),
    _negated_order("gt", "le"),
    _negated_order("ge", "lt"),
)

# --- selection ------------------------------------------------------------------------------------

SELECTION: tuple[Law, ...] = (
    law("where(x, y, y)", "y", dtypes="b"),
    law("where(True, x, y)", "x", dtypes="b"),
    law("where(False, x, y)", "y", dtypes="b"),
    law("where(~z, x, y)", "where(z, y, x)", dtypes="b"),
    law("where(z, where(z, x, y), w)", "where(z, x, w)", dtypes="b"),
    law("where(z, x, where(z, y, w))", "where(z, x, w)", dtypes="b"),
    law("where(z, where(v, x, y), y)", "where(z & v, x, y)", dtypes="b", single="where"),
    law("where(z, True, False)", "z", dtypes="b"),
    law("where(z, False, True)", "~z", dtypes="b"),
    law("where(z, x, False)", "z & x", dtypes="b"),
    law("where(z, True, x)", "z | x", dtypes="b"),
)

# --- conversion -----------------------------------------------------------------------------------


@rule(
    "cast x to its dtype = x",
    "cast",
    examples="x: f32[3] ; cast x dtype=f32",
)
def same_cast(node: Node, scope: Scope) -> Node | None:
    """A conversion to the dtype that x has."""
    return node.inputs[0] if node.inputs[0].dtype == node.dtype else None


@rule(
    "cast (cast x) = cast x",
    "cast",
    ("cast",),
    examples=(
        "x: f32[3] ; cast x dtype=f64 ; cast %0 dtype=f32",
        "x: u8[3] ; cast x dtype=i32 ; cast %0 dtype=f32",
        "x: bool ; cast x dtype=f32 ; cast %0 dtype=f64",
    ),
)
def cast_of_cast(node: Node, scope: Scope) -> Node | None:
    """When the dtype in between holds every value of x."""
    x = node.inputs[0].inputs[0]
    if not _lossless(x.dtype, node.inputs[0].dtype):
        return None
    # Out-of-range floats convert to integers as the source dtype pleases.
    if is_floating(x.dtype) and not is_floating(node.dtype):
        return None
    through_float = is_floating(node.inputs[0].dtype) and not is_floating(x.dtype)
    if through_float and not is_floating(node.dtype) and not _lossless(x.dtype, node.dtype):
        return None
    return lookup("cast")(x, dtype=node.dtype)


@rule(
    "round (cast integer) = cast integer",
    Kind.POINTWISE,
    ("cast",),
    examples="x: i8[3] ; cast x dtype=f32 ; floor %0",
)
def round_integer(node: Node, scope: Scope) -> Node | None:
    """Integers and bools, once floats, have nothing to round."""
    if node.op.name not in _ROUNDINGS or is_floating(node.inputs[0].inputs[0].dtype):
        return None
    return node.inputs[0]


_ROUNDINGS = frozenset({"floor", "ceil", "trunc", "round"})


@rule(
    "round (round x) = round x",
    Kind.POINTWISE,
    lambda keys: len(keys) == 1 and keys[0] in _ROUNDINGS,
    examples="x: f64[3] ; ceil x ; floor %0",
)
def round_of_round(node: Node, scope: Scope) -> Node | None:
    """Any rounding to integers of an integer leaves it."""
    return node.inputs[0] if node.op.name in _ROUNDINGS else None


CONVERSION: tuple[Law, ...] = (same_cast, cast_of_cast, round_integer, round_of_round)

# --- reductions -----------------------------------------------------------------------------------

#: Folds whose order does not show in the result.
_ORDERLESS = ("minimum", "maximum", "and", "or")


def _combines(node: Node) -> str | None:
    """The scalar that a reduction folds with, if the fold is just that."""
    return node.op.lower.combine if isinstance(node.op.lower, Fold) else None


def _orderless(node: Node) -> bool:
    return _combines(node) in _ORDERLESS or (
        _combines(node) is not None and not is_floating(node.dtype)
    )


@rule(
    "reduction over extents of 1 = reshape",
    Kind.REDUCTION,
    grade="accurate",
    domain="everywhere: folding one element gives that element (a sum may lose the sign of -0.0)",
    examples=(
        "x: f64[3,1] ; sum x axes=(1,)",
        "x: f64[3] ; max x axes=()",
    ),
)
def reduce_nothing(node: Node, scope: Scope) -> Node | None:
    x = node.inputs[0]
    axes = node["axes"]
    if _combines(node) is None or x.dtype != node.dtype or any(x.shape[a] != 1 for a in axes):
        return None
    return reshape(x, shape=node.shape) if axes else x


def _outer_axes(inner: Sequence[int], outer: Sequence[int], rank: int) -> tuple[int, ...]:
    """The axes that an outer reduction folds, counted before the inner one."""
    left = [i for i in range(rank) if i not in inner]
    return tuple(sorted([*inner, *(left[a] for a in outer)]))


def _merge_reductions(node: Node, scope: Scope) -> Node | None:
    inner = node.inputs[0]
    if inner.op is not node.op or _combines(node) is None or not scope.single(inner):
        return None
    x = inner.inputs[0]
    return node.op(x, axes=_outer_axes(inner["axes"], node["axes"], len(x.shape)))


@rule(
    "max (max x) = max x",
    Kind.REDUCTION,
    examples="x: f64[2,3,4] ; max x axes=(2,) ; max %0 axes=(0,)",
)
def reduction_of_reduction(node: Node, scope: Scope) -> Node | None:
    """Folds in which order does not show: max, min, any, all, and integer sums."""
    return _merge_reductions(node, scope) if _orderless(node) else None


@rule(
    "sum (sum x) = sum x",
    Kind.REDUCTION,
    grade="accurate",
    examples="x: f64[2,3,4] ; sum x axes=(2,) ; sum %0 axes=(0,)",
    domain="everywhere: the same sum in another order",
)
def sum_of_sum(node: Node, scope: Scope) -> Node | None:
    return None if _orderless(node) else _merge_reductions(node, scope)


@rule(
    "reduction of broadcast = reduction of what is not repeated",
    Kind.REDUCTION,
    ("broadcast_to",),
    grade="accurate",
    examples=(
        "x: f64[3] ; broadcast_to x shape=(5, 3) ; sum %0 axes=(0,)",
        "x: f64[3,1] ; broadcast_to x shape=(3, 7) ; sum %0 axes=(0, 1)",
        "x: f32 ; broadcast_to x shape=(5,) ; max %0 axes=(0,)",
        "x: f64[3] ; broadcast_to x shape=(5, 3) ; sum %0 axes=(1,)",
    ),
    domain="everywhere: n * x rounds once, adding x n times rounds n - 1 times",
)
def reduce_broadcast(node: Node, scope: Scope) -> Node | None:
    wide = node.inputs[0]
    x = wide.inputs[0]
    combine = _combines(node)
    if combine not in (*_ORDERLESS, "add") or x.dtype != node.dtype:
        return None
    offset = len(wide.shape) - len(x.shape)
    axes = node["axes"]
    repeated = [a for a in axes if wide.shape[a] != 1 and (a < offset or x.shape[a - offset] == 1)]
    count = math.prod(wide.shape[a] for a in repeated)
    if math.prod(wide.shape) == math.prod(x.shape) or count == 0:
        return None
    result = node.op(x, axes=tuple(a - offset for a in axes if a >= offset))
    if combine == "add" and count > 1:
        largest = {"f16": 2048, "f32": 2**24, "f64": 2**53}.get(node.dtype)
        if largest is not None and count > largest:
            return None
        if largest is None and count > np.iinfo(numpy_dtype(node.dtype)).max:
            return None
        result = result * constant(count, node.dtype)
    kept = tuple(n for i, n in enumerate(wide.shape) if i not in axes)
    return _broadcast_trailing(result, kept)


def _broadcast_trailing(x: Node, shape: tuple[int, ...]) -> Node:
    return x if x.shape == shape else broadcast_to(x, shape=shape)


@rule(
    "reduction of transpose = transpose of reduction",
    Kind.REDUCTION,
    ("transpose",),
    grade="accurate",
    examples=(
        "x: f64[2,3] ; transpose x axes=(1, 0) ; sum %0 axes=(1,)",
        "x: f64[2,3,4] ; transpose x axes=(2, 0, 1) ; max %0 axes=(2,)",
    ),
    domain="everywhere: the same sum in another order",
)
def reduce_transpose(node: Node, scope: Scope) -> Node | None:
    permutation = node.inputs[0]["axes"]
    if _combines(node) is None:
        return None
    inner = tuple(sorted(permutation[a] for a in node["axes"]))
    left = [a for i, a in enumerate(permutation) if i not in node["axes"]]
    order = tuple(sorted(left).index(a) for a in left)
    result = node.op(node.inputs[0].inputs[0], axes=inner)
    return transpose(result, axes=order) if order != tuple(range(len(order))) else result


@rule(
    "full reduction of reshape = full reduction",
    Kind.REDUCTION,
    ("reshape",),
    grade="accurate",
    examples="x: f64[2,3] ; reshape x shape=(6,) ; sum %0 axes=(0,)",
    domain="everywhere: the same sum in another order",
)
def reduce_reshape(node: Node, scope: Scope) -> Node | None:
    x = node.inputs[0].inputs[0]
    if _combines(node) is None or len(node["axes"]) != len(node.inputs[0].shape):
        return None
    return node.op(x, axes=tuple(range(len(x.shape))))


@rule(
    "sum of pad = sum",
    Kind.REDUCTION,
    ("pad",),
    grade="accurate",
    examples="x: f64[4] ; pad x low=(2,) high=(1,) interior=(1,) ; sum %0 axes=(0,)",
    domain="everywhere: zeros add nothing",
)
def sum_of_pad(node: Node, scope: Scope) -> Node | None:
    if _combines(node) != "add":
        return None
    padded = node.inputs[0]
    widths = zip(padded["low"], padded["high"], padded["interior"], strict=True)
    axes = node["axes"]
    if any(max(w) and i not in axes for i, w in enumerate(widths)):
        return None
    return node.op(padded.inputs[0], axes=axes)


@rule(
    "item of pack = operand",
    "item",
    ("pack",),
    examples="x: f64, y: i8[2] ; pack x, y ; return %0.1",
)
def item_of_pack(node: Node, scope: Scope) -> Node | None:
    """Packing and picking undo each other."""
    return node.inputs[0].inputs[node["index"]]


@rule(
    "sum (-x) = -(sum x)",
    Kind.REDUCTION,
    ("neg",),
    grade="accurate",
    examples="x: f64[2,3] ; neg x ; sum %0 axes=(1,)",
    domain="everywhere: rounding is symmetric; a sum of 0 may lose its sign",
)
def sum_of_neg(node: Node, scope: Scope) -> Node | None:
    if _combines(node) != "add" or node.dtype[0] == "u":
        return None
    return -node.op(node.inputs[0].inputs[0], axes=node["axes"])


REDUCTIONS: tuple[Law, ...] = (
    reduce_nothing, reduction_of_reduction, sum_of_sum, reduce_broadcast, reduce_transpose,
    reduce_reshape, sum_of_pad, sum_of_neg,
)  # fmt: skip

ALGEBRA: tuple[Law, ...] = (
    *ARITHMETIC, *POWERS, *LOGIC, *SELECTION, *CONVERSION, *REDUCTIONS, item_of_pack,
)  # fmt: skip
