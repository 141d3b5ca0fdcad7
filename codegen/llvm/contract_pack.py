"""Copies of operands as the inner loops of contractions read them: panels with k outside.

Each function here writes one LLVM function into the module, once for each set of parameters, and
answers its name. Strides are in bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...records import record
from ...thresholds import thresholds
from ..ir import BYTES
from .contract_values import convert, masks, offset
from .instructions import constant_text, memory_type
from .masked import masked_load, masked_store
from .types import vector_type

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["SQUARE", "PackKernel", "pack_kernel", "transposed"]

#: side of the square blocks that are transposed in registers
SQUARE = 8


@record(frozen=True, slots=True)
class PackKernel:
    """``to[k, n] = from[k, n]`` for n < columns, with rows of ``width`` elements in ``to``.

    ``way``: "rows" when columns lie side by side in ``from``, "transpose" when k does (through
    registers, in squares; may write up to ``SQUARE - 1`` rows past k), "elements" for anything
    else. Columns past the last repeat it or are 0: whatever was in memory might be slow to compute
    with. ``whole`` says that all panels have all their columns, ``squares`` that their terms are
    whole squares: less code does."""

    way: str
    source: str
    target: str
    width: int
    lanes: int
    whole: bool = False
    squares: bool = False


def pack_kernel(e: Emitter, kernel: PackKernel) -> str:
    """The name of the function

    ``void (ptr from, i64 fk, i64 fn, ptr to, i64 k, i64 columns, i64 panel)``. Only the way "rows"
    copies more columns than one panel has, to panels so many bytes apart."""
    pointer = "ptr noalias nocapture noundef"
    parameters = (
        f"{pointer} readonly %from, i64 %fk, i64 %fn, {pointer} %to, i64 %k, i64 %columns, "
        "i64 %panel"
    )
    hint = f"pack_{kernel.way}_{kernel.target}_{kernel.width}"
    body = {"rows": _pack_rows, "transpose": _pack_transposed, "elements": _pack_elements}
    return e.kernel_function(kernel, hint, parameters, lambda e: body[kernel.way](e, kernel))


def _pack_rows(e: Emitter, kernel: PackKernel) -> None:
    """Row by row through all panels: what lies side by side is read together."""
    dtype, lanes, width = kernel.source, kernel.lanes, kernel.width
    size, vectors = BYTES[dtype], -(-width // lanes)
    whole = e.value(f"udiv i64 %columns, {width}", "n")
    full = masks(e, str(width), vectors, lanes)
    if not kernel.whole:
        rest = e.value(f"urem i64 %columns, {width}", "n")
        some = e.value(f"zext i1 {e.value(f'icmp ne i64 {rest}, 0')} to i64", "n")
        last = masks(e, rest, vectors, lanes)
    full = [m if (v + 1) * lanes > width else "" for v, m in enumerate(full)]

    def row(k: str, carried: list[str]) -> list[str]:
        def panel(_: str, places: list[str], mask: list[str]) -> list[str]:
            start, end = places
            for v in range(vectors):
                here = offset(e, start, v * lanes * size)
                loaded = masked_load(e, here, mask[v], lanes, dtype)
                masked_store(e, loaded, offset(e, end, v * lanes * size), full[v], lanes, dtype)
            return [offset(e, start, width * size), offset(e, end, "%panel")]

        def panels(extent: str, places: list[str], mask: list[str]) -> list[str]:
            inits = [("ptr", p) for p in places]
            return e.counted_loop(extent, lambda i, p: panel(i, p, mask), inits=inits, hint="panel")

        places = panels(whole, carried, full)
        if not kernel.whole:
            panels(some, places, last)
        return [offset(e, carried[0], "%fk"), offset(e, carried[1], width * size)]

    e.counted_loop("%k", row, inits=[("ptr", "%from"), ("ptr", "%to")], hint="k")


def _pack_elements(e: Emitter, kernel: PackKernel) -> None:
    source, target = kernel.source, kernel.target
    have, want = memory_type(source), memory_type(target)

    def row(k: str, _: list[str]) -> list[str]:
        start = offset(e, "%from", e.value(f"mul i64 {k}, %fk", "x"))
        end = offset(e, "%to", e.value(f"mul i64 {k}, {kernel.width * BYTES[target]}", "x"))

        def element(n: str, _: list[str]) -> list[str]:
            inside = e.value(f"icmp slt i64 {n}, %columns")
            at = e.value(f"select i1 {inside}, i64 {n}, i64 0", "n")
            place = offset(e, start, e.value(f"mul i64 {at}, %fn", "x"))
            value = e.value(f"load {have}, ptr {place}, align {BYTES[source]}", "v")
            value = convert(e, value, 0, source, target)
            nothing = constant_text(0, target)
            value = e.value(f"select i1 {inside}, {want} {value}, {want} {nothing}", "v")
            goal = e.value(f"getelementptr {want}, ptr {end}, i64 {n}", "p")
            e.line(f"store {want} {value}, ptr {goal}, align {BYTES[target]}")
            return []

        e.counted_loop(kernel.width, element, hint="n")
        return []

    e.counted_loop("%k", row, hint="k")


def _pack_transposed(e: Emitter, kernel: PackKernel) -> None:
    """Square blocks through registers, for a chunk of terms the last columns first: their stores
    may go past the end of a row, over the beginning of the next."""
    dtype, width = kernel.source, kernel.width
    size, groups = BYTES[dtype], -(-width // SQUARE)
    clamped = not kernel.whole or width % SQUARE
    last = e.value("sub i64 %columns, 1", "n") if clamped else ""
    most = thresholds.pack_terms
    chunks = e.value(f"udiv i64 {e.value(f'add i64 %k, {most - 1}', 'n')}, {most}", "n")

    def chunk(c: str, _: list[str]) -> list[str]:
        first = e.value(f"mul i64 {c}, {most}", "k")
        left = e.value(f"sub i64 %k, {first}", "n")
        left = e.value(f"call i64 @llvm.smin.i64(i64 {left}, i64 {most})", "n")
        blocks = e.value(f"udiv i64 {e.value(f'add i64 {left}, {SQUARE - 1}', 'n')}, {SQUARE}", "n")
        start = offset(e, "%from", e.value(f"mul i64 {first}, {size}", "x"))
        end = offset(e, "%to", e.value(f"mul i64 {first}, {width * size}", "x"))

        def group(g: str, _: list[str]) -> list[str]:
            column = e.value(f"sub i64 {groups - 1}, {g}", "n")
            column = e.value(f"mul i64 {column}, {SQUARE}", "n")
            goal = offset(e, end, e.value(f"mul i64 {column}, {size}", "x"))
            sources = []
            for n in range(SQUARE):
                at = e.value(f"add i64 {column}, {n}", "n")
                if clamped:
                    at = e.value(f"call i64 @llvm.smin.i64(i64 {at}, i64 {last})", "n")
                sources.append(offset(e, start, e.value(f"mul i64 {at}, %fn", "x")))

            def block(k: str, _: list[str]) -> list[str]:
                done = e.value(f"mul i64 {k}, {SQUARE}", "k")
                mask = ""
                if not kernel.squares or most % SQUARE:
                    (mask,) = masks(e, e.value(f"sub i64 {left}, {done}", "n"), 1, SQUARE)
                along = e.value(f"mul i64 {done}, {size}", "x")
                here = offset(e, goal, e.value(f"mul i64 {done}, {width * size}", "x"))
                rows = [masked_load(e, offset(e, p, along), mask, SQUARE, dtype) for p in sources]
                kind = vector_type(SQUARE, dtype)
                for n, row in enumerate(transposed(e, rows, dtype)):
                    place = offset(e, here, n * width * size)
                    e.line(f"store {kind} {row}, ptr {place}, align {size}")
                return []

            e.counted_loop(blocks, block, hint="k")
            return []

        e.counted_loop(groups, group, hint="g")
        return []

    e.counted_loop(chunks, chunk, hint="c")


def transposed(e: Emitter, rows: list[str], dtype: str) -> list[str]:
    """A square block transposed by exchanging off-diagonal quarters, halves first (Eklundh, "A fast
    computer method for matrix transposing", IEEE Trans. Computers C-21, 1972)."""
    side = len(rows)
    kind = vector_type(side, dtype)
    rows = list(rows)
    step = side // 2
    while step:
        upper = [c if not c & step else side + c - step for c in range(side)]
        lower = [c + step if not c & step else side + c for c in range(side)]
        for i in range(side):
            if i & step:
                continue
            one, other = rows[i], rows[i + step]
            for at, choice in ((i, upper), (i + step, lower)):
                numbers = ", ".join(f"i32 {c}" for c in choice)
                rows[at] = e.value(
                    f"shufflevector {kind} {one}, {kind} {other}, <{side} x i32> <{numbers}>", "t"
                )
        step //= 2
    return rows
