"""The processor that code is made for: this one, or a level of x86-64 by the environment."""

import itertools
import os
import platform
import subprocess
import sys

import pytest
from symflux.codegen.llvm.machine import at_level, missing

LEVELS = {"x86-64": 16, "x86-64-v2": 16, "x86-64-v3": 32, "x86-64-v4": 64}

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="levels of x86-64")


def run_with(target, program):
    env = os.environ | {"SYMFLUX_TARGET": target, "SYMFLUX_CACHE_DIR": "off"}
    return subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("level", LEVELS)
def test_levels_have_the_registers_of_their_standard(level):
    machine = at_level(level)
    assert machine.vector_bytes == LEVELS[level]
    assert machine.cpu == level and machine.layout
    assert machine.has_permutes == (level == "x86-64-v4")


def test_each_level_needs_what_the_one_before_needs():
    wanted = [set(missing(level)) for level in LEVELS]
    assert all(low <= high for low, high in itertools.pairwise(wanted))
    assert not wanted[0]


@pytest.mark.quick(every=4)
@pytest.mark.parametrize("level", LEVELS)
def test_the_environment_names_the_processor(level):
    program = (
        "import numpy as np, symflux as sf\n"
        "f = sf.compile(lambda x: np.sin(x) * 2)\n"
        "x = np.linspace(0, 3, 1000)\n"
        "np.testing.assert_allclose(f(x), np.sin(x) * 2, rtol=1e-15)\n"
        "from symflux.codegen.llvm.machine import host; print(host().cpu)"
    )
    done = run_with(level, program)
    if missing(level):
        assert done.returncode != 0
        assert f"this processor does not have {', '.join(missing(level))}" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-1] == level


def test_processors_that_do_not_exist_are_refused():
    done = run_with("x86-64-v9", "import symflux as sf; sf.compile(lambda x: x + 1)(1.0)")
    assert done.returncode != 0
    assert "SYMFLUX_TARGET: no target 'x86-64-v9'; there are x86-64, x86-64-v2" in done.stderr
