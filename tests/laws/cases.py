"""Graphs on which a law fires, and inputs for them."""

import itertools

import numpy as np

from symflux.ir import Graph, constant, symbol
from symflux.ir.text import parse_graph
from symflux.ir.types import is_floating, numpy_dtype
from symflux.passes.patterns import Applied, Number, Variable, parse
from symflux.passes.rewrite import Laws, rewrite

SHAPE = (2, 3)
FLOATS = ("f64", "f32")
BY_LETTER = {"b": ("bool",), "i": ("i32", "i8"), "u": ("u8", "u64"), "f": FLOATS}
#: What literals c and d are tried with, until the law fires.
LITERALS = (3.0, 4.0, -2.0, -0.5, 0.25, 2.0)


def example_graph(text):
    """A law's example, ``inputs ; node ; node ...``, as a graph."""
    inputs, *lines = [part.strip() for part in text.split(";")]
    body = [line for line in lines if not line.startswith("return")]
    last = lines[-1] if lines[-1].startswith("return") else f"return %{len(body) - 1}"
    numbered = [f"  %{i} = {line}" for i, line in enumerate(body)]
    return parse_graph("\n".join([f"graph f({inputs})", *numbered, f"  {last}"]))


def graphs(law):
    """All graphs that the law is tried on."""
    if law.examples:
        return [example_graph(text) for text in law.examples]
    return list(pattern_graphs(law))


def pattern_graphs(law):
    """The pattern's left side on inputs of each dtype that it holds for."""
    pattern = parse(law.pattern)
    for dtype in itertools.chain.from_iterable(BY_LETTER[c] for c in law.dtypes):
        for scalar in (False, True):
            graph = first_firing(law, pattern, dtype, () if scalar else SHAPE)
            if graph is not None:
                yield graph


def first_firing(law, pattern, dtype, shape):
    names = sorted(variables(pattern))
    literals = sorted(n for n in names if n in "cd")
    arrays = [n for n in names if n not in "cd"]
    numbers = LITERALS if is_floating(dtype) else (3, 5)
    for dtypes in itertools.product(*[dict.fromkeys((dtype, "bool", "f64")) for _ in arrays]):
        for values in itertools.product(numbers, repeat=len(literals)):
            env = {n: symbol(n, shape, t) for n, t in zip(arrays, dtypes, strict=True)}
            inputs = tuple(env.values())
            env |= {n: constant(v, dtype) for n, v in zip(literals, values, strict=True)}
            try:
                node = build(pattern, env, dtype)
            except (TypeError, ValueError):
                continue
            graph = Graph("f", inputs, (node,))
            if fires(law, graph):
                return graph
    return None


def variables(pattern):
    match pattern:
        case Variable(name):
            return {name}
        case Applied(_, inputs):
            return set().union(*[variables(x) for x in inputs])
    return set()


def build(pattern, env, dtype):
    from symflux.ir import lookup

    match pattern:
        case Variable(name):
            return env[name]
        case Number(value):
            return constant(value, "bool" if isinstance(value, bool) else dtype)
        case Applied(name, inputs):
            return lookup(name)(*[build(x, env, dtype) for x in inputs])
    raise AssertionError(pattern)


def apply(law, graph):
    """The graph after this law alone."""
    outputs = rewrite(graph.outputs, Laws((law,), fast=True))
    return Graph(graph.name, graph.inputs, tuple(outputs))


def fires(law, graph):
    return apply(law, graph).outputs != graph.outputs


# --- inputs ---------------------------------------------------------------------------------------

SPECIAL = (
    0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 1e-3, np.inf, -np.inf, np.nan, 1e30, -1e-30, 3e38, 1e-40,
    1e300, -1e308, 5e-324, 7.3, -0.1,
)  # fmt: skip


def arguments(graph, seed, special):
    """Random arrays; with ``special``, from infinities, nan, zeros of both signs and extremes."""
    rng = np.random.default_rng(seed)
    return [_array(rng, x.shape, x.dtype, special) for x in graph.inputs]


def _array(rng, shape, dtype, special):
    target = numpy_dtype(dtype)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if not is_floating(dtype):
        limits = np.iinfo(target)
        edges = [limits.min, limits.max, 0, 1, limits.max // 2]
        if special:
            return rng.choice(np.array(edges, target), shape)
        low = -9 if dtype[0] == "i" else 0
        return rng.integers(low, 10, shape).astype(target)
    with np.errstate(all="ignore"):
        if special:
            return rng.choice(np.array(SPECIAL), shape).astype(target)
        return (rng.normal(size=shape) * 3).astype(target)


def same_bits(x, y):
    """Equal to the bit, where any nan equals any other."""
    x, y = np.asarray(x), np.asarray(y)
    if x.shape != y.shape or x.dtype != y.dtype:
        return False
    if x.dtype.kind != "f":
        return np.array_equal(x, y)
    nan = np.isnan(x) & np.isnan(y)
    return bool((nan | ((x == y) & (np.signbit(x) == np.signbit(y)))).all())
