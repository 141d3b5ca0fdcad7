"""Constants: ops on constants are computed, uniform arrays become broadcast scalars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir.node import Node, constant, constant_value
from ..ir.op import Kind, Rules
from ..ir.types import ArrayType, numpy_dtype
from ..ops.shape import broadcast_to
from ..thresholds import thresholds
from .patterns import NUMBERS
from .rewrite import Law, Scope, rule

__all__ = ["FOLD"]

_CONSTANT_KEYS = NUMBERS | {"constant", "nan", "array"}


def _all_constant(keys: Sequence[str]) -> bool:
    return bool(keys) and all(key in _CONSTANT_KEYS for key in keys)


@rule(
    "op of constants = constant",
    None,
    _all_constant,
    examples=(
        "; mul 2.0, 3.0",
        "; add f32([1.0, nan]), f32(0.1)",
        "; sum [1.0, 2.0, -4.0] axes=(0,)",
        "; cast 3.7 dtype=i8",
    ),
)
def fold_constants(node: Node, scope: Scope) -> Node | None:
    """Computed by the op's NumPy meaning, in its own dtype; small results only."""
    if node.op.kind is Kind.SOURCE or isinstance(node.op.derivative, Rules):
        return None
    if not isinstance(node.type, ArrayType) or node.op is broadcast_to:
        return None
    most = thresholds.fold_most
    if node.type.size > most or sum(x.type.size for x in node.inputs) > 16 * most:
        return None
    with np.errstate(all="ignore"):
        values = [constant_value(x) for x in node.inputs]
        result = np.asarray(node.op.oracle(*values, **node.attributes))
    if result.dtype != numpy_dtype(node.dtype) or result.shape != node.shape:
        return None  # an oracle that breaks its type rule is the tests' business
    return constant(result, node.dtype)


def _uniform(node: Node, smallest: int) -> Node | None:
    """The scalar that fills a constant array of at least ``smallest`` elements, if one does (to
    the bit)."""
    array = constant_value(node)
    if array is None or array.ndim == 0 or array.size < smallest:
        return None
    flat = np.ascontiguousarray(array).reshape(-1)
    bits = flat.view(f"u{flat.itemsize}")
    return constant(flat[0], node.dtype) if (bits == bits[0]).all() else None


@rule(
    "[c, c, ...] = broadcast c",
    None,
    lambda keys: "array" in keys,
    examples="x: f64[3] ; mul x, [2.0, 2.0, 2.0]",
)
def uniform_operand(node: Node, scope: Scope) -> Node | None:
    """An operand whose elements are all the same is a broadcast scalar."""
    smallest = 1 if node.op.kind is Kind.POINTWISE else 2
    inputs = [_uniform(x, smallest) or x for x in node.inputs]
    if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
        return None
    wide = [
        a if a is b else broadcast_to(a, shape=b.shape)
        for a, b in zip(inputs, node.inputs, strict=True)
    ]
    return node.op(*wide, **node.attributes)


FOLD: tuple[Law, ...] = (fold_constants, uniform_operand)
