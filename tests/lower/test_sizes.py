"""Right values at sizes from which on loops are shared out, and values computed again or late."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from symflux.codegen import threads

import symflux as sf
from symflux import config
from symflux.thresholds import lowered

pytestmark = pytest.mark.usefixtures("threads_as_before")

RANDOM = np.random.default_rng(23)


def normal(*shape):
    return RANDOM.normal(size=shape)


def check(f, *args, donate=(), tolerance=1e-10):
    """The same values as NumPy's, with one thread and with two."""
    expected = f(*args)
    several = isinstance(expected, tuple)
    for count in (1, 2):
        threads.set_threads(count)
        found = sf.compile(f, donate=donate)(*[np.array(x) for x in args])
        pairs = zip(found, expected, strict=True) if several else [(found, expected)]
        for value, wanted in pairs:
            np.testing.assert_allclose(value, wanted, rtol=tolerance, atol=tolerance)


def windows(padding, shape):
    weights = np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)
    axes = tuple(range(-len(shape), 0))

    def f(x):
        return (sliding_window_view(np.pad(x, padding), shape) * weights).sum(axes)

    return f


# --- padded windows ---


def test_guards_hold_in_every_piece_of_a_padded_blur():
    check(windows(1, (3, 3)), normal(800, 500))
    check(windows(1, (3, 3)), normal(71, 83))


@pytest.mark.parametrize("padding", [(4096, 0), (0, 4096), (19, 19), (1, 70_000)])
def test_guards_hold_in_every_piece_of_a_padded_signal(padding):
    check(windows(padding, (20,)), normal(100_000))


@pytest.mark.parametrize(
    ("padding", "shape", "window"),
    [
        (((0, 0), (2, 0)), (300, 400), (1, 3)),
        (((5, 0), (0, 5)), (300, 401), (6, 6)),
        (((1, 1), (1, 1), (1, 1)), (40, 30, 20), (3, 3, 3)),
        (((0, 3), (2, 0), (1, 0)), (33, 31, 29), (2, 3, 2)),
    ],
)
def test_guards_hold_in_every_piece_over_more_axes(padding, shape, window):
    check(windows(padding, window), normal(*shape))


@pytest.mark.quick(every=2)
@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.pad(x, (40, 3))[1:] * 2.0 - np.pad(x, (3, 40))[:-1],
        lambda x: np.roll(np.pad(x, (0, 17)), 9) + 1.0,
        lambda x: np.concatenate([x[-9:], x, x[:9]])[4:-4] ** 2,
        lambda x: np.sum(np.pad(x, (5000, 1)) * np.pad(x, (1, 5000))),
        lambda x: np.pad(x, (7, 0))[::-1][:-3],
        lambda x: np.pad(x.reshape(-1, 4), ((0, 30), (1, 1))).sum(1),
    ],
)
def test_ends_of_moved_arrays_in_every_piece(f):
    check(f, normal(60_000))
    check(f, normal(5_200))


def test_the_gradient_of_a_padded_blur():
    x, k = normal(90, 110), normal(3, 3)

    def blur(x):
        return (sliding_window_view(np.pad(x, 1), (3, 3)) * k).sum((-1, -2))

    found = sf.grad(lambda x: np.sum(blur(x) ** 2))(x)
    backwards = (sliding_window_view(np.pad(2.0 * blur(x), 1), (3, 3)) * k[::-1, ::-1]).sum(
        (-1, -2)
    )
    np.testing.assert_allclose(found, backwards, rtol=1e-10, atol=1e-13)  # sums that cancel


# --- late copies ---

PAIRS = [
    lambda a, b: (b, a + b),
    lambda a, b: (np.roll(a, 1), a * b),
    lambda a, b: (b * 0.5, a * 0.5),
    lambda a, b: (a[::-1], b + 1.0),
    lambda a, b: (b, a),
    lambda a, b: (a + b, a - b),
    lambda a, b: (b[::-1] + a, np.concatenate([a[1:], b[:1]])),
    lambda a, b: (np.where(a > 0, b, a), np.where(a > 0, a, b)),
    lambda a, b: (np.concatenate([a[:7] * 2.0, b[7:]]), a + np.sum(b) * 0.001),
    lambda a, b: (a + 0.1 * b, b - 0.1 * np.sin(a + 0.1 * b)),
]


@pytest.mark.quick(every=4)
@pytest.mark.parametrize("size", [2047, 2048, 70_000])
@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_donated_arrays_are_overwritten_last(number, size):
    check(PAIRS[number], normal(size), normal(size), donate=("a", "b"))


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("number", range(len(PAIRS)))
@pytest.mark.parametrize("size", [2048, 33_000])
def test_carries_are_overwritten_last(number, size):
    step = PAIRS[number]
    a, b = normal(size), normal(size)
    expected = (a, b)
    for _ in range(3):
        expected = step(*expected)

    def by_while(a, b):
        _, a, b = sf.while_loop(
            lambda s: s[0] < 3, lambda s: (s[0] + 1, *step(s[1], s[2])), (0, a, b)
        )
        return a, b

    loops = [
        lambda a, b: sf.fori_loop(0, 3, lambda i, s: step(*s), (a, b)),
        lambda a, b: sf.scan(lambda s, i: (step(*s), s[0]), (a, b), np.arange(3.0))[0],
        by_while,
    ]
    for loop in loops:
        for value, wanted in zip(sf.compile(loop)(a, b), expected, strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-12)


