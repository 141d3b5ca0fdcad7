"""Arguments and results that are nested deeper than Python's stack."""

import inspect
import sys

import numpy as np
import pytest

import symflux as sf

DEPTH = 250


@pytest.fixture
def little_stack():
    """Room for fewer frames than containers are deep."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 200)
    yield
    sys.setrecursionlimit(before)


def shut(core, other):
    for n in range(DEPTH):
        core = ((core, other), [core, other], {"core": core, "other": other})[n % 3]
    return core


def opened(x):
    """The sum of all leaves."""
    total = 0.0
    while isinstance(x, tuple | list | dict):
        x, other = x.values() if isinstance(x, dict) else x
        total = total + other
    return x + total


def test_results_nested_beyond_pythons_stack(little_stack):
    f = sf.compile(lambda x: shut(x * 2.0, x))
    for x in (np.array([0.25, 1.0]), np.array([0.5, 2.0])):
        found = f(x)
        np.testing.assert_allclose(opened(found), (DEPTH + 2) * x)


def test_arguments_and_gradients_nested_beyond_pythons_stack(little_stack):
    f = sf.compile(lambda x, y: opened(x) * y)
    assert f(shut(0.5, 1.5), 2.0) == f(shut(0.5, 1.5), 2.0) == 2.0 * (0.5 + 1.5 * DEPTH)
    slopes = sf.grad(opened)(shut(0.5, 1.5))
    assert opened(slopes) == DEPTH + 1


def test_params_nested_beyond_pythons_stack(little_stack):
    W, V = sf.param(2.0), sf.param(3.0)
    model = shut(W, V)
    found = sf.gradient(lambda: opened(model), sf.params(model))
    assert (found[W], found[V]) == (1.0, DEPTH)


def test_arguments_nested_beyond_pythons_stack_are_written_to(little_stack):
    def f(x, y):
        inner = x
        while not isinstance(inner, list):
            inner = inner["core"] if isinstance(inner, dict) else inner[0]
        inner[0] = y
        return y

    core = [1.0, 2.0]
    value = core
    for n in range(DEPTH):
        value = ((value,), {"core": value})[n % 2]
    assert sf.compile(f)(value, 5.0) == 5.0
    assert core == [5.0, 2.0]
