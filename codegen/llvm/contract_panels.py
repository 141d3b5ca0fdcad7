"""What all loops around the kernels of a contraction share: pointers, scratch, the epilogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...thresholds import thresholds
from ..ir import BYTES, Block, Buffer, Const, Dim, Index, Let, Load, Loop, Mode, Role, Store, Var
from .contract_plan import direct_store, wide_dtype
from .contract_shape import Product
from .contract_values import offset

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["Panels", "least", "scratch_memory", "times"]


def times(e: Emitter, value: str, factor: int) -> str:
    """An i64 times a constant; numbers stay numbers."""
    if value.lstrip("-").isdigit():
        return str(int(value) * factor)
    return value if factor == 1 else e.value(f"mul nsw i64 {value}, {factor}", "x")


def least(e: Emitter, limit: int, total: int | str, start: str, step: int) -> str:
    """``min(limit, total - start)``, a number when every step fits."""
    if not isinstance(total, int) and total.isdigit():
        total = int(total)
    if isinstance(total, int):
        if start.isdigit():
            return str(min(limit, total - int(start)))
        if total % step == 0:
            return str(limit)
    left = e.value(f"sub nsw i64 {total}, {start}", "x")
    return e.value(f"call i64 @llvm.smin.i64(i64 {left}, i64 {limit})", "x")


def scratch_memory(e: Emitter, count: int) -> str:
    """The pointer to so many bytes: on the stack when they are few."""
    if not count:
        return "null"
    scratch = e.contractions.scratch
    if scratch is not None and count > thresholds.stack_scratch:
        return e.pointer(scratch)
    return e.entry_alloca(f"[{count} x i8]", align=64)


class Panels:
    """What tiles and dot products share: operands' pointers, scratch, the loops over sums."""

    def __init__(
        self, e: Emitter, product: Product, block: int, columns: int, inside: tuple[Dim, ...] = ()
    ) -> None:
        self.e, self.product = e, product
        self.acc = wide_dtype(product.acc.dtype)
        self.size = BYTES[self.acc]
        self.block, self.columns = block, columns
        self.size_a, self.size_b = BYTES[product.a.dtype], BYTES[product.b.dtype]
        outer = [d for d in product.outer if d not in inside]
        a_terms = tuple((d.var, d.stride_a) for d in outer if d.stride_a)
        b_terms = tuple((d.var, d.stride_b) for d in outer if d.stride_b)
        oa, ob = product.offset_a, product.offset_b
        self.a = e.address(product.a, Index(oa.terms + a_terms, oa.offset))
        self.b = e.address(product.b, Index(ob.terms + b_terms, ob.offset))
        self.direct = direct_store(product)
        self.scratch = Buffer("sums", self.acc, block * columns, Role.TEMP, 0)

    def place(self, store: Store, m0: str, n0: str) -> tuple[str, int]:
        """Where a store puts what it stores for (m0, n0), and the bytes from row to row."""
        product = self.product
        row, column = Var("i64"), Var("i64")
        self.e.bind(row, m0)
        self.e.bind(column, n0)
        names = {product.m.var: row, product.n.var: column}
        terms = tuple((names.get(v, v), c) for v, c in store.index.terms)
        pointer = self.e.address(store.buffer, Index(terms, store.index.offset))
        step = sum(c for v, c in store.index.terms if v is product.m.var)
        return pointer, step * self.size

    def finish(self, sums: str, step: int, rows: tuple[str, str], columns: tuple[str, str]) -> None:
        """The epilogue on sums in memory, ``step`` bytes from row to row, for (first, how many)
        rows and columns."""
        e, product = self.e, self.product
        e.bind_pointer(self.scratch, sums)
        acc = product.acc
        loaded = acc if acc.dtype == self.acc else Var(self.acc)
        i, m_lets = self._position(product.m, rows[0])
        j, n_lets = self._position(product.n, columns[0])
        place = Index(((i, step // self.size), (j, 1)))
        cast = () if loaded is acc else (Let(acc, "cast", (loaded,)),)
        load = Load(loaded, self.scratch, place)
        inner = Block((*n_lets, load, *cast, *product.epilogue.statements))
        narrow = product.n.extent == 1
        columns_loop = Loop(
            j, self._extent(columns[1]), inner, mode="serial" if narrow else "vector"
        )
        rows_mode: Mode = "vector" if narrow else "serial"
        rows_loop = Loop(i, self._extent(rows[1]), Block((*m_lets, columns_loop)), mode=rows_mode)
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
