"""Optimisers: one update rule each, applied to new values or in place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import numpy as snp
from .. import tree
from ..boundary import boundary, wrong_call
from ..errors import ArgumentError, DTypeError, ShapeError, StructureError
from ..ir.origin import user_frame
from ..trace.param import Gradients, Param, Params, update

__all__ = ["Adam", "AdamW", "Descent", "Momentum", "Optimizer", "State"]

#: A number, a scalar param (which may change while training), or a function of the step's number.
Rate = float | Param | Callable[[Any], Any]


@dataclass(frozen=True)
class State:
    """What an optimiser remembers between steps; a container, so it passes through ``sf.compile``.

    Attributes:
        count: the number of steps taken, an integer scalar.
        slots: for each name, one array per parameter, in the order of the parameters' leaves.
    """

    count: Any
    slots: dict[str, tuple[Any, ...]]


#: what other libraries call a setting -> what to write
_RATE = "sf.optim.{0}(rate={1!r})"
_HABITS = {
    **dict.fromkeys(("lr", "learning_rate", "eta", "step_size"), _RATE),
    **dict.fromkeys(("beta1", "b1"), "sf.optim.{0}(rate, decay={1!r})"),
    **dict.fromkeys(("beta2", "b2"), "sf.optim.{0}(rate, square_decay={1!r})"),
    "betas": "sf.optim.{0}(rate, decay=0.9, square_decay=0.999)",
    "eps": "sf.optim.{0}(rate, epsilon={1!r})",
    "momentum": "sf.optim.Momentum(rate, {1!r})",
    "nesterov": "sf.optim.Momentum(rate, nesterov={1!r})",
    "weight_decay": "sf.optim.AdamW(rate, shrink={1!r})",
}  # fmt: skip


def _check_settings(cls: type, values: Sequence[Any], settings: Mapping[str, Any]) -> None:
    """Raise for settings that an optimiser does not have.

    Raises:
        ArgumentError: with those that are meant.
    """
    init = vars(cls).get("__init__") or cls.__init__  # type: ignore[misc]
    try:
        signature = inspect.signature(init)
        signature.bind(None, *values, **settings)
    except ValueError:
        return
    except TypeError as error:
        for name, value in settings.items():
            if name in _HABITS and name not in signature.parameters:
                called = "the learning rate is called rate, not" if _HABITS[name] is _RATE else (
                    "there is no"
                )  # fmt: skip
                raise ArgumentError(
                    f"{cls.__name__}: {called} {name}",
                    place=user_frame(),
                    right=_HABITS[name].format(cls.__name__, value),
                ) from None
        wrong = wrong_call(error, init, settings, cls.__name__)
        if wrong is not None:
            raise wrong from None


class Optimizer:
    """The base of optimisers. A subclass names its ``slots`` and defines :meth:`rule`.

    There are two ways to take a step. :meth:`step` is pure: it returns new parameters and a new
    state. :meth:`update` changes params and their state in place; in a compiled function, forward
    pass, gradient and update become one native call:

    >>> import numpy as np, symflux as sf
    >>> W, optimizer = sf.param([1.0, 2.0]), sf.optim.Descent(0.1)
    >>> state = optimizer.init(W)
    >>> @sf.compile
    ... def step(x):
    ...     loss = lambda: np.sum((W * x) ** 2)
    ...     value = loss()
    ...     optimizer.update(W, sf.gradient(loss, sf.params(W))[W], state)
    ...     return value
    >>> float(step(1.0)), W, int(state.count)
    (5.0, param([0.8, 1.6]), 1)
    """

    #: names of the arrays that are kept per parameter; they start at zero
    slots: tuple[str, ...] = ()

    @boundary
    def __new__(cls, *values: Any, **settings: Any) -> Optimizer:
        if values or settings:  # copies and pickles give none
            _check_settings(cls, values, settings)
        return super().__new__(cls)

    def __init__(self, rate: Rate) -> None:
        self.rate = rate

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"

    def rate_at(self, count: Any) -> Any:
        """The learning rate of step number ``count`` (1, 2, ...)."""
        return self.rate(count) if callable(self.rate) else self.rate

    def rule(
        self, gradient: Any, value: Any, slots: Mapping[str, Any], count: Any
    ) -> tuple[Any, dict[str, Any]]:
        """What to add to one parameter, and its new slots.

        Args:
            gradient, value: of the parameter; in float32 where it is float16, in which squares of
                gradients and small constants underflow.
            slots: arrays of its shape, by name; in float32 where the parameter is float16.
            count: the number of this step, from 1, as a float64 scalar.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define rule")

    @boundary
    def init(self, params: Any) -> State:
        """The state before the first step.

        Args:
            params: an array, or a container of arrays. The state of params is made of params, which
                :meth:`update` changes in place.

        Raises:
            DTypeError: for a parameter that is not of a floating-point dtype.
        """
        leaves = tree.leaves(params)
        for leaf in leaves:
            _check_float(leaf)
        kept = any(isinstance(leaf, Param) for leaf in leaves)
        count = Param(np.int64(0), "count") if kept else np.int64(0)
        return State(count, {s: tuple([_zeros(leaf, s) for leaf in leaves]) for s in self.slots})

    @boundary
    def step(self, params: Any, gradients: Any, state: State) -> tuple[Any, State]:
        """New parameters and the new state; nothing is changed.

        Args:
            params: an array, or a container of arrays.
            gradients: in the same structure; for ``sf.params(...)`` what ``sf.gradient`` gives.
            state: from :meth:`init` or the step before.

        Raises:
            StructureError: if the gradients have another structure.
            ArgumentError: for params, which :meth:`update` changes.

        >>> import numpy as np, symflux as sf
        >>> optimizer = sf.optim.Momentum(0.5, 0.9)
        >>> W = {"W": np.array([1.0, 2.0])}
        >>> W, state = optimizer.step(W, {"W": np.array([1.0, 0.0])}, optimizer.init(W))
        >>> W["W"], state.slots["velocity"]
        (array([0.5, 2. ]), (array([1., 0.]),))
        """
        leaves, structure = tree.flatten(params)
        if any(isinstance(leaf, Param) for leaf in leaves):
            raise ArgumentError(
                "step: returns new values and changes no params",
                place=user_frame(),
                wrong="optimizer.step(W, grads, state)       # W is a param",
                right="optimizer.update(W, grads, state)",
            )
        count = state.count + 1
        moved, slots = [], []
        given = _per_leaf(params, gradients)
        for i, (value, gradient) in enumerate(zip(leaves, given, strict=True)):
            delta, new = self._apply(value, gradient, state, i, count)
            moved.append(_in_dtype(value + delta, value))
            slots.append({n: _in_dtype(array, state.slots[n][i]) for n, array in new.items()})
        collected = {name: tuple([each[name] for each in slots]) for name in self.slots}
        return structure.unflatten(moved), State(count, collected)

    @boundary
    def update(self, params: Any, gradients: Any, state: State) -> None:
        """Take a step in place: params and state get new values.

        Args:
            params: a param, or a container of params (a layer, ``sf.params(...)``).
            gradients: in the same structure; for ``sf.params(...)`` what ``sf.gradient`` gives.
            state: from ``init(params)``.

        Raises:
            ArgumentError: for plain arrays, which cannot be changed in a compiled function.
            StructureError: if the gradients have another structure.
        """
        leaves = tree.leaves(params)
        if not all(isinstance(leaf, Param) for leaf in (*leaves, state.count)):
            raise ArgumentError(
                "only params are updated in place",
                place=user_frame(),
                right="params = sf.param(array)          # then optimizer.init(params)\n"
                "params, state = optimizer.step(params, gradients, state)",
            )
        update(state.count, 1)
        given = _per_leaf(params, gradients)
        for i, (value, gradient) in enumerate(zip(leaves, given, strict=True)):
            delta, new = self._apply(value, gradient, state, i, state.count)
            for name, array in new.items():
                state.slots[name][i][...] = array
            update(value, delta)

    def _apply(
        self, value: Any, gradient: Any, state: State, i: int, count: Any
    ) -> tuple[Any, dict[str, Any]]:
        own = {name: state.slots[name][i] for name in self.slots}
        return self.rule(_wide(gradient), _wide(value), own, snp.astype(count, np.float64))


