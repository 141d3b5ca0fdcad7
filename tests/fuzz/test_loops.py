"""Random programs of the loop IR: they verify, read back, and mean the same however they are run.

A program that fails is shrunk and written to tests/filetests/found/, where it stays as a test. To
look at many more programs than the tests do: ``python -m tests.fuzz.test_loops 0 10000``.
"""

import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from symflux.codegen.interp import InterpreterError
from symflux.codegen.ir import DTYPES, Const, Let, Store, walk
from symflux.codegen.passes import run_passes, share
from symflux.codegen.scalars import SCALARS
from symflux.codegen.text import parse_program, print_program
from symflux.codegen.verify import VerifyError, verify

from symflux.thresholds import lowered

from .campaign import some_lowered
from .contractions import SMALL_CACHES, random_contraction
from .loops import random_program
from .native import allowed_errors, disagreements, native_arrays
from .running import differences, interpreted
from .shrink import shrink

FOUND = Path(__file__).parents[1] / "filetests" / "found"
BATCH = 10


def keep(name, program, what):
    """Write a program that failed into the file tests; its path."""
    FOUND.mkdir(exist_ok=True)
    path = FOUND / f"{name}.sfx"
    runs = "# level: loops\n# run: passes\n# run: native\n"
    path.write_text(f"{runs}# Found by fuzzing: {what}\n{print_program(program)}")
    return path


def passes_change_it(program):
    """Whether the passes break a program or change what it computes, in any bit."""
    try:
        wanted = interpreted(program)
    except InterpreterError:  # shrunk too far
        return False
    try:
        return bool(differences(wanted, interpreted(run_passes(program, verify=True))))
    except (VerifyError, InterpreterError):
        return True


def native_differs(program):
    """Whether native code cannot be made or is wrong beyond what rounding explains."""
    try:
        interpreted(program)
    except InterpreterError:
        return False
    try:
        got = native_arrays(program)
    except Exception:  # whatever the compiler fails with is the failure to shrink
        return True
    wrong, *_ = disagreements(program, got)
    return bool(wrong and disagreements(program, got, runs=40)[0])


def check(name, program, fails, what):
    if fails(program):
        small = shrink(program, fails)
        path = keep(name, small, what)
        pytest.fail(f"{what}: shrunk to {path}\n{print_program(small)}")


@pytest.mark.quick(every=5)
@pytest.mark.parametrize("batch", range(20))
def test_programs_verify_read_back_and_survive_the_passes(batch):
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        program = random_program(seed)
        verify(program)
        text = print_program(program)
        assert print_program(parse_program(text)) == text
        check(f"passes_{seed}", program, passes_change_it, "the passes change what it computes")


@pytest.mark.quick(every=10)
@pytest.mark.parametrize("batch", range(10))
def test_native_code_agrees_with_the_interpreter(batch):
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        program = random_program(seed)
        if seed % 2:
            program = run_passes(program)
        check(f"native_{seed}", program, native_differs, "native code differs")


@pytest.mark.quick(every=5)
@pytest.mark.parametrize("batch", range(5))
def test_native_contractions_agree_with_the_interpreter(batch):
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        program = random_contraction(seed)
        verify(program)
        check(f"contraction_{seed}", program, native_differs, "native code differs")


@pytest.mark.slow
def test_contractions_in_many_blocks_agree_with_the_interpreter():
    for seed in range(50, 100):
        with lowered(**SMALL_CACHES):
            wrong = native_differs(random_contraction(seed))
        if wrong:  # with usual limits it may not fail: not kept
            pytest.fail(f"random_contraction({seed}) is wrong with SMALL_CACHES")


@pytest.mark.quick(every=7)
@pytest.mark.parametrize("batch", range(5))
@pytest.mark.parametrize(
    "limits", [pytest.param({}, id="as usual"), pytest.param(SMALL_CACHES, id="many blocks")]
)
def test_contractions_in_pieces(limits, batch):
    """Cut into as many pieces as there are rows and columns, and shared out among threads."""
    pieces = {"product_share_from": 0.0, "product_piece": 1e-9, "product_share_rows": 1,
              "product_pieces": 7, "stack_scratch": 256, "thread_from": 1}  # fmt: skip
    cut = 0
    with lowered(**limits, **pieces):
        for seed in range(batch * BATCH, (batch + 1) * BATCH):
            program = random_contraction(seed)
            parts = share.share_contractions(program)
            verify(parts)
            cut += parts is not program
            assert not differences(interpreted(program), interpreted(parts)), seed
            if native_differs(parts):
                pytest.fail(f"random_contraction({seed}) is wrong in pieces")
    assert cut > BATCH // 4


