"""Programs that run with guarded memory: arguments, results and temporaries on pages of their own.

For those who look for a fault. An access beyond an end stops the process and says where it was;
outputs and temporaries are signalling nans (integers: a pattern) before they are written.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..interp import poison
from ..ir import Buffer, Program, Role
from ..scalars import numpy_dtype
from .code import Code
from .emit import Emitter
from .machine import host
from .objects import objects_of
from .pages import Guarded

__all__ = ["GuardError", "GuardedProgram"]


class GuardError(RuntimeError):
    """A program wrote beside its arrays, or left elements of a result unwritten."""


class GuardedProgram:
    """A compiled program; each run has memory of its own, copied from and to plain arrays.

    Args:
        program: verified.
        side: "end" puts guard pages right behind the arrays, "start" right before them.

    >>> from ..text import parse_program
    >>> program = parse_program('''
    ... program p {
    ...   buffer x : f64[3] input
    ...   buffer y : f64[2] output
    ...   kernel k { %0 = load x[2] : f64  store y[1], %0 }
    ... }''')
    >>> arrays = {"x": np.arange(3.0), "y": np.zeros(2)}
    >>> GuardedProgram(program).run(arrays)
    Traceback (most recent call last):
    symflux.codegen.llvm.guard.GuardError: nothing was written to y[0] of p, where y has 2 elements
    """

    def __init__(self, program: Program, side: str = "end", *, fast_math: bool = False) -> None:
        self.program = program
        self.side = side
        emitter = Emitter(program, fast_math=fast_math)
        objects = objects_of(emitter.modules(given_arena=True), host())
        self._arena = emitter.program.arena  # with the scratch memory of contractions
        self._code = Code(objects, host(), ["call"])
        kind = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)
        self._call = kind(self._code.addresses["call"])

    def run(
        self,
        arrays: Mapping[str, np.ndarray[Any, Any]],
        sizes: Sequence[int] = (),
        *,
        partial: bool = False,
    ) -> None:
        """Run on arrays by buffer name; outputs are written in place. With ``partial``, elements of
        outputs that the program does not write keep what they held.

        Raises:
            GuardError: if memory beside an array was written to, or a float of an output was not.
        """
        known = dict(zip(self.program.sizes, sizes, strict=True))
        counts = (ctypes.c_int64 * max(1, len(sizes)))(*sizes)
        held: list[Guarded] = []
        try:
            for buffer in self.program.arguments():
                size = buffer.size if isinstance(buffer.size, int) else known[buffer.size]
                held.append(self._guarded(buffer, size))
                if buffer.role is Role.OUTPUT and not partial:
                    poison(held[-1].array)
                else:
                    held[-1].array[...] = arrays[buffer.name].reshape(-1)
            name = self.program.name
            held.append(Guarded(name, "temporaries", "u1", self._arena, self.side, 64))
            pointers = (ctypes.c_void_p * len(held))(*[each.start for each in held])
            self._call(ctypes.addressof(pointers), ctypes.addressof(counts))
            self._look(held)
            for buffer, each in zip(self.program.arguments(), held, strict=False):
                if buffer.role in (Role.OUTPUT, Role.INOUT):
                    arrays[buffer.name].reshape(-1)[...] = each.array
        finally:
            for each in held:
                each.close()

    def _guarded(self, buffer: Buffer, size: int) -> Guarded:
        dtype = numpy_dtype(buffer.dtype).str
        return Guarded(self.program.name, buffer.name, dtype, size, self.side)

    def _look(self, held: Sequence[Guarded]) -> None:
        """Refuse what was written beside arrays, and results that are still poison."""
        for each in held:
            if each.trouble():
                raise GuardError(f"something was written to {each.trouble()}")
        for buffer, each in zip(self.program.arguments(), held, strict=False):
            if buffer.role is Role.OUTPUT and buffer.dtype in ("f32", "f64"):
                unwritten = np.empty(1, each.array.dtype)
                poison(unwritten)
                bits = f"u{unwritten.itemsize}"
                left = np.flatnonzero(each.array.view(bits) == unwritten.view(bits))
                if left.size:
                    raise GuardError(f"nothing was written to {each.element(left[0])}")
