"""The verifier: every rule has a program that breaks it and one nearby that keeps it."""

import itertools

import pytest
from symflux.codegen.independence import _meeting
from symflux.codegen.ir import (
    Block,
    Buffer,
    Const,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Program,
    Role,
    Store,
    Var,
    While,
)
from symflux.codegen.text import parse_program
from symflux.codegen.verify import VerifyError, verify

BUFFERS = """
  buffer x : f64[100] input
  buffer y : f64[100] output
  buffer z : f64[100] inout
  buffer c : i32[4] input
  buffer k : i64[100] input
  buffer s : f64[n] inout
  buffer t : f64[8] temp at 0
  buffer u : f64[8] temp at 64
  buffer h : f16[100] input
"""


def program_of(statements, buffers=BUFFERS, arena=128):
    return parse_program(
        f"program p(n) arena {arena} {{\n{buffers}\n  kernel k0 {{\n{statements}\n  }}\n}}"
    )


ACCEPTED = {
    "reads what was stored": "store y[0], 1.0 %0 = load y[0] : f64",
    "dynamic index": "%0 = load k[0] : i64 %1 = load x[%0] : f64",
    "dynamic index clamped inside": """
        %0 = load k[0] : i64
        %1 = maximum %0, 0 : i64
        %2 = minimum %1, 98 : i64
        %3 = load x[%2 + 1] : f64""",
    "guarded access": "loop i < 100 { %0 = ge i, 1 : bool if %0 { %1 = load x[i - 1] : f64 } }",
    "index tied to the loop by arithmetic": """
        loop i < 10 {
          %0 = minimum i, 3 : i64
          %1 = load x[i - %0] : f64
        }""",
    "empty loop": "loop i < 0 { %0 = load x[i + 100] : f64 }",
    "unknown extent": "loop i < n { %0 = load x[i] : f64 %1 = load s[i] : f64 }",
    "nested affine": "loop i < 10 { loop j < 10 { store y[10*i - j + 9], 1.0 } }",
    "a vector sum": """
        %s = loop i < 100 vector carry %a: f64 = 0.0 {
          %0 = load x[i] : f64
          %1 = reassociate add %0, %a : f64
          %2 = reassociate add %1, 1.0 : f64
          yield %2
        }""",
    "a sum carried through an inner loop and an if": """
        %s = loop i < 10 parallel carry %a: f64 = 0.0 {
          %r = loop j < 10 carry %b: f64 = %a {
            %0 = load x[10*i + j] : f64
            %1 = lt %0, 0.0 : bool
            %2 = if %1 : f64 { %3 = reassociate add %b, %0 : f64 yield %3 } else { yield %b }
            yield %2
          }
          yield %r
        }""",
    "disjoint tiles": "loop i < 10 parallel { loop j < 10 { store y[10*i + j], 1.0 } }",
    "disjoint interleaved": "loop i < 10 parallel { loop j < 10 { store y[i + 10*j], 1.0 } }",
    "same element twice in one iteration": """
        loop i < 100 vector { store z[i], 1.0 %0 = load z[i] : f64 store z[i], %0 }""",
    "steps that never meet": "loop i < 9 vector { %0 = load z[4*i + 1] : f64 store z[2*i], %0 }",
    "steps that meet beyond the extent": """
        loop i < 10 vector { %0 = load z[2*i + 20] : f64 store z[i], %0 }""",
    "steps that meet in one iteration": """
        loop i < 2 vector { store z[2*i + 1], 1.0 store z[3*i], 0.0 }""",
    "even and odd": "loop i < 50 vector { %0 = load z[2*i + 1] : f64 store z[2*i], %0 }",
    "unknown extent within stride": """
        loop i < 10 parallel { loop j < n { store y[10*i + j], 1.0 } }""",
    "contraction": """
        contract x, x m(i < 10; 10, 0) n(j < 10; 0, 1) k(q < 10; 1, 10) -> %a: f64 {
          store y[10*i + j], %a
        }""",
    "contraction of halves into a single": """
        contract h, h m(i < 10; 10, 0) n(j < 10; 0, 1) k(q < 10; 1, 10) -> %a: f32 {
          %0 = cast %a : f64
          store y[10*i + j], %0
        }""",
    "shadowed dtype of comparison": "%0 = lt 1.0, 2.0 : bool %1 = not %0 : bool",
    "while": """
        %r = while carry %v: f64 = 1.0 { %0 = lt %v, 9.0 : bool yield %0 } do {
          %1 = mul %v, 2.0 : f64 yield %1
        }
        store y[0], %r""",
}


