"""The inner loops of contractions: register tiles and rows of dot products.

Each function here writes one LLVM function into the module, once for each set of parameters, and
answers its name; strides are arguments, so contractions of different shapes share them. Strides are
in bytes.

The register tile follows Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
(ACM TOMS 34, 2008): ``rows`` by ``vectors`` accumulators stay in registers while k runs; each step
loads the vectors of b and adds to every row its element of a times them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...records import record
from ..ir import BYTES
from ..scalars import FLOATS
from .contract_epilogue import Epilogue
from .contract_values import add, convert, masks, multiply_add, offset, splat, zero
from .instructions import constant_text, memory_type
from .masked import masked_load, masked_store
from .types import suffix, vector_type

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["DotKernel", "TileKernel", "dot_kernel", "tile_kernel"]

#: rows addressed from one pointer: x86 reaches p, p + s and p + 2s without extra instructions
_GROUP = 3


@record(frozen=True, slots=True)
class TileKernel:
    """``c[rows, columns] (+)= a[rows, k] @ b[k, columns]`` for up to ``vectors * lanes`` columns.

    ``a`` and ``b`` are the operands' dtypes, ``acc`` that of the sum and of ``c``. Columns lie side
    by side in b and c. ``levels`` summed dimensions are loops; inside them the ``fixed`` ones, as
    (extent, step in a, step in b) with the fastest last, are written out. With ``adds`` c is added
    to the sum when the argument ``more`` is 1. With an ``epilogue`` sums do not go to c but through
    it; with ``adds`` too, only when the argument ``last`` is 1.

    ``a_row``, ``a_step`` and ``b_step`` are the bytes between rows of a, and between terms of a and
    of b, where they are known (copied operands); 0 says that they are arguments. Without
    ``masks_b`` (``masks_c``) rows of b (of c) may be read (written) past the columns in use. Every
    iteration of the innermost loop also fetches ``pace`` bytes more from ``next`` on."""

    a: str
    b: str
    acc: str
    rows: int
    vectors: int
    lanes: int
    levels: int = 1
    adds: bool = False
    a_row: int = 0
    a_step: int = 0
    b_step: int = 0
    masks_b: bool = False
    masks_c: bool = False
    fixed: tuple[tuple[int, int, int], ...] = ()
    pace: int = 0
    epilogue: Epilogue | None = None

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes


@record(frozen=True, slots=True)
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


def tile_kernel(e: Emitter, kernel: TileKernel) -> str:
    """The name of the function

    ``void (ptr a, i64 am, i64 ak, ptr b, i64 bk, ptr c, i64 cm, i64 k, i64 columns, i1 more``,
    for every further level ``i64 count, i64 a_step, i64 b_step``, with a ``pace``
    ``ptr next``, and with an epilogue
    ``i1 last, i64 row, i64 column`` and what the epilogue needs``)``."""
    epilogue = kernel.epilogue
    pointer = "ptr noalias nocapture noundef"
    # the epilogue may store to where c points
    listed = "ptr nocapture noundef %c" if epilogue else f"{pointer} %c"
    parameters = (
        f"{pointer} readonly %a, i64 %am, i64 %ak, {pointer} readonly %b, i64 %bk, {listed}, "
        f"i64 %cm, i64 %k, i64 %columns, i1 %more"
    )
    for level in range(1, kernel.levels):
        parameters += f", i64 %k{level}, i64 %ak{level}, i64 %bk{level}"
    if kernel.pace:
        parameters += ", ptr %next"
    if epilogue:
        parameters += f", i1 %last, i64 %row, i64 %column{epilogue.parameters(e)}"
    hint = f"tile_{kernel.acc}_{kernel.rows}x{kernel.columns}"
    by_text = epilogue is not None  # what follows the sums is a part of this program
    return e.kernel_function(
        kernel, hint, parameters, lambda e: _tile_body(e, kernel), by_text=by_text
    )


def _tile_body(e: Emitter, kernel: TileKernel) -> None:
    rows, vectors, lanes, acc = kernel.rows, kernel.vectors, kernel.lanes, kernel.acc
    width = lanes * BYTES[acc]
    mask = [""] * vectors
    if kernel.masks_b or kernel.masks_c:
        mask = masks(e, "%columns", vectors, lanes)
    mask_b = mask if kernel.masks_b else [""] * vectors
    mask_c = mask if kernel.masks_c else [""] * vectors
    places = []
    if kernel.adds or kernel.epilogue is None:
        places = [
            offset(e, row, v * width)
            for row in _each_row(e, "%c", "%cm", rows)
            for v in range(vectors)
        ]
    for place in places:  # c is needed at the end: fetch it meanwhile
        e.line(f"call void @llvm.prefetch.p0(ptr {place}, i32 1, i32 3, i32 1)")
    sums = _tile_sums(e, kernel, mask_b)
    if kernel.adds:
        sums = _with_earlier(e, kernel, places, sums, mask_c)
    finish = ""
    if kernel.epilogue and kernel.adds:
        finish, keep = e.label("finish"), e.label("keep")
        e.line(f"br i1 %last, label %{finish}, label %{keep}")
        e.start(keep)
    for n, place in enumerate(places):
        masked_store(e, sums[n], place, mask_c[n % vectors], lanes, acc)
    if finish:
        e.line("ret void")
        e.start(finish)
    if kernel.epilogue:
        kernel.epilogue.write(e, sums, vectors, lanes, mask_c)


def _with_earlier(
    e: Emitter, kernel: TileKernel, places: list[str], sums: list[str], mask: list[str]
) -> list[str]:
    """The sums, and if there is ``more`` what c holds added to them."""
    lanes, acc = kernel.lanes, kernel.acc

    def write() -> list[str]:
        totals = []
        for n, (place, total) in enumerate(zip(places, sums, strict=True)):
            old = masked_load(e, place, mask[n % kernel.vectors], lanes, acc)
            totals.append(add(e, old, total, lanes, acc))
        return totals

    kind = vector_type(lanes, acc)
    return e.where("%more", [(kind, alone) for alone in sums], write, hint="more")


def _tile_sums(e: Emitter, kernel: TileKernel, mask_b: list[str]) -> list[str]:
    """The sums over all levels, row by row."""
    rows, vectors, lanes, acc = kernel.rows, kernel.vectors, kernel.lanes, kernel.acc
    twice = e.value("shl i64 %am, 1", "x") if rows > 2 and not kernel.a_row else "0"
    bases = ["%a"] if kernel.a_row else _group_bases(e, "%a", "%am", rows)
    a_step: int | str = kernel.a_step or "%ak"
    b_step: int | str = kernel.b_step or "%bk"
    many = rows * vectors

    def term(_: str, carried: list[str]) -> list[str]:
        pointers, b = carried[: len(bases)], carried[len(bases)]
        sums, ahead = carried[len(bases) + 1 :][:many], carried[len(bases) + 1 + many :]
        for place in range(0, kernel.pace, 64):
            place_ahead = offset(e, ahead[0], place)
            e.line(f"call void @llvm.prefetch.p0(ptr {place_ahead}, i32 0, i32 2, i32 1)")
        for number, (along_a, along_b) in enumerate(_fixed_places(kernel.fixed)):
            if number:  # loads of a later term are no sooner: registers would not do
                e.line('call void asm sideeffect "", "~{memory}"()')
            columns = []
            for v in range(vectors):
                at_b = offset(e, b, along_b + v * lanes * BYTES[kernel.b])
                loaded = masked_load(e, at_b, mask_b[v], lanes, kernel.b)
                columns.append(convert(e, loaded, lanes, kernel.b, acc))
            if kernel.a_row:
                each = [offset(e, pointers[0], row * kernel.a_row) for row in range(rows)]
            else:
                each = _row_pointers(e, pointers, "%am", twice, rows)
            following = []
            for row, start in enumerate(each):
                at_a = offset(e, start, along_a)
                x = e.value(
                    f"load {memory_type(kernel.a)}, ptr {at_a}, align {BYTES[kernel.a]}", "x"
                )
                x = splat(e, convert(e, x, 0, kernel.a, acc), lanes, memory_type(acc))
                for v in range(vectors):
                    total = sums[row * vectors + v]
                    following.append(multiply_add(e, x, columns[v], total, lanes, acc))
            sums = following
        moved = [offset(e, p, a_step) for p in pointers]
        return [*moved, offset(e, b, b_step), *sums, *(offset(e, p, kernel.pace) for p in ahead)]

    def level(number: int, carried: list[str]) -> list[str]:
        """The sums after the loop of a level, from pointers and sums before it."""
        inits = [("ptr", p) for p in carried[: len(bases) + 1]]
        inits += [(vector_type(lanes, acc), total) for total in carried[len(bases) + 1 :]]
        if number == 0:
            fetched = [("ptr", "%next")] if kernel.pace else []
            results = e.counted_loop("%k", term, inits=[*inits, *fetched], hint="k")
            return results[len(bases) + 1 : len(inits)]

        def body(_: str, inner: list[str]) -> list[str]:
            sums = level(number - 1, inner)
            moved = [offset(e, p, f"%ak{number}") for p in inner[: len(bases)]]
            return [*moved, offset(e, inner[len(bases)], f"%bk{number}"), *sums]

        return e.counted_loop(f"%k{number}", body, inits=inits, hint="k")[len(bases) + 1 :]

    start = [*bases, "%b", *[zero(lanes, acc)] * many]
    if kernel.levels == 0:
        return term("", start)[len(bases) + 1 :]
    return level(kernel.levels - 1, start)


def _fixed_places(fixed: tuple[tuple[int, int, int], ...]) -> list[tuple[int, int]]:
    """The bytes from the first term to every other in a and b, in order."""
    places = [(0, 0)]
    for extent, a_step, b_step in fixed:
        places = [(a + i * a_step, b + i * b_step) for a, b in places for i in range(extent)]
    return places


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


def _each_row(e: Emitter, pointer: str, stride: str, rows: int) -> list[str]:
    found = [pointer]
    for _ in range(rows - 1):
        found.append(offset(e, found[-1], stride))
    return found


def dot_kernel(e: Emitter, kernel: DotKernel) -> str:
    """The name of the function

    ``void (ptr a, i64 am, ptr b, i64 bn, ptr c, i64 cm, i64 cn, i64 k, i1 more)``."""
    pointer = "ptr noalias nocapture noundef"
    parameters = (
        f"{pointer} readonly %a, i64 %am, {pointer} readonly %b, i64 %bn, {pointer} %c, i64 %cm, "
        "i64 %cn, i64 %k, i1 %more"
    )
    hint = f"dot_{kernel.acc}_{kernel.rows}x{kernel.columns}"
    return e.kernel_function(kernel, hint, parameters, lambda e: _dot_body(e, kernel))


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
    inits += [(vector_type(lanes, acc), zero(lanes, acc))] * (rows * columns * depth)
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
    vector, kind, is_float = vector_type(lanes, acc), memory_type(acc), acc in FLOATS
    while len(sums) > 1:
        pairs = [sums[i : i + 2] for i in range(0, len(sums), 2)]
        word = "fadd" if is_float else "add"
        sums = [
            e.value(f"{word} {vector} {p[0]}, {p[1]}", "f") if len(p) == 2 else p[0] for p in pairs
        ]
    name = f"@llvm.vector.reduce.{'f' if is_float else ''}add.{suffix(lanes, acc)}"
    start = f"{kind} {constant_text(-0.0, acc)}, " if is_float else ""
    flags = "reassoc " if is_float else ""
    return e.value(f"call {flags}{kind} {name}({start}{vector} {sums[0]})", "total")
