"""Programs of many steps written out: what each stage is given grows in proportion to the steps."""

import numpy as np
import pytest
from symflux.codegen.ir import walk
from symflux.codegen.llvm.emit import Emitter

import symflux as sf
from symflux.runtime.stages import make_stages


def chain(steps):
    """A straight line of steps on ten elements."""

    def f(x):
        for _ in range(steps):
            x = np.sin(x) * 1.01 + 0.1 * x
        return np.sum(x)

    return f


def counts(function, x):
    """Nodes, statements of loops, and lines of LLVM modules; the lines of functions that LLVM puts
    into their callers once for each call."""
    stages = make_stages(sf.trace(function)(x))
    emitter = Emitter(stages.program)
    text = "\n".join([module.text for module in emitter.modules()])
    put = [group for group, is_so in emitter._inlined().items() if is_so and group != "#1"]
    lines = text.count("\n")
    for function in text.split("\ndefine ")[1:]:
        header, _, body = function.partition("{\n")
        if any(header.endswith(f"{group} ") for group in put):
            name = header.partition("@")[2].partition("(")[0]
            lines += body.count("\n") * text.count(f" @{name}(")
    return {
        "nodes": len(stages.optimized.nodes),
        "statements": sum(1 for k in stages.program.kernels for _ in walk(k.body)),
        "lines": lines,
    }


VECTOR = np.linspace(0.0, 1.0, 10)


@pytest.mark.parametrize(
    ("make", "x"),
    [
        pytest.param(lambda n: sf.grad(chain(n)), VECTOR, id="gradient"),
        pytest.param(lambda n: sf.jacobian(lambda x: x * chain(n)(x)), VECTOR, id="jacobian"),
        pytest.param(lambda n: sf.hessian(chain(n)), VECTOR, id="hessian"),
        pytest.param(lambda n: sf.vmap(sf.grad(chain(n))), np.ones((5, 10)), id="vmap"),
    ],
)
def test_steps_that_are_written_out_cost_the_same_each(make, x):
    """A Hessian of 200 steps took LLVM 15 s: each function was put where it is used."""
    few, many = counts(make(40), x), counts(make(80), x)
    for what in few:
        assert (
            many[what] < 2.5 * few[what]
        )  # 4 where each step looks at all others, (what, few, many)
    assert many["lines"] < 4 * many["statements"] + 1000
