"""Ops on batches that are zero but for a few boxes: one rule for each op that keeps them so.

A rule gives the op's result, or None where it is no sum of such boxes (or the op is not linear):
the batch is made dense then, and the op's own rule for batches serves. Operands that are no such
batch are the same for the whole batch.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from typing import Any

from ..ir.node import Node, constant, constant_value
from ..ops.arrange import cut
from ..ops.contract import contract, split_spec
from ..ops.elementwise import add, cast, div, mul, neg, sub, where
from ..ops.index import take
from ..ops.reduce import sum_
from ..ops.shape import broadcast_to, concatenate, pad, reshape, slice_, transpose
from ..records import replace
from .placed import (
    Axis,
    Digit,
    Piece,
    Placed,
    collected,
    factor,
    mapped,
    read,
    renumbered,
    spread,
    summed,
)

__all__ = ["place"]

Operand = Node | Placed


def place(node: Node, inputs: Sequence[Operand]) -> Placed | None:
    """The node's op on operands of which some are placed; None where there is no rule."""
    rule = _RULES.get(node.op)
    return None if rule is None else rule(node, inputs)


def _made(pieces: Sequence[Piece], like: Placed, node: Node) -> Placed:
    return Placed(collected(pieces), like.lead, node.shape, node.dtype)


def _one(inputs: Sequence[Operand]) -> tuple[int, Placed] | None:
    """The one operand that is placed."""
    found = [(i, x) for i, x in enumerate(inputs) if isinstance(x, Placed)]
    return found[0] if len(found) == 1 else None


def _is_zero(x: Node) -> bool:
    """Whether all elements are a literal zero."""
    if x.op is broadcast_to or x.op is reshape:
        return _is_zero(x.inputs[0])
    value = constant_value(x)
    return value is not None and not value.any()


# --- elementwise ----------------------------------------------------------------------------------


def _over(x: Placed, shape: tuple[int, ...]) -> tuple[Piece, ...]:
    """The pieces of the value, broadcast to ``shape``."""
    if x.own == shape:
        return x.pieces
    extra = len(shape) - len(x.own)
    own = (1,) * extra + x.own
    pieces = []
    for piece in x.pieces:
        axes = [*[()] * extra, *piece.own]
        for i, (n, m) in enumerate(zip(own, shape, strict=True)):
            if n != m:
                piece, digit = spread(piece, m)
                axes[i] = (digit,)
        pieces.append(replace(piece, own=tuple(axes)))
    return tuple(pieces)


def _scaled(position: int) -> Callable[[Node, Sequence[Operand]], Placed | None]:
    """An op that is linear in the operand at ``position``, or (of -1) in either of two."""

    def rule(node: Node, inputs: Sequence[Operand]) -> Placed | None:
        found = _one(inputs)
        if found is None or position not in (-1, found[0]):
            return None
        at, x = found
        pieces = []
        for piece in _over(x, node.shape):
            operands = [
                piece.node if i == at else factor(y, piece)  # type: ignore[arg-type]
                for i, y in enumerate(inputs)
            ]
            pieces.append(replace(piece, node=node.op(*operands, **node.attributes)))
        return _made(pieces, x, node)

    return rule


def _added(node: Node, inputs: Sequence[Operand]) -> Placed | None:
    pieces: list[Piece] = []
    for i, x in enumerate(inputs):
        if isinstance(x, Placed):
            like = x
            minus = node.op is sub and i == 1
            for piece in _over(x, node.shape):
                pieces.append(replace(piece, node=-piece.node) if minus else piece)
        elif not _is_zero(x):
            return None
    return _made(pieces, like, node)


def _chosen(node: Node, inputs: Sequence[Operand]) -> Placed | None:
    mask, *branches = inputs
    if isinstance(mask, Placed):
        return None
    pieces: list[Piece] = []
    for i, x in enumerate(branches):
        if isinstance(x, Placed):
            like = x
            zero = constant(0, node.dtype)
            for piece in _over(x, node.shape):
                both = (piece.node, zero) if i == 0 else (zero, piece.node)
                pieces.append(replace(piece, node=where(factor(mask, piece), *both)))
        elif not _is_zero(x):
            return None
    return _made(pieces, like, node)


# --- moving elements ------------------------------------------------------------------------------


