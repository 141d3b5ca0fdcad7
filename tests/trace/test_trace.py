"""Tracing: what becomes an input, a constant, an output; names, captures, nesting, leaks."""

import dataclasses
import enum
import functools
import threading
from typing import Any

import numpy as np
import pytest

import symflux as sf
import symflux.numpy as snp
from symflux import tree
from symflux.errors import ArgumentError, LeakedValue
from symflux.ir.node import INPUT, constant, symbol
from symflux.ir.types import ArrayType
from symflux.ir.verify import verify
from symflux.ops import broadcast_to
from symflux.trace.arguments import mark_static
from symflux.trace.array import Array
from symflux.trace.trace import close, node_of, trace, trace_body
from symflux.transform.evaluate import evaluate
from tests.trace.agreement import assert_agrees, traced_result

W = np.arange(6.0).reshape(2, 3)


def names(found):
    return [x["name"] for x in found.graph.inputs]


# --- arguments and results ------------------------------------------------------------------------


def test_inputs_are_named_as_in_the_function():
    @dataclasses.dataclass
    class Model:
        W: Any
        layers: Any

    def f(x, /, model, *rest, scale, **more):
        return x * scale + model.layers[0]["b"] + rest[0] + more["extra"]

    model = Model(W, [{"b": 2.0}])
    found = trace(f, (1.0, model, 3.0), {"scale": 4.0, "extra": 5.0})
    assert names(found) == [
        "x", "model.W", "model.layers[0]['b']", "rest[0]", "scale", "extra",
    ]  # fmt: skip
    assert found.arguments.names == tuple(names(found))
    assert found.arguments.weak == (True, False, True, True, True, True)
    assert found.arguments.types[1] == ArrayType((2, 3), "f64")
    assert found.graph.name == "f"


def test_containers_go_in_and_come_out():
    def f(batch, *, scale=1.0):
        x, y = batch["x"], batch["y"]
        return {"sum": x + y, "parts": [x * scale, (y, None)]}

    assert_agrees(f, {"x": np.ones(3), "y": 2.0}, scale=3.0)
    assert_agrees(f, {"x": np.float32(1), "y": np.arange(2)})


@pytest.mark.parametrize(
    "value",
    [True, 3, 2.5, np.float32(1.5), np.int8(3), np.bool_(True), np.ones((2, 0)), np.array(2.0)],
    ids=repr,
)
def test_every_sort_of_number_is_an_argument(value):
    assert_agrees(lambda x: (x, x + 1, x == x), value)


def test_results_that_are_not_traced_become_constants_and_captures():
    found = trace(lambda x: (1.5, W, [True], np.float32(2.0), x), (1.0,))
    assert [c is W for c in found.captures] == [True]
    values = evaluate(found.graph, [np.float64(1.0), W])
    assert [v.dtype.name for v in values] == ["float64", "float64", "bool", "float32", "float64"]
    assert found.weak == (True, False, True, False, True)


def test_types_stand_for_arrays_that_do_not_exist():
    found = trace(lambda x, y: x @ y, (ArrayType((2, 3), "f32"), ArrayType((3,), "f32")))
    assert found.graph.outputs[0].type == ArrayType((2,), "f32")


def test_static_arguments_reach_the_function_as_they_are():
    def f(x, n, mode="up", *, flag=False):
        assert type(n) is int
        return x * n if mode == "up" and not flag else x

    found = trace(f, (2.0, 3), {"flag": True}, static_argnums=1, static_argnames=("mode", "flag"))
    assert names(found) == ["x"]
    assert len(found.arguments.in_tree) == 1
    by_name = trace(f, (2.0,), {"n": 3, "mode": "up"}, static_argnames=["n", "mode", "flag"])
    assert evaluate(by_name.graph, [2.0])[0] == 6.0


def test_static_values_are_part_of_the_structure():
    def f(x, n):
        return x

    def key(n):
        return tree.structure(mark_static(f, (1.0, n), {}, (), "n"))

    assert key(1) == key(1)
    assert key(1) != key(2)
    assert key(1) != key(1.0)
    assert key(1) != key(True)
    assert hash(key("a")) == hash(key("a"))


def test_functions_without_signature_can_be_traced():
    assert evaluate(trace(np.sin, (1.0,)).graph, [1.0])[0] == np.sin(1.0)
    partial = functools.partial(np.multiply, 2.0)
    assert evaluate(trace(partial, (np.ones(2),)).graph, [np.ones(2)])[0].tolist() == [2.0, 2.0]

    class Callable:
        __hash__ = None

        def __call__(self, x):
            return x + 1

    assert evaluate(trace(Callable(), (1.0,)).graph, [1.0])[0] == 2.0


