"""Branches and loops on traced values: cond, switch, scan, fori_loop, while_loop, map."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from .. import tree
from ..errors import ArgumentError, DTypeError, ShapeError, TraceError, UnsupportedOperation
from ..ir.graph import Graph
from ..ir.node import Node, constant, constant_value, item, symbol
from ..ir.op import lookup
from ..ir.origin import user_frame
from ..ir.types import ArrayType, TupleType
from ..ir.walk import topological
from ..ops.control import cond as cond_op
from ..ops.control import scan as scan_op
from ..ops.control import while_ as while_op
from ..trace.array import Array, as_node, is_weak
from ..trace.fitting import adapted, is_failure, note_span
from ..trace.promote import INT, STORED, WEAK_KEYS, cast, fits, joined
from ..trace.trace import trace_body

__all__ = ["check_function", "cond", "fori_loop", "map_", "scan", "switch", "while_loop"]


class _Body:
    """A user function recorded as a closed graph; trailing inputs are what it needs from
    outside."""

    def __init__(
        self,
        fn: Callable[..., Any],
        structures: Sequence[tree.TreeDef],
        types: Sequence[ArrayType],
        weak: Sequence[bool],
        what: str,
        *,
        hoist: bool = True,
        state: Sequence[Array] = (),
    ) -> None:
        examples = [
            Array(symbol("x", t.shape, t.dtype), w) for t, w in zip(types, weak, strict=True)
        ]
        args = []
        start = 0
        for structure in structures:
            args.append(structure.unflatten(examples[start : start + len(structure)]))
            start += len(structure)
        name = getattr(fn, "__name__", what)
        recorded = trace_body(
            fn, args, name if name.isidentifier() else what, hoist=hoist, state=state
        )
        self.name = recorded.graph.name
        self.inputs = list(recorded.graph.inputs)
        count = len(recorded.out_tree)
        self.outputs = list(recorded.graph.outputs[:count])
        self.consts = list(recorded.consts)
        self.structure = recorded.out_tree
        self.weak = recorded.weak
        # of the surrounding function's arrays, and what they are at the end
        self.written = recorded.written
        self.stored = list(recorded.graph.outputs[count:])

    def graph(self, inputs: Sequence[Node]) -> Graph:
        """The graph with its inputs in another order, or with more of them."""
        return Graph(self.name, tuple(inputs), (*self.outputs, *self.stored))

    def store(self, handles: Sequence[Array]) -> None:
        """Return what each of ``handles`` is at the end; as it was outside where it was not written
        to."""
        known = {id(h): y for h, y in zip(self.written, self.stored, strict=True)}
        self.stored = [known[id(h)] if id(h) in known else self._const(h.node) for h in handles]
        self.written = list(handles)

    def _const(self, node: Node) -> Node:
        """The input that stands for a node from outside."""
        first = len(self.inputs) - len(self.consts)
        for x, inside in zip(self.consts, self.inputs[first:], strict=True):
            if x is node:
                return inside
        self.consts.append(node)
        self.inputs.append(symbol(f"const{len(self.consts)}", node.shape, node.dtype))
        return self.inputs[-1]

    def is_wide(self) -> bool:
        """Whether all numbers in it have the dtypes in which Python numbers are stored, so that
        nothing distinguishes these from NumPy's scalars."""
        inside = topological(self.outputs)
        return all(t.dtype in WEAK_KEYS for n in inside for t in _leaf_types(n.type))

    def unused(self) -> list[Node]:
        """Inputs that stand for this body's consts in the graph of another body."""
        return [symbol("unused", c.shape, c.dtype) for c in self.consts]


def _leaf_types(type_: ArrayType | TupleType) -> Sequence[ArrayType]:
    return type_.items if isinstance(type_, TupleType) else (type_,)


def _flatten(value: Any) -> tuple[list[Node], tree.TreeDef, list[bool]]:
    leaves, structure = tree.flatten(value)
    return [as_node(leaf) for leaf in leaves], structure, [is_weak(leaf) for leaf in leaves]


def _pack(
    node: Node, structure: tree.TreeDef, start: int = 0, weak: Sequence[bool] | None = None
) -> Any:
    flags = weak or [False] * len(structure)
    return structure.unflatten(
        [Array(item(node, start + i), flags[i]) for i in range(len(structure))]
    )


