"""Long blocks as several functions, so that LLVM's work stays proportional to their length.

LLVM's passes and its code generator are super-linear in the size of a function. A long block is cut
into consecutive pieces, each a function of its own that is not inlined. Values that one piece
computes and another uses pass through a memory area whose slots are reused once their value is
dead.

Straight-line pieces (no loops, no branches) go into modules of their own, which are made into
machine code by LLVM's quick code generator while the next ones are still being written: on such
code, the thorough one takes seven times as long for two or three per cent of speed
(docs/performance.md). The elementary functions that they call are shared, and compiled with care.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...records import field, record, replace
from ...thresholds import thresholds
from ..ir import (
    BYTES,
    Block,
    Buffer,
    Const,
    Contract,
    If,
    Let,
    Load,
    Loop,
    Operand,
    Program,
    Role,
    Statement,
    Store,
    Var,
    While,
    blocks_of,
    length,
    walk,
)
from .instructions import words
from .stops import return_if_stopped
from .straight import Group, Step, grouped, has_groups, runs, write_group
from .types import memory_type

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["LongBlocks", "is_long", "write_in_pieces"]


def is_long(block: Block) -> bool:
    """Whether a block holds more statements than one function should."""
    return length(block) > thresholds.function_statements


def uses(statement: Statement) -> set[Var]:
    """The Vars that a statement needs from outside."""
    match statement:
        case Let():
            return {a for a in statement.args if isinstance(a, Var)}
        case Load():
            return {v for v, _ in statement.index.terms}
    used: set[Var] = set()
    bound: set[Var] = set()
    for inner in walk(Block((statement,))):
        match inner:
            case Let():
                used.update(a for a in inner.args if isinstance(a, Var))
                bound.add(inner.result)
            case Load():
                used.update(v for v, _ in inner.index.terms)
                bound.add(inner.result)
            case Store():
                used.update(v for v, _ in inner.index.terms)
                if isinstance(inner.value, Var):
                    used.add(inner.value)
            case Loop():
                used.update(i for i in (*inner.inits, inner.extent) if isinstance(i, Var))
                bound.update((inner.var, *inner.params, *inner.results))
            case While():
                used.update(i for i in inner.inits if isinstance(i, Var))
                bound.update((*inner.params, *inner.results))
            case If():
                if isinstance(inner.condition, Var):
                    used.add(inner.condition)
                bound.update(inner.results)
            case Contract():
                indices = (inner.offset_a, inner.offset_b)
                used.update(v for index in indices for v, _ in index.terms)
                bound.update((inner.acc, *(d.var for d in inner.dims)))
        for block in blocks_of(inner):
            used.update(y for y in block.yields if isinstance(y, Var))
    return used - bound


def needs(statement: Statement) -> Sequence[Var]:
    """As ``uses``, in a fixed order, with repetitions."""
    if type(statement) is Let:
        return [a for a in statement.args if isinstance(a, Var)]
    if type(statement) is Load:
        return [v for v, _ in statement.index.terms]
    return sorted(uses(statement), key=_by_id)


def definitions(statement: Statement) -> Sequence[Var]:
    """The Vars that a statement defines for what follows."""
    match statement:
        case Let() | Load():
            return (statement.result,)
        case Loop() | If() | While():
            return statement.results
    return ()


def _by_id(var: Var) -> int:
    return var.id


# --- the plan -------------------------------------------------------------------------------------


@record(slots=True)
class _Piece:
    statements: list[Statement]
    straight: bool


@record(slots=True)
class _Plan:
    """``slots`` are the places of values that several pieces need, in eight-byte units;
    ``outside`` are those of them that come from outside of the block."""

    pieces: list[_Piece]
    outside: list[Var] = field(default_factory=list)
    slots: dict[Var, int] = field(default_factory=dict)
    size: int = 0


def _cut(statements: Sequence[Statement]) -> list[_Piece]:
    """Consecutive pieces within the budgets (a statement that is too long alone is one piece)."""
    pieces: list[_Piece] = []
    rest: list[Statement] = []  # what is in no piece yet, with its weight
    weight = 0
    for is_leaf, run in runs(statements):
        if is_leaf and len(run) >= thresholds.straight_from:
            if rest:
                pieces.append(_Piece(rest, straight=False))
                rest, weight = [], 0
            count = -(-len(run) // thresholds.straight_statements)
            size = -(-len(run) // count)
            pieces += [_Piece(run[i : i + size], True) for i in range(0, len(run), size)]
            continue
        for statement in run:
            more = length(Block((statement,)))
            if rest and weight + more > thresholds.function_statements:
                pieces.append(_Piece(rest, straight=False))
                rest, weight = [], 0
            rest.append(statement)
            weight += more
    if rest:
        pieces.append(_Piece(rest, straight=False))
    return pieces


def _plan(block: Block, known: frozenset[Var]) -> _Plan:
    """The pieces of a long block, and where the values between them lie.

    ``known`` are values that every piece is given as arguments."""
    pieces = _cut(block.statements)
    last: dict[Var, int] = {}
    made: dict[Var, int] = {}
    for n, piece in enumerate(pieces):
        for statement in piece.statements:
            if type(statement) is Let:  # most are
                for arg in statement.args:
                    if type(arg) is not Const:
                        last[arg] = n  # type: ignore[index]
                made[statement.result] = n
                continue
            for var in needs(statement):
                last[var] = n
            for var in definitions(statement):
                made[var] = n
    for y in block.yields:
        if isinstance(y, Var):
            last[y] = len(pieces)
    starts: list[list[Var]] = [[] for _ in range(len(pieces) + 1)]  # the last: outside
    ends: list[list[Var]] = [[] for _ in range(len(pieces) + 1)]
    for var, n in last.items():
        first = made.get(var, -1)
        if first != n and not (first == -1 and var in known):
            starts[first].append(var)
            ends[n].append(var)
    plan = _Plan(pieces, starts[-1])
    free: list[int] = []
    for n in range(-1, len(pieces)):
        for var in starts[n]:
            if free:
                plan.slots[var] = free.pop()
            else:
                plan.slots[var] = plan.size
                plan.size += 1
        if n >= 0:
            free += [plan.slots[var] for var in ends[n]]
    return plan


class LongBlocks:
    """The long blocks of a program's kernels, planned before anything is written.

    ``program`` is the program with the buffer ``area`` added when the values between their pieces
    are too many for the stack."""

    def __init__(self, program: Program) -> None:
        self._known = frozenset(program.sizes)
        self._plans: dict[int, tuple[Block, _Plan]] = {}
        for kernel in program.kernels:
            if is_long(kernel.body):
                self._plans[id(kernel.body)] = (kernel.body, _plan(kernel.body, self._known))
        most = 8 * max([plan.size for _, plan in self._plans.values()], default=0)
        self.program, self.area = program, None
        if most > thresholds.stack_values:
            start = -(-program.arena // 64) * 64
            self.area = Buffer("values between functions", "u8", most, Role.TEMP, start)
            buffers = (*program.buffers, self.area)
            self.program = replace(program, buffers=buffers, arena=start + most)

    def area_of(self, block: Block) -> Buffer | None:
        """The buffer for values between the pieces of a block; None for the stack."""
        return self.area if id(block) in self._plans else None

    def plan(self, block: Block) -> _Plan:
        """The plan of a long block."""
        found = self._plans.get(id(block))
        return found[1] if found is not None else _plan(block, self._known)


# --- writing --------------------------------------------------------------------------------------


def write_in_pieces(e: Emitter, block: Block) -> list[str]:
    """Write a long block as calls of its pieces; the values it yields."""
    plan = e.long_blocks.plan(block)
    buffer = e.long_blocks.area_of(block)
    if buffer is not None:
        area = e.pointer(buffer)
    else:
        area = e.entry_alloca(f"[{max(1, plan.size)} x i64]", align=64)
    for var in plan.outside:
        _store(e, var, area, plan.slots[var])
    for n, piece in enumerate(plan.pieces):
        _write_piece(e, n, piece, plan.slots, area)
    return [
        _load(e, y, area, plan.slots[y]) if y in plan.slots else e.operand(y) for y in block.yields
    ]


def _write_piece(e: Emitter, n: int, piece: _Piece, slots: dict[Var, int], area: str) -> None:
    from .program import Passed

    buffers = Passed(e.buffers_of(Block(tuple(piece.statements))), e, table=False)
    name = e.global_name(f"{e.function_name}_part{n}")
    listed = ", ".join(filter(None, ("ptr noalias %live", buffers.parameters(e))))
    passed = ", ".join(filter(None, (f"ptr {area}", buffers.arguments(e))))
    if e.stop:
        listed, passed = f"{listed}, ptr %stop", f"{passed}, ptr {e.stop.flag}"
    part = e.part(len(piece.statements)) if piece.straight else None
    linkage = "internal " if part is None else ""
    if part is not None:
        e.add_function(f"declare void {name}({listed}) nonlazybind")
    stop = e.stop
    with e.function(f"define {linkage}void {name}({listed})", attributes="#2", part=part):
        buffers.bind(e)
        if stop:
            e.interruptible("%stop", stop.asks)
        writer = _PieceWriter(e, slots)
        if piece.straight:
            writer.straight(piece.statements)
        else:
            for is_leaf, run in runs(piece.statements):
                if is_leaf and has_groups(run, thresholds.side_by_side):
                    writer.straight(run)
                    continue
                for statement in run:
                    writer.statement(statement)
        e.line("ret void")
    e.line(f"call void {name}({passed})")
    return_if_stopped(e)


class _PieceWriter:
    """Writes the statements of one piece: what they need from earlier pieces is read from
    ``%live`` when it is first needed, what later pieces need is kept there."""

    def __init__(self, e: Emitter, slots: dict[Var, int]) -> None:
        self.e, self.slots = e, slots
        self.places: dict[Var, str] = {}  # results of groups that have not been needed yet

    def operand(self, arg: Operand) -> str:
        """The text of an operand that has none in this piece so far."""
        e = self.e
        if isinstance(arg, Const):
            return e.operand(arg)
        place = self.places.pop(arg, None)
        if place is None:
            text = _load(e, arg, "%live", self.slots[arg])
        else:
            kind = memory_type(arg.dtype)
            text = e.value(f"load {kind}, ptr {place}, align {BYTES[arg.dtype]}", "s")
        e.bind(arg, text)
        return text

    def keep(self, var: Var) -> None:
        """Keep a result for later pieces, if they need it."""
        if var in self.slots:
            _store(self.e, var, "%live", self.slots[var])

    def statement(self, statement: Statement) -> None:
        """Write one statement of any kind."""
        for var in needs(statement):
            if var not in self.e.values:
                self.operand(var)
        self.e.statement(statement)
        for var in definitions(statement):
            self.keep(var)

    def group(self, group: Group) -> None:
        """Write calls of one elementary function side by side."""
        for let in group:
            for arg in let.args:
                if arg not in self.e.values:
                    self.operand(arg)
        for let, place in zip(group, write_group(self.e, group), strict=True):
            self.places[let.result] = place
            if let.result in self.slots:
                self.operand(let.result)
                self.keep(let.result)

    def straight(self, statements: Sequence[Statement]) -> None:
        """Straight-line code. Most statements are one instruction: they are written here, at
        once."""
        e, slots, operand = self.e, self.slots, self.operand
        steps: Sequence[Step] = statements
        if has_groups(statements, 2):
            steps = grouped(statements, e.machine.vector_bytes)
        values = e.values
        known: dict[tuple[str, str, bool], str] = {}
        for step in steps:
            if isinstance(step, Let):
                texts = [values.get(a) or operand(a) for a in step.args]  # type: ignore[arg-type]
                key = (step.op, step.args[0].dtype, step.reassociate)
                word = known.get(key)
                if word is None:
                    word = known[key] = words(e, step)
                var = step.result
                if word:
                    values[var] = e.value(f"{word} {', '.join(texts)}")
                else:
                    values[var] = e.operation(step, texts)
                if var in slots:
                    _store(e, var, "%live", slots[var])
            elif isinstance(step, list):
                self.group(step)
            else:
                self.statement(step)


def _place(e: Emitter, area: str, place: int) -> str:
    return e.value(f"getelementptr inbounds i64, ptr {area}, i64 {place}", "s") if place else area


def _store(e: Emitter, var: Var, area: str, place: int) -> None:
    value = e.memory_value(e.operand(var), var.dtype)
    e.line(f"store {memory_type(var.dtype)} {value}, ptr {_place(e, area, place)}, align 8")


def _load(e: Emitter, var: Var, area: str, place: int) -> str:
    kind = memory_type(var.dtype)
    value = e.value(f"load {kind}, ptr {_place(e, area, place)}, align 8", "s")
    return e.value(f"icmp ne i8 {value}, 0", "s") if var.dtype == "bool" else value
