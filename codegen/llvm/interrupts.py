"""Ctrl-C in long runs: where generated code asks whether to stop, and whom it asks.

A kernel that may run long (an open loop, or many operations) gets a pointer to a flag of its run.
Its loops count the work that they have done; after every hundred microseconds or so they ask
``symflux_poll``. On Python's main thread, which alone handles signals, that lets Python's handlers
run, every 50 ms at most. When one of them raises (KeyboardInterrupt by default) the flag is set,
and each function that sees it returns: the loop that asked, the threads that share its work, the
kernel, the run. The entry then gives up what it allocated and returns with the error.

A run on another thread is told nothing, as in Python. A run that holds the global lock lets other
threads have it meanwhile.
"""

from __future__ import annotations

import ctypes
import os
import threading
from typing import TYPE_CHECKING

from ...once import once
from ...thresholds import thresholds
from ..ir import Block, Loop, Program, Statement, While, nests
from .code import offer, service_code
from .cost import operations
from .machine import host

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = [
    "INTERRUPTED",
    "ask_after",
    "ask_in",
    "asks",
    "available",
    "may_run_long",
    "object_code",
    "register",
    "return_if_stopped",
]

#: what ``run`` returns when it was stopped; the error is set
INTERRUPTED = 2

_SYMBOLS = """\
declare i32 @symflux_poll(ptr)
declare i32 @symflux_poll_locked(ptr)
"""

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


# --- what a program asks --------------------------------------------------------------------------


def available() -> bool:
    """Whether this system has what the questions are made of (POSIX threads)."""
    return os.name == "posix"


def _is_open(statement: object) -> bool:
    """Whether nothing in the program bounds how often a statement runs its body."""
    if isinstance(statement, Loop):
        return not isinstance(statement.extent, int)
    return isinstance(statement, While) and not statement.runs_once


def asks(block: Block) -> bool:
    """Whether a kernel of this body may run so long that it asks."""
    return any(map(_is_open, nests(block))) or operations(block) >= thresholds.ask_from


def may_run_long(program: Program) -> bool:
    """Whether a program has a kernel that asks."""
    return available() and any(asks(kernel.body) for kernel in program.kernels)


def ask_in(e: Emitter, statement: Loop | While) -> None:
    """Write, in the body of a loop, what counts its work and asks when it is time."""
    if not e.stop:
        return
    work = operations(statement.body)
    if isinstance(statement, While):
        work += operations(statement.condition)
    ask_after(e, work * e.lanes, None if _is_open(statement) else statement)


def ask_after(e: Emitter, work: int, loop: Statement | None = None) -> None:
    """Write what counts ``work`` operations and asks when it is time. Nothing is written where all
    of ``loop`` is so little work that the loops around it count it."""
    stop = e.stop
    if not stop or (loop is not None and operations(Block((loop,))) < thresholds.ask_every):
        return
    done = e.value(f"load i64, ptr {stop.work}, align 8")
    more = e.value(f"add i64 {done}, {max(1, min(work, thresholds.ask_every))}")
    e.line(f"store i64 {more}, ptr {stop.work}, align 8")
    due = e.value(f"icmp uge i64 {more}, {thresholds.ask_every}")
    ask, after = e.label("ask"), e.label("go.on")
    e.line(f"br i1 {due}, label %{ask}, label %{after}{e.rarely()}")
    e.start(ask)
    e.line(f"store i64 0, ptr {stop.work}, align 8")
    _declare(e)
    answer = e.value(f"call i32 @{stop.asks}(ptr {stop.flag})")
    _return_if(e, answer, after)


def return_if_stopped(e: Emitter) -> None:
    """Write, after a call of a function that asks, the way out of the function being written."""
    if e.stop:
        answer = e.value(f"load atomic i32, ptr {e.stop.flag} monotonic, align 4")
        _return_if(e, answer, e.label("go.on"))


def _return_if(e: Emitter, answer: str, after: str) -> None:
    leave = e.label("leave")
    e.line(f"br i1 {e.value(f'icmp ne i32 {answer}, 0')}, label %{leave}, label %{after}"
           f"{e.rarely()}")  # fmt: skip
    e.start(leave)
    e.line("ret void")
    e.start(after)


def _declare(e: Emitter) -> None:
    if "interrupts" not in e.helpers:
        e.helpers["interrupts"] = "symflux_poll"
        e.services.add("interrupts")
        e.add_function(_SYMBOLS)


# --- in this process ------------------------------------------------------------------------------


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
