"""Small contractions: straight-line code, and plain loops where a kernel would not pay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir import BYTES, Block, Buffer, Dim, Index, Let, Load, Loop, Role, Statement, Var
from ..scalars import FLOATS, SCALARS
from .contract_kernels import (
    convert,
    masked_load,
    masked_store,
    multiply_add,
    offset,
    splat,
    zero,
)
from .contract_plan import direct_store, wide_dtype
from .contract_shape import Product
from .instructions import cast_text, constant_text, memory_type
from .machine import host

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["emit_loops", "emit_unrolled"]


def emit_loops(e: Emitter, product: Product) -> None:
    """Loops over m and n with the sum inside: for few terms (then n is the vector loop), and for
    operands that lie side by side along no dimension."""
    acc, wide = product.acc, wide_dtype(product.acc.dtype)
    total: Var | None = None
    sums = [d for d in product.sums if d.extent != 1]
    terms = 1
    for dim in sums:
        terms *= dim.extent
    short = terms <= 4
    body: list[Statement] = []
    if terms == 1:
        total = _product_of(product, wide, body)
    else:
        start = constant_text  # noqa: F841
    raise NotImplementedError