# --- captures -------------------------------------------------------------------------------------


def test_captured_arrays_are_inputs_by_reference_once_each():
    b = np.ones(3)
    found = trace(lambda x: x @ W + b + np.sum(b * x[0, 0]), (np.ones((4, 2)),))
    assert [c is o for c, o in zip(found.captures, (W, b), strict=True)] == [True, True]
    assert names(found) == ["x", "captured0", "captured1"]
    x = np.ones((4, 2))
    for scale in (1.0, 2.0):
        got = evaluate(found.graph, [x, W, b * scale])[0]
        bb = b * scale
        np.testing.assert_allclose(got, x @ W + bb + np.sum(bb * x[0, 0]))


def test_literals_are_not_captured():
    found = trace(lambda x: x + [1, 2, 3] + np.float64(2) + 1, (np.ones(3),))
    assert found.captures == ()
    assert len(found.graph.inputs) == 1


def test_functions_of_the_namespace_record_captured_arrays():
    found = trace(lambda x: x * snp.sum(W), (1.0,))
    assert found.captures[0] is W
    assert evaluate(found.graph, [1.0, W * 2])[0] == 30.0


def test_a_captured_array_that_is_also_an_argument_is_an_input_of_its_own():
    found = trace(lambda x: x + W, (W,))
    assert len(found.graph.inputs) == 2


# --- plain Python ---------------------------------------------------------------------------------


def test_plain_python_is_recorded():
    def power(x, n):
        return 1 if n == 0 else x * power(x, n - 1)

    class Affine:
        def __init__(self, a):
            self.a = a

        def __call__(self, x):
            return self.a * x

    def f(xs, T):
        total = sum(abs(t**2 - v) for t, v in zip(T, xs, strict=True))
        rows = [Affine(2.0)(x) + i for i, x in enumerate(xs)]
        return total, rows, power(xs[0], 5), functools.reduce(lambda a, b: a * b, xs)

    assert_agrees(f, np.array([1.0, 2.0, 3.0]), [0.5, 1.5, 2.5])


def test_loops_over_ranges_are_unrolled():
    def f(x):
        for i in range(5):
            x = x + i * np.sin(x)
        return x

    assert_agrees(f, np.ones(2))


def test_literal_values_are_known():
    def f(x):
        n = int(snp.array(3))
        if snp.array(1.0) > 0.5:
            x = x * n
        return x, list(range(snp.asarray(2)))

    found = trace(f, (1.0,))
    assert evaluate(found.graph, [2.0])[0] == 6.0


# --- nesting --------------------------------------------------------------------------------------


def test_inner_traces_use_values_of_the_outer_one():
    inner = []

    def outer(x, y):
        def f(z):
            return z * y + np.sum(W)

        found = trace(f, (x,))
        inner.append(found)
        return Array(found.graph.call([x.node])[0])

    found = trace(outer, (2.0, 3.0))
    verify(found.graph)
    assert inner[0].captures == ()
    assert [x["name"] for x in inner[0].graph.inputs] == ["z"]
    assert inner[0].arguments.weak == (True,)
    assert evaluate(found.graph, [2.0, 3.0])[0] == 6.0 + W.sum()


def test_inner_traces_give_captures_to_the_outermost():
    def outer(x):
        found = trace(lambda z: z + W, (x,))
        return Array(found.graph.call([x.node])[0])

    found = trace(outer, (1.0,))
    assert found.captures[0] is W


def test_changes_in_an_inner_trace_stay_inside():
    def outer(x):
        def f(z):
            z += 1
            return z.sum()

        trace(f, (x,))
        return x

    np.testing.assert_array_equal(traced_result(outer, np.ones(2))[0], np.ones(2))


def test_threads_trace_at_the_same_time():
    results = {}
    start = threading.Barrier(4)

    def work(k):
        start.wait()
        for _ in range(20):
            found = trace(lambda x: x * k + W, (np.ones((2, 3)),))
            assert len(found.captures) == 1
        results[k] = evaluate(found.graph, [np.ones((2, 3)), W])[0]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k in range(4):
        np.testing.assert_array_equal(results[k], np.ones((2, 3)) * k + W)


# --- leaks ----------------------------------------------------------------------------------------


def test_values_of_another_trace_are_reported():
    kept = []
    trace(lambda x: kept.append(x) or x, (1.0,))
    with pytest.raises(LeakedValue, match="used after function was recorded") as caught:
        trace(lambda y: y + kept[0], (1.0,))
    assert "y + kept[0]" in str(caught.value)


