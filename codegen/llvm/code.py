"""Machine code loaded into this process."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as binding

from ... import forking
from .machine import Machine, host

__all__ = ["Code", "offer", "service_code"]

_offered: dict[str, int] = {}


def offer(name: str, address: int) -> None:
    """Let code that is loaded from now on find a symbol at an address of this process."""
    _offered[name] = address


class _Linkers:
    """What links objects in this process.

    JITLink gives all sections of an object one run of memory (what they say of each other fits into
    32 bits, wherever the process has room), reaches anything farther through stubs, and reports
    what it cannot do. For COFF it does not know enough yet: LLVM's older linker serves there.

    A linker keeps some kilobytes for every library that it ever linked, so each serves for a number
    of them and goes when the last of these is gone."""

    serves = 64

    def __init__(self) -> None:
        self._lock = forking.lock()
        self._current: Any = None
        self._count = 0

    def next(self, machine: Machine) -> tuple[Any, str]:
        """A linker, and a name for the library that it is for."""
        with self._lock:
            if self._current is None or self._count % self.serves == 0:
                own = "windows" not in machine.triple
                self._current = binding.create_lljit_compiler(
                    machine.target_machine(), use_jit_link=own
                )
            self._count += 1
            return self._current, f"symflux_{self._count}"


_linkers = _Linkers()


class Code:
    """Machine code loaded into this process; freed when the last reference goes.

    ``addresses`` maps the names that were asked for to their addresses."""

    __slots__ = ("__weakref__", "_finalizer", "addresses")

    def __init__(self, objects: Sequence[bytes], machine: Machine, names: Sequence[str]) -> None:
        builder = binding.JITLibraryBuilder().add_current_process()
        for data in objects:
            builder.add_object_img(data)
        for name, address in list(_offered.items()):  # other threads may offer more
            builder.import_symbol(name, address)
        for name in names:
            builder.export_symbol(name)
        linker, library = _linkers.next(machine)
        linked = builder.link(linker, library)
        self.addresses = {name: linked[name] for name in names}
        release = self.addresses.get("release")
        self._finalizer = weakref.finalize(self, _unload, linked, linker, release)
        self._finalizer.atexit = False


def service_code(given: list[bytes], make: Callable[[], bytes], names: Sequence[str]) -> Code:
    """The code of a service of this process: of the object file that came with code from disk
    (``given`` holds it), or of what ``make`` makes. One that cannot be loaded is forgotten."""
    try:
        return Code(tuple(given) or (make(),), host(), names)
    except Exception:
        given.clear()
        raise


def _unload(library: Any, linker: Any, release: int | None) -> None:
    if release:
        ctypes.CFUNCTYPE(None)(release)()
    library.close()  # before its linker, which goes with the last reference to it
