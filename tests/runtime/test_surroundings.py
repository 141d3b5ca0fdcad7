"""What a traced function read from its surroundings is never stale: Python itself is the oracle."""

import argparse
import array
import collections
import contextvars
import ctypes
import dataclasses
import datetime
import enum
import functools
import os
import random
import threading
import time
import types

import numpy as np
import pytest
from symflux.codegen.llvm.words import MISSING, Words

import symflux as sf
from symflux.errors import TraceError
from symflux.thresholds import lowered

X = np.array([1.0, 2.0, 4.0])
RATE = 2.0
TABLE = np.array([1.0, 3.0, 5.0])


def scaled(x):
    return x * RATE


class Settings:
    factor = 7.0

    def __init__(self, **values):
        self.__dict__.update(values)


class Slotted:
    __slots__ = ("scale",)

    def __init__(self, scale):
        self.scale = scale


class Mode(enum.Enum):
    A = 1
    B = 2


def agree(fn, *changes, args=(X,), compiled=None):
    """Compiled and plain results agree before and after each change, on three calls each; the last
    change is followed by all of them again, backwards where they say how."""
    f = sf.compile(fn) if compiled is None else compiled
    for change in (lambda: None, *changes):
        change()
        for _ in range(3):
            np.testing.assert_allclose(f(*args), fn(*args), rtol=1e-14)
    return f


def test_cells_globals_and_functions_redefined():
    k = 1.0

    def cell(x):
        return x * k

    def set_k(value):
        nonlocal k
        k = value

    f = agree(cell, lambda: set_k(3.0), lambda: set_k(-0.0), lambda: set_k(0.0), lambda: set_k(1.0))
    assert len(f._state.made) == 4  # 1.0 was found again
    source = "rate = 2.0\ndef helper(x): return x * rate\ndef f(x): return helper(x) + len(x)\n"
    module = types.ModuleType("notebook")
    exec(source, module.__dict__)
    f = agree(
        module.f,
        lambda: setattr(module, "rate", 5.0),
        lambda: exec("def helper(x): return x - rate", module.__dict__),
        lambda: module.__dict__.update({f"name{i}": i for i in range(500)}),
        lambda: setattr(module, "rate", 2.0),
        lambda: setattr(module, "len", lambda x: 100),
        lambda: delattr(module, "len"),
        lambda: exec("def helper(x): return x * rate", module.__dict__),
    )


def test_a_setting_of_every_type_is_seen():
    values = [1, True, 1.0, 2, np.float64(1.0), np.float32(1.0), -0.0, 0.0, float("nan")]
    box = [None]

    def f(x):
        v = box[0]
        return x * v + (10 if type(v) is bool else 0)

    compiled = sf.compile(f)
    for value in (*values, *values):
        box[0] = value
        np.testing.assert_array_equal(compiled(2.0), f(2.0))
        assert np.signbit(compiled(2.0)) == np.signbit(f(2.0)) or np.isnan(value)
    assert len(compiled._state.made) == len(values)


def test_containers_and_objects_are_seen():
    config = {"scale": 2.0, "nested": {"shift": [1.0, 2.0]}, "mode": Mode.A}
    flags = {"double"}
    settings, slotted = Settings(rate=1.5, other=0), Slotted(2.0)

    def f(x):
        y = x * config["scale"] + config["nested"]["shift"][1]
        y = y * 2 if "double" in flags else y
        y = y + 1 if config["mode"] is Mode.A else y
        return y * settings.rate + settings.factor + slotted.scale + getattr(settings, "rate")  # noqa: B009

    compiled = agree(
        f,
        lambda: config.update(scale=3.0),
        lambda: config["nested"]["shift"].__setitem__(1, -1.0),
        lambda: config["nested"].update(shift=(0.0, 5.0)),
        lambda: flags.clear(),
        lambda: config.update(mode=Mode.B),
        lambda: setattr(settings, "rate", 0.5),
        lambda: setattr(settings, "factor", 1.0),  # hides the one of the class
        lambda: delattr(settings, "factor"),
        lambda: setattr(Settings, "factor", 9.0),
        lambda: setattr(Settings, "factor", 7.0),
        lambda: setattr(slotted, "scale", -3.0),
    )
    count = len(compiled._state.made)
    settings.other, settings.new, Settings.unused = 5, 6, 7  # nothing that the function names
    agree(f, compiled=compiled)
    assert len(compiled._state.made) == count