def _converted(nodes: Sequence[Node], types: Sequence[ArrayType]) -> list[Node]:
    """Nodes converted to the dtypes of ``types`` (shapes must be equal)."""
    return [cast(n, t.dtype) for n, t in zip(nodes, types, strict=True)]


def _key(dtype: str, weak: bool) -> str:
    return WEAK_KEYS[dtype] if weak else dtype


def _common(a: Node, a_weak: bool, b: Node, b_weak: bool) -> tuple[str, bool]:
    """The dtype that holds either of two values, by NumPy's promotion, and whether it is weak.

    A Python integer adapts to the other's integer dtype only if it is known to fit.
    """
    keys = [_key(a.dtype, a_weak), _key(b.dtype, b_weak)]
    found = joined(keys)
    if found not in STORED and found[0] in "iu" and INT in keys:
        number = constant_value(a if keys[0] == INT else b)
        if number is None or not fits(int(number), found):
            found = joined([key if key != INT else "i64" for key in keys])
    return STORED.get(found, found), found in STORED


def _met(first: Node, is_number: bool, y: Node, y_weak: bool) -> tuple[str, bool]:
    """The same for what a carry starts as and what the body returns for it: a Python number takes
    the dtype of the arrays that it meets in the body, as it does in Python's own loop."""
    if is_number and not y_weak:
        return joined([_key(first.dtype, True), y.dtype]), False
    return _common(first, is_number, y, y_weak)


def check_function(what: str, fn: Any, right: str, count: int | None = None) -> None:
    """Raises ArgumentError, with ``right`` as the cure, if ``fn`` is no function, or does not take
    ``count`` arguments."""
    if not callable(fn):
        raise ArgumentError(
            f"{what} needs a function, got {_described(fn)}", place=user_frame(), right=right
        )
    if count is None:
        return
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # of functions written in C
        return
    try:
        signature.bind(*[None] * count)
    except TypeError as error:
        name = getattr(fn, "__name__", type(fn).__name__).replace("<lambda>", "the function")
        raise ArgumentError(
            f"{what} calls {name} with {count} arguments, which it does not take: {error}",
            place=user_frame(),
            right=right,
        ) from None


def _described(value: Any) -> str:
    if isinstance(value, Array):
        return f"a traced value ({value.type})"
    return f"{value!r:.40} ({type(value).__name__})"


def cond(
    predicate: Any, then: Callable[..., Any], otherwise: Callable[..., Any], operands: Sequence[Any]
) -> Any:
    """``then(*operands)`` or ``otherwise(*operands)``, as a graph."""
    test = as_node(predicate)
    if test.shape != ():
        raise ShapeError(
            f"cond: the predicate must be a scalar, got {test.type}",
            place=user_frame(),
            right="np.where(mask, a, b) for a choice per element",
        )
    if test.dtype != "bool":
        test = lookup("ne")(test, constant(0, test.dtype))
    given, structure = tree.flatten(tuple(operands))
    # what a branch writes to an operand reaches it as any other array of the surroundings
    handles = [v if type(v) is Array else Array(as_node(v), is_weak(v)) for v in given]
    arguments = structure.unflatten(handles)
    first, second = (
        _Body(_applied(fn, arguments, what), [], [], [], what, hoist=False)
        for fn, what in ((then, "then"), (otherwise, "otherwise"))
    )
    if first.structure != second.structure:
        raise ArgumentError(
            "cond: both branches must return the same structure, "
            f"got {first.structure} and {second.structure}",
            place=user_frame(),
            right="sf.cond(x > 0, lambda: (a, b), lambda: (c, d))     # containers and keys alike",
        )
    weak = _unify(first, second)
    written = _together(first.written, second.written)
    _check_operands(given, handles, written)
    first.store(written)
    second.store(written)
    made = cond_op(
        test,
        *first.consts,
        *second.consts,
        then=first.graph([*first.inputs, *second.unused()]),
        otherwise=second.graph([*first.unused(), *second.inputs]),
    )
    _write(made, written, len(first.structure))
    return _pack(made, first.structure, weak=weak)


def _applied(fn: Callable[..., Any], arguments: Any, what: str) -> Callable[[], Any]:
    """A function called with arguments, under its own name."""

    def called() -> Any:
        return fn(*arguments)

    called.__name__ = getattr(fn, "__name__", what)
    vars(called)["__wrapped__"] = fn  # where it is written
    return called


