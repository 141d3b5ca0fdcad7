"""The dtypes and literals of the loop IR in LLVM's spelling."""

from __future__ import annotations

import struct

from ..ir import BYTES
from ..scalars import FLOATS

__all__ = [
    "VALUE_TYPES",
    "constant_text",
    "memory_type",
    "suffix",
    "value_type",
    "vector_type",
]

#: dtype -> LLVM type of a value in a register (a bool is one byte in memory, one bit in a register)
VALUE_TYPES: dict[str, str] = {
    "bool": "i1", "i8": "i8", "i16": "i16", "i32": "i32", "i64": "i64",
    "u8": "i8", "u16": "i16", "u32": "i32", "u64": "i64",
    "f16": "half", "f32": "float", "f64": "double",
}  # fmt: skip


def value_type(dtype: str) -> str:
    """The LLVM type of one value: ``value_type("f64") == "double"``, of a bool ``"i1"``."""
    return VALUE_TYPES[dtype]


def memory_type(dtype: str) -> str:
    """The LLVM type of one element in memory: as a value, except that a bool takes a byte."""
    return "i8" if dtype == "bool" else VALUE_TYPES[dtype]


def vector_type(lanes: int, dtype: str) -> str:
    """The LLVM type of so many elements as they are in memory."""
    return f"<{lanes} x {memory_type(dtype)}>"


def suffix(lanes: int, dtype: str) -> str:
    """How an overloaded intrinsic names the type."""
    kind = memory_type(dtype)
    count = f"v{lanes}" if lanes else ""
    return count + {"half": "f16", "float": "f32", "double": "f64"}.get(kind, kind)


def constant_text(value: bool | int | float, dtype: str) -> str:
    """A literal in LLVM's spelling; floats as bit patterns, so that no digit is lost.

    >>> constant_text(1.0, "f64"), constant_text(255, "u8"), constant_text(1, "bool")
    ('0x3FF0000000000000', '-1', 'true')
    """
    if dtype == "bool":
        return "true" if value else "false"
    if dtype == "f16":
        return f"0xH{struct.unpack('<H', struct.pack('<e', float(value)))[0]:04X}"
    if dtype == "f32":
        value = struct.unpack("<f", struct.pack("<f", float(value)))[0]
    if dtype in FLOATS:
        return f"0x{struct.unpack('<Q', struct.pack('<d', float(value)))[0]:016X}"
    bits = 8 * BYTES[dtype]
    number = int(value) & ((1 << bits) - 1)
    return str(number - (1 << bits) if number >> (bits - 1) else number)
