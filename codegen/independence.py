"""Whether iterations of a loop are independent: carried values and elements stored.

Two promises of ``vector`` and ``parallel`` loops (and of a contraction's epilogue) can be checked
from the program's text: a carried value is only ever combined by one reassociable operation, and no
two iterations touch an element that one of them stores. The second is decided where indices are
affine in loop variables of constant extent; where it cannot be decided, nothing is reported.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .ir import (
    Block,
    Buffer,
    Const,
    Contract,
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

__all__ = ["COMBINING", "Conflict", "misused_carry", "shared_element"]

#: operations whose order a reassociate Let leaves to the target
COMBINING = frozenset({"add", "mul", "minimum", "maximum", "and", "or"})


@dataclass(frozen=True, slots=True)
class Conflict:
    """A broken promise: the statement that breaks it and how."""

    statement: Statement
    reason: str


# -- carried values -------------------------------------------------------------------------------


class _Carries:
    """Follows carried values forward from the params of one loop to its yields."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.param: dict[Var, int] = {var: n for n, var in enumerate(loop.params)}
        self.op: dict[int, str] = {}

    def check(self) -> Conflict | None:
        found = self.block(self.loop.body)
        if found:
            return found
        for n, value in enumerate(self.loop.body.yields):
            if self.carried(value) != n:
                return Conflict(
                    self.loop,
                    f"carried value {n} must be combined by reassociate Lets in a"
                    f" {self.loop.mode} loop, but its yield does not come from its param",
                )
        return None

    def carried(self, operand: Operand) -> int | None:
        """Which of the loop's carried values an operand is a partial result of."""
        return None if isinstance(operand, Const) else self.param.get(operand)

    def misuse(self, statement: Statement, n: int) -> Conflict:
        return Conflict(
            statement,
            f"carried value {n} of a {self.loop.mode} loop may only be combined by reassociate"
            f" Lets of one operation",
        )

    def block(self, block: Block) -> Conflict | None:
        for statement in block.statements:
            found = self.statement(statement)
            if found:
                return found
        return None

    def statement(self, statement: Statement) -> Conflict | None:
        match statement:
            case Let():
                return self.let(statement)
            case Load(_, _, index):
                return self.uses(statement, [var for var, _ in index.terms])
            case Store(_, index, value):
                return self.uses(statement, [value, *[var for var, _ in index.terms]])
            case Loop():
                extent = [] if isinstance(statement.extent, int) else [statement.extent]
                return self.uses(statement, extent) or self.nested(statement, [statement.body])
            case While():
                return self.nested(statement, [statement.condition, statement.body])
            case If():
                return self.branch(statement)
            case Contract():
                indices = [statement.offset_a, statement.offset_b]
                used = [var for index in indices for var, _ in index.terms]
                return self.uses(statement, used) or self.block(statement.epilogue)

    def uses(self, statement: Statement, operands: Sequence[Operand]) -> Conflict | None:
        for operand in operands:
            n = self.carried(operand)
            if n is not None:
                return self.misuse(statement, n)
        return None

    def let(self, let: Let) -> Conflict | None:
        carried = [n for n in map(self.carried, let.args) if n is not None]
        if not carried:
            return None
        n = carried[0]
        fits = let.reassociate and len(carried) == 1 and self.op.setdefault(n, let.op) == let.op
        if not fits:
            return self.misuse(let, n)
        self.param[let.result] = n
        return None

    def nested(self, nest: Loop | While, blocks: Sequence[Block]) -> Conflict | None:
        """A value carried through an inner loop: it goes in as init, and comes out as result."""
        inside: dict[int, int] = {}
        for position, init in enumerate(nest.inits):
            n = self.carried(init)
            if n is not None:
                inside[position] = n
                self.param[nest.params[position]] = n
        for block in blocks:
            found = self.block(block)
            if found:
                return found
        if isinstance(nest, While):
            found = self.uses(nest, nest.condition.yields)
            if found:
                return found
        return self.leave(nest, inside, [blocks[-1].yields])

    def branch(self, branch: If) -> Conflict | None:
        found = (
            self.uses(branch, [branch.condition])
            or self.block(branch.then)
            or self.block(branch.otherwise)
        )
        if found:
            return found
        both = [branch.then.yields, branch.otherwise.yields]
        inside: dict[int, int] = {}
        for position, value in enumerate(branch.then.yields):
            n = self.carried(value)
            if n is not None:
                inside[position] = n
        return self.leave(branch, inside, both)

    def leave(
        self,
        nest: Loop | While | If,
        inside: Mapping[int, int],
        yields: Sequence[Sequence[Operand]],
    ) -> Conflict | None:
        """The results of a nest carry what each of its blocks yields in their place."""
        for values in yields:
            for position, value in enumerate(values):
                n = self.carried(value)
                if n != inside.get(position):
                    return self.misuse(nest, inside[position] if n is None else n)
        for position, n in inside.items():
            if position < len(nest.results):
                self.param[nest.results[position]] = n
        return None


