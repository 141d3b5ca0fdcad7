"""What the blocks of mathematical functions are made of."""

import pytest
from symflux.codegen.ir import BYTES, If, Let, Load, Role, Var, While, walk
from symflux.codegen.mathlib import FUNCTIONS, function
from symflux.codegen.scalars import SCALARS, result_dtype

#: where rare arguments have code of their own
LOOPS = {
    "exp": 1, "sigmoid": 1, "sigmoid_slope": 1, "tanh_slope": 1,
    "sin": 2, "cos": 2, "tan": 2, "log": 2, "log2": 2, "log10": 2, "lgamma": 2,
    ("pow", "f64"): 2, ("pow", "f32"): 0,
}  # fmt: skip


def test_every_row_that_needs_a_function_has_one():
    assert set(FUNCTIONS) == {row.name for row in SCALARS.values() if row.native == "mathlib"}


@pytest.mark.parametrize("dtype", ["f16", "f32", "f64"])
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_blocks_are_simple_typed_and_cached(name, dtype):
    parameters, block = function(name, dtype)
    assert function(name, dtype)[1] is block
    assert [p.dtype for p in parameters] == [dtype] * SCALARS[name].arity
    (result,) = block.yields
    assert result.dtype == dtype
    loops = [s for s in walk(block) if not isinstance(s, (Let, Load))]
    assert all(isinstance(s, While) for s in loops) and not any(isinstance(s, If) for s in loops)
    assert len(loops) == LOOPS.get((name, "f32" if dtype == "f16" else dtype), LOOPS.get(name, 0))
    tables = [s.buffer for s in walk(block) if isinstance(s, Load)]
    assert all(t.role is Role.CONST and len(t.data) == t.size * BYTES[t.dtype] for t in tables)
    for let in walk(block):
        if isinstance(let, Let):
            assert SCALARS[let.op].native != "mathlib"
            kinds = tuple(a.dtype for a in let.args)
            assert let.result.dtype == result_dtype(let.op, kinds, let.result.dtype)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_values_are_assigned_before_they_are_used(name):
    parameters, block = function(name, "f64")
    known = set(parameters)
    pending = [(block, known)]
    while pending:
        block, known = pending.pop()
        for statement in block.statements:
            if isinstance(statement, Load):
                used = [v for v, _ in statement.index.terms]
            else:
                used = statement.args if isinstance(statement, Let) else statement.inits
            assert all(v in known for v in used if isinstance(v, Var))
            if isinstance(statement, (Let, Load)):
                known.add(statement.result)
                continue
            inside = known | set(statement.params)
            pending += [(statement.condition, set(inside)), (statement.body, set(inside))]
            known.update(statement.results)
        assert all(v in known for v in block.yields if isinstance(v, Var))
