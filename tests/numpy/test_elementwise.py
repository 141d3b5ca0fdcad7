"""Elementwise functions: dtype, shape and values as NumPy's own, for every dtype."""

import math
import operator

import numpy as np
import pytest

import symflux.numpy as snp
from symflux.errors import DTypeError, RangeError
from symflux.trace.ufuncs import BUILDERS
from tests.trace.agreement import assert_agrees, assert_same, traced_result

FLOATS = ("float16", "float32", "float64")
INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *INTS, *FLOATS)
# what keeps a function inside its domain
DOMAIN = {
    "arccosh": (1.0, 3.0),
    "arcsin": (-1.0, 1.0),
    "arccos": (-1.0, 1.0),
    "arctanh": (-0.9, 0.9),
}
POSITIVE = {
    "log",
    "log2",
    "log10",
    "log1p",
    "sqrt",
    "power",
    "float_power",
    "left_shift",
    "right_shift",
}


def sample(name, dtype, shape=(2, 3), seed=0):
    random = np.random.default_rng(seed)
    if dtype == "bool":
        return random.random(shape) < 0.5
    if dtype in INTS:
        low = 0 if dtype[0] == "u" or name in POSITIVE else -5
        return random.integers(low, 6, shape).astype(dtype)
    low, high = DOMAIN.get(name, (0.1, 3.0) if name in POSITIVE else (-3.0, 3.0))
    return random.uniform(low, high, shape).astype(dtype)


def agrees_or_both_refuse(fn, *args):
    try:
        with np.errstate(all="ignore"):
            fn(*args)
    except TypeError:
        with pytest.raises(DTypeError):
            traced_result(fn, *args)
        return
    assert_agrees(fn, *args)


UNARY = sorted(u.__name__ for u in BUILDERS if u.nin == 1 and u.__name__ != "reciprocal")
BINARY = sorted(u.__name__ for u in BUILDERS if u.nin == 2)


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_unary_ufuncs_agree(name, dtype):
    agrees_or_both_refuse(getattr(np, name), sample(name, dtype))


@pytest.mark.parametrize("name", UNARY)
def test_unary_ufuncs_of_python_numbers_agree(name):
    ufunc = getattr(np, name)
    for value in (True, 1, 0.75):
        if name == "arccosh" and value == 0.75:
            value = 1.25
        agrees_or_both_refuse(ufunc, value)


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("part", range(4))
def test_binary_ufuncs_promote_as_numpy(name, part):
    """Of two dtypes; a part is those whose numbers add up to it (modulo 4)."""
    ufunc = getattr(np, name)
    for i, first in enumerate(DTYPES):
        for second in DTYPES[(part - i) % 4 :: 4]:
            agrees_or_both_refuse(ufunc, sample(name, first), sample(name, second, (3,), 1))


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("name", BINARY)
def test_binary_ufuncs_with_python_numbers_agree(name):
    ufunc = getattr(np, name)
    for dtype in DTYPES:
        for number in (True, 2, 1.5):
            agrees_or_both_refuse(ufunc, sample(name, dtype), number)
            agrees_or_both_refuse(lambda x, n=number: ufunc(x, n), sample(name, dtype))
            if not (name == "power" and dtype in INTS):
                agrees_or_both_refuse(lambda x, n=number: ufunc(n, x), sample(name, dtype))


OPERATORS = (
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod,
    operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne, operator.and_,
    operator.or_, operator.xor,
)  # fmt: skip


@pytest.mark.parametrize("apply", OPERATORS, ids=lambda f: f.__name__)
def test_operators_on_python_numbers_stay_python_numbers(apply):
    for first in (True, 7, 2.5):
        for second in (3, 1.5):
            agrees_or_both_refuse(apply, first, second)
            agrees_or_both_refuse(lambda x, n=second: apply(x, n), first)
            agrees_or_both_refuse(lambda x, n=second: apply(n, x), first)


