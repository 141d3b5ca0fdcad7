"""Straight-line code: equal elementary functions of several values, computed side by side.

A vector of arguments costs an elementary function hardly more than one. So calls of one function
that do not depend on each other are put together: each waits until there are as many as a vector
holds, or until nothing else can go on; then all that wait go out. Every lane computes what the
function of a single value computes, bit for bit, so that results do not depend on who shares a
vector.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from ..ir import BYTES, LEAVES, Buffer, Const, Let, Load, Statement, Store, Var
from ..scalars import SCALARS

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["Group", "Step", "grouped", "has_groups", "runs", "write_group"]


#: Calls of one function, side by side.
Group: TypeAlias = list[Let]
Step: TypeAlias = Statement | Group

_CALLS = frozenset(name for name, row in SCALARS.items() if row.native == "mathlib")


def runs(statements: Iterable[Statement]) -> Iterator[tuple[bool, list[Statement]]]:
    """Statements in turns of straight-line code (True) and of loops and branches."""
    for straight, run in itertools.groupby(statements, lambda s: type(s) in LEAVES):
        yield straight, list(run)


def is_call(statement: Statement) -> TypeGuard[Let]:
    """Whether a statement applies an elementary function that vectors can hold."""
    return type(statement) is Let and statement.op in _CALLS and statement.result.dtype in _WIDE


_WIDE = frozenset({"f32", "f64"})


def has_groups(statements: Sequence[Statement], least: int) -> bool:
    """Whether some elementary function is applied at least so many times."""
    counts: dict[str, int] = {}
    for s in statements:
        if type(s) is Let and s.op in _CALLS and s.result.dtype in _WIDE:
            count = counts[s.op] = counts.get(s.op, 0) + 1
            if count >= least:
                return True
    return False


def grouped(statements: Sequence[Statement], vector_bytes: int) -> list[Step]:
    """The statements in an order that brings equal functions together.

    A group of one is the statement itself."""
    return _Grouping(statements, vector_bytes).run()


class _Grouping:
    """Statements go out in order, but for calls, which wait for company, and what needs them."""

    def __init__(self, statements: Sequence[Statement], vector_bytes: int) -> None:
        self.statements = statements
        self.vector_bytes = vector_bytes
        self.out: list[Step] = []
        self.late: set[Any] = set()  # Vars, and stores, that have not gone out
        self.waiting: dict[Any, list[list[Any]]] = {}  # what is late -> [statement, how many]
        self.groups: dict[tuple[str, str], Group] = {}
        self.written = {s.buffer for s in statements if type(s) is Store}
        self.before: dict[Buffer, int] = {}  # the last access of a buffer that is written

    def run(self) -> list[Step]:
        late, out = self.late, self.out
        for statement in self.statements:
            needs = self.needs(statement)
            missing = [x for x in needs if x in late] if late else ()
            if missing:
                late.update(self.gives(statement))
                entry = [statement, len(missing)]
                for x in missing:
                    self.waiting.setdefault(x, []).append(entry)
            elif is_call(statement):
                late.add(statement.result)
                self.call(statement)
            else:
                out.append(statement)
        while self.groups:
            self.flush(*sorted(self.groups, key=lambda key: -len(self.groups[key])))
        return out

    def needs(self, statement: Statement) -> list[Any]:
        """What must have gone out before: values, and earlier accesses of the same memory."""
        if type(statement) is Let:
            return [a for a in statement.args if type(a) is not Const]
        assert isinstance(statement, (Load, Store))
        found: list[Any] = [v for v, _ in statement.index.terms]
        if type(statement) is Store and isinstance(statement.value, Var):
            found.append(statement.value)
        if statement.buffer in self.written:
            last = self.before.get(statement.buffer)
            if last is not None:
                found.append(last)
            self.before[statement.buffer] = id(statement)
        return found

    def gives(self, statement: Statement) -> list[Any]:
        """What others may wait for."""
        if type(statement) is Let:
            return [statement.result]
        assert isinstance(statement, (Load, Store))
        found: list[Any] = [statement.result] if isinstance(statement, Load) else []
        if statement.buffer in self.written:
            found.append(id(statement))
        return found

    def call(self, let: Let) -> None:
        key = (let.op, let.result.dtype)
        group = self.groups.setdefault(key, [])
        group.append(let)
        if len(group) == lanes_of(key[1], self.vector_bytes):
            self.flush(key)

    def flush(self, *keys: tuple[str, str]) -> None:
        """Send groups out, and everything that waited for them alone.

        Where nothing else can go on, all groups go before what they free: they do not depend on
        each other, so the processor works on all of them at once."""
        free: list[Any] = []
        for group in [self.groups.pop(key) for key in keys]:
            self.out.append(group if len(group) > 1 else group[0])
            free += [let.result for let in group]
        for given in free:  # grows
            self.late.discard(given)
            for entry in self.waiting.pop(given, ()):
                entry[1] -= 1
                if entry[1]:
                    continue
                statement = entry[0]
                if is_call(statement):
                    self.call(statement)
                else:
                    self.out.append(statement)
                    free += self.gives(statement)


# --- writing --------------------------------------------------------------------------------------


def lanes_of(dtype: str, vector_bytes: int) -> int:
    """How many calls go side by side: their arguments are passed in registers, of which there are
    eight."""
    return min(8, vector_bytes // BYTES[dtype])


def write_group(e: Emitter, group: Group) -> list[str]:
    """Write the calls of a group; the places in memory of their results.

    The values are passed one by one: put together in memory, they could not be read as a vector
    before the processor has finished everything that came before."""
    first = group[0]
    dtype = first.result.dtype
    lanes = lanes_of(dtype, e.machine.vector_bytes)
    kind = e.type(dtype)
    area = e.entry_alloca(f"[{lanes} x {kind}]", align=64)
    passed = [f"ptr {area}"]
    for position in range(len(first.args)):
        values = [e.operand(let.args[position]) for let in group]
        values += [e.constant(1.0, dtype)] * (lanes - len(values))
        passed += [f"{kind} {value}" for value in values]
    e.line(f"call void {_side_by_side(e, first, lanes)}({', '.join(passed)})")
    places = [f"getelementptr {kind}, ptr {area}, i64 {lane}" for lane in range(1, len(group))]
    return [area, *[e.value(place, "p") for place in places]]


def _side_by_side(e: Emitter, let: Let, lanes: int) -> str:
    """The function that applies an elementary function to so many values."""
    dtype = let.result.dtype
    kind = e.type(dtype)
    count = lanes * len(let.args)
    name = f"{let.op}_{dtype}_side{lanes}"

    def define(header: str) -> None:
        with e.function(header, attributes="#2", strict=True):
            vectors = []
            for start in range(0, count, lanes):
                vector = "poison"
                for lane in range(lanes):
                    vector = e.value(
                        f"insertelement <{lanes} x {kind}> {vector}, "
                        f"{kind} %a{start + lane}, i64 {lane}"
                    )
                vectors.append(vector)
            with e.with_lanes(lanes):
                result = e.call_mathlib(let.op, dtype, vectors)
            e.line(f"store <{lanes} x {kind}> {result}, ptr %out, align 64")
            e.line("ret void")

    parameters = ", ".join(["ptr noalias %out", *[f"{kind} %a{n}" for n in range(count)]])
    return e.shared_function(name, "void", parameters, define)
