"""Loops shared out among threads: which, and the same bits whatever the number of threads."""

import numpy as np
import pytest
from symflux.codegen import threads
from symflux.codegen.ir import BYTES, Loop, Role, Store, walk

import symflux as sf
from symflux.lower import share
from symflux.thresholds import lowered, thresholds

RANDOM = np.random.default_rng(11)


pytestmark = pytest.mark.usefixtures("threads_as_before")


def results(f, *args):
    """The leaves of the result as bytes, for several numbers of threads; and the parallel loops."""
    compiled = sf.compile(f)
    found = []
    for count in (1, 2, 5):
        threads.set_threads(count)
        value = compiled(*args)
        leaves = value if isinstance(value, tuple) else (value,)
        found.append([np.asarray(x).copy() for x in leaves])
    for other in found[1:]:
        assert [x.tobytes() for x in other] == [x.tobytes() for x in found[0]]
    program = compiled.lower(*args).stages.program
    loops = [s for k in program.kernels for s in walk(k.body) if isinstance(s, Loop)]
    return found[0], [loop for loop in loops if loop.mode == "parallel"]


def softmax_rows(x):
    w = np.exp(x - np.max(x, axis=1, keepdims=True))
    return w / np.sum(w, axis=1, keepdims=True)


@pytest.mark.quick(every=2)
@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.exp(x) * 2.0,
        lambda x: np.sum(np.sin(x)),
        lambda x: np.sum(x, axis=0),
        lambda x: np.sum(x, axis=1),
        lambda x: np.max(np.tanh(x), axis=0) + np.min(x),
        softmax_rows,
        lambda x: x[1:] - x[:-1] ** 2,
        lambda x: np.pad(np.exp(x), ((3, 2), (1, 1))),
        lambda x: np.concatenate([x[:7] * 2.0, np.cos(x)]),
        lambda x: np.mean((x - np.mean(x, axis=0)) ** 2, axis=0),
    ],
)
def test_against_numpy(f):
    x = RANDOM.normal(size=(903, 117))
    (found,), loops = results(f, x)
    assert loops
    np.testing.assert_allclose(found, f(x), rtol=1e-11, atol=1e-12)


def test_column_sums_beside_row_sums():
    """The gradient of a layer norm: sums over rows and over columns in one loop."""

    def f(x, g, b):
        m = np.mean(x, axis=1, keepdims=True)
        v = np.mean((x - m) ** 2, axis=1, keepdims=True)
        return np.sum(np.tanh((x - m) / np.sqrt(v + 1e-5) * g + b))

    x, g, b = RANDOM.normal(size=(700, 90)), RANDOM.normal(size=90), RANDOM.normal(size=90)
    gradient = sf.grad(f, argnums=(0, 1, 2))
    found, loops = results(gradient, x, g, b)
    assert loops
    for i, direction in enumerate((x, g, b)):
        arguments = [x, g, b]
        arguments[i] = direction + 1e-6 * direction
        slope = (f(*arguments) - f(x, g, b)) / 1e-6
        assert np.sum(found[i] * direction) == pytest.approx(slope, rel=1e-3, abs=1e-3)


def test_few_long_rows_are_shared_out_inside():
    x = RANDOM.normal(size=(3, 200_000))
    (found,), loops = results(lambda x: np.sum(np.exp(x), axis=1), x)
    assert len(loops) == 1
    np.testing.assert_allclose(found, np.sum(np.exp(x), axis=1), rtol=1e-12)


def test_in_place():
    step = sf.compile(lambda x, g: x - 0.1 * g, donate=("x",))
    x, g = RANDOM.normal(size=(2, 300_000))
    expected = x - 0.1 * g
    threads.set_threads(2)
    np.testing.assert_allclose(step(x, g), expected, rtol=1e-14, atol=1e-14)


def test_little_work_stays_in_one_thread():
    _, loops = results(lambda x: x * 2.0, np.ones(10_000))
    assert not loops


