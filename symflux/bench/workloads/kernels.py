"""Single operations on arrays: functions by element, reductions, moves, running sums, gathers."""

import functools

from ..row import Row

ORDER = 80
SIZES = (1000, 100_000, 10_000_000)


def _vector(n, dtype):
    import numpy as np

    return (np.random.default_rng(0).uniform(0.1, 3.0, n).astype(dtype),)


def _two_vectors(n, dtype):
    import numpy as np

    r = np.random.default_rng(0)
    return r.uniform(0.1, 3.0, n).astype(dtype), r.uniform(-2.0, 2.0, n).astype(dtype)


def _matrix(n, dtype):
    import numpy as np

    rows = {1000: 25, 100_000: 250, 10_000_000: 2500}[n]
    return (np.random.default_rng(0).standard_normal((rows, n // rows)).astype(dtype),)


def _indexed(n, dtype):
    import numpy as np

    r = np.random.default_rng(0)
    return r.standard_normal(n).astype(dtype), r.integers(0, n, n)


def _erf_of_scipy(np):
    from scipy.special import erf

    return erf


def _softmax(axis, np):
    def f(x):
        e = np.exp(x - np.max(x, axis=axis, keepdims=True))
        return e / np.sum(e, axis=axis, keepdims=True)

    return f


def _scatter_numpy(np):
    return lambda x, i: np.bincount(i, weights=x, minlength=x.size).astype(x.dtype)


def _scatter_symflux(sf, np):
    """The transpose of a gather: what its gradient is made of."""

    def f(x, i):
        return sf.grad(lambda z: np.sum(np.take(z, i) * x))(np.zeros_like(x))

    return sf.compile(f)


def _everywhere(f, torch):
    """Builders of one function of NumPy's names, and PyTorch's spelling."""
    return {
        "symflux": lambda sf, np: sf.compile(f(np)),
        "numpy": f,
        "jax": lambda jax, np: jax.jit(f(np)),
        "torch": torch,
    }


#: operation -> (inputs, builders)
OPERATIONS = {
    "exp": (_vector, _everywhere(lambda np: lambda x: np.exp(x), lambda t: t.exp)),
    "log": (_vector, _everywhere(lambda np: lambda x: np.log(x), lambda t: t.log)),
    "sin": (_vector, _everywhere(lambda np: lambda x: np.sin(x), lambda t: t.sin)),
    "tanh": (_vector, _everywhere(lambda np: lambda x: np.tanh(x), lambda t: t.tanh)),
    "erf": (
        _vector,
        {
            "symflux": lambda sf, np: sf.compile(sf.erf),
            "numpy": _erf_of_scipy,
            "jax": lambda jax, np: jax.jit(jax.scipy.special.erf),
            "torch": lambda t: t.erf,
        },
    ),
    "pow": (_two_vectors, _everywhere(lambda np: lambda x, y: x**y, lambda t: t.pow)),
    "add": (_two_vectors, _everywhere(lambda np: lambda x, y: x + y, lambda t: t.add)),
    "sum": (_vector, _everywhere(lambda np: lambda x: np.sum(x), lambda t: t.sum)),
    "max": (_vector, _everywhere(lambda np: lambda x: np.max(x), lambda t: t.max)),
    "sum of rows": (
        _matrix, _everywhere(lambda np: lambda x: np.sum(x, axis=1), lambda t: lambda x: x.sum(1)),
    ),
    "sum of columns": (
        _matrix, _everywhere(lambda np: lambda x: np.sum(x, axis=0), lambda t: lambda x: x.sum(0)),
    ),
    "softmax of rows": (
        _matrix,
        _everywhere(functools.partial(_softmax, 1), lambda t: lambda x: t.softmax(x, 1)),
    ),
    "softmax of columns": (
        _matrix,
        _everywhere(functools.partial(_softmax, 0), lambda t: lambda x: t.softmax(x, 0)),
    ),
    "transpose": (
        _matrix,
        _everywhere(lambda np: lambda x: x.T.copy(), lambda t: lambda x: x.T.contiguous()),
    ),
    "cumsum": (
        _vector, _everywhere(lambda np: lambda x: np.cumsum(x), lambda t: lambda x: t.cumsum(x, 0)),
    ),
    "gather": (
        _indexed,
        _everywhere(lambda np: lambda x, i: np.take(x, i), lambda t: lambda x, i: x[i]),
    ),
    "scatter-add": (
        _indexed,
        {
            "symflux": _scatter_symflux,
            "numpy": _scatter_numpy,
            "jax": lambda jax, np: jax.jit(lambda x, i: np.zeros_like(x).at[i].add(x)),
            "torch": lambda t: lambda x, i: t.zeros_like(x).index_add_(0, i, x),
        },
    ),
}  # fmt: skip

#: operations that are measured in float32 as well
IN_FLOAT32 = ("exp", "log", "sin", "tanh", "erf", "add", "sum", "softmax of rows", "transpose")


def operation_row(name, n, dtype):
    inputs, tools = OPERATIONS[name]
    rtol = 1e-5 if dtype == "float32" else 1e-11
    if name == "sum":  # of 10**7 numbers, in any order
        rtol *= 10
    return Row(
        "kernel " + name, f"{n} {dtype}", "forward", functools.partial(inputs, n, dtype), tools,
        rtol, n == 1000, torch_compile=False,
    )  # fmt: skip


def rows():
    return [
        operation_row(name, n, dtype)
        for name in OPERATIONS
        for dtype in (("float64", "float32") if name in IN_FLOAT32 else ("float64",))
        for n in SIZES
    ]
