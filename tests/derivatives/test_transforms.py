"""Derivatives of functions: nesting, closures, containers, masks, kinks, regions, batching."""

from __future__ import annotations

import numpy as np
import pytest

import symflux as sf
from symflux.errors import DerivativeError, ShapeError
from symflux.testing import check_gradients


def f(x):
    return 3 * x**2 + 2 * x + 1


def test_the_first_gradients():
    assert sf.grad(f)(2.0) == 14.0
    assert sf.grad(sf.grad(f))(2.0) == 6.0
    assert sf.grad(sf.grad(sf.grad(f)))(2.0) == 0.0
    assert tuple(map(float, sf.gradient(lambda W, b, x: W * x + b, 2.0, 3.0, 4.0))) == (
        4.0,
        1.0,
        2.0,
    )
    W, b = sf.param(2.0), sf.param(3.0)
    grads = sf.gradient(lambda: W * 4.0 + b, sf.params(W, b))
    assert grads[W] == 4.0 and grads[b] == 1.0


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_nested_derivatives_of_sine(order):
    g = np.sin
    for _ in range(order):
        g = sf.grad(g)
    expected = [np.sin, np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin][order]
    assert float(g(0.7)) == pytest.approx(float(expected(0.7)), rel=1e-14)


def test_no_perturbation_confusion():
    """d/dx (x * d/dy (x + y)) = 1 (Siskind and Pearlmutter 2005)."""
    for inner in (sf.grad, lambda g: lambda y: sf.jvp(g, (y,), (1.0,))[1]):
        assert float(sf.grad(lambda x, d=inner: x * d(lambda y: x + y)(1.0))(1.0)) == 1.0
        outer = sf.jvp(lambda x, d=inner: x * d(lambda y: x * y)(2.0), (3.0,), (1.0,))[1]
        assert float(outer) == 6.0


def test_gradient_inside_a_compiled_function_with_closures():
    @sf.compile
    def newton(x, a):
        g = sf.grad(lambda t: t**3 - a * t)
        for _ in range(3):
            x = x - g(x) / sf.grad(g)(x)
        return x

    x = 2.0
    for _ in range(3):
        x = x - (3 * x**2 - 5.0) / (6 * x)
    assert float(newton(2.0, 5.0)) == pytest.approx(x, rel=1e-14)


def test_argnums_has_aux_and_containers():
    def loss(params, x, extra=1.0):
        y = params["w"] * x + params["b"][0]
        return np.sum(y**2) * extra, {"y": y}

    p = {"w": np.array([1.0, 2.0]), "b": [np.array([0.5, 0.5])]}
    x = np.array([3.0, 4.0])
    y = p["w"] * x + p["b"][0]
    for _ in range(2):
        grads, aux = sf.grad(loss, has_aux=True)(p, x)
        np.testing.assert_allclose(grads["w"], 2 * y * x)
        np.testing.assert_allclose(grads["b"][0], 2 * y)
        np.testing.assert_allclose(aux["y"], y)
    (value, _), (gp, gx) = sf.value_and_grad(loss, argnums=(0, 1), has_aux=True)(p, x, extra=2.0)
    assert value == pytest.approx(2 * np.sum(y**2))
    np.testing.assert_allclose(gx, 4 * y * p["w"])
    np.testing.assert_allclose(gp["w"], 4 * y * x)


def test_jacobian_modes_agree_and_have_the_right_layout():
    a = np.random.default_rng(0).standard_normal((2, 3))

    def g(x):
        return np.sin(a @ x)[:, None] * x[None, :2]

    x = np.array([0.1, 0.2, 0.3])
    forward = sf.jacobian(g, mode="forward")(x)
    reverse = sf.jacobian(g, mode="reverse")(x)
    assert forward.shape == (2, 2, 3)
    np.testing.assert_allclose(forward, reverse, rtol=1e-13)
    h = 1e-6
    for j in range(3):
        e = np.eye(3)[j] * h
        np.testing.assert_allclose(forward[:, :, j], (g(x + e) - g(x - e)) / (2 * h), atol=1e-8)


def test_hessian_is_symmetric_and_matches_hvp():
    def g(x):
        return np.sum(np.exp(x) * x[::-1] ** 2) + np.prod(x)

    x = np.array([0.3, -0.4, 0.9, 1.1])
    h = sf.hessian(g)(x)
    np.testing.assert_allclose(h, h.T, rtol=1e-12)
    v = np.array([1.0, -2.0, 0.5, 0.0])
    np.testing.assert_allclose(sf.hvp(g, (x,), (v,)), h @ v, rtol=1e-12)


