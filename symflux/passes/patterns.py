"""Laws written as text: ``"x * 1"`` becomes ``"x"``. What a pattern means, and how it is matched.

A pattern is a Python expression. Single letters stand for any node, except ``c`` and ``d``, which
stand for scalar constants; the same letter twice is the same node. Numbers are scalar constants of
exactly that value, of any dtype (``0.0`` is not ``-0.0``). Operators are ``+ - * / **``, ``~ & |``,
``< <= > >= == !=``; a call is the op of that name. A keyword binds the attribute, as in
``sum(x, axes=a)``; a constant keyword must be equal. Commutative ops match in either order.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from ..ir.node import CONSTANT, Node, constant, constant_value
from ..ir.op import Op, lookup
from ..ir.types import numpy_dtype
from ..records import record

__all__ = [
    "NUMBERS", "Applied", "Environment", "Number", "Pattern", "Variable", "builder", "constant_key",
    "heads", "matcher", "number", "parse", "variants",
]  # fmt: skip

Environment: TypeAlias = dict[str, Any]

#: The numbers that patterns may name; other constants are matched by ``c`` and a condition.
NUMBERS = frozenset({"0.0", "-0.0", "1.0", "-1.0", "2.0", "0.5", "True", "False"})

_OPERATORS: dict[type, str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow",
    ast.BitAnd: "and", ast.BitOr: "or", ast.USub: "neg", ast.Invert: "not",
    ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.Eq: "eq", ast.NotEq: "ne",
}  # fmt: skip


#: how the ops that have operators are written
_SIGNS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "and": "&", "or": "|", "neg": "-",
    "not": "~", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=",
}  # fmt: skip


@record(frozen=True)
class Variable:
    """Any node; a scalar constant if ``literal``."""

    name: str
    literal: bool


@record(frozen=True)
class Number:
    """The scalar constant of this value; ``key`` is its text."""

    value: bool | int | float

    @property
    def key(self) -> str:
        return repr(self.value) if isinstance(self.value, bool) else repr(float(self.value))


@record(frozen=True)
class Applied:
    """An op on patterns; ``attrs`` are names to bind or values to be equal."""

    op: str
    inputs: tuple[Pattern, ...]
    attrs: tuple[tuple[str, Variable | Any], ...] = ()


Pattern: TypeAlias = Variable | Number | Applied


def parse(text: str) -> Pattern:
    """The pattern that ``text`` describes.

    Raises:
        ValueError: for Python that is no pattern.
    """
    return _parse(ast.parse(text, mode="eval").body, text)


_INNERMOST = re.compile(r"\([^()]*\)")


def heads(text: str) -> tuple[str, ...]:
    """The ops that may stand at the head of a pattern, without parsing it: the one that is called,
    or those whose signs stand outside of all parentheses.

    >>> heads("exp(x + 1)"), heads("exp(x) + 1"), heads("exp(-x) < 1")
    (('exp',), ('add',), ('lt',))
    """
    before, outer = "", text
    while outer != before:
        before, outer = outer, _INNERMOST.sub("\0", outer)
    if outer.endswith("\0") and outer[:-1].isidentifier():
        return (outer[:-1],)
    return tuple([op for op, sign in _SIGNS.items() if sign in outer])


def _parse(tree: ast.expr, text: str) -> Pattern:
    match tree:
        case ast.Name(id=name):
            return Variable(name, name in ("c", "d"))
        case ast.Constant(value=bool() | int() | float() as value):
            return Number(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return Number(-value if value else -0.0)
        case ast.UnaryOp(op=operator, operand=x):
            return Applied(_OPERATORS[type(operator)], (_parse(x, text),))
        case ast.BinOp(op=operator, left=x, right=y):
            return Applied(_OPERATORS[type(operator)], (_parse(x, text), _parse(y, text)))
        case ast.Compare(left=x, ops=[operator], comparators=[y]):
            return Applied(_OPERATORS[type(operator)], (_parse(x, text), _parse(y, text)))
        case ast.Call(func=ast.Name(id=name), args=inputs, keywords=keywords):
            attrs = tuple((str(k.arg), _attribute(k.value)) for k in keywords)
            return Applied(name, tuple(_parse(x, text) for x in inputs), attrs)
    raise ValueError(f"{ast.unparse(tree)} is no pattern, in {text!r}")


def _attribute(tree: ast.expr) -> Any:
    return Variable(tree.id, False) if isinstance(tree, ast.Name) else ast.literal_eval(tree)


def variants(pattern: Pattern) -> Iterator[Pattern]:
    """The pattern with the inputs of commutative ops in every order."""
    if not isinstance(pattern, Applied):
        yield pattern
        return
    choices: list[tuple[Pattern, ...]] = [()]
    for x in pattern.inputs:
        choices = [(*head, y) for head in choices for y in variants(x)]
    seen: list[tuple[Pattern, ...]] = []  # few
    for inputs in choices:
        orders = [inputs]
        if lookup(pattern.op).commutative and len(inputs) == 2:
            orders.append((inputs[1], inputs[0]))
        for order in orders:
            if order not in seen:
                seen.append(order)
                yield Applied(pattern.op, order, pattern.attrs)


# --- constants ------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _key(data: bytes, dtype: str) -> str:
    value = np.frombuffer(data, numpy_dtype(dtype))[0]
    text = repr(bool(value)) if dtype == "bool" else repr(float(value))
    if text in NUMBERS:
        return text
    return "nan" if text == "nan" else "constant"


def constant_key(node: Node) -> str:
    """``"array"``, the text of one of ``NUMBERS``, ``"nan"``, or ``"constant"`` for the rest."""
    (_, data), (_, dtype), (_, shape) = node.attrs
    return "array" if shape else _key(data, dtype)


def number(node: Node) -> Any:
    """The value of a scalar constant node as a Python number."""
    value = constant_value(node)
    assert value is not None
    return value.item()


# --- matching and building ------------------------------------------------------------------------


Matcher: TypeAlias = Callable[[Node, Environment], bool]


def matcher(pattern: Pattern) -> Matcher:
    """``match(node, env)``: whether the node has the pattern; binds names in ``env``."""
    match pattern:
        case Variable(name, literal):
            return _match_constant(name) if literal else _match_any(name)
        case Number():
            key = pattern.key
            assert key in NUMBERS, f"{key} is not among the numbers that patterns may name"
            return lambda node, env: node.op is CONSTANT and constant_key(node) == key
        case Applied(name, inputs, attrs):
            return _match_op(lookup(name), tuple(matcher(x) for x in inputs), attrs)


def _match_any(name: str) -> Matcher:
    def match(node: Node, env: Environment) -> bool:
        return env.setdefault(name, node) is node

    return match


def _match_constant(name: str) -> Matcher:
    def match(node: Node, env: Environment) -> bool:
        return node.op is CONSTANT and node.shape == () and env.setdefault(name, node) is node

    return match


def _match_op(
    op: Op, inputs: tuple[Matcher, ...], attrs: tuple[tuple[str, Variable | Any], ...]
) -> Matcher:
    def match(node: Node, env: Environment) -> bool:
        if node.op is not op:
            return False
        for name, wanted in attrs:
            value = node[name]
            if isinstance(wanted, Variable):
                wanted = env.setdefault(wanted.name, value)
            if wanted != value:
                return False
        for f, x in zip(inputs, node.inputs, strict=True):  # noqa: SIM110 (all() is slower)
            if not f(x, env):
                return False
        return True

    return match


Builder: TypeAlias = Callable[[Environment, str], Node]


def builder(pattern: Pattern) -> Builder:
    """``build(env, dtype)``: the node; numbers in it become constants of ``dtype``."""
    match pattern:
        case Variable(name):
            return lambda env, dtype: env[name]
        case Number(value):
            own = "bool" if isinstance(value, bool) else None
            return lambda env, dtype: constant(value, own or dtype)
        case Applied(name, inputs, attrs):
            op = lookup(name)
            parts = [builder(x) for x in inputs]

            def build(env: Environment, dtype: str) -> Node:
                values = {k: env[v.name] if isinstance(v, Variable) else v for k, v in attrs}
                return op(*[part(env, dtype) for part in parts], **values)

            return build
