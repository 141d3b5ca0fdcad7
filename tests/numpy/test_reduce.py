"""Reductions: dtype, shape and values as NumPy's own."""

import warnings

import numpy as np
import pytest

import symflux as sf
import symflux.numpy as snp
from symflux.errors import AxisOutOfRange, ShapeError, UnsupportedOperation
from tests.numpy.test_elementwise import DTYPES, FLOATS, INTS, sample
from tests.trace.agreement import assert_agrees, assert_same, traced_result

AXES = (None, 0, 1, -1, (0, 2), (), (2, 1, 0))
BOTH = ("sum", "prod", "mean", "max", "min", "any", "all", "var", "std")


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BOTH)
def test_reductions_agree(name, dtype):
    x = sample("", dtype, (2, 3, 4))
    function = getattr(np, name)
    for axis in AXES:
        if name in ("mean", "var", "std") and axis == ():
            continue
        assert_agrees(lambda x, a=axis: function(x, axis=a), x)
        assert_agrees(lambda x, a=axis: function(x, axis=a, keepdims=True), x)
    assert_agrees(lambda x: getattr(x, name)(), x)
    assert_agrees(lambda x: getattr(x, name)(0), x)
    assert_agrees(lambda x: getattr(x, name)(axis=-1, keepdims=True), x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions_agree(name, dtype):
    x = sample("", dtype, (3, 4))
    function = getattr(np, name)
    for axis in (None, 0, 1, -2):
        assert_agrees(lambda x, a=axis: function(x, axis=a), x)
        assert_agrees(lambda x, a=axis: function(x, axis=a, keepdims=True), x)
    assert_agrees(lambda x: getattr(x, name)(), x)


@pytest.mark.parametrize("dtype", ["bool", *INTS, *FLOATS])
def test_running_sums_agree(dtype):
    x = sample("", dtype, (3, 5))
    for axis in (None, 0, 1):
        assert_agrees(lambda x, a=axis: np.cumsum(x, axis=a), x)
        assert_agrees(lambda x, a=axis: np.cumprod(x, axis=a), x)


def test_reductions_of_python_numbers_and_scalars_agree():
    for name in ("sum", "mean", "max", "min", "any", "all", "prod", "argmax"):
        assert_agrees(getattr(np, name), 2.5)
        assert_agrees(getattr(np, name), 3)
    assert_agrees(lambda x: np.sum(x, dtype=np.float32), np.ones(3))
    assert_agrees(lambda x: np.mean(x, dtype=np.float32), np.arange(3))


def test_options_agree():
    x = sample("", "float64", (3, 4))
    mask = x > 0
    assert_agrees(lambda x: np.sum(x, initial=5.0), x)
    assert_agrees(lambda x: np.sum(x, where=x > 0), x)
    assert_agrees(lambda x, m: np.sum(x, axis=1, where=m), x, mask)
    assert_agrees(lambda x, m: np.mean(x, axis=0, where=m), x, mask)
    assert_agrees(lambda x: np.max(x, initial=0.5), x)
    assert_agrees(lambda x: np.max(x, axis=1, initial=-9.0, where=x > 0), x)
    assert_agrees(lambda x: np.min(x[:0], initial=7.0), x)
    assert_agrees(lambda x: np.max(x[:0], axis=0, initial=7.0), x)
    assert_agrees(lambda x: np.any(x, where=x > 1), x)
    assert_agrees(lambda x: np.var(x, axis=1, ddof=1), x)
    assert_agrees(lambda x: np.std(x, ddof=1), x)
    assert_agrees(lambda x: x.var(correction=1) if hasattr(x, "node") else x.var(ddof=1), x)


def test_empty_sums_agree():
    for name in ("sum", "prod", "any", "all"):
        assert_agrees(lambda x, n=name: getattr(np, n)(x, axis=0), np.ones((0, 3)))
    for name in ("max", "min", "argmax"):
        with pytest.raises(ValueError, match="no elements"):
            traced_result(lambda x, n=name: getattr(np, n)(x, axis=0), np.ones((0, 3)))


def test_relatives_agree():
    x = sample("", "float64", (3, 4))
    w = np.arange(1.0, 5.0)
    assert_agrees(lambda x: np.ptp(x, axis=0), x)
    assert_agrees(lambda x: np.count_nonzero(x > 0, axis=1), x)
    assert_agrees(lambda x: np.count_nonzero(x), x)
    assert_agrees(lambda x: np.average(x, axis=1), x)
    assert_agrees(lambda x, w: np.average(x, axis=1, weights=w), x, w)
    assert_agrees(lambda x: np.average(x, weights=x * x, returned=True), x)
    assert_agrees(lambda x: np.diff(x), x)
    assert_agrees(lambda x: np.diff(x, 2, axis=0), x)
    assert_agrees(lambda x: np.diff(x, prepend=0.0), x)
    assert_agrees(lambda x: np.diff(x > 0), x)
    assert_agrees(lambda x: np.nansum(x), np.array([1.0, np.nan]))
    assert_agrees(lambda x: np.linalg.norm(x), x)
    assert_agrees(lambda x: np.linalg.norm(x, axis=1), x)
    for order in (0, 1, 2, 3, np.inf, -np.inf):
        assert_agrees(lambda x, p=order: np.linalg.norm(x, p, axis=1), x)
    for order in ("fro", 1, np.inf):
        assert_agrees(lambda x, p=order: np.linalg.norm(x, p), x)
    assert_agrees(lambda x: np.linalg.vector_norm(x), x)


def test_python_builtins_over_arrays_agree():
    x = sample("", "float64", (4,))
    assert_agrees(lambda x: sum(x), x)
    assert_agrees(lambda x: sum(v * v for v in x), x)
    assert_agrees(lambda x: [row + 1 for row in x], x)
    assert_agrees(lambda x: sum([0.5 * v for v in x], start=1.0), x)


def reference_softmax(x, axis=-1):
    weights = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_softmax_and_its_relatives(dtype):
    x = sample("", dtype, (3, 4))
    floats = x.astype(np.float64) if dtype == "int64" else x
    for axis in (-1, 0):
        soft = reference_softmax(floats, axis)
        total = np.log(np.sum(np.exp(floats), axis=axis))
        cases = (
            (lambda x, a=axis: snp.softmax(x, axis=a), soft),
            (lambda x, a=axis: snp.log_softmax(x, axis=a), np.log(soft)),
            (lambda x, a=axis: snp.logsumexp(x, axis=a), total),
            (
                lambda x, a=axis: snp.logsumexp(x, axis=a, keepdims=True),
                np.expand_dims(total, axis),
            ),
        )
        for function, wanted in cases:
            assert_same(np.asarray(function(x)), wanted, False, 1e-5)
            assert_same(traced_result(function, x)[0], wanted, False, 1e-5)


def test_softmax_does_not_overflow():
    x = np.array([1000.0, 1000.0, -np.inf])
    for compute in (lambda f: f(x), lambda f: traced_result(f, x)[0]):
        np.testing.assert_array_equal(compute(snp.softmax), [0.5, 0.5, 0.0])
        np.testing.assert_allclose(compute(snp.logsumexp), 1000 + np.log(2))
        np.testing.assert_allclose(compute(snp.log_softmax)[:2], [-np.log(2)] * 2)


def test_axes_that_do_not_exist_are_reported():
    x = np.ones((2, 3))
    with pytest.raises(AxisOutOfRange, match="axis 2 is out of bounds"):
        traced_result(lambda x: np.sum(x, axis=2), x)
    with pytest.raises(IndexError):
        traced_result(lambda x: x.mean(axis=-3), x)
    with pytest.raises(ShapeError, match="names an axis twice"):
        traced_result(lambda x: np.sum(x, axis=(0, 0)), x)
    with pytest.raises(UnsupportedOperation, match="out= cannot be recorded"):
        traced_result(lambda x: np.sum(x, out=np.zeros(())), x)


@pytest.mark.parametrize(
    "shape, axis",
    [((50,), 0), ((3, 40), 1)]
    + [pytest.param(*c, marks=pytest.mark.slow) for c in (((40, 3), 0), ((2, 30, 4), 1))],
)
@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_long_running_sums_and_their_derivatives(shape, axis, name):
    r = np.random.default_rng(5)
    x, c = r.uniform(0.8, 1.2, shape), r.normal(size=shape)
    running = getattr(np, name)
    f = lambda x: running(x, axis=axis)  # noqa: E731
    assert np.allclose(sf.compile(f)(x), f(x), rtol=1e-14)
    loss = lambda x: np.sum(c * np.sin(f(x)))  # noqa: E731
    slope, direction = sf.grad(loss), r.normal(size=shape)
    step = 1e-6
    numeric = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
    assert np.isclose(np.sum(slope(x) * direction), numeric, rtol=1e-6)
    assert np.isclose(sf.jvp(loss, (x,), (direction,))[1], numeric, rtol=1e-6)
    ahead, behind = slope(x + step * direction), slope(x - step * direction)
    second = sf.jvp(slope, (x,), (direction,))[1]
    assert np.allclose(second, (ahead - behind) / (2 * step), rtol=1e-4, atol=1e-6)
    assert np.allclose(sf.vmap(f)(np.stack([x, c])), np.stack([f(x), f(c)]))


def test_running_sums_keep_what_numpy_keeps():
    x = np.full(40, -0.0)
    assert np.all(np.signbit(sf.compile(lambda x: np.cumsum(x))(x)))
    for dtype in ("i1", "u2", "f2", "?"):
        x = np.random.default_rng(6).integers(0, 2, 70).astype(dtype)
        got = sf.compile(lambda x: np.cumsum(x))(x)
        assert got.dtype == np.cumsum(x).dtype and np.array_equal(got, np.cumsum(x))
    assert sf.compile(lambda x: np.cumsum(x, axis=1))(np.ones((0, 20))).shape == (0, 20)


@pytest.mark.parametrize("function", [np.var, np.std])
def test_deviations_of_some_elements(function):
    """``where=``: of what the mask shows, nan elsewhere or not; with its gradient."""
    x = np.array([[1.0, 2.0, np.nan], [4.0, -5.0, 6.5]])
    mask = np.array([[True, True, False], [True, False, True]])
    for options in ({}, {"axis": 1}, {"axis": 1, "ddof": 1, "keepdims": True}):
        got = sf.compile(lambda x, m, o=options: function(x, where=m, **o))(x, mask)
        np.testing.assert_allclose(got, function(x, where=mask, **options), rtol=1e-15)
    numbers = np.arange(6, dtype="i4").reshape(2, 3)
    got = sf.compile(lambda x: function(x, axis=0, where=x > 0))(numbers)
    np.testing.assert_allclose(got, function(numbers, axis=0, where=numbers > 0), rtol=1e-15)
    slope = sf.grad(lambda x: function(x, where=mask))(x)
    wanted = np.zeros((2, 3))
    wanted[mask] = sf.grad(lambda y: function(y))(x[mask])
    np.testing.assert_allclose(slope, wanted, rtol=1e-14)
    nothing = np.zeros((2, 3), bool)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(
            sf.compile(lambda x: function(x, where=nothing))(x), function(x, where=nothing)
        )
