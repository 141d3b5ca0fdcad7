"""Linear regression: gradients with respect to params, an update by hand, then a training loop.

Run it with ``python examples/04_linear_regression.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import symflux as sf


def main() -> dict[str, Any]:
    """Print one step by hand and a training loop; return the losses and what was learned."""
    rng = np.random.default_rng(0)
    W = sf.param(rng.uniform(size=(2, 5)), "W")
    b = sf.param(rng.uniform(size=2), "b")

    def predict(x: Any) -> Any:
        return W @ x + b

    def loss(x: Any, y: Any) -> Any:
        return np.sum((y - predict(x)) ** 2)

    # one sample, one step
    x, y = rng.uniform(size=5), rng.uniform(size=2)
    before = loss(x, y)
    gs = sf.gradient(lambda: loss(x, y), sf.params(W, b))
    print(f"loss before: {before:.6f}")
    print(f"gradient with respect to W:\n{gs[W]}")
    print(f"gradient with respect to b: {gs[b]}")
    sf.update(W, -0.1 * gs[W])
    sf.update(b, -0.1 * gs[b])
    after = loss(x, y)
    print(f"loss after sf.update(W, -0.1 * gs[W]): {after:.6f}")

    # a loop over data that a known line has made
    true_W, true_b = rng.normal(size=(2, 5)), rng.normal(size=2)
    xs = rng.normal(size=(200, 5))
    ys = xs @ true_W.T + true_b + rng.normal(0.0, 0.01, size=(200, 2))

    @sf.compile
    def step(x: Any, y: Any) -> Any:
        """One step of gradient descent: a single native call that changes W and b in place."""
        value = loss(x, y)
        gs = sf.gradient(lambda: loss(x, y), sf.params(W, b))
        sf.update(W, -0.002 * gs[W])
        sf.update(b, -0.002 * gs[b])
        return value

    losses = []
    for epoch in range(10):
        losses.append(float(np.mean([step(x, y) for x, y in zip(xs, ys, strict=True)])))
        print(f"epoch {epoch + 1:2d}   mean loss {losses[-1]:.6f}")
    error = max(np.abs(W - true_W).max(), np.abs(b - true_b).max())
    print(f"largest error of a coefficient: {error:.4f}    (noise of the data: 0.01)")
    return {"before": before, "after": after, "gs_b": gs[b], "losses": losses, "error": error}


if __name__ == "__main__":
    main()
