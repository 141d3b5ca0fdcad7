"""Proofs about memory: every element is written before it is read, and lies inside its buffer.

Walks a program once, in order. A load or store is inside of its buffer when bounds of its index
say so (``bounds.py``), conditions around it counted. Stores of a block are kept as sets of elements
(``covered.py``); when a loop ends, those of all its iterations become stores of the block around
it. A load from a TEMP or OUTPUT has to find its elements among the stores of the blocks around it.

What cannot be proven may still be right: an index that was computed from data and is not clamped,
an element that the iteration before wrote, elements written by a loop that might not run, and what
only one side of a branch writes, or the body of a ``while``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ..records import field, record
from .bounds import Bounds, Form
from .covered import Box, Stored
from .ir import (
    Block,
    Buffer,
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
    length,
)
from .text import statement_text

__all__ = ["Unproven", "unproven"]

_UNINITIALISED = frozenset({Role.OUTPUT, Role.TEMP})
#: Statements that are looked at for one loop, iteration by iteration.
_MOST_FOLLOWED = 10_000
_Counters: TypeAlias = Sequence[tuple[Var, tuple[Form, ...]]]


@record(frozen=True, slots=True)
class Unproven:
    """Something that could not be proven: what, and where (empty for the whole program)."""

    rule: str
    kernel: str = ""
    statement: str = ""

    def __str__(self) -> str:
        where = f"kernel {self.kernel}: {self.statement}\n  " if self.kernel else ""
        return where + self.rule


def unproven(program: Program) -> list[Unproven]:
    """What could not be proven about a program's memory; nothing for one that is surely right.

    Takes time linear in the number of statements. The program keeps the other rules of the IR.

    >>> from .text import parse_program
    >>> program = parse_program('''
    ... program p {
    ...   buffer y : f64[8] output
    ...   kernel k {
    ...     loop i < 4 {
    ...       store y[2*i], 1.0
    ...     }
    ...     %0 = load y[7] : f64
    ...     store y[9], %0
    ...   }
    ... }''')
    >>> for problem in unproven(program):
    ...     print(problem)
    kernel k: %0 = load y[7]
      y[7] may be read before it is written
    kernel k: store y[9], %0
      the index may reach 9, but y has 8 elements
    output y may not be written whole
    """
    prover = _Prover(program)
    for kernel in program.kernels:
        prover.kernel(kernel)
    prover.outputs()
    return prover.found


@record(slots=True)
class _Prover:
    program: Program
    bounds: Bounds = field(default_factory=Bounds)
    scopes: list[dict[Buffer, Stored]] = field(default_factory=lambda: [{}])
    found: list[Unproven] = field(default_factory=list)
    current: Kernel | None = None

    def __post_init__(self) -> None:
        for size in self.program.sizes:
            self.bounds.size(size)

    def note(self, rule: str, statement: Statement) -> None:
        kernel = self.current
        assert kernel is not None
        text = statement_text(statement, kernel, self.program.sizes).partition(" : ")[0]
        problem = Unproven(rule, kernel.name, text)
        if problem not in self.found:  # once for several iterations
            self.found.append(problem)

    def kernel(self, kernel: Kernel) -> None:
        self.current = kernel
        self.block(kernel.body)

    def outputs(self) -> None:
        """Every output is written whole."""
        for buffer in self.program.buffers:
            if buffer.role is not Role.OUTPUT or buffer.size == 0:
                continue
            element = Var("i64")
            self.bounds.counter(element, self.bounds.extents(buffer.size))
            if not self.stored(buffer, Form(0, {element: 1})):
                self.found.append(Unproven(f"output {buffer.name} may not be written whole"))

    # --- blocks ---

    def block(self, block: Block) -> None:
        bounds = self.bounds
        for statement in block.statements:
            kind = type(statement)
            if kind is Let:
                bounds.let(statement)  # type: ignore[arg-type]
            elif kind is Load:
                self.load(statement)  # type: ignore[arg-type]
            elif kind is Store:
                self.store(statement)  # type: ignore[arg-type]
            else:
                self.nest(statement)

    def nest(self, statement: Statement) -> None:
        match statement:
            case Loop():
                self.loop(statement)
            case If():
                self.branch(statement)
            case While():
                self.loop_while(statement)
            case Contract():
                self.contract(statement)

    def loop(self, loop: Loop) -> None:
        extents = self.bounds.extents(loop.extent)
        if any(not e.terms and e.offset < 1 for e in extents):
            return  # it never runs
        mark = self.bounds.mark
        if isinstance(loop.extent, int) and _takes_apart(loop):
            for number in range(loop.extent):
                self.bounds.forms[loop.var] = Form(number)
                self.scopes.append({})
                self.block(loop.body)
                self.close([], mark)
            return
        self.bounds.counter(loop.var, extents)
        self.scopes.append({})
        self.block(loop.body)
        self.close([(loop.var, extents)], mark)

    def close(self, counters: _Counters, mark: int) -> None:
        """End a block: what all its runs together have stored is stored in the block around it."""
        bounds = self.bounds
        outer = self.scopes[-2]
        for buffer, stored in self.scopes.pop().items():
            for box in stored.all():
                whole: Box | None = box
                for var, extents in counters:
                    if whole is not None:
                        whole = whole.over(var, extents, bounds)
                if whole is not None and not whole.is_new(bounds, mark):
                    _add(outer, buffer, whole)

    def branch(self, branch: If) -> None:
        always = self.bounds.truth(branch.condition)
        if always is not None:
            self.block(branch.then if always else branch.otherwise)
            return
        mark = self.bounds.mark
        sides = []
        for block, holds in ((branch.then, True), (branch.otherwise, False)):
            with self.bounds.where(branch.condition, holds):
                self.scopes.append({})
                self.block(block)
                sides.append(self.scopes.pop())
        then, otherwise = sides
        for here, there in ((then, otherwise), (otherwise, then)):
            for buffer in here.keys() & there.keys():
                for box in here[buffer].all():
                    if not box.is_new(self.bounds, mark) and self._inside(box, there[buffer]):
                        _add(self.scopes[-1], buffer, box)

    def _inside(self, box: Box, stored: Stored) -> bool:
        element = box.base
        for step, times in box.dims:
            var = Var("i64")
            extents = (Form(times),) if isinstance(times, int) else times
            self.bounds.counter(var, extents)
            element = element.plus(Form(0, {var: step}))
        return stored.hold(element, self.bounds)

    def loop_while(self, loop: While) -> None:
        mark = self.bounds.mark
        self.scopes.append({})
        self.block(loop.condition)
        self.close([], mark)  # the condition is computed at least once
        with self.bounds.where(loop.condition.yields[0], True):
            self.scopes.append({})
            self.block(loop.body)
            self.scopes.pop()

    # --- accesses ---

    def load(self, load: Load) -> None:
        index = self.bounds.index(load.index)
        self.inside(load.buffer, index, load)
        if load.buffer.role in _UNINITIALISED:
            self.covered(load.buffer, index, load)

    def store(self, store: Store) -> None:
        index = self.bounds.index(store.index)
        self.inside(store.buffer, index, store)
        _add(self.scopes[-1], store.buffer, Box(index))

    def inside(self, buffer: Buffer, index: Form, statement: Statement) -> None:
        """The index is proven to lie inside of the buffer."""
        bounds, size = self.bounds, buffer.size
        if isinstance(size, int):
            if bounds.least(index) >= 0 and bounds.greatest(index) < size:
                return
            over = index.shifted(-size)
        else:
            over = index.plus(bounds.form(size), -1)
        if not bounds.at_least(index, 0):
            low = bounds.sharp_least(index)
            self.note(f"the index may go down to {low}", statement)
        elif not bounds.at_most(over, -1):
            high, name = bounds.sharp_greatest(index), buffer.name
            count = size if isinstance(size, int) else size.hint or "size"
            self.note(f"the index may reach {high}, but {name} has {count} elements", statement)

    def covered(self, buffer: Buffer, index: Form, statement: Statement) -> None:
        """The elements are proven to have been stored."""
        if not self.stored(buffer, index):
            low, high = self.bounds.sharp_least(index), self.bounds.sharp_greatest(index)
            which = f"[{low}]" if low == high else f", somewhere from [{low}] to [{high}],"
            self.note(f"{buffer.name}{which} may be read before it is written", statement)

    def stored(self, buffer: Buffer, index: Form) -> bool:
        for scope in reversed(self.scopes):
            stored = scope.get(buffer)
            if stored is not None and stored.hold(index, self.bounds):
                return True
        return False

    # --- contractions ---

    def contract(self, contract: Contract) -> None:
        bounds = self.bounds
        outer = [d for d in contract.dims if d.role != "k"]
        if any(d.extent < 1 for d in outer):
            return
        mark = bounds.mark
        extents = {d.var: (Form(d.extent),) for d in contract.dims}
        for dim in contract.dims:
            bounds.counter(dim.var, extents[dim.var])
        if all(d.extent for d in contract.dims):
            strides_a = tuple([(d.var, d.stride_a) for d in contract.dims])
            strides_b = tuple([(d.var, d.stride_b) for d in contract.dims])
            for buffer, offset, strides in (
                (contract.a, contract.offset_a, strides_a),
                (contract.b, contract.offset_b, strides_b),
            ):
                form = bounds.index(Index((*offset.terms, *strides), offset.offset))
                self.inside(buffer, form, contract)
                if buffer.role in _UNINITIALISED:
                    self.covered(buffer, form, contract)
        self.scopes.append({})
        self.block(contract.epilogue)
        self.close([(d.var, extents[d.var]) for d in outer], mark)


def _takes_apart(loop: Loop) -> bool:
    """Whether a loop divides the number of the iteration, or branches on it, as those over pieces
    of contractions do: short ones are followed iteration by iteration."""
    if loop.mode != "parallel":
        return False
    known: set[Operand] = {loop.var}
    for s in loop.body.statements:
        if isinstance(s, Let) and not known.isdisjoint(s.args):
            known.add(s.result)
            found = s.op in ("floordiv", "mod")
        else:
            found = isinstance(s, If) and s.condition in known
        if found:
            return int(loop.extent) * length(loop.body) <= _MOST_FOLLOWED  # type: ignore[arg-type]
    return False


def _add(scope: dict[Buffer, Stored], buffer: Buffer, box: Box) -> None:
    stored = scope.get(buffer)
    if stored is None:
        stored = scope[buffer] = Stored()
    stored.add(box)
