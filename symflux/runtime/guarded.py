"""What the setting ``guard`` makes of a compiled graph: calls on memory between guard pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import config
from ..codegen.llvm.guard import GuardedProgram, GuardError
from ..errors import VerifyError
from ..ir.types import numpy_dtype
from .stages import Stages

__all__ = ["guarded_call"]


def guarded_call(stages: Stages) -> Callable[..., tuple[Any, ...]]:
    """What a flat entry calls: all inputs in order; a tuple of the outputs not written in place.

    Raises:
        VerifyError: when called, if a result was not written whole or memory beside it was.
    """
    side = config.get("guard")
    program = GuardedProgram(stages.program, "start" if side == "start" else "end")
    graph = stages.graph
    made = [o for o in range(len(graph.outputs)) if o not in stages.donate]

    def call(*values: Any) -> tuple[Any, ...]:
        arrays = {n: np.asarray(v) for n, v in zip(stages.inputs, values, strict=True)}
        outputs = {
            stages.outputs[o]: np.empty(graph.outputs[o].shape, numpy_dtype(graph.outputs[o].dtype))
            for o in made
        }
        try:
            program.run(arrays | outputs)
        except GuardError as error:
            raise VerifyError(
                f"{graph.name}: its loops access memory wrongly",
                why=f"This is a fault of SymFlux, please report it: {error}",
                wrong=f"SYMFLUX_GUARD={side}",
                right="SYMFLUX_GUARD=0  # runs it all the same; compare its results with NumPy's",
            ) from None
        return tuple([outputs[stages.outputs[o]][()] for o in made])

    return call
