"""Bounds of integers that are affine in loop variables: least and greatest values, proven."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .ir import Const, Index, Let, Operand, Var
from .ranges import Range, default_range, let_range
from .scalars import INTS

__all__ = ["Bounds", "Form"]

#: More elements than any array has.
_MANY = 1 << 47
#: Steps of an elimination after which a bound is given up.
_MOST_STEPS = 300
_FOLDS: dict[str, Callable[[int, int], int]] = {
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "minimum": min,
    "maximum": max,
}
_COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq"})


class Form:
    """``offset + sum(coefficient * symbol)``; never changed once made."""

    __slots__ = ("offset", "terms")

    def __init__(self, offset: int = 0, terms: dict[Var, int] | None = None) -> None:
        self.offset = offset
        self.terms: dict[Var, int] = {} if terms is None else terms

    def plus(self, other: Form, factor: int = 1) -> Form:
        """``self + factor * other``."""
        terms = dict(self.terms)
        for var, coefficient in other.terms.items():
            total = terms.get(var, 0) + factor * coefficient
            if total:
                terms[var] = total
            else:
                terms.pop(var, None)
        return Form(self.offset + factor * other.offset, terms)

    def shifted(self, by: int) -> Form:
        return Form(self.offset + by, self.terms)

    def times(self, factor: int) -> Form:
        if not factor:
            return Form()
        return Form(self.offset * factor, {v: c * factor for v, c in self.terms.items()})

    def at(self, var: Var, value: int) -> Form:
        """The form where ``var`` has a value."""
        if var not in self.terms:
            return self
        rest = dict(self.terms)
        return Form(self.offset + rest.pop(var) * value, rest)

    def __repr__(self) -> str:
        parts = [f"{c}*{v.hint or v.id}" for v, c in self.terms.items()]
        return " + ".join([*parts, str(self.offset)])


class _Symbol:
    """What is known of a value that is no sum of others: numbers, and forms of earlier symbols."""

    __slots__ = ("high", "low", "lowers", "order", "uppers")

    def __init__(
        self,
        order: int,  # later ones have higher numbers
        low: int | float,
        high: int | float,
        lowers: tuple[Form, ...] = (),
        uppers: tuple[Form, ...] = (),
    ) -> None:
        self.order = order
        self.low = low
        self.high = high
        self.lowers = lowers
        self.uppers = uppers


class _Condition:
    """A bool as facts on forms: those >= 0 if and only if all of it holds (``exact``; else only
    if), those >= 0 where it does not hold, and one that is not 0 then."""

    __slots__ = ("differ", "exact", "false", "true")

    def __init__(
        self,
        true: tuple[Form, ...] = (),
        false: tuple[Form, ...] = (),
        differ: Form | None = None,
        exact: bool = True,
    ) -> None:
        self.true = true
        self.false = false
        self.differ = differ
        self.exact = exact


class Bounds:
    """What is known of the integers in scope.

    Symbols are loop variables and values that are not affine in others; a bound of a form replaces
    its symbols by their own bounds, the latest first. Arithmetic on data that may wrap around makes
    a symbol of its own."""

    def __init__(self) -> None:
        self.symbols: dict[Var, _Symbol] = {}
        self.forms: dict[Var, Form] = {}
        self.ranges: dict[Var, Range | None] = {}
        self.minima: dict[Var, tuple[Form, ...]] = {}
        self.conditions: dict[Var, _Condition] = {}
        self.holding: list[Form] = []  # what is >= 0 where the walk is
        self._made = 0

    # --- making symbols and forms ---

    @property
    def mark(self) -> int:
        """The order of the next symbol."""
        return self._made

    def _define(self, var: Var, *known: Any) -> None:
        self.symbols[var] = _Symbol(self._made, *known)
        self._made += 1

    def symbol(
        self,
        var: Var,
        low: int | float,
        high: int | float,
        lowers: tuple[Form, ...] = (),
        uppers: tuple[Form, ...] = (),
    ) -> None:
        self._define(var, low, high, lowers, uppers)
        self.ranges[var] = Range(low, high, "loop")

    def size(self, var: Var) -> None:
        """A number of elements."""
        self.symbol(var, 0, _MANY)

    def counter(self, var: Var, extents: tuple[Form, ...]) -> None:
        """A loop's variable, below each of the extents."""
        high: int | float = math.inf
        uppers = []
        for extent in extents:
            high = min(high, self.greatest(extent) - 1)
            if extent.terms:
                uppers.append(extent.shifted(-1))
        self.symbol(var, 0, high, (), tuple(uppers))

    def extents(self, extent: int | Operand) -> tuple[Form, ...]:
        """A loop's extent: the least of these."""
        if isinstance(extent, int):
            return (Form(extent),)
        if isinstance(extent, Var) and extent in self.minima:
            return self.minima[extent]
        return (self.form(extent),)

    def form(self, operand: Operand) -> Form:
        """An integer as a form."""
        if isinstance(operand, Const):
            return Form(int(operand.value))
        found = self.forms.get(operand)
        if found is not None:
            return found
        if operand not in self.symbols:
            known = self.ranges.get(operand) or default_range(operand.dtype)
            self._define(operand, known.low, known.high)
        return Form(0, {operand: 1})

    def index(self, index: Index) -> Form:
        """A buffer index as a form."""
        terms: dict[Var, int] = {}
        offset = index.offset
        for var, coefficient in index.terms:
            form = self.forms.get(var)
            if form is None:
                if var not in self.symbols:
                    self.form(var)
                terms[var] = terms.get(var, 0) + coefficient
            else:
                offset += form.offset * coefficient
                for inner, factor in form.terms.items():
                    terms[inner] = terms.get(inner, 0) + factor * coefficient
        if 0 in terms.values():
            terms = {v: c for v, c in terms.items() if c}
        return Form(offset, terms)

    def let(self, let: Let) -> None:
        """Learn about an integer or a comparison of integers."""
        result = let.result
        if result.dtype == "bool":
            self._compare(let)
            return
        if result.dtype not in INTS:
            return
        known = let_range(let, self.ranges)
        if known.low < 0 and result.dtype == "u64":
            known = Range(0, known.high, known.kind)
        self.ranges[result] = known
        if result in self.symbols or result in self.forms:  # a loop whose iterations are followed
            self.symbols.pop(result, None)
            self.forms.pop(result, None)
            self.minima.pop(result, None)
        if result.dtype != "i64" or any(a.dtype != "i64" for a in let.args):
            return
        form = self._linear(let)
        if form is not None:
            if not form.terms or (self.least(form) > -math.inf and self.greatest(form) < math.inf):
                self.forms[result] = form
            return
        if let.op in ("minimum", "maximum"):
            both = tuple([self.form(a) for a in let.args])
            if let.op == "minimum":
                self.minima[result] = both
                self._define(result, known.low, known.high, (), both)
            else:
                self._define(result, known.low, known.high, both)

    def _linear(self, let: Let) -> Form | None:
        args = let.args
        match let.op:
            case "add" | "sub":
                factor = 1 if let.op == "add" else -1
                return self.form(args[0]).plus(self.form(args[1]), factor)
            case "neg":
                return self.form(args[0]).times(-1)
            case "cast":
                return self.form(args[0])
            case "mul":
                a, b = self.form(args[0]), self.form(args[1])
                if not b.terms:
                    return a.times(b.offset)
                if not a.terms:
                    return b.times(a.offset)
            case "floordiv" | "mod" | "minimum" | "maximum":
                a, b = self.form(args[0]), self.form(args[1])
                if not a.terms and not b.terms and (b.offset > 0 or let.op[0] == "m"):
                    return Form(_FOLDS[let.op](a.offset, b.offset)) if b.offset else None
        return None

    def _compare(self, let: Let) -> None:
        op, args = let.op, let.args
        known = [self.conditions.get(a) if isinstance(a, Var) else None for a in args]
        if op == "and":
            there = [k for k in known if k is not None]
            exact = len(there) == len(args) and all(k.exact for k in there)
            self.conditions[let.result] = _Condition(
                tuple([f for k in there for f in k.true]), exact=exact
            )
        elif op == "not" and known[0] is not None and known[0].differ is None:
            whole = known[0].exact and len(known[0].true) == 1
            swapped = _Condition(known[0].false, known[0].true, exact=whole)
            self.conditions[let.result] = swapped if whole else _Condition(exact=False)
        elif op in _COMPARISONS and args[0].dtype == "i64":
            a, b = self.form(args[0]), self.form(args[1])
            up, down = b.plus(a, -1), a.plus(b, -1)  # b - a, a - b
            self.conditions[let.result] = {
                "lt": _Condition((up.shifted(-1),), (down,)),
                "le": _Condition((up,), (down.shifted(-1),)),
                "gt": _Condition((down.shifted(-1),), (up,)),
                "ge": _Condition((down,), (up.shifted(-1),)),
                "eq": _Condition((up, down), (), up),
            }[op]

    def truth(self, condition: Operand) -> bool | None:
        """Whether a condition holds always (True), never (False), or neither is known."""
        if isinstance(condition, Const):
            return bool(condition.value)
        known = self.conditions.get(condition)
        if known is None:
            return None
        if any(self.greatest(f) < 0 for f in known.true):
            return False
        if known.exact and all(self.least(f) >= 0 for f in known.true):
            return True
        return None

    @contextmanager
    def where(self, condition: Operand, holds: bool) -> Iterator[None]:
        """While in a block that runs only where a condition holds, or where it does not."""
        known = self.conditions.get(condition) if isinstance(condition, Var) else None
        if known is None:
            yield
            return
        facts = list(known.true if holds else known.false)
        if not holds and known.differ is not None:
            differ = known.differ
            if self.least(differ) == 0:
                facts.append(differ.shifted(-1))
            elif self.greatest(differ) == 0:
                facts.append(differ.times(-1).shifted(-1))
        before = {v: self.symbols[v] for f in facts for v in f.terms}
        for fact in facts:
            self._narrow(fact)
        self.holding.extend(facts)
        yield
        self.symbols.update(before)
        del self.holding[len(self.holding) - len(facts) :]

    def _narrow(self, fact: Form) -> None:
        """Use that a form of one symbol is >= 0 in what is known of the symbol."""
        if len(fact.terms) != 1:
            return
        ((var, factor),) = fact.terms.items()
        old = self.symbols[var]
        low, high = old.low, old.high
        if factor > 0:
            low = max(low, -(fact.offset // factor))
        else:
            high = min(high, fact.offset // -factor)
        self.symbols[var] = _Symbol(old.order, low, high, old.lowers, old.uppers)

    # --- bounds ---

    def least(self, form: Form) -> int | float:
        """A lower bound, each symbol taken by itself."""
        total: int | float = form.offset
        symbols = self.symbols
        for var, coefficient in form.terms.items():
            known = symbols[var]
            total += coefficient * (known.low if coefficient > 0 else known.high)
        return total

    def greatest(self, form: Form) -> int | float:
        """An upper bound, each symbol taken by itself."""
        total: int | float = form.offset
        symbols = self.symbols
        for var, coefficient in form.terms.items():
            known = symbols[var]
            total += coefficient * (known.high if coefficient > 0 else known.low)
        return total

    def sharp_greatest(self, form: Form) -> int | float:
        """An upper bound that knows how symbols depend on each other."""
        return self._eliminate(form, [_MOST_STEPS])

    def sharp_least(self, form: Form) -> int | float:
        """A lower bound that knows how symbols depend on each other."""
        return -self._eliminate(form.times(-1), [_MOST_STEPS])

    def _eliminate(self, form: Form, steps: list[int]) -> int | float:
        terms = form.terms
        best = self.greatest(form)
        symbols = self.symbols
        # only symbols tied to others can do better than that
        if not any(symbols[v].uppers if c > 0 else symbols[v].lowers for v, c in terms.items()):
            return best
        steps[0] -= 1
        if steps[0] < 0:
            return best
        var = max(terms, key=lambda v: symbols[v].order)
        known, coefficient = symbols[var], terms[var]
        rest = Form(form.offset, {v: c for v, c in terms.items() if v is not var})
        number = known.high if coefficient > 0 else known.low
        if abs(number) < math.inf:
            best = min(best, self._eliminate(rest.shifted(coefficient * int(number)), steps))
        for bound in known.uppers if coefficient > 0 else known.lowers:
            best = min(best, self._eliminate(rest.plus(bound, coefficient), steps))
        return best

    def at_most(self, form: Form, limit: int) -> bool:
        """Whether the form is proven to be at most ``limit``."""
        if self.greatest(form) <= limit or self.sharp_greatest(form) <= limit:
            return True
        for fact in self.holding:
            shared = fact.terms.keys() & form.terms.keys()
            for factor in {1, *(-form.terms[v] // fact.terms[v] for v in shared)}:
                if factor > 0 and self.sharp_greatest(form.plus(fact, factor)) <= limit:
                    return True
        return False

    def at_least(self, form: Form, limit: int) -> bool:
        """Whether the form is proven to be at least ``limit``."""
        return self.least(form) >= limit or self.at_most(form.times(-1), -limit)

    def newer(self, forms: Mapping[Var, int], mark: int) -> bool:
        """Whether a symbol among the terms was made at or after a mark."""
        symbols = self.symbols
        return any(symbols[v].order >= mark for v in forms)
