"""The elementary functions as scalar IR: one source for every target, computed in vectors.

Each function is written once, in ordinary operators, for ``f32`` and ``f64`` (``exp.py`` and the
files beside it; ``arithmetic.py`` says in what words). There are no calls, and what
differs between arguments is chosen by ``select``, so a loop around a function is a loop over plain
arithmetic that runs in vectors. Tables are so short that they fit into two registers. Arguments
that are rare (very large ones in sin, cos and tan, those that are no normal positive numbers in
logarithms and powers, those of exp whose result is no normal number, those of lgamma up to 1/2)
have code that is passed over unless some lane needs it. The largest errors and the speed are
measured in ``docs/mathlib.md``."""

from __future__ import annotations

import functools
import importlib

from ..ir import Block, Var
from ..scalars import SCALARS
from .arithmetic import Math, Writer

__all__ = ["FUNCTIONS", "function"]

_MODULES = {
    "error": ("erf", "erfc"),
    "exp": (
        "cosh", "exp", "exp2", "expm1", "sigmoid", "sigmoid_slope", "sinh", "tanh", "tanh_slope",
    ),
    "gamma": ("lgamma",),
    "inverse_trigonometry": ("arccos", "arcsin", "arctan", "arctan2"),
    "log": ("arccosh", "arcsinh", "arctanh", "log", "log1p", "log2", "log10"),
    "power": ("pow",),
    "trigonometry": ("cos", "sin", "tan"),
}  # fmt: skip

#: name -> the module that writes it, for every row of ``scalars.SCALARS`` with native="mathlib";
#: loading them all takes longer than writing one
FUNCTIONS = {name: module for module, names in _MODULES.items() for name in names}


@functools.cache
def function(name: str, dtype: str, permutes: bool = True) -> tuple[tuple[Var, ...], Block]:
    """The parameters of a mathematical function and the block that computes it, for a machine that
    ``permutes`` registers by an index or one that does not.

    ``dtype`` is ``f16`` (computed in f32), ``f32`` or ``f64``. The block holds Lets of operations
    that are instructions or intrinsics, Loads from constant tables, and where there are rare
    arguments Whiles of such statements; it yields one value of ``dtype``. KeyError for a name that
    is no function of this library.

    >>> (x,), block = function("expm1", "f64")
    >>> x.dtype, block.yields[0].dtype, {type(s).__name__ for s in block.statements}
    ('f64', 'f64', {'Let'})
    """
    module = importlib.import_module(f".{FUNCTIONS[name]}", __name__)
    write: Writer = getattr(module, name)
    m = Math("f32" if dtype == "f16" else dtype, permutes)
    parameters = tuple(m.argument(dtype) for _ in range(SCALARS[name].arity))
    if dtype != "f16":
        return parameters, m.block(write(m, *parameters))
    result = write(m, *(m.cast(x, "f32") for x in parameters))
    return parameters, m.block(m.cast(result, "f16"))
