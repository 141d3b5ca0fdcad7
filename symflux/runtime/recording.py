"""Tracing a function together with what it reads from its surroundings, until both agree."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConversionError, SymFluxError, TraceError
from ..trace.scope import locked
from ..trace.trace import definition
from .changing import changed_again
from .drawn import refuse_draws
from .lift import Lifter
from .sources import refuse_taking
from .surroundings import Observation, Place, Read, lifted, observe, rebound

if TYPE_CHECKING:
    from .function import Call

__all__ = ["Recorder", "trace_once"]


class Recorder:
    """What a function reads now, and traces of it that fit.

    Attributes:
        settings: static arguments that may change.
        own: places that the function itself writes to while it is traced, and their holders.
        changing: arrays that are inputs wherever they are read, for they change; by id.
        needed: those and large ones whose elements were needed while tracing.
        rebound: places where other arrays were put, which are inputs as well; and their holders.
        seen: what was observed last.
    """

    def __init__(self, fn: Callable[..., Any], settings: Sequence[Any] = ()) -> None:
        self.fn = fn
        self.settings = tuple(settings)
        self.seen: Observation | None = None
        self.own: dict[Place, Any] = {}
        self.changing: dict[int, Any] = {}
        self.needed: dict[int, Any] = {}
        self.rebound: dict[Place, Any] = {}

    def given(self, settings: Sequence[Any]) -> Recorder:
        """The same for calls with these static arguments; both note what they learn in one
        place."""
        made = Recorder(self.fn, settings)
        made.own, made.changing = self.own, self.changing
        made.needed, made.rebound = self.needed, self.rebound
        return made

    def observe(self, again: bool = False) -> Observation:
        """What the function reads from its surroundings now."""
        seen = self.seen
        if again or seen is None or not seen.holds():
            names = frozenset() if seen is None else seen.names
            if seen is not None:
                self._note_changes(seen)
            seen = observe(
                self.fn, self.own, self.changing, self.needed, names, self.rebound, self.settings
            )
            self.seen = seen
        return seen

    def _note_changes(self, seen: Observation) -> None:
        """Arrays whose elements changed are inputs from now on."""
        for r in seen.reads:
            if r.stands():
                continue
            if r.kind == "array":
                self.changing[id(r.holder)] = r.holder
            elif rebound(r):
                self.rebound[r.place] = r.holder

    def record(self, call: Call) -> Observation:
        """Trace a call; what the function read. Where another thread changed something meanwhile,
        it is traced again.

        So it is where the function wrote to an array, or tried to, whose elements Python read:
        such arrays are inputs then, and the writes are results, which each call makes.

        Raises:
            TraceError: where that cannot be, for an array in a class or a module, say.
        """
        written: set[int] = set()
        refused: SymFluxError | None = None
        tried: dict[int, Any] = {}
        turns: collections.Counter[Place] = collections.Counter()
        while True:
            before = self.observe()
            try:
                self._trace(call, before)
            except SymFluxError as error:
                _undo(before)
                if refused is None and (tried := self._more(before)):
                    refused = error
                    self.changing |= tried
                    self.observe(again=True)
                    continue
                for i in tried:
                    self.changing.pop(i, None)
                if refused is not None:
                    raise refused from None
                raise
            self.needed.update(call.traced.needed)
            if arrays := _undo(before):
                if not written.isdisjoint(map(id, arrays)):
                    self._refuse(call, before, arrays)
                written.update(map(id, arrays))
                self.changing.update({id(a): a for a in arrays})
                self.observe(again=True)
                continue
            if shared := self._shared(call, before):
                self.changing.update(shared)
                self.observe(again=True)
                continue
            after = self.observe(again=True)
            changed = before.changed(after)
            turns.update([r.place for r in changed])
            own = [r for r in changed if turns[r.place] > 1 or _is_written(r, before)]
            if len(own) < len(changed):
                continue
            if own or self.own:
                self.own |= changed_again(call, own, self.own, after)
                after = self.observe(again=True)
            return after

    def _trace(self, call: Call, before: Observation) -> None:
        lifter = Lifter(before.changing, before.names) if before.lifts else None
        found = [] if lifter is None else lifter.refused
        with (
            refuse_taking(before.sources, found, lambda: definition(self.fn)),
            refuse_draws(before.names, before.generators, lambda: definition(self.fn)),
        ):
            call.trace(lifter)

    def _more(self, seen: Observation) -> dict[int, Any]:
        """Arrays that could be inputs wherever they are read, and are not yet."""
        arrays = {id(r.holder): r.holder for r in seen.reads if r.kind == "array"}
        return {
            i: a
            for i, a in arrays.items()
            if not lifted(a, self.changing) and lifted(a, arrays) and i not in self.needed
        }

    def _shared(self, call: Call, seen: Observation) -> dict[int, Any]:
        """Arrays whose elements are constants, in the memory of what the function writes to."""
        if not call.traced.written:
            return {}
        values = call.values()
        written = [values[i] for i in call.traced.written]
        return {
            i: a
            for i, a in self._more(seen).items()
            if any(np.may_share_memory(a, w) for w in written)
        }

    def _refuse(self, call: Call, before: Observation, arrays: list[Any]) -> None:
        """Raise for arrays that Python writes to: trace once more to find the line."""
        listed = ", ".join(f"shape {a.shape}, {a.dtype}" for a in arrays)
        what = f"a plain array of the surroundings ({listed}) is written to while"
        name = call.traced.graph.name
        try:
            with locked(arrays, f"{what} {name} is traced", _WHY, _WRONG, _RIGHT):
                self._trace(call, before)
        finally:
            _undo(before)
        raise TraceError(
            f"{what} {name} is traced", place=definition(self.fn), why=_WHY, wrong=_WRONG,
            right=_RIGHT,
        )  # fmt: skip


def trace_once(call: Call) -> None:
    """Trace a call for itself: the function runs as Python runs it, with random numbers and writes
    of plain values.

    Plain arrays cannot be read at traced indices then (``table[i]`` in a loop's body). Where that
    was tried, it is traced as for later calls, where such arrays are inputs."""
    try:
        call.trace()
    except ConversionError:
        pass  # raised below, if it still applies
    else:
        return
    Recorder(call.fn).record(call)


_WHY = "tracing runs the Python code once; compiled calls do not run it"
_WRONG = "class Model: seen = np.zeros(3)      # in a class, a module, a set; complex numbers"
_RIGHT = (
    "seen = np.zeros(3)                   # in a variable, a list, a dict, an object\nf(x, seen)"
)


def _undo(before: Observation) -> list[Any]:
    """Give arrays the elements back that they had before a trace; those that had changed."""
    changed = [
        r
        for r in before.reads
        if r.kind == "array" and r.value[-1] is not None and not r.stands()
        if (r.holder.dtype, r.holder.shape) == (r.value[0], r.value[2]) and r.holder.flags.writeable
    ]
    for r in changed:
        r.holder[...] = np.frombuffer(r.value[-1], r.value[0]).reshape(r.value[2])
    return [r.holder for r in changed]


def _is_written(r: Read, seen: Observation) -> bool:
    """Whether a place that changed during a trace may have been changed by the function."""
    return r.kind != "entry" or "__name__" not in r.holder or r.key in seen.assigned