def test_methods_partials_defaults_and_wrappers_are_seen():
    class Model:
        def __init__(self):
            self.scale = 2.0
            self.steps = []

        def inner(self, x):
            return x * self.scale

        def __call__(self, x):
            return self.inner(x) + 1.0

    model, other = Model(), [5.0]

    def with_default(x, shift=other, *, extra=other):
        return x + shift[0] + extra[0]

    def wrapped(fn):
        @functools.wraps(fn)
        def inner(*args):
            return fn(*args) * other[0]

        return inner

    bound, applied = model.inner, functools.partial(with_default, extra=[1.0])
    outer = wrapped(scaled)

    def f(x):
        return model(x) + bound(x) + applied(x) + with_default(x) + outer(x)

    compiled = agree(
        f,
        lambda: setattr(model, "scale", 3.0),
        lambda: other.__setitem__(0, 6.0),
        lambda: setattr(Model, "inner", lambda self, x: x - self.scale),
        lambda: applied.keywords["extra"].__setitem__(0, 4.0),
        lambda: setattr(with_default, "__defaults__", ([8.0],)),
    )
    count = len(compiled._state.made)
    model.steps.append(1)
    agree(f, compiled=compiled)
    assert len(compiled._state.made) == count
    agree(model.inner, lambda: setattr(model, "scale", 11.0))
    agree(model, lambda: setattr(model, "scale", 12.0))


@pytest.mark.parametrize(
    "derive",
    [sf.grad, sf.jacobian, sf.hessian, lambda f: sf.grad(sf.grad(f)),
     lambda f: lambda x: sf.value_and_grad(f)(x)[1],
     lambda f: lambda x: sf.vmap(f)(np.array([x, x]))[1],
     lambda f: lambda x: sf.jvp(f, (x,), (1.0,))[1],
     lambda f: lambda x: sf.vjp(f, x)[1](1.0)[0],
     lambda f: lambda x: sf.hvp(f, (x,), (1.0,)),
     lambda f: lambda x: sf.gradient(f, x)],
)  # fmt: skip
def test_a_derivative_does_not_keep_what_it_read_first(derive):
    setting = [1.0]

    def loss(x):
        return setting[0] * x**3

    derived, seen = derive(loss), []
    for setting[0] in (1.0, 10.0, 100.0, 10.0):
        seen.append([float(derived(2.0)) for _ in range(3)])
    first = seen[0][0]
    assert first in (12.0, 8.0)
    np.testing.assert_allclose(seen, first * np.outer([1, 10, 100, 10], np.ones(3)))


def test_an_array_rebound_is_seen():
    W = X.copy()
    g = sf.grad(lambda w: np.sum(w * W))
    for k in (1.0, 2.0, 3.0, 4.0):
        W = k * X
        np.testing.assert_array_equal(g(np.ones(3)), k * X)


def test_layers_and_optimisers_are_seen():
    model = sf.nn.Dense(3, 2, np.tanh, seed=0) >> sf.nn.Dense(2, 2, seed=1)
    first = model.layers[0]

    def set_training(value):
        model.training = value

    def f(x):
        y = model(x)
        return y if getattr(model, "training", True) else -y

    agree(
        f,
        lambda: setattr(first, "activation", np.sin),
        lambda: setattr(first, "W", sf.param(np.ones((2, 3)))),
        lambda: setattr(first, "b", None),
        lambda: setattr(first.W, "value", np.full((2, 3), 0.5)),
        lambda: set_training(False),
        lambda: setattr(model, "layers", model.layers[:1]),
    )
    for name, value in (("rate", 0.5), ("decay", 0.1)):
        w, optimizer = sf.param([1.0]), sf.optim.Momentum(0.1, 0.9)
        state = optimizer.init(w)
        step = sf.compile(lambda: optimizer.update(w, np.ones(1), state))  # noqa: B023
        v, velocity = 1.0, 0.0
        for i in range(4):
            if i == 2:
                setattr(optimizer, name, value)
            step()
            velocity = optimizer.decay * velocity + 1.0
            v -= optimizer.rate * velocity
            np.testing.assert_allclose(w.value, [v], rtol=1e-14)


