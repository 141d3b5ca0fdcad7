"""Small classes of named fields, made without generating code until it is needed.

``@record`` gives a class what ``@dataclass`` of the standard library gives it, for the part of it
that SymFlux uses: fields from annotations, defaults, ``field(default_factory=...)``, ``frozen``,
``slots``, ``eq``, ``__post_init__``. ``dataclass`` writes and compiles up to six functions for
every class when its module is imported, 0.3 to 0.5 ms a class, which for the hundred classes of the
compiler was half of the time until a process had its first answer. Here comparing, hashing,
printing and pickling are closures, and ``__init__`` is compiled by the first call.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, field
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

__all__ = ["field", "record", "replace"]

C = TypeVar("C", bound=type)
T = TypeVar("T")


@overload
def record(cls: C) -> C: ...
@overload
def record(*, frozen: bool = ..., slots: bool = ..., eq: bool = ...) -> Callable[[C], C]: ...
@dataclass_transform(field_specifiers=(field,))
def record(
    cls: type | None = None, *, frozen: bool = False, slots: bool = False, eq: bool = True
) -> Any:
    """Make a class with annotated fields a record.

    Args:
        frozen: fields are set once, by ``__init__``; with ``eq`` records can be hashed.
        slots: there are no attributes but the fields, and no ``__dict__``.
        eq: records of the same class with equal fields are equal; otherwise only identical ones.

    >>> @record(frozen=True)
    ... class Point:
    ...     x: int
    ...     y: int = 0
    >>> Point(1), Point(1) == Point(1, 0), replace(Point(1), y=2)
    (Point(x=1, y=0), True, Point(x=1, y=2))
    """
    if cls is None:
        return lambda made: _make(made, frozen, slots, eq)
    return _make(cls, frozen, slots, eq)


def replace(obj: T, /, **changes: Any) -> T:
    """A record like ``obj``, with other values of some fields; TypeError for other names."""
    names: tuple[str, ...] = type(obj)._fields  # type: ignore[attr-defined]
    values = [changes.pop(name) if name in changes else getattr(obj, name) for name in names]
    if changes:
        raise TypeError(f"{type(obj).__name__} has no field {', '.join(changes)}")
    return type(obj)(*values)


def _make(cls: Any, frozen: bool, slots: bool, eq: bool) -> Any:
    defaults: dict[str, Any] = {}
    inherited: tuple[str, ...] = ()
    for base in reversed(cls.__mro__[1:]):
        if "_defaults" in base.__dict__:
            defaults |= base._defaults
            inherited += tuple(n for n in base._fields if n not in inherited)
    own = list(cls.__annotations__)
    for name in own:
        default = cls.__dict__.get(name, MISSING)
        if isinstance(default, Field) or (default is not MISSING and slots):
            delattr(cls, name)  # a slot takes its place, or nothing
        if isinstance(default, Field):
            defaults[name] = default
            if default.default is not MISSING and not slots:
                setattr(cls, name, default.default)
        elif default is not MISSING:
            defaults[name] = field(default=default)
    if slots:
        cls = _with_slots(cls, [n for n in own if n not in inherited])
    names = (*inherited, *[n for n in own if n not in inherited])
    cls._fields, cls._defaults = names, defaults
    cls.__match_args__ = names  # type: ignore[misc]
    given = cls.__dict__
    if "__init__" not in given:
        cls.__init__ = _first_init(cls, frozen)
    if "__repr__" not in given:
        cls.__repr__ = _repr
    if eq:
        get = attrgetter(*names) if names else _nothing
        if "__eq__" not in given:
            cls.__eq__ = _equality(get)
        if "__hash__" not in given or given["__hash__"] is None:
            cls.__hash__ = (lambda self: hash(get(self))) if frozen else None
    if frozen:
        cls.__setattr__ = _refuse
        cls.__delattr__ = _refuse
        if slots and "__getstate__" not in given:
            cls.__getstate__, cls.__setstate__ = _state, _set_state
    return cls


def _with_slots(cls: type, own: list[str]) -> type:
    """The class once more, with slots."""
    namespace = {k: v for k, v in cls.__dict__.items() if k not in ("__dict__", "__weakref__")}
    namespace["__slots__"] = tuple(own)
    made = type(cls)(cls.__name__, cls.__bases__, namespace)
    made.__qualname__ = cls.__qualname__
    return made


def _first_init(cls: type, frozen: bool) -> Callable[..., None]:
    """An ``__init__`` that compiles the real one, puts it in its own place, and calls it."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        init = _init(cls, frozen)
        cls.__init__ = init  # type: ignore[misc]
        init(self, *args, **kwargs)

    return __init__


def _init(cls: Any, frozen: bool) -> Callable[..., None]:
    """``__init__(self, <fields>)``, compiled. Frozen records are filled through their slots'
    descriptors, or through their dictionary."""
    scope: dict[str, Any] = {"_missing": MISSING}
    parameters, body = ["self"], []
    for name in cls._fields:
        default = cls._defaults.get(name)
        value = name
        if default is None:
            parameters.append(name)
        elif default.default_factory is not MISSING:
            scope[f"_make_{name}"] = default.default_factory
            parameters.append(f"{name}=_missing")
            value = f"_make_{name}() if {name} is _missing else {name}"
        else:
            scope[f"_default_{name}"] = default.default
            parameters.append(f"{name}=_default_{name}")
        if not frozen:
            body.append(f"self.{name} = {value}")
            continue
        slot: Any = next((c.__dict__[name] for c in cls.__mro__ if name in c.__dict__), None)
        if hasattr(slot, "__set__"):
            scope[f"_set_{name}"] = slot.__set__
            body.append(f"_set_{name}(self, {value})")
        else:
            body.append(f"self.__dict__[{name!r}] = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    text = f"def __init__({', '.join(parameters)}):\n    " + "\n    ".join(body or ["pass"])
    exec(compile(text, __file__, "exec"), scope)
    init: Callable[..., None] = scope["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _nothing(obj: Any) -> tuple[()]:
    return ()


def _equality(get: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def __eq__(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return get(self) == get(other)

    return __eq__


@reprlib.recursive_repr()
def _repr(self: Any) -> str:
    values = ", ".join([f"{name}={getattr(self, name)!r}" for name in type(self)._fields])
    return f"{type(self).__qualname__}({values})"


def _refuse(self: Any, name: str, value: Any = None) -> None:
    raise FrozenInstanceError(f"cannot change field {name!r} of a {type(self).__name__}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in type(self)._fields]


def _set_state(self: Any, state: list[Any]) -> None:
    for name, value in zip(type(self)._fields, state, strict=True):
        object.__setattr__(self, name, value)
