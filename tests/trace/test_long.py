"""Long programs are traced and differentiated at a cost in proportion to their length."""

import math
import tracemalloc

import numpy as np
import pytest

import symflux as sf
import symflux.numpy as snp
from symflux.trace.trace import trace
from tests.long_programs import calls, chain, mixed, nest, outputs

X = np.linspace(0.1, 0.9, 8)


def elements(n):
    def f(x):
        total = 0.0
        for i in range(n):
            total = total + x[i % 8] * x[(3 * i) % 8] - np.maximum(x[i % 5], 0.5)
        return total

    return f


def joined(n):
    def f(x):
        for _ in range(n):
            x = np.stack([x[0] + x[1], x[1] * 0.5, np.sum(x)])
        return np.sum(x)

    return f


def written(n):
    def f(x):
        out = snp.zeros(n)
        for i in range(n):
            out[i] = x[i % 8] * i
        return np.sum(out**2)

    return f


#: program, argument, whether it has a gradient, and Python calls that an iteration may take
PROGRAMS = {
    "scalar chain": (chain, 0.5, True, 85),
    "array chain": (chain, X, True, 90),
    "many outputs": (outputs, 0.5, False, 54),
    "deep nest": (nest, 0.5, False, 26),
    "elements": (elements, X, True, 195),
    "random graph": (mixed, X, True, 135),
    "joined": (joined, X[:3], True, 840),
    "written": (written, X, True, 265),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_calls_grow_with_the_length_of_the_program(name):
    make, x, has_gradient, most = PROGRAMS[name]
    lengths = (30, 300)
    functions = [sf.grad(make(n)) if has_gradient else make(n) for n in lengths]
    few, many = [calls(trace, f, (x,)) for f in functions]
    assert (many - few) / (lengths[1] - lengths[0]) < most
    assert math.log10(many / few) < 1.1


@pytest.mark.slow
def test_calls_grow_with_the_length_over_two_decades():
    counts = [calls(trace, sf.grad(mixed(n)), (X,)) for n in (200, 2000, 20000)]
    assert math.log10(counts[1] / counts[0]) < 1.05
    assert math.log10(counts[2] / counts[1]) < 1.05


def test_memory_grows_with_the_length_of_the_program():
    found = []
    for n in (100, 1000):
        f = sf.grad(mixed(n))
        trace(f, (X,))
        tracemalloc.start()
        graph = trace(f, (X,)).graph
        found.append((tracemalloc.get_traced_memory(), len(graph.nodes)))
        tracemalloc.stop()
    ((held, peak), nodes), ((more, higher), many) = found
    assert (more - held) / (many - nodes) < 600  # bytes a node
    assert (higher - peak) / (many - nodes) < 1100
