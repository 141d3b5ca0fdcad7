"""The compiled signatures of a function: found again, bounded in number, and freed when no call is
in their code any more."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from ..codegen.llvm.capi import FREE_THREADED, entry_address, is_running

if TYPE_CHECKING:
    from .function import Specialization

__all__ = ["LIMIT", "Kept"]

#: how many are kept for the same arguments and other surroundings
LIMIT = 64


class Kept:
    """Specializations by arguments and by what was read from the surroundings.

    Of those for the same arguments only the latest are kept, by when Python last chose them. Others
    are retired: a call may still be in their code, or calls may begin in it. Handlers of signals
    may come here at any point, so nothing is iterated over that they may change."""

    def __init__(self) -> None:
        self._by_arguments: dict[Any, dict[Any, Specialization]] = {}
        self._retired: dict[int, Specialization] = {}
        self._clock = itertools.count()

    def __len__(self) -> int:
        return sum(map(len, list(self._by_arguments.values())))

    def all(self) -> list[Specialization]:
        """Everything whose code is there."""
        kept = [s for of in list(self._by_arguments.values()) for s in list(of.values())]
        return kept + list(self._retired.values())

    def find(self, key: Any, facts: Any) -> Specialization | None:
        """The one for these arguments and surroundings, if it is there."""
        found = self._by_arguments.get(key, {}).get(facts)
        if found is not None:
            found.used = next(self._clock)
        return found

    def add(self, key: Any, facts: Any, new: Specialization) -> tuple[Specialization, bool]:
        """Keep a new one, unless there is one (which is returned then); whether others gave way."""
        of = self._by_arguments.setdefault(key, {})
        found = of.setdefault(facts, new)
        found.used = next(self._clock)
        crowded = len(of) > LIMIT
        while len(of) > LIMIT:
            oldest = min(list(of.items()), key=lambda item: item[1].used)
            if of.pop(oldest[0], None) is not None:
                self.retire(oldest[1])
        return found, crowded

    def retire(self, old: Specialization) -> None:
        """Keep one that gave way until :meth:`free` finds it out of use."""
        old.retired = True
        self._retired[id(old)] = old

    def free(self, pointed: int) -> None:
        """Let go of those retired that no call is in, and that calls do not begin in (at
        ``pointed``)."""
        if FREE_THREADED:  # a call may be anywhere in their code
            return
        for old in list(self._retired.values()):
            calls = [e.call for e in (old.entry, *[e for _, e in old.replaced])]
            if not any(entry_address(c) == pointed or is_running(c) for c in calls):
                self._retired.pop(id(old), None)
