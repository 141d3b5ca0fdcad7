"""Where the time of a compiled function goes: its kernels, and their distance from the limits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codegen.cost import kernel_cost
from ..codegen.ir import Kernel, Program, Role
from ..codegen.llvm.clock import Timed, available
from ..codegen.scalars import numpy_dtype
from ..codegen.threads import threads
from ..errors import UnsupportedOperation
from ..records import record
from .execute import plain
from .limits import Limits, measure

if TYPE_CHECKING:
    from .stages import Stages

__all__ = ["KernelTime", "Profile", "profile"]

#: seconds that runs may take together, and how many there are at least and at most
PATIENCE, FEWEST, MOST = 0.25, 3, 1000


@record(frozen=True)
class KernelTime:
    """One kernel.

    Attributes:
        name: as in ``f.kernels``; ``note`` are the lines of the program it comes from.
        seconds: of a run, the median of all.
        share: of the time of all kernels.
        flops, bytes: what it computes and moves (see ``f.cost``).
        roofline: the share of the machine's limit that it reaches: 1 is as fast as computing or
            moving that much can be.
    """

    name: str
    note: str
    seconds: float
    share: float
    flops: int
    bytes: int
    roofline: float

    @property
    def flops_per_second(self) -> float:
        return self.flops / self.seconds if self.seconds else 0.0

    @property
    def bytes_per_second(self) -> float:
        return self.bytes / self.seconds if self.seconds else 0.0


@record(frozen=True)
class Profile:
    """What ``f.profile(*args)`` returns. It prints as a table, the slowest kernels first.

    Attributes:
        kernels: in the order in which they run.
        seconds: of all kernels together.
        runs: how many were measured.
        limits: the machine's, measured as well.
    """

    name: str
    kernels: tuple[KernelTime, ...]
    seconds: float
    runs: int
    limits: Limits

    def slowest(self, count: int = 10) -> tuple[KernelTime, ...]:
        """The kernels that take the most time."""
        return tuple(sorted(self.kernels, key=lambda k: -k.seconds)[:count])

    def __str__(self) -> str:
        rows = [("kernel", "share", "us", "GB/s", "GF/s", "of limit", "bytes", "flops")]
        rows += [
            (
                k.name, f"{100 * k.share:.1f} %", f"{k.seconds * 1e6:,.2f}",
                f"{k.bytes_per_second / 1e9:.1f}", f"{k.flops_per_second / 1e9:.1f}",
                f"{100 * k.roofline:.0f} %", f"{k.bytes:,}", f"{k.flops:,}",
            )
            for k in self.slowest()
        ]  # fmt: skip
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "  ".join(
                [row[0].ljust(widths[0])]
                + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
            )
            for row in rows
        ]
        rest = len(self.kernels) - len(rows) + 1
        if rest > 0:
            lines.append(f"and {rest} more")
        total = f"{self.name}: {self.seconds * 1e6:,.2f} us in {len(self.kernels)} kernels"
        return "\n".join([f"{total}, median of {self.runs} runs", *lines, str(self.limits)])

    __repr__ = __str__


def profile(stages: Stages, values: Sequence[Any]) -> Profile:
    """Run a program with a clock around each kernel. ``values`` are the graph's inputs; those
    that the program overwrites are copied first.

    Raises:
        UnsupportedOperation: where there is no such clock.
    """
    if not available():
        raise UnsupportedOperation("profile needs a POSIX system of 64 bits")
    program = stages.program
    native = Timed(program)
    arrays = _arrays(stages, values)
    native.run(arrays)
    times: list[Any] = []
    end = time.perf_counter() + PATIENCE
    while len(times) < FEWEST or (time.perf_counter() < end and len(times) < MOST):
        native.run(arrays)
        times.append(native.seconds())
    seconds = np.median(times, axis=0)
    limits = measure(threads())
    total = float(seconds.sum())
    kernels = tuple(
        _kernel(kernel, float(s), total, limits)
        for kernel, s in zip(program.kernels, seconds, strict=True)
    )
    return Profile(stages.graph.name, kernels, total, len(times), limits)


def _kernel(kernel: Kernel, seconds: float, total: float, limits: Limits) -> KernelTime:
    cost = kernel_cost(kernel)
    dtype = "f64" if _uses_double(kernel) else "f32"
    least = limits.seconds(cost.flops, cost.bytes_moved, cost.bytes_moved, dtype)
    return KernelTime(
        kernel.name, kernel.note, seconds, seconds / total if total else 0.0,
        cost.flops, cost.bytes_moved, least / seconds if seconds else 0.0,
    )  # fmt: skip


def _uses_double(kernel: Kernel) -> bool:
    from ..codegen.llvm.emit import buffers_of

    return any(b.dtype == "f64" for b in buffers_of(kernel.body))


def _arrays(stages: Stages, values: Sequence[Any]) -> dict[str, Any]:
    """An array for each argument of the program: the inputs, and new ones for the results."""
    program: Program = stages.program
    names = stages.inputs
    given = dict(zip(names, zip(values, stages.optimized.inputs, strict=True), strict=True))
    arrays = {}
    for buffer in program.arguments():
        if buffer.role is Role.OUTPUT:
            arrays[buffer.name] = np.empty(int(str(buffer.size)), numpy_dtype(buffer.dtype))
            continue
        value, node = given[buffer.name]
        array = np.ascontiguousarray(plain(value, node.type))
        arrays[buffer.name] = array.copy() if buffer.role is Role.INOUT else array
    return arrays
