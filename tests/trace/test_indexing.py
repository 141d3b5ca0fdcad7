"""Index expressions: read and written as NumPy does, views included; a fuzz against NumPy."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symflux as sf
from symflux.errors import (
    ConversionError,
    DTypeError,
    IndexOutOfRange,
    ShapeError,
    UnsupportedOperation,
)
from tests.trace.agreement import assert_agrees, traced_result

X = np.arange(24.0).reshape(2, 3, 4)
V = np.arange(7.0)

READS = (
    np.s_[0], np.s_[-1, 2], np.s_[1, 2, 3], np.s_[:, 1], np.s_[1:], np.s_[..., 0], np.s_[0, ...],
    np.s_[1, 2, 3, ...], np.s_[None], np.s_[:, None, 1], np.s_[..., None], np.s_[::-1],
    np.s_[:, ::2, ::-2], np.s_[:, -1:0:-1], np.s_[5:], np.s_[:, 2:1], np.s_[...], np.s_[()],
    np.s_[[0, 1, 0]], np.s_[:, [2, -1]], np.s_[[0, 1], [1, 2]], np.s_[[0, 1], :, [1, 2]],
    np.s_[0, :, [1, 2]], np.s_[[[0], [1]], [0, 2]], np.s_[:, [0, 1], None, [1, 2]],
    np.s_[1:, [0, 2], ::2], np.s_[np.array([True, False])], np.s_[:, np.array([True, False, True])],
    np.s_[X > 10], np.s_[X[0] > 3], np.s_[np.array(1)], np.s_[np.int64(1), np.uint8(2)], np.s_[[]],
    np.s_[X[:, :, 0] > 3, 1:], np.s_[..., [0, 3]], np.s_[[1, 0], ..., 2],
)  # fmt: skip


def assert_agrees_or_refuse(fn, x):
    """As NumPy, also in which index expressions are errors."""
    try:
        fn(x.copy())
    except IndexError:
        with pytest.raises(IndexOutOfRange):
            traced_result(fn, x)
        return
    assert_agrees(fn, x)


@pytest.mark.parametrize("index", READS, ids=str)
def test_reads_agree(index):
    assert_agrees_or_refuse(lambda x: x[index], X)


@pytest.mark.parametrize("index", READS, ids=str)
def test_writes_agree(index):
    def number(x):
        x[index] = 7
        return x

    def values(x):
        x[index] = -2.0 * x[index]
        return x

    def in_place(x):
        x[index] += x[index] * 3
        return x

    for change in (number, values, in_place):
        assert_agrees_or_refuse(change, X)


def indices(shape):
    """Index expressions for an array of ``shape``: integers, slices, None, Ellipsis, arrays."""

    def part(n):
        integer = st.integers(-n, n - 1)
        bound = st.none() | st.integers(-n - 2, n + 2)
        step = st.none() | st.integers(-3, 3).filter(bool)
        array = st.lists(integer, max_size=3).map(lambda v: np.array(v, dtype=int))
        return integer | st.builds(slice, bound, bound, step) | array

    @st.composite
    def expression(draw):
        count = draw(st.integers(0, len(shape)))
        where = draw(st.integers(0, count))
        use_dots = count < len(shape) and draw(st.booleans())
        axes = list(range(count)) if not use_dots else [
            *range(where), *range(len(shape) - count + where, len(shape))
        ]  # fmt: skip
        items = [draw(part(shape[a])) for a in axes]
        if use_dots:
            items.insert(where, Ellipsis)
        for _ in range(draw(st.integers(0, 2))):
            items.insert(draw(st.integers(0, len(items))), None)
        return tuple(items)

    return expression()


@settings(max_examples=80, deadline=None)
@given(indices((2, 3, 4)))
def test_random_reads_and_writes_agree(index):
    check_reads_and_writes(index)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(indices((2, 3, 4)))
def test_more_random_reads_and_writes_agree(index):
    check_reads_and_writes(index)


def check_reads_and_writes(index):
    static = tuple(i.tolist() if isinstance(i, np.ndarray) else i for i in index)

    def write(x):
        x[static] = np.cos(x[static])
        return x

    assert_agrees_or_refuse(lambda x: x[static], X)
    assert_agrees_or_refuse(lambda x: x[index], X)  # index arrays as captured inputs
    assert_agrees_or_refuse(write, X)


@settings(max_examples=100, deadline=None)
@given(indices((3, 4)), indices((2, 2)))
def test_random_views_of_views_write_through(first, second):
    basic = tuple(i for i in first if not isinstance(i, np.ndarray))
    inner = tuple(i for i in second if not isinstance(i, np.ndarray))

    def write(x):
        try:
            view = x[basic]
        except IndexError:
            return x
        if not isinstance(view, float) and view.ndim:
            try:
                part = view[inner]
            except IndexError:
                return x
            view *= 2
            if part.ndim:
                part += 100
            view[...] = view + 1
        return x

    assert_agrees(write, np.arange(12.0).reshape(3, 4))


# --- traced integers ------------------------------------------------------------------------------


@pytest.mark.parametrize("i", [0, 2, -1])
def test_traced_integers_read_and_write(i):
    def read(x, i):
        return x[i], x[:, i], x[0, i], x[i, i], x[i, 1:], x[[0, 1], i]

    def write(x, i):
        x[i] = 5
        x[0, i] += 2
        x[:, i] *= 3
        row = x[i]
        row[0] = -1
        row += 10
        return x

    square = np.arange(9.0).reshape(3, 3)
    for number in (i, np.int32(i)):
        assert_agrees(read, square, number)
        assert_agrees(write, square, number)


def test_traced_index_arrays_read():
    i = np.array([[2, 0], [-1, 1]])
    assert_agrees(
        lambda x, i: (x[i], x[:, i], x[i, 0], x[i, i[0]]), np.arange(9.0).reshape(3, 3), i
    )
    assert_agrees(lambda x, i: np.take(x, i), V, i)
    assert_agrees(lambda x, i: x[i % 2 * 1], V, np.array([0, 5], np.uint8))


def test_traced_masks_select_by_where():
    def write(x, m):
        x[m] = 0
        x[x > 10] += 0 * 1
        return x

    def rows(x):
        x[x[:, 0] > 3] = np.array([1.0, 2.0, 3.0])
        return x

    with pytest.raises(UnsupportedOperation, match="cannot select elements"):
        traced_result(write, X, X > 3)
    assert_agrees(lambda x, m: _assign(x, m, -1.0), X, X > 3)
    assert_agrees(rows, np.arange(9.0).reshape(3, 3))


def _assign(x, mask, value):
    x[mask] = value
    return x


@pytest.mark.parametrize("indices", [[2, 0, 1], [1, 1, -1, 0, 1, 2, 2, -1], [3], []])
def test_assignment_at_index_arrays_that_are_known_later(indices):
    """`z[i] = x` with `i` an argument or an array of the surroundings: it was refused."""
    i = np.array(indices, np.int64)
    values = np.arange(1.0, 1.0 + i.size)
    assert_agrees(lambda x, i, v: _assign(x, i, v), V, i, values)
    assert_agrees(lambda x, v: _assign(x, i, v), V, values)
    assert_agrees(lambda x, i, v: _assign(x, (slice(None), i), v), np.outer(V, V), i, values)
    assert_agrees(lambda x, i, v: _assign(x, (i, i), v), np.outer(V, V), i, values)
    assert_agrees(lambda x, i, v: _assign(x, i, v[:, None]), np.outer(V, V), i, values)


def test_derivatives_of_assignments_at_index_arrays_that_are_known_later():
    i, weights = np.array([2, 0, 1, 0]), np.array([1.0, 3.0, -2.0])

    def loss(x):
        z = sf.numpy.zeros(3)
        z[i] = np.where(x > 0, x**3, x)
        return np.sum(z * z * weights)

    x = np.array([0.5, 2.0, -1.5, 1.2])
    slope = np.array([-2 * 6 * x[0] ** 5, 0.0, 3 * 2 * x[2], 1 * 6 * x[3] ** 5])
    np.testing.assert_allclose(sf.gradient(loss, x), slope, rtol=1e-14)
    second = np.diag([-2 * 30 * x[0] ** 4, 0.0, 6.0, 30 * x[3] ** 4])
    np.testing.assert_allclose(sf.hessian(loss)(x), second, rtol=1e-14)
    rows = sf.vmap(loss)(np.stack([x, -x]))
    np.testing.assert_allclose(rows, [loss(x), loss(-x)], rtol=1e-14)


def test_the_last_of_equal_indices_wins():
    assert_agrees(lambda x: _assign(x, [1, 1, 3], np.array([7.0, 8.0, 9.0])), V)


def test_slices_at_traced_bounds_are_refused_with_a_cure():
    with pytest.raises(ConversionError, match="a slice cannot begin or end at a traced value") as e:
        traced_result(lambda x, i: x[i : i + 2], V, 1)
    assert "np.take(x, i + np.arange(3))" in str(e.value)


def test_indices_beyond_the_ends_are_reported():
    for function, message in (
        (lambda x: x[2], "index 2 is out of bounds for axis 0 of size 2"),
        (lambda x: x[0, -4], "index -4 is out of bounds for axis 1"),
        (lambda x: x[:, [0, 3]], "index 3 is out of bounds for axis 1"),
        (lambda x: x[0, 0, 0, 0], "too many indices: 4"),
        (lambda x: x[..., ...], "single ellipsis"),
        (lambda x: x[np.array([True, False, True])], r"a mask of shape \(3,\)"),
        (lambda x: x[[0, 1], [0, 1, 2]], "do not broadcast"),
        (lambda x: x[0.5], "an index must be an integer"),
        (lambda x: x[x[0, 0]], r"an index must be an integer, not f64\[4\]"),
    ):
        with pytest.raises(IndexOutOfRange, match=message) as caught:
            traced_result(function, X)
        assert "test_indexing.py" in str(caught.value)


# --- views ----------------------------------------------------------------------------------------


def test_views_write_through_and_see_writes():
    def f(x):
        a = x[1:]
        b = a[::2]
        b += 10
        x[3] = -1
        a[0] *= 5
        c = x.reshape(7, 1)[2:4]
        c -= 1
        return x, a, b, c

    assert_agrees(f, V)


def test_transposed_and_reshaped_views_write_through():
    def f(x):
        t = x.T
        t[0] = 9.0
        flat = x.reshape(-1)
        flat[5] = 1.5
        x.ravel()[7] += 3
        copied = x.T.reshape(-1)  # not contiguous: a copy
        copied[:] = 0
        x.swapaxes(0, 1)[1, 0] = 77
        np.moveaxis(x, 0, 2)[0, 0] = 5
        np.flip(x)[0] += 0.25
        np.squeeze(x[:1])[0] = 4
        np.expand_dims(x, 0)[0, 1, 2] = 8
        return x, copied, flat

    assert_agrees(f, X)


@settings(max_examples=200, deadline=None)
@given(
    st.permutations(range(3)),
    st.tuples(
        *[st.sampled_from([slice(None), slice(1, None), slice(None, None, 2), slice(0, 1)])] * 3
    ),
    st.sampled_from([(-1,), (4, -1), (-1, 1, 2), (2, -1), (1, -1), (3, -1), (-1, 4)]),
)
def test_reshape_is_a_view_where_numpys_is(order, cut, shape):
    def f(x):
        y = x.transpose(order)[cut].reshape(shape)
        y += 100
        return x

    try:
        X.transpose(order)[cut].reshape(shape)
    except ValueError:
        with pytest.raises(ShapeError):
            traced_result(f, X)
        return
    assert_agrees(f, X)


def test_copies_are_not_views():
    def f(x):
        for y in (x.copy(), +x, x.flatten(), np.array(x) if not hasattr(x, "node") else x.copy(),
                  x.astype(np.float64), x[[0, 1]], np.tile(x, 1)):  # fmt: skip
            y[...] = 0
        return x

    assert_agrees(f, X)


@pytest.mark.quick(every=4)
@pytest.mark.parametrize("index", READS, ids=str)
@pytest.mark.parametrize("ufunc", [np.add, np.subtract])
def test_at_adds_up(ufunc, index):
    def number(x):
        ufunc.at(x, index, 7)
        return x

    def values(x):
        ufunc.at(x, index, -2.0 * x[index])
        return x

    for change in (number, values):
        assert_agrees_or_refuse(change, X)


@pytest.mark.parametrize("index", [lambda i: i, lambda i: (0, i), lambda i: (..., i, i + 1)])
def test_at_traced_indices(index):
    def change(x, i):
        np.add.at(x, index(i), x[index(i)] * 3)
        return x

    assert_agrees(change, X[:, :2], np.array([0, 1, 1, -1]))


def test_at_does_not_round_to_integers():
    def change(x):
        np.add.at(x, [0, 0], 1.5)
        return x

    with pytest.raises(DTypeError, match="cannot hold the result of f64 in place"):
        traced_result(change, np.arange(3))
    for dtype in ("uint8", "int32", "float32"):
        assert_agrees(lambda x: np.add.at(x, [0, 0], 3) or x, np.arange(3, dtype=dtype))


def test_numbers_are_values_not_views():
    def f(x):
        total = x[0]
        total += 5  # a number: x does not change
        y = x[1, ...]
        y += 1  # an array of no axes: x does
        z = x.sum()
        z += 1
        return x, total, z

    assert_agrees(f, V)


def test_python_numbers_are_rebound_in_place():
    def f(a):
        total = a
        for _ in range(3):
            total += a
        return total, a

    assert_agrees(f, 2.0)
    assert_agrees(f, 3)


def test_in_place_operators_agree():
    def f(x):
        x += 1
        x -= 0.5
        x *= x
        x /= 3
        x **= 2
        x //= 0.1
        x %= 7
        return x

    def bits(x):
        x |= 1
        x &= 6
        x ^= 3
        x <<= 1
        x >>= 1
        return x

    assert_agrees(f, V)
    assert_agrees(f, V.astype(np.float32))
    assert_agrees(bits, np.arange(5))


def test_rows_are_views_when_iterated():
    def f(x):
        for i, row in enumerate(x):
            row *= i
        first, second = x
        first[0] = 5
        return x, second

    assert_agrees(f, X)


def test_assignment_converts_and_broadcasts_as_numpy():
    def f(x):
        x[0] = 2.9
        x[1:3] = np.array([[1.5], [2.5]])
        x[3:, 1:] = [[1, 2]]
        x[...] = x + 0.5
        return x

    assert_agrees(f, np.zeros((4, 3), np.int32))
    assert_agrees(f, np.zeros((4, 3), np.float32))


def test_assignments_that_do_not_fit_are_reported():
    def wide(x):
        x[1:] = np.ones(3)

    def in_place(x):
        x += np.ones((2, 7))

    with pytest.raises(
        ShapeError, match=r"cannot assign an array of shape \(3,\) to a place of shape"
    ):
        traced_result(wide, V)
    with pytest.raises(ShapeError, match="cannot hold the result of shape"):
        traced_result(in_place, V)


def test_copies_of_handles_are_handles_on_the_same_node():
    def f(x):
        y, z = copy.copy(x), copy.deepcopy([x])[0]
        x += 1
        return x, y + 0 * z, x.real + x.imag

    assert_agrees(f, V)


def test_aliases_see_each_other():
    def f(x):
        y = x
        y += 1
        z = x[:]
        z *= 2
        return x, y, z

    assert_agrees(f, V)


@pytest.mark.parametrize("shape", [(1, 3), (2, 3), (3, 1), (1, 1)])
def test_an_integer_beside_an_array_where_an_extent_is_one(shape):
    x = np.arange(float(np.prod(shape))).reshape(shape)
    i = np.array([0, shape[1] - 1, 0])
    np.testing.assert_array_equal(sf.compile(lambda x: x[0, i])(x), x[0, i])
    j = np.array([shape[0] - 1, 0])
    np.testing.assert_array_equal(sf.compile(lambda x: x[j, 0])(x), x[j, 0])
