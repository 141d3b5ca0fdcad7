"""Fit a parabola to measured points of an orbit, by gradient descent on the sum of absolute errors.

A comet passes its perihelion; for two months its distance to the Sun is measured every third day.
The measurements are simulated: an orbit by Kepler's equation, and noise from a fixed seed.

Run it with ``python examples/02_orbit_fit.py [--out DIR]``; it writes a picture.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import symflux as sf

#: of the comet's orbit, and the mean motion (radians per 30 days) that belongs to it
PERIHELION, ECCENTRICITY = 0.8, 0.7
MEAN_MOTION = 30 * 0.01720209895 * ((1 - ECCENTRICITY) / PERIHELION) ** 1.5


def distance(t: float) -> float:
    """Distance to the Sun in astronomical units, ``t`` times 30 days after perihelion."""
    anomaly = 0.0
    for _ in range(50):  # Newton's method for Kepler's equation E - e sin E = M
        excess = anomaly - ECCENTRICITY * math.sin(anomaly) - MEAN_MOTION * t
        anomaly -= excess / (1 - ECCENTRICITY * math.cos(anomaly))
    return PERIHELION / (1 - ECCENTRICITY) * (1 - ECCENTRICITY * math.cos(anomaly))


def measurements() -> dict[float, float]:
    """Time (in 30 days) -> measured distance, at 21 days."""
    noise = np.random.default_rng(0).normal(0.0, 0.005, 21)
    times = [number / 10 for number in range(-10, 11)]
    return {t: distance(t) + float(e) for t, e in zip(times, noise, strict=True)}


def fit(steps: int = 2000) -> tuple[tuple[float, float, float], list[float]]:
    """The coefficients of the parabola, and the loss at each step."""
    measured = measurements()
    T = list(measured)

    def f(t: float) -> float:
        return measured[t]

    def loss(a: Any, b: Any, c: Any) -> Any:
        def P(t: float) -> Any:
            return a * t**2 + b * t + c

        return sum(abs(P(t) - f(t)) for t in T)

    value_and_slopes = sf.compile(sf.value_and_grad(loss, argnums=(0, 1, 2)))
    a, b, c = 0.0, 0.0, 0.0
    losses = []
    for step in range(steps):
        value, (da, db, dc) = value_and_slopes(a, b, c)
        losses.append(float(value))
        # the slope of |error| does not get smaller near the minimum, so the steps must
        rate = 0.005 / (1 + step / 20)
        a, b, c = a - rate * da, b - rate * db, c - rate * dc
    return (float(a), float(b), float(c)), losses


def picture(coefficients: Sequence[float], losses: Sequence[float], path: Path) -> None:
    """Draw points and fit beside the loss."""
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("the picture needs matplotlib: pip install 'symflux[examples]'") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    points = measurements()
    t = np.linspace(-1, 1, 200)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(30 * np.array(list(points)), list(points.values()), "o", label="measured")
    left.plot(30 * t, np.polyval(coefficients, t), label="P(t) = a t² + b t + c")
    left.set(xlabel="days from perihelion", ylabel="distance to the Sun (au)")
    left.legend()
    right.loglog(np.arange(1, len(losses) + 1), losses)
    right.set(xlabel="step", ylabel="loss: sum of |P(t) - f(t)|")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, print, draw; return the coefficients and the losses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the picture")
    options = parser.parse_args(arguments)
    coefficients, losses = fit()
    a, b, c = coefficients
    print("loss(a, b, c) = sum(abs(P(t) - f(t)) for t in T), 21 points")
    for step in (0, 10, 100, 1000, len(losses) - 1):
        print(f"  step {step:5d}   loss {losses[step]:.5f}")
    print(f"P(t) = {a:.4f} t² + {b:+.4f} t + {c:.4f}    (t in 30 days)")
    path = options.out / "orbit_fit.png"
    picture(coefficients, losses, path)
    print(f"picture: {path}")
    return {"coefficients": coefficients, "losses": losses, "picture": path}


if __name__ == "__main__":
    main()
