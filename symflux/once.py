"""What is made once in a process, however many threads ask for it first.

``functools.cache`` lets each of them make one and keeps the last. That will not do for native code
whose address has been given away: the other ones are freed while they run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

from .forking import lock

__all__ = ["once"]

T = TypeVar("T")


def once(make: Callable[[], T]) -> Callable[[], T]:
    """A function that answers what ``make`` answered the first time; an exception is not kept.

    >>> numbers = iter(range(9))
    >>> first = once(lambda: next(numbers))
    >>> first(), first()
    (0, 0)
    """
    held = lock()
    made: list[T] = []

    @functools.wraps(make)
    def get() -> T:
        if not made:
            with held:
                if not made:
                    made.append(make())
        return made[0]

    return get
