"""What newcomers write: params in their own functions and objects, habits from other libraries."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import symflux as sf
from symflux.errors import ArgumentError, MissingAttribute

ROOT = Path(__file__).parents[2]


def test_params_of_python_integers_are_floats():
    W, b = sf.param(2), sf.param([1, 2])
    assert (W.dtype, b.dtype) == (np.float64, np.float64)
    assert sf.param(np.array([1, 2])).dtype == np.int64 and sf.param(True).dtype == bool
    dW, db = sf.gradient(lambda: np.sum(W * b), sf.params(W, b))
    assert dW == 3.0 and db.tolist() == [2.0, 2.0]


def test_gradients_unpack_and_are_found_by_param():
    W, b = sf.param(2.0), sf.param(3.0)
    grads = sf.gradient(lambda: W * 4.0 + b, sf.params(W, b))
    assert [float(g) for g in grads] == [4.0, 1.0] == [float(g) for g in grads.values()]
    assert list(grads.keys()) == [W, b] and [p for p, _ in grads.items()] == [W, b]
    assert W in grads and sf.param(1.0) not in grads and len(grads) == 2


class Affine:
    def __init__(self, n):
        self.W, self.name = sf.param(np.ones((n, n))), "affine"
        self.inner = {"b": sf.param(np.zeros(n))}

    def __call__(self, x):
        return self.W @ x + self.inner["b"]


class Slotted:
    __slots__ = ("W", "rest")

    def __init__(self):
        self.W = sf.param(1.0)


FIRST, SECOND = sf.param(1.0), sf.param(2.0)


def reads_globals(x):
    return sum(FIRST * v for v in x) + (lambda: SECOND)()


def closure(n):
    W, b = sf.param(np.ones((n, n))), sf.param(np.zeros(n))

    def layer(x, scale=1.0):
        return W @ x * scale + b

    return layer


@pytest.mark.parametrize(
    "holder, count",
    [
        (closure(2), 2), (Affine(2), 2), (Affine(2).__call__, 2), (Slotted(), 1),
        (reads_globals, 2), ([closure(2), Affine(3)], 4), (sf.compile(closure(2)), 2),
        (sf.nn.Chain(sf.nn.Dense(2, 3), np.tanh, sf.nn.Dense(3, 1)), 4),
    ],
)  # fmt: skip
def test_params_are_found_in_functions_and_objects(holder, count):
    assert len(sf.params(holder)) == count
    assert len(sf.params(holder, holder)) == count


def test_params_of_a_closure_learn():
    layer = closure(2)
    x = np.array([1.0, 2.0])
    grads = sf.gradient(lambda: np.sum(layer(x) ** 2), sf.params(layer))
    for p, g in grads.items():
        sf.update(p, -0.01 * g)
    assert np.allclose(layer(x), 3.0 - 0.06 * (1.0 + 2.0 * 2.0) - 0.06)


def test_a_name_that_no_longer_is_a_param():
    W = sf.param(np.ones(3))
    grads = sf.gradient(lambda: np.sum(W**2), sf.params(W))
    W = W - 0.1 * grads[W]
    for use in (lambda: sf.params(W), lambda: grads[W]):
        with pytest.raises(ArgumentError, match=r"no param(.|\n)*sf\.update\(W, -0\.1"):
            use()


@pytest.mark.parametrize(
    "use, words",
    [
        (lambda: sf.grad(5.0), "grad needs a function"),
        (lambda: sf.gradient(np.float64(5.0), 1.0), r"gradient needs a function(.|\n)*sf\.grad"),
        (lambda: sf.gradient(5.0, sf.params(FIRST)), r"sf\.gradient\(lambda: loss"),
        (lambda: sf.nn.Dense(10, 5, "relu"), r"not 'relu'(.|\n)*sf\.relu"),
        (lambda: sf.nn.Conv(1, 2, (3, 3), "relu"), r"not 'relu'(.|\n)*sf\.relu"),
        (lambda: sf.optim.Adam(lr=0.1), r"sf\.optim\.Adam\(rate=0\.1\)"),
        (lambda: step(sf.optim.Descent(0.1)), r"step(.|\n)*optimizer\.update"),
    ],
)
def test_mistakes_are_refused_at_once(use, words):
    with pytest.raises(ArgumentError, match=words) as caught:
        use()
    assert "test_habits.py" in str(caught.value)


def step(optimizer):
    return optimizer.step(FIRST, 1.0, optimizer.init(FIRST))


@pytest.mark.parametrize(
    "use, words",
    [
        (lambda x: (x * 2).backward(), r"sf\.grad"),
        (lambda x: x.detach(), "stop_gradient"),
        (lambda x: x.at[0].set(1.0), r"x\[0\] = y"),
        (lambda x: x.unsqueeze(0), r"x\[None\]"),
    ],
)
def test_attributes_of_other_libraries(use, words):
    with pytest.raises(MissingAttribute, match=words):
        sf.compile(use)(np.ones(3))


@pytest.mark.parametrize("name, words", [("jit", "sf.compile"), ("jacrev", "sf.jacobian")])
def test_names_of_other_libraries(name, words):
    with pytest.raises(AttributeError, match=words):
        getattr(sf, name)
    with pytest.raises(AttributeError, match="Descent"):
        sf.optim.SGD  # noqa: B018


def test_a_checkout_is_imported_without_an_installation():
    code = f"import sys; sys.path[:0] = {[str(ROOT), *_libraries()]}; import symflux as sf; "
    code += "print(sf.compile(lambda x: 2 * x)(1.5), sf.__file__)"
    command = [sys.executable, "-S", "-c", code]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert run.stdout.split()[:1] == ["3.0"], run.stderr
    assert Path(run.stdout.split()[1]).is_relative_to(ROOT)


def _libraries():
    return sorted(
        {str(Path(m.__file__).parents[1]) for m in map(__import__, ("numpy", "llvmlite"))}
    )
