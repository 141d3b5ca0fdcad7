"""Recursive walks that do not use Python's stack: nesting has no limit of depth.

Python gives up at about 1,000 frames. A walk that calls itself is written as a generator that
yields each of those calls, and gets its result:

>>> @deep
... def depth(value):
...     if not isinstance(value, list):
...         return 0
...     below = 0
...     for item in value:
...         below = max(below, (yield depth.step(item)))
...     return below + 1
>>> nested = []
>>> for _ in range(5000):
...     nested = [nested]
>>> depth(nested)
5001
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import Any, Generic, ParamSpec, TypeVar, overload

__all__ = ["deep"]

P = ParamSpec("P")
T = TypeVar("T")


class deep(Generic[P, T]):
    """A recursive function, or a method, whose calls of itself are ``yield f.step(...)``."""

    def __init__(self, step: Callable[P, Generator[Any, Any, T]]) -> None:
        self.step = step
        functools.update_wrapper(self, step)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        walk = self.step(*args, **kwargs)
        waiting: list[Generator[Any, Any, Any]] = []
        found: Any = None
        while True:
            try:
                inner = walk.send(found)
            except StopIteration as end:
                found = end.value
                if not waiting:
                    return found
                walk = waiting.pop()
            else:
                waiting.append(walk)
                walk, found = inner, None

    @overload
    def __get__(self, obj: None, owner: Any) -> deep[P, T]: ...
    @overload
    def __get__(self, obj: Any, owner: Any) -> deep[..., T]: ...
    def __get__(self, obj: Any, owner: Any) -> Any:
        return self if obj is None else deep(self.step.__get__(obj, owner))
