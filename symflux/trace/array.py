"""The traced array: a mutable handle on an immutable node, that behaves like a NumPy array."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from ..errors import ArgumentError, DTypeError, ShapeError, UnsupportedOperation
from ..ir.node import Node, constant, constant_value
from ..ir.op import lookup
from ..ir.origin import user_frame
from ..ir.types import ArrayType, broadcast_shapes, numpy_dtype
from . import concrete
from .dispatch import NAMESPACE, TABLE, function_name, implementation, unsupported
from .indexing import Selection, block_of, parse, read_advanced
from .promote import BOOL, FLOAT, INT, STORED, WEAK_KEYS, build, cast, literal
from .scope import capture, short_dtype
from .ufuncs import record
from .views import (
    ReshapeView, SliceView, TransposeView, View, contiguous_strides, reshape, reshaped_strides,
)  # fmt: skip

__all__ = ["Array", "as_array", "as_node", "operand"]

_NUMBERS = (bool, int, float, np.generic, np.ndarray, list, tuple)


class Array:
    """A traced array: what a function sees for its arguments while it is recorded.

    It has the operators, methods and attributes of a NumPy array, and NumPy's functions take it. Each
    operation adds a node to the graph; assignment (``x[1:-1] += dx``) makes the handle, and the handles
    it is a view of, stand for new nodes. Shapes and dtypes are known; values are not, so that ``if x``
    and ``float(x)`` are errors.

    Attributes:
        node: what the handle stands for now.
        weak: whether it stands for a Python number, which adapts to the dtype of what it meets
            (NEP 50).
    """

    __slots__ = ("__weakref__", "_node", "_view", "weak")

    __array_priority__ = 1000
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, node: Node, weak: bool = False) -> None:
        self._node = node
        self._view: View | None = None
        self.weak = weak

    # --- the handle -------------------------------------------------------------------------------

    @property
    def node(self) -> Node:
        view = self._view
        if view is not None:
            base = view.base.node
            if base is not view.seen:
                self._node = view.read(base)
                view.seen = base
        return self._node

    def assign(self, node: Node) -> None:
        """Stand for ``node``, of the same type, from now on; a view writes through to its base."""
        view = self._view
        if view is not None:
            base = view.write(view.base.node, node)
            view.base.assign(base)
            view.seen = view.base.node
        self._node = node

    def _strides(self) -> tuple[int, ...]:
        return contiguous_strides(self.shape) if self._view is None else self._view.strides

    def _viewing(self, view: View) -> Array:
        handle = Array.__new__(Array)
        handle._view = view
        handle.weak = False
        base = view.base.node
        handle._node = view.read(base)
        view.seen = base
        return handle

    # --- types ------------------------------------------------------------------------------------

    @property
    def type(self) -> ArrayType:
        """Shape and short dtype."""
        return self.node.type  # type: ignore[no-any-return]

    @property
    def shape(self) -> tuple[int, ...]:
        return self._node.type.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        return numpy_dtype(self._node.type.dtype)

    @property
    def ndim(self) -> int:
        return len(self._node.type.shape)

    @property
    def size(self) -> int:
        return self._node.type.size  # type: ignore[no-any-return]

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __repr__(self) -> str:
        node = self.node
        kind = f"{node.type}, weak" if self.weak else f"{node.type}"
        return f"Array({kind}, %{node.id})"

    def __format__(self, spec: str) -> str:
        return concrete.formatted(self, spec)

    # --- what has no value yet --------------------------------------------------------------------

    def __bool__(self) -> bool:
        return concrete.truth(self)

    def __float__(self) -> float:
        return float(concrete.number(self, "float"))

    def __int__(self) -> int:
        return int(concrete.number(self, "int"))

    def __index__(self) -> int:
        return concrete.index(self)

    def __complex__(self) -> complex:
        return complex(concrete.number(self, "complex"))

    def __contains__(self, value: Any) -> bool:
        return concrete.contains(self, value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return concrete.array(self, dtype)

    def item(self, *index: Any) -> Any:
        return concrete.number(self, "item")

    def tolist(self) -> Any:
        return concrete.number(self, "tolist")

    def __getattr__(self, name: str) -> NoReturn:
        concrete.missing(self, name)

    # --- NumPy's protocols ------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        found = implementation(ufunc if method == "__call__" else getattr(ufunc, method))
        if method == "__call__":
            if found is None:
                raise unsupported(ufunc)
            return found(*inputs, **kwargs)
        found = TABLE.get((ufunc, method)) or TABLE.get(method)
        if found is None:
            raise UnsupportedOperation(
                f"{function_name(ufunc)}.{method} cannot be recorded",
                place=user_frame(),
                right="np.sum, np.prod, np.max, np.min, np.all or np.any",
            )
        if method in ("outer", "at"):
            return found(ufunc, *inputs, **kwargs)
        return found(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        for other in types:
            if other is not Array and not hasattr(other, "_symflux_value"):
                foreign = getattr(other, "__array_function__", None)
                if foreign not in (None, np.ndarray.__array_function__):
                    return NotImplemented
        found = TABLE.get(func)
        if found is None:
            raise unsupported(func)
        return found(*args, **kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return NAMESPACE[0]

    # --- operators --------------------------------------------------------------------------------

    def __neg__(self) -> Array:
        return _operator(np.negative, self)

    def __pos__(self) -> Array:
        return _operator(np.positive, self)

    def __abs__(self) -> Array:
        return _operator(np.absolute, self)

    def __invert__(self) -> Array:
        return _operator(np.invert, self)

    def __round__(self, digits: int | None = None) -> Any:
        rounded = TABLE[np.round](self, digits or 0)
        return rounded.astype(np.int64) if digits is None else Array(rounded.node, self.weak)

    def __divmod__(self, other: Any) -> Any:
        return (self // other, self % other)

    def __rdivmod__(self, other: Any) -> Any:
        return (other // self, other % self)

    def __pow__(self, other: Any, modulo: Any = None) -> Any:
        if modulo is not None:
            raise UnsupportedOperation(
                "pow with a modulus cannot be recorded", place=user_frame(), right="x ** y % m"
            )
        if self.weak and type(other) is int and other < 0 and self.dtype.kind == "i":
            return Array(cast(self.node, "f64"), weak=True) ** other  # as Python's own int ** -1
        return _binary(np.power, self, other)

    def __matmul__(self, other: Any) -> Any:
        return TABLE[np.matmul](self, other) if _is_operand(other) else NotImplemented

    def __rmatmul__(self, other: Any) -> Any:
        return TABLE[np.matmul](other, self) if _is_operand(other) else NotImplemented

    def __imatmul__(self, other: Any) -> Array:
        return _written(self, TABLE[np.matmul](self, other).node)

    # --- indexing ---------------------------------------------------------------------------------

    def _selection(self, index: Any) -> Selection:
        return parse(index, self.shape, self._strides(), _as_pick)

    def __getitem__(self, index: Any) -> Array:
        selection = self._selection(index)
        if selection.picks:
            return Array(read_advanced(block_of(self.node, selection), selection))
        if selection.is_scalar:
            return Array(block_of(self.node, selection))
        return self._viewing(self._slice_view(selection))

    def _slice_view(self, s: Selection) -> SliceView:
        return SliceView(self, s.strides, s.start, s.step, s.extent, s.shape)

    def __setitem__(self, index: Any, value: Any) -> None:
        picked = _mask_of(index)
        if picked is not None:
            self._assign_masked(picked, value)
            return
        selection = self._selection(index)
        if selection.picks:
            raise UnsupportedOperation(
                "assignment to elements picked by an index array cannot be recorded",
                place=user_frame(),
                wrong="x[indices] = v",
                right="x = np.where(mask, v, x)\nx[i] = v          # one i at a time, i a Python number",
            )
        view = self._slice_view(selection)
        if isinstance(value, Array) and value._view is not None and value._view.same_place(view):
            value.node  # noqa: B018  # x[i] += d assigns the view to its own place: only bring it up to date
            return
        node = cast(as_node(value), self._node.dtype)
        base = self.node
        self.assign(view.write(base, _fill(node, selection.shape, self.shape)))

    def _assign_masked(self, mask: Node, value: Any) -> None:
        x = self.node
        covered = x.shape[: len(mask.shape)]
        if mask.shape != covered:
            raise ShapeError(
                f"a mask of shape {mask.shape} does not fit an array of shape {x.shape}",
                place=user_frame(),
            )
        node = cast(as_node(value), x.dtype)
        rest = x.shape[len(mask.shape) :]
        if len(node.shape) > len(rest):
            raise UnsupportedOperation(
                f"x[mask] = v needs one v for all selected elements here, not {node.type}",
                place=user_frame(),
                why="which element of v goes where would depend on the mask",
                right="x = np.where(mask, v, x)     # v of the shape of x",
            )
        wide = reshape(mask, (*mask.shape, *(1,) * len(rest)))
        self.assign(build("where", wide, node, x))

    def __iter__(self) -> Iterator[Array]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    # --- the shape --------------------------------------------------------------------------------

    @property
    def T(self) -> Array:
        return self.transpose()

    @property
    def mT(self) -> Array:
        if self.ndim < 2:
            raise ShapeError(f"mT needs at least two axes, not {self.type}", place=user_frame())
        return self.swapaxes(-1, -2)

    def transpose(self, *axes: Any) -> Array:
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
        n = self.ndim
        if order is None:
            numbers = tuple(reversed(range(n)))
        else:
            numbers = tuple(a + n if a < 0 else a for a in map(int, order))
        if sorted(numbers) != list(range(n)):
            raise ShapeError(
                f"axes {tuple(order or ())} do not permute the axes of {self.type}",
                place=user_frame(),
            )
        if n < 2:
            return self[...]
        strides = self._strides()
        return self._viewing(TransposeView(self, tuple(strides[a] for a in numbers), numbers))

    def swapaxes(self, axis1: int, axis2: int) -> Array:
        return TABLE[np.swapaxes](self, axis1, axis2)  # type: ignore[no-any-return]

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Array:
        wanted = shape[0] if len(shape) == 1 and not isinstance(shape[0], int | Array) else shape
        if order != "C":
            raise UnsupportedOperation(
                f"reshape in order {order!r} cannot be recorded", place=user_frame(),
                wrong=f"x.reshape(shape, order={order!r})", right="x.T.reshape(shape[::-1]).T",
            )  # fmt: skip
        numbers = _full_shape(self.type, wanted)
        strides = reshaped_strides(self.shape, self._strides(), numbers)
        if strides is None or copy:
            return Array(reshape(self.node, numbers))
        return self._viewing(ReshapeView(self, strides, numbers))

    def ravel(self, order: str = "C") -> Array:
        return self.reshape(-1, order=order)

    def flatten(self, order: str = "C") -> Array:
        return Array(self.reshape(-1, order=order).node)

    def copy(self, order: str = "C") -> Array:
        return Array(self.node)

    def astype(self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True,
               copy: bool = True) -> Array:  # fmt: skip
        short = short_dtype(dtype)
        if not np.can_cast(self.dtype, numpy_dtype(short), casting):  # type: ignore[arg-type]
            raise DTypeError(
                f"cannot convert {self.type} to {short} under casting={casting!r}",
                place=user_frame(),
            )
        return Array(cast(self.node, short))

    def fill(self, value: Any) -> None:
        self[...] = value


# --- operators, all alike -------------------------------------------------------------------------


def _operator(ufunc: Any, *args: Any) -> Array:
    """Apply an operator: Python numbers among themselves stay Python numbers."""
    keys = []
    values = []
    weak = True
    for arg in args:
        if type(arg) is Array:
            node = arg.node
            dtype = node.type.dtype
            if arg.weak:
                dtype = WEAK_KEYS[dtype]
            else:
                weak = False
            keys.append(dtype)
            values.append(node)
        else:
            key, value = operand(arg)
            weak = weak and key in STORED
            keys.append(key)
            values.append(value)
    if weak and BOOL in keys and ufunc in _COUNTING:
        # True + True is 2 in Python
        values = [cast(v, "i64") if type(v) is Node and v.dtype == "bool" else v for v in values]
        keys = [INT if key == BOOL else key for key in keys]
    return Array(record(ufunc, tuple(keys), values), weak)


_COUNTING = frozenset(
    {np.add, np.subtract, np.multiply, np.power, np.negative, np.positive, np.absolute, np.remainder,
     np.floor_divide}
)  # fmt: skip


def _is_operand(value: Any) -> bool:
    return type(value) is Array or isinstance(value, _NUMBERS) or hasattr(value, "_symflux_value")


def _binary(ufunc: Any, x: Any, y: Any) -> Any:
    if not (_is_operand(x) and _is_operand(y)):
        return NotImplemented
    return _operator(ufunc, x, y)


def _define_operators() -> None:
    table = {
        "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide,
        "floordiv": np.floor_divide, "mod": np.remainder, "pow": np.power, "and": np.bitwise_and,
        "or": np.bitwise_or, "xor": np.bitwise_xor, "lshift": np.left_shift,
        "rshift": np.right_shift,
    }  # fmt: skip
    comparisons = {
        "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
        "ge": np.greater_equal,
    }  # fmt: skip

    def forward(ufunc: Any) -> Callable[[Array, Any], Any]:
        return lambda self, other: _binary(ufunc, self, other)

    def reflected(ufunc: Any) -> Callable[[Array, Any], Any]:
        return lambda self, other: _binary(ufunc, other, self)

    def in_place(ufunc: Any) -> Callable[[Array, Any], Any]:
        return lambda self, other: _update(ufunc, self, other)

    for name, ufunc in table.items():
        if name != "pow":
            setattr(Array, f"__{name}__", forward(ufunc))
        setattr(Array, f"__r{name}__", reflected(ufunc))
        setattr(Array, f"__i{name}__", in_place(ufunc))
    for name, ufunc in comparisons.items():
        setattr(Array, f"__{name}__", forward(ufunc))


def _update(ufunc: Any, x: Array, other: Any) -> Any:
    """``x += other``: numbers are replaced, arrays change in place."""
    if not _is_operand(other):
        return NotImplemented
    if not x.shape and x._view is None:
        return x**other if ufunc is np.power else _operator(ufunc, x, other)
    return _written(x, _operator(ufunc, x, other).node)


def _written(x: Array, node: Node) -> Array:
    """``x`` after its elements were replaced by those of ``node``, as an in-place operator does."""
    if node.shape != x.shape:
        raise ShapeError(
            f"an array of shape {x.shape} cannot hold the result of shape {node.shape} in place",
            place=user_frame(),
            wrong="x += y",
            right="x = x + y",
        )
    if not np.can_cast(numpy_dtype(node.dtype), x.dtype, "same_kind"):
        raise DTypeError(
            f"an array of {x.node.dtype} cannot hold the result of {node.dtype} in place",
            place=user_frame(),
            wrong="x += y",
            right="x = x + y\nx += y.astype(x.dtype)",
        )
    x.assign(cast(node, x.node.dtype))
    return x


def _define_methods() -> None:
    """Methods that are NumPy's functions of the same name, taking the array first."""
    functions = {
        name: getattr(np, name)
        for name in (
            "sum", "prod", "mean", "max", "min", "any", "all", "argmax", "argmin", "std", "var", "clip",
            "round", "squeeze", "repeat", "take", "cumsum", "cumprod", "trace", "diagonal", "ptp",
            "dot", "conjugate", "sort", "argsort", "nonzero", "searchsorted",
        )
    }  # fmt: skip
    functions["conj"] = np.conjugate

    def method(function: Any) -> Callable[..., Any]:
        def call(self: Array, *args: Any, **kwargs: Any) -> Any:
            found = TABLE.get(function)
            if found is None:
                raise unsupported(function)
            return found(self, *args, **kwargs)

        return call

    for name, function in functions.items():
        defined = method(function)
        defined.__name__ = name
        defined.__doc__ = f"``numpy.{name}`` of the array."
        setattr(Array, name, defined)


