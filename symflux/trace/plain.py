"""What is no array and no number: how to write it as one."""

from __future__ import annotations

import datetime
import decimal
import fractions
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, ConversionError, SymFluxError
from ..frames import judge, raised_at, user_frame
from .handle import Handle

__all__ = ["better_error", "one_line", "refuse_beside", "written_plainly"]


def one_line(value: Any) -> str:
    """An object as a message shows it; tables and the like have lines of their own."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def written_plainly(value: Any, name: str) -> str:
    """How an object becomes a number or an array, if it does.

    Args:
        name: of a variable that holds it.

    >>> from decimal import Decimal
    >>> written_plainly(Decimal("0.5"), "x")
    'float(x)'
    """
    if isinstance(value, decimal.Decimal | fractions.Fraction):
        return f"float({name})"
    if isinstance(value, datetime.timedelta):
        return f"{name}.total_seconds()"
    if isinstance(value, datetime.datetime):
        return f"{name}.timestamp()"
    if isinstance(value, datetime.date):
        return f"{name}.toordinal()"
    if isinstance(value, datetime.time):
        return f"3600.0 * {name}.hour + 60.0 * {name}.minute + {name}.second"
    if isinstance(value, complex):
        z = "z" if name == "x" else name
        return f"f({z}.real, {z}.imag)     # the real and the imaginary part as two arguments"
    if isinstance(value, bytes | bytearray):
        return f"np.frombuffer({name}, np.uint8)"
    if isinstance(value, set | frozenset):
        return f"np.array(sorted({name}))"
    if isinstance(value, Mapping) or type(value).__name__ in ("dict_values", "dict_keys"):
        return f"np.array(list({name}{'.values()' if isinstance(value, Mapping) else ''}))"
    if isinstance(value, range) or type(value).__name__ in ("generator", "map", "zip", "filter"):
        return f"np.array(list({name}))"
    if hasattr(type(value), "to_numpy"):
        return f"{name}.to_numpy()"
    return ""


def refuse_beside(value: Any) -> None:
    """Raise for what stands beside a traced array in an operator, where it can be written as a
    number or an array.

    Raises:
        ArgumentError: naming the user's line, and how.
    """
    if value is None:
        right = "y = x if value is None else x + value     # `value is not None` is known"
    elif isinstance(value, str):
        right = "float(value)"
    else:
        right = written_plainly(value, "value")
    if right:
        raise ArgumentError(
            f"expected an array or a number beside a traced array, not {one_line(value)} "
            f"({type(value).__name__!r})",
            place=user_frame(),
            wrong="x + value",
            right=right,
        )


def better_error(
    error: Exception, fn: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> SymFluxError | None:
    """What to raise in place of an error of Python's or a library's that a traced function met
    because lists were given where arrays are meant, or because a traced array is none of theirs."""
    text = str(error)
    given = [*args, *kwargs.values()]
    if re.search(r"'(list|tuple)'", text) and any(_is_list(a) for a in given):
        position = next(i for i, a in enumerate(given) if _is_list(a))
        name = fn.__code__.co_varnames[position] if hasattr(fn, "__code__") else "x"
        return ArgumentError(
            f"{text}: `{name}` is a Python {type(given[position]).__name__} of numbers",
            place=raised_at(error),
            why="lists stay lists while tracing, as in Python: only their elements are traced",
            right=f"np.array({name})            # before the call\n"
            f"{name} = symflux.numpy.array({name})     # in the function",
        )
    if re.search(r"\bArray\b", text) and _is_of_python_or_library(error):
        right = "the same with the result, outside of the traced function"
        if type(error).__module__.startswith(("pandas", "xarray", "polars")):
            right = "symflux.numpy.array(column.to_numpy())[i]\n" + right
        return ConversionError(
            f"{text}: a traced value stands for elements",
            place=raised_at(error),
            why="its elements are known only when the compiled function runs",
            right=right,
        )
    return None


def _is_of_python_or_library(error: Exception) -> bool:
    """Whether it is raised by Python itself, or behind the user's frames."""
    if type(error) in (TypeError, AttributeError):
        return True
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and not judge(trace.tb_frame.f_code.co_filename)


def _is_list(value: Any) -> bool:
    if not isinstance(value, list | tuple) or not value:
        return False
    return all(isinstance(v, Handle | np.ndarray) or _is_list(v) for v in value)
