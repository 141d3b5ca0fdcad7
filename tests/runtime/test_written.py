"""Arrays that a call writes to: donated twice, overlapping, given for two results."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import symflux as sf
from symflux.errors import ArgumentError


def both(x, y):
    return x + 1.0, y * 2.0


def crossed(x, y):
    return y * 2.0, x + y


def called(f, *args, **kwargs):
    """The error of the second call is that of the first."""
    messages = []
    for _ in range(2):
        with pytest.raises(ArgumentError) as caught:
            f(*args, **kwargs)
        messages.append(str(caught.value))
    assert messages[0] == messages[1] and "test_written.py" in messages[0]
    return messages[0]


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    "pair",
    [
        lambda a: (a[:4], a[:4]),
        lambda a: (a[:4], a[1:5]),
        lambda a: (a[::2], a[2::2][:4]),
        lambda a: (a[3::-1], a[:4]),
    ],
)
def test_donating_memory_twice_is_refused(pair, warm):
    for fn in (both, crossed):
        f = sf.compile(fn, donate=("x", "y"))
        if warm:
            f(np.ones(4), np.ones(4))
        x, y = pair(np.arange(8.0))
        if x.shape != y.shape:
            x = x[: len(y)]
        before = x.copy(), y.copy()
        message = called(f, x, y)
        assert "`x` and `y`" in message and ".copy()" in message
        np.testing.assert_array_equal(before, (x, y))


@pytest.mark.parametrize("fn", [both, crossed])
def test_donated_arrays_side_by_side_in_one_piece_of_memory(fn):
    f = sf.compile(fn, donate=("x", "y"))
    for cut in (lambda a: (a[:4], a[4:]), lambda a: (a[::2], a[1::2]), lambda a: (a[3::-1], a[4:])):
        for _ in range(2):
            x, y = cut(np.arange(8.0))
            wanted = fn(x, y)
            found = f(x, y)
            np.testing.assert_array_equal(found, wanted)
            assert found[0] is x and found[1] is y


def test_donating_what_is_read_as_another_argument_too():
    """The result is right, and lies in the donated array: that was asked for."""
    f = sf.compile(crossed, donate="x")
    for shift in (0, 1):
        a = np.arange(5.0)
        x, y = a[:4], a[shift : shift + 4]
        wanted = crossed(x, y)
        first, second = f(x, y)
        assert first is x
        np.testing.assert_array_equal((first, second), wanted)


def test_donating_an_array_with_several_elements_in_one_place():
    f = sf.compile(lambda x: x * np.arange(3.0), donate="x")
    for strides in ((0,), (4,)):
        x = as_strided(np.ones(4), (3,), strides)
        wanted = x * np.arange(3.0)
        for _ in range(2):
            np.testing.assert_array_equal(f(x), wanted)
    x = np.ones((3, 4))[:, 1].T[::-1]
    assert f(x) is x


def test_donating_the_memory_of_a_param_that_is_updated_is_refused():
    w = sf.param(np.ones(3))

    @sf.compile(donate="x")
    def step(x):
        sf.update(w, x)
        return 2.0 * x

    step(np.ones(3))
    assert "`x` and `param" in called(step, w.value)
    np.testing.assert_array_equal(w.value, np.full(3, 2.0))


@pytest.mark.parametrize("warm", [False, True])
def test_one_array_for_two_results_is_refused(warm):
    f = sf.compile(both)
    x, y, o = np.ones(4), np.ones(4), np.zeros(8)
    if warm:
        f(x, y, out=(o[:4], o[4:]))
        f(x, y, out=(o[:4], o[4:]))
        o[:] = 0.0
    for out in ((o[:4], o[:4]), (o[:4], o[1:5]), (o[::2], o[6::-2])):
        assert "shares memory" in called(f, x, y, out=out)
    assert "several elements" in called(f, x, y, out=(as_strided(o, (4,), (0,)), y))
    assert not o.any()
    f(x, y, out=(o[::2], o[1::2]))
    np.testing.assert_array_equal(o, 4 * [2.0, 2.0])


def test_out_in_the_memory_of_arguments():
    f = sf.compile(crossed)
    for make in (lambda x, y: (x, y), lambda x, y: (y, x), lambda x, y: (x[::-1], y)):
        for _ in range(3):
            x, y = np.arange(4.0), np.arange(4.0) + 5
            wanted = crossed(x, y)
            out = make(x, y)
            f(x, y, out=out)
            np.testing.assert_array_equal(out, wanted)


def test_out_in_the_memory_of_a_donated_argument():
    f = sf.compile(lambda x, y: (y - 1.0, x + y), donate=("x", "y"))
    for make in (lambda x, y, o: (x, o), lambda x, y, o: (o, x), lambda x, y, o: (y, x)):
        for _ in range(2):
            x, y, o = np.arange(4.0), np.full(4, 7.0), np.zeros(4)
            out = make(x, y, o)
            assert f(x, y, out=out) is out
            np.testing.assert_array_equal(out, (np.full(4, 6.0), np.arange(4.0) + 7))


def test_donating_what_is_no_parameter_is_refused():
    for donate in ("typo", ("x", "typo"), ("x.y",), "static"):
        with pytest.raises(ArgumentError, match=r"(?s)donate: .*test_written.py"):
            sf.compile(lambda x, static: x, donate=donate, static_argnames="static")
    f = sf.compile(lambda x, *rest, key: rest[0] * key, donate=("rest", "x"))
    a = np.ones(2)
    assert f(1.0, a, key=2.0) is a
    f = sf.compile(lambda x, **rest: rest["a"] * x, donate="a")
    np.testing.assert_array_equal(f(2.0, a=a), [4.0, 4.0])
