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
