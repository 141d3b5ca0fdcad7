"""What an operation declares about itself, and the registry of all operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from ..records import record
from .types import Type

if TYPE_CHECKING:
    from .node import Node

__all__ = [
    "LOCALLY_CONSTANT", "Derivative", "Jvp", "Kind", "Linear", "LocallyConstant",
    "NotDifferentiable", "Op", "Partials", "Rules", "Selection", "lookup", "registered",
]  # fmt: skip


class Kind(Enum):
    """What passes and the lowering may know of an op. They branch on this, never on names.

    SOURCE: no inputs (input, constant, iota). POINTWISE: each output element from the elements
    at the same (broadcast) place. INDEX_MAP: each output element is one input element, or a fill
    value.
    REDUCTION: each output element folds a set of axes. CONTRACTION: a sum of products.
    OPAQUE: anything else (regions, multi-output ops)."""

    SOURCE = "source"
    POINTWISE = "pointwise"
    INDEX_MAP = "index map"
    REDUCTION = "reduction"
    CONTRACTION = "contraction"
    OPAQUE = "opaque"


@record(frozen=True)
class Partials:
    """Derivative of a pointwise op: ``rule(out, *inputs, **attrs)`` gives d out / d input_i for
    each i.

    A partial of None is zero (the op does not depend smoothly on that input)."""

    rule: Callable[..., tuple[Any, ...]]


@record(frozen=True)
class Linear:
    """Derivative of an op that is linear in its inputs.

    ``transpose(cotangent, position, *inputs, **attrs)`` is the adjoint map applied to the
    cotangent, for the input at ``position``. Forward mode applies the op itself to the tangents:
    to one at a time where it is linear in each of ``positions`` with the others fixed
    (multilinear; the default), or to all at once where it is linear in all of them together
    (``joint``, every input). There may be thousands of those: ``transpose`` is then given all
    positions that are wanted, and makes a list."""

    transpose: Callable[..., Any]
    positions: tuple[int, ...] = (0,)
    joint: bool = False


@record(frozen=True)
class Selection:
    """Derivative of a pointwise op that picks one of its inputs: ``masks(out, *inputs)`` gives,
    for each input, a bool node that is true where that input is picked, or None for an input
    never picked.

    Forward mode applies the op to the tangents in place of the inputs that can be picked.
    Reverse mode carries the masks along the cotangent, so that a branch not taken contributes
    exactly zero even where its own derivative is inf or nan."""

    masks: Callable[..., tuple[Any, ...]]


@record(frozen=True)
class Jvp:
    """Derivative stated once, as the pushforward, for ops that are neither pointwise nor linear.

    ``rule(out, tangents, *inputs, **attrs)`` gives the tangent of ``out``; ``tangents`` holds a
    Node or None for each input, and the result must be linear in them. Reverse mode transposes
    it."""

    rule: Callable[..., Any]


@record(frozen=True)
class Rules:
    """Two rules, for ops with regions only.

    ``jvp(engine, out, tangents, *inputs, **attrs)`` -> list of output tangents (Node or None);
    ``vjp(engine, out, cotangents, wanted, *inputs, **attrs)`` -> list of input cotangents (Node
    or None), where ``wanted[i]`` says whether input i's is needed. ``engine`` offers the
    transforms of graphs (``engine.jvp(graph, active)``, ``engine.vjp(graph, wanted)``), which
    live in a layer above."""

    jvp: Callable[..., Any]
    vjp: Callable[..., Any]


@record(frozen=True)
class LocallyConstant:
    """The derivative is zero wherever it exists (comparisons, floor, argmax, integer results)."""


@record(frozen=True)
class NotDifferentiable:
    """A deliberate gap; ``why`` completes the sentence "cannot be differentiated: ..."."""

    why: str


LOCALLY_CONSTANT = LocallyConstant()
Derivative: TypeAlias = (
    Partials | Linear | Selection | Jvp | Rules | LocallyConstant | NotDifferentiable
)


@record(frozen=True, eq=False)
class Op:
    """One operation: everything the compiler knows of it.

    Attributes:
        name: unique; as printed in graphs.
        kind: see :class:`Kind`.
        infer: ``infer(*input_types, **attrs)`` -> the result's type; raises TypeError or
        ValueError with
            a sentence for the user.
        derivative: one statement for both modes.
        batch: ``batch(inputs, batched, **attrs)`` -> the result with a new leading axis, where
            ``batched[i]`` says whether ``inputs[i]`` has that leading axis. Pointwise ops share
            one.
        lower: how it becomes loops; what is expected depends on the kind (see ``ops/table.py``).
        oracle: the NumPy meaning, ``oracle(*arrays, **attrs)``.
        commutative: inputs may be exchanged (two inputs).
        doc: one line for the generated table of ops.
    """

    name: str
    kind: Kind
    infer: Callable[..., Type]
    derivative: Derivative
    batch: Callable[..., Any]
    lower: Any
    oracle: Callable[..., Any]
    commutative: bool = False
    doc: str = ""

    def __post_init__(self) -> None:
        if self.name in _REGISTRY:
            raise ValueError(f"op {self.name!r} is defined twice")
        _REGISTRY[self.name] = self

    def __call__(self, *inputs: Any, **attrs: Any) -> Node:
        """Apply to nodes (and Python numbers, which take the dtype of the first node)."""
        return _node.apply(self, inputs, attrs)

    def __repr__(self) -> str:
        return f"<op {self.name}>"


_REGISTRY: dict[str, Op] = {}


def lookup(name: str) -> Op:
    """The op of that name.

    Raises:
        KeyError: if there is none.
    """
    return _REGISTRY[name]


def registered() -> Mapping[str, Op]:
    """All ops by name, in the order of their definition."""
    return _REGISTRY


# at the end: nodes need ops, and making an op's node is too frequent for an import on every call
from . import node as _node  # noqa: E402
