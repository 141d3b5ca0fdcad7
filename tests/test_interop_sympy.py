"""SymPy in both directions: expressions evaluate alike, and derive alike."""

import random

import numpy as np
import pytest
import sympy as sp

import symflux as sf
from symflux.errors import UnsupportedOperation
from symflux.interop.sympy import LARGEST

x, y, z = sp.symbols("x y z", real=True)
POINTS = ((0.3, 0.7, 1.9), (0.9, 0.2, 3.1), (0.55, 0.45, 0.6))


def exact(expr, values, symbols=(x, y, z)):
    """SymPy's own value, found with 30 digits."""
    return float(sp.N(expr.subs(dict(zip(symbols, map(sp.Float, values), strict=False))), 30))


# --- expressions to functions ---------------------------------------------------------------------

EXPRESSIONS = (
    x + 2 * y - z / 3,
    x**3 - x * y**2 / z,
    x ** sp.Rational(1, 2) + z ** sp.Rational(-1, 2) + x ** sp.Rational(2, 3),
    z**x + x**-2 + y ** (-z),
    sp.exp(-x * y) + sp.exp(1) ** z,
    sp.sin(x) * sp.cos(y) + sp.tan(x * y),
    sp.asin(x) + sp.acos(y) - sp.atan(z) + sp.atan2(x, -y),
    sp.sinh(x) / sp.cosh(y) + sp.tanh(z),
    sp.asinh(x) + sp.acosh(1 + z) + sp.atanh(y),
    sp.log(x) + sp.log(z, 2),
    sp.Abs(x - z) + sp.sign(x - y),
    sp.floor(3 * z) + sp.ceiling(2 * x),
    sp.erf(x) + sp.erfc(y),
    sp.Max(x, y, z) - sp.Min(x, y, z),
    sp.Piecewise((x**2, x < sp.Rational(1, 2)), (sp.sin(y), y < x), (z, True)),
    sp.Piecewise((x, sp.And(x > y, z > 1)), (y, sp.Or(x < y, sp.Not(z > 1))), (z, True)),
    sp.pi * x + sp.E * y + sp.Rational(1, 3) + sp.Float("0.1"),
    sp.loggamma(z) * x,
    (x + y) ** 2 * sp.sin((x + y) ** 2) / (1 + (x + y) ** 2),
    sp.sec(x) + sp.cot(y) + sp.csc(z),
)


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("expr", EXPRESSIONS, ids=str)
@pytest.mark.parametrize("values", POINTS, ids=str)
def test_value_of_an_expression(expr, values):
    f = sf.from_sympy(expr, [x, y, z])
    assert float(f(*values)) == pytest.approx(exact(expr, values), rel=1e-13, abs=1e-14)


SMOOTH = [e for e in EXPRESSIONS if not e.has(sp.floor, sp.ceiling, sp.Max, sp.sign, sp.Piecewise)]


