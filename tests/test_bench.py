"""``python -m symflux bench``: the rows, the workers, what is reported."""

import argparse
import dataclasses
import json
import platform
import sys
from pathlib import Path

import numpy as np
import pytest

import symflux.bench.runner as runner
from symflux.__main__ import main
from symflux.bench.command import BenchError, add_options, run, select
from symflux.bench.row import Row
from symflux.bench.runner import Measured, Options, Outcome, difference, known_tools, measure_row
from symflux.bench.table import as_json, as_markdown, as_text, of_limit, summary
from symflux.bench.tools import OWN
from symflux.bench.workloads import all_rows, find
from symflux.runtime.limits import Limits


def on_x86():
    return platform.machine() in ("x86_64", "AMD64") and Path("/proc/self/environ").exists()


def options_of(words):
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(words)


LIMITS = Limits(1, ((1000, 100e9), (10_000, 10e9)), {"f32": 200e9, "f64": 100e9})


def measured(ours=1e-6, **others):
    """A row as it comes out, with the seconds of each tool."""
    facts = {"flops": 1000, "moved": 24, "working_set": 24, "dtype": "f64"}
    outcomes = [Outcome("symflux", ours, ours, 0.03, 0.002, 100, 200, facts=facts)]
    outcomes += [Outcome(tool, seconds, seconds, 0.1, None, 50) for tool, seconds in others.items()]
    return Measured(Row("w", "n=1", "forward", tuple, {}), outcomes)


def test_the_limit_is_the_slower_of_computing_and_moving():
    assert LIMITS.seconds(100e9, 0, 10, "f64") == 1.0
    for size, seconds in ((10, 1.0), (1000, 1.0), (10_000, 10.0), (10**9, 10.0)):
        assert LIMITS.seconds(1, 100e9, size, "f64") == pytest.approx(seconds)
    assert 1.1 < LIMITS.seconds(1, 100e9, 2000, "f64") < LIMITS.seconds(1, 100e9, 4000, "f64") < 9
    assert of_limit(measured(ours=2e-8), LIMITS) == pytest.approx(0.5)


def test_limits_print():
    assert str(LIMITS).startswith("1 thread: triad GB/s 100.0 (0 KiB), 10.0 (9 KiB); products")


def test_summary_names_the_rows_behind():
    rows = [measured(jax=4e-6, numpy=9e-6), measured(jax=1e-7), measured()]
    assert summary(rows) == [
        "geometric mean over 2 rows: 0.63 times the best peer",
        "rows behind a peer: 1",
        "  w n=1 forward: 0.10, 1.00 us against 0.100 us (jax)",
    ]
    rows[0].outcomes[1].problem = "no"
    assert rows[0].best_peer.tool == "numpy"
    assert summary(rows)[-1] == "not timed: w n=1 forward, jax: no"


def test_derivatives_are_compared_with_their_functions():
    rows = [measured(ours=1e-6), measured(ours=3e-6), measured(ours=5e-6)]
    rows[1].row = dataclasses.replace(rows[0].row, variant="gradient")
    rows[2].row = dataclasses.replace(rows[0].row, size="n=2", variant="gradient")
    assert summary(rows)[-2:] == [
        "derivative against function: geometric mean 3.00", "  w n=1: 3.00",
    ]  # fmt: skip


def test_tables_agree():
    rows = [measured(jax=4e-6), measured(torch=2e-6)]
    text = as_text(rows, LIMITS).splitlines()
    table = as_markdown(rows, LIMITS).splitlines()
    cells = [c.strip() for c in table[4].strip("|").split("|")]
    assert text[3].split() == cells
    assert cells == [
        "w", "n=1", "forward", "1.00", "-", "-", "jax", "4.00", "4.00", "0.010", "30.0", "2.00",
        "100", "0.000100", "0.0000500",
    ]  # fmt: skip
    found = json.loads(json.dumps(as_json(rows, LIMITS, {"python": "3"})))
    assert found["rows"][1]["tools"]["torch"]["best"] == 2e-6
    assert found["rows"][0]["ratio"] == 4.0


@pytest.mark.parametrize(
    "found, wanted, words",
    [
        ([1.0], [1.0, 2.0], "1 results instead of 2"),
        ([[1.0, 2.0]], [[1.0]], "shape"),
        ([[1.0, 2.0]], [[1.0, 2.1]], "off by 4.8e-02"),
        ([[np.nan]], [[1.0]], "off by nan"),
        ([[1.0, 1e-12]], [[1.0, 0.0]], ""),
    ],
)
def test_differences(found, wanted, words):
    text = difference([np.array(a) for a in found], [np.array(a) for a in wanted], 1e-9)
    assert words in text if words else text == ""


def test_selecting():
    rows = all_rows()
    names = [row.name for row in select(rows, ["rosenbrock n=10 gradient"])]
    assert names[0] == "rosenbrock n=10 gradient"
    assert select(rows, ["rosenbrock", "black-scholes n=1000"])
    assert select(rows, []) == rows
    assert select(rows, ["nothing"]) == []
    assert known_tools(["torch"]) == ("torch",)
    assert known_tools(["tor"]) == ("torch", "torch.compile")
    assert not set(OWN) & set(known_tools([]))


