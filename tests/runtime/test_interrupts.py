"""Ctrl-C ends long native runs, at once, and leaves the process as it was."""

import functools
import gc
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

import symflux as sf
from symflux.thresholds import lowered

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals to itself")


@pytest.fixture(autouse=True)
def _python_handles_interrupts():
    """A process that was started in the background ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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
        lambda: np.linspace(0, 1, 10**6),
    ),
    "product": (lambda x: x.T @ x, lambda: np.ones((6000, 12_000), "f4")),
}


def _in_native_code():
    """Wait until the main thread stays at one call, of no function that is written in Python."""
    main, place, times = threading.main_thread().ident, None, 0
    while times < 5:
        time.sleep(0.02)
        frame = sys._current_frames()[main]
        now = frame, frame.f_lasti, frame.f_code.co_filename == threading.__file__
        times = times + 1 if now == place and not now[2] else 0  # a wait is for code being made
        place = now


def interrupt(call, when=_in_native_code):
    """A signal, sent when ``when`` returns, ends a call."""

    def send():
        when()
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            call()
    finally:
        sender.join()


CASES = [(name, 1) for name in RUNS] + [(name, 2) for name in ("in each row", "pairs", "product")]


@pytest.mark.quick(every=2)
@pytest.mark.parametrize(("name", "count"), CASES)
def test_endless_runs_are_interrupted(threads_as_before, name, count):
    sf.set_threads(count)
    fn, make = RUNS[name]
    start = make()
    compiled = sf.compile(fn)
    for _ in range(2):  # the first call goes another way than those after it
        interrupt(lambda: compiled(start))
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
    double(1.0)
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

    def after_some():
        """Who is given the lock is the system's choice: it may be the other thread for a while."""
        _in_native_code()
        end = time.monotonic() + 30
        while len(counted) <= before + 3 and time.monotonic() < end:
            time.sleep(0.01)

    interrupt(lambda: steps(np.inf), after_some)
    done.set()
    thread.join()
    assert len(counted) > before + 3


def test_short_programs_do_not_ask():
    for fn, x in (
        (lambda x: np.sum(np.sin(x)), np.ones(1000)),
        (lambda x: sf.fori_loop(0, 100, lambda i, s: s * 0.5, x), 1.0),
    ):
        assert "symflux_poll" not in sf.compile(fn).lower(x).llvm_ir


@pytest.mark.quick(every=2)
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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupts_while_llvm_works_leave_the_process_sound():
    """What LLVM was making is finished and freed in order; the function compiles afterwards."""
    x = np.ones((20, 30))

    def many():
        return sf.compile(lambda x: tuple(np.sin(x * k) @ np.cos(x.T + k) for k in range(5)))

    def compile_again_and_again():
        while True:
            many()(x)

    for after in (0.02, 0.1, 0.2, 0.3):
        interrupt(compile_again_and_again, functools.partial(time.sleep, after))
        gc.collect()
    assert len(many()(x)) == 5
