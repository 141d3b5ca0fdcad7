"""The pass pipeline: order, checking, reporting; and passes on programs too long for a golden file.

What each pass does to a program is in tests/filetests/loops, what it must keep in tests/fuzz.
"""

import io
import itertools
import math

import pytest
from symflux.codegen.builder import Builder
from symflux.codegen.ir import (
    Block,
    Buffer,
    Const,
    Contract,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Program,
    Role,
    Store,
    Var,
    walk,
)
from symflux.codegen.passes import PASSES, Pass, Pipeline, print_changes, run_passes
from symflux.codegen.passes.dead import remove_dead
from symflux.codegen.passes.hoist import hoist
from symflux.codegen.passes.moved import Moved
from symflux.codegen.passes.simplify import simplify
from symflux.codegen.passes.temps import drop_temps
from symflux.codegen.text import parse_program, print_program
from symflux.codegen.verify import VerifyError, verify

from symflux.records import replace
from tests.fuzz.running import differences, interpreted

TEXT = """
program p arena 64 {
  buffer x : f64[8] input
  buffer y : f64[8] output
  buffer t : f64[1] temp at 0
  kernel sum {
    %0 = loop i < 8 carry %a: f64 = 0.0 {
      %1 = load x[i] : f64
      %2 = add %a, %1 : f64
      yield %2
    }
    store t[0], %0
  }
  kernel scale {
    loop i < 8 {
      %0 = load t[0] : f64
      %1 = load x[i] : f64
      %2 = div %1, %0 : f64
      store y[i], %2
    }
  }
}
"""


def test_order_is_checked_when_the_pipeline_is_built():
    first, second = Pass("first", simplify), Pass("second", hoist, after=("first",))
    assert Pipeline((first, second)).passes == (first, second)
    with pytest.raises(ValueError, match="pass second must come after first"):
        Pipeline((second, first))
    with pytest.raises(ValueError, match="pass third must come after second"):
        Pipeline((first, Pass("third", hoist, follows="second")))
    with pytest.raises(ValueError, match="two passes are named first"):
        Pipeline((first, first))


def test_until_is_the_start_of_the_pipeline():
    assert [p.name for p in PASSES.until("hoist").passes] == ["simplify", "hoist"]
    with pytest.raises(KeyError, match="no pass is named frobnicate: simplify, hoist"):
        PASSES.until("frobnicate")


def test_a_pass_that_breaks_the_program_is_named():
    def lose_definitions(program):
        (kernel,) = program.kernels
        stores = tuple(s for s in kernel.body.statements if isinstance(s, Store))
        return replace(program, kernels=(replace(kernel, body=Block(stores)),))

    text = "program p { buffer y : f64[2] inout kernel k { %0 = load y[0] : f64 store y[1], %0 } }"
    pipeline = Pipeline((Pass("simplify", simplify), Pass("lossy", lose_definitions)))
    program = parse_program(text)
    with pytest.raises(VerifyError) as caught:
        pipeline.run(program, check=True)
    assert "after pass lossy: the stored value is used where it is not defined" in str(caught.value)
    assert caught.value.kernel == "k"
    assert len(pipeline.run(program).kernels) == 1  # unchecked, nothing is noticed


def test_the_program_itself_is_verified_first():
    program = parse_program("program p { buffer x : f64[1] input kernel k { store x[0], 1.0 } }")
    with pytest.raises(VerifyError, match="x is input and cannot be stored to") as caught:
        run_passes(program, verify=True)
    assert "after pass" not in str(caught.value)


def test_the_observer_sees_each_step_and_idle_followers_are_skipped():
    steps = []
    program = parse_program(TEXT)
    result = run_passes(program, observer=steps.append)
    assert [(s.name, s.changed) for s in steps] == [
        ("simplify", False), ("hoist", True), ("combine", False), ("pinpoint", False),
        ("drop_temps", False), ("block", False), ("share", False),
    ]  # fmt: skip
    assert steps[0].before is program and steps[-1].after is result
    assert all(before.after is after.before for before, after in itertools.pairwise(steps))
    assert all(s.seconds >= 0 for s in steps)

    steps.clear()
    run_passes(result, observer=steps.append)
    ran = ["simplify", "hoist", "pinpoint", "drop_temps", "block", "share"]
    assert [s.name for s in steps] == ran
    assert not any(s.changed for s in steps)


def test_print_changes_shows_only_kernels_that_changed():
    out = io.StringIO()
    run_passes(parse_program(TEXT), observer=print_changes(out))
    lines = [line for line in out.getvalue().splitlines() if line]
    heads = [line.rsplit(",", 1)[0] for line in lines if line.startswith("--")]
    assert heads == [
        "-- simplify: 0 of 2 kernels changed",
        "-- hoist: 1 of 2 kernels changed",
        "-- combine: 0 of 2 kernels changed",
        "-- pinpoint: 0 of 2 kernels changed",
        "-- drop_temps: 0 of 2 kernels changed",
        "-- block: 0 of 2 kernels changed",
        "-- share: 0 of 2 kernels changed",
    ]
    assert [line for line in lines if line.startswith("kernel")] == ["kernel scale {"]
    assert "  %0 = load t[0]                       : f64" in lines


def test_passes_answer_the_same_object_when_there_is_nothing_to_do():
    program = parse_program(print_program(run_passes(parse_program(TEXT))))
    assert simplify(program) is program
    assert hoist(program) is program
    assert drop_temps(program) is program
    for kernel in program.kernels:
        assert remove_dead(kernel.body) is kernel.body


