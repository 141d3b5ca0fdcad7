"""The interpreter: values as NumPy's, control flow, contractions, and every access checked."""

import math
from fractions import Fraction

import numpy as np
import pytest
from symflux.codegen.interp import InterpreterError, evaluate, run
from symflux.codegen.scalars import SCALARS, numpy_dtype
from symflux.codegen.text import parse_program


def run_text(text, **arrays):
    sizes = arrays.pop("sizes", ())
    run(parse_program(text), arrays, sizes)
    return arrays


def test_a_sum_over_a_size_known_at_the_call():
    text = """
    program total(n) {
      buffer x : f64[n] input
      buffer y : f64[1] output
      kernel k {
        %s = loop i < n carry %a: f64 = 0.0 {
          %0 = load x[i] : f64
          %1 = add %a, %0 : f64
          yield %1
        }
        store y[0], %s
      }
    }"""
    x = np.arange(5.0)
    assert run_text(text, x=x, y=np.empty(1), sizes=(5,))["y"].tolist() == [10.0]
    assert run_text(text, x=x[:0], y=np.empty(1), sizes=(0,))["y"].tolist() == [0.0]


def test_carried_values_step_together():
    text = """
    program fibonacci {
      buffer y : i64[2] output
      kernel k {
        %a1, %b1 = loop i < 10 carry %a: i64 = 0, %b: i64 = 1 {
          %0 = add %a, %b : i64
          yield %b, %0
        }
        store y[0], %a1
        store y[1], %b1
      }
    }"""
    assert run_text(text, y=np.empty(2, np.int64))["y"].tolist() == [55, 89]


def test_while_and_if():
    text = """
    program collatz {
      buffer x : i64[1] input
      buffer y : i64[1] output
      kernel k {
        %0 = load x[0] : i64
        %v1, %n1 = while carry %v: i64 = %0, %n: i64 = 0 {
          %1 = ne %v, 1 : bool
          yield %1
        } do {
          %2 = and %v, 1 : i64
          %3 = eq %2, 1 : bool
          %4 = if %3 : i64 {
            %5 = mul %v, 3 : i64
            %6 = add %5, 1 : i64
            yield %6
          } else {
            %7 = floordiv %v, 2 : i64
            yield %7
          }
          %8 = add %n, 1 : i64
          yield %4, %8
        }
        store y[0], %n1
      }
    }"""
    for start, steps in [(1, 0), (2, 1), (27, 111)]:
        y = np.empty(1, np.int64)
        run_text(text, x=np.array([start]), y=y)
        assert y[0] == steps


def test_a_batched_strided_contraction_with_an_epilogue():
    text = """
    program product {
      buffer a : f32[24] input
      buffer b : f32[30] input
      buffer y : f64[20] output
      kernel k {
        contract a, b batch(s < 2; 12, 15) m(i < 2; 1, 0) n(j < 5; 0, 3) k(q < 3; 2, 1) -> %t: f32 {
          %0 = cast %t : f64
          %1 = mul %0, 2.0 : f64
          store y[10*s + 5*i + j], %1
        }
      }
    }"""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 6, 2)).astype("f4"), rng.normal(size=(2, 5, 3)).astype("f4")
    y = run_text(text, a=a.ravel(), b=b.ravel(), y=np.empty(20))["y"].reshape(2, 2, 5)
    exact = np.einsum("ski,sjk->sij", a[:, :3].astype("f8"), b.astype("f8"))
    assert np.array_equal(y, 2 * exact.astype("f4").astype("f8"))


OTHERWISE_TESTED = {"select", "cast", "bitcast", "fma"}


