"""Random first values of weights, scaled so that signals keep their size from layer to layer.

Each function takes the shape ``(n_out, n_in)`` of a weight matrix, a source of randomness and a
dtype. The number of inputs ("fan in") is the last axis, the number of outputs ("fan out") the
first one.

Sources: X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
networks", AISTATS 2010; K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers",
ICCV 2015.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "zeros"]

#: An integer (the same numbers each time), a generator (its next numbers) or None (other numbers
#: each time).
Seed = int | np.random.Generator | None


def _fans(shape: Sequence[int]) -> tuple[int, int]:
    """Inputs and outputs of a layer with weights of this shape."""
    if len(shape) < 2:
        raise ValueError(f"the shape of weights has two or more axes (out, in), got {tuple(shape)}")
    return math.prod(shape[1:]), shape[0]


def _uniform(shape: Sequence[int], seed: Seed, dtype: Any, variance: float) -> np.ndarray[Any, Any]:
    bound = math.sqrt(3.0 * variance)
    return np.random.default_rng(seed).uniform(-bound, bound, tuple(shape)).astype(dtype)


def _normal(shape: Sequence[int], seed: Seed, dtype: Any, variance: float) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(0.0, math.sqrt(variance), tuple(shape)).astype(dtype)


def glorot_uniform(
    shape: Sequence[int], seed: Seed = None, dtype: Any = "float64"
) -> np.ndarray[Any, Any]:
    """Uniform numbers of variance ``2 / (n_in + n_out)``: for sigmoid, tanh and linear layers.

    >>> from symflux.nn import glorot_uniform
    >>> W = glorot_uniform((3, 5), seed=0)
    >>> W.shape, bool(abs(W).max() <= (6 / (3 + 5)) ** 0.5)
    ((3, 5), True)
    """
    n_in, n_out = _fans(shape)
    return _uniform(shape, seed, dtype, 2.0 / (n_in + n_out))


def glorot_normal(
    shape: Sequence[int], seed: Seed = None, dtype: Any = "float64"
) -> np.ndarray[Any, Any]:
    """Normal numbers of variance ``2 / (n_in + n_out)``: for sigmoid, tanh and linear layers.

    >>> from symflux.nn import glorot_normal
    >>> round(float(glorot_normal((300, 500), seed=0).std()), 3)
    0.05
    """
    n_in, n_out = _fans(shape)
    return _normal(shape, seed, dtype, 2.0 / (n_in + n_out))


def he_uniform(
    shape: Sequence[int], seed: Seed = None, dtype: Any = "float64"
) -> np.ndarray[Any, Any]:
    """Uniform numbers of variance ``2 / n_in``: for layers with relu.

    >>> from symflux.nn import he_uniform
    >>> bool(abs(he_uniform((3, 6), seed=0)).max() <= 1.0)
    True
    """
    return _uniform(shape, seed, dtype, 2.0 / _fans(shape)[0])


def he_normal(
    shape: Sequence[int], seed: Seed = None, dtype: Any = "float64"
) -> np.ndarray[Any, Any]:
    """Normal numbers of variance ``2 / n_in``: for layers with relu.

    >>> from symflux.nn import he_normal
    >>> round(float(he_normal((400, 200), seed=0).std()), 2)
    0.1
    """
    return _normal(shape, seed, dtype, 2.0 / _fans(shape)[0])


def zeros(shape: Sequence[int], seed: Seed = None, dtype: Any = "float64") -> np.ndarray[Any, Any]:
    """Zeros, for layers that start by doing nothing; ``seed`` is not used.

    >>> from symflux.nn import zeros
    >>> zeros((1, 2))
    array([[0., 0.]])
    """
    return np.zeros(tuple(shape), dtype)
