"""Code in docstrings, README.md and docs/ runs and gives what it says; pages are up to date."""

import doctest
import importlib
import inspect
import linecache
import pkgutil
import re
from pathlib import Path

import pytest

import symflux
import symflux.errors
from symflux.inspect.pages import PAGES
from symflux.ir import op

ROOT = Path(__file__).parent.parent


def _modules():
    """All modules; the folder codegen goes by ``symflux.codegen``, never by its own name."""
    names = ["symflux"]
    names += [m.name for m in pkgutil.walk_packages(symflux.__path__, "symflux.")]
    codegen = importlib.import_module("symflux.codegen")
    names += [m.name for m in pkgutil.walk_packages(codegen.__path__, "symflux.codegen.")]
    return sorted(set(names) - {"symflux.__main__"})


MODULES = _modules()
PAGES_WITH_CODE = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


class _Runner(doctest.DocTestRunner):
    """Collects what differs: (example, output)."""

    def __init__(self):
        super().__init__(verbose=False)
        self.wrong = []

    def report_failure(self, out, test, example, got):
        super().report_failure(out, test, example, got)
        self.wrong.append((example, got))


def _run(test):
    """Run one docstring or page; returns what differs, as a list and as text."""
    report = []
    runner = _Runner()
    result = runner.run(test, out=report.append)
    assert result.failed == len(runner.wrong), "".join(report)  # the rest raised an error
    return runner.wrong, "".join(report)


def test_modules_of_both_folders_are_found():
    assert {"symflux.api", "symflux.ops.elementwise", "symflux.codegen.llvm.emit"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        wrong, report = _run(test)
        assert not wrong, report


def _updated(lines, wrong):
    """The lines of a page with the outputs that came."""
    for example, got in sorted(wrong, key=lambda pair: -pair[0].lineno):
        start = example.lineno + example.source.count("\n")
        lines[start : start + example.want.count("\n")] = [
            line or "<BLANKLINE>" for line in got.splitlines()
        ]
    return lines


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_page_examples(page, monkeypatch, update_golden):
    """Code on a page runs from top to bottom; its lines have the page's line numbers."""
    lines = page.read_text().splitlines()
    code = [line[4:] if line.startswith((">>> ", "... ")) else line for line in lines]
    monkeypatch.setitem(linecache.cache, page.name, (1, None, [f"{c}\n" for c in code], page.name))
    # the fence that closes a code block is no part of its output
    text = "\n".join("" if line.startswith("```") else line for line in lines)
    test = doctest.DocTestParser().get_doctest(text, {"__name__": page.stem}, page.name, None, 0)
    starts = {example.source: example.lineno for example in reversed(test.examples)}

    def compile_in_place(source, _name, *options):
        return compile("\n" * starts[source] + source, page.name, *options)

    monkeypatch.setattr(doctest, "compile", compile_in_place, raising=False)
    monkeypatch.setattr(op, "_REGISTRY", dict(op.registered()))  # pages may define ops
    wrong, report = _run(test)
    if wrong and update_golden:
        page.write_text("\n".join(_updated(lines, wrong)) + "\n")
    else:
        assert not wrong, report


FILES = [path for folder in ("codegen", "symflux") for path in ROOT.glob(f"{folder}/**/*.py")]


def _quotes(block, source):
    """Whether the lines of a block stand in a file, in this order."""
    lines = iter(source)
    return all(line in lines for line in block.splitlines())


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_code_without_prompts_is_quoted_from_the_tree(page):
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S):
        if ">>> " not in block:
            assert any(_quotes(block, file.read_text().splitlines()) for file in FILES), block


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


def test_errors_of_parts_are_mentioned():
    text = (ROOT / "docs" / "errors.md").read_text()
    for name in MODULES:
        for error, cls in inspect.getmembers(importlib.import_module(name), inspect.isclass):
            own = cls.__module__ == name and error.endswith("Error")
            assert not own or f"{error}`" in text or f"## {error}\n" in text, (name, error)


def test_every_module_is_in_the_folder_guide():
    text = (ROOT / "docs" / "folders.md").read_text()
    for name in MODULES:
        folder = hasattr(importlib.import_module(name), "__path__")
        path = name.replace(".", "/").replace("symflux/codegen", "codegen")
        path += "/" if folder else ".py"
        assert f"`{path}`" in text, f"docs/folders.md lacks {path}: run python -m symflux docs"


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
