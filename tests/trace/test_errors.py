"""Every message that a user can meet while tracing, in full: the golden text is ``errors.txt``.

Each case is a function that a user might write; ``pytest --update-golden`` rewrites the file.
"""

import dataclasses
import inspect
import math
import pickle
import re
import statistics
from pathlib import Path

import numpy as np
import pytest

import symflux as sf
import symflux.numpy as snp
from symflux import errors
from symflux.errors import SymFluxError
from symflux.trace.dispatch import unsupported
from symflux.trace.param import param, update
from symflux.trace.trace import trace

GOLDEN = Path(__file__).with_name("errors.txt")
DOCUMENT = Path(__file__).parents[2] / "docs" / "errors.md"
X = np.arange(3.0)
M = np.ones((2, 3))
W = np.zeros(3)
kept = []


# fmt: off
def branch_if(x):
    if x[0] > 0:
        return x
    return -x


def branch_ternary(x):
    return 1.0 if np.sum(x) > 3 else 0.0


def branch_while(x):
    while np.sum(x) > 1:
        x = x / 2
    return x


def branch_and(x):
    return x[0] > 0 and x[1] > 0


def branch_not(x):
    return not x[0]


def branch_chain(x):
    return np.where(0 < x < 1, x, 0)


def branch_max(x):
    return max(x[0], 0.0)


def branch_builtin_all(x):
    return all(x > 0)


def branch_sorted(x):
    return sorted(x)


def branch_assert(x):
    assert np.all(x > 0)
    return x


def branch_in(x):
    return 3.0 in x


def convert_float(x):
    return float(x[0])


def convert_math(x):
    return math.atan2(x[0], 1.0)


def convert_int(x):
    return int(x[0]) + 1


def convert_item(x):
    return x.item()


def convert_tolist(x):
    return x.tolist()


def convert_range(x, n=4):
    return sum(x[0] for _ in range(n))


def convert_list_index(x, n=1):
    return [1.0, 2.0][n] * x


def convert_zeros(x, n=4):
    return np.zeros(n) + x


def convert_np_array(x):
    return np.array([x[0], x[1]])


def convert_np_array_copy(x):
    return np.array(x, copy=True)


def convert_asarray_dtype(x):
    return np.asarray(x, dtype=np.float32)


def convert_float_type(x):
    return np.float32(x[0])


def convert_full(x):
    return np.full(3, x[0])


def convert_arange(x, n=4):
    return x[0] * np.arange(n)


def convert_vectorize(x):
    return np.vectorize(abs)(x)


def convert_list_in_a_function(x):
    items = [x[0], x[1]]
    return np.sum(items)


def convert_in_the_standard_library(x):
    return statistics.fmean(x)


def convert_fill(x):
    out = np.zeros(2)
    out[0] = x[0]
    return out


def convert_fill_slice(x):
    out = np.zeros(3)
    out[:] = x
    return out


def convert_format(x):
    return f"{x[0]:.3f}"


def convert_pickle(x):
    return pickle.dumps(x)


def capture_changes(x):
    counts = np.zeros(3)
    y = x + counts
    counts[0] = 1
    return y + counts


def convert_slice(x, i=1):
    return x[i:i + 2]


def unsupported_function(x):
    return np.linalg.inv(x[None] * x[:, None])


def unsupported_unique(x):
    return np.unique(x)


def unsupported_nearest(x):
    return np.nanmax(x)


def unsupported_part_of_a_name(x):
    return np.percentile(x, 50), np.isin(x, [1.0])


def unsupported_ufunc(x):
    return np.spacing(x)


def unsupported_out(x):
    return np.sin(x, out=W)


def unsupported_in_place_on_plain(x):
    global W
    W += x
    return W


def unsupported_where(x):
    return np.exp(x, where=x > 0)


def unsupported_reduce_where(x):
    return np.median(x)


def unsupported_accumulate(x):
    return np.gcd.accumulate(x)


