"""What code names: variables and attributes; and which code is a library's, not the user's."""

from __future__ import annotations

import functools
import opcode
import os
import sys
import types
from typing import Any

from ..records import record

__all__ = ["Names", "is_library", "is_library_file", "names_in"]

_LOAD, _EXTENDED = opcode.opmap["LOAD_GLOBAL"], opcode.opmap["EXTENDED_ARG"]
_STORES = {opcode.opmap[n] for n in ("STORE_GLOBAL", "DELETE_GLOBAL")}
_ASKING = {"getattr", "hasattr", "vars", "__dict__"}  # by whom a string may name an attribute
#: other ways to read a global variable, in the bodies of classes
_NAMED = {opcode.opmap.get(n) for n in ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")}


@record(frozen=True, slots=True)
class Names:
    """What a code object and those inside of it name: global variables that are read and that are
    assigned, attributes (with strings, which ``getattr`` may be given), and these strings."""

    read: tuple[str, ...]
    assigned: frozenset[str]
    attributes: frozenset[str]
    strings: frozenset[str]


@functools.lru_cache(maxsize=4096)
def names_in(code: types.CodeType) -> Names:
    """The names in a code object."""
    read: dict[str, None] = {}
    assigned: set[str] = set()
    attributes = set(code.co_names)
    strings: set[str] = set()
    asks = not _ASKING.isdisjoint(code.co_names)
    extended = 0
    raw = code.co_code
    for at in range(0, len(raw), 2):
        op, arg = raw[at], raw[at + 1] | extended << 8
        extended = arg if op == _EXTENDED else 0
        if op == _LOAD:
            read[code.co_names[arg >> 1]] = None
        elif op in _NAMED:
            read[code.co_names[arg]] = None
        elif op in _STORES:
            assigned.add(code.co_names[arg])
    for const in code.co_consts:
        if type(const) is types.CodeType:
            inner = names_in(const)
            read.update(dict.fromkeys(inner.read))
            assigned |= inner.assigned
            attributes |= inner.attributes
            strings |= inner.strings
        elif type(const) is str and const.isidentifier():
            attributes.add(const)
            if asks:
                strings.add(const)
    return Names(tuple(read), frozenset(assigned), frozenset(attributes), frozenset(strings))


_STDLIB = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_KNOWN = ("numpy", "scipy", "sympy", "llvmlite", "pandas", "matplotlib", "pytest", "_pytest")


@functools.lru_cache(maxsize=4096)
def is_library_file(file: str) -> bool:
    """Whether the code of a file belongs to Python, NumPy, SymFlux and their like."""
    file = os.path.abspath(file) if not file.startswith("<") else file
    if file.startswith(("<frozen", _PACKAGE)):
        return True
    if file.startswith(_STDLIB):
        rest = file[len(_STDLIB) :].split(os.sep)
        return rest[0] not in ("site-packages", "dist-packages") or rest[1] in _KNOWN
    return any(f"{os.sep}{p}{os.sep}{n}{os.sep}" in file
               for p in ("site-packages", "dist-packages") for n in _KNOWN)  # fmt: skip


def is_library(obj: Any) -> bool:
    """Whether a function, class or module belongs to Python, NumPy, SymFlux and their like, whose
    own variables are taken for constants."""
    if type(obj) is types.FunctionType:
        return is_library_file(obj.__code__.co_filename)
    name = obj.__name__ if type(obj) is types.ModuleType else getattr(obj, "__module__", None)
    if not isinstance(name, str) or name == "builtins":
        return True
    if name == "__main__":
        return False
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file is None:
        return name.split(".")[0] in sys.builtin_module_names
    return is_library_file(file)
