"""Cotangents of slices are put side by side where they do not overlap."""

import numpy as np
import pytest

import symflux as sf
from symflux.ir import Graph, symbol
from symflux.ops.shape import pad
from symflux.testing import check_gradients
from symflux.transform.evaluate import evaluate
from symflux.transform.pieces import add_up


def total(blocks, shape):
    """add_up of blocks (low along each axis, values), and the same in NumPy."""
    expected = np.zeros(shape)
    nodes, arrays = [], []
    for number, (low, values) in enumerate(blocks):
        place = tuple(slice(a, a + n) for a, n in zip(low, values.shape, strict=True))
        expected[place] += values
        x = symbol(f"x{number}", values.shape)
        high = tuple(n - a - m for n, a, m in zip(shape, low, values.shape, strict=True))
        nodes.append(pad(x, low=low, high=high, interior=(0,) * len(shape)))
        arrays.append((x, values))
    graph = Graph("f", tuple(x for x, _ in arrays), (add_up(nodes),))
    return graph, [values for _, values in arrays], expected


@pytest.mark.parametrize("seed", range(30))
def test_random_blocks(seed):
    random = np.random.default_rng(seed)
    rank = int(random.integers(1, 4))
    shape = tuple(random.integers(1, 7, rank))
    blocks = []
    for _ in range(random.integers(2, 12)):
        low = tuple(int(random.integers(0, n)) for n in shape)
        size = tuple(int(random.integers(0, n - a + 1)) for a, n in zip(low, shape, strict=True))
        blocks.append((low, random.normal(size=size)))
    graph, values, expected = total(blocks, shape)
    (found,) = evaluate(graph, values)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_a_grid_of_elements_becomes_one_array():
    blocks = [((i, j), np.full((1, 1), 10.0 * i + j)) for j in (1, 0, 2) for i in (2, 0, 1)]
    graph, values, expected = total(blocks, (3, 3))
    assert {node.op.name for node in graph.nodes} == {"concatenate", "input"}
    assert np.array_equal(evaluate(graph, values)[0], expected)


def test_no_additions_for_a_vector_used_element_by_element():
    def f(x):
        return x[3] * x[0] + np.sin(x[1]) * x[2] ** 2

    x = np.array([0.3, -0.7, 1.1, 2.0])
    names = [node.op.name for node in sf.compile(sf.grad(f)).lower(x).optimized.nodes]
    assert "pad" not in names and names.count("concatenate") == 1
    check_gradients(f, (x,), order=2)


def test_overlapping_windows():
    def f(x):
        return sum(np.sum(x[i : i + 3] ** (i + 2)) for i in range(5))

    check_gradients(f, (np.linspace(0.5, 1.5, 7),), order=2)
