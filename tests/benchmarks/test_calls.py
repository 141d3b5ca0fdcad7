"""What a call costs, through an object like the public one; beside a lambda and a NumPy ufunc.

Run with ``pytest tests/benchmarks/test_calls.py --benchmark-enable``. Each row is one call.
"""

import numpy as np
import pytest
from symflux.codegen.builder import Builder
from symflux.codegen.llvm.callspec import CallSpec, Leaf
from symflux.codegen.llvm.pycall import build_entry


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


def softmax_function(n):
    """Three vector loops: largest value, exponentials and their sum, quotients."""
    b = Builder("softmax")
    x, y, t = b.input("x", "f64", n), b.output("y", "f64", n), b.temp("t", "f64", n)
    with b.kernel("k"):
        with b.loop(n, mode="vector", carry=[-np.inf]) as i:
            i.yield_(b.let("maximum", i.params[0], b.load(x, i), reassociate=True))
        (largest,) = i.results
        with b.loop(n, mode="vector", carry=[0.0]) as i:
            weight = b.let("exp", b.load(x, i) - largest)
            b.store(t, i, weight)
            i.yield_(b.let("add", i.params[0], weight, reassociate=True))
        with b.loop(n, mode="vector") as j:
            b.store(y, j, b.load(t, j) / i.results[0])
    leaves = (Leaf("array", "f64", "x", (n,)),)
    spec = CallSpec("softmax", leaves, Leaf("array", "f64", "y", (n,)), fallback)
    return build_entry(b.program(), spec)


def straight_line(nodes):
    """Scalar operations one after the other on eight values."""
    b = Builder("line")
    x, y = b.input("x", "f64", 8), b.output("y", "f64", 8)
    with b.kernel("k"):
        values = [b.load(x, k) for k in range(8)]
        for k in range(nodes // 2):
            values[k % 8] = values[k % 8] * 0.5 - values[(k * 5 + 3) % 8]
        for k, value in enumerate(values):
            b.store(y, k, value)
    leaves = (Leaf("array", "f64", "x", (8,)),)
    spec = CallSpec("line", leaves, Leaf("array", "f64", "y", (8,)), fallback)
    return build_entry(b.program(), spec)


PROGRAMS = {
    "scalar": (scalar_function, 3.0),
    "array": (lambda: array_function(1000), np.ones(1000)),
    "softmax": (lambda: softmax_function(1000), np.ones(1000)),
    "5000 operations": (lambda: straight_line(5000), np.ones(8)),
}


@pytest.mark.benchmark(group="first call, compiling included")
@pytest.mark.parametrize("what", PROGRAMS)
def test_compile(benchmark, what):
    make, x = PROGRAMS[what]
    answer = benchmark(lambda: make().call(x))
    assert np.all(np.isfinite(answer))


@pytest.mark.benchmark(group="run, compiled before")
@pytest.mark.parametrize("what", ["softmax", "5000 operations"])
def test_run(benchmark, what):
    make, x = PROGRAMS[what]
    answer = benchmark(make().call, x)
    assert np.all(np.isfinite(answer))
