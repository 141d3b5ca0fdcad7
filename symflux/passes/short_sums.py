"""Contractions of few terms as sums of products, where they do not gain by being contractions.

A contraction writes its result, and its kernels gain by using each element often. Two or three
terms have little to use. If what is made of the result, element by element, is summed in the end
(distances, log-likelihoods, weighted positions), the products fuse with that sum and nothing is
written. If one operand has two axes of its own (tangents of many small matrices), there may be no
long axis for the kernels at all. Plain products of two matrices stay contractions.
"""

from __future__ import annotations

import math

from ..ir.node import Node
from ..ir.op import Kind
from ..ops.reduce import sum_
from ..thresholds import thresholds
from .contractions import product
from .rewrite import Law, Scope, rule

__all__ = ["SHORT_SUMS"]


@rule(
    "contract with a short sum = sum of mul",
    Kind.CONTRACTION,
    grade="accurate",
    dtypes="f",
    domain="everywhere: the same sums, perhaps in another order",
    examples=(
        'x: f64[9,2], y: f64[5,2,2] ; contract x, y "nj,kij->nki" ; exp %0 ; sum %1 axes=(2,)',
        'x: f32[8,3,3], y: f32[8,3,5] ; contract x, y "bij,bjv->biv" ; max %0 axes=(0,)',
        'x: f64[3,3], y: f64[9,3,3] ; contract x, y "ik,tkj->tij"',
    ),
)
def contract_as_sum(node: Node, scope: Scope) -> Node | None:
    """The summed axis stands where the larger operand has it, so that this is read as it lies."""
    spec, result = node["spec"].split("->")
    operands = list(zip(spec.split(","), node.inputs, strict=True))
    extents = {
        letter: extent for word, x in operands for letter, extent in zip(word, x.shape, strict=True)
    }
    summed = [letter for letter in extents if letter not in result]
    terms = math.prod(extents[letter] for letter in summed)
    if not 1 < terms <= thresholds.short_sum or len(result) < 3:
        return None
    if node.type.size < thresholds.short_sum_from:
        return None
    if node.dtype == "f16":  # contractions add in f32
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
    return sum_(product(node, order), axes=tuple(order.index(letter) for letter in summed))


SHORT_SUMS: tuple[Law, ...] = (contract_as_sum,)
