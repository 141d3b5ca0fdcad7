"""Checks that users and the project's own tests run on derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import api, tree
from .boundary import boundary

__all__ = ["check_gradients"]

#: dtype -> (relative step of the differences, tolerance of the comparison)
_SETTINGS = {"float64": (1e-3, 1e-6), "float32": (2e-2, 2e-2), "float16": (1e-1, 1.5e-1)}


@boundary
def check_gradients(
    fn: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = ("forward", "reverse"),
    directions: int = 2,
    seed: int = 0,
    tolerance: float | None = None,
) -> None:
    """Compare derivatives of ``fn`` with finite differences along random directions.

    In forward mode the derivative along a random direction v is compared with a central
    difference of sixth order; in reverse mode the product of a random cotangent with that same
    difference. With ``order=2`` the derivative along v is checked in the same way as a function
    of its own, so that forward over forward, reverse over forward, and so on, are covered.

    Args:
        fn: returns floating-point arrays (any structure); smooth near ``args``.
        args: floating arrays, numbers and containers of them.
        order: 1 or 2.
        modes: the modes to check.
        directions: random directions per check.
        seed: of the random directions.
        tolerance: relative error allowed; by default 1e-6 for float64, 2e-2 for float32, 0.15 for
            float16.

    Raises:
        AssertionError: naming the order, the mode and both values.

    >>> import numpy as np
    >>> check_gradients(lambda x: np.sum(np.sin(x) * x), (np.array([0.3, 1.2]),))
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, got {order}")
    leaves, structure = tree.flatten(tuple(args))
    arrays = [np.asarray(leaf) for leaf in leaves]
    arrays = [a if a.dtype.kind == "f" else a.astype(float) for a in arrays]
    rng = np.random.default_rng(seed)

    def flat(*values: Any) -> Any:
        out = fn(*structure.unflatten(list(values)))
        return tuple(tree.flatten(out)[0])

    _check(flat, arrays, rng, modes, directions, tolerance, "order 1")
    if order == 1:
        return
    for mode in modes:
        for _ in range(directions):
            derived = _directional(flat, arrays, rng, mode)
            _check(derived, arrays, rng, modes, 1, tolerance, f"order 2 over {mode}")


def _directional(
    flat: Callable[..., Any], arrays: list[Any], rng: Any, mode: str
) -> Callable[..., Any]:
    """A first derivative of ``flat`` as a function of the same arrays."""
    tangents = [_direction(a, rng) for a in arrays]
    if mode == "forward":
        return lambda *xs: api.jvp(flat, xs, tangents)[1]
    weights = [_direction(np.asarray(y), rng) for y in api.compile(flat)(*arrays)]

    def total(*xs: Any) -> Any:
        terms = [np.sum(y * w) for y, w in zip(flat(*xs), weights, strict=True)]
        return sum(terms[1:], terms[0])

    return api.grad(total, tuple(range(len(arrays))))


def _direction(array: np.ndarray[Any, Any], rng: Any) -> Any:
    v = np.asarray(rng.standard_normal(array.shape))
    return np.asarray(v / max(float(np.max(np.abs(v), initial=0.0)), 1e-12), array.dtype)


def _check(
    flat: Callable[..., Any],
    arrays: list[Any],
    rng: Any,
    modes: Sequence[str],
    directions: int,
    tolerance: float | None,
    what: str,
) -> None:
    compiled = api.compile(flat)
    kinds = [str(a.dtype) for a in arrays] + [str(np.asarray(y).dtype) for y in compiled(*arrays)]
    worst = max(
        (k for k in kinds if k in _SETTINGS), key=lambda k: _SETTINGS[k][1], default="float64"
    )
    step, allowed = _SETTINGS[worst]
    allowed = tolerance if tolerance is not None else allowed
    for _ in range(directions):
        v = [_direction(a, rng) for a in arrays]
        expected = _difference(compiled, arrays, v, step)
        scale = 1.0 + max((float(np.max(np.abs(e), initial=0.0)) for e in expected), default=0.0)
        if "forward" in modes:
            found = api.jvp(flat, arrays, v)[1]
            for f, e in zip(found, expected, strict=True):
                _compare(np.asarray(f, float), e, allowed * scale, f"{what}, forward mode")
        if "reverse" in modes:
            weights = [_direction(np.asarray(y), rng) for y in compiled(*arrays)]
            pulled = api.vjp(flat, *arrays)[1](tuple(weights))
            left = sum(
                float(np.sum(np.asarray(g, float) * d)) for g, d in zip(pulled, v, strict=True)
            )
            right = sum(float(np.sum(e * w)) for e, w in zip(expected, weights, strict=True))
            size = max(1, sum(np.size(w) for w in weights))
            _compare(
                np.asarray(left), np.asarray(right), allowed * scale * size, f"{what}, reverse mode"
            )


def _difference(fn: Callable[..., Any], arrays: list[Any], v: list[Any], step: float) -> list[Any]:
    """Central difference of sixth order along ``v`` (Fornberg 1988, weights 3/4, -3/20, 1/60)."""
    total: list[Any] | None = None
    for k, weight in ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60)):
        up = fn(
            *[
                (a + np.asarray(k * step, a.dtype) * d).astype(a.dtype)
                for a, d in zip(arrays, v, strict=True)
            ]
        )
        down = fn(
            *[
                (a - np.asarray(k * step, a.dtype) * d).astype(a.dtype)
                for a, d in zip(arrays, v, strict=True)
            ]
        )
        terms = [
            weight * (np.asarray(p, float) - np.asarray(m, float)) / step
            for p, m in zip(up, down, strict=True)
        ]
        total = terms if total is None else [t + s for t, s in zip(total, terms, strict=True)]
    assert total is not None
    return total


def _compare(found: Any, expected: Any, allowed: float, what: str) -> None:
    error = float(np.max(np.abs(found - expected), initial=0.0))
    if not error <= allowed:
        raise AssertionError(
            f"derivative is wrong ({what}): error {error:.3g} > {allowed:.3g}\n"
            f"derived     {found}\ndifferences {expected}"
        )
