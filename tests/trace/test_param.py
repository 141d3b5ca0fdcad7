"""Params: arrays outside of a trace, captured inputs inside; updates, bindings, gradients."""

import copy
import operator
import pickle

import numpy as np
import pytest

import symflux.numpy as snp
from symflux import tree
from symflux.errors import ArgumentError, DTypeError, ShapeError, UnsupportedOperation
from symflux.ir.node import symbol
from symflux.trace.array import Array
from symflux.trace.param import Gradients, Param, Params, bind, param, params, update
from symflux.trace.trace import trace, trace_body
from symflux.transform.evaluate import evaluate
from tests.trace.agreement import numbers


def run(found, *args):
    return evaluate(found.graph, numbers(found, args, {}))


# --- outside of a trace ---------------------------------------------------------------------------


def test_a_param_behaves_like_its_array():
    x = np.array([[1.0, -2.0], [3.0, 4.0]])
    W = param(x)
    for apply in (
        operator.add, operator.mul, operator.truediv, operator.pow, operator.matmul, operator.lt,
        operator.eq, operator.sub, operator.floordiv, operator.mod,
    ):  # fmt: skip
        np.testing.assert_array_equal(apply(W, x), apply(x, x))
        np.testing.assert_array_equal(apply(x, W), apply(x, x))
        np.testing.assert_array_equal(apply(W, W), apply(x, x))
    for got, wanted in (
        (-W, -x), (abs(W), abs(x)), (W.T, x.T), (W[0], x[0]), (W[:, 1], x[:, 1]),
        (W.sum(), x.sum()), (np.sin(W), np.sin(x)), (W.mean(0), x.mean(0)),
        (np.concatenate([W, x]), np.concatenate([x, x])), (snp.relu(W), snp.relu(x)),
        (np.sum(W, axis=0), x.sum(0)), (list(W)[1], x[1]), (W.reshape(4), x.reshape(4)),
        (np.add.reduce(W), np.add.reduce(x)),
    ):  # fmt: skip
        assert type(got) is type(wanted)
        np.testing.assert_array_equal(got, wanted)
    assert (W.shape, W.dtype, W.ndim, W.size, len(W)) == ((2, 2), x.dtype, 2, 4, 2)


def test_scalar_params_are_numbers():
    a = param(2.0)
    assert a * 4.0 + 1 == 9.0
    assert (float(a), int(a), bool(a), f"{a:.1f}") == (2.0, 2, True, "2.0")
    assert round(param(2.6)) == 3
    assert list(range(param(np.int64(3)))) == [0, 1, 2]
    assert repr(a) == "param(2.)"


def test_params_can_be_copied_and_pickled():
    W = param([1.0, 2.0], name="W")
    for again in (copy.deepcopy(W), pickle.loads(pickle.dumps(W))):
        assert again.value.tolist() == [1.0, 2.0]
        assert again.name == "W"
        update(again, 1.0)
    assert W.value.tolist() == [1.0, 2.0]


def test_a_param_is_a_copy_and_a_key():
    x = np.ones(2)
    W = param(x)
    x[0] = 5
    assert W.value.tolist() == [1.0, 1.0]
    assert {W: "W", param(x): "other"}[W] == "W"


def test_update_adds_in_place():
    W = param([1.0, 2.0])
    array = W.value
    assert update(W, -0.5) is W
    update(W, np.array([1.0, 0.0]))
    assert W.value is array
    assert array.tolist() == [1.5, 1.5]
    W += 1
    W[0] = 9
    W *= 2
    assert W.value is array
    assert array.tolist() == [18.0, 5.0]


def test_update_takes_containers():
    W, b = param(1.0), param([2.0])
    update({"W": W, "b": [b]}, {"b": [10.0], "W": 5.0})
    assert (float(W), b.value.tolist()) == (6.0, [12.0])
    update(params(W, b), Gradients((b, W), (1.0, 2.0)))
    assert (float(W), b.value.tolist()) == (8.0, [13.0])