@pytest.mark.quick(together=1)
@pytest.mark.parametrize(
    ("use", "first", "then"),
    [
        (lambda x, w: np.sum(x * w), [1.0, 2, 3], [5.0, 6, 7]),
        (lambda x, w: np.sum(x) * w[1], [1.0, 2, 3], [5.0, 6, 7]),
        (lambda x, w: x * (w / np.sum(w)), [1.0, 2, 3], [7.0, 6, 5]),
        (lambda x, w: x * w[::-1] + w[1], [1.0, 2, 3], [7.0, 6, 5]),
        (lambda x, w: np.sum(x[w]), [0, 2], [1, 1]),
        (lambda x, w: np.sum(x[w]), [True, False, True], [False, True, False]),
        (lambda x, w: np.sum(np.where(w, x, 0)), [True, False, True], [False, True, False]),
        (lambda x, w: np.sum(np.repeat(x, w)), [1, 0, 2], [0, 3, 0]),
        (lambda x, w: x * 2 if w[0] > 0 else x, [1.0, 0, 0], [-1.0, 0, 0]),
        (lambda x, w: sum(float(v) * x[i] for i, v in enumerate(w)), [1.0, 2, 3], [3.0, 2, 1]),
        (lambda x, w: x[: int(w.max())], [1, 2], [0, 3]),
        (lambda x, w: np.dot(w, w) * x, [1.0, 2, 3], [5.0, 6, 7]),
    ],
)
@pytest.mark.parametrize("where", ["cell", "list", "dict", "attribute", "default"])
def test_an_array_of_the_surroundings_is_read_as_it_is(use, first, then, where):
    array = np.array(first)
    held = {
        "cell": None, "list": [0, array], "dict": {"w": array}, "default": None,
        "attribute": Settings(w=array),
    }[where]  # fmt: skip
    read = {
        "cell": lambda x: use(x, array),
        "list": lambda x: use(x, held[1]),
        "dict": lambda x: use(x, held["w"]),
        "attribute": lambda x: use(x, held.w),
        "default": lambda x, w=array: use(x, w),
    }[where]

    def change(values):
        array[...] = values

    agree(read, lambda: change(then), lambda: change(first), lambda: change(then))


USES = (
    lambda x, w: x * w + w[1],
    lambda x, w: x * (w / np.sum(w)) + w.mean(),
    lambda x, w: x * w if w[0] > 3.0 else x,
    lambda x, w: x[w > 3.0] * float(w[2]),
    lambda x, w: x * np.sort(w) + np.linalg.norm(w),
    lambda x, w: x[: int(w[0])] * w[-1] + len(w) + w.size,
    lambda x, w: np.repeat(x[:5], w[:5].astype(int)),
    lambda x, w: x[w.astype(int)[::7]] * w[::-1].reshape(2, -1)[0, 0],
)


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("where", ["cell", "list", "dict", "object", "default", "method", "helper"])
def test_a_large_array_is_never_frozen(use, where):
    rng = np.random.default_rng(0)
    x, first, then = (rng.integers(1, 6, 600).astype(float) for _ in range(3))
    array = first.copy()
    held = {"list": [0, (array,)], "dict": {"w": array}, "object": Settings(w=array)}.get(where)

    class Model:
        def __init__(self):
            self.w = array

        def read(self, x):
            return use(x, self.w)

    def helper():
        return array

    read = {
        "cell": lambda x: use(x, array),
        "list": lambda x: use(x, held[1][0]),
        "dict": lambda x: use(x, held["w"]),
        "object": lambda x: use(x, held.w),
        "default": lambda x, w=array: use(x, w),
        "method": Model().read,
        "helper": lambda x: use(x, helper()),
    }[where]

    def change(values):
        array[...] = values

    agree(read, lambda: change(then), lambda: change(first), args=(x,))


