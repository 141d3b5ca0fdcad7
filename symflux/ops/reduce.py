"""Ops that fold axes away: sum, and its relatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.node import Node
from ..ir.op import Linear
from .shape import broadcast_to, reshape
from .table import Fold, reduction

__all__ = ["expand", "sum_"]


def expand(reduced: Node, shape: tuple[int, ...], axes: tuple[int, ...]) -> Node:
    """Undo a reduction's change of shape: extent 1 on ``axes``, then broadcast to ``shape``."""
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return broadcast_to(reshape(reduced, shape=kept), shape=shape)


def _sum_transpose(ct: Node, position: int, x: Node, *, axes: tuple[int, ...]) -> Node:
    return expand(ct, x.shape, axes)


def _oracle_sum(x: Any, axis: tuple[int, ...]) -> Any:
    return np.sum(x, axis=axis, dtype=x.dtype)


sum_ = reduction(
    "sum",
    fold=Fold(init=lambda dtype: (0,), combine="add"),
    derivative=Linear(_sum_transpose),
    oracle=_oracle_sum,
    doc="The sum of the elements along the axes.",
)
