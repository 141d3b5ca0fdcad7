"""NumPy's functions for traced and plain arrays: the same names, signatures and meaning.

Inside a traced function, functions of this namespace record nodes, also for plain arrays (which become
inputs of the graph, by reference) and for those that make arrays (``zeros``, ``arange``). Outside, given
plain arrays and numbers, they compute what NumPy computes. Besides NumPy's own there are ``sigmoid``,
``relu``, ``softplus``, ``softmax``, ``log_softmax``, ``logsumexp``, ``erf``, ``erfc``, ``lgamma`` and
``rsqrt``.

Plain NumPy functions work on traced arrays just as well (``numpy.sin(x)``): both read one table,
``trace/dispatch.py``. A name that graphs do not record, such as ``unique``, is NumPy's own here.

>>> import symflux.numpy as snp
>>> snp.sin(0.0), snp.relu([-1.0, 2.0])
(np.float64(0.0), array([0., 2.]))
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as _np

from ..trace import dispatch as _dispatch
from ..trace.array import Array as _Array
from ..trace.scope import is_tracing as _is_tracing
from . import create, elementwise, products, reduce, shape  # noqa: F401

_KINDS = (
    "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
    "float32", "float64", "pi", "e", "inf", "nan", "newaxis", "finfo", "iinfo", "result_type", "dtype",
    "ndarray", "can_cast", "promote_types", "isscalar", "euler_gamma",
)  # fmt: skip
#: functions that make arrays: inside a trace they make traced ones, whatever they are given
_MAKERS = frozenset(
    {"zeros", "ones", "empty", "full", "arange", "linspace", "eye", "identity", "array", "asarray",
     "fromfunction"}
)  # fmt: skip
_SCALARS = (bool, int, float, str, _np.generic, type(None))


def _is_traced(value: Any, tracing: bool) -> bool:
    """Whether an argument makes a call part of the graph."""
    cls = type(value)
    if cls is _Array:
        return True
    if cls in _SCALARS:
        return False
    if cls is list or cls is tuple:
        return any(_is_traced(v, tracing) for v in value)
    return tracing and (isinstance(value, _np.ndarray) or hasattr(cls, "_symflux_value"))


def _public(name: str) -> Callable[..., Any]:
    record, plain = _dispatch.BY_NAME[name], _dispatch.PLAIN[name]
    makes = name in _MAKERS

    def call(*args: Any, **kwargs: Any) -> Any:
        tracing = _is_tracing()
        if (makes and tracing) or any(_is_traced(a, tracing) for a in args) or (
            kwargs and any(_is_traced(a, tracing) for a in kwargs.values())
        ):  # fmt: skip
            return record(*args, **kwargs)
        return plain(*args, **kwargs)

    functools.update_wrapper(call, plain, assigned=("__doc__",), updated=())
    call.__name__ = call.__qualname__ = name
    call.__module__ = __name__
    return call


def _namespace() -> dict[str, Any]:
    names: dict[str, Any] = {kind: getattr(_np, kind) for kind in _KINDS}
    names |= {name: _public(name) for name in _dispatch.BY_NAME if name.isidentifier()}
    # Python Array API names for what NumPy calls otherwise
    for new, old in _ARRAY_API.items():
        if old in names:
            names.setdefault(new, names[old])
    return names


_ARRAY_API = {
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan",
    "atan2": "arctan2", "atanh": "arctanh", "bitwise_invert": "invert", "pow": "power",
    "bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift", "bool": "bool_",
    "abs": "absolute", "amax": "max", "amin": "min", "mod": "remainder", "true_divide": "divide",
    "bitwise_not": "invert", "conj": "conjugate",
}  # fmt: skip

globals().update(_namespace())
__all__ = sorted(_namespace())
_dispatch.NAMESPACE[0] = sys.modules[__name__]


class _Linalg:
    """``symflux.numpy.linalg``: what is recorded of ``numpy.linalg``."""

    norm = staticmethod(_public("norm"))
    multi_dot = staticmethod(_public("multi_dot"))

    def __getattr__(self, name: str) -> Any:
        if hasattr(_np.linalg, name):
            return getattr(_np.linalg, name)
        raise AttributeError(f"symflux.numpy.linalg has no {name!r}")


linalg = _Linalg()


def __getattr__(name: str) -> Any:
    """Names that are not recorded: NumPy's own, which report their use on traced arrays."""
    if not name.startswith("_") and hasattr(_np, name):
        return getattr(_np, name)
    raise AttributeError(f"module 'symflux.numpy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "linalg"]
