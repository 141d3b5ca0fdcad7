"""A process forks while its other threads compile: the child can compile and collect garbage."""

import gc
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from symflux.codegen.threads import set_threads

import symflux as sf
from symflux.collector import collector_paused
from symflux.forking import lock

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")

PROGRAM = """
import gc, os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")  # that threads and forks do not go together
import numpy as np, symflux as sf

def fn(k):
    return lambda x: np.sum(np.tanh(x * k) @ x.T) + np.exp(x)[0, 0] * k

def work():
    for n in range(10**9):
        sf.compile(fn(n * 0.001))(np.ones((3, 3)))

def child(number):
    healthy = gc.isenabled()
    found = sf.compile(fn(7.0 + number))(np.ones((3, 3)))
    slope = sf.grad(lambda x: np.sum(np.sin(x * number)))(np.ones(3))
    right = np.isclose(found, fn(7.0 + number)(np.ones((3, 3))))
    right &= np.allclose(slope, number * np.cos(number))
    os._exit(0 if healthy and gc.isenabled() and right else 1)

for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.5)
codes = []
for number in range(6):
    time.sleep(0.01 * number)
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)  # ends a child that hangs
        child(number)
    codes.append(os.waitpid(pid, 0)[1])
print(codes)
os._exit(0)
"""


@pytest.mark.slow
def test_children_of_a_process_that_compiles_are_sound():
    env = os.environ | {"SYMFLUX_CACHE_DIR": "off"}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == str([0] * 6), run.stderr


def in_child(check):
    """What a child of this process answers to ``check``."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        os._exit(0 if check() else 1)
    return os.waitpid(pid, 0)[1] == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forks of processes with threads
def test_locks_of_other_threads_are_free_in_a_child():
    held, inside, leave = lock(), threading.Event(), threading.Event()

    def other():
        with held, collector_paused():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    try:
        assert not gc.isenabled()
        assert in_child(lambda: held.acquire(timeout=0.1) and gc.isenabled())
        assert not held.acquire(timeout=0.01)  # here the other thread has it still
    finally:
        leave.set()
        thread.join()
    assert gc.isenabled()
    with held, collector_paused():  # what the thread that forks holds stays its own
        assert in_child(lambda: held._is_owned() and not gc.isenabled())


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63, 10**30])
def test_numbers_of_threads_that_do_not_fit_are_refused(threads_as_before, number):
    with pytest.raises(ValueError, match="number of threads must be from 1 to 2147483647"):
        set_threads(number)
    with pytest.raises(TypeError):
        set_threads(2.5)
    assert sf.compile(lambda x: np.sum(x))(np.ones(100_000)) == 100_000.0


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("text", ["0", "-3", "2147483648", "many"])
def test_environments_with_such_numbers_are_refused(text):
    env = os.environ | {"SYMFLUX_NUM_THREADS": text}
    run = subprocess.run(
        [sys.executable, "-c", "import symflux as sf; sf.set_threads"],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode != 0
    assert f"SYMFLUX_NUM_THREADS={text!r}: give a number of threads from 1 to" in run.stderr
