"""Python numbers among the operands: which functions let them adapt, and which make arrays of them
first, whose dtype counts (``np.dot(float32_array, 2)`` is float64)."""

import warnings

import numpy as np
import pytest

from symflux.errors import SymFluxError
from tests.numpy.test_edges import as_numpy, same
from tests.trace.agreement import traced_result

#: x is an array, W a Python number
CALLS = """
np.append(x, W); np.concatenate([x, W], axis=None); np.stack([x[0], W]); np.hstack([x, W])
np.vstack([x[:1], W]); np.dstack([x[:1], W]); np.column_stack([x[:1], [W]]); np.dot(x, W)
np.dot(W, x); np.kron(x, W); np.outer(x, W); np.inner(x, W); np.vdot(x[:1], [W])
np.einsum('i,->i', x, W); np.tensordot(x, W, 0); np.multiply.outer(x, W); np.add.outer([W], x)
np.where(x > 1, x, W); np.where(x > 1, W, W);
np.select([x > 1], [W], W); np.clip(x, W, None); np.clip(x, W, W); np.diff(x, prepend=W)
np.linspace(x, W, 3); np.linspace(W, W, 3) + x[:3]; np.full_like(x, W); np.isclose(x, W)
np.average(x, weights=x * 0 + W); np.pad(x, 1, constant_values=W); np.maximum(x, W)
np.fmod(x, W); np.add(W, W) + x[0]; np.multiply(x, W); np.power(x, abs(W)); np.hypot(W, x)
np.heaviside(x, W); np.copysign(x, W); np.float_power(x, W); np.sum(x, initial=W)
np.prod(x, initial=W); np.max(x, initial=W); np.broadcast_arrays(x, W)[1]; np.arctan2(x, W)
np.nan_to_num(x, nan=W); np.atleast_1d(W) + x; np.ravel(W) + x; np.reshape(W, (1,)) + x
np.squeeze(W) + x; np.sin(W) + x; np.abs(W) + x; np.sqrt(abs(W)) + x; np.round(W) + x
np.sum(W) + x; np.max(W) + x; np.mean(W) + x; np.square(W) + x; np.floor(W) + x
np.expand_dims(W, 0) + x; np.repeat(W, 2) + x[:2]; np.tile(W, 2) + x[:2]; np.real(W) + x
np.broadcast_to(W, (2,)) + x[:2]; np.clip(W, 0, 10) + x; np.where(x[0] > 1, W, 0) + x
np.logical_not(W) + x; np.isnan(W) + x; np.minimum(W, 3) + x; np.copy(W) + x; np.prod(W) + x
np.transpose(W) + x; np.cumsum(W) + x; np.angle(W) + x; np.sinc(W) + x; np.trunc(W) + x
np.divmod(W, 2)[0] + x; np.modf(W)[0] + x; np.any(W) + x; np.argmax(W) + x
np.count_nonzero(W) + x; np.std(W) + x; np.stack([W, W]) + x[:2]; np.meshgrid(W, x)[0]
(W + W) * x; round(W) + x; -W * x; abs(W) + x; (W > 1) + x; (W == W) * x; W**2 * x; W % 2 + x
divmod(W, 2)[1] + x; W // 2 + x; W / 2 + x; x.dot(W); x * W; x + W; W - x * 1; x / W; x // W
x < W; x == W
"""


@pytest.mark.parametrize(
    "dtype", ["i1", "f4", *(pytest.param(d, marks=pytest.mark.slow) for d in ("?", "u4", "f2"))]
)
def test_functions_take_python_numbers_as_numpy_does(dtype):
    x = np.array([0, 1, 3, 2]).astype(dtype)
    for text in CALLS.replace("\n", ";").split(";"):
        if not text.strip():
            continue
        for number in (2, True, 2.5):
            traced = eval(f"lambda x, W: {text}", {"np": np})
            written = eval(f"lambda x: {text.replace('W', repr(number))}", {"np": np})
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    wanted = written(x)
                except (TypeError, OverflowError, ValueError):
                    wanted = None
            for fn, args in ((written, (x,)), (traced, (x, number))):
                told = f"{text} with W = {number}, {'argument' if len(args) > 1 else 'literal'}"
                try:
                    got = traced_result(fn, *args)[0]
                except SymFluxError as error:
                    assert wanted is None, f"{told}: {error}"
                except TypeError:  # NumPy's own: nothing in the call was traced
                    assert wanted is None, told
                else:
                    assert wanted is not None, told
                    try:
                        same(got, wanted, 4, signed_zeros=False)
                    except AssertionError as error:
                        raise AssertionError(f"{told}: {error}") from None


#: x has four elements, D is a dtype
WITH_DTYPE = """
np.add(x, x, dtype=D); np.multiply(x, 2, dtype=D); np.multiply(x, 2.5, dtype=D); np.sin(x, dtype=D)
np.maximum(x, 1, dtype=D); np.divide(x, 2, dtype=D); np.floor(x, dtype=D); np.negative(x, dtype=D)
np.power(x, 2, dtype=D); np.isnan(x, dtype=D); np.less(x, 1, dtype=D); np.bitwise_and(x, 1, dtype=D)
np.logical_and(x, 1, dtype=D); np.left_shift(x, 1, dtype=D); np.matmul(x, x, dtype=D)
np.einsum('i,i', x, x, dtype=D); np.einsum('i->', x, dtype=D, casting='unsafe')
np.concatenate([x, x], dtype=D); np.concatenate([x, x], dtype=D, casting='unsafe')
np.stack([x, x], dtype=D); np.hstack([x, x], dtype=D); np.vstack([x, x], dtype=D)
np.sum(x, dtype=D); np.cumsum(x, dtype=D); np.mean(x, dtype=D); np.vecdot(x, x, dtype=D)
np.add(x, np.ones(4, 'f8'), casting='no'); np.add(x, x, dtype=D, casting='unsafe')
np.add(x, x, dtype=D, casting='safe'); np.add.reduce(x, dtype=D); np.add.accumulate(x, dtype=D)
np.multiply.outer(x, x, dtype=D); np.equal(x, x, dtype=D); np.hypot(x, x, dtype=D)
np.invert(x, dtype=D); np.float_power(x, 2, dtype=D); np.trace(x.reshape(2, 2), dtype=D)
np.concatenate([x, np.ones(4, 'f8')], casting='no'); np.hstack([x, x.astype('f8')], casting='safe')
"""


@pytest.mark.parametrize("dtype", ["f8", "i4"])
def test_dtype_and_casting_mean_what_they_mean_to_numpy(dtype):
    """``np.add(floats, floats, dtype="i4")`` cut its operands, NumPy refuses."""
    x = np.array([1, 3, 2, 1]).astype(dtype)
    for text in WITH_DTYPE.replace("\n", ";").split(";"):
        for wanted in ("?", "u1", "i8", "f2", "f8") if text.strip() else ():
            fn = eval(f"lambda x: {text.replace('=D', f'={wanted!r}')}", {"np": np})
            try:
                as_numpy(fn, x, ulps=4)
            except (AssertionError, pytest.fail.Exception, SymFluxError) as error:
                raise AssertionError(f"{text}, D = {wanted}: {error}") from None
