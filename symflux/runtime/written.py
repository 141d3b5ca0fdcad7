"""Arrays that a call writes to, arguments, donated ones, those given as ``out``: what may be
written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..boundary import nearest
from ..errors import ArgumentError, StructureError
from ..ir.origin import user_frame
from ..ir.types import ArrayType, numpy_dtype
from ..trace.param import Param
from ..trace.trace import Traced
from .execute import plain

__all__ = ["check_donate", "check_written", "fill", "given_back", "own", "separate", "targets"]

#: How much work the question whether two arrays share an element is worth; beyond it they do.
_WORK: Any = 10_000


def _share(a: Any, b: Any) -> bool:
    """Whether two arrays have an element in common."""
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=_WORK)
    except np.exceptions.TooHardError:
        return True


def _folded(array: np.ndarray[Any, Any]) -> bool:
    """Whether elements of an array may lie in the same place (a window that is moved by less than
    its length, a stride of 0): not all of them can be written then."""
    if array.flags.c_contiguous:
        return False
    reach = 0
    for step, extent in sorted(
        (abs(s), n) for s, n in zip(array.strides, array.shape, strict=True)
    ):
        if extent > 1:
            if step < reach + array.itemsize:
                return True
            reach += step * (extent - 1)
    return False


# --- arguments that the function writes to -------------------------------------------------------


def check_written(given: Sequence[Any], traced: Traced, constants: Sequence[Any]) -> None:
    """The arrays that the function writes to can take it.

    ``constants`` are captured arrays whose elements were read while tracing.

    Raises:
        ArgumentError: for one that is read-only, that has several elements in one place, or that
            shares memory with another array that the function is given or reads: which elements
            it would read depends on the order of its statements.
    """
    for i, place in traced.written.items():
        array, name = given[i], _named(traced, i)
        if not array.flags.writeable:
            problem, why = "is read-only", ""
        elif _folded(array):
            problem, why = "has several elements in one place", ""
        else:
            others = [(v, _named(traced, j)) for j, v in enumerate(given) if j != i]
            others += [(v, f"a captured array (shape {v.shape}, {v.dtype})") for v in constants]
            other = next((what for v, what in others if _overlap(array, v)), None)
            if other is None:
                continue
            problem = f"shares memory with {other}"
            why = "compiled code reads its arguments when it is called, not in between"
        f, is_argument = traced.graph.name, i < len(traced.arguments.names)
        raise ArgumentError(
            f"{f} writes to {'its argument ' if is_argument else ''}{name}, which {problem}",
            place=place,
            why=why,
            right=f"{f}({name.strip('`').split('.')[-1]}.copy())\n"
            f"symflux.compile({f}, write_back=False)   # leaves them as they are"
            if is_argument
            else "an array that is given to the function, or read, in one way only",
        )


def _overlap(array: Any, other: Any) -> bool:
    return isinstance(other, np.ndarray) and _share(array, other)


def _named(traced: Traced, i: int) -> str:
    """What an input is called in messages."""
    names = traced.arguments.names
    if i < len(names):
        return f"`{names[i]}`"
    own = traced.graph.inputs[i]["name"]
    captured = traced.captures[i - len(names)]
    if type(captured) is Param:
        return f"`param {own}`"
    return f"the captured array `{own}` (shape {captured.shape}, {captured.dtype})"


# --- donated arrays -------------------------------------------------------------------------------


def check_donate(fn: Callable[..., Any], names: Iterable[str], static: Sequence[str]) -> None:
    """Each name of ``donate`` is one of an argument that is traced.

    Raises:
        ArgumentError: for a name that the function does not have, and for static arguments.
    """
    try:
        parameters = inspect.signature(fn).parameters
    except (TypeError, ValueError):  # a builtin
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in names:
        if name not in parameters:
            raise ArgumentError(
                f"donate: {getattr(fn, '__name__', 'function')} has no parameter {name!r}",
                place=user_frame(),
                why=f"its parameters: {', '.join(parameters)}",
                right=f"donate={nearest(name, parameters) or next(iter(parameters), '')!r}",
            )
        if name in static:
            raise ArgumentError(
                f"donate: {name!r} is static, it holds no array whose memory could be used",
                place=user_frame(),
            )


def own(value: Any, type_: ArrayType) -> Any:
    """An array that may be overwritten."""
    made = plain(value, type_)
    return made if isinstance(made, np.ndarray) and made.flags.writeable else np.array(made)


def separate(given: Sequence[Any], values: list[Any], donated: set[int], traced: Traced) -> None:
    """Copy donated arrays that share memory with an argument that is only read.

    Raises:
        ArgumentError: if two of those that are written share memory with each other.
    """
    arrays = [(i, v) for i, v in enumerate(given) if isinstance(v, np.ndarray)]
    for i, array in arrays:
        if i not in donated:
            continue
        for j, other in arrays:
            if j > i and j in donated and _share(array, other):
                _refuse(traced, i, j)
        if any(j != i and np.may_share_memory(values[i], values[j]) for j, _ in arrays):
            values[i] = np.array(values[i])


def _refuse(traced: Traced, i: int, j: int) -> None:
    raise ArgumentError(
        f"{traced.graph.name} writes to the memory of both {_named(traced, i)} and "
        f"{_named(traced, j)}, which is the same memory",
        place=user_frame(),
        why="donated arguments and updated params get a result each",
        right=f"{traced.graph.inputs[j]['name'].split('.')[-1]}.copy()   # for one of them",
    )


def given_back(given: Any, value: Any) -> Any:
    """What is returned for a donated array whose new elements are ``value``: the array itself where
    they can be put into it."""
    if value is given or not isinstance(given, np.ndarray):
        return value
    if not given.flags.writeable or _folded(given):
        return value
    given[...] = value
    return given


# --- out ------------------------------------------------------------------------------------------


def targets(out: Any, traced: Traced) -> list[np.ndarray[Any, Any]]:
    """The arrays of ``out``, one for each result.

    Raises:
        ArgumentError: where something is not an array that the result fits into, and where two of
            them share memory.
    """
    try:
        given = traced.out_tree.flatten_up_to(out)
    except StructureError as error:
        raise ArgumentError(
            f"out must have the structure of the result: {error.what}",
            place=user_frame(),
            right=f"{traced.graph.name}(..., out=...)   # in the form of {traced.out_tree}",
        ) from None
    for n, (array, y) in enumerate(zip(given, traced.graph.outputs, strict=False)):
        wanted = numpy_dtype(y.dtype)
        if not isinstance(array, np.ndarray):
            problem = f"a {type(array).__name__}"
        elif array.shape != y.shape or array.dtype != wanted:
            problem = f"an array of {array.dtype}{list(array.shape)}"
        elif not array.flags.writeable:
            problem = "an array that is read-only"
        elif _folded(array):
            problem = "an array with several elements in one place"
        elif any(_share(array, other) for other in given[:n]):
            problem = "an array that shares memory with that of another result"
        else:
            continue
        raise ArgumentError(
            f"out is {problem}, where the result is {wanted}{list(y.shape)}",
            place=user_frame(),
            right=f"np.empty({y.shape}, {str(wanted)!r})",
        )
    return given


def fill(arrays: Sequence[np.ndarray[Any, Any]], results: Sequence[Any]) -> None:
    """Put the results into the arrays. A result that lies where an array goes is copied first: that
    of a donated argument that shares memory with what is given as ``out``. (Where an array is
    assigned to another one in its own memory, NumPy does not always copy it.)"""
    results = [
        np.array(r)
        if any(not (a is t and r is t) and np.may_share_memory(a, r) for a in arrays)
        else r
        for r, t in zip(results, arrays, strict=True)
    ]
    for array, result in zip(arrays, results, strict=True):
        array[...] = result
