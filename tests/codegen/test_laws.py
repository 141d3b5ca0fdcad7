"""Every law of the simplifier, alone: both sides agree in every bit, on special values too."""

import functools
import itertools
import math

import numpy as np
import pytest
from symflux.codegen.interp import evaluate, scalar
from symflux.codegen.ir import DTYPES, Const, Let, Var
from symflux.codegen.passes.laws import LAW_LIST, LAWS, fold, holds_exactly, same_operand, simpler
from symflux.codegen.ranges import LIMITS
from symflux.codegen.scalars import FLOATS, SCALARS, numpy_dtype

#: literals that laws look for, and one that none does
LITERALS = (0, 1, -1, 8, 9)
FLOAT_VALUES = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e-7, 65504.0, math.inf, -math.inf, math.nan]


def values_of(dtype):
    if dtype == "bool":
        return [False, True]
    if dtype in FLOATS:
        return FLOAT_VALUES
    low, high = LIMITS[dtype]
    return [v for v in (low, low + 1, -9, -8, -1, 0, 1, 2, 7, 8, 9, 100, high) if low <= v <= high]


def same_bits(a, b):
    if a != a or b != b:
        return a != a and b != b
    return a == b and (a.dtype.kind != "f" or np.signbit(a) == np.signbit(b))


@functools.cache  # all laws meet the same ones
class Setting:
    """Two free values of a dtype and values computed from the first, as a law may find them."""

    def __init__(self, dtype):
        self.x, self.y = Var(dtype, "x"), Var(dtype, "y")
        self.lets = {}
        self.order = []
        self.made = {}
        for op in ("neg", "abs", "not"):
            if dtype in SCALARS[op].domain:
                self.define(op, (self.x,), dtype)
        for middle in DTYPES:
            self.define("cast", (self.x,), middle)
            both = (dtype, middle)
            if "bool" not in both and numpy_dtype(middle).itemsize == numpy_dtype(dtype).itemsize:
                self.define("bitcast", (self.x,), middle)

    def define(self, op, args, dtype):
        var = Var(dtype)
        self.lets[var] = Let(var, op, args)
        self.order.append(var)

    def operands(self, dtype):
        """What an argument of this dtype may be: a value, or a literal that laws look for."""
        found = [v for v in (self.x, self.y, *self.order) if v.dtype == dtype]
        greatest = LIMITS[dtype][1] if dtype in LIMITS else None
        literals = [v for v in values_of(dtype) if v in LITERALS or v == greatest]
        return [*found, *[Const(v, dtype) for v in literals]]

    def environment(self, x, y):
        """The values of all variables, made once; None where a cast does not fit."""
        key = repr((x, y))  # of zeros and nans too
        if key not in self.made:
            env = {self.x: scalar(x, self.x.dtype), self.y: scalar(y, self.y.dtype)}
            with np.errstate(all="ignore"):
                for var in self.order:
                    let = self.lets[var]
                    env[var] = evaluate(let.op, [env[a] for a in let.args], var.dtype)
            self.made[key] = env if in_range(self, env) else None
        return self.made[key]


def value(operand, env):
    return scalar(operand.value, operand.dtype) if isinstance(operand, Const) else env[operand]


def applications(law, dtype):
    """(setting, op, args, result dtype, rewritten) for everything the law applies to."""
    setting = Setting(dtype)
    for op in law.ops:
        row = SCALARS[op]
        kinds = ["bool", dtype, dtype] if op == "select" else [dtype] * row.arity
        if dtype not in row.domain:
            continue
        results = {"bool": ["bool"], "cast": DTYPES}.get(row.result, [dtype])
        for result in results:
            if op == "bitcast" and (
                "bool" in (dtype, result)
                or numpy_dtype(result).itemsize != numpy_dtype(dtype).itemsize
            ):
                continue
            for args in itertools.product(*[setting.operands(k) for k in kinds]):
                rewritten = law.rewrite(op, args, result, setting.lets)
                if rewritten is not None:
                    yield setting, op, args, result, rewritten


def in_range(setting, env):
    """Casts of floats that do not fit are nobody's promise: leave such settings out."""
    for var in setting.order:
        let = setting.lets[var]
        source = let.args[0]
        if let.op == "cast" and source.dtype in FLOATS and var.dtype in LIMITS:
            low, high = LIMITS[var.dtype]
            if not low <= float(env[source]) <= high:
                return False
    return True


