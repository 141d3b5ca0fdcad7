"""Nested containers: taken apart into leaves and a structure, and put together again."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

from .errors import StructureError
from .records import record
from .same import hashed, same

__all__ = [
    "Container", "TreeDef", "flatten", "is_array", "leaves", "map", "paths",
    "register", "register_leaf", "structure",
    "unflatten",
]  # fmt: skip


class TreeDef:
    """The structure of a container without its leaves: hashable, compared by value.

    ``kind`` says how to rebuild the container, ``static`` is what besides the children is needed
    for that (keys, the class, metadata), ``children`` are the structures of the children.
    """

    __slots__ = ("_hash", "children", "kind", "size", "static")

    def __init__(self, kind: Kind, static: Any, children: tuple[TreeDef, ...], size: int) -> None:
        self.kind = kind
        self.static = static
        self.children = children
        self.size = size
        self._hash = hash((kind.name, children, hashed(static)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, TreeDef) or self._hash != other._hash:
            return False
        pairs = [(self, other)]
        while pairs:
            mine, theirs = pairs.pop()
            if mine is theirs:
                continue
            if mine._hash != theirs._hash or mine.kind is not theirs.kind:
                return False
            if len(mine.children) != len(theirs.children) or not same(mine.static, theirs.static):
                return False
            pairs += zip(mine.children, theirs.children, strict=True)
        return True

    def __len__(self) -> int:
        """The number of leaves."""
        return self.size

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """The container of this structure with these leaves.

        Raises:
            StructureError: if there are too few or too many of them.
        """
        if len(leaves) != self.size:
            raise StructureError(f"{self} has {self.size} leaves, not {len(leaves)}")
        given = iter(leaves)

        def make(tree: TreeDef, children: list[Any]) -> Any:
            if tree is LEAF:
                return next(given)
            return None if tree is NOTHING else tree.kind.join(tree.static, children)

        return self.fold(make)

    def fold(self, make: Callable[[TreeDef, list[Any]], Any]) -> Any:
        """What ``make(structure, what it made of the children)`` gives for the whole, made from the
        leaves up, which are met in order.

        >>> flatten([1, (2, 3)])[1].fold(lambda tree, children: 1 + sum(children))
        5
        """
        tree, made = self, []  # type: ignore[var-annotated]
        waiting: list[tuple[TreeDef, list[Any]]] = []
        while True:
            if len(made) < len(tree.children):
                waiting.append((tree, made))
                tree, made = tree.children[len(made)], []
                continue
            found = make(tree, made)
            if not waiting:
                return found
            tree, made = waiting.pop()
            made.append(found)

    def flatten_up_to(self, obj: Any) -> list[Any]:
        """The parts of ``obj`` at the places of this structure's leaves.

        ``obj`` may go deeper than this structure. Dictionaries are matched by their keys.

        Raises:
            StructureError: if ``obj`` has other containers or keys.
        """
        out: list[Any] = []
        stack: list[tuple[TreeDef, Any]] = [(self, obj)]
        while stack:
            tree, part = stack.pop()
            if tree is LEAF:
                out.append(part)
                continue
            children = tree.kind.matches(tree.static, part)
            if children is None or len(children) != len(tree.children):
                found = flatten(part)[1]
                raise StructureError(f"expected a container of structure {tree}, got {found}")
            stack += reversed(list(zip(tree.children, children, strict=True)))
        return out

    def paths(self, root: str = "") -> list[str]:
        """A name for each leaf, as one would write it: ``model.layers[0].W``."""
        out: list[str] = []
        stack = [(self, root)]
        while stack:
            tree, path = stack.pop()
            if tree is LEAF:
                out.append(path)
                continue
            names = tree.kind.names(tree.static, len(tree.children))
            below = [path + name for name in names]
            stack += reversed(list(zip(tree.children, below, strict=True)))
        return out

    def __repr__(self) -> str:
        return f"TreeDef({self})"

    def __str__(self) -> str:
        text: str = self.fold(lambda tree, parts: tree.kind.show(tree, parts))
        return text


@record(frozen=True, eq=False)
class Kind:
    """One sort of container.

    ``split(obj) -> (children, static)``, ``join(static, children) -> obj``,
    ``names(static, count)`` -> what to append to the path for each child."""

    name: str
    split: Callable[[Any], tuple[Sequence[Any], Any]]
    join: Callable[[Any, list[Any]], Any]
    names: Callable[[Any, int], Sequence[str]]
    matches: Callable[[Any, Any], Sequence[Any] | None]
    show: Callable[[TreeDef, list[str]], str]  # the text, given that of the children


def _numbered(static: Any, count: int) -> list[str]:
    return [f"[{i}]" for i in range(count)]


def _attribute_names(names: Sequence[Any]) -> list[str]:
    return [f".{name}" for name in names]


def _split_as(kind: Callable[[], Kind]) -> Callable[[Any, Any], Sequence[Any] | None]:
    """The default way to match: split ``obj`` and compare the static part."""

    def matches(static: Any, obj: Any) -> Sequence[Any] | None:
        mine = kind()
        if _kind_of(obj) is not mine:
            return None
        children, found = mine.split(obj)
        return children if same(static, found) else None

    return matches


def _match_dict(static: Any, obj: Any) -> Sequence[Any] | None:
    if type(obj) is not static[0] or obj.keys() != set(static[1]):
        return None
    return [obj[key] for key in static[1]]


def _join_dict(static: Any, children: list[Any]) -> Any:
    cls, keys = static
    return cls(zip(keys, children, strict=True))


def _show_items(before: str, after: str) -> Callable[[TreeDef, list[str]], str]:
    def show(tree: TreeDef, parts: list[str]) -> str:
        comma = "," if before == "(" and len(parts) == 1 else ""
        return f"{before}{', '.join(parts)}{comma}{after}"

    return show


def _show_dict(tree: TreeDef, parts: list[str]) -> str:
    pairs = zip(tree.static[1], parts, strict=True)
    return "{" + ", ".join(f"{key!r}: {part}" for key, part in pairs) + "}"


def _show_named(tree: TreeDef, parts: list[str]) -> str:
    pairs = zip(tree.kind.names(tree.static, len(parts)), parts, strict=True)
    return f"{tree.kind.name}(" + ", ".join(f"{n.strip('.')}={part}" for n, part in pairs) + ")"


LEAF_KIND = Kind(
    "*", lambda o: ((), None), lambda s, c: None, _numbered, lambda s, o: (), lambda t, p: "*"
)
NONE = Kind(
    "None", lambda o: ((), None), lambda s, c: None, _numbered,
    lambda s, o: () if o is None else None, lambda t, p: "None",
)  # fmt: skip
TUPLE: Kind = Kind(
    "tuple", lambda o: (o, None), lambda s, c: tuple(c), _numbered,
    _split_as(lambda: TUPLE), _show_items("(", ")"),
)  # fmt: skip
LIST: Kind = Kind(
    "list", lambda o: (o, None), lambda s, c: c, _numbered,
    _split_as(lambda: LIST), _show_items("[", "]"),
)  # fmt: skip
DICT = Kind(
    "dict", lambda o: (list(o.values()), (type(o), tuple(o))), _join_dict,
    lambda s, n: [f"[{key!r}]" for key in s[1]], _match_dict, _show_dict,
)  # fmt: skip

LEAF = TreeDef(LEAF_KIND, None, (), 1)
NOTHING = TreeDef(NONE, None, (), 0)

_kinds: dict[type, Kind | None] = {
    type(None): NONE, tuple: TUPLE, list: LIST, dict: DICT,
    bool: None, int: None, float: None, complex: None, str: None, bytes: None,
}  # fmt: skip


def register(
    cls: type,
    flatten: Callable[[Any], tuple[Sequence[Any], Hashable]],
    unflatten: Callable[[Any, list[Any]], Any],
    names: Callable[[Any, int], Sequence[str]] | None = None,
) -> None:
    """Make ``cls`` a container.

    Args:
        cls: the class (subclasses are not included).
        flatten: ``flatten(obj) -> (children, static)``; static parts are the same if they are equal
            in type, bits and order, all the way down.
        unflatten: ``unflatten(static, children) -> obj``.
        names: ``names(static, count)`` -> the path of each child, such as ``".W"`` or ``"[0]"``.

    >>> class Point:
    ...     def __init__(self, x, y): self.x, self.y = x, y
    >>> register(Point, lambda p: ((p.x, p.y), None), lambda _, xy: Point(*xy))
    >>> map(lambda v: v + 1, Point(1, 2)).y
    3
    """
    kind: Kind = Kind(
        cls.__name__, flatten, unflatten, names or _numbered, _split_as(lambda: kind), _show_named
    )
    _kinds[cls] = kind


def register_leaf(cls: type) -> None:
    """Make ``cls`` a leaf, even if it is a dataclass or a named tuple."""
    _kinds[cls] = None


def _kind_of(obj: Any) -> Kind | None:
    cls = type(obj)
    try:
        return _kinds[cls]
    except KeyError:
        kind = _kinds[cls] = _discover(cls)
        return kind


def _discover(cls: type) -> Kind | None:
    """The kind of a class seen for the first time; None for leaves."""
    if issubclass(cls, Container):
        return _container_kind(cls)
    if dataclasses.is_dataclass(cls):
        return _dataclass_kind(cls)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        fields = tuple(cls._fields)
        kind: Kind = Kind(
            cls.__name__, lambda o: (o, None), lambda s, c: cls(*c),
            lambda s, n: _attribute_names(fields), _split_as(lambda: kind), _show_named,
        )  # fmt: skip
        return kind
    if issubclass(cls, dict) and not hasattr(cls, "__missing__"):
        return DICT
    return None


def is_container(obj: Any) -> bool:
    """Whether ``obj`` is a container, and no leaf.

    >>> is_container([]), is_container(1.0)
    (True, False)
    """
    return _kind_of(obj) is not None


def is_array(obj: Any) -> bool:
    """Whether ``obj`` takes part in NumPy's arithmetic: an ndarray, traced array, param ..."""
    return hasattr(type(obj), "__array_ufunc__")


