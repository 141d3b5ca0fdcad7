"""Gradients of functions of numbers: by argument, of a gradient, and with respect to params.

Run it with ``python examples/01_gradient.py``.
"""

from __future__ import annotations

from typing import Any

import symflux as sf


def main() -> dict[str, Any]:
    """Print three small gradients, and return them."""

    def f(x: Any) -> Any:
        return 3 * x**2 + 2 * x + 1

    df = sf.grad(f)
    ddf = sf.grad(df)
    print("f(x) = 3x² + 2x + 1")
    print(f"  f(2)   = {f(2.0)}")
    print(f"  f'(2)  = {df(2.0)}")
    print(f"  f''(2) = {ddf(2.0)}    (the gradient of the gradient)")

    def line(W: Any, b: Any, x: Any) -> Any:
        return W * x + b

    by_argument = sf.gradient(line, 2.0, 3.0, 4.0)
    print("\nf(W, b, x) = W·x + b at (2, 3, 4)")
    print(f"  sf.gradient(f, 2., 3., 4.) = {tuple(map(float, by_argument))}")

    W = sf.param(2.0)
    b = sf.param(3.0)

    def with_params(x: Any) -> Any:
        return W * x + b

    grads = sf.gradient(lambda: with_params(4.0), sf.params(W, b))
    print("\nW = param(2.), b = param(3.), f(x) = W·x + b at x = 4")
    print(f"  grads[W] = {grads[W]}")
    print(f"  grads[b] = {grads[b]}")
    return {
        "first": df(2.0),
        "second": ddf(2.0),
        "by_argument": by_argument,
        "by_param": (grads[W], grads[b]),
    }


if __name__ == "__main__":
    main()
