"""The processor code is made for: triple, features, data layout, width of its vectors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite
import llvmlite.binding as binding

from ...once import once
from ...records import record, replace
from ..ir import BYTES

__all__ = ["Machine", "at_level", "host", "missing"]

#: processors that slow down so much on 512-bit vectors that 256-bit ones are faster
_NARROW = frozenset({"skylake-avx512", "cascadelake", "cooperlake"})

#: The levels of x86-64 (System V psABI, "Micro-Architecture Levels"): what each adds to the one
#: before it, in LLVM's names, and the bytes of its vectors.
_LEVELS = {
    "x86-64": ((), 16),
    "x86-64-v2": (("cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3"), 16),
    "x86-64-v3": (("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"), 32),
    "x86-64-v4": (("avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"), 64),
}

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

    @property
    def has_halves(self) -> bool:
        """Whether f16 is converted to f32 and back in one instruction (on x86: F16C)."""
        if not self.triple.startswith(("x86_64", "i686")):
            return True
        return self.cpu in ("x86-64-v3", "x86-64-v4") or "+f16c" in self.features.split(",")

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


def _host_features() -> Any:
    try:
        return binding.get_host_cpu_features()
    except RuntimeError:  # LLVM cannot tell on this system: only what the name implies
        return binding.FeatureMap()


def _made(cpu: str, features: str, vector_bytes: int) -> Machine:
    triple = binding.get_process_triple()
    machine = Machine(triple, cpu, features, "", vector_bytes)
    return replace(machine, layout=str(machine.target_machine().target_data))


def missing(level: str) -> list[str]:
    """The features of a level of x86-64 that the processor of this process does not have.

    >>> missing("x86-64")
    []
    """
    present = _host_features()
    names = list(_LEVELS)
    wanted = [f for n in names[: names.index(level) + 1] for f in _LEVELS[n][0]]
    return [feature for feature in wanted if not present.get(feature)]


def at_level(level: str) -> Machine:
    """Any processor of a level of x86-64, this one or not: code for it can always be made.

    Raises:
        ValueError: if there is no such level, or this process is not an x86-64 one.

    >>> at_level("x86-64-v3").vector_bytes  # doctest: +SKIP
    32
    """
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    if level not in _LEVELS:
        raise ValueError(f"no target {level!r}; there are {', '.join(_LEVELS)}, and native")
    if not binding.get_process_triple().startswith("x86_64"):
        raise ValueError(f"target {level} is for x86-64; this is {binding.get_process_triple()}")
    return _made(level, "", _LEVELS[level][1])


@once
def host() -> Machine:
    """The processor that this process makes code for: the one it runs on, or what the environment
    variable ``SYMFLUX_TARGET`` names (``x86-64-v2``, ``x86-64-v3``, ...).

    Raises:
        ValueError: if this processor cannot run what ``SYMFLUX_TARGET`` names.

    >>> host().vector_bytes in (16, 32, 64)
    True
    """
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    level = os.environ.get("SYMFLUX_TARGET", "")
    if level and level != "native":
        try:
            machine = at_level(level)
        except ValueError as error:
            raise ValueError(f"SYMFLUX_TARGET: {error}") from None
        if absent := missing(level):
            names = ", ".join(absent)
            raise ValueError(f"SYMFLUX_TARGET={level}: this processor does not have {names}")
        return machine
    cpu, features = binding.get_host_cpu_name(), _host_features()
    return _made(cpu, features.flatten(), _vector_bytes(cpu, features))
