"""A function at every level, from the traced graph to assembly, to look at."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .. import config
from ..codegen.llvm.entry import Entry
from ..ir.graph import Graph

if TYPE_CHECKING:
    from ..codegen.cost import ProgramCost
    from .stages import Stages

__all__ = ["LEVELS", "Lowered", "Text", "report"]


class Text(str):
    """Text that shows itself, line by line, where Python would show a string with quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Lowered:
    """What a function was turned into for one signature. Each level prints well.

    Made by ``f.lower(*args)``.

    >>> import numpy as np, symflux as sf
    >>> def energy(x):
    ...     return np.sum(x * x)
    >>> low = sf.compile(energy).lower(np.ones(4))
    >>> print(low.optimized)
    graph energy(x: f64[4]) -> f64
      %0 = mul x, x           : f64[4]
      %1 = sum %0 axes=(0,)   : f64
      return %1
    >>> low.cost.flops
    8
    """

    def __init__(self, stages: Stages, entry: Entry) -> None:
        self.stages = stages
        self._entry = entry

    @property
    def graph(self) -> Graph:
        """The graph as traced."""
        return self.stages.graph

    @property
    def optimized(self) -> Graph:
        """The graph after the graph passes."""
        return self.stages.optimized

    @cached_property
    def kernels(self) -> Text:
        """The loops, after the loop passes."""
        from ..codegen.text import print_program  # printers are loaded when something is printed

        return Text(print_program(self.stages.program))

    @cached_property
    def llvm_ir(self) -> Text:
        """LLVM IR as generated."""
        return Text(self._entry.llvm_ir)

    @cached_property
    def llvm_optimized(self) -> Text:
        """LLVM IR after LLVM's passes."""
        return Text(self._entry.llvm_optimized)

    @cached_property
    def asm(self) -> Text:
        """Assembly for this machine."""
        return Text(self._entry.asm)

    @cached_property
    def cost(self) -> ProgramCost:
        """Operations, bytes moved and memory, by kernel."""
        from ..codegen.cost import program_cost

        return program_cost(self.stages.program)

    def origins(self, optimized: bool = True) -> Text:
        """The graph with, for each line, the user's line and the derivative rule that it came
        from."""
        from ..ir.text import print_graph

        return Text(print_graph(self.optimized if optimized else self.graph, origins=True))

    def to_sympy(self) -> Any:
        """The optimised graph as SymPy expressions (graphs of scalars and small arrays)."""
        return self.optimized.to_sympy()

    def latex(self) -> str:
        """The optimised graph as LaTeX."""
        return self.optimized.latex()

    def __repr__(self) -> str:
        return f"<Lowered {self.graph.name}: {len(self.stages.program.kernels)} kernels>"


#: What can be shown of a function, in the order in which it comes about.
LEVELS: dict[str, Callable[[Lowered], str]] = {
    "graph": lambda low: str(low.graph),
    "optimized": lambda low: str(low.optimized),
    "origins": lambda low: low.origins(),
    "kernels": lambda low: low.kernels,
    "llvm": lambda low: low.llvm_ir,
    "llvm_optimized": lambda low: low.llvm_optimized,
    "asm": lambda low: low.asm,
    "cost": lambda low: str(low.cost),
    "latex": lambda low: low.latex(),
    "sympy": lambda low: str(low.to_sympy()),
}


def report(stages: Stages, entry: Entry) -> None:
    """Print to standard error what the settings ``dump`` and ``timing`` ask for."""
    name = stages.graph.name
    for level in config.names("dump", LEVELS):
        print(f"== {name}: {level}", file=sys.stderr)
        print(LEVELS[level](Lowered(stages, entry)).rstrip("\n"), file=sys.stderr)
    if config.get("timing"):
        steps = ", ".join(f"{step} {s * 1e3:.2f} ms" for step, s in stages.seconds.items())
        print(f"== {name}: {steps}", file=sys.stderr)
