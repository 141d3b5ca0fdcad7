"""Short constant tables, read by all lanes at once.

A table that fits into two registers is not gathered from memory, which takes an access a lane: x86
processors with 512-bit vectors permute the registers' elements by a vector of indices (Intel 2023,
Software Developer's Manual, VPERMPS and VPERMI2PS), one instruction for all lanes. Elsewhere a
table is memory like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..ir import BYTES, Buffer, Role
from ..scalars import numpy_dtype
from .machine import Machine
from .types import VALUE_TYPES, constant_text

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["constant_memory", "is_short", "write_lookup"]

_REGISTER = 64  # bytes
#: dtype -> (the integer that counts its elements, what the intrinsics call it)
_KINDS = {"f32": ("i32", "ps", "sf"), "f64": ("i64", "pd", "df")}


def is_short(buffer: Buffer, machine: Machine) -> bool:
    """Whether lanes can look a buffer's elements up in registers."""
    return (
        buffer.role is Role.CONST
        and buffer.dtype in _KINDS
        and isinstance(buffer.size, int)
        and buffer.size * BYTES[buffer.dtype] <= 2 * _REGISTER
        and machine.has_permutes
    )


def constant_memory(e: Emitter, buffer: Buffer) -> str:
    """The module-level constant that holds a CONST buffer's elements; written on first use."""
    data = buffer.data or b""
    key = "constant", buffer
    name = e.helpers.get(key)
    if name is None:
        name = e.helpers[key] = e.global_name(f"const_{buffer.name}")
        text = "".join(f"\\{byte:02X}" for byte in data)
        e.add_function(f'{name} = internal constant [{len(data)} x i8] c"{text}", align 64')
    return name


def write_lookup(e: Emitter, buffer: Buffer, numbers: str) -> str:
    """``buffer[numbers]`` in all lanes; ``numbers`` is a vector of i64 inside the table."""
    whole, floats, one = _KINDS[buffer.dtype]
    kind, lanes = VALUE_TYPES[buffer.dtype], e.lanes
    if whole == "i32":
        numbers = e.value(f"trunc <{lanes} x i64> {numbers} to <{lanes} x i32>")
    each = _REGISTER // BYTES[buffer.dtype]
    vector, indices = f"<{each} x {kind}>", f"<{each} x {whole}>"
    elements = np.frombuffer(buffer.data or b"", numpy_dtype(buffer.dtype)).tolist()
    elements += [0.0] * (-len(elements) % each)
    low, *rest = [
        "<" + ", ".join(f"{kind} {constant_text(v, buffer.dtype)}" for v in elements[n : n + each])
        + ">"
        for n in range(0, len(elements), each)
    ]  # fmt: skip
    if rest:
        name = f"@llvm.x86.avx512.vpermi2var.{floats}.512"
        e.declare(f"{vector} {name}({vector}, {indices}, {vector})")
    else:
        name = f"@llvm.x86.avx512.permvar.{one}.512"
        e.declare(f"{vector} {name}({vector}, {indices})")
    found = []
    for first in range(0, lanes, each):
        here = _taken(e, numbers, lanes, whole, first, each)
        second = "".join(f", {vector} {r}" for r in rest)
        found.append(e.value(f"call {vector} {name}({vector} {low}, {indices} {here}{second})"))
    while len(found) > 1:
        length = each * (lanes // each // len(found))
        found = [
            _joined(e, a, b, kind, length) for a, b in zip(found[::2], found[1::2], strict=True)
        ]
    if lanes >= each:
        return found[0]
    return _taken(e, found[0], each, kind, 0, lanes)


def _taken(e: Emitter, vector: str, lanes: int, kind: str, first: int, count: int) -> str:
    """``count`` lanes of a vector from ``first`` on; those that it lacks are arbitrary."""
    if lanes == count:
        return vector
    picks = ", ".join(
        f"i32 {n}" if n < lanes else "i32 poison" for n in range(first, first + count)
    )
    whole = f"<{lanes} x {kind}>"
    return e.value(f"shufflevector {whole} {vector}, {whole} poison, <{count} x i32> <{picks}>")


def _joined(e: Emitter, a: str, b: str, kind: str, length: int) -> str:
    """Two vectors of ``length`` lanes as one."""
    picks = ", ".join(f"i32 {n}" for n in range(2 * length))
    half = f"<{length} x {kind}>"
    return e.value(f"shufflevector {half} {a}, {half} {b}, <{2 * length} x i32> <{picks}>")
