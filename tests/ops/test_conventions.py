"""Derivatives at kinks, ties and singular points: what docs/conventions.md promises."""

import numpy as np
import pytest

from symflux import ops
from symflux.ir import Graph, constant, symbol
from symflux.transform.evaluate import evaluate
from symflux.transform.jvp import pushforward
from symflux.transform.vjp import pullback


def ones(node):
    return ops.full(node.shape, 1, node.dtype)


def reverse(function, *arrays):
    """The gradient of the sum of the result for each operand (zeros where there is none)."""
    inputs = [symbol(f"x{i}", np.shape(a)) for i, a in enumerate(arrays)]
    out = function(*inputs)
    pulled = pullback([out], [ones(out)], inputs)
    nodes = [
        ops.full(x.shape, 0, x.dtype) if g is None else g
        for x, g in zip(inputs, pulled, strict=True)
    ]
    return evaluate(Graph("g", tuple(inputs), tuple(nodes)), arrays)


def forward(function, *arrays):
    """The derivative of each element along the ones of each operand, one operand at a time."""
    inputs = [symbol(f"x{i}", np.shape(a)) for i, a in enumerate(arrays)]
    out = function(*inputs)
    nodes = []
    for x in inputs:
        (pushed,) = pushforward([out], [x], [ones(x)])
        nodes.append(ops.full(out.shape, 0, out.dtype) if pushed is None else pushed)
    return evaluate(Graph("g", tuple(inputs), tuple(nodes)), arrays)


def both(function, wanted, *arrays):
    """Both modes give ``wanted`` (one row for each operand) for an elementwise function."""
    arrays = [np.array(a, float) for a in arrays]
    np.testing.assert_allclose(np.array(reverse(function, *arrays)), wanted, rtol=1e-14, atol=0)
    np.testing.assert_allclose(np.array(forward(function, *arrays)), wanted, rtol=1e-14, atol=0)


def test_relu_at_zero():
    both(ops.relu, [[0.0, 0.0, 1.0, 0.0]], [0.0, -0.0, 2.0, -1.0])


def test_abs_at_zero():
    both(ops.abs_, [[0.0, 0.0, 1.0, -1.0]], [0.0, -0.0, 2.0, -1.0])


def test_copysign_at_zero():
    both(ops.copysign, [[0.0, -1.0, 1.0], [0.0, 0.0, 0.0]], [0.0, 2.0, -2.0], [-1.0, -1.0, -0.0])


@pytest.mark.parametrize("op", [ops.maximum, ops.minimum])
def test_ties_of_two_share_equally(op):
    both(op, [[0.5, 0.5], [0.5, 0.5]], [3.0, 0.0], [3.0, -0.0])


@pytest.mark.parametrize("op", [ops.max_, ops.min_])
def test_ties_of_many_share_equally(op):
    rows = np.array([[2.0, 2.0, 2.0, 2.0], [1.0, 5.0, 5.0, 1.0]])
    (got,) = reverse(lambda x: op(x, axes=(1,)), rows)
    largest = [[0.25] * 4, [0.0, 0.5, 0.5, 0.0]]
    smallest = [[0.25] * 4, [0.5, 0.0, 0.0, 0.5]]
    np.testing.assert_array_equal(got, largest if op is ops.max_ else smallest)


def test_clip_at_its_bounds_is_a_tie():
    both(lambda x: ops.clip(x, 0.0, 1.0), [[0.0, 0.5, 1.0, 0.5, 0.0]], [-1.0, 0.0, 0.5, 1.0, 2.0])


def test_sqrt_at_zero_is_infinite():
    both(ops.sqrt, [[np.inf]], [0.0])


def test_rounding_is_locally_constant():
    for op in (ops.floor, ops.ceil, ops.trunc, ops.round_, ops.sign):
        both(op, [[0.0, 0.0, 0.0]], [0.0, 1.5, 2.0])


def test_stop_gradient():
    both(lambda x: x * ops.stop_gradient(x), [[3.0]], [3.0])


def test_power_of_zero():
    x, y = [0.0, 0.0, 0.0, 0.0], [2.0, 1.0, 0.5, 0.0]
    both(ops.pow_, [[0.0, 1.0, np.inf, 0.0], [0.0, 0.0, 0.0, 0.0]], x, y)