def _check_operands(
    given: Sequence[Any], handles: Sequence[Array], written: Sequence[Array]
) -> None:
    """Raises TraceError where a branch writes to an operand that is no traced array."""
    ids = {id(h) for h in written}
    for value, handle in zip(given, handles, strict=True):
        if type(value) is not Array and id(handle) in ids:
            raise TraceError(
                f"cond: a branch writes to an operand that is not traced, a {type(value).__name__}",
                place=user_frame(),
                why="the write would be lost",
                right="x = symflux.numpy.array(x)      # in the traced function",
            )


def _together(some: Sequence[Array], more: Sequence[Array]) -> list[Array]:
    known = {id(h) for h in some}
    return [*some, *(h for h in more if id(h) not in known)]


def _write(made: Node, written: Sequence[Array], start: int) -> None:
    """Let handles that a region writes to stand for its results from ``start`` on."""
    for i, handle in enumerate(written):
        handle.assign(item(made, start + i))


def _unify(first: _Body, second: _Body) -> list[bool]:
    """Convert the results of both branches to their common dtypes; returns which are weak."""
    weak = []
    for i, (a, b) in enumerate(zip(first.outputs, second.outputs, strict=True)):
        if a.shape != b.shape:
            raise ShapeError(
                f"cond: both branches must return the same shapes, got {a.type} and {b.type}",
                place=user_frame(),
                right="np.broadcast_to in one branch, or np.zeros_like of the other's result",
            )
        dtype, is_number = _common(a, first.weak[i], b, second.weak[i])
        first.outputs[i], second.outputs[i] = cast(a, dtype), cast(b, dtype)
        weak.append(is_number)
    return weak


def switch(index: Any, branches: Sequence[Callable[..., Any]], operands: Sequence[Any]) -> Any:
    """Branch number ``index`` (clamped to the branches there are), as nested conds."""
    if callable(branches) or not branches:
        raise ArgumentError(
            "switch needs a list of functions, at least one",
            place=user_frame(),
            right="sf.switch(i, [lambda: a, lambda: b])",
        )
    if len(branches) == 1:
        return branches[0](*operands)
    middle = len(branches) // 2
    number = as_node(index)
    number = cast(number, "i64") if number.dtype == "bool" else number
    below = Array(lookup("lt")(number, constant(middle, number.dtype)))
    rest = Array(lookup("sub")(number, constant(middle, number.dtype)))
    return cond(
        below,
        lambda *xs: switch(index, branches[:middle], xs),
        lambda *xs: switch(rest, branches[middle:], xs),
        operands,
    )


def scan(
    body: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    what: str = "scan",
    indexed: bool = False,
) -> tuple[Any, Any]:
    """``carry, y = body(carry, x)`` for each element; returns the last carry and the stacked ys."""
    nodes, structure, weak = _flatten(init)
    sequences, sequence_structure, _ = _flatten(xs)
    lengths = {n.shape[0] if n.shape else None for n in sequences}
    if None in lengths or len(lengths) > 1:
        raise ShapeError(
            f"{what}: the sequences must share the extent of their first axis, got "
            + ", ".join(str(n.type) for n in sequences),
            place=user_frame(),
            right="x[:n]                # of one length; what is the same for all: outside of xs",
        )
    if length is None:
        if not lengths:
            raise ArgumentError(
                f"{what} needs xs or a length",
                place=user_frame(),
                right="sf.scan(body, init, length=3)",
            )
        length = lengths.pop()
    elif lengths and lengths != {length}:
        raise ShapeError(f"{what}: length is {length}, xs have {lengths.pop()}", place=user_frame())
    assert length is not None
    elements = [ArrayType(n.shape[1:], n.dtype) for n in sequences]

    def traced(number: Any, carry: Any, x: Any) -> Any:
        if indexed:
            note_span(number.node, 0, length - 1)
        result = body(number, carry) if indexed else body(carry, x)
        if indexed:
            return result, None
        if not (isinstance(result, tuple) and len(result) == 2):
            raise ArgumentError(
                f"{what}: the body must return (carry, y)",
                place=user_frame(),
                wrong="return carry",
                right="return carry, None                # nothing to be stacked",
            )
        return result

    traced.__name__ = getattr(body, "__name__", what)
    state = _Carry(nodes, structure, weak)
    while True:
        recorded = _Body(
            traced,
            [tree.flatten(0)[1], structure, sequence_structure],
            [ArrayType((), "i64"), *state.types, *elements],
            [indexed, *state.weak, *[False] * len(elements)],
            what,
            state=state.written,
        )
        carry_structure, y_structure = recorded.structure.children
        if state.settled(what, recorded, carry_structure):
            break
    count, kept, first = len(nodes), len(state.written), 1 + len(nodes) + len(elements)
    carries = [*_converted(recorded.outputs[:count], state.types), *recorded.stored]
    ins = recorded.inputs
    made = scan_op(
        *state.first(),
        *(h.node for h in state.written),
        *sequences,
        *recorded.consts,
        body=Graph(
            recorded.name,
            (*ins[: 1 + count], *ins[first : first + kept], *ins[1 + count : first],
             *ins[first + kept :]),
            (*carries, *recorded.outputs[count:]),
        ),
        length=length,
        carry=count + kept,
        consts=len(recorded.consts),
        reverse=reverse,
    )  # fmt: skip
    _write(made, state.written, count)
    return _pack(made, structure, weak=state.weak), _pack(made, y_structure, count + kept)


