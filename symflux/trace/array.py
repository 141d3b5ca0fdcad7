"""The traced array: operators, indexing and methods of a NumPy array on a handle."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from .. import tree
from ..boundary import boundary
from ..errors import DTypeError, ShapeError, SymFluxError, UnsupportedOperation
from ..frames import shorten
from ..ir.node import Node
from ..ir.op import lookup
from ..ir.origin import user_frame
from ..ir.types import numpy_dtype
from . import concrete
from .again import Plan, made, plan_of, remember
from .dispatch import NAMESPACE, TABLE, implementation, unsupported
from .handle import Handle
from .indexing import PickView, Selection, block_of, parse, read_advanced
from .operands import as_node, as_pick, element, full_shape, is_operand, is_weak, mask_of, operand
from .plain import refuse_beside
from .promote import BOOL, INT, STORED, WEAK_KEYS, build, cast, literal
from .scope import short_dtype
from .ufuncs import COMPARISONS, record
from .views import (
    ReshapeView,
    SliceView,
    TransposeView,
    View,
    contiguous_strides,
    fill_place,
    read_slice,
    reshape,
    reshaped_strides,
)
from .writes import bare

__all__ = ["Array", "as_array", "as_node", "element", "is_weak", "operand"]


# --- operators ------------------------------------------------------------------------------------

_COUNTING = frozenset(
    {np.add, np.subtract, np.multiply, np.power, np.negative, np.positive, np.absolute,
     np.remainder, np.floor_divide}
)  # fmt: skip


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


#: what operators record for operands of certain types
_plans: dict[Any, Any] = {}
_NUMBERS = (float, int, np.float64)


def _unary_operator(ufunc: Any, x: Array) -> Array:
    node = x.node
    key = (ufunc, x.weak, node.type.shape, node.type.dtype)
    plan = _plans.get(key)
    if type(plan) is Plan:
        return made(Array, plan, (node,))
    again = functools.partial(_operator, ufunc)
    remember(_plans, key, lambda: plan_of(Array, again, (x,), {}))
    return _operator(ufunc, x)


def _binary(ufunc: Any, x: Any, y: Any) -> Any:
    """``ufunc`` as an operator; by its plan where the types of the operands say it all."""
    key: Any = None
    if type(x) is Array:
        a = x.node
        s = a.type
        if type(y) is Array:
            b = y.node
            t = b.type
            key = (ufunc, x.weak, s.shape, s.dtype, y.weak, t.shape, t.dtype)
            plan = _plans.get(key)
            if type(plan) is Plan:
                return made(Array, plan, (a, b))
        elif type(y) in _NUMBERS:
            key = (ufunc, x.weak, s.shape, s.dtype, type(y))
            plan = _plans.get(key)
            if type(plan) is Plan:
                return made(Array, plan, (a, literal(y, plan.number)))
    elif type(x) in _NUMBERS:
        b = y.node
        t = b.type
        key = (ufunc, type(x), y.weak, t.shape, t.dtype)
        plan = _plans.get(key)
        if type(plan) is Plan:
            return made(Array, plan, (literal(x, plan.number), b))
    if not (is_operand(x) and is_operand(y)):
        return _refused(ufunc, x if isinstance(y, Array) else y)
    result = _operator(ufunc, x, y)
    if key is not None:
        _remember(key, ufunc, x, y, result)
    return result


def _remember(key: Any, ufunc: Any, x: Any, y: Any, result: Array) -> None:
    """Note what an operator recorded, if the same is right for all operands of these types."""
    handles = [v for v in (x, y) if type(v) is Array]
    if any(v.weak and v._node.dtype == "i64" for v in handles):
        return  # has to fit into the dtype that it meets
    if len(handles) == 2:
        if ufunc is not np.power or result._node.dtype[0] == "f":
            again = functools.partial(_operator, ufunc)
            remember(_plans, key, lambda: plan_of(Array, again, (x, y), {}))
        return
    node = result._node
    reflected = handles[0] is y
    array = handles[0]._node
    by_value = ufunc is np.power or (ufunc in COMPARISONS and array.dtype[0] != "f")
    if by_value or len(node.inputs) != 2 or node.inputs[reflected] is not array:
        return
    constant = node.inputs[not reflected]
    if constant is literal(x if reflected else y, constant.dtype):
        plan = Plan(((node.op, (0, 1), node.attrs, node.type),), 2, result.weak, 2)
        plan.number = constant.dtype
        remember(_plans, key, lambda: plan)


def _refused(ufunc: Any, other: Any) -> Any:
    """NotImplemented for an operand of another kind, unless there is a cure."""
    is_text = isinstance(other, str | bytes)  # equal to no number; repeated and formatted by some
    if ufunc not in (np.equal, np.not_equal) and not (
        is_text and ufunc in (np.multiply, np.remainder)
    ):
        refuse_beside(other)
    return NotImplemented


def _update(ufunc: Any, x: Array, other: Any) -> Any:
    """``x += other``: numbers are replaced, arrays change in place."""
    if not is_operand(other):
        return _refused(ufunc, other)
    if not x.shape and x._view is None:
        return x**other if ufunc is np.power else _binary(ufunc, x, other)
    return _written(x, _binary(ufunc, x, other).node)


def _written(x: Array, node: Node) -> Array:
    """``x`` after its elements were replaced by those of ``node``, as an in-place operator does."""
    if node.shape != x.shape:
        raise ShapeError(
            f"an array of shape {x.shape} cannot hold the result of shape {node.shape} in place",
            place=user_frame(),
            wrong="x += y",
            right="x = x + y",
        )
    _check_holds(x, node)
    x.assign(cast(node, x.node.dtype))
    return x


def _check_holds(x: Array, node: Node) -> None:
    """Raises DTypeError where an in-place operator cannot put elements of ``node`` into ``x``."""
    if not np.can_cast(numpy_dtype(node.dtype), x.dtype, "same_kind"):
        raise DTypeError(
            f"an array of {x.node.dtype} cannot hold the result of {node.dtype} in place",
            place=user_frame(),
            wrong="x += y",
            right="x = x + y\nx += y.astype(x.dtype)",
        )


def _forward(ufunc: Any) -> Callable[[Array, Any], Array]:
    def operator(self: Array, other: Any) -> Array:
        try:
            return _binary(ufunc, self, other)
        except SymFluxError as error:
            shorten(error)
            raise

    return operator


def _reflected(ufunc: Any) -> Callable[[Array, Any], Array]:
    def operator(self: Array, other: Any) -> Array:
        try:
            return _binary(ufunc, other, self)
        except SymFluxError as error:
            shorten(error)
            raise

    return operator


def _in_place(ufunc: Any) -> Callable[[Array, Any], Array]:
    def operator(self: Array, other: Any) -> Array:
        try:
            return _update(ufunc, self, other)
        except SymFluxError as error:
            shorten(error)
            raise

    return operator


def _unary(ufunc: Any) -> Callable[[Array], Array]:
    def operator(self: Array) -> Array:
        try:
            return _unary_operator(ufunc, self)
        except SymFluxError as error:
            shorten(error)
            raise

    return operator


def _method(function: Any) -> Callable[..., Any]:
    """The method that is NumPy's function with the array as its first argument."""

    def call(self: Array, *args: Any, **kwargs: Any) -> Any:
        found = TABLE.get(function)
        if found is None:
            raise unsupported(function)
        return found(self, *args, **kwargs)

    call.__name__ = function.__name__
    call.__doc__ = f"``numpy.{function.__name__}`` of the array."
    vars(call)["function"] = function
    return call


