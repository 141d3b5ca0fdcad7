"""Branches and loops mean what Python's statements mean: dtypes, writes, bounds, rows of a vmap."""

import numpy as np
import pytest
import sympy

import symflux as sf
from symflux.errors import (
    DTypeError,
    LeakedValue,
    RangeError,
    ShapeError,
    TraceError,
    UnsupportedOperation,
)


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


@pytest.mark.quick(every=3)
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


# --- writes to arrays of the surrounding function -------------------------------------------------


def written(f):
    """``f(cond, loop, x)`` with SymFlux's branches and loops, and with Python's."""

    def cond(p, a, b, *xs):
        return a(*xs) if p else b(*xs)

    def loop(low, high, body, carry):
        for i in range(low, high):
            carry = body(i, carry)
        return carry

    def scan(body, carry, xs):
        carry, ys = python_scan(body, carry, xs)
        return carry, np.array(ys)

    def while_(test, body, carry):
        while test(carry):
            carry = body(carry)
        return carry

    def switch(i, branches, *xs):
        return branches[min(max(i, 0), len(branches) - 1)](*xs)

    class Python:
        pass

    Python.cond, Python.fori_loop, Python.scan = map(staticmethod, (cond, loop, scan))
    Python.while_loop, Python.switch = map(staticmethod, (while_, switch))
    return (lambda *xs: f(sf, *xs)), (lambda *xs: f(Python, *xs))


def branch_writes(r, x):
    y = x * 2
    part = y[1:]

    def then(v):
        y[0] = 5.0
        part[-1] += v[0]
        return v * 2

    def otherwise(v):
        y[1] -= v[1]
        return v * y

    before = y * 1
    z = r.cond(x[0] > 0, then, otherwise, x)
    return before, y, part, z


def loop_writes(r, x):
    y = x * 0
    total = r.fori_loop(
        0, 5, lambda i, c: (y.__iadd__(x), y.__setitem__(0, y[0] + i), c + y[1])[2], 0.0
    )
    last, parts = r.scan(lambda c, v: (y[1:].__iadd__(v), (c + y[2], y[1] * 2))[1], 0.0, x)
    n = r.while_loop(lambda c: c < y[0], lambda c: (y.__setitem__(2, c), c + 6)[1], 0)
    r.while_loop(lambda c: c < -1, lambda c: (y.__setitem__(2, c), c + 6)[1], 0)
    return total, y, last, parts, n


def nested_writes(r, x):
    y, z = x + 1, x * 1

    def body(i, c):
        r.fori_loop(0, 2, lambda j, d: (y.__setitem__(j, y[j] * 2 + i), d)[1], 0)
        r.cond(y[0] > 6, lambda: (z.__setitem__(1, y[1]), 1)[1], lambda: (z.__imul__(2), 2)[1])
        return c + y[0] * z[1]

    return r.fori_loop(0, 3, body, 0.0), y, z


def switch_writes(r, x):
    y = x * 1
    write = [lambda i=i: (y.__setitem__(i, 10.0 * i + y[2]), 0)[1] for i in range(3)]
    r.switch(1, write)
    r.switch(7, write)
    matrix = (y[:, None] * x).reshape(-1)
    r.cond(x[1] > 0, lambda: (matrix.reshape(3, 3).T[0].__imul__(3), 0)[1], lambda: 0)
    return y, matrix


def total(g):
    return lambda x: sum(np.sum(part) for part in g(x))


@pytest.mark.parametrize("f", [branch_writes, loop_writes, nested_writes, switch_writes])
def test_a_write_in_a_body_happens_as_in_python(f):
    traced, plain = written(f)
    for x in ([1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]):
        x = np.array(x)
        for got, expected in zip(sf.compile(traced)(x), plain(x), strict=True):
            np.testing.assert_allclose(got, expected)
        slope = np.array([
            (total(plain)(x + d) - total(plain)(x - d)) / 2e-6 for d in 1e-6 * np.eye(3)
        ])  # fmt: skip
        derive = sf.jacobian(total(traced), mode="forward") if f is loop_writes else None
        np.testing.assert_allclose((derive or sf.grad(total(traced)))(x), slope, rtol=1e-5)
    rows = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0], [2.0, -1.0, 0.25]])
    for got, *expected in zip(sf.vmap(traced)(rows), *map(plain, rows), strict=True):
        np.testing.assert_allclose(got, expected)


def test_a_condition_of_while_loop_does_not_write():
    def f(x):
        y = x * 1
        return sf.while_loop(lambda c: (y.__imul__(2), c < y[0])[1], lambda c: c + 1, 0)

    with pytest.raises(UnsupportedOperation, match="the write in the body"):
        sf.compile(f)(np.ones(2))


