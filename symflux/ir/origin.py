"""Where a node came from: the user's line, and the derivative rule or pass that made it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..frames import PLACES, Origin, at, user_frame

__all__ = ["Origin", "current", "derived", "exchange", "user_frame"]


#: Stands for "look at the stack".
_STACK = Origin("", 0)


class _State(threading.local):
    def __init__(self) -> None:
        self.override: Origin | None = _STACK


_state = _State()


def current(depth: int = 1) -> Origin | None:
    """The origin that a node made now gets; so many of the innermost frames are not the user's."""
    override = _state.override
    if override is not _STACK:
        return override
    frame = sys._getframe(depth)
    found = PLACES.get((id(frame.f_code), frame.f_lasti))  # most often: the user's line, met before
    return at(frame) if found is None or found[1] is None else found[1]


def exchange(origin: Origin | None = _STACK) -> Origin | None:
    """Set the origin of all nodes made from now on (by default: the user's line at that time).

    Returns what to pass to put things back. For passes, which do this once per node; elsewhere
    ``with derived(...)`` reads better."""
    before = _state.override
    _state.override = origin
    return before


@contextmanager
def derived(origin: Origin | None, rule: str) -> Iterator[None]:
    """Nodes made inside come from ``origin``'s line by way of ``rule``."""
    before = _state.override
    if origin is not None:
        _state.override = Origin(origin.file, origin.line, origin.function, rule)
    try:
        yield
    finally:
        _state.override = before
