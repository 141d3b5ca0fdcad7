"""What functions recorded before for operands of the same types: the same again, at little cost."""

import numpy as np
import pytest

import symflux as sf
import symflux.numpy as snp
from symflux.errors import RangeError, ShapeError
from symflux.trace import again, array
from symflux.trace.trace import trace
from tests.long_programs import calls

A, B = np.arange(1.0, 9.0), np.linspace(0.5, 2.0, 8)
M = np.arange(16.0).reshape(4, 4) / 7
V = np.linspace(-1.0, 1.0, 4)
STEPS = 200

#: one recorded operation, its operands, and how many Python functions it may run through
OPERATIONS = {
    "sin": (lambda x, y, i: np.sin(x), A, B, 14),
    "sin of a number": (lambda x, y, i: np.sin(x), 0.5, 0.5, 14),
    "namespace": (lambda x, y, i: snp.sin(x), A, B, 19),
    "add": (lambda x, y, i: x + y, A, B, 12),
    "add numbers": (lambda x, y, i: x + y, 0.5, 0.25, 12),
    "add a number": (lambda x, y, i: x + y, A, 0.25, 12),
    "times literal": (lambda x, y, i: x * 2.0, A, B, 12),
    "literal times": (lambda x, y, i: 2 * x, A, B, 12),
    "times NumPy's number": (lambda x, y, i: x * np.float64(2.0), A, B, 12),
    "negative": (lambda x, y, i: -x, A, B, 11),
    "square": (lambda x, y, i: x**2, A, B, 12),
    "maximum": (lambda x, y, i: np.maximum(x, 0.0), A, B, 17),
    "where": (lambda x, y, i: np.where(y, x, 0.0), A, B > 1, 20),
    "matmul": (lambda x, y, i: y @ x, V, M, 17),
    "dot": (lambda x, y, i: np.dot(y, x), V, M, 17),
    "sum and add": (lambda x, y, i: x + np.sum(x), A, B, 25),
    "element and add": (lambda x, y, i: x + y[i % 8], A, B, 26),
}


def unrolled(step):
    def f(x, y):
        for i in range(STEPS):
            x = step(x, y, i)
        return x

    return f


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_recorded_in_few_calls(name):
    step, x, y, most = OPERATIONS[name]
    f = unrolled(step)
    trace(f, (x, y))
    assert calls(trace, f, (x, y)) / STEPS < most + 0.5


def programs():
    """Programs in which a plan may go wrong: operands that are one node, made of each other, of
    other dtypes and ranks, literals that are equal and not the same."""
    x, y, i, n = A, B, np.arange(8), np.float32(2)
    half = A.astype(np.float32)
    mask = A > 3
    return {
        "one node twice": (lambda x, y: (np.dot(x, y), np.dot(x, x), x + y, x + x), x, y),
        "made of it": (lambda x, y: (np.dot(x, y.reshape(8)), np.dot(x, np.sum(x) * x)), x, y),
        "signs of zero": (
            lambda x, y: (x * 0.0, x * -0.0, np.where(y > 1, x, -0.0), np.where(y > 1, x, 0.0)),
            x, y,
        ),
        "signs of zero, extremes": (lambda x, y: (np.maximum(x, 0.0), np.maximum(x, -0.0)), -x, y),
        "kinds of one": (lambda x, y: (x + 1, x + 1.0, x + True, np.add(x, True)), x, i),
        "kinds of one, integers": (lambda x, y: (y + 1, y + 1.0, y + True, y / 1, y // 1), x, i),
        "kinds of one, bools": (lambda x, y: (y + 1, y + True, y * y, -(y * 1), y & True), x, mask),
        "exponents": (lambda x, y: (x**2, x**3, x**-1, x**0.5, x**y, y**2, y**3, x**2.0), x, i),
        "numbers": (lambda x, y: (x + y, x * 2, 2**x, -x, x / y, np.sin(x), x > y), 0.5, 3.0),
        "whole numbers": (lambda x, y: (x + y, x * 2, -x, x / y, x // y, np.sin(x), x == y), 5, 3),
        "narrow": (lambda x, y: (x + y, x * 2.0, x + y * 1, np.where(x > 1, x, 2.5)), half, n),
        "axes": (
            lambda x, y: (np.sum(x), np.sum(x, 0), np.sum(x, axis=1), np.sum(x, keepdims=True),
                          np.mean(x, (0, 1)), np.max(x, axis=0), x.sum(1), x.sum(axis=0)), M, V,
        ),
        "products": (lambda x, y: (x @ y, y @ x, x @ x, np.dot(y, y), x.T @ y), M, V),
        "joined": (
            lambda x, y: (np.stack([x, y]), np.stack([y, x], axis=1), np.concatenate([x, y, x]),
                          np.stack([x, x]), snp.array([x[0], 1.0, y[1]]), np.hstack([x, y])), x, y,
        ),
        "broadcast": (lambda x, y: (x + y, x * y[:, None], np.where(x > y, x, 0)), M, V),
        "compared": (lambda x, y: (x > 1, x > 1.5, y > 1, y > 1.5, y == 2**70, y < x), x, i),
        "captured": (lambda x, y: (x + A, A * x, np.dot(A, x), np.where(A > 2, x, y)), x, y),
        "written": (_written, x, y),
        "NumPy's numbers": (lambda x, y: (y + np.int64(3), x + n, x * np.float64(3)), x, i),
    }  # fmt: skip


def _written(x, y):
    z = np.zeros_like(x)
    z[:3] = y[:3]
    total = np.sum(z)
    z += x
    z *= 2.0
    np.add(x, y, out=z[...])
    return total, np.sum(z), z, z[1:] + 1.0


@pytest.mark.parametrize("name", programs())
def test_the_same_graph_as_at_the_first_time(name, monkeypatch):
    f, *args = programs()[name]
    with monkeypatch.context() as patch:  # without any plan
        patch.setattr(again, "_PLANS", 0)
        patch.setattr(again, "remember", lambda *args: None)
        patch.setattr(array, "remember", lambda *args: None)
        patch.setattr(array, "_plans", {})
        for function in (np.sum, np.dot, np.where, np.sin, np.add, np.stack, np.maximum):
            array.TABLE[function].plans.clear()
        expected = str(trace(f, args).graph.canonical)
    found = [trace(f, args).graph.canonical for _ in range(3)]
    assert found == [expected] * 3
    results, values = sf.compile(f)(*args), f(*args)
    for result, value in zip(results, values, strict=True):
        assert np.asarray(result).dtype == np.asarray(value).dtype
        np.testing.assert_allclose(result, value, rtol=1e-6)
        np.testing.assert_array_equal(np.signbit(result), np.signbit(value))


def test_an_origin_is_the_line_of_the_call_not_of_the_plan():
    def f(x):
        for _ in range(3):
            x = np.sin(x) + 1.0
        y = np.sin(x) + 1.0
        return y

    lines = [node.origin.line for node in trace(f, (A,)).graph.nodes if node.op.name == "sin"]
    first = f.__code__.co_firstlineno
    assert lines == [first + 2] * 3 + [first + 3]


def test_errors_of_operands_are_those_of_the_first_time():
    def f(x, y):
        return [np.dot(x, y) for _ in range(1)]

    for _ in range(3):
        with pytest.raises(ShapeError, match="do not match"):
            trace(f, (A, V))
    with pytest.raises(RangeError, match="300"):
        trace(lambda x: [x + 100, x + 100, x + 100, x + 300], (np.arange(3, dtype=np.int8),))
