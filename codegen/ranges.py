"""Which values integers of the loop IR can take: intervals of Vars and of buffer indices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from ..records import record
from .ir import BYTES, Block, Const, Index, Let, Operand, Var, walk
from .scalars import INTS, UNSIGNED

__all__ = [
    "LIMITS", "Range", "default_range", "index_range", "let_range", "loop_range", "most_trips",
    "upper_bounds",
]  # fmt: skip

#: integer dtype -> (least, greatest value)
LIMITS: dict[str, tuple[int, int]] = {
    name: (0, 2 ** (8 * BYTES[name]) - 1)
    if name in UNSIGNED
    else (-(2 ** (8 * BYTES[name] - 1)), 2 ** (8 * BYTES[name] - 1) - 1)
    for name in sorted(INTS)
}

#: loop: takes every value of the interval, independently of other loop variables.
#: derived: computed from loop variables, so tied to them; the interval may be too wide.
#: data: from memory, sizes or carried values; the interval says little.
#: clamped: data forced into the interval by minimum, maximum, mod or and.
Kind = Literal["loop", "derived", "data", "clamped"]
Bound = int | float  # a float only for -inf and inf: unknown


@record(frozen=True, slots=True)
class Range:
    """``low <= value <= high``; ``kind`` says whether both ends are meant to be reached."""

    low: Bound
    high: Bound
    kind: Kind

    @property
    def tight(self) -> bool:
        """Whether the ends, where known, are reached, as far as one variable can tell."""
        return self.kind in ("loop", "clamped")


ANYTHING = Range(-math.inf, math.inf, "data")


def default_range(dtype: str) -> Range:
    """What a dtype alone says. A 64-bit integer says nothing."""
    if dtype == "bool":
        return Range(0, 1, "data")
    if dtype not in LIMITS or BYTES[dtype] == 8:
        return ANYTHING
    return Range(*LIMITS[dtype], "data")


def loop_range(extent: int | Operand) -> Range:
    """The values of a loop's variable; ``high < low`` when it never runs."""
    if isinstance(extent, Const):
        extent = int(extent.value)
    return Range(0, extent - 1 if isinstance(extent, int) else math.inf, "loop")


def index_range(index: Index, ranges: Mapping[Var, Range | None]) -> tuple[Bound, Bound, bool]:
    """(low, high, tight) of a buffer index. Tight: a known end is reached by some iteration.

    Exact for sums of distinct loop variables and clamped values; not tight as soon as a term's own
    interval is not, or a variable stands in two terms."""
    low: Bound = index.offset
    high: Bound = index.offset
    tight = True
    seen: set[Var] = set()
    for var, coefficient in index.terms:
        known = ranges.get(var) or ANYTHING
        tight = tight and known.tight and var not in seen
        seen.add(var)
        if coefficient > 0:
            low += coefficient * known.low
            high += coefficient * known.high
        elif coefficient < 0:
            low += coefficient * known.high
            high += coefficient * known.low
    return low, high, tight


def let_range(let: Let, ranges: Mapping[Var, Range | None]) -> Range:
    """The interval of an integer Let's result from those of its arguments."""
    default = default_range(let.result.dtype)
    args = [_operand_range(a, ranges) for a in let.args]
    found: tuple[Bound, Bound] | None = None
    match let.op, args:
        case "cast", [a] if let.args[0].dtype in INTS or let.args[0].dtype == "bool":
            if let.result.dtype == let.args[0].dtype == "i64":
                return a
            return _fitted(a.low, a.high, a.kind, let.result.dtype)
        case "select", [_, a, b]:
            found = min(a.low, b.low), max(a.high, b.high)
        case (("minimum" | "maximum" as op), [a, b]):
            pick = min if op == "minimum" else max
            return Range(pick(a.low, b.low), pick(a.high, b.high), _clamped_kind(args))
        case "floordiv", [a, b] if b.low == b.high and 0 < b.low < math.inf:
            ends = [x if math.isinf(x) else x // b.low for x in (a.low, a.high)]
            return Range(ends[0], ends[1], _arithmetic_kind(let, args))
        case "mod", [_, b] if b.low == b.high and 0 < b.low < math.inf:
            return Range(0, b.low - 1, _clamped_kind(args))
        case "and", [_, b] if b.low == b.high and 0 <= b.low < math.inf:
            return Range(0, b.low, _clamped_kind(args))
        case _ if any(math.isinf(end) for a in args for end in (a.low, a.high)):
            pass  # it may wrap around
        case "add", [a, b]:
            found = a.low + b.low, a.high + b.high
        case "sub", [a, b]:
            found = a.low - b.high, a.high - b.low
        case "neg", [a]:
            found = -a.high, -a.low
        case "mul", [a, b]:
            found = _product(a, b)
    if found is None:
        kind: Kind = "derived" if _from_loops(args) else "data"
        return Range(default.low, default.high, kind)
    return _fitted(*found, _arithmetic_kind(let, args), let.result.dtype)


def _operand_range(operand: Operand, ranges: Mapping[Var, Range | None]) -> Range:
    if isinstance(operand, Const):
        if operand.dtype not in INTS:
            return ANYTHING
        return Range(int(operand.value), int(operand.value), "clamped")
    return ranges.get(operand) or default_range(operand.dtype)


def _product(a: Range, b: Range) -> tuple[Bound, Bound]:
    ends = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    return min(ends), max(ends)


def _from_loops(args: list[Range]) -> bool:
    return any(a.kind in ("loop", "derived") for a in args)


def _clamped_kind(args: list[Range]) -> Kind:
    return "derived" if _from_loops(args) else "clamped"


def _arithmetic_kind(let: Let, args: list[Range]) -> Kind:
    """Shifting one clamped value by constants keeps it clamped; anything else ties values."""
    if _from_loops(args):
        return "derived"
    variables = [a for a in let.args if not isinstance(a, Const)]
    if len(variables) == 1 and let.op != "select" and all(a.kind == "clamped" for a in args):
        return "clamped"
    return "data"


def _fitted(low: Bound, high: Bound, kind: Kind, dtype: str) -> Range:
    """The interval, or what the dtype says where the value may wrap around."""
    least, greatest = LIMITS.get(dtype, (-math.inf, math.inf))
    if least <= low and high <= greatest:
        return Range(low, high, kind)
    default = default_range(dtype)
    return Range(default.low, default.high, "derived" if kind in ("loop", "derived") else "data")


def upper_bounds(block: Block) -> dict[Var, int]:
    """What integers that a ``minimum`` with a literal computes are at most: the lengths of the
    pieces of a loop, the last of which is shorter."""
    return {
        s.result: int(a.value)
        for s in walk(block)
        if isinstance(s, Let) and s.op == "minimum" and s.result.dtype == "i64"
        for a in s.args
        if isinstance(a, Const)
    }


def most_trips(extent: int | Operand, bounds: Mapping[Var, int], unknown: int) -> int:
    """How many iterations a loop of this extent runs at most, as far as ``bounds`` tell."""
    if isinstance(extent, Const):
        return int(extent.value)
    return bounds.get(extent, unknown) if isinstance(extent, Var) else extent
