"""Data sets as tuples of arrays with one row per sample: splitting, encoding, batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

__all__ = ["minibatches", "one_hot", "split"]

Arrays = tuple[np.ndarray[Any, Any], ...]


def rows(arrays: Sequence[Any]) -> tuple[Arrays, int]:
    """The arrays, and how many rows they have.

    Raises:
        ValueError: if there is no array, or if they have different numbers of rows.
    """
    found = tuple([np.asarray(a) for a in arrays])
    counts = sorted({len(a) for a in found})
    if len(counts) != 1:
        raise ValueError(f"arrays with one row per sample are needed, got {counts or 'none'} rows")
    return found, counts[0]


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
        ValueError: if the numbers of rows differ, or one part would be empty.

    >>> import numpy as np
    >>> (x, y), (x_test, y_test) = split(np.arange(10.0), np.arange(10), share=0.3)
    >>> len(x), len(x_test), bool((x == y).all())
    (7, 3, True)
    """
    found, count = rows(arrays)
    aside = round(count * share)
    if not 0 < aside < count:
        raise ValueError(f"a share of {share} of {count} rows leaves one part empty")
    order = np.random.default_rng(seed).permutation(count)
    return (
        tuple([a[order[aside:]] for a in found]),
        tuple([a[order[:aside]] for a in found]),
    )


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
        ValueError: if the numbers of rows differ, or ``batch_size`` is not positive.

    >>> import numpy as np
    >>> [x.tolist() for x, in minibatches([np.arange(5)], 2, shuffle=False)]
    [[0, 1], [2, 3], [4]]
    """
    found, count = rows(arrays)
    if batch_size < 1:
        raise ValueError(f"batch_size is at least 1, got {batch_size}")
    order = np.random.default_rng(seed).permutation(count) if shuffle else None
    for start in range(0, count, batch_size):
        stop = start + batch_size
        if order is None:
            yield tuple([a[start:stop] for a in found])
        else:
            picked = order[start:stop]
            yield tuple([a.take(picked, axis=0) for a in found])


def one_hot(labels: Any, classes: int, dtype: Any = "float64") -> np.ndarray[Any, Any]:
    """Rows with a one at the place that the label names: shape ``(..., classes)``.

    Raises:
        ValueError: if a label is not one of ``0 ... classes - 1``.

    >>> one_hot([1, 0], 3)
    array([[0., 1., 0.],
           [1., 0., 0.]])
    """
    numbers = np.asarray(labels)
    if numbers.dtype.kind not in "iu":
        raise ValueError(f"labels are integers, not {numbers.dtype}")
    if numbers.size and (numbers.min() < 0 or numbers.max() >= classes):
        raise ValueError(f"labels {numbers.min()} ... {numbers.max()} are not 0 ... {classes - 1}")
    return (numbers[..., None] == np.arange(classes)).astype(dtype)
