"""Vector loops: memory, carried values and branches, at every number of iterations."""

import re

import numpy as np
import pytest
from symflux.codegen import interp, mathlib
from symflux.codegen.builder import Builder
from symflux.codegen.ir import Loop
from symflux.codegen.llvm.emit import Emitter
from symflux.codegen.llvm.jit import compile_program
from symflux.codegen.llvm.machine import Machine, host
from symflux.codegen.llvm.vector_plan import plan_loop
from symflux.codegen.mathlib_report import evaluate
from symflux.codegen.scalars import numpy_dtype

from symflux.records import replace
from symflux.thresholds import lowered

from .test_programs import arguments

EXTENTS = [2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 67, 100]


def agree(program, sizes=(), change=lambda arrays: None):
    """Run natively and in the interpreter on the same arguments; compare every buffer."""
    native, oracle = arguments(program, sizes), arguments(program, sizes)
    for arrays in (native, oracle):
        change(arrays)
    compile_program(program).run(native, sizes)
    interp.run(program, oracle, sizes, partial=True)  # elements between stay as they were
    for name, answer in native.items():
        if answer.dtype.kind == "f":
            digits = 1e-5 if answer.dtype == "f4" else 1e-12
            np.testing.assert_allclose(answer, oracle[name], rtol=digits, atol=digits * 100)
        else:
            np.testing.assert_array_equal(answer, oracle[name])


def is_written_in_vectors(program):
    """Whether every vector loop of the program got vector code from us."""
    emitter = Emitter(program)
    text = emitter.modules()[0].text
    return not emitter.needs_vectoriser and " x double>" in text


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("n", EXTENTS)
@pytest.mark.parametrize("dtype", ["f64", "f32", "i16", "u8"])
def test_shifted_reads_and_writes(n, dtype):
    b = Builder("shift")
    x, y = b.input("x", dtype, n + 3), b.output("y", dtype, n + 1)
    with b.kernel("k"):
        b.store(y, 0, b.operand(1, dtype))
        with b.loop(n, mode="vector") as i:
            b.store(y, i + 1, b.load(x, i) + b.load(x, i + 3))
    agree(b.program())


