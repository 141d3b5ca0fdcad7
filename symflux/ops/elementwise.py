"""Elementwise ops: a table of calculus. Each row: domain, partial derivatives, NumPy meaning."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.node import Node
from ..ir.op import LOCALLY_CONSTANT, Selection
from ..ir.types import ArrayType, broadcast_shapes
from .table import pointwise

NUMBER = "iuf"

# --- arithmetic -----------------------------------------------------------------------------------

add = pointwise(
    "add", domain=NUMBER, partials=lambda out, x, y: (1, 1), oracle=np.add, commutative=True
)
sub = pointwise("sub", domain=NUMBER, partials=lambda out, x, y: (1, -1), oracle=np.subtract)
mul = pointwise(
    "mul", domain=NUMBER, partials=lambda out, x, y: (y, x), oracle=np.multiply, commutative=True
)
div = pointwise("div", partials=lambda out, x, y: (1 / y, -out / y), oracle=np.divide)
neg = pointwise("neg", domain=NUMBER, partials=lambda out, x: (-1,), oracle=np.negative)

# --- exponentials and logarithms ------------------------------------------------------------------

exp = pointwise("exp", partials=lambda out, x: (out,), oracle=np.exp)
log = pointwise("log", partials=lambda out, x: (1 / x,), oracle=np.log)
sqrt = pointwise("sqrt", partials=lambda out, x: (0.5 / out,), oracle=np.sqrt)

# --- trigonometry ---------------------------------------------------------------------------------

sin = pointwise("sin", partials=lambda out, x: (cos(x),), oracle=np.sin)
cos = pointwise("cos", partials=lambda out, x: (-sin(x),), oracle=np.cos)
tanh = pointwise("tanh", partials=lambda out, x: (1 - out * out,), oracle=np.tanh)

# --- comparison and selection ---------------------------------------------------------------------

lt = pointwise(
    "lt", domain="biuf", result="bool", partials=LOCALLY_CONSTANT, oracle=np.less
)


def _where_type(condition: ArrayType, x: ArrayType, y: ArrayType) -> ArrayType:
    if condition.dtype != "bool":
        raise TypeError(f"where: the condition must be bool, got {condition}")
    if x.dtype != y.dtype:
        raise TypeError(f"where: both branches must share a dtype, got {x} and {y}")
    return ArrayType(broadcast_shapes(condition.shape, x.shape, y.shape), x.dtype)


where = pointwise(
    "where",
    partials=Selection(lambda out, condition, x, y: (None, condition, logical_not(condition))),
    infer=_where_type,
    oracle=np.where,
    lower="select",
)
logical_not = pointwise("not", domain="bi", partials=LOCALLY_CONSTANT, oracle=np.invert)


def _cast_type(x: ArrayType, *, dtype: str) -> ArrayType:
    return ArrayType(x.shape, dtype)
