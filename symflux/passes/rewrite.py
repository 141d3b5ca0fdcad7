"""The rewrite driver: named laws, applied bottom-up until none fires.

A law turns a node into an equal one. Each has a grade:

    exact      the same bits, for every input (a nan may be another nan)
    accurate   at least as accurate wherever the original result is finite and accurate; may turn a
               spurious inf or nan (overflow on the way) into the right value
    fast       equal in real numbers; only applied on request

The driver goes through a graph once, inputs before users. At each node it asks a table, by the op
of the node and of its inputs, which laws can match at all (for most nodes: none), and applies the
first that does; what a law returns is normalised in turn. The cost is linear in the nodes and the
laws fired.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from ..ir import origin as _origin
from ..ir.node import CONSTANT, Node, _intern
from ..ir.op import Kind, Op, registered
from ..ir.types import ArrayType
from ..ir.walk import topological
from ..records import record
from ..thresholds import thresholds
from .patterns import (
    NUMBERS,
    Applied,
    Builder,
    Environment,
    Matcher,
    Number,
    Pattern,
    Variable,
    builder,
    constant_key,
    heads,
    matcher,
    parse,
    variants,
)  # fmt: skip
from .uses import Uses

__all__ = ["ANY", "Grade", "Law", "Laws", "Scope", "fit", "law", "most_nodes", "rewrite", "rule"]

Grade: TypeAlias = Literal["exact", "accurate", "fast"]

#: In place of an op: no restriction.
ANY = None

#: What an input must be: the name of an op, a kind, ``"literal"`` (scalar constant), the text of
#: one of the pattern numbers, or ANY.
Filter: TypeAlias = str | Kind | None


@record(frozen=True)
class Variant:
    """One way to match: the filters are checked through the table, then ``apply`` decides.

    ``inputs`` filters the first inputs in order, or is a predicate on the keys of all inputs."""

    head: str | Kind | None
    inputs: tuple[Filter, ...] | Callable[[Sequence[str]], bool]
    apply: Callable[[Node, Scope], Node | None]


@record(frozen=True, eq=False)
class Law:
    """A named equality.

    Attributes:
        name: reads as ``before = after``.
        grade: see the top of this file.
        dtypes: first letters of the dtypes (of the first input) for which it holds.
        examples: texts of graphs on which it fires (laws given as patterns make their own).
        pattern: the left side, for laws that are given as patterns.
        domain: where an ``accurate`` law is better than what it replaces, and why it is right.
    """

    name: str
    grade: Grade
    dtypes: str
    ways: Callable[[], tuple[Variant, ...]]
    examples: tuple[str, ...] = ()
    pattern: str = ""
    domain: str = ""

    def __post_init__(self) -> None:
        _law_names.add(self.name)


_law_names: set[str] = set()


def law(
    before: str,
    after: str | Callable[[Environment], Node],
    *,
    grade: Grade = "exact",
    dtypes: str = "f",
    when: Callable[[Environment], bool] | None = None,
    single: str = "",
    name: str = "",
    domain: str = "",
) -> Law:
    """A law given as patterns (see ``patterns.py``).

    Args:
        before: the left side.
        after: the right side, or a function of the bound names that builds it.
        when: an additional condition on the bound names.
        single: the op of an inner node that must have no other user (otherwise the rewriting would
            add work, because the inner node would remain).
        name: of the law; needed when ``after`` is a function.
    """
    assert name or isinstance(after, str), "a law needs a name"

    build = _builder_of(after) if isinstance(after, str) else None

    found: list[tuple[Variant, ...]] = []  # a law stands in several tables

    def ways() -> tuple[Variant, ...]:
        if not found:
            patterns = variants(parse(before))
            found.append(tuple(_pattern_variant(p, build, after, when, single) for p in patterns))
        return found[0]

    return Law(name or f"{before} = {after}", grade, dtypes, ways, pattern=before, domain=domain)


def _builder_of(after: str) -> Callable[[], Builder]:
    found: list[Builder] = []

    def of() -> Builder:
        if not found:
            found.append(builder(parse(after)))
        return found[0]

    return of


def _pattern_variant(pattern: Pattern, build: Any, after: Any, when: Any, single: str) -> Variant:
    """The variant; its matcher and builder are made when first used: few laws meet a node."""
    assert isinstance(pattern, Applied)
    matches: Matcher | None = None
    filters: list[Filter] = []
    for x in pattern.inputs:
        match x:
            case Applied(name):
                filters.append(name)
            case Number():
                filters.append(x.key)
            case Variable(_, literal):
                filters.append("literal" if literal else ANY)

    def apply(node: Node, scope: Scope) -> Node | None:
        nonlocal matches
        if matches is None:
            matches = matcher(pattern)
        env: Environment = {}
        if not matches(node, env) or (when is not None and not when(env)):
            return None
        if single and any(x.op.name == single and not scope.single(x) for x in node.inputs):
            return None
        if build is None:
            return after(env)
        return build()(env, node.inputs[0].dtype)

    return Variant(pattern.op, tuple(filters), apply)


def rule(
    name: str,
    head: str | Kind | None,
    inputs: tuple[Filter, ...] | Callable[[Sequence[str]], bool] = (),
    *,
    examples: str | tuple[str, ...],
    grade: Grade = "exact",
    dtypes: str = "biuf",
    domain: str = "",
) -> Callable[[Callable[[Node, Scope], Node | None]], Law]:
    """Decorator: a law given as a function of the node, which returns None where it does not hold.

    ``examples`` are graphs on which it fires: ``"inputs ; first node ; second node ..."`` in the
    notation of graph texts; the last node is the result."""

    def make(apply: Callable[[Node, Scope], Node | None]) -> Law:
        variant = Variant(head, inputs, apply)
        texts = (examples,) if isinstance(examples, str) else examples
        return Law(
            name, grade, dtypes, lambda: (variant,), texts, domain=domain or apply.__doc__ or ""
        )

    return make


def fit(result: Node, type_: ArrayType) -> Node:
    """``result``, broadcast where it is smaller than the type it must have."""
    if result.shape == type_.shape:
        return result
    return registered()["broadcast_to"](result, shape=type_.shape)


# --- the table ------------------------------------------------------------------------------------


Found: TypeAlias = tuple[tuple[Law, Variant], ...]


class NodeClass:
    """All nodes with the same op, dtype and kinds of inputs: the same laws may hold for them.

    ``keys`` says what the inputs are, in order: names of ops, and the keys of constants.
    Of more than three inputs it is the sorted set (``unordered``)."""

    __slots__ = ("found", "keys", "letter", "name", "unordered")

    def __init__(self, name: str, letter: str, keys: tuple[str, ...], unordered: bool) -> None:
        self.name = name
        self.letter = letter
        self.keys = keys
        self.unordered = unordered
        self.found: dict[int, Found] = {}  # by the number of the set of laws


_classes: dict[Any, NodeClass] = {}


def classify(node: Node) -> NodeClass:
    """The class of the node; few enough to be kept for ever."""
    inputs = node.inputs
    keys = tuple([constant_key(x) if x.op is CONSTANT else x.op.name for x in inputs])
    unordered = len(keys) > 3
    if unordered:
        keys = tuple(sorted(set(keys)))
    name = node.op.name
    first = inputs[0].type
    letter = first.dtype[0] if type(first) is ArrayType else "-"
    key = (name, letter, keys, unordered)
    found = _classes.get(key)
    if found is None:
        found = _classes[key] = NodeClass(name, letter, keys, unordered)
    return found


class Laws:
    """A set of laws, asked by the class of a node. Compiled when first used."""

    def __init__(self, laws: Sequence[Law], fast: bool = False, unify: bool = True) -> None:
        self.unify = unify  # whether x * y and y * x become one value
        self.laws = tuple(x for x in laws if fast or x.grade != "fast")
        self.number = next(_numbers)
        self._by_head: dict[tuple[str, str], list[tuple[Law, Variant]]] = {}
        self._heads: list[tuple[str, ...] | None] | None = None

    def of(self, kind: NodeClass) -> Found:
        """The laws that may hold for nodes of the class, in order."""
        found = kind.found.get(self.number)
        if found is None:
            found = kind.found[self.number] = tuple(
                (x, variant)
                for x, variant in self._headed(kind.name, kind.letter)
                if _inputs_admit(variant, kind)
            )
        return found

    def _headed(self, name: str, letter: str) -> list[tuple[Law, Variant]]:
        """The laws for a dtype that the op of that name can stand at the head of."""
        found = self._by_head.get((name, letter))
        if found is None:
            found = self._by_head[name, letter] = [
                (x, variant)
                for x in self._may_be_headed(name)
                if letter in x.dtypes or letter == "-"
                for variant in x.ways()
                if _admits(variant.head, name)
            ]
        return found

    def _may_be_headed(self, name: str) -> list[Law]:
        """The laws that an op of that name may stand at the head of, in order, by a look at their
        texts: patterns are parsed for ops that graphs have."""
        if self._heads is None:
            self._heads = [heads(x.pattern) if x.pattern else None for x in self.laws]
        pairs = zip(self.laws, self._heads, strict=True)
        return [x for x, found in pairs if found is None or name in found]


_numbers = itertools.count()


def _admits(wanted: Filter, key: str) -> bool:
    if wanted is None or wanted == key:
        return True
    if isinstance(wanted, Kind):
        op = registered().get(key)
        return op is not None and op.kind is wanted
    return wanted == "literal" and (key in NUMBERS or key in ("constant", "nan"))


def _inputs_admit(variant: Variant, kind: NodeClass) -> bool:
    if callable(variant.inputs):
        return variant.inputs(kind.keys)
    if kind.unordered:  # positions are not known
        return True
    if len(variant.inputs) > len(kind.keys):
        return False
    return all(_admits(w, key) for w, key in zip(variant.inputs, kind.keys, strict=False))


# --- the driver -----------------------------------------------------------------------------------


class Scope:
    """What a law may ask about the graph around its node."""

    __slots__ = ("_ops", "_run", "_summed")

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._summed: set[int] | None = None
        self._ops: set[str] | None = None

    def single(self, node: Node) -> bool:
        """Whether the node has at most one use in the graph as it stands."""
        return self._run.uses().single(node)

    def normal(self, node: Node) -> Node:
        """What the laws make of a node on inputs of this node, or anything computed on them."""
        before = _origin.exchange(node.origin)
        try:
            return self._run.normalise(node)
        finally:
            _origin.exchange(before)

    def has_op(self, *names: str) -> bool:
        """Whether the graph that was given has a node of one of these ops."""
        if self._ops is None:
            self._ops = {op.name for op in {x.op for x in self._run.order}}
        return not self._ops.isdisjoint(names)

    def is_summed(self, node: Node) -> bool:
        """Whether a reduction takes in the node, as it is or computed on element by element (not
        known of nodes made by laws)."""
        if self._summed is None:
            self._summed = set()
            for user in reversed(self._run.order):
                kind = user.op.kind
                if kind is Kind.REDUCTION or (kind is Kind.POINTWISE and user.id in self._summed):
                    self._summed.update([x.id for x in user.inputs])
        return node.id in self._summed


def rewrite(
    outputs: Sequence[Node],
    laws: Laws,
    settled: Laws | None = None,
    order: Sequence[Node] | None = None,
    classes: dict[int, NodeClass] | None = None,
    most: int | None = None,
    report: Callable[[str], None] | None = None,
) -> list[Node]:
    """``outputs`` with ``laws`` applied to every node until none fires.

    An optimiser never stops a program: laws that would make the graph larger than ``most`` nodes
    are not applied, and where laws undo each other without end ``outputs`` come back as they are.

    Args:
        order: all nodes in topological order, if known.
        classes: the classes of nodes by id, as far as earlier passes have found them; filled.
        settled: the laws that hold already for the given nodes, and are only to be applied to nodes
            that this rewriting makes.
        most: nodes of the result; by default what :func:`most_nodes` grants.
        report: is told what was not done, and which laws were at it.
    """
    nodes = topological(outputs) if order is None else order
    room = most_nodes(len(nodes)) if most is None else most
    run = _Run(outputs, laws, settled, nodes, {} if classes is None else classes, room)
    before = _origin.exchange()
    try:
        result = run.all()
    except _OutOfFuel:
        names = ", ".join(dict.fromkeys(run.recent))
        run.refused = f"laws undo each other, the graph stays as it was: {names}"
        result = list(outputs)
    finally:
        _origin.exchange(before)
    if run.refused and report is not None:
        report(run.refused)
    return result


def most_nodes(given: int) -> int:
    """How many nodes a graph of ``given`` nodes may have after all laws: some laws write one node
    as several that are cheaper or more accurate, none may do so without end."""
    return thresholds.graph_growth * given + thresholds.graph_extra


class _OutOfFuel(Exception):
    """So many steps that there is no hope for an end."""


class _Run:
    def __init__(
        self,
        outputs: Sequence[Node],
        laws: Laws,
        settled: Laws | None,
        order: Sequence[Node],
        classes: dict[int, NodeClass],
        most: int,
    ) -> None:
        self.outputs = outputs
        self.order = order
        self.classes = classes
        self.laws = laws
        self.settled = settled
        self.most = most
        self.scope = Scope(self)
        self.old = {node.id for node in order} if settled is not None else set()
        self.done: dict[int, Node] = {}
        self.forward: dict[int, Node] = {}
        self.swapped: dict[tuple[Op, Node, Node], Node] = {}
        self.fuel = thresholds.law_steps * (len(order) + 100)
        self.recent: deque[str] = deque(maxlen=6)
        self.refused = ""
        self._uses: Uses | None = None

    def uses(self) -> Uses:
        """How often nodes are used by now; counted when something changes, or somebody asks."""
        if self._uses is None:
            self._uses = Uses(self.order, self.outputs, self.current)
        return self._uses

    def current(self, node: Node) -> Node:
        """What stands for the node by now."""
        done, forward = self.done, self.forward
        while True:
            found = done.get(node.id)
            if found is None:
                found = forward.get(node.id)
            if found is None or found is node:
                return node
            node = found

    def all(self) -> list[Node]:
        """Every node in order. Most have no law that could hold: they are settled here."""
        done, classes, swapped = self.done, self.classes, self.swapped
        number, of, unify = self.laws.number, self.laws.of, self.laws.unify
        settled = self.settled
        made_by = -1 if settled is None else settled.number
        changed = False
        for node in self.order:
            inputs = node.inputs
            if not inputs:
                done[node.id] = node
                continue
            current = node
            if changed:
                normal = tuple([done[x.id] for x in inputs])
                if normal != inputs:
                    _origin.exchange(node.origin)
                    current = _intern(node.op, normal, node.attrs, node.type)  # laws keep types
                    counts = self.uses().counts
                    if current.id not in counts:
                        counts[current.id] = counts.pop(node.id, 1)
                    else:
                        self.uses().replace(node, current)
                    known = done.get(current.id)
                    if known is not None:
                        done[node.id] = known
                        continue
            kind = classes.get(current.id)
            if kind is None:
                kind = classes[current.id] = classify(current)
            found: Any = kind.found.get(number)
            if found is None:
                found = of(kind)
            if current is not node and settled is not None and not found:
                found = kind.found.get(made_by)
                if found is None:
                    found = settled.of(kind)
                found = found and current.id not in self.old
            if found:
                result = self.normalise(current)
            elif unify and current.op.commutative:
                x, y = current.inputs
                pair = (current.op, x, y) if x.id <= y.id else (current.op, y, x)
                result = done[current.id] = swapped.setdefault(pair, current)
                if result is not current:
                    self.uses().replace(current, result)
            else:
                result = done[current.id] = current
            done[node.id] = result
            if result is not node:
                changed = True
        return [done[node.id] for node in self.outputs]

    def on_normal_inputs(self, node: Node) -> Node:
        """The node on the normal forms of its inputs."""
        done = self.done
        inputs = tuple([done[x.id] for x in node.inputs])
        if inputs == node.inputs:
            return node
        _origin.exchange(node.origin)
        return _intern(node.op, inputs, node.attrs, node.type)  # laws keep types

    def normalise(self, node: Node) -> Node:
        """The normal form of the node, and of everything it depends on."""
        done, forward = self.done, self.forward
        stack = [node]
        while stack:
            top = stack[-1]
            self.fuel -= 1
            if self.fuel < 0:
                raise _OutOfFuel
            if top.id in done:
                stack.pop()
                continue
            target = forward.get(top.id)
            if target is not None:
                if target.id in done:
                    done[top.id] = done[target.id]
                    stack.pop()
                else:
                    stack.append(target)
                continue
            waiting = [x for x in top.inputs if x.id not in done]
            if waiting:
                stack += waiting
                continue
            result = self.step(top)
            if result is top or self.current(result) is top:
                done[top.id] = top
                stack.pop()
            else:
                forward[top.id] = result
        return done[node.id]

    def step(self, node: Node) -> Node:
        """The node on normal inputs, or after one law; the node itself when it is normal."""
        ready = self.on_normal_inputs(node)
        if ready is node and self.laws.unify and node.op.commutative:
            ready = self.one_order(node)
        if ready is not node:
            self.uses().replace(node, ready)
            return ready
        _origin.exchange(node.origin)
        if not node.inputs:
            return node
        kind = self.classes.get(node.id)
        if kind is None:
            kind = self.classes[node.id] = classify(node)
        if self.settled is not None and node.id not in self.old:
            for x, variant in self.settled.of(kind):
                if (result := self.apply(x, variant, node)) is not None:
                    return result
        for x, variant in self.laws.of(kind):
            if (result := self.apply(x, variant, node)) is not None:
                return result
        return node

    def one_order(self, node: Node) -> Node:
        """The first of x * y and y * x in this graph: they are one value."""
        x, y = node.inputs
        pair = (node.op, x, y) if x.id <= y.id else (node.op, y, x)
        return self.swapped.setdefault(pair, node)

    def apply(self, x: Law, variant: Variant, node: Node) -> Node | None:
        result = variant.apply(node, self.scope)
        if result is None:
            return None
        if result.type != node.type:
            if result.type.dtype != node.type.dtype:
                raise TypeError(f"law {x.name!r} turned {node.type} into {result.type}")
            result = fit(result, node.type)
        if result is node:
            return None
        uses = self.uses()
        if uses.replace(node, result) > 0 and uses.size > self.most:
            uses.replace(result, node)
            self.refused = f"laws are not applied that make the graph too large: {x.name}"
            return None
        self.relabel(result, node, x.name)
        self.recent.append(x.name)
        return result

    def relabel(self, result: Node, node: Node, name: str) -> None:
        """Write the law's name into the origin of nodes it made, but not over a derivative rule."""
        origin = node.origin
        if origin is None or (origin.rule and origin.rule not in _law_names):
            return
        made = _origin.Origin(origin.file, origin.line, origin.function, name)
        stack = [result]
        while stack:
            x = stack.pop()
            if x.origin is origin and x.id > node.id and x.id not in self.done:
                x.origin = made
                stack += x.inputs
