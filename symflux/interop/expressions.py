"""SymPy expressions as traced values: functions of their symbols."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .. import numpy as snp
from ..api import function, symbol
from ..boundary import boundary
from ..errors import UnsupportedOperation
from ..ops import lgamma, polygamma
from ..runtime.function import CompiledFunction
from ..trace.array import Array, as_node
from ..trace.scope import short_dtype

__all__ = ["from_sympy"]

#: Integers below this are floating-point numbers without loss.
_EXACT = 2**53


def _sympy() -> Any:
    import sympy

    return sympy


@boundary
def from_sympy(expr: Any, symbols: Sequence[Any], dtype: Any = "float64") -> CompiledFunction:
    """Compile SymPy expressions to a native function of their symbols.

    Common subexpressions are computed once. The result differentiates and batches like any other
    function. Numbers are of the arguments' dtype: ``2**Piecewise((-1, x > 0), (1, True))`` is a
    half for positive x.

    Args:
        expr: an expression (or its text), a SymPy matrix or array, or nested lists of expressions
            of one shape, whose values are an array; other lists, tuples and dicts give containers
            of values.
        symbols: the arguments, in calling order: symbols, functions such as ``q(t)``, their
            derivatives, elements of indexed objects and matrices. An ``IndexedBase`` with a shape,
            a ``MatrixSymbol`` and a matrix of symbols stand for arrays.
        dtype: of the arguments.

    Raises:
        UnsupportedOperation: for functions without a counterpart, naming them.

    >>> import sympy
    >>> x, y = sympy.symbols("x y")
    >>> f = from_sympy(sympy.sin(x) * y + x**2, [x, y])
    >>> float(f(0.0, 3.0))
    0.0
    >>> t = sympy.Symbol("t")
    >>> q = sympy.Function("q")(t)
    >>> float(from_sympy(q.diff(t) - q, [q, q.diff(t)])(1.0, 3.0))
    2.0
    """
    s = _sympy()
    symbols = [symbols] if isinstance(symbols, s.Basic) else symbols
    given, known, swapped = _arguments(symbols, dtype)
    leaves, build = _results(expr)
    named = {str(x): x for x in symbols}
    flat = [_plain(s.sympify(e, locals=named), swapped) for e in leaves]
    names: Iterator[Any] = (s.Dummy() for _ in iter(int, 1))
    replacements, reduced = s.cse(flat, symbols=names)
    convert = _Converter(known, symbols, short_dtype(dtype)[0] == "f")
    for name, value in replacements:
        known[name] = convert(value)
    return function(given, build([convert(e) for e in reduced]), "expression")


def _arguments(
    symbols: Sequence[Any], dtype: Any
) -> tuple[list[Array], dict[Any, Any], dict[Any, Any]]:
    """Inputs for the arguments, what they are to the converter, and plain symbols that are put in
    place of functions, derivatives and elements."""
    s = _sympy()
    given: list[Array] = []
    known: dict[Any, Any] = {}
    swapped: dict[Any, Any] = {}

    def take(x: Any, value: Any) -> None:
        if isinstance(x, s.Symbol):
            known[x] = value
        else:
            known[swapped.setdefault(x, s.Dummy(str(x)))] = value

    for x in symbols:
        shape, elements = _elements_of(x)
        made = symbol(str(x), shape, dtype)
        given.append(made)
        if shape == ():
            take(x, made)
        else:
            for place, element in elements:
                take(element, made[place])
    return given, known, swapped


def _elements_of(x: Any) -> tuple[tuple[int, ...], list[tuple[Any, Any]]]:
    """The shape of an argument, and its elements with their places."""
    s = _sympy()
    if isinstance(x, s.IndexedBase):
        if x.shape is None or not all(n.is_Integer for n in x.shape):
            raise UnsupportedOperation(
                f"from_sympy: {x} has no known shape",
                right=f"IndexedBase({str(x)!r}, shape=(3,))",
            )
        shape = tuple(int(n) for n in x.shape)
        return shape, [(i, x[i if len(i) > 1 else i[0]]) for i in np.ndindex(shape)]
    if isinstance(x, s.MatrixSymbol | s.MatrixBase | s.NDimArray):
        shape = tuple(int(n) for n in x.shape)
        return shape, [(i, x[i]) for i in np.ndindex(shape)]
    return (), []


def _plain(expr: Any, swapped: Mapping[Any, Any]) -> Any:
    """The expression in plain symbols."""
    s = _sympy()
    if isinstance(expr, s.MatrixExpr):
        expr = expr.as_explicit()
    return expr.xreplace(swapped) if swapped else expr


def _results(expr: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The expressions of a result, and what makes the result of their values."""
    s = _sympy()
    if isinstance(expr, s.MatrixExpr):
        expr = expr.as_explicit()
    if isinstance(expr, s.MatrixBase | s.NDimArray):
        shape = tuple(int(n) for n in expr.shape)
        return s.flatten(expr.tolist()), lambda values: _array(values, shape)
    if isinstance(expr, list | tuple):
        lengths = _regular(expr)
        if lengths is not None:
            leaves = list(s.flatten(expr))
            return leaves, lambda values: _array(values, lengths)
        return _container(expr, list(expr), type(expr))
    if isinstance(expr, dict):
        keys = list(expr)
        return _container(expr, list(expr.values()), lambda xs: dict(zip(keys, xs, strict=True)))
    return [expr], lambda values: values[0]


