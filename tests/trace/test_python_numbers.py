"""Python numbers that meet arrays: carried by loops, computed, compared; as NumPy 2 has it."""

import itertools

import numpy as np
import pytest

import symflux as sf
import symflux.numpy as snp
from symflux.errors import NegativePower, RangeError
from symflux.trace.trace import raise_by_number, trace
from symflux.transform.evaluate import evaluate
from tests.trace.agreement import traced_result

DTYPES = ("?", "i1", "i8", "u1", "u8", "f2", "f4", "f8")
STARTS = (False, True, 3, -3, 2.5)
STEPS = (
    lambda c, x: (c + x, c),
    lambda c, x: (x * 3 + c, x),
    lambda c, x: (c | x if x.dtype.kind != "f" else c * x, c),
    lambda c, x: (c + 1, c + x),
    lambda c, x: ((c + x) * 2, (c, x)),
)


def numbers(dtype):
    """Elements whose sums wrap."""
    if dtype == "?":
        return np.array([True, False, True])
    top = 100.0 if dtype[0] == "f" else np.iinfo(dtype).max
    return np.array([top, 1, 5]).astype(dtype) if dtype[0] == "f" else np.array([top, 1, 5], dtype)


def by_scan(step, start, xs):
    return sf.scan(lambda c, x: (step(c, x)[0], None), start, xs)[0]


def by_fori(step, start, xs):
    return sf.fori_loop(0, len(xs), lambda i, c: step(c, xs[i])[0], start)


def by_while(step, start, xs):
    def below(s):
        return s[0] < len(xs)

    return sf.while_loop(below, lambda s: (s[0] + 1, step(s[1], xs[s[0]])[0]), (0, start))[1]


def in_python(step, start, xs):
    """The carry after the last iteration; None where NumPy refuses."""
    c = start
    with np.errstate(all="ignore"):
        try:
            for x in xs:
                c = step(c, x)[0]
        except (OverflowError, TypeError):
            return None
    return c


@pytest.mark.parametrize("loop", [by_scan, by_fori, by_while])
def test_a_python_number_as_a_carry_takes_the_dtype_of_what_it_meets(loop):
    """For each kind of number and dtype what Python's own loop gives, in dtype and value; whether
    the number is written in the function or comes as an argument."""
    cases = []
    steps = STEPS if loop is by_scan else STEPS[::2]
    for step, dtype, start in itertools.product(steps, DTYPES, STARTS):
        xs = numbers(dtype)
        wanted = in_python(step, start, xs)
        if step is STEPS[-1] and start is True and dtype == "?":
            continue  # True + np.True_ is True, later sums are integers: loops carry one dtype

        def fn(xs, step=step, start=start):
            return loop(step, start, xs)

        if wanted is None:
            with pytest.raises((RangeError, TypeError)):
                traced = trace(fn, [xs])
                assert traced.failure is not None
                raise_by_number(traced.errors, evaluate(traced.graph, [xs])[traced.failure])
            continue
        got = traced_result(fn, xs)[0]
        compare(got, wanted, step, start, xs)
        cases.append((step, start, xs, wanted))
    few = cases[:: 13 if loop is by_scan else 29]
    fn = sf.compile(lambda a, b: [loop(few[i][0], b[i], a[i]) for i in range(len(few))])
    results = fn([xs for _, _, xs, _ in few], [start for _, start, _, _ in few])
    for (step, start, xs, wanted), got in zip(few, results, strict=True):
        compare(got, wanted, step, start, xs)


def compare(got, wanted, step, start, xs):
    told = f"{start!r} over {xs.dtype}, {STEPS.index(step)}: {got!r}, NumPy {wanted!r}"
    assert np.asarray(got).dtype == np.asarray(wanted).dtype, told
    np.testing.assert_array_equal(got, wanted, told)


