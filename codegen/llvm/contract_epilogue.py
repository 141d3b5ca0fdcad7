"""The epilogue of a contraction on sums that are still in registers, or what stands in its way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...thresholds import thresholds
from ..ir import Block, Buffer, Const, If, Let, Load, Store, Var, walk
from ..scalars import SCALARS
from .contract_shape import Product
from .types import value_type
from .vector_plan import Lanes, analyse

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["Epilogue", "fits_registers"]


class Epilogue:
    """An epilogue as part of tile kernels: each kernel gets what it reads as parameters.

    Kernels reach the buffer ``shared`` by another pointer too: it holds their partial sums."""

    def __init__(self, product: Product, wide: str, shared: Buffer | None) -> None:
        from .emit import buffers_of  # the layer above

        self.product, self.shared = product, shared
        self.loaded = product.acc if product.acc.dtype == wide else Var(wide)
        cast = () if self.loaded is product.acc else (Let(product.acc, "cast", (self.loaded,)),)
        self.block = Block((*cast, *product.epilogue.statements))
        self.buffers = buffers_of(product.epilogue)
        self.lanes = _lanes(product, self.loaded)
        analyse(self.block, self.lanes)

    def _live(self, e: Emitter) -> list[Var]:
        """The values that the epilogue needs from outside."""
        from .split import uses  # the layer above

        product = self.product
        own = {self.loaded, product.m.var, product.n.var, *e.program.sizes}
        found = uses(If(Const(True, "bool"), self.block, Block(()))) - own
        return sorted(found, key=lambda v: v.id)

    def parameters(self, e: Emitter) -> str:
        """What a kernel's header adds, from the comma on: nothing that tells apart the sizes of
        arrays, for which one kernel does."""
        from .program import parameters  # the layer above

        listed = [re.sub(r" dereferenceable\(\d+\)", "", parameters(self.buffers, e, self.shared))]
        listed += [f"{value_type(v.dtype)} %l{n}" for n, v in enumerate(self._live(e))]
        return "".join(f", {text}" for text in listed if text)

    def arguments(self, e: Emitter) -> str:
        """What a call adds, from the comma on."""
        from .program import arguments  # the layer above

        listed = [arguments(self.buffers, e)]
        listed += [f"{value_type(v.dtype)} {e.operand(v)}" for v in self._live(e)]
        return "".join(f", {text}" for text in listed if text)

    def write(
        self, e: Emitter, sums: Sequence[str], vectors: int, lanes: int, mask: Sequence[str]
    ) -> None:
        """The epilogue of a tile's sums, row by row; ``%row`` and ``%column`` say where it is."""
        from .program import bind_parameters  # the layer above

        bind_parameters(self.buffers, e)
        for n, var in enumerate(self._live(e)):
            e.bind(var, f"%l{n}")
        columns = [e.value(f"add i64 %column, {v * lanes}", "n") for v in range(vectors)]
        for r in range(0, len(sums), vectors):
            row = e.value(f"add i64 %row, {r // vectors}", "m")
            self._row(e, sums[r : r + vectors], row, columns, lanes, mask)

    def write_here(
        self, e: Emitter, rows: Sequence[Sequence[str]], first: int, lanes: int, mask: Sequence[str]
    ) -> None:
        """The epilogue of rows of sums from row ``first`` on, in the function being written."""
        for number, sums in enumerate(rows, first):
            columns = [str(v * lanes) for v in range(len(sums))]
            self._row(e, sums, str(number), columns, lanes, mask)

    def _row(
        self, e: Emitter, sums: Sequence[str], row: str, columns: Sequence[str], lanes: int,
        mask: Sequence[str],
    ) -> None:  # fmt: skip
        from .lane_code import LaneCode  # the layer above

        e.bind(self.product.m.var, row)
        for total, column, some in zip(sums, columns, mask, strict=True):
            with e.scope(), e.with_lanes(lanes):
                e.bind(self.product.n.var, column)
                e.bind(self.loaded, total)
                LaneCode(e, self.lanes, some).block(self.block)


def _lanes(product: Product, loaded: Var) -> Lanes:
    return Lanes({product.n.var, loaded}, {product.n.var: 1})


def fits_registers(product: Product) -> bool:
    """Whether the epilogue is short arithmetic that runs on several columns at once."""
    cost = 0
    for statement in walk(product.epilogue):
        match statement:
            case Let():
                row = SCALARS[statement.op]
                if row.native == "mathlib":
                    return False
                cost += row.flops
            case Load() | Store() | If():
                cost += 1
            case _:
                return False
    if cost > thresholds.epilogue_cost:
        return False
    return analyse(product.epilogue, _lanes(product, product.acc))