@pytest.mark.parametrize("law", LAW_LIST, ids=lambda law: law.name)
def test_both_sides_agree(law):
    applied = 0
    for dtype in DTYPES:
        for setting, op, args, result, rewritten in applications(law, dtype):
            applied += 1
            free = {a for a in args if not isinstance(a, Const)} or {setting.x}
            second = values_of(dtype)[::3] if setting.y in free else [values_of(dtype)[0]]
            for x, y in itertools.product(values_of(dtype), second):
                env = setting.environment(x, y)
                if env is None:
                    continue
                wanted = evaluate(op, [value(a, env) for a in args], result)
                if isinstance(rewritten, tuple):
                    new_op, new_args = rewritten
                    got = evaluate(new_op, [value(a, env) for a in new_args], result)
                else:
                    assert rewritten.dtype == result
                    got = value(rewritten, env)
                assert same_bits(wanted, got), (op, args, x, y, rewritten)
    assert applied


NOT_LAWS = [
    ("add", (None, Const(0.0, "f64")), "f64"),
    ("sub", (None, Const(-0.0, "f64")), "f64"),
    ("mul", (None, Const(0.0, "f64")), "f64"),
    ("sub", (None, None), "f64"),
    ("eq", (None, None), "f64"),
    ("ne", (None, None), "f64"),
    ("le", (None, None), "f64"),
    ("floordiv", (None, Const(1.0, "f64")), "f64"),
    ("mod", (None, Const(8, "f64")), "f64"),
    ("floordiv", (None, Const(-8, "i64")), "i64"),
    ("mod", (None, Const(6, "i64")), "i64"),
]


@pytest.mark.parametrize(("op", "args", "dtype"), NOT_LAWS)
def test_what_is_not_exact_is_no_law(op, args, dtype):
    x = Var(dtype)
    args = tuple(x if a is None else a for a in args)
    assert simpler(op, args, dtype, {}) is None


def test_laws_are_found_by_operation():
    assert {law.name for laws in LAWS.values() for law in laws} == {law.name for law in LAW_LIST}
    assert len({law.name for law in LAW_LIST}) == len(LAW_LIST)
    assert all(op in SCALARS for op in LAWS)


@pytest.mark.parametrize("narrow", DTYPES)
def test_holds_exactly_is_what_numpy_calls_a_safe_cast(narrow):
    """NumPy's rule, except that it takes i64 and u64 to fit into f64."""
    for wide in DTYPES:
        safe = np.can_cast(numpy_dtype(narrow), numpy_dtype(wide), "safe")
        if (narrow, wide) in {("i64", "f64"), ("u64", "f64")}:
            safe = False
        assert holds_exactly(narrow, wide) == safe, wide


def test_fold_keeps_bits_and_leaves_what_targets_may_not_agree_on():
    assert fold("mul", (Const(-1.0, "f64"), Const(0.0, "f64")), "f64").value == 0
    assert math.copysign(1, fold("neg", (Const(0.0, "f64"),), "f64").value) == -1
    assert fold("add", (Const(0.1, "f32"), Const(0.2, "f32")), "f32") == Const(
        float(np.float32(0.1) + np.float32(0.2)), "f32"
    )
    assert fold("cast", (Const(300, "i64"),), "u8") == Const(44, "u8")
    assert fold("cast", (Const(2.0**62, "f64"),), "i64") == Const(2**62, "i64")
    assert fold("cast", (Const(2.0**63, "f64"),), "i64") is None
    assert fold("cast", (Const(-1.0, "f64"),), "u8") is None
    assert fold("cast", (Const(math.nan, "f16"),), "i8") is None
    assert fold("cast", (Const(65504.0, "f16"),), "i32") == Const(65504, "i32")
    assert fold("shl", (Const(1, "i8"), Const(8, "i8")), "i8") is None
    assert fold("shr", (Const(-128, "i8"), Const(7, "i8")), "i8") == Const(-1, "i8")
    assert fold("add", (Const(1, "i8"), Var("i8")), "i8") is None
    assert isinstance(fold("lt", (Const(1, "i8"), Const(2, "i8")), "bool").value, bool)


def test_same_operand():
    x = Var("f64")
    assert same_operand(x, x)
    assert not same_operand(x, Var("f64"))
    assert not same_operand(x, Const(1.0, "f64"))
    assert same_operand(Const(math.nan, "f64"), Const(math.nan, "f64"))
    assert not same_operand(Const(0.0, "f64"), Const(-0.0, "f64"))
    assert not same_operand(Const(1.0, "f64"), Const(1.0, "f32"))
    assert same_operand(Const(0, "i64"), Const(0, "i64"))
