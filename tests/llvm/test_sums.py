"""Long sums in narrow dtypes: added up in blocks, so that few rounding errors follow another."""

import numpy as np
import pytest

import symflux as sf
from symflux.thresholds import lowered

FUNCTIONS = {
    "sum": lambda x: np.sum(x),
    "mean": lambda x: np.mean(x) * x.size,
    "dot": lambda x: np.dot(x, np.sqrt(x) ** 0),
    "sum of a function": lambda x: np.sum(np.sqrt(x * x)),
    "sum and extremes": lambda x: np.sum(x) + 0 * (np.max(x) - np.min(x)),
    "rows": lambda x: np.max(np.sum(x.reshape(2, -1), axis=1)) * 2,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_sums_are_as_exact_as_numpys(name):
    for n in (9_000, 100_002, 3_000_000, 10_000_000):
        if n > 10**6 and name not in ("sum", "dot"):
            continue
        x = np.full(n, 0.1, np.float32)
        got = float(sf.compile(FUNCTIONS[name])(x))
        assert abs(got / (float(np.float32(0.1)) * n) - 1) < 1e-6


def test_sums_of_float16_in_blocks():
    x = np.ones(40_000, np.float16)
    assert float(sf.compile(np.sum)(x)) == 40_000


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("block", (1, 2, 3, 4))
def test_blocks_of_sums_take_every_element_once(block):
    sizes = (1, 7, 63, 64, 65, 255, 257, 511, 513, 1000, 1023, 1024, 1025, 2049, 4100)
    with lowered(sum_block=block):
        for n in sizes:
            x = np.arange(n, dtype=np.float32) % 7  # every partial sum is exact
            total = sf.compile(lambda x: (np.sum(x), np.sum(x * x), np.max(x)))(x)
            assert [float(v) for v in total] == [x.sum(), (x * x).sum(), x.max()]


def test_blocks_of_sums_in_pieces_with_a_rest():
    with lowered(sum_block=2, share_from=1, share_piece=1, share_pieces=5, share_grain=8):
        for n in (1000, 1003, 4097, 10_001):
            x = np.arange(n, dtype=np.float32) % 5
            assert float(sf.compile(lambda x: np.sum(x))(x)) == x.sum()


def test_long_dot_products_of_few_rows():
    for rows, k in ((1, 300_001), (4, 100_000), (8, 30_000)):
        a = np.full((rows, k), 0.1, np.float32)
        v = np.ones(k, np.float32)
        wanted = float(np.float32(0.1)) * k
        got = sf.compile(lambda a, v: (a @ v, np.einsum("ij,kj->ik", a, a)))(a, v)
        assert np.max(np.abs(got[0] / wanted - 1)) < 3e-6
        assert np.max(np.abs(got[1] / (float(np.float32(0.1)) ** 2 * k) - 1)) < 1e-5
    a = np.arange(8 * 5003).reshape(8, 5003) % 3  # every partial sum is exact
    for rows in (1, 3, 8):
        x = a[:rows].astype(np.float32)
        np.testing.assert_array_equal(sf.compile(lambda x: x @ x.T)(x), a[:rows] @ a[:rows].T)
