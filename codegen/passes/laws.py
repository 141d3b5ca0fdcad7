"""Exact laws of scalar functions: a Let that equals something simpler for every value it may get.

Exact means the same bits, signed zeros and infinities included; a nan stays a nan, its sign and
payload are nobody's promise. So ``x + 0.0`` stays (it turns -0.0 into 0.0) while ``x - 0.0`` is x.

A law is a named rewrite of one operation. It sees the arguments, the dtype of the result, and the
Lets that define the arguments; it answers an operand, a simpler ``(op, args)``, or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from ...records import record
from ..interp import evaluate, scalar
from ..ir import BYTES, Const, Let, Operand, Var
from ..ranges import LIMITS
from ..scalars import FLOATS, INTS, SIGNED, UNSIGNED

__all__ = [
    "LAWS",
    "LAW_LIST",
    "Law",
    "Rewritten",
    "fold",
    "holds_exactly",
    "same_operand",
    "simpler",
]

Args = tuple[Operand, ...]
#: the Let that defines an operand, if there is one
Definitions = Mapping[Var, Let]
Rewritten = Operand | tuple[str, Args]


@record(frozen=True, slots=True)
class Law:
    """``rewrite`` holds for the operations ``ops``; ``name`` says what it states."""

    name: str
    ops: tuple[str, ...]
    rewrite: Callable[[str, Args, str, Definitions], Rewritten | None]


def _is(operand: Operand, value: int | float) -> bool:
    """Whether an operand is this literal (a zero of the same sign)."""
    if not isinstance(operand, Const) or operand.value != value:
        return False
    return bool(value) or operand.dtype not in FLOATS or _sign(operand.value) == _sign(value)


def _sign(value: int | float) -> float:
    return math.copysign(1.0, value)


def same_operand(a: Operand, b: Operand) -> bool:
    """Whether two operands are one Var, or literals of the same bits."""
    if not isinstance(a, Const) or not isinstance(b, Const):
        return a is b
    both_nan = a.value != a.value and b.value != b.value
    return a.dtype == b.dtype and (both_nan or _is(a, b.value))


def _ones(dtype: str) -> bool | int:
    """All bits set."""
    if dtype == "bool":
        return True
    return -1 if dtype in SIGNED else LIMITS[dtype][1]


def _defined_by(operand: Operand, op: str, lets: Definitions) -> Let | None:
    let = None if isinstance(operand, Const) else lets.get(operand)
    return let if let is not None and let.op == op else None


def holds_exactly(narrow: str, wide: str) -> bool:
    """Whether every value of ``narrow`` is a value of ``wide``.

    >>> holds_exactly("i16", "f32"), holds_exactly("i32", "f32"), holds_exactly("u8", "i8")
    (True, False, False)
    """
    if narrow == wide or narrow == "bool":
        return True
    if wide == "bool":
        return False
    digits = {"f16": 11, "f32": 24, "f64": 53}
    if narrow in FLOATS:
        return wide in FLOATS and BYTES[narrow] <= BYTES[wide]
    bits = 8 * BYTES[narrow] - (narrow in SIGNED)
    if wide in FLOATS:
        return bits <= digits[wide]
    if narrow in SIGNED and wide in UNSIGNED:
        return False
    return bits <= 8 * BYTES[wide] - (wide in SIGNED)


# -- the laws -------------------------------------------------------------------------------------
# Commutative operations come with a literal as their second argument.


def _add_nothing(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    return args[0] if _is(args[1], -0.0 if dtype in FLOATS else 0) else None


def _subtract_nothing(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    return args[0] if _is(args[1], 0.0 if dtype in FLOATS else 0) else None


def _subtract_itself(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    return Const(0, dtype) if dtype in INTS and args[0] is args[1] else None


def _subtract_from_nothing(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    return ("neg", args[1:]) if _is(args[0], -0.0 if dtype in FLOATS else 0) else None


def _add_negated(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    other = "sub" if op == "add" else "add"
    for x, y in (args, args[::-1]) if op == "add" else (args,):
        negation = _defined_by(y, "neg", lets)
        if negation:
            return other, (x, negation.args[0])
    return None


def _by_one(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    if op == "floordiv" and dtype in FLOATS:
        return None
    return args[0] if _is(args[1], 1) else None


def _by_minus_one(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    return ("neg", args[:1]) if dtype not in UNSIGNED and _is(args[1], -1) else None


def _times_zero(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    return args[1] if dtype in INTS and _is(args[1], 0) else None


def _remainder_of_one(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    return Const(0, dtype) if dtype in INTS and _is(args[1], 1) else None


def _by_power_of_two(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    """Floor division rounds down as an arithmetic shift does; the remainder keeps the low bits."""
    divisor = args[1]
    if dtype not in INTS or not isinstance(divisor, Const):
        return None
    value = int(divisor.value)
    if value < 2 or value & (value - 1):
        return None
    if op == "mod":
        return "and", (args[0], Const(value - 1, dtype))
    return "shr", (args[0], Const(value.bit_length() - 1, dtype))


def _twice_undone(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    inner = _defined_by(args[0], op, lets)
    return inner.args[0] if inner else None


def _absolute_of_signed(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    negation = None if dtype in UNSIGNED else _defined_by(args[0], "neg", lets)
    inner = negation or _defined_by(args[0], "abs", lets)
    return ("abs", inner.args) if inner else None


def _of_itself(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    return args[0] if same_operand(args[0], args[1]) else None


def _xor_itself(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    if not same_operand(args[0], args[1]):
        return None
    return Const(False, "bool") if dtype == "bool" else Const(0, dtype)


def _bits_kept(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    return args[0] if _is(args[1], _ones(dtype) if op == "and" else 0) else None


def _bits_forced(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    return args[1] if _is(args[1], 0 if op == "and" else _ones(dtype)) else None


def _bits_flipped(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    return ("not", args[:1]) if _is(args[1], _ones(dtype)) else None


def _shift_by_nothing(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    return args[0] if _is(args[1], 0) else None


def _compare_with_itself(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    if args[0] is not args[1]:
        return None
    if op in ("lt", "gt"):
        return Const(False, "bool")
    if args[0].dtype in FLOATS:  # a nan equals nothing
        return None
    return Const(op != "ne", "bool")


def _compare_with_truth(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    if args[0].dtype != "bool" or not isinstance(args[1], Const):
        return None
    return args[0] if bool(args[1].value) == (op == "eq") else ("not", args[:1])


def _select_known(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    condition, yes, no = args
    if isinstance(condition, Const):
        return yes if condition.value else no
    return yes if same_operand(yes, no) else None


def _select_negated(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    negation = _defined_by(args[0], "not", lets)
    return ("select", (negation.args[0], args[2], args[1])) if negation else None


def _select_truth(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    if dtype != "bool" or not isinstance(args[1], Const) or not isinstance(args[2], Const):
        return None
    if bool(args[1].value) == bool(args[2].value):
        return args[1]
    return args[0] if args[1].value else ("not", args[:1])


def _cast_to_itself(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    return args[0] if args[0].dtype == dtype else None


def _cast_of_exact_cast(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    """The value between holds the first exactly, so casting on from the first says the same."""
    inner = _defined_by(args[0], "cast", lets)
    if inner is None or not holds_exactly(inner.args[0].dtype, inner.result.dtype):
        return None
    return "cast", inner.args


def _bitcast_of_bitcast(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    inner = _defined_by(args[0], "bitcast", lets)
    return ("bitcast", inner.args) if inner else None


def _power_of_known(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    if isinstance(args[1], Const) and args[1].value == 0:
        return Const(1.0, dtype)  # also of nan
    return args[0] if _is(args[1], 1) else None


def _fma_of_known(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    a, b, c = args
    if _is(c, -0.0):
        return "mul", (a, b)
    if _is(a, 1):
        return "add", (b, c)
    return ("add", (a, c)) if _is(b, 1) else None


LAW_LIST = (
    Law("x + 0 is x (for floats: -0.0)", ("add",), _add_nothing),
    Law("x - 0 is x", ("sub",), _subtract_nothing),
    Law("x - x is 0 (integers)", ("sub",), _subtract_itself),
    Law("0 - x is -x (for floats: -0.0)", ("sub",), _subtract_from_nothing),
    Law("x + -y is x - y, x - -y is x + y", ("add", "sub"), _add_negated),
    Law("x * 1, x / 1 are x, x // 1 too (integers)", ("mul", "div", "floordiv"), _by_one),
    Law("x * -1, x / -1 are -x", ("mul", "div"), _by_minus_one),
    Law("x * 0 is 0 (integers)", ("mul",), _times_zero),
    Law("x % 1 is 0 (integers)", ("mod",), _remainder_of_one),
    Law("x // 2**k is x >> k, x % 2**k masks (integers)", ("floordiv", "mod"),
        _by_power_of_two),
    Law("-(-x), not not x are x", ("neg", "not"), _twice_undone),
    Law("abs(-x), abs(abs x) are abs x", ("abs",), _absolute_of_signed),
    Law("x & x, x | x, min(x, x), max(x, x) are x", ("and", "or", "minimum", "maximum"),
        _of_itself),
    Law("x ^ x is 0", ("xor",), _xor_itself),
    Law("x & ones, x | 0, x ^ 0 are x", ("and", "or", "xor"), _bits_kept),
    Law("x & 0 is 0, x | ones is ones", ("and", "or"), _bits_forced),
    Law("x ^ ones is not x", ("xor",), _bits_flipped),
    Law("x << 0, x >> 0 are x", ("shl", "shr"), _shift_by_nothing),
    Law("x < x is false, x == x is true but for nan", ("eq", "ne", "lt", "le", "gt", "ge"),
        _compare_with_itself),
    Law("b == true is b", ("eq", "ne"), _compare_with_truth),
    Law("select by a literal or between equals", ("select",), _select_known),
    Law("select(not c, x, y) is select(c, y, x)", ("select",), _select_negated),
    Law("select(c, true, false) is c", ("select",), _select_truth),
    Law("a cast to its own dtype is x", ("cast", "bitcast"), _cast_to_itself),
    Law("a cast of an exact cast is one cast", ("cast",), _cast_of_exact_cast),
    Law("a bitcast of a bitcast is one bitcast", ("bitcast",), _bitcast_of_bitcast),
    Law("x ** 1 is x, x ** 0 is 1", ("pow",), _power_of_known),
    Law("fma(x, y, -0.0) is x * y, fma(1, x, y) is x + y", ("fma",), _fma_of_known),
)  # fmt: skip

#: operation -> its laws, in the order they are tried
LAWS: dict[str, tuple[Law, ...]] = {
    op: tuple(law for law in LAW_LIST if op in law.ops)
    for op in sorted({op for law in LAW_LIST for op in law.ops})
}


def simpler(op: str, args: Args, dtype: str, lets: Definitions) -> Rewritten | None:
    """What the first law that applies makes of ``op(args)``; None when none does."""
    for law in LAWS.get(op, ()):
        found = law.rewrite(op, args, dtype, lets)
        if found is not None:
            return found
    return None


def fold(op: str, args: Args, dtype: str) -> Const | None:
    """``op`` of literals as a literal; None unless all are, and NumPy and every target agree.

    >>> fold("add", (Const(100, "i8"), Const(100, "i8")), "i8")
    Const(value=-56, dtype='i8')
    >>> fold("cast", (Const(1e300, "f64"),), "i32") is None
    True
    """
    literals = [a for a in args if isinstance(a, Const)]
    if len(literals) < len(args):
        return None
    values = [scalar(a.value, a.dtype) for a in literals]
    if op in ("shl", "shr") and not 0 <= values[1] < 8 * BYTES[dtype]:
        return None
    if op == "cast" and dtype in INTS and literals[0].dtype in FLOATS:
        least, greatest = LIMITS[dtype]
        value = float(values[0])
        if not least <= value <= greatest or value >= 2.0 ** greatest.bit_length():
            return None
    result = evaluate(op, values, dtype).item()
    return Const(math.nan if result != result else result, dtype)  # one nan on every machine
