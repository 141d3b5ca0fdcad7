"""Functions that move and make elements, and products: as NumPy's own."""

import numpy as np
import pytest

import symflux as sf
import symflux.numpy as snp
from symflux.errors import ShapeError, UnsupportedOperation
from symflux.testing import check_gradients
from tests.numpy.test_elementwise import DTYPES, sample
from tests.trace.agreement import assert_agrees, traced_result

X = sample("", "float64", (2, 3, 4))
M = sample("", "float64", (3, 4), 1)
S = sample("", "float64", (4, 4), 2)
V = sample("", "float64", (4,), 3)
ONES = np.ones((1, 3, 1))

MOVES = {
    "reshape": (lambda x: np.reshape(x, (4, -1)), X),
    "reshape method": (lambda x: x.reshape(-1, 2), X),
    "ravel": (lambda x: np.ravel(x), X),
    "flatten": (lambda x: x.flatten(), X),
    "transpose": (lambda x: np.transpose(x), X),
    "transpose axes": (lambda x: x.transpose(1, 0, 2), X),
    "transpose tuple": (lambda x: np.transpose(x, (2, 0, -2)), X),
    "T": (lambda x: x.T, X),
    "mT": (lambda x: x.mT, X),
    "swapaxes": (lambda x: np.swapaxes(x, 0, -1), X),
    "moveaxis": (lambda x: np.moveaxis(x, 0, -1), X),
    "moveaxis several": (lambda x: np.moveaxis(x, (0, 1), (-1, 0)), X),
    "rollaxis": (lambda x: np.rollaxis(x, 2), X),
    "rollaxis start": (lambda x: np.rollaxis(x, 0, 2), X),
    "expand_dims": (lambda x: np.expand_dims(x, (0, -1)), X),
    "squeeze": (lambda x: np.squeeze(x), ONES),
    "squeeze axis": (lambda x: x.squeeze(0), ONES),
    "broadcast_to": (lambda x: np.broadcast_to(x, (5, 3, 2)), ONES),
    "broadcast_arrays": (lambda x, y: np.broadcast_arrays(x, y), ONES, V),
    "atleast_1d": (lambda x: np.atleast_1d(x[0]), V),
    "atleast_2d": (lambda x: np.atleast_2d(x), V),
    "atleast_3d": (lambda x: np.atleast_3d(x), V),
    "atleast_3d matrix": (lambda x: np.atleast_3d(x), M),
    "concatenate": (lambda x, y: np.concatenate([x, y, x]), M, S),
    "concatenate axis": (lambda x: np.concatenate([x, x], axis=-1), M),
    "concatenate None": (lambda x, y: np.concatenate((x, y), axis=None), M, V),
    "concatenate dtypes": (lambda x: np.concatenate([x, np.arange(4, dtype=np.int8)]), V),
    "stack": (lambda x: np.stack([x, x + 1]), M),
    "stack axis": (lambda x: np.stack([x, x + 1, x], axis=-1), M),
    "vstack": (lambda x, y: np.vstack([x, y]), M, V),
    "hstack": (lambda x: np.hstack([x, x]), M),
    "hstack vectors": (lambda x: np.hstack([x, x]), V),
    "dstack": (lambda x: np.dstack([x, x]), M),
    "column_stack": (lambda x, y: np.column_stack([x, y]), V, S),
    "append": (lambda x: np.append(x, [1.0, 2.0]), V),
    "split": (lambda x: np.split(x, 2), S),
    "split places": (lambda x: np.split(x, [1, 3], axis=1), S),
    "array_split": (lambda x: np.array_split(x, 3), V),
    "vsplit": (lambda x: np.vsplit(x, 2), S),
    "hsplit": (lambda x: np.hsplit(x, 2), S),
    "flip": (lambda x: np.flip(x), X),
    "flip axis": (lambda x: np.flip(x, (0, 2)), X),
    "flipud": (lambda x: np.flipud(x), M),
    "fliplr": (lambda x: np.fliplr(x), M),
    "rot90": (lambda x: [np.rot90(x, k) for k in range(5)], M),
    "roll": (lambda x: np.roll(x, 3), M),
    "roll axis": (lambda x: np.roll(x, (1, -2), (0, 1)), M),
    "repeat": (lambda x: np.repeat(x, 2), M),
    "repeat axis": (lambda x: x.repeat(3, axis=1), M),
    "repeat counts": (lambda x: np.repeat(x, [1, 0, 2], axis=0), M),
    "tile": (lambda x: np.tile(x, 3), V),
    "tile rank": (lambda x: np.tile(x, (2, 1, 3)), M),
    "pad": (lambda x: np.pad(x, 1), M),
    "pad widths": (lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=3.0), M),
    "pad ends": (lambda x: np.pad(x, (1, 2), constant_values=(5.0, 6.0)), V),
    "pad edge": (lambda x: np.pad(x, 2, mode="edge"), M),
    "pad reflect": (lambda x: np.pad(x, 1, mode="reflect"), M),
    "pad symmetric": (lambda x: np.pad(x, 2, mode="symmetric"), M),
    "pad wrap": (lambda x: np.pad(x, 1, mode="wrap"), M),
    "tril": (lambda x: np.tril(x), M),
    "triu": (lambda x: np.triu(x, 1), X),
    "triu vector": (lambda x: np.triu(x), V),
    "diagonal": (lambda x: np.diagonal(x, 1), M),
    "diagonal axes": (lambda x: x.diagonal(-1, 0, 2), X),
    "diag": (lambda x: np.diag(x), V),
    "diag above": (lambda x: np.diag(x, 2), V),
    "diag below": (lambda x: np.diag(x, -1), V),
    "diag of matrix": (lambda x: np.diag(x), M),
    "trace": (lambda x: np.trace(x), M),
    "meshgrid": (lambda x, y: np.meshgrid(x, y[0]), V, M),
    "meshgrid ij": (lambda x, y: np.meshgrid(x, y[0], indexing="ij", sparse=True), V, M),
    "take": (lambda x: np.take(x, [2, 0, -1], axis=1), M),
    "take flat": (lambda x: x.take([5, 0]), M),
    "take_along_axis": (lambda x: np.take_along_axis(x, np.argmax(x, 1, keepdims=True), 1), M),
    "copy": (lambda x: np.copy(x), M),
    "zeros_like": (lambda x: [np.zeros_like(x), np.ones_like(x, dtype=np.int8)], M),
    "full_like": (lambda x: np.full_like(x, 2.5), M),
    "full_like value": (lambda x: np.full_like(x, x[0]), V[:1]),
    "full_like ints": (lambda x: np.full_like(x, 2.9), np.arange(3)),
    "size": (lambda x: x * np.size(x) + np.ndim(x) + np.shape(x)[0], M),
    "linspace": (lambda x: np.linspace(0.0, x, 5), 2.0),
    "linspace arrays": (lambda x: np.linspace(x, 3.0, 4, endpoint=False, axis=1), V),
    "real": (lambda x: np.real(x) + x.real if hasattr(x, "real") else x, M),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_moving_elements_agrees(name):
    if name == "real":
        assert_agrees(lambda x: np.real(x), M)
        return
    assert_agrees(*MOVES[name])


