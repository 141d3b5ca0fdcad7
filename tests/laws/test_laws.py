"""Each law alone: it fires on its own examples, and both sides agree as its grade promises."""

import mpmath
import numpy as np
import pytest

from symflux.ir.types import is_floating, numpy_dtype
from symflux.ir.verify import verify
from symflux.passes.algebra import ALGEBRA
from symflux.passes.contractions import CONTRACTIONS
from symflux.passes.exponentials import SLOPES
from symflux.passes.fold import FOLD
from symflux.passes.gather import GATHER
from symflux.passes.index_maps import INDEX_MAPS
from symflux.passes.patterns import heads, parse
from symflux.passes.shifts import PREPARE
from symflux.passes.short_sums import SHORT_SUMS
from symflux.passes.stable import MEANS, STABLE
from symflux.transform.evaluate import evaluate

from . import cases, precise

SETS = (FOLD, ALGEBRA, INDEX_MAPS, CONTRACTIONS, GATHER, STABLE, MEANS, SHORT_SUMS, PREPARE, SLOPES)
LAWS = tuple(dict.fromkeys(x for laws in SETS for x in laws))  # some serve before and after
SEEDS = range(20)


def by_grade(*grades):
    laws = [x for x in LAWS if x.grade in grades]
    return pytest.mark.parametrize("law", laws, ids=[x.name for x in laws])


def test_heads_are_seen_without_parsing():
    """By the text alone, and never less than what is there."""
    found = [(x.pattern, heads(x.pattern), parse(x.pattern).op) for x in LAWS if x.pattern]
    assert len(found) > 50 and all(op in seen for _, seen, op in found), found
    assert sum(len(seen) for _, seen, _ in found) < 2 * len(found)
    assert heads("where(x < y, a, b)") == ("where",) and heads("-(x * (y + 1))") == ("sub", "neg")


def test_names_are_unique():
    names = [x.name for x in LAWS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("law", LAWS, ids=[x.name for x in LAWS])
def test_fires_and_leaves_a_valid_graph(law):
    graphs = cases.graphs(law)
    assert graphs, "the law fires on none of the graphs made from its pattern"
    for graph in graphs:
        verify(graph)
        after = cases.apply(law, graph)
        verify(after)
        assert after.outputs != graph.outputs, f"does not fire on\n{graph}"
        assert [y.type for y in after.outputs] == [y.type for y in graph.outputs]


@pytest.mark.quick(every=2)
@by_grade("exact")
def test_exact(law):
    for graph in cases.graphs(law):
        after = cases.apply(law, graph)
        for seed in SEEDS:
            arrays = cases.arguments(graph, seed, special=seed % 2 == 1)
            for x, y in zip(evaluate(graph, arrays), evaluate(after, arrays), strict=True):
                assert cases.same_bits(x, y), f"{graph}\n{after}\n{arrays}\n{x}\n{y}"


def is_elementary(law):
    """Whether 300 bits can judge it: no fold whose order counts."""
    return bool(law.pattern) or law in STABLE


#: Units in the last place that any result may be wrong by; beyond, the law must not be (much) worse
#: than what it replaces. Rounding errors of sums and differences are luck to a factor of a few.
TOLERANCE = 6.0


@pytest.mark.quick(every=3)
@pytest.mark.parametrize(
    "law",
    [x for x in LAWS if x.grade == "accurate" and is_elementary(x)],
    ids=lambda x: x.name,
)
def test_at_least_as_accurate(law):
    """Measured against 300 bits, on ordinary and extreme values."""
    assert law.domain
    checked = 0
    for graph in cases.graphs(law):
        after = cases.apply(law, graph)
        dtype = graph.outputs[0].dtype
        for seed in SEEDS:
            arrays = cases.arguments(graph, seed, special=seed % 2 == 1)
            with mpmath.workprec(precise.BITS):
                true = precise.evaluate(graph, arrays)
                old = precise.errors(evaluate(graph, arrays)[0], true, dtype)
                new = precise.errors(evaluate(after, arrays)[0], true, dtype)
            worse = new > np.maximum(TOLERANCE, 4 * old)
            assert not worse.any(), f"{graph}\n{after}\n{arrays}\n{old}\n{new}"
            checked += new.size
    assert checked


@pytest.mark.parametrize(
    ("text", "x", "wanted"),
    [
        ("log(1 + x) = log1p(x)", 1e-20, 1e-20),
        ("exp(x) - 1 = expm1(x)", 1e-20, 1e-20),
        ("log(exp(x)) = x", 1000.0, 1000.0),
        ("sqrt(x * x) = abs(x)", -1e200, 1e200),
        ("log1p(exp(x)) = softplus(x)", 1000.0, 1000.0),
        ("log(sigmoid(x)) = -softplus(-x)", -1000.0, -1000.0),
        ("log1p(-sigmoid(x)) = -softplus(x)", 50.0, -50.0),
        ("exp(x) / (1 + exp(x)) = sigmoid(x)", 1000.0, 1.0),
        ("1 - erf(x) = erfc(x)", 10.0, 2.088487583762545e-45),
    ],
)
def test_stable_forms_keep_what_the_original_loses(text, x, wanted):
    law = next(law for law in STABLE if law.name == text)
    graph = next(g for g in cases.graphs(law) if g.inputs[0].type.shape == ())
    (before,) = evaluate(graph, [x])
    (after,) = evaluate(cases.apply(law, graph), [x])
    assert not np.isclose(before, wanted, rtol=1e-6, atol=0.0)
    np.testing.assert_allclose(after, wanted, rtol=1e-14)


@pytest.mark.quick(every=2)
@pytest.mark.parametrize(
    "law",
    [x for x in LAWS if x.grade == "fast" or (x.grade == "accurate" and not is_elementary(x))],
    ids=lambda x: x.name,
)
def test_close(law):
    """Laws that change the order of sums, or hold in real numbers only; on positive numbers."""
    for graph in cases.graphs(law):
        after = cases.apply(law, graph)
        for seed in SEEDS:
            arrays = cases.arguments(graph, seed, special=False)
            if law.grade == "fast":
                arrays = [np.abs(a) for a in arrays]
            for x, y in zip(evaluate(graph, arrays), evaluate(after, arrays), strict=True):
                dtype = graph.outputs[0].dtype
                if not is_floating(dtype):
                    assert np.array_equal(x, y)
                    continue
                eps = np.finfo(numpy_dtype(dtype)).eps
                scale = max([1.0, *(float(np.abs(a).sum()) for a in arrays)])
                np.testing.assert_allclose(y, x, rtol=10 * eps, atol=10 * eps * scale)


def test_fast_laws_wait_to_be_asked():
    from symflux.ir.text import parse_graph
    from symflux.passes import optimize

    graph = parse_graph("graph f(x: f64)\n  %0 = div x, 3.0\n  return %0")
    assert optimize(graph).outputs[0].op.name == "div"
    assert optimize(graph, fast=True).outputs[0].op.name == "mul"
