"""Dead statements: what no store depends on.

Loads and Lets have no effect but their value, so they live only if something live uses them. A
loop, if, while or contraction lives if it stores something or one of its results lives; its carried
values live one by one. A while that stores nothing and whose results are unused is removed even if
it would not have ended.

Marking follows dependences with a worklist, so a value that only feeds itself is found dead.
Time is linear in the size of the block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ..ir import (
    Block,
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

__all__ = ["remove_dead"]

_T = TypeVar("_T")


def remove_dead(body: Block) -> Block:
    """The body of a kernel without its dead statements; the same object when there are none."""
    marker = _Marker()
    marker.block(body)
    return _Sweeper(marker.propagate(), marker.effects).block(body)


def _index(index: Index) -> list[Operand]:
    return [var for var, _ in index.terms]


class _Marker:
    """Collects what each Var needs, what stores need, and which nests store."""

    def __init__(self) -> None:
        self.needs: dict[Var, Sequence[Operand]] = {}
        self.roots: list[Operand] = []
        self.effects: set[int] = set()  # ids of nests with a store inside

    def block(self, block: Block) -> bool:
        """Whether the block stores."""
        effect = False
        for statement in block.statements:
            if isinstance(statement, Let):
                self.needs[statement.result] = statement.args
            elif isinstance(statement, Load):
                self.needs[statement.result] = _index(statement.index)
            elif isinstance(statement, Store):
                effect = True
                self.roots.append(statement.value)
                self.roots.extend(_index(statement.index))
            elif self.nest(statement):
                effect = True
                self.effects.add(id(statement))
        return effect

    def nest(self, statement: Loop | If | While | Contract) -> bool:
        match statement:
            case Loop():
                effect = self.block(statement.body)
                control = [] if isinstance(statement.extent, int) else [statement.extent]
                self.carried(statement, control)
            case While():
                effect = self.block(statement.condition)
                effect = self.block(statement.body) or effect
                control = list(statement.condition.yields)
                self.carried(statement, control)
            case If():
                effect = self.block(statement.then)
                effect = self.block(statement.otherwise) or effect
                control = [statement.condition]
                both = zip(statement.then.yields, statement.otherwise.yields, strict=True)
                for result, values in zip(statement.results, both, strict=True):
                    self.needs[result] = [*control, *values]
            case Contract():
                effect = self.block(statement.epilogue)
                control = [*_index(statement.offset_a), *_index(statement.offset_b)]
        if effect:
            self.roots.extend(control)
        return effect

    def carried(self, loop: Loop | While, control: Sequence[Operand]) -> None:
        slots = zip(loop.params, loop.inits, loop.body.yields, loop.results, strict=True)
        for param, init, following, result in slots:
            self.needs[param] = self.needs[result] = [*control, init, following]

    def propagate(self) -> set[Var]:
        """Everything that the roots need, directly or not."""
        live: set[Var] = set()
        pending = self.roots
        needs = self.needs
        while pending:
            operand = pending.pop()
            if isinstance(operand, Const) or operand in live:
                continue
            live.add(operand)
            pending.extend(needs.get(operand, ()))
        return live


class _Sweeper:
    """Rebuilds blocks without what is not live."""

    def __init__(self, live: set[Var], effects: set[int]) -> None:
        self.live = live
        self.effects = effects

    def block(self, block: Block, slots: Sequence[bool] | None = None) -> Block:
        """``slots`` says which yields to keep (all when None)."""
        live = self.live
        kept: list[Statement] = []
        changed = False
        for statement in block.statements:
            if isinstance(statement, (Let, Load)):
                if statement.result in live:
                    kept.append(statement)
                else:
                    changed = True
                continue
            swept = statement if isinstance(statement, Store) else self.nest(statement)
            changed = changed or swept is not statement
            if swept is not None:
                kept.append(swept)
        yields = block.yields if slots is None else _kept(block.yields, slots)
        if not changed and len(yields) == len(block.yields):
            return block
        return Block(tuple(kept), yields)

    def nest(self, statement: Loop | If | While | Contract) -> Statement | None:
        live = self.live
        effect = id(statement) in self.effects
        if isinstance(statement, Contract):
            return self.contract(statement) if effect else None
        if isinstance(statement, If):
            slots = [r in live for r in statement.results]
        else:
            pairs = zip(statement.params, statement.results, strict=True)
            slots = [p in live or r in live for p, r in pairs]
        if not effect and not any(slots):
            return None
        match statement:
            case Loop():
                return self.loop(statement, slots)
            case If():
                return self.branch(statement, slots)
        return self.loop_while(statement, slots)

    def loop(self, loop: Loop, slots: Sequence[bool]) -> Loop:
        body = self.block(loop.body, slots)
        if body is loop.body:
            return loop
        params, results = _kept(loop.params, slots), _kept(loop.results, slots)
        inits = _kept(loop.inits, slots)
        return Loop(loop.var, loop.extent, body, params, inits, results, loop.mode)

    def branch(self, branch: If, slots: Sequence[bool]) -> If:
        then, otherwise = self.block(branch.then, slots), self.block(branch.otherwise, slots)
        if then is branch.then and otherwise is branch.otherwise:
            return branch
        return If(branch.condition, then, otherwise, _kept(branch.results, slots))

    def loop_while(self, loop: While, slots: Sequence[bool]) -> While:
        condition, body = self.block(loop.condition), self.block(loop.body, slots)
        if condition is loop.condition and body is loop.body:
            return loop
        params, results = _kept(loop.params, slots), _kept(loop.results, slots)
        return While(params, _kept(loop.inits, slots), condition, body, results)

    def contract(self, contract: Contract) -> Contract:
        epilogue = self.block(contract.epilogue)
        if epilogue is contract.epilogue:
            return contract
        return Contract(
            contract.dims, contract.a, contract.b, contract.offset_a, contract.offset_b,
            contract.acc, epilogue,
        )  # fmt: skip


def _kept(values: tuple[_T, ...], slots: Sequence[bool]) -> tuple[_T, ...]:
    return tuple([v for v, keep in zip(values, slots, strict=True) if keep])
