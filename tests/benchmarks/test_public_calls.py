"""What users wait for: a call, a first call, an import. Run with ``--benchmark-enable``.

    pytest tests/benchmarks/test_public_calls.py --benchmark-enable --benchmark-columns=min,median

Rows of one group run in one process, one after the other; compare them as ratios.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import symflux as sf


def polynomial(x):
    return 3 * x**2 + 2 * x + 1


@pytest.mark.benchmark(group="float -> float")
@pytest.mark.parametrize(
    "kind", ["python lambda", "numpy ufunc", "sf.compile", "sf.compile of sf.grad"]
)
def test_float_to_float(benchmark, kind):
    f = {
        "python lambda": lambda x: 3 * x**2 + 2 * x + 1,
        "numpy ufunc": np.sin,
        "sf.compile": sf.compile(polynomial),
        "sf.compile of sf.grad": sf.compile(sf.grad(polynomial)),
    }[kind]
    expected = {"numpy ufunc": np.sin(2.0), "sf.compile of sf.grad": 14.0}.get(kind, 17.0)
    assert f(2.0) == expected
    benchmark(f, 2.0)


@pytest.mark.benchmark(group="array of 10 -> new array")
@pytest.mark.parametrize("kind", ["python lambda", "numpy ufunc", "sf.compile"])
def test_array_to_array(benchmark, kind):
    x = np.linspace(0, 1, 10)
    f = {
        "python lambda": lambda x: x * 2.0 + 1.0,
        "numpy ufunc": np.sqrt,
        "sf.compile": sf.compile(lambda x: x * 2.0 + 1.0),
    }[kind]
    np.testing.assert_allclose(f(x), np.sqrt(x) if kind == "numpy ufunc" else x * 2 + 1)
    benchmark(f, x)


@pytest.mark.benchmark(group="first call")
@pytest.mark.parametrize(
    "kind", ["polynomial", "gradient of a polynomial", "array", "two layers with gradient"]
)
def test_first_call(benchmark, kind):
    x = np.linspace(0, 1, 10)
    w, v = np.ones((5, 10)), np.ones((2, 5))

    def network(w, v):
        return np.sum(sf.softmax(v @ sf.sigmoid(w @ x)) ** 2)

    cases = {
        "polynomial": (lambda: sf.compile(polynomial), (2.0,)),
        "gradient of a polynomial": (lambda: sf.compile(sf.grad(polynomial)), (2.0,)),
        "array": (lambda: sf.compile(lambda x: np.sin(x) * np.exp(-x)), (x,)),
        "two layers with gradient": (
            lambda: sf.compile(sf.value_and_grad(network, (0, 1))),
            (w, v),
        ),
    }
    make, args = cases[kind]
    make()(*args)  # what the first compilation of a process loads is not part of this
    benchmark.pedantic(lambda: make()(*args), rounds=20)


@pytest.mark.benchmark(group="import, in a new process")
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["numpy and llvmlite", "and symflux", "and a first call"])
def test_import(benchmark, kind):
    lines = ["import numpy, llvmlite.binding"]
    if kind != "numpy and llvmlite":
        lines.append("import symflux")
    if kind == "and a first call":
        lines.append("assert symflux.compile(lambda x: 3 * x**2 + 2 * x + 1)(2.0) == 17.0")
    command = [sys.executable, "-c", "; ".join(lines)]
    subprocess.run(command, check=True)
    benchmark.pedantic(subprocess.run, args=(command,), kwargs={"check": True}, rounds=7)
