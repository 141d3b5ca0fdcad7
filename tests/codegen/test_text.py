"""The text of the loop IR: it reads back, names are unique, literals exact, errors say where."""

import math
import struct

import numpy as np
import pytest
from symflux.codegen.ir import (
    BYTES,
    Block,
    Buffer,
    Const,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Program,
    Role,
    Store,
    Var,
)
from symflux.codegen.text import ParseError, parse_program, print_program, statement_text

EVERYTHING = """\
program everything(n, m) arena 128 {
  buffer x : f64[n] input
  buffer y : f64[1000] output
  buffer "two words" : i8[1000] inout
  buffer t : f32[16] temp at 64
  buffer w : f32[3] const {0.5, nan, -inf}
  kernel k0 "a \\"note\\", with # and \\n" {
    %total, %0 = loop i < n vector carry %acc: f64 = 0.0, %count: i64 = 0 {
      %1 = load x[-2*i + 1]                : f64
      %2 = reassociate add %acc, %1        : f64
      %3 = lt %2, inf                      : bool
      %4 = select %3, %2, 2.0              : f64
      %5 = cast 3                          : f64
      %narrow = cast f32(3.5)              : i8
      yield %2, %count
    }
    loop i < 3 parallel {
      loop j < n unroll {
        loop i1 < i64(4) {
          store y[100*i + 2*j - i1 - 5], 1e-300
        }
      }
    }
    %6 = eq true, false                  : bool
    %7, %8 = if %6 : f64, i64 {
      yield %total, 1
    } else {
      yield -nan, -9223372036854775808
    }
    if true {
      store "two words"[%8 + 7], -128
    }
    %x1, %n1 = while carry %x: f64 = 1.0, %n: u8 = 255 {
      %9 = lt %x, 10.0                     : bool
      yield %9
    } do {
      %10 = mul %x, 2.0                    : f64
      yield %10, %n
    }
    contract t[4], w m(r < 4; 8, 0) n(c < 5; 0, 8) k(p < 8; 1, 1) batch(b < 2; 0, 0) -> %sum: f32 {
      store t[5*r + c], %sum
    }
  }
  kernel "k 1" {
    store y[0], 0.1
  }
}
"""


def test_everything_reads_back_as_printed():
    assert print_program(parse_program(EVERYTHING)) == EVERYTHING


def test_the_parser_builds_the_objects_that_the_text_names():
    program = parse_program(EVERYTHING)
    n = program.sizes[0]
    x, _, two, t, w = program.buffers
    assert (x.name, x.dtype, x.size, x.role) == ("x", "f64", n, Role.INPUT)
    assert (two.name, two.role, t.offset, program.arena) == ("two words", Role.INOUT, 64, 128)
    assert np.array_equal(np.frombuffer(w.data, np.float32), [0.5, np.nan, -np.inf], equal_nan=True)
    kernel, second = program.kernels
    assert (kernel.note, second.name) == ('a "note", with # and \n', "k 1")
    loop = kernel.body.statements[0]
    assert (loop.mode, loop.extent, loop.inits) == (
        "vector",
        n,
        (Const(0.0, "f64"), Const(0, "i64")),
    )
    load, add, less, select, cast, narrow = loop.body.statements
    assert load.index == Index(((loop.var, -2),), 1)
    assert add.reassociate and add.args == (loop.params[0], load.result)
    assert less.args[1] == Const(math.inf, "f64")
    assert select.args == (less.result, add.result, Const(2.0, "f64"))
    assert (cast.args, cast.result.dtype) == ((Const(3, "i64"),), "f64")
    assert (narrow.args, narrow.result.dtype) == ((Const(3.5, "f32"),), "i8")
    branch = kernel.body.statements[3]
    assert branch.otherwise.yields[1] == Const(-(2**63), "i64")
    contract = kernel.body.statements[-1]
    assert [(d.role, d.extent, d.stride_a, d.stride_b) for d in contract.dims] == [
        ("m", 4, 8, 0), ("n", 5, 0, 8), ("k", 8, 1, 1), ("batch", 2, 0, 0),
    ]  # fmt: skip
    assert (contract.offset_a, contract.offset_b) == (Index((), 4), Index())
    assert contract.acc.dtype == "f32"


@pytest.mark.parametrize(
    "value",
    [0.0, -0.0, 0.1, 1e22, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan, -math.nan,
     np.float64(0.1), 3, True],
)  # fmt: skip
def test_literals_round_trip_exactly(value):
    y = Buffer("y", "f64", 1, Role.OUTPUT)
    store = Store(y, Index(), Const(value, "f64"))
    text = print_program(Program("p", (y,), (Kernel("k", Block((store,))),)))
    read = parse_program(text).kernels[0].body.statements[0].value
    assert read.dtype == "f64"
    assert struct.pack("d", read.value) == struct.pack("d", value)
    assert isinstance(read.value, bool) == isinstance(value, bool)


