"""A compiled program as a Python function: the call written as machine code too.

The function takes its arguments straight out of Python's and NumPy's objects. When they are exactly
what the program was compiled for (types, dtypes, shapes, layout) it allocates the results, runs the
program and returns; anything else goes to ``fallback``, an ordinary Python callable, with the same
arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from ..ir import BYTES, Buffer, Program, Role, Var
from ..scalars import numpy_dtype
from . import capi
from .arguments import Arguments
from .cost import is_long
from .emit import Emitter
from .jit import Code, assemble, joined
from .machine import host
from .objects import ObjectWriter
from .optimise import ModuleText
from .program import write_program
from .results import Results

__all__ = ["CallSpec", "Entry", "Leaf", "Node", "Param", "Result", "Static", "build_entry"]

LeafKind: TypeAlias = Literal["float", "int", "bool", "array", "numpy_scalar", "argument"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value of an argument or a result, and the buffer that holds it.

    Kinds of an argument: ``float``, ``int``, ``bool`` (exactly Python's types, stored into a
    buffer of one element of ``dtype``), ``numpy_scalar`` (exactly ``numpy.dtype(dtype).type``),
    ``array`` (exactly ``numpy.ndarray``, C-contiguous, aligned, native byte order, of this dtype
    and shape). ``donated`` arrays are INOUT buffers: they must be writeable and share no memory
    with another argument.

    Kinds of a result: ``float``, ``int``, ``bool``, ``numpy_scalar``, ``array`` (newly allocated),
    and ``argument``: the very object that came in for ``buffer``.

    A dimension may be one of the program's ``sizes``: the first array that has it says its
    value."""

    kind: LeafKind
    dtype: str
    buffer: str
    shape: tuple[int | Var, ...] = ()
    donated: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A tuple, list or dict (exactly that type); ``keys`` are a dict's, in the order of
    children."""

    kind: Literal["tuple", "list", "dict"]
    children: tuple[Param | Result, ...]
    keys: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Static:
    """An argument that must be this very object, or a result that is."""

    value: Any


Param: TypeAlias = Leaf | Node | Static
Result: TypeAlias = Leaf | Node | Static


@dataclass(frozen=True, slots=True)
class CallSpec:
    """How a Python call maps to a program's buffers.

    ``captures`` are (buffer name, array): arrays held by reference, checked and read at every
    call. ``result`` is what the call returns; ``fallback`` is called with the original arguments
    when they do not fit."""

    name: str
    params: tuple[Param, ...]
    result: Result
    fallback: Callable[..., Any]
    captures: tuple[tuple[str, np.ndarray[Any, Any]], ...] = ()


class Entry:
    """A native Python function (``call``) and the texts it came from."""

    __slots__ = ("__weakref__", "_fast_math", "_spec", "_texts", "call", "program")

    def __init__(self, program: Program, spec: CallSpec, call: Any, fast_math: bool) -> None:
        self.program = program
        self.call = call
        self._spec = spec
        self._fast_math = fast_math
        self._texts: tuple[str, str] | None = None

    def _modules(self) -> list[ModuleText]:
        found: list[ModuleText] = []
        main = _write(self.program, self._spec, self._fast_math, found.append).finish()
        return [*found, main]

    @property
    def llvm_ir(self) -> str:
        """The module (or modules) as written, before LLVM's passes."""
        return joined(self._modules())

    @property
    def llvm_optimized(self) -> str:
        """The module after LLVM's passes."""
        return self._read()[0]

    @property
    def asm(self) -> str:
        """The machine code as assembly."""
        return self._read()[1]

    def _read(self) -> tuple[str, str]:
        if self._texts is None:
            self._texts = assemble(self._modules(), host())
        return self._texts


def build_entry(program: Program, spec: CallSpec, *, fast_math: bool = False) -> Entry:
    """Compile a program together with the Python function that calls it.

    ``entry.call`` is a builtin function: positional arguments only (keywords go to the fallback).
    It keeps the machine code alive; drop it and everything is freed. Raises ValueError when the
    spec and the program's buffers do not match."""
    _check(program, spec)
    if capi.FREE_THREADED and _has_mutable_nodes(spec.params):
        # Without a global lock another thread may change a list while it is read here.
        return Entry(program, spec, spec.fallback, fast_math)
    capi.register()
    with ObjectWriter(host()) as writer:
        emitter = _write(program, spec, fast_math, writer.add)
        objects = writer.finish(emitter.finish())
    code = Code(objects, host(), ["entry", *emitter.exports()[1:]])
    referred = (spec, tuple(numpy_dtype(d) for d in BYTES))
    owner = capi.Owner(spec.name, code, referred, code.addresses["entry"])
    return Entry(program, spec, capi.new_function(owner), fast_math)


