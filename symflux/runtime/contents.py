"""What containers of Python's own library hold: deques, byte arrays, proxies, C data, ..."""

from __future__ import annotations

import array
import collections
import contextvars
import ctypes
import itertools
import os
import threading
import types
from collections.abc import Mapping
from typing import Any

from ..codegen.llvm.words import MISSING

__all__ = ["HOLDERS", "NAMESPACES", "content_of"]

#: containers of Python's own library, compared by what they hold
HOLDERS = (
    types.MappingProxyType, collections.ChainMap, collections.UserDict, collections.UserList,
    collections.deque, type(os.environ), array.array, bytearray, memoryview, ctypes._SimpleCData,
    ctypes.Array, ctypes.Structure, contextvars.ContextVar, threading.local,
)  # fmt: skip

#: (module, name) of classes whose objects are nothing but their attributes
NAMESPACES = {("types", "SimpleNamespace"), ("argparse", "Namespace")}


def content_of(v: Any) -> tuple[Any, ...]:
    """What a container of Python's own library holds."""
    if isinstance(v, contextvars.ContextVar):
        return (v.get(MISSING),)
    if isinstance(v, threading.local):
        return tuple(itertools.chain.from_iterable(vars(v).items()))
    if isinstance(v, Mapping):
        return tuple(itertools.chain.from_iterable(v.items()))
    if isinstance(v, collections.deque | collections.UserList):
        return tuple(v)
    return (bytes(v),)
