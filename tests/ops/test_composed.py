"""Functions composed of ops: each against the NumPy function of the same name, by the oracles."""

import numpy as np
import pytest

from symflux import ops
from symflux.ir import Graph, symbol
from symflux.transform.evaluate import evaluate
from symflux.transform.vjp import pullback

RANDOM = np.random.default_rng(20)
X = RANDOM.standard_normal((3, 4, 5))
M = RANDOM.standard_normal((3, 4))


def normal(*shape):
    return RANDOM.standard_normal(shape)


def run(function, *arrays):
    nodes = [symbol(f"x{i}", a.shape, a.dtype) for i, a in enumerate(arrays)]
    return evaluate(Graph("f", tuple(nodes), (function(*nodes),)), arrays)[0]


def gradient(function, array):
    x = symbol("x", array.shape, array.dtype)
    out = function(x)
    (pulled,) = pullback([out], [ops.full(out.shape, 1.0, out.dtype)], [x])
    return evaluate(Graph("g", (x,), (pulled,)), [array])[0]


def agree(function, meaning, *arrays):
    got = run(function, *arrays)
    with np.errstate(all="ignore"):
        wanted = np.asarray(meaning(*arrays))
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk", [(2, 3), (3, 4)]),
        ("ij,jk->ki", [(2, 3), (3, 4)]),
        ("ii->i", [(3, 3)]),
        ("ii", [(3, 3)]),
        ("iji->j", [(3, 2, 3)]),
        ("iii->i", [(3, 3, 3)]),
        ("ba", [(2, 3)]),
        ("ij->", [(2, 3)]),
        ("ijk->ik", [(2, 3, 4)]),
        ("...->...", [(2, 3)]),
        ("i...->...", [(2, 3, 4)]),
        ("...i->i...", [(2, 3, 4)]),
        ("i,i", [(4,), (4,)]),
        ("i,j", [(4,), (3,)]),
        (",i->i", [(), (3,)]),
        ("ij,ij->ij", [(1, 3), (2, 3)]),
        ("ij,kj->ik", [(2, 1), (4, 3)]),
        ("ij,kl->ik", [(2, 3), (4, 5)]),
        ("bij,bj->bi", [(2, 3, 4), (2, 4)]),
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
        ("bqhd,bkhd->bhqk", [(2, 4, 3, 5), (2, 6, 3, 5)]),
        ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]),
        ("...ij,...jk->...ik", [(5, 1, 2, 3), (7, 3, 4)]),
        ("ba,b->a", [(0, 3), (0,)]),
        ("i,ij,j", [(2,), (2, 3), (3,)]),
        ("ijk,ikl,l->ij", [(2, 3, 4), (2, 4, 5), (5,)]),
        ("iij,jkk->ik", [(2, 2, 3), (3, 4, 4)]),
        ("ab,bc,cd,de,ef,fg->ag", [(2, 3), (3, 4), (4, 2), (2, 5), (5, 3), (3, 2)]),
    ],
)
def test_einsum(subscripts, shapes):
    arrays = [normal(*shape) for shape in shapes]
    agree(lambda *n: ops.einsum(subscripts, *n), lambda *a: np.einsum(subscripts, *a), *arrays)


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk", [(2, 3), (4, 5)]),
        ("ij->ijk", [(2, 3)]),
        ("ij->ii", [(2, 3)]),
        ("ij", [(2, 3, 4)]),
        ("ij,jk", [(2, 3)]),
        ("i1", [(2, 3)]),
        ("ii", [(2, 3)]),
        ("...i", [()]),
    ],
)
def test_einsum_refuses_what_does_not_fit(subscripts, shapes):
    with pytest.raises(ValueError, match="einsum"):
        ops.einsum(subscripts, *[symbol("x", shape) for shape in shapes])


def test_einsum_multiplies_in_the_cheapest_order():
    a, b, c = symbol("a", (2, 100)), symbol("b", (100, 100)), symbol("c", (100, 100))
    out = ops.einsum("ij,jk,kl->il", a, b, c)
    # (a b) c takes 2·2·100·100 products, a (b c) a hundred times as many
    assert out.inputs[1] is c or out.inputs[0] is c


