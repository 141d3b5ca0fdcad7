"""Which params a function, an object or a container holds."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import tree

__all__ = ["held"]

#: what holds none, however it is made
_PLAIN = (
    type(None), bool, int, float, complex, str, bytes, type, types.ModuleType, np.ndarray,
    np.generic, types.BuiltinFunctionType,
)  # fmt: skip


def held(holder: Any, kind: type) -> list[Any]:
    """The objects of a class that are found from ``holder``, each once, in order: leaves of
    containers, attributes of objects, and what functions read: their closures, default values,
    bound objects, and the global variables that their code names."""
    found: dict[int, Any] = {}
    met: dict[int, Any] = {}
    stack = [holder]
    while stack:
        value = stack.pop()
        if isinstance(value, kind):
            found.setdefault(id(value), value)
        elif not isinstance(value, _PLAIN) and id(value) not in met:
            met[id(value)] = value
            leaves = tree.leaves(value)
            inner = _parts(value) if len(leaves) == 1 and leaves[0] is value else leaves
            stack += reversed(list(inner))
    return list(found.values())


def _parts(value: Any) -> Iterator[Any]:
    """What one object, which is no container, refers to."""
    if isinstance(value, types.MethodType):
        yield value.__self__
        yield value.__func__
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, types.FunctionType):
        yield from _read(value)
    elif hasattr(value, "__wrapped__"):
        yield value.__wrapped__
    elif not type(value).__module__.startswith(("numpy", "scipy")):
        yield from _attributes(value)
        call = getattr(type(value), "__call__", None)  # noqa: B004 (the function itself)
        if isinstance(call, types.FunctionType):
            yield from _read(call)


def _read(fn: types.FunctionType) -> Iterator[Any]:
    """What a function reads: cells, defaults, global variables."""
    for cell in fn.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield from fn.__defaults__ or ()
    yield from (fn.__kwdefaults__ or {}).values()
    code = [fn.__code__]
    while code:
        each = code.pop()
        yield from (fn.__globals__[n] for n in each.co_names if n in fn.__globals__)
        code += [c for c in each.co_consts if isinstance(c, types.CodeType)]


def _attributes(value: Any) -> Iterator[Any]:
    yield from getattr(value, "__dict__", {}).values()
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield getattr(value, name)