def test_vjp_and_jvp_are_adjoint():
    rng = np.random.default_rng(1)
    x, v = rng.standard_normal((2, 3, 4))
    w = rng.standard_normal((4, 5))

    def g(x):
        return np.tanh(x @ w), np.sum(x, axis=0)

    (y1, y2), (t1, t2) = sf.jvp(g, (x,), (v,))
    (z1, _), pull = sf.vjp(g, x)
    np.testing.assert_array_equal(y1, z1)
    c1, c2 = rng.standard_normal(y1.shape), rng.standard_normal(y2.shape)
    (back,) = pull((c1, c2))
    assert np.sum(back * v) == pytest.approx(np.sum(c1 * t1) + np.sum(c2 * t2), rel=1e-12)


# --- where-safe gradients, kinks ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "x", "expected"),
    [
        (lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0.0)), [0.0, 4.0], [0.0, 0.25]),
        (lambda x: np.sum(np.where(x > 0, np.log(x) * 2, x)), [-1.0, 2.0], [1.0, 1.0]),
        (lambda x: np.sum(np.where(x != 0, np.sin(x) / x, 1.0)), [0.0], [0.0]),
        (lambda x: np.sum(np.where(x > 0, np.sqrt(x) + 1 / x + np.sqrt(x), 0.0)), [0.0], [0.0]),
        (lambda x: np.where(x[0] > 0, np.sum(np.sqrt(x)), 1.0), [0.0, 0.0], [0.0, 0.0]),
        (lambda x: np.where(x[0] > 0, np.sum(np.eye(2) @ np.sqrt(x)), 1.0), [0.0, 0.0], [0.0, 0.0]),
        (
            lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0.0)[::-1].reshape(2, 1).T),
            [0.0, 4.0],
            [0.0, 0.25],
        ),
        (lambda x: np.sum(np.where(x > 0, x[0] ** 0.5 * x, 0.0)), [0.0, 0.0], [0.0, 0.0]),
        (lambda x: np.sum(np.sqrt(x)[1:]), [4.0, 4.0], [0.0, 0.25]),
    ],
)
def test_branches_not_taken_contribute_exactly_zero(fn, x, expected):
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(sf.grad(fn)(np.array(x)), expected)
        _, slope = sf.jvp(lambda x: fn(x), (np.array(x),), (np.ones(len(x)),))
    assert float(slope) == pytest.approx(sum(expected)) or not np.isfinite(slope)


def test_where_safe_second_derivatives():
    def g(x):
        return np.where(x > 0, np.sqrt(x), x**2)

    assert float(sf.grad(sf.grad(g))(0.0)) == 2.0
    assert float(sf.grad(sf.grad(g))(4.0)) == pytest.approx(-0.25 * 4**-1.5)


def test_masks_pass_through_conversions_of_dtype():
    """Where of a wider dtype than the argument's: the mask was compared in another dtype."""
    for narrow, wide in (("f4", "f8"), ("f2", "f4"), ("f2", "f8"), ("f8", "f4")):
        x = np.array([4.0, 0.0, -1.0], narrow)

        def f(x, wide=wide):
            y = np.where(x > 0, np.sqrt(x.astype(wide)), 0.0)
            return np.sum(np.triu(y[:, None] * np.ones(3, wide), 1) * y.astype(np.float64))

        # of row 0 of the triangle, 2 elements: the sum is sqrt(x[0]) * (y[1] + y[2]) = 0
        np.testing.assert_array_equal(sf.grad(f)(x), np.zeros(3))
        g = sf.grad(lambda x, wide=wide: np.sum(np.where(x > 0, np.sqrt(x.astype(wide)), 0)))(x)
        assert g.dtype == x.dtype
        np.testing.assert_array_equal(g, [0.25, 0.0, 0.0])
        h = sf.hessian(lambda x, w=wide: np.sum(np.where(x > 0, x.astype(w) ** 1.5, 0)))(x)
        np.testing.assert_allclose(h, np.diag([0.375, 0.0, 0.0]), rtol=1e-3)
        forward = sf.jacobian(lambda x, w=wide: np.where(x > 0, np.sqrt(x.astype(w)), 0))(x)
        np.testing.assert_array_equal(forward, np.diag([0.25, 0.0, 0.0]))


