"""Python integers that are known later and meet narrower dtypes: proofs that they fit, checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import NegativePower, RangeError, SymFluxError
from ..ir.node import INPUT, Node, constant_value
from ..ir.origin import user_frame
from ..ir.types import numpy_dtype
from .handle import Handle
from .promote import INT, build, cast, literal
from .scope import Scope, outermost, scopes

__all__ = [
    "adapted", "bounds_of", "compared", "failure_of", "is_failure", "limited", "note_span",
    "refuse_negative", "span", "unless",
]  # fmt: skip

Span = tuple[int, int]
_LEAST, _GREATEST = -(2**63), 2**63 - 1


def ends(dtype: str) -> Span:
    """The least and the greatest number of an integer dtype."""
    limits = np.iinfo(numpy_dtype(dtype))
    return int(limits.min), int(limits.max)


# --- which values an integer may have -------------------------------------------------------------


def note_span(node: Node, low: int, high: int) -> None:
    """Remember that a symbol, as the index of a loop, is never outside of ``low`` ... ``high``."""
    scope = outermost()
    if scope is not None and low <= high:
        scope.spans[node.id] = (low, high)


def _corners(f: Callable[[int, int], int]) -> Callable[[Span, Span], Span]:
    def of(x: Span, y: Span) -> Span:
        values = [f(a, b) for a in x for b in y]
        return min(values), max(values)

    return of


def _remainder(x: Span, y: Span) -> Span | None:
    return (0, y[1] - 1) if y[0] > 0 else None


def _quotient(x: Span, y: Span) -> Span | None:
    return _corners(lambda a, b: a // b)(x, y) if y[0] > 0 else None


_SPANS: dict[str, Callable[..., Span | None]] = {
    "add": lambda x, y: (x[0] + y[0], x[1] + y[1]),
    "sub": lambda x, y: (x[0] - y[1], x[1] - y[0]),
    "mul": _corners(lambda a, b: a * b),
    "neg": lambda x: (-x[1], -x[0]),
    "abs": lambda x: (0 if x[0] <= 0 <= x[1] else min(map(abs, x)), max(map(abs, x))),
    "maximum": lambda x, y: (max(x[0], y[0]), max(x[1], y[1])),
    "minimum": lambda x, y: (min(x[0], y[0]), min(x[1], y[1])),
    "mod": _remainder,
    "floordiv": _quotient,
    "where": lambda _, x, y: (min(x[0], y[0]), max(x[1], y[1])),
    "cast": lambda x: x,
}


def span(node: Node) -> Span:
    """Numbers between which all values of an integer or bool lie, as far as can be seen."""
    scope = outermost()
    found: dict[int, Span] = {} if scope is None else scope.spans
    stack = [node]
    while stack:
        top = stack[-1]
        if top.id in found:
            stack.pop()
            continue
        rule = _SPANS.get(top.op.name)
        number = constant_value(top)
        whole = _whole(top.dtype)
        if number is not None and number.size and top.dtype[0] in "biu":
            found[top.id] = int(number.min()), int(number.max())
        elif rule is None or any(x.dtype[0] == "f" for x in (top, *top.inputs)):
            found[top.id] = whole
        elif missing := [x for x in top.inputs if x.id not in found]:
            stack += missing
        else:
            made = rule(*[found[x.id] for x in top.inputs])
            fits = made is not None and whole[0] <= made[0] and made[1] <= whole[1]
            found[top.id] = made if fits and made is not None else whole
    return found[node.id]


def _whole(dtype: str) -> Span:
    """All numbers of a dtype; of floats, those that are cast to integers."""
    if dtype == "bool":
        return 0, 1
    return ends(dtype) if dtype[0] in "iu" else (_LEAST, _GREATEST)


# --- checks ---------------------------------------------------------------------------------------


def _innermost() -> Scope | None:
    return next((s for s in reversed(scopes()) if s.kind != "binding"), None)


def _bounded(scope: Scope, node: Node, dtype: str) -> bool:
    """Note that an argument must fit, if ``node`` is one; the call checks it before it runs. In
    bodies, which may not run, it is no condition for the call."""
    if node.op is not INPUT or node.id not in scope.symbols:
        return False
    if any(s.kind == "body" for s in scopes()):
        return False
    scope.bounds.setdefault(node.id, {})[dtype] = None
    return True


def _refuse_where(wrong: Node, error: SymFluxError) -> None:
    """Let the call raise ``error`` if ``wrong`` holds when this place is reached.

    The number of the first error is carried by a handle of the function being traced, to which
    this is a write as any other: regions that it happens in return it, loops carry it on."""
    scope, inner = outermost(), _innermost()
    if scope is None or inner is None or wrong.id in inner.checked:
        return
    inner.checked.add(wrong.id)
    if scope.failure is None:
        scope.failure = Handle(literal(0, "i64")).belongs(scope.life)
    scope.errors.append(error)
    if wrong.shape:
        wrong = build("any", wrong, axes=tuple(range(len(wrong.shape))))
    before, number = scope.failure.node, literal(len(scope.errors), "i64")
    first = build("where", wrong, number, literal(0, "i64"))
    none_yet = build("eq", before, literal(0, "i64"))
    scope.failure.assign(build("where", none_yet, first, before))


def failure_of(scope: Scope) -> list[Node]:
    """What is the number of the error that the call has to raise; nothing where there is none."""
    found = [] if scope.failure is None else [scope.failure.node]
    return [node for node in found if constant_value(node) is None]


def unless(failure: Node, new: Node, old: Node) -> Node:
    """``new``, but ``old`` where the call has to raise."""
    return build("where", build("eq", failure, literal(0, "i64")), new, old)


def is_failure(handle: Any) -> bool:
    """Whether a handle that is written to stands for the number of the error to raise."""
    scope = outermost()
    return scope is not None and handle is scope.failure


def _outside(node: Node, dtype: str) -> tuple[Node | None, Node | None]:
    """Whether an int64 lies below, and above, the numbers of a dtype; None for what cannot be."""
    (low, high), (least, greatest) = ends(dtype), span(node)
    below = build("lt", node, literal(low, "i64")) if least < low else None
    above = build("gt", node, literal(high, "i64")) if greatest > high else None
    return below, above


def _either(x: Node | None, y: Node | None) -> Node | None:
    return y if x is None else x if y is None else build("or", x, y)


def adapted(key: str, value: Any, dtype: str) -> Node:
    """An operand in the dtype that it is promoted to; a Python integer must fit, as in NumPy.

    Args:
        key: what the operand counts as in promotion (``promote.py``).
        value: its node, or a number.

    Raises:
        RangeError: for a number that does not fit; for a node, when the compiled function is
            called with numbers that lead there.
    """
    if type(value) is not Node:
        return literal(value, dtype)
    if key != INT or dtype[0] not in "iu" or dtype == "i64" or value.dtype != "i64":
        return cast(value, dtype)
    number = constant_value(value)
    if number is not None and not number.shape:
        return literal(int(number), dtype)
    wrong = _either(*_outside(value, dtype))
    scope = outermost()
    if wrong is not None and scope is not None and not _bounded(scope, value, dtype):
        low, high = ends(dtype)
        name = numpy_dtype(dtype).name
        error = RangeError(
            f"the Python integer computed here does not fit into {name}",
            place=user_frame(),
            why=f"it meets an array of {name}, which holds {low} to {high}",
            right="x.astype(np.int64)     # of the array",
        )
        _refuse_where(wrong, error)
    return cast(value, dtype)


def bounds_of(scope: Scope, inputs: list[Node]) -> dict[int, tuple[str, ...]]:
    """Number of each argument that is a Python integer and meets arrays of other integer dtypes
    -> these."""
    return {i: tuple(scope.bounds[x.id]) for i, x in enumerate(inputs) if x.id in scope.bounds}


def refuse_negative(node: Node, base: Any) -> None:
    """Integers that are exponents of integers must not be negative when the compiled function is
    called.

    Raises:
        NegativePower: where they are known.
    """
    if span(node)[0] < 0:
        error = NegativePower(
            f"integers ({base}) to a negative integer power have no integer result",
            place=user_frame(),
            right="x ** n.astype(float)",
        )
        if constant_value(node) is not None:
            raise error
        _refuse_where(build("lt", node, literal(0, node.dtype)), error)


# --- where numbers beyond a dtype have a meaning --------------------------------------------------


def limited(node: Node, dtype: str, *, below: bool = True, above: bool = True) -> Node:
    """An int64 as the nearest number of a dtype."""
    low, high = ends(dtype)
    under, over = _outside(node, dtype)
    if below and under is not None:
        node = build("maximum", node, literal(low, "i64"))
    if above and over is not None:
        node = build("minimum", node, literal(high, "i64"))
    return node


#: comparison -> its answer where the second operand lies below, and above, all numbers of the first
_BEYOND = {
    "less": (False, True), "less_equal": (False, True), "greater": (True, False),
    "greater_equal": (True, False), "equal": (False, False), "not_equal": (True, True),
}  # fmt: skip


def compared(name: str, compare: Callable[[Node, Node], Node], x: Node, number: Node) -> Node:
    """``x name number`` for integers ``x`` and a Python integer that is known later: exact."""
    below, above = _outside(number, x.dtype)
    result = compare(x, cast(limited(number, x.dtype), x.dtype))
    for beyond, answer in zip((below, above), _BEYOND[name], strict=True):
        if beyond is None:
            continue
        if answer:
            result = build("or", result, beyond)
        else:
            result = build("and", result, build("not", beyond))
    return result
