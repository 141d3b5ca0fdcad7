"""Contractions as LLVM IR: tiles of sums in registers, then the epilogue on each finished panel.

``emit_contract`` brings the contraction into shape (``contract_shape``), chooses a way to compute
it (``contract_plan``) and writes the loops around the kernels of ``contract_kernels``. Sums go
straight to where they are stored when the epilogue is just that store; otherwise to a scratch panel
on the stack, on which the epilogue then runs as an ordinary vector loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..ir import (
    BYTES,
    Block,
    Buffer,
    Const,
    Contract,
    Dim,
    Index,
    Let,
    Load,
    Loop,
    Mode,
    Program,
    Role,
    Var,
    walk,
)
from .contract_kernels import (
    DotKernel,
    PackKernel,
    TileKernel,
    copy_kernel,
    dot_kernel,
    offset,
    pack_kernel,
    tile_kernel,
)
from .contract_plan import Dots, Plan, Tile, Tiling, direct_store, has_masks, plan, wide_dtype
from .contract_shape import Product, normalise
from .contract_small import emit_loops, emit_unrolled
from .instructions import memory_type
from .machine import Machine

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["Contractions", "emit_contract"]

#: scratch memory of one contraction up to this many bytes is on the stack
STACK_SCRATCH = 48 * 1024


class Contractions:
    """The contractions of a program, planned together so that they share register tiles.

    ``program`` is the program with the buffer ``scratch`` added when one of them needs it."""

    def __init__(self, program: Program, machine: Machine) -> None:
        self.machine = machine
        self._ways: dict[int, tuple[Contract, Product, Plan]] = {}
        known: set[Tile] = set()
        most = 0
        for kernel in program.kernels:
            for statement in walk(kernel.body):
                if isinstance(statement, Contract):
                    product = normalise(statement)
                    way = plan(product, machine, known)
                    self._ways[id(statement)] = (statement, product, way)
                    if isinstance(way, Tiling):
                        most = max(most, sum(way.areas))
                        acc = wide_dtype(product.acc.dtype)
                        known.add((acc, way.lanes, way.rows, way.vectors))
        self.program, self.scratch = program, None
        if most > STACK_SCRATCH:
            start = -(-program.arena // 64) * 64
            self.scratch = Buffer("contraction scratch", "u8", most, Role.TEMP, start)
            buffers = (*program.buffers, self.scratch)
            self.program = replace(program, buffers=buffers, arena=start + most)

    def way(self, contract: Contract) -> tuple[Product, Plan]:
        """How to compute one of the contractions."""
        found = self._ways.get(id(contract))
        if found is not None:
            return found[1], found[2]
        product = normalise(contract)  # made after planning: on its own
        return product, plan(product, self.machine)


def emit_contract(e: Emitter, contract: Contract) -> None:
    """Write a contraction into the function being written."""
    product, way = e.contractions.way(contract)
    if product.empty:
        return
    for var in product.ones:
        e.bind(var, "0")

    def over(depth: int) -> None:
        if depth == len(product.outer):
            _emit_core(e, product, way)
            return
        dim = product.outer[depth]

        def body(variable: str, _: list[str]) -> list[str]:
            e.bind(dim.var, variable)
            over(depth + 1)
            return []

        e.counted_loop(dim.extent, body, hint=dim.role)

    over(0)


def _emit_core(e: Emitter, product: Product, way: Plan) -> None:
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


def _scratch_memory(e: Emitter, count: int) -> str:
    """The pointer to so many bytes: on the stack when they are few."""
    if not count:
        return "null"
    scratch = e.contractions.scratch
    if scratch is not None and count > STACK_SCRATCH:
        return e.pointer(scratch)
    return e.entry_alloca(f"[{count} x i8]", align=64)


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
        self.scratch = Buffer("sums", self.acc, block * columns, Role.TEMP, 0)

    def direct_target(self, m0: str, n0: str) -> tuple[str, int]:
        """Where the results at (m0, n0) are stored, and the bytes from row to row."""
        product, store = self.product, self.direct
        assert store is not None
        row, column = Var("i64"), Var("i64")
        self.e.bind(row, m0)
        self.e.bind(column, n0)
        names = {product.m.var: row, product.n.var: column}
        terms = tuple((names.get(v, v), c) for v, c in store.index.terms)
        pointer = self.e.address(store.buffer, Index(terms, store.index.offset))
        step = sum(c for v, c in store.index.terms if v is product.m.var)
        return pointer, step * self.size

    def finish(self, sums: str, m0: str, n0: str, rows: str, columns: str) -> None:
        """The epilogue on a scratch panel of sums."""
        e, product = self.e, self.product
        e.bind_pointer(self.scratch, sums)
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
    """Blocks of rows, blocks of terms, panels of columns, tiles of rows."""

    def __init__(self, e: Emitter, product: Product, way: Tiling) -> None:
        super().__init__(e, product, way.m_block, way.columns)
        self.way = way
        if way.sums != "direct":
            self.direct = None
        self.adds = self.adds or way.k_block < product.k.extent
        bytes_a, bytes_b, bytes_sums = way.areas
        memory = _scratch_memory(e, bytes_a + bytes_b + bytes_sums)
        self.packed_a = memory
        self.packed_b = offset(e, memory, bytes_a)
        self.sums_pointer = offset(e, memory, bytes_a + bytes_b)

    def emit(self) -> None:
        e, product, way = self.e, self.product, self.way

        def block(m0: str, rows: str) -> None:
            a = offset(e, self.a, times(e, m0, product.m.stride_a * self.size_a))

            def terms(a: str, b: str, more: str) -> None:
                self._blocks_of_terms(a, b, more, m0, rows)

            self.over_sums(a, self.b, terms)
            if way.sums == "block":
                self._over_panels(lambda n0, columns: self._finish(m0, n0, rows, columns))

        self.over_rows(block)

    def _over_panels(self, body: Callable[[str, str], None]) -> None:
        e, n, columns = self.e, self.product.n.extent, self.way.columns

        def panel(j: str, _: list[str]) -> list[str]:
            n0 = times(e, j, columns)
            body(n0, least(e, columns, n, n0, columns))
            return []

        e.counted_loop(-(-n // columns), panel, hint="panel")

    def _target(self, m0: str, n0: str) -> tuple[str, int]:
        """Where the sums of the panel at (m0, n0) go, and the bytes from row to row."""
        if self.direct is not None:
            return self.direct_target(m0, n0)
        way = self.way
        pointer = self.sums_pointer
        if way.sums == "block":
            pointer = offset(self.e, pointer, times(self.e, n0, way.m_block * self.size))
        return pointer, way.columns * self.size

    def _finish(self, m0: str, n0: str, rows: str, columns: str) -> None:
        self.finish(self._target(m0, n0)[0], m0, n0, rows, columns)

    def _blocks_of_terms(self, a: str, b: str, more: str, m0: str, rows: str) -> None:
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
            self._block(_Block(here_a, here_b, again, terms, m0, rows))
            return []

        e.counted_loop(-(-k.extent // way.k_block), block, hint="kblock")

    def _block(self, block: _Block) -> None:
        e, product, way = self.e, self.product, self.way
        a_row, a_step = product.m.stride_a * self.size_a, product.k.stride_a * self.size_a
        a = block.a
        if way.packs_a:
            self._pack_a(block)
            a, a_row = self.packed_a, way.row_bytes
            a_step = self.size if way.packs_a == "rows" else way.rows * self.size

        def panel(n0: str, columns: str) -> None:
            b, b_step, b_dtype = self._panel_of_b(block, n0, columns)
            target, step = self._target(block.m0, n0)

            between = self.size if way.packs_a == "panels" else a_row

            def call(row: str, tile: int) -> None:
                kernel = TileKernel(
                    product.a.dtype, b_dtype, self.acc, tile, way.vectors, way.lanes, self.adds,
                    between if way.vectors == 1 else 0,
                    masks_b=not way.whole and not way.packs_b,
                    masks_c=not way.whole and way.sums == "direct",
                )  # fmt: skip
                name = tile_kernel(e, kernel)
                here = offset(e, a, times(e, row, a_row))
                goal = offset(e, target, times(e, row, step))
                e.line(
                    f"call void {name}(ptr {here}, i64 {between}, i64 {a_step}, ptr {b}, "
                    f"i64 {b_step}, ptr {goal}, i64 {step}, i64 {block.terms}, i64 {columns}, "
                    f"i1 {block.more})"
                )

            self.row_tiles(block.rows, way.rows, call)
            if way.sums == "panel":
                self.finish(target, block.m0, n0, block.rows, columns)

        self._over_panels(panel)

    def _panel_of_b(self, block: _Block, n0: str, columns: str) -> tuple[str, int, str]:
        """The panel of b at column n0, packed if it should be: pointer, bytes per term, dtype."""
        e, product, way = self.e, self.product, self.way
        b_step, n_step = product.k.stride_b * self.size_b, product.n.stride_b * self.size_b
        b = offset(e, block.b, times(e, n0, n_step))
        if not way.packs_b:
            return b, b_step, product.b.dtype
        kernel = PackKernel(way.packs_b, product.b.dtype, self.acc, way.columns, way.lanes)
        e.line(
            f"call void {pack_kernel(e, kernel)}(ptr {b}, i64 {b_step}, i64 {n_step}, "
            f"ptr {self.packed_b}, i64 {block.terms}, i64 {columns})"
        )
        return self.packed_b, way.columns * self.size, self.acc

    def _pack_a(self, block: _Block) -> None:
        """Copy a block of a: "rows" as rows of k, "panels" as tiles of rows with k outside."""
        e, product, way = self.e, self.product, self.way
        a_row, a_step = product.m.stride_a * self.size_a, product.k.stride_a * self.size_a
        if way.packs_a == "rows":
            name = copy_kernel(e, product.a.dtype, e.machine.vector_bytes // self.size_a)
            e.line(
                f"call void {name}(ptr {block.a}, i64 {a_row}, ptr {self.packed_a}, "
                f"i64 {way.row_bytes}, i64 {block.rows}, i64 {block.terms})"
            )
            return
        lanes = min(e.machine.vector_bytes // self.size_a, 1 << (way.rows - 1).bit_length())
        kernel = PackKernel("rows", product.a.dtype, self.acc, way.rows, lanes)
        name = pack_kernel(e, kernel)

        def call(row: str, tile: int) -> None:
            here = offset(e, block.a, times(e, row, a_row))
            goal = offset(e, self.packed_a, times(e, row, way.row_bytes))
            e.line(
                f"call void {name}(ptr {here}, i64 {a_step}, i64 {a_row}, ptr {goal}, "
                f"i64 {block.terms}, i64 {tile})"
            )

        self.row_tiles(block.rows, way.rows, call)


@dataclass(frozen=True, slots=True)
class _Block:
    """One block of rows and terms: where a and b start, whether sums go on, its extents."""

    a: str
    b: str
    more: str
    terms: str
    m0: str
    rows: str


class _DotRows(_Panels):
    """Blocks of rows, each row tile against all columns; sums along vectors of k."""

    def __init__(self, e: Emitter, product: Product, way: Dots) -> None:
        super().__init__(e, product, way.m_block, product.n.extent)
        self.way = way
        if self.direct is None:
            count = way.m_block * product.n.extent
            kind = f"[{count} x {memory_type(self.acc)}]"
            self.sums_pointer = e.entry_alloca(kind, align=64)

    def emit(self) -> None:
        self.over_rows(self._block)

    def _block(self, m0: str, rows: str) -> None:
        e, product, way = self.e, self.product, self.way
        a = offset(e, self.a, times(e, m0, product.m.stride_a * self.size_a))
        target, step = self._target(m0)
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
        if self.direct is None:
            self.finish(target, m0, "0", rows, str(n))

    def _target(self, m0: str) -> tuple[str, int]:
        if self.direct is not None:
            return self.direct_target(m0, "0")
        return self.sums_pointer, self.product.n.extent * self.size

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
                has_masks(e.machine, product.a.dtype) and has_masks(e.machine, product.b.dtype),
            )  # fmt: skip
            name = dot_kernel(e, kernel)
            here = offset(e, a, times(e, row, a_row))
            goal = offset(e, target, times(e, row, step))
            e.line(
                f"call void {name}(ptr {here}, i64 {a_row}, ptr {b}, i64 {b_row}, ptr {goal}, "
                f"i64 {step}, i64 {self.size}, i64 {product.k.extent}, i1 {more})"
            )

        self.row_tiles(rows, way.rows, call)
