"""Training: one compiled step, and the loop around it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .api import compile, gradient
from .boundary import boundary
from .data.minibatches import minibatches, rows
from .errors import ShapeError
from .ir.origin import user_frame
from .optim.optimisers import Optimizer, State
from .runtime.function import CompiledFunction
from .trace.param import params as params_of

__all__ = ["Epoch", "History", "train", "training_step"]


@dataclass(frozen=True)
class Epoch:
    """One pass over the data.

    Attributes:
        number: 1, 2, ...
        loss: mean over all samples, each with the params that its batch met.
        seconds: spent in the pass.
    """

    number: int
    loss: float
    seconds: float


@dataclass(frozen=True)
class History:
    """What :func:`train` did.

    Attributes:
        epochs: one entry each.
        compile_seconds: spent on tracing and compiling, before the first epoch.
        step: the compiled training step; ``step.graph``, ``step.kernels`` show what was generated.
        state: of the optimiser, after the last step.
    """

    epochs: tuple[Epoch, ...]
    compile_seconds: float
    step: CompiledFunction
    state: State

    @property
    def losses(self) -> list[float]:
        """The loss of each epoch."""
        return [epoch.loss for epoch in self.epochs]

    @property
    def seconds(self) -> list[float]:
        """The time of each epoch."""
        return [epoch.seconds for epoch in self.epochs]

    def __repr__(self) -> str:
        if not self.epochs:
            return "History(no epochs)"
        first, last = self.epochs[0].loss, self.epochs[-1].loss
        return f"History({len(self.epochs)} epochs, loss {first:.4g} -> {last:.4g})"


@boundary
def training_step(
    model: Callable[..., Any], loss: Callable[..., Any], optimizer: Optimizer,
    state: State | None = None,
) -> CompiledFunction:  # fmt: skip
    """A compiled function ``step(inputs, *targets)``: one step of training in one native call.

    It computes the loss and its gradient, changes the params of the model and the state of the
    optimiser in place, and returns the loss from before the change.

    Args:
        model: holds params (a layer); ``model(inputs)`` is the prediction.
        loss: ``loss(prediction, *targets)`` is a floating-point scalar.
        optimizer: one of ``sf.optim``.
        state: from ``optimizer.init(sf.params(model))``; without it, training starts anew.

    Raises:
        ArgumentError: if the model holds no params.

    >>> import numpy as np, symflux as sf
    >>> model = sf.nn.Dense(1, 1, seed=0)
    >>> step = sf.training_step(model, sf.nn.mse, sf.optim.Descent(0.1))
    >>> x = np.linspace(-1.0, 1.0, 8)[:, None]
    >>> losses = [step(x, 2.0 * x + 1.0) for _ in range(200)]
    >>> losses[-1] < 1e-6, model.b.round(2)
    (np.True_, array([1.]))
    """
    params = params_of(model)
    kept = optimizer.init(params) if state is None else state

    def training_step(inputs: Any, *targets: Any) -> Any:
        def objective() -> Any:
            return loss(model(inputs), *targets)

        value = objective()
        optimizer.update(params, gradient(objective, params), kept)
        return value

    return compile(training_step)


@boundary
def train(
    model: Callable[..., Any], loss: Callable[..., Any], data: Sequence[Any], optimizer: Optimizer,
    *, epochs: int = 10, batch_size: int = 32, seed: int | np.random.Generator | None = 0,
    callback: Callable[[Epoch], Any] | None = None, state: State | None = None,
) -> History:  # fmt: skip
    """Train a model on shuffled minibatches. Its params change in place.

    Args:
        model: holds params (a layer); ``model(inputs)`` is the prediction.
        loss: ``loss(prediction, *targets)`` is a floating-point scalar, a mean over the batch.
        data: ``(inputs, *targets)``: arrays with one row per sample.
        optimizer: one of ``sf.optim``.
        epochs: passes over the data.
        batch_size: samples per step. The last batch of an epoch has what is left.
        seed: of the order of the samples, which is another one in each epoch.
        callback: called with an :class:`Epoch` after each; if it returns True, training ends.
        state: of the optimiser, to go on where ``history.state`` of an earlier call ended.

    Returns:
        A :class:`History`.

    Raises:
        ArgumentError: if the model holds no params.
        ShapeError: if the arrays have no rows or different numbers of them.

    >>> import numpy as np, symflux as sf
    >>> model = sf.nn.Dense(2, 8, np.tanh, seed=0) >> sf.nn.Dense(8, 2, seed=1)
    >>> x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> labels = np.array([0, 1, 1, 0])
    >>> history = sf.train(
    ...     model, sf.nn.cross_entropy, (x, labels), sf.optim.Adam(0.1), epochs=100, batch_size=4
    ... )
    >>> np.argmax(model(x), axis=1)
    array([0, 1, 1, 0])
    """
    arrays, count = rows(data)
    if count == 0:
        raise ShapeError("train: there is no data to train on: 0 rows", place=user_frame())
    rng = np.random.default_rng(seed)
    kept = optimizer.init(params_of(model)) if state is None else state
    step = training_step(model, loss, optimizer, kept)
    began = time.perf_counter()
    for size in {min(batch_size, count), count % batch_size or batch_size}:
        if size <= count:
            step.lower(*[a[:size] for a in arrays])
    compiled = time.perf_counter()
    done: list[Epoch] = []
    for number in range(1, epochs + 1):
        start = time.perf_counter()
        total = 0.0
        for batch in minibatches(arrays, batch_size, rng):
            total += float(step(*batch)) * len(batch[0])
        done.append(Epoch(number, total / count, time.perf_counter() - start))
        if callback is not None and callback(done[-1]):
            break
    return History(tuple(done), compiled - began, step, kept)
