"""The parser of graph text; the grammar is described in ``text.py``."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..errors import SymFluxError
from .node import CONSTANT, Node, apply, constant, item, symbol
from .op import registered
from .text import KEYWORDS
from .text import NAME as PATTERN
from .types import DTYPES, ArrayType, TupleType, Type, numpy_dtype

if TYPE_CHECKING:
    from .graph import Graph

__all__ = ["GraphParseError", "parse_graph"]

#: A string attribute without quotes, the name of an op or of an attribute.
WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
#: The name of an input: words with dots and subscripts, ``layers[0].weight``, ``p['w']``.
NAME = re.compile(PATTERN, re.ASCII)

_BLANKS = re.compile(r"(?:[ \t]|#[^\n]*)*")
_EMPTY_LINES = re.compile(r"(?:\s|#[^\n]*)*")
_NODE = re.compile(r"%\d+")
_NUMBER = re.compile(r"-?(?:\d+\.?\d*(?:e[+-]?\d+)?|inf|nan(?:\(0x[0-9a-f]+\))?)", re.ASCII)
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_INTEGER = re.compile(r"-?\d+", re.ASCII)
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)
_DTYPE = re.compile("|".join(sorted(DTYPES, key=len, reverse=True)) + r"\b")
_CALL = re.compile(rf"(?:{_DTYPE.pattern})(?:\[[\d,]*\])?\(")
_ATTRIBUTE = re.compile(r"([A-Za-z_]\w*)=", re.ASCII)
_BLOCK = re.compile(r"([A-Za-z_]\w*)(?:\[(\d+)\])?:\s*(?=graph\b)", re.ASCII)


#: The Python types of literals by the first letter of their dtype; nan bits are np.uint64.
_KINDS: dict[str, set[Any]] = {
    "b": {bool},
    "i": {int},
    "u": {int},
    "f": {int, float, np.uint64},
}


class GraphParseError(SymFluxError, ValueError):
    """Text that is no graph: ``line`` and ``column`` (from 1) say where, the message what for."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.line = line
        self.column = column


def parse_graph(text: str) -> Graph:
    """The graph that ``text`` describes (see ``symflux/ir/text.py`` for the grammar).

    Raises:
        GraphParseError: says where, and what was expected there instead.

    >>> parse_graph("graph f(x: f32[3]) -> f32[3]\\n  %0 = exp y\\n  return %0")
    Traceback (most recent call last):
    symflux.ir.parse.GraphParseError: line 2, column 12: nothing is named y here
    """
    parser = _Parser(text)
    parser.lines()
    graph = parser.graph()
    parser.lines()
    if parser.at < len(text):
        parser.expected("the end of the text")
    return graph


class _Literal:
    """A literal whose dtype may still depend on the operands beside it."""

    __slots__ = ("at", "dtype", "shape", "values")

    def __init__(
        self, values: Any, dtype: str | None, shape: tuple[int, ...] | None, at: int
    ) -> None:
        self.values = values
        self.dtype = dtype
        self.shape = shape
        self.at = at


