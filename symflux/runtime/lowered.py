"""A function at every level, from the traced graph to assembly, to look at."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from ..codegen.cost import ProgramCost, program_cost
from ..codegen.llvm.pycall import Entry
from ..codegen.text import print_program
from ..ir.graph import Graph
from ..ir.text import print_graph
from .stages import Stages

__all__ = ["Lowered", "Text"]


class Text(str):
    """Text that shows itself, line by line, where Python would show a string with quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Lowered:
    """What a function was turned into for one signature. Each level prints well.

    Made by ``f.lower(*args)``.

    >>> import numpy as np, symflux as sf
    >>> low = sf.compile(lambda x: np.sum(x * x)).lower(np.ones(4))
    >>> print(low.optimized)
    graph lambda(x: f64[4]) -> f64
      %0 = mul x, x        : f64[4]
      %1 = sum %0 axes=(0,) : f64
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
        return program_cost(self.stages.program)

    def origins(self, optimized: bool = True) -> Text:
        """The graph with, for each line, the user's line and the derivative rule that it came from."""
        return Text(print_graph(self.optimized if optimized else self.graph, origins=True))

    def to_sympy(self) -> Any:
        """The optimised graph as SymPy expressions (graphs of scalars and small arrays)."""
        return self.optimized.to_sympy()

    def latex(self) -> str:
        """The optimised graph as LaTeX."""
        return self.optimized.latex()

    def __repr__(self) -> str:
        return f"<Lowered {self.graph.name}: {len(self.stages.program.kernels)} kernels>"