def _piecewise(
    rule: Callable[[Node, Piece], Piece | None],
) -> Callable[[Node, Sequence[Operand]], Placed | None]:
    """A rule for ops of one operand, which are applied piece by piece."""

    def whole(node: Node, inputs: Sequence[Operand]) -> Placed | None:
        (x,) = inputs
        assert isinstance(x, Placed)
        pieces = []
        for piece in x.pieces:
            made = rule(node, piece)
            if made is None:
                return None
            pieces.append(made)
        return _made(pieces, x, node)

    return whole


def _transposed(node: Node, piece: Piece) -> Piece:
    return replace(piece, own=tuple([piece.own[a] for a in node["axes"]]))


def _broadcast(node: Node, inputs: Sequence[Operand]) -> Placed | None:
    (x,) = inputs
    assert isinstance(x, Placed)
    return _made(_over(x, node.shape), x, node)


def _summed(node: Node, piece: Piece) -> Piece:
    axes = node["axes"]
    return summed(piece, tuple([axis for i, axis in enumerate(piece.own) if i not in axes]))


def _nothing(piece: Piece, own: Sequence[Axis]) -> Piece:
    """A piece without elements."""
    return Piece(broadcast_to(constant(0, piece.node.dtype), shape=(0,)), piece.lead, tuple(own))


def _sliced(node: Node, piece: Piece) -> Piece | None:
    """The elements of each axis that the slice leaves; what it cuts off is gone."""
    for i, slice_of in enumerate(
        zip(node.inputs[0].shape, node["start"], node["step"], node["shape"], strict=True)
    ):
        extent, start, step, count = slice_of
        if (start, step, count) == (0, 1, extent):
            continue
        axis = piece.own[i]
        if count == 0:
            return _nothing(piece, piece.own)
        if not axis:
            continue
        if len(axis) > 1:
            made = _sliced_digits(piece, i, start, step, count)
        else:
            made = _sliced_digit(piece, i, 0, start, step, count)
        if made is None or 0 in made.node.shape:
            return made
        piece = made
    return piece


