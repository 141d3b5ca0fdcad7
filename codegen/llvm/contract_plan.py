"""How a contraction is computed: which way, with which register tile, in which blocks.

All choices depend on the shape and the machine alone, never on the data or on threads, so the order
of every sum is fixed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from typing import Literal

from ...records import record
from ...thresholds import thresholds
from ..ir import BYTES, Buffer, Dim, Load, Store, Var, walk
from .contract_epilogue import fits_registers
from .contract_shape import Product
from .machine import Machine

__all__ = [
    "Dots",
    "Plan",
    "Tile",
    "Tiling",
    "coefficient",
    "direct_store",
    "partial_store",
    "plan",
    "turns_in_registers",
    "wide_dtype",
]


Pack = Literal["", "elements", "rows", "transpose"]


@record(frozen=True, slots=True)
class Tiling:
    """Register tiles of ``rows`` by ``vectors * lanes``; see ``contract_kernels.TileKernel``.

    Blocks have ``n_block`` columns, ``m_block`` rows and ``k_block`` terms of the fastest summed
    dimension; ``levels`` summed dimensions run inside the kernels, the others around them.
    ``inside`` are dimensions of a that run inside a block of columns. ``packs_a`` and ``packs_b``
    say how a block of a (a panel of b) is copied first, ``""`` that it is read where it is; with
    ``shares_b`` all panels of a block are copied at once.

    ``target`` is where tiles put sums: the ``result``, a ``panel`` of scratch memory, or ``full``
    scratch memory for all rows. ``finish`` is how the epilogue runs: it is ``stored`` by that, on
    ``registers`` at the end of a tile, or in ``loops`` over the target. ``several`` says that there
    are several blocks of terms: the target then holds partial sums between them."""

    rows: int
    vectors: int
    lanes: int
    m_block: int
    n_block: int
    k_block: int
    levels: int
    packs_a: Pack
    packs_b: Pack
    shares_b: bool
    target: Literal["result", "panel", "full", ""]
    finish: Literal["stored", "registers", "loops"]
    several: bool
    inside: tuple[Dim, ...]
    size: int
    terms: int
    all_rows: int
    n: int

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes

    @property
    def whole(self) -> bool:
        """Whether every panel has all its columns."""
        return self.n % self.columns == 0

    @property
    def terms_in_memory(self) -> int:
        """Terms that a packed panel or tile of rows has room for: squares go past the last."""
        return -(-self.terms // 8) * 8 + (8 if self.levels > 1 else 0)

    @property
    def panel_bytes(self) -> int:
        """Bytes of a packed panel of b."""
        return _aligned(self.terms_in_memory * self.columns * self.size)

    @property
    def areas(self) -> tuple[int, int, int]:
        """Bytes of scratch memory for packed a, packed b and sums."""
        rows = -(-self.m_block // self.rows) * self.rows
        a = rows * self.terms_in_memory * self.size + 64 if self.packs_a else 0
        panels = -(-self.n_block // self.columns) if self.shares_b else 1
        b = panels * self.panel_bytes + 64 if self.packs_b else 0
        width = {"panel": self.columns, "full": self.n_block}.get(self.target, 0)
        height = self.all_rows if self.target == "full" else self.m_block
        return _aligned(a), _aligned(b), _aligned(height * width * self.size)


@record(frozen=True, slots=True)
class Dots:
    """Dot products of ``rows`` by ``columns`` at a time; see ``contract_kernels.DotKernel``. Blocks
    have ``m_block`` rows and ``k_block`` terms of the fastest summed dimension."""

    rows: int
    columns: int
    depth: int
    lanes: int
    m_block: int
    k_block: int


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
    return store if _holds_sums(store, product) else None


def partial_store(product: Product) -> Store | None:
    """A store to where partial sums may be kept meanwhile: nothing else reads or writes there."""
    uses: dict[Buffer, int] = {product.a: 2, product.b: 2}
    for statement in walk(product.epilogue):
        if isinstance(statement, Load | Store):
            read = 2 if isinstance(statement, Load) else 1
            uses[statement.buffer] = uses.get(statement.buffer, 0) + read
    for statement in product.epilogue.statements:
        if not isinstance(statement, Store) or uses[statement.buffer] > 1:
            continue
        if _holds_sums(statement, product):
            return statement
    return None


def _holds_sums(store: Store, product: Product) -> bool:
    """Whether a store's places can hold sums, side by side along n."""
    if store.buffer.dtype != wide_dtype(product.acc.dtype):
        return False
    return product.n.extent == 1 or coefficient(store, product.n.var) == 1


def coefficient(store: Store, var: Var) -> int:
    """How many elements on the store goes when ``var`` goes up by one."""
    return sum(c for v, c in store.index.terms if v is var)


