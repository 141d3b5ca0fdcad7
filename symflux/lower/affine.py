"""Loop axes and affine index expressions over them, while a graph is turned into loops."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

__all__ = ["Affine", "Axis", "Dynamic", "as_affine", "divide"]

_ids = itertools.count()


class Axis:
    """One loop over 0 .. extent-1. Compared by identity."""

    __slots__ = ("extent", "id")

    def __init__(self, extent: int) -> None:
        self.extent = extent
        self.id = next(_ids)

    def __repr__(self) -> str:
        return f"a{self.id}<{self.extent}"


class Dynamic:
    """A run-time integer used as an index (gather); ``low <= value <= high`` is guaranteed."""

    __slots__ = ("high", "id", "low", "value")

    def __init__(self, value: Any, low: int, high: int) -> None:
        self.value = value
        self.low = low
        self.high = high
        self.id = next(_ids)


Term = Axis | Dynamic


class Affine:
    """``offset + sum(coefficient * axis)``; immutable, hashable."""

    __slots__ = ("_hash", "offset", "terms")

    def __init__(self, terms: tuple[tuple[Term, int], ...] = (), offset: int = 0) -> None:
        self.terms = terms
        self.offset = offset
        self._hash = hash((offset, tuple([(t.id, c) for t, c in terms])))

    @staticmethod
    def of(axis: Term) -> Affine:
        return Affine(((axis, 1),))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Affine)
            and self._hash == other._hash
            and self.offset == other.offset
            and self.terms == other.terms
        )

    def __hash__(self) -> int:
        return self._hash

    def __add__(self, other: Affine | int) -> Affine:
        if isinstance(other, int):
            return Affine(self.terms, self.offset + other) if other else self
        terms = dict(self.terms)
        for term, coefficient in other.terms:
            terms[term] = terms.get(term, 0) + coefficient
        kept = [(t, c) for t, c in terms.items() if c]
        kept.sort(key=lambda pair: pair[0].id)
        return Affine(tuple(kept), self.offset + other.offset)

    __radd__ = __add__

    def __sub__(self, other: Affine | int) -> Affine:
        return self + (other * -1 if isinstance(other, Affine) else -other)

    def __mul__(self, factor: int) -> Affine:
        if factor == 1:
            return self
        if factor == 0:
            return Affine()
        return Affine(tuple([(t, c * factor) for t, c in self.terms]), self.offset * factor)

    __rmul__ = __mul__

    def range(self, ranges: Mapping[Axis, tuple[int, int]]) -> tuple[int, int]:
        """The lowest and highest value, for axes within ``ranges`` (inclusive; default: all)."""
        low = high = self.offset
        for term, coefficient in self.terms:
            if isinstance(term, Axis):
                first, last = ranges.get(term) or (0, term.extent - 1)
            else:
                first, last = term.low, term.high
            low += coefficient * (first if coefficient > 0 else last)
            high += coefficient * (last if coefficient > 0 else first)
        return low, high

    def replace(self, mapping: Mapping[Axis, Axis]) -> Affine:
        """The same over other axes."""
        if not any(t in mapping for t, _ in self.terms):
            return self
        result = Affine((), self.offset)
        for term, coefficient in self.terms:
            new = mapping.get(term, term) if isinstance(term, Axis) else term
            result = result + Affine(((new, coefficient),))
        return result

    def is_axis(self, axis: Axis) -> bool:
        """Whether this is just that axis."""
        return self.offset == 0 and len(self.terms) == 1 and self.terms[0] == (axis, 1)

    def __repr__(self) -> str:
        return "+".join([*(f"{c}*{t!r}" for t, c in self.terms), str(self.offset)])


def as_affine(value: Affine | int) -> Affine:
    """An index element as an Affine."""
    return value if isinstance(value, Affine) else Affine((), value)


def divide(
    value: Affine, by: int, ranges: Mapping[Axis, tuple[int, int]]
) -> tuple[Affine, Affine] | None:
    """``(value // by, value % by)`` when both are affine over the ranges; else None."""
    quotient = Affine((), value.offset // by)
    rest = Affine((), value.offset % by)
    for term, coefficient in value.terms:
        quotient = (
            quotient + Affine(((term, coefficient // by),)) if coefficient // by else quotient
        )
        if coefficient % by:
            rest = rest + Affine(((term, coefficient % by),))
    low, high = rest.range(ranges)
    return (quotient, rest) if low >= 0 and high < by else None
