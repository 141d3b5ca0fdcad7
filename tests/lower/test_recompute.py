"""Values that are computed again instead of kept: which they are, and that they are right."""

import numpy as np
import pytest
from symflux.codegen.ir import Role

import symflux as sf

RANDOM = np.random.default_rng(5)


def temporaries(f, *args):
    """Sizes of the temporaries, after a check of the values against the interpreter of graphs."""
    from symflux.transform.evaluate import evaluate

    lowered = sf.compile(f).lower(*args)
    found = sf.compile(f)(*args)
    leaves = found if isinstance(found, tuple) else (found,)
    for value, expected in zip(leaves, evaluate(lowered.graph, args), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)
    return [b.size for b in lowered.stages.program.buffers if b.role is Role.TEMP]


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def test_a_stencil_reads_its_input_again():
    assert temporaries(sf.value_and_grad(rosenbrock), RANDOM.normal(size=50_000)) == []


def test_small_arrays_are_kept():
    assert temporaries(sf.value_and_grad(rosenbrock), RANDOM.normal(size=500)) == [499, 499]


def test_long_computations_are_kept():
    def f(x):
        y = np.exp(np.sin(x)) * np.tanh(x) ** 3.5
        return y[1:] - y[:-1], np.roll(y, 5)

    sizes = temporaries(f, RANDOM.uniform(0.5, 1.0, size=5_000))
    assert 5_000 in sizes


def test_operands_of_products_are_kept():
    def f(x, w):
        y = x + 1.0
        return y @ w, y[::-1] * 2.0

    sizes = temporaries(f, RANDOM.normal(size=(100, 100)), RANDOM.normal(size=(100, 20)))
    assert 10_000 in sizes


@pytest.mark.parametrize("shape", [(300, 40), (41, 301)])
def test_laplacian_and_its_gradient(shape):
    def f(u):
        laplacian = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4.0 * u[1:-1, 1:-1]
        return np.sum((laplacian + u[1:-1, 1:-1] ** 3) ** 2)

    temporaries(sf.value_and_grad(f), RANDOM.normal(size=shape))
