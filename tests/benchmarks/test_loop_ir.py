"""What the loop IR's companions and passes cost on 5,000 scalar operations in one kernel."""

import random

import pytest
from symflux.codegen.builder import Builder
from symflux.codegen.passes import run_passes
from symflux.codegen.passes.hoist import hoist
from symflux.codegen.passes.simplify import simplify
from symflux.codegen.text import parse_program, print_program
from symflux.codegen.verify import verify


def straight_line(operations=5000):
    """A random scalar graph over 20 inputs, a third of it repeated or simplifiable."""
    rng = random.Random(0)
    b = Builder("straight")
    x, y = b.input("x", "f64", 20), b.output("y", "f64", 20)
    with b.kernel("k"):
        values = [b.load(x, i) for i in range(20)]
        for _ in range(operations):
            first = rng.choice(values[-200:])
            if rng.random() < 0.2:
                values.append(b.let(rng.choice(["sin", "exp", "neg", "abs"]), first))
                continue
            second = (
                rng.choice(values[-200:]) if rng.random() < 0.7 else rng.choice([0.0, 1.0, 2.0])
            )
            values.append(b.let(rng.choice(["add", "mul", "sub", "div"]), first, second))
        for i in range(20):
            b.store(y, i, values[-1 - i])
    return b.program()


PROGRAM = straight_line()
TEXT = print_program(PROGRAM)


@pytest.mark.parametrize("action", [verify, simplify, hoist, run_passes, print_program])
def test_five_thousand_operations(benchmark, action):
    assert benchmark(action, PROGRAM)


def test_parse_five_thousand_operations(benchmark):
    assert len(benchmark(parse_program, TEXT).kernels) == 1
