"""Dtype, shape and strides of arrays: of every kind NumPy has, and changed in place later."""

import numpy as np
import pytest

import symflux as sf
from symflux.errors import SymFluxError

#: newer versions of NumPy warn of such changes; they are possible all the same
pytestmark = pytest.mark.filterwarnings("ignore:Setting the:DeprecationWarning")


def _same(got, expected):
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("kind", "?lLqQpe")
def test_every_integer_type_of_c_is_read(kind):
    """`long long` where `long` has the same size: AssertionError."""
    a = np.array([1, 0, 1, 3], kind)
    expected = a + a * a

    def fn(x):
        return x + x * x

    _same(sf.compile(fn)(a), expected)
    _same(sf.compile(fn)(np.repeat(a, 2)[::2]), expected)
    _same(sf.compile(fn)(a.astype(a.dtype.newbyteorder())), expected)
    _same(sf.compile(fn)(a[3]), fn(a[3]))
    _same(sf.compile(fn, donate="x")(a.copy()), expected)
    _same(sf.compile(lambda x: x * a)(np.ones(4)), np.ones(4) * a)
    p = sf.param(a)
    _same(sf.compile(lambda x: x * p)(np.ones(4)), np.ones(4) * a)
    out = np.empty(4, expected.dtype)
    assert sf.compile(fn)(a, out=out) is out
    _same(out, expected)
    _same(sf.vmap(fn)(a), expected)
    x = sf.symbol("x", (4,), kind)
    _same(sf.function([x], fn(x))(a), expected)
    if a.dtype.kind in "iu":
        _same(sf.compile(lambda x, i: x[i])(np.arange(5.0), a), np.arange(5.0)[a])
        _same(sf.compile(lambda x: x[a])(np.arange(5.0)), np.arange(5.0)[a])

    def double(x):
        x[0] += x[3]

    changed, wanted = a.copy(), a.copy()
    sf.compile(double)(changed)
    double(wanted)
    _same(changed, wanted)


@pytest.mark.parametrize(
    "array",
    [
        np.ones(2, "F"), np.ones(2, "D"), np.ones(2, "g"), np.ones(2, object),
        np.array(["a", "b"]), np.array([b"a"]), np.zeros(2, "M8[D]"), np.zeros(2, "m8[s]"),
        np.zeros(2, [("a", "i4"), ("b", "f8")]), np.ones(2).view(np.recarray),
    ],
    ids=lambda a: f"{type(a).__name__} {a.dtype.char}",
)  # fmt: skip
def test_what_no_graph_holds_is_refused(array):
    uses = {
        "argument": lambda: sf.compile(lambda x: x * 2)(array),
        "captured": lambda: sf.compile(lambda x: array * x)(1.0),
        "donated": lambda: sf.compile(lambda x: x * 2, donate="x")(array),
        "out": lambda: sf.compile(lambda x: x * 2)(np.ones(3), out=array),
        "param": lambda: sf.param(array),
        "vmap": lambda: sf.vmap(lambda x: x * 2)(array),
    }
    for use in uses.values():
        with pytest.raises((SymFluxError, TypeError)) as refused:
            use()
        assert not isinstance(refused.value, AssertionError)


CHANGES = {
    "shape": lambda a: setattr(a, "shape", (3, 2)),
    "dtype": lambda a: setattr(a, "dtype", "i8"),
    "narrow": lambda a: setattr(a, "dtype", "f4"),
    "swapped": lambda a: setattr(a, "dtype", a.dtype.newbyteorder()),
    "more": lambda a: a.resize((4, 3), refcheck=False),
    "fewer": lambda a: a.resize((1, 3), refcheck=False),
    "rows again": lambda a: setattr(a, "strides", (0, 8)),
    "columns": lambda a: setattr(a, "strides", (8, 16)),
    "read only": lambda a: a.setflags(write=False),
    "values": lambda a: np.copyto(a, a[::-1].copy()),
}


def _reads(a, held):
    """What a function can read of a captured array: by reference, computed while traced, shapes."""

    def fn(x):
        rows = sum(x * row[0] for row in a)
        shape = x * a.shape[0] + len(a) + a.ndim
        return x * np.sum(a) + np.sum(a * x), shape, rows, x + a * 1, x * np.sum(held[0] * 2)

    return fn


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("change", CHANGES)
def test_a_captured_array_changed_in_place_is_read_anew(change):
    """Another shape: AssertionError. Other strides: the result was stale, once."""
    a = np.arange(1.0, 7.0).reshape(2, 3).copy()
    fns = [_reads(a, [a]), lambda x: (x * a.T) @ a, lambda x: (x, a * 1)]
    compiled = [sf.compile(fn) for fn in fns]
    for f in compiled:
        f(2.0)
        f(2.0)
    CHANGES[change](a)
    for _ in range(2):
        for f, fn in zip(compiled, fns, strict=True):
            for got, expected in zip(f(2.0), fn(2.0), strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-6)
        if a.flags.writeable and a.dtype.kind == "f":
            a[0] += 1.0


def test_strides_of_a_captured_view_are_compared():
    """Views that are not contiguous: only their strides tell that they show other elements."""
    base = np.arange(12.0)
    view = base[:8].reshape(2, 4)[:, ::2]
    f = sf.compile(lambda x: x + np.sum(view * np.array([[1.0, 2.0], [3.0, 4.0]])))
    for strides in (view.strides, (8, 24), (16, 8), (24, 24)):
        view.strides = strides
        for _ in range(2):
            assert f(1.0) == 1.0 + np.sum(view * np.array([[1.0, 2.0], [3.0, 4.0]]))
