"""SymPy in both directions: graphs as expressions; ``from_sympy`` is in ``expressions``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import UnsupportedOperation
from ..ir.graph import Graph
from ..ir.node import CONSTANT, INPUT, Node, constant_value
from ..ir.op import Kind
from ..ir.types import TupleType
from .expressions import from_sympy

__all__ = ["from_sympy", "latex", "to_sympy"]

#: Graphs with more elements than this in one array are not written out as expressions.
LARGEST = 1000


def _sympy() -> Any:
    import sympy

    return sympy


# --- graphs to expressions ------------------------------------------------------------------------


def _pointwise() -> dict[str, Callable[..., Any]]:
    """Op name -> the SymPy meaning of one element."""
    s = _sympy()
    one = s.Integer(1)
    t = s.Dummy(real=True)
    return {
        "add": lambda x, y: x + y,
        "sub": lambda x, y: x - y,
        "mul": lambda x, y: x * y,
        "div": lambda x, y: x / y,
        "neg": lambda x: -x,
        "pow": lambda x, y: x**y,
        "floordiv": lambda x, y: s.floor(x / y),
        "mod": lambda x, y: s.Mod(x, y),
        "exp": s.exp,
        "exp2": lambda x: 2**x,
        "expm1": lambda x: s.exp(x) - 1,
        "log": s.log,
        "log1p": lambda x: s.log(1 + x),
        "log2": lambda x: s.log(x, 2),
        "log10": lambda x: s.log(x, 10),
        "sqrt": s.sqrt,
        "rsqrt": lambda x: one / s.sqrt(x),
        "reciprocal": lambda x: one / x,
        "square": lambda x: x**2,
        "sin": s.sin,
        "cos": s.cos,
        "tan": s.tan,
        "arcsin": s.asin,
        "arccos": s.acos,
        "arctan": s.atan,
        "arctan2": s.atan2,
        "sinh": s.sinh,
        "cosh": s.cosh,
        "tanh": s.tanh,
        "arcsinh": s.asinh,
        "arccosh": s.acosh,
        "arctanh": s.atanh,
        "arcsin_slope": lambda x: one / s.sqrt(1 - x**2),
        "arcsinh_slope": lambda x: one / s.sqrt(x**2 + 1),
        "arccosh_slope": lambda x: one / s.sqrt(x**2 - 1),
        "arctan_slope": lambda x: one / (1 + x**2),
        "arctanh_slope": lambda x: one / (1 - x**2),
        "gaussian": lambda x: s.exp(-(x**2)),
        "power_less": lambda x, y, less: x ** (y - less),
        "hypot": lambda x, y: s.sqrt(x**2 + y**2),
        "hypot_slope": lambda x, y: x / s.sqrt(x**2 + y**2),
        "arctan2_slope": lambda x, y: x / (x**2 + y**2),
        "logaddexp": lambda x, y: s.log(s.exp(x) + s.exp(y)),
        "logaddexp_slope": lambda x, y, operand: one / (1 + s.exp(x - y if operand else y - x)),
        "sigmoid_slope": lambda y, x: y * (1 - y),
        "tanh_slope": lambda y, x: 1 - y**2,
        "sigmoid": lambda x: one / (1 + s.exp(-x)),
        "softplus": lambda x: s.log(1 + s.exp(x)),
        "log_cosh": lambda x: s.log(s.cosh(x)),
        "relu": lambda x: s.Max(x, 0),
        "abs": s.Abs,
        "sign": s.sign,
        "floor": s.floor,
        "ceil": s.ceiling,
        "erf": s.erf,
        "erfc": s.erfc,
        "lgamma": s.loggamma,
        "polygamma": lambda x, order: s.polygamma(order, x),
        "sinc": lambda x, order: s.diff(s.sinc(t), t, order).subs(t, x),
        "sinc_pi": lambda x, order: s.diff(s.sinc(s.pi * t), t, order).subs(t, x),
        "copysign": lambda x, y: s.Abs(x) * s.Piecewise((1, y >= 0), (-1, True)),
        "trunc": lambda x: s.sign(x) * s.floor(s.Abs(x)),
        # symbols stand for real numbers
        "isfinite": lambda x: s.true,
        "isnan": lambda x: s.false,
        "minimum": s.Min,
        "maximum": s.Max,
        "eq": s.Eq,
        "ne": s.Ne,
        "lt": s.Lt,
        "le": s.Le,
        "gt": s.Gt,
        "ge": s.Ge,
        "and": s.And,
        "or": s.Or,
        "not": s.Not,
        "xor": s.Xor,
        "where": lambda c, x, y: s.Piecewise((x, c), (y, True)),
        "stop_gradient": lambda x: x,
    }


def _folds() -> dict[str, Callable[[list[Any]], Any]]:
    s = _sympy()
    return {
        "sum": lambda xs: s.Add(*xs),
        "prod": lambda xs: s.Mul(*xs),
        "max": lambda xs: s.Max(*xs),
        "min": lambda xs: s.Min(*xs),
        "any": lambda xs: s.Or(*xs),
        "all": lambda xs: s.And(*xs),
    }


def to_sympy(graph: Graph) -> Any:
    """The outputs of a graph as SymPy expressions.

    Inputs become real symbols of their names; an array ``x`` becomes symbols ``x[0, 1]``. Scalar
    outputs are expressions, arrays are ``sympy.Array``.

    Returns:
        One expression or array for one output, else a list.

    Raises:
        UnsupportedOperation: for ops without a closed form (loops, branches), and for arrays of
        more
            than 1000 elements.

    >>> import symflux as sf
    >>> sf.trace(lambda x: 3 * x**2 + 2 * x + 1)(2.0).to_sympy()
    3.0*x**2 + 2.0*x + 1.0
    """
    s = _sympy()
    pointwise, folds = _pointwise(), _folds()
    values: dict[int, np.ndarray[Any, Any]] = {}
    for node in graph.nodes:
        if isinstance(node.type, TupleType):
            raise _no_form(node)
        if node.type.size > LARGEST:
            raise UnsupportedOperation(
                f"to_sympy: {node.op.name} : {node.type} has {node.type.size} elements; they are "
                f"written out for at most {LARGEST}",
                place=node.origin,
            )
        inputs = [values[x.id] for x in node.inputs]
        values[node.id] = _elements(node, inputs, pointwise, folds)
    results = []
    for y in graph.outputs:
        value = values[y.id]
        results.append(
            value[()] if value.shape == () else s.Array(value.ravel().tolist(), value.shape)
        )
    return results[0] if len(results) == 1 else results


def _no_form(node: Node) -> UnsupportedOperation:
    return UnsupportedOperation(
        f"to_sympy: {node.op.name} has no closed form in SymPy", place=node.origin
    )


def _elements(
    node: Node, inputs: list[np.ndarray[Any, Any]], pointwise: dict[str, Any], folds: dict[str, Any]
) -> np.ndarray[Any, Any]:
    """The elements of a node as an object array of expressions."""
    name = node.op.name
    if node.op is INPUT:
        return _symbols(node)
    if node.op.kind is Kind.SOURCE:
        value = constant_value(node) if node.op is CONSTANT else node.op.oracle(**node.attributes)
        return _objects(np.vectorize(_number, otypes=[object])(value), node.shape)
    if name == "cast":
        (x,) = node.inputs
        return _filled([_cast(v, x.dtype, node.dtype) for v in inputs[0].ravel()], node.shape)
    if node.op.kind is Kind.POINTWISE:
        bits = name in ("and", "or", "not", "xor") and node.dtype != "bool"
        if name not in pointwise or bits:
            raise _no_form(node)
        fn, attrs = pointwise[name], node.attributes
        broadcast = np.broadcast_arrays(*inputs) if len(inputs) > 1 else inputs
        flat = [fn(*items, **attrs) for items in zip(*[b.ravel() for b in broadcast], strict=True)]
        return _filled([_wrapped(v, node.dtype) for v in flat], node.shape)
    if name in ("take", "scatter_add") and all(i.is_Integer for i in inputs[1].ravel()):
        places = inputs[1].astype(np.int64)
        return _objects(node.op.oracle(inputs[0], places, **node.attributes), node.shape)
    if node.op.kind is Kind.INDEX_MAP and name != "take":
        return _objects(node.op.oracle(*inputs, **node.attributes), node.shape)
    if node.op.kind is Kind.REDUCTION and name in folds:
        axes = node["axes"]
        kept = [i for i in range(inputs[0].ndim) if i not in axes]
        moved = inputs[0].transpose(*kept, *axes).reshape(node.type.size, -1)
        return _filled([folds[name](list(row)) for row in moved], node.shape)
    if node.op.kind is Kind.CONTRACTION:
        return _objects(np.einsum(node["spec"], *inputs, optimize=False), node.shape)
    raise _no_form(node)


def _cast(x: Any, before: str, after: str) -> Any:
    """The value after a conversion; symbols of floats stand for real numbers, so that conversions
    among floats change nothing."""
    s = _sympy()
    if before == "bool":
        return x if after == "bool" else s.Piecewise((1, x), (0, True))
    if after == "bool":
        return s.Ne(x, 0)
    if before[0] == "f" and after[0] != "f":
        x = s.sign(x) * s.floor(s.Abs(x))
    return _wrapped(x, after)


def _wrapped(x: Any, dtype: str) -> Any:
    """An integer as a narrow integer type keeps it."""
    if dtype[0] not in "iu" or dtype == "i64":
        return x
    bits = int(dtype[1:])
    half = 0 if dtype[0] == "u" else 2 ** (bits - 1)
    if x.is_Integer and -half <= x < 2**bits - half:
        return x
    return _sympy().Mod(x + half, 2**bits) - half


def _number(value: Any) -> Any:
    s = _sympy()
    if isinstance(value, (bool, np.bool_)):
        return s.true if value else s.false
    return s.Integer(int(value)) if isinstance(value, (int, np.integer)) else s.Float(float(value))


def _symbols(node: Node) -> np.ndarray[Any, Any]:
    s = _sympy()
    real = {"integer": True} if node.dtype[0] in "iu" else {"real": True}
    name = node["name"]
    if node.shape == ():
        return _filled([s.Symbol(name, **real)], ())
    labels = [f"{name}[{', '.join(map(str, i))}]" for i in np.ndindex(node.shape)]
    return _filled([s.Symbol(label, **real) for label in labels], node.shape)


def _filled(items: list[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(shape)


def _objects(value: Any, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    array = np.asarray(value, object)
    # zeros that an index map filled in are Python numbers: make them SymPy's
    flat = [_number(v) if isinstance(v, (int, float, bool)) else v for v in array.ravel()]
    return _filled(flat, shape)


def latex(graph: Graph) -> str:
    """The outputs as LaTeX, one line each.

    >>> import symflux as sf
    >>> print(sf.trace(lambda x: x**2 / 2)(2.0).latex())
    0.5 x^{2}
    """
    s = _sympy()
    found = to_sympy(graph)
    results = found if isinstance(found, list) else [found]
    return "\n".join(s.latex(r) for r in results)
