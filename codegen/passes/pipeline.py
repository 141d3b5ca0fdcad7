"""The passes over the loop IR as one list, and the runner that checks, times and reports them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from ...records import record
from ..ir import Program
from .block import block
from .hoist import hoist
from .pinpoint import pinpoint
from .share import share_contractions
from .simplify import simplify
from .temps import drop_temps

__all__ = ["PASSES", "Observer", "Pass", "Pipeline", "Step", "print_changes", "run_passes"]


@record(frozen=True, slots=True)
class Pass:
    """A function from Program to Program that keeps its meaning.

    It answers the same object when it has nothing to do. ``after`` names passes that must stand
    before it in a pipeline; ``follows`` names another such pass, and when that one changed nothing
    this one is skipped."""

    name: str
    run: Callable[[Program], Program]
    after: tuple[str, ...] = ()
    follows: str = ""


@record(frozen=True, slots=True)
class Step:
    """One pass that ran: the programs around it and the seconds it took (verifying not counted)."""

    name: str
    before: Program
    after: Program
    seconds: float

    @property
    def changed(self) -> bool:
        return self.after is not self.before


Observer = Callable[[Step], None]


class Pipeline:
    """Passes in the order in which they run.

    Raises ValueError when two passes share a name or one stands before a pass it must follow.

    >>> Pipeline((Pass("late", simplify, after=("early",)), Pass("early", simplify)))
    Traceback (most recent call last):
    ValueError: pass late must come after early
    """

    def __init__(self, passes: Sequence[Pass]) -> None:
        seen: set[str] = set()
        for each in passes:
            if each.name in seen:
                raise ValueError(f"two passes are named {each.name}")
            for earlier in (*each.after, *([each.follows] if each.follows else [])):
                if earlier not in seen:
                    raise ValueError(f"pass {each.name} must come after {earlier}")
            seen.add(each.name)
        self.passes = tuple(passes)

    def until(self, name: str) -> Pipeline:
        """The pipeline up to and including the pass ``name``. KeyError when there is none."""
        for n, each in enumerate(self.passes):
            if each.name == name:
                return Pipeline(self.passes[: n + 1])
        raise KeyError(f"no pass is named {name}: {', '.join(p.name for p in self.passes)}")

    def run(
        self, program: Program, *, check: bool = False, observer: Observer | None = None
    ) -> Program:
        """The program after all passes.

        ``check`` verifies the program first and again after every pass that changed it; the
        VerifyError's message then starts with the pass's name. Where proofs about memory hold at
        first, they have to hold after every pass. ``observer`` is called with a
        ``Step`` after each pass."""
        if check:
            from ..proof import unproven
            from ..verify import verify

            proven = not unproven(verify(program))
        idle: set[str] = set()
        for each in self.passes:
            if each.follows in idle:
                continue
            before = program
            start = time.perf_counter()
            program = each.run(program)
            step = Step(each.name, before, program, time.perf_counter() - start)
            if check and step.changed:
                from ..verify import VerifyError, verify

                try:
                    verify(program, prove=proven)
                except VerifyError as error:
                    rule = f"after pass {each.name}: {error.rule}"
                    raise VerifyError(rule, error.kernel, error.statement) from error
            if not step.changed:
                idle.add(each.name)
            if observer is not None:
                observer(step)
        return program


#: What every program goes through. ``combine`` shares what hoisting brought into one block.
PASSES = Pipeline(
    (
        Pass("simplify", simplify),
        Pass("hoist", hoist, after=("simplify",)),
        Pass("combine", simplify, follows="hoist"),
        Pass("pinpoint", pinpoint, after=("hoist",)),
        Pass("drop_temps", drop_temps, after=("combine",)),
        Pass("block", block, after=("hoist",)),
        Pass("share", share_contractions, after=("drop_temps",)),
    )
)


def run_passes(
    program: Program, *, verify: bool = False, observer: Observer | None = None
) -> Program:
    """The program after all of ``PASSES``; see ``Pipeline.run``.

    >>> from ..text import parse_program, print_program
    >>> kernel = "kernel k { %0 = add 1, 2 : i64 store y[1], %0 }"
    >>> program = parse_program(f"program p {{ buffer y : i64[2] output {kernel} }}")
    >>> print(print_program(run_passes(program, verify=True)), end="")
    program p {
      buffer y : i64[2] output
      kernel k {
        store y[1], 3
      }
    }
    """
    return PASSES.run(program, check=verify, observer=observer)


def print_changes(file: TextIO | None = None) -> Observer:
    """An observer that prints each pass's time and, of the kernels, only those that it changed."""

    def observer(step: Step) -> None:
        out = file or sys.stdout
        before = {id(kernel) for kernel in step.before.kernels}
        changed = [kernel for kernel in step.after.kernels if id(kernel) not in before]
        gone = len(step.before.buffers) - len(step.after.buffers)
        what = f"{len(changed)} of {len(step.before.kernels)} kernels changed"
        if gone:
            what += f", {gone} buffers gone"
        print(f"-- {step.name}: {what}, {step.seconds * 1e3:.2f} ms", file=out)
        for kernel in changed:
            from ..text import print_kernel

            print(print_kernel(kernel, step.after.sizes), end="", file=out)

    return observer
