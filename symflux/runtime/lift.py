"""Twins of functions and of what they read, in which arrays are inputs of the graph.

Python reads the elements of a plain array when it comes to ``w[1]`` or ``w / np.sum(w)``, and
tracing sees only the result. So arrays that are large, or that were found to change, are replaced
before the trace: the function is made once more, over the same code, with traced arrays in the
places of these; so are the functions, containers and objects that lead to them. What the function
assigns is carried over afterwards."""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import TraceError
from ..trace.array import Array
from ..trace.param import Param
from ..trace.scope import capture
from .names import is_library, names_in
from .sources import Locked, is_source
from .surroundings import has_slots, lifted

__all__ = ["Lifter"]


class Lifter:
    """Makes the twin of a function; ``finish`` carries over what the twin assigned."""

    def __init__(self, changing: Mapping[int, Any], names: frozenset[str]) -> None:
        self.changing = changing
        self.names = names
        self.twins: dict[int, Any] = {}
        self.keep: list[Any] = []
        #: pairs of a place that was made, and of the one that it stands for
        self.cells: list[tuple[Any, Any, Any]] = []
        self.dicts: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = []
        self.arrays: list[tuple[Any, Array, Any]] = []
        self.refused: list[TraceError] = []  # of sources that something was taken out of

    def value(self, v: Any) -> Any:
        """The twin of a value; the value itself where nothing in it is replaced."""
        known = self.twins.get(id(v))
        if known is not None:
            return known
        cls = type(v)
        if cls is np.ndarray:
            return self.array(v) if lifted(v, self.changing) else v
        if cls is types.FunctionType:
            return self.function(v)
        if cls is types.MethodType:
            return self.note(v, types.MethodType(self.value(v.__func__), self.value(v.__self__)))
        if cls is functools.partial:
            keywords = {k: self.value(x) for k, x in v.keywords.items()}
            args = [self.value(x) for x in v.args]
            return self.note(v, functools.partial(self.value(v.func), *args, **keywords))
        if cls is tuple or cls is list:
            self.note(v, v)
            items = [self.value(x) for x in v]
            return self.note(v, v if _all_same(items, v) else cls(items))
        if cls is dict:
            self.note(v, v)
            made = {k: self.value(x) for k, x in v.items()}
            return self.note(v, v if _all_same(made.values(), v.values()) else made)
        if isinstance(v, type | Param | types.ModuleType):
            return v
        if is_source(v):
            return v if cls is np.flatiter else self.note(v, Locked(v, self.refused))
        return self.object(v, cls)

    def note(self, v: Any, twin: Any) -> Any:
        self.keep.append(v)
        self.twins[id(v)] = twin
        return twin

    def array(self, v: np.ndarray[Any, Any]) -> Any:
        node = capture(v)
        made = Array(node)
        self.arrays.append((v, made, node))
        return self.note(v, made)

    def function(self, f: types.FunctionType) -> Any:
        names = names_in(f.__code__)
        fixed = self.is_fixed(f, names.assigned)
        if fixed and not f.__closure__ and not f.__defaults__ and not f.__kwdefaults__:
            return f
        variables = f.__globals__ if fixed else self.variables(f.__globals__)
        cells = tuple([self.cell(c) for c in f.__closure__ or ()])
        made = types.FunctionType(f.__code__, variables, f.__name__, None, cells)
        self.note(f, made)
        made.__dict__ = f.__dict__
        made.__qualname__, made.__doc__, made.__module__ = f.__qualname__, f.__doc__, f.__module__
        made.__defaults__ = None if f.__defaults__ is None else self.value(f.__defaults__)
        made.__kwdefaults__ = None if f.__kwdefaults__ is None else self.value(f.__kwdefaults__)
        for cell, old in zip(cells, f.__closure__ or (), strict=True):
            self.fill(cell, old)
        if not fixed:
            for name in names.read:
                if name in f.__globals__:
                    held = f.__globals__[name]
                    variables[name] = self.held("entry", f.__globals__, name, held)
        return made

    def is_fixed(self, f: types.FunctionType, assigned: frozenset[str]) -> bool:
        """Whether a function's global variables stay what they are: a library's, and where they are
        assigned."""
        return is_library(f) or bool(assigned)

    def held(self, kind: str, holder: Any, key: Any, v: Any) -> Any:
        """The twin of what a place holds."""
        return self.value(v)

    def variables(self, before: dict[str, Any]) -> dict[str, Any]:
        made = self.twins.get(id(before))
        return self.note(before, dict(before)) if made is None else made

    def cell(self, old: Any) -> Any:
        made = self.twins.get(id(old))
        return self.note(old, types.CellType()) if made is None else made

    def fill(self, cell: Any, old: Any) -> None:
        if any(cell is known for known, _, _ in self.cells):
            return
        try:
            content = old.cell_contents
        except ValueError:
            return
        self.cells.append((cell, old, None))
        cell.cell_contents = self.held("cell", old, None, content)
        self.cells[[c is cell for c, _, _ in self.cells].index(True)] = (
            cell, old, cell.cell_contents
        )  # fmt: skip

    def object(self, v: Any, cls: type) -> Any:
        ours = cls.__module__.startswith("symflux.")
        if ours and hasattr(cls, "__wrapped__"):
            inner = getattr(v, "traced", None)
            if inner is None:  # a compiled function, inside of a trace, is the function
                return self.note(v, self.value(v.__wrapped__))
            made = copy.copy(v)
            made.traced = self.value(inner)
            return self.note(v, made)
        held = getattr(v, "__dict__", None)
        if type(held) is not dict or (is_library(cls) and not ours) or has_slots(cls):
            return v
        self.note(v, v)
        named = held if ours else [n for n in held if n in self.names]
        replaced = {n: self.held("entry", held, n, held[n]) for n in named}
        if not self.needs_twin(v, held) and all(held[n] is x for n, x in replaced.items()):
            return v
        try:
            made = object.__new__(cls)
        except TypeError:
            return v
        own: dict[str, Any] = self.note(held, made.__dict__)
        own.update(held)
        own.update(replaced)
        self.dicts.append((own, held, dict(own)))
        return self.note(v, made)

    def needs_twin(self, v: Any, held: Any) -> bool:
        """Whether an object has a twin even if nothing in it is replaced."""
        return False

    def finish(self) -> list[tuple[Any, Any]]:
        """Carry over assigned variables and attributes; arrays that were written to, with their
        new nodes."""
        for cell, old, content in self.cells:
            try:
                now = cell.cell_contents
            except ValueError:
                continue
            if now is not content:
                old.cell_contents = _given(now)
        for made, held, before in self.dicts:
            for name, now in made.items():
                if name not in before or now is not before[name]:
                    held[name] = _given(now)
        return [(v, made.node) for v, made, node in self.arrays if made.node is not node]


def _given(value: Any) -> Any:
    """What the user's code gave: a source, where another object stood for it."""
    return value._source if type(value) is Locked else value


def _all_same(made: Any, given: Any) -> bool:
    return all(a is b for a, b in zip(made, given, strict=True))