@pytest.mark.quick(together=2)
@pytest.mark.parametrize("n", [5, 8, 16, 35])
@pytest.mark.parametrize("stride", [-4, -3, -2, -1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["f64", "f32", "i32", "u8"])
def test_near_elements_one_by_one_and_in_families(dtype, stride, n):
    """All places between, or only some, are read and written; the others keep what they held."""
    span = abs(stride) * n
    first = 0 if stride > 0 else span + stride
    for places in (range(abs(stride)), [0], range(max(1, abs(stride) - 1))):
        b = Builder("near")
        x, y = b.input("x", dtype, span), b.output("y", dtype, span)
        total = b.output("total", dtype, n)
        with b.kernel("k"), b.loop(n, mode="vector") as i:
            values = [b.load(x, i * stride + (first + place)) for place in places]
            for place, value in zip(places, values, strict=True):
                b.store(y, i * stride + (first + place), value + values[0])
            b.store(total, i, values[-1])
        agree(b.program())


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("seed", range(40))
def test_near_elements_are_read_and_written_in_order(seed):
    """Sums at places of one array that grow alike, meet each other, or both: all in one loop."""
    rng = np.random.default_rng(seed)
    stride, n = int(rng.integers(2, 5)), int(rng.integers(8, 40))
    dtype = ["f64", "f32", "i64"][seed % 3]
    b = Builder("order")
    x, y = b.input("x", dtype, 8 * n), b.inout("y", dtype, 8 * n)
    with b.kernel("k"), b.loop(n, mode="vector") as i:
        value = b.load(x, i)
        for _ in range(int(rng.integers(3, 9))):
            place = i * stride + int(rng.integers(0, stride))
            if rng.integers(2):
                value = value + b.load(y, place)
            else:
                b.store(y, place, value + b.load(x, i * stride + int(rng.integers(0, stride))))
    agree(b.program())


def test_families_need_no_masks():
    b = Builder("points")
    x, y = b.input("x", "f64", 3 * 64), b.inout("y", "f64", 3 * 64)
    with b.kernel("k"), b.loop(64, mode="vector") as i:
        for c in range(3):
            b.store(y, i * 3 + c, b.load(y, i * 3 + c) + b.load(x, i * 3 + c))
    # two lanes do not reach from point to point
    machine = replace(host(), vector_bytes=max(32, host().vector_bytes))
    text = Emitter(b.program(), machine=machine).modules()[0].text
    assert "masked" not in text and "shufflevector" in text
    agree(b.program())


@pytest.mark.parametrize("n", EXTENTS)
def test_strides_and_reversed_order(n):
    b = Builder("strides")
    x, y = b.input("x", "f64", 3 * n + 1), b.output("y", "f32", 2 * n)
    z = b.output("z", "f64", n)
    with b.kernel("k"), b.loop(n, mode="vector") as i:
        first, last = b.load(x, i * 3), b.load(x, i * -3 + (3 * n - 1))
        b.store(y, i * 2, b.cast(first, "f32"))
        b.store(y, i * 2 + 1, b.cast(last, "f32"))
        b.store(z, i * -1 + (n - 1), first - last)
    agree(b.program())


@pytest.mark.parametrize("n", EXTENTS)
def test_indices_from_memory(n):
    """A gather through loaded indices, and a scatter through a permutation."""
    b = Builder("permute")
    x, order = b.input("x", "f64", n), b.input("order", "i64", n)
    y, z = b.output("y", "f64", n), b.output("z", "f64", n)
    with b.kernel("k"), b.loop(n, mode="vector") as i:
        place = b.load(order, i)
        b.store(y, i, b.load(x, place))
        b.store(z, place, b.load(x, i))

    def permute(arrays):
        arrays["order"][:] = np.random.default_rng(n).permutation(n)

    agree(b.program(), change=permute)


@pytest.mark.parametrize("n", EXTENTS)
def test_the_index_as_a_value(n):
    b = Builder("iota")
    y, z = b.output("y", "f64", n), b.output("z", "i32", n)
    with b.kernel("k"), b.loop(n, mode="vector") as i:
        number = i * 3 + 5
        b.store(y, i, b.cast(number, "f64") * 0.5)
        b.store(z, i, b.cast(b.let("mod", b.operand(i, "i64"), b.operand(4, "i64")), "i32"))
    agree(b.program())


@pytest.mark.parametrize("n", EXTENTS)
def test_an_index_computed_by_statements(n):
    """``base + i`` and ``2 * i - base`` as Lets are still side by side, or a stride apart."""
    b = Builder("affine")
    x, y = b.input("x", "f64", 3 * n + 8), b.output("y", "f64", n)
    with b.kernel("k"), b.loop(1) as o:
        base = b.let("add", b.operand(o, "i64"), b.operand(4, "i64"))
        with b.loop(n, mode="vector") as i:
            one = b.let("add", b.operand(i, "i64"), base)
            two = b.let("sub", b.let("mul", b.operand(2, "i64"), b.operand(i, "i64")), base)
            b.store(y, i, b.load(x, one) - b.load(x, two + 4))
    program = b.program()
    agree(program)
    text = Emitter(program).modules()[0].text
    strided = "masked.gather" in text or "masked.load" in text
    assert strided == (n > 1)  # only for the stride of two


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("n", [1, *EXTENTS, 200])
@pytest.mark.parametrize(
    ("op", "dtype", "start"),
    [
        ("add", "f64", 2.5), ("add", "f32", 0.0), ("add", "i32", 3), ("mul", "f64", 1.0),
        ("minimum", "f64", np.inf), ("maximum", "f32", -np.inf), ("maximum", "i64", -5),
        ("minimum", "u8", 255), ("and", "bool", True), ("or", "bool", False), ("xor", "i16", 0),
    ],
)  # fmt: skip
def test_reductions(n, op, dtype, start):
    b = Builder("reduce")
    x, out = b.input("x", dtype, n), b.output("out", dtype, 1)
    with b.kernel("k"):
        with b.loop(n, mode="vector", carry=[b.operand(start, dtype)]) as i:
            i.yield_(b.let(op, i.params[0], b.load(x, i), reassociate=True))
        b.store(out, 0, i.results[0])
    agree(b.program())


@pytest.mark.parametrize("op", ["minimum", "maximum"])
@pytest.mark.parametrize("place", [0, 5, 33, 40])
def test_a_nan_anywhere_wins(op, place):
    b = Builder("nan")
    x, out = b.input("x", "f64", 41), b.output("out", "f64", 1)
    with b.kernel("k"):
        with b.loop(41, mode="vector", carry=[0.0]) as i:
            i.yield_(b.let(op, i.params[0], b.load(x, i), reassociate=True))
        b.store(out, 0, i.results[0])
    arrays = {"x": np.arange(41.0), "out": np.zeros(1)}
    arrays["x"][place] = np.nan
    compile_program(b.program()).run(arrays)
    assert np.isnan(arrays["out"][0])


@pytest.mark.parametrize("n", EXTENTS)
def test_several_carried_values_and_a_store(n):
    """Two sums (one of two terms) and a largest value in one pass, which also writes."""
    b = Builder("several")
    x, y, out = b.input("x", "f64", n), b.output("y", "f64", n), b.output("out", "f64", 3)
    with b.kernel("k"):
        with b.loop(n, mode="vector", carry=[1.0, 0.0, -np.inf]) as i:
            first, second, largest = i.params
            value = b.load(x, i)
            b.store(y, i, value * 2.0)
            chain = b.let("add", first, value, reassociate=True)
            i.yield_(
                b.let("add", chain, value * value, reassociate=True),
                b.let("add", value * 0.5, second, reassociate=True),
                b.let("maximum", largest, value, reassociate=True),
            )
        for k, result in enumerate(i.results):
            b.store(out, k, result)
    assert is_written_in_vectors(b.program())
    agree(b.program())


@pytest.mark.parametrize("n", EXTENTS)
def test_branches_that_only_compute(n):
    b = Builder("branch")
    x, y = b.input("x", "f64", n), b.output("y", "f64", n)
    with b.kernel("k"), b.loop(n, mode="vector") as i:
        value = b.load(x, i)
        with b.if_(value > 0.0) as outer:
            with b.if_(value > 1.0) as inner:
                inner.yield_(value * 3.0)
            with inner.otherwise as rest:
                rest.yield_(b.operand(0.25, "f64"))
            outer.yield_(inner.results[0])
        with outer.otherwise as rest:
            rest.yield_(-value)
        b.store(y, i, outer.results[0])
    assert is_written_in_vectors(b.program())
    agree(b.program())


@pytest.mark.parametrize("n", EXTENTS)
def test_a_guarded_load_is_not_run_for_others(n):
    """The load under the branch would be out of bounds: the loop is left to LLVM."""
    b = Builder("guarded")
    x, y = b.input("x", "f64", n), b.output("y", "f64", n)
    with b.kernel("k"), b.loop(n, mode="vector") as i:
        number = b.operand(i, "i64")
        with b.if_(number > 0) as branch:
            branch.yield_(b.load(x, i - 1))
        with branch.otherwise as rest:
            rest.yield_(b.operand(0.0, "f64"))
        b.store(y, i, branch.results[0])
    assert not is_written_in_vectors(b.program())
    agree(b.program())


@pytest.mark.parametrize("n", EXTENTS)
def test_while_in_every_lane(n):
    """Newton's square root: each element takes its own number of steps."""
    b = Builder("newton")
    x, y, steps = b.input("x", "f64", n), b.output("y", "f64", n), b.output("steps", "i32", n)
    with b.kernel("k"), b.loop(n, mode="vector") as i:
        value = b.let("abs", b.load(x, i)) + 0.1
        with b.while_([value, b.operand(0, "i32")]) as loop:
            root, count = loop.params
            loop.condition(b.let("abs", root * root - value) > 1e-9 * value)
            loop.yield_(0.5 * (root + value / root), count + 1)
        b.store(y, i, loop.results[0])
        b.store(steps, i, loop.results[1])
    assert is_written_in_vectors(b.program())
    agree(b.program())


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("n", EXTENTS)
@pytest.mark.parametrize("mode", ["serial", "unroll", "vector"])
def test_an_inner_loop_runs_in_all_lanes(n, mode):
    """A polynomial in each lane, its coefficients the same for all."""
    b = Builder("horner")
    x, c, y = b.input("x", "f64", n), b.input("c", "f64", 5), b.output("y", "f64", n)
    with b.kernel("k"), b.loop(n, mode="vector") as i:
        value = b.load(x, i)
        with b.loop(5, mode=mode if mode != "vector" else "serial", carry=[0.0]) as k:
            k.yield_(k.params[0] * value + b.load(c, k))
        with b.loop(2, mode=mode, carry=[k.results[0]]) as twice:
            twice.yield_(b.let("add", twice.params[0], b.load(x, i), reassociate=True))
        b.store(y, i, twice.results[0])
    assert is_written_in_vectors(b.program())
    agree(b.program())


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9, 16, 31, 32, 33, 100])
def test_numbers_of_iterations_known_only_at_the_call(n):
    b = Builder("sized")
    size = b.size("n")
    x, y, out = b.input("x", "f64", size), b.output("y", "f64", size), b.output("out", "f64", 1)
    with b.kernel("k"):
        with b.loop(size, mode="vector", carry=[1.0]) as i:
            b.store(y, i, b.load(x, i) * 2.0)
            i.yield_(b.let("add", i.params[0], b.load(x, i), reassociate=True))
        b.store(out, 0, i.results[0])
    assert is_written_in_vectors(b.program())
    agree(b.program(), (n,))


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("name", ["exp", "log", "sin", "tanh"])
@pytest.mark.parametrize("dtype", ["f16", "f32", "f64"])
@pytest.mark.parametrize("n", [3, 16, 37])
def test_mathematical_functions_in_lanes(name, dtype, n):
    b = Builder(name)
    x, y = b.input("x", dtype, n), b.output("y", dtype, n)
    with b.kernel("k"), b.loop(n, mode="vector") as i:
        b.store(y, i, b.let(name, b.load(x, i)))
    values = np.linspace(0.1, 3.0, n).astype(numpy_dtype(dtype))
    arrays = {"x": values, "y": np.zeros_like(values)}
    compile_program(b.program()).run(arrays)
    digits = {"f16": 2e-3, "f32": 5e-7, "f64": 1e-15}[dtype]
    np.testing.assert_allclose(arrays["y"], getattr(np, name)(values), rtol=digits, atol=digits)


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("size", [1, 8, 16, 17, 32, 40])
@pytest.mark.parametrize("n", [3, 8, 37])
@pytest.mark.parametrize("dtype", ["f32", "f64", "i64"])
def test_constant_tables_are_looked_up_in_registers_where_they_fit(dtype, n, size):
    rng = np.random.default_rng(size)
    numbers = (100 * rng.standard_normal(size)).astype(numpy_dtype(dtype))
    b = Builder("lookup")
    table = b.const("table", dtype, numbers.tobytes())
    x, y = b.input("x", "i64", n), b.output("y", dtype, n)
    wide = b.output("wide", "f64", n)
    with b.kernel("k"), b.loop(n, mode="vector") as i:
        found = b.load(table, b.load(x, i))
        b.store(y, i, found)
        b.store(wide, i, b.cast(found, "f64"))
    places = rng.integers(0, size, n)
    arrays = {"x": places, "y": np.zeros(n, numbers.dtype), "wide": np.zeros(n)}
    program = b.program()
    text = Emitter(program).modules()[0].text
    fits = dtype[0] == "f" and size * numbers.itemsize <= 128 and host().has_permutes
    assert ("vpermi2var" in text or "permvar" in text) == fits
    compile_program(program).run(arrays)
    np.testing.assert_array_equal(arrays["y"], numbers[places])
    np.testing.assert_array_equal(arrays["wide"], numbers[places].astype(float))


