"""Jacobians by unit vectors kept as pieces, against one direction after the other, and counted."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import symflux as sf
from symflux.ir import Graph, constant, symbol
from symflux.ir.op import Kind
from symflux.ir.types import numpy_dtype
from symflux.ir.verify import verify
from symflux.ops import broadcast_to
from symflux.passes import optimize
from symflux.thresholds import lowered
from symflux.trace.operands import as_node
from symflux.transform.batch import batch_nodes
from symflux.transform.evaluate import evaluate
from symflux.transform.jvp import pushforward
from symflux.transform.placed import unit_vectors
from symflux.transform.vjp import pullback

R = np.random.default_rng(3)
X = R.uniform(0.3, 1.2, 6)
M = R.uniform(0.3, 1.2, (3, 4))
A = R.uniform(-1.0, 1.0, (4, 5))
V = np.linspace(0.2, 0.9, 12)
FROM, TO = np.array([0, 3, 3, 5, -1]), np.array([1, 2, 0, 0, 4])


def scattered(x):
    out = sf.numpy.zeros(6)
    out[[0, 3, 3, 5, -1]] = np.sin(x[[1, 2, 0, 0, 4]])
    np.add.at(out, [1, 2, 0, 0, 4], x[:5] * 2.0)
    return out * x


def stepped(x):
    return sf.scan(lambda c, _: (np.sin(c) * x, np.sum(c)), x, length=3)


FUNCTIONS = {
    "elementwise": (lambda x: np.sin(x) * np.exp(-x * x) / (1.0 + x) - x**3, X),
    "both operands": (lambda x: x * x + (2.0 - x) * (x - 0.5), X),
    "stencil": (lambda x: x[2:] - 2.0 * x[1:-1] + x[:-2] + np.sin(x[1:-1]), V),
    "steps": (lambda x: np.concatenate([x[::2] * 2.0, x[::-1], x[-1:1:-3]]) ** 2, V),
    "slices of slices": (lambda x: x[1:][::3][::-1] * x[4], V),
    "outer sums": (lambda x: np.sum(np.sin(x[:, None] * x[None, :]), axis=0), X),
    "outer": (lambda x: np.sin(x[:, None] - 2.0 * x[None, :]), X),
    "grid": (lambda x: np.diff(x.reshape(3, 4), axis=0) * np.sum(x.reshape(3, 4), 1)[1:, None], V),
    "grid of three": (lambda x: np.sum(x.reshape(2, 3, 2)[::-1, 1:, :] ** 2, axis=(0, 2)), V),
    "digits apart": (lambda x: x.reshape(3, 4)[1:].reshape(2, 2, 2)[:, ::-1].ravel() * x[:8], V),
    "flat": (lambda m: np.tanh(m).ravel()[::5] * m.T.reshape(4, 3)[0], M),
    "flat element": (lambda m: m.ravel()[7] * m + m.T.ravel()[3], M),
    "flat blocks": (lambda m: m.reshape(12)[4:].reshape(2, 4) * m[:2], M),
    "laplacian": (lambda m: 4 * m[1:-1, 1:-1] - m[2:, 1:-1] - m[1:-1, :-2] - m[1:-1, 2:], M),
    "product": (lambda m: np.tanh(m @ A), M),
    "product from the left": (lambda m: A.T @ np.sin(m).T, M),
    "product with itself": (lambda m: m @ m.T, M),
    "traces": (lambda m: np.einsum("ij,ij->i", m, np.cos(m)) + np.trace(m[:, :3]), M),
    "batched product": (lambda m: np.einsum("ij,ijk->ik", m, np.sin(M[:, :, None] * X)), M),
    "network": (lambda x: A[:, :4] @ np.tanh(A.T[:4, :] @ x[:4]), X),
    "where": (lambda x: np.where(x > 0.6, x * x, np.where(x > 0.4, np.sin(x), 3.0)), X),
    "kinks": (lambda x: np.maximum(x, 0.6) * np.abs(x - 0.5) + np.clip(x, 0.4, 0.8), X),
    "reductions": (lambda x: np.stack([np.max(x), np.prod(x), np.mean(x), np.var(x)]), X),
    "softmax": (lambda x: np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x))), X),
    "cumulative": (lambda x: np.cumsum(np.sin(x)), X),
    "gather": (lambda x: np.sin(x[FROM] - x[TO]), X),
    "gather of another axis": (lambda m: m[:, [2, 0, 0]] * np.sum(m, 0)[[1, 1, 3]], M),
    "scatter": (scattered, X),
    "rolled and padded": (lambda x: np.pad(np.roll(x, 2), (1, 1)) * np.pad(x, 1, "edge"), X),
    "windows": (lambda x: sliding_window_view(x * x, 3) @ np.array([1.0, -2.0, 0.5]), X),
    "single numbers": (lambda x: np.stack([x[0] * x[3], np.sin(x[1]) + x[5], x[2] / x[4]]), X),
    "loop": (lambda x: stepped(x)[0], X),
    "pairs": (lambda m: np.sum((m[:, None] - m[None]) ** 2, -1), M),
    "float32": (lambda x: np.sin(x)[::2].astype(np.float32) * np.float32(2.0), X),
    "one element": (lambda x: np.sin(x) * x, X[:1]),
    "no element": (lambda x: np.sin(x[:0]), X),
}  # fmt: skip


#: thresholds at which pieces are kept as long as there is a rule, in each form
KEPT = {"piece_percent": 100_000, "piece_from": 0}
INTERVALS = {"interval_from": 1, "interval_part": 1, "piece_percent": 1}
WAYS = [{}, KEPT, KEPT | {"pieces": 1, "placed_by_mask": 0}, KEPT | {"pieces": 100}, INTERVALS]


def along_unit_vectors(outputs, direction, inputs, values):
    """What a linear graph makes of all unit vectors: by pieces in each way, and by dense ones."""
    n = direction.type.size
    eye = symbol("eye", (n, *direction.shape), direction.dtype)
    ((node, _),) = batch_nodes(outputs, [direction], [eye])
    units = np.eye(n, dtype=numpy_dtype(direction.dtype)).reshape(eye.shape)
    (dense,) = evaluate(Graph("dense", (*inputs, eye), (node,)), [*values, units])
    found = []
    for way in WAYS:
        with lowered(**way):
            ((node, _),) = batch_nodes(outputs, [direction], [unit_vectors(direction)])
            verify(Graph("pieces", tuple(inputs), (node,)))
            found.append(evaluate(Graph("pieces", tuple(inputs), (node,)), values)[0])
    return dense, found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pieces_equal_dense_unit_vectors(name):
    f, x = FUNCTIONS[name]
    tolerance = 1e-6 if name == "float32" else 1e-13
    if name in ("scatter", "loop"):  # which write to arrays of their own, and have regions
        graph = optimize(sf.trace(f)(x))
    else:
        symbolic = sf.symbol("x", x.shape)
        graph = optimize(Graph("f", (as_node(symbolic),), (as_node(f(symbolic)),)))
    (y,) = graph.outputs
    t, ct = symbol("t", x.shape), symbol("ct", y.shape, y.dtype)
    first = pushforward([y], graph.inputs, [t])[0]
    back = pullback([y], [ct], graph.inputs)[0]
    curve = pullback([y * y * y], [constant_like(y)], graph.inputs)
    second = pushforward(curve, graph.inputs, [t])[0] if curve[0] else None
    for derived, direction in ((first, t), (back, ct), (second, t)):
        if derived is None or direction.type.size == 0:
            continue
        dense, found = along_unit_vectors([derived], direction, graph.inputs, [x])
        for one in found:
            np.testing.assert_allclose(one, dense, rtol=tolerance, atol=tolerance)


def constant_like(y):
    return broadcast_to(constant(1, y.dtype), shape=y.shape)


@pytest.mark.parametrize("name", ["steps", "grid", "outer sums", "gather", "product", "pairs"])
def test_native_jacobians_and_hessians(name):
    f, x = FUNCTIONS[name]

    def total(x):
        return np.sum(f(x) ** 3)

    for g, derivative in ((f, sf.jacobian(f)), (sf.grad(total), sf.hessian(total))):
        step, found = 1e-6, np.asarray(derivative(x))
        g = sf.compile(g)
        for n in np.ndindex(x.shape):
            moved = np.zeros(x.shape)
            moved[n] = step
            slope = (np.asarray(g(x + moved)) - np.asarray(g(x - moved))) / (2 * step)
            np.testing.assert_allclose(found[(..., *n)], slope, rtol=1e-6, atol=1e-6)


def largest(f, *args):
    """The largest value that a compiled function computes, in elements."""
    return max(n.type.size for n in sf.compile(f).lower(*args).optimized.nodes)


def computed(nodes, size):
    """What computes floats of that many elements; moving them costs nothing by itself."""
    return [
        node.op.name
        for node in nodes
        if node.type.size == size and node.dtype == "f64" and node.op.kind is not Kind.INDEX_MAP
    ]


def test_hessians_cost_what_is_not_zero():
    """Arrays of 30 x 30 x 30 were computed that are zero but for a diagonal."""

    def f(x):
        sines = np.sum(np.sin(x[:, None] * x[None, :]))
        return sines + np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    x = np.linspace(0.1, 1.0, 30)
    assert largest(sf.hessian(f), x) == 900
    nodes = sf.compile(sf.jacobian(lambda x: np.sin(x) * x)).lower(x).optimized.nodes
    assert computed(nodes, 900) == ["where"]
    B = np.ones((30, 30))
    assert largest(sf.jacobian(lambda x: B @ np.tanh(B @ x)), x) <= 900
    m = np.ones((8, 8))
    nodes = sf.compile(sf.hessian(lambda m: np.sum(np.sin(m) ** 2))).lower(m).optimized.nodes
    assert computed(nodes, 64**2) == ["where"]


def test_few_of_many_unit_vectors_are_carried_along():
    """Single numbers were carried along all unit vectors: fingers, of which each has its angles."""

    def f(x):
        ends = []
        for i in range(0, 24, 3):
            ends.append(np.sin(x[i]) * (np.cos(x[i + 1]) + x[i + 2]) * np.exp(x[i]))
        return np.stack(ends)

    x = np.linspace(0.1, 1.0, 24)
    nodes = sf.compile(sf.jacobian(f, mode="forward")).lower(x).optimized.nodes
    assert "mul" not in computed(nodes, 24)
    np.testing.assert_allclose(sf.jacobian(f, mode="forward")(x), directions(f, x), rtol=1e-13)


def directions(f, x):
    """The Jacobian column by column: forward mode along each unit vector."""
    push = sf.compile(lambda x, t: sf.jvp(f, (x,), (t,))[1])
    return np.stack([np.asarray(push(x, t)) for t in np.eye(x.size)], axis=-1)


def test_zeros_of_a_structure_are_zeros_beside_infinite_slopes():
    x = np.array([0.0, 4.0, -1.0])
    with np.errstate(all="ignore"):
        found = sf.jacobian(np.sqrt)(x)
    expected = np.diag([np.inf, 0.25, np.nan])
    np.testing.assert_array_equal(found, expected)
    # where the slope itself is multiplied with what is not zero, nothing changes
    found = sf.jacobian(lambda x: np.sum(np.sqrt(x)) * np.array([1.0, 0.0, 1.0]))(x)
    np.testing.assert_array_equal(np.isnan(found[1]), [True, False, True])


def test_unit_vectors_that_a_program_writes_itself():
    def f(x):
        return np.sum(np.sin(x[:, None] * x[None, :]), axis=0)

    x = np.linspace(0.1, 1.0, 30)

    def columns(x):
        return sf.vmap(lambda t: sf.jvp(f, (x,), (t,))[1], out_axes=1)(sf.numpy.eye(30))

    np.testing.assert_allclose(sf.compile(columns)(x), sf.jacobian(f)(x), rtol=1e-14)
    assert largest(columns, x) == 900
    # a function that is not linear makes of zeros what it makes of them
    found = sf.compile(lambda x: sf.vmap(lambda t: np.cos(t * x) + 1.0)(sf.numpy.eye(3)))(x[:3])
    np.testing.assert_allclose(found, np.cos(np.eye(3) * x[:3]) + 1.0, rtol=1e-15)
