"""Which elements of buffers have been stored: sets of elements, their unions, and what they hold.

A set is a box: a first element and steps of several sizes, each taken fewer times than a length:
``{base + sum(step * k) : 0 <= k < length}``. Boxes whose steps are all one are runs; those that lie
at a number are kept in order and joined as they come.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right

from .bounds import Bounds, Form
from .ir import Var

__all__ = ["Box", "Stored"]

#: Sets of one buffer, other than runs, that are compared with each other.
_MOST_BOXES = 48
#: Runs by which a box grows, each compared with what is stored.
_MOST_STEPS = 64

#: a length: a number, or the least of several forms
Length = int | tuple[Form, ...]


class Box:
    """``{base + sum(step * k)}``; ``dims`` are (step, length), steps positive and rising."""

    __slots__ = ("base", "dims")

    def __init__(self, base: Form, dims: tuple[tuple[int, Length], ...] = ()) -> None:
        self.base = base
        self.dims = dims

    def mentions(self, var: Var) -> bool:
        """Whether a length does."""
        return any(
            not isinstance(length, int) and any(var in f.terms for f in length)
            for _, length in self.dims
        )

    def span(self) -> int | None:
        """The offset of its last element, where all lengths are numbers."""
        last = self.base.offset
        for step, length in self.dims:
            if not isinstance(length, int):
                return None
            last += step * (length - 1)
        return last

    def parts(self) -> list[tuple[int, int]]:
        """The runs that it is made of, as (first element, end) relative to the base's symbols;
        none where they are many, or their number is not known."""
        offsets, length = [self.base.offset], 1
        for step, times in self.dims:
            if not isinstance(times, int):
                return []
            if step == 1:
                length = times
            elif times * len(offsets) > _MOST_STEPS:
                return []
            else:
                offsets = [offset + step * k for offset in offsets for k in range(times)]
        return [(offset, offset + length) for offset in offsets]

    def is_new(self, bounds: Bounds, mark: int) -> bool:
        """Whether a symbol made at or after ``mark`` stands in it."""
        if bounds.newer(self.base.terms, mark):
            return True
        for _, length in self.dims:
            if not isinstance(length, int) and any(bounds.newer(f.terms, mark) for f in length):
                return True
        return False

    def over(self, var: Var, extents: tuple[Form, ...], bounds: Bounds) -> Box | None:
        """What is stored by all iterations of a loop together, or a part of it; None: nothing."""
        step = self.base.terms.get(var, 0)
        extent = extents[0].offset if len(extents) == 1 and not extents[0].terms else None
        if extent is not None and extent < 1:
            return None
        if not step:
            runs = extent is not None or all(bounds.at_least(e, 1) for e in extents)
            return self if runs and not self.mentions(var) else None
        if step < 0:
            if extent is None or self.mentions(var):
                return None
            last = self.base.terms[var] * (extent - 1)
            return Box(self.base.at(var, 0).shifted(last), self.dims)._repeated(-step, extent)
        base = self.base.at(var, 0)
        if not self.mentions(var):
            times: Length = extent if extent is not None else extents
            return Box(base, self.dims)._repeated(step, times)
        if extent is None:
            return None
        for place, (own, length) in enumerate(self.dims):
            others = Box(base, self.dims[:place] + self.dims[place + 1 :])
            if step % own or others.mentions(var) or isinstance(length, int):
                continue
            apart = step // own
            before = [f.at(var, k) for f in length for k in (0, extent - 2)]  # affine: the ends
            if extent > 1 and not all(bounds.at_least(f, apart) for f in before):
                continue
            last_ends = [f.at(var, extent - 1).shifted(apart * (extent - 1)) for f in length]
            return others._with(own, _length(last_ends, bounds))
        return None

    def _repeated(self, step: int, times: Length) -> Box:
        """The union of as many copies, ``step`` apart."""
        for place in range(len(self.dims) - 1, -1, -1):
            own, length = self.dims[place]
            if isinstance(length, int) and step % own == 0 and step // own <= length:
                apart = step // own
                if isinstance(times, int):
                    more: Length = length + apart * (times - 1)
                else:
                    more = tuple([f.times(apart) for f in times])
                rest = self.dims[:place] + self.dims[place + 1 :]
                return Box(self.base, rest)._with(own, more)
        return self._with(step, times)

    def _with(self, step: int, length: Length) -> Box:
        """With one more dimension; those that follow on each other become one."""
        if length == 1:
            return self
        dims = sorted([*self.dims, (step, length)], key=lambda d: d[0])
        place = 0
        while place + 1 < len(dims):
            (near, few), (far, many) = dims[place], dims[place + 1]
            if isinstance(few, int) and far % near == 0 and far // near <= few:
                apart = far // near
                if isinstance(many, int):
                    dims[place : place + 2] = [(near, few + apart * (many - 1))]
                else:
                    dims[place : place + 2] = [(near, tuple([f.times(apart) for f in many]))]
                place = max(place - 1, 0)
            else:
                place += 1
        return Box(self.base, tuple(dims))

    def joined(self, other: Box) -> Box | None:
        """The union with another set, where that is a box again."""
        if self.base.terms != other.base.terms:
            return None
        first, second = (
            (self, other) if self.base.offset <= other.base.offset else (other, self)
        )  # fmt: skip
        apart = second.base.offset - first.base.offset
        steps = {d[0] for d in first.dims} | {d[0] for d in second.dims} | {1}
        for step in steps:
            rest = tuple([d for d in first.dims if d[0] != step])
            if apart % step or rest != tuple([d for d in second.dims if d[0] != step]):
                continue
            here = dict(first.dims).get(step, 1)
            there = dict(second.dims).get(step, 1)
            if not isinstance(here, int) or apart // step > here:
                continue
            moved = apart // step
            if isinstance(there, int):
                length: Length = max(here, moved + there)
            else:
                length = tuple([f.shifted(moved) for f in there])
            return Box(first.base, rest)._with(step, length)
        return None

    def holds(self, form: Form, bounds: Bounds) -> bool:
        """Whether every value of ``form`` is proven to be in the set."""
        rest = form.plus(self.base, -1)
        for step, length in reversed(self.dims):
            count, rest = _split(rest, step, bounds)
            if not bounds.at_least(count, 0):
                return False
            if isinstance(length, int):
                if not bounds.at_most(count, length - 1):
                    return False
            elif not all(bounds.at_most(count.plus(f, -1), -1) for f in length):
                return False
        return not rest.terms and not rest.offset


def _length(forms: list[Form], bounds: Bounds) -> Length:
    """The least of several lengths, as a number where it is one."""
    numbers = [f.offset for f in forms if not f.terms]
    if not numbers:
        return tuple(forms)
    least = min(numbers)
    others = [f for f in forms if f.terms and not bounds.at_least(f, least)]
    return (*others, Form(least)) if others else max(least, 0)


def _split(form: Form, step: int, bounds: Bounds) -> tuple[Form, Form]:
    """``(q, r)`` with ``form = step * q + r`` and r from 0 on."""
    if step == 1:
        return form, Form()
    whole = {v: c // step for v, c in form.terms.items() if not c % step}
    rest = Form(form.offset, {v: c for v, c in form.terms.items() if c % step})
    least = bounds.least(rest)
    if least == -math.inf:
        return Form(0, whole), rest
    count = int(least) // step
    return Form(count, whole), rest.shifted(-count * step)


class _Runs:
    """Runs of elements that lie at numbers, relative to a sum of symbols; in order, apart."""

    __slots__ = ("ends", "starts", "terms")

    def __init__(self, terms: dict[Var, int]) -> None:
        self.terms = terms
        self.starts: list[int] = []
        self.ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        starts, ends = self.starts, self.ends
        if ends and start == ends[-1]:  # elements in order, mostly
            ends[-1] = end
            return
        first = bisect_left(ends, start)  # the first that is met
        last = bisect_right(starts, end)
        if first < last:
            start, end = min(start, starts[first]), max(end, ends[last - 1])
        starts[first:last] = [start]
        ends[first:last] = [end]

    def hold(self, low: int | float, high: int | float) -> bool:
        place = bisect_right(self.starts, low) - 1
        return place >= 0 and high < self.ends[place]

    def room(self, start: int, end: int, step: int) -> tuple[int, int]:
        """How many places, ``step`` apart and from this one down or up, lie in one run with it."""
        place = bisect_right(self.starts, start) - 1
        if place < 0 or end > self.ends[place]:
            return 0, 0
        return (start - self.starts[place]) // step + 1, (self.ends[place] - end) // step + 1


class Stored:
    """What has been stored to one buffer in one block (and the blocks inside of it)."""

    __slots__ = ("apart", "boxes", "runs", "settled")

    def __init__(self) -> None:
        self.apart: list[Box] = []  # whose runs are among the runs too
        self.runs: dict[frozenset[tuple[Var, int]], _Runs] = {}
        self.boxes: list[Box] = []
        self.settled = True

    def add(self, box: Box) -> None:
        dims = box.dims
        if not dims:
            self._run(box.base, 1)
        elif len(dims) == 1 and dims[0][0] == 1 and isinstance(dims[0][1], int):
            self._run(box.base, dims[0][1])
        elif len(self.boxes) < _MOST_BOXES:
            self.boxes.append(box)
            self.settled = False

    def _run(self, base: Form, length: int) -> None:
        key = frozenset(base.terms.items())
        runs = self.runs.get(key)
        if runs is None:
            runs = self.runs[key] = _Runs(base.terms)
        runs.add(base.offset, base.offset + length)

    def all(self) -> list[Box]:
        """Everything as boxes, joined where that is possible."""
        self.settle()
        found = list(self.boxes)
        known = [b for b in self.apart if any(b is box for box in found)]
        for key, runs in self.runs.items():
            parts = {p for b in known if frozenset(b.base.terms.items()) == key for p in b.parts()}
            for start, end in zip(runs.starts, runs.ends, strict=True):
                if (start, end) in parts:
                    continue
                dims = ((1, end - start),) if end > start + 1 else ()
                found.append(Box(Form(start, runs.terms), dims))
        return found

    def hold(self, form: Form, bounds: Bounds) -> bool:
        """Whether every value of ``form`` is proven to be among the elements stored."""
        if self._run_holds(form, bounds):
            return True
        if not self.settled:
            self.settle()
            if self._run_holds(form, bounds):
                return True
        return any(box.holds(form, bounds) for box in self.boxes)

    def _run_holds(self, form: Form, bounds: Bounds) -> bool:
        for runs in self.runs.values():
            rest = form if not runs.terms else form.plus(Form(0, runs.terms), -1)
            if runs.hold(bounds.least(rest), bounds.greatest(rest)):
                return True
            if rest.terms and _near(runs, rest, bounds):
                return True
        return False

    def settle(self) -> None:
        """Join boxes with each other and with runs, as far as that goes."""
        while not self.settled:
            self.settled = True
            boxes = self.boxes
            boxes[:] = [box for box in boxes if not self._is_within(box)]
            for i, j in itertools.combinations(range(len(boxes)), 2):
                both = boxes[i].joined(boxes[j])
                if both is not None:
                    boxes.pop(j)
                    boxes.pop(i)
                    self.add(both)
                    self.settled = False
                    break
            else:
                for i, box in enumerate(boxes):
                    grown = self._grown(box)
                    if grown is not None:
                        boxes.pop(i)
                        self.add(grown)
                        self.settled = False
                        break
                else:
                    self.settled = not self._take_apart()

    def _take_apart(self) -> bool:
        """Add the runs that a box is made of to those of others, if there are others: together
        they may be one run. Whether there was such a box."""
        for box in self.boxes:
            key = frozenset(box.base.terms.items())
            alone = len(self.boxes) == 1 and key not in self.runs
            if alone or any(box is other for other in self.apart):
                continue
            self.apart.append(box)
            parts = box.parts()
            for start, end in parts:
                self._run(Form(start, box.base.terms), end - start)
            if parts:
                return True
        return False

    def _is_within(self, box: Box) -> bool:
        """Whether one run has all of it."""
        runs = self.runs.get(frozenset(box.base.terms.items()))
        span = box.span()
        return runs is not None and span is not None and runs.hold(box.base.offset, span)

    def _grown(self, box: Box) -> Box | None:
        """A box of runs with the runs right before and behind it, if there are any."""
        runs = self.runs.get(frozenset(box.base.terms.items()))
        inner = box.dims[0] if box.dims[0][0] == 1 else (1, 1)
        outer = [d for d in box.dims if d[0] != 1]
        if runs is None or len(outer) != 1:
            return None
        (step, length), (_, run) = outer[0], inner
        if not isinstance(length, int) or not isinstance(run, int):
            return None
        start, count = box.base.offset, length
        for _ in range(_MOST_STEPS):
            more = runs.room(start - step, start - step + run, step)[0]
            if not more:
                break
            start, count = start - more * step, count + more
        for _ in range(_MOST_STEPS):
            end = start + count * step
            more = runs.room(end, end + run, step)[1]
            if not more:
                break
            count += more
        if count == length:
            return None
        dims = ((1, run),) if run > 1 else ()
        return Box(Form(start, box.base.terms), dims)._with(step, count)


def _near(runs: _Runs, form: Form, bounds: Bounds) -> bool:
    """As ``hold``, with bounds that know how symbols depend on each other."""
    low, high = bounds.sharp_least(form), bounds.sharp_greatest(form)
    if low == -math.inf or high == math.inf:
        return False
    return runs.hold(low, high)
