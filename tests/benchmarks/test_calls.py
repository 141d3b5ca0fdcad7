"""What a call costs, through an object like the public one; beside a lambda and a NumPy ufunc.

Run with ``pytest tests/benchmarks/test_calls.py --benchmark-enable``. Each row is one call.
"""

import numpy as np
import pytest
from symflux.codegen.builder import Builder
from symflux.codegen.llvm.pycall import CallSpec, Leaf, build_entry


class Compiled:
    """As cheap as a Python object that is called can be: the slot holds the native function."""

    __slots__ = ("__call__",)

    def __init__(self, call):
        self.__call__ = call


def timed(benchmark, function, *args):
    """Many calls for each reading of the clock, which is slower than a call."""
    return benchmark.pedantic(function, args, iterations=2000, rounds=100, warmup_rounds=3)


def fallback(*args, **kwargs):
    raise AssertionError("the arguments fit")


def scalar_function():
    """``x * x + 1``."""
    b = Builder("scalar")
    x, y = b.input("x", "f64", 1), b.output("y", "f64", 1)
    with b.kernel("k"):
        value = b.load(x, 0)
        b.store(y, 0, value * value + 1.0)
    spec = CallSpec("scalar", (Leaf("float", "f64", "x"),), Leaf("float", "f64", "y"), fallback)
    return build_entry(b.program(), spec)


def array_function(n, inputs=1):
    """Twice the sum of the inputs."""
    b = Builder("array")
    buffers = [b.input(f"x{k}", "f64", n) for k in range(inputs)]
    y = b.output("y", "f64", n)
    with b.kernel("k"), b.loop(n, mode="vector") as i:
        total = b.load(buffers[0], i)
        for buffer in buffers[1:]:
            total = total + b.load(buffer, i)
        b.store(y, i, 2.0 * total)
    leaves = tuple(Leaf("array", "f64", f"x{k}", (n,)) for k in range(inputs))
    spec = CallSpec("array", leaves, Leaf("array", "f64", "y", (n,)), fallback)
    return build_entry(b.program(), spec)


@pytest.mark.benchmark(group="float to float")
@pytest.mark.parametrize("who", ["native", "native, bare", "lambda", "numpy ufunc"])
def test_float_to_float(benchmark, who):
    call = scalar_function().call
    functions = {
        "native": Compiled(call),
        "native, bare": call,
        "lambda": lambda x: x * x + 1.0,
        "numpy ufunc": np.square,
    }
    assert timed(benchmark, functions[who], 3.0) in (9.0, 10.0)


@pytest.mark.benchmark(group="array of 10 to new array")
@pytest.mark.parametrize("who", ["native", "native, bare", "lambda", "numpy ufunc"])
def test_array_to_new_array(benchmark, who):
    call = array_function(10).call
    functions = {
        "native": Compiled(call),
        "native, bare": call,
        "lambda": lambda x: x * 2.0,
        "numpy ufunc": np.negative,
    }
    x = np.arange(10.0)
    answer = timed(benchmark, functions[who], x)
    np.testing.assert_array_equal(np.abs(answer), x if who == "numpy ufunc" else 2 * x)


@pytest.mark.benchmark(group="ten arrays of 10 to new array")
@pytest.mark.parametrize("who", ["native", "numpy"])
def test_ten_arguments(benchmark, who):
    xs = [np.arange(10.0) + k for k in range(10)]
    functions = {"native": Compiled(array_function(10, 10).call), "numpy": lambda *a: 2.0 * sum(a)}
    np.testing.assert_array_equal(timed(benchmark, functions[who], *xs), 2 * sum(xs))


@pytest.mark.benchmark(group="first call, compiling included")
@pytest.mark.parametrize("what", ["scalar", "array"])
def test_compile(benchmark, what):
    make = {"scalar": scalar_function, "array": lambda: array_function(1000)}[what]
    x = {"scalar": 3.0, "array": np.ones(1000)}[what]
    answer = benchmark(lambda: make().call(x))
    assert np.all(answer == {"scalar": 10.0, "array": 2.0}[what])
