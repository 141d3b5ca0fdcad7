"""A Program as the text of an LLVM module.

Each kernel becomes an internal function over its buffers (``noalias``), and ``run`` calls them in
order. Everything that writes LLVM IR goes through ``Emitter``: contractions (``contract.py``), the
CPython entry (``pycall.py``) and the splitting of long blocks (``split.py``) use the same few methods.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..ir import (
    BYTES,
    Block,
    Buffer,
    Const,
    Contract,
    If,
    Index,
    Let,
    Load,
    Loop,
    Operand,
    Program,
    Role,
    Statement,
    Store,
    Var,
    While,
    walk,
)
from ..scalars import SCALARS
from .instructions import cast_text, constant_text, instruction, memory_type, value_type
from .machine import Machine, host
from .optimise import Options

__all__ = ["Emitter"]

#: arenas up to this many bytes live on the stack
STACK_ARENA = 64 * 1024
#: statements for each loop from which on LLVM's passes are not worth their time
STRAIGHT_LINE = 1500
#: statements from which on the code generator hurries
HUGE = 200_000


@dataclass(slots=True)
class _Function:
    """What is being written: one LLVM function's lines and names."""

    lines: list[str] = field(default_factory=list)
    allocas: list[str] = field(default_factory=list)
    values: dict[Var, str] = field(default_factory=dict)
    pointers: dict[Buffer, str] = field(default_factory=dict)
    indices: list[dict[Index, str]] = field(default_factory=lambda: [{}])
    name: str = ""
    names: int = 0
    label: str = "entry"
    access_group: str = ""
    strict: bool = False


