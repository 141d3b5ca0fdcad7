"""Tracebacks show the user's frames: none of SymFlux's, and the user's own line last."""

import concurrent.futures
import os
import pickle
import subprocess
import sys
import threading
import traceback
from pathlib import Path

import numpy as np
import pytest

import symflux as sf
import symflux.numpy as snp
from symflux import api, config, frames
from symflux.errors import ArgumentError, EndlessRecursion, ShapeError, SymFluxError, VerifyError
from symflux.runtime import function

HERE = str(Path(__file__))
X = np.ones(3)


def lines(error):
    """The frames of a traceback behind this file's ``caught``: functions, and their lines."""
    shown = traceback.extract_tb(error.__traceback__)
    while shown and shown[0].name == "caught":
        shown.pop(0)
    assert all(os.path.dirname(frames.__file__) + os.sep not in f.filename for f in shown)
    return [f.name for f in shown], [f.line for f in shown]


def caught(run, *args):
    try:
        run(*args)
    except Exception as error:
        return error
    raise AssertionError("no error")


def branches(x):
    if x[0] > 0:
        return x
    return -x


def divides(x):
    return x / sum([]) if 1 / len([]) else x


def adds(x):
    return x + np.ones(4)


def reduces(x):
    return np.sum(np.sum(x), axis=2)  # through NumPy's frames


def in_a_branch(x):
    return sf.cond(x[0] > 0, lambda: adds(x), lambda: x)


def in_a_loop(x):
    return sf.fori_loop(0, 3, lambda i, c: adds(c), x)


def in_a_derivative(x):
    return sf.grad(lambda y: np.sum(adds(y)))(x)


def in_numpys_own(x):
    return np.linalg.inv(np.zeros((2, 2))) @ x


@pytest.mark.parametrize(
    "fn, names, last",
    [
        (branches, ["branches"], "if x[0] > 0:"),
        (divides, ["divides"], "return x / sum([]) if 1 / len([]) else x"),
        (adds, ["adds"], "return x + np.ones(4)"),
        (reduces, ["reduces"], "return np.sum(np.sum(x), axis=2)  # through NumPy's frames"),
        (in_a_branch, ["in_a_branch", "<lambda>", "adds"], "return x + np.ones(4)"),
        (in_a_loop, ["in_a_loop", "<lambda>", "adds"], "return x + np.ones(4)"),
        (in_a_derivative, ["in_a_derivative", "<lambda>", "adds"], "return x + np.ones(4)"),
    ],
)  # fmt: skip
def test_the_users_own_line_is_the_last_frame(fn, names, last):
    for way in (
        sf.compile(fn), sf.grad(fn), sf.jacobian(fn), sf.hessian(fn), sf.trace(fn),
        sf.compile(fn).lower, lambda x: sf.jvp(fn, (x,), (x,)), lambda x: sf.vjp(fn, x),
        lambda x: sf.gradient(fn, x), lambda x: sf.vmap(fn)(np.stack([x, x])),
        lambda x: sf.map(fn, np.stack([x, x])),
    ):  # fmt: skip
        found, texts = lines(caught(way, X))
        assert [n for n in found if n != "<lambda>" or n in names][-len(names) :] == names
        assert texts[-1] == last


def test_frames_of_libraries_below_the_users_line_stay_where_the_error_is_theirs():
    error = caught(sf.compile(in_numpys_own), np.ones(2))
    assert isinstance(error, np.linalg.LinAlgError)
    assert lines(error)[0][:2] == ["in_numpys_own", "inv"]


@pytest.mark.parametrize(
    "use",
    [
        lambda: sf.grad(5.0), lambda: sf.compile(5.0), lambda: sf.nn.Dense(3, 4, "relu"),
        lambda: sf.compile(adds, donate="z"), lambda: sf.jacobian(adds, mode="fwd"),
        lambda: sf.nn.Dense(3, 4)(np.ones(4)), lambda: sf.params(5.0),
        lambda: sf.nn.mse(X, np.ones(4)), lambda: sf.optim.Adam(lr=0.1),
        lambda: sf.compile(branches)("text"), lambda: sf.compile(branches)(),
        lambda: sf.data.split(X, np.ones(4)), lambda: sf.compile(branches, static_args=0),
        lambda: sf.update(5.0, 1.0), lambda: sf.scan(5.0, X), lambda: sf.nn.Dense(3),
        lambda: sf.compile(lambda x: x)(X, out=np.ones(4)),
    ],
)  # fmt: skip
def test_what_is_refused_at_once_ends_at_the_call(use):
    error = caught(use)
    assert isinstance(error, SymFluxError)
    assert lines(error)[0] == ["<lambda>"]
    assert f"at {Path(HERE).name}:{use.__code__.co_firstlineno}" in str(error)


def test_a_setting_shows_all_frames(monkeypatch):
    with config.override(full_tracebacks=True):
        shown = traceback.extract_tb(caught(sf.compile(adds), X).__traceback__)
    assert len([f for f in shown if f.filename == function.__file__]) > 2
    monkeypatch.setenv("SYMFLUX_FULL_TRACEBACKS", "1")
    assert len(traceback.extract_tb(caught(sf.compile(adds), X).__traceback__)) == len(shown)


