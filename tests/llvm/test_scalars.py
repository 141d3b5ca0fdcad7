"""Every scalar operation on every dtype: native code against the row's NumPy meaning."""

import itertools

import numpy as np
import pytest
from symflux.codegen.interp import evaluate
from symflux.codegen.ir import (
    DTYPES,
    Block,
    Buffer,
    Const,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Program,
    Role,
    Store,
    Var,
)
from symflux.codegen.llvm.jit import compile_program
from symflux.codegen.scalars import FLOATS, SCALARS, numpy_dtype

SPECIAL_FLOATS = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.75, -7.0, 1e-3, 100.0, -123.5,
    np.inf, -np.inf, np.nan,
]  # fmt: skip


def samples(dtype):
    if dtype == "bool":
        return np.array([False, True])
    kind = numpy_dtype(dtype)
    if dtype in FLOATS:
        info = np.finfo(kind)
        edges = [info.max, -info.max, info.tiny, -info.tiny, info.smallest_subnormal, info.eps]
        return np.array([*SPECIAL_FLOATS, *edges], kind)
    info = np.iinfo(kind)
    small = [v for v in (0, 1, -1, 2, -2, 3, 7, -7, 64, 100) if info.min <= v <= info.max]
    return np.array([*small, info.min, info.min + 1, info.max, info.max - 1], kind)


def apply(op, columns, result_dtype, dtypes, mode):
    """Run ``out[i] = op(columns[i])`` natively."""
    n = len(columns[0])
    inputs = [Buffer(f"x{k}", d, n, Role.INPUT) for k, d in enumerate(dtypes)]
    out = Buffer("out", result_dtype, n, Role.OUTPUT)
    i = Var("i64", "i")
    here = Index(((i, 1),))
    values = [Var(d) for d in dtypes]
    result = Var(result_dtype)
    loads = tuple(Load(v, b, here) for v, b in zip(values, inputs, strict=True))
    body = Block((*loads, Let(result, op, tuple(values)), Store(out, here, result)))
    kernel = Kernel("k", Block((Loop(i, n, body, mode=mode),)))
    native = compile_program(Program("p", (*inputs, out), (kernel,)))
    answer = np.empty(n, numpy_dtype(result_dtype))
    native.run({f"x{k}": c for k, c in enumerate(columns)} | {"out": answer})
    return answer


def signature(op, dtype):
    """(argument dtypes, result dtype) of an op over ``dtype``."""
    row = SCALARS[op]
    if row.result == "select":
        return ("bool", dtype, dtype), dtype
    return (dtype,) * row.arity, "bool" if row.result == "bool" else dtype


DIRECT = [
    (row.name, dtype)
    for row in SCALARS.values()
    if row.native != "mathlib" and row.result != "cast"
    for dtype in DTYPES
    if dtype in row.domain
]


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("mode", ["serial", "vector"])
@pytest.mark.parametrize(("op", "dtype"), DIRECT)
def test_operation_means_what_its_row_says(op, dtype, mode):
    dtypes, result = signature(op, dtype)
    rows = list(itertools.product(*(samples(d) for d in dtypes)))
    if op == "fma":
        rows = rows[:: len(rows) // 400]
    columns = [np.array(c, numpy_dtype(d)) for c, d in zip(zip(*rows, strict=True), dtypes,
                                                            strict=True)]  # fmt: skip
    expected = np.array([evaluate(op, row, result) for row in rows], numpy_dtype(result))
    answer = apply(op, columns, result, dtypes, mode)
    np.testing.assert_array_equal(answer, expected)
    if dtype in FLOATS and op not in {"minimum", "maximum"}:  # of two zeros either one wins
        finite = ~np.isnan(expected.astype("f8"))
        np.testing.assert_array_equal(np.signbit(answer[finite].astype("f8")),
                                      np.signbit(expected[finite].astype("f8")))  # fmt: skip


def representable(values, target):
    """The values that ``target`` can hold; elsewhere NumPy's cast is undefined too."""
    if target in FLOATS or target == "bool" or values.dtype.kind != "f":
        return values
    info = np.iinfo(numpy_dtype(target))
    wide = values.astype("f8")
    return values[np.isfinite(wide) & (wide >= info.min) & (wide < info.max)]


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("mode", ["serial", "vector"])
@pytest.mark.parametrize(("source", "target"), list(itertools.product(DTYPES, DTYPES)))
def test_cast_is_numpys_astype(source, target, mode):
    values = representable(samples(source), target)
    answer = apply("cast", [values], target, (source,), mode)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(answer, values.astype(numpy_dtype(target)))


@pytest.mark.parametrize("seed", range(4))
def test_double_to_half_rounds_once(seed):
    rng = np.random.default_rng(seed)
    halves = rng.integers(0, 2**16, 4000, dtype="u2").view("f2").astype("f8")
    halves = halves[np.abs(halves) < 65504.0]
    middles = halves + np.spacing(halves.astype("f2")).astype("f8") / 2
    values = np.concatenate([middles, np.nextafter(middles, np.inf), np.nextafter(middles, 0)])
    with np.errstate(over="ignore"):
        expected = values.astype("f2")
    np.testing.assert_array_equal(apply("cast", [values], "f16", ("f64",), "vector"), expected)


@pytest.mark.parametrize(
    ("source", "target"),
    [("f32", "i32"), ("i32", "f32"), ("f64", "u64"), ("i64", "f64"), ("f16", "u16"),
     ("i16", "f16"), ("i32", "u32"), ("u8", "i8")],
)  # fmt: skip
def test_bitcast_keeps_the_bits(source, target):
    values = samples(source)
    answer = apply("bitcast", [values], target, (source,), "vector")
    assert answer.tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d[0] in "iu"])
def test_division_by_a_known_number_rounds_down(dtype):
    """All ways at once: powers of two and others, the largest, negative ones, zero."""
    column = samples(dtype)
    info = np.iinfo(column.dtype)
    divisors = [d for d in (1, 2, 3, 7, 64, 100, info.max, 0, -1, -3, -8) if d >= info.min]
    x = Buffer("x", dtype, len(column), Role.INPUT)
    i, value = Var("i64", "i"), Var(dtype)
    here = Index(((i, 1),))
    body, outs, expected = [Load(value, x, here)], [], {}
    for op, divisor in itertools.product(("floordiv", "mod"), divisors):
        out = Buffer(f"{op} {len(outs)}", dtype, len(column), Role.OUTPUT)
        outs.append(out)
        result = Var(dtype)
        known = Const(divisor, dtype)
        body += [Let(result, op, (value, known)), Store(out, here, result)]
        with np.errstate(all="ignore"):
            expected[out.name] = SCALARS[op].meaning(column, column.dtype.type(divisor))
    for mode in ("serial", "vector"):
        kernel = Kernel("k", Block((Loop(i, len(column), Block(tuple(body)), mode=mode),)))
        native = compile_program(Program("p", (x, *outs), (kernel,)))
        found = {out.name: np.empty(len(column), column.dtype) for out in outs}
        native.run({"x": column} | found)
        for name, values in found.items():
            np.testing.assert_array_equal(values, expected[name], err_msg=f"{mode} {name}")
