"""When two settings are the same to a program: equal in type, bits and order, all the way down.

Python calls ``1``, ``1.0`` and ``True`` equal, and ``0.0`` and ``-0.0``, and tuples and objects of
those, though a function may do other things with them; and it calls no nan equal to another one.
What was compiled for one value of a setting is used for another only if the two are the same here.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ["hashed", "same"]

#: Types whose equal objects do not differ in anything.
_PLAIN = frozenset({int, bool, str, bytes, type(None)})
_Pairs = set[tuple[int, int]]


def same(a: Any, b: Any) -> bool:
    """Whether a function cannot tell two static values apart.

    Objects of other classes decide with their own ``==``, and differ too where they hold equal
    attributes that are not the same (``Config(2.0)`` and ``Config(2)``).

    >>> same((1, 2.0), (1, 2.0)), same((True,), (1,)), same(0.0, -0.0)
    (True, False, False)
    >>> same(float("nan"), float("nan"))
    True
    """
    return a is b or _same(a, b, set())


def _same(a: Any, b: Any, seen: _Pairs) -> bool:
    if a is b:
        return True
    cls = type(a)
    if cls is not type(b):
        return False
    if cls in _PLAIN:
        return bool(a == b)
    if cls is float:
        return struct.pack("d", a) == struct.pack("d", b)
    pair = id(a), id(b)
    if pair in seen:  # objects that refer to each other: whoever is comparing them decides
        return True
    seen.add(pair)
    compare = _COMPARED.get(cls) or _comparison(cls)
    found = compare(a, b, seen)
    seen.discard(pair)  # what was made for the comparison goes, and its id may come again
    return found


def _comparison(cls: type) -> Callable[[Any, Any, _Pairs], bool]:
    if issubclass(cls, np.generic):
        return _same_scalars
    return _same_fields if _has_fields_only(cls) else _same_objects


def _same_complex(a: complex, b: complex, seen: _Pairs) -> bool:
    return struct.pack("dd", a.real, a.imag) == struct.pack("dd", b.real, b.imag)


def _same_scalars(a: Any, b: Any, seen: _Pairs) -> bool:
    if a.dtype != b.dtype:
        return False
    if isinstance(a, np.longdouble):  # its bytes hold more than its bits
        equal = bool(a == b) and np.signbit(a) == np.signbit(b)
        return bool(equal or (np.isnan(a) and np.isnan(b)))
    if a.dtype.hasobject or isinstance(a, np.clongdouble):
        return bool(a == b)
    return bool(a.tobytes() == b.tobytes())


def _same_items(a: Any, b: Any, seen: _Pairs) -> bool:
    return len(a) == len(b) and all(_same(x, y, seen) for x, y in zip(a, b, strict=True))


def _same_dicts(a: dict[Any, Any], b: dict[Any, Any], seen: _Pairs) -> bool:
    return _same_items(list(a.items()), list(b.items()), seen)


def _same_sets(a: Any, b: Any, seen: _Pairs) -> bool:
    left = list(b)
    for x in a:
        n = next((n for n, y in enumerate(left) if _same(x, y, seen)), None)
        if n is None:
            return False
        del left[n]
    return not left


_COMPARED: dict[type, Callable[[Any, Any, _Pairs], bool]] = {
    complex: _same_complex, tuple: _same_items, list: _same_items, dict: _same_dicts,
    set: _same_sets, frozenset: _same_sets,
}  # fmt: skip


def _same_fields(a: Any, b: Any, seen: _Pairs) -> bool:
    return all(
        _same(getattr(a, name, None), getattr(b, name, None), seen) for name in _fields(type(a))
    )


def _same_objects(a: Any, b: Any, seen: _Pairs) -> bool:
    return _equal(a, b) and not _differ_inside(a, b, seen)


def _has_fields_only(cls: Any) -> bool:
    """Whether objects of a class are compared by their fields, in the way of ``dataclass``."""
    if issubclass(cls, tuple):
        return hasattr(cls, "_fields") and cls.__eq__ is tuple.__eq__
    equal = getattr(cls.__eq__, "__code__", None)
    made = equal is not None and equal.co_filename == "<string>"  # by ``dataclass`` itself
    return made and dataclasses.is_dataclass(cls)


def _fields(cls: Any) -> tuple[str, ...]:
    if issubclass(cls, tuple):
        return tuple(cls._fields)
    return tuple(f.name for f in dataclasses.fields(cls) if f.compare)


def _attributes(obj: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(obj, "__dict__", {}).items()
    for cls in type(obj).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{cls.__name__.lstrip('_')}{name}"  # as Python calls it from outside
            if name not in ("__dict__", "__weakref__") and hasattr(obj, name):
                yield name, getattr(obj, name)


def _differ_inside(a: Any, b: Any, seen: _Pairs) -> bool:
    """Whether equal objects can be told apart: by equal attributes that are not the same, or by
    what they print as, where they have no attributes.

    Attributes that are not equal are left to the objects' own ``==``: they may be caches."""
    mine, others = dict(_attributes(a)), dict(_attributes(b))
    if not mine and not others:
        told = type(a).__repr__ is not object.__repr__
        return told and repr(a) != repr(b)
    for name in mine.keys() & others.keys():
        x, y = mine[name], others[name]
        if x is not y and not _same(x, y, seen) and _equal(x, y):
            return True
    return False


def _equal(x: Any, y: Any) -> bool:
    try:
        return bool(x == y)
    except (TypeError, ValueError):  # an array or the like: only itself is the same
        return False


def hashed(value: Any) -> Any:
    """A hash that is equal for what is the ``same``, of values that cannot be hashed too.

    >>> hashed((1.0, float("nan"))) == hashed((1.0, float("nan")))
    True
    """
    cls = type(value)
    if cls is tuple or cls is list:
        return hash(tuple(map(hashed, value)))
    if cls is dict:
        return hash(tuple((hashed(k), hashed(v)) for k, v in value.items()))
    if cls is set or cls is frozenset:
        return hash(frozenset(map(hashed, value)))
    if isinstance(value, float | np.floating) and math.isnan(value):
        return hash(cls)  # Python's own is another one for each nan
    if isinstance(value, complex | np.complexfloating):
        return hash((hashed(float(value.real)), hashed(float(value.imag))))
    if cls not in _PLAIN and _has_fields_only(cls):
        return hash(tuple(hashed(getattr(value, name, None)) for name in _fields(cls)))
    try:
        return hash(value)
    except TypeError:
        return repr(cls)