@pytest.mark.parametrize("dtype", DTYPES)
def test_moving_elements_agrees_for_every_dtype(dtype):
    x = sample("", dtype, (3, 4))
    assert_agrees(
        lambda x: [x.T, x[::-1], np.concatenate([x, x]), np.stack([x, x]), np.pad(x, 1)], x
    )
    assert_agrees(lambda x: [np.tile(x, 2), np.roll(x, 1), np.diag(x), np.triu(x)], x)


A34, B45, A234, B245 = (
    sample("", "float64", s, i) for i, s in enumerate([(3, 4), (4, 5), (2, 3, 4), (2, 4, 5)])
)
PRODUCTS = {
    "matmul": (lambda a, b: a @ b, A34, B45),
    "matmul vector": (lambda a, b: a @ b, A34, V),
    "vector matmul": (lambda a, b: a @ b, V, B45),
    "vector vector": (lambda a, b: a @ b, V, V),
    "batched": (lambda a, b: a @ b, A234, B245),
    "batched broadcast": (lambda a, b: np.matmul(a, b), A234, B45),
    "batched vector": (lambda a, b: a @ b, A234, V),
    "transposed": (lambda a, b: b.T @ a.T, A34, B45),
    "dot": (lambda a, b: np.dot(a, b), A34, B45),
    "dot method": (lambda a, b: a.dot(b), A234, B245),
    "dot scalar": (lambda a, b: np.dot(a, b), A34, 2.0),
    "inner": (lambda a, b: np.inner(a, b), A34, A234),
    "outer": (lambda a, b: np.outer(a, b), V, A34),
    "vdot": (lambda a, b: np.vdot(a, b), A34, A34),
    "vecdot": (lambda a, b: np.vecdot(a, b), A34, V),
    "kron": (lambda a, b: np.kron(a, b), A34, V),
    "tensordot": (lambda a, b: np.tensordot(a, b, axes=1), A234, B45),
    "tensordot axes": (lambda a, b: np.tensordot(a, b, axes=([0, 2], [0, 1])), A234, B245),
    "einsum": (lambda a, b: np.einsum("ij,jk->ki", a, b), A34, B45),
    "einsum implicit": (lambda a, b: np.einsum("ij,jk", a, b), A34, B45),
    "einsum trace": (lambda a, b: np.einsum("ii", a[:, :3]) + b[0, 0], A34, B45),
    "einsum dots": (lambda a, b: np.einsum("...ij,...jk->...ik", a, b), A234, B245),
    "einsum three": (lambda a, b: np.einsum("ij,jk,kl->il", a, b, b.T), A34, B45),
    "multi_dot": (lambda a, b: np.linalg.multi_dot([a, b, b.T]), A34, B45),
    "cross": (lambda a, b: np.cross(a.T, b[:3, 0]), A34, B45),
    "imatmul": (lambda a, b: _in_place_product(a), S, B45),
}  # fmt: skip


