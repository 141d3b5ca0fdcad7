"""Calls and small models: what a call costs, linear regression, a network of 10-5-2, a Hessian."""

import functools

from ..row import Row, differentiable
from ..tools import casadi_code

ORDER = 10


def polynomial(x):
    return 3.0 * x * x + 2.0 * x + 1.0


def slope(x):
    return 6.0 * x + 2.0


def curvature(x):
    return 6.0


def _casadi_scalar(f, casadi, inputs):
    x = casadi.SX.sym("x")
    return casadi_code(casadi, [x], [casadi.SX(f(x))], inputs)


def polynomial_rows():
    derivatives = {
        "value": (polynomial, lambda sf: polynomial),
        "1st derivative": (slope, lambda sf: sf.grad(polynomial)),
        "2nd derivative": (curvature, lambda sf: sf.grad(sf.grad(polynomial))),
    }
    for variant, (by_hand, derive) in derivatives.items():
        tools = {
            "symflux": lambda sf, np, derive=derive: sf.compile(derive(sf)),
            "numpy": lambda np, f=by_hand: f,
            "jax": lambda jax, np, derive=derive: jax.jit(derive(jax)),
            "numba": lambda numba, np, f=by_hand: numba.njit(f),
            "casadi": functools.partial(_casadi_scalar, by_hand),
        }
        yield Row("call", "3x²+2x+1", variant, lambda: (1.5,), tools, 1e-14, True)


def _arrays(count):
    import numpy as np

    return tuple(np.random.default_rng(0).standard_normal((count, 10)))


def add_up(*arrays):
    total = arrays[0]
    for array in arrays[1:]:
        total = total + array
    return total


def double(x):
    return 2.0 * x


def of_dict(d):
    return {"a": d["a"] + d["b"], "c": d["c"] * d["d"]}


def _casadi_arrays(f, casadi, inputs):
    xs = [casadi.SX.sym(f"x{i}", 10) for i in range(len(inputs))]
    return casadi_code(casadi, xs, [f(*xs)], inputs)


def _casadi_dict(casadi, inputs):
    names = list(inputs[0])
    xs = {name: casadi.SX.sym(name, 10) for name in names}
    result = of_dict(xs)
    return casadi_code(
        casadi, list(xs.values()), [result[k] for k in sorted(result)], list(inputs[0].values())
    )


def _everywhere(f):
    return {
        "symflux": lambda sf, np: sf.compile(f),
        "numpy": lambda np: f,
        "jax": lambda jax, np: jax.jit(f),
        "torch": lambda torch: f,
    }


def array_rows():
    for size, count, f in (("1 array of 10", 1, double), ("10 arrays of 10", 10, add_up)):
        tools = _everywhere(f) | {"casadi": functools.partial(_casadi_arrays, f)}
        if count == 1:
            tools["numba"] = lambda numba, np: numba.njit(double)
        yield Row(
            "call", size, "forward", functools.partial(_arrays, count), tools, 1e-14, True,
            torch_compile=False,
        )  # fmt: skip
    yield Row(
        "call", "dict of 4 arrays of 10", "forward",
        lambda: (dict(zip("abcd", _arrays(4), strict=True)),),
        _everywhere(of_dict) | {"casadi": _casadi_dict}, 1e-14, True, torch_compile=False,
    )  # fmt: skip


def regression(np):
    def f(w, b, x, y):
        r = w @ x + b - y
        return np.sum(r * r)

    return f


def regression_by_hand(np):
    def f(w, b, x, y):
        r = w @ x + b - y
        g = 2.0 * r
        return r @ r, (np.outer(g, x), g)

    return f


def regression_inputs():
    import numpy as np

    r = np.random.default_rng(0)
    return (
        r.standard_normal((2, 5)), r.standard_normal(2), r.standard_normal(5), r.standard_normal(2)
    )  # fmt: skip


def _casadi_regression(gradient, casadi, inputs):
    w, b = casadi.SX.sym("w", 2, 5), casadi.SX.sym("b", 2)
    x, y = casadi.SX.sym("x", 5), casadi.SX.sym("y", 2)
    r = w @ x + b - y
    value = casadi.dot(r, r)
    outputs = [value]
    if gradient:
        outputs += [casadi.gradient(value, w), casadi.gradient(value, b)]
    return casadi_code(casadi, [w, b, x, y], outputs, inputs)


def regression_rows():
    return differentiable(
        "linear regression", "2x5", regression_inputs, regression, argnums=(0, 1), small=True,
        torch=regression,
        forward={"casadi": functools.partial(_casadi_regression, False)},
        gradient={
            "numpy": regression_by_hand, "casadi": functools.partial(_casadi_regression, True),
        },
    )  # fmt: skip


def network(np):
    def f(w1, b1, w2, b2, x, t):
        h = 1.0 / (1.0 + np.exp(-(w1 @ x + b1)))
        z = w2 @ h + b2
        e = np.exp(z)
        return -np.sum(t * np.log(e / np.sum(e)))

    return f


def network_by_hand(np):
    def f(w1, b1, w2, b2, x, t):
        h = 1.0 / (1.0 + np.exp(-(w1 @ x + b1)))
        e = np.exp(w2 @ h + b2)
        p = e / e.sum()
        dz = p * t.sum() - t
        dh = (dz @ w2) * h * (1.0 - h)
        return -(t @ np.log(p)), (np.outer(dh, x), dh, np.outer(dz, h), dz)

    return f


