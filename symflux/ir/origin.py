"""Where a node came from: the user's line, and the derivative rule or pass that made it."""

from __future__ import annotations

import linecache
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..frames import IS_USERS, judge
from ..records import record

__all__ = ["Origin", "current", "derived", "exchange", "user_frame"]


@record(frozen=True, slots=True)
class Origin:
    """``file:line`` of the user's code; ``rule`` names what derived the node, e.g. ``vjp of
    exp``."""

    file: str
    line: int
    function: str = ""
    rule: str = ""

    @property
    def source(self) -> str:
        """The text of the line, stripped; empty when the file cannot be read."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        place = f"{os.path.basename(self.file)}:{self.line}"
        return f"{place} ({self.rule})" if self.rule else place


#: Stands for "look at the stack".
_STACK = Origin("", 0)


class _State(threading.local):
    def __init__(self) -> None:
        self.override: Origin | None = _STACK


_state = _State()


#: (file, line, function) -> the one origin object for it
_origins: dict[tuple[str, int, str], Origin] = {}


def user_frame() -> Origin | None:
    """The innermost frame outside of SymFlux, NumPy, the standard library and the like; None when
    there is none.

    This runs for every node that is traced: file names are judged once, and origins are shared."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        file = code.co_filename
        if IS_USERS[file] if file in IS_USERS else judge(file):
            key = (file, frame.f_lineno, code.co_name)
            origin = _origins.get(key)
            if origin is None:
                if len(_origins) > 100_000:
                    _origins.clear()
                origin = _origins[key] = Origin(*key)
            return origin
        frame = frame.f_back
    return None


def current() -> Origin | None:
    """The origin that a node made now gets."""
    override = _state.override
    return user_frame() if override is _STACK else override


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
