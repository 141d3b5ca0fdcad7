"""Layers: what they compute, how they compose, what they hold, how they print."""

import numpy as np
import pytest

import symflux as sf
from symflux import tree
from symflux.errors import ArgumentError, ShapeError

x = np.random.default_rng(1).normal(size=(4, 3))


def test_dense_is_the_activation_of_a_product_and_an_offset():
    layer = sf.nn.Dense(3, 2, np.tanh, seed=0)
    layer.b[...] = [0.5, -0.5]
    expected = np.tanh(x @ np.asarray(layer.W).T + [0.5, -0.5])
    np.testing.assert_array_equal(layer(x), expected)
    np.testing.assert_allclose(sf.compile(layer)(x), expected, rtol=1e-14, atol=1e-15)


def test_dense_takes_any_leading_axes():
    layer = sf.nn.Dense(3, 2, seed=0)
    np.testing.assert_allclose(layer(x[0]), layer(x)[0])
    blocks = layer(x.reshape(2, 2, 3))
    np.testing.assert_allclose(blocks.reshape(4, 2), layer(x))


def test_dense_takes_lists():
    layer = sf.nn.Dense(3, 2, seed=0)
    np.testing.assert_allclose(layer([1.0, 2.0, 3.0]), layer(np.array([1.0, 2.0, 3.0])))


def test_dense_without_bias_holds_weights_only():
    layer = sf.nn.Dense(3, 2, bias=False, seed=0)
    assert len(sf.params(layer)) == 1
    np.testing.assert_array_equal(layer(np.zeros(3)), np.zeros(2))


def test_dense_of_float32_stays_float32():
    layer = sf.nn.Dense(3, 2, sf.sigmoid, seed=0, dtype="float32")
    small = x.astype(np.float32)
    assert layer(small).dtype == np.float32
    assert sf.compile(layer)(small).dtype == np.float32


def test_the_wrong_input_size_is_an_error_that_names_the_layer():
    layer = sf.nn.Dense(3, 2, sf.relu)
    with pytest.raises(
        ShapeError, match=r"Dense\(3, 2, relu\) takes inputs of shape \(\.\.\., 3\)"
    ):
        layer(np.zeros((4, 2)))
    with pytest.raises(ShapeError, match="takes inputs of shape"):
        sf.compile(layer)(np.zeros((4, 2)))
    with pytest.raises(ShapeError):
        sf.nn.Dense(0, 2)


