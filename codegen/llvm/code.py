"""Machine code loaded into this process."""

from __future__ import annotations

import ctypes
import functools
import itertools
import weakref
from collections.abc import Sequence
from typing import Any

import llvmlite.binding as binding

from .machine import Machine

__all__ = ["Code", "offer"]

_offered: dict[str, int] = {}
_libraries = itertools.count()


def offer(name: str, address: int) -> None:
    """Let code that is loaded from now on find a symbol at an address of this process."""
    _offered[name] = address


@functools.cache
def _linker(machine: Machine) -> Any:
    """What links objects in this process.

    JITLink gives all sections of an object one run of memory (what they say of each other fits into
    32 bits, wherever the process has room), reaches anything farther through stubs, and reports
    what it cannot do. For COFF it does not know enough yet: LLVM's older linker serves there."""
    own = "windows" not in machine.triple
    return binding.create_lljit_compiler(machine.target_machine(), use_jit_link=own)


class Code:
    """Machine code loaded into this process; freed when the last reference goes.

    ``addresses`` maps the names that were asked for to their addresses."""

    __slots__ = ("__weakref__", "_finalizer", "_library", "addresses")

    def __init__(self, objects: Sequence[bytes], machine: Machine, names: Sequence[str]) -> None:
        builder = binding.JITLibraryBuilder().add_current_process()
        for data in objects:
            builder.add_object_img(data)
        for name, address in _offered.items():
            builder.import_symbol(name, address)
        for name in names:
            builder.export_symbol(name)
        self._library = builder.link(_linker(machine), f"symflux_{next(_libraries)}")
        self.addresses = {name: self._library[name] for name in names}
        release = self.addresses.get("release")
        self._finalizer = weakref.finalize(self, _unload, self._library, release)
        self._finalizer.atexit = False


def _unload(library: Any, release: int | None) -> None:
    if release:
        ctypes.CFUNCTYPE(None)(release)()
    library.close()
