"""State of the surroundings that a function changes while it is traced: harmless, or refused."""

import collections
import sys
import types

import mpmath
import numpy as np
import pytest

import symflux as sf
from symflux.errors import TraceError

NUMBER, STEP = 0, 0
X = np.array([1.0, 2.0, 3.0])


def counted(x):
    global NUMBER
    NUMBER += 1
    return x * NUMBER


def in_another(x):
    def count():
        global STEP
        STEP += 1

    count()
    return x * 2 if STEP % 10 == 0 else x


class Counter:
    made = 0

    def __init__(self):
        self.calls, self.hidden, self.pair, self.rate = 0, None, (0, 1.0), 0.5

    def used(self, x):
        self.calls += 1
        return x * self.calls

    def every_tenth(self, x):
        self.calls += 1
        return 2.0 * x if self.calls % 10 == 0 else x

    def as_an_index(self, x):
        self.calls += 1
        return x * [1.0, 1.0, 1.0, 5.0][self.calls]

    def paired(self, x):
        self.pair = (self.pair[0] + 1, 1.0)
        return x + self.pair[0]

    def recurrent(self, x):
        self.hidden = x if self.hidden is None else 0.5 * self.hidden + x
        return self.hidden

    @classmethod
    def of_class(cls, x):
        cls.made += 1
        return x * cls.made


class Slotted:
    __slots__ = ("calls", "rate")

    def __init__(self):
        self.calls, self.rate = 0, 2.0

    def used(self, x):
        self.calls += 1
        return x * self.calls


def depending():
    """Functions whose results depend on what they change; what the error names."""
    n, flag = 0, False
    counts, ones, queue = {"n": 0}, [1.0, 1.0, 2.0], collections.deque([1.0, 1.0, 2.0])
    tally, lists, held = collections.Counter(), collections.defaultdict(list), {1.0, 2.0, 4.0}
    cache, raw, space = {}, bytearray(b"\1\2"), types.SimpleNamespace(n=0)

    def cell(x):
        nonlocal n
        n += 1
        return x + n

    def toggled(x):
        nonlocal flag
        flag = not flag
        return x if flag else -x

    def entry(x):
        counts["n"] += 1
        return x * counts["n"]

    def kept(x):
        if "x" not in cache:
            cache["x"] = 2.0 * x
        return x + cache["x"]

    def rotated(x):
        queue.rotate(1)
        return x * queue[0]

    def grown(x):
        lists["a"].append(1.0)
        return x * len(lists["a"])

    def tallied(x):
        tally["a"] += 1
        return x * tally["a"]

    def byte(x):
        raw[0] += 1
        return x * raw[0]

    def attribute(x):
        space.n += 1
        return x * space.n

    def local(x):
        yield_ = ones.pop(0)
        return x * yield_

    return {
        "n": cell, "flag": toggled, "counts": entry, "cache": kept, "queue": rotated,
        "lists": grown, "tally": tallied, "raw": byte, "n ": attribute, "ones": local,
        "queue ": lambda x: x * queue.popleft(), "held": lambda x: x * held.pop(),
        "cache ": lambda x: x * cache.setdefault(len(cache), 1.0) * len(cache),
        "calls": Counter().used, "calls ": Counter().every_tenth, "calls  ": Slotted().used,
        "calls   ": Counter().as_an_index, "pair": Counter().paired, "made": Counter.of_class,
        "hidden": Counter().recurrent, "NUMBER": counted, "STEP": in_another,
    }  # fmt: skip


@pytest.mark.parametrize("name", depending())
def test_a_result_that_depends_on_what_the_function_changes_is_refused(name):
    f = sf.compile(depending()[name])
    with pytest.raises(TraceError, match=f"changes `{name.strip()}` while it is traced") as found:
        f(X)
    assert "test_changing.py:" in str(found.value) and "sf.param" in str(found.value)


def test_the_cure_of_the_error_counts_calls():
    calls = sf.param(0.0)

    @sf.compile
    def f(x):
        sf.update(calls, 1.0)
        return x * calls

    assert [f(2.0) for _ in range(3)] == [2.0, 4.0, 6.0]