def test_a_seed_gives_the_same_weights_and_a_generator_the_next_ones():
    same = [np.asarray(sf.nn.Dense(3, 2, seed=7).W) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    rng = np.random.default_rng(7)
    first, second = (np.asarray(sf.nn.Dense(3, 2, seed=rng).W) for _ in range(2))
    np.testing.assert_array_equal(first, same[0])
    assert not np.allclose(first, second)


@pytest.mark.parametrize(
    ("init", "variance"),
    [
        (sf.nn.glorot_uniform, 2 / (300 + 500)),
        (sf.nn.glorot_normal, 2 / (300 + 500)),
        (sf.nn.he_uniform, 2 / 500),
        (sf.nn.he_normal, 2 / 500),
    ],
)
def test_first_weights_have_the_variance_of_their_source(init, variance):
    weights = init((300, 500), seed=0)
    assert weights.shape == (300, 500)
    assert abs(weights.mean()) < 4 * (variance / weights.size) ** 0.5
    assert weights.var() == pytest.approx(variance, rel=0.02)
    np.testing.assert_array_equal(init((300, 500), seed=0, dtype="f4"), weights.astype("f4"))
    with pytest.raises(ValueError, match="two or more axes"):
        init((3,))


# --- composition ----------------------------------------------------------------------------------


def test_chain_of_plain_functions():
    assert sf.nn.Chain(lambda v: v**2, lambda v: v + 1)(5) == 26
    assert sf.nn.Chain()(5) == 5


def test_shift_composes_layers_and_functions_on_both_sides():
    first, second = sf.nn.Dense(3, 5, seed=0), sf.nn.Dense(5, 2, seed=1)
    expected = np.exp(second(np.tanh(first(2 * x))))
    model = (lambda v: 2 * v) >> first >> np.tanh >> second >> np.exp
    np.testing.assert_allclose(model(x), expected)
    assert len(model) == 5
    with pytest.raises(TypeError):
        first >> 3


def test_composition_is_associative():
    a, b, c = (sf.nn.Dense(3, 3, seed=i) for i in range(3))
    left, right = (a >> b) >> c, a >> (b >> c)
    assert [each is other for each, other in zip(left, right, strict=True)] == [True] * 3
    assert tree.structure(left) == tree.structure(right)
    assert list(left[1:]) == [b, c]


def test_a_chain_refuses_what_it_cannot_call():
    with pytest.raises(ArgumentError, match="layers and functions, not list"):
        sf.nn.Chain([sf.nn.Dense(2, 2), sf.nn.Dense(2, 2)])


def test_a_chain_refuses_objects_whose_params_it_would_not_find():
    class Scale:
        def __init__(self):
            self.factor = sf.param(2.0)

        def __call__(self, v):
            return self.factor * v

        def apply(self, v):
            return self.factor * v

    with pytest.raises(ArgumentError, match="`factor` of Scale"):
        sf.nn.Chain(Scale())
    with pytest.raises(ArgumentError, match="`factor` of Scale"):
        sf.nn.Dense(2, 2) >> Scale().apply


# --- layers as containers -------------------------------------------------------------------------


def test_params_of_nested_layers_are_found_once():
    shared = sf.nn.Dense(3, 3, seed=0)
    model = shared >> np.tanh >> shared
    assert list(sf.params(model)) == [shared.W, shared.b]
    assert sf.nn.parameter_count(model) == 12


def test_the_gradient_with_respect_to_a_model_is_a_model():
    model = sf.nn.Dense(3, 2, np.tanh, seed=0) >> np.exp
    grads = sf.grad(lambda m, v: np.sum(m(v)))(model, x)
    by_param = sf.gradient(lambda: np.sum(model(x)), sf.params(model))
    np.testing.assert_allclose(grads[0].W, by_param[model[0].W])
    np.testing.assert_allclose(grads[0].b, by_param[model[0].b])
    inner = np.tanh(x @ np.asarray(model[0].W).T)
    slope = np.exp(inner) * (1 - inner**2)
    np.testing.assert_allclose(grads[0].b, slope.sum(axis=0))
    np.testing.assert_allclose(grads[0].W, slope.T @ x)


def test_a_compiled_model_sees_updates_of_its_params():
    model = sf.nn.Dense(3, 2, seed=0)
    f = sf.compile(model)
    before = f(x)
    sf.update(model.b, 1.0)
    np.testing.assert_allclose(f(x), before + 1.0)


def test_a_model_maps_over_a_batch():
    model = sf.nn.Dense(3, 5, np.tanh, seed=0) >> sf.nn.Dense(5, 2, seed=1)
    np.testing.assert_allclose(sf.vmap(model)(x), model(x))


def test_a_user_layer_is_a_layer():
    class Affine(sf.nn.Layer):
        def __init__(self, n_in, n_out, scale=1.0):
            self.W = sf.param(np.ones((n_out, n_in)))
            self.scale = scale

        def __call__(self, v):
            return self.scale * (self.W @ v)

    layer = Affine(3, 2, 0.5)
    assert repr(layer) == "Affine(scale=0.5)  # W (2, 3): 6 parameters"
    np.testing.assert_allclose((layer >> np.sum)(np.ones(3)), 3.0)
    assert len(sf.params(layer >> np.sum)) == 1
    with pytest.raises(NotImplementedError, match="Layer does not define __call__"):
        sf.nn.Layer()(x)


def test_models_print_their_layers_shapes_and_sizes():
    model = sf.nn.Chain(sf.nn.Dense(10, 5, sf.sigmoid), sf.nn.Dense(5, 2, bias=False), sf.softmax)
    assert repr(model) == (
        "Chain(\n"
        "  Dense(10, 5, sigmoid),    # W (5, 10), b (5,): 55\n"
        "  Dense(5, 2, bias=False),  # W (2, 5): 10\n"
        "  softmax,\n"
        ")  # 65 parameters"
    )
    assert model.signature() == "Chain(Dense(10, 5, sigmoid), Dense(5, 2, bias=False), softmax)"
    assert repr(sf.nn.Chain()) == "Chain(\n)  # 0 parameters"
