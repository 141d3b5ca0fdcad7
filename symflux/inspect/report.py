"""``python -m symflux inspect FILE:FUNCTION``: a function of the user's at any level, as text."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .. import api
from ..errors import SymFluxError
from ..runtime.function import CompiledFunction
from ..runtime.lowered import LEVELS, Lowered

__all__ = ["InspectError", "load", "report"]


class InspectError(SymFluxError):
    """The function to look at, or its example arguments, cannot be found."""


def report(target: str, level: str = "all", arguments: str | None = None) -> str:
    """A function of a file as text.

    Args:
        target: ``FILE:FUNCTION``.
        level: a name of ``runtime.lowered.LEVELS``, or ``all``.
        arguments: Python text of example arguments, such as ``"np.ones(3), 2.0"``; without it, the
            file says them: ``def FUNCTION_example(): return ...``, or ``example_arguments = ...``.

    Raises:
        InspectError: if the file, the function or example arguments are missing.
        UnsupportedOperation: for ``latex`` and ``sympy`` of graphs without a closed form.
    """
    fn, module = load(target)
    args = _arguments(fn, module, target, arguments)
    compiled = fn if isinstance(fn, CompiledFunction) else api.compile(fn)
    low = compiled.lower(*args)
    if level != "all":
        return LEVELS[level](low).rstrip("\n") + "\n"
    return "\n".join(f"== {name}\n{_or_reason(show, low)}\n" for name, show in LEVELS.items())


def _or_reason(show: Callable[[Lowered], str], low: Lowered) -> str:
    """A level, or in one line why there is none."""
    try:
        return show(low).strip("\n")
    except SymFluxError as error:
        return f"(none: {error.what})"


def load(target: str) -> tuple[Any, ModuleType]:
    """The function that ``FILE:FUNCTION`` names, and the module made of the file.

    Raises:
        InspectError: if there is no such file or function.
    """
    file, _, name = target.rpartition(":")
    if not file or not name:
        raise InspectError(
            f"inspect takes FILE:FUNCTION, got {target!r}",
            right="python -m symflux inspect model.py:loss",
        )
    path = Path(file)
    if not path.is_file():
        raise InspectError(f"there is no file {file}")
    module = _module(path)
    if not hasattr(module, name):
        found = [n for n, v in vars(module).items() if callable(v) and _is_own(v, module)]
        listed = ", ".join(found) if found else "no functions"
        raise InspectError(f"{path.name} has no function {name}; it has {listed}")
    fn = getattr(module, name)
    if not callable(fn):
        raise InspectError(f"{name} in {path.name} is not a function but {type(fn).__name__}")
    return fn, module


def _module(path: Path) -> ModuleType:
    """The file as a module that is not ``__main__``; its folder is importable, as for a script."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InspectError(f"{path.name} is not a Python file")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _is_own(value: Any, module: ModuleType) -> bool:
    """Whether something was made in the module rather than imported by it."""
    made = isinstance(value, (CompiledFunction, api.Transformed))
    return made or getattr(value, "__module__", None) == module.__name__


def _arguments(fn: Any, module: ModuleType, target: str, given: str | None) -> tuple[Any, ...]:
    """Example arguments: the text given, the file's hook, its attribute, or none for none."""
    name = target.rpartition(":")[2]
    if given is not None:
        names = {"np": np, "numpy": np, **vars(module)}
        try:
            return tuple(eval(f"({given},)" if given.strip() else "()", names))
        except Exception as error:
            raise InspectError(f"--args {given!r}: {type(error).__name__}: {error}") from error
    hook = getattr(module, f"{name}_example", None)
    if hook is not None:
        found = hook()
    elif hasattr(module, "example_arguments"):
        found = module.example_arguments
        found = found[name] if isinstance(found, dict) and name in found else found
    else:
        file = target.rpartition(":")[0]
        raise InspectError(
            f"what types does {name} take? {Path(file).name} has no example arguments for it",
            right=f'python -m symflux inspect {target} --args "np.ones(3), 2.0"\n'
            f"def {name}_example(): return np.ones(3), 2.0",
        )
    return found if isinstance(found, tuple) else (found,)
