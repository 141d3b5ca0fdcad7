"""Settings: one table with defaults and help; each is an environment variable and a context manager."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["SETTINGS", "Setting", "get", "override", "put"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; ``parse`` reads the environment variable's text."""

    name: str
    default: Any
    help: str
    parse: Callable[[str], Any] = str

    @property
    def variable(self) -> str:
        """The environment variable: ``SYMFLUX_`` and the name in capitals."""
        return f"SYMFLUX_{self.name.upper()}"


def _flag(text: str) -> bool:
    return text.strip().lower() not in ("", "0", "no", "false", "off")


#: The table. ``docs/settings.md`` is generated from it.
SETTINGS: dict[str, Setting] = {
    s.name: s
    for s in (
        Setting("dump", "", "print each compiled function at these levels, comma-separated: graph, "
                "optimized, kernels, llvm, llvm_optimized, asm"),
        Setting("print_after", "", "print the graph or the loops after these passes, comma-separated; "
                "`all` prints what each pass changed"),
        Setting("stop_after", "", "skip the graph passes behind this one"),
        Setting("verify", False, "check the graph and the loops after every pass", _flag),
        Setting("timing", False, "print the seconds that each step of a compilation took", _flag),
        Setting("num_threads", 0, "threads for parallel loops (0: as many as there are cores)", int),
    )
}  # fmt: skip


class _Values(threading.local):
    def __init__(self) -> None:
        self.stack: list[dict[str, Any]] = []


_local = _Values()
_global: dict[str, Any] = {}


def get(name: str) -> Any:
    """The value of a setting: the innermost ``override``, else ``put``, else the environment, else the
    default.

    Raises:
        KeyError: if there is no such setting.
    """
    setting = SETTINGS[name]
    for frame in reversed(_local.stack):
        if name in frame:
            return frame[name]
    if name in _global:
        return _global[name]
    text = os.environ.get(setting.variable)
    if text is None:
        return setting.default
    try:
        return setting.parse(text)
    except ValueError:
        raise ValueError(f"{setting.variable}={text!r} is not a value for: {setting.help}") from None


def put(name: str, value: Any) -> None:
    """Set a setting for the whole process."""
    if name not in SETTINGS:
        raise KeyError(f"no setting {name!r}; there are {', '.join(SETTINGS)}")
    _global[name] = value


@contextmanager
def override(**values: Any) -> Iterator[None]:
    """Set settings inside a ``with`` block, on this thread.

    >>> with override(verify=True):
    ...     get("verify")
    True
    >>> get("verify")
    False
    """
    unknown = [name for name in values if name not in SETTINGS]
    if unknown:
        raise KeyError(f"no setting {unknown[0]!r}; there are {', '.join(SETTINGS)}")
    _local.stack.append(values)
    try:
        yield
    finally:
        _local.stack.pop()
