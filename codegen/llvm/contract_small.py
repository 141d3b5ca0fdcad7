"""Small contractions: straight-line code, and plain loops where a kernel would not pay."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from ...thresholds import thresholds
from ..ir import (
    BYTES,
    Block,
    Buffer,
    Const,
    Index,
    Let,
    Load,
    Loop,
    Mode,
    Operand,
    Role,
    Statement,
    Var,
)
from ..scalars import SCALARS
from .contract_epilogue import Epilogue, fits_registers
from .contract_pack import transposed
from .contract_plan import direct_store, turns_in_registers, wide_dtype
from .contract_shape import Product
from .contract_values import convert, multiply_add, offset, splat, zero
from .instructions import memory_type
from .machine import Machine
from .masked import masked_load, masked_store

if TYPE_CHECKING:
    from .emit import Emitter

__all__ = ["emit_loops", "emit_unrolled"]


def emit_loops(e: Emitter, product: Product) -> None:
    """Loops over m and n with the sum inside: for few terms (then n is the vector loop), and for
    operands that lie side by side along no dimension."""
    m, n = product.m, product.n
    short = product.terms <= thresholds.product_short_sum
    body = _short_sum(product) if short else _long_sum(product)
    inner = Block((*body, *product.epilogue.statements))
    narrow = n.extent == 1
    over_n = Loop(n.var, n.extent, inner, mode="vector" if short and not narrow else "serial")
    over_m = Loop(
        m.var, m.extent, Block((over_n,)), mode="vector" if short and narrow else "serial"
    )
    e.statement(over_m)


def _factors(
    product: Product, terms: tuple[tuple[Var, int, int], ...], at: tuple[int, int]
) -> tuple[list[Statement], Var, Var]:
    """Loads of one element of each operand, as wide as the sum. ``terms`` are the summed variables
    with their strides, ``at`` what is added to the two offsets."""
    wide = wide_dtype(product.acc.dtype)
    result: list[Statement] = []
    factors: list[Var] = []
    around = [(d.var, d.stride_a, d.stride_b) for d in (*product.outer, product.m, product.n)]
    strides = [*around, *terms]
    operands = (
        (product.a, product.offset_a, at[0], [(v, s) for v, s, _ in strides]),
        (product.b, product.offset_b, at[1], [(v, s) for v, _, s in strides]),
    )
    for buffer, start, extra, steps in operands:
        moving = tuple((v, step) for v, step in steps if step)
        value = Var(buffer.dtype)
        index = Index(start.terms + moving, start.offset + extra)
        result.append(Load(value, buffer, index))
        if buffer.dtype != wide:
            narrow, value = value, Var(wide)
            result.append(Let(value, "cast", (narrow,)))
        factors.append(value)
    return result, factors[0], factors[1]


def _finished(product: Product, total: Operand) -> Let:
    """``acc``, in its own dtype."""
    return Let(product.acc, "cast", (total,))


def _short_sum(product: Product) -> list[Statement]:
    wide = wide_dtype(product.acc.dtype)
    body: list[Statement] = []
    total: Operand = Const(0, wide)
    for number, place in enumerate(itertools.product(*[range(d.extent) for d in product.sums])):
        at_a = sum(i * d.stride_a for i, d in zip(place, product.sums, strict=True))
        at_b = sum(i * d.stride_b for i, d in zip(place, product.sums, strict=True))
        loads, x, y = _factors(product, (), (at_a, at_b))
        term = Var(wide)
        body += [*loads, Let(term, "mul", (x, y))]
        if number:
            term, before = Var(wide), term
            body.append(Let(term, "add", (before, total)))
        total = term
    return [*body, _finished(product, total)]


def _long_sum(product: Product) -> list[Statement]:
    wide = wide_dtype(product.acc.dtype)
    strides = tuple((d.var, d.stride_a, d.stride_b) for d in product.sums)
    loads, x, y = _factors(product, strides, (0, 0))
    term, before, after = Var(wide), Var(wide), Var(wide)
    add = Let(after, "add", (before, term), reassociate=True)
    block = Block((*loads, Let(term, "mul", (x, y)), add), (after,))
    start: Operand = before
    total: Operand = after
    for depth, dim in enumerate(reversed(product.sums)):
        result = Var(wide)
        outermost = depth == len(product.sums) - 1
        init: Operand = Const(0, wide) if outermost else Var(wide)
        assert isinstance(start, Var)
        mode: Mode = "vector" if depth == 0 else "serial"
        loop = Loop(dim.var, dim.extent, block, (start,), (init,), (result,), mode)
        block, start, total = Block((loop,), (result,)), init, result
    return [*block.statements, _finished(product, total)]


def emit_unrolled(e: Emitter, product: Product, machine: Machine) -> None:
    """Every multiply-add written out: vectors along n where b has n side by side, or k (then its
    rows are transposed in registers), else scalars."""
    wide = wide_dtype(product.acc.dtype)
    m, n = product.m.extent, product.n.extent
    lanes = 0
    turned = turns_in_registers(product, machine)
    if n > 1 and (product.n.stride_b == 1 or turned):
        lanes = min(machine.vector_bytes // BYTES[wide], 1 << (n - 1).bit_length())
    width = max(1, lanes)
    columns = -(-n // width) * width
    starts = _starts(e, product)
    b = _turned_columns(e, product, starts[1], lanes) if turned else {}
    direct = direct_store(product)
    if direct is not None:
        start = e.address(direct.buffer, _outer_index(direct.index, product))
        steps = [
            sum(c for v, c in direct.index.terms if v is d.var) * BYTES[wide]
            for d in (product.m, product.n)
        ]
        for rows in _groups(m, turned):
            sums = _unrolled_sums(e, product, rows, lanes, starts, b)
            _store_sums(e, sums, offset(e, start, rows[0] * steps[0]), steps, wide, lanes, n)
        return
    if lanes and fits_registers(product):
        epilogue = Epilogue(product, wide, None)
        for rows in _groups(m, turned):
            sums = _unrolled_sums(e, product, rows, lanes, starts, b)
            counts = [min(n - g, width) for g in range(0, n, width)]
            masks = [constant_mask(count, lanes) for count in counts]
            epilogue.write_here(e, sums, rows[0], lanes, masks)
        return
    sums = _unrolled_sums(e, product, range(m), lanes, starts, b)
    if m * n == 1:
        total = Var(wide)
        e.bind(total, sums[0][0])
        e.bind(product.m.var, "0")
        e.bind(product.n.var, "0")
        e.block(Block((_finished(product, total), *product.epilogue.statements)))
        return
    scratch = Buffer("sums", wide, m * columns, Role.TEMP, 0)
    pointer = e.entry_alloca(f"[{m * columns} x {memory_type(wide)}]", align=64)
    e.bind_pointer(scratch, pointer)
    _store_sums(e, sums, pointer, [columns * BYTES[wide], BYTES[wide]], wide, lanes, columns)
    _epilogue_loops(e, product, scratch, columns, wide)


def _groups(m: int, turned: bool) -> list[range]:
    """Rows that are summed together: few where registers hold all of b."""
    step = 8 if turned else m
    return [range(i, min(m, i + step)) for i in range(0, m, step)]


def _epilogue_loops(e: Emitter, product: Product, scratch: Buffer, columns: int, wide: str) -> None:
    m, n = product.m, product.n
    load = Var(wide)
    place = Index(((m.var, columns), (n.var, 1)))
    inner = Block(
        (Load(load, scratch, place), _finished(product, load), *product.epilogue.statements)
    )
    elementary = any(
        isinstance(s, Let) and SCALARS[s.op].native == "mathlib"
        for s in product.epilogue.statements
    )
    mode: Mode = (
        "vector" if elementary or m.extent * n.extent > thresholds.product_vector else "unroll"
    )
    narrow = n.extent == 1
    over_n = Loop(n.var, n.extent, inner, mode="unroll" if narrow else mode)
    e.statement(Loop(m.var, m.extent, Block((over_n,)), mode=mode if narrow else "serial"))


def _outer_index(index: Index, product: Product) -> Index:
    """An index at m = n = 0."""
    inner = (product.m.var, product.n.var)
    return Index(tuple((v, c) for v, c in index.terms if v not in inner), index.offset)


def _starts(e: Emitter, product: Product) -> list[str]:
    """The pointers to the first element of a and b."""
    outer, starts = product.outer, []
    for buffer, start, strides in (
        (product.a, product.offset_a, [(d.var, d.stride_a) for d in outer]),
        (product.b, product.offset_b, [(d.var, d.stride_b) for d in outer]),
    ):
        moving = tuple(t for t in strides if t[1])
        starts.append(e.address(buffer, Index(start.terms + moving, start.offset)))
    return starts


def _turned_columns(
    e: Emitter, product: Product, start: str, lanes: int
) -> dict[tuple[tuple[int, ...], int], str]:
    """For every term and group of columns the vector of b, from vectors along its terms."""
    b, k, n = product.b.dtype, product.k, product.n
    found = {}
    for place in itertools.product(*[range(d.extent) for d in product.sums[:-1]]):
        at = sum(i * d.stride_b for i, d in zip(place, product.sums, strict=False))
        for first, group in itertools.product(range(0, k.extent, lanes), range(0, n.extent, lanes)):
            mask = constant_mask(min(k.extent - first, lanes), lanes)
            rows = []
            for column in range(group, group + lanes):
                here = min(column, n.extent - 1) * n.stride_b + at + first
                pointer = offset(e, start, here * BYTES[b])
                rows.append(_load(e, pointer, b, b, lanes, mask))
            for number, vector in enumerate(transposed(e, rows, b)[: k.extent - first]):
                found[(*place, first + number), group] = vector
    return found


def _unrolled_sums(
    e: Emitter, product: Product, rows: range, lanes: int, starts: list[str],
    known: dict[tuple[tuple[int, ...], int], str],
) -> list[list[str]]:  # fmt: skip
    """The sums of some rows: scalars, or with ``lanes`` vectors of so many columns. ``known`` are
    vectors of b, by term and first column."""
    wide = wide_dtype(product.acc.dtype)
    a, b = product.a.dtype, product.b.dtype
    width = max(1, lanes)
    groups = range(0, product.n.extent, width)
    sums = [[zero(lanes, wide) for _ in groups] for _ in rows]
    for place in itertools.product(*[range(d.extent) for d in product.sums]):
        at_a = sum(i * d.stride_a for i, d in zip(place, product.sums, strict=True))
        at_b = sum(i * d.stride_b for i, d in zip(place, product.sums, strict=True))
        columns = []
        for n in groups:
            if known:
                columns.append(known[place, n])
                continue
            here = offset(e, starts[1], (at_b + n * product.n.stride_b) * BYTES[b])
            mask = constant_mask(min(product.n.extent - n, width), lanes)
            columns.append(_load(e, here, b, wide, lanes, mask))
        for m, row in zip(rows, sums, strict=True):
            here = offset(e, starts[0], (at_a + m * product.m.stride_a) * BYTES[a])
            x = _load(e, here, a, wide, 0, "")
            if lanes:
                x = splat(e, x, lanes, memory_type(wide))
            for g, column in enumerate(columns):
                row[g] = multiply_add(e, x, column, row[g], lanes, wide)
    return sums


def _load(e: Emitter, pointer: str, dtype: str, wide: str, lanes: int, mask: str) -> str:
    if mask:
        value = masked_load(e, pointer, mask, lanes, dtype)
    else:
        kind = f"<{lanes} x {memory_type(dtype)}>" if lanes else memory_type(dtype)
        value = e.value(f"load {kind}, ptr {pointer}, align {BYTES[dtype]}", "v")
    return convert(e, value, lanes, dtype, wide)


def constant_mask(count: int, lanes: int) -> str:
    """The mask of the first ``count`` lanes; ``""`` when that is all of them."""
    if count >= lanes:
        return ""
    return "<" + ", ".join(f"i1 {'true' if n < count else 'false'}" for n in range(lanes)) + ">"


def _store_sums(
    e: Emitter, sums: list[list[str]], start: str, steps: list[int], wide: str, lanes: int, n: int
) -> None:
    """Store sums ``steps`` bytes apart along m and n; vectors are side by side along n."""
    width = max(1, lanes)
    for m, row in enumerate(sums):
        for g, total in enumerate(row):
            place = offset(e, start, m * steps[0] + g * width * steps[1])
            mask = constant_mask(min(n - g * width, width), lanes)
            if mask:
                masked_store(e, total, place, mask, lanes, wide)
            else:
                kind = f"<{lanes} x {memory_type(wide)}>" if lanes else memory_type(wide)
                e.line(f"store {kind} {total}, ptr {place}, align {BYTES[wide]}")
