"""Compiled functions: signatures, layouts, containers, donation, updates, memory, threads."""

from __future__ import annotations

import collections
import dataclasses
import gc
import threading
import weakref

import numpy as np
import pytest

import symflux as sf


def test_signatures_are_told_apart_by_dtype_shape_and_kind():
    f = sf.compile(lambda x: x * 2)
    assert f(2.0) == 4.0 and type(f(2.0)) is float
    assert f(3) == 6 and type(f(3)) is int
    assert f(np.float32(1.5)) == 3.0 and f(np.float32(1.5)).dtype == np.float32
    for dtype in (np.int8, np.uint16, np.float16, np.float32, np.float64):
        for shape in ((), (3,), (2, 3), (0, 4)):
            x = np.ones(shape, dtype)
            y = f(x)
            assert y.dtype == x.dtype and y.shape == shape and np.all(y == 2)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::2],
        lambda a: a[::-1],
        lambda a: a.T,
        lambda a: np.asfortranarray(a),
        lambda a: a.astype(">f8"),
        lambda a: np.frombuffer(b"\0" + a.tobytes(), np.float64, offset=1, count=a.size).reshape(
            a.shape
        ),
    ],
    ids=["steps", "reversed", "transposed", "fortran", "big-endian", "unaligned"],
)
def test_other_memory_layouts_give_the_same_values(view):
    f = sf.compile(lambda x: np.cumsum(x) if False else np.exp(x) + x[0])
    a = np.linspace(0, 1, 36).reshape(6, 6)
    f(np.ascontiguousarray(view(a)).astype(float))
    got = f(view(a))
    expected = np.exp(view(a).astype(float)) + view(a).astype(float)[0]
    np.testing.assert_allclose(got, expected, rtol=1e-15)


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Pair:
    first: object
    second: object


def test_containers_go_in_and_come_out():
    @sf.compile
    def f(p, q, *, scale):
        return {
            "point": Point(p.x * scale, p.y + q["b"][0]),
            "pair": Pair(q["a"], [q["b"][1]]),
            "none": None,
        }

    x = np.arange(3.0)
    out = f(Point(x, 2.0), {"a": x + 1, "b": [1.0, x]}, scale=3.0)
    np.testing.assert_array_equal(out["point"].x, x * 3)
    assert isinstance(out["point"], Point) and out["point"].y == 3.0 and out["none"] is None
    np.testing.assert_array_equal(out["pair"].first, x + 1)
    np.testing.assert_array_equal(out["pair"].second[0], x)


def test_nested_plain_containers_run_natively():
    @sf.compile
    def f(state):
        (a, b), extra = state
        return {"sum": a + b, "extra": [extra["k"] * 2]}

    a = np.arange(4.0)
    for _ in range(3):
        out = f(((a, a), {"k": a}))
        np.testing.assert_array_equal(out["sum"], 2 * a)
        np.testing.assert_array_equal(out["extra"][0], 2 * a)
    assert f.specialization().direct


def test_static_arguments():
    traces = []

    @sf.compile(static_argnames="power")
    def f(x, power):
        traces.append(power)
        return x**power

    assert [float(f(2.0, 3)), float(f(2.0, power=2)), float(f(2.0, 3))] == [8.0, 4.0, 8.0]
    assert traces == [3, 2] or traces == [3, 2, 3]


def test_captured_arrays_are_read_anew_at_every_call():
    w = np.array([1.0, 2.0])
    f = sf.compile(lambda x: np.sum(w * x))
    x = np.ones(2)
    assert f(x) == 3.0
    w[:] = 10.0
    assert f(x) == 20.0


def test_captured_arrays_of_any_layout():
    base = np.arange(12.0).reshape(3, 4)
    w = base[:, ::2]
    f = sf.compile(lambda x: np.sum(w @ x))
    assert f(np.ones(2)) == w.sum()
    base[:] = 1.0
    assert f(np.ones(2)) == 6.0


def test_donated_arrays_are_overwritten_and_returned():
    @sf.compile(donate="params")
    def step(params, x):
        return {"w": params["w"] - 0.5 * x, "b": params["b"] * 2.0}

    params = {"w": np.ones(3), "b": np.full(2, 3.0)}
    for _ in range(2):
        w, b = params["w"], params["b"]
        params = step(params, np.ones(3))
        assert params["w"] is w and params["b"] is b
    np.testing.assert_array_equal(params["w"], np.zeros(3))
    np.testing.assert_array_equal(params["b"], np.full(2, 12.0))


def test_donated_arrays_that_are_read_again_after_being_written():
    """The new value of one parameter depends on the old value of the other, both ways."""

    @sf.compile(donate="state")
    def swap(state):
        a, b = state
        return b + 1.0, a * 2.0

    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    first, second = swap((a, b))
    np.testing.assert_array_equal(first, [4.0, 5.0])
    np.testing.assert_array_equal(second, [2.0, 4.0])

    @sf.compile(donate="x")
    def reverse(x):
        return x[::-1] + 0.0

    np.testing.assert_array_equal(reverse(np.arange(5.0)), [4, 3, 2, 1, 0])


