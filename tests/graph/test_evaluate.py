"""The interpreter: values, regions, and what it refuses."""

import numpy as np
import pytest

from symflux.ir import Graph, Kind, Op, symbol
from symflux.ir.node import apply
from symflux.ir.op import LOCALLY_CONSTANT
from symflux.ir.text import parse_graph
from symflux.ir.types import ArrayType
from symflux.ops.elementwise import exp, mul
from symflux.transform.evaluate import EvaluationError, evaluate


def test_values():
    x = symbol("x", (3,))
    (y,) = evaluate(Graph("f", (x,), (mul(exp(x), 2.0),)), [[0.0, 1.0, -np.inf]])
    np.testing.assert_array_equal(y, [2.0, 2 * np.exp(1.0), 0.0])


def test_outputs_are_arrays_of_their_own():
    x = symbol("x", (2,))
    given = np.array([1.0, 2.0])
    (y,) = evaluate(Graph("f", (x,), (x,)), [given])
    y[0] = 5.0
    assert given[0] == 1.0


def test_regions():
    graph = parse_graph(
        "graph f(x: f64, flag: bool)\n"
        "  %0 = scan x carry=1 consts=0 length=4 reverse=false\n"
        "    body: graph body(i: i64, c: f64)\n"
        "      %0 = mul c, 2.0\n"
        "      %1 = cast i dtype=f64\n"
        "      return %0, %1\n"
        "  %1 = cond flag, %0.0\n"
        "    otherwise: graph no(c: f64)\n"
        "      return c\n"
        "    then: graph yes(c: f64)\n"
        "      %0 = neg c\n"
        "      return %0\n"
        "  %2 = while %1.0 consts=0\n"
        "    body: graph body(c: f64)\n"
        "      %0 = add c, 1.0\n"
        "      return %0\n"
        "    test: graph test(c: f64)\n"
        "      %0 = lt c, 0.5\n"
        "      return %0\n"
        "  return %0.0, %0.1, %1.0, %2.0"
    )
    carried, stacked, chosen, counted = evaluate(graph, [1.0, True])
    assert (carried, chosen, counted) == (16.0, -16.0, 1.0)
    np.testing.assert_array_equal(stacked, [0.0, 1.0, 2.0, 3.0])
    assert evaluate(graph, [1.0, False])[2] == 16.0


def test_no_warnings():
    graph = parse_graph("graph f(x: f64)\n  %0 = log x\n  %1 = div 1.0, x\n  return %0, %1")
    low, high = evaluate(graph, [0.0])
    assert (low, high) == (-np.inf, np.inf)


def test_wrong_arguments():
    x = symbol("x", (2,), "f32")
    graph = Graph("f", (x,), (x,))
    with pytest.raises(EvaluationError, match="takes 1 arguments, not 2"):
        evaluate(graph, [1, 2])
    with pytest.raises(EvaluationError, match=r"input x is f32\[2\], got shape \(3,\), float32"):
        evaluate(graph, [np.zeros(3, np.float32)])
    with pytest.raises(EvaluationError, match="float64"):
        evaluate(graph, [np.zeros(2)])
    y = symbol("y")
    with pytest.raises(EvaluationError, match="does not list its input y"):
        evaluate(Graph("f", (), (y,)), [])


def test_an_oracle_that_breaks_its_type_rule():
    op = Op(
        "wrong_oracle", Kind.POINTWISE, lambda x: ArrayType(x.shape, "f32"), LOCALLY_CONSTANT,
        lambda *_, **__: None, None, lambda x: x,
    )  # fmt: skip
    x = symbol("x", (2,))
    try:
        with pytest.raises(
            EvaluationError, match=r"gave shape \(2,\), float64 instead of f32\[2\]"
        ):
            evaluate(Graph("f", (x,), (apply(op, (x,), {}),)), [[1.0, 2.0]])
    finally:
        from symflux.ir.op import _REGISTRY

        del _REGISTRY["wrong_oracle"]


def test_a_long_chain_keeps_few_values_alive():
    import tracemalloc

    x = symbol("x", (100_000,))
    node = x
    for _ in range(200):
        node = exp(mul(node, 0.5))
    graph = Graph("f", (x,), (node,))
    argument = np.zeros(100_000)
    tracemalloc.start()
    evaluate(graph, [argument])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * argument.nbytes
