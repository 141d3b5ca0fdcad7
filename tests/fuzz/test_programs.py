"""Random NumPy programs, every decision of the compiler in combination: see ``campaign``."""

import re
from collections import Counter

import pytest

from symflux.runtime.passes import PASS_NAMES
from symflux.thresholds import TABLE

from . import campaign, manners
from .campaign import MANNERS, REAL, check, draw, problem, small, text_case


def fail(seed, large=None):
    case = draw(seed, large)
    if found := problem(case):
        pytest.fail(f"{found}\n{small(case)}")


@pytest.mark.quick(every=5)
@pytest.mark.parametrize("seed", range(30))
def test_small_programs_with_thresholds_lowered(seed):
    fail(seed, large=False)


@pytest.mark.quick(every=5)
@pytest.mark.parametrize("seed", range(1000, 1015))
def test_programs_at_the_thresholds(seed):
    fail(seed, large=True)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(2000, 2600, 50))
def test_many_programs(first):
    for seed in range(first, first + 50):
        fail(seed)


def test_results_that_differ_are_seen():
    """One element, one bit between threads, a wrong dtype: nothing of this passes."""
    case = text_case([(5,)], "def f(x0):\n    return (x0 * 2.0,)")
    check(case)
    wrong = text_case([(5,)], "def f(x0):\n    return (x0 * tell(),)")
    manners.PLAIN["tell"], manners.TRACED["tell"] = (lambda: 2.0), (lambda: 2.0000001)
    try:
        assert "5 of 5 are wrong" in problem(wrong)
    finally:
        del manners.PLAIN["tell"], manners.TRACED["tell"]


def test_a_seed_gives_the_same_program_again():
    assert str(draw(7)) == str(draw(7)) != str(draw(8))


#: What programs have to be made of, as patterns of their text.
DRAWN = {
    "carries that change places": r"fori_loop|scan|while_loop",
    "counts that are inputs": r"fori_loop\(-?\d, [nv]\d",
    "while loops to an input": r"s\[0\] < [nvi]_?v?\d",
    "while loops to a carry": r"\) & \(s\[\d",
    "loops as long as the number of an iteration": r"fori_loop\(-?\d, i_v",
    "numbers carried": r"0\.5,\)",
    "long loops": r"fori_loop\(-?\d, \d\d, ",
    "loops that never run": r"fori_loop\(\d, 0,",
    "scans over rows, stacked results": r"\), \((v\d+, )+\) = scan\(b0_v\d+, .*, \(np.arange",
    "scans backwards": r"reverse=True",
    "branches by an input": r"cond\([nv]\d",
    "branches by the iteration": r"cond\(i_v\d+ %",
    "one of several branches": r"switch\([nv]\d.*b2_v",
    "maps": r"smap\(",
    "regions in regions": r"\n        def b.*\n            ",
    "regions three deep": r"\n            def b",
    "writes to arrays around": r"\n        (v\d+)\[.*\] [+*]?= (?!.*\n        \1 = )",
    "writes to arguments": r"\n    x\d\[",
    "writes to arguments in regions": r"\n        x\d\[",
    "padded windows": r"windows\(np.pad\(",
    "slices overwritten": r"\n    v\d+\[\d+:\d+\] = ",
    "rows at computed places": r"\n +v\d+\[[nv]\d+ % \d+\] = ",
    "sums at computed places": r"np.add.at\(v\d+, v\d+ ",
    "stacked": r"np.stack\(\[",
    "reversed": r"\[::-1\]",
    "shifted": r"np.concatenate\(\[v\d+\[\d+:\], ",
    "32-bit integers": r"int32",
    "arguments of other dtypes": r"def f\(.*[hmuw]\d.*[hmuw]\d",
    "contractions": r" @ ",
}  # fmt: skip


def test_everything_that_a_compiler_decides_about_is_drawn():
    """Each lower value of each threshold, each real one from both sides, each way to write."""
    cases = [draw(seed) for seed in range(1200)]
    for name, row in TABLE.items():
        assert {c.limits[name] for c in cases if name in c.limits} == set(row.low), name
        if isinstance(row.default, int) and 2 < row.default < campaign.MOST:
            assert {row.default - 1, row.default, row.default + 1} <= set(REAL), name
    settings = {(n, v) for c in cases for n, v in c.limits.items() if n not in TABLE}
    stops = {("stop_after", name) for name in PASS_NAMES}
    assert settings == {("guard", "end"), ("guard", "start"), ("verify", True)} | stops
    assert set(MANNERS) == {c.manner for c in cases}
    sources = [c.program.source for c in cases]
    often = Counter(what for what, text in DRAWN.items() for s in sources if re.search(text, s))
    assert not [what for what in DRAWN if often[what] < 3], often
    readers = [Counter(re.findall(r"\bv\d+", s.split("return")[0])) for s in sources]
    assert sum(max(found.values(), default=0) > 3 for found in readers) > 200
    shapes = [c.program.shapes for c in cases if not c.limits]
    assert sum(max(max(s, default=0) for s in found) > 20_000 for found in shapes) > 20


def test_shrinking_leaves_what_fails():
    """A failure that needs one roll and one lowered threshold: nothing else is left."""
    rolled = re.compile(r"\n    (v\d+) = np.roll(.|\n)*return.*\b\1,")
    cases = (draw(seed, large=False) for seed in range(1000))
    case = next(c for c in cases if c.limits and rolled.search(c.program.source))
    name = next(iter(case.limits))
    left = campaign.shrink(case, lambda c: "np.roll" in c.program.source and name in c.limits)
    assert list(left.limits) == [name]
    assert left.program.source.count("\n") <= 4


# --- programs that went wrong ---


def test_a_gather_is_no_concatenation_in_pieces():
    """``few_pieces`` counted the operands of every index map."""
    source = "def f(x0):\n    return (x0[(np.arange(17) * 7) % 17] * 0.5, x0[::-1][np.arange(3)])"
    check(text_case([(17,)], source, few_pieces=1))


def test_chunks_end_between_vectors():
    """The rest of a vector may add in another order than a vector does."""
    source = """
def f(x0):
    w = windows(np.pad(x0, (3, 1)), 3) * (np.arange(1.0, 4.0) * 0.111111)
    return (w.sum(-1), x0[2:] * 0.3 + x0[1:-1] * 0.7 + x0[:-2] * 0.9)"""
    for size in range(12, 24):
        check(text_case([(size,)], source, share_from=0.0, thread_from=1, chunk_grain=1))


def test_scalars_are_not_computed_again():
    source = "def f(x0):\n    v0 = x0 @ x0 * 0.03\n    return (v0 * 0.2, x0 * v0, v0 + x0)"
    check(text_case([(33,)], source, "params", kernel_from=8, recompute_from=1))
    check(text_case([(33,)], source, "grad", kernel_from=0, recompute_from=1))


def test_pieces_of_a_concatenation_are_seen_to_cover_all_of_it():
    """Rows that two loops wrote lay between rows that others wrote one by one."""
    source = """
def f(x0, n0):
    v0 = 1.0 * x0
    v0[:, 2:4] += 0.5 * x0[:, 3:5]
    v0 = v0 * 1
    v2 = v0 / (2.5 + n0) * 0.2
    return (v2, v2[::2], np.where(n0 % 3 == 2, v0, x0))"""
    check(text_case([(2, 7, 7), ()], source, "params", few_pieces=1, loop_values=3))
