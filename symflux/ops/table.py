"""How an operation is declared: one constructor per family, so that the common case is a row.

What ``Op.lower`` holds, by kind:

    SOURCE       None where the elements lie in memory (input, constant), else
                 ``f(emitter, index, node) -> value``: the element at ``index``, where
                 ``emitter.index_operand(i)`` is an axis's index as an i64 value
    POINTWISE    the name of a scalar of the loop IR, or ``f(b, *values, **attrs) -> value`` that
                 composes scalars with ``b.let(name, *operands)``; numbers are allowed as operands
    INDEX_MAP    ``f(reader, index, *input_types, **attrs) -> value``: the element of the result at
                 ``index`` (a tuple of affine expressions, one per axis), obtained by
                 ``reader.read(i, index)`` from input i, or ``reader.fill(value)``;
                 ``reader.inside(expression, low, high)`` is True or False for the whole loop range
                 (the lowering splits the loop where it would be both);
                 ``reader.index_value(i, index, extent)`` is an element of the integer input i as an
                 index, clamped to 0 .. extent-1
    REDUCTION    a :class:`Fold`
    CONTRACTION  None: the attribute ``spec`` says it all
    OPAQUE       ``f(lowering, node)``: emits its own loops
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.node import Node
from ..ir.op import Derivative, Kind, Linear, Op, Partials
from ..ir.types import ArrayType, broadcast_shapes
from ..records import record

__all__ = ["Fold", "index_map", "pointwise", "reduction", "same_dtype"]


def same_dtype(name: str, types: Sequence[ArrayType]) -> str:
    """The one dtype of all operands; a graph never converts silently."""
    dtypes = {t.dtype for t in types}
    if len(dtypes) != 1:
        raise TypeError(f"{name}: operands must share a dtype, got {', '.join(map(str, types))}")
    return types[0].dtype


def _check_domain(name: str, dtype: str, domain: str) -> None:
    groups = {"b": "bool", "i": "integer", "u": "integer", "f": "float"}
    if dtype[0] not in domain:
        allowed = " or ".join(dict.fromkeys(groups[c] for c in domain))
        raise TypeError(f"{name}: takes {allowed} values, got {dtype}")


def _align(x: Node, batched: bool, rank: int) -> Node:
    """Insert axes of extent 1 behind the leading batch axis so that ``x`` has ``rank`` + 1 axes."""
    from .shape import reshape

    missing = rank + 1 - len(x.shape)
    if not batched or missing == 0:
        return x
    return reshape(x, shape=(x.shape[0], *(1,) * missing, *x.shape[1:]))


def _batch_pointwise(op_name: str) -> Callable[..., Node]:
    def batch(inputs: Sequence[Node], batched: Sequence[bool], **attrs: Any) -> Node:
        from ..ir.op import lookup

        rank = max(len(x.shape) - b for x, b in zip(inputs, batched, strict=True))
        aligned = [_align(x, b, rank) for x, b in zip(inputs, batched, strict=True)]
        return lookup(op_name)(*aligned, **attrs)

    return batch


def _arity(oracle: Any) -> int:
    """How many arrays an oracle takes: those of its parameters that are not keywords only."""
    count = oracle.nin if isinstance(oracle, np.ufunc) else oracle.__code__.co_argcount
    return int(count)


def pointwise(
    name: str,
    *,
    partials: Callable[..., tuple[Any, ...]] | Derivative,
    oracle: Callable[..., Any],
    lower: str | Callable[..., Any] | None = None,
    domain: str = "f",
    result: Callable[..., str] | str = "same",
    infer: Callable[..., ArrayType] | None = None,
    commutative: bool = False,
    doc: str = "",
) -> Op:
    """An elementwise op with NumPy broadcasting of its inputs.

    Args:
        name: of the op.
        partials: ``partials(out, *inputs)`` -> the partial derivative for each input (None: zero),
            or a ready derivative statement such as ``LOCALLY_CONSTANT``.
        oracle: the NumPy function that it means.
        lower: see the top of this file; by default the scalar of the same name.
        domain: the first letters of the dtypes it takes: b, i, u, f.
        result: ``"same"`` as the operands, or a short dtype name such as ``"bool"``.
        infer: replaces the type rule that ``domain`` and ``result`` describe.
    """

    arity = _arity(oracle) if infer is None else 0
    same = result == "same"

    def default_infer(*types: ArrayType, **_: Any) -> ArrayType:
        if len(types) != arity:
            raise TypeError(f"{name}: takes {arity} operands, got {len(types)}")
        first = types[0]
        if same and first.dtype[0] in domain:
            for t in types:
                if t is not first and t != first:
                    break
            else:
                return first  # the common case, without a new object
        dtype = same_dtype(name, types)
        _check_domain(name, dtype, domain)
        try:
            shape = broadcast_shapes(*(t.shape for t in types))
        except ValueError:
            shapes = " and ".join(str(t.shape) for t in types)
            raise ValueError(f"{name}: shapes {shapes} do not broadcast") from None
        return ArrayType(shape, dtype if result == "same" else str(result))

    derivative = partials if isinstance(partials, Derivative) else Partials(partials)
    return Op(
        name, Kind.POINTWISE, infer or default_infer, derivative, _batch_pointwise(name),
        lower or name, oracle, commutative, doc,
    )  # fmt: skip


@record(frozen=True)
class Fold:
    """A reduction as a loop: values carried over the reduced elements.

    Attributes:
        init: ``init(dtype)`` -> the starting values (Python numbers).
        step: ``step(b, carried, value, position)`` -> the next carried values; ``position`` is the
            i64 row-major number of the element among the reduced ones (None where
            ``needs_position`` is False). A single carried value combined by one scalar is written
            ``combine`` instead.
        combine: name of the scalar (``add``, ``maximum`` ...) when the fold is just that; the
            target may then choose the order, always the same way.
        result: which carried value is the result.
        dtypes: ``dtypes(dtype)`` -> the dtype of each carried value, for folds with a ``step``.
    """

    init: Callable[[str], tuple[Any, ...]]
    combine: str | None = None
    step: Callable[..., tuple[Any, ...]] | None = None
    needs_position: bool = False
    result: int = 0
    dtypes: Callable[[str], tuple[str, ...]] | None = None


def reduction(
    name: str,
    *,
    fold: Fold,
    derivative: Derivative,
    oracle: Callable[..., Any],
    domain: str = "iuf",
    result: str = "same",
    empty: bool = True,
    doc: str = "",
) -> Op:
    """An op that folds ``axes`` (attribute: a sorted tuple of axis numbers) away.

    ``oracle(x, axis=axes)`` is the NumPy function. ``empty`` says whether it has a value for no
    elements at all."""

    def infer(x: ArrayType, *, axes: tuple[int, ...]) -> ArrayType:
        _check_domain(name, x.dtype, domain)
        if tuple(sorted(set(axes))) != axes or not all(0 <= a < x.rank for a in axes):
            raise ValueError(f"{name}: axes {axes} are not distinct sorted axes of {x}")
        if not empty and any(x.shape[a] == 0 for a in axes):
            raise ValueError(f"{name}: has no value for the empty axes {axes} of {x}")
        shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)
        return ArrayType(shape, x.dtype if result == "same" else result)

    def batch(inputs: Sequence[Node], batched: Sequence[bool], *, axes: tuple[int, ...]) -> Node:
        return op(inputs[0], axes=tuple(a + 1 for a in axes))

    op = Op(
        name, Kind.REDUCTION, infer, derivative, batch, fold,
        lambda x, *, axes: oracle(x, axis=axes), doc=doc,
    )  # fmt: skip
    return op


def index_map(
    name: str,
    *,
    infer: Callable[..., ArrayType],
    transpose: Callable[..., Node | list[Node]],
    batch: Callable[..., Node],
    lower: Callable[..., Any],
    oracle: Callable[..., Any],
    joint: bool = False,
    derivative: Derivative | None = None,
    doc: str = "",
) -> Op:
    """An op whose elements are elements of its inputs (or zeros); linear by nature."""
    statement = derivative or Linear(transpose, joint=joint)
    return Op(name, Kind.INDEX_MAP, infer, statement, batch, lower, oracle, doc=doc)
