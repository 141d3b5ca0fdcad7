"""Settings: one table with defaults and help; each an environment variable and a context manager.

What they print goes to standard error. They concern what is compiled while they are set.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from .boundary import boundary, nearest
from .errors import MissingKey, OptionError, SettingWarning
from .frames import user_frame
from .records import record
from .thresholds import changed

__all__ = [
    "SETTINGS", "Setting", "get", "in_code", "names", "override", "put", "reset",
    "unknown_variables", "warn_of_unknown_variables",
]  # fmt: skip


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


def _seconds(text: str) -> float:
    """A time; 0 for ``off``."""
    word = text.strip().lower()
    return 0.0 if word in ("", "no", "false", "off") else float(word)


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
        Setting("unrolled", 2.0, "seconds of compiling after which one line says which line of the "
                "program was unrolled, how often, and what to write instead; `off` says nothing",
                _seconds, in_code=False),
        Setting("timing", False, "print the seconds that each step of a compilation took", _flag,
                in_code=False),
    )
}  # fmt: skip


class _Values(threading.local):
    def __init__(self) -> None:
        self.stack: list[dict[str, Any]] = []


_local = _Values()
_global: dict[str, Any] = {}


#: variables that are read elsewhere: by the loop compiler
_OTHERS = ("SYMFLUX_NUM_THREADS", "SYMFLUX_TARGET")


def unknown_variables(variables: Iterable[str]) -> list[str]:
    """A sentence for each environment variable ``SYMFLUX_...`` that nothing reads.

    >>> unknown_variables(["SYMFLUX_VERFY", "HOME"])
    ['SYMFLUX_VERFY is set, which is no setting; is SYMFLUX_VERIFY meant?']
    """
    known = [*(s.variable for s in SETTINGS.values()), *_OTHERS]
    unknown = [v for v in variables if v.startswith("SYMFLUX_") and v not in known]
    return [
        f"{v} is set, which is no setting" + (f"; is {near} meant?" if near else "")
        for v, near in ((v, nearest(v, known)) for v in unknown)
    ]


def warn_of_unknown_variables() -> None:
    """Warn at the user's line, which imports SymFlux."""
    for sentence in unknown_variables(os.environ):
        place = user_frame()
        file, line = (place.file, place.line) if place is not None else ("symflux", 1)
        warnings.warn_explicit(sentence, SettingWarning, file, line)


def _missing(name: str) -> MissingKey:
    return MissingKey(
        f"no setting {name!r}; there are {', '.join(SETTINGS)}",
        place=user_frame(),
        right=repr(nearest(name, SETTINGS)) if nearest(name, SETTINGS) else "",
    )


@boundary
def get(name: str) -> Any:
    """The value of a setting: the innermost ``override``, else ``put``, else the environment, else
    the default.

    Raises:
        MissingKey: if there is no such setting.
        OptionError: if the environment variable's text means nothing.

    >>> get("dump")
    ''
    """
    if name not in SETTINGS:
        raise _missing(name)
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
        raise OptionError(
            f"{setting.variable}={text!r} is not a value for: {setting.help}",
            place=user_frame(),
            right=f"{setting.variable}={setting.default!s:.10}      # the default",
        ) from None


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
        OptionError: for a name that is not among ``known``.

    >>> with override(dump="graph, asm"):
    ...     names("dump", ["graph", "kernels", "asm"])
    ['graph', 'asm']
    """
    found = [name.strip() for name in get(setting).split(",") if name.strip()]
    for name in found:
        if name not in known:
            raise OptionError(
                f"setting {setting}: no {name!r}; there are {', '.join(known)}",
                place=user_frame(),
                right=nearest(name, known),
            )
    return found


@boundary
def put(name: str, value: Any) -> None:
    """Set a setting for the whole process.

    Raises:
        MissingKey: if there is no such setting.

    >>> put("verify", True)
    >>> get("verify")
    True
    >>> reset("verify")
    """
    if name not in SETTINGS:
        raise _missing(name)
    _global[name] = value


def reset(name: str) -> None:
    """Undo :func:`put`: the environment or the default count again.

    >>> put("verify", True)
    >>> reset("verify")
    >>> get("verify")
    False
    """
    _global.pop(name, None)


@boundary
def override(**values: Any) -> AbstractContextManager[None]:
    """Set settings inside a ``with`` block, on this thread.

    Raises:
        MissingKey: if there is no such setting.

    >>> with override(verify=True):
    ...     get("verify")
    True
    >>> get("verify")
    False
    """
    unknown = [name for name in values if name not in SETTINGS]
    if unknown:
        raise _missing(unknown[0])
    return _overridden(values)


@contextmanager
def _overridden(values: dict[str, Any]) -> Iterator[None]:
    _local.stack.append(values)
    try:
        yield
    finally:
        _local.stack.pop()