@pytest.mark.parametrize("expr", SMOOTH, ids=str)
def test_derivative_is_that_of_sympy(expr):
    f = sf.from_sympy(expr, [x, y, z])
    found = sf.grad(f, (0, 1, 2))(*POINTS[0])
    wanted = [exact(sp.diff(expr, s), POINTS[0]) for s in (x, y, z)]
    np.testing.assert_allclose([float(g) for g in found], wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("expr", SMOOTH[:6], ids=str)
def test_second_derivative_is_that_of_sympy(expr):
    f = sf.from_sympy(expr, [x, y, z])
    found = float(sf.grad(sf.grad(f))(*POINTS[0]))
    assert found == pytest.approx(exact(sp.diff(expr, x, 2), POINTS[0]), rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("values", POINTS, ids=str)
def test_derivative_of_a_piecewise_expression(values):
    expr = sp.Piecewise((x**2 * y, x < sp.Rational(1, 2)), (sp.sin(x * y), True))
    f = sf.from_sympy(expr, [x, y])
    assert float(sf.grad(f)(*values[:2])) == pytest.approx(exact(sp.diff(expr, x), values))


def _random_expression(rng, depth):
    """Smooth and finite on the unit cube."""
    if depth == 0:
        return rng.choice([x, y, z, sp.Rational(rng.randint(1, 5), 3), sp.Integer(2)])
    a, b = (_random_expression(rng, depth - 1) for _ in range(2))
    return rng.choice([
        lambda: a + b, lambda: a - b, lambda: a * b, lambda: a / (1 + b**2), lambda: sp.sin(a),
        lambda: sp.exp(-(a**2)), lambda: sp.tanh(a), lambda: sp.log(1 + a**2),
        lambda: sp.sqrt(1 + a**2), lambda: sp.atan(a) * b, lambda: a**2 - b**3,
    ])()  # fmt: skip


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("seed", range(30))
def test_random_expression_and_its_gradient(seed):
    rng = random.Random(seed)
    expr = sp.sympify(_random_expression(rng, 4))
    values = [rng.uniform(0.1, 1.0) for _ in range(3)]
    f = sf.from_sympy(expr, [x, y, z])
    wanted = exact(expr, values)
    assert float(f(*values)) == pytest.approx(wanted, rel=1e-10, abs=1e-11)
    slopes = [float(g) for g in sf.grad(f, (0, 1, 2))(*values)]
    expected = [exact(sp.diff(expr, s), values) for s in (x, y, z)]
    np.testing.assert_allclose(slopes, expected, rtol=1e-9, atol=1e-9 * (1 + abs(wanted)))


def test_matrix_keeps_its_shape():
    f = sf.from_sympy(sp.Matrix([[x, y, 1], [x * y, x - y, sp.sin(x)]]), [x, y])
    np.testing.assert_allclose(f(2.0, 3.0), [[2, 3, 1], [6, -1, np.sin(2.0)]])


def test_nested_list_and_array():
    np.testing.assert_array_equal(sf.from_sympy([[x, 2 * x], [3, 4]], [x])(5.0), [[5, 10], [3, 4]])
    np.testing.assert_array_equal(sf.from_sympy(sp.Array([x, x + 1]), [x])(5.0), [5, 6])


def test_jacobian_of_a_vector_expression():
    vector = sp.Matrix([x * sp.cos(y), x * sp.sin(y)])
    f = sf.from_sympy(vector, [x, y])
    wanted = vector.jacobian([x, y]).subs({x: 2.0, y: 0.5})
    found = sf.jacobian(f, (0, 1))(2.0, 0.5)
    got = np.concatenate(found, axis=1)
    np.testing.assert_allclose(got, np.array(wanted.tolist(), float), rtol=1e-14)


def test_single_precision():
    value = sf.from_sympy(sp.sin(x) * y, [x, y], "float32")(np.float32(0.5), np.float32(3.0))
    assert value.dtype == np.float32
    assert float(value) == pytest.approx(np.sin(0.5) * 3, rel=1e-6)


def test_constant_expression():
    assert float(sf.from_sympy(sp.pi, [x])(0.0)) == float(np.pi)


def test_function_maps_over_arrays():
    f = sf.vmap(sf.from_sympy(x**2 + y, [x, y]), in_axes=(0, None))
    np.testing.assert_array_equal(f(np.array([1.0, 2.0, 3.0]), 0.5), [1.5, 4.5, 9.5])


def test_common_subexpressions_are_computed_once():
    shared = sp.tanh(sp.sin(x) + y)
    f = sf.from_sympy([shared + 1, shared * 2, shared**2], [x, y])
    graph = str(f.lower(0.1, 0.2).graph)
    assert graph.count("= tanh ") == 1
    assert graph.startswith("graph expression(x: f64, y: f64) -> f64[3]\n")


def test_nested_expression():
    deep = x
    for _ in range(60):
        deep = sp.sin(deep) + sp.Rational(1, 2)
    value = 0.25
    for _ in range(60):
        value = np.sin(value) + 0.5
    assert float(sf.from_sympy(deep, [x])(0.25)) == pytest.approx(float(value), rel=1e-13)


def test_symbols_with_any_name():
    odd, reserved = sp.symbols(r"\alpha_{1} lambda")
    assert float(sf.from_sympy(odd - 2 * reserved, [odd, reserved])(7.0, 2.0)) == 3.0


def test_polygamma():
    f = sf.from_sympy(sp.polygamma(1, x) + sp.digamma(y), [x, y])
    assert float(f(1.0, 1.0)) == pytest.approx(float(np.pi**2 / 6 - np.euler_gamma))


def test_unknown_symbol_is_named():
    with pytest.raises(UnsupportedOperation, match="y is not among the symbols x"):
        sf.from_sympy(x + y, [x])


def test_unknown_function_is_named():
    with pytest.raises(UnsupportedOperation, match="besselj has no counterpart"):
        sf.from_sympy(sp.besselj(0, x), [x])


# --- functions to expressions ---------------------------------------------------------------------

FUNCTIONS = (
    lambda a, b: 3 * a**2 + 2 * a * b - b / a,
    lambda a, b: np.exp(-a) * np.log(b) + np.log1p(a) - np.expm1(b),
    lambda a, b: np.sin(a) * np.cos(b) / np.tan(a + b),
    lambda a, b: np.arctan2(a, b) + np.arcsin(a / 2) - np.arctan(b),
    lambda a, b: np.sinh(a) - np.cosh(b) * np.tanh(a),
    lambda a, b: np.sqrt(a) + sf.sigmoid(b) + sf.softplus(a) + sf.relu(a - b) + sf.erf(b),
    lambda a, b: np.maximum(a, b) - np.minimum(a, 0.3) + np.abs(a - b) + np.sign(a - b),
    lambda a, b: np.where(a > b, a**2, np.sin(b)),
    lambda a, b: a**b + np.power(b, 2.5) + np.hypot(a, b),
    lambda a, b: np.floor(3 * a) + np.ceil(b) + a % 0.25 + 7 * a // 2.0,
    lambda a, b: np.where((a > 0.1) & ~(b > 5.0) | (a == b), a, b),
    lambda a, b: np.log2(a) + np.log10(b) + np.exp2(a) + np.reciprocal(b) + np.square(a),
)


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
@pytest.mark.parametrize("optimized", [False, True])
def test_graph_as_an_expression(number, optimized):
    fn = FUNCTIONS[number]
    low = sf.compile(fn).lower(0.7, 0.4)
    expr = low.to_sympy() if optimized else low.graph.to_sympy()
    a, b = sp.symbols("a b", real=True)
    for values in ((0.7, 0.4), (0.2, 0.9)):
        assert exact(expr, values, (a, b)) == pytest.approx(float(fn(*values)), rel=1e-12)


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
def test_gradient_as_an_expression_equals_sympys_derivative(number):
    fn = FUNCTIONS[number]
    a, b = sp.symbols("a b", real=True)
    mine = sf.trace(sf.grad(fn))(0.7, 0.4).to_sympy()
    theirs = sp.diff(sf.trace(fn)(0.7, 0.4).to_sympy(), a)
    for values in ((0.7, 0.4), (0.2, 0.9)):
        assert exact(mine, values, (a, b)) == pytest.approx(
            exact(theirs, values, (a, b)), rel=1e-12
        )


def test_arrays_become_arrays_of_symbols():
    found = sf.trace(lambda w, v: w @ v)(np.ones((2, 3)), np.ones(3)).to_sympy()
    assert found.shape == (2,)
    assert str(found[1]) == "v[0]*w[1, 0] + v[1]*w[1, 1] + v[2]*w[1, 2]"


def test_reductions_and_index_maps():
    def f(m):
        return np.sum(m[::-1].T, axis=0) + np.max(m) - np.prod(m[:, :1])

    m = np.array([[1.5, -2.0], [0.5, 3.0]])
    expr = sf.trace(f)(m).to_sympy()
    names = {f"m[{i}, {j}]": m[i, j] for i in range(2) for j in range(2)}
    got = [e.subs({s: names[str(s)] for s in e.free_symbols}) for e in expr]
    np.testing.assert_allclose(np.array(got, float), f(m))


def test_several_results_are_a_list():
    found = sf.trace(lambda a: (a + 1, a * a))(2.0).to_sympy()
    a = sp.Symbol("a", real=True)
    assert [sp.simplify(found[0] - (a + 1)), sp.simplify(found[1] - a**2)] == [0, 0]


def test_latex():
    assert sf.trace(lambda a: np.sqrt(a) / 2.0)(2.0).latex() == "0.5 \\sqrt{a}"
    assert (
        sf.compile(lambda a, b: np.sin(a) * b).lower(1.0, 2.0).latex()
        == "b \\sin{\\left(a \\right)}"
    )


def test_there_and_back():
    def f(a, b):
        return np.exp(-a * b) + np.sin(a) ** 2 / (1 + b**2)

    low = sf.compile(f).lower(0.3, 0.8)
    back = sf.from_sympy(low.to_sympy(), sp.symbols("a b", real=True))
    assert float(back(0.3, 0.8)) == pytest.approx(float(f(0.3, 0.8)), rel=1e-14)


def test_loops_have_no_closed_form():
    graph = sf.trace(lambda a: sf.while_loop(lambda v: v < 9.0, lambda v: v * 2.0, a))(1.0)
    with pytest.raises(UnsupportedOperation, match="while has no closed form"):
        graph.to_sympy()


def test_large_arrays_are_refused():
    graph = sf.trace(lambda a: np.sin(a))(np.ones(LARGEST + 1))
    with pytest.raises(UnsupportedOperation, match=f"has {LARGEST + 1} elements"):
        graph.to_sympy()


# --- numbers, functions and arguments of all kinds ------------------------------------------------


def test_integers_in_expressions_are_numbers_of_the_arguments_dtype():
    choice = sp.Piecewise((-1, x > 0), (1, True))
    for expr in (2**choice, choice / 2, 1 / (choice * 2), sp.Max(choice, -3) ** choice):
        for value in (3.0, -3.0):
            assert float(sf.from_sympy(expr, [x])(value)) == float(expr.subs(x, value))
    assert sf.from_sympy(x**2 + 3, [x], dtype="int64")(5) == 28
    assert sf.from_sympy(x * 10**30, [x])(2.0) == 2e30


@pytest.mark.parametrize(
    "fn",
    [
        *(sp.gamma, sp.loggamma, sp.digamma, sp.trigamma, sp.factorial, sp.sinc, sp.frac),
        *(sp.Heaviside, lambda v: sp.Heaviside(v, 1), lambda v: sp.Mod(v, 3), sp.cbrt),
        *(lambda v: sp.re(v) + sp.conjugate(v), lambda v: sp.polygamma(2, v)),
    ],
)  # fmt: skip
def test_functions_of_one_number(fn):
    f = sf.from_sympy(fn(x), [x])
    for value in (-2.7, -1.3, -0.5, 0.0, 0.5, 2.0, 5.5):
        want = complex(sp.N(fn(sp.Float(value)), 30))
        if abs(want.imag) < 1e-25 and np.isfinite(want):  # real there
            assert float(f(value)) == pytest.approx(want.real, rel=1e-12, abs=1e-14)


def test_slopes_of_the_gamma_function():
    f = sf.grad(sf.from_sympy(sp.gamma(x), [x]))
    for value in (-2.5, -0.3, 0.7, 4.0):
        want = float(sp.N(sp.diff(sp.gamma(x), x).subs(x, sp.Float(value)), 30))
        assert float(f(value)) == pytest.approx(want, rel=1e-12)


def test_functions_of_time_and_their_derivatives_as_arguments():
    t, g = sp.symbols("t g")
    q, r = sp.Function("q")(t), sp.Function("r")(t)
    f = sf.from_sympy(
        -g * sp.sin(q) - q.diff(t) / 10 + q.diff(t, 2), [q, q.diff(t), q.diff(t, 2), g]
    )
    assert float(f(0.5, 2.0, 3.0, 9.81)) == pytest.approx(-9.81 * np.sin(0.5) - 0.2 + 3.0)
    velocity = sp.sin(q * r).diff(t)
    f = sf.from_sympy(velocity, [q, r, q.diff(t), r.diff(t)])
    want = np.cos(6.0) * (2.0 * 5.0 + 4.0 * 3.0)
    assert float(f(2.0, 3.0, 4.0, 5.0)) == pytest.approx(want)


def test_indexed_objects_and_matrices_as_arguments():
    a = sp.IndexedBase("a", shape=(3,))
    values = np.array([2.0, 3.0, 4.0])
    assert sf.from_sympy(a[0] * a[1] + a[2], [a])(values) == 10.0
    assert sf.from_sympy(a[0] * a[1], [a[0], a[1]])(2.0, 3.0) == 6.0
    m, v = sp.MatrixSymbol("M", 2, 2), sp.MatrixSymbol("v", 2, 1)
    f = sf.from_sympy(m * v + v, [m, v])
    matrix, vector = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0], [6.0]])
    assert np.array_equal(f(matrix, vector), matrix @ vector + vector)
    f = sf.from_sympy(x * y, [sp.Matrix([x, y])])
    assert f(np.array([[2.0], [3.0]])) == 6.0
    with pytest.raises(UnsupportedOperation, match="B has no known shape"):
        sf.from_sympy(sp.IndexedBase("B")[0], [sp.IndexedBase("B")])


