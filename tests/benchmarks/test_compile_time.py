"""What each stage of the compiler costs, by the size of a random scalar expression."""

import numpy as np
import pytest
from symflux.codegen.llvm.emit import Emitter
from symflux.codegen.llvm.machine import host
from symflux.codegen.llvm.objects import objects_of
from symflux.codegen.passes.pipeline import run_passes

import symflux as sf
from symflux import config
from symflux.bench.workloads.graphs import INPUTS, function
from symflux.collector import collector_paused
from symflux.ir.graph import Graph
from symflux.ir.node import constant, symbol
from symflux.ir.walk import substitute
from symflux.lower.program import lower
from symflux.passes.pipeline import optimize
from symflux.transform.vjp import pullback

POINT = np.linspace(-1.0, 1.0, INPUTS)


@pytest.fixture(
    params=[
        pytest.param(1000, id="1e3"),
        pytest.param(10_000, id="1e4", marks=pytest.mark.slow),
    ],
    scope="module",
)
def operations(request):
    return request.param


@pytest.fixture(scope="module")
def stages(operations):
    """The gradient at every stage, made once."""
    graph = sf.trace(sf.value_and_grad(function(operations, np)))(POINT)
    optimized = optimize(graph)
    program = lower(optimized).program
    passed = run_passes(program)
    return graph, optimized, program, passed, Emitter(passed).modules()


def fresh(graph):
    """The graph on an input that it has not met: nothing of it is at hand in any table."""
    x = symbol("x", (INPUTS,))
    return Graph(graph.name, (x,), tuple(substitute(graph.outputs, {graph.inputs[0]: x})))


def measure(benchmark, stage, *given, anew=None):
    """Time a stage as it runs within a compilation: without the cycle collector."""

    def setup():
        return ((anew(*given),) if anew else given), {}

    with collector_paused():
        return benchmark.pedantic(stage, setup=setup, rounds=3)


def test_trace(benchmark, operations):
    traced = sf.trace(function(operations, np))
    graph = measure(benchmark, traced, POINT)
    assert len(graph.nodes) > operations


def test_reverse_mode(benchmark, operations):
    graph = sf.trace(function(operations, np))(POINT)

    def reverse(graph):
        return pullback(graph.outputs, [constant(1.0, "f64")], graph.inputs)

    (gradient,) = measure(benchmark, reverse, graph, anew=fresh)
    assert gradient.shape == (INPUTS,)


def test_graph_passes(benchmark, stages):
    graph = measure(benchmark, optimize, stages[0], anew=fresh)
    assert len(graph.nodes) == len(stages[1].nodes)


def test_lowering(benchmark, stages):
    lowered = measure(benchmark, lower, stages[1])
    assert len(lowered.program.kernels) == len(stages[2].kernels)


def test_loop_passes(benchmark, stages):
    program = measure(benchmark, run_passes, stages[2])
    assert len(program.kernels) == len(stages[3].kernels)


def test_writing(benchmark, stages):
    modules = measure(benchmark, lambda program: Emitter(program).modules(), stages[3])
    assert modules == stages[4]


def test_machine_code(benchmark, stages):
    objects = measure(benchmark, objects_of, stages[4], host())
    assert len(objects) == len(stages[4])


def test_everything(benchmark, operations):
    def compile_anew():
        return sf.compile(sf.value_and_grad(function(operations, np)))(POINT)

    with config.override(cache_dir="off"):
        _, gradient = measure(benchmark, compile_anew)
    assert gradient.shape == (INPUTS,)
