"""Python numbers among the operands: which functions let them adapt, and which make arrays of them
first, whose dtype counts (``np.dot(float32_array, 2)`` is float64)."""

import warnings

import numpy as np
import pytest

from symflux.errors import SymFluxError
from tests.numpy.test_edges import same
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
