"""What compiled code is found by: functions that differ in one thing only get code of their own."""

import os
import subprocess
import sys

import pytest

import symflux as sf
from symflux import config
from symflux.runtime import cache

from . import variants


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("backwards", [False, True])
def test_functions_that_differ_in_one_thing_only(tmp_path, monkeypatch, backwards):
    """One process compiles them in one order, the next one finds them in the other order."""
    monkeypatch.setattr(cache, "_state", cache._State())
    with config.override(cache_dir=str(tmp_path)):
        variants.check(backwards)
    script = (
        "import symflux as sf; from tests.runtime import variants; "
        f"variants.check({not backwards}); print(sf.cache_info()[:3])"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=os.environ | {"SYMFLUX_CACHE_DIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    hits, misses, refused = eval(result.stdout)
    assert hits > 50 and (misses, refused) == (0, 0)


def test_keys_of_another_function_come_back(tmp_path):
    """The arithmetic is that of the first function, and so was the code: with its keys."""
    with config.override(cache_dir=str(tmp_path)):
        first = sf.compile(lambda d: {"a": d["a"] + 1.0, "b": d["b"] * 2.0})
        assert list(first({"a": 1.0, "b": 2.0})) == ["a", "b"]
        second = sf.compile(lambda d: {"x": d["a"] + 1.0, "y": d["b"] * 2.0})
        for _ in range(2):
            assert second({"a": 1.0, "b": 2.0}) == {"x": 2.0, "y": 4.0}
        with_none = sf.compile(lambda x, n: (x + 1.0, None), static_argnames="n")
        assert [with_none(1.0, n) for n in (None, 7, None, 7)] == 4 * [(2.0, None)]
