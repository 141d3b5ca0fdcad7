"""An import never points up: who may import whom, and that the whole tree obeys."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: The layers, bottom first. What shares a row may import each other.
LAYERS = (
    ("checkout", "deep", "forking", "once", "records", "same", "thresholds"),
    ("codegen",),
    ("errors", "config", "tree", "version", "collector", "frames", "boundary"),
    ("ir",),
    ("ops",),
    ("passes",),
    ("trace",),
    ("numpy",),
    ("transform",),
    ("lower",),
    ("runtime",),
    ("api",),
    ("nn", "optim", "data", "training", "testing"),
    ("interop", "inspect"),
    ("bench",),
    ("__init__", "__main__"),
)
LEVEL = {name: level for level, row in enumerate(LAYERS) for name in row}

#: Parts that may use the loop compiler.
USES_CODEGEN = {"lower", "runtime", "interop", "inspect", "bench", "__main__"}
#: Folders and files below codegen/ that may use llvmlite.
USES_LLVMLITE = ("llvm/", "targets/")

#: Arrows that point up all the same: (file, module it imports) -> why. This table shrinks.
EXCEPTIONS: dict[tuple[str, str], str] = {}


def _module(path):
    """The dotted name of a file, and of the package it is in."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "codegen":
        parts.insert(0, "symflux")
    name = ".".join(parts)
    package = ".".join(parts[:-1])
    return name.removesuffix(".__init__"), package


def _is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _statements(tree):
    """Import statements anywhere in a file, functions included, but those for type checkers."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if _is_type_checking(node):
            stack.extend(node.orelse)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        else:
            stack.extend(ast.iter_child_nodes(node))


def _imports(path, text, modules):
    """The dotted names of all modules that a file of this text imports."""
    _, package = _module(path)
    for node in _statements(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            continue
        base = package.split(".")
        base = base[: len(base) - node.level + 1] if node.level else []
        source = ".".join([*base, *([node.module] if node.module else [])])
        for alias in node.names:
            inner = f"{source}.{alias.name}"
            yield inner if inner in modules else source


FILES = [*sorted(ROOT.glob("codegen/**/*.py")), *sorted(ROOT.glob("symflux/**/*.py"))]
FILES = [path for path in FILES if "symflux/codegen" not in path.as_posix()]
MODULES = {_module(path)[0] for path in FILES}


def _part(module):
    """The part of SymFlux that a module belongs to; None for other libraries."""
    first, *rest = module.split(".")
    if first != "symflux":
        return None
    return rest[0] if rest else "__init__"


def _wrong(path, text=None):
    """The modules that a file (or another text in its place) may not import, with the reason."""
    name, _ = _module(path)
    mine = _part(name)
    inside = path.relative_to(ROOT).as_posix().removeprefix("codegen/")
    text = path.read_text() if text is None else text
    for module in _imports(path, text, MODULES):
        part = _part(module)
        if module.split(".")[0] == "codegen":
            yield module, "a twin of symflux.codegen"
        elif module.split(".")[0] == "llvmlite":
            if mine != "codegen" or not inside.startswith(USES_LLVMLITE):
                yield module, "only codegen/llvm and codegen/targets use llvmlite"
        elif part is None or part == mine:
            continue
        elif part not in LEVEL:
            yield module, f"{part} stands in no layer"
        elif part == "codegen" and mine not in USES_CODEGEN:
            yield module, "only lower/ and runtime/ use the loop compiler"
        elif LEVEL[part] > LEVEL[mine]:
            yield module, f"{part} is above {mine}"


def test_every_part_stands_in_a_layer():
    assert {_part(name) for name in MODULES} <= set(LEVEL)


def test_imports_point_down():
    wrong = []
    for path in FILES:
        name = path.relative_to(ROOT).as_posix()
        wrong += [f"{name}: {m}: {y}" for m, y in _wrong(path) if (name, m) not in EXCEPTIONS]
    assert not wrong, "imports that point up:\n" + "\n".join(wrong)


def test_exceptions_are_still_needed():
    unused = [(f, m) for f, m in EXCEPTIONS if m not in [wrong for wrong, _ in _wrong(ROOT / f)]]
    assert not unused, "remove these from EXCEPTIONS"


WRONG = (
    ("symflux/ir/x.py", "from ..ops import sin", "ops is above ir"),
    ("symflux/ir/x.py", "def f():\n    from .. import ops", "ops is above ir"),
    ("symflux/ops/x.py", "from ..codegen import ir", "only lower/ and runtime/"),
    ("symflux/lower/x.py", "import llvmlite.binding", "only codegen/llvm"),
    ("codegen/x.py", "import symflux.config", "config is above codegen"),
    ("codegen/x.py", "import llvmlite", "only codegen/llvm"),
    ("symflux/lower/x.py", "import codegen.ir", "a twin"),
    ("symflux/tree.py", "from . import grad", "__init__ is above tree"),
)


@pytest.mark.parametrize("name, text, message", WRONG)
def test_wrong_imports_are_found(name, text, message):
    assert [why for _, why in _wrong(ROOT / name, text) if why.startswith(message)]


def test_right_imports_are_let_pass():
    text = "from ..codegen.ir import Program\nif TYPE_CHECKING:\n    from ..api import grad\n"
    assert list(_wrong(ROOT / "symflux/lower/x.py", text)) == []
    assert list(_wrong(ROOT / "codegen/llvm/x.py", "import llvmlite\nfrom ..ir import Var")) == []
