"""Convolution and pooling against sums written out, eager and compiled, and their gradients."""

import itertools

import numpy as np
import pytest

import symflux as sf
from symflux import tree
from symflux.errors import ArgumentError, ShapeError
from symflux.testing import check_gradients

RANDOM = np.random.default_rng(2)
SLOW = pytest.mark.slow


def convolved(x, W, b, step, padding):
    """Every output by itself; x: (n, *space, n_in)."""
    size = W.shape[1:-1]
    if padding == "same":
        around = [((n - 1) // 2, n // 2) for n in size]
        x = np.pad(x, [(0, 0), *around, (0, 0)])
    counts = [(n - s) // by + 1 for n, s, by in zip(x.shape[1:-1], size, step, strict=True)]
    y = np.zeros((len(x), *counts, len(W)))
    for place in itertools.product(*map(range, counts)):
        cut = tuple(slice(p * by, p * by + s) for p, by, s in zip(place, step, size, strict=True))
        window = x[(slice(None), *cut)]
        axes = list(range(1, x.ndim))
        y[(slice(None), *place)] = np.tensordot(window, W, axes=(axes, axes)) + b
    return y


@pytest.mark.quick(every=5)
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("space", "size", "step"),
    [
        ((7, 6), (2, 3), (2, 1)), ((9,), (3,), (1,)), ((9,), (4,), (2,)), ((20,), (18,), (1,)),
        ((6, 7), (3, 3), (1, 1)), ((4, 3, 5), (2, 1, 3), (1, 1, 2)),
    ],
)  # fmt: skip
def test_convolution(space, size, step, padding):
    layer = sf.nn.Conv(2, 3, size, step=step, padding=padding, seed=0)
    layer.b[...] = [0.5, -0.5, 0.25]
    x = RANDOM.normal(size=(2, *space, 2))
    expected = convolved(x, np.asarray(layer.W), np.asarray(layer.b), step, padding)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(sf.compile(layer)(x), expected, rtol=1e-12, atol=1e-12)
    check_gradients(lambda x, W: np.sum(np.tanh(_with(layer, W)(x))), (x, np.asarray(layer.W)))


def _with(layer, W):
    other = sf.nn.Conv(
        W.shape[-1], W.shape[0], layer.size, bias=False, step=layer.step, padding=layer.padding
    )
    other.W = W
    return other


def test_windows_are_read_where_they_lie():
    layer = sf.nn.Conv(4, 8, (3, 3), sf.relu, padding="valid", seed=0)
    compiled = sf.compile(layer)
    compiled(RANDOM.normal(size=(2, 10, 10, 4)))
    text = str(compiled.kernels)
    assert text.count("  kernel ") == 1 and " temp " not in text and "contract x, W" in text


@pytest.mark.parametrize(
    ("size", "step"),
    [
        ((3, 2), (1, 2)),
        pytest.param((2, 2), None, marks=SLOW),
        pytest.param((2, 3), 2, marks=SLOW),
    ],
)
@pytest.mark.parametrize("kind", ["max", pytest.param("mean", marks=SLOW)])
def test_pooling(size, step, kind):
    x = RANDOM.normal(size=(2, 7, 8, 3))
    steps = size if step is None else (step, step) if isinstance(step, int) else step
    counts = [(n - s) // by + 1 for n, s, by in zip((7, 8), size, steps, strict=True)]
    pool, take = (sf.nn.MaxPool, np.max) if kind == "max" else (sf.nn.MeanPool, np.mean)
    layer = pool(size, step)
    expected = np.array(
        [
            [
                take(
                    x[:, i * steps[0] : i * steps[0] + size[0],
                      j * steps[1] : j * steps[1] + size[1]],
                    axis=(1, 2),
                )
                for j in range(counts[1])
            ]
            for i in range(counts[0])
        ]
    ).transpose(2, 0, 1, 3)  # fmt: skip
    np.testing.assert_allclose(layer(x), expected)
    np.testing.assert_allclose(sf.compile(layer)(x), expected)
    check_gradients(lambda x: np.sum(layer(x) ** 2), (x[:1],))


def test_a_convolutional_network_learns():
    model = (
        sf.nn.Conv(1, 4, (3, 3), sf.relu, seed=0)
        >> sf.nn.MaxPool((2, 2))
        >> (lambda x: x.reshape(len(x), -1))
        >> sf.nn.Dense(4 * 4 * 4, 2, seed=1)
    )
    x = RANDOM.normal(size=(16, 8, 8, 1))
    labels = (x[:, :4].sum(axis=(1, 2, 3)) > x[:, 4:].sum(axis=(1, 2, 3))).astype(int)

    def loss(model):
        return sf.nn.cross_entropy(model(x), labels)

    step = sf.compile(sf.value_and_grad(loss))
    first, _ = step(model)
    for _ in range(60):
        _, slopes = step(model)
        arrays = [leaf for leaf in tree.leaves(slopes) if tree.is_array(leaf)]
        for p, slope in zip(sf.params(model), arrays, strict=True):
            p[...] = np.asarray(p) - 0.1 * np.asarray(slope)
    assert step(model)[0] < 0.3 * first


def test_how_layers_are_shown():
    layer = sf.nn.Conv(1, 4, (3, 5), np.tanh, bias=False, step=(2, 1), padding="valid", seed=0)
    assert layer.signature() == (
        "Conv(1, 4, (3, 5), tanh, bias=False, step=(2, 1), padding='valid')"
    )
    assert repr(sf.nn.MaxPool((2, 2))) == "MaxPool((2, 2))"
    assert repr(sf.nn.MeanPool((2,), step=1)) == "MeanPool((2,), step=(1,))"


def test_bad_input_names_the_layer_and_the_way_out():
    with pytest.raises(ArgumentError, match=r"write \(3, 3\) for images"):
        sf.nn.Conv(1, 2, 3)
    with pytest.raises(ArgumentError, match="padding is 'same' or 'valid'"):
        sf.nn.Conv(1, 2, (3,), padding="full")
    layer = sf.nn.Conv(3, 2, (3, 3), padding="valid")
    with pytest.raises(ShapeError, match=r"inputs of shape \(\.\.\., \?, \?, 3\), not \(8, 8, 1\)"):
        layer(np.zeros((8, 8, 1)))
    with pytest.raises(ShapeError, match="its window fits into"):
        layer(np.zeros((2, 8, 3)))
    with pytest.raises(ShapeError, match="one for each axis"):
        sf.nn.MaxPool((2, 2), step=(1, 2, 3))
