"""Lines, names, labels, functions and metadata: how the text of an LLVM module is put together.

``lanes`` is how many values an operation works on. With 1 the types are plain (``double``); inside
a vector loop they are vectors (``<8 x double>``), and every instruction is written the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager

from ...records import field, record
from ..ir import BYTES, Buffer, Index, Let, Var
from ..scalars import FLOATS
from .types import VALUE_TYPES, constant_text, memory_type

_RARELY = '!"branch_weights", i32 1, i32 2000'

__all__ = ["FunctionText", "Part", "Stop", "Writer"]


@record(slots=True)
class Part:
    """A module being written beside the main one: functions, and what they call elsewhere."""

    functions: list[str] = field(default_factory=list)
    declarations: dict[str, str] = field(default_factory=dict)  # by name
    weight: int = 0  # statements in it


@record(frozen=True, slots=True)
class Stop:
    """How a function learns that its run was interrupted (``stops.py``): the flag of the run,
    the place of the work done since it last asked, and whom it asks."""

    flag: str
    work: str
    asks: str


@record(slots=True)
class FunctionText:
    """What is being written: one LLVM function's lines and names."""

    name: str = ""
    lines: list[str] = field(default_factory=list)
    allocas: list[str] = field(default_factory=list)
    values: dict[Var, str] = field(default_factory=dict)
    pointers: dict[Buffer, str] = field(default_factory=dict)
    indices: list[dict[Index, str]] = field(default_factory=lambda: [{}])
    names: int = 0
    label: str = "entry"
    access_group: str = ""
    strict: bool = False
    lanes: int = 1
    part: Part | None = None  # the module it goes to; None for the main one
    stop: Stop | None = None  # None where a run is too short to be interrupted
    #: the table of all arguments, and scratch memory, where functions are passed those
    table: str = ""
    arena: str = ""
    drives: bool = False  # whether it has others do long work
    computes: bool = False  # whether it works in loops itself


