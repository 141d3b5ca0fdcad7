"""The polynomials approximate what their comments say, as well as floats of the dtype allow."""

import mpmath as mp
import numpy as np
import pytest
from symflux.codegen.mathlib import coefficients as table
from symflux.codegen.mathlib.error_tables import ERF_POLYNOMIALS, ERF_STEP

HALF_LN2 = 0.3466
LN2_64 = 0.01084
ROOT = 0.1716  # (sqrt(2) - 1) / (sqrt(2) + 1)
HALF_PI_HALF = 0.7854


def odd_rest(function):
    """(f(r) - r) / r**3 as a function of r**2."""
    return lambda u: (function(mp.sqrt(u)) - mp.sqrt(u)) / mp.sqrt(u) ** 3


def stirling(w):
    x = 1 / mp.sqrt(w)
    return x * (mp.loggamma(x) - (x - 0.5) * mp.log(x) + x - mp.log(2 * mp.pi) / 2)


def erfc_factor(t):
    x = 4 * (1 + t) / (1 - t)
    return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)


#: name -> (what is approximated, interval, its share of the function's result at a point)
STATEMENTS = {
    "EXP": (
        lambda r: (mp.expm1(r) - r) / r**2, (-HALF_LN2, HALF_LN2), lambda r: r * r / mp.exp(r),
    ),
    "LOG": (
        lambda u: (2 * mp.atanh(mp.sqrt(u)) / mp.sqrt(u) - 2) / u, (0, ROOT**2), lambda u: u / 2,
    ),
    "SIN_QUARTER": (odd_rest(mp.sin), (0, HALF_PI_HALF**2), lambda u: u),
    "COS_QUARTER": (
        lambda u: (mp.cos(mp.sqrt(u)) - 1 + u / 2) / u**2, (0, HALF_PI_HALF**2), lambda u: u * u,
    ),
    "ARCTAN": (odd_rest(mp.atan), (0, (mp.sqrt(2) - 1) ** 2), lambda u: u),
    "ARCSIN": (odd_rest(mp.asin), (0, 0.25), lambda u: u),
    "TANH_INNER": (
        odd_rest(mp.tanh), (0, table.TANH_MIDDLE**2),
        lambda u: u * mp.sqrt(u) / mp.tanh(mp.sqrt(u)),
    ),
}  # fmt: skip
STATEMENTS_OF_ONE = {
    "LOG_SERIES": (
        lambda f: (mp.log1p(f) - f + f * f / 2) / f**3,
        (-0.2929, 0.4143), lambda f: f**3 / mp.log1p(f), 27,
    ),
    "ERF": (lambda u: mp.erf(mp.sqrt(u)) / mp.sqrt(u) - 1, (0, 1), lambda u: 1, 56),
    "ERF_TAIL": (lambda t: -mp.log(mp.erfc(1 + t)), (0, 5), lambda t: mp.erfc(1 + t), 56),
    "ERF_INNER": (
        lambda u: mp.erf(mp.sqrt(u)) / mp.sqrt(u) - 1, (0, table.ERF_MIDDLE**2),
        lambda u: mp.sqrt(u) / mp.erf(mp.sqrt(u)), 29,
    ),
    "ERF_OUTER": (
        lambda t: mp.erf(table.ERF_CENTRE + t),
        (table.ERF_MIDDLE - table.ERF_CENTRE, table.ERF_END - table.ERF_CENTRE), lambda t: 1, 24.8,
    ),
    "LOG_NEAR_1_F32": (
        lambda r: (mp.log1p(r) - r) / r**2, (-0.0227, 0.0227), lambda r: r, 32,
    ),
    "LOG_NEAR_1": (
        lambda r: (mp.log1p(r) - r + r * r / 2) / r**3, (-0.0336, 0.0336), lambda r: r * r, 66,
    ),
    "EXP_SHORT": (
        lambda r: (mp.expm1(r) - r) / r**2,
        (-2 * LN2_64, 2 * LN2_64), lambda r: r * r / mp.exp(2 * table.TANH_LEAST), 56,
    ),
    "TANH_NEAR_0": (odd_rest(mp.tanh), (0, table.TANH_LEAST**2), lambda u: u, 56),
    "ERFC": (
        lambda t: (erfc_factor(t) - sum(map(mp.mpf, table.ERFC_CENTRE))) / t,
        (-0.65, 0.745), lambda t: t, 56,
    ),
    "STIRLING": (
        stirling, (1e-4, 1 / 9),
        lambda w: mp.sqrt(w) / mp.loggamma(1 / mp.sqrt(w)), 56,
    ),
    "SIN_PI": (
        lambda u: (mp.sin(mp.pi * mp.sqrt(u)) / (mp.pi * mp.sqrt(u)) - 1) / u,
        (0, 0.25), lambda u: u * mp.pi / 2, 58,
    ),
}  # fmt: skip


