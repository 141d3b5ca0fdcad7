"""Where Python asks a traced array for a value that it does not have: errors, with cures."""

from __future__ import annotations

import re
import threading
from typing import Any, NoReturn

import numpy as np

from ..boundary import nearest
from ..errors import BranchOnTracedValue, ConversionError, MissingAttribute, SymFluxError
from ..ir.node import INPUT
from ..ir.op import Rules
from ..ir.origin import user_frame
from ..ir.walk import topological
from .equals import code_of, library_call, math_call
from .handle import Handle
from .scope import are_captured, elements_of

__all__ = [
    "array",
    "contains",
    "formatted",
    "index",
    "known",
    "missing",
    "number",
    "pickled",
    "truth",
]


_LATER = (
    "its value is known only when the compiled function runs; if the argument is a setting, "
    "name it in static_argnames"
)


class _Refusals(threading.local):
    """The last conversion that was refused: NumPy replaces some errors by its own."""

    def __init__(self) -> None:
        self.last: SymFluxError | None = None

    def forget(self) -> None:
        self.last = None


refusals = _Refusals()


def _refuse(error: SymFluxError) -> SymFluxError:
    refusals.last = error
    return error


def known(x: Handle) -> np.ndarray[Any, Any] | None:
    """The value, where it depends on literals and on arrays of the surroundings only.

    The elements of these are compared at each call from then on."""
    nodes = topological([x.node])
    inputs = [n for n in nodes if n.op is INPUT]
    if any(isinstance(n.op.derivative, Rules) for n in nodes) or not are_captured(inputs):
        return None
    values: dict[int, Any] = {}
    with np.errstate(all="ignore"):
        for node in nodes:
            if node.op is INPUT:
                values[node.id] = elements_of(node)
                continue
            given = [values[i.id] for i in node.inputs]
            values[node.id] = np.asarray(node.op.oracle(*given, **node.attributes))
    return values[x.node.id]


#: what stands in the user's line -> the cure; the first that is found decides
_BRANCHES: tuple[tuple[str, str, str], ...] = (
    (r"\bwhile\b", "while x > tolerance: x = step(x)",
     "x = sf.while_loop(lambda x: x > tolerance, step, x)"),
    (r"\bassert\b", "assert x > 0", "assert on the result, outside of the traced function"),
    (r"\band\b", "a > 0 and b > 0", "(a > 0) & (b > 0)"),
    (r"\bor\b", "a > 0 or b > 0", "(a > 0) | (b > 0)"),
    (r"\bnot\b", "not a", "np.logical_not(a)"),
    (r"[\w\])]\s*[<>]=?[^<>=]+[<>]=?", "a < x < b", "(a < x) & (x < b)"),
    (r"\bmax\(", "max(a, b)", "np.maximum(a, b)\nnp.max(x)            # of all elements"),
    (r"\bmin\(", "min(a, b)", "np.minimum(a, b)\nnp.min(x)            # of all elements"),
    (r"\bsorted\(|\.sort\(", "sorted(x)", "np.sort(x), outside of the traced function"),
    (r"(?<!\.)\ball\(", "all(x > 0)", "np.all(x > 0)"),
    (r"(?<!\.)\bany\(", "any(x > 0)", "np.any(x > 0)"),
    (r"\bbool\(", "bool(x)", "x != 0"),
)  # fmt: skip
_IF = (
    "if x > 0: y = a\nelse:     y = b",
    "y = np.where(x > 0, a, b)                      # element by element\n"
    "y = sf.cond(x > 0, lambda: a, lambda: b)       # runs only one side",
)


#: an assignment to elements, and what makes it possible
_FILLS = r"\]\s*[-+*/]?=[^=]"
_FILL = ("out = np.zeros(3)\nout[0] = x", "out = symflux.numpy.zeros(3)\nout[0] = x")


_SHOWN = 'print(f"{x}")           # shows its type\n'
_SHOWN += "print the result outside of the traced function"

#: how an argument stays a Python number: in compiled functions, and in derivatives
_STATIC = "sf.compile(f, static_argnames='n')\nsf.grad(lambda x: f(x, 3))"

