"""NumPy's ufuncs as nodes: one row each, for operands of the dtypes that NumPy resolves to."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import NegativePower, RangeError
from ..ir.node import Node
from ..ir.op import lookup
from ..ir.origin import user_frame
from ..ir.types import numpy_dtype
from ..ops import composed
from .fitting import adapted, compared, refuse_negative
from .promote import INT, STORED, build, cast, literal, resolve

__all__ = ["BUILDERS", "COMPARISONS", "record"]

Builder = Callable[..., Node]

#: ufunc -> builder of its node from nodes of the resolved dtypes
BUILDERS: dict[Any, Builder] = {}


def _op(name: str) -> Builder:
    """The op of that name."""

    def builder(*nodes: Node) -> Node:
        return build(name, *nodes)

    return builder


def _float_op(name: str) -> Builder:
    """An op on floats that leaves integers as they are (floor, ceil, rint ...)."""

    def builder(x: Node) -> Node:
        return build(name, x) if x.dtype[0] == "f" else x

    return builder


def _bool_or(name: str, on_bools: str) -> Builder:
    """An op whose meaning for bools is another op."""

    def builder(x: Node, y: Node) -> Node:
        return build(on_bools if x.dtype == "bool" else name, x, y)

    return builder


def truth(x: Node) -> Node:
    """``x`` as bool: whether it is not zero."""
    return x if x.dtype == "bool" else build("ne", x, literal(0, x.dtype))


def _negated(x: Node) -> Node:
    return build("not", truth(x))


def _absolute(x: Node) -> Node:
    return x if x.dtype[0] in "bu" else build("abs", x)


def _sign(x: Node) -> Node:
    if x.dtype[0] != "u":
        return build("sign", x)
    return cast(truth(x), x.dtype)


def _integer_fmod(x: Node, y: Node) -> Node:
    """The remainder with the sign of x; no absolute values, as that of the least integer wraps."""
    rest = build("mod", x, y)  # with the sign of y
    if x.dtype[0] == "u":
        return rest
    zero = literal(0, x.dtype)
    other_sign = build("and", build("ne", rest, zero), build("lt", build("xor", rest, x), zero))
    return build("where", other_sign, build("sub", rest, y), rest)


def _fmod(x: Node, y: Node) -> Node:
    if x.dtype[0] != "f":
        return _integer_fmod(x, y)
    sign = composed.sign_of(x)  # |x| as a product, which has a slope of 1 at 0 in the end
    return build("mul", build("mod", build("mul", x, sign), build("abs", y)), sign)


def _reciprocal(x: Node) -> Node:
    """1 / x; of integers rounded towards 0, and 0 for 0."""
    if x.dtype[0] == "f":
        return build("reciprocal", x)
    unit = build("eq", x if x.dtype[0] == "u" else build("abs", x), literal(1, x.dtype))
    return build("where", unit, x, literal(0, x.dtype))


def _ignoring_nan(name: str) -> Builder:
    def builder(x: Node, y: Node) -> Node:
        if x.dtype[0] != "f":
            return build(name, x, y)
        both = build("where", build("ne", y, y), x, build(name, x, y))
        return build("where", build("ne", x, x), y, both)

    return builder


def _scaled(factor: float) -> Builder:
    return lambda x: build("mul", x, literal(factor, x.dtype))


def _classify(name: str, on_integers: bool) -> Builder:
    def builder(x: Node) -> Node:
        if x.dtype[0] == "f":
            return build(name, x)
        return lookup("broadcast_to")(literal(on_integers, "bool"), shape=x.shape)

    return builder


def _isinf(x: Node) -> Node:
    if x.dtype[0] != "f":
        return lookup("broadcast_to")(literal(False, "bool"), shape=x.shape)
    return build("eq", build("abs", x), literal(math.inf, x.dtype))


def _signbit(x: Node) -> Node:
    if x.dtype[0] != "f":
        return build("lt", x, literal(0, x.dtype))
    one = literal(1.0, x.dtype)
    return build("lt", build("copysign", one, x), literal(0.0, x.dtype))


def _heaviside(x: Node, y: Node) -> Node:
    zero = literal(0.0, x.dtype)
    step = build("where", build("gt", x, zero), literal(1.0, x.dtype), zero)
    return build("where", build("eq", x, zero), y, build("where", build("ne", x, x), x, step))


def _power(x: Node, y: Node) -> Node:
    if x.dtype[0] == "f":
        return build("pow", x, y)
    # Integer exponents, bit by bit; NumPy raises for negative ones, which a graph cannot.
    bits = 8 * np.dtype(np.int64).itemsize if x.dtype[1:] == "64" else int(x.dtype[1:])
    one, zero = literal(1, x.dtype), literal(0, x.dtype)
    result = one
    for bit in range(bits - (x.dtype[0] == "i")):
        is_set = build("ne", build("and", y, literal(1 << bit, x.dtype)), zero)
        result = build("where", is_set, build("mul", result, x), result)
        x = build("mul", x, x)
    return result


def static_power(x: Node, exponent: Any) -> Node | None:
    """``x ** exponent`` for a Python number as NumPy computes it; None for the general case.

    Integer powers are products; floats take NumPy's shortcuts for 2, 1, 0, -1 and 0.5.

    Raises:
        NegativePower: for integers to a negative power.
    """
    if x.dtype[0] == "f":
        if exponent == 2:
            return build("mul", x, x)
        if exponent == 1:
            return x
        if exponent == 0.5:
            return build("sqrt", x)
        if exponent == -1:
            return build("reciprocal", x)
        return None
    if exponent < 0:
        raise NegativePower(
            f"integers ({x.type}) to the negative integer power {exponent} have no integer result",
            place=user_frame(),
            right=f"x ** {float(exponent)}",
        )
    result: Node | None = None
    while exponent:
        if exponent & 1:
            result = x if result is None else build("mul", result, x)
        exponent >>= 1
        if exponent:
            x = build("mul", x, x)
    if result is None:
        return lookup("broadcast_to")(literal(1, x.dtype), shape=x.shape)
    return result


# --- comparisons of signed with unsigned 64-bit integers, exact as in NumPy ----------------------


def _comparison(name: str, mirrored: str) -> Builder:
    def builder(x: Node, y: Node) -> Node:
        if x.dtype == y.dtype:
            return build(name, x, y)
        if x.dtype[0] == "u":
            return _signed_unsigned(mirrored, y, x)
        return _signed_unsigned(name, x, y)

    return builder


def _signed_unsigned(name: str, x: Node, y: Node) -> Node:
    """``x name y`` for signed x and unsigned y: a negative x is below every y."""
    negative = build("lt", x, literal(0, x.dtype))
    otherwise = build(name, cast(x, y.dtype), y)
    if name in ("lt", "le", "ne"):
        return build("or", negative, otherwise)
    return build("and", build("not", negative), otherwise)


COMPARISONS = frozenset(
    {np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal}
)

_SAME_NAME = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "sin", "cos", "tan", "arcsin",
    "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh",
    "copysign",
)  # fmt: skip

BUILDERS.update({getattr(np, name): _op(name) for name in _SAME_NAME})
BUILDERS.update(
    {
        np.add: _bool_or("add", "or"),
        np.subtract: _op("sub"),
        np.multiply: _bool_or("mul", "and"),
        np.divide: _op("div"),
        np.floor_divide: _op("floordiv"),
        np.remainder: _op("mod"),
        np.fmod: _fmod,
        np.power: _power,
        np.float_power: _power,
        np.negative: _op("neg"),
        np.positive: lambda x: x,
        np.conjugate: lambda x: x,
        np.absolute: _absolute,
        np.fabs: _op("abs"),
        np.sign: _sign,
        np.square: lambda x: build("and" if x.dtype == "bool" else "mul", x, x),
        np.reciprocal: _reciprocal,
        np.hypot: _op("hypot"),
        np.logaddexp: _op("logaddexp"),
        np.heaviside: _heaviside,
        np.deg2rad: _scaled(math.pi / 180),
        np.radians: _scaled(math.pi / 180),
        np.rad2deg: _scaled(180 / math.pi),
        np.degrees: _scaled(180 / math.pi),
        np.maximum: _op("maximum"),
        np.minimum: _op("minimum"),
        np.fmax: _ignoring_nan("maximum"),
        np.fmin: _ignoring_nan("minimum"),
        np.floor: _float_op("floor"),
        np.ceil: _float_op("ceil"),
        np.trunc: _float_op("trunc"),
        np.rint: _float_op("round"),
        np.isnan: _classify("isnan", False),
        np.isfinite: _classify("isfinite", True),
        np.isinf: _isinf,
        np.signbit: _signbit,
        np.equal: _comparison("eq", "eq"),
        np.not_equal: _comparison("ne", "ne"),
        np.less: _comparison("lt", "gt"),
        np.less_equal: _comparison("le", "ge"),
        np.greater: _comparison("gt", "lt"),
        np.greater_equal: _comparison("ge", "le"),
        np.logical_and: lambda x, y: build("and", truth(x), truth(y)),
        np.logical_or: lambda x, y: build("or", truth(x), truth(y)),
        np.logical_xor: lambda x, y: build("xor", truth(x), truth(y)),
        np.logical_not: _negated,
        np.bitwise_and: _op("and"),
        np.bitwise_or: _op("or"),
        np.bitwise_xor: _op("xor"),
        np.invert: _op("not"),
        np.left_shift: _op("shl"),
        np.right_shift: _op("shr"),
    }
)


def record(
    ufunc: Any, keys: tuple[str, ...], values: list[Any], dtype: str = "",
    casting: str = "same_kind",
) -> Node:  # fmt: skip
    """The node of ``ufunc`` applied to nodes and Python numbers.

    Args:
        ufunc: a key of ``BUILDERS``.
        keys: what each operand counts as in promotion (see ``promote.py``).
        values: a Node, or a number, for each operand.
        dtype: the result's, where the user asked for one (``np.add(x, y, dtype=...)``).
        casting: which conversions of the operands are permitted.
    """
    dtypes = resolve(ufunc, keys, dtype, casting)
    if ufunc is np.power and type(values[1]) is not Node and np.ndim(values[1]) == 0:
        base = values[0]
        if type(base) is Node:
            made = static_power(adapted(keys[0], base, dtypes[0]), values[1])
            if made is not None:
                return made
    if INT in keys and dtypes[0][0] in "iu" and ufunc in COMPARISONS:
        return _integers_compared(ufunc, keys, values, dtypes)
    if ufunc is np.power and dtypes[0][0] == "i" and type(values[1]) is Node:
        refuse_negative(values[1], numpy_dtype(dtypes[0]).name)
    nodes = []
    for key, value, wanted in zip(keys, values, dtypes, strict=False):
        if type(value) is Node and value.type.dtype == wanted:
            nodes.append(value)
        else:
            nodes.append(adapted(key, value, wanted))
    return BUILDERS[ufunc](*nodes)


#: comparison -> the one with its operands in the other order
_MIRRORED = {
    np.equal: np.equal, np.not_equal: np.not_equal, np.less: np.greater, np.greater: np.less,
    np.less_equal: np.greater_equal, np.greater_equal: np.less_equal,
}  # fmt: skip


def _integers_compared(
    ufunc: Any, keys: tuple[str, ...], values: list[Any], dtypes: tuple[str, ...]
) -> Node:
    """A comparison with a Python integer: exact, whatever the other operand's dtype holds."""
    second = keys[1] == INT
    number, key = values[second], keys[not second]
    if type(number) is Node and number.dtype == "i64" and key not in STORED:
        other = values[not second]
        x = cast(other, dtypes[0]) if type(other) is Node else literal(other, dtypes[0])
        way = ufunc if second else _MIRRORED[ufunc]
        return compared(way.__name__, BUILDERS[way], x, number)
    nodes = []
    for value, wanted in zip(values, dtypes, strict=False):
        if type(value) is Node:
            nodes.append(cast(value, wanted))
            continue
        try:
            nodes.append(literal(value, wanted))
        except RangeError:
            return _beyond_range(ufunc, keys, values)
    return BUILDERS[ufunc](*nodes)


def _beyond_range(ufunc: Any, keys: tuple[str, ...], values: list[Any]) -> Node:
    """Comparison with a Python integer beyond the other's dtype: the same for all elements."""
    first_is_node = type(values[0]) is Node
    node, number = values if first_is_node else reversed(values)
    other = np.zeros((), numpy_dtype("i8" if node.dtype == "bool" else node.dtype))
    answer = bool(ufunc(other, number) if first_is_node else ufunc(number, other))
    return lookup("broadcast_to")(literal(answer, "bool"), shape=node.shape)