def _holds_arrays(value: Any) -> bool:
    """Whether an attribute is a child: an array, or a container with an array in it."""
    stack = [value]
    met: set[int] = set()
    while stack:
        value = stack.pop()
        if is_array(value):
            return True
        cls = type(value)
        if cls is list or cls is tuple or cls is dict:
            if id(value) not in met:
                met.add(id(value))
                stack += reversed(value.values() if cls is dict else value)
        elif value is not None and _kind_of(value) is not None:
            return True
    return False


class Container:
    """A base class for objects that hold arrays: layers, optimiser states.

    An attribute that is an array, a param, another container, or a list, tuple or dict with one of
    these in it, is a child. Every other attribute is static: it is kept as it is, and two
    containers have the same structure only if these are equal.

    >>> class Affine(Container):
    ...     def __init__(self, W, name): self.W, self.name = W, name
    >>> import numpy as np
    >>> leaves(Affine(np.ones(2), "first"))
    [array([1., 1.])]
    """


def _container_kind(cls: type) -> Kind:
    def split(obj: Any) -> tuple[list[Any], Any]:
        children: list[Any] = []
        names: list[str] = []
        rest: list[tuple[str, Any]] = []
        for name, value in vars(obj).items():
            if _holds_arrays(value):
                children.append(value)
                names.append(name)
            else:
                rest.append((name, value))
        return children, _Attributes(tuple(names), tuple(rest))

    def join(static: _Attributes, children: list[Any]) -> Any:
        obj: Any = object.__new__(cls)
        obj.__dict__.update(static.rest)
        obj.__dict__.update(zip(static.names, children, strict=True))
        return obj

    kind: Kind = Kind(
        cls.__name__, split, join, lambda s, n: _attribute_names(s.names),
        _split_as(lambda: kind), _show_named,
    )  # fmt: skip
    return kind


