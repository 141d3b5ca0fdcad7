"""Loads and stores of vectors, of which a mask says which lanes touch memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir import BYTES
from .types import suffix, vector_type

if TYPE_CHECKING:
    from .writer import Writer

__all__ = ["masked_load", "masked_store"]


def masked_load(e: Writer, pointer: str, mask: str, lanes: int, dtype: str) -> str:
    """The elements that the mask selects, 0 elsewhere; without a mask all of them."""
    vector = vector_type(lanes, dtype)
    if not mask:
        return e.value(f"load {vector}, ptr {pointer}, align {BYTES[dtype]}", "v")
    name = f"@llvm.masked.load.{suffix(lanes, dtype)}.p0"
    bits = f"<{lanes} x i1>"
    e.declare(f"{vector} {name}(ptr, i32 immarg, {bits}, {vector})")
    arguments = f"ptr {pointer}, i32 {BYTES[dtype]}, {bits} {mask}, {vector} zeroinitializer"
    return e.value(f"call {vector} {name}({arguments})", "v")


def masked_store(e: Writer, value: str, pointer: str, mask: str, lanes: int, dtype: str) -> None:
    """Store the elements that the mask selects; without a mask all of them."""
    if not mask:
        kind = vector_type(lanes, dtype)
        e.line(f"store {kind} {value}, ptr {pointer}, align {BYTES[dtype]}")
        return
    vector, name = vector_type(lanes, dtype), f"@llvm.masked.store.{suffix(lanes, dtype)}.p0"
    bits = f"<{lanes} x i1>"
    e.declare(f"void {name}({vector}, ptr, i32 immarg, {bits})")
    e.line(f"call void {name}({vector} {value}, ptr {pointer}, i32 {BYTES[dtype]}, {bits} {mask})")
