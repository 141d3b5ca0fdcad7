"""Contractions in register tiles: the loops around them, and what is copied for them when.

The loops, outermost first: blocks of columns; blocks of terms; dimensions that only a has; blocks
of rows; panels of columns, as wide as a tile; tiles of rows. A block of b is copied before its
first block of rows and serves them all, a block of a before its first panel. ``Tiles.row_blocks``
writes the blocks of rows from one to another: they are independent of each other but for the
scratch memory of ``packed_a`` and ``sums``, and read what was copied of b.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...records import record, replace
from ...thresholds import thresholds
from ..ir import Dim
from .contract_epilogue import Epilogue
from .contract_kernels import TileKernel, tile_kernel
from .contract_pack import SQUARE, PackKernel, pack_kernel
from .contract_panels import Panels, least, scratch_memory, times
from .contract_plan import Tiling, partial_store
from .contract_shape import Product
from .contract_values import offset
from .stops import ask_after

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["Tiles"]


@record(frozen=True, slots=True)
class _Terms:
    """A block of terms: where a and b start in it; how many; whether sums of earlier blocks are
    there (``more``) and whether it is the ``last``: both i1."""

    a: str
    b: str
    terms: str
    more: str = "false"
    last: str = "true"


@record(frozen=True, slots=True)
class _Level:
    """A summed dimension inside a tile kernel; steps in bytes."""

    extent: str
    a_step: int
    b_step: int


class Tiles(Panels):
    def __init__(self, e: Emitter, product: Product, way: Tiling) -> None:
        super().__init__(e, product, way.m_block, way.columns, way.inside)
        self.way = way
        bytes_a, bytes_b, bytes_sums = way.areas
        memory = scratch_memory(e, bytes_a + bytes_b + bytes_sums)
        self.packed_a = memory
        self.packed_b = offset(e, memory, bytes_a)
        self.sums = offset(e, memory, bytes_a + bytes_b)
        self.store = partial_store(product) if way.target == "result" else None
        self.number = "0"  # of the iteration of the dimensions inside
        self.next = ""  # the panel of b after the one in use
        self.epilogue = None
        if way.finish == "registers":
            self.epilogue = Epilogue(product, self.acc, self.store.buffer if self.store else None)

    def emit(self) -> None:
        """Write the contraction."""
        e, n, n_block = self.e, self.product.n, self.way.n_block

        def columns(j: str, _: list[str]) -> list[str]:
            first = times(e, j, n_block)
            count = least(e, n_block, n.extent, first, n_block)
            b = offset(e, self.b, times(e, first, n.stride_b * self.size_b))
            loops = self._loops_over_terms()
            self._over_terms(loops, _Terms(self.a, b, ""), first, count)
            return []

        e.counted_loop(-(-n.extent // n_block), columns, hint="columns")

    # -- blocks of terms ---------------------------------------------------------------------------

    def _loops_over_terms(self) -> list[tuple[int, int, int]]:
        """Trip count and steps in a and b of the loops over terms around the kernels."""
        way, sums = self.way, self.product.sums
        loops = [
            (d.extent, d.stride_a * self.size_a, d.stride_b * self.size_b)
            for d in sums[: len(sums) - way.levels]
        ]
        k = self.product.k
        if way.k_block < k.extent:
            a_step, b_step = k.stride_a * self.size_a, k.stride_b * self.size_b
            blocks = -(-k.extent // way.k_block)
            loops.append((blocks, way.k_block * a_step, way.k_block * b_step))
        return loops

    def _over_terms(
        self, loops: list[tuple[int, int, int]], terms: _Terms, first: str, count: str
    ) -> None:
        if not loops:
            self._block(
                terms if terms.terms else replace(terms, terms=self._all_terms()), first, count
            )
            return
        e, k, way = self.e, self.product.k, self.way
        (extent, a_step, b_step), inner = loops[0], loops[1:]

        def body(i: str, _: list[str]) -> list[str]:
            here = _Terms(
                offset(e, terms.a, times(e, i, a_step)),
                offset(e, terms.b, times(e, i, b_step)),
                "",
                terms.more if i == "0" else _or(e, terms.more, e.value(f"icmp ne i64 {i}, 0")),
                terms.last
                if extent == 1
                else _and(e, terms.last, e.value(f"icmp eq i64 {i}, {extent - 1}")),
            )
            if not inner and way.k_block < k.extent:
                start = times(e, i, way.k_block)
                left = least(e, way.k_block, k.extent, start, way.k_block)
                here = replace(here, terms=left)
            self._over_terms(inner, here, first, count)
            return []

        e.counted_loop(extent, body, hint="terms")

    def _all_terms(self) -> str:
        return str(self.product.k.extent)

    def _block(self, terms: _Terms, first: str, count: str) -> None:
        """One block of terms and columns: everything with a."""
        if self.way.shares_b:
            panels = thresholds.pack_together if self.way.packs_b == "rows" else 1

            def pack(n0: str, columns: str) -> None:
                self._pack_b(terms, first, n0, columns)

            self._over_panels(first, count, pack, panels)
        self._over_inside(
            terms.a, "0", 0, lambda a: self._rows_of(replace(terms, a=a), first, count)
        )

    def _over_inside(self, a: str, number: str, depth: int, body: Callable[[str], None]) -> None:
        if depth == len(self.way.inside):
            self.number = number
            body(a)
            return
        e, dim = self.e, self.way.inside[depth]

        def step(i: str, _: list[str]) -> list[str]:
            e.bind(dim.var, i)
            here = offset(e, a, times(e, i, dim.stride_a * self.size_a))
            following = (
                i if number == "0" else e.value(f"add i64 {times(e, number, dim.extent)}, {i}", "x")
            )
            self._over_inside(here, following, depth + 1, body)
            return []

        e.counted_loop(dim.extent, step, hint=dim.role)

    # -- blocks of rows ----------------------------------------------------------------------------

    def _rows_of(self, terms: _Terms, first: str, count: str) -> None:
        blocks = -(-self.product.m.extent // self.way.m_block)
        self.row_blocks(terms, first, count, "0", blocks)

    def row_blocks(
        self, terms: _Terms, first: str, count: str, start: str, blocks: int | str
    ) -> None:
        """So many blocks of rows from block ``start`` on, for a block of terms and columns."""
        e, m_block = self.e, self.way.m_block

        def block(i: str, _: list[str]) -> list[str]:
            number = i if start == "0" else e.value(f"add nsw i64 {i}, {start}", "x")
            m0 = times(e, number, m_block)
            rows = least(e, m_block, self.product.m.extent, m0, m_block)
            ask_after(e, 2 * m_block * self.way.n_block * self.way.k_block)
            self._row_block(terms, first, count, m0, rows)
            return []

        e.counted_loop(blocks, block, hint="block")

    def _row_block(self, terms: _Terms, first: str, count: str, m0: str, rows: str) -> None:
        e, product, way = self.e, self.product, self.way
        a = offset(e, terms.a, times(e, m0, product.m.stride_a * self.size_a))
        if way.packs_a:
            self._pack_a(replace(terms, a=a), rows)
            a = self.packed_a

        def panel(n0: str, columns: str) -> None:
            if way.packs_b and not way.shares_b:
                self._pack_b(terms, first, n0, columns)
            b = self._panel_of_b(terms, first, n0)
            self.next = offset(e, b, way.panel_bytes) if way.shares_b else ""
            target, step = self._target(m0, first, n0)

            def call(row: str, tile: int) -> None:
                self._call(replace(terms, a=a, b=b), tile, (m0, row), (n0, columns), target, step)

            self.row_tiles(rows, way.rows, call)
            if way.finish == "loops":
                self._finish_panel(terms, target, step, (m0, rows), (n0, columns))

        self._over_panels(first, count, panel)

    def _over_panels(
        self, first: str, count: str, body: Callable[[str, str], None], together: int = 1
    ) -> None:
        """``body(first column, columns)`` for every panel (or so many) of a block of columns."""
        e, columns = self.e, self.way.columns * together

        def panel(j: str, _: list[str]) -> list[str]:
            start = times(e, j, columns)
            width = least(e, columns, count, start, columns)
            body(start if first == "0" else e.value(f"add nsw i64 {start}, {first}", "x"), width)
            return []

        panels: int | str
        if count.isdigit():
            panels = -(-int(count) // columns)
        else:
            up = e.value(f"add nsw i64 {count}, {columns - 1}", "x")
            panels = e.value(f"udiv i64 {up}, {columns}", "panels")
        e.counted_loop(panels, panel, hint="panel")

    # -- results -----------------------------------------------------------------------------------

    def _target(self, m0: str, first: str, n0: str) -> tuple[str, int]:
        """Where the sums at (m0, n0) go, and the bytes from row to row."""
        e, way = self.e, self.way
        if self.store is not None:
            return self.place(self.store, m0, n0)
        if way.target == "full":
            step = way.n_block * self.size
            row = offset(e, self.sums, times(e, self.number, step * self.product.m.extent))
            row = offset(e, row, times(e, m0, step))
            column = n0 if first == "0" else e.value(f"sub nsw i64 {n0}, {first}", "x")
            return offset(e, row, times(e, column, self.size)), step
        return self.sums, way.columns * self.size

    def _finish_panel(
        self, terms: _Terms, sums: str, step: int, rows: tuple[str, str], columns: tuple[str, str]
    ) -> None:
        """The epilogue on a panel, once its sums are complete."""
        e = self.e
        if terms.last == "true":
            self.finish(sums, step, rows, columns)
            return

        def once(_i: str, _: list[str]) -> list[str]:
            self.finish(sums, step, rows, columns)
            return []

        e.counted_loop(e.value(f"zext i1 {terms.last} to i64", "once"), once)

    # -- kernels -----------------------------------------------------------------------------------

    def _levels(self, terms: _Terms) -> list[_Level]:
        """The summed dimensions inside the kernel, the fastest first, as few as possible."""
        way, found = self.way, list[_Level]()
        a_packed, b_packed = way.rows * self.size, way.columns * self.size
        for dim in reversed(self.product.sums[len(self.product.sums) - way.levels :]):
            extent = str(dim.extent) if found or way.levels > 1 else terms.terms
            level = _Level(
                extent,
                a_packed if way.packs_a else dim.stride_a * self.size_a,
                b_packed if way.packs_b else dim.stride_b * self.size_b,
            )
            a_packed, b_packed = a_packed * dim.extent, b_packed * dim.extent
            last = found[-1] if found else None
            if last is not None and (
                level.a_step == last.a_step * int(last.extent)
                and level.b_step == last.b_step * int(last.extent)
            ):
                count = str(int(last.extent) * int(extent))
                found[-1] = replace(last, extent=count)
            else:
                found.append(level)
        return found

    def _fixed(self, levels: list[_Level], tile: int) -> tuple[list[_Level], list[_Level]]:
        """The levels split into those that are written out, the fastest first, and loops."""
        count, number = tile * self.way.vectors, 0
        while number < len(levels) and levels[number].extent.isdigit():
            count *= int(levels[number].extent)
            if count > thresholds.tile_written_out:
                break
            number += 1
        return levels[:number], levels[number:]

    def _call(
        self, terms: _Terms, tile: int, rows: tuple[str, str], columns: tuple[str, str],
        target: str, step: int,
    ) -> None:  # fmt: skip
        """A tile of rows: ``rows`` are the block's first and the tile's place in the block."""
        e, product, way = self.e, self.product, self.way
        (m0, row), (n0, width) = rows, columns
        a_row = product.m.stride_a * self.size_a
        fixed, loops = self._fixed(self._levels(terms), tile)
        inner = loops[0] if loops else _Level("1", 0, 0)
        known_row = a_row if way.vectors == 1 or fixed else 0
        if way.packs_a:
            a_row = way.terms_in_memory * self.size
            known_row = self.size
        # every tile of rows fetches its part of the next panel of b
        pace = 0
        if way.shares_b and len(loops) == 1 and way.areas[1] > thresholds.fetched_panels:
            written_out = math.prod(int(level.extent) for level in fixed)
            iterations = -(-way.m_block // way.rows) * way.terms // written_out
            pace = -(-way.panel_bytes // max(1, iterations))
        kernel = TileKernel(
            self.acc if way.packs_a else product.a.dtype,
            self.acc if way.packs_b else product.b.dtype,
            self.acc, tile, way.vectors, way.lanes, len(loops), way.several, known_row,
            inner.a_step if way.packs_a else 0,
            inner.b_step if way.packs_b else 0,
            masks_b=not way.whole and not way.packs_b,
            masks_c=not way.whole and (way.target == "result" or self.epilogue is not None),
            fixed=tuple((int(f.extent), f.a_step, f.b_step) for f in reversed(fixed)),
            pace=pace, epilogue=self.epilogue,
        )  # fmt: skip
        listed = [
            f"ptr {offset(e, terms.a, times(e, row, a_row))}",
            f"i64 {product.m.stride_a * self.size_a}",
            f"i64 {inner.a_step}",
            f"ptr {terms.b}",
            f"i64 {inner.b_step}",
            f"ptr {offset(e, target, times(e, row, step))}",
            f"i64 {step}",
            f"i64 {inner.extent}",
            f"i64 {width}",
            f"i1 {terms.more}",
        ]
        for level in loops[1:]:
            listed += [f"i64 {level.extent}", f"i64 {level.a_step}", f"i64 {level.b_step}"]
        if pace:
            start = times(e, row, -(-way.panel_bytes // way.m_block))
            listed.append(f"ptr {offset(e, self.next, start)}")
        more = ""
        if self.epilogue is not None:
            at = row if m0 == "0" else e.value(f"add nsw i64 {m0}, {row}", "x")
            listed += [f"i1 {terms.last}", f"i64 {at}", f"i64 {n0}"]
            more = self.epilogue.arguments(e)
        e.line(f"call void {tile_kernel(e, kernel)}({', '.join(listed)}{more})")

    # -- copies ------------------------------------------------------------------------------------

    def _panel_of_b(self, terms: _Terms, first: str, n0: str) -> str:
        """The panel of b at column n0, as the kernels read it."""
        e, way = self.e, self.way
        if way.packs_b and not way.shares_b:
            return self.packed_b
        column = n0 if first == "0" else e.value(f"sub nsw i64 {n0}, {first}", "x")
        if way.packs_b:
            return offset(e, self.packed_b, times(e, column, way.panel_bytes // way.columns))
        return offset(e, terms.b, times(e, column, self.product.n.stride_b * self.size_b))

    def _pack_b(self, terms: _Terms, first: str, n0: str, columns: str) -> None:
        """Copy panels of b, their terms outside."""
        e, product, way = self.e, self.product, self.way
        assert way.packs_b
        kernel = PackKernel(
            way.packs_b, product.b.dtype, self.acc, way.columns, way.lanes, way.whole,
            self._in_squares(),
        )  # fmt: skip
        n_step = product.n.stride_b * self.size_b
        column = n0 if first == "0" else e.value(f"sub nsw i64 {n0}, {first}", "x")
        source = offset(e, terms.b, times(e, column, n_step))
        target = self._panel_of_b(terms, first, n0)
        strides = [d.stride_b * self.size_b for d in self._packed_levels()]
        steps = (product.k.stride_b * self.size_b, n_step)
        self._pack(kernel, strides, source, target, steps, terms.terms, columns, way.panel_bytes)

    def _pack_a(self, terms: _Terms, rows: str) -> None:
        """Copy a block of a as tiles of rows, their terms outside."""
        e, product, way = self.e, self.product, self.way
        assert way.packs_a
        a_row, a_step = product.m.stride_a * self.size_a, product.k.stride_a * self.size_a
        strides = [d.stride_a * self.size_a for d in self._packed_levels()]
        lanes = min(e.machine.vector_bytes // self.size, 1 << (way.rows - 1).bit_length())
        whole = way.packs_a == "rows" and product.m.extent % way.rows == way.m_block % way.rows == 0
        kernel = PackKernel(
            way.packs_a, product.a.dtype, self.acc, way.rows, lanes, whole, self._in_squares()
        )
        row_bytes = way.terms_in_memory * self.size

        def tiles(row: str, count: str) -> None:
            source = offset(e, terms.a, times(e, row, a_row))
            target = offset(e, self.packed_a, times(e, row, row_bytes))
            between = way.rows * row_bytes
            self._pack(
                kernel, strides, source, target, (a_step, a_row), terms.terms, count, between
            )

        if way.packs_a == "rows":
            tiles("0", rows)
        else:
            self.row_tiles(rows, way.rows, lambda row, tile: tiles(row, str(tile)))

    def _in_squares(self) -> bool:
        """Whether all blocks of terms are whole squares of a copy that transposes."""
        k, block = self.product.k.extent, self.way.k_block
        return k % SQUARE == 0 and (block >= k or block % SQUARE == 0)

    def _pack(
        self, kernel: PackKernel, strides: list[int], source: str, target: str,
        steps: tuple[int, int], terms: str, columns: str, panel: int,
    ) -> None:  # fmt: skip
        name = pack_kernel(self.e, kernel)

        def call(here: str, goal: str) -> None:
            self.e.line(
                f"call void {name}(ptr {here}, i64 {steps[0]}, i64 {steps[1]}, "
                f"ptr {goal}, i64 {terms}, i64 {columns}, i64 {panel})"
            )

        self._over_levels(strides, kernel.width, source, target, call)

    def _packed_levels(self) -> tuple[Dim, ...]:
        sums = self.product.sums
        return sums[len(sums) - self.way.levels : -1]

    def _over_levels(
        self, strides: list[int], width: int, source: str, target: str,
        call: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        """``call(from, to)`` for each run of the fastest summed dimension, one behind the other."""
        if not strides:
            call(source, target)
            return
        e, dims = self.e, self._packed_levels()
        dim = dims[len(dims) - len(strides)]
        run = width * self.size * self.product.k.extent
        for inner in dims[len(dims) - len(strides) + 1 :]:
            run *= inner.extent

        def step(i: str, _: list[str]) -> list[str]:
            here = offset(e, source, times(e, i, strides[0]))
            goal = offset(e, target, times(e, i, run))
            self._over_levels(strides[1:], width, here, goal, call)
            return []

        e.counted_loop(dim.extent, step, hint="run")


def _or(e: Emitter, left: str, right: str) -> str:
    return right if left == "false" else e.value(f"or i1 {left}, {right}", "more")


def _and(e: Emitter, left: str, right: str) -> str:
    return right if left == "true" else e.value(f"and i1 {left}, {right}", "last")