_define_operators()
_define_methods()


# --- operands -------------------------------------------------------------------------------------


def operand(value: Any) -> tuple[str, Any]:
    """What ``value`` counts as in promotion, and its node or number.

    Raises:
        ArgumentError: naming the user's line, for what is neither an array nor a number.
    """
    cls = type(value)
    if cls is Array:
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
        node = capture(value)
        return node.dtype, node
    if isinstance(value, np.generic):
        return short_dtype(value.dtype), value
    if isinstance(value, list | tuple):
        return operand(_from_sequence(value))
    if isinstance(value, int | float):  # IntEnum and the like
        return operand(int(value) if isinstance(value, int) else float(value))
    if isinstance(value, complex | str | bytes) or not hasattr(value, "__array__"):
        raise ArgumentError(
            f"expected an array or a number, not {value!r:.60} ({cls.__name__})",
            place=user_frame(),
        )
    return operand(np.asarray(value))


def _from_sequence(value: Any) -> Array:
    return TABLE[np.array](value)  # type: ignore[no-any-return]


def as_node(value: Any) -> Node:
    """The node for an array, number or list; numbers get the dtype in which NumPy would store them."""
    key, found = operand(value)
    return found if type(found) is Node else literal(found, STORED.get(key, key))


def as_array(value: Any) -> Array:
    """A handle on ``value``: itself if it is one."""
    if type(value) is Array:
        return value
    key, found = operand(value)
    if type(found) is Node:
        return Array(found)
    return Array(literal(found, STORED.get(key, key)), weak=key in STORED)


