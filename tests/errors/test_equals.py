"""What messages propose for functions of ``math`` and SciPy equals them; nothing is guessed."""

import math

import numpy as np
import pytest

import symflux as sf
import symflux.numpy
from symflux.errors import ConversionError, UnsupportedOperation
from symflux.trace.dispatch import BY_NAME, implementation, unsupported
from symflux.trace.equals import MATH, SCIPY, code_of

#: of functions with other arguments than one number between 0 and 1
ARGUMENTS = {
    "acosh": "1.5", "fsum": "[0.5, 0.25]", "prod": "[0.5, 0.25]", "dist": "[0.5, 1.0], [0.25, 3.0]",
    "sumprod": "[0.5, 1.0], [0.25, 3.0]", "ldexp": "0.7, 3", "fma": "0.3, 0.7, 2.0",
    **dict.fromkeys(("atan2", "pow", "remainder", "hypot", "fmod", "copysign", "isclose"),
                    "0.7, 0.3"),
}  # fmt: skip
#: the names that the proposals have for them
NAMES = {"atan2": "yx", "ldexp": "xi", "fma": "xyz"}
#: have no equal on traced values
WITHOUT = {"frexp", "modf", "nextafter", "ulp", "signbit"}


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("name", sorted(set(MATH) & set(dir(math))))
def test_functions_of_math_have_equals(name):
    right = MATH[name]
    if "static_argnames" in right:
        wanted, values = getattr(math, name)(6, *[4][: name in ("comb", "perm", "gcd", "lcm")]), []
        f = sf.compile(lambda x, n: x * getattr(math, name)(
            n, *[4][: name in ("comb", "perm", "gcd", "lcm")]), static_argnames="n")  # fmt: skip
        assert f(1.0, 6) == wanted
        return
    text = ARGUMENTS.get(name, "0.7")
    values = [np.array(v) if isinstance(v, list) else v for v in eval(f"({text},)")]
    names = NAMES.get(name, "xy"[: len(values)])
    f = eval(f"lambda {', '.join(names)}: {right}", {"np": np, "symflux": sf})
    wanted = eval(f"math.{name}({text})", {"math": math})
    assert sf.compile(f)(*values) == pytest.approx(wanted, rel=1e-14)


def test_every_function_of_math_is_decided():
    functions = {n for n in dir(math) if callable(getattr(math, n)) and n[0] != "_"}
    assert functions - set(MATH) <= WITHOUT


SAMPLES = {"beta": "a, b", "betaln": "a, b", "huber": "delta, r", "pseudo_huber": "delta, r",
           **dict.fromkeys(("xlogy", "xlog1py", "rel_entr", "kl_div"), "x, y")}  # fmt: skip


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("name", SCIPY)
def test_functions_of_scipy_have_equals(name):
    special = pytest.importorskip("scipy.special")
    if not hasattr(special, name):
        pytest.skip("of a newer SciPy")
    names = SAMPLES.get(name, "x")
    function = getattr(special, name)
    f = eval(f"lambda {names}: {SCIPY[name]}", {"np": np, "symflux": sf})
    values = [np.array([0.25, 0.5, 0.75]) + 0.1 * i for i in range(names.count(",") + 1)]
    np.testing.assert_allclose(sf.compile(f)(*values), function(*values), rtol=1e-13)
    if name in ("xlogy", "xlog1py"):
        assert sf.compile(f)(np.zeros(1), np.zeros(1))[0] == 0.0
    with pytest.raises(UnsupportedOperation) as caught:
        sf.compile(lambda *xs: function(*xs))(*values)
    assert caught.value.what == f"scipy.special.{name} cannot be recorded"
    assert caught.value.right == SCIPY[name]


def test_other_functions_of_scipy_are_called_by_their_module_and_have_no_guessed_equal():
    special = pytest.importorskip("scipy.special")
    ufuncs = [f for f in vars(special).values() if isinstance(f, np.ufunc)]
    assert len(ufuncs) > 100
    for f in ufuncs:
        if implementation(f) is not None:
            assert f.__name__ in BY_NAME and getattr(special, f.__name__) is f
            continue
        error = unsupported(f)
        assert error.what == f"scipy.special.{f.__name__} cannot be recorded"
        outside = f"computed by scipy.special.{f.__name__} outside"
        assert SCIPY.get(f.__name__, error.right) == error.right
        assert f.__name__ in SCIPY or outside in error.right


def test_what_is_recorded_of_scipy_computes_the_same():
    special = pytest.importorskip("scipy.special")
    x = np.array([0.25, 0.5, 0.75])
    for f in vars(special).values():
        if isinstance(f, np.ufunc) and f.nin == 1 and implementation(f) is not None:
            np.testing.assert_allclose(sf.compile(lambda x, f=f: f(x))(x), f(x), rtol=1e-13)


def test_ufuncs_of_others_are_not_taken_for_those_of_their_name():
    mine = np.frompyfunc(lambda x: x + 1, 1, 1)
    assert implementation(mine) is None
    with pytest.raises(UnsupportedOperation, match="cannot be recorded"):
        sf.compile(lambda x: mine(x))(1.0)


def test_functions_of_scipy_in_python_are_named():
    linalg = pytest.importorskip("scipy.linalg")
    with pytest.raises(ConversionError, match=r"computed by scipy\.linalg\.expm outside"):
        sf.compile(lambda x: linalg.expm(x))(np.eye(2))
    stats = pytest.importorskip("scipy.stats")
    with pytest.raises(ConversionError, match="the formula, with functions of NumPy"):
        sf.compile(lambda x: stats.norm.pdf(x))(np.ones(2))


def test_comments_and_texts_are_not_code():
    assert code_of("if x > 0:  # a < b < c") == "if x > 0:"
    assert code_of("""y = f(x, "a and b", 'or')""") == 'y = f(x, "", "")'
    assert code_of("y = f(x,  # the first") == "y = f(x,"

    def f(x):
        return "a < b < c" if x > 0 else 0  # not a < b < c

    with pytest.raises(TypeError, match=r"np\.where\(x > 0, a, b\)"):
        sf.compile(f)(1.0)
