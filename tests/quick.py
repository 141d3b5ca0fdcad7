"""Which of a test's many cases run every time: the mark ``quick``; the others are slow ones.

``pytest.mark.quick(every=5)``
    every fifth case
``pytest.mark.quick(together=1)``
    so many cases that each value of each parameter occurs; with 2, that each two values of two
    parameters meet
``pytest.mark.quick(first=function)``
    the first case of each result of the function of the case's parameters

With several of them, a case runs if one asks for it. The choice depends on nothing but the cases.
"""

import heapq
import itertools
from collections import Counter


def chosen(cases, every=0, together=0, first=None):
    """Numbers of the cases that run every time; a case has its values by parameter.

    >>> cases = [{"x": x, "y": y} for x in range(3) for y in range(3)]
    >>> sorted(chosen(cases, every=4)), sorted(chosen(cases, first=lambda x, y: x + y))
    ([0, 4, 8], [0, 1, 2, 5, 8])
    >>> sorted(chosen(cases, together=1)), len(chosen(cases, together=2))
    ([0, 4, 8], 9)
    """
    kept = set(range(0, len(cases), every)) if every else set()
    if together:
        kept |= cover([list(itertools.combinations(map(_key, c.items()), together)) for c in cases])
    if first:
        seen = {}
        for case, values in enumerate(cases):
            seen.setdefault(first(**values), case)
        kept |= set(seen.values())
    return kept


def _key(item):
    """A parameter with its value; what has no hash is the same object in all cases."""
    name, value = item
    try:
        hash(value)
    except TypeError:
        return name, id(value)
    return name, type(value), value


def cover(offers):
    """Numbers of offers that together have all that any of them has: the one with most that is
    missing is taken, again and again; among equals the one with what is rarest, then the first.

    >>> sorted(cover(["ab", "bc", "c", "cd"]))
    [0, 3]
    """
    often = Counter(thing for offer in offers for thing in offer)
    missing, kept = set(often), set()
    queue = [
        (-len(offer), min((often[thing] for thing in offer), default=0), case)
        for case, offer in enumerate(offers)
    ]
    heapq.heapify(queue)
    while missing:
        before, rarest, case = heapq.heappop(queue)
        found = missing.intersection(offers[case])
        if len(found) == -before:  # as many as when it was put into the queue: no other has more
            kept.add(case)
            missing -= found
        elif found:
            heapq.heappush(queue, (-len(found), rarest, case))
    return kept