def test_a_column_for_another_target():
    rows = [measured(jax=4e-6), measured(torch=2e-6)]
    rows[0].outcomes.append(Outcome("symflux target", 1.5e-6))
    assert rows[0].best_peer.tool == "jax"  # it is SymFlux still, no peer
    text, table = as_text(rows, LIMITS, "x86-64-v3"), as_markdown(rows, LIMITS, "x86-64-v3")
    assert "| out= us | x86-64-v3 us | best peer |" in table
    assert "out= us  x86-64-v3 us  best peer" in text
    assert [line.split("|")[6].strip() for line in table.splitlines()[4:6]] == ["1.50", "-"]
    assert as_json(rows, LIMITS, {}, "x86-64-v3")["target"] == "x86-64-v3"


@pytest.mark.skipif(not on_x86(), reason="levels of x86-64")
def test_the_code_of_a_target_is_measured(monkeypatch):
    """In a worker of its own, which makes code for it: what a wider machine tells about AVX2."""
    seen = {}
    ask = runner.Worker.ask

    def asked(worker, command):
        if command is None:  # it has been started
            entries = Path(f"/proc/{worker.process.pid}/environ").read_bytes().split(b"\0")
            seen[worker.tool] = [e for e in entries if e.startswith(b"SYMFLUX_TARGET=")]
        return ask(worker, command)

    monkeypatch.setattr(runner.Worker, "ask", asked)
    monkeypatch.delenv("SYMFLUX_TARGET", raising=False)
    options = Options((), burst=1e-4, rounds=1, target="x86-64")
    result = measure_row(find("rosenbrock n=10 forward"), options)
    tools = ["symflux", "symflux out=", "symflux target"]
    assert [o.tool for o in result.outcomes] == tools
    assert all(o.is_timed and o.best > 0 for o in result.outcomes)
    assert seen["symflux target"] == [b"SYMFLUX_TARGET=x86-64"] and not seen["symflux"]


@pytest.mark.skipif(not on_x86(), reason="levels of x86-64")
@pytest.mark.parametrize("target", ["x86-64-v9", "avx2"])
def test_a_target_that_does_not_exist_is_refused(target):
    with pytest.raises(BenchError, match="there are x86-64, x86-64-v2"):
        run(options_of(["rosenbrock n=10 forward", "--target", target]))


def test_a_file_of_another_target_is_not_resumed(tmp_path):
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(as_json([measured()], LIMITS, {}, "x86-64-v3")))
    with pytest.raises(BenchError, match="was measured with --target x86-64-v3"):
        run(options_of(["rosenbrock n=10 forward", "--json", str(file), "--resume"]))


def test_peers_that_write_into_buffers_are_compared_with_out():
    row = measured(ours=4e-6, casadi=3e-6, jax=6e-6)
    row.outcomes.append(Outcome("symflux out=", 1e-6))
    assert (row.best_peer.tool, row.ratio) == ("jax", 1.5)
    assert row.beside(row.of("casadi")).best == 1e-6 and row.beside(row.of("jax")).best == 4e-6
    row.outcomes[-1].best = 5e-6
    assert (row.best_peer.tool, row.ratio) == ("casadi", 0.75)


def test_a_row_is_measured_in_workers():
    row = find("rosenbrock n=10 gradient")
    options = Options(("numpy",), burst=1e-4, rounds=2)
    result = measure_row(row, options)
    assert [o.tool for o in result.outcomes] == ["symflux", "symflux out=", "numpy"]
    assert [o.problem for o in result.outcomes] == ["", "", ""]
    ours = result.of("symflux")
    assert 0 < ours.best <= ours.median
    assert ours.facts["flops"] > 90
    assert ours.facts["moved"] == 8 * (10 + 10 + 1)
    assert ours.cached is not None
    assert result.ratio > 0


@pytest.mark.slow
def test_a_missing_tool_is_reported():
    row = find("rosenbrock n=10 forward")
    options = Options(("numba",), burst=1e-4, rounds=1, pythons={"numba": sys.executable})
    result = measure_row(row, options)
    numba = result.outcomes[-1]
    if "ModuleNotFoundError" not in numba.problem:
        assert numba.is_timed  # it is installed here
    assert result.of("symflux").best > 0


@pytest.mark.slow
def test_a_wrong_result_is_not_timed(monkeypatch):
    monkeypatch.setattr(runner, "difference", lambda found, wanted, rtol: "result 0 is off")
    row = find("rosenbrock n=10 gradient")
    result = measure_row(row, Options(("numpy",), burst=1e-4, rounds=1))
    assert result.of("symflux") is None
    assert result.ratio is None


@pytest.mark.slow
def test_command(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("symflux.bench.command.measure", lambda threads: LIMITS)
    words = ["bench", "rosenbrock n=10 forward", "--quick", "--peers", "numpy"]
    files = ["--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "a.md")]
    assert main([*words, *files]) == 0
    out = capsys.readouterr().out
    assert "geometric mean over" in out
    assert json.loads((tmp_path / "a.json").read_text())["environment"]["symflux"]
    assert (tmp_path / "a.md").read_text().count("| rosenbrock | n=10 | forward |") == 1
    monkeypatch.setattr("symflux.bench.command.measure_row", None)  # nothing is measured again
    assert main([*words, *files, "--resume"]) == 0
    table = next(line for line in out.splitlines() if line.startswith("rosenbrock"))
    assert table in capsys.readouterr().out.splitlines()
    assert main(["bench", *files, "--resume", "--budget", "-1"]) == 0  # no time for other rows
    assert table in capsys.readouterr().out.splitlines()
    assert main([*words, *files, "--resume", "--threads", "2"]) == 2
    assert main([*words, "--resume"]) == 2
    assert main(["bench", "nothing"]) == 2
    assert main(["bench", "--peers", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err
    assert main(["bench", "rosenbrock", "--list"]) == 0
    assert "rosenbrock n=10 forward: symflux" in capsys.readouterr().out
