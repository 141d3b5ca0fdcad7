"""Arguments of a function that is traced: their types, their names, and which are static."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .. import tree
from ..boundary import nearest
from ..errors import ArgumentError
from ..ir.node import Node
from ..ir.origin import user_frame
from ..ir.types import ArrayType
from ..records import record
from .array import Array
from .operands import refuse_foreign
from .param import Param
from .plain import written_plainly
from .promote import BOOL, FLOAT, INT, STORED
from .scope import short_dtype

__all__ = [
    "Arguments", "Static", "leaf_names", "leaf_type", "mark_static", "name_of", "not_an_argument",
    "parameters_of",
]  # fmt: skip


@record(frozen=True, slots=True)
class Arguments:
    """What a function was traced for.

    Attributes:
        in_tree: structure of ``(args, kwargs)``; static arguments are part of it.
        types: of each leaf.
        weak: for each leaf, whether it is a Python number.
        names: of each leaf, as written in the function: ``model.layers[0].W``.
    """

    in_tree: tree.TreeDef
    types: tuple[ArrayType, ...]
    weak: tuple[bool, ...]
    names: tuple[str, ...]


class Static:
    """An argument that is part of the signature, without leaves."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


tree.register_leaf(ArrayType)
tree.register(Static, lambda s: ((), s.value), lambda value, _: Static(value))


#: of functions that are alive: what they refer to may be large, or the compiled function itself
_known_parameters: weakref.WeakKeyDictionary[Any, tuple[tuple[str, ...], str, bool]] = (
    weakref.WeakKeyDictionary()
)


def _read_parameters(fn: Callable[..., Any]) -> tuple[tuple[str, ...], str, bool]:
    """Names of positional parameters, of the variadic one, and whether any keyword is taken."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):  # a builtin
        return (), "args", True
    positional = tuple(
        p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    )
    variadic = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")
    return positional, variadic, any(p.kind is p.VAR_KEYWORD for p in parameters)


def parameters_of(fn: Callable[..., Any]) -> tuple[tuple[str, ...], str, bool]:
    try:
        found = _known_parameters.get(fn)
    except TypeError:  # a callable object that cannot be a key
        return _read_parameters(fn)
    if found is None:
        found = _known_parameters[fn] = _read_parameters(fn)
    return found


def mark_static(
    fn: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any],
    static_argnums: int | Iterable[int] = (), static_argnames: str | Iterable[str] = (),
) -> tuple[tuple[Any, ...], dict[str, Any]]:  # fmt: skip
    """The arguments with each static one wrapped in :class:`Static`.

    The structure (``tree.flatten``) of the result is then a key for everything but dtypes and
    shapes.

    Raises:
        ArgumentError: for a static argument that is not hashable, and names the function lacks.
    """
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    if not numbers and not names:
        return tuple(args), kwargs
    positional, _, any_keyword = parameters_of(fn)
    for name in names:
        known = name in positional or any_keyword or name in kwargs or name in _keywords(fn)
        if not known:
            raise ArgumentError(
                f"static_argnames: {name_of(fn)} has no parameter {name!r}",
                place=user_frame(),
                why=f"its parameters: {', '.join((*positional, *_keywords(fn)))}",
                right=f"static_argnames={_some_parameter(name, (*positional, *_keywords(fn)))!r}",
            )
    chosen = {n + len(args) if n < 0 else n for n in numbers}
    chosen |= {i for i, name in enumerate(positional) if name in names}
    by_name = set(names) | {positional[n] for n in chosen if n < len(positional)}
    marked = list(args)
    for i in range(len(marked)):
        if i in chosen:
            marked[i] = _static(fn, positional[i] if i < len(positional) else f"{i}", marked[i])
    named = {k: _static(fn, k, v) if k in by_name else v for k, v in kwargs.items()}
    return tuple(marked), named


def _some_parameter(name: str, known: Sequence[str]) -> str:
    """The parameter that is meant by a name, or one that may be."""
    return nearest(name, known) or (known[-1] if known else "n")


def _keywords(fn: Callable[..., Any]) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def _static(fn: Callable[..., Any], name: str, value: Any) -> Static:
    if isinstance(value, Static):
        return value
    try:
        hash(value)
    except TypeError:
        is_array = tree.is_array(value)
        raise ArgumentError(
            f"the static argument `{name}` of {name_of(fn)} is not hashable: "
            f"{type(value).__name__}",
            place=user_frame(),
            why="a function is compiled once for each value of its static arguments",
            right=f"drop {name!r} from static_argnames" if is_array else f"{name}=tuple({name})",
        ) from None
    return Static(value)


def name_of(fn: Callable[..., Any]) -> str:
    name = getattr(fn, "__name__", None) or type(fn).__name__
    return "function" if name == "<lambda>" else str(name)


def leaf_type(leaf: Any) -> tuple[ArrayType, bool] | None:
    """The type of an argument's leaf and whether it is a Python number; None for other objects.

    An :class:`ArrayType` or an input node may stand for an array that does not exist yet.

    Raises:
        DTypeError: for arrays of dtypes that graphs do not hold.
        ArgumentError: for arrays with rules of their own (masked ones, matrices, tables).
    """
    cls = type(leaf)
    if cls is not Param:
        refuse_foreign(leaf)
    if cls is np.ndarray or isinstance(leaf, np.ndarray | np.generic):
        return ArrayType(leaf.shape, short_dtype(leaf.dtype)), False
    if cls is float or cls is int or cls is bool:
        return ArrayType((), STORED[{float: FLOAT, int: INT, bool: BOOL}[cls]]), True
    if cls is Array:
        return leaf.node.type, leaf.weak
    if cls is Param:
        return ArrayType(leaf.shape, short_dtype(leaf.dtype)), False
    if cls is ArrayType:
        return leaf, False
    if cls is Node:
        return leaf.type, False
    if isinstance(leaf, float | int):
        return leaf_type(float(leaf) if isinstance(leaf, float) else int(leaf))
    if hasattr(cls, "__array__"):
        return leaf_type(np.asarray(leaf))
    return None


def not_an_argument(fn: Callable[..., Any], name: str, leaf: Any) -> ArgumentError:
    top = name.split(".")[0].split("[")[0]
    right = f"sf.compile({getattr(fn, 'expression', name_of(fn))}, static_argnames={top!r})"
    plain = written_plainly(leaf, top)
    right = f"{plain}\n{right}" if plain else right
    field = name.rpartition(".")[2]
    if field != name and field.isidentifier():
        kind = type(leaf).__name__
        right = f"{field}: {kind} = dataclasses.field(metadata={{'static': True}})\n{right}"
    return ArgumentError(
        f"argument `{name}` of {name_of(fn)} is neither an array nor a number: "
        f"{leaf!r:.60} ({type(leaf).__name__})",
        place=user_frame(),
        why="arrays and numbers are traced; anything else must be a setting, fixed at compile time",
        right=right,
    )


def leaf_names(
    fn: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], in_tree: tree.TreeDef
) -> tuple[str, ...]:
    """A name for each leaf, from the function's own parameter names."""
    positional, variadic, _ = parameters_of(fn)
    names: list[str] = []
    of_args, of_kwargs = in_tree.children
    for i, child in enumerate(of_args.children):
        if i < len(positional):
            root = positional[i]
        else:
            root = f"{variadic or 'argument'}[{i - len(positional)}]"
        names += child.paths(root)
    for key, child in zip(kwargs, of_kwargs.children, strict=True):
        names += child.paths(key)
    return tuple(names)
