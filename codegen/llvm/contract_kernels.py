"""The inner loops of contractions: register tiles, rows of dot products, packing of panels.

Each function here writes one LLVM function into the module, once for each set of parameters, and
answers its name; strides are arguments, so contractions of different shapes share them. Strides are
in bytes.

The register tile follows Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
(ACM TOMS 34, 2008): ``rows`` by ``vectors`` accumulators stay in registers while k runs; each step
loads the vectors of b and adds to every row its element of a times them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir import BYTES
from ..scalars import FLOATS, SIGNED
from .instructions import constant_text, memory_type

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = [
    "DotKernel",
    "PackKernel",
    "TileKernel",
    "copy_kernel",
    "dot_kernel",
    "pack_kernel",
    "tile_kernel",
]

#: rows addressed from one pointer: x86 reaches p, p + s and p + 2s without extra instructions
_GROUP = 3


@dataclass(frozen=True, slots=True)
class TileKernel:
    """``c[rows, columns] (+)= a[rows, k] @ b[k, columns]`` for up to ``vectors * lanes`` columns.

    ``a`` and ``b`` are the operands' dtypes, ``acc`` that of the sum and of ``c``. Columns lie side
    by side in b and c. With ``adds`` c is added to the sum when the argument ``more`` is 1. With
    ``a_row`` the rows of a are that many bytes apart, whatever the argument says: tiles one vector
    wide do so little with each row that adding up its address would take longer. Without
    ``masks_b`` (``masks_c``) rows of b (of c) may be read (written) past the columns in use."""

    a: str
    b: str
    acc: str
    rows: int
    vectors: int
    lanes: int
    adds: bool = False
    a_row: int = 0
    masks_b: bool = False
    masks_c: bool = False

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes


@dataclass(frozen=True, slots=True)
class DotKernel:
    """``c[rows, columns] (+)= a[rows, k] @ b[columns, k]^T``, k side by side in both operands.

    Sums are kept in ``rows * columns * depth`` vectors along k and added up at the end. With
    ``adds`` c is added to the sum when the argument ``more`` is 1. The last few terms are one
    vector under a mask, or without ``masks`` taken singly."""

    a: str
    b: str
    acc: str
    rows: int
    columns: int
    depth: int
    lanes: int
    adds: bool = False
    masks: bool = True


def _vector(lanes: int, dtype: str) -> str:
    return f"<{lanes} x {memory_type(dtype)}>"


def _suffix(lanes: int, dtype: str) -> str:
    kind = memory_type(dtype)
    count = f"v{lanes}" if lanes else ""
    return count + {"half": "f16", "float": "f32", "double": "f64"}.get(kind, kind)


def splat(e: Emitter, value: str, lanes: int, kind: str) -> str:
    """A vector of equal elements of an LLVM type."""
    vector = f"<{lanes} x {kind}>"
    one = e.value(f"insertelement {vector} poison, {kind} {value}, i64 0", "s")
    zeros = f"<{lanes} x i32> zeroinitializer"
    return e.value(f"shufflevector {vector} {one}, {vector} poison, {zeros}", "s")


def convert(e: Emitter, value: str, lanes: int, source: str, target: str) -> str:
    """A vector (or with ``lanes`` 0 a scalar) as loaded from memory, widened to ``target``."""
    if source == target:
        return value
    have = memory_type(source) if not lanes else _vector(lanes, source)
    want = memory_type(target) if not lanes else _vector(lanes, target)
    if source in FLOATS:
        word = "fpext"
    elif target in FLOATS:
        word = "sitofp" if source in SIGNED else "uitofp"
    elif BYTES[source] == BYTES[target]:
        return value
    else:
        word = "sext" if source in SIGNED else "zext"
    return e.value(f"{word} {have} {value} to {want}", "w")


def multiply_add(e: Emitter, x: str, y: str, total: str, lanes: int, dtype: str) -> str:
    """``x * y + total``: one rounding for floats where the machine can, wrapping for integers."""
    vector = _vector(lanes, dtype) if lanes else memory_type(dtype)
    if dtype in FLOATS:
        name = f"@llvm.fmuladd.{_suffix(lanes, dtype)}"
        return e.value(f"call {vector} {name}({vector} {x}, {vector} {y}, {vector} {total})", "f")
    term = e.value(f"mul {vector} {x}, {y}", "f")
    return e.value(f"add {vector} {total}, {term}", "f")


def zero(lanes: int, dtype: str) -> str:
    return "zeroinitializer" if lanes else constant_text(0, dtype)


def masks(e: Emitter, count: str, vectors: int, lanes: int) -> list[str]:
    """For each vector a mask of the lanes whose number is below ``count`` (an i64)."""
    short = e.value(f"trunc i64 {count} to i32", "n")
    many = splat(e, short, lanes, "i32")
    found = []
    for v in range(vectors):
        numbers = ", ".join(f"i32 {v * lanes + n}" for n in range(lanes))
        found.append(e.value(f"icmp ugt <{lanes} x i32> {many}, <{numbers}>", "mask"))
    return found


def masked_load(e: Emitter, pointer: str, mask: str, lanes: int, dtype: str) -> str:
    """The elements that the mask selects, 0 elsewhere; without a mask all of them."""
    if not mask:
        return e.value(f"load {_vector(lanes, dtype)}, ptr {pointer}, align {BYTES[dtype]}", "v")
    vector, name = _vector(lanes, dtype), f"@llvm.masked.load.{_suffix(lanes, dtype)}.p0"
    bits = f"<{lanes} x i1>"
    _declare(e, f"declare {vector} {name}(ptr, i32 immarg, {bits}, {vector})")
    arguments = f"ptr {pointer}, i32 {BYTES[dtype]}, {bits} {mask}, {vector} zeroinitializer"
    return e.value(f"call {vector} {name}({arguments})", "v")


def masked_store(e: Emitter, value: str, pointer: str, mask: str, lanes: int, dtype: str) -> None:
    """Store the elements that the mask selects; without a mask all of them."""
    if not mask:
        kind = _vector(lanes, dtype)
        e.line(f"store {kind} {value}, ptr {pointer}, align {BYTES[dtype]}")
        return
    vector, name = _vector(lanes, dtype), f"@llvm.masked.store.{_suffix(lanes, dtype)}.p0"
    bits = f"<{lanes} x i1>"
    _declare(e, f"declare void {name}({vector}, ptr, i32 immarg, {bits})")
    e.line(f"call void {name}({vector} {value}, ptr {pointer}, i32 {BYTES[dtype]}, {bits} {mask})")


def _declare(e: Emitter, text: str) -> None:
    """Declare an intrinsic once; spelled out, so that LLVM accepts its older signatures too."""
    if text not in e.helpers:
        e.helpers[text] = text
        e.add_function(text)


def offset(e: Emitter, pointer: str, amount: str | int) -> str:
    """A pointer so many bytes on."""
    if str(amount) == "0":
        return pointer
    return e.value(f"getelementptr i8, ptr {pointer}, i64 {amount}", "p")


def _row_pointers(e: Emitter, bases: list[str], stride: str, twice: str, rows: int) -> list[str]:
    found = []
    for row in range(rows):
        base, step = bases[row // _GROUP], row % _GROUP
        found.append(base if step == 0 else offset(e, base, stride if step == 1 else twice))
    return found


def _group_bases(e: Emitter, pointer: str, stride: str, rows: int) -> list[str]:
    bases = [pointer]
    for row in range(_GROUP, rows, _GROUP):
        bases.append(offset(e, pointer, e.value(f"mul nsw i64 {stride}, {row}", "x")))
    return bases


def tile_kernel(e: Emitter, kernel: TileKernel) -> str:
    """The name of the function

    ``void (ptr a, i64 am, i64 ak, ptr b, i64 bk, ptr c, i64 cm, i64 k, i64 columns, i1 more)``."""
    if kernel in e.helpers:
        return e.helpers[kernel]
    name = e.global_name(f"tile_{kernel.acc}_{kernel.rows}x{kernel.columns}")
    e.helpers[kernel] = name
    pointer = "ptr noalias nocapture noundef"
    header = (
        f"define internal void {name}({pointer} readonly %a, i64 %am, i64 %ak, "
        f"{pointer} readonly %b, i64 %bk, {pointer} %c, i64 %cm, "
        f"i64 %k, i64 %columns, i1 %more)"
    )
    with e.function(header, attributes="#2"):
        _tile_body(e, kernel)
        e.line("ret void")
    return name


def _tile_body(e: Emitter, kernel: TileKernel) -> None:
    rows, vectors, lanes, acc = kernel.rows, kernel.vectors, kernel.lanes, kernel.acc
    width = lanes * BYTES[acc]
    mask = [""] * vectors
    if kernel.masks_b or kernel.masks_c:
        mask = masks(e, "%columns", vectors, lanes)
    mask_b = mask if kernel.masks_b else [""] * vectors
    mask_c = mask if kernel.masks_c else [""] * vectors
    twice = e.value("shl i64 %am, 1", "x") if rows > 2 else "0"
    places = [
        offset(e, row, v * width) for row in _each_row(e, "%c", "%cm", rows) for v in range(vectors)
    ]
    if kernel.adds:
        for place in places:  # c is needed at the end: fetch it meanwhile
            e.line(f"call void @llvm.prefetch.p0(ptr {place}, i32 1, i32 3, i32 1)")
    bases = ["%a"] if kernel.a_row else _group_bases(e, "%a", "%am", rows)

    def step(i: str, carried: list[str]) -> list[str]:
        pointers, b, sums = carried[: len(bases)], carried[len(bases)], carried[len(bases) + 1 :]
        columns = []
        for v in range(vectors):
            place = offset(e, b, v * lanes * BYTES[kernel.b])
            loaded = masked_load(e, place, mask_b[v], lanes, kernel.b)
            columns.append(convert(e, loaded, lanes, kernel.b, acc))
        following = []
        if kernel.a_row:
            each = [offset(e, pointers[0], row * kernel.a_row) for row in range(rows)]
        else:
            each = _row_pointers(e, pointers, "%am", twice, rows)
        for row, place in enumerate(each):
            x = e.value(f"load {memory_type(kernel.a)}, ptr {place}, align {BYTES[kernel.a]}", "x")
            x = splat(e, convert(e, x, 0, kernel.a, acc), lanes, memory_type(acc))
            for v in range(vectors):
                total = sums[row * vectors + v]
                following.append(multiply_add(e, x, columns[v], total, lanes, acc))
        return [*(offset(e, p, "%ak") for p in pointers), offset(e, b, "%bk"), *following]

    inits = [*(("ptr", p) for p in bases), ("ptr", "%b")]
    inits += [(_vector(lanes, acc), zero(lanes, acc))] * (rows * vectors)
    sums = e.counted_loop("%k", step, inits=inits, hint="k")[len(bases) + 1 :]
    vector = _vector(lanes, acc)
    for n, (place, total) in enumerate(zip(places, sums, strict=True)):
        if kernel.adds:
            old = masked_load(e, place, mask_c[n % vectors], lanes, acc)
            old = e.value(f"select i1 %more, {vector} {old}, {vector} zeroinitializer", "v")
            total = add(e, old, total, lanes, acc)
        masked_store(e, total, place, mask_c[n % vectors], lanes, acc)


def add(e: Emitter, x: str, y: str, lanes: int, dtype: str) -> str:
    """``x + y``."""
    word = "fadd" if dtype in FLOATS else "add"
    return e.value(f"{word} {_vector(lanes, dtype)} {x}, {y}", "f")


def _each_row(e: Emitter, pointer: str, stride: str, rows: int) -> list[str]:
    found = [pointer]
    for _ in range(rows - 1):
        found.append(offset(e, found[-1], stride))
    return found


def dot_kernel(e: Emitter, kernel: DotKernel) -> str:
    """The name of the function

    ``void (ptr a, i64 am, ptr b, i64 bn, ptr c, i64 cm, i64 cn, i64 k, i1 more)``."""
    if kernel in e.helpers:
        return e.helpers[kernel]
    name = e.global_name(f"dot_{kernel.acc}_{kernel.rows}x{kernel.columns}")
    e.helpers[kernel] = name
    pointer = "ptr noalias nocapture noundef"
    header = (
        f"define internal void {name}({pointer} readonly %a, i64 %am, {pointer} readonly %b, "
        f"i64 %bn, {pointer} %c, i64 %cm, i64 %cn, i64 %k, i1 %more)"
    )
    with e.function(header, attributes="#2"):
        _dot_body(e, kernel)
        e.line("ret void")
    return name


def _dot_body(e: Emitter, kernel: DotKernel) -> None:
    rows, columns, depth, lanes, acc = (
        kernel.rows, kernel.columns, kernel.depth, kernel.lanes, kernel.acc,
    )  # fmt: skip
    step = depth * lanes
    bases = [*_each_row(e, "%a", "%am", rows), *_each_row(e, "%b", "%bn", columns)]
    sizes = [BYTES[kernel.a]] * rows + [BYTES[kernel.b]] * columns

    def body(i: str, carried: list[str]) -> list[str]:
        pointers, sums = carried[: len(bases)], carried[len(bases) :]
        following = _dot_terms(e, kernel, pointers, sums, [""] * depth)
        moved = [offset(e, p, step * size) for p, size in zip(pointers, sizes, strict=True)]
        return [*moved, *following]

    whole = e.value(f"udiv i64 %k, {step}", "n")
    left = e.value(f"urem i64 %k, {step}", "n")
    inits = [("ptr", p) for p in bases]
    inits += [(_vector(lanes, acc), zero(lanes, acc))] * (rows * columns * depth)
    results = e.counted_loop(whole, body, inits=inits, hint="k")
    bases, sums = results[: len(bases)], results[len(bases) :]
    if kernel.masks:
        sums = _dot_terms(e, kernel, bases, sums, masks(e, left, depth, lanes))
    totals = [
        _total(e, sums[n : n + depth], lanes, acc) for n in range(0, rows * columns * depth, depth)
    ]
    if not kernel.masks:
        totals = _dot_rest(e, kernel, bases, totals, left)
    for n, total in enumerate(totals):
        row, column = divmod(n, columns)
        place = offset(e, "%c", e.value(f"mul i64 %cm, {row}", "x") if row else 0)
        place = offset(e, place, e.value(f"mul i64 %cn, {column}", "x") if column else 0)
        _store_total(e, total, place, kernel)


def _dot_terms(
    e: Emitter, kernel: DotKernel, pointers: list[str], sums: list[str], mask: list[str]
) -> list[str]:
    """The sums after ``depth`` vectors more of every row and column."""
    rows, columns, depth, lanes = kernel.rows, kernel.columns, kernel.depth, kernel.lanes
    following = list(sums)
    for d in range(depth):
        vectors = []
        for n, pointer in enumerate(pointers):
            source = kernel.a if n < rows else kernel.b
            place = offset(e, pointer, d * lanes * BYTES[source])
            loaded = masked_load(e, place, mask[d], lanes, source)
            vectors.append(convert(e, loaded, lanes, source, kernel.acc))
        for n in range(rows * columns):
            x, y = vectors[n // columns], vectors[rows + n % columns]
            at = n * depth + d
            following[at] = multiply_add(e, x, y, following[at], lanes, kernel.acc)
    return following


def _dot_rest(
    e: Emitter, kernel: DotKernel, pointers: list[str], totals: list[str], left: str
) -> list[str]:
    """The totals after the last ``left`` terms, one at a time."""
    rows, columns, acc = kernel.rows, kernel.columns, kernel.acc

    def body(i: str, carried: list[str]) -> list[str]:
        values = []
        for n, pointer in enumerate(pointers):
            source = kernel.a if n < rows else kernel.b
            kind = memory_type(source)
            place = e.value(f"getelementptr {kind}, ptr {pointer}, i64 {i}", "p")
            loaded = e.value(f"load {kind}, ptr {place}, align {BYTES[source]}", "v")
            values.append(convert(e, loaded, 0, source, acc))
        return [
            multiply_add(e, values[n // columns], values[rows + n % columns], total, 0, acc)
            for n, total in enumerate(carried)
        ]

    inits = [(memory_type(acc), total) for total in totals]
    return e.counted_loop(left, body, inits=inits, hint="k")


def _store_total(e: Emitter, total: str, place: str, kernel: DotKernel) -> None:
    kind, align = memory_type(kernel.acc), BYTES[kernel.acc]
    if kernel.adds:
        before = e.value(f"load {kind}, ptr {place}, align {align}", "v")
        nothing = constant_text(0, kernel.acc)
        before = e.value(f"select i1 %more, {kind} {before}, {kind} {nothing}", "v")
        word = "fadd" if kernel.acc in FLOATS else "add"
        total = e.value(f"{word} {kind} {before}, {total}", "v")
    e.line(f"store {kind} {total}, ptr {place}, align {align}")


def _total(e: Emitter, sums: list[str], lanes: int, acc: str) -> str:
    """The sum of all elements of a few vectors: vectors pairwise, then lanes in a fixed tree."""
    vector, kind, is_float = _vector(lanes, acc), memory_type(acc), acc in FLOATS
    while len(sums) > 1:
        pairs = [sums[i : i + 2] for i in range(0, len(sums), 2)]
        word = "fadd" if is_float else "add"
        sums = [
            e.value(f"{word} {vector} {p[0]}, {p[1]}", "f") if len(p) == 2 else p[0] for p in pairs
        ]
    name = f"@llvm.vector.reduce.{'f' if is_float else ''}add.{_suffix(lanes, acc)}"
    start = f"{kind} {constant_text(-0.0, acc)}, " if is_float else ""
    flags = "reassoc " if is_float else ""
    return e.value(f"call {flags}{kind} {name}({start}{vector} {sums[0]})", "total")


def copy_kernel(e: Emitter, dtype: str, lanes: int) -> str:
    """The name of a function that copies ``rows`` rows of ``count`` elements:

    ``void (ptr from, i64 from_step, ptr to, i64 to_step, i64 rows, i64 count)``. It may write up to
    ``lanes - 1`` elements past each row of ``to``."""
    key = ("copy", dtype, lanes)
    if key in e.helpers:
        return e.helpers[key]
    name = e.global_name(f"copy_rows_{dtype}")
    e.helpers[key] = name
    pointer = "ptr noalias nocapture noundef"
    header = (
        f"define internal void {name}({pointer} readonly %from, i64 %from_step, "
        f"{pointer} %to, i64 %to_step, i64 %rows, i64 %count)"
    )
    size, vector = BYTES[dtype], _vector(lanes, dtype)
    with e.function(header, attributes="#2"):
        whole = e.value(f"udiv i64 %count, {lanes}", "n")
        (mask,) = masks(e, e.value(f"urem i64 %count, {lanes}", "n"), 1, lanes)

        def row(r: str, carried: list[str]) -> list[str]:
            start, end = carried

            def step(i: str, _: list[str]) -> list[str]:
                here = e.value(f"mul i64 {i}, {lanes * size}", "x")
                loaded = e.value(f"load {vector}, ptr {offset(e, start, here)}, align {size}", "v")
                e.line(f"store {vector} {loaded}, ptr {offset(e, end, here)}, align {size}")
                return []

            e.counted_loop(whole, step)
            here = e.value(f"mul i64 {whole}, {lanes * size}", "x")
            loaded = masked_load(e, offset(e, start, here), mask, lanes, dtype)
            masked_store(e, loaded, offset(e, end, here), mask, lanes, dtype)
            return [offset(e, start, "%from_step"), offset(e, end, "%to_step")]

        e.counted_loop("%rows", row, inits=[("ptr", "%from"), ("ptr", "%to")], hint="row")
        e.line("ret void")
    return name


@dataclass(frozen=True, slots=True)
class PackKernel:
    """``to[k, n] = from[k, n]`` for n < columns, with rows of ``width`` elements in ``to``.

    ``way``: "rows" when columns lie side by side in ``from`` (may write up to ``lanes - 1`` more
    elements than a row, in order of rows), "transpose" when k does (through registers, in squares;
    may write up to ``_SQUARE - 1`` rows past k), "elements" for anything else."""

    way: str
    source: str
    target: str
    width: int
    lanes: int


def pack_kernel(e: Emitter, kernel: PackKernel) -> str:
    """The name of the function

    ``void (ptr from, i64 fk, i64 fn, ptr to, i64 k, i64 columns)``."""
    if kernel in e.helpers:
        return e.helpers[kernel]
    name = e.global_name(f"pack_{kernel.way}_{kernel.target}_{kernel.width}")
    e.helpers[kernel] = name
    pointer = "ptr noalias nocapture noundef"
    header = (
        f"define internal void {name}({pointer} readonly %from, i64 %fk, i64 %fn, "
        f"{pointer} %to, i64 %k, i64 %columns)"
    )
    bodies = {"rows": _pack_rows, "transpose": _pack_transposed, "elements": _pack_elements}
    with e.function(header, attributes="#2"):
        bodies[kernel.way](e, kernel)
        e.line("ret void")
    return name


#: side of the square blocks that are transposed in registers
_SQUARE = 8


def _pack_rows(e: Emitter, kernel: PackKernel) -> None:
    dtype, lanes = kernel.source, kernel.lanes
    size = BYTES[dtype]
    vectors = -(-kernel.width // lanes)
    mask = masks(e, "%columns", vectors, lanes)

    def row(k: str, carried: list[str]) -> list[str]:
        start, end = carried
        for v in range(vectors):
            loaded = masked_load(e, offset(e, start, v * lanes * size), mask[v], lanes, dtype)
            place = offset(e, end, v * lanes * size)
            e.line(f"store {_vector(lanes, dtype)} {loaded}, ptr {place}, align {size}")
        return [offset(e, start, "%fk"), offset(e, end, kernel.width * size)]

    e.counted_loop("%k", row, inits=[("ptr", "%from"), ("ptr", "%to")], hint="k")


def _pack_elements(e: Emitter, kernel: PackKernel) -> None:
    source, target = kernel.source, kernel.target
    have, want = memory_type(source), memory_type(target)

    def row(k: str, _: list[str]) -> list[str]:
        start = offset(e, "%from", e.value(f"mul i64 {k}, %fk", "x"))
        end = offset(e, "%to", e.value(f"mul i64 {k}, {kernel.width * BYTES[target]}", "x"))

        def element(n: str, _: list[str]) -> list[str]:
            place = offset(e, start, e.value(f"mul i64 {n}, %fn", "x"))
            value = e.value(f"load {have}, ptr {place}, align {BYTES[source]}", "v")
            value = convert(e, value, 0, source, target)
            goal = e.value(f"getelementptr {want}, ptr {end}, i64 {n}", "p")
            e.line(f"store {want} {value}, ptr {goal}, align {BYTES[target]}")
            return []

        e.counted_loop("%columns", element, hint="n")
        return []

    e.counted_loop("%k", row, hint="k")


def _pack_transposed(e: Emitter, kernel: PackKernel) -> None:
    """Square blocks through registers. Columns past the last repeat it: nothing reads them."""
    dtype, width = kernel.source, kernel.width
    size = BYTES[dtype]
    blocks = e.value(f"udiv i64 {e.value(f'add i64 %k, {_SQUARE - 1}', 'n')}, {_SQUARE}", "n")
    groups = e.value(f"udiv i64 {e.value(f'add i64 %columns, {_SQUARE - 1}', 'n')}, {_SQUARE}", "n")
    last = e.value("sub i64 %columns, 1", "n")

    def block(k: str, _: list[str]) -> list[str]:
        first = e.value(f"mul i64 {k}, {_SQUARE}", "k")
        (mask,) = masks(e, e.value(f"sub i64 %k, {first}", "n"), 1, _SQUARE)
        start = offset(e, "%from", e.value(f"mul i64 {first}, {size}", "x"))
        end = offset(e, "%to", e.value(f"mul i64 {first}, {width * size}", "x"))

        def group(g: str, _: list[str]) -> list[str]:
            column = e.value(f"mul i64 {g}, {_SQUARE}", "n")
            rows = []
            for n in range(_SQUARE):
                at = e.value(f"add i64 {column}, {n}", "n")
                at = e.value(f"call i64 @llvm.smin.i64(i64 {at}, i64 {last})", "n")
                place = offset(e, start, e.value(f"mul i64 {at}, %fn", "x"))
                rows.append(masked_load(e, place, mask, _SQUARE, dtype))
            goal = offset(e, end, e.value(f"mul i64 {column}, {size}", "x"))
            kind = _vector(_SQUARE, dtype)
            for n, row in enumerate(_transposed(e, rows, dtype)):
                place = offset(e, goal, n * width * size)
                e.line(f"store {kind} {row}, ptr {place}, align {size}")
            return []

        e.counted_loop(groups, group, hint="g")
        return []

    e.counted_loop(blocks, block, hint="k")


def _transposed(e: Emitter, rows: list[str], dtype: str) -> list[str]:
    """A square block transposed by exchanging off-diagonal quarters, halves first (Eklundh, "A fast
    computer method for matrix transposing", IEEE Trans. Computers C-21, 1972)."""
    side = len(rows)
    kind = _vector(side, dtype)
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
