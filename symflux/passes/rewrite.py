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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ..ir import origin as _origin
from ..ir.node import CONSTANT, Node, _intern
from ..ir.op import Kind, registered
from ..ir.types import ArrayType
from ..ir.walk import topological, use_counts
from .patterns import (
    NUMBERS,
    Applied,
    Environment,
    Number,
    Pattern,
    Variable,
    builder,
    constant_key,
    matcher,
    parse,
    variants,
)  # fmt: skip

__all__ = ["ANY", "Grade", "Law", "Laws", "Scope", "fit", "law", "rewrite", "rule"]

Grade: TypeAlias = Literal["exact", "accurate", "fast"]

#: In place of an op: no restriction.
ANY = None

#: What an input must be: the name of an op, a kind, ``"literal"`` (scalar constant), the text of
#: one of the pattern numbers, or ANY.
Filter: TypeAlias = str | Kind | None


@dataclass(frozen=True)
class Variant:
    """One way to match: the filters are checked through the table, then ``apply`` decides.

    ``inputs`` filters the first inputs in order, or is a predicate on the keys of all inputs."""

    head: str | Kind | None
    inputs: tuple[Filter, ...] | Callable[[Sequence[str]], bool]
    apply: Callable[[Node, Scope], Node | None]


@dataclass(frozen=True, eq=False)
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

    def ways() -> tuple[Variant, ...]:
        build = builder(parse(after)) if isinstance(after, str) else None
        return tuple(
            _pattern_variant(p, build, after, when, single) for p in variants(parse(before))
        )

    return Law(name or f"{before} = {after}", grade, dtypes, ways, pattern=before, domain=domain)


def _pattern_variant(pattern: Pattern, build: Any, after: Any, when: Any, single: str) -> Variant:
    assert isinstance(pattern, Applied)
    match = matcher(pattern)
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
        env: Environment = {}
        if not match(node, env) or (when is not None and not when(env)):
            return None
        if single and any(x.op.name == single and not scope.single(x) for x in node.inputs):
            return None
        if build is None:
            return after(env)
        return build(env, node.inputs[0].dtype)

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


class Laws:
    """A set of laws, asked by the ops of a node and its inputs. Compiled when first used."""

    def __init__(self, laws: Sequence[Law], fast: bool = False) -> None:
        self.laws = tuple(x for x in laws if fast or x.grade != "fast")
        self._entries: list[tuple[Law, Variant]] | None = None
        self._found: dict[Any, tuple[tuple[Law, Variant], ...]] = {}

    def candidates(self, node: Node) -> tuple[tuple[Law, Variant], ...]:
        """The laws that may hold for the node, in order."""
        inputs = node.inputs
        keys = tuple([constant_key(x) if x.op is CONSTANT else x.op.name for x in inputs])
        if len(keys) > 3:
            keys = tuple(sorted(set(keys)))
        name = node.op.name
        first = inputs[0].type if inputs else None
        letter = first.dtype[0] if type(first) is ArrayType else "-"
        key = (name, letter, keys, len(inputs) > 3)  # a set of keys is not the keys in order
        found = self._found.get(key)
        if found is None:
            found = self._find(name, letter, keys, len(inputs))
            self._found[key] = found
        return found

    def _find(
        self, name: str, letter: str, keys: tuple[str, ...], count: int
    ) -> tuple[tuple[Law, Variant], ...]:
        if self._entries is None:
            self._entries = [(x, variant) for x in self.laws for variant in x.ways()]
        return tuple(
            (x, variant)
            for x, variant in self._entries
            if _admits(variant.head, name)
            and (letter in x.dtypes or letter == "-")
            and _inputs_admit(variant, keys, count)
        )


def _admits(wanted: Filter, key: str) -> bool:
    if wanted is None or wanted == key:
        return True
    if isinstance(wanted, Kind):
        op = registered().get(key)
        return op is not None and op.kind is wanted
    return wanted == "literal" and (key in NUMBERS or key in ("constant", "nan"))


def _inputs_admit(variant: Variant, keys: tuple[str, ...], count: int) -> bool:
    if callable(variant.inputs):
        return variant.inputs(keys)
    if count > 3:  # keys are a sorted set then: positions are not known
        return True
    if len(variant.inputs) > count:
        return False
    return all(_admits(w, key) for w, key in zip(variant.inputs, keys, strict=False))


# --- the driver -----------------------------------------------------------------------------------