CLAMPED = {
    "root of maximum": (lambda v: np.sqrt(0.1 * np.maximum(v, 0.0)), 0.1**0.5 / 2),
    "root of minimum": (lambda v: np.sqrt(-np.minimum(0.0, -v)), 0.5),
    "root of relu": (lambda v: np.sqrt(3 * sf.relu(v)), 3**0.5 / 2),
    "logarithm of clip": (lambda v: np.log(np.clip(v, 0.0, 2.0)), 1.0),
    "power of clip": (lambda v: np.clip(v, 0, None) ** 0.3, 0.3),
    "quotient": (lambda v: 1 / np.maximum(v, 0.0), -1.0),
    "root of where": (lambda v: np.sqrt(2 * np.where(v > 0, v, 0.0)), 2**0.5 / 2),
    "root of the other branch": (lambda v: np.sqrt(np.where(v <= 0, 0.0, v)), 0.5),
    "moved": (lambda v: np.sqrt(np.maximum(v, 0.0)[::-1, None] * np.ones(2)).sum(1)[::-1], 1.0),
    "converted": (lambda v: np.sqrt(np.maximum(v, 0.0).astype("f4").astype("f8")), 0.5),
    "clamp of a root": (lambda v: np.maximum(np.sqrt(np.where(v > 0, v, 0.0)), 0.5), 0.5),
    "root of a clamp of a clamp": (lambda v: np.sqrt(np.maximum(np.minimum(v, 9.0), 0)), 0.5),
    "inverse cosine": (lambda v: np.arccos(np.clip(1 - v, -1, 1)), 1.0),
}


@pytest.mark.parametrize("name", CLAMPED)
def test_where_a_clamp_holds_the_slope_is_zero(name):
    """Also where the function behind it has an infinite slope; nan before."""
    f, slope = CLAMPED[name]
    x = np.array([1.0, -1.0, -2.0])
    expected = np.array([slope, 0.0, 0.0])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(sf.grad(lambda v: np.sum(f(v)))(x), expected, rtol=1e-14)
        for mode in ("forward", "reverse"):
            found = sf.jacobian(f, mode=mode)(x)
            np.testing.assert_allclose(found, np.diag(expected), rtol=1e-14, atol=0)
        small = sf.grad(lambda v: np.sum(f(v)))(x.astype("f4"))
        np.testing.assert_allclose(small, expected, rtol=1e-5)
        second = sf.hessian(lambda v: np.sum(f(v)))(x)
        assert np.isfinite(second).all()
        assert not second[1:].any()


def test_a_truncated_variance_has_a_gradient():
    """Heston's model, fully truncated: the root of the variance where that is negative."""
    z = np.random.default_rng(0).normal(size=(20, 2, 50))

    def final(v0, kappa, xi, sf_scan):
        def step(state, z):
            x, v = state
            held = np.maximum(v, 0.0)
            drift = kappa * (0.04 - held) * 0.05
            root = np.sqrt(held * 0.05)
            return (x - held / 40 + root * z[0], v + drift + xi * root * z[1]), None

        start = (0.0 * z[0, 0], v0 + 0.0 * z[0, 0])
        if sf_scan:
            start, _ = sf.scan(step, start, z)
        else:
            for row in z:
                start, _ = step(start, row)
        return np.mean(np.exp(start[0])), start[1]

    at = (0.02, 1.5, 0.9)
    assert (final(*at, False)[1] < 0).any()
    found = sf.grad(lambda *a: final(*a, True)[0], argnums=(0, 1, 2))(*at)
    for i, slope in enumerate(found):
        steps = [tuple(a + h * (i == j) for j, a in enumerate(at)) for h in (1e-7, -1e-7)]
        wanted = (final(*steps[0], False)[0] - final(*steps[1], False)[0]) / 2e-7
        assert abs(slope - wanted) < 1e-5 * max(1, abs(wanted))


