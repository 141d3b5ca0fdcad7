"""Writing programs of the loop IR by hand: buffers, kernels, loops and scalar expressions.

    b = Builder("axpy")
    x, y = b.input("x", "f64", 1000), b.inout("y", "f64", 1000)
    with b.kernel("axpy"), b.loop(1000, mode="vector") as i:
        b.store(y, i, 2.0 * b.load(x, i) + b.load(y, i))
    program = b.program()

What a method returns is a ``Value``: a ``Var`` of the IR that also understands Python's operators.
A Python number takes the dtype of the operand beside it. A loop's handle is its index: adding to it
and multiplying it by constants gives an affine ``Index`` without any statement, and using it as an
operand records the arithmetic. Nothing is recursive and every method costs O(1), so the array
compiler writes its programs, of any length, through the same methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Literal, Self

from .expression import Affine, IndexLike, OperandLike, ScalarBuilder, Value, affine, constant
from .ir import (
    BYTES,
    Block,
    Buffer,
    Const,
    Contract,
    Dim,
    If,
    Index,
    Kernel,
    Load,
    Loop,
    Mode,
    Operand,
    Program,
    Role,
    Statement,
    Store,
    Var,
    While,
)

__all__ = ["Affine", "Builder", "ScalarBuilder", "Value", "WhileScope", "constant"]

_LOOP_NAMES = "ijkmnpqrstuvw"
_ALIGNMENT = 64


class _Scope:
    """A block being written: entered with ``with``; discarded when the with body raises."""

    def __init__(self, owner: ScalarBuilder) -> None:
        self.owner = owner
        self._outer: list[Statement] | None = None
        self._yields: tuple[Operand, ...] | None = None

    def __enter__(self) -> Self:
        owner = self.owner
        self._outer = owner._statements
        owner._statements = []
        owner._depth += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        owner, outer = self.owner, self._outer
        assert outer is not None
        statements = owner._statements
        owner._statements = outer
        owner._depth -= 1
        if kind is None:
            self._finish(statements)

    def _finish(self, statements: list[Statement]) -> None:
        raise NotImplementedError

    def _take_yields(self, what: str, expected: Sequence[str] | None) -> tuple[Operand, ...]:
        """The yields given since the last call, checked against the dtypes ``expected``."""
        yields, self._yields = self._yields or (), None
        found = [value.dtype for value in yields]
        if expected is not None and found != list(expected):
            raise TypeError(
                f"{what} must yield ({', '.join(expected)}), got ({', '.join(found)}): "
                "call yield_(...) once, with one value for each carried one"
            )
        return yields

    def _yield(self, values: Sequence[OperandLike], dtypes: Sequence[str]) -> None:
        if self._yields is not None:
            raise TypeError("this block already has its yields")
        padded = (*dtypes, *("f64" for _ in values[len(dtypes) :]))
        self._yields = tuple(
            self.owner.operand(value, dtype) for value, dtype in zip(values, padded, strict=False)
        )


class _Kernel(_Scope):
    def __init__(self, owner: Builder, name: str, note: str) -> None:
        super().__init__(owner)
        self.builder = owner
        self.name = name
        self.note = note

    def _finish(self, statements: list[Statement]) -> None:
        if self.builder._incomplete:
            raise TypeError("an if that yields values has no otherwise block")
        self.builder._kernels.append(Kernel(self.name, Block(tuple(statements)), self.note))


class LoopScope(_Scope, Affine):
    """A loop being written; the handle is the loop's index (see ``Affine``).

    ``params`` are the carried values inside, ``results`` what they are after the last iteration."""

    def __init__(
        self, owner: Builder, extent: int | Operand, mode: Mode, carry: Sequence[Operand], name: str
    ) -> None:
        _Scope.__init__(self, owner)
        self.var = Value(owner, "i64", name)
        Affine.__init__(self, owner, ((self.var, 1),))
        self.extent = extent
        self.mode = mode
        self.inits = tuple(carry)
        self.params = tuple([Value(owner, init.dtype) for init in carry])
        self.results = tuple([Value(owner, init.dtype) for init in carry])

    def yield_(self, *values: OperandLike) -> None:
        """The carried values of the next iteration."""
        self._yield(values, [param.dtype for param in self.params])

    def _finish(self, statements: list[Statement]) -> None:
        yields = self._take_yields("the loop", [param.dtype for param in self.params])
        self.owner._statements.append(
            Loop(
                self.var, self.extent, Block(tuple(statements), yields),
                self.params, self.inits, self.results, self.mode,
            )
        )  # fmt: skip


class WhileScope(_Scope):
    """A while loop being written; see ``Builder.while_``."""

    def __init__(self, owner: ScalarBuilder, carry: Sequence[Operand]) -> None:
        super().__init__(owner)
        self.inits = tuple(carry)
        self.params = tuple([Value(owner, init.dtype) for init in carry])
        self.results = tuple([Value(owner, init.dtype) for init in carry])
        self._condition: Block | None = None

    def condition(self, value: OperandLike) -> None:
        """Go on while ``value`` holds. What was recorded before this call is the condition block:
        it runs once more than the body, and the body does not see its values."""
        if self._condition is not None:
            raise TypeError("this while already has its condition")
        value = self.owner.operand(value, "bool")
        if value.dtype != "bool":
            raise TypeError(f"the condition of a while is a bool, got {value.dtype}")
        self._condition = Block(tuple(self.owner._statements), (value,))
        self.owner._statements = []

    def yield_(self, *values: OperandLike) -> None:
        """The carried values of the next iteration."""
        self._yield(values, [param.dtype for param in self.params])

    def _finish(self, statements: list[Statement]) -> None:
        if self._condition is None:
            raise TypeError("a while needs condition(...) between its condition and its body")
        yields = self._take_yields("the while", [param.dtype for param in self.params])
        self.owner._statements.append(
            While(
                self.params, self.inits, self._condition,
                Block(tuple(statements), yields), self.results,
            )
        )  # fmt: skip


class IfScope(_Scope):
    """The first side of an if being written; ``otherwise`` is the scope of the second."""

    def __init__(self, owner: Builder, condition: Operand) -> None:
        super().__init__(owner)
        self.builder = owner
        self.test = condition
        self.then = Block(())
        self.results: tuple[Value, ...] = ()
        self.otherwise = OtherwiseScope(self)
        self.place: tuple[list[Statement], int] = ([], 0)

    def yield_(self, *values: OperandLike) -> None:
        """The results of the if when its condition holds; the other side yields as many."""
        self._yield(values, ())

    def _finish(self, statements: list[Statement]) -> None:
        owner = self.owner
        self.then = Block(tuple(statements), self._take_yields("the if", None))
        self.results = tuple([Value(owner, value.dtype) for value in self.then.yields])
        if self.results:
            self.builder._incomplete += 1
        self.place = (owner._statements, len(owner._statements))
        owner._statements.append(If(self.test, self.then, Block(()), self.results))


class OtherwiseScope(_Scope):
    """The second side of an if being written."""

    def __init__(self, first: IfScope) -> None:
        super().__init__(first.owner)
        self.first = first

    def yield_(self, *values: OperandLike) -> None:
        """The results of the if when its condition does not hold."""
        self._yield(values, [result.dtype for result in self.first.results])

    def _finish(self, statements: list[Statement]) -> None:
        first = self.first
        yields = self._take_yields("otherwise", [result.dtype for result in first.results])
        block, position = first.place
        if self.owner._statements is not block or len(block) != position + 1:
            raise TypeError("otherwise must follow its if directly, in the same block")
        if first.results:
            first.builder._incomplete -= 1
        otherwise = Block(tuple(statements), yields)
        block[position] = If(first.test, first.then, otherwise, first.results)


class ContractScope(_Scope):
    """The epilogue of a contraction being written.

    ``acc`` is the finished sum; ``indices`` are the indices of the dimensions in their order (those
    of ``k`` left out), usable in the epilogue's loads and stores."""

    def __init__(
        self, owner: Builder, a: Buffer, b: Buffer, dims: Sequence[tuple[str, int, int, int]],
        offsets: tuple[Index, Index], dtype: str,
    ) -> None:  # fmt: skip
        super().__init__(owner)
        self.a, self.b, self.offsets = a, b, offsets
        self.acc = Value(owner, dtype, "acc")
        self.dims = tuple(
            Dim(_role(role), extent, stride_a, stride_b, Value(owner, "i64", role))
            for role, extent, stride_a, stride_b in dims
        )
        self.indices = tuple(Affine(owner, ((dim.var, 1),)) for dim in self.dims if dim.role != "k")

    def _finish(self, statements: list[Statement]) -> None:
        self.owner._statements.append(
            Contract(self.dims, self.a, self.b, *self.offsets, self.acc, Block(tuple(statements)))
        )