def _in_place_product(a):
    a @= a
    return a


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_agree(name):
    assert_agrees(*PRODUCTS[name])


@pytest.mark.parametrize("first", DTYPES)
def test_products_promote_as_numpy(first):
    for second in DTYPES:
        a, b = sample("", first, (2, 3)), sample("", second, (3, 2), 1)
        assert_agrees(lambda a, b: a @ b, a, b, tolerance=5e-3)
        assert_agrees(lambda a, b: np.dot(a, b), a, b, tolerance=5e-3)


def test_matvec_agrees():
    if not hasattr(np, "matvec"):
        pytest.skip("new in NumPy 2.2")
    assert_agrees(np.matvec, A234, V)
    assert_agrees(np.vecmat, V, B245)


MADE = {
    "zeros": lambda x: snp.zeros((2, 3)) + x,
    "ones": lambda x: snp.ones(3, np.int32),
    "full": lambda x: snp.full((2, 2), 7),
    "full traced": lambda x: snp.full((2, 2), x),
    "eye": lambda x: snp.eye(3, 4, 1) * x,
    "identity": lambda x: snp.identity(2),
    "arange": lambda x: snp.arange(5),
    "arange long": lambda x: snp.arange(3, 100, 4),
    "arange float": lambda x: snp.arange(0.0, 2.0, 0.25),
    "arange down": lambda x: snp.arange(5, 0, -1),
    "linspace": lambda x: snp.linspace(0, 1, 7),
    "array": lambda x: snp.array([[1.0, 2.0], [3.0, 4.0]]),
    "array traced": lambda x: snp.array([[x, 2.0], [1, x * x]]),
    "array dtype": lambda x: snp.array([1, 2], dtype=np.float32),
    "asarray": lambda x: snp.asarray([x, x]),
    "stack numbers": lambda x: np.stack([x, 2.0 * x]),
}