def test_results_in_containers():
    f = sf.from_sympy({"position": [x, y], "rest": (x * y, sp.Matrix([x, y]))}, [x, y])
    found = f(2.0, 3.0)
    assert found["position"].tolist() == [2.0, 3.0]
    assert found["rest"][0] == 6.0 and found["rest"][1].tolist() == [[2.0], [3.0]]
    ragged = sf.from_sympy([[x, y], x], [x, y])(2.0, 3.0)
    assert ragged[0].tolist() == [2.0, 3.0] and ragged[1] == 2.0
    assert sf.from_sympy("x**2 + y", [x, y])(2.0, 3.0) == 7.0
    assert sf.from_sympy(x**2, x)(3.0) == 9.0


@pytest.mark.parametrize(
    "expr, words",
    [
        (sp.I * x, "the imaginary unit"),
        (sp.zoo * x, "complex infinity"),
        (sp.Integral(sp.exp(-(z**2)), (z, 0, x)), "is not evaluated"),
        (sp.Sum(x**z, (z, 0, 3)), "is not evaluated"),
        (sp.Function("q")(z) + x, r"q\(z\) is not among the symbols"),
        (sp.Symbol("x") + 1, "their assumptions differ"),
        (sp.besselj(0, x), "has no counterpart"),
    ],
    ids=str,
)
def test_what_has_no_value_is_named(expr, words):
    with pytest.raises(UnsupportedOperation, match=words):
        sf.from_sympy(expr, [x])


