"""Every kind of operation and of region under every threshold at its ends."""

import functools
import random

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from symflux.codegen import threads

import symflux as sf
from symflux.thresholds import TABLE, lowered

R = np.random.default_rng(0)
N = 33
X, Y, M = R.standard_normal(N), R.standard_normal(N), R.standard_normal((N, 21))
PLACES, B, H = R.permutation(N), R.random(N) > 0.5, R.standard_normal(N).astype("f2")


def arrays(x, y, m, i, b, h):
    """Elementwise, moves, windows, picks, writes, sums, products; several dtypes."""
    t = np.tanh(x) * y + np.exp(-y * y)
    w = sliding_window_view(np.pad(x, (2, 1)), 4)
    z = x.copy()
    z[2:9] += y[3:10]
    z[::3] = t[::3]
    e = np.exp(m - m.max(1, keepdims=True))
    s = e / e.sum(1, keepdims=True)
    return (
        t, np.sin(x * 3), w.max(-1), w @ np.ones(4), np.concatenate([x[3:], y[:5], t[::-2]]),
        np.stack([x, y, t], -1)[::-1], z, m @ m.T, s, s.T @ m, np.cumsum(x), x[i],
        np.maximum(x, y).argmax(), np.where(b, x, y), (i * 7) % 5, (i.astype("i4") << 2) ^ 3,
        np.any(b), np.prod(x * 0.5 + 1), m.sum(0), m.var(1), m.T * 2, h * h + h, (m > 0).sum(0),
    )  # fmt: skip


def regions(x, y, m, i):
    """Loops, branches, maps, and derivatives of them."""

    def swapped(k, s):
        return s[1], np.roll(s[0], 1) * 0.5 + s[1][::-1] + k

    def steps(row, most):
        counted = (0, 1.0)
        return sf.while_loop(
            lambda s: s[0] < most, lambda s: (s[0] + 1, s[1] * row[s[0] % 3]), counted
        )

    def energy(x):
        return np.sum(np.sin(x) * sf.fori_loop(0, 3, lambda k, s: s * x + np.roll(s, 2), x))

    added = x * 0
    np.add.at(added, i % 7, y)
    return (
        sf.fori_loop(0, 4, swapped, (x, y)),
        sf.scan(lambda c, v: ((c[1], c[0] * 0.5 + v), c[0][:4] * v), (x, y), y[:6], reverse=True),
        sf.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, s[1] * 1.5 + x[s[0]]), (0, x)),
        sf.cond(x[0] > 0, lambda a, b: (a * 2, b), lambda a, b: (b, a[::-1]), x, y),
        sf.vmap(steps)(m, i % 4), sf.grad(energy)(x), sf.hessian(energy)(x[:5]), added,
    )  # fmt: skip


PROGRAMS = {arrays: (X, Y, M, PLACES, B, H), regions: (X, Y, M, PLACES)}


@functools.cache
def wanted(f):
    """NumPy's own results; for regions, those with the usual thresholds."""
    run = f if f is arrays else sf.compile(f)
    return [np.asarray(y) for y in sf.tree.flatten(run(*PROGRAMS[f]))[0]]


def check(limits, programs=tuple(PROGRAMS)):
    for f in programs:
        wanted(f)
        with lowered(**limits):
            compiled = sf.compile(f)
            for count in (1, 2):
                threads.set_threads(count)
                found = sf.tree.flatten(compiled(*PROGRAMS[f]))[0]
                for one, other in zip(map(np.asarray, found), wanted(f), strict=True):
                    assert one.dtype == other.dtype and one.shape == other.shape
                    near = 2e-2 if other.dtype == "f2" else 1e-9
                    np.testing.assert_allclose(one, other, rtol=near, atol=near)


#: Up to how much is written out: all that there is would keep LLVM busy for minutes.
WRITTEN_OUT = ("unroll", "written_out", "unrolled_statements", "product_unrolled")


def ends(name):
    """The least value that a threshold may be, and one that nothing reaches."""
    row, most = TABLE[name], 200 if name in WRITTEN_OUT else 10**9
    if isinstance(row.default, tuple):
        return (0,) * len(row.default), (most,) * len(row.default)
    return type(row.default)(row.least), type(row.default)(most)


@pytest.mark.parametrize("program", [arrays, pytest.param(regions, marks=pytest.mark.slow)])
def test_all_thresholds_at_their_least(program, threads_as_before):
    check({name: ends(name)[0] for name in TABLE}, [program])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_thresholds_at_either_end(seed, threads_as_before):
    """Some at one end, some at the other, some as usual."""
    r = random.Random(seed)
    check({name: r.choice(ends(name)) for name in TABLE if r.random() < 0.7})


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_each_threshold_at_both_ends(name, threads_as_before):
    for value in ends(name):
        check({name: value})
