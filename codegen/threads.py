"""How many threads parallel loops use: one knob.

Results have the same bits for every number of threads: work is cut into pieces that depend on the
loop alone. The threads themselves are in ``llvm/pool.py``.
"""

from __future__ import annotations

import ctypes
import operator
import os

__all__ = ["available", "count_address", "processors", "set_threads", "threads"]


def available() -> bool:
    """Whether this system has the threads that parallel loops run on (POSIX threads)."""
    return os.name == "posix"


def processors() -> int:
    """The processors of this machine, whether this process may use them or not."""
    return os.cpu_count() or 1


#: the largest int32
_MOST = 2**31 - 1


def _default() -> int:
    """What SYMFLUX_NUM_THREADS says, else the processors that this process may use."""
    wanted = os.environ.get("SYMFLUX_NUM_THREADS", "")
    if wanted:
        if not wanted.isdigit() or not 1 <= int(wanted) <= _MOST:
            raise ValueError(
                f"SYMFLUX_NUM_THREADS={wanted!r}: give a number of threads from 1 to {_MOST}"
            )
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return processors()


#: read by generated code before every parallel loop
_count = ctypes.c_int32(_default())


def count_address() -> int:
    """The address of the int32 that generated code reads the number of threads from."""
    return ctypes.addressof(_count)


def threads() -> int:
    """How many threads parallel loops use.

    >>> before = threads()
    >>> set_threads(2)
    >>> threads() in (1, 2)  # 1 on systems without POSIX threads
    True
    >>> set_threads(before)
    """
    return _count.value if available() else 1


def set_threads(n: int) -> None:
    """Use ``n`` threads in parallel loops from now on, in functions compiled before too.

    ``SYMFLUX_NUM_THREADS`` sets the number at the start; the default is the number of processors
    that this process may use. Results do not depend on it. Raises ValueError below 1 and beyond
    int32, TypeError for what is no integer.

    >>> before = threads()
    >>> set_threads(1)
    >>> threads()
    1
    >>> set_threads(before)
    """
    count = operator.index(n)
    if not 1 <= count <= _MOST:
        raise ValueError(f"set_threads({n}): the number of threads must be from 1 to {_MOST}")
    _count.value = count
