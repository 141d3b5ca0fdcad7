"""Functions at the edges of every dtype: the least and greatest numbers, special values, scalars.

The kind of fault: arithmetic in the operand's own narrow type where NumPy computes in a wider one.
"""

import numpy as np
import pytest

import symflux as sf
from symflux.errors import DTypeError, RangeError, SymFluxError, UnsupportedOperation
from tests.trace.agreement import traced_result

FLOATS = ("float16", "float32", "float64")
INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *INTS, *FLOATS)
NUMBERS = (0, 1, -1, 3, -3, 100, 300, -200, 2.5, -0.0, float("inf"), float("nan"), True, 2**40)
BEYOND = (2**63, -(2**63), 2**64)


def edge(dtype):
    if dtype == "bool":
        return np.array([True, False])
    if dtype in INTS:
        i = np.iinfo(dtype)
        low = [-1, -2, -3, -100, i.min, i.min + 1] if i.min else []
        return np.array([0, 1, 2, 3, 100, i.max, i.max - 1, *low], dtype)
    f = np.finfo(dtype)
    values = [0.5, 1.0, 2.5, 3.0, 7.25, 100.0, np.inf, float(f.max), float(f.tiny), 0.0]
    return np.array([*values, *(-v for v in values), np.nan]).astype(dtype)


def same(got, wanted, ulps, signed_zeros=True):
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.dtype == wanted.dtype, f"{got.dtype}, NumPy gives {wanted.dtype}"
    assert got.shape == wanted.shape
    if wanted.dtype.kind != "f":
        np.testing.assert_array_equal(got, wanted)
        return
    with np.errstate(all="ignore"):
        wide = got.astype(np.longdouble) - wanted.astype(np.longdouble)
        close = (got == wanted) | (np.abs(wide) <= ulps * np.spacing(np.abs(wanted)))
    if signed_zeros:
        close &= (got != 0) | (wanted != 0) | (np.signbit(got) == np.signbit(wanted))
    assert np.all(close | (np.isnan(got) & np.isnan(wanted))), f"{got}, NumPy gives {wanted}"


def as_numpy(fn, *args, ulps=0, signed_zeros=True):
    """``fn`` traced gives what NumPy gives, or both refuse."""
    with np.errstate(all="ignore"):
        try:
            wanted = fn(*args)
        except (TypeError, OverflowError, ValueError) as error:
            with pytest.raises(SymFluxError):
                traced_result(fn, *args)
            return error
    got = traced_result(fn, *args)[0]
    several = isinstance(wanted, tuple)
    for mine, numpys in zip(got, wanted, strict=True) if several else ((got, wanted),):
        same(mine, numpys, ulps, signed_zeros)
    return None


@pytest.mark.parametrize("first", DTYPES)
def test_remainders_of_c_agree(first):
    for second in INTS:
        if first not in FLOATS:
            as_numpy(np.fmod, edge(first)[:, None], edge(second)[None, :])
    if first in INTS:
        for number in (3, -3, 100, True):
            as_numpy(lambda x, n=number: np.fmod(x, n), edge(first))
            as_numpy(lambda x, n=number: np.fmod(n, x), edge(first))


