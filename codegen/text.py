"""Text of the loop IR: a printer, and a parser that reads back what was printed.

    program axpy(n) arena 64 {
      buffer x : f64[n] input
      buffer t : f32[16] temp at 0
      buffer w : f32[2] const {0.5, nan}
      kernel k0 "a note" {
        %total = loop i < n vector carry %acc: f64 = 0.0 {
          %0 = load x[2*i + 1]                  : f64
          %1 = reassociate add %acc, %0         : f64
          yield %1
        }
        %2 = if %flag : f64 { ... yield %1 } else { ... yield %total }
        %3 = while carry %x: f64 = 1.0 { ... yield %condition } do { ... yield %next }
        contract x[4*i], w m(r < 4; 8, 0) n(c < 5; 0, 8) k(p < 8; 1, 1) -> %sum: f32 {
          store t[5*r + c], %sum
        }
      }
    }

Names. A loop variable or a size is a bare name; any other value is ``%name``, or a number (``%0``)
within its kernel when it has no hint. Names are made unique by a trailing number: bare names among
the loops around them, values within their kernel. A literal has the dtype that its place asks for
(the result's, the buffer's, the other operand's of a comparison); where it differs it is written
``f32(1.5)``. Where nothing asks, a literal is an i64, f64 or bool. ``#`` starts a comment.

``contract a, b`` lists each dimension as ``role(variable < extent; stride in a, stride in b)``.

``print_program(parse_program(text)) == text`` for every printed text. Printing and parsing take
time linear in the size of the text; they recurse over the nesting of blocks only.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence

import numpy as np

from .ir import (
    BYTES,
    Block,
    Buffer,
    Const,
    Contract,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Operand,
    Program,
    Statement,
    Store,
    Var,
    While,
)
from .parse import (
    BARE,
    DOTTED,
    LITERAL_WORDS,
    ParseError,
    expected_dtypes,
    natural_dtype,
    packed,
    parse_program,
)
from .scalars import numpy_dtype

__all__ = ["ParseError", "parse_program", "print_kernel", "print_program", "statement_text"]

_LOOP_NAMES = "ijklmnopqrst"
_TYPE_COLUMN = 36  # where `: dtype` stands, counted from the statement's own indentation
_MOST_LISTED = 64  # a const buffer with more elements is printed as bytes


def print_program(program: Program) -> str:
    """The program as text, ending in a newline.

    Equal programs (up to the identity of Vars) print equally. Programs that break the verifier's
    rules print too; a value used where it is not defined is printed as ``%?name``.

    >>> from .ir import Buffer, Const, Index, Kernel, Program, Role, Store
    >>> y = Buffer("y", "f64", 1, Role.OUTPUT)
    >>> store = Store(y, Index(), Const(1.5, "f64"))
    >>> print(print_program(Program("p", (y,), (Kernel("k", Block((store,))),))), end="")
    program p {
      buffer y : f64[1] output
      kernel k {
        store y[0], 1.5
      }
    }
    """
    printer = _Printer(program.sizes)
    sizes = f"({', '.join(printer.names[v] for v in program.sizes)})" if program.sizes else ""
    arena = f" arena {program.arena}" if program.arena else ""
    printer.line(0, f"program {_quoted(program.name)}{sizes}{arena} {{")
    for buffer in program.buffers:
        printer.line(1, printer.buffer(buffer))
    for kernel in program.kernels:
        printer.kernel(kernel, 1)
    printer.line(0, "}\n")
    return "\n".join(printer.lines)


def print_kernel(kernel: Kernel, sizes: Sequence[Var] = ()) -> str:
    """One kernel as text, ending in a newline; ``sizes`` are the program's, for their names."""
    printer = _Printer(sizes)
    printer.kernel(kernel, 0)
    return "\n".join([*printer.lines, ""])


def statement_text(statement: Statement, kernel: Kernel, sizes: Sequence[Var] = ()) -> str:
    """The first line of a statement (this very object) as it is printed within its kernel."""
    printer = _Printer(sizes, remember=statement)
    printer.kernel(kernel, 0)
    return re.sub(r" +: (?=\w+$)", " : ", printer.lines[printer.remembered].strip())


def _quoted(name: str) -> str:
    return name if DOTTED.match(name) else json.dumps(name)


