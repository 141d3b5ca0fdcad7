"""What this machine can do: bandwidth by working set, and products per second, measured.

Both are measured with code of our own: a triad ``a = b + 3 c`` and a square matrix product, each
in every thread at once on data of its own. The best of several runs counts.
"""

from __future__ import annotations

import ctypes
import functools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..codegen.builder import Builder
from ..codegen.ir import Program
from ..codegen.llvm.jit import Native, compile_program
from ..codegen.scalars import numpy_dtype
from ..records import record

__all__ = ["Limits", "measure"]

#: bytes that a triad moves, one for each level of the memory: caches of a core, shared, and RAM
WORKING_SETS = (24 << 10, 768 << 10, 12 << 20, 384 << 20)
#: rows and columns of the products
ORDERS = (384, 768)
#: seconds that each measurement may take
PATIENCE = 0.15


@record(frozen=True)
class Limits:
    """The measured limits of the machine.

    Attributes:
        threads: that worked at the same time.
        bandwidth: (bytes of the working set, bytes per second), the smallest set first; bytes
            are those that the program reads and writes.
        flops: dtype -> floating-point operations per second of a matrix product.
    """

    threads: int
    bandwidth: tuple[tuple[int, float], ...]
    flops: dict[str, float]

    def bytes_per_second(self, working_set: int) -> float:
        """The bandwidth for a working set: between measured ones on a power law."""
        sizes = np.log([size for size, _ in self.bandwidth])
        rates = np.log([rate for _, rate in self.bandwidth])
        return float(np.exp(np.interp(np.log(max(working_set, 1)), sizes, rates)))

    def seconds(self, flops: float, moved: float, working_set: int, dtype: str) -> float:
        """The least time in which that much can be computed and moved: the roofline."""
        return max(flops / self.flops[dtype], moved / self.bytes_per_second(working_set))

    def __str__(self) -> str:
        sets = ", ".join(f"{rate / 1e9:.1f} ({_size(size)})" for size, rate in self.bandwidth)
        products = ", ".join(f"{d} {rate / 1e9:.0f}" for d, rate in self.flops.items())
        word = "thread" if self.threads == 1 else "threads"
        return f"{self.threads} {word}: triad GB/s {sets}; products GF/s {products}"


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


def _triad(elements: int, repeats: int) -> Program:
    """``a = b + factor c``, once for each factor: a call of Python's takes longer than one pass
    over the smallest sets."""
    b = Builder("triad")
    factors = b.input("factors", "f64", repeats)
    out = b.output("a", "f64", elements)
    x, y = b.input("b", "f64", elements), b.input("c", "f64", elements)
    with b.kernel("triad"), b.loop(repeats) as r:
        factor = b.load(factors, r)
        with b.loop(elements, mode="vector") as i:
            b.store(out, i, b.load(x, i) + b.load(y, i) * factor)
    return b.program()


def _product(n: int, dtype: str) -> Program:
    b = Builder("product")
    x, y, z = b.input("a", dtype, n * n), b.input("b", dtype, n * n), b.output("c", dtype, n * n)
    dims = [("m", n, n, 0), ("n", n, 0, 1), ("k", n, 1, n)]
    with b.kernel("product"), b.contract(x, y, dims) as product:
        i, j = product.indices
        b.store(z, i * n + j, product.acc)
    return b.program()


def _best(native: Native, pool: ThreadPoolExecutor, threads: int) -> float:
    """Seconds of a run while that many threads run it, each on arrays of its own."""
    calls = [_Call(native) for _ in range(threads)]
    return max(pool.map(_Call.best, calls))


class _Call:
    """A program with arrays of its own; ctypes lets other threads run meanwhile."""

    def __init__(self, native: Native) -> None:
        buffers = native.program.arguments()
        self.arrays = [np.ones(int(str(b.size)), numpy_dtype(b.dtype)) for b in buffers]
        self.pointers = (ctypes.c_void_p * len(buffers))(*(a.ctypes.data for a in self.arrays))
        self.native = native
        kind = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)
        self.function = kind(native.address)

    def best(self) -> float:
        function, address = self.function, ctypes.addressof(self.pointers)
        function(address, None)
        best, end, count = 1e9, time.perf_counter() + PATIENCE, 1
        while time.perf_counter() < end:
            start = time.perf_counter()
            for _ in range(count):
                function(address, None)
            each = (time.perf_counter() - start) / count
            best = min(best, each)
            count = max(1, int(1e-3 / each))  # so that reading the clock does not matter
        return best


@functools.cache
def measure(threads: int = 1) -> Limits:
    """Measure the machine; about a second, once per process and number of threads."""
    bandwidth = []
    flops: dict[str, float] = {}
    with ThreadPoolExecutor(threads) as pool:
        for size in WORKING_SETS:
            elements = size // 24 // threads if size > 1 << 20 else size // 24
            repeats = max(1, (4 << 20) // size)
            seconds = _best(compile_program(_triad(elements, repeats)), pool, threads)
            bandwidth.append((size, threads * repeats * 24 * elements / seconds))
        for dtype in ("f32", "f64"):
            rates: list[Any] = []
            for n in ORDERS:
                seconds = _best(compile_program(_product(n, dtype)), pool, threads)
                rates.append(threads * 2 * n**3 / seconds)
            flops[dtype] = max(rates)
    return Limits(threads, tuple(bandwidth), flops)