def test_plain_arrays_are_read_at_traced_indices_outside_of_compiled_functions():
    """Loops, branches and derivatives that run at once read tables as compiled functions do."""
    table, large = np.arange(12.0).reshape(3, 4), np.arange(3000.0).reshape(3, 1000)
    held = {"table": table}
    order, x = np.array([0, 2, 1]), np.array([0.5, 1.5])
    found = sf.scan(lambda c, i: (c + large[i].sum(), table[:, i]), 0.0, order)
    assert found[0] == large.sum()
    np.testing.assert_array_equal(found[1], table[:, order].T)
    assert sf.fori_loop(0, 3, lambda i, c: c + held["table"][i, 1], 0.0) == 15
    assert sf.while_loop(lambda i: table[0, i] < 2, lambda i: i + 1, 0) == 2
    np.testing.assert_array_equal(
        sf.cond(True, lambda i: table[i], lambda i: -table[i], 1), table[1]
    )
    np.testing.assert_array_equal(sf.map(lambda i: large[i], order), large[order])

    def look_up(v):
        return np.sum(v**2 * table[np.floor(v).astype(int), 1])

    np.testing.assert_array_equal(sf.gradient(look_up, x), [1.0, 15.0])
    assert sf.jvp(look_up, (x,), (np.ones(2),)) == (0.25 + 11.25, 16.0)
    np.testing.assert_array_equal(sf.vjp(look_up, x)[1](1.0)[0], [1.0, 15.0])
    np.testing.assert_array_equal(sf.hvp(look_up, (x,), (np.ones(2),)), [2.0, 10.0])
    table[0] = 7.0
    np.testing.assert_array_equal(sf.map(lambda i: table[i, 0], order), [7.0, 8.0, 4.0])


def test_static_arguments_stay_static_in_derived_functions():
    @sf.compile(static_argnames=("mode", "times"))
    def f(x, mode="sin", times=1):
        for _ in range(times):
            x = np.sin(x) if mode == "sin" else x * x
        return np.sum(x)

    x = np.array([0.5, 2.0])
    for derived in (sf.grad(f), sf.compile(sf.grad(f))):
        for _ in range(2):  # first calls and later ones go different ways
            np.testing.assert_allclose(derived(x), np.cos(x), rtol=1e-15)
            np.testing.assert_array_equal(derived(x, "square"), 2 * x)
            np.testing.assert_array_equal(derived(x, mode="square", times=2), 4 * x**3)
    np.testing.assert_array_equal(sf.hessian(f)(x, "square", 2), np.diag(12 * x**2))
    rows = sf.vmap(sf.grad(f), in_axes=(0, None))(np.stack([x, 2 * x]), "square")
    np.testing.assert_array_equal(rows, [2 * x, 4 * x])
    with pytest.raises(sf.errors.ArgumentError) as caught:
        sf.vmap(sf.grad(lambda x, mode: x))(x, "square")
    assert caught.value.right == "sf.compile(sf.vmap(sf.grad(function)), static_argnames='mode')"


def test_kinks():
    assert float(sf.grad(sf.relu)(0.0)) == 0.0
    assert float(sf.grad(np.abs)(0.0)) == 0.0
    assert tuple(map(float, sf.gradient(np.maximum, 1.0, 1.0))) == (0.5, 0.5)
    assert tuple(map(float, sf.gradient(np.minimum, 1.0, 1.0))) == (0.5, 0.5)
    np.testing.assert_array_equal(sf.grad(np.max)(np.array([2.0, 1.0, 2.0])), [0.5, 0.0, 0.5])


# --- regions --------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
REGIONS = {
    "scan with scalars": (
        lambda x: sf.scan(lambda c, v: (c * np.sin(v) + v, c * v), 1.0, x),
        (RNG.random(5) + 0.5,),
    ),
    "scan reversed": (
        lambda x: sf.scan(lambda c, v: (c * np.sin(v) + v, c * v), 1.0, x, reverse=True),
        (RNG.random(5),),
    ),
    "recurrent net": (
        lambda w, h, xs: sf.scan(lambda h, x: ((n := np.tanh(w @ h + x)), np.sum(n)), h, xs),
        (RNG.standard_normal((3, 3)), RNG.standard_normal(3), RNG.standard_normal((6, 3))),
    ),
    "fori_loop with arrays": (
        lambda x: sf.fori_loop(0, 4, lambda i, c: np.sin(c) * x + c[::-1] * i, x),
        (RNG.random(4),),
    ),
    "loop in a loop": (
        lambda x: sf.fori_loop(
            0, 3, lambda i, c: sf.fori_loop(0, 2, lambda j, d: np.sin(d) * x, c) + i, x
        ),
        (RNG.random(3),),
    ),
    "cond with arrays": (
        lambda x: sf.cond(x[0] > 0, lambda v: v**3, lambda v: -v, x),
        (RNG.random(3),),
    ),
    "cond in a scan": (
        lambda x: sf.scan(
            lambda c, v: (sf.cond(v > 0.5, lambda a: a * v, lambda a: a + v, c), c), 1.0, x
        )[0],
        (np.array([0.2, 0.7, 0.9, 0.1]),),
    ),
    "switch": (lambda x: sf.switch(2, [lambda v: v, np.sin, np.exp, np.cos], x), (RNG.random(3),)),
    "map": (lambda x: sf.map(lambda r: np.sum(r**2) * r, x), (RNG.random((3, 2)),)),
    "vmap of a scan": (
        lambda x: sf.vmap(lambda r: sf.scan(lambda c, v: (c * v + np.sin(v), c), 1.0, r))(x),
        (RNG.random((3, 4)),),
    ),
    "vmap of a batched cond": (
        lambda x: sf.vmap(
            lambda r: sf.cond(r[0] > 0.5, lambda v: np.sum(v**2), lambda v: np.prod(v), r)
        )(x),
        (np.array([[0.2, 0.7, 0.9], [0.8, 0.3, 0.4], [0.9, 0.1, 0.6], [0.3, 0.5, 0.2]]),),
    ),
}


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("name", REGIONS)
def test_regions_differentiate_in_both_modes(name):
    fn, args = REGIONS[name]
    check_gradients(fn, args)