@dataclass
class Scope:
    """What a law may ask about the graph around its node."""

    outputs: Sequence[Node]
    order: Sequence[Node]
    _uses: dict[int, int] | None = field(default=None)

    def single(self, node: Node) -> bool:
        """Whether the node has at most one use (nodes made by laws count as such)."""
        if self._uses is None:
            self._uses = use_counts(self.order, self.outputs)
        return self._uses.get(node.id, 1) <= 1


def rewrite(outputs: Sequence[Node], laws: Laws, settled: Laws | None = None) -> list[Node]:
    """``outputs`` with ``laws`` applied to every node until none fires.

    Args:
        settled: the laws that hold already for the given nodes, and are only to be applied to nodes
            that this rewriting makes.

    Raises:
        RuntimeError: when laws undo each other without end; names them.
    """
    run = _Run(outputs, laws, settled)
    before = _origin.exchange()
    try:
        return run.all()
    finally:
        _origin.exchange(before)


class _Run:
    def __init__(self, outputs: Sequence[Node], laws: Laws, settled: Laws | None) -> None:
        self.outputs = outputs
        self.order = topological(outputs)
        self.laws = laws
        self.settled = settled
        self.scope = Scope(outputs, self.order)
        self.old = {node.id for node in self.order} if settled is not None else set()
        self.done: dict[int, Node] = {}
        self.forward: dict[int, Node] = {}
        self.swapped: dict[tuple[str, int, int], Node] = {}
        self.fuel = 100 * len(self.order) + 1000
        self.recent: list[str] = []

    def all(self) -> list[Node]:
        done = self.done
        candidates = self.laws.candidates
        changed = False
        for node in self.order:
            inputs = node.inputs
            if not inputs:
                done[node.id] = node
            elif candidates(node) or (changed and any(done[x.id] is not x for x in inputs)):
                if self.normalise(node) is not node:
                    changed = True
            else:
                done[node.id] = other = self.one_order(node) if node.op.commutative else node
                if other is not node:
                    changed = True
        return [done[node.id] for node in self.outputs]

    def normalise(self, node: Node) -> Node:
        """The normal form of the node, and of everything it depends on."""
        done, forward = self.done, self.forward
        stack = [node]
        limit = 20 * len(self.order) + 100_000
        while stack:
            if len(stack) > limit:  # a law's result contains the law's own left side
                raise RuntimeError(f"laws undo each other at {stack[-1]!r} and {stack[-2]!r}")
            top = stack[-1]
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
            if result is top:
                done[top.id] = top
                stack.pop()
            else:
                forward[top.id] = result
        return done[node.id]

    def step(self, node: Node) -> Node:
        """The node on normal inputs, or after one law; the node itself when it is normal."""
        done = self.done
        inputs = tuple([done[x.id] for x in node.inputs])
        if inputs != node.inputs:
            _origin.exchange(node.origin)
            return _intern(node.op, inputs, node.attrs)
        if node.op.commutative:
            other = self.one_order(node)
            if other is not node:
                return other
        for x, variant in self.laws.candidates(node):
            if (result := self.apply(x, variant, node)) is not None:
                return result
        if self.settled is not None and node.id not in self.old:
            for x, variant in self.settled.candidates(node):
                if (result := self.apply(x, variant, node)) is not None:
                    return result
        return node

    def one_order(self, node: Node) -> Node:
        """The first of x * y and y * x in this graph: they are one value."""
        name = node.op.name
        x, y = node.inputs
        return self.swapped.setdefault(
            (name, x.id, y.id) if x.id <= y.id else (name, y.id, x.id), node
        )

    def apply(self, x: Law, variant: Variant, node: Node) -> Node | None:
        _origin.exchange(node.origin)
        result = variant.apply(node, self.scope)
        if result is None:
            return None
        if result.type != node.type:
            if result.type.dtype != node.type.dtype:
                raise TypeError(f"law {x.name!r} turned {node.type} into {result.type}")
            result = fit(result, node.type)
        if result is node:
            return None
        self.relabel(result, node, x.name)
        self.fuel -= 1
        if self.fuel < 8:
            self.recent.append(x.name)
            if self.fuel < 0:
                raise RuntimeError(f"laws undo each other: {', '.join(dict.fromkeys(self.recent))}")
        return result

    def relabel(self, result: Node, node: Node, name: str) -> None:
        """Write the law's name into the origin of the nodes it made, unless a rule stands there."""
        origin = node.origin
        if origin is None or origin.rule:
            return
        made = _origin.Origin(origin.file, origin.line, origin.function, name)
        stack = [result]
        while stack:
            x = stack.pop()
            if x.origin is origin and x.id > node.id and x.id not in self.done:
                x.origin = made
                stack += x.inputs