def test_a_plain_array_is_written_to_in_a_body_as_in_python_or_refused():
    y = np.zeros(3)

    def write(*given):
        y[0] += 1.0
        return given[-1] if given else 0.0

    def step(c):
        y[0] += 1.0
        return c + 1.0

    for f, wanted in (
        (lambda x: sf.cond(x > 0, write, lambda: 0.0), {-1.0: 0.0, 1.0: 1.0}),
        (lambda x: sf.switch(x > 0, [lambda: 0.0, write]), {-1.0: 0.0, 1.0: 1.0}),
        (lambda x: sf.fori_loop(0, 3, write, x), {-1.0: 3.0, 1.0: 3.0}),
        (lambda x: sf.while_loop(lambda c: c < 3.0, step, x), {-1.0: 4.0, 5.0: 0.0}),
        (lambda x: sf.map(write, np.ones(3) * x), {-1.0: 3.0}),
    ):
        compiled = sf.compile(f)
        for x, times in wanted.items():
            for _ in range(2):
                y[:] = [5.0, 6.0, 7.0]
                compiled(x)
                np.testing.assert_array_equal(y, [5.0 + times, 6.0, 7.0])
        y[:] = [5.0, 6.0, 7.0]
        with pytest.raises(TraceError, match=r"(?s)test_regions.*symflux.numpy.zeros"):
            f(max(wanted))
        np.testing.assert_array_equal(y, [5.0, 6.0, 7.0])
    y[0] = 2.0  # may be written to again


def test_derivatives_write_as_the_function_does_and_rows_do_not():
    def f(x):
        y = x * 0

        def loss(v):
            y[0] = v[1] * 3
            return np.sum(y * v)

        slope = sf.grad(loss)(x)
        sf.jvp(lambda v: (y.__setitem__(1, v[0]), v)[1], (x,), (x,))
        return y, slope, sf.vmap(lambda r: (y.__iadd__(1), r)[1])(x)

    y, slope, _ = sf.compile(f)(np.array([1.0, 2.0]))
    assert y.tolist() == [7.0, 2.0] and slope.tolist() == [6.0, 3.0]
    with pytest.raises(UnsupportedOperation, match="rows"):
        sf.compile(lambda x: (y := x * 0, sf.vmap(lambda r: (y.__imul__(r), r)[1])(x), y)[2])(y)


def test_params_are_updated_in_a_function_that_is_differentiated():
    x = np.array([2.0, 4.0])
    for run in (lambda f: sf.compile(lambda w: sf.grad(f)(w)), sf.grad):
        mean = sf.param(np.zeros(2))

        def loss(w, mean=mean):
            sf.update(mean, 0.1 * (w * x - mean))
            return np.sum(w * mean)

        slope = run(loss)(np.ones(2))
        np.testing.assert_allclose(mean.value, 0.1 * x)
        np.testing.assert_allclose(slope, 0.2 * x)


def test_a_handle_that_outlived_its_trace_raises_on_any_use():
    kept = []
    sf.compile(lambda x: (kept.append(x * 2), x)[1])(np.ones(2))
    sf.grad(lambda x: (kept.append(x), np.sum(x))[1])(np.ones(2))
    inside = sf.compile(
        lambda x: (sf.fori_loop(0, 2, lambda i, c: (kept.append(c), c)[1], x), x)[1]
    )
    inside(np.ones(2))
    for leaked in kept:
        for use in (
            lambda v: v + 1, lambda v: 1 - v, np.sin, lambda v: v[0], lambda v: v.sum(), float,
            lambda v: v.__setitem__(0, 1.0), bool, lambda v: v.T + 1, sf.grad(np.sum), np.asarray,
            lambda v: sf.compile(lambda x: x + v)(1.0), lambda v: sf.compile(np.sin)(v),
        ):  # fmt: skip
            with pytest.raises(LeakedValue, match=r"(?s)test_regions.*sf\.update"):
                use(leaked)
        assert "Array(" in repr(leaked)


# --- declared dtypes ------------------------------------------------------------------------------


def test_declared_dtypes_hold_what_they_are_given():
    x = sf.symbol("x", (), "int64")
    narrow = sf.symbol("n", (), "int32")
    square = sf.function([x], x * x)
    twice = sf.function([narrow], narrow * 2)
    for f, values in (
        (square, (2.7, np.float32(2), np.uint64(3), np.array(1.5))),
        (sf.from_sympy(sympy.Symbol("x") ** 2, [sympy.Symbol("x")], dtype="int64"), (2.7,)),
        (twice, (1.0, np.int64(3), np.uint32(3))),
        (sf.function([sf.symbol("b", (), "bool")], 1), (2, 0.5)),
    ):
        for value in values:
            with pytest.raises(DTypeError, match=r"(?s)is declared as .*test_regions.*astype"):
                f(value)
            with pytest.raises(DTypeError, match="is declared as"):
                sf.compile(lambda v, f=f: f(v))(value)
    for f, value in ((twice, 2**40), (twice, -(2**31) - 1), (square, 2**63)):
        with pytest.raises(RangeError):
            f(value)
    for _ in range(3):
        same(square(3), np.int64(9))
        same(square(True), np.int64(1))
        same(square(np.uint8(3)), np.int64(9))
        same(twice(3), np.int32(6))
        same(twice(np.int32(3)), np.int32(6))
        same(twice(-(2**31) + 1 + 2**30), np.int32(2 * (2**30 - 2**31 + 1)))
    same(sf.compile(lambda v: v + twice(7))(1.0), 15.0)
    half = sf.symbol("h", (2,), "float32")
    same(sf.function([half], half * 2)(np.array([0.5, 1.5])), np.float32([1, 3]))
    same(sf.function([half], half * 2)(np.array([1, 2])), np.float32([2, 4]))


