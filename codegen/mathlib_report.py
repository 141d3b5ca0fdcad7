"""Errors and speed of the mathematical functions, measured.

``python -m symflux.codegen.mathlib_report`` prints a table of them. The error of a result is its
distance from the exact value, found in multiple precision, in units in the last place of the exact
value (ULP): 0.5 is the best a rounded result can do. With ``--write FILE`` the table goes into a
page of the documentation, between the two markers there."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .builder import Builder
from .ir import Program
from .llvm.jit import compile_program
from .mathlib import FUNCTIONS
from .mathlib.arithmetic import FORMATS
from .scalars import SCALARS, numpy_dtype

__all__ = ["DOMAINS", "evaluate", "exact", "program_of", "samples", "speed", "table", "ulp_errors"]

Array = np.ndarray[Any, Any]

_REPEATS = 20
_PRECISION = 220  # bits: enough for 1 - erf(27) and for sin next to a multiple of pi
#: intervals of special interest: the usual arguments, and where one formula follows another
_INTERVALS: dict[str, tuple[tuple[float, float], ...]] = {
    "exp": ((-3, 3), (-745.2, 709.8), (-104, 88.8)),
    "exp2": ((-3, 3), (-1075, 1024), (-150, 128)),
    "expm1": ((-1, 1), (-40, 709.8), (-20, 88.8)),
    "log": ((0.5, 2), (0, 100)),
    "log2": ((0.5, 2), (0, 100)),
    "log10": ((0.5, 2), (0, 100)),
    "log1p": ((-0.5, 1), (-1, 5)),
    "sin": ((-4, 4), (-1000, 1000)),
    "cos": ((-4, 4), (-1000, 1000)),
    "tan": ((-4, 4), (-1000, 1000)),
    "arcsin": ((-1, 1), (0.49, 0.51), (0.99, 1)),
    "arccos": ((-1, 1), (0.49, 0.51), (-0.51, -0.49), (0.99, 1)),
    "arctan": ((-3, 3), (0.41, 0.42), (2.4, 2.43)),
    "sinh": ((-1, 1), (-710.4, 710.4), (-89.4, 89.4)),
    "cosh": ((-1, 1), (-710.4, 710.4), (-89.4, 89.4)),
    "tanh": ((-1, 1), (-20, 20)),
    "arcsinh": ((-1, 1), (-100, 100)),
    "arccosh": ((1, 1.1), (1, 100)),
    "arctanh": ((-1, 1), (0.99, 1)),
    "sigmoid": ((-5, 5), (-745, 40), (-104, 40)),
    "sigmoid_slope": ((-5, 5), (-700, 700), (-86, 86)),
    "tanh_slope": ((-2, 2), (-350, 350), (-43, 43)),
    "erf": ((-1, 1), (0.9, 1.1), (1, 6)),
    "erfc": ((-6, 1), (0.8, 0.9), (0.9, 27), (0.9, 10)),
    "lgamma": (
        (0, 4),
        (0.999, 1.001),
        (1.999, 2.001),
        (2.9, 3.1),
        (3, 200),
        (-4, 0),
        (-17, -4),
        (-200, -17),
    ),
}
#: derivatives in terms of a function, which is their first argument
_SLOPES = {"sigmoid_slope": "sigmoid", "tanh_slope": "tanh"}
#: where a function is defined
DOMAINS: dict[str, tuple[float, float]] = {
    "log": (0, np.inf), "log2": (0, np.inf), "log10": (0, np.inf), "log1p": (-1, np.inf),
    "arcsin": (-1, 1), "arccos": (-1, 1), "arccosh": (1, np.inf), "arctanh": (-1, 1),
}  # fmt: skip


def program_of(name: str, dtype: str, n: int, mode: str = "vector", *, repeats: int = 1) -> Program:
    """A program that applies a mathematical function to ``n`` elements: x0 (and x1) to y.

    ``repeats`` does it over and over, so that the time of the call itself does not count."""
    b = Builder(name)
    inputs = [b.input(f"x{k}", dtype, n) for k in range(SCALARS[name].arity)]
    y = b.output("y", dtype, n)
    with b.kernel(name), b.loop(repeats), b.loop(n, mode=mode) as i:  # type: ignore[arg-type]
        b.store(y, i, b.let(name, *(b.load(x, i) for x in inputs)))
    return b.program()


def evaluate(name: str, dtype: str, *arguments: Array, mode: str = "vector") -> Array:
    """The native function's values at arrays of arguments of its dtype.

    >>> evaluate("exp", "f64", np.array([0.0, 1.0])).round(12).tolist()
    [1.0, 2.718281828459]
    """
    native = compile_program(program_of(name, dtype, len(arguments[0]), mode))
    y = np.empty(len(arguments[0]), numpy_dtype(dtype))
    native.run({**{f"x{k}": x for k, x in enumerate(arguments)}, "y": y})
    return y


def exact(name: str) -> Callable[..., Any]:
    """The function in multiple precision (mpmath): floats in, an mpmath number out."""
    import mpmath as mp

    renamed = {
        "arcsin": mp.asin, "arccos": mp.acos, "arctan": mp.atan, "arctan2": mp.atan2,
        "arcsinh": mp.asinh, "arccosh": mp.acosh, "arctanh": mp.atanh, "pow": mp.power,
        "exp2": lambda x: mp.power(2, x),
        "erfc": lambda x: mp.erfc(min(x, 1000)),  # mpmath's cannot count beyond
        "log2": lambda x: mp.log(x) / mp.ln2,
        "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
        "sigmoid_slope": lambda s, x: 1 / ((1 + mp.exp(-x)) * (1 + mp.exp(x))),
        "tanh_slope": lambda t, x: mp.sech(x) ** 2,
        "lgamma": lambda x: mp.re(mp.loggamma(x)),
    }  # fmt: skip
    function = renamed.get(name) or getattr(mp, name)

    def value(*arguments: float) -> Any:
        with mp.workprec(_PRECISION):
            return function(*(mp.mpf(float(x)) for x in arguments))

    return value


def ulp_errors(name: str, dtype: str, *arguments: Array, mode: str = "vector") -> Array:
    """The errors, in ULP, of the native function at points where the exact value is finite.

    A result that overflows counts as 2**(greatest exponent + 1)."""
    import mpmath as mp

    function, shape = exact(name), FORMATS[dtype]
    results = evaluate(name, dtype, *arguments, mode=mode)
    errors = np.empty(len(results))
    overflow = mp.ldexp(1, shape.bias + 1)
    least = 1 - shape.bias - shape.fraction
    with mp.workprec(_PRECISION):
        for n, result in enumerate(results):
            truth = function(*(x[n] for x in arguments))
            number = mp.mpf(float(result)) if np.isfinite(result) else mp.sign(result) * overflow
            if np.isnan(result):
                errors[n] = np.inf
            elif not np.isfinite(result) and abs(truth) >= overflow:
                errors[n] = 0.0
            else:
                exponent = mp.frexp(truth)[1] - shape.fraction - 1 if truth else least
                errors[n] = abs(mp.ldexp(number - truth, -max(exponent, least)))
    return errors


def samples(name: str, dtype: str, count: int, seed: int = 0) -> tuple[Array, ...]:
    """About ``count`` arguments for each region of a function: its intervals, and all exponents."""
    rng = np.random.default_rng(seed)
    kind, shape = numpy_dtype(dtype), FORMATS[dtype]
    least, most = 1 - shape.bias - shape.fraction, shape.bias + 1

    def all_exponents(n: int) -> Array:
        size = np.ldexp(rng.uniform(0.5, 1.0, n), rng.integers(least + 1, most + 1, n))
        return (size * rng.choice([-1.0, 1.0], n)).astype(kind)

    if name == "arctan2":
        plane = rng.uniform(-1, 1, (2, count)).astype(kind)
        wide = all_exponents(count), all_exponents(count)
        return tuple(np.concatenate(parts) for parts in zip(plane, wide, strict=True))
    if name == "pow":
        return _samples_of_pow(rng, dtype, count, all_exponents)
    regions = [rng.uniform(*interval, count) for interval in _INTERVALS[name]]
    regions.append(all_exponents(count).astype(np.float64))
    low, high = DOMAINS.get(name, (-np.inf, np.inf))
    x = np.concatenate(regions).astype(kind)
    x = x[(x > low) & (x < high)]
    if name == "lgamma":
        x = x[(x > 0) | (x != np.round(x))]  # not at the poles
    if name not in _SLOPES:
        return (x,)
    x = x[np.abs(x) <= -_INTERVALS[name][1 if dtype == "f64" else 2][0]]  # where it is no subnormal
    return evaluate(_SLOPES[name], dtype, x), x


def _samples_of_pow(
    rng: np.random.Generator, dtype: str, count: int, all_exponents: Callable[[int], Array]
) -> tuple[Array, ...]:
    """Any base with powers that use the whole range of results, bases near 1, whole powers."""
    kind, limit = numpy_dtype(dtype), {"f32": 88.0, "f64": 709.0}[dtype]
    bases = [
        abs(all_exponents(count)).astype(np.float64),
        1.0 + rng.uniform(-0.3, 0.4, count),
        -rng.uniform(0.5, 20.0, count),
    ]
    powers = [rng.uniform(-limit, limit, count) / np.log(np.abs(x)) for x in bases]
    powers[-1] = np.round(np.clip(powers[-1], -200, 200))
    x, y = np.concatenate(bases).astype(kind), np.concatenate(powers).astype(kind)
    with np.errstate(all="ignore"):
        kept = np.abs(y.astype(np.float64) * np.log(np.abs(x.astype(np.float64)))) < limit
    return x[kept], y[kept]


def speed(name: str, dtype: str, n: int = 4096) -> tuple[float, float | None]:
    """(native, NumPy) in results per second, on ordinary arguments in the first-level caches."""
    rng = np.random.default_rng(0)
    low, high = (1.0, 3.0) if name == "arccosh" else (0.1, 0.9)
    arguments = [
        rng.uniform(low, high, n).astype(numpy_dtype(dtype)) for _ in range(SCALARS[name].arity)
    ]
    y = np.empty_like(arguments[0])
    native = compile_program(program_of(name, dtype, n, repeats=_REPEATS))
    arrays = {**{f"x{k}": x for k, x in enumerate(arguments)}, "y": y}
    ours = _REPEATS * n / _seconds(lambda: native.run(arrays), calls=2)
    numpy_name = {"pow": "power"}.get(name, name)
    ufunc = getattr(np, numpy_name, None)
    return ours, n / _seconds(lambda: ufunc(*arguments, out=y)) if ufunc else None


def _seconds(call: Callable[[], object], calls: int = 20, rounds: int = 15) -> float:
    """The least time of one call, over a number of rounds."""
    best = np.inf
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        best = min(best, (time.perf_counter() - start) / calls)
    return float(best)


def table(count: int, names: Sequence[str] = ()) -> str:
    """The report as a table in Markdown; ``count`` points for each region of each function."""
    rows = [
        "| function | f64: largest error, ULP | G results/s | NumPy | f32: largest error, ULP "
        "| G results/s | NumPy |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names or sorted(FUNCTIONS):
        cells = [name]
        for dtype in ("f64", "f32"):
            errors = ulp_errors(name, dtype, *samples(name, dtype, count))
            ours, numpy = speed(name, dtype)
            beside = f"{numpy / 1e9:.2f}" if numpy else "–"
            cells += [f"{errors.max():.2f}", f"{ours / 1e9:.2f}", beside]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or write it into the documentation."""
    parser = argparse.ArgumentParser(prog="symflux.codegen.mathlib_report", description=__doc__)
    parser.add_argument("--points", type=int, default=2000, help="for each region of a function")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the file with the markers")
    parser.add_argument("names", nargs="*", help="functions (default: all)")
    options = parser.parse_args(arguments)
    text = table(options.points, options.names)
    if options.write is None:
        print(text)
        return
    page = options.write.read_text()
    before, rest = page.split(_BEGIN)
    after = rest.split(_END)[1]
    options.write.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}")


if __name__ == "__main__":
    main()
