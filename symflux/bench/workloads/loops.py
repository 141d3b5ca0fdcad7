"""Loops: Lotka and Volterra's equations by RK4 with the gradient through the loop; all pairs."""

import functools

from ..row import Row, differentiable

ORDER = 50
STEP = 0.01


def rate(y, p):
    hares, lynxes = y
    return p[0] * hares - p[1] * hares * lynxes, p[2] * hares * lynxes - p[3] * lynxes


def runge_kutta(y, p):
    """One step of the classical method of fourth order."""
    k1 = rate(y, p)
    k2 = rate([u + 0.5 * STEP * k for u, k in zip(y, k1, strict=True)], p)
    k3 = rate([u + 0.5 * STEP * k for u, k in zip(y, k2, strict=True)], p)
    k4 = rate([u + STEP * k for u, k in zip(y, k3, strict=True)], p)
    return tuple(
        u + STEP / 6.0 * (a + 2.0 * b + 2.0 * c + d)
        for u, a, b, c, d in zip(y, k1, k2, k3, k4, strict=True)
    )


def solve(steps, loop):
    """The sum of both populations after that many steps, from a state and four rates."""

    def f(y, p):
        y = loop(steps, lambda state: runge_kutta(state, p), (y[0], y[1]))
        return y[0] + y[1]

    return f


def _python_loop(steps, body, state):
    for _ in range(steps):
        state = body(state)
    return state


def _symflux_loop(sf):
    return lambda n, body, state: sf.scan(lambda c, _: (body(c), None), state, length=n)[0]


def _jax_loop(jax):
    return lambda n, body, state: jax.lax.scan(lambda c, _: (body(c), None), state, None, length=n)[
        0
    ]


def _numpy_solve(steps, np):
    f = solve(steps, _python_loop)
    # Python's own numbers are three times as fast as NumPy's scalars
    return lambda y, p: f(y.tolist(), p.tolist()) if isinstance(y, np.ndarray) else f(y, p)


def _numba_step(numba):
    h = STEP

    @numba.njit
    def step(u, v, a, b, c, d):
        k1, l1 = a * u - b * u * v, c * u * v - d * v
        x, z = u + 0.5 * h * k1, v + 0.5 * h * l1
        k2, l2 = a * x - b * x * z, c * x * z - d * z
        x, z = u + 0.5 * h * k2, v + 0.5 * h * l2
        k3, l3 = a * x - b * x * z, c * x * z - d * z
        x, z = u + h * k3, v + h * l3
        k4, l4 = a * x - b * x * z, c * x * z - d * z
        return (
            u + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4),
            v + h / 6.0 * (l1 + 2.0 * l2 + 2.0 * l3 + l4),
        )

    return step


def _numba_solve(steps, numba, np):
    step = _numba_step(numba)

    @numba.njit
    def f(y, p):
        u, v = y[0], y[1]
        for _ in range(steps):
            u, v = step(u, v, p[0], p[1], p[2], p[3])
        return u + v

    return f


def _numba_gradient(steps, numba, np):
    """The adjoint by hand: states are kept, each step is differentiated on the way back."""
    step, h = _numba_step(numba), STEP

    @numba.njit
    def pull(x, z, gk, gl, p, g):
        # cotangents of the rates at (x, z) into those of x, z and the params
        g[0] += gk * x
        g[1] -= gk * x * z
        g[2] += gl * x * z
        g[3] -= gl * z
        return gk * (p[0] - p[1] * z) + gl * p[2] * z, gl * (p[2] * x - p[3]) - gk * p[1] * x

    @numba.njit
    def f(y, p):
        us, vs = np.empty(steps + 1), np.empty(steps + 1)
        us[0], vs[0] = y[0], y[1]
        a, b, c, d = p[0], p[1], p[2], p[3]
        for i in range(steps):
            us[i + 1], vs[i + 1] = step(us[i], vs[i], a, b, c, d)
        g = np.zeros(4)
        gu, gv = 1.0, 1.0
        for i in range(steps - 1, -1, -1):
            u, v = us[i], vs[i]
            k1, l1 = a * u - b * u * v, c * u * v - d * v
            x2, z2 = u + 0.5 * h * k1, v + 0.5 * h * l1
            k2, l2 = a * x2 - b * x2 * z2, c * x2 * z2 - d * z2
            x3, z3 = u + 0.5 * h * k2, v + 0.5 * h * l2
            k3, l3 = a * x3 - b * x3 * z3, c * x3 * z3 - d * z3
            x4, z4 = u + h * k3, v + h * l3
            sx, sz = pull(x4, z4, h / 6.0 * gu, h / 6.0 * gv, p, g)
            tu, tv = gu + sx, gv + sz
            sx, sz = pull(x3, z3, h / 3.0 * gu + h * sx, h / 3.0 * gv + h * sz, p, g)
            tu, tv = tu + sx, tv + sz
            sx, sz = pull(x2, z2, h / 3.0 * gu + 0.5 * h * sx, h / 3.0 * gv + 0.5 * h * sz, p, g)
            tu, tv = tu + sx, tv + sz
            sx, sz = pull(u, v, h / 6.0 * gu + 0.5 * h * sx, h / 6.0 * gv + 0.5 * h * sz, p, g)
            gu, gv = tu + sx, tv + sz
        return us[steps] + vs[steps], (np.array([gu, gv]), g)

    return f


