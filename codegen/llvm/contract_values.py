"""Vectors of single dtypes inside the kernels of contractions: splats, masks, sums.

Every function takes its number of lanes; with 0 lanes values are scalars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir import BYTES
from ..scalars import FLOATS, SIGNED
from .types import constant_text, memory_type, suffix, vector_type

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = [
    "add",
    "convert",
    "masks",
    "multiply_add",
    "offset",
    "splat",
    "zero",
]


def splat(e: Emitter, value: str, lanes: int, kind: str) -> str:
    """A vector of equal elements of an LLVM type."""
    vector = f"<{lanes} x {kind}>"
    one = e.value(f"insertelement {vector} poison, {kind} {value}, i64 0", "s")
    zeros = f"<{lanes} x i32> zeroinitializer"
    return e.value(f"shufflevector {vector} {one}, {vector} poison, {zeros}", "s")


def convert(e: Emitter, value: str, lanes: int, source: str, target: str) -> str:
    """A vector (or with ``lanes`` 0 a scalar) as loaded from memory, widened to ``target``."""
    if source == target:
        return value
    have = memory_type(source) if not lanes else vector_type(lanes, source)
    want = memory_type(target) if not lanes else vector_type(lanes, target)
    if source in FLOATS:
        with e.with_lanes(lanes or 1):
            return e.cast(value, source, target)
    if target in FLOATS:
        word = "sitofp" if source in SIGNED else "uitofp"
    elif BYTES[source] == BYTES[target]:
        return value
    else:
        word = "sext" if source in SIGNED else "zext"
    return e.value(f"{word} {have} {value} to {want}", "w")


def multiply_add(e: Emitter, x: str, y: str, total: str, lanes: int, dtype: str) -> str:
    """``x * y + total``: one rounding for floats where the machine can, wrapping for integers."""
    vector = vector_type(lanes, dtype) if lanes else memory_type(dtype)
    if dtype in FLOATS:
        name = f"@llvm.fmuladd.{suffix(lanes, dtype)}"
        return e.value(f"call {vector} {name}({vector} {x}, {vector} {y}, {vector} {total})", "f")
    term = e.value(f"mul {vector} {x}, {y}", "f")
    return e.value(f"add {vector} {total}, {term}", "f")


def zero(lanes: int, dtype: str) -> str:
    """The literal 0 in all lanes."""
    return "zeroinitializer" if lanes else constant_text(0, dtype)


def masks(e: Emitter, count: str, vectors: int, lanes: int) -> list[str]:
    """For each vector a mask of the lanes whose number is below ``count`` (an i64)."""
    short = e.value(f"trunc i64 {count} to i32", "n")
    many = splat(e, short, lanes, "i32")
    found = []
    for v in range(vectors):
        numbers = ", ".join(f"i32 {v * lanes + n}" for n in range(lanes))
        found.append(e.value(f"icmp ugt <{lanes} x i32> {many}, <{numbers}>", "mask"))
    return found


def offset(e: Emitter, pointer: str, amount: str | int) -> str:
    """A pointer so many bytes on."""
    if str(amount) == "0":
        return pointer
    return e.value(f"getelementptr i8, ptr {pointer}, i64 {amount}", "p")


def add(e: Emitter, x: str, y: str, lanes: int, dtype: str) -> str:
    """``x + y``."""
    word = "fadd" if dtype in FLOATS else "add"
    return e.value(f"{word} {vector_type(lanes, dtype)} {x}, {y}", "f")
