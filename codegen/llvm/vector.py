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
from typing import TYPE_CHECKING, Any

from ...thresholds import thresholds
from ..ir import (
    BYTES,
    Block,
    Buffer,
    Const,
    If,
    Index,
    Let,
    Load,
    Loop,
    Operand,
    Statement,
    Store,
    Var,
    While,
)
from . import strided
from .masked import masked_load, masked_store
from .stops import ask_in
from .tables import is_short, write_lookup
from .types import memory_type, suffix, value_type
from .vector_plan import IDENTITIES, Lanes, VectorPlan, analyse, plan_loop

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["write_function", "write_loop"]

#: how many bytes ahead a large buffer is fetched into the second cache: processors fetch ahead
#: themselves, but only up to the end of a page
AHEAD = 2048


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
    """Write a scalar function's block on all lanes of its arguments; the value it yields."""
    known = Lanes(set(params), {})
    analyse(block, known)
    for param, name in zip(params, names, strict=True):
        e.bind(param, name)
    with e.with_lanes(lanes):
        code = LaneCode(e, known)
        return code.block(block)[0]


class LaneCode:
    """Writes statements for all lanes at once; ``mask`` says which lanes may touch memory, and
    ``fetches`` whether what lies far is fetched ahead."""

    def __init__(self, e: Emitter, lanes: Lanes, mask: str = "", *, fetches: bool = False) -> None:
        self.e = e
        self.lanes = lanes
        self.mask = mask
        self.fetches = fetches and not mask
        self._waiting = strided.Waiting(e)
        self._wide: dict[tuple[str, str, int], str] = {}  # splats and ramps already written
        self._fetched: set[tuple[Buffer, Any]] = set()  # places that were fetched ahead

    # -- values ------------------------------------------------------------------------------------

    def operand(self, operand: Operand) -> str:
        """An operand as a vector (as a scalar with one lane)."""
        e = self.e
        if isinstance(operand, Const):
            return e.constant(operand.value, operand.dtype)
        text = e.operand(operand)
        stride = self.lanes.affine.get(operand, 0)
        if e.lanes == 1 or (operand in self.lanes.varying and not stride):
            return text
        key = text, operand.dtype, stride
        if key not in self._wide:
            vector = e.splat(text, value_type(operand.dtype))
            if stride:
                vector = e.value(f"add {e.kind('i64')} {vector}, {self.ramp(stride)}", "x")
            self._wide[key] = vector
        return self._wide[key]

    def ramp(self, stride: int) -> str:
        """The constant vector 0, stride, 2 stride, ..."""
        return "<" + ", ".join(f"i64 {n * stride}" for n in range(self.e.lanes)) + ">"

    # -- statements --------------------------------------------------------------------------------

    def block(self, block: Block) -> list[str]:
        """Write a block; what it yields, as vectors."""
        outer, self._waiting = self._waiting, strided.Waiting(self.e)
        loaded: set[int] = set()  # places of loads that were written with an earlier one
        for place, statement in enumerate(block.statements):
            if place in loaded:
                continue
            if isinstance(statement, Load) and self._near(statement.buffer, statement.index):
                loaded |= self._load_near(statement, place, block.statements)
            else:
                self.statement(statement)
        self._waiting.write()
        self._waiting = outer
        return [self.operand(y) for y in block.yields]

    def _load_near(self, load: Load, place: int, statements: Sequence[Statement]) -> set[int]:
        """Write a load whose lanes lie near to each other, and those after it that read what lies
        in between; the places of these."""
        e, stride = self.e, self.lanes.stride(load.index)
        dtype = load.buffer.dtype
        family = strided.with_family(load, statements[place + 1 :], stride)
        for each in family or [load]:
            self._waiting.before(each.buffer, each.index)
        if not family:
            value = strided.load(e, e.address(load.buffer, load.index), dtype, stride)
            e.bind(load.result, e.loaded_value(value, dtype))
            return set()
        address = e.address(load.buffer, family[0].index)
        values = strided.load_family(e, address, dtype, stride)
        for each, value in zip(family, values, strict=True):
            e.bind(each.result, e.loaded_value(value, dtype))
        members = {id(each) for each in family}
        return {n for n in range(place, len(statements)) if id(statements[n]) in members}

    def statement(self, statement: Statement) -> None:
        if not isinstance(statement, (Let, Load, Store)):
            self._waiting.write()
        match statement:
            case Let():
                self._let(statement)
            case Load():
                self._waiting.before(statement.buffer, statement.index)
                self._load(statement)
            case Store():
                self._store(statement)
            case If():
                self._if(statement)
            case Loop():
                self._loop(statement)
            case While():
                self._while(statement)

    def _let(self, let: Let) -> None:
        e = self.e
        if let.result in self.lanes.varying and let.result not in self.lanes.affine:
            e.bind(let.result, e.operation(let, [self.operand(a) for a in let.args]))
            return
        with e.with_lanes(1):  # the same in every lane, or its value in the first
            e.bind(let.result, e.operation(let, [e.operand(a) for a in let.args]))

    def _load(self, load: Load) -> None:
        e = self.e
        buffer, index = load.buffer, load.index
        if self.lanes.uniform(index) or e.lanes == 1:
            with e.with_lanes(1):
                e.statement(load)
            return
        align, kind = BYTES[buffer.dtype], e.memory_kind(buffer.dtype)
        if self._side_by_side(index):
            address = e.address(buffer, index)
            self._fetch_ahead(buffer, index, address)
            value = masked_load(e, address, self.mask, e.lanes, buffer.dtype)
        elif is_short(buffer, e.machine):
            value = write_lookup(e, buffer, self._places(index))
        else:
            callee = self._apart("gather", buffer)
            value = e.value(
                f"call {kind} {callee}(<{e.lanes} x ptr> {self._addresses(buffer, index)}, "
                f"i32 {align}, {self._bits} {self._lanes_in_use}, {kind} zeroinitializer)",
                "v",
            )
        e.bind(load.result, e.loaded_value(value, buffer.dtype))

    def _fetch_ahead(self, buffer: Buffer, index: Index, address: str) -> None:
        """Ask for what the loop reads some iterations later, once for neighbours."""
        size = buffer.size * BYTES[buffer.dtype] if isinstance(buffer.size, int) else 0
        place = buffer, index.terms
        if not self.fetches or size < thresholds.fetch_from or place in self._fetched:
            return
        self._fetched.add(place)
        ahead = self.e.value(f"getelementptr i8, ptr {address}, i64 {AHEAD}", "p")
        self.e.line(f"call void @llvm.prefetch.p0(ptr {ahead}, i32 0, i32 2, i32 1)")

    def _store(self, store: Store) -> None:
        e = self.e
        buffer, index = store.buffer, store.index
        if e.lanes == 1:
            e.statement(store)
            return
        align, kind = BYTES[buffer.dtype], e.memory_kind(buffer.dtype)
        value = e.memory_value(self.operand(store.value), buffer.dtype)
        if self._near(buffer, index):
            self._waiting.add(buffer, index, self.lanes.stride(index), value)
            return
        self._waiting.before(buffer, index)
        if not self._side_by_side(index):
            callee = self._apart("scatter", buffer)
            e.line(
                f"call void {callee}({kind} {value}, <{e.lanes} x ptr> "
                f"{self._addresses(buffer, index)}, i32 {align}, {self._bits} "
                f"{self._lanes_in_use})"
            )
            return
        masked_store(e, value, e.address(buffer, index), self.mask, e.lanes, buffer.dtype)

    def _side_by_side(self, index: Index) -> bool:
        return self.lanes.stride(index) == 1 and not self.lanes.arbitrary(index)

    def _near(self, buffer: Buffer, index: Index) -> bool:
        """Whether elements lie so near to each other that whole vectors are accessed."""
        if self.e.lanes == 1 or self.mask or self.lanes.arbitrary(index):
            return False
        return strided.is_near(self.lanes.stride(index), buffer.dtype, self.e.machine)

    @property
    def _bits(self) -> str:
        return f"<{self.e.lanes} x i1>"

    @property
    def _lanes_in_use(self) -> str:
        return self.mask or "splat (i1 true)"

    def _addresses(self, buffer: Buffer, index: Index) -> str:
        """A vector of pointers, for elements that do not lie side by side."""
        e = self.e
        numbers, rest = self._numbers(index)
        kind, wide = memory_type(buffer.dtype), e.kind("i64")
        base = e.address(buffer, rest)
        return e.value(f"getelementptr {kind}, ptr {base}, {wide} {numbers}", "p")

    def _numbers(self, index: Index) -> tuple[str, Index]:
        """An index as a vector of i64, and what is to be added to it in every lane."""
        e, lanes = self.e, self.lanes
        wide = e.kind("i64")
        arbitrary = [(v, c) for v, c in index.terms if v in lanes.varying and v not in lanes.affine]
        rest = tuple(t for t in index.terms if t not in arbitrary)
        numbers = self.ramp(lanes.stride(index))
        for var, coefficient in arbitrary:
            term = e.operand(var)
            if coefficient != 1:
                term = e.value(f"mul {wide} {term}, splat (i64 {coefficient})", "x")
            numbers = e.value(f"add {wide} {term}, {numbers}", "x")
        return numbers, Index(rest, index.offset)

    def _places(self, index: Index) -> str:
        """An index as a vector of i64."""
        numbers, rest = self._numbers(index)
        wide = self.e.kind("i64")
        return self.e.value(f"add {wide} {numbers}, {self.e.splat(self.e.index(rest), 'i64')}", "x")

    def _apart(self, what: str, buffer: Buffer) -> str:
        """The intrinsic that gathers or scatters elements of a buffer, declared."""
        e = self.e
        lanes, kind = e.lanes, e.memory_kind(buffer.dtype)
        name = f"@llvm.masked.{what}.{suffix(lanes, buffer.dtype)}.v{lanes}p0"
        if what == "gather":
            e.declare(f"{kind} {name}(<{lanes} x ptr>, i32 immarg, {self._bits}, {kind})")
        else:
            e.declare(f"void {name}({kind}, <{lanes} x ptr>, i32 immarg, {self._bits})")
        return name

    # -- nested blocks -----------------------------------------------------------------------------

    def _if(self, statement: If) -> None:
        """Both sides (they only compute), then a choice in each lane."""
        e = self.e
        condition = self.operand(statement.condition)
        yes, no = self.block(statement.then), self.block(statement.otherwise)
        for var, a, b in zip(statement.results, yes, no, strict=True):
            e.bind(var, self.choose(condition, var.dtype, a, b))

    def choose(self, condition: str, dtype: str, yes: str, no: str) -> str:
        """In each lane one value or the other."""
        e = self.e
        kind = e.kind(dtype)
        return e.value(f"select {e.kind('bool')} {condition}, {kind} {yes}, {kind} {no}")

    def _loop(self, loop: Loop) -> None:
        """An inner loop: the same iterations in all lanes."""
        e = self.e
        if loop.mode == "unroll" and e.write_unrolled(loop, self._iteration, self.operand):
            return

        def body(variable: str, carried: list[str]) -> list[str]:
            e.bind(loop.var, variable)
            for param, value in zip(loop.params, carried, strict=True):
                e.bind(param, value)
            return self._iteration(loop.body)

        pairs = zip(loop.params, loop.inits, strict=True)
        inits = [(e.kind(p.dtype), self.operand(i)) for p, i in pairs]
        with e.with_lanes(1):
            extent = e.extent(loop.extent)
        results = e.counted_loop(extent, body, inits=inits, hint="k")
        for var, value in zip(loop.results, results, strict=True):
            e.bind(var, value)

    def _iteration(self, block: Block) -> list[str]:
        """A block whose vectors of uniform values are not seen by what follows."""
        outer, self._wide = self._wide, dict(self._wide)
        try:
            return self.block(block)
        finally:
            self._wide = outer

    def _while(self, statement: While) -> None:
        """Run while any lane wants to; lanes that are done keep their values."""
        if statement.runs_once:
            self._rarely(statement)
            return
        e = self.e
        inits = [self.operand(i) for i in statement.inits]
        head, body, after = e.label("while"), e.label("do"), e.label("after")
        before = e.current_label
        e.line(f"br label %{head}")
        e.start(head)
        carried = [e.fresh("c") for _ in inits]
        place = e.reserve_lines(len(inits))
        for param, name in zip(statement.params, carried, strict=True):
            e.bind(param, name)
        outer, self._wide = self._wide, dict(self._wide)
        with e.scope():
            (active,) = self.block(statement.condition)
            if self.mask:
                active = e.value(f"and {self._bits} {active}, {self.mask}")
            any_lane = self._any(active)
            e.line(f"br i1 {any_lane}, label %{body}, label %{after}")
            e.start(body)
            ask_in(e, statement)
            following = self.block(statement.body)
            following = [
                self.choose(active, p.dtype, new, old)
                for p, new, old in zip(statement.params, following, carried, strict=True)
            ]
        self._wide = outer
        latch = e.current_label
        e.line(f"br label %{head}")
        for n, param in enumerate(statement.params):
            e.set_line(
                place + n,
                f"{carried[n]} = phi {e.kind(param.dtype)} "
                f"[ {inits[n]}, %{before} ], [ {following[n]}, %{latch} ]",
            )
        e.start(after)
        for var, name in zip(statement.results, carried, strict=True):
            e.bind(var, name)

    def _any(self, lanes: str) -> str:
        """Whether there is a lane."""
        e = self.e
        if e.lanes == 1:
            return lanes
        return e.value(f"call i1 @llvm.vector.reduce.or.v{e.lanes}i1({self._bits} {lanes})")

    def _rarely(self, statement: While) -> None:
        """A body that runs once, for the lanes that want it, and is passed over by a branch: as a
        loop, what it begins with would be computed before."""
        e = self.e
        inits = [self.operand(i) for i in statement.inits]
        active = inits[0]
        if self.mask:
            active = e.value(f"and {self._bits} {active}, {self.mask}")
        for param, name in zip(statement.params, inits, strict=True):
            e.bind(param, name)

        def write() -> list[str]:
            with e.scope():
                following = self._iteration(statement.body)
                return [
                    self.choose(active, p.dtype, new, old)
                    for p, new, old in zip(statement.params, following, inits, strict=True)
                ]

        typed = [(e.kind(p.dtype), old) for p, old in zip(statement.params, inits, strict=True)]
        results = e.where(self._any(active), typed, write, hint="rare", rare=True)
        for var, result in zip(statement.results, results, strict=True):
            e.bind(var, result)


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
