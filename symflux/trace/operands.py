"""What may stand beside a traced array: arrays, params, numbers, lists; as keys and nodes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, RangeError, ShapeError
from ..ir.node import Node, constant_value
from ..ir.origin import user_frame
from ..ir.types import ArrayType, numpy_dtype
from .concrete import known
from .dispatch import TABLE
from .fitting import adapted
from .handle import Handle
from .indexing import Captured
from .promote import BOOL, FLOAT, INT, STORED, WEAK_KEYS, literal
from .scope import are_captured, array_of, capture, short_dtype

__all__ = [
    "as_node", "as_pick", "element", "full_shape", "is_operand", "is_weak", "mask_of", "operand",
    "refuse_foreign",
]  # fmt: skip

_NUMBERS = (bool, int, float, complex, np.generic, np.ndarray, list, tuple)


def is_operand(value: Any) -> bool:
    """Whether an operator of a traced array takes ``value`` on its other side."""
    return isinstance(value, (Handle, *_NUMBERS)) or hasattr(value, "_symflux_value")


def operand(value: Any) -> tuple[str, Any]:
    """What ``value`` counts as in promotion, and its node or number.

    Raises:
        ArgumentError: naming the user's line, for what is neither an array nor a number.
    """
    cls = type(value)
    if isinstance(value, Handle):
        node = value.node
        return (WEAK_KEYS[node.dtype] if value.weak else node.dtype), node
    if cls is float:
        return FLOAT, value
    if cls is int:
        return INT, value
    if cls is bool:
        return BOOL, value
    if hasattr(cls, "_symflux_value"):
        return operand(value._symflux_value())
    if isinstance(value, np.ndarray):
        refuse_foreign(value)
        node = capture(value)
        return node.dtype, node
    if isinstance(value, np.generic):
        return short_dtype(value.dtype), value
    if isinstance(value, list | tuple):
        return operand(_from_sequence(value))
    if isinstance(value, int | float):  # IntEnum and the like
        return operand(int(value) if isinstance(value, int) else float(value))
    if isinstance(value, complex):
        raise DTypeError(
            f"complex numbers are not supported: {value}",
            place=user_frame(),
            right="the real and the imaginary part as two arrays",
        )
    if isinstance(value, str | bytes) or not hasattr(value, "__array__"):
        raise ArgumentError(
            f"expected an array or a number, not {value!r:.60} ({cls.__name__})",
            place=user_frame(),
        )
    refuse_foreign(value)
    return operand(np.asarray(value))


#: what a subclass of arrays defines that has rules of its own
_RULES = ("__array_ufunc__", "__array_function__", "__mul__", "__add__", "__getitem__")


def refuse_foreign(value: Any) -> None:
    """Raise for arrays with rules of their own, which plain elements do not follow.

    Raises:
        ArgumentError: for masked arrays, matrices and the like, and for tables and labelled arrays
            (objects with ``to_numpy``), naming the conversion to a plain array.
    """
    cls = type(value)
    if cls is np.ndarray:
        return
    if isinstance(value, np.ndarray):
        own = any(getattr(cls, n, None) is not getattr(np.ndarray, n) for n in _RULES)
        if not own or isinstance(value, np.memmap):
            return
        right = "np.asarray(x)     # without them"
        if hasattr(cls, "filled"):
            right += "\nx.filled(0.0)"
    elif hasattr(cls, "to_numpy"):
        right = "x.to_numpy()"
    else:
        return
    raise ArgumentError(
        f"a {cls.__name__} has rules of its own, which a graph of plain arrays does not follow",
        place=user_frame(),
        wrong=f"x                 # a {cls.__name__}",
        right=right,
    )


def _from_sequence(value: Any) -> Handle:
    for item in value:
        if isinstance(item, np.ndarray):
            refuse_foreign(item)
    return TABLE[np.array](value)


def as_node(value: Any) -> Node:
    """The node for an array, number or list; numbers in the dtype in which NumPy stores them."""
    key, found = operand(value)
    return found if type(found) is Node else literal(found, STORED.get(key, key))


def element(value: Any, dtype: str) -> Node:
    """``value`` as it is put into an array of ``dtype``: floats are cut, Python integers must fit.

    Raises:
        RangeError: for a Python number beyond the dtype.
    """
    if isinstance(value, list | tuple) and dtype[0] in "iu" and not _holds_traced(value):
        try:
            return literal(np.asarray(value, numpy_dtype(dtype)), dtype)
        except OverflowError as error:
            raise RangeError(str(error), place=user_frame(), right="a wider dtype") from None
    return adapted(*operand(value), dtype)


def _holds_traced(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_traced(v) for v in value)
    return not isinstance(value, bool | int | float)


def is_weak(value: Any) -> bool:
    """Whether ``value`` is a Python number, traced or not; NumPy's own scalars are not."""
    if isinstance(value, Handle):
        return value.weak
    return isinstance(value, int | float) and not isinstance(value, np.generic)


