"""Every function of ``symflux.numpy`` on edge values of every dtype, in shapes of all kinds: dtype,
shape and values of the native result are NumPy's, or both refuse."""

import re
import warnings

import numpy as np
import pytest

import symflux as sf
from symflux.errors import SymFluxError
from symflux.trace.dispatch import BY_NAME, PLAIN
from symflux.trace.trace import trace
from tests.numpy.test_edges import DTYPES, edge, same

#: of an array x of any shape; "; if c" says for which ones
CALLS = """
np.sum(x); np.sum(x, 0); np.sum(x, -1, keepdims=True); np.prod(x); np.prod(x, 0); np.mean(x)
np.mean(x, 0); np.var(x); np.var(x, 0, ddof=1); np.std(x); np.std(x, 0); np.ptp(x); np.ptp(x, 0)
np.max(x); np.max(x, 0); np.min(x); np.min(x, -1); np.amax(x); np.amin(x); np.any(x); np.any(x, 0)
np.all(x); np.all(x, -1); np.argmax(x); np.argmax(x, 0); np.argmin(x); np.argmin(x, -1)
np.cumsum(x); np.cumsum(x, 0); np.cumprod(x); np.cumprod(x, -1); np.nansum(x); np.nansum(x, 0)
np.count_nonzero(x); np.count_nonzero(x, 0); np.average(x, weights=x * 0 + 1) if x.size else 0
np.angle(x); np.angle(x, deg=True); np.around(x); np.round(x, 1); np.round(x, -1); np.fix(x)
np.nan_to_num(x); np.nan_to_num(x, nan=3); np.isclose(x, 1); np.isclose(x, x[::-1]) if x.ndim else 0
np.real(x); np.clip(x, 1, 3); np.clip(x, None, 2); np.clip(x, -1, None)
np.clip(x, 1.5, 2); np.where(x > 1, x, 0); np.where(x > 1, x, 1.5); np.where(x, x, True)
np.select([x > 2, x > 1], [x, x + x]); np.select([x > 2], [x], 1); np.iscomplexobj(x)
np.isrealobj(x); np.diff(x) if x.ndim else 0; np.diff(x, 2, 0) if x.ndim else 0
np.diff(x, prepend=1) if x.ndim else 0; np.append(x, 1); np.append(x, x); np.astype(x, 'f4')
np.astype(x, 'i4') if x.dtype.kind != 'f' else 0; np.astype(x, bool)
np.astype(x, 'u1') if x.dtype.kind != 'f' else 0; np.zeros_like(x); np.ones_like(x)
np.full_like(x, 1); np.empty_like(x).shape; np.copy(x); np.atleast_1d(x); np.atleast_2d(x)
np.atleast_3d(x); np.broadcast_to(x, (2, *x.shape)); np.broadcast_arrays(x, 1)
np.expand_dims(x, 0); np.squeeze(x); np.ravel(x); np.reshape(x, -1); np.transpose(x)
np.swapaxes(x, 0, -1) if x.ndim else 0; np.moveaxis(x, 0, -1) if x.ndim else 0
np.rollaxis(x, -1) if x.ndim else 0; np.flip(x); np.fliplr(x) if x.ndim > 1 else 0
np.flipud(x) if x.ndim else 0; np.rot90(x) if x.ndim > 1 else 0; np.roll(x, 1)
np.roll(x, -1, 0) if x.ndim else 0; np.repeat(x, 2); np.repeat(x, 2, 0) if x.ndim else 0
np.tile(x, 2); np.tile(x, (2, 1)); np.take(x, [0, 0, -1]) if x.size else 0
np.take(x, 0, axis=-1) if x.size and x.ndim else 0
np.take_along_axis(x, np.zeros((1,) * x.ndim, int), 0) if x.size and x.ndim else 0
np.concatenate([x, x]) if x.ndim else 0; np.concatenate([x, x], axis=None); np.stack([x, x])
np.hstack([x, x]); np.vstack([x, x]); np.dstack([x, x]); np.column_stack([x, x]) if x.ndim else 0
np.split(x, 1) if x.ndim else 0; np.array_split(x, 3) if x.ndim else 0
np.vsplit(x, 1) if x.ndim > 1 else 0; np.hsplit(x, 1) if x.ndim else 0
np.dsplit(np.atleast_3d(x), 1); np.unstack(x) if x.ndim else []; np.pad(x, 1)
np.pad(x, 1, mode='edge') if x.size else 0; np.pad(x, 1, mode='reflect') if x.size > 2 else 0
np.pad(x, 1, mode='wrap') if x.size else 0; np.pad(x, (0, 2), constant_values=1)
np.pad(x, 1, mode='symmetric') if x.size else 0; np.tril(x) if x.ndim else 0
np.triu(x, 1) if x.ndim else 0; np.diag(x) if x.ndim in (1, 2) else 0
np.diagonal(x) if x.ndim > 1 else 0; np.trace(x) if x.ndim > 1 else 0
np.meshgrid(x, x) if x.ndim < 2 else 0; np.ndim(x); np.shape(x); np.size(x)
np.linspace(x[..., :3], 1, 3) if x.ndim else 0; np.matrix_transpose(x) if x.ndim > 1 else 0
np.lib.stride_tricks.sliding_window_view(x, 2, 0) if x.ndim and x.shape[0] > 1 else 0
np.dot(x, x) if x.ndim < 2 else np.dot(x, x.T); np.inner(x, x); np.outer(x, x)
np.kron(x, x) if x.size < 20 else 0; np.vdot(x, x); np.matmul(x, x.T) if x.ndim else 0
np.tensordot(x, x, x.ndim); np.vecdot(x, x) if x.ndim else 0
np.matvec(x, x[0]) if x.ndim > 1 and x.size else 0
np.vecmat(x[:, 0], x) if x.ndim > 1 and x.size else 0
np.einsum('...i,...i->...', x, x) if x.ndim else 0
np.cross(x[..., :3], x[..., 1:4]) if x.ndim and x.shape[-1] > 3 else 0
np.linalg.norm(x); np.linalg.norm(x, 1, -1) if x.ndim else 0; np.linalg.vector_norm(x)
np.linalg.matrix_norm(x) if x.ndim > 1 and x.size else 0; np.linalg.trace(x) if x.ndim > 1 else 0
np.linalg.diagonal(x) if x.ndim > 1 else 0; np.linalg.matrix_transpose(x) if x.ndim > 1 else 0
np.linalg.outer(x, x) if x.ndim == 1 else 0; np.linalg.vecdot(x, x) if x.ndim else 0
np.linalg.matmul(x, x.T) if x.ndim > 1 else 0
np.linalg.tensordot(x, x.T, axes=1) if x.ndim > 1 else 0
np.linalg.cross(x[..., :3], x[..., 1:4]) if x.ndim and x.shape[-1] > 3 else 0
np.linalg.multi_dot([x, x.T, x]) if x.ndim > 1 and x.size else 0
x.mean(0) if x.ndim else 0; x.clip(1, 2); x.T; x.flatten(); x.astype('f8'); x.astype('f2'); x.conj()
x.argmax() if x.size else 0; x.swapaxes(0, -1) if x.ndim else 0; x.imag; x.real; x[...]; x[None]
x[::-1] if x.ndim else 0; x[[0, 0]] if x.ndim and x.shape[0] else 0
x[-1] if x.ndim and x.shape[0] else 0; x + x; x * 2; x - 1 if x.dtype != bool else 0; x**2; x**3
x**0; x**0.5; x // 2; x % 3; -x if x.dtype != bool else 0; abs(x); ~x if x.dtype.kind != 'f' else 0
x / 2; 1 / x; x > 1; x == x; x << 2 if x.dtype.kind in 'iu' else 0; x < -1; x == 300; divmod(x, 2)
x >> 1 if x.dtype.kind in 'iu' else 0; x & 1 if x.dtype.kind != 'f' else 0; x**2.5; True + x
x * True; x - False if x.dtype != bool else 0; x + 1.5; x * -0.0; 7 // x; 7 % x; x // 0; x % 0
x // -1 if x.dtype.kind in 'if' else 0; x % -3 if x.dtype.kind in 'if' else 0
1 << x if x.dtype.kind in 'iu' else 0; x << 70 if x.dtype.kind in 'iu' else 0
x >> 70 if x.dtype.kind in 'iu' else 0; x >= 2**70 if x.dtype != bool else 0; x != -(2**40)
"""
#: with no array to be given, or with a formula of their own; tested elsewhere
ELSEWHERE = {
    "empty", "ones", "full", "zeros", "arange", "eye", "identity", "fromfunction", "array",
    "asarray", "asanyarray", "ascontiguousarray", "sigmoid", "expit", "erf", "erfc", "lgamma",
    "gammaln", "rsqrt", "softplus", "relu", "logsumexp", "softmax", "log_softmax", "sinc",
    "copyto", "put", "putmask", "place", "fill_diagonal", "put_along_axis",
}  # fmt: skip
UNARY = [n for n, f in PLAIN.items() if isinstance(f, np.ufunc) and f.nin == 1]
BINARY = [n for n, f in PLAIN.items() if isinstance(f, np.ufunc) and f.nin == 2 and not f.signature]
TEXTS = [t.strip() for t in CALLS.replace("\n", ";").split(";") if t.strip()]
#: which zero is the larger one is not said by NumPy
EITHER_ZERO = re.compile(r"max|min|clip|ptp")


