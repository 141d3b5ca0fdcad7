"""The functions of ``symflux.numpy``: recorded for traced arrays, NumPy's own for plain ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..frames import shorten
from ..trace import dispatch
from ..trace.array import Array
from ..trace.scope import is_tracing
from . import create, elementwise, products, reduce, shape, writing  # noqa: F401
from .methods import methods_of

_KINDS = (
    "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
    "float32", "float64", "pi", "e", "inf", "nan", "newaxis", "finfo", "iinfo", "result_type",
    "dtype", "ndarray", "can_cast", "promote_types", "isscalar", "euler_gamma",
)  # fmt: skip
#: functions that make arrays: inside a trace they make traced ones, whatever they are given
_MAKERS = frozenset(
    {"zeros", "ones", "empty", "full", "arange", "linspace", "eye", "identity", "array", "asarray",
     "fromfunction"}
)  # fmt: skip
_SCALARS = (bool, int, float, str, np.generic, type(None))


def _is_traced(value: Any, tracing: bool) -> bool:
    """Whether an argument makes a call part of the graph."""
    cls = type(value)
    if cls is Array:
        return True
    if cls in _SCALARS:
        return False
    if cls is list or cls is tuple:
        return any(_is_traced(v, tracing) for v in value)
    return tracing and (isinstance(value, np.ndarray) or hasattr(cls, "_symflux_value"))


def public(name: str) -> Callable[..., Any]:
    """The function of the namespace: recorded, or computed, as its arguments ask for."""
    record, plain = dispatch.BY_NAME[name], dispatch.PLAIN[name]
    makes = name in _MAKERS

    def call(*args: Any, **kwargs: Any) -> Any:
        tracing = is_tracing()
        try:
            if (makes and tracing) or any(_is_traced(a, tracing) for a in args) or (
                kwargs and any(_is_traced(a, tracing) for a in kwargs.values())
            ):  # fmt: skip
                return record(*args, **kwargs)
            return plain(*args, **kwargs)
        except Exception as error:
            shorten(error)
            raise

    summary = (record.__doc__ or "elementwise.").split("\n\n")[0]
    call.__doc__ = f"``numpy.{name}`` for traced and plain arrays: {summary}"
    call.__name__ = call.__qualname__ = name.rpartition(".")[2]
    call.__module__ = "symflux.numpy"
    vars(call).update(methods_of(name, lambda value: _is_traced(value, is_tracing())))
    return call


def namespace() -> dict[str, Any]:
    """Name -> what ``symflux.numpy`` offers under it."""
    names: dict[str, Any] = {kind: getattr(np, kind) for kind in _KINDS}
    names |= {name: public(name) for name in dispatch.BY_NAME if name.isidentifier()}
    # Python Array API names for what NumPy calls otherwise
    for new, old in _ARRAY_API.items():
        if old in names:
            names.setdefault(new, names[old])
    names["linalg"] = Linalg()
    return names


_ARRAY_API = {
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan",
    "atan2": "arctan2", "atanh": "arctanh", "bitwise_invert": "invert", "pow": "power",
    "bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift", "bool": "bool_",
    "abs": "absolute", "amax": "max", "amin": "min", "mod": "remainder", "true_divide": "divide",
    "bitwise_not": "invert", "conj": "conjugate",
}  # fmt: skip


class Linalg:
    """``symflux.numpy.linalg``: what is recorded of ``numpy.linalg``."""

    def __init__(self) -> None:
        for function in dispatch.TABLE:
            if getattr(function, "__module__", None) == "numpy.linalg":
                setattr(self, function.__name__, public(dispatch.public_name(function)))

    def __getattr__(self, name: str) -> Any:
        if hasattr(np.linalg, name):
            return getattr(np.linalg, name)
        raise AttributeError(f"symflux.numpy.linalg has no {name!r}")
