"""What the type rules say to operands that do not fit."""

import pytest

from symflux import ops
from symflux.ir import symbol

F = symbol("f", (2, 3))
G = symbol("g", (2, 3), "f32")
INDICES = symbol("i", (4,), "i64")
B = symbol("b", (2, 3), "bool")


@pytest.mark.parametrize(
    ("apply", "error", "words"),
    [
        (lambda: ops.add(F, G), TypeError, r"share a dtype, got f64\[2,3\], f32\[2,3\]"),
        (lambda: ops.add(F, symbol("x", (4,))), ValueError, r"\(2, 3\) and \(4,\) do not broad"),
        (lambda: ops.exp(INDICES), TypeError, "takes float values, got i64"),
        (lambda: ops.shl(F, F), TypeError, "takes integer values, got f64"),
        (lambda: ops.add(B, B), TypeError, "takes integer or float values, got bool"),
        (lambda: ops.where(F, F, F), TypeError, "condition must be bool"),
        (lambda: ops.where(B, F, G), TypeError, "share a dtype"),
        (lambda: ops.where(B, F, symbol("x", (4,))), ValueError, "do not broadcast"),
        (lambda: ops.sum_(F, axes=(2,)), ValueError, "distinct sorted axes"),
        (lambda: ops.sum_(F, axes=(1, 0)), ValueError, "distinct sorted axes"),
        (lambda: ops.max_(symbol("e", (2, 0)), axes=(1,)), ValueError, "no value for the empty"),
        (lambda: ops.any_(F, axes=(0,)), TypeError, "takes bool values, got f64"),
        (lambda: ops.reshape(F, shape=(4,)), ValueError, "6 elements"),
        (lambda: ops.transpose(F, axes=(0, 0)), ValueError, "do not permute"),
        (lambda: ops.broadcast_to(F, shape=(2, 4)), ValueError, "broadcast"),
        (lambda: ops.pad(F, low=(-1, 0), high=(0, 0), interior=(0, 0)), ValueError, "negative"),
        (
            lambda: ops.slice_(F, start=(0, 2), step=(1, 1), shape=(2, 2)),
            ValueError,
            "axis 1 of f64.* has no elements 2, ..., 3",
        ),
        (lambda: ops.concatenate(F, INDICES, axis=0), TypeError, "share a dtype"),
        (lambda: ops.concatenate(F, symbol("x", (2, 4)), axis=0), ValueError, "outside axis 0"),
        (lambda: ops.take(F, F, axis=0), TypeError, "must be integers"),
        (lambda: ops.take(F, INDICES, axis=2), ValueError, "no axis 2"),
        (lambda: ops.take(symbol("e", (0,)), INDICES, axis=0), ValueError, "no elements to take"),
        (lambda: ops.scatter_add(F, INDICES, size=3, axis=0), ValueError, "are not those of"),
        (lambda: ops.iota(shape=(3,), dtype="i64", axis=1), ValueError, "no axis 1"),
        (lambda: ops.contract(F, G, spec="ik,jk->ij"), TypeError, "share a dtype"),
        (lambda: ops.contract(B, B, spec="ik,jk->ij"), TypeError, "got bool"),
        (lambda: ops.contract(F, F, spec="ik,kj->ij"), ValueError, "extents 3 and 2"),
        (lambda: ops.contract(F, F, spec="ii,jk->ijk"), ValueError, "repeats a letter"),
        (lambda: ops.contract(F, F, spec="ik,jk->il"), ValueError, "neither operand"),
        (lambda: ops.contract(F, F, spec="ik,jk->i"), ValueError, "sum 'j'"),
        (lambda: ops.contract(F, F, spec="i,jk->ijk"), ValueError, "does not name the axes"),
    ],
)
def test_type_rules(apply, error, words):
    with pytest.raises(error, match=words):
        apply()