def unsupported_at(x):
    np.maximum.at(x, x.astype(int), 1.0)


def unsupported_at_of_a_plain_array(x):
    np.add.at(np.zeros(3), [0, 1, 1], x)


def unsupported_where_alone(x):
    return np.where(x > 0)


def unsupported_mask(x):
    return x[x > 0]


def unsupported_attribute(x):
    return x.tobytes()


def unsupported_sort_method(x):
    return x.sort()


def unsupported_order(x):
    return x.reshape(3, 1, order="F")


def shape_broadcast(x):
    return x + np.ones(4)


def shape_matmul(x):
    return np.ones((2, 2)) @ x


def shape_reshape(x):
    return x.reshape(2, 2)


def shape_axis(x):
    return np.sum(x, axis=1)


def shape_concatenate(x):
    return np.concatenate([x, x[None]], axis=0)


def shape_assign(x):
    x[:2] = np.ones(3)
    return x


def shape_in_place(x):
    x += np.ones((2, 3))
    return x


def index_range(x):
    return x[3]


def index_many(x):
    return x[0, 0]


def index_float(x):
    return x[1.5]


def dtype_subtract_bools(x):
    return (x > 0) - (x > 1)


def dtype_shift(x):
    return x << 1


def dtype_in_place(x):
    y = x.astype(np.int64)
    y += 0.5
    return y


def dtype_complex_array(x):
    return x * np.array([1j, 2j, 3j])


def dtype_complex_number(x):
    return x * 1j


def range_integer(x):
    return x.astype(np.int8) + 1000


def range_negative_power(x):
    return x.astype(np.int64) ** -1


def leak_keep(x):
    kept.append(x * 2)
    return x


def leak_use(x):
    trace(leak_keep, (X,))
    return x + kept[-1]


def argument_result(x):
    return {"value": x, "name": "up"}


def argument_operand(x):
    return np.add(x, {1, 2})


def param_shape(x):
    update(param(W), np.ones((2, 3)))


def param_plain(x):
    update(W, x)


def param_loses_precision(x):
    update(param(np.arange(3)), x)
# fmt: on

CASES = {
    name: function
    for name, function in list(globals().items())
    if inspect.isfunction(function) and function.__module__ == __name__ and "x" in (
        inspect.signature(function).parameters
    )
}  # fmt: skip
del CASES["leak_keep"]


def message(function):
    """The text of the error, with line numbers made stable."""
    defaults = [p.default for p in list(inspect.signature(function).parameters.values())[1:]]
    with pytest.raises(SymFluxError) as caught:
        trace(function, (X, *defaults))
    text = re.sub(r"(test_errors\.py):\d+", r"\1:LINE", str(caught.value))
    return f"{type(caught.value).__name__}: {text}"


def read_golden():
    blocks = re.split(r"^=== (\w+)\n", GOLDEN.read_text(), flags=re.M)
    return dict(zip(blocks[1::2], (b.strip("\n") for b in blocks[2::2]), strict=True))


def test_every_message_is_golden(update_golden):
    found = {name: message(function) for name, function in CASES.items()}
    if update_golden:
        GOLDEN.write_text("\n\n".join(f"=== {name}\n{text}" for name, text in found.items()) + "\n")
    assert found == read_golden()


@pytest.mark.parametrize("name", CASES)
def test_the_message_shows_the_users_own_line(name):
    text = message(CASES[name])
    line = re.search(r"at test_errors\.py:LINE(?:, in (\w+))?:\n      (.*)\n", text + "\n")
    assert line is not None
    source = inspect.getsource(CASES[name])
    assert line[2] in source
    assert line[1] == name


