"""How a contraction is computed: which way, with which register tile, in which blocks.

All choices depend on the shape and the machine alone, never on the data or on threads, so the order
of every sum is fixed.
"""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass
from typing import Literal

from ..ir import BYTES, Store, Var
from .contract_shape import Product
from .machine import Machine

__all__ = [
    "Dots",
    "Plan",
    "Tile",
    "Tiling",
    "coefficient",
    "direct_store",
    "has_masks",
    "plan",
    "wide_dtype",
]

#: bytes of the panel of b that is read again for every row tile (should stay in the first cache)
_PANEL = 32 * 1024
#: bytes of the packed block of a, read again for every panel of b (should stay in the second cache)
_BLOCK = 512 * 1024
#: bytes of the scratch panel that holds finished sums until their epilogue runs
_SUMS = 32 * 1024
#: rows from which a panel of b is copied: it is then aligned, and its rows fill all sets of a cache
_PACK_B_ROWS = 32
#: columns from which a block of a is copied
_PACK_A_COLUMNS = 64
#: bytes between neighbours along the summed dimension, or rows, from which a is copied
_FAR = 512
#: bytes of a below which everything stays in the first cache anyway
_SMALL_A = 24 * 1024
#: fused multiply-adds written out instead of a loop
_UNROLLED = 96


