"""Random programs stay inside their memory: they run between guard pages with the same results."""

import pytest
from symflux.codegen.llvm.guard import GuardedProgram

from symflux import config

from . import campaign
from .loops import random_program
from .native import native_arrays
from .running import differences, make_arguments

SIDES = ("end", "start")


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("part", range(3))
def test_random_loops_stay_inside_their_arrays(part):
    for seed in range(5 * part, 5 * part + 5):
        program = random_program(seed)
        arrays, sizes = make_arguments(program)
        GuardedProgram(program, SIDES[seed % 2]).run(arrays, sizes, partial=True)
        assert not differences(native_arrays(program), arrays), seed


def check(seeds):
    for seed in seeds:
        case = campaign.draw(seed)
        with config.override(guard=SIDES[seed % 2]):
            assert not campaign.problem(case), case


def test_random_functions_stay_inside_their_arrays():
    check(range(5000, 5004))


@pytest.mark.slow
def test_many_random_functions_stay_inside_their_arrays():
    check(range(5100, 5200))
