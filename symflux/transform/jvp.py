"""Forward mode: tangents pushed through a graph, op by op, as a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.graph import Graph
from ..ir.node import ITEM, Node, constant, constant_value, symbol
from ..ir.op import Jvp, Kind, Linear, NotDifferentiable, Partials, Rules, Selection, lookup
from ..ir.origin import derived, user_frame
from ..ir.types import TupleType, is_floating
from ..ir.walk import dependents, topological
from ..ops.shape import broadcast_to

__all__ = ["jvp_graph", "match_shape", "pushforward", "scale", "zeros_like"]


def zeros_like(node: Node) -> Node:
    """Zeros of the node's type."""
    return broadcast_to(constant(0, node.dtype), shape=node.shape)


def match_shape(value: Node, shape: tuple[int, ...]) -> Node:
    """Broadcast ``value`` to ``shape`` where it is smaller."""
    return value if value.shape == shape else broadcast_to(value, shape=shape)


def scale(value: Node, factor: Any) -> Node:
    """``value * factor``, where a derivative rule may give a plain 1 or -1 as the factor.

    Where a clamp (``maximum``, ``clip``, ``relu``) or ``where`` holds a value, the slope is exactly
    zero: it stays so whatever it is multiplied by, inf and nan too, as it is selected, not
    multiplied."""
    if not isinstance(factor, Node) and factor == 1:
        return value
    mask, kept = _selected(value)
    if mask is not None:
        return select(mask, scale(kept, factor))
    if not isinstance(factor, Node):
        return -value if factor == -1 else value * factor
    mask, kept = _selected(factor)
    if mask is None:
        return value * factor
    one = constant_value(kept)
    return select(mask, value if one is not None and one == 1 else value * kept)


def _selected(node: Node) -> tuple[Node | None, Node]:
    """``mask, x`` of ``where(mask, x, 0)``; None, and the node itself, if it is not of that form.

    Such a zero is exact: it says that the value does not depend on the variable there."""
    if node.op is lookup("where"):
        mask, x, other = node.inputs
        zero = constant_value(other)
        if zero is not None and not zero.any():
            return mask, x
    return None, node


def select(mask: Node, x: Node) -> Node:
    """``where(mask, x, 0)``, the masks of such an x taken together."""
    inner, kept = _selected(x)
    both = mask if inner is None or inner is mask else lookup("and")(mask, inner)
    return lookup("where")(both, kept, constant(0, x.dtype))


def add_all(terms: Sequence[Node | None]) -> Node | None:
    """The sum of those that are not None; None when there are none."""
    total: Node | None = None
    for term in terms:
        if term is not None:
            total = term if total is None else total + term
    return total


def pushforward(
    outputs: Sequence[Node], wrt: Sequence[Node], tangents: Sequence[Node | None]
) -> list[Node | None]:
    """The tangents of ``outputs`` for given tangents of the nodes ``wrt``.

    A tangent of None is zero, in the arguments and in the result. Each tangent has its node's type.

    Raises:
        DerivativeError: for an op on the way that cannot be differentiated.
    """
    nodes = topological(outputs)
    found: dict[int, Any] = {
        node.id: tangent for node, tangent in zip(wrt, tangents, strict=True) if tangent is not None
    }
    given = {node.id for node in wrt}
    active = dependents(nodes, [n for n in wrt if n.id in found])
    for node in nodes:
        if node.id not in active or node.id in given:
            continue
        with derived(node.origin, f"jvp of {node.op.name}"):
            tangent = _push(node, [found.get(x.id) for x in node.inputs])
        if tangent is not None:
            found[node.id] = tangent
    return [found.get(node.id) for node in outputs]