class _Carry:
    """The types of a loop's carry: widened, and the body traced again, until they hold for what
    the body returns too. The arrays of the surrounding function that the body writes to are
    carried as well: ``written``."""

    def __init__(
        self, nodes: Sequence[Node], structure: tree.TreeDef, weak: Sequence[bool]
    ) -> None:
        self.nodes = nodes
        self.numbers = list(weak)  # which came in as Python numbers
        self.structure = structure
        self.types = [n.type for n in nodes]
        self.weak = list(weak)
        self.written: list[Array] = []

    def settled(self, what: str, body: _Body, found: tree.TreeDef) -> bool:
        """Whether the trace with these types serves; widens them.

        Raises:
            ArgumentError, ShapeError: if the body returns another structure or shape.
        """
        _check_carry(what, self.structure, found, self.types, body.outputs)
        again = False
        for i, (init, was, y) in enumerate(zip(self.nodes, self.types, body.outputs, strict=False)):
            dtype, weak = _met(init, self.numbers[i], y, body.weak[i])
            dtype, weak = self._joined(i, dtype, weak)
            again = again or dtype != was.dtype
            if weak != self.weak[i]:
                # As NumPy's scalar from the second iteration on: it differs where it meets bools
                # or narrower dtypes.
                again = again or not body.is_wide() or was.dtype == "bool"
            self.types[i], self.weak[i] = ArrayType(was.shape, dtype), weak
        # With other types there may be nothing to refuse.
        written = [h for h in body.written if not (again and is_failure(h))]
        again = again or len(written) > len(self.written)
        self.written = written
        return not again

    def first(self) -> list[Node]:
        """What the carry starts as, in the types that were found.

        Raises:
            RangeError: for a Python integer that does not fit.
        """
        return [
            adapted(_key(x.dtype, weak), x, t.dtype)
            for x, weak, t in zip(self.nodes, self.numbers, self.types, strict=True)
        ]

    def _joined(self, i: int, dtype: str, weak: bool) -> tuple[str, bool]:
        key = joined([_key(self.types[i].dtype, self.weak[i]), _key(dtype, weak)])
        return STORED.get(key, key), key in STORED


def _check_carry(
    what: str,
    structure: tree.TreeDef,
    found: tree.TreeDef,
    types: Sequence[ArrayType],
    outputs: Sequence[Node],
) -> None:
    if found != structure:
        raise ArgumentError(
            f"{what}: the body must return a carry of the structure it came in: {structure}, "
            f"got {found}",
            place=user_frame(),
            right="return carry         # as it came in: the same containers, keys and lengths",
        )
    for t, y in zip(types, outputs, strict=False):
        if t.shape != y.shape:
            raise ShapeError(
                f"{what}: the carry came in as {t} and is returned as {y.type}",
                place=user_frame(),
                right="an initial carry of the shape that the body returns",
            )


def fori_loop(lower: Any, upper: Any, body: Callable[[Any, Any], Any], init: Any) -> Any:
    """``for i in range(lower, upper): carry = body(i, carry)``; returns the last carry."""
    if isinstance(lower, int) and isinstance(upper, int):
        shifted = (lambda i, carry: body(i + lower, carry)) if lower else body
        carry, _ = scan(shifted, init, None, max(upper - lower, 0), what="fori_loop", indexed=True)
        return carry
    start, end = _bound(lower), _bound(upper)

    def step(state: Any) -> Any:
        i, carry = state
        return i + 1, body(i, carry)

    state = while_loop(lambda s: s[0] < Array(end), step, (Array(start, weak=True), init))
    return state[1]


