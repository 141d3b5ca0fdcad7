"""One scalar operation of the loop IR as lines of LLVM IR, on one value or on a vector of values.

Every function here appends lines through a ``Writer``, whose ``lanes`` say how many values an
operation works on (``kind`` and ``constant`` spell types and literals accordingly), and answers
the name of the result. The meaning is the ``meaning`` of the row in ``scalars.py`` (NumPy's), for
every input: nothing traps and nothing is undefined, integer division by zero and float-to-integer
casts out of range included (there NumPy itself gives whatever the processor gives).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..ir import BYTES, Const, Let, Operand
from ..scalars import FLOATS, SIGNED, UNSIGNED
from . import halves
from .types import VALUE_TYPES, constant_text, memory_type, value_type

if TYPE_CHECKING:
    from .writer import Writer

__all__ = ["cast_text", "constant_text", "instruction", "memory_type", "value_type"]

Instruction = Callable[["Writer", Let, str, list[str]], str]


# -- building blocks ------------------------------------------------------------------------------


def _select(e: Writer, condition: str, dtype: str, yes: str, no: str) -> str:
    kind = e.kind(dtype)
    return e.value(f"select {e.kind('bool')} {condition}, {kind} {yes}, {kind} {no}")


def _convert(e: Writer, word: str, x: str, source: str, target: str) -> str:
    if word == "fpext" and _inline(e, source):
        wide = halves.widened(e, x)
        return wide if target == "f32" else _convert(e, "fpext", wide, "f32", target)
    if word == "fptrunc" and _inline(e, target):
        return halves.narrowed(e, x)
    return e.value(f"{word} {e.kind(source)} {x} to {e.kind(target)}")


def _inline(e: Writer, dtype: str) -> bool:
    """Whether conversions of a dtype are written in line (LLVM's calls go lane by lane)."""
    return dtype == "f16" and e.lanes > 1 and e.soft_halves


def _binary(e: Writer, word: str, dtype: str, left: str, right: str) -> str:
    if _inline(e, dtype):
        wide = _binary(e, word, "f32", halves.widened(e, left), halves.widened(e, right))
        return wide if word.startswith("fcmp") else halves.narrowed(e, wide)
    return e.value(f"{word} {e.kind(dtype)} {left}, {right}")


def _call(e: Writer, name: str, dtype: str, args: list[str], flags: str = "") -> str:
    """An intrinsic. f16 computes as f32: half intrinsics would become calls of a run-time
    library."""
    if dtype == "f16":
        wide = [_convert(e, "fpext", a, "f16", "f32") for a in args]
        return _convert(e, "fptrunc", _call(e, name, "f32", wide, flags), "f32", "f16")
    kind = e.kind(dtype)
    listed = ", ".join(f"{kind} {v}" for v in args)
    return e.value(f"call {flags}{kind} @llvm.{name}.{e.suffix(dtype)}({listed})")


# -- arithmetic -----------------------------------------------------------------------------------


def _arithmetic(float_word: str, int_word: str) -> Instruction:
    def emit(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
        if dtype in FLOATS:
            return _binary(e, f"{float_word} {e.flags(let)}".rstrip(), dtype, *args)
        return _binary(e, int_word, dtype, *args)

    return emit


def _div(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
    return _binary(e, f"fdiv {e.fast_flags()}".rstrip(), dtype, *args)


def _fma(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
    if dtype != "f16":
        return _call(e, "fma", dtype, args)
    wide = [_convert(e, "fpext", a, "f16", "f64") for a in args]
    return _double_to_half(e, _call(e, "fma", "f64", wide))


def _neg(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
    if dtype in FLOATS:
        return e.value(f"fneg {e.kind(dtype)} {args[0]}")
    return _binary(e, "sub", dtype, e.constant(0, dtype), args[0])


def _abs(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
    kind = e.kind(dtype)
    if dtype in UNSIGNED:
        return args[0]
    if dtype in FLOATS:
        return e.value(f"call {kind} @llvm.fabs.{e.suffix(dtype)}({kind} {args[0]})")
    return e.value(f"call {kind} @llvm.abs.{e.suffix(dtype)}({kind} {args[0]}, i1 false)")


def _sign(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
    (x,) = args
    if dtype not in FLOATS:
        zero = e.constant(0, dtype)
        word = "sgt" if dtype in SIGNED else "ne"
        above = _convert(e, "zext", _binary(e, f"icmp {word}", dtype, x, zero), "bool", dtype)
        if dtype in UNSIGNED:
            return above
        below = _convert(e, "zext", _binary(e, "icmp slt", dtype, x, zero), "bool", dtype)
        return _binary(e, "sub", dtype, above, below)
    zero, one, minus = (e.constant(v, dtype) for v in (0.0, 1.0, -1.0))
    rest = _select(e, _binary(e, "fcmp oeq", dtype, x, zero), dtype, zero, x)  # -0 to 0; nan stays
    rest = _select(e, _binary(e, "fcmp olt", dtype, x, zero), dtype, minus, rest)
    return _select(e, _binary(e, "fcmp ogt", dtype, x, zero), dtype, one, rest)


def _extremum(name: str) -> Instruction:
    """minimum or maximum: nan wins. ``nsz`` lets x86 use min/compare/blend instead of range fix-ups
    (NumPy promises nothing about the order of the two zeros either)."""

    def emit(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
        if dtype == "bool":
            return _binary(e, "and" if name == "minimum" else "or", dtype, *args)
        if dtype in FLOATS:
            # x86 tests the first argument: in a reduction better the new value than the sum so far
            return _call(e, name, dtype, args[::-1], "nsz ")
        return _call(e, ("s" if dtype in SIGNED else "u") + name[:3], dtype, args)

    return emit


def _intrinsic(name: str) -> Instruction:
    def emit(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
        return _call(e, name, dtype, args)

    return emit


# -- comparisons and logic ------------------------------------------------------------------------


def _compare(ordered: str, signed: str, unsigned: str) -> Instruction:
    def emit(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
        if dtype in FLOATS:
            return _binary(e, f"fcmp {ordered}", dtype, *args)
        return _binary(e, f"icmp {signed if dtype in SIGNED else unsigned}", dtype, *args)

    return emit


def _isnan(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
    return _binary(e, "fcmp uno", dtype, args[0], args[0])


def _isfinite(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
    size = _abs(e, let, dtype, args)
    return _binary(e, "fcmp one", dtype, size, e.constant(float("inf"), dtype))


def _not(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
    ones = e.constant(True if dtype == "bool" else -1, dtype)
    return _binary(e, "xor", dtype, args[0], ones)


def _select_rows(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
    return _select(e, args[0], let.result.dtype, args[1], args[2])


def _in_range(operand: Operand, dtype: str) -> bool:
    return isinstance(operand, Const) and 0 <= operand.value < 8 * BYTES[dtype]


def _shl(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
    if _in_range(let.args[1], dtype):
        return _binary(e, "shl", dtype, *args)
    zero = e.constant(0, dtype)
    fits = _binary(e, "icmp ult", dtype, args[1], e.constant(8 * BYTES[dtype], dtype))
    count = _select(e, fits, dtype, args[1], zero)
    return _select(e, fits, dtype, _binary(e, "shl", dtype, args[0], count), zero)


def _shr(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
    word = "ashr" if dtype in SIGNED else "lshr"
    if _in_range(let.args[1], dtype):
        return _binary(e, word, dtype, *args)
    bits = 8 * BYTES[dtype]
    fits = _binary(e, "icmp ult", dtype, args[1], e.constant(bits, dtype))
    count = _select(e, fits, dtype, args[1], e.constant(bits - 1, dtype))
    shifted = _binary(e, word, dtype, args[0], count)
    return shifted if dtype in SIGNED else _select(e, fits, dtype, shifted, e.constant(0, dtype))


# -- whole quotients and remainders ---------------------------------------------------------------


def _safe_divisor(e: Writer, dtype: str, divisor: str) -> tuple[str, str, str]:
    """A divisor that cannot trap: (divisor with 0 and -1 replaced by 1, is -1 if signed, is 0)."""
    one = e.constant(1, dtype)
    is_zero = _binary(e, "icmp eq", dtype, divisor, e.constant(0, dtype))
    if dtype in UNSIGNED:
        return _select(e, is_zero, dtype, one, divisor), "", is_zero
    is_minus = _binary(e, "icmp eq", dtype, divisor, e.constant(-1, dtype))
    either = _binary(e, "or", "bool", is_zero, is_minus)
    return _select(e, either, dtype, one, divisor), is_minus, is_zero


def _rounds_down(e: Writer, dtype: str, remainder: str, divisor: str) -> str:
    """Whether a truncated quotient must be one lower: remainder not zero and of the other sign."""
    zero = e.constant(0, dtype)
    mixed = _binary(e, "xor", dtype, remainder, divisor)
    opposite = _binary(e, "icmp slt", dtype, mixed, zero)
    inexact = _binary(e, "icmp ne", dtype, remainder, zero)
    return _binary(e, "and", "bool", opposite, inexact)


def _positive(let: Let) -> int:
    """A divisor that is known and positive; 0 for any other."""
    divisor = let.args[1]
    return max(0, int(divisor.value)) if isinstance(divisor, Const) else 0


def _below_zero(e: Writer, dtype: str, value: str) -> str:
    """-1 where a signed value is negative, else 0."""
    return _binary(e, "ashr", dtype, value, e.constant(8 * BYTES[dtype] - 1, dtype))


def _known_floordiv(e: Writer, dtype: str, value: str, divisor: int) -> str:
    """Division by a positive number: nothing can go wrong."""
    signed, by = dtype in SIGNED, e.constant(divisor, dtype)
    if divisor & (divisor - 1) == 0:
        places = e.constant(divisor.bit_length() - 1, dtype)
        return _binary(e, "ashr" if signed else "lshr", dtype, value, places)
    if not signed:
        return _binary(e, "udiv", dtype, value, by)
    truncated = _binary(e, "sdiv", dtype, value, by)
    lower = _below_zero(e, dtype, _binary(e, "srem", dtype, value, by))
    return _binary(e, "add", dtype, truncated, lower)


def _known_mod(e: Writer, dtype: str, value: str, divisor: int) -> str:
    """The remainder of that, which is not negative."""
    by = e.constant(divisor, dtype)
    if divisor & (divisor - 1) == 0:
        return _binary(e, "and", dtype, value, e.constant(divisor - 1, dtype))
    if dtype not in SIGNED:
        return _binary(e, "urem", dtype, value, by)
    truncated = _binary(e, "srem", dtype, value, by)
    wrapped = _binary(e, "and", dtype, _below_zero(e, dtype, truncated), by)
    return _binary(e, "add", dtype, truncated, wrapped)


def _int_floordiv(e: Writer, dtype: str, args: list[str]) -> str:
    safe, is_minus, is_zero = _safe_divisor(e, dtype, args[1])
    zero = e.constant(0, dtype)
    if dtype in UNSIGNED:
        quotient = _binary(e, "udiv", dtype, args[0], safe)
    else:
        truncated = _binary(e, "sdiv", dtype, args[0], safe)
        remainder = _binary(e, "srem", dtype, args[0], safe)
        lower = _convert(e, "sext", _rounds_down(e, dtype, remainder, safe), "bool", dtype)
        quotient = _binary(e, "add", dtype, truncated, lower)
        negated = _binary(e, "sub", dtype, zero, args[0])
        quotient = _select(e, is_minus, dtype, negated, quotient)
    return _select(e, is_zero, dtype, zero, quotient)


def _int_mod(e: Writer, dtype: str, args: list[str]) -> str:
    safe, _, is_zero = _safe_divisor(e, dtype, args[1])
    zero = e.constant(0, dtype)
    if dtype in UNSIGNED:
        remainder = _binary(e, "urem", dtype, args[0], safe)
    else:
        truncated = _binary(e, "srem", dtype, args[0], safe)
        lower = _rounds_down(e, dtype, truncated, safe)
        remainder = _binary(e, "add", dtype, truncated, _select(e, lower, dtype, safe, zero))
    return _select(e, is_zero, dtype, zero, remainder)


def _float_divmod(e: Writer, dtype: str, args: list[str]) -> tuple[str, str]:
    """(quotient, remainder) as NumPy's divmod of floats: fmod, then a correction to the divisor's
    sign, then the quotient snapped to the nearest whole number."""
    if dtype == "f16":
        pair = _float_divmod(e, "f32", [_convert(e, "fpext", a, "f16", "f32") for a in args])
        quotient, modulus = (_convert(e, "fptrunc", v, "f32", "f16") for v in pair)
        return quotient, modulus
    a, b = args
    zero, half, one = (e.constant(v, dtype) for v in (0.0, 0.5, 1.0))
    remainder = _binary(e, "frem", dtype, a, b)
    quotient = _binary(e, "fdiv", dtype, _binary(e, "fsub", dtype, a, remainder), b)
    b_negative = _binary(e, "fcmp olt", dtype, b, zero)
    r_negative = _binary(e, "fcmp olt", dtype, remainder, zero)
    r_zero = _binary(e, "fcmp oeq", dtype, remainder, zero)
    differ = _binary(e, "xor", "bool", b_negative, r_negative)
    shifted = _binary(e, "fadd", dtype, remainder, b)
    adjusted = _select(e, differ, dtype, shifted, remainder)
    modulus = _select(e, r_zero, dtype, _call(e, "copysign", dtype, [zero, b]), adjusted)
    whole = _binary(e, "xor", "bool", r_zero, e.constant(True, "bool"))
    lower = _binary(e, "and", "bool", differ, whole)
    quotient = _select(e, lower, dtype, _binary(e, "fsub", dtype, quotient, one), quotient)
    floor = _call(e, "floor", dtype, [quotient])
    up = _binary(e, "fcmp ogt", dtype, _binary(e, "fsub", dtype, quotient, floor), half)
    snapped = _select(e, up, dtype, _binary(e, "fadd", dtype, floor, one), floor)
    ratio = _binary(e, "fdiv", dtype, a, b)
    q_zero = _binary(e, "fcmp oeq", dtype, quotient, zero)
    snapped = _select(e, q_zero, dtype, _call(e, "copysign", dtype, [zero, ratio]), snapped)
    b_zero = _binary(e, "fcmp oeq", dtype, b, zero)
    return _select(e, b_zero, dtype, ratio, snapped), _select(e, b_zero, dtype, remainder, modulus)


def _floordiv(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
    if dtype in FLOATS:
        return _float_divmod(e, dtype, args)[0]
    if divisor := _positive(let):
        return _known_floordiv(e, dtype, args[0], divisor)
    return _int_floordiv(e, dtype, args)


def _mod(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
    if dtype in FLOATS:
        return _float_divmod(e, dtype, args)[1]
    if divisor := _positive(let):
        return _known_mod(e, dtype, args[0], divisor)
    return _int_mod(e, dtype, args)


# -- casts ----------------------------------------------------------------------------------------


def _double_to_half(e: Writer, x: str) -> str:
    """f64 to f16 with one rounding."""
    return _convert(e, "fptrunc", halves.rounded_to_odd(e, x), "f32", "f16")


def _float_to_int(e: Writer, x: str, source: str, target: str) -> str:
    """Truncation as the processor does it; ``freeze`` makes out-of-range values merely
    arbitrary."""
    if source == "f16":
        source, x = "f32", _convert(e, "fpext", x, "f16", "f32")
    flip = ""
    if target == "u64":  # values from 2**63 up are converted 2**63 lower
        top = e.constant(2.0**63, source)
        small = _binary(e, "fcmp olt", source, x, top)
        x = _select(e, small, source, x, _binary(e, "fsub", source, x, top))
        flip = _select(e, small, "i64", e.constant(0, "i64"), e.constant(-(2**63), "i64"))
    through = "i32" if target in {"i8", "u8", "i16", "u16", "i32"} else "i64"
    number = _convert(e, "fptosi", x, source, through)
    number = e.value(f"freeze {e.kind(through)} {number}")
    if flip:
        return _binary(e, "xor", "i64", number, flip)
    if BYTES[target] == BYTES[through]:
        return number
    return _convert(e, "trunc", number, through, target)


def cast_text(e: Writer, x: str, source: str, target: str) -> str:
    """``x`` of dtype ``source`` as ``target``, as NumPy's ``astype``."""
    if source == target:
        return x
    if target == "bool":
        word = "fcmp une" if source in FLOATS else "icmp ne"
        return _binary(e, word, source, x, e.constant(0, source))
    if source in FLOATS and target in FLOATS:
        if (source, target) == ("f64", "f16"):
            return _double_to_half(e, x)
        word = "fpext" if BYTES[source] < BYTES[target] else "fptrunc"
        return _convert(e, word, x, source, target)
    if source in FLOATS:
        return _float_to_int(e, x, source, target)
    if target in FLOATS:
        word = "sitofp" if source in SIGNED else "uitofp"
        if target != "f16":
            return _convert(e, word, x, source, target)
        return _convert(e, "fptrunc", _convert(e, word, x, source, "f32"), "f32", "f16")
    if source == "bool" or BYTES[source] < BYTES[target]:
        return _convert(e, "sext" if source in SIGNED else "zext", x, source, target)
    if BYTES[source] > BYTES[target]:
        return _convert(e, "trunc", x, source, target)
    return x


def _cast(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
    return cast_text(e, args[0], dtype, let.result.dtype)


def _bitcast(e: Writer, let: Let, dtype: str, args: list[str]) -> str:
    if VALUE_TYPES[dtype] == VALUE_TYPES[let.result.dtype]:
        return args[0]
    return _convert(e, "bitcast", args[0], dtype, let.result.dtype)


_INSTRUCTIONS: dict[str, Instruction] = {
    "add": _arithmetic("fadd", "add"),
    "sub": _arithmetic("fsub", "sub"),
    "mul": _arithmetic("fmul", "mul"),
    "div": _div,
    "floordiv": _floordiv,
    "mod": _mod,
    "neg": _neg,
    "abs": _abs,
    "sign": _sign,
    "minimum": _extremum("minimum"),
    "maximum": _extremum("maximum"),
    "copysign": _intrinsic("copysign"),
    "fma": _fma,
    "sqrt": _intrinsic("sqrt"),
    "floor": _intrinsic("floor"),
    "ceil": _intrinsic("ceil"),
    "trunc": _intrinsic("trunc"),
    "round": _intrinsic("roundeven"),
    "eq": _compare("oeq", "eq", "eq"),
    "ne": _compare("une", "ne", "ne"),
    "lt": _compare("olt", "slt", "ult"),
    "le": _compare("ole", "sle", "ule"),
    "gt": _compare("ogt", "sgt", "ugt"),
    "ge": _compare("oge", "sge", "uge"),
    "isnan": _isnan,
    "isfinite": _isfinite,
    "and": _arithmetic("", "and"),
    "or": _arithmetic("", "or"),
    "xor": _arithmetic("", "xor"),
    "not": _not,
    "shl": _shl,
    "shr": _shr,
    "select": _select_rows,
    "cast": _cast,
    "bitcast": _bitcast,
}


def words(e: Writer, let: Let) -> str:
    """The text before the operands of a float operation that is one instruction on one value:
    ``fadd contract double``; empty for all others."""
    op, dtype = let.op, let.args[0].dtype
    if dtype not in FLOATS:
        return ""
    match op:
        case "add" | "sub" | "mul":
            return f"f{op} {e.flags(let)}{VALUE_TYPES[dtype]}"
        case "div":
            return f"fdiv {e.fast_flags()}{VALUE_TYPES[dtype]}"
        case "neg":
            return f"fneg {VALUE_TYPES[dtype]}"
    return ""


def instruction(e: Writer, let: Let, args: list[str]) -> str:
    """Emit one Let whose row is an instruction or an intrinsic; the name of its result."""
    return _INSTRUCTIONS[let.op](e, let, let.args[0].dtype, args)