def _as_pick(item: Any) -> Any:
    """An item of an index as ``indexing.parse`` takes it."""
    if hasattr(type(item), "_symflux_value"):
        item = item._symflux_value()
    if type(item) is Array:
        node = item.node
        found = constant_value(node)
        return node if found is None else _static_pick(found)
    if isinstance(item, bool | np.bool_):
        raise UnsupportedOperation(
            "a bool in an index cannot be recorded", place=user_frame(), right="x[None]"
        )
    if isinstance(item, int | np.integer):
        return int(item)
    if isinstance(item, np.ndarray) and item.dtype.kind in "iu" and item.ndim:
        return capture(item)
    if isinstance(item, list) and not item:
        return np.zeros(0, np.int64)
    if isinstance(item, list | tuple) and any(isinstance(i, Array) for i in item):
        return _from_sequence(item).node
    return _static_pick(item)


def _static_pick(item: Any) -> Any:
    array = np.asarray(item)
    if array.ndim == 0 and array.dtype.kind in "iu":
        return int(array)
    return array


def _mask_of(index: Any) -> Node | None:
    """The mask, if the index is one array of bools."""
    if hasattr(type(index), "_symflux_value"):
        index = index._symflux_value()
    if type(index) is Array and index.dtype == bool:
        return index.node
    if isinstance(index, np.ndarray) and index.dtype == bool:
        return constant(index, "bool") if index.ndim else None
    return None


def _fill(node: Node, shape: tuple[int, ...], whole: tuple[int, ...]) -> Node:
    """``node`` broadcast to the shape of the place that it is assigned to."""
    if node.shape == shape:
        return node
    extra = len(node.shape) - len(shape)
    if extra > 0 and all(n == 1 for n in node.shape[:extra]):
        node = reshape(node, node.shape[extra:])
    try:
        fits = broadcast_shapes(node.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"cannot assign an array of shape {node.shape} to a place of shape {shape} in an array of "
            f"shape {whole}",
            place=user_frame(),
        )
    return lookup("broadcast_to")(node, shape=shape) if node.shape != shape else node


def _full_shape(type_: ArrayType, shape: Any) -> tuple[int, ...]:
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
        )
    return tuple(numbers)
