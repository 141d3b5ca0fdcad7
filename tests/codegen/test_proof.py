"""Proofs about memory: what is right is proven, what was made wrong is not, whichever way."""

from random import Random

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from symflux.codegen.bounds import Bounds, Form
from symflux.codegen.covered import Box, Stored
from symflux.codegen.interp import InterpreterError, run
from symflux.codegen.ir import Block, If, Index, Let, Load, Loop, Store, Var, While, walk
from symflux.codegen.proof import Unproven, unproven
from symflux.codegen.scalars import numpy_dtype
from symflux.codegen.text import parse_program, print_program
from symflux.codegen.verify import VerifyError, verify

import symflux as sf
from symflux.records import replace

BUFFERS = """
  buffer x : f64[100] input
  buffer k : i64[100] input
  buffer m : u64[100] input
  buffer y : f64[100] inout
  buffer s : f64[n] inout
  buffer t : f64[100] temp at 0
  buffer u : f64[64] temp at 832
"""


def problems(statements, buffers=BUFFERS):
    program = parse_program(
        f"program p(n) arena 1344 {{\n{buffers}\n  kernel k0 {{\n{statements}\n  }}\n}}"
    )
    return unproven(verify(program))


PROVEN = {
    "all of a temp": "loop i < 100 { store t[i], 0.0 } loop i < 100 { %r = load t[i] : f64 }",
    "backwards": "loop i < 100 { store t[-i + 99], 0.0 } loop i < 100 { %r = load t[i] : f64 }",
    "across": """loop i < 10 { loop j < 10 { store t[i + 10*j], 0.0 } }
        loop i < 100 { %r = load t[i] : f64 }""",
    "parts": """store t[0], 0.0 store t[99], 0.0 loop i < 98 { store t[i + 1], 0.0 }
        loop i < 100 { %r = load t[i] : f64 }""",
    "parts of rows": """
        loop i < 10 { loop j < 3 { store t[10*i + j], 0.0 } }
        loop i < 10 { loop j < 7 { store t[10*i + j + 3], 0.0 } }
        loop i < 100 { %r = load t[i] : f64 }""",
    "rows of parts": """
        loop j < 3 { store t[j], 0.0 }
        loop i < 8 { loop j < 3 { store t[10*i + j + 10], 0.0 } }
        loop j < 3 { store t[j + 90], 0.0 }
        loop i < 10 { loop j < 7 { store t[10*i + j + 3], 0.0 } }
        loop i < 100 { %r = load t[i] : f64 }""",
    "rows between rows that were stored one by one": """
        loop i < 2 { loop j < 7 { store t[7*i + j], 0.0 } }
        loop i < 2 { loop j < 7 { store t[7*i + j + 49], 0.0 } }
        loop i < 2 {
          loop j < 2 { loop k < 7 { store t[49*i + 7*j + k + 14], 0.0 } }
          loop j < 3 { loop k < 7 { store t[49*i + 7*j + k + 28], 0.0 } } }
        loop i < 98 { %r = load t[i] : f64 }""",
    "single elements between others": """
        store t[0], 0.0 store t[2], 0.0 store t[4], 0.0
        loop i < 2 { store t[2*i + 1], 0.0 }
        loop i < 5 { %r = load t[i] : f64 }""",
    "every third": """loop i < 20 { store t[3*i + 1], 0.0 }
        loop i < 20 { %0 = load t[3*i + 1] : f64 }""",
    "of this iteration": """loop i < 9 { loop j < 10 { store t[10*i + j], 0.0 }
        loop j < 10 { %0 = load t[10*i - j + 9] : f64 } }""",
    "pieces, the last one shorter": """
        loop p < 7 parallel {
          %0 = mul p, 16 : i64
          %1 = sub 100, %0 : i64
          %2 = minimum %1, 16 : i64
          loop i < %2 vector { %3 = load x[16*p + i] : f64 store t[16*p + i], %3 }
        }
        loop i < 100 { %r = load t[i] : f64 }""",
    "pieces of rows": """
        loop p < 4 parallel {
          %0 = mul p, 3 : i64
          %1 = sub 10, %0 : i64
          %2 = minimum %1, 3 : i64
          loop i < %2 { loop j < 4 { store t[30*p + 10*i + j], 0.0 } }
        }
        loop i < 10 { loop j < 6 { store t[10*i + j + 4], 0.0 } }
        loop i < 100 { %r = load t[i] : f64 }""",
    "a copy for each piece": """
        loop p < 4 parallel {
          loop i < 5 { store u[16*p + i], 0.0 }
          loop i < 5 { %0 = load u[16*p + i] : f64 store u[16*p + i], %0 }
        }
        loop p < 4 { loop i < 5 { %1 = load u[16*p + i] : f64 } }""",
    "either side": """
        %0 = load x[0] : f64 %1 = gt %0, 0.0 : bool
        if %1 { loop i < 100 { store t[i], 0.0 } } else { loop i < 100 { store t[i], 1.0 } }
        loop i < 100 { %2 = load t[i] : f64 }""",
    "clamped": """loop i < 100 { store t[i], 0.0 }
        %0 = load k[0] : i64 %1 = maximum %0, 0 : i64 %2 = minimum %1, 98 : i64
        %3 = load t[%2 + 1] : f64 store t[%2], %3
        %4 = load m[0] : u64 %5 = minimum %4, 99 : u64 %6 = cast %5 : i64
        %7 = load t[%6] : f64""",
    "guarded": """loop i < 100 { %0 = ge i, 1 : bool if %0 { %1 = load x[i - 1] : f64 } }
        loop i < 100 { %2 = lt i, 1 : bool if %2 { } else { %3 = load x[i - 1] : f64 } }
        loop i < 101 { %4 = eq i, 100 : bool if %4 { } else { %5 = load x[i] : f64 } }
        loop i < 10 { loop j < 20 { %6 = add i, j : i64 %7 = lt %6, 5 : bool
          if %7 { %8 = load x[20*i + 20*j] : f64 } } }""",
    "triangle": """loop i < 100 { %0 = add i, 1 : i64
        loop j < %0 { %1 = load x[i - j] : f64 } }""",
    "sizes": "loop i < n { %0 = load s[i] : f64 store s[n - i - 1], %0 }",
    "before a while": """loop i < 100 { store t[i], 0.0 }
        %9 = while carry %0: i64 = 0 { %1 = lt %0, 5 : bool yield %1 } do {
          %2 = load t[3] : f64 store t[4], %2 %3 = add %0, 1 : i64 yield %3 }""",
    "blocks of a product": """
        loop p < 4 parallel {
          %0 = floordiv p, 2 : i64 %1 = mod p, 2 : i64 %2 = eq %0, 1 : bool
          if %2 { loop i < 4 { loop j < 5 { store t[60*%0 + 10*i + j + 5*%1], 0.0 } } }
          else { loop i < 6 { loop j < 5 { store t[60*%0 + 10*i + j + 5*%1], 0.0 } } }
        }
        contract t, x m(i < 10; 10, 0) n(j < 10; 0, 1) k(q < 10; 1, 10) -> %a: f64 {
          store y[10*i + j], %a
        }""",
}  # fmt: skip

