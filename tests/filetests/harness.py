"""File tests: a text of IR, what to do with it, and the text that must come out.

    # level: loops
    # run: simplify, hoist
    # Any other comment says what the file is about.
    program ... { ... }
    ==== simplify, hoist
    program ... { ... }

A file names its level once. It has one ``# run:`` line, and after the input one ``====`` section,
for each thing to try. ``pytest --update-golden`` writes the sections anew; read the difference
before it is committed.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from .levels import LEVELS, Level

FOLDER = Path(__file__).parent
SUFFIX = ".sfx"
_SECTION = re.compile(r"^==== (.*)\n", re.MULTILINE)
_HEADER = re.compile(r"^# (level|run): *(.*?) *$", re.MULTILINE)


@dataclass(frozen=True)
class FileTest:
    path: Path
    level: str
    runs: tuple[str, ...]
    source: str
    expected: dict[str, str]


def files() -> list[Path]:
    return sorted(FOLDER.rglob(f"*{SUFFIX}"))


def read(path: Path) -> FileTest:
    source, *rest = _SECTION.split(path.read_text())
    header = _HEADER.findall(source)
    levels = [value for key, value in header if key == "level"]
    runs = tuple(value for key, value in header if key == "run")
    if len(levels) != 1 or levels[0] not in LEVELS:
        raise ValueError(f"{path}: one line `# level: NAME` is needed, NAME of {sorted(LEVELS)}")
    if not runs:
        raise ValueError(f"{path}: no line `# run: ACTION, ...`")
    expected = dict(zip(rest[::2], rest[1::2], strict=True))
    return FileTest(path, levels[0], runs, source, expected)


def outcome(level: Level, run: str, source: str) -> str:
    """What a run gives for a source, as text."""
    before = level.parse(source)
    after = before
    for name in run.split(","):
        if name.strip() not in level.actions:
            raise ValueError(f"no action {name.strip()}: {', '.join(level.actions)}")
        after = level.actions[name.strip()](after)
    if isinstance(after, str):
        return after
    level.check(before, after)
    text = level.print(after)
    assert level.print(level.parse(text)) == text, "what was printed does not read back"
    return text


def outcomes(test: FileTest) -> dict[str, str]:
    level = LEVELS[test.level]()
    return {run: outcome(level, run, test.source) for run in test.runs}


def write(test: FileTest, found: dict[str, str]) -> None:
    sections = "".join(f"==== {run}\n{text}" for run, text in found.items())
    test.path.write_text(test.source + sections)