def largest_error(function, interval, share, coefficients):
    """The largest error that the polynomial brings into a result, at 60 points inside."""
    low, high = (mp.mpf(end) for end in interval)
    points = [low + (high - low) * (n + mp.mpf(1) / 3) / 60 for n in range(60)]
    return max(
        abs(share(x) * (mp.polyval(coefficients[::-1], x) - function(x))) for x in points if x
    )


@pytest.fixture(autouse=True)
def precision():
    with mp.workprec(200):
        yield


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_polynomials(name, dtype):
    function, interval, share = STATEMENTS[name]
    error = largest_error(function, interval, share, getattr(table, name)[dtype])
    assert error < mp.mpf(2) ** {"f32": -26, "f64": -56}[dtype]


@pytest.mark.parametrize("name", sorted(STATEMENTS_OF_ONE))
def test_polynomials_of_one_dtype(name):
    function, interval, share, bits = STATEMENTS_OF_ONE[name]
    assert largest_error(function, interval, share, getattr(table, name)) < mp.mpf(2) ** -bits


def test_sixteen_numbers_and_their_logarithms():
    """c x - 1 is exact and small for every x in the interval of c; the sums with k log(2) too."""
    least = np.array(table.SIXTEENTHS_LEAST, np.uint64).view(np.float64)
    rng = np.random.default_rng(3)
    start = int(table.SIXTEENTHS_LEAST)
    for place, c in enumerate(table.SIXTEENTHS):
        low = start + (place << 48)
        inside = low + rng.integers(0, 1 << 48, 50)
        bits = np.array([low, low + (1 << 48) - 1, *inside], np.uint64)
        for x in bits.view(np.float64).tolist():
            r = mp.mpf(c) * x - 1
            assert abs(r) <= 0.0336 and float(r) == r
    assert 2 * least == np.array(start + (16 << 48), np.uint64).view(np.float64)
    for c, high, low in zip(table.SIXTEENTHS, *table.SIXTEENTHS_LOG, strict=True):
        assert abs(mp.mpf(high) + mp.mpf(low) + mp.log(c)) < mp.mpf(2) ** -90
        whole = -1074 * mp.mpf(table.LN2_SHORT["f64"][0]) + high
        assert float(whole) == whole
    assert table.SIXTEENTHS_LOG[0][table.SIXTEENTHS.index(1.0)] == 0.0


def test_the_parts_of_log_f32():
    rng = np.random.default_rng(4)
    for place, c in enumerate(table.PARTS):
        low = table.PARTS_LEAST + (place << 18)
        bits = np.array([low, low + (1 << 18) - 1, *(low + rng.integers(0, 1 << 18, 50))])
        for x in bits.astype(np.uint32).view(np.float32).tolist():
            r = c * x - 1.0  # exact in f64
            assert abs(r) <= 0.0227 and np.float32(r) == r
    for c, high, low in zip(table.PARTS, *table.PARTS_LOG, strict=True):
        assert abs(mp.mpf(high) + mp.mpf(low) + mp.log(c)) < mp.mpf(2) ** -39
        whole = -149 * table.LN2_SHORT["f32"][0] + high
        assert np.float32(whole) == whole
    assert table.PARTS_LOG[0][table.PARTS.index(1.0)] == 0.0


def test_sixteen_roots_of_two():
    for j, (packed, rest) in enumerate(zip(table.ROOTS, table.ROOTS_REST, strict=True)):
        bits = np.array(packed).view(np.uint64) + np.uint64(j << 48)
        root = mp.mpf(float(bits.view(np.float64)))
        assert abs(root / mp.mpf(2) ** (mp.mpf(j) / 16) - 1) < mp.mpf(2) ** -53
        assert abs(mp.log(root) - j * mp.log(2) / 16 - rest) < mp.mpf(2) ** -99


