"""Writes to parts of arrays: each read sees what NumPy's would, and programs stay short."""

import numpy as np
import pytest

import symflux as sf
import symflux.numpy as snp
from symflux.testing import check_gradients
from symflux.thresholds import lowered
from symflux.trace.trace import trace
from symflux.transform.evaluate import evaluate


def _size(fn, *args):
    return len(trace(fn, args).graph.nodes)


def _index(rng, shape):
    items = []
    for n in shape:
        kind = rng.integers(4)
        low, high = sorted(int(i) for i in rng.integers(0, n + 1, 2))
        step = int(rng.integers(1, 3))
        if kind == 0 and n:
            items.append(int(rng.integers(-n, n)))
        elif kind == 1:
            items.append(slice(low, high, step))
        elif kind == 2:
            items.append(slice(high - 1, low - 1 if low else None, -step) if high else slice(0, 0))
        else:
            items.append(slice(None))
    return tuple(items)


def _random_program(seed):
    """Reads, writes and views in any order: run with NumPy's arrays and with traced ones."""

    def program(zeros, x):
        rng = np.random.default_rng(seed)
        shape = [(7,), (4, 5), (3, 2, 4)][seed % 3]
        u = zeros(shape) + x[0] if seed % 2 else zeros(shape)
        arrays, results = [u], []
        for _ in range(12):
            a = arrays[rng.integers(len(arrays))]
            index = _index(rng, a.shape)
            part = a[index]
            match rng.integers(5):
                case 0 if part.ndim:
                    arrays.append(part)
                case 1:
                    results.append(part * x[1])
                case 2:
                    a[index] = part * x[2] + x[3]
                case 3:
                    a[index] += x[4]
                case _:
                    a[index] = x[int(rng.integers(6))]
            if rng.integers(6) == 0:
                results.append(u.sum())
            if rng.integers(8) == 0:
                arrays.append(u.T if u.ndim > 1 else u[::-1])
        return [*results, u, *[a * 1.0 for a in arrays]]

    return program


@pytest.mark.parametrize("most", [1 << 16, 6])
@pytest.mark.parametrize("first", range(0, 60, 20))
def test_reads_and_writes_through_views_are_numpys(first, most):
    x = np.random.default_rng(1).random(6)
    with lowered(waiting_writes=most, written_parts=4 if first else 1):
        for seed in range(first, first + 20):
            program = _random_program(seed)
            wanted = program(np.zeros, x)
            found = evaluate(trace(lambda x, p=program: p(snp.zeros, x), (x,)).graph, [x])
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-13, err_msg=str(seed))


def _filled(x, n):
    u = snp.zeros(n)
    for i in range(n):
        u[i] = x[i % 10] * i
    return np.sum(u**2)


def _recurrence(x, n):
    u = snp.zeros(n + 1) + x[0]
    for i in range(n):
        u[i + 1] = u[i] + 0.01 * np.sin(u[i])
    return np.sum(u**2)


def _factors(a):
    a = a.copy()
    n = a.shape[0]
    for i in range(n):
        for j in range(i + 1, n):
            a[j, i] = a[j, i] / a[i, i]
            for k in range(i + 1, n):
                a[j, k] = a[j, k] - a[j, i] * a[i, k]
    return a


def test_elements_written_one_by_one_cost_the_same_each():
    x = np.linspace(0.1, 1.0, 10)
    for fn in (_filled, _recurrence):
        grad = sf.grad(fn, argnums=0)
        sizes = [_size(lambda x, f=grad, n=n: f(x, n), x) for n in (25, 50, 100)]
        assert sizes[2] - sizes[1] <= 2.1 * (sizes[1] - sizes[0]), (fn.__name__, sizes)
        check_gradients(lambda x, f=fn: f(x, 6), (x,), order=1)


def test_what_was_written_is_read_without_the_whole():
    a = np.random.default_rng(0).random((6, 6)) + 6 * np.eye(6)
    graph = trace(lambda a: np.sum(np.log(np.diagonal(_factors(a)))), (a,)).graph
    assert sum(node.op.name == "concatenate" for node in graph.nodes) == 1
    np.testing.assert_allclose(sf.compile(_factors)(a), _factors(a), rtol=1e-13)
    check_gradients(lambda a: np.sum(_factors(a) ** 2), (a[:3, :3],), order=1)


def test_masks_stay_where_writes_alternate():
    def comb(x):
        u = snp.zeros(1000)
        u[::2] = x
        u[1::2] = x * 2
        return u

    x = np.arange(500.0)
    assert _size(comb, x) < 30
    wanted = np.stack([x, 2 * x], 1).ravel()
    np.testing.assert_array_equal(sf.compile(comb)(x), wanted)


def test_an_array_written_before_a_loop_is_put_together_before_it():
    def f(x):
        u = snp.zeros(6)
        for i in range(5):
            u[i] = x[i]
        total = sf.fori_loop(0, 4, lambda i, s: s + np.sum(u) * u[2], 0.0)
        u[5] = total
        return u, sf.grad(lambda y: np.sum(u * y**2))(x)

    x = np.arange(1.0, 7.0)
    u, slope = sf.compile(f)(x)
    wanted = np.array([1, 2, 3, 4, 5, 15 * 3 * 4.0])
    np.testing.assert_array_equal(u, wanted)
    np.testing.assert_array_equal(slope, 2 * wanted * x)
    bodies = [
        g
        for node in trace(f, (x,)).graph.nodes
        for g in node.attributes.values()
        if hasattr(g, "nodes")
    ]
    assert bodies
    assert not any(node.op.name == "concatenate" for g in bodies for node in g.nodes)


def test_a_body_that_writes_to_an_array_from_outside():
    def f(x):
        u = snp.zeros(4)
        u[0] = x[0]
        u[1] = x[1]

        def body(i, s):
            u[2] = u[1] + s
            u[3] = u[2] * u[0]
            return s + u[3]

        total = sf.fori_loop(0, 3, body, 1.0)
        return u, total

    def plain(x):
        u, s = np.zeros(4), 1.0
        u[:2] = x[:2]
        for _ in range(3):
            u[2] = u[1] + s
            u[3] = u[2] * u[0]
            s = s + u[3]
        return u, s

    x = np.array([0.5, 2.0, 1.0])
    for a, b in zip(sf.compile(f)(x), plain(x), strict=True):
        np.testing.assert_allclose(a, b)
