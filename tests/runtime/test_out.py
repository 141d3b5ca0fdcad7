"""Results written into arrays that the caller gives: natively, from the second call on."""

import sys

import numpy as np
import pytest

import symflux as sf
from symflux.errors import ArgumentError

RANDOM = np.random.default_rng(2)


def double(x):
    return 2.0 * x


def through_python(f, monkeypatch):
    """Count the calls that the native entry hands to Python."""
    calls = []
    state = f._state
    into = state.into
    monkeypatch.setattr(state, "into", lambda *a: calls.append(1) or into(*a))
    return calls


def test_an_array():
    f = sf.compile(double)
    x, y = RANDOM.normal(size=(2, 3)), np.empty((2, 3))
    for _ in range(3):
        y.fill(np.nan)
        assert f(x, out=y) is y
        assert np.array_equal(y, 2.0 * x)
    assert f(x) is not y


def test_only_the_first_call_goes_through_python(monkeypatch):
    f = sf.compile(double)
    calls = through_python(f, monkeypatch)
    x, y = np.arange(4.0), np.empty(4)
    for _ in range(5):
        f(x, out=y)
    assert len(calls) == 1


def test_containers_scalars_and_gradients():
    def loss(p, x):
        return np.sum(np.tanh(p["w"] @ x + p["b"]) ** 2)

    f = sf.compile(sf.value_and_grad(loss))
    p = {"w": RANDOM.normal(size=(3, 4)), "b": RANDOM.normal(size=3)}
    x = RANDOM.normal(size=4)
    value, slopes = f(p, x)
    out = (np.empty(()), {"w": np.empty((3, 4)), "b": np.empty(3)})
    for _ in range(3):
        assert f(p, x, out=out) is out
        assert out[0] == value
        assert np.array_equal(out[1]["w"], slopes["w"]) and np.array_equal(out[1]["b"], slopes["b"])
        out[1]["w"].fill(0.0)


def test_a_derived_function():
    slope = sf.grad(lambda x: np.sum(x**3))
    x, y = np.arange(3.0), np.empty(3)
    for _ in range(3):
        assert slope(x, out=y) is y
        assert np.array_equal(y, 3.0 * x**2)


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_where_out_overlaps_an_argument(shift):
    f = sf.compile(lambda x: x[::-1] + 0.0)
    for _ in range(3):
        memory = np.arange(8.0)
        x, y = memory[:5], memory[shift : shift + 5]
        expected = x[::-1].copy()
        f(x, out=y)
        assert np.array_equal(y, expected)


def test_other_layouts():
    f = sf.compile(double)
    x = RANDOM.normal(size=(4, 6))
    for out in (np.empty((6, 4)).T, np.empty((8, 6))[::2], np.empty((4, 12))[:, ::2]):
        for _ in range(2):
            assert f(x, out=out) is out
            assert np.array_equal(out, 2.0 * x)


@pytest.mark.parametrize(
    ("out", "problem"),
    [
        (np.empty(3), r"float64\[3\], where the result is float64\[4\]"),
        (np.empty(4, "f4"), r"float32\[4\], where"),
        ([0.0] * 4, "a list, where"),
        (3.0, "a float, where"),
        ((np.empty(4),), "a tuple, where"),
    ],
)
def test_what_does_not_fit_is_told(out, problem):
    f = sf.compile(double)
    x, good = np.arange(4.0), np.empty(4)
    for _ in range(3):
        with pytest.raises(ArgumentError, match=problem):
            f(x, out=out)
        f(x, out=good)  # the native entry refuses it too


def test_read_only_arrays():
    y = np.empty(4)
    y.flags.writeable = False
    f = sf.compile(double)
    f(np.arange(4.0), out=np.empty(4))
    with pytest.raises(ArgumentError, match="read-only"):
        f(np.arange(4.0), out=y)


def test_an_argument_of_that_name_is_the_users():
    f = sf.compile(lambda x, out: x + out)
    assert f(1.0, out=2.0) == 3.0


def test_none_means_new():
    f = sf.compile(double)
    assert np.array_equal(f(np.arange(3.0), out=None), [0.0, 2.0, 4.0])


def test_results_that_are_arguments_or_stand_twice():
    f = sf.compile(lambda x: (x * 2.0, x * 2.0))
    x, out = np.arange(3.0), (np.empty(3), np.empty(3))
    for _ in range(2):
        f(x, out=out)
        assert np.array_equal(out[0], 2 * x) and np.array_equal(out[1], 2 * x)


def test_with_keywords_too():
    f = sf.compile(lambda x, scale: x * scale)
    y = np.empty(3)
    for _ in range(2):
        assert f(np.arange(3.0), scale=2.0, out=y) is y
        assert np.array_equal(y, [0.0, 2.0, 4.0])


def test_references_are_kept():
    f = sf.compile(double)
    x, y = np.arange(4.0), np.empty(4)
    f(x, out=y)
    before = sys.getrefcount(x), sys.getrefcount(y), sys.getrefcount("out")
    for _ in range(1000):
        f(x, out=y)
    assert (sys.getrefcount(x), sys.getrefcount(y), sys.getrefcount("out")) == before


def test_long_runs_release_the_lock():
    """Arrays in a container are held while other threads may drop them."""
    f = sf.compile(lambda x: {"y": np.exp(x)})
    x, out = np.linspace(0.0, 1.0, 200_000), {"y": np.empty(200_000)}
    f(x, out=out)
    count = sys.getrefcount(out["y"])
    f(x, out=out)
    after = sys.getrefcount(out["y"])
    assert after == count
    np.testing.assert_allclose(out["y"], np.exp(x), rtol=1e-14)