def test_an_array_that_changes_at_each_call_is_compiled_twice_at_most():
    w = np.array([1.0, 2.0, 4.0])
    f, g = sf.compile(lambda x: np.sum(x * w) + w[1]), sf.grad(lambda x: np.sum(x * w) * w[0])
    for _ in range(20):
        w += 1.0
        np.testing.assert_allclose(f(X), np.sum(X * w) + w[1])
        np.testing.assert_allclose(g(X), w * w[0])
    assert len(f._state.made) == 2 and len(g._compiled._state.made) == 2


def test_a_function_that_is_lifted_assigns_to_its_own_variables():
    w, count, log = np.ones(600), 0, Settings(last=0, w=np.ones(600))

    def f(x):
        nonlocal count
        count += 1
        log.last = count
        return np.sum(x * w * log.w) + w[1]

    compiled = sf.compile(f)
    assert compiled(2.0) == compiled(2.0) == 1201.0
    assert (count, log.last) == (1, 1)
    w[1] = 5.0
    assert compiled(2.0) == 1213.0


RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    "fn",
    [lambda x: x + np.random.normal(size=3), lambda x: x * random.random(),
     lambda x: x * random.uniform(0, 1), lambda x: x * time.time(), lambda x: x + RNG.normal(),
     lambda x: x * time.perf_counter(), lambda x: x + np.random.rand(3),
     lambda x: x + np.random.default_rng().normal(),
     lambda x: x * datetime.datetime.now().timestamp()],
)  # fmt: skip
def test_random_numbers_and_clocks_are_not_frozen(fn):
    with pytest.raises(TraceError, match="every call would see this one value"):
        sf.compile(fn)(X)
    derived = sf.grad(lambda x: np.sum(fn(x) * x))
    with pytest.raises(TraceError, match="instead of"):
        derived(X), derived(X)


def test_seeded_random_numbers_are_constants():
    agree(lambda x: x + np.random.default_rng(7).normal(size=3))
    agree(lambda x: x + random.Random(7).gauss(0.0, 1.0) * (0 if time is None else 1))


class Table:
    """A table as pandas has it: its own sum, and a conversion to a plain array."""

    def __init__(self, rows):
        self.rows = np.asarray(rows)

    def __array__(self, dtype=None, copy=None):
        return self.rows

    def to_numpy(self):
        return self.rows

    def sum(self):
        return self.rows.sum(axis=0)


MASKED = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])


class Quantity(np.ndarray):
    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return NotImplemented


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize(
    ("fn", "x"),
    [(lambda x: x * MASKED, X), (lambda x: np.where(x > 0, MASKED, x), X),
     (lambda t: t.sum(), MASKED),
     (lambda x: np.stack([x, MASKED]), X), (lambda x: x * [MASKED], X),
     (lambda x: x[np.ma.masked_array([0, 1], [False, True])], X),
     (lambda x: x @ np.matrix(np.eye(3)), X), (lambda t: t.sum(), Table([[1.0, 2.0], [2.0, 1.0]])),
     (lambda x: x * sf.param(MASKED), X), (lambda x: x + np.ones(3).view(Quantity), X)],
)  # fmt: skip
def test_arrays_with_rules_of_their_own_are_refused(fn, x):
    for run in (sf.compile(fn), sf.grad(lambda x: np.sum(fn(x)))):
        with pytest.raises(sf.SymFluxError, match="rules of its own"):
            run(x)


