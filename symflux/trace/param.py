"""Params: arrays that functions use without being given them; learned by updates in place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import tree
from ..boundary import boundary
from ..errors import (
    ArgumentError,
    DTypeError,
    MissingKey,
    ShapeError,
    StructureError,
    UnsupportedOperation,
)
from ..ir.node import Node, symbol
from ..ir.origin import user_frame
from .array import Array
from .holders import held
from .operands import refuse_foreign
from .scope import Scope, is_tracing, outermost, pushed, scopes, short_dtype

__all__ = ["Gradients", "Param", "Params", "bind", "param", "params", "update"]


class Param:
    """An array that is learned.

    Outside of a traced function it behaves like the NumPy array ``value`` in every operator,
    function and index. Inside it behaves like a traced argument: the compiled function reads the
    array anew at each call. :func:`update` changes it in place. Made by :func:`param`.

    >>> import symflux as sf
    >>> W = sf.param([1.0, 2.0])
    >>> W * 3.0, W[1], W.value
    (array([3., 6.]), np.float64(2.0), array([1., 2.]))
    """

    __slots__ = ("__weakref__", "name", "value")

    __array_priority__ = 2000

    def __init__(self, value: Any, name: str = "") -> None:
        refuse_foreign(value)
        array = np.array(value)
        if array.dtype.kind in "iu" and not hasattr(value, "dtype"):
            array = array.astype(np.float64)  # learned values are no integers
        short_dtype(array.dtype)
        self.value = array
        self.name = name

    def _symflux_value(self) -> Any:
        """What the param stands for now: its array, or a traced one."""
        found = current(self) if scopes() else None
        return self.value if found is None else found

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def size(self) -> int:
        return self.value.size

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        text = np.array2string(self.value, threshold=20, separator=", ")
        return f"param({text})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._symflux_value(), name)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        now = self._symflux_value()
        if type(now) is Array:
            return now.__array__(dtype)
        return np.array(now, dtype) if copy or dtype is not None else now

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _into(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _into(func, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        return self._symflux_value()[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        now = self._symflux_value()
        if type(now) is not Array:
            now[index] = _plain(value)
            return
        handle = Array(now.node)
        handle[index] = value
        rebind(self, handle.node)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._symflux_value())

    def __bool__(self) -> bool:
        return bool(self._symflux_value())

    def __float__(self) -> float:
        return float(self._symflux_value())

    def __int__(self) -> int:
        return int(self._symflux_value())

    def __index__(self) -> int:
        return self._symflux_value().__index__()

    def __format__(self, spec: str) -> str:
        return format(self._symflux_value(), spec)

    def __contains__(self, value: Any) -> bool:
        return value in self._symflux_value()


def _plain(value: Any) -> Any:
    """``value`` with each param replaced by what it stands for."""
    cls = type(value)
    if cls is Param:
        return value._symflux_value()
    if cls is tuple or cls is list:
        return cls([_plain(v) for v in value])
    if cls is dict:
        return {k: _plain(v) for k, v in value.items()}
    return value


def _into(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """A function of NumPy's on what params stand for; one that is given as ``out`` is updated."""
    given = kwargs.get("out")
    target = given[0] if isinstance(given, tuple) and len(given) == 1 else given
    if type(target) is not Param:
        return function(*_plain(args), **_plain(kwargs))
    now = target._symflux_value()
    if type(now) is not Array:
        function(*_plain(args), **_plain(kwargs))
        return target
    handle = Array(now.node)
    function(*_plain(args), **{**_plain(kwargs), "out": handle})
    rebind(target, handle.node)
    return target


def _define_operators() -> None:
    names = (
        "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor",
        "lshift", "rshift", "divmod",
    )  # fmt: skip
    for name in names:
        for prefix in ("", "r"):
            setattr(Param, f"__{prefix}{name}__", _operator(f"__{prefix}{name}__"))
        if name != "divmod":
            setattr(Param, f"__i{name}__", _in_place(f"__{name}__"))
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        setattr(Param, f"__{name}__", _operator(f"__{name}__"))
    for name in ("neg", "pos", "abs", "invert", "round"):
        setattr(Param, f"__{name}__", _operator(f"__{name}__"))
    # Compared element by element, yet a key: a param is itself, as a variable is.
    Param.__hash__ = lambda self: id(self)  # type: ignore[method-assign]


def _operator(name: str) -> Any:
    def apply(self: Param, *others: Any) -> Any:
        now = self._symflux_value()
        if name == "__round__":
            # A NumPy number rounds as Python's do; an array of no axes does not.
            number: Any = now[()] if isinstance(now, np.ndarray) else now
            return round(number, *others)
        return getattr(now, name)(*_plain(others))

    return apply


def _in_place(name: str) -> Any:
    def apply(self: Param, other: Any) -> Param:
        set_value(self, getattr(self._symflux_value(), name)(_plain(other)))
        return self

    return apply


