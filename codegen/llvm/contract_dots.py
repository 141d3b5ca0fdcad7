"""Contractions of few rows or columns as dot products, along vectors of the summed dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .contract_kernels import DotKernel, dot_kernel
from .contract_panels import Panels, least, times
from .contract_plan import Dots
from .contract_shape import Product
from .contract_values import offset
from .instructions import memory_type

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["DotRows"]


class DotRows(Panels):
    """Blocks of rows, each row tile against all columns; sums along vectors of k."""

    def __init__(self, e: Emitter, product: Product, way: Dots) -> None:
        super().__init__(e, product, way.m_block, product.n.extent)
        self.way = way
        self.adds = len(product.sums) > 1 or way.k_block < product.k.extent
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

        def sums(a: str, b: str, more: str, terms: str) -> None:
            def columns(j: str, _: list[str]) -> list[str]:
                n0 = times(e, j, tile)
                self._tile_rows(a, b, more, terms, rows, n0, tile, target, step)
                return []

            e.counted_loop(n // tile, columns, hint="column")
            if n % tile:
                last = str(n // tile * tile)
                self._tile_rows(a, b, more, terms, rows, last, n % tile, target, step)

        def blocks(a: str, b: str, more: str) -> None:
            k = product.k.extent

            def block(i: str, _: list[str]) -> list[str]:
                k0 = times(e, i, way.k_block)
                again = more
                if i != "0":
                    again = e.value(f"icmp ne i64 {i}, 0", "more")
                    again = again if more == "false" else e.value(f"or i1 {more}, {again}", "more")
                here = offset(e, a, times(e, k0, self.size_a))
                there = offset(e, b, times(e, k0, self.size_b))
                sums(here, there, again, least(e, way.k_block, k, k0, way.k_block))
                return []

            e.counted_loop(-(-k // way.k_block), block, hint="terms")

        self.over_sums(a, self.b, blocks)
        if self.direct is None:
            self.finish(target, step, (m0, rows), ("0", str(n)))

    def _target(self, m0: str) -> tuple[str, int]:
        if self.direct is not None:
            return self.place(self.direct, m0, "0")
        return self.sums_pointer, self.product.n.extent * self.size

    def _tile_rows(
        self, a: str, b: str, more: str, terms: str, rows: str, n0: str, columns: int,
        target: str, step: int,
    ) -> None:  # fmt: skip
        e, product, way = self.e, self.product, self.way
        a_row, b_row = product.m.stride_a * self.size_a, product.n.stride_b * self.size_b
        b = offset(e, b, times(e, n0, b_row))
        target = offset(e, target, times(e, n0, self.size))

        def call(row: str, tile: int) -> None:
            kernel = DotKernel(
                product.a.dtype, product.b.dtype, self.acc, tile, columns, way.depth, way.lanes,
                self.adds,
                e.machine.has_masks(product.a.dtype) and e.machine.has_masks(product.b.dtype),
            )  # fmt: skip
            name = dot_kernel(e, kernel)
            here = offset(e, a, times(e, row, a_row))
            goal = offset(e, target, times(e, row, step))
            e.line(
                f"call void {name}(ptr {here}, i64 {a_row}, ptr {b}, i64 {b_row}, ptr {goal}, "
                f"i64 {step}, i64 {self.size}, i64 {terms}, i1 {more})"
            )

        self.row_tiles(rows, way.rows, call)
