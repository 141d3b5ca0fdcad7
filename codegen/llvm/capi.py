"""What generated code uses of CPython and NumPy: functions, objects, and where fields lie.

Only layouts that are part of a public header are read: the object head, ``PyFloatObject.ob_fval``,
``PyListObject.ob_item``, tuple items (their place is ``tuple.__basicsize__``), NumPy's
``PyArrayObject_fields``, the first fields of ``PyArray_Descr``, and the value of a NumPy scalar.
Everything else goes through API functions.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from typing import Any

import numpy as np

from ...once import once
from .code import offer

__all__ = [
    "ARRAY",
    "DECLARATIONS",
    "FREE_THREADED",
    "HEAD",
    "ITEMS",
    "OBJECTS",
    "entry_address",
    "is_running",
    "new_function",
    "register",
]


def _says_sysconfig() -> bool:
    import sysconfig  # where the flags of the build are not at hand

    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


#: bytes of the object head (more on free-threaded builds)
HEAD: int = object.__basicsize__
#: where the items of a tuple begin
ITEMS: int = tuple.__basicsize__
#: whether this Python runs without a global lock
FREE_THREADED: bool = "t" in sys.abiflags if hasattr(sys, "abiflags") else _says_sysconfig()

#: fields of an array object (numpy/ndarraytypes.h): name -> byte offset
ARRAY: dict[str, int] = {
    "data": HEAD,
    "nd": HEAD + 8,
    "dimensions": HEAD + 16,
    "strides": HEAD + 24,
    "descr": HEAD + 40,
    "flags": HEAD + 48,
    "mem_handler": HEAD + 72,
}
#: fields of a dtype object, and the word that they lie in
DESCR: dict[str, int] = {"word": HEAD + 8, "byteorder": HEAD + 10, "type_num": HEAD + 12}

#: name -> LLVM signature of the functions that generated code may call
FUNCTIONS: dict[str, str] = {
    "PyObject_Vectorcall": "ptr (ptr, ptr, i64, ptr)",
    "PyFloat_FromDouble": "ptr (double)",
    "PyLong_FromLongLong": "ptr (i64)",
    "PyLong_FromUnsignedLongLong": "ptr (i64)",
    "PyLong_AsLongLongAndOverflow": "i64 (ptr, ptr)",
    "PyTuple_New": "ptr (i64)",
    "PyList_New": "ptr (i64)",
    "PyDict_New": "ptr ()",
    "PyDict_Size": "i64 (ptr)",
    "PyDict_Next": "i32 (ptr, ptr, ptr, ptr)",
    "PyDict_SetItem": "i32 (ptr, ptr, ptr)",
    "PyErr_NoMemory": "ptr ()",
    "PyMem_RawCalloc": "ptr (i64, i64)",
    "PyMem_RawFree": "void (ptr)",
    "PyObject_RichCompareBool": "i32 (ptr, ptr, i32)",
    "PyEval_SaveThread": "ptr ()",
    "PyEval_RestoreThread": "void (ptr)",
    "Py_IncRef": "void (ptr)",
    "Py_DecRef": "void (ptr)",
}
#: the same for NumPy, with the place in its table of functions (numpy/__multiarray_api.h)
NUMPY_FUNCTIONS: dict[str, tuple[int, str]] = {
    "PyArray_NewFromDescr": (94, "ptr (ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)"),
    "PyArray_Scalar": (60, "ptr (ptr, ptr, ptr)"),
}
#: name -> object whose address generated code compares with or passes on
OBJECTS: dict[str, Any] = {
    "PyFloat_Type": float,
    "PyLong_Type": int,
    "PyTuple_Type": tuple,
    "PyList_Type": list,
    "PyDict_Type": dict,
    "PyUnicode_Type": str,
    "PyBytes_Type": bytes,
    "PyArray_Type": np.ndarray,
    "Py_True": True,
    "Py_False": False,
    "Py_None": None,
}


def _declarations() -> dict[str, str]:
    """name -> the module-level line that declares it."""
    signatures = FUNCTIONS | {name: text for name, (_, text) in NUMPY_FUNCTIONS.items()}
    lines = {}
    for name, signature in signatures.items():
        result, parameters = signature.split(" ", 1)
        lines[name] = f"declare {result} @{name}{parameters}"
    lines |= {name: f"@{name} = external global i8" for name in OBJECTS}
    return lines


DECLARATIONS: dict[str, str] = _declarations()


def _numpy_table() -> Any:
    umath: Any = importlib.import_module("numpy._core._multiarray_umath")
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    address = get(umath._ARRAY_API, None)
    return ctypes.cast(address, ctypes.POINTER(ctypes.c_void_p))


@once
def register() -> None:
    """Tell LLVM the addresses of everything in ``DECLARATIONS`` (once per process)."""
    for name in FUNCTIONS:
        function = getattr(ctypes.pythonapi, name)
        offer(name, ctypes.cast(function, ctypes.c_void_p).value or 0)
    table = _numpy_table()
    for name, (place, _) in NUMPY_FUNCTIONS.items():
        offer(name, table[place])
    for name, value in OBJECTS.items():
        offer(name, id(value))


class _MethodDefinition(ctypes.Structure):
    """``PyMethodDef``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class Owner:
    """What a generated function keeps alive: its code, and every object whose address it holds."""

    __slots__ = ("code", "definition", "name", "objects", "running")

    def __init__(
        self, name: str, code: Any, objects: tuple[Any, ...], address: int, running: int = 0
    ) -> None:
        self.running = running  # where the code counts the calls that may wait inside of it
        self.code = code
        self.objects = objects
        self.name = name.encode()
        fastcall_with_keywords = 0x0080 | 0x0002
        self.definition = _MethodDefinition(self.name, address, fastcall_with_keywords, None)


def new_function(owner: Owner) -> Any:
    """A builtin function over the owner's code; it holds the owner (as its ``__self__``).

    Dropping the function drops the owner, and with it the machine code."""
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.restype = ctypes.py_object
    new.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    return new(ctypes.addressof(owner.definition), owner, None)


def entry_address(function: Any) -> int:
    """Where the code of a function made here begins: a ``vectorcallfunc`` too (it does not look at
    what it is called on). 0 for any other function."""
    owner = getattr(function, "__self__", None)
    return int(owner.definition.function) if type(owner) is Owner else 0


def is_running(function: Any) -> bool:
    """Whether a call is in the code of a function made here while other Python code runs: it
    called its fallback, or it runs without the global lock."""
    owner = getattr(function, "__self__", None)
    if type(owner) is not Owner or not owner.running:
        return False
    return ctypes.c_int64.from_address(owner.running).value != 0
