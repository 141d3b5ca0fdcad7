"""Nodes: immutable, interned applications of an op; structural equality is identity."""

from __future__ import annotations

import functools
import itertools
import weakref
from typing import Any

import numpy as np

from . import origin as _origin
from .op import LOCALLY_CONSTANT, Kind, NotDifferentiable, Op, lookup
from .types import DTYPES, ArrayType, TupleType, Type, dtype_of, numpy_dtype

__all__ = [
    "Node", "apply", "array_type", "constant", "constant_value", "item", "known", "rebuild",
    "symbol",
]  # fmt: skip

_ids = itertools.count()


class _Reference(weakref.ref["Node"]):
    """A weak reference to a node that knows the node's key.

    This and the plain dictionary below are a weak dictionary with a third of the standard one's
    cost: every node of every graph goes through it."""

    __slots__ = ("key",)

    key: Any


_interned: dict[Any, _Reference] = {}


def _forget(reference: Any) -> None:
    """A node is gone: so is its entry, unless an equal node has taken its place."""
    key = reference.key
    if _interned.get(key) is reference:
        del _interned[key]


class Node:
    """``op(*inputs, **attrs) : type``.

    Nodes are made by :func:`apply`, which returns the existing node when there is one. ``id``
    grows with creation, so inputs always have smaller ids than their users. ``origin`` says
    where the node was first made; it is not part of its identity. Arithmetic operators build
    nodes, for derivative rules and passes; user code works with ``symflux.trace.Array`` instead.
    """

    __slots__ = ("__weakref__", "attrs", "id", "inputs", "op", "origin", "type")

    op: Op
    inputs: tuple[Node, ...]
    attrs: tuple[tuple[str, Any], ...]
    type: Any  # Type; Any spares a cast at each use of .shape
    id: int
    origin: _origin.Origin | None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def dtype(self) -> str:
        """The short dtype name."""
        return self.type.dtype

    @property
    def attributes(self) -> dict[str, Any]:
        return dict(self.attrs)

    def __getitem__(self, name: str) -> Any:
        """The attribute of that name."""
        for key, value in self.attrs:
            if key == name:
                return value
        raise KeyError(name)

    def __repr__(self) -> str:
        inputs = ", ".join(f"%{n.id}" for n in self.inputs)
        return f"<%{self.id} = {self.op.name}({inputs}) : {self.type}>"

    def __add__(self, other: Any) -> Node:
        return lookup("add")(self, other)

    def __radd__(self, other: Any) -> Node:
        return lookup("add")(other, self)

    def __sub__(self, other: Any) -> Node:
        return lookup("sub")(self, other)

    def __rsub__(self, other: Any) -> Node:
        return lookup("sub")(other, self)

    def __mul__(self, other: Any) -> Node:
        return lookup("mul")(self, other)

    def __rmul__(self, other: Any) -> Node:
        return lookup("mul")(other, self)

    def __truediv__(self, other: Any) -> Node:
        return lookup("div")(self, other)

    def __rtruediv__(self, other: Any) -> Node:
        return lookup("div")(other, self)

    def __neg__(self) -> Node:
        return lookup("neg")(self)


def _intern(
    op: Op,
    inputs: tuple[Node, ...],
    attrs: tuple[tuple[str, Any], ...],
    type_: Type | None = None,  # if known
) -> Node:
    key = (op, inputs, attrs)
    reference = _interned.get(key)
    if reference is not None:
        node = reference()
        if node is not None:
            return node
    if type_ is None:
        types = [x.type for x in inputs]
        type_ = op.infer(*types, **dict(attrs)) if attrs else op.infer(*types)
    return _made(key, type_, _origin.current(3))


def known(
    op: Op,
    inputs: tuple[Node, ...],
    attrs: tuple[tuple[str, Any], ...],
    type_: Any,
    origin: _origin.Origin | None,
) -> Node:
    """The node ``op(*inputs, **attrs)``, whose type is known already; a new one comes from
    ``origin``. ``attrs`` are in the order of their names."""
    key = (op, inputs, attrs)
    reference = _interned.get(key)
    if reference is not None:
        node = reference()
        if node is not None:
            return node
    return _made(key, type_, origin)