def _check_float(leaf: Any) -> None:
    dtype = np.dtype(getattr(leaf, "dtype", type(leaf)))
    if dtype.kind != "f":
        raise DTypeError(
            f"only floating-point arrays can be optimised, not {dtype}",
            place=user_frame(),
            right="array.astype(np.float64)",
        )


def _zeros(leaf: Any, slot: str) -> Any:
    """The first value of a slot: a param for a param, an array for an array."""
    given = np.dtype(getattr(leaf, "dtype", np.float64))
    dtype = np.dtype(np.float32) if given == np.float16 else given
    if isinstance(leaf, Param):
        return Param(np.zeros(leaf.shape, dtype), f"{leaf.name}_{slot}" if leaf.name else slot)
    return snp.zeros(np.shape(leaf), dtype)


def _wide(x: Any) -> Any:
    """Half precision as single precision; other arrays as they are."""
    return snp.astype(x, np.float32) if getattr(x, "dtype", None) == np.float16 else x


def _in_dtype(new: Any, value: Any) -> Any:
    """``new`` in the dtype of ``value``: a float64 rate does not widen float32 parameters."""
    dtype = getattr(value, "dtype", np.float64)
    return new if getattr(new, "dtype", dtype) == dtype else new.astype(dtype)


def _per_leaf(params: Any, gradients: Any) -> list[Any]:
    """The gradient for each leaf of ``params``."""
    if isinstance(params, Params) and isinstance(gradients, Gradients):
        return [gradients[each] for each in params]
    leaves, structure = tree.flatten(params)
    try:
        given = structure.flatten_up_to(gradients)
    except StructureError as error:
        raise StructureError(
            f"the gradients have another structure than the params: {error}",
            place=user_frame(),
            right="sf.grad(loss)(params)     # has that of the params",
        ) from None
    for value, gradient in zip(leaves, given, strict=True):
        if np.shape(gradient) != np.shape(value):
            raise ShapeError(
                f"a gradient has the shape of its param: {np.shape(value)}, got "
                f"{np.shape(gradient)}",
                place=user_frame(),
                right="sf.grad(loss)(params)     # has that of the params",
            )
    return given


