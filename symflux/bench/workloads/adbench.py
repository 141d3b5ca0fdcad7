"""The problems of ADBench: Gaussian mixture, bundle adjustment, hand tracking, LSTM.

Formulas after Srajer, Kukelova, Fitzgibbon, "A benchmark of selected algorithmic differentiation
tools on some problems in computer vision and machine learning" (2018), on random data of the sizes
that it uses.
"""

import functools
import math

from ..row import Row, differentiable

ORDER = 45


# --- log-likelihood of a mixture of Gaussians with a Wishart prior --------------------------------

GAMMA, FREEDOM = 1.0, 0


def mixture_inputs(d, k, n):
    import numpy as np

    r = np.random.default_rng(0)
    return (
        r.standard_normal(k), r.uniform(0.0, 1.0, (k, d)),
        r.standard_normal((k, d * (d + 1) // 2)) / d**0.5, r.standard_normal((n, d)),
    )  # fmt: skip


def triangle(d):
    """Where each element of a strictly lower triangle, stored by columns, comes from; the others
    come from a zero behind the last one."""
    import numpy as np

    count = d * (d - 1) // 2
    index = np.full((d, d), count)
    place = 0
    for column in range(d):
        for row in range(column + 1, d):
            index[row, column] = place
            place += 1
    return index


def mixture(d, np):
    """``icf`` holds the logarithms of the diagonal, then the triangle of the inverse factors."""
    index = triangle(d)

    def f(alphas, means, icf, x):
        k, n = means.shape[0], x.shape[0]
        logs, lower = icf[:, :d], icf[:, d:]
        sums, diagonal = np.sum(logs, axis=1), np.exp(logs)
        padded = np.concatenate([lower, np.zeros((k, 1))], axis=1)
        factors = np.take(padded, index, axis=1) + diagonal[:, :, None] * np.eye(d)
        moved = np.einsum("kij,kj->ki", factors, means)
        y = np.einsum("nj,kij->nki", x, factors) - moved
        terms = alphas + sums - 0.5 * np.sum(y * y, axis=2)
        value = np.sum(logsumexp(np, terms)) - n * logsumexp(np, alphas)
        squares = np.sum(diagonal * diagonal) + np.sum(lower * lower)
        prior = 0.5 * GAMMA**2 * squares - FREEDOM * np.sum(sums)
        return value - n * d * 0.5 * math.log(2 * math.pi) + prior - k * wishart(d)

    return f


def logsumexp(np, x):
    top = np.max(x, axis=-1, keepdims=True)
    return np.log(np.sum(np.exp(x - top), axis=-1)) + top[..., 0]


def wishart(d):
    """The constant of the prior."""
    n = d + FREEDOM + 1
    gamma = 0.25 * d * (d - 1) * math.log(math.pi)
    gamma += sum(math.lgamma(0.5 * (n - j)) for j in range(d))
    return n * d * (math.log(GAMMA) - 0.5 * math.log(2)) - gamma


def _torch_mixture(d, torch):
    index = torch.from_numpy(triangle(d))

    def f(alphas, means, icf, x):
        k, n = means.shape[0], x.shape[0]
        logs, lower = icf[:, :d], icf[:, d:]
        sums, diagonal = logs.sum(1), logs.exp()
        padded = torch.cat([lower, torch.zeros((k, 1), dtype=x.dtype)], 1)
        factors = padded[:, index] + torch.diag_embed(diagonal)
        moved = torch.einsum("kij,kj->ki", factors, means)
        y = (x @ factors.reshape(k * d, d).T).reshape(n, k, d) - moved
        terms = alphas + sums - 0.5 * (y * y).sum(2)
        value = torch.logsumexp(terms, 1).sum() - n * torch.logsumexp(alphas, 0)
        squares = (diagonal**2).sum() + (lower**2).sum()
        prior = 0.5 * GAMMA**2 * squares - FREEDOM * sums.sum()
        return value - n * d * 0.5 * math.log(2 * math.pi) + prior - k * wishart(d)

    return f


def mixture_rows(d, k, n):
    return differentiable(
        "gmm", f"d={d} K={k} N={n}", functools.partial(mixture_inputs, d, k, n),
        functools.partial(mixture, d), argnums=(0, 1, 2), rtol=1e-9, small=n < 1000,
        torch=functools.partial(_torch_mixture, d), torch_compile=n == 1000,
    )  # fmt: skip


# --- bundle adjustment: each observation of a point by a camera has a small Jacobian --------------


def observations(cameras, points, count):
    import numpy as np

    r = np.random.default_rng(0)
    camera = np.concatenate(
        [
            r.uniform(-0.5, 0.5, (cameras, 3)),  # rotation
            r.uniform(-1.0, 1.0, (cameras, 3)),  # centre
            r.uniform(0.8, 1.2, (cameras, 1)),  # focal length
            r.uniform(-0.1, 0.1, (cameras, 4)),  # principal point, radial distortion
        ],
        axis=1,
    )
    point = r.uniform(-1.0, 1.0, (points, 3)) + np.array([0.0, 0.0, 5.0])
    which = np.stack([r.integers(0, cameras, count), r.integers(0, points, count)], axis=1)
    return camera, point, r.uniform(0.5, 1.0, count), r.standard_normal((count, 2)), which


def reprojection(np):
    """The error of one observation: camera of 11 params, point in space, weight, place seen."""

    def f(camera, point, weight, seen):
        turn, centre, focal = camera[:3], camera[3:6], camera[6]
        v = point - centre
        square = turn[0] * turn[0] + turn[1] * turn[1] + turn[2] * turn[2]
        angle = np.sqrt(square)
        s, c = np.sin(angle), np.cos(angle)
        a = turn / angle
        dot = a[0] * v[0] + a[1] * v[1] + a[2] * v[2]
        crossed = (
            a[1] * v[2] - a[2] * v[1],
            a[2] * v[0] - a[0] * v[2],
            a[0] * v[1] - a[1] * v[0],
        )
        x, y, z = (v[i] * c + crossed[i] * s + a[i] * dot * (1.0 - c) for i in range(3))
        x, y = x / z, y / z
        r = x * x + y * y
        bend = 1.0 + camera[9] * r + camera[10] * r * r
        return np.stack(
            [
                weight * (focal * x * bend + camera[7] - seen[0]),
                weight * (focal * y * bend + camera[8] - seen[1]),
            ]
        )

    return f


def reprojections(vmap, np):
    def f(cameras, points, weights, seen, which):
        one = reprojection(np)
        return vmap(one)(cameras[which[:, 0]], points[which[:, 1]], weights, seen)

    return f


def sparse_jacobian(vmap, jacobian, np):
    """By camera, point and weight of each observation: blocks of 2x11, 2x3, 2."""

    def f(cameras, points, weights, seen, which):
        return vmap(jacobian(reprojection(np), (0, 1, 2)))(
            cameras[which[:, 0]], points[which[:, 1]], weights, seen
        )

    return f


def _all_at_once(np):
    """The errors of all observations with arrays for numbers: what NumPy's users write."""
    one = reprojection(np)

    def f(cameras, points, weights, seen, which):
        errors = one(cameras[which[:, 0]].T, points[which[:, 1]].T, weights, seen.T)
        return errors.T

    return f


def _complex_steps(np):
    """The Jacobians by complex steps, which are exact to rounding."""
    one = reprojection(np)

    def f(cameras, points, weights, seen, which):
        values = [cameras[which[:, 0]].T, points[which[:, 1]].T, weights[None]]
        blocks = []
        for n, value in enumerate(values):
            columns = []
            for j in range(value.shape[0]):
                moved = [v.astype(complex) for v in values]
                moved[n][j] += 1e-30j
                columns.append(one(moved[0], moved[1], moved[2][0], seen.T).imag.T * 1e30)
            blocks.append(np.stack(columns, axis=2))
        return blocks[0], blocks[1], blocks[2][:, :, 0]

    return f


def bundle_rows(cameras, points, count):
    inputs = functools.partial(observations, cameras, points, count)
    size = f"{cameras} cameras {count} observations"
    forward = {
        "symflux": lambda sf, np: sf.compile(reprojections(sf.vmap, np)),
        "numpy": _all_at_once,
        "jax": lambda jax, np: jax.jit(reprojections(jax.vmap, np)),
        "torch": lambda torch: reprojections(torch.func.vmap, torch),
    }
    jacobian = {
        "symflux": lambda sf, np: sf.compile(
            sparse_jacobian(sf.vmap, functools.partial(_jacobians, sf), np)
        ),
        "numpy": _complex_steps,
        "jax": lambda jax, np: jax.jit(sparse_jacobian(jax.vmap, jax.jacrev, np)),
        "torch": lambda torch: sparse_jacobian(torch.func.vmap, torch.func.jacrev, torch),
    }
    small = count < 1000
    return [
        Row("bundle adjustment", size, "forward", inputs, forward, 1e-10, small),
        Row(
            "bundle adjustment", size, "jacobian", inputs, jacobian, 1e-10, small,
            torch_compile=False,
        ),
    ]  # fmt: skip


def _jacobians(sf, f, argnums):
    return lambda *args: tuple(sf.jacobian(f, argnums=n)(*args) for n in argnums)


# --- hand tracking: 26 angles and shifts move a skeleton and the skin around it -------------------

BONES, THETAS = 22, 26


def hand_inputs(count, vertices):
    import numpy as np

    r = np.random.default_rng(0)
    base = np.stack([np.linalg.qr(r.standard_normal((3, 3)))[0] for _ in range(BONES)])
    offsets = 0.3 * r.standard_normal((BONES, 3))
    weights = r.uniform(0.0, 1.0, (BONES, vertices))
    weights /= weights.sum(axis=0)
    places = r.standard_normal((BONES, 3, vertices))  # of the vertices, as each bone sees them
    which = r.integers(0, vertices, count)
    return (
        0.3 * r.standard_normal(THETAS), base, offsets, weights, places, which,
        r.standard_normal((3, count)),
    )  # fmt: skip


def poses(theta):
    """The two angles of each bone, or None: a wrist, then five fingers of four bones; the first
    bone of a finger stays, the second bends in two directions, the others in one."""
    found = [(None, None)] * 2
    i = 6
    for _ in range(5):
        found += [(None, None), (theta[i], theta[i + 1])]
        found += [(theta[i + 2], None), (theta[i + 3], None)]
        i += 4
    return found


def parents():
    found = [-1, 0]
    for finger in range(5):
        first = 2 + 4 * finger
        found += [0, first, first + 1, first + 2]
    return found


def euler(np, x, z):
    """A rotation about the first axis, then (unless ``z`` is None) about the third."""
    cx, sx = np.cos(x), np.sin(x)
    zero = 0.0 * cx
    cz, sz = (zero + 1.0, zero) if z is None else (np.cos(z), np.sin(z))
    rows = ((cz, -sz * cx, sz * sx), (sz, cz * cx, -cz * sx), (zero, sx, cx))
    return np.stack([np.stack(row) for row in rows])


def turned(np, axis):
    """The rotation about an axis by its length (Rodrigues)."""
    angle = np.sqrt(np.sum(axis * axis))
    n = axis / angle
    zero = 0.0 * n[0]
    k = np.stack(
        [
            np.stack([zero, -n[2], n[1]]),
            np.stack([n[2], zero, -n[0]]),
            np.stack([-n[1], n[0], zero]),
        ]
    )
    return (
        np.cos(angle) * np.eye(3)
        + np.sin(angle) * k
        + (1.0 - np.cos(angle)) * (n[:, None] * n[None, :])
    )


def hand(np):
    def f(theta, base, offsets, weights, places, which, seen):
        rotations, shifts = [], []
        for bone, ((x, z), parent) in enumerate(zip(poses(theta), parents(), strict=True)):
            local = base[bone] if x is None else base[bone] @ euler(np, x, z)
            shift = offsets[bone]
            if parent >= 0:
                shift = rotations[parent] @ shift + shifts[parent]
                local = rotations[parent] @ local
            rotations.append(local)
            shifts.append(shift)
        r, t = np.stack(rotations), np.stack(shifts)
        positions = np.einsum("bij,bjv->biv", r, places) + t[:, :, None]
        skin = np.sum(weights[:, None, :] * positions, axis=0)
        placed = turned(np, theta[:3]) @ skin + theta[3:6][:, None]
        return seen - placed[:, which]

    return f


def _hand_differences(np):
    """The Jacobian by complex steps."""
    f = hand(np)

    def g(theta, *rest):
        columns = []
        for j in range(THETAS):
            moved = theta.astype(complex)
            moved[j] += 1e-30j
            columns.append(f(moved, *rest).imag * 1e30)
        return np.stack(columns, axis=2)

    return g


def _torch_hand(torch):
    make = torch.eye

    class Names:
        """PyTorch's names, where an identity has the dtype of the others."""

        def __getattr__(self, name):
            return getattr(torch, name)

        @staticmethod
        def eye(n):
            return make(n, dtype=torch.float64)

    return hand(Names())


def hand_rows(count, vertices):
    inputs = functools.partial(hand_inputs, count, vertices)
    forward = {
        "symflux": lambda sf, np: sf.compile(hand(np)),
        "numpy": hand,
        "jax": lambda jax, np: jax.jit(hand(np)),
        "torch": _torch_hand,
    }
    jacobian = {
        "symflux": lambda sf, np: sf.compile(sf.jacobian(hand(np))),
        "numpy": _hand_differences,
        "jax": lambda jax, np: jax.jit(jax.jacfwd(hand(np))),
        "torch": lambda torch: torch.func.jacfwd(_torch_hand(torch)),
    }
    size = f"{THETAS} params {count} points"
    return [
        Row(
            "hand tracking", size, variant, inputs, tools, 1e-9, count < 50, torch_compile=False
        )
        for variant, tools in (("forward", forward), ("jacobian", jacobian))
    ]  # fmt: skip


# --- a long short-term memory without matrices ----------------------------------------------------

FEATURES = 14


def sequence_inputs(layers, length):
    import numpy as np

    r = np.random.default_rng(0)
    main = 0.5 * r.standard_normal((layers, 2, 4, FEATURES))
    extra = 0.5 * r.standard_normal((3, FEATURES))
    state = 0.1 * r.standard_normal((layers, 2, FEATURES))
    return main, extra, state, r.uniform(0.0, 1.0, (length, FEATURES))


def memory(loop, np):
    """The mean log-likelihood of a sequence, each element predicted from those before."""

    def sigmoid(x):
        return 1.0 / (1.0 + np.exp(-x))

    def f(main, extra, state, sequence):
        layers = main.shape[0]

        def step(carry, pair):
            x, wanted = pair
            x, new = x * extra[0], []
            for n in range(layers):
                w, b = main[n][0], main[n][1]
                hidden, cell = carry[n]
                forget = sigmoid(x * w[0] + b[0])
                enter = sigmoid(hidden * w[1] + b[1])
                leave = sigmoid(x * w[2] + b[2])
                change = np.tanh(hidden * w[3] + b[3])
                cell = cell * forget + enter * change
                x = leave * np.tanh(cell)
                new.append((x, cell))
            y = x * extra[1] + extra[2]
            y = y - np.log(np.sum(np.exp(y)) + 2.0)
            return tuple(new), np.sum(wanted * y)

        start = tuple((state[n][0], state[n][1]) for n in range(layers))
        terms = loop(step, start, (sequence[:-1], sequence[1:]))
        return -np.sum(terms) / ((sequence.shape[0] - 1) * FEATURES)

    return f


def _numpy_loop(np):
    def loop(step, carry, pairs):
        terms = []
        for pair in zip(*pairs, strict=True):
            carry, term = step(carry, pair)
            terms.append(term)
        return np.stack(terms)

    return loop


def memory_rows(layers, length):
    def in_symflux(sf, np):
        return memory(lambda step, start, pairs: sf.scan(step, start, pairs)[1], np)

    def in_jax(jax, np):
        return memory(lambda step, start, pairs: jax.lax.scan(step, start, pairs)[1], np)

    argnums = (0, 1)
    return differentiable(
        "lstm", f"{layers} layers {length} steps",
        functools.partial(sequence_inputs, layers, length),
        lambda np: memory(_numpy_loop(np), np), argnums=argnums, small=length < 100,
        torch=lambda torch: memory(_numpy_loop(torch), torch), torch_compile=False,
        forward={
            "symflux": lambda sf, np: sf.compile(in_symflux(sf, np)),
            "jax": lambda jax, np: jax.jit(in_jax(jax, np)),
        },
        gradient={
            "symflux": lambda sf, np: sf.compile(sf.value_and_grad(in_symflux(sf, np), argnums)),
            "jax": lambda jax, np: jax.jit(jax.value_and_grad(in_jax(jax, np), argnums)),
        },
    )  # fmt: skip


def rows():
    mixtures = [
        (2, 5, 1000), (2, 200, 1000), (20, 25, 1000), (20, 200, 1000), (64, 5, 1000),
        (64, 25, 1000), (20, 25, 10_000), (2, 5, 10_000),
    ]  # fmt: skip
    found = mixture_rows(3, 4, 20)
    for sizes in mixtures:
        found += mixture_rows(*sizes)
    for sizes in ((3, 10, 40), (49, 7776, 31_843)):
        found += bundle_rows(*sizes)
    for sizes in ((10, 30), (100, 544)):
        found += hand_rows(*sizes)
    for sizes in ((2, 8), (2, 1024), (4, 1024)):
        found += memory_rows(*sizes)
    return found