#: functions that are not recorded -> arguments by the names that their cures use
REPLACED = {
    "nanmax": "x", "nanmin": "x", "nanmean": "x", "nanargmax": "x", "nanargmin": "x",
    "nancumsum": "x", "nancumprod": "x", "nanprod": "x", "nanstd": "x", "nanvar": "x",
    "bincount": "i, minlength=4", "convolve": "z, kernel, 'valid'",
    "correlate": "z, kernel, 'valid'",
    "insert": "z, 2, y", "delete": "z, 2", "isin": "x, values", "polyval": "p, z", "resize": "z, 7",
    "searchsorted": "edges, z", "digitize": "z, edges", "trapezoid": "y, z", "vander": "z, 3",
    "block": "rows",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted({*REPLACED} & {*dir(np)}))
def test_what_is_proposed_instead_computes_the_same(name):
    z = np.array([0.3, -1.0, 2.0, 0.5, 0.25])
    holes = np.array([0.5, np.nan, 3.0, -2.0, 3.0])
    given = {
        "x": holes if "x" in REPLACED[name] else z, "z": z,
        "y": np.array([7.0, 8.0, 6.0, 5.0, 1.0]),
        "i": 2 if name in ("insert", "delete") else np.array([2, 0, 2, 1]),
        "n": {"vander": 3, "resize": 7}.get(name, 4), "kernel": np.array([1.0, 3.0]), "k": 2,
        "count": 2,
        "values": [3.0, -2.0], "edges": np.array([-1.0, 0.25, 1.0]), "p": [2.0, -1.0, 3.0],
        "rows": [[np.eye(2), np.ones((2, 3))], [np.zeros((1, 2)), np.ones((1, 3))]],
    }  # fmt: skip
    right = unsupported(getattr(np, name)).right
    wanted = eval(f"np.{name}({REPLACED[name]})", {"np": np, **given})
    np.testing.assert_allclose(eval(right, {"np": np, **given}), wanted, rtol=1e-12)


@pytest.mark.parametrize("ufunc", [np.minimum, np.maximum])
def test_what_is_proposed_in_place_of_extremes_at_indices_computes_the_same(ufunc):
    with pytest.raises(SymFluxError) as caught:
        trace(lambda x: ufunc.at(x, x.astype(int), 1.0), (X,))
    given = {"np": np, "x": np.array([0.5, 2.0, -1.0]), "i": np.array([2, 0, 2]),
             "v": np.array([-3.0, 1.0, 4.0])}  # fmt: skip
    wanted = given["x"].copy()
    ufunc.at(wanted, given["i"], given["v"])
    exec(caught.value.right, given)
    np.testing.assert_array_equal(given["x"], wanted)


def test_loops_and_derivatives_say_what_function_they_want():
    x = np.arange(3.0)
    for call, what, right in (
        (lambda: sf.compile(3.0), "compile needs a function, got 3.0 (float)", "sf.compile(f)(x)"),
        (lambda: sf.grad(np.sum(x)), "grad needs a function", "sf.grad(f)(x)"),
        (lambda: sf.hessian(1.0), "hessian needs a function", "sf.hessian(f)(x)"),
        (lambda: sf.vmap(x), "vmap needs a function", "sf.vmap(f)(x)"),
        (lambda: sf.cond(True, x, -x), "cond needs a function", "lambda: a, lambda: b"),
        (lambda: sf.cond(True, abs, abs, x, x), "cond calls abs with 2", "lambda: a, lambda: b"),
        (lambda: sf.switch(1, lambda: x), "switch needs a list of functions", "[lambda: a"),
        (lambda: sf.switch(1, [x, -x]), "switch needs a function", "[lambda: a"),
        (lambda: sf.scan(x, 0.0, max), "scan needs a function", "carry, y = body(carry, x)"),
        (lambda: sf.scan(lambda c: (c, c), 0.0, x), "scan calls the function with 2", "carry, y ="),
        (lambda: sf.fori_loop(0, 3, lambda c: c, x), "fori_loop calls the function with 2", "body"),
        (lambda: sf.while_loop(3.0, abs, abs), "while_loop needs a function", "while test(carry)"),
        (lambda: sf.while_loop(lambda a, b: a < b, lambda a, b: (a, b), (0, 3)),
         "while_loop calls the function with 1", "while test(carry)"),
        (lambda: sf.map(x, abs), "map needs a function", "sf.map(f, xs)"),
        (lambda: sf.scan(lambda c, x: c + x, 0.0, x), "must return (carry, y)", "carry, None"),
        (lambda: sf.vmap(np.add)(x, 2.0), "has no axis 0", "in_axes=(0, None)"),
        (lambda: sf.grad(np.sum, argnums="x")(x), "counts arguments by position", "argnums=0"),
        (lambda: sf.grad(np.sum, argnums=1)(x), "argnums has 1", "by position"),
    ):  # fmt: skip
        with pytest.raises(SymFluxError) as caught:
            call()
        assert what in caught.value.what
        assert right in caught.value.right
        assert caught.value.place is not None
        assert caught.value.place.file == __file__
    assert float(sf.grad(lambda x: x * x, argnums=np.int64(0))(3.0)) == 6.0
    assert sf.fori_loop(0, 3, lambda i, c, k=2.0: c * k, 1.0) == 8.0


