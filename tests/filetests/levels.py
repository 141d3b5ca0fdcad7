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


#: level -> its description; called when a file of that level runs, so imports stay apart
LEVELS: dict[str, Callable[[], Level]] = {"loops": loops}