def network_inputs():
    import numpy as np

    r = np.random.default_rng(0)
    shapes = ((5, 10), (5,), (2, 5), (2,), (10,))
    return (*(r.standard_normal(s) for s in shapes), np.array([0.0, 1.0]))


def _casadi_network(gradient, casadi, inputs):
    shapes = ((5, 10), (5, 1), (2, 5), (2, 1), (10, 1), (2, 1))
    symbols = [casadi.SX.sym(f"x{i}", *shape) for i, shape in enumerate(shapes)]
    w1, b1, w2, b2, x, t = symbols
    h = 1.0 / (1.0 + casadi.exp(-(w1 @ x + b1)))
    e = casadi.exp(w2 @ h + b2)
    value = -casadi.dot(t, casadi.log(e / casadi.sum1(e)))
    outputs = [value]
    if gradient:
        outputs += [casadi.gradient(value, s) for s in symbols[:4]]
    return casadi_code(casadi, symbols, outputs, inputs)


def network_rows():
    return differentiable(
        "network 10-5-2", "1 sample", network_inputs, network, argnums=(0, 1, 2, 3), small=True,
        torch=network,
        forward={"casadi": functools.partial(_casadi_network, False)},
        gradient={"numpy": network_by_hand, "casadi": functools.partial(_casadi_network, True)},
    )  # fmt: skip


def curved(np):
    """The logarithm of a sum of exponentials, and a quartic: its Hessian is dense."""

    def f(x, a):
        return np.log(np.sum(np.exp(a @ x))) + 0.25 * np.sum(x * x) ** 2

    return f


def curved_by_hand(np):
    def f(x, a):
        e = np.exp(a @ x)
        p = e / e.sum()
        m = p @ a
        return (a.T * p) @ a - np.outer(m, m) + (x @ x) * np.eye(x.size) + 2.0 * np.outer(x, x)

    return f


def curved_inputs(n):
    import numpy as np

    r = np.random.default_rng(0)
    return r.standard_normal(n) / n**0.5, r.standard_normal((n, n)) / n**0.5


def _casadi_hessian(casadi, inputs):
    n = inputs[0].size
    x, a = casadi.SX.sym("x", n), casadi.SX.sym("a", n, n)
    value = casadi.log(casadi.sum1(casadi.exp(a @ x))) + 0.25 * casadi.dot(x, x) ** 2
    return casadi_code(casadi, [x, a], [casadi.hessian(value, x)[0]], inputs)


def _torch_hessian(torch):
    f = curved(torch)
    return lambda x, a: torch.func.hessian(f)(x, a)


def hessian_rows():
    for n in (5, 30):
        tools = {
            "symflux": lambda sf, np: sf.compile(sf.hessian(curved(np))),
            "numpy": curved_by_hand,
            "jax": lambda jax, np: jax.jit(jax.hessian(curved(np))),
            "torch": _torch_hessian,
            "casadi": _casadi_hessian,
        }
        yield Row(
            "dense hessian", f"n={n}", "hessian", functools.partial(curved_inputs, n), tools,
            small=n == 5,
        )  # fmt: skip


def paired(np):
    """Sines of all products of two, and Rosenbrock's function: what each term has is sparse."""

    def f(x):
        a, b = x[:-1], x[1:]
        pairs = np.sum(np.sin(x[:, None] * x[None, :]))
        return pairs + np.sum(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2)

    return f


def paired_by_hand(np):
    def f(x):
        n = x.size
        p = x[:, None] * x[None, :]
        c, s = np.cos(p), np.sin(p)
        h = 2.0 * (c - s * p)
        a, b, i = x[:-1], x[1:], np.arange(n - 1)
        h[np.arange(n), np.arange(n)] -= 2.0 * (s @ (x * x))
        h[i, i] += 1200.0 * a * a - 400.0 * b + 2.0
        h[i + 1, i + 1] += 200.0
        h[i, i + 1] -= 400.0 * a
        h[i + 1, i] -= 400.0 * a
        return h

    return f


def _casadi_paired(casadi, inputs):
    x = casadi.SX.sym("x", inputs[0].size)
    a, b = x[:-1], x[1:]
    value = casadi.sum1(casadi.sum2(casadi.sin(x @ x.T)))
    value += casadi.sum1(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2)
    return casadi_code(casadi, [x], [casadi.hessian(value, x)[0]], inputs)


def paired_inputs(n):
    import numpy as np

    return (np.linspace(0.1, 1.0, n),)


def paired_rows():
    for n in (5, 30):
        tools = {
            "symflux": lambda sf, np: sf.compile(sf.hessian(paired(np))),
            "numpy": paired_by_hand,
            "jax": lambda jax, np: jax.jit(jax.hessian(paired(np))),
            "torch": lambda torch: torch.func.hessian(paired(torch)),
            "casadi": _casadi_paired,
        }
        yield Row(
            "pairs and rosenbrock", f"n={n}", "hessian", functools.partial(paired_inputs, n),
            tools, small=n == 5,
        )  # fmt: skip


def rows():
    return [
        *polynomial_rows(), *array_rows(), *regression_rows(), *network_rows(), *hessian_rows(),
        *paired_rows(),
    ]  # fmt: skip
