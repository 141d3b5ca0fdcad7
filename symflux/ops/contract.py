"""The contraction: a sum of products over shared axes; what matmul, dot and einsum are made of."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.node import Node
from ..ir.op import Kind, Linear, Op
from ..ir.types import ArrayType
from .table import same_dtype

__all__ = ["contract", "split_spec"]


def split_spec(spec: str) -> tuple[str, str, str]:
    """The letters of the two operands and of the result.

    >>> split_spec("ik,jk->ij")
    ('ik', 'jk', 'ij')
    """
    operands, _, result = spec.partition("->")
    a, _, b = operands.partition(",")
    return a, b, result


def _check_letters(spec: str, a: str, b: str, result: str) -> None:
    for part in (a, b, result):
        if len(set(part)) != len(part) or not (part == "" or part.isalpha()):
            raise ValueError(f"contract: {spec!r} repeats a letter in {part!r}, or has other signs")
    if not set(result) <= set(a) | set(b):
        raise ValueError(f"contract: {spec!r} has a letter of the result in neither operand")
    lonely = (set(a) ^ set(b)) - set(result)
    if lonely:
        letters = "".join(sorted(lonely))
        raise ValueError(f"contract: sum {letters!r} of {spec!r} first: only one operand has it")


def _contract_type(a: ArrayType, b: ArrayType, *, spec: str) -> ArrayType:
    dtype = same_dtype("contract", (a, b))
    if dtype == "bool":
        raise TypeError(f"contract: takes integer or float values, got {a} and {b}")
    letters_a, letters_b, result = split_spec(spec)
    _check_letters(spec, letters_a, letters_b, result)
    extents: dict[str, int] = {}
    for letters, operand in ((letters_a, a), (letters_b, b)):
        if len(letters) != operand.rank:
            raise ValueError(
                f"contract: {letters!r} of {spec!r} does not name the axes of {operand}"
            )
        for letter, n in zip(letters, operand.shape, strict=True):
            if extents.setdefault(letter, n) != n:
                raise ValueError(
                    f"contract: axis {letter!r} of {spec!r} has extents {extents[letter]} and {n}: "
                    f"{a} and {b}"
                )
    return ArrayType(tuple(extents[letter] for letter in result), dtype)


def _contract_transpose(ct: Node, position: int, a: Node, b: Node, *, spec: str) -> Node:
    letters_a, letters_b, result = split_spec(spec)
    if position == 0:
        return contract(ct, b, spec=f"{result},{letters_b}->{letters_a}")
    return contract(ct, a, spec=f"{result},{letters_a}->{letters_b}")


def _batch_contract(inputs: Sequence[Node], batched: Sequence[bool], *, spec: str) -> Node:
    letters_a, letters_b, result = split_spec(spec)
    new = next(c for c in "b" + string.ascii_letters if c not in spec)
    if batched[0]:
        letters_a = new + letters_a
    if batched[1]:
        letters_b = new + letters_b
    return contract(*inputs, spec=f"{letters_a},{letters_b}->{new}{result}")


def _oracle_contract(a: Any, b: Any, *, spec: str) -> Any:
    wide = np.float32 if a.dtype == np.float16 else a.dtype
    result = np.einsum(spec, a.astype(wide), b.astype(wide), optimize=a.size * b.size > 4096)
    return np.asarray(result).astype(a.dtype)


contract: Op = Op(
    "contract",
    Kind.CONTRACTION,
    _contract_type,
    Linear(_contract_transpose, positions=(0, 1)),
    _batch_contract,
    None,
    _oracle_contract,
    doc="Products summed over the axes whose letter the result lacks, as ``spec`` says: ik,jk->ij.",
)
