"""Whose code a frame of the stack belongs to, and tracebacks that show the user's frames alone."""

from __future__ import annotations

import linecache
import os
import re
import sys
import types

import numpy

from .errors import SymFluxError, VerifyError
from .records import record

__all__ = ["IS_USERS", "PLACES", "Origin", "at", "judge", "raised_at", "shorten", "user_frame"]

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_CODEGEN = os.path.join(os.path.dirname(os.path.dirname(_PACKAGE)), "codegen") + os.sep
_OWN = (_PACKAGE, _CODEGEN)
_NUMPY = os.path.dirname(os.path.abspath(numpy.__file__)) + os.sep
_STANDARD = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
#: those that call functions which they are given
_CALLERS = (
    "scipy", "pandas", "xarray", "polars", "dask", "sklearn", "statsmodels", "sympy", "numba",
    "joblib", "torch", "jax", "casadi", "matplotlib", "networkx", "lmfit", "emcee", "tqdm",
    "cloudpickle", "IPython", "ipykernel", "pytest", "_pytest", "pluggy", "hypothesis",
)  # fmt: skip
_LIBRARIES = (*_OWN, _NUMPY, "<frozen")
#: a folder in which packages are installed, and a package; a user's own may be among them
_INSTALLED = re.compile(r".*[\\/](?:site|dist)-packages[\\/](\w+)")

#: file name -> whether its code is the user's
IS_USERS: dict[str, bool] = {}


def judge(file: str) -> bool:
    """Whether code of ``file`` is the user's: not SymFlux's, NumPy's, the standard library's, nor
    of another library that calls users' functions. Noted in ``IS_USERS``."""
    installed = _INSTALLED.match(file)
    users = (
        not file.startswith(_LIBRARIES)
        and not file.endswith(".pyx")
        and (installed[1] not in _CALLERS if installed else not file.startswith(_STANDARD))
    )
    if len(IS_USERS) > 10_000:  # code made on the fly has new names for ever
        IS_USERS.clear()
    IS_USERS[file] = users
    return users


@record(frozen=True, slots=True)
class Origin:
    """``file:line`` of the user's code; ``rule`` names what derived the node, e.g. ``vjp of
    exp``."""

    file: str
    line: int
    function: str = ""
    rule: str = ""

    @property
    def source(self) -> str:
        """The text of the line, stripped; empty when the file cannot be read."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        place = f"{os.path.basename(self.file)}:{self.line}"
        return f"{place} ({self.rule})" if self.rule else place


#: (file, line, function) -> the one origin object for it
_origins: dict[tuple[str, int, str], Origin] = {}


#: (id of code, instruction) -> the code, which keeps its id, and its origin, if it is the user's
PLACES: dict[tuple[int, int], tuple[types.CodeType, Origin | None]] = {}


def at(frame: types.FrameType | None) -> Origin | None:
    """The origin of what is made by the user's innermost frame from ``frame`` on outwards; None
    when there is none.

    This runs for every node that is traced. What an instruction stands for is found out once: the
    number of its line alone takes time in proportion to the function's length."""
    while frame is not None:
        code = frame.f_code
        key = (id(code), frame.f_lasti)
        found = PLACES.get(key)
        if found is None:
            if len(PLACES) > 100_000:
                PLACES.clear()
            found = PLACES[key] = (code, _origin(code, frame.f_lineno))
        if found[1] is not None:
            return found[1]
        frame = frame.f_back
    return None


def _origin(code: types.CodeType, line: int) -> Origin | None:
    """The one origin of a line; None for code that is not the user's."""
    file = code.co_filename
    if not (IS_USERS[file] if file in IS_USERS else judge(file)):
        return None
    key = (file, line, code.co_name)
    origin = _origins.get(key)
    if origin is None:
        if len(_origins) > 100_000:
            _origins.clear()
        origin = _origins[key] = Origin(*key)
    return origin


def user_frame() -> Origin | None:
    """The innermost frame outside of SymFlux, NumPy, the standard library and the like; None when
    there is none."""
    return at(sys._getframe(1))


def raised_at(error: BaseException) -> Origin | None:
    """The user's innermost line in the traceback of an error."""
    found = None
    for trace, whose in _frames(error):
        if whose == _USERS:
            found = Origin(
                trace.tb_frame.f_code.co_filename, trace.tb_lineno, trace.tb_frame.f_code.co_name
            )
    return found


def shorten(error: BaseException) -> None:
    """Drop the frames of SymFlux from an error's traceback, and from those of its causes.

    An error of SymFlux ends with the user's own line. Another one that arises in the user's
    function keeps what lies behind it there. One that arises in SymFlux itself (a ``VerifyError``,
    too) is a fault of ours, and keeps all frames. The setting ``full_tracebacks`` leaves everything
    as it is."""
    from . import config  # which has functions that users call

    try:
        if config.get("full_tracebacks"):
            return
    except ValueError:  # a text that means nothing: met where settings are read for their own sake
        return
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        _shorten_one(found)
        before = found.__context__
        if isinstance(found, SymFluxError):
            while before is not None and _is_internal(before):
                before = before.__context__
            if before is not found.__context__:
                kept = found.__suppress_context__
                found.__context__ = before
                found.__suppress_context__ = kept
        waiting.append(before)
        waiting.append(found.__cause__)


_OURS, _USERS, _OTHERS = "ours", "users", "others"


def _frames(error: BaseException) -> list[tuple[types.TracebackType, str]]:
    """The frames of a traceback from the outermost one on, and whose code each is."""
    found = []
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        users = IS_USERS[file] if file in IS_USERS else judge(file)
        whose = _USERS if users else _OURS if file.startswith(_OWN) else _OTHERS
        found.append((trace, whose))
        trace = trace.tb_next
    return found


def _is_internal(error: BaseException) -> bool:
    """Whether an error was raised and met inside of SymFlux."""
    return all(whose != _USERS for _, whose in _frames(error)) and error.__traceback__ is not None


def _shorten_one(error: BaseException) -> None:
    frames = _frames(error)
    last = {whose: i for i, (_, whose) in enumerate(frames)}
    users, ours = last.get(_USERS, -1), last.get(_OURS, -1)
    if ours < 0:
        return
    if isinstance(error, SymFluxError) and not isinstance(error, VerifyError):
        frames = frames[: users + 1]
    elif ours > users:
        return
    kept = []
    hidden = False
    for trace, whose in frames:
        hidden = whose == _OURS or (hidden and whose == _OTHERS)  # libraries that we called
        if not hidden:
            kept.append(trace)
    short: types.TracebackType | None = None
    for trace in reversed(kept):
        short = types.TracebackType(short, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
    error.__traceback__ = short
