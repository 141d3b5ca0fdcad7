"""Programs that people write, whole: filters, hidden states, waves, adaptive steps, graphs.

Each is compared with an independent calculation: SciPy, the same in plain NumPy, differences.
"""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

import symflux as sf


@dataclasses.dataclass
class Motion:
    """A linear system with noise, and how its filter updates the covariance."""

    move: np.ndarray
    look: np.ndarray
    shaken: np.ndarray
    noise: np.ndarray
    update: str = "joseph"


def kalman(model, x, p, ys):
    """Log-likelihood, filtered states and the last covariance; the state is a dict."""

    def step(state, y):
        x, p = model.move @ state["x"], model.move @ state["p"] @ model.move.T + model.shaken
        s = model.look @ p @ model.look.T + model.noise
        det = s[0, 0] * s[1, 1] - s[0, 1] * s[1, 0]
        inverse = sf.numpy.array([[s[1, 1], -s[0, 1]], [-s[1, 0], s[0, 0]]]) / det
        gain, error = p @ model.look.T @ inverse, y - model.look @ x
        if model.update == "joseph":
            rest = np.eye(4) - gain @ model.look
            p = rest @ p @ rest.T + gain @ model.noise @ gain.T
        else:
            p = p - gain @ s @ gain.T
        x = x + gain @ error
        fit = -0.5 * (error @ inverse @ error + np.log(det) + 2 * np.log(2 * np.pi))
        return {"x": x, "p": p, "fit": state["fit"] + fit}, x

    last, xs = sf.scan(step, {"x": x, "p": p, "fit": 0.0}, ys)
    return last["fit"], xs, last["p"]


def plain_kalman(model, x, p, ys):
    fit, xs = 0.0, []
    for y in ys:
        x, p = model.move @ x, model.move @ p @ model.move.T + model.shaken
        s, error = model.look @ p @ model.look.T + model.noise, y - model.look @ x
        fit -= 0.5 * (error @ np.linalg.solve(s, error) + np.linalg.slogdet(2 * np.pi * s)[1])
        gain = p @ model.look.T @ np.linalg.inv(s)
        x, p = x + gain @ error, p - gain @ s @ gain.T
        xs.append(x)
    return fit, np.array(xs), p


def test_a_kalman_filter_with_a_model_in_a_dataclass():
    rng = np.random.default_rng(0)
    model = Motion(
        np.eye(4) + 0.1 * np.eye(4, k=2), np.eye(2, 4), 0.01 * np.eye(4), 0.1 * np.eye(2)
    )
    rest = (np.zeros(4), np.eye(4), rng.normal(size=(120, 2)).cumsum(0) * 0.1)
    f = sf.compile(kalman)
    for update in ("joseph", "short", "joseph"):
        model.update = update
        for found, wanted in zip(f(model, *rest), plain_kalman(model, *rest), strict=True):
            assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)
    slope = sf.grad(lambda m: kalman(m, *rest)[0])(model)
    assert slope.update == "joseph"
    for name in ("move", "look", "shaken", "noise"):
        v = rng.normal(size=getattr(model, name).shape)
        if name in ("shaken", "noise"):
            v = v + v.T  # the two updates are the same for symmetric covariances only
        moved = [
            dataclasses.replace(model, **{name: getattr(model, name) + h * v})
            for h in (1e-5, -1e-5)
        ]
        wanted = (plain_kalman(moved[0], *rest)[0] - plain_kalman(moved[1], *rest)[0]) / 2e-5
        assert_allclose(np.sum(getattr(slope, name) * v), wanted, rtol=1e-5)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_hidden_markov_model_reads_tables_at_symbols(at_once):
    """Outside of a compiled function too; symbols are int32."""
    rng = np.random.default_rng(1)
    moves, emits, starts = (
        np.log(rng.dirichlet(np.ones(n), m)) for n, m in ((6, 6), (9, 6), (6, 1))
    )
    symbols = rng.integers(0, 9, 80).astype(np.int32)

    def paths(symbols):
        def step(state, symbol):
            best, total = state
            scores = best[:, None] + moves
            total = np.log(np.sum(np.exp(total[:, None] + moves), axis=0)) + emits[:, symbol]
            return (scores.max(axis=0) + emits[:, symbol], total), np.argmax(scores, axis=0)

        first = starts[0] + emits[:, symbols[0]]
        (best, total), back = sf.scan(step, (first, first), symbols[1:])
        last = np.argmax(best)
        path = sf.scan(lambda s, b: (b[s], b[s]), last, back[::-1])[1][::-1]
        return np.append(path, last), np.max(best), np.log(np.sum(np.exp(total)))

    if at_once:  # each loop runs by itself
        path, best, total = paths(symbols)
    else:
        path, best, total = sf.compile(paths)(symbols)
    a = b = starts[0] + emits[:, symbols[0]]
    links = []
    for symbol in symbols[1:]:
        links.append(np.argmax(a[:, None] + moves, axis=0))
        a = (a[:, None] + moves).max(axis=0) + emits[:, symbol]
        b = np.logaddexp.reduce(b[:, None] + moves, axis=0) + emits[:, symbol]
    wanted = [int(np.argmax(a))]
    for link in links[::-1]:
        wanted.append(link[wanted[-1]])
    np.testing.assert_array_equal(path, wanted[::-1])
    assert_allclose([best, total], [a.max(), np.logaddexp.reduce(b)], rtol=1e-12)


