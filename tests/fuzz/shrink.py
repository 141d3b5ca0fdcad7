"""Make a failing program small: smaller programs that still fail, until none does.

A step drops a statement (its results become literals), puts a nest's block in the nest's place
once, shortens an extent, or replaces a Let by one of its arguments. Programs that a step makes
invalid are passed over.
"""

from collections.abc import Callable, Iterator

from symflux.codegen.ir import (
    Block,
    Const,
    Contract,
    If,
    Index,
    Let,
    Load,
    Loop,
    Program,
    Store,
    Var,
    While,
    blocks_of,
    walk,
)
from symflux.codegen.passes.dead import remove_dead
from symflux.codegen.passes.temps import drop_temps
from symflux.codegen.verify import VerifyError, verify

from symflux.records import replace


def shrink(program: Program, fails: Callable[[Program], bool], steps: int = 3000) -> Program:
    """The smallest program found for which ``fails`` still holds; at most ``steps`` are tried."""
    assert fails(program)
    tried = 0
    progress = True
    while progress and tried < steps:
        progress = False
        at = 0
        while tried < steps:
            candidate, more = _candidate(program, at)
            if not more:
                break
            tried += 1
            if candidate is not None and _valid(candidate) and fails(candidate):
                program, progress = candidate, True
            else:
                at += 1
    return program


def _valid(program: Program) -> bool:
    try:
        verify(program)
    except VerifyError:
        return False
    return True


def _candidate(program: Program, at: int) -> tuple[Program | None, bool]:
    """The ``at``-th smaller program (None when that step does not apply), and whether it exists."""
    for n, make in enumerate(_steps(program)):
        if n == at:
            return make(), True
    return None, False


def _steps(program: Program) -> Iterator[Callable[[], Program | None]]:
    yield lambda: _if_changed(program, drop_temps(program))
    yield lambda: _if_changed(program, _without_dead(program))
    used = {s.buffer for k in program.kernels for s in walk(k.body) if isinstance(s, (Load, Store))}
    used |= {
        b
        for k in program.kernels
        for s in walk(k.body)
        if isinstance(s, Contract)
        for b in (s.a, s.b)
    }
    kept = tuple([b for b in program.buffers if b in used])
    yield lambda: _if_changed(program, replace(program, buffers=kept))
    for kernel in program.kernels:
        others = tuple([k for k in program.kernels if k is not kernel])
        yield lambda others=others: replace(program, kernels=others)
    for kernel in program.kernels:
        for statement in walk(kernel.body):
            for edit in _edits(statement):
                yield lambda s=statement, e=edit: _edited(program, s, *e)


def _if_changed(old: Program, new: Program) -> Program | None:
    same = len(old.buffers) == len(new.buffers) and old.kernels == new.kernels
    return None if new is old or same else new


def _without_dead(program: Program) -> Program:
    kernels = [replace(k, body=remove_dead(k.body)) for k in program.kernels]
    if all(a.body is b.body for a, b in zip(kernels, program.kernels, strict=True)):
        return program
    return replace(program, kernels=tuple(kernels))


def _zero(var: Var) -> Const:
    return Const(False if var.dtype == "bool" else 0, var.dtype)


def _edits(statement):
    """(new statements, replacements of Vars): in the order of how much they take away."""
    match statement:
        case Store():
            yield (), {}
            if not isinstance(statement.value, Const):
                yield (replace(statement, value=_zero(statement.value)),), {}
        case Let(result, _, args):
            yield (), {result: _zero(result)}
            for arg in args:
                if arg.dtype == result.dtype:
                    yield (), {result: arg}
        case Load(result):
            yield (), {result: _zero(result)}
        case Contract():
            yield (), {}
            for dim in statement.dims:
                if dim.extent > 1:
                    dims = [replace(d, extent=1) if d is dim else d for d in statement.dims]
                    yield (replace(statement, dims=tuple(dims)),), {}
        case Loop() | While() | If():
            results = statement.results
            yield (), {r: _zero(r) for r in results}
            for block in blocks_of(statement)[-2:]:
                binding = {}
                if not isinstance(statement, If):
                    binding = dict(zip(statement.params, statement.inits, strict=True))
                if isinstance(statement, Loop):
                    binding[statement.var] = Const(0, "i64")
                if len(block.yields) == len(results):
                    yield block.statements, binding | dict(zip(results, block.yields, strict=True))
            if isinstance(statement, Loop):
                if statement.mode != "serial":
                    yield (replace(statement, mode="serial"),), {}
                if not isinstance(statement.extent, int) or statement.extent > 2:
                    yield (replace(statement, extent=2),), {}


def _edited(program, statement, new, replaced):
    editor = _Editor(statement, new, replaced)
    kernels = tuple([replace(k, body=editor.block(k.body)) for k in program.kernels])
    return replace(program, kernels=kernels)


class _Editor:
    """Rebuilds a program with one statement exchanged and some Vars replaced."""

    def __init__(self, statement, new, replaced):
        self.statement = statement
        self.new = new
        self.replaced = replaced

    def operand(self, operand):
        while not isinstance(operand, Const) and operand in self.replaced:
            operand = self.replaced[operand]
        return operand

    def operands(self, operands):
        return tuple([self.operand(o) for o in operands])

    def index(self, index):
        terms, offset = [], index.offset
        for var, coefficient in index.terms:
            value = self.operand(var)
            if isinstance(value, Const):
                offset += coefficient * value.value
            else:
                terms.append((value, coefficient))
        return Index(tuple(terms), offset)

    def block(self, block):
        statements = []
        for statement in block.statements:
            for each in self.new if statement is self.statement else (statement,):
                statements.append(self.rebuilt(each))
        return Block(tuple(statements), self.operands(block.yields))

    def rebuilt(self, statement):
        match statement:
            case Let():
                return replace(statement, args=self.operands(statement.args))
            case Load():
                return replace(statement, index=self.index(statement.index))
            case Store(buffer, index, value):
                return Store(buffer, self.index(index), self.operand(value))
            case Loop():
                extent = statement.extent
                if not isinstance(extent, int):
                    extent = self.operand(extent)
                inits = self.operands(statement.inits)
                return replace(
                    statement, extent=extent, inits=inits, body=self.block(statement.body)
                )
            case If():
                return replace(
                    statement,
                    condition=self.operand(statement.condition),
                    then=self.block(statement.then),
                    otherwise=self.block(statement.otherwise),
                )
            case While():
                return replace(
                    statement,
                    inits=self.operands(statement.inits),
                    condition=self.block(statement.condition),
                    body=self.block(statement.body),
                )
            case Contract():
                return replace(
                    statement,
                    offset_a=self.index(statement.offset_a),
                    offset_b=self.index(statement.offset_b),
                    epilogue=self.block(statement.epilogue),
                )
