"""Ctrl-C ends long native runs, at once, and leaves the process as it was."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import symflux as sf
from symflux.thresholds import lowered

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals to itself")


def endless(condition, body):
    return lambda start: sf.while_loop(condition, body, start)


RUNS = {
    "while, a number": (endless(lambda s: s > 0, lambda s: s * 0.5 + 1), lambda: 1.0),
    "while, an array": (
        endless(lambda s: np.sum(s) > 0, lambda s: s * 0.5 + 1),
        lambda: np.ones(50_000),
    ),
    "in each row": (
        sf.vmap(endless(lambda s: np.sum(s) > 0, lambda s: s * 0.5 + 1)),
        lambda: np.ones((300, 10)),
    ),
    "known number of steps": (
        lambda x: sf.fori_loop(0, 10**11, lambda i, s: s * 0.5 + 1, x),
        lambda: 1.0,
    ),
    "steps over an array": (
        lambda x: sf.fori_loop(0, 10**9, lambda i, s: np.sin(s) + 1, x),
        lambda: np.ones(3000),
    ),
    "pairs": (
        lambda x: np.sum(np.exp(np.sin(x[:, None] * x[None, :])), 1),
        lambda: np.linspace(0, 1, 300_000),
    ),
    "product": (lambda x: x.T @ x, lambda: np.ones((3000, 12_000), "f4")),
}


def interrupt(call, after=0.2):
    """Seconds from a signal, sent some time after the call began, to the KeyboardInterrupt."""
    sent = []

    def send():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(after, send)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            call()
    finally:
        timer.join()
    return time.perf_counter() - sent[0]


CASES = [(name, 1) for name in RUNS] + [(name, 2) for name in ("in each row", "pairs", "product")]


@pytest.mark.parametrize(("name", "count"), CASES)
def test_endless_runs_are_interrupted(threads_as_before, name, count):
    sf.set_threads(count)
    fn, make = RUNS[name]
    start = make()
    compiled = sf.compile(fn)
    interrupt(lambda: compiled(start), after=0.7)  # compiles first
    assert interrupt(lambda: compiled(start), after=0.15) < 0.5
    assert float(sf.compile(lambda x: np.sum(x * 2))(np.ones(100_000))) == 200_000.0


def test_what_can_be_answered_is_answered_after_an_interrupt():
    half = sf.compile(endless(lambda s: s > 0, lambda s: s - 1))
    assert half(5.0) == 0.0
    interrupt(lambda: half(np.inf))
    assert half(5.0) == 0.0


def test_handlers_of_signals_run_meanwhile():
    """A handler that does not raise lets the run go on; it may call compiled functions itself."""
    seen = []
    double = sf.compile(lambda x: x * 2)
    slow = sf.compile(lambda x: sf.fori_loop(0, 3000, lambda i, s: np.sin(s) + 1, x))
    x = np.linspace(0, 1, 20_000)
    wanted = slow(x)
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(double(21.0)))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.06)
        found = slow(x)
        during = list(seen)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert during and set(during) == {42.0}
    np.testing.assert_array_equal(found, wanted)


def test_other_threads_run_while_a_run_holds_the_lock():
    """An open loop of little work holds the global lock, and gives it up now and then."""
    steps = sf.compile(endless(lambda s: s > 0, lambda s: s - 1))
    steps(3.0)
    counted = []

    def count():
        while not done.is_set():
            counted.append(1)
            time.sleep(0.01)

    done = threading.Event()
    thread = threading.Thread(target=count)
    thread.start()
    before = len(counted)
    interrupt(lambda: steps(np.inf), after=0.5)
    done.set()
    thread.join()
    assert len(counted) > before + 3


def test_short_programs_do_not_ask():
    for fn, x in (
        (lambda x: np.sum(np.sin(x)), np.ones(1000)),
        (lambda x: sf.fori_loop(0, 100, lambda i, s: s * 0.5, x), 1.0),
    ):
        assert "symflux_poll" not in sf.compile(fn).lower(x).llvm_ir


@pytest.mark.parametrize("count", [1, 2])
def test_programs_that_ask_all_the_time_mean_the_same(threads_as_before, count):
    x = np.linspace(-1, 1, 60)
    a = np.outer(x, x + 2) + np.eye(60)
    programs = [
        lambda: sf.compile(lambda x: sf.fori_loop(0, 7, lambda i, s: np.sin(s) + s[::-1], x))(x),
        lambda: sf.compile(lambda a: np.tanh(a @ a) @ a)(a),
        lambda: sf.compile(endless(lambda s: np.max(s) < 9, lambda s: s * 1.5 + 0.1))(x),
        lambda: sf.compile(sf.vmap(endless(lambda s: s < 9, lambda s: s * 1.5 + 0.1)))(x + 1.01),
        lambda: sf.compile(sf.grad(lambda a: np.sum(np.exp(np.cumsum(a, 1) * 0.01) @ a)))(a),
    ]
    sf.set_threads(count)
    wanted = [program() for program in programs]
    often = {"ask_from": 1, "ask_every": 1, "thread_from": 1, "share_from": 0.0}
    with lowered(**often):
        for program, value in zip(programs, wanted, strict=True):
            np.testing.assert_allclose(program(), value, rtol=1e-12)