# --- rows of a vmap -------------------------------------------------------------------------------


def steps(x, by):
    """How often ``by`` can be taken from ``x`` before 0 is reached: never-ending for ``by`` 0."""
    return sf.while_loop(lambda s: s[0] > 0, lambda s: (s[0] - by, s[1] + 1), (x, 0))[1]


def test_a_row_runs_only_its_own_side_of_a_branch():
    x = np.array([3.0, 0.0, -2.0, 5.0])
    expected = [3, 0, 0, 5]

    def f(v):
        by = np.where(v > 0, 1.0, 0.0)
        return sf.cond(by > 0, lambda: steps(v, by), lambda: 0 * steps(-1.0, by))

    def g(v):  # the side that is not taken never ends
        return sf.cond(v > 0, lambda: steps(v, 1.0), lambda: sf.switch(
            1, [lambda: 1, lambda: steps(np.minimum(v, 0.0), 0.0 * v)]))  # fmt: skip

    def h(v):  # deeper: in a loop's body, behind another branch
        return sf.fori_loop(0, 2, lambda i, c: c + sf.cond(
            v > 0, lambda: steps(v, 1.0), lambda: sf.cond(
                v > 1, lambda: steps(1.0, 0 * v), lambda: 0)), 0)  # fmt: skip

    np.testing.assert_array_equal(sf.vmap(f)(x), expected)
    np.testing.assert_array_equal(sf.vmap(g)(x), expected)
    np.testing.assert_array_equal(sf.vmap(h)(x), np.multiply(expected, 2))
    twice = sf.vmap(sf.vmap(f))(np.stack([x, x[::-1]]))
    np.testing.assert_array_equal(twice, [expected, expected[::-1]])
    endless = lambda v: sf.cond(v > 0, lambda: v * 1.0, lambda: 1.0 * steps(1.0, v * 0))  # noqa: E731
    np.testing.assert_array_equal(sf.vmap(endless)(np.array([1.0, 2.0])), [1.0, 2.0])
    moved = sf.jvp(lambda x: sf.vmap(lambda v: sf.cond(
        v > 0, lambda: v**2, lambda: sf.while_loop(lambda c: c < -1, lambda c: c / 2, v)
    ))(x), (x,), (np.ones(4),))  # fmt: skip
    np.testing.assert_allclose(moved, [[9, 0, -1, 25], [6, 1, 0.5, 10]])


def test_a_row_that_is_done_does_not_run_the_loop_inside():
    def f(v):  # the inner loop ends only for rows that the outer one still runs for
        return sf.while_loop(
            lambda s: s[0] > 0,
            lambda s: (s[0] - 1, s[1] + steps(2.0, np.maximum(s[0], 0.0))),
            (v, 0),
        )[1]

    np.testing.assert_array_equal(sf.vmap(f)(np.array([1.0, 3.0, 0.0])), [2, 4, 0])


AFTER = {
    "fori": lambda a: sf.fori_loop(0, 2, lambda i, s: (s[1], s[0] * 0.5), (a, a + 1.0))[0],
    "scan": lambda a: sf.scan(lambda c, e: (c * e, c + e), a, np.arange(3.0))[1],
    "while": lambda a: sf.while_loop(
        lambda s: s[0] < 3.0, lambda s: (s[0] + a, s[1] * 2.0), (a, a)
    )[1],
    "cond": lambda a: sf.cond(a > 0.7, lambda v: (v * 2.0, v), lambda v: (-v, v), a)[0],
    "switch": lambda a: sf.switch(1 * (a > 0.7), [lambda v: v + 1.0, lambda v: v * 3.0], a),
    "map": lambda a: sf.map(lambda v: v * a, np.arange(3.0)),
}


@pytest.mark.parametrize("kind", AFTER)
def test_regions_behind_a_result_that_all_rows_share_are_batched(kind):
    """A loop with one carry of the rows and one that is the same for all of them: what reads the
    latter alone raised an AssertionError."""

    def shared(x):
        return sf.fori_loop(0, 2, lambda i, s: (s[0] * 2.0, s[1] + 0.25), (x, 0.5))[1]

    fn = AFTER[kind]
    x = np.array([1.0, 2.0, 3.0])
    wanted = np.asarray(fn(1.0))  # 0.5 + 2 · 0.25
    np.testing.assert_array_equal(sf.vmap(lambda x: fn(shared(x)))(x), np.stack([wanted] * 3))
    slopes = sf.vmap(sf.grad(lambda x: np.sum(fn(shared(x)) * x)))
    if kind != "while":
        np.testing.assert_allclose(slopes(x), np.sum(wanted) * np.ones(3), rtol=1e-15)
