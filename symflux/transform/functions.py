"""Derivatives and batching of Python functions, while they are traced.

Each function here is called inside a trace with traced (or plain) arguments: it calls the user's
function with fresh symbols, derives the graph that this recorded, and puts the actual arguments
in place of the symbols. Values from outside that the user's function closes over are simply
other nodes, so the transforms nest in any order.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np

from .. import tree
from ..deep import deep
from ..errors import (
    ArgumentError,
    DerivativeError,
    DTypeError,
    ShapeError,
    UnsupportedOperation,
)
from ..ir.node import Node, constant, constant_value, symbol
from ..ir.origin import user_frame
from ..ir.types import ArrayType, is_floating, numpy_dtype
from ..ir.walk import substitute
from ..ops.reduce import max_
from ..ops.shape import broadcast_to, reshape, transpose
from ..records import record
from ..trace.arguments import parameters_of
from ..trace.array import Array, as_node, is_weak
from ..trace.fitting import is_failure
from ..trace.param import rebind, updated
from ..trace.passed import detached
from ..trace.promote import cast, fits
from ..trace.scope import Scope, pushed, written_undone
from ..trace.trace import Traced, call_function
from .batch import batch_nodes
from .jvp import pushforward, zeros_like
from .placed import Placed, as_unit_vectors, unit_vectors
from .vjp import pullback_with_primals

__all__ = [
    "Inner",
    "batched",
    "forward_mode",
    "inner_call",
    "jacobian_of",
    "replayed",
    "value_and_gradient",
]


@record(frozen=True)
class Inner:
    """A call of the user's function with symbols in place of some argument leaves.

    ``actual[i]`` is the node that ``symbols[i]`` stands for; ``structures`` are those of the chosen
    arguments; ``result`` is what the function returned."""

    symbols: list[Node]
    actual: list[Node]
    structures: list[tree.TreeDef]
    result: Any

    def outputs(self) -> tuple[list[Node], tree.TreeDef, list[bool]]:
        """The nodes of the result's leaves in forms that differentiate well, its structure, and
        which are weak (from Python numbers)."""
        leaves, structure = tree.flatten(self.result)
        weak = [leaf.weak if isinstance(leaf, Array) else False for leaf in leaves]
        return _prepared([as_node(leaf) for leaf in leaves]), structure, weak

    def close(self, nodes: Sequence[Node]) -> list[Node]:
        """The nodes with the actual arguments in place of the symbols."""
        return substitute(nodes, dict(zip(self.symbols, self.actual, strict=True)))

    def pack(self, nodes: Sequence[Node], weak: Sequence[bool] | None = None) -> list[Array]:
        """Handles on closed nodes."""
        closed = self.close(nodes)
        flags = weak or [False] * len(closed)
        return [Array(n, w) for n, w in zip(closed, flags, strict=True)]


def _prepared(outputs: list[Node]) -> list[Node]:
    """The outputs in forms that differentiate well."""
    from ..passes.prepare import prepare  # loaded when the first derivative is taken

    def smooth(nodes: Sequence[Node]) -> list[Node]:
        from .radial import without_kinks  # where there are roots or exponentials

        return without_kinks(nodes)

    return prepare(outputs, smooth)


def inner_call(
    fn: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    argnums: Sequence[int],
    what: str,
    *,
    smooth: bool = True,
) -> Inner:
    """Call ``fn`` with fresh symbols for the leaves of the arguments ``argnums``.

    With ``smooth``, the leaves must be floating (Python integers count as floats).
    """
    symbols: list[Node] = []
    actual: list[Node] = []
    structures = []
    scope = Scope(getattr(fn, "__name__", what), "derived")
    chosen = {n % len(args) for n in argnums if args}
    new_args = [a if i in chosen else detached(a, scope.life) for i, a in enumerate(args)]
    kwargs = detached(kwargs, scope.life)
    for number in argnums:
        if not -len(args) <= number < len(args):
            raise ArgumentError(
                f"{what}: argnums has {number}, but the call has {len(args)} positional arguments",
                place=user_frame(),
                right="f(x, y)              # what is differentiated by is given by position",
            )
        leaves, structure = tree.flatten(args[number])
        names = structure.paths(f"argument {number}")
        fresh = []
        for leaf, name in zip(leaves, names, strict=True):
            node = _smooth_node(leaf, name, what) if smooth else as_node(leaf)
            made = symbol(_identifier(name), node.shape, node.dtype)
            symbols.append(made)
            actual.append(node)
            fresh.append(Array(made, is_weak(leaf)).belongs(scope.life))
        structures.append(structure)
        new_args[number] = structure.unflatten(fresh)
    result = _recorded(
        scope, fn, new_args, kwargs,
        lambda nodes, _: substitute(nodes, dict(zip(symbols, actual, strict=True))),
    )  # fmt: skip
    return Inner(symbols, actual, structures, result)


def _recorded(
    scope: Scope,
    fn: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    close: Callable[[Sequence[Node], set[int]], Sequence[Node]],
) -> Any:
    """The result of ``fn``, recorded in ``scope``, with handles of the surrounding scope.

    Arrays from outside that it writes to and params that it updates get their new values there,
    as Python's call does it; ``close`` puts actual arguments in place of the scope's symbols. It is
    told the numbers of the nodes that say which error is to be raised.
    """
    with pushed(scope), written_undone(scope):
        leaves, structure = tree.flatten(call_function(fn, args, kwargs))
        results = [(leaf.node, leaf.weak) if isinstance(leaf, Array) else leaf for leaf in leaves]
        changed = [(handle, handle.node) for handle, _ in scope.written.values()]
        params = updated(scope)
    fresh = [Array(*leaf) if type(leaf) is tuple else leaf for leaf in results]
    failures = {i for i, (handle, _) in enumerate(changed) if is_failure(handle)}
    nodes = [node for _, node in (*changed, *params)]
    closed = iter(close(nodes, failures) if nodes else ())
    for handle, _ in changed:
        handle.assign(next(closed))
    for param, _ in params:
        rebind(param, next(closed))
    return structure.unflatten(fresh)


def _identifier(name: str) -> str:
    return name.replace("argument ", "arg")


def _smooth_node(leaf: Any, name: str, what: str) -> Node:
    """The node of an argument to differentiate by; Python integers become floats."""
    node = as_node(leaf)
    if is_floating(node.dtype):
        return node
    if is_weak(leaf) and node.dtype == "i64":
        from ..ir.op import lookup

        return lookup("cast")(node, dtype="f64")
    raise DerivativeError(
        f"{what}: {name} is {node.type}; only floating-point values have derivatives",
        place=user_frame(),
        right="x.astype(float), or argnums= without this argument",
    )


def scalar_output(nodes: Sequence[Node], what: str) -> Node:
    """The one scalar floating result that a gradient needs."""
    if len(nodes) != 1 or nodes[0].shape != () or not is_floating(nodes[0].dtype):
        found = ", ".join(str(n.type) for n in nodes) or "nothing"
        first = len(nodes) > 1 and nodes[0].shape == () and is_floating(nodes[0].dtype)
        raise ShapeError(
            f"{what} needs a function that returns one floating-point scalar, "
            f"this one returned {found}",
            place=user_frame(),
            right="np.sum(...) of the result, or sf.jacobian for all its derivatives"
            + ("\nsf.grad(f, has_aux=True)     # of (value, anything else)" if first else ""),
        )
    return nodes[0]


def value_and_gradient(
    fn: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    argnums: int | Sequence[int],
    has_aux: bool,
    what: str = "grad",
) -> tuple[Any, Any]:
    """``(value, gradient)``, or ``((value, aux), gradient)`` with ``has_aux``."""
    numbers, single = _positions(fn, argnums, what)
    inner = inner_call(fn, args, kwargs, numbers, what)
    aux: Any = None
    if has_aux:
        if not (isinstance(inner.result, tuple) and len(inner.result) == 2):
            raise ArgumentError(
                f"{what} with has_aux=True needs a function that returns (value, aux)",
                place=user_frame(),
                right="return value, aux",
            )
        value, aux = inner.result
        inner = Inner(inner.symbols, inner.actual, inner.structures, value)
    outputs, _, weak = inner.outputs()
    out = scalar_output(outputs, what)
    aux_leaves, aux_structure = tree.flatten(aux)
    aux_nodes = [as_node(leaf) for leaf in aux_leaves]
    primals, pulled = pullback_with_primals(
        [out, *aux_nodes], [constant(1, out.dtype), *[None] * len(aux_nodes)], inner.symbols
    )
    gradients = [
        zeros_like(x) if g is None else g for x, g in zip(inner.symbols, pulled, strict=True)
    ]
    weak_args = [
        x.shape == () and w for x, w in zip(inner.symbols, _weak_leaves(args, numbers), strict=True)
    ]
    handles = inner.pack([*primals, *gradients], [weak[0], *[False] * len(aux_nodes), *weak_args])
    count = 1 + len(aux_nodes)
    gradient = _per_argument(inner, handles[count:], single)
    if not has_aux:
        return handles[0], gradient
    return (handles[0], aux_structure.unflatten(handles[1:count])), gradient


def _weak_leaves(args: Sequence[Any], numbers: Sequence[int]) -> list[bool]:
    return [is_weak(leaf) for number in numbers for leaf in tree.flatten(args[number])[0]]


def _positions(fn: Any, argnums: Any, what: str) -> tuple[list[int], bool]:
    """Which arguments to differentiate by, and whether they were given as one number."""
    single = hasattr(argnums, "__index__")
    try:
        return [operator.index(n) for n in ([argnums] if single else argnums)], single
    except TypeError:
        named = list(parameters_of(fn)[0])
        number = named.index(argnums) if argnums in named else 0
        raise ArgumentError(
            f"{what}: argnums counts arguments by position, got {argnums!r}",
            place=user_frame(),
            right=f"argnums={number}            # from 0 on; (0, 1) for two",
        ) from None


def _per_argument(inner: Inner, handles: Sequence[Any], single: bool) -> Any:
    """Leaves grouped as the arguments were: one structure, or a tuple for several argnums."""
    found = []
    start = 0
    for structure in inner.structures:
        found.append(structure.unflatten(list(handles[start : start + len(structure)])))
        start += len(structure)
    return found[0] if single else tuple(found)


def forward_mode(
    fn: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    """``(fn(*primals), directional derivative along tangents)``."""
    if len(primals) != len(tangents):
        raise ArgumentError(
            f"jvp: {len(primals)} primals but {len(tangents)} tangents",
            place=user_frame(),
            right="sf.jvp(f, (x, y), (dx, dy))     # None for a tangent of zero",
        )
    inner = inner_call(fn, primals, {}, range(len(primals)), "jvp")
    directions: list[Node | None] = []
    for structure, tangent in zip(inner.structures, tangents, strict=True):
        for leaf in structure.flatten_up_to(tangent):
            directions.append(None if leaf is None else as_node(leaf))
    directions = [_matching_tangent(t, x) for t, x in zip(directions, inner.symbols, strict=True)]
    outputs, structure, weak = inner.outputs()
    pushed = pushforward(outputs, inner.symbols, directions)
    zeros = [zeros_like(y) if t is None else t for y, t in zip(outputs, pushed, strict=True)]
    handles = inner.pack([*outputs, *zeros], [*weak, *weak])
    count = len(outputs)
    return structure.unflatten(handles[:count]), structure.unflatten(handles[count:])


def _matching_tangent(tangent: Node | None, x: Node) -> Node | None:
    if tangent is None:
        return None
    if tangent.shape != x.shape:
        raise ShapeError(
            f"jvp: a tangent has the shape of its primal: {x.type}, got {tangent.type}",
            place=user_frame(),
            right="np.ones_like(x)",
        )
    if tangent.dtype != x.dtype:
        from ..ir.op import lookup

        return lookup("cast")(tangent, dtype=x.dtype)
    return tangent


def reverse_mode(
    fn: Callable[..., Any], primals: Sequence[Any], kwargs: dict[str, Any] | None = None
) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """``(fn(*primals), pullback)``; ``pullback(cotangent)`` gives a tuple, one entry per primal."""
    inner = inner_call(fn, primals, kwargs or {}, range(len(primals)), "vjp")
    outputs, structure, weak = inner.outputs()
    value = structure.unflatten(inner.pack(outputs, weak))

    def pull(cotangent: Any) -> tuple[Any, ...]:
        """The cotangents of the primals for a cotangent of the result."""
        given = [as_node(c) for c in structure.flatten_up_to(cotangent)]
        for c, y in zip(given, outputs, strict=True):
            if c.shape != y.shape:
                raise ShapeError(
                    f"vjp: a cotangent has the shape of the result: {y.type}, got {c.type}",
                    place=user_frame(),
                    right="np.ones_like(value)",
                )
        matched = [_matching_tangent(c, y) for c, y in zip(given, outputs, strict=True)]
        _, pulled = pullback_with_primals(outputs, matched, inner.symbols)
        full = [
            zeros_like(x) if g is None else g for x, g in zip(inner.symbols, pulled, strict=True)
        ]
        return tuple(_per_argument(inner, inner.pack(full), single=False))

    return value, pull


def replayed(traced: Traced, values: Sequence[Any]) -> Any:
    """The result of a function that was traced, for other values of all inputs of its graph."""
    graph = traced.graph
    nodes = [cast(as_node(v), x.dtype) for v, x in zip(values, graph.inputs, strict=True)]
    outputs = graph.call(nodes)[: len(traced.out_tree)]
    return traced.out_tree.unflatten(
        [Array(y, w) for y, w in zip(outputs, traced.weak, strict=True)]
    )


def jacobian_of(
    fn: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    argnums: int | Sequence[int],
    mode: str = "auto",
) -> Any:
    """All derivatives: for each result leaf, a structure like the argument's whose leaves have
    shape ``result.shape + argument.shape``."""
    numbers, single = _positions(fn, argnums, "jacobian")
    inner = inner_call(fn, args, kwargs, numbers, "jacobian")
    outputs, structure, _ = inner.outputs()
    for y in outputs:
        if not is_floating(y.dtype):
            raise DerivativeError(
                f"jacobian: the function returned {y.type}; "
                "only floating-point results have derivatives",
                place=user_frame(),
            )
    rows = sum(y.type.size for y in outputs)
    columns = sum(x.type.size for x in inner.symbols)
    forward = mode == "forward" or (mode == "auto" and columns <= rows)
    table = _forward_jacobian if forward else _reverse_jacobian
    entries = table(inner.symbols, outputs)
    flat = [entries[i][j] for i in range(len(outputs)) for j in range(len(inner.symbols))]
    handles = inner.pack(flat)
    width = len(inner.symbols)
    results = [
        _per_argument(inner, handles[i * width : (i + 1) * width], single)
        for i in range(len(outputs))
    ]
    return structure.unflatten(results)


def _forward_jacobian(inputs: Sequence[Node], outputs: Sequence[Node]) -> list[list[Node]]:
    columns: list[list[Node]] = []
    for x in inputs:
        tangent = symbol("t", x.shape, x.dtype)
        pushed = pushforward(outputs, [x], [tangent])
        columns.append(_batched_derivatives(pushed, tangent, x, outputs, forward=True))
    return [[column[i] for column in columns] for i in range(len(outputs))]


def _reverse_jacobian(inputs: Sequence[Node], outputs: Sequence[Node]) -> list[list[Node]]:
    rows = []
    for y in outputs:
        cotangent = symbol("ct", y.shape, y.dtype)
        _, pulled = pullback_with_primals([y], [cotangent], inputs)
        rows.append(_batched_derivatives(pulled, cotangent, y, inputs, forward=False))
    return rows


def _batched_derivatives(
    derived: Sequence[Node | None],
    direction: Node,
    space: Node,
    others: Sequence[Node],
    *,
    forward: bool,
) -> list[Node]:
    """``derived`` along every unit direction of ``space``, arranged as result.shape +
    argument.shape."""
    present = [d for d in derived if d is not None]
    batched_nodes = batch_nodes(present, [direction], [unit_vectors(space)])
    again = iter(batched_nodes)
    results = []
    for d, other in zip(derived, others, strict=True):
        first, second = (other, space) if forward else (space, other)
        shape = (*first.shape, *second.shape)
        if d is None:
            results.append(broadcast_to(constant(0, other.dtype), shape=shape))
            continue
        node, has_axis = next(again)
        if not has_axis:  # does not depend on the direction: the derivative is zero
            results.append(broadcast_to(constant(0, other.dtype), shape=shape))
            continue
        if forward:  # (size of argument, *result) -> (*result, size of argument)
            node = transpose(node, axes=(*range(1, len(node.shape)), 0))
        results.append(reshape(node, shape=shape))
    return results


def batched(
    fn: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], in_axes: Any, out_axes: Any
) -> Any:
    """``fn`` over an axis of its arguments (vmap)."""
    axes = list(in_axes) if isinstance(in_axes, (tuple, list)) else [in_axes] * len(args)
    if len(axes) != len(args):
        raise ArgumentError(
            f"vmap: in_axes has {len(axes)} entries for {len(args)} positional arguments",
            place=user_frame(),
            right=f"in_axes=({', '.join('0' * len(args))}{',' * (len(args) == 1)})",
        )
    size: int | None = None
    symbols: list[Node] = []
    moved: list[Node | Placed] = []
    new_args = []
    scope = Scope(getattr(fn, "__name__", "vmap"), "derived")
    args, kwargs = detached((tuple(args), kwargs), scope.life)
    for number, (arg, axis) in enumerate(zip(args, axes, strict=True)):
        leaves, structure = tree.flatten(arg)
        leaf_axes = _axes_of(axis, structure)
        fresh: list[Any] = []
        for leaf, leaf_axis, name in zip(
            leaves, leaf_axes, structure.paths(f"argument {number}"), strict=True
        ):
            if leaf_axis is None:
                fresh.append(leaf)
                continue
            node = as_node(leaf)
            if not -len(node.shape) <= leaf_axis < len(node.shape):
                raise ShapeError(
                    f"vmap: {name} is {node.type} and has no axis {leaf_axis}",
                    place=user_frame(),
                    right="sf.vmap(f, in_axes=(0, None))     # None: the same for all",
                )
            leaf_axis %= len(node.shape)
            extent = node.shape[leaf_axis]
            if size is not None and extent != size:
                raise ShapeError(
                    f"vmap: the mapped axes must agree: {name} has {extent}, others {size}",
                    place=user_frame(),
                    right="sf.vmap(f, in_axes=(0, None))     # None: the same for all",
                )
            size = extent
            rest = [a for a in range(len(node.shape)) if a != leaf_axis]
            front = node if leaf_axis == 0 else transpose(node, axes=(leaf_axis, *rest))
            made = symbol(_identifier(name), front.shape[1:], front.dtype)
            symbols.append(made)
            moved.append(as_unit_vectors(front) or front)
            fresh.append(Array(made).belongs(scope.life))
        new_args.append(structure.unflatten(fresh))
    if size is None:
        raise ArgumentError("vmap: in_axes maps no argument", place=user_frame())
    result = _recorded(
        scope, fn, new_args, kwargs,
        lambda nodes, failures: _shared(nodes, symbols, moved, failures),
    )  # fmt: skip
    leaves, structure = tree.flatten(result)
    nodes = [as_node(leaf) for leaf in leaves]
    results = []
    for (node, has_axis), axis in zip(
        batch_nodes(nodes, symbols, moved), _axes_of(out_axes, structure), strict=True
    ):
        if axis is None:
            if has_axis:
                raise ArgumentError(
                    "vmap: out_axes is None for a result that differs along the mapped axis",
                    place=user_frame(),
                    right="sf.vmap(f, out_axes=0)",
                )
            results.append(Array(node))
            continue
        if not has_axis:
            node = broadcast_to(node, shape=(size, *node.shape))
        if not -len(node.shape) <= axis < len(node.shape):
            raise ShapeError(
                f"vmap: a result is {node.type} with the mapped axis and has no axis {axis}: "
                f"out_axes={out_axes!r}",
                place=user_frame(),
                right="sf.vmap(f, out_axes=0)",
            )
        target = axis % len(node.shape)
        order = list(range(1, len(node.shape)))
        order.insert(target, 0)
        results.append(Array(node if target == 0 else transpose(node, axes=tuple(order))))
    return structure.unflatten(results)


def _shared(
    nodes: Sequence[Node],
    symbols: Sequence[Node],
    moved: Sequence[Node | Placed],
    failures: set[int],
) -> list[Node]:
    """What rows of a vmap write to arrays and params that all of them share; of errors, one."""
    found = [
        (max_(node, axes=(0,)), False) if has_axis and i in failures else (node, has_axis)
        for i, (node, has_axis) in enumerate(batch_nodes(nodes, symbols, moved))
    ]
    if any(has_axis for _, has_axis in found):
        raise UnsupportedOperation(
            "vmap: a value that differs from row to row is written to an array or param that all "
            "rows share",
            place=user_frame(),
            right="return the value, and write the mapped result, or its sum or mean, outside",
        )
    return [node for node, _ in found]


@deep
def _axes_of(axis: Any, structure: tree.TreeDef) -> Generator[Any, Any, list[int | None]]:
    """One axis per leaf: an int or None for all, or a container that says it leaf by leaf."""
    if axis is None or isinstance(axis, (int, np.integer)):
        return [None if axis is None else int(axis)] * len(structure)
    if isinstance(axis, dict) or (
        isinstance(axis, (tuple, list)) and len(structure.children) == len(axis)
    ):
        children = structure.children
        values = [axis[k] for k in structure.static[1]] if isinstance(axis, dict) else list(axis)
        axes: list[int | None] = []
        for child, value in zip(children, values, strict=True):
            axes += yield _axes_of.step(value, child)
        return axes
    raise ArgumentError(
        f"vmap: in_axes and out_axes are numbers of axes, or None: {axis!r} does not fit the "
        f"structure {structure}",
        place=user_frame(),
        right="sf.vmap(f, in_axes=0)\nsf.vmap(f, in_axes=(0, None))     # of the second, all of it",
    )


def conform(value: Any, type_: ArrayType, name: str) -> Node:
    """``value`` as a node of the declared type of an input.

    Raises:
        ShapeError: if it has another shape.
        DTypeError: if the declared dtype does not hold it; floats may be rounded.
    """
    node = as_node(value)
    if node.shape != type_.shape:
        raise ShapeError(
            f"{name} is declared as {type_}, got {node.type}",
            place=user_frame(),
            right=f"sf.symbol({name!r}, {node.shape})",
        )
    given, declared = numpy_dtype(node.dtype), numpy_dtype(type_.dtype)
    if not (declared.kind == "f" or np.can_cast(given, declared)):
        number = constant_value(node) if is_weak(value) and given.kind in "iu" else None
        if number is None or declared.kind not in "iu" or not fits(int(number), type_.dtype):
            raise DTypeError(
                f"{name} is declared as {type_}, which does not hold every {given}",
                place=user_frame(),
                right=f"{name}.astype(np.{declared})\n"
                f'sf.symbol("{name}", {type_.shape}, "{given}")',
            )
    return cast(node, type_.dtype)
