"""What mends a value mends its derivatives: textbook expressions far out, against 700 digits."""

import numpy as np
import pytest

import symflux as sf

from .exact import derivatives

FAR = np.array([1000.0, 0.0, -900.0])
MIDDLE = np.array([40.0, 1.0, -38.0])
ONE_HOT = np.array([0.0, 1.0, 0.0])
COSTS = np.array([1.0, 2.0, 3.0])


def softmax(x, axis=0):
    return np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)


def by_total(x):
    weights = np.exp(x)
    return weights / weights.sum()


#: name -> NumPy code from a vector to a number
TEXTBOOK = {
    "log(1 - sigmoid)": lambda x: np.sum(-np.log(1 - 1 / (1 + np.exp(-x))) * COSTS),
    "log(sigmoid)": lambda x: np.sum(np.log(1 / (1 + np.exp(-x))) * COSTS),
    "log(1 + exp)": lambda x: np.sum(np.log(1 + np.exp(x)) * COSTS),
    "log1p(exp(-x))": lambda x: np.sum(np.log1p(np.exp(-x)) * COSTS),
    "exp / (1 + exp)": lambda x: np.sum(np.exp(x) / (1 + np.exp(x)) * COSTS),
    "x / (1 + exp(-x))": lambda x: np.sum(x / (1 + np.exp(-x))),
    "x / (exp(-x) + 1), a part": lambda x: np.sum(x[:2] / (np.exp(-x[:2]) + 1)),
    "softmax": lambda x: np.sum(softmax(x) * COSTS),
    "softmax by its total": lambda x: np.sum(by_total(x) * COSTS),
    "softmax of a row": lambda x: np.sum(softmax(x[None], 1) * COSTS),
    "softmax, the total spread": lambda x: np.sum(
        np.exp(x[None]) / np.sum(np.exp(x[None]), 1)[:, None] * COSTS
    ),
    "Boltzmann weights": lambda x: np.sum(np.exp(-x) / np.sum(np.exp(-x)) * COSTS),
    "free energy": lambda x: -np.log(np.sum(np.exp(-2 * x))) / 2,
    "one of a softmax": lambda x: softmax(x)[1],
    "scaled softmax": lambda x: np.sum(softmax(x / 0.5) * COSTS),
    "log(softmax)": lambda x: np.sum(np.log(softmax(x)) * COSTS),
    "log of one of a softmax": lambda x: -np.log(softmax(x)[2]),
    "log of picked classes": lambda x: -np.mean(np.log(softmax(x[None], 1)[[0, 0], [1, 2]])),
    "entropy": lambda x: -np.sum(softmax(x) * np.log(softmax(x))),
    "cross-entropy": lambda x: -np.sum(ONE_HOT * np.log(softmax(x))),
    "log(sum(exp))": lambda x: np.log(np.sum(np.exp(x))),
    "log(sum(exp)), kept axes": lambda x: (
        x[1] - np.log(np.sum(np.exp(x[None]), 1, keepdims=True))[0, 0]
    ),
    "log(mean(exp))": lambda x: np.log(np.mean(np.exp(x))),
    "log(sum(exp) / 3)": lambda x: 0.5 * np.log(np.sum(np.exp(x / 0.5)) / 3),
    "sqrt(x²)": lambda x: np.sum(np.sqrt(x * x) * COSTS),
}  # fmt: skip


def close(got, wanted):
    """But for what rounding shares of 1 takes: a softmax has slopes of p (1 - p)."""
    size = max(np.abs(wanted).max(), 1.0)
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-15 * size)


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("name", TEXTBOOK)
def test_slopes_where_the_textbook_overflows(name):
    function = TEXTBOOK[name]
    points = (FAR, MIDDLE) if name != "sqrt(x²)" else (FAR + 1e200, MIDDLE)
    compiled = sf.compile(lambda x: (function(x), sf.grad(function)(x), sf.hessian(function)(x)))
    for x in points:
        value, gradient, hessian = derivatives(function, x)
        got = compiled(x)
        close(got[0], value)
        close(got[1], gradient)
        close(got[2], hessian)


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("name", ["log(1 - sigmoid)", "softmax", "log of one of a softmax"])
def test_slopes_of_stable_forms_everywhere(name):
    """Called plainly, mapped, in loops and branches, of symbols, in forward mode."""
    function = TEXTBOOK[name]
    _, gradient, hessian = derivatives(function, FAR)
    close(sf.grad(function)(FAR), gradient)
    close(sf.hessian(function)(FAR), hessian)
    close([sf.jvp(function, (FAR,), (v,))[1] for v in np.eye(3)], gradient)
    rows = np.stack([FAR, FAR])
    close(sf.vmap(sf.grad(function))(rows), [gradient] * 2)
    close(sf.grad(lambda x: np.sum(sf.vmap(function)(x)))(rows), [gradient] * 2)
    x = sf.symbol("x", (3,))
    close(sf.grad(sf.function([x], function(x)))(FAR), gradient)

    def loop(rows):
        return sf.scan(lambda c, row: (c + function(row), 0.0), 0.0, rows)[0]

    def repeated(x):
        return sf.fori_loop(0, 3, lambda i, c: c + function(x), 0.0)

    def branch(x):
        return sf.cond(x[0] > 0, function, lambda y: np.sum(y), x)

    close(sf.grad(loop)(rows), [gradient] * 2)
    close(sf.jvp(loop, (rows,), (np.ones((2, 3)),))[1], 2 * gradient.sum())
    close(sf.jvp(repeated, (FAR,), (ONE_HOT,))[1], 3 * gradient[1])
    close(sf.grad(branch)(FAR), gradient)
    close(sf.hessian(branch)(FAR), hessian)


