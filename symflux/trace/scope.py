"""The functions being traced on this thread: what they captured, what params stand for."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from ..boundary import nearest
from ..errors import DTypeError, LeakedValue, TraceError
from ..ir.node import Node, constant, symbol
from ..ir.origin import Origin, user_frame
from ..ir.types import dtype_of

__all__ = [
    "Life",
    "Scope",
    "are_captured",
    "array_of",
    "capture",
    "check_captures",
    "elements_of",
    "innermost_life",
    "is_tracing",
    "locked",
    "locked_arrays",
    "note_write",
    "outermost",
    "pushed",
    "scopes",
    "short_dtype",
    "written_undone",
]


#: captured arrays of up to so many bytes are checked for changes while tracing
_WATCHED = 1 << 16


class Life:
    """Whether the scope that a handle was made in is still being recorded.

    ``waiting`` are handles with writes that wait, which are put together before another scope
    begins: what is computed in a loop's body is computed in every iteration."""

    __slots__ = ("name", "open", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.open = True
        self.waiting: dict[int, weakref.ref[Any]] = {}

    def settle(self) -> None:
        """Put the arrays together that parts were written of."""
        waiting, self.waiting = self.waiting, {}
        for reference in waiting.values():
            handle = reference()
            if handle is not None:
                handle.settle()

    def leaked(self, type_: Any) -> LeakedValue:
        """What is raised where a handle of that scope is used after its end."""
        return LeakedValue(
            f"a traced value ({type_}) of {self.name} is used after {self.name} was recorded",
            place=user_frame(),
            why="a traced value means something only until the function in which it was made "
            "returns",
            wrong="def f(x): self.mean = np.mean(x)          # kept for later",
            right="def f(x): return y, np.mean(x)            # returned as a result\n"
            "mean = sf.param(0.0)                      # state that outlives the call:\n"
            "def f(x): sf.update(mean, np.mean(x) - mean)",
        )


class Scope:
    """A function or a region body while it is being recorded.

    Attributes:
        name: of the function.
        kind: ``"function"``; ``"body"`` of a region, which cannot update params; ``"derived"``, a
            function that is differentiated or batched inside of another one; ``"binding"``, which
            only gives params another meaning.
        life: what the handles made in it know of it.
        written: handles made outside of it that were written to, and what they stood for before.
        captures: arrays and params that became inputs by reference, with their symbols; only the
            outermost scope has any. Keyed by identity; the objects are kept alive.
        params: what each param stands for here: ``id(param) -> (param, handle, node at first)``.
        symbols: ids of the input nodes that belong to this scope.
        arrays: the captured arrays, by the id of their nodes.
        needed: those whose elements had to be known while tracing.
        watched: small captured arrays, their bytes at the time, and the user's line.
        bounds: id of an argument that is a Python integer -> the dtypes that it must fit into.
        spans: id of an integer that was asked for -> the least and greatest value that it may have.
        failure: what stands for the number of the error that the call is to raise; None where
            there is nothing to check. ``errors`` are these, from number 1.
        checked: ids of conditions that are checked here already.
    """

    __slots__ = (
        "arrays", "bounds", "captures", "checked", "errors", "failure", "kind", "life", "name",
        "needed", "params", "spans", "symbols", "watched", "written",
    )  # fmt: skip

    def __init__(self, name: str, kind: str = "function") -> None:
        self.name = name
        self.kind = kind
        self.life = Life(name)
        self.written: dict[int, tuple[Any, Node]] = {}
        self.captures: dict[int, tuple[Any, Node]] = {}
        self.params: dict[int, tuple[Any, Any, Node]] = {}
        self.symbols: set[int] = set()
        self.arrays: dict[int, np.ndarray[Any, Any]] = {}
        self.needed: dict[int, np.ndarray[Any, Any]] = {}
        self.watched: list[tuple[np.ndarray[Any, Any], bytes, Any]] = []
        self.bounds: dict[int, dict[str, None]] = {}
        self.spans: dict[int, tuple[int, int]] = {}
        self.failure: Any = None
        self.errors: list[Exception] = []
        self.checked: set[int] = set()


class _Stack(threading.local):
    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.life: Life | None = None  # of the innermost scope that is not a binding


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
    stack = _stack
    before = stack.life
    if before is not None and before.waiting:
        before.settle()
    stack.scopes.append(scope)
    if scope.kind != "binding":
        stack.life = scope.life
    try:
        yield scope
    finally:
        stack.scopes.remove(scope)
        stack.life = before
        scope.life.open = False


def innermost_life() -> Life | None:
    """That of the scope in which a handle made now belongs; None outside of any."""
    return _stack.life


def note_write(handle: Any, node: Node) -> None:
    """Remember that a handle from outside, which stands for ``node``, is written to in the
    innermost scope: there the write is a result, which takes effect where the scope runs."""
    for scope in reversed(_stack.scopes):
        if scope.kind != "binding":
            scope.written.setdefault(id(handle), (handle, node))
            return


@contextmanager
def written_undone(scope: Scope) -> Iterator[None]:
    """Afterwards the handles from outside that were written to in ``scope`` stand for what they
    stood for before: the writes are results, and take effect where the scope's graph runs."""
    try:
        yield
    finally:
        for handle, before in scope.written.values():
            handle.rebind(before)


@contextmanager
def locked_arrays(fn: Any) -> Iterator[None]:
    """Plain arrays that a body's cells and globals hold cannot be written to in it: the write would
    happen once, while tracing, whether the body runs or not, and however often.

    Raises:
        TraceError: where the body tries to, naming the line.
    """
    with locked(
        _arrays_of(fn),
        "a plain array of the surroundings is written to in the body of a loop or branch",
        "the write would happen once, while tracing, and not when the body runs",
        "out = np.zeros(3)",
        "out = symflux.numpy.zeros(3)      # in the traced function",
    ):
        yield


@contextmanager
def locked(
    arrays: Sequence[np.ndarray[Any, Any]], what: str, why: str, wrong: str, right: str
) -> Iterator[None]:
    """Raise a TraceError, naming the line, where one of these plain arrays is written to."""
    held = [a for a in arrays if a.flags.writeable]
    for array in held:
        array.flags.writeable = False
    try:
        yield
    except ValueError as error:
        if not held or "read-only" not in str(error):
            raise
        raise TraceError(what, place=_raised_at(error), why=why, wrong=wrong, right=right) from None
    finally:
        for array in held:
            array.flags.writeable = True


def _raised_at(error: BaseException) -> Origin | None:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return None
    code = trace.tb_frame.f_code
    return Origin(code.co_filename, trace.tb_lineno, code.co_name)


def _arrays_of(fn: Any) -> list[np.ndarray[Any, Any]]:
    """The arrays in the cells of a function and of those in its cells, and in the globals that
    they name."""
    found: dict[int, Any] = {}
    seen: set[int] = set()
    waiting = [fn]
    while waiting:
        value = waiting.pop()
        if isinstance(value, np.ndarray):
            found[id(value)] = value
            continue
        if type(value) in (list, tuple):  # the branches of a switch
            waiting += [v for v in value if isinstance(v, FunctionType)]
            continue
        value = getattr(value, "__func__", value) if isinstance(value, MethodType) else value
        if not isinstance(value, FunctionType) or id(value) in seen:
            continue
        seen.add(id(value))
        for cell in value.__closure__ or ():
            with suppress(ValueError):  # an empty cell
                waiting.append(cell.cell_contents)
        names = value.__globals__
        waiting += [
            names[n] for n in value.__code__.co_names if isinstance(names.get(n), np.ndarray)
        ]
    return list(found.values())


#: kind of a dtype that graphs do not hold -> how its arrays become such that they do
_DTYPE_CURES = {
    "c": "the real and the imaginary part as two arrays: z.real, z.imag",
    "O": "x.astype(np.float64)\n[np.array(row) for row in rows]     # of other lengths: one each",
    "U": "x.astype(np.float64)", "S": "x.astype(np.float64)",
    "M": "x.astype(np.int64)", "m": "x.astype(np.int64)",
    "V": "x['name']            # each field as an array", "g": "x.astype(np.float64)",
}  # fmt: skip


def short_dtype(dtype: Any) -> str:
    """The short name of a NumPy dtype.

    Raises:
        DTypeError: naming the user's line, for dtypes that graphs do not hold.
    """
    try:
        return dtype_of(dtype)
    except TypeError as error:
        near = nearest(dtype, (*np.sctypeDict, "float64")) if isinstance(dtype, str) else ""
        right = repr(near) if near else ""
        with suppress(TypeError):
            right = _DTYPE_CURES.get(np.dtype(dtype).kind, right)
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
        scope.arrays[node.id] = array
        if array.nbytes <= _WATCHED:
            scope.watched.append((array, array.tobytes(), user_frame()))
    return found[1]


def are_captured(inputs: list[Node]) -> bool:
    """Whether all these inputs stand for plain arrays of the surroundings."""
    scope = outermost()
    return not inputs or (scope is not None and all(n.id in scope.arrays for n in inputs))


def array_of(node: Node) -> np.ndarray[Any, Any]:
    """The captured array that an input stands for."""
    scope = outermost()
    assert scope is not None
    return scope.arrays[node.id]


def elements_of(node: Node) -> np.ndarray[Any, Any] | None:
    """The captured array that an input stands for, whose elements are needed now; None for other
    nodes."""
    scope = outermost()
    array = None if scope is None else scope.arrays.get(node.id)
    if array is not None and scope is not None:
        scope.needed[id(array)] = array
    return array


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