def populations():
    import numpy as np

    return np.array([1.0, 0.5]), np.array([1.1, 0.4, 0.1, 0.4])


def lotka_volterra_rows(steps):
    forward = {
        "symflux": lambda sf, np: sf.compile(solve(steps, _symflux_loop(sf))),
        "jax": lambda jax, np: jax.jit(solve(steps, _jax_loop(jax))),
        "numba": functools.partial(_numba_solve, steps),
    }
    gradient = {
        "symflux": lambda sf, np: sf.compile(
            sf.value_and_grad(solve(steps, _symflux_loop(sf)), (0, 1))
        ),
        "jax": lambda jax, np: jax.jit(jax.value_and_grad(solve(steps, _jax_loop(jax)), (0, 1))),
        "numba": functools.partial(_numba_gradient, steps),
    }
    return differentiable(
        "lotka-volterra", f"{steps} steps", populations, functools.partial(_numpy_solve, steps),
        argnums=(0, 1), forward=forward, gradient=gradient, small=steps <= 1000,
        torch=(lambda torch: solve(steps, _python_loop)) if steps <= 1000 else None,
        rtol=1e-9 if steps <= 1000 else 1e-6, torch_compile=False,
    )  # fmt: skip


def gravity(np):
    """The potential energy of all pairs, softened so that nothing meets itself at distance 0."""

    def f(r, m):
        d = r[:, None, :] - r[None, :, :]
        distance = np.sqrt(np.sum(d * d, -1) + 1e-3)
        return -0.5 * np.sum(m[:, None] * m[None, :] / distance)

    return f


def _numba_gravity(numba, np):
    @numba.njit(fastmath=True)
    def f(r, m):
        total = 0.0
        for i in range(m.size):
            part = 0.0
            for j in range(m.size):
                x, y, z = r[i, 0] - r[j, 0], r[i, 1] - r[j, 1], r[i, 2] - r[j, 2]
                part += m[j] / np.sqrt(x * x + y * y + z * z + 1e-3)
            total += m[i] * part
        return -0.5 * total

    return f


def _numba_forces(numba, np):
    @numba.njit(fastmath=True)
    def f(r, m):
        total, g = 0.0, np.empty_like(r)
        for i in range(m.size):
            part, gx, gy, gz = 0.0, 0.0, 0.0, 0.0
            for j in range(m.size):
                x, y, z = r[i, 0] - r[j, 0], r[i, 1] - r[j, 1], r[i, 2] - r[j, 2]
                s = 1.0 / np.sqrt(x * x + y * y + z * z + 1e-3)
                part += m[j] * s
                c = m[j] * s * s * s
                gx += c * x
                gy += c * y
                gz += c * z
            total += m[i] * part
            g[i, 0], g[i, 1], g[i, 2] = m[i] * gx, m[i] * gy, m[i] * gz
        return -0.5 * total, g

    return f


def _forces_by_hand(np):
    def f(r, m):
        d = r[:, None, :] - r[None, :, :]
        s = 1.0 / np.sqrt(np.einsum("ijk,ijk->ij", d, d) + 1e-3)
        mm = m[:, None] * m
        return -0.5 * np.sum(mm * s), np.einsum("ij,ijk->ik", mm * s**3, d)

    return f


def bodies(n):
    import numpy as np

    r = np.random.default_rng(0)
    return r.standard_normal((n, 3)), r.uniform(0.5, 1.5, n)


def gravity_rows(n):
    return differentiable(
        "all-pairs gravity", f"N={n}", functools.partial(bodies, n), gravity,
        torch=gravity, forward={"numba": _numba_gravity},
        gradient={"numba": _numba_forces, "numpy": _forces_by_hand}, small=n <= 256,
    )  # fmt: skip


def rows() -> list[Row]:
    return [
        *lotka_volterra_rows(20), *lotka_volterra_rows(1000), *lotka_volterra_rows(1_000_000),
        *gravity_rows(256), *gravity_rows(2048),
    ]  # fmt: skip
