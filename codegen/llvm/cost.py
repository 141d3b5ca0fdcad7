"""How long a program will run, roughly, from its loops alone."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ...thresholds import thresholds
from ..ir import Block, Contract, If, Let, Loop, Program, Statement, Var, While
from ..ranges import most_trips, upper_bounds
from ..scalars import SCALARS

__all__ = ["is_long", "operations", "outlasts_entry"]

#: iterations assumed where only the data can tell
UNKNOWN = 1000


def operations(block: Block) -> int:
    """An estimate of the scalar operations that a run of the block takes."""
    return _operations(block, upper_bounds(block))


def _operations(block: Block, bounds: Mapping[Var, int]) -> int:
    return sum(_statement(s, bounds) for s in block.statements)


def _statement(statement: Statement, bounds: Mapping[Var, int]) -> int:
    match statement:
        case Let():
            return SCALARS[statement.op].flops
        case Loop():
            times = most_trips(statement.extent, bounds, UNKNOWN)
            return times * _operations(statement.body, bounds)
        case If():
            sides = (statement.then, statement.otherwise)
            return max(_operations(side, bounds) for side in sides)
        case While():
            blocks = (statement.condition, statement.body)
            return UNKNOWN * sum(_operations(b, bounds) for b in blocks)
        case Contract():
            elements = math.prod(d.extent for d in statement.dims if d.role != "k")
            sums = math.prod(d.extent for d in statement.dims if d.role == "k")
            return elements * (2 * sums + _operations(statement.epilogue, bounds))
    return 1


def is_long(program: Program) -> bool:
    """Whether a run takes so long that other Python threads should run meanwhile."""
    return _total(program) > thresholds.long_run


def outlasts_entry(program: Program) -> bool:
    """Whether a run takes so long that some nanoseconds more of each call do not count."""
    return _total(program) > thresholds.plain_entry


def _total(program: Program) -> int:
    return sum(operations(kernel.body) for kernel in program.kernels)
