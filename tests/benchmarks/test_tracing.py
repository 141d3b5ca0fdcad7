"""What tracing costs: the time per recorded operation is the median divided by the number given."""

import numpy as np

from symflux.trace.trace import trace

X = np.ones(8)


def elementwise(x, y):
    for i in range(300):
        x = np.sin(x) * y + 0.5 * i
    return x


def indexing(x):
    for _ in range(300):
        x = x[1:-1].sum() + x
    return x


def test_900_elementwise_operations(benchmark):
    found = benchmark(trace, elementwise, (X, X))
    assert len(found.graph.nodes) == 3 * 300 + 2 + 300  # operations, inputs, literals


def test_900_operations_with_views(benchmark):
    found = benchmark(trace, indexing, (X,))
    assert len(found.graph.nodes) == 3 * 300 + 1
