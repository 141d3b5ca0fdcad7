"""Loops of which one iteration changes something: that iteration alone.

``u[i] = v`` at an index that is known when the program runs comes as a loop over all elements::

    loop j < 100 {                                  %1 = maximum %i, 0
      %0 = load u[j]                                j = minimum %1, 99
      %1 = eq j, %i                       =>        %0 = load u[j]
      %2 = select %1, %v, %0                        ...
      store u[j], %2                                store u[j], %2
    }

Every other iteration stores what it loaded. An index beyond the loop changes nothing: the iteration
that runs in its place stores what it loaded, too.
"""

from __future__ import annotations

from ...records import replace
from ..ir import (
    LEAVES,
    Block,
    Const,
    Contract,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Operand,
    Program,
    Statement,
    Store,
    Var,
    While,
    blocks_of,
    map_kernels,
    walk,
)
from .hoist import hoist_kernel

__all__ = ["pinpoint"]


def pinpoint(program: Program) -> Program:
    """The program without such loops; the same object when there are none."""
    return map_kernels(program, _kernel)


def _kernel(kernel: Kernel) -> Kernel:
    if not _compares(kernel.body):  # as most: found out quickly
        return kernel
    body = _block(kernel.body)
    if body is kernel.body:
        return kernel
    # a place that each iteration of a parallel loop finds anew would not be seen to be its own
    return hoist_kernel(replace(kernel, body=body))


def _compares(block: Block) -> bool:
    """Whether something is compared for equality in a block."""
    for statement in block.statements:
        if type(statement) is Let:
            if statement.op == "eq":
                return True
        elif type(statement) not in LEAVES and any(map(_compares, blocks_of(statement))):
            return True
    return False


def _block(block: Block) -> Block:
    """Loops inside of vector ones stay."""
    out: list[Statement] = []
    changed = False
    for statement in block.statements:
        new: list[Statement] = [statement]
        if type(statement) not in LEAVES:
            new = _nest(statement)
        changed = changed or new[0] is not statement
        out += new
    return Block(tuple(out), block.yields) if changed else block


def _nest(statement: Statement) -> list[Statement]:
    match statement:
        case Loop():
            alone = _alone(statement)
            whole = _whole(statement) if alone is None else None
            if whole is not None:
                alone = _alone(whole)
            if alone is not None:
                return list(_block(Block(tuple(alone))).statements)
            if statement.mode == "vector":
                return [statement]
            body = _block(statement.body)
            return [statement if body is statement.body else replace(statement, body=body)]
        case If():
            then, otherwise = _block(statement.then), _block(statement.otherwise)
            if then is not statement.then or otherwise is not statement.otherwise:
                return [replace(statement, then=then, otherwise=otherwise)]
        case While():
            body = _block(statement.body)
            if body is not statement.body:
                return [replace(statement, body=body)]
    return [statement]


def _whole(loop: Loop) -> Loop | None:
    """A loop that was cut into pieces for threads, as it was before; None for any other.

    A piece is ``loop j < unit``, or up to what is left: ``minimum(extent - unit * i, unit)``."""
    *front, inner = loop.body.statements
    lets = {s.result: s for s in front if isinstance(s, Let)}
    if loop.mode != "parallel" or loop.params or not isinstance(loop.extent, int):
        return None
    if not isinstance(inner, Loop) or inner.params or len(lets) != len(front):
        return None
    for times in lets.values():
        if times.op == "mul" and loop.var in times.args:
            factor = times.args[times.args[0] is loop.var]
            break
    else:
        return None
    if not isinstance(factor, Const):
        return None
    unit = int(factor.value)
    extent = _extent(loop.extent, inner.extent, times.result, unit, lets)
    both = {times.result, inner.var}
    sums = [s for s in inner.body.statements if isinstance(s, Let) and s.op == "add"]
    place = next((s for s in sums if set(s.args) == both), None)
    if place is None or not extent:
        return None
    gone = {loop.var, inner.var, *lets}
    body = _numbered(inner.body, place, (loop.var, unit, inner.var), gone)
    return None if body is None else Loop(place.result, extent, body)