@pytest.mark.parametrize("name", sorted(SCALARS.keys() - OTHERWISE_TESTED))
def test_every_scalar_function_agrees_with_its_row(name):
    """One run per dtype through a program gives what ``meaning`` gives on a whole array."""
    row = SCALARS[name]
    for dtype in sorted(row.domain):
        kind = numpy_dtype(dtype)
        rng = np.random.default_rng(len(name))
        if dtype == "bool":
            args = [rng.integers(0, 2, 20).astype(bool) for _ in range(row.arity)]
        elif dtype[0] == "f":
            args = [rng.uniform(0.1, 0.9, 20).astype(kind) for _ in range(row.arity)]
        else:
            args = [rng.integers(0, 7, 20).astype(kind) for _ in range(row.arity)]
        with np.errstate(all="ignore"):
            wanted = row.meaning(*args)
        got = [evaluate(name, values, dtype if row.result == "same" else "bool")
               for values in zip(*args, strict=True)]  # fmt: skip
        assert np.array_equal(np.array(got), wanted, equal_nan=True)
        assert {g.dtype for g in got} == {wanted.dtype}


def test_integers_wrap_and_division_by_zero_is_zero():
    assert evaluate("add", (np.int8(100), np.int8(100)), "i8") == -56
    assert evaluate("mul", (np.uint64(2**63), np.uint64(2)), "u64") == 0
    assert evaluate("neg", (np.uint8(1),), "u8") == 255
    assert evaluate("abs", (np.int8(-128),), "i8") == -128
    assert evaluate("floordiv", (np.int64(7), np.int64(0)), "i64") == 0
    assert evaluate("mod", (np.int64(-7), np.int64(3)), "i64") == 2
    assert evaluate("floordiv", (np.int64(-7), np.int64(3)), "i64") == -3


def test_select_cast_and_bitcast():
    one, two = np.float32(1), np.float32(2)
    assert evaluate("select", (np.True_, one, two), "f32") == 1
    assert evaluate("select", (np.False_, one, two), "f32") == 2
    assert evaluate("cast", (np.float64(-2.9),), "i8") == -2
    assert evaluate("cast", (np.int16(-1),), "u16") == 65535
    assert evaluate("cast", (np.float64(0.5),), "bool") == np.True_
    assert evaluate("cast", (np.float64(1 + 2**-30),), "f32") == np.float32(1)
    assert evaluate("bitcast", (np.float32(1),), "u32") == 0x3F800000
    assert evaluate("bitcast", (np.int64(-1),), "u64") == 2**64 - 1


def fraction_of(x):
    return Fraction(float(x))


@pytest.mark.parametrize("dtype", ["f16", "f32", "f64"])
def test_fma_rounds_once(dtype):
    kind = numpy_dtype(dtype).type
    eps = float(np.finfo(kind).eps)
    a = kind(1 + eps)
    # a*a = 1 + 2 eps + eps^2: rounding the product first would lose the last term
    assert evaluate("fma", (a, a, kind(-1 - 2 * eps)), dtype) == kind(eps) * kind(eps)
    rng = np.random.default_rng(1)
    for x, y, z in rng.normal(size=(200, 3)).astype(kind):
        got = evaluate("fma", (x, y, z), dtype)
        exact = fraction_of(x) * fraction_of(y) + fraction_of(z)
        error = abs(fraction_of(got) - exact)
        for other in (np.nextafter(got, kind(np.inf)), np.nextafter(got, kind(-np.inf))):
            assert error <= abs(fraction_of(other) - exact)
    tiny = np.finfo(kind).smallest_subnormal
    assert math.copysign(1, evaluate("fma", (tiny, -tiny, kind(0)), dtype)) == -1
    assert math.copysign(1, evaluate("fma", (kind(0), kind(-1), kind(-0.0)), dtype)) == -1
    assert math.copysign(1, evaluate("fma", (kind(1), kind(1), kind(-1)), dtype)) == 1
    largest = np.finfo(kind).max
    assert evaluate("fma", (largest, kind(2), kind(0)), dtype) == np.inf
    assert evaluate("fma", (largest, kind(2), -largest), dtype) == largest
    assert np.isnan(evaluate("fma", (kind(np.inf), kind(0), kind(1)), dtype))


