"""How often each node is used while laws change the graph around it, and how large the graph is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..ir.node import Node
from ..ir.walk import use_counts

__all__ = ["Uses"]


class Uses:
    """The number of uses of each node of a graph that is being rewritten, kept up to date.

    A law that duplicates work must know whether somebody else needs the result: a count from before
    the rewriting says nothing about nodes that laws have made since, and too little about nodes
    that several old ones have become.

    ``current`` gives the node that stands for a node by now: users that were not rebuilt yet still
    hold the old one.

    >>> from symflux.ir import symbol
    >>> from symflux.ops import exp, sin
    >>> x = symbol("x")
    >>> y, z = exp(x), sin(x)
    >>> became = {y: sin(x)}
    >>> uses = Uses([x, y, z], [y, z], lambda node: became.get(node, node))
    >>> uses.replace(y, became[y])
    -1
    >>> uses.single(z), uses.single(x), uses.size
    (False, True, 2)
    """

    __slots__ = ("counts", "current")

    def __init__(
        self, order: Sequence[Node], outputs: Sequence[Node], current: Callable[[Node], Node]
    ) -> None:
        self.counts = use_counts(order, outputs)
        self.current = current

    @property
    def size(self) -> int:
        """Nodes that the outputs depend on."""
        return len(self.counts)

    def single(self, node: Node) -> bool:
        """Whether nobody but the one who asks uses the node."""
        return self.counts.get(node.id, 1) <= 1

    def replace(self, old: Node, new: Node) -> int:
        """All users of ``old`` use ``new`` from now on. Returns how much the graph grew."""
        counts = self.counts
        number = counts.pop(old.id, 0)
        if not number:  # a node outside of the graph, made to ask a question
            return 0
        before = len(counts) + 1
        self._use(new, number)
        self._drop_inputs(old)
        return len(counts) - before

    def _use(self, node: Node, number: int) -> None:
        counts = self.counts
        found = counts.get(node.id)
        if found is not None:
            counts[node.id] = found + number
            return
        counts[node.id] = number
        stack = [node]
        while stack:
            for x in stack.pop().inputs:
                x = self.current(x)
                found = counts.get(x.id)
                if found is None:
                    counts[x.id] = 1
                    stack.append(x)
                else:
                    counts[x.id] = found + 1

    def _drop_inputs(self, node: Node) -> None:
        counts = self.counts
        stack = [node]
        while stack:
            for x in stack.pop().inputs:
                x = self.current(x)
                found = counts.get(x.id, 0)
                if found > 1:
                    counts[x.id] = found - 1
                elif found:
                    del counts[x.id]
                    stack.append(x)
