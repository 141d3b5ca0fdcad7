"""A contraction as plain nested loops: batch, m and n outside, the sum inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir import Buffer, Contract, Index, Load, Var
from ..scalars import FLOATS
from .types import constant_text, value_type

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["emit_contract"]


def emit_contract(e: Emitter, contract: Contract) -> None:
    """Write a contraction of any shape, one element after the other."""
    kind = value_type(contract.acc.dtype)
    dims = [d for d in contract.dims if d.role != "k"]
    sums = [d for d in contract.dims if d.role == "k"]

    def factor(buffer: Buffer, offset: Index, strides: list[tuple[Var, int]]) -> str:
        loaded = Var(buffer.dtype)
        terms = tuple(t for t in strides if t[1])
        e.statement(Load(loaded, buffer, Index(offset.terms + terms, offset.offset)))
        return e.cast(e.operand(loaded), buffer.dtype, contract.acc.dtype)

    def product(carried: str) -> str:
        strides_a = [(d.var, d.stride_a) for d in contract.dims]
        strides_b = [(d.var, d.stride_b) for d in contract.dims]
        left = factor(contract.a, contract.offset_a, strides_a)
        right = factor(contract.b, contract.offset_b, strides_b)
        if contract.acc.dtype not in FLOATS:
            return e.value(f"add {kind} {carried}, {e.value(f'mul {kind} {left}, {right}')}")
        term = e.value(f"fmul contract {kind} {left}, {right}")
        return e.value(f"fadd reassoc nsz contract {kind} {carried}, {term}")

    def over_sums(depth: int, carried: str) -> str:
        if depth == len(sums):
            return product(carried)

        def body(variable: str, values: list[str]) -> list[str]:
            e.bind(sums[depth].var, variable)
            return [over_sums(depth + 1, values[0])]

        return e.counted_loop(sums[depth].extent, body, inits=[(kind, carried)], hint="k")[0]

    def over_elements(depth: int) -> None:
        if depth == len(dims):
            e.bind(contract.acc, over_sums(0, constant_text(0, contract.acc.dtype)))
            e.block(contract.epilogue)
            return

        def body(variable: str, values: list[str]) -> list[str]:
            e.bind(dims[depth].var, variable)
            over_elements(depth + 1)
            return []

        e.counted_loop(dims[depth].extent, body, hint=dims[depth].role)

    over_elements(0)
