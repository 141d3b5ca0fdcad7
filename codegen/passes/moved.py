"""Copies of statements that go over a part of what they went over before."""

from __future__ import annotations

from ...records import record, replace
from ..ir import Block, Const, If, Index, Let, Load, Operand, Statement, Store, Var, walk

__all__ = ["Moved"]


@record(frozen=True, slots=True)
class Moved:
    """Copies blocks with ``local + start + sum(unit * number)`` in place of ``var``.

    ``terms`` are (number, unit). What is defined inside gets new Vars: a block that is copied
    twice defines none twice. Blocks hold Lets, Loads, Stores and Ifs."""

    var: Var
    local: Var
    terms: tuple[tuple[Var, int], ...] = ()
    start: int = 0

    def block(self, block: Block, names: dict[Var, Operand]) -> Block:
        """A copy of a block; ``names`` are operands that stand for others."""
        out: list[Statement] = []
        inner = dict(names)
        if self.var in block.yields or any(self.var in _values(s) for s in walk(block)):
            inner[self.var] = self._place(out)
        out += [self._statement(s, inner) for s in block.statements]
        return Block(tuple(out), tuple(self._operand(y, inner) for y in block.yields))

    def _place(self, out: list[Statement]) -> Operand:
        """What stands for ``var`` where it is computed with."""
        place: Operand = self.local
        steps: list[Operand] = [Const(self.start, "i64")] if self.start else []
        for number, unit in self.terms:
            steps.append(Var("i64"))
            out.append(Let(steps[-1], "mul", (number, Const(unit, "i64"))))  # type: ignore[arg-type]
        for step in steps:
            total = Var("i64")
            out.append(Let(total, "add", (place, step)))
            place = total
        return place

    def _operand(self, operand: Operand, names: dict[Var, Operand]) -> Operand:
        return operand if isinstance(operand, Const) else names.get(operand, operand)

    def _index(self, index: Index, names: dict[Var, Operand]) -> Index:
        terms: list[tuple[Var, int]] = []
        offset = index.offset
        for var, coefficient in index.terms:
            if var is self.var:
                terms.append((self.local, coefficient))
                terms += [(number, coefficient * unit) for number, unit in self.terms]
                offset += coefficient * self.start
            else:
                new = names.get(var, var)
                assert isinstance(new, Var)
                terms.append((new, coefficient))
        return Index(tuple(terms), offset)

    def _statement(self, s: Statement, names: dict[Var, Operand]) -> Statement:
        match s:
            case Let():
                args = tuple(self._operand(a, names) for a in s.args)
                return replace(s, args=args, result=self._fresh(s.result, names))
            case Load():
                index = self._index(s.index, names)
                return replace(s, index=index, result=self._fresh(s.result, names))
            case Store():
                return replace(
                    s, index=self._index(s.index, names), value=self._operand(s.value, names)
                )
            case If():
                condition = self._operand(s.condition, names)
                then, otherwise = self.block(s.then, names), self.block(s.otherwise, names)
                results = tuple(self._fresh(r, names) for r in s.results)
                return If(condition, then, otherwise, results)
        raise AssertionError(f"a block with {s!r} is not copied")

    def _fresh(self, var: Var, names: dict[Var, Operand]) -> Var:
        new = names[var] = Var(var.dtype, var.hint)
        return new


def _values(s: Statement) -> tuple[Operand, ...]:
    """What a statement takes as values; indices say where something lies."""
    match s:
        case Let():
            return s.args
        case Store():
            return (s.value,)
        case If():
            return (s.condition, *s.then.yields, *s.otherwise.yields)
    return ()
