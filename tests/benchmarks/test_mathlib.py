"""How fast the mathematical functions are, beside NumPy's: 4,096 results in each call.

Run with ``pytest tests/benchmarks/test_mathlib.py --benchmark-enable``; divide 4,096 by the time.
"""

import numpy as np
import pytest
from symflux.codegen.llvm.jit import compile_program
from symflux.codegen.mathlib import FUNCTIONS
from symflux.codegen.mathlib_report import program_of
from symflux.codegen.scalars import SCALARS

N = 4096
KINDS = {"f64": np.float64, "f32": np.float32}


def arguments(name, dtype):
    rng = np.random.default_rng(0)
    low, high = (1.0, 3.0) if name == "arccosh" else (0.1, 0.9)
    return [rng.uniform(low, high, N).astype(KINDS[dtype]) for _ in range(SCALARS[name].arity)]


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_native(benchmark, name, dtype):
    benchmark.group = f"{name} {dtype}"
    xs = arguments(name, dtype)
    arrays = {**{f"x{k}": x for k, x in enumerate(xs)}, "y": np.empty(N, KINDS[dtype])}
    native = compile_program(program_of(name, dtype, N))
    benchmark(native.run, arrays)
    assert np.isfinite(arrays["y"]).all()


@pytest.mark.quick(every=7)
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("name", sorted(n for n in FUNCTIONS if hasattr(np, n) or n == "pow"))
def test_numpy(benchmark, name, dtype):
    benchmark.group = f"{name} {dtype}"
    ufunc = getattr(np, {"pow": "power"}.get(name, name))
    xs = arguments(name, dtype)
    y = np.empty(N, KINDS[dtype])
    benchmark(lambda: ufunc(*xs, out=y))
    assert np.isfinite(y).all()