def test_a_python_integer_that_does_not_fit_the_carry_is_refused():
    xs = np.array([1, 2], "i1")
    for loop in (by_scan, by_fori, by_while):
        f = sf.compile(lambda xs, n, m, loop=loop: loop(STEPS[0], n + m, xs))
        assert f(xs, 60, 60) == np.int8(123)
        assert type(f(xs, 60, 60)) is np.int8
        for _ in range(2):
            with pytest.raises(RangeError, match="does not fit into int8"):
                f(xs, 100, 100)
        assert f(xs, -100, 3) == -94
    with pytest.raises(RangeError, match="300 does not fit into int8"):
        sf.scan(STEPS[0], 300, xs)


def test_two_carries_take_dtypes_from_each_other():
    xs = np.array([1, 2, 3], "u1")
    (a, b), seen = sf.scan(lambda s, x: ((s[1], s[0] + x), s[0]), (0, 1), xs)
    assert (a, b) == (3, 4)
    assert a.dtype == b.dtype == seen.dtype == np.uint8


# --- integers that are computed from arguments ----------------------------------------------------


LARGE = (2, 126, 127, 128, 254, 255, 256, -1, -127, -128, -129, 2**31, 2**32 - 2, 2**61, -(2**61))
USES = {
    "add": lambda x, n: x + (n + 1),
    "negated": lambda x, n: -n + x,
    "product": lambda x, n: (2 * n) * x,
    "maximum": lambda x, n: np.maximum(x, n - 1),
    "clip": lambda x, n: np.clip(x, n - 3, n + 3),
    "where": lambda x, n: np.where(x > 1, x, n + 1),
    "full": lambda x, n: np.full_like(x, n + 1) + x,
    "initial": lambda x, n: np.max(x, initial=n + 1),
    "bits": lambda x, n: x & (n + 1),
    "written": lambda x, n: written(x, n + 1),
    "masked": lambda x, n: masked(x, n + 1),
    "less": lambda x, n: (x < n + 1) | (n - 1 == x) | (n + 1 <= x),
    "all comparisons": lambda x, n: [x < n, x <= n, x > n, x >= n, x == n, x != n, n < x, n >= x],
    "into floats": lambda x, n: x.astype("f2") + (n + 1),
}


def written(x, n):
    x = x.copy()
    x[1:] = n
    x[0] = n
    return x


def masked(x, n):
    x = x.copy()
    x[x > 1] = n
    return x


@pytest.mark.parametrize("use", USES)
def test_a_computed_python_integer_beyond_the_dtype_of_the_array_is_refused(use):
    """``uint8_array + (n + 1)`` wrapped; comparisons are exact, as in NumPy, and choices wrap."""
    fn = USES[use]
    dtypes = ("u1", "i1", "u2", "i4", "u8", "i8")
    f = sf.compile(fn)
    for dtype in dtypes:
        x = np.array([1, 2, 100], dtype)
        for n in LARGE:
            try:
                with np.errstate(all="ignore"):
                    wanted = fn(x, n)
            except OverflowError:
                wanted = None
            for _ in range(2):
                if wanted is None:
                    with pytest.raises(RangeError, match="does not fit"):
                        f(x, n)
                else:
                    got = f(x, n)
                    np.testing.assert_array_equal(got, wanted, f"{dtype} {n}")
                    assert np.asarray(got).dtype == np.asarray(wanted).dtype


def test_the_error_names_the_line_and_the_function_goes_on_working():
    u = np.array([1, 2, 3], "u1")

    @sf.compile
    def f(u, n):
        return {"a": u * 2, "b": [u + (n + 1)]}

    assert f(u, 2)["b"][0].tolist() == [4, 5, 6]
    with pytest.raises(RangeError, match=r'"b": \[u \+ \(n \+ 1\)\]') as caught:
        f(u, 255)
    assert "uint8, which holds 0 to 255" in str(caught.value)
    with pytest.raises(RangeError):
        f(u, n=255)
    out = {"a": u.copy(), "b": [u.copy()]}
    assert f(u, 3, out=out)["b"][0].tolist() == [5, 6, 7]
    for _ in range(2):
        with pytest.raises(RangeError):
            f(u, 300, out=out)
    assert f(u, 4)["b"][0].tolist() == [6, 7, 8]