def test_tables_are_gathered_where_registers_cannot_be_looked_up(monkeypatch):
    """The bits are those of the machine that looks up."""
    x = np.concatenate([np.linspace(-12, 12, 101), [np.nan, np.inf, 0.0]])

    def run(dtype):
        return evaluate("pow", dtype, *(a.astype(numpy_dtype(dtype)) for a in (abs(x), x)))

    looked_up = [run(dtype) for dtype in ("f32", "f64")]
    monkeypatch.setattr(Machine, "has_permutes", False)
    for dtype, wanted in zip(("f32", "f64"), looked_up, strict=True):
        np.testing.assert_array_equal(run(dtype), wanted)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", ["erf", "exp", "log", "sigmoid", "tanh"])
def test_functions_without_tables(monkeypatch, name, dtype):
    """A machine that would gather their numbers computes them in another way."""
    ends = [1e-30, 0.0, -0.0, np.inf, -np.inf, np.nan, 800.0, -800.0, -87.5, -708.5, -740.0, 1e-310]
    x = np.concatenate([np.linspace(-7, 7, 1001), ends]).astype(numpy_dtype(dtype))
    by_tables = evaluate(name, dtype, x)
    monkeypatch.setattr(Machine, "has_permutes", False)
    found = evaluate(name, dtype, x)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(by_tables))
    fine = ~np.isnan(found)
    np.testing.assert_array_max_ulp(found[fine], by_tables[fine], 3)
    if name == "erf":
        with_nan = np.array([np.nan, np.inf, -np.inf, -0.0], x.dtype)
        wanted = np.array([np.nan, 1.0, -1.0, -0.0], x.dtype)
        np.testing.assert_array_equal(evaluate("erf", dtype, with_nan), wanted)


