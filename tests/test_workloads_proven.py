"""The memory of every small workload's loops is proven right, without machine code."""

import numpy as np
import pytest
from symflux.codegen.proof import unproven
from symflux.codegen.verify import verify

import symflux as sf
from symflux.bench.workloads import all_rows
from symflux.runtime import execute, function

ROWS = {row.name: row for row in all_rows() if row.small and "symflux" in row.tools}


class Lowered(Exception):
    """Stands for machine code: the workload got as far as its loops."""


def loops(row, monkeypatch):
    """The program of a row."""
    found = []

    def stop(stages, *args, **kwargs):
        found.append(stages.program)
        raise Lowered

    for module in (execute, function):
        monkeypatch.setattr(module, "native_entry", stop)
    with pytest.raises(Lowered):
        row.tools["symflux"](sf, np)(*row.inputs())
    return found[0]


@pytest.mark.parametrize("name", ROWS)
def test_every_small_workload_is_proven(name, monkeypatch):
    program = loops(ROWS[name], monkeypatch)
    assert not [str(problem) for problem in unproven(program)]
    verify(program, prove=True)
