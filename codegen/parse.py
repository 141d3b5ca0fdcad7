"""The parser of the loop IR's text; the grammar is described in ``text.py``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, cast, get_args

import numpy as np

from .ir import (
    BYTES,
    Block,
    Buffer,
    Const,
    Contract,
    Dim,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Mode,
    Operand,
    Program,
    Role,
    Statement,
    Store,
    Var,
    While,
)
from .scalars import SCALARS, numpy_dtype

__all__ = ["ParseError", "expected_dtypes", "natural_dtype", "packed", "parse_program"]

#: names that stand without quotes, and names of variables
DOTTED = re.compile(r"[A-Za-z_][\w.]*\Z", re.ASCII)
BARE = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
LITERAL_WORDS = frozenset({"true", "false", "inf", "nan"})
_MODES = frozenset(get_args(Mode))
_ROLES = frozenset({"batch", "m", "n", "k"})


def natural_dtype(value: bool | int | float) -> str:
    """The dtype of a literal that stands alone."""
    if isinstance(value, bool):
        return "bool"
    return "i64" if isinstance(value, int) else "f64"


def expected_dtypes(op: str, result: str, args: Iterable[str | None]) -> list[str | None]:
    """The dtype of a literal in each argument; ``args`` has the dtypes of Vars, None otherwise."""
    args = list(args)
    row = SCALARS.get(op)
    match row.result if row else "same":
        case "select":
            return ["bool", *[result] * (len(args) - 1)]
        case "bool":
            return [next((a for a in args if a), None)] * len(args)
        case "cast":
            return [None] * len(args)
    return [result] * len(args)


def packed(values: Sequence[bool | int | float], dtype: str) -> bytes:
    """The elements of a const buffer as bytes."""
    return np.array(values, numpy_dtype(dtype)).tobytes()


class ParseError(ValueError):
    """Text that is no program: ``line`` and ``column`` (from 1) say where, the message what for."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.line = line
        self.column = column


_TOKEN = re.compile(
    r"""(?:\s+|\#[^\n]*)*                    # blanks and comments before a token
    ( "(?:[^"\\\n]|\\.)*"                    # a quoted name or note
    | %\w+                                   # a value
    | \d+(?:\.\d*)?(?:[eE][+-]?\d+)?         # a number without its sign
    | [A-Za-z_][\w.]*                        # a word
    | -> | .                                 # an arrow, a sign, or what no rule expects
    | \Z )""",
    re.VERBOSE | re.ASCII,
)
_END = "the end of the text"

#: A literal is parsed before its dtype is known: (value, dtype written around it or None).
_Raw = Var | tuple[bool | int | float, str | None]


def parse_program(text: str) -> Program:
    """The program that ``text`` describes. ParseError says where and what was expected instead.

    Parsing checks names and grammar only; the rules of the IR are ``verify``'s.

    >>> parse_program("program p {\\n  kernel k {\\n    store y[0], 1\\n  }\\n}")
    Traceback (most recent call last):
    symflux.codegen.parse.ParseError: line 3, column 11: no buffer is named y
    """
    return _Parser(text).program()


