"""SymFlux: trace NumPy code into an expression graph, differentiate it, compile it, look inside.

>>> import numpy as np, symflux as sf
>>> f = sf.compile(sf.grad(lambda x: np.sum(np.sin(x) * x)))
>>> f(np.array([0.0, np.pi]))
array([ 0.        , -3.14159265])
"""

from __future__ import annotations

import importlib
from typing import Any

from . import (
    checkout,  # noqa: F401  (first)
    numpy,
)
from .api import (
    compile,
    cond,
    fori_loop,
    function,
    grad,
    gradient,
    hessian,
    hvp,
    jacobian,
    jvp,
    map,
    scan,
    stop_gradient,
    switch,
    symbol,
    trace,
    value_and_grad,
    vjp,
    vmap,
    while_loop,
)
from .boundary import missing_name
from .config import warn_of_unknown_variables
from .errors import SymFluxError
from .frames import shorten
from .trace.param import Gradients, Param, Params, param, params, update
from .version import __version__ as __version__

#: Loaded when first used, so that ``import symflux`` stays quick.
_SUBMODULES = ("nn", "optim", "data", "testing", "interop", "inspect", "config", "errors", "tree")
_ELSEWHERE = {
    "train": "symflux.training",
    "training_step": "symflux.training",
    "from_sympy": "symflux.interop.sympy",
    "set_threads": "symflux.codegen.threads",
    "cache_info": "symflux.runtime.cache",
    "cache_clear": "symflux.runtime.cache",
}
#: Functions that NumPy lacks, offered at the top as well.
_FUNCTIONS = (
    "sigmoid", "relu", "softplus", "softmax", "log_softmax", "logsumexp", "erf", "erfc", "tanh",
)  # fmt: skip

__all__ = [
    "Gradients", "Param", "Params", "SymFluxError", "compile", "cond", "fori_loop", "function",
    "grad", "gradient", "hessian", "hvp", "jacobian", "jvp", "map", "numpy", "param", "params",
    "scan",
    "stop_gradient", "switch", "symbol", "trace", "update", "value_and_grad", "vjp", "vmap",
    "while_loop", *_ELSEWHERE, *_FUNCTIONS, *_SUBMODULES,
]  # fmt: skip


#: what other libraries call it
_HABITS = {
    "jit": "compile", "njit": "compile", "tensor": "param", "Tensor": "param",
    "Variable": "param", "parameter": "param", "Parameter": "param", "jacrev": "jacobian",
    "jacfwd": "jacobian", "while_": "while_loop", "lax": "scan, sf.cond, sf.while_loop",
    "no_grad": "stop_gradient(x)", "detach": "stop_gradient(x)", "sgd": "optim.Descent",
    "pmap": "vmap", "tree_map": "tree.map", "foreach": "map",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(numpy, name)
    if name in _ELSEWHERE:
        return getattr(importlib.import_module(_ELSEWHERE[name]), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"symflux.{name}")
    habits = {each: f"sf.{ours}" for each, ours in _HABITS.items()}
    try:
        raise missing_name("symflux", name, __all__, habits, "sf")
    except AttributeError as error:
        shorten(error)
        raise


def __dir__() -> list[str]:
    return sorted(__all__)


warn_of_unknown_variables()
