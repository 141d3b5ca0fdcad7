"""What programs cost: each buffer once per kernel, inputs and outputs once per program."""

from symflux.codegen.builder import Builder
from symflux.codegen.cost import necessary_bytes, program_cost


def test_temporaries_are_not_necessary():
    b = Builder("two")
    x, unused = b.input("x", "f64", 100), b.input("unused", "f64", 100)
    t, y = b.temp("t", "f64", 100), b.output("y", "f64", 50)
    with b.kernel("first"), b.loop(100) as i:
        b.store(t, i, b.load(x, i) + 1.0)
    with b.kernel("second"), b.loop(50) as i:
        b.store(y, i, b.load(t, i) * b.load(x, i))
    assert unused
    program = b.program()
    first, second = program_cost(program).kernels
    assert (first.bytes_read, first.bytes_written) == (800, 800)
    assert (second.bytes_read, second.bytes_written) == (800, 400)
    assert necessary_bytes(program) == 800 + 400