def misused_carry(loop: Loop) -> Conflict | None:
    """Why the carried values of a loop depend on the order of its iterations, if they do."""
    return _Carries(loop).check() if loop.params else None


# -- elements -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Access:
    statement: Load | Store
    buffer: Buffer
    terms: dict[Var, int]
    offset: int


def shared_element(variables: Mapping[Var, int | None], block: Block, what: str) -> Conflict | None:
    """An element that two iterations surely touch and one of them stores, if there is one.

    ``variables`` are the loop variables (with extents, None when unknown) whose iterations are
    promised to be independent: of a loop its own, of a contraction's epilogue its batch, m and n
    dimensions. Accesses under an If or While are not looked at: they may never happen."""
    inner: dict[Var, int | None] = {}
    defined: set[Var] = set()
    accesses = list(_accesses(block, inner, defined))
    stored = {a.buffer for a in accesses if isinstance(a.statement, Store)}
    accesses = [a for a in accesses if a.buffer in stored]
    for access in accesses:
        if isinstance(access.statement, Store) and not (access.terms.keys() & defined):
            found = _overlaps_itself(access, variables, inner, what)
            if found:
                return found
    return _overlap_of_shifts(accesses, variables, defined, what)


def _accesses(block: Block, inner: dict[Var, int | None], defined: set[Var]) -> Iterator[_Access]:
    """Unconditional loads and stores; ``inner`` collects loop variables, ``defined`` other Vars."""
    for statement in block.statements:
        match statement:
            case Let(result):
                defined.add(result)
            case Load(result, buffer, index):
                defined.add(result)
                yield _access(statement, buffer, index)
            case Store(buffer, index):
                yield _access(statement, buffer, index)
            case Loop(var, extent, body, params, _, results):
                inner[var] = _known(extent)
                defined.update(params)
                defined.update(results)
                yield from _accesses(body, inner, defined)
            case Contract():
                inner.update((d.var, d.extent) for d in statement.dims)
                defined.add(statement.acc)
                yield from _accesses(statement.epilogue, inner, defined)
            case If() | While():
                defined.update(statement.results)


def _known(extent: int | Operand) -> int | None:
    if isinstance(extent, Const):
        return int(extent.value)
    return extent if isinstance(extent, int) else None


def _access(statement: Load | Store, buffer: Buffer, index: Index) -> _Access:
    terms: dict[Var, int] = {}
    for var, coefficient in index.terms:
        terms[var] = terms.get(var, 0) + coefficient
    return _Access(statement, buffer, {v: c for v, c in terms.items() if c}, index.offset)


def _moves(distance: int, extent: int | None, unknown: bool) -> bool:
    """Whether a variable of this extent has two values this far apart."""
    return unknown if extent is None else abs(distance) < extent


def _overlaps_itself(
    access: _Access, variables: Mapping[Var, int | None], inner: Mapping[Var, int | None], what: str
) -> Conflict | None:
    """One store that hits an element in two iterations.

    It does when the variable has no part in the index, or when a step of the variable equals a step
    of another variable inside: c * d = k * e with d and e within the extents."""
    name = access.buffer.name
    others = {v: e for v, e in {**variables, **inner}.items() if v in access.terms}
    if any(extent is not None and extent < 1 for extent in inner.values()):
        return None
    for var, extent in variables.items():
        if extent is not None and extent < 2:
            continue
        step = access.terms.get(var)
        if step is None:
            return Conflict(
                access.statement, f"every iteration of {what} stores the same element of {name}"
            )
        for other, other_extent in others.items():
            common = math.gcd(step, access.terms[other])
            if (
                other is not var
                and _moves(access.terms[other] // common, extent, True)
                and _moves(step // common, other_extent, False)
            ):
                return Conflict(
                    access.statement, f"two iterations of {what} store one element of {name}"
                )
    return None


def _overlap_of_shifts(
    accesses: Sequence[_Access],
    variables: Mapping[Var, int | None],
    defined: set[Var],
    what: str,
) -> Conflict | None:
    """Two accesses whose indices differ by a constant that is a multiple of the variable's step."""
    if len(variables) != 1:
        return None
    ((var, extent),) = variables.items()
    groups: dict[tuple[object, ...], list[_Access]] = {}
    for access in accesses:
        step = access.terms.get(var, 0)
        if step and not (access.terms.keys() & defined):
            key = (access.buffer, frozenset(access.terms.items()), access.offset % abs(step))
            groups.setdefault(key, []).append(access)
    for group in groups.values():
        group.sort(key=lambda a: a.offset)
        step = abs(group[0].terms[var])
        for first, second in itertools.pairwise(group):
            distance = (second.offset - first.offset) // step
            stores = [a.statement for a in (second, first) if isinstance(a.statement, Store)]
            if distance and _moves(distance, extent, True) and stores:
                return Conflict(
                    stores[0],
                    f"iterations of {what} that are {distance} apart touch one element of"
                    f" {first.buffer.name}",
                )
    return None
