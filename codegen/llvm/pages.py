"""Arrays next to pages that nobody may touch, and what is said when somebody does.

An array lies against such a page with its end, or with its start; where pages are filled, with
both. The bytes that are left over are filled with a pattern and looked at afterwards.
"""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import signal
import sys
from typing import Any

import numpy as np

from ... import forking

__all__ = ["Guarded"]

#: What pages are filled with: nans in double, single and half precision (signalling ones, but for
#: every other single), no truth value, integers that nobody expects.
_FILL = np.frombuffer(bytes.fromhex("a57da57fa57df47f"), np.uint8)
_live: dict[int, Guarded] = {}
_lock = forking.lock()


def _library() -> ctypes.CDLL:
    """The C library; its functions keep the error number."""
    if sys.platform == "win32":
        raise OSError("pages are guarded on systems with mmap and mprotect only")
    return ctypes.CDLL(None, use_errno=True)


class Guarded:
    """``array``: a one-dimensional array between guard pages, filled with nans, until ``close``.

    With ``side`` "end" its last byte is the last one before a guard page, as far as ``align`` lets
    it (its address is a multiple of that); with "start" its first byte is the first behind one."""

    def __init__(
        self, owner: str, name: str, dtype: str, size: int, side: str, align: int = 1
    ) -> None:
        self.owner, self.name = owner, name
        kind, page = np.dtype(dtype), mmap.PAGESIZE
        bytes_ = size * kind.itemsize
        inside = -(-bytes_ // page) * page
        self._map = mmap.mmap(-1, inside + 2 * page)
        self.low = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.high = self.low + len(self._map)
        self._before = (inside - bytes_) // align * align if side == "end" else 0
        self.start = self.low + page + self._before
        self._pages = _bytes(self.low + page, inside)
        self._pages[:] = np.resize(_FILL, inside)
        self.array: np.ndarray[Any, Any] = _bytes(self.start, bytes_).view(kind)
        self._protect(0)  # nothing is allowed
        with _lock:
            _live[self.low] = self
            _watch()

    def _protect(self, how: int) -> None:
        page = mmap.PAGESIZE
        for at in (self.low, self.high - page):
            if _library().mprotect(ctypes.c_void_p(at), ctypes.c_size_t(page), how):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), self.name)

    def trouble(self) -> str:
        """The element beside the array that was written to; empty where none was."""
        changed = self._pages != np.resize(_FILL, self._pages.size)
        changed[self._before : self._before + self.array.nbytes] = False
        if not changed.any():
            return ""
        return self.place(self.low + mmap.PAGESIZE + int(np.argmax(changed)))

    def place(self, address: int) -> str:
        """An address as an element of the array, inside or beside it."""
        return self.element((address - self.start) // self.array.itemsize)

    def element(self, number: int) -> str:
        unit = "elements" if self.array.itemsize > 1 else "bytes"
        of = f"{self.owner}, where {self.name} has {self.array.size} {unit}"
        return f"{self.name}[{number}] of {of}"

    def close(self) -> None:
        """Give the memory back; the array must not be used any more."""
        with _lock:
            del _live[self.low]
        self._protect(mmap.PROT_READ | mmap.PROT_WRITE)
        del self.array, self._pages
        self._map.close()


def _bytes(address: int, count: int) -> np.ndarray[Any, Any]:
    memory = (ctypes.c_char * count).from_address(address)
    return np.frombuffer(memoryview(memory), np.uint8)


# --- what is said about a guard page that was touched --------------------------------------------


class _Action(ctypes.Structure):
    """``struct sigaction`` of Linux."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * (128 // ctypes.sizeof(ctypes.c_ulong))),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_ADDRESS = 16  # where siginfo_t has the address that was touched
_SIGINFO = 4  # SA_SIGINFO
_watching: list[Any] = []  # the handler and what was there before, once it is installed


def _watch() -> None:
    """Have faults explained from now on; elsewhere than on Linux Python says where it was."""
    if _watching:
        return
    if not sys.platform.startswith("linux"):
        faulthandler.enable()
        _watching.append(None)
        return
    before = _Action()
    handler = _HANDLER(_explain)
    action = _Action(handler=ctypes.cast(handler, ctypes.c_void_p), flags=_SIGINFO)
    _library().sigaction(signal.SIGSEGV, ctypes.byref(action), ctypes.byref(before))
    _watching.extend((handler, before))


def _explain(number: int, info: int, context: int) -> None:
    """The handler: generated code touched a page and cannot go on. It says which array's, and the
    instruction that did runs again with what handled faults before, which ends the process."""
    address = ctypes.c_size_t.from_address(info + _ADDRESS).value
    for each in list(_live.values()):
        if each.low <= address < each.high:
            text = f"\nSYMFLUX_GUARD: access to {each.place(address)}\n"
            os.write(2, text.encode())
            faulthandler.dump_traceback(2, all_threads=True)
    _library().sigaction(signal.SIGSEGV, ctypes.byref(_watching[1]), None)
