"""What a function reads from its surroundings: variables, functions and objects that it reaches."""

from __future__ import annotations

import functools
import itertools
import os
import struct
import types
from collections.abc import Container, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ..codegen.llvm.words import MISSING, Words
from ..records import record
from ..trace.param import Param, Params
from .contents import HOLDERS, NAMESPACES, content_of
from .names import is_library, names_in
from .sources import is_source

__all__ = [
    "Observation", "Place", "Read", "found_at", "has_slots", "is_fixed", "lifted", "observe",
    "rebound", "same_content",
]  # fmt: skip

#: larger arrays are inputs wherever they are read; smaller ones, once they were seen to change
SMALL = 1 << 10
_DEPTH = 60  # of containers in containers

_ATOMS = (
    type(None), bool, int, str, bytes, complex, range, slice, type(Ellipsis), type(NotImplemented)
)  # fmt: skip
_CLASSES_OF_FUNCTIONS = (types.BuiltinFunctionType, types.WrapperDescriptorType, np.ufunc)

Place = tuple[str, int, Any]


@record(frozen=True, slots=True)
class Read:
    """One thing that was read: ``kind`` says what of ``holder``; ``value`` is what was found.

    Kinds: ``cell``; ``entry`` (``key`` of a dict of variables or attributes); ``list``, ``dict``,
    ``set`` (all of it); ``object`` (its class and dict); ``slot`` (attribute ``key``); ``class``
    (which names it has); ``attribute`` (``key`` of a class); ``function`` (code and defaults);
    ``array`` (its type, and what it holds); ``content`` (of another container of Python's)."""

    kind: str
    holder: Any
    key: Any
    value: Any

    @property
    def place(self) -> Place:
        """What tells this place apart from others."""
        return self.kind, id(self.holder), self.key

    def stands(self) -> bool:
        """Whether the place still holds the very same objects; an array, the same elements."""
        return same_content(self.kind, found_at(self), self.value)


def lifted(array: Any, changing: Container[int]) -> bool:
    """Whether an array becomes an input wherever it is read: if it is large or was seen to
    change."""
    return (
        type(array) is np.ndarray
        and array.dtype.kind in "biuf"
        and array.dtype.isnative
        and array.dtype.itemsize <= 8
        and (array.nbytes > SMALL or id(array) in changing)
    )


def is_fixed(value: Any) -> bool:
    """Whether nothing that a value holds can change: numbers, strings, tuples and frozen
    dataclasses of such, functions and classes of libraries."""
    cls = type(value)
    if cls is float or cls in _ATOMS or cls in _CLASSES_OF_FUNCTIONS or issubclass(cls, np.generic):
        return True
    if isinstance(value, np.dtype):
        return True
    if isinstance(value, tuple | frozenset):
        return not hasattr(value, "__dict__") and all(map(is_fixed, value))
    if cls is types.FunctionType or isinstance(value, type):
        return is_library(value) and not getattr(value, "__closure__", None)
    parameters = getattr(cls, "__dataclass_params__", None)
    if parameters is not None and parameters.frozen:
        return all(is_fixed(getattr(value, name)) for name in cls.__dataclass_fields__)
    return False


class Facts:
    """What a function read, to be compared and looked up by."""

    __slots__ = ("_hash", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self._hash = hash(value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Facts) and self.value == other.value)


@record(frozen=True, slots=True, eq=False)
class Observation:
    """Everything that a function reads from its surroundings, as it was at one moment.

    ``facts`` are equal where the function would be traced to the same graph, ``reads`` say where
    each part stands; ``names`` are of attributes, ``assigned`` of global variables that the
    functions assign to; ``lifts`` says that arrays or sources are to be replaced before a trace;
    ``generators`` are of random numbers, ``sources`` iterators that cannot be replaced;
    ``changing`` are the arrays that are inputs whatever their size."""

    facts: Facts
    reads: tuple[Read, ...]
    names: frozenset[str]
    assigned: frozenset[str]
    lifts: bool
    generators: tuple[Any, ...]
    sources: tuple[Any, ...]
    changing: Mapping[int, Any]

    def holds(self) -> bool:
        """Whether every place still holds the very same objects: a quick comparison."""
        return all(r.stands() for r in self.reads)

    def watch(self, words: Words) -> bool:
        """Enter all places for generated code; False where some cannot be watched there."""
        words.clear()
        fine = all(_watch(words, r) for r in self.reads)
        words.publish()
        return fine

    def arrays(self) -> list[Any]:
        """The arrays that were read, in an order that equal facts share."""
        return [r.holder for r in self.reads if r.kind == "array"]

    def changed(self, later: Observation) -> list[Read]:
        """The places that another observation found changed."""
        now = {r.place: r.value for r in later.reads}
        return [
            r
            for r in self.reads
            if r.place in now and not same_content(r.kind, now[r.place], r.value)
        ]


