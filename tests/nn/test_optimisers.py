"""Optimisers: each rule against its formula in NumPy, pure and in place, plain and compiled."""

import numpy as np
import pytest

import symflux as sf
from symflux import tree
from symflux.errors import ArgumentError, DTypeError, StructureError

rng = np.random.default_rng(3)
start = {"W": rng.normal(size=(2, 3)), "b": rng.uniform(size=2)}
target = tree.map(np.ones_like, start)


def loss(w):
    return np.sum((w["W"] - 1.0) ** 2) + np.sum((w["b"] - 1.0) ** 4)


def slope(w):
    return {"W": 2 * (w["W"] - 1.0), "b": 4 * (w["b"] - 1.0) ** 3}


def descent(w, g, t, memory):
    return w - 0.1 * g


def momentum(w, g, t, memory):
    memory["v"] = 0.8 * memory.get("v", 0.0) + g
    return w - 0.05 * memory["v"]


def nesterov(w, g, t, memory):
    memory["v"] = 0.8 * memory.get("v", 0.0) + g
    return w - 0.05 * (g + 0.8 * memory["v"])


def adam(w, g, t, memory):
    memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * g
    memory["v"] = 0.99 * memory.get("v", 0.0) + 0.01 * g * g
    mean, square = memory["m"] / (1 - 0.9**t), memory["v"] / (1 - 0.99**t)
    return w - 0.1 * mean / (np.sqrt(square) + 1e-8)


def adamw(w, g, t, memory):
    return adam(w, g, t, memory) - 0.1 * 0.05 * w


RULES = {
    "descent": (sf.optim.Descent(0.1), descent),
    "momentum": (sf.optim.Momentum(0.05, 0.8), momentum),
    "nesterov": (sf.optim.Momentum(0.05, 0.8, nesterov=True), nesterov),
    "adam": (sf.optim.Adam(0.1, square_decay=0.99), adam),
    "adamw": (sf.optim.AdamW(0.1, square_decay=0.99, shrink=0.05), adamw),
}


def by_formula(rule, steps):
    w, memory = dict(start), {"W": {}, "b": {}}
    for t in range(1, steps + 1):
        g = slope(w)
        w = {k: rule(w[k], g[k], t, memory[k]) for k in w}
    return w


def assert_same(found, expected, **tolerance):
    for k in expected:
        np.testing.assert_allclose(
            np.asarray(found[k]), expected[k], **(tolerance or {"rtol": 1e-12})
        )


@pytest.mark.parametrize("name", RULES)
def test_pure_steps_follow_the_formula(name):
    optimizer, rule = RULES[name]
    w, state = dict(start), optimizer.init(start)
    for _ in range(5):
        w, state = optimizer.step(w, slope(w), state)
    assert_same(w, by_formula(rule, 5))
    assert int(state.count) == 5


@pytest.mark.parametrize("name", RULES)
def test_a_compiled_pure_step_takes_the_state_as_an_argument(name):
    optimizer, rule = RULES[name]

    @sf.compile
    def step(w, state):
        return optimizer.step(w, sf.grad(loss)(w), state)

    w, state = dict(start), optimizer.init(start)
    for _ in range(5):
        w, state = step(w, state)
    assert_same(w, by_formula(rule, 5))
    assert isinstance(state, sf.optim.State)
    assert int(state.count) == 5


@pytest.mark.parametrize("name", RULES)
def test_updates_in_place_follow_the_formula(name):
    optimizer, rule = RULES[name]
    w = tree.map(sf.param, start)
    state = optimizer.init(w)
    for _ in range(5):
        optimizer.update(w, slope(tree.map(np.asarray, w)), state)
    assert_same(w, by_formula(rule, 5))
    assert int(state.count) == 5


@pytest.mark.parametrize("name", RULES)
def test_a_compiled_step_updates_params_and_state_in_place(name):
    optimizer, rule = RULES[name]
    w = tree.map(sf.param, start)
    arrays = [p.value for p in tree.leaves(w)]
    params = sf.params(w)
    state = optimizer.init(params)

    @sf.compile
    def step():
        value = loss(w)
        optimizer.update(params, sf.gradient(lambda: loss(w), params), state)
        return value

    values = [step() for _ in range(5)]
    assert values[0] == pytest.approx(loss(start))
    assert_same(w, by_formula(rule, 5))
    assert [p.value is a for p, a in zip(tree.leaves(w), arrays, strict=True)] == [True, True]
    assert int(state.count) == 5


