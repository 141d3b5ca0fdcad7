"""Which vector loops can be written in vectors, and what differs from lane to lane in them.

A loop of mode ``vector`` promises that its iterations are independent but for reductions, so no
dependence is analysed here. What is found out is which values differ between iterations
(``varying``), which of those grow by a constant (``affine``), and what each carried value is
combined with. A loop whose body cannot run several iterations at once (a store or a load under a
branch, a contraction, a data-dependent extent) has no plan and is left to LLVM's own vectoriser.
"""

from __future__ import annotations

from collections import Counter

from ...records import field, record
from ...thresholds import thresholds
from ..ir import (
    BYTES,
    Block,
    Const,
    Contract,
    If,
    Index,
    Let,
    Load,
    Loop,
    Operand,
    Store,
    Var,
    While,
    walk,
)
from ..scalars import SCALARS
from .machine import Machine

__all__ = ["IDENTITIES", "Lanes", "VectorPlan", "analyse", "combining_lets", "plan_loop"]

_INF = float("inf")
#: combining op -> dtype -> the value that changes nothing
IDENTITIES = {
    "add": lambda dtype: -0.0 if dtype[0] == "f" else 0,
    "mul": lambda dtype: 1,
    "minimum": lambda dtype: _bounds(dtype)[1],
    "maximum": lambda dtype: _bounds(dtype)[0],
    "and": lambda dtype: True if dtype == "bool" else -1,
    "or": lambda dtype: 0,
    "xor": lambda dtype: 0,
}


