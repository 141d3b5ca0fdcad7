"""Scalar expressions: values with Python's operators, affine indices, and what records them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from .ir import Const, Index, Let, Operand, Statement, Var
from .scalars import FLOATS, SCALARS, result_dtype

__all__ = [
    "Affine",
    "IndexLike",
    "Literal",
    "OperandLike",
    "ScalarBuilder",
    "Value",
    "affine",
    "constant",
]


def constant(value: bool | int | float, dtype: str) -> Const:
    """The literal ``value`` as a Const of ``dtype``, converted exactly.

    Raises TypeError when the value does not belong to the dtype (1.5 as i32, 2 as bool).

    >>> constant(2, "f64")
    Const(value=2.0, dtype='f64')
    """
    if dtype in FLOATS:
        return Const(float(value), dtype)
    if dtype == "bool":
        if value not in (0, 1):
            raise TypeError(f"{value!r} is no bool constant: write True or False")
        return Const(bool(value), dtype)
    if int(value) != value:
        raise TypeError(f"{value!r} is no {dtype} constant: round it, or cast the other operand")
    return Const(int(value), dtype)


class _Operators:
    """Python's operators, recorded as Lets. ``==`` stays identity: write ``let("eq", a, b)``."""

    __slots__ = ()

    def _record(self, op: str, *args: OperandLike) -> Value:
        raise NotImplementedError

    def __add__(self, other: OperandLike) -> Any:
        return self._record("add", self, other)

    def __radd__(self, other: OperandLike) -> Any:
        return self._record("add", other, self)

    def __sub__(self, other: OperandLike) -> Any:
        return self._record("sub", self, other)

    def __rsub__(self, other: OperandLike) -> Any:
        return self._record("sub", other, self)

    def __mul__(self, other: OperandLike) -> Any:
        return self._record("mul", self, other)

    def __rmul__(self, other: OperandLike) -> Any:
        return self._record("mul", other, self)

    def __neg__(self) -> Any:
        return self._record("neg", self)

    def __truediv__(self, other: OperandLike) -> Value:
        return self._record("div", self, other)

    def __rtruediv__(self, other: OperandLike) -> Value:
        return self._record("div", other, self)

    def __floordiv__(self, other: OperandLike) -> Value:
        return self._record("floordiv", self, other)

    def __mod__(self, other: OperandLike) -> Value:
        return self._record("mod", self, other)

    def __pow__(self, other: OperandLike) -> Value:
        return self._record("pow", self, other)

    def __abs__(self) -> Value:
        return self._record("abs", self)

    def __lt__(self, other: OperandLike) -> Value:
        return self._record("lt", self, other)

    def __le__(self, other: OperandLike) -> Value:
        return self._record("le", self, other)

    def __gt__(self, other: OperandLike) -> Value:
        return self._record("gt", self, other)

    def __ge__(self, other: OperandLike) -> Value:
        return self._record("ge", self, other)

    def __and__(self, other: OperandLike) -> Value:
        return self._record("and", self, other)

    def __or__(self, other: OperandLike) -> Value:
        return self._record("or", self, other)

    def __xor__(self, other: OperandLike) -> Value:
        return self._record("xor", self, other)

    def __invert__(self) -> Value:
        return self._record("not", self)

    def __lshift__(self, other: OperandLike) -> Value:
        return self._record("shl", self, other)

    def __rshift__(self, other: OperandLike) -> Value:
        return self._record("shr", self, other)


class Value(_Operators, Var):
    """A ``Var`` with operators; remembers the builder that records them. Pickles as a plain Var."""

    __slots__ = ("builder",)
    builder: ScalarBuilder

    def __init__(self, builder: ScalarBuilder, dtype: str, hint: str = "") -> None:
        Var.__init__(self, dtype, hint)
        object.__setattr__(self, "builder", builder)

    def _record(self, op: str, *args: OperandLike) -> Value:
        return self.builder.let(op, *args)

    def __reduce__(self) -> tuple[type[Var], tuple[str, str, int]]:
        return Var, (self.dtype, self.hint, self.id)