class _Printer:
    """Lines of text, and the names of what is defined so far."""

    def __init__(self, sizes: Sequence[Var], remember: Statement | None = None) -> None:
        self.lines: list[str] = []
        self.names: dict[Var, str] = {}
        self.live: set[str] = set()  # bare names of sizes and of the loops around
        self.taken: dict[str, int] = {}  # names of values in this kernel -> next suffix to try
        self.unnamed = 0
        self.remember = remember
        self.remembered = 0
        for n, var in enumerate(sizes):
            self._bare(var, "n" if n == 0 else f"n{n}")
        self.sizes = dict(self.names)

    def line(self, depth: int, text: str) -> None:
        self.lines.append("  " * depth + text)

    # names

    def _bare(self, var: Var, default: str) -> str:
        """Name a size or loop variable; the caller takes the name out of ``live`` at the end."""
        known = BARE.match(var.hint) and var.hint not in LITERAL_WORDS
        base = name = var.hint if known else default
        suffix = 0
        while name in self.live:
            suffix += 1
            name = f"{base}{suffix}"
        self.live.add(name)
        self.names[var] = name
        return name

    def _value(self, var: Var) -> str:
        """Name a value."""
        hint = var.hint
        if not hint or not BARE.match(hint):
            name = f"%{self.unnamed}"
            self.unnamed += 1
        elif hint not in self.taken:
            self.taken[hint] = 1
            name = f"%{hint}"
        else:
            suffix = self.taken[hint]
            while f"{hint}{suffix}" in self.taken:
                suffix += 1
            self.taken[hint] = suffix + 1
            self.taken[f"{hint}{suffix}"] = 1
            name = f"%{hint}{suffix}"
        self.names[var] = name
        return name

    def _release(self, var: Var) -> None:
        name = self.names.pop(var, None)
        if name is not None:
            self.live.discard(name)

    def name(self, var: Var) -> str:
        return self.names.get(var) or f"%?{var.hint or var.id}"

    # pieces

    def operand(self, operand: Operand, expected: str | None) -> str:
        if not isinstance(operand, Const):
            return self.name(operand)
        text = _literal(operand.value)
        natural = expected or natural_dtype(operand.value)
        return text if operand.dtype == natural else f"{operand.dtype}({text})"

    def operands(self, operands: Sequence[Operand], expected: Sequence[str]) -> str:
        dtypes: list[str | None] = [*expected, *[None] * len(operands)]
        return ", ".join([self.operand(o, d) for o, d in zip(operands, dtypes, strict=False)])

    def index(self, index: Index) -> str:
        if not index.terms:
            return str(index.offset)
        text = ""
        for var, coefficient in index.terms:
            name = self.name(var)
            factor = name if abs(coefficient) == 1 else f"{abs(coefficient)}*{name}"
            if text:
                text += f" {'-' if coefficient < 0 else '+'} {factor}"
            else:
                text = f"-{factor}" if coefficient < 0 else factor
        if index.offset:
            text += f" {'-' if index.offset < 0 else '+'} {abs(index.offset)}"
        return text

    def access(self, buffer: Buffer, index: Index) -> str:
        return f"{_quoted(buffer.name)}[{self.index(index)}]"

    def buffer(self, buffer: Buffer) -> str:
        size = buffer.size if isinstance(buffer.size, int) else self.name(buffer.size)
        text = f"buffer {_quoted(buffer.name)} : {buffer.dtype}[{size}] {buffer.role.value}"
        if buffer.offset is not None:
            text += f" at {buffer.offset}"
        return text if buffer.data is None else f"{text} {_data_text(buffer)}"

    # statements

    def kernel(self, kernel: Kernel, depth: int) -> None:
        self.names, self.taken, self.unnamed = dict(self.sizes), {}, 0
        note = f" {json.dumps(kernel.note)}" if kernel.note else ""
        self.line(depth, f"kernel {_quoted(kernel.name)}{note} {{")
        self.block(kernel.body, (), depth + 1)
        self.line(depth, "}")

    def block(self, block: Block, yields: Sequence[str], depth: int) -> None:
        pad = "  " * depth
        lines, value, remember = self.lines, self._value, self.remember
        for statement in block.statements:
            if statement is remember:
                self.remembered = len(lines)
            if isinstance(statement, Let):
                text = self.let(statement)
                lines.append(f"{pad}{text:<{_TYPE_COLUMN}} : {statement.result.dtype}")
            elif isinstance(statement, Load):
                access = self.access(statement.buffer, statement.index)
                text = f"{value(statement.result)} = load {access}"
                lines.append(f"{pad}{text:<{_TYPE_COLUMN}} : {statement.result.dtype}")
            elif isinstance(statement, Store):
                access = self.access(statement.buffer, statement.index)
                stored = self.operand(statement.value, statement.buffer.dtype)
                lines.append(f"{pad}store {access}, {stored}")
            else:
                self.nest(statement, depth)
        if block.yields:
            self.line(depth, f"yield {self.operands(block.yields, yields)}")

    def let(self, let: Let) -> str:
        names = self.names
        try:
            shown = [names[a] for a in let.args]  # type: ignore[index]
        except KeyError:  # a literal, which no name stands for
            vars_ = [None if isinstance(a, Const) else a.dtype for a in let.args]
            expected = expected_dtypes(let.op, let.result.dtype, vars_)
            shown = [self.operand(a, e) for a, e in zip(let.args, expected, strict=False)]
        order = "reassociate " if let.reassociate else ""
        return f"{self._value(let.result)} = {order}{let.op} {', '.join(shown)}"

    def nest(self, statement: Loop | If | While | Contract, depth: int) -> None:
        match statement:
            case Loop():
                self.loop(statement, depth)
            case If():
                self.branch(statement, depth)
            case While():
                self.loop_while(statement, depth)
            case Contract():
                self.contract(statement, depth)

    def _results(self, results: Sequence[Var], params: Sequence[Var] = ()) -> str:
        if not results:
            return ""
        dtypes = [*[p.dtype for p in params], *[""] * len(results)]
        names = [
            self._value(r) + (f": {r.dtype}" if r.dtype != d else "")
            for r, d in zip(results, dtypes, strict=False)
        ]
        return f"{', '.join(names)} = "

    def _carry(self, params: Sequence[Var], inits: Sequence[str]) -> str:
        if not params:
            return ""
        padded = [*inits, *["?"] * len(params)]  # too few inits: the verifier's message shows a ?
        pairs = zip(params, padded, strict=False)
        return " carry " + ", ".join(f"{self._value(p)}: {p.dtype} = {i}" for p, i in pairs)

    def loop(self, loop: Loop, depth: int) -> None:
        extent = loop.extent if isinstance(loop.extent, int) else self.operand(loop.extent, "int")
        dtypes = [p.dtype for p in loop.params]
        inits = [self.operand(i, d) for i, d in zip(loop.inits, dtypes, strict=False)]
        results = self._results(loop.results, loop.params)
        var = self._bare(loop.var, _LOOP_NAMES[min(depth - 2, 11)] if depth >= 2 else "i")
        mode = "" if loop.mode == "serial" else f" {loop.mode}"
        carry = self._carry(loop.params, inits)
        self.line(depth, f"{results}loop {var} < {extent}{mode}{carry} {{")
        self.block(loop.body, dtypes, depth + 1)
        self.line(depth, "}")
        self._release(loop.var)

    def branch(self, branch: If, depth: int) -> None:
        condition = self.operand(branch.condition, "bool")
        dtypes = [r.dtype for r in branch.results]
        types = f" : {', '.join(dtypes)}" if dtypes else ""
        results = self._results(branch.results, branch.results)
        self.line(depth, f"{results}if {condition}{types} {{")
        self.block(branch.then, dtypes, depth + 1)
        if branch.otherwise.statements or branch.otherwise.yields:
            self.line(depth, "} else {")
            self.block(branch.otherwise, dtypes, depth + 1)
        self.line(depth, "}")

    def loop_while(self, loop: While, depth: int) -> None:
        dtypes = [p.dtype for p in loop.params]
        inits = [self.operand(i, d) for i, d in zip(loop.inits, dtypes, strict=False)]
        results = self._results(loop.results, loop.params)
        self.line(depth, f"{results}while{self._carry(loop.params, inits)} {{")
        self.block(loop.condition, ["bool"], depth + 1)
        self.line(depth, "} do {")
        self.block(loop.body, dtypes, depth + 1)
        self.line(depth, "}")

    def contract(self, contract: Contract, depth: int) -> None:
        operands = [
            _quoted(buffer.name) if offset == Index() else self.access(buffer, offset)
            for buffer, offset in (
                (contract.a, contract.offset_a),
                (contract.b, contract.offset_b),
            )
        ]
        dims = " ".join(
            f"{d.role}({self._bare(d.var, d.role)} < {d.extent}; {d.stride_a}, {d.stride_b})"
            for d in contract.dims
        )
        acc = f"{self._value(contract.acc)}: {contract.acc.dtype}"
        self.line(depth, f"contract {', '.join(operands)} {dims} -> {acc} {{")
        self.block(contract.epilogue, (), depth + 1)
        self.line(depth, "}")
        for dim in contract.dims:
            self._release(dim.var)


def _literal(value: bool | int | float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value != value:
            return "-nan" if math.copysign(1.0, value) < 0 else "nan"
        return float.__repr__(value)
    return str(value)


def _plain(value: bool | int | float) -> bool | int | float:
    """What reading the literal back gives: a nan keeps its sign, not its payload."""
    return math.copysign(math.nan, value) if value != value else value


def _data_text(buffer: Buffer) -> str:
    """The elements of a const buffer; its bytes when they are many or the values lose something."""
    data = buffer.data or b""
    size = BYTES[buffer.dtype]
    if data and len(data) % size == 0 and len(data) <= _MOST_LISTED * size:
        dtype = numpy_dtype(buffer.dtype)
        values = np.frombuffer(data, dtype).tolist()
        if packed([_plain(v) for v in values], buffer.dtype) == data:
            return f"{{{', '.join([_literal(v) for v in values])}}}"
    return f'"{data.hex()}"'
