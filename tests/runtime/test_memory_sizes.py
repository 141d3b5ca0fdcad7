"""Sizes of memory that no machine has: MemoryError, never a size that wraps around at 2**64."""

import numpy as np
import pytest

import symflux as sf

SCALAR = 0.5


def line(x, n):
    return np.broadcast_to(x, (n,))


def stacked(x, n):
    return sf.scan(lambda c, _: (c + 1.0, c), x, None, length=n)[1]


PROGRAMS = {
    "stacked results": stacked,
    "stacked results that are summed": lambda x, n: np.sum(stacked(x, n)),
    "running sums": lambda x, n: np.cumsum(line(x, n)),
    "the last of running sums": lambda x, n: np.cumsum(line(x, n))[-1],
    "two running sums": lambda x, n: np.sum(np.cumsum(line(x, n)) * np.cumsum(line(x + 1, n))),
    "running sums of bytes": lambda x, n: np.cumsum(line(np.int8(1) + (x > 0), n), dtype="i1"),
    "copies": lambda x, n: np.concatenate([line(x, n), line(x, n)]),
    "a matrix": lambda x, n: line(x, 2**31)[:, None] * line(x, n // 2**31),
    "a product": lambda x, n: line(x, 2**31)[:, None] @ line(x, n // 2**31)[None, :],
    "a gradient": sf.grad(lambda x, n: np.sum(np.cumsum(line(x, n)) ** 2)),
    "rows of a batch": lambda x, n: sf.vmap(lambda v: np.cumsum(line(v, n // 2)))(np.ones(4) * x),
}  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_sizes_beyond_all_machines(program):
    """2**61 doubles are 2**64 bytes: none, as far as 64 bits can tell."""
    for exponent in (62, 61, 60, 58):
        f = sf.compile(program, static_argnums=1)
        for _ in range(2):
            with pytest.raises((MemoryError, ValueError)) as caught:
                f(SCALAR, 2**exponent)
            too_big = "too big" in str(caught.value) or "too large" in str(caught.value)
            assert (
                caught.type is MemoryError or too_big
            )  # the latter are NumPy's own, while tracing


def test_sizes_that_are_never_stored_count_for_nothing():
    f = sf.compile(lambda x: line(x, 2**61)[5] + line(x, 2**61)[::-1][2**60])
    assert f(SCALAR) == 1.0
    f = sf.compile(lambda x: line(x, 2**61)[3:7] * 2.0)
    np.testing.assert_array_equal(f(SCALAR), np.ones(4))
