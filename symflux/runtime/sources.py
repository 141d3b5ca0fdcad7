"""Iterators, files and queues of the surroundings: what is taken out of them while tracing would
stay as it was.

Where a function is traced they are replaced by objects that raise when something is taken; those
that cannot be replaced (in a class, a module, a set) are looked at before and after."""

from __future__ import annotations

import gc
import io
import itertools
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..errors import TraceError
from ..ir.origin import Origin, user_frame
from .names import is_library

__all__ = ["Locked", "is_source", "refuse_taking"]

#: classes of Python's library that hand out what others put in
_QUEUES = {"Queue", "LifoQueue", "PriorityQueue", "SimpleQueue", "JoinableQueue", "Connection",
           "socket", "SSLSocket", "Popen"}  # fmt: skip
_MODULES = {"queue", "_queue", "multiprocessing.queues", "multiprocessing.connection", "socket",
            "ssl", "subprocess"}  # fmt: skip
#: methods by which something is taken out, or that say how much there is still
_TAKING = {
    "read", "readline", "readlines", "readinto", "readinto1", "read1", "readall", "peek",
    "getvalue", "getbuffer", "get", "get_nowait", "qsize", "empty", "recv", "recv_bytes",
    "recv_into", "poll", "fetchone", "fetchmany", "fetchall", "communicate", "throw", "__next__",
    "__length_hint__",
}  # fmt: skip


def is_source(v: Any) -> bool:
    """Whether something gives another thing each time it is asked: an iterator, a file, a queue.

    Iterators of the user's own classes are not among them: their attributes are compared."""
    cls = type(v)
    if isinstance(v, itertools.repeat):
        return "," in repr(v)  # others give the same for ever
    if isinstance(v, io.IOBase) or _is_queue(cls):
        return True
    return hasattr(cls, "__next__") and is_library(cls)


def _is_queue(cls: type) -> bool:
    return any(c.__name__ in _QUEUES and c.__module__ in _MODULES for c in cls.__mro__)


class Locked:
    """Stands for a source while a function is traced: only what takes nothing out is permitted."""

    def __init__(self, source: Any, found: list[TraceError]) -> None:
        self._source = source
        self._found = found

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        error = _error(self._source, user_frame())
        self._found.append(error)
        raise error

    def __getattr__(self, name: str) -> Any:
        held = getattr(self._source, name)
        if name in _TAKING or (name == "send" and isinstance(self._source, types.GeneratorType)):
            return self._refuse
        return Locked(held, self._found) if is_source(held) else held

    def __iter__(self) -> Any:
        return self

    def __enter__(self) -> Any:
        self._source.__enter__()
        return self

    def __exit__(self, *args: Any) -> Any:
        return self._source.__exit__(*args)

    __next__ = __length_hint__ = _refuse


def _error(source: Any, place: Origin | None) -> TraceError:
    cls = type(source)
    if isinstance(source, io.IOBase):
        kind, wrong, draw = "a file", "x * float(file.readline())", "float(file.readline())"
    elif _is_queue(cls):
        kind, wrong, draw = f"a {cls.__name__}", "x * queue.get()", "queue.get()"
    else:
        kind = "a generator" if cls is types.GeneratorType else f"an iterator ({cls.__name__})"
        wrong, draw = "x * next(it)", "next(it)"
    return TraceError(
        f"{kind} of the surroundings is read while the function is traced: every call would see "
        "this one value",
        place=place,
        why="tracing runs the Python code once; compiled calls do not run it",
        wrong=f"def f(x): return {wrong}",
        right=f"def f(x, item): return x * item     # f(x, {draw})",
    )


@contextmanager
def refuse_taking(
    sources: Iterable[Any], found: list[TraceError], place: Callable[[], Origin | None]
) -> Iterator[None]:
    """Raise where code run inside takes something out of a source.

    Args:
        sources: that the code reaches, replaced or not.
        found: errors that replaced ones raised; the code may have caught them.
        place: what to name where the line is not known.

    Raises:
        TraceError: naming the kind of source.
    """
    before = [(s, _position(s)) for s in sources]
    yield
    if found:
        raise found[0]
    for source, position in before:
        if _position(source) != position:
            raise _error(source, place())


def _position(source: Any, depth: int = 9) -> Any:
    """What changes when something is taken out of a source, as far as it can be seen."""
    if isinstance(source, types.GeneratorType):
        frame = source.gi_frame
        return None if frame is None else (frame.f_lasti, *map(id, frame.f_locals.values()))
    if isinstance(source, itertools.count | itertools.repeat):
        return repr(source)
    for name in ("__length_hint__", "tell", "qsize"):
        if hasattr(source, name):
            with suppress(Exception):  # files that cannot tell, queues of other processes
                return getattr(source, name)()
    number = getattr(source, "line_num", getattr(source, "index", None))
    if type(number) is int or depth == 0:
        return number
    return [_position(v, depth - 1) for v in gc.get_referents(source) if is_source(v)]
