"""Graphs evaluated with 300 bits: the true value that both sides of a law approximate."""

import mpmath
import numpy as np

from symflux.ir import Kind
from symflux.ir.node import INPUT, constant_value
from symflux.ir.types import numpy_dtype

BITS = 300


def _exp(x):
    if abs(x) > 100_000:  # far beyond every dtype; the exact power would be endless
        return mpmath.mpf("inf") if x > 0 else mpmath.mpf(0)
    return mpmath.exp(x)


def _within(x):
    return max(min(x, mpmath.mpf(10_000)), mpmath.mpf(-10_000)) if mpmath.isfinite(x) else x


def _power(x, y):
    if (x == 0 and y <= 0) or (x < 0 and y != int(y)):
        return mpmath.mpf("nan")
    return x**y


def _sigmoid(x):
    return 1 / (1 + _exp(-x))


def _tanh(x):
    return mpmath.tanh(_within(x))


def _log(x):
    if x == 0:
        return mpmath.mpf("-inf")
    return mpmath.log(x) if x > 0 else mpmath.mpf("nan")


def _sqrt(x):
    return mpmath.sqrt(x) if x >= 0 else mpmath.mpf("nan")


def _divide(x, y):
    return x / y if y else mpmath.mpf("nan")


FUNCTIONS = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": _divide,
    "reciprocal": lambda x: _divide(1, x),
    "neg": lambda x: -x,
    "abs": abs,
    "pow": _power,
    "exp": _exp,
    "expm1": lambda x: _exp(x) - 1,
    "log": _log,
    "log2": lambda x: _log(x) / mpmath.log(2),
    "log10": lambda x: _log(x) / mpmath.log(10),
    "log1p": lambda x: _log(1 + x),
    "sqrt": _sqrt,
    "rsqrt": lambda x: _divide(1, _sqrt(x)),
    "erf": lambda x: mpmath.erf(_within(x)),
    "erfc": lambda x: mpmath.erfc(_within(x)),
    "sinh": lambda x: (_exp(x) - _exp(-x)) / 2,
    "cosh": lambda x: (_exp(x) + _exp(-x)) / 2,
    "tanh": _tanh,
    "tanh_slope": lambda t, x: 1 - _tanh(x) ** 2,
    "sigmoid": _sigmoid,
    "sigmoid_slope": lambda s, x: s * _sigmoid(-x),
    "softplus": lambda x: _log(1 + _exp(x)),
    "logaddexp": lambda x, y: _log(_exp(x) + _exp(y)),
    "arcsinh": mpmath.asinh,
    "arccosh": lambda x: mpmath.acosh(x) if x >= 1 else mpmath.mpf("nan"),
    "arctanh": lambda x: mpmath.atanh(x) if abs(x) <= 1 else mpmath.mpf("nan"),
}


@np.errstate(all="ignore")
def evaluate(graph, arrays):
    """The one output as an array of mpmath numbers."""
    values = {}
    arguments = iter(arrays)
    for node in graph.nodes:
        inputs = [values[x.id] for x in node.inputs]
        if node.op is INPUT:
            values[node.id] = exact(next(arguments))
        elif (literal := constant_value(node)) is not None:
            values[node.id] = exact(literal)
        elif node.op.kind is Kind.POINTWISE:
            function = np.frompyfunc(FUNCTIONS[node.op.name], len(inputs), 1)
            values[node.id] = np.asarray(function(*inputs), dtype=object)
        else:
            result = node.op.oracle(*inputs, **node.attributes)
            values[node.id] = np.asarray(result, dtype=object)
    return values[graph.outputs[0].id]


def exact(array):
    return np.asarray(np.frompyfunc(lambda v: mpmath.mpf(float(v)), 1, 1)(array), dtype=object)


@np.errstate(all="ignore")
def errors(found, wanted, dtype):
    """The errors in units in the last place; 0 where the true value is nan or out of range."""
    limits = np.finfo(numpy_dtype(dtype))
    smallest = mpmath.mpf(float(limits.smallest_subnormal))

    def error(y, true):
        if not mpmath.isfinite(true) or abs(true) > float(limits.max):
            return 0.0
        exponent = mpmath.frexp(true)[1] if true else -10000
        ulp = max(mpmath.ldexp(mpmath.mpf(float(limits.eps)), exponent - 1), smallest)
        if not np.isfinite(y):
            return float("inf")
        return float(min(abs(mpmath.mpf(float(y)) - true) / ulp, mpmath.mpf(1e300)))

    return np.asarray(np.frompyfunc(error, 2, 1)(found, wanted), dtype=float)