def test_equal_products_have_equal_specs():
    a, b = symbol("a", (2, 3)), symbol("b", (3, 4))
    assert ops.matmul(a, b) is ops.einsum("xy,yz->xz", a, b)
    assert ops.matmul(a, b)["spec"] == "ik,kj->ij"
    assert ops.einsum("nqd,nkd->nqk", symbol("q", (2, 3, 4)), symbol("k", (2, 5, 4)))["spec"] == (
        "bik,bjk->bij"
    )


MATRIX_SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((3,), (5, 3, 4)),
    ((5, 2, 3), (3,)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((1, 1), (1, 1)),
]


@pytest.mark.parametrize(
    ("a", "b"), [*MATRIX_SHAPES, ((5, 1, 2, 3), (7, 3, 4)), ((1, 2, 3), (5, 3, 4))]
)
def test_matmul(a, b):
    agree(ops.matmul, np.matmul, normal(*a), normal(*b))


@pytest.mark.parametrize(("a", "b"), [*MATRIX_SHAPES, ((), (3,)), ((2, 3), ())])
def test_dot(a, b):
    agree(ops.dot, np.dot, normal(*a), normal(*b))


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ((2, 3), (4, 5), "3 is not 4"),
        ((), (3,), "scalar"),
        ((2, 4, 3), (5, 3, 4), "do not broadcast"),
    ],
)
def test_matmul_says_what_does_not_fit(a, b, words):
    with pytest.raises(ValueError, match=words):
        ops.matmul(symbol("a", a), symbol("b", b))


def test_products_of_bools_are_whether_any_pair_is_true():
    agree(ops.matmul, np.matmul, normal(2, 3) > 0, normal(3, 4) > 0)


def test_products_of_integers_stay_integers():
    agree(ops.matmul, np.matmul, np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4))


@pytest.mark.parametrize(
    ("name", "a", "b"),
    [
        ("kron", (2, 3), (4, 1, 2)),
        ("outer", (2, 3), (4,)),
        ("inner", (2, 3), (4, 3)),
        ("inner", (), (4, 3)),
        ("vdot", (2, 3), (3, 2)),
    ],
)
def test_products_of_two(name, a, b):
    agree(getattr(ops, name), getattr(np, name), normal(*a), normal(*b))


@pytest.mark.parametrize("axes", [1, ([1], [0]), ([0, 2], [1, 0]), (-1, 0), 0])
def test_tensordot(axes):
    shapes = {1: ((2, 3, 4), (4, 5)), 0: ((2, 3), (4,))}.get(axes if axes in (0, 1) else -1)
    if shapes is None:
        shapes = {
            "([1], [0])": ((2, 3), (3, 4)),
            "([0, 2], [1, 0])": ((2, 3, 4), (4, 2, 5)),
            "(-1, 0)": ((2, 3), (3, 4)),
        }[str(axes)]
    a, b = (normal(*shape) for shape in shapes)
    agree(lambda x, y: ops.tensordot(x, y, axes), lambda x, y: np.tensordot(x, y, axes), a, b)


@pytest.mark.parametrize("k", [-4, -3, -1, 0, 1, 3, 5])
def test_diagonals_and_triangles(k):
    agree(lambda x: ops.diagonal(x, k, 0, 2), lambda x: np.diagonal(x, k, 0, 2), X)
    agree(lambda x: ops.trace(x, k), lambda x: np.trace(x, k), X)
    agree(lambda x: ops.tril(x, k), lambda x: np.tril(x, k), X)
    agree(lambda x: ops.triu(x, k), lambda x: np.triu(x, k), X)
    agree(lambda: ops.tri(3, 4, k), lambda: np.tri(3, 4, k))
    agree(lambda: ops.eye(3, 4, k, "i32"), lambda: np.eye(3, 4, k, "int32"))


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric", "wrap"])
def test_pad_modes(mode):
    width = ((1, 2), (0, 3), (2, 2))
    array = normal(3, 4, 4)
    agree(lambda x: ops.pad_with(x, width, mode), lambda x: np.pad(x, width, mode), array)


@pytest.mark.parametrize("values", [0, 2.5, ((1, 2), (3, 4)), ((0, 1),)])
def test_pad_with_constants(values):
    width = ((1, 2), (0, 3))
    agree(
        lambda x: ops.pad_with(x, width, "constant", values),
        lambda x: np.pad(x, width, "constant", constant_values=values),
        M,
    )


