"""Proofs about memory: every element is written before it is read, and lies inside its buffer.

Walks a program once, in order. A load or store is inside of its buffer when bounds of its index
say so (``bounds.py``), conditions around it counted. Stores of a block are kept as sets of elements
(``covered.py``); when a loop ends, those of all its iterations become stores of the block around
it. A load from a TEMP or OUTPUT has to find its elements among the stores of the blocks around it.

What cannot be proven may still be right: an index that was computed from data and is not clamped,
an element that the iteration before wrote, elements written by a loop that might not run, and what
only one side of a branch writes, or the body of a ``while``. What is *shown wrong* happens at every
run: an access outside of its buffer where nothing guards it, a read or an output of elements that
no store can reach, a store to an input, two temps in use at once that share bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from .bounds import Bounds, Form
from .covered import Box, Stored
from .ir import (
    BYTES,
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

__all__ = ["Unproven", "sharing", "unproven"]

_WRITABLE = frozenset({Role.OUTPUT, Role.INOUT, Role.TEMP})
_UNINITIALISED = frozenset({Role.OUTPUT, Role.TEMP})
#: Statements that are looked at for one loop, iteration by iteration.
_MOST_FOLLOWED = 10_000
_Counters: TypeAlias = Sequence[tuple[Var, tuple[Form, ...]]]


class Unproven:
    """Something that could not be proven: what, and where (empty for the whole program); ``wrong``
    where it is shown to go wrong at every run."""

    __slots__ = ("kernel", "rule", "statement", "wrong")

    def __init__(self, rule: str, kernel: str = "", statement: str = "", wrong: bool = False):
        self.rule = rule
        self.kernel = kernel
        self.statement = statement
        self.wrong = wrong

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
    for number, kernel in enumerate(program.kernels):
        prover.kernel(kernel, number)
    prover.outputs()
    shared = sharing(program, prover.used)
    if shared:
        prover.found.append(Unproven(shared, wrong=True))
    return prover.found


def sharing(program: Program, used: dict[Buffer, tuple[int, int]]) -> str:
    """Which temps share bytes of the arena and are in use at once; empty where none do. ``used``
    has the first and the last kernel that each is used in."""
    temps = sorted(used, key=lambda b: b.offset or 0)
    open_: list[tuple[int, Buffer]] = []
    for temp in temps:
        start = temp.offset or 0
        size = temp.size if isinstance(temp.size, int) else 0
        open_ = [(end, other) for end, other in open_ if end > start]
        for _, other in open_:
            first = max(used[temp][0], used[other][0])
            if size and first <= min(used[temp][1], used[other][1]):
                return (
                    f"temps {other.name} and {temp.name} share bytes of the arena and are both in"
                    f" use in kernel {program.kernels[first].name}"
                )
        open_.append((start + size * BYTES[temp.dtype], temp))
    return ""


class _Prover:
    """Walks the kernels in order. What is ``doubtful`` is reached at every run, but its elements
    have to be compared with all stores of its kernel to be shown wrong."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.bounds = Bounds()
        self.scopes: list[dict[Buffer, Stored]] = [{}]
        self.found: list[Unproven] = []
        self.noted: set[tuple[str, Statement]] = set()
        self.used: dict[Buffer, tuple[int, int]] = {}  # temp -> first, last kernel
        self.reached: dict[Buffer, list[tuple[int | float, int | float]]] = {}  # by some store
        self.doubtful: list[tuple[Unproven, Buffer, int | float, int | float]] = []
        self.counters: set[Var] = set()  # that take every value below a number
        self.current = Kernel("", Block(()))
        self.number = 0
        self.guards = 0  # how many blocks around may not run
        for size in program.sizes:
            self.bounds.size(size)

    def note(self, rule: str, statement: Statement, wrong: bool = False) -> Unproven | None:
        if (rule, statement) in self.noted:  # once for several iterations
            return None
        self.noted.add((rule, statement))
        from .text import statement_text  # rarely needed

        kernel = self.current
        text = statement_text(statement, kernel, self.program.sizes).partition(" : ")[0]
        problem = Unproven(rule, kernel.name, text, wrong)
        self.found.append(problem)
        return problem

    def kernel(self, kernel: Kernel, number: int) -> None:
        self.current, self.number = kernel, number
        self.block(kernel.body)
        for problem, buffer, low, high in self.doubtful:
            reached = self.reached.get(buffer, [])
            problem.wrong = not all(any(a <= e <= b for a, b in reached) for e in (low, high))
        self.doubtful.clear()

    def outputs(self) -> None:
        """Every output is written whole."""
        for buffer in self.program.buffers:
            if buffer.role is not Role.OUTPUT or buffer.size == 0:
                continue
            element = Var("i64")
            self.bounds.counter(element, self.bounds.extents(buffer.size))
            if not self.stored(buffer, Form(0, {element: 1})):
                rule = f"output {buffer.name} may not be written whole"
                self.found.append(Unproven(rule, wrong=self._left_out(buffer)))

    def _left_out(self, buffer: Buffer) -> bool:
        """Whether no store reaches one of its elements."""
        if not isinstance(buffer.size, int):
            return False
        first: int | float = 0  # all before it are reached
        for low, high in sorted(self.reached.get(buffer, [])):
            if low > first:
                break
            first = max(first, high + 1)
        return first < buffer.size

    def certain(self, form: Form) -> bool:
        """Whether the least and the greatest value of a form are taken at every run."""
        return not self.guards and self.counters.issuperset(form.terms)

    def use(self, buffer: Buffer) -> None:
        if buffer.role is Role.TEMP:
            first, _ = self.used.get(buffer, (self.number, 0))
            self.used[buffer] = (first, self.number)

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
        known = not any(e.terms for e in extents)
        if known:
            self.counters.add(loop.var)
        self.guards += not known
        self.scopes.append({})
        self.block(loop.body)
        self.close([(loop.var, extents)], mark)
        self.guards -= not known

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
        self.guards += 1
        for block, holds in ((branch.then, True), (branch.otherwise, False)):
            with self.bounds.where(branch.condition, holds):
                self.scopes.append({})
                self.block(block)
                sides.append(self.scopes.pop())
        self.guards -= 1
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
        self.guards += 1
        with self.bounds.where(loop.condition.yields[0], True):
            self.scopes.append({})
            self.block(loop.body)
            self.scopes.pop()
        self.guards -= 1

    # --- accesses ---

    def load(self, load: Load) -> None:
        index = self.bounds.index(load.index)
        self.read(load.buffer, index, load)

    def read(self, buffer: Buffer, index: Form, statement: Statement) -> None:
        self.inside(buffer, index, statement)
        self.use(buffer)
        if buffer.role in _UNINITIALISED:
            self.covered(buffer, index, statement)

    def store(self, store: Store) -> None:
        index, buffer = self.bounds.index(store.index), store.buffer
        self.inside(buffer, index, store)
        self.use(buffer)
        if buffer.role not in _WRITABLE:
            self.note(f"{buffer.name} is {buffer.role.value} and is stored to", store, wrong=True)
        ends = self.bounds.least(index), self.bounds.greatest(index)
        self.reached.setdefault(buffer, []).append(ends)
        _add(self.scopes[-1], buffer, Box(index))

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
            self.note(f"the index may go down to {low}", statement, self.certain(index))
        elif not bounds.at_most(over, -1):
            high, name = bounds.sharp_greatest(index), buffer.name
            count = size if isinstance(size, int) else size.hint or "size"
            rule = f"the index may reach {high}, but {name} has {count} elements"
            self.note(rule, statement, isinstance(size, int) and self.certain(index))

    def covered(self, buffer: Buffer, index: Form, statement: Statement) -> None:
        """The elements are proven to have been stored."""
        if not self.stored(buffer, index):
            low, high = self.bounds.sharp_least(index), self.bounds.sharp_greatest(index)
            which = f"[{low}]" if low == high else f", somewhere from [{low}] to [{high}],"
            rule = f"{buffer.name}{which} may be read before it is written"
            problem = self.note(rule, statement)
            if problem is not None and self.certain(index):
                self.doubtful.append((problem, buffer, low, high))

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
            self.counters.add(dim.var)
        if all(d.extent for d in contract.dims):
            strides_a = tuple([(d.var, d.stride_a) for d in contract.dims])
            strides_b = tuple([(d.var, d.stride_b) for d in contract.dims])
            for buffer, offset, strides in (
                (contract.a, contract.offset_a, strides_a),
                (contract.b, contract.offset_b, strides_b),
            ):
                form = bounds.index(Index((*offset.terms, *strides), offset.offset))
                self.read(buffer, form, contract)
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
