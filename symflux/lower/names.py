"""The names of a program's buffers for a graph's inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.graph import Graph

__all__ = ["buffer_names", "unique"]


def buffer_names(
    graph: Graph, donate: Mapping[int, int]
) -> tuple[tuple[str, ...], tuple[str, ...], set[str]]:
    """The buffer of each input, that of each output (its input's where it is written in place), and
    all names taken."""
    taken: set[str] = set()
    inputs = tuple([unique(node["name"], taken) for node in graph.inputs])
    outputs = []
    for position in range(len(graph.outputs)):
        if position in donate:
            outputs.append(inputs[donate[position]])
        else:
            given = graph.output_names[position] if graph.output_names else f"out{position}"
            outputs.append(unique(given, taken))
    return inputs, tuple(outputs), taken


def unique(name: str, taken: set[str]) -> str:
    """``name`` as an identifier that is not among ``taken``, where it is entered."""
    base = "".join(c if c.isalnum() or c == "_" else "_" for c in name) or "x"
    base = f"x{base}" if base[0].isdigit() else base
    result, number = base, 1
    while result in taken:
        number += 1
        result = f"{base}_{number}"
    taken.add(result)
    return result