def turns_in_registers(product: Product, machine: Machine) -> bool:
    """Whether b has its terms side by side, and so few that registers hold a transposed copy."""
    b, acc = product.b.dtype, wide_dtype(product.acc.dtype)
    most = machine.vector_bytes // BYTES[acc]
    if b != acc or BYTES[acc] < 4 or product.n.extent < 2 or product.n.stride_b == 1:
        return False
    few = product.terms <= most and product.n.extent <= most
    return product.k.stride_b == 1 and few and machine.has_masks(acc)


def plan(product: Product, machine: Machine, known: Set[Tile] = frozenset()) -> Plan:
    """The way to compute a product on a machine.

    Register tiles of the shapes in ``known`` are there already: one of them is taken when it is
    nearly as good as the best."""
    acc = wide_dtype(product.acc.dtype)
    most = machine.vector_bytes // BYTES[acc]
    m, n, k, terms = product.m.extent, product.n.extent, product.k, product.terms
    if terms == 0:
        return "loops"
    turned = turns_in_registers(product, machine)
    width = most if product.n.stride_b == 1 or n == 1 or turned else 1
    few, small = thresholds.product_unrolled * (3 if turned else 1), 256 if turned else 64
    if m * terms * math.ceil(n / width) <= few and m * n <= small:
        return "unrolled"
    if terms <= thresholds.product_short_sum:
        return "loops"
    along_k = k.stride_a == 1 and k.stride_b == 1
    short, long = min(m, n), thresholds.product_long_dots * min(m, n)
    if along_k and (short == 1 or (k.extent >= long and short <= thresholds.product_few_rows)):
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
    block = max(1, thresholds.product_sums // (size * n) // rows) * rows
    k_block = k
    if min(m, n) > 4:  # terms are read again: by then they should still be in the second cache
        terms = thresholds.product_block * 2 // ((m + n) * size)
        k_block = _even_blocks(k, max(thresholds.product_dots_block, terms), depth * lanes)
    if wide_dtype(product.acc.dtype) == "f32":
        # Rounding errors grow with the additions in a row: about as many blocks as steps in one.
        step = depth * lanes
        steps = max(2 * thresholds.sum_block, math.isqrt(k_block // step))
        k_block = min(k_block, _even_blocks(k, steps * step, step))
    return Dots(rows, columns, depth, lanes, min(m, block), k_block)


def _divisor(extent: int, most: int) -> int:
    """The largest tile up to ``most`` that leaves no remainder, unless that is much smaller."""
    if extent <= most:
        return extent
    exact = max(d for d in range(1, most + 1) if extent % d == 0)
    return exact if 2 * exact >= most else most


def _power_of_two(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()


def _tiling(product: Product, acc: str, machine: Machine, known: Set[Tile]) -> Tiling:
    m, n = product.m.extent, product.n.extent
    size = BYTES[acc]
    lanes = min(machine.vector_bytes // size, max(2, _power_of_two(n)))
    registers = 32 if machine.vector_bytes == 64 else 16
    shapes = [t[2:] for t in known if t[:2] == (acc, lanes)]
    rows, vectors = _tile(m, n, min(product.terms, 512), lanes, registers, shapes)
    if m == 1 and n * product.terms * size > thresholds.streamed:
        vectors = max(vectors, min(thresholds.streamed_vectors, -(-n // lanes)))
    columns = vectors * lanes
    masks = machine.has_masks(acc) or n % columns == 0
    inside = tuple(d for d in product.outer if d.stride_b == 0 and d.role == product.m.role)
    packs_b = _packs_b(product, acc, m * math.prod(d.extent for d in inside))
    packs_a = _packs_a(product, acc) if machine.has_masks(acc) else ""
    streams = (
        not packs_b and m >= thresholds.streamed_rows and n > columns
        and product.k.stride_b >= n and n * product.terms * size > thresholds.streamed
    )  # fmt: skip
    in_panel = thresholds.product_panel // (columns * size)
    levels, k_block = _terms(product, thresholds.streamed_terms if streams else in_panel)
    finish: Literal["stored", "registers", "loops"] = "loops"
    if masks and direct_store(product):
        finish = "stored"
    elif masks and fits_registers(product):
        finish = "registers"
    stored = partial_store(product) is not None and masks
    if _several(product, levels, k_block) and not stored and not streams:
        levels, k_block = _terms(product, thresholds.product_long_panel // (columns * size))
    several = _several(product, levels, k_block)
    target: Literal["result", "panel", "full", ""] = "panel" if finish == "loops" else ""
    if several or finish == "stored":
        target = "result" if stored else "full"
    all_rows = m * math.prod(d.extent for d in inside)
    if not packs_b or (target == "full" and all_rows * n * size > thresholds.product_columns):
        inside, all_rows = (), m
    run = k_block if levels == 1 else product.k.extent
    if packs_b == "transpose" and (columns % 8 or (run % 8 and not machine.has_masks(acc))):
        packs_b = "elements"
    if packs_b == "rows" and not masks:
        packs_b = "elements"
    terms = k_block * math.prod(d.extent for d in product.sums[len(product.sums) - levels : -1])
    m_block = m
    if packs_a or n > columns:
        m_block = _even_blocks(m, thresholds.product_block // (terms * size), rows)
    if target == "panel":
        m_block = _even_blocks(m, min(m_block, thresholds.product_sums // (columns * size)), rows)
    shares_b = bool(packs_b) and (m_block < m or len(inside) > 0)
    n_block = -(-n // columns) * columns
    if shares_b or target == "full":
        n_block = _even_blocks(n_block, thresholds.product_columns // (terms * size), columns)
    return Tiling(
        rows, vectors, lanes, m_block, n_block, k_block, levels, packs_a, packs_b, shares_b,
        target, finish, several, inside, size, terms, all_rows, n,
    )  # fmt: skip


def _terms(product: Product, most: int) -> tuple[int, int]:
    """How many summed dimensions run inside the kernels, and the block of the fastest of them, so
    that about ``most`` terms do."""
    k = product.k.extent
    if k > most:
        return 1, _even_blocks(k, most, 8)
    levels, terms = 1, k
    for dim in reversed(product.sums[:-1]):
        terms *= dim.extent
        if terms > most:
            break
        levels += 1
    return levels, k


def _several(product: Product, levels: int, k_block: int) -> bool:
    return levels < len(product.sums) or k_block < product.k.extent


def _even_blocks(extent: int, most: int, multiple: int) -> int:
    """The size of blocks of about equal size up to ``most``, a multiple of ``multiple``."""
    if extent <= most:
        return extent
    count = math.ceil(extent / max(multiple, most))
    return -(-math.ceil(extent / count) // multiple) * multiple


def _aligned(number: int) -> int:
    return -(-number // 64) * 64


def _packs_a(product: Product, acc: str) -> Pack:
    """A block of a is copied when it is read several times from places far apart."""
    m, k, size = product.m, product.k, BYTES[acc]
    if product.a.dtype != acc or product.n.extent < thresholds.pack_a_columns:
        return ""
    if m.extent < thresholds.pack_a_rows:
        return ""
    bytes_of_a = m.extent * product.terms * size
    if k.stride_a == 1 and abs(m.stride_a) * size >= thresholds.pack_a_distance:
        return "transpose" if bytes_of_a > thresholds.pack_a_transposed else ""
    if m.stride_a == 1 and abs(k.stride_a) * size >= thresholds.pack_a_distance:
        return "rows" if bytes_of_a > thresholds.pack_a_straight else ""
    return ""


def _packs_b(product: Product, acc: str, rows: int) -> Pack:
    """A panel of b is copied when its columns do not lie side by side, or for many rows."""
    n, k = product.n, product.k
    if n.stride_b == 1 or n.extent == 1:
        return "rows" if rows >= thresholds.pack_b_rows and product.b.dtype == acc else ""
    if k.stride_b == 1 and product.b.dtype == acc and BYTES[acc] >= 4:
        return "transpose"
    return "elements"


def _tile(
    m: int, n: int, k: int, lanes: int, registers: int, known: Sequence[tuple[int, ...]]
) -> tuple[int, int]:
    """The (rows, vectors) of the register tile with the fewest cycles for an m by n result.

    A remainder of rows costs a second kernel, larger tiles more to compile: a few per cent each of
    a small product; a tile that is known costs nothing to compile."""
    best = (math.inf, 1, 1)
    small = min(1.0, 4e6 / (m * n * k))
    for vectors in range(1, min(6, math.ceil(n / lanes)) + 1):
        for rows in range(1, min(m, 16) + 1):
            if rows * vectors + vectors + 1 > registers:
                break
            cycles = (m // rows) * _cycles(rows, vectors, k)
            if m % rows:
                cycles += _cycles(m % rows, vectors, k)
            cycles *= math.ceil(n / (vectors * lanes))
            if (rows, vectors) not in known:
                cycles *= 1 + small * (0.04 + 0.003 * rows * vectors)
            if m % rows and (m % rows, vectors) not in known:
                cycles *= 1 + small * 0.06
            best = min(best, (cycles, vectors, rows))
    return best[2], best[1]


def _cycles(rows: int, vectors: int, k: int) -> float:
    """Cycles of one step of k: two multiply-adds or loads each, a sum waits four for its last; one
    vector alone is rarely loaded in time; before and after the k steps every row is addressed."""
    work = max(rows * vectors / 2 * (1.2 if vectors == 1 else 1), (rows + vectors) / 2, 4.0)
    streamed = 0.15 * vectors if k >= 256 else 0.0  # b comes from the second cache
    return work + streamed + 0.45 + (15 + 0.6 * rows * rows) / k
