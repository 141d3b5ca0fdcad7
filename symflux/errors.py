"""Every error that SymFlux raises for its user: what was attempted, where, why, and the cure.

A message has up to four parts::

    cannot decide a Python `if` or `while` by a traced value: f64[3] has no value while tracing
      at model.py:12, in relu:
          if x > 0:
      instead of   if x > 0: y = a
                   else: y = b
      write        y = np.where(x > 0, a, b)

The paragraphs of ``docs/errors.md`` explain each class at length.
"""

from __future__ import annotations

import os
import pickle
from typing import Protocol

__all__ = [
    "ArgumentError", "AxisOutOfRange", "BranchOnTracedValue", "CacheWarning", "ConversionError",
    "DTypeError", "DerivativeError", "EndlessRecursion", "IndexOutOfRange", "LeakedValue",
    "MissingAttribute", "MissingKey", "NegativePower", "NotPicklable", "NotRunYet", "OptionError",
    "RangeError", "ReadOnlyError", "SettingWarning", "ShapeError", "StructureError",
    "SymFluxError", "TraceError", "UnsupportedOperation", "VerifyError",
]  # fmt: skip


class Place(Protocol):
    """A line of the user's code (``ir.origin.Origin``)."""

    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def function(self) -> str: ...
    @property
    def source(self) -> str: ...


def _indented(label: str, code: str) -> str:
    first, *rest = code.splitlines()
    return "\n".join([f"  {label:<13}{first}", *[" " * 15 + line for line in rest]])


class CacheWarning(UserWarning):
    """Compiled code on disk could not be used or kept; it is compiled instead, as without a cache.

    The message says why: others may write to the folder, an entry is damaged, the disk is full.
    """


class SettingWarning(UserWarning):
    """An environment variable ``SYMFLUX_...`` is set that nothing reads, such as a misspelt one."""


class SymFluxError(Exception):
    """The base of all errors raised by SymFlux.

    Args:
        what: one sentence: what was attempted, and the types on both sides.
        place: the user's line.
        wrong: the kind of code that leads here, as one would write it in NumPy.
        right: what to write instead; several lines give several choices.
        why: one sentence of background, when the first does not say it.

    >>> error = SymFluxError("cannot add f64[3] and f64[4]", right="a[:3] + b[:3]")
    >>> print(error)
    cannot add f64[3] and f64[4]
      write        a[:3] + b[:3]
    """

    def __init__(
        self,
        what: str,
        *,
        place: Place | None = None,
        wrong: str = "",
        right: str = "",
        why: str = "",
    ) -> None:
        self.what = what
        self.place = place
        self.wrong = wrong
        self.right = right
        self.why = why
        parts = [what]
        if place is not None:
            where = f"  at {os.path.basename(place.file)}:{place.line}"
            function = place.function
            parts.append(f"{where}, in {function}:" if function.isidentifier() else f"{where}:")
            parts.append(
                f"      {place.source}" if place.source else f"      (no source: {place.file})"
            )
        if why:
            parts.append(f"  {why}")
        if wrong:
            parts.append(_indented("instead of", wrong))
        if right:
            parts.append(_indented("write", right))
        super().__init__("\n".join(parts))

    def __reduce__(self) -> tuple[object, ...]:
        return (_restored, (type(self), str(self), self.what, self.wrong, self.right, self.why))


def _restored(
    cls: type[SymFluxError], message: str, what: str, wrong: str, right: str, why: str
) -> SymFluxError:
    """Unpickle: the text is kept, the place (an object of this process) is not."""
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.what, error.wrong, error.right, error.why = what, wrong, right, why
    error.place = None
    return error


class TraceError(SymFluxError):
    """The function cannot be recorded as a graph."""


class BranchOnTracedValue(TraceError, TypeError):
    """Python asked a traced value for its truth: ``if``, ``while``, ``and``, ``in`` ..."""


class ConversionError(TraceError, TypeError):
    """Python or a library asked a traced value for a number or a plain array."""


class UnsupportedOperation(TraceError, TypeError, NotImplementedError):
    """A function, keyword or combination that graphs do not record."""


class MissingAttribute(UnsupportedOperation, AttributeError):
    """An attribute that traced arrays, or a module, do not have."""


class ReadOnlyError(TraceError, ValueError):
    """A write to a traced view that NumPy lets nobody write to."""


class EndlessRecursion(TraceError, RecursionError):
    """The function calls itself for ever, or deeper than Python goes, while it is traced."""


class LeakedValue(TraceError):
    """A traced value was used after the function in which it was made had returned."""


class ArgumentError(TraceError, TypeError):
    """An argument or result is neither a number, an array, nor a container of them."""


class ShapeError(SymFluxError, ValueError):
    """Shapes or axes do not fit."""


class AxisOutOfRange(ShapeError, IndexError):
    """An axis that the array does not have."""


class DTypeError(SymFluxError, TypeError):
    """Element types do not fit, or NumPy would not convert them."""


class RangeError(SymFluxError, OverflowError):
    """A Python integer does not fit into the dtype it would take."""


class NegativePower(SymFluxError, ValueError):
    """Integers to a negative integer power, which NumPy refuses."""


class IndexOutOfRange(SymFluxError, IndexError):
    """A static index lies outside of the axis."""


class OptionError(SymFluxError, ValueError):
    """An option has a value that it cannot have."""


class MissingKey(SymFluxError, KeyError):
    """A setting, or a gradient, that there is not."""

    __str__ = Exception.__str__  # KeyError's shows the text as a literal


class NotRunYet(SymFluxError, ValueError):
    """Generated code was asked for before there is any."""


class NotPicklable(SymFluxError, pickle.PicklingError):
    """A function that other processes would not find, and that cannot be sent by value."""


class StructureError(SymFluxError, ValueError):
    """Two containers should have the same structure, and do not."""


class DerivativeError(SymFluxError, TypeError):
    """A derivative was asked for that does not exist or is not implemented."""


class VerifyError(SymFluxError, AssertionError):
    """A graph or program breaks an invariant of its representation: a bug in a pass."""
