"""Recording a function: call it with symbols, and make a graph of what comes back."""

from __future__ import annotations

import collections
import copy
import inspect
import itertools
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .. import tree
from ..boundary import called_wrongly
from ..collector import collector_paused
from ..errors import ArgumentError, EndlessRecursion, LeakedValue, SymFluxError
from ..frames import IS_USERS, judge
from ..ir.graph import Graph
from ..ir.node import CONSTANT, INPUT, Node, symbol
from ..ir.origin import Origin, user_frame
from ..ir.walk import dependents, substitute, topological
from ..records import record
from . import containers
from .arguments import (
    Arguments,
    Static,
    leaf_names,
    leaf_type,
    mark_static,
    name_of,
    not_an_argument,
    parameters_of,
)  # fmt: skip
from .array import Array, operand
from .concrete import refusals
from .fitting import bounds_of, failure_of, unless
from .param import Param, rebind, updated
from .passed import argument_handle, written_arguments
from .plain import better_error, one_line
from .promote import STORED, literal
from .scope import (
    Scope,
    check_captures,
    is_tracing,
    locked_arrays,
    pushed,
    written_undone,
)  # fmt: skip

__all__ = [
    "Traced",
    "call_function",
    "close",
    "definition",
    "node_of",
    "raise_by_number",
    "trace",
    "trace_body",
]


@record(frozen=True, slots=True)
class Traced:
    """A recorded function.

    Attributes:
        graph: its inputs are the array leaves of the arguments, then the captured arrays and
            params; its outputs are the leaves of the result, then the new values of updated params
            and of arrays that were written to.
        arguments: structure and types of the arguments.
        captures: the live ndarrays and params behind the trailing inputs. Empty for a trace inside
            of another one: there they belong to the outermost, and the graph may use nodes of it.
        out_tree: structure of the result.
        weak: for each leaf of the result, whether it is a Python number by Python's own rules.
        updates: number of the capture -> number of the output that is its new value.
        argument_updates: the same for params and arrays that are leaves of the arguments. An array
            that is a result as well has no trailing output.
        written: number of each input that is an array of the user's and is written to -> where.
        updated: all updated params, in the order of the trailing outputs.
        needed: captured arrays, by id, whose elements had to be known while tracing.
        bounds: number of an argument that is a Python integer -> the dtypes but int64 that it
            becomes.
        failure: which output says by its number, from 1, the one of ``errors`` that the call is to
            raise; None where there is nothing to check.
        changes: what the containers of the arguments hold at the end; None where that is what they
            held before. Its outputs are the last ones.
    """

    graph: Graph
    arguments: Arguments
    captures: tuple[Any, ...]
    out_tree: tree.TreeDef
    weak: tuple[bool, ...]
    updates: dict[int, int]
    argument_updates: dict[int, int]
    written: dict[int, Origin | None]
    updated: tuple[Any, ...]
    needed: dict[int, Any]
    bounds: dict[int, tuple[str, ...]]
    failure: int | None = None
    errors: tuple[Exception, ...] = ()
    changes: containers.Changes | None = None

    def write_back(self, values: Sequence[Node]) -> None:
        """Let each updated param stand for its new value in the surrounding trace.

        Args:
            values: the nodes of the trailing outputs after inlining, one per ``updated`` param.
        """
        for param, node in zip(self.updated, values, strict=True):
            rebind(param, node)


def raise_by_number(errors: Sequence[Exception], number: int) -> None:
    """Raise the error of that number, counted from 1; nothing for 0."""
    if number:
        raise copy.copy(errors[int(number) - 1])


# --- tracing --------------------------------------------------------------------------------------