class Literal(_Operators):
    """A ``Const`` with operators: no operand itself, but taken for one like a Python number."""

    __slots__ = ("builder", "const")

    def __init__(self, builder: ScalarBuilder, const: Const) -> None:
        self.builder = builder
        self.const = const

    @property
    def dtype(self) -> str:
        """The dtype of the constant."""
        return self.const.dtype

    def _record(self, op: str, *args: OperandLike) -> Value:
        return self.builder.let(op, *args)


class Affine(_Operators):
    """``offset + sum(coefficient * var)``: sums and integer factors fold, the rest records Lets."""

    __slots__ = ("builder", "offset", "terms")

    def __init__(
        self, builder: ScalarBuilder, terms: tuple[tuple[Var, int], ...], offset: int = 0
    ) -> None:
        self.builder = builder
        self.terms = terms
        self.offset = offset

    @property
    def index(self) -> Index:
        """The same as an ``Index`` of the IR."""
        return Index(self.terms, self.offset)

    def operand(self) -> Operand:
        """The same as an i64 operand; records the arithmetic when there is any."""
        builder, result = self.builder, None
        for var, coefficient in self.terms:
            term = var if coefficient == 1 else builder.let("mul", var, Const(coefficient, "i64"))
            result = term if result is None else builder.let("add", result, term)
        if result is None:
            return Const(self.offset, "i64")
        if self.offset:
            return builder.let("add", result, Const(self.offset, "i64"))
        return result

    def _record(self, op: str, *args: OperandLike) -> Value:
        return self.builder.let(op, *args)

    def _scaled(self, factor: int) -> Affine:
        if factor == 0:
            return Affine(self.builder, ())
        terms = tuple((var, factor * coefficient) for var, coefficient in self.terms)
        return Affine(self.builder, terms, factor * self.offset)

    def _plus(self, other: IndexLike, sign: int) -> Affine:
        other = affine(self.builder, other)
        terms = dict(self.terms)
        for var, coefficient in other.terms:
            total = terms.pop(var, 0) + sign * coefficient
            if total:
                terms[var] = total
        return Affine(self.builder, tuple(terms.items()), self.offset + sign * other.offset)

    def __add__(self, other: OperandLike) -> Any:
        return self._plus(other, 1) if _is_index(other) else self._record("add", self, other)

    __radd__ = __add__

    def __sub__(self, other: OperandLike) -> Any:
        return self._plus(other, -1) if _is_index(other) else self._record("sub", self, other)

    def __rsub__(self, other: OperandLike) -> Any:
        return (-self)._plus(other, 1) if _is_index(other) else self._record("sub", other, self)

    def __mul__(self, other: OperandLike) -> Any:
        if isinstance(other, int) and not isinstance(other, bool):
            return self._scaled(other)
        return self._record("mul", self, other)

    __rmul__ = __mul__

    def __neg__(self) -> Affine:
        return self._scaled(-1)


OperandLike: TypeAlias = Any  # Var | Const | Literal | Affine | bool | int | float
IndexLike: TypeAlias = Any  # Index | Affine | Var of dtype i64 | int


def _is_index(value: object) -> bool:
    if isinstance(value, Var):
        return value.dtype == "i64"
    return isinstance(value, (Affine, Index, int)) and not isinstance(value, bool)


def affine(builder: ScalarBuilder, value: IndexLike) -> Affine:
    if isinstance(value, Affine):
        return value
    if isinstance(value, Index):
        return Affine(builder, value.terms, value.offset)
    if isinstance(value, Var) and value.dtype == "i64":
        return Affine(builder, ((value, 1),))
    if isinstance(value, int):
        return Affine(builder, (), value)
    raise TypeError(f"{value!r} is no index: use loop indices, i64 values, integers and their sums")


