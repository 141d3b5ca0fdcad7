"""NumPy's functions for traced and plain arrays: the same names, signatures and meaning.

Inside a traced function, functions of this namespace record nodes, also for plain arrays (which
become inputs of the graph, by reference) and for those that make arrays (``zeros``, ``arange``).
Outside, given plain arrays and numbers, they compute what NumPy computes. Besides NumPy's own there
are ``sigmoid``, ``relu``, ``softplus``, ``softmax``, ``log_softmax``, ``logsumexp``, ``erf``,
``erfc``, ``lgamma`` and ``rsqrt``.

Plain NumPy functions work on traced arrays just as well (``numpy.sin(x)``): both read one table,
``trace/dispatch.py``. A name that graphs do not record, such as ``unique``, is NumPy's own here.

>>> import symflux.numpy as snp
>>> snp.sin(0.0), snp.relu([-1.0, 2.0])
(np.float64(0.0), array([0., 2.]))
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as _np

from ..boundary import missing_name as _missing_name
from ..frames import shorten as _shorten
from ..trace import dispatch as _dispatch
from .namespace import namespace as _namespace

globals().update(_namespace())
__all__ = sorted(_namespace())
_dispatch.NAMESPACE[0] = sys.modules[__name__]


def __getattr__(name: str) -> Any:
    """Names that are not recorded: NumPy's own, which report their use on traced arrays."""
    if not name.startswith("_") and hasattr(_np, name):
        return getattr(_np, name)
    try:
        raise _missing_name("symflux.numpy", name, {*__all__, *dir(_np)})
    except AttributeError as error:
        _shorten(error)
        raise


def __dir__() -> list[str]:
    return __all__