class _Attributes:
    """The names of the children and the static attributes, compared value by value."""

    __slots__ = ("names", "rest")

    def __init__(self, names: tuple[str, ...], rest: tuple[tuple[str, Any], ...]) -> None:
        self.names = names
        self.rest = rest

    def __hash__(self) -> int:
        return hash((self.names, tuple([(name, hashed(value)) for name, value in self.rest])))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Attributes) or self.names != other.names:
            return False
        if len(self.rest) != len(other.rest):
            return False
        return all(
            a == b and same(x, y) for (a, x), (b, y) in zip(self.rest, other.rest, strict=True)
        )


def _dataclass_kind(cls: Any) -> Kind:
    fields = dataclasses.fields(cls)
    declared = frozenset(f.name for f in fields if f.metadata.get("static"))

    def split(obj: Any) -> tuple[list[Any], Any]:
        children: list[Any] = []
        names: list[str] = []
        rest: list[tuple[str, Any]] = []
        for field in fields:
            value = getattr(obj, field.name)
            if field.name in declared or _is_metadata(value):
                rest.append((field.name, value))
            else:
                children.append(value)
                names.append(field.name)
        return children, _Attributes(tuple(names), tuple(rest))

    def join(static: _Attributes, children: list[Any]) -> Any:
        obj = object.__new__(cls)
        for name, value in static.rest:
            object.__setattr__(obj, name, value)
        for name, value in zip(static.names, children, strict=True):
            object.__setattr__(obj, name, value)
        return obj

    kind: Kind = Kind(
        cls.__name__, split, join, lambda s, n: _attribute_names(s.names),
        _split_as(lambda: kind), _show_named,
    )  # fmt: skip
    return kind