@pytest.mark.parametrize("extent", [1, 2, 63, 64, 1000, 999_983, 10**6])
@pytest.mark.parametrize("pieces", [2, 7, 64])
def test_pieces_cover_every_iteration_once(extent, pieces):
    for leaf in (True, False):
        loop = share.LoopItem(share.Leaf, children=[share.Leaf(None)] if leaf else [None])
        unit = share.unit_of(share.Share(loop, pieces), extent)
        count = -(-extent // unit)
        assert unit >= 1 and count <= pieces
        assert not leaf or count == 1 or unit % thresholds.share_grain == 0 or extent % unit == 0


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("rows", [97, 100, 118, 126, 1000])
def test_every_piece_has_its_own_memory(rows):
    """Once a number of pieces was rounded up, beyond the copies of what each keeps for itself."""
    for nanoseconds in (300.0, 1500.0, 4000.0):
        x = RANDOM.normal(size=(rows, 100))
        with lowered(share_from=1.0, share_piece=nanoseconds):
            (found,), _ = results(softmax_rows, x)
            program = sf.compile(softmax_rows).lower(x).stages.program
        np.testing.assert_allclose(found, softmax_rows(x), rtol=1e-12)
        (loop,) = [s for k in program.kernels for s in k.body.statements if isinstance(s, Loop)]
        temporaries = [b.size for b in program.buffers if b.role is Role.TEMP]
        if loop.mode == "parallel":
            assert all(size >= 100 * loop.extent for size in temporaries)


def test_pieces_share_no_cache_line():
    """Copies of what each piece keeps for itself start on lines of their own."""
    x, which = RANDOM.normal(size=(40_000, 11)), RANDOM.integers(0, 11, 40_000)

    def f(x, which):  # eleven numbers are kept for each row, to be picked from
        y = np.exp(x - np.sum(x, axis=1, keepdims=True))
        return np.take_along_axis(y, which[:, None], axis=1) / np.sum(y, axis=1, keepdims=True)

    (found,), loops = results(f, x, which)
    assert loops
    np.testing.assert_allclose(found, f(x, which), rtol=1e-11)
    program = sf.compile(f).lower(x, which).stages.program
    statements = [s for kernel in program.kernels for s in walk(kernel.body)]
    pieces = {s.var for s in statements if isinstance(s, Loop) and s.mode == "parallel"}
    own = [s for s in statements if isinstance(s, Store) and s.buffer.role is Role.TEMP]
    steps = [c * BYTES[s.buffer.dtype] for s in own for v, c in s.index.terms if v in pieces]
    assert steps and all(step % 64 == 0 for step in steps)


def test_contractions_with_several_axes_of_rows_are_cut():
    """A convolution's rows are images, lines and columns: 64 images of 14 x 14 places."""
    x, w = RANDOM.normal(size=(64, 16, 16, 16)), RANDOM.normal(size=(3, 3, 16, 32))

    def convolution(x, w):
        seen = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
        return np.tensordot(seen, w, axes=((-3, -2, -1), (2, 0, 1)))

    (found,), loops = results(convolution, x, w)
    np.testing.assert_allclose(found, convolution(x, w), rtol=1e-12, atol=1e-12)
    assert loops


def test_a_recurrent_cell_is_shared_out_step_by_step():
    """A few microseconds of work, again and again: products and gates of every step, and those of
    its derivative."""
    batch, hidden = 16, 64
    w = RANDOM.normal(size=(2, hidden, 4 * hidden)).astype(np.float32) / 8
    xs = RANDOM.normal(size=(4, batch, hidden)).astype(np.float32)

    def step(w, state, x):
        h, c = state
        z = x @ w[0] + h @ w[1]
        i, f, g, o = (z[:, n * hidden : (n + 1) * hidden] for n in range(4))
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        return np.tanh(c) / (1 + np.exp(-o)), c

    def forward(w, xs):
        zero = np.zeros((batch, hidden), np.float32)
        (h, _), _ = sf.scan(lambda s, x: (step(w, s, x), 0.0), (zero, zero), xs)
        return h

    def plainly(w):
        state = (np.zeros((batch, hidden)),) * 2
        for x in xs:
            state = step(w, state, x)
        return state[0]

    (found,), loops = results(forward, w, xs)
    assert len(loops) == 3
    np.testing.assert_allclose(found, plainly(w), rtol=2e-5, atol=2e-6)
    direction = RANDOM.normal(size=w.shape)
    (slope,), loops = results(sf.grad(lambda w, xs: np.sum(forward(w, xs))), w, xs)
    assert len(loops) > 6
    up, down = (np.sum(plainly(w + e * direction)) for e in (1e-5, -1e-5))
    assert np.sum(slope * direction) == pytest.approx((up - down) / 2e-5, rel=1e-3)
