"""SymPy in both directions: graphs as expressions, expressions as compiled functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import numpy as snp
from ..api import function, symbol
from ..errors import UnsupportedOperation
from ..ir.graph import Graph
from ..ir.node import CONSTANT, INPUT, Node, constant_value
from ..ir.op import Kind
from ..ir.types import TupleType
from ..ops import lgamma, polygamma
from ..runtime.function import CompiledFunction
from ..trace.array import Array, as_node

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
        "cast": lambda x, **_: x,
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
    if node.op.kind is Kind.POINTWISE:
        if name not in pointwise:
            raise _no_form(node)
        fn, attrs = pointwise[name], node.attributes
        broadcast = np.broadcast_arrays(*inputs) if len(inputs) > 1 else inputs
        flat = [fn(*items, **attrs) for items in zip(*[b.ravel() for b in broadcast], strict=True)]
        return _filled(flat, node.shape)
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


# --- expressions to functions ---------------------------------------------------------------------


def from_sympy(expr: Any, symbols: Sequence[Any], dtype: Any = "float64") -> CompiledFunction:
    """Compile SymPy expressions to a native function of their symbols.

    Common subexpressions are computed once. The result differentiates and batches like any other
    function.

    Args:
        expr: an expression, a SymPy matrix or array, or a nested list of expressions.
        symbols: the arguments, in calling order.
        dtype: of the arguments.

    Raises:
        UnsupportedOperation: for functions without a counterpart, naming them.

    >>> import sympy
    >>> x, y = sympy.symbols("x y")
    >>> f = from_sympy(sympy.sin(x) * y + x**2, [x, y])
    >>> float(f(0.0, 3.0))
    0.0
    """
    s = _sympy()
    given = [symbol(str(x), (), dtype) for x in symbols]
    known: dict[Any, Any] = dict(zip(symbols, given, strict=True))
    flat, shape = _flat_expressions(expr)
    replacements, reduced = s.cse(flat)
    convert = _Converter(known)
    for name, value in replacements:
        known[name] = convert(value)
    values = [convert(e) for e in reduced]
    if shape is None:
        return function(given, values[0], "expression")
    kept = [snp.asarray(v) if np.isscalar(v) else v for v in values]
    return function(given, snp.reshape(snp.stack(kept), shape), "expression")


def _flat_expressions(expr: Any) -> tuple[list[Any], tuple[int, ...] | None]:
    s = _sympy()
    if isinstance(expr, (s.MatrixBase, s.NDimArray)):
        return [s.sympify(e) for e in s.flatten(expr.tolist())], tuple(int(n) for n in expr.shape)
    if isinstance(expr, (list, tuple)):
        array = np.array(expr, dtype=object)
        return [s.sympify(e) for e in array.ravel()], array.shape
    return [s.sympify(expr)], None


class _Converter:
    """SymPy expressions over known symbols as traced values."""

    def __init__(self, known: dict[Any, Any]) -> None:
        s = _sympy()
        self.known = known
        self.functions: dict[Any, Callable[..., Any]] = {
            s.sin: snp.sin,
            s.cos: snp.cos,
            s.tan: snp.tan,
            s.asin: snp.arcsin,
            s.acos: snp.arccos,
            s.atan: snp.arctan,
            s.atan2: snp.arctan2,
            s.sinh: snp.sinh,
            s.cosh: snp.cosh,
            s.tanh: snp.tanh,
            s.asinh: snp.arcsinh,
            s.acosh: snp.arccosh,
            s.atanh: snp.arctanh,
            s.exp: snp.exp,
            s.log: lambda x, base=None: snp.log(x) if base is None else snp.log(x) / snp.log(base),
            s.Abs: snp.abs,
            s.sign: snp.sign,
            s.floor: snp.floor,
            s.ceiling: snp.ceil,
            s.erf: snp.erf,
            s.erfc: snp.erfc,
            s.sec: lambda x: 1.0 / snp.cos(x),
            s.csc: lambda x: 1.0 / snp.sin(x),
            s.cot: lambda x: 1.0 / snp.tan(x),
            s.sech: lambda x: 1.0 / snp.cosh(x),
            s.csch: lambda x: 1.0 / snp.sinh(x),
            s.coth: lambda x: 1.0 / snp.tanh(x),
            s.loggamma: lambda x: Array(lgamma(as_node(x))),
            s.polygamma: lambda n, x: Array(polygamma(as_node(x), order=int(n))),
            s.Max: lambda *xs: _fold(snp.maximum, xs),
            s.Min: lambda *xs: _fold(snp.minimum, xs),
            s.StrictLessThan: lambda x, y: x < y,
            s.LessThan: lambda x, y: x <= y,
            s.StrictGreaterThan: lambda x, y: x > y,
            s.GreaterThan: lambda x, y: x >= y,
            s.Equality: lambda x, y: x == y,
            s.Unequality: lambda x, y: x != y,
            s.And: lambda *xs: _fold(snp.logical_and, xs),
            s.Or: lambda *xs: _fold(snp.logical_or, xs),
            s.Not: snp.logical_not,
        }

    def __call__(self, expr: Any) -> Any:
        """Iterative: expressions may be deep."""
        done: dict[Any, Any] = dict(self.known)
        stack = [expr]
        while stack:
            top = stack[-1]
            if top in done:
                stack.pop()
                continue
            missing = [a for a in self._needs(top) if a not in done]
            if missing:
                stack.extend(missing)
                continue
            done[top] = self._node(top, done)
            stack.pop()
        return done[expr]

    def _needs(self, expr: Any) -> list[Any]:
        s = _sympy()
        if isinstance(expr, s.Piecewise):
            return [a for pair in expr.args for a in pair.args]
        return [] if expr.is_Atom else list(expr.args)

    def _node(self, expr: Any, done: dict[Any, Any]) -> Any:
        s = _sympy()
        if expr in (s.true, s.false):
            return bool(expr)
        if expr.is_Symbol:
            raise UnsupportedOperation(
                f"from_sympy: {expr} is not among the symbols {', '.join(map(str, self.known))}",
                right=f"from_sympy(expr, [..., {expr}])",
            )
        if expr.is_number and expr.is_Atom:
            return int(expr) if expr.is_Integer else float(expr)
        args = [done[a] for a in self._needs(expr)]
        if expr.is_Add:
            return sum(args[1:], args[0])
        if expr.is_Mul:
            return _fold(lambda x, y: x * y, args)
        if expr.is_Pow:
            return _power(expr, args)
        if isinstance(expr, s.Piecewise):
            return _piecewise(expr, done)
        found = self.functions.get(expr.func)
        if found is None:
            raise UnsupportedOperation(
                f"from_sympy: {expr.func.__name__} has no counterpart ({expr})"
            )
        return found(*args)


def _fold(fn: Callable[..., Any], args: Sequence[Any]) -> Any:
    total = args[0]
    for a in args[1:]:
        total = fn(total, a)
    return total


def _power(expr: Any, args: Sequence[Any]) -> Any:
    s = _sympy()
    if expr.exp == s.Rational(1, 2):
        return snp.sqrt(args[0])
    if expr.exp == s.Rational(-1, 2):
        return 1.0 / snp.sqrt(args[0])
    if expr.base == s.E:
        return snp.exp(args[1])
    if expr.exp.is_Integer and int(expr.exp) < 0:
        return 1.0 / args[0] ** -int(expr.exp)
    return args[0] ** args[1]


def _piecewise(expr: Any, done: dict[Any, Any]) -> Any:
    """Nested selections; outside of all conditions the value is nan, as in SymPy."""
    result: Any = np.nan
    for value, condition in reversed(expr.args):
        test = done[condition]
        result = done[value] if test is True else snp.where(test, done[value], result)
    return result
