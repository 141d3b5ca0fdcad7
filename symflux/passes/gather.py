"""Laws of take and scatter_add."""

from __future__ import annotations

import math

from ..ir.node import Node, constant, constant_value
from ..ops.elementwise import add, cast, eq, maximum, minimum, where
from ..ops.index import iota
from ..ops.shape import broadcast_to, reshape
from .rewrite import Law, Scope, rule
from .stable import bare

__all__ = ["GATHER"]


@rule(
    "scatter_add at one index a row = where",
    "scatter_add",
    examples=(
        "x: f64[3], i: i64[3] ; scatter_add x, i axis=1 batch=1 size=4",
        "x: f64[2,1,3], i: i64[2,1] ; scatter_add x, i axis=1 batch=1 size=5",
        "x: f32[2], i: i64[] ; scatter_add x, i axis=0 size=3",
        "x: f64[2,3], i: u64[2] ; scatter_add x, i axis=2 batch=1 size=3",
    ),
)
def scatter_of_one(node: Node, scope: Scope) -> Node | None:
    """Every element is computed where it is used, instead of written over zeros."""
    updates, indices = node.inputs
    axis, size, batch = node["axis"], node["size"], node.attributes.get("batch", 0)
    if math.prod(indices.shape[batch:]) != 1 or 0 in node.shape:
        return None
    end = axis + len(indices.shape) - batch
    value = reshape(updates, shape=(*updates.shape[:axis], 1, *updates.shape[end:]))
    if indices.dtype == "u64":  # its upper half would turn negative
        indices = minimum(indices, constant(size - 1, "u64"))
    near = minimum(maximum(cast(indices, dtype="i64"), 0), size - 1)
    rest = (1,) * (len(node.shape) - axis - 1)
    place = reshape(near, shape=(*indices.shape[:batch], *(1,) * (axis - batch), 1, *rest))
    number = iota(shape=(size, *rest), dtype="i64", axis=0)
    zero = constant(0, node.dtype)
    return where(eq(number, place), add(zero, value), zero)


def _number(node: Node) -> int | float | None:
    """The value of a scalar constant."""
    value = constant_value(node)
    return None if value is None or value.shape else value.item()


def _one_place(node: Node) -> int | None:
    """The axis, if the node is ``where(iota = i, x, 0)`` with one index i within the axis for each
    row along it, and x does not change along it."""
    mask, value, other = node.inputs
    if _number(other) != 0 or mask.op is not eq or mask.inputs[0].op is not iota:
        return None
    number, place = mask.inputs
    axis = len(node.shape) - len(number.shape)
    if number["axis"] != 0 or number.shape != (node.shape[axis], *(1,) * (len(number.shape) - 1)):
        return None
    near = bare(place)
    if near.op is not minimum or near.inputs[0].op is not maximum:
        return None
    bounds = (_number(near.inputs[0].inputs[1]), _number(near.inputs[1]))
    if bounds != (0, node.shape[axis] - 1):
        return None
    for x in (place, value):
        own = axis - (len(node.shape) - len(x.shape))
        if own >= 0 and x.shape[own] != 1:
            return None
    return axis


@rule(
    "sum of where(iota = i, x, 0) = x",
    "sum",
    ("where",),
    grade="accurate",
    domain="everywhere: all terms but one are zero",
    examples=(
        'x: f64[3,1], i: i64[3,1] ; iota shape=(4,) dtype="i64" axis=0 ; maximum i, 0'
        " ; minimum %1, 3 ; eq %0, %2 ; where %3, x, 0.0 ; sum %4 axes=(1,)",
        'x: f32[2,1,3], i: i64[2,1,1] ; iota shape=(5, 1) dtype="i64" axis=0 ; maximum i, 0'
        " ; minimum %1, 4 ; eq %0, %2 ; where %3, x, 0.0 ; sum %4 axes=(0, 1)",
    ),
)
def sum_of_one(node: Node, scope: Scope) -> Node | None:
    """What lies along the axis is one value and zeros."""
    selected = node.inputs[0]
    axis = _one_place(selected)
    if axis is None or axis not in node["axes"]:
        return None
    shape = (*selected.shape[:axis], 1, *selected.shape[axis + 1 :])
    return node.op(broadcast_to(selected.inputs[1], shape=shape), axes=node["axes"])


GATHER: tuple[Law, ...] = (scatter_of_one, sum_of_one)
