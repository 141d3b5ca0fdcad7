"""How a Python call maps to a program's buffers: what an entry is made from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from ...deep import deep
from ...records import record
from ..ir import BYTES, Var
from ..scalars import numpy_dtype
from .words import Words

__all__ = [
    "OUT", "CallSpec", "Check", "Leaf", "Node", "Param", "Result", "Static", "compared_key",
    "describe", "leaves", "parts", "places", "referred",
]  # fmt: skip

#: The keyword argument for results; the name in a call's keywords is this very object.
OUT = sys.intern("out")

LeafKind: TypeAlias = Literal["float", "int", "bool", "array", "numpy_scalar", "argument"]


@record(frozen=True, slots=True)
class Leaf:
    """One value of an argument or a result, and the buffer that holds it.

    Kinds of an argument: ``float``, ``int``, ``bool`` (exactly Python's types, stored into a
    buffer of one element of ``dtype``), ``numpy_scalar`` (exactly ``numpy.dtype(dtype).type``),
    ``array`` (exactly ``numpy.ndarray``, C-contiguous, aligned, native byte order, of this dtype
    and shape). ``donated`` arrays are INOUT buffers: they must be writeable and share no memory
    with another argument.

    Kinds of a result: ``float``, ``int``, ``bool``, ``numpy_scalar``, ``array`` (newly allocated),
    and ``argument``: the very object that came in for ``buffer``.

    An ``int`` has to fit into all of ``narrow``: integer dtypes that it becomes in the program.

    A dimension may be one of the program's ``sizes``: the first array that has it says its
    value."""

    kind: LeafKind
    dtype: str
    buffer: str
    shape: tuple[int | Var, ...] = ()
    donated: bool = False
    narrow: tuple[str, ...] = ()


@record(frozen=True, slots=True)
class Node:
    """A tuple, list or dict (exactly that type); ``keys`` are a dict's, in its own order, which is
    that of the children."""

    kind: Literal["tuple", "list", "dict"]
    children: tuple[Param | Result, ...]
    keys: tuple[Any, ...] = ()


@record(frozen=True, slots=True)
class Static:
    """An argument that must be this very object, or a result that is."""

    value: Any


@record(frozen=True, slots=True)
class Check:
    """A buffer of one int64 that is 0 after a run that went well. Of other numbers ``refuse`` is
    called with the number, and raises."""

    buffer: str
    refuse: Callable[[int], None]


Param: TypeAlias = Leaf | Node | Static
Result: TypeAlias = Leaf | Node | Static


@record(frozen=True, slots=True)
class CallSpec:
    """How a Python call maps to a program's buffers.

    ``captures`` are (buffer name, array): arrays held by reference, checked and read at every
    call. Donated arrays share no memory with these, nor with those of ``apart``, whose elements are
    constants of the program. ``result`` is what the call returns; ``fallback`` is called with the
    original arguments when they do not fit. With ``out``, a call may also give the keyword argument
    ``out``: arrays for all results, in this structure (leaves of kind ``array``), which is then
    returned. With ``words``, a call also goes to the fallback when one of them changed. With
    ``check``, a call may raise after the run."""

    name: str
    params: tuple[Param, ...]
    result: Result
    fallback: Callable[..., Any]
    captures: tuple[tuple[str, np.ndarray[Any, Any]], ...] = ()
    out: Param | None = None
    words: Words | None = None
    apart: tuple[np.ndarray[Any, Any], ...] = ()
    check: Check | None = None


def leaves(tree: Param | Result) -> Iterator[Leaf]:
    """The leaves of an argument or a result, in order."""
    return (part for part in parts(tree) if isinstance(part, Leaf))


def parts(tree: Param | Result) -> Iterator[Param | Result]:
    """An argument or a result, and all that is inside of it, in order."""
    stack = [tree]
    while stack:
        tree = stack.pop()
        yield tree
        if isinstance(tree, Node):
            stack += reversed(tree.children)


def compared_key(key: Any) -> str | None:
    """The type of a dict's key, by its name in C, if generated code may compare keys of it: that
    runs no code of the user's. None for others, which are recognised by identity alone."""
    return {str: "PyUnicode_Type", int: "PyLong_Type", bytes: "PyBytes_Type"}.get(type(key))


def referred(spec: CallSpec) -> tuple[Any, ...]:
    """The Python objects that an entry refers to, in the order of its table of them: it depends on
    the structure of the call alone."""
    found: list[Any] = [spec.fallback]
    for dtype in map(numpy_dtype, BYTES):
        found += [dtype, dtype.type]
    for tree in (*spec.params, spec.result, *([OUT, spec.out] if spec.out is not None else [])):
        found += [tree] if isinstance(tree, str) else _named(tree)
    found += [*spec.apart, *[array for _, array in spec.captures]]
    found += [] if spec.check is None else [spec.check.refuse]
    return tuple(found if spec.words is None else [*found, spec.words])


def places(spec: CallSpec) -> dict[int, int]:
    """The id of each object that an entry refers to, and where generated code finds it in the
    table: at its first place, when several parts of the call are the same object.

    Which parts are the same object is no matter of the structure: ``None`` may be both an argument
    and a result, a key of an argument also one of the result. So these places are part of
    :func:`describe`."""
    return {id(value): n for n, value in reversed(list(enumerate(referred(spec))))}


def _named(tree: Param | Result) -> Iterator[Any]:
    """Static values and the keys of dicts."""
    for part in parts(tree):
        if isinstance(part, Static):
            yield part.value
        elif isinstance(part, Node):
            yield from part.keys


def describe(spec: CallSpec, numbers: Mapping[str, int]) -> str:
    """All of a call that its code depends on, as text: equal texts for equal graphs mean the same
    entry.

    ``numbers`` are those of the buffers, which have other names in other functions."""
    at = places(spec)

    @deep
    def text(tree: Param | Result) -> Generator[Any, str, str]:
        if isinstance(tree, Static):
            return f"static @{at[id(tree.value)]}"
        if isinstance(tree, Node):
            children: list[str] = []
            for child in tree.children:
                children.append((yield text.step(child)))
            if tree.kind == "dict":
                pairs = zip(tree.keys, children, strict=True)
                children = [f"{compared_key(k)} @{at[id(k)]}: {child}" for k, child in pairs]
            return f"{tree.kind}({', '.join(children)})"
        place, donated = numbers[tree.buffer], "!" if tree.donated else ""
        narrow = "".join([f" in {dtype}" for dtype in tree.narrow])
        return f"{tree.kind} {tree.dtype}{list(tree.shape)} {place}{donated}{narrow}"

    captured = [f"{numbers[name]} {list(a.shape)} @{at[id(a)]}" for name, a in spec.captures]
    out = "" if spec.out is None else f" out {text(spec.out)}"
    words = "" if spec.words is None else f" words {spec.words.in_line}"
    if spec.apart:
        words += f" apart from {[f'{a.nbytes} @{at[id(a)]}' for a in spec.apart]}"
    check = "" if spec.check is None else f" check {numbers[spec.check.buffer]}"
    params = ", ".join(map(text, spec.params))
    return f"{params} -> {text(spec.result)} with {captured}{out}{words}{check}"
