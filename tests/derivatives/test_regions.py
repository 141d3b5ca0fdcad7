"""Branches and loops mean what Python's statements mean: dtypes, writes, bounds, rows of a vmap."""

import numpy as np
import pytest

import symflux as sf
from symflux.errors import DTypeError, ShapeError


def same(got, expected):
    """Equal in value and in dtype."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype, (got.dtype, expected.dtype)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


# --- dtypes ---------------------------------------------------------------------------------------


def python_scan(body, carry, xs):
    ys = []
    for x in xs:
        carry, y = body(carry, x)
        ys.append(y)
    return carry, ys


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u1", "i2", "i4", "u4", "i8", "u8"])
def test_a_python_number_as_first_carry_takes_the_dtype_of_what_it_meets(dtype):
    xs = np.array([1, 2, 3, 4], dtype)
    add = lambda c, x: (c + x, c * x)  # noqa: E731
    for first in (0, 0.0, False) if dtype[0] == "f" else (0, False):
        whole, parts = sf.compile(lambda xs, first=first: sf.scan(add, first, xs))(xs)
        expected, expected_parts = python_scan(add, first, xs)
        same(whole, expected)
        same(parts, np.array(expected_parts).astype(np.asarray(expected).dtype))
    looped = sf.compile(lambda x: sf.fori_loop(0, 3, lambda i, c: c + x * i, 0))(xs[1])
    same(looped, xs[1] * 3)
    counted = sf.compile(
        lambda x: sf.while_loop(lambda c: c < 5, lambda c: c + x, 0))(xs[1])  # fmt: skip
    same(counted, xs[1] * 3)
    slope = sf.compile(lambda xs: sf.vmap(lambda x: sf.scan(add, 0, x)[0])(xs[None]))(xs)
    same(slope, expected[None])


def test_a_carry_is_widened_until_what_the_body_returns_fits():
    xs = np.full(4, 0.6)
    add = lambda c, x: (c + x, c)  # noqa: E731
    for first in (np.int64(0), np.int8(1), np.uint64(2), np.float32(0), np.bool_(True)):
        same(sf.scan(add, first, xs)[0], python_scan(add, first, xs)[0])
    # through another carry: a widens b in the second trace, c in the third
    chain = sf.fori_loop(
        0, 4, lambda i, s: (s[0] * 0.5, s[0] + s[1], s[1] + s[2]), (np.float32(1), 0, np.int8(0))
    )
    for got, expected in zip(chain, (0.0625, 1.875, 4.25), strict=True):
        assert float(got) == expected
    state = sf.while_loop(lambda s: s[0] < 4, lambda s: (s[0] + 1, s[1] + 0.5), (0, np.int32(0)))
    assert state[0] == 4
    same(state[1], 2.0)
    f = lambda w: sf.fori_loop(0, 3, lambda i, c: c + w * i, np.int64(0))  # noqa: E731
    assert float(sf.grad(f)(2.0)) == 3.0
    same(sf.vmap(f)(np.array([1.0, 2.5])), np.array([3.0, 7.5]))
    with pytest.raises(ShapeError, match="carry came in as"):
        sf.scan(lambda c, x: (np.stack([c, c]), x), 0.0, np.ones(3))


def test_branches_promote_as_numpy_does():
    kinds = [np.bool_(1), np.int8(3), np.uint8(200), np.int64(-7), np.float32(0.1), 2.5, 3, True]
    for a in kinds:
        for b in kinds:
            expected = np.result_type(
                *(v.dtype if isinstance(v, np.generic) else v for v in (a, b))
            )
            f = sf.compile(lambda p, a=a, b=b: sf.cond(p, lambda: a, lambda: b))
            for p in (True, False):
                got, value = f(p), a if p else b
                assert float(got) == pytest.approx(float(value))
                assert np.asarray(got).dtype == expected
    # an integer that the other's dtype does not hold is not cut
    assert sf.cond(True, lambda: 300, lambda: np.uint8(1)) == 300
    assert sf.cond(True, lambda v: v, lambda v: np.uint8(1), 300) == 300
    assert np.isnan(sf.cond(True, lambda: np.nan, lambda: 0))


def test_every_branch_of_a_switch_promotes_and_so_do_gradients_and_rows():
    branches = [lambda v: 1, lambda v: v * 2.5, lambda v: np.int8(4)]
    for number, expected in enumerate((1.0, 2.5, 4.0)):
        same(sf.compile(lambda n, v: sf.switch(n, branches, v))(number, 1.0), expected)
    f = lambda x: sf.cond(x > 0, lambda v: v * 2.5, lambda v: 0, x)  # noqa: E731
    assert [float(sf.grad(f)(x)) for x in (3.0, -3.0)] == [2.5, 0.0]
    same(sf.vmap(f)(np.array([1.0, -1.0])), np.array([2.5, 0.0]))
    # Python numbers in both branches stay Python numbers
    x = np.ones(2, np.float32)
    same(sf.compile(lambda x: x * sf.cond(x[0] > 0, lambda: 2.5, lambda: 1))(x), x * 2.5)


def test_branches_of_different_shapes_are_refused_with_the_cure():
    with pytest.raises(ShapeError, match="broadcast_to"):
        sf.cond(True, lambda v: v, lambda v: v[0], np.ones(3))


def test_the_bounds_of_a_loop_are_integers():
    for low, high in ((0, 2.9), (0.0, 3), (np.float64(0), 3), (0, np.array([1, 2]))):
        with pytest.raises(DTypeError, match="bounds must be integers"):
            sf.fori_loop(low, high, lambda i, c: c + 1, 0)
        with pytest.raises(DTypeError, match="test_regions"):
            sf.compile(lambda n, low=low: sf.fori_loop(low, n, lambda i, c: c + 1, 0))(high)
    assert sf.fori_loop(np.int8(1), np.uint8(4), lambda i, c: c + i, 0) == 6
