"""Smooth functions composed of kinked ones, at the seams: exact to order 2, in every mode."""

import numpy as np
import pytest

import symflux as sf

PI = np.pi


def everywhere(function, point, gradient, hessian, brief=False):
    """First and second derivatives by forward over reverse, reverse over reverse, forward over
    forward and reverse over forward, mapped, in a loop's body, in a branch, and compiled."""
    x = np.array(point, float)
    units = np.eye(x.size)

    def slope(v):
        return lambda z: sf.jvp(function, (z,), (v,))[1]

    def close(got, wanted):
        np.testing.assert_allclose(got, wanted, rtol=1e-14, atol=1e-300)

    close(sf.grad(function)(x), gradient)
    close(sf.hessian(function)(x), hessian)
    if brief:
        return
    close([slope(v)(x) for v in units], gradient)
    close(sf.compile(sf.jacobian(sf.grad(function), mode="reverse"))(x), hessian)
    close([[sf.jvp(slope(v), (x,), (w,))[1] for w in units] for v in units], hessian)
    close([sf.grad(slope(v))(x) for v in units], hessian)
    rows = np.stack([x, x])
    close(sf.vmap(sf.hessian(function))(rows), [hessian] * 2)

    def loop(z):
        return sf.scan(lambda c, row: (c + function(row), 0.0), 0.0, np.stack([z, z]))[0]

    def branch(z):
        return sf.cond(np.sum(z) < 1e9, function, lambda y: np.sum(y), z)

    close(sf.hessian(loop)(x), 2 * np.array(hessian))
    close(sf.hessian(branch)(x), hessian)


I2, O2 = [[2.0, 0.0], [0.0, 2.0]], [0.0, 0.0]
norm = np.linalg.norm

SQUARES = {
    "norm": lambda x: norm(x) ** 2,
    "norm, kept axes": lambda x: np.sum(norm(x[None], axis=1, keepdims=True) ** 2),
    "norm, scaled": lambda x: (norm(x) / 0.5) ** 2 / 4,
    "norm, one after the other": lambda x: 0.25 * norm(x) * norm(x) * 4,
    "norm, a gaussian": lambda x: -np.exp(-(norm(x) ** 2)),
    "norm, a rational kernel": lambda x: -1 / (1 + norm(x) ** 2),
    "norms, their product with themselves": lambda x: norm(x[None], axis=1) @ norm(x[None], axis=1),
    "root of squares": lambda x: np.sqrt(np.sum(x**2)) ** 2,
    "root of a product": lambda x: np.sqrt(x @ x) ** 2,
    "hypot": lambda x: np.hypot(x[0], x[1]) ** 2,
    "hypot of squares": lambda x: -np.exp(-(np.hypot(x[0], x[1]) ** 2)),
    "abs": lambda x: np.sum(np.abs(x) ** 2),
    "abs and sign": lambda x: np.sum(np.abs(x) * np.sign(x) * x),
    "copysign": lambda x: np.sum(np.copysign(x, x) * x),
}  # fmt: skip


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("name", SQUARES)
def test_squares_of_roots_at_zero(name):
    everywhere(SQUARES[name], [0.0, 0.0], O2, I2, brief=name not in ("norm", "hypot", "abs"))


def test_the_square_of_a_deviation_where_elements_are_equal():
    wanted = [[0.5, -0.5], [-0.5, 0.5]]
    everywhere(lambda x: np.std(x) ** 2, [3.0, 3.0], O2, wanted)
    everywhere(lambda x: np.std(x[None], axis=1, keepdims=True)[0, 0] ** 2, [3.0, 3.0], O2, wanted)


def test_the_distance_of_points_that_meet():
    def energy(z):
        return -np.exp(-(norm(z[:2] - z[2:]) ** 2) / 2)

    eye = np.eye(2)
    everywhere(energy, [1.0, 2.0, 1.0, 2.0], [0.0] * 4, np.block([[eye, -eye], [-eye, eye]]))


def test_logaddexp_at_ties():
    quarter = [[0.25, -0.25], [-0.25, 0.25]]
    everywhere(lambda x: np.logaddexp(x[0], x[1]), [3.0, 3.0], [0.5, 0.5], quarter)
    for at in (0.0, -800.0, 800.0):
        everywhere(lambda x: np.logaddexp(x[0], x[1]), [at, at], [0.5, 0.5], quarter, brief=True)
    everywhere(lambda x: np.logaddexp(x[0], 0.0), [0.0], [0.5], [[0.25]], brief=True)
    equal = sf.grad(lambda x: np.logaddexp(x[0], x[1]))
    for infinite in (np.inf, -np.inf):
        np.testing.assert_array_equal(equal(np.full(2, infinite)), [0.5, 0.5])


def test_logaddexp_far_from_ties():
    tail = np.exp(-50.0)
    everywhere(
        lambda x: np.logaddexp(x[0], x[1]), [0.0, 50.0], [tail, 1.0],
        [[tail, -tail], [-tail, tail]],
    )  # fmt: skip
    everywhere(lambda x: np.logaddexp(x[0], x[1]), [1e308, -1e308], [1.0, 0.0], [O2, O2])


