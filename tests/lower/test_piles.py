"""Sums of overlapping blocks: added up in memory, with the bits of the sum as it stands."""

import itertools

import numpy as np
import pytest
from symflux.codegen.ir import Program
from symflux.codegen.text import print_program

import symflux as sf
from symflux.runtime.stages import make_stages
from symflux.thresholds import lowered
from symflux.trace.trace import trace


def _convolved(x, k):
    n = tuple(a - b + 1 for a, b in zip(x.shape, k.shape, strict=True))
    total = 0
    for at in itertools.product(*map(range, k.shape)):
        total = total + x[tuple(slice(i, i + m) for i, m in zip(at, n, strict=True))] * k[at]
    return np.sum(total**2)


def _statements(program: Program) -> int:
    return print_program(program).count("\n")


@pytest.mark.parametrize("shape, kernel", [((9,), (4,)), ((7, 8), (3, 2)), ((6, 5, 7), (2, 3, 3))])
def test_gradients_of_convolutions_by_slices(shape, kernel):
    rng = np.random.default_rng(0)
    x, k = rng.random(shape), rng.random(kernel)
    out = _plain(x, k)
    slope = np.zeros(shape)
    for at in itertools.product(*map(range, kernel)):
        slope[tuple(slice(i, i + m) for i, m in zip(at, out.shape, strict=True))] += 2 * out * k[at]
    for most in (0, 10**9):
        with lowered(pile_from=most, pile_far=max(most, 1)):
            np.testing.assert_allclose(sf.grad(_convolved)(x, k), slope, rtol=1e-13)


def _plain(x, k):
    windows = np.lib.stride_tricks.sliding_window_view(x, k.shape)
    return np.tensordot(windows, k, axes=k.ndim)


def _blocks(x, y, z, w):
    """Sums of blocks in several orders, with arrays among them, and blocks that are stored."""
    a = np.pad(x, ((0, 2), (2, 0))) + np.pad(y, 1)
    b = w + np.pad(x, 1) + np.pad(y, ((2, 0), (0, 2))) - w * 2
    c = np.pad(z, ((1, 2), (1, 1))) + (np.pad(x, ((1, 1), (0, 2))) + np.pad(y, ((0, 2), (1, 1))))
    d = np.pad(x, ((2, 0), (2, 0)))
    e = d + np.pad(y, ((1, 1), (2, 0))) + np.pad(z, ((3, 0), (0, 2)))
    return a, b, c + a, e * d, w + np.pad(x, 1) + np.pad(y, ((2, 0), (0, 2)))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int32"])
def test_the_bits_are_those_of_the_sum(dtype):
    rng = np.random.default_rng(1)
    shapes = [(4, 6), (4, 6), (3, 6), (6, 8)]
    args = [(rng.standard_normal(s) * 100).astype(dtype) for s in shapes]
    args[3][0, 5] = -np.zeros((), dtype)  # a negative zero that no block reaches
    wanted = _blocks(*args)
    for most in (0, 10**9):
        with lowered(pile_from=most, pile_far=max(most, 1)):
            for found, value in zip(sf.compile(_blocks)(*args), wanted, strict=True):
                np.testing.assert_array_equal(found, value)
                np.testing.assert_array_equal(np.signbit(found), np.signbit(value))


def test_loops_grow_with_the_blocks_and_not_with_their_edges():
    sizes = []
    for n in (3, 5):
        x, k = np.ones((12, 12, 12)), np.ones((n, n, n))
        graph = trace(sf.grad(_convolved), (x, k)).graph
        sizes.append(_statements(make_stages(graph).program) / n**3)
    assert 0 < sizes[1] <= 1.2 * sizes[0], sizes


def test_steps_of_a_stencil_in_space():
    def run(u, steps=3):
        for _ in range(steps):
            v = u.copy()
            v[1:-1, 1:-1, 1:-1] += 0.1 * (
                u[2:, 1:-1, 1:-1] + u[:-2, 1:-1, 1:-1] + u[1:-1, 2:, 1:-1] + u[1:-1, :-2, 1:-1]
                + u[1:-1, 1:-1, 2:] + u[1:-1, 1:-1, :-2] - 6 * u[1:-1, 1:-1, 1:-1]
            )  # fmt: skip
            u = v
        return np.sum(u**2)

    x = np.ones((12, 12, 12))
    for fn, most in ((run, 150), (sf.grad(run), 400)):
        graphs = [trace(lambda u, f=fn, n=n: f(u, n), (x,)).graph for n in (2, 4)]
        two, four = [_statements(make_stages(g).program) for g in graphs]
        assert 0 < (four - two) / 2 <= most  # each step parted loops in 27 to 125 boxes

    rng = np.random.default_rng(2)
    u, along = rng.random((6, 5, 7)), rng.random((6, 5, 7))
    slope = np.sum(sf.grad(run)(u) * along)
    step = 1e-5
    wanted = (run(u + step * along) - run(u - step * along)) / (2 * step)
    np.testing.assert_allclose(slope, wanted, rtol=1e-8)
