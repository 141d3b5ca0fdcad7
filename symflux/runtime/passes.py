"""From a graph to loops, through all passes; the settings act here."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

from .. import config
from ..codegen.ir import Program
from ..codegen.passes import pipeline as loop_pipeline
from ..errors import VerifyError
from ..ir.graph import Graph
from ..lower.program import LoweredProgram, lower
from ..passes import pipeline as graph_pipeline
from ..records import record

__all__ = ["PASS_NAMES", "Compiled", "compile_graph"]


@record(frozen=True)
class Compiled:
    """A graph after the graph passes, the loops it was lowered to, and those after the loop
    passes."""

    optimized: Graph
    lowered: LoweredProgram
    program: Program


def compile_graph(graph: Graph, donate: Mapping[int, int], seconds: dict[str, float]) -> Compiled:
    """Optimise and lower a graph (everything before LLVM); ``seconds`` gets the time of each step.

    The settings ``verify``, ``print_after`` and ``stop_after`` apply.
    """
    check = config.get("verify")
    shown = config.names("print_after", ("all", *PASS_NAMES))
    graph_passes, loop_passes = _passes()
    start = time.perf_counter()
    if check:
        from ..ir.verify import verify as verify_graph

        verify_graph(graph)
    optimized = graph_pipeline.optimize(
        graph,
        verify_level="each" if check else "none",
        observers=[_graph_printer(shown)] if shown else (),
        passes=graph_passes,
        report=_report if check or shown else None,
    )
    middle = time.perf_counter()
    seconds["graph passes"] = middle - start
    lowered = lower(optimized, donate)
    after = time.perf_counter()
    seconds["lowering"] = after - middle
    if check:
        from ..codegen.verify import verify as verify_program

        verify_program(lowered.program, prove=True)
    program = loop_passes.run(
        lowered.program, check=check, observer=_loop_printer(shown) if shown else None
    )
    done = time.perf_counter()
    seconds["loop passes"] = done - after
    level = "all" if check else config.get("prove")
    if level not in ("off", False):
        _prove(program, level in ("all", True))
        seconds["proofs"] = time.perf_counter() - done
    return Compiled(optimized, lowered, program)


def _prove(program: Program, strict: bool) -> None:
    """Refuse a program that reads what was not written, or memory that is not its own; with
    ``strict`` also one that is not proven not to. A program is not to blame where the search itself
    fails: it runs, unless ``strict``."""
    try:
        from ..codegen.proof import unproven

        problems = unproven(program)
    except Exception as error:
        if strict:
            raise
        if _debugging():
            _report(f"{program.name}: no proofs, their search ended with {error!r}")
        return
    refused = [p for p in problems if strict or p.wrong]
    if refused:
        raise VerifyError(
            f"{program.name}: its loops "
            + ("access" if any(p.wrong for p in refused) else "may access")
            + " memory wrongly",
            why="This is a fault of SymFlux, please report it:\n  "
            + "\n  ".join(str(problem) for problem in refused[:3]),
            wrong="SYMFLUX_PROVE=1" if strict else "SYMFLUX_PROVE=wrong (the default)",
            right="SYMFLUX_PROVE=0  # runs it all the same; compare its results with NumPy's",
        )
    if problems and _debugging():
        _report(f"{program.name}: {len(problems)} accesses not proven; the first: {problems[0]}")


def _debugging() -> bool:
    """Whether somebody reads what is said of compilations."""
    return bool(config.get("timing") or config.get("dump"))


_GRAPH_NAMES = tuple(p.name for p in graph_pipeline.PASSES)
_LOOP_NAMES = tuple(p.name for p in loop_pipeline.PASSES.passes)
#: All passes in the order in which they run.
PASS_NAMES = (*_GRAPH_NAMES, *_LOOP_NAMES)


def _passes() -> tuple[Sequence[graph_pipeline.Pass], loop_pipeline.Pipeline]:
    """The passes over graphs and over loops, up to the one that ``stop_after`` names."""
    found = config.names("stop_after", PASS_NAMES)
    if not found:
        return graph_pipeline.PASSES, loop_pipeline.PASSES
    last = found[-1]
    if last in _LOOP_NAMES:
        return graph_pipeline.PASSES, loop_pipeline.PASSES.until(last)
    return graph_pipeline.PASSES[: _GRAPH_NAMES.index(last) + 1], loop_pipeline.Pipeline(())


def _report(message: str) -> None:
    print(f"-- {message}", file=sys.stderr)


def _graph_printer(shown: Sequence[str]) -> graph_pipeline.Observer:
    def observer(step: graph_pipeline.Pass, before: Graph, after: Graph, seconds: float) -> None:
        if step.name in shown or "all" in shown:
            counts = f"{len(before.nodes)} nodes to {len(after.nodes)}"
            print(f"-- {step.name}: {counts}, {seconds * 1e3:.2f} ms", file=sys.stderr)
            print(after, file=sys.stderr)

    return observer


def _loop_printer(shown: Sequence[str]) -> loop_pipeline.Observer:
    show = loop_pipeline.print_changes(sys.stderr)

    def observer(step: loop_pipeline.Step) -> None:
        if step.name in shown or "all" in shown:
            show(step)

    return observer