def test_pieces_of_a_contraction_compute_with_their_place():
    """The row's number itself is stored: in a piece it counts from the piece's first row."""
    program = parse_program("""
program rows {
  buffer x : f64[6] input
  buffer y : i64[6] output
  kernel k {
    contract x, x k(k < 1; 1, 1) m(m < 6; 1, 0) n(n < 1; 0, 1) -> %acc: f64 {
      store y[m + n], m
    }
  }
}
""")
    with lowered(product_share_from=0.0, product_piece=1e-9, product_share_rows=1):
        parts = share.share_contractions(program)
    verify(parts)
    assert parts is not program
    assert interpreted(parts)["y"].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "seeds", [range(1000, 1004), pytest.param(range(1004, 1050), marks=pytest.mark.slow)]
)
def test_random_programs_with_any_thresholds(seeds):
    for seed in seeds:
        with lowered(**some_lowered(random.Random(seed))):
            assert not passes_change_it(random_program(seed)), seed
            assert not native_differs(random_program(seed)), seed
            assert not native_differs(random_contraction(seed)), seed


def test_random_programs_hold_every_kind_of_statement_dtype_and_function():
    kinds, dtypes, functions = Counter(), Counter(), Counter()
    for seed in range(100):
        for kernel in random_program(seed).kernels:
            for statement in walk(kernel.body):
                kinds[type(statement).__name__] += 1
                if isinstance(statement, Let):
                    functions[statement.op] += 1
                    dtypes[statement.result.dtype] += 1
    assert set(kinds) == {"Let", "Load", "Store", "Loop", "If", "While", "Contract"}
    assert min(kinds.values()) > 50
    assert set(dtypes) == set(DTYPES)
    assert set(functions) == set(SCALARS)


def test_a_seed_gives_the_same_program_again():
    assert print_program(random_program(5)) == print_program(random_program(5))
    assert print_program(random_program(5)) != print_program(random_program(6))
    assert print_program(random_contraction(5)) == print_program(random_contraction(5))


def test_most_elements_are_compared():
    """The tolerance must not be so wide that nothing is checked."""
    compared = total = 0
    for seed in range(10):
        program = random_program(seed)
        _, some, every = disagreements(program, interpreted(program))
        compared, total = compared + some, total + every
    assert compared > 0.95 * total


def test_wrong_results_are_seen():
    """One element changed by more than rounding, in any output, is found."""
    program = random_program(1)
    right = interpreted(program)
    for name, array in right.items():
        wrong = {n: a.copy() for n, a in right.items()}
        wrong[name][-1] = array[-1] == 0
        assert disagreements(program, wrong)[0], name


def test_allowed_errors_stay_inside_their_block():
    program = random_program(2)
    before = interpreted(program)
    with allowed_errors(0):
        interpreted(program)
    assert not differences(before, interpreted(program))


def test_shrinking_keeps_what_fails():
    """A failure that needs one store of a product: little else is left."""

    def stores_a_product(program):
        products = {
            s.result
            for k in program.kernels
            for s in walk(k.body)
            if isinstance(s, Let) and s.op == "mul"
        }
        return any(
            not isinstance(s.value, Const) and s.value in products
            for k in program.kernels
            for s in walk(k.body)
            if isinstance(s, Store)
        )

    seed = next(s for s in range(100) if stores_a_product(random_program(s)))
    small = shrink(random_program(seed), stores_a_product)
    verify(small)
    assert [type(s).__name__ for k in small.kernels for s in walk(k.body)] == ["Let", "Store"]


def main(first, last):
    """Look for failures among many seeds; those found are kept as file tests."""
    for seed in range(first, last):
        for name, program, fails in (
            ("passes", random_program(seed), passes_change_it),
            ("native", random_program(seed), native_differs),
            ("contraction", random_contraction(seed), native_differs),
        ):
            if fails(program):
                print(keep(f"{name}_{seed}", shrink(program, fails), "found by hand"), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