def test_power_of_a_negative_base():
    both(ops.pow_, [[-4.0, 12.0], [0.0, 0.0]], [-2.0, -2.0], [2.0, 3.0])


def test_mixed_second_derivative_of_a_power_at_exponent_zero():
    x, y = symbol("x", ()), symbol("y", ())
    out = ops.pow_(x, y)
    (by_x,) = pullback([out], [constant(1.0)], [x])
    (by_x_y,) = pullback([by_x], [constant(1.0)], [y])
    (got,) = evaluate(Graph("g", (x, y), (by_x_y,)), [4.0, 0.0])
    assert got == 0.25  # d/dy (y x^(y-1)) = 1/x


def test_angle_of_huge_and_tiny_points():
    size = np.array([1e200, 1e-200])
    both(ops.arctan2, [0.5 / size, -0.5 / size], size, size)


def test_branch_not_taken_is_exactly_zero():
    def function(x):
        positive = ops.gt(x, constant(0.0))
        return ops.where(positive, ops.log(x), ops.sqrt(-x))

    both(function, [[0.5, -0.25]], [2.0, -4.0])

    def safe(x):
        return ops.where(ops.gt(x, constant(0.0)), ops.sqrt(x), constant(0.0))

    both(safe, [[0.25, 0.0, 0.0]], [4.0, 0.0, -1.0])


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ([2.0, 3.0, 4.0], [12.0, 8.0, 6.0]),
        ([2.0, 0.0, 4.0], [0.0, 8.0, 0.0]),
        ([0.0, 0.0, 4.0], [0.0, 0.0, 0.0]),
        ([5.0], [1.0]),
    ],
)
def test_products_with_zeros(row, wanted):
    (got,) = reverse(lambda x: ops.prod(x, axes=(0,)), np.array(row))
    np.testing.assert_array_equal(got, wanted)


def test_hessian_of_a_product_with_two_zeros():
    x = symbol("x", (3,))
    (gradient,) = pullback([ops.prod(x, axes=(0,))], [constant(1.0)], [x])
    rows = []
    for i in range(3):
        unit = constant(np.eye(3)[i], "f64")
        (row,) = pullback([gradient], [unit], [x])
        rows.append(row)
    got = evaluate(Graph("hessian", (x,), tuple(rows)), [np.array([0.0, 7.0, 0.0])])
    np.testing.assert_array_equal(np.array(got), [[0, 0, 7], [0, 0, 0], [7, 0, 0]])


def test_indices_beyond_the_ends_are_clamped():
    x, indices = symbol("x", (3,)), symbol("i", (4,), "i64")
    arrays = [np.array([10.0, 20.0, 30.0]), np.array([-5, 0, 2, 99])]
    taken = ops.take(x, indices, axis=0)
    (pulled,) = pullback([taken], [ones(taken)], [x])
    values, counts = evaluate(Graph("g", (x, indices), (taken, pulled)), arrays)
    np.testing.assert_array_equal(values, [10.0, 10.0, 30.0, 30.0])
    np.testing.assert_array_equal(counts, [2.0, 0.0, 2.0])


def test_clamping_stays_inside_each_batch():
    from symflux.transform.batch import batch_nodes

    x, indices = symbol("x", (3,)), symbol("i", (2,), "i64")
    xs, picks = symbol("xs", (2, 3)), symbol("is", (2, 2), "i64")
    (made,) = batch_nodes([ops.take(x, indices, axis=0)], [x, indices], [xs, picks])
    arrays = [np.arange(6.0).reshape(2, 3), np.array([[9, 0], [-9, 2]])]
    (got,) = evaluate(Graph("g", (xs, picks), (made[0],)), arrays)
    np.testing.assert_array_equal(got, [[2.0, 0.0], [3.0, 5.0]])


def test_argmax_takes_the_first_and_the_first_nan():
    rows = np.array([[1.0, 3.0, 3.0], [1.0, np.nan, 5.0], [-np.inf] * 3])
    x = symbol("x", rows.shape)
    (got,) = evaluate(Graph("g", (x,), (ops.argmax(x, axes=(1,)),)), [rows])
    np.testing.assert_array_equal(got, [1, 1, 0])
