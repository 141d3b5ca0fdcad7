"""A short program of most parts, to be run where SymFlux was just installed.

Its argument is the folder that it has to come from; none where the checkout is in the way."""

import pickle
import sys

import numpy as np

import symflux as sf

if len(sys.argv) > 1:
    assert sf.__file__.startswith(sys.argv[1]), sf.__file__

x = np.linspace(0.0, 1.0, 50)
f = sf.compile(lambda x: np.sum(np.sin(x) * x))
assert abs(f(x) - np.sum(np.sin(x) * x)) < 1e-13
assert np.allclose(sf.grad(lambda x: np.sum(np.sin(x) * x))(x), np.cos(x) * x + np.sin(x))
model = sf.nn.Dense(3, 4, np.tanh, seed=0) >> sf.nn.Dense(4, 1, seed=1)
data = np.ones((8, 3)), np.ones((8, 1))
history = sf.train(model, sf.nn.mse, data, sf.optim.Adam(0.1), epochs=20)
assert history.losses[-1] < history.losses[0]
assert "ret" in str(f.asm) and "sin" in str(f.graph)
assert pickle.loads(pickle.dumps(sf.grad)) is sf.grad
try:
    sf.compile(lambda x: x if x > 0 else -x)(1.0)
except sf.SymFluxError as error:
    assert "np.where" in error.right and error.__traceback__.tb_next.tb_next is None
else:
    raise AssertionError("no error")
import sympy  # noqa: E402  (last: it is slow)

a = sympy.Symbol("a")
assert abs(sf.from_sympy(sympy.sin(a) ** 2, [a])(0.5) - np.sin(0.5) ** 2) < 1e-15