def _role(name: str) -> Literal["batch", "m", "n", "k"]:
    if name not in ("batch", "m", "n", "k"):
        raise ValueError(f"a contraction has no {name!r} dimension: batch, m, n or k")
    return name  # type: ignore[return-value]


class Builder(ScalarBuilder):
    """Writes one ``Program``; see the module's example."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._buffers: dict[str, Buffer] = {}
        self._sizes: list[Var] = []
        self._kernels: list[Kernel] = []
        self._incomplete = 0  # ifs that yield and still lack their otherwise
        self._arena = 0

    # buffers

    def input(self, name: str, dtype: str, size: int | Var) -> Buffer:
        """A buffer of ``size`` elements that the program only reads."""
        return self._buffer(name, dtype, size, Role.INPUT)

    def output(self, name: str, dtype: str, size: int | Var) -> Buffer:
        """A buffer that the program writes; uninitialised before."""
        return self._buffer(name, dtype, size, Role.OUTPUT)

    def inout(self, name: str, dtype: str, size: int | Var) -> Buffer:
        """A buffer that the caller gives and the program overwrites."""
        return self._buffer(name, dtype, size, Role.INOUT)

    def temp(self, name: str, dtype: str, size: int, offset: int | None = None) -> Buffer:
        """Scratch memory at byte ``offset`` of the arena (default: behind the temps so far)."""
        if offset is None:
            offset = -(-self._arena // _ALIGNMENT) * _ALIGNMENT
        elif offset % _ALIGNMENT:
            raise ValueError(f"temp {name}: offset {offset} is no multiple of {_ALIGNMENT}")
        self._arena = max(self._arena, offset + size * BYTES[dtype])
        return self._buffer(name, dtype, size, Role.TEMP, offset)

    def const(self, name: str, dtype: str, data: bytes) -> Buffer:
        """A table baked into the program; ``data`` holds its elements in native byte order."""
        size, rest = divmod(len(data), BYTES[dtype])
        if rest:
            raise ValueError(f"const {name}: {len(data)} bytes are no whole number of {dtype}")
        return self._buffer(name, dtype, size, Role.CONST, data=data)

    def has_buffer(self, name: str) -> bool:
        """Whether there is a buffer of that name."""
        return name in self._buffers

    def size(self, name: str) -> Value:
        """A size known only when the program is called: for buffer sizes and loop extents."""
        var = Value(self, "i64", name)
        self._sizes.append(var)
        return var

    def _buffer(
        self, name: str, dtype: str, size: int | Var, role: Role,
        offset: int | None = None, data: bytes | None = None,
    ) -> Buffer:  # fmt: skip
        if name in self._buffers:
            raise ValueError(f"{self.name} already has a buffer named {name}")
        if dtype not in BYTES:
            raise ValueError(f"{dtype!r} is no dtype of the loop IR: {', '.join(BYTES)}")
        buffer = Buffer(name, dtype, size, role, offset, data)
        self._buffers[name] = buffer
        return buffer

    # memory

    def load(self, buffer: Buffer, index: IndexLike) -> Value:
        """Element ``index`` of ``buffer``."""
        if not isinstance(index, Index):
            index = affine(self, index).index
        result = Value(self, buffer.dtype)
        self._statements.append(Load(result, buffer, index))
        return result

    def store(self, buffer: Buffer, index: IndexLike, value: OperandLike) -> None:
        """Write ``value`` to element ``index`` of ``buffer``; TypeError when the dtypes differ."""
        if not isinstance(index, Index):
            index = affine(self, index).index
        if not isinstance(value, (Var, Const)):
            value = self.operand(value, buffer.dtype)
        if value.dtype != buffer.dtype:
            raise TypeError(f"store of {value.dtype} into {buffer.dtype} {buffer.name}: cast first")
        self._statements.append(Store(buffer, index, value))

    # control

    def kernel(self, name: str, note: str = "") -> _Kernel:
        """``with b.kernel("k0"):`` the statements inside are one kernel."""
        if self._depth:
            raise TypeError("a kernel cannot stand inside another statement")
        return _Kernel(self, name, note)

    def loop(
        self, extent: int | OperandLike, mode: Mode = "serial",
        carry: Iterable[OperandLike] = (), name: str = "",
    ) -> LoopScope:  # fmt: skip
        """``with b.loop(n) as i:`` runs the statements inside for i = 0 .. n-1.

        Carried values: ``with b.loop(n, carry=[0.0]) as i:``, then ``total, = i.params``,
        ``i.yield_(total + x)``, and after the loop ``i.results``."""
        if not isinstance(extent, int):
            extent = self.operand(extent, "i64")
        if not name:
            name = _LOOP_NAMES[min(max(self._depth - 1, 0), len(_LOOP_NAMES) - 1)]
        return LoopScope(self, extent, mode, self._carried(carry), name)

    def while_(self, carry: Iterable[OperandLike]) -> WhileScope:
        """A loop without a known extent.

        with b.while_([x]) as loop:
            y, = loop.params
            loop.condition(y > 1.0)
            loop.yield_(y * 0.5)
        y, = loop.results
        """
        return WhileScope(self, self._carried(carry))

    def if_(self, condition: OperandLike) -> IfScope:
        """Run one block or another: ``with b.if_(c) as branch:``, then ``with branch.otherwise:``.

        Both sides may ``yield_`` values; afterwards they are ``branch.results``."""
        condition = self.operand(condition, "bool")
        if condition.dtype != "bool":
            raise TypeError(f"the condition of an if is a bool, got {condition.dtype}")
        return IfScope(self, condition)

    def contract(
        self, a: Buffer, b: Buffer, dims: Sequence[tuple[str, int, int, int]],
        offset_a: IndexLike = 0, offset_b: IndexLike = 0, dtype: str = "",
    ) -> ContractScope:  # fmt: skip
        """``acc[batch, m, n] = sum over k of a * b``; the statements inside are its epilogue.

        ``dims`` are (role, extent, stride in a, stride in b); ``dtype`` is the accumulator's
        (default: a's). A 3 by 4 product of row-major (3, 5) and (5, 4):

            with b.contract(x, y, [("m", 3, 5, 0), ("n", 4, 0, 1), ("k", 5, 1, 4)]) as product:
                m, n = product.indices
                b.store(z, m * 4 + n, product.acc)
        """
        offsets = (affine(self, offset_a).index, affine(self, offset_b).index)
        return ContractScope(self, a, b, dims, offsets, dtype or a.dtype)

    def emit(self, statement: Statement) -> None:
        """Append a finished statement to the current block."""
        self._statements.append(statement)

    def program(self) -> Program:
        """The program written so far. TypeError inside a kernel."""
        if self._depth:
            raise TypeError("the program has open blocks: call program() after the with statements")
        if self._statements:
            raise TypeError("statements outside a kernel: write them inside `with b.kernel(name):`")
        return Program(
            self.name, tuple(self._buffers.values()), tuple(self._kernels),
            tuple(self._sizes), self._arena,
        )  # fmt: skip

    def _carried(self, carry: Iterable[OperandLike]) -> list[Operand]:
        return [self.operand(value, _dtype_of_number(value)) for value in carry]


def _dtype_of_number(value: OperandLike) -> str:
    if isinstance(value, bool):
        return "bool"
    return "i64" if isinstance(value, int) else "f64"