def _container(
    expr: Any, items: list[Any], make: Callable[[list[Any]], Any]
) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    parts = [_results(x) for x in items]

    def build(values: list[Any]) -> Any:
        left = iter(values)
        return make([b([next(left) for _ in leaves]) for leaves, b in parts])

    return [x for leaves, _ in parts for x in leaves], build


def _regular(expr: Any) -> tuple[int, ...] | None:
    """The shape of nested lists of expressions; None if they have none, or hold other things."""
    if not isinstance(expr, list | tuple):
        return None if _has_parts(expr) or isinstance(expr, dict) else ()
    inner = {_regular(x) for x in expr}
    if len(inner) != 1:
        return None
    (shape,) = inner
    return None if shape is None else (len(expr), *shape)


def _has_parts(expr: Any) -> bool:
    s = _sympy()
    return isinstance(expr, s.MatrixBase | s.NDimArray | s.MatrixExpr)


def _array(values: list[Any], shape: tuple[int, ...]) -> Any:
    kept = [snp.asarray(v) if np.isscalar(v) else v for v in values]
    return snp.reshape(snp.stack(kept), shape)


class _Converter:
    """SymPy expressions over known symbols as traced values."""

    def __init__(
        self, known: dict[Any, Any], symbols: Sequence[Any], floating: bool = True
    ) -> None:
        s = _sympy()
        self.known = known
        self.symbols = symbols
        self.floating = floating
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
            s.gamma: _gamma,
            s.factorial: lambda x: _gamma(x + 1.0),
            s.digamma: lambda x: Array(polygamma(as_node(x), order=0)),
            s.Heaviside: lambda x, middle=0.5: snp.heaviside(x * 1.0, middle),
            s.sinc: lambda x: snp.sinc(x / np.pi),
            s.Mod: lambda x, y: x % y,
            s.re: lambda x: x,  # symbols stand for real numbers
            s.im: lambda x: x * 0.0,
            s.conjugate: lambda x: x,
            s.frac: lambda x: x - snp.floor(x),
            s.ITE: lambda c, x, y: snp.where(c, x, y),
            s.Xor: lambda *xs: _fold(snp.logical_xor, xs),
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
            if isinstance(top, _not_evaluated()):
                raise _unknown(top)
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
            raise self._no_argument(expr)
        if expr.is_number and expr.is_Atom:
            return self._number(expr)
        if isinstance(expr, s.polygamma) and expr.args[0].is_Integer:
            order = int(expr.args[0])
            return Array(polygamma(as_node(done[expr.args[1]]), order=order))
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
            raise _unknown(expr)
        return found(*args)

    def _no_argument(self, expr: Any) -> UnsupportedOperation:
        same = [x for x in self.symbols if str(x) == str(expr)]
        if same:
            return UnsupportedOperation(
                f"from_sympy: {expr} in the expression is another symbol than the argument {expr}: "
                f"their assumptions differ ({_assumed(expr)}; {_assumed(same[0])})",
                right=f"{expr} = sympy.Symbol({str(expr)!r}, ...)      # once, for both",
            )
        given = ", ".join(map(str, self.symbols))
        return UnsupportedOperation(
            f"from_sympy: {expr} is not among the symbols {given}",
            right=f"from_sympy(expr, [..., {expr}])",
        )

    def _number(self, expr: Any) -> int | float:
        s = _sympy()
        if expr in (s.I, s.zoo):
            kind = "complex infinity" if expr is s.zoo else "the imaginary unit"
            raise UnsupportedOperation(
                f"from_sympy: {kind} ({expr}) is no real number",
                right="expr.as_real_imag()        # two real expressions",
            )
        if expr.is_Integer and (not self.floating or abs(expr) < _EXACT):
            return float(expr) if self.floating else int(expr)
        return float(expr)