class ScalarBuilder:
    """Records scalar statements into one block; the part of ``Builder`` that ``mathlib`` needs."""

    float_dtype = "f64"  # of a Python float without a typed operand beside it

    def __init__(self) -> None:
        self._statements: list[Statement] = []
        self._depth = 0  # blocks open

    def let(self, op: str, *args: OperandLike, reassociate: bool = False, dtype: str = "") -> Value:
        """Record ``op(args)`` and return its result; ``dtype`` is what a cast gives.

        ``op`` names a row of ``scalars.SCALARS``. Python numbers take the other operands' dtype.
        Raises TypeError when the operands' count or dtypes do not fit the row."""
        for arg in args:
            if not isinstance(arg, _OPERANDS):
                args = self._operands(op, args)
                break
        kinds = tuple([arg.dtype for arg in args])
        wanted = _RESULTS.get((op, kinds))
        if wanted is None:
            wanted = _RESULTS[op, kinds] = _result(op, kinds)
        result = Value(self, dtype if wanted == "cast" else wanted)
        self._statements.append(Let(result, op, args, reassociate))
        return result

    def cast(self, value: OperandLike, dtype: str) -> Value:
        """``value`` converted to ``dtype``, as NumPy's astype."""
        return self.let("cast", value, dtype=dtype)

    def bitcast(self, value: OperandLike, dtype: str) -> Value:
        """The bits of ``value`` read as ``dtype`` (of the same width)."""
        return self.let("bitcast", value, dtype=dtype)

    def select(self, condition: OperandLike, then: OperandLike, otherwise: OperandLike) -> Value:
        """``then`` where ``condition`` holds, else ``otherwise``; both are computed."""
        return self.let("select", condition, then, otherwise)

    def operand(self, value: OperandLike, dtype: str) -> Operand:
        """``value`` as an operand: numbers become Consts of ``dtype``, index sums are recorded."""
        if isinstance(value, (Var, Const)):
            return value
        if isinstance(value, Literal):
            return value.const
        if isinstance(value, Affine):
            return value.operand()
        return constant(value, dtype)

    def expression(self, operand: Operand) -> Any:
        """An operand with Python's operators."""
        return Literal(self, operand) if isinstance(operand, Const) else operand

    def _operands(self, op: str, args: Sequence[OperandLike]) -> tuple[Operand, ...]:
        """Operands of ``op`` with numbers given the dtype of their neighbours."""
        peers = args[1:] if op == "select" else args
        dtype = ""
        for arg in peers:
            if isinstance(arg, (Var, Const, Literal)):
                dtype = arg.dtype
            elif isinstance(arg, Affine):
                dtype = "i64"
            if dtype:
                break
        if not dtype:
            kinds = {type(arg) for arg in peers}
            dtype = self.float_dtype if float in kinds else "i64" if int in kinds else "bool"
        done = [self.operand(arg, dtype) for arg in peers]
        return (self.operand(args[0], "bool"), *done) if op == "select" else tuple(done)


_OPERANDS = (Var, Const)
#: (op, dtypes of the operands) -> dtype of the result, or "cast"; filled as signatures are met
_RESULTS: dict[tuple[str, tuple[str, ...]], str] = {}


def _result(op: str, kinds: tuple[str, ...]) -> str:
    """The dtype that ``op`` gives for operands of dtypes ``kinds``; TypeError if none."""
    row = SCALARS[op]
    described = f"{op}({', '.join(kinds)})"
    if len(kinds) != row.arity:
        raise TypeError(f"{described}: {op} takes {row.arity} operands, got {len(kinds)}")
    if row.result == "select":
        if kinds[0] != "bool" or kinds[1] != kinds[2]:
            raise TypeError(f"{described}: select takes (bool, T, T)")
    elif any(kind not in row.domain for kind in kinds):
        raise TypeError(f"{described}: {op} is defined for {', '.join(sorted(row.domain))}")
    elif len(set(kinds)) != 1:
        raise TypeError(f"{described}: the operands' dtypes differ; cast one of them")
    return result_dtype(op, kinds, "cast")
