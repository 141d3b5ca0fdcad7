"""Regions: ops whose attributes are graphs (cond, scan, while).

Layouts (a region sees nothing but its inputs; values from outside come in as ``consts``):

    cond    inputs: predicate (bool), operands ...      branches: (operands ...) -> results ...
    scan    inputs: carry ..., sequences ..., consts ...
            body:   (i: i64, carry ..., elements ..., consts ...) -> (carry ..., stacked ...)
    while   inputs: carry ..., consts ...
            test:   (carry ..., consts ...) -> bool;  body: (carry ..., consts ...) -> carry ...

``scan`` runs its body for i = 0, 1, ..., length - 1 (or downwards with ``reverse``); element i
of each sequence goes in, and element i of each stacked result comes out, in either direction.
Each derivative is again a region of the same kind. Reverse mode through ``scan`` keeps the
carried values of every iteration and recomputes the rest of the iteration backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.graph import Graph
from ..ir.node import Node, constant, item, symbol
from ..ir.op import Kind, Op, Rules, lookup
from ..ir.types import ArrayType, TupleType, is_floating, numpy_dtype
from .shape import broadcast_to, reshape

__all__ = ["cond", "scan", "while_"]


def _zeros(type_: Any) -> Node:
    return broadcast_to(constant(0, type_.dtype), shape=type_.shape)


def _check(name: str, what: str, graph: Graph, types: Sequence[Any]) -> None:
    given = [x.type for x in graph.inputs]
    if list(types) != given:
        wanted = ", ".join(map(str, given))
        got = ", ".join(map(str, types))
        raise TypeError(f"{name}: the {what} takes ({wanted}), got ({got})")


def _float(node: Node) -> bool:
    return is_floating(node.dtype)


def _or_zeros(tangent: Node | None, like: Node) -> Node:
    return _zeros(like.type) if tangent is None else tangent


# --- cond -----------------------------------------------------------------------------------------


def _cond_type(predicate: Any, *operands: Any, then: Graph, otherwise: Graph) -> TupleType:
    if predicate != ArrayType((), "bool"):
        raise TypeError(f"cond: the predicate must be a scalar bool, got {predicate}")
    _check("cond", "first branch", then, operands)
    _check("cond", "second branch", otherwise, operands)
    results = tuple(y.type for y in then.outputs)
    others = tuple(y.type for y in otherwise.outputs)
    if results != others:
        raise TypeError(
            "cond: both branches must return the same types, "
            f"got {TupleType(results)} and {TupleType(others)}"
        )
    return TupleType(results)


def _cond_jvp(
    engine: Any,
    out: Node,
    tangents: Sequence[Any],
    predicate: Node,
    *operands: Node,
    then: Graph,
    otherwise: Graph,
) -> list[Any]:
    active = [t is not None and _float(x) for t, x in zip(tangents[1:], operands, strict=True)]
    first, has_first = engine.jvp(then, active)
    second, has_second = engine.jvp(otherwise, active)
    has = [a or b for a, b in zip(has_first, has_second, strict=True)]
    made = cond(
        predicate,
        *operands,
        *(t for t, a in zip(tangents[1:], active, strict=True) if a),
        then=_fill_tangents(first, has_first, has),
        otherwise=_fill_tangents(second, has_second, has),
    )
    numbers = iter(range(len(then.outputs), len(then.outputs) + sum(has)))
    return [item(made, next(numbers)) if h else None for h in has]


def _fill_tangents(graph: Graph, has: Sequence[bool], wanted: Sequence[bool]) -> Graph:
    """The jvp graph with zeros for the tangents of ``wanted`` that it lacks."""
    primals = graph.outputs[: len(has)]
    own = iter(graph.outputs[len(has) :])
    tangents = []
    for y, h, w in zip(primals, has, wanted, strict=True):
        tangent = next(own) if h else None
        if w:
            tangents.append(_or_zeros(tangent, y))
    return Graph(graph.name, graph.inputs, (*primals, *tangents))


def _cond_vjp(
    engine: Any,
    out: Node,
    cotangents: Sequence[Any],
    wanted: Sequence[bool],
    predicate: Node,
    *operands: Node,
    then: Graph,
    otherwise: Graph,
) -> list[Any]:
    given = [c is not None for c in cotangents]
    made = cond(
        predicate,
        *operands,
        *(c for c in cotangents if c is not None),
        then=engine.vjp(then, wanted[1:], given),
        otherwise=engine.vjp(otherwise, wanted[1:], given),
    )
    numbers = iter(range(sum(wanted[1:])))
    return [None, *(item(made, next(numbers)) if w else None for w in wanted[1:])]


def _cond_batch(
    engine: Any, inputs: Sequence[Node], batched: Sequence[bool], *, then: Graph, otherwise: Graph
) -> tuple[Node, tuple[bool, ...]]:
    size = next(x.shape[0] for x, b in zip(inputs, batched, strict=True) if b)
    if batched[0] and (_may_run_forever(then) or _may_run_forever(otherwise)):
        return _row_by_row(cond, inputs, batched, then=then, otherwise=otherwise)
    every = [True] * len(then.outputs)
    first, _ = engine.batch(then, batched[1:], size, every)
    second, _ = engine.batch(otherwise, batched[1:], size, every)
    if not batched[0]:
        return cond(*inputs, then=first, otherwise=second), tuple(every)
    # Each row decides for itself: both branches run, and a selection picks.
    results = []
    for y, z in zip(first.call(inputs[1:]), second.call(inputs[1:]), strict=True):
        mask = reshape(inputs[0], shape=(size, *(1,) * (len(y.shape) - 1)))
        results.append(lookup("where")(mask, y, z))
    return pack(results), tuple(every)


def _may_run_forever(graph: Graph) -> bool:
    """Whether a loop in it, at any depth, ends by a condition: it need not end for a row that would
    not run it alone."""
    for node in graph.nodes:
        inner = [g for g in node.attributes.values() if isinstance(g, Graph)]
        if node.op is while_ or any(_may_run_forever(g) for g in inner):
            return True
    return False


def _row_by_row(
    op: Op, inputs: Sequence[Node], batched: Sequence[bool], **attrs: Any
) -> tuple[Node, tuple[bool, ...]]:
    """A region over a batch axis as a loop over the rows, each of which runs what is its own."""
    rows = [x for x, b in zip(inputs, batched, strict=True) if b]
    shared = [x for x, b in zip(inputs, batched, strict=True) if not b]
    elements = [symbol("row", x.shape[1:], x.dtype) for x in rows]
    consts = [symbol("shared", x.shape, x.dtype) for x in shared]
    of_rows, of_shared = iter(elements), iter(consts)
    made = op(*(next(of_rows) if b else next(of_shared) for b in batched), **attrs)
    results = tuple(item(made, i) for i in range(len(made.type.items)))
    node = scan(
        *rows,
        *shared,
        body=Graph(f"rows_of_{op.name}", (symbol("i", (), "i64"), *elements, *consts), results),
        length=rows[0].shape[0],
        carry=0,
        consts=len(shared),
        reverse=False,
    )
    return node, (True,) * len(results)


def pack(results: Sequence[Node]) -> Node:
    """A node whose ``item`` i is ``results[i]``."""
    return PACK(*results)


PACK: Op = Op(
    "pack",
    Kind.OPAQUE,
    lambda *types: TupleType(types),
    Rules(
        lambda engine, out, tangents, *xs: list(tangents),
        lambda engine, out, cotangents, wanted, *xs: [
            c if w else None for c, w in zip(cotangents, wanted, strict=True)
        ],
    ),
    lambda engine, inputs, batched: (PACK(*inputs), tuple(batched)),
    lambda lowering, node: lowering.pack(node),
    lambda *xs, evaluate: xs,
    doc="Several values as one result; undone by ``item``.",
)


def _cond_oracle(
    predicate: Any, *operands: Any, then: Graph, otherwise: Graph, evaluate: Any
) -> Any:
    return tuple(evaluate(then if predicate else otherwise, operands))


cond = Op(
    "cond",
    Kind.OPAQUE,
    _cond_type,
    Rules(_cond_jvp, _cond_vjp),
    _cond_batch,
    lambda lowering, node: lowering.cond(node),
    _cond_oracle,
    doc="One of two graphs, chosen by a scalar bool; only that one runs.",
)


# --- scan -----------------------------------------------------------------------------------------


def _scan_type(
    *types: Any, body: Graph, length: int, carry: int, consts: int, reverse: bool
) -> TupleType:
    carries, sequences = types[:carry], types[carry : len(types) - consts]
    for t in sequences:
        if t.rank == 0 or t.shape[0] != length:
            raise TypeError(
                f"scan: each sequence must have {length} elements on its first axis, got {t}"
            )
    elements = [ArrayType(t.shape[1:], t.dtype) for t in sequences]
    constants = types[len(types) - consts :]
    _check("scan", "body", body, [ArrayType((), "i64"), *carries, *elements, *constants])
    results = [y.type for y in body.outputs]
    if tuple(results[:carry]) != tuple(carries):
        raise TypeError(
            f"scan: the body must return its carry with the type it came in: "
            f"{TupleType(tuple(carries))}, got {TupleType(tuple(results[:carry]))}"
        )
    stacked = [ArrayType((length, *t.shape), t.dtype) for t in results[carry:]]
    return TupleType((*carries, *stacked))


def _split(
    values: Sequence[Any], carry: int, consts: int
) -> tuple[list[Any], list[Any], list[Any]]:
    last = len(values) - consts
    return list(values[:carry]), list(values[carry:last]), list(values[last:])


def _settled(
    flags: list[bool], carry: int, derive: Callable[[list[bool]], tuple[Graph, Sequence[bool]]]
) -> tuple[Graph, Sequence[bool]]:
    """``derive(flags)`` once the flags of the carries (tangent, batch axis) hold for what the body
    returns too: a carry has the property when anything that flows into it has. Grows ``flags``."""
    while True:
        made, has = derive(flags)
        grown = [a or h for a, h in zip(flags[:carry], has[:carry], strict=True)]
        if grown == flags[:carry]:
            return made, has
        flags[:carry] = grown


def _scan_jvp(
    engine: Any,
    out: Node,
    tangents: Sequence[Any],
    *inputs: Node,
    body: Graph,
    length: int,
    carry: int,
    consts: int,
    reverse: bool,
) -> list[Any]:
    active = [t is not None and _float(x) for t, x in zip(tangents, inputs, strict=True)]
    made, has = _settled(active, carry, lambda flags: engine.jvp(body, [False, *flags]))
    wanted = [*active[:carry], *has[carry:]]
    made = _fill_tangents(made, has, wanted)
    n = len(body.inputs)
    index, primal_in, tangent_in = made.inputs[0], made.inputs[1:n], list(made.inputs[n:])
    split_in = _split(primal_in, carry, consts)
    flows = iter(tangent_in)
    split_tangent: list[list[Node]] = []
    for part in _split(active, carry, consts):
        split_tangent.append([next(flows) for a in part if a])
    order = [
        index,
        *split_in[0],
        *split_tangent[0],
        *split_in[1],
        *split_tangent[1],
        *split_in[2],
        *split_tangent[2],
    ]
    m = len(body.outputs)
    y, dy = list(made.outputs[:m]), list(made.outputs[m:])
    moved = sum(active[:carry])
    results = [*y[:carry], *dy[:moved], *y[carry:], *dy[moved:]]
    split_value = _split(inputs, carry, consts)
    full = [
        _or_zeros(t, x) if a else None for t, x, a in zip(tangents, inputs, active, strict=True)
    ]
    split_full = [[t for t in part if t is not None] for part in _split(full, carry, consts)]
    node = scan(
        *split_value[0],
        *split_full[0],
        *split_value[1],
        *split_full[1],
        *split_value[2],
        *split_full[2],
        body=Graph(made.name, tuple(order), tuple(results)),
        length=length,
        carry=carry + moved,
        consts=consts + sum(active[len(active) - consts :]),
        reverse=reverse,
    )
    numbers = iter([*range(carry, carry + moved), *range(m + moved, m + len(dy))])
    return [item(node, next(numbers)) if w else None for w in wanted]


def _scan_vjp(
    engine: Any,
    out: Node,
    cotangents: Sequence[Any],
    wanted: Sequence[bool],
    *inputs: Node,
    body: Graph,
    length: int,
    carry: int,
    consts: int,
    reverse: bool,
) -> list[Any]:
    forward = _keep_carries(engine, out, inputs, body, length, carry, consts, reverse)
    carries, sequences, constants = _split(inputs, carry, consts)
    smooth = [_float(x) for x in carries]
    moving = [x for x, s in zip(body.inputs[1 : 1 + carry], smooth, strict=True) if s]
    want = [*smooth, *wanted[carry:]]
    given = [*smooth, *(c is not None for c in cotangents[carry:])]
    pulled = engine.vjp(body, [False, *want], given)
    _, want_sequences, want_constants = _split(want, carry, consts)
    # The backward body: (i, ct carry, ct const sums | carry, element, ct stacked | consts).
    n = len(body.inputs)
    ct_in = list(pulled.inputs[n:])
    ct_carry, ct_stacked = ct_in[: len(moving)], ct_in[len(moving) :]
    const_in = list(pulled.inputs[n - consts : n])
    sums = [
        symbol(f"sum_{c['name']}", c.shape, c.dtype)
        for c, w in zip(const_in, want_constants, strict=True)
        if w
    ]
    results = list(pulled.outputs)
    new_carry = results[: len(moving)]
    ct_elements = results[len(moving) : len(moving) + sum(want_sequences)]
    added = [s + r for s, r in zip(sums, results[len(results) - len(sums) :], strict=True)]
    backward = Graph(
        pulled.name,
        (
            pulled.inputs[0],
            *ct_carry,
            *sums,
            *pulled.inputs[1 : n - consts],
            *ct_stacked,
            *const_in,
        ),
        (*new_carry, *added, *ct_elements),
    )
    start = [_or_zeros(c, x) for c, x, s in zip(cotangents, carries, smooth, strict=False) if s]
    node = scan(
        *start,
        *(_zeros(s.type) for s in sums),
        *forward,
        *sequences,
        *(c for c in cotangents[carry:] if c is not None),
        *constants,
        body=backward,
        length=length,
        carry=len(moving) + len(sums),
        consts=consts,
        reverse=not reverse,
    )
    carry_numbers = iter(range(len(moving)))
    sum_numbers = iter(range(len(moving), len(moving) + len(sums)))
    element_numbers = iter(range(len(moving) + len(sums), len(node.type.items)))
    results_by_input = [item(node, next(carry_numbers)) if s else None for s in smooth]
    results_by_input += [item(node, next(element_numbers)) if w else None for w in want_sequences]
    results_by_input += [item(node, next(sum_numbers)) if w else None for w in want_constants]
    return [r if w else None for r, w in zip(results_by_input, wanted, strict=True)]


def _keep_carries(
    engine: Any,
    out: Node,
    inputs: Sequence[Node],
    body: Graph,
    length: int,
    carry: int,
    consts: int,
    reverse: bool,
) -> list[Node]:
    """The carried values that enter each iteration, stacked; the forward loop is replaced by one
    that also returns them."""
    kept = Graph(f"{body.name}_kept", body.inputs, (*body.outputs, *body.inputs[1 : 1 + carry]))
    node = scan(*inputs, body=kept, length=length, carry=carry, consts=consts, reverse=reverse)
    first = len(out.type.items)
    for i in range(first):
        engine.replace(item(out, i), item(node, i))
    return [item(node, first + i) for i in range(carry)]


def _scan_batch(
    engine: Any,
    inputs: Sequence[Node],
    batched: Sequence[bool],
    *,
    body: Graph,
    length: int,
    carry: int,
    consts: int,
    reverse: bool,
) -> tuple[Node, tuple[bool, ...]]:
    size = next(x.shape[0] for x, b in zip(inputs, batched, strict=True) if b)
    flags = list(batched)
    none = [False] * (len(body.outputs) - carry)
    made, has = _settled(
        flags, carry, lambda f: engine.batch(body, [False, *f], size, [*f[:carry], *none])
    )
    values = []
    for position, (x, was, now) in enumerate(zip(inputs, batched, flags, strict=True)):
        if now and not was:
            x = broadcast_to(x, shape=(size, *x.shape))
        if now and carry <= position < len(inputs) - consts:  # the scanned axis leads again
            x = _swap_leading(x)
        values.append(x)
    node = scan(*values, body=made, length=length, carry=carry, consts=consts, reverse=reverse)
    results = [
        _swap_leading(item(node, i)) if h and i >= carry else item(node, i)
        for i, h in enumerate(has)
    ]
    return pack(results), tuple(has)


def _swap_leading(x: Node) -> Node:
    return lookup("transpose")(x, axes=(1, 0, *range(2, len(x.shape))))


def _scan_oracle(
    *arrays: Any, body: Graph, length: int, carry: int, consts: int, reverse: bool, evaluate: Any
) -> Any:
    carries, sequences, constants = _split(arrays, carry, consts)
    types = [y.type for y in body.outputs[carry:]]
    stacked = [np.zeros((length, *t.shape), numpy_dtype(t.dtype)) for t in types]
    for i in range(length - 1, -1, -1) if reverse else range(length):
        results = evaluate(body, [np.int64(i), *carries, *(s[i] for s in sequences), *constants])
        carries = results[:carry]
        for whole, y in zip(stacked, results[carry:], strict=True):
            whole[i] = y
    return (*carries, *stacked)


scan = Op(
    "scan",
    Kind.OPAQUE,
    _scan_type,
    Rules(_scan_jvp, _scan_vjp),
    _scan_batch,
    lambda lowering, node: lowering.scan(node),
    _scan_oracle,
    doc="A loop of known length that carries values and stacks results.",
)


# --- while ----------------------------------------------------------------------------------------


def _while_type(*types: Any, test: Graph, body: Graph, consts: int) -> TupleType:
    _check("while_loop", "condition", test, types)
    _check("while_loop", "body", body, types)
    if [y.type for y in test.outputs] != [ArrayType((), "bool")]:
        raise TypeError(
            f"while_loop: the condition must return one scalar bool, got {test.outputs[0].type}"
        )
    carries = tuple(types[: len(types) - consts])
    results = tuple(y.type for y in body.outputs)
    if results != carries:
        raise TypeError(
            f"while_loop: the body must return its carry with the type it came in: "
            f"{TupleType(carries)}, got {TupleType(results)}"
        )
    return TupleType(carries)


def _while_jvp(
    engine: Any,
    out: Node,
    tangents: Sequence[Any],
    *inputs: Node,
    test: Graph,
    body: Graph,
    consts: int,
) -> list[Any]:
    carry = len(inputs) - consts
    active = [t is not None and _float(x) for t, x in zip(tangents, inputs, strict=True)]
    made, has = _settled(active, carry, lambda flags: engine.jvp(body, flags))
    made = _fill_tangents(made, has, active[:carry])
    n, moved = len(inputs), sum(active[:carry])
    flows = list(made.inputs[n:])
    order = (*made.inputs[:carry], *flows[:moved], *made.inputs[carry:n], *flows[moved:])
    full = [_or_zeros(t, x) for t, x, a in zip(tangents, inputs, active, strict=True) if a]
    extra = [symbol("t", x.shape, x.dtype) for x in full]
    tested = (*test.inputs[:carry], *extra[:moved], *test.inputs[carry:], *extra[moved:])
    node = while_(
        *inputs[:carry],
        *full[:moved],
        *inputs[carry:],
        *full[moved:],
        test=Graph(test.name, tested, test.outputs),
        body=Graph(made.name, order, made.outputs),
        consts=n - carry + len(full) - moved,
    )
    numbers = iter(range(carry, carry + moved))
    return [item(node, next(numbers)) if a else None for a in active[:carry]]


def _while_vjp(engine: Any, out: Node, *_: Any, **__: Any) -> list[Any]:
    raise engine.not_differentiable(
        out,
        "reverse mode needs to know how many iterations to keep; use fori_loop or scan with a "
        "fixed number of iterations, or forward mode (jvp)",
        "sf.fori_loop(0, n, body, x)     # n a Python number\nsf.jacobian(f, mode='forward')",
    )


def _while_batch(
    engine: Any,
    inputs: Sequence[Node],
    batched: Sequence[bool],
    *,
    test: Graph,
    body: Graph,
    consts: int,
) -> tuple[Node, tuple[bool, ...]]:
    if _may_run_forever(test) or _may_run_forever(body):
        # in step, rows that are done would run the inner loop on, and that need not end
        return _row_by_row(while_, inputs, batched, test=test, body=body, consts=consts)
    size = next(x.shape[0] for x, b in zip(inputs, batched, strict=True) if b)
    carry = len(inputs) - consts
    every = [True] * carry
    flags = [*every, *batched[carry:]]
    tested, _ = engine.batch(test, flags, size, [True])
    made, _ = engine.batch(body, flags, size, every)
    running = tested.call(made.inputs)[0]
    kept = []
    for new, old in zip(made.outputs, made.inputs[:carry], strict=True):
        mask = reshape(running, shape=(size, *(1,) * (len(new.shape) - 1)))
        kept.append(lookup("where")(mask, new, old))
    going = lookup("any")(tested.outputs[0], axes=(0,))
    values = [
        x if b else broadcast_to(x, shape=(size, *x.shape))
        for x, b in zip(inputs[:carry], batched, strict=False)
    ]
    node = while_(
        *values,
        *inputs[carry:],
        test=Graph(test.name, tested.inputs, (going,)),
        body=Graph(made.name, made.inputs, tuple(kept)),
        consts=consts,
    )
    return node, tuple(every)


def _while_oracle(*arrays: Any, test: Graph, body: Graph, consts: int, evaluate: Any) -> Any:
    carry = len(arrays) - consts
    carries, constants = list(arrays[:carry]), arrays[carry:]
    while evaluate(test, [*carries, *constants])[0]:
        carries = evaluate(body, [*carries, *constants])
    return tuple(carries)


while_ = Op(
    "while",
    Kind.OPAQUE,
    _while_type,
    Rules(_while_jvp, _while_vjp),
    _while_batch,
    lambda lowering, node: lowering.while_loop(node),
    _while_oracle,
    doc="A loop that runs as long as a condition on its carried values holds.",
)