def shapes(x):
    n = len(x) // 2 * 2
    return (x, x[1:2].reshape(()), x[:0], x[:n].reshape(2, -1), x[:0].reshape(3, 0))


def views(x):
    """Within the function: backwards, with steps, transposed, repeated."""
    if not x.ndim:
        return (x,)
    return (x, x[::-1], x[::2], x.T, np.broadcast_to(x, (2, *x.shape)))


def check(cases):
    """Each case (text, function, arguments) gives NumPy's result, all in one compiled function."""
    good = []
    for text, fn, args in cases:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                wanted = fn(*args)
            except (TypeError, ValueError, OverflowError):
                wanted = None
        try:
            trace(fn, args)
        except SymFluxError as error:
            assert wanted is None, f"{text}: {error}"
        else:
            assert wanted is not None, f"{text}: NumPy refuses"
            good.append((text, fn, args, wanted))
    run = sf.compile(lambda given: [fn(*a) for (_, fn, _, _), a in zip(good, given, strict=True)])
    for (text, _, _, wanted), got in zip(good, run([list(a) for _, _, a, _ in good]), strict=True):
        several = isinstance(wanted, tuple | list)
        pairs = zip(got, wanted, strict=True) if several else ((got, wanted),)
        for mine, numpys in pairs:
            try:
                same(mine, numpys, 4, signed_zeros=not EITHER_ZERO.search(text))
            except AssertionError as error:
                raise AssertionError(f"{text}: {error}") from None


