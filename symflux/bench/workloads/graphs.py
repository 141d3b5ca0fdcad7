"""Random scalar expressions of many operations in 20 inputs: long straight-line code."""

import functools
import math

from ..row import Row
from ..tools import casadi_code

ORDER = 60
INPUTS = 20
#: name of the operation and how often it comes
MIX = {"mul": 0.4, "mean": 0.3, "sub": 0.1, "sin": 0.07, "cos": 0.07, "tanh": 0.06}


@functools.cache
def program(count):
    """(operation, operand, operand) of each step; operands are inputs or earlier steps.

    Most operands are recent, so that the graph is deep; all values stay within [-1, 1]. A tuple:
    a list that a function captured is looked at in each of its calls, for it may have changed."""
    import numpy as np

    r = np.random.default_rng(0)
    names = r.choice(list(MIX), count, p=list(MIX.values())).tolist()
    position = np.arange(count) + INPUTS
    recent = position - 1 - np.minimum(r.geometric(0.02, (2, count)) - 1, position - 1)
    first, second = recent.tolist()
    return tuple(zip(names, first, second, strict=True))


def run(steps, inputs, sin, cos, tanh):
    """The mean of the last values."""
    values = list(inputs)
    for name, i, j in steps:
        a, b = values[i], values[j]
        if name == "mul":
            values.append(a * b)
        elif name == "mean":
            values.append(0.5 * (a + b))
        elif name == "sub":
            values.append(0.5 * (a - b))
        else:
            values.append({"sin": sin, "cos": cos, "tanh": tanh}[name](a))
    total = values[-1]
    for value in values[-INPUTS:-1]:
        total = total + value
    return total / INPUTS


def function(count, np):
    steps = program(count)

    def graph(x):
        return run(steps, [x[i] for i in range(INPUTS)], np.sin, np.cos, np.tanh)

    return graph


def by_hand(count, np):
    steps = program(count)
    return lambda x: run(steps, x.tolist(), math.sin, math.cos, math.tanh)


def gradient_by_hand(count, np):
    """A sweep forward, which keeps all values, and one back."""
    steps = program(count)

    def graph(x):
        v = x.tolist()
        for name, i, j in steps:
            a, b = v[i], v[j]
            if name == "mul":
                v.append(a * b)
            elif name == "mean":
                v.append(0.5 * (a + b))
            elif name == "sub":
                v.append(0.5 * (a - b))
            else:
                v.append(getattr(math, name)(a))
        g = [0.0] * len(v)
        g[-INPUTS:] = [1.0 / INPUTS] * INPUTS
        for n in range(len(steps) - 1, -1, -1):
            name, i, j = steps[n]
            c, a, b = g[n + INPUTS], v[i], v[j]
            if name == "mul":
                g[i] += c * b
                g[j] += c * a
            elif name in ("mean", "sub"):
                g[i] += 0.5 * c
                g[j] += 0.5 * c if name == "mean" else -0.5 * c
            elif name == "sin":
                g[i] += c * math.cos(a)
            elif name == "cos":
                g[i] -= c * math.sin(a)
            else:
                g[i] += c * (1.0 - v[n + INPUTS] ** 2)
        return sum(v[-INPUTS:]) / INPUTS, np.array(g[:INPUTS])

    return graph


def _casadi(count, gradient, casadi, inputs):
    x = casadi.SX.sym("x", INPUTS)
    y = run(program(count), casadi.vertsplit(x), casadi.sin, casadi.cos, casadi.tanh)
    return casadi_code(casadi, [x], [y, casadi.gradient(y, x)] if gradient else [y], inputs)


def inputs():
    import numpy as np

    return (np.random.default_rng(1).uniform(-1.0, 1.0, INPUTS),)


def graph_rows(count):
    forward = {
        "symflux": lambda sf, np: sf.compile(function(count, np)),
        "numpy": functools.partial(by_hand, count),
    }
    gradient = {
        "symflux": lambda sf, np: sf.compile(sf.value_and_grad(function(count, np))),
        "numpy": functools.partial(gradient_by_hand, count),
    }
    if count <= 10_000:  # gcc -O3 takes minutes for more
        forward["casadi"] = functools.partial(_casadi, count, False)
        gradient["casadi"] = functools.partial(_casadi, count, True)
    if count <= 500:  # XLA takes minutes for 5,000
        forward["jax"] = lambda jax, np: jax.jit(function(count, np))
        gradient["jax"] = lambda jax, np: jax.jit(jax.value_and_grad(function(count, np)))
    for variant, tools in (("forward", forward), ("gradient", gradient)):
        yield Row("random graph", f"{count} ops", variant, inputs, tools, 1e-8, count <= 500)


def rows():
    return [row for count in (500, 5000, 100_000, 1_000_000) for row in graph_rows(count)]