def test_while_loop_differentiates_in_forward_mode():
    def g(x):
        return sf.while_loop(
            lambda s: s[0] < 3.5, lambda s: (s[0] + 1.0, np.sin(s[1]) * 2), (0.0, x)
        )[1]

    x = RNG.random(3)
    check_gradients(g, (x,), modes=("forward",))
    with pytest.raises(DerivativeError, match="fori_loop or scan"):
        sf.grad(lambda x: np.sum(g(x)))(x)


def test_while_loop_batches_each_row_on_its_own():
    def halvings(x):
        return sf.while_loop(lambda s: s[0] > 1.0, lambda s: (s[0] / 2, s[1] + 1), (x, 0))[1]

    x = np.array([0.5, 3.0, 100.0, 1.0])
    np.testing.assert_array_equal(sf.vmap(halvings)(x), [halvings(v) for v in x])


def test_loops_match_python():
    def body(i, c):
        return c * 0.5 + i

    expected = 1.0
    for i in range(2, 9):
        expected = body(i, expected)
    assert float(sf.fori_loop(2, 9, body, 1.0)) == expected
    assert float(sf.compile(lambda n: sf.fori_loop(2, n, body, 1.0))(9)) == expected
    assert float(sf.fori_loop(5, 5, body, 1.0)) == 1.0
    assert float(sf.fori_loop(5, 2, body, 1.0)) == 1.0


# --- batching -------------------------------------------------------------------------------------


def test_vmap_axes_nesting_and_derivatives():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((4, 3)), rng.standard_normal((3, 5))
    outer = sf.vmap(sf.vmap(np.dot, in_axes=(None, 1)), in_axes=(0, None))
    np.testing.assert_allclose(outer(a, b), a @ b, rtol=1e-13)
    np.testing.assert_allclose(
        sf.vmap(np.dot, in_axes=(0, None), out_axes=0)(a, b[:, 0]), a @ b[:, 0]
    )
    moved = sf.vmap(lambda r: r * 2, in_axes=1, out_axes=1)(a)
    np.testing.assert_array_equal(moved, a * 2)
    rows = sf.vmap(sf.grad(lambda r: np.sum(np.sin(r) ** 2)))(a)
    np.testing.assert_allclose(rows, np.sin(2 * a), rtol=1e-12)
    total = sf.grad(lambda a: np.sum(sf.vmap(lambda r: np.prod(r))(a)))(a)
    np.testing.assert_allclose(total, np.prod(a, axis=1, keepdims=True) / a, rtol=1e-12)
    pairs = sf.vmap(lambda p: p["x"] * p["y"], in_axes=({"x": 0, "y": None},))({"x": a, "y": 2.0})
    np.testing.assert_array_equal(pairs, 2 * a)


# --- errors ---------------------------------------------------------------------------------------


def test_errors_say_what_is_wrong():
    with pytest.raises(ShapeError, match="jacobian"):
        sf.grad(lambda x: x * 2)(np.ones(3))
    with pytest.raises(DerivativeError, match="argument 0"):
        sf.grad(lambda x: np.sum(x))(np.arange(3))
    with pytest.raises(TypeError, match="argnums"):
        sf.grad(lambda x: x, argnums=1)(1.0)
    with pytest.raises(ShapeError, match="mapped axes"):
        sf.vmap(lambda x, y: x + y)(np.ones(3), np.ones(4))
    with pytest.raises(ShapeError, match="carry"):
        sf.scan(lambda c, x: (np.stack([c, c]), x), 0.0, np.ones(3))


