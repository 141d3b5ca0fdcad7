"""A graph: named inputs and outputs over nodes; a pure function."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from ..records import field, record
from .node import Node
from .walk import substitute, topological

__all__ = ["Graph"]


@record(frozen=True, eq=False)
class Graph:
    """``outputs`` as a function of ``inputs`` (nodes of op ``input``).

    Every ``input`` node that an output depends on is among ``inputs``. Graphs are compared by
    structure (the canonical text), so that a graph can be an attribute of a region op.
    """

    name: str
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    output_names: tuple[str, ...] = field(default=())

    @cached_property
    def nodes(self) -> list[Node]:
        """All nodes in topological order; inputs that no output needs come first."""
        return topological((*self.inputs, *self.outputs))

    @cached_property
    def canonical(self) -> str:
        """The text with nodes numbered in order: equal for structurally equal graphs."""
        from .text import print_graph

        return print_graph(self, canonical=True)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Graph) and self.canonical == other.canonical)

    def __hash__(self) -> int:
        return hash(self.canonical)

    def __str__(self) -> str:
        from .text import print_graph

        return print_graph(self)

    def __repr__(self) -> str:
        return str(self)

    def call(self, arguments: Sequence[Node]) -> list[Node]:
        """The outputs with the inputs replaced by ``arguments`` (inlining)."""
        if len(arguments) != len(self.inputs):
            raise ValueError(
                f"{self.name} takes {len(self.inputs)} arguments, not {len(arguments)}"
            )
        mapping: Mapping[Node, Node] = dict(zip(self.inputs, arguments, strict=True))
        return substitute(self.outputs, mapping)

    def to_sympy(self) -> Any:
        """The outputs as SymPy expressions (a list for several); for scalars and small arrays.

        Arrays become SymPy arrays; inputs become symbols ``x`` or ``x[i, j]``.
        """
        return _interop("sympy").to_sympy(self)

    def latex(self) -> str:
        """The outputs as LaTeX, by way of :meth:`to_sympy`."""
        return _interop("sympy").latex(self)


def _interop(name: str) -> Any:
    """A bridge to another library: a layer above this one, loaded by name and only when asked
    for."""
    return importlib.import_module(f"symflux.interop.{name}")
