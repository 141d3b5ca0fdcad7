"""Losses: how far predictions are from their targets, as one number."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import numpy as snp
from ..api import stop_gradient
from ..boundary import boundary
from ..errors import DTypeError, ShapeError
from ..ir.origin import user_frame

__all__ = ["accuracy", "cross_entropy", "mae", "mse"]


def _same_shape(name: str, prediction: Any, target: Any) -> None:
    """Refuse shapes that would broadcast: (n,) against (n, 1) is n² differences, not n."""
    if np.shape(prediction) != np.shape(target):
        raise ShapeError(
            f"{name}: predictions are of shape {np.shape(prediction)}, targets {np.shape(target)}",
            place=user_frame(),
            right="target.reshape(prediction.shape)",
        )


@boundary
def mse(prediction: Any, target: Any) -> Any:
    """The mean of the squared errors.

    Args:
        prediction: an array of any shape.
        target: an array of the same shape.

    Returns:
        A scalar.

    Raises:
        ShapeError: if the shapes differ.

    >>> import numpy as np, symflux as sf
    >>> float(sf.nn.mse(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    2.0
    """
    _same_shape("mse", prediction, target)
    return snp.mean(snp.square(snp.subtract(prediction, target)))


@boundary
def mae(prediction: Any, target: Any) -> Any:
    """The mean of the absolute errors; its slope at an error of zero is zero.

    Arguments and errors as for :func:`mse`.

    >>> import numpy as np, symflux as sf
    >>> float(sf.nn.mae(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    1.0
    """
    _same_shape("mae", prediction, target)
    return snp.mean(snp.abs(snp.subtract(prediction, target)))


@boundary
def cross_entropy(logits: Any, target: Any) -> Any:
    """The mean negative log-likelihood of the targets under ``softmax(logits)``.

    It is computed from the logits, before any softmax, so that no probability underflows.

    Args:
        logits: shape ``(..., classes)``.
        target: integers ``0 ... classes - 1`` of shape ``(...)``, or probabilities (such as one-hot
            rows) of the shape of the logits.

    Returns:
        A scalar: the mean over all but the last axis; nan if an integer names no class.

    Raises:
        ShapeError: if the target has neither of the two shapes.
        DTypeError: if class numbers are not integers.

    >>> import numpy as np, symflux as sf
    >>> logits = np.array([[1000.0, 0.0], [0.0, 0.0]])
    >>> float(sf.nn.cross_entropy(logits, np.array([0, 1])))
    0.34657359027997264
    >>> float(sf.nn.cross_entropy(logits, np.array([[1, 0], [0, 1]])))
    0.34657359027997264
    """
    shape, given = np.shape(logits), np.shape(target)
    if not shape or given not in (shape, shape[:-1]):
        raise ShapeError(
            f"cross_entropy: logits of shape {shape} take targets of shape {shape[:-1]} "
            f"(class numbers) or {shape} (probabilities), not {given}",
            place=user_frame(),
            right="logits[: len(target)], target     # a target for each row of logits",
        )
    # -log softmax(z)[k] = log(sum(exp(z - m))) - (z - m)[k] with m = max(z), which the slope does
    # not depend on. `where` leaves out logits of -inf that have no part in the loss; elsewhere the
    # loss is linear in the target, at probabilities of 0 too.
    shifted = snp.subtract(logits, stop_gradient(snp.max(logits, axis=-1, keepdims=True)))
    normaliser = snp.log(snp.sum(snp.exp(shifted), axis=-1))
    if given == shape:
        left_out = snp.logical_and(snp.equal(target, 0), snp.isinf(shifted))
        needed = snp.where(left_out, 0.0, shifted)
        own_terms = snp.sum(snp.multiply(target, needed), axis=-1)
        return snp.mean(normaliser * snp.sum(target, axis=-1) - own_terms)
    labels = snp.asarray(target)
    if labels.dtype.kind not in "iu":
        raise DTypeError(
            f"cross_entropy: class numbers are integers, not {labels.dtype}",
            place=user_frame(),
            right="target.astype(np.int64)",
        )
    # int64 numbers of classes, whatever the labels' dtype: int8 cannot count 300 classes
    own = labels[..., None] == snp.arange(shape[-1])
    picked = snp.sum(snp.where(own, shifted, 0.0), axis=-1)
    known = snp.all((labels >= 0) & (labels < shape[-1]))
    return snp.mean(normaliser - picked) + snp.where(known, 0.0, np.nan).astype(picked.dtype)


@boundary
def accuracy(scores: Any, labels: Any) -> Any:
    """The share of rows whose largest score is at the place the label names.

    Args:
        scores: shape ``(..., classes)``: logits or probabilities.
        labels: integers of shape ``(...)``.

    Raises:
        ShapeError: if the shapes do not fit.

    >>> import numpy as np, symflux as sf
    >>> float(sf.nn.accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1])))
    0.5
    """
    if np.shape(scores)[:-1] != np.shape(labels):
        raise ShapeError(
            f"accuracy: scores of shape {np.shape(scores)} take labels of shape "
            f"{np.shape(scores)[:-1]}, not {np.shape(labels)}",
            place=user_frame(),
            right="scores[: len(labels)], labels     # a label for each row of scores",
        )
    return snp.mean(snp.equal(snp.argmax(scores, axis=-1), labels))
