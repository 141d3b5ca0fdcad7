"""First and second derivatives of elementwise functions, to a few units in the last place: in
tails, near zero, near poles, to where they are no longer normal numbers."""

import mpmath
import numpy as np
import pytest
import sympy

import symflux as sf

X = sympy.Symbol("x", real=True)
#: largest error in units of the dtype's epsilon, relative
BOUND = 8.0
#: name -> (the function, least and greatest argument in float64, the same in float32)
FUNCTIONS = {
    "exp": (sympy.exp(X), (-700, 700), (-85, 85)),
    "exp2": (2**X, (-1000, 1000), (-120, 120)),
    "expm1": (sympy.exp(X) - 1, (-700, 700), (-85, 85)),
    "log": (sympy.log(X), (0, 1e150), (0, 1e18)),
    "log2": (sympy.log(X, 2), (0, 1e150), (0, 1e18)),
    "log10": (sympy.log(X, 10), (0, 1e150), (0, 1e18)),
    "log1p": (sympy.log(1 + X), (-1, 1e150), (-1, 1e18)),
    "sqrt": (sympy.sqrt(X), (0, 1e200), (0, 1e24)),
    "rsqrt": (1 / sympy.sqrt(X), (0, 1e120), (0, 1e14)),
    "tan": (sympy.tan(X), (-1000, 1000), (-1000, 1000)),
    "arcsin": (sympy.asin(X), (-1, 1), (-1, 1)),
    "arccos": (sympy.acos(X), (-1, 1), (-1, 1)),
    "arctan": (sympy.atan(X), (-1e100, 1e100), (-1e12, 1e12)),
    "sinh": (sympy.sinh(X), (-700, 700), (-85, 85)),
    "cosh": (sympy.cosh(X), (-700, 700), (-85, 85)),
    "tanh": (sympy.tanh(X), (-350, 350), (-42, 42)),
    "arcsinh": (sympy.asinh(X), (-1e150, 1e150), (-1e18, 1e18)),
    "arccosh": (sympy.acosh(X), (1, 1e150), (1, 1e18)),
    "arctanh": (sympy.atanh(X), (-1, 1), (-1, 1)),
    "sigmoid": (1 / (1 + sympy.exp(-X)), (-700, 700), (-85, 85)),
    "softplus": (sympy.log(1 + sympy.exp(X)), (-700, 700), (-85, 85)),
    "erf": (sympy.erf(X), (-26, 26), (-9, 9)),
    "erfc": (sympy.erfc(X), (-26, 26), (-9, 9)),
}
#: of expressions that cancel: 1 - tanh(350)² has 300 zeros first
DIGITS = 700


def points(low, high, dtype):
    """All sizes, the middle, and both sides of 1 and of -1."""
    random = np.random.default_rng(0)
    least = -140 if dtype == "float64" else -16
    size = 10.0 ** random.uniform(least, np.log10(high), 24)
    near = 10.0 ** random.uniform(-14 if dtype == "float64" else -6, -1, 8)
    middle = np.concatenate([random.uniform(-3, 3, 24), random.uniform(low, high, 12)])
    x = np.concatenate([size, -size, 1 + near, 1 - near, near - 1, middle])
    if dtype == "float64":
        x = np.append(x, [40.0, 25.0, -40.0])
    x = x.astype(dtype)
    return x[(x > low) & (x < high)]


def exact(expression, order, x):
    function = sympy.lambdify(X, sympy.diff(expression, X, order), "mpmath")
    return [mpmath.re(function(mpmath.mpf(float(v)))) for v in x]


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_keep_their_digits(name, dtype):
    expression, *ranges = FUNCTIONS[name]
    low, high = ranges[dtype == "float32"]
    x = points(low, high, dtype)
    ones, function = np.ones_like(x), getattr(sf.numpy, name)

    def slope(z):
        return sf.jvp(function, (z,), (ones,))[1]

    def curve(z):
        return sf.grad(lambda y: np.sum(sf.grad(lambda v: np.sum(function(v)))(y)))(z)

    found = sf.compile(lambda z: (slope(z), sf.jvp(slope, (z,), (ones,))[1], curve(z)))(x)
    limits, checked = np.finfo(dtype), 0
    with mpmath.workdps(60 if name in ("erf", "erfc") else DIGITS):
        for got, order in zip(found, (1, 2, 2), strict=True):
            for v, result, wanted in zip(x, got, exact(expression, order, x), strict=True):
                if limits.tiny * 8 < abs(wanted) < limits.max:
                    error = abs(mpmath.mpf(float(result)) - wanted) / abs(wanted)
                    assert error <= BOUND * limits.eps, (order, v, result, float(wanted))
                    checked += 1
    assert checked > 2 * len(x)
