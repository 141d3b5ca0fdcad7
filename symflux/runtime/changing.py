"""What a function changes in its surroundings while it is traced: whether its results depend on it.

A counter, a list that is logged to, an object that is made at the first call: the change happens
once, when the function is traced. That is harmless where the results do not depend on what changed.
To find out, the function is traced once more over twins of what it changed, in which numbers that
changed are unknown. The same graph must come out."""

from __future__ import annotations

import collections
import copy
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codegen.llvm.words import MISSING
from ..errors import TraceError
from ..ir.origin import Origin, user_frame
from ..ir.walk import substitute
from ..trace.trace import Traced, definition
from .lift import Lifter
from .names import is_library, is_library_file
from .surroundings import Observation, Place, Read, found_at, has_slots, same_content

if TYPE_CHECKING:
    from .function import Call

__all__ = ["changed_again"]

_KINDS: dict[type, str] = {list: "list", dict: "dict", set: "set", collections.deque: "content"}


def changed_again(
    call: Call, changed: Sequence[Read], own: Mapping[Place, Any], seen: Observation
) -> dict[Place, Any]:
    """Those places that a function changes whenever it is traced, with their holders.

    Args:
        call: whose trace made the changes.
        changed: the places, with what they held before.
        own: places that earlier traces are known to change, with their holders.
        seen: what the function reads now.

    Raises:
        TraceError: where the results depend on what changes.
    """
    shadow, first = Shadow(changed, own, seen), call.traced
    place: Any = None
    try:
        call.trace(shadow)
        same = not shadow.uses and _are_same(first, call.traced)
    except Exception as error:
        same, place = False, getattr(error, "place", None) or _user_line(error)
    if shadow.uses:
        place = shadow.uses[0].place
    call.traced = first
    again = shadow.changed(changed)
    if same:
        return again
    names = dict.fromkeys(_name(r.place, r.holder, seen) for r in changed)
    names |= dict.fromkeys(_name(p, holder, seen) for p, holder in own.items())
    listed = ", ".join(f"`{n}`" for n in names if n) or "something of its surroundings"
    raise TraceError(
        f"{first.graph.name} changes {listed} while it is traced, and its results depend on it: "
        "every call would see this one value",
        place=place or definition(call.fn),
        why="tracing runs the Python code once; compiled calls do not run it",
        wrong="def f(x): self.calls += 1; return x * self.calls",
        right="def f(x, calls): return x * calls        # given as an argument\n"
        "calls = sf.param(0.0)                    # state that compiled calls change\n"
        "def f(x): sf.update(calls, 1.0); return x * calls",
    )


class Shadow(Lifter):
    """Makes twins of all that a function changes; numbers among it are unknown in them."""

    def __init__(
        self, changed: Sequence[Read], own: Mapping[Place, Any], seen: Observation
    ) -> None:
        super().__init__(seen.changing, seen.names)
        self.before = {r.place: r.value for r in changed}
        self.own = own
        self.now = {r.place: r.value for r in seen.reads}
        self.holders = {place[1] for place in (*self.before, *own)}
        self.uses: list[TraceError] = []  # of unknown numbers; the code may have caught them
        self.depth = 0
        self.initial: dict[Place, Any] = {}

    def changed(self, places: Sequence[Read]) -> dict[Place, Any]:
        """Those of the places that were changed in the twins; what has no twin is put back."""
        found: dict[Place, Any] = {}
        for r in places:
            twin = self.twins.get(id(r.holder))
            before = self.initial.get(r.place, self.now.get(r.place, r.value))
            now = found_at(Read(r.kind, r.holder if twin is None else twin, r.key, before))
            if same_content(r.kind, now, before):
                continue
            found[r.place] = r.holder
            if twin is None:
                _put_back(r, before)
            elif r.kind == "dict":
                old = dict(before)
                found |= {
                    ("entry", id(r.holder), k): r.holder
                    for k, v in now
                    if old.get(k, MISSING) is not v
                }
        return found

    def value(self, v: Any) -> Any:
        self.depth += 1
        try:
            return self.container(v) if type(v) in _KINDS else super().value(v)
        finally:
            self.depth -= 1
            if not self.depth:  # all twins are made
                for place, twin in [(p, self.twins.get(p[1])) for p in self.before]:
                    if twin is not None:
                        held = Read(place[0], twin, place[2], self.before[place])
                        self.initial[place] = found_at(held)

    def held(self, kind: str, holder: Any, key: Any, v: Any) -> Any:
        place = kind, id(holder), key
        return self.unknown(v, self.before.get(place, v if place in self.own else None))

    def unknown(self, v: Any, before: Any) -> Any:
        """What stands for a value that was another one before."""
        if _is_number(v) and _is_number(before):
            return Unknown(self.uses)
        if type(v) is tuple and type(before) is tuple:
            return tuple([self.unknown(x, y) for x, y in zip(v, v, strict=True)])
        return self.value(v)

    def container(self, v: Any) -> Any:
        """The twin of a list, dict, set or deque that changes."""
        if id(v) not in self.holders or id(v) in self.twins:
            return super().value(v)
        place = _KINDS[type(v)], id(v), None
        twin = self.note(v, copy.copy(v))
        before = self.before.get(place, ())
        if isinstance(v, dict):
            were = dict(before)
            for key, x in v.items():
                old = were.get(key)
                twin[key] = self.held("entry", v, key, x) if old is x else self.unknown(x, old)
        elif not isinstance(v, set):
            # what was appended will be so again; what stood there before may be another number
            count = len(before) if len(before) < len(v) and place in self.before else len(v)
            items = [self.unknown(x, x) if i < count else self.value(x) for i, x in enumerate(v)]
            twin.clear()
            twin.extend(items)
        return twin

    def is_fixed(self, f: types.FunctionType, assigned: frozenset[str]) -> bool:
        return is_library(f)  # what it assigns are variables of its twin

    def needs_twin(self, v: Any, held: Any) -> bool:
        return id(v) in self.holders or id(held) in self.holders

    def object(self, v: Any, cls: type) -> Any:
        held = getattr(v, "__dict__", None)
        plain = type(held) is dict and not has_slots(cls)
        if not self.needs_twin(v, held) or (plain and not is_library(cls)):
            return super().object(v, cls)
        try:
            twin = self.note(v, copy.copy(v))
        except Exception:
            return self.note(v, v)
        self.note(held, getattr(twin, "__dict__", None))
        for kind, at, key in (*self.before, *self.own):
            if at in (id(v), id(held)) and kind in ("entry", "slot") and hasattr(v, key):
                new = self.held(kind, held if kind == "entry" else v, key, getattr(v, key))
                object.__setattr__(twin, key, new)
        return twin

    def finish(self) -> list[tuple[Any, Any]]:
        return [(v, made.node) for v, made, node in self.arrays if made.node is not node]


