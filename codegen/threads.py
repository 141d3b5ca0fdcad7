"""Threads for parallel loops: an OpenMP runtime that is already on the machine, and one knob.

Nothing is bundled. The runtime of the ``intel-openmp`` package, LLVM's or GCC's is used, whichever
is found first; without one, parallel loops run serially. Results have the same bits for every
number of threads: work is cut into pieces that depend on the loop alone.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Runtime", "count_address", "runtime", "set_threads", "threads"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """An OpenMP runtime: where it was found, and the addresses of what generated code calls.

    ``parallel(function, data, threads, flags)`` runs ``function(data)`` in that many threads;
    ``thread_number()`` and ``thread_count()`` answer inside it. ``survives_fork`` says whether a
    forked child may use it after the parent did."""

    name: str
    parallel: int
    thread_number: int
    thread_count: int
    survives_fork: bool


def _candidates() -> Iterator[str]:
    """Names of runtimes to try, the ones that survive a fork first."""
    if sys.platform == "darwin":
        yield from ("libiomp5.dylib", "libomp.dylib", "/opt/homebrew/opt/libomp/lib/libomp.dylib")
        return
    if sys.platform == "win32":  # its runtimes lack the entry that is used here
        return
    yield str(Path(sys.prefix) / "lib" / "libiomp5.so")
    yield from ("libiomp5.so", "libomp.so.5", "libomp.so", "libgomp.so.1")


def _address(library: Any, name: str) -> int:
    address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    assert address is not None
    return address


@functools.cache
def runtime() -> Runtime | None:
    """The OpenMP runtime of this process, loaded on first use; None when there is none."""
    for name in _candidates():
        try:
            library = ctypes.CDLL(name)
            return Runtime(
                name,
                _address(library, "GOMP_parallel"),
                _address(library, "omp_get_thread_num"),
                _address(library, "omp_get_num_threads"),
                "gomp" not in name,
            )
        except (OSError, AttributeError):
            continue
    return None


def _default() -> int:
    """What SYMFLUX_NUM_THREADS says, else the processors that this process may use."""
    wanted = os.environ.get("SYMFLUX_NUM_THREADS", "")
    if wanted:
        if not wanted.isdigit() or int(wanted) < 1:
            raise ValueError(f"SYMFLUX_NUM_THREADS={wanted!r}: give a number of threads from 1 on")
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


#: read by generated code before every parallel loop
_count = ctypes.c_int32(_default())
_stuck = False  # a forked child of a runtime that does not survive that


def count_address() -> int:
    """The address of the int32 that generated code reads the number of threads from."""
    return ctypes.addressof(_count)


def threads() -> int:
    """How many threads parallel loops use.

    >>> before = threads()
    >>> set_threads(2)
    >>> threads() in (1, 2)  # 1 without an OpenMP runtime
    True
    >>> set_threads(before)
    """
    return _count.value if runtime() is not None else 1


def set_threads(n: int) -> None:
    """Use ``n`` threads in parallel loops from now on, in functions compiled before too.

    ``SYMFLUX_NUM_THREADS`` sets the number at the start; the default is the number of processors
    that this process may use. Results do not depend on it. Raises ValueError below 1.

    >>> before = threads()
    >>> set_threads(1)
    >>> threads()
    1
    >>> set_threads(before)
    """
    if n < 1:
        raise ValueError(f"set_threads({n}): the number of threads must be at least 1")
    _count.value = 1 if _stuck else n


def _after_fork() -> None:
    """GCC's runtime hangs in a forked child of a process that used it: the child runs serially."""
    global _stuck
    if runtime.cache_info().currsize and (found := runtime()) and not found.survives_fork:
        _stuck = True
        _count.value = 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