def test_pad_refuses_what_it_cannot_do():
    x = symbol("x", (3,))
    with pytest.raises(ValueError, match="reflect"):
        ops.pad_with(x, 3, "reflect")
    with pytest.raises(ValueError, match="linear_ramp"):
        ops.pad_with(x, 1, "linear_ramp")


AXES = [None, 0, -1, (0, 2), (2, 0)]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["mean", "var", "std", "ptp", "count_nonzero"])
def test_statistics(name, axis, keepdims):
    array = np.where(X > 1, 0, X)
    agree(
        lambda x: getattr(ops, name)(x, axis, keepdims=keepdims),
        lambda x: getattr(np, name)(x, axis, keepdims=keepdims),
        array,
    )


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "bool"])
@pytest.mark.parametrize("name", ["mean", "var", "std"])
def test_statistics_have_the_dtype_of_numpy(name, dtype):
    array = np.arange(7).astype(dtype)
    got, wanted = run(lambda x: getattr(ops, name)(x), array), getattr(np, name)(array)
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=1e-3 if dtype == "float16" else 1e-6)


def test_variance_with_fewer_degrees_of_freedom():
    agree(lambda x: ops.var(x, 1, ddof=1), lambda x: np.var(x, 1, ddof=1), X)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES)
def test_logsumexp(axis, keepdims):
    agree(
        lambda x: ops.logsumexp(x, axis, keepdims),
        lambda x: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
        X,
    )


def test_exponentials_in_a_row_do_not_overflow():
    rows = np.array([[-np.inf, -np.inf], [0, 0], [np.inf, 1], [1000, 999], [-1e5, -np.inf]])
    limit = np.log1p(np.exp(-1))
    agree(
        lambda x: ops.logsumexp(x, 1),
        lambda x: np.array([-np.inf, np.log(2), np.inf, 1000 + limit, -1e5]),
        rows,
    )
    agree(lambda x: ops.softmax(x, 1), lambda x: np.array([[1.0, 0.0]]), np.array([[900.0, 0.0]]))
    agree(
        lambda x: ops.log_softmax(x, 1),
        lambda x: np.array([[0.0, -900.0]]),
        np.array([[900.0, 0.0]]),
    )


def test_logsumexp_of_nothing_but_minus_infinity_has_a_zero_gradient():
    rows = np.array([[-np.inf, -np.inf], [0.0, -np.inf]])
    np.testing.assert_array_equal(
        gradient(lambda x: ops.logsumexp(x, 1), rows), [[0.0, 0.0], [1.0, 0.0]]
    )


def test_softmax_sums_to_one():
    got = run(lambda x: ops.softmax(x, (0, 2)), X)
    np.testing.assert_allclose(got.sum((0, 2)), np.ones(4), rtol=1e-14)
    np.testing.assert_allclose(
        np.log(got), run(lambda x: ops.log_softmax(x, (0, 2)), X), rtol=1e-13
    )


@pytest.mark.parametrize("order", [None, 0, 1, 2, 3, -1, np.inf, -np.inf])
def test_vector_norms(order):
    agree(lambda x: ops.norm(x, order, 1), lambda x: np.linalg.norm(x, order, 1), X)


@pytest.mark.parametrize("axis", [(0, 1), (2, 0), (-1, 1)])
@pytest.mark.parametrize("order", [None, "fro", 1, -1, np.inf, -np.inf])
def test_matrix_norms(order, axis):
    agree(
        lambda x: ops.norm(x, order, axis, keepdims=True),
        lambda x: np.linalg.norm(x, order, axis, keepdims=True),
        X,
    )


@pytest.mark.parametrize("name", ["norm", "std"])
def test_roots_of_zero_have_a_zero_gradient(name):
    zero = np.zeros(3)
    np.testing.assert_array_equal(gradient(lambda x: getattr(ops, name)(x), zero), zero)


def test_hypot_at_the_origin_has_a_zero_gradient():
    np.testing.assert_array_equal(gradient(lambda x: ops.hypot(x, x), np.zeros(2)), np.zeros(2))