class Unknown:
    """Stands for a number that changes. It may be counted on and shown; anything else is a use."""

    __slots__ = ("_uses",)
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, uses: list[TraceError]) -> None:
        self._uses = uses

    def __repr__(self) -> str:
        return "?"

    def __format__(self, spec: str) -> str:
        return "?"

    def _combined(self, *others: Any) -> Any:
        if all(type(v) in (bool, Unknown) or _is_number(v) for v in others):
            return Unknown(self._uses)
        return self._used()

    def _used(self, *others: Any) -> Any:
        self._uses.append(TraceError("a number that changes is used", place=user_frame()))
        raise self._uses[-1]

    __bool__ = __int__ = __float__ = __index__ = __complex__ = __array__ = __iter__ = _used
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _used
    __neg__ = __pos__ = __abs__ = __invert__ = __round__ = _combined
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _combined
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = _combined
    __pow__ = __rpow__ = __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _combined
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = __rmod__ = _combined


def _is_number(v: Any) -> bool:
    return type(v) in (int, float) or isinstance(v, np.integer | np.floating)


def _put_back(r: Read, value: Any) -> None:
    """Let a place hold again what it held."""
    kind, holder = r.kind, r.holder
    if kind == "entry" and value is MISSING:
        holder.pop(r.key, None)
    elif kind == "entry":
        holder[r.key] = value
    elif kind in ("attribute", "slot") and value is MISSING:
        delattr(holder, r.key)
    elif kind in ("attribute", "slot"):
        setattr(holder, r.key, value)
    elif kind == "cell" and value is not MISSING:
        holder.cell_contents = value
    elif kind == "list":
        holder[:] = value
    elif kind in ("dict", "set") or type(holder) is collections.deque:
        holder.clear()
        holder.extend(value) if type(holder) is collections.deque else holder.update(value)
    elif kind == "content" and isinstance(holder, bytearray):
        holder[:] = value[0]


def _are_same(a: Traced, b: Traced) -> bool:
    """Whether two traces of a function for the same arguments say the same."""
    count = len(a.arguments.types)
    ours = dict(zip(map(id, a.captures), a.graph.inputs[count:], strict=True))
    mapping = dict(zip(b.graph.inputs[:count], a.graph.inputs, strict=False))
    theirs = list(zip(b.captures, b.graph.inputs[count:], strict=True))
    mapping |= {node: ours[id(c)] for c, node in theirs if id(c) in ours}
    # arrays that each trace makes anew are matched in their order
    known = {id(c) for c, _ in theirs}
    made = [(c, ours[id(c)]) for c in a.captures if id(c) not in known]
    for (c, node), (old, mine) in zip(
        [t for t in theirs if id(t[0]) not in ours], made, strict=False
    ):
        if isinstance(c, np.ndarray) and isinstance(old, np.ndarray) and _equal(c, old):
            mapping[node] = mine

    def updates(t: Traced) -> Any:
        return {id(t.captures[i]): o for i, o in t.updates.items()}, t.argument_updates

    outputs = substitute(b.graph.outputs, mapping)
    return (
        len(outputs) == len(a.graph.outputs)
        and all(x is y for x, y in zip(outputs, a.graph.outputs, strict=True))
        and (a.out_tree, a.weak, a.bounds, a.changes) == (b.out_tree, b.weak, b.bounds, b.changes)
        and updates(a) == updates(b)
    )


def _equal(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _name(place: Place, holder: Any, seen: Observation) -> str:
    """What a place is called in the user's code; empty where that is not known."""
    kind, _, key = place
    if isinstance(key, str):
        return key
    if kind == "cell":
        for r in seen.reads:
            for name, cell in zip(*_cells(r), strict=True):
                if cell is holder:
                    return name
        return ""
    found = next((r for r in seen.reads if r.value is holder), None)
    return "" if found is None else _name(found.place, found.holder, seen)


def _cells(r: Read) -> tuple[Sequence[str], Sequence[Any]]:
    f = r.holder
    return (f.__code__.co_freevars, f.__closure__ or ()) if r.kind == "function" else ((), ())


def _user_line(error: BaseException) -> Origin | None:
    """The innermost line of the user's that an exception passed."""
    trace, found = error.__traceback__, None
    while trace is not None:
        code = trace.tb_frame.f_code
        if not is_library_file(code.co_filename):
            found = Origin(code.co_filename, trace.tb_lineno, code.co_name)
        trace = trace.tb_next
    return found
