"""Text of graphs: a printer; the parser that reads it back is in ``parse.py``.

    graph step(x: f64[64,784], w: f64[10,784], n: i64) -> loss: f64, f64[64,10]
      %0 = contract x, w "ik,jk->ij"                    : f64[64,10]
      %1 = mul %0, 2.0                                  : f64[64,10]
      %2 = where true, %1, f64(nan)                     : f64[64,10]
      %3 = loop n, 0.0, %2 "a note" axes=(0, 1)         : (f64, f64[64,10])
        body: graph body(i: i64, s: f64, y: f64[64,10]) -> f64, f64[64,10]
          %0 = add s, 1.0                               : f64
          return %0, y
      return %3.0, %3.1

Names. An input is printed by its name (made a word, and unique, where it is not); other nodes are
numbered per graph. ``%3.1`` is result 1 of node 3 (the op ``item`` has no line of its own).

Literals. A scalar constant, or an array constant of at most 16 elements, is written in place. Its
dtype is that of the first operand that is neither a literal nor bool; without such an operand it is
f64 for ``2.0``, i64 for ``2``; ``true`` and ``false`` are always bool. Any other dtype is written
around it: ``f32(2.0)``, ``i8([1, 2])``, and with the shape where brackets do not say it:
``f64[0,3]([])``. A nan with other bits than the usual ones is ``nan(0x7ff8000000000001)``. Larger
constants have a line ``%0 = constant 0x00ff...`` with their bytes, little-endian.

Attributes. ``name=value`` with numbers, ``true``, ``none``, tuples, and strings, which need quotes
unless they are words; the string attribute ``spec`` stands in quotes without its name. An attribute
that is a graph, or a tuple of graphs (``branches[0]: graph ...``), is an indented block.

``#`` starts a comment. Types of nodes may be left out when writing by hand: they are inferred.

``print_graph(parse_graph(text)) == text`` for every printed text without origins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .node import CONSTANT, ITEM, Node, constant_value
from .types import ArrayType, numpy_dtype
from .walk import dependents

if TYPE_CHECKING:
    from .graph import Graph
    from .parse import GraphParseError, parse_graph

__all__ = ["GraphParseError", "attribute_text", "literal", "parse_graph", "print_graph"]

#: Words that are values of their own.
KEYWORDS = frozenset({"true", "false", "none", "inf", "nan"})
#: A regular expression of the names that inputs may have, attributes and items of theirs included.
NAME = r"[A-Za-z_]\w*(?:\.\w+|\[(?:\d+|'\w*')\])*"


def __getattr__(name: str) -> Any:
    """The parser is loaded by whoever parses."""
    if name not in ("GraphParseError", "parse_graph"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import parse

    return getattr(parse, name)


def _quoted(value: str) -> str:
    if value.isascii() and value.isprintable() and '"' not in value and "\\" not in value:
        return f'"{value}"'
    import json  # for the few others

    return json.dumps(value)


_MOST_INLINE = 16  # elements of a constant that is written in place
_WIDEST = 64  # lines longer than this do not move the column of types


def print_graph(graph: Graph, canonical: bool = False, origins: bool = False) -> str:
    """The graph as text, without a newline at its end.

    Args:
        graph: what to print. Nodes are numbered in the order in which they were made, except that
            nodes which depend on no input stand before their first use (such nodes are shared
            between graphs, so that their age says nothing).
        canonical: leave out all names and types that follow from others and number the nodes depth
            first from the outputs: equal texts for structurally equal graphs, whatever the names of
            their inputs and the order in which their nodes were made.
        origins: end each line with the user's line it came from, ``# file:line source [rule]``.

    Raises:
        TypeError: if ``canonical`` and an attribute is something that text cannot hold.

    >>> from symflux.ir import Graph, symbol
    >>> from symflux.ops import exp
    >>> x = symbol("x", (3,), "f32")
    >>> print(print_graph(Graph("f", (x,), (2.0 * exp(x),))))
    graph f(x: f32[3]) -> f32[3]
      %0 = exp x         : f32[3]
      %1 = mul 2.0, %0   : f32[3]
      return %1
    """
    if canonical:
        return _canonical(graph)
    lines: list[_Line] = []
    _display(graph, "", "graph", lines, origins)
    width = max(
        (len(line.text) for line in lines if line.type and len(line.text) <= _WIDEST), default=0
    )
    texts = [f"{line.text:<{width}}   : {line.type}" if line.type else line.text for line in lines]
    if origins:
        width = max((len(t) for t, line in zip(texts, lines, strict=True) if line.note), default=0)
        texts = [
            f"{text:<{width}}   # {line.note}" if line.note else text
            for text, line in zip(texts, lines, strict=True)
        ]
    return "\n".join(texts)


# --- order ----------------------------------------------------------------------------------------


def _depth_first(roots: Iterable[Node], seen: set[int]) -> list[Node]:
    """What ``roots`` depend on and is not in ``seen``, inputs before users, left to right."""
    order = []
    stack = list(roots)
    stack.reverse()
    while stack:
        node = stack[-1]
        if node.id in seen:
            stack.pop()
            continue
        waiting = [x for x in node.inputs if x.id not in seen]
        if waiting:
            waiting.reverse()
            stack += waiting
        else:
            seen.add(node.id)
            order.append(node)
            stack.pop()
    return order


# --- canonical text -------------------------------------------------------------------------------


def _canonical(graph: Graph) -> str:
    names = {node.id: f"%{i}" for i, node in enumerate(graph.inputs)}
    header = ", ".join([f"%{i}: {node.type}" for i, node in enumerate(graph.inputs)])
    lines = [f"graph ({header})"]
    number = len(names)
    for node in _depth_first(graph.outputs, set(names)):
        op = node.op
        if op is CONSTANT:
            names[node.id] = f"{node.type}(0x{node['data'].hex()})"
        elif op is ITEM:
            names[node.id] = f"{names[node.inputs[0].id]}.{node['index']}"
        else:
            operands = ", ".join([names[x.id] for x in node.inputs])
            attrs = _canonical_attributes(node) if node.attrs else ""
            names[node.id] = name = f"%{number}"
            lines.append(f"{name} = {op.name} {operands}{attrs}")
            number += 1
    lines.append("return " + ", ".join([names[x.id] for x in graph.outputs]))
    return "\n".join(lines)


def _canonical_attributes(node: Node) -> str:
    words = []
    blocks = []
    for name, value in node.attrs:
        graphs = _graphs(value)
        if graphs is None:
            words.append(f" {name}={_canonical_value(value)}")
        else:
            block_names = _block_names(name, value, len(graphs))
            blocks += [f"\n{b}: {g.canonical}" for b, g in zip(block_names, graphs, strict=True)]
    return "".join(words + blocks)


def _canonical_value(value: Any) -> str:
    kind = type(value)
    if kind is tuple and all(type(v) is int for v in value):
        return repr(value)  # by far the most frequent
    return attribute_text(value, strict=True)


# --- display --------------------------------------------------------------------------------------


class _Line:
    __slots__ = ("note", "text", "type")

    def __init__(self, text: str, type_: str = "", note: str = "") -> None:
        self.text = text
        self.type = type_
        self.note = note


def _display(graph: Graph, indent: str, head: str, lines: list[_Line], origins: bool) -> None:
    """Append the lines of ``graph``; recursing into graphs that are attributes."""
    names = _input_names(graph.inputs)
    header = ", ".join(f"{names[x.id]}: {x.type}" for x in graph.inputs)
    results: list[str] = []
    for i, node in enumerate(graph.outputs):
        label = graph.output_names[i] if i < len(graph.output_names) else ""
        results.append(f"{_word(label)}: {node.type}" if label else str(node.type))
    arrow = f" -> {', '.join(results)}" if results else ""
    lines.append(_Line(f"{indent}{head} {_word(graph.name, 'graph')}({header}){arrow}"))
    inner = indent + "  "
    fresh = dependents(graph.nodes, graph.inputs)
    roots = [node for node in graph.nodes if node.id in fresh]
    number = 0
    for node in _depth_first([*roots, *graph.outputs], set(names)):
        if node.op is ITEM:
            names[node.id] = f"{names[node.inputs[0].id]}.{node['index']}"
            continue
        if node.op is CONSTANT and node.type.size <= _MOST_INLINE:
            continue  # written where it is used
        name = f"%{number}"
        number += 1
        operands = _operands(node.inputs, names)
        words, blocks = _attributes(node)
        names[node.id] = name
        text = f"{inner}{name} = {node.op.name}{' ' if operands else ''}{operands}{words}"
        lines.append(_Line(text, str(node.type), _note(node) if origins else ""))
        for label, body in blocks:
            _display(body, inner + "  ", f"{label}: graph", lines, origins)
    outputs = _operands(graph.outputs, names)
    lines.append(_Line(f"{inner}return {outputs}".rstrip()))


def _word(name: str, otherwise: str = "_") -> str:
    """``name`` with everything that is not part of a word replaced."""
    if name not in KEYWORDS and re.fullmatch(NAME, name, re.ASCII):
        return name
    name = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or otherwise
    return f"_{name}" if name[0].isdigit() or name in KEYWORDS else name


def _input_names(inputs: Sequence[Node]) -> dict[int, str]:
    names: dict[int, str] = {}
    taken: set[str] = set()
    for node in inputs:
        name = wanted = _word(node["name"], "x")
        count = 1
        while name in taken:
            count += 1
            name = f"{wanted}_{count}"
        taken.add(name)
        names[node.id] = name
    return names


def _operands(inputs: Sequence[Node], names: dict[int, str]) -> str:
    dtype = None
    if any(x.id not in names for x in inputs):
        dtype = literal_dtype([x.type for x in inputs if x.id in names])
    return ", ".join(names[x.id] if x.id in names else literal(x, dtype) for x in inputs)


def _note(node: Node) -> str:
    origin = node.origin
    if origin is None:
        return ""
    place = f"{origin.file.replace(chr(92), '/').rsplit('/', 1)[-1]}:{origin.line}"
    rule = f"[{origin.rule}]" if origin.rule else ""
    return " ".join(part for part in (place, origin.source, rule) if part)


# --- literals -------------------------------------------------------------------------------------


def literal_dtype(types: Iterable[Any]) -> str | None:
    """The dtype of literals without one, beside operands of these types; None: its own."""
    for t in types:
        if isinstance(t, ArrayType) and t.dtype != "bool":
            return t.dtype
    return None


def literal(node: Node, context: str | None = None) -> str:
    """The text of a constant node where literals have dtype ``context`` by default."""
    array = constant_value(node)
    assert array is not None
    dtype = node.dtype
    text = _elements(array, dtype)
    if array.size == 0:
        return f"{node.type}([])"
    implied = {"b": "bool", "f": context or "f64"}.get(dtype[0], context or "i64")
    if implied != dtype:
        return f"{dtype}({text})"
    return text


def _elements(array: np.ndarray[Any, Any], dtype: str) -> str:
    if array.ndim:
        return f"[{', '.join(_elements(part, dtype) for part in array)}]"
    if dtype[0] == "f":
        return _float_text(array)
    return str(array.item()).lower()


def _float_text(array: np.ndarray[Any, Any]) -> str:
    """The shortest digits that give the same bits back, by way of a Python float."""
    value = float(array)
    if value != value:
        bits = array.tobytes()
        usual = np.array(np.nan, array.dtype).tobytes()
        return "nan" if bits == usual else f"nan(0x{bits[::-1].hex()})"
    short = str(array[()])
    if array.dtype.type(float(short)) != array:
        short = repr(value)
    return short


# --- attributes -----------------------------------------------------------------------------------


def _graphs(value: Any) -> tuple[Graph, ...] | None:
    from .graph import Graph

    if isinstance(value, Graph):
        return (value,)
    if type(value) is tuple and value and all(isinstance(v, Graph) for v in value):
        return value
    return None


def _block_names(name: str, value: Any, count: int) -> list[str]:
    return [f"{name}[{i}]" for i in range(count)] if type(value) is tuple else [name]


def _attributes(node: Node) -> tuple[str, list[tuple[str, Graph]]]:
    """The attributes within the line, and those that are blocks below it."""
    if node.op is CONSTANT:
        data = np.frombuffer(node["data"], numpy_dtype(node.dtype))
        return " 0x" + data.astype(data.dtype.newbyteorder("<")).tobytes().hex(), []
    words = []
    blocks: list[tuple[str, Graph]] = []
    for name, value in node.attrs:
        graphs = _graphs(value)
        if graphs is not None:
            blocks += zip(_block_names(name, value, len(graphs)), graphs, strict=True)
        elif name == "spec" and type(value) is str:
            words.append(f" {_quoted(value)}")
        else:
            words.append(f" {name}={attribute_text(value)}")
    return "".join(words), blocks


def attribute_text(value: Any, strict: bool = False) -> str:
    """The text of an attribute that is no graph.

    Raises:
        TypeError: if ``strict`` and it is not made of numbers, strings, None and tuples.
    """
    if value is None:
        return "none"
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return repr(float(value))
    if isinstance(value, str):
        is_word = value.isascii() and value.isidentifier() and value not in KEYWORDS
        return value if is_word else _quoted(value)
    if isinstance(value, tuple):
        inner = ", ".join(attribute_text(v, strict) for v in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if strict:
        raise TypeError(
            f"attributes are made of numbers, strings, None, tuples and graphs, got {value!r}"
        )
    return f"<{type(value).__name__}>"
