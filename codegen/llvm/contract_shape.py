"""A contraction brought into the shape the generator works on: one m, one n, loops around them.

``normalise`` drops dimensions of extent 1, merges dimensions that are one dimension in memory, and
turns the product round (``a b`` is ``b a`` with m and n exchanged) so that n is the dimension along
which results lie side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from ...records import record, replace
from ..ir import (
    BYTES,
    Block,
    Buffer,
    Contract,
    Dim,
    If,
    Index,
    Let,
    Load,
    Loop,
    Statement,
    Store,
    Var,
    While,
    walk,
)

__all__ = ["Product", "normalise"]


@record(frozen=True, slots=True)
class Product:
    """``acc[outer, m, n] = sum over sums of a * b``, then the epilogue.

    ``m`` and ``n`` always exist (extent 1 when the contraction has none). ``outer`` are the batch
    dimensions and the m and n dimensions that could not be merged; ``sums`` the k dimensions, the
    fastest last, at least one. ``ones`` are index variables that are always 0."""

    a: Buffer
    b: Buffer
    offset_a: Index
    offset_b: Index
    outer: tuple[Dim, ...]
    m: Dim
    n: Dim
    sums: tuple[Dim, ...]
    ones: tuple[Var, ...]
    acc: Var
    epilogue: Block

    @property
    def k(self) -> Dim:
        """The fastest summed dimension."""
        return self.sums[-1]

    @property
    def terms(self) -> int:
        """Products summed for one result element."""
        count = 1
        for dim in self.sums:
            count *= dim.extent
        return count

    @property
    def empty(self) -> bool:
        """Whether there is no result element at all."""
        return any(dim.extent == 0 for dim in (*self.outer, self.m, self.n))


def normalise(contract: Contract) -> Product:
    """The contraction with merged dimensions; see the module's text."""
    epilogue = contract.epilogue
    ones = tuple(d.var for d in contract.dims if d.extent == 1 and d.role != "k")
    dims = [d for d in contract.dims if d.extent != 1]
    merged: dict[str, list[Dim]] = {}
    for role in ("batch", "m", "n", "k"):
        merged[role], epilogue = _merge([d for d in dims if d.role == role], epilogue, role)
    stores = [s for s in walk(epilogue) if isinstance(s, Store)]
    sums = sorted(merged["k"], key=_fastest_last, reverse=True) or [_unit("k")]

    def product(m: Dim, n: Dim) -> Product:
        outer = [d for d in (*merged["batch"], *merged["m"], *merged["n"]) if d not in (m, n)]
        return Product(
            contract.a, contract.b, contract.offset_a, contract.offset_b,
            tuple(outer), m, n, tuple(sums), ones, contract.acc, epilogue,
        )  # fmt: skip

    if len(merged["m"]) < 2 and len(merged["n"]) < 2:
        (m,), (n,) = merged["m"] or [_unit("m")], merged["n"] or [_unit("n")]
        only = product(m, n)
        if m.extent == 1 or n.extent == 1:
            return _turned(only) if _should_turn(only) else only
        return min(only, _turned(only), key=lambda way: _cycles(way, stores))
    ways = [product(m, n) for m in merged["m"] or [_unit("m")] for n in merged["n"] or [_unit("n")]]
    return min([*ways, *map(_turned, ways)], key=lambda way: _cycles(way, stores))


def _unit(role: Literal["m", "n", "k"]) -> Dim:
    return Dim(role, 1, 0, 0, Var("i64", role))


def _fastest_last(dim: Dim) -> tuple[int, int]:
    return (abs(dim.stride_a) + abs(dim.stride_b), -dim.extent)


def _merge(dims: list[Dim], epilogue: Block, role: str) -> tuple[list[Dim], Block]:
    """Merge dims pairwise, until none is left that continues another in memory."""
    found = True
    while found:
        found = False
        for slow in dims:
            for fast in dims:
                if slow is fast or not _continues(slow, fast):
                    continue
                if role != "k" and not _continues_in(epilogue, slow, fast):
                    continue
                var = Var("i64", fast.var.hint)
                joint = replace(fast, extent=slow.extent * fast.extent, var=var)
                epilogue = _renamed(epilogue, slow.var, fast.var, var)
                dims = [joint if d is fast else d for d in dims if d is not slow]
                found = True
                break
            if found:
                break
    return dims, epilogue


