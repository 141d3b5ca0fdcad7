"""Layers: plain callables that hold params, and their composition."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import tree
from ..boundary import boundary
from ..errors import ArgumentError, ShapeError
from ..ir.origin import user_frame
from ..trace.param import Param
from .initialise import Seed, glorot_uniform

__all__ = ["Chain", "Dense", "Function", "Layer", "parameter_count", "shown"]


class Layer(tree.Container):
    """The base of layers: an object that is called like a function and holds params.

    Subclasses define ``__init__`` and ``__call__``; attributes that are params, layers, or lists,
    tuples and dicts of them are found by :func:`symflux.params`, and gradients with respect to a
    layer are layers again. ``a >> b`` feeds what ``a`` returns to ``b``; one of the two may be a
    plain function.

    >>> import numpy as np, symflux as sf
    >>> class Scale(sf.nn.Layer):
    ...     def __init__(self, n):
    ...         self.factor = sf.param(np.ones(n))
    ...     def __call__(self, x):
    ...         return self.factor * x
    >>> layer = Scale(2)
    >>> layer
    Scale()  # factor (2,): 2 parameters
    >>> (layer >> np.sum)(np.array([3.0, 4.0]))
    np.float64(7.0)
    """

    def __call__(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")

    @boundary
    def __rshift__(self, other: Any) -> Chain:
        return Chain(self, other) if callable(other) else NotImplemented

    @boundary
    def __rrshift__(self, other: Any) -> Chain:
        return Chain(other, self) if callable(other) else NotImplemented

    def signature(self) -> str:
        """How the layer is written, without its params: ``Dense(10, 5, sigmoid)``."""
        settings = [
            f"{name}={shown(value)}"
            for name, value in vars(self).items()
            if tree.structure(value) is tree.LEAF and not tree.is_array(value)
        ]
        return f"{type(self).__name__}({', '.join(settings)})"

    def __repr__(self) -> str:
        held = _holdings(self)
        count = parameter_count(self)
        if not held:
            return self.signature()
        return f"{self.signature()}  # {held}: {count} parameter{'' if count == 1 else 's'}"


def shown(value: Any) -> str:
    """A setting of a layer as its signature shows it: functions by their names."""
    return getattr(value, "__name__", None) or repr(value)


def _holdings(layer: Any) -> str:
    """The arrays of a layer and their shapes: ``W (5, 10), b (5,)``."""
    named = [(path, leaf) for path, leaf in tree.paths(layer) if tree.is_array(leaf)]
    return ", ".join(f"{path.removeprefix('.')} {leaf.shape}" for path, leaf in named)


def parameter_count(model: Any) -> int:
    """The number of elements in all params of a model; a param that is used twice counts once.

    >>> import symflux as sf
    >>> sf.nn.parameter_count(sf.nn.Dense(10, 5))
    55
    """
    found = {id(p): p for p in tree.leaves(model) if isinstance(p, Param)}
    return sum(int(p.size) for p in found.values())


def checked_activation(layer: str, activation: Any) -> Any:
    """The activation of a layer.

    Raises:
        ArgumentError: if it is no function, such as a name.
    """
    if activation is None or callable(activation):
        return activation
    name = activation if isinstance(activation, str) and activation.isidentifier() else "relu"
    raise ArgumentError(
        f"{layer}: the activation is a function of arrays, not {activation!r}",
        place=user_frame(),
        right=f"sf.nn.{layer}(..., sf.{name})",
    )


def check_sizes(layer: str, n_in: Any, n_out: Any) -> None:
    """Raises for numbers of inputs and outputs that no layer has."""
    for size in (n_in, n_out):
        if not hasattr(size, "__index__"):
            raise ArgumentError(
                f"{layer}: sizes are whole numbers, not {size!r}",
                place=user_frame(),
                right="n // 2               # of an integer; int(n) of a float",
            )
        if size < 1:
            raise ShapeError(
                f"{layer}: there is an input and an output at least, got {n_in}, {n_out}",
                place=user_frame(),
                right=f"sf.nn.{layer}({max(n_in, 1)}, {max(n_out, 1)})",
            )


class Dense(Layer):
    """A layer in which every output sees every input: ``activation(x @ W.T + b)``.

    Args:
        n_in: size of the last axis of the input, whose shape is ``(..., n_in)``.
        n_out: size of the last axis of the result, whose shape is ``(..., n_out)``.
        activation: a function of arrays, such as ``sf.relu``; None for a linear layer.
        bias: whether there is an offset ``b``, which starts at zero.
        seed: an integer, a ``numpy.random.Generator`` to draw from, or None (other weights each
            time).
        init: the first weights: ``init((n_out, n_in), seed, dtype)``; see ``nn/initialise.py``.
        dtype: of the params.

    Attributes:
        W: param of shape ``(n_out, n_in)``.
        b: param of shape ``(n_out,)``, or None.

    Raises:
        ShapeError: when called with an input whose last axis is not ``n_in`` long.

    >>> import numpy as np, symflux as sf
    >>> layer = sf.nn.Dense(3, 2, np.tanh, seed=0)
    >>> layer
    Dense(3, 2, tanh)  # W (2, 3), b (2,): 8 parameters
    >>> layer(np.zeros((4, 3))).shape
    (4, 2)
    """

    @boundary
    def __init__(
        self, n_in: int, n_out: int, activation: Callable[[Any], Any] | None = None,
        bias: bool = True, *, seed: Seed = None, init: Callable[..., Any] = glorot_uniform,
        dtype: Any = "float64",
    ) -> None:  # fmt: skip
        check_sizes("Dense", n_in, n_out)
        self.W = Param(init((n_out, n_in), seed, dtype), "W")
        self.b = Param(np.zeros(n_out, dtype), "b") if bias else None
        self.activation = checked_activation("Dense", activation)

    @boundary
    def __call__(self, x: Any) -> Any:
        shape = np.shape(x)
        if not shape or shape[-1] != self.W.shape[1]:
            raise ShapeError(
                f"{self.signature()} takes inputs of shape (..., {self.W.shape[1]}), not {shape}",
                place=user_frame(),
                right=f"sf.nn.Dense({shape[-1] if shape else 1}, {self.W.shape[0]})",
            )
        y = x @ self.W.T if hasattr(x, "__array_ufunc__") else np.asarray(x) @ self.W.T
        if self.b is not None:
            y = y + self.b
        return y if self.activation is None else self.activation(y)

    def signature(self) -> str:
        n_out, n_in = self.W.shape
        activation = "" if self.activation is None else f", {shown(self.activation)}"
        return f"Dense({n_in}, {n_out}{activation}{', bias=False' if self.b is None else ''})"


class Function(Layer):
    """A plain function in a chain: it has no params, and is part of the model's structure.

    >>> import numpy as np, symflux as sf
    >>> sf.nn.Function(np.tanh)
    tanh
    """

    @boundary
    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn

    @boundary
    def __call__(self, x: Any, *more: Any) -> Any:
        return self.fn(x, *more)

    def signature(self) -> str:
        return shown(self.fn)


class Chain(Layer):
    """Layers one after the other: each gets what the one before returned.

    Args:
        layers: layers and plain functions. A chain among them is taken apart, so that
            ``(a >> b) >> c`` and ``a >> (b >> c)`` are the same model.

    Raises:
        ArgumentError: for something that cannot be called, and for objects that hold params but are
            not layers (their params would not be found).

    >>> import symflux as sf
    >>> sf.nn.Chain(lambda x: x**2, lambda x: x + 1)(5)
    26
    >>> sf.nn.Chain(sf.nn.Dense(10, 5, sf.sigmoid), sf.nn.Dense(5, 2), sf.softmax)
    Chain(
      Dense(10, 5, sigmoid),  # W (5, 10), b (5,): 55
      Dense(5, 2),            # W (2, 5), b (2,): 12
      softmax,
    )  # 67 parameters
    """

    @boundary
    def __init__(self, *layers: Any) -> None:
        found: list[Any] = []
        for layer in layers:
            found += layer.layers if type(layer) is Chain else [_as_layer(layer)]
        self.layers: tuple[Any, ...] = tuple(found)

    @boundary
    def __call__(self, x: Any, *more: Any) -> Any:
        if not self.layers:
            return (x, *more) if more else x
        first, *rest = self.layers
        x = first(x, *more)
        for layer in rest:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)

    def __getitem__(self, index: int | slice) -> Any:
        return Chain(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def signature(self) -> str:
        names = [each.signature() if isinstance(each, Layer) else repr(each) for each in self]
        return f"Chain({', '.join(names)})"

    def __repr__(self) -> str:
        lines = [layer.signature() if isinstance(layer, Layer) else repr(layer) for layer in self]
        width = max(map(len, lines), default=0) + 1
        text = ""
        for line, layer in zip(lines, self, strict=True):
            held = _holdings(layer)
            comment = f"  # {held}: {parameter_count(layer)}" if held else ""
            text += f"  {line + ',':<{width}}{comment}".rstrip() + "\n"
        return f"Chain(\n{text})  # {parameter_count(self)} parameters"


def _as_layer(layer: Any) -> Any:
    """A layer or another container as it is; a function wrapped, so that it is in the structure."""
    if not callable(layer):
        raise ArgumentError(
            f"a chain is made of layers and functions, not {type(layer).__name__}: {layer!r:.60}",
            place=user_frame(),
            wrong="Chain([Dense(2, 2), Dense(2, 2)])" if isinstance(layer, list | tuple) else "",
            right="Chain(*layers)"
            if isinstance(layer, list | tuple)
            else f"sf.{layer}"
            if isinstance(layer, str) and layer.isidentifier()
            else "",
        )
    if isinstance(layer, tree.Container):
        return layer
    owner = layer.__self__ if isinstance(layer, types.MethodType) else layer
    held = [name for name, value in getattr(owner, "__dict__", {}).items() if type(value) is Param]
    if held and not isinstance(owner, tree.Container):
        name = type(owner).__name__
        raise ArgumentError(
            f"the param `{held[0]}` of {name} would not be found in a chain",
            place=user_frame(),
            why="only layers are searched for params",
            wrong=f"class {name}: ...",
            right=f"class {name}(sf.nn.Layer): ...",
        )
    return Function(layer)