@pytest.mark.parametrize("dtype", ["f16", "f32", "f64", "bool", "u8", "i64"])
def test_data_of_const_buffers_reads_back_byte_for_byte(dtype):
    """Bytes that hold NaNs with payloads where the dtype has them: those are printed as bytes."""
    raw = bytes(range(0, 256, 4)) if dtype != "bool" else bytes([0, 1, 1, 0])
    buffer = Buffer("c", dtype, len(raw) // BYTES[dtype], Role.CONST, data=raw)
    text = print_program(Program("p", (buffer,), ()))
    assert parse_program(text).buffers[0].data == raw


def test_many_const_elements_are_printed_as_bytes():
    data = np.arange(100, dtype=np.int16).tobytes()
    buffer = Buffer("c", "i16", 100, Role.CONST, data=data)
    text = print_program(Program("p", (buffer,), ()))
    assert f'"{data.hex()}"' in text
    assert parse_program(text).buffers[0].data == data


def test_names_are_unique_among_the_loops_around_and_the_values_of_a_kernel():
    y = Buffer("y", "f64", 100, Role.OUTPUT)

    def nest(depth):
        var = Var("i64", "i")
        value = Var("f64", "acc")
        let = Let(value, "neg", (Const(1.0, "f64"),))
        store = Store(y, Index(((var, 1),)), value)
        inner = (nest(depth - 1),) if depth else ()
        return Loop(var, 2, Block((let, store, *inner)))

    program = Program("p", (y,), (Kernel("k", Block((nest(2), nest(0)))),))
    text = print_program(program)
    assert [line.split()[1] for line in text.splitlines() if "loop" in line] == [
        "i",
        "i1",
        "i2",
        "i",
    ]
    stores = [line.strip() for line in text.splitlines() if "store" in line]
    assert stores == [
        "store y[i], %acc", "store y[i1], %acc1", "store y[i2], %acc2", "store y[i], %acc3",
    ]  # fmt: skip
    assert print_program(parse_program(text)) == text


def test_hints_that_are_no_names_become_numbers():
    values = [Var("f64", hint) for hint in ("x y", "1", "", "%a", "ä")]
    lets = [Let(v, "neg", (Const(1.0, "f64"),)) for v in values]
    text = print_program(Program("p", (), (Kernel("k", Block(tuple(lets))),)))
    names = [line.split()[0] for line in text.splitlines() if "neg" in line]
    assert names == ["%0", "%1", "%2", "%3", "%4"]


def test_invalid_programs_still_print():
    x = Buffer("x", "f64", 4, Role.INPUT)
    stray, var = Var("f64", "stray"), Var("i64", "i")
    add = Let(Var("f64"), "add", (stray,))
    unknown = Let(Var("f64"), "frobnicate", (Const(1, "i8"), stray))
    loop = Loop(var, 3, Block(()), params=(Var("f64", "p"),), inits=())
    late = Load(Var("f64"), x, Index(((var, 1),)))
    kernel = Kernel("k", Block((add, unknown, loop, late, If(stray, Block(()), Block(())))))
    text = print_program(Program("p", (x,), (kernel,)))
    assert "%0 = add %?stray" in text
    assert "%1 = frobnicate i8(1), %?stray" in text
    assert "loop i < 3 carry %p: f64 = ?" in text
    assert "load x[%?i]" in text
    assert statement_text(late, kernel).startswith("%2 = load x[%?i]")


def test_time_is_linear_and_long_blocks_do_not_recurse():
    """A block of 20,000 statements, each using the one before."""
    value, lets = Const(1.0, "f64"), []
    for _ in range(20_000):
        lets.append(Let(Var("f64"), "add", (value, Const(2.5, "f64"))))
        value = lets[-1].result
    text = print_program(Program("p", (), (Kernel("k", Block(tuple(lets))),)))
    assert "%19999 = add %19998, 2.5" in text
    assert print_program(parse_program(text)) == text


KERNEL = "program p {\n  buffer x : f64[4] inout\n  kernel k {\n    STATEMENT\n  }\n}\n"


@pytest.mark.parametrize(
    ("statement", "line", "column", "message"),
    [
        ("store z[0], 1.0", 4, 11, "no buffer is named z"),
        ("store x[i], 1.0", 4, 13, "i is not defined before this use"),
        ("store x[0], %1", 4, 17, "%1 is not defined before this use"),
        ("%0 = add 1.0 2.0 : f64", 4, 18, "expected :, found 2.0"),
        ("%0 = add 1.0, 2.0", 5, 3, "expected :, found }"),
        ("%0 = add 1.0, 2.0 : f65", 4, 25, "expected a dtype, found f65"),
        ("%0 = frob 1.0 : f64", 4, 10, "expected load, loop, if, while or a scalar function"),
        ("%0 = neg 1.0 : f64 %0 = neg 1.0 : f64", 4, 24, "%0 is defined twice"),
        ("loop i 5 {}", 4, 12, "expected <, found 5"),
        ("loop i < 5 { yield }", 4, 24, "expected a value or a literal, found }"),
        ("loop i < 5 { } }  5", 4, 23, "expected kernel or }, found 5"),
        ("contract x, x, x m(i < 2; 0, 0) -> %s: f64 {}", 4, 22, "two operands, not 3"),
        ("contract x, x q(i < 2; 0, 0) -> %s: f64 {}", 4, 19, "expected batch, m, n, k or ->"),
        ("%a, %b = loop i < 5 carry %c: f64 = 0.0 { yield %c }", 4, 9, "more results than carried"),
        ("store x[0] 1.0 @", 4, 16, "expected ,, found 1.0"),
    ],
)
def test_errors_name_line_column_and_what_was_expected(statement, line, column, message):
    with pytest.raises(ParseError) as caught:
        parse_program(KERNEL.replace("STATEMENT", statement))
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value).startswith(f"line {line}, column {column}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: expected program, found the end of the text"),
        ("program p {\n  buffer x : f64[4] inputs\n}", "line 2, column 21: expected a role"),
        ("program p {} program", "line 1, column 14: expected the end of the text, found program"),
        ("program p { buffer x : f64[1] input buffer x : f64[1] input }", "declared twice"),
        ('program p { buffer x : f64[1] const "0q" }', "expected bytes in hexadecimal"),
    ],
)
def test_errors_outside_kernels(text, message):
    with pytest.raises(ParseError, match="line"):
        parse_program(text)
    try:
        parse_program(text)
    except ParseError as error:
        assert message in str(error)
