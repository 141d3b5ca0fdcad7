"""Names that share an implementation have NumPy's own signatures, defaults and axes each."""

import inspect

import numpy as np
import pytest

import symflux as sf
import symflux.numpy as snp
from symflux.errors import ArgumentError, ShapeError
from symflux.trace.array import Array
from symflux.trace.dispatch import TABLE
from tests.trace.agreement import assert_agrees

#: what an implementation may take beyond NumPy's own parameters, and the reason
MORE = {
    "reshape": {"newshape"},  # NumPy's name for the shape until 2.1
}
#: parameters of NumPy's that an implementation does not have, by the function
LESS: dict[str, set[str]] = {}
#: functions that take any keyword: what becomes of those that NumPy does not have
ANY_KEYWORD = {
    "pad": "refused, by mode",
    "fromfunction": "given to the function",
    "clip": "those of the ufunc, refused",
    "matmul": "those of the ufunc, refused", "matvec": "the same", "vecmat": "the same",
    "vecdot": "the same", "divmod": "the same", "modf": "the same",
}  # fmt: skip
#: methods that have another form, which means the same, and why
METHODS = {
    "clip": "the function's, which takes min and max by name as well",
    "conj": "the ufunc's, whose keywords are refused", "conjugate": "the same",
}  # fmt: skip
KINDS = inspect.Parameter
ABSENT = {"<no value>", "None", "<class 'inspect._empty'>"}


def listed(function, skip=0):
    """Parameters in order: (name, kind, default)."""
    found = list(inspect.signature(function).parameters.values())[skip:]
    return [(p.name, p.kind, repr(p.default)) for p in found]


def differences(name, wanted, given):
    """Where a call that NumPy takes would mean something else, by place or by name."""
    variadic = (KINDS.VAR_KEYWORD, KINDS.VAR_POSITIONAL)
    mine = {n: (kind, default) for n, kind, default in given}
    for n, kind, default in wanted:
        if kind in variadic or n in LESS.get(name, ()):
            continue
        if kind is KINDS.POSITIONAL_ONLY:
            continue  # names do not count; places are compared below
        if n not in mine:
            if name not in ANY_KEYWORD:
                yield f"{name}: no {n}"
        elif mine[n][1] not in (default, "<no value>") and not {mine[n][1], default} <= ABSENT:
            yield f"{name}: {n}={mine[n][1]}, NumPy has {default}"
    by_place = (KINDS.POSITIONAL_ONLY, KINDS.POSITIONAL_OR_KEYWORD)
    places = [(n, kind) for n, kind, _ in wanted if kind in by_place]
    ours = [n for n, kind, _ in given if kind in by_place]
    open_ended = any(kind is KINDS.VAR_POSITIONAL for _, kind, _ in given)
    for i, (n, kind) in enumerate(places):
        if i < len(ours) and kind is KINDS.POSITIONAL_OR_KEYWORD and ours[i] != n:
            yield f"{name}: place {i} is {ours[i]}, NumPy has {n}"
        if i >= len(ours) and not open_ended and n not in LESS.get(name, ()):
            yield f"{name}: no place {i} for {n}"
    known = {n for n, _, _ in wanted} | MORE.get(name, set())
    for n, kind, _ in given:
        if kind is KINDS.VAR_KEYWORD and name not in ANY_KEYWORD:
            yield f"{name} takes any keyword"
        elif kind is KINDS.KEYWORD_ONLY and n not in known:
            yield f"{name}: {n} is not NumPy's"
    if len(ours) > len(places) and not any(k is KINDS.VAR_POSITIONAL for _, k, _ in wanted):
        yield f"{name}: {ours[len(places)]} is not NumPy's"


def test_implementations_have_numpys_signatures():
    """By place and by name, those that are written in C too; each is compared, so that new names
    are as well."""
    found = []
    for function, implementation in TABLE.items():
        if isinstance(function, str | tuple | np.ufunc) or function in (np.einsum, np.arange):
            continue  # any number of operands; start or stop
        name = function.__name__
        found += differences(name, listed(function), listed(implementation))
    for ufunc in [f for f in TABLE if isinstance(f, np.ufunc)]:
        given = {n for n, _, _ in listed(TABLE[ufunc])}
        some = {n for n, k, _ in listed(TABLE[ufunc]) if k is KINDS.VAR_KEYWORD}
        if not {"out", "where", "dtype", "casting", "order", "subok"} <= given:
            found += [] if some and ufunc.__name__ in ANY_KEYWORD else [ufunc.__name__]
    assert not found, "\n".join(found)


def test_methods_have_numpys_signatures():
    found = []
    for name in dir(np.ndarray):
        theirs, ours = getattr(np.ndarray, name), vars(Array).get(name)
        if name.startswith("_") or not callable(theirs) or ours is None or name in METHODS:
            continue
        function = vars(ours).get("function")  # of those that forward to NumPy's function
        given = listed(TABLE.get(function, function) if function else ours, skip=1)
        wanted = [p for p in listed(theirs, skip=1) if p[1] is not KINDS.VAR_KEYWORD]
        more = len([p for p in listed(theirs) if p[1] is KINDS.VAR_KEYWORD])
        for each in differences(name, wanted, given):
            if not (more and each.endswith("is not NumPy's")):
                found.append(each)
    assert not found, "\n".join(found)


def test_keywords_that_mean_nothing_here_are_refused():
    """``sf.numpy.zeros(3, dtpye="f4")`` was float64, ``sf.numpy.array(x, ndmin=2)`` of one axis."""
    for name in ("zeros", "ones", "empty", "eye", "identity", "arange", "array", "asarray"):
        with pytest.raises((TypeError, ArgumentError)):
            sf.trace(lambda x, n=name: getattr(snp, n)(3, dtpye="f4") + x)(1.0)
    assert_agrees(lambda x: snp.array(x, ndmin=3) if type(x) is Array else np.array(x, ndmin=3), V)
    assert sf.trace(lambda x: snp.ascontiguousarray(x[0]))(V).outputs[0].shape == (1,)


V = np.array([1.0, 2.0])
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