def trace(
    fn: Callable[..., Any],
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    *,
    static_argnums: int | Iterable[int] = (),
    static_argnames: str | Iterable[str] = (),
    name: str | None = None,
    lifter: Any = None,
    write_back: bool = True,
) -> Traced:
    """Record ``fn`` as a graph by calling it once with symbols of the arguments' types.

    Args:
        fn: takes and returns arrays and numbers, in containers of any depth.
        args, kwargs: examples. Only their structure, shapes, dtypes and (of static ones) values
            count; ``ArrayType`` objects will do for arrays. A param among them is traced as an
            argument: it stands for the symbol wherever the function meets it.
        static_argnums, static_argnames: which arguments are settings, seen by ``fn`` as they are.
        name: of the graph; by default the function's.
        lifter: makes a twin of ``fn`` in which arrays of its surroundings are traced.
        write_back: whether what ``fn`` writes to arrays among its arguments is a result.

    Raises:
        TraceError: and its subclasses, naming the user's line, where ``fn`` cannot be recorded.
        ShapeError, DTypeError: where it would fail in NumPy too.

    >>> import numpy as np
    >>> import symflux.numpy
    >>> print(trace(lambda x: x * 2.0, [np.ones(3)]).graph.outputs[0].type)
    f64[3]
    """
    given_args, given_kwargs = mark_static(
        fn, args, dict(kwargs or {}), static_argnums, static_argnames
    )
    leaves, in_tree = tree.flatten((given_args, given_kwargs))
    names = leaf_names(fn, given_args, given_kwargs, in_tree)
    scope = Scope(name or name_of(fn))
    inputs: list[Node] = []
    weak: list[bool] = []
    handles: list[Any] = []
    for leaf, path in zip(leaves, names, strict=True):
        found = leaf_type(leaf)
        if found is None:
            raise not_an_argument(fn, path, leaf)
        type_, is_weak = found
        node = symbol(path, type_.shape, type_.dtype)
        inputs.append(node)
        weak.append(is_weak)
        if type(leaf) is Param:
            scope.params.setdefault(id(leaf), (leaf, Array(node).belongs(scope.life), node))
            handles.append(leaf)
        else:
            handles.append(argument_handle(leaf, Array(node, is_weak).belongs(scope.life)))
        scope.symbols.add(node.id)
    passed = call_args, call_kwargs = in_tree.unflatten(handles)
    before = containers.places(passed) if write_back else {}
    outer = is_tracing()
    with pushed(scope), collector_paused():
        run = fn if lifter is None else lifter.value(fn)
        result = call_function(run, _unwrapped(call_args), dict(zip(
            call_kwargs, _unwrapped(call_kwargs.values()), strict=True
        )))  # fmt: skip
        out_leaves, out_tree = tree.flatten(result)
        outputs, out_weak = _output_nodes(fn, out_leaves, out_tree)
        changed: list[tuple[Any, Node]] = list(updated(scope))
        if lifter is not None:
            changed += lifter.finish()
        writes: dict[int, Node] = {}
        changes: containers.Changes | None = None
        held: list[Node] = []
        if write_back:
            writes = written_arguments(scope.name, leaves, names, handles, inputs)
            changes, held = containers.changes(
                scope.name, before, passed, in_tree, handles, _held(scope.name), definition(fn)
            )
        failure = failure_of(scope)
        if failure:  # a call that raises leaves arrays and params as they were
            changed = [(obj, unless(failure[0], y, _before(scope, obj))) for obj, y in changed]
            writes = {i: unless(failure[0], y, inputs[i]) for i, y in writes.items()}
            for i, y in writes.items():
                for n, leaf in enumerate(out_leaves):
                    outputs[n] = y if leaf is handles[i] else outputs[n]
    held = [*failure, *held]
    captured = [] if outer else _used(scope, [*outputs, *writes.values(), *held], changed, lifter)
    results = {id(leaf): i for i, leaf in reversed(list(enumerate(out_leaves)))}
    rest = [i for i in writes if id(handles[i]) not in results]
    trailing = [*(node for _, node in changed), *(writes[i] for i in rest), *held]
    graph = Graph(
        scope.name, (*inputs, *(node for _, node in captured)), (*outputs, *trailing)
    )  # fmt: skip
    if not outer:
        _check_leaks(graph, inputs)
        check_captures(scope)
    position = {id(obj): i for i, (obj, _) in enumerate(captured)}
    argument = {id(leaf): i for i, leaf in reversed(list(enumerate(leaves))) if type(leaf) is Param}
    updates: dict[int, int] = {}
    argument_updates = {i: results.get(id(handles[i]), 0) for i in writes}
    argument_updates |= {i: n for n, i in enumerate(rest, len(outputs) + len(changed))}
    for i, (param, _) in enumerate(changed, len(outputs)):
        if id(param) in argument:
            argument_updates[argument[id(param)]] = i
        elif id(param) in position:
            updates[position[id(param)]] = i
            if type(param) is not Param:
                writes[len(inputs) + position[id(param)]] = trailing[i - len(outputs)]
    return Traced(
        graph,
        Arguments(in_tree, tuple(node.type for node in inputs), tuple(weak), names),
        tuple(obj for obj, _ in captured),
        out_tree,
        out_weak,
        updates,
        argument_updates,
        {i: node.origin for i, node in writes.items()},
        tuple(obj for obj, _ in changed),
        scope.needed,
        bounds_of(scope, inputs),
        len(outputs) + len(changed) + len(rest) if failure else None,
        tuple(scope.errors),
        changes,
    )