def test_remainders_of_c_agree_natively():
    arrays = [edge(dtype) for dtype in INTS]
    got = sf.compile(lambda xs: [np.fmod(x[:, None], x[None, :]) for x in xs])(arrays)
    with np.errstate(all="ignore"):
        for x, mine in zip(arrays, got, strict=True):
            same(mine, np.fmod(x[:, None], x[None, :]), 0)


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("first", DTYPES)
def test_isclose_does_not_wrap(first):
    x = edge(first)
    for second in DTYPES:
        y = edge(second)
        as_numpy(lambda x, y: np.isclose(x[:, None], y[None, :]), x, y)
        as_numpy(lambda x, y: np.isclose(x[:, None], y[None, :], 0.1, 1, equal_nan=True), x, y)
    for number in (*NUMBERS, *BEYOND):
        if first == "float16" and 1e5 < abs(number) < np.inf:
            continue  # inf to NumPy's float16, and "close" to everything
        as_numpy(lambda x, n=number: np.isclose(x, n), x)
        if abs(number) < 2**40:  # plain NumPy refuses x - n there for narrow integers
            as_numpy(lambda x, n=number: np.isclose(n, x), x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_of_one_array_at_the_edges(dtype):
    x = edge(dtype)
    for function in (np.sinc, np.angle, lambda x: np.angle(x, deg=True)):
        as_numpy(function, x[:0] if function is np.sinc and dtype in FLOATS else x[:5], ulps=4)
    if dtype in FLOATS:  # pi x is rounded by NumPy's sinc of narrow floats: zeros are moved
        with np.errstate(all="ignore"):
            exact = np.sinc(x.astype(np.float64)).astype(dtype)
        same(traced_result(np.sinc, x)[0], exact, 4)
    for decimals in (0, 1, -1, -2):
        as_numpy(lambda x, d=decimals: np.round(x, d), x)
    as_numpy(np.modf, x)
    if dtype in INTS:
        as_numpy(np.reciprocal, x[x != 0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_clip_takes_limits_beyond_the_dtype(dtype):
    x = edge(dtype)
    limits = ((-4, 3), (0, 3), (1, 300), (-200, None), (None, 2**40), (0.5, 2.5), (3, -4), (300, 1))
    for low, high in limits:
        as_numpy(lambda x, low=low, high=high: np.clip(x, low, high), x, signed_zeros=False)
        as_numpy(lambda x, low=low, high=high: x.clip(low, high), x, signed_zeros=False)


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("dtype", DTYPES)
def test_averages_in_a_given_dtype(dtype):
    x = np.resize(edge(dtype)[:4], (2, 2))
    mask = np.array([[True, False], [True, True]])
    for wanted in ("i4", "i1", "u1", "f4", "f8", "?"):
        for axis in (None, 0):
            as_numpy(lambda x, w=wanted, a=axis: np.mean(x, a, dtype=w), x, ulps=2)
            as_numpy(lambda x, w=wanted, a=axis: np.var(x, a, dtype=w), x, ulps=4)
            as_numpy(lambda x, w=wanted, a=axis: np.std(x, a, dtype=w), x, ulps=4)
        as_numpy(lambda x, w=wanted: np.mean(x, 0, dtype=w, where=mask), x, ulps=4)


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("dtype", DTYPES)
def test_averages_and_rows_have_numpys_dtype(dtype):
    x = np.array([1, 0, 1]).astype(dtype)
    for other in DTYPES:
        y = np.array([1, 1, 0]).astype(other)
        as_numpy(lambda x, y: np.average(x, weights=y, returned=True), x, y, ulps=2)
        as_numpy(lambda x, y: np.linspace(x, y, 4), x, y, ulps=2)
        as_numpy(lambda x, y: np.linspace(x, y, 4, dtype="i4"), x, y)
    as_numpy(lambda x: np.linspace(-1.5, x, 4, dtype=np.int64), x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_starts_of_reductions_must_fit(dtype):
    x = np.array([[1, 0, 1], [1, 1, 0]]).astype(dtype)
    for name in ("sum", "prod", "max", "min"):
        for start in (2, -1, 300, 2**63, 2.5):
            as_numpy(lambda x, n=name, s=start: getattr(np, n)(x, axis=0, initial=s), x)


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_scalar_has_axes_to_reduce_over(dtype):
    x = np.array(1).astype(dtype)
    names = ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin", "ptp", "nansum",
             "cumsum", "cumprod", "count_nonzero", "mean")  # fmt: skip
    for name in names:
        for axis in (0, -1, 1, None, (), (0,)):
            if name in ("argmax", "argmin", "cumsum", "cumprod") and isinstance(axis, tuple):
                continue
            as_numpy(lambda x, n=name, a=axis: getattr(np, n)(x, axis=a), x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_of_bools_are_whether_both_hold(dtype):
    x = np.array([1, 0, 1]).astype(dtype)
    for function in (np.outer, np.kron, np.inner, np.dot, np.vdot, np.multiply.outer, np.vecdot):
        as_numpy(function, x, np.array([True, False, True]))
    as_numpy(lambda x: np.dot(x[0], x), x)
    as_numpy(lambda x: np.inner(x, x[0]), x)


def test_powers_whose_square_overflows():
    for dtype, value in (("float16", 300), ("float32", 2.0**64), ("float64", 1e155)):
        x = np.array([value, -value, 3]).astype(dtype)
        got = sf.compile(lambda x: x**-2)(x)
        with np.errstate(all="ignore"):
            same(got, (1 / x.astype(np.longdouble) ** 2).astype(dtype), 2)


def test_results_of_two_arrays_are_not_written_into_plain_ones():
    out = (np.zeros(3), np.zeros(3))
    for function in (np.modf, lambda x, out: np.divmod(x, 2.0, out=out)):
        with pytest.raises(UnsupportedOperation, match="out="):
            sf.trace(lambda x, f=function: f(x, out=out))(np.ones(3))


def test_choices_wrap_python_integers_as_numpy_does():
    for dtype in ("u1", "i1", "u4"):
        x = np.array([0, 2, 100], dtype)
        for fn in (
            lambda x: np.where(x > 0, x, -1),
            lambda x: np.where(x > 1, -129, x),
            lambda x: np.select([x > 50, x > 0], [x, x], -2),
        ):
            try:
                wanted = fn(x)
            except OverflowError:  # np.where from NumPy 2.5 on
                with pytest.raises(RangeError, match="does not fit"):
                    sf.compile(fn)(x)
                continue
            got = sf.compile(fn)(x)
            np.testing.assert_array_equal(got, wanted)
            assert got.dtype == wanted.dtype


def test_python_integers_beyond_the_dtype_are_refused_as_in_numpy():
    for fn in (
        lambda x: np.pad(x, 1, constant_values=300),
        lambda x: np.full_like(x, 300),
        lambda x: x + 300,
        lambda x: np.where(x > 0, x, 2**70),
    ):
        with pytest.raises(RangeError):
            sf.trace(fn)(np.zeros(3, "i1"))
    bools = np.array([True, False])
    for number in BEYOND:
        assert traced_result(lambda x, n=number: x < n, bools)[0].tolist() == [number > 0] * 2
    with pytest.raises(DTypeError):
        sf.trace(lambda x: np.round(x, 1))(bools)