def test_static_names_are_offered_for_other_arguments():
    def f(x, mode):
        return x

    @dataclasses.dataclass
    class Config:
        options: object

    with pytest.raises(errors.ArgumentError) as caught:
        trace(f, (X, "up"))
    text = str(caught.value)
    assert "argument `mode` of f is neither an array nor a number: 'up' (str)" in text
    assert "sf.compile(f, static_argnames='mode')" in text
    with pytest.raises(errors.ArgumentError, match=r"argument `x\.options` of f") as caught:
        trace(f, (Config({1, 2}), 1.0))
    assert "options: set = dataclasses.field(metadata={'static': True})" in str(caught.value)
    with pytest.raises(
        errors.ArgumentError, match="the static argument `mode` of f is not hashable"
    ):
        trace(f, (X, [1, 2]), static_argnames="mode")
    with pytest.raises(errors.ArgumentError, match="f has no parameter 'speed'"):
        trace(f, (X, 1), static_argnames="speed")


def test_comparing_is_not_branching():
    """What looks like a branch to Python, but is none."""
    found = trace(lambda x: (x is not None, x.ndim == 1 and x.shape[0] > 2, len(x) > 0), (X,))
    assert len(found.graph.outputs) == 3


def every_error_class():
    ours = (SymFluxError, errors.CacheWarning, errors.SettingWarning)
    return [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, ours)]


def test_every_error_class_is_exported_and_documented():
    document = DOCUMENT.read_text()
    for cls in every_error_class():
        assert cls.__name__ in errors.__all__
        assert re.search(rf"^## {cls.__name__}$", document, flags=re.M), (
            f"docs/errors.md: {cls.__name__}"
        )
    headings = re.findall(r"^## (\w+)$", document, flags=re.M)
    assert sorted(headings) == sorted(cls.__name__ for cls in every_error_class())


def test_errors_are_also_what_numpy_would_raise():
    for cls, base in (
        (errors.ShapeError, ValueError), (errors.DTypeError, TypeError),
        (errors.RangeError, OverflowError),
        (errors.IndexOutOfRange, IndexError), (errors.AxisOutOfRange, IndexError),
        (errors.MissingAttribute, AttributeError), (errors.BranchOnTracedValue, TypeError),
        (errors.NegativePower, ValueError),
    ):  # fmt: skip
        assert issubclass(cls, base)
        assert issubclass(cls, SymFluxError)


def test_errors_can_be_pickled():
    error = errors.ShapeError("no", right="yes", wrong="maybe")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.right) == (errors.ShapeError, str(error), "yes")


def test_unknown_names_of_the_namespace_are_attribute_errors():
    with pytest.raises(AttributeError, match=r"symflux\.numpy' has no attribute 'sine'"):
        snp.sine  # noqa: B018
