"""Dead parts of regions: results nobody uses, values that never change, choices already made.

Nodes that no output needs vanish by themselves. A region keeps its inputs and its bodies alive, so
that dropping what is dead takes a look inside:

    scan, while   carries that no used result needs are dropped; a carry that the body returns as it
                  came is an outer value; sequences and consts that the body ignores are dropped
    cond          unused results and operands are dropped; a constant predicate chooses its branch
    all           constants outside become constants inside; the same value is passed once
    scan          over no or one iteration is its start, or its body
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..ir.graph import Graph
from ..ir.node import CONSTANT, ITEM, Node, constant, constant_value, item
from ..ir.op import Op
from ..ir.origin import exchange
from ..ir.walk import substitute, topological
from ..ops.control import cond, scan, while_
from ..ops.shape import broadcast_to, reshape
from ..records import record

__all__ = ["remove_dead"]

#: The node or constant that replaces each used result of a region.
Results = dict[int, Node]


def remove_dead(graph: Graph) -> Graph:
    """The graph with its regions slimmed; the same object when there was nothing to drop."""
    if not any(node.op in _SLIM for node in graph.nodes):
        return graph
    outputs = list(graph.outputs)
    before = exchange()
    try:
        while (slimmer := _one_round(outputs)) is not None:
            outputs = slimmer
    finally:
        exchange(before)
    made = tuple(outputs)
    if made == graph.outputs:
        return graph
    return Graph(graph.name, graph.inputs, made, graph.output_names)


def _one_round(outputs: Sequence[Node]) -> list[Node] | None:
    nodes = topological(outputs)
    items: dict[int, list[Node]] = {}
    for node in nodes:
        if node.op is ITEM:
            items.setdefault(node.inputs[0].id, []).append(node)
    replacement: dict[Node, Node] = {}
    for node in nodes:
        slim = _SLIM.get(node.op)
        if slim is None:
            continue
        used = items[node.id]
        exchange(node.origin)
        results = slim(node, {x["index"] for x in used})
        if results is not None:
            replacement |= {x: results[x["index"]] for x in used}
    return substitute(outputs, replacement) if replacement else None


# --- what the regions share -----------------------------------------------------------------------


def _reached(outputs: Sequence[Node]) -> set[int]:
    return {node.id for node in topological(outputs)}


def _is_literal(node: Node) -> bool:
    """Whether a region may hold a copy: a constant, or a repeated scalar constant."""
    if node.op is broadcast_to:
        node = node.inputs[0]
    return node.op is CONSTANT and not node.shape


@record(frozen=True)
class _Slots:
    """The inputs of a body that stay the same in every iteration.

    ``kept`` pairs the outer values that are passed with their inputs; ``inside`` maps each input
    that goes away to what stands for it in the body."""

    kept: list[tuple[Node, Node]]
    inside: dict[Node, Node]


def _slots(pairs: Sequence[tuple[Node, Node]], needed: Callable[[Node], bool]) -> _Slots:
    """Sort (outer value, body input) pairs: constants move in, equal values share one input."""
    kept: list[tuple[Node, Node]] = []
    inside: dict[Node, Node] = {}
    first: dict[int, Node] = {}
    for outer, inner in pairs:
        if not needed(inner):
            continue
        if _is_literal(outer):
            inside[inner] = outer
        elif outer.id in first:
            inside[inner] = first[outer.id]
        else:
            first[outer.id] = inner
            kept.append((outer, inner))
    return _Slots(kept, inside)


def _live_carries(
    used: set[int], carried: Sequence[Node], results: Sequence[Node], always: Sequence[Node]
) -> set[int]:
    """Numbers of the carries that used results need, through any number of iterations."""
    live = {i for i in used if i < len(carried)}
    reached = _reached(always)
    live |= {i for i, x in enumerate(carried) if x.id in reached}
    while True:
        reached = _reached([*always, *(results[i] for i in live)])
        grown = {i for i, x in enumerate(carried) if x.id in reached}
        if grown <= live:
            return live
        live |= grown


# --- scan -----------------------------------------------------------------------------------------


def _slim_scan(node: Node, used: set[int]) -> Results | None:
    body: Graph = node["body"]
    length, carry, consts = node["length"], node["carry"], node["consts"]
    if length <= 1:
        return _unrolled_scan(node)
    last = len(node.inputs) - consts
    outer_carry, outer_seq = node.inputs[:carry], node.inputs[carry:last]
    index, inner = body.inputs[0], body.inputs[1:]
    inner_carry, inner_seq, inner_const = inner[:carry], inner[carry:last], inner[last:]
    stacked = sorted(i for i in used if i >= carry)
    always = [body.outputs[i] for i in stacked]
    fixed = {i for i, x in enumerate(inner_carry) if body.outputs[i] is x}
    live = sorted(_live_carries(used, inner_carry, body.outputs, always) - fixed)
    reached = _reached([*always, *(body.outputs[i] for i in live)])
    pairs = [(outer_carry[i], inner_carry[i]) for i in sorted(fixed)]
    sequences: list[tuple[Node, Node]] = []
    for outer, x in zip(outer_seq, inner_seq, strict=True):
        if outer.op is broadcast_to and len(outer.inputs[0].shape) < len(outer.shape):
            element = outer.inputs[0]  # the same element in every iteration
            wide = element if element.shape == x.shape else broadcast_to(element, shape=x.shape)
            pairs.append((wide, x))
        elif x.id in reached:
            sequences.append((outer, x))
    pairs += zip(node.inputs[last:], inner_const, strict=True)
    slots = _slots(pairs, lambda x: x.id in reached)
    unchanged = (
        len(live) == carry and len(sequences) == len(outer_seq) and len(slots.kept) == consts
        and len(stacked) == len(body.outputs) - carry
    )  # fmt: skip
    if unchanged:
        return None
    results: Results = {i: outer_carry[i] for i in used & fixed}
    if not live and not stacked:
        return results
    kept_inputs = (
        index, *(inner_carry[i] for i in live), *(x for _, x in sequences),
        *(x for _, x in slots.kept),
    )  # fmt: skip
    outputs = substitute([body.outputs[i] for i in (*live, *stacked)], slots.inside)
    made = scan(
        *(outer_carry[i] for i in live), *(x for x, _ in sequences), *(x for x, _ in slots.kept),
        body=Graph(body.name, kept_inputs, tuple(outputs)), length=length, carry=len(live),
        consts=len(slots.kept), reverse=node["reverse"],
    )  # fmt: skip
    for new, old in enumerate((*live, *stacked)):
        if old in used:
            results[old] = item(made, new)
    return results


def _unrolled_scan(node: Node) -> Results:
    """No iteration leaves the start; one is the body itself."""
    body: Graph = node["body"]
    carry, last = node["carry"], len(node.inputs) - node["consts"]
    types = node.type.items
    if node["length"] == 0:
        empty = {i: broadcast_to(constant(0, t.dtype), shape=t.shape) for i, t in enumerate(types)}
        return empty | dict(enumerate(node.inputs[:carry]))
    elements = [reshape(x, shape=x.shape[1:]) for x in node.inputs[carry:last]]
    outputs = body.call([constant(0, "i64"), *node.inputs[:carry], *elements, *node.inputs[last:]])
    return {i: y if i < carry else reshape(y, shape=types[i].shape) for i, y in enumerate(outputs)}


# --- while ----------------------------------------------------------------------------------------


def _slim_while(node: Node, used: set[int]) -> Results | None:
    body: Graph = node["body"]
    test: Graph = node["test"]
    carry = len(node.inputs) - node["consts"]
    tested = _reached(test.outputs)
    fixed = {i for i in range(carry) if body.outputs[i] is body.inputs[i]}
    wanted = used | {i for i in range(carry) if test.inputs[i].id in tested}
    live = sorted(_live_carries(wanted, body.inputs[:carry], body.outputs, ()) - fixed)
    reached = _reached([body.outputs[i] for i in live])
    positions = [*sorted(fixed), *range(carry, len(node.inputs))]
    to_test = {body.inputs[i].id: test.inputs[i] for i in range(len(node.inputs))}
    slots = _slots(
        [(node.inputs[i], body.inputs[i]) for i in positions],
        lambda x: x.id in reached or to_test[x.id].id in tested,
    )
    if len(live) == carry and len(slots.kept) == node["consts"]:
        return None
    results: Results = {i: node.inputs[i] for i in used & fixed}
    if not used - fixed:
        return results  # a loop whose results nobody reads need not run (nor end)
    in_test = {to_test[x.id]: to_test.get(y.id, y) for x, y in slots.inside.items()}
    inner = (*(body.inputs[i] for i in live), *(x for _, x in slots.kept))
    made = while_(
        *(node.inputs[i] for i in live), *(x for x, _ in slots.kept),
        test=Graph(
            test.name, tuple(to_test[x.id] for x in inner), tuple(substitute(test.outputs, in_test))
        ),
        body=Graph(
            body.name, inner, tuple(substitute([body.outputs[i] for i in live], slots.inside))
        ),
        consts=len(slots.kept),
    )  # fmt: skip
    for new, old in enumerate(live):
        if old in used:
            results[old] = item(made, new)
    return results


# --- cond -----------------------------------------------------------------------------------------


def _slim_cond(node: Node, used: set[int]) -> Results | None:
    then: Graph = node["then"]
    otherwise: Graph = node["otherwise"]
    predicate, operands = node.inputs[0], node.inputs[1:]
    choice = constant_value(predicate)
    if choice is not None or then == otherwise:
        taken = then if choice is None or choice else otherwise
        return dict(enumerate(taken.call(operands)))
    wanted = sorted(used)
    first = [then.outputs[i] for i in wanted]
    second = [otherwise.outputs[i] for i in wanted]
    reached = _reached(first) | _reached(second)
    twin = {x.id: y for x, y in zip(then.inputs, otherwise.inputs, strict=True)}
    slots = _slots(
        list(zip(operands, then.inputs, strict=True)),
        lambda x: x.id in reached or twin[x.id].id in reached,
    )
    if len(slots.kept) == len(operands) and len(wanted) == len(then.outputs):
        return None
    in_second = {twin[x.id]: twin.get(y.id, y) for x, y in slots.inside.items()}
    inner = tuple(x for _, x in slots.kept)
    made = cond(
        predicate, *(x for x, _ in slots.kept),
        then=Graph(then.name, inner, tuple(substitute(first, slots.inside))),
        otherwise=Graph(
            otherwise.name, tuple(twin[x.id] for x in inner),
            tuple(substitute(second, in_second)),
        ),
    )  # fmt: skip
    return {old: item(made, new) for new, old in enumerate(wanted)}


_SLIM: dict[Op, Callable[[Node, set[int]], Results | None]] = {
    cond: _slim_cond,
    scan: _slim_scan,
    while_: _slim_while,
}