class Emitter:
    """Writes one Program as one LLVM module.

    ``fast_math`` lets LLVM reorder and contract all float arithmetic (nan and inf stay meaningful);
    without it only ``a * b + c`` may be fused and only ``reassociate`` Lets may be reordered.
    """

    def __init__(
        self, program: Program, *, fast_math: bool = False, machine: Machine | None = None
    ) -> None:
        self.program = program
        self.fast_math = fast_math
        self.machine = machine or host()
        self._text: list[str] = []
        self._metadata: list[str] = []
        self._mathlib: dict[tuple[str, str], str] = {}
        self._global_names: set[str] = {"run", "call", "release"}
        self.raw_arena = ""  # the heap block behind the arena of the function being written
        self._function = _Function()

    # -- names and lines -------------------------------------------------------------------------

    def line(self, text: str) -> None:
        """Append one instruction to the current block."""
        self._function.lines.append("  " + text)

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

    def entry_alloca(self, type: str, align: int = 8, count: int = 1) -> str:
        """Stack memory for ``count`` values of an LLVM type, reserved once, on entry; its pointer."""
        function = self._function
        name = self.fresh("stack")
        amount = f", i64 {count}" if count != 1 else ""
        function.allocas.append(f"  {name} = alloca {type}{amount}, align {align}")
        return name

    def late_alloca(self, align: int = 8) -> str:
        """Stack memory of a type that ``set_alloca`` will say before the function is finished."""
        name = self.fresh("stack")
        self._function.allocas.append(f"  {name} = alloca LATER, align {align}")
        return name

    def set_alloca(self, name: str, type: str) -> None:
        """Say the type of a ``late_alloca``."""
        allocas = self._function.allocas
        start = f"  {name} = alloca LATER"
        place = next(n for n, line in enumerate(allocas) if line.startswith(start))
        allocas[place] = allocas[place].replace("LATER", type)

    @property
    def function_name(self) -> str:
        """The name (without ``@``) of the function being written."""
        return self._function.name

    def metadata(self, text: str, *, distinct: bool = False) -> str:
        """A new module-level metadata node; its name. ``SELF`` in the text stands for the node."""
        name = f"!{len(self._metadata)}"
        word = "distinct " if distinct else ""
        self._metadata.append(f"{name} = {word}!{{{text.replace('SELF', name)}}}")
        return name

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

    @contextmanager
    def function(
        self, header: str, *, attributes: str = "#0", strict: bool = False
    ) -> Iterator[None]:
        """Write one function: ``header`` is all up to its attributes; the body is the ``with`` block.

        Nests: while one function is being written, another may be."""
        found = re.search(r"@([A-Za-z0-9_.]+)\(", header)
        name = found.group(1) if found else ""
        outer, self._function = self._function, _Function(name=name, strict=strict)
        try:
            yield
            inner = self._function
            body = "\n".join(("entry:", *inner.allocas, *inner.lines))
            self._text.append(f"{header} {attributes} {{\n{body}\n}}\n")
        finally:
            self._function = outer

    # -- values, addresses -----------------------------------------------------------------------

    def type(self, dtype: str) -> str:
        """The LLVM type of a value of ``dtype`` (a bool is ``i1``; in memory it is one ``i8``)."""
        return value_type(dtype)

    def memory_type(self, dtype: str) -> str:
        """The LLVM type of an element of ``dtype`` in memory."""
        return memory_type(dtype)

    def operand(self, operand: Operand) -> str:
        """The LLVM text of an operand."""
        if isinstance(operand, Const):
            return constant_text(operand.value, operand.dtype)
        return self._function.values[operand]

    def bind(self, var: Var, text: str) -> None:
        """Say which LLVM value (a name or a literal) a Var stands for from here on."""
        self._function.values[var] = text

    def bind_pointer(self, buffer: Buffer, text: str) -> None:
        """Say which LLVM pointer a buffer stands for in the current function."""
        self._function.pointers[buffer] = text

    def index(self, index: Index) -> str:
        """The i64 element number of an Index. Equal indices of one block are computed once."""
        if not index.terms:
            return str(index.offset)
        caches = self._function.indices
        for cache in caches:
            if index in cache:
                return cache[index]
        total = ""
        offset = index.offset
        for var, coefficient in index.terms:
            value = self._function.values[var]
            if not value.startswith("%"):
                offset += int(value) * coefficient
                continue
            if coefficient != 1:
                value = self.value(f"mul nsw i64 {value}, {coefficient}", "x")
            total = self.value(f"add nsw i64 {total}, {value}", "x") if total else value
        if not total:
            total = str(offset)
        elif offset:
            total = self.value(f"add nsw i64 {total}, {offset}", "x")
        caches[-1][index] = total
        return total

    def pointer(self, buffer: Buffer) -> str:
        """The pointer to a buffer's first element."""
        return self._function.pointers[buffer]

    def address(self, buffer: Buffer, index: Index) -> str:
        """The pointer to one element of a buffer."""
        number = self.index(index)
        base = self._function.pointers[buffer]
        if number == "0":
            return base
        kind = memory_type(buffer.dtype)
        return self.value(f"getelementptr inbounds {kind}, ptr {base}, i64 {number}", "p")

    def alignment(self, buffer: Buffer, index: Index | None = None) -> int:
        """The alignment in bytes that an element's address surely has."""
        return BYTES[buffer.dtype]

    def cast(self, value: str, source: str, target: str) -> str:
        """A value of dtype ``source`` converted to ``target``, as NumPy's ``astype``."""
        return cast_text(self, value, source, target)

    def memory_value(self, value: str, dtype: str) -> str:
        """A value as it is stored: a bool becomes a byte."""
        return self.value(f"zext i1 {value} to i8") if dtype == "bool" else value

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

    def access_metadata(self) -> str:
        """What a load or store in a loop of independent iterations carries, after a comma."""
        return self._function.access_group

    # -- statements ------------------------------------------------------------------------------

    def block(self, block: Block) -> list[str]:
        """Write a block's statements; the values it yields."""
        from . import split  # writes functions through this class

        if not self._function.access_group and split.is_long(block):
            return split.write_in_pieces(self, block)
        for statement in block.statements:
            self.statement(statement)
        return [self.operand(operand) for operand in block.yields]

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Code that does not dominate what follows: index values computed in it are forgotten."""
        self._function.indices.append({})
        try:
            yield
        finally:
            self._function.indices.pop()

    def statement(self, statement: Statement) -> None:
        match statement:
            case Let():
                self._let(statement)
            case Load():
                self._load(statement)
            case Store():
                self._store(statement)
            case Loop():
                self._loop(statement)
            case If():
                self._if(statement)
            case While():
                self._while(statement)
            case Contract():
                self._contract(statement)

    def _let(self, let: Let) -> None:
        args = [self.operand(a) for a in let.args]
        if SCALARS[let.op].native == "mathlib":
            result = self.call_mathlib(let.op, let.args[0].dtype, args)
        else:
            result = instruction(self, let, args)
        self._function.values[let.result] = result

    def _load(self, load: Load) -> None:
        buffer = load.buffer
        address = self.address(buffer, load.index)
        align = self.alignment(buffer, load.index)
        kind = memory_type(buffer.dtype)
        value = self.value(
            f"load {kind}, ptr {address}, align {align}{self.access_metadata()}", "v"
        )
        if buffer.dtype == "bool":
            value = self.value(f"icmp ne i8 {value}, 0", "v")
        self._function.values[load.result] = value

    def _store(self, store: Store) -> None:
        buffer = store.buffer
        value = self.operand(store.value)
        if buffer.dtype == "bool":
            value = self.value(f"zext i1 {value} to i8", "v")
        address = self.address(buffer, store.index)
        align = self.alignment(buffer, store.index)
        kind = memory_type(buffer.dtype)
        self.line(f"store {kind} {value}, ptr {address}, align {align}{self.access_metadata()}")

    def counted_loop(
        self,
        extent: int | str,
        body: Callable[[str, list[str]], Sequence[str]],
        *,
        inits: Sequence[tuple[str, str]] = (),
        metadata: str = "",
        hint: str = "i",
    ) -> list[str]:
        """``for i in range(extent)`` as one rotated loop; the carried values after it.

        ``extent`` is a number or the name of an i64; ``inits`` are the (LLVM type, start value) of
        what is carried; ``body(i, carried)`` writes the body and answers the next carried values;
        ``metadata`` is what follows ``!llvm.loop`` (a node's name)."""
        if extent == 0 or (isinstance(extent, int) and extent < 0):
            return [start for _, start in inits]
        if extent == 1:
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
            following_variable = self.value(f"add nuw nsw i64 {variable}, 1", f"{hint}.next")
            done = self.value(f"icmp eq i64 {following_variable}, {extent}")
        latch = function.label
        suffix = f", !llvm.loop {metadata}" if metadata else ""
        self.line(f"br i1 {done}, label %{after}, label %{top}{suffix}")
        function.lines[phis] = (
            f"  {variable} = phi i64 [ 0, %{before} ], [ {following_variable}, %{latch} ]"
        )
        for n, ((kind, start), name, end) in enumerate(
            zip(inits, carried, following, strict=True), 1
        ):
            function.lines[phis + n] = (
                f"  {name} = phi {kind} [ {start}, %{before} ], [ {end}, %{latch} ]"
            )
        self.start(after)
        if not isinstance(extent, str):
            return following
        return [
            self.value(f"phi {kind} [ {start}, %{before} ], [ {end}, %{latch} ]", "c")
            for (kind, start), end in zip(inits, following, strict=True)
        ]

    def loop_metadata(self, mode: str, access_group: str = "") -> str:
        """The ``!llvm.loop`` node for a loop of this mode, or ``""``."""
        if mode == "unroll":
            full = self.metadata('!"llvm.loop.unroll.full"')
            return self.metadata(f"SELF, {full}", distinct=True)
        if mode == "vector":
            enable = self.metadata('!"llvm.loop.vectorize.enable", i1 true')
            parallel = self.metadata(f'!"llvm.loop.parallel_accesses", {access_group}')
            return self.metadata(f"SELF, {enable}, {parallel}", distinct=True)
        return ""

    def _loop(self, loop: Loop) -> None:
        extent = loop.extent if isinstance(loop.extent, int) else self._extent(loop.extent)
        function = self._function
        outer_group = function.access_group
        group = ""
        if loop.mode == "vector":
            group = self.metadata("", distinct=True)
            function.access_group = f", !llvm.access.group {group}"
        elif loop.mode != "unroll":
            function.access_group = ""

        def body(variable: str, carried: list[str]) -> list[str]:
            self.bind(loop.var, variable)
            for param, value in zip(loop.params, carried, strict=True):
                self.bind(param, value)
            return self.block(loop.body)

        results = self.counted_loop(
            extent,
            body,
            inits=[
                (value_type(p.dtype), self.operand(i))
                for p, i in zip(loop.params, loop.inits, strict=True)
            ],
            metadata=self.loop_metadata(loop.mode, group),
            hint=loop.var.hint if loop.var.hint.isidentifier() else "i",
        )
        function.access_group = outer_group
        for var, value in zip(loop.results, results, strict=True):
            self.bind(var, value)

    def _extent(self, extent: Operand) -> int | str:
        """A loop's trip count as a number or an i64 name."""
        text = cast_text(self, self.operand(extent), extent.dtype, "i64")
        return text if text.startswith("%") else int(text)

    def _if(self, statement: If) -> None:
        condition = self.operand(statement.condition)
        then, otherwise, after = self.label("then"), self.label("else"), self.label("after")
        self.line(f"br i1 {condition}, label %{then}, label %{otherwise}")
        arms = []
        for label, block in ((then, statement.then), (otherwise, statement.otherwise)):
            self.start(label)
            with self.scope():
                values = self.block(block)
            arms.append((values, self.current_label))
            self.line(f"br label %{after}")
        self.start(after)
        (left, left_label), (right, right_label) = arms
        for var, a, b in zip(statement.results, left, right, strict=True):
            kind = value_type(var.dtype)
            phi = self.value(f"phi {kind} [ {a}, %{left_label} ], [ {b}, %{right_label} ]", "v")
            self.bind(var, phi)

    def _while(self, statement: While) -> None:
        function = self._function
        inits = [self.operand(i) for i in statement.inits]
        head, body, after = self.label("while"), self.label("do"), self.label("after")
        before = self.current_label
        self.line(f"br label %{head}")
        self.start(head)
        phis = len(function.lines)
        function.lines.extend([""] * len(inits))
        carried = [self.fresh("c") for _ in inits]
        for param, name in zip(statement.params, carried, strict=True):
            self.bind(param, name)
        with self.scope():
            (condition,) = self.block(statement.condition)
            self.line(f"br i1 {condition}, label %{body}, label %{after}")
            self.start(body)
            following = self.block(statement.body)
        latch = self.current_label
        self.line(f"br label %{head}")
        for n, (param, start, end) in enumerate(
            zip(statement.params, inits, following, strict=True)
        ):
            function.lines[phis + n] = (
                f"  {carried[n]} = phi {value_type(param.dtype)} "
                f"[ {start}, %{before} ], [ {end}, %{latch} ]"
            )
        self.start(after)
        for var, name in zip(statement.results, carried, strict=True):
            self.bind(var, name)

    def _contract(self, contract: Contract) -> None:
        """Plain nested loops: the batch, m and n dimensions outside, the sum inside."""
        kind = value_type(contract.acc.dtype)
        dims = [d for d in contract.dims if d.role != "k"]
        sums = [d for d in contract.dims if d.role == "k"]

        def product(carried: str) -> str:
            factors = []
            for buffer, offset, strides in (
                (contract.a, contract.offset_a, [(d.var, d.stride_a) for d in contract.dims]),
                (contract.b, contract.offset_b, [(d.var, d.stride_b) for d in contract.dims]),
            ):
                terms = tuple(t for t in strides if t[1])
                loaded = Var(buffer.dtype)
                self._load(Load(loaded, buffer, Index(offset.terms + terms, offset.offset)))
                factors.append(
                    cast_text(self, self.operand(loaded), buffer.dtype, contract.acc.dtype)
                )
            if contract.acc.dtype not in {"f16", "f32", "f64"}:
                term = self.value(f"mul {kind} {factors[0]}, {factors[1]}")
                return self.value(f"add {kind} {carried}, {term}")
            term = self.value(f"fmul contract {kind} {factors[0]}, {factors[1]}")
            return self.value(f"fadd reassoc nsz contract {kind} {carried}, {term}")

        def over_sums(depth: int, carried: str) -> str:
            if depth == len(sums):
                return product(carried)

            def body(variable: str, values: list[str]) -> list[str]:
                self.bind(sums[depth].var, variable)
                return [over_sums(depth + 1, values[0])]

            return self.counted_loop(sums[depth].extent, body, inits=[(kind, carried)], hint="k")[0]

        def over_elements(depth: int) -> None:
            if depth == len(dims):
                self.bind(contract.acc, over_sums(0, constant_text(0, contract.acc.dtype)))
                self.block(contract.epilogue)
                return

            def body(variable: str, values: list[str]) -> list[str]:
                self.bind(dims[depth].var, variable)
                over_elements(depth + 1)
                return []

            self.counted_loop(dims[depth].extent, body, hint=dims[depth].role)

        over_elements(0)

    # -- mathematical functions -------------------------------------------------------------------

    def call_mathlib(self, name: str, dtype: str, args: list[str]) -> str:
        """Call an elementary function, defining it in the module on first use."""
        wide = "f32" if dtype == "f16" else dtype
        callee = self._mathlib.get((name, wide)) or self._define_mathlib(name, wide)
        if dtype == "f16":
            args = [cast_text(self, a, "f16", "f32") for a in args]
        kind = value_type(wide)
        listed = ", ".join(f"{kind} {a}" for a in args)
        result = self.value(f"call {kind} {callee}({listed})")
        return cast_text(self, result, wide, dtype)

    def _define_mathlib(self, name: str, dtype: str) -> str:
        from .. import mathlib  # written in the same IR; loaded when first needed

        params, block = mathlib.function(name, dtype)
        callee = self.global_name(f"sf_{name}_{dtype}")
        self._mathlib[name, dtype] = callee
        kind = value_type(dtype)
        listed = ", ".join(f"{value_type(p.dtype)} %a{n}" for n, p in enumerate(params))
        header = f"define internal {kind} {callee}({listed})"
        with self.function(header, attributes="#1", strict=True):
            for n, param in enumerate(params):
                self.bind(param, f"%a{n}")
            (result,) = self.block(block)
            self.line(f"ret {kind} {result}")
        return callee

    # -- kernels and the program ------------------------------------------------------------------

    def module(self) -> str:
        """The text of the whole module.

        It defines ``@run`` (internal: argument pointers, sizes, arena) and ``@call`` (external:
        ``i32 (ptr argument_pointers, ptr sizes)``, 0 when it ran, 1 when memory ran out)."""
        from .program import (
            write_program,  # the layer above; here only so that one call does it all
        )

        write_program(self)
        return self.finish()

    def exports(self) -> list[str]:
        """The names that the written module lets others call."""
        return ["call", "release"] if self.program.arena > STACK_ARENA else ["call"]

    def options(self) -> Options:
        """How hard LLVM should work on the written module.

        Long straight lines come out of the array compiler without anything left to simplify; the
        code generator alone makes of them what O1 makes, in half the time."""
        statements = sum(1 for k in self.program.kernels for _ in walk(k.body))
        loops = sum(
            isinstance(s, Loop) and s.mode != "unroll"
            for k in self.program.kernels
            for s in walk(k.body)
        )
        if statements > STRAIGHT_LINE * (1 + loops):
            return Options(level=0, code_level=2 if statements < HUGE else 1)
        return Options()

    def finish(self) -> str:
        """Everything written so far as module text."""
        width = f'"prefer-vector-width"="{8 * self.machine.vector_bytes}"'
        attributes = (
            f"attributes #0 = {{ nounwind {width} }}\n"
            "attributes #1 = { alwaysinline nounwind }\n"
            f"attributes #2 = {{ noinline nounwind {width} }}\n"
        )
        head = f"; {self.program.name}\n"
        return "\n".join((head, *self._text, attributes, *self._metadata, ""))


def buffers_of(block: Block) -> list[Buffer]:
    """The buffers a block touches, in order of first use."""
    found: dict[Buffer, None] = {}
    for statement in walk(block):
        match statement:
            case Load() | Store():
                found[statement.buffer] = None
            case Contract():
                found[statement.a] = None
                found[statement.b] = None
    return list(found)


def is_written(role: Role) -> bool:
    """Whether a program may store to buffers of this role."""
    return role in (Role.OUTPUT, Role.INOUT, Role.TEMP)
