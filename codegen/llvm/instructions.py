"""One scalar operation of the loop IR as lines of LLVM IR.

Every function here appends lines through an ``Emitter`` and answers the text of the result. The
meaning is the ``meaning`` of the row in ``scalars.py`` (NumPy's), for every input: nothing traps and
nothing is undefined, integer division by zero and float-to-integer casts out of range included (there
NumPy itself gives whatever the processor gives).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..ir import BYTES, Const, Let, Operand
from ..scalars import FLOATS, SIGNED, UNSIGNED

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["VALUE_TYPES", "cast_text", "constant_text", "instruction", "memory_type", "value_type"]

#: dtype -> LLVM type of a value in a register (a bool is one byte in memory, one bit in a register)
VALUE_TYPES: dict[str, str] = {
    "bool": "i1", "i8": "i8", "i16": "i16", "i32": "i32", "i64": "i64",
    "u8": "i8", "u16": "i16", "u32": "i32", "u64": "i64",
    "f16": "half", "f32": "float", "f64": "double",
}  # fmt: skip


def value_type(dtype: str) -> str:
    """The LLVM type of a value: ``value_type("f64") == "double"``, ``value_type("bool") == "i1"``."""
    return VALUE_TYPES[dtype]


def memory_type(dtype: str) -> str:
    """The LLVM type of one element in memory: as a value, except that a bool takes a byte."""
    return "i8" if dtype == "bool" else VALUE_TYPES[dtype]


def constant_text(value: bool | int | float, dtype: str) -> str:
    """A literal in LLVM's spelling; floats as bit patterns, so that no digit is lost."""
    if dtype == "bool":
        return "true" if value else "false"
    if dtype == "f16":
        return f"0xH{struct.unpack('<H', struct.pack('<e', float(value)))[0]:04X}"
    if dtype == "f32":
        value = struct.unpack("<f", struct.pack("<f", float(value)))[0]
    if dtype in FLOATS:
        return f"0x{struct.unpack('<Q', struct.pack('<d', float(value)))[0]:016X}"
    bits = 8 * BYTES[dtype]
    number = int(value) & ((1 << bits) - 1)
    return str(number - (1 << bits) if number >> (bits - 1) else number)


def _intrinsic_suffix(dtype: str) -> str:
    return f"f{8 * BYTES[dtype]}" if dtype in FLOATS else VALUE_TYPES[dtype]


def _widened(e: Emitter, dtype: str, args: list[str]) -> tuple[str, list[str]]:
    """f16 computes as f32: half intrinsics would become calls to a run-time library."""
    if dtype != "f16":
        return dtype, args
    return "f32", [e.value(f"fpext half {a} to float") for a in args]


def _narrowed(e: Emitter, dtype: str, result: str) -> str:
    return e.value(f"fptrunc float {result} to half") if dtype == "f16" else result


def _call(e: Emitter, name: str, dtype: str, args: list[str], flags: str = "") -> str:
    wide, values = _widened(e, dtype, args)
    kind = VALUE_TYPES[wide]
    listed = ", ".join(f"{kind} {v}" for v in values)
    text = f"call {flags}{kind} @llvm.{name}.{_intrinsic_suffix(wide)}({listed})"
    return _narrowed(e, dtype, e.value(text))


