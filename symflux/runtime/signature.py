"""How a user's arguments and results map to a native call."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import tree
from ..codegen.llvm.callspec import CallSpec, Check, Leaf, Node, Static, leaves
from ..codegen.llvm.words import Words
from ..deep import deep
from ..records import replace
from ..trace.trace import Traced, raise_by_number

if TYPE_CHECKING:
    from .stages import Stages

__all__ = ["direct_spec", "with_out"]


def direct_spec(
    traced: Traced, stages: Stages, leaves: Sequence[Any], captured: Sequence[np.ndarray[Any, Any]],
    fallback: Callable[..., Any], words: Words | None = None,
    apart: Sequence[np.ndarray[Any, Any]] = (),
) -> CallSpec | None:  # fmt: skip
    """The native call for the user's own argument structure; None where only Python can take the
    arguments apart (keywords, params, dataclasses, layers, other layouts of captured arrays)."""
    graph, donate = stages.graph, stages.donate
    first = len(traced.arguments.types)
    of_args, of_kwargs = traced.arguments.in_tree.children
    if len(of_kwargs.children) or traced.changes is not None:
        return None
    for array, x in zip(captured, graph.inputs[first:], strict=True):
        usual = array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative
        if not usual or array.shape != x.shape:
            return None
    donated = set(donate.values())
    numbers = iter(range(first))

    def argument() -> Leaf | None:
        i = next(numbers)
        x, leaf = graph.inputs[i], leaves[i]
        kind = _kind(leaf)
        if kind is None or (i in donated and kind != "array"):
            return None
        narrow = traced.bounds.get(i, ()) if kind == "int" else ()
        return Leaf(kind, x.dtype, stages.inputs[i], x.shape, i in donated, narrow)  # type: ignore[arg-type]

    params = [_native(child, argument) for child in of_args.children]
    if any(p is None for p in params):
        return None
    result = _native(traced.out_tree, _results(traced, stages, first))
    if result is None:
        return None
    names = stages.inputs[first:]
    captures = tuple(zip(names, captured, strict=True))
    check: Check | None = None
    if traced.failure is not None:
        check = Check(stages.outputs[traced.failure], partial(raise_by_number, traced.errors))
    return CallSpec(
        graph.name, tuple(params), result, fallback, captures, words=words, apart=tuple(apart),
        check=check,
    )  # fmt: skip


def with_out(spec: CallSpec) -> CallSpec | None:
    """The same call with arrays for its results given as ``out``; None where there are none to give
    (an argument is returned, or a result stands in two places)."""
    results = list(leaves(spec.result))
    names = {leaf.buffer for leaf in results}
    if any(leaf.kind == "argument" for leaf in results) or len(names) < len(results):
        return None

    @deep
    def given(tree: Any) -> Generator[Any, Any, Any]:
        if isinstance(tree, Leaf):
            return Leaf("array", tree.dtype, tree.buffer, tree.shape, donated=True)
        if isinstance(tree, Node):
            children: list[Any] = []
            for child in tree.children:
                children.append((yield given.step(child)))
            return Node(tree.kind, tuple(children), tree.keys)
        return tree

    return replace(spec, out=given(spec.result)) if results else None


def _results(traced: Traced, stages: Stages, first: int) -> Callable[[], Leaf | None]:
    graph, donate = stages.graph, stages.donate
    positions: Iterator[int] = iter(range(len(graph.outputs)))

    def result() -> Leaf | None:
        o = next(positions)
        y, name = graph.outputs[o], stages.outputs[o]
        if o in donate:
            return Leaf("argument", y.dtype, name, y.shape) if donate[o] < first else None
        if y.shape:
            return Leaf("array", y.dtype, name, y.shape)
        weak = {"f64": "float", "i64": "int", "bool": "bool"}.get(y.dtype)
        kind = weak if traced.weak[o] and weak else "numpy_scalar"
        return Leaf(kind, y.dtype, name)  # type: ignore[arg-type]

    return result


def _kind(leaf: Any) -> str | None:
    """How a leaf is read natively; None where it is not."""
    cls = type(leaf)
    if cls is float or cls is int or cls is bool:
        return cls.__name__
    if cls is np.ndarray:
        return "array"
    return "numpy_scalar" if isinstance(leaf, np.generic) else None


def _native(structure: tree.TreeDef, leaf: Callable[[], Any]) -> Any:
    """The native form of a container (tuple, list, dict of leaves); None where there is none."""

    def native(part: tree.TreeDef, children: list[Any]) -> Any:
        kind = part.kind
        if kind is tree.LEAF_KIND:
            return leaf()
        if kind is tree.NONE:
            return Static(None)
        if kind.name == "Static":  # matched by identity; equal but other objects: the slow path
            return Static(part.static)
        plain_dict = kind is tree.DICT and part.static[0] is dict
        if any(child is None for child in children):
            return None
        if kind is tree.TUPLE or kind is tree.LIST or plain_dict:
            keys = tuple(part.static[1]) if plain_dict else ()
            return Node(kind.name, tuple(children), keys)  # type: ignore[arg-type]
        return None

    return structure.fold(native)
