"""Laws of contractions: transposes move into their specs, products without a sum are pointwise."""

from __future__ import annotations

from ..ir.node import Node
from ..ir.op import Kind, lookup
from ..ops.shape import reshape, transpose
from .rewrite import Law, Scope, rule

__all__ = ["CONTRACTIONS", "product"]


@rule(
    "contract of transpose = contract",
    Kind.CONTRACTION,
    lambda keys: "transpose" in keys,
    grade="accurate",
    domain="everywhere: the same sums, perhaps in another order",
    examples='x: f64[2,3], y: f64[4,3] ; transpose y axes=(1, 0) ; contract x, %0 "ij,jk->ik"',
)
def contract_of_transpose(node: Node, scope: Scope) -> Node | None:
    """The letters are put in the order of the operand's own axes."""
    words, result = node["spec"].split("->")
    operands = []
    letters = []
    for x, word in zip(node.inputs, words.split(","), strict=True):
        if x.op is transpose:
            own = [""] * len(word)
            for letter, axis in zip(word, x["axes"], strict=True):
                own[axis] = letter
            word, x = "".join(own), x.inputs[0]
        letters.append(word)
        operands.append(x)
    return node.op(*operands, spec=f"{','.join(letters)}->{result}")


@rule(
    "transpose of contract = contract",
    "transpose",
    ("contract",),
    grade="accurate",
    domain="everywhere: the same sums, perhaps in another order",
    examples='x: f64[2,3], y: f64[3,4] ; contract x, y "ij,jk->ik" ; transpose %0 axes=(1, 0)',
)
def transpose_of_contract(node: Node, scope: Scope) -> Node | None:
    """The result is written in the wanted order at once, when nobody else needs the other one."""
    inner = node.inputs[0]
    if not scope.single(inner):
        return None
    words, result = inner["spec"].split("->")
    letters = "".join(result[a] for a in node["axes"])
    return inner.op(*inner.inputs, spec=f"{words}->{letters}")


@rule(
    "contract without a sum = mul",
    Kind.CONTRACTION,
    grade="accurate",
    domain="everywhere: the same products (0 + x may lose the sign of -0.0)",
    examples=(
        'x: f64[2,3], y: f64[4] ; contract x, y "ij,k->kij"',
        'x: f32[2,3], y: f32[3,2] ; contract x, y "ij,ji->ji"',
        'x: f64, y: f64[4] ; contract x, y ",i->i"',
    ),
)
def contract_as_product(node: Node, scope: Scope) -> Node | None:
    """An outer or elementwise product fuses with its surroundings when it is pointwise."""
    words, result = node["spec"].split("->")
    if set(words) - set(result) != {","}:
        return None
    return product(node, result)


def product(node: Node, order: str) -> Node:
    """The elementwise product of a contraction's operands, its axes the letters of ``order``."""
    words = node["spec"].split("->")[0].split(",")
    factors = [_spread(x, word, order) for x, word in zip(node.inputs, words, strict=True)]
    return lookup("mul")(*factors)


def _spread(x: Node, word: str, result: str) -> Node:
    """x, its axes named by ``word``, with extents of 1 for the other letters of ``result``."""
    order = sorted(range(len(word)), key=lambda i: result.index(word[i]))
    moved = x if order == list(range(len(word))) else transpose(x, axes=tuple(order))
    extents = dict(zip(word, x.shape, strict=True))
    shape = tuple(extents.get(letter, 1) for letter in result)
    return moved if moved.shape == shape else reshape(moved, shape=shape)


CONTRACTIONS: tuple[Law, ...] = (contract_of_transpose, transpose_of_contract, contract_as_product)
