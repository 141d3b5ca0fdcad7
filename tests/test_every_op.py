"""Every op on every sample: types, text, derivatives, batching, native code against its oracle."""

import itertools
from contextlib import contextmanager

import numpy as np
import pytest
from symflux.codegen.llvm.jit import compile_program

from symflux.ir import Graph, constant, symbol
from symflux.ir.node import INPUT, ITEM, item
from symflux.ir.op import LocallyConstant, NotDifferentiable, Rules, lookup, registered
from symflux.ir.text import parse_graph, print_graph
from symflux.ir.types import TupleType, is_floating, numpy_dtype
from symflux.ir.verify import verify
from symflux.ops import broadcast_to, mul, sum_
from symflux.runtime.stages import make_stages
from symflux.transform.batch import batch_nodes
from symflux.transform.evaluate import evaluate
from symflux.transform.jvp import pushforward
from symflux.transform.vjp import pullback

from .samples import REACH, SAMPLES

#: Ops of the graph itself; they have no inputs to sample (``tests/ir`` covers them).
STRUCTURE = {"input", "constant", "item"}
ALL = [
    pytest.param(name, sample, id=f"{name}-{number}-{sample!r}")
    for name, samples in SAMPLES.items()
    for number, sample in enumerate(samples)
]
SMOOTH = [
    case
    for case in ALL
    if case.values[1].gradient and any(a.dtype == np.float64 for a in case.values[1].arrays)
]


@contextmanager
def each_sample(name, samples):
    """The samples of an op; a failure names the one that was met last."""
    met = []

    def following():
        for sample in samples:
            met.append(sample)
            yield sample

    try:
        yield following()
    except BaseException as error:
        error.add_note(f"{name}, sample {len(met) - 1}: {met[-1:]}")
        raise


def op_of(name, sample):
    return name


def dtypes_of(name, sample):
    """An op and the dtypes that it is applied to."""
    return name, *(a.dtype for a in sample.arrays)


def test_every_op_has_samples():
    assert set(registered()) - STRUCTURE == set(SAMPLES)


def test_every_op_is_described():
    assert [op.name for op in registered().values() if not op.doc] == []


def test_gaps_are_deliberate():
    gaps = {op.name for op in registered().values() if isinstance(op.derivative, NotDifferentiable)}
    assert gaps == {INPUT.name, ITEM.name}


# --- building and running ---


def symbols(sample):
    return [symbol(f"x{i}", a.shape, a.dtype) for i, a in enumerate(sample.arrays)]


def results(node):
    """The node, or each result of an op with several."""
    if isinstance(node.type, TupleType):
        return [item(node, i) for i in range(len(node.type.items))]
    return [node]


def build(name, sample):
    inputs = symbols(sample)
    return inputs, results(lookup(name)(*inputs, **sample.attrs))


def graph_of(name, sample):
    inputs, outputs = build(name, sample)
    return Graph(name if name.isidentifier() else "op", tuple(inputs), tuple(outputs))


def by_oracle(name, sample, arrays=None):
    """What NumPy says, independent of graphs."""
    op = lookup(name)
    extra = {"evaluate": evaluate} if isinstance(op.derivative, Rules) else {}
    with np.errstate(all="ignore"):
        value = op.oracle(*(sample.arrays if arrays is None else arrays), **sample.attrs, **extra)
    return [np.asarray(v) for v in (value if isinstance(value, tuple | list) else [value])]


def values_of(outputs, inputs, arrays):
    """Evaluate nodes that may be None (zero)."""
    kept = [y for y in outputs if y is not None]
    found = iter(evaluate(Graph("g", tuple(inputs), tuple(kept)), arrays))
    return [None if y is None else next(found) for y in outputs]


TOLERANCES = {"float64": 4e-14, "float32": 3e-6, "float16": 4e-3}


def tolerance(dtype, least=0.0):
    return max(TOLERANCES.get(str(dtype), 0.0), least)


def agree(got, wanted, least=0.0):
    assert got.dtype == wanted.dtype
    rtol = tolerance(wanted.dtype, least)
    finite = np.abs(wanted[np.isfinite(wanted)]) if wanted.dtype.kind == "f" else np.zeros(0)
    scale = float(finite.max(initial=0.0))
    atol = rtol * min(scale, 1.0) if wanted.dtype.kind == "f" else 0
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=atol)


# --- types and text ---


@pytest.mark.parametrize("name", SAMPLES)
def test_type_rule_agrees_with_the_oracle(name):
    with each_sample(name, SAMPLES[name]) as samples:
        for sample in samples:
            _, outputs = build(name, sample)
            for node, value in zip(outputs, by_oracle(name, sample), strict=True):
                assert node.shape == value.shape
                assert numpy_dtype(node.dtype) == value.dtype


@pytest.mark.parametrize("name", SAMPLES)
def test_text_round_trip(name):
    with each_sample(name, SAMPLES[name]) as samples:
        for sample in samples:
            graph = verify(graph_of(name, sample))
            text = print_graph(graph)
            assert print_graph(parse_graph(text)) == text
            assert parse_graph(text) == graph