def test_sinc_at_zero_and_beside_it():
    everywhere(lambda x: np.sinc(x[0]), [0.0], [0.0], [[-(PI**2) / 3]])
    for x in (1e-8, 1e-4, 0.3, 0.6, 2.5):
        z = PI * x
        first, second = PI * (np.cos(z) - np.sin(z) / z) / z, 0.0
        second = PI**2 * (-np.sin(z) - 2 * (np.cos(z) - np.sin(z) / z) / z) / z
        if x < 1e-2:  # the terms of the series that count
            first, second = -(PI**2) * x / 3 * (1 - z * z / 10), -(PI**2) / 3 + PI**2 * z * z / 10
        np.testing.assert_allclose(sf.grad(np.sinc)(x), first, rtol=1e-13)
        np.testing.assert_allclose(sf.grad(sf.grad(np.sinc))(x), second, rtol=1e-12)
    fourth = sf.grad(sf.grad(sf.grad(sf.grad(np.sinc))))
    np.testing.assert_allclose(fourth(0.0), PI**4 / 5, rtol=1e-14)


def test_remainders_at_zero():
    everywhere(lambda x: np.fmod(x[0], 2.0), [0.0], [1.0], [[0.0]])
    everywhere(lambda x: np.modf(x[0])[0], [0.0], [1.0], [[0.0]])
    everywhere(lambda x: np.fmod(-5.0, x[0]), [2.0], [2.0], [[0.0]])
    numbers = np.array([-0.0, 0.0, -5.0, 5.5, -4.0, np.nan])
    parts = sf.compile(lambda x: (np.fmod(x, 2.0), *np.modf(x)))(numbers)
    for got, wanted in zip(parts, (np.fmod(numbers, 2.0), *np.modf(numbers)), strict=True):
        np.testing.assert_array_equal(got, wanted)
        np.testing.assert_array_equal(np.signbit(got[:5]), np.signbit(wanted[:5]))


