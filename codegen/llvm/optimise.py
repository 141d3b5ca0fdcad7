"""LLVM module text through LLVM's passes, at a level chosen by what the module holds.

The pipeline is LLVM's own for O1, with its vectorisers, and without speculative loop unrolling:
loops that should be unrolled say so (mode ``unroll``). Higher levels cost compile time and gave
nothing measurable on code of this shape (no calls to inline, no pointers to chase).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import llvmlite.binding as binding

from .machine import Machine

__all__ = ["Options", "optimise", "parse"]


@dataclass(frozen=True, slots=True)
class Options:
    """How much effort to spend: ``level`` of the passes, of the code generator, and vectorisers."""

    level: int = 1
    code_level: int = 2
    vectorise_loops: bool = True
    vectorise_straight_lines: bool = False


def parse(text: str, machine: Machine, context: Any) -> Any:
    """Parse and verify module text into ``context``; a RuntimeError shows LLVM's complaint."""
    module = binding.parse_assembly(text, context)
    module.triple = machine.triple
    module.data_layout = machine.layout
    return module


def optimise(module: Any, target_machine: Any, options: Options) -> None:
    """Run the passes over a module, in place."""
    tuning = binding.create_pipeline_tuning_options(options.level)
    tuning.loop_vectorization = options.vectorise_loops
    tuning.loop_interleaving = options.vectorise_loops
    tuning.slp_vectorization = options.vectorise_straight_lines
    tuning.loop_unrolling = False
    builder = binding.create_pass_builder(target_machine, tuning)
    passes = builder.getModulePassManager()
    try:
        passes.run(module, builder)
    finally:
        # ModulePassManager inherits a close() that frees nothing (ObjectRef comes first in its
        # bases), so its memory is released here.
        binding.newpassmanagers.NewPassManager._dispose(passes)
        passes.detach()
