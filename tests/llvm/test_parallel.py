"""Parallel loops: right for every number of threads, and the same bits for all of them."""

import itertools
import os
import sys
import threading

import numpy as np
import pytest
from symflux.codegen import interp, threads
from symflux.codegen.builder import Builder
from symflux.codegen.llvm import pool
from symflux.codegen.llvm.jit import compile_program

from symflux.thresholds import lowered

from .test_programs import arguments


@pytest.fixture(autouse=True)
def cheap_threads(threads_as_before):
    """Cut small loops too, and leave the number of threads as it was."""
    with lowered(thread_from=1):
        yield


def elementwise(n):
    b = Builder("elementwise")
    x, y, a = b.input("x", "f64", n), b.output("y", "f64", n), b.input("a", "f64", 1)
    with b.kernel("k"):
        factor = b.load(a, 0)
        flag = factor > 0.0
        with b.loop(n, mode="parallel") as i:
            value = b.load(x, i) * factor + 1.0
            b.store(y, i, b.let("select", flag, value, -value))
    return b.program()


def sums(n, size=None):
    """A sum, a largest value and a flag over all rows, and a sum of each row."""
    b = Builder("sums")
    rows = b.size("n") if size else n
    width = 17
    x, each = b.input("x", "f64", n * width), b.output("each", "f64", n)
    out, some = b.output("out", "f64", 2), b.output("some", "bool", 1)
    with b.kernel("k"):
        start = [b.operand(2.0, "f64"), b.operand(-np.inf, "f64"), b.operand(False, "bool")]
        with b.loop(rows, mode="parallel", carry=start) as i:
            with b.loop(width, mode="vector", carry=[0.0]) as j:
                value = b.load(x, i * width + j)
                j.yield_(b.let("add", j.params[0], value, reassociate=True))
            row = j.results[0]
            b.store(each, i, row)
            total, largest, found = i.params
            i.yield_(
                b.let("add", total, row, reassociate=True),
                b.let("maximum", largest, row, reassociate=True),
                b.let("or", found, row > 5.0, reassociate=True),
            )
        total, largest, found = i.results
        b.store(out, 0, total)
        b.store(out, 1, largest)
        b.store(some, 0, found)
    return b.program()


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("n", [2, 63, 64, 65, 1000, 4099])
@pytest.mark.parametrize("make", [elementwise, sums])
def test_parallel_loops_do_what_the_interpreter_does(make, n):
    program = make(n)
    native = compile_program(program)
    assert "_chunks(" in native.llvm_ir
    oracle = arguments(program)
    interp.run(program, oracle)
    bits = set()
    for count in (1, 2, 3, 7):
        threads.set_threads(count)
        answer = arguments(program)
        native.run(answer)
        for name in oracle:
            np.testing.assert_allclose(answer[name], oracle[name], rtol=1e-12, atol=1e-11)
        bits.add(tuple(answer[name].tobytes() for name in oracle))
    assert len(bits) == 1


def test_numbers_of_iterations_known_only_at_the_call():
    program = sums(500, size=True)
    native = compile_program(program)
    for n in (0, 1, 5, 64, 500):
        answers, oracle = arguments(program, (n,)), arguments(program, (n,))
        threads.set_threads(3)
        native.run(answers, (n,))
        interp.run(program, oracle, (n,), partial=True)
        for name in oracle:
            np.testing.assert_allclose(answers[name], oracle[name], rtol=1e-12, atol=1e-11)


def test_a_loop_that_carries_otherwise_stays_serial():
    b = Builder("recurrence")
    x, out = b.input("x", "f64", 100), b.output("out", "f64", 1)
    with b.kernel("k"):
        with b.loop(100, mode="parallel", carry=[0.0]) as i:
            i.yield_(i.params[0] * 0.5 + b.load(x, i))
        b.store(out, 0, i.results[0])
    native = compile_program(b.program())
    assert "_chunks(" not in native.llvm_ir
    arrays = {"x": np.ones(100), "out": np.zeros(1)}
    native.run(arrays)
    assert arrays["out"][0] == 2.0 - 2.0**-99


