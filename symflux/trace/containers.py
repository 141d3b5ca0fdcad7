"""Lists, dicts and objects among the arguments that a function changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from .. import tree
from ..deep import deep
from ..errors import ArgumentError
from ..ir.node import Node
from ..ir.origin import Origin
from ..records import record

__all__ = ["Changes", "changes", "places", "refill"]

Path = tuple[Any, ...]


@record(frozen=True, slots=True)
class Changes:
    """What the arguments' containers hold when the function returns.

    ``structure`` is that of (positional arguments, keywords); ``sources`` says of each leaf which
    argument's leaf it is, or (from the end: -1, -2, ...) which one of the further outputs; ``weak``
    which of these are Python numbers; ``kept`` are the paths of containers that are in their place
    still."""

    structure: tree.TreeDef
    sources: tuple[int, ...]
    weak: tuple[bool, ...]
    kept: frozenset[Path]


def _parts(obj: Any) -> Iterator[tuple[Any, Any]]:
    """The keys and parts of a container; none for a leaf."""
    if isinstance(obj, dict):
        yield from obj.items()
    elif isinstance(obj, list | tuple):
        yield from enumerate(obj)
    elif tree.is_container(obj):
        if hasattr(obj, "__dict__"):
            yield from vars(obj).items()
        elif dataclasses.is_dataclass(obj):
            yield from [(f.name, getattr(obj, f.name)) for f in dataclasses.fields(obj)]


def places(obj: Any) -> dict[Path, Any]:
    """Each container in ``obj`` by the keys that lead to it.

    >>> list(places(([1.0], {"a": (2.0,)})))
    [(), (0,), (1,), (1, 'a')]
    """
    found: dict[Path, Any] = {}
    stack: list[tuple[Path, Any]] = [((), obj)]
    while stack:
        path, top = stack.pop()
        if tree.is_container(top):
            found[path] = top
            stack += [((*path, key), part) for key, part in reversed(list(_parts(top)))]
    return found


def changes(
    name: str, before: dict[Path, Any], now: Any, structure: tree.TreeDef, handles: Sequence[Any],
    node: Callable[[Any], tuple[Node, bool]], place: Origin | None,
) -> tuple[Changes | None, list[Node]]:  # fmt: skip
    """How a function left the containers of its arguments, and the nodes of what it put there.

    Args:
        name: of the function.
        before: the ``places`` of the arguments when it was called, ``structure`` and ``handles``
            their structure and leaves.
        now: the arguments when it has returned.
        node: the node of a leaf, and whether it is weak; ArgumentError for what cannot be one.
        place: where the function is written.

    Raises:
        ArgumentError: where a container was put into another place.
    """
    leaves, structure_now = tree.flatten(now)
    same_leaves = len(leaves) == len(handles) and all(map(_is, leaves, handles))
    if same_leaves and structure_now == structure:
        return None, []
    after = places(now)
    kept = frozenset([p for p, obj in after.items() if before.get(p) is obj])
    theirs = {id(obj) for obj in before.values()}
    stay: set[Path] = set()  # kept, as all that they are in
    for path, obj in after.items():
        if path in kept and (not path or path[:-1] in stay):
            stay.add(path)
        elif id(obj) in theirs and obj != ():
            raise ArgumentError(
                f"{name} puts a {type(obj).__name__} of its arguments into another place of them",
                place=place,
                right=f"return it                               # as a result\n"
                f"symflux.compile({name}, write_back=False)   # leaves arguments as they are",
            )
    numbers = {id(handle): i for i, handle in reversed(list(enumerate(handles)))}
    sources: list[int] = []
    made: list[Node] = []
    weak: list[bool] = []
    for leaf in leaves:
        i = numbers.get(id(leaf))
        if i is None:
            fresh, is_weak = node(leaf)
            made.append(fresh)
            weak.append(is_weak)
            i = -len(made)
        sources.append(i)
    return Changes(structure_now, tuple(sources), tuple(weak), kept), made


def _is(a: Any, b: Any) -> bool:
    return a is b


def refill(given: Any, held: Changes, leaves: Sequence[Any], made: Sequence[Any]) -> None:
    """Change the containers of a call's arguments as the function changes them.

    Args:
        given: (positional arguments, keywords) as the caller gave them, ``leaves`` their leaves.
        held: what they are to hold, with ``made`` in the places of further outputs.
    """
    values = [leaves[i] if i >= 0 else made[-1 - i] for i in held.sources]
    _fill(given, held.structure.unflatten(values), (), held.kept)


@deep
def _fill(old: Any, new: Any, path: Path, kept: frozenset[Path]) -> Generator[Any, Any, Any]:
    """What stands in the place of ``old``: itself, changed, if it was kept."""
    if path not in kept:
        return new
    were = dict(_parts(old))
    items = {}
    for key, part in _parts(new):
        if key in were:
            part = yield _fill.step(were[key], part, (*path, key), kept)
        items[key] = part
    if isinstance(old, list):
        old[:] = items.values()
    elif isinstance(old, dict):
        for key in were.keys() - items.keys():
            del old[key]
        old.update(items)
    elif not isinstance(old, tuple):
        for key in were.keys() - items.keys():
            delattr(old, key)
        for key, part in items.items():
            if key not in were or were[key] is not part:
                object.__setattr__(old, key, part)
    return old
