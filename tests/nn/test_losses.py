"""Losses: values, gradients, extreme logits, wrong shapes."""

import numpy as np
import pytest

import symflux as sf
from symflux.errors import DTypeError, ShapeError

rng = np.random.default_rng(2)
logits = rng.normal(size=(6, 4))
labels = rng.integers(0, 4, 6)
one_hot = np.eye(4)[labels]


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_mse_and_mae():
    a, b = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    assert sf.nn.mse(a, b) == pytest.approx(np.mean((a - b) ** 2))
    assert sf.nn.mae(a, b) == pytest.approx(np.mean(abs(a - b)))
    np.testing.assert_allclose(sf.grad(sf.nn.mse)(a, b), 2 * (a - b) / 6)
    np.testing.assert_allclose(sf.grad(sf.nn.mae)(a, b), np.sign(a - b) / 6)
    np.testing.assert_allclose(sf.grad(sf.nn.mae)(a, a), np.zeros((3, 2)))


@pytest.mark.parametrize("loss", [sf.nn.mse, sf.nn.mae])
def test_errors_do_not_broadcast(loss):
    with pytest.raises(ShapeError, match=r"predictions are of shape \(3, 1\), targets \(3,\)"):
        loss(np.ones((3, 1)), np.ones(3))


def test_cross_entropy_of_class_numbers_and_of_probabilities():
    expected = -np.mean(np.log(softmax(logits))[np.arange(6), labels])
    for compiled in (sf.nn.cross_entropy, sf.compile(sf.nn.cross_entropy)):
        assert compiled(logits, labels) == pytest.approx(expected, rel=1e-14)
        assert compiled(logits, one_hot) == pytest.approx(expected, rel=1e-14)
        assert compiled(logits, one_hot.astype(np.int64)) == pytest.approx(expected, rel=1e-14)
        assert compiled(logits, labels.astype(np.uint8)) == pytest.approx(expected, rel=1e-14)
    soft = softmax(rng.normal(size=(6, 4)))
    expected = -np.mean(np.sum(soft * np.log(softmax(logits)), axis=1))
    assert sf.nn.cross_entropy(logits, soft) == pytest.approx(expected, rel=1e-14)


def test_cross_entropy_takes_one_sample_and_many_axes():
    assert sf.nn.cross_entropy(logits[0], labels[0]) == pytest.approx(
        -np.log(softmax(logits[0]))[labels[0]]
    )
    folded = sf.nn.cross_entropy(logits.reshape(2, 3, 4), labels.reshape(2, 3))
    assert folded == pytest.approx(sf.nn.cross_entropy(logits, labels))


@pytest.mark.parametrize("target", [labels, one_hot])
def test_the_slope_of_cross_entropy_is_the_difference_of_probabilities(target):
    slope = sf.grad(sf.nn.cross_entropy)(logits, target)
    np.testing.assert_allclose(slope, (softmax(logits) - one_hot) / 6, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("target", [np.array([0, 1]), np.array([[1.0, 0.0], [0.0, 1.0]])])
def test_cross_entropy_of_extreme_logits(target):
    extreme = np.array([[1e4, -1e4], [1e4, -1e4]])
    value, slope = sf.value_and_grad(sf.nn.cross_entropy)(extreme, target)
    assert value == pytest.approx(1e4)
    np.testing.assert_allclose(slope, [[0.0, 0.0], [0.5, -0.5]])


def test_a_class_ruled_out_costs_nothing_where_it_is_not_the_label():
    ruled_out = np.array([[0.0, 0.0, -np.inf]])
    for target in (np.array([0]), np.array([[1.0, 0.0, 0.0]])):
        assert sf.nn.cross_entropy(ruled_out, target) == pytest.approx(np.log(2.0))
        value, slope = sf.value_and_grad(sf.nn.cross_entropy)(ruled_out, target)
        assert value == pytest.approx(np.log(2.0))
        np.testing.assert_allclose(slope, [[-0.5, 0.5, 0.0]])


def test_labels_that_name_no_class_give_nan():
    for bad in ([0, 4], [0, -1]):
        assert np.isnan(sf.nn.cross_entropy(logits[:2], np.array(bad)))
        assert np.isnan(sf.compile(sf.nn.cross_entropy)(logits[:2], np.array(bad)))


def test_cross_entropy_refuses_targets_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"take targets of shape \(6,\)"):
        sf.nn.cross_entropy(logits, labels[:5])
    with pytest.raises(DTypeError, match="class numbers are integers, not float64"):
        sf.nn.cross_entropy(logits, labels.astype(float))


def test_accuracy_is_the_share_of_right_answers():
    predicted = logits.argmax(axis=1)
    assert sf.nn.accuracy(logits, predicted) == 1.0
    predicted[:3] = (predicted[:3] + 1) % 4
    assert sf.nn.accuracy(logits, predicted) == 0.5
    assert sf.compile(sf.nn.accuracy)(logits, predicted) == 0.5
    with pytest.raises(ShapeError, match="accuracy"):
        sf.nn.accuracy(logits, one_hot)


@pytest.mark.parametrize("dtype", ("int8", "uint8", "int16", "int64", "uint64"))
def test_labels_of_narrow_dtypes_name_classes_beyond_them(dtype):
    random = np.random.default_rng(0)
    logits = random.normal(size=(5, 300))
    labels = np.array([0, 1, 44, 100, 127], dtype)
    shifted = logits - logits.max(-1, keepdims=True)
    rows = np.log(np.exp(shifted).sum(-1)) - shifted[np.arange(5), labels]
    for loss in (sf.nn.cross_entropy, sf.compile(sf.nn.cross_entropy)):
        np.testing.assert_allclose(loss(logits, labels), rows.mean(), rtol=1e-13)
    slope = sf.grad(sf.nn.cross_entropy)(logits, labels)
    softmax = np.exp(shifted) / np.exp(shifted).sum(-1, keepdims=True)
    own = np.arange(300) == labels.astype(int)[:, None]
    np.testing.assert_allclose(slope, (softmax - own) / 5, rtol=1e-12, atol=1e-16)
    right = sf.compile(sf.nn.accuracy)(np.eye(300)[labels.astype(int)], labels)
    assert float(right) == 1.0
