"""The loop IR: buffers, kernels, loops, loads, stores and scalars.

This file is the seam between the array compiler above and machine code below. Nothing here knows of
broadcasting, derivatives or Python callables. The whole grammar:

    program   = name, sizes (i64 Var ...), buffers, kernels       kernels run one after the other
    buffer    = name, dtype, size in elements, role               flat, contiguous, disjoint
    kernel    = name, block
    block     = statement ..., yields (operand ...)
    statement = Let      result = op(operand ...)                 op is a row of ``scalars.py``
              | Load     result = buffer[index]
              | Store    buffer[index] = operand
              | Loop     results = loop var < extent carrying params from inits: block
              | If       results = if operand: block else: block
              | While    results = while carrying params from inits: condition block, body block
              | Contract batched, strided product-sum with an epilogue block
    operand   = Var | Const
    index     = offset + sum of coefficient * Var                 in elements of the buffer

A ``Var`` is assigned once, before its uses and in an enclosing block (static single assignment with
block parameters). A ``Loop`` runs ``var`` over 0, 1, ..., extent-1; its ``params`` start as
``inits``, become the block's ``yields`` after each iteration, and leave the loop as ``results``.

Modes say what a loop permits, never what it means: ``serial`` promises nothing; ``vector`` and
``parallel`` promise that iterations are independent except for carried params that are combined
by a ``reassociate`` Let; ``unroll`` asks for full unrolling. ``Let.reassociate`` marks a
combining operation (add, mul, minimum, maximum, and, or) whose order the target may choose,
always the same way for the same program.

Objects are immutable; passes build new ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Literal, TypeAlias

from ..records import field, record, replace

__all__ = [
    "BYTES",
    "DTYPES",
    "Block",
    "Buffer",
    "Const",
    "Contract",
    "Dim",
    "If",
    "Index",
    "Kernel",
    "Let",
    "Load",
    "Loop",
    "Operand",
    "Program",
    "Role",
    "Statement",
    "Store",
    "Var",
    "While",
]

#: dtype name -> bytes of one element. ``bool`` is one byte, 0 or 1.
BYTES: dict[str, int] = {
    "bool": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "u8": 1, "u16": 2, "u32": 4, "u64": 8,
    "f16": 2, "f32": 4, "f64": 8,
}  # fmt: skip
DTYPES: tuple[str, ...] = tuple(BYTES)

_ids = itertools.count()


@record(frozen=True, slots=True, eq=False)
class Var:
    """A scalar value, assigned once. Compared by identity; ``id`` is unique within the process.

    ``hint`` is a readable name used by the printer (loop variables: i, j, k; values: numbers)."""

    dtype: str
    hint: str = ""
    id: int = field(default_factory=lambda: next(_ids))


@record(frozen=True, slots=True)
class Const:
    """A literal scalar. ``value`` is a Python bool, int or float (inf and nan included)."""

    value: bool | int | float
    dtype: str


Operand: TypeAlias = Var | Const


class Role(StrEnum):
    """What a buffer is to the caller.

    INPUT is only read; OUTPUT is allocated by the caller, uninitialised, and may be read after
    it was written; INOUT is given by the caller, read and overwritten in place; TEMP lives in
    the program's arena at byte ``offset`` (two temps may share bytes only when their live ranges
    do not meet within any kernel); CONST is baked in (``data``)."""

    INPUT = "input"
    OUTPUT = "output"
    INOUT = "inout"
    TEMP = "temp"
    CONST = "const"


@record(frozen=True, slots=True, eq=False)
class Buffer:
    """A flat run of ``size`` elements. Compared by identity, named uniquely within its program."""

    name: str
    dtype: str
    size: int | Var
    role: Role
    offset: int | None = None  # TEMP only: byte offset in the arena, a multiple of 64
    data: bytes | None = None  # CONST only: the elements, native byte order


@record(frozen=True, slots=True)
class Index:
    """``offset + sum(coefficient * var)``, an i64 element number; ``terms``: (var, coefficient)."""

    terms: tuple[tuple[Var, int], ...] = ()
    offset: int = 0


@record(frozen=True, slots=True)
class Block:
    """Statements in order; ``yields`` are the values handed to the owner of the block."""

    statements: tuple[Statement, ...]
    yields: tuple[Operand, ...] = ()


@record(frozen=True, slots=True)
class Let:
    """``result = op(args)``; ``op`` names a row of ``scalars.SCALARS``."""

    result: Var
    op: str
    args: tuple[Operand, ...]
    reassociate: bool = False


@record(frozen=True, slots=True)
class Load:
    result: Var
    buffer: Buffer
    index: Index


@record(frozen=True, slots=True)
class Store:
    buffer: Buffer
    index: Index
    value: Operand


Mode: TypeAlias = Literal["serial", "vector", "parallel", "unroll"]


@record(frozen=True, slots=True)
class Loop:
    """``results = loop var < extent carry (params = inits) { body; yield ... }``."""

    var: Var
    extent: int | Operand
    body: Block
    params: tuple[Var, ...] = ()
    inits: tuple[Operand, ...] = ()
    results: tuple[Var, ...] = ()
    mode: Mode = "serial"


@record(frozen=True, slots=True)
class If:
    """``results = if condition { then } else { otherwise }``: only one side runs."""

    condition: Operand
    then: Block
    otherwise: Block
    results: tuple[Var, ...] = ()


@record(frozen=True, slots=True)
class While:
    """Run ``condition`` (yields one bool); while it holds, ``body`` yields the next params.

    Both blocks see ``params``. ``results`` are the params for which the condition failed."""

    params: tuple[Var, ...]
    inits: tuple[Operand, ...]
    condition: Block
    body: Block
    results: tuple[Var, ...]

    @property
    def runs_once(self) -> bool:
        """Whether the body runs once or not at all: the condition is the first param as it is, and
        the body makes it false. ``Math.where_rare`` writes rare cases so."""
        if self.condition.statements or not self.body.yields:
            return False
        end = self.body.yields[0]
        ends = isinstance(end, Const) and end.dtype == "bool" and not end.value
        return ends and self.condition.yields == self.params[:1]


@record(frozen=True, slots=True)
class Dim:
    """One loop dimension of a contraction: its extent and the element stride in each operand.

    ``role``: ``batch`` (in a, b and the result), ``m`` (a and result), ``n`` (b and result), ``k``
    (a and b, summed). The stride in an operand that does not have the dimension is 0. ``var`` is
    the dimension's index as seen by the epilogue (not available for ``k``)."""

    role: Literal["batch", "m", "n", "k"]
    extent: int
    stride_a: int
    stride_b: int
    var: Var


