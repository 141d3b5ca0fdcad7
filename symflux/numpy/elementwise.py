"""Elementwise functions on traced arrays: NumPy's ufuncs, ``where``, ``clip``, activations."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import numpy as np

from ..errors import DTypeError, UnsupportedOperation
from ..ir.node import Node
from ..ir.op import lookup
from ..ir.origin import user_frame
from ..ir.types import numpy_dtype
from ..ops import composed
from ..trace.again import by_types
from ..trace.array import Array, as_array, as_node, operand
from ..trace.dispatch import implements
from ..trace.fitting import adapted, limited
from ..trace.into import is_target, takes_out, write
from ..trace.promote import FLOAT, INT, STORED, build, cast, fits, literal, promoted, resolve
from ..trace.scope import short_dtype
from ..trace.ufuncs import BUILDERS, record, truth

__all__ = ["common", "no_keywords", "of_arrays"]


def no_keywords(function: str, **given: Any) -> None:
    """Refuse keywords that a graph has no meaning for, unless they have their default (None).

    Raises:
        UnsupportedOperation: naming the user's line.
    """
    cures = {
        "out": (
            f"np.{function}(x, out=y)             # y a plain array",
            f"y = np.{function}(x)\ny = symflux.numpy.zeros(n)      # which takes out=",
        ),
        "where": (f"np.{function}(x, where=mask)", f"np.where(mask, np.{function}(x), y)"),
    }
    for keyword, value in given.items():
        if value is None or value is np._NoValue:
            continue
        place = user_frame()
        if keyword == "out" and re.search(r"[^=!<>]=(?!=)", place.source if place else "") and (
            f"{function}(" not in (place.source if place else "")
        ):  # fmt: skip
            raise UnsupportedOperation(
                "a plain array cannot take traced values in place",
                place=place,
                wrong="W += x                # W is a plain array",
                right="W = W + x\nW = sf.param(W); W += x",
            )
        wrong, right = cures.get(keyword, ("", f"np.{function} without {keyword}="))
        raise UnsupportedOperation(
            f"np.{function}: {keyword}= cannot be recorded",
            place=place,
            why="a plain array cannot be filled with traced values" if keyword == "out" else "",
            wrong=wrong,
            right=right,
        )


def common(*values: Any, wraps: bool = False) -> list[Node]:
    """Nodes of the dtype to which the operands promote together (``where``, ``concatenate``).

    ``wraps``: Python integers beyond the dtype are taken modulo its size, as ``np.select`` does,
    where they are an error elsewhere."""
    pairs = [operand(v) for v in values]
    dtype = promoted([key for key, _ in pairs])
    if wraps and dtype[0] in "iu":
        pairs = [(k, _wrapped(v, dtype) if type(v) is int else v) for k, v in pairs]
    if wraps:
        return [cast(v, dtype) if type(v) is Node else literal(v, dtype) for _, v in pairs]
    return [adapted(key, v, dtype) for key, v in pairs]


def _where_wraps() -> bool:
    """Whether the installed NumPy's ``where`` takes Python integers modulo the size of the dtype;
    from 2.5 on they have to fit."""
    try:
        np.where(np.array(True), np.zeros((), np.uint8), 300)
    except OverflowError:
        return False
    return True


_WHERE_WRAPS = _where_wraps()


def of_arrays(*values: Any) -> list[Node]:
    """The same for functions that make arrays of all their operands first: Python numbers count
    with the dtype in which they are stored (``np.dot``, ``np.stack``)."""
    nodes = [as_node(v) for v in values]
    dtype = promoted([n.dtype for n in nodes])
    return [cast(n, dtype) for n in nodes]


def _wrapped(value: int, dtype: str) -> int:
    """As the dtype's bits hold it; beyond int64 NumPy has no conversion either."""
    return int(np.int64(value).astype(numpy_dtype(dtype))) if fits(value, "i64") else value


def _enter_ufunc(ufunc: Any) -> None:
    def implementation(
        *args: Any, out: Any = None, where: Any = True, dtype: Any = None,
        casting: str = "same_kind", order: str = "K", subok: bool = True,
    ) -> Array:  # fmt: skip
        args, given = args[: ufunc.nin], out if out is not None else args[ufunc.nin :] or None
        into = given is not None and is_target(given)
        if not into and (given is not None or where is not True):
            no_keywords(ufunc.__name__, out=given, where=None if where is True else where)
        if len(args) != ufunc.nin:
            raise TypeError(f"np.{ufunc.__name__} takes {ufunc.nin} arguments, got {len(args)}")
        pairs = [operand(arg) for arg in args]
        wanted = "" if dtype is None else short_dtype(dtype)
        keys = tuple([key for key, _ in pairs])
        result = Array(record(ufunc, keys, [v for _, v in pairs], wanted, casting))
        if not into:
            return result
        return write(ufunc.__name__, given, result, casting=casting, where=where, grows=True)

    implementation.__name__ = ufunc.__name__
    # whole exponents that are traced are checked
    checked = ufunc is np.power or ufunc is np.float_power
    implements(ufunc)(implementation if checked else by_types(implementation))


