"""Arrays in each other's memory: what a call writes and reads is NumPy's, or it is refused."""

import itertools

import numpy as np
import pytest

import symflux as sf
from symflux.errors import ArgumentError

VIEWS = {
    "same": lambda b, n: (b[:n], b[:n]),
    "shifted": lambda b, n: (b[1 : n + 1], b[:n]),
    "reversed": lambda b, n: (b[:n], b[:n][::-1]),
    "interleaved": lambda b, n: (b[0 : 2 * n : 2], b[1 : 2 * n : 2]),
    "crossing": lambda b, n: (b[0 : 2 * n : 2], b[:n]),
    "apart": lambda b, n: (b[:n], b[n : 2 * n]),
}
DISJOINT = {"interleaved", "apart"}
#: views, extents (small captured arrays are constants), and calls with arrays apart before
CASES = [(view, 4, 1) for view in VIEWS] + [
    (view, n, calls) for view in ("shifted", "apart") for n, calls in ((4, 0), (600, 2))
]


def first_written(u, a):
    u[0] = 5.0
    return u + a


def grown(u, a):
    u += 1
    return a * 2


def taken_backwards(u, a):
    u[:] = a[::-1]
    return u * 1


def other_written(u, a):
    a += 1
    return u * 2


def both_written(u, a):
    a[0] += 1
    u += a
    return u * 1


def element_read(u, a):
    u += a
    return a[0] * u


def needed_by_python(u, a):
    u += 1
    return u * a.tolist()[-1]


WRITERS = [first_written, grown, taken_backwards, other_written, both_written, element_read]


def in_argument(body, a):
    return body, lambda u, other: (u, other)


def in_variable(body, a):
    return lambda u: body(u, a), lambda u, other: (u,)


def in_object(body, a):
    held = type("Held", (), {})()
    held.a = [a]
    return lambda u: body(u, held.a[0]), lambda u, other: (u,)


def in_list_argument(body, a):
    return lambda pair: body(pair[0], pair[1]), lambda u, other: ([u, other],)


PLACES = [in_argument, in_variable, in_object, in_list_argument]


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("body", [*WRITERS, needed_by_python])
def test_written_arrays_in_the_memory_of_others(body, place):
    """Small captured arrays are constants of the code, large ones inputs by reference; calls before
    that with arrays apart leave native code that must not be used."""
    if body is needed_by_python and place in (in_argument, in_list_argument):
        pytest.skip("an argument has no elements while tracing")
    for view, n, calls in CASES:
        results = []
        for run in (lambda f: f, sf.compile):
            base = np.arange(2.0 * n + 2)
            u, a = VIEWS[view](base, n)
            fn, given = place(body, a)
            f = run(fn)
            for _ in range(calls):
                f(*given(np.arange(1.0 * n), np.arange(1.0 * n) + 3))
            try:
                results.append([f(*given(u, a)), base])
            except ArgumentError as error:
                assert view not in DISJOINT, (view, n, calls)
                assert "shares memory with" in str(error)
        if len(results) == 2:
            for wanted, found in zip(*results, strict=True):
                np.testing.assert_array_equal(found, wanted, err_msg=f"{view} {n} {calls}")


def test_a_written_argument_in_the_memory_of_small_captured_constants_is_refused():
    k = np.array([1.0, 2.0, 3.0])

    @sf.compile
    def f(u):
        u += 1
        return u * k

    assert np.all(f(np.zeros(3)) == k) and np.all(f(np.ones(3)) == 2 * k)
    for u in (k, k[::-1], k[1:].repeat(1)[:0], np.lib.stride_tricks.as_strided(k, (3,), (8,))):
        if u.size == 3:
            with pytest.raises(ArgumentError, match=r"shares memory with .*captured array"):
                f(u)
    assert np.all(k == [1.0, 2.0, 3.0])
    assert np.all(f(np.zeros(3)) == k)


BODIES = [lambda x, a: x + a[::-1], lambda x, a: (a[::-1] + np.cumsum(x), x * 2 - a)]
MANNERS = [((), 1), ((), 0), (("x",), None), (("x",), 1), (("x", "a"), None), (("a",), 0)]


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("donate", "target"), MANNERS)
def test_donated_arrays_and_out_in_the_memory_of_others(body, donate, target):
    """Results are those of the arrays as they were when the function was called."""
    sizes = [(4, 1)] if body is not BODIES[-1] else [(4, 2), (3000, 0)]
    for view, (n, calls) in itertools.product(("same", "shifted", "crossing", "apart"), sizes):
        x, a = VIEWS[view](np.arange(2.0 * n + 2), n)
        wanted = body(x.copy(), a.copy())
        f = sf.compile(lambda x, a: body(x, a), donate=donate)
        others = [(np.arange(1.0 * n), np.arange(1.0 * n) + 2) for _ in range(calls)]
        try:
            for given in (*others, (x, a)):
                found = called(f, given, target, wanted)
        except ArgumentError as error:
            assert len(donate) == 2 and view not in DISJOINT, str(error)
            continue
        np.testing.assert_array_equal(found, wanted, err_msg=f"{view} {n} {calls}")


@pytest.mark.parametrize(("donate", "target"), MANNERS[:4])
def test_captured_arrays_that_are_given_as_out_or_donated(donate, target):
    for view, n in itertools.product(VIEWS, (4, 600)):
        x, a = VIEWS[view](np.arange(2.0 * n + 2), n)
        wanted = x + a[::-1]
        f = sf.compile(lambda x, a=a: x + a[::-1], donate=donate)
        found = f(x, out=a) if target == 1 else called(f, (x,), target, wanted)
        np.testing.assert_array_equal(found, wanted, err_msg=f"{view} {n}")


def called(f, given, target, wanted):
    """The result of a call that is given one of its arguments as ``out``, if ``target`` says so."""
    if target is None:
        return f(*given)
    several = isinstance(wanted, tuple)
    out = given[target]
    return f(*given, out=(out, np.zeros(len(out))) if several else out)
