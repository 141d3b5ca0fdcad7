"""Forks while other threads trace and compile: the child finds every lock free.

A child has no thread but the one that forked. What others held stays locked for ever: locks made by
:func:`lock` are made anew in it, unless the thread that forked holds them itself. Some must not be
cut off at all (a call into LLVM, which has locks of its own): these are held over the fork, for
which it waits a second or two at most.
"""

from __future__ import annotations

import importlib._bootstrap as _bootstrap
import os
import threading
import time
import weakref
from typing import Any

__all__ = ["hold_over_forks", "lock"]

#: Seconds that a fork waits for other threads.
_PATIENCE = 2.0

_locks: weakref.WeakSet[Any] = weakref.WeakSet()
_held_over: list[Any] = []  # locks, in the order in which they are taken
_taken: list[Any] = []  # those that the thread which forks has now


def lock() -> Any:
    """A reentrant lock that is free in a child, unless the thread that forks holds it.

    >>> with lock():
    ...     pass
    """
    made = threading.RLock()
    _locks.add(made)
    return made


def hold_over_forks(held: Any) -> None:
    """A fork waits until it has this lock, and lets it go in the parent and in the child."""
    _held_over.append(held)
    _locks.add(held)


def _importing() -> bool:
    """Whether another thread is in the middle of importing a module of ours: a child that needs it
    would wait for ever. CPython keeps a lock for each module that is being imported."""
    mine = threading.get_ident()
    for name, reference in list(getattr(_bootstrap, "_module_locks", {}).items()):
        if name.startswith("symflux"):
            owner = getattr(reference(), "owner", None)
            if owner is not None and owner != mine:
                return True
    return False


def _before() -> None:
    end = time.monotonic() + _PATIENCE
    for held in _held_over:
        if held.acquire(timeout=max(0.0, end - time.monotonic())):
            _taken.append(held)
    while _importing() and time.monotonic() < end:  # last: no other thread runs from here on
        time.sleep(0.0005)


def _after() -> None:
    while _taken:
        _taken.pop().release()


def _after_in_child() -> None:
    _after()
    for held in list(_locks):
        if not held._is_owned():
            held._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
