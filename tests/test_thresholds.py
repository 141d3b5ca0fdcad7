"""The table of thresholds: what lowering one does, and that no decision stands outside of it."""

import re
from pathlib import Path

import numpy as np
import pytest
import symflux.codegen
from symflux.codegen.llvm.callspec import CallSpec, Node

import symflux as sf
from symflux.runtime import execute
from symflux.runtime.stages import make_stages
from symflux.thresholds import TABLE, changed, lowered, thresholds

CODEGEN = Path(symflux.codegen.__file__).parent
FOLDERS = [CODEGEN, CODEGEN / "passes", CODEGEN / "llvm"]
FOLDERS += [Path(sf.__file__).parent / name for name in ("passes", "lower", "runtime")]
TRANSFORM = Path(sf.__file__).parent / "transform"
DECIDING = [p for folder in FOLDERS[1:-1] for p in sorted(folder.glob("*.py"))]
FILES = [path for folder in (*FOLDERS, TRANSFORM) for path in sorted(folder.glob("*.py"))]
#: where a threshold decides which graph is traced
TRACED = Path(sf.__file__).parent / "trace" / "writes.py"
#: Numbers of modules that are sizes of machines and formats, rates, how deep laws look, or only
#: cost time.
NO_THRESHOLDS = {
    "block.LINE",
    "share.COPY",
    "share.READ",
    "share.RATE",
    "contract_kernels._GROUP",
    "contract_pack.SQUARE",
    "cost.UNKNOWN",
    "memory._PLACES",
    "memory._KEPT",
    "memory._HUGE_FROM",
    "memory._HUGE",
    "memory._ADVICE",
    "pool._PATIENCE",
    "pool._ROUNDS",
    "pool._GIVE_WAY",
    "pool._MOST",
    "pool._WAKE_FROM",
    "pool._WARY",
    "pool._SLICE",
    "tables._REGISTER",
    "lane_code.AHEAD",
    "arguments._EQUAL",
    "interrupts.INTERRUPTED",
    "words._ENTRIES",
    "words._HEADER",
    "words._INDICES",
    "words._WIDE",
    "exponentials._DEPTH",
    "exponentials._MOST",
    "seams._DEPTH",
    "seams._FEW",
    "program._MOST",
    "vectorcall._BASE_TYPE",
    "vectorcall._DEFAULT",
    "vectorcall._HAVE_VECTORCALL",
    "memory._ALIGNMENT",
    "pages._ADDRESS",
    "pages._SIGINFO",
    "plan._LINE",
    "recompute.NEAR",
    "recompute.FAR",
    "recompute.RATE",
}


def test_values_are_back_after_the_block_even_after_an_error():
    with pytest.raises(ZeroDivisionError), lowered(unroll=1, plans=2):
        with lowered(unroll=3):
            assert (thresholds.unroll, thresholds.plans, changed()) == (3, 2, "plans=2 unroll=3")
        assert thresholds.unroll == 1
        raise ZeroDivisionError
    assert (thresholds.unroll, thresholds.plans, changed()) == (8, 4, "")
    with lowered(unroll=8):
        assert changed() == ""


def test_a_name_that_is_no_threshold_is_refused():
    with pytest.raises(KeyError, match="no threshold 'unrol'"), lowered(unrol=1):
        pass


def test_values_below_the_least_are_refused():
    """They were divided by, or left nothing to run."""
    for name, row in TABLE.items():
        assert all(
            v >= row.least for low in row.low for v in (low if type(low) is tuple else [low])
        )
        below = type(row.default)([-1] * 3) if type(row.default) is tuple else row.least - 1
        with pytest.raises(ValueError, match=f"threshold {name}=.*: the least is"):
            lowered(**{name: below}).__enter__()
    assert changed() == ""


def test_every_row_has_lower_values_of_its_own_type():
    for name, row in TABLE.items():
        assert row.low and row.default not in row.low and row.help, name
        for value in row.low:
            assert type(value) is type(row.default), name


def test_every_threshold_is_read_by_the_compiler():
    text = "".join(path.read_text() for path in (*FILES, TRACED))
    read = set(re.findall(r"\bthresholds\.(\w+)", text))
    assert set(TABLE) <= read


def test_no_threshold_stands_outside_of_the_table():
    number = re.compile(r"([A-Z_]+(?:, [A-Z_]+)*) = [-(]?\d[\d_. <*+e,-]*(#|$)")
    found = set()
    for path in DECIDING:
        for match in filter(None, map(number.match, path.read_text().splitlines())):
            found |= {f"{path.stem}.{n}" for n in match[1].split(", ")}
    assert found <= NO_THRESHOLDS, "a threshold belongs into the table, another number here"
    assert len(found) > 20


def test_keys_of_caches_hold_the_thresholds():
    """Code for other thresholds is other code: on disk, and for graphs that run at once."""
    graph = sf.trace(lambda x: np.sum(x * 1.25 + x))(np.ones(7))
    stages = make_stages(graph)
    spec = CallSpec("f", (), Node("tuple", ()), None)
    usual = execute._name(stages, spec)
    with lowered(share_from=0.0):
        assert execute._name(stages, spec) != usual
    assert execute._name(stages, spec) == usual
    execute._cache.clear()  # a full one would stay as long
    execute.execute(graph, [np.ones(7)])
    before = len(execute._cache)
    with lowered(unroll=1):
        assert execute.execute(graph, [np.ones(7)]) == [15.75]
    assert len(execute._cache) == before + 1


def test_lowered_thresholds_reach_what_is_compiled():
    def loops(x):
        return str(sf.compile(lambda x: np.tanh(x) * 2.0).lower(x).kernels)

    x = np.ones(100)
    assert "parallel" not in loops(x)
    with lowered(share_from=0.0, share_piece=1e-3):
        assert "parallel" in loops(x)


def test_memory_of_small_results_is_used_again_when_the_threshold_says_so():
    with lowered(large_result=1):
        f = sf.compile(lambda x: x + 1.0)
        x = np.arange(5.0)
        kept = [f(x) for _ in range(20)]
        for n in range(200):
            y = f(x + n)
            np.testing.assert_array_equal(y, x + n + 1.0)
    for y in kept:
        np.testing.assert_array_equal(y, x + 1.0)