@pytest.mark.parametrize("name", RULES)
def test_float32_parameters_stay_float32(name):
    optimizer, rule = RULES[name]
    w = tree.map(lambda a: a.astype(np.float32), start)
    state = optimizer.init(w)
    for _ in range(5):
        w, state = optimizer.step(w, tree.map(lambda a: a.astype(np.float32), slope(w)), state)
    assert {a.dtype for a in tree.leaves((w, state.slots))} <= {np.dtype(np.float32)}
    assert_same(w, by_formula(rule, 5), rtol=2e-5, atol=1e-6)


def test_the_rate_may_be_a_function_of_the_step():
    optimizer = sf.optim.Descent(lambda t: 1.0 / t)
    w, state = np.array([0.0]), optimizer.init(np.array([0.0]))
    for _ in range(3):
        w, state = optimizer.step(w, np.array([-6.0]), state)
    np.testing.assert_allclose(w, [6.0 + 3.0 + 2.0])


def test_the_rate_may_be_a_param_that_changes_between_compiled_steps():
    rate, w = sf.param(1.0), sf.param([0.0])
    optimizer = sf.optim.Descent(rate)
    state = optimizer.init(w)
    step = sf.compile(lambda g: optimizer.update(w, g, state))
    step(np.array([-1.0]))
    rate[...] = 10.0
    step(np.array([-1.0]))
    np.testing.assert_allclose(w, [11.0])


def test_update_needs_params():
    optimizer = sf.optim.Descent(0.1)
    with pytest.raises(ArgumentError, match="only params are updated in place"):
        optimizer.update(start, slope(start), optimizer.init(start))


def test_gradients_of_another_structure_are_refused():
    optimizer = sf.optim.Descent(0.1)
    with pytest.raises(StructureError):
        optimizer.step(start, {"W": start["W"]}, optimizer.init(start))


def test_integers_cannot_be_optimised():
    with pytest.raises(DTypeError, match="only floating-point arrays can be optimised, not int64"):
        sf.optim.Descent(0.1).init(np.arange(3))


def test_the_state_of_params_is_named_after_them():
    state = sf.optim.Adam().init(sf.nn.Dense(2, 1, seed=0))
    assert [p.name for p in tree.leaves(state)] == [
        "count",
        "W_mean",
        "b_mean",
        "W_square",
        "b_square",
    ]


def test_optimisers_print_their_settings():
    assert repr(sf.optim.Momentum(0.1)) == "Momentum(rate=0.1, decay=0.9, nesterov=False)"


@pytest.mark.parametrize(
    "make", (sf.optim.Adam, sf.optim.AdamW, sf.optim.Momentum, sf.optim.Descent)
)
def test_statistics_of_float16_params_are_kept_in_float32(make):
    gradients = np.array([0.0, 1e-4, -300.0], np.float16)
    values = np.array([1.0, -2.0, 0.5], np.float16)
    optimizer = make(0.01)
    narrow, wide = values, values.astype(np.float64)
    state, exact = optimizer.init(narrow), optimizer.init(wide)
    kept = sf.param(values)
    kept_state = optimizer.init(kept)
    step = sf.compile(lambda g: optimizer.update(kept, g, kept_state))
    for _ in range(3):
        narrow, state = optimizer.step(narrow, gradients, state)
        wide, exact = optimizer.step(wide, gradients.astype(np.float64), exact)
        step(gradients)
    assert narrow.dtype == np.float16 and np.asarray(kept).dtype == np.float16
    for name, arrays in state.slots.items():
        assert arrays[0].dtype == np.float32
        np.testing.assert_allclose(arrays[0], exact.slots[name][0], rtol=1e-3)
    for got in (narrow, np.asarray(kept)):
        np.testing.assert_allclose(got, wide, rtol=3e-3)  # rounded at each of three steps
