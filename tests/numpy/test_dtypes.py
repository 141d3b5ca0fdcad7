"""Dtypes as users write them: NumPy's names and strings mean what they mean to NumPy."""

import numpy as np
import pytest

import symflux as sf
import symflux.numpy as snp
from symflux.errors import DTypeError, RangeError
from symflux.ir.types import DTYPES, numpy_dtype
from tests.trace.agreement import assert_agrees

STRINGS = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "?", "b", "B", "<i4")

PLACES = {
    "astype": lambda x, d: x.astype(d),
    "snp.astype": lambda x, d: snp.astype(x, d) if type(x) is not np.ndarray else x.astype(d),
    "zeros": lambda x, d: snp.zeros(3, d) + x.astype(d),
    "ones": lambda x, d: snp.ones((3,), dtype=d) * x.astype(d),
    "full": lambda x, d: snp.full(3, 1, d),
    "arange": lambda x, d: snp.arange(1, 4, dtype=d) if d != "?" else snp.zeros(3, d),
    "linspace": lambda x, d: snp.linspace(0, 2, 3, dtype=d),
    "eye": lambda x, d: snp.eye(3, dtype=d),
    "identity": lambda x, d: snp.identity(3, d),
    "array": lambda x, d: snp.array([1, 0, 1], d),
    "asarray": lambda x, d: snp.asarray(x, d),
    "zeros_like": lambda x, d: np.zeros_like(x, d),
    "ones_like": lambda x, d: np.ones_like(x, dtype=d),
    "full_like": lambda x, d: np.full_like(x, 1, dtype=d),
    "sum": lambda x, d: np.sum(x, dtype=d),
    "prod": lambda x, d: x.prod(dtype=d),
    "cumsum": lambda x, d: np.cumsum(x, dtype=d),
    "concatenate": lambda x, d: np.concatenate([x, x], dtype=d, casting="unsafe"),
    "fromfunction": lambda x, d: snp.fromfunction(lambda i: i, (3 if d != "?" else 2,), dtype=d),
}


@pytest.mark.parametrize("place", PLACES)
def test_dtype_strings_mean_what_they_mean_to_numpy(place):
    for string in STRINGS:
        made = assert_agrees(lambda x, d=string: PLACES[place](x, d), np.array([0.0, 1.0, 2.0]))
        assert numpy_dtype(made.graph.outputs[0].dtype) == np.dtype(string)


def test_symbols_take_numpys_dtype_strings():
    for string in STRINGS:
        assert sf.symbol("x", (3,), string).dtype == np.dtype(string)
    x = sf.symbol("x", (2,), "u8")
    assert sf.function([x], x + 1)(np.array([2**63, 1], "u8")).tolist() == [2**63 + 1, 2]


def test_short_names_of_graphs_are_no_dtypes_of_users():
    wrong = [name for name in DTYPES if name not in ("bool", "i8", "u8")]
    for name in wrong:
        for use in (
            lambda d: sf.symbol("x", (), d),
            lambda d: sf.trace(lambda x: x.astype(d))(1.0),
        ):
            with pytest.raises(DTypeError) as caught:
                use(name)
            if name != "f16":  # 16 bytes: NumPy's longdouble, which graphs do not hold
                assert numpy_dtype(name).name in str(caught.value)
    with pytest.raises(DTypeError, match="nonsense"):
        sf.symbol("x", (), "nonsense")


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i4", "u8"])
@pytest.mark.parametrize(
    "fn",
    [lambda x, n: x + n, lambda x, n: n * x, lambda x, n: np.minimum(n, x) + np.full_like(x, n),
     lambda x, n: np.maximum(x, n) - x, lambda x, n: x[1:] // n + x[0]],
)  # fmt: skip
def test_a_python_integer_beyond_the_dtype_of_the_array_that_it_meets_is_refused(dtype, fn):
    x = np.array([1, 2, 3], dtype)
    limits = np.iinfo(x.dtype)
    f, by_name = sf.compile(fn), sf.compile(lambda x, *, n: fn(x, n))
    for n in (3, 5, min(limits.max, 2**62), limits.min or 1):
        with np.errstate(over="ignore"):
            right = fn(x, n)
        for found in (f(x, n), f(x, n), by_name(x, n=n)):  # the slow path, the entry, the slow path
            np.testing.assert_array_equal(found, right)
            assert found.dtype == right.dtype
    for n in (limits.min - 1, limits.max + 1):
        for _ in range(2):
            with pytest.raises(RangeError, match=f"the Python integer {n} does not fit"):
                f(x, n)
        with pytest.raises(RangeError, match="does not fit"):
            by_name(x, n=n)
    wide = x.astype(np.int64)
    np.testing.assert_array_equal(f(wide, 100_000), fn(wide, 100_000))
