"""The interpreter of the loop IR: slow, obviously right, the oracle of the native code.

Every scalar is a NumPy scalar of its dtype and every Let calls its row of ``scalars.SCALARS``, so
values round and wrap as NumPy's do. Every load and store is checked against the buffer's bounds and
against reading what was never written: an element of an OUTPUT must have been stored before, an
element of a TEMP must still hold what was last stored through that same TEMP (temps share bytes).
In ``vector`` and ``parallel`` loops and in epilogues it is also an error when one iteration touches
an element that another one stores.

Two meanings are fixed more sharply than by a NumPy expression. ``fma`` rounds once. A ``Contract``
sums its products in extended precision before rounding to the accumulator's dtype: the order of
that sum is the target's, so the oracle takes the value that every order approximates.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .ir import (
    Block,
    Buffer,
    Const,
    Contract,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Operand,
    Program,
    Role,
    Statement,
    Store,
    Var,
    While,
)
from .scalars import FLOATS, SCALARS, numpy_dtype
from .text import statement_text

if TYPE_CHECKING:
    from fractions import Fraction

__all__ = ["InterpreterError", "evaluate", "poison", "run"]

_POISON = 0xA5


class InterpreterError(RuntimeError):
    """A program did what the loop IR forbids while it ran: names kernel, statement and reason."""


def run(
    program: Program,
    arrays: Mapping[str, np.ndarray[Any, Any]],
    sizes: Sequence[int] = (),
    *,
    partial: bool = False,
) -> None:
    """Run ``program`` on ``arrays``, writing its OUTPUT and INOUT buffers in place.

    ``arrays`` holds for every INPUT, OUTPUT and INOUT buffer, by name, a contiguous one-dimensional
    array of the buffer's dtype and size; ``sizes`` are the values of ``program.sizes``. Memory that
    the program has to write first is poisoned: floats are signalling nans, integers unlikely.
    Raises ValueError for arguments that do not fit, InterpreterError for an access out of bounds, a
    read of an element that was never written, or an element of an OUTPUT that never is; with
    ``partial`` such elements keep what they held.

    >>> from .text import parse_program
    >>> program = parse_program('''
    ... program double {
    ...   buffer x : f64[3] inout
    ...   kernel k {
    ...     loop i < 3 {
    ...       %0 = load x[i]      : f64
    ...       %1 = mul %0, 2.0    : f64
    ...       store x[i], %1
    ...     }
    ...   }
    ... }''')
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> run(program, {"x": x})
    >>> x.tolist()
    [2.0, 4.0, 6.0]
    """
    if len(sizes) != len(program.sizes):
        raise ValueError(
            f"program {program.name} takes {len(program.sizes)} sizes, got {len(sizes)}"
        )
    env = {var: np.int64(size) for var, size in zip(program.sizes, sizes, strict=True)}
    memory = _Memory(program, arrays, env)
    if not partial:
        memory.poison_outputs()
    with np.errstate(all="ignore"):
        for kernel in program.kernels:
            _Machine(program, kernel, memory, dict(env)).block(kernel.body)
    if not partial:
        memory.check_whole()


def poison(array: np.ndarray[Any, Any]) -> None:
    """Fill an array with signalling nans, or other numbers that nobody expects; bools are True.

    >>> array = np.zeros(2, np.float32)
    >>> poison(array)
    >>> array.view(np.uint32)[0] == 0x7FA5A5A5, bool(np.isnan(array[1]))
    (np.True_, True)
    """
    width = array.dtype.itemsize
    pattern = np.full(width, _POISON, np.uint8)
    if array.dtype.kind == "f":  # its exponent all ones, the bit that makes a nan quiet not set
        top = {2: (0x7D,), 4: (0xA5, 0x7F), 8: (0xA5, 0xF4, 0x7F)}[width]
        pattern[width - len(top) :] = top
    elif array.dtype.kind == "b":
        pattern[:] = 1
    array.view(np.uint8).reshape(-1, width)[:] = pattern


def evaluate(op: str, args: Sequence[Any], dtype: str) -> Any:
    """``op`` of NumPy scalars as a NumPy scalar of ``dtype``, silent on overflow and invalid.

    >>> evaluate("add", (np.int8(127), np.int8(1)), "i8")
    np.int8(-128)
    """
    with np.errstate(all="ignore"):
        return _evaluate(op, args, dtype)


def scalar(value: bool | int | float, dtype: str) -> Any:
    """A literal as a NumPy scalar."""
    return numpy_dtype(dtype).type(value)


def _evaluate(op: str, args: Sequence[Any], dtype: str) -> Any:
    special = _SPECIAL.get(op)
    if special is not None:
        return special(args, dtype)
    result = SCALARS[op].meaning(*args)
    return numpy_dtype(dtype).type(result)


def _select(args: Sequence[Any], dtype: str) -> Any:
    return args[1] if args[0] else args[2]


def _cast(args: Sequence[Any], dtype: str) -> Any:
    return np.asarray(args[0]).astype(numpy_dtype(dtype))[()]


def _bitcast(args: Sequence[Any], dtype: str) -> Any:
    return np.asarray(args[0]).view(numpy_dtype(dtype))[()]


def _fma(args: Sequence[Any], dtype: str) -> Any:
    """``a * b + c`` rounded once, by exact rational arithmetic."""
    a, b, c = args
    if not all(math.isfinite(x) for x in args):
        return a * b + c
    from fractions import Fraction  # brings decimal with it: loaded when an fma is interpreted

    product = Fraction(float(a)) * Fraction(float(b))
    exact = product + Fraction(float(c))
    if exact == 0:
        # IEEE 754 gives a zero that cancels out the sign +, and 0 * b + 0 the sign of that sum.
        zero = math.copysign(0.0, a) * math.copysign(1.0, b) + float(c) if product == 0 else 0.0
        return numpy_dtype(dtype).type(zero)
    return _rounded(exact, dtype)


def _rounded(exact: Fraction, dtype: str) -> Any:
    """The float of ``dtype`` nearest to a nonzero rational, ties to even."""
    digits, lowest, highest = {"f16": (11, -24, 15), "f32": (24, -149, 127)}.get(
        dtype, (53, -1074, 1023)
    )
    rational = type(exact)
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if rational(2) ** exponent > size:
        exponent -= 1
    unit = rational(2) ** max(exponent - digits + 1, lowest)
    rounded = round(size / unit) * unit  # Python rounds a Fraction's ties to even
    nearest = math.inf if rounded >= rational(2) ** (highest + 1) else float(rounded)
    return numpy_dtype(dtype).type(-nearest if exact < 0 else nearest)


_SPECIAL: dict[str, Callable[[Sequence[Any], str], Any]] = {
    "select": _select,
    "cast": _cast,
    "bitcast": _bitcast,
    "fma": _fma,
}


# -- memory ---------------------------------------------------------------------------------------


class _Memory:
    """The buffers of one run: their elements and which of them hold a value."""

    def __init__(
        self,
        program: Program,
        arrays: Mapping[str, np.ndarray[Any, Any]],
        sizes: Mapping[Var, Any],
    ) -> None:
        self.elements: dict[Buffer, np.ndarray[Any, Any]] = {}
        self.written: dict[Buffer, np.ndarray[Any, Any] | None] = {}
        self.owner = np.full(program.arena, -1, np.int32)  # per byte: the temp that last wrote it
        self.number: dict[Buffer, int] = {}
        arena = np.full(program.arena, _POISON, np.uint8)
        given = {b.name for b in program.arguments()}
        if set(arrays) != given:
            raise ValueError(
                f"program {program.name} takes buffers {sorted(given)}, got {sorted(arrays)}"
            )
        for number, buffer in enumerate(program.buffers):
            dtype = numpy_dtype(buffer.dtype)
            size = buffer.size if isinstance(buffer.size, int) else int(sizes[buffer.size])
            self.number[buffer] = number
            self.written[buffer] = None
            if buffer.role is Role.TEMP:
                start = buffer.offset or 0
                memory = arena[start : start + size * dtype.itemsize]
                if len(memory) != size * dtype.itemsize:
                    raise ValueError(f"temp {buffer.name} does not fit the arena")
                self.elements[buffer] = memory.view(dtype)
                poison(self.elements[buffer])
            elif buffer.role is Role.CONST:
                self.elements[buffer] = np.frombuffer(buffer.data or b"", dtype)
            else:
                array = arrays[buffer.name]
                if array.dtype != dtype or array.shape != (size,) or not array.flags.c_contiguous:
                    raise ValueError(
                        f"buffer {buffer.name} is {dtype.name}[{size}], got an array of"
                        f" {array.dtype.name} with shape {array.shape}"
                    )
                self.elements[buffer] = array
                if buffer.role is Role.OUTPUT:
                    self.written[buffer] = np.zeros(size, bool)

    def why_unreadable(self, buffer: Buffer, at: int) -> str:
        """Why element ``at`` may not be read; empty when it may."""
        size = len(self.elements[buffer])
        if not 0 <= at < size:
            return f"element {at} of {buffer.name}[{size}] is out of bounds"
        written = self.written[buffer]
        if written is not None and not written[at]:
            return f"element {at} of {buffer.name} is read before it is written"
        if buffer.role is Role.TEMP and (self._owners(buffer, at) != self.number[buffer]).any():
            return f"element {at} of temp {buffer.name} is not what was last written to its bytes"
        return ""

    def poison_outputs(self) -> None:
        for buffer, written in self.written.items():
            if written is not None:
                poison(self.elements[buffer])

    def check_whole(self) -> None:
        """Every element of every output was written."""
        for buffer, written in self.written.items():
            if written is not None and not written.all():
                at = int(np.argmin(written))
                raise InterpreterError(f"element {at} of output {buffer.name} is never written")

    def why_unwritable(self, buffer: Buffer, at: int) -> str:
        """Why element ``at`` may not be written; empty when it may."""
        if buffer.role in (Role.INPUT, Role.CONST):
            return f"{buffer.name} is {buffer.role.value} and read-only"
        size = len(self.elements[buffer])
        return "" if 0 <= at < size else f"element {at} of {buffer.name}[{size}] is out of bounds"

    def write(self, buffer: Buffer, at: int, value: Any) -> None:
        self.elements[buffer][at] = value
        written = self.written[buffer]
        if written is not None:
            written[at] = True
        if buffer.role is Role.TEMP:
            self._owners(buffer, at)[:] = self.number[buffer]

    def _owners(self, buffer: Buffer, at: int) -> np.ndarray[Any, Any]:
        width = self.elements[buffer].itemsize
        start = (buffer.offset or 0) + at * width
        return self.owner[start : start + width]


# -- statements -----------------------------------------------------------------------------------


class _Iterations:
    """The elements that iterations promised to be independent have touched."""

    _SEVERAL = -1

    def __init__(self) -> None:
        self.current = 0
        self.stored: dict[tuple[Buffer, int], int] = {}  # element -> iteration
        self.loaded: dict[tuple[Buffer, int], int] = {}

    def load(self, buffer: Buffer, at: int) -> str:
        """Note a load; what is wrong with it, if anything is."""
        element = buffer, at
        if self.stored.get(element, self.current) != self.current:
            return f"element {at} of {buffer.name} was stored by another iteration"
        if self.loaded.setdefault(element, self.current) != self.current:
            self.loaded[element] = self._SEVERAL
        return ""

    def store(self, buffer: Buffer, at: int) -> str:
        """Note a store; what is wrong with it, if anything is."""
        element = buffer, at
        for touched, how in ((self.stored, "stored"), (self.loaded, "loaded")):
            if touched.get(element, self.current) != self.current:
                return f"element {at} of {buffer.name} was {how} by another iteration"
        self.stored[element] = self.current
        return ""


class _Machine:
    """One kernel being run; ``env`` holds the values of its Vars."""

    def __init__(
        self, program: Program, kernel: Kernel, memory: _Memory, env: dict[Var, Any]
    ) -> None:
        self.program = program
        self.kernel = kernel
        self.memory = memory
        self.env = env
        self.independent: list[_Iterations] = []  # of the loops around that promise it

    def value(self, operand: Operand) -> Any:
        if isinstance(operand, Const):
            return scalar(operand.value, operand.dtype)
        return self.env[operand]

    def values(self, operands: Sequence[Operand]) -> list[Any]:
        return [self.value(operand) for operand in operands]

    def index(self, index: Index) -> int:
        return index.offset + sum(c * int(self.env[var]) for var, c in index.terms)

    def bind(self, variables: Sequence[Var], values: Sequence[Any]) -> None:
        self.env.update(zip(variables, values, strict=True))

    def fail(self, statement: Statement, reason: str) -> None:
        line = statement_text(statement, self.kernel, self.program.sizes)
        raise InterpreterError(f"kernel {self.kernel.name}: {line}\n  {reason}")

    def load(self, statement: Statement, buffer: Buffer, at: int) -> Any:
        reasons = [self.memory.why_unreadable(buffer, at)]
        reasons += [iterations.load(buffer, at) for iterations in self.independent]
        if reason := next(filter(None, reasons), ""):
            self.fail(statement, reason)
        return self.memory.elements[buffer][at]

    def block(self, block: Block) -> list[Any]:
        """Run the statements; the values of the yields."""
        for statement in block.statements:
            self.statement(statement)
        return self.values(block.yields)

    def statement(self, statement: Statement) -> None:
        match statement:
            case Let(result, op, args):
                self.env[result] = _evaluate(op, self.values(args), result.dtype)
            case Load(result, buffer, index):
                self.env[result] = self.load(statement, buffer, self.index(index))
            case Store(buffer, index, value):
                at = self.index(index)
                reasons = [self.memory.why_unwritable(buffer, at)]
                reasons += [iterations.store(buffer, at) for iterations in self.independent]
                if reason := next(filter(None, reasons), ""):
                    self.fail(statement, reason)
                self.memory.write(buffer, at, self.value(value))
            case Loop():
                self.loop(statement)
            case If():
                taken = self.value(statement.condition)
                values = self.block(statement.then if taken else statement.otherwise)
                self.bind(statement.results, values)
            case While():
                self.bind(statement.params, self.values(statement.inits))
                while self.block(statement.condition)[0]:
                    self.bind(statement.params, self.block(statement.body))
                self.bind(statement.results, self.values(statement.params))
            case Contract():
                self.contract(statement)

    def loop(self, loop: Loop) -> None:
        carried = self.values(loop.inits)
        extent = loop.extent if isinstance(loop.extent, int) else int(self.value(loop.extent))
        iterations = _Iterations()
        if loop.mode in ("vector", "parallel"):
            self.independent.append(iterations)
        for i in range(extent):
            iterations.current = i
            self.bind(loop.params, carried)
            self.env[loop.var] = np.int64(i)
            carried = self.block(loop.body)
        if loop.mode in ("vector", "parallel"):
            self.independent.pop()
        self.bind(loop.results, carried)

    def contract(self, contract: Contract) -> None:
        """Element by element: the whole sum over ``k``, then the epilogue."""
        outer = [d for d in contract.dims if d.role != "k"]
        inner = [d for d in contract.dims if d.role == "k"]
        start_a, start_b = self.index(contract.offset_a), self.index(contract.offset_b)
        elements = _Iterations()
        for number, element in enumerate(itertools.product(*[range(d.extent) for d in outer])):
            factors: list[tuple[Any, Any]] = []
            for term in itertools.product(*[range(d.extent) for d in inner]):
                places = [*zip(outer, element, strict=True), *zip(inner, term, strict=True)]
                at_a = start_a + sum(d.stride_a * i for d, i in places)
                at_b = start_b + sum(d.stride_b * i for d, i in places)
                a = self.load(contract, contract.a, at_a)
                factors.append((a, self.load(contract, contract.b, at_b)))
            self.env[contract.acc] = _sum_of_products(factors, contract.acc.dtype)
            self.bind([d.var for d in outer], [np.int64(i) for i in element])
            elements.current = number
            self.independent.append(elements)
            self.block(contract.epilogue)
            self.independent.pop()


def _sum_of_products(factors: Sequence[tuple[Any, Any]], dtype: str) -> Any:
    kind: Any = np.longdouble if dtype in FLOATS else numpy_dtype(dtype).type
    if dtype == "bool":
        raise ValueError("a contraction sums numbers, not bools")
    total = kind(0)
    for a, b in factors:
        total = total + kind(a) * kind(b)
    return numpy_dtype(dtype).type(total)