def test_regions_refuse_integers_where_they_run_only():
    u = np.array([1, 2, 3], "u1")
    chosen = sf.compile(lambda p, u, n: sf.cond(p, lambda: u + n, lambda: u))
    assert chosen(False, u, 300).tolist() == [1, 2, 3]
    assert chosen(True, u, 3).tolist() == [4, 5, 6]
    with pytest.raises(RangeError):
        chosen(True, u, 300)
    loop = sf.compile(lambda u, n: sf.fori_loop(0, n, lambda i, c: c + i, u))
    assert loop(u, 256).tolist() == (u + np.uint8(sum(range(256)) % 256)).tolist()
    with pytest.raises(RangeError):
        loop(u, 257)
    tested = sf.compile(
        lambda u, n: sf.while_loop(lambda k: u[0] * (k + 1) < 200, lambda k: k + 1, n)
    )
    assert tested(u, 5) == 199
    for n in (255, 700):
        with pytest.raises(RangeError):
            tested(u, n)
    last = sf.compile(lambda u: sf.while_loop(lambda k: u[0] + k != 5, lambda k: k + 200, 0))
    with pytest.raises(RangeError):  # in the test after the second iteration
        last(np.array([1], "u1"))
    rows = sf.vmap(lambda x, p, n: x + sf.cond(p, lambda: n + 1, lambda: 0), in_axes=(0, 0, None))
    for _ in range(2):
        got = rows(u, np.array([True, False, True]), 2)
        assert got.tolist() == [4, 2, 6]
        with pytest.raises(RangeError):
            rows(u, np.array([True, False, True]), 255)


def test_derivatives_refuse_integers_as_the_function_does():
    u, x = np.array([1, 2, 3], "u1"), np.array([0.5, 1.0, 2.0])

    def f(x, u, n):
        def body(i, c):
            return c * (u + (n + i))

        return np.sum(sf.fori_loop(0, 2, body, x))

    for derived in (
        sf.grad(f),
        sf.jacobian(f),
        lambda *a: sf.vjp(lambda x: f(x, *a[1:]), a[0])[1](1.0)[0],
    ):
        for _ in range(2):
            np.testing.assert_array_equal(derived(x, u, 2), (u + 2.0) * (u + 3.0))
    for derived in (sf.grad(f), sf.hessian(f), sf.jacobian(f)):
        for _ in range(2):
            with pytest.raises(RangeError):
                derived(x, u, 255)


