"""What a program costs, counted from its loops: operations, bytes moved, memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..records import record
from .ir import (
    BYTES,
    Block,
    Buffer,
    Contract,
    If,
    Kernel,
    Let,
    Load,
    Loop,
    Program,
    Role,
    Store,
    Var,
    While,
)
from .ranges import most_trips, upper_bounds
from .scalars import FLOATS, SCALARS

__all__ = ["KernelCost", "ProgramCost", "kernel_cost", "necessary_bytes", "program_cost"]


@record(frozen=True, slots=True)
class KernelCost:
    """One kernel: floating-point operations, and bytes of the buffers it reads and writes.

    Each buffer counts once, as if caches were large enough for what a kernel reuses; elements
    that a kernel does not touch are not counted where the loops say so. The bodies of loops of
    unknown length count once, both sides of an ``if`` as the costlier."""

    name: str
    flops: int
    bytes_read: int
    bytes_written: int

    @property
    def bytes_moved(self) -> int:
        return self.bytes_read + self.bytes_written


@record(frozen=True, slots=True)
class ProgramCost:
    """A whole program.

    Attributes:
        kernels: one row each.
        arena: bytes of scratch memory.
        peak_memory: bytes of inputs, outputs, constants and scratch together.
    """

    kernels: tuple[KernelCost, ...]
    arena: int
    peak_memory: int

    @property
    def flops(self) -> int:
        return sum(k.flops for k in self.kernels)

    @property
    def bytes_moved(self) -> int:
        return sum(k.bytes_moved for k in self.kernels)

    def __str__(self) -> str:
        rows = [("kernel", "flops", "bytes read", "bytes written")]
        rows += [
            (k.name, f"{k.flops:,}", f"{k.bytes_read:,}", f"{k.bytes_written:,}")
            for k in self.kernels
        ]
        read = sum(k.bytes_read for k in self.kernels)
        written = sum(k.bytes_written for k in self.kernels)
        rows.append(("total", f"{self.flops:,}", f"{read:,}", f"{written:,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            "  ".join(
                [
                    row[0].ljust(widths[0]),
                    *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
                ]
            )
            for row in rows
        ]
        lines.append(f"scratch memory {self.arena:,} bytes, peak memory {self.peak_memory:,} bytes")
        return "\n".join(lines)


def _flops(block: Block, bounds: Mapping[Var, int]) -> int:
    total = 0
    for s in block.statements:
        match s:
            case Let():
                total += SCALARS[s.op].flops if s.result.dtype in FLOATS else 0
            case Loop():
                total += most_trips(s.extent, bounds, 1) * _flops(s.body, bounds)
            case If():
                total += max(_flops(s.then, bounds), _flops(s.otherwise, bounds))
            case While():
                total += _flops(s.condition, bounds) + _flops(s.body, bounds)
            case Contract():
                elements = products = 1
                for dim in s.dims:
                    products *= dim.extent
                    elements *= 1 if dim.role == "k" else dim.extent
                total += 2 * products + elements * _flops(s.epilogue, bounds)
    return total


def _touched(
    block: Block, trips: int, bounds: Mapping[Var, int]
) -> Iterator[tuple[Buffer, bool, int]]:
    """(buffer, whether written, an upper bound of the elements touched) for each access."""
    for s in block.statements:
        match s:
            case Load():
                yield s.buffer, False, trips
            case Store():
                yield s.buffer, True, trips
            case Loop():
                times = trips * most_trips(s.extent, bounds, 1)
                yield from _touched(s.body, times, bounds)
            case If():
                yield from _touched(s.then, trips, bounds)
                yield from _touched(s.otherwise, trips, bounds)
            case While():
                yield from _touched(s.condition, trips, bounds)
                yield from _touched(s.body, trips, bounds)
            case Contract():
                outer = elements = 1
                sizes = {"a": 1, "b": 1}
                for dim in s.dims:
                    elements *= 1 if dim.role == "k" else dim.extent
                    sizes["a"] *= dim.extent if dim.stride_a else 1
                    sizes["b"] *= dim.extent if dim.stride_b else 1
                yield s.a, False, trips * outer * sizes["a"]
                yield s.b, False, trips * outer * sizes["b"]
                yield from _touched(s.epilogue, trips * elements, bounds)


def _traffic(kernels: Iterable[Kernel]) -> dict[tuple[Buffer, bool], int]:
    """(buffer, whether written) -> bytes touched, each element once."""
    seen: dict[tuple[Buffer, bool], int] = {}
    for kernel in kernels:
        bounds = upper_bounds(kernel.body)
        for buffer, written, elements in _touched(kernel.body, 1, bounds):
            seen[buffer, written] = seen.get((buffer, written), 0) + elements
    for buffer, written in seen:
        size = buffer.size if isinstance(buffer.size, int) else seen[buffer, written]
        seen[buffer, written] = min(seen[buffer, written], size) * BYTES[buffer.dtype]
    return seen


def necessary_bytes(program: Program) -> int:
    """The bytes that any program with these results moves: inputs that are used are read once,
    outputs written once."""
    traffic = _traffic(program.kernels)
    return sum(count for (b, _), count in traffic.items() if b.role is not Role.TEMP)


def kernel_cost(kernel: Kernel) -> KernelCost:
    """The cost of one kernel."""
    bounds = upper_bounds(kernel.body)
    read = written_bytes = 0
    for (_, written), count in _traffic([kernel]).items():
        if written:
            written_bytes += count
        else:
            read += count
    return KernelCost(kernel.name, _flops(kernel.body, bounds), read, written_bytes)


def program_cost(program: Program) -> ProgramCost:
    """The cost of a program, kernel by kernel."""
    memory = program.arena
    for buffer in program.buffers:
        if buffer.role is not Role.TEMP and isinstance(buffer.size, int):
            memory += buffer.size * BYTES[buffer.dtype]
    return ProgramCost(tuple(kernel_cost(k) for k in program.kernels), program.arena, memory)
