"""Transposes large enough to run in blocks, against NumPy, on one thread and on several."""

import numpy as np
import pytest
from symflux.codegen import threads

import symflux as sf

RANDOM = np.random.default_rng(4)


pytestmark = pytest.mark.usefixtures("threads_as_before")


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i2"])
@pytest.mark.parametrize("shape", [(8, 520), (520, 8), (513, 17), (700, 1031), (9000, 3)])
def test_transposes(shape, dtype, count):
    threads.set_threads(count)
    x = (100 * RANDOM.normal(size=shape)).astype(dtype)
    assert np.array_equal(sf.compile(lambda x: np.transpose(x))(x), x.T)


def test_permutations_and_what_is_computed_on_the_way():
    x, y = RANDOM.normal(size=(5, 600, 20)), RANDOM.normal(size=(20, 600))
    for axes in ((0, 2, 1), (2, 1, 0), (2, 0, 1), (1, 2, 0)):
        wanted = np.transpose(np.exp(x), axes) * 3.0
        assert np.allclose(
            sf.compile(lambda x, a=axes: np.transpose(np.exp(x), a) * 3.0)(x), wanted
        )
    wanted = x[0] + y.T
    assert np.array_equal(sf.compile(lambda x, y: x[0] + y.T)(x, y), wanted)
    _, pulled = sf.vjp(lambda y: np.sum(x[0] * np.sin(y.T)), y)
    assert np.allclose(pulled(1.0)[0], (x[0] * np.cos(y.T)).T)
