"""Errors of the native functions against multiple precision: random, hard and extreme arguments."""

import numpy as np
import pytest
from symflux.codegen.llvm.machine import Machine
from symflux.codegen.mathlib import FUNCTIONS
from symflux.codegen.mathlib_report import DOMAINS, evaluate, samples, ulp_errors

DTYPES = {"f64": np.float64, "f32": np.float32}
#: the largest error allowed, in ULP; elsewhere 2
BOUNDS = {("lgamma", "f64"): 4.0}
BOUNDS |= {(name, dtype): 6.0 for name in ("sigmoid_slope", "tanh_slope") for dtype in DTYPES}


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_random_arguments(name, dtype):
    errors = ulp_errors(name, dtype, *samples(name, dtype, 250, seed=7))
    assert len(errors) >= 200
    assert errors.max() <= BOUNDS.get((name, dtype), 2.0)
    assert errors.mean() <= (0.8 if (name, dtype) in BOUNDS else 0.5)  # rounding alone: 0.25


#: functions that machines without lookups in registers compute in another way, and where one of its
#: formulas follows another
WITHOUT_LOOKUPS = {"erf": (1.25, 1.0), "exp": (0.35,), "log": (0.7071, 1.4142), "tanh": (0.625,)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WITHOUT_LOOKUPS)
def test_random_arguments_without_lookups(monkeypatch, name, dtype):
    monkeypatch.setattr(Machine, "has_permutes", False)
    (points,) = samples(name, dtype, 250, seed=8)
    rng = np.random.default_rng(9)
    near = [rng.uniform(0.9 * edge, 1.1 * edge, 60) for edge in WITHOUT_LOOKUPS[name]]
    errors = ulp_errors(name, dtype, np.concatenate([points, *near]).astype(DTYPES[dtype]))
    assert len(errors) >= 200
    assert errors.max() <= 2.0 and errors.mean() <= 0.5


def neighbours(points, dtype, count=6):
    """Floats on both sides of each point."""
    below = above = np.array(points, DTYPES[dtype])
    found = [above]
    with np.errstate(over="ignore"):
        for _ in range(count):
            below, above = np.nextafter(below, -np.inf), np.nextafter(above, np.inf)
            found += [below, above]
    return np.concatenate(found)


#: where a function comes near to overflow or underflow, or goes from one formula to the next
EDGES = {
    ("exp", "f64"): [709.782712893384, -745.1332191019411, -708.3964185322641, 0.34657359027997264],
    ("exp", "f32"): [88.72283905206835, -103.97207708399179, -87.33654475055, 0.34657359027997264],
    ("exp2", "f64"): [1024.0, -1074.0, -1075.0, -1022.0, 0.5],
    ("exp2", "f32"): [128.0, -149.0, -150.0, -126.0, 0.5],
    ("expm1", "f64"): [709.782712893384, -37.42994775023705, -0.34657359027997264, 1e-16],
    ("expm1", "f32"): [88.72283905206835, -17.32867951399863, 0.34657359027997264, 1e-8],
    ("log", "f64"): [2.2250738585072014e-308, 5e-324, 1.7976931348623157e308, 1.0, 2.0**0.5],
    ("log", "f32"): [2.0**-126, 2.0**-149, 3.4e38, 1.0, 2.0**0.5],
    ("log1p", "f64"): [-0.9999999999999999, 1e-300, 2.0**53, 1e308, -0.2928932188134524],
    ("log1p", "f32"): [-0.99999994, 1e-38, 2.0**24, 3e38, -0.2928932188134524],
    ("sin", "f64"): [np.pi, 2.0**45, 6381956970095103 * 2.0**797, 1.7e308, 1e22],
    ("sin", "f32"): [np.pi, 2.0**16, 16367173.0 * 2.0**72, 3e38, 1e22],
    ("cos", "f64"): [np.pi / 2, 2.0**45, 6381956970095103 * 2.0**797, 1.7e308, 1e22],
    ("cos", "f32"): [np.pi / 2, 2.0**16, 16367173.0 * 2.0**72, 3e38, 1e22],
    ("tan", "f64"): [np.pi / 2, np.pi / 4, 2.0**45, 6381956970095103 * 2.0**797, 1e22],
    ("tan", "f32"): [np.pi / 2, np.pi / 4, 2.0**16, 16367173.0 * 2.0**72, 1e22],
    ("sinh", "f64"): [710.4758600739439, -710.4758600739439, 40.0, 1e-300],
    ("sinh", "f32"): [89.415985, -89.415985, 20.0, 1e-40],
    ("cosh", "f64"): [710.4758600739439, -710.4758600739439, 40.0, 1e-300],
    ("cosh", "f32"): [89.415985, -89.415985, 20.0, 1e-40],
    ("tanh", "f64"): [19.06154746539849, 18.7, 22.0, 1e-17, 5e-324],
    ("tanh", "f32"): [9.010913, 8.78, 10.0, 1e-9, 1e-45],
    ("sigmoid", "f64"): [-745.1332191019411, -709.0, 36.7, 1e-300],
    ("sigmoid", "f32"): [-103.97207708399179, -87.4, 16.7, 1e-40],
    ("arcsin", "f64"): [0.5, -0.5, 0.9999999999999998, 1e-300],
    ("arccos", "f64"): [0.5, -0.5, 0.9999999999999998, -0.9999999999999998, 1e-300],
    ("arctan", "f64"): [1.0, 0.4142135623730951, 2.414213562373095, 1e300, 5e-324],
    ("arcsinh", "f64"): [2.0**60, 1e300, 1e-300, 1.0],
    ("arccosh", "f64"): [1.0000000000000009, 2.0**60, 1e300],
    ("arctanh", "f64"): [0.9999999999999989, 1e-300, 0.5],
    ("erf", "f64"): [1.0, 5.863584748755167, 6.0, 5e-324],
    ("erfc", "f64"): [0.85, 26.54325845425098, 27.226017111108366, -6.0],
    ("lgamma", "f64"): [3.0, 2.5599833278516383e305, 1e-300, 0.5],
}


