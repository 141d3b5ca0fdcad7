"""Statements of vector loops for all lanes at once, under a mask or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...records import replace
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
    While,
    length,
)
from . import strided
from .masked import masked_load, masked_store
from .stops import ask_in
from .tables import constant_memory, is_short, write_lookup
from .types import memory_type, suffix, value_type
from .vector_plan import Lanes

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["LaneCode"]

#: how many bytes ahead a large buffer is fetched into the second cache: processors fetch ahead
#: themselves, but only up to the end of a page
AHEAD = 2048


class LaneCode:
    """Writes statements for all lanes at once; ``mask`` says which lanes may touch memory, and
    ``fetches`` whether what lies far is fetched ahead, ``apart`` whether long rare cases are
    functions of their own (then every value from outside is a vector)."""

    def __init__(
        self, e: Emitter, lanes: Lanes, mask: str = "", *, fetches: bool = False,
        apart: bool = False,
    ) -> None:  # fmt: skip
        self.e = e
        self.lanes = lanes
        self.mask = mask
        self.apart = apart
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
                if self.apart and length(statement.body) >= thresholds.rare_statements:
                    following = self._called(statement)
                else:
                    following = self._iteration(statement.body)
                return [
                    self.choose(active, p.dtype, new, old)
                    for p, new, old in zip(statement.params, following, inits, strict=True)
                ]

        typed = [(e.kind(p.dtype), old) for p, old in zip(statement.params, inits, strict=True)]
        results = e.where(self._any(active), typed, write, hint="rare", rare=True)
        for var, result in zip(statement.results, results, strict=True):
            e.bind(var, result)

    def _called(self, statement: While) -> list[str]:
        """The body of a rare case as a function of its own, and its call: LLVM's work on what is
        put into many places is that on what happens there."""
        from .emit import buffers_of  # the layer above
        from .split import uses

        e, params = self.e, statement.params
        live = [*sorted(uses(replace(statement, inits=())), key=lambda v: v.id), *params]
        given = [(e.kind(v.dtype), self.operand(v)) for v in live]
        kinds = ", ".join([e.kind(p.dtype) for p in params])
        name = e.global_name(f"{e.function_name}_rare")
        listed = ", ".join([f"{kind} %r{n}" for n, (kind, _) in enumerate(given)])
        lanes = e.lanes
        header = f"define internal {{ {kinds} }} {name}({listed})"
        with e.function(header, attributes="#2", strict=True):
            for table in buffers_of(statement.body):
                e.bind_pointer(table, constant_memory(e, table))
            for n, var in enumerate(live):
                e.bind(var, f"%r{n}")
            with e.with_lanes(lanes):
                found = LaneCode(e, self.lanes, apart=True).block(statement.body)
                whole = "poison"
                for n, (param, value) in enumerate(zip(params, found, strict=True)):
                    place = f"{{ {kinds} }} {whole}, {e.kind(param.dtype)} {value}, {n}"
                    whole = e.value(f"insertvalue {place}")
            e.line(f"ret {{ {kinds} }} {whole}")
        passed = ", ".join([f"{kind} {value}" for kind, value in given])
        whole = e.value(f"call {{ {kinds} }} {name}({passed})")
        return [e.value(f"extractvalue {{ {kinds} }} {whole}, {n}") for n in range(len(params))]
