"""Looking inside: every level of a function, where its lines came from, and the command line."""

import subprocess
import sys

import numpy as np
import pytest

import symflux as sf
from symflux.__main__ import main
from symflux.inspect.pages import PAGES
from symflux.inspect.report import InspectError, report
from symflux.runtime.lowered import LEVELS

MODEL = """
import numpy as np
import symflux as sf

def loss(x, y):
    z = np.sin(x)
    return np.sum(z * y)

def loss_example():
    return np.ones(3), np.array([1.0, 2.0, 3.0])

slope = sf.grad(loss)
slope_example = loss_example

@sf.compile
def square(x):
    return x * x

number = 3
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model_to_inspect.py"
    path.write_text(MODEL)
    yield str(path)
    sys.modules.pop("model_to_inspect", None)
    sys.path.remove(str(tmp_path)) if str(tmp_path) in sys.path else None


# --- levels of a function -------------------------------------------------------------------------


def test_levels_of_a_compiled_function():
    def square_sum(x):
        return np.sum(x * x)

    low = sf.compile(square_sum).lower(np.ones(64))
    assert str(low.optimized).splitlines()[0] == "graph square_sum(x: f64[64]) -> f64"
    assert "buffer x : f64[64] input" in low.kernels
    assert "define" in low.llvm_ir and "double" in low.llvm_ir
    assert "define" in low.llvm_optimized
    assert "ret" in low.asm
    assert low.cost.flops == 128
    assert low.cost.bytes_moved == 64 * 8 + 8


def test_properties_show_the_signature_that_ran_last():
    f = sf.compile(lambda x: x + 1.0)
    with pytest.raises(ValueError, match="has not run yet"):
        _ = f.graph
    f(1.0)
    assert "(x: f64) -> f64" in str(f.graph)
    f(np.ones(5))
    assert "(x: f64[5]) -> f64[5]" in str(f.graph)
    assert "buffer x : f64[5] input" in f.kernels


def test_text_shows_itself_line_by_line():
    f = sf.compile(lambda x: x + 1.0)
    f(1.0)
    assert repr(f.kernels) == str(f.kernels)
    assert repr(f.graph) == str(f.graph)


# --- origins --------------------------------------------------------------------------------------


def _line_of(text, op):
    return next(line for line in text.splitlines() if f"= {op} " in line)


def test_lines_say_where_they_came_from():
    def loss(w, x):
        z = x @ w
        return np.sum(np.tanh(z))

    text = sf.compile(sf.grad(loss)).lower(np.ones(3), np.ones((2, 3))).origins()
    assert _line_of(text, "tanh").endswith("return np.sum(np.tanh(z))")
    contractions = [line for line in text.splitlines() if "= contract" in line]
    assert contractions[0].endswith("z = x @ w")
    assert contractions[1].endswith("z = x @ w [vjp of contract]")


def test_batched_lines_keep_their_origin():
    def wave(x):
        return np.sin(x) * 2.0

    text = sf.compile(sf.vmap(wave)).lower(np.ones((2, 3))).origins()
    assert _line_of(text, "sin").endswith("return np.sin(x) * 2.0")


# --- the report and the command line --------------------------------------------------------------


@pytest.mark.parametrize("level", [name for name in LEVELS if name not in ("latex", "sympy")])
def test_report_at_each_level(model, level):
    sign = {"cost": "peak memory", "asm": "ret", "kernels": "buffer x", "graph": "x: f64[3]"}
    text = report(f"{model}:loss", level)
    expected = sign.get(level, "define" if "llvm" in level else "graph loss(")
    assert expected in text
    assert text.endswith("\n") and not text.endswith("\n\n")


def test_report_as_formulas(model):
    assert report(f"{model}:square", "sympy", "1.5") == "x**2\n"
    assert report(f"{model}:square", "latex", "1.5") == "x^{2}\n"


def test_report_of_everything(model):
    text = report(f"{model}:slope")
    heads = [line[3:] for line in text.splitlines() if line.startswith("== ")]
    assert heads == list(LEVELS)
    assert "graph grad_loss(x: f64[3], y: f64[3]) -> f64[3]" in text
    assert "model_to_inspect.py:6 z = np.sin(x) [vjp of sin]" in text


def test_a_level_that_does_not_exist_says_why(tmp_path):
    path = tmp_path / "loops_to_inspect.py"
    path.write_text(
        "import symflux as sf\n"
        "example_arguments = (1.0,)\n"
        "def f(x): return sf.while_loop(lambda v: v < 9.0, lambda v: v * 2.0, x)\n"
    )
    assert "== latex\n(none: to_sympy: while has no closed form" in report(f"{path}:f")


def test_arguments_by_text_and_by_attribute(model, tmp_path):
    assert "x: f64[7]" in report(f"{model}:square", "graph", "np.ones(7)")
    path = tmp_path / "attribute_to_inspect.py"
    path.write_text("example_arguments = {'f': (1.0, True)}\ndef f(x, flag): return x\n")
    assert "x: f64, flag: bool" in report(f"{path}:f", "graph")


@pytest.mark.parametrize(
    "target, arguments, message",
    [
        ("nowhere.py:f", None, "there is no file nowhere.py"),
        ("loss", None, "inspect takes FILE:FUNCTION, got 'loss'"),
        ("MODEL:los", None, "no function los; it has loss, loss_example, slope"),
        ("MODEL:number", None, "number in model_to_inspect.py is not a function but int"),
        ("MODEL:square", None, "what types does square take?"),
        ("MODEL:square", "1 +", "--args '1 +': SyntaxError"),
    ],
)
def test_errors_say_what_is_missing(model, target, arguments, message):
    with pytest.raises(InspectError) as caught:
        report(target.replace("MODEL", model), "graph", arguments)
    assert message in str(caught.value)


def test_command_line(model, capsys):
    assert main(["inspect", f"{model}:square", "--args", "2.0", "--level", "optimized"]) == 0
    out, err = capsys.readouterr()
    assert out == "graph square(x: f64) -> f64\n  %0 = mul x, x   : f64\n  return %0\n"
    assert err == ""
    assert main(["inspect", f"{model}:cube"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("symflux: model_to_inspect.py has no function cube")


def test_run_as_a_module(model):
    found = subprocess.run(
        [sys.executable, "-m", "symflux", "inspect", f"{model}:loss", "--level", "cost"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "scratch memory" in found.stdout


def test_generated_pages_are_written(tmp_path, capsys):
    assert main(["docs", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("wrote ") == len(PAGES)
    assert (tmp_path / "ops.md").read_text().count("| `exp` |") == 1
    assert main(["docs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "all pages are up to date\n"
