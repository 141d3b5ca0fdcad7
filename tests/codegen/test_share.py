"""Contractions cut into pieces: evenly for the threads there are, and not at any price."""

import math

import pytest
from symflux.codegen.builder import Builder
from symflux.codegen.ir import Contract, Loop, walk
from symflux.codegen.passes import share

from symflux.thresholds import lowered


def product(m, n, k, dtype="f32", batch=1):
    """A program of ``batch`` matrix products."""
    b = Builder("product")
    x = b.input("x", dtype, batch * m * k)
    y = b.input("y", dtype, batch * k * n)
    out = b.output("out", dtype, batch * m * n)
    dims = [("m", m, k, 0), ("n", n, 0, 1), ("k", k, 1, n)]
    if batch > 1:
        dims.insert(0, ("batch", batch, m * k, k * n))
    with b.kernel("k"), b.contract(x, y, dims) as c:
        *batches, i, j = c.indices
        b.store(out, n * i + j + sum(m * n * z for z in batches), c.acc)
    return b.program()


def cut(program):
    """(pieces, the part of the work that is in the largest); (1, 1.0) if it stays whole."""
    statements = list(walk(share.share_contractions(program).kernels[0].body))
    loops = [s for s in statements if isinstance(s, Loop)]
    work = [math.prod(d.extent for d in s.dims) for s in statements if isinstance(s, Contract)]
    (whole,) = [s for s in walk(program.kernels[0].body) if isinstance(s, Contract)]
    return (loops[0].extent if loops else 1), max(work) / math.prod(d.extent for d in whole.dims)


SIZES = [
    (128, 256, 784), (784, 256, 128), (1024, 256, 784), (1000, 500, 20), (50176, 32, 144),
    (210, 1000, 20), (200, 200, 200), (64, 1000, 500), (333, 77, 129), (130, 130, 400),
]  # fmt: skip


@pytest.mark.parametrize("processors", [1, 2, 3, 4, 6, 16, 64])
def test_pieces_are_shared_evenly(processors, monkeypatch):
    """Three pieces for two threads: one of them waits for the other half of the time."""
    monkeypatch.setattr(share, "processors", lambda: processors)
    most = 0.65 if processors <= 2 else 0.75
    for m, n, k in SIZES:
        count, largest = cut(product(m, n, k))
        assert count >= 2
        assert math.ceil(count / 2) * largest < most, (m, n, k, count)
    for batch in (2, 3, 4, 7, 8, 100):
        count, largest = cut(product(64, 128, 64, batch=batch))
        assert math.ceil(count / 2) * largest < most, (batch, count)
    count, largest = cut(product(1024, 1024, 1024))
    assert math.ceil(count / processors) * largest < max(1.2 / processors, 0.07)


def test_small_products_are_left_whole():
    assert cut(product(16, 64, 64)) == (1, 1.0)
    assert cut(product(16, 256, 64)) == (2, 0.5)
    assert cut(product(16, 128, 64, "f64")) == (2, 0.5)
    assert cut(product(1, 1, 10**6))[0] == 1  # nothing to cut: one sum


def test_as_much_is_copied_again_as_the_threshold_says():
    with lowered(product_copied=0.0):
        assert cut(product(128, 256, 4096)) == (2, 0.5)


def test_few_rows_are_cut_where_each_core_has_the_other_operand(monkeypatch):
    """A recurrent cell: the rows that a thread computes are those that it reads next."""
    monkeypatch.setattr(share, "processors", lambda: 2)

    def rows(m, n, k):
        body = share.share_contractions(product(m, n, k)).kernels[0].body
        dims = [d for s in walk(body) if isinstance(s, Contract) for d in s.dims]
        return {d.extent for d in dims if d.role == "m"}

    assert rows(16, 256, 64) == {8}
    assert rows(16, 1024, 256) == {16}  # a megabyte: each core would read all of it
