"""Batches that are zero but for a few boxes: unit vectors, and what linear ops make of them.

The unit vectors of a space, batched, are zero but for a diagonal. What a linear graph makes of
them stays so for long: elementwise factors scale the diagonal, slices and pads move it, a sum over
an axis of it picks. So a batch is kept as a sum of pieces: small arrays, and where in the batch
their elements lie. Derivatives along all unit vectors then cost what their non-zeros cost, and
what is zero by this structure is exactly zero, whatever it would have been multiplied by.

The axes of a batch, those over the unit vectors (``lead``) and those of the value (``own``), are
written in digits: an axis of extent 12 may be digits of extents 3 and 4, as in a reshape. A digit
counts along one axis of the piece's array, or stays at one place. An axis that two digits count
along makes a diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.node import Node, constant, constant_value, symbol
from ..ir.op import lookup
from ..ops.arrange import cut, diagonal
from ..ops.composed import eye
from ..ops.index import iota
from ..ops.reduce import sum_
from ..ops.shape import broadcast_to, concatenate, pad, reshape, transpose
from ..records import record, replace
from ..thresholds import thresholds
from .pieces import add_up

__all__ = ["Axis", "Digit", "Piece", "Placed", "as_unit_vectors", "unit_vectors"]


@record(frozen=True, slots=True)
class Digit:
    """``start + step * i`` out of ``extent``, where i counts along ``axis`` of the piece's array;
    just ``start`` where the axis is None."""

    extent: int
    start: int
    step: int = 0
    axis: int | None = None


#: The digits of an axis, the most significant first; none, where its extent is 1.
Axis = tuple[Digit, ...]


@record(frozen=True, slots=True)
class Piece:
    """``node`` at the places that ``lead`` and ``own`` say; zeros elsewhere."""

    node: Node
    lead: tuple[Axis, ...]
    own: tuple[Axis, ...]


@record(frozen=True, slots=True, eq=False)
class Placed:
    """The sum of ``pieces``; ``lead`` and ``own`` are the extents of its axes."""

    pieces: tuple[Piece, ...]
    lead: tuple[int, ...]
    own: tuple[int, ...]
    dtype: str

    def dense(self) -> Node:
        """The batch as one array: an axis over all unit vectors, then the axes of the value."""
        shape = (math.prod(self.lead), *self.own)
        if not self.pieces:
            return broadcast_to(constant(0, self.dtype), shape=shape)
        each = (*self.lead, *self.own)
        return reshaped(add_up([reshaped(_filled(p), each) for p in self.pieces]), shape)

    def is_sparse(self) -> bool:
        """Whether the pieces are hardly more work than the whole. Single numbers never are: along
        all unit vectors they are one short vector."""
        size = math.prod(self.own)
        if size < thresholds.piece_from:
            return False
        work = sum([_work(p.node.type.size) for p in self.pieces])
        return 100 * work < thresholds.piece_percent * _work(math.prod(self.lead) * size)

    def narrowed(self) -> Placed | None:
        """One piece over the interval of unit vectors in which all pieces lie, where that is a
        small part of all."""
        (extent,) = self.lead if len(self.lead) == 1 else (0,)
        if extent < thresholds.interval_from or not self.pieces:
            return None
        if any(len(piece.lead[0]) != 1 for piece in self.pieces):
            return None
        bounds = [_bounds(piece) for piece in self.pieces]
        low, high = min(b[0] for b in bounds), max(b[1] for b in bounds)
        count = high - low
        if thresholds.interval_part * count > extent:
            return None
        if len(self.pieces) == 1 and self.pieces[0].node.type.size == count * math.prod(self.own):
            return self
        moved = [
            replace(
                p, lead=(tuple([Digit(count, d.start - low, d.step, d.axis) for d in p.lead[0]]),)
            )
            for p in self.pieces
        ]
        whole = Placed(tuple(moved), (count,), self.own, self.dtype).dense()
        axes = tuple([(Digit(n, 0, 1, i + 1),) for i, n in enumerate(self.own)])
        return replace(self, pieces=collected([Piece(whole, ((Digit(extent, low, 1, 0),),), axes)]))


def _bounds(piece: Piece) -> tuple[int, int]:
    """The first unit vector along which a piece is not zero, and the one after the last."""
    (d,) = piece.lead[0]
    last = d.start if d.axis is None else d.start + d.step * (piece.node.shape[d.axis] - 1)
    return min(d.start, last), max(d.start, last) + 1


def _work(size: int) -> int:
    """Of an operation on so many elements, in operations on vectors."""
    return size // 4 + thresholds.piece_cost


def unit_vectors(node: Node) -> Placed:
    """The unit vectors of a node's space."""
    ones = broadcast_to(constant(1, node.dtype), shape=node.shape)
    axes = tuple([(Digit(n, 0, 1, i),) for i, n in enumerate(node.shape)])
    return Placed(collected([Piece(ones, axes, axes)]), node.shape, node.shape, node.dtype)


