"""Contractions as LLVM IR: tiles of sums in registers, then the epilogue on each finished panel.

``emit_contract`` brings the contraction into shape (``contract_shape``), chooses a way to compute
it (``contract_plan``) and writes the loops around the kernels of ``contract_kernels``. Sums go
straight to where they are stored when the epilogue is just that store; otherwise to a scratch panel
on the stack, on which the epilogue then runs as an ordinary vector loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..ir import BYTES, Block, Buffer, Const, Contract, Dim, Index, Let, Load, Loop, Mode, Role, Var
from .contract_kernels import (
    DotKernel,
    TileKernel,
    dot_kernel,
    offset,
    pack_kernel,
    tile_kernel,
)
from .contract_plan import Dots, Tiling, direct_store, plan, wide_dtype
from .contract_shape import Product, normalise
from .contract_small import emit_loops, emit_unrolled
from .instructions import memory_type

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["emit_contract"]


def emit_contract(e: Emitter, contract: Contract) -> None:
    """Write a contraction into the function being written."""
    product = normalise(contract)
    if product.empty:
        return
    for var in product.ones:
        e.bind(var, "0")

    def over(depth: int) -> None:
        if depth == len(product.outer):
            _emit_core(e, product)
            return
        dim = product.outer[depth]

        def body(variable: str, _: list[str]) -> list[str]:
            e.bind(dim.var, variable)
            over(depth + 1)
            return []

        e.counted_loop(dim.extent, body, hint=dim.role)

    over(0)


def _emit_core(e: Emitter, product: Product) -> None:
    way = plan(product, e.machine)
    match way:
        case Tiling():
            _Tiles(e, product, way).emit()
        case Dots():
            _DotRows(e, product, way).emit()
        case "unrolled":
            emit_unrolled(e, product, e.machine)
        case "loops":
            emit_loops(e, product)


def times(e: Emitter, value: str, factor: int) -> str:
    """An i64 times a constant; numbers stay numbers."""
    if value.lstrip("-").isdigit():
        return str(int(value) * factor)
    return value if factor == 1 else e.value(f"mul nsw i64 {value}, {factor}", "x")


def least(e: Emitter, limit: int, total: int, start: str, step: int) -> str:
    """``min(limit, total - start)``, a number when every step fits."""
    if start.isdigit():
        return str(min(limit, total - int(start)))
    if total % step == 0:
        return str(limit)
    left = e.value(f"sub nsw i64 {total}, {start}", "x")
    return e.value(f"call i64 @llvm.smin.i64(i64 {left}, i64 {limit})", "x")


class _Panels:
    """What tiles and dot products share: operands' pointers, scratch, the loops over sums."""

    def __init__(self, e: Emitter, product: Product, block: int, columns: int) -> None:
        self.e, self.product = e, product
        self.acc = wide_dtype(product.acc.dtype)
        self.size = BYTES[self.acc]
        self.block, self.columns = block, columns
        self.size_a, self.size_b = BYTES[product.a.dtype], BYTES[product.b.dtype]
        outer = product.outer
        a_terms = tuple((d.var, d.stride_a) for d in outer if d.stride_a)
        b_terms = tuple((d.var, d.stride_b) for d in outer if d.stride_b)
        oa, ob = product.offset_a, product.offset_b
        self.a = e.address(product.a, Index(oa.terms + a_terms, oa.offset))
        self.b = e.address(product.b, Index(ob.terms + b_terms, ob.offset))
        self.direct = direct_store(product)
        self.adds = len(product.sums) > 1
        if self.direct is None:
            self.scratch = Buffer("sums", self.acc, block * columns, Role.TEMP, 0)
            kind = f"[{block * columns} x {memory_type(self.acc)}]"
            self.scratch_pointer = e.entry_alloca(kind, align=64)
            e.bind_pointer(self.scratch, self.scratch_pointer)

    def target(self, m0: str, n0: str) -> tuple[str, int]:
        """Where the sums of the panel at (m0, n0) go, and the bytes from row to row."""
        if self.direct is None:
            return self.scratch_pointer, self.columns * self.size
        product, store = self.product, self.direct
        row, column = Var("i64"), Var("i64")
        self.e.bind(row, m0)
        self.e.bind(column, n0)
        names = {product.m.var: row, product.n.var: column}
        terms = tuple((names.get(v, v), c) for v, c in store.index.terms)
        pointer = self.e.address(store.buffer, Index(terms, store.index.offset))
        step = sum(c for v, c in store.index.terms if v is product.m.var)
        return pointer, step * self.size

    def finish(self, m0: str, n0: str, rows: str, columns: str) -> None:
        """The epilogue on the scratch panel."""
        if self.direct is not None:
            return
        e, product = self.e, self.product
        acc = product.acc
        loaded = acc if acc.dtype == self.acc else Var(self.acc)
        i, m_lets = self._position(product.m, m0)
        j, n_lets = self._position(product.n, n0)
        place = Index(((i, self.columns), (j, 1)))
        cast = () if loaded is acc else (Let(acc, "cast", (loaded,)),)
        load = Load(loaded, self.scratch, place)
        inner = Block((*n_lets, load, *cast, *product.epilogue.statements))
        narrow = product.n.extent == 1
        columns_loop = Loop(j, self._extent(columns), inner, mode="serial" if narrow else "vector")
        rows_mode: Mode = "vector" if narrow else "serial"
        rows_loop = Loop(i, self._extent(rows), Block((*m_lets, columns_loop)), mode=rows_mode)
        e.statement(rows_loop)

    def _position(self, dim: Dim, start: str) -> tuple[Var, tuple[Let, ...]]:
        """A loop variable and what makes the dimension's index of it."""
        if start == "0":
            return dim.var, ()
        base, local = Var("i64"), Var("i64", dim.role)
        self.e.bind(base, start)
        return local, (Let(dim.var, "add", (local, base)),)

    def _extent(self, text: str) -> int | Var | Const:
        if text.isdigit():
            return int(text)
        var = Var("i64")
        self.e.bind(var, text)
        return var

    def over_sums(
        self,
        a: str,
        b: str,
        body: Callable[[str, str, str], None],
        outer: int = 0,
        more: str = "false",
    ) -> None:
        """The summed dimensions but the last: ``body(a, b, more)``; first ``more`` is false."""
        e, product = self.e, self.product
        if outer == len(product.sums) - 1:
            body(a, b, more)
            return
        dim = product.sums[outer]

        def step(k: str, _: list[str]) -> list[str]:
            again = "false" if k == "0" else e.value(f"icmp ne i64 {k}, 0", "more")
            if more != "false" and again != "false":
                again = e.value(f"or i1 {more}, {again}", "more")
            elif again == "false":
                again = more
            next_a = offset(e, a, times(e, k, dim.stride_a * self.size_a))
            next_b = offset(e, b, times(e, k, dim.stride_b * self.size_b))
            self.over_sums(next_a, next_b, body, outer + 1, again)
            return []

        e.counted_loop(dim.extent, step, hint="k")

    def row_tiles(self, rows: str, tile: int, call: Callable[[str, int], None]) -> None:
        """``call(row, tile)`` for full tiles of rows, then for the remainder of the last block."""
        e, m = self.e, self.product.m.extent
        left = m % tile

        def full(i: str, _: list[str]) -> list[str]:
            call(times(e, i, tile), tile)
            return []

        if rows.isdigit():
            e.counted_loop(int(rows) // tile, full, hint="row")
            if int(rows) % tile:
                call(str(int(rows) // tile * tile), int(rows) % tile)
            return
        count = e.value(f"udiv i64 {rows}, {tile}", "tiles")
        e.counted_loop(count, full, hint="row")
        if left:
            done = times(e, count, tile)
            rest = e.value(f"icmp ne i64 {done}, {rows}")
            once = e.value(f"zext i1 {rest} to i64", "once")

            def last(i: str, _: list[str]) -> list[str]:
                call(done, left)
                return []

            e.counted_loop(once, last, hint="row")

    def over_rows(self, body: Callable[[str, str], None]) -> None:
        """``body(first row, rows)`` for each block of rows."""
        e, m = self.e, self.product.m.extent

        def step(i: str, _: list[str]) -> list[str]:
            m0 = times(e, i, self.block)
            body(m0, least(e, self.block, m, m0, self.block))
            return []

        e.counted_loop(-(-m // self.block), step, hint="block")


class _Tiles(_Panels):
    """Blocks of rows, panels of columns, blocks of the sum, tiles of rows."""

    def __init__(self, e: Emitter, product: Product, way: Tiling) -> None:
        super().__init__(e, product, way.m_block, way.columns)
        self.way = way
        self.adds = self.adds or way.k_block < product.k.extent
        self.packed = ""
        if way.packs:
            rows = -(-way.k_block // 8) * 8
            kind = f"[{rows * way.columns} x {memory_type(self.acc)}]"
            self.packed = e.entry_alloca(kind, align=64)

    def emit(self) -> None:
        self.over_rows(self._block)

    def _block(self, m0: str, rows: str) -> None:
        e, n, columns = self.e, self.product.n.extent, self.way.columns

        def panel(j: str, _: list[str]) -> list[str]:
            n0 = times(e, j, columns)
            self._panel(m0, rows, n0, least(e, columns, n, n0, columns))
            return []

        e.counted_loop(-(-n // columns), panel, hint="panel")

    def _panel(self, m0: str, rows: str, n0: str, columns: str) -> None:
        e, product = self.e, self.product
        a = offset(e, self.a, times(e, m0, product.m.stride_a * self.size_a))
        b = offset(e, self.b, times(e, n0, product.n.stride_b * self.size_b))
        target, step = self.target(m0, n0)

        def sums(a: str, b: str, more: str) -> None:
            self._blocks_of_sum(a, b, more, rows, columns, target, step)

        self.over_sums(a, b, sums)
        self.finish(m0, n0, rows, columns)

    def _blocks_of_sum(
        self, a: str, b: str, more: str, rows: str, columns: str, target: str, step: int
    ) -> None:
        e, way, k = self.e, self.way, self.product.k

        def block(i: str, _: list[str]) -> list[str]:
            k0 = times(e, i, way.k_block)
            terms = least(e, way.k_block, k.extent, k0, way.k_block)
            again = more
            if i != "0":
                later = e.value(f"icmp ne i64 {i}, 0", "more")
                again = later if more == "false" else e.value(f"or i1 {more}, {later}", "more")
            here_a = offset(e, a, times(e, k0, k.stride_a * self.size_a))
            here_b = offset(e, b, times(e, k0, k.stride_b * self.size_b))
            self._rows(here_a, here_b, again, rows, columns, terms, target, step)
            return []

        e.counted_loop(-(-k.extent // way.k_block), block, hint="kblock")

    def _rows(
        self, a: str, b: str, more: str, rows: str, columns: str, terms: str, target: str, step: int
    ) -> None:
        e, way, product = self.e, self.way, self.product
        b_step, b_dtype = product.k.stride_b * self.size_b, product.b.dtype
        if way.packs:
            pack = pack_kernel(
                e, b_dtype, self.acc, way.lanes, way.vectors, transposes=way.packs == "transpose"
            )
            n_step = product.n.stride_b * self.size_b
            e.line(
                f"call void {pack}(ptr {b}, i64 {b_step}, i64 {n_step}, ptr {self.packed}, "
                f"i64 {terms}, i64 {columns})"
            )
            b, b_step, b_dtype = self.packed, way.columns * self.size, self.acc
        a_row, a_step = product.m.stride_a * self.size_a, product.k.stride_a * self.size_a

        def call(row: str, tile: int) -> None:
            kernel = TileKernel(
                product.a.dtype, b_dtype, self.acc, tile, way.vectors, way.lanes, self.adds
            )
            name = tile_kernel(e, kernel)
            here = offset(e, a, times(e, row, a_row))
            goal = offset(e, target, times(e, row, step))
            e.line(
                f"call void {name}(ptr {here}, i64 {a_row}, i64 {a_step}, ptr {b}, i64 {b_step}, "
                f"ptr {goal}, i64 {step}, i64 {terms}, i64 {columns}, i1 {more})"
            )

        self.row_tiles(rows, way.rows, call)


class _DotRows(_Panels):
    """Blocks of rows, each row tile against all columns; sums along vectors of k."""

    def __init__(self, e: Emitter, product: Product, way: Dots) -> None:
        super().__init__(e, product, way.m_block, product.n.extent)
        self.way = way

    def emit(self) -> None:
        self.over_rows(self._block)

    def _block(self, m0: str, rows: str) -> None:
        e, product, way = self.e, self.product, self.way
        a = offset(e, self.a, times(e, m0, product.m.stride_a * self.size_a))
        target, step = self.target(m0, "0")
        n, tile = product.n.extent, way.columns

        def sums(a: str, b: str, more: str) -> None:
            def columns(j: str, _: list[str]) -> list[str]:
                n0 = times(e, j, tile)
                self._tile_rows(a, b, more, rows, n0, tile, target, step)
                return []

            e.counted_loop(n // tile, columns, hint="column")
            if n % tile:
                self._tile_rows(a, b, more, rows, str(n // tile * tile), n % tile, target, step)

        self.over_sums(a, self.b, sums)
        self.finish(m0, "0", rows, str(n))

    def _tile_rows(
        self, a: str, b: str, more: str, rows: str, n0: str, columns: int, target: str, step: int
    ) -> None:
        e, product, way = self.e, self.product, self.way
        a_row, b_row = product.m.stride_a * self.size_a, product.n.stride_b * self.size_b
        b = offset(e, b, times(e, n0, b_row))
        target = offset(e, target, times(e, n0, self.size))

        def call(row: str, tile: int) -> None:
            kernel = DotKernel(
                product.a.dtype, product.b.dtype, self.acc, tile, columns, way.depth, way.lanes,
                self.adds,
            )  # fmt: skip
            name = dot_kernel(e, kernel)
            here = offset(e, a, times(e, row, a_row))
            goal = offset(e, target, times(e, row, step))
            e.line(
                f"call void {name}(ptr {here}, i64 {a_row}, ptr {b}, i64 {b_row}, ptr {goal}, "
                f"i64 {step}, i64 {self.size}, i64 {product.k.extent}, i1 {more})"
            )

        self.row_tiles(rows, way.rows, call)