def test_the_polynomials_of_tanh():
    step = mp.mpf(table.TANH_STEP)
    for j, coefficients in enumerate(zip(*table.TANH, strict=True)):
        for n in range(-20, 21):
            t = n * step / 40
            x = j * step + t
            if x > 0:
                error = mp.polyval(coefficients[::-1], t) / mp.tanh(x) - 1
                assert abs(error) < mp.mpf(2) ** -24.9
    assert table.TANH[0][0] == 0 and table.TANH[1][0] == 1  # tiny arguments are their own result
    assert 1 - mp.tanh(31.5 * step) < mp.mpf(2) ** -25


@pytest.mark.parametrize(("dtype", "count", "bits"), [("f32", 32, 23.9), ("f64", 16, 54)])
def test_the_polynomials_of_erf(dtype, count, bits):
    step = mp.mpf(ERF_STEP[dtype])
    rows = list(zip(*ERF_POLYNOMIALS[dtype], strict=True))
    assert len(rows) == count
    for j, coefficients in enumerate(rows):
        for n in range(-20, 21):
            t = n * step / 40
            x = j * step + t
            if x > 0:
                error = mp.polyval(coefficients[::-1], t) / mp.erf(x) - 1
                assert abs(error) < mp.mpf(2) ** -bits
    last = (count - mp.mpf("0.51")) * step
    assert 1 - mp.erf(last) < mp.mpf(2) ** (-25 if dtype == "f32" else -54)


def test_the_fraction_of_lgamma():
    for n in range(1, 60):
        t = mp.mpf(n) / 24
        x = t + 0.5
        if x in (1, 2):
            continue
        top, bottom = (mp.polyval(c[::-1], t) for c in (table.LGAMMA_TOP, table.LGAMMA_BOTTOM))
        wanted = mp.loggamma(x) / ((x - 1) * (x - 2))
        assert abs(top / bottom / wanted - 1) < mp.mpf(2) ** -53


def lgamma(x):
    return mp.log(abs(mp.gamma(x)))


def test_the_valley_of_lgamma():
    left, right = (mp.mpf(high) + low for high, low in table.LGAMMA_VALLEY_ZEROS)
    for zero in (left, right):
        assert abs(lgamma(zero)) < mp.mpf(2) ** -102
    for n in range(41):
        x = mp.mpf("-2.7989") + n * mp.mpf("0.4105") / 40  # lgamma is 1/8 at both ends
        factor = mp.polyval(table.LGAMMA_VALLEY[::-1], x - table.LGAMMA_VALLEY_CENTRE)
        assert abs((x - left) * (x - right) * factor / lgamma(x) - 1) < mp.mpf(2) ** -53


def test_the_zeros_of_lgamma_and_the_polynomials_there():
    places = [(n, sign) for n in range(3, 17) for sign in (1, -1)][1:]
    for row, ((n, sign), high, low) in enumerate(zip(places, *table.LGAMMA_ZEROS, strict=True)):
        zero = mp.mpf(high) + low
        assert sign * zero > 0 and abs(lgamma(zero - n)) < mp.mpf(2) ** -100
        row_of = [c[row] if row < len(c) else 0.0 for c in table.LGAMMA_AT_ZEROS]
        for share in (-0.2, -0.05, -1e-3, 1e-3, 0.05, 0.2):
            d = zero * share
            value = d * mp.polyval(row_of[::-1], d) - mp.log1p(share)
            assert abs(value / lgamma(zero + d - n) - 1) < mp.mpf(2) ** -53


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LN2", lambda: mp.log(2)), ("LN2_SHORT", lambda: mp.log(2)),
        ("LOG2_E_PARTS", lambda: 1 / mp.log(2)), ("LOG10_E", lambda: 1 / mp.log(10)),
        ("LOG10_2", lambda: mp.log(2) / mp.log(10)), ("HALF_PI", lambda: mp.pi / 2),
    ],
)  # fmt: skip
def test_constants_in_parts(name, value):
    for dtype, bits in (("f32", 39), ("f64", 93)):
        total = sum(map(mp.mpf, getattr(table, name)[dtype]))
        assert abs(total / value() - 1) < mp.mpf(2) ** -bits


def test_two_by_pi_has_enough_digits():
    with mp.workprec(1500):
        total = sum(map(mp.mpf, table.TWO_BY_PI)) / mp.mpf(2) ** table.TWO_BY_PI_EXPONENT
        assert abs(total - 2 / mp.pi) < mp.mpf(2) ** -1250
