"""What a step of training the digits network costs, beside the same step in NumPy.

Run with ``pytest tests/benchmarks/test_training.py --benchmark-enable``. ``batches`` is the cost of
picking the rows of one batch, which the training loop pays on top of each step.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import symflux as sf


@pytest.fixture(scope="module")
def digits():
    path = Path(__file__).parents[2] / "examples" / "digits.py"
    spec = importlib.util.spec_from_file_location("digits_example", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def timed(benchmark, function, *args):
    return benchmark.pedantic(function, args, iterations=20, rounds=50, warmup_rounds=3)


@pytest.mark.quick(first=lambda way, dtype: way == "numpy")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("way", ["symflux", "numpy"])
def test_step(benchmark, digits, way, dtype):
    benchmark.group = f"digits step, {dtype}"
    (x, labels), _ = digits.load(dtype)
    x, labels = x[: digits.BATCH].copy(), labels[: digits.BATCH].copy()
    model = digits.build(dtype)
    if way == "numpy":
        step = digits.NumpyNetwork(model).step
    else:
        step = sf.training_step(model, sf.nn.cross_entropy, sf.optim.Adam(digits.rate))
    first = float(step(x, labels))
    timed(benchmark, step, x, labels)
    assert float(step(x, labels)) < first


def test_batches(benchmark, digits):
    benchmark.group = "digits step, float32"
    (x, labels), _ = digits.load()
    picked = np.random.default_rng(0).permutation(len(x))[: digits.BATCH]
    rows = timed(benchmark, lambda: (x.take(picked, axis=0), labels.take(picked, axis=0)))
    assert rows[0].shape == (digits.BATCH, 64)