def _made(
    key: tuple[Op, tuple[Node, ...], tuple[tuple[str, Any], ...]],
    type_: Any,
    origin: _origin.Origin | None,
) -> Node:
    """A new node, unless another thread comes first."""
    node = _new(Node)
    node.op, node.inputs, node.attrs = key
    node.type = type_
    node.id = next(_ids)
    node.origin = origin
    reference = _Reference(node, _forget)
    reference.key = key
    other = _interned.setdefault(key, reference)
    if other is not reference:  # another thread came first, or the entry of a dead node
        first = other()
        if first is not None:
            return first
        _interned[key] = reference
    return node


_new = object.__new__


def _as_nodes(inputs: tuple[Any, ...]) -> tuple[Node, ...]:
    dtype = next(
        (x.dtype for x in inputs if isinstance(x, Node) and x.dtype != "bool"),
        next((x.dtype for x in inputs if isinstance(x, Node)), "f64"),
    )
    return tuple(x if isinstance(x, Node) else constant(x, dtype) for x in inputs)


def apply(op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Node:
    """The node ``op(*inputs, **attrs)``; Python numbers become constants of the first node's
    dtype."""
    for x in inputs:
        if type(x) is not Node:
            inputs = _as_nodes(inputs)
            break
    return _intern(op, inputs, tuple(sorted(attrs.items())) if attrs else ())


def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
    """The same op and attributes on other inputs."""
    if inputs == node.inputs:
        return node
    for x, y in zip(inputs, node.inputs, strict=True):
        if x.type is not y.type and x.type != y.type:
            return _intern(node.op, inputs, node.attrs)
    return _intern(node.op, inputs, node.attrs, node.type)


def _no_batch(inputs: Any, batched: Any, **attrs: Any) -> Node:
    raise AssertionError("sources have no inputs to batch")


def _input_type(*, shape: tuple[int, ...], dtype: str, **_: Any) -> Type:
    return array_type(shape, dtype)


#: Sources of one type share the object, and so do most nodes made of them: comparing types is then
#: comparing identities.
array_type = functools.lru_cache(maxsize=1024)(ArrayType)


INPUT = Op(
    "input", Kind.SOURCE, _input_type, NotDifferentiable("an input has no inputs"), _no_batch, None,
    lambda **attrs: None, doc="An argument of the graph.",
)  # fmt: skip

CONSTANT = Op(
    "constant", Kind.SOURCE, _input_type, LOCALLY_CONSTANT, _no_batch, None,
    lambda *, shape, dtype, data: np.frombuffer(data, numpy_dtype(dtype)).reshape(shape),
    doc="A literal scalar or small array.",
)  # fmt: skip


def _item_type(source: Type, *, index: int) -> Type:
    assert isinstance(source, TupleType)
    return source.items[index]


ITEM = Op(
    "item", Kind.OPAQUE, _item_type, NotDifferentiable("handled with the op it belongs to"),
    _no_batch,
    None, lambda source, *, index: source[index], doc="One result of an op with several.",
)  # fmt: skip


def item(source: Node, index: int) -> Node:
    """Result number ``index`` of a node with several results."""
    return apply(ITEM, (source,), {"index": index})


def symbol(name: str, shape: tuple[int, ...] = (), dtype: Any = "f64") -> Node:
    """A fresh input node; two symbols are never the same node, whatever their names.

    ``dtype`` is a short name of graphs (``"i8"`` is int8 here), or anything else that NumPy takes.
    """
    short = dtype if isinstance(dtype, str) and dtype in DTYPES else dtype_of(dtype)
    attrs = {"name": name, "shape": tuple(shape), "dtype": short, "uid": next(_ids)}
    return apply(INPUT, (), attrs)


def constant(value: Any, dtype: str | None = None) -> Node:
    """A literal node from a Python number, NumPy scalar or (small) array."""
    if dtype is None:
        array = np.asarray(value)
        dtype = dtype_of(array.dtype)
    array = np.ascontiguousarray(value, numpy_dtype(dtype))
    shape = np.shape(value)
    return apply(CONSTANT, (), {"shape": shape, "dtype": dtype, "data": array.tobytes()})


def constant_value(node: Node) -> np.ndarray[Any, Any] | None:
    """The array of a constant node (read-only); None for other nodes."""
    if node.op is not CONSTANT:
        return None
    return np.frombuffer(node["data"], numpy_dtype(node.dtype)).reshape(node.shape)