def test_values_of_a_body_are_reported():
    kept = []

    def f(x):
        trace_body(lambda c: kept.append(c) or c, (x,))
        return x + kept[0]

    with pytest.raises(LeakedValue):
        trace(f, (1.0,))


def test_an_error_leaves_no_trace_behind():
    with pytest.raises(ZeroDivisionError):
        trace(lambda x: 1 // 0, (1.0,))
    assert node_of(W).op is not INPUT


# --- bodies ---------------------------------------------------------------------------------------


def in_trace(fn, *args):
    """Run ``fn`` inside a trace and return what it returns."""
    result = []
    trace(lambda *xs: result.append(fn(*xs)) or 0.0, args)
    return result[0]


def test_bodies_are_closed_over_what_they_use():
    def f(x, y):
        heavy = np.sin(y)
        return (
            trace_body(lambda i, c: (c * heavy + np.sum(np.multiply(W, c)) + 2.0, i), (0, x)),
            heavy.node,
            x,
        )

    body, heavy, _ = in_trace(f, 1.0, 2.0)
    verify(body.graph)
    assert [n["name"] for n in body.graph.inputs] == ["i", "c", "const0", "const1"]
    assert body.consts[0] is heavy or body.consts[1] is heavy
    assert body.weak == (False, True)
    arguments = [3, 5.0] + [7.0 if c is heavy else W for c in body.consts]
    assert evaluate(body.graph, arguments) == [5.0 * 7.0 + 5.0 * W.sum() + 2.0, 3]


def test_loop_bodies_leave_invariant_work_outside():
    def f(x, y):
        return trace_body(lambda c: c + np.sin(y), (x,))

    body = in_trace(f, 1.0, 2.0)
    assert [n.op.name for n in body.consts] == ["sin"]


def test_branches_keep_their_work_inside():
    def f(x, y):
        before = np.cos(y)
        body = trace_body(lambda: np.sin(y) + before, (), hoist=False)
        return body, before.node, y.node

    body, before, y = in_trace(f, 1.0, 2.0)
    assert {n.id for n in body.consts} == {before.id, y.id}
    assert {n.op.name for n in body.graph.nodes} == {"input", "sin", "add"}


def test_literals_stay_inside_bodies():
    x, c = symbol("x"), symbol("c", (3,))
    zeros = broadcast_to(constant(0.0), shape=(3,))
    graph, consts = close([c], [c + zeros * 2.0, zeros, x], "body")
    assert consts == [x]
    verify(graph)
    values = evaluate(graph, [np.ones(3), 4.0])
    np.testing.assert_array_equal(values[0], np.ones(3))
    assert values[2] == 4.0


def test_outputs_that_are_arguments_or_outer_values_pass_through():
    def f(x, y):
        return trace_body(lambda c: (c, y, 1.0), (x,))

    body = in_trace(f, 1.0, 2.0)
    assert evaluate(body.graph, [5.0, 6.0]) == [5.0, 6.0, 1.0]


# --- what cannot be an argument -------------------------------------------------------------------


def test_dataclasses_with_strings_and_functions_are_arguments():
    @dataclasses.dataclass
    class Config:
        W: Any
        name: str
        activation: Any

    found = trace(lambda c, x: c.activation(c.W * x), (Config(W, "a", np.tanh), 2.0))
    assert names(found) == ["c.W", "x"]


def test_members_of_enumerations_in_dataclasses_are_settings():
    class Kind(enum.Enum):
        LINEAR = 1
        SQUARE = 2

    class Order(enum.IntEnum):
        FIRST = 1
        SECOND = 2

    @dataclasses.dataclass
    class Config:
        w: Any
        kind: Kind = Kind.LINEAR
        order: Order = Order.FIRST

    def f(c, x):
        y = c.w * x if c.kind is Kind.LINEAR else (c.w * x) ** 2
        return y if c.order is Order.FIRST else -y

    compiled = sf.compile(f)
    for _ in range(2):
        for config in (Config(W), Config(W, Kind.SQUARE), Config(W, Kind.SQUARE, Order.SECOND)):
            np.testing.assert_array_equal(compiled(config, 3.0), f(config, 3.0))
    assert sf.grad(lambda c: np.sum(f(c, 3.0)))(config).order is Order.SECOND


@pytest.mark.parametrize(
    "value", ["up", object(), np.sin, 1j, {1, 2}], ids=lambda v: type(v).__name__
)
def test_other_objects_are_refused(value):
    with pytest.raises(ArgumentError, match="`mode` of f is neither an array nor a number"):

        def f(x, mode):
            return x

        trace(f, (1.0, value))
