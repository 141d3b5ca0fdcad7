"""The processor code is made for: triple, features, data layout, width of its vectors."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite
import llvmlite.binding as binding

from ...records import record
from ..ir import BYTES

__all__ = ["Machine", "host"]

#: processors that slow down so much on 512-bit vectors that 256-bit ones are faster
_NARROW = frozenset({"skylake-avx512", "cascadelake", "cooperlake"})

_idle: dict[tuple[Machine, int], list[Any]] = {}


@record(frozen=True, slots=True)
class Machine:
    """A processor in LLVM's words. ``vector_bytes`` is the size of its widest useful register."""

    triple: str
    cpu: str
    features: str
    layout: str
    vector_bytes: int

    @property
    def has_permutes(self) -> bool:
        """Whether vectors of 64 bytes can be looked up in registers (AVX-512)."""
        return self.vector_bytes == 64 and self.triple.startswith(("x86_64", "i686"))

    def has_masks(self, dtype: str) -> bool:
        """Whether some lanes of a vector are loaded and stored in one instruction."""
        return self.vector_bytes == 64 or (self.vector_bytes == 32 and BYTES[dtype] >= 4)

    @property
    def maker(self) -> str:
        """The versions of what makes code for it."""
        return f"llvmlite {llvmlite.__version__} LLVM {binding.llvm_version_info}"

    @contextmanager
    def borrowed(self, level: int) -> Iterator[Any]:
        """A TargetMachine that nobody else uses meanwhile; ``level`` is the code generator's
        effort. Those that are not in use are kept: what a new one works out about its processor
        takes a millisecond."""
        idle = _idle.setdefault((self, level), [])
        try:
            found = idle.pop()
        except IndexError:
            found = self.target_machine(level)
        yield found
        idle.append(found)  # not after an error: it may be in any state

    def target_machine(self, level: int = 2) -> Any:
        """A new llvmlite TargetMachine; ``level`` 0 to 3 is the code generator's effort."""
        target = binding.Target.from_triple(self.triple)
        return target.create_target_machine(
            cpu=self.cpu,
            features=self.features,
            opt=level,
            reloc="pic",
            codemodel="small",
            jit=True,
        )


def _vector_bytes(cpu: str, features: dict[str, bool]) -> int:
    if features.get("avx512f") and cpu not in _NARROW:
        return 64
    return 32 if features.get("avx") else 16


@functools.cache
def host() -> Machine:
    """The processor this process runs on.

    >>> host().vector_bytes in (16, 32, 64)
    True
    """
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    cpu = binding.get_host_cpu_name()
    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:  # LLVM cannot tell on this system: only what the name implies
        features = binding.FeatureMap()
    triple = binding.get_process_triple()
    machine = Machine(triple, cpu, features.flatten(), "", _vector_bytes(cpu, features))
    layout = str(machine.target_machine().target_data)
    return Machine(triple, cpu, machine.features, layout, machine.vector_bytes)