def _is_metadata(value: Any) -> bool:
    """Whether a dataclass field can only be static: a string, a member of an enumeration, a
    function, a class ..."""
    return isinstance(value, str | bytes | type | enum.Enum) or (
        callable(value) and not is_array(value) and _kind_of(value) is None
    )


def flatten(obj: Any) -> tuple[list[Any], TreeDef]:
    """The leaves of nested containers, in order, and their structure.

    Containers are tuples, lists, dicts (in their own order), named tuples, dataclasses, ``None``
    (with no leaves), :class:`Container` and registered classes. Everything else is a leaf.

    >>> flatten({"b": [1, 2], "a": None})
    ([1, 2], TreeDef({'b': [*, *], 'a': None}))
    """
    out: list[Any] = []
    return out, _flatten(obj, out)


#: how many open containers there are when it is first asked whether one is inside of itself
_DEEP = 512


def _flatten(obj: Any, out: list[Any]) -> TreeDef:
    #: open containers: kind, static part, children to come, structures of those before, leaves
    #: before it, itself
    stack: list[tuple[Kind, Any, Iterator[Any], list[TreeDef], int, Any]] = []
    while True:
        kind = _kind_of(obj)
        if kind is None:
            out.append(obj)
            made: TreeDef | None = LEAF
        elif kind is NONE:
            made = NOTHING
        else:
            children, static = kind.split(obj)
            stack.append((kind, static, iter(children), [], len(out), obj))
            if len(stack) % _DEEP == 0:
                _refuse_cycle([each[-1] for each in stack])
            made = None
        while stack:
            kind, static, rest, structures, before, _ = stack[-1]
            if made is not None:
                structures.append(made)
            obj = next(rest, _END)
            if obj is not _END:
                break
            made = TreeDef(kind, static, tuple(structures), len(out) - before)
            stack.pop()
        else:
            assert made is not None
            return made


_END = object()


def _refuse_cycle(path: Sequence[Any]) -> None:
    """Raise where the last of these containers, each inside of the one before, is among the
    others."""
    if any(obj is path[-1] for obj in path[:-1]):
        raise StructureError(
            f"a {type(path[-1]).__name__} that holds itself has no end",
            right="containers that hold arrays and other containers, and not themselves",
        )


def unflatten(structure: TreeDef, leaves: Sequence[Any]) -> Any:
    """The inverse of :func:`flatten`."""
    return structure.unflatten(leaves)


def structure(obj: Any) -> TreeDef:
    """The structure of ``obj``."""
    return flatten(obj)[1]


def leaves(obj: Any) -> list[Any]:
    """The leaves of ``obj``, in order."""
    return flatten(obj)[0]


def paths(obj: Any, root: str = "") -> list[tuple[str, Any]]:
    """The leaves of ``obj``, each with its name.

    >>> paths({"W": 1, "layers": [2]}, "model")
    [("model['W']", 1), ("model['layers'][0]", 2)]
    """
    found, tree = flatten(obj)
    return list(zip(tree.paths(root), found, strict=True))


def map(function: Callable[..., Any], obj: Any, *others: Any) -> Any:
    """``obj`` with ``function`` applied to each leaf (and to the parts of ``others`` at its place).

    Raises:
        StructureError: if one of ``others`` has another structure.

    >>> map(lambda a, b: a + b, {"x": 1, "y": (2, 3)}, {"y": (20, 30), "x": 10})
    {'x': 11, 'y': (22, 33)}
    """
    found, tree = flatten(obj)
    parts = [tree.flatten_up_to(other) for other in others]
    return tree.unflatten([function(*each) for each in zip(found, *parts, strict=True)])
