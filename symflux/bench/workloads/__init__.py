"""The workloads: one file for each family, each with a function ``rows()``."""

from __future__ import annotations

import importlib
import pkgutil

from ..row import Row

__all__ = ["all_rows", "find"]


def all_rows() -> list[Row]:
    """The rows of all files, in the order of the files' ``ORDER``."""
    names = [m.name for m in pkgutil.iter_modules(__path__)]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    modules.sort(key=lambda module: module.ORDER)
    return [row for module in modules for row in module.rows()]


def find(name: str) -> Row:
    """The row of this name; KeyError where there is none."""
    found = [row for row in all_rows() if row.name == name]
    if not found:
        raise KeyError(name)
    return found[0]