def same_content(kind: str, a: Any, b: Any) -> bool:
    """Whether a place holds the same objects; of an array, the same bytes."""
    if a is b:
        return True
    if kind in _WHOLE:
        return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))
    if kind == "dict":
        return len(a) == len(b) and all(
            k is m and x is y for (k, x), (m, y) in zip(a, b, strict=True)
        )
    if kind == "content":
        return len(a) == len(b) and all(
            x is y or (type(x) in (bytes, str) and x == y) for x, y in zip(a, b, strict=True)
        )
    if kind == "array" and (a[-1] is None or b[-1] is None):  # whatever it holds
        return bool(a[:-1] == b[:-1])
    return kind in ("array", "class") and bool(a == b)


#: kinds whose values are tuples of objects
_WHOLE = ("list", "set", "object", "function")


def found_at(r: Read) -> Any:
    """What stands in the place of a read now."""
    kind, holder = r.kind, r.holder
    if kind == "cell":
        return _content(holder)
    if kind == "entry":
        return holder.get(r.key, MISSING)
    if kind == "attribute":
        return holder.__dict__.get(r.key, MISSING)
    if kind in ("list", "set"):
        return tuple(holder)
    if kind == "dict":
        return tuple(holder.items())
    if kind == "object":
        return (type(holder), holder.__dict__)
    if kind == "content":
        return content_of(holder)
    if kind == "function":
        return (holder.__code__, holder.__defaults__, holder.__kwdefaults__)
    if kind == "array":
        return _array_state(holder, r.value[-1] is not None)
    if kind == "class":
        return _class_state(holder)
    return getattr(holder, r.key, MISSING)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def _array_state(array: np.ndarray[Any, Any], content: bool) -> tuple[Any, ...]:
    where = array.__array_interface__["data"][0]
    return (array.dtype, where, array.shape, array.strides, array.tobytes() if content else None)


def _class_state(cls: type) -> tuple[Any, ...]:
    """The names in a class and in those that it derives from."""
    return tuple([(id(c), frozenset(c.__dict__)) for c in cls.__mro__ if not is_library(c)])


def _watch(words: Words, r: Read) -> bool:
    kind, holder = r.kind, r.holder
    if kind == "cell":
        return words.cell(holder, r.value)
    if kind == "entry":
        return words.entry(holder, r.key, r.value)
    if kind == "attribute":
        return True  # by the version of its class
    if kind == "list":
        return words.items(holder, r.value)
    if kind == "set":
        return words.elements(holder, r.value)
    if kind == "dict":
        return words.all_entries(holder)
    if kind == "object":
        return words.dict_of(holder, r.value[1])
    if kind == "slot":
        return words.slot(holder, r.key, r.value)
    if kind == "class":
        return words.type(holder)
    if kind == "function":
        return words.function(holder)
    if kind == "array":
        return words.array(holder, r.value[-1])
    return False


# --- the walk -------------------------------------------------------------------------------------


def arrays_in(r: Read, value: Any) -> list[Any]:
    """The arrays among the objects that a place holds."""
    if r.kind in ("cell", "entry", "slot"):
        value = (value,)
    elif r.kind == "dict":
        value = [v for _, v in value]
    elif r.kind != "list":
        return []
    return [v for v in value if type(v) is np.ndarray]


