"""A Program as native code in this process.

Each program has its own LLVM contexts, modules and engine, so that dropping the ``Native`` gives
all memory back. Texts (LLVM IR before and after optimisation, assembly) are made again when asked
for.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import llvmlite.binding as binding
import numpy as np

from ... import forking
from ..ir import Program
from ..scalars import numpy_dtype
from .code import Code
from .emit import Emitter
from .machine import Machine, host
from .objects import objects_of
from .optimise import ModuleText, optimise, parse

__all__ = ["Native", "assemble", "compile_program", "joined"]


def assemble(modules: Sequence[ModuleText], machine: Machine) -> tuple[str, str]:
    """(optimised LLVM IR, assembly) of modules, for people to read."""
    optimised, assembly = [], []
    for each in modules:
        context = binding.create_context()
        module = parse(each.text, machine, context)
        target_machine = machine.target_machine(each.options.code_level)
        optimise(module, target_machine, each.options)
        optimised.append(str(module))
        assembly.append(target_machine.emit_assembly(module))
    return "\n".join(optimised), "\n".join(assembly)


def joined(modules: Sequence[ModuleText]) -> str:
    """The texts of modules, for people to read."""
    return "\n".join([each.text for each in modules])


class Native:
    """A compiled Program. Calls from several threads at once are correct.

    ``run`` is for tests and tools (it goes through ctypes); Python's users call through ``pycall``.
    """

    def __init__(self, program: Program, *, fast_math: bool = False) -> None:
        self.program = program
        self.fast_math = fast_math
        self._code = self._load()
        self._call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)(
            self.address
        )
        self._texts: tuple[str, str] | None = None
        self._lock = forking.lock()

    def _load(self) -> Code:
        emitter = Emitter(self.program, fast_math=self.fast_math)
        return Code(objects_of(emitter.modules(), host()), host(), emitter.exports())

    @property
    def address(self) -> int:
        """The address of ``int32 call(void **arguments, int64 *sizes)``."""
        return self._code.addresses["call"]

    @property
    def llvm_ir(self) -> str:
        """The module as it was written, before LLVM's passes."""
        return joined(Emitter(self.program, fast_math=self.fast_math).modules())

    @property
    def llvm_optimized(self) -> str:
        """The module after LLVM's passes."""
        return self._read()[0]

    @property
    def asm(self) -> str:
        """The machine code as assembly."""
        return self._read()[1]

    def _read(self) -> tuple[str, str]:
        with self._lock:
            if self._texts is None:
                emitter = Emitter(self.program, fast_math=self.fast_math)
                self._texts = assemble(emitter.modules(), host())
            return self._texts

    def run(self, arrays: Mapping[str, np.ndarray[Any, Any]], sizes: Sequence[int] = ()) -> None:
        """Run on arrays by buffer name; outputs are written in place.

        Arrays are C-contiguous, of their buffer's dtype and number of elements (ValueError
        otherwise). MemoryError when scratch memory cannot be had."""
        buffers = self.program.arguments()
        values = dict(zip(self.program.sizes, sizes, strict=True))
        pointers = (ctypes.c_void_p * max(1, len(buffers)))()
        for n, buffer in enumerate(buffers):
            array = arrays[buffer.name]
            size = buffer.size if isinstance(buffer.size, int) else values[buffer.size]
            if array.dtype != numpy_dtype(buffer.dtype) or array.size != size:
                raise ValueError(
                    f"buffer {buffer.name} takes {size} elements of {buffer.dtype}; "
                    f"the array has {array.size} of {array.dtype}"
                )
            if not array.flags.c_contiguous:
                raise ValueError(f"the array for buffer {buffer.name} must be C-contiguous")
            pointers[n] = array.ctypes.data
        counts = (ctypes.c_int64 * max(1, len(sizes)))(*sizes)
        if self._call(ctypes.addressof(pointers), ctypes.addressof(counts)):
            raise MemoryError(f"{self.program.name}: {self.program.arena} bytes of scratch memory")


def compile_program(program: Program, *, fast_math: bool = False) -> Native:
    """Compile a program for this machine.

    ``fast_math`` lets float arithmetic be reordered and contracted freely (nan and inf keep their
    meaning)."""
    return Native(program, fast_math=fast_math)