def _fold(fn: Callable[..., Any], args: Sequence[Any]) -> Any:
    total = args[0]
    for a in args[1:]:
        total = fn(total, a)
    return total


def _assumed(x: Any) -> str:
    told = [f"{k}={v}" for k, v in sorted(x._assumptions_orig.items())]
    return ", ".join(told) or "none"


def _not_evaluated() -> tuple[type, ...]:
    s = _sympy()
    undefined = s.core.function.AppliedUndef
    return (s.Integral, s.Sum, s.Product, s.Limit, s.Derivative, s.Subs, undefined)


def _unknown(expr: Any) -> UnsupportedOperation:
    """The error for what has no counterpart."""
    s = _sympy()
    name = expr.func.__name__
    if isinstance(expr, _not_evaluated()) and not isinstance(expr, s.core.function.AppliedUndef):
        return UnsupportedOperation(
            f"from_sympy: {expr} is not evaluated",
            right="expr.doit()      # if there is a closed form; or pass it as a symbol",
        )
    if isinstance(expr, s.core.function.AppliedUndef):
        return UnsupportedOperation(
            f"from_sympy: {expr} is not among the symbols",
            right=f"from_sympy(expr, [..., {expr}])",
        )
    return UnsupportedOperation(f"from_sympy: {name} has no counterpart ({expr})")


def _gamma(x: Any) -> Any:
    """exp(lgamma(x)), with its sign, which changes at the poles."""
    size = snp.exp(Array(lgamma(as_node(x * 1.0))))
    return snp.where((x > 0) | (snp.floor(x) % 2.0 == 0), size, -size)


def _power(expr: Any, args: Sequence[Any]) -> Any:
    s = _sympy()
    if expr.exp.is_Integer:
        n = int(expr.exp)
        return 1.0 / args[0] ** -n if n < 0 else args[0] ** n
    if expr.exp == s.Rational(1, 2):
        return snp.sqrt(args[0])
    if expr.exp == s.Rational(-1, 2):
        return 1.0 / snp.sqrt(args[0])
    if expr.base == s.E:
        return snp.exp(args[1])
    return args[0] ** args[1]


def _piecewise(expr: Any, done: dict[Any, Any]) -> Any:
    """Nested selections; outside of all conditions the value is nan, as in SymPy."""
    result: Any = np.nan
    for value, condition in reversed(expr.args):
        test = done[condition]
        result = done[value] if test is True else snp.where(test, done[value], result)
    return result