def test_waves_move_in_the_callers_arrays_whatever_their_layout():
    def wave(u, v, speed):
        for _ in range(3):
            bend = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1]
            v[1:-1, 1:-1] += speed[1:-1, 1:-1] * bend
            u[1:-1, 1:-1] += v[1:-1, 1:-1]
        return np.sum(u**2), u.max()

    rng = np.random.default_rng(2)
    start, speed = rng.normal(size=(60, 90)), 0.2 * rng.random((60, 90))
    f = sf.compile(wave)
    wide = np.full((120, 180), 7.0)
    for u in (start.copy(), np.asfortranarray(start), wide[::2, ::-2], wide[1::2, 1::2]):
        u[...] = start
        v, u2, v2 = np.zeros_like(start), start.copy(), np.zeros_like(start)
        for _ in range(2):
            assert_allclose(f(u, v, speed), wave(u2, v2, speed), rtol=1e-12)
            assert_allclose(u, u2, rtol=1e-10, atol=1e-12)
            assert_allclose(v, v2, rtol=1e-10, atol=1e-12)
    assert (wide[::2, ::2] == 7.0).all()
    assert (wide[1::2, ::2] == 7.0).all()


def test_adaptive_steps_and_how_the_end_depends_on_a_parameter():
    from scipy.integrate import solve_ivp

    def end(stiffness, tolerance=1e-10):
        """Van der Pol's oscillator by Heun and Euler's pair, extrapolated; steps as they fit."""

        def slope(y):
            return sf.numpy.stack([y[1], stiffness * (1 - y[0] ** 2) * y[1] - y[0]])

        def half(y, h):
            k1 = slope(y)
            k2 = slope(y + h * k1 / 2)
            k3 = slope(y + h * k2 / 2)
            return y + h * (k1 + 2 * k2 + 2 * k3 + slope(y + h * k3)) / 6

        def step(state):
            t, y, h, count = state
            h = np.minimum(h, 3.0 - t)
            once, twice = half(y, h), half(half(y, h / 2), h / 2)
            error = np.max(np.abs(twice - once)) / tolerance
            good = error <= 1
            scale = np.clip(0.9 * (sf.stop_gradient(error) + 1e-30) ** -0.2, 0.2, 4.0)
            y = np.where(good, twice + (twice - once) / 15, y)
            return np.where(good, t + h, t), y, h * scale, count + 1

        return sf.while_loop(lambda s: s[0] < 3.0, step, (0.0, np.array([2.0, 0.1]), 0.1, 0))

    def wanted(stiffness):
        return solve_ivp(
            lambda t, y: [y[1], stiffness * (1 - y[0] ** 2) * y[1] - y[0]], (0, 3.0), [2.0, 0.1],
            rtol=1e-12, atol=1e-13, method="DOP853",
        ).y[:, -1]  # fmt: skip

    t, y, _, count = sf.compile(end)(1.5)
    assert t == 3.0
    assert 20 < count < 400
    assert_allclose(y, wanted(1.5), rtol=1e-8)
    y, slope = sf.jvp(lambda s: end(s)[1], (1.5,), (1.0,))
    assert_allclose(y, wanted(1.5), rtol=1e-8)
    assert_allclose(slope, (wanted(1.5 + 1e-4) - wanted(1.5 - 1e-4)) / 2e-4, rtol=1e-5)


def test_ranks_and_shortest_ways_in_a_graph():
    rng = np.random.default_rng(3)
    n, start, stop = 200, rng.integers(0, 200, 900), rng.integers(0, 200, 900)
    lengths = rng.random(900) + 0.01

    @sf.compile
    def ranks(start, stop):
        degree = sf.numpy.zeros(n)
        np.add.at(degree, start, 1.0)

        def step(i, x):
            y = sf.numpy.zeros(n)
            np.add.at(y, stop, np.where(degree > 0, x / np.maximum(degree, 1), 0.0)[start])
            return 0.15 / n + 0.85 * (y + np.sum(np.where(degree > 0, 0.0, x)) / n)

        return sf.fori_loop(0, 40, step, np.full(n, 1 / n))

    degree, x = np.bincount(start, minlength=n), np.full(n, 1 / n)
    for _ in range(40):
        flow = np.bincount(stop, (x / np.maximum(degree, 1))[start], minlength=n)
        x = 0.15 / n + 0.85 * (flow + x[degree == 0].sum() / n)
    assert_allclose(ranks(start, stop), x, rtol=1e-12)
    assert_allclose(ranks(start.astype("i4"), stop.astype("u1")), x, rtol=1e-12)

    def ways(lengths):
        """Bellman and Ford's: the least of what comes in, until nothing changes."""
        into = stop == np.arange(n)[:, None]
        first = np.where(np.arange(n) == 0, 0.0, np.inf)

        def shorter(d):
            return np.minimum(d, np.min(np.where(into, d[start] + lengths, np.inf), axis=1))

        return sf.fori_loop(0, 25, lambda i, d: shorter(d), first)

    d = np.where(np.arange(n) == 0, 0.0, np.inf)
    for _ in range(25):
        new = d.copy()
        np.minimum.at(new, stop, d[start] + lengths)
        d = new
    assert np.isinf(d).any()
    np.testing.assert_array_equal(sf.compile(ways)(lengths), d)
    # the slope: how many of the shortest ways go along each edge
    slope = sf.grad(lambda v: np.sum(np.where(np.isfinite(d), ways(v), 0.0)))(lengths)
    assert_allclose(slope @ lengths, d[np.isfinite(d)].sum(), rtol=1e-12)
    assert_allclose(slope, np.round(slope), atol=1e-12)