def test_stop_gradient():
    assert float(sf.grad(lambda x: x * sf.stop_gradient(x**2))(3.0)) == 9.0


def _log_likelihood(x, y):
    m = np.max(x, axis=1, keepdims=True)
    return np.sum(np.take_along_axis(x - m - np.log(np.sum(np.exp(x - m), axis=1, keepdims=True)),
                                     y[:, None], axis=1))  # fmt: skip


def _entropy(x, y):
    w = np.exp(x - np.max(x, axis=-1)[:, None])
    p = w / np.sum(w, axis=-1)[:, None]
    return np.sum(p * np.log(p))


def _logsumexp(x, y):
    m = x.max(1)
    return np.sum((m + np.log(np.exp(x - m[:, None]).sum(1))) ** 2)


@pytest.mark.parametrize(
    "logistic",
    [lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(x) / (1 + np.exp(x))],
)
def test_the_logistic_function_by_hand_has_a_derivative_everywhere(logistic):
    x = np.array([-1000.0, -800.0, -3.0, 0.0, 3.0, 800.0])
    ones = np.ones_like(x)
    first = sf.jvp(logistic, (x,), (ones,))[1]
    reverse = sf.grad(lambda x: np.sum(logistic(x)))(x)
    second = sf.grad(lambda x: np.sum(sf.grad(lambda x: np.sum(logistic(x)))(x)))(x)
    with np.errstate(over="ignore"):
        s = 1 / (1 + np.exp(-x))
    for found, wanted in ((first, s * (1 - s)), (reverse, s * (1 - s))):
        np.testing.assert_allclose(found, wanted, rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(second, s * (1 - s) * (1 - 2 * s), rtol=1e-13, atol=1e-300)


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("loss", [_log_likelihood, _entropy, _logsumexp])
def test_the_shift_of_exponentials_costs_nothing_in_the_gradient(loss):
    """Nobody looks for the elements that reach the maximum; ties or not, the gradient is right."""
    y = np.array([1, 0, 2])
    x = np.array([[0.3, -1.0, 2.0], [5.0, 5.0, 5.0], [1.0, 3.0, 3.0]])
    gradient = sf.grad(loss)
    ops = [n.op.name for n in sf.compile(gradient).lower(x, y).optimized.nodes]
    assert ops.count("max") == 1 and "stop_gradient" not in ops
    check_gradients(lambda x: loss(x, y), (x,), order=2)


def test_a_maximum_that_does_not_cancel_keeps_its_derivative():
    def f(x):
        m = np.max(x)
        return np.log(np.sum(np.exp(x - m))) + m * m + np.sum(np.exp(x - m))

    check_gradients(f, (np.array([0.3, -1.0, 2.0]),), order=2)


def test_a_pullback_is_taken_at_what_there_was_when_it_was_made():
    x, w, rate, p = np.array([1.0, 2.0]), np.array([3.0, 4.0]), [5.0], sf.param(6.0)

    def f(x):
        x *= 1.0  # the argument stays as it is
        return x * x * w * rate[0] * p

    value, pullback = sf.vjp(f, x)
    np.testing.assert_array_equal(value, x * x * w * 30.0)
    wanted = 2.0 * x * w * 30.0
    x[:], w[:], rate[0] = -1.0, -1.0, -1.0
    p[...] = -1.0
    for _ in range(2):
        np.testing.assert_array_equal(pullback(np.ones(2))[0], wanted)
    value, pullback = sf.vjp(lambda x, n: x * n, 3, 4)
    assert (value, type(value)) == (12, int) and pullback(1.0) == (4.0, 3.0)


def test_random_numbers_are_drawn_at_each_call_or_refused():
    """Functions that are traced at each call draw anew; those that are kept do not draw."""
    rng = np.random.default_rng(0)

    def noisy(x):
        return x * rng.normal()

    for draw in (lambda: sf.gradient(noisy, 1.0), lambda: sf.jvp(noisy, (1.0,), (1.0,))[1]):
        assert len({float(draw()) for _ in range(3)}) == 3
    g = sf.grad(noisy)
    for _ in range(3):
        with pytest.raises(sf.SymFluxError, match="random"):
            g(1.0)
