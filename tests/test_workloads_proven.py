"""The memory of every workload's loops is proven right, without machine code."""

import numpy as np
import pytest
from symflux.codegen.proof import unproven
from symflux.codegen.verify import verify

import symflux as sf
from symflux import config
from symflux.bench.workloads import all_rows
from symflux.runtime import execute, function

#: Straight-line code of 1e5 and 1e6 operations takes minutes to lower; shorter ones are here.
LONG = {f"random graph {n} ops {v}" for n in (10**5, 10**6) for v in ("forward", "gradient")}
ROWS = {row.name: row for row in all_rows() if "symflux" in row.tools and row.name not in LONG}


class Lowered(Exception):
    """Stands for machine code: the workload got as far as its loops."""


def loops(row, monkeypatch):
    """The program of a row; as it is lowered and after each pass it is verified on the way."""
    found = []

    def stop(stages, *args, **kwargs):
        found.append(stages.program)
        raise Lowered

    for module in (execute, function):
        monkeypatch.setattr(module, "native_entry", stop)
    with config.override(verify=True), pytest.raises(Lowered):
        row.tools["symflux"](sf, np)(*row.inputs())
    return found[0]


@pytest.mark.quick(every=4)
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if row.small else pytest.mark.slow) for n, row in ROWS.items()],
)
def test_every_workload_is_proven(name, monkeypatch):
    program = loops(ROWS[name], monkeypatch)
    assert not [str(problem) for problem in unproven(program)]
    verify(program, prove=True)


def test_only_the_longest_straight_line_code_is_left_out():
    assert {row.name for row in all_rows() if "symflux" in row.tools} == set(ROWS) | LONG
