"""What a pass knows about the contents of buffers while it walks a kernel in program order."""

from __future__ import annotations

from collections.abc import Iterable

from ..ir import LEAVES, Block, Buffer, Index, Operand, Store, Var, blocks_of

__all__ = ["Contents", "stored_in"]

_Terms = tuple[tuple[Var, int], ...]


def stored_in(block: Block, found: dict[int, frozenset[Buffer]]) -> frozenset[Buffer]:
    """The buffers that a block stores to; ``found`` gets those of every nested statement by id.

    Ids are of statements inside ``block``: they name them as long as the block is alive."""
    stored: set[Buffer] = set()
    for statement in block.statements:
        if type(statement) in LEAVES:
            if type(statement) is Store:
                stored.add(statement.buffer)
            continue
        blocks = blocks_of(statement)
        if blocks:
            inner = frozenset().union(*[stored_in(b, found) for b in blocks])
            found[id(statement)] = inner
            stored.update(inner)
    return frozenset(stored)


class Contents:
    """Elements whose value is known: stored or loaded, with no store since that may have met them.

    Two indices of one buffer surely differ when they have the same terms and different offsets; a
    store forgets everything else that is known of its buffer."""

    def __init__(self) -> None:
        self._known: dict[Buffer, dict[_Terms, dict[int, Operand]]] = {}
        self._added: list[tuple[Buffer, _Terms, int]] = []

    @staticmethod
    def _terms(index: Index) -> _Terms:
        if len(index.terms) < 2:
            return index.terms
        return tuple(sorted(index.terms, key=lambda term: term[0].id))

    def load(self, buffer: Buffer, index: Index) -> Operand | None:
        """The value of an element, if it is known."""
        groups = self._known.get(buffer)
        values = groups.get(self._terms(index)) if groups else None
        return values.get(index.offset) if values else None

    def learn(self, buffer: Buffer, index: Index, value: Operand) -> None:
        """A load found ``value``."""
        terms = self._terms(index)
        groups = self._known.setdefault(buffer, {})
        groups.setdefault(terms, {})[index.offset] = value
        self._added.append((buffer, terms, index.offset))

    def store(self, buffer: Buffer, index: Index, value: Operand) -> None:
        """A store wrote ``value``."""
        terms = self._terms(index)
        groups = self._known.get(buffer)
        values = groups.get(terms) if groups else None
        self._known[buffer] = {terms: {} if values is None else values}
        self.learn(buffer, index, value)

    def forget(self, buffers: Iterable[Buffer]) -> None:
        """Something may have stored anywhere in these buffers."""
        for buffer in buffers:
            self._known.pop(buffer, None)

    def mark(self) -> int:
        """The state on entering a block, for ``leave``."""
        return len(self._added)

    def leave(self, mark: int, stored: Iterable[Buffer]) -> None:
        """Leave a block that stored to ``stored``: what was learnt inside may not hold now."""
        for buffer, terms, offset in self._added[mark:]:
            groups = self._known.get(buffer)
            if groups and terms in groups:
                groups[terms].pop(offset, None)
        del self._added[mark:]
        self.forget(stored)
