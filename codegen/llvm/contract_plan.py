"""How a contraction is computed: which way, with which register tile, in which blocks.

All choices depend on the shape and the machine alone, never on the data or on threads, so the order
of every sum is fixed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..ir import BYTES, Let, Store, Var, walk
from ..scalars import SCALARS
from .contract_shape import Product
from .machine import Machine

__all__ = ["Dots", "Plan", "Tiling", "plan", "wide_dtype"]

#: bytes of the block of b that is read again for every row tile (should stay in the first cache)
_PANEL = 32 * 1024
#: bytes of the scratch block that holds finished sums until their epilogue runs
_SCRATCH = 32 * 1024
#: summed terms of one block; more rows of b than this would push the panel out of the first cache
_K_BLOCK = 384
#: rows from which a panel of b is copied side by side when its rows are far apart
_PACK_ROWS = 48
#: fused multiply-adds written out instead of a loop
_UNROLLED = 96


@dataclass(frozen=True, slots=True)
class Tiling:
    """Register tiles of ``rows`` by ``vectors * lanes``; see ``contract_kernels.TileKernel``.

    ``packs``: whether panels of b are first copied so that their columns lie side by side ("copy"
    element by element, "transpose" in registers), or read in place ("")."""

    rows: int
    vectors: int
    lanes: int
    m_block: int
    k_block: int
    packs: Literal["", "copy", "transpose"]

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes


@dataclass(frozen=True, slots=True)
class Dots:
    """Dot products of ``rows`` by ``columns`` at a time; see ``contract_kernels.DotKernel``."""

    rows: int
    columns: int
    depth: int
    lanes: int
    m_block: int


Plan = Tiling | Dots | Literal["unrolled", "loops"]


def wide_dtype(dtype: str) -> str:
    """The dtype sums are kept in: f16 sums in f32."""
    return "f32" if dtype == "f16" else dtype


def direct_store(product: Product) -> Store | None:
    """The store that is the whole epilogue and puts sums side by side as they are, or None."""
    if len(product.epilogue.statements) != 1:
        return None
    (store,) = product.epilogue.statements
    if not isinstance(store, Store) or store.value is not product.acc:
        return None
    if store.buffer.dtype != wide_dtype(product.acc.dtype):
        return None
    step = coefficient(store, product.n.var)
    return store if product.n.extent == 1 or step == 1 else None


def coefficient(store: Store, var: Var) -> int:
    """How many elements on the store goes when ``var`` goes up by one."""
    return sum(c for v, c in store.index.terms if v is var)


def is_costly(product: Product) -> bool:
    """Whether the epilogue holds more than a few instructions."""
    count = 0
    for statement in walk(product.epilogue):
        count += SCALARS[statement.op].flops if isinstance(statement, Let) else 1
    return count > 8


def plan(product: Product, machine: Machine) -> Plan:
    """The way to compute a product on a machine."""
    acc = wide_dtype(product.acc.dtype)
    most = machine.vector_bytes // BYTES[acc]
    m, n, k, terms = product.m.extent, product.n.extent, product.k, product.terms
    if terms == 0:
        return "loops"
    fits_n = product.n.stride_b == 1 or n == 1
    width = most if fits_n else 1
    if m * terms * math.ceil(n / width) <= _UNROLLED and m * n <= 64:
        return "unrolled"
    if terms <= 4:
        return "loops"
    along_k = k.stride_a == 1 and k.stride_b == 1
    if along_k and (min(m, n) == 1 or k.extent >= 24 * min(m, n)):
        return _dots(product, most)
    if n == 1 and product.n.stride_b == 0 and not along_k:
        return "loops"
    return _tiling(product, acc, machine, most)


def _dots(product: Product, most: int) -> Dots:
    """Few vectors of sums: as many rows as hide the latency, more vectors along k if rows lack."""
    m, n, k = product.m.extent, product.n.extent, product.k.extent
    lanes = min(most, _power_of_two(k))
    columns = _divisor(n, 4)
    rows = _divisor(m, 8 if columns == 1 else 4)
    depth = max(1, min(8 // (rows * columns), math.ceil(k / lanes)))
    size = BYTES[wide_dtype(product.acc.dtype)]
    block = max(1, _SCRATCH // (size * n) // rows) * rows
    return Dots(rows, columns, depth, lanes, min(m, block))


def _divisor(extent: int, most: int) -> int:
    """The largest tile up to ``most`` that leaves no remainder, unless that is much smaller."""
    if extent <= most:
        return extent
    exact = max(d for d in range(1, most + 1) if extent % d == 0)
    return exact if 2 * exact >= most else most


def _power_of_two(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()


def _tiling(product: Product, acc: str, machine: Machine, most: int) -> Tiling:
    m, n, k = product.m.extent, product.n.extent, product.k
    lanes = min(most, max(2, _power_of_two(n)))
    registers = 32 if machine.vector_bytes == 64 else 16
    rows, vectors = _tile(m, n, lanes, registers)
    columns = vectors * lanes
    size = BYTES[acc]
    k_block = k.extent
    if k_block > _K_BLOCK:
        k_block = -(-math.ceil(k_block / math.ceil(k_block / _K_BLOCK)) // 8) * 8
    packs: Literal["", "copy", "transpose"] = ""
    if product.n.stride_b != 1:
        packs = "copy"
        if k.stride_b == 1 and product.b.dtype == acc and BYTES[acc] >= 4:
            packs = "transpose"
    elif m >= _PACK_ROWS and abs(k.stride_b) * size >= 2048:
        packs = "copy"
    block = m
    if direct_store(product) is None:
        block = min(m, max(1, _SCRATCH // (columns * size) // rows) * rows)
    return Tiling(rows, vectors, lanes, block, k_block, packs)


def _tile(m: int, n: int, lanes: int, registers: int) -> tuple[int, int]:
    """The (rows, vectors) of the register tile with the fewest cycles for an m by n result.

    A remainder of rows costs a second kernel, larger tiles more to compile: a few per cent each."""
    best = (math.inf, 1, 1)
    for vectors in range(1, min(6, math.ceil(n / lanes)) + 1):
        for rows in range(1, min(m, 16) + 1):
            if rows * vectors + vectors + 1 > registers:
                break
            cycles = (m // rows) * _cycles(rows, vectors)
            if m % rows:
                cycles += _cycles(m % rows, vectors)
            cycles *= math.ceil(n / (vectors * lanes))
            cycles *= 1 + 0.003 * rows * vectors + (0.06 if m % rows else 0)
            best = min(best, (cycles, rows, vectors))
    return best[1], best[2]


def _cycles(rows: int, vectors: int) -> float:
    """Cycles of one step of k: two multiply-adds or loads each, a sum waits four for its last."""
    return max(rows * vectors / 2, (rows + vectors) / 2, 0.6 * rows, 4.0)
