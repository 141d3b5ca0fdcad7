"""Contractions with few terms that a sum follows become sums of products.

A contraction writes its result, and its kernels gain by using each element often. One with two or
three terms has little to use, and if all that is made of its result, element by element, is summed
in the end (distances, log-likelihoods, weighted positions), it fuses with that sum: nothing is
written. Where its result has to be written in any case it stays a contraction.
"""

from __future__ import annotations

import math

from ..ir.node import Node
from ..ir.op import Kind, lookup
from ..ops.reduce import sum_
from .contractions import spread_factor
from .rewrite import Law, Scope, rule

__all__ = ["SHORT_SUMS"]

#: products in a sum up to which, and results from which on, a contraction can do without its kernels
_FEW = 3
_MANY = 64


@rule(
    "contract with a short sum = sum of mul",
    Kind.CONTRACTION,
    grade="accurate",
    dtypes="f",
    domain="everywhere: the same sums, perhaps in another order",
    examples=(
        'x: f64[40,2], y: f64[2,5] ; contract x, y "ij,jk->ik" ; sum %0 axes=(0,)',
        'x: f32[50,3], y: f32[50,2,3] ; contract x, y "bj,bij->bi" ; exp %0 ; sum %1 axes=(0, 1)',
        'x: f64[3,64], y: f64[64,3] ; contract x, y "ji,ij->i" ; max %0 axes=(0,)',
    ),
)
def contract_as_sum(node: Node, scope: Scope) -> Node | None:
    """The summed axis stands where the larger operand has it, so that this is read as it lies."""
    spec, result = node["spec"].split("->")
    operands = list(zip(spec.split(","), node.inputs, strict=True))
    extents = {
        letter: extent
        for word, x in operands
        for letter, extent in zip(word, x.shape, strict=True)
    }
    summed = [letter for letter in extents if letter not in result]
    terms = math.prod(extents[letter] for letter in summed)
    if not 1 < terms <= _FEW or node.type.size < _MANY or len(result) < 3:
        return None
    kept = [len([c for c in word if c in result and spec.count(c) == 1]) for word, _ in operands]
    if max(kept) < 2 and not scope.is_summed(node):
        return None
    order = result
    largest, _ = max(operands, key=lambda operand: operand[1].type.size)
    for letter in summed:
        behind = [c for c in largest.partition(letter)[2] if c in order]
        place = order.index(behind[0]) if behind else len(order)
        order = order[:place] + letter + order[place:]
    factors = [spread_factor(x, word, order) for word, x in operands]
    return sum_(lookup("mul")(*factors), axes=tuple(order.index(letter) for letter in summed))


SHORT_SUMS: tuple[Law, ...] = (contract_as_sum,)
