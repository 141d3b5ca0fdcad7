"""The rules of the loop IR, checked.

Names and buffers
  - Buffers have unique names, a known dtype, and a size that is a number >= 0 or one of the sizes.
  - A TEMP has an offset that is a multiple of 64 and lies inside the arena with all its elements;
    two temps that share bytes are not used in one kernel, nor one between two uses of the other.
  - A CONST has data of exactly its size. Other buffers have neither offset nor data.
Values
  - A Var is assigned once in the whole program; its definition comes before its uses, in the
    same or an enclosing block. Sizes are i64; nothing else is visible in two kernels.
  - A Let's op is a row of ``scalars.SCALARS``; its argument and result dtypes follow the row;
    only add, mul, minimum, maximum, and, or may be reassociate. A literal fits its dtype.
Blocks
  - A block yields as many values, of the same dtypes, as its owner takes: a loop's body its params,
    both sides of an if its results, the condition of a while one bool. Kernels and epilogues yield
    nothing. Params, inits and results of a loop agree in number and dtype.
  - Loop variables and extents are i64; a constant extent is >= 0. An if's condition is bool.
Memory
  - Loads and stores name buffers of the program and agree with their dtype; stores go to OUTPUT,
    INOUT and TEMP only; a load from an OUTPUT or TEMP stands after some store to it.
  - Index terms are i64. An index that is affine in loop variables of constant extent stays inside
    the buffer; one that is computed is checked when it is clamped, and otherwise only reported when
    no value could be right. Under an if or while only the latter counts (it may guard the access).
  - With ``prove``: every access is proven to be in bounds, every element of a TEMP or OUTPUT to be
    stored before it is loaded, every OUTPUT to be stored whole (``proof.py`` says by what means).
Independence
  - A ``vector`` or ``parallel`` loop combines each carried value by reassociate Lets of one
    operation and uses it for nothing else; its iterations, where decidable, touch no element that
    another stores. The same holds for the elements of a contraction's epilogue.
Contractions
  - Dimensions have stride 0 in an operand that lacks them; variables are distinct i64 Vars.
    Both operands are read in bounds, are numbers of one kind (float, signed, unsigned) and no wider
    than ``acc``, which is of that kind; the epilogue stores to neither and holds no contraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ..records import field, record
from .independence import COMBINING, Conflict, misused_carry, shared_element
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
from .proof import sharing, unproven
from .ranges import LIMITS, Range, default_range, index_range, let_range, loop_range
from .scalars import FLOATS, INTS, SCALARS, SIGNED, result_dtype
from .text import statement_text

__all__ = ["VerifyError", "verify"]

_ALIGNMENT = 64
_WRITABLE = frozenset({Role.OUTPUT, Role.INOUT, Role.TEMP})
_UNINITIALISED = frozenset({Role.OUTPUT, Role.TEMP})
_INDEPENDENT = frozenset({"vector", "parallel"})
_MODES = frozenset({"serial", "vector", "parallel", "unroll"})
_NO_SIDE = {"batch": "", "m": "b", "n": "a", "k": ""}


class VerifyError(Exception):
    """A program breaks a rule of the loop IR. ``rule`` says which; the message also where."""

    def __init__(self, rule: str, kernel: str = "", statement: str = "") -> None:
        self.rule = rule
        self.kernel = kernel
        self.statement = statement
        where = f"kernel {kernel}: {statement}\n  " if kernel else ""
        super().__init__(f"{where}{rule}")


def verify(program: Program, *, prove: bool = False) -> Program:
    """Check every rule above; the program itself when it keeps them all.

    ``prove`` asks for more than that nothing wrong is seen: for proofs about memory. Programs that
    were lowered from graphs have them, one written by hand may be right without.

    Takes time linear in the number of statements (times the depth of vector and parallel loops).
    Raises VerifyError for the first rule broken.

    >>> from .text import parse_program
    >>> text = "program p { buffer x : f64[8] inout kernel k { loop i < 9 { store x[i], 1.0 } } }"
    >>> verify(parse_program(text))
    Traceback (most recent call last):
    symflux.codegen.verify.VerifyError: kernel k: store x[i], 1.0
      the index goes up to 8, but x has 8 elements
    """
    _check_buffers(program)
    checker = _Checker(program)
    for number, kernel in enumerate(program.kernels):
        checker.kernel(kernel, number)
    shared = sharing(program, checker.used)
    if shared:
        raise VerifyError(shared)
    if prove:
        for problem in unproven(program):
            raise VerifyError(problem.rule, problem.kernel, problem.statement)
    return program


# -- buffers --------------------------------------------------------------------------------------


def _check_buffers(program: Program) -> None:
    names: set[str] = set()
    for size in program.sizes:
        if size.dtype != "i64":
            raise VerifyError(
                f"size {size.hint} of program {program.name} is {size.dtype}, not i64"
            )
    if len(set(program.sizes)) != len(program.sizes):
        raise VerifyError(f"program {program.name} lists a size twice")
    for buffer in program.buffers:
        if buffer.name in names:
            raise VerifyError(f"two buffers are named {buffer.name}")
        names.add(buffer.name)
        if buffer.dtype not in BYTES:
            raise VerifyError(f"buffer {buffer.name}: {buffer.dtype!r} is not a dtype")
        if isinstance(buffer.size, Var):
            if buffer.size not in program.sizes:
                raise VerifyError(f"buffer {buffer.name}: its size is none of the program's sizes")
        elif buffer.size < 0:
            raise VerifyError(f"buffer {buffer.name} has {buffer.size} elements")
        _check_storage(program, buffer)


def _check_storage(program: Program, buffer: Buffer) -> None:
    name, width = buffer.name, BYTES[buffer.dtype]
    if buffer.role is not Role.TEMP and buffer.offset is not None:
        raise VerifyError(f"buffer {name} is {buffer.role.value} but has an arena offset")
    if buffer.role is not Role.CONST and buffer.data is not None:
        raise VerifyError(f"buffer {name} is {buffer.role.value} but has data")
    if buffer.role is Role.TEMP:
        if not isinstance(buffer.size, int):
            raise VerifyError(f"temp {name} must have a constant size")
        if buffer.offset is None:
            raise VerifyError(f"temp {name} has no offset in the arena")
        if buffer.offset % _ALIGNMENT or buffer.offset < 0:
            raise VerifyError(f"temp {name} at {buffer.offset}: not a multiple of {_ALIGNMENT}")
        end = buffer.offset + buffer.size * width
        if end > program.arena:
            raise VerifyError(f"temp {name} ends at byte {end} of an arena of {program.arena}")
    if buffer.role is Role.CONST:
        if not isinstance(buffer.size, int) or buffer.data is None:
            raise VerifyError(f"const {name} needs a constant size and data")
        if len(buffer.data) != buffer.size * width:
            raise VerifyError(
                f"const {name} has {len(buffer.data)} bytes of data for"
                f" {buffer.size} elements of {width}"
            )


def _hint(var: Var) -> str:
    return f"{var.hint} " if var.hint else ""


# -- statements -----------------------------------------------------------------------------------


@record(slots=True)
class _Checker:
    """Walks the kernels in order, knowing what is defined, stored and in use."""

    program: Program
    buffers: frozenset[Buffer] = frozenset()
    ranges: dict[Var, Range | None] = field(default_factory=dict)  # every Var in scope
    assigned: set[Var] = field(default_factory=set)
    stored: set[Buffer] = field(default_factory=set)
    used: dict[Buffer, tuple[int, int]] = field(default_factory=dict)  # temp -> first, last kernel
    current: Kernel | None = None
    number: int = 0
    here: Statement | None = None
    guarded: int = 0  # how many ifs and whiles are around
    unreached: int = 0  # how many loops that never run are around
    scope: list[Var] = field(default_factory=list)
    epilogue_of: Contract | None = None

    def __post_init__(self) -> None:
        self.buffers = frozenset(self.program.buffers)
        for size in self.program.sizes:
            self.assigned.add(size)
            self.ranges[size] = Range(0, float("inf"), "data")

    def fail(self, rule: str, statement: Statement | None = None) -> NoReturn:
        kernel, statement = self.current, statement or self.here
        assert kernel is not None
        if statement is None:
            raise VerifyError(rule, kernel.name, "its block")
        text = statement_text(statement, kernel, self.program.sizes)
        raise VerifyError(rule, kernel.name, text)

    def report(self, conflict: Conflict | None) -> None:
        if conflict is not None:
            self.fail(conflict.reason, conflict.statement)

    # values

    def define(self, var: Var, known: Range | None = None) -> None:
        if var.dtype not in BYTES:
            self.fail(f"{var.dtype!r} is not a dtype")
        if var in self.assigned:
            self.fail(f"value {_hint(var)}is assigned a second time")
        self.assigned.add(var)
        self.ranges[var] = known
        self.scope.append(var)

    def use(self, operand: Operand, dtype: str, what: str) -> None:
        """``operand`` is defined here and has ``dtype``."""
        if isinstance(operand, Const):
            self.literal(operand)
        elif operand not in self.ranges:
            self.fail(f"{what} is used where it is not defined")
        if operand.dtype != dtype:
            self.fail(f"{what} is {operand.dtype}, but {dtype} is needed")

    def literal(self, const: Const) -> None:
        value, dtype = const.value, const.dtype
        if dtype in FLOATS:
            fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        elif dtype in INTS:
            fits = isinstance(value, int) and not isinstance(value, bool)
            fits = fits and LIMITS[dtype][0] <= value <= LIMITS[dtype][1]
        else:
            fits = dtype == "bool" and isinstance(value, bool)
        if not fits:
            self.fail(f"{value!r} is no literal of dtype {dtype}")

    def same_number(self, counts: dict[str, int]) -> None:
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{n} {what}" for what, n in counts.items())
            self.fail(f"numbers do not agree: {listed}")

    # blocks

    def kernel(self, kernel: Kernel, number: int) -> None:
        self.current, self.number, self.here = kernel, number, None
        self.block(kernel.body, (), "the kernel")

    def block(self, block: Block, yields: Sequence[str], what: str) -> None:
        """Check a block in a scope of its own; ``yields`` are the dtypes its owner takes."""
        mark = len(self.scope)
        owner = self.here
        for statement in block.statements:
            self.here = statement
            if isinstance(statement, Let):
                self.let(statement)
            elif isinstance(statement, Load):
                self.load(statement)
            elif isinstance(statement, Store):
                self.store(statement)
            else:
                self.nest(statement)
        self.here = owner
        if len(block.yields) != len(yields):
            self.fail(f"{what} must yield {len(yields)} values, it yields {len(block.yields)}")
        for n, (value, dtype) in enumerate(zip(block.yields, yields, strict=True)):
            self.use(value, dtype, f"yield {n} of {what}")
        self.close(mark)

    def nest(self, statement: Loop | If | While | Contract) -> None:
        match statement:
            case Loop():
                self.loop(statement)
            case If():
                self.branch(statement)
            case While():
                self.loop_while(statement)
            case Contract():
                self.contract(statement)

    # leaves

    def let(self, let: Let) -> None:
        row = SCALARS.get(let.op)
        if row is None:
            self.fail(f"{let.op} is no scalar function")
        args, result = let.args, let.result.dtype
        if len(args) != row.arity:
            self.fail(f"{let.op} takes {row.arity} arguments, got {len(args)}")
        ranges = self.ranges
        for n, arg in enumerate(args):
            if isinstance(arg, Const):
                self.literal(arg)
            elif arg not in ranges:
                self.fail(f"argument {n} of {let.op} is used where it is not defined")
        dtypes = tuple([a.dtype for a in args])
        domain = dtypes
        if row.result == "select":
            if dtypes[0] != "bool":
                self.fail(f"the condition of select is {dtypes[0]}, not bool")
            domain = dtypes[1:]
        if domain[0] not in row.domain:
            self.fail(f"{let.op} does not take {domain[0]}")
        if domain.count(domain[0]) != len(domain):
            self.fail(f"the arguments of {let.op} differ in dtype: {', '.join(domain)}")
        wanted = result_dtype(let.op, dtypes, result)
        if wanted != result:
            self.fail(f"{let.op} of {', '.join(dtypes)} is {wanted}, but the result is {result}")
        if let.op == "bitcast" and (
            result not in row.domain or BYTES.get(result) != BYTES[dtypes[0]]
        ):
            self.fail(f"bitcast from {dtypes[0]} to {result}: the widths differ")
        if let.reassociate and let.op not in COMBINING:
            self.fail(f"{let.op} cannot be reassociate")
        self.define(let.result, let_range(let, ranges) if result in INTS else None)

    def load(self, load: Load) -> None:
        buffer = load.buffer
        self.access(buffer, load.index)
        self.reads(buffer)
        if load.result.dtype != buffer.dtype:
            self.fail(f"{buffer.name} holds {buffer.dtype}, the result is {load.result.dtype}")
        self.define(load.result, default_range(buffer.dtype) if buffer.dtype in INTS else None)

    def store(self, store: Store) -> None:
        buffer = store.buffer
        self.access(buffer, store.index)
        if buffer.role not in _WRITABLE:
            self.fail(f"{buffer.name} is {buffer.role.value} and cannot be stored to")
        self.use(store.value, buffer.dtype, "the stored value")
        contract = self.epilogue_of
        if contract is not None and buffer in (contract.a, contract.b):
            self.fail(f"the epilogue stores to the contraction's operand {buffer.name}")
        self.stored.add(buffer)

    def reads(self, buffer: Buffer) -> None:
        if buffer.role in _UNINITIALISED and buffer not in self.stored:
            self.fail(f"{buffer.role.value} {buffer.name} is read, but no store stands before")

    def access(self, buffer: Buffer, index: Index) -> None:
        if buffer not in self.buffers:
            self.fail(f"{buffer.name} is no buffer of program {self.program.name}")
        if buffer.role is Role.TEMP:
            first, _ = self.used.get(buffer, (self.number, 0))
            self.used[buffer] = (first, self.number)
        for var, _ in index.terms:
            if var not in self.ranges:
                self.fail(f"index variable {_hint(var)}is used where it is not defined")
            if var.dtype != "i64":
                self.fail(f"index variable {_hint(var)}is {var.dtype}, not i64")
        if isinstance(buffer.size, int):
            self.bounds(buffer, buffer.size, index)
        elif not index.terms and index.offset < 0:
            self.fail(f"the index is {index.offset}")

    def bounds(self, buffer: Buffer, size: int, index: Index) -> None:
        low, high, tight = index_range(index, self.ranges)
        if self.guarded or not tight:
            low, high = high, low  # only an interval that lies outside as a whole is wrong
        if self.unreached:
            return
        if low < 0 and low != -float("inf"):
            self.fail(f"the index goes down to {low}")
        if high >= size and high != float("inf"):
            self.fail(f"the index goes up to {high}, but {buffer.name} has {size} elements")

    # nests

    def loop(self, loop: Loop) -> None:
        if loop.mode not in _MODES:
            self.fail(f"{loop.mode} is no loop mode")
        if loop.var.dtype != "i64":
            self.fail(f"the loop variable is {loop.var.dtype}, not i64")
        if not isinstance(loop.extent, int):
            self.use(loop.extent, "i64", "the extent")
        known = loop_range(loop.extent)
        if known.high < -1:
            self.fail(f"the extent is {known.high + 1}")
        self.carried(loop)
        mark = len(self.scope)
        self.define(loop.var, known)
        for param in loop.params:
            self.define(param, default_range(param.dtype))
        empty = known.high < 0
        self.unreached += empty
        self.block(loop.body, [p.dtype for p in loop.params], "the loop's body")
        self.unreached -= empty
        self.close(mark)
        if loop.mode in _INDEPENDENT and not empty:
            self.report(misused_carry(loop))
            extent = None if isinstance(loop.extent, Var) else int(known.high) + 1
            what = f"the {loop.mode} loop"
            self.report(shared_element({loop.var: extent}, loop.body, what))
        for result in loop.results:
            self.define(result, default_range(result.dtype))

    def carried(self, loop: Loop | While) -> None:
        """Params, inits and results agree."""
        self.same_number(
            {"params": len(loop.params), "inits": len(loop.inits), "results": len(loop.results)}
        )
        for n, (param, init) in enumerate(zip(loop.params, loop.inits, strict=True)):
            self.use(init, param.dtype, f"init {n}")
            result = loop.results[n]
            if result.dtype != param.dtype:
                self.fail(f"result {n} is {result.dtype}, its param is {param.dtype}")

    def close(self, mark: int) -> None:
        for var in self.scope[mark:]:
            del self.ranges[var]
        del self.scope[mark:]

    def branch(self, branch: If) -> None:
        self.use(branch.condition, "bool", "the condition")
        dtypes = [r.dtype for r in branch.results]
        self.guarded += 1
        self.block(branch.then, dtypes, "the if")
        self.block(branch.otherwise, dtypes, "the else")
        self.guarded -= 1
        for result in branch.results:
            self.define(result, default_range(result.dtype))

    def loop_while(self, loop: While) -> None:
        self.carried(loop)
        mark = len(self.scope)
        for param in loop.params:
            self.define(param, default_range(param.dtype))
        self.guarded += 1
        self.block(loop.condition, ["bool"], "the condition of the while")
        self.block(loop.body, [p.dtype for p in loop.params], "the body of the while")
        self.guarded -= 1
        self.close(mark)
        for result in loop.results:
            self.define(result, default_range(result.dtype))

    def contract(self, contract: Contract) -> None:
        if self.epilogue_of is not None:
            self.fail("a contraction stands inside the epilogue of another")
        self.contract_dtypes(contract)
        for dim in contract.dims:
            self.dim(dim)
        for buffer, offset, side in (
            (contract.a, contract.offset_a, "a"),
            (contract.b, contract.offset_b, "b"),
        ):
            self.operand(contract, buffer, offset, side)
        mark = len(self.scope)
        for dim in contract.dims:
            if dim.role != "k":
                self.define(dim.var, loop_range(dim.extent))
            elif dim.var in self.assigned:
                self.fail(f"value {_hint(dim.var)}is assigned a second time")
            self.assigned.add(dim.var)
        self.define(contract.acc)
        empty = any(d.extent == 0 for d in contract.dims if d.role != "k")
        self.unreached += empty
        self.epilogue_of = contract
        self.block(contract.epilogue, (), "an epilogue")
        self.epilogue_of = None
        self.unreached -= empty
        self.close(mark)
        if not empty:
            variables: dict[Var, int | None] = {
                d.var: d.extent for d in contract.dims if d.role != "k"
            }
            self.report(shared_element(variables, contract.epilogue, "the epilogue"))

    def contract_dtypes(self, contract: Contract) -> None:
        dtypes = [contract.a.dtype, contract.b.dtype, contract.acc.dtype]
        kinds = {
            "float" if d in FLOATS else "signed" if d in SIGNED else "unsigned" for d in dtypes
        }
        if len(kinds) > 1 or "bool" in dtypes:
            self.fail(f"a contraction of {dtypes[0]} and {dtypes[1]} cannot sum to {dtypes[2]}")
        if BYTES[dtypes[2]] < max(BYTES[dtypes[0]], BYTES[dtypes[1]]):
            self.fail(f"the sum is {dtypes[2]}, narrower than an operand")

    def dim(self, dim: Dim) -> None:
        if dim.role not in _NO_SIDE:
            self.fail(f"{dim.role} is no role of a dimension")
        if dim.var.dtype != "i64":
            self.fail(f"the variable of dimension {dim.role} is {dim.var.dtype}, not i64")
        if dim.extent < 0:
            self.fail(f"the extent of dimension {dim.role} is {dim.extent}")
        side = _NO_SIDE[dim.role]
        if side and (dim.stride_a if side == "a" else dim.stride_b):
            self.fail(f"operand {side} has no dimension {dim.role}, but a stride for it")

    def operand(self, contract: Contract, buffer: Buffer, offset: Index, side: str) -> None:
        """The elements that the contraction reads are in bounds and written."""
        self.access_terms(contract, buffer, offset, side)
        self.reads(buffer)

    def access_terms(self, contract: Contract, buffer: Buffer, offset: Index, side: str) -> None:
        extents = [d.extent for d in contract.dims]
        strides = [d.stride_a if side == "a" else d.stride_b for d in contract.dims]
        steps = [(e - 1) * s for e, s in zip(extents, strides, strict=True)]
        empty = any(e == 0 for e in extents)
        lowest = Index(offset.terms, offset.offset + sum(min(s, 0) for s in steps))
        highest = Index(offset.terms, offset.offset + sum(max(s, 0) for s in steps))
        self.unreached += empty
        self.access(buffer, lowest)
        self.access(buffer, highest)
        self.unreached -= empty
