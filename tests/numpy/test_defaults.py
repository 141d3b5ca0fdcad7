"""Names that share an implementation have NumPy's own signatures, defaults and axes each."""

import inspect

import numpy as np
import pytest

import symflux as sf
import symflux.numpy as snp
from symflux.errors import ArgumentError, ShapeError
from symflux.trace.dispatch import TABLE
from tests.trace.agreement import assert_agrees

#: NumPy's keywords that say where results lie or which class they have; graphs know neither
IGNORED = {"like", "device", "order", "subok", "copy", "casting"}


def spelled(function):
    """Name -> (default, whether it may be given by place) of what may be given by name."""
    return {
        name: (repr(p.default), p.kind is p.POSITIONAL_OR_KEYWORD)
        for name, p in inspect.signature(function).parameters.items()
        if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and name not in IGNORED
    }


def test_implementations_have_numpys_signatures():
    absent = {"<no value>", "None", "<class 'inspect._empty'>"}
    for function, implementation in TABLE.items():
        if isinstance(function, str | tuple | np.ufunc) or function in (np.einsum, np.arange):
            continue  # any number of operands; start or stop
        try:
            wanted = spelled(function)
        except ValueError:  # written in C
            continue
        given = spelled(implementation)
        takes_more = any(
            p.kind is p.VAR_KEYWORD for p in inspect.signature(implementation).parameters.values()
        )
        ordered = [name for name in given if wanted.get(name, ("", False))[1]]
        assert ordered == [name for name in wanted if name in given and wanted[name][1]], function
        for name, (default, by_place) in wanted.items():
            if name not in given:
                assert takes_more and not by_place, f"{function}: no {name}"
                continue
            mine = given[name][0]
            assert mine == default or {mine, default} <= absent, f"{function}: {name}={mine}"


STACK = np.arange(24.0).reshape(2, 3, 4) - 11
LINALG = {
    "trace": (lambda x: np.linalg.trace(x), lambda x: np.linalg.trace(x, offset=1, dtype="f4")),
    "diagonal": (lambda x: np.linalg.diagonal(x), lambda x: np.linalg.diagonal(x, offset=-1)),
    "np.trace": (lambda x: np.trace(x), lambda x: x.trace(1, 1, 2), lambda x: np.trace(x, 0, 2, 0)),
    "np.diagonal": (lambda x: np.diagonal(x), lambda x: x.diagonal(1, 1, 2)),
    "matrix_norm": (
        lambda x: np.linalg.matrix_norm(x),
        lambda x: np.linalg.matrix_norm(x, ord=1, keepdims=True),
    ),
    "matrix_transpose": (lambda x: np.linalg.matrix_transpose(x),),
    "outer": (lambda x: np.linalg.outer(x[0, 0], x[1, 1]),),
    "cross": (
        lambda x: np.linalg.cross(x[..., :3], x[..., 1:]),
        lambda x: np.linalg.cross(x, x[::-1], axis=1),
        lambda x: np.cross(x[:, :, 0], x[:, :, 1]),
    ),
    "vecdot": (
        lambda x: np.linalg.vecdot(x, x[::-1]),
        lambda x: np.linalg.vecdot(x, x[::-1], axis=0),
        lambda x: np.vecdot(x, x[::-1], axis=1),
    ),
    "tensordot": (
        lambda x: np.linalg.tensordot(x, x, axes=3),
        lambda x: np.linalg.tensordot(x, x, axes=((0, 1), (0, 1))),
    ),
    "matmul": (lambda x: np.linalg.matmul(x, x.mT),),
    "norm": (lambda x: np.linalg.norm(x), lambda x: np.linalg.norm(x, 1, (0, 2))),
}


@pytest.mark.parametrize("name", LINALG)
def test_linalg_has_axes_of_its_own(name):
    for function in LINALG[name]:
        assert_agrees(function, STACK)


@pytest.mark.parametrize("order", (None, 1, 2, 3, 0, -1, np.inf, -np.inf, 0.5))
def test_vector_norms_over_several_axes_are_of_all_elements(order):
    options = {} if order is None else {"ord": order}
    for axis in (None, 0, -1, (0, 1), (2, 0), (0, 1, 2), [0, 2]):
        for keepdims in (False, True):
            given = {"axis": tuple(axis) if isinstance(axis, list) else axis, "keepdims": keepdims}
            assert_agrees(lambda x, g=given: np.linalg.vector_norm(x, **g, **options), STACK)