@pytest.mark.parametrize("apply", OPERATORS, ids=lambda f: f.__name__)
def test_operators_with_arrays_and_captured_arrays_agree(apply):
    for dtype in DTYPES:
        x, y = sample("", dtype), sample("", dtype, (3,), 1)
        agrees_or_both_refuse(apply, x, y)
        agrees_or_both_refuse(lambda x, y=y: apply(x, y), x)
        agrees_or_both_refuse(lambda x, y=y: apply(y, x), x)
        agrees_or_both_refuse(lambda x, y=y[0]: apply(y, x), x)  # a NumPy scalar
        agrees_or_both_refuse(lambda x: apply(x, [1, 2, 3]), x)


def test_a_python_number_adapts_until_a_numpy_function_makes_it_an_array():
    x = np.ones(3, np.float32)
    assert_agrees(lambda x, a: x * a, x, 2.0)  # float32
    assert_agrees(lambda x, a: x * (a * a + 1), x, 2.0)  # still float32
    assert_agrees(lambda x, a: x * np.sin(a), x, 2.0)  # np.sin(2.0) is a float64


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 5, 0.5, -1, -2, 1.5, 2.0])
@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "int32", "uint8", "bool"])
def test_powers_with_a_literal_exponent_agree(dtype, exponent):
    x = sample("power", dtype)
    if dtype in (*INTS, "bool") and isinstance(exponent, int) and exponent < 0:
        with pytest.raises(ValueError, match="negative integer power"):
            traced_result(lambda x: x**exponent, x)
        return
    assert_agrees(lambda x: x**exponent, x)


def test_powers_of_python_numbers_are_pythons():
    assert_agrees(lambda n: n**-1, 4)
    assert_agrees(lambda n: n**2, 4)
    assert_agrees(lambda x: 2**x, 0.5)
    assert_agrees(lambda n: pow(n, 3), 2)


def test_integer_powers_with_traced_exponents_agree():
    base = np.array([2, -3, 1, 0, 7], np.int64)
    exponent = np.array([10, 3, 60, 5, 0], np.int64)
    assert_agrees(np.power, base, exponent)
    assert_agrees(np.power, base.astype(np.int8), exponent.astype(np.int8))


@pytest.mark.parametrize(
    "name", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
)
def test_comparisons_of_signed_with_unsigned_are_exact(name):
    ufunc = getattr(np, name)
    signed = np.array([-1, 0, 1, 2**63 - 1], np.int64)
    unsigned = np.array([2**64 - 1, 0, 1, 2**63 - 1], np.uint64)
    assert_agrees(ufunc, signed[:, None], unsigned)
    assert_agrees(ufunc, unsigned[:, None], signed)


@pytest.mark.parametrize("number", [300, -1, 2**70, -(2**70)])
def test_comparisons_with_integers_beyond_the_dtype_are_exact(number):
    x = np.array([0, 5, 255], np.uint8)
    for apply in (operator.lt, operator.ge, operator.eq, operator.ne):
        assert_agrees(lambda x, apply=apply: apply(x, number), x)
        assert_agrees(lambda x, apply=apply: apply(number, x), x)


def test_integers_beyond_the_dtype_are_refused_in_arithmetic():
    with pytest.raises(RangeError, match="300 does not fit into uint8"):
        traced_result(lambda x: x + 300, np.zeros(2, np.uint8))
    with pytest.raises(OverflowError):
        _ = np.zeros(2, np.uint8) + 300


