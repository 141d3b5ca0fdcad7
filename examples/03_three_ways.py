"""Three ways to a derivative, side by side: numerical, symbolic, automatic (forward and reverse).

The function is the logistic map ``y = 4 y (1 - y)``, applied ``n`` times: short for n = 3, long for
n = 9. Its derivative is a product of n factors, but written out as one formula it more than doubles
in size with each application: this is where the symbolic way blows up. The exact value, to compare
with, comes from the same recurrence in fractions of Python's integers.

Run it with ``python examples/03_three_ways.py``.
"""

from __future__ import annotations

import math
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import symflux as sf

X = 0.3
LENGTHS = (3, 6, 9)


def logistic(x: Any, n: int) -> Any:
    """The map, ``n`` times; of a number, a traced value or a SymPy expression alike."""
    for _ in range(n):
        x = 4 * x * (1 - x)
    return x


def exact(x: float, n: int) -> float:
    """The derivative without rounding (but for the last step to a float)."""
    y, slope = Fraction(x), Fraction(1)
    for _ in range(n):
        y, slope = 4 * y * (1 - y), slope * 4 * (1 - 2 * y)
    return float(slope)


@dataclass(frozen=True)
class Result:
    """One way on one length: the value, operations per evaluation, and times in seconds."""

    way: str
    length: int
    value: float
    error: float
    operations: int
    prepare: float
    evaluate: float


def seconds(run: Callable[[], Any]) -> float:
    """The time of one call: the best of five readings of many calls."""
    timer = timeit.Timer(run)
    number = max(1, timer.autorange()[0] // 20)
    return min(timer.repeat(5, number)) / number


def operations(graph: Any) -> int:
    """The number of operations in a graph of scalars."""
    return sum(1 for node in graph.nodes if node.inputs)


def numerical(n: int) -> tuple[Callable[[float], float], int]:
    """Central differences, with the step that balances truncation and rounding."""
    f = sf.compile(lambda x: logistic(x, n))
    h = math.ulp(1.0) ** (1 / 3)
    count = 2 * operations(sf.trace(lambda x: logistic(x, n))(X)) + 4
    return lambda x: (f(x + h) - f(x - h)) / (2 * h), count


def symbolic(n: int) -> tuple[Callable[[float], float], int]:
    """SymPy: differentiate the formula, then turn it into a Python function."""
    import sympy

    x = sympy.Symbol("x")
    formula = sympy.diff(logistic(x, n), x)
    return sympy.lambdify(x, formula, "math"), int(sympy.count_ops(formula))


def forward(n: int) -> tuple[Callable[[float], float], int]:
    """Dual numbers: each operation carries its derivative along, as ``sf.jvp`` does."""

    def slope(x: Any) -> Any:
        return sf.jvp(lambda v: logistic(v, n), (x,), (1.0,))[1]

    return sf.compile(slope), operations(sf.trace(slope)(X))


def reverse(n: int) -> tuple[Callable[[float], float], int]:
    """From the result back to the argument, as ``sf.grad`` does."""
    slope = sf.grad(lambda x: logistic(x, n))
    return sf.compile(slope), operations(sf.trace(slope)(X))


WAYS = {
    "numerical": numerical,
    "symbolic (SymPy)": symbolic,
    "forward (jvp)": forward,
    "reverse (grad)": reverse,
}


def measure(way: str, n: int) -> Result:
    """Prepare the derivative in one way, evaluate it, and take the times."""
    start = timeit.default_timer()
    slope, count = WAYS[way](n)
    value = float(slope(X))
    prepare = timeit.default_timer() - start
    error = abs(value / exact(X, n) - 1)
    return Result(way, n, value, error, count, prepare, seconds(lambda: slope(X)))


def main() -> list[Result]:
    """Print the table, and return its rows."""
    import sympy  # noqa: F401  # so that its import is not counted as preparation

    print("derivative of y = 4 y (1 - y), applied n times, at x = 0.3\n")
    print("n   way                 value             rel. error  operations  prepare    evaluate")
    results = []
    for n in LENGTHS:
        for way in WAYS:
            r = measure(way, n)
            results.append(r)
            print(
                f"{n:<3} {way:<18} {r.value:17.10f}  {r.error:10.1e}  {r.operations:10d}"
                f"  {1e3 * r.prepare:6.1f} ms  {1e6 * r.evaluate:8.2f} µs"
            )
        print()
    table = {(r.way, r.length): r.operations for r in results}
    longest, before = LENGTHS[-1], LENGTHS[-2]
    grown = table["symbolic (SymPy)", longest] / table["symbolic (SymPy)", before]
    automatic = table["reverse (grad)", longest] / table["reverse (grad)", before]
    print(
        f"From n = {before} to n = {longest} the formula grows {grown:.0f} times, "
        f"the graph {automatic:.1f} times."
    )
    return results


if __name__ == "__main__":
    main()