def test_plain_arrays_get_numpys_function_of_the_same_name():
    assert snp.trace(STACK).tolist() == np.trace(STACK).tolist()
    assert snp.diagonal(STACK).tolist() == np.diagonal(STACK).tolist()
    for name in ("trace", "diagonal", "matrix_transpose", "vecdot", "norm", "vector_norm"):
        of_snp = getattr(snp.linalg, name)
        arrays = (STACK, STACK) if name == "vecdot" else (STACK,)
        wanted = getattr(np.linalg, name)(*arrays)
        np.testing.assert_array_equal(of_snp(*arrays), wanted)
        np.testing.assert_allclose(sf.compile(of_snp)(*arrays), wanted, rtol=1e-14)
    with pytest.raises(ShapeError, match=r"np\.outer"):
        sf.trace(lambda x: np.linalg.outer(x, x))(STACK)


@pytest.mark.parametrize("dtype", ("bool", "int8", "uint8", "float64"))
def test_differences_of_order_0_are_the_array(dtype):
    x = np.array([[1, 0, 1], [1, 1, 0]]).astype(dtype)
    for n in (0, 1, 2):
        assert_agrees(lambda x, n=n: np.diff(x, n, prepend=1), x)
        assert_agrees(lambda x, n=n: np.diff(x, n, 0, prepend=x[:1], append=x), x)
    with pytest.raises(ShapeError):
        sf.trace(lambda x: np.diff(x, -1))(x)


class Two:
    """An integer to NumPy, but none to Python's ``isinstance``."""

    def __index__(self):
        return 2


def test_objects_with_index_count_as_integers():
    two = Two()
    for function in (
        lambda x: x[:, two], lambda x: x[:, :two], lambda x: x[0, two, 1], lambda x: x.sum(two),
        lambda x: x.reshape(two, -1), lambda x: np.roll(x, two, two), lambda x: np.take(x, two),
        lambda x: np.take(x, two, axis=two), lambda x: np.expand_dims(x, two),
        lambda x: np.repeat(x, two, two), lambda x: np.diagonal(x, two, two, 0),
        lambda x: np.trace(x, -1, 0, two), lambda x: np.round(x / 7, two),
        lambda x: np.linspace(x, 0, two), lambda x: np.linalg.norm(x, axis=two),
        lambda x: np.stack([x, x], two), lambda x: np.concatenate([x, x], two),
        lambda x: np.moveaxis(x, two, 0), lambda x: np.flip(x, two), lambda x: x.argmax(two),
        lambda x: np.array_split(x, two, two), lambda x: np.cumsum(x, two),
        lambda x: np.zeros_like(x, shape=two), lambda x: np.squeeze(x[:, :, :1], two),
    ):  # fmt: skip
        assert_agrees(function, STACK)


BOOLS = (True, False, (True, 0), (0, True), (slice(None), True), (True, None), (True, False),
         (Ellipsis, True), (np.True_, [0, 1]), (None, True, 0), (0, True, slice(None), 1),
         (slice(1), False, 1), ([0, 1], True, slice(None), [2, 3]))  # fmt: skip


@pytest.mark.parametrize("index", BOOLS, ids=repr)
def test_bools_in_an_index_are_masks_without_axes(index):
    def written(x):
        x = x.copy()
        x[index] = 7.0
        return x

    assert_agrees(lambda x: x[index], STACK)
    assert_agrees(written, STACK)


EINSUMS = (
    lambda a, b: np.einsum(a, [0, 1], b, [1, 2]),
    lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0]),
    lambda a, b: np.einsum(a, [5, 30], b, [30, 1]),  # the result's axes are in order of numbers
    lambda a, b: np.einsum(a, [0, 1], [1, 0]),
    lambda a, b: np.einsum(a, [0, 1]),
    lambda a, b: np.einsum(b, [3, 4], []),
    lambda a, b: np.einsum(a, [Ellipsis, 1], b[:, :2], [1, Ellipsis]),
    lambda a, b: np.einsum(a, [Ellipsis, 1], b, [1, 0], [Ellipsis, 0]),
    lambda a, b: np.einsum(a, (0, 1), b, (np.int8(1), 2), (0, 2)),
)


@pytest.mark.parametrize("number", range(len(EINSUMS)))
def test_einsum_takes_lists_of_axes(number):
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    assert_agrees(EINSUMS[number], a, b)


def test_einsum_without_subscripts_says_what_it_takes():
    with pytest.raises(ArgumentError, match="list of axis numbers"):
        sf.trace(lambda a: np.einsum(a, a))(np.ones((2, 2)))