def test_hypot_and_logaddexp_do_not_overflow():
    big = np.array([3e200, 0.0, np.inf, 3e-200])
    agree(ops.hypot, np.hypot, big, np.array([4e200, 0.0, 1.0, 4e-200]))
    a = np.array([1.0, -np.inf, np.inf, -np.inf, 800.0])
    agree(ops.logaddexp, np.logaddexp, a, np.array([2.0, -np.inf, np.inf, 3.0, -800.0]))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("roll", ((1, -2), (0, 2))),
        ("roll", (7,)),
        ("roll", (-9, 1)),
        ("roll", (2, (0, 1))),
        ("tile", ((2, 1, 3, 2),)),
        ("tile", (2,)),
        ("repeat", (3, 1)),
        ("repeat", ([0, 2, 1], 0)),
        ("repeat", (2,)),
        ("flip", ()),
        ("flip", ((0, -1),)),
        ("moveaxis", ((0, 1), (-1, 0))),
        ("moveaxis", (2, 0)),
        ("swapaxes", (0, -1)),
        ("expand_dims", ((0, -1),)),
        ("expand_dims", (1,)),
        ("diff", (1, 1)),
        ("diff", (2,)),
        ("diff", (7, 0)),
        ("ravel", ()),
        ("clip", (-0.5, 0.25)),
    ],
)
def test_rearrangements(function, arguments):
    agree(
        lambda x: getattr(ops, function)(x, *arguments),
        lambda x: getattr(np, function)(x, *arguments),
        X,
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_stack(axis):
    agree(
        lambda x, y: ops.stack([x, y], axis), lambda x, y: np.stack([x, y], axis), M, normal(3, 4)
    )


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4)])
@pytest.mark.parametrize("name", ["atleast_1d", "atleast_2d", "atleast_3d"])
def test_atleast(name, shape):
    agree(getattr(ops, name), getattr(np, name), normal(*shape))


def test_squeeze():
    agree(ops.squeeze, np.squeeze, normal(1, 3, 1))
    agree(lambda x: ops.squeeze(x, -1), lambda x: np.squeeze(x, -1), normal(1, 3, 1))
    with pytest.raises(ValueError, match="more than one element"):
        ops.squeeze(symbol("x", (3,)), 0)


@pytest.mark.parametrize(
    ("parts", "axis"), [(3, 2), ([1, 3], 2), ([2, 1, 9], 1), ([-1], 0), (7, 1)]
)
def test_array_split(parts, axis):
    wanted = np.array_split(X, parts, axis)
    x = symbol("x", X.shape)
    got = evaluate(Graph("f", (x,), tuple(ops.array_split(x, parts, axis))), [X])
    assert len(got) == len(wanted)
    for part, part_wanted in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(part, part_wanted)


def test_split_needs_equal_parts():
    with pytest.raises(ValueError, match="equal parts"):
        ops.split(symbol("x", (5,)), 2)


@pytest.mark.parametrize(
    "arguments", [(5,), (1, 7, 2), (0.0, 1.0, 0.1), (3, -2, -1), (2.5, 0, -0.3), (4, 4)]
)
def test_arange(arguments):
    agree(lambda: ops.arange(*arguments), lambda: np.arange(*arguments))


@pytest.mark.parametrize(
    "arguments", [(0, 1, 7), (2.0, -1.0, 1), (3.0, 4.0, 0), (0.1, 0.7, 50), (0, 1, 4, False)]
)
def test_linspace(arguments):
    agree(lambda: ops.linspace(*arguments), lambda: np.linspace(*arguments))


def test_linspace_between_symbols():
    agree(
        lambda a, b: ops.linspace(a, b, 5),
        lambda a, b: np.linspace(a, b, 5),
        np.float64(0.3),
        np.float64(2.0),
    )


@pytest.mark.parametrize("decimals", [0, 2, -1])
def test_rounded(decimals):
    agree(lambda x: ops.rounded(x, decimals), lambda x: np.round(x, decimals), 100 * X)
    agree(
        lambda x: ops.rounded(x, decimals), lambda x: np.round(x, decimals), np.array([15, 25, 7])
    )


def test_replacing_nan():
    array = np.array([np.nan, np.inf, -np.inf, 1.0])
    agree(ops.nan_to_num, np.nan_to_num, array)
    agree(
        lambda x: ops.nan_to_num(x, 1.0, 2.0, 3.0),
        lambda x: np.nan_to_num(x, True, 1.0, 2.0, 3.0),
        array,
    )
    agree(ops.isinf, np.isinf, array)


@pytest.mark.parametrize("axis", [3, -4, (0, 0), (1, -2)])
def test_axes_out_of_bounds_or_twice(axis):
    with pytest.raises(ValueError, match="axis"):
        ops.axes_of(axis, 3)
