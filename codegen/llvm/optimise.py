"""LLVM module text through LLVM's passes, at a level chosen by what the module holds.

The emitter writes vector code itself and the array compiler leaves nothing to simplify, so that
LLVM's optimisation pipelines find nothing to do: on kernels with exp, reductions, stencils and
products they cost two to three times the compile time for the same run time (the figures are in
the benchmarks). What is left is putting small functions into their callers, taking the stack
values of scalars apart, and joining blocks. Only a loop that could not be written in vectors still
asks for LLVM's vectoriser, and with it for LLVM's own pipeline.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import llvmlite.binding as binding
from llvmlite.binding import ffi

from ...records import record
from .halves import with_conversions
from .machine import Machine

__all__ = ["ModuleText", "Options", "optimise", "parse"]


@record(frozen=True, slots=True)
class Options:
    """How much effort to spend.

    ``vectorise``: run LLVM's pipeline for O2 with its loop vectoriser. ``code_level``: the effort
    of the code generator, 0 to 3; at 0 there are no passes before it either."""

    vectorise: bool = False
    code_level: int = 2


@record(frozen=True, slots=True)
class ModuleText:
    """A module as it was written, and how hard LLVM should work on it."""

    text: str
    options: Options


def parse(text: str, machine: Machine, context: Any, call: Callable[..., Any] | None = None) -> Any:
    """Parse and verify module text into ``context``; a RuntimeError shows LLVM's complaint.

    ``call`` is the library's function to use."""
    call = call or ffi.lib.LLVMPY_ParseAssembly
    with ffi.OutputString() as complaint:
        whole = with_conversions(text, machine)
        found = call(context, ctypes.c_char_p(whole.encode()), complaint)
        module = binding.ModuleRef(found, context)
        if complaint:
            module.close()
            raise RuntimeError(f"LLVM cannot read what was written:\n{complaint}")
    module.triple = machine.triple
    module.data_layout = machine.layout
    return module


def optimise(
    module: Any, target_machine: Any, options: Options, call: Callable[..., Any] | None = None
) -> None:
    """Run the passes over a module, in place; ``call`` is the library's function to use."""
    if options.code_level == 0:
        return
    tuning = binding.create_pipeline_tuning_options(2 if options.vectorise else 0)
    tuning.loop_vectorization = options.vectorise
    tuning.loop_interleaving = options.vectorise
    tuning.slp_vectorization = False
    tuning.loop_unrolling = False
    builder = binding.create_pass_builder(target_machine, tuning)  # serves one run only
    if options.vectorise:
        passes = builder.getModulePassManager()
    else:
        passes = binding.create_new_module_pass_manager()
        passes.add_always_inliner_pass()
        passes.add_global_dead_code_eliminate_pass()
        passes.add_sroa_pass()
        passes.add_simplify_cfg_pass()
    try:
        (call or ffi.lib.LLVMPY_RunNewModulePassManager)(passes, module, builder)
    finally:
        # ModulePassManager inherits a close() that frees nothing (ObjectRef comes first in its
        # bases), so its memory is released here.
        binding.newpassmanagers.NewPassManager._dispose(passes)
        passes.detach()