def test_updates_that_do_not_fit_are_refused():
    W = param([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"a param of shape \(2,\) cannot take a value of shape"):
        update(W, np.ones((3, 2)))
    assert W.value.tolist() == [1.0, 2.0]
    with pytest.raises(DTypeError, match="a param of int64 cannot take a value of float64"):
        update(param(np.array([1, 2])), 0.5)
    with pytest.raises(ArgumentError, match="only params can be updated, not ndarray"):
        update(np.ones(2), 1.0)


# --- inside a trace -------------------------------------------------------------------------------


def test_a_param_is_captured_by_reference():
    W = param([1.0, 2.0], name="weights")
    found = trace(lambda x: np.sum(W * x) + W[0] + (W @ W) + snp.sum(W), (3.0,))
    assert [c is W for c in found.captures] == [True]
    assert [x["name"] for x in found.graph.inputs] == ["x", "weights"]
    assert run(found, 3.0)[0] == 9 + 1 + 5 + 3
    update(W, 1.0)
    assert run(found, 3.0)[0] == 15 + 2 + 13 + 5
    assert found.updates == {}


def test_updates_are_results():
    W, b = param([1.0, 2.0]), param(10.0)

    def step(x):
        before = W * 1
        update(W, -0.5 * x)
        W[0] = 7.0
        update(b, np.sum(W))
        return before, W * 1

    found = trace(step, (2.0,))
    before, after, *new = run(found, 2.0)
    assert before.tolist() == [1.0, 2.0]
    assert after.tolist() == [7.0, 1.0]
    assert [p is q for p, q in zip(found.updated, (W, b), strict=True)] == [True, True]
    positions = {id(found.captures[c]): found.graph.outputs[o] for c, o in found.updates.items()}
    assert positions[id(W)] is found.graph.outputs[2]
    assert [v.tolist() for v in new] == [[7.0, 1.0], 18.0]
    assert W.value.tolist() == [1.0, 2.0]


def test_in_place_operators_on_params_are_updates():
    W = param(np.ones(3, np.float32))

    def step(x):
        nonlocal W
        W -= x * W
        W *= 2
        return np.sum(W)

    found = trace(step, (0.25,))
    total, new = run(found, 0.25)
    assert total == 4.5
    assert new.dtype == np.float32
    assert new.tolist() == [1.5, 1.5, 1.5]


def test_a_param_among_the_arguments_is_an_argument():
    W = param([1.0, 2.0])

    def f(model, x):
        assert model["W"] is W
        update(W, x)
        return np.sum(W * model["W"])  # the closure and the argument are one

    found = trace(f, ({"W": W}, 1.0))
    assert [x["name"] for x in found.graph.inputs] == ["model['W']", "x"]
    assert found.captures == ()
    assert found.updates == {}
    assert found.argument_updates == {0: 1}
    total, new = run(found, {"W": W}, 1.0)
    assert (total, new.tolist()) == (13.0, [2.0, 3.0])


def test_updates_of_an_inner_trace_are_written_back():
    W = param(1.0)

    def outer(x):
        def inner(z):
            update(W, z)
            return W * z

        found = trace(inner, (x,))
        value, new = found.graph.call([x.node])
        found.write_back([new])
        return Array(value), W * 1

    found = trace(outer, (2.0,))
    value, after, new = run(found, 2.0)
    assert (value, after, new) == (6.0, 3.0, 3.0)


def test_updates_inside_a_body_are_refused():
    W = param(1.0)
    with pytest.raises(UnsupportedOperation, match="cannot be updated inside the body"):
        trace(lambda x: trace_body(lambda c: update(W, c) * 1, (x,)), (1.0,))


def test_binding_gives_params_another_meaning():
    W, b = param(2.0), param(3.0)
    w = symbol("w")

    def f(x):
        with bind({W: w_handle(x)}):
            inside = W * 10 + b
        return inside, W * 1

    def w_handle(x):
        return (x + 1).node

    found = trace(f, (4.0,))
    assert run(found, 4.0) == [53.0, 2.0]
    with bind({W: w}):
        assert isinstance(W * 2, Array)
        assert b * 2 == 6.0
    assert W * 2 == 4.0


def test_updates_of_other_params_survive_a_binding():
    W, b = param(2.0), param(3.0)

    def f(x):
        with bind({W: x.node}):
            update(b, W)
        return b * 1

    assert run(trace(f, (4.0,)), 4.0) == [7.0, 7.0]


# --- collections ----------------------------------------------------------------------------------


class Layer(tree.Container):
    def __init__(self):
        self.W = param(np.ones(2))
        self.b = param(0.0)
        self.name = "layer"


def test_params_are_gathered_once_each():
    layer, extra = Layer(), param(1.0)
    found = params(layer, [extra, layer], extra)
    assert [p is q for p, q in zip(found, (layer.W, layer.b, extra), strict=True)] == [True] * 3
    assert layer.W in found
    assert param(1.0) not in found
    assert isinstance(tree.map(lambda p: p, found), Params)
    with pytest.raises(ArgumentError, match="an array is no param"):
        params(np.ones(2))


def test_layers_hold_params_as_children():
    layer = Layer()
    leaves, structure = tree.flatten(layer)
    assert all(isinstance(leaf, Param) for leaf in leaves)
    assert structure.paths("layer") == ["layer.W", "layer.b"]
    found = trace(lambda model, x: np.sum(model.W) * x + model.b, (layer, 2.0))
    assert run(found, layer, 2.0) == [4.0]


def test_gradients_are_found_by_param_and_position():
    W, b = param(2.0), param(3.0)
    grads = Gradients((W, b), (4.0, 1.0))
    assert (grads[W], grads[b], grads[0], grads[-1], len(grads)) == (4.0, 1.0, 4.0, 1.0, 2)
    assert [(p is W, g) for p, g in grads.items()] == [(True, 4.0), (False, 1.0)]
    assert W in grads
    assert param(2.0) not in grads
    doubled = tree.map(lambda g: 2 * g, grads)
    assert doubled[W] == 8.0
    with pytest.raises(KeyError, match="no gradient with respect to this param"):
        grads[param(2.0)]
