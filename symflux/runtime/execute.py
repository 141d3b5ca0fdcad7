"""Run a graph now: compiled on first sight, cached by its structure."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import config, forking
from ..codegen.llvm.callspec import CallSpec, Leaf, describe
from ..codegen.llvm.callspec import Node as TupleNode
from ..collector import collector_paused
from ..errors import RangeError
from ..ir.graph import Graph
from ..ir.origin import user_frame
from ..ir.types import ArrayType, numpy_dtype
from .lowered import report
from .unrolled import told

if TYPE_CHECKING:
    from ..codegen.llvm.entry import Entry
    from .stages import Stages

__all__ = ["execute", "flat_entry", "guarded", "native_entry", "plain"]

#: When this process began to load the compiler's files; some are loaded when they are needed.
LOADED = time.time()

#: How many graphs that ran through :func:`execute` are kept compiled.
CAPACITY = 512

_cache: OrderedDict[tuple[str, str], Entry] = OrderedDict()
_lock = forking.lock()


def plain(value: Any, type_: ArrayType) -> Any:
    """``value`` as what a flat entry takes: a NumPy scalar, or a C-contiguous aligned native
    array."""
    dtype = numpy_dtype(type_.dtype)
    if type_.shape == ():
        try:
            return dtype.type(value)
        except OverflowError:
            raise RangeError(
                f"the number {value!r:.40} does not fit into {dtype}", place=user_frame(),
                right="float(x), where its magnitude matters more than its last digits",
            ) from None  # fmt: skip
    if (
        type(value) is np.ndarray
        and value.dtype == dtype
        and value.dtype.isnative
        and value.flags.c_contiguous
        and value.flags.aligned
    ):
        return value
    return np.require(np.asarray(value, dtype), requirements=["C", "A"])


def _leaf(type_: ArrayType, buffer: str, donated: bool = False) -> Leaf:
    kind = "array" if type_.shape or donated else "numpy_scalar"
    return Leaf(kind, type_.dtype, buffer, type_.shape, donated)  # type: ignore[arg-type]


def flat_entry(stages: Stages) -> Entry:
    """A native function of all inputs in order, returning a tuple of all outputs not written in
    place."""
    graph = stages.graph
    donated = set(stages.donate.values())
    params = [
        _leaf(x.type, name, i in donated)
        for i, (x, name) in enumerate(zip(graph.inputs, stages.inputs, strict=True))
    ]
    results = [
        _leaf(y.type, name)
        for i, (y, name) in enumerate(zip(graph.outputs, stages.outputs, strict=True))
        if i not in stages.donate
    ]
    spec = CallSpec(graph.name, tuple(params), TupleNode("tuple", tuple(results)), _refuse)
    if guarded():
        from ..codegen.llvm.entry import Entry
        from .guarded import guarded_call

        return Entry(lambda: stages.program, spec, guarded_call(stages))
    return native_entry(stages, spec)


def guarded() -> bool:
    """Whether the setting ``guard`` asks for memory between pages that nobody may touch."""
    return config.get("guard") not in ("off", False)


def native_entry(stages: Stages, spec: CallSpec) -> Entry:
    """Machine code for a program behind the entry that ``spec`` describes."""
    from ..codegen.llvm.entry import Entry  # LLVM is set to work by the first compilation
    from ..codegen.llvm.image import Image, is_native, load_entry
    from . import cache

    def make() -> Image:
        from ..codegen.llvm import library
        from ..codegen.llvm.pycall import compile_entry

        program = stages.program
        library.use(cache.Kernels())
        start = time.perf_counter()
        image = compile_entry(program, spec)
        stages.seconds["LLVM"] = time.perf_counter() - start
        return image

    if not is_native(spec):
        return Entry(lambda: stages.program, spec, spec.fallback)

    def load(image: Image) -> Any:
        start = time.perf_counter()
        call = load_entry(image, spec)
        stages.seconds["loading"] = time.perf_counter() - start
        return call

    if any(config.get(name) for name in ("verify", "print_after", "stop_after")):
        call = load(make())  # whoever wants to see passes at work, or to skip some, has them run
    else:
        call = cache.through(lambda: _name(stages, spec), make, load)
    return Entry(lambda: stages.program, spec, call)


def _name(stages: Stages, spec: CallSpec) -> str:
    """What the code of an entry is found by on disk."""
    from .cache import fingerprint

    numbers: dict[str, int] = {}
    for name in (*stages.inputs, *stages.outputs):
        numbers.setdefault(name, len(numbers))
    donate = sorted(stages.donate.items())
    return fingerprint(
        stages.graph.canonical, f"{describe(spec, numbers)} donate {donate} {config.in_code()}"
    )


def _refuse(*arguments: Any, **keywords: Any) -> Any:
    described = ", ".join(f"{type(a).__name__}{getattr(a, 'shape', '')}" for a in arguments)
    raise AssertionError(
        f"a compiled graph was called with arguments it is not made for: {described}"
    )


def execute(graph: Graph, arguments: Sequence[Any]) -> list[Any]:
    """The outputs of a graph for plain arguments (numbers and arrays), computed natively.

    Structurally equal graphs share one compilation. Scalar outputs are NumPy scalars.
    """
    key = graph.canonical, config.in_code()
    with _lock:
        entry = _cache.get(key)
        if entry is not None:
            _cache.move_to_end(key)
    if entry is None:
        from .stages import make_stages  # the passes are loaded by the first compilation

        with collector_paused(), told(graph, time.perf_counter()):
            stages = make_stages(graph)
            entry = flat_entry(stages)
        report(stages, entry)
        with _lock:
            _cache[key] = entry
            while len(_cache) > CAPACITY:
                _cache.popitem(last=False)
    values = [plain(a, x.type) for a, x in zip(arguments, graph.inputs, strict=True)]
    return list(entry.call(*values))
