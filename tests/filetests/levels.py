"""The levels of IR that file tests can speak of: how each is parsed, transformed and printed.

To add a level, add a function to ``LEVELS``. A ``Level`` has

  - ``parse`` and ``print``: text to IR and back;
  - ``actions``: what a file may ask for after ``# run:``, by name. An action takes IR and gives IR,
    which the next action takes or which is printed, or gives text, and then it is the last;
  - ``check``: called with the IR before and after the actions of a run (when they gave IR); raises
    if the two do not mean the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..fuzz import native, running


@dataclass(frozen=True)
class Level:
    parse: Callable[[str], Any]
    print: Callable[[Any], str]
    actions: dict[str, Callable[[Any], Any]]
    check: Callable[[Any, Any], None]


def loops() -> Level:
    """The loop IR. ``verify`` prints the verdict, ``execute`` what the interpreter computes, and
    ``native`` whether native code computes the same."""
    from symflux.codegen.passes import PASSES
    from symflux.codegen.text import parse_program, print_program
    from symflux.codegen.verify import VerifyError, verify

    def verdict(program):
        try:
            verify(program)
        except VerifyError as error:
            return f"{error}\n"
        return "accepted\n"

    def execute(program):
        verify(program)
        arrays = running.interpreted(program)
        return "".join(f"{name} = {array.tolist()}\n" for name, array in arrays.items())

    def native_agrees(program):
        verify(program)
        wrong, *_ = native.disagreements(program, native.native_arrays(program), runs=40)
        return "\n".join(wrong or ["agrees"]) + "\n"

    def same_meaning(before, after):
        verify(before)
        verify(after)
        for seed in range(3):
            wanted, got = running.interpreted(before, seed), running.interpreted(after, seed)
            assert not running.differences(wanted, got)

    actions = {each.name: each.run for each in PASSES.passes}
    actions |= {"passes": PASSES.run, "print": lambda program: program}
    actions |= {"verify": verdict, "execute": execute, "native": native_agrees}
    return Level(parse_program, print_program, actions, same_meaning)


def graphs() -> Level:
    """The graph. ``verify`` prints the verdict, ``evaluate`` what the interpreter computes."""
    from symflux.ir.text import parse_graph, print_graph
    from symflux.ir.verify import GraphVerifyError, verify
    from symflux.passes.pipeline import PASSES, Options, optimize
    from symflux.transform.evaluate import evaluate

    from ..fuzz import graphs as random_graphs
    from ..fuzz.test_graphs import differs

    def verdict(graph):
        try:
            verify(graph)
        except GraphVerifyError as error:
            return f"{error}\n"
        return "accepted\n"

    def execute(graph):
        arrays = evaluate(graph, random_graphs.arguments(graph, 0))
        return "".join(f"{array.tolist()}\n" for array in arrays)

    def same_meaning(before, after):
        verify(before)
        verify(after)
        assert not any(differs(before, after, seed) for seed in range(3))

    options = Options(fast=False, optimize=optimize)
    actions = {each.name: lambda graph, each=each: each.run(graph, options) for each in PASSES}
    actions |= {"optimize": optimize, "print": lambda graph: graph}
    actions |= {"optimize fast": lambda graph: optimize(graph, fast=True)}
    actions |= {"canonical": lambda graph: print_graph(graph, canonical=True) + "\n"}
    actions |= {"verify": verdict, "evaluate": execute}
    return Level(parse_graph, lambda graph: f"{print_graph(graph)}\n", actions, same_meaning)


#: level -> its description; called when a file of that level runs, so imports stay apart
LEVELS: dict[str, Callable[[], Level]] = {"loops": loops, "graph": graphs}