# --- derivatives ---

LEVELS = 4


def difference(function, order):
    """A derivative of a function of a number at 0: central differences with steps REACH / 2^k,
    extrapolated to step 0 (Richardson's method, as in Ridders 1982)."""
    table = []
    for level in range(LEVELS):
        h = REACH / 2**level
        if order == 1:
            estimate = (function(h) - function(-h)) / (2 * h)
        else:
            estimate = (function(h) - 2 * function(0.0) + function(-h)) / h**2
        row = [estimate]
        for k, before in enumerate(table[-1] if table else [], start=1):
            row.append(row[-1] + (row[-1] - before) / (4**k - 1))
        table.append(row)
    return table[-1][-1]


class Check:
    """One sample with random directions for its float64 inputs, and weights for its outputs."""

    def __init__(self, name, sample):
        self.name, self.sample = name, sample
        self.inputs, self.outputs = build(name, sample)
        random = np.random.default_rng(7)
        self.wrt = [i for i, a in enumerate(sample.arrays) if a.dtype == np.float64]
        self.moves = {
            i: np.asarray(random.uniform(-1, 1, sample.arrays[i].shape)) for i in self.wrt
        }
        self.smooth = [k for k, y in enumerate(self.outputs) if is_floating(y.dtype)]
        self.weights = {
            k: np.asarray(random.uniform(-1, 1, self.outputs[k].shape)) for k in self.smooth
        }

    def at(self, t):
        """The weighted sum of the outputs, ``t`` along the directions from the sample."""
        arrays = [
            a + t * self.moves[i] if i in self.moves else a
            for i, a in enumerate(self.sample.arrays)
        ]
        values = by_oracle(self.name, self.sample, arrays)
        return sum((float(np.sum(self.weights[k] * values[k])) for k in self.smooth), 0.0)

    def directions(self):
        return [symbol(f"v{i}", self.inputs[i].shape, "f64") for i in self.wrt]

    def arguments(self, *extra):
        return [*self.sample.arrays, *[self.moves[i] for i in self.wrt], *extra]

    @property
    def points(self):
        return [self.inputs[i] for i in self.wrt]

    def weighted(self, nodes):
        """The sum of weights · nodes, as a node; None where all are zero."""
        total = None
        for k, node in enumerate(nodes):
            if node is not None and k in self.weights:
                term = inner(node, constant(self.weights[k], node.dtype))
                total = term if total is None else total + term
        return total

    def gradient(self):
        cotangents = [
            constant(self.weights[k], y.dtype) if k in self.weights else None
            for k, y in enumerate(self.outputs)
        ]
        return pullback(self.outputs, cotangents, self.points)

    def number(self, node, directions):
        """The value of a scalar node; zero for None."""
        if node is None:
            return 0.0
        inputs = (*self.inputs, *directions)
        return float(evaluate(Graph("g", inputs, (node,)), self.arguments())[0])


def inner(x, y):
    product = mul(x, y)
    return sum_(product, axes=tuple(range(len(product.shape))))


def along(nodes, directions):
    """The sum of nodes · directions; None where all are zero."""
    terms = [inner(g, v) for g, v in zip(nodes, directions, strict=True) if g is not None]
    return sum(terms[1:], terms[0]) if terms else None


def close(got, wanted, tolerance, scale=1.0):
    assert np.isfinite(got), got
    assert abs(got - wanted) <= tolerance * max(abs(wanted), scale), (got, wanted)


@pytest.mark.quick(every=3, first=op_of)
@pytest.mark.parametrize(("name", "sample"), SMOOTH)
def test_first_derivative(name, sample):
    check = Check(name, sample)
    directions = check.directions()
    wanted = difference(check.at, 1)
    pushed = check.weighted(pushforward(check.outputs, check.points, directions))
    forward = check.number(pushed, directions)
    close(forward, wanted, 1e-7)
    if "reverse" in sample.modes:
        pulled = along(check.gradient(), directions)
        close(check.number(pulled, directions), forward, 1e-13)


@pytest.mark.quick(every=5, first=op_of)
@pytest.mark.parametrize(("name", "sample"), SMOOTH)
def test_second_derivative(name, sample):
    check = Check(name, sample)
    directions = check.directions()
    points = check.points
    wanted = difference(check.at, 2)

    def pushed(node):
        return None if node is None else pushforward([node], points, directions)[0]

    def pulled(node):
        one = constant(1.0, "f64")
        return None if node is None else along(pullback([node], [one], points), directions)

    first = check.weighted(pushforward(check.outputs, points, directions))
    forms = {"forward over forward": pushed(first)}
    if "reverse" in sample.modes:
        gradient = along(check.gradient(), directions)
        forms["reverse over forward"] = pulled(first)
        forms["forward over reverse"] = pushed(gradient)
        forms["reverse over reverse"] = pulled(gradient)
    numbers = {form: check.number(node, directions) for form, node in forms.items()}
    reference = numbers["forward over forward"]
    close(reference, wanted, 2e-5)
    for number in numbers.values():
        close(number, reference, 1e-12)


