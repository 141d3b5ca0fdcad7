"""The tools that are compared: how a row's builder is called, and its arguments and results.

A builder is given the tool's modules and returns a function of the row's inputs:

=========  ================================  ==================================================
tool       builder                           inputs
=========  ================================  ==================================================
symflux    ``builder(symflux, numpy)``       as they are
symflux    the same                          as they are, and ``out=``: arrays for the results,
out=                                         beside tools that write into buffers given beforehand
symflux    the same                          as they are; code for the target that ``bench`` is
target                                       given
numpy      ``builder(numpy)``                as they are
jax        ``builder(jax, jax.numpy)``       arrays on the device; 64 bits enabled
torch      ``builder(torch)``                tensors that share the arrays' memory
numba      ``builder(numba, numpy)``         as they are
casadi     ``builder(casadi, inputs)``       none: bound to buffers beforehand (``casadi_code``)
pytensor   ``builder(pytensor, inputs)``     as they are
=========  ================================  ==================================================

``torch.compile`` takes PyTorch's builder unless it has one of its own.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .row import Row, map_tensors

__all__ = [
    "FOR_TARGET",
    "INTO",
    "OWN",
    "TOOLS",
    "Prepared",
    "builder_of",
    "casadi_code",
    "flat",
    "load",
    "prepare",
]

#: SymFlux with arrays for its results
INTO = "symflux out="
#: SymFlux with code for another target than this machine
FOR_TARGET = "symflux target"
#: SymFlux in its forms; everyone else is a peer
OWN = ("symflux", INTO, FOR_TARGET)

#: peers that work on buffers bound beforehand
ON_BUFFERS = frozenset({"casadi"})

#: tool -> the module it needs
TOOLS = {
    "symflux": "symflux",
    INTO: "symflux",
    FOR_TARGET: "symflux",
    "numpy": "numpy",
    "jax": "jax",
    "torch": "torch",
    "torch.compile": "torch",
    "numba": "numba",
    "casadi": "casadi",
    "pytensor": "pytensor",
}


@dataclass
class Prepared:
    """A call that can be timed: ``function(*args, **keywords)`` returns when it is done."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    keywords: dict[str, Any] = field(default_factory=dict)


def builder_of(row: Row, tool: str) -> Callable[..., Any] | None:
    """The row's builder for a tool. PyTorch's serves ``torch.compile`` as well; SymFlux is given
    arrays for its results where a peer is that works on buffers."""
    if tool == INTO:
        return row.tools.get("symflux") if ON_BUFFERS & row.tools.keys() else None
    if tool == FOR_TARGET:
        return row.tools.get("symflux")
    if tool == "torch.compile" and tool not in row.tools:
        return row.tools.get("torch") if row.torch_compile else None
    return row.tools.get(tool)


def load(tool: str, start: bool = True) -> Any:
    """Import a tool and let it ``start``: compilers load much of themselves with the first
    function, and get threads and memory ready for the first large array, so each has compiled one
    that adds 1 to 2**18 numbers. ImportError where it is missing."""
    module = importlib.import_module(TOOLS[tool])
    if tool == "jax":
        module.config.update("jax_enable_x64", True)
    if tool == "torch.compile" and shutil.which("g++") is None:
        raise ImportError("torch.compile needs a C++ compiler")
    if start:
        _start(tool, module)
    return module


def _start(tool: str, module: Any) -> None:
    import numpy as np

    ones = np.ones(1 << 18)
    if tool in OWN:
        module.compile(_add_one)(ones)
    elif tool == "jax":
        module.jit(_add_one)(ones).block_until_ready()
    elif tool == "torch":
        _add_one(module.from_numpy(ones))
    elif tool == "torch.compile":
        module.compile(_add_one)(module.from_numpy(ones))
    elif tool == "numba":
        module.njit(_add_one)(ones)
    elif tool == "pytensor":
        x = module.tensor.vector()
        module.function([x], _add_one(x))(ones)


def _add_one(x: Any) -> Any:
    return x + 1.0


def prepare(row: Row, tool: str, inputs: tuple[Any, ...]) -> Prepared:
    """Build a row's function with a tool."""
    import numpy as np

    module = load(tool, start=False)
    builder = builder_of(row, tool)
    assert builder is not None
    if tool in ("symflux", FOR_TARGET, "numba"):
        return Prepared(builder(module, np), inputs)
    if tool == INTO:
        function = builder(module, np)
        out = map_tensors(lambda y: np.empty_like(np.asarray(y)), function(*inputs))
        return Prepared(function, inputs, {"out": out})
    if tool == "numpy":
        return Prepared(builder(np), inputs)
    if tool == "jax":
        function = builder(module, module.numpy)
        ready = module.block_until_ready
        return Prepared(lambda *args: ready(function(*args)), map_tensors(_on_device, inputs))
    if tool.startswith("torch"):
        function = builder(module)
        if tool == "torch.compile":
            function = module.compile(function)
        return Prepared(function, map_tensors(_as_tensor, inputs))
    if tool == "pytensor":
        return Prepared(builder(module, inputs), inputs)
    return Prepared(builder(module, inputs), ())


def _on_device(value: Any) -> Any:
    import jax
    import numpy as np

    return jax.device_put(value) if isinstance(value, np.ndarray) else value


def _as_tensor(value: Any) -> Any:
    import numpy as np
    import torch

    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def flat(result: Any) -> list[Any]:
    """The arrays of a result, in the order of ``map_tensors``, as NumPy arrays."""
    import numpy as np

    found: list[Any] = []

    def leaf(value: Any) -> None:
        if hasattr(value, "detach"):
            value = value.detach()
        found.append(np.array(value))

    map_tensors(leaf, result)
    return found


def casadi_code(
    casadi: Any, inputs: Sequence[Any], outputs: Sequence[Any], values: Sequence[Any]
) -> Callable[[], Any]:
    """CasADi's expressions as C, compiled by ``gcc -O3``, called through its buffer interface.

    ``inputs`` are symbols, ``outputs`` expressions, ``values`` what the inputs are (in CasADi's
    order, columns first). Returns a function of no arguments; its results are in the same order.
    """
    import numpy as np

    dense = [casadi.densify(y) for y in outputs]
    function = casadi.Function("f", list(inputs), dense)
    folder = Path(tempfile.mkdtemp(prefix="casadi_"))
    generator = casadi.CodeGenerator("f.c")
    generator.add(function)
    generator.generate(str(folder) + "/")
    command = ["gcc", "-O3", "-march=native", "-shared", "-fPIC", "f.c", "-o", "f.so"]
    subprocess.run(command, cwd=folder, check=True)
    external = casadi.external("f", str(folder / "f.so"))
    shutil.rmtree(folder)  # what is loaded stays
    buffer, trigger = external.buffer()
    arrays = [np.asfortranarray(np.atleast_1d(np.array(v, np.float64))) for v in values]
    results = [np.zeros(y.shape, np.float64, order="F") for y in dense]
    for i, array in enumerate(arrays):
        buffer.set_arg(i, array.reshape(-1, order="F").data)
    for i, array in enumerate(results):
        buffer.set_res(i, array.reshape(-1, order="F").data)
    trigger()
    return _Bound(trigger, results, (external, buffer, arrays))


class _Bound:
    """A C function bound to buffers: what is timed is ``trigger``, its results lie in arrays."""

    def __init__(self, trigger: Callable[[], Any], results: list[Any], keep: Any) -> None:
        self.trigger, self.results, self.keep = trigger, results, keep

    def __call__(self) -> list[Any]:
        self.trigger()
        return self.results