def _write(
    program: Program, spec: CallSpec, fast_math: bool, sink: Callable[[ModuleText], None]
) -> Emitter:
    e = Emitter(program, fast_math=fast_math, sink=sink)
    write_program(e, call=False)
    for line in capi.DECLARATIONS.values():
        e.add_function(line)
    buffers = {b.name: b for b in program.arguments()}
    header = "define ptr @entry(ptr %self, ptr %arguments, i64 %count, ptr %keywords)"
    with e.function(header):
        arguments = Arguments(e, spec, buffers)
        arguments.read()
        results = Results(e, spec, buffers, arguments)
        results.allocate()
        _run(e, program, arguments, results)
        results.finish()
        arguments.write_fallback()
    return e


def _run(e: Emitter, program: Program, arguments: Arguments, results: Results) -> None:
    """Call the program, without the global lock when it is long, and check that it ran."""
    pointers = arguments.pointers | results.pointers
    items = [f"ptr {pointers[b.name]}" for b in program.arguments()]
    items += [f"i64 {arguments.sizes[size]}" for size in program.sizes]
    release = is_long(program)
    if release:
        arguments.hold()
        state = e.value("call ptr @PyEval_SaveThread()", "state")
    status = e.value(f"call i32 @run({', '.join(items)})", "status")
    if release:
        e.line(f"call void @PyEval_RestoreThread(ptr {state})")
        arguments.let_go()
    results.check_status(status)


def _leaves(tree: Param | Result) -> list[Leaf]:
    if isinstance(tree, Leaf):
        return [tree]
    if isinstance(tree, Node):
        return [leaf for child in tree.children for leaf in _leaves(child)]
    return []


def _has_mutable_nodes(params: tuple[Param, ...]) -> bool:
    return any(
        isinstance(p, Node) and (p.kind != "tuple" or _has_mutable_nodes(p.children))
        for p in params
    )


def _check(program: Program, spec: CallSpec) -> None:
    """Every argument buffer has exactly one giver; roles, dtypes and sizes agree."""
    buffers = {b.name: b for b in program.arguments()}
    given = [leaf for p in spec.params for leaf in _leaves(p)]
    names = [leaf.buffer for leaf in given] + [name for name, _ in spec.captures]
    if len(names) != len(set(names)):
        raise ValueError(f"{spec.name}: a buffer is given by two arguments")
    results = [leaf for leaf in _leaves(spec.result) if leaf.kind != "argument"]
    for leaf in _leaves(spec.result):
        if leaf.kind == "argument" and leaf.buffer not in {g.buffer for g in given}:
            raise ValueError(f"{spec.name}: result {leaf.buffer} is not an argument")
    for leaf in (*given, *results):
        _check_leaf(spec, buffers.get(leaf.buffer), leaf)
    for leaf in given:
        if leaf.donated != (buffers[leaf.buffer].role is Role.INOUT):
            raise ValueError(f"{spec.name}: only INOUT buffers are donated ({leaf.buffer})")
    for buffer in buffers.values():
        want = {r.buffer for r in results} if buffer.role is Role.OUTPUT else set(names)
        if buffer.name not in want:
            raise ValueError(f"{spec.name}: nothing is given for buffer {buffer.name}")


def _check_leaf(spec: CallSpec, buffer: Buffer | None, leaf: Leaf) -> None:
    if buffer is None:
        raise ValueError(f"{spec.name}: the program has no argument buffer {leaf.buffer}")
    if buffer.dtype != leaf.dtype:
        raise ValueError(
            f"{spec.name}: buffer {buffer.name} holds {buffer.dtype}, the call says {leaf.dtype}"
        )
    size = 1
    for extent in leaf.shape:
        if not isinstance(extent, int):
            return
        size *= extent
    if isinstance(buffer.size, int) and buffer.size != size:
        raise ValueError(
            f"{spec.name}: buffer {buffer.name} has {buffer.size} elements, the call says {size}"
        )
