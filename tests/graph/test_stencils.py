"""Programs that read neighbours step after step: graphs and compile times linear in the steps."""

import time

import numpy as np
import pytest

import symflux as sf
from symflux.passes import optimize

INNER = slice(1, -1)


def stepped(rank, steps, padded):
    """Explicit Euler steps of diffusion; without padding each step loses the border."""

    def neighbours(v, axis):
        low, high = [INNER] * rank, [INNER] * rank
        low[axis], high[axis] = slice(None, -2), slice(2, None)
        return v[tuple(low)] + v[tuple(high)]

    def energy(u):
        for _ in range(steps):
            v = np.pad(u, 1) if padded else u
            centre = v[(INNER,) * rank]
            u = centre + 0.1 * (sum(neighbours(v, a) for a in range(rank)) - 2 * rank * centre)
        return np.sum(u * u)

    return energy


def in_place(steps):
    def energy(u):
        u = u * 1.0
        for _ in range(steps):
            u[1:-1] += 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
        return np.sum(u * u)

    return energy


def blur(size):
    kernel = np.random.default_rng(1).normal(size=(size, size))

    def energy(x):
        p = np.pad(x, size // 2)
        n, m = x.shape
        parts = [kernel[i, j] * p[i : i + n, j : j + m] for i in range(size) for j in range(size)]
        return np.sum(sum(parts) ** 2)

    return energy


def taps(count):
    weights = np.random.default_rng(2).normal(size=count)

    def energy(x):
        p = np.pad(x, (count - 1, 0))
        return np.sum(sum(weights[k] * p[k : k + x.shape[0]] for k in range(count)) ** 2)

    return energy


def check_slope(f, x):
    """Along one direction, against central differences of the NumPy function."""
    direction = np.random.default_rng(3).normal(size=x.shape)
    wanted = (f(x + 1e-5 * direction) - f(x - 1e-5 * direction)) / 2e-5
    value, slope = sf.compile(sf.value_and_grad(f))(x)
    np.testing.assert_allclose(value, f(x), rtol=1e-12)
    np.testing.assert_allclose(np.sum(slope * direction), wanted, rtol=1e-6)


SHAPES = {1: (140,), 2: (24, 20), 3: (12, 11, 10)}


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("padded", [False, True])
def test_gradient_of_an_explicit_stepper_compiles(rank, padded):
    check_slope(stepped(rank, 4, padded), np.random.default_rng(0).normal(size=SHAPES[rank]))


def test_gradients_of_windows_by_slices_compile():
    """A zero-padded filter of 45 taps and a padded blur of 7 by 7, written as sums of slices."""
    check_slope(taps(45), np.random.default_rng(0).normal(size=300))
    check_slope(blur(7), np.random.default_rng(0).normal(size=(20, 30)))


def test_gradient_of_steps_in_place_compiles():
    check_slope(in_place(12), np.random.default_rng(0).normal(size=60))


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("kind", ["1", "2", "3", "1 padded", "2 padded", "3 padded", "in place"])
def test_fifty_steps_make_a_graph_five_times_that_of_ten(kind, gradient):
    """Nobody copies what several slices read: nodes and the time of all passes are linear."""
    rank = 1 if kind == "in place" else int(kind[0])
    x = np.ones((130,) + (5 if "padded" in kind else 105,) * (rank - 1))
    nodes, seconds = [], []
    for steps in (10, 50):
        f = in_place(steps) if kind == "in place" else stepped(rank, steps, "padded" in kind)
        graph = sf.trace(sf.grad(f) if gradient else f)(x)
        start = time.process_time()
        after = optimize(graph)
        seconds.append(time.process_time() - start)
        nodes.append(len(after.nodes))
        assert len(after.nodes) <= 1.25 * len(graph.nodes)
    assert nodes[1] <= 5.2 * nodes[0]
    assert seconds[1] <= 1.0 + 10 * seconds[0]  # quadratic growth would be 25 times
