"""Calls that go straight to machine code, and the pointer that takes them there."""

import functools
import gc
import sys
import weakref

import numpy as np
import pytest
from symflux.codegen.llvm.capi import HEAD, entry_address
from symflux.codegen.llvm.vectorcall import Pointed, direct, point

import symflux as sf
from symflux.runtime.function import CompiledFunction

#: Py_TPFLAGS_HAVE_VECTORCALL
VECTORCALL = 1 << 11


def double(x):
    return 2.0 * x


def through_python(f, monkeypatch):
    calls = []
    call = f._state.call
    monkeypatch.setattr(f._state, "call", lambda *a, **k: calls.append(1) or call(*a, **k))
    return calls


def test_the_class_says_that_its_objects_have_a_pointer():
    assert CompiledFunction.__flags__ & VECTORCALL
    assert issubclass(CompiledFunction, Pointed) and Pointed.__basicsize__ == HEAD + 8


def test_calls_of_every_form_agree(monkeypatch):
    f = sf.compile(double)
    x = np.arange(3.0)
    f(x)
    calls = through_python(f, monkeypatch)
    for call in (f, f.__call__, functools.partial(f), lambda a: f(*[a]), lambda a: f(*[a], **{})):
        assert np.array_equal(call(x), 2.0 * x)
    assert [list(y) for y in map(f, [x, x + 1])] == [[0, 2, 4], [2, 4, 6]]
    assert not calls
    assert np.array_equal(f(x=x), 2.0 * x)
    assert calls


def test_a_callable_without_a_pointer_is_called_by_its_python_method():
    @direct
    class Adder(Pointed):
        __slots__ = ("__call__",)

    adder = Adder()
    with pytest.raises(AttributeError):
        adder(1)
    adder.__call__ = lambda a, b=2: a + b
    assert (adder(1), adder(1, b=5)) == (3, 6)


def test_a_pointer_can_be_taken_back():
    f = sf.compile(double)
    f(1.0)
    address = entry_address(f.__call__)
    assert address and entry_address(len) == 0 and entry_address(double) == 0
    point(f, 0)
    assert f(2.0) == 4.0
    point(f, address)
    assert f(2.0) == 4.0


def test_signatures_take_turns():
    f = sf.compile(double)
    kept = [1.0, np.ones(2), np.ones((2, 2), "f4"), np.ones(5)]
    for _ in range(3):
        for x in kept:
            assert np.array_equal(f(x), 2.0 * x)
            assert np.array_equal(f(x), 2.0 * x)


def test_entries_that_are_replaced_during_their_own_call_stay_until_it_ends():
    f = sf.compile(double)
    x, out = np.ones(4), np.empty(4)
    for n in (4, 5, 4, 6):
        x, out = np.full(n, 3.0), np.empty(n)
        f(x)
        assert f(x, out=out) is out
        assert list(out) == [6.0] * n


def test_nothing_is_kept_and_references_are_balanced():
    f = sf.compile(double)
    x, out = np.ones(4), np.empty(4)
    f(x), f(x, out=out)
    before = sys.getrefcount(x), sys.getrefcount(out), sys.getrefcount(f)
    for _ in range(1000):
        f(x), f(x, out=out)
    assert before == (sys.getrefcount(x), sys.getrefcount(out), sys.getrefcount(f))
    gone = weakref.ref(f)
    del f
    gc.collect()
    assert gone() is None


def test_a_function_in_a_cycle_is_collected():
    def make():
        cycle = []
        f = sf.compile(lambda x: 2.0 * x + len(cycle))
        cycle.append(f)
        f(1.0), f(1.0)
        return weakref.ref(f)

    gone = make()
    gc.collect()
    assert gone() is None


def test_making_a_function_a_second_time_is_refused():
    """Its code went while calls still led there."""
    f = sf.compile(double)
    assert f(1.0) == 2.0 and f(1.0) == 2.0
    with pytest.raises(TypeError, match="makes another one"):
        f.__init__(lambda x: 3.0 * x, f._state.options)
    gc.collect()
    assert f(1.0) == 2.0
