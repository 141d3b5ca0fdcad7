"""The methods of ufuncs: values, dtypes, gradients and refusals as NumPy's, for all of them."""

import inspect

import numpy as np
import pytest

import symflux as sf
import symflux.numpy as snp
from symflux.errors import SymFluxError
from symflux.trace.ufuncs import BUILDERS

PAIRS = [u for u in BUILDERS if u.nin == 2 and u.nout == 1]
RNG = np.random.default_rng(3)


def operands(ufunc, dtype, shape):
    """Values on which it is defined, small enough not to overflow in long folds."""
    x = RNG.uniform(0.5, 1.5, shape)
    if np.dtype(dtype).kind in "iu":
        x = RNG.integers(1, 3 if ufunc is np.power else 4, shape)
        if ufunc in (np.power, np.float_power):
            x[..., 1:] = 1
    return x.astype(dtype)


def outcome(call):
    """The result, or the kind of error."""
    try:
        with np.errstate(all="ignore"):
            return call()
    except (TypeError, ValueError) as error:
        return ValueError if isinstance(error, ValueError) else TypeError


def agree(ours, wanted, rtol=1e-6):
    if isinstance(wanted, type):
        assert isinstance(ours, type) and ours is wanted, (ours, wanted)
        return
    assert ours.dtype == wanted.dtype and ours.shape == wanted.shape
    np.testing.assert_allclose(ours, wanted, rtol=rtol)


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("ufunc", PAIRS, ids=lambda u: u.__name__)
def test_methods_compute_what_numpys_do(ufunc):
    dtype = ["float64", "float32", "int64", "int8", "bool"]
    calls = [
        ("reduce", lambda f, x: f.reduce(x)),
        ("reduce", lambda f, x: f.reduce(x, axis=-1, keepdims=True)),
        ("accumulate", lambda f, x: f.accumulate(x, axis=1)),
        ("reduceat", lambda f, x: f.reduceat(x, [0, 2, 1, 3], axis=1)),
        ("outer", lambda f, x: f.outer(x[0], x)),
    ]
    number = PAIRS.index(ufunc)  # two dtypes of each, all of them in all
    for name in {dtype[0], dtype[number % 5], dtype[(number + 2) % 5]}:
        x = operands(ufunc, name, (3, 12))
        if ufunc in (np.left_shift, np.right_shift) and name == "float64":
            x = x.astype("int64")

        def all_of(x, f=ufunc):
            return [call(f, x) for _, call in calls]

        wanted = [outcome(lambda c=call, x=x: c(ufunc, x)) for _, call in calls]
        if not any(isinstance(w, type) for w in wanted):
            for ours, right in zip(sf.compile(all_of)(x), wanted, strict=True):
                agree(ours, right)
            continue
        for (_, call), right in zip(calls, wanted, strict=True):
            agree(outcome(lambda c=call, x=x: sf.compile(lambda x: c(ufunc, x))(x)), right)


@pytest.mark.parametrize("ufunc", [np.hypot, np.fmax, np.logaddexp, np.bitwise_xor, np.logical_xor])
def test_several_axes_initial_values_and_masks(ufunc):
    x = operands(ufunc, "int64" if ufunc is np.bitwise_xor else "float64", (3, 4, 5))
    mask = RNG.random((4, 5)) < 0.5
    start = {np.bitwise_xor: 5, np.logical_xor: True}.get(ufunc, 0.25)
    for options in (
        {"axis": None}, {"axis": (0, 2)}, {"axis": (2, 0), "keepdims": True},
        {"initial": start}, {"axis": 1, "initial": start, "where": mask}, {"axis": (0, -1)},
    ):  # fmt: skip
        wanted = ufunc.reduce(x, **options)
        agree(np.asarray(sf.compile(lambda x, o=options: ufunc.reduce(x, **o))(x)), wanted, 1e-12)
    empty = x[:0]
    agree(outcome(lambda: np.asarray(sf.compile(lambda x: ufunc.reduce(x))(empty))),
          outcome(lambda: np.asarray(ufunc.reduce(empty))))  # fmt: skip


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("ufunc", [np.subtract, np.divide, np.power, np.arctan2, np.hypot, np.fmax])
@pytest.mark.parametrize("count", [1, 5, 30])
def test_gradients_of_folds(ufunc, count):
    x = RNG.uniform(0.9, 1.1, (count, 2))
    v = RNG.normal(size=x.shape)
    for f in (
        lambda x: np.sum(np.sin(ufunc.reduce(x))),
        lambda x: np.sum(np.sin(ufunc.accumulate(x))),
        lambda x: np.sum(ufunc.outer(x[:, 0], x[0]) ** 2),
    ):
        slope = np.vdot(sf.grad(f)(x), v)
        step = 1e-6
        assert slope == pytest.approx((f(x + step * v) - f(x - step * v)) / (2 * step), rel=1e-6)
        assert sf.jvp(f, (x,), (v,))[1] == pytest.approx(slope, rel=1e-10)