def test_lanes_are_as_many_as_fit():
    def width(dtype, narrow=None):
        b = Builder("w")
        x, y = b.input("x", narrow or dtype, 100), b.output("y", dtype, 100)
        with b.kernel("k"), b.loop(100, mode="vector") as i:
            b.store(y, i, b.cast(b.load(x, i), dtype))
        (loop,) = b.program().kernels[0].body.statements
        assert isinstance(loop, Loop)
        plan = plan_loop(loop, host())
        assert plan is not None
        return plan.width * (8 if dtype == "f64" else 4 if dtype == "f32" else 1)

    assert width("f64") == width("f32") == width("i8") == host().vector_bytes
    assert width("f64", "f32") == host().vector_bytes


def test_the_same_bits_every_time():
    """The tree of a sum depends on its extent alone."""
    x = np.random.default_rng(0).standard_normal(1003)
    answers = set()
    for offset in range(4):
        b = Builder("sum")
        source, out = b.input("x", "f64", 1003), b.output("out", "f64", 1)
        with b.kernel("k"):
            with b.loop(1003, mode="vector", carry=[0.0]) as i:
                i.yield_(b.let("add", i.params[0], b.load(source, i), reassociate=True))
            b.store(out, 0, i.results[0])
        memory = np.zeros(1010)
        view = memory[offset : offset + 1003]
        view[:] = x
        arrays = {"x": view, "out": np.zeros(1)}
        compile_program(b.program()).run(arrays)
        answers.add(arrays["out"][0])
    assert len(answers) == 1


