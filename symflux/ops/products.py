"""Products on nodes: matmul, dot, tensordot, outer, einsum; all made of the contraction."""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Sequence
from typing import Any

from ..ir.node import Node
from ..records import record
from .arrange import axis_of, diagonal, is_index, listed
from .contract import contract
from .elementwise import and_, cast, ne
from .reduce import sum_
from .shape import reshape, transpose

__all__ = ["dot", "einsum", "inner", "kron", "matmul", "outer", "tensordot", "trace", "vdot"]

#: Up to this many operands all pairwise orders are compared.
FEW_OPERANDS = 5


@record(frozen=True)
class Term:
    """An operand whose axes are named by distinct letters."""

    node: Node
    letters: str

    @property
    def extents(self) -> dict[str, int]:
        return dict(zip(self.letters, self.node.shape, strict=True))


def _summed(term: Term, unwanted: set[str]) -> Term:
    """The term with the axes of ``unwanted`` letters summed."""
    axes = tuple(i for i, c in enumerate(term.letters) if c in unwanted)
    if not axes:
        return term
    return Term(sum_(term.node, axes=axes), "".join(c for c in term.letters if c not in unwanted))


def _ordered(term: Term, letters: str) -> Node:
    """The term's node with its axes in the order of ``letters``."""
    if term.letters == letters:
        return term.node
    return transpose(term.node, axes=tuple(term.letters.index(c) for c in letters))


def _aligned(term: Term, letters: str) -> Node:
    """The term with an axis for every letter, of extent 1 where it has none."""
    own = "".join(c for c in letters if c in term.letters)
    extents = term.extents
    return reshape(_ordered(term, own), shape=tuple(extents.get(c, 1) for c in letters))


# Letters by the role of an axis, so that equal products have equal texts: bik,bjk->bij.
_NAMES = {"batch": "bcdefgh", "m": "ilmnop", "n": "jqrstu", "k": "kvwxyz"}


def _role(letter: str, a: str, b: str, result: str) -> str:
    if letter in a and letter in b:
        return "batch" if letter in result else "k"
    return "m" if letter in a else "n"


def _canonical(a: str, b: str, result: str) -> str:
    """The spec with letters that tell the role of each axis."""
    names: dict[str, str] = {}
    free = {role: list(letters) for role, letters in _NAMES.items()}
    spare = list(string.ascii_uppercase)
    for letter in dict.fromkeys(result + a + b):
        pool = free[_role(letter, a, b, result)] or spare
        names[letter] = pool.pop(0)
    return "{},{}->{}".format(*("".join(names[c] for c in part) for part in (a, b, result)))


def _multiply(a: Term, b: Term, keep: str) -> Term:
    """The product of two terms, summed over the letters that are not in ``keep``; the result's
    letters are those of ``keep`` that the terms have, in that order."""
    shared = set(a.letters) & set(b.letters)
    a = _summed(a, set(a.letters) - shared - set(keep))
    b = _summed(b, set(b.letters) - shared - set(keep))
    result = "".join(c for c in keep if c in a.letters or c in b.letters)
    summed = shared - set(keep)
    roles = {_role(c, a.letters, b.letters, result) for c in a.letters + b.letters}
    if not summed or not roles & {"m", "n"}:
        # No sum, or each element of the result its own: products that fuse with what is around.
        letters = result + "".join(sorted(summed))
        product = _aligned(a, letters) * _aligned(b, letters)
        return _summed(Term(product, letters), summed)
    spec = _canonical(a.letters, b.letters, result)
    return Term(contract(a.node, b.node, spec=spec), result)


def _cost(a: str, b: str, keep: set[str], extents: dict[str, int]) -> tuple[int, str]:
    """Multiplications of a pairwise product, and the letters of its result."""
    every = dict.fromkeys(a + b)
    return math.prod(extents[c] for c in every), "".join(c for c in every if c in keep)


def _needed(letters: Sequence[str], without: Sequence[int], result: str) -> set[str]:
    """Letters that the result or another operand still needs."""
    rest = (part for i, part in enumerate(letters) if i not in without)
    return set(result).union(*rest)