def _continues(slow: Dim, fast: Dim) -> bool:
    return (
        slow.stride_a == fast.stride_a * fast.extent
        and slow.stride_b == fast.stride_b * fast.extent
    )


def _coefficient(index: Index, var: Var) -> int:
    return sum(c for v, c in index.terms if v is var)


def _continues_in(epilogue: Block, slow: Dim, fast: Dim) -> bool:
    """Whether the epilogue uses the two index variables only as ``slow * extent + fast``."""
    pair = {slow.var, fast.var}
    for statement in walk(epilogue):
        if isinstance(statement, Contract) or pair & set(_operands(statement)):
            return False
        if isinstance(statement, Load | Store):
            index = statement.index
            if _coefficient(index, slow.var) != _coefficient(index, fast.var) * fast.extent:
                return False
    return not pair & set(epilogue.yields)


def _operands(statement: Statement) -> Iterable[object]:
    """The operands a statement reads itself, not through an Index; its blocks' yields included."""
    match statement:
        case Let():
            return statement.args
        case Store():
            return (statement.value,)
        case Loop():
            return (statement.extent, *statement.inits, *statement.body.yields)
        case If():
            return (statement.condition, *statement.then.yields, *statement.otherwise.yields)
        case While():
            yields = (*statement.condition.yields, *statement.body.yields)
            return (*statement.inits, *yields)
    return ()


def _renamed(block: Block, slow: Var, fast: Var, joint: Var) -> Block:
    def rename(index: Index) -> Index:
        terms = tuple((joint if v is fast else v, c) for v, c in index.terms if v is not slow)
        return Index(terms, index.offset)

    return _with_indices(block, rename)


def _with_indices(block: Block, change: Callable[[Index], Index]) -> Block:
    """The block with every Index changed."""
    statements: list[Statement] = []
    for s in block.statements:
        match s:
            case Load() | Store():
                s = replace(s, index=change(s.index))
            case Loop():
                s = replace(s, body=_with_indices(s.body, change))
            case If():
                s = replace(
                    s,
                    then=_with_indices(s.then, change),
                    otherwise=_with_indices(s.otherwise, change),
                )
            case While():
                s = replace(
                    s,
                    condition=_with_indices(s.condition, change),
                    body=_with_indices(s.body, change),
                )
        statements.append(s)
    return Block(tuple(statements), block.yields)


def _cycles(product: Product, stores: list[Store]) -> float:
    """Roughly how long register tiles take when m and n are these, in cycles of a processor with
    registers of 64 bytes: multiply-adds of whole vectors, copies of b, calls and stores."""
    m, n, size = product.m, product.n, max(4, BYTES[product.acc.dtype])
    lanes = min(64 // size, 1 << (n.extent - 1).bit_length())
    vectors, tiles = -(-n.extent // lanes), max(1, -(-m.extent // 14))
    rows = m.extent / tiles
    side_by_side = all(_coefficient(s.index, n.var) == 1 for s in stores)
    core = tiles * max(rows * vectors / 2, 4 * -(-vectors // 3)) * product.terms
    core += tiles * 40 + m.extent * (vectors if side_by_side else 1.5 * n.extent)
    if any(d.role == m.role and abs(d.stride_a) < abs(m.stride_a) for d in product.outer):
        core *= 1.2  # rows of a that lie closer to each other are left to loops around
    copies = 0.0
    if n.stride_b != 1 and n.extent > 1:
        copies = n.extent * product.terms * (0.6 if product.k.stride_b == 1 else 3.0)
    for dim in product.outer:
        core *= dim.extent
        copies *= dim.extent if dim.stride_b else 1
    return core + copies


def _should_turn(product: Product) -> bool:
    """A vector of results: let it be n when its operand lies side by side, m otherwise."""
    m, n = product.m, product.n
    one = m if m.extent != 1 else n
    stride = one.stride_a if one is m else one.stride_b
    return (one is m) == (stride == 1) and m.extent != n.extent


def _turned(product: Product) -> Product:
    def turn(dim: Dim) -> Dim:
        return replace(dim, stride_a=dim.stride_b, stride_b=dim.stride_a)

    return replace(
        product,
        a=product.b,
        b=product.a,
        offset_a=product.offset_b,
        offset_b=product.offset_a,
        outer=tuple(turn(d) for d in product.outer),
        m=turn(product.n),
        n=turn(product.m),
        sums=tuple(turn(d) for d in product.sums),
    )