def _before(scope: Scope, obj: Any) -> Node:
    """What a param, or an array of the surroundings, stands for when the function begins."""
    found = scope.params.get(id(obj))
    return found[2] if found is not None else scope.captures[id(obj)][1]


def _used(
    scope: Scope, outputs: Sequence[Node], changed: Sequence[tuple[Any, Node]], lifter: Any
) -> list[tuple[Any, Node]]:
    """What was captured; without a lifter all of it was used."""
    found = list(scope.captures.values())
    if lifter is None:
        return found
    used = {node.id for node in topological((*outputs, *(node for _, node in changed)))}
    kept = {id(obj) for obj, _ in changed}
    return [(obj, node) for obj, node in found if node.id in used or id(obj) in kept]


def _unwrapped(values: Iterable[Any]) -> list[Any]:
    return [v.value if type(v) is Static else v for v in values]


def call_function(fn: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Call ``fn``; where NumPy put an error of its own in place of one of ours, raise ours."""
    refusals.forget()
    try:
        return fn(*args, **kwargs)
    except SymFluxError:
        raise
    except RecursionError as error:
        raise _endless(fn, error) from None
    except (TypeError, ValueError, SystemError) as error:
        if type(error) is TypeError and (wrong := called_wrongly(error, fn, kwargs)) is not None:
            raise wrong from None
        ours = error.__cause__ or error.__context__
        if not isinstance(ours, SymFluxError) and "Array(" in str(error):
            ours = refusals.last
        if isinstance(ours, SymFluxError):
            raise ours from None
        if (better := better_error(error, fn, args, kwargs)) is not None:
            raise better from None
        raise
    except Exception as error:
        if (better := better_error(error, fn, args, kwargs)) is not None:
            raise better from None
        raise


def _endless(fn: Callable[..., Any], error: RecursionError) -> EndlessRecursion:
    """What to raise for a function that calls itself for ever; its line that is met most often."""
    lines: collections.Counter[Origin] = collections.Counter()
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if IS_USERS[code.co_filename] if code.co_filename in IS_USERS else judge(code.co_filename):
            lines[Origin(code.co_filename, trace.tb_lineno, code.co_name)] += 1
        trace = trace.tb_next
    place = max(lines, key=lambda p: lines[p], default=None)
    name = place.function if place is not None and place.function != "<lambda>" else name_of(fn)
    return EndlessRecursion(
        f"{name} calls itself more than {sys.getrecursionlimit()} deep while it is traced",
        place=place,
        why="both sides of np.where and of the like are recorded, also the one that calls on",
        wrong=f"np.where(n > 0, {name}(n - 1), 1)",
        right="x = sf.while_loop(test, body, x)        # n is traced\n"
        f"sf.compile({name}, static_argnames='n')   # `if n > 0:` is Python's then",
    )


def definition(fn: Callable[..., Any]) -> Origin | None:
    """Where ``fn`` is written, for what is wrong with the function as a whole."""
    code = getattr(inspect.unwrap(fn), "__code__", None)
    if code is None:
        return user_frame()
    return Origin(code.co_filename, code.co_firstlineno, code.co_name)


def _output_nodes(
    fn: Callable[..., Any], leaves: Sequence[Any], out_tree: tree.TreeDef
) -> tuple[list[Node], tuple[bool, ...]]:
    nodes: list[Node] = []
    weak: list[bool] = []
    for number, leaf in enumerate(leaves):
        try:
            node, is_weak = _stored(leaf)
        except ArgumentError:
            path = out_tree.paths("result")[number]
            raise ArgumentError(
                f"`{path}` of {name_of(fn)} is neither an array nor a number: "
                f"{one_line(leaf)} ({type(leaf).__name__})",
                place=definition(fn),
                right="x.to_numpy() of labelled arrays, where they meet traced ones"
                if hasattr(type(leaf), "to_numpy")
                else "return arrays and numbers only, in tuples, lists, dicts or dataclasses",
            ) from None
        nodes.append(node)
        weak.append(is_weak)
    return nodes, tuple(weak)


def _held(name: str) -> Callable[[Any], tuple[Node, bool]]:
    """What makes the node of something that a function put into a container of its arguments."""

    def node(leaf: Any) -> tuple[Node, bool]:
        try:
            return _stored(leaf)
        except ArgumentError:
            raise ArgumentError(
                f"{name} puts what is neither an array nor a number into a container of its "
                f"arguments: {leaf!r:.60} ({type(leaf).__name__})",
                place=user_frame(),
                right=f"symflux.compile({name}, write_back=False)   # leaves arguments as they are",
            ) from None

    return node


def _check_leaks(graph: Graph, inputs: Sequence[Node]) -> None:
    """Raise if an output depends on a symbol that no one will give a value for."""
    known = {node.id for node in graph.inputs}
    foreign = next((n for n in graph.nodes if n.op is INPUT and n.id not in known), None)
    if foreign is None:
        return
    theirs = dependents(graph.nodes, [foreign])
    ours = dependents(graph.nodes, graph.inputs) & theirs
    user = next((n for n in graph.nodes if n.id in (ours or theirs) and n is not foreign), None)
    raise LeakedValue(
        f"{graph.name} uses `{foreign['name']}` ({foreign.type}), a value of another traced "
        "function or of a region's body",
        place=user.origin if user is not None else user_frame(),
        why="a traced value means something only until the function in which it was made returns",
        wrong="def f(x): self.last = x          # kept for later",
        right="def f(x): return y, x            # returned as a result\n"
        "def g(y, last): ...              # given as an argument",
    )


def node_of(value: Any) -> Node:
    """The node that stands for an array, param or number in the function being traced now."""
    return _stored(value)[0]


def _stored(value: Any) -> tuple[Node, bool]:
    """The same, and whether it is a Python number."""
    key, found = operand(value)
    node = found if type(found) is Node else literal(found, STORED.get(key, key))
    return node, key in STORED


# --- bodies of regions ----------------------------------------------------------------------------


def close(
    inputs: Sequence[Node], outputs: Sequence[Node], name: str, since: int | None = None
) -> tuple[Graph, list[Node]]:
    """A closed graph for ``outputs`` as a function of ``inputs`` and of what they use from outside.

    What does not depend on ``inputs`` stays outside and becomes a further input; literals, and what
    is computed from literals only, are taken inside.

    Args:
        inputs: symbols.
        outputs: nodes that may depend on ``inputs`` and on any other nodes.
        name: of the graph.
        since: id of a node; what was made after it is taken inside even where it does not depend on
            ``inputs`` (it is computed only if the body runs). None: nothing is.

    Returns:
        The graph, with inputs ``(*inputs, *consts)``, and the outer nodes of its ``consts``.
    """
    nodes = topological((*inputs, *outputs))
    own = {node.id for node in inputs}
    moving = dependents(nodes, inputs)
    fixed: set[int] = set()  # literals, and what is computed from them
    for node in nodes:
        if node.id in moving or node.op is INPUT:
            continue
        made_inside = since is not None and node.id > since
        if all(x.id in fixed for x in node.inputs) and (node.inputs or node.op is CONSTANT):
            fixed.add(node.id)
        elif made_inside or not node.inputs:
            moving.add(node.id)
    inside = (moving | fixed) - own
    consts: dict[int, Node] = {}
    for node in nodes:
        if node.id in inside:
            for x in node.inputs:
                if x.id not in inside and x.id not in own:
                    consts[x.id] = x
    for node in outputs:
        if node.id not in inside and node.id not in own:
            consts[node.id] = node
    outer = [consts[key] for key in sorted(consts)]
    symbols = [symbol(f"const{i}", x.shape, x.dtype) for i, x in enumerate(outer)]
    closed = substitute(outputs, dict(zip(outer, symbols, strict=True)))
    return Graph(name, (*inputs, *symbols), tuple(closed)), outer


@record(frozen=True, slots=True)
class Body:
    """A traced body of a region.

    Attributes:
        graph: inputs are the leaves of the arguments, then the state, then ``consts``; outputs
            are the leaves of the result, then what each written handle stands for at the end.
        consts: nodes of the surrounding function that the body uses.
        out_tree: structure of the result.
        weak: for each leaf of the result, whether it is a Python number.
        written: the handles from outside that the body writes to: those of the state, then others.
    """

    graph: Graph
    consts: list[Node]
    out_tree: tree.TreeDef
    weak: tuple[bool, ...]
    written: list[Array]


def trace_body(
    fn: Callable[..., Any], args: Sequence[Any], name: str = "", *, hoist: bool = True,
    state: Sequence[Array] = (),
) -> Body:  # fmt: skip
    """Record the body of a region (a loop, a branch) inside of a function that is being traced.

    Args:
        fn: the user's function.
        args: examples, as for :func:`trace`: arrays, numbers, types, in containers.
        name: of the graph; by default the function's.
        hoist: leave what does not depend on the arguments outside (right for loops); if False, only
            what existed before is used from outside (right for branches, which may not run).
        state: handles from outside that stand for inputs of their own inside of the body, as the
            arrays do that every iteration of a loop writes to.
    """
    leaves, in_tree = tree.flatten(tuple(args))
    paths = list(itertools.chain.from_iterable(
        child.paths(root) for child, root in zip(
            in_tree.children, _argument_names(fn, len(args)), strict=True)
    ))  # fmt: skip
    scope = Scope(name or name_of(fn), "body")
    since = symbol("since").id
    inputs: list[Node] = []
    handles: list[Array] = []
    for leaf, path in zip(leaves, paths, strict=True):
        found = leaf_type(leaf)
        if found is None:
            raise not_an_argument(fn, path, leaf)
        node = symbol(path, found[0].shape, found[0].dtype)
        inputs.append(node)
        handles.append(Array(node, found[1]).belongs(scope.life))
        scope.symbols.add(node.id)
    for handle in state:
        before = handle.node
        node = symbol("written", before.shape, before.dtype)
        scope.written[id(handle)] = (handle, before)
        inputs.append(node)
    with pushed(scope), written_undone(scope):
        for (handle, _), node in zip(scope.written.values(), inputs[len(leaves) :], strict=True):
            handle.rebind(node)
        with locked_arrays(fn):
            result = call_function(fn, in_tree.unflatten(handles), {})
        out_leaves, out_tree = tree.flatten(result)
        outputs, weak = _output_nodes(fn, out_leaves, out_tree)
        written = [handle for handle, _ in scope.written.values()]
        outputs += [handle.node for handle in written]
    graph, consts = close(inputs, outputs, scope.name, None if hoist else since)
    return Body(graph, consts, out_tree, weak, written)


def _argument_names(fn: Callable[..., Any], count: int) -> list[str]:
    positional, variadic, _ = parameters_of(fn)
    names = list(positional[:count])
    return [*names, *(f"{variadic or 'argument'}{i}" for i in range(count - len(names)))]
