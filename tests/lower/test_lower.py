"""Lowering: which loops are shared, what needs memory, what is written in place."""

from __future__ import annotations

import re

import numpy as np
import pytest
from symflux.codegen.interp import run as interpret
from symflux.codegen.ir import Contract, Loop, Role, walk
from symflux.codegen.llvm.machine import host
from symflux.codegen.verify import verify

import symflux as sf
from symflux.ir import Graph, numpy_dtype, symbol
from symflux.lower.program import lower
from symflux.ops.index import scatter_add, take
from symflux.passes.pipeline import optimize
from symflux.runtime.execute import execute
from symflux.thresholds import lowered as thresholds
from symflux.transform.evaluate import evaluate


def lowered(fn, *args, donate=None):
    graph = optimize(sf.trace(fn)(*args))
    made = lower(graph, donate)
    verify(made.program)
    return graph, made


def check(fn, *args, rtol=1e-13):
    """The loops, interpreted, give what the graph means."""
    graph, made = lowered(fn, *args)
    arrays = {}
    for name, x, value in zip(made.inputs, graph.inputs, args, strict=True):
        arrays[name] = np.ascontiguousarray(value, numpy_dtype(x.dtype)).ravel().copy()
    for name, y in zip(made.outputs, graph.outputs, strict=True):
        arrays[name] = np.full(y.type.size, 99, numpy_dtype(y.dtype))
    interpret(made.program, arrays)
    for name, y, expected in zip(
        made.outputs, graph.outputs, evaluate(graph, list(args)), strict=True
    ):
        np.testing.assert_allclose(arrays[name].reshape(y.shape), expected, rtol=rtol, atol=1e-13)
    return made.program


def temporaries(program):
    return {b.name: b.size for b in program.buffers if b.role is Role.TEMP}


RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 30))


def test_elementwise_chain_is_one_loop_without_memory():
    program = check(lambda x: np.tanh(np.exp(x) * 2 + 1) - x, X)
    assert len(program.kernels) == 1 and temporaries(program) == {}


def test_several_results_share_one_loop():
    program = check(lambda x: ((e := np.exp(x)) + 1, e * 2, np.sum(e)), X)
    assert len(program.kernels) == 1 and temporaries(program) == {}
    text_ops = [s.op for k in program.kernels for s in walk(k.body) if hasattr(s, "op")]
    assert text_ops.count("exp") == 1


def test_softmax_is_one_loop_over_rows_with_a_row_of_memory():
    with thresholds(share_from=1e9):
        program = check(lambda x: sf.softmax(x, axis=-1), X)
    assert len(program.kernels) == 1
    outer = [s for s in program.kernels[0].body.statements if isinstance(s, Loop)]
    assert len(outer) == 1 and outer[0].extent == 40
    assert all(size <= 30 for size in temporaries(program).values())


def test_column_sums_read_along_rows():
    program = check(lambda x: np.sum(x * x, axis=0), X)
    inner = [s for s in walk(program.kernels[0].body) if isinstance(s, Loop) and s.mode == "vector"]
    loads = [s for loop in inner for s in walk(loop.body) if type(s).__name__ == "Load"]
    assert loads and all(
        dict(s.index.terms).get(loop.var) in (1, None)
        for loop in inner
        for s in walk(loop.body)
        if type(s).__name__ == "Load"
    )


def test_dense_layer_is_one_contraction_with_an_epilogue():
    w, b = RNG.standard_normal((20, 30)), RNG.standard_normal(20)
    program = check(lambda x, w, b: sf.relu(x @ w.T + b), X, w, b)
    assert len(program.kernels) == 1 and temporaries(program) == {}
    (contract,) = program.kernels[0].body.statements
    assert isinstance(contract, Contract)
    assert [s.op for s in contract.epilogue.statements if hasattr(s, "op")] == ["add", "maximum"]


def test_transposed_and_sliced_operands_are_not_copied():
    program = check(lambda x: x.T[::2] @ x[:, 1:5] + 1, X)
    assert temporaries(program) == {}


@pytest.mark.quick(every=5, first=lambda fn, gradient: gradient or fn)
@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x[1:] - x[:-1],
        lambda x: np.concatenate([x[:3] * 2, x[5:], np.exp(x[3:5])]),
        lambda x: np.pad(x, ((1, 2), (0, 1))) + 1,
        lambda x: np.stack([x, x[::-1]], axis=1).reshape(-1),
        lambda x: x.reshape(30, 40).T @ x[:30, :1],
        lambda x: x.reshape(4, 10, 3, 10).transpose(2, 0, 3, 1) * 2,
        lambda x: np.roll(x, 7, axis=1)[::-2, ::3],
        lambda x: np.concatenate([x[i : i + 1] * i for i in range(12)]),
        lambda x: (np.max(x, axis=1), np.argmax(x, axis=0), np.any(x > 2), np.prod(x[:2], axis=1)),
        lambda x: (x - np.mean(x, axis=0)) / np.std(x, axis=0),
        lambda x: np.sum(np.exp(x - np.max(x, axis=1, keepdims=True)), axis=1),
        lambda x: np.sum(np.tanh(x[:, :, None] - x[:, None, :5]) ** 2, axis=(1, 2)),
        lambda x: np.linalg.norm(x) * x[0] + np.sum(x, axis=(0, 1)),
        lambda x: x[[3, 1, 3]] * 2,
        lambda x: np.take(np.concatenate([x[:2], x * 2]), [0, 41, 3], axis=0),
        lambda x: np.einsum("ij,kj->ki", x, x)[:3] @ x,
    ],
)
@pytest.mark.parametrize("gradient", [False, True])
def test_programs_mean_what_graphs_mean(fn, gradient):
    if gradient:
        total = sf.grad(lambda x: sum(np.sum(np.sin(y * 1.0)) for y in _flat(fn(x))))
        check(total.traced, X, rtol=1e-10)
    else:
        check(fn, X)


