"""Cut large contractions into pieces that threads share out.

    contract a, b m(m < 512; ...) ...  =>  loop p < 4 parallel {
      store c[512*m + n], %acc               contract a, b m(m < 128; ...) ... (a from p's rows on)
                                               store c[512*m + n + 65536*p], %acc }

The pieces depend on the shape alone. They are blocks of the result, so that every sum is made as
before; an operand is read by several of them, and what a contraction copies of it is copied several
times: as few pieces as keep some threads busy, cut where the operand that is read again is small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ...records import record, replace
from ...thresholds import thresholds
from ..ir import (
    BYTES,
    Block,
    Const,
    Contract,
    Dim,
    If,
    Index,
    Kernel,
    Let,
    Loop,
    Operand,
    Program,
    Statement,
    Var,
    While,
    map_kernels,
    walk,
)
from ..threads import processors
from .moved import Moved

__all__ = ["share_contractions"]

#: Multiply-adds of single precision that a core does in a microsecond; half as many of double.
#: (With vectors of 32 bytes. Wider ones do twice as many: a piece is shorter there.)
RATE = 37_500
#: Bytes of an operand that are read once more, or copied once more, in a microsecond.
READ, COPY = 100_000, 10_000


def share_contractions(program: Program) -> Program:
    """The program with its large contractions cut; the same object when there are none."""
    return map_kernels(program, _kernel)


def _kernel(kernel: Kernel) -> Kernel:
    if not any(isinstance(s, Contract) for s in walk(kernel.body)):
        return kernel
    body = _block(kernel.body)
    return kernel if body is kernel.body else replace(kernel, body=body)


def _block(block: Block) -> Block:
    statements = tuple([_statement(s) for s in block.statements])
    if all(new is old for new, old in zip(statements, block.statements, strict=True)):
        return block
    return replace(block, statements=statements)


def _statement(statement: Statement) -> Statement:
    match statement:
        case Contract():
            return _shared(statement)
        case Loop():
            if statement.mode == "parallel":
                return statement
            body = _block(statement.body)
            return statement if body is statement.body else replace(statement, body=body)
        case While():
            body = _block(statement.body)
            return statement if body is statement.body else replace(statement, body=body)
        case If():
            then, otherwise = _block(statement.then), _block(statement.otherwise)
            if then is statement.then and otherwise is statement.otherwise:
                return statement
            return replace(statement, then=then, otherwise=otherwise)
    return statement


# --- where to cut ---------------------------------------------------------------------------------


@record(frozen=True, slots=True)
class _Cut:
    """Dimension number ``place`` in ``count`` pieces of ``unit``, the last perhaps shorter."""

    place: int
    extent: int
    count: int
    unit: int

    @property
    def rest(self) -> int:
        """The extent of the last piece."""
        return self.extent - (self.count - 1) * self.unit


def _cuts(contract: Contract) -> list[_Cut]:
    """The cuts with which some threads are done soonest; none if it is too little work."""
    rate = RATE if contract.acc.dtype == "f32" else RATE / 2
    work = math.prod(d.extent for d in contract.dims) / rate
    if work < thresholds.product_share_from:
        return []
    threads, exact = max(2, processors()), thresholds.product_pieces
    most = exact or min(64, 4 * threads)  # a core that is slower, or comes later, does fewer
    best: list[_Cut] = []
    least = math.inf
    for copied, cuts in _choices(contract, max(2, min(most, int(work / thresholds.product_piece)))):
        count = math.prod(cut.count for cut in cuts)
        copied = 0.0 if exact else copied
        if count < 2 or (count > 2 and copied > thresholds.product_copied * work):
            continue
        part = math.prod(cut.unit / cut.extent for cut in cuts) * (work + copied)
        # for two threads as well; one core may be slower: somebody waits for the last piece
        time = sum(t * (math.ceil(count / t) + 0.25) for t in {2, threads}) * part
        if time < least:
            best, least = cuts, time
    return best


def _choices(contract: Contract, most: int) -> Iterator[tuple[float, list[_Cut]]]:
    """Ways to cut in up to ``most`` pieces, and the microseconds that copying operands once more
    takes in each."""
    batch = [d for d in contract.dims if d.role == "batch"]
    if batch:
        widest = max(batch, key=lambda d: d.extent)
        for count in range(2, min(most, widest.extent) + 1):
            yield 0.0, [_cut(contract, widest, count, 1)]
    rows, columns = _Side.of(contract, "m", 16), _Side.of(contract, "n", 32)
    a = math.prod(d.extent for d in contract.dims if d.stride_a) * BYTES[contract.a.dtype]
    b = math.prod(d.extent for d in contract.dims if d.stride_b) * BYTES[contract.b.dtype]
    if b <= thresholds.product_near and rows.total < thresholds.pack_b_rows:
        # each core has all of b at hand, and rows of the result stay where they are worked on next
        few = rows.total // thresholds.product_few
        for count in range(2, min(most, few, rows.extent) + 1):
            yield 0.0, [rows.cut(contract, count)]
    far: float = COPY if a >= thresholds.pack_a_straight else READ
    rate: float = COPY
    if a >= thresholds.pack_a_transposed and _is_apart(contract):
        rate = far = COPY / 4  # few rows of terms far apart: each brings in little that is used
    for m in range(1, min(most, rows.most) + 1):
        for n in range(1, min(most // m, columns.most) + 1):
            copied = (m - 1) * b / rate + (n - 1) * a / far
            cuts = [side.cut(contract, c) for side, c in ((rows, m), (columns, n)) if c > 1]
            yield copied, [cut for cut in cuts if cut.count > 1]


def _is_apart(contract: Contract) -> bool:
    """Whether the terms of a row of a lie apart."""
    return all(d.stride_a != 1 for d in contract.dims if d.role == "k")


@record(frozen=True, slots=True)
class _Side:
    """The rows (or columns) of a contraction: the dimension to cut, the longest, how many rows
    lie in each of its places, and of how many rows pieces of long ones are multiples."""

    dim: Dim | None
    inner: int
    multiple: int

    @classmethod
    def of(cls, contract: Contract, role: str, multiple: int) -> _Side:
        dims = [d for d in contract.dims if d.role == role]
        longest = max(dims, key=lambda d: d.extent, default=None)
        return cls(longest, math.prod(d.extent for d in dims if d is not longest), multiple)

    @property
    def extent(self) -> int:
        return 1 if self.dim is None else self.dim.extent

    @property
    def total(self) -> int:
        """All rows."""
        return self.extent * self.inner

    @property
    def most(self) -> int:
        """How many pieces it has room for."""
        return max(1, min(self.extent, self.total // thresholds.product_share_rows))

    def cut(self, contract: Contract, count: int) -> _Cut:
        assert self.dim is not None
        multiple, extent = self.multiple, self.extent
        if self.inner > 1 or extent < 4 * multiple:
            multiple = 1
        elif extent < 16 * multiple:  # the last piece would be much shorter
            multiple //= 2
        return _cut(contract, self.dim, count, multiple)


def _cut(contract: Contract, dim: Dim, count: int, multiple: int) -> _Cut:
    unit = -(-dim.extent // (count * multiple)) * multiple
    return _Cut(contract.dims.index(dim), dim.extent, -(-dim.extent // unit), unit)


# --- the pieces -----------------------------------------------------------------------------------


def _shared(contract: Contract) -> Statement:
    if any(isinstance(s, (Loop, While, Contract)) for s in walk(contract.epilogue)):
        return contract
    cuts = _cuts(contract)
    if not cuts:
        return contract
    piece = Var("i64", "p")
    total = math.prod(cut.count for cut in cuts)
    numbers, lets = _numbers(piece, cuts)
    body = _choice(contract, list(zip(cuts, numbers, strict=True)))
    return Loop(piece, total, Block((*lets, *body)), mode="parallel")


def _numbers(piece: Var, cuts: Sequence[_Cut]) -> tuple[list[Var], list[Let]]:
    """The number of a piece along each cut dimension, from its number among all."""
    if len(cuts) == 1:
        return [piece], []
    inner = Const(cuts[1].count, "i64")
    one, other = Var("i64"), Var("i64")
    return [one, other], [
        Let(one, "floordiv", (piece, inner)),
        Let(other, "mod", (piece, inner)),
    ]


def _choice(contract: Contract, cuts: list[tuple[_Cut, Var]]) -> list[Statement]:
    """The contraction of one piece: whole, or shorter where it is the last along a dimension."""
    if not cuts:
        return [contract]
    (cut, number), rest = cuts[0], cuts[1:]
    whole = _choice(_piece(contract, cut, number, cut.unit), rest)
    if cut.rest == cut.unit:
        return whole
    last = _choice(_piece(contract, cut, number, cut.rest), rest)
    is_last = Var("bool")
    return [
        Let(is_last, "eq", (number, Const(cut.count - 1, "i64"))),
        If(is_last, Block(tuple(last)), Block(tuple(whole))),
    ]


def _piece(contract: Contract, cut: _Cut, number: Var, extent: int) -> Contract:
    dim = contract.dims[cut.place]
    names: dict[Var, Operand] = {contract.acc: (acc := Var(contract.acc.dtype))}
    dims = []
    for d in contract.dims:
        local = Var("i64", d.var.hint)
        dims.append(replace(d, extent=extent if d is dim else d.extent, var=local))
        if d is dim:
            moved = Moved(d.var, local, ((number, cut.unit),))
        else:
            names[d.var] = local
    return Contract(
        tuple(dims), contract.a, contract.b,
        _plus(contract.offset_a, number, cut.unit * dim.stride_a),
        _plus(contract.offset_b, number, cut.unit * dim.stride_b),
        acc, moved.block(contract.epilogue, names),
    )  # fmt: skip


def _plus(index: Index, var: Var, coefficient: int) -> Index:
    if not coefficient:
        return index
    return Index((*index.terms, (var, coefficient)), index.offset)
