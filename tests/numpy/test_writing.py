"""Results written into arrays: ``out=``, ``where=``, copyto, put, fill_diagonal and their kin."""

import numpy as np
import pytest

import symflux as sf
from symflux.errors import DTypeError, SymFluxError

U, V = np.array([3.0, 1.0, 2.0, 5.0, 4.0]), np.array([1.0, 2.0, 3.0, 4.0, 5.0])
W = np.arange(15.0).reshape(3, 5)
MASK = np.array([True, False, True, True, False])


def agree(fn, *arrays):
    """A function leaves the same in its arguments, and returns the same, compiled as by NumPy; an
    error where NumPy raises one."""
    plain, ours = [a.copy() for a in arrays], [a.copy() for a in arrays]
    try:
        wanted = fn(*plain)
    except (TypeError, ValueError, IndexError):
        with pytest.raises((SymFluxError, ValueError, IndexError, TypeError)):
            sf.compile(fn)(*ours)
        return
    found = sf.compile(fn)(*ours)
    assert (wanted is None) == (found is None)
    pairs = [*zip(plain, ours, strict=True), *([] if wanted is None else [(wanted, found)])]
    for a, b in pairs:
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(b, a, rtol=1e-15)


OUT = {
    "whole": lambda u, v: np.add(u, v, out=u),
    "tuple": lambda u, v: np.multiply(u, v, out=(u,)),
    "third": lambda u, v: np.subtract(u, v, v),
    "view": lambda u, v: np.multiply(u[1:], v[:-1], out=u[1:]),
    "overlap": lambda u, v: np.add(u[1:], u[:-1], out=u[1:]),
    "reversed": lambda u, v: np.exp2(u, out=u[::-1]),
    "unary": lambda u, v: np.sqrt(v, out=u),
    "number": lambda u, v: np.add(u, v[0], out=u),
    "grown": lambda u, v: np.add(u[0], 1.0, out=v),
    "masked": lambda u, v: np.add(u, v, out=u, where=v > 2),
    "mask of plain bools": lambda u, v: np.divide(u, v, out=u, where=MASK),
    "mask of numbers": lambda u, v: np.add(u, v, out=u, where=[1, 0, 1, 0, 1]),
    "too short": lambda u, v: np.add(u, v, out=u[:3]),
    "comparison": lambda u, v: np.greater(u, v, out=u),
    "clip": lambda u, v: np.clip(u, 2, 4, out=u), "clip method": lambda u, v: u.clip(2, 4, out=v),
    "round": lambda u, v: np.round(u / 3, 1, out=u), "fix": lambda u, v: np.fix(u / 2, out=u),
    "modf": lambda u, v: np.modf(u / 2, out=(u, v)),
    "modf third": lambda u, v: np.modf(u / 2, v)[0],
    "divmod": lambda u, v: np.divmod(u, v, out=(None, v))[0],
    "sum": lambda u, v: np.sum(u.reshape(1, 5), axis=0, out=v),
    "sum method": lambda u, v: u.reshape(1, 5).sum(0, None, v),
    "sum too long": lambda u, v: np.sum(u.reshape(1, 5), axis=1, out=v),
    "mean": lambda u, v: np.mean(u.reshape(1, 5), axis=0, out=v),
    "max": lambda u, v: np.max(u.reshape(5, 1), axis=1, out=v),
    "any": lambda u, v: np.any(u.reshape(5, 1) > 2, axis=1, out=v),
    "std": lambda u, v: np.std(u.reshape(5, 1), axis=1, out=v),
    "cumsum": lambda u, v: np.cumsum(u, out=u), "cumprod": lambda u, v: u.cumprod(out=v),
    "reduce": lambda u, v: np.add.reduce(u.reshape(1, 5), axis=0, out=v),
    "accumulate": lambda u, v: np.add.accumulate(u, out=v),
    "dot": lambda u, v: np.dot(np.eye(5), u, out=v),
    "matmul": lambda u, v: np.matmul(u, np.eye(5), v),
    "einsum": lambda u, v: np.einsum("i,i->i", u, v, out=u),
    "take": lambda u, v: np.take(u, [4, 3, 2, 1, 0], out=v),
    "concatenate": lambda u, v: np.concatenate([u[:2], u[:3]], out=v),
    "stack": lambda u, v: np.stack([u[i] for i in range(5)], out=v),
}  # fmt: skip


@pytest.mark.parametrize("name", OUT)
def test_out_takes_arguments_and_views_of_them(name):
    agree(OUT[name], U, V)
    agree(lambda u, v: (OUT[name](u, v), None)[1], U, V)  # where it is the only effect


@pytest.mark.parametrize(
    ("first", "second", "casting"),
    [("f4", "f8", None), ("i8", "f8", None), ("i8", "f8", "unsafe"), ("i4", "i8", None),
     ("u1", "i8", None), ("f8", "i4", "safe"), ("f4", "f8", "safe"), ("f4", "f4", "no"),
     ("?", "i8", None), ("f2", "f8", None)],
)  # fmt: skip
def test_conversions_to_the_dtype_of_out_are_those_that_numpy_permits(first, second, casting):
    extra = {} if casting is None else {"casting": casting}
    u, v = U.astype(first), V.astype(second)
    agree(lambda u, v: np.add(v, v, out=u, **extra), u, v)
    agree(lambda u, v: np.copyto(u, v, **extra), u, v)
    agree(lambda u, v: np.copyto(u, 3, **extra), u, v)
    agree(lambda u, v: np.copyto(u, 2.5, **extra), u, v)
    if first != "?":
        agree(lambda u, v: np.sum(v.reshape(1, 5), axis=0, out=u), u, v)
        agree(lambda u, v: np.cumsum(v, out=u), u, v)


