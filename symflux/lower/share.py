"""Which loops are shared out among threads, in which pieces, and what each piece keeps for itself.

A loop is cut into pieces of consecutive iterations. The pieces depend on the loop alone, never on
the number of threads, so that neither does any bit of a result. Memory that iterations use one
after the other (the exponentials of the row at hand) is there once for each piece; a sum in memory
over the iterations (of columns) is made in each piece, and the sums of the pieces are added up in
order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..codegen.ir import BYTES
from ..records import field, record
from ..thresholds import thresholds
from .fuse import Leaf, LoopItem, Nest, leaves_of
from .recompute import NEAR, RATE, flops

if TYPE_CHECKING:
    from .plan import Plan, Storage

__all__ = ["Share", "share_out", "unit_of", "used_again"]


@record(eq=False)
class Share:
    """A loop that is shared out in at most ``pieces`` pieces.

    ``own`` is the storage that each piece has a copy of; ``partial`` the sums in memory over the
    iterations, with the storage of the pieces' sums."""

    loop: LoopItem
    pieces: int
    own: list[Storage] = field(default_factory=list)
    partial: dict[Any, Storage] = field(default_factory=dict)


def unit_of(share: Share, extent: int) -> int:
    """The iterations in a piece (in all but the last); there are not more pieces than the share
    says, since each may have memory of its own."""
    grain = thresholds.share_grain if all(isinstance(c, Leaf) for c in share.loop.children) else 1
    pieces = min(share.pieces, extent)
    for count in range(pieces, pieces * 3 // 4, -1):  # without a rest, if such a number is near
        if extent % (count * grain) == 0:
            return extent // count
    return max(grain, -(-extent // (pieces * grain)) * grain)


def share_out(plan: Plan) -> dict[LoopItem, Share]:
    """The loops of a plan that are shared out; its storage gets the copies that they need."""
    found: dict[LoopItem, Share] = {}
    for number, kernel in enumerate(plan.kernels):
        for item in kernel:
            if isinstance(item, LoopItem):
                for share in _within(plan, item, number, top=True):
                    found[share.loop] = share
    return found


def _within(plan: Plan, loop: LoopItem, kernel: int, top: bool) -> Iterator[Share]:
    """The loop itself, or if it cannot be shared out, loops inside of it that each do enough."""
    work = _nanoseconds(plan, loop)
    if not work or work < thresholds.share_from:
        return
    share = _share(plan, loop, kernel, top)
    if share is not None:
        yield share
        return
    for child in loop.children:
        if isinstance(child, LoopItem):
            for share in _within(plan, child, kernel, top=False):
                each = _nanoseconds(plan, share.loop) / _outside(share.loop, plan)
                if each >= thresholds.share_from:
                    yield share


def _outside(loop: LoopItem, plan: Plan) -> int:
    """How often a loop runs."""
    nest = next(leaves_of(loop)).nest
    return math.prod(x.axis.extent for x in nest.path[: nest.path.index(loop)])


def _share(plan: Plan, loop: LoopItem, kernel: int, top: bool) -> Share | None:
    nests = [leaf.nest for leaf in leaves_of(loop)]
    short = loop.axis.extent < thresholds.share_outer
    if loop.axis.extent < 2 or (top and short and _has_long_loops(loop)):
        return None
    work = _nanoseconds(plan, loop) / _outside(loop, plan)
    most = min(thresholds.share_pieces, loop.axis.extent if loop.children else 2)
    pieces = max(2, min(most, int(work / thresholds.share_piece)))
    if pieces < 8:  # of three pieces one of two threads does two
        pieces -= pieces % 2
    share = Share(loop, pieces)
    for nest in nests:
        over = loop.axis in nest.fold_axes
        if over and (
            nest.fold.combine is None or (nest.style == "fold" and nest not in loop.carries)
        ):
            return None
        storage = plan.storage.get(nest.key)
        if over and nest.style == "memory fold":
            if not top or nest not in loop.starts or loop.breaks or storage is None:
                return None
            share.partial[nest.key] = storage
        elif storage is not None and _is_used_again(storage, nest, loop):
            share.own.append(storage)
    if share.partial:
        each = sum(s.size * BYTES[s.dtype] for s in share.partial.values())
        rows = loop.axis.extent // thresholds.share_rows
        share.pieces = min(share.pieces, rows, thresholds.share_partial // max(each, 1))
        if share.pieces < 2:
            return None
    if loop.breaks and share.own:
        return None
    for storage in share.own:
        storage.copies = share.pieces
    share.partial = {
        key: plan.partial_storage(key, storage, share.pieces, kernel)
        for key, storage in share.partial.items()
    }
    return share


def _is_used_again(storage: Storage, nest: Nest, loop: LoopItem) -> bool:
    """Whether iterations of the loop write to the same memory, one after the other."""
    if loop.axis not in nest.result_axes:
        return False
    return nest.result_axes.index(loop.axis) not in storage.kept


def used_again(loop: LoopItem, storage: Mapping[Any, Storage]) -> Iterator[Storage]:
    """Storage that iterations of a loop write to, one after the other."""
    for leaf in leaves_of(loop):
        own = storage.get(leaf.nest.key)
        if own is not None and _is_used_again(own, leaf.nest, loop):
            yield own


def _has_long_loops(loop: LoopItem) -> bool:
    """Whether a loop inside has more iterations than this one."""
    inner: Sequence[Any] = loop.children
    long = thresholds.share_outer * loop.axis.extent
    return any(isinstance(c, LoopItem) and c.axis.extent > long for c in inner)


def _nanoseconds(plan: Plan, loop: LoopItem) -> float:
    """How long all runs of a loop take one thread, roughly."""
    return sum(_cost(plan, leaf.nest) for leaf in leaves_of(loop))


def _cost(plan: Plan, nest: Nest) -> float:
    volume = math.prod(axis.extent for axis in nest.order)
    node = nest.source[0]
    operations = 1 + flops([node], lambda x: x.id in plan.roots)
    size = BYTES[node.dtype]
    return volume * size * (operations / RATE + (1 + len(nest.accesses)) / NEAR)