CONVERSIONS = (
    lambda a: a.astype(np.int64) * 1.0,
    lambda a: a.astype(np.int64).astype(np.int8) * 1.0,
    lambda a: a.astype(np.int64).astype(np.uint8) + np.uint8(200),
    lambda a: a.astype(np.int64).astype(np.int16) * np.int16(300),
    lambda a: (a > 0) * a,
    lambda a: (a > 0).astype(float) - (a < 400),
    lambda a: np.where(a.astype(bool), 2.0, a),
    lambda a: a // 2 + a % 7,
)


@pytest.mark.parametrize("number", range(len(CONVERSIONS)))
def test_conversions_mean_what_the_graph_computes(number):
    fn = CONVERSIONS[number]
    for value in (300.5, -300.5, 0.0, 127.9, -129.0):
        expr = sf.trace(fn)(value).to_sympy()
        found = expr.subs({s: sp.Float(value) for s in expr.free_symbols})
        with np.errstate(over="ignore"):
            want = float(fn(np.float64(value)))
        assert float(found) == float(sf.compile(fn)(value)) == want


def test_second_derivatives_and_gathers_as_expressions():
    a, b, c = (sp.Symbol(f"v[{i}]", real=True) for i in range(3))

    def energy(v):
        return np.sum(v[[0, 2, 0]] ** 3) + (v[1] > 0) * v[0] * v[1] + np.sum(np.sin(v))

    graph = sf.trace(sf.hessian(energy))(np.ones(3))
    found = graph.to_sympy()
    at = {a: 0.3, b: 0.7, c: -0.2}
    want = sf.hessian(energy)(np.array([0.3, 0.7, -0.2]))
    values = [[float(sp.N(found[i, j].subs(at))) for j in range(3)] for i in range(3)]
    assert np.allclose(values, want, rtol=1e-12, atol=1e-15)
