"""The one table from NumPy functions to their implementations on traced arrays.

``Array.__array_ufunc__``, ``Array.__array_function__``, the methods of ``Array`` and the namespace
``symflux.numpy`` all read it. ``trace/ufuncs.py`` and the files of ``symflux/numpy`` fill it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from ..errors import UnsupportedOperation
from ..ir.origin import user_frame

__all__ = [
    "BY_NAME", "NAMESPACE", "PLAIN", "TABLE", "function_name", "implementation", "implements",
    "unsupported",
]  # fmt: skip

#: NumPy function or ufunc -> implementation with the same signature
TABLE: dict[Any, Callable[..., Any]] = {}
#: the same by public name; also what scipy's ufuncs (erf, expit ...) are found by
BY_NAME: dict[str, Callable[..., Any]] = {}
#: name -> what computes the function for plain arrays: NumPy's own, where it has one
PLAIN: dict[str, Callable[..., Any]] = {}
#: the module that ``Array.__array_namespace__`` returns; ``symflux.numpy`` enters itself
NAMESPACE: list[Any] = [None]

#: what to write instead of functions whose result cannot be a graph
_INSTEAD = {
    "nonzero": ("np.where(mask, x, 0)", "the shape of the result would depend on the values"),
    "argwhere": ("np.where(mask, x, 0)", "the shape of the result would depend on the values"),
    "flatnonzero": ("np.where(mask, x, 0)", "the shape of the result would depend on the values"),
    "unique": ("np.unique outside", "the shape of the result would depend on the values"),
    "compress": ("np.where(mask, x, 0)", "the shape of the result would depend on the values"),
    "extract": ("np.where(mask, x, 0)", "the shape of the result would depend on the values"),
    "copyto": ("a[...] = b", "a plain array cannot be filled with traced values"),
    "put": ("a[i] = b", "a plain array cannot be filled with traced values"),
    "place": ("a = np.where(mask, b, a)", "a plain array cannot be filled with traced values"),
    "putmask": ("a = np.where(mask, b, a)", "a plain array cannot be filled with traced values"),
    "array_str": ("print the result outside", "a traced value has no digits yet"),
    "array_repr": ("print the result outside", "a traced value has no digits yet"),
    "array2string": ("print the result outside", "a traced value has no digits yet"),
    "save": ("save the result outside", "a traced value has no bytes yet"),
    "savetxt": ("save the result outside", "a traced value has no bytes yet"),
    "may_share_memory": ("compare outside", "a traced value has no memory yet"),
    "shares_memory": ("compare outside", "a traced value has no memory yet"),
    "array_equal": ("np.all(a == b)", "a traced value has no truth yet"),
}


def implements(
    *functions: Any, name: str = "", plain: Callable[..., Any] | None = None
) -> Callable[[Callable[..., Any]], Any]:
    """Enter an implementation for NumPy functions, or for a name that NumPy does not have.

    Args:
        functions: of NumPy; they are also what computes the result for plain arrays.
        name: for functions that NumPy does not have; ``plain`` computes them for plain arrays.
    """

    def enter(implementation: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            TABLE[function] = implementation
            BY_NAME[function.__name__] = implementation
            PLAIN[function.__name__] = function
        if name:
            BY_NAME[name] = implementation
            PLAIN[name] = plain or implementation
        return implementation

    return enter


def implementation(function: Any) -> Callable[..., Any] | None:
    """What records ``function``, if anything does."""
    found = TABLE.get(function)
    if found is None and not str(getattr(function, "__module__", "") or "").startswith("numpy"):
        found = BY_NAME.get(getattr(function, "__name__", ""))
    return found


def function_name(function: Any) -> str:
    """The name that a user knows it by: ``np.linalg.inv``."""
    module = str(getattr(function, "__module__", None) or "numpy")
    name = getattr(function, "__name__", str(function))
    return f"{module.replace('numpy', 'np', 1)}.{name}"


def unsupported(function: Any, why: str = "", right: str = "") -> UnsupportedOperation:
    """The error for a function that graphs do not record, with the nearest one that they do."""
    name = getattr(function, "__name__", str(function))
    if not right:
        right, reason = _INSTEAD.get(name, ("", ""))
        why = why or reason
    if not right:
        near = difflib.get_close_matches(name, BY_NAME, n=2, cutoff=0.6)
        names = " or ".join(f"symflux.numpy.{n}" for n in near)
        right = f"{names} (the nearest names that are recorded)" if near else (
            "the same with functions that are listed in symflux.numpy"
        )  # fmt: skip
    return UnsupportedOperation(
        f"{function_name(function)} cannot be recorded",
        place=user_frame(),
        why=why or "it has no meaning in a graph of symflux so far",
        right=right,
    )