def test_arrays_of_other_classes_without_rules_are_taken():
    class Tagged(np.ndarray):
        pass

    tagged = X.view(Tagged)
    agree(lambda x: x * tagged + float(np.sum(MASKED)))


def test_arrays_in_a_list_used_as_one():
    rows = [np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0])]
    agree(lambda x: x * rows, lambda: rows[0].__setitem__(..., 7.0), lambda: rows[1].fill(2.0))


def test_side_effects_of_a_trace_do_not_trace_again():
    traces, count = [], 0

    def f(x):
        nonlocal count
        count += 1
        traces.append(count)
        return x * 2

    compiled = sf.compile(f)
    for _ in range(3):
        assert compiled(3.0) == 6.0
        compiled(X)
    assert traces == [1, 2]


def test_many_settings_come_and_go_with_threads_running():
    import threading

    setting = [1.0]
    f = sf.compile(lambda x: x * setting[0])
    wrong = []

    def run():
        for _ in range(300):
            if f(1.0) not in (1.0, 2.0, 3.0):
                wrong.append(1)

    workers = [threading.Thread(target=run) for _ in range(2)]
    for worker in workers:
        worker.start()
    for k in range(300):
        setting[0] = float(k % 3 + 1)
        assert f(1.0) == setting[0]
    for worker in workers:
        worker.join()
    assert not wrong and len(f._state.made) == 3


def test_places_that_do_not_hold_what_python_says_are_refused():
    words = Words()
    assert not words.cell((lambda: words).__closure__[0], 1.0)
    variables = {"a": 1.0, 2: "b"}
    assert words.all_entries(variables) and words.entry(variables, "c", MISSING)
    words.publish()
    assert words.hold()
    variables["c"] = 1
    assert not words.hold()
    assert not words.entry({}, "a", 1.0)


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("few", [0, 4, 16, 40])
def test_words_are_compared_in_a_row_or_in_a_loop(few):
    """However many there are, and when there are others than the code was written for."""
    settings = {"a": 2.0, "b": [3.0, 4.0]}
    rate = 5.0

    def f(x):
        return x * settings["a"] + sum(settings["b"]) * rate

    with lowered(watched_in_line=few):
        g = sf.compile(f)
        for _ in range(2):
            assert g(1.0) == f(1.0)
    for change in (
        lambda: settings.update(a=7.0),
        lambda: settings["b"].append(1.0),
        lambda: settings.update({str(i): i for i in range(30)}),  # another table
        lambda: settings["b"].__setitem__(1, -1.0),
        lambda: settings.update(a=2.0),
        lambda: f.__setattr__("__defaults__", (3.0,)),
    ):
        change()
        for _ in range(3):
            assert g(1.0) == f(1.0)
    rate = 6.0
    assert g(1.0) == f(1.0)
    assert ("@memcmp" in str(g.llvm_ir)) == (few < len(g._state.last.words._pairs))


def test_source_of_a_function_without_surroundings_has_no_words():
    assert "%watch.pairs" not in str(sf.compile(lambda x: x * x).lower(1.0).llvm_ir)
    assert "%watch.pairs" in str(sf.compile(scaled).lower(1.0).llvm_ir)


