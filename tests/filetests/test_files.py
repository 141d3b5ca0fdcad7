"""Every file under tests/filetests: its runs give the texts that it holds."""

import pytest

from . import harness
from .levels import LEVELS


@pytest.mark.parametrize(
    "path", harness.files(), ids=lambda p: str(p.relative_to(harness.FOLDER).with_suffix(""))
)
def test_file(path, update_golden):
    test = harness.read(path)
    found = harness.outcomes(test)
    if update_golden:
        harness.write(test, found)
        return
    assert list(test.expected) == list(test.runs), "sections and runs differ: --update-golden"
    for run, text in found.items():
        assert text == test.expected[run], run


def test_update_golden_writes_what_the_next_run_expects(tmp_path):
    path = tmp_path / "fold.sfx"
    source = (
        "# level: loops\n# run: simplify\n# run: verify\n"
        "program p { buffer y : i64[1] output kernel k { %0 = add 1, 2 : i64 store y[0], %0 } }\n"
    )
    path.write_text(source)
    test = harness.read(path)
    assert test.expected == {}
    found = harness.outcomes(test)
    assert "store y[0], 3" in found["simplify"]
    assert found["verify"] == "accepted\n"
    harness.write(test, found)
    again = harness.read(path)
    assert again.expected == found
    assert again.source == source


def test_a_file_must_name_its_level_and_runs(tmp_path):
    path = tmp_path / "x.sfx"
    path.write_text("# run: simplify\nprogram p { }\n")
    with pytest.raises(ValueError, match="# level: NAME"):
        harness.read(path)
    path.write_text("# level: loops\nprogram p { }\n")
    with pytest.raises(ValueError, match="no line `# run:"):
        harness.read(path)
    with pytest.raises(ValueError, match="no action frobnicate: simplify"):
        harness.outcome(LEVELS["loops"](), "frobnicate", "program p { }")
