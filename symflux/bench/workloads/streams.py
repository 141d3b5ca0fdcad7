"""Rosenbrock's function (stencils, streaming) and Black-Scholes (mathematics of vectors)."""

import functools

from ..row import Row, differentiable
from ..tools import casadi_code

ORDER = 40


def rosenbrock(np):
    def f(x):
        return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    return f


def rosenbrock_by_hand(np):
    def f(x):
        a, b = x[:-1], x[1:]
        d, e = b - a * a, 1.0 - a
        value = 100.0 * (d @ d) + e @ e
        d *= 200.0
        g = np.zeros_like(x)
        g[1:] = d
        d *= a
        g[:-1] -= 2.0 * d
        g[:-1] -= 2.0 * e
        return value, g

    return f


def rosenbrock_numba(numba, np):
    @numba.njit(fastmath=True)
    def f(x):
        total = 0.0
        for i in range(x.size - 1):
            d, e = x[i + 1] - x[i] * x[i], 1.0 - x[i]
            total += 100.0 * d * d + e * e
        return total

    return f


def rosenbrock_gradient_numba(numba, np):
    @numba.njit(fastmath=True)
    def f(x):
        total, before = 0.0, 0.0
        g = np.empty_like(x)
        for i in range(x.size - 1):
            d, e = x[i + 1] - x[i] * x[i], 1.0 - x[i]
            total += 100.0 * d * d + e * e
            g[i] = before - 400.0 * d * x[i] - 2.0 * e
            before = 200.0 * d
        g[-1] = before
        return total, g

    return f


def rosenbrock_casadi(gradient, casadi, inputs):
    x = casadi.SX.sym("x", inputs[0].size)
    a, b = x[:-1], x[1:]
    y = casadi.sum1(100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2)
    outputs = [y, casadi.gradient(y, x)] if gradient else [y]
    return casadi_code(casadi, [x], outputs, inputs)


def rosenbrock_pytensor(gradient, pytensor, inputs):
    x = pytensor.tensor.vector("x")
    y = rosenbrock(pytensor.tensor)(x)
    outputs = [y, pytensor.grad(y, x)] if gradient else [y]
    return _trusting(pytensor.function([x], outputs, mode="NUMBA"))


def _trusting(function):
    function.trust_input = True  # no check of the arguments
    return function


def rosenbrock_inputs(n):
    import numpy as np

    return (np.random.default_rng(0).uniform(-1.0, 1.0, n),)


def rosenbrock_rows(n):
    forward = {
        "numba": rosenbrock_numba,
        "pytensor": functools.partial(rosenbrock_pytensor, False),
    }
    gradient = {
        "numba": rosenbrock_gradient_numba,
        "numpy": rosenbrock_by_hand,
        "pytensor": functools.partial(rosenbrock_pytensor, True),
    }
    if n <= 1000:
        forward["casadi"] = functools.partial(rosenbrock_casadi, False)
        gradient["casadi"] = functools.partial(rosenbrock_casadi, True)
    return differentiable(
        "rosenbrock", f"n={n}", functools.partial(rosenbrock_inputs, n), rosenbrock,
        torch=rosenbrock, forward=forward, gradient=gradient, small=n <= 1000,
    )  # fmt: skip


def black_scholes_inputs(n):
    import numpy as np

    random = np.random.default_rng(0)
    spot, strike = random.uniform(50.0, 150.0, n), random.uniform(50.0, 150.0, n)
    years, volatility = random.uniform(0.1, 2.0, n), random.uniform(0.1, 0.5, n)
    return spot, strike, years, volatility


def price(np, erf):
    """A call option at two per cent interest: the price of each option."""

    def f(spot, strike, years, volatility):
        deviation = volatility * np.sqrt(years)
        d1 = (np.log(spot / strike) + (0.02 + 0.5 * volatility**2) * years) / deviation
        d2 = d1 - deviation
        n1, n2 = (0.5 * (1.0 + erf(d * 0.7071067811865476)) for d in (d1, d2))
        return spot * n1 - strike * np.exp(-0.02 * years) * n2

    return f


def greeks(np, erf):
    """Price, delta, vega, theta in closed form, as one writes it by hand."""

    def f(spot, strike, years, volatility):
        root = np.sqrt(years)
        deviation = volatility * root
        d1 = (np.log(spot / strike) + (0.02 + 0.5 * volatility**2) * years) / deviation
        d2 = d1 - deviation
        n1, n2 = (
            0.5 * (1.0 + erf(d1 * 0.7071067811865476)),
            0.5 * (1.0 + erf(d2 * 0.7071067811865476)),
        )
        discounted = strike * np.exp(-0.02 * years)
        density = np.exp(-0.5 * d1 * d1) * 0.3989422804014327
        value = spot * n1 - discounted * n2
        theta = spot * density * volatility / (2.0 * root) + 0.02 * discounted * n2
        return value, n1, spot * density * root, theta

    return f