@pytest.mark.parametrize("statements", ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(statements):
    program = program_of(statements)
    assert verify(program) is program


REJECTED = {
    # values
    "use outside its block": (
        "loop i < 3 { %0 = neg 1.0 : f64 } store y[0], %0",
        "the stored value is used where it is not defined",
    ),
    "loop variable after its loop": (
        "loop i < 3 { store y[i], 1.0 } store y[i], 1.0",
        "index variable i is used where it is not defined",
    ),
    "result used inside its own loop": (
        "%r = loop i < 3 carry %p: f64 = 0.0 { yield %p } loop i < 3 { } %1 = add %r, i : f64",
        "argument 1 of add is used where it is not defined",
    ),
    "arity": ("%0 = add 1.0 : f64", "add takes 2 arguments, got 1"),
    "domain": ("%0 = sqrt 4 : i64", "sqrt does not take i64"),
    "domain of bools": ("%0 = add true, true : bool", "add does not take bool"),
    "mixed dtypes": ("%0 = add f64(1.0), f32(1.0) : f64", "differ in dtype: f64, f32"),
    "result dtype": ("%0 = load x[0] : f64 %1 = add %0, f64(1.0) : f32", "is f64, but the result"),
    "comparison gives bool": ("%0 = load x[0] : f64 %1 = lt %0, 1.0 : f64", "is bool, but the"),
    "select by number": ("%0 = select f64(1.0), 2.0, 3.0 : f64", "condition of select is f64"),
    "bitcast width": ("%0 = load x[0] : f64 %1 = bitcast %0 : i32", "the widths differ"),
    "bitcast to bool": ("%0 = bitcast i8(1) : bool", "the widths differ"),
    "reassociate sub": ("%0 = reassociate sub 1.0, 2.0 : f64", "sub cannot be reassociate"),
    "literal too large": ("%0 = neg 128 : i8", "128 is no literal of dtype i8"),
    "literal of a float dtype": ("%0 = neg true : f64", "True is no literal of dtype f64"),
    "literal of an int dtype": ("%0 = neg 1.5 : i8", "1.5 is no literal of dtype i8"),
    "literal of bool": ("%0 = not 1 : bool", "1 is no literal of dtype bool"),
    # blocks
    "too few yields": (
        "%r = loop i < 3 carry %p: f64 = 0.0 { }",
        "the loop's body must yield 1 values, it yields 0",
    ),
    "yield of another dtype": (
        "%r = loop i < 3 carry %p: f64 = 0.0 { yield f32(1.0) }",
        "yield 0 of the loop's body is f32, but f64 is needed",
    ),
    "yields of an if": (
        "%r = if true : f64 { yield 1.0 }", "the else must yield 1 values, it yields 0",
    ),
    "condition yields a number": (
        "%r = while carry %p: f64 = 0.0 { yield f64(1.0) } do { yield %p }",
        "yield 0 of the condition of the while is f64, but bool is needed",
    ),
    "epilogue yields": (
        "contract x, x m(i < 2; 1, 0) k(q < 2; 1, 1) -> %a: f64 { yield %a }",
        "an epilogue must yield 0 values",
    ),
    "kernel yields": ("yield 1.0", "the kernel must yield 0 values"),
    "results and params differ in dtype": (
        "%r: f32 = loop i < 3 carry %p: f64 = 0.0 { yield %p }",
        "result 0 is f32, its param is f64",
    ),
    "init of another dtype": (
        "%r = loop i < 3 carry %p: f64 = f32(0.0) { yield %p }", "init 0 is f32, but f64 is needed",
    ),
    "results missing": (
        "loop i < 3 carry %p: f64 = 0.0 { yield %p }", "1 params, 1 inits, 0 results",
    ),
    "extent is not i64": ("loop i < 1.5 { }", "the extent is f64, but i64 is needed"),
    "extent is negative": ("loop i < -2 { }", "the extent is -2"),
    "condition is a number": ("%0 = load x[0] : f64 if %0 { }", "the condition is f64, but bool"),
    # memory
    "store to an input": ("store x[0], 1.0", "x is input and cannot be stored to"),
    "load from an unwritten output": ("%0 = load y[0] : f64", "output y is read, but no store"),
    "load from an unwritten temp": ("%0 = load t[0] : f64", "temp t is read, but no store"),
    "loaded dtype": ("%0 = load x[0] : f32", "x holds f64, the result is f32"),
    "stored dtype": ("store y[0], f32(1.0)", "the stored value is f32, but f64 is needed"),
    "index too high": ("store y[100], 1.0", "the index goes up to 100, but y has 100 elements"),
    "index too low": ("store y[-1], 1.0", "the index goes down to -1"),
    "affine index too high": (
        "loop i < 10 { loop j < 10 { store y[10*i + j + 1], 1.0 } }", "up to 100, but y has 100",
    ),
    "affine index too low": ("loop i < 10 { store y[10 - 2*i], 1.0 }", "goes down to -8"),
    "clamped too loosely": (
        "%0 = load k[0] : i64 %1 = minimum %0, 100 : i64 %2 = maximum %1, 0 : i64"
        " %3 = load x[%2] : f64",
        "the index goes up to 100",
    ),
    "remainder": (
        "%0 = load k[0] : i64 %1 = mod %0, 101 : i64 %2 = load x[%1] : f64", "goes up to 100",
    ),
    "outside even if guarded": (
        "loop i < 10 { if true { %1 = load x[i + 100] : f64 } }",
        "the index goes up to 100",
    ),
    "negative index of a sized buffer": ("store s[-1], 1.0", "the index is -1"),
    "index variable dtype": (
        "%0 = load c[0] : i32 %1 = load x[%0] : f64", "index variable is i32, not i64",
    ),
    # independence
    "carried value used otherwise": (
        "%r = loop i < 9 vector carry %p: f64 = 0.0 {"
        " %0 = reassociate add %p, 1.0 : f64 store y[i], %0 yield %0 }",
        "carried value 0 of a vector loop may only be combined by reassociate Lets",
    ),
    "carried value combined in order": (
        "%r = loop i < 9 vector carry %p: f64 = 0.0 { %0 = add %p, 1.0 : f64 yield %0 }",
        "carried value 0 of a vector loop may only be combined",
    ),
    "carried value combined by two operations": (
        "%r = loop i < 9 parallel carry %p: f64 = 0.0 {"
        " %0 = reassociate add %p, 1.0 : f64 %1 = reassociate mul %0, 2.0 : f64 yield %1 }",
        "carried value 0 of a parallel loop may only be combined",
    ),
    "carried value combined with itself": (
        "%r = loop i < 9 vector carry %p: f64 = 0.0 { %0 = reassociate add %p, %p : f64 yield %0 }",
        "carried value 0 of a vector loop may only be combined",
    ),
    "carried value replaced": (
        "%r = loop i < 9 vector carry %p: f64 = 0.0 { %0 = load x[i] : f64 yield %0 }",
        "its yield does not come from its param",
    ),
    "carried values swapped": (
        "%r, %s = loop i < 9 vector carry %p: f64 = 0.0, %q: f64 = 1.0 { yield %q, %p }",
        "carried value 0 must be combined",
    ),
    "carried value lost in one branch": (
        "%r = loop i < 9 vector carry %p: f64 = 0.0 {"
        " %0 = if true : f64 { yield %p } else { yield 1.0 } yield %0 }",
        "carried value 0 of a vector loop may only be combined",
    ),
    "every iteration stores one element": (
        "loop i < 9 parallel { store y[3], 1.0 }",
        "every iteration of the parallel loop stores the same element of y",
    ),
    "rows that overlap": (
        "loop i < 9 parallel { loop j < 10 { store y[9*i + j], 1.0 } }",
        "two iterations of the parallel loop store one element of y",
    ),
    "neighbour read": (
        "loop i < 99 vector { %0 = load z[i] : f64 store z[i + 1], %0 }",
        "iterations of the vector loop that are 1 apart touch one element of z",
    ),
    "steps that meet": (
        "loop i < 9 vector { store z[2*i + 1], 1.0 store z[3*i], 0.0 }",
        "iterations 3 and 4 of the vector loop touch one element of z",
    ),
    "one element read by all and stored by one": (
        "loop i < 9 vector { %0 = load z[5] : f64 store z[i], %0 }",
        "iterations 0 and 5 of the vector loop touch one element of z",
    ),
    "recurrence over rows": (
        "loop i < 9 parallel { loop j < 10 {"
        " %0 = load z[10*i + j + 10] : f64 store z[10*i + j], %0 } }",
        "iterations of the parallel loop that are 1 apart",
    ),
    # contractions
    "stride of an absent dimension": (
        "contract x, x m(i < 2; 1, 1) k(q < 2; 1, 1) -> %a: f64 { }",
        "operand b has no dimension m, but a stride for it",
    ),
    "operand out of bounds": (
        "contract x, x m(i < 10; 10, 0) k(q < 10; 1, 12) -> %a: f64 { }",
        "the index goes up to 108",
    ),
    "operand below its start": (
        "contract x, x[5] m(i < 10; 10, 0) k(q < 10; 1, -1) -> %a: f64 { }",
        "the index goes down to -4",
    ),
    "operand unwritten": ("contract x, y k(q < 2; 1, 1) -> %a: f64 { }", "output y is read"),
    "sum narrower": (
        "contract x, x k(q < 2; 1, 1) -> %a: f32 { }", "the sum is f32, narrower than an operand",
    ),
    "sum of another kind": (
        "contract x, x k(q < 2; 1, 1) -> %a: i64 { }", "cannot sum to i64",
    ),
    "negative extent": ("contract x, x k(q < -1; 1, 1) -> %a: f64 { }", "dimension k is -1"),
    "the sum's variable in the epilogue": (
        "contract x, x k(q < 2; 1, 1) -> %a: f64 { store y[q], %a }",
        "index variable q is used where it is not defined",
    ),
    "epilogue elements collide": (
        "contract x, x m(i < 2; 1, 0) n(j < 2; 0, 1) k(q < 2; 1, 1) -> %a: f64 { store y[i], %a }",
        "every iteration of the epilogue stores the same element of y",
    ),
    "epilogue tiles collide": (
        "contract x, x m(i < 3; 1, 0) n(j < 3; 0, 1) k(q < 2; 1, 1) -> %a: f64 {"
        " store y[2*i + j], %a }",
        "two iterations of the epilogue store one element of y",
    ),
    "epilogue overwrites an operand": (
        "contract z, x m(i < 2; 1, 0) k(q < 2; 1, 1) -> %a: f64 { store z[i], %a }",
        "the epilogue stores to the contraction's operand z",
    ),
    "contraction in an epilogue": (
        "contract x, x k(q < 2; 1, 1) -> %a: f64 { contract x, x k(q < 2; 1, 1) -> %b: f64 { } }",
        "a contraction stands inside the epilogue of another",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("statements", "rule"), REJECTED.values(), ids=REJECTED)
def test_rejects(statements, rule):
    program = program_of(statements)
    with pytest.raises(VerifyError) as caught:
        verify(program)
    assert rule in caught.value.rule
    assert caught.value.kernel == "k0"
    assert caught.value.rule in str(caught.value)


def test_the_message_shows_the_statement_as_it_is_printed():
    program = program_of("loop i < 3 { %0 = neg 1.0 : f64 store y[200*i + 7], %0 }")
    with pytest.raises(VerifyError) as caught:
        verify(program)
    assert str(caught.value) == (
        "kernel k0: store y[200*i + 7], %0\n  the index goes up to 407, but y has 100 elements"
    )


WRONG_BUFFERS = {
    "temp without offset": ("buffer t : f64[8] temp", "temp t has no offset in the arena"),
    "temp off its grid": ("buffer t : f64[8] temp at 8", "temp t at 8: not a multiple of 64"),
    "temp beyond the arena": (
        "buffer t : f64[9] temp at 64",
        "ends at byte 136 of an arena of 128",
    ),
    "temp of unknown size": ("buffer t : f64[n] temp at 0", "temp t must have a constant size"),
    "offset of an input": ("buffer x : f64[8] input at 0", "x is input but has an arena offset"),
    "data of an input": ("buffer x : i8[2] input {1, 2}", "x is input but has data"),
    "const without data": ("buffer x : i8[2] const", "const x needs a constant size and data"),
    "const data too short": ("buffer x : i16[2] const {1}", "2 bytes of data for 2 elements of 2"),
}


@pytest.mark.parametrize(("buffer", "rule"), WRONG_BUFFERS.values(), ids=WRONG_BUFFERS)
def test_rejects_buffers(buffer, rule):
    with pytest.raises(VerifyError) as caught:
        verify(program_of("", buffers=buffer))
    assert rule in str(caught.value)


def two_kernels(first, second, third="", buffers="t at 0, u at 0"):
    declared = "\n".join(
        f"buffer {b.split()[0]} : f64[8] temp at {b.split()[2]}" for b in buffers.split(",")
    )
    kernels = "".join(f"kernel k{n} {{ {text} }}" for n, text in enumerate((first, second, third)))
    return parse_program(f"program p arena 256 {{ {declared} buffer y : f64[8] output {kernels} }}")


def test_temps_that_share_bytes_take_turns():
    store_t, store_u = "store t[0], 1.0", "store u[0], 1.0"
    load_t = "%0 = load t[0] : f64 store y[0], %0"
    verify(two_kernels(store_t, store_u))
    verify(two_kernels(store_t + " " + store_u, "", buffers="t at 0, u at 64"))
    with pytest.raises(VerifyError, match=r"temps t and u share bytes .* in use in kernel k0"):
        verify(two_kernels(store_t + " " + store_u, ""))
    with pytest.raises(VerifyError, match="in use in kernel k1"):
        verify(two_kernels(store_t, store_u, load_t))


def test_names_and_sizes_of_buffers():
    x = Buffer("x", "f64", 4, Role.INPUT)
    with pytest.raises(VerifyError, match="two buffers are named x"):
        verify(Program("p", (x, Buffer("x", "f64", 4, Role.OUTPUT)), ()))
    with pytest.raises(VerifyError, match="buffer x has -1 elements"):
        verify(Program("p", (Buffer("x", "f64", -1, Role.INPUT),), ()))
    with pytest.raises(VerifyError, match="'f80' is not a dtype"):
        verify(Program("p", (Buffer("x", "f80", 1, Role.INPUT),), ()))
    n = Var("i64", "n")
    sized = Buffer("x", "f64", n, Role.INPUT)
    assert verify(Program("p", (sized,), (), (n,))).sizes == (n,)
    with pytest.raises(VerifyError, match="its size is none of the program's sizes"):
        verify(Program("p", (sized,), ()))
    with pytest.raises(VerifyError, match="size m of program p is i32, not i64"):
        verify(Program("p", (), (), (Var("i32", "m"),)))
    with pytest.raises(VerifyError, match="lists a size twice"):
        verify(Program("p", (), (), (n, n)))


def program_with(*statements, buffers=(), kernels=1):
    body = Block(tuple(statements))
    return Program("p", tuple(buffers), tuple(Kernel(f"k{n}", body) for n in range(kernels)))


def test_where_two_strides_meet_is_found_as_by_trying_all_iterations():
    steps, offsets = (-3, -1, 0, 1, 2, 4), (-2, 0, 1, 5)
    for a, p, b, q in itertools.product(steps, offsets, steps, offsets):
        for extent in (1, 2, 5):
            pairs = [
                (v, w)
                for v, w in itertools.product(range(extent), repeat=2)
                if v != w and a * v + p == b * w + q
            ]
            if a != b:
                found = _meeting(a, p, b, q, extent)
                assert found in pairs if pairs else found is None


def test_single_assignment():
    one, value = Const(1.0, "f64"), Var("f64", "v")
    let = Let(value, "neg", (one,))
    verify(program_with(let))
    with pytest.raises(VerifyError, match="value v is assigned a second time"):
        verify(program_with(let, let))
    with pytest.raises(VerifyError, match=r"kernel k1: .*\n  value v is assigned a second time"):
        verify(program_with(let, kernels=2))
    with pytest.raises(VerifyError, match="argument 0 of neg is used where it is not defined"):
        verify(program_with(Let(Var("f64"), "neg", (value,)), let))
    loop = Loop(Var("i64", "i"), 3, Block(()))
    with pytest.raises(VerifyError, match="value i is assigned a second time"):
        verify(program_with(loop, loop))


def test_rules_that_text_cannot_break():
    y = Buffer("y", "f64", 4, Role.OUTPUT)
    one = Const(1.0, "f64")
    with pytest.raises(VerifyError, match="y is no buffer of program p"):
        verify(program_with(Store(y, Index(), one)))
    with pytest.raises(VerifyError, match="frob is no scalar function"):
        verify(program_with(Let(Var("f64"), "frob", (one,))))
    with pytest.raises(VerifyError, match="'f80' is not a dtype"):
        verify(program_with(Let(Var("f80"), "cast", (one,))))
    with pytest.raises(VerifyError, match="sideways is no loop mode"):
        verify(program_with(Loop(Var("i64"), 3, Block(()), mode="sideways")))
    with pytest.raises(VerifyError, match="the loop variable is i32, not i64"):
        verify(program_with(Loop(Var("i32"), 3, Block(()))))
    with pytest.raises(VerifyError, match="1 params, 0 inits, 1 results"):
        nothing = Block((), (Const(False, "bool"),))
        verify(program_with(While((Var("f64"),), (), nothing, Block(()), (Var("f64"),))))
    x = Buffer("x", "f64", 4, Role.INPUT)
    value = Var("f64")
    with pytest.raises(VerifyError, match="index variable is f64, not i64"):
        load = Load(value, x, Index())
        verify(program_with(load, Load(Var("f64"), x, Index(((value, 1),))), buffers=[x]))
