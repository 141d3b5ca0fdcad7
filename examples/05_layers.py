"""Layers, from two matrix products by hand to a chain: each way gives the same model.

Run it with ``python examples/05_layers.py``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import symflux as sf
from symflux.nn import Chain, Dense


def two_layers(rng: np.random.Generator) -> dict[str, Any]:
    """Two layers (5 inputs, 3 hidden values, 2 results) in four ways, applied to one input."""
    x = rng.uniform(size=5)
    W1, b1 = sf.param(rng.normal(size=(3, 5)), "W1"), sf.param(rng.normal(size=3), "b1")
    W2, b2 = sf.param(rng.normal(size=(2, 3)), "W2"), sf.param(rng.normal(size=2), "b2")

    # by hand
    def layer1(x: Any) -> Any:
        return W1 @ x + b1

    def layer2(x: Any) -> Any:
        return W2 @ x + b2

    def by_hand(x: Any) -> Any:
        return layer2(sf.sigmoid(layer1(x)))

    # with a function that returns a closure
    def linear(n_in: int, n_out: int) -> Callable[[Any], Any]:
        W, b = sf.param(np.zeros((n_out, n_in))), sf.param(np.zeros(n_out))

        def layer(x: Any) -> Any:
            return W @ x + b

        layer.W, layer.b = W, b  # type: ignore[attr-defined]
        return layer

    # with a class
    class Affine:
        def __init__(self, n_in: int, n_out: int) -> None:
            self.W = sf.param(np.zeros((n_out, n_in)))
            self.b = sf.param(np.zeros(n_out))

        def __call__(self, x: Any) -> Any:
            return self.W @ x + self.b

    def with_same_values(layer: Any, W: sf.Param, b: sf.Param) -> Any:
        layer.W[...], layer.b[...] = W, b
        return layer

    results = {"by hand": by_hand(x)}
    for name, make in (("linear(n_in, n_out)", linear), ("class Affine", Affine), ("Dense", Dense)):
        first = with_same_values(make(5, 3), W1, b1)
        second = with_same_values(make(3, 2), W2, b2)
        results[name] = second(sf.sigmoid(first(x)))
    results["compiled"] = sf.compile(by_hand)(x)
    return results


def deep_model(rng: np.random.Generator) -> dict[str, Any]:
    """Ten inputs, five hidden values, two probabilities: a list, a chain, a composition."""
    x = rng.uniform(size=10)
    layers = [Dense(10, 5, sf.sigmoid, seed=rng), Dense(5, 2, seed=rng), sf.softmax]

    def from_list(x: Any) -> Any:
        return functools.reduce(lambda value, layer: layer(value), layers, x)

    chain = Chain(*layers)
    composed = layers[0] >> layers[1] >> sf.softmax
    print(f"\n{chain!r}\n")
    return {
        "functools.reduce": from_list(x),
        "Chain": chain(x),
        "a >> b >> softmax": composed(x),
        "compiled Chain": sf.compile(chain)(x),
    }


def main() -> dict[str, Any]:
    """Print what each way gives, and return it."""
    rng = np.random.default_rng(0)
    print("two layers, 5 -> 3 -> 2")
    two = two_layers(rng)
    for name, value in two.items():
        print(f"  {name:<20} {value}")
    deep = deep_model(rng)
    for name, value in deep.items():
        print(f"  {name:<20} {value}")

    m = Dense(10, 5, seed=rng) >> Dense(5, 2, seed=rng)
    print(f"\ncomposition of two layers: {m.signature()}")
    print(f"  of an input of size 10: {m(np.ones(10))}")
    number = Chain(lambda x: x**2, lambda x: x + 1)(5)
    print(f"Chain(lambda x: x**2, lambda x: x + 1)(5) = {number}")
    return {"two": two, "deep": deep, "composed": m, "number": number}


if __name__ == "__main__":
    main()
