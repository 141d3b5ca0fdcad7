"""Batches, splits, and the training loop."""

import numpy as np
import pytest

import symflux as sf
from symflux.errors import ArgumentError

rng = np.random.default_rng(4)
x = rng.normal(size=(22, 3))
y = x @ np.array([[1.0], [-2.0], [0.5]]) + 0.25


def test_minibatches_give_each_sample_once_and_keep_rows_together():
    batches = list(sf.data.minibatches((x, y), 8, seed=0))
    assert [len(b) for b, _ in batches] == [8, 8, 6]
    joined = np.concatenate([b for b, _ in batches]), np.concatenate([t for _, t in batches])
    order = [int(np.flatnonzero((x == row).all(axis=1))[0]) for row in joined[0]]
    assert sorted(order) == list(range(22))
    assert order != list(range(22))
    np.testing.assert_array_equal(joined[1], y[order])
    again = list(sf.data.minibatches((x, y), 8, seed=0))
    np.testing.assert_array_equal(again[0][0], batches[0][0])


def test_minibatches_refuse_arrays_that_do_not_match():
    with pytest.raises(ValueError, match=r"got shapes \(22, 3\), \(21, 1\)"):
        list(sf.data.minibatches((x, y[:21]), 8))
    with pytest.raises(ValueError, match="batch_size is a whole number of at least 1, not 0"):
        list(sf.data.minibatches((x,), 0))


def test_split_keeps_rows_together_and_loses_none():
    (a, b), (a_test, b_test) = sf.data.split(x, y, share=0.25, seed=1)
    assert (len(a), len(a_test)) == (16, 6)
    np.testing.assert_allclose(b, a @ np.array([[1.0], [-2.0], [0.5]]) + 0.25)
    together = np.concatenate([a, a_test])
    np.testing.assert_array_equal(np.sort(together, axis=0), np.sort(x, axis=0))
    np.testing.assert_array_equal(sf.data.split(x, y, share=0.25, seed=1)[1][1], b_test)
    with pytest.raises(ValueError, match="leaves one part empty"):
        sf.data.split(x, share=0.0)


def test_one_hot_refuses_what_is_not_a_class():
    np.testing.assert_array_equal(sf.data.one_hot([[2], [0]], 3), [[[0, 0, 1]], [[1, 0, 0]]])
    for bad in ([3], [-1]):
        with pytest.raises(ValueError, match=r"are not 0 \.\.\. 2"):
            sf.data.one_hot(bad, 3)
    with pytest.raises(ValueError, match="labels are integers"):
        sf.data.one_hot([0.5], 3)


def test_training_does_what_the_loop_by_hand_does():
    model = sf.nn.Dense(3, 1, seed=0)
    history = sf.train(
        model, sf.nn.mse, (x, y), sf.optim.Descent(0.1), epochs=3, batch_size=8, seed=5
    )
    W, b = sf.nn.glorot_uniform((1, 3), 0), np.zeros(1)
    order, losses = np.random.default_rng(5), []
    for _ in range(3):
        total = 0.0
        for xs, ys in sf.data.minibatches((x, y), 8, order):
            error = xs @ W.T + b - ys
            total += np.sum(error**2)
            W, b = W - 0.2 * error.T @ xs / len(xs), b - 0.2 * error.mean(axis=0)
        losses.append(total / 22)
    np.testing.assert_allclose(model.W, W, rtol=1e-10)
    np.testing.assert_allclose(model.b, b, rtol=1e-10)
    np.testing.assert_allclose(history.losses, losses, rtol=1e-10)
    assert [epoch.number for epoch in history.epochs] == [1, 2, 3]
    assert int(history.state.count) == 9
    assert repr(history).startswith("History(3 epochs, loss ")


def test_training_goes_on_from_an_earlier_state():
    def trained(*epochs):
        model = sf.nn.Dense(3, 1, seed=0)
        order, state = np.random.default_rng(0), None
        for n in epochs:
            history = sf.train(
                model, sf.nn.mse, (x, y), sf.optim.Adam(0.1), epochs=n, seed=order, state=state
            )
            state = history.state
        return np.asarray(model.W)

    np.testing.assert_array_equal(trained(5), trained(2, 3))


def test_a_callback_sees_each_epoch_and_can_end_training():
    seen = []

    def callback(epoch):
        seen.append(epoch)
        return epoch.number == 2

    history = sf.train(
        sf.nn.Dense(3, 1, seed=0),
        sf.nn.mse,
        (x, y),
        sf.optim.Descent(0.1),
        epochs=9,
        callback=callback,
    )
    assert tuple(seen) == history.epochs
    assert [epoch.number for epoch in seen] == [1, 2]


def test_the_whole_step_is_one_native_call():
    model = sf.nn.Dense(3, 4, np.tanh, seed=0) >> sf.nn.Dense(4, 1, seed=1)
    history = sf.train(model, sf.nn.mse, (x, y), sf.optim.Adam(0.05), epochs=2, batch_size=11)
    assert history.step.specialization().direct
    names = [node["name"] for node in history.step.graph.inputs]
    assert sorted(names) == sorted(
        [
            "inputs",
            "targets[0]",
            "count",
            *2 * ["W", "b", "W_mean", "b_mean", "W_square", "b_square"],
        ]
    )
    assert history.compile_seconds > 0


def test_losses_may_have_more_than_one_target():
    weights = rng.uniform(0.5, 1.5, (22, 1))

    def weighted(prediction, target, weight):
        return np.mean(weight * (prediction - target) ** 2)

    history = sf.train(
        sf.nn.Dense(3, 1, seed=0), weighted, (x, y, weights), sf.optim.Descent(0.2), epochs=200
    )
    assert history.losses[-1] < 1e-12 < history.losses[0]


def test_a_model_without_params_cannot_be_trained():
    with pytest.raises(ArgumentError, match="no param is found"):
        sf.train(np.tanh, sf.nn.mse, (x, x), sf.optim.Descent(0.1))
    with pytest.raises(ValueError, match="no data"):
        sf.train(sf.nn.Dense(3, 1), sf.nn.mse, (x[:0], y[:0]), sf.optim.Descent(0.1))
