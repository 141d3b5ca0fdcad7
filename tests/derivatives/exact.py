"""Derivatives of NumPy code to 100 digits: differences of a function on arrays of big numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

__all__ = ["derivatives"]

DIGITS = 700  # of exp(1000), what is 1e-200 beside it counts
STEP = "1e-120"


class Big:
    """A number of mpmath with the methods that NumPy looks for in arrays of objects."""

    def __init__(self, value: Any) -> None:
        self.value = mpmath.mpf(value)

    def _with(self, other: Any, operate: Callable[[Any, Any], Any], turned: bool = False) -> Big:
        x, y = self.value, other.value if isinstance(other, Big) else mpmath.mpf(float(other))
        return Big(operate(y, x) if turned else operate(x, y))

    def __add__(self, y: Any) -> Big:
        return self._with(y, lambda a, b: a + b)

    def __sub__(self, y: Any) -> Big:
        return self._with(y, lambda a, b: a - b)

    def __rsub__(self, y: Any) -> Big:
        return self._with(y, lambda a, b: a - b, True)

    def __mul__(self, y: Any) -> Big:
        return self._with(y, lambda a, b: a * b)

    def __truediv__(self, y: Any) -> Big:
        return self._with(y, lambda a, b: a / b)

    def __rtruediv__(self, y: Any) -> Big:
        return self._with(y, lambda a, b: a / b, True)

    def __pow__(self, y: Any) -> Big:
        return self._with(y, lambda a, b: a**b)

    def __neg__(self) -> Big:
        return Big(-self.value)

    def __abs__(self) -> Big:
        return Big(abs(self.value))

    def __rpow__(self, y: Any) -> Big:
        return self._with(y, lambda a, b: a**b, True)

    def __lt__(self, y: Any) -> bool:
        return bool(self.value < (y.value if isinstance(y, Big) else y))

    def __gt__(self, y: Any) -> bool:
        return bool(self.value > (y.value if isinstance(y, Big) else y))

    __radd__, __rmul__ = __add__, __mul__


for _name in (
    *("exp", "expm1", "log", "log1p", "log10", "sqrt", "erf", "erfc", "sinh", "cosh", "tanh"),
    *("sin", "cos"),
):
    _function = getattr(mpmath, _name)
    setattr(Big, _name, lambda self, f=_function: Big(f(self.value)))


def derivatives(
    function: Callable[[Any], Any], x: np.ndarray[Any, Any], digits: int = DIGITS
) -> tuple[float, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The value, gradient and Hessian of ``function``, NumPy code from a vector to a number."""
    n = x.size

    def at(*moves: tuple[int, int]) -> Any:
        point = np.array([Big(v) for v in x], object)
        for place, sign in moves:
            point[place] = point[place] + Big(sign * mpmath.mpf(STEP))
        return function(point).value

    with mpmath.workdps(digits):
        step = mpmath.mpf(STEP)
        value = at()
        sides = [(at((i, 1)), at((i, -1))) for i in range(n)]
        gradient = [(up - down) / (2 * step) for up, down in sides]
        hessian = np.zeros((n, n))
        for i, (up, down) in enumerate(sides):
            hessian[i, i] = (up - 2 * value + down) / step**2
            for j in range(i):
                corners = at((i, 1), (j, 1)) - at((i, 1), (j, -1)) - at((i, -1), (j, 1))
                hessian[i, j] = (corners + at((i, -1), (j, -1))) / (4 * step**2)
                hessian[j, i] = hessian[i, j]
        return float(value), np.array(gradient, float), hessian