def test_updates_of_captured_params_happen_in_place():
    w = sf.param(np.ones(3))
    array = w.value

    @sf.compile
    def step(x):
        before = np.sum(w * x)
        sf.update(w, -0.1 * x)
        return before, np.sum(w * x)

    before, after = step(np.ones(3))
    assert before == 3.0 and after == pytest.approx(2.7)
    step(np.ones(3))
    assert w.value is array
    np.testing.assert_allclose(array, 0.8)


def test_functions_free_themselves_when_dropped():
    f = sf.compile(lambda x: np.sin(x) + 1)
    f(np.ones(3))
    watched = weakref.ref(f), weakref.ref(f.specialization()), weakref.ref(f.specialization().entry)
    gc.disable()
    try:
        del f
        assert [w() for w in watched] == [None, None, None]
    finally:
        gc.enable()


@pytest.mark.slow
def test_a_thousand_functions_leave_memory_flat():
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    try:
        resident()
    except OSError:
        pytest.skip("needs /proc")

    def make(i):
        f = sf.compile(lambda x: np.exp(x * i) + i)
        np.testing.assert_allclose(f(np.ones(4)), np.exp(i) + i)

    for i in range(100):
        make(i * 0.001)
    gc.collect()
    before = resident()
    for i in range(1000):
        make(i * 0.002)
    gc.collect()
    assert resident() - before < 24e6


def test_calls_from_many_threads():
    w = np.random.default_rng(0).standard_normal((64, 64))
    f = sf.compile(lambda x: np.tanh(np.tanh(x @ w) @ w.T))
    inputs = [np.random.default_rng(i).standard_normal((128, 64)) for i in range(8)]
    expected = [np.tanh(np.tanh(x @ w) @ w.T) for x in inputs]
    failures = []

    def work(i):
        for _ in range(20):
            if not np.allclose(f(inputs[i]), expected[i], atol=1e-12):
                failures.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert failures == []


def test_first_calls_from_many_threads_compile_once():
    traced = []

    @sf.compile
    def f(x):
        traced.append(1)
        return x + 1

    start = threading.Barrier(6)
    results = []

    def work():
        start.wait()
        results.append(float(f(1.0)))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == [2.0] * 6 and len(traced) == 1


def test_errors_leave_the_function_usable():
    f = sf.compile(lambda x: np.sqrt(x) if x.shape == (2,) else x.missing)
    with pytest.raises(AttributeError):
        f(np.ones(3))
    np.testing.assert_array_equal(f(np.array([1.0, 4.0])), [1.0, 2.0])


def test_function_from_symbols():
    x = sf.symbol("x", (3,))
    y = sf.symbol("y")
    f = sf.function([x, y], (np.sum(x * y), [x - y]))
    total, (difference,) = f(np.arange(3.0), 2.0)
    assert total == 6.0
    np.testing.assert_array_equal(difference, [-2.0, -1.0, 0.0])


def test_levels_show_the_same_program():
    f = sf.compile(lambda x, w: np.sum(np.tanh(x @ w)))
    low = f.lower(np.ones((4, 3)), np.ones((3, 2)))
    assert "tanh" in str(low.graph) and "contract" in str(low.optimized)
    assert "kernel" in low.kernels and "define" in low.llvm_ir and "ret" in low.asm
    assert low.cost.flops > 2 * 4 * 3 * 2
    f(np.ones((4, 3)), np.ones((3, 2)))
    assert str(f.graph) == str(low.optimized) and f.kernels == low.kernels
    assert "test_function.py" in low.origins()


def test_compiled_functions_inside_others_become_part_of_their_graph():
    inner = sf.compile(lambda x: x * 2)
    outer = sf.compile(lambda x: inner(x) + inner(x + 1))
    assert inner(3.0) == 6.0 and outer(3.0) == 14.0
    assert float(sf.grad(outer)(3.0)) == 4.0


def test_integers_that_do_not_fit_are_refused():
    f = sf.compile(lambda x: x + 1)
    assert f(2**62) == 2**62 + 1
    with pytest.raises(sf.errors.RangeError, match="does not fit into int64"):
        f(2**70)


def test_arrays_with_rules_of_their_own_are_refused():
    f = sf.compile(lambda x: x * x)
    f(np.ones(2))
    with pytest.raises(sf.errors.ArgumentError, match="filled"):
        f(np.ma.array([1.0, 2.0], mask=[False, True]))
    with pytest.raises(sf.errors.ArgumentError, match="asarray"):
        f(np.ones((2, 2)).view(np.matrix))