@dataclass(frozen=True, slots=True)
class Tiling:
    """Register tiles of ``rows`` by ``vectors * lanes``; see ``contract_kernels.TileKernel``.

    The loops, outermost first: blocks of ``m_block`` rows, blocks of ``k_block`` terms, panels of
    columns, tiles of rows. ``packs_a`` and ``packs_b`` say how a block of a (a panel of b) is
    copied first, ``""`` that it is read where it is. ``sums`` is where tiles go: ``direct`` to the
    results, to one scratch ``panel`` that the epilogue reads before the next, or to a scratch
    ``block`` of all panels because there are several blocks of terms."""

    rows: int
    vectors: int
    lanes: int
    m_block: int
    k_block: int
    packs_a: Literal["", "rows", "panels"]
    packs_b: Literal["", "elements", "rows", "transpose"]
    sums: Literal["direct", "panel", "block"]
    size: int
    columns_in_all: int

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes

    @property
    def whole(self) -> bool:
        """Whether every panel has all its columns."""
        return self.columns_in_all % self.columns == 0

    @property
    def panel_bytes(self) -> int:
        """Bytes of the sums of one block of rows in one panel."""
        return self.m_block * self.columns * self.size

    @property
    def row_bytes(self) -> int:
        """Bytes that a packed block of a takes for each row."""
        gap = 64 if self.packs_a == "rows" else 0
        return _aligned(self.k_block * self.size) + gap

    @property
    def areas(self) -> tuple[int, int, int]:
        """Bytes of scratch memory for packed a, packed b and sums."""
        rows = -(-self.m_block // self.rows) * self.rows
        a = rows * self.row_bytes + 64 if self.packs_a else 0
        b = -(-self.k_block // 8) * 8 * self.columns * self.size if self.packs_b else 0
        panels = -(-self.columns_in_all // self.columns)
        count = {"direct": 0, "panel": 1, "block": panels}[self.sums]
        return a, _aligned(b), _aligned(count * self.panel_bytes)


@dataclass(frozen=True, slots=True)
class Dots:
    """Dot products of ``rows`` by ``columns`` at a time; see ``contract_kernels.DotKernel``."""

    rows: int
    columns: int
    depth: int
    lanes: int
    m_block: int


Plan = Tiling | Dots | Literal["unrolled", "loops"]

#: a register tile that was chosen before: dtype of the sums, lanes, rows, vectors
Tile = tuple[str, int, int, int]


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


def has_masks(machine: Machine, dtype: str) -> bool:
    """Whether the machine loads and stores some lanes of a vector in one instruction."""
    if machine.vector_bytes == 64:
        return True
    return machine.vector_bytes == 32 and BYTES[dtype] >= 4


def plan(product: Product, machine: Machine, known: Set[Tile] = frozenset()) -> Plan:
    """The way to compute a product on a machine.

    Register tiles of the shapes in ``known`` are there already: one of them is taken when it is
    nearly as good as the best."""
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
    return _tiling(product, acc, machine, known)


def _dots(product: Product, most: int) -> Dots:
    """Few vectors of sums: as many rows as hide the latency, more vectors along k if rows lack."""
    m, n, k = product.m.extent, product.n.extent, product.k.extent
    lanes = min(most, _power_of_two(k))
    columns = _divisor(n, 4)
    rows = _divisor(m, 8 if columns == 1 else 4)
    depth = max(1, min(8 // (rows * columns), math.ceil(k / lanes)))
    size = BYTES[wide_dtype(product.acc.dtype)]
    block = max(1, _SUMS // (size * n) // rows) * rows
    return Dots(rows, columns, depth, lanes, min(m, block))


def _divisor(extent: int, most: int) -> int:
    """The largest tile up to ``most`` that leaves no remainder, unless that is much smaller."""
    if extent <= most:
        return extent
    exact = max(d for d in range(1, most + 1) if extent % d == 0)
    return exact if 2 * exact >= most else most


def _power_of_two(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()


def _tiling(product: Product, acc: str, machine: Machine, known: Set[Tile]) -> Tiling:
    m, n, k = product.m.extent, product.n.extent, product.k
    size = BYTES[acc]
    lanes = min(machine.vector_bytes // size, max(2, _power_of_two(n)))
    registers = 32 if machine.vector_bytes == 64 else 16
    rows, vectors = _tile(m, n, lanes, registers, [t[2:] for t in known if t[:2] == (acc, lanes)])
    columns = vectors * lanes
    whole = n % columns == 0
    masks = has_masks(machine, acc)
    k_block = _even_blocks(k.extent, _PANEL // (columns * size), 8)
    several = k_block < k.extent or len(product.sums) > 1
    sums: Literal["direct", "panel", "block"] = "block" if several else "panel"
    if direct_store(product) is not None and (whole or masks):
        sums = "direct"
    packs_a = _packs_a(product, acc) if masks else ""
    packs_b = _packs_b(product, acc)
    if packs_b == "transpose" and (columns % 8 or (k.extent % 8 and not masks)):
        packs_b = "elements"
    if packs_b != "transpose" and not masks and not whole:
        packs_b = "elements"
    m_block = m
    if packs_a or sums == "block":
        m_block = _even_blocks(m, _BLOCK // (k_block * size), rows)
    elif sums == "panel":
        m_block = _even_blocks(m, _SUMS // (columns * size), rows)
    return Tiling(rows, vectors, lanes, m_block, k_block, packs_a, packs_b, sums, size, n)


def _even_blocks(extent: int, most: int, multiple: int) -> int:
    """The size of blocks of about equal size up to ``most``, a multiple of ``multiple``."""
    if extent <= most:
        return extent
    count = math.ceil(extent / max(multiple, most))
    return -(-math.ceil(extent / count) // multiple) * multiple


def _aligned(number: int) -> int:
    return -(-number // 64) * 64


def _packs_a(product: Product, acc: str) -> Literal["", "rows", "panels"]:
    """A block of a is copied when it is read several times from places far apart."""
    m, k, size = product.m, product.k, BYTES[acc]
    if product.a.dtype != acc or product.n.extent < _PACK_A_COLUMNS:
        return ""
    if m.extent * k.extent * size <= _SMALL_A or m.extent < 8:
        return ""
    if k.stride_a == 1 and abs(m.stride_a) * size >= _FAR:
        return "rows"
    if m.stride_a == 1 and abs(k.stride_a) * size >= _FAR:
        return "panels"
    return ""


def _packs_b(product: Product, acc: str) -> Literal["", "elements", "rows", "transpose"]:
    """A panel of b is copied when its columns do not lie side by side, or for many rows."""
    n, k = product.n, product.k
    if n.stride_b == 1 or n.extent == 1:
        return "rows" if product.m.extent >= _PACK_B_ROWS and product.b.dtype == acc else ""
    if k.stride_b == 1 and product.b.dtype == acc and BYTES[acc] >= 4:
        return "transpose"
    return "elements"


def _tile(
    m: int, n: int, lanes: int, registers: int, known: list[tuple[int, ...]]
) -> tuple[int, int]:
    """The (rows, vectors) of the register tile with the fewest cycles for an m by n result.

    A remainder of rows costs a second kernel, larger tiles more to compile: a few per cent each; a
    tile that is known costs nothing to compile."""
    best = (math.inf, 1, 1)
    for vectors in range(1, min(6, math.ceil(n / lanes)) + 1):
        for rows in range(1, min(m, 16) + 1):
            if rows * vectors + vectors + 1 > registers:
                break
            cycles = (m // rows) * _cycles(rows, vectors)
            if m % rows:
                cycles += _cycles(m % rows, vectors)
            cycles *= math.ceil(n / (vectors * lanes))
            if (rows, vectors) not in known:
                cycles *= 1.04 + 0.003 * rows * vectors
            if m % rows and (m % rows, vectors) not in known:
                cycles *= 1.06
            best = min(best, (cycles, vectors, rows))
    return best[2], best[1]


def _cycles(rows: int, vectors: int) -> float:
    """Cycles of one step of k: two multiply-adds or loads each, a sum waits four for its last."""
    return max(rows * vectors / 2, (rows + vectors) / 2, 4.0) + 0.5
