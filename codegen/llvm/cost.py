"""How long a program will run, roughly, from its loops alone."""

from __future__ import annotations

import math

from ..ir import Block, Contract, If, Let, Loop, Program, Statement, While
from ..scalars import SCALARS

__all__ = ["is_long", "operations"]

#: iterations assumed where only the data can tell
UNKNOWN = 1000
#: operations that take a few microseconds
LONG = 20_000


def operations(block: Block) -> int:
    """An estimate of the scalar operations that a run of the block takes."""
    return sum(_statement(s) for s in block.statements)


def _statement(statement: Statement) -> int:
    match statement:
        case Let():
            return SCALARS[statement.op].flops
        case Loop():
            count = statement.extent if isinstance(statement.extent, int) else UNKNOWN
            return count * operations(statement.body)
        case If():
            return max(operations(statement.then), operations(statement.otherwise))
        case While():
            return UNKNOWN * (operations(statement.condition) + operations(statement.body))
        case Contract():
            elements = math.prod(d.extent for d in statement.dims if d.role != "k")
            sums = math.prod(d.extent for d in statement.dims if d.role == "k")
            return elements * (2 * sums + operations(statement.epilogue))
    return 1


def is_long(program: Program) -> bool:
    """Whether a run takes so long that other Python threads should run meanwhile."""
    return sum(operations(kernel.body) for kernel in program.kernels) > LONG