_define_operators()


# --- what a param stands for in the functions being traced ----------------------------------------


def current(param: Param) -> Array | None:
    """The traced array for ``param`` in the innermost scope that gives it a meaning.

    The outermost traced function captures it; None where there is no such function."""
    key = id(param)
    for scope in reversed(scopes()):
        found = scope.params.get(key)
        if found is not None:
            return found[1]
    outer = outermost()
    if outer is None:
        return None
    number = len(outer.captures)
    node = symbol(param.name or f"param{number}", param.shape, short_dtype(param.dtype))
    outer.captures[key] = (param, node)
    outer.symbols.add(node.id)
    handle = Array(node).belongs(outer.life)
    outer.params[key] = (param, handle, node)
    return handle


def rebind(param: Param, node: Node) -> None:
    """Let ``param`` stand for ``node`` from now on in the innermost scope."""
    before = current(param)
    assert before is not None
    scope = scopes()[-1]
    if scope.kind == "body":
        raise UnsupportedOperation(
            f"a param ({before.type}) cannot be updated inside the body of a loop or branch",
            place=user_frame(),
            why="the body is a function of its own: what it computes leaves it as a result",
            right="return the new value from the body, and sf.update the param after the loop",
        )
    known = scope.params.get(id(param))
    first = known[2] if known is not None else before.node
    scope.params[id(param)] = (param, Array(node), first)


def updated(scope: Scope) -> list[tuple[Param, Node]]:
    """The params that were updated in ``scope``, with their new values."""
    return [
        (param, handle.node)
        for param, handle, first in scope.params.values()
        if handle.node is not first
    ]


@contextmanager
def bind(values: Mapping[Param, Node]) -> Iterator[None]:
    """Inside, each param of ``values`` stands for the node given for it.

    Updates made inside last as long as the binding for these params, and go to the enclosing trace
    for all others.
    """
    scope = Scope("bind", "binding")
    for param, node in values.items():
        scope.params[id(param)] = (param, Array(node), node)
    with pushed(scope):
        yield
    if is_tracing():
        for param, node in updated(scope):
            if param not in values:
                rebind(param, node)


# --- the public functions -------------------------------------------------------------------------


@boundary
def param(value: Any, name: str = "") -> Param:
    """A param that starts as a copy of ``value``.

    Args:
        value: an array, number or nested list, of any dtype that graphs hold. Python numbers,
            integers too, become arrays of shape () of float64; lists of them likewise.
        name: shown in graphs.

    >>> W = param([1.0, 2.0])
    >>> W * 2
    array([2., 4.])
    """
    return Param(value, name)


def set_value(target: Param, value: Any) -> None:
    """Replace the elements of ``target``, in place; dtype and shape stay.

    Raises:
        ShapeError, DTypeError: if the new value does not fit into the param's array.
    """
    plain = _plain(value)
    shape = np.shape(plain) if not isinstance(plain, Array) else plain.shape
    if shape != target.shape:
        try:
            fits = np.broadcast_shapes(shape, target.shape) == target.shape
        except ValueError:
            fits = False
        if not fits:
            raise ShapeError(
                f"a param of shape {target.shape} cannot take a value of shape {shape}",
                place=user_frame(),
            )
    given = plain.dtype if isinstance(plain, Array) else np.asarray(plain).dtype
    if not np.can_cast(given, target.dtype, "same_kind"):
        raise DTypeError(
            f"a param of {target.dtype} cannot take a value of {given}",
            place=user_frame(),
            right=f"value.astype(np.{target.dtype})",
        )
    now = target._symflux_value()
    if type(now) is not Array:
        if isinstance(plain, Array):
            raise ArgumentError(
                "a param cannot take a symbolic value outside of a traced function",
                place=user_frame(),
            )
        now[...] = plain
        return
    handle = Array(now.node)
    handle[...] = plain
    rebind(target, handle.node)


@boundary
def update(target: Any, delta: Any) -> Any:
    """Add ``delta`` to a param in place, and return the param: ``W += delta``.

    Inside a traced function the new value is recorded: reads that follow see it, and each call of
    the compiled function changes the param's array. A container of params takes a container of
    deltas.

    Args:
        target: a param, a :class:`Params`, or a container whose leaves are params.
        delta: an array or number that broadcasts to the param; a :class:`Gradients`, or a
            container of the same structure.

    Raises:
        ShapeError, DTypeError: if the sum does not fit into the param's array.
        ArgumentError: if ``target`` holds something else than params.

    >>> W = param([1.0, 2.0])
    >>> update(W, -0.5)
    param([0.5, 1.5])
    """
    if isinstance(target, Param):
        now = target._symflux_value()
        set_value(target, now + _plain(delta))
        return target
    if isinstance(target, Params) and isinstance(delta, Gradients):
        for each in target:
            update(each, delta[each])
        return target
    targets, structure = tree.flatten(target)
    for each, part in zip(targets, structure.flatten_up_to(delta), strict=True):
        if not isinstance(each, Param):
            raise ArgumentError(
                f"only params can be updated, not {type(each).__name__}",
                place=user_frame(),
                wrong="W = np.zeros(3); sf.update(W, g)",
                right="W = sf.param(np.zeros(3)); sf.update(W, g)\nW = W + g",
            )
        update(each, part)
    return target