def steps_of_a_table(m, x):
    """Where x > 2, a table read at the place ``int(x)``: nothing says that lanes whose arguments
    are smaller stay inside of the table."""
    place = m.cast(x, "i64")
    (value,) = m.where_rare(m.let("gt", x, 2.0), [x], lambda: [m.lookup(place, range(8))])
    return value


@pytest.mark.parametrize("rare_statements", [0, 10**6])
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_a_function_that_reads_a_table_at_unknown_places(monkeypatch, dtype, rare_statements):
    """Its loads were taken for the same in all lanes: LLVM refused what was written."""
    monkeypatch.setattr("symflux.codegen.mathlib.exp.exp", steps_of_a_table)
    monkeypatch.setattr(mathlib, "function", mathlib.function.__wrapped__)  # it keeps what it made
    x = np.array([-1e9, 0.5, 2.5, 7.9, -3.0, 1e9, 3.5, 2.0, 6.5, 1.5, 4.5], numpy_dtype(dtype))
    x[5] = 5.25
    wanted = np.where(x > 2, np.trunc(x), x)
    with lowered(rare_statements=rare_statements):
        for mode in ("vector", "serial"):
            np.testing.assert_array_equal(evaluate("exp", dtype, x, mode=mode), wanted)


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("name", ["sin", "pow", "log"])
def test_rare_cases_and_functions_in_place_or_called(name, dtype):
    """The same bits, usual and rare arguments side by side."""
    ends = [1e30, -1e30, 1e-30, np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-310, -2.5, 170.5]
    x = np.concatenate([np.linspace(-9, 9, 41), ends]).astype(numpy_dtype(dtype))
    arguments = (abs(x), x[::-1].copy()) if name == "pow" else (x,)
    found = []
    for limits in ({}, {"rare_statements": 0}, {"rare_statements": 10**6}, {"inlined_vectors": 0}):
        with lowered(**limits):
            found.append(evaluate(name, dtype, *arguments).tobytes())
    assert len(set(found)) == 1


def test_llvm_is_given_a_long_program_of_functions_in_proportion():
    """Functions of a long program are called, and rare cases written once: what LLVM works on
    grows by calls alone."""

    def written(steps):
        b = Builder("chain")
        x, y = b.input("x", "f64", 64), b.output("y", "f64", 64)
        with b.kernel("k"), b.loop(64, mode="vector") as i:
            value = b.load(x, i)
            for _ in range(steps):
                value = b.let("sin", value)
            b.store(y, i, value)
        emitter = Emitter(b.program())
        text = "".join([module.text for module in emitter.modules()])
        for word in ("define", "call"):  # the rare case is written once, and called in one place
            assert len(re.findall(rf"{word} .*_rare\(", text)) == 1
        inlined = {g for g, is_so in emitter._inlined().items() if is_so}
        (group,) = re.findall(
            r"define (?:internal )?<\d+ x double> @sin_f64_x\d+\(.*\) (#\d)", text
        )
        return group in inlined, text.count("\n")

    few, many, twice = written(10), written(1000), written(2000)
    assert few[0] and not many[0] and not twice[0]
    copies = round((twice[1] - many[1]) / 1000)  # of the body
    assert copies in (1, 2) and twice[1] - many[1] < 1000 * copies + 50