REFUSED = {
    "nothing stored": ("%0 = load t[0] : f64 store t[0], %0", "t[0] may be read before"),
    "one is missing": (
        "loop i < 99 { store t[i], 0.0 } loop i < 100 { %r = load t[i] : f64 }",
        "t, somewhere from [0] to [99], may be read",
    ),
    "one in the middle is missing": (
        """loop i < 49 { store t[i], 0.0 } loop i < 50 { store t[i + 50], 0.0 }
        loop i < 100 { %r = load t[i] : f64 }""",
        "may be read before",
    ),
    "the next row": (
        """loop i < 9 { loop j < 10 { store t[10*i + j], 0.0 }
        loop j < 10 { %0 = load t[10*i + j + 1] : f64 } }""",
        "may be read before",
    ),
    "gaps": (
        """loop i < 10 { loop j < 9 { store t[10*i + j], 0.0 } }
        loop i < 100 { %r = load t[i] : f64 }""",
        "may be read before",
    ),
    "gaps between copies": (
        "loop p < 4 { loop i < 5 { store u[16*p + i], 0.0 } } loop i < 64 { %0 = load u[i] : f64 }",
        "may be read before",
    ),
    "a piece is missing": (
        """loop p < 6 parallel {
          %0 = mul p, 16 : i64 %1 = sub 100, %0 : i64 %2 = minimum %1, 16 : i64
          loop i < %2 { store t[16*p + i], 0.0 } }
        loop i < 100 { %r = load t[i] : f64 }""",
        "may be read before",
    ),
    "pieces that are too short": (
        """loop p < 7 parallel {
          %0 = mul p, 16 : i64 %1 = sub 100, %0 : i64 %2 = minimum %1, 15 : i64
          loop i < %2 { store t[16*p + i], 0.0 } }
        loop i < 100 { %r = load t[i] : f64 }""",
        "may be read before",
    ),
    "one side only": (
        """%0 = load x[0] : f64 %1 = gt %0, 0.0 : bool
        if %1 { loop i < 100 { store t[i], 0.0 } } else { loop i < 99 { store t[i], 1.0 } }
        %2 = load t[99] : f64""",
        "t[99] may be read",
    ),
    "rows between rows, but for one element": (
        """loop i < 14 { store t[i], 0.0 } loop i < 14 { store t[i + 49], 0.0 }
        loop i < 2 { loop j < 34 { store t[49*i + j + 14], 0.0 } }
        loop i < 98 { %r = load t[i] : f64 }""",
        "may be read before",
    ),
    "a loop that might not run": (
        "loop i < n { store t[5], 0.0 } %0 = load t[5] : f64",
        "t[5] may be read",
    ),
    "a while that might not run": (
        """%9 = while carry %0: bool = true { yield %0 } do { store t[5], 0.0 yield false }
        %1 = load t[5] : f64""",
        "t[5] may be read",
    ),
    "a piece beyond the end": (
        "loop p < 7 parallel { loop i < 16 { %3 = load x[16*p + i] : f64 } }",
        "the index",
    ),
    "a guard of the first piece only": (
        """loop p < 7 parallel {
          %0 = mul p, 16 : i64 %1 = sub 100, %0 : i64 %2 = minimum %1, 16 : i64
          loop i < %2 { %3 = load x[16*p + i + 1] : f64 } }""",
        "the index may reach 100, but x has 100",
    ),
    "not clamped": ("%0 = load k[0] : i64 %1 = load x[%0] : f64", "the index may go down to -inf"),
    "clamped on one side": (
        "%0 = load k[0] : i64 %1 = minimum %0, 99 : i64 %2 = load x[%1] : f64",
        "the index may go down to",
    ),
    "the other side of a guard": (
        "loop i < 100 { %0 = ge i, 1 : bool if %0 { } else { %1 = load x[i - 1] : f64 } }",
        "the index may go down to -1",
    ),
    "a triangle too wide": (
        """loop i < 100 { %0 = add i, 2 : i64 loop j < %0 { %1 = load x[i - j] : f64 } }""",
        "the index may go down to -1",
    ),
    "past the size": ("loop i < n { %0 = load s[i + 1] : f64 }", "the index may reach"),
    "a product of what is not there": (
        """loop i < 90 { store t[i], 0.0 }
        contract t, x m(i < 10; 10, 0) n(j < 10; 0, 1) k(q < 10; 1, 10) -> %a: f64 {
          store y[10*i + j], %a }""",
        "may be read before",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROVEN)
def test_right_memory_is_proven(name):
    assert [str(p) for p in problems(PROVEN[name])] == []


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_memory_is_not_proven(name):
    statements, message = REFUSED[name]
    try:
        found = problems(statements)
    except VerifyError as error:  # certain, so the other rules refuse it as well
        found = [error]
    assert any(message in str(p) or "the index goes" in str(p) or "no store" in str(p)
               for p in found)  # fmt: skip


def test_nothing_is_held_that_was_not_stored():
    """Sets of elements drawn at random and their unions, element by element; runs are found where
    all that they are made of are boxes or runs."""
    random = Random(0)
    whole = proven = 0
    for _ in range(1500):
        stored, elements = Stored(), set()
        for _ in range(random.randint(1, 7)):
            base = random.randint(0, 12)
            lengths = [random.randint(1, 5) for _ in range(random.randint(0, 3))]
            steps, step = [], random.choice((1, 1, 1, 2))
            for length in lengths:
                steps.append(step)
                step *= length + random.choice((0, 0, 1, 2))
            dims = tuple((s, n) for s, n in zip(steps, lengths, strict=True) if n > 1)
            stored.add(Box(Form(base), dims))
            found = [base]
            for s, n in dims:
                found = [e + s * k for e in found for k in range(n)]
            elements.update(found)
        bounds = Bounds()
        held = {e for e in range(-5, max(elements) + 5) if stored.hold(Form(e), bounds)}
        assert held == elements
        first, last = min(elements), max(elements)
        var = Var("i64")
        bounds.counter(var, bounds.extents(last - first + 1))
        holds = stored.hold(Form(first, {var: 1}), bounds)
        is_whole = elements == set(range(first, last + 1))
        assert is_whole or not holds
        whole, proven = whole + is_whole, proven + holds
    assert whole > 250 and proven > 0.9 * whole, (whole, proven)


def test_outputs_are_written_whole():
    text = "program p(n) {{ buffer y : f64[{0}] output kernel k {{ loop i < {1} {{ {2} }} }} }}"
    for size, extent, store in (("8", "8", "store y[i], 0.0"), ("n", "n", "store y[i], 0.0"),
                                ("8", "4", "store y[2*i], 0.0 store y[2*i + 1], 0.0"),
                                ("0", "0", "store y[i], 0.0")):  # fmt: skip
        assert unproven(parse_program(text.format(size, extent, store))) == []
    for size, extent, store in (
        ("8", "7", "store y[i], 0.0"),
        ("8", "n", "store y[0], 0.0"),
        ("8", "4", "store y[2*i], 0.0"),
        ("n", "8", "store y[0], 0.0"),
    ):
        (*_, last) = unproven(parse_program(text.format(size, extent, store)))
        assert str(last) == "output y may not be written whole"
        with pytest.raises(VerifyError):
            verify(parse_program(text.format(size, extent, store)), prove=True)


# --- mutations of right programs ---


@pytest.fixture
def low_thresholds():
    """Loops of any size are shared out in pieces, values of any size are computed again."""
    from symflux.thresholds import lowered

    low = {"share_from": 1.0, "share_piece": 2.0, "share_grain": 4, "share_rows": 2}
    with lowered(**low, recompute_from=4):
        yield


def small_programs():
    """Lowered programs with temps, pieces, guards, branches, loops and contractions."""

    def softmax(x):
        e = np.exp(x - np.max(x, axis=1, keepdims=True))
        return e / np.sum(e, axis=1, keepdims=True)

    def blur(x):
        return (sliding_window_view(np.pad(x, 1), (3, 3)) * 0.5).sum((-1, -2))

    def recurrence(a, b):
        return sf.fori_loop(0, 3, lambda i, s: (s[1][::-1], s[0] + s[1]), (a, b))

    def branches(x):
        y = sf.cond(x[0, 0] > 0, lambda x: x * 2.0, lambda x: x - 1.0, x)
        return np.concatenate([y[1:], y[:1], np.sin(x), x[:3], y[2:5], y]).sum(0), y

    def columns(x):
        return np.concatenate([x[:, :2], x * 2.0, x[::-1], x[:, 3:], np.exp(x)], axis=1), x.sum(0)

    def products(x):
        return np.tanh(x @ x.T)[1:] @ x

    x = np.arange(99.0).reshape(11, 9) / 40.0
    both = [np.arange(19.0), np.ones(19)]
    return [
        lambda f=f, args=args: sf.compile(f).lower(*args).stages.program
        for f, args in ((softmax, [x]), (blur, [x]), (branches, [x]), (columns, [x]),
                        (products, [x]), (recurrence, both))
    ]  # fmt: skip


def interpreted(program):
    arrays = {
        b.name: np.full(b.size, 0.25, numpy_dtype(b.dtype))
        for b in program.arguments()
        if isinstance(b.size, int)
    }
    run(program, arrays)


def rebuilt(program, old, new):
    """A program with one statement (by identity) replaced by others."""

    def block(b):
        out = []
        for s in b.statements:
            if s is old:
                out.extend(new)
            elif isinstance(s, Loop):
                out.append(replace(s, body=block(s.body)))
            elif isinstance(s, If):
                out.append(replace(s, then=block(s.then), otherwise=block(s.otherwise)))
            elif isinstance(s, While):
                out.append(replace(s, body=block(s.body)))
            elif hasattr(s, "epilogue"):
                out.append(replace(s, epilogue=block(s.epilogue)))
            else:
                out.append(s)
        return Block(tuple(out), b.yields)

    return replace(
        program, kernels=tuple([replace(k, body=block(k.body)) for k in program.kernels])
    )


def mutants(program):
    """A store dropped, an index moved, a loop one shorter or longer, a clamp left out."""
    for kernel in program.kernels:
        clamped = {
            s.result: s.args[0]
            for s in walk(kernel.body)
            if isinstance(s, Let) and s.op in ("minimum", "maximum") and s.result.dtype == "i64"
        }
        for s in walk(kernel.body):
            if isinstance(s, Store):
                yield "dropped store", s, []
            if isinstance(s, (Load, Store)):
                moved = Index(s.index.terms, s.index.offset + (3 if isinstance(s, Load) else -1))
                yield "moved index", s, [replace(s, index=moved)]
                bare = [(clamped.get(v, v), c) for v, c in s.index.terms]
                if any(v in clamped for v, _ in s.index.terms) and None not in bare:
                    yield "dropped clamp", s, [replace(s, index=Index(tuple(bare), s.index.offset))]
            if isinstance(s, Loop) and isinstance(s.extent, int):
                yield "shorter loop", s, [replace(s, extent=s.extent - 1)]
                yield "longer loop", s, [replace(s, extent=s.extent + 1)]


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("number", range(6))
def test_what_is_proven_runs_and_what_fails_is_not_proven(number, low_thresholds):
    """Programs of every kind of memory, changed in one place: the interpreter is the oracle."""
    program = small_programs()[number]()
    verify(program, prove=True)
    interpreted(program)
    refused = 0
    for what, old, new in mutants(program):
        mutant = rebuilt(program, old, new)
        if unproven(mutant):
            refused += 1
            continue
        try:
            interpreted(mutant)
        except InterpreterError as error:
            if "another iteration" not in str(error):  # of that there are other proofs
                pytest.fail(f"{what} is proven, but: {error}\n{print_program(mutant)}")
    assert refused >= 5


WRONG = {  # statements -> whether they are shown to go wrong, and not only unproven
    "loop i < 101 { store y[i], 0.0 }": True,
    "loop i < 9 { %r = load x[i - 1] : f64 }": True,
    "loop i < n { %r = load x[i] : f64 }": False,
    "%0 = load k[0] : i64 store y[%0], 0.0": False,
    "%0 = load k[0] : i64 %1 = lt %0, 9 : bool if %1 { store y[100], 0.0 }": False,
    "%r = load t[0] : f64 store t[0], 0.0": False,  # all stores of a kernel count
    "%r = load t[1] : f64 store t[0], 0.0": True,
    "loop i < 50 { store t[2*i], 0.0 } loop i < 99 { %r = load t[i] : f64 }": False,
    "loop i < 50 { store t[2*i], 0.0 } loop i < 100 { %r = load t[i] : f64 }": True,
    "loop i < n { store t[i], 0.0 } loop i < 100 { %r = load t[i] : f64 }": False,
    "store x[1], 0.0": True,
}


def parsed(statements, buffers=BUFFERS):
    return parse_program(
        f"program p(n) arena 1344 {{\n{buffers}\n  kernel k0 {{\n{statements}\n  }}\n}}"
    )


@pytest.mark.parametrize("statements", WRONG)
def test_what_is_shown_wrong_is_told_from_what_is_not_proven(statements):
    found = unproven(parsed(statements))
    assert found
    assert any(problem.wrong for problem in found) == WRONG[statements]


@pytest.mark.parametrize(
    ("statements", "wrong"),
    [
        ("loop i < 7 { store z[i], 0.0 }", True),
        ("store z[0], 0.0 store z[7], 0.0", True),
        ("store z[0], 0.0 %0 = load k[0] : i64 store z[%0], 0.0", False),
        ("loop i < n { store z[i], 0.0 }", False),
    ],
)
def test_outputs_that_no_store_reaches_are_shown_wrong(statements, wrong):
    found = unproven(parsed(statements, BUFFERS + "  buffer z : f64[8] output\n"))
    assert any("written whole" in problem.rule for problem in found)
    assert any(problem.wrong for problem in found if "whole" in problem.rule) == wrong


def test_temps_in_use_at_once_do_not_share_bytes():
    shared = BUFFERS.replace("temp at 832", "temp at 0")
    both = "store t[0], 1.0 store u[0], 2.0 %r = load t[0] : f64"
    (problem,) = unproven(parsed(both, shared))
    assert problem.wrong and "share bytes" in problem.rule
    program = parse_program(
        f"program p(n) arena 1344 {{ {shared} kernel a {{ store t[0], 1.0 }}"
        " kernel b { store u[0], 1.0 %r = load u[0] : f64 } }"
    )
    assert not unproven(program)


def test_what_is_not_proven_runs_in_use_and_is_named(monkeypatch, capsys):
    from symflux.codegen import proof

    from symflux import config
    from symflux.errors import VerifyError as Refused

    def problems(wrong):
        monkeypatch.setattr(proof, "unproven", lambda program: [Unproven("it may", wrong=wrong)])

    x = np.arange(3.0)
    problems(False)
    with config.override(prove="wrong"):
        assert (sf.compile(lambda x: x + 1)(x) == x + 1).all()
        assert "not proven" not in capsys.readouterr().err
        with config.override(timing=True):
            sf.compile(lambda x: x + 1)(x)
        assert "1 accesses not proven; the first: it may" in capsys.readouterr().err
        with config.override(verify=True), pytest.raises(Refused, match="may access"):
            sf.compile(lambda x: x + 2)(x)
    with pytest.raises(Refused, match="may access memory wrongly"):
        sf.compile(lambda x: x + 3)(x)
    problems(True)
    with config.override(prove="wrong"), pytest.raises(Refused, match="loops access"):
        sf.compile(lambda x: x + 4)(x)
    with config.override(prove="off"):
        assert (sf.compile(lambda x: x + 5)(x) == x + 5).all()


def test_programs_that_are_not_proven_do_not_run(monkeypatch):
    from symflux.errors import VerifyError as Refused
    from symflux.lower import emit

    whole = emit.BlockEmitter._segment

    def first_piece_only(self, *args, within=None, **kwargs):
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(emit.BlockEmitter, "_segment", first_piece_only)

    def taps(x):
        return (sliding_window_view(np.pad(x, (0, 4096)), 20) * np.arange(20.0)).sum(-1)

    with pytest.raises(Refused, match="access memory wrongly"):
        sf.compile(taps)(np.ones(100_000))


@pytest.mark.parametrize("error", [KeyError("i"), AssertionError(), RecursionError("deep")])
def test_a_fault_of_the_checker_itself_stops_nobody_in_use(error, monkeypatch, capsys):
    from symflux.codegen.bounds import Bounds

    from symflux import config

    def fail(self, index):
        raise error

    monkeypatch.setattr(Bounds, "index", fail)
    x = np.arange(5.0)
    with config.override(prove="wrong"):
        assert (sf.compile(lambda x: x * 2)(x) == x * 2).all()
        assert capsys.readouterr().err == ""
        with config.override(timing=True):
            assert (sf.compile(lambda x: x * 3)(x) == x * 3).all()
        assert f"no proofs, their search ended with {error!r}" in capsys.readouterr().err
    with pytest.raises(type(error)):  # as the tests run
        sf.compile(lambda x: x * 4)(x)
    with config.override(prove="wrong", verify=True), pytest.raises(type(error)):
        sf.compile(lambda x: x * 5)(x)
