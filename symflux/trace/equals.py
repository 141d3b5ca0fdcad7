"""What to write for functions of Python's ``math`` and of SciPy: tables of mathematical equals."""

from __future__ import annotations

import io
import re
import sys
import tokenize
import types
from typing import Any

__all__ = ["MATH", "SCIPY", "code_of", "library_call", "math_call", "public_home"]

_STATIC = "sf.compile(f, static_argnames='n')"

#: function of ``math`` -> its equal for traced values; the others have NumPy's name, or none
MATH = {
    "acos": "np.arccos(x)", "acosh": "np.arccosh(x)", "asin": "np.arcsin(x)",
    "asinh": "np.arcsinh(x)", "atan": "np.arctan(x)", "atanh": "np.arctanh(x)",
    "atan2": "np.arctan2(y, x)", "pow": "np.power(x, y)", "fabs": "np.abs(x)", "fsum": "np.sum(x)",
    "prod": "np.prod(x)", "sumprod": "np.dot(x, y)", "dist": "np.linalg.norm(x - y)",
    "erf": "symflux.numpy.erf(x)", "erfc": "symflux.numpy.erfc(x)",
    "lgamma": "symflux.numpy.lgamma(x)", "gamma": "np.exp(symflux.numpy.lgamma(x))     # for x > 0",
    "cbrt": "np.sign(x) * np.abs(x) ** (1 / 3)", "remainder": "x - y * np.round(x / y)",
    "ldexp": "x * 2.0**i", "fma": "x * y + z",
    **{name: f"np.{name}(x)" for name in (
        "sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "exp2", "expm1", "log", "log2", "log10",
        "log1p", "sqrt", "floor", "ceil", "trunc", "degrees", "radians", "isnan", "isinf",
        "isfinite",
    )},
    **{name: f"np.{name}(x, y)" for name in ("hypot", "fmod", "copysign", "isclose")},
    **dict.fromkeys(("factorial", "comb", "perm", "gcd", "lcm", "isqrt"), _STATIC),
}  # fmt: skip

#: function of ``scipy.special`` that is not recorded -> its equal
SCIPY = {
    "ndtr": "0.5 * symflux.numpy.erfc(-x / np.sqrt(2))",
    "xlogy": "np.where(x == 0, 0.0, x * np.log(np.where(x == 0, 1.0, y)))",
    "xlog1py": "np.where(x == 0, 0.0, x * np.log1p(np.where(x == 0, 0.0, y)))",
    "entr": "-x * np.log(x)                # for x > 0; 0 at 0",
    "rel_entr": "x * np.log(x / y)             # for x, y > 0",
    "kl_div": "x * np.log(x / y) - x + y     # for x, y > 0",
    "logit": "np.log(x) - np.log1p(-x)",
    "log_expit": "-symflux.numpy.softplus(-x)",
    "exp10": "10.0**x",
    "exprel": "np.expm1(x) / x               # for x != 0; 1 at 0",
    "cbrt": "np.sign(x) * np.abs(x) ** (1 / 3)",
    "gamma": "np.exp(symflux.numpy.lgamma(x))     # for x > 0",
    "betaln": "symflux.numpy.lgamma(a) + symflux.numpy.lgamma(b) - symflux.numpy.lgamma(a + b)",
    "beta": "np.exp(symflux.numpy.lgamma(a) + symflux.numpy.lgamma(b) "
    "- symflux.numpy.lgamma(a + b))     # for a, b > 0",
    "sindg": "np.sin(np.deg2rad(x))",
    "cosdg": "np.cos(np.deg2rad(x))",
    "huber": "np.where(np.abs(r) <= delta, r**2 / 2, delta * (np.abs(r) - delta / 2))",
    "pseudo_huber": "delta**2 * (np.sqrt(1 + (r / delta) ** 2) - 1)",
}


def code_of(source: str) -> str:
    """A line of code without comments and without what stands in its texts.

    >>> code_of('if x > "a < b":  # x < 3')
    'if x > "":'
    """
    kept = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                kept.append((token.start, token.end, ""))
            elif token.type == tokenize.STRING:
                kept.append((token.start, token.end, '""'))
    except (tokenize.TokenError, IndentationError, SyntaxError):
        pass  # a line of a longer statement: what came until then counts
    for (row, start), (end_row, end), text in reversed(kept):
        if row == end_row == 1:
            source = source[:start] + text + source[end:]
    return source.rstrip()


def math_call(source: str) -> tuple[str, str] | None:
    """The function of ``math`` that a line calls, and its equal; None where there is none."""
    found = re.search(r"\bmath\.(\w+)\(", code_of(source))
    if found is None:
        return None
    return found[1], MATH.get(found[1], "")


def public_home(function: Any) -> str:
    """The module that a user has a ufunc from: ``np``, ``scipy.special``; empty if unknown."""
    name = getattr(function, "__name__", "")
    for module, shown in (("numpy", "np"), ("scipy.special", "scipy.special")):
        if getattr(sys.modules.get(module), name, None) is function:
            return shown
    return ""


def library_call() -> str:
    """The function of a library that the user's line called, and that asks for elements:
    ``scipy.linalg.expm``; ``pandas`` alone for methods of its objects; empty if there is none."""
    frame: types.FrameType | None = sys._getframe(1)
    found: types.FrameType | None = None
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        top = module.partition(".")[0]
        if top in ("scipy", "pandas", "xarray", "polars", "sklearn"):
            found = frame
        elif found is not None and top not in ("numpy", "symflux"):
            break
        frame = frame.f_back
    if found is None:
        return ""
    code = found.f_code
    parts = str(found.f_globals["__name__"]).split(".")
    public = [p for p in parts if not p.startswith("_")]
    if parts[0] != "scipy" or code.co_varnames[:1] == ("self",):
        return parts[0]
    home = ".".join(public)
    while "." in home and not hasattr(sys.modules.get(home), code.co_name):
        home = home.rpartition(".")[0]
    return f"{home}.{code.co_name}" if "." in home else parts[0]