def test_little_work_is_not_shared_out():
    with lowered(thread_from=100_000):
        assert "_chunks(" not in compile_program(elementwise(1000)).llvm_ir
        assert "_chunks(" in compile_program(elementwise(100_000)).llvm_ir


def test_without_a_runtime_everything_still_runs(monkeypatch):
    monkeypatch.setattr(threads, "available", lambda: False)
    monkeypatch.setattr(pool, "_pool", lambda: None)
    program = sums(300)
    native = compile_program(program)
    assert "symflux_parallel" not in native.llvm_ir
    answer, oracle = arguments(program), arguments(program)
    native.run(answer)
    interp.run(program, oracle)
    np.testing.assert_allclose(answer["out"], oracle["out"], rtol=1e-12)
    assert threads.threads() == 1


def test_calls_from_several_python_threads():
    native = compile_program(sums(2000))
    threads.set_threads(2)
    expected = arguments(native.program)
    native.run(expected)
    wrong = []

    def work():
        for _ in range(20):
            answer = arguments(native.program)
            native.run(answer)
            if answer["out"].tobytes() != expected["out"].tobytes():
                wrong.append(answer["out"])

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_still_computes():
    native = compile_program(sums(2000))
    threads.set_threads(2)
    expected = arguments(native.program)
    native.run(expected)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            answer = arguments(native.program)
            native.run(answer)
            status = 0 if answer["out"].tobytes() == expected["out"].tobytes() else 2
        finally:
            os._exit(status)
    done, status = 0, 0
    for _ in range(200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        threading.Event().wait(0.05)
    if not done:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert done and os.waitstatus_to_exitcode(status) == 0


def test_the_knob():
    threads.set_threads(3)
    assert threads.threads() == (3 if threads.available() else 1)
    with pytest.raises(ValueError, match="from 1 to"):
        threads.set_threads(0)


@pytest.mark.parametrize(("value", "expected"), [("5", "5"), ("", None), ("many", "error")])
def test_the_environment_variable(value, expected):
    import subprocess

    code = "import runpy, sys; print(runpy.run_path(sys.argv[1])['_count'].value)"
    env = os.environ | {"SYMFLUX_NUM_THREADS": value}
    run = subprocess.run(
        [sys.executable, "-c", code, threads.__file__], env=env, capture_output=True, text=True
    )
    if expected == "error":
        assert run.returncode != 0 and "SYMFLUX_NUM_THREADS='many'" in run.stderr
    else:
        assert run.stdout.strip() == (expected or str(len(os.sched_getaffinity(0))))


def test_workers_wait_for_some_time_not_for_some_rounds(monkeypatch):
    """How long a pause of the processor takes is measured."""
    for step, wanted in ((5e-6, 4000), (25e-6, 800), (1e-9, 80_000), (1.0, 100)):
        clock = itertools.count()  # 500 pauses take a step of it
        monkeypatch.setattr(pool.time, "perf_counter", lambda c=clock, s=step: next(c) * s)
        assert pool._patience(lambda count: None) == pytest.approx(wanted, abs=1)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="processors are counted")
def test_small_loops_on_busy_processors():
    """Workers that are kept waiting by other programs: the caller goes on alone for a while."""
    import subprocess

    native = compile_program(sums(2000))
    threads.set_threads(2)
    expected = arguments(native.program)
    native.run(expected)
    spin = [sys.executable, "-c", "import time\ne = time.time() + 20\nwhile time.time() < e: pass"]
    others = [subprocess.Popen(spin) for _ in os.sched_getaffinity(0)][:8]
    try:
        for _ in range(300):
            answer = arguments(native.program)
            native.run(answer)
            assert answer["out"].tobytes() == expected["out"].tobytes()
    finally:
        for other in others:
            other.kill()
            other.wait()
