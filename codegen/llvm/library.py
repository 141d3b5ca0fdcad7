"""Kernels of contractions kept as machine code: found again by other programs, linked to them.

A kernel depends on its parameters, the machine and the thresholds alone. Those that a program needs
and nobody has made yet become one module beside it; its object file is kept under the name of each,
in this process and wherever ``use`` says (the disk). What was found is linked as it is: neither
written nor compiled again. The images of programs hold copies, so that nothing depends on what is
kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from ... import forking
from ...thresholds import changed, thresholds
from ..ir import Program
from .emit import Emitter
from .image import Image
from .machine import Machine
from .optimise import ModuleText

try:  # hashlib would load OpenSSL first
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

__all__ = ["Shelf", "Store", "forget", "use"]


class Store(Protocol):
    """Where images of kernels outlive the process."""

    def recall(self, name: str) -> Image | None:
        """The image kept under a name, if it is there and can be trusted."""

    def remember(self, name: str, image: Image) -> None:
        """Keep an image under a name."""


_lock = forking.lock()
_kept: dict[tuple[Machine, str], Image] = {}
_store: Store | None = None


def use(store: Store | None) -> None:
    """Keep kernels there too, from now on."""
    global _store
    _store = store


def forget() -> None:
    """Drop what this process keeps."""
    with _lock:
        _kept.clear()


def _recall(machine: Machine, name: str) -> Image | None:
    found = _kept.get((machine, name))
    if found is None and _store is not None:
        found = _store.recall(name)
        if found is not None and name not in found.names:
            found = None
        if found is not None:
            _keep(machine, name, found)
    return found


def _keep(machine: Machine, name: str, image: Image) -> None:
    with _lock:
        if len(_kept) >= thresholds.kept_kernels:
            _kept.clear()
        _kept[machine, name] = image


class Shelf:
    """The kernels of one program that are functions outside of its modules."""

    def __init__(self, machine: Machine, program: Program, fast_math: bool) -> None:
        self._machine, self._fast_math = machine, fast_math
        self._program = Program("kernels", (), (), program.sizes)
        self._images: list[Image] = []
        self._provided: set[str] = set()  # names of all functions in what will be linked
        self._missing: list[str] = []
        self._writer: Emitter | None = None

    def function(
        self, kernel: object, hint: str, parameters: str, write: Callable[[Emitter], None]
    ) -> str:
        """The name of a kernel's function, to be declared by whoever calls it; ``write`` writes
        its body where nobody has made it yet. What prints alike is the same kernel."""
        name = self._name(hint, repr(kernel))
        if self._find(name):
            self._write(name, parameters, write)
        return f"@{name}"

    def written_function(self, hint: str, parameters: str, write: Callable[[Emitter], None]) -> str:
        """The same for a kernel that only its text tells apart from others."""
        text = self._write("kernel", parameters, write)
        name = self._name(hint, re.sub(r"!\d+", "!", text))
        if self._find(name):
            assert self._writer is not None
            self._writer.add_function(text.replace("@kernel(", f"@{name}(", 1))
        return f"@{name}"

    def _name(self, hint: str, key: str) -> str:
        whole = f"{key}\0{self._fast_math} {changed()}".encode()
        return f"{hint}_{blake2b(whole, digest_size=12).hexdigest()}"

    def _find(self, name: str) -> bool:
        """Find what provides a function; whether it is missing."""
        if name in self._provided:
            return False
        image = _recall(self._machine, name)
        # what was made together with others comes with them, which may be there already
        missing = image is None or not self._provided.isdisjoint(image.names)
        if image is None or missing:
            self._missing.append(name)
            self._provided.add(name)
        else:
            self._images.append(image)
            self._provided.update(image.names)
        return missing

    def _write(self, name: str, parameters: str, write: Callable[[Emitter], None]) -> str:
        """Write a function to the module; ``kernel`` is no name, only its text is wanted."""
        e = self._writer
        if e is None:
            e = Emitter(self._program, fast_math=self._fast_math, machine=self._machine)
            self._writer = e
        with e.function(f"define void @{name}({parameters})", attributes="#2"):
            write(e)
            e.line("ret void")
        return e.take_function() if name == "kernel" else ""

    def module(self) -> ModuleText | None:
        """The module of what nobody has made yet."""
        return self._writer.finish() if self._writer is not None and self._missing else None

    def objects(self, made: bytes | None) -> list[bytes]:
        """The object files to link to the program; ``made`` is that of ``module``, to be kept."""
        found = [data for image in self._images for data in image.objects]
        if made is not None:
            image = Image((made,), tuple(self._missing))
            for name in self._missing:
                _keep(self._machine, name, image)
                if _store is not None:
                    _store.remember(name, image)
            found.append(made)
        return found