TEMPS = """
program p arena 64 {
  buffer x : f64[4] input
  buffer y : f64[4] output
  buffer t : f64[4] temp at 0
  buffer u : f32[4] temp at 0
  buffer c : i8[2] const {7, 8}
  kernel k {
    STATEMENTS
  }
}"""


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        ("%0 = load x[4] : f64", "kernel k: %0 = load x[4] : f64\n  element 4 of x[4] is out of"),
        ("loop i < 5 { store y[i], 1.0 }", "kernel k: store y[i], 1.0\n  element 4 of y[4]"),
        ("store y[-1], 1.0", "element -1 of y[4] is out of bounds"),
        ("store x[0], 1.0", "x is input and read-only"),
        ("store c[0], 1", "c is const and read-only"),
        ("store y[0], 1.0 %0 = load y[1] : f64", "element 1 of y is read before it is written"),
        ("%0 = load t[0] : f64", "element 0 of temp t is not what was last written to its bytes"),
        ("store t[0], 1.0 store u[1], 1.0 %0 = load t[0] : f64", "element 0 of temp t is not"),
        (
            "loop i < 3 vector { %0 = mul i, i : i64 %1 = mod %0, 2 : i64 store y[%1], 1.0 }",
            "element 0 of y was stored by another iteration",
        ),
        (
            "store y[0], 1.0 store y[2], 1.0 store y[3], 1.0 loop i < 2 parallel {"
            " %0 = mul i, 3 : i64 %1 = load y[%0] : f64 %2 = sub 3, %0 : i64 store y[%2], %1 }",
            "element 3 of y was stored by another iteration",
        ),
        (
            "store y[0], 1.0 loop i < 2 parallel {"
            " %0 = load y[0] : f64 %1 = sub 1, i : i64 store y[%1], %0 }",
            "element 0 of y was loaded by another iteration",
        ),
        (
            "contract x, x m(i < 2; 1, 0) k(q < 2; 1, 1) -> %a: f64 {"
            " %0 = mul i, 0 : i64 store y[%0], %a }",
            "element 0 of y was stored by another iteration",
        ),
        ("contract x, x[2] k(q < 3; 1, 1) -> %a: f64 { }", "element 4 of x[4] is out of bounds"),
    ],
)
def test_forbidden_accesses(statements, message):
    with pytest.raises(InterpreterError) as caught:
        run_text(TEMPS.replace("STATEMENTS", statements), x=np.ones(4), y=np.ones(4))
    text = " ".join(str(caught.value).split())
    assert " ".join(message.split()) in text


def test_temps_and_consts_hold_their_values():
    statements = """
      store t[0], 1.5
      store u[2], 2.5
      %0 = load t[0] : f64
      store y[0], %0
      %1 = load u[2] : f32
      %2 = cast %1 : f64
      %3 = load c[1] : i8
      %4 = cast %3 : f64
      %5 = add %2, %4 : f64
      store y[1], %5
      %6 = load y[0] : f64
      store y[2], %6"""
    y = np.full(4, -1.0)
    with pytest.raises(InterpreterError, match="element 3 of output y is never written"):
        run_text(TEMPS.replace("STATEMENTS", statements), x=np.ones(4), y=y)
    assert y[:3].tolist() == [1.5, 10.5, 1.5]
    assert np.isnan(y[3])  # not what the caller's memory held


def test_arguments_are_checked():
    text = "program p(n) { buffer x : f64[n] inout kernel k { store x[0], 1.0 } }"
    program = parse_program(text)
    with pytest.raises(ValueError, match="takes 1 sizes, got 0"):
        run(program, {"x": np.zeros(1)})
    with pytest.raises(ValueError, match=r"takes buffers \['x'\], got \['y'\]"):
        run(program, {"y": np.zeros(1)}, (1,))
    for wrong in (np.zeros(2), np.zeros(1, "f4"), np.zeros((1, 1)), np.zeros(2)[::2]):
        if wrong.flags.c_contiguous and wrong.shape == (1,) and wrong.dtype == "f8":
            continue  # one element is contiguous whatever its stride
        with pytest.raises(ValueError, match="buffer x is float64"):
            run(program, {"x": wrong}, (1,))
    with pytest.raises(ValueError, match="buffer x is float64"):
        run(program, {"x": np.zeros(4)[::2]}, (2,))