class Descent(Optimizer):
    """Gradient descent: ``w -= rate * gradient``.

    Args:
        rate: the learning rate; a number, a scalar param, or a function of the step's number.

    >>> import numpy as np, symflux as sf
    >>> w, optimizer = np.array([1.0, 2.0]), sf.optim.Descent(0.5)
    >>> optimizer.step(w, np.array([1.0, 2.0]), optimizer.init(w))[0]
    array([0.5, 1. ])
    """

    def __init__(self, rate: Rate = 0.1) -> None:
        super().__init__(rate)

    def rule(
        self, gradient: Any, value: Any, slots: Mapping[str, Any], count: Any
    ) -> tuple[Any, dict[str, Any]]:
        return -self.rate_at(count) * gradient, {}


class Momentum(Optimizer):
    """Descent with inertia: ``velocity = decay * velocity + gradient; w -= rate * velocity``.

    Args:
        rate: the learning rate; a number, a scalar param, or a function of the step's number.
        decay: what is left of the velocity after a step.
        nesterov: take the gradient's part twice, as if looking one step ahead.

    Sources: B. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964;
    I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML
    2013.

    >>> import numpy as np, symflux as sf
    >>> w, optimizer = np.array([1.0]), sf.optim.Momentum(0.1, 0.5)
    >>> state = optimizer.init(w)
    >>> for _ in range(2):
    ...     w, state = optimizer.step(w, np.array([1.0]), state)
    >>> w
    array([0.75])
    """

    slots = ("velocity",)

    def __init__(self, rate: Rate = 0.01, decay: float = 0.9, nesterov: bool = False) -> None:
        super().__init__(rate)
        self.decay = decay
        self.nesterov = nesterov

    def rule(
        self, gradient: Any, value: Any, slots: Mapping[str, Any], count: Any
    ) -> tuple[Any, dict[str, Any]]:
        velocity = self.decay * slots["velocity"] + gradient
        ahead = gradient + self.decay * velocity if self.nesterov else velocity
        return -self.rate_at(count) * ahead, {"velocity": velocity}


class Adam(Optimizer):
    """Steps of about the learning rate, whatever the size of the gradients.

    Running means of the gradient (``mean``) and of its square (``square``), corrected for their
    start at zero, give ``w -= rate * mean / (sqrt(square) + epsilon)``.

    Args:
        rate: the learning rate; a number, a scalar param, or a function of the step's number.
        decay: what is left of the running mean after a step.
        square_decay: the same for the mean square.
        epsilon: keeps the division finite.

    Source: D. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    >>> import numpy as np, symflux as sf
    >>> w, optimizer = np.array([1.0, 2.0]), sf.optim.Adam(0.1)
    >>> optimizer.step(w, np.array([300.0, -0.01]), optimizer.init(w))[0].round(4)
    array([0.9, 2.1])
    """

    slots = ("mean", "square")

    def __init__(
        self, rate: Rate = 1e-3, decay: float = 0.9, square_decay: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:  # fmt: skip
        super().__init__(rate)
        self.decay = decay
        self.square_decay = square_decay
        self.epsilon = epsilon

    def rule(
        self, gradient: Any, value: Any, slots: Mapping[str, Any], count: Any
    ) -> tuple[Any, dict[str, Any]]:
        mean = self.decay * slots["mean"] + (1.0 - self.decay) * gradient
        square = self.square_decay * slots["square"] + (1.0 - self.square_decay) * gradient**2
        # the two corrections are scalars; they are put together in float64 and meet the arrays once
        root = snp.sqrt(1.0 - self.square_decay**count)
        rate = _in_dtype(self.rate_at(count) * root / (1.0 - self.decay**count), value)
        epsilon = _in_dtype(self.epsilon * root, value)
        return -rate * mean / (snp.sqrt(square) + epsilon), {"mean": mean, "square": square}


class AdamW(Adam):
    """:class:`Adam` whose parameters also shrink by ``rate * shrink`` of themselves at each step.

    Source: I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019.

    >>> import numpy as np, symflux as sf
    >>> w, optimizer = np.array([2.0]), sf.optim.AdamW(0.1, shrink=0.5)
    >>> optimizer.step(w, np.array([1.0]), optimizer.init(w))[0].round(4)
    array([1.8])
    """

    def __init__(
        self, rate: Rate = 1e-3, decay: float = 0.9, square_decay: float = 0.999,
        epsilon: float = 1e-8, shrink: float = 0.01,
    ) -> None:  # fmt: skip
        super().__init__(rate, decay, square_decay, epsilon)
        self.shrink = shrink

    def rule(
        self, gradient: Any, value: Any, slots: Mapping[str, Any], count: Any
    ) -> tuple[Any, dict[str, Any]]:
        delta, new = super().rule(gradient, value, slots, count)
        return delta - _in_dtype(self.rate_at(count) * self.shrink * value, value), new
