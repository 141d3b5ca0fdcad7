"""The workloads of ``python -m symflux bench``: SymFlux agrees with NumPy, and what each takes.

Without ``--benchmark-enable`` small sizes are checked: against the same row in NumPy, or, where
there is none by hand, against differences of the function. With it, SymFlux and NumPy are timed.
"""

import numpy as np
import pytest

import symflux as sf
from symflux.bench.row import map_tensors
from symflux.bench.runner import difference
from symflux.bench.tools import flat, prepare
from symflux.bench.workloads import all_rows

ROWS = [row for row in all_rows() if row.small]


def copied(inputs):
    """Steps change their arguments in place."""
    return map_tensors(lambda v: v.copy() if isinstance(v, np.ndarray) else v, inputs)


def in_double(inputs):
    def convert(value):
        if isinstance(value, np.ndarray) and value.dtype == np.float32:
            return value.astype(np.float64)
        return value

    return map_tensors(convert, inputs)


def leaves(value):
    found = []
    map_tensors(found.append, value)
    return found


def directional(row, inputs, directions):
    """The derivative along a direction, by differences of the function's value in NumPy."""
    function = row.function(np)

    def value(step):
        moved = list(inputs)
        for n, direction in zip(row.argnums, directions, strict=True):
            steps = iter(direction)
            moved[n] = map_tensors(lambda v, steps=steps: v + step * next(steps), inputs[n])
        return float(function(*moved))

    # fourth order: error terms of the step's third power cancel
    h = 1e-4
    return (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)


@pytest.mark.quick(every=4)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "-"))
def test_row(row, benchmark):
    inputs = row.inputs()
    prepared = prepare(row, "symflux", copied(inputs))
    found = flat(prepared.function(*prepared.args))
    if "numpy" in row.tools:
        assert not difference(found, flat(row.tools["numpy"](np)(*copied(inputs))), row.rtol)
    elif row.function is not None:
        double = in_double(inputs)
        random = np.random.default_rng(1)
        directions = [
            [random.standard_normal(np.shape(v)) for v in leaves(double[n])] for n in row.argnums
        ]
        assert found[0] == pytest.approx(float(row.function(np)(*double)), rel=row.rtol)
        slope = sum(
            np.sum(g * d)
            for g, d in zip(found[1:], (d for each in directions for d in each), strict=True)
        )
        assert slope == pytest.approx(
            directional(row, double, directions), rel=max(100 * row.rtol, 1e-7)
        )
    else:
        pytest.fail("a row needs NumPy's result or a function to difference")
    benchmark.group = row.name
    benchmark(prepared.function, *prepared.args)


def test_names_are_unique():
    names = [row.name for row in all_rows()]
    assert len(names) == len(set(names))


def test_rows_have_symflux_and_a_peer():
    assert all("symflux" in row.tools and len(row.tools) > 1 for row in all_rows())


def test_inputs_are_the_same_every_time():
    for row in ROWS:
        first, second = flat(row.inputs()), flat(row.inputs())
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True)), row.name


def test_every_workload_has_a_small_size():
    small = {row.workload for row in ROWS}
    assert {row.workload for row in all_rows()} == small
    assert sf.__version__