def _known_or_itself(value: Any) -> Any:
    """The elements of an array that depends on the surroundings only."""
    found = concrete.known(value) if isinstance(value, Array) else None
    return value if found is None else found


class Array(Handle):
    """A traced array: what a function sees for its arguments while it is recorded.

    It has the operators, methods and attributes of a NumPy array, and NumPy's functions take it.
    Each operation adds a node to the graph; assignment (``x[1:-1] += dx``) makes the handle, and
    the handles it is a view of, stand for new nodes. Shapes and dtypes are known; values are not,
    so that ``if x`` and ``float(x)`` are errors.
    """

    __slots__ = ()

    __array_priority__ = 1000
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        node = self._node  # a leaked value is printed too
        kind = f"{node.type}, weak" if self.weak else f"{node.type}"
        return f"Array({kind}, %{node.id})"

    @boundary
    def __format__(self, spec: str) -> str:
        return concrete.formatted(self, spec)

    # --- what has no value yet --------------------------------------------------------------------

    @boundary
    def __bool__(self) -> bool:
        return concrete.truth(self)

    @boundary
    def __float__(self) -> float:
        return float(concrete.number(self, "float"))

    @boundary
    def __int__(self) -> int:
        return int(concrete.number(self, "int"))

    @boundary
    def __index__(self) -> int:
        return concrete.index(self)

    @boundary
    def __complex__(self) -> complex:
        return complex(concrete.number(self, "complex"))

    @boundary
    def __contains__(self, value: Any) -> bool:
        return concrete.contains(self, value)

    @boundary
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return concrete.array(self, dtype)

    @boundary
    def item(self, *index: Any) -> Any:
        return concrete.number(self, "item")

    @boundary
    def tolist(self) -> Any:
        return concrete.number(self, "tolist")

    def __getattr__(self, name: str) -> Any:
        return concrete.missing(self, name)

    # --- NumPy's protocols ------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            return TABLE[method](ufunc, *inputs, **kwargs)
        found = TABLE.get(ufunc) or implementation(ufunc)
        if found is None:
            raise unsupported(ufunc)
        return found(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        for other in types:
            if other is not Array and not hasattr(other, "_symflux_value"):
                foreign = getattr(other, "__array_function__", None)
                if foreign not in (None, np.ndarray.__array_function__):
                    return NotImplemented
        found = TABLE.get(func)
        if found is None:
            plain = tree.map(_known_or_itself, (args, kwargs))
            if not any(isinstance(leaf, Array) for leaf in tree.leaves(plain)):
                return func(*plain[0], **plain[1])
            raise unsupported(func)
        return found(*args, **kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return NAMESPACE[0]

    # --- operators --------------------------------------------------------------------------------

    __add__ = _forward(np.add)
    __radd__ = _reflected(np.add)
    __iadd__ = _in_place(np.add)
    __sub__ = _forward(np.subtract)
    __rsub__ = _reflected(np.subtract)
    __isub__ = _in_place(np.subtract)
    __mul__ = _forward(np.multiply)
    __rmul__ = _reflected(np.multiply)
    __imul__ = _in_place(np.multiply)
    __truediv__ = _forward(np.divide)
    __rtruediv__ = _reflected(np.divide)
    __itruediv__ = _in_place(np.divide)
    __floordiv__ = _forward(np.floor_divide)
    __rfloordiv__ = _reflected(np.floor_divide)
    __ifloordiv__ = _in_place(np.floor_divide)
    __mod__ = _forward(np.remainder)
    __rmod__ = _reflected(np.remainder)
    __imod__ = _in_place(np.remainder)
    __and__ = _forward(np.bitwise_and)
    __rand__ = _reflected(np.bitwise_and)
    __iand__ = _in_place(np.bitwise_and)
    __or__ = _forward(np.bitwise_or)
    __ror__ = _reflected(np.bitwise_or)
    __ior__ = _in_place(np.bitwise_or)
    __xor__ = _forward(np.bitwise_xor)
    __rxor__ = _reflected(np.bitwise_xor)
    __ixor__ = _in_place(np.bitwise_xor)
    __lshift__ = _forward(np.left_shift)
    __rlshift__ = _reflected(np.left_shift)
    __ilshift__ = _in_place(np.left_shift)
    __rshift__ = _forward(np.right_shift)
    __rrshift__ = _reflected(np.right_shift)
    __irshift__ = _in_place(np.right_shift)
    __rpow__ = _reflected(np.power)
    __ipow__ = _in_place(np.power)
    __lt__ = _forward(np.less)
    __le__ = _forward(np.less_equal)
    __gt__ = _forward(np.greater)
    __ge__ = _forward(np.greater_equal)
    __eq__ = _forward(np.equal)  # type: ignore[assignment]
    __ne__ = _forward(np.not_equal)  # type: ignore[assignment]
    __neg__ = _unary(np.negative)
    __pos__ = _unary(np.positive)
    __abs__ = _unary(np.absolute)
    __invert__ = _unary(np.invert)

    def __round__(self, digits: int | None = None) -> Any:
        rounded = TABLE[np.round](self, digits or 0)
        if digits is None:  # Python's round gives a Python integer, of scalars
            return Array(cast(rounded.node, "i64"), weak=not self.shape)
        return Array(rounded.node, self.weak)

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
        if type(other) is int and other == 2 and not self.weak:
            return _unary_operator(np.square, self)  # as NumPy, which matters for bools
        return _binary(np.power, self, other)

    def __matmul__(self, other: Any) -> Any:
        return TABLE[np.matmul](self, other) if is_operand(other) else NotImplemented

    def __rmatmul__(self, other: Any) -> Any:
        return TABLE[np.matmul](other, self) if is_operand(other) else NotImplemented

    def __imatmul__(self, other: Any) -> Array:
        return _written(self, TABLE[np.matmul](self, other).node)

    # --- indexing ---------------------------------------------------------------------------------

    def _selection(self, index: Any) -> Selection:
        return parse(index, self.shape, self._strides(), as_pick)

    def __getitem__(self, index: Any) -> Array:
        if type(index) is int and self._view is None and self._writes is None:
            node = self.node
            if len(node.type.shape) == 1 and -node.type.shape[0] <= index < node.type.shape[0]:
                place = index if index >= 0 else index + node.type.shape[0]
                return Array(reshape(read_slice(node, (place,), (1,), (1,)), ()))
        selection = self._selection(index)
        if selection.picks:
            if selection.result and all(_is_number(pick) for _, pick in selection.picks):
                strides = contiguous_strides(selection.result)
                return self._viewing(PickView(self, strides, selection))
            return Array(read_advanced(block_of(self.node, selection), selection))
        if selection.is_scalar:
            return Array(
                reshape(bare(self.part(selection.start, selection.step, selection.extent)), ())
            )
        return self._viewing(self._slice_view(selection))

    def view_of(self, picks: Any) -> Array:
        """The elements at index arrays that are known, as a view: ``x[i, j]`` is a copy."""
        selection = self._selection(picks)
        shape = read_advanced(block_of(self.node, selection), selection).shape
        return self._viewing(PickView(self, contiguous_strides(shape), selection))

    def _slice_view(self, s: Selection) -> SliceView:
        return SliceView(self, s.strides, s.start, s.step, s.extent, s.shape)

    def __setitem__(self, index: Any, value: Any) -> None:
        picked = mask_of(index)
        if picked is not None:
            self._assign_masked(picked, value)
            return
        selection = self._selection(index)
        view: View
        if selection.picks:
            view = PickView(self, (), selection)
            shape = None
        else:
            view = self._slice_view(selection)
            shape = selection.shape
        if isinstance(value, Array) and value._view is not None and value._view.same_place(view):
            # What x[1:] += d does last: the view is assigned to its own place.
            return
        node = element(value, self._node.dtype)
        if shape is not None:
            node = fill_place(node, shape, self.shape)
        self.write(view, node)

    def add_at(self, index: Any, value: Any) -> None:
        """``np.add.at(self, index, value)``: elements that are picked several times grow by all
        their values."""
        if mask_of(index) is None:
            selection = self._selection(index)
            if selection.picks:
                _check_holds(self, (self[index] + value).node)
                node = element(value, self._node.dtype)
                self.assign(PickView(self, (), selection).add(self.node, node))
                return
        self[index] += value

    def _assign_masked(self, mask: Node, value: Any) -> None:
        x = self.node
        covered = x.shape[: len(mask.shape)]
        if mask.shape != covered:
            raise ShapeError(
                f"a mask of shape {mask.shape} does not fit an array of shape {x.shape}",
                place=user_frame(),
            )
        node = element(value, x.dtype)
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

    @property
    def flat(self) -> Any:
        return concrete.missing(self, "flat")

    @flat.setter
    def flat(self, values: Any) -> None:
        TABLE[np.putmask](self, np.ones(self.shape, bool), values)

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
                right=f"x.transpose({', '.join(map(str, reversed(range(n))))})",
            )
        if n < 2:
            return self[...]
        strides = self._strides()
        return self._viewing(TransposeView(self, tuple(strides[a] for a in numbers), numbers))

    def swapaxes(self, axis1: int, axis2: int) -> Array:
        return TABLE[np.swapaxes](self, axis1, axis2)

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Array:
        wanted = shape[0] if len(shape) == 1 and not isinstance(shape[0], int | Array) else shape
        if order != "C":
            raise UnsupportedOperation(
                f"reshape in order {order!r} cannot be recorded", place=user_frame(),
                wrong=f"x.reshape(shape, order={order!r})", right="x.T.reshape(shape[::-1]).T",
            )  # fmt: skip
        numbers = full_shape(self.type, wanted)
        strides = reshaped_strides(self.shape, self._strides(), numbers)
        if strides is None or copy:
            return Array(reshape(self.node, numbers))
        return self._viewing(ReshapeView(self, strides, numbers))

    def ravel(self, order: str = "C") -> Array:
        return self.reshape(-1, order=order)

    def flatten(self, order: str = "C") -> Array:
        return Array(self.reshape(-1, order=order).node)

    @property
    def real(self) -> Array:
        return self

    @property
    def imag(self) -> Array:
        return self._same_type(0)

    def _same_type(self, value: Any) -> Array:
        return Array(lookup("broadcast_to")(literal(value, self.node.dtype), shape=self.shape))

    def __copy__(self) -> Array:
        return Array(self.node, self.weak)

    def __deepcopy__(self, memo: Any) -> Array:
        return Array(self.node, self.weak)

    def __reduce__(self) -> NoReturn:
        concrete.pickled(self)

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
        if not copy and short == self.node.dtype and not self.weak:
            return self
        return Array(cast(self.node, short))

    def conjugate(self) -> Array:
        """The array itself: its elements are real."""
        return self

    conj = conjugate

    def fill(self, value: Any) -> None:
        self[...] = value

    # --- methods that are NumPy's functions of the same name --------------------------------------

    sum = _method(np.sum)
    prod = _method(np.prod)
    mean = _method(np.mean)
    max = _method(np.max)
    min = _method(np.min)
    any = _method(np.any)
    all = _method(np.all)
    argmax = _method(np.argmax)
    argmin = _method(np.argmin)
    std = _method(np.std)
    var = _method(np.var)
    clip = _method(np.clip)
    round = _method(np.round)
    squeeze = _method(np.squeeze)
    repeat = _method(np.repeat)
    take = _method(np.take)
    put = _method(np.put)
    cumsum = _method(np.cumsum)
    cumprod = _method(np.cumprod)
    trace = _method(np.trace)
    diagonal = _method(np.diagonal)
    dot = _method(np.dot)
    sort = _method(np.sort)
    argsort = _method(np.argsort)
    nonzero = _method(np.nonzero)
    searchsorted = _method(np.searchsorted)


def _is_number(pick: Any) -> bool:
    """Whether an index is one traced integer."""
    return isinstance(pick, Node) and pick.shape == ()


def as_array(value: Any) -> Array:
    """A handle on ``value``: itself if it is one."""
    if type(value) is Array:
        return value
    key, found = operand(value)
    if type(found) is Node:
        return Array(found)
    return Array(literal(found, STORED.get(key, key)), weak=key in STORED)
