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

from ..records import record
from ..thresholds import thresholds
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
    walk,
)

__all__ = ["COMBINING", "Conflict", "misused_carry", "order_matters", "shared_element"]

#: operations whose order a reassociate Let leaves to the target
COMBINING = frozenset({"add", "mul", "minimum", "maximum", "and", "or"})


@record(frozen=True, slots=True)
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


@record(frozen=True, slots=True)
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
    return _overlap_of_two(accesses, variables, defined, what)


def order_matters(block: Block) -> bool:
    """Whether one run of a block may store to an element and touch it again, by another index or in
    a later load. Then its accesses must stay in their order even if iterations are independent.

    Indices with the same terms and different offsets never meet."""
    terms: dict[Buffer, set[tuple[tuple[Var, int], ...]]] = {}
    stored: set[tuple[Buffer, Index]] = set()
    for statement in walk(block):
        if isinstance(statement, (Load, Store)):
            buffer, index = statement.buffer, statement.index
            terms.setdefault(buffer, set()).add(index.terms)
            if isinstance(statement, Store):
                stored.add((buffer, index))
            elif (buffer, index) in stored:
                return True
        elif isinstance(statement, Contract):
            return True
    return any(len(terms[buffer]) > 1 for buffer, _ in stored)


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


def _overlap_of_two(
    accesses: Sequence[_Access],
    variables: Mapping[Var, int | None],
    defined: set[Var],
    what: str,
) -> Conflict | None:
    """Two accesses whose indices differ in the loop variable's step and in the offset only."""
    if len(variables) != 1:
        return None
    ((var, extent),) = variables.items()
    groups: dict[tuple[object, ...], dict[tuple[int, int], list[_Access]]] = {}
    for access in accesses:
        if not access.terms.keys() & defined:
            rest = frozenset((v, c) for v, c in access.terms.items() if v is not var)
            places = groups.setdefault((access.buffer, rest), {})
            places.setdefault((access.terms.get(var, 0), access.offset), []).append(access)
    for places in groups.values():
        found = _overlap_of_shifts(places, extent, what)
        if found is None and extent is not None and len(places) <= thresholds.compared_places:
            found = _overlap_of_steps(places, extent, what)
        if found:
            return found
    return None


def _a_store(accesses: Sequence[_Access]) -> Statement | None:
    return next((a.statement for a in accesses if isinstance(a.statement, Store)), None)


def _overlap_of_shifts(
    places: Mapping[tuple[int, int], list[_Access]], extent: int | None, what: str
) -> Conflict | None:
    """Equal steps: offsets that differ by a multiple of the step, within reach of the extent."""
    classes: dict[tuple[int, int], list[int]] = {}
    for step, offset in places:
        if step:
            classes.setdefault((step, offset % abs(step)), []).append(offset)
    for (step, _), offsets in classes.items():
        for first, second in itertools.pairwise(sorted(offsets)):
            distance = (second - first) // abs(step)
            both = [*places[step, second], *places[step, first]]
            store = _a_store(both)
            if store is not None and _moves(distance, extent, True):
                name = both[0].buffer.name
                far = f"iterations of {what} that are {distance} apart"
                return Conflict(store, f"{far} touch one element of {name}")
    return None


def _overlap_of_steps(
    places: Mapping[tuple[int, int], list[_Access]], extent: int, what: str
) -> Conflict | None:
    """Different steps: two iterations for which the indices are equal."""
    for (first, a), (second, b) in itertools.combinations(places.items(), 2):
        store = _a_store([*b, *a])
        if first[0] == second[0] or store is None:
            continue
        pair = _meeting(*first, *second, extent)
        if pair is not None:
            which = f"iterations {min(pair)} and {max(pair)} of {what}"
            return Conflict(store, f"{which} touch one element of {a[0].buffer.name}")
    return None


def _meeting(
    step: int, offset: int, other_step: int, other_offset: int, extent: int
) -> tuple[int, int] | None:
    """v and w, different and below the extent, where two accesses meet:
    ``step * v + offset = other_step * w + other_offset``.

    One of the steps may be 0. All solutions of the linear Diophantine equation lie
    ``other_step / gcd`` apart in v; at most one of them has v = w."""
    if other_step == 0:
        swapped = _meeting(other_step, other_offset, step, offset, extent) if step else None
        return None if swapped is None else (swapped[1], swapped[0])
    distance = other_offset - offset
    common = math.gcd(step, other_step)
    if distance % common:
        return None
    period = abs(other_step) // common
    start = distance // common * pow(step // common, -1, period) % period if period > 1 else 0
    slope = step * period // other_step  # of w from one solution to the next
    w = (step * start - distance) // other_step
    # w + slope * t must lie in 0 .. extent-1, like start + period * t
    low, high = 0, (extent - 1 - start) // period
    if slope:
        ends = sorted([-w / slope, (extent - 1 - w) / slope])
        low, high = max(low, math.ceil(ends[0])), min(high, math.floor(ends[1]))
    elif not 0 <= w < extent:
        return None
    for t in range(low, min(high, low + 1) + 1):
        if start + period * t != w + slope * t:
            return start + period * t, w + slope * t
    return None
