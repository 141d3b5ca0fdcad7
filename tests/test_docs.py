"""Code in docstrings, README.md and docs/ runs and gives what it says; pages are up to date."""

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest
import symflux
import symflux.errors
from symflux.inspect.pages import PAGES

ROOT = Path(__file__).parent.parent
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def _modules():
    """All modules; the folder codegen goes by ``symflux.codegen``, never by its own name."""
    names = ["symflux"]
    names += [m.name for m in pkgutil.walk_packages(symflux.__path__, "symflux.")]
    codegen = importlib.import_module("symflux.codegen")
    names += [m.name for m in pkgutil.walk_packages(codegen.__path__, "symflux.codegen.")]
    return sorted(set(names) - {"symflux.__main__"})


MODULES = _modules()
PAGES_WITH_CODE = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _run(test):
    """Run one docstring or page; a failure shows expected and actual output."""
    report = []
    runner = doctest.DocTestRunner(optionflags=0, verbose=False)
    runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


def test_modules_of_both_folders_are_found():
    assert {"symflux.api", "symflux.ops.elementwise", "symflux.codegen.llvm.emit"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        _run(test)


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_page_examples(page):
    text = page.read_text()
    # the fence that closes a code block is no part of its output
    lines = ["" if line.startswith("```") else line for line in text.splitlines()]
    examples = doctest.DocTestParser().get_doctest(
        "\n".join(lines), {"__name__": page.stem}, page.name, str(page), 0
    )
    _run(examples)
    python = text.count("```python")
    assert python == 0 or examples.examples, f"{page.name} shows Python that does not run"


@pytest.mark.parametrize("name", PAGES)
def test_generated_page_is_up_to_date(name):
    wanted = PAGES[name]()
    assert (ROOT / "docs" / name).read_text() == wanted, "run: python -m symflux docs"


def _error_classes():
    found = inspect.getmembers(symflux.errors, inspect.isclass)
    return [n for n, c in found if issubclass(c, Exception) and c.__module__ == "symflux.errors"]


@pytest.mark.parametrize("name", _error_classes())
def test_every_error_has_a_paragraph(name):
    text = (ROOT / "docs" / "errors.md").read_text()
    assert f"\n## {name}\n" in text or f"\n### {name}\n" in text, f"docs/errors.md lacks {name}"


@pytest.mark.parametrize("name", MODULES)
def test_every_module_is_in_the_folder_guide(name):
    text = (ROOT / "docs" / "folders.md").read_text()
    parts = name.split(".")[1:]
    if parts[:1] != ["codegen"]:
        parts.insert(0, "symflux")
    folder = importlib.import_module(name)
    path = "/".join(parts) + ("/" if hasattr(folder, "__path__") else ".py")
    assert f"`{path}`" in text, f"docs/folders.md does not mention {path}"
