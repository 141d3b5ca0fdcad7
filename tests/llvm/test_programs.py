"""Whole programs: native code against the interpreter."""

import numpy as np
import pytest
from symflux.codegen import interp
from symflux.codegen.builder import Builder
from symflux.codegen.ir import Role
from symflux.codegen.llvm.jit import compile_program
from symflux.codegen.scalars import numpy_dtype

from . import programs


def arguments(program, sizes=(), seed=0):
    """Random inputs and poisoned outputs for every argument buffer."""
    rng = np.random.default_rng(seed)
    values = dict(zip(program.sizes, sizes, strict=True))
    arrays = {}
    for buffer in program.arguments():
        kind = numpy_dtype(buffer.dtype)
        size = buffer.size if isinstance(buffer.size, int) else values[buffer.size]
        if kind.kind == "f":
            array = rng.standard_normal(size).astype(kind)
        elif kind.kind == "b":
            array = rng.random(size) < 0.5
        else:
            array = rng.integers(0, 100, size).astype(kind)
        arrays[buffer.name] = np.full_like(array, 77) if buffer.role is Role.OUTPUT else array
    return arrays


def both(program, sizes=()):
    """(arrays after the native run, arrays after the interpreter's run)."""
    native, oracle = arguments(program, sizes), arguments(program, sizes)
    compile_program(program).run(native, sizes)
    interp.run(program, oracle, sizes)
    return native, oracle


CASES = {
    "saxpy": programs.saxpy(),
    "saxpy of one": programs.saxpy(1),
    "saxpy of none": programs.saxpy(0),
    "saxpy, parallel": programs.saxpy(mode="parallel"),
    "saxpy, half": programs.saxpy(dtype="f16", mode="serial"),
    "sum": programs.reduction(),
    "serial sum": programs.reduction(mode="serial"),
    "parallel sum": programs.reduction(mode="parallel"),
    "largest": programs.reduction(op="maximum", start=-np.inf, dtype="f32"),
    "product": programs.reduction(17, op="mul", start=1.0),
    "row sums": programs.row_sums(),
    "parallel row sums": programs.row_sums(outer="parallel"),
    "unrolled row sums": programs.row_sums(columns=4, outer="vector", inner="unroll"),
    "collatz": programs.collatz(),
    "fibonacci": programs.fibonacci(),
    "two kernels": programs.two_kernels(),
    "two kernels, scratch on the heap": programs.two_kernels(arena=1 << 20),
    "contraction": programs.contraction(),
    "contraction, f32": programs.contraction(dtype="f32"),
    "masks": programs.masks(),
    "long line": programs.long_line(3500),
}


@pytest.mark.parametrize("name", CASES)
def test_native_code_does_what_the_interpreter_does(name):
    native, oracle = both(CASES[name])
    for buffer in CASES[name].arguments():
        if buffer.dtype in {"f16", "f32", "f64"}:
            digits = {"f16": 5e-3, "f32": 1e-5, "f64": 1e-13}[buffer.dtype]
            scale = np.max(np.abs(oracle[buffer.name]), initial=1.0)
            np.testing.assert_allclose(native[buffer.name], oracle[buffer.name], rtol=digits,
                                       atol=digits * scale)  # fmt: skip
        else:
            np.testing.assert_array_equal(native[buffer.name], oracle[buffer.name])


@pytest.mark.parametrize("n", [0, 1, 7, 64, 100])
def test_sizes_given_at_the_call(n):
    native, oracle = both(programs.sized(), (n,))
    np.testing.assert_allclose(native["out"], oracle["out"], rtol=1e-6, atol=1e-6)


def test_a_serial_sum_keeps_its_order():
    """Without ``reassociate`` the additions happen one after the other."""
    from symflux.codegen.builder import Builder

    b = Builder("ordered")
    x, out = b.input("x", "f32", 1000), b.output("out", "f32", 1)
    with b.kernel("k"):
        with b.loop(1000, carry=[b.operand(0.0, "f32")]) as i:
            i.yield_(i.params[0] + b.load(x, i))
        b.store(out, 0, i.results[0])
    native, oracle = both(b.program())
    assert native["out"][0] == oracle["out"][0]


def vector_instructions(native):
    """Lines of the assembly that compute on whole vectors of floats."""
    return [line for line in native.asm.splitlines() if "ps\t" in line or "pd\t" in line]


@pytest.mark.parametrize(
    "program",
    [
        programs.saxpy(1000),
        programs.saxpy(1000, dtype="f64"),
        programs.reduction(1000),
        programs.reduction(1000, dtype="f32"),
        programs.reduction(1000, op="maximum", start=-np.inf),
        programs.row_sums(100, 100),
        programs.row_sums(1000, 4, outer="vector", inner="unroll"),
        programs.two_kernels(1000),
        programs.masks(1000),
        programs.sized(),
    ],
    ids=lambda program: program.name,
)
def test_vector_loops_become_vector_instructions(program):
    import llvmlite.binding as binding

    if not binding.get_process_triple().startswith("x86_64"):
        pytest.skip("reads x86 assembly")
    native = compile_program(program)
    assert any(r in line for line in vector_instructions(native) for r in ("%xmm", "%ymm", "%zmm"))
    loops = [line for line in native.llvm_optimized.splitlines() if " x double>" in line
             or " x float>" in line]  # fmt: skip
    assert loops
    assert "vector.memcheck" not in native.llvm_optimized  # nothing to check: noalias is known


def test_arrays_that_do_not_fit_are_refused():
    native = compile_program(programs.saxpy(4))
    good = {"x": np.ones(4, "f4"), "y": np.ones(4, "f4"), "a": np.ones(1, "f4")}
    native.run(good)
    np.testing.assert_array_equal(good["y"], 2.0)
    with pytest.raises(ValueError, match="buffer x takes 4 elements of f32"):
        native.run(good | {"x": np.ones(4)})
    with pytest.raises(ValueError, match="C-contiguous"):
        native.run(good | {"x": np.ones(8, "f4")[::2]})


def test_texts_of_every_stage():
    native = compile_program(programs.saxpy(64))
    assert "define internal void @saxpy(ptr noalias" in native.llvm_ir
    assert "fmul contract <" in native.llvm_ir or "fmul contract float" in native.llvm_ir
    assert " x float>" in native.llvm_optimized
    assert ".globl\tcall" in native.asm and "ret" in native.asm
    assert native.address != 0


def test_loops_that_are_too_long_to_be_written_out_stay_loops(capfd):
    """LLVM was asked to write them out: it took minutes, or printed a warning that it did not."""
    b = Builder("nested")
    x, y = b.input("x", "i64", 400), b.output("y", "i64", 1)
    out = b.output("out", "i64", 1)
    with b.kernel("k"):
        with b.loop(1, mode="vector") as i:  # one that LLVM's own vectoriser is asked for
            b.store(y, i, b.load(x, i) * 2)
        with b.loop(60, mode="unroll", carry=[b.operand(0, "i64")]) as i:
            with b.loop(397, mode="unroll", carry=i.params) as j:
                (total,) = j.params
                for n in range(4):
                    total = total + b.load(x, j + n) * b.load(x, i)
                j.yield_(total)
            i.yield_(j.results[0])
        b.store(out, 0, i.results[0])
    native = compile_program(b.program())
    arrays = arguments(b.program())
    native.run(arrays)
    data = arrays["x"]
    windows = sum(data[n : n + 397].sum() for n in range(4))
    assert arrays["out"][0] == windows * data[:60].sum()
    assert arrays["y"][0] == 2 * data[0]
    assert len(native.asm) < 100_000
    assert capfd.readouterr().err == ""
