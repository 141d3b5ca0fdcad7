"""Modules as machine code: object files, made on several cores while others are still written."""

from __future__ import annotations

import ctypes
import functools
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import llvmlite.binding as binding
from llvmlite.binding import ffi

from ... import forking
from .machine import Machine
from .optimise import ModuleText, optimise, parse

__all__ = ["ObjectWriter", "object_of", "objects_of"]


@functools.cache
def without_lock(name: str) -> Callable[..., Any]:
    """A function of llvmlite's library that may run while others do.

    llvmlite lets one call into LLVM run at a time. What works on a context of its own needs no such
    lock, and this is where nearly all of the time goes."""
    locked = getattr(ffi.lib, name)
    function = ctypes.CDLL(ffi.lib._name, handle=ffi.lib._handle)[name]
    function.argtypes, function.restype = locked.argtypes, locked.restype
    return function


def object_of(module: ModuleText, machine: Machine) -> bytes:
    """The object file of one module.

    Raises:
        RuntimeError: with LLVM's complaint about the text.
    """
    with ObjectWriter(machine) as writer:
        return writer.finish(module)[0]


class _Gate:
    """Open to any number of threads that work in LLVM, or closed by one that forks.

    It looks like a lock to ``forking``: to have it is to have closed it with nobody inside."""

    def __init__(self) -> None:
        self._inside = 0
        self._closed = False
        self._changed = threading.Condition(threading.Lock())

    def __enter__(self) -> None:
        with self._changed:
            while self._closed:
                self._changed.wait()
            self._inside += 1

    def __exit__(self, *failure: object) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def acquire(self, timeout: float) -> bool:
        with self._changed:
            self._closed = True
            if self._changed.wait_for(lambda: not self._inside, timeout):
                return True
            self._closed = False
            self._changed.notify_all()
            return False

    def release(self) -> None:
        with self._changed:
            self._closed = False
            self._changed.notify_all()

    def _is_owned(self) -> bool:
        return False

    def _at_fork_reinit(self) -> None:
        self.__init__()  # type: ignore[misc]


_gate = _Gate()
forking.hold_over_forks(_gate)
forking.hold_over_forks(ffi.lib._lock._lock)  # llvmlite's own: one for all calls but ours


def _make(module: ModuleText, machine: Machine) -> bytes:
    with _gate:
        return _made(module, machine)


def _made(module: ModuleText, machine: Machine) -> bytes:
    with machine.borrowed(module.options.code_level) as target_machine:
        context = binding.create_context()
        parsed = parse(module.text, machine, context, without_lock("LLVMPY_ParseAssembly"))
        run = without_lock("LLVMPY_RunNewModulePassManager")
        optimise(parsed, target_machine, module.options, run)
        with ffi.OutputString() as complaint:
            emit = without_lock("LLVMPY_TargetMachineEmitToMemory")
            buffer = emit(target_machine, parsed, 1, complaint)
            if not buffer:
                raise RuntimeError(str(complaint))
        start = ffi.lib.LLVMPY_GetBufferStart(buffer)
        try:
            return ctypes.string_at(start, ffi.lib.LLVMPY_GetBufferSize(buffer))
        finally:
            ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)
            parsed.close()
            context.close()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ObjectWriter:
    """Makes object files of modules, in threads, as they come.

    ``add`` takes a module and returns at once; ``finish`` waits for the objects, in the order of
    the modules. What comes out depends on the texts alone, not on the threads. Leaving the ``with``
    block ends the threads.

    Nothing is made on the main thread: there Ctrl-C would leave LLVM's objects half made, to be
    freed in any order, or twice."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._texts: queue.SimpleQueue[tuple[int, ModuleText] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._objects: dict[int, bytes] = {}
        self._failures: list[BaseException] = []
        self._count = 0

    def add(self, module: ModuleText) -> None:
        """Start on a module."""
        self._texts.put((self._count, module))
        self._count += 1
        if len(self._threads) < _cores():
            thread = threading.Thread(target=self._work, name="symflux-llvm", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while (job := self._texts.get()) is not None:
            number, module = job
            if self._failures:
                continue
            try:
                self._objects[number] = _make(module, self._machine)
            except BaseException as failure:  # handed to the thread that waits
                self._failures.append(failure)

    def finish(self, last: ModuleText) -> list[bytes]:
        """The objects of all modules; ``last`` is made here."""
        if not self._threads and threading.current_thread() is not threading.main_thread():
            return [_make(last, self._machine)]
        self.add(last)
        self._end()
        if self._failures:
            raise self._failures[0]
        return [self._objects[n] for n in range(self._count)]

    def _end(self) -> None:
        for _ in self._threads:
            self._texts.put(None)
        for thread in self._threads:
            _join(thread)
        self._threads.clear()

    def __enter__(self) -> ObjectWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if value is not None:
            self._failures.append(value)  # nobody wants the rest
        self._end()


def objects_of(modules: Sequence[ModuleText], machine: Machine) -> list[bytes]:
    """The object files of modules that are all at hand."""
    with ObjectWriter(machine) as writer:
        for module in modules[:-1]:
            writer.add(module)
        return writer.finish(modules[-1])


def _join(thread: threading.Thread) -> None:
    """Wait for a thread's end. An interrupt in its start leaves open whether it has begun."""
    end = time.monotonic() + 1.0
    while thread.is_alive() or time.monotonic() < end:
        try:
            thread.join()
            return
        except RuntimeError:  # not begun yet
            time.sleep(0.001)