HALVES = {
    "max and tail": lambda x: np.sum(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
    "tail and max": lambda x: np.sum(np.log(1 + np.exp(-np.abs(x))) + np.maximum(0, x)),
    "of logits": lambda x: np.sum(np.maximum(x, 0) - x * 0.25 + np.log1p(np.exp(-np.abs(x)))),
    "min less tail": lambda x: -np.sum(np.minimum(x, 0) - np.log1p(np.exp(-np.abs(-x)))),
    "relu": lambda x: np.sum(x + sf.relu(-x) + sf.softplus(-np.abs(x))),
}


@pytest.mark.parametrize("name", HALVES)
def test_softplus_in_halves(name):
    slopes = {"of logits": [0.25, 0.25], "min less tail": [-0.5, -0.5]}
    wanted = slopes.get(name, [0.5, 0.5])
    everywhere(HALVES[name], [0.0, 0.0], wanted, np.eye(2) / 4, brief=name != "of logits")


def test_cross_entropy_by_a_target_of_zero():
    logits = np.array([[0.5, -1.0, 2.0]])
    target = np.array([[0.0, 1.0, 0.0]])
    wanted = np.log(np.sum(np.exp(logits))) - logits
    slope = sf.grad(sf.nn.cross_entropy, 1)
    np.testing.assert_allclose(slope(logits, target), wanted, rtol=1e-14)
    ones = np.ones((1, 3))
    tangent = sf.jvp(lambda t: sf.nn.cross_entropy(logits, t), (target,), (ones,))[1]
    np.testing.assert_allclose(tangent, wanted.sum(), rtol=1e-14)
    mixed = sf.jacobian(sf.grad(sf.nn.cross_entropy, 0), 1)(logits, target)[0, :, 0]
    share = np.exp(logits[0]) / np.exp(logits).sum()
    np.testing.assert_allclose(mixed, share[:, None] - np.eye(3), rtol=1e-13, atol=1e-15)
    hidden = np.array([[0.5, -np.inf, 2.0]])
    loss, slopes = sf.value_and_grad(sf.nn.cross_entropy)(hidden, np.array([[1.0, 0.0, 0.0]]))
    assert np.isfinite(loss)
    assert np.isfinite(slopes).all()


@pytest.mark.parametrize("pick", [[1, 0], [0, 0], [1, 1]])
def test_masks_of_picked_elements_of_equal_number(pick):
    """As many elements are picked as there are: they are not therefore all moved."""
    x = np.array([4.0, -2.0])
    kept = x[pick] > 0
    for order, slope in ((1, 0.5 * 4.0**-0.5), (2, -0.25 * 4.0**-1.5)):
        fn = lambda x: np.sum(np.where(x[pick] > 0, np.sqrt(x[pick]), 0.0))  # noqa: E731
        found = sf.grad(fn)(x) if order == 1 else np.diag(sf.hessian(fn)(x))
        wanted = np.zeros(2)
        np.add.at(wanted, np.array(pick)[kept], slope)
        np.testing.assert_allclose(found, wanted, rtol=1e-14)


# --- smooth functions of roots --------------------------------------------------------------------


def matern(order, r):
    """Of smoothness 3/2 and 5/2."""
    a = np.sqrt(2.0 * order)
    rest = 0 if order == 1.5 else a * a * r * r / 3
    return (1 + a * r + rest) * np.exp(-a * r)


def root(x):
    return np.sqrt(np.sum(x**2))


#: name -> (a function with a gradient of 0 at 0, what its Hessian is times the identity)
RADIAL = {
    "Matérn 3/2 of a norm": (lambda x: matern(1.5, norm(x)), -3),
    "Matérn 3/2 of a root": (lambda x: matern(1.5, root(x)), -3),
    "Matérn 5/2 of a norm": (lambda x: matern(2.5, norm(x)), -5 / 3),
    "Matérn 5/2 of a root": (lambda x: matern(2.5, root(x)), -5 / 3),
    "Matérn 5/2 of hypot": (lambda x: matern(2.5, np.hypot(x[0], x[1])), -5 / 3),
    "Matérn 3/2 of sizes": (lambda x: np.sum(matern(1.5, np.abs(x))), -3),
    "Matérn 3/2, the root of a product": (lambda x: matern(1.5, np.sqrt(x @ x)), -3),
    "Matérn 3/2, scaled": (lambda x: matern(1.5, norm(x) / 0.5) / 4, -3),
    "Matérn 3/2 of a power": (lambda x: matern(1.5, np.sum(x * x) ** 0.5), -3),
    "log(cosh)": (lambda x: np.log(np.cosh(norm(x))), 1),
    "cosh of sizes": (lambda x: np.sum(np.cosh(np.abs(x))), 1),
    "cos": (lambda x: np.cos(root(x)), -1),
    "r sin(r)": (lambda x: np.sin(norm(x)) * norm(x), 2),
    "sinc": (lambda x: np.sinc(norm(x) / PI), -1 / 3),
    "sin(r) / r": (
        lambda x: np.where(norm(x) > 0, np.sin(norm(x)) / np.where(norm(x) > 0, norm(x), 1), 1.0),
        -1 / 3,
    ),
    "r - log(1 + r)": (lambda x: norm(x) - np.log1p(norm(x)), 1),
    "Wendland's": (lambda x: np.maximum(1 - norm(x), 0) ** 4 * (4 * norm(x) + 1), -20),
    "a cube": (lambda x: root(x) ** 3, 0),
    "a cube of sizes": (lambda x: np.sum(np.abs(x) ** 3), 0),
    "a power of squares": (lambda x: np.sum(x**2) ** 1.5, 0),
    "norm^4": (lambda x: norm(x) ** 4, 0),
    "x |x|": (lambda x: np.sum(x * np.abs(x)), 0),
}


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("name", RADIAL)
def test_smooth_functions_of_roots_at_zero(name):
    function, curve = RADIAL[name]
    brief = name not in ("Matérn 3/2 of a root", "cosh of sizes")
    wanted = [[curve, 0.0], [0.0, curve]]
    everywhere(function, [0.0, 0.0], O2, np.array(wanted, float), brief=brief)
    at, step = np.array([0.3, -0.4]), 1e-6  # away from the seam, nothing else happens
    slope = sf.grad(function)(at)
    for i, unit in enumerate(np.eye(2)):
        rise = (function(at + step * unit) - function(at - step * unit)) / (2 * step)
        np.testing.assert_allclose(slope[i], rise, rtol=1e-6, atol=1e-8)


def test_kernels_of_points_that_meet():
    """By a length that is learned, of all pairs, with each point beside itself."""

    def energy(points, length):
        apart = np.sqrt(np.sum((points[:, None] - points[None]) ** 2, axis=-1))
        return np.sum(matern(1.5, apart / length))

    points, length = np.array([[0.0, 1.0], [0.0, 1.0]]), 0.7
    np.testing.assert_array_equal(sf.grad(energy)(points, length), np.zeros((2, 2)))
    np.testing.assert_allclose(sf.grad(energy, 1)(points, length), 0.0, atol=1e-15)
    curve = -3 / length**2 * 2
    wanted = np.einsum("ij,kl->ikjl", [[curve, -curve], [-curve, curve]], np.eye(2))
    np.testing.assert_allclose(sf.hessian(energy)(points, length), wanted, rtol=1e-14, atol=1e-14)


def test_kinks_that_stay():
    """What has no slope keeps the conventions; near misses are not taken for smooth."""
    for function in (norm, lambda x: np.exp(-norm(x)), lambda x: norm(x) + norm(x) ** 3):
        np.testing.assert_array_equal(sf.grad(function)(np.zeros(2)), [0.0, 0.0])
    power = sf.grad(lambda x, p: np.exp(-norm(x)) * (1 + p * norm(x)))
    for p in (0.5, 1.0, 1.5):
        np.testing.assert_array_equal(power(np.zeros(2), p), [0.0, 0.0])
    assert np.isnan(sf.grad(lambda x: np.exp(-root(x)))(np.zeros(2))).all()
