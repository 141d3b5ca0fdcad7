"""A compiled program as a Python function: the call written as machine code too.

The function takes its arguments straight out of Python's and NumPy's objects. When they are exactly
what the program was compiled for (types, dtypes, shapes, layout) it allocates the results, runs the
program and returns; anything else goes to ``fallback``, an ordinary Python callable, with the same
arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...records import replace
from ..ir import Buffer, Program, Role
from . import capi, stops
from .arguments import Arguments
from .callspec import OUT, CallSpec, Leaf, leaves, places, referred
from .cost import is_long, outlasts_entry
from .emit import Emitter
from .entry import Entry
from .image import Image, is_native, load_entry, service
from .machine import host
from .objects import ObjectWriter
from .optimise import ModuleText
from .program import write_program
from .results import Results

if TYPE_CHECKING:
    from .library import Shelf

__all__ = ["build_entry", "compile_entry", "write_modules"]


def build_entry(program: Program, spec: CallSpec, *, fast_math: bool = False) -> Entry:
    """Compile a program together with the Python function that calls it.

    ``entry.call`` is a builtin function: positional arguments only (keywords go to the fallback).
    It keeps the machine code alive; drop it and everything is freed. Raises ValueError when the
    spec and the program's buffers do not match."""
    call = spec.fallback
    if is_native(spec):
        call = load_entry(compile_entry(program, spec, fast_math=fast_math), spec)
    else:
        _check(program, spec)
    return Entry(lambda: program, spec, call, fast_math)


def compile_entry(program: Program, spec: CallSpec, *, fast_math: bool = False) -> Image:
    """The machine code of a program and its entry; it refers to no address of this process."""
    _check(program, spec)
    from .library import Shelf

    shelf = Shelf(host(), program, fast_math)
    with ObjectWriter(host()) as writer:
        emitter = _write(program, spec, fast_math, writer.add, shelf)
        main, kernels = emitter.finish(), shelf.module()
        if kernels is not None:
            writer.add(kernels)
        objects = writer.finish(main)
    made = objects.pop(-2) if kernels is not None else None
    objects += shelf.objects(made)
    names = ("entry", "objects", *emitter.exports()[1:])
    needs = tuple(sorted(emitter.services))
    return Image((*objects, *(service(need).object_code() for need in needs)), names, needs)


def write_modules(program: Program, spec: CallSpec, fast_math: bool) -> list[ModuleText]:
    """The modules of a program and its entry, as written."""
    found: list[ModuleText] = []
    main = _write(program, spec, fast_math, found.append).finish()
    return [*found, main]


def _write(
    program: Program,
    spec: CallSpec,
    fast_math: bool,
    sink: Callable[[ModuleText], None],
    shelf: Shelf | None = None,
) -> Emitter:
    e = Emitter(program, fast_math=fast_math, sink=sink)
    e.shelf = shelf
    e.plain_run = is_long(program)  # asked for once: all of the program is counted
    e.plain_entry = e.by_table or e.plain_run or outlasts_entry(program)
    asks = "symflux_poll" if e.plain_run else "symflux_poll_locked"
    write_program(e, call=False, asks=asks if stops.may_run_long(program) else "")
    for line in capi.DECLARATIONS.values():
        e.add_function(line)
    buffers = {b.name: b for b in program.arguments()}
    e.objects = places(spec)
    size = len(referred(spec)) + 1  # and the number of calls that wait inside
    e.add_function(f"@objects = global [{size} x ptr] zeroinitializer, align 8")
    _write_entry(e, program, spec, buffers, out=False)
    if spec.out is not None:
        _write_entry(e, program, spec, buffers, out=True)
    return e


