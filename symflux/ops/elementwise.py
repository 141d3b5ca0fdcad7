"""Elementwise ops: a table of calculus. Each row: domain, partial derivatives, NumPy meaning.

Partial derivatives are written in terms of ``out`` where that is cheaper, and so that they stay
finite where the derivative is. What they are at kinks is in ``docs/conventions.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.node import Node, constant, constant_value
from ..ir.op import LOCALLY_CONSTANT, Linear, Op, Selection
from ..ir.types import ArrayType, broadcast_shapes, numpy_dtype
from .pairs import arctan2_slope, power_less, power_less_partials
from .slopes import (
    arccosh_slope,
    arcsin_slope,
    arcsinh_slope,
    arctan_slope,
    arctanh_slope,
    gaussian,
    sigmoid_slope,
    tanh_slope,
)
from .special import (
    lower_log_cosh,
    lower_polygamma,
    lower_sinc,
    lower_sinc_pi,
    oracle_erf,
    oracle_erfc,
    oracle_lgamma,
    oracle_log_cosh,
    oracle_polygamma,
    oracle_sinc,
    oracle_sinc_pi,
)
from .table import pointwise

__all__ = [
    "abs_",
    "add",
    "and_",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cast",
    "ceil",
    "copysign",
    "cos",
    "cosh",
    "div",
    "eq",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "floordiv",
    "ge",
    "gt",
    "isfinite",
    "isnan",
    "le",
    "lgamma",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_cosh",
    "logical_not",
    "lt",
    "maximum",
    "minimum",
    "mod",
    "mul",
    "ne",
    "neg",
    "or_",
    "polygamma",
    "pow_",
    "reciprocal",
    "relu",
    "round_",
    "rsqrt",
    "shl",
    "shr",
    "sigmoid",
    "sign",
    "sin",
    "sinc",
    "sinc_pi",
    "sinh",
    "softplus",
    "sqrt",
    "stop_gradient",
    "sub",
    "tan",
    "tanh",
    "trunc",
    "where",
    "xor",
]  # fmt: skip

NUMBER = "iuf"
EVERY = "biuf"


def _either(condition: Node, x: Any, y: Any, dtype: str) -> Node:
    """``where`` with plain numbers for branches."""
    branches = [v if isinstance(v, Node) else constant(v, dtype) for v in (x, y)]
    return where(condition, *branches)


# --- arithmetic -----------------------------------------------------------------------------------

add = pointwise(
    "add",
    domain=NUMBER,
    partials=lambda out, x, y: (1, 1),
    oracle=np.add,
    commutative=True,
    doc="x + y.",
)
sub = pointwise(
    "sub", domain=NUMBER, partials=lambda out, x, y: (1, -1), oracle=np.subtract, doc="x - y."
)
mul: Op = pointwise(
    "mul",
    domain=NUMBER,
    partials=lambda out, x, y: (y, x),
    oracle=np.multiply,
    commutative=True,
    doc="x · y.",
)
div = pointwise(
    "div", partials=lambda out, x, y: (1 / y, -out / y), oracle=np.divide, doc="x / y, of floats."
)
floordiv: Op = pointwise(
    "floordiv",
    domain=NUMBER,
    partials=LOCALLY_CONSTANT,
    oracle=np.floor_divide,
    doc="x / y rounded down; for integers, 0 where y is 0.",
)
mod = pointwise(
    "mod",
    domain=NUMBER,
    partials=lambda out, x, y: (1, -floordiv(x, y)),
    oracle=np.remainder,
    doc="x - y · floordiv(x, y): has the sign of y; for integers, 0 where y is 0.",
)
neg = pointwise("neg", domain=NUMBER, partials=lambda out, x: (-1,), oracle=np.negative, doc="-x.")
abs_: Op = pointwise(
    "abs", domain=NUMBER, partials=lambda out, x: (sign(x),), oracle=np.absolute, doc="|x|."
)
sign: Op = pointwise(
    "sign",
    domain=NUMBER,
    partials=LOCALLY_CONSTANT,
    oracle=np.sign,
    doc="-1, 0 or 1 as x is below, at or above 0; nan stays nan.",
)
reciprocal: Op = pointwise(
    "reciprocal",
    partials=lambda out, x: (-out * out,),
    oracle=lambda x: 1 / x,
    lower=lambda b, x: b.let("div", 1.0, x),
    doc="1 / x.",
)


def _winner_takes(reaches: Op) -> Callable[..., tuple[Node, Node]]:
    """Partials of minimum and maximum: 1 for the operand that wins, 1/2 for each at a tie."""

    def partials(out: Node, x: Node, y: Node) -> tuple[Node, Node]:
        share = _either(eq(x, y), 0.5, 1, out.dtype)
        first = _either(reaches(x, y), share, 0, out.dtype)
        second = _either(reaches(y, x), share, 0, out.dtype)
        return first, second

    return partials


minimum: Op = pointwise(
    "minimum",
    domain=EVERY,
    partials=lambda out, x, y: _winner_takes(le)(out, x, y),
    oracle=np.minimum,
    commutative=True,
    doc="The smaller of x and y; nan if either is.",
)
maximum: Op = pointwise(
    "maximum",
    domain=EVERY,
    partials=lambda out, x, y: _winner_takes(ge)(out, x, y),
    oracle=np.maximum,
    commutative=True,
    doc="The larger of x and y; nan if either is.",
)
copysign: Op = pointwise(
    "copysign",
    partials=lambda out, x, y: (sign(x) * copysign(constant(1, y.dtype), y), None),
    oracle=np.copysign,
    doc="|x| with the sign of y.",
)


def _times_power(x: Node, exponent: float, factor: float) -> Node | int:
    """``factor * x ** exponent`` for plain numbers."""
    if exponent == 0:
        return constant(factor, x.dtype)
    power = x if exponent == 1 else mul(x, x) if exponent == 2 else pow_(x, exponent)
    return power * factor


def _pow_partials(out: Node, x: Node, y: Node) -> tuple[Any, Any]:
    """y · x^(y-1) and x^y · log x, without nan where a factor is 0 and the other infinite."""
    literal = constant_value(y)
    if literal is not None and literal.ndim == 0:
        exponent = float(literal)
        if exponent == 0:
            return None, None
        lowered = float(literal - literal.dtype.type(1))
        if math.isfinite(exponent) and math.fsum((exponent, -1.0, -lowered)):  # it was rounded
            return power_less(x, y, less=1) * exponent, None
        return _times_power(x, lowered, exponent), None
    return power_less_partials(out, x, y, less=0)


pow_: Op = pointwise(
    "pow", partials=_pow_partials, oracle=np.power, doc="x to the power y, of floats."
)

# --- exponentials and logarithms ------------------------------------------------------------------

exp: Op = pointwise("exp", partials=lambda out, x: (out,), oracle=np.exp, doc="e to the power x.")
exp2 = pointwise(
    "exp2", partials=lambda out, x: (out * math.log(2),), oracle=np.exp2, doc="2 to the power x."
)
expm1 = pointwise(
    "expm1", partials=lambda out, x: (exp(x),), oracle=np.expm1, doc="exp(x) - 1, exact near 0."
)
log: Op = pointwise(
    "log", partials=lambda out, x: (1 / x,), oracle=np.log, doc="Natural logarithm."
)
log2 = pointwise(
    "log2", partials=lambda out, x: (math.log2(math.e) / x,), oracle=np.log2, doc="Base 2."
)
log10 = pointwise(
    "log10", partials=lambda out, x: (math.log10(math.e) / x,), oracle=np.log10, doc="Base 10."
)
log1p = pointwise(
    "log1p",
    partials=lambda out, x: (1 / (x + 1),),
    oracle=np.log1p,
    doc="log(1 + x), exact near 0.",
)
sqrt = pointwise("sqrt", partials=lambda out, x: (0.5 / out,), oracle=np.sqrt, doc="Square root.")
rsqrt: Op = pointwise(
    "rsqrt",
    partials=lambda out, x: (-0.5 * out / x,),
    oracle=lambda x: 1 / np.sqrt(x),
    lower=lambda b, x: b.let("div", 1.0, b.let("sqrt", x)),
    doc="1 / sqrt(x).",
)

# --- trigonometry ---------------------------------------------------------------------------------

sin: Op = pointwise("sin", partials=lambda out, x: (cos(x),), oracle=np.sin, doc="Sine of radians.")
cos: Op = pointwise(
    "cos", partials=lambda out, x: (-sin(x),), oracle=np.cos, doc="Cosine of radians."
)
tan = pointwise(
    "tan", partials=lambda out, x: (out * out + 1,), oracle=np.tan, doc="Tangent of radians."
)
arcsin = pointwise(
    "arcsin",
    partials=lambda out, x: (arcsin_slope(x),),
    oracle=np.arcsin,
    doc="Inverse sine, in [-π/2, π/2].",
)
arccos = pointwise(
    "arccos",
    partials=lambda out, x: (-arcsin_slope(x),),
    oracle=np.arccos,
    doc="Inverse cosine, in [0, π].",
)
arctan = pointwise(
    "arctan",
    partials=lambda out, x: (arctan_slope(x),),
    oracle=np.arctan,
    doc="Inverse tangent, in [-π/2, π/2].",
)


arctan2 = pointwise(
    "arctan2",
    partials=lambda out, y, x: (arctan2_slope(x, y), -arctan2_slope(y, x)),
    oracle=np.arctan2,
    doc="The angle of the point (second operand, first operand), in [-π, π].",
)
sinh: Op = pointwise(
    "sinh", partials=lambda out, x: (cosh(x),), oracle=np.sinh, doc="Hyperbolic sine."
)
cosh: Op = pointwise(
    "cosh", partials=lambda out, x: (sinh(x),), oracle=np.cosh, doc="Hyperbolic cosine."
)
tanh = pointwise(
    "tanh",
    partials=lambda out, x: (tanh_slope(out, x),),
    oracle=np.tanh,
    doc="Hyperbolic tangent.",
)
arcsinh = pointwise(
    "arcsinh",
    partials=lambda out, x: (arcsinh_slope(x),),
    oracle=np.arcsinh,
    doc="Inverse hyperbolic sine.",
)
arccosh = pointwise(
    "arccosh",
    partials=lambda out, x: (arccosh_slope(x),),
    oracle=np.arccosh,
    doc="Inverse hyperbolic cosine, of x ≥ 1.",
)
arctanh = pointwise(
    "arctanh",
    partials=lambda out, x: (arctanh_slope(x),),
    oracle=np.arctanh,
    doc="Inverse hyperbolic tangent, of |x| ≤ 1.",
)

# --- learning and probability ---------------------------------------------------------------------


def _oracle_sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


sigmoid: Op = pointwise(
    "sigmoid",
    partials=lambda out, x: (sigmoid_slope(out, x),),
    oracle=_oracle_sigmoid,
    doc="1 / (1 + exp(-x)).",
)
softplus = pointwise(
    "softplus",
    partials=lambda out, x: (sigmoid(x),),
    oracle=lambda x: np.logaddexp(x, x.dtype.type(0)),
    lower=lambda b, x: b.let("maximum", x, 0.0) + b.let("log1p", b.let("exp", -b.let("abs", x))),
    doc="log(1 + exp(x)), without overflow.",
)
log_cosh = pointwise(
    "log_cosh",
    partials=lambda out, x: (tanh(x),),
    oracle=oracle_log_cosh,
    lower=lower_log_cosh,
    doc="log(cosh(x)), without overflow, and exact near 0.",
)
relu = pointwise(
    "relu",
    partials=lambda out, x: (_either(gt(out, constant(0, x.dtype)), 1, 0, x.dtype),),
    oracle=lambda x: np.maximum(x, x.dtype.type(0)),
    lower=lambda b, x: b.let("maximum", x, 0.0),
    doc="max(x, 0).",
)
TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)
erf = pointwise(
    "erf",
    partials=lambda out, x: (gaussian(x) * TWO_OVER_ROOT_PI,),
    oracle=oracle_erf,
    doc="Error function.",
)
erfc = pointwise(
    "erfc",
    partials=lambda out, x: (gaussian(x) * -TWO_OVER_ROOT_PI,),
    oracle=oracle_erfc,
    doc="1 - erf(x), exact in the tail.",
)
lgamma: Op = pointwise(
    "lgamma",
    partials=lambda out, x: (polygamma(x, order=0),),
    oracle=oracle_lgamma,
    doc="log |Γ(x)|.",
)
polygamma: Op = pointwise(
    "polygamma",
    partials=lambda out, x, *, order: (polygamma(x, order=order + 1),),
    oracle=oracle_polygamma,
    lower=lower_polygamma,
    doc="Derivative number ``order`` of the digamma function (order 0).",
)

sinc: Op = pointwise(
    "sinc",
    partials=lambda out, x, *, order: (sinc(x, order=order + 1),),
    oracle=oracle_sinc,
    lower=lower_sinc,
    doc="Derivative number ``order`` of sin(x) / x (order 0), 1 at 0.",
)

sinc_pi: Op = pointwise(
    "sinc_pi",
    partials=lambda out, x, *, order: (sinc_pi(x, order=order + 1),),
    oracle=oracle_sinc_pi,
    lower=lower_sinc_pi,
    doc="Derivative number ``order`` of sin(πx) / (πx) (order 0), 1 at 0.",
)

# --- rounding: constant between the jumps ---------------------------------------------------------

floor = pointwise("floor", partials=LOCALLY_CONSTANT, oracle=np.floor, doc="Rounded down.")
ceil = pointwise("ceil", partials=LOCALLY_CONSTANT, oracle=np.ceil, doc="Rounded up.")
trunc = pointwise("trunc", partials=LOCALLY_CONSTANT, oracle=np.trunc, doc="Rounded towards 0.")
round_ = pointwise(
    "round",
    partials=LOCALLY_CONSTANT,
    oracle=np.rint,
    doc="To the nearest integer, halves to even.",
)

# --- comparison -----------------------------------------------------------------------------------


def _test(name: str, oracle: Any, doc: str, domain: str = EVERY, commutative: bool = False) -> Op:
    return pointwise(
        name, domain=domain, result="bool", partials=LOCALLY_CONSTANT, oracle=oracle,
        commutative=commutative, doc=doc,
    )  # fmt: skip


eq: Op = _test("eq", np.equal, "x = y.", commutative=True)
ne = _test("ne", np.not_equal, "x ≠ y; true for nan.", commutative=True)
lt: Op = _test("lt", np.less, "x < y.")
le: Op = _test("le", np.less_equal, "x ≤ y.")
gt: Op = _test("gt", np.greater, "x > y.")
ge: Op = _test("ge", np.greater_equal, "x ≥ y.")
isnan = _test("isnan", np.isnan, "Whether x is nan.", domain="f")
isfinite = _test("isfinite", np.isfinite, "Whether x is neither nan nor infinite.", domain="f")

# --- logic and bits -------------------------------------------------------------------------------


def _bits(name: str, oracle: Any, doc: str, domain: str = "biu", commutative: bool = True) -> Op:
    return pointwise(
        name,
        domain=domain,
        partials=LOCALLY_CONSTANT,
        oracle=oracle,
        commutative=commutative,
        doc=doc,
    )


and_: Op = _bits("and", np.bitwise_and, "Of bools, or bit by bit.")
or_ = _bits("or", np.bitwise_or, "Of bools, or bit by bit.")
xor = _bits("xor", np.bitwise_xor, "Of bools, or bit by bit.")
logical_not: Op = _bits("not", np.invert, "Of a bool, or bit by bit.", commutative=False)
shl = _bits("shl", np.left_shift, "x shifted left by y bits.", domain="iu", commutative=False)
shr = _bits(
    "shr",
    np.right_shift,
    "x shifted right by y bits; the sign fills a signed x.",
    domain="iu",
    commutative=False,
)

# --- selection and conversion ---------------------------------------------------------------------


def _where_type(condition: ArrayType, x: ArrayType, y: ArrayType) -> ArrayType:
    if condition.dtype != "bool":
        raise TypeError(f"where: the condition must be bool, got {condition}")
    if x.dtype != y.dtype:
        raise TypeError(f"where: both branches must share a dtype, got {x} and {y}")
    try:
        shape = broadcast_shapes(condition.shape, x.shape, y.shape)
    except ValueError:
        shapes = f"{condition.shape}, {x.shape} and {y.shape}"
        raise ValueError(f"where: shapes {shapes} do not broadcast") from None
    return ArrayType(shape, x.dtype)


where: Op = pointwise(
    "where",
    partials=Selection(lambda out, condition, x, y: (None, condition, logical_not(condition))),
    infer=_where_type,
    oracle=np.where,
    lower="select",
    doc="x where the condition holds, else y.",
)


def _cast_type(x: ArrayType, *, dtype: str) -> ArrayType:
    numpy_dtype(dtype)
    return ArrayType(x.shape, dtype)


cast: Op = pointwise(
    "cast",
    partials=Linear(lambda ct, position, x, *, dtype: cast(ct, dtype=x.dtype)),
    infer=_cast_type,
    oracle=lambda x, *, dtype: x.astype(numpy_dtype(dtype)),
    doc="Converted to ``dtype`` as by NumPy's astype; differentiable from float to float.",
)
stop_gradient: Op = pointwise(
    "stop_gradient",
    domain=EVERY,
    partials=LOCALLY_CONSTANT,
    oracle=lambda x: x,
    lower=lambda b, x: x,
    doc="x, with a derivative of 0.",
)
