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

__all__ = ["pinpoint"]


def pinpoint(program: Program) -> Program:
    """The program without such loops; the same object when there are none."""
    return map_kernels(program, _kernel)


def _kernel(kernel: Kernel) -> Kernel:
    if not _compares(kernel.body):  # as most: found out quickly
        return kernel
    body = _block(kernel.body)
    return kernel if body is kernel.body else replace(kernel, body=body)


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
    """Loops inside of vector and parallel ones stay: a place that each iteration finds anew is not
    seen to be its own."""
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
            if alone is not None:
                return list(_block(Block(tuple(alone))).statements)
            if statement.mode in ("vector", "parallel"):
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
    inside.update(
        v for s in statements if isinstance(s, Loop) for v in (s.var, *s.params, *s.results)
    )
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