def test_a_counter_that_another_module_holds_does_not_trace_for_ever(monkeypatch):
    module = types.ModuleType("counts")
    module.__file__, module.n = "counts.py", 0
    monkeypatch.setitem(sys.modules, "counts", module)

    def used(x):
        module.n += 1
        return x * module.n

    def unused(x):
        module.n += 1
        return x * 2.0

    with pytest.raises(TraceError, match="changes `n`"):
        sf.compile(used)(X)
    f = sf.compile(unused)
    assert f(1.0) == f(1.0) == 2.0


class Model:
    """What layers do: they count, log, and make things at the first call."""

    def __init__(self):
        self.calls, self.log, self.stats, self.net = 0, [], {"n": 0, "rate": 0.5}, None
        self.weights, self.large, self.built = np.ones(3), np.ones(600), False

    def __call__(self, x):
        self.calls += 1
        self.log.append(f"call {self.calls}")
        self.stats["n"] += 1
        self.last = x
        if not self.built:
            self.net, self.built = {"scale": 2.0}, True
        return np.sum(x * self.weights * self.large[0]) * self.stats["rate"] * self.net["scale"]


def test_changes_that_results_do_not_depend_on_happen_once_and_hide_nothing():
    m = Model()
    f = sf.compile(m)
    assert f(X) == f(X) == 6.0
    assert (m.calls, m.log, m.stats["n"]) == (1, ["call 1"], 1)
    changes = [
        (lambda: m.stats.update(rate=1.0), 12.0),  # beside a number that changes
        (lambda: m.net.update(scale=4.0), 24.0),  # in what was made at the first call
        (lambda: setattr(m, "net", {"scale": 1.0}), 6.0),
        (lambda: m.weights.fill(2.0), 12.0),
        (lambda: m.large.fill(0.5), 6.0),
    ]
    for change, right in changes:
        change()
        assert f(X) == f(X) == right
    assert f(X[:1] * np.ones((2, 3))) == 6.0


@pytest.mark.parametrize("kind", [Slotted, type("Derived", (Slotted,), {})])
def test_slots_that_change_do_not_hide_others(kind):
    s = kind()

    def f(x):
        s.calls += 1
        return x * s.rate

    f = sf.compile(f)
    assert f(1.0) == 2.0 and s.calls == 1
    s.rate = 3.0
    assert f(1.0) == 3.0


def test_counters_in_functions_that_are_derived_or_looped_over_are_harmless():
    n, shown = 0, []

    def square(x):
        nonlocal n
        n += 1
        shown.append(f"{n}: {np.float64(2.0) * n!r}, {n:03d}")
        return x * x

    def f(x):
        y = sf.grad(square)(x) + sf.grad(sf.grad(square))(x) + sf.vmap(square)(x * np.ones(3))[0]
        return sf.fori_loop(0, 3, lambda i, c: square(c), y) + square(x)

    assert sf.compile(f)(1.0) == 5.0**8 + 1.0
    assert len(shown) == n


def test_uses_that_the_function_catches_are_seen():
    n = 0

    def f(x):
        nonlocal n
        n += 1
        try:
            return x * n
        except Exception:
            return x

    with pytest.raises(TraceError, match="changes `n`"):
        sf.compile(f)(X)


def test_another_signature_that_reads_what_the_first_one_changed_is_refused():
    n = 0

    def f(x):
        nonlocal n
        if x.ndim:
            return x * n
        n += 1
        return x

    compiled = sf.compile(f)
    assert compiled(np.asarray(2.0)) == 2.0
    for _ in range(2):
        with pytest.raises(TraceError, match="changes `n` while"):
            compiled(X)


def test_memos_by_shape_are_filled_when_they_are_traced():
    memo = {}

    def table(shape):
        if shape not in memo:
            memo[shape] = np.arange(3.0)
        return memo[shape]

    f = sf.compile(lambda x: x * table(x.shape)[1])
    assert f(np.asarray(2.0)) == 2.0 and np.all(f(X) == X)
    memo[(3,)][1] = 5.0
    assert np.all(f(X) == 5.0 * X)


def test_a_property_in_the_place_of_a_slot_is_computed_not_held():
    """mpmath's constants make a new tuple at each reading, and have no place to put one back."""
    f = sf.compile(lambda x: x * float(mpmath.pi))
    assert f(2.0) == f(2.0) == 2 * np.pi