@record(frozen=True, slots=True)
class Contract:
    """``acc[batch, m, n] = sum over k of a[...] * b[...]``, then ``epilogue`` for each element.

    ``acc`` is the finished sum (dtype ``acc.dtype``, at least as wide as the operands') as a Var
    that the epilogue reads together with the ``var`` of each batch, m and n dimension; the
    epilogue's statements store the results. Elements are independent: the epilogue may run in
    any order, over any tile, vectorised. The order of the sum over k is the target's, always the
    same for the same program. ``offset_a`` and ``offset_b`` are added to the operand's element
    number and may hold the variables of enclosing loops."""

    dims: tuple[Dim, ...]
    a: Buffer
    b: Buffer
    offset_a: Index
    offset_b: Index
    acc: Var
    epilogue: Block


Statement: TypeAlias = Let | Load | Store | Loop | If | While | Contract


@record(frozen=True, slots=True)
class Kernel:
    """A named piece of the program; reads as one loop nest (or a few that share data).

    ``note`` says in words where it came from (graph ops, user lines); it is printed, never read."""

    name: str
    body: Block
    note: str = ""


@record(frozen=True, slots=True)
class Program:
    """What is compiled: kernels run in order over buffers.

    The native function takes the INPUT, OUTPUT and INOUT buffers in the order of ``buffers``, then
    ``sizes``. ``arena`` is the number of bytes of scratch memory that TEMP buffers need."""

    name: str
    buffers: tuple[Buffer, ...]
    kernels: tuple[Kernel, ...]
    sizes: tuple[Var, ...] = ()
    arena: int = 0

    def arguments(self) -> tuple[Buffer, ...]:
        """The buffers the caller passes, in calling order."""
        return tuple(b for b in self.buffers if b.role in (Role.INPUT, Role.OUTPUT, Role.INOUT))


def blocks_of(statement: Statement) -> tuple[Block, ...]:
    """The blocks nested directly in a statement."""
    match statement:
        case Loop():
            return (statement.body,)
        case If():
            return (statement.then, statement.otherwise)
        case While():
            return (statement.condition, statement.body)
        case Contract():
            return (statement.epilogue,)
    return ()


#: Statements that hold no blocks.
LEAVES = (Let, Load, Store)


def nests(block: Block) -> Iterator[Loop | If | While | Contract]:
    """Every statement that holds blocks, outer before inner, in program order.

    Long blocks are mostly leaves: this passes over them faster than ``walk``."""
    for statement in block.statements:
        if type(statement) not in LEAVES:
            yield statement  # type: ignore[misc]
            for inner in blocks_of(statement):
                yield from nests(inner)


def length(block: Block) -> int:
    """How many statements a block holds, at any depth."""
    total = len(block.statements)
    for statement in nests(block):
        total += sum([len(inner.statements) for inner in blocks_of(statement)])
    return total


def map_kernels(program: Program, change: Callable[[Kernel], Kernel]) -> Program:
    """The program with every kernel changed; the same object when all stayed the same objects."""
    kernels = tuple([change(kernel) for kernel in program.kernels])
    if all(new is old for new, old in zip(kernels, program.kernels, strict=True)):
        return program
    return replace(program, kernels=kernels)


def walk(block: Block) -> Iterator[Statement]:
    """Every statement of a block, outer before inner, in program order."""
    stack: list[Iterator[Statement]] = [iter(block.statements)]
    while stack:
        statement = next(stack[-1], None)
        if statement is None:
            stack.pop()
            continue
        yield statement
        for inner in reversed(blocks_of(statement)):
            stack.append(iter(inner.statements))