def _push(node: Node, tangents: list[Any]) -> Any:
    if node.op is ITEM:
        return tangents[0][node["index"]] if tangents[0] is not None else None
    if all(t is None for t in tangents):
        return None
    if not isinstance(node.type, TupleType) and not is_floating(node.dtype):
        return None
    statement = node.op.derivative
    match statement:
        case Partials():
            factors = statement.rule(node, *node.inputs, **node.attributes)
            terms = [
                None if t is None or p is None else scale(t, p)
                for t, p in zip(tangents, factors, strict=True)
            ]
            total = add_all(terms)
            return None if total is None else match_shape(total, node.shape)
        case Linear():
            return _push_linear(node, statement, tangents)
        case Selection():
            return _push_selection(node, statement, tangents)
        case Jvp():
            return statement.rule(node, tangents, *node.inputs, **node.attributes)
        case Rules():
            return statement.jvp(Engine, node, tangents, *node.inputs, **node.attributes)
        case NotDifferentiable():
            raise not_differentiable(node, statement.why)
    return None


def _push_linear(node: Node, statement: Linear, tangents: list[Any]) -> Node | None:
    if statement.joint:
        full = [
            zeros_like(x) if t is None else t for x, t in zip(node.inputs, tangents, strict=True)
        ]
        return node.op(*full, **node.attributes)
    terms: list[Node | None] = []
    for position in statement.positions:
        if tangents[position] is not None:
            inputs = list(node.inputs)
            inputs[position] = tangents[position]
            if len(inputs) == 1 and node.op.kind in (Kind.INDEX_MAP, Kind.POINTWISE):
                return _moved(node, tangents[position])
            terms.append(node.op(*inputs, **node.attributes))
    return add_all(terms)


def _moved(node: Node, tangent: Node) -> Node:
    """The tangent of an op that moves or converts elements; what is selected of them stays so."""
    mask, kept = _selected(tangent)
    if mask is None or mask.shape != kept.shape:
        return node.op(tangent, **node.attributes)
    if node.op.kind is Kind.INDEX_MAP:
        mask = node.op(mask, **node.attributes)
    return select(mask, node.op(kept, **node.attributes))


def _push_selection(node: Node, statement: Selection, tangents: list[Any]) -> Node:
    masks = statement.masks(node, *node.inputs, **node.attributes)
    moving = [(mask, t) for mask, t in zip(masks, tangents, strict=True) if None not in (mask, t)]
    if len(moving) == 1:
        return match_shape(select(*moving[0]), node.shape)
    inputs = [
        x if mask is None else zeros_like(x) if t is None else t
        for x, t, mask in zip(node.inputs, tangents, masks, strict=True)
    ]
    return node.op(*inputs, **node.attributes)


def not_differentiable(node: Node, why: str, right: str = "") -> Exception:
    """The error for an op without a derivative."""
    from ..errors import DerivativeError

    what = f"{node.op.name} cannot be differentiated: {why}"
    return DerivativeError(what, place=node.origin or user_frame(), right=right)


def jvp_graph(graph: Graph, active: Sequence[bool]) -> tuple[Graph, tuple[bool, ...]]:
    """The graph of values and tangents, and which outputs have one.

    Inputs: those of ``graph``, then a tangent for each active input. Outputs: those of
    ``graph``, then a tangent for each output that has one.
    """
    tangents = [
        symbol(f"d{x['name']}", x.shape, x.dtype) if a else None
        for x, a in zip(graph.inputs, active, strict=True)
    ]
    pushed = pushforward(graph.outputs, graph.inputs, tangents)
    given = tuple(t for t in tangents if t is not None)
    results = tuple(t for t in pushed if t is not None)
    made = Graph(f"jvp_{graph.name}", (*graph.inputs, *given), (*graph.outputs, *results))
    return made, tuple(t is not None for t in pushed)


class Engine:
    """The transforms of graphs that derivative rules of region ops may call."""

    jvp = staticmethod(jvp_graph)

    @staticmethod
    def vjp(graph: Graph, wanted: Sequence[bool], given: Sequence[bool]) -> Graph:
        from .vjp import vjp_graph

        return vjp_graph(graph, wanted, given)

    @staticmethod
    def batch(
        graph: Graph, which: Sequence[bool], size: int, force: Sequence[bool]
    ) -> tuple[Graph, tuple[bool, ...]]:
        from .batch import batch_graph

        return batch_graph(graph, which, size, force)

    not_differentiable = staticmethod(not_differentiable)
