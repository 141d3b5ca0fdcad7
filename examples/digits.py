"""Train a network of dense layers on handwritten digits, natively and beside it in NumPy.

The data are the 1,797 images of 8 x 8 pixels that come with scikit-learn (the test set of
E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI repository, 1998). A
fifth of them, by a fixed seed, is kept for the test. The network has 64 inputs, two layers with
relu and ten outputs.

Run it with ``python examples/digits.py [--epochs N] [--quick] [--out DIR]``. It prints the accuracy
and the time per epoch, shows a little of the generated code, and writes two pictures.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import symflux as sf

try:
    import matplotlib
    from sklearn.datasets import load_digits
    from tqdm import tqdm
except ImportError as error:
    raise SystemExit(
        f"this example needs {error.name}: python -m pip install 'symflux[examples]'"
    ) from None
matplotlib.use("Agg")
import matplotlib.pyplot as plt

Array = np.ndarray[Any, Any]

SIZES = (64, 128, 64, 10)
BATCH = 64
SEED = 0


def rate(count: Any) -> Any:
    """The learning rate of step number ``count``: large steps first, small ones to settle."""
    return 4e-3 / (1 + count / 300)


def load(dtype: str = "float32") -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """``(images, labels)`` to train and to test with; images are rows of 64 numbers 0 ... 1."""
    digits = load_digits()
    images = (digits.data / 16.0).astype(dtype)
    train, test = sf.data.split(images, digits.target, share=0.2, seed=SEED)
    return (train[0], train[1]), (test[0], test[1])


def build(dtype: str = "float32") -> sf.nn.Chain:
    """The network, with first weights from a fixed seed."""
    rng = np.random.default_rng(SEED)
    layers = []
    for n_in, n_out in itertools.pairwise(SIZES):
        activation = sf.relu if n_out != SIZES[-1] else None
        layers.append(
            sf.nn.Dense(n_in, n_out, activation, seed=rng, init=sf.nn.he_normal, dtype=dtype)
        )
    return sf.nn.Chain(*layers)


class NumpyNetwork:
    """The same network, loss and optimiser (Adam) in plain NumPy, with derivatives by hand."""

    def __init__(self, model: sf.nn.Chain) -> None:
        self.W = [np.array(layer.W) for layer in model]
        self.b = [np.array(layer.b) for layer in model]
        self.params = self.W + self.b
        self.mean = [np.zeros_like(p) for p in self.params]
        self.square = [np.zeros_like(p) for p in self.params]
        self.count = 0

    def step(self, x: Array, labels: Array) -> float:
        """One step of training on a batch; returns the loss before it."""
        inputs = [x]
        for W, b in zip(self.W[:-1], self.b[:-1], strict=True):
            inputs.append(np.maximum(inputs[-1] @ W.T + b, 0))
        logits = inputs[-1] @ self.W[-1].T + self.b[-1]

        shifted = logits - logits.max(axis=1, keepdims=True)
        exps = np.exp(shifted)
        sums = exps.sum(axis=1)
        rows = np.arange(len(x))
        loss = np.mean(np.log(sums) - shifted[rows, labels])

        slope = exps / sums[:, None]
        slope[rows, labels] -= 1
        slope /= len(x)
        slopes_W: list[Array] = []
        slopes_b: list[Array] = []
        for W, inp in zip(self.W[::-1], inputs[::-1], strict=True):
            slopes_W.append(slope.T @ inp)
            slopes_b.append(slope.sum(axis=0))
            if inp is not x:
                slope = (slope @ W) * (inp > 0)
        self.update(slopes_W[::-1] + slopes_b[::-1])
        return float(loss)

    def update(self, slopes: list[Array]) -> None:
        """Adam, in place."""
        self.count += 1
        root = float(np.sqrt(1 - 0.999**self.count))
        scale = rate(self.count) * root / (1 - 0.9**self.count)
        for p, g, mean, square in zip(self.params, slopes, self.mean, self.square, strict=True):
            mean *= 0.9
            mean += 0.1 * g
            square *= 0.999
            square += 0.001 * g**2
            p -= scale * mean / (np.sqrt(square) + 1e-8 * root)


def difference_after_one_step() -> float:
    """The largest difference between the params of both networks after the same step.

    In float64: rounding in float32 would hide a small mistake, as Adam's first step has the size of
    the rate however small the gradient is.
    """
    (x, labels), _ = load("float64")
    model = build("float64")
    by_hand = NumpyNetwork(model)
    step = sf.training_step(model, sf.nn.cross_entropy, sf.optim.Adam(rate))
    losses = step(x[:BATCH], labels[:BATCH]), by_hand.step(x[:BATCH], labels[:BATCH])
    native = [np.asarray(layer.W) for layer in model] + [np.asarray(layer.b) for layer in model]
    largest = max(np.abs(a - b).max() for a, b in zip(native, by_hand.params, strict=True))
    return max(float(largest), abs(float(losses[0]) - losses[1]))


@dataclass(frozen=True)
class Outcome:
    """What the training gave.

    Attributes:
        model, history: the network and how it was trained.
        accuracies: on the test images, after each epoch.
        wrong: numbers of the test images that are misclassified.
        predicted: the class of each test image.
        numpy_losses, numpy_seconds: of each epoch of the NumPy network.
        difference: between both networks after one step.
        pictures: the files written.
    """

    model: sf.nn.Chain
    history: Any
    accuracies: list[float]
    wrong: Array
    predicted: Array
    numpy_losses: list[float]
    numpy_seconds: list[float]
    difference: float
    pictures: tuple[Path, Path]


def learn(epochs: int, out: Path) -> Outcome:
    """Train both networks, epoch by epoch in turn, so that both meet the machine as it is."""
    train, (test_x, test_labels) = load()
    model = build()
    print(model)
    difference = difference_after_one_step()
    print(f"difference to NumPy after one step (float64): {difference:.1e}")

    by_hand = NumpyNetwork(model)
    order = np.random.default_rng(SEED)
    predict = sf.compile(model)
    accuracies: list[float] = []
    numpy_losses: list[float] = []
    numpy_seconds: list[float] = []

    with tqdm(total=epochs, unit="epoch", ncols=90) as bar:

        def after_epoch(epoch: Any) -> None:
            accuracies.append(float(sf.nn.accuracy(predict(test_x), test_labels)))
            start = time.perf_counter()
            total = sum(
                by_hand.step(*batch) * len(batch[0])
                for batch in sf.data.minibatches(train, BATCH, order)
            )
            numpy_seconds.append(time.perf_counter() - start)
            numpy_losses.append(total / len(train[0]))
            bar.set_postfix(loss=f"{epoch.loss:.4f}", accuracy=f"{100 * accuracies[-1]:.1f} %")
            bar.update()

        history = sf.train(
            model, sf.nn.cross_entropy, train, sf.optim.Adam(rate), epochs=epochs,
            batch_size=BATCH, seed=SEED, callback=after_epoch,
        )  # fmt: skip

    predicted = np.argmax(predict(test_x), axis=1)
    wrong = np.flatnonzero(predicted != test_labels)
    out.mkdir(parents=True, exist_ok=True)
    pictures = out / "digits_learning.png", out / "digits_wrong.png"
    outcome = Outcome(
        model,
        history,
        accuracies,
        wrong,
        predicted,
        numpy_losses,
        numpy_seconds,
        difference,
        pictures,
    )
    draw_learning(outcome, pictures[0])
    draw_wrong(outcome, test_x, test_labels, pictures[1])
    return outcome


def draw_learning(outcome: Outcome, path: Path) -> None:
    """The loss of both networks, and the accuracy."""
    epochs = np.arange(1, len(outcome.accuracies) + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.semilogy(epochs, outcome.history.losses, label="SymFlux")
    left.semilogy(epochs, outcome.numpy_losses, "--", label="NumPy, by hand")
    left.set(xlabel="epoch", ylabel="loss (training images)")
    left.legend()
    right.plot(epochs, 100 * np.array(outcome.accuracies))
    right.axhline(97, color="grey", linewidth=0.8)
    right.set(xlabel="epoch", ylabel="accuracy in % (test images)", ylim=(85, 100))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_wrong(outcome: Outcome, images: Array, labels: Array, path: Path) -> None:
    """Up to twelve misclassified digits."""
    figure, axes = plt.subplots(2, 6, figsize=(9, 3.6), layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    for axis, i in zip(axes.flat, outcome.wrong, strict=False):
        axis.imshow(images[i].reshape(8, 8), cmap="gray_r")
        axis.set_title(f"{labels[i]} read as {outcome.predicted[i]}", fontsize=10)
    figure.suptitle(f"{len(outcome.wrong)} of {len(labels)} test digits are misread")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def report(outcome: Outcome) -> None:
    """The figures."""
    history = outcome.history
    # the best of the epochs: the machine may be busy with other things in some of them
    native, by_hand = min(history.seconds), min(outcome.numpy_seconds)
    print(f"\ntest accuracy: {100 * outcome.accuracies[-1]:.2f} %")
    print(f"compile time:  {1e3 * history.compile_seconds:.0f} ms (full batches and the last one)")
    print(f"per epoch:     {1e3 * native:.2f} ms native, {1e3 * by_hand:.2f} ms in NumPy", end="")
    print(f" ({by_hand / native:.1f} times as long)")
    print(f"pictures:      {outcome.pictures[0]}, {outcome.pictures[1]}")


def show_code(outcome: Outcome) -> None:
    """A short look at what was generated for the training step."""
    (x, labels), _ = load()
    lowered = outcome.history.step.lower(x[:BATCH], labels[:BATCH])
    kernels = str(lowered.kernels).split("  kernel ")[1:]
    counts = {
        "operations in the graph": len([n for n in lowered.optimized.nodes if n.inputs]),
        "kernels": len(kernels),
        "lines of LLVM IR": len(str(lowered.llvm_ir).splitlines()),
        "instructions": len([s for s in str(lowered.asm).splitlines() if s.startswith("\t")]),
    }
    print("\nThe training step is one native function: forward, backward, update of all params.")
    print("  " + ", ".join(f"{n} {what}" for what, n in counts.items()))
    print("\nThe graph of the prediction:\n")
    print(sf.compile(outcome.model).lower(x[:BATCH]).optimized)
    print("\nA kernel of the step: the slope of the first weights, and Adam at once:\n")
    update = next(text for text in kernels if "store W[" in text)
    print("  kernel " + update.removesuffix("}\n").rstrip())
    print("\nIts cost, and that of the others:\n")
    print(lowered.cost)


def main(arguments: Sequence[str] | None = None) -> Outcome:
    """Train, report, show."""
    parser = argparse.ArgumentParser(description="Train a network on handwritten digits.")
    parser.add_argument("--epochs", type=int, default=40, help="passes over the data")
    parser.add_argument("--quick", action="store_true", help="a short form: 20 epochs")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures")
    options = parser.parse_args(arguments)
    outcome = learn(20 if options.quick else options.epochs, options.out)
    report(outcome)
    show_code(outcome)
    return outcome


if __name__ == "__main__":
    main()
