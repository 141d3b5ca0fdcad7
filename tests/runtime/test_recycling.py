"""Memory of large results that died serves the next: never that of results that live."""

import gc
import pickle
import subprocess
import sys
import textwrap
import threading
import weakref

import numpy as np
import pytest
from symflux.codegen.llvm import memory

import symflux as sf

pytestmark = pytest.mark.skipif(not memory.available(), reason="NumPy allocates here")
SIZE = 100_000  # 800 kB


def place(array):
    return array.__array_interface__["data"][0]


def test_the_memory_of_a_dead_result_is_used_again():
    f = sf.compile(lambda x: x * 2.0)
    x = np.arange(float(SIZE))
    places = set()
    for n in range(50):
        y = f(x + n)
        places.add(place(y))
        assert y[-1] == 2.0 * (SIZE - 1 + n)
    assert len(places) <= 3


def test_results_that_live_are_left_alone():
    f = sf.compile(lambda x: x * 2.0)
    x = np.arange(float(SIZE))
    kept = [f(x + n) for n in range(20)]
    assert len({place(y) for y in kept}) == 20
    for n, y in enumerate(kept):
        assert np.array_equal(y, 2.0 * (x + n))


def test_a_view_keeps_the_memory():
    f = sf.compile(lambda x: x * 2.0)
    x = np.arange(float(SIZE))
    y = f(x)
    view, where = y[10:20], place(y)
    del y
    gc.collect()
    others = [f(x + 1.0) for _ in range(12)]
    assert where not in {place(other) for other in others}
    assert np.array_equal(view, 2.0 * x[10:20])


def test_they_are_ordinary_arrays():
    y = sf.compile(lambda x: x * 2.0)(np.arange(float(SIZE)))
    assert y.flags.owndata and y.flags.writeable and y.base is None
    assert np.array_equal(pickle.loads(pickle.dumps(y)), y)
    y.resize(2 * SIZE, refcheck=False)  # through the handler's realloc
    assert y[SIZE - 1] == 2.0 * (SIZE - 1) and y[-1] == 0.0
    y.resize(5, refcheck=False)
    assert y.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    alive = weakref.ref(y)
    del y
    assert alive() is None


def test_several_results_and_dtypes():
    f = sf.compile(lambda x: (x + 1.0, (x * 2.0).astype("f4"), x > 3.0))
    x = np.arange(float(SIZE * 4))
    for _ in range(5):
        a, b, c = f(x)
        assert np.array_equal(a, x + 1.0) and b.dtype == np.float32 and np.array_equal(c, x > 3.0)
        assert np.array_equal(b, (x * 2.0).astype("f4"))


def test_from_many_threads():
    f = sf.compile(lambda x: x * 2.0)
    wrong = []

    def work(n):
        x = np.full(SIZE, float(n))
        for _ in range(100):
            y = f(x)
            if y[0] != 2.0 * n or y[-1] != 2.0 * n:
                wrong.append(n)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.slow
def test_what_is_kept_is_bounded():
    """A new process: many results of different sizes leave little behind."""
    script = """
        import numpy as np, symflux as sf
        def resident():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * 4096
        f = sf.compile(lambda x: x * 2.0)
        for n in range(60):
            f(np.ones(1_000_000 + 1000 * n))
        print(resident() / 2**20)
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    run = [sys.executable, "-c", textwrap.dedent(script)]
    grown = float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert grown < 500.0  # 60 results are 480 MB, and at most 8 of them are kept


def test_it_can_be_given_back():
    memory.register()
    memory._memory().trim()
    y = sf.compile(lambda x: x * 2.0)(np.ones(SIZE))
    del y
    memory._memory().trim()
