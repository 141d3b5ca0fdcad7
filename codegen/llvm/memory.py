"""Memory of large results: that of results which have died is used again.

A new array of some megabytes costs more than filling it: the system hands out its pages one by one,
cleared, at the first touch, and takes them back when the array dies. So the memory of large results
goes to a few places here when its array dies, and the next result of that size takes it from there.
The arrays are ordinary ones that own their memory; NumPy gives it back through the handler that it
asks every array for (NEP 49).

The code is written in LLVM IR on the C library's allocator and compiled once in a process.
Elsewhere than on POSIX systems there is none of it, and NumPy allocates.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

from ...once import once
from .code import offer, service_code
from .machine import host

__all__ = ["SYMBOLS", "available", "object_code", "register"]

#: Blocks kept at most, and their bytes together.
_PLACES, _KEPT = 8, 256 << 20
#: Bytes of a block from which on it is made of huge pages, and the bytes of one.
_HUGE_FROM, _HUGE = 4 << 20, 2 << 20
_ADVICE = 14  # MADV_HUGEPAGE, on Linux

#: What generated code refers to.
SYMBOLS = """\
@symflux_handler = external global i8
declare ptr @symflux_allocate(i64)
declare void @symflux_release(ptr, ptr, i64)
"""

_TEXT = """
@lock = internal global i32 0, align 64
@sizes = internal global [{places} x i64] zeroinitializer
@blocks = internal global [{places} x ptr] zeroinitializer
@kept = internal global i64 0
@hand = internal global i64 0

declare i32 @posix_memalign(ptr, i64, i64)
declare i32 @madvise(ptr, i64, i32)
declare ptr @malloc(i64)
declare ptr @calloc(i64, i64)
declare ptr @realloc(ptr, i64)
declare void @free(ptr)
declare i32 @sched_yield()

define internal void @enter() {{
  br label %try
try:
  %exchange = cmpxchg ptr @lock, i32 0, i32 1 acquire monotonic
  %in = extractvalue {{ i32, i1 }} %exchange, 1
  br i1 %in, label %done, label %wait
wait:
  %yielded = call i32 @sched_yield()
  br label %try
done:
  ret void
}}

define internal void @leave() {{
  store atomic i32 0, ptr @lock release, align 4
  ret void
}}

; the block at a place, which is then empty; the lock is held
define internal ptr @take(i64 %n) {{
  %block.at = getelementptr ptr, ptr @blocks, i64 %n
  %size.at = getelementptr i64, ptr @sizes, i64 %n
  %block = load ptr, ptr %block.at
  %size = load i64, ptr %size.at
  store ptr null, ptr %block.at
  store i64 0, ptr %size.at
  %kept = load i64, ptr @kept
  %less = sub i64 %kept, %size
  store i64 %less, ptr @kept
  ret ptr %block
}}

define internal ptr @fresh(i64 %bytes) {{
  %slot = alloca ptr, align 8
  %huge = icmp uge i64 %bytes, {huge_from}
  %alignment = select i1 %huge, i64 {huge}, i64 64
  %failed = call i32 @posix_memalign(ptr %slot, i64 %alignment, i64 %bytes)
  %fine = icmp eq i32 %failed, 0
  br i1 %fine, label %made, label %missing
missing:
  ret ptr null
made:
  %block = load ptr, ptr %slot
  br i1 %huge, label %advise, label %done
advise:
  {advise}
  br label %done
done:
  ret ptr %block
}}

define ptr @symflux_allocate(i64 %bytes) {{
  call void @enter()
  br label %look
look:
  %n = phi i64 [ 0, %0 ], [ %next, %more ]
  %size.at = getelementptr i64, ptr @sizes, i64 %n
  %size = load i64, ptr %size.at
  %fits = icmp eq i64 %size, %bytes
  br i1 %fits, label %found, label %more
more:
  %next = add i64 %n, 1
  %some = icmp ult i64 %next, {places}
  br i1 %some, label %look, label %none
found:
  %block = call ptr @take(i64 %n)
  call void @leave()
  ret ptr %block
none:
  call void @leave()
  %new = call ptr @fresh(i64 %bytes)
  %missing = icmp eq ptr %new, null
  br i1 %missing, label %trim, label %done
trim:
  call void @symflux_trim()
  %again = call ptr @fresh(i64 %bytes)
  br label %done
done:
  %result = phi ptr [ %new, %none ], [ %again, %trim ]
  ret ptr %result
}}

