"""A Program as the text of an LLVM module: values, addresses and statements.

Each kernel becomes an internal function over its buffers (``noalias``), and ``run`` calls them in
order (``program.py``). Everything that writes LLVM IR goes through ``Emitter``: vector loops
(``vector.py``), contractions (``contract.py``), long blocks (``split.py``), threads and the CPython
entry use the same few methods.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from ...records import replace
from ...thresholds import thresholds
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
    blocks_of,
    length,
    nests,
)
from ..scalars import SCALARS
from .instructions import cast_text, instruction
from .machine import Machine, host
from .optimise import ModuleText, Options
from .share import share_out
from .split import LongBlocks, is_long, write_in_pieces
from .stops import ask_in
from .straight import grouped, has_groups, runs, write_group
from .tables import constant_memory
from .types import constant_text, memory_type, value_type
from .writer import Part, Writer

if TYPE_CHECKING:
    from .contract import Contractions
    from .library import Shelf

__all__ = ["Emitter", "buffers_of", "is_written"]


class Emitter(Writer):
    """Writes one Program as one LLVM module, or several when it holds long straight-line code.

    ``sink`` is given each of the others as soon as it is written; the main one is ``finish()``.
    ``fast_math`` lets LLVM reorder and contract all float arithmetic (nan and inf stay meaningful);
    without it only ``a * b + c`` may be fused and only ``reassociate`` Lets may be reordered.
    """

    def __init__(
        self,
        program: Program,
        *,
        fast_math: bool = False,
        machine: Machine | None = None,
        sink: Callable[[ModuleText], None] | None = None,
    ) -> None:
        super().__init__(fast_math=fast_math)
        self._sink = sink
        self._part = Part()
        self.machine = machine or host()
        self.soft_halves = not self.machine.has_halves
        self._contractions: Contractions | None = None
        if any(_contracts(kernel.body) for kernel in program.kernels):
            from .contract import Contractions  # much code, loaded by the first program with one

            self._contractions = Contractions(program, self.machine)
            program = self._contractions.program
        self.long_blocks = LongBlocks(program)
        self.program = self.long_blocks.program
        #: whether functions are passed a table of the program's arguments
        self.by_table = len(self.program.buffers) > thresholds.many_buffers
        self._places = {b: n for n, b in enumerate(self.program.arguments())}
        self.services: set[str] = set()  # of the process: threads, memory, ...
        self.objects: dict[int, int] = {}  # Python objects by id: their places in a table
        self.scalar_calls = 0  # of elementary functions
        self.vector_calls = 0  # the same on several values at once
        #: statements of the whole program
        self.weight = sum([length(kernel.body) for kernel in program.kernels])
        self.needs_vectoriser = False  # whether a loop was left to LLVM's vectoriser
        self.shelf: Shelf | None = None  # where kernels of contractions are kept
        self.plain_entry = False  # whether the entry is not optimised
        self.plain_run = False  # nor what runs once for much work
        self.raw_arena = ""  # the heap block behind the arena of the function being written

    @property
    def contractions(self) -> Contractions:
        """How the contractions of the program are computed."""
        assert self._contractions is not None
        return self._contractions

    def buffers_of(self, block: Block) -> list[Buffer]:
        """The buffers that a function holding the block needs, in order of first use."""
        found = buffers_of(block)
        planned = self._contractions
        if planned is not None and planned.scratch is not None and _contracts(block):
            found.append(planned.scratch)
        area = self.long_blocks.area_of(block)
        if area is not None:
            found.append(area)
        return found

    # -- values and addresses ----------------------------------------------------------------------

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

    def cast(self, value: str, source: str, target: str) -> str:
        """A value of dtype ``source`` converted to ``target``, as NumPy's ``astype``."""
        return cast_text(self, value, source, target)

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
        text = self._function.pointers.get(buffer)
        return text if text is not None else self._from_table(buffer)

    def has_pointer(self, buffer: Buffer) -> bool:
        """Whether the current function holds a pointer to a buffer of its own."""
        return buffer in self._function.pointers

    def bind_table(self, table: str, arena: str) -> None:
        """Say where the current function finds the buffers that it holds no pointers to."""
        self._function.table, self._function.arena = table, arena

    @property
    def table(self) -> tuple[str, str]:
        """The table of all arguments, and scratch memory, in the current function; empty texts
        where it has none."""
        return self._function.table, self._function.arena

    def _from_table(self, buffer: Buffer) -> str:
        """Read again at every use: there are many, of which each is used in few places."""
        function = self._function
        if buffer.role is Role.TEMP:
            place = f"getelementptr inbounds i8, ptr {function.arena}, i64 {buffer.offset}"
            return self.value(place, "temp")
        place = f"getelementptr inbounds ptr, ptr {function.table}, i64 {self._places[buffer]}"
        return self.value(f"load ptr, ptr {self.value(place, 'at')}, align 8", "b")

    def address(self, buffer: Buffer, index: Index) -> str:
        """The pointer to one element of a buffer."""
        number = self.index(index)
        base = self.pointer(buffer)
        if number == "0":
            return base
        kind = memory_type(buffer.dtype)
        return self.value(f"getelementptr inbounds {kind}, ptr {base}, i64 {number}", "p")

    # -- statements --------------------------------------------------------------------------------

    def block(self, block: Block) -> list[str]:
        """Write a block's statements; the values it yields."""
        one_at_a_time = not self._function.access_group and self.lanes == 1
        if one_at_a_time and is_long(block):
            return write_in_pieces(self, block)
        if one_at_a_time and has_groups(block.statements, thresholds.side_by_side):
            self._in_company(block.statements)
        else:
            for statement in block.statements:
                self.statement(statement)
        return [self.operand(operand) for operand in block.yields]

    def _in_company(self, statements: Sequence[Statement]) -> None:
        """Write statements; equal elementary functions of several values side by side."""
        for straight, run in runs(statements):
            for step in grouped(run, self.machine.vector_bytes) if straight else run:
                if not isinstance(step, list):
                    self.statement(step)
                    continue
                for let, place in zip(step, write_group(self, step), strict=True):
                    kind = memory_type(let.result.dtype)
                    self.bind(let.result, self.value(f"load {kind}, ptr {place}", "side"))

    def statement(self, statement: Statement) -> None:
        """Write one statement, on one value at a time."""
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
        self._function.values[let.result] = self.operation(let, args)

    def operation(self, let: Let, args: list[str]) -> str:
        """The result of a Let's operation on these values, in all current lanes."""
        if SCALARS[let.op].native == "mathlib":
            return self.call_mathlib(let.op, let.args[0].dtype, args)
        return instruction(self, let, args)

    def _load(self, load: Load) -> None:
        buffer = load.buffer
        address = self.address(buffer, load.index)
        kind = memory_type(buffer.dtype)
        group = self._function.access_group
        value = self.value(f"load {kind}, ptr {address}, align {BYTES[buffer.dtype]}{group}", "v")
        self._function.values[load.result] = self.loaded_value(value, buffer.dtype)

    def _store(self, store: Store) -> None:
        buffer = store.buffer
        value = self.memory_value(self.operand(store.value), buffer.dtype)
        address = self.address(buffer, store.index)
        kind = memory_type(buffer.dtype)
        group = self._function.access_group
        self.line(f"store {kind} {value}, ptr {address}, align {BYTES[buffer.dtype]}{group}")

    def loop_metadata(self, mode: str, access_group: str = "") -> str:
        """The ``!llvm.loop`` node for a loop of this mode, or ``""``.

        A loop of mode ``unroll`` that was not written out is too long for it: LLVM, when asked,
        takes minutes, or prints a warning where it cannot."""
        if mode == "vector":
            # vectorising is not demanded: where LLVM cannot, it would print a warning
            parallel = self.metadata(f'!"llvm.loop.parallel_accesses", {access_group}')
            return self.metadata(f"SELF, {parallel}", distinct=True)
        return ""

    def _loop(self, loop: Loop) -> None:
        from . import vector  # writes loops through this class

        if loop.mode == "parallel":
            from . import parallel

            if parallel.write_loop(self, loop):
                return
            loop = parallel.as_single(loop, self.machine)
        if not _contracts(loop.body):
            self.computes()
        if loop.mode == "vector" and vector.write_loop(self, loop):
            return
        if loop.mode == "unroll" and self.write_unrolled(loop, self.block):
            return
        if loop.mode == "vector" and _order_matters(loop.body):
            # LLVM takes accesses called parallel for free to move within an iteration, too.
            loop = replace(loop, mode="serial")
        function = self._function
        outer_group = function.access_group
        group = ""
        if loop.mode == "vector":
            self.needs_vectoriser = True
            group = self.metadata("", distinct=True)
            function.access_group = f", !llvm.access.group {group}"
        elif loop.mode != "unroll":
            function.access_group = ""

        def body(variable: str, carried: list[str]) -> list[str]:
            self.bind(loop.var, variable)
            for param, value in zip(loop.params, carried, strict=True):
                self.bind(param, value)
            if loop.mode != "vector":
                ask_in(self, loop)
            return self.block(loop.body)

        pairs = zip(loop.params, loop.inits, strict=True)
        results = self.counted_loop(
            self.extent(loop.extent),
            body,
            inits=[(value_type(p.dtype), self.operand(i)) for p, i in pairs],
            metadata=self.loop_metadata(loop.mode, group),
            hint=loop.var.hint if loop.var.hint.isidentifier() else "i",
        )
        function.access_group = outer_group
        for var, value in zip(loop.results, results, strict=True):
            self.bind(var, value)

    def write_unrolled(
        self,
        loop: Loop,
        write: Callable[[Block], list[str]],
        read: Callable[[Operand], str] | None = None,
    ) -> bool:
        """Write a loop's iterations one after the other, if there are not too many."""
        if not isinstance(loop.extent, int):
            return False
        if loop.extent * length(loop.body) > thresholds.unrolled_statements:
            return False
        carried = [(read or self.operand)(i) for i in loop.inits]
        for n in range(loop.extent):
            self.bind(loop.var, str(n))
            for param, value in zip(loop.params, carried, strict=True):
                self.bind(param, value)
            with self.scope():
                carried = write(loop.body)
        for var, value in zip(loop.results, carried, strict=True):
            self.bind(var, value)
        return True

    def extent(self, extent: int | Operand) -> int | str:
        """A loop's trip count as a number or the name of an i64."""
        if isinstance(extent, int):
            return extent
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

    def _rarely(self, statement: While) -> None:
        """A body that runs once or is passed over."""
        inits = [self.operand(i) for i in statement.inits]
        for param, name in zip(statement.params, inits, strict=True):
            self.bind(param, name)

        def write() -> list[str]:
            with self.scope():
                return self.block(statement.body)

        kinds = [value_type(p.dtype) for p in statement.params]
        typed = list(zip(kinds, inits, strict=True))
        results = self.where(inits[0], typed, write, hint="rare", rare=True)
        for var, result in zip(statement.results, results, strict=True):
            self.bind(var, result)

    def _while(self, statement: While) -> None:
        if statement.runs_once:
            self._rarely(statement)
            return
        self.computes()
        inits = [self.operand(i) for i in statement.inits]
        head, body, after = self.label("while"), self.label("do"), self.label("after")
        before = self.current_label
        self.line(f"br label %{head}")
        self.start(head)
        carried = [self.fresh("c") for _ in inits]
        place = self.reserve_lines(len(inits))
        for param, name in zip(statement.params, carried, strict=True):
            self.bind(param, name)
        with self.scope():
            (condition,) = self.block(statement.condition)
            self.line(f"br i1 {condition}, label %{body}, label %{after}")
            self.start(body)
            ask_in(self, statement)
            following = self.block(statement.body)
        latch = self.current_label
        self.line(f"br label %{head}")
        ends = zip(statement.params, inits, following, strict=True)
        for n, (param, start, end) in enumerate(ends):
            self.set_line(
                place + n,
                f"{carried[n]} = phi {value_type(param.dtype)} "
                f"[ {start}, %{before} ], [ {end}, %{latch} ]",
            )
        self.start(after)
        for var, name in zip(statement.results, carried, strict=True):
            self.bind(var, name)

    def _contract(self, contract: Contract) -> None:
        from .contract import emit_contract

        emit_contract(self, contract)

    # -- mathematical functions --------------------------------------------------------------------

    def call_mathlib(self, name: str, dtype: str, args: list[str]) -> str:
        """Call an elementary function on all lanes, defining it in the module on first use."""
        wide = "f32" if dtype == "f16" else dtype
        args = [cast_text(self, a, dtype, wide) for a in args]
        kind = self.kind(wide)
        if self._function.part is not None:
            callee = self._shared_mathlib(name, wide, len(args))
        else:
            key = "mathlib", name, wide, self.lanes
            callee = self.helpers.get(key) or self._define_mathlib(name, wide)
            self.helpers[key] = callee
            self.scalar_calls += self.lanes == 1
            self.vector_calls += self.lanes > 1
        listed = ", ".join(f"{kind} {a}" for a in args)
        result = self.value(f"call {kind} {callee}({listed})")
        return cast_text(self, result, wide, dtype)

    def _define_mathlib(self, name: str, dtype: str) -> str:
        lanes = self.lanes
        callee = self.global_name(f"{name}_{dtype}" + (f"_x{lanes}" if lanes > 1 else ""))
        attributes = "#4" if lanes > 1 else "#3"
        self._write_mathlib(name, dtype, lanes, f"define internal {{}} {callee}({{}})", attributes)
        return callee

    def _shared_mathlib(self, name: str, dtype: str, arity: int) -> str:
        kind = self.kind(dtype)
        parameters = ", ".join([f"{kind} %a{n}" for n in range(arity)])

        def define(header: str) -> None:
            self._write_mathlib(name, dtype, 1, header, "#2")

        return self.shared_function(f"{name}_{dtype}", kind, parameters, define)

    def _write_mathlib(
        self, name: str, dtype: str, lanes: int, header: str, attributes: str
    ) -> None:
        from .. import mathlib  # written in the same IR; loaded when first needed
        from . import vector

        params, block = mathlib.function(name, dtype, self.machine.has_permutes)
        kind = self.kind(dtype)
        names = [f"%a{n}" for n in range(len(params))]
        header = header.format(kind, ", ".join([f"{kind} {name}" for name in names]))
        with self.function(header, attributes=attributes, strict=True):
            for table in buffers_of(block):
                self.bind_pointer(table, constant_memory(self, table))
            result = vector.write_function(self, lanes, params, names, block)
            self.line(f"ret {kind} {result}")

    def shared_function(
        self, name: str, kind: str, parameters: str, define: Callable[[str], None]
    ) -> str:
        """A function of the main module that the others call too; ``define`` writes it, given its
        header, when it is first asked for."""
        key = "shared", name
        callee = self.helpers.get(key)
        if callee is None:
            callee = self.helpers[key] = self.global_name(f"{name}_shared")
            define(f"define {kind} {callee}({parameters})")
        part = self._function.part
        if part is not None and callee not in part.declarations:
            declaration = f"declare {kind} {callee}({parameters}) nonlazybind"
            part.declarations[callee] = declaration
        return callee

    def kernel_function(
        self,
        kernel: Hashable,
        hint: str,
        parameters: str,
        write: Callable[[Emitter], None],
        *,
        by_text: bool = False,
    ) -> str:
        """The name of the function of a contraction's kernel: one of this module, or with a
        ``shelf`` one of the library; with ``by_text`` the text tells kernels apart there."""
        name = self.helpers.get(kernel)
        if name is not None:
            return name
        if self.shelf is not None:
            if by_text:
                name = self.shelf.written_function(hint, parameters, write)
            else:
                name = self.shelf.function(kernel, hint, parameters, write)
            self.declare(f"void {name}({parameters}) nonlazybind")
        else:
            name = self.global_name(hint)
            with self.function(f"define internal void {name}({parameters})", attributes="#2"):
                write(self)
                self.line("ret void")
        self.helpers[kernel] = name
        return name

    # -- the module --------------------------------------------------------------------------------

    def part(self, weight: int) -> Part:
        """A module beside the main one, for a function of so many statements."""
        if self._part.weight and self._part.weight + weight > thresholds.module_statements:
            self._hand_over()
        self._part.weight += weight
        return self._part

    def _hand_over(self) -> None:
        part, self._part = self._part, Part()
        if part.weight and self._sink is not None:
            level = 2 if self.weight <= thresholds.optimised else 0
            lines = (*part.declarations.values(), *part.functions, self._attributes())
            self._sink(ModuleText("\n".join(lines), Options(code_level=level)))

    def modules(self, given_arena: bool = False) -> list[ModuleText]:
        """All modules of the program, the main one last.

        It defines ``@run`` (internal: argument pointers, sizes, arena) and ``@call`` (external:
        ``i32 (ptr argument_pointers, ptr sizes)``, 0 when it ran, 1 when memory ran out).
        With ``given_arena`` the last of the pointers is that of the arena."""
        from .program import write_program  # the layer above; here so that one call does it all

        found: list[ModuleText] = []
        self._sink = found.append
        write_program(self, given_arena=given_arena)
        main = self.finish()
        return [*found, main]

    def driver_attributes(self, attributes: str, lines: Sequence[str]) -> str:
        """Around a long run nothing is gained by optimising what runs once for much work of others;
        sums and products that may be fused are where they would round in another way."""
        plain = self.plain_run and len(lines) <= thresholds.plain_lines
        return "#5" if plain and not any(" contract " in line for line in lines) else attributes

    def exports(self) -> list[str]:
        """The names that the written module lets others call."""
        return ["call", "release"] if self.program.arena > thresholds.stack_arena else ["call"]

    def finish(self) -> ModuleText:
        """Everything written so far, but for what the sink was given."""
        self._hand_over()
        inlined = [group for group, is_so in self._inlined().items() if is_so]
        shares = [self._text]
        if self._sink is not None and not self.needs_vectoriser:
            shares = share_out(self._text, inlined)
        options = Options(vectorise=self.needs_vectoriser)
        head = f"; {self.program.name}\n"
        tail = (self._attributes(), *self._metadata, "")
        main, *others = [ModuleText("\n".join((head, *s, *tail)), options) for s in shares]
        for other in others:
            assert self._sink is not None
            self._sink(other)
        return main

    def _attributes(self) -> str:
        width = f'"prefer-vector-width"="{8 * self.machine.vector_bytes}"'
        words = {group: "alwaysinline" if v else "noinline" for group, v in self._inlined().items()}
        lines = [f"attributes #0 = {{ nounwind {width} }}"]
        lines += [f"attributes {g} = {{ {word} nounwind {width} }}" for g, word in words.items()]
        lines.append("attributes #5 = { noinline optnone nounwind }")
        return "\n".join([*lines, ""])

    def _inlined(self) -> dict[str, bool]:
        """Groups of attributes, and whether functions with them are put into their callers.
        Where very many elementary functions would be, LLVM takes ten milliseconds for each."""
        return {
            "#1": True,
            "#2": False,
            "#3": self.scalar_calls <= thresholds.inlined_calls,
            "#4": self.vector_calls <= thresholds.inlined_vectors,
        }


def _order_matters(block: Block) -> bool:
    from ..independence import order_matters  # only for loops that are left to LLVM

    return order_matters(block)


def _contracts(block: Block) -> bool:
    """Whether there is a contraction anywhere in a block."""
    return any(isinstance(s, Contract) for s in nests(block))


def buffers_of(block: Block) -> list[Buffer]:
    """The buffers a block touches, in order of first use."""
    found: dict[Buffer, None] = {}
    _note_buffers(block, found)
    return list(found)


def _note_buffers(block: Block, found: dict[Buffer, None]) -> None:
    for statement in block.statements:
        if isinstance(statement, Let):
            continue
        if isinstance(statement, (Load, Store)):
            found[statement.buffer] = None
            continue
        if isinstance(statement, Contract):
            found[statement.a] = None
            found[statement.b] = None
        for inner in blocks_of(statement):
            _note_buffers(inner, found)


def is_written(role: Role) -> bool:
    """Whether a program may store to buffers of this role."""
    return role in (Role.OUTPUT, Role.INOUT, Role.TEMP)