class Writer:
    """Text of a module, written function by function."""

    def __init__(self, *, fast_math: bool = False) -> None:
        self.fast_math = fast_math
        self.soft_halves = False  # whether the processor cannot convert f16
        #: module-level things that were written already, by whatever tells them apart
        self.helpers: dict[Hashable, str] = {}
        self._text: list[str] = []
        self._metadata: list[str] = []
        self._global_names: set[str] = {"run", "call", "entry", "release"}
        self._function = FunctionText()

    # -- lines and names -------------------------------------------------------------------------

    def line(self, text: str) -> None:
        """Append one instruction to the current block."""
        self._function.lines.append("  " + text)

    def reserve_lines(self, count: int) -> int:
        """Leave lines open, for phis whose values are not known yet; the place of the first."""
        place = len(self._function.lines)
        self._function.lines.extend([""] * count)
        return place

    def set_line(self, place: int, text: str) -> None:
        """Write a line that ``reserve_lines`` left open."""
        self._function.lines[place] = "  " + text

    def fresh(self, prefix: str = "t") -> str:
        """A new local name, ``%prefixN``."""
        function = self._function
        function.names += 1
        return f"%{prefix}{function.names}"

    def value(self, text: str, prefix: str = "t") -> str:
        """Append ``%new = text``; the new name."""
        function = self._function
        function.names += 1
        name = f"%{prefix}{function.names}"
        function.lines.append(f"  {name} = {text}")
        return name

    def label(self, hint: str = "block") -> str:
        """A new label (without ``%``), to be placed by ``start``."""
        function = self._function
        function.names += 1
        return f"{hint}.{function.names}"

    def start(self, label: str) -> None:
        """Begin the basic block ``label``; the block before it must have ended with a branch."""
        function = self._function
        function.lines.append(f"{label}:")
        function.label = label

    @property
    def current_label(self) -> str:
        """The label of the basic block that ``line`` appends to (for phis)."""
        return self._function.label

    @property
    def values(self) -> dict[Var, str]:
        """What the Vars of the current function are called."""
        return self._function.values

    @property
    def function_name(self) -> str:
        """The name (without ``@``) of the function being written."""
        return self._function.name

    @property
    def stop(self) -> Stop | None:
        """How the function being written learns that its run was interrupted, if it does."""
        return self._function.stop

    def interruptible(self, flag: str, asks: str = "symflux_poll") -> None:
        """The function being written returns when the flag of its run is set."""
        work = self.entry_alloca("i64")
        self._function.allocas.append(f"  store i64 0, ptr {work}, align 8")
        self._function.stop = Stop(flag, work, asks)

    def entry_alloca(self, type: str, align: int = 8, count: int = 1) -> str:
        """Stack memory for ``count`` values of an LLVM type, reserved on entry; its pointer."""
        function = self._function
        name = self.fresh("stack")
        amount = f", i64 {count}" if count != 1 else ""
        function.allocas.append(f"  {name} = alloca {type}{amount}, align {align}")
        return name

    def metadata(self, text: str, *, distinct: bool = False) -> str:
        """A new module-level metadata node; its name. ``SELF`` in the text stands for the node."""
        name = f"!{len(self._metadata)}"
        word = "distinct " if distinct else ""
        self._metadata.append(f"{name} = {word}!{{{text.replace('SELF', name)}}}")
        return name

    def rarely(self) -> str:
        """What is appended to a branch that is taken rarely."""
        if _RARELY not in self.helpers:
            self.helpers[_RARELY] = self.metadata(_RARELY)
        return f", !prof {self.helpers[_RARELY]}"

    def global_name(self, hint: str) -> str:
        """A new module-level name, ``@hint`` made unique and harmless."""
        base = re.sub(r"[^A-Za-z0-9_.]", "_", hint) or "unnamed"
        name, count = base, 1
        while name in self._global_names:
            count += 1
            name = f"{base}.{count}"
        self._global_names.add(name)
        return f"@{name}"

    def add_function(self, text: str) -> None:
        """Add module-level text: a function, a global or a declaration."""
        self._text.append(text)

    def take_function(self) -> str:
        """Take the text that was added last out of the module."""
        return self._text.pop()

    def text(self) -> str:
        """What was written so far, without metadata."""
        return "\n".join(self._text)

    def declare(self, signature: str) -> None:
        """Declare an intrinsic once; spelled out, so that LLVM accepts its older signatures too."""
        text = f"declare {signature}"
        if text not in self.helpers:
            self.helpers[text] = text
            self.add_function(text)

    @contextmanager
    def function(
        self,
        header: str,
        *,
        attributes: str = "#0",
        strict: bool = False,
        part: Part | None = None,
    ) -> Iterator[None]:
        """Write one function: ``header`` is all up to its attributes; the body is the ``with``
        block. Nests: while one function is being written, another may be.

        ``strict`` functions get no fast-math flags at all (compensated arithmetic); ``part`` is the
        module that the function goes to, if not the main one."""
        found = re.search(r"@([A-Za-z0-9_.]+)\(", header)
        name = found.group(1) if found else ""
        outer, self._function = self._function, FunctionText(name, strict=strict, part=part)
        try:
            yield
            inner = self._function
            body = "\n".join(("entry:", *inner.allocas, *inner.lines))
            if inner.drives and not inner.computes:
                attributes = self.driver_attributes(attributes, inner.lines)
            text = self._text if part is None else part.functions
            text.append(f"{header} {attributes} {{\n{body}\n}}\n")
        finally:
            self._function = outer

    def driver_attributes(self, attributes: str, lines: Sequence[str]) -> str:
        """The attributes of a function that only has others do long work."""
        return attributes

    def drives(self) -> None:
        """The function being written has others do long work."""
        self._function.drives = True

    def computes(self) -> None:
        """The function being written works in loops itself."""
        self._function.computes = True

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Code that does not dominate what follows: index values computed in it are forgotten."""
        self._function.indices.append({})
        try:
            yield
        finally:
            self._function.indices.pop()

    # -- types and literals, as wide as the current lanes ------------------------------------------

    @property
    def lanes(self) -> int:
        """How many values the current operation works on."""
        return self._function.lanes

    @contextmanager
    def with_lanes(self, lanes: int) -> Iterator[None]:
        """Write operations on so many values."""
        before = self._function.lanes
        self._function.lanes = lanes
        try:
            yield
        finally:
            self._function.lanes = before

    def kind(self, dtype: str) -> str:
        """The LLVM type of a value: ``double``, or ``<8 x double>`` with eight lanes."""
        lanes = self._function.lanes
        return VALUE_TYPES[dtype] if lanes == 1 else f"<{lanes} x {VALUE_TYPES[dtype]}>"

    def memory_kind(self, dtype: str) -> str:
        """As ``kind``, in memory (a bool is a byte)."""
        lanes = self._function.lanes
        return memory_type(dtype) if lanes == 1 else f"<{lanes} x {memory_type(dtype)}>"

    def constant(self, value: bool | int | float, dtype: str) -> str:
        """A literal, the same in every lane."""
        text = constant_text(value, dtype)
        if self._function.lanes == 1:
            return text
        return f"splat ({VALUE_TYPES[dtype]} {text})"

    def suffix(self, dtype: str) -> str:
        """The suffix of an overloaded intrinsic: ``f64``, or ``v8f64`` with eight lanes."""
        one = f"f{8 * BYTES[dtype]}" if dtype in FLOATS else VALUE_TYPES[dtype]
        return one if self._function.lanes == 1 else f"v{self._function.lanes}{one}"

    def splat(self, text: str, kind: str) -> str:
        """One value of an LLVM type in every lane; literals too."""
        lanes = self._function.lanes
        if lanes == 1:
            return text
        if not text.startswith("%"):
            return f"splat ({kind} {text})"
        one = self.value(f"insertelement <{lanes} x {kind}> poison, {kind} {text}, i64 0", "s")
        zeros = f"<{lanes} x i32> zeroinitializer"
        return self.value(
            f"shufflevector <{lanes} x {kind}> {one}, <{lanes} x {kind}> poison, {zeros}", "s"
        )

    def memory_value(self, value: str, dtype: str) -> str:
        """A value as it is stored: a bool becomes a byte."""
        if dtype != "bool":
            return value
        return self.value(f"zext {self.kind('bool')} {value} to {self.memory_kind('bool')}", "v")

    def loaded_value(self, value: str, dtype: str) -> str:
        """A value as it is computed with, from what was loaded: a byte becomes a bool."""
        if dtype != "bool":
            return value
        return self.value(f"icmp ne {self.memory_kind('bool')} {value}, {self.constant(0, 'i8')}")

    # -- flags -------------------------------------------------------------------------------------

    def flags(self, let: Let) -> str:
        """Fast-math flags of an add, sub or mul."""
        if self._function.strict:
            return ""
        if self.fast_math:
            return "reassoc nsz arcp contract afn "
        return "reassoc nsz contract " if let.reassociate else "contract "

    def fast_flags(self) -> str:
        """Flags of operations that only ``fast_math`` may change (division)."""
        return "" if self._function.strict or not self.fast_math else "reassoc nsz arcp contract "

    # -- loops -------------------------------------------------------------------------------------

    def where(
        self,
        condition: str,
        inits: Sequence[tuple[str, str]],
        write: Callable[[], Sequence[str]],
        *,
        hint: str = "rest",
        rare: bool = False,
    ) -> list[str]:
        """What ``write`` writes, passed over unless an i1 holds; its values, or those before it.

        ``inits`` are the (LLVM type, value) before; ``rare`` says that it hardly ever holds."""
        some, after, before = self.label(hint), self.label("after"), self._function.label
        weights = self.rarely() if rare else ""
        self.line(f"br i1 {condition}, label %{some}, label %{after}{weights}")
        self.start(some)
        changed = write()
        end = self._function.label
        self.line(f"br label %{after}")
        self.start(after)
        return [
            self.value(f"phi {kind} [ {old}, %{before} ], [ {new}, %{end} ]", "c")
            for (kind, old), new in zip(inits, changed, strict=True)
        ]

    def counted_loop(
        self,
        extent: int | str,
        body: Callable[[str, list[str]], Sequence[str]],
        *,
        inits: Sequence[tuple[str, str]] = (),
        metadata: str = "",
        hint: str = "i",
        step: int = 1,
    ) -> list[str]:
        """``for i in range(0, extent, step)`` as one rotated loop; the carried values after it.

        ``extent`` is a number or the name of an i64, a multiple of ``step``; ``inits`` are the
        (LLVM type, start value) of what is carried; ``body(i, carried)`` writes the body and
        answers the next carried values; ``metadata`` is what follows ``!llvm.loop`` (a node's
        name)."""
        if isinstance(extent, int) and extent <= 0:
            return [start for _, start in inits]
        if extent == step:
            with self.scope():
                return list(body("0", [start for _, start in inits]))
        function = self._function
        top, after = self.label("loop"), self.label("after")
        before = function.label
        if isinstance(extent, str):
            some = self.value(f"icmp sgt i64 {extent}, 0")
            self.line(f"br i1 {some}, label %{top}, label %{after}")
        else:
            self.line(f"br label %{top}")
        self.start(top)
        variable = self.fresh(f"{hint}.")
        carried = [self.fresh("c") for _ in inits]
        phis = len(function.lines)
        function.lines.extend([""] * (1 + len(inits)))
        with self.scope():
            following = list(body(variable, carried))
        next_variable = self.value(f"add nuw nsw i64 {variable}, {step}", f"{hint}.next")
        done = self.value(f"icmp eq i64 {next_variable}, {extent}")
        latch = function.label
        suffix = f", !llvm.loop {metadata}" if metadata else ""
        self.line(f"br i1 {done}, label %{after}, label %{top}{suffix}")
        function.lines[phis] = (
            f"  {variable} = phi i64 [ 0, %{before} ], [ {next_variable}, %{latch} ]"
        )
        ends = zip(inits, carried, following, strict=True)
        for n, ((kind, start), name, end) in enumerate(ends, phis + 1):
            function.lines[n] = f"  {name} = phi {kind} [ {start}, %{before} ], [ {end}, %{latch} ]"
        self.start(after)
        if not isinstance(extent, str):
            return following
        return [
            self.value(f"phi {kind} [ {start}, %{before} ], [ {end}, %{latch} ]", "c")
            for (kind, start), end in zip(inits, following, strict=True)
        ]