def call(text):
    return eval(f"lambda x: {text}", {"np": np})


def unary(name, dtype):
    function = PLAIN[name]
    given = edge(dtype)
    if name == "reciprocal" and given.dtype.kind in "iu":
        given = given[given != 0]  # of the integer 0 it is what the processor gives
    for x in shapes(given):
        for n in range(len(views(x))):
            yield (
                f"{name} of {dtype}{list(x.shape)}, view {n}",
                lambda x, n=n: function(views(x)[n]),
                [x],
            )


def binary(name, first, second):
    function, x, y = PLAIN[name], edge(first), edge(second)
    if name == "power" and np.result_type(x, y).kind == "i":
        y = y[y >= 0] if y.dtype.kind == "i" else y  # else both refuse
    yield f"{name} of {first} and {second}", lambda x, y: function(x[:, None], y), [x, y]


def sweep(dtype):
    for name in UNARY:
        yield from unary(name, dtype)
    for name in BINARY:
        for second in DTYPES:
            yield from binary(name, dtype, second)
    for text in TEXTS:
        for x in shapes(edge(dtype)):
            yield f"{text} of {dtype}{list(x.shape)}", call(text), [x]


def test_every_function_is_swept():
    used = set(re.findall(r"np\.(?:linalg\.|lib\.stride_tricks\.)?(\w+)", CALLS))
    known = used | set(UNARY) | set(BINARY) | ELSEWHERE
    assert [n for n in BY_NAME if n.rpartition(".")[2] not in known] == []


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_at_edge_values_are_numpys(dtype):
    """One of 43 cases for each dtype, other ones for the next."""
    check(list(sweep(dtype))[3 * DTYPES.index(dtype) :: 43])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_more_functions_at_edge_values_are_numpys(dtype):
    """One of three cases for each dtype, other ones for the next."""
    cases = list(sweep(dtype))[DTYPES.index(dtype) % 3 :: 3]
    for start in range(0, len(cases), 150):
        check(cases[start : start + 150])
