"""Run two loops in blocks where one reads along the inner loop and the other across it.

    loop j < n {                              loop b < m/8 {
      loop k < m vector {                       loop j < n {
        %0 = load x[j + n*k]          =>          loop k < 8 vector {
        store y[m*j + k], %0                        %0 = load x[j + n*(k + 8*b)]
      }                                             store y[m*j + k + 8*b], %0
    }                                         } } }

The inner loop steps over rows of x: it takes one element of each of m cache lines, and when there
are many, by the next j they have left the cache. In blocks the next j finds them there (McKellar
and Coffman, "Organizing matrices and matrix operations for paged memory systems", CACM 12, 1969;
Lam, Rothberg and Wolf, "The cache performance and optimizations of blocked algorithms", ASPLOS
1991).

Only for loops that carry nothing and whose iterations write places of their own and read nothing
that they write: then the order does not show.
"""

from __future__ import annotations

from ...records import replace
from ...thresholds import thresholds
from ..ir import BYTES, Block, Kernel, Let, Load, Loop, Program, Statement, Store, Var, map_kernels
from .moved import Moved

__all__ = ["block"]

#: Bytes of a cache line. A block writes one line at a time: with several, the lines of x that it
#: reads meanwhile, far apart as they are, fall onto the same few places of the caches.
LINE = 64


def block(program: Program) -> Program:
    """Every kernel with such loops in blocks; the same object if there are none."""
    return map_kernels(program, _kernel)


def _kernel(kernel: Kernel) -> Kernel:
    body = _block(kernel.body)
    return kernel if body is kernel.body else replace(kernel, body=body)


def _block(body: Block) -> Block:
    statements: list[Statement] = []
    for statement in body.statements:
        if isinstance(statement, Loop):
            made = _in_blocks(statement)
            if made is not None:
                statements += made
                continue
            inner = _block(statement.body)
            if inner is not statement.body:
                statement = replace(statement, body=inner)
        statements.append(statement)
    if all(new is old for new, old in zip(statements, body.statements, strict=False)):
        return body
    return replace(body, statements=tuple(statements))


def _in_blocks(outer: Loop) -> list[Statement] | None:
    """The loops that stand for ``outer`` and the loop inside of it; None where they stay."""
    if outer.params or outer.mode != "serial" or len(outer.body.statements) != 1:
        return None
    inner = outer.body.statements[0]
    if not isinstance(inner, Loop) or inner.params or inner.mode != "vector":
        return None
    rows, length = outer.extent, inner.extent
    if not isinstance(length, int) or length <= thresholds.block_from:
        return None
    if isinstance(rows, int) and rows < thresholds.block_rows:
        return None
    if not _pays(outer.var, inner) or not _any_order(outer.var, inner):
        return None
    size = LINE // max(BYTES[s.buffer.dtype] for s in inner.body.statements if isinstance(s, Store))
    whole, rest = divmod(length, size)
    number = Var("i64", "b")
    part = _part(outer, inner, size, ((number, size),), 0)
    made: list[Statement] = [Loop(number, whole, Block((part,)))]
    if rest:
        made.append(_part(outer, inner, rest, (), whole * size))
    return made


def _pays(outer: Var, inner: Loop) -> bool:
    """Whether something is read with a line for every element, and the next iteration of the outer
    loop reads the neighbours."""
    for s in inner.body.statements:
        if isinstance(s, Load):
            steps, size = dict(s.index.terms), BYTES[s.buffer.dtype]
            if abs(steps.get(inner.var, 0)) * size >= LINE > abs(steps.get(outer, 0)) * size > 0:
                return True
    return False


def _any_order(outer: Var, inner: Loop) -> bool:
    """Whether the iterations of both loops may run in any order; the inner one's number may only be
    used to say where something lies."""
    read = {s.buffer for s in inner.body.statements if isinstance(s, Load)}
    if not any(isinstance(s, Store) for s in inner.body.statements):
        return False
    for s in inner.body.statements:
        match s:
            case Let():
                if inner.var in s.args:
                    return False
            case Load():
                pass
            case Store():
                steps = dict(s.index.terms)
                along, across = steps.get(inner.var, 0), steps.get(outer, 0)
                assert isinstance(inner.extent, int)
                if s.buffer in read or along == 0 or abs(across) < abs(along) * inner.extent:
                    return False
            case _:
                return False
    return True


def _part(
    outer: Loop, inner: Loop, extent: int, terms: tuple[tuple[Var, int], ...], start: int
) -> Loop:
    """Both loops, the inner one over so many iterations from ``start`` and ``terms`` on."""
    across, along = Var("i64", outer.var.hint), Var("i64", inner.var.hint)
    body = Moved(inner.var, along, terms, start).block(inner.body, {outer.var: across})
    return Loop(across, outer.extent, Block((Loop(along, extent, body, mode="vector"),)))