def test_code_of_old_settings_is_freed_and_never_while_it_runs(monkeypatch):
    import weakref

    from symflux.runtime import kept as module

    LIMIT = 5
    monkeypatch.setattr(module, "LIMIT", LIMIT)
    setting, w = [0.0], np.arange(300.0)
    f = sf.compile(lambda x: x * setting[0] + w[2] * 0)
    entries = []
    for k in range(LIMIT + 3):
        setting[0] = float(k)
        assert f(2.0) == 2.0 * k
        entries.append(weakref.ref(f._state.last.entry))
    assert len(f._state.made) == LIMIT
    assert [e() is not None for e in entries] == [False] * 3 + [True] * LIMIT
    checked = []

    class Key:
        """A static argument: what machine code does not know is looked up by its fallback."""

        def __hash__(self):
            if self is other and not checked:
                checked.append(1)
                for k in range(1000, 1000 + LIMIT + 5):
                    setting[0] = float(k)
                    assert g(2.0, first) == 2.0 * k
                kept = g._state.made.all()
                assert inside.retired and inside in kept and len(kept) == LIMIT + 1
            return 1

        def __eq__(self, other):
            return self is other

    first, other = Key(), Key()
    g = sf.compile(lambda x, key: x * setting[0] + w[2] * 0, static_argnums=(1,))
    assert g(2.0, first) == g(2.0, first) == 2.0 * setting[0]
    inside = g._state.last
    assert g(2.0, other) == 2.0 * setting[0]  # begins in the code of ``inside``
    assert checked
    setting[0] = -1.0
    assert g(2.0, first) == g(2.0, other) == -2.0
    assert inside not in g._state.made.all() and len(g._state.made) == LIMIT + 2
    assert g._state.recorder.needed.keys() | g._state.recorder.changing.keys() <= {id(w)}


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("count", [1, 11, 12, 13, 16, 17, 31, 32, 33, 100])
@pytest.mark.parametrize("long_list", [0, 12])
def test_any_item_of_a_list_is_seen_to_change(count, long_list):
    with lowered(long_list=long_list):
        any_item_is_seen_to_change(count)