def _bounds(dtype: str) -> tuple[float, float]:
    """The least and the greatest value of a dtype."""
    if dtype[0] == "f":
        return -_INF, _INF
    if dtype == "bool":
        return 0, 1
    bits = 8 * BYTES[dtype]
    return (0, 2**bits - 1) if dtype[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@record(slots=True)
class Lanes:
    """What differs from lane to lane in a body: ``affine`` vars by ``affine[var]`` per lane,
    other ``varying`` vars arbitrarily, all others not at all. Integers from 0 to ``limits[var]``
    are so in every lane, whether it wants them or not."""

    varying: set[Var]
    affine: dict[Var, int]
    limits: dict[Var, int] = field(default_factory=dict)

    def stride(self, index: Index) -> int:
        """By how many elements an index grows from lane to lane, its arbitrary part aside."""
        return sum(c * self.affine.get(v, 0) for v, c in index.terms)

    def arbitrary(self, index: Index) -> bool:
        """Whether an index holds a var that differs arbitrarily."""
        return any(v in self.varying and v not in self.affine for v, _ in index.terms)

    def inside(self, load: Load) -> bool:
        """Whether what is loaded is there in every lane."""
        size, terms = load.buffer.size, load.index.terms
        if not isinstance(size, int) or any(v not in self.limits or c < 0 for v, c in terms):
            return False
        last = load.index.offset + sum(c * self.limits[v] for v, c in terms)
        return load.index.offset >= 0 and last < size

    def uniform(self, index: Index) -> bool:
        return not any(v in self.varying for v, _ in index.terms)


@record(frozen=True, slots=True)
class VectorPlan:
    """``width`` lanes; ``copies`` of the body in one iteration; the Let that combines each
    param."""

    width: int
    copies: int
    lanes: Lanes
    combines: tuple[Let, ...]


def analyse(block: Block, lanes: Lanes) -> bool:
    """Complete ``lanes`` for a body; False when it cannot run in lanes."""
    return all(_analyse_statement(s, lanes) for s in block.statements)


def _varies(operand: Operand, lanes: Lanes) -> bool:
    return operand in lanes.varying


def _analyse_statement(statement: object, lanes: Lanes) -> bool:
    match statement:
        case Let():
            _note_limit(statement, lanes)
            if any(_varies(a, lanes) for a in statement.args):
                stride = _affine_stride(statement, lanes)
                if stride == 0:  # what varies cancels, as in i - i
                    return True
                lanes.varying.add(statement.result)
                if stride is not None:
                    lanes.affine[statement.result] = stride
        case Load():
            if not lanes.uniform(statement.index):
                lanes.varying.add(statement.result)
        case Store():
            return lanes.arbitrary(statement.index) or lanes.stride(statement.index) != 0
        case If():
            lanes.varying.update(statement.results)
            sides = (statement.then, statement.otherwise)
            return all(_is_pure(b) and analyse(b, lanes) for b in sides)
        case While():
            lanes.varying.update((*statement.params, *statement.results))
            blocks = (statement.condition, statement.body)
            return all(_is_pure(b, in_while=True) and analyse(b, lanes) for b in blocks) and all(
                lanes.inside(s) or not lanes.arbitrary(s.index)
                for b in blocks for s in walk(b) if isinstance(s, Load)
            )  # fmt: skip
        case Loop():
            if _varies(statement.extent, lanes):  # type: ignore[arg-type]
                return False
            lanes.varying.update((*statement.params, *statement.results))
            return analyse(statement.body, lanes)
        case Contract():
            return False
    return True


def _note_limit(let: Let, lanes: Lanes) -> None:
    """Bits that a constant leaves over are a number up to that constant."""
    masks = [a.value for a in let.args if isinstance(a, Const) and a.value >= 0]
    if let.op == "and" and let.result.dtype != "bool" and masks:
        lanes.limits[let.result] = int(masks[0])
    elif let.op == "cast" and let.args[0] in lanes.limits and let.result.dtype in ("i64", "u64"):
        lanes.limits[let.result] = lanes.limits[let.args[0]]


def _is_pure(block: Block, *, in_while: bool = False) -> bool:
    """Whether every statement may run for lanes that should not: nothing but arithmetic (and in a
    while, whiles of that, and loads whose place does not depend on the data)."""
    kinds = (Let, If, Load, While) if in_while else (Let, If)
    return all(isinstance(s, kinds) for s in walk(block))


def _affine_stride(let: Let, lanes: Lanes) -> int | None:
    """The stride of an i64 sum, difference or multiple of affine values."""
    if let.result.dtype != "i64" or let.op not in {"add", "sub", "mul"}:
        return None
    if any(_varies(a, lanes) and a not in lanes.affine for a in let.args):
        return None
    left, right = (lanes.affine.get(a, 0) if isinstance(a, Var) else 0 for a in let.args)
    if let.op == "mul":
        for stride, other in ((left, let.args[1]), (right, let.args[0])):
            if isinstance(other, Const):
                return stride * int(other.value)
        return None
    return left + right if let.op == "add" else left - right


def combining_lets(loop: Loop) -> tuple[Let, ...] | None:
    """For each param the Let that combines it; None when one is carried in any other way."""
    uses: Counter[Operand] = Counter()
    for statement in walk(loop.body):
        match statement:
            case Let():
                uses.update(statement.args)
            case Store():
                uses[statement.value] += 1
            case Loop() | While():
                uses.update(statement.inits)
            case If():
                uses[statement.condition] += 1
        for block in (getattr(statement, n, None) for n in ("body", "then", "otherwise")):
            if block is not None:
                uses.update(block.yields)
        if isinstance(statement, While):
            uses.update(statement.condition.yields)
    uses.update(loop.body.yields)
    producers = {s.result: s for s in loop.body.statements if isinstance(s, Let)}
    found = []
    for param, value in zip(loop.params, loop.body.yields, strict=True):
        last = producers.get(value) if isinstance(value, Var) else None
        if last is None or not _is_chain(param, last, producers, uses):
            return None
        found.append(last)
    return tuple(found)


def _is_chain(param: Var, let: Let, producers: dict[Var, Let], uses: Counter[Operand]) -> bool:
    """Whether ``let`` combines ``param`` with values, one after the other, and nothing else sees
    the intermediate results."""
    op = let.op
    while let.reassociate and let.op == op and op in IDENTITIES and uses[let.result] == 1:
        if param in let.args:
            return uses[param] == 1
        chained = [a for a in let.args if isinstance(a, Var) and _leads_to(param, a, producers, op)]
        if len(chained) != 1:
            return False
        let = producers[chained[0]]
    return False


def _leads_to(param: Var, value: Var, producers: dict[Var, Let], op: str) -> bool:
    seen = producers.get(value)
    while seen is not None and seen.op == op and seen.reassociate:
        if param in seen.args:
            return True
        following = [producers.get(a) for a in seen.args if isinstance(a, Var)]
        seen = next((p for p in following if p is not None and p.op == op), None)
    return False


def _widest(loop: Loop, lanes: Lanes) -> int:
    """Bytes of the widest value that is computed in lanes."""
    widest = 1
    for statement in walk(loop.body):
        match statement:
            case Load() | Store():
                if not lanes.uniform(statement.index):
                    widest = max(widest, BYTES[statement.buffer.dtype])
                if lanes.arbitrary(statement.index):
                    widest = 8
            case Let():
                values = [v for v in (statement.result, *statement.args) if _varies(v, lanes)]
                if statement.result not in lanes.affine:
                    widest = max([widest, *(BYTES[v.dtype] for v in values)])
    return max([widest, *(BYTES[p.dtype] for p in loop.params)])


def _cost(loop: Loop) -> int:
    """Instructions of one run of the body, roughly."""
    total = 0
    for statement in walk(loop.body):
        total += SCALARS[statement.op].flops if isinstance(statement, Let) else 1
        if isinstance(statement, (Loop, While)):
            total += 100
    return total


def _is_one_function(loop: Loop) -> bool:
    """Whether most of a loop's body is one mathematical function: one long chain."""
    native = [SCALARS[s.op].native for s in walk(loop.body) if isinstance(s, Let)]
    return native.count("mathlib") == 1 and len(native) <= 8


def plan_loop(loop: Loop, machine: Machine) -> VectorPlan | None:
    """How to write a vector loop in vectors; None when it has to be left to LLVM."""
    combines = combining_lets(loop)
    lanes = Lanes({loop.var, *loop.params}, {loop.var: 1})
    if combines is None or not analyse(loop.body, lanes):
        return None
    width = max(2, machine.vector_bytes // _widest(loop, lanes))
    cost = _cost(loop)
    four, two, independent = thresholds.loop_copies
    if loop.params:
        copies = 4 if cost <= four else 2 if cost <= two else 1
    else:
        copies = 2 if cost <= independent else 1
        if machine.vector_bytes == 32 and _is_one_function(loop):
            width *= 2  # two chains of dependent instructions, side by side
    return VectorPlan(width, copies, lanes, combines)
