"""Random graphs: forward and reverse mode are each other's transpose, regions included.

For tangents t and cotangents c, c . (J t) and (J^T c) . t are the same number; the two modes come
to it by different ways.
"""

import numpy as np
import pytest

from symflux.errors import DerivativeError
from symflux.ir import Graph, symbol
from symflux.transform.evaluate import evaluate
from symflux.transform.jvp import pushforward, zeros_like
from symflux.transform.vjp import pullback

from . import graphs


def both_sides(seed):
    """The two numbers and the size of their terms; None for graphs without derivatives in f64."""
    graph = graphs.random_graph(seed)
    xs = [x for x in graph.inputs if x.dtype == "f64"]
    ys = [y for y in graph.outputs if y.dtype == "f64"]
    coarse = any(n.type.dtype in ("f16", "f32") for n in graph.nodes if hasattr(n.type, "dtype"))
    if not xs or not ys or coarse:
        return None
    ts = [symbol(f"t{i}", x.shape, x.dtype) for i, x in enumerate(xs)]
    cs = [symbol(f"c{i}", y.shape, y.dtype) for i, y in enumerate(ys)]
    try:
        pushed, pulled = pushforward(ys, xs, ts), pullback(ys, cs, xs)
    except DerivativeError:
        return None
    dy = [zeros_like(y) if d is None else d for y, d in zip(ys, pushed, strict=True)]
    dx = [zeros_like(x) if d is None else d for x, d in zip(xs, pulled, strict=True)]
    rng = np.random.default_rng(seed)
    tangents = [np.asarray(rng.standard_normal(x.shape)) for x in xs]
    cotangents = [np.asarray(rng.standard_normal(y.shape)) for y in ys]
    derived = Graph("derived", (*graph.inputs, *ts, *cs), (*dy, *dx))
    with np.errstate(all="ignore"):
        values = evaluate(derived, [*graphs.arguments(graph, seed), *tangents, *cotangents])
        left = [v * c for v, c in zip(values[: len(ys)], cotangents, strict=True)]
        right = [v * t for v, t in zip(values[len(ys) :], tangents, strict=True)]
        size = sum(np.sum(np.abs(term)) for term in (*left, *right))
        sides = sum(np.sum(term) for term in left), sum(np.sum(term) for term in right)
    return (*sides, size) if np.isfinite(size) else None


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("first", range(0, 900, 150))
def test_the_modes_are_adjoint(first):
    checked = 0
    for seed in range(first, first + 150):
        found = both_sides(seed)
        if found is None:
            continue
        checked += 1
        left, right, size = found
        assert abs(left - right) <= 1e-7 * size + 1e-12, f"seed {seed}: {left} and {right}"
    assert checked >= 8