def _with_greeks(value_and_grad, np, f):
    """Prices and their derivatives by spot, volatility and years: each option has its own."""

    def g(spot, strike, years, volatility):
        def total(spot, years, volatility):
            prices = f(spot, strike, years, volatility)
            return np.sum(prices), prices

        (_, prices), (delta, theta, vega) = value_and_grad(total, (0, 1, 2), has_aux=True)(
            spot, years, volatility
        )
        return prices, delta, vega, theta

    return g


def _torch_greeks(torch):
    f = price(torch, torch.erf)

    def g(spot, strike, years, volatility):
        by = [t.detach().requires_grad_(True) for t in (spot, years, volatility)]
        prices = f(by[0], strike, by[1], by[2])
        delta, theta, vega = torch.autograd.grad(prices.sum(), by)
        return prices.detach(), delta, vega, theta

    return g


def _numba_price(numba, np):
    import math

    @numba.njit(fastmath=True)
    def f(spot, strike, years, volatility):
        out = np.empty_like(spot)
        for i in range(spot.size):
            s, k, t, v = spot[i], strike[i], years[i], volatility[i]
            deviation = v * math.sqrt(t)
            d1 = (math.log(s / k) + (0.02 + 0.5 * v * v) * t) / deviation
            d2 = d1 - deviation
            n1 = 0.5 * (1.0 + math.erf(d1 * 0.7071067811865476))
            n2 = 0.5 * (1.0 + math.erf(d2 * 0.7071067811865476))
            out[i] = s * n1 - k * math.exp(-0.02 * t) * n2
        return out

    return f


def _numba_greeks(numba, np):
    import math

    @numba.njit(fastmath=True)
    def f(spot, strike, years, volatility):
        value, delta = np.empty_like(spot), np.empty_like(spot)
        vega, theta = np.empty_like(spot), np.empty_like(spot)
        for i in range(spot.size):
            s, k, t, v = spot[i], strike[i], years[i], volatility[i]
            root = math.sqrt(t)
            deviation = v * root
            d1 = (math.log(s / k) + (0.02 + 0.5 * v * v) * t) / deviation
            d2 = d1 - deviation
            n1 = 0.5 * (1.0 + math.erf(d1 * 0.7071067811865476))
            n2 = 0.5 * (1.0 + math.erf(d2 * 0.7071067811865476))
            discounted = k * math.exp(-0.02 * t)
            density = math.exp(-0.5 * d1 * d1) * 0.3989422804014327
            value[i], delta[i] = s * n1 - discounted * n2, n1
            vega[i] = s * density * root
            theta[i] = s * density * v / (2.0 * root) + 0.02 * discounted * n2
        return value, delta, vega, theta

    return f


def _pytensor_price(derivatives, pytensor, inputs):
    tensor = pytensor.tensor
    given = [tensor.vector(name) for name in ("spot", "strike", "years", "volatility")]
    prices = price(tensor, tensor.erf)(*given)
    outputs = [prices]
    if derivatives:
        outputs += pytensor.grad(tensor.sum(prices), [given[0], given[3], given[2]])
    return _trusting(pytensor.function(given, outputs, mode="NUMBA"))


def _scipy_erf():
    from scipy.special import erf

    return erf


def black_scholes_rows(n):
    inputs = functools.partial(black_scholes_inputs, n)
    forward = {
        "symflux": lambda sf, np: sf.compile(price(np, sf.erf)),
        "numpy": lambda np: price(np, _scipy_erf()),
        "jax": lambda jax, np: jax.jit(price(np, jax.scipy.special.erf)),
        "torch": lambda torch: price(torch, torch.erf),
        "numba": _numba_price,
        "pytensor": functools.partial(_pytensor_price, False),
    }
    derivatives = {
        "symflux": lambda sf, np: sf.compile(
            _with_greeks(sf.value_and_grad, np, price(np, sf.erf))
        ),
        "numpy": lambda np: greeks(np, _scipy_erf()),
        "jax": lambda jax, np: jax.jit(
            _with_greeks(jax.value_and_grad, np, price(np, jax.scipy.special.erf))
        ),
        "torch": _torch_greeks,
        "numba": _numba_greeks,
        "pytensor": functools.partial(_pytensor_price, True),
    }
    small = n <= 1000
    return [
        Row("black-scholes", f"n={n}", "forward", inputs, forward, 1e-10, small),
        Row("black-scholes", f"n={n}", "greeks", inputs, derivatives, 1e-10, small),
    ]


def rows():
    found = [row for n in (10, 1000, 1_000_000) for row in rosenbrock_rows(n)]
    return found + [row for n in (1000, 1_000_000) for row in black_scholes_rows(n)]
