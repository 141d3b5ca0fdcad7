"""Functions that users call: errors show the user's frames, and calls that do not fit are named."""

from __future__ import annotations

import difflib
import inspect
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from .errors import ArgumentError, MissingAttribute
from .frames import shorten, user_frame

__all__ = ["boundary", "called_wrongly", "missing_name", "nearest", "wrong_call"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def nearest(name: str, known: Iterable[str]) -> str:
    """What is most like a misspelt name among those that there are; empty if nothing is.

    >>> nearest("argnum", ["argnums", "has_aux"]), nearest("n", ["argnums", "has_aux"])
    ('argnums', '')
    """
    found = difflib.get_close_matches(name, list(known), 1, 0.5)
    return found[0] if found else ""


def missing_name(
    module: str, name: str, known: Iterable[str], habits: Mapping[str, str] = {}, short: str = ""
) -> MissingAttribute:
    """What to raise where a module has no attribute of that name.

    Args:
        known: the names that it has.
        habits: what other libraries call it -> what to write.
        short: how the module is written.
    """
    right = habits.get(name, "")
    if not right and not name.startswith("_") and (near := nearest(name, known)):
        right = f"{short or module}.{near}"
    return MissingAttribute(
        f"module {module!r} has no attribute {name!r}", place=user_frame(), right=right
    )


def called_wrongly(
    error: TypeError, fn: Callable[..., Any], kwargs: Mapping[str, Any], shown: str = ""
) -> ArgumentError | None:
    """What to raise for a TypeError of the call itself: arguments that do not fit the parameters.

    Args:
        error: caught where ``fn`` was called.
        kwargs: the keywords of that call.
        shown: how the user writes the function; by default its name.

    Returns:
        None where the error comes from inside of ``fn``.
    """
    trace = error.__traceback__
    if trace is None or trace.tb_next is not None or isinstance(error, ArgumentError):
        return None
    return wrong_call(error, fn, kwargs, shown)


def wrong_call(
    error: TypeError, fn: Callable[..., Any], kwargs: Mapping[str, Any], shown: str = ""
) -> ArgumentError | None:
    """The same for an error of which it is known."""
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):  # a builtin
        return None
    name = shown or _name(fn)
    if name[:1].isupper():  # a class: the object itself is not written
        parameters = parameters[1:]
    known = [p.name for p in parameters]
    unknown = [k for k in kwargs if k not in known]
    near = nearest(unknown[0], known) if unknown else ""
    if near:
        right = f"{name}(..., {near}={_shown(kwargs[unknown[0]])})"
    else:
        right = f"{name}({', '.join(map(_as_written, parameters))})"
    what = re.sub(r"^.*?\(\)", f"{name}()", str(error))
    if "()" not in what:  # of ``inspect``
        what = f"{name}(): {what}"
    return ArgumentError(what, place=user_frame(), right=right)


def _name(fn: Callable[..., Any]) -> str:
    """How a user writes the function: ``sf.grad``, ``Dense``, ``f``."""
    path = getattr(fn, "__qualname__", type(fn).__name__).split(".")
    name: str = path[-2] if path[-1] in ("__init__", "__new__") and len(path) > 1 else path[-1]
    if name == "<lambda>":
        return "f"
    return f"sf.{name}" if getattr(fn, "__module__", "") == "symflux.api" else name


def _shown(value: Any) -> str:
    if type(value).__name__ == "Array":  # a traced one
        return "value"
    return getattr(value, "__name__", None) or f"{value!r:.40}"


def _as_written(p: inspect.Parameter) -> str:
    """A parameter as it stands in a signature, without its type."""
    plain = str(p.replace(annotation=p.empty, default=p.empty))
    return plain if p.default is p.empty else f"{plain}={_shown(p.default)}"


def boundary(fn: _Function) -> _Function:
    """A function that users call.

    Errors leave it with tracebacks of the user's frames. Its own frame is not in them: a bare
    ``raise`` adds none.

    >>> import symflux as sf
    >>> try:
    ...     sf.grad(5.0)
    ... except sf.SymFluxError as error:
    ...     print(error.__traceback__.tb_next)
    None
    """
    short, wrong = shorten, called_wrongly

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return fn(*args, **kwargs)
        except TypeError as error:
            better = wrong(error, fn, kwargs)
            short(error)
            if better is None:
                raise
            found = better
        except Exception as error:
            short(error)
            raise
        try:
            raise found
        except TypeError as error:
            short(error)
            raise

    # with the globals of its module, to which tools and pickles count it by them
    made: Any = types.FunctionType(
        call.__code__, fn.__globals__, fn.__name__, None, call.__closure__
    )
    for name in ("__module__", "__qualname__", "__doc__", "__annotations__"):
        setattr(made, name, getattr(fn, name))
    made.__wrapped__ = fn
    return made
