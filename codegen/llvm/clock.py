"""The time of each kernel: a program whose ``run`` reads the clock around every kernel."""

from __future__ import annotations

import ctypes
import time
from typing import Any

import numpy as np

from .code import Code
from .emit import Emitter
from .jit import Native
from .machine import host
from .objects import objects_of
from .optimise import ModuleText
from .pool import NOW
from .program import write_program

__all__ = ["Timed", "available"]

#: Nanoseconds of each kernel in the last run, and what reading the clock takes.
_CLOCK = (
    """
@kernel_times_ = internal global [{count} x i64] zeroinitializer, align 8

declare i32 @clock_gettime(i32, ptr)
"""
    + NOW
    + """
define ptr @kernel_times() {{
entry:
  ret ptr @kernel_times_
}}
"""
)


def available() -> bool:
    """Whether this system has the clock that is read (POSIX, 64 bits)."""
    return hasattr(time, "clock_gettime") and ctypes.sizeof(ctypes.c_void_p) == 8


class _Clock:
    """Writes a reading of the clock before and after each kernel."""

    def __init__(self, e: Emitter, kernels: int) -> None:
        self.kernels = kernels
        clock = int(getattr(time, "CLOCK_MONOTONIC", 1))
        e.add_function(_CLOCK.format(count=kernels + 1, clock=clock))

    def around(self, e: Emitter, number: int, line: str) -> None:
        before = e.value("call i64 @now()", "before")
        e.line(line)
        self._keep(e, number, before)
        if number == self.kernels - 1:  # once, two readings with nothing between them
            self._keep(e, self.kernels, e.value("call i64 @now()", "before"))

    def _keep(self, e: Emitter, number: int, before: str) -> None:
        after = e.value("call i64 @now()", "after")
        taken = e.value(f"sub i64 {after}, {before}", "taken")
        slot = e.value(f"getelementptr i64, ptr @kernel_times_, i64 {number}")
        e.line(f"store i64 {taken}, ptr {slot}, align 8")


class Timed(Native):
    """A compiled program that also says how long each of its kernels took, by itself.

    Kernels are the same code as in ``Native``, but small ones are not inlined into ``run``."""

    def _load(self) -> Code:
        parts: list[ModuleText] = []
        emitter = Emitter(self.program, fast_math=self.fast_math, sink=parts.append)
        write_program(emitter, clock=_Clock(emitter, len(self.program.kernels)).around)
        main = emitter.finish()  # hands the last part over
        objects = objects_of([*parts, main], host())
        code = Code(objects, host(), [*emitter.exports(), "kernel_times"])
        where = ctypes.CFUNCTYPE(ctypes.c_void_p)(code.addresses["kernel_times"])()
        count = len(self.program.kernels) + 1
        self._times = (ctypes.c_int64 * count).from_address(where or 0)
        return code

    def seconds(self) -> np.ndarray[Any, Any]:
        """The time of each kernel in the last run, without that of reading the clock."""
        taken = np.array(self._times, np.float64)
        return np.maximum(taken[:-1] - taken[-1], 0.0) * 1e-9