def rebound(r: Read) -> bool:
    """Whether a place that held arrays holds other ones of the same dtypes and shapes now."""
    before = arrays_in(r, r.value)
    now = arrays_in(r, found_at(r)) if before else []
    return bool(before) and [(v.dtype, v.shape) for v in before] == [
        (v.dtype, v.shape) for v in now
    ]


def observe(
    root: Any, own: Container[Place] = (), changing: Mapping[int, Any] = MappingProxyType({}),
    needed: Container[int] = (), names: frozenset[str] = frozenset(),
    rebound: Container[Place] = (), settings: Sequence[Any] = (),
) -> Observation:  # fmt: skip
    """What the function ``root`` and all that it reaches read now.

    Args:
        own: places that the function itself writes to; they are left out.
        changing: ids of arrays that are inputs wherever they are read, as large ones are.
        rebound: places whose arrays are inputs as well.
        needed: ids of those among them whose elements were needed while tracing all the same.
        names: of attributes, to begin with (those of an earlier observation save a second walk).
        settings: objects that it is given as static arguments. Those of a class that says itself
            when two are equal count as what they hold.
    """
    known, asked = names, frozenset[str]()
    while True:
        walk = _Walk(known, asked, own, changing, needed, rebound)
        facts = walk.value(root)
        if settings:
            walk.unnamed = {id(v) for v in settings if type(v).__eq__ is not object.__eq__}
            facts = (facts, *walk.unlifted(settings))
        found, strings = known | walk.attributes, asked | walk.asking
        if found == known and strings == asked:
            return Observation(
                Facts(facts), tuple(walk.reads), known, frozenset(walk.assigned), walk.lifted,
                tuple(walk.generators), tuple(walk.sources), walk.changing,
            )  # fmt: skip
        known, asked = found, strings