def _extent(pieces: int, inner: int | Operand, start: Var, unit: int, lets: dict[Var, Let]) -> int:
    """The iterations of all pieces together; 0 where that is not known."""
    if isinstance(inner, int):
        return pieces * unit if inner == unit else 0
    least = lets.get(inner) if isinstance(inner, Var) else None
    if least is None or least.op != "minimum":
        return 0
    for left, most in (least.args, least.args[::-1]):
        rest = lets.get(left) if isinstance(left, Var) else None
        if rest is not None and rest.op == "sub" and rest.args[1] is start:
            end = rest.args[0]
            if isinstance(most, Const) and most.value == unit and isinstance(end, Const):
                extent = int(end.value)
                return extent if (pieces - 1) * unit < extent <= pieces * unit else 0
    return 0


def _numbered(block: Block, place: Let, cut: tuple[Var, int, Var], gone: set[Var]) -> Block | None:
    """A block in which ``place`` counts in place of a piece and of what lies inside of it; None
    where something else depends on these (``gone``)."""
    out: list[Statement] = []
    for statement in block.statements:
        if statement is place:
            continue
        if isinstance(statement, Load | Store):
            index = _index(statement.index, place.result, cut)
            if index is None or (isinstance(statement, Store) and statement.value in gone):
                return None
            out.append(replace(statement, index=index))
        elif isinstance(statement, Let) and gone.isdisjoint(
            [a for a in statement.args if isinstance(a, Var)]
        ):
            out.append(statement)
        elif isinstance(statement, Loop) and not statement.params:
            body = _numbered(statement.body, place, cut, gone)
            if body is None or statement.extent in gone:
                return None
            out.append(replace(statement, body=body))
        else:
            return None
    return Block(tuple(out))


def _index(index: Index, place: Var, cut: tuple[Var, int, Var]) -> Index | None:
    """An index in the place's words."""
    piece, unit, inner = cut
    terms = dict(index.terms)
    by, step = terms.pop(piece, 0), terms.pop(inner, 0)
    if by != unit * step:
        return None
    if step:
        terms[place] = terms.get(place, 0) + step
    return Index(tuple(terms.items()), index.offset)


def _alone(loop: Loop) -> list[Statement] | None:
    """The one iteration that changes something; None where there may be others."""
    if loop.params or not isinstance(loop.extent, int) or loop.extent < 2:
        return None
    statements: list[Statement] = []
    stores: list[Store] = []
    for statement in walk(loop.body):
        statements.append(statement)
        if isinstance(statement, Store):
            stores.append(statement)
        if len(stores) > 1 or isinstance(statement, While | Contract):
            return None
    if not stores:
        return None
    lets = {s.result: s for s in statements if isinstance(s, Let)}
    loads = {s.result: s for s in statements if isinstance(s, Load)}
    (store,) = stores
    choice = lets.get(store.value) if isinstance(store.value, Var) else None
    if choice is None or choice.op != "select" or not isinstance(choice.args[2], Var):
        return None
    kept = loads.get(choice.args[2])
    if kept is None or kept.buffer is not store.buffer or not _same(kept.index, store.index):
        return None
    inside = {loop.var, *lets, *loads}
    loops = {s.var: s for s in statements if isinstance(s, Loop)}
    inside.update(v for s in loops.values() for v in (s.var, *s.params, *s.results))
    inside.update(v for s in statements if isinstance(s, If) for v in s.results)
    found = _where(choice.args[0], loop.var, lets, inside)
    if found is None:
        return None
    place, out = found
    at_least = Var("i64")
    out.append(Let(at_least, "maximum", (place, Const(0, "i64"))))
    out.append(Let(loop.var, "minimum", (at_least, Const(loop.extent - 1, "i64"))))
    return [*out, *loop.body.statements]


def _where(
    condition: Operand, var: Var, lets: dict[Var, Let], inside: set[Var]
) -> tuple[Operand, list[Statement]] | None:
    """For which ``var`` alone a condition can hold, and what computes that outside of the loop."""
    let = lets.get(condition) if isinstance(condition, Var) else None
    if let is None or let.op not in ("eq", "and"):
        return None
    if let.op == "and":
        both = [_where(c, var, lets, inside) for c in let.args]
        return next((found for found in both if found is not None), None)
    for mine, other in (let.args, let.args[::-1]):
        if isinstance(other, Var) and other in inside:
            continue
        if mine is var:
            return other, []
        added = lets.get(mine) if isinstance(mine, Var) else None
        if added is None or added.op != "add" or var not in added.args:
            continue
        rest = added.args[1] if added.args[0] is var else added.args[0]
        if not (isinstance(rest, Var) and rest in inside):
            place = Var("i64")
            return place, [Let(place, "sub", (other, rest))]
    return None


def _same(a: Index, b: Index) -> bool:
    return a.offset == b.offset and dict(a.terms) == dict(b.terms)
