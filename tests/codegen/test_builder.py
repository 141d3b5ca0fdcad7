"""The builder of loop programs: statements, constants, affine indices, scopes and its errors."""

import pickle
import struct

import pytest
from symflux.codegen.builder import Builder, ScalarBuilder, Value, constant
from symflux.codegen.ir import Const, Contract, If, Index, Let, Load, Loop, Role, Store, Var, While


def only_loop(program):
    (loop,) = program.kernels[0].body.statements
    assert isinstance(loop, Loop)
    return loop


def test_axpy_is_four_statements_in_one_vector_loop():
    b = Builder("axpy")
    x, y = b.input("x", "f64", 1000), b.inout("y", "f64", 1000)
    with b.kernel("k0", note="y += 2x"), b.loop(1000, mode="vector") as i:
        b.store(y, i, 2.0 * b.load(x, i) + b.load(y, i))
    program = b.program()

    assert (program.name, program.buffers, program.arena) == ("axpy", (x, y), 0)
    assert (program.kernels[0].name, program.kernels[0].note) == ("k0", "y += 2x")
    loop = only_loop(program)
    assert (loop.extent, loop.mode, loop.var.hint) == (1000, "vector", "i")
    load_x, double, load_y, total, store = loop.body.statements
    here = Index(((loop.var, 1),), 0)
    assert load_x == Load(load_x.result, x, here)
    assert double == Let(double.result, "mul", (Const(2.0, "f64"), load_x.result))
    assert total == Let(total.result, "add", (double.result, load_y.result))
    assert store == Store(y, here, total.result)
    assert total.result.dtype == "f64"


def test_carried_values_of_a_loop():
    b = Builder("sum")
    x, out = b.input("x", "f32", 8), b.output("out", "f32", 1)
    with b.kernel("k0"):
        with b.loop(8, carry=[Const(0.0, "f32")]) as i:
            (acc,) = i.params
            i.yield_(b.let("add", acc, b.load(x, i), reassociate=True))
        b.store(out, 0, i.results[0])
    loop, store = b.program().kernels[0].body.statements
    assert loop.inits == (Const(0.0, "f32"),)
    assert loop.body.yields == (loop.body.statements[-1].result,)
    assert loop.body.statements[-1].reassociate
    assert store == Store(out, Index((), 0), loop.results[0])
    assert loop.results[0].dtype == "f32"


def test_index_arithmetic_folds_into_affine_indices_without_statements():
    b = Builder("p")
    x = b.output("x", "i64", 100)
    n = b.size("n")
    with b.kernel("k"), b.loop(4) as i, b.loop(5) as j:
        for index in (i * 10 + j + 3, 3 + j - (-10 * i), (i + i) * 5 + 3 + j, 3 - (-j) + i * 10):
            b.store(x, index, 1)
        b.store(x, i - i, 1)
        b.store(x, i + n, 1)
        b.store(x, 0 * i, 1)
    stores = only_loop(b.program()).body.statements[0].body.statements
    assert all(isinstance(s, Store) for s in stores)
    for s in stores[:4]:
        assert (dict(s.index.terms), s.index.offset) == ({i.var: 10, j.var: 1}, 3)
    assert stores[4].index == Index((), 0)
    assert dict(stores[5].index.terms) == {i.var: 1, n: 1}
    assert stores[6].index == Index((), 0)


def test_an_index_used_as_a_value_records_its_arithmetic():
    b = Builder("p")
    x = b.output("x", "i64", 100)
    with b.kernel("k"), b.loop(4) as i:
        b.store(x, i, i * 3 + 1)
        b.store(x, i, i % 2)
    statements = only_loop(b.program()).body.statements
    mul, add, first, mod, second = statements
    assert (mul.op, mul.args) == ("mul", (i.var, Const(3, "i64")))
    assert (add.op, add.args) == ("add", (mul.result, Const(1, "i64")))
    assert first.value is add.result
    assert (mod.op, mod.args, second.value) == ("mod", (i.var, Const(2, "i64")), mod.result)


