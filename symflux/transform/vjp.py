"""Reverse mode: cotangents pulled back through a graph, op by op, as a graph.

Where-safety. A cotangent travels with an optional mask: a bool node that is true where the value
took part in the result. A selection (``where``) adds its condition to the mask instead of
multiplying by zero, so that a later factor of inf or nan (the derivative of the branch not
taken) cannot turn an exact zero into nan. The mask is applied (``where(mask, value, 0)``) as
late as possible: before sums over several places, where contributions meet, and at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.graph import Graph
from ..ir.node import ITEM, Node, constant, symbol
from ..ir.op import (
    Jvp,
    Kind,
    Linear,
    LocallyConstant,
    NotDifferentiable,
    Partials,
    Rules,
    Selection,
    lookup,
)  # fmt: skip
from ..ir.origin import Origin, exchange
from ..ir.types import TupleType, is_floating
from ..ir.walk import dependents, substitute, topological
from ..ops.shape import reshape, sum_to, transpose
from ..records import field, record, replace
from .jvp import Engine, match_shape, not_differentiable, scale, zeros_like
from .pieces import add_up

__all__ = ["pullback", "pullback_with_primals", "vjp_graph"]


@record(slots=True, eq=False)
class Adjoint:
    """A cotangent: ``value``; ``mask`` (broadcastable to it) is true where it counts; ``clean``
    says that the value is already exactly zero wherever the mask is false."""

    value: Node
    mask: Node | None = None
    clean: bool = True

    def cleaned(self) -> Adjoint:
        """The same with the mask applied."""
        if self.clean or self.mask is None:
            return self
        value = lookup("where")(self.mask, self.value, constant(0, self.value.dtype))
        return Adjoint(value, self.mask)


def _or(x: Node, y: Node) -> Node:
    return x if x is y else lookup("or")(x, y)


def _and(x: Node | None, y: Node) -> Node:
    return y if x is None or x is y else lookup("and")(x, y)


def _accumulate(parts: Sequence[Adjoint]) -> Adjoint:
    """The sum of contributions; it counts where any of them does."""
    if len(parts) == 1:
        return parts[0]
    mask = parts[0].mask
    if len({id(p.mask) for p in parts}) > 1:
        parts = [p.cleaned() for p in parts]
        for p in parts[1:]:
            mask = None if mask is None or p.mask is None else _or(mask, p.mask)
    value = add_up([p.value for p in parts])
    return Adjoint(value, mask, False not in [p.clean for p in parts])


def _sum_to(adjoint: Adjoint, shape: tuple[int, ...]) -> Adjoint:
    """Transpose of broadcasting an operand of ``shape``: the value is summed, the mask any-ed."""
    if adjoint.value.type.shape == shape:
        return adjoint
    adjoint = adjoint.cleaned()
    value = sum_to(adjoint.value, shape)
    mask = adjoint.mask
    if mask is not None and mask.shape != ():
        mask = _any_to(match_shape(mask, adjoint.value.shape), shape)
    return Adjoint(value, mask)


def _any_to(mask: Node, shape: tuple[int, ...]) -> Node:
    extra = len(mask.shape) - len(shape)
    axes = tuple(range(extra)) + tuple(
        i + extra for i, n in enumerate(shape) if n == 1 and mask.shape[i + extra] != 1
    )
    reduced = lookup("any")(mask, axes=axes) if axes else mask
    return reshape(reduced, shape=shape)


def pullback(
    outputs: Sequence[Node], cotangents: Sequence[Node | None], wrt: Sequence[Node]
) -> list[Node | None]:
    """The cotangents of the nodes ``wrt`` for given cotangents of ``outputs``.

    None stands for zero. Each cotangent has its node's type.

    Raises:
        DerivativeError: for an op on the way that cannot be differentiated in reverse mode.
    """
    return pullback_with_primals(outputs, cotangents, wrt)[1]


def pullback_with_primals(
    outputs: Sequence[Node], cotangents: Sequence[Node | None], wrt: Sequence[Node]
) -> tuple[list[Node], list[Node | None]]:
    """As :func:`pullback`, with the outputs to use beside the cotangents.

    Reverse mode through a loop makes the forward loop keep its carried values; the returned outputs
    are those of that loop, so that it runs once.
    """
    targets = {node.id for node in wrt}
    first = min(targets, default=0)
    nodes = topological(outputs, first)  # users are younger than what they use
    active = dependents(nodes, wrt)
    state = _Pullback({}, {}, {})
    for node, cotangent in zip(outputs, cotangents, strict=True):
        if cotangent is not None and node.id in active:
            state.add(node, Adjoint(cotangent))
    before = exchange()
    try:
        for node in reversed(nodes):
            if node.id not in active or (node.id in targets and not node.inputs):
                continue
            if node.id in state.adjoints or isinstance(node.type, TupleType):
                exchange(before if node.origin is None else state.rule_of(node))
                state.pull(node, active)
    finally:
        exchange(before)
    results: list[Node | None] = []
    for node in wrt:
        parts = state.adjoints.get(node.id)
        total = _accumulate(parts).cleaned().value if parts else None
        results.append(None if total is None else match_shape(total, node.shape))
    if not state.replaced:
        return list(outputs), results
    kept = [r for r in results if r is not None]
    swapped = substitute([*outputs, *kept], state.replaced)
    again = iter(swapped[len(outputs) :])
    return swapped[: len(outputs)], [None if r is None else next(again) for r in results]


@record
class _Pullback:
    """The state of one reverse sweep."""

    adjoints: dict[int, list[Adjoint]]
    items: dict[
        int, dict[int, list[Adjoint]]
    ]  # of ops with several results: node -> index -> parts
    replaced: dict[Node, Node]  # results of forward loops -> the same from loops that keep carries
    rules: dict[tuple[int, str], Origin] = field(default_factory=dict)

    def add(self, node: Node, adjoint: Adjoint) -> None:
        self.adjoints.setdefault(node.id, []).append(adjoint)

    def rule_of(self, node: Node) -> Origin:
        """The origin of what the derivative rule of the node makes; one object for each line."""
        origin = node.origin
        assert origin is not None
        key = (id(origin), node.op.name)  # the graph keeps the origin alive
        found = self.rules.get(key)
        if found is None:
            found = replace(origin, rule=f"vjp of {node.op.name}")
            self.rules[key] = found
        return found

    def pull(self, node: Node, active: set[int]) -> None:
        if isinstance(node.type, TupleType):
            self._pull_region(node, active)
            return
        parts = self.adjoints.get(node.id)
        if parts is None:
            return
        adjoint = _accumulate(parts)
        if len(parts) > 1:
            self.adjoints[node.id] = [adjoint]
        if node.op is ITEM:
            results = self.items.setdefault(node.inputs[0].id, {})
            results.setdefault(node["index"], []).append(adjoint)
            return
        wanted = [x.id in active and self._smooth(x) for x in node.inputs]
        if True not in wanted or not is_floating(node.dtype):
            return
        statement = node.op.derivative
        match statement:
            case Partials():
                self._pull_partials(node, statement, adjoint, wanted)
            case Selection():
                self._pull_selection(node, statement, adjoint, wanted)
            case Linear():
                self._pull_linear(node, statement, adjoint, wanted)
            case Jvp():
                self._pull_transposed(node, statement, adjoint, wanted)
            case LocallyConstant():
                return
            case NotDifferentiable():
                raise not_differentiable(node, statement.why)
            case _:
                raise AssertionError(f"{node.op.name}: no reverse rule for {statement}")

    @staticmethod
    def _smooth(node: Node) -> bool:
        return isinstance(node.type, TupleType) or is_floating(node.type.dtype)

    def _pull_partials(
        self, node: Node, statement: Partials, adjoint: Adjoint, wanted: list[bool]
    ) -> None:
        inputs = node.inputs
        if node.attrs:
            factors = statement.rule(node, *inputs, **node.attributes)
        else:
            factors = statement.rule(node, *inputs)
        shares: dict[Node, list[Adjoint]] = {}
        for x, factor, want in zip(inputs, factors, wanted, strict=True):
            if not want or factor is None:
                continue
            value = scale(adjoint.value, factor)
            if adjoint.mask is None:
                result = Adjoint(value)
            else:
                trivial = not isinstance(factor, Node)
                result = Adjoint(value, adjoint.mask, adjoint.clean and trivial)
            result = _sum_to(result, x.type.shape)
            if x in shares:
                shares[x].append(result)
            else:
                shares[x] = [result]
        for x, parts in shares.items():  # of x * x, both at once: they are equal, and sum to 2 x
            self.add(x, _accumulate(parts))

    def _pull_selection(
        self, node: Node, statement: Selection, adjoint: Adjoint, wanted: list[bool]
    ) -> None:
        masks = statement.masks(node, *node.inputs, **node.attributes)
        for x, mask, want in zip(node.inputs, masks, wanted, strict=True):
            if want and mask is not None:
                both = _and(adjoint.mask, mask)
                value = adjoint.value
                self.add(x, _sum_to(Adjoint(value, both, clean=False), x.shape))

    def _pull_linear(
        self, node: Node, statement: Linear, adjoint: Adjoint, wanted: list[bool]
    ) -> None:
        adjoint = adjoint.cleaned()
        linear = range(len(node.inputs)) if statement.joint else statement.positions
        positions = [position for position in linear if wanted[position]]
        values = _transposed(node, statement, adjoint.value, positions)
        masks = _transpose_masks(node, statement, adjoint.mask, positions)
        for position, value, mask in zip(positions, values, masks, strict=True):
            self.add(node.inputs[position], Adjoint(value, mask))

    def _pull_transposed(
        self, node: Node, statement: Jvp, adjoint: Adjoint, wanted: list[bool]
    ) -> None:
        adjoint = adjoint.cleaned()
        tangents = [
            symbol(f"t{i}", x.shape, x.dtype) if want else None
            for i, (x, want) in enumerate(zip(node.inputs, wanted, strict=True))
        ]
        pushed = statement.rule(node, tangents, *node.inputs, **node.attributes)
        if pushed is None:
            return
        given = [t for t in tangents if t is not None]
        pulled = iter(pullback([pushed], [adjoint.value], given))
        mask = adjoint.mask if adjoint.mask is not None and adjoint.mask.shape == () else None
        for x, tangent in zip(node.inputs, tangents, strict=True):
            if tangent is not None:
                value = next(pulled)
                if value is not None:
                    self.add(x, Adjoint(value, mask))

    def _pull_region(self, node: Node, active: set[int]) -> None:
        results = self.items.get(node.id)
        if not results:
            return
        statement = node.op.derivative
        if isinstance(statement, NotDifferentiable):
            raise not_differentiable(node, statement.why)
        assert isinstance(statement, Rules), node.op.name
        cotangents = [
            _accumulate(results[i]).cleaned().value if i in results else None
            for i in range(len(node.type.items))
        ]
        wanted = [x.id in active and self._smooth(x) for x in node.inputs]
        engine = _ReplacingEngine(self.replaced)
        pulled = statement.vjp(engine, node, cotangents, wanted, *node.inputs, **node.attributes)
        for x, value in zip(node.inputs, pulled, strict=True):
            if value is not None:
                self.add(x, Adjoint(value))


class _ReplacingEngine(Engine):
    """The engine of one sweep: rules may replace results of forward loops."""

    def __init__(self, replaced: dict[Node, Node]) -> None:
        self._replaced = replaced

    def replace(self, old: Node, new: Node) -> None:
        """``new`` computes the same value as ``old`` and is used from now on."""
        self._replaced[old] = new


def _transposed(
    node: Node, statement: Linear, cotangent: Node, positions: Sequence[int]
) -> list[Node]:
    """The adjoint map of the op, for the inputs at some positions."""
    if statement.joint:
        made: list[Node] = statement.transpose(
            cotangent, positions, *node.inputs, **node.attributes
        )
        return made
    return [statement.transpose(cotangent, p, *node.inputs, **node.attributes) for p in positions]


def _transpose_masks(
    node: Node, statement: Linear, mask: Node | None, positions: Sequence[int]
) -> list[Node | None]:
    """Where the transposed values count: wherever an element that counts flowed back to."""
    if mask is None or mask.shape == ():
        return [mask] * len(positions)
    if mask.type.size == 1:
        return [reshape(mask, shape=())] * len(positions)
    if node.op.kind is Kind.POINTWISE:
        return [mask] * len(positions)  # of a conversion: elements stay where they are
    mask = match_shape(mask, node.shape)
    if node.op.kind is Kind.CONTRACTION:
        spec = node["spec"]
        return [_contraction_mask(mask, spec, p, node.inputs[p].shape) for p in positions]
    # with indices as values, some elements may be picked twice and others not at all
    moves = node.op.kind is Kind.INDEX_MAP and len(node.inputs) == 1
    if moves and 0 < node.type.size == node.inputs[0].type.size:
        # the elements are only moved: the mask moves with them
        return [*_transposed(node, statement, mask, positions)]
    counts = lookup("cast")(mask, dtype=node.dtype)
    pulled = _transposed(node, statement, counts, positions)
    return [lookup("ne")(x, constant(0, node.dtype)) for x in pulled]


def _contraction_mask(mask: Node, spec: str, position: int, shape: tuple[int, ...]) -> Node:
    operands, result = spec.split("->")
    letters = operands.split(",")[position]
    axes = tuple(i for i, letter in enumerate(result) if letter not in letters)
    kept = [letter for letter in result if letter in letters]
    reduced = lookup("any")(mask, axes=axes) if axes else mask
    order = [kept.index(letter) for letter in letters if letter in kept]
    ordered = transpose(reduced, axes=tuple(order))
    return reshape(
        ordered,
        shape=tuple(n if c in kept else 1 for c, n in zip(letters, shape, strict=True)),
    )


def vjp_graph(graph: Graph, wanted: Sequence[bool], given: Sequence[bool]) -> Graph:
    """The graph of cotangents.

    Inputs: those of ``graph``, then a cotangent for each output with ``given``. Outputs: a
    cotangent for each input with ``wanted`` (zeros where the graph does not depend on it).
    """
    cotangents = [
        symbol(f"ct{i}", y.shape, y.dtype) if g else None
        for i, (y, g) in enumerate(zip(graph.outputs, given, strict=True))
    ]
    wrt = [x for x, w in zip(graph.inputs, wanted, strict=True) if w]
    pulled = pullback(graph.outputs, cotangents, wrt)
    results = tuple(
        zeros_like(x) if value is None else value for x, value in zip(wrt, pulled, strict=True)
    )
    inputs = (*graph.inputs, *(c for c in cotangents if c is not None))
    return Graph(f"vjp_{graph.name}", inputs, results)