@pytest.mark.parametrize("fault", [KeyError("x"), VerifyError("a pass broke the graph")])
def test_faults_of_symflux_keep_all_frames(monkeypatch, fault):
    def broken(*args):
        raise fault

    monkeypatch.setattr(function, "Specialization", broken)
    monkeypatch.setitem(frames.IS_USERS, HERE, False)
    shown = traceback.extract_tb(caught(sf.compile(lambda x: x), X).__traceback__)
    assert shown[-1].name == "broken" and shown[1].filename == function.__file__


def test_threads_and_pools():
    f = sf.compile(adds)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        error = caught(pool.submit(f, X).result)
    assert lines(error)[0][-1] == "adds"
    seen = []
    before, threading.excepthook = threading.excepthook, seen.append
    try:
        thread = threading.Thread(target=f, args=(X,))
        thread.start()
        thread.join()
    finally:
        threading.excepthook = before
    shown = traceback.extract_tb(seen[0].exc_traceback)
    assert [f.name for f in shown][-2:] == ["run", "adds"]


def test_tracebacks_that_callers_trim_and_raise_again():
    def shell(run):  # as interactive shells do
        try:
            run()
        except Exception as error:
            raise error.with_traceback(error.__traceback__.tb_next) from None

    error = caught(shell, lambda: sf.compile(adds)(X))
    assert lines(error)[0] == ["shell", "<lambda>", "adds"]
    first = caught(sf.compile(adds), X)

    def again():
        raise first.with_traceback(None)

    assert lines(caught(again))[0] == ["again"]


def test_what_is_shown_as_context_is_the_users():
    def handles(x):
        try:
            return {}[0]
        except KeyError:
            return adds(x)

    error = caught(sf.compile(handles), X)
    assert lines(error.__context__)[0] == ["handles"]
    text = "".join(traceback.format_exception(error))
    assert os.path.dirname(frames.__file__) not in text


INSTALLED = os.path.dirname(os.path.dirname(np.__file__))


def called_by(library, run, folder=INSTALLED):
    """Call by way of a frame of an installed library."""
    path = os.path.join(folder, library, "core.py")
    space = {}
    exec(compile("def apply(f, x):\n    return f(x)", path, "exec"), space)
    return space["apply"](run, X)


@pytest.mark.parametrize("library", ["pandas", "scipy", "xarray", "sklearn"])
def test_messages_name_the_users_line_when_a_library_called(library):
    f = sf.compile(lambda x: x)
    error = caught(lambda: called_by(library, lambda x: sf.compile(adds)(x)))
    assert lines(error)[0][-2:] == ["<lambda>", "adds"]
    f = sf.compile(lambda x, n: x)
    error = caught(lambda: called_by(library, f))  # without a line of the user's below it
    assert isinstance(error, ArgumentError)
    assert error.place.file == HERE and error.place.function == "called_by"
    assert lines(error)[0][-1] == "apply"
    # installed elsewhere; another package may be the user's own
    error = caught(lambda: called_by(library, f, "/opt/mine/lib/python3/site-packages"))
    assert error.place.file == HERE
    error = caught(lambda: called_by("mine", f, "/opt/mine/lib/python3/site-packages"))
    assert error.place.file.endswith("mine/core.py")


def test_a_script_shows_its_own_lines_alone(tmp_path):
    text = "import numpy as np, symflux as sf\n\ndef f(x):\n    return x @ np.ones((4, 4))\n\n"
    script = tmp_path / "script.py"
    script.write_text(text + "sf.compile(f)(np.ones(3))\n")
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100)
    found = [line.split(", ")[1:] for line in run.stderr.splitlines() if line.startswith("  File")]
    assert found == [["line 6", "in <module>"], ["line 4", "in f"]]
    assert "symflux.errors.ShapeError: matmul" in run.stderr and "at script.py:4" in run.stderr


def endless(n):
    return np.where(n > 1, n * endless(n - 1), 1.0)


def test_endless_recursion_names_the_function():
    for way in (sf.compile(endless), sf.grad(endless)):
        error = caught(way, 5.0)
        assert isinstance(error, EndlessRecursion) and isinstance(error, RecursionError)
        assert error.what.startswith("endless calls itself")
        assert error.place.source == "return np.where(n > 1, n * endless(n - 1), 1.0)"
    fixed = sf.compile(
        lambda n: sf.while_loop(lambda c: c[0] > 1, lambda c: (c[0] - 1, c[1] * c[0]), (n, 1.0))[1]
    )
    assert fixed(5.0) == 120.0


def test_public_functions_are_still_functions_of_their_modules():
    assert pickle.loads(pickle.dumps(sf.grad)) is sf.grad is api.grad
    assert sf.grad.__globals__ is vars(api) and sf.grad.__doc__.startswith("The gradient")
    with pytest.raises(ShapeError, match="row per sample"):
        sf.data.minibatches((X, np.ones(4)), 2)  # at once, not with the first batch
    assert callable(snp.sin)