def _best_order(
    letters: tuple[str, ...], result: str, extents: dict[str, int]
) -> tuple[int, list[tuple[int, int]]]:
    """The cheapest pairwise order: multiplications, and the pairs (the product goes to the end)."""
    if len(letters) < 2:
        return 0, []
    best: tuple[int, list[tuple[int, int]]] | None = None
    pairs = list(itertools.combinations(range(len(letters)), 2))
    steps = []
    for i, j in pairs:
        cost, made = _cost(letters[i], letters[j], _needed(letters, (i, j), result), extents)
        steps.append((cost, made, i, j))
    if len(letters) > FEW_OPERANDS:
        steps = [min(steps, key=lambda s: (s[0], math.prod(extents[c] for c in s[1])))]
    for cost, made, i, j in steps:
        rest = tuple(part for k, part in enumerate(letters) if k not in (i, j))
        more, order = _best_order((*rest, made), result, extents)
        if best is None or cost + more < best[0]:
            best = cost + more, [(i, j), *order]
    assert best is not None
    return best


def _product(terms: list[Term], result: str) -> Node:
    """The sum of products over all letters that are not in ``result``.

    An axis of extent 1 broadcasts against the same letter elsewhere."""
    extents: dict[str, int] = {}
    for term in terms:
        for letter, n in term.extents.items():
            known = extents.get(letter, 1)
            if known not in (1, n) and n != 1:
                raise ValueError(f"axis {letter!r} has extents {known} and {n}")
            extents[letter] = n if known == 1 else known
    terms = [_without_ones(term, extents) for term in terms]
    if len(terms) == 1:
        (term,) = terms
        return _ordered(_summed(term, set(term.letters) - set(result)), result)
    _, order = _best_order(tuple(t.letters for t in terms), result, extents)
    for i, j in order:
        needed = _needed([t.letters for t in terms], (i, j), result)
        last = len(terms) == 2
        every = dict.fromkeys(terms[i].letters + terms[j].letters)
        keep = result if last else "".join(c for c in every if c in needed)
        made = _multiply(terms[i], terms[j], keep)
        terms = [t for k, t in enumerate(terms) if k not in (i, j)] + [made]
    return terms[0].node


def _without_ones(term: Term, extents: dict[str, int]) -> Term:
    """Drop axes of extent 1 that broadcast."""
    kept = [(c, n) for c, n in term.extents.items() if n == extents[c]]
    if len(kept) == len(term.letters):
        return term
    shape = tuple(n for _, n in kept)
    return Term(reshape(term.node, shape=shape), "".join(c for c, _ in kept))


def _on_numbers(nodes: Sequence[Node]) -> tuple[list[Node], bool]:
    """Bools as integers: a product of bools is whether any pair of them is true."""
    if all(x.dtype == "bool" for x in nodes):
        return [cast(x, dtype="i64") for x in nodes], True
    return list(nodes), False


def _times(a: Node, b: Node) -> Node:
    """The product of elements; of bools, whether both hold."""
    return and_(a, b) if a.dtype == "bool" else a * b


def _finish(node: Node, boolean: bool) -> Node:
    return ne(node, 0) if boolean else node


# --- einsum ---------------------------------------------------------------------------------------


def _ellipsis_letters(part: str, rank: int, used: str, text: str) -> tuple[int, str]:
    """How many axes the ellipsis of ``part`` covers, and ``part`` without it."""
    if "..." not in part:
        if len(part) != rank:
            raise ValueError(f"einsum: {part!r} of {text!r} does not name {rank} axes")
        return 0, part
    named = part.replace("...", "", 1)
    if "." in named or len(named) > rank:
        raise ValueError(f"einsum: {part!r} of {text!r} does not name {rank} axes")
    return rank - len(named), named


