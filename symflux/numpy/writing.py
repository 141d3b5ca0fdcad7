"""NumPy's functions that write to an array: copyto, put, putmask, place, fill_diagonal and kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UnsupportedOperation
from ..ir.origin import user_frame
from ..trace.array import Array, as_array, element
from ..trace.dispatch import implements
from ..trace.into import write

__all__: list[str] = []


def _target(name: str, array: Any) -> Array:
    """The array that a function writes to.

    Raises:
        UnsupportedOperation: for a plain one, which cannot take traced values.
    """
    if isinstance(array, Array):
        return array
    raise UnsupportedOperation(
        f"np.{name} cannot write traced values to a plain array",
        place=user_frame(),
        why="it would keep values that are known only when the compiled function runs",
        wrong=f"y = np.zeros(n)\nnp.{name}(y, ...)",
        right=f"y = sf.numpy.zeros(n)\nnp.{name}(y, ...)",
    )


@implements(np.copyto)
def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    """``dst[...] = src`` where the mask holds."""
    write("copyto", _target("copyto", dst), src, casting=casting, where=where, grows=True)


def _elements(values: Any, x: Array) -> Array:
    """Values in the dtype of the array that they are put into; Python integers must fit."""
    return Array(element(values, x.node.dtype))


def _cycled(values: Array, count: int) -> Array:
    """The first ``count`` of values that begin anew behind their end."""
    flat = values.ravel()
    if flat.size == 1:
        return flat[0]
    return flat[:count] if flat.size >= count else flat[np.arange(count) % flat.size]


@implements(np.put)
def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """``a.flat[ind] = v`` for integers that are known while tracing."""
    x = _target("put", a)
    if isinstance(ind, Array):
        raise UnsupportedOperation(
            "np.put at traced indices cannot be recorded", place=user_frame(),
            right="x[i] = v        # for an array x of one axis",
        )  # fmt: skip
    at = np.asarray(ind, np.intp).ravel()
    new = _elements(v, x)
    if not at.size or not new.size:
        return
    if mode == "raise" and (at.min() < -x.size or at.max() >= x.size):
        raise IndexError(f"np.put: an index of {at} is out of bounds for {x.size} elements")
    at = np.clip(at, 0, x.size - 1) if mode == "clip" else at % x.size
    x[np.unravel_index(at, x.shape)] = _cycled(new, at.size)


@implements(np.putmask)
def putmask(a: Any, mask: Any, values: Any) -> None:
    """``a.flat[i] = values.flat[i]`` where the mask holds."""
    x, held = _target("putmask", a), as_array(mask)
    new = _elements(values, x)
    if new.shape != x.shape:
        new = _cycled(new, x.size)
        new = new.reshape(x.shape) if new.shape else new
    write("putmask", x, new, casting="unsafe", where=held.reshape(x.shape).astype(bool), grows=True)


@implements(np.place)
def place(arr: Any, mask: Any, vals: Any) -> None:
    """``arr[mask] = vals``, one after the other, and from the first again behind the last."""
    x, held = _target("place", arr), as_array(mask).astype(bool)
    new = _elements(vals, x).ravel()
    if new.size != 1:
        order = np.cumsum(held.ravel().astype(np.int64)) - 1
        new = new[order % new.size].reshape(x.shape)
    write("place", x, new, casting="unsafe", where=held.reshape(x.shape), grows=True)


@implements(np.fill_diagonal)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """The main diagonal of an array of two or more axes becomes ``val``, which may be an array."""
    x = _target("fill_diagonal", a)
    if x.ndim < 2 or (x.ndim > 2 and len(set(x.shape)) > 1):
        raise ValueError("np.fill_diagonal: two axes, or several of equal length, are needed")
    end = x.size
    if x.ndim == 2:
        step = x.shape[1] + 1
        end = end if wrap else min(end, x.shape[1] * x.shape[1])
    else:
        step = 1 + int(np.cumprod(x.shape[:-1]).sum())
    at = np.arange(0, end, step)
    if at.size:
        x[np.unravel_index(at, x.shape)] = _cycled(_elements(val, x), at.size)


@implements(np.put_along_axis)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    """Elements along ``axis`` at indices that differ from row to row are replaced."""
    x = _target("put_along_axis", arr)
    if axis is None:
        put(x, indices, values)
        return
    which = indices if isinstance(indices, Array) else np.asarray(indices)
    number = axis % x.ndim
    mesh = [np.arange(n).reshape((-1,) + (1,) * (x.ndim - i - 1)) for i, n in enumerate(x.shape)]
    x[(*mesh[:number], which, *mesh[number + 1 :])] = values