# --- sums of exponentials, written out ------------------------------------------------------------

ONES = np.ones(3)
e = np.exp


def both(x):
    return np.stack([x, x / 2])


#: name -> NumPy code from a vector to a number
SUMS = {
    "log(exp + exp)": lambda x: np.log(e(x[0]) + e(x[1])),
    "log(exp + exp + exp)": lambda x: np.log(e(x[0]) + e(x[1]) + e(x[2])),
    "log(1 + exp + exp)": lambda x: np.log(1 + e(x[0]) + e(x[1])),
    "log(exp(x) + exp(-x))": lambda x: np.sum(COSTS * np.log(e(x) + e(-x))),
    "log10(exp + exp)": lambda x: np.log10(e(x[0]) + e(x[1])),
    "log of a mixture": lambda x: np.log(0.3 * e(x[0]) + 0.7 * e(x[1])),
    "log of a product": lambda x: np.log(COSTS @ e(x)),
    "log(2 exp)": lambda x: np.log(2 * e(x[0])),
    "log(exp²)": lambda x: np.sum(COSTS * np.log(e(x) ** 2)),
    "log(cosh)": lambda x: np.sum(COSTS * np.log(np.cosh(x))),
    "log(exp - 1)": lambda x: np.sum(COSTS * np.log(e(np.abs(x) + 0.5) - 1)),
    "log(sinh)": lambda x: np.sum(COSTS * np.log(np.sinh(np.abs(x) + 0.5))),
    "log(1 - tanh²)": lambda x: np.sum(COSTS * np.log(1 - np.tanh(x) ** 2)),
    "log((1 + tanh) / 2)": lambda x: np.sum(COSTS * np.log((1 + np.tanh(x)) / 2)),
    "log of one of a softmax": lambda x: -np.log(e(x[1]) / np.sum(e(x))),
    "one over the sum": lambda x: e(x[1]) / np.sum(e(x)),
    "some over the sum": lambda x: np.sum(COSTS[1:] * e(x[1:]) / np.sum(e(x))),
    "over a product": lambda x: np.sum(COSTS * (e(x) / (e(x) @ ONES))),
    "transposed": lambda x: np.sum((e(both(x)).T / np.sum(e(both(x)), axis=1)).T * COSTS),
    "weighted mean": lambda x: np.sum(x * e(x) / np.sum(e(x))),
    "mean of costs": lambda x: (COSTS @ e(x)) / np.sum(e(x)),
    "rows of weights": lambda x: np.sum(
        (e(both(x)) @ both(COSTS).T) / np.sum(e(both(x)), axis=1, keepdims=True)
    ),
    "times an inverse": lambda x: np.sum(COSTS * (e(x) * (1 / np.sum(e(x))))),
    "over the mean": lambda x: np.sum(COSTS * (e(x) / np.mean(e(x)))),
    "share of two": lambda x: e(x[1]) / (e(x[0]) + e(x[1])),
    "share of three": lambda x: e(x[1]) / (e(x[0]) + e(x[1]) + e(x[2])),
    "1 / (exp + exp)": lambda x: np.sum(COSTS / (e(x) + e(-x))),
    "1 / cosh²": lambda x: np.sum(COSTS / np.cosh(x) ** 2),
    "a logistic density": lambda x: np.sum(COSTS * (e(-x) / (1 + e(-x)) ** 2)),
    "(1 + exp(-x))^-2.5": lambda x: np.sum(COSTS * (1 + e(-x)) ** -2.5),
    "1 / exp": lambda x: np.sum(COSTS / e(np.abs(x))),
    "x³ / (exp - 1)": lambda x: np.sum(COSTS * (x + 0.1) ** 3 / (e(x + 0.1) - 1)),
    "tanh by exponentials": lambda x: np.sum(COSTS * ((e(x) - e(-x)) / (e(x) + e(-x)))),
    "tanh by one exponential": lambda x: np.sum(COSTS * ((e(2 * x) - 1) / (e(2 * x) + 1))),
    "tanh by exp(-2x)": lambda x: np.sum(COSTS * ((1 - e(-2 * x)) / (1 + e(-2 * x)))),
    "sinh / cosh": lambda x: np.sum(COSTS * (np.sinh(x) / np.cosh(x))),
    "sqrt(exp)": lambda x: np.sum(COSTS * np.log(np.sqrt(e(x)))),
    "sqrt(x**2)": lambda x: np.sum(COSTS * np.sqrt(x**2)),
}
POINTS = np.array([[40.0, -40.0, 1.0], [1000.0, -1000.0, -1.0], [999.0, 1e3, 1e3]])


