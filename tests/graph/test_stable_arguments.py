"""Softmax, logsumexp and log-softmax of arguments that other laws bring into another form."""

import numpy as np
import pytest

import symflux as sf


def softmax(y, axis):
    e = np.exp(y)
    return e / np.sum(e, axis=axis, keepdims=True)


def shifted(y, axis):
    return softmax(y - np.max(y, axis=axis, keepdims=True), axis)


def logsumexp(y, axis):
    return np.log(np.sum(np.exp(y), axis=axis))


FUNCTIONS = {
    "softmax": softmax,
    "shifted": shifted,
    "log_softmax": lambda y, axis: np.log(softmax(y, axis)),
    "logsumexp": logsumexp,
    "library": lambda y, axis: sf.numpy.softmax(y, axis=axis),
}

ARGUMENTS = {
    "negation": lambda x: -x,
    "energy": lambda x: -(x * x) / 2,
    "negated distance": lambda x: -np.abs(x),
    "minus one times": lambda x: x * -1,
    "negated sum": lambda x: -np.sum(x.reshape(4, 5, 1) * np.array([0.5, 0.25]), axis=2),
    "slice": lambda x: (-x)[1:],
    "transpose": lambda x: -x.T,
    "row, repeated": lambda x: np.broadcast_to(-x[0], (3, 5)),
    "maximum": lambda x: -np.max(x.reshape(2, 2, 5), axis=1),
    "product": lambda x: -(x @ x.T),
    "gather": lambda x: (-x)[np.array([1, 0, 2])],
    "difference of shapes": lambda x: x[0] - x,
}


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_softmax_of_a_negation_compiles_and_is_stable(name, axis):
    """The laws for shifts do not fire on what they made, in whatever form it is by then."""
    argument = ARGUMENTS[name]
    compiled = sf.compile(lambda x: [f(argument(x), axis) for f in FUNCTIONS.values()])
    x = np.random.default_rng(0).normal(size=(4, 5))
    for scale in (1.0, 1000.0):
        if scale > 1 and name == "row, repeated" and axis == 0:
            break  # a softmax over equal elements: only exp(x) / (n * exp(x)) is left of it
        y = argument(x * scale)
        largest = np.max(y, axis=axis, keepdims=True)
        weights = softmax(y - largest, axis)
        logarithm = np.log(np.sum(np.exp(y - largest), axis=axis, keepdims=True))
        found = dict(zip(FUNCTIONS, compiled(x * scale), strict=True))
        for function in ("softmax", "shifted", "library"):
            np.testing.assert_allclose(found[function], weights, rtol=1e-10, atol=1e-300)
        close = {"rtol": 1e-11, "atol": 1e-11}
        np.testing.assert_allclose(found["log_softmax"], y - largest - logarithm, **close)
        np.testing.assert_allclose(
            found["logsumexp"], np.squeeze(largest + logarithm, axis), **close
        )


@pytest.mark.quick(every=4)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_gradient_of_a_partition_function(name):
    """d log(sum(exp(y))) is softmax(y) times dy; the average of y is weighted by softmax(y)."""
    argument = ARGUMENTS[name]

    def both(x):
        y = argument(x)
        return np.log(np.sum(np.exp(y))) + np.sum(y * np.exp(y) / np.sum(np.exp(y)))

    x = np.random.default_rng(1).normal(size=(4, 5))
    sf.testing.check_gradients(both, (x,), order=1)
