"""Hoist out of loops what every iteration has in common: Lets, and Loads of what no store changes.

    loop i < n { loop j < m {              loop i < n {
      %0 = load a[i]                         %0 = load a[i]
      %1 = exp %0                            %1 = exp %0
      %2 = load x[m*i + j]          =>       loop j < m {
      %3 = mul %1, %2                          %2 = load x[m*i + j]
      store y[m*i + j], %3                     %3 = mul %1, %2
    } }                                        store y[m*i + j], %3
                                           } }

Lets cannot trap, so they also leave loops that may not run, whiles and epilogues. A Load leaves a
nest only if the nest surely runs, or its index is known to be in bounds of a buffer that holds
values from the start. Nothing leaves a side of an if: it might be needless work.

One walk: each Var has the depth of the block it is defined in, and a statement goes to the end, so
far, of the deepest block that it depends on. Time is linear in statements times their depth.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...records import field, record, replace
from ..ir import (
    Block,
    Buffer,
    Const,
    Contract,
    If,
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
    nests,
)
from ..ranges import Range, index_range, loop_range
from .memory import stored_in

__all__ = ["hoist", "hoist_kernel"]

_HELD_FROM_START = frozenset({Role.INPUT, Role.INOUT, Role.CONST})


def hoist(program: Program) -> Program:
    """Every kernel of the program with loop invariants hoisted; the same object if none were."""
    return map_kernels(program, hoist_kernel)


def hoist_kernel(kernel: Kernel) -> Kernel:
    """One kernel with loop invariants hoisted; the same object if there were none."""
    if next(nests(kernel.body), None) is None:
        return kernel  # straight-line code
    hoister = _Hoister(kernel)
    body = hoister.body(kernel.body)
    return replace(kernel, body=body) if hoister.moved else kernel


@record(slots=True)
class _Level:
    """An open block: what it has so far, and what leaving it upwards would cross."""

    out: list[Statement] = field(default_factory=list)
    barrier: int = 0  # the least depth that statements of this block may move to
    stored: frozenset[Buffer] = frozenset()  # by the nest that owns the block
    certain: bool = True  # whether the block surely runs when its nest is reached


class _Hoister:
    def __init__(self, kernel: Kernel) -> None:
        self.depth: dict[Var, int] = {}  # of the block where a Var is defined; sizes are at 0
        self.ranges: dict[Var, Range | None] = {}
        self.stored: dict[int, frozenset[Buffer]] = {}
        stored_in(kernel.body, self.stored)
        self.levels: list[_Level] = []
        self.moved = False

    def body(self, block: Block) -> Block:
        self.levels.append(_Level())
        return self.block(block)

    def block(self, block: Block) -> Block:
        """Place the statements of the block just opened, and close it."""
        here = len(self.levels) - 1
        level = self.levels[here]
        for statement in block.statements:
            if isinstance(statement, Let):
                self.place(statement, max(self.deepest(statement.args), level.barrier), here)
            elif isinstance(statement, Load):
                self.place(statement, self.load_depth(statement, here), here)
            elif isinstance(statement, Store):
                level.out.append(statement)
            else:
                level.out.append(self.nest(statement, here))
        self.levels.pop()
        return Block(tuple(level.out), block.yields)

    def place(self, statement: Let | Load, target: int, here: int) -> None:
        self.depth[statement.result] = target
        self.levels[target].out.append(statement)
        self.moved = self.moved or target < here

    def deepest(self, operands: Sequence[Operand]) -> int:
        found = 0
        for operand in operands:
            if not isinstance(operand, Const):
                found = max(found, self.depth.get(operand, 0))
        return found

    def load_depth(self, load: Load, here: int) -> int:
        lowest = max(self.deepest([v for v, _ in load.index.terms]), self.levels[here].barrier)
        target = here
        while target > lowest:
            level = self.levels[target]
            if load.buffer in level.stored:
                break
            if not level.certain and not self.harmless(load):
                break
            target -= 1
        return target

    def harmless(self, load: Load) -> bool:
        """Whether the load may run although the program would not have run it."""
        buffer = load.buffer
        if buffer.role not in _HELD_FROM_START or not isinstance(buffer.size, int):
            return False
        low, high, _ = index_range(load.index, self.ranges)
        return low >= 0 and high < buffer.size

    def inside(
        self, block: Block, variables: Sequence[Var], nest: Statement, certain: bool
    ) -> Block:
        """A block that its nest may run many times."""
        here = len(self.levels)
        for var in variables:
            self.depth[var] = here
        barrier = self.levels[-1].barrier
        self.levels.append(_Level([], barrier, self.stored[id(nest)], certain))
        return self.block(block)

    def nest(self, statement: Loop | If | While | Contract, here: int) -> Statement:
        match statement:
            case Loop():
                return self.loop(statement, here)
            case If():
                return self.branch(statement, here)
            case While():
                return self.loop_while(statement, here)
        return self.contract(statement)

    def loop(self, loop: Loop, here: int) -> Loop:
        known = self.ranges[loop.var] = loop_range(loop.extent)
        certain = not isinstance(loop.extent, Var) and known.high >= 0
        body = self.inside(loop.body, (loop.var, *loop.params), loop, certain)
        for result in loop.results:
            self.depth[result] = here
        return replace(loop, body=body)

    def loop_while(self, loop: While, here: int) -> While:
        condition = self.inside(loop.condition, loop.params, loop, certain=True)
        body = self.inside(loop.body, loop.params, loop, certain=False)
        for result in loop.results:
            self.depth[result] = here
        return replace(loop, condition=condition, body=body)

    def contract(self, contract: Contract) -> Contract:
        outer = [d for d in contract.dims if d.role != "k"]
        for dim in outer:
            self.ranges[dim.var] = loop_range(dim.extent)
        certain = all(d.extent > 0 for d in outer)
        variables = [contract.acc, *[d.var for d in outer]]
        epilogue = self.inside(contract.epilogue, variables, contract, certain)
        return replace(contract, epilogue=epilogue)

    def branch(self, branch: If, here: int) -> If:
        sides = []
        for block in (branch.then, branch.otherwise):
            self.levels.append(_Level(barrier=here + 1))
            sides.append(self.block(block))
        for result in branch.results:
            self.depth[result] = here
        return replace(branch, then=sides[0], otherwise=sides[1])
