"""Ctrl-C in long runs: where generated code asks whether to stop.

A kernel that may run long (an open loop, or many operations) gets a pointer to a flag of its run.
Its loops count the work that they have done; after every hundred microseconds or so they ask
(``interrupts.py``). Once the flag is set each function that sees it returns: the loop that asked,
the threads that share its work, the kernel, the run. The entry then gives up what it allocated and
returns with the error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...thresholds import thresholds
from ..ir import Block, Loop, Program, Statement, While, nests
from .cost import operations
from .interrupts import available

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["ask_after", "ask_in", "asks", "go_if_stopped", "may_run_long", "return_if_stopped"]

_SYMBOLS = """\
declare i32 @symflux_poll(ptr)
declare i32 @symflux_poll_locked(ptr)
"""


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


def go_if_stopped(e: Emitter, flag: str, leave: str) -> None:
    """Write, after a call of a function that asks, the branch to ``leave`` for a run that stops."""
    after = e.label("go.on")
    _go_if(e, _said(e, flag), leave, after)
    e.start(after)


def return_if_stopped(e: Emitter) -> None:
    """Write, after a call of a function that asks, the way out of the function being written."""
    if e.stop:
        _return_if(e, _said(e, e.stop.flag), e.label("go.on"))


def _said(e: Emitter, flag: str) -> str:
    """What a run's flag says."""
    return e.value(f"load atomic i32, ptr {flag} monotonic, align 4")


def _return_if(e: Emitter, answer: str, after: str) -> None:
    leave = e.label("leave")
    _go_if(e, answer, leave, after)
    e.start(leave)
    e.line("ret void")
    e.start(after)


def _go_if(e: Emitter, answer: str, leave: str, after: str) -> None:
    nonzero = e.value(f"icmp ne i32 {answer}, 0")
    e.line(f"br i1 {nonzero}, label %{leave}, label %{after}{e.rarely()}")


def _declare(e: Emitter) -> None:
    if "interrupts" not in e.helpers:
        e.helpers["interrupts"] = "symflux_poll"
        e.services.add("interrupts")
        e.add_function(_SYMBOLS)
