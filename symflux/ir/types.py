"""Types of graph values: a shape with a dtype, or a tuple of those."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from ..records import record

__all__ = [
    "DTYPES", "ArrayType", "TupleType", "Type", "broadcast_shapes", "dtype_of", "is_floating",
    "is_integer", "numpy_dtype", "promote",
]  # fmt: skip

_NAMES = {
    "bool": "bool", "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64", "u8": "uint8",
    "u16": "uint16", "u32": "uint32", "u64": "uint64", "f16": "float16", "f32": "float32",
    "f64": "float64",
}  # fmt: skip
#: Short dtype names, as printed in graphs.
DTYPES: tuple[str, ...] = tuple(_NAMES)
_NUMPY = {short: np.dtype(name) for short, name in _NAMES.items()}
_SHORT = {dtype: short for short, dtype in _NUMPY.items()}


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """The NumPy dtype of a short name: ``"f32"`` -> ``float32``."""
    return _NUMPY[dtype]


def dtype_of(dtype: Any) -> str:
    """The short name of anything NumPy takes for a dtype: ``"float64"``, ``np.float32``, ``int``
    ...

    A string means what it means to NumPy, which counts bytes: ``"i8"`` is int64. The short names
    of graphs, which count bits, are for the compiler alone: there ``"i8"`` is int8.

    Raises:
        TypeError: for dtypes that graphs do not hold (complex, object, strings, dates), and for
            what is no dtype to NumPy.
    """
    try:
        found = np.dtype(dtype).newbyteorder("=")
    except TypeError:
        if isinstance(dtype, str) and dtype in _NUMPY:
            name = _NUMPY[dtype].name
            raise TypeError(f"dtype {dtype!r} is not NumPy's name: write {name!r}") from None
        raise
    short = _SHORT.get(found)
    if short is None:
        # long long and friends: another type number, the same bits
        short = next((s for s, d in _NUMPY.items() if d == found), None)
    if short is None:
        raise TypeError(
            f"dtype {found} is not supported; use bool, int8 to int64, uint8 to uint64 or "
            "float16 to float64"
        )
    return short


def is_floating(dtype: str) -> bool:
    return dtype[0] == "f"


def is_integer(dtype: str) -> bool:
    return dtype[0] in "iu"


def promote(*dtypes: str) -> str:
    """The dtype that NumPy 2 (NEP 50) gives for arrays of these dtypes."""
    if len(set(dtypes)) == 1:
        return dtypes[0]
    return dtype_of(np.result_type(*(_NUMPY[d] for d in dtypes)))


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The broadcast of shapes by NumPy's rules.

    Raises:
        ValueError: if they do not broadcast.
    """
    result = shapes[0]
    for shape in shapes[1:]:
        if shape != result and shape:
            result = _broadcast_pair(result, shape) if result else shape
    return result


def _broadcast_pair(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    rank = max(len(a), len(b))
    extents = zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True)
    out = []
    for m, n in extents:
        if m != n and m != 1 and n != 1:
            raise ValueError(f"shapes {a} and {b} do not broadcast")
        out.append(n if m == 1 else m)
    return tuple(out)


@record(frozen=True, slots=True)
class ArrayType:
    """A dense array: ``shape`` (empty for a scalar) and short ``dtype``."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def floating(self) -> bool:
        return self.dtype[0] == "f"

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]" if self.shape else self.dtype


@record(frozen=True, slots=True)
class TupleType:
    """The results of an op with several outputs (regions); ``item`` nodes pick one."""

    items: tuple[ArrayType, ...]

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.items))})"


Type: TypeAlias = ArrayType | TupleType