def _parse(subscripts: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, ellipses spelled out."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(ranks):
        raise ValueError(f"einsum: {text!r} names {len(parts)} operands, got {len(ranks)}")
    letters = text.replace("...", "").replace("->", "").replace(",", "")
    if letters and not (letters.isascii() and letters.isalpha()):
        raise ValueError(f"einsum: {text!r} has signs other than letters, commas, '...' and '->'")
    covered = [_ellipsis_letters(p, r, text, text)[0] for p, r in zip(parts, ranks, strict=True)]
    most = max(covered, default=0)
    free = [c for c in string.ascii_letters if c not in text]
    if len(free) < most:
        raise ValueError(f"einsum: {text!r} needs more than 52 letters")
    dots = "".join(free[:most])
    spelled = [p.replace("...", dots[most - n :]) for p, n in zip(parts, covered, strict=True)]
    if arrow:
        result = right.replace("...", dots)
    else:
        every = "".join(spelled)
        once = sorted(c for c in set(every) if every.count(c) == 1 and c not in dots)
        result = dots + "".join(once)
    if len(set(result)) != len(result) or not set(result) <= set("".join(spelled)):
        raise ValueError(
            f"einsum: the result of {text!r} repeats a letter, or has one that no operand has"
        )
    return spelled, result


def _distinct(node: Node, letters: str) -> Term:
    """Repeated letters as diagonals."""
    while len(set(letters)) < len(letters):
        letter = next(c for c in letters if letters.count(c) > 1)
        i = letters.index(letter)
        j = letters.index(letter, i + 1)
        if node.shape[i] != node.shape[j]:
            raise ValueError(
                f"einsum: axis {letter!r} has extents {node.shape[i]} and {node.shape[j]}"
            )
        node = diagonal(node, 0, i, j)
        letters = letters[:i] + letters[i + 1 : j] + letters[j + 1 :] + letter
    return Term(node, letters)


def einsum(subscripts: str, *operands: Node) -> Node:
    """Einstein's summation convention, as ``numpy.einsum``.

    Any number of operands of one dtype; repeated letters take diagonals, an ellipsis stands for
    leading axes that broadcast, and without an arrow the result has the letters that occur once, in
    alphabetical order. Products of several operands run pairwise, in the order with the fewest
    multiplications (found by comparing all orders up to five operands, greedily beyond).

    Raises:
        ValueError: for subscripts that do not fit the operands.

    >>> from symflux.ir import symbol
    >>> a, b = symbol("a", (2, 3)), symbol("b", (3, 4))
    >>> einsum("ij,jk", a, b).type.shape
    (2, 4)
    """
    letters, result = _parse(subscripts, [len(x.shape) for x in operands])
    nodes, boolean = _on_numbers(operands)
    terms = [_distinct(x, own) for x, own in zip(nodes, letters, strict=True)]
    try:
        return _finish(_product(terms, result), boolean)
    except ValueError as error:
        shapes = ", ".join(str(x.type) for x in operands)
        raise ValueError(f"einsum {subscripts!r} of {shapes}: {error}") from None


# --- products of two ------------------------------------------------------------------------------


def matmul(a: Node, b: Node) -> Node:
    """The matrix product ``a @ b``: leading axes broadcast, one axis alone is a vector.

    Raises:
        ValueError: for scalars, and for extents that do not fit.
    """
    ra, rb = len(a.shape), len(b.shape)
    if ra == 0 or rb == 0:
        raise ValueError("matmul: a scalar operand is not allowed; use * instead")
    if a.shape[-1] != b.shape[-2 if rb > 1 else 0]:
        raise ValueError(
            f"matmul: {a.type} @ {b.type}: the last axis of the first must match the "
            f"{'second last' if rb > 1 else 'only'} axis of the second, {a.shape[-1]} is not "
            f"{b.shape[-2 if rb > 1 else 0]}"
        )
    dots = max(ra, rb) - 2
    batch = string.ascii_uppercase[: max(dots, 0)]
    letters_a = batch[len(batch) - max(ra - 2, 0) :] + ("ik" if ra > 1 else "k")
    letters_b = batch[len(batch) - max(rb - 2, 0) :] + ("kj" if rb > 1 else "k")
    result = batch + ("i" if ra > 1 else "") + ("j" if rb > 1 else "")
    (x, y), boolean = _on_numbers((a, b))
    try:
        return _finish(_product([Term(x, letters_a), Term(y, letters_b)], result), boolean)
    except ValueError:
        shapes = f"{a.shape[:-2]} and {b.shape[:-2]}"
        raise ValueError(f"matmul: leading axes {shapes} do not broadcast") from None


def dot(a: Node, b: Node) -> Node:
    """``numpy.dot``: the last axis of ``a`` with the second last (or only) axis of ``b``."""
    if not a.shape or not b.shape:
        return _times(a, b)
    return tensordot(a, b, ((len(a.shape) - 1,), (max(len(b.shape) - 2, 0),)))


def inner(a: Node, b: Node) -> Node:
    """The product over the last axes of both."""
    if not a.shape or not b.shape:
        return _times(a, b)
    return tensordot(a, b, ((-1,), (-1,)))


def vdot(a: Node, b: Node) -> Node:
    """The dot product of all elements, row by row."""
    size = (a.type.size,)
    return tensordot(reshape(a, shape=size), reshape(b, shape=(b.type.size,)), 1)


def tensordot(
    a: Node, b: Node, axes: int | tuple[int | Sequence[int], int | Sequence[int]] = 2
) -> Node:
    """The sum of products over pairs of axes: the last n of ``a`` with the first n of ``b`` (a
    number), or the given ones.

    Raises:
        ValueError: if the extents of a pair differ.
    """
    ra, rb = len(a.shape), len(b.shape)
    given: Any = axes
    if is_index(given):
        if given > min(ra, rb):
            raise ValueError(f"tensordot: {a.type} and {b.type} do not both have {given} axes")
        pairs_a, pairs_b = list(range(ra - int(given), ra)), list(range(int(given)))
    else:
        first, second = map(listed, given)
        pairs_a, pairs_b = [axis_of(i, ra) for i in first], [axis_of(i, rb) for i in second]
    if len(pairs_a) != len(pairs_b) or any(
        a.shape[i] != b.shape[j] for i, j in zip(pairs_a, pairs_b, strict=True)
    ):
        raise ValueError(
            f"tensordot: axes {pairs_a} of {a.type} do not match {pairs_b} of {b.type}"
        )
    letters_a = list(string.ascii_lowercase[:ra])
    letters_b = list(string.ascii_uppercase[:rb])
    for i, j in zip(pairs_a, pairs_b, strict=True):
        letters_b[j] = letters_a[i]
    result = [c for i, c in enumerate(letters_a) if i not in pairs_a]
    result += [c for j, c in enumerate(letters_b) if j not in pairs_b]
    (x, y), boolean = _on_numbers((a, b))
    terms = [Term(x, "".join(letters_a)), Term(y, "".join(letters_b))]
    return _finish(_product(terms, "".join(result)), boolean)


def outer(a: Node, b: Node) -> Node:
    """Every element of ``a`` times every element of ``b``, as a matrix."""
    column = reshape(a, shape=(a.type.size, 1))
    return _times(column, reshape(b, shape=(1, b.type.size)))


def kron(a: Node, b: Node) -> Node:
    """The Kronecker product: blocks of ``b`` scaled by the elements of ``a``."""
    rank = max(len(a.shape), len(b.shape))
    shape_a = (1,) * (rank - len(a.shape)) + a.shape
    shape_b = (1,) * (rank - len(b.shape)) + b.shape
    x = reshape(a, shape=tuple(m for n in shape_a for m in (n, 1)))
    y = reshape(b, shape=tuple(m for n in shape_b for m in (1, n)))
    return reshape(_times(x, y), shape=tuple(p * q for p, q in zip(shape_a, shape_b, strict=True)))


def trace(x: Node, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Node:
    """The sum along a diagonal."""
    rest = diagonal(x, offset, axis1, axis2)
    return sum_(rest, axes=(len(rest.shape) - 1,))
