"""Ctrl-C in long runs: whom generated code asks whether to stop (``stops.py`` says where it does).

On Python's main thread, which alone handles signals, ``symflux_poll`` lets Python's handlers run,
every 50 ms at most. When one of them raises (KeyboardInterrupt by default) the run's flag is set.
A run on another thread is told nothing, as in Python. A run that holds the global lock lets other
threads have it meanwhile.
"""

from __future__ import annotations

import ctypes
import os
import threading

from ...once import once
from .code import offer, service_code
from .machine import host

__all__ = ["INTERRUPTED", "available", "object_code", "register"]

#: what ``run`` returns when it was stopped; the error is set
INTERRUPTED = 2

# Clock 6 is CLOCK_MONOTONIC_COARSE on Linux, CLOCK_MONOTONIC on macOS.
_TEXT = """
@main = global i64 0, align 8
@last = internal global i64 0, align 8

declare i64 @pthread_self()
declare i32 @clock_gettime(i32, ptr)
declare i32 @PyGILState_Ensure()
declare void @PyGILState_Release(i32)
declare i32 @PyErr_CheckSignals()
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)

define internal i1 @due() {
  %time = alloca [2 x i64], align 8
  %status = call i32 @clock_gettime(i32 6, ptr %time)
  %seconds = load i64, ptr %time, align 8
  %place = getelementptr i64, ptr %time, i64 1
  %rest = load i64, ptr %place, align 8
  %whole = mul i64 %seconds, 1000000000
  %now = add i64 %whole, %rest
  %last = load atomic i64, ptr @last monotonic, align 8
  %passed = sub i64 %now, %last
  %due = icmp ugt i64 %passed, 50000000
  br i1 %due, label %yes, label %no
yes:
  store atomic i64 %now, ptr @last monotonic, align 8
  br label %no
no:
  ret i1 %due
}

define internal i32 @ask(ptr %stop, i1 %locked) {
  %said = load atomic i32, ptr %stop monotonic, align 4
  %stopped = icmp ne i32 %said, 0
  br i1 %stopped, label %yes, label %look
look:
  %self = call i64 @pthread_self()
  %main = load i64, ptr @main, align 8
  %is.main = icmp eq i64 %self, %main
  %can = or i1 %is.main, %locked
  br i1 %can, label %time, label %no
time:
  %due = call i1 @due()
  br i1 %due, label %now, label %no
now:
  br i1 %locked, label %others, label %whose
others:
  %thread = call ptr @PyEval_SaveThread()
  call void @PyEval_RestoreThread(ptr %thread)
  br label %whose
whose:
  br i1 %is.main, label %signals, label %no
signals:
  %state = call i32 @PyGILState_Ensure()
  %raised = call i32 @PyErr_CheckSignals()
  call void @PyGILState_Release(i32 %state)
  %error = icmp ne i32 %raised, 0
  br i1 %error, label %tell, label %no
tell:
  store atomic i32 1, ptr %stop monotonic, align 4
  br label %yes
yes:
  ret i32 1
no:
  ret i32 0
}

define i32 @symflux_poll(ptr %stop) {
  %answer = call i32 @ask(ptr %stop, i1 false)
  ret i32 %answer
}

define i32 @symflux_poll_locked(ptr %stop) {
  %answer = call i32 @ask(ptr %stop, i1 true)
  ret i32 %answer
}
"""


def available() -> bool:
    """Whether this system has what the questions are made of (POSIX threads)."""
    return os.name == "posix"


@once
def object_code() -> bytes:
    """The functions that are asked, as an object file."""
    from .objects import object_of
    from .optimise import ModuleText, Options

    return object_of(ModuleText(_TEXT, Options(code_level=0)), host())


_given: list[bytes] = []  # an object file that came with code from disk
_PYTHON = ("PyGILState_Ensure", "PyGILState_Release", "PyErr_CheckSignals",
           "PyEval_SaveThread", "PyEval_RestoreThread")  # fmt: skip


@once
def _addresses() -> dict[str, int]:
    for name in _PYTHON:
        function = getattr(ctypes.pythonapi, name)
        offer(name, ctypes.cast(function, ctypes.c_void_p).value or 0)
    names = ("symflux_poll", "symflux_poll_locked")
    code = service_code(_given, object_code, (*names, "main"))
    # runs on other threads may ask until the process ends: it is never freed
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(code))
    main = ctypes.c_int64.from_address(code.addresses["main"])

    def forked() -> None:  # the thread that forked is the child's main thread
        main.value = threading.get_ident()

    main.value = threading.main_thread().ident or 0
    os.register_at_fork(after_in_child=forked)
    return {name: code.addresses[name] for name in names}


def register(given: bytes = b"") -> None:
    """Let generated code find whom it asks; ``given`` is the object file, if it is at hand."""
    if given and not _given:
        _given.append(given)
    for name, address in _addresses().items():
        offer(name, address)