@pytest.mark.parametrize(
    "ufunc, values",
    [
        (np.multiply, 2.0), (np.maximum, np.array([3.0, 0.5, 4.0, 1.0])), (np.subtract, 1.0),
        (np.divide, np.array([2.0, 4.0, 5.0, 0.5])), (np.negative, None), (np.sqrt, None),
        (np.power, 2.0),
    ],
)  # fmt: skip
def test_at_counts_equal_indices_each_time(ufunc, values):
    index = np.array([2, 0, 2, 2])
    given = () if values is None else (values,)
    for places in (index, [0, 0, 1, 2], (slice(0, 3),) if values is None else index):
        x = np.array([1.5, 2.0, 3.0, 0.5])
        wanted = x.copy()
        with np.errstate(invalid="ignore"):
            ufunc.at(wanted, places, *given)

        def f(x, places=places):
            y = x * 1.0
            ufunc.at(y, places, *given)
            return y

        np.testing.assert_allclose(sf.compile(f)(x), wanted)
    square = np.arange(6.0).reshape(2, 3)
    wanted = square.copy()
    ufunc.at(wanted, (np.array([1, 1]), np.array([2, 2])), *((2.0,) if given else ()))

    def g(x):
        ufunc.at(x, (np.array([1, 1]), np.array([2, 2])), *((2.0,) if given else ()))
        return x

    np.testing.assert_allclose(sf.compile(g)(square.copy()), wanted)


def test_the_namespace_has_the_methods():
    x = np.array([3.0, 1.0, 2.0])
    for ufunc in BUILDERS:
        ours = getattr(snp, ufunc.__name__)
        assert (ours.nin, ours.nout, ours.identity) == (ufunc.nin, ufunc.nout, ufunc.identity)
        assert all(callable(getattr(ours, m)) for m in ("outer", "reduce", "accumulate", "at"))
    assert snp.add.outer(x, x).tolist() == np.add.outer(x, x).tolist()
    assert snp.multiply.reduce(x) == 6.0 and snp.maximum.accumulate(x).tolist() == [3.0, 3.0, 3.0]
    y = x.copy()
    snp.add.at(y, [0, 0], 1.0)
    assert y.tolist() == [5.0, 1.0, 2.0]
    f = sf.compile(lambda x: (snp.add.outer(x, [1.0]), snp.subtract.reduceat(x, [0, 2])))
    assert [r.tolist() for r in f(x)] == [[[4.0], [2.0], [3.0]], [2.0, 2.0]]
    W = sf.param(x)
    found = sf.gradient(lambda: snp.subtract.reduce(W), sf.params(W))[W]
    assert found.tolist() == [1.0, -1.0, -1.0]
    batched = sf.vmap(np.subtract.reduce)(np.ones((2, 20)))
    assert batched.tolist() == [-18.0, -18.0]
    assert inspect.getdoc(snp.add.outer).startswith("``numpy.add.outer``")


@pytest.mark.parametrize(
    "use, words",
    [
        (lambda x: snp.sin.reduce(x), "two arguments"),
        (lambda x: np.subtract.reduce(x.reshape(1, 3), axis=None), r"order(.|\n)*reshape\(-1\)"),
        (lambda x: np.subtract.reduce(x, where=x > 0), r"no identity(.|\n)*initial="),
        (lambda x: np.subtract.reduceat(x, x.astype(int)), r"traced indices(.|\n)*np\.add\.at"),
        (lambda x: np.add.reduceat(x, [7]), "out of bounds for 3"),
        (lambda x: np.multiply.at(x, x.astype(int), 2.0), r"traced indices(.|\n)*x\[i\] = f"),
        (lambda x: np.maximum.at(np.zeros(3), [0], x[0]), r"plain array(.|\n)*sf\.numpy\.zeros"),
        (lambda x: np.less.reduce(x), r"not defined(.|\n)*astype\(bool\)"),
        (lambda x: np.spacing.at(x, [0]), "cannot be recorded"),
        (lambda x: np.gcd.outer(x, x), "cannot be recorded"),
        (lambda x: np.subtract.accumulate(x, axis=(0, 1)), "one axis"),
        (lambda x: np.fmax.reduce(x, out=np.zeros(())), "out= cannot be recorded"),
    ],
)
def test_what_cannot_be_names_the_line_and_a_cure(use, words):
    with pytest.raises(SymFluxError, match=words) as caught:
        sf.compile(use)(np.array([1.0, 2.0, 3.0]))
    assert caught.value.place.file == __file__ and caught.value.right


def test_results_are_written_into_traced_arrays():
    def f(x):
        y, z = np.zeros_like(x[0]), np.zeros_like(x)
        np.subtract.reduce(x, out=y)
        np.hypot.accumulate(x, out=z)
        return y, z

    x = RNG.uniform(0.5, 1.5, (10, 3))
    for ours, wanted in zip(sf.compile(f)(x), (np.subtract.reduce(x), np.hypot.accumulate(x)),
                            strict=True):  # fmt: skip
        np.testing.assert_allclose(ours, wanted, rtol=1e-13)
