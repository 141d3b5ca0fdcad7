"""What functions recorded for operands of the same types: recorded again, without deciding anew.

Which dtypes NumPy's functions compute in, which axes they fold, which shape results have: all of it
depends on the types of the operands and on the other arguments, never on what the operands stand
for. The second time that a function meets such arguments, it is tried on fresh symbols of these
types. The nodes that it makes are its plan, and from then on a call only makes these nodes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import SymFluxError
from ..ir.node import INPUT, Node, known, symbol
from ..ir.origin import current
from ..ir.walk import topological
from .handle import Handle
from .scope import capture, innermost_life

__all__ = ["Plan", "by_types", "made", "plan_of", "remember"]

#: nodes that a plan has at most, and plans that are kept of one function
_STEPS, _PLANS = 24, 1024
_SEEN = object()  # in place of a plan: met once


class Plan:
    """What a function records for operands of certain types.

    Attributes:
        op, attrs, type: of the one node that takes all operands in their order, if that is all.
        steps: else, of each node in turn: op, inputs, attributes, type. An input is a constant, or
            the number of an operand or, counted on from these, of a step.
        result: which of these numbers the result has.
        weak: whether the result is a Python number.
        number: the dtype of the literal that a Python number among the operands becomes.
    """

    __slots__ = ("attrs", "number", "op", "result", "steps", "type", "weak")

    def __init__(self, steps: tuple[Any, ...], result: int, weak: bool, operands: int) -> None:
        self.steps: tuple[Any, ...] | None = steps
        self.result = result
        self.weak = weak
        self.number = ""
        if len(steps) == 1 and steps[0][1] == tuple(range(operands)):
            self.op, _, self.attrs, self.type = steps[0]
            self.steps = None


def made(cls: type[Handle], plan: Plan, inputs: tuple[Node, ...]) -> Any:
    """What the plan makes of nodes: a handle of class ``cls``, from the user's line.

    Its caller is called by a method of handles, or by a function of ``symflux.numpy``."""
    origin = current(4)
    if plan.steps is None:
        node = known(plan.op, inputs, plan.attrs, plan.type, origin)
    else:
        values = [*inputs]
        for op, numbers, attrs, type_ in plan.steps:
            given = tuple([values[n] if type(n) is int else n for n in numbers])
            values.append(known(op, given, attrs, type_, origin))
        node = values[plan.result]
    handle = _new(cls)
    handle._node = node
    handle._view = handle._writes = None
    handle._life = innermost_life()
    handle.weak = plan.weak
    return handle


_new: Any = object.__new__


def plan_of(
    cls: type[Handle], function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> Plan | None:
    """What ``function`` records for arguments of these types; None where it makes anything but one
    handle of class ``cls``, or fails: then its own arguments tell what is wrong."""
    symbols: list[Node] = []
    handles: list[Handle] = []

    def stand_in(value: Any) -> Any:
        if isinstance(value, Handle | np.ndarray):
            node = value.node if isinstance(value, Handle) else capture(value)
            symbols.append(symbol("x", node.shape, node.dtype))
            handles.append(cls(symbols[-1], isinstance(value, Handle) and value.weak))
            return handles[-1]
        return type(value)(map(stand_in, value)) if type(value) in (list, tuple) else value

    try:
        result = function(*map(stand_in, args), **kwargs)
    except (SymFluxError, TypeError, ValueError, ArithmeticError):
        return None
    for handle, node in zip(handles, symbols, strict=True):
        if handle is result or handle._node is not node or handle._writes is not None:
            return None  # written to, or returned as it is
    if not isinstance(result, Handle) or result._view is not None or result._writes is not None:
        return None
    numbers: dict[Node, int] = {node: i for i, node in enumerate(symbols)}
    steps: list[Any] = []
    for node in topological([result._node]):
        if node.op is INPUT:
            if node not in numbers:
                return None
        elif node.inputs:
            given = tuple([numbers.get(x, x) for x in node.inputs])
            numbers[node] = len(symbols) + len(steps)
            steps.append((node.op, given, node.attrs, node.type))
    if len(steps) > _STEPS or result._node not in numbers:
        return None
    return Plan(tuple(steps), numbers[result._node], result.weak, len(symbols))


def remember(plans: dict[Any, Any], key: Any, find: Callable[[], Plan | None]) -> None:
    """Note that a function met arguments of these types; the second time find out its plan."""
    if key not in plans:
        if len(plans) >= _PLANS:
            plans.clear()
        plans[key] = _SEEN
    elif plans[key] is _SEEN:
        plans[key] = None  # while it is looked for
        plans[key] = find()


def by_types(function: Callable[..., Any]) -> Callable[..., Any]:
    """For functions on traced arrays that record, for arguments of the same types, the same nodes.

    They look at no operand's node, write to nothing, and return one new array."""
    plans: dict[Any, Any] = {}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and isinstance(args[0], Handle):  # at once
            node = args[0].node
            type_ = node.type
            plan = plans.get((args[0].weak, type_.shape, type_.dtype))
            if type(plan) is Plan:
                return made(type(args[0]), plan, (node,))
        cls = _array(args)
        if cls is None:
            return function(*args, **kwargs)
        nodes: list[Node] = []
        key = _key(args, kwargs, nodes)
        if key is None:
            return function(*args, **kwargs)
        plan = plans.get(key, _SEEN)
        if type(plan) is Plan:
            return made(cls, plan, tuple(nodes))
        if plan is _SEEN:
            remember(plans, key, lambda: plan_of(cls, function, args, kwargs))
        return function(*args, **kwargs)

    vars(call)["plans"] = plans
    return call