WRITING = {
    "copyto": lambda u, v: np.copyto(u, v), "of a view": lambda u, v: np.copyto(u[1:], u[:-1]),
    "where": lambda u, v: np.copyto(u, v, where=v > 2), "number": lambda u, v: np.copyto(u, 7),
    "one more axis": lambda u, v: np.copyto(u, v.reshape(1, 5)),
    "too many": lambda u, v: np.copyto(u[:3], v),
    "put": lambda u, v: np.put(u, [0, -1], v[:2]), "put method": lambda u, v: u.put([1, 1], v[:2]),
    "put few": lambda u, v: np.put(u, [0, 2, 3], v[:2]), "put many": lambda u, v: np.put(u, [3], v),
    "put wrap": lambda u, v: np.put(u, [0, 7], v, mode="wrap"),
    "put clip": lambda u, v: np.put(u, [-3, 7], v, mode="clip"),
    "put outside": lambda u, v: np.put(u, [7], v), "put none": lambda u, v: np.put(u, [], v),
    "putmask": lambda u, v: np.putmask(u, u > 2, v),
    "cycled": lambda u, v: np.putmask(u, MASK, v[:2]),
    "putmask number": lambda u, v: np.putmask(u, u > 2, 0.5),
    "place": lambda u, v: np.place(u, u > 2, v[:2]),
    "place one": lambda u, v: np.place(u, MASK, [7]),
    "place all": lambda u, v: np.place(u, u > 0, v),
    "along": lambda u, v: np.put_along_axis(u, np.array([4, 0]), v[:2], 0),
    "flat": lambda u, v: setattr(u, "flat", v[:2]), "flat one": lambda u, v: setattr(u, "flat", 2),
    "fill": lambda u, v: u[::2].fill(v[1]),
    "transposed": lambda u, v: np.einsum("ij->ji", u.reshape(1, 5)).__setitem__((4, 0), v[0]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITING)
def test_functions_that_write_to_arrays(name):
    agree(WRITING[name], U, V)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (7, 3), (3, 3, 3), (2, 3, 4), (5,)])
def test_fill_diagonal(shape):
    for value in (3.0, V[:2], V):
        for wrap in (False, True):
            agree(
                lambda u, v, w=wrap: np.fill_diagonal(u, v, wrap=w),
                np.zeros(shape),
                np.array(value),
            )


def test_writing_to_matrices():
    agree(lambda w, v: np.add(w, v, out=w), W, V)
    agree(lambda w, v: np.add(v, 1.0, out=w, where=MASK), W, V)
    agree(lambda w, v: np.copyto(w.T, v[:3]), W, V)
    agree(lambda w, v: np.put(w.T, [0, 4, 7], v), W, V)
    agree(lambda w, v: np.put_along_axis(w, np.array([[4], [0], [2]]), v[:3, None], 1), W, V)
    agree(lambda w, v: np.putmask(w.T, w.T > 4, v[:2]), W, V)
    agree(lambda w, v: np.einsum("ii->i", w[:, :3]).__setitem__(slice(None), v[:3]), W, V)
    agree(lambda w, v: np.max(w, axis=0, out=v), W, V)


def test_arrays_that_are_made_inside_of_the_surroundings_and_params_take_results():
    held, p = np.zeros(5), sf.param(np.zeros(5))

    @sf.compile
    def f(u, v):
        made = sf.numpy.zeros(5)
        np.multiply(u, v, out=made)
        np.add(held, u, out=held)
        np.copyto(held[:1], v[:1])
        np.subtract(p, v, out=p)
        return made

    for k in (1, 2):
        np.testing.assert_array_equal(f(U, V), U * V)
        np.testing.assert_array_equal(held[1:], k * U[1:])
        np.testing.assert_array_equal(p.value, -k * V)
    assert held[0] == 1.0


def test_derivatives_through_out():
    def f(x):
        y = sf.numpy.zeros(5)
        np.multiply(x, x, out=y, where=MASK)
        np.put(y, [1], x[0] ** 3)
        return np.sum(y)

    right = np.where(MASK, 2 * U, 0.0)
    right[0] += 3 * U[0] ** 2
    np.testing.assert_allclose(sf.grad(f)(U), right)


def test_out_that_is_plain_or_a_number_is_refused():
    with pytest.raises(SymFluxError, match=r"symflux.numpy.zeros"):
        sf.compile(lambda x: np.add(x, 1.0, out=np.zeros(5)))(U)
    with pytest.raises(SymFluxError, match="must be an array"):
        sf.compile(lambda x, y: np.add(x, x, out=y))(2.0, 3.0)
    with pytest.raises(DTypeError, match="which converts"):
        sf.compile(lambda u, v: np.add(u, v, out=u))(U.astype(int), V)
