"""The expression graph: typed, immutable, interned nodes, and walks over them."""

from .graph import Graph
from .node import Node, constant, symbol
from .op import Kind, Op, lookup
from .types import ArrayType, TupleType, dtype_of, numpy_dtype

__all__ = [
    "ArrayType", "Graph", "Kind", "Node", "Op", "TupleType", "constant", "dtype_of", "lookup",
    "numpy_dtype", "symbol",
]  # fmt: skip
