"""What the blocks of mathematical functions are made of."""

import pytest
from symflux.codegen.ir import If, Let, Var, While, walk
from symflux.codegen.mathlib import FUNCTIONS, function
from symflux.codegen.scalars import SCALARS, result_dtype


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
    loops = [s for s in walk(block) if not isinstance(s, Let)]
    assert all(isinstance(s, While) for s in loops) and not any(isinstance(s, If) for s in loops)
    assert len(loops) == (name in ("sin", "cos", "tan"))
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
            used = statement.args if isinstance(statement, Let) else statement.inits
            assert all(v in known for v in used if isinstance(v, Var))
            if isinstance(statement, Let):
                known.add(statement.result)
                continue
            inside = known | set(statement.params)
            pending += [(statement.condition, set(inside)), (statement.body, set(inside))]
            known.update(statement.results)
        assert all(v in known for v in block.yields if isinstance(v, Var))
