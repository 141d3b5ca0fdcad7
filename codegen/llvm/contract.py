"""Contractions as LLVM IR: which way each of a program's is computed, and the loops around it.

``emit_contract`` brings the contraction into shape (``contract_shape``), chooses a way to compute
it (``contract_plan``) and writes that: register tiles (``contract_tiles``), dot products
(``contract_dots``), or straight-line code (``contract_small``). Sums go straight to where they are
stored when the epilogue is just that store; a short epilogue runs on them in registers
(``contract_epilogue``); any other as a vector loop over sums in scratch memory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ...records import replace
from ...thresholds import thresholds
from ..ir import Block, Buffer, Contract, Program, Role, nests
from .contract_plan import Dots, Plan, Tile, Tiling, plan, wide_dtype
from .contract_shape import Product, normalise
from .cost import operations
from .machine import Machine
from .stops import ask_after

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["Contractions", "emit_contract"]


class Contractions:
    """The contractions of a program, planned together so that they share register tiles.

    ``program`` is the program with the buffer ``scratch`` added when one of them needs it."""

    def __init__(self, program: Program, machine: Machine) -> None:
        self.machine = machine
        self._ways: dict[int, tuple[Contract, Product, Plan]] = {}
        known: set[Tile] = set()
        most = 0
        for kernel in program.kernels:
            for statement in nests(kernel.body):
                if isinstance(statement, Contract):
                    product = normalise(statement)
                    way = plan(product, machine, known)
                    self._ways[id(statement)] = (statement, product, way)
                    if isinstance(way, Tiling):
                        most = max(most, sum(way.areas))
                        acc = wide_dtype(product.acc.dtype)
                        known.add((acc, way.lanes, way.rows, way.vectors))
        self.program, self.scratch = program, None
        if most > thresholds.stack_scratch:
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

    inside = way.inside if isinstance(way, Tiling) else ()
    outer = [d for d in product.outer if d not in inside]

    work = operations(Block((contract,))) // max(1, math.prod(d.extent for d in outer))

    def over(depth: int) -> None:
        if depth == len(outer):
            _emit_core(e, product, way)
            return
        dim = outer[depth]

        def body(variable: str, _: list[str]) -> list[str]:
            e.bind(dim.var, variable)
            ask_after(e, work, contract)
            over(depth + 1)
            return []

        e.counted_loop(dim.extent, body, hint=dim.role)

    over(0)


def _emit_core(e: Emitter, product: Product, way: Plan) -> None:
    if isinstance(way, Tiling) and 2 * way.rows * way.columns * way.terms >= thresholds.plain_tile:
        e.drives()
    else:
        e.computes()
    match way:  # each is much code, loaded by the first that is computed so
        case Tiling():
            from .contract_tiles import Tiles

            Tiles(e, product, way).emit()
        case Dots():
            from .contract_dots import DotRows

            DotRows(e, product, way).emit()
        case "unrolled":
            from .contract_small import emit_unrolled

            emit_unrolled(e, product, e.machine)
        case "loops":
            from .contract_small import emit_loops

            emit_loops(e, product)