def _array(args: Any) -> Any:
    """The class of the first handle among arguments; None where there is none."""
    for value in args:
        for part in value if type(value) in (list, tuple) else (value,):
            if isinstance(part, Handle):
                return type(part)
    return None


def _key(args: Sequence[Any], kwargs: dict[str, Any], nodes: list[Node]) -> Any:
    """What the recorded nodes depend on; None if that cannot be said. ``nodes`` gets those of the
    operands in turn."""
    parts: list[Any] = []
    if len(args) == 1 and not kwargs and isinstance(args[0], Handle):
        node = args[0].node
        nodes.append(node)
        return args[0].weak, node.type.shape, node.type.dtype
    for value in args:
        if isinstance(value, Handle) and not value.weak:  # as in ``_add``
            node = value.node
            nodes.append(node)
            parts += (node.type.shape, node.type.dtype)
        elif type(value) is float and value and value == value:  # as in ``_add_setting``
            parts += (float, value)
        elif isinstance(value, Handle):
            if not _add(value, parts, nodes):
                return None
        elif not _add_other(value, parts, nodes):
            return None
    for name, value in kwargs.items():
        parts.append(name)
        if not _add_setting(value, parts):
            return None
    return tuple(parts)


def _add(handle: Handle, parts: list[Any], nodes: list[Node]) -> bool:
    node = handle.node
    type_ = node.type
    if handle.weak:
        if type_.dtype == "i64":  # has to fit into what it meets: that depends on what it is
            return False
        parts.append("weak")
    parts.append(type_.shape)
    parts.append(type_.dtype)
    nodes.append(node)
    return True


def _add_other(value: Any, parts: list[Any], nodes: list[Node]) -> bool:
    """The same for an argument that is no handle: a list of them, or a setting."""
    cls = type(value)
    if cls is np.ndarray:  # an input by reference, as everywhere
        node = capture(value)
        parts.append(node.type.shape)
        parts.append(node.type.dtype)
        nodes.append(node)
        return True
    if cls is not list and (cls is not tuple or not any(isinstance(v, Handle) for v in value)):
        return _add_setting(value, parts)
    parts.append(cls)
    parts.append(len(value))
    for v in value:
        if not (_add(v, parts, nodes) if isinstance(v, Handle) else _add_setting(v, parts)):
            return False
    return True


def _add_setting(value: Any, parts: list[Any]) -> bool:
    """The same for numbers, dtypes, None and tuples of integers, told apart by type and bits."""
    cls = type(value)
    if cls is int or cls is bool or cls is str or value is None or cls is type:
        parts.append(cls)
        parts.append(value)
        return True
    if cls is float and value == value:
        parts.append(cls)
        parts.append(value or str(value))
        return True
    if cls is tuple and all(type(v) is int for v in value):
        parts.append(cls)
        parts.append(value)
        return True
    return False
