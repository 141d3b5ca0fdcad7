"""Long blocks as several functions, so that LLVM's work stays proportional to their length.

LLVM's passes and its code generator are super-linear in the size of a function. A block with more
statements than the budget is cut into consecutive pieces, each a function of its own that is not
inlined. Values that one piece computes and another uses pass through a small memory area on the
caller's stack, whose slots are reused once their value is dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..ir import Block, Contract, If, Let, Load, Loop, Statement, Store, Var, While, blocks_of, walk
from .emit import Emitter
from .instructions import memory_type
from .program import arguments, bind_parameters, parameters

__all__ = ["BUDGET", "is_long", "write_in_pieces"]

#: statements that one function may hold
BUDGET = 1000


def is_long(block: Block) -> bool:
    """Whether a block holds more statements than one function should."""
    statements = block.statements
    if len(statements) > BUDGET:
        return True
    if all(isinstance(s, (Let, Load, Store)) for s in statements):
        return False
    return sum(1 for _ in walk(block)) > BUDGET


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


def definitions(statement: Statement) -> Sequence[Var]:
    """The Vars that a statement defines for what follows."""
    match statement:
        case Let() | Load():
            return (statement.result,)
        case Loop() | If() | While():
            return statement.results
    return ()


@dataclass(slots=True)
class _Piece:
    statements: list[Statement]
    uses: list[set[Var]]
    weight: int = 0


def _cut(statements: Sequence[Statement]) -> list[_Piece]:
    """Consecutive pieces within the budget (a statement that is too long alone is one piece)."""
    pieces = [_Piece([], [])]
    for statement in statements:
        simple = isinstance(statement, (Let, Load, Store))
        weight = 1 if simple else sum(1 for _ in walk(Block((statement,))))
        if pieces[-1].statements and pieces[-1].weight + weight > BUDGET:
            pieces.append(_Piece([], []))
        piece = pieces[-1]
        piece.statements.append(statement)
        piece.uses.append(uses(statement))
        piece.weight += weight
    return pieces


class _Slots:
    """Eight-byte places for values that are live between pieces."""

    def __init__(self) -> None:
        self.place: dict[Var, int] = {}
        self.count = 0
        self._free: list[int] = []

    def take(self, var: Var) -> int:
        place = self._free.pop() if self._free else self.count
        self.count = max(self.count, place + 1)
        self.place[var] = place
        return place

    def give_back(self, var: Var) -> None:
        place = self.place.pop(var, None)
        if place is not None:
            self._free.append(place)


def write_in_pieces(e: Emitter, block: Block) -> list[str]:
    """Write a long block as calls of its pieces; the values it yields."""
    pieces = _cut(block.statements)
    last = {v: n for n, piece in enumerate(pieces) for used in piece.uses for v in used}
    last |= {y: len(pieces) for y in block.yields if isinstance(y, Var)}
    sizes = set(e.program.sizes)
    defined = {v for piece in pieces for s in piece.statements for v in definitions(s)}
    dead: list[list[Var]] = [[] for _ in range(len(pieces) + 1)]
    for var, n in last.items():
        dead[n].append(var)
    slots = _Slots()
    area = e.late_alloca(align=64)
    for var in last:
        if var not in defined and var not in sizes:
            _store(e, var, area, slots.take(var))
    for n, piece in enumerate(pieces):
        _write_piece(e, n, piece, last, slots, area)
        for var in dead[n]:
            slots.give_back(var)
    e.set_alloca(area, f"[{max(1, slots.count)} x i64]")
    return [
        _load(e, y, area, slots.place[y]) if y in slots.place else e.operand(y)
        for y in block.yields
    ]


def _write_piece(
    e: Emitter, n: int, piece: _Piece, last: dict[Var, int], slots: _Slots, area: str
) -> None:
    buffers = e.buffers_of(Block(tuple(piece.statements)))
    name = e.global_name(f"{e.function_name}_part{n}")
    listed = parameters(buffers, e)
    passed = arguments(buffers, e)
    header = f"define internal void {name}(ptr noalias %live{', ' if listed else ''}{listed})"
    with e.function(header, attributes="#2"):
        bind_parameters(buffers, e)
        have: set[Var] = set(e.program.sizes)
        for statement, used in zip(piece.statements, piece.uses, strict=True):
            for var in sorted(used - have, key=_by_id) if used - have else ():
                e.bind(var, _load(e, var, "%live", slots.place[var]))
                have.add(var)
            e.statement(statement)
            for var in definitions(statement):
                have.add(var)
                if last.get(var, -1) > n:
                    _store(e, var, "%live", slots.take(var))
        e.line("ret void")
    e.line(f"call void {name}(ptr {area}{', ' if passed else ''}{passed})")


def _by_id(var: Var) -> int:
    return var.id


def _place(e: Emitter, area: str, place: int) -> str:
    return e.value(f"getelementptr inbounds i64, ptr {area}, i64 {place}", "s") if place else area


def _store(e: Emitter, var: Var, area: str, place: int) -> None:
    value = e.memory_value(e.operand(var), var.dtype)
    e.line(f"store {memory_type(var.dtype)} {value}, ptr {_place(e, area, place)}, align 8")


def _load(e: Emitter, var: Var, area: str, place: int) -> str:
    kind = memory_type(var.dtype)
    value = e.value(f"load {kind}, ptr {_place(e, area, place)}, align 8", "s")
    return e.value(f"icmp ne i8 {value}, 0", "s") if var.dtype == "bool" else value
