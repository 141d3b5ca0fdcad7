"""Exact results: infinities, nan, signed zeros, subnormal numbers, poles, and C's rules for pow."""

import importlib
import itertools

import numpy as np
import pytest
from symflux.codegen.mathlib import FUNCTIONS
from symflux.codegen.mathlib_report import evaluate
from symflux.codegen.scalars import SCALARS

INF, NAN = np.inf, np.nan
KINDS = {"f64": np.float64, "f32": np.float32}

#: name -> {argument: result}, the same in every dtype
EXACT = {
    "exp": {0.0: 1.0, -INF: 0.0, INF: INF, 1000.0: INF, -1000.0: 0.0},
    "exp2": {0.0: 1.0, -INF: 0.0, INF: INF, 3.0: 8.0, -2000.0: 0.0, 2000.0: INF},
    "expm1": {0.0: 0.0, -INF: -1.0, INF: INF, -1000.0: -1.0, 1000.0: INF},
    "log": {1.0: 0.0, 0.0: -INF, INF: INF, -1.0: NAN, -INF: NAN},
    "log2": {1.0: 0.0, 0.0: -INF, INF: INF, -1.0: NAN, -INF: NAN, 8.0: 3.0},
    "log10": {1.0: 0.0, 0.0: -INF, INF: INF, -1.0: NAN, -INF: NAN, 1000.0: 3.0},
    "log1p": {0.0: 0.0, -1.0: -INF, INF: INF, -2.0: NAN, -INF: NAN},
    "sin": {0.0: 0.0, INF: NAN, -INF: NAN},
    "cos": {0.0: 1.0, INF: NAN, -INF: NAN},
    "tan": {0.0: 0.0, INF: NAN, -INF: NAN},
    "arcsin": {0.0: 0.0, 2.0: NAN, -2.0: NAN, INF: NAN, 1.0: np.pi / 2, -1.0: -np.pi / 2},
    "arccos": {1.0: 0.0, 2.0: NAN, -2.0: NAN, -INF: NAN, 0.0: np.pi / 2, -1.0: np.pi},
    "arctan": {0.0: 0.0, INF: np.pi / 2, -INF: -np.pi / 2, 1.0: np.pi / 4},
    "sinh": {0.0: 0.0, INF: INF, -INF: -INF, 1000.0: INF, -1000.0: -INF},
    "cosh": {0.0: 1.0, INF: INF, -INF: INF, 1000.0: INF, -1000.0: INF},
    "tanh": {0.0: 0.0, INF: 1.0, -INF: -1.0, 1000.0: 1.0, -1000.0: -1.0},
    "arcsinh": {0.0: 0.0, INF: INF, -INF: -INF},
    "arccosh": {1.0: 0.0, INF: INF, 0.5: NAN, -1.0: NAN, -2.0: NAN, -INF: NAN},
    "arctanh": {0.0: 0.0, 1.0: INF, -1.0: -INF, 1.5: NAN, -INF: NAN, INF: NAN},
    "sigmoid": {0.0: 0.5, INF: 1.0, -INF: 0.0, 1000.0: 1.0, -1000.0: 0.0},
    "erf": {0.0: 0.0, INF: 1.0, -INF: -1.0, 7.0: 1.0, -7.0: -1.0},
    "erfc": {0.0: 1.0, INF: 0.0, -INF: 2.0, 100.0: 0.0, -7.0: 2.0},
    "lgamma": {1.0: 0.0, 2.0: 0.0, 0.0: INF, -1.0: INF, -20.0: INF, INF: INF, -INF: INF},
}  # fmt: skip
ODD = [
    "expm1",
    "log1p",
    "sin",
    "tan",
    "arcsin",
    "arctan",
    "sinh",
    "tanh",
    "arcsinh",
    "arctanh",
    "erf",
]
UNARY = sorted(name for name in FUNCTIONS if SCALARS[name].arity == 1)


def same(results, wanted, dtype):
    """Equal (to one unit for a rounded constant), signs of zeros included."""
    kind = KINDS[dtype]
    with np.errstate(over="ignore"):
        wanted = np.array(wanted, np.float64).astype(kind)
    close = np.isclose(results, wanted, rtol=np.finfo(kind).eps, atol=0, equal_nan=True)
    return np.all(close) and np.array_equal(
        np.signbit(results[results == 0]), np.signbit(wanted[wanted == 0])
    )


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("name", sorted(EXACT))
def test_special_values(name, dtype):
    points = EXACT[name]
    arguments = np.array(list(points), KINDS[dtype])
    results = evaluate(name, dtype, arguments)
    assert same(results, list(points.values()), dtype), dict(zip(arguments, results, strict=True))