@pytest.mark.quick(every=2)
@pytest.mark.parametrize(("name", "dtype"), EDGES)
def test_edges(name, dtype):
    points = neighbours(EDGES[name, dtype], dtype)
    low, high = DOMAINS.get(name, (-np.inf, np.inf))
    points = points[(points > low) & (points < high)]
    assert ulp_errors(name, dtype, points).max() <= BOUNDS.get((name, dtype), 2.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_next_to_multiples_of_half_pi(name, dtype):
    points = (np.arange(1, 400) * (np.pi / 2)).astype(DTYPES[dtype])
    assert ulp_errors(name, dtype, points).max() <= 2.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_logarithms_next_to_their_zero(dtype):
    offsets = np.ldexp([1.0, -1.0], np.arange(-50, -1)[:, None]).ravel()
    points = (1.0 + offsets).astype(DTYPES[dtype])
    points = points[points != 1.0]
    for name in ("log", "log2", "log10", "lgamma"):
        assert ulp_errors(name, dtype, points).max() <= BOUNDS.get((name, dtype), 2.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_whole_powers_and_logarithms_are_exact(dtype):
    exponents = np.arange(-126, 128).astype(DTYPES[dtype])
    powers = np.ldexp(DTYPES[dtype](1), exponents.astype(int))
    assert np.array_equal(evaluate("exp2", dtype, exponents), powers)
    assert np.array_equal(evaluate("log2", dtype, powers), exponents)
    tens = np.array([10.0**n for n in range(11)], DTYPES[dtype])
    assert np.array_equal(evaluate("log10", dtype, tens), np.arange(11))
    small = np.arange(1, 12).astype(DTYPES[dtype])
    assert np.array_equal(evaluate("pow", dtype, small, np.full_like(small, 3)), small**3)
    squares = powers[exponents % 2 == 0]
    assert np.array_equal(evaluate("pow", dtype, squares, np.full_like(squares, 0.5)), squares**0.5)


def test_sin_and_cos_stay_within_one():
    x = np.concatenate(
        [neighbours(np.arange(-200, 200) * (np.pi / 2), "f64", 3), np.geomspace(1e3, 1e300, 500)]
    )
    for name in ("sin", "cos"):
        assert np.abs(evaluate(name, "f64", x)).max() == 1.0
        assert np.abs(evaluate(name, "f32", x[:2000].astype(np.float32))).max() == 1.0


def zeros_of_lgamma():
    """The zeros of lgamma between the poles from -2 down to -30, in 50 digits."""
    import mpmath as mp

    def size(x):
        return mp.log(abs(mp.gamma(x)))

    found = []
    with mp.workdps(50):
        for n in range(2, 31):
            for sign in (1, -1) if n > 2 else (-1,):  # there is none between -2 and -1
                near, far = 1 / (2 * mp.factorial(n)), mp.mpf("0.48" if n == 2 else "0.3")
                for _ in range(160):
                    middle = (near + far) / 2
                    inside = size(sign * middle - n) > 0
                    near, far = (middle, far) if inside else (near, middle)
                found.append(sign * near - n)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
def test_lgamma_next_to_its_zeros_between_the_poles(dtype):
    kind = DTYPES[dtype]
    zeros = np.array([float(z) for z in zeros_of_lgamma()])
    assert np.allclose(zeros[:2], [-2.4570247382208006, -2.7476826467274127], rtol=1e-15)
    poles = np.round(zeros)
    relative = np.concatenate([s * 2.0 ** -np.arange(1.0, 50.0, 3) for s in (1, -1)])
    away = (zeros - poles) * (1 + relative[:, None]) + poles  # zeros get near to poles quickly
    points = np.concatenate([neighbours(zeros, dtype), away.ravel().astype(kind)])
    points = np.unique(points[points != np.round(points)])
    assert ulp_errors("lgamma", dtype, points).max() <= BOUNDS.get(("lgamma", dtype), 1.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_lgamma_next_to_its_poles(dtype):
    points = neighbours(-np.arange(1.0, 40.0), dtype)
    points = points[points != np.round(points)]
    assert ulp_errors("lgamma", dtype, points).max() <= 1.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_lgamma_of_negative_arguments(dtype):
    rng = np.random.default_rng(0)
    regions = [(2, 3), (0, 5), (5, 18), (18, 150)]
    x = -np.concatenate([rng.uniform(*ends, 150) for ends in regions] + [[1e-300, 1e-30, 0.5]])
    x = x.astype(DTYPES[dtype])
    x = x[x != np.round(x)]
    assert ulp_errors("lgamma", dtype, x).max() <= BOUNDS.get(("lgamma", dtype), 1.0)


@pytest.mark.parametrize("name", ["exp", "sin", "pow", "tanh", "arctan2", "lgamma"])
def test_one_element_at_a_time_gives_the_same_bits(name):
    arguments = samples(name, "f64", 40, seed=3)
    vectors = evaluate(name, "f64", *arguments)
    singly = evaluate(name, "f64", *arguments, mode="serial")
    assert np.array_equal(vectors.view(np.int64), singly.view(np.int64))


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_half_precision_is_single_precision_rounded(name):
    with np.errstate(over="ignore"):
        points = [x.astype(np.float16) for x in samples(name, "f32", 40, seed=5)]
        wanted = evaluate(name, "f32", *(x.astype(np.float32) for x in points)).astype(np.float16)
    assert np.array_equal(evaluate(name, "f16", *points), wanted, equal_nan=True)
