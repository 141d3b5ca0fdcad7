"""The cycle collector waits while graphs are made and compiled.

Nodes and statements are many small objects that live until the graph is dropped. The collector
would look at them again and again: it takes a third of the time of every step.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .forking import lock

__all__ = ["collector_paused"]

_lock = lock()
#: how often each thread is inside, by its number
_pauses: dict[int, int] = {}
_was_enabled = False


@contextmanager
def collector_paused() -> Iterator[None]:
    """No cyclic garbage is looked for inside. Nests; several threads may be inside."""
    global _was_enabled
    thread = threading.get_ident()
    with _lock:
        if not _pauses:
            _was_enabled = gc.isenabled()
            gc.disable()
        _pauses[thread] = _pauses.get(thread, 0) + 1
    try:
        yield
    finally:
        with _lock:
            _pauses[thread] -= 1
            if not _pauses[thread]:
                del _pauses[thread]
            if not _pauses and _was_enabled:
                gc.enable()


def _forked() -> None:
    """In a child, only the thread that forked is still inside, if it was."""
    others = bool(_pauses)
    for thread in list(_pauses):
        if thread != threading.get_ident():
            del _pauses[thread]
    if others and not _pauses and _was_enabled:
        gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
