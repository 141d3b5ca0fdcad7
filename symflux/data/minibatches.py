"""Data sets as tuples of arrays with one row per sample: splitting, encoding, batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..boundary import boundary
from ..errors import OptionError, ShapeError
from ..ir.origin import user_frame

__all__ = ["minibatches", "one_hot", "split"]

Arrays = tuple[np.ndarray[Any, Any], ...]


def rows(arrays: Sequence[Any]) -> tuple[Arrays, int]:
    """The arrays, and how many rows they have.

    Raises:
        ShapeError: if there is no array, or if they have different numbers of rows.
    """
    found = tuple([np.asarray(a) for a in arrays])
    shapes = ", ".join(str(a.shape) for a in found)
    if len({a.shape[:1] for a in found}) != 1 or not found[0].shape:
        raise ShapeError(
            f"arrays with one row per sample are needed, got {f'shapes {shapes}' if found else 0}",
            place=user_frame(),
            right="(inputs, targets)     # len(inputs) == len(targets)",
        )
    return found, len(found[0])


@boundary
def split(
    *arrays: Any, share: float = 0.2, seed: int | np.random.Generator | None = 0
) -> tuple[Arrays, Arrays]:
    """Shuffle samples and set a share of them aside.

    Args:
        arrays: of the same number of rows.
        share: of the rows, that goes into the second part (rounded).
        seed: of the shuffling; the same seed gives the same split.

    Returns:
        ``(first part, second part)``, each a tuple with one array for each of ``arrays``.

    Raises:
        ShapeError: if the numbers of rows differ, or one part would be empty.

    >>> import numpy as np
    >>> (x, y), (x_test, y_test) = split(np.arange(10.0), np.arange(10), share=0.3)
    >>> len(x), len(x_test), bool((x == y).all())
    (7, 3, True)
    """
    found, count = rows(arrays)
    aside = round(count * share)
    if not 0 < aside < count:
        raise ShapeError(
            f"split: a share of {share} of {count} rows leaves one part empty",
            place=user_frame(),
            right="split(x, y, share=0.5)     # a part of 1",
        )
    order = np.random.default_rng(seed).permutation(count)
    return (
        tuple([a[order[aside:]] for a in found]),
        tuple([a[order[:aside]] for a in found]),
    )


@boundary
def minibatches(
    arrays: Sequence[Any], batch_size: int, seed: int | np.random.Generator | None = None,
    shuffle: bool = True,
) -> Iterator[Arrays]:  # fmt: skip
    """All samples once, in batches; the last one has what is left.

    Args:
        arrays: of the same number of rows.
        batch_size: rows per batch.
        seed: of the order: an integer, a generator to draw from, or None (another one each time).
        shuffle: False for the order of the arrays.

    Raises:
        ShapeError: if the numbers of rows differ.
        OptionError: if ``batch_size`` is no positive number.

    >>> import numpy as np
    >>> [x.tolist() for x, in minibatches([np.arange(5)], 2, shuffle=False)]
    [[0, 1], [2, 3], [4]]
    """
    found, count = rows(arrays)
    if not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise OptionError(
            f"batch_size is a whole number of at least 1, not {batch_size!r}",
            place=user_frame(),
            right="batch_size=32",
        )
    order = np.random.default_rng(seed).permutation(count) if shuffle else None
    return _batches(found, count, int(batch_size), order)


def _batches(found: Arrays, count: int, batch_size: int, order: Any) -> Iterator[Arrays]:
    for start in range(0, count, batch_size):
        stop = start + batch_size
        if order is None:
            yield tuple([a[start:stop] for a in found])
        else:
            picked = order[start:stop]
            yield tuple([a.take(picked, axis=0) for a in found])


@boundary
def one_hot(labels: Any, classes: int, dtype: Any = "float64") -> np.ndarray[Any, Any]:
    """Rows with a one at the place that the label names: shape ``(..., classes)``.

    Raises:
        OptionError: if a label is not one of the integers ``0 ... classes - 1``.

    >>> one_hot([1, 0], 3)
    array([[0., 1., 0.],
           [1., 0., 0.]])
    """
    numbers = np.asarray(labels)
    if numbers.dtype.kind not in "iu":
        raise OptionError(
            f"one_hot: labels are integers, not {numbers.dtype}",
            place=user_frame(),
            right="one_hot(labels.astype(int), classes)",
        )
    if numbers.size and (numbers.min() < 0 or numbers.max() >= classes):
        low, high = numbers.min(), numbers.max()
        raise OptionError(
            f"one_hot: labels {low} ... {high} are not 0 ... {classes - 1}",
            place=user_frame(),
            right=f"one_hot(labels, {high + 1})"
            if low >= 0
            else f"one_hot(labels - labels.min(), {high - low + 1})",
        )
    return (numbers[..., None] == np.arange(classes)).astype(dtype)