#: what stands in the user's line where a plain array was asked for -> the cure; the first that is
#: found decides
_ARRAYS = (
    (r"\b(?:np|numpy)\.full\(", "np.full(3, x)", "symflux.numpy.full(3, x)"),
    (r"\b(?:np|numpy)\.arange\(", "np.arange(n)", _STATIC + "\n"
     "first + np.arange(3) * step"),
    (r"\b(?:np|numpy)\.(vectorize|frompyfunc)\(", r"np.\1(g)(x)",
     "g(x)                 # of all elements at once\nsf.vmap(g)(x)"),
    (r"\b(?:np|numpy)\.(u?int\d+|float\d+|bool_)\(", r"np.\1(x)", r"x.astype(np.\1)"),
    (r"\b(?:np|numpy)\.as\w*array\(.*\bdtype=", "np.asarray(x, dtype=np.float32)",
     "x.astype(np.float32)"),
    (r"\b(?:np|numpy)\.as\w*array\(", "np.asarray(x)",
     "x                    # NumPy's functions take it as it is"),
    (r"\b(?:np|numpy)\.array\(\s*\w+\s*[,)]", "np.array(x)",
     "x.copy()\nsymflux.numpy.array(x)      # x may be a list"),
    (r"\b(?:np|numpy)\.array\(", "np.array([x, y])",
     "np.stack([x, y])\nsymflux.numpy.array([x, y])"),
    (_FILLS, *_FILL),
    (r"", "np.sum([x, y])       # a list\ntable[x]             # a plain array\n"
     "scipy.stats.norm.pdf(x)",
     "np.sum(np.stack([x, y]))\nsymflux.numpy.array(table)[x]\n"
     "the formula, with functions of NumPy or symflux.numpy"),
)  # fmt: skip


def truth(x: Handle) -> bool:
    """``bool(x)``: known where it depends on literals only."""
    value = known(x)
    if value is not None:
        return bool(value)
    place = user_frame()
    source = code_of(place.source) if place is not None else ""
    cures = (cure for pattern, *cure in _BRANCHES if re.search(pattern, source))
    wrong, right = next(cures, _IF)
    raise BranchOnTracedValue(
        f"a traced value ({x.type}) is neither true nor false while tracing",
        place=place,
        why=_LATER,
        wrong=wrong,
        right=right,
    )


def contains(x: Handle, value: Any) -> bool:
    """``value in x``."""
    elements = known(x)
    if elements is not None:
        return value in elements
    raise BranchOnTracedValue(
        f"whether a value is in a traced array ({x.type}) is not known while tracing",
        place=user_frame(),
        wrong="v in x",
        right="np.any(x == v)",
    )


def number(x: Handle, kind: str) -> Any:
    """``float(x)``, ``int(x)``, ``x.item()`` ...: known where it depends on literals only."""
    value = known(x)
    if value is not None:
        if kind == "tolist":
            return value.tolist()
        return value.item()
    place = user_frame()
    source = place.source if place is not None else ""
    what = {"item": "x.item()", "tolist": "x.tolist()"}.get(kind, f"{kind}(x)")
    if kind == "float":
        called = math_call(source)
        if called is not None:
            what, wrong = f"math.{called[0]}(x)", f"math.{called[0]}(x)"
            right = called[1] or f"f(x, y)              # y = {wrong}, outside"
        elif re.search(r"[\"']\s*%(?!=)", source):
            wrong, right = '"%.3f" % x', _SHOWN
        else:
            wrong, right = "float(x)", "x                    # a traced number is used as it is"
        if re.search(_FILLS, source):
            wrong, right = _FILL
    elif kind == "int":
        wrong = "int(x)"
        right = "np.floor(x)\nx.astype(np.int64)"
    elif kind == "complex":
        wrong, right = "complex(x)", "real and imaginary parts as two arrays"
    else:
        wrong, right = f"x.{kind}()", "x, and convert the result outside of the traced function"
    raise _refuse(
        ConversionError(
            f"cannot convert a traced value ({x.type}) to a Python number: {what}",
            place=place,
            why=_LATER,
            wrong=wrong,
            right=right,
        )
    )