def test_lgamma_of_the_greatest_arguments():
    x = np.array([3e38, 2.55e305, 2.6e305, 1.7e308])
    results = evaluate("lgamma", "f64", x)
    assert np.allclose(results[:2], [x * (np.log(x) - 1) for x in x[:2]], rtol=1e-15)
    assert np.all(results[2:] == INF)
    assert evaluate("lgamma", "f32", np.array([3e38, 1e37], np.float32)).tolist() == [INF, INF]


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("name", UNARY)
def test_nan_stays_nan(name, dtype):
    results = evaluate(name, dtype, np.array([NAN, -NAN, 0.5], KINDS[dtype]))
    assert np.isnan(results[:2]).all()
    assert np.isfinite(results[2]) or name == "arccosh"


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("name", ODD)
def test_odd_functions_keep_the_sign_of_zero_and_subnormal_numbers(name, dtype):
    least = np.finfo(KINDS[dtype]).smallest_subnormal
    arguments = np.array([0.0, -0.0, least, -least, 5 * least, -5 * least], KINDS[dtype])
    results = evaluate(name, dtype, arguments)
    assert np.array_equal(np.signbit(results), np.signbit(arguments))
    if name == "erf":  # 2/sqrt(pi) x
        arguments = np.array([0, 0, least, -least, 6 * least, -6 * least], KINDS[dtype])
    assert np.array_equal(results, arguments)


def c_pow(x, y):
    """Annex F of the C standard: what pow gives for special arguments; None elsewhere."""
    if x == 1 or y == 0:
        return 1.0
    if np.isnan(x) or np.isnan(y):
        return NAN
    whole = np.isinf(y) or y == np.floor(y)
    odd = np.isfinite(y) and whole and y % 2 == 1
    if np.isinf(y):
        if abs(x) == 1:
            return 1.0
        return INF if (abs(x) > 1) == (y > 0) else 0.0
    if x == 0:
        return np.copysign(0.0 if y > 0 else INF, x) if odd else (0.0 if y > 0 else INF)
    if np.isinf(x):
        size = INF if y > 0 else 0.0
        return -size if x < 0 and odd else size
    return NAN if x < 0 and not whole else None


@pytest.mark.parametrize("dtype", KINDS)
def test_pow_follows_the_c_standard(dtype):
    values = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, INF, -INF, NAN, 1 / 3, 1e-40]
    values += [-8.0, 1e30, -1e30, 2.0**24 + 2, 7.0, -7.0]
    kind = KINDS[dtype]
    cases = [(kind(x), kind(y)) for x, y in itertools.product(values, values)]
    wanted = [c_pow(float(x), float(y)) for x, y in cases]
    results = evaluate(
        "pow", dtype, *(np.array(column, kind) for column in zip(*cases, strict=True))
    )
    assert sum(w is not None for w in wanted) > 200
    for (x, y), result, want in zip(cases, results, wanted, strict=True):
        if want is None:
            continue
        assert np.array_equal(result, want, equal_nan=True), (x, y, result, want)
        assert np.isnan(want) or np.signbit(result) == np.signbit(want), (x, y, result, want)


@pytest.mark.parametrize("dtype", KINDS)
def test_pow_overflows_and_underflows_with_the_right_sign(dtype):
    kind = KINDS[dtype]
    x = np.array([10.0, -10.0, -10.0, 0.1, -0.1, -0.1, 1.0 + 2.0**-20], kind)
    y = np.array([1e5, 1e5, 100001.0, 1e5, 1e5, 100001.0, 1e30], kind)
    results = evaluate("pow", dtype, x, y)
    assert results.tolist() == [INF, INF, -INF, 0.0, 0.0, -0.0, INF]
    assert np.signbit(results).tolist() == [False, False, True, False, False, True, False]


@pytest.mark.parametrize("dtype", KINDS)
def test_arctan2_follows_the_c_standard(dtype):
    kind = KINDS[dtype]
    values = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e-40, -1e-40, 3e38, -3e38]
    y, x = (
        np.array(column, kind) for column in zip(*itertools.product(values, values), strict=True)
    )
    results, wanted = evaluate("arctan2", dtype, y, x), np.arctan2(y, x)
    assert np.allclose(results, wanted, rtol=2 * np.finfo(kind).eps, atol=0, equal_nan=True)
    numbers = ~np.isnan(wanted)
    assert np.array_equal(np.signbit(results[numbers]), np.signbit(wanted[numbers]))


@pytest.mark.parametrize("dtype", KINDS)
def test_large_and_small_arguments_side_by_side(dtype):
    """Each lane of a vector follows its own way through the loop for large arguments."""
    kind = KINDS[dtype]
    x = np.array([1.0, 1e30, INF, 0.5, -1e35, NAN, 2.0, 1e5] * 5, kind)
    for name, oracle in (("sin", np.sin), ("cos", np.cos), ("tan", np.tan)):
        with np.errstate(invalid="ignore"):
            wanted = oracle(x.astype(np.float64))
        results = evaluate(name, dtype, x)
        assert np.allclose(results, wanted, rtol=4 * np.finfo(kind).eps, atol=0, equal_nan=True)


def test_every_function_of_the_library_is_found():
    assert set(FUNCTIONS) == {n for n, row in SCALARS.items() if row.native == "mathlib"}
    for name, home in FUNCTIONS.items():
        module = importlib.import_module(f"symflux.codegen.mathlib.{home}")
        assert name in module.__all__ and set(module.__all__) <= set(FUNCTIONS)