def as_unit_vectors(node: Node) -> Placed | None:
    """The rows of an identity matrix as unit vectors; None for other arrays."""
    if len(node.shape) != 2 or node.shape[0] != node.shape[1] or node.shape[0] < 2:
        return None
    n = node.shape[0]
    value = constant_value(node)
    if value is None:
        if node is not eye(n, dtype=node.dtype):
            return None
    elif not np.array_equal(value, np.eye(n)):
        return None
    return unit_vectors(symbol("t", (n,), node.dtype))


# --- pieces in one form ---------------------------------------------------------------------------


def collected(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """The pieces in one form each, those at the same places added up, without empty ones."""
    found: dict[Any, list[Piece]] = {}
    for piece in pieces:
        if piece.node.type.size:
            tidy = _tidied(piece)
            found.setdefault((tidy.node.shape, tidy.lead, tidy.own), []).append(tidy)
    made = [replace(same[0], node=add_up([p.node for p in same])) for same in found.values()]
    return tuple(made if len(made) < thresholds.pieces else _joined(made))


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Pieces that lie side by side along an axis, and are alike otherwise, as one."""
    for i in range(len(pieces[0].lead) + len(pieces[0].own)):
        groups: dict[Any, list[tuple[int, Node, Piece]]] = {}
        for piece in pieces:
            key, start, node = _opened(piece, i)
            groups.setdefault(key, []).append((start, node, piece))
        pieces = []
        for group in groups.values():
            group.sort(key=lambda one: one[0])
            end = None
            runs: list[list[tuple[int, Node, Piece]]] = []
            for one in group:
                runs.append([one]) if one[0] != end else runs[-1].append(one)
                end = one[0] + one[1].shape[-1] if one[1].shape else None
            pieces += [run[0][2] if len(run) == 1 else _side_by_side(run, i) for run in runs]
    return pieces


def _opened(piece: Piece, i: int) -> tuple[Any, int, Node]:
    """What pieces share that may lie side by side along axis i, where this one starts, and its
    array with that axis as its last."""
    axes = [*piece.lead, *piece.own]
    (d,) = axes[i] if len(axes[i]) == 1 else (Digit(0, 0, 0),)
    alone = [e.axis for axis in axes for e in axis].count(d.axis) == 1
    shape = piece.node.shape
    if not d.extent or (d.axis is not None and not (d.step == 1 and alone)):
        return piece, 0, piece.node  # with none
    axes[i] = ()
    if d.axis is None:
        return (shape, tuple(axes)), d.start, reshape(piece.node, shape=(*shape, 1))
    at = d.axis
    node = transposed(piece.node, [*(a for a in range(len(shape)) if a != at), at])
    renamed = tuple([tuple([renumbered(e, at, -1) for e in axis]) for axis in axes])
    return (node.shape[:-1], renamed), d.start, node


def renumbered(d: Digit, axis: int, by: int) -> Digit:
    """The digit, after an axis before its own has come or gone."""
    return d if d.axis is None or d.axis < axis else Digit(d.extent, d.start, d.step, d.axis + by)


def _side_by_side(run: list[tuple[int, Node, Piece]], i: int) -> Piece:
    start, first, piece = run[0]
    node = concatenate(*[x for _, x, _ in run], axis=len(first.shape) - 1)
    axes = [*piece.lead, *piece.own]
    (d,) = axes[i]
    if d.axis is not None:
        axes = [tuple([renumbered(e, d.axis, -1) for e in axis]) for axis in axes]
    axes[i] = (Digit(d.extent, start, 1, len(first.shape) - 1),)
    lead = len(piece.lead)
    return _tidied(Piece(node, tuple(axes[:lead]), tuple(axes[lead:])))


def _tidied(piece: Piece) -> Piece:
    """The axes of the array in the order in which digits name them, none of extent 1: those of
    the value first, as other arrays have them."""
    shape = piece.node.shape
    order: list[int] = []
    for axis in (*piece.own, *piece.lead):
        for digit in axis:
            if digit.axis is not None and shape[digit.axis] > 1 and digit.axis not in order:
                order.append(digit.axis)
    places = {a: i for i, a in enumerate(order)}
    rest = [a for a in range(len(shape)) if a not in places]
    node = transposed(piece.node, (*order, *rest))
    node = reshaped(node, tuple([shape[a] for a in order]))

    def renamed(axis: Axis) -> Axis:
        return tuple(
            [
                Digit(d.extent, d.start, d.step, places[d.axis])
                if d.axis in places
                else Digit(d.extent, d.start)
                for d in axis
                if d.extent > 1
            ]
        )

    lead = tuple([renamed(axis) for axis in piece.lead])
    return Piece(node, lead, tuple([renamed(axis) for axis in piece.own]))


def transposed(node: Node, axes: Sequence[int]) -> Node:
    """The transpose; the node itself where nothing moves."""
    axes = tuple(axes)
    return node if axes == tuple(range(len(axes))) else transpose(node, axes=axes)


def reshaped(node: Node, shape: tuple[int, ...]) -> Node:
    """The reshape; the node itself where its shape is that already."""
    return node if node.shape == shape else reshape(node, shape=shape)


def used(piece: Piece) -> set[int]:
    """The axes of the array that a digit counts along."""
    return {d.axis for axis in (*piece.lead, *piece.own) for d in axis if d.axis is not None}


def mapped(piece: Piece, axis: int, node: Node, start: int, step: int) -> Piece:
    """The piece with another array, whose i-th element along ``axis`` is element start + step i of
    the old one."""

    def moved(d: Digit) -> Digit:
        if d.axis != axis:
            return d
        return Digit(d.extent, d.start + d.step * start, d.step * step, axis)

    def all_moved(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        return tuple([tuple([moved(d) for d in each]) for each in axes])

    return Piece(node, all_moved(piece.lead), all_moved(piece.own))


def spread(piece: Piece, extent: int) -> tuple[Piece, Digit]:
    """The piece with its array repeated along a new last axis, and a digit that counts there."""
    shape = piece.node.shape
    node = broadcast_to(reshape(piece.node, shape=(*shape, 1)), shape=(*shape, extent))
    return replace(piece, node=node), Digit(extent, 0, 1, len(shape))


def summed(piece: Piece, own: tuple[Axis, ...]) -> Piece:
    """The piece with other axes of its own, summed over what no digit counts along any more."""
    kept = used(Piece(piece.node, piece.lead, own))
    gone = [a for a in range(len(piece.node.shape)) if a not in kept]
    if not gone:
        return Piece(piece.node, piece.lead, own)
    order = [*sorted(kept), *gone]
    node = sum_(transposed(piece.node, order), axes=tuple(range(len(kept), len(order))))
    places = {a: i for i, a in enumerate(sorted(kept))}

    def renamed(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        return tuple(
            [
                tuple([d if d.axis is None else replace(d, axis=places[d.axis]) for d in axis])
                for axis in axes
            ]
        )

    return Piece(node, renamed(piece.lead), renamed(own))


# --- other arrays, read where a piece lies --------------------------------------------------------


def read(x: Node, axes: Sequence[Axis], piece: Piece) -> tuple[Node, list[int]]:
    """``x``, whose axes are as ``axes`` say in digits of the piece, where the piece lies.

    Returns the elements, and for each axis of them the axis of the piece's array that it goes
    along. Axes of extent 1 are left out: they are the same for all."""
    extents: list[int] = []
    digits: list[Digit] = []
    for n, axis in zip(x.shape, axes, strict=True):
        if n > 1:
            extents += [d.extent for d in axis]
            digits += axis
    x = reshaped(x, tuple(extents))
    along: list[int | None] = []
    for i, d in enumerate(digits):
        count = 1 if d.axis is None else piece.node.shape[d.axis]
        x = cut(x, i, d.start, count, d.step if count > 1 else 1)
        along.append(d.axis)
    x = reshaped(x, tuple([n for n, a in zip(x.shape, along, strict=True) if a is not None]))
    left = [a for a in along if a is not None]
    while len(set(left)) < len(left):
        first = next(i for i, a in enumerate(left) if a in left[i + 1 :])
        second = left.index(left[first], first + 1)
        x = diagonal(x, 0, first, second)
        left = [a for i, a in enumerate(left) if i not in (first, second)] + [left[first]]
    return x, left


def factor(x: Node, piece: Piece) -> Node:
    """``x``, which broadcasts to the value's shape, as it multiplies the piece's array."""
    own = piece.own[len(piece.own) - len(x.shape) :]
    found, along = read(x, own, piece)
    order = sorted(range(len(along)), key=along.__getitem__)
    found = transposed(found, order)
    shape = [1] * len(piece.node.shape)
    for a in along:
        shape[a] = piece.node.shape[a]
    first = min(along, default=len(shape))
    return reshaped(found, tuple(shape[first:]))


# --- all elements ---------------------------------------------------------------------------------


def _filled(piece: Piece) -> Node:
    """The piece with its zeros: one axis for each digit of lead and own."""
    digits = [d for axis in (*piece.lead, *piece.own) for d in axis or (Digit(1, 0),)]
    sizes = piece.node.shape
    home: dict[int, int] = {}  # the digit where an axis of the array lies
    for i, d in enumerate(digits):
        if d.axis is not None:
            covers = d.extent == sizes[d.axis]
            before = home.get(d.axis)
            if before is None or covers or digits[before].extent != sizes[d.axis]:
                home[d.axis] = i
    order = sorted(home, key=home.__getitem__)
    shape = [1] * len(digits)
    for a in order:
        shape[home[a]] = sizes[a]
    lies = [d.axis is not None and home[d.axis] == i for i, d in enumerate(digits)]
    if (
        math.prod([d.extent for d in digits]) > thresholds.placed_by_mask
    ):  # zeros are cheaper written than compared
        lies = [at or d.axis is None for at, d in zip(lies, digits, strict=True)]
    node = reshaped(transposed(piece.node, order), tuple(shape))
    node = _widened(node, [d if at else None for d, at in zip(digits, lies, strict=True)])
    mask: Node | None = None
    for i, d in enumerate(digits):
        if not lies[i]:
            same = _same(i, digits, None if d.axis is None else home[d.axis])
            mask = same if mask is None else lookup("and")(mask, same)
    if mask is None:
        return node
    full = broadcast_to(node, shape=tuple([d.extent for d in digits]))
    return lookup("where")(mask, full, constant(0, node.dtype))


def _same(i: int, digits: Sequence[Digit], home: int | None) -> Node:
    """Whether digit i is where the piece is not zero, given the digit ``home``."""
    here, d = _index(i, digits), digits[i]
    if home is None:
        return lookup("eq")(here, constant(d.start, "i64"))
    other = digits[home]  # (index - start) / step is the same at both
    common = math.gcd(d.step, other.step)
    left, right = other.step // common, d.step // common
    shift = left * d.start - right * other.start
    there = _index(home, digits)
    here, there = (x if by == 1 else x * by for x, by in ((here, left), (there, right)))
    return lookup("eq")(here, there if shift == 0 else there + shift)


def _index(i: int, digits: Sequence[Digit]) -> Node:
    shape = tuple([d.extent if j == i else 1 for j, d in enumerate(digits)])
    return iota(shape=shape, dtype="i64", axis=i)


def _widened(node: Node, digits: Sequence[Digit | None]) -> Node:
    """Zeros around and between the elements along the axes of the digits."""
    low, high, between = [], [], []
    for i, (n, d) in enumerate(zip(node.shape, digits, strict=True)):
        d = d or Digit(1, 0, 1)
        if d.step < 0:
            node = cut(node, i, n - 1, n, -1)
        lowest = min(d.start, d.start + d.step * (n - 1))
        low.append(lowest)
        between.append(max(abs(d.step) - 1, 0))
        high.append(d.extent - lowest - (n - 1) * abs(d.step) - 1)
    if not any((*low, *high, *between)):
        return node
    return pad(node, low=tuple(low), high=tuple(high), interior=tuple(between))