class Params:
    """Some params, in order, each once. Made by :func:`params`.

    >>> import symflux as sf
    >>> W, b = sf.param(2.0), sf.param(3.0)
    >>> [float(p.value) for p in sf.params(W, [b, W])]
    [2.0, 3.0]
    """

    __slots__ = ("items",)

    def __init__(self, items: tuple[Param, ...]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Param]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Param:
        return self.items[index]

    def __contains__(self, item: Any) -> bool:
        return any(item is p for p in self.items)

    def __repr__(self) -> str:
        return f"params({', '.join(map(repr, self.items))})"


@boundary
def params(*holders: Any) -> Params:
    """The params among ``holders``: params, and what holds some: layers, containers, objects with
    params as attributes, functions that read params (closures, methods, global variables).

    A param that appears twice is listed once.

    Raises:
        ArgumentError: for an argument without any params.

    >>> W, b = param(2.0), param(3.0)
    >>> len(params([W, {"b": b}], W)), len(params(lambda x: W * x + b))
    (2, 2)
    """
    found: dict[int, Param] = {}
    for holder in holders:
        own = held(holder, Param)
        if not own:
            raise _no_params(holder)
        found.update({id(p): p for p in own})
    return Params(tuple(found.values()))


def _no_params(holder: Any) -> ArgumentError:
    if isinstance(holder, Array | np.ndarray | np.generic | float | int):
        return ArgumentError(
            "params: an array is no param; what is computed from a param is an array",
            place=user_frame(),
            wrong="W = W - 0.1 * grads[W]           # another array, under the param's name",
            right="sf.update(W, -0.1 * grads[W])    # of W = sf.param(np.zeros(3))",
        )
    return ArgumentError(
        f"params: no param is found in a {type(holder).__name__}",
        place=user_frame(),
        wrong="W = np.zeros(3); sf.params(W)",
        right="W = sf.param(np.zeros(3)); sf.params(W)",
    )


class Gradients:
    """Gradients by param: ``grads[W]``; by position: ``grads[0]``, ``dW, db = grads``; with their
    params: ``for W, g in grads.items()``.

    >>> import symflux as sf
    >>> W, b = sf.param(2.0), sf.param(3.0)
    >>> grads = sf.gradient(lambda: W * 4.0 + b, sf.params(W, b))
    >>> float(grads[W]), float(grads[1]), len(grads)
    (4.0, 1.0, 2)
    >>> dW, db = grads
    >>> float(dW)
    4.0
    """

    __slots__ = ("_by_id", "params", "values_")

    def __init__(self, params: Iterable[Param], values: Iterable[Any]) -> None:
        self.params = tuple(params)
        self.values_ = tuple(values)
        if len(self.params) != len(self.values_):
            raise StructureError(f"{len(self.params)} params, {len(self.values_)} gradients")
        self._by_id = dict(zip(map(id, self.params), self.values_, strict=True))

    @boundary
    def __getitem__(self, key: Param | int) -> Any:
        if isinstance(key, Param):
            try:
                return self._by_id[id(key)]
            except KeyError:
                raise MissingKey(
                    "no gradient with respect to this param was asked for",
                    place=user_frame(),
                    right="sf.gradient(loss, sf.params(W, b))     # all that are wanted",
                ) from None
        if isinstance(key, Array | np.ndarray | np.floating | float):
            raise _no_params(key)
        return self.values_[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values_)

    def keys(self) -> tuple[Param, ...]:
        return self.params

    def values(self) -> tuple[Any, ...]:
        return self.values_

    def items(self) -> tuple[tuple[Param, Any], ...]:
        return tuple(zip(self.params, self.values_, strict=True))

    def __len__(self) -> int:
        return len(self.params)

    def __contains__(self, key: object) -> bool:
        return id(key) in self._by_id

    def __repr__(self) -> str:
        return f"Gradients({', '.join(map(repr, self.values_))})"


tree.register(Params, lambda p: (p.items, None), lambda _, items: Params(tuple(items)))


class _Identities:
    """Params compared by identity: the static part of a container of gradients."""

    __slots__ = ("params",)

    def __init__(self, params: tuple[Param, ...]) -> None:
        self.params = params

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identities) and self._ids() == other._ids()

    def __hash__(self) -> int:
        return hash(self._ids())

    def _ids(self) -> tuple[int, ...]:
        return tuple(map(id, self.params))


tree.register(
    Gradients,
    lambda g: (g.values_, _Identities(g.params)),
    lambda static, values: Gradients(static.params, values),
)