for _ufunc in BUILDERS:
    _enter_ufunc(_ufunc)


def _both(name: str, results: tuple[Array, Array], given: Any, out: Any) -> tuple[Array, Array]:
    """The results of a ufunc of two, in the arrays that it is to write them into."""
    targets = (*given, *(out if isinstance(out, tuple) else (out,)))
    if any(t is not None and not is_target(t) for t in targets):
        no_keywords(name, out=targets)
    pairs = itertools.zip_longest(results, targets[:2])
    first, second = (r if t is None else write(name, t, r, grows=True) for r, t in pairs)
    return first, second


@implements(np.divmod)
def divmod_(x: Any, y: Any, *given: Any, out: Any = None, **kwargs: Any) -> tuple[Array, Array]:
    """``(x // y, x % y)``."""
    no_keywords("divmod", **kwargs)
    pairs = [operand(x), operand(y)]
    keys, values = tuple([k for k, _ in pairs]), [v for _, v in pairs]
    both = [Array(record(ufunc, keys, values)) for ufunc in (np.floor_divide, np.remainder)]
    return _both("divmod", (both[0], both[1]), given, out)


@implements(np.modf)
def modf(x: Any, *given: Any, out: Any = None, **kwargs: Any) -> tuple[Array, Array]:
    """The fractional and the whole part, both with the sign of ``x``."""
    no_keywords("modf", **kwargs)
    node = _as_float(x)
    sign = composed.sign_of(node)
    size = build("mul", node, sign)  # |x|, with a slope of 1 at 0 once the sign is put back
    infinite = build("eq", size, literal(math.inf, node.dtype))
    rest = build("sub", size, build("trunc", size))
    rest = build("where", infinite, literal(0.0, node.dtype), rest)
    both = Array(build("mul", rest, sign)), Array(build("trunc", node))
    return _both("modf", both, given, out)


@implements(np.where)
@by_types
def where(condition: Any, x: Any = None, y: Any = None, /) -> Array:
    """``x`` where the condition holds, ``y`` elsewhere."""
    if x is None or y is None:
        raise UnsupportedOperation(
            "np.where with a condition alone cannot be recorded",
            place=user_frame(),
            why="the shape of the result would depend on the values",
            wrong="x[np.where(mask)]",
            right="np.where(mask, x, 0)",
        )
    first, second = common(x, y, wraps=_WHERE_WRAPS)
    return Array(build("where", truth(as_node(condition)), first, second))


@implements(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Array:
    """The first choice whose condition holds."""
    *choices, result = common(*choicelist, default, wraps=True)
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        result = build("where", truth(as_node(condition)), choice, result)
    return Array(result)


@implements(np.clip)
@takes_out(grows=True)
def clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None,
         max: Any = None, **kwargs: Any) -> Array:  # fmt: skip
    """``a`` limited to ``a_min`` ... ``a_max``; None for no limit."""
    no_keywords("clip", out=out, **kwargs)
    low = min if a_min is None or a_min is np._NoValue else a_min
    high = max if a_max is None or a_max is np._NoValue else a_max
    if type(a) is not int and as_array(a).dtype.kind in "iu":
        # A Python integer beyond the dtype that limits nothing is no limit, as in NumPy.
        ends_of = np.iinfo(as_array(a).dtype)
        low = None if type(low) is int and low <= ends_of.min else low
        high = None if type(high) is int and high >= ends_of.max else high
    given = [v for v in (low, high) if v is not None]
    node, *limits = [operand(v) for v in (a, *given)]
    dtypes = [node, *limits]
    keys = [key for key, _ in dtypes]
    dtype = resolve(np.maximum, (keys[0], keys[0]))[0] if not given else _clip_dtype(keys)
    if low is not None:
        dtypes[1] = _limit(*dtypes[1], dtype, below=True)
    if high is not None:
        dtypes[-1] = _limit(*dtypes[-1], dtype, below=False)
    x, *bounds = [adapted(key, v, dtype) for key, v in dtypes]
    ends = iter(bounds)
    return Array(
        build(
            composed.clip,
            x,
            None if low is None else next(ends),
            None if high is None else next(ends),
        )
    )


def _limit(key: str, value: Any, dtype: str, *, below: bool) -> tuple[str, Any]:
    """A limit that is a Python integer and known later: none where it limits nothing."""
    if key == INT and type(value) is Node and dtype[0] in "iu" and value.dtype == "i64":
        value = limited(value, dtype, below=below, above=not below)
    return key, value


def _clip_dtype(keys: list[str]) -> str:
    if all(key in STORED for key in keys):
        return STORED[FLOAT] if FLOAT in keys else STORED[INT]
    return promoted(keys)


