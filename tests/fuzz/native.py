"""Native code against the interpreter, with tolerances that come from the program itself.

Native code may differ from the interpreter where the IR lets it: elementary functions within a few
units in the last place, products kept exact on their way into a sum, reassociate Lets and
contractions summed in another order, either zero as the minimum of 0.0 and -0.0. What such a
difference can do to a result depends on what follows it. So the interpreter runs again with random
errors of that size exactly where they are allowed:

  - an element that no error reached must agree in every bit;
  - one that errors moved must lie within a few times the largest move;
  - one that errors tipped over (another integer, nan for a number) is not compared.
"""

from contextlib import contextmanager
from fractions import Fraction
from unittest import mock

import numpy as np
from symflux.codegen import interp
from symflux.codegen.ir import Let
from symflux.codegen.scalars import FLOATS, SCALARS

from .running import interpreted, make_arguments

ELEMENTARY_UNITS = 4.0  # units in the last place that a function may be off
ROUNDING_UNITS = 1.0  # what a rounding more or less may change
MOVES = 4.0  # how many times the largest move seen is allowed


@contextmanager
def allowed_errors(seed):
    """Run the interpreter with random errors where native code is free to differ."""
    rng = np.random.default_rng(seed)
    statement, sum_of_products = interp._Machine.statement, interp._sum_of_products

    def nudged(value, units, scale=None):
        kind = type(value)
        if not np.isfinite(value):
            return value
        scale = abs(float(value)) if scale is None else scale
        step = scale * float(np.finfo(kind).eps) * units
        return kind(float(value) + step * rng.uniform(-1, 1))

    def either_zero(value):
        return type(value)(rng.choice([0.0, -0.0])) if value == 0 else value

    def noisy_statement(machine, each):
        statement(machine, each)
        if not isinstance(each, Let) or each.result.dtype not in FLOATS:
            return
        value, args = machine.env[each.result], machine.values(each.args)
        if SCALARS[each.op].native == "mathlib":
            # Python's lgamma of a negative number is exact to units of 1 near its zeros only
            least = 1.0 if each.op == "lgamma" else 0.0
            value = nudged(value, ELEMENTARY_UNITS, max(abs(float(value)), least))
        elif each.reassociate:
            value = either_zero(nudged(value, ROUNDING_UNITS))
        elif each.op == "mul" and not _exact_product(*args, value):
            value = nudged(value, ROUNDING_UNITS)
        elif each.op in ("minimum", "maximum"):
            value = either_zero(value)
        machine.env[each.result] = value

    def noisy_sum(factors, dtype):
        total = sum_of_products(factors, dtype)
        if dtype not in FLOATS:
            return total
        scale = sum(abs(float(a) * float(b)) for a, b in factors)
        units = ROUNDING_UNITS * len(factors)
        return either_zero(nudged(total, units, scale if np.isfinite(scale) else 0.0))

    with (
        np.errstate(all="ignore"),
        mock.patch.object(interp._Machine, "statement", noisy_statement),
        mock.patch.object(interp, "_sum_of_products", noisy_sum),
    ):
        yield


def _exact_product(a, b, product):
    if not np.isfinite(product):
        return True
    return Fraction(float(a)) * Fraction(float(b)) == Fraction(float(product))


def native_arrays(program, seed=0):
    """The arrays after native code ran the program on ``make_arguments``."""
    from symflux.codegen.llvm.jit import compile_program

    arrays, sizes = make_arguments(program, seed)
    compile_program(program).run(arrays, sizes)
    return arrays


def disagreements(program, got, seed=0, runs=4):
    """(elements of ``got`` that are wrong, in words; elements compared; elements in all)."""
    wanted = interpreted(program, seed)
    wrong, compared, total = [], 0, 0
    noisy = []
    for run in range(runs):
        with allowed_errors(run):
            noisy.append(interpreted(program, seed))
    for name, array in wanted.items():
        others = [n[name] for n in noisy]
        comparable, fits = _judged(array, got[name], others)
        compared += int(comparable.sum())
        total += array.size
        for at in np.flatnonzero(comparable & ~fits)[:2]:
            wrong.append(f"{name}[{at}]: {array[at]!r} wanted, {got[name][at]!r} found")
    return wrong, compared, total


def _judged(wanted, got, noisy):
    """Per element: may it be compared, and is it right."""
    with np.errstate(all="ignore"):
        if wanted.dtype.kind != "f":
            comparable = np.all([n == wanted for n in noisy], axis=0)
            return comparable, got == wanted
        finite = np.isfinite(wanted)
        alike = [np.where(finite, np.isfinite(n), _same(n, wanted)) for n in noisy]
        comparable = np.all(alike, axis=0)
        exact = wanted.astype("f8")
        moves = np.max([np.abs(n.astype("f8") - exact) for n in noisy], axis=0)
        unit = np.spacing(np.abs(wanted)).astype("f8")
        near = np.abs(got.astype("f8") - exact) <= MOVES * moves + 2 * unit
        fits = np.where(finite & (moves > 0), near, _same(got, wanted))
        return comparable, fits


def _same(a, b):
    return (a == b) | ((a != a) & (b != b))
