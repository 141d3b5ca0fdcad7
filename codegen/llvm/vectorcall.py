"""Python objects whose calls go straight to machine code.

CPython calls an object through the function pointer that it holds, when its type says where (PEP
590): no tuple is made of the arguments, no dict of the keywords, and ``__call__`` is not looked up.
A class of Python's own has no room for such a pointer, so the room comes from a base type, and the
class is told about it when it has been made. An object without a pointer is called by its
``__call__`` as ever.
"""

from __future__ import annotations

import ctypes
from typing import Any

from .capi import HEAD

__all__ = ["Pointed", "direct", "point", "pointed"]

_BASE_TYPE, _DEFAULT = 1 << 10, 1 << 18  # Py_TPFLAGS_BASETYPE, Py_TPFLAGS_DEFAULT
_HAVE_VECTORCALL = 1 << 11  # Py_TPFLAGS_HAVE_VECTORCALL
_VECTORCALL_OFFSET = HEAD + 8 + 4 * 8  # of PyTypeObject: after name, two sizes and tp_dealloc
_FLAGS = HEAD + 8 + 18 * 8


class _Slot(ctypes.Structure):
    _fields_ = (("slot", ctypes.c_int), ("function", ctypes.c_void_p))


class _Spec(ctypes.Structure):
    """``PyType_Spec``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("basicsize", ctypes.c_int),
        ("itemsize", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(_Slot)),
    )


_spec = _Spec(
    f"{__name__}.Pointed".encode(), HEAD + 8, 0, _BASE_TYPE | _DEFAULT, (_Slot * 1)(_Slot(0, None))
)


def _new_type() -> Any:
    new = ctypes.pythonapi.PyType_FromSpec
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p,)
    return new(ctypes.addressof(_spec))


#: a type with room for a pointer behind the object head
Pointed: Any = _new_type()


def direct(cls: Any) -> Any:
    """A class over ``Pointed`` whose objects are called through their pointers; a decorator."""
    flags = ctypes.c_ulong.from_address(id(cls) + _FLAGS)
    if flags.value == cls.__flags__:  # the type object lies in memory as its header says
        ctypes.c_ssize_t.from_address(id(cls) + _VECTORCALL_OFFSET).value = HEAD
        flags.value |= _HAVE_VECTORCALL
    return cls


def point(obj: Any, address: int) -> None:
    """Call an object of a ``direct`` class through a ``vectorcallfunc``; 0 for its ``__call__``.

    Whoever gives the address keeps its code alive for as long as the object lives."""
    ctypes.c_void_p.from_address(id(obj) + HEAD).value = address


def pointed(obj: Any) -> int:
    """Where calls of an object of a ``direct`` class begin; 0 for its ``__call__``."""
    return ctypes.c_void_p.from_address(id(obj) + HEAD).value or 0
