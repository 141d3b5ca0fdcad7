"""Matrix products beside NumPy's BLAS: sizes, layouts, epilogues, the products of a network's step.

Run with ``OPENBLAS_NUM_THREADS=1 pytest tests/benchmarks/test_contract.py --benchmark-enable``
(one thread on both sides); ``--benchmark-group-by=group`` puts the two beside each other. Each row
names its GFLOP/s in ``extra_info``. Results are compared before anything is timed. A native call
goes through ctypes here, which costs about half a microsecond.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from symflux.codegen.builder import Builder
from symflux.codegen.llvm.jit import Native, compile_program
from symflux.codegen.scalars import numpy_dtype

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Shape:
    """``c[m, n] = a[m, k] @ b[k, n]``; ``layout``: n for an operand as written, t transposed."""

    m: int
    n: int
    k: int
    dtype: str
    layout: str = "nn"
    epilogue: str = ""

    def __str__(self) -> str:
        text = f"{self.m}x{self.n}x{self.k} {self.dtype} {self.layout}"
        return f"{text} {self.epilogue}".strip()


def compiled(shape: Shape) -> Native:
    """The product with its epilogue as a native program."""
    m, n, k = shape.m, shape.n, shape.k
    b = Builder("product")
    x, y = b.input("a", shape.dtype, m * k), b.input("b", shape.dtype, k * n)
    bias, z = b.input("bias", shape.dtype, n), b.output("c", shape.dtype, m * n)
    step_m, step_ak = (k, 1) if shape.layout[0] == "n" else (1, m)
    step_bk, step_n = (n, 1) if shape.layout[1] == "n" else (1, k)
    dims = [("m", m, step_m, 0), ("n", n, 0, step_n), ("k", k, step_ak, step_bk)]
    with b.kernel("product"), b.contract(x, y, dims) as product:
        i, j = product.indices
        value = product.acc
        if shape.epilogue:
            value = value + b.load(bias, j * 1)
        if shape.epilogue == "bias+relu":
            value = b.let("maximum", value, 0.0)
        if shape.epilogue == "bias+tanh":
            value = b.let("tanh", value)
        b.store(z, i * n + j, value)
    return compile_program(b.program())


def operands(shape: Shape) -> dict[str, Array]:
    """Random operands, stored as the layout says."""
    random, dtype = np.random.default_rng(0), numpy_dtype(shape.dtype)
    m, n, k = shape.m, shape.n, shape.k
    a = random.standard_normal((m, k) if shape.layout[0] == "n" else (k, m)).astype(dtype)
    b = random.standard_normal((k, n) if shape.layout[1] == "n" else (n, k)).astype(dtype)
    bias = random.standard_normal(n).astype(dtype)
    return {"a": a, "b": b, "bias": bias, "c": np.empty((m, n), dtype)}


def native_call(shape: Shape, arrays: dict[str, Array]) -> Callable[[], Any]:
    """A function of no arguments that runs the native product once."""
    native = compiled(shape)
    buffers = native.program.arguments()
    pointers = (ctypes.c_void_p * len(buffers))(*(arrays[b.name].ctypes.data for b in buffers))
    address = ctypes.addressof(pointers)
    call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)(native.address)

    def run(_keep: Any = (native, pointers)) -> None:
        call(address, None)

    return run


def numpy_call(shape: Shape, arrays: dict[str, Array]) -> Callable[[], Any]:
    """The same by NumPy, into an array that is there already."""
    a = arrays["a"] if shape.layout[0] == "n" else arrays["a"].T
    b = arrays["b"] if shape.layout[1] == "n" else arrays["b"].T
    out, bias = np.empty_like(arrays["c"]), arrays["bias"]

    def run() -> Array:
        np.matmul(a, b, out=out)
        if shape.epilogue:
            np.add(out, bias, out=out)
        if shape.epilogue == "bias+relu":
            np.maximum(out, 0, out=out)
        if shape.epilogue == "bias+tanh":
            np.tanh(out, out=out)
        return out

    return run


SQUARES = [
    Shape(n, n, n, dtype, layout)
    for dtype in ("f32", "f64")
    for n in (4, 8, 16, 32, 64, 96, 128, 256, 512, 1024, 2048)
    for layout in ("nn", "nt", "tn", "tt")
]
EPILOGUES = [
    Shape(n, n, n, "f32", "nt", epilogue)
    for n in (32, 256, 1024)
    for epilogue in ("bias", "bias+relu", "bias+tanh")
]
#: forward, gradient of the input, gradient of the weights of 784-256-128-10
NETWORK = [
    shape
    for batch in (1, 128, 1024)
    for n_in, n_out in ((784, 256), (256, 128), (128, 10))
    for shape in (
        Shape(batch, n_out, n_in, "f32", "nt", "bias+relu"),
        Shape(batch, n_in, n_out, "f32", "nn"),
        Shape(n_out, n_in, batch, "f32", "tn"),
    )
]
SKINNY = [
    Shape(*sizes, dtype)
    for dtype in ("f32", "f64")
    for sizes in ((1, 1000, 1000), (1000, 1, 1000), (8, 1000, 1000), (1000, 8, 1000), (300, 300, 8))
]


@pytest.mark.quick(every=7)
@pytest.mark.parametrize("who", ["native", "numpy"])
@pytest.mark.parametrize("shape", SQUARES + EPILOGUES + NETWORK + SKINNY, ids=str)
def test_product(benchmark: Any, shape: Shape, who: str) -> None:
    operations = 2 * shape.m * shape.n * shape.k
    if benchmark.disabled and (operations > 10_000_000 or shape.layout == "tt"):
        pytest.skip("only when timing")
    arrays = operands(shape)
    run = native_call(shape, arrays)
    reference = numpy_call(shape, arrays)
    run()
    scale = 1e-4 if shape.dtype == "f32" else 1e-12
    np.testing.assert_allclose(arrays["c"], reference(), rtol=scale, atol=scale * shape.k)
    benchmark.group = str(shape)
    iterations = max(1, min(2000, 20_000_000 // operations))
    function = run if who == "native" else reference
    benchmark.pedantic(function, iterations=iterations, rounds=20, warmup_rounds=1)
    if benchmark.stats:
        benchmark.extra_info["GFLOP/s"] = round(operations / benchmark.stats.stats.min / 1e9, 1)


@pytest.mark.benchmark(group="compile")
@pytest.mark.parametrize(
    "shape", [Shape(4, 4, 4, "f32"), Shape(128, 256, 784, "f32", "nt", "bias+relu")], ids=str
)
def test_compiling_a_product(benchmark: Any, shape: Shape) -> None:
    """Python's part and LLVM's, of one product."""
    native = benchmark.pedantic(compiled, (shape,), rounds=10, warmup_rounds=1)
    assert native.address