def index(x: Handle) -> int:
    """``range(x)``, ``items[x]``, ``np.zeros(x)``: known where it depends on literals only."""
    value = known(x)
    if value is not None and value.ndim == 0 and value.dtype.kind in "iu":
        return int(value)
    place = user_frame()
    source = place.source if place is not None else ""
    if "range(" in source:
        wrong = "for i in range(n): x = step(i, x)"
        right = f"x = sf.fori_loop(0, n, step, x)\n{_STATIC}"
    elif (called := math_call(source)) is not None:
        wrong, right = f"math.{called[0]}(n)", _STATIC
    else:
        wrong = "items[i]             # a Python list\nnp.zeros(n)"
        right = f"np.stack(items)[i]\n{_STATIC}"
    raise _refuse(
        ConversionError(
            f"a traced value ({x.type}) cannot be a Python index, count or size",
            place=place,
            why="its value is known only when the compiled function runs",
            wrong=wrong,
            right=right,
        )
    )


def array(x: Handle, dtype: Any) -> np.ndarray[Any, Any]:
    """``np.asarray(x)``: known where it depends on literals only."""
    value = known(x)
    if value is not None:
        return value.astype(dtype) if dtype is not None else value.copy()
    place = user_frame()
    wrong, right = _FILL
    source = place.source if place is not None else ""
    library = library_call()
    if library in ("pandas", "xarray", "polars"):
        wrong, right = f"x * column           # of {library}", "x * column.to_numpy()"
    elif "." in library:
        wrong = f"{library}(x)"
        right = f"f(x, y)              # y computed by {library} outside of the traced function"
    for pattern, instead, cure in _ARRAYS if not library or library == "scipy" else ():
        found = re.search(pattern, source)
        if found is not None:
            wrong, right = found.expand(instead), found.expand(cure)
            break
    raise _refuse(
        ConversionError(
            f"cannot convert a traced value ({x.type}) to a plain NumPy array",
            place=place,
            why="its elements are known only when the compiled function runs",
            wrong=wrong,
            right=right,
        )
    )


def formatted(x: Handle, spec: str) -> str:
    """``f"{x}"`` shows the type; ``f"{x:.3f}"`` needs digits."""
    if not spec:
        return repr(x)
    value = known(x)
    if value is not None and value.ndim == 0:
        return format(value.item(), spec)
    raise _refuse(
        ConversionError(
            f"a traced value ({x.type}) has no digits to format as {spec!r}",
            place=user_frame(),
            wrong='print(f"{x:.3f}")',
            right=_SHOWN,
        )
    )


def pickled(x: Handle) -> NoReturn:
    """``pickle.dumps(x)``."""
    raise _refuse(
        ConversionError(
            f"a traced value ({x.node.type}) cannot be pickled",
            place=user_frame(),
            why="it means something only inside of the function that is being traced",
            right="pickle the result, outside of the traced function",
        )
    )


#: attributes of other libraries' arrays: what is written with them, and what to write
_HABITS = {
    "backward": ("loss.backward()", "sf.grad(loss)(x)        # of the function"),
    "grad": ("x.grad", "sf.grad(loss)(x)        # of the function"),
    "detach": ("x.detach()", "sf.stop_gradient(x)"),
    "numpy": ("x.numpy()", "the result itself: it is a NumPy array"),
    "unsqueeze": ("x.unsqueeze(0)", "x[None]"),
    "permute": ("x.permute(1, 0)", "x.transpose(1, 0)"),
    "at": ("x.at[0].set(y)", "x[0] = y"),
}


def missing(x: Handle, name: str) -> Any:
    """An attribute that traced arrays do not have."""
    if name in _HABITS:
        wrong, right = _HABITS[name]
        raise MissingAttribute(
            f"'Array' object has no attribute {name!r}",
            place=user_frame(),
            wrong=wrong,
            right=right,
        )
    if name.startswith("_"):
        raise AttributeError(f"'Array' object has no attribute {name!r}")
    if not hasattr(np.ndarray, name):
        near = nearest(name, [n for n in dir(np.ndarray) if n[0] == name[0]])
        raise MissingAttribute(
            f"'Array' object has no attribute {name!r}",
            place=user_frame(),
            right=f"x.{near}" if near else "",
        )
    value = known(x)
    if value is not None:
        return getattr(value, name)
    raise MissingAttribute(
        f"x.{name} of a traced array ({x.type}) cannot be recorded",
        place=user_frame(),
        why="it needs the elements, or the memory that holds them",
        right=f"x.{name} of the result, outside of the traced function",
    )