def test_every_operator_records_its_row():
    b = ScalarBuilder()
    x, n = Value(b, "f64"), Value(b, "i32")
    recorded = [
        (x + 1, "add"), (1 + x, "add"), (x - 1, "sub"), (1 - x, "sub"), (x * 2, "mul"),
        (2 * x, "mul"), (x / 2, "div"), (1 / x, "div"), (x // 2, "floordiv"), (x % 2, "mod"),
        (-x, "neg"), (x**2, "pow"), (abs(x), "abs"), (x < 0, "lt"), (x <= 0, "le"), (x > 0, "gt"),
        (x >= 0, "ge"), (n & 1, "and"), (n | 1, "or"), (n ^ 1, "xor"), (~n, "not"), (n << 1, "shl"),
        (n >> 1, "shr"),
    ]  # fmt: skip
    assert [s.op for s in b._statements] == [op for _, op in recorded]
    assert [s.result for s in b._statements] == [value for value, _ in recorded]
    one_minus = b._statements[3]
    assert one_minus.args == (Const(1.0, "f64"), x)
    assert {v.dtype for v, op in recorded if op in ("lt", "le", "gt", "ge")} == {"bool"}
    assert b._statements[-1].args == (n, Const(1, "i32"))


def test_select_and_casts_have_their_own_result_types():
    b = ScalarBuilder()
    x = Value(b, "f32")
    assert b.select(x > 0, x, 0).dtype == "f32"
    assert b._statements[-1].args[2] == Const(0.0, "f32")
    assert b.cast(x, "i8").dtype == "i8"
    assert b.bitcast(x, "u32").dtype == "u32"
    assert b.let("isnan", x).dtype == "bool"


def test_if_with_and_without_results():
    b = Builder("p")
    x, y = b.input("x", "f64", 1), b.output("y", "f64", 1)
    with b.kernel("k"):
        v = b.load(x, 0)
        with b.if_(v > 0.0) as branch:
            branch.yield_(v)
        with branch.otherwise:
            branch.otherwise.yield_(0)
        with b.if_(v < 1.0):
            b.store(y, 0, branch.results[0])
    _, _, first, _, second = b.program().kernels[0].body.statements
    assert isinstance(first, If)
    assert first.then.yields == (v,)
    assert first.otherwise.yields == (Const(0.0, "f64"),)
    assert first.results == branch.results
    assert second.otherwise.statements == () and second.results == ()


def test_while_splits_condition_and_body():
    b = Builder("p")
    x = b.inout("x", "f64", 1)
    with b.kernel("k"):
        with b.while_([b.load(x, 0), 0]) as loop:
            value, count = loop.params
            loop.condition(value > 1.0)
            loop.yield_(value * 0.5, count + 1)
        b.store(x, 0, loop.results[0])
    loop = b.program().kernels[0].body.statements[1]
    assert isinstance(loop, While)
    assert [s.op for s in loop.condition.statements] == ["gt"]
    assert loop.condition.yields == (loop.condition.statements[0].result,)
    assert [s.op for s in loop.body.statements] == ["mul", "add"]
    assert [r.dtype for r in loop.results] == ["f64", "i64"]


def test_contract_with_an_epilogue():
    b = Builder("p")
    x, y, z = b.input("x", "f32", 15), b.input("y", "f32", 20), b.output("z", "f32", 12)
    with b.kernel("k"):
        dims = [("m", 3, 5, 0), ("n", 4, 0, 1), ("k", 5, 1, 4)]
        with b.contract(x, y, dims) as product:
            m, n = product.indices
            b.store(z, m * 4 + n, b.let("maximum", product.acc, 0.0))
    (contract,) = b.program().kernels[0].body.statements
    assert isinstance(contract, Contract)
    assert [d.role for d in contract.dims] == ["m", "n", "k"]
    assert contract.acc.dtype == "f32"
    largest, store = contract.epilogue.statements
    assert largest.args == (contract.acc, Const(0.0, "f32"))
    assert dict(store.index.terms) == {contract.dims[0].var: 4, contract.dims[1].var: 1}
    with pytest.raises(ValueError, match="batch, m, n or k"):
        b.contract(x, y, [("q", 1, 1, 1)])


def test_temps_are_laid_out_in_the_arena():
    b = Builder("p")
    first, second = b.temp("a", "f64", 3), b.temp("b", "f32", 100)
    again = b.temp("c", "i8", 64, offset=0)
    table = b.const("t", "f64", struct.pack("=2d", 1.0, 2.0))
    assert (first.offset, second.offset, again.offset) == (0, 64, 0)
    assert (table.size, table.role) == (2, Role.CONST)
    assert b.program().arena == 64 + 400
    with pytest.raises(ValueError, match="multiple of 64"):
        b.temp("d", "f64", 3, offset=8)
    with pytest.raises(ValueError, match="already has a buffer named a"):
        b.input("a", "f64", 1)
    with pytest.raises(ValueError, match="no dtype"):
        b.input("e", "float64", 1)


def test_constants_convert_exactly_or_not_at_all():
    assert constant(1, "f32") == Const(1.0, "f32")
    assert isinstance(constant(1, "f32").value, float)
    assert constant(2.0, "i8") == Const(2, "i8")
    assert constant(1, "bool") == Const(True, "bool")
    with pytest.raises(TypeError, match=r"1\.5 is no i32"):
        constant(1.5, "i32")
    with pytest.raises(TypeError, match="2 is no bool"):
        constant(2, "bool")


@pytest.mark.parametrize(
    ("op", "dtypes", "message"),
    [
        ("add", ("f64", "f32"), "dtypes differ"),
        ("div", ("i32", "i32"), "defined for f16, f32, f64"),
        ("select", ("f64", "f64", "f64"), r"select takes \(bool, T, T\)"),
        ("select", ("bool", "f64", "f32"), r"select takes \(bool, T, T\)"),
        ("add", ("f64",), "takes 2 operands, got 1"),
    ],
)
def test_let_refuses_operands_that_do_not_fit(op, dtypes, message):
    b = ScalarBuilder()
    with pytest.raises(TypeError, match=message):
        b.let(op, *(Var(dtype) for dtype in dtypes))
    assert b._statements == []


def test_scopes_refuse_what_would_not_verify():
    b = Builder("p")
    y = b.output("y", "f64", 1)
    with b.kernel("outer"):
        with pytest.raises(TypeError, match="must yield"), b.loop(3, carry=[0.0]):
            pass
        with pytest.raises(TypeError, match="must yield"), b.loop(3) as i:
            i.yield_(1.0)
        with pytest.raises(TypeError, match="open blocks"):
            b.program()
        with pytest.raises(TypeError, match="cannot stand inside"):
            b.kernel("inner")
        with pytest.raises(TypeError, match="store of f32"):
            b.store(y, 0, Var("f32"))
        with pytest.raises(TypeError, match="no index"):
            b.store(y, 0.5, 1.0)
        with pytest.raises(TypeError, match="condition of an if is a bool"):
            b.if_(Var("f64"))
        with pytest.raises(TypeError, match="needs condition"), b.while_([0.0]) as loop:
            loop.yield_(1.0)
    with pytest.raises(TypeError, match="no otherwise"), b.kernel("k"), b.if_(True) as branch:
        branch.yield_(1.0)


def test_otherwise_must_follow_its_if():
    b = Builder("p")
    y = b.output("y", "f64", 1)
    with b.kernel("k"):
        with b.if_(True) as branch:
            b.store(y, 0, 1.0)
        b.store(y, 0, 2.0)
        with pytest.raises(TypeError, match="must follow its if"), branch.otherwise:
            b.store(y, 0, 3.0)
    assert len(b.program().kernels[0].body.statements) == 2


def test_an_error_inside_a_block_discards_the_block():
    b = Builder("p")
    y = b.output("y", "f64", 1)
    with b.kernel("k"):
        with pytest.raises(ZeroDivisionError), b.loop(3) as i:
            b.store(y, i, 1.0)
            raise ZeroDivisionError
        b.store(y, 0, 2.0)
    assert [type(s) for s in b.program().kernels[0].body.statements] == [Store]


def test_many_statements_and_deep_nesting_do_not_recurse():
    b = Builder("p")
    y = b.output("y", "f64", 1)
    with b.kernel("k"):
        value = b.load(y, 0)
        for _ in range(20_000):
            value = value + 1.0
        b.store(y, 0, value)
        scopes = [b.loop(1) for _ in range(2_000)]
        for scope in scopes:
            scope.__enter__()
        for scope in reversed(scopes):
            scope.__exit__(None, None, None)
    assert len(b.program().kernels[0].body.statements) == 20_003


def test_values_pickle_as_plain_vars():
    value = Value(ScalarBuilder(), "f64", "x")
    copy = pickle.loads(pickle.dumps(value))
    assert type(copy) is Var
    assert (copy.dtype, copy.hint, copy.id) == ("f64", "x", value.id)
