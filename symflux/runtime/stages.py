"""From a graph to native code, keeping every level for inspection."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..codegen.ir import Program
from ..codegen.passes.pipeline import run_passes as run_loop_passes
from ..ir.graph import Graph
from ..lower.program import LoweredProgram, lower
from ..passes.pipeline import optimize

__all__ = ["Stages", "make_stages"]


@dataclass(frozen=True)
class Stages:
    """A graph at every level down to the loop program.

    Attributes:
        graph: as traced (or derived).
        optimized: after the graph passes.
        lowered: the buffer of each input and output.
        program: the loops, after the loop passes.
        donate: output position -> input position written in place.
        seconds: time spent in each step.
    """

    graph: Graph
    optimized: Graph
    lowered: LoweredProgram
    program: Program
    donate: Mapping[int, int]
    seconds: dict[str, float] = field(default_factory=dict)


def make_stages(graph: Graph, donate: Mapping[int, int] | None = None) -> Stages:
    """Optimise and lower a graph (everything before LLVM)."""
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    optimized = optimize(graph)
    middle = time.perf_counter()
    seconds["graph passes"] = middle - start
    lowered = lower(optimized, donate)
    after = time.perf_counter()
    seconds["lowering"] = after - middle
    program = run_loop_passes(lowered.program)
    seconds["loop passes"] = time.perf_counter() - after
    return Stages(graph, optimized, lowered, program, dict(donate or {}), seconds)
