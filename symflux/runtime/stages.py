"""A function's graph and, when they are needed, all levels below it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .. import forking
from ..codegen.ir import Program
from ..ir.graph import Graph
from ..lower.names import buffer_names

if TYPE_CHECKING:
    from ..lower.program import LoweredProgram
    from .passes import Compiled

__all__ = ["Stages", "make_stages"]


class Stages:
    """A graph at every level down to the loop program, made when the first of them is asked for.

    Attributes:
        graph: as traced (or derived).
        donate: output position -> input position written in place.
        inputs, outputs: the names of their buffers.
        seconds: time spent in each step.

    Raises:
        GraphVerifyError, VerifyError: where the setting ``verify`` finds something.
    """

    def __init__(self, graph: Graph, donate: Mapping[int, int] | None = None) -> None:
        self.graph = graph
        self.donate: Mapping[int, int] = dict(donate or {})
        self.inputs, self.outputs, _ = buffer_names(graph, self.donate)
        self.seconds: dict[str, float] = {}
        self._made: Compiled | None = None
        self._lock = forking.lock()

    @property
    def optimized(self) -> Graph:
        """The graph after the graph passes."""
        return self.compiled.optimized

    @property
    def lowered(self) -> LoweredProgram:
        """The loops as they were lowered, and the buffer of each input and output."""
        return self.compiled.lowered

    @property
    def program(self) -> Program:
        """The loops after the loop passes."""
        return self.compiled.program

    @property
    def compiled(self) -> Compiled:
        """All levels; the settings that act on passes count when this is first asked for."""
        with self._lock:
            if self._made is None:
                from .passes import compile_graph  # the passes are loaded by the first compilation

                self._made = compile_graph(self.graph, self.donate, self.seconds)
            return self._made


def make_stages(graph: Graph, donate: Mapping[int, int] | None = None) -> Stages:
    """The levels of a graph, down to LLVM."""
    return Stages(graph, donate)
