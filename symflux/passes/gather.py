"""Laws of take and scatter_add."""

from __future__ import annotations

import math

from ..ir.node import Node, constant, constant_value
from ..ir.op import Kind
from ..ops.elementwise import add, cast, eq, maximum, minimum, where
from ..ops.index import iota, take
from ..ops.shape import broadcast_to, concatenate, pad, reshape, transpose
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


@rule(
    "take of computed values = values computed at the places taken",
    "take",
    grade="accurate",
    domain="everywhere: the same sums, perhaps in another order",
    examples=(
        "x: f64[5,4], y: f64[4], z: f64[5,1], i: i64[2] ; mul x, y ; add %0, z ; take %1, i axis=1",
        "x: f64[5,4], i: i64[2] ; exp x ; take %0, i axis=0",
        "x: f64[5,4,3], i: i64[2] ; sum x axes=(1,) ; take %0, i axis=1",
        'x: f64[5,4], y: f64[4,6], i: i64[3] ; contract x, y "ij,jk->ik" ; take %0, i axis=1',
        'x: f64[5,4], y: f64[5], i: i64[3] ; contract x, y "ij,i->ij" ; take %0, i axis=0',
        "x: f64[5,4,3], i: i64[2] ; transpose x axes=(2, 0, 1) ; take %0, i axis=1",
        "x: f64[5,1], i: i64[2] ; broadcast_to x shape=(3, 5, 4) ; take %0, i axis=1",
        "x: f64[5,1], i: i64[2] ; broadcast_to x shape=(3, 5, 4) ; take %0, i axis=2",
        "x: f64[2,5], y: f64[1,5], i: i64[2] ; concatenate x, y axis=0 ; take %0, i axis=1",
        "x: f64[2,5], i: i64[2] ; pad x low=(1, 0) high=(0, 0) interior=(1, 0) ; take %0, i axis=1",
        "x: f64[6,5], i: i64[2] ; reshape x shape=(2, 1, 3, 5) ; take %0, i axis=3",
    ),
)
def take_early(node: Node, scope: Scope) -> Node | None:
    """Where fewer are taken than there are, and nobody else needs the rest."""
    inner, indices = node.inputs
    if len(indices.shape) != 1 or node.attributes.get("batch", 0) or not scope.single(inner):
        return None
    axis, count = node["axis"], indices.shape[0]
    if not 0 < count < inner.shape[axis]:
        return None
    if inner.op.kind is Kind.POINTWISE:
        inputs = [_taken(x, indices, axis - len(inner.shape) + len(x.shape)) for x in inner.inputs]
        return inner.op(*inputs, **inner.attributes)
    if inner.op.kind is Kind.CONTRACTION:
        return _contract_taken(inner, indices, axis)
    if inner.op.kind is Kind.REDUCTION:
        x = inner.inputs[0]
        kept = [a for a in range(len(x.shape)) if a not in inner["axes"]]
        return inner.op(take(x, indices, axis=kept[axis]), **inner.attributes)
    if inner.op is transpose:
        axes = inner["axes"]
        return transpose(take(inner.inputs[0], indices, axis=axes[axis]), axes=axes)
    if inner.op.kind is Kind.INDEX_MAP and inner.op is not broadcast_to:
        return _map_taken(inner, indices, axis)
    if inner.op is not broadcast_to:
        return None
    x = inner.inputs[0]
    shape = (*inner.shape[:axis], count, *inner.shape[axis + 1 :])
    return broadcast_to(_taken(x, indices, axis - len(inner.shape) + len(x.shape)), shape=shape)


def _map_taken(inner: Node, indices: Node, axis: int) -> Node | None:
    """Of what is put together, padded or reshaped along other axes."""
    if inner.op is concatenate and inner["axis"] != axis:
        return concatenate(*[take(x, indices, axis=axis) for x in inner.inputs], axis=inner["axis"])
    x = inner.inputs[0]
    if inner.op is pad and x.shape[axis] == inner.shape[axis]:
        return pad(take(x, indices, axis=axis), **inner.attributes)
    if inner.op is reshape:
        before = math.prod(inner.shape[:axis])
        for i, n in enumerate(x.shape):
            if n == inner.shape[axis] and math.prod(x.shape[:i]) == before:
                shape = (*inner.shape[:axis], indices.shape[0], *inner.shape[axis + 1 :])
                return reshape(take(x, indices, axis=i), shape=shape)
    return None


def _taken(x: Node, indices: Node, axis: int) -> Node:
    """What is taken of x, unless x is the same all along the axis."""
    return x if axis < 0 or x.shape[axis] == 1 else take(x, indices, axis=axis)


def _contract_taken(inner: Node, indices: Node, axis: int) -> Node | None:
    words, result = inner["spec"].split("->")
    letter = result[axis]
    operands = []
    for x, word in zip(inner.inputs, words.split(","), strict=True):
        if word.count(letter) > 1:
            return None
        operands.append(take(x, indices, axis=word.index(letter)) if letter in word else x)
    return inner.op(*operands, spec=inner["spec"])


GATHER: tuple[Law, ...] = (scatter_of_one, sum_of_one, take_early)