def straight_line(length):
    """y[0] = a long chain on x[0], with every product written twice."""
    x, y = Buffer("x", "f64", 1, Role.INPUT), Buffer("y", "f64", 1, Role.OUTPUT)
    start = Var("f64")
    statements = [Load(start, x, Index())]
    value = start
    for _ in range(length // 4):
        first, second, total, next_ = (Var("f64") for _ in range(4))
        statements += [
            Let(first, "mul", (value, Const(0.5, "f64"))),
            Let(second, "mul", (Const(0.5, "f64"), value)),
            Let(total, "add", (first, second)),
            Let(next_, "sub", (total, Const(0.0, "f64"))),
        ]
        value = next_
    statements.append(Store(y, Index(), value))
    return Program("p", (x, y), (Kernel("k", Block(tuple(statements))),))


def test_long_straight_lines_do_not_recurse():
    result = run_passes(straight_line(40_000), verify=True)
    (kernel,) = result.kernels
    assert [s.op for s in kernel.body.statements[1:5]] == ["mul", "add", "mul", "add"]
    assert len(kernel.body.statements) == 1 + 20_000 + 1


def test_temps_that_only_feed_unread_temps_all_go():
    temps = "\n".join(f"buffer t{n} : f64[1] temp at {64 * n}" for n in range(4))
    links = "\n".join(
        f"kernel k{n} {{ %0 = load t{n}[0] : f64 store t{n + 1}[0], %0 }}" for n in range(3)
    )
    program = parse_program(
        f"program p arena 256 {{ {temps} buffer y : f64[1] output"
        f" kernel first {{ store t0[0], 1.0 store y[0], 2.0 }} {links} }}"
    )
    result = drop_temps(program)
    assert [b.name for b in result.buffers] == ["y"]
    assert [k.name for k in result.kernels] == ["first"]
    assert len(result.kernels[0].body.statements) == 1
    assert result.arena == 0


def test_dead_carried_values_that_feed_each_other_go():
    program = parse_program("""
    program p {
      buffer y : f64[1] output
      kernel k {
        %r, %s, %t = loop i < 4 carry %a: f64 = 0.0, %b: f64 = 1.0, %c: f64 = 2.0 {
          %0 = add %a, %b : f64
          %1 = add %c, 1.0 : f64
          yield %b, %0, %1
        }
        store y[0], %t
      }
    }""")
    body = remove_dead(program.kernels[0].body)
    loop = body.statements[0]
    assert [p.hint for p in loop.params] == ["c"]
    assert [r.hint for r in loop.results] == ["t"]
    assert len(loop.body.statements) == 1


@pytest.mark.parametrize(
    ("spec", "pieces"),
    [
        ([("m", 512, 512, 0), ("n", 512, 0, 1), ("k", 512, 1, 512)], True),
        ([("m", 16, 16, 0), ("n", 16, 0, 1), ("k", 16, 1, 16)], False),
        ([("batch", 64, 4096, 4096), ("m", 64, 64, 0), ("n", 64, 0, 1), ("k", 64, 1, 64)], True),
        ([("m", 4, 100_000, 0), ("n", 4, 0, 1), ("k", 100_000, 1, 4)], False),
    ],
)
def test_large_contractions_are_cut(spec, pieces):
    """Along the batch, or the rows and columns; never along what is summed."""
    b = Builder("product")
    size_a = 1 + sum((extent - 1) * step for _, extent, step, _ in spec)
    size_b = 1 + sum((extent - 1) * step for _, extent, _, step in spec)
    size_c = math.prod(extent for role, extent, _, _ in spec if role != "k")
    x, y, z = b.input("x", "f32", size_a), b.input("y", "f32", size_b), b.output("z", "f32", size_c)
    with b.kernel("k"), b.contract(x, y, spec) as product:
        place, step = 0, size_c
        kept = [extent for role, extent, _, _ in spec if role != "k"]
        for index, extent in zip(product.indices, kept, strict=True):
            step //= extent
            place = place + index * step
        b.store(z, place, product.acc)
    after = run_passes(b.program(), verify=True)
    (outer,) = after.kernels[0].body.statements
    assert isinstance(outer, Loop) is pieces
    if pieces:
        assert outer.mode == "parallel"
        products = [s for s in walk(outer.body) if isinstance(s, Contract)]
        sums = [d.extent for s in products for d in s.dims if d.role == "k"]
        assert set(sums) == {next(extent for role, extent, _, _ in spec if role == "k")}


def test_a_loop_copied_in_parts_does_what_it_did():
    program = parse_program("""
program p {
  buffer x : f64[12] input
  buffer y : f64[24] output
  kernel k {
    loop i < 12 {
      %0 = load x[i]                       : f64
      %1 = cast i                          : f64
      %2 = lt %1, 5.5                      : bool
      if %2 {
        %3 = mul %0, %1                    : f64
        store y[i], %3
      } else {
        store y[i + 12], %0
      }
    }
  }
}
""")
    (kernel,) = program.kernels
    (loop,) = kernel.body.statements
    number, first, rest = Var("i64", "b"), Var("i64", "j"), Var("i64", "k")
    whole = Loop(first, 5, Moved(loop.var, first, ((number, 5),)).block(loop.body, {}))
    parts = (
        Loop(number, 2, Block((whole,))),
        Loop(rest, 2, Moved(loop.var, rest, start=10).block(loop.body, {})),
    )
    copied = replace(program, kernels=(replace(kernel, body=Block(parts)),))
    verify(copied)
    assert not differences(interpreted(program), interpreted(copied))
