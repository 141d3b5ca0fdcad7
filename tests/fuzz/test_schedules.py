"""Random graphs under extreme schedules: everything shared out among threads, nothing kept.

The thresholds that decide what pays are set so that the smallest loop is shared out and the
smallest array is computed again. The results are those of the interpreter, and the same bits for
every number of threads.
"""

import random

import numpy as np
import pytest
from symflux.codegen import threads
from symflux.codegen.interp import run as interpret
from symflux.codegen.ir import Loop, walk
from symflux.codegen.scalars import numpy_dtype

from symflux.runtime.execute import flat_entry, plain
from symflux.runtime.stages import make_stages
from symflux.thresholds import lowered

from . import graphs
from .campaign import some_lowered
from .test_graphs import SEES_ZERO_SIGN, check, differs


@pytest.fixture(autouse=True)
def everything_is_worth_it(threads_as_before):
    with lowered(
        share_from=0.0, share_piece=1e-3, share_grain=1, share_rows=1, thread_from=1, chunk=1,
        first_cache=0, fetch_from=0,
    ):  # fmt: skip
        yield


@pytest.fixture(params=["kept", "again"])
def memory(request):
    """Whether stored values are kept, or all computed again where they are read."""
    again = {"recompute_from": 1, "recompute_margin": 0.0}
    with lowered(**again if request.param == "again" else {}):
        yield request.param


def native(graph):
    """The graph's function of arrays: natively, with the same bits for every number of threads."""
    stages = make_stages(graph)
    entry = flat_entry(stages)
    bounds = {
        b.name: np.zeros(int(b.size), numpy_dtype(b.dtype)) for b in stages.program.arguments()
    }
    with np.errstate(all="ignore"):
        interpret(stages.program, bounds)  # which stops at an index out of bounds

    def call(arrays):
        values = [plain(a, x.type) for a, x in zip(arrays, graph.inputs, strict=True)]
        found = []
        for count in (1, 2, 3):
            threads.set_threads(count)
            found.append([np.array(y) for y in entry.call(*values)])
        for other in found[1:]:
            for one, two in zip(found[0], other, strict=True):
                assert one.tobytes() == two.tobytes()
        return found[0]

    return call


@pytest.mark.quick(every=5)
@pytest.mark.parametrize("piece", [1e-3, 0.5])
@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed, memory, piece):
    with lowered(share_piece=piece):
        check(seed, native, differs, without=SEES_ZERO_SIGN)


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("seed", range(1000, 1025))
def test_random_graphs_with_any_thresholds(seed):
    with lowered(**some_lowered(random.Random(seed))):
        check(seed, native, differs, without=SEES_ZERO_SIGN)


def test_loops_are_shared_out():
    """The tests above test something: most random graphs have parallel loops."""
    shared = 0
    for seed in range(20):
        program = make_stages(graphs.random_graph(seed)).program
        loops = [s for k in program.kernels for s in walk(k.body) if isinstance(s, Loop)]
        shared += any(loop.mode == "parallel" for loop in loops)
    assert shared >= 8
