"""The functions being traced on this thread: what they captured, what params stand for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from ..errors import DTypeError, TraceError
from ..ir.node import Node, constant, symbol
from ..ir.origin import user_frame
from ..ir.types import dtype_of

__all__ = [
    "Scope",
    "capture",
    "check_captures",
    "is_tracing",
    "outermost",
    "pushed",
    "scopes",
    "short_dtype",
]


#: captured arrays of up to so many bytes are checked for changes while tracing
_WATCHED = 1 << 16


class Scope:
    """A function or a region body while it is being recorded.

    Attributes:
        name: of the function.
        kind: ``"function"``; ``"body"`` of a region, which cannot update params; ``"binding"``,
            which only gives params another meaning.
        captures: arrays and params that became inputs by reference, with their symbols; only the
            outermost scope has any. Keyed by identity; the objects are kept alive.
        params: what each param stands for here: ``id(param) -> (param, handle, node at first)``.
        symbols: ids of the input nodes that belong to this scope.
        watched: small captured arrays, their bytes at the time, and the user's line.
    """

    __slots__ = ("captures", "kind", "name", "params", "symbols", "watched")

    def __init__(self, name: str, kind: str = "function") -> None:
        self.name = name
        self.kind = kind
        self.captures: dict[int, tuple[Any, Node]] = {}
        self.params: dict[int, tuple[Any, Any, Node]] = {}
        self.symbols: set[int] = set()
        self.watched: list[tuple[np.ndarray[Any, Any], bytes, Any]] = []


class _Stack(threading.local):
    def __init__(self) -> None:
        self.scopes: list[Scope] = []


_stack = _Stack()


def is_tracing() -> bool:
    """Whether a function is being traced on this thread."""
    return outermost() is not None


def scopes() -> list[Scope]:
    """The active scopes, outermost first."""
    return _stack.scopes


def outermost() -> Scope | None:
    """The function whose tracing began first, if any."""
    for scope in _stack.scopes:
        if scope.kind != "binding":
            return scope
    return None


@contextmanager
def pushed(scope: Scope) -> Iterator[Scope]:
    """Make ``scope`` the innermost one."""
    _stack.scopes.append(scope)
    try:
        yield scope
    finally:
        _stack.scopes.remove(scope)


def short_dtype(dtype: Any) -> str:
    """The short name of a NumPy dtype.

    Raises:
        DTypeError: naming the user's line, for dtypes that graphs do not hold.
    """
    try:
        return dtype_of(dtype)
    except TypeError as error:
        right = ""
        with suppress(TypeError):
            if np.dtype(dtype).kind == "c":
                right = "the real and the imaginary part as two arrays"
        raise DTypeError(str(error), place=user_frame(), right=right) from None


def capture(array: np.ndarray[Any, Any], name: str = "") -> Node:
    """The node for a plain array: an input by reference while tracing, else a literal."""
    scope = outermost()
    if scope is None:
        return constant(array, short_dtype(array.dtype))
    found = scope.captures.get(id(array))
    if found is None:
        number = len(scope.captures)
        node = symbol(name or f"captured{number}", array.shape, short_dtype(array.dtype))
        found = scope.captures[id(array)] = (array, node)
        scope.symbols.add(node.id)
        if array.nbytes <= _WATCHED:
            scope.watched.append((array, array.tobytes(), user_frame()))
    return found[1]


def check_captures(scope: Scope) -> None:
    """Refuse arrays that changed between their capture and the end of the trace.

    The compiled function reads an array once per call; it cannot see it as it was in between.

    Raises:
        TraceError: naming the line where the array was captured.
    """
    for array, before, place in scope.watched:
        if array.tobytes() != before:
            raise TraceError(
                f"a plain array (shape {array.shape}, {array.dtype}) was changed after it had been "
                "used with traced values",
                place=place,
                why="the compiled function reads the array when it is called, not in between",
                wrong="y = x + a; a[0] = 1; z = x + a",
                right="y = x + a.copy(); a[0] = 1; z = x + a",
            )
