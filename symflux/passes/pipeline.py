"""The passes over graphs: one visible list, its order checked, and the runner.

A pass is a function from graph to graph that keeps the meaning. ``after`` names the passes that
must stand before it in the list.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias

from ..ir.graph import Graph
from ..ir.node import Node
from ..ir.origin import exchange
from ..ir.verify import verify
from ..ir.walk import rewrite as rebuild_all
from ..records import field, record
from ..thresholds import thresholds
from .algebra import ALGEBRA
from .bodies import has_graphs, map_attributes
from .contractions import CONTRACTIONS
from .dead import remove_dead
from .fold import FOLD
from .gather import GATHER
from .index_maps import INDEX_MAPS
from .rewrite import Law, Laws, NodeClass, most_nodes, rewrite
from .short_sums import SHORT_SUMS
from .stable import MEANS, ONES, STABLE

__all__ = [
    "PASSES", "Observer", "Options", "Pass", "VerifyLevel", "checked", "laws", "optimize",
]  # fmt: skip

#: When the runner verifies: not at all, the final graph, or the graph after each pass.
VerifyLevel: TypeAlias = Literal["none", "end", "each"]
#: Called with (pass, graph before, graph after, seconds) when a pass changed something.
Observer: TypeAlias = Callable[["Pass", Graph, Graph, float], None]


@record(frozen=True)
class Options:
    """What a pass may ask of the runner.

    Attributes:
        fast: whether laws that are equal in real numbers only are welcome.
        optimize: runs all passes on another graph (the body of a region).
        most: nodes that the graph may grow to (None: what ``most_nodes`` grants at each pass).
        report: is told what a pass did not do, for those who look for the reason.
        classes: which laws may hold for the nodes met so far.
    """

    fast: bool
    optimize: Callable[[Graph], Graph]
    most: int | None = None
    report: Callable[[str], None] | None = None
    classes: dict[int, NodeClass] = field(default_factory=dict)


@record(frozen=True)
class Pass:
    """A step of the compiler.

    ``run(graph, options)`` gives an equal graph, the same object when there is nothing to do. When
    a pass that ``repeats`` changes the graph, all passes run again."""

    name: str
    run: Callable[[Graph, Options], Graph]
    after: tuple[str, ...] = ()
    repeats: bool = False


def checked(passes: Iterable[Pass]) -> tuple[Pass, ...]:
    """The passes as a tuple.

    Raises:
        ValueError: if a name occurs twice, or a pass stands before one that it must follow.
    """
    result = tuple(passes)
    seen: set[str] = set()
    for p in result:
        missing = [name for name in p.after if name not in seen]
        if missing:
            raise ValueError(f"pass {p.name} must stand after {', '.join(missing)}")
        if p.name in seen:
            raise ValueError(f"pass {p.name} stands in the list twice")
        seen.add(p.name)
    return result


def laws(
    name: str,
    new: Sequence[Law],
    settled: Sequence[Law] = (),
    after: tuple[str, ...] = (),
    unify: bool = True,
) -> Pass:
    """A pass that applies ``new`` laws, and the ``settled`` ones to what it makes.

    With ``unify``, it also makes x * y and y * x one value."""
    tables = {
        fast: (Laws(new, fast, unify), Laws(settled, fast) if settled else None)
        for fast in (False, True)
    }

    def run(graph: Graph, options: Options) -> Graph:
        outputs = rewrite(
            graph.outputs,
            *tables[options.fast],
            order=graph.nodes,
            classes=options.classes,
            most=options.most,
            report=options.report,
        )
        return _with_outputs(graph, outputs)

    return Pass(name, run, after)


def _with_outputs(graph: Graph, outputs: Sequence[Node]) -> Graph:
    """The graph with other outputs; the same object when they are the same nodes."""
    made = tuple(outputs)
    if made == graph.outputs:
        return graph
    return Graph(graph.name, graph.inputs, made, graph.output_names)


MAPS: tuple[Law, ...] = (*INDEX_MAPS, *CONTRACTIONS, *GATHER)

PASSES: tuple[Pass, ...] = checked(
    (
        # before parts are taken and elements moved, by which the expressions are hard to know
        laws("stable forms as written", (*ONES, *STABLE, *MEANS), unify=False),
        laws("fold", FOLD, after=("stable forms as written",), unify=False),
        laws("algebra", ALGEBRA, FOLD, after=("fold",)),
        laws("index maps", MAPS, (*FOLD, *ALGEBRA), after=("algebra",)),
        laws("stable forms", STABLE, (*FOLD, *ALGEBRA, *MAPS), after=("index maps",)),
        laws("short sums", SHORT_SUMS, (*FOLD, *ALGEBRA, *MAPS), after=("stable forms",)),
        Pass("dead", lambda graph, _: remove_dead(graph), repeats=True),
        Pass("bodies", lambda graph, options: map_regions(graph, options.optimize),
             after=("dead",), repeats=True),
    )
)  # fmt: skip


def optimize(
    graph: Graph,
    *,
    fast: bool = False,
    verify_level: VerifyLevel = "none",
    observers: Sequence[Observer] = (),
    passes: Sequence[Pass] = PASSES,
    report: Callable[[str], None] | None = None,
) -> Graph:
    """An equal graph that is cheaper and numerically at least as good.

    Args:
        graph: of any size; it is not changed.
        fast: also apply laws that are equal in real numbers only.
        verify_level: when to check the invariants of graphs: ``"none"``, ``"end"`` or ``"each"``.
        observers: called with (pass, before, after, seconds) for each pass that changed the graph;
            those of region bodies too.
        passes: what to run, in order.
        report: is told where a pass stopped early: a graph never grows beyond a budget, and laws
            that undo each other leave it as it was.

    Raises:
        GraphVerifyError: when a pass broke the graph.

    >>> from symflux.ir import Graph, symbol
    >>> from symflux.ops import exp, log
    >>> x = symbol("x", (3,))
    >>> print(optimize(Graph("f", (x,), (log(exp(x) * 1.0 + 1.0),))))
    graph f(x: f64[3]) -> f64[3]
      %0 = softplus x   : f64[3]
      return %0
    """
    done: dict[Graph, Graph] = {}

    def inner(body: Graph) -> Graph:  # recursion over nested regions only
        if body not in done:
            result = everything(body)
            done[body] = done[result] = result
        return done[body]

    def everything(graph: Graph) -> Graph:
        options = Options(fast, inner, most_nodes(len(graph.nodes)), report, classes)
        for _ in range(thresholds.pass_rounds):
            again = False
            for p in passes:
                before = graph
                start = time.perf_counter()
                graph = p.run(before, options)
                if graph is before:
                    continue
                again = again or p.repeats
                if verify_level == "each":
                    verify(graph)
                for observer in observers:
                    observer(p, before, graph, time.perf_counter() - start)
            if not again:
                break
        return graph

    classes: dict[int, NodeClass] = {}
    result = everything(graph)
    return result if verify_level == "none" else verify(result)


def map_regions(graph: Graph, function: Callable[[Graph], Graph]) -> Graph:
    """The graph with ``function`` applied to every graph among the attributes of its nodes."""
    if not any(has_graphs(node) for node in graph.nodes):
        return graph
    before = exchange()
    try:
        return _with_outputs(
            graph, rebuild_all(graph.outputs, lambda node: map_attributes(node, function))
        )
    finally:
        exchange(before)
