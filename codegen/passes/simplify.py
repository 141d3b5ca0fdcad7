"""Simplify kernels: fold literals, apply exact laws, share equal values, drop what is dead.

One walk in program order replaces every value by what is already known to equal it:

  - a Let of literals by a literal, a Let that a law of ``laws.py`` covers by what the law says;
  - a Let or Load that repeats one of the same or an enclosing block by its result, and a Load
    of an element by what was last stored there, if no store that may have met it stands between;
  - an index whose terms are affine i64 Lets by the affine sum of their arguments;
  - an if with a known condition by the side taken, a loop of one iteration by its body, a loop of
    none by its inits, a carried value that never changes by its init.

A walk backwards (``dead.py``) then removes what is no longer needed. Both take time linear in the
number of statements. ``reassociate`` Lets are only folded or shared: how they combine a carried
value is a promise that other passes and the target rely on.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...records import replace
from ...thresholds import thresholds
from ..ir import (
    BYTES,
    Block,
    Buffer,
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
    Role,
    Statement,
    Store,
    Var,
    While,
    map_kernels,
)
from ..ranges import LIMITS
from ..scalars import FLOATS, SCALARS, numpy_dtype
from .dead import remove_dead
from .laws import LAWS, Rewritten, fold, same_operand, simpler
from .memory import Contents, stored_in

__all__ = ["simplify", "simplify_kernel"]

_COMMUTATIVE = frozenset(name for name, row in SCALARS.items() if row.commutative)
_AFFINE = frozenset({"add", "sub", "mul", "neg"})


def simplify(program: Program) -> Program:
    """Every kernel of the program, simplified; the same object when nothing changed."""
    return map_kernels(program, simplify_kernel)


def simplify_kernel(kernel: Kernel) -> Kernel:
    """One kernel, simplified; the same object when nothing changed."""
    body = remove_dead(_Simplifier(kernel).block(kernel.body))
    return kernel if body is kernel.body else replace(kernel, body=body)


def _commutes(op: str, args: Sequence[Operand]) -> bool:
    """Whether exchanging two arguments keeps every bit.

    Not for the minimum and maximum of floats: of 0.0 and -0.0 the first or the second is taken."""
    if op not in _COMMUTATIVE:
        return False
    return op not in ("minimum", "maximum") or args[0].dtype not in FLOATS


def _literal_key(const: Const) -> tuple[object, ...]:
    """Equal for literals of the same bits: 0.0 and -0.0 differ, a nan equals itself."""
    value = const.value
    if isinstance(value, float):
        return const.dtype, struct.pack("d", value)
    return const.dtype, int(value)


def _identical(new: Sequence[object], old: Sequence[object]) -> bool:
    if len(new) != len(old):
        return False
    for a, b in zip(new, old, strict=True):  # noqa: SIM110 (a generator costs twice as much)
        if a is not b:
            return False
    return True


class _Simplifier:
    """The walk. Keys and contents hold operands as they are after replacement."""

    def __init__(self, kernel: Kernel) -> None:
        self.replaced: dict[Var, Operand] = {}
        self.known: dict[tuple[Any, ...], Var] = {}  # computation -> the value that holds it
        self.scope: list[tuple[Any, ...]] = []  # keys in ``known``, in the order they came
        self.lets: dict[Var, Let] = {}
        self.affine: dict[Var, Index] = {}
        self.contents = Contents()
        self.stored: dict[int, frozenset[Buffer]] = {}
        stored_in(kernel.body, self.stored)
        self.out: list[Statement] = []

    # operands

    def operand(self, operand: Operand) -> Operand:
        if isinstance(operand, Const):
            return operand
        return self.replaced.get(operand, operand)

    def operands(self, operands: tuple[Operand, ...]) -> tuple[Operand, ...]:
        replaced = self.replaced
        for operand in operands:
            if operand in replaced:
                break
        else:
            return operands
        new = tuple([self.operand(o) for o in operands])
        return operands if _identical(new, operands) else new

    def index(self, index: Index) -> Index:
        """The index with literals and affine values folded in."""
        for var, _ in index.terms:
            if var in self.replaced or var in self.affine:
                break
        else:
            return index
        total: dict[Var, int] = {}
        offset = index.offset
        for var, coefficient in index.terms:
            value = self.operand(var)
            if isinstance(value, Const):
                offset += coefficient * int(value.value)
                continue
            for inner, factor in (part := self.affine.get(value, Index(((value, 1),)))).terms:
                total[inner] = total.get(inner, 0) + coefficient * factor
            offset += coefficient * part.offset
        return Index(tuple([(v, c) for v, c in total.items() if c]), offset)

    # blocks

    def block(self, block: Block) -> Block:
        """The block with its statements replaced; the same object when nothing changed."""
        outer, self.out = self.out, []
        self.statements(block)
        out, self.out = self.out, outer
        yields = self.operands(block.yields)
        if yields is block.yields and _identical(out, block.statements):
            return block
        return Block(tuple(out), yields)

    def statements(self, block: Block) -> None:
        for statement in block.statements:
            if isinstance(statement, Let):
                self.let(statement)
            elif isinstance(statement, Load):
                self.load(statement)
            elif isinstance(statement, Store):
                self.store(statement)
            else:
                self.nest(statement)

    def nested(self, block: Block, stored: frozenset[Buffer]) -> Block:
        """A block that may run never or many times."""
        mark, contents = len(self.scope), self.contents.mark()
        new = self.block(block)
        for key in self.scope[mark:]:
            del self.known[key]
        del self.scope[mark:]
        self.contents.leave(contents, stored)
        return new

    def nest(self, statement: Loop | If | While | Contract) -> None:
        stored = self.stored[id(statement)]
        match statement:
            case Loop():
                self.loop(statement, stored)
            case If():
                self.branch(statement, stored)
            case While():
                self.loop_while(statement, stored)
            case Contract():
                self.contract(statement, stored)

    # leaves

    def let(self, let: Let) -> None:
        """Replace the Let's result, or append what is left of the Let."""
        op, dtype = let.op, let.result.dtype
        args = self.operands(let.args)
        if isinstance(args[0], Const):
            literal = fold(op, args, dtype)
            if literal is not None:
                self.replaced[let.result] = literal
                return
        if not let.reassociate:
            reduced = self.reduced(op, args, dtype)
            if not isinstance(reduced, tuple):
                self.replaced[let.result] = reduced
                return
            op, args = reduced
        key = self.key(op, args, dtype, let.reassociate)
        known = self.known.get(key)
        if known is not None:
            self.replaced[let.result] = known
            return
        if op != let.op or args is not let.args:
            let = Let(let.result, op, args, let.reassociate)
        self.known[key] = let.result
        self.scope.append(key)
        self.lets[let.result] = let
        if dtype == "i64" and op in _AFFINE:
            self.affine_value(let)
        self.out.append(let)

    def reduced(self, op: str, args: tuple[Operand, ...], dtype: str) -> Rewritten:
        """``op(args)`` after all the laws that apply."""
        while True:
            if isinstance(args[0], Const) and _commutes(op, args):
                args = args[::-1]  # laws and readers find the literal last
            found = simpler(op, args, dtype, self.lets) if op in LAWS else None
            if not isinstance(found, tuple):
                return (op, args) if found is None else found
            op, args = found

    def key(
        self, op: str, args: Sequence[Operand], dtype: str, reassociate: bool
    ) -> tuple[Any, ...]:
        if len(args) == 2:
            a, b = args
            if not isinstance(a, Const) and not isinstance(b, Const):
                if a.id > b.id and _commutes(op, args):
                    return (op, dtype, reassociate, b, a)
                return (op, dtype, reassociate, a, b)
        parts = [_literal_key(a) if isinstance(a, Const) else a for a in args]
        return (op, dtype, reassociate, *parts)

    def affine_value(self, let: Let) -> None:
        """Remember an i64 value that is a sum of multiples of others."""
        first = self.as_affine(let.args[0])
        if let.op == "neg":
            total = _scaled(first, -1)
        else:
            second = self.as_affine(let.args[1])
            if let.op == "mul":
                if second.terms:
                    return
                total = _scaled(first, second.offset)
            else:
                total = _sum(first, second if let.op == "add" else _scaled(second, -1))
        low, high = LIMITS["i64"]
        numbers = [total.offset, *[c for _, c in total.terms]]
        fits = low <= min(numbers) and max(numbers) <= high
        if len(total.terms) <= thresholds.affine_terms and fits:
            self.affine[let.result] = total

    def as_affine(self, operand: Operand) -> Index:
        if isinstance(operand, Const):
            return Index((), int(operand.value))
        return self.affine.get(operand, Index(((operand, 1),)))

    def load(self, load: Load) -> None:
        index = self.index(load.index)
        value = self.contents.load(load.buffer, index) or _constant_element(load.buffer, index)
        if value is not None:
            self.replaced[load.result] = value
            return
        if index is not load.index:
            load = Load(load.result, load.buffer, index)
        self.contents.learn(load.buffer, index, load.result)
        self.out.append(load)

    def store(self, store: Store) -> None:
        index, value = self.index(store.index), self.operand(store.value)
        held = self.contents.load(store.buffer, index)
        if held is not None and same_operand(held, value):
            return  # the element holds it: what a partial write leaves as it is
        if index is not store.index or value is not store.value:
            store = Store(store.buffer, index, value)
        self.contents.store(store.buffer, index, value)
        self.out.append(store)

    # nests

    def inline(self, block: Block, results: Sequence[Var]) -> None:
        """Run a block in place, once, and let its yields stand for the results."""
        self.statements(block)
        self.replaced.update(zip(results, self.operands(block.yields), strict=True))

    def loop(self, loop: Loop, stored: frozenset[Buffer]) -> None:
        extent = loop.extent if isinstance(loop.extent, int) else self.operand(loop.extent)
        if isinstance(extent, Const):
            extent = int(extent.value)
        inits = self.operands(loop.inits)
        if isinstance(extent, int) and extent < 1:
            self.replaced.update(zip(loop.results, inits, strict=True))
            return
        if extent == 1:
            self.replaced.update(zip(loop.params, inits, strict=True))
            self.replaced[loop.var] = Const(0, "i64")
            self.inline(loop.body, loop.results)
            return
        for param, init, following, result in zip(
            loop.params, inits, loop.body.yields, loop.results, strict=True
        ):
            if following is param:
                self.replaced[param] = self.replaced[result] = init
        self.contents.forget(stored)
        body = self.nested(loop.body, stored)
        if body is not loop.body or inits is not loop.inits or extent is not loop.extent:
            loop = Loop(
                loop.var, extent, body, loop.params, inits, loop.results, loop.mode
            )  # fmt: skip
        self.out.append(loop)

    def branch(self, branch: If, stored: frozenset[Buffer]) -> None:
        condition = self.operand(branch.condition)
        if isinstance(condition, Const):
            self.inline(branch.then if condition.value else branch.otherwise, branch.results)
            return
        then = self.nested(branch.then, stored)
        otherwise = self.nested(branch.otherwise, stored)
        for result, yes, no in zip(branch.results, then.yields, otherwise.yields, strict=True):
            if same_operand(yes, no):
                self.replaced[result] = yes
        changed = then is not branch.then or otherwise is not branch.otherwise
        if changed or condition is not branch.condition:
            branch = If(condition, then, otherwise, branch.results)
        self.out.append(branch)

    def loop_while(self, loop: While, stored: frozenset[Buffer]) -> None:
        inits = self.operands(loop.inits)
        for param, init, following, result in zip(
            loop.params, inits, loop.body.yields, loop.results, strict=True
        ):
            if following is param:
                self.replaced[param] = self.replaced[result] = init
        self.contents.forget(stored)
        condition = self.nested(loop.condition, stored)
        body = self.nested(loop.body, stored)
        same = condition is loop.condition and body is loop.body and inits is loop.inits
        if not same:
            loop = While(loop.params, inits, condition, body, loop.results)
        self.out.append(loop)

    def contract(self, contract: Contract, stored: frozenset[Buffer]) -> None:
        offset_a, offset_b = self.index(contract.offset_a), self.index(contract.offset_b)
        self.contents.forget(stored)
        epilogue = self.nested(contract.epilogue, stored)
        if (
            epilogue is not contract.epilogue
            or offset_a is not contract.offset_a
            or offset_b is not contract.offset_b
        ):
            contract = replace(contract, offset_a=offset_a, offset_b=offset_b, epilogue=epilogue)
        self.out.append(contract)


def _scaled(index: Index, factor: int) -> Index:
    if factor == 0:
        return Index()
    return Index(tuple([(v, c * factor) for v, c in index.terms]), index.offset * factor)


def _sum(a: Index, b: Index) -> Index:
    total = dict(a.terms)
    for var, coefficient in b.terms:
        total[var] = total.get(var, 0) + coefficient
    return Index(tuple([(v, c) for v, c in total.items() if c]), a.offset + b.offset)


def _constant_element(buffer: Buffer, index: Index) -> Const | None:
    """An element of a CONST buffer at a known place."""
    if buffer.role is not Role.CONST or index.terms or not buffer.data:
        return None
    width = BYTES[buffer.dtype]
    start = index.offset * width
    if not 0 <= start < len(buffer.data):
        return None
    element = np.frombuffer(buffer.data, numpy_dtype(buffer.dtype), 1, start)[0]
    return Const(element.item(), buffer.dtype)