def test_integers_that_are_known_to_fit_cost_nothing():
    """Indices of loops and remainders are proven to fit: no check is part of the graph."""
    u = np.zeros(3, "u1")
    for fn in (
        lambda u, n: sf.fori_loop(0, 256, lambda i, c: c + i, u),
        lambda u, n: sf.fori_loop(10, 100, lambda i, c: c + (2 * i + 1), u),
        lambda u, n: u + n % 7,
        lambda u, n: sf.scan(lambda c, x: (c + x, c), 0, u)[0] + u,
        lambda u, n: u + np.minimum(abs(n % 1000), 255),
        lambda u, n: u.astype("i8") + (n + 1),
        lambda u, n: u < n + 1,
    ):
        assert trace(fn, [u, 5]).failure is None
    assert trace(lambda u, n: u + n, [u, 5]).failure is None  # checked before the call runs
    assert trace(lambda u, n: u + n // 3, [u, 5]).failure is not None


def test_integers_to_a_negative_power_that_is_known_later_are_refused():
    for dtype in ("i1", "i8", "u4"):
        x = np.array([1, 2, 3], dtype)
        f = sf.compile(lambda x, n: x ** (n + 1))
        assert f(x, 1).tolist() == [1, 4, 9]
        with pytest.raises(RangeError if dtype == "u4" else NegativePower):
            f(x, -2)
        g = sf.compile(lambda x, y: x**y)
        np.testing.assert_array_equal(g(x, x), x**x)
        if dtype != "u4":
            with pytest.raises(NegativePower):
                g(x, -x)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i4", "u8"])
def test_numbers_that_are_put_into_arrays_must_fit(dtype):
    """``x[0] = 300``, ``x[...] = [1, 300]``, ``np.array([1, 300], 'u1')``: these wrapped."""
    x = np.array([1, 2, 3], dtype)
    big = int(np.iinfo(dtype).max) + 1

    def assigned(index, value):
        def write(x):
            y = x.copy() if isinstance(x, np.ndarray) else snp.copy(x)
            y[index] = value
            return y

        return write

    for fn in (
        assigned(0, big), assigned(slice(None), [1, 2, big]), assigned(slice(1, None), -big - 1),
        assigned([0, 1], big), lambda x: snp.array([1, big], dtype) + x[:2],
        lambda x: snp.asarray(big, dtype) + x, assigned(0, 1e30),
    ):  # fmt: skip
        with pytest.raises(RangeError):
            trace(fn, [x])
        with pytest.raises(OverflowError):
            fn(x)
    for fn in (assigned(0, 7), assigned(slice(None), [3, 2, 1]), assigned([0, 1], 2.7)):
        np.testing.assert_array_equal(sf.compile(fn)(x), fn(x))


def flat(x, n):
    x.flat = n


def added(x, n):
    x += n


WRITES = (
    lambda x, n: np.copyto(x, n), lambda x, n: np.put(x, 0, n), flat, added,
    lambda x, n: np.putmask(x, x > 1, n), lambda x, n: np.place(x, x > 1, n),
    lambda x, n: np.fill_diagonal(x, n), lambda x, n: x.fill(n),
    lambda x, n: np.add(x, n, out=x), lambda x, n: np.put_along_axis(x, np.array([[0], [1]]), n, 1),
)  # fmt: skip


@pytest.mark.parametrize("write", WRITES)
def test_functions_that_write_refuse_integers_that_do_not_fit(write):
    def fn(x, n):
        x = x.copy()
        write(x, n)
        return x

    x = np.array([[1, 2], [3, 4]], "u1")
    compiled = sf.compile(fn)
    np.testing.assert_array_equal(compiled(x, 5), fn(x, 5))
    with pytest.raises(OverflowError):
        fn(x, 300)
    with pytest.raises(RangeError):
        compiled(x, 300)
    with pytest.raises(RangeError):
        trace(lambda x: fn(x, 300), [x])


def test_a_call_that_raises_leaves_arrays_and_params_as_they_were():
    u, x, surrounding = np.array([1, 2, 3], "u1"), np.array([1, 2, 3], "u1"), np.zeros(3, "u1")
    weights, state = sf.param(np.ones(3)), {"k": u.copy()}

    @sf.compile
    def f(x, u, n, state):
        x[1:] = u[1:] + (n + 1)
        surrounding[0] += 1
        sf.update(weights, (u + (n + 1)) * 1.0)
        state["k"] = state["k"] + (n + 1)
        return x, x[0]

    def values():
        return [np.asarray(v).tolist() for v in (x, surrounding, weights.value, state["k"])]

    for round_ in range(1, 4):
        assert f(x, u, 3, state)[0] is x
        here = values()
        assert here[:2] == [[1, 6, 7], [round_, 0, 0]]
        for _ in range(2):
            with pytest.raises(RangeError):
                f(x, u, 300, state)
            assert values() == here


def test_numbers_beyond_a_float_dtype_are_infinite_and_beyond_all_floats_refused():
    for dtype in ("f2", "f4"):
        x = np.ones(2, dtype)
        for number in (10**5, 1e300, 10**39):
            with np.errstate(all="ignore"):
                wanted = x + number
            got = sf.compile(lambda x, n=number: x + n)(x)
            np.testing.assert_array_equal(got, wanted)
            assert got.dtype == wanted.dtype
        with pytest.raises(RangeError, match="beyond all floats"):
            trace(lambda x: x + 10**400, [x])


def test_an_integer_that_is_used_twice_at_every_step_is_looked_into_once():
    def f(i, x):
        for _ in range(200):
            i = (i + i) % 7
        return x + i

    i, x = 3, np.arange(4, dtype=np.int8)
    traced = trace(f, (i, x))
    assert traced.failure is None and not traced.bounds  # below 7, which was seen
    found = sf.compile(f)(i, x)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, f(i, x))
    with pytest.raises(RangeError, match="int8"):
        sf.compile(lambda i, x: x + (i + i) * 50)(3, x)
