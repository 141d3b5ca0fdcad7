"""Long programs become machine code at a cost in proportion to their length."""

import math
import re

import numpy as np
import pytest

import symflux as sf
from symflux.thresholds import lowered as thresholds_lowered
from tests.long_programs import calls, chain, mixed, nest, outputs

X = np.linspace(0.1, 0.9, 10)


def inputs(n):
    return lambda xs: sum(x * x for x in xs)


#: program, arguments of so many parts, whether it has a gradient
PROGRAMS = {
    "scalar chain": (chain, lambda n: 0.5, True),
    "array chain": (chain, lambda n: X, True),
    "many outputs": (outputs, lambda n: 0.5, False),
    "many arrays": (outputs, lambda n: X, False),
    "deep nest": (nest, lambda n: 0.5, False),
    "many inputs": (inputs, lambda n: [0.5] * n, True),
    "many input arrays": (inputs, lambda n: [X] * n, False),
    "random graph": (mixed, lambda n: X, True),
}


def lowered(name, n):
    make, argument, has_gradient = PROGRAMS[name]
    f = make(n)
    if has_gradient:
        f = sf.grad(f)
    return sf.compile(f).lower(argument(n))


def work(name, n):
    """Calls of Python functions until the text for LLVM is there; the lengths of its functions,
    those apart that are not optimised."""
    texts = []
    count = calls(lambda: texts.append(lowered(name, n).llvm_ir))
    lengths = {False: [0], True: [0]}
    for header, body in re.findall(r"^define (.*?) \{\n(.*?)^\}", texts[0], re.M | re.S):
        lengths[header.endswith("#5")].append(body.count("\n"))
    return count, lengths[False], lengths[True]


@pytest.mark.parametrize("name", PROGRAMS)
def test_long_programs_are_compiled_in_linear_time(name):
    """Functions of a tenth of their usual length, so that short programs have many of them."""
    with thresholds_lowered(
        straight_statements=100, straight_from=50, function_statements=100, many_buffers=25,
        loop_operations=80, long_expression=200,
    ):  # fmt: skip
        work(name, 5)  # what is made once in a process
        (few, short, plain), (many, long, calls) = work(name, 80), work(name, 400)
    assert math.log(many / few, 5) < 1.1
    assert math.log((sum(long) + sum(calls)) / (sum(short) + sum(plain)), 5) < 1.1
    # LLVM's work on a function grows faster than its length
    assert max(long) < 1000
