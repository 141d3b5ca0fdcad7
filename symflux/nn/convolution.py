"""Layers that look at neighbourhoods: convolution and pooling, over any number of axes.

Inputs are ``(..., *space, channels)``, channels last. Windows are read where they lie: no array of
neighbourhoods is made (``ops/windows.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..boundary import boundary
from ..errors import ArgumentError, ShapeError
from ..ir.origin import user_frame
from ..trace.param import Param
from .initialise import Seed, glorot_uniform
from .layers import Layer, check_sizes, checked_activation, shown

__all__ = ["Conv", "MaxPool", "MeanPool"]


class Conv(Layer):
    """A layer in which every output sees a window of the input: ``activation(windows . W + b)``.

    As in all libraries for neural networks the window is not reversed (a cross-correlation).

    Args:
        n_in: channels of the input, whose shape is ``(..., *space, n_in)``.
        n_out: channels of the result, whose shape is ``(..., *space, n_out)``.
        size: extents of the window, one for each axis of space: ``(3, 3)`` for images.
        activation: a function of arrays, such as ``sf.relu``; None for a linear layer.
        bias: whether there is an offset ``b`` for each channel, which starts at zero.
        step: from one window to the next, for all axes or one for each.
        padding: ``"same"`` surrounds the input with zeros so that a step of 1 keeps its extents
            (the larger half behind where a window has an even extent); ``"valid"`` takes only
            windows that lie inside.
        seed: an integer, a ``numpy.random.Generator`` to draw from, or None (other weights each
            time).
        init: the first weights: ``init((n_out, *size, n_in), seed, dtype)``.
        dtype: of the params.

    Attributes:
        W: param of shape ``(n_out, *size, n_in)``.
        b: param of shape ``(n_out,)``, or None.

    Raises:
        ShapeError: when called with an input of other channels, or smaller than the window.

    >>> import numpy as np, symflux as sf
    >>> layer = sf.nn.Conv(1, 4, (3, 3), sf.relu, seed=0)
    >>> layer
    Conv(1, 4, (3, 3), relu)  # W (4, 3, 3, 1), b (4,): 40 parameters
    >>> layer(np.zeros((8, 28, 28, 1))).shape
    (8, 28, 28, 4)
    """

    @boundary
    def __init__(
        self, n_in: int, n_out: int, size: Sequence[int],
        activation: Callable[[Any], Any] | None = None, bias: bool = True, *,
        step: int | Sequence[int] = 1, padding: Literal["same", "valid"] = "same",
        seed: Seed = None, init: Callable[..., Any] = glorot_uniform, dtype: Any = "float64",
    ) -> None:  # fmt: skip
        self.size = _extents(size, "size")
        check_sizes("Conv", n_in, n_out)
        if padding not in ("same", "valid"):
            raise ArgumentError(
                f"padding is 'same' or 'valid', not {padding!r}",
                place=user_frame(),
                right="padding='same'       # as long as the input; 'valid': where the window fits",
            )
        self.step = _for_each(step, len(self.size))
        self.padding = padding
        self.W = Param(init((n_out, *self.size, n_in), seed, dtype), "W")
        self.b = Param(np.zeros(n_out, dtype), "b") if bias else None
        self.activation = checked_activation("Conv", activation)

    @boundary
    def __call__(self, x: Any) -> Any:
        rank = len(self.size)
        x = _checked(self, x, rank, self.W.shape[-1])
        if self.padding == "same":
            around = [((n - 1) // 2, n // 2) for n in self.size]
            x = np.pad(x, [(0, 0)] * (x.ndim - rank - 1) + around + [(0, 0)])
        seen = _windows(self, x, self.size, self.step)  # (..., *space, n_in, *size)
        inside = list(range(-rank - 1, 0))
        y = np.tensordot(seen, self.W, axes=(inside, [rank + 1, *range(1, rank + 1)]))
        if self.b is not None:
            y = y + self.b
        return y if self.activation is None else self.activation(y)

    def signature(self) -> str:
        n_out, n_in = self.W.shape[0], self.W.shape[-1]
        words = [str(n_in), str(n_out), str(self.size)]
        if self.activation is not None:
            words.append(shown(self.activation))
        if self.b is None:
            words.append("bias=False")
        if set(self.step) != {1}:
            words.append(f"step={self.step}")
        if self.padding != "same":
            words.append(f"padding={self.padding!r}")
        return f"Conv({', '.join(words)})"


class _Pool(Layer):
    """The base of pooling layers."""

    @boundary
    def __init__(self, size: Sequence[int], step: int | Sequence[int] | None = None) -> None:
        self.size = _extents(size, "size")
        self.step = self.size if step is None else _for_each(step, len(self.size))

    def _seen(self, x: Any) -> Any:
        """The windows: (..., *space, channels, *size)."""
        return _windows(self, _checked(self, x, len(self.size)), self.size, self.step)

    def signature(self) -> str:
        step = "" if self.step == self.size else f", step={self.step}"
        return f"{type(self).__name__}({self.size}{step})"


class MaxPool(_Pool):
    """The largest element of each window, channel by channel.

    Args:
        size: extents of the window, one for each axis of space; the input is
            ``(..., *space, channels)``.
        step: from one window to the next; default: windows side by side. What is left at the end
            is not looked at.

    >>> import numpy as np, symflux as sf
    >>> sf.nn.MaxPool((2, 2))(np.zeros((8, 28, 28, 4))).shape
    (8, 14, 14, 4)
    """

    @boundary
    def __call__(self, x: Any) -> Any:
        return np.max(self._seen(x), axis=tuple(range(-len(self.size), 0)))


class MeanPool(_Pool):
    """The mean of each window, channel by channel; see :class:`MaxPool`."""

    @boundary
    def __call__(self, x: Any) -> Any:
        return np.mean(self._seen(x), axis=tuple(range(-len(self.size), 0)))


def _extents(size: Any, name: str) -> tuple[int, ...]:
    if isinstance(size, int | np.integer):
        raise ArgumentError(
            f"{name} has an extent for each axis of space, got {size}: "
            f"write ({size}, {size}) for images, ({size},) for sequences"
        )
    extents = tuple(int(n) for n in size)
    if not extents or min(extents) < 1:
        raise ShapeError(f"{name} needs positive extents, got {extents}")
    return extents


def _for_each(step: int | Sequence[int], rank: int) -> tuple[int, ...]:
    if isinstance(step, int | np.integer):
        return (int(step),) * rank
    steps = _extents(step, "step")
    if len(steps) != rank:
        raise ShapeError(f"step {steps} needs {rank} numbers, one for each axis of the window")
    return steps


def _checked(layer: Layer, x: Any, rank: int, channels: int | None = None) -> Any:
    """The input as an array of enough axes, with the channels it must have."""
    x = x if hasattr(x, "__array_ufunc__") else np.asarray(x)
    if x.ndim < rank + 1 or channels not in (None, x.shape[-1]):
        space = ", ".join("?" for _ in range(rank))
        last = "channels" if channels is None else str(channels)
        raise ShapeError(
            f"{layer.signature()} takes inputs of shape (..., {space}, {last}), "
            f"not {tuple(x.shape)}",
            place=user_frame(),
            right="x[..., None]         # an axis for one channel, the last one",
        )
    return x


def _windows(layer: Layer, x: Any, size: tuple[int, ...], step: tuple[int, ...]) -> Any:
    rank = len(size)
    space = tuple(x.shape[-rank - 1 : -1])
    if any(n < s for n, s in zip(space, size, strict=True)):
        raise ShapeError(
            f"{layer.signature()} needs inputs that its window fits into, not {tuple(x.shape)}",
            place=user_frame(),
            right="np.pad(x, ...)       # or a smaller window",
        )
    axes = tuple(range(x.ndim - rank - 1, x.ndim - 1))
    seen = sliding_window_view(x, size, axis=axes)
    if set(step) == {1}:
        return seen
    picks = [slice(None)] * len(seen.shape)
    for axis, by in zip(axes, step, strict=True):
        picks[axis] = slice(None, None, by)
    return seen[tuple(picks)]