def _bound(value: Any) -> Node:
    """A bound of a loop, an integer as ``range`` wants it."""
    node = as_node(value)
    if node.shape != () or node.dtype[0] not in "iub":
        raise DTypeError(
            f"fori_loop: the bounds must be integers, got {node.type}",
            place=user_frame(),
            wrong="sf.fori_loop(0, n / 2, body, init)",
            right="sf.fori_loop(0, n // 2, body, init)",
        )
    return cast(node, "i64")


def while_loop(test: Callable[[Any], Any], body: Callable[[Any], Any], init: Any) -> Any:
    """``while test(carry): carry = body(carry)``; returns the last carry."""
    nodes, structure, weak = _flatten(init)
    state = _Carry(nodes, structure, weak)
    recorded = _settled_body(body, state)
    tested = _tested(test, state)
    written = _written_by_test(tested, state)
    if written and all(is_failure(h) for h in written):
        # A condition returns nothing but whether to go on: what it may have to refuse is found out
        # once more where the body begins, and behind the loop.
        def checked(carry: Any) -> Any:
            test(carry)
            return body(carry)

        checked.__name__ = getattr(body, "__name__", "while_loop")
        recorded = _settled_body(checked, state)
        tested = _tested(test, state)
    elif written:
        raise UnsupportedOperation(
            "while_loop: the condition writes to an array of the surrounding function",
            place=user_frame(),
            right="the write in the body, the array as part of what the loop carries",
        )
    tested.stored = []
    if len(tested.outputs) != 1 or tested.outputs[0].shape != ():
        raise ShapeError(
            "while_loop: the condition must return one scalar bool, got "
            + ", ".join(str(y.type) for y in tested.outputs),
            place=user_frame(),
            right="np.any(x > tolerance), or np.all",
        )
    if tested.outputs[0].dtype != "bool":
        tested.outputs[0] = lookup("ne")(tested.outputs[0], constant(0, tested.outputs[0].dtype))
    for handle, x in zip(state.written, tested.inputs[len(nodes) :], strict=False):
        if is_failure(handle):  # the numbers that follow an error need not end the loop
            fine = lookup("eq")(x, constant(0, x.dtype))
            tested.outputs[0] = lookup("and")(tested.outputs[0], fine)
    count = len(nodes) + len(state.written)
    made = while_op(
        *state.first(),
        *(h.node for h in state.written),
        *recorded.consts,
        *tested.consts,
        test=tested.graph([*tested.inputs[:count], *recorded.unused(), *tested.inputs[count:]]),
        body=recorded.graph([*recorded.inputs, *tested.unused()]),
        consts=len(recorded.consts) + len(tested.consts),
    )
    _write(made, state.written, len(nodes))
    result = _pack(made, structure, weak=state.weak)
    if written:
        test(result)
    return result


def _settled_body(body: Callable[[Any], Any], state: _Carry) -> _Body:
    """The body of a while loop, recorded for the types of its carry, which are found here."""
    while True:
        recorded = _Body(
            body, [state.structure], state.types, state.weak, "while_loop", state=state.written
        )
        if state.settled("while_loop", recorded, recorded.structure):
            break
    recorded.outputs[:] = _converted(recorded.outputs, state.types)
    return recorded


def _tested(test: Callable[[Any], Any], state: _Carry) -> _Body:
    """The condition of a while loop, recorded."""
    return _Body(
        test, [state.structure], state.types, state.weak, "while_test", state=state.written
    )


def _written_by_test(tested: _Body, state: _Carry) -> list[Array]:
    """The arrays of the surrounding function that a loop's condition writes to."""
    known = len(state.written)
    before = tested.inputs[len(state.nodes) :]
    pairs = zip(tested.written[:known], tested.stored, before, strict=False)
    return [*(h for h, y, x in pairs if y is not x), *tested.written[known:]]


def map_(fn: Callable[..., Any], xs: Any) -> Any:
    """``fn`` of each element along the first axis, one after the other; results stacked."""
    return scan(lambda carry, x: (carry, fn(x)), (), xs, what="map")[1]
