"""Wrong programs: each names the user's line, what was attempted, and a cure that runs when tried.

The programs stand in ``programs/*.txt``. After ``=== name`` comes the wrong program, whose wrong
line ends in ``# <-``; after ``---`` a part of the message's first line, and behind ``|`` a part of
the cure; then the program with the cure in it, whose last line is true.
"""

import itertools
import linecache
import math
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import symflux as sf
import symflux.numpy as snp
from symflux.errors import SymFluxError

FOLDER = Path(__file__).with_name("programs")


def read(path):
    parts = re.split(r"^=== (\w+)\n", path.read_text(), flags=re.M)[1:]
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        wrong, words, right = re.split(r"^---(.*)\n", text, maxsplit=1, flags=re.M)
        what, _, cure = words.partition(" | ")
        yield name, wrong, what.strip(), cure.strip(), right.strip()


CASES = {case[0]: case for path in sorted(FOLDER.glob("*.txt")) for case in read(path)}
_numbers = itertools.count()


def run(text):
    """Run a program as if it stood in a file; the value of its last line, if that is one."""
    file = f"/user/program{next(_numbers)}.py"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    space = {"np": np, "sf": sf, "snp": snp, "math": math, "__name__": "program"}
    *lines, last = text.rstrip().splitlines()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile("\n".join(lines), file, "exec"), space)
            return eval(compile("\n" * len(lines) + last, file, "eval"), space)
    finally:
        linecache.cache.pop(file)


def marked(text):
    """The number and the text of the wrong line."""
    ((number, line),) = [
        (i, line) for i, line in enumerate(text.splitlines(), 1) if line.endswith("# <-")
    ]
    return number, line.strip()


@pytest.mark.parametrize("name", CASES)
def test_the_message_names_the_line_and_a_cure_that_runs(name, threads_as_before):
    _, wrong, what, cure, right = CASES[name]
    if "scipy" in wrong:
        pytest.importorskip("scipy")
    number, line = marked(wrong)
    with pytest.raises(SymFluxError) as caught:
        run(wrong + "None")
    error = caught.value
    assert error.place is not None and error.place.file.startswith("/user/program"), str(error)
    assert error.place.line == number, str(error)
    assert f":{number}" in str(error) and line in str(error)
    first = error.what + error.why
    assert what in first, str(error)
    assert cure in error.right + error.why, str(error)
    assert error.right and cure in right
    assert run(right)
    shown = [f for f in _frames(error) if f.startswith("/user/program")]
    assert _frames(error)[-1] == shown[-1], "the user's frame is the last one"


def _frames(error):
    found = []
    trace = error.__traceback__
    while trace is not None:
        found.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    return found


def test_there_are_many():
    assert len(CASES) >= 150
