"""Vector loops written in vectors: several iterations at once, the rest of them under a mask.

The iterations run in steps of ``width`` (several copies of the body where it is short), then
singly vector by vector, then the last few as one vector of which only some lanes are stored. Each
copy of a body keeps an accumulator vector of its own for every carried value; at the end the
copies are combined pairwise, then the halves of the vector, then the start value: one fixed tree
for given extents.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...thresholds import thresholds
from ..ir import (
    Block,
    Let,
    Load,
    Loop,
    Var,
)
from .lane_code import LaneCode
from .types import value_type
from .vector_plan import IDENTITIES, Lanes, VectorPlan, analyse, plan_loop

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["write_function", "write_loop"]


def write_loop(e: Emitter, loop: Loop) -> bool:
    """Write a loop of mode ``vector`` in vectors. False, and nothing written, when that cannot
    be."""
    if loop.extent == 0 or loop.extent == 1:
        return False
    plan = plan_loop(loop, e.machine)
    if plan is None:
        return False
    results = _VectorLoop(e, loop, plan).write()
    for var, text in zip(loop.results, results, strict=True):
        e.bind(var, text)
    return True


def write_function(
    e: Emitter, lanes: int, params: Sequence[Var], names: Sequence[str], block: Block
) -> str:
    """Write a scalar function's block on all lanes of its arguments; the value it yields.

    One that reads a table at places that are not known to be inside, where only some lanes may,
    is written for each lane by itself."""
    known = Lanes(set(params), {})
    if lanes == 1 or analyse(block, known):
        return _function(e, lanes, known, params, names, block)
    with e.with_lanes(lanes):
        vector, total = e.kind(params[0].dtype), "poison"
    one = value_type(params[0].dtype)
    for lane in range(lanes):
        own = [e.value(f"extractelement {vector} {name}, i64 {lane}") for name in names]
        value = _function(e, 1, known, params, own, block)
        total = e.value(f"insertelement {vector} {total}, {one} {value}, i64 {lane}")
    return total


def _function(
    e: Emitter, lanes: int, known: Lanes, params: Sequence[Var], names: Sequence[str], block: Block
) -> str:
    for param, name in zip(params, names, strict=True):
        e.bind(param, name)
    with e.scope(), e.with_lanes(lanes):
        return LaneCode(e, known, apart=True).block(block)[0]


class _VectorLoop:
    """Writes one vector loop from its plan."""

    def __init__(self, e: Emitter, loop: Loop, plan: VectorPlan) -> None:
        self.e = e
        self.loop = loop
        self.plan = plan
        self.fetches = not _only_adds_up(loop)

    def write(self) -> list[str]:
        """Write the loop; the values that its carried params leave with."""
        e, loop = self.e, self.loop
        inits = [e.operand(i) for i in loop.inits]
        extent = e.extent(loop.extent)
        width = self.plan.width
        if isinstance(extent, int) and extent < width:
            width = _power_of_two(extent)
        with e.with_lanes(width):
            start = [[e.constant(v, p.dtype) for p, v in self._identities()]]
            if isinstance(extent, int):
                sums = self._static(extent, width, start)
            else:
                sums = self._dynamic(extent, width, start)
            totals = self._combine_copies(sums)
        totals = [self._combine_lanes(n, t, width) for n, t in enumerate(totals)]
        return [
            e.operation(let, [init, total])
            for let, init, total in zip(self.plan.combines, inits, totals, strict=True)
        ]

    def _identities(self) -> list[tuple[Var, float]]:
        lets = zip(self.loop.params, self.plan.combines, strict=True)
        return [(p, IDENTITIES[let.op](p.dtype)) for p, let in lets]

    # -- the iterations ----------------------------------------------------------------------------

    def _static(self, extent: int, width: int, start: list[list[str]]) -> list[list[str]]:
        copies = self.plan.copies
        full = extent // width
        main = full // copies * copies if full >= 2 * copies else 0
        sums = self._stretch("0", main * width, width, copies, start * copies if main else start)
        done = main * width
        sums[0] = self._stretch(str(done), (full - main) * width, width, 1, [sums[0]])[0]
        done = full * width
        rest = extent - done
        if not rest:
            return sums
        if not self.loop.params:
            width = _power_of_two(rest)
        mask = ""
        if rest != width:
            bits = ", ".join(f"i1 {'true' if n < rest else 'false'}" for n in range(width))
            mask = f"<{bits}>"
        with self.e.with_lanes(width):
            sums[0] = self._copy(str(done), mask, sums[0])
        return sums

    def _dynamic(self, extent: str, width: int, start: list[list[str]]) -> list[list[str]]:
        e, copies = self.e, self.plan.copies
        step = width * copies
        most = e.value(f"and i64 {extent}, {-step}", "n")
        sums = self._stretch("0", most, width, copies, start * copies)
        if copies == 2:  # one whole vector is left, or none
            full = e.value(f"and i64 {extent}, {-width}", "n")
            sums[0] = self._where_less(most, full, sums[0], lambda: self._copy(most, "", sums[0]))
            most = full
        elif copies > 2:
            full = e.value(f"and i64 {extent}, {-width}", "n")
            left = e.value(f"sub i64 {full}, {most}", "n")
            sums[0] = self._stretch(most, left, width, 1, [sums[0]])[0]
            most = full

        def rest() -> list[str]:
            mask = e.value(
                f"call <{width} x i1> @llvm.get.active.lane.mask.v{width}i1.i64"
                f"(i64 {most}, i64 {extent})",
                "mask",
            )
            return self._copy(most, mask, sums[0])

        sums[0] = self._where_less(most, extent, sums[0], rest)
        return sums

    def _where_less(
        self, a: str, b: str, carried: list[str], run: Callable[[], list[str]]
    ) -> list[str]:
        """What ``run`` writes, passed over unless a < b: then what is carried stays."""
        e = self.e
        typed = [(e.kind(p.dtype), old) for p, old in zip(self.loop.params, carried, strict=True)]
        return e.where(e.value(f"icmp slt i64 {a}, {b}"), typed, run)

    def _stretch(
        self, first: str, count: int | str, width: int, copies: int, sums: list[list[str]]
    ) -> list[list[str]]:
        """The iterations from ``first`` on, ``count`` of them: a multiple of width times copies."""
        if count == 0:
            return sums
        block = self._block(count, width * copies)
        if block:
            return self._blocks(first, count, width, copies, sums, block)
        return self._run(first, count, width, copies, sums)

    def _block(self, count: int | str, step: int) -> int:
        """The iterations in a block of a long sum in a narrow dtype; 0 for what is not one.

        Rounding errors grow with the additions in a row: the sums of blocks are made anew and then
        added up, few in a row; blocks of many are made of blocks."""
        pairs = zip(self.loop.params, self.plan.combines, strict=True)
        if not any(p.dtype in ("f16", "f32") and let.op == "add" for p, let in pairs):
            return 0
        least = _sum_block()
        if isinstance(count, str):
            return least * least * step
        if count < 4 * least * step:
            return 0
        block = least * step
        while block * least < count:
            block *= least
        return block

    def _blocks(
        self, first: str, count: int | str, width: int, copies: int, sums: list[list[str]],
        block: int,
    ) -> list[list[str]]:  # fmt: skip
        """The same in blocks, each of which starts from nothing."""
        e = self.e
        carried = len(self.loop.params)
        if isinstance(count, int):
            whole: int | str = -(-count // block) * block
        else:
            whole = e.value(f"and i64 {_sum(e, count, str(block - 1))}, {-block}", "n")

        def body(variable: str, values: list[str]) -> list[str]:
            left = e.value(f"sub i64 {count}, {variable}", "left")
            here = e.value(f"call i64 @llvm.smin.i64(i64 {left}, i64 {block})", "here")
            base = variable if first == "0" else _sum(e, variable, first)
            start = [e.constant(v, p.dtype) for p, v in self._identities()]
            starts = [start] * copies
            inner = block // _sum_block()
            if inner > width * copies:
                parts = self._blocks(base, here, width, copies, starts, inner)
            else:
                parts = self._run(base, here, width, copies, starts)
            return [
                e.operation(let, [value, part])
                for let, value, part in zip(
                    self.plan.combines * copies, values, itertools.chain(*parts), strict=True
                )
            ]

        inits = [
            (e.kind(p.dtype), value)
            for copy in sums
            for p, value in zip(self.loop.params, copy, strict=True)
        ]
        flat = e.counted_loop(whole, body, inits=inits, step=block, hint="block")
        return [flat[n * carried : (n + 1) * carried] for n in range(copies)]

    def _run(
        self, first: str, count: int | str, width: int, copies: int, sums: list[list[str]]
    ) -> list[list[str]]:
        """The same in one loop."""
        e = self.e
        carried = len(self.loop.params)

        def body(variable: str, values: list[str]) -> list[str]:
            base = variable if first == "0" else _sum(e, variable, first)
            following: list[str] = []
            for n in range(copies):
                here = _sum(e, base, str(n * width)) if n else base
                following += self._copy(here, "", values[n * carried : (n + 1) * carried])
            return following

        inits = [
            (e.kind(p.dtype), value)
            for copy in sums
            for p, value in zip(self.loop.params, copy, strict=True)
        ]
        flat = e.counted_loop(count, body, inits=inits, step=width * copies, hint="i")
        return [flat[n * carried : (n + 1) * carried] for n in range(copies)]

    def _copy(self, base: str, mask: str, carried: list[str]) -> list[str]:
        """One run of the body on all lanes from iteration ``base`` on."""
        e, loop = self.e, self.loop
        with e.scope():
            e.bind(loop.var, base)
            for param, value in zip(loop.params, carried, strict=True):
                e.bind(param, value)
            code = LaneCode(e, self.plan.lanes, mask, fetches=self.fetches)
            following = code.block(loop.body)
            if mask:
                following = [
                    code.choose(mask, p.dtype, new, old)
                    for p, new, old in zip(loop.params, following, carried, strict=True)
                ]
        return following

    # -- combining ---------------------------------------------------------------------------------

    def _combine_copies(self, sums: list[list[str]]) -> list[str]:
        while len(sums) > 1:
            half = len(sums) // 2
            sums = [
                [
                    self.e.operation(let, [a, b])
                    for let, a, b in zip(self.plan.combines, one, other, strict=True)
                ]
                for one, other in zip(sums[:half], sums[half:], strict=True)
            ]
        return sums[0]

    def _combine_lanes(self, n: int, value: str, width: int) -> str:
        """All lanes of a vector in one value, by halves."""
        e, let = self.e, self.plan.combines[n]
        kind = value_type(self.loop.params[n].dtype)
        while width > 1:
            half = width // 2
            vector = f"<{width} x {kind}>"
            if half == 1:
                halves = [e.value(f"extractelement {vector} {value}, i64 {k}") for k in (0, 1)]
            else:
                halves = [
                    e.value(
                        f"shufflevector {vector} {value}, {vector} poison, <{half} x i32> <"
                        + ", ".join(f"i32 {k}" for k in range(first, first + half))
                        + ">"
                    )
                    for first in (0, half)
                ]
            with e.with_lanes(half):
                value = e.operation(let, halves)
            width = half
        return value


def _only_adds_up(loop: Loop) -> bool:
    """Whether a loop is a sum of what it reads: the processor's own fetching is enough."""
    lets = [s for s in loop.body.statements if not isinstance(s, Load)]
    adds = all(isinstance(s, Let) and s.op in ("add", "fma") for s in lets)
    return adds and 0 < len(lets) <= len(loop.params)


def _sum_block() -> int:
    """The vectors that a sum adds up before it starts anew: a power of two, at least 2."""
    return _power_of_two(max(2, thresholds.sum_block))


def _power_of_two(number: int) -> int:
    """The least power of two that is not less."""
    return 1 << (number - 1).bit_length()


def _sum(e: Emitter, left: str, right: str) -> str:
    if not left.startswith("%") and not right.startswith("%"):
        return str(int(left) + int(right))
    return e.value(f"add nuw nsw i64 {left}, {right}", "i")