@pytest.mark.quick(every=6)
@pytest.mark.parametrize("name", SUMS)
def test_slopes_of_sums_of_exponentials(name):
    function = SUMS[name]
    compiled = sf.compile(lambda x: (function(x), sf.grad(function)(x), sf.hessian(function)(x)))
    for x in POINTS:
        exact = derivatives(function, x, digits=1200 if "tanh" in name else 700)
        for got, wanted in zip(compiled(x), exact, strict=True):
            close(got, wanted)


#: functions of one number: relative errors count
PRECISE = {
    "tanh by exponentials": (lambda x: (e(x) - e(-x)) / (e(x) + e(-x)), 30.0),
    "tanh by expm1": (lambda x: np.expm1(2 * x) / (np.expm1(2 * x) + 2), 30.0),
    "1 - tanh²": (lambda x: 1 - np.tanh(x) ** 2, 60.0),
    "log(cosh)": (lambda x: np.log(np.cosh(x)), 1e-6),
    "log(exp - 1)": (lambda x: np.log(e(x) - 1), 50.0),
    "share of two": (lambda x: e(-x) / (e(-x) + e(x)), 40.0),
    "log(1 + exp)": (lambda x: np.log(e(-x) + 1), 50.0),
    "1 / (exp - 1)": (lambda x: 1 / (e(x) - 1), 40.0),
}


@pytest.mark.parametrize("name", PRECISE)
def test_stable_forms_keep_their_digits_in_tails(name):
    function, at = PRECISE[name]
    wanted = derivatives(lambda x: function(x[0]), np.array([at]))
    got = sf.compile(lambda x: (function(x), sf.grad(function)(x), sf.grad(sf.grad(function))(x)))
    np.testing.assert_allclose(got(at), [float(np.squeeze(v)) for v in wanted], rtol=1e-14)


def test_scaling_leaves_masks_and_infinities():
    """Terms that a factor or a branch hides do not decide the scale; none is all that is left."""
    x, mask = np.array([-300.0, 300.0, 650.0]), np.array([1.0, 0.0, 0.0])
    hidden = [
        lambda x, m: np.sum(x * e(x) * m) / np.sum(e(x) * m),
        lambda x, m: np.sum(x * np.where(m > 0, e(x), 0)) / np.sum(np.where(m > 0, e(x), 0)),
    ]
    for function in hidden:
        value, slope = sf.value_and_grad(function)(x, mask)
        assert value == -300.0
        np.testing.assert_allclose(slope, mask, rtol=1e-12)
    lowest = np.array([-np.inf, 0.0, 1.0])
    for function in (SUMS["weighted mean"], SUMS["share of three"], SUMS["log(exp + exp)"]):
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(sf.compile(function)(lowest), function(lowest), rtol=1e-15)
    one = np.array([-np.inf, -np.inf, 5.0])
    assert sf.compile(SUMS["log(exp + exp)"])(one) == -np.inf
    assert sf.compile(SUMS["log of a mixture"])(one) == -np.inf


def test_scaling_takes_a_step_for_each_node():
    """Deep sums of sums are left as they are, and nothing is copied without end."""

    def deep(x):
        total = e(x)
        for _ in range(40):
            total = total + total * total
        return np.sum(e(x) / total)

    assert len(sf.compile(sf.grad(deep)).lower(np.zeros(3)).optimized.nodes) < 600


#: name -> NumPy code from a vector to a number, and where it saturates or cancels
SATURATED = {
    "log(prod(exp))": (lambda x: np.log(np.prod(e(x))), FAR),
    "log(prod of densities)": (lambda x: np.log(np.prod(0.4 * e(-(x**2) / 2))), MIDDLE),
    "log(x + sqrt(x² + 1))": (lambda x: np.sum(COSTS * np.log(x + np.sqrt(x**2 + 1))), -1e9 * ONES),
    "log(sqrt(1 + x²) + x)": (lambda x: np.sum(COSTS * np.log(np.sqrt(1 + x * x) + x)), -FAR * FAR),
    "log(x + sqrt(x² - 1))": (
        lambda x: np.sum(COSTS * np.log(x + np.sqrt(x**2 - 1))), 1 + COSTS * 1e-9,
    ),
    "log((1 + x) / (1 - x)) / 2": (
        lambda x: np.sum(COSTS * np.log((1 + x) / (1 - x)) / 2), COSTS * 1e-9,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SATURATED)
def test_slopes_where_products_and_logarithms_saturate(name):
    function, x = SATURATED[name]
    compiled = sf.compile(lambda x: (function(x), sf.grad(function)(x), sf.hessian(function)(x)))
    for got, wanted in zip(compiled(x), derivatives(function, x, 1500), strict=True):
        size = np.abs(wanted).max()
        np.testing.assert_allclose(got, wanted, rtol=1e-14, atol=1e-15 * size)
