"""Laws of index maps: neighbours merge, identities vanish, slices move inwards.

Directions, so that no two laws undo each other: slices move towards the inputs, broadcasts towards
the outputs and into pointwise ops (which broadcast by themselves).
"""

from __future__ import annotations

import functools
import itertools
import math
from bisect import bisect_right
from collections.abc import Sequence

from ..ir.node import Node, constant
from ..ir.op import Kind
from ..ir.types import broadcast_shapes
from ..ops.shape import broadcast_to, concatenate, pad, reshape, slice_, transpose
from .rewrite import Law, Scope, rule

__all__ = ["INDEX_MAPS"]


def _zeros(node: Node) -> Node:
    return broadcast_to(constant(0, node.dtype), shape=node.shape)


# --- identities -----------------------------------------------------------------------------------


@rule(
    "identity map of x = x",
    Kind.INDEX_MAP,
    examples=(
        "x: f64[2,3] ; reshape x shape=(2, 3)",
        "x: f64[2,3] ; transpose x axes=(0, 1)",
        "x: f64[2,3] ; broadcast_to x shape=(2, 3)",
        "x: f64[4] ; slice x start=(0,) step=(1,) shape=(4,)",
        "x: f64[4] ; pad x low=(0,) high=(0,) interior=(0,)",
        "x: i8[4] ; concatenate x axis=0",
    ),
)
def identity(node: Node, scope: Scope) -> Node | None:
    """Maps that leave every element in its place."""
    op, x = node.op, node.inputs[0]
    if x.shape != node.shape or len(node.inputs) != 1:
        return None
    if op in (reshape, broadcast_to, pad, concatenate):
        return x
    if op is transpose and _kept_order(node["axes"], x.shape):
        return x
    if op is slice_ and all(s == 1 or n == 1 for s, n in zip(node["step"], x.shape, strict=True)):
        return x
    return None