def _flat(value):
    return [v for v in (value if isinstance(value, tuple) else (value,)) if v.dtype.kind == "f"]


@pytest.mark.parametrize("shape", [(0,), (1,), (1, 1), (0, 3), (3, 0), (2, 1, 3)])
def test_small_and_empty_shapes(shape):
    x = np.arange(np.prod(shape), dtype=float).reshape(shape)
    check(lambda x: (x + 1, np.sum(x), np.sum(x, axis=0), x.T * 2, np.concatenate([x, x])), x)


def test_memory_of_values_with_disjoint_lives_is_shared():
    def chain(x, w):
        for _ in range(6):
            x = np.tanh(x @ w)
        return x

    w = RNG.standard_normal((24, 24)) / 5
    x = RNG.standard_normal((24, 24))
    program = check(chain, x, w, rtol=1e-11)
    sizes = temporaries(program)
    assert sum(sizes.values()) >= 5 * 24 * 24 and program.arena <= 2 * 24 * 24 * 8


def test_updates_in_place_need_no_copy_and_no_memory():
    def step(w, x, y):
        g = sf.grad(lambda w: np.sum((x @ w - y) ** 2))(w)
        return w - 0.1 * g

    w, x, y = RNG.standard_normal((30, 8)), X, RNG.standard_normal((40, 8))
    graph, made = lowered(step, w, x, y, donate={0: 0})
    assert made.outputs == (made.inputs[0],)
    names = [b.name for b in made.program.buffers if b.role is Role.TEMP]
    assert len(names) == 1  # the residual
    arrays = {n: v.ravel().copy() for n, v in zip(made.inputs, (w, x, y), strict=True)}
    interpret(made.program, arrays)
    np.testing.assert_allclose(
        arrays[made.inputs[0]].reshape(w.shape), evaluate(graph, [w, x, y])[0], rtol=1e-12
    )


def test_scalars_of_loops_live_in_registers():
    f = sf.compile(
        lambda x: sf.fori_loop(0, 100, lambda i, s: (s[1], s[0] + s[1] * x), (0.0, 1.0))[1]
    )
    f(1e-3)
    assert temporaries_of(f) == {}


def temporaries_of(f):
    return temporaries(f.specialization().stages.program)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: np.exp(x) * 2,
        lambda x: np.sum(x * x),
        lambda x: sf.softmax(x, axis=-1),
        lambda x: np.max(x, axis=1),
    ],
)
def test_loops_become_vector_instructions(fn):
    text = sf.compile(fn).lower(RNG.standard_normal((64, 64))).llvm_optimized
    widths = re.findall(r"<(\d+) x double>", text)
    assert max(map(int, widths), default=0) >= host().vector_bytes // 8


def test_indices_beyond_the_ends_are_clamped_in_every_dtype():
    x = np.arange(5.0)
    for dtype in ("i8", "i64", "u8", "u64"):
        limits = np.iinfo(numpy_dtype(dtype))
        i = np.array([limits.min, 0, 4, limits.max], numpy_dtype(dtype))
        nodes = symbol("x", (5,)), symbol("i", (4,), dtype)
        taken = take(*nodes, axis=0)
        added = scatter_add(taken, nodes[1], size=5, axis=0)
        values, sums = execute(Graph("clamped", nodes, (taken, added)), [x, i])
        np.testing.assert_array_equal(values, [0, 0, 4, 4])
        np.testing.assert_array_equal(sums, [0, 0, 0, 0, 8])


@pytest.mark.parametrize("n", [100, 5000])
def test_a_scatter_computes_what_it_reads_once(n):
    def f(z, i, x):
        return sf.grad(lambda z: np.sum(np.take(z, i) * x * 2))(z)

    z, x = RNG.standard_normal((2, n))
    i = RNG.integers(-n, n, n)
    program = check(f, z, i, x)
    temporaries = [b for b in program.buffers if b.role is Role.TEMP]
    assert len(temporaries) == (2 if n == 100 else 0)
    wanted = np.zeros(n)
    np.add.at(wanted, i, 2 * x)
    np.testing.assert_allclose(sf.compile(f)(z, i, x), wanted, rtol=1e-13)


def test_arguments_may_be_named_like_anything_the_compiler_names():
    def f(c0, out0, t0, i, j, arena):
        w = sf.numpy.asarray([[1.0, 2.0], [3.0, 5.0]])
        return np.exp(c0 @ w) @ w + out0 + t0 + i + j + arena

    args = [np.full((2, 2), k + 1.0) for k in range(6)]
    np.testing.assert_allclose(sf.compile(f)(*args), f(*args), rtol=1e-14)


@pytest.mark.parametrize("body", [lambda c, r: r @ r, lambda c, r: c + np.tanh(r @ r) * 2])
def test_dot_products_as_carried_scalars(body):
    x = RNG.standard_normal((6, 4)) / 2
    expected = 0.5
    for row in x:
        expected = body(expected, row)
    got = sf.scan(lambda c, r: (body(c, r), body(c, r)), 0.5, x)
    assert got[0] == pytest.approx(expected, rel=1e-13)
    assert got[1][-1] == pytest.approx(expected, rel=1e-13)