def _sliced_digits(piece: Piece, i: int, start: int, step: int, count: int) -> Piece | None:
    """One element of an axis of several digits, or whole blocks of its first digit."""
    axis = piece.own[i]
    low = math.prod([d.extent for d in axis[1:]])
    if count == 1:
        for j, d in enumerate(axis):
            low = math.prod([e.extent for e in axis[j + 1 :]])
            made = _sliced_digit(piece, i, j, start // low % d.extent, 1, 1)
            if made is None or 0 in made.node.shape:
                return made
            piece = made
        return piece
    if step != 1 or start % low or count % low:
        return None
    return _sliced_digit(piece, i, 0, start // low, 1, count // low)


def _sliced_digit(piece: Piece, i: int, j: int, start: int, step: int, count: int) -> Piece | None:
    """Digit j of axis i without what the slice cuts off."""
    d = piece.own[i][j]
    left = [
        (a, (value - start) // step)
        for a in range(1 if d.axis is None else piece.node.shape[d.axis])
        if not (value := d.start + d.step * a) - start - (value - start) // step * step
        and 0 <= (value - start) // step < count
    ]
    if not left:
        return _nothing(piece, piece.own)
    first, at = left[0]
    by, to = (left[1][0] - first, left[1][1] - at) if len(left) > 1 else (1, 0)
    new = Digit(count, at)
    if d.axis is not None:
        node = cut(piece.node, d.axis, first, len(left), by)
        piece = mapped(piece, d.axis, node, first, by)
        new = Digit(count, at, to if to else 1, d.axis)
    axis = (*piece.own[i][:j], new, *piece.own[i][j + 1 :])
    return replace(piece, own=(*piece.own[:i], axis, *piece.own[i + 1 :]))


def _padded(node: Node, piece: Piece) -> Piece | None:
    own = []
    for axis, low, high, between, n in zip(
        piece.own, node["low"], node["high"], node["interior"], node.shape, strict=True
    ):
        made = _padded_axis(axis, low, high, between, n)
        if made is None:
            return None
        own.append(made)
    return replace(piece, own=tuple(own))


def _padded_axis(axis: Axis, low: int, high: int, between: int, extent: int) -> Axis | None:
    if not low and not high and (not between or not axis):
        return axis
    if not axis:
        return (Digit(extent, low),)
    if len(axis) == 1:
        (d,) = axis
        return (Digit(extent, low + d.start * (between + 1), d.step * (between + 1), d.axis),)
    block = math.prod([d.extent for d in axis[1:]])
    if between or low % block or high % block:
        return None
    d = axis[0]
    more = (low + high) // block
    return (Digit(d.extent + more, d.start + low // block, d.step, d.axis), *axis[1:])


def _concatenated(node: Node, inputs: Sequence[Operand]) -> Placed | None:
    along = node["axis"]
    pieces: list[Piece] = []
    end = 0
    for x in inputs:
        n = x.own[along] if isinstance(x, Placed) else x.shape[along]
        low, end = end, end + n
        if isinstance(x, Placed):
            like = x
            for piece in x.pieces:
                axis = _padded_axis(
                    piece.own[along], low, node.shape[along] - end, 0, node.shape[along]
                )
                if axis is None:
                    return None
                own = (*piece.own[:along], axis, *piece.own[along + 1 :])
                pieces.append(replace(piece, own=own))
        elif not _is_zero(x):
            return None
    return _made(pieces, like, node)


def _taken(node: Node, inputs: Sequence[Operand]) -> Placed | None:
    """Elements at indices along an axis of which each piece has all."""
    x, indices = inputs
    if not isinstance(x, Placed) or isinstance(indices, Placed) or node.attributes.get("batch"):
        return None
    at = node["axis"]
    count = len(indices.shape)
    pieces = []
    for piece in x.pieces:
        axis = piece.own[at]
        if len(axis) != 1 or axis[0].axis is None:
            return None
        (d,) = axis
        a = d.axis
        places = [e.axis for each in (*piece.lead, *piece.own) for e in each]
        if (d.start, d.step, d.extent) != (0, 1, piece.node.shape[a]) or places.count(a) > 1:
            return None
        made = take(piece.node, indices, axis=a)
        lead, own = (
            [tuple([renumbered(e, a + 1, count - 1) for e in each]) for each in axes]
            for axes in (piece.lead, piece.own)
        )
        new = [(Digit(n, 0, 1, a + i),) for i, n in enumerate(indices.shape)]
        pieces.append(Piece(made, tuple(lead), (*own[:at], *new, *own[at + 1 :])))
    return _made(pieces, x, node)


# --- reshape: digits are shared out anew ----------------------------------------------------------


def _reshaped(node: Node, piece: Piece) -> Piece | None:
    flat = replace(piece, own=(tuple([d for axis in piece.own for d in axis]),))
    sizes = [math.prod(node.shape[i:]) for i in range(1, len(node.shape))]
    for size in sizes:  # of what lies behind a new axis: digits must begin there
        right = 1
        for j in range(len(flat.own[0]) - 1, -1, -1):
            extent = flat.own[0][j].extent
            if right < size < right * extent:
                low, rest = divmod(size, right)
                made = None if rest or extent % low else _split(flat, j, low)
                if made is None:
                    return None
                flat = made
                break
            right *= extent
    digits = list(flat.own[0])
    own = []
    for n in node.shape:
        axis: list[Digit] = []
        while math.prod([d.extent for d in axis]) < n:
            axis.append(digits.pop(0))
        own.append(tuple(axis))
    return replace(flat, own=tuple(own))


def _split(piece: Piece, j: int, low: int) -> Piece | None:
    """The piece with digit j of its only axis as two, the second one of extent ``low``."""
    axis = piece.own[0]
    d = axis[j]
    high = d.extent // low
    many = 1 if d.axis is None else piece.node.shape[d.axis]
    block, place = divmod(d.start, low)
    pair: Axis | None = None
    if d.step % low == 0:
        pair = (Digit(high, block, d.step // low, d.axis), Digit(low, place))
        pair = pair if d.axis is not None else (Digit(high, block), Digit(low, place))
    elif block == (d.start + d.step * (many - 1)) // low:
        pair = (Digit(high, block), Digit(low, place, d.step, d.axis))
    if pair is not None:
        return replace(piece, own=((*axis[:j], *pair, *axis[j + 1 :]),))
    inner, rest = divmod(low, abs(d.step))
    if d.axis is None or rest or many % inner:
        return None
    return _split_array(piece, d.axis, inner)


def _split_array(piece: Piece, axis: int, inner: int) -> Piece | None:
    """The piece with an axis of its array as two, the second one of extent ``inner``, and each
    digit that counts along it as two."""
    shape = piece.node.shape
    new = (*shape[:axis], shape[axis] // inner, inner, *shape[axis + 1 :])

    def of(axes: tuple[Axis, ...]) -> tuple[Axis, ...] | None:
        result = []
        for each in axes:
            digits: list[Digit] = []
            for d in each:
                if d.axis != axis:
                    digits.append(renumbered(d, axis, 1))
                else:
                    block = abs(d.step) * inner
                    first, place = divmod(d.start, block)
                    if d.extent % block or not 0 <= place + d.step * (inner - 1) < block:
                        return None
                    sign = 1 if d.step > 0 else -1
                    digits.append(Digit(d.extent // block, first, sign, axis))
                    digits.append(Digit(block, place, d.step, axis + 1))
            result.append(tuple(digits))
        return tuple(result)

    lead, own = of(piece.lead), of(piece.own)
    if lead is None or own is None:
        return None
    return Piece(reshape(piece.node, shape=new), lead, own)


# --- contractions ---------------------------------------------------------------------------------


def _contracted(node: Node, inputs: Sequence[Operand]) -> Placed | None:
    found = _one(inputs)
    if found is None:
        return None
    at, x = found
    other = inputs[1 - at]
    assert isinstance(other, Node)
    letters = split_spec(node["spec"])
    pieces = [_contracted_piece(node, p, letters[at], other, letters[1 - at], at) for p in x.pieces]
    return _made(pieces, x, node)


def _contracted_piece(
    node: Node, piece: Piece, own: str, other: Node, theirs: str, at: int
) -> Piece:
    """The contraction of a piece, whose letters are ``own``, with an operand the same for all."""
    result = split_spec(node["spec"])[2]
    axis_of = dict(zip(own, piece.own, strict=True))
    # what both have is read where the piece lies; the rest of the operand comes first
    free = [c for c in theirs if c not in own]
    shared = [c for c in theirs if c in own]
    moved = transpose(other, axes=tuple([theirs.index(c) for c in (*free, *shared)]))
    kept = moved.shape[: len(free)]
    whole = [(Digit(n, 0, 1, len(piece.node.shape) + i),) for i, n in enumerate(kept)]
    room = broadcast_to(
        reshape(piece.node, shape=(*piece.node.shape, *(1,) * len(kept))),
        shape=(*piece.node.shape, *kept),
    )  # only its shape is used
    axes = [axis if n > 1 else () for axis, n in zip(whole, kept, strict=True)]
    found, along = read(moved, [*axes, *[axis_of[c] for c in shared]], replace(piece, node=room))
    axis_of |= dict(zip(free, axes, strict=True))
    lies = tuple([axis_of[c] for c in result])
    count = len(room.shape)
    alive = {d.axis for axis in (*piece.lead, *lies) for d in axis if d.axis is not None}
    names = string.ascii_letters[:count]
    mine = names[: len(piece.node.shape)]
    out = [a for a in range(count) if a in alive]
    k, lonely = piece.node, [a for a in range(len(mine)) if a not in alive and a not in along]
    if lonely:
        k = sum_(k, axes=tuple(lonely))
        mine = "".join(c for i, c in enumerate(mine) if i not in lonely)
    theirs_now = "".join(names[a] for a in along)
    order = (mine, theirs_now) if at == 0 else (theirs_now, mine)
    operands = (k, found) if at == 0 else (found, k)
    made = contract(*operands, spec=f"{order[0]},{order[1]}->{''.join(names[a] for a in out)}")
    places = {a: i for i, a in enumerate(out)}

    def renamed(axes: Sequence[Axis]) -> tuple[Axis, ...]:
        return tuple(
            [
                tuple([d if d.axis is None else replace(d, axis=places[d.axis]) for d in axis])
                for axis in axes
            ]
        )

    return Piece(made, renamed(piece.lead), renamed(lies))


_RULES: dict[Any, Callable[[Node, Sequence[Operand]], Placed | None]] = {
    add: _added,
    sub: _added,
    neg: _scaled(0),
    mul: _scaled(-1),
    div: _scaled(0),
    cast: _scaled(0),
    where: _chosen,
    transpose: _piecewise(_transposed),
    broadcast_to: _broadcast,
    reshape: _piecewise(_reshaped),
    slice_: _piecewise(_sliced),
    pad: _piecewise(_padded),
    concatenate: _concatenated,
    take: _taken,
    sum_: _piecewise(_summed),
    contract: _contracted,
}
