"""Derivatives where operands are constants in part: padded, joined, masked, stacked, broadcast."""

import numpy as np
import pytest

import symflux as sf
import symflux.numpy as snp

X = np.array([0.3, 0.45, 0.6, 0.8])
MASK = np.array([True, False, True, True])

PARTLY = {
    "padded": lambda x: np.pad(x, 1),
    "padded with": lambda x: np.pad(x, (0, 2), constant_values=0.5),
    "joined": lambda x: np.concatenate([np.zeros(2), x, np.full(3, 0.25)]),
    "moved": lambda x: np.roll(np.pad(x, (0, 2)), 3),
    "masked": lambda x: np.where(MASK, x, 0.0),
    "stacked": lambda x: np.stack([x, np.zeros(4), np.full(4, 0.5)]),
    "picked": lambda x: np.pad(x, 1)[[0, 3, 5, 1]],
    "alone": lambda x: snp.zeros(4) + 0.5,
}


def _functions():
    unary = [
        np.sin, np.cos, np.tan, np.arcsin, np.arccos, np.arctan, np.arcsinh, np.arctanh,
        np.sinh, np.cosh, np.tanh, np.exp, np.exp2, np.expm1, np.log1p, np.abs, np.square, np.sinc,
        snp.erf, snp.erfc, snp.sigmoid, snp.softplus, snp.relu,
    ]  # fmt: skip
    parts = [lambda y, f=f: f(y) for f in unary]
    shifted = [np.sqrt, np.log, np.log2, np.log10, np.reciprocal, snp.lgamma]
    parts += [lambda y, f=f: f(y + 0.5) for f in shifted]
    parts += [lambda y: np.arccosh(y + 1.5), lambda y: np.power(y + 1.25, y)]
    binary = [np.arctan2, np.hypot, np.logaddexp, np.divide, np.maximum]
    parts += [lambda y, f=f: f(y + 0.25, 0.75) + f(0.75, y + 0.25) for f in binary]
    return parts


@pytest.mark.parametrize(
    "shape",
    [s if s == "stacked" else pytest.param(s, marks=pytest.mark.slow) for s in PARTLY],
)
def test_derivatives_at_constants(shape):
    """Slopes of `lgamma`, `arcsin`, `erf` and their kind at a padded array: TypeError."""
    partly = PARTLY[shape]
    parts = _functions()

    def total(x):
        y = partly(x)
        return sum(np.sum((1 + n) * f(y) * (1 + 0.3 * y)) for n, f in enumerate(parts)) / len(parts)

    def gradient(x):
        return sf.gradient(total, x)

    for f, derivative, rtol in (
        (sf.compile(total), gradient, 1e-6),
        (gradient, sf.hessian(total), 1e-5),
    ):
        expected = [(f(X + 1e-5 * e) - f(X - 1e-5 * e)) / 2e-5 for e in np.eye(4)]
        np.testing.assert_allclose(derivative(X), expected, rtol=rtol, atol=rtol)


def test_lgamma_of_a_padded_array():
    x = np.array([1.5, 2.5])
    euler = 0.5772156649015329
    digamma = [2 - euler - 2 * np.log(2), 2 + 2 / 3 - euler - 2 * np.log(2)]
    got = sf.gradient(lambda x: np.sum(snp.lgamma(np.pad(x, 1, constant_values=2.0))), x)
    np.testing.assert_allclose(got, digamma, rtol=1e-13)  # as exact as the line above
