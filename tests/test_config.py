"""Settings: where values come from, and that each does what its help says."""

import os
import subprocess
import sys

import numpy as np
import pytest

import symflux as sf
from symflux import config
from symflux.errors import SettingWarning
from symflux.runtime.lowered import LEVELS
from symflux.runtime.passes import PASS_NAMES


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for setting in config.SETTINGS.values():
        if setting.name != "cache_dir":  # off in all tests
            monkeypatch.delenv(setting.variable, raising=False)


def energy(x):
    return np.sum(np.sin(x) * (x - 0.0))


X = np.array([0.25, -1.0, 3.0])


def compiled_under(capsys, **settings):
    """What compiling and running ``energy`` prints, and its value."""
    with config.override(**settings):
        value = sf.compile(energy)(X)
    out, err = capsys.readouterr()
    assert out == ""
    assert float(value) == pytest.approx(float(np.sum(np.sin(X) * X)), rel=1e-14)
    return err


def test_nothing_is_printed_by_default(capsys):
    assert compiled_under(capsys) == ""


def test_innermost_value_wins():
    assert config.get("dump") == ""
    config.put("dump", "graph")
    try:
        with config.override(dump="asm"):
            with config.override(dump="kernels", verify=True):
                assert config.get("dump") == "kernels"
                assert config.get("verify") is True
            assert config.get("dump") == "asm"
        assert config.get("dump") == "graph"
    finally:
        config.reset("dump")
    assert config.get("dump") == ""


@pytest.mark.parametrize("text, value", [("1", True), ("off", False), ("Yes", True), ("", False)])
def test_environment(monkeypatch, text, value):
    monkeypatch.setenv("SYMFLUX_TIMING", text)
    assert config.get("timing") is value


def test_nonsense_in_the_environment(monkeypatch):
    monkeypatch.setenv("SYMFLUX_VERIFY", "perhaps")
    with pytest.raises(ValueError, match=r"SYMFLUX_VERIFY='perhaps' is not a value for"):
        config.get("verify")


def test_unknown_variables_are_named(monkeypatch):
    monkeypatch.setenv("SYMFLUX_NUM_THREAD", "2")
    with pytest.warns(SettingWarning, match="SYMFLUX_NUM_THREAD is set.*SYMFLUX_NUM_THREADS meant"):
        config.warn_of_unknown_variables()
    code = "import symflux.config"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert run.stdout == "" and run.stderr.startswith("<string>:1: SettingWarning"), run.stderr
    assert config.unknown_variables(["SYMFLUX_CACHE", "SYMFLUX_GUARD", "OTHER_VERIFY"]) == [
        "SYMFLUX_CACHE is set, which is no setting; is SYMFLUX_CACHE_DIR meant?"
    ]


def test_unknown_setting():
    with pytest.raises(KeyError, match="no setting 'verbose'; there are dump"):
        config.put("verbose", True)
    with pytest.raises(KeyError, match="no setting 'verbose'"), config.override(verbose=True):
        pass


@pytest.mark.parametrize("level", [name for name in LEVELS if name not in ("latex", "sympy")])
def test_dump(capsys, level):
    text = compiled_under(capsys, dump=level)
    low = sf.compile(energy).lower(X)
    assert text.startswith(f"== energy: {level}\n")
    first = LEVELS[level](low).strip().splitlines()[0]
    assert first.strip() in [line.strip() for line in text.splitlines()[1:4]]


def test_dump_takes_several_levels(capsys):
    text = compiled_under(capsys, dump="optimized, cost")
    heads = [line for line in text.splitlines() if line.startswith("==")]
    assert heads == ["== energy: optimized", "== energy: cost"]


def test_unknown_level():
    with (
        config.override(dump="grph"),
        pytest.raises(ValueError, match="no 'grph'; there are graph"),
    ):
        sf.compile(energy)(X)


def test_dump_of_a_function_that_runs_once(capsys):
    with config.override(dump="optimized"):
        assert float(sf.grad(lambda x: x**2 * 1.5)(2.0)) == 6.0
    assert capsys.readouterr().err.startswith("== grad_lambda: optimized\n")


def test_timing(capsys):
    text = compiled_under(capsys, timing=True)
    assert text.count("\n") == 1
    for step in ("graph passes", "lowering", "loop passes", "LLVM"):
        assert f"{step} " in text


def test_print_after_one_pass(capsys):
    text = compiled_under(capsys, print_after="algebra")
    heads = [line for line in text.splitlines() if line.startswith("--")]
    assert len(heads) == 1 and heads[0].startswith("-- algebra: ")
    assert "sub x, 0.0" not in text


def test_print_after_all_passes(capsys):
    text = compiled_under(capsys, print_after="all")
    assert "-- algebra: " in text and "-- simplify: " in text
    assert "graph energy" in text


def test_stop_after_a_graph_pass():
    with config.override(stop_after="fold"):
        kept = sf.compile(energy).lower(X)
    full = sf.compile(energy).lower(X)
    assert "sub x, 0.0" in str(kept.optimized)
    assert "sub x, 0.0" not in str(full.optimized)


def test_stop_after_a_loop_pass():
    def scaled(x, y):
        return x * (y * 2.0 + 1.0)

    with config.override(stop_after="simplify"):
        kept = sf.compile(scaled).lower(X, 3.0)
    full = sf.compile(scaled).lower(X, 3.0)
    assert kept.optimized == full.optimized
    # what does not change in the loop stays in it, and is hoisted by the pass behind
    before, inside = (low.kernels.partition("loop ") for low in (full, kept))
    assert "add" in before[0] and "add" not in inside[0]


@pytest.mark.parametrize("name", PASS_NAMES)
def test_results_do_not_depend_on_where_passes_stop(capsys, name):
    compiled_under(capsys, stop_after=name, verify=True)


def test_unknown_pass():
    with config.override(stop_after="magic"), pytest.raises(ValueError, match="no 'magic'"):
        sf.compile(energy)(X)


def test_verify_reports_the_pass_that_broke_a_graph(monkeypatch):
    from symflux.ir.graph import Graph
    from symflux.ir.node import symbol
    from symflux.passes import pipeline

    stray = symbol("stray", (3,))
    broken = pipeline.Pass("broken", lambda g, _: Graph(g.name, g.inputs, (stray,)))
    monkeypatch.setattr(pipeline, "PASSES", (broken,))
    with config.override(verify=True), pytest.raises(sf.errors.VerifyError, match="stray"):
        sf.compile(lambda x: x * 2.0)(X)


def test_variables_are_read_in_a_fresh_process():
    code = "import symflux as sf; print(sf.compile(lambda x: x + 1.0)(1.0))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SYMFLUX_DUMP": "optimized"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "2.0\n"
    assert "%0 = add x, 1.0" in found.stderr