class _Parser:
    """A recursive descent over blocks; everything else is a loop over tokens."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[str] = _TOKEN.findall(text)
        self.at = 0
        self.buffers: dict[str, Buffer] = {}
        self.scope: dict[str, Var] = {}

    # tokens

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        at = self.at if at is None else at
        matches = enumerate(_TOKEN.finditer(self.text))
        position = next((m.start(1) for n, m in matches if n == at), len(self.text))
        line = self.text.count("\n", 0, position) + 1
        column = position - (self.text.rfind("\n", 0, position) + 1) + 1
        raise ParseError(message, line, column)

    def unexpected(self, wanted: str) -> NoReturn:
        found = self.tokens[self.at]
        self.fail(f"expected {wanted}, found {found if found else _END}")

    def peek(self) -> str:
        return self.tokens[self.at]

    def next(self) -> str:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def accept(self, token: str) -> bool:
        if self.tokens[self.at] != token:
            return False
        self.at += 1
        return True

    def expect(self, token: str) -> None:
        if not self.accept(token):
            self.unexpected(token)

    def word(self, wanted: str) -> str:
        """A word, or a name in quotes."""
        token = self.peek()
        if token[:1] == '"' and len(token) > 1:
            self.at += 1
            return str(json.loads(token))
        if not DOTTED.match(token):
            self.unexpected(wanted)
        self.at += 1
        return token

    def dtype(self) -> str:
        if self.peek() not in BYTES:
            self.unexpected("a dtype")
        return self.next()

    def integer(self, wanted: str = "an integer") -> int:
        negative = self.accept("-")
        if not self.peek().isdigit():
            self.unexpected(wanted)
        value = int(self.next())
        return -value if negative else value

    # names

    def define(self, name: str, dtype: str, at: int) -> Var:
        """The value ``%name``; ``at`` is where it was read."""
        if name in self.scope:
            self.fail(f"{name} is defined twice in its kernel", at)
        hint = name[1:]
        var = self.scope[name] = Var(dtype, hint if BARE.match(hint) else "")
        return var

    def value_name(self) -> str:
        if self.peek()[:1] != "%" or len(self.peek()) < 2:
            self.unexpected("a value (%name)")
        return self.next()

    def bare_name(self) -> str:
        if not BARE.match(self.peek()):
            self.unexpected("the name of a variable")
        return self.next()

    @contextmanager
    def bare(self, names: Sequence[str]) -> Iterator[list[Var]]:
        """New variables of a loop. They hide others only inside; the verifier judges later uses."""
        hidden = {name: self.scope[name] for name in names if name in self.scope}
        variables = [Var("i64", name) for name in names]
        self.scope.update(zip(names, variables, strict=True))
        yield variables
        self.scope.update(hidden)

    def lookup(self) -> Var:
        name = self.peek()
        var = self.scope.get(name)
        if var is None:
            if name[:1] == "%" or BARE.match(name):
                self.fail(f"{name} is not defined before this use")
            self.unexpected("a value or a literal")
        self.at += 1
        return var

    # the program

    def program(self) -> Program:
        self.expect("program")
        name = self.word("the program's name")
        sizes: list[Var] = []
        if self.accept("("):
            while not self.accept(")"):
                if sizes:
                    self.expect(",")
                size = self.bare_name()
                self.scope[size] = Var("i64", size)
                sizes.append(self.scope[size])
        arena = self.integer() if self.accept("arena") else 0
        self.expect("{")
        outer = dict(self.scope)
        buffers, kernels = [], []
        while self.accept("buffer"):
            buffers.append(self.buffer())
        while self.accept("kernel"):
            self.scope = dict(outer)
            kernels.append(self.kernel())
        if not self.accept("}"):
            self.unexpected("kernel or }" if kernels else "buffer, kernel or }")
        if self.peek():
            self.unexpected(_END)
        return Program(name, tuple(buffers), tuple(kernels), tuple(sizes), arena)

    def buffer(self) -> Buffer:
        name = self.word("a buffer's name")
        if name in self.buffers:
            self.fail(f"buffer {name} is declared twice", self.at - 1)
        self.expect(":")
        dtype = self.dtype()
        self.expect("[")
        size = self.integer() if self.peek().isdigit() else self.lookup()
        self.expect("]")
        roles = [role.value for role in Role]
        if self.peek() not in roles:
            self.unexpected(f"a role ({', '.join(roles)})")
        role = Role(self.next())
        offset = self.integer() if self.accept("at") else None
        data: bytes | None = None
        if self.peek()[:1] == '"':
            data = self.hex_data()
        elif self.accept("{"):
            values: list[bool | int | float] = []
            while not self.accept("}"):
                if values:
                    self.expect(",")
                values.append(self.literal())
            data = packed(values, dtype)
        buffer = self.buffers[name] = Buffer(name, dtype, size, role, offset, data)
        return buffer

    def hex_data(self) -> bytes:
        try:
            data = bytes.fromhex(self.peek().strip('"'))
        except ValueError:
            self.unexpected("bytes in hexadecimal")
        self.at += 1
        return data

    def kernel(self) -> Kernel:
        name = self.word("the kernel's name")
        note = self.word("a note in quotes or {") if self.peek()[:1] == '"' else ""
        self.expect("{")
        return Kernel(name, self.block(()), note)

    # operands

    def literal(self) -> bool | int | float:
        negative = self.accept("-")
        token = self.peek()
        value: bool | int | float
        if token.isdigit():
            value = int(token)
        elif token[:1].isdigit() or token in ("inf", "nan"):
            value = float(token)
        elif token in ("true", "false") and not negative:
            value = token == "true"
        else:
            self.unexpected("a literal")
        self.at += 1
        return -value if negative else value

    def raw(self) -> _Raw:
        """An operand whose dtype, if it is a literal, may still be open."""
        token = self.peek()
        if token[:1] == "%":
            return self.lookup()
        if token in BYTES and self.tokens[self.at + 1] == "(":
            self.at += 2
            value = self.literal()
            self.expect(")")
            return value, token
        if token == "-" or token[:1].isdigit() or token in LITERAL_WORDS:
            return self.literal(), None
        return self.lookup()

    def operand(self, expected: str | None) -> Operand:
        return _settled(self.raw(), expected)

    def index(self) -> Index:
        """``-2*i + j - 3`` up to (not including) the closing bracket."""
        terms: list[tuple[Var, int]] = []
        offset = 0
        sign = -1 if self.accept("-") else 1
        while True:
            if self.peek().isdigit():
                number = sign * int(self.next())
                if self.accept("*"):
                    terms.append((self.lookup(), number))
                else:
                    offset += number
            else:
                terms.append((self.lookup(), sign))
            if self.peek() not in ("+", "-"):
                return Index(tuple(terms), offset)
            sign = -1 if self.next() == "-" else 1

    def access(self) -> tuple[Buffer, Index]:
        buffer = self.buffer_name()
        self.expect("[")
        index = self.index()
        self.expect("]")
        return buffer, index

    def buffer_name(self) -> Buffer:
        name = self.word("a buffer's name")
        buffer = self.buffers.get(name)
        if buffer is None:
            self.fail(f"no buffer is named {name}", self.at - 1)
        return buffer

    # blocks and statements

    def block(self, yields: Sequence[str]) -> Block:
        """Statements up to and including the closing brace; ``yields`` are the dtypes expected."""
        statements: list[Statement] = []
        values: list[Operand] = []
        while not self.accept("}"):
            if self.accept("yield"):
                dtypes: list[str | None] = [*yields]
                while not values or self.accept(","):
                    values.append(self.operand(dtypes[len(values)] if len(values) < len(dtypes)
                                               else None))  # fmt: skip
                self.expect("}")
                break
            statements.append(self.statement())
        return Block(tuple(statements), tuple(values))

    def statement(self) -> Statement:
        token = self.peek()
        if token == "store":
            self.at += 1
            buffer, index = self.access()
            self.expect(",")
            return Store(buffer, index, self.operand(buffer.dtype))
        if token == "contract":
            return self.contract()
        names: list[tuple[int, str, str | None]] = []
        while self.peek()[:1] == "%":
            at = self.at
            name = self.value_name()
            names.append((at, name, self.dtype() if self.accept(":") else None))
            if not self.accept(","):
                self.expect("=")
                break
        match self.peek():
            case "loop":
                return self.loop(names)
            case "if":
                return self.branch(names)
            case "while":
                return self.loop_while(names)
        if len(names) != 1 or names[0][2] is not None:
            self.unexpected("loop, if or while" if names else "a statement, yield or }")
        return self.assignment(names[0][1], names[0][0])

    def assignment(self, name: str, at: int) -> Let | Load:
        if self.accept("load"):
            buffer, index = self.access()
            self.expect(":")
            return Load(self.define(name, self.dtype(), at), buffer, index)
        reassociate = self.accept("reassociate")
        op = self.peek()
        if op not in SCALARS:
            self.unexpected("load, loop, if, while or a scalar function")
        self.at += 1
        raw = [self.raw()]
        while self.accept(","):
            raw.append(self.raw())
        self.expect(":")
        dtype = self.dtype()
        vars_ = [a.dtype if isinstance(a, Var) else None for a in raw]
        expected = expected_dtypes(op, dtype, vars_)
        args = tuple([_settled(a, e) for a, e in zip(raw, expected, strict=True)])
        return Let(self.define(name, dtype, at), op, args, reassociate)

    def results(
        self, names: Sequence[tuple[int, str, str | None]], dtypes: Sequence[str]
    ) -> tuple[Var, ...]:
        """Define the results of a nest; their dtypes follow the params' unless written."""
        found = []
        for n, (at, name, dtype) in enumerate(names):
            if dtype is None:
                if n >= len(dtypes):
                    self.fail(f"{name} needs a dtype: more results than carried values", at)
                dtype = dtypes[n]
            found.append(self.define(name, dtype, at))
        return tuple(found)

    def carried(self) -> tuple[tuple[Var, ...], tuple[Operand, ...]]:
        """``carry %p: dtype = init, ...``: all inits are read before any param is defined."""
        names: list[tuple[int, str, str]] = []
        inits: list[Operand] = []
        if self.accept("carry"):
            while not names or self.accept(","):
                at, name = self.at, self.value_name()
                self.expect(":")
                names.append((at, name, self.dtype()))
                self.expect("=")
                inits.append(self.operand(names[-1][2]))
        params = tuple([self.define(name, dtype, at) for at, name, dtype in names])
        return params, tuple(inits)

    def loop(self, names: Sequence[tuple[int, str, str | None]]) -> Loop:
        self.expect("loop")
        name = self.bare_name()
        self.expect("<")
        extent: int | Operand
        extent = (
            self.integer() if self.peek() == "-" or self.peek().isdigit() else self.operand(None)
        )
        mode = cast(Mode, self.next()) if self.peek() in _MODES else "serial"
        params, inits = self.carried()
        self.expect("{")
        dtypes = [p.dtype for p in params]
        with self.bare([name]) as (var,):
            body = self.block(dtypes)
        return Loop(var, extent, body, params, inits, self.results(names, dtypes), mode)

    def branch(self, names: Sequence[tuple[int, str, str | None]]) -> If:
        self.expect("if")
        condition = self.operand("bool")
        dtypes: list[str] = []
        if self.accept(":"):
            while not dtypes or self.accept(","):
                dtypes.append(self.dtype())
        self.expect("{")
        then = self.block(dtypes)
        otherwise = Block(())
        if self.accept("else"):
            self.expect("{")
            otherwise = self.block(dtypes)
        return If(condition, then, otherwise, self.results(names, dtypes))

    def loop_while(self, names: Sequence[tuple[int, str, str | None]]) -> While:
        self.expect("while")
        params, inits = self.carried()
        self.expect("{")
        dtypes = [p.dtype for p in params]
        condition = self.block(["bool"])
        self.expect("do")
        self.expect("{")
        body = self.block(dtypes)
        return While(params, inits, condition, body, self.results(names, dtypes))

    def contract(self) -> Contract:
        self.expect("contract")
        operands: list[tuple[Buffer, Index]] = []
        while not operands or self.accept(","):
            bare = self.tokens[self.at + 1] != "["
            operands.append((self.buffer_name(), Index()) if bare else self.access())
        if len(operands) != 2:
            self.fail(f"a contraction has two operands, not {len(operands)}")
        dims: list[tuple[str, str, int, int, int]] = []
        while not self.accept("->"):
            role = self.peek()
            if role not in _ROLES:
                self.unexpected("batch, m, n, k or ->")
            self.at += 1
            self.expect("(")
            name = self.bare_name()
            self.expect("<")
            extent = self.integer()
            self.expect(";")
            stride_a = self.integer()
            self.expect(",")
            stride_b = self.integer()
            self.expect(")")
            dims.append((role, name, extent, stride_a, stride_b))
        at, name = self.at, self.value_name()
        self.expect(":")
        acc = self.define(name, self.dtype(), at)
        self.expect("{")
        with self.bare([d[1] for d in dims]) as variables:
            epilogue = self.block(())
        made = tuple(
            Dim(role, extent, stride_a, stride_b, var)  # type: ignore[arg-type]
            for (role, _, extent, stride_a, stride_b), var in zip(dims, variables, strict=True)
        )
        (a, offset_a), (b, offset_b) = operands
        return Contract(made, a, b, offset_a, offset_b, acc, epilogue)


def _settled(raw: _Raw, expected: str | None) -> Operand:
    if isinstance(raw, Var):
        return raw
    value, dtype = raw
    return Const(value, dtype or expected or natural_dtype(value))