def _arithmetic(float_op: str, int_op: str) -> Callable[[Emitter, Let, str, list[str]], str]:
    def emit(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
        kind = VALUE_TYPES[dtype]
        if dtype in FLOATS:
            return e.value(f"{float_op} {e.flags(let)}{kind} {args[0]}, {args[1]}")
        return e.value(f"{int_op} {kind} {args[0]}, {args[1]}")

    return emit


def _div(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    return e.value(f"fdiv {e.fast_flags()}{VALUE_TYPES[dtype]} {args[0]}, {args[1]}")


def _fma(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    if dtype != "f16":
        return _call(e, "fma", dtype, args)
    wide = [cast_text(e, a, "f16", "f64") for a in args]
    listed = ", ".join(f"double {v}" for v in wide)
    return _double_to_half(e, e.value(f"call double @llvm.fma.f64({listed})"))


def _neg(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    kind = VALUE_TYPES[dtype]
    return e.value(f"fneg {kind} {args[0]}" if dtype in FLOATS else f"sub {kind} 0, {args[0]}")


def _abs(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    kind = VALUE_TYPES[dtype]
    if dtype in UNSIGNED:
        return args[0]
    if dtype in FLOATS:
        return e.value(f"call {kind} @llvm.fabs.{_intrinsic_suffix(dtype)}({kind} {args[0]})")
    return e.value(f"call {kind} @llvm.abs.{kind}({kind} {args[0]}, i1 false)")


def _sign(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    kind = VALUE_TYPES[dtype]
    (x,) = args
    if dtype in UNSIGNED:
        return e.value(f"zext i1 {e.value(f'icmp ne {kind} {x}, 0')} to {kind}")
    if dtype in SIGNED:
        positive = e.value(f"zext i1 {e.value(f'icmp sgt {kind} {x}, 0')} to {kind}")
        negative = e.value(f"zext i1 {e.value(f'icmp slt {kind} {x}, 0')} to {kind}")
        return e.value(f"sub {kind} {positive}, {negative}")
    zero, one, minus = (constant_text(v, dtype) for v in (0.0, 1.0, -1.0))
    is_zero = e.value(f"fcmp oeq {kind} {x}, {zero}")
    rest = e.value(f"select i1 {is_zero}, {kind} {zero}, {kind} {x}")  # -0 to 0; nan stays
    is_negative = e.value(f"fcmp olt {kind} {x}, {zero}")
    rest = e.value(f"select i1 {is_negative}, {kind} {minus}, {kind} {rest}")
    is_positive = e.value(f"fcmp ogt {kind} {x}, {zero}")
    return e.value(f"select i1 {is_positive}, {kind} {one}, {kind} {rest}")


def _extremum(name: str) -> Callable[[Emitter, Let, str, list[str]], str]:
    """minimum or maximum: nan wins. ``nsz`` lets x86 use min/compare/blend instead of range fix-ups
    (NumPy promises nothing about the order of the two zeros either)."""

    def emit(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
        if dtype == "bool":
            return e.value(f"{'and' if name == 'minimum' else 'or'} i1 {args[0]}, {args[1]}")
        if dtype in FLOATS:
            return _call(e, name, dtype, args, "nsz ")
        prefix = "s" if dtype in SIGNED else "u"
        return _call(e, prefix + name[:3], dtype, args)

    return emit


def _intrinsic(name: str) -> Callable[[Emitter, Let, str, list[str]], str]:
    def emit(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
        return _call(e, name, dtype, args)

    return emit


def _compare(ordered: str, signed: str, unsigned: str) -> Callable[..., str]:
    def emit(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
        if dtype in FLOATS:
            word = f"fcmp {ordered}"
        else:
            word = f"icmp {signed if dtype in SIGNED else unsigned}"
        return e.value(f"{word} {VALUE_TYPES[dtype]} {args[0]}, {args[1]}")

    return emit


def _isnan(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    return e.value(f"fcmp uno {VALUE_TYPES[dtype]} {args[0]}, {args[0]}")


def _isfinite(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    size = _abs(e, let, dtype, args)
    return e.value(f"fcmp one {VALUE_TYPES[dtype]} {size}, {constant_text(float('inf'), dtype)}")


def _not(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    return e.value(f"xor {VALUE_TYPES[dtype]} {args[0]}, {'true' if dtype == 'bool' else '-1'}")


def _safe_divisor(e: Emitter, let: Let, dtype: str, divisor: str) -> tuple[str, str | None, str]:
    """A divisor that cannot trap: (divisor with 0 and -1 replaced by 1, is -1 if signed, is 0)."""
    kind = VALUE_TYPES[dtype]
    is_zero = e.value(f"icmp eq {kind} {divisor}, 0")
    if dtype in UNSIGNED:
        return e.value(f"select i1 {is_zero}, {kind} 1, {kind} {divisor}"), None, is_zero
    is_minus = e.value(f"icmp eq {kind} {divisor}, -1")
    either = e.value(f"or i1 {is_zero}, {is_minus}")
    return e.value(f"select i1 {either}, {kind} 1, {kind} {divisor}"), is_minus, is_zero


def _rounds_down(e: Emitter, kind: str, remainder: str, divisor: str) -> str:
    """Whether a truncated quotient must be one lower: remainder not zero and of the other sign."""
    mixed = e.value(f"xor {kind} {remainder}, {divisor}")
    opposite = e.value(f"icmp slt {kind} {mixed}, 0")
    inexact = e.value(f"icmp ne {kind} {remainder}, 0")
    return e.value(f"and i1 {opposite}, {inexact}")


def _int_floordiv(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    kind = VALUE_TYPES[dtype]
    safe, is_minus, is_zero = _safe_divisor(e, let, dtype, args[1])
    if is_minus is None:
        quotient = e.value(f"udiv {kind} {args[0]}, {safe}")
    else:
        truncated = e.value(f"sdiv {kind} {args[0]}, {safe}")
        remainder = e.value(f"srem {kind} {args[0]}, {safe}")
        lower = e.value(f"sext i1 {_rounds_down(e, kind, remainder, safe)} to {kind}")
        quotient = e.value(f"add {kind} {truncated}, {lower}")
        negated = e.value(f"sub {kind} 0, {args[0]}")
        quotient = e.value(f"select i1 {is_minus}, {kind} {negated}, {kind} {quotient}")
    return e.value(f"select i1 {is_zero}, {kind} 0, {kind} {quotient}")


def _int_mod(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    kind = VALUE_TYPES[dtype]
    safe, is_minus, is_zero = _safe_divisor(e, let, dtype, args[1])
    if is_minus is None:
        remainder = e.value(f"urem {kind} {args[0]}, {safe}")
    else:
        truncated = e.value(f"srem {kind} {args[0]}, {safe}")
        lower = _rounds_down(e, kind, truncated, safe)
        shift = e.value(f"select i1 {lower}, {kind} {safe}, {kind} 0")
        remainder = e.value(f"add {kind} {truncated}, {shift}")
    return e.value(f"select i1 {is_zero}, {kind} 0, {kind} {remainder}")


def _float_divmod(e: Emitter, dtype: str, args: list[str]) -> tuple[str, str]:
    """(quotient, remainder) as NumPy's divmod of floats: fmod, then a correction to the divisor's
    sign, then the quotient snapped to the nearest whole number."""
    wide, (a, b) = _widened(e, dtype, args)
    kind = VALUE_TYPES[wide]
    zero, half, one = (constant_text(v, wide) for v in (0.0, 0.5, 1.0))
    copysign = f"call {kind} @llvm.copysign.{_intrinsic_suffix(wide)}({kind} "
    remainder = e.value(f"frem {kind} {a}, {b}")
    exact = e.value(f"fsub {kind} {a}, {remainder}")
    quotient = e.value(f"fdiv {kind} {exact}, {b}")
    b_negative = e.value(f"fcmp olt {kind} {b}, {zero}")
    r_negative = e.value(f"fcmp olt {kind} {remainder}, {zero}")
    differ = e.value(f"xor i1 {b_negative}, {r_negative}")
    r_zero = e.value(f"fcmp oeq {kind} {remainder}, {zero}")
    shifted = e.value(f"fadd {kind} {remainder}, {b}")
    lowered = e.value(f"fsub {kind} {quotient}, {one}")
    signed_zero = e.value(f"{copysign}{zero}, {kind} {b})")
    adjusted = e.value(f"select i1 {differ}, {kind} {shifted}, {kind} {remainder}")
    modulus = e.value(f"select i1 {r_zero}, {kind} {signed_zero}, {kind} {adjusted}")
    correct = e.value(f"xor i1 {r_zero}, true")
    lower = e.value(f"and i1 {differ}, {correct}")
    quotient = e.value(f"select i1 {lower}, {kind} {lowered}, {kind} {quotient}")
    floor = e.value(f"call {kind} @llvm.floor.{_intrinsic_suffix(wide)}({kind} {quotient})")
    rest = e.value(f"fsub {kind} {quotient}, {floor}")
    up = e.value(f"fcmp ogt {kind} {rest}, {half}")
    raised = e.value(f"fadd {kind} {floor}, {one}")
    snapped = e.value(f"select i1 {up}, {kind} {raised}, {kind} {floor}")
    ratio = e.value(f"fdiv {kind} {a}, {b}")
    q_zero = e.value(f"fcmp oeq {kind} {quotient}, {zero}")
    zero_like = e.value(f"{copysign}{zero}, {kind} {ratio})")
    snapped = e.value(f"select i1 {q_zero}, {kind} {zero_like}, {kind} {snapped}")
    b_zero = e.value(f"fcmp oeq {kind} {b}, {zero}")
    snapped = e.value(f"select i1 {b_zero}, {kind} {ratio}, {kind} {snapped}")
    modulus = e.value(f"select i1 {b_zero}, {kind} {remainder}, {kind} {modulus}")
    return _narrowed(e, dtype, snapped), _narrowed(e, dtype, modulus)


def _floordiv(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    if dtype in FLOATS:
        return _float_divmod(e, dtype, args)[0]
    return _int_floordiv(e, let, dtype, args)


def _mod(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    if dtype in FLOATS:
        return _float_divmod(e, dtype, args)[1]
    return _int_mod(e, let, dtype, args)


def _in_range_shift(operand: Operand, dtype: str) -> bool:
    return isinstance(operand, Const) and 0 <= operand.value < 8 * BYTES[dtype]


def _shl(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    kind = VALUE_TYPES[dtype]
    if _in_range_shift(let.args[1], dtype):
        return e.value(f"shl {kind} {args[0]}, {args[1]}")
    fits = e.value(f"icmp ult {kind} {args[1]}, {8 * BYTES[dtype]}")
    count = e.value(f"select i1 {fits}, {kind} {args[1]}, {kind} 0")
    shifted = e.value(f"shl {kind} {args[0]}, {count}")
    return e.value(f"select i1 {fits}, {kind} {shifted}, {kind} 0")


def _shr(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    kind = VALUE_TYPES[dtype]
    word = "ashr" if dtype in SIGNED else "lshr"
    if _in_range_shift(let.args[1], dtype):
        return e.value(f"{word} {kind} {args[0]}, {args[1]}")
    bits = 8 * BYTES[dtype]
    fits = e.value(f"icmp ult {kind} {args[1]}, {bits}")
    count = e.value(f"select i1 {fits}, {kind} {args[1]}, {kind} {bits - 1}")
    shifted = e.value(f"{word} {kind} {args[0]}, {count}")
    if dtype in SIGNED:
        return shifted
    return e.value(f"select i1 {fits}, {kind} {shifted}, {kind} 0")


def _select(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    kind = VALUE_TYPES[let.result.dtype]
    return e.value(f"select i1 {args[0]}, {kind} {args[1]}, {kind} {args[2]}")


def _double_to_half(e: Emitter, x: str) -> str:
    """f64 to f16 with one rounding: through an f32 rounded to odd (Boldo and Melquiond 2008)."""
    near = e.value(f"fptrunc double {x} to float")
    back = e.value(f"fpext float {near} to double")
    inexact = e.value(f"fcmp une double {back}, {x}")
    size = e.value(f"call double @llvm.fabs.f64(double {x})")
    back_size = e.value(f"call double @llvm.fabs.f64(double {back})")
    away = e.value(f"fcmp ogt double {back_size}, {size}")
    bits = e.value(f"bitcast float {near} to i32")
    toward_zero = e.value(f"add i32 {bits}, {e.value(f'sext i1 {away} to i32')}")
    sticky = e.value(f"or i32 {toward_zero}, {e.value(f'zext i1 {inexact} to i32')}")
    odd = e.value(f"bitcast i32 {sticky} to float")
    return e.value(f"fptrunc float {odd} to half")


def _float_to_int(e: Emitter, x: str, source: str, target: str) -> str:
    """Truncation as the processor does it; ``freeze`` makes out-of-range values merely arbitrary."""
    if source == "f16":
        source, x = "f32", e.value(f"fpext half {x} to float")
    kind = VALUE_TYPES[source]
    if target == "u64":  # values from 2**63 up are converted 2**63 lower
        top = constant_text(2.0**63, source)
        small = e.value(f"fcmp olt {kind} {x}, {top}")
        lower = e.value(f"fsub {kind} {x}, {top}")
        number = e.value(f"select i1 {small}, {kind} {x}, {kind} {lower}")
        number = e.value(f"fptosi {kind} {number} to i64")
        number = e.value(f"freeze i64 {number}")
        flip = e.value(f"select i1 {small}, i64 0, i64 {-(2**63)}")
        return e.value(f"xor i64 {number}, {flip}")
    through = "i32" if target in {"i8", "u8", "i16", "u16", "i32"} else "i64"
    number = e.value(f"fptosi {kind} {x} to {through}")
    number = e.value(f"freeze {through} {number}")
    wanted = VALUE_TYPES[target]
    return number if wanted == through else e.value(f"trunc {through} {number} to {wanted}")


def cast_text(e: Emitter, x: str, source: str, target: str) -> str:
    """``x`` of dtype ``source`` as ``target``, as NumPy's ``astype``."""
    have, want = VALUE_TYPES[source], VALUE_TYPES[target]
    if source == target:
        return x
    if target == "bool":
        if source in FLOATS:
            return e.value(f"fcmp une {have} {x}, {constant_text(0.0, source)}")
        return e.value(f"icmp ne {have} {x}, 0")
    if source in FLOATS and target in FLOATS:
        if (source, target) == ("f64", "f16"):
            return _double_to_half(e, x)
        word = "fpext" if BYTES[source] < BYTES[target] else "fptrunc"
        return e.value(f"{word} {have} {x} to {want}")
    if source in FLOATS:
        return _float_to_int(e, x, source, target)
    if target in FLOATS:
        word = "sitofp" if source in SIGNED else "uitofp"
        if target == "f16":
            return e.value(f"fptrunc float {e.value(f'{word} {have} {x} to float')} to half")
        return e.value(f"{word} {have} {x} to {want}")
    if source == "bool" or BYTES[source] < BYTES[target]:
        return e.value(f"{'sext' if source in SIGNED else 'zext'} {have} {x} to {want}")
    if BYTES[source] > BYTES[target]:
        return e.value(f"trunc {have} {x} to {want}")
    return x


def _cast(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    return cast_text(e, args[0], dtype, let.result.dtype)


def _bitcast(e: Emitter, let: Let, dtype: str, args: list[str]) -> str:
    have, want = VALUE_TYPES[dtype], VALUE_TYPES[let.result.dtype]
    return args[0] if have == want else e.value(f"bitcast {have} {args[0]} to {want}")


_EMITTERS: dict[str, Callable[[Emitter, Let, str, list[str]], str]] = {
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
    "select": _select,
    "cast": _cast,
    "bitcast": _bitcast,
}


def instruction(e: Emitter, let: Let, args: list[str]) -> str:
    """Emit one Let whose row is an instruction or an intrinsic; the text of its result."""
    return _EMITTERS[let.op](e, let, let.args[0].dtype, args)