def any_item_is_seen_to_change(count):
    steps = [("add", float(i)) for i in range(count)]

    def f(x):
        for i, (name, k) in enumerate(steps):
            x = x + (i + 1) * k if name == "add" else x
        return x

    def change(i, step):
        steps[i] = step

    places = sorted({0, count // 2, count - 1})
    swaps = [lambda i=i: change(i, ("add", -7.0)) for i in places]
    agree(
        f, *swaps, lambda: change(0, ("none", 0.0)), lambda: steps.append(("add", 9.0)), args=(2.0,)
    )
    words, numbers = Words(), [object() for _ in range(count)]
    assert words.items(numbers, list(numbers))
    words.publish()
    assert words.hold()
    for i in range(count):
        before, numbers[i] = numbers[i], object()
        assert not words.hold()
        numbers[i] = before
    assert words.hold()


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("size", [3, 600])
@pytest.mark.parametrize("where", ["cell", "list", "dict", "attribute", "two", "shared"])
def test_an_array_rebound_at_each_call_does_not_compile_again(size, where):
    batch = other = np.arange(float(size))
    held, named, model = [batch, 1.0], {"w": batch}, Settings(w=batch)
    step = {
        "cell": lambda x: np.sum(x * batch) + batch[1] / np.mean(batch),
        "list": lambda x: np.sum(x * held[0]) + held[0][1] * held[1],
        "dict": lambda x: x * named["w"][::-1] + named["w"][1],
        "attribute": lambda x: np.sum(x * model.w) + model.w[1],
        "two": lambda x: x * batch - other[::-1] * batch[1],
        "shared": lambda x: x * batch - other[::-1] * batch[1],
    }[where]
    x, f = np.linspace(1.0, 2.0, size), sf.compile(step)
    g, made = sf.compile(sf.grad(lambda x: np.sum(step(x) ** 2))), []
    rng = np.random.default_rng(0)
    for turn in range(12):
        batch = rng.normal(size=size)
        other = batch if where == "shared" else rng.normal(size=size)
        held[0] = named["w"] = model.w = batch
        for _ in range(2):
            np.testing.assert_allclose(f(x), step(x), rtol=1e-12)
            np.testing.assert_allclose(f(x=x), step(x), rtol=1e-12)
        if turn > 8:  # arrays for the results are taken by code of their own
            out = np.empty(np.shape(step(x)))
            f(x, out=out), f(x, out=out)
            np.testing.assert_allclose(out, step(x), rtol=1e-12)
        batch[1] += 1.0
        np.testing.assert_allclose(f(x), step(x), rtol=1e-12)
        g(x)
        made.append((len(f._state.made), len(g._state.made)))
    assert made[4] == made[-1] and made[-1][0] <= 2 * 3  # two kinds of calls


def test_arrays_rebound_with_other_types_and_layouts():
    w, x = np.arange(600.0), np.ones(600)
    f = sf.compile(lambda x: x * w + w[1])
    for v in (
        np.ones(600), np.ones(1200)[::2], np.arange(600), np.ones(600, np.float32),
        np.frombuffer(bytes(range(200)) * 25, np.uint8)[1:4801].view(">f8"), np.arange(600.0) + 1,
        np.zeros(4801, np.uint8)[1:].view(float), np.arange(600.0) + 2, w,
    ):  # fmt: skip
        for _ in range(2):
            with np.errstate(all="ignore"):
                w = v
                np.testing.assert_allclose(f(x), x * w + w[1], rtol=1e-6)


class Setting:
    """An object that is itself only."""

    def __init__(self, rate):
        self.rate = rate


@dataclasses.dataclass(unsafe_hash=True)
class Equal:
    """One that is equal to others that hold the same."""

    rate: float


@dataclasses.dataclass(frozen=True)
class Holding:
    rates: list

    def __hash__(self):
        return 1


RATES = [2.0]


def scaled_by_global(x):
    return x * RATES[0]


@pytest.mark.parametrize(
    ("made", "change", "read"),
    [
        (Setting(2.0), lambda s: setattr(s, "rate", 3.0), lambda s: s.rate),
        (Equal(2.0), lambda s: setattr(s, "rate", 3.0), lambda s: s.rate),
        (Holding([2.0]), lambda s: s.rates.__setitem__(0, 3.0), lambda s: s.rates[0]),
        (Setting(np.full(2, 2.0)), lambda s: s.rate.fill(3.0), lambda s: s.rate[1]),
        (scaled_by_global, lambda s: RATES.__setitem__(0, 3.0), lambda s: s(1.0)),
    ],
)
def test_changes_of_static_arguments_are_seen(made, change, read):
    f = sf.compile(lambda x, s: x * read(s), static_argnames="s")
    for x in (1.0, 2.0, 3.0):
        assert f(x, made) == 2.0 * x
    change(made)
    for x in (1.0, 2.0, 3.0):
        assert f(x, made) == 3.0 * x


def test_equal_static_arguments_share_code():
    traces = []

    def f(x, s):
        traces.append(s)
        return x * s.rate

    f = sf.compile(f, static_argnums=1)
    for _ in range(3):
        assert f(1.0, Equal(2.0)) == 2.0
    assert len(traces) == 1
    one, other = Setting(2.0), Setting(2.0)
    assert f(1.0, one) == f(1.0, other) == f(1.0, one) == 2.0
    assert len(traces) == 3


def test_a_param_whose_value_is_replaced_is_read_by_the_code_that_is_there():
    traces = []
    w = sf.param(np.ones(2))

    @sf.compile
    def f(x):
        traces.append(1)
        return x * w

    @sf.compile
    def step(x):
        sf.update(w, x)

    for k in range(4):
        w.value = np.full(2, float(k))
        for _ in range(2):
            np.testing.assert_array_equal(f(2.0), [2.0 * k] * 2)
        step(np.ones(2))
        step(np.ones(2))
        np.testing.assert_array_equal(w.value, [k + 2.0] * 2)
        np.testing.assert_array_equal(f(1.0), [k + 2.0] * 2)
    assert len(traces) == 1
    w.value = np.arange(3.0)
    np.testing.assert_array_equal(f(2.0), [0.0, 2.0, 4.0])
    w.value = np.arange(6.0)[::3]
    np.testing.assert_array_equal(f(2.0), [0.0, 6.0])


class Plain:
    pass


def holders():
    """Containers of Python's own library: how a number in them is read, and how it is set."""
    numbers, source = np.array([2.0]), {"k": 2.0}
    variable, local = contextvars.ContextVar("variable"), threading.local()
    variable.set(2.0)
    local.k = 2.0
    module = types.ModuleType("settings")
    module.k = 2.0

    def attribute(v):
        return v, lambda: v.k, lambda k: setattr(v, "k", k)

    def item(v, key, write=None):
        return v, lambda: v[key], lambda k: (v if write is None else write).__setitem__(key, k)

    class Record(ctypes.Structure):
        _fields_ = (("k", ctypes.c_double),)

    number = ctypes.c_double(2.0)
    return {
        "SimpleNamespace": attribute(types.SimpleNamespace(k=2.0)),
        "argparse": attribute(argparse.Namespace(k=2.0)),
        "local": attribute(local),
        "module": attribute(module),
        "structure": attribute(Record(2.0)),
        "c_double": (number, lambda: number.value, lambda k: setattr(number, "value", k)),
        "c_array": item((ctypes.c_double * 2)(2.0, 1.0), 0),
        "UserDict": item(collections.UserDict(k=2.0), "k"),
        "ChainMap": item(collections.ChainMap({"k": 2.0}), "k"),
        "OrderedDict": item(collections.OrderedDict(k=2.0), "k"),
        "defaultdict": item(collections.defaultdict(float, k=2.0), "k"),
        "Counter": item(collections.Counter(k=2), "k"),
        "proxy": item(types.MappingProxyType(source), "k", source),
        "deque": item(collections.deque([2.0]), 0),
        "UserList": item(collections.UserList([2.0]), 0),
        "array": item(array.array("d", [2.0]), 0),
        "memoryview": item(memoryview(numbers), 0),
        "context": (variable, lambda: variable.get(), lambda k: variable.set(k)),
        "environ": (
            os.environ,
            lambda: float(os.environ["TESTED_NUMBER"]),
            lambda k: os.environ.__setitem__("TESTED_NUMBER", str(k)),
        ),
    }


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("kind", holders())
def test_containers_of_the_standard_library_are_compared(kind, monkeypatch):
    monkeypatch.setenv("TESTED_NUMBER", "2.0")  # whatever is set is taken back
    _, read, write = holders()[kind]
    f, slope = sf.compile(lambda x: x * read()), sf.grad(lambda x: x * read())
    for k in (2.0, 5.0, 7.0, 5.0):
        write(k)
        assert f(3.0) == f(3.0) == 3.0 * k
        assert slope(3.0) == k


@pytest.mark.parametrize(
    "read",
    [lambda v: getattr(v, "k", 0.0), lambda v: v.k if hasattr(v, "k") else 0.0,
     lambda v: v.__dict__.get("k", 0.0), lambda v: vars(v).get("k", 0.0)],
)  # fmt: skip
@pytest.mark.parametrize("make", [Plain, types.SimpleNamespace])
def test_attributes_that_come_later_are_seen(read, make):
    held = make()
    f = sf.compile(lambda x: x + read(held))
    assert f(1.0) == f(1.0) == 1.0
    held.k = 5.0
    assert f(1.0) == f(1.0) == 6.0
    del held.k
    assert f(1.0) == f(1.0) == 1.0


@pytest.mark.parametrize("kind", ["partial", "dict", "list", "object"])
def test_empty_containers_are_compared_natively(kind):
    held = {"partial": functools.partial(np.power, 2.0), "dict": {}, "list": [],
            "object": types.SimpleNamespace()}[kind]  # fmt: skip
    fns = {
        "partial": lambda x: held(x), "dict": lambda x: x + sum(held.values()),
        "list": lambda x: x + len(held), "object": lambda x: x + getattr(held, "k", 0.0),
    }  # fmt: skip
    f = sf.compile(fns[kind])
    assert f(3.0) == f(3.0) == fns[kind](3.0)
    assert f._state.last.direct
    if kind == "partial":
        return
    for k in (1.5, 2.5):
        if kind == "dict":
            held["k"] = k
        elif kind == "list":
            held.append(k)
        else:
            held.k = k
        assert f(3.0) == f(3.0) == fns[kind](3.0)