@implements(np.round, np.around)
@takes_out()
def round_(a: Any, decimals: int = 0, out: Any = None) -> Array:
    """``a`` to that many decimals, half to even."""
    no_keywords("round", out=out)
    node, decimals = as_node(a), decimals.__index__()
    if node.dtype == "bool":
        if decimals:
            raise DTypeError(
                f"np.round of bools to {decimals} decimals is not defined", place=user_frame(),
                right="x.astype(float)",
            )  # fmt: skip
        return Array(cast(node, "f16"))
    return Array(composed.rounded(node, decimals))


@implements(np.fix)
@takes_out(grows=True)
def fix(x: Any, out: Any = None) -> Array:
    """Rounded towards zero."""
    no_keywords("fix", out=out)
    return Array(record(np.trunc, *_split(x)))


def _split(*values: Any) -> tuple[tuple[str, ...], list[Any]]:
    pairs = [operand(v) for v in values]
    return tuple([k for k, _ in pairs]), [v for _, v in pairs]


def _filler(x: Any, value: Any) -> Any:
    """A number that stands for others, in the dtype of ``x`` where it is traced."""
    return cast(value.node, as_node(x).dtype) if isinstance(value, Array) else value


@implements(np.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: float | None = None,
               neginf: float | None = None) -> Array:  # fmt: skip
    """``x`` with nan and infinities replaced by numbers; in place, unless ``copy``."""
    made = Array(composed.nan_to_num(as_node(x), *[_filler(x, v) for v in (nan, posinf, neginf)]))
    if copy or not isinstance(x, Array):
        return made
    x[...] = made
    return x


@implements(np.isclose)
def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8,
            equal_nan: bool = False) -> Array:  # fmt: skip
    """Whether ``|a - b| <= atol + rtol |b|``; infinities are close to themselves only.

    The differences are floats, as in NumPy: those of integers would wrap."""
    key, value = operand(b)
    wide = promoted([key, FLOAT])
    x = a if type(a) in (bool, int, float) else as_array(a)
    y = Array(cast(value, wide) if type(value) is Node else literal(value, wide))
    near = (abs(x - y) <= atol + rtol * abs(y)) & np.isfinite(y)
    close = near | (x == y)
    return close | (np.isnan(x) & np.isnan(y)) if equal_nan else close


@implements(np.real)
def real(val: Any) -> Array:
    """The array itself: graphs hold real numbers."""
    x = as_array(val)
    return Array(cast(x.node, "i64"), weak=True) if x.weak and x.dtype == bool else x


@implements(np.angle)
def angle(z: Any, deg: bool = False) -> Array:
    """0 for positive numbers, pi for negative ones and for -0.0."""
    key, value = operand(z)
    dtype = resolve(np.arctan2, (INT, key))[0]  # NumPy's own: the angle of z + 0j
    node = cast(value, dtype) if type(value) is Node else literal(value, dtype)
    turned = build("where", BUILDERS[np.signbit](node),
                   literal(180.0 if deg else math.pi, dtype), literal(0.0, dtype))  # fmt: skip
    return Array(build("where", build("isnan", node), node, turned))


@implements(np.sinc)
def sinc(x: Any) -> Array:
    """sin(pi x) / (pi x); of integers and bools in float64."""
    node = as_node(x)
    node = node if node.dtype[0] == "f" else cast(node, "f64")
    return Array(lookup("sinc_pi")(node, order=0))


# --- functions that NumPy does not have -----------------------------------------------------------


def _as_float(x: Any) -> Node:
    """The node in the dtype in which NumPy's own float functions would run."""
    key, value = operand(x)
    dtype = resolve(np.sin, (key,))[0]
    return cast(value, dtype) if type(value) is Node else literal(value, dtype)


def _enter_float_function(name: str, *other_names: str) -> None:
    def implementation(x: Any) -> Array:
        return Array(build(name, _as_float(x)))

    def plain(x: Any) -> Any:
        array = np.asarray(x)
        dtype = np.sin.resolve_dtypes((array.dtype, None))[0]
        with np.errstate(all="ignore"):
            return lookup(name).oracle(array.astype(dtype))[()]

    implementation.__name__ = name
    for each in (name, *other_names):
        implements(name=each, plain=plain)(implementation)


for _name, *_others in (
    ("sigmoid", "expit"), ("erf",), ("erfc",), ("lgamma", "gammaln"), ("rsqrt",), ("softplus",),
):  # fmt: skip
    _enter_float_function(_name, *_others)


def _plain_relu(x: Any) -> Any:
    return np.maximum(x, 0)


@implements(name="relu", plain=_plain_relu)
def relu(x: Any) -> Array:
    """``max(x, 0)``; its derivative at 0 is 0."""
    node = as_node(x)
    if node.dtype[0] == "f":
        return Array(build("relu", node))
    return Array(record(np.maximum, *_split(x, 0)))
