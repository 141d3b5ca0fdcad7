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
        return (
            self.kind is other.kind
            and self.children == other.children
            and same(self.static, other.static)
        )

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
        return _build(self, iter(leaves))

    def flatten_up_to(self, obj: Any) -> list[Any]:
        """The parts of ``obj`` at the places of this structure's leaves.

        ``obj`` may go deeper than this structure. Dictionaries are matched by their keys.

        Raises:
            StructureError: if ``obj`` has other containers or keys.
        """
        out: list[Any] = []
        _flatten_like(self, obj, out)
        return out

    def paths(self, root: str = "") -> list[str]:
        """A name for each leaf, as one would write it: ``model.layers[0].W``."""
        out: list[str] = []
        _paths(self, root, out)
        return out

    def __repr__(self) -> str:
        return f"TreeDef({self})"

    def __str__(self) -> str:
        return self.kind.show(self)


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
    show: Callable[[TreeDef], str]


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


def _show_items(before: str, after: str) -> Callable[[TreeDef], str]:
    def show(tree: TreeDef) -> str:
        items = ", ".join(map_str(tree.children))
        comma = "," if before == "(" and len(tree.children) == 1 else ""
        return f"{before}{items}{comma}{after}"

    return show


def map_str(trees: Sequence[TreeDef]) -> Iterator[str]:
    """The text of each structure."""
    return (str(tree) for tree in trees)


def _show_dict(tree: TreeDef) -> str:
    pairs = zip(tree.static[1], tree.children, strict=True)
    return "{" + ", ".join(f"{key!r}: {child}" for key, child in pairs) + "}"


def _show_named(tree: TreeDef) -> str:
    pairs = zip(tree.kind.names(tree.static, len(tree.children)), tree.children, strict=True)
    return f"{tree.kind.name}(" + ", ".join(f"{n.strip('.')}={child}" for n, child in pairs) + ")"


LEAF_KIND = Kind(
    "*", lambda o: ((), None), lambda s, c: None, _numbered, lambda s, o: (), lambda t: "*"
)
NONE = Kind(
    "None", lambda o: ((), None), lambda s, c: None, _numbered,
    lambda s, o: () if o is None else None, lambda t: "None",
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
    if is_array(value):
        return True
    cls = type(value)
    if cls is list or cls is tuple:
        return any(_holds_arrays(v) for v in value)
    if cls is dict:
        return any(_holds_arrays(v) for v in value.values())
    return value is not None and _kind_of(value) is not None


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


def _flatten(obj: Any, out: list[Any]) -> TreeDef:
    kind = _kind_of(obj)
    if kind is None:
        out.append(obj)
        return LEAF
    if kind is NONE:
        return NOTHING
    children, static = kind.split(obj)
    before = len(out)
    structures = tuple([_flatten(child, out) for child in children])
    return TreeDef(kind, static, structures, len(out) - before)


def unflatten(structure: TreeDef, leaves: Sequence[Any]) -> Any:
    """The inverse of :func:`flatten`."""
    return structure.unflatten(leaves)


def _build(tree: TreeDef, leaves: Iterator[Any]) -> Any:
    if tree is LEAF:
        return next(leaves)
    if tree is NOTHING:
        return None
    return tree.kind.join(tree.static, [_build(child, leaves) for child in tree.children])


def _flatten_like(tree: TreeDef, obj: Any, out: list[Any]) -> None:
    if tree is LEAF:
        out.append(obj)
        return
    children = tree.kind.matches(tree.static, obj)
    if children is None or len(children) != len(tree.children):
        found = flatten(obj)[1]
        raise StructureError(f"expected a container of structure {tree}, got {found}")
    for child, part in zip(tree.children, children, strict=True):
        _flatten_like(child, part, out)


def _paths(tree: TreeDef, path: str, out: list[str]) -> None:
    if tree is LEAF:
        out.append(path)
        return
    names = tree.kind.names(tree.static, len(tree.children))
    for name, child in zip(names, tree.children, strict=True):
        _paths(child, path + name, out)


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
