"""Words of memory that must hold what they held: how generated code sees that nothing changed.

Python keeps a variable as a pointer at a fixed place: in a cell, in an entry of a dict, in the
items of a list. :class:`Words` is a table of such places with the pointers that stood there, and
generated code compares them one after the other, about half a nanosecond each. The table is data:
it may be written anew (for an equal value in another object) while the code stays as it is.

Places inside of dicts and types follow the layout of CPython's structures. Nothing is assumed: each
place is read when it is entered, and one that does not hold what Python says stands there is
refused (``False``); who asked then has to compare in Python.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...thresholds import thresholds
from .capi import ARRAY, FREE_THREADED, HEAD

__all__ = ["MISSING", "Words"]

#: stands for a variable that is not there
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "<missing>"})()

_CODE, _DEFAULTS, _KWDEFAULTS = HEAD + 32, HEAD + 40, HEAD + 48  # of a function object
_USED, _KEYS, _VALUES = HEAD, HEAD + 16, HEAD + 24  # of a dict
_ENTRIES = 24  # of the keys of a dict: how many entries were made
_INDICES = 32  # and where the hash table begins, behind which the entries lie
_FILL, _MASK, _TABLE = HEAD, HEAD + 16, HEAD + 24  # of a set; how many it holds: between them
_VERSION = HEAD + 368  # of a type object: changes with every change of the class
_MEMBER = HEAD + 24  # of the descriptor of a slot: its definition
_NEVER = np.zeros(3, np.uint64)  # a pair that does not hold
_NEVER[:2] = _NEVER.ctypes.data + 16, 1
_HEADER = 5  # words of a block before the pairs
_WIDE = 1 << 40  # a dict of more bytes is not believed


def _word(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value


class Words:
    """Pairs of an address and the word that must stand there, and runs of bytes to compare.

    The methods enter places; each returns whether it could. ``address`` is that of the block that
    generated code reads: number of pairs, pairs, number of runs, runs; and, where there are few
    pairs and no runs, their number once more and the pairs themselves, for code that was written
    for so many."""

    __slots__ = ("_few", "_keep", "_pairs", "_runs", "_seen", "block")

    def __init__(self) -> None:
        self._few = thresholds.watched_in_line
        self.block = np.zeros(_HEADER + 2 * self._few, np.uint64)
        self.clear()

    def clear(self) -> None:
        """Forget all places; ``publish`` makes that known to the code."""
        self._pairs: list[tuple[int, int]] = []
        self._runs: list[tuple[int, int, int]] = []
        self._keep: list[Any] = []
        self._seen: set[int] = set()

    @property
    def address(self) -> int:
        return int(self.block.ctypes.data)

    def withdraw(self) -> None:
        """Let generated code find a change, whatever holds, until ``publish`` is called."""
        self.block[:_HEADER] = (1, _NEVER.ctypes.data, 0, 0, 0)

    def publish(self) -> None:
        """Let generated code use what was entered."""
        pairs = np.array(self._pairs, np.uint64).reshape(-1, 2)
        runs = np.array(self._runs, np.uint64).reshape(-1, 3)
        self._keep += [pairs, runs]
        few = self.in_line
        self.block[_HEADER : _HEADER + 2 * few] = pairs[:few].ravel()
        self.block[:_HEADER] = (
            len(pairs), pairs.ctypes.data, len(runs), runs.ctypes.data, few
        )  # fmt: skip

    @property
    def in_line(self) -> int:
        """How many pairs code is written for; 0 for any number."""
        return len(self._pairs) if len(self._pairs) <= self._few and not self._runs else 0

    def hold(self) -> bool:
        """Whether all pairs and runs are as they were."""
        return all(_word(address) == expected for address, expected in self._pairs) and all(
            ctypes.string_at(now, size) == ctypes.string_at(before, size)
            for now, before, size in self._runs
        )

    # -- places -----------------------------------------------------------------------------------

    def _pair(self, address: int, expected: int) -> bool:
        """A place that holds ``expected`` now."""
        if FREE_THREADED or _word(address) != expected:
            return False
        self._pairs.append((address, expected))
        return True

    def _once(self, holder: Any) -> bool:
        """Whether a holder is met for the first time; it is kept alive."""
        if id(holder) in self._seen:
            return False
        self._seen.add(id(holder))
        self._keep.append(holder)
        return True

    def cell(self, cell: Any, value: Any) -> bool:
        """A closure's variable."""
        self._keep += [cell, value]
        return self._pair(id(cell) + HEAD, 0 if value is MISSING else id(value))

    def function(self, fn: Any) -> bool:
        """The code of a function and its tables of defaults."""
        self._keep += [fn, fn.__code__, fn.__defaults__, fn.__kwdefaults__]
        parts = (
            (_CODE, fn.__code__),
            (_DEFAULTS, fn.__defaults__),
            (_KWDEFAULTS, fn.__kwdefaults__),
        )
        return all(self._pair(id(fn) + o, 0 if v is None else id(v)) for o, v in parts)

    def items(self, holder: list[Any], values: Sequence[Any]) -> bool:
        """All items of a list."""
        self._keep += [holder, values]
        if not self._pair(id(holder) + HEAD, len(values)):
            return False
        first = _word(id(holder) + HEAD + 8)
        if not self._pair(id(holder) + HEAD + 8, first):
            return False
        if len(values) < thresholds.long_list:
            return all(self._pair(first + 8 * i, id(value)) for i, value in enumerate(values))
        copy = np.array(list(map(id, values)), np.uint64)
        if ctypes.string_at(first, copy.nbytes) != copy.tobytes():
            return False
        self._keep.append(copy)
        self._runs.append((first, int(copy.ctypes.data), copy.nbytes))
        return True

    def elements(self, holder: set[Any], values: Sequence[Any]) -> bool:
        """All elements of a set, and that there are no others."""
        self._keep += [holder, values]
        base = id(holder)
        if not self._pair(base + _FILL + 8, len(values)) or not values:
            return not values
        mask, table = _word(base + _MASK), _word(base + _TABLE)
        if mask >= _WIDE or not self._pair(base + _MASK, mask):
            return False
        if not self._pair(base + _TABLE, table):
            return False
        # an element and its hash in each place; those removed leave an object that stands for none
        found = np.frombuffer(ctypes.string_at(table, 16 * (mask + 1)), np.uint64)[::2].tolist()
        ids = list(map(id, values))
        wanted = set(ids)
        places = [n for n, key in enumerate(found) if key in wanted]
        if [found[n] for n in places] != ids:
            return False
        return all(self._pair(table + 16 * n, found[n]) for n in places)

    def entry(self, holder: dict[str, Any], name: str, value: Any) -> bool:
        """One entry of a dict; MISSING: that there is none."""
        if not holder:
            return value is MISSING and self._is_empty(holder)
        keys = self._table(holder)
        if not keys:
            return False
        self._keep += [name, value]
        place, key = self._find(holder, keys, name)
        if place:
            if key and not self._pair(place - 8, id(name)):
                return False
            return self._pair(place, 0 if value is MISSING else id(value))
        # an entry that comes later is one more
        return value is MISSING and self._pair(keys + _ENTRIES, _word(keys + _ENTRIES))

    def all_entries(self, holder: dict[Any, Any]) -> bool:
        """All entries of a dict, and that there are no others."""
        if not holder:
            return self._is_empty(holder)
        keys = self._table(holder)
        if not keys or not self._pair(id(holder) + _USED, len(holder)):
            return False
        if not self._pair(keys + _ENTRIES, _word(keys + _ENTRIES)):
            return False
        for name, value in holder.items():
            self._keep += [name, value]
            place, key = self._find(holder, keys, name)
            if not place or (key and not self._pair(place - 8, id(name))):
                return False
            if not self._pair(place, id(value)):
                return False
        return True

    def _is_empty(self, holder: dict[Any, Any]) -> bool:
        """That a dict has no entries: all that have none share one table, without room for any."""
        self._keep.append(holder)
        return self._pair(id(holder) + _USED, 0)

    def _table(self, holder: dict[Any, Any]) -> int:
        """The address of a dict's keys, entered with what says where its entries lie."""
        if FREE_THREADED:
            return 0
        keys = _word(id(holder) + _KEYS)
        if self._once(holder):
            sizes = ctypes.c_uint16.from_address(keys + 8).value
            values = _word(id(holder) + _VALUES)
            if not self._pair(id(holder) + _KEYS, keys) or not sizes:
                self._seen.discard(id(holder))
                return 0
            if values:
                self._pair(id(holder) + _VALUES, values)
            else:  # a table of its own could come back to this address with another size
                # two bytes of sizes and the kind, which says that there are no values of a dict's
                # own; what is before is zero
                self._pair(keys + 3, _word(keys + 3))
        return keys

    @staticmethod
    def _find(holder: dict[Any, Any], keys: int, name: Any) -> tuple[int, bool]:
        """Where the value of a key lies, and whether the key lies before it; 0 where it does not
        lie anywhere."""
        kind = ctypes.c_uint8.from_address(keys + 10).value
        width = 3 if kind == 0 else 2
        count = _word(keys + _ENTRIES)
        first = keys + _INDICES + (1 << ctypes.c_uint8.from_address(keys + 9).value)
        if count * width * 8 > _WIDE or not count:
            return 0, False
        table = np.frombuffer(ctypes.string_at(first, count * width * 8), np.uint64)
        found = np.flatnonzero(table[width - 2 :: width] == np.uint64(id(name)))
        if not len(found):
            return 0, False
        values = _word(id(holder) + _VALUES)
        if not values:
            return first + int(found[0]) * width * 8 + (width - 1) * 8, True
        place = values + 8 * int(found[0])
        wanted = holder.get(name, MISSING)
        expected = 0 if wanted is MISSING else id(wanted)
        return (place if _word(place) == expected else place + 8), False

    def dict_of(self, obj: Any, holder: dict[str, Any]) -> bool:
        """The dict and the class of an object."""
        self._keep += [obj, type(obj), holder]
        offset = type(obj).__dictoffset__
        if not self._pair(id(obj) + HEAD - 8, id(type(obj))):
            return False
        places = (id(obj) + offset,) if offset > 0 else (id(obj) - 24, id(obj) - 32)
        return any(self._pair(place, id(holder)) for place in places)

    def slot(self, obj: Any, name: str, value: Any) -> bool:
        """An attribute that has its place in the object (``__slots__``)."""
        descriptor = next((c.__dict__[name] for c in type(obj).__mro__ if name in c.__dict__), None)
        if type(descriptor).__name__ != "member_descriptor":
            return False
        self._keep += [obj, value, descriptor]
        offset = _word(_word(id(descriptor) + _MEMBER) + 16)
        if offset >= 1 << 20:
            return False
        return self._pair(id(obj) + offset, 0 if value is MISSING else id(value))

    def type(self, cls: type) -> bool:
        """That a class was not changed: its version says."""
        getattr(cls, "__doc__", None)  # a class gets a version when something is looked up
        version = _word(id(cls) + _VERSION)
        self._keep.append(cls)
        return _believed() and version & 0xFFFFFFFF != 0 and self._pair(id(cls) + _VERSION, version)

    def array(self, array: np.ndarray[Any, Any], content: bytes | None) -> bool:
        """The dtype, shape, strides and memory of an array, and what it holds (None: whatever it
        holds)."""
        self._keep += [array, array.dtype]
        base = id(array)
        dimensions, strides = _word(base + ARRAY["dimensions"]), _word(base + ARRAY["strides"])
        # the upper halves are padding
        nd, flags = _word(base + ARRAY["nd"]), _word(base + ARRAY["flags"])
        regular = array.flags.c_contiguous  # the flags say so: strides follow from the shape
        fits = (
            self._pair(base + ARRAY["data"], array.ctypes.data)
            and self._pair(base + ARRAY["descr"], id(array.dtype))
            and self._pair(base + ARRAY["nd"], nd)
            and self._pair(base + ARRAY["dimensions"], dimensions)
            and all(self._pair(dimensions + 8 * i, n) for i, n in enumerate(array.shape))
            and self._pair(base + ARRAY["flags"], flags)
        )
        if fits and not regular:
            fits = self._pair(base + ARRAY["strides"], strides) and all(
                self._pair(strides + 8 * i, n % (1 << 64)) for i, n in enumerate(array.strides)
            )
        if not fits or content is None:
            return fits
        if not regular:
            return False
        start, size = int(array.ctypes.data), len(content)
        if 8 <= size <= 64:  # the last word may overlap the one before
            offsets = [*range(0, size - 7, 8), size - 8]
            words = [int.from_bytes(content[o : o + 8], "little") for o in offsets]
            return all(self._pair(start + o, w) for o, w in zip(offsets, words, strict=True))
        if size:
            copy = np.frombuffer(content, np.uint8)
            self._keep.append(copy)
            self._runs.append((start, int(copy.ctypes.data), size))
        return True


_trusted: list[bool] = []


def _believed() -> bool:
    """Whether the version of a class lies where this file says, tried once."""
    if not _trusted:
        tried = type("Tried", (), {"a": 1})
        seen = set()
        for value in range(3):
            tried.a = value  # type: ignore[attr-defined]
            getattr(tried, "a")  # noqa: B009
            seen.add(_word(id(tried) + _VERSION) & 0xFFFFFFFF)
        quiet = _word(id(tried) + _VERSION) & 0xFFFFFFFF in seen
        _trusted.append(len(seen) == 3 and 0 not in seen and quiet)
    return _trusted[0]