def _kept_order(axes: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether a transpose only moves axes of extent 1."""
    moved = [a for a in axes if shape[a] != 1]
    return moved == sorted(moved)


@rule(
    "empty result = zeros",
    Kind.INDEX_MAP,
    examples="x: f64[4] ; slice x start=(0,) step=(1,) shape=(0,)",
)
def empty(node: Node, scope: Scope) -> Node | None:
    """An array without elements does not depend on anything."""
    if math.prod(node.shape) or (node.op is broadcast_to and not node.inputs[0].inputs):
        return None
    return _zeros(node)


@rule(
    "concatenate without empty operands",
    "concatenate",
    examples="x: f64[4], y: f64[0] ; concatenate x, y axis=0",
)
def concatenate_empty(node: Node, scope: Scope) -> Node | None:
    """Operands without elements add nothing."""
    axis = node["axis"]
    kept = [x for x in node.inputs if x.shape[axis]]
    if len(kept) == len(node.inputs) or not kept:
        return None
    return concatenate(*kept, axis=axis)


# --- two of a kind --------------------------------------------------------------------------------


@rule(
    "reshape (reshape x) = reshape x",
    "reshape",
    ("reshape",),
    examples="x: f64[6] ; reshape x shape=(3, 2) ; reshape %0 shape=(2, 3)",
)
def reshape_of_reshape(node: Node, scope: Scope) -> Node | None:
    """Both keep the row-major order."""
    return reshape(node.inputs[0].inputs[0], shape=node.shape)


@rule(
    "transpose that moves extents of 1 = reshape",
    "transpose",
    examples="x: f64[3,1] ; transpose x axes=(1, 0)",
)
def transpose_as_reshape(node: Node, scope: Scope) -> Node | None:
    """The other axes keep their order, so that the elements keep theirs."""
    x = node.inputs[0]
    return reshape(x, shape=node.shape) if _kept_order(node["axes"], x.shape) else None


@rule(
    "transpose (transpose x) = transpose x",
    "transpose",
    ("transpose",),
    examples=(
        "x: f64[2,3,4] ; transpose x axes=(2, 0, 1) ; transpose %0 axes=(2, 0, 1)",
        "x: f64[2,3] ; transpose x axes=(1, 0) ; transpose %0 axes=(1, 0)",
    ),
)
def transpose_of_transpose(node: Node, scope: Scope) -> Node | None:
    """Permutations compose."""
    inner = node.inputs[0]
    axes = tuple(inner["axes"][a] for a in node["axes"])
    return transpose(inner.inputs[0], axes=axes)


@rule(
    "transpose (concatenate ...) = concatenate of transposes",
    "transpose",
    ("concatenate",),
    examples="x: f64[3,1], y: f64[3,2] ; concatenate x, y axis=1 ; transpose %0 axes=(1, 0)",
)
def transpose_of_concatenate(node: Node, scope: Scope) -> Node | None:
    """The pieces are written where they belong at once, when nobody else needs the whole."""
    inner = node.inputs[0]
    if not scope.single(inner):
        return None
    axes = node["axes"]
    pieces = [transpose(x, axes=axes) for x in inner.inputs]
    return concatenate(*pieces, axis=axes.index(inner["axis"]))


@rule(
    "broadcast (broadcast x) = broadcast x",
    "broadcast_to",
    ("broadcast_to",),
    examples="x: f64[3] ; broadcast_to x shape=(2, 3) ; broadcast_to %0 shape=(4, 2, 3)",
)
def broadcast_of_broadcast(node: Node, scope: Scope) -> Node | None:
    """Repeating what is repeated."""
    return broadcast_to(node.inputs[0].inputs[0], shape=node.shape)


@rule(
    "slice (slice x) = slice x",
    "slice",
    ("slice",),
    examples="x: f64[20] ; slice x start=(18,) step=(-2,) shape=(8,)"
    " ; slice %0 start=(1,) step=(3,) shape=(3,)",
)
def slice_of_slice(node: Node, scope: Scope) -> Node | None:
    """Affine maps of indices compose."""
    inner = node.inputs[0]
    both = list(zip(node["start"], node["step"], inner["start"], inner["step"], strict=True))
    return slice_(
        inner.inputs[0],
        start=tuple(first + a * by for a, _, first, by in both),
        step=tuple(s * by for _, s, _, by in both),
        shape=node.shape,
    )


@rule(
    "pad (pad x) = pad x",
    "pad",
    ("pad",),
    examples="x: f64[3] ; pad x low=(1,) high=(0,) interior=(1,)"
    " ; pad %0 low=(2,) high=(3,) interior=(1,)",
)
def pad_of_pad(node: Node, scope: Scope) -> Node | None:
    """Of arrays with elements: the gaps multiply, the widths add up in outer steps."""
    inner = node.inputs[0]
    x = inner.inputs[0]
    if 0 in x.shape:
        return None
    low, high, interior = [], [], []
    for axis in range(len(x.shape)):
        by = node["interior"][axis] + 1
        low.append(node["low"][axis] + inner["low"][axis] * by)
        high.append(node["high"][axis] + inner["high"][axis] * by)
        interior.append((inner["interior"][axis] + 1) * by - 1)
    return pad(x, low=tuple(low), high=tuple(high), interior=tuple(interior))


@rule(
    "concatenate (concatenate ...) = concatenate",
    "concatenate",
    lambda keys: "concatenate" in keys,
    examples="x: f64[3], y: f64[2] ; concatenate x, y axis=0 ; concatenate %0, x axis=0",
)
def concatenate_of_concatenate(node: Node, scope: Scope) -> Node | None:
    """Along the same axis, when nobody else needs the inner one."""
    axis = node["axis"]
    flat: list[Node] = []
    for x in node.inputs:
        if x.op is concatenate and x["axis"] == axis and scope.single(x):
            flat += x.inputs
        else:
            flat.append(x)
    return concatenate(*flat, axis=axis) if len(flat) > len(node.inputs) else None


@rule(
    "concatenate of neighbouring slices = slice",
    "concatenate",
    lambda keys: "slice" in keys,
    examples="x: f64[9], y: f64[2] ; slice x start=(1,) step=(1,) shape=(3,)"
    " ; slice x start=(4,) step=(1,) shape=(2,) ; concatenate %0, %1, y axis=0",
)
def concatenate_slices(node: Node, scope: Scope) -> Node | None:
    """Adjacent pieces of one array, put back together."""
    axis = node["axis"]
    joined: list[Node] = [node.inputs[0]]
    for x in node.inputs[1:]:
        joined[-1:] = _joined(joined[-1], x, axis)
    return concatenate(*joined, axis=axis) if len(joined) < len(node.inputs) else None


def _joined(x: Node, y: Node, axis: int) -> list[Node]:
    """One slice for two neighbouring slices, or the two."""
    if x.op is not slice_ or y.op is not slice_ or x.inputs != y.inputs:
        return [x, y]
    for i, n in enumerate(x.shape):
        if i != axis and (
            x["start"][i] != y["start"][i] or (n > 1 and x["step"][i] != y["step"][i])
        ):
            return [x, y]
    (first, second), (m, n) = (x["start"][axis], y["start"][axis]), (x.shape[axis], y.shape[axis])
    step = (second - first) // m if m else 0
    if step == 0 or first + step * m != second:
        return [x, y]
    if (m > 1 and x["step"][axis] != step) or (n > 1 and y["step"][axis] != step):
        return [x, y]
    return [
        slice_(
            x.inputs[0],
            start=x["start"],
            step=(*x["step"][:axis], step, *x["step"][axis + 1 :]),
            shape=(*x.shape[:axis], m + n, *x.shape[axis + 1 :]),
        )
    ]


# --- slices move inwards --------------------------------------------------------------------------


@rule(
    "slice of transpose = transpose of slice",
    "slice",
    ("transpose",),
    examples="x: f64[4,5] ; transpose x axes=(1, 0)"
    " ; slice %0 start=(4, 0) step=(-2, 1) shape=(2, 3)",
)
def slice_of_transpose(node: Node, scope: Scope) -> Node | None:
    """The same elements, picked before they are moved."""
    axes = node.inputs[0]["axes"]
    place = [axes.index(i) for i in range(len(axes))]
    inner = slice_(
        node.inputs[0].inputs[0],
        start=tuple(node["start"][i] for i in place),
        step=tuple(node["step"][i] for i in place),
        shape=tuple(node.shape[i] for i in place),
    )
    return transpose(inner, axes=axes)


@rule(
    "slice of broadcast = broadcast of slice",
    "slice",
    ("broadcast_to",),
    examples="x: f64[4,1] ; broadcast_to x shape=(3, 4, 5)"
    " ; slice %0 start=(2, 1, 0) step=(-1, 2, 2) shape=(2, 2, 3)",
)
def slice_of_broadcast(node: Node, scope: Scope) -> Node | None:
    """Only axes that are not repeated need picking."""
    return broadcast_to(_slice_operand(node.inputs[0].inputs[0], node), shape=node.shape)


def _slice_operand(x: Node, node: Node) -> Node:
    """The slice of an operand that broadcasts to the array which ``node`` slices."""
    if not x.shape:
        return x
    offset = len(node.shape) - len(x.shape)
    own = range(offset, len(node.shape))
    kept = [n == 1 for n in x.shape]
    return slice_(
        x,
        start=tuple(0 if k else node["start"][i] for i, k in zip(own, kept, strict=True)),
        step=tuple(1 if k else node["step"][i] for i, k in zip(own, kept, strict=True)),
        shape=tuple(
            min(1, node.shape[i]) if k else node.shape[i] for i, k in zip(own, kept, strict=True)
        ),
    )


def _same_axes(x: Sequence[int], y: Sequence[int]) -> list[int | None] | None:
    """For each axis of shape ``y`` the axis of ``x`` it is, or None for an inserted extent of 1;
    None unless the shapes differ in extents of 1 only."""
    places: list[int | None] = []
    i = 0
    for n in y:
        while i < len(x) and x[i] == 1 and n != 1:
            i += 1
        if i < len(x) and x[i] == n:
            places.append(i)
            i += 1
        elif n == 1:
            places.append(None)
        else:
            return None
    return places if all(n == 1 for n in x[i:]) else None


@rule(
    "slice of reshape = reshape of slice",
    "slice",
    ("reshape",),
    examples="x: f64[4,1,5] ; reshape x shape=(1, 4, 5)"
    " ; slice %0 start=(0, 3, 0) step=(1, -1, 2) shape=(1, 2, 3)",
)
def slice_of_reshape(node: Node, scope: Scope) -> Node | None:
    """Of reshapes that only insert and drop extents of 1."""
    x = node.inputs[0].inputs[0]
    places = _same_axes(x.shape, node.inputs[0].shape)
    if places is None or 0 in node.shape:
        return None
    start, step, shape = [0] * len(x.shape), [1] * len(x.shape), [1] * len(x.shape)
    for axis, place in enumerate(places):
        if place is not None:
            start[place] = node["start"][axis]
            step[place] = node["step"][axis]
            shape[place] = node.shape[axis]
    inner = slice_(x, start=tuple(start), step=tuple(step), shape=tuple(shape))
    return reshape(inner, shape=node.shape)


@rule(
    "slice of pad = pad of slice",
    "slice",
    ("pad",),
    examples=(
        "x: f64[5] ; pad x low=(2,) high=(3,) interior=(0,)"
        " ; slice %0 start=(3,) step=(1,) shape=(3,)",
        "x: f64[5] ; pad x low=(2,) high=(3,) interior=(0,)"
        " ; slice %0 start=(4,) step=(1,) shape=(5,)",
        "x: f64[5] ; pad x low=(2,) high=(3,) interior=(0,)"
        " ; slice %0 start=(0,) step=(1,) shape=(2,)",
        "x: f64[5] ; pad x low=(1,) high=(0,) interior=(1,)"
        " ; slice %0 start=(1,) step=(2,) shape=(5,)",
    ),
)
def slice_of_pad(node: Node, scope: Scope) -> Node | None:
    """Where a slice leaves out padding; a slice of nothing but padding is zero."""
    padded = node.inputs[0]
    x = padded.inputs[0]
    if 0 in node.shape or 0 in x.shape:
        return None
    parts: tuple[list[int], ...] = ([], [], [], [], [])
    start, step, shape, low, high = parts
    for axis, n in enumerate(x.shape):
        found = _slice_padded_axis(
            node["start"][axis], node["step"][axis], node.shape[axis],
            padded["low"][axis], padded["interior"][axis] + 1, n,
        )  # fmt: skip
        if found is None:
            return None
        if found[2] == 0:
            return _zeros(node)
        for part, value in zip(parts, found, strict=True):
            part.append(value)
    inner = slice_(x, start=tuple(start), step=tuple(step), shape=tuple(shape))
    return pad(inner, low=tuple(low), high=tuple(high), interior=(0,) * len(low))


def _slice_padded_axis(
    start: int, step: int, count: int, low: int, gap: int, n: int
) -> tuple[int, int, int, int, int] | None:
    """Slice start, step and count in the array, then the padding before and after; for one axis
    whose element j stands at place ``low + gap * j``. None where gaps stay visible."""
    if gap == 1:
        first, held = _within(start - low, step, count, n)
        if not held:
            return 0, 1, 0, 0, 0
        return start - low + step * first, step, held, first, count - first - held
    if count > 1 and step % gap:
        return None
    if (start - low) % gap:
        return 0, 1, 0, 0, 0
    return _slice_padded_axis((start - low) // gap, step // gap or 1, count, 0, 1, n)


@rule(
    "slice of concatenate = concatenate of slices",
    "slice",
    ("concatenate",),
    examples=(
        "x: f64[5], y: f64[4] ; concatenate x, y axis=0"
        " ; slice %0 start=(8,) step=(-1,) shape=(3,)",
        "x: f64[5], y: f64[4], z: f64[4] ; concatenate x, y, z axis=0"
        " ; slice %0 start=(4,) step=(1,) shape=(3,)",
    ),
)
def slice_of_concatenate(node: Node, scope: Scope) -> Node | None:
    """When some operand is not needed at all. Where others need the whole too, they would have it
    in memory: it is only left alone for one operand, of it or of the operands inside of that."""
    if 0 in node.shape:
        return None
    if not scope.single(node.inputs[0]):
        inner: Node | None = node
        while inner is not None and inner.op is slice_ and inner.inputs[0].op is concatenate:
            pieces = _sliced_operands(inner)
            inner = pieces[0][1] if len(pieces) == 1 else None
        return inner
    pieces = _sliced_operands(node)
    if len(pieces) == len(node.inputs[0].inputs):
        return None
    pieces.sort(key=lambda piece: piece[0])
    return concatenate(*[x for _, x in pieces], axis=node.inputs[0]["axis"])


def _sliced_operands(node: Node) -> list[tuple[int, Node]]:
    """The slices of operands that a slice of a concatenation consists of, each with its place."""
    whole = node.inputs[0]
    axis = whole["axis"]
    start, step, count = node["start"][axis], node["step"][axis], node.shape[axis]
    pieces: list[tuple[int, Node]] = []
    ends = _ends(whole)
    lowest, highest = sorted((start, start + step * (count - 1)))
    inside = slice(bisect_right(ends, lowest), bisect_right(ends, highest) + 1)
    for x, last in zip(whole.inputs[inside], ends[inside], strict=True):
        first = last - x.shape[axis]
        place, held = _within(start - first, step, count, last - first)
        if held:
            inner = slice_(
                x,
                start=_put(node["start"], axis, start - first + step * place),
                step=node["step"],
                shape=_put(node.shape, axis, held),
            )
            pieces.append((place, inner))
    return pieces


@functools.lru_cache(maxsize=8)
def _ends(whole: Node) -> list[int]:
    """Where the operands of a concatenation end; it may have thousands, and a reader of each."""
    axis = whole["axis"]
    return list(itertools.accumulate([x.shape[axis] for x in whole.inputs]))


def _within(start: int, step: int, count: int, n: int) -> tuple[int, int]:
    """The first i < count with ``0 <= start + step * i < n``, and how many there are."""
    if count == 1:
        return 0, int(0 <= start < n)
    if step < 0:  # the same places, met in the other order
        start, step = n - 1 - start, -step
    first = max(0, -(start // step))
    return first, max(0, min(count - 1, (n - 1 - start) // step) - first + 1)


def _put(values: Sequence[int], axis: int, value: int) -> tuple[int, ...]:
    return (*values[:axis], value, *values[axis + 1 :])


@rule(
    "slice of pointwise = pointwise of slices",
    "slice",
    (Kind.POINTWISE,),
    examples="x: f64[5,4], y: f64[4] ; mul x, y ; slice %0 start=(1, 0) step=(2, 1) shape=(2, 4)",
)
def slice_of_pointwise(node: Node, scope: Scope) -> Node | None:
    """When nobody else needs the rest."""
    inner = node.inputs[0]
    if not scope.single(inner):
        return None
    if math.prod(node.shape) >= math.prod(inner.shape):
        return None
    inputs = [_slice_operand(x, node) for x in inner.inputs]
    return inner.op(*inputs, **inner.attributes)


# --- broadcasts -----------------------------------------------------------------------------------


def _bare(x: Node) -> Node:
    """x without repetition, and without leading extents of 1, as pointwise ops need it."""
    if x.op is broadcast_to:
        return x.inputs[0]
    if x.op is reshape:
        inner = x.inputs[0]
        if x.shape == (1,) * (len(x.shape) - len(inner.shape)) + inner.shape:
            return inner
    return x


@rule(
    "pointwise of broadcast = pointwise",
    Kind.POINTWISE,
    lambda keys: "broadcast_to" in keys or "reshape" in keys,
    examples=(
        "x: f64[4,3], y: f64[3] ; broadcast_to y shape=(4, 3) ; sub x, %0",
        "x: f64[4,3], y: f64[3] ; reshape y shape=(1, 3) ; sub x, %0",
        "x: f64[3] ; broadcast_to x shape=(4, 3) ; exp %0",
        "x: f64, y: f64[3,1] ; broadcast_to x shape=(3, 4) ; broadcast_to y shape=(3, 4)"
        " ; mul %0, %1",
    ),
)
def pointwise_of_broadcast(node: Node, scope: Scope) -> Node | None:
    """Pointwise ops broadcast by themselves; what all operands repeat is repeated afterwards."""
    inputs = [_bare(x) for x in node.inputs]
    if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
        return None
    shape = broadcast_shapes(*[x.shape for x in inputs])
    if shape != node.shape and math.prod(shape) == math.prod(node.shape):
        # The reshape only added leading extents of 1 to every operand: keep those that are needed.
        return reshape(node.op(*inputs, **node.attributes), shape=node.shape)
    return node.op(*inputs, **node.attributes)


@rule(
    "map of broadcast scalar = broadcast scalar",
    Kind.INDEX_MAP,
    ("broadcast_to",),
    examples=(
        "x: f64 ; broadcast_to x shape=(6,) ; reshape %0 shape=(2, 3)",
        "x: f64 ; broadcast_to x shape=(2, 3) ; transpose %0 axes=(1, 0)",
    ),
)
def map_of_scalar(node: Node, scope: Scope) -> Node | None:
    """Reshaped and transposed, equal elements stay equal."""
    if node.op not in (reshape, transpose):
        return None
    x = node.inputs[0].inputs[0]
    if math.prod(x.shape) != 1:
        return None
    return broadcast_to(reshape(x, shape=()) if x.shape else x, shape=node.shape)


@rule(
    "transpose of broadcast = broadcast of transpose",
    "transpose",
    ("broadcast_to",),
    examples="x: f64[3] ; broadcast_to x shape=(4, 3) ; transpose %0 axes=(1, 0)",
)
def transpose_of_broadcast(node: Node, scope: Scope) -> Node | None:
    """The smaller array is transposed."""
    x = node.inputs[0].inputs[0]
    full = reshape(x, shape=(1,) * (len(node.shape) - len(x.shape)) + x.shape)
    return broadcast_to(transpose(full, axes=node["axes"]), shape=node.shape)


@rule(
    "reshape of broadcast = broadcast of reshape",
    "reshape",
    ("broadcast_to",),
    examples="x: f64[3] ; broadcast_to x shape=(4, 3) ; reshape %0 shape=(4, 1, 3)",
)
def reshape_of_broadcast(node: Node, scope: Scope) -> Node | None:
    """Of reshapes that only insert and drop extents of 1."""
    wide = node.inputs[0]
    x = wide.inputs[0]
    places = _same_axes(wide.shape, node.shape)
    if places is None or math.prod(x.shape) >= math.prod(wide.shape):
        return None
    full = (1,) * (len(wide.shape) - len(x.shape)) + x.shape
    shape = tuple(1 if place is None else full[place] for place in places)
    return broadcast_to(reshape(x, shape=shape), shape=node.shape)


@rule(
    "broadcast of reshape = broadcast",
    "broadcast_to",
    ("reshape",),
    examples="x: f64[3] ; reshape x shape=(1, 3) ; broadcast_to %0 shape=(4, 3)",
)
def broadcast_of_reshape(node: Node, scope: Scope) -> Node | None:
    """Leading extents of 1 come by themselves."""
    bare = _bare(node.inputs[0])
    return None if bare is node.inputs[0] else broadcast_to(bare, shape=node.shape)


@rule(
    "pointwise of transposes = transpose of pointwise",
    Kind.POINTWISE,
    lambda keys: keys.count("transpose") > 1,
    examples="x: f64[2,3], y: f64[2,3] ; transpose x axes=(1, 0) ; transpose y axes=(1, 0)"
    " ; mul %0, %1 ; mul %2, 3.0",
)
def pointwise_of_transposes(node: Node, scope: Scope) -> Node | None:
    """One transpose in place of several, when nobody else needs them."""
    moved = [x for x in node.inputs if x.shape]
    axes = moved[0]["axes"] if moved[0].op is transpose else None
    for x in moved:
        if x.op is not transpose or x["axes"] != axes or x.shape != node.shape:
            return None
        if not scope.single(x):
            return None
    inputs = [x.inputs[0] if x.shape else x for x in node.inputs]
    return transpose(node.op(*inputs, **node.attributes), axes=axes)


INDEX_MAPS: tuple[Law, ...] = (
    identity, empty, concatenate_empty, reshape_of_reshape, transpose_as_reshape,
    transpose_of_transpose, transpose_of_concatenate, broadcast_of_broadcast, slice_of_slice,
    pad_of_pad, concatenate_of_concatenate, concatenate_slices, slice_of_transpose,
    slice_of_broadcast, slice_of_reshape, slice_of_pad, slice_of_concatenate, slice_of_pointwise,
    pointwise_of_broadcast, map_of_scalar, transpose_of_broadcast, reshape_of_broadcast,
    broadcast_of_reshape, pointwise_of_transposes,
)  # fmt: skip