class _Parser:
    """A cursor over the text; recursion only over nested graphs, tuples and brackets."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    # the cursor

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        at = self.at if at is None else at
        line = self.text.count("\n", 0, at) + 1
        raise GraphParseError(message, line, at - self.text.rfind("\n", 0, at))

    def expected(self, wanted: str) -> NoReturn:
        rest = self.text[self.at :]
        found = re.match(r"%?[\w.]+|\S", rest) if rest[:1] != "\n" else None
        name = repr(found[0]) if found else "the end of the line" if rest else "the end of the text"
        self.fail(f"expected {wanted}, found {name}")

    def blanks(self) -> None:
        self.at = _BLANKS.match(self.text, self.at).end()  # type: ignore[union-attr]

    def lines(self) -> None:
        self.at = _EMPTY_LINES.match(self.text, self.at).end()  # type: ignore[union-attr]

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The match of ``pattern`` here, if any; moves behind it and the blanks after it."""
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
            self.blanks()
        return found

    def need(self, pattern: re.Pattern[str], wanted: str) -> str:
        found = self.match(pattern)
        if found is None:
            self.expected(wanted)
        return found[0]

    def sign(self, sign: str) -> bool:
        if not self.text.startswith(sign, self.at):
            return False
        self.at += len(sign)
        self.blanks()
        return True

    def need_sign(self, sign: str, wanted: str = "") -> None:
        if not self.sign(sign):
            self.expected(wanted or repr(sign))

    # graphs

    def graph(self) -> Graph:
        from .graph import Graph

        self.keyword("graph")
        name = self.match(NAME)
        self.need_sign("(", "the inputs in parentheses")
        scope: dict[str, Node] = {}
        inputs: list[Node] = []
        while not self.sign(")"):
            if inputs:
                self.need_sign(",", "',' or ')'")
            inputs.append(self.parameter(scope))
        labels, types = self.results()
        self.end_of_line()
        outputs = self.body(scope)
        for i, (node, wanted) in enumerate(zip(outputs, types, strict=False)):
            if node.type != wanted:
                self.fail(f"result {i} has type {node.type}, the first line says {wanted}")
        if types and len(types) != len(outputs):
            self.fail(f"{len(outputs)} results, the first line says {len(types)}")
        return Graph(name[0] if name else "graph", tuple(inputs), tuple(outputs), labels)

    def keyword(self, word: str) -> None:
        if not self.match(re.compile(rf"{word}\b")):
            self.expected(repr(word))

    def end_of_line(self) -> None:
        if self.at < len(self.text) and self.text[self.at] != "\n":
            self.expected("the end of the line")
        self.lines()

    def parameter(self, scope: dict[str, Node]) -> Node:
        at = self.at
        found = self.match(NAME) or self.match(_NODE)
        if found is None or found[0] in KEYWORDS:
            self.at = at
            self.expected("the name of an input")
        if found[0] in scope:
            self.fail(f"two inputs are named {found[0]}", at)
        self.need_sign(":", "':' and the type of the input")
        type_ = self.array_type()
        node = symbol(found[0].replace("%", "x"), type_.shape, type_.dtype)
        scope[found[0]] = node
        return node

    def results(self) -> tuple[tuple[str, ...], list[Type]]:
        """What follows the arrow of the first line: types, each perhaps with a name."""
        labels: list[str] = []
        types: list[Type] = []
        if not self.sign("->"):
            return (), types
        while not types or self.sign(","):
            at = self.at
            label = self.match(NAME)
            if label and self.sign(":"):
                labels.append(label[0])
            else:
                self.at = at
                labels.append("")
            types.append(self.type())
        return (tuple(labels) if any(labels) else ()), types

    def body(self, scope: dict[str, Node]) -> list[Node]:
        returns = re.compile(r"return\b")
        while not self.match(returns):
            at = self.at
            name = self.need(_NODE, "a line '%number = op ...' or 'return ...'")
            if name in scope:
                self.fail(f"{name} is defined twice", at)
            self.need_sign("=")
            scope[name] = self.node(scope)
        outputs = self.operands(scope)
        if self.at < len(self.text):
            self.end_of_line()
        return outputs

    # nodes

    def node(self, scope: dict[str, Node]) -> Node:
        at = self.at
        op = registered().get(self.need(WORD, "the name of an op"))
        if op is None:
            self.at = at
            self.expected("the name of an op")
        if op is CONSTANT:
            return self.large_constant()
        inputs = self.operands(scope)
        attrs: dict[str, Any] = {}
        while True:
            place = self.at
            if self.match(_ATTRIBUTE):
                name = self.text[place : self.text.index("=", place)]
                attrs[name] = self.attribute()
            elif spec := self.match(_STRING):
                attrs["spec"] = json.loads(spec[0])
            else:
                break
        annotation = self.type() if self.sign(":") else None
        if self.at < len(self.text) and self.text[self.at] != "\n":
            self.expected("an attribute, ':' and a type, or the end of the line")
        self.lines()
        self.blocks(attrs)
        try:
            node = apply(op, tuple(inputs), attrs)
        except (TypeError, ValueError, KeyError) as error:
            self.fail(str(error), at)
        if annotation is not None and node.type != annotation:
            self.fail(f"{op.name} gives {node.type} here, the line says {annotation}", at)
        return node

    def blocks(self, attrs: dict[str, Any]) -> None:
        """The graphs below a line: ``body: graph ...``, ``branches[0]: graph ...``."""
        while found := self.match(_BLOCK):
            graph = self.graph()
            if found[2] is None:
                attrs[found[1]] = graph
            else:
                attrs[found[1]] = (*attrs.get(found[1], ()), graph)

    def large_constant(self) -> Node:
        at = self.at
        data = self.need(_HEX, "the bytes of the constant, 0x...")
        self.need_sign(":", "':' and the type of the constant")
        type_ = self.array_type()
        self.end_of_line()
        return constant(self.array_of(data, type_, at), type_.dtype)

    def array_of(self, data: str, type_: ArrayType, at: int) -> np.ndarray[Any, Any]:
        raw = bytes.fromhex(data[2:])
        dtype = numpy_dtype(type_.dtype)
        if len(raw) != type_.size * dtype.itemsize:
            self.fail(f"{len(raw)} bytes are not the elements of {type_}", at)
        return np.frombuffer(raw, dtype.newbyteorder("<")).reshape(type_.shape)

    # operands

    def operands(self, scope: dict[str, Node]) -> list[Node]:
        found: list[Node | _Literal] = []
        if self.starts_operand():
            found.append(self.operand(scope))
            while self.sign(","):
                found.append(self.operand(scope))
        nodes = [x for x in found if isinstance(x, Node)]
        context = next(
            (x.dtype for x in nodes if isinstance(x.type, ArrayType) and x.dtype != "bool"), None
        )
        return [x if isinstance(x, Node) else self.constant(x, context) for x in found]

    def starts_operand(self) -> bool:
        if self.at >= len(self.text) or self.text[self.at] in '\n:"':
            return False
        return not _ATTRIBUTE.match(self.text, self.at)

    def operand(self, scope: dict[str, Node]) -> Node | _Literal:
        at = self.at
        if _CALL.match(self.text, at):
            return self.typed_literal()
        if self.text.startswith("[", at) or _NUMBER.match(self.text, at):
            return _Literal(self.elements(), None, None, at)
        found = _NODE.match(self.text, at) or NAME.match(self.text, at)
        if found is None:
            self.expected("an operand: a name, %number or a literal")
        if found[0] in ("true", "false"):
            return _Literal(self.elements(), None, None, at)
        node = scope.get(found[0])
        if node is None:
            self.fail(f"nothing is named {found[0]} here")
        self.at = found.end()
        if isinstance(node.type, TupleType):
            self.need_sign(".", f"'.' and the number of one of {found[0]}'s results")
            index = int(self.need(_INTEGER, "the number of a result"))
            if not 0 <= index < len(node.type.items):
                self.fail(f"{found[0]} has {len(node.type.items)} results, no number {index}", at)
            return item(node, index)
        self.blanks()
        return node

    def typed_literal(self) -> _Literal:
        """``f32(2.0)``, ``f64[0,3]([])``, or bytes as in canonical text: ``f64(0x0000...)``."""
        at = self.at
        type_ = self.array_type()
        shaped = self.text[self.at - 1] == "]"
        self.need_sign("(")
        if found := self.match(_HEX):
            self.need_sign(")")
            return _Literal(self.array_of(found[0], type_, at), type_.dtype, None, at)
        values = self.elements()
        self.need_sign(")")
        return _Literal(values, type_.dtype, type_.shape if shaped else None, at)

    def elements(self) -> Any:
        """A number or nested brackets of numbers, as Python values (nan bits as ``np.uint64``)."""
        if self.sign("["):
            values: list[Any] = []
            while not self.sign("]"):
                if values:
                    self.need_sign(",", "',' or ']'")
                values.append(self.elements())
            return values
        if found := self.match(re.compile(r"true\b|false\b")):
            return found[0] == "true"
        text = self.need(_NUMBER, "a number")
        if text.startswith("nan("):
            return np.uint64(int(text[4:-1], 16))
        return int(text) if _INTEGER.fullmatch(text) else float(text)

    def constant(self, raw: _Literal, context: str | None) -> Node:
        if isinstance(raw.values, np.ndarray):
            return constant(raw.values, raw.dtype)
        flat = np.array(raw.values, dtype=object)
        kinds: set[Any] = {type(v) for v in flat.reshape(-1)}
        natural = "bool" if kinds == {bool} else "i64" if kinds <= {int} else "f64"
        dtype = raw.dtype or ("bool" if natural == "bool" else context or natural)
        allowed = _KINDS[dtype[0]]
        if not kinds <= allowed:
            self.fail(
                f"this is no literal of {dtype}; write another dtype around it: f64(2.5)", raw.at
            )
        shape = flat.shape if raw.shape is None else raw.shape
        if flat.size != int(np.prod(shape)):
            self.fail(f"this literal does not have shape {shape}", raw.at)
        target = numpy_dtype(dtype)
        array = np.empty(flat.size, target)
        bits = array.view(f"u{target.itemsize}")
        for i, v in enumerate(flat.reshape(-1)):
            try:
                if type(v) is np.uint64:
                    bits[i] = v
                else:
                    array[i] = v
            except OverflowError:
                self.fail(f"{v} does not fit into {dtype}", raw.at)
        return constant(array.reshape(shape), dtype)

    # attributes and types

    def attribute(self) -> Any:
        if self.sign("("):
            values: list[Any] = []
            while not self.sign(")"):
                if values:
                    self.need_sign(",", "',' or ')'")
                    if self.sign(")"):
                        break
                values.append(self.attribute())
            return tuple(values)
        if quoted := self.match(_STRING):
            return json.loads(quoted[0])
        if _NUMBER.match(self.text, self.at):
            return self.elements()
        word = self.need(WORD, "a value: a number, a word, a string in quotes or a tuple")
        return {"true": True, "false": False, "none": None}.get(word, word)

    def type(self) -> Type:
        if not self.sign("("):
            return self.array_type()
        items: list[ArrayType] = []
        while not self.sign(")"):
            if items:
                self.need_sign(",", "',' or ')'")
            items.append(self.array_type())
        return TupleType(tuple(items))

    def array_type(self) -> ArrayType:
        dtype = _DTYPE.match(self.text, self.at)
        if dtype is None:
            self.expected(f"a type such as f64[3,4]; dtypes are {', '.join(DTYPES)}")
        self.at = dtype.end()
        shape: list[int] = []
        if self.text.startswith("[", self.at):
            self.need_sign("[")
            while not self.sign("]"):
                if shape:
                    self.need_sign(",", "',' or ']'")
                shape.append(int(self.need(_INTEGER, "an extent")))
        self.blanks()
        return ArrayType(tuple(shape), dtype[0])
