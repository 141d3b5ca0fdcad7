"""Random numbers, clocks, input that are read while a function is traced: they would stay so.

NumPy's generators are compared before and after; calls of Python's are seen by a profile function,
which is set only where the code names something of the kind."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import TraceError
from ..ir.origin import Origin
from .names import is_library_file

__all__ = ["refuse_draws"]

_CLOCKS = tuple(
    getattr(time, name)
    for name in ("time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "process_time",
                 "monotonic_ns", "localtime", "gmtime")
)  # fmt: skip
_SUSPECT = frozenset(
    {"random", "time", "datetime", "date", "secrets", "uuid", "urandom", "default_rng", "randint",
     "uniform", "normal", "gauss", "choice", "shuffle", "sample", "permutation", "integers", "rand",
     "randn", "standard_normal", "perf_counter", "monotonic", "now", "today", "getrandbits",
     "process_time", "time_ns", "perf_counter_ns", "uuid4", "RandomState", "choices", "randrange",
     "input", "stdin"}
)  # fmt: skip


_NOISE = "np.random.normal(size=x.shape)"


@contextmanager
def refuse_draws(
    names: Iterable[str], generators: Iterable[Any], whole: Callable[[], Origin | None]
) -> Iterator[None]:
    """Raise where code run inside draws random numbers or reads a clock.

    Args:
        names: what the code names; where none of them has to do with it, nothing is looked at.
        generators: of NumPy, which the code reaches.
        whole: where the function stands, for what is not seen to be called.

    Raises:
        TraceError: naming the line, where it is known.
    """
    if _SUSPECT.isdisjoint(names):
        yield
        return
    watched = [g for g in generators if hasattr(g, "getstate") or hasattr(g, "random")]
    if "numpy.random" in sys.modules:  # it is loaded when it is first used
        watched.append(np.random.mtrand._rand)
    before = [_state(g) for g in watched]
    found: list[tuple[str, Origin | None]] = []
    earlier = sys.getprofile()

    def look(frame: Any, event: str, arg: Any) -> None:
        if not found and (what := _drawn(frame, event, arg)):
            found.append((what, _user_line(frame)))

    sys.setprofile(look)
    try:
        yield
    finally:
        _set_profile(earlier)
    changed = any(_state(g) != b for g, b in zip(watched, before, strict=True))
    if not found and changed:
        found.append(("numpy.random", None))
    if found:
        what, place = found[0]
        clock, noise = what == "a clock", "input()" if what == "what is typed in" else _NOISE
        raise TraceError(
            f"{what} is read while the function is traced: every call would see this one value",
            place=place or whole(),
            why="tracing runs the Python code once; compiled calls do not run it",
            wrong="def f(x): return x * time.time()" if clock
            else f"def f(x): return x + {noise}",
            right="def f(x, now): return x * now         # f(x, time.time())" if clock
            else f"def f(x, noise): return x + noise     # f(x, {noise})",
        )  # fmt: skip


def _set_profile(earlier: Any) -> None:
    """Let what profiled before go on: a function, or an object of cProfile's, which is none."""
    if earlier is None or callable(earlier):
        sys.setprofile(earlier)
    else:
        earlier.enable()


def _state(generator: Any) -> str:
    """All of a generator's state, to be compared."""
    if isinstance(generator, random.Random):
        return repr(hash(generator.getstate()))
    bits = getattr(generator, "bit_generator", None) or generator._bit_generator
    return str(
        {k: v.tobytes() if isinstance(v, np.ndarray) else _flat(v) for k, v in bits.state.items()}
    )


def _flat(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: v.tobytes() if isinstance(v, np.ndarray) else v for k, v in value.items()}
    return value


def _drawn(frame: Any, event: str, arg: Any) -> str:
    """What a call reads that is another thing each time; empty for all other calls."""
    if event == "call":
        code = frame.f_code
        fresh = code.co_name == "getrandbits" and code.co_filename == random.__file__
        return "an unseeded random generator" if fresh else ""
    if event != "c_call":
        return ""
    owner, name = getattr(arg, "__self__", None), getattr(arg, "__name__", "")
    shared = owner is random._inst or isinstance(owner, random.SystemRandom)
    if shared and name not in ("seed", "getstate", "setstate"):
        return "random"
    direct = not is_library_file(frame.f_code.co_filename)
    if direct and (arg in _CLOCKS or (isinstance(owner, type) and _is_date(owner, name))):
        return "a clock"
    if direct and (arg is input or (owner is sys.stdin and name.startswith("read"))):
        return "what is typed in"
    return "random" if direct and arg is os.urandom else ""


def _is_date(owner: type, name: str) -> bool:
    return owner.__module__ == "datetime" and name in ("now", "today", "utcnow")


def _user_line(frame: Any) -> Origin | None:
    """The innermost line of the user's among the callers of a frame."""
    while frame is not None and is_library_file(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return None
    return Origin(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
