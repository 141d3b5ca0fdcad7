"""Results written into arrays that are given: ``out=`` and ``where=`` of NumPy's functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, ShapeError
from ..ir.node import Node
from ..ir.op import lookup
from ..ir.origin import user_frame
from ..ir.types import broadcast_shapes, numpy_dtype
from .array import Array
from .fitting import adapted
from .operands import as_node, operand
from .promote import INT, build, cast, literal
from .views import reshape

__all__ = ["is_target", "takes_out", "write"]


def is_target(out: Any) -> bool:
    """Whether ``out`` is a traced array, which can take a traced result (a plain one cannot)."""
    return isinstance(_single(out), Array)


def _single(out: Any) -> Any:
    return out[0] if isinstance(out, tuple) and len(out) == 1 else out


def write(
    name: str, out: Any, value: Any, *, casting: str = "same_kind", where: Any = True,
    grows: bool = False,
) -> Array:  # fmt: skip
    """Put ``value`` into the traced array ``out``; the array, as NumPy's functions return it.

    Args:
        name: of the function, for messages.
        casting: which conversions to the array's dtype are permitted, in NumPy's words.
        where: a mask; other elements stay as they are.
        grows: whether the value is repeated to the shape of the array, as ufuncs do.

    Raises:
        DTypeError, ShapeError: where NumPy raises too.
    """
    target: Array = _single(out)
    if target.weak:
        raise ArgumentError(
            f"np.{name}: out= must be an array, not a number", place=user_frame(),
            right=f"x = np.{name}(...)",
        )  # fmt: skip
    old = target.node
    node = _converted(name, value, old.dtype, casting)
    mask = None
    if where is not True:
        mask = as_node(np.asarray(where, bool) if isinstance(where, list | tuple) else where)
        if mask.dtype != "bool":
            raise DTypeError(
                f"np.{name}: where= must be a mask of bools, not {mask.type}", place=user_frame(),
                right="where=mask != 0",
            )  # fmt: skip
    if grows:
        node = _grown(name, node, old, mask)
    elif node.shape != old.shape:
        raise _misfit(name, node.shape, old.shape)
    target.assign(node if mask is None else build("where", mask, node, old))
    return target


_KINDS = {"b": "b", "i": "i", "u": "i", "f": "f"}


def _converted(name: str, value: Any, dtype: str, casting: str) -> Node:
    key, found = operand(value)
    if key == INT and type(found) is Node and dtype[0] in "iu":
        return adapted(key, found, dtype)
    if type(found) is not Node:
        if not isinstance(found, np.generic) and "bif".find(
            np.asarray(found).dtype.kind
        ) <= "bif".find(_KINDS[dtype[0]]):
            return literal(found, dtype)  # Python's numbers take on the dtype
        found = as_node(value)
    if not np.can_cast(numpy_dtype(found.dtype), numpy_dtype(dtype), casting):  # type: ignore[arg-type]
        raise DTypeError(
            f"np.{name}: an array of {dtype} cannot take a result of {found.dtype} "
            f"(casting={casting!r})",
            place=user_frame(),
            wrong=f"np.{name}(x, out=y)",
            right=f"y[...] = np.{name}(x)      # which converts",
        )
    return cast(found, dtype)


def _grown(name: str, node: Node, old: Node, mask: Node | None) -> Node:
    while len(node.shape) > len(old.shape) and node.shape[0] == 1 and name == "copyto":
        node = reshape(node, node.shape[1:])
    shapes = [node.shape, old.shape, *([] if mask is None else [mask.shape])]
    try:
        fits = broadcast_shapes(*shapes) == old.shape
    except ValueError:
        fits = False
    if not fits:
        raise _misfit(name, node.shape, old.shape)
    return node if node.shape == old.shape else lookup("broadcast_to")(node, shape=old.shape)


def _misfit(name: str, shape: tuple[int, ...], wanted: tuple[int, ...]) -> ShapeError:
    return ShapeError(
        f"np.{name}: an array of shape {wanted} cannot take a result of shape {shape}",
        place=user_frame(),
        wrong=f"np.{name}(x, out=y)",
        right=f"y = np.{name}(x)",
    )


def takes_out(
    casting: str = "same_kind", *, grows: bool = False, retypes: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let an implementation take a traced array as ``out``; it sees ``None`` then.

    Args:
        casting: which conversions are permitted.
        grows: whether the result is repeated to the shape of ``out``.
        retypes: whether the result is computed in the dtype of ``out``, unless another is given.
    """

    def decorate(implementation: Callable[..., Any]) -> Callable[..., Any]:
        parameters = inspect.signature(implementation).parameters.values()
        names = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]

        @functools.wraps(implementation)
        def call(*args: Any, **kwargs: Any) -> Any:
            given = _argument("out", names, args, kwargs)
            if given is None or not is_target(given):
                return implementation(*args, **kwargs)
            args, kwargs = _replaced("out", None, names, args, kwargs)
            if retypes and _argument("dtype", names, args, kwargs) is None:
                args, kwargs = _replaced("dtype", _single(given).dtype, names, args, kwargs)
            result = implementation(*args, **kwargs)
            name = implementation.__name__.strip("_")
            return write(name, given, result, casting=casting, grows=grows)

        return call

    return decorate


def _argument(name: str, names: list[str], args: Any, kwargs: dict[str, Any]) -> Any:
    at = _place(name, names, args)
    return kwargs.get(name) if at is None else args[at]


def _replaced(name: str, value: Any, names: list[str], args: Any, kwargs: dict[str, Any]) -> Any:
    """The arguments of a call with another value for one of them."""
    at = _place(name, names, args)
    if at is not None:
        return (*args[:at], value, *args[at + 1 :]), kwargs
    return args, {**kwargs, name: value}


def _place(name: str, names: list[str], args: Any) -> int | None:
    """Where a parameter stands among the positional arguments; None if it does not."""
    at = names.index(name) if name in names else len(args)
    return at if at < len(args) else None
