"""The project as a whole: what it imports and ships, and that public names explain themselves."""

import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import symflux as sf

ROOT = Path(__file__).parent.parent
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
SKIPPED = {".git", ".venv", "build", "dist", "__pycache__"}


def _tracked():
    """The text files of the project: what git tracks where there is git, else what lies around."""
    found = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if found.returncode == 0 and found.stdout:
        paths = [ROOT / line for line in found.stdout.splitlines()]
    else:
        paths = [p for p in ROOT.rglob("*") if not SKIPPED & set(p.relative_to(ROOT).parts)]
    return [p for p in paths if p.is_file() and p.suffix not in (".png", ".gz", ".npz", ".pyc")]


def test_no_file_names_a_place_on_one_machine():
    place = re.compile(r"(?<![\w.$}])/(" + "|".join(["work", "root", "home"]) + r")/")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in _tracked()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if place.search(line)
    ]
    assert wrong == []


def _run(code):
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_import_loads_no_large_library():
    code = "import sys, symflux; print([m for m in {names!r} if m in sys.modules])"
    names = ["sympy", "mpmath", "matplotlib", "sklearn", "scipy", "pandas", "tqdm", "pytest"]
    assert _run(code.format(names=names)) == "[]"


def test_import_after_numpy_and_llvmlite():
    assert _run("import numpy, llvmlite.binding, symflux; print(symflux.__version__)") == "0.1.0"


def test_use_leaves_sympy_alone():
    code = (
        "import sys, numpy as np, symflux as sf; "
        "print(sf.compile(sf.grad(lambda x: np.sum(x * x)))(np.ones(2)), 'sympy' in sys.modules)"
    )
    assert _run(code) == "[2. 2.] False"


def test_packages_are_the_folders():
    """A folder that is missing from pyproject.toml is missing from a wheel."""
    folders = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for top in ("symflux", "codegen")
        for path in (ROOT / top).rglob("__init__.py")
        if "symflux/codegen" not in path.as_posix()
    }
    folders = {f"symflux.{f}" if f.split(".")[0] == "codegen" else f for f in folders}
    setup = CONFIG["tool"]["setuptools"]
    assert set(setup["packages"]) == folders
    mapped = {name: path for name, path in setup["package-dir"].items() if name != "symflux"}
    inside = {f for f in folders if f.startswith("symflux.codegen")}
    assert mapped == {name: name.removeprefix("symflux.").replace(".", "/") for name in inside}


def test_versions_agree():
    assert CONFIG["project"]["version"] == sf.__version__


def test_runtime_dependencies():
    names = {re.split(r"[<>=]", d)[0] for d in CONFIG["project"]["dependencies"]}
    assert names == {"numpy", "llvmlite", "sympy"}


def test_ci_runs_the_commands_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    for marker in ("main job", "tests"):
        block = re.search(rf"<!-- command: {marker} -->\n```bash\n(.+)\n```\n", readme)
        assert block, f"README.md has no command for: {marker}"
        assert "pip install" in block[1]
        assert f'"command: {marker}"' in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("name", sf.__all__)
def test_public_name_is_documented(name):
    value = getattr(sf, name)
    doc = inspect.getdoc(value) or ""
    assert len(doc) > 20
    if inspect.ismodule(value):
        for inner in getattr(value, "__all__", ()):
            assert hasattr(value, inner), f"{name}.__all__ lists {inner}, which is not there"
    elif not name.endswith("Error") and value.__module__ != "symflux.numpy":
        assert ">>> " in doc, f"the docstring of {name} has no example"


def test_public_names_are_listed_once():
    assert len(sf.__all__) == len(set(sf.__all__))
    assert set(sf.__all__) <= set(dir(sf))


def test_unknown_public_name():
    with pytest.raises(AttributeError, match="has no attribute 'gradd'"):
        _ = sf.gradd


MODULES = [m for m in sf.__all__ if inspect.ismodule(getattr(sf, m))]


@pytest.mark.parametrize("name", MODULES)
def test_submodules_import_by_name(name):
    assert importlib.import_module(f"symflux.{name}") is getattr(sf, name)
