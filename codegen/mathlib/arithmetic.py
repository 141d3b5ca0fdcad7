"""The arithmetic that the mathematical functions are written in.

``Math`` records scalar IR of one float dtype through ordinary operators, so that a function reads
like its formula. Beside operators it knows five things:

- polynomials, evaluated in pairs (Estrin 1960) so that a processor can work on several terms at
  once;
- the bits of a float, to take exponents off and put them on;
- short tables, looked up by an index that is computed (``lookup``);
- arguments so rare that their code is passed over unless there is one (``where_rare``);
- sums and products without rounding error: ``two_sum`` (Knuth 1969, section 4.2.2),
  ``fast_two_sum`` (Dekker 1971) and ``two_product`` with a fused multiply-add return the rounded
  result and what was rounded away, an unevaluated ``Pair`` of about twice the precision.

``u`` in comments is half a unit in the last place, relative: 2**-53 in f64.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from ...records import record
from ..builder import WhileScope
from ..expression import OperandLike, ScalarBuilder, Value
from ..ir import Block, Buffer, Const, Index, Load, Operand, Role
from ..scalars import numpy_dtype

__all__ = ["FORMATS", "Format", "Math", "Number", "Pair", "Writer", "in_double"]

Number: TypeAlias = Value | float
#: a function that records another one: (m, *arguments) -> result
Writer: TypeAlias = Callable[..., Value]
INFINITY = float("inf")


@record(frozen=True, slots=True)
class Format:
    """A float format: total and fraction bits, exponent bias, the integer dtypes of its width.

    ``shifter`` is 1.5 * 2**fraction: adding it leaves a number's nearest integer in the low
    bits."""

    bits: int
    fraction: int
    bias: int
    signed: str
    unsigned: str
    tiny: float  # the smallest normal number

    @property
    def shifter(self) -> float:
        return 1.5 * 2.0**self.fraction

    def bits_of_power(self, exponent: int) -> int:
        """The bits of 2.0**exponent."""
        return (self.bias + exponent) << self.fraction


FORMATS = {
    "f32": Format(32, 23, 127, "i32", "u32", 2.0**-126),
    "f64": Format(64, 52, 1023, "i64", "u64", 2.0**-1022),
}


class Pair(NamedTuple):
    """An unevaluated sum ``high + low`` with ``low`` at most half a unit of ``high``'s last
    place."""

    high: Value
    low: Value


class Math(ScalarBuilder):
    """Records a function of one float dtype, ``f32`` or ``f64``; ``permutes`` says whether the
    machine looks up short tables in registers, so that many lookups cost little."""

    def __init__(self, dtype: str, permutes: bool = True) -> None:
        super().__init__()
        self.permutes = permutes
        self.dtype = self.float_dtype = dtype
        self.format = FORMATS[dtype]

    def argument(self, dtype: str = "") -> Value:
        """A fresh parameter of the function."""
        return Value(self, dtype or self.dtype, "x")

    def block(self, result: Operand) -> Block:
        """What was recorded, as a block that yields ``result``."""
        return Block(tuple(self._statements), (result,))

    def in_double(self) -> Math:
        """The same function, continued in f64."""
        wide = Math("f64", self.permutes)
        wide._statements = self._statements
        return wide

    @property
    def zero(self) -> Value:
        """0 as a value."""
        return self.let("sub", Const(0.0, self.dtype), Const(0.0, self.dtype))

    # -- plain operations -------------------------------------------------------------------------

    def fma(self, a: Number, b: Number, c: Number) -> Value:
        """a * b + c, rounded once."""
        return self.let("fma", a, b, c)

    def sqrt(self, x: Value) -> Value:
        return self.let("sqrt", x)

    def round(self, x: Value) -> Value:
        """The nearest integer, halves to even."""
        return self.let("round", x)

    def floor(self, x: Value) -> Value:
        return self.let("floor", x)

    def copysign(self, size: Number, sign: Value) -> Value:
        return self.let("copysign", size, sign)

    def equal(self, a: Number, b: Number) -> Value:
        return self.let("eq", a, b)

    def clamp(self, x: Value, low: float, high: float) -> Value:
        """``x`` kept within [low, high]; nan stays nan."""
        x = self.select(x < low, low, x)
        return self.select(x > high, high, x)

    def at_most(self, x: Value, high: float) -> Value:
        """``x``, or ``high`` if that is smaller; nan stays nan."""
        return self.select(x > high, high, x)

    def polynomial(self, x: Value, coefficients: Sequence[Number]) -> Value:
        """``sum(c * x**n)``, in pairs: (c0 + c1 x) + (c2 + c3 x) x**2, and so on upwards; three
        terms one after the other, which is as short a way with one power less."""
        terms: list[Number] = list(coefficients)
        power = x
        while len(terms) > 1:
            if len(terms) == 3:
                return self.fma(self.fma(terms[2], power, terms[1]), power, terms[0])
            pairs = range(0, len(terms) - 1, 2)
            paired: list[Number] = [self.fma(terms[n + 1], power, terms[n]) for n in pairs]
            if len(terms) % 2:
                paired.append(terms[-1])
            terms = paired
            if len(terms) > 1:
                power = power * power
        return terms[0] if isinstance(terms[0], Value) else x * 0.0 + terms[0]

    def polynomial_pair(self, x: Value, coefficients: Sequence[float]) -> Pair:
        """``sum(c * x**n)`` with the rounding errors of the last, largest step."""
        product = self.two_product(x, self.polynomial(x, coefficients[1:]))
        high, error = self.two_sum(coefficients[0], product.high)
        return Pair(high, error + product.low)

    # -- tables and rare cases ---------------------------------------------------------------------

    def lookup(self, index: Value, numbers: Sequence[float]) -> Value:
        """``numbers[index]`` of this dtype; ``index`` is an integer that is known to be in range.

        16 numbers of f64 or 32 of f32 fit into two registers of 64 bytes, where a processor that
        has them looks up all lanes at once; others load."""
        data = np.array(numbers, numpy_dtype(self.dtype)).tobytes()
        table = Buffer(f"table{len(data)}", self.dtype, len(numbers), Role.CONST, data=data)
        result = Value(self, self.dtype)
        place = index if index.dtype == "i64" else self.cast(index, "i64")
        self._statements.append(Load(result, table, Index(((place, 1),))))
        return result

    def where_rare(
        self, rare: Value, usual: Sequence[Value], special: Callable[[], Sequence[Value]]
    ) -> tuple[Value, ...]:
        """``special()`` where ``rare`` holds, else ``usual``; what ``special`` records is passed
        over when no lane needs it."""
        with WhileScope(self, [rare, *usual]) as loop:
            loop.condition(loop.params[0])
            loop.yield_(False, *special())
        return loop.results[1:]

    # -- bits -------------------------------------------------------------------------------------

    def bits(self, x: Value) -> Value:
        """The bits of ``x`` as an unsigned integer."""
        return self.bitcast(x, self.format.unsigned)

    def from_bits(self, bits: Value) -> Value:
        return self.bitcast(bits, self.dtype)

    def nearest(self, x: Value, scale: float = 1.0) -> tuple[Value, Value]:
        """The integer nearest to ``x * scale`` as a float, and an integer with it in its low bits.

        Adding 1.5 * 2**fraction moves the point behind the last bit, so the sum's low bits are the
        integer (two's complement). Valid for sizes below 2**(fraction - 1)."""
        shifted = self.fma(x, scale, self.format.shifter)
        return shifted - self.format.shifter, self.bits(shifted)

    def odd(self, whole: Value) -> Value:
        """Whether the integer in the low bits of ``whole`` is odd."""
        return self.let("ne", whole & 1, 0)

    def power_of_two(self, whole: OperandLike, plus: int = 0) -> Value:
        """2.0**(n + plus) for ``whole`` with n in its low bits; the result must be a normal
        number."""
        return self.from_bits((whole << self.format.fraction) + self.format.bits_of_power(plus))

    def scale(self, y: Value, whole: Value) -> Value:
        """y * 2**n for ``whole`` with n in its low bits, n from twice the least exponent up to
        twice the greatest: in two steps, so that only the last can overflow or underflow."""
        half = whole >> 1
        return y * self.power_of_two(half) * self.power_of_two(whole - half)

    # -- twice the precision ----------------------------------------------------------------------

    def two_sum(self, a: Number, b: Number) -> Pair:
        """a + b exactly."""
        total = self.let("add", a, b)
        b_part = total - a
        a_part = total - b_part
        return Pair(total, self.let("sub", a, a_part) + self.let("sub", b, b_part))

    def fast_two_sum(self, a: Number, b: Number) -> Pair:
        """a + b exactly, for abs(a) >= abs(b) or a == 0."""
        total = self.let("add", a, b)
        return Pair(total, b - (total - a))

    def two_product(self, a: Value, b: OperandLike) -> Pair:
        """a * b exactly (barring underflow)."""
        product = a * b
        return Pair(product, self.fma(a, b, -product))

    def pair_times_pair(self, a: Pair, b: Pair) -> Pair:
        """a * b to about twice the precision."""
        high, low = self.two_product(a.high, b.high)
        low = self.fma(a.high, b.low, self.fma(a.low, b.high, low))
        return self.fast_two_sum(high, low)

    def number_plus_pair(self, a: Number, b: Pair) -> Pair:
        """a + b to about twice the precision when the signs agree or the sizes differ."""
        high, low = self.two_sum(a, b.high)
        return self.fast_two_sum(high, low + b.low)

    def quotient(self, a: Pair, b: Pair) -> Pair:
        """a / b to about twice the precision; 1 / b must be a normal number."""
        inverse = 1.0 / b.high
        high = a.high * inverse
        rest = self.fma(-high, b.high, a.high)
        return Pair(high, (self.fma(-high, b.low, rest) + a.low) * inverse)

    def pair_sqrt(self, a: Pair) -> Pair:
        """The square root of a, a > 0, to about twice the precision."""
        high = self.sqrt(a.high)
        low = (self.fma(-high, high, a.high) + a.low) / (high + high)
        return self.fast_two_sum(high, low)


def in_double(write: Writer) -> Writer:
    """A function written for f64, so that its f32 version is computed in f64 and rounded."""

    @functools.wraps(write)
    def widened(m: Math, *arguments: Value) -> Value:
        if m.dtype == "f64":
            return write(m, *arguments)
        wide = m.in_double()
        return m.cast(write(wide, *(wide.cast(x, "f64") for x in arguments)), m.dtype)

    return widened
