"""Guarded memory: what leaves an array is caught, what is right runs as ever."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from symflux.codegen.llvm.guard import GuardedProgram, GuardError
from symflux.codegen.text import parse_program

import symflux as sf
from symflux import config
from symflux.errors import VerifyError
from symflux.runtime.guarded import guarded_call

TEXT = """
program past arena 1024 {{
  buffer x : f64[8] input
  buffer m : f32[1000] inout
  buffer y : f64[8] output
  buffer t : f64[128] temp at 0
  kernel k {{
    loop i < 128 {{
      store t[i], 1.0
    }}
    loop i < 8 {{
      store y[i], 2.0
    }}
    {}
  }}
}}"""
#: What is wrong -> the side on which it is seen, the statements, and what is said.
WRONG = {
    "read behind an input": ("end", "%0 = load x[8] : f64   store y[0], %0", "x[8] of past"),
    "read before an input": ("start", "%0 = load x[-1] : f64   store y[0], %0", "x[-1] of past"),
    "write behind a result": ("end", "store y[8], 1.0", "y[8] of past"),
    "write before": ("start", "store m[-1], 1.0", "m[-1] of past, where m has 1000 elements"),
    "read behind the temps": (
        "end", "%0 = load t[128] : f64   store y[0], %0", "temporaries[1024]"),
    "read before the temps": ("start", "%0 = load t[-1] : f64   store y[0], %0", "temporaries[-8]"),
    "one too many in vectors": (
        "end", "loop i < 9 vector { %0 = load x[i] : f64   store t[i], %0 }", "x[8] of past"),
    "one too many in threads": (
        "end", "loop i < 1001 parallel { store m[i], 1.0 }", "m[1000] of past"),
}  # fmt: skip
#: Each wrong program runs in a child of its own, which has to die by the signal.
SCRIPT = """
import os, signal, sys
import numpy as np
from symflux.codegen.llvm.guard import GuardedProgram
from symflux.codegen.text import parse_program
from symflux.thresholds import lowered
from tests.llvm.test_guard import TEXT, WRONG

for what, (side, statements, said) in WRONG.items():
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(write, 2)
        with lowered(thread_from=1, chunk=64):
            program = GuardedProgram(parse_program(TEXT.format(statements)), side)
        x, m = np.zeros(8), np.zeros(1000, np.float32)
        program.run({"x": x, "m": m, "y": np.zeros(8)})
        os._exit(0)
    os.close(write)
    with open(read) as file:
        text = file.read()
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGSEGV:
        print(what, "ended with", status, text)
    elif f"SYMFLUX_GUARD: access to {said}" not in text or "<module>" not in text:
        print(what, "is not said:", text)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals are read as Linux's")
def test_accesses_beyond_arrays_end_the_process_and_are_named():
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", "", 0)


def run(statements, side="end"):
    arrays = {"x": np.arange(8.0), "m": np.ones(1000, np.float32), "y": np.zeros(8)}
    GuardedProgram(parse_program(TEXT.format(statements)), side).run(arrays)
    return arrays["y"]


@pytest.mark.parametrize("side", ["end", "start"])
def test_a_right_program_runs_and_arrays_may_fill_pages_or_be_empty(side):
    assert run("loop i < 8 { %0 = load x[i] : f64   store y[i], %0 }", side).tolist() == [*range(8)]
    for size in (0, 1, 511, 512, 513):
        text = f"""program p {{
          buffer y : f64[{size}] output
          kernel k {{ loop i < {size} {{ store y[i], 3.0 }} }} }}"""
        y = np.zeros(size)
        GuardedProgram(parse_program(text), side).run({"y": y})
        assert y.tolist() == [3.0] * size


def test_writes_beside_an_array_far_from_the_guarded_end_are_seen():
    with pytest.raises(GuardError, match=r"something was written to y\[8\] of past"):
        run("store y[8], 1.0", "start")
    with pytest.raises(GuardError, match=r"something was written to m\[-2\] of past"):
        run("store m[-2], 1.0", "end")


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16"])
def test_temporaries_are_nans_until_they_are_written(dtype):
    text = f"""program p arena 1024 {{
      buffer y : {dtype}[8] output
      buffer t : {dtype}[128] temp at 0
      kernel k {{ loop i < 8 {{ %0 = load t[i] : {dtype}   store y[i], %0 }} }} }}"""
    y = np.zeros(8, {"f64": "f8", "f32": "f4", "f16": "f2"}[dtype])
    GuardedProgram(parse_program(text)).run({"y": y}, partial=True)
    assert np.isnan(y).all()


def test_a_result_that_is_not_written_whole_is_refused():
    """Behind the setting, too: the message says what to do."""
    text = """program f {{
      buffer x : f64[3] input
      buffer out0 : f64[3] output
      kernel k {{ loop i < {} {{ store out0[i], 1.0 }} }} }}"""
    graph = sf.trace(lambda x: x * 2.0)(np.zeros(3))
    for count, said in ((3, ""), (2, r"nothing was written to out0\[2\] of f")):
        stages = SimpleNamespace(
            program=parse_program(text.format(count)),
            graph=graph, inputs=["x"], outputs=["out0"], donate={},
        )  # fmt: skip
        with config.override(guard="end"):
            call = guarded_call(stages)
        if said:
            with pytest.raises(VerifyError, match=said):
                call(np.zeros(3))
        else:
            assert call(np.zeros(3))[0].tolist() == [1.0, 1.0, 1.0]


def two_results(d, n):
    x = d["x"]
    w = np.exp(x - np.max(x, axis=1, keepdims=True))
    return {"soft": w / np.sum(w, axis=1, keepdims=True), "n": n * 2, "all": np.sum(x @ x.T)}


@pytest.mark.parametrize("side", [True, "start"])
def test_functions_run_as_ever_under_the_setting(side):
    x = np.random.default_rng(0).normal(size=(33, 47))
    wanted = two_results({"x": x}, 3)
    weights = sf.param(np.ones(3))

    def step(x):
        sf.update(weights, -0.5 * x)
        return np.sum(weights)

    with config.override(guard=side):
        found = sf.compile(two_results)({"x": x}, 3)
        assert found["n"] == 6 and type(found["n"]) is int
        np.testing.assert_allclose(found["soft"], wanted["soft"], rtol=1e-12)
        np.testing.assert_allclose(found["all"], wanted["all"], rtol=1e-12)
        a = np.ones(3)
        first, second = sf.compile(lambda a, b: (b + 0.0, a + b), donate=("a",))(a, 2 * np.ones(3))
        assert a.tolist() == first.tolist() == [2.0, 2.0, 2.0] and second.tolist() == [3.0] * 3
        assert sf.compile(step)(np.ones(3)) == 1.5 and weights.value.tolist() == [0.5] * 3
        out = np.zeros((33, 33))
        assert sf.compile(lambda x: x @ x.T)(x, out=out) is out
        np.testing.assert_allclose(out, x @ x.T, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(sf.grad(lambda x: np.sum(np.sin(x)))(x), np.cos(x), rtol=1e-14)


def test_functions_compiled_without_the_setting_never_load_it():
    code = (
        "import sys, numpy as np, symflux as sf; sf.compile(lambda x: x + 1.0)(np.ones(3));"
        "print([m for m in sys.modules if 'guard' in m.rpartition('.')[2] and 'symflux' in m])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.strip() in ("[]", "['symflux.runtime.guards']")