class _Walk:
    def __init__(
        self, names: frozenset[str], asked: frozenset[str], own: Container[Place],
        changing: Mapping[int, Any], needed: Container[int], rebound: Container[Place],
    ) -> None:  # fmt: skip
        self.names = names
        self.asked = asked  # those of them that may be asked for as strings
        self.attributes: set[str] = set()
        self.asking: set[str] = set()
        self.assigned: set[str] = set()
        self.own = own
        self.changing = dict(changing)
        self.rebound = rebound
        self.needed = needed
        self.fixed = 0  # above 0: what is met cannot be replaced before a trace
        self.lifted = False
        self.compared: set[int] = set()
        self.generators: list[Any] = []
        self.sources: list[Any] = []  # iterators and the like that cannot be replaced
        self.locked: set[int] = set()  # those that can
        self.reads: list[Read] = []
        self.seen: dict[int, int] = {}
        self.unnamed: set[int] = set()  # objects that count as what they hold
        self.depth = 0

    def read(self, kind: str, holder: Any, key: Any, value: Any) -> bool:
        """Note a place; False for those that the function writes to itself."""
        if (kind, id(holder), key) in self.own:
            return False
        r = Read(kind, holder, key, value)
        self.reads.append(r)
        if self.rebound and r.place in self.rebound:
            self.changing.update({id(v): v for v in arrays_in(r, value)})
        return True

    def value(self, v: Any) -> Any:
        """The facts about a value."""
        cls = type(v)
        if cls is float:
            return "float", struct.pack("d", v)
        if cls is slice:  # not hashable in Python 3.11
            return cls, self.value(v.start), self.value(v.stop), self.value(v.step)
        if cls in _ATOMS:
            return cls, v if cls is not complex else struct.pack("dd", v.real, v.imag)
        if isinstance(v, np.generic):
            return cls, v.tobytes()
        place = self.seen.get(id(v))
        if place is not None:
            if self.fixed and type(v) is np.ndarray and id(v) not in self.compared:
                return self.array(v)
            if self.fixed and id(v) in self.locked:
                self.sources.append(v)
            return "again", place
        self.seen[id(v)] = len(self.seen)
        if self.depth > _DEPTH:
            return "id", id(v)
        self.depth += 1
        try:
            return self.object(v, cls)
        finally:
            self.depth -= 1

    def object(self, v: Any, cls: type) -> Any:
        """The facts about a value that may be changed, or that holds others."""
        if cls is types.FunctionType:
            return self.function(v)
        if isinstance(v, np.ndarray):
            return self.array(v)
        if cls is tuple:
            return cls, tuple([self.value(x) for x in v])
        if isinstance(v, tuple | frozenset):
            return cls, tuple(self.unlifted(v))
        if isinstance(v, list):
            return self.whole("list", v, tuple(v), v)
        if isinstance(v, set):
            return self.whole("set", v, tuple(v), v)
        if isinstance(v, dict):
            return self.whole("dict", v, tuple(v.items()), [x for kv in v.items() for x in kv])
        if cls is types.MethodType:
            return "method", self.value(v.__func__), self.value(v.__self__)
        if cls is functools.partial:
            return "partial", self.value(v.func), self.value(v.args), self.value(v.keywords)
        if cls is Param:
            return self.param(v)
        if cls is Params:
            return "params", tuple([self.value(p) for p in v.items])
        if cls in _CLASSES_OF_FUNCTIONS:
            return "id", id(v)
        if cls is types.ModuleType:
            if v is os and not self.names.isdisjoint(("environ", "getenv")):
                return "module", id(v), self.value(os.environ)
            self.fixed += 1
            facts = [] if is_library(v) else self.entries(v.__dict__)
            self.fixed -= 1
            return ("module", id(v), *facts)
        if isinstance(v, type):
            return ("class", id(v), *([] if is_library(v) else self.of_class(v)))
        return self.instance(v, cls)

    def whole(self, kind: str, v: Any, content: Any, parts: Any) -> Any:
        if not self.read(kind, v, None, content):
            if kind != "dict":
                return "own", id(v)
            return "own", id(v), *self.variables(v, [k for k in v if type(k) is str])
        plain = type(v) is list or type(v) is dict
        return type(v), tuple([self.value(x) for x in parts] if plain else self.unlifted(parts))

    def unlifted(self, parts: Any) -> list[Any]:
        """Facts about parts of what cannot be replaced before a trace."""
        self.fixed += 1
        try:
            return [self.value(x) for x in parts]
        finally:
            self.fixed -= 1

    def param(self, v: Param) -> Any:
        self.read("slot", v, "value", v.value)
        return "param", id(v), v.value.dtype, v.value.shape  # an input by reference

    def array(self, v: np.ndarray[Any, Any]) -> Any:
        lift = not self.fixed and lifted(v, self.changing)
        self.lifted |= lift
        content = not lift or id(v) in self.needed
        if content:
            self.compared.add(id(v))
        state = _array_state(v, content and v.dtype.kind in "biufc")
        if not self.read("array", v, None, state):
            return "own", id(v)
        # an input by reference: another array of its kind is read by the same code
        return "array", 0 if not content else id(v), state[0], state[2:]

    def function(self, f: types.FunctionType) -> Any:
        code = f.__code__
        self.read("function", f, None, (code, f.__defaults__, f.__kwdefaults__))
        facts: list[Any] = ["function", code, id(f.__globals__)]
        facts += [self.value(f.__defaults__)]
        if f.__kwdefaults__:
            facts += [self.value(f.__kwdefaults__)]
        for cell in f.__closure__ or ():
            content = _content(cell)
            fine = self.read("cell", cell, None, content)
            facts.append(self.value(content) if fine and content is not MISSING else "own")
        if is_library(f):
            return tuple(facts)
        names = names_in(code)
        self.attributes |= names.attributes
        self.asking |= names.strings
        self.assigned |= names.assigned
        self.fixed += bool(names.assigned)
        facts += self.variables(f.__globals__, names.read)
        self.fixed -= bool(names.assigned)
        return tuple(facts)

    def variables(self, holder: dict[str, Any], names: Any) -> Iterator[Any]:
        """The facts about entries of a dict of variables or attributes."""
        for name in names:
            content = holder.get(name, MISSING)
            if self.read("entry", holder, name, content) and content is not MISSING:
                yield name, self.value(content)

    def entries(self, holder: dict[str, Any]) -> list[Any]:
        """Those entries of a module's or an object's dict that are named as attributes."""
        named = [n for n in self.names if n in holder]
        return list(self.variables(holder, sorted(named)))

    def absent(self, holder: dict[str, Any]) -> None:
        """Note names that are asked for as strings, as by ``getattr``, and are not there."""
        for name in sorted(self.asked.difference(holder)):
            self.read("entry", holder, name, MISSING)

    def of_class(self, cls: type, without: Container[str] = ()) -> list[Any]:
        """What is named of a class: its functions, its own variables; and all special methods."""
        facts: list[Any] = []
        self.read("class", cls, None, _class_state(cls))
        for base in cls.__mro__:
            if is_library(base):
                facts.append(id(base))
                continue
            for name, held in list(base.__dict__.items()):
                special = name.startswith("__") and name.endswith("__") and name not in without
                if name not in self.names and not (special and type(held) is types.FunctionType):
                    continue
                v = held.__func__ if isinstance(held, staticmethod | classmethod) else held
                v = v.fget if isinstance(v, property) else v
                if self.read("attribute", base, name, held):
                    facts.append((name, *self.unlifted([v])))
        return facts

    def instance(self, v: Any, cls: type) -> Any:
        """An object of a class: its attributes that are named; of SymFlux's own, all of them."""
        held = getattr(v, "__dict__", None)
        ours = cls.__module__.startswith("symflux.")
        if hasattr(cls, "__wrapped__") or (type(held) is dict and "__wrapped__" in held):
            return ("wrapper", 0 if ours else id(v), self.value(v.__wrapped__))
        holds: tuple[Any, ...] = ()
        if isinstance(v, HOLDERS):
            parts = content_of(v)
            if not self.read("content", v, None, parts):
                return "own", id(v)
            holds = ("content", cls, id(v), *self.unlifted(parts))
            if is_library(cls):
                return holds
        if (cls.__module__, cls.__name__) in NAMESPACES and held is not None:
            self.read("object", v, None, (cls, held))
            self.absent(held)
            return ("object", id(v), id(cls), *self.entries(held))
        if is_source(v):
            if type(v) is np.flatiter:
                self.sources.append(v)
                return "flat", v.coords, *self.unlifted([v.base])
            if self.fixed:
                self.sources.append(v)
            else:
                self.lifted = True
                self.locked.add(id(v))
            return "id", id(v)
        if is_library(cls):
            if cls.__name__ in ("Generator", "RandomState", "Random"):
                self.generators.append(v)
            if not ours or type(held) is not dict:
                return "id", id(v)
            self.read("object", v, None, (cls, held))
            return "ours", id(cls), self.value(held)
        own, without = id(v), _NOT_OF_OBJECTS
        if id(v) in self.unnamed:  # it was compared by these to find out what it is
            own, without = 0, without | {"__eq__", "__hash__"}
        facts: list[Any] = [holds, "object", own, id(cls), *self.of_class(cls, without)]
        if type(held) is dict:
            self.read("object", v, None, (cls, held))
            self.fixed += has_slots(cls)
            facts += self.entries(held)
            self.fixed -= has_slots(cls)
            self.absent(held)
            for name in self.names.difference(held, self.asked):
                if any(name in c.__dict__ for c in cls.__mro__ if not is_library(c)):
                    self.read("entry", held, name, MISSING)  # it may hide the class's own later
        for name in itertools.chain.from_iterable(map(_slots, cls.__mro__)):
            if name in self.names and type(getattr(cls, name, None)) is not property:
                content = getattr(v, name, MISSING)  # a property in its place is computed
                if self.read("slot", v, name, content) and content is not MISSING:
                    facts.append((name, *self.unlifted([content])))
        return tuple(facts)


#: special methods that an object which is there was made with, or is shown by
_NOT_OF_OBJECTS = frozenset(("__init__", "__new__", "__post_init__", "__repr__", "__str__"))


def has_slots(cls: type) -> bool:
    """Whether objects of a class keep attributes elsewhere than in a dict."""
    return any(c.__dict__.get("__slots__") for c in cls.__mro__)


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