def test_stacked_results_of_a_scan_that_shifts_its_carries():
    a, b, c = normal(4_000), normal(4_000), normal(4_000)

    def step(s, x):
        a, b, c = s
        return (b, c, a + x * b), (a - c, np.sum(b))

    found, (rows, sums) = sf.compile(lambda *s: sf.scan(step, s, np.arange(5.0)))(a, b, c)
    state = (a, b, c)
    for x in range(5):
        state, (row, total) = step(state, float(x))
        np.testing.assert_allclose(rows[x], row, rtol=1e-12)
        np.testing.assert_allclose(sums[x], total, rtol=1e-9)
    for value, wanted in zip(found, state, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-12)


def test_carries_that_change_places_in_nested_loops_and_branches():
    a, b = normal(3_000), normal(3_000)

    def inner(s):
        return sf.fori_loop(0, 2, lambda i, s: (s[1], s[0] + s[1]), s)

    def outer(i, s):
        a, b = inner(s)
        return sf.cond(i % 2 == 0, lambda a, b: (b * 0.5, a), lambda a, b: (a, b - a), a, b)

    found = sf.compile(lambda a, b: sf.fori_loop(0, 3, outer, (a, b)))(a, b)
    for i in range(3):
        for _ in range(2):
            a, b = b, a + b
        a, b = (b * 0.5, a) if i % 2 == 0 else (a, b - a)
    np.testing.assert_allclose(found[0], a, rtol=1e-12)
    np.testing.assert_allclose(found[1], b, rtol=1e-12)


def test_matrices_that_change_places():
    step = lambda a, b: (b.T * 0.5, a @ b * 0.01)  # noqa: E731
    a, b = normal(60, 60), normal(60, 60)
    check(step, a, b, donate=("a", "b"))
    found = sf.compile(lambda a, b: sf.fori_loop(0, 3, lambda i, s: step(*s), (a, b)))(a, b)
    for _ in range(3):
        a, b = step(a, b)
    np.testing.assert_allclose(found[0], a, rtol=1e-10)
    np.testing.assert_allclose(found[1], b, rtol=1e-10)


# --- the last permitted plan ---


def updates(x, y, u):
    three = [(u / (u + c)) / (u + 2 * c) for c in (1.5, 2.5, 3.5)]
    t = (x / (u + 2.5)) / (x + 3.5)
    new = x * 0.5 + np.mean(t + three[0] + three[1] + three[2], 0)
    halves = 0.5 * three[0] + 0.5 * three[1] + 0.5 * three[2]
    return new, y + (t - halves + u) * new


def test_the_last_plan_keeps_what_it_stores():
    x, y, u = (RANDOM.uniform(size=s) for s in ((1000,), (300, 1000), (300, 1000)))
    expected = updates(x, y, u)
    found = sf.compile(updates, donate="x")(x.copy(), y, u)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-12)
    found = sf.compile(
        lambda x, y, u: sf.fori_loop(0, 2, lambda i, s: updates(*s, u), (x, y))
    )(x, y, u)  # fmt: skip
    expected = updates(*expected, u)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-12)


@pytest.fixture(params=[1, 2, 3])
def few_plans(request):
    with lowered(plans=request.param):
        yield


def test_any_number_of_plans_gives_the_same_values(few_plans):
    x, y, u = (RANDOM.uniform(size=s) for s in ((300,), (30, 300), (30, 300)))
    found = sf.compile(updates, donate=("x", "y"))(x.copy(), y.copy(), u)
    for value, wanted in zip(found, updates(x, y, u), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-12)
    a, b = normal(5_000), normal(5_000)
    for step in PAIRS:
        found = sf.compile(step, donate=("a", "b"))(a.copy(), b.copy())
        for value, wanted in zip(found, step(a, b), strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-12)


PARTED = [
    lambda x: np.concatenate([x * 2, x + 1]),
    lambda x: np.concatenate([x * 2, x + 1, np.sin(x), -x]),
    lambda x: np.roll(np.roll(x, 3) * x, -7) + np.concatenate([x[5:], x[:5]]),
    lambda x: np.concatenate([x[:3], x[3:] * 2, x[:0], x[:1]])[::-1],
    lambda x: np.pad(np.concatenate([np.pad(x, 1), x, x[::-1]]), 2)[::3],
    lambda x: np.concatenate([x[i : i + 1] * i for i in range(20)]),
    lambda x: (sliding_window_view(np.pad(x, (3, 1)), 3) * np.arange(3.0)).sum(-1),
]


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("breaks", [0, 1, 2, 16])
def test_loops_may_be_parted_at_fewer_places_than_concatenations_have(breaks):
    """Below 3 the operands of a concatenation that was not written in pieces did not fit."""
    x = np.random.default_rng(1).normal(size=41)
    for few_pieces in (2, 4, 40):
        with lowered(breaks=breaks, few_pieces=few_pieces), config.override(verify=True):
            for f in PARTED:
                np.testing.assert_allclose(sf.compile(f)(x), f(x), rtol=1e-12, atol=1e-12)
