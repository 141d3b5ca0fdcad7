"""Machine code loaded into this process."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from typing import Any

import llvmlite.binding as binding

from .machine import Machine

__all__ = ["Code"]


class Code:
    """Machine code loaded into this process; freed when the last reference goes.

    ``addresses`` maps the names that were asked for to their addresses."""

    __slots__ = ("__weakref__", "_engine", "_finalizer", "addresses")

    def __init__(self, objects: Sequence[bytes], machine: Machine, names: Sequence[str]) -> None:
        context = binding.create_context()
        empty = binding.parse_assembly("", context)
        empty.triple, empty.data_layout = machine.triple, machine.layout
        # this memory manager keeps the sections of one object together: what they say of each other
        # must fit into 32 bits, wherever the process has room
        engine = binding.create_mcjit_compiler(empty, machine.target_machine(), use_lmm=True)
        for data in objects:
            engine.add_object_file(binding.ObjectFileRef.from_data(data))
        engine.finalize_object()
        self.addresses = {name: engine.get_function_address(name) for name in names}
        engine.remove_module(empty)  # the code stays; the module's memory is no longer needed
        empty.close()
        context.close()
        self._engine = engine
        release = self.addresses.get("release")
        self._finalizer = weakref.finalize(self, _unload, engine, release)
        self._finalizer.atexit = False


def _unload(engine: Any, release: int | None) -> None:
    if release:
        ctypes.CFUNCTYPE(None)(release)()
    engine.close()