@pytest.mark.parametrize("name", dict.fromkeys(case.values[0] for case in SMOOTH))
def test_derivatives_keep_types(name):
    with each_sample(name, [c.values[1] for c in SMOOTH if c.values[0] == name]) as samples:
        for sample in samples:
            check_types_of_derivatives(name, sample)


def check_types_of_derivatives(name, sample):
    """Tangents and cotangents have their value's type, in every float dtype."""
    for dtype in ("float16", "float32", "float64"):
        cast = [a.astype(dtype) if a.dtype.kind == "f" else a for a in sample.arrays]
        if any(isinstance(v, Graph) for v in sample.attrs.values()) and dtype != "float64":
            continue  # the graphs of a region have types of their own
        inputs = [symbol(f"x{i}", a.shape, a.dtype) for i, a in enumerate(cast)]
        outputs = results(lookup(name)(*inputs, **sample.attrs))
        points = [x for x in inputs if is_floating(x.dtype)]
        ones = [broadcast_to(constant(1, x.dtype), shape=x.shape) for x in points]
        for y, tangent in zip(outputs, pushforward(outputs, points, ones), strict=True):
            assert tangent is None or tangent.type == y.type
        if "reverse" not in sample.modes:
            continue
        seeds = [
            broadcast_to(constant(1, y.dtype), shape=y.shape) if is_floating(y.dtype) else None
            for y in outputs
        ]
        for x, cotangent in zip(points, pullback(outputs, seeds, points), strict=True):
            assert cotangent is None or cotangent.type == x.type


# --- batching ---


def variants(array):
    """Three arrays of the same values in different order."""
    flat = array.reshape(-1)
    orders = (flat, flat[::-1], np.roll(flat, 1))
    return np.stack([order.reshape(array.shape) for order in orders])


def subsets(count):
    for size in range(1, count + 1):
        yield from itertools.combinations(range(count), size)


@pytest.mark.quick(every=5, first=op_of)
@pytest.mark.parametrize(("name", "sample"), [c for c in ALL if c.values[1].arrays])
def test_batching_against_a_loop(name, sample):
    chosen = list(subsets(len(sample.arrays)))
    for which in chosen if len(chosen) <= 15 else chosen[:8]:
        inputs, outputs = build(name, sample)
        stacks = {i: variants(sample.arrays[i]) for i in which}
        batched = {i: symbol(f"b{i}", s.shape, s.dtype) for i, s in stacks.items()}
        made = batch_nodes(outputs, [inputs[i] for i in which], list(batched.values()))
        graph = Graph("batched", (*inputs, *batched.values()), tuple(node for node, _ in made))
        got = evaluate(verify(graph), [*sample.arrays, *stacks.values()])
        for row in range(3):
            arrays = [stacks[i][row] if i in stacks else a for i, a in enumerate(sample.arrays)]
            for value, (_, has), wanted in zip(
                got, made, by_oracle(name, sample, arrays), strict=True
            ):
                agree(value[row] if has else value, wanted)


# --- native code ---


def run_native(graph, arrays):
    stages = make_stages(graph)
    native = compile_program(stages.program)
    lowered = stages.lowered
    buffers = {
        buffer: np.ascontiguousarray(array)
        for buffer, array in zip(lowered.inputs, arrays, strict=True)
    }
    outputs = [np.full(y.shape, 7, numpy_dtype(y.dtype)) for y in graph.outputs]
    buffers |= dict(zip(lowered.outputs, outputs, strict=True))
    native.run(buffers)
    return outputs


@pytest.mark.quick(every=7, first=dtypes_of)
@pytest.mark.parametrize(("name", "sample"), ALL)
def test_native_against_the_oracle(name, sample):
    got = run_native(graph_of(name, sample), sample.arrays)
    for value, wanted in zip(got, by_oracle(name, sample), strict=True):
        agree(value, wanted, sample.tolerance)


def has_gradient(case):
    name, sample = case.values
    if isinstance(lookup(name).derivative, LocallyConstant) or "reverse" not in sample.modes:
        return False
    return is_floating(sample.attrs.get("dtype", "f64"))  # of a cast


@pytest.mark.quick(every=5, first=op_of)
@pytest.mark.parametrize(("name", "sample"), [c for c in SMOOTH if has_gradient(c)])
def test_native_gradient_against_the_interpreter(name, sample):
    check = Check(name, sample)
    pulled = [g for g in check.gradient() if g is not None]
    if all(a.size == 0 for a in sample.arrays):
        return
    assert pulled
    graph = Graph("gradient", tuple(check.inputs), tuple(pulled))
    for value, wanted in zip(
        run_native(graph, sample.arrays), evaluate(graph, sample.arrays), strict=True
    ):
        agree(value, wanted, max(sample.tolerance, 1e-12))
