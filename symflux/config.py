"""Settings: one table with defaults and help; each an environment variable and a context manager.

What they print goes to standard error. They concern what is compiled while they are set.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from .records import record
from .thresholds import changed

__all__ = ["SETTINGS", "Setting", "get", "in_code", "names", "override", "put", "reset"]


@record(frozen=True, slots=True)
class Setting:
    """One setting; ``parse`` reads the environment variable's text.

    ``in_code`` says that generated code may depend on it: then code made under another value of it
    is other code."""

    name: str
    default: Any
    help: str
    parse: Callable[[str], Any] = str
    in_code: bool = True

    @property
    def variable(self) -> str:
        """The environment variable: ``SYMFLUX_`` and the name in capitals."""
        return f"SYMFLUX_{self.name.upper()}"


def _flag(text: str) -> bool:
    word = text.strip().lower()
    if word not in ("", "0", "no", "false", "off", "1", "yes", "true", "on"):
        raise ValueError(text)
    return word in ("1", "yes", "true", "on")


def _level(text: str) -> str:
    """``off``, ``wrong`` or ``all``."""
    word = text.strip().lower()
    if word in ("off", "wrong", "all"):
        return word
    return "all" if _flag(text) else "off"


def _side(text: str) -> str:
    """``off``, ``end`` or ``start``."""
    word = text.strip().lower()
    if word in ("off", "end", "start"):
        return word
    return "end" if _flag(text) else "off"


#: The table. ``docs/settings.md`` is generated from it.
SETTINGS: dict[str, Setting] = {
    s.name: s
    for s in (
        Setting("dump", "", "print each compiled function at these levels, comma-separated: "
                "graph, optimized, origins, kernels, llvm, llvm_optimized, asm, cost",
                in_code=False),
        Setting("print_after", "", "print the graph or the loops after these passes, "
                "comma-separated; `all` prints what each pass changed"),
        Setting("stop_after", "", "skip the passes behind this one, those over graphs and those "
                "over loops (none of them is needed for a right result)"),
        Setting("verify", False, "check the graph and the loops after every pass", _flag),
        Setting("prove", "wrong", "look for proofs that loops stay inside their arrays and write "
                "before they read: `wrong` refuses only what is shown to go wrong, `1` all that "
                "is not proven, `0` nothing", _level),
        Setting("guard", "off", "run compiled code on memory between pages that nobody may touch, "
                "filled with signalling nans first: `end` (or `1`) finds accesses behind arrays, "
                "`start` those before them (`docs/how-to/find-a-fault.md`); slow", _side),
        Setting("cache_dir", "", "the folder in which compiled code is kept between processes; "
                "`off` keeps none (default: symflux in the user's cache directory)", in_code=False),
        Setting("cache_size", 512, "MiB of compiled code that are kept on disk at most", int,
                in_code=False),
        Setting("full_tracebacks", False, "show the frames of SymFlux itself in the tracebacks of "
                "errors", _flag, in_code=False),
        Setting("timing", False, "print the seconds that each step of a compilation took", _flag,
                in_code=False),
    )
}  # fmt: skip


class _Values(threading.local):
    def __init__(self) -> None:
        self.stack: list[dict[str, Any]] = []


_local = _Values()
_global: dict[str, Any] = {}


def get(name: str) -> Any:
    """The value of a setting: the innermost ``override``, else ``put``, else the environment, else
    the default.

    Raises:
        KeyError: if there is no such setting.
        ValueError: if the environment variable's text means nothing.

    >>> get("dump")
    ''
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
        message = f"{setting.variable}={text!r} is not a value for: {setting.help}"
        raise ValueError(message) from None


def in_code() -> str:
    """The values of all settings that generated code may depend on, and the thresholds that are
    lowered, as text.

    >>> with override(stop_after="dead"):
    ...     "stop_after='dead'" in in_code()
    True
    """
    settings = " ".join(f"{s.name}={get(s.name)!r}" for s in SETTINGS.values() if s.in_code)
    return f"{settings} {changed()}"


def names(setting: str, known: Iterable[str]) -> list[str]:
    """The comma-separated names that a setting holds.

    Raises:
        ValueError: for a name that is not among ``known``.

    >>> with override(dump="graph, asm"):
    ...     names("dump", ["graph", "kernels", "asm"])
    ['graph', 'asm']
    """
    found = [name.strip() for name in get(setting).split(",") if name.strip()]
    for name in found:
        if name not in known:
            raise ValueError(f"setting {setting}: no {name!r}; there are {', '.join(known)}")
    return found


def put(name: str, value: Any) -> None:
    """Set a setting for the whole process.

    Raises:
        KeyError: if there is no such setting.

    >>> put("verify", True)
    >>> get("verify")
    True
    >>> reset("verify")
    """
    if name not in SETTINGS:
        raise KeyError(f"no setting {name!r}; there are {', '.join(SETTINGS)}")
    _global[name] = value


def reset(name: str) -> None:
    """Undo :func:`put`: the environment or the default count again.

    >>> put("verify", True)
    >>> reset("verify")
    >>> get("verify")
    False
    """
    _global.pop(name, None)


@contextmanager
def override(**values: Any) -> Iterator[None]:
    """Set settings inside a ``with`` block, on this thread.

    Raises:
        KeyError: if there is no such setting.

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