; what dies is kept in place of what was kept first, as long as there is room for it
define void @symflux_release(ptr %context, ptr %block, i64 %bytes) {{
  %small = icmp eq i64 %bytes, 0
  %big = icmp ugt i64 %bytes, {kept}
  %other = or i1 %small, %big
  br i1 %other, label %gone, label %keep
gone:
  call void @free(ptr %block)
  ret void
keep:
  call void @enter()
  %hand = load i64, ptr @hand
  %following = add i64 %hand, 1
  %turn = urem i64 %following, {places}
  store i64 %turn, ptr @hand
  br label %evict
evict:
  %n = phi i64 [ %hand, %keep ], [ %after, %evict ]
  %old = call ptr @take(i64 %n)
  call void @free(ptr %old)
  %step = add i64 %n, 1
  %after = urem i64 %step, {places}
  %sum = load i64, ptr @kept
  %total = add i64 %sum, %bytes
  %over = icmp ugt i64 %total, {kept}
  br i1 %over, label %evict, label %store
store:
  %block.at = getelementptr ptr, ptr @blocks, i64 %hand
  %size.at = getelementptr i64, ptr @sizes, i64 %hand
  store ptr %block, ptr %block.at
  store i64 %bytes, ptr %size.at
  store i64 %total, ptr @kept
  call void @leave()
  ret void
}}

define void @symflux_trim() {{
  call void @enter()
  br label %one
one:
  %n = phi i64 [ 0, %0 ], [ %next, %one ]
  %old = call ptr @take(i64 %n)
  call void @free(ptr %old)
  %next = add i64 %n, 1
  %some = icmp ult i64 %next, {places}
  br i1 %some, label %one, label %done
done:
  call void @leave()
  ret void
}}

define void @reset() {{
  store atomic i32 0, ptr @lock seq_cst, align 4
  ret void
}}

define ptr @handler_malloc(ptr %context, i64 %bytes) {{
  %block = call ptr @malloc(i64 %bytes)
  ret ptr %block
}}

define ptr @handler_calloc(ptr %context, i64 %count, i64 %bytes) {{
  %block = call ptr @calloc(i64 %count, i64 %bytes)
  ret ptr %block
}}

define ptr @handler_realloc(ptr %context, ptr %block, i64 %bytes) {{
  %new = call ptr @realloc(ptr %block, i64 %bytes)
  ret ptr %new
}}
"""


class _Handler(ctypes.Structure):
    """``PyDataMem_Handler``."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", ctypes.c_void_p),
        ("malloc", ctypes.c_void_p),
        ("calloc", ctypes.c_void_p),
        ("realloc", ctypes.c_void_p),
        ("free", ctypes.c_void_p),
    )


@once
def object_code() -> bytes:
    """The allocator as an object file, for whoever keeps code for other processes."""
    from .objects import object_of
    from .optimise import ModuleText, Options

    machine = host()
    advise = f"%advised = call i32 @madvise(ptr %block, i64 %bytes, i32 {_ADVICE})"
    text = _TEXT.format(
        places=_PLACES, kept=_KEPT, huge=_HUGE, huge_from=_HUGE_FROM,
        advise=advise if "linux" in machine.triple else "",
    )  # fmt: skip
    return object_of(ModuleText(text, Options(code_level=0)), machine)  # at 2: 8 ms longer


class _Memory:
    """The allocator in this process, and the capsule by which arrays know their handler."""

    def __init__(self) -> None:
        names = ("symflux_allocate", "symflux_release")
        handled = ("handler_malloc", "handler_calloc", "handler_realloc")
        code = service_code(_given, object_code, (*names, *handled, "symflux_trim", "reset"))
        address = code.addresses
        self.addresses = {name: address[name] for name in names}
        self.trim = ctypes.CFUNCTYPE(None)(address["symflux_trim"])
        functions = [address[name] for name in (*handled, "symflux_release")]
        self.handler = _Handler(b"symflux", 1, None, *functions)
        new = ctypes.pythonapi.PyCapsule_New
        new.restype = ctypes.py_object
        new.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
        self.capsule: Any = new(ctypes.addressof(self.handler), b"mem_handler", None)
        # arrays may die until the process ends: this is never freed
        for kept in (self, code):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
        if hasattr(os, "register_at_fork"):
            reset = ctypes.CFUNCTYPE(None)(address["reset"])
            os.register_at_fork(after_in_child=reset)  # who held the lock may be gone


_given: list[bytes] = []  # an object file that came with code from disk


@once
def _memory() -> _Memory:
    return _Memory()


def available() -> bool:
    """Whether this system has what the allocator is made of."""
    return os.name == "posix"


def register(given: bytes = b"") -> None:
    """Let generated code find the allocator; ``given`` is its object file, if that is at hand."""
    if given and not _given:
        _given.append(given)
    memory = _memory()
    for name, address in memory.addresses.items():
        offer(name, address)
    offer("symflux_handler", id(memory.capsule))