def test_special_values_agree():
    x = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-300])
    y = np.array([0.0, 1.0, -1.0, 2.0, np.inf, -np.inf, np.nan, 3.0])
    for name in ("fmax", "fmin", "hypot", "logaddexp", "copysign", "heaviside", "maximum", "fmod"):
        assert_agrees(getattr(np, name), x[:, None], y)
    for name in ("isnan", "isinf", "isfinite", "signbit", "sign", "rint", "trunc", "floor", "ceil"):
        assert_agrees(getattr(np, name), x)
    assert_agrees(lambda x: np.nan_to_num(x), x)
    assert_agrees(lambda x: np.nan_to_num(x, nan=1.0, posinf=2.0, neginf=3.0), x)
    assert_agrees(lambda x, y: np.isclose(x, y), x, y)
    assert_agrees(lambda x, y: np.isclose(x, y, equal_nan=True), x, y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_selection_agrees(dtype):
    x, y = sample("", dtype), sample("", "float32", (3,), 1)
    assert_agrees(lambda x, y: np.where(x > 0, x, y), x, y)
    assert_agrees(lambda x: np.where(x, x, 1), x)
    assert_agrees(lambda x: np.where([True, False, True], x, 0), x)
    assert_agrees(lambda x: np.select([x > 1, x > 0], [x, x + x], 3), x)


@pytest.mark.parametrize("dtype", [*INTS, *FLOATS])
def test_limits_and_rounding_agree(dtype):
    x = sample("", dtype)
    assert_agrees(lambda x: np.clip(x, 1, 2), x)
    assert_agrees(lambda x: np.clip(x, None, 2), x)
    assert_agrees(lambda x: x.clip(0, 3), x)
    assert_agrees(lambda x: np.clip(x, np.float32(0.5), 2.5), x)
    assert_agrees(lambda x: np.round(x), x)
    if dtype in FLOATS:
        assert_agrees(lambda x: np.round(x, 1), x)
        assert_agrees(lambda x: x.round(2), x)
    assert_agrees(lambda x: np.divmod(x, x.dtype.type(2)), x)


def test_conversion_agrees():
    x = np.array([[1.7, -2.2, 300.4]])
    for dtype in DTYPES:
        if dtype[0] != "u" and dtype != "int8":
            assert_agrees(lambda x, dtype=dtype: x.astype(dtype), x)
    assert_agrees(lambda x: np.add(x, 1, dtype=np.float32), x.astype(np.float32))
    assert_agrees(lambda x: round(x, 1), 2.25)
    assert_agrees(lambda x: abs(-x), 2.25)
    assert_agrees(lambda x: divmod(x, 2), 7)


def test_ufunc_outer_and_reduce_agree():
    x, y = sample("", "float64"), sample("", "float64", (4,), 1)
    assert_agrees(lambda x, y: np.add.outer(x, y), x, y)
    assert_agrees(lambda x: np.add.reduce(x), x)
    assert_agrees(lambda x: np.maximum.reduce(x, axis=1, keepdims=True), x)
    assert_agrees(lambda x: np.multiply.reduce(x, axis=None), x)
    assert_agrees(lambda x: np.logical_or.reduce(x > 0), x)
    assert_agrees(lambda x: np.add.accumulate(x), x)
    assert_agrees(lambda x: np.multiply.accumulate(x, axis=1), x)


def test_functions_that_numpy_lacks():
    def each(function):
        return lambda x: np.vectorize(function, otypes=[float])(x).astype(x.dtype)

    x = np.linspace(-3, 3, 7)
    pairs = (
        (snp.sigmoid, lambda x: 1 / (1 + np.exp(-x))), (snp.erf, each(math.erf)),
        (snp.erfc, each(math.erfc)), (snp.softplus, lambda x: np.logaddexp(x, x.dtype.type(0))),
        (snp.relu, lambda x: np.maximum(x, 0)),
        (lambda x: snp.lgamma(x + 4), lambda x: each(math.lgamma)(x + 4)),
        (lambda x: snp.rsqrt(x + 4), lambda x: 1 / np.sqrt(x + 4)),
    )  # fmt: skip
    for mine, reference in pairs:
        for dtype in (np.float64, np.float32):
            wanted = reference(x.astype(dtype))
            plain = mine(x.astype(dtype))
            assert plain.dtype == dtype
            assert_same(plain, wanted, False, 1e-12 if dtype is np.float64 else 1e-5)
            recorded, _ = traced_result(mine, x.astype(dtype))
            assert_same(recorded, wanted, False, 1e-12 if dtype is np.float64 else 1e-5)
    assert_agrees(snp.sigmoid, 3)
    assert_agrees(snp.relu, np.array([-1, 2]))


def test_scipy_ufuncs_on_traced_arrays_are_recorded():
    special = pytest.importorskip("scipy.special")
    x = np.linspace(-2, 2, 5)
    assert_agrees(lambda x: special.erf(x) + special.expit(x), x)


def test_names_of_the_array_api_are_there():
    x = np.array([0.1, 0.5])
    assert_agrees(lambda x: snp.asin(x) + snp.atan2(x, x) + snp.pow(x, x), x)
    namespace = traced_namespace = None

    def f(x):
        nonlocal traced_namespace
        traced_namespace = x.__array_namespace__()
        return x

    traced_result(f, x)
    namespace = snp
    assert traced_namespace is namespace