def as_pick(item: Any) -> Any:
    """An item of an index as ``indexing.parse`` takes it."""
    if hasattr(type(item), "_symflux_value"):
        item = item._symflux_value()
    if isinstance(item, Handle):
        node = item.node
        found = constant_value(node)
        if found is None and node.dtype == "bool":
            found = known(item)  # a mask of the surroundings says how many elements there are
        if found is None and node.shape and are_captured([node]):
            return Captured(node, array_of(node))
        return node if found is None else _static_pick(found)
    refuse_foreign(item)
    if isinstance(item, bool | np.bool_):
        return np.asarray(item)  # a mask of an array without axes
    if isinstance(item, int | np.integer):
        return int(item)
    if hasattr(type(item), "__index__") and not isinstance(item, np.ndarray):
        return item.__index__()
    if isinstance(item, np.ndarray) and item.dtype.kind in "iu" and item.ndim:
        return Captured(capture(item), item)
    if isinstance(item, list) and not item:
        return np.zeros(0, np.int64)
    if isinstance(item, list | tuple) and any(isinstance(i, Handle) for i in item):
        return _from_sequence(item).node
    return _static_pick(item)


def _static_pick(item: Any) -> Any:
    array = np.asarray(item)
    if array.ndim == 0 and array.dtype.kind in "iu":
        return int(array)
    return array


def mask_of(index: Any) -> Node | None:
    """The mask, if the index is one traced array of bools."""
    if hasattr(type(index), "_symflux_value"):
        index = index._symflux_value()
    if isinstance(index, Handle) and index.dtype == bool:
        return index.node
    return None


def _other_shape(size: int, numbers: list[int]) -> str:
    """A shape that is like the wrong one, and fits."""
    first = math.prod(numbers[:-1])
    if len(numbers) > 1 and first > 0 and size % first == 0:
        return f"x.reshape({', '.join(map(str, numbers[:-1]))}, -1)"
    return "x.reshape(-1)        # one axis"


def full_shape(type_: ArrayType, shape: Any) -> tuple[int, ...]:
    """The shape with -1 filled in.

    Raises:
        ShapeError: if the number of elements does not fit.
    """
    numbers = [int(n) for n in (shape if isinstance(shape, list | tuple) else (shape,))]
    known = 1
    for n in numbers:
        known *= n if n != -1 else 1
    missing = numbers.count(-1)
    fits = missing < 2 and min(numbers, default=0) >= -1
    if fits and missing:
        fits = known > 0 and type_.size % known == 0
        numbers = [type_.size // known if n == -1 and known else n for n in numbers]
    elif fits:
        fits = known == type_.size
    if not fits:
        raise ShapeError(
            f"cannot reshape {type_} ({type_.size} elements) to shape {tuple(numbers)}",
            place=user_frame(),
            right=_other_shape(type_.size, numbers),
        )
    return tuple(numbers)