def _write_entry(
    e: Emitter, program: Program, spec: CallSpec, buffers: dict[str, Buffer], out: bool
) -> None:
    """The function that Python calls; with ``out``, the one that it goes on to when arrays for the
    results are given."""
    linkage, name = ("internal ", "entry_out") if out else ("", "entry")
    listed = "ptr %self, ptr %arguments, i64 %count, ptr %keywords"
    with e.function(
        f"define {linkage}ptr @{name}({listed})", attributes="#5" if e.plain_entry else "#0"
    ):
        made = replace(spec, result=Leaf("argument", "bool", OUT)) if out else spec
        arguments: Arguments
        results: Results
        if e.by_table:
            from .many import ManyArguments, ManyResults

            many = arguments = ManyArguments(e, made, buffers, out)
            many.read()
            results = ManyResults(e, made, buffers, many)
        else:
            arguments = Arguments(e, made, buffers, out)
            arguments.read()
            results = Results(e, made, buffers, arguments)
        results.allocate()
        _run(e, program, arguments, results)
        results.finish()
        arguments.write_fallback()


def _run(e: Emitter, program: Program, arguments: Arguments, results: Results) -> None:
    """Call the program, without the global lock when it is long, and check that it ran."""
    items = arguments.passed(results.pointers, program)
    items += [f"i64 {arguments.sizes[size]}" for size in program.sizes]
    release = e.plain_run
    held = release or stops.may_run_long(program)  # handlers of signals may run meanwhile
    if held:
        arguments.hold()
    if release:
        state = e.value("call ptr @PyEval_SaveThread()", "state")
    status = e.value(f"call i32 @run({', '.join(items)})", "status")
    if release:
        e.line(f"call void @PyEval_RestoreThread(ptr {state})")
    if held:
        arguments.let_go()
    results.check_status(status)
    results.check_number()


def _check(program: Program, spec: CallSpec) -> None:
    """Every argument buffer has exactly one giver; roles, dtypes and sizes agree."""
    buffers = {b.name: b for b in program.arguments()}
    given = [leaf for p in spec.params for leaf in leaves(p)]
    names = [leaf.buffer for leaf in given] + [name for name, _ in spec.captures]
    if len(names) != len(set(names)):
        raise ValueError(f"{spec.name}: a buffer is given by two arguments")
    results = [leaf for leaf in leaves(spec.result) if leaf.kind != "argument"]
    came = {leaf.buffer for leaf in given}
    for leaf in leaves(spec.result):
        if leaf.kind == "argument" and leaf.buffer not in came:
            raise ValueError(f"{spec.name}: result {leaf.buffer} is not an argument")
    if spec.check is not None:
        results.append(Leaf("numpy_scalar", "i64", spec.check.buffer))
    for leaf in (*given, *results):
        _check_leaf(spec, buffers.get(leaf.buffer), leaf)
    for leaf in given:
        if leaf.donated != (buffers[leaf.buffer].role is Role.INOUT):
            raise ValueError(f"{spec.name}: only INOUT buffers are donated ({leaf.buffer})")
    if spec.out is not None:
        _check_out(spec, buffers, [leaf.buffer for leaf in leaves(spec.result)])
    checked = set() if spec.check is None else {spec.check.buffer}
    written, read = {r.buffer for r in results} | checked, {*names, *checked}
    for buffer in buffers.values():
        if buffer.name not in (written if buffer.role is Role.OUTPUT else read):
            raise ValueError(f"{spec.name}: nothing is given for buffer {buffer.name}")


def _check_out(spec: CallSpec, buffers: dict[str, Buffer], results: list[str]) -> None:
    """Arrays are given for all results, each once."""
    assert spec.out is not None
    given = list(leaves(spec.out))
    for leaf in given:
        _check_leaf(spec, buffers.get(leaf.buffer), leaf)
    if sorted(leaf.buffer for leaf in given) != sorted(results):
        raise ValueError(f"{spec.name}: out must give an array for each of {results}, once")
    if not all(leaf.kind == "array" and leaf.donated for leaf in given):
        raise ValueError(f"{spec.name}: out holds arrays that are written to")


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