@pytest.mark.parametrize("name", MADE)
def test_making_arrays_agrees(name):
    assert_agrees(
        lambda x: np.asarray(MADE[name](x)) if not hasattr(x, "node") else MADE[name](x), 2.5
    )


def test_made_arrays_can_be_filled():
    def fill(x):
        out = snp.zeros(3)
        for i in range(3):
            out[i] = x * i
        return out

    assert_agrees(fill, 2.5)


def test_plain_arrays_outside_of_a_trace_just_compute():
    x = np.array([1.0, 4.0])
    for got, wanted in (
        (snp.sqrt(x), np.sqrt(x)), (snp.sum(x), np.sum(x)), (snp.zeros(2), np.zeros(2)),
        (snp.concatenate([x, x]), np.concatenate([x, x])), (snp.linalg.norm(x), np.linalg.norm(x)),
        (snp.unique(x), np.unique(x)), (snp.einsum("i,i", x, x), np.einsum("i,i", x, x)),
    ):  # fmt: skip
        assert type(got) is type(wanted)
        np.testing.assert_array_equal(got, wanted)


def test_shapes_that_do_not_fit_are_reported():
    for function, message in (
        (lambda x: x.reshape(5, 5), r"cannot reshape f64\[3,4\]"),
        (lambda x: x.reshape(-1, -1), "cannot reshape"),
        (lambda x: x @ x, "matmul"),
        (lambda x: x + x[:2], r"shapes \(3, 4\) and \(2, 4\) do not broadcast"),
        (lambda x: np.concatenate([x, x.T]), "concatenate: shapes differ"),
        (lambda x: np.stack([x, x[0]]), "stack: shapes differ"),
        (lambda x: np.split(x, 2), "does not split into 2 equal"),
        (lambda x: np.squeeze(x, 0), "another extent than 1"),
        (lambda x: np.moveaxis(x, 0, 5), "axis 5 is out of bounds"),
        (lambda x: np.transpose(x, (0, 0)), "do not permute"),
        (lambda x: np.broadcast_to(x, (2, 3)), "broadcast"),
        (lambda x: np.pad(x, -1), "must not be negative"),
        (lambda x: np.einsum("ij,jk", x, x), "einsum"),
    ):
        with pytest.raises(ShapeError, match=message) as caught:
            traced_result(function, M)
        assert "test_shape.py" in str(caught.value)
    with pytest.raises(UnsupportedOperation, match="'empty' cannot be recorded"):
        traced_result(lambda x: np.pad(x, 1, mode="empty"), M)


@pytest.mark.quick(every=2)
@pytest.mark.parametrize(
    ("window", "axis"),
    [((2, 3), None), ((4,), -1)]
    + [
        pytest.param(*c, marks=pytest.mark.slow)
        for c in ((3, 1), ((2, 2), (0, 0)), ((5, 6), (0, 1)))
    ],
)
def test_sliding_windows(window, axis):
    view = np.lib.stride_tricks.sliding_window_view
    x = np.random.default_rng(0).normal(size=(5, 6))

    def f(x):
        return np.sum(np.exp(view(x, window, axis)), axis=-1)

    np.testing.assert_allclose(sf.compile(f)(x), f(x), rtol=1e-13)
    check_gradients(f, (x,), order=2)


def test_sliding_windows_that_do_not_fit():
    view = np.lib.stride_tricks.sliding_window_view
    with pytest.raises(ShapeError, match="as many sizes as axes"):
        sf.compile(lambda x: view(x, (2, 2), axis=0))(np.zeros((3, 3)))
    with pytest.raises(ShapeError, match="a window over 4 elements is longer than axis 0"):
        sf.compile(lambda x: view(x, 4))(np.zeros(3))
