"""Sums, products, averages and spreads with every combination of their keywords, against NumPy."""

import itertools

import numpy as np
import pytest

import symflux as sf
from symflux.errors import ArgumentError, ShapeError
from tests.numpy.test_edges import as_numpy

X = np.array(
    [[[3, -7, 0, 2], [1, 5, -2, 4], [6, 1, 1, -3]], [[2, 2, 9, -4], [0, 3, 8, 5], [7, -1, 4, 6]]]
)
MASK = np.array([[True, False, True, True], [False, True, True, True], [True, True, False, True]])
AXES = (None, 0, -1, (0, 2), (2, -2), (0, 1, 2), ())
#: NumPy warns of averages of nothing
pytestmark = pytest.mark.filterwarnings("ignore:.*slice:RuntimeWarning")
MASKS = (np._NoValue, MASK, MASK[:, :1] | True, True)
DTYPES = ("?", "i1", "u1", "i4", "i8", "u8", "f2", "f4", "f8")
WANTED = (None, "?", "i1", "u2", "i4", "i8", "f4", "f8")


def given(x, dtype):
    if dtype == "?":
        return x > 1
    return (x - x.min() if dtype[0] == "u" else x).astype(dtype)


def keywords(name):
    """All combinations of keywords, as dicts."""
    starts = (np._NoValue, 3) if name in ("sum", "prod") else (np._NoValue,)
    ddofs = (0, 1, 2.5) if name in ("var", "std") else (0,)
    for axis, where, start, ddof, keepdims in itertools.product(
        AXES, MASKS, starts, ddofs, (np._NoValue, True, 1)
    ):
        found = {"axis": axis}
        found |= {} if where is np._NoValue else {"where": where}
        found |= {} if start is np._NoValue else {"initial": start}
        found |= {"ddof": ddof} if ddof else {}
        found |= {} if keepdims is np._NoValue else {"keepdims": keepdims}
        yield found


def divides_by_zero(name, option):
    """Whether there are averages of nothing, which no integer stands for."""
    taken = np.broadcast_to(option.get("where", True), X.shape)
    free = np.sum(taken, option["axis"]) - option.get("ddof", 0)
    return name in ("mean", "var", "std") and bool(np.any(free <= 0))


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "std"])
def test_keywords_of_averages_in_combination(name):
    """A share of the combinations for each pair of dtypes; together they are all drawn."""
    function, options = getattr(np, name), list(keywords(name))
    pairs = list(itertools.product(DTYPES, WANTED))
    step = 53
    for n, (dtype, wanted) in enumerate(pairs):
        x = given(X, dtype)
        for option in options[n % step :: step]:
            if wanted is not None and wanted[0] != "f" and divides_by_zero(name, option):
                continue
            more = option if wanted is None else option | {"dtype": wanted}
            as_numpy(lambda x, more=more: function(x, **more), x, ulps=16)


def test_all_keywords_of_averages_natively():
    options = [
        o | {"dtype": d}
        for d in ("i4", "f8")
        for o in keywords("var")
        if not divides_by_zero("var", o)
    ][::7]
    x = X.astype("i4")
    fns = [np.var, np.mean, np.sum, np.prod]
    calls = [(f, o) for o in options for f in fns if "ddof" not in o or f is np.var]
    got = sf.compile(lambda x: [f(x, **o) for f, o in calls])(x)
    for (f, o), mine in zip(calls, got, strict=True):
        wanted = f(x, **o)
        assert mine.dtype == wanted.dtype, (f, o)
        np.testing.assert_allclose(mine, wanted, rtol=1e-14, err_msg=str((f, o)))


def test_spreads_about_a_mean_that_is_given():
    for dtype in ("i4", "f4", "f8"):
        x = given(X, dtype)
        for axis, keywords in itertools.product(
            (None, 0, (1, 2)), ({}, {"where": MASK}, {"ddof": 1})
        ):
            middle = np.mean(x, axis, keepdims=True)
            for f in (np.var, np.std):
                more = {"axis": axis, "mean": middle, **keywords}
                as_numpy(lambda x, f=f, more=more: f(x, **more), x, ulps=4)
    as_numpy(lambda x: np.var(x, correction=1), X, ulps=4)
    with pytest.raises(ArgumentError, match="the same"):
        sf.trace(lambda x: np.var(x, ddof=1, correction=1))(X)


def test_extremes_with_a_mask_need_a_start():
    """``np.max(x, where=mask)`` did not look at the mask."""
    for f in (np.max, np.min):
        with pytest.raises(ArgumentError, match="initial="):
            sf.trace(lambda x, f=f: f(x, where=MASK))(X)
        for option in ({"axis": 1}, {"keepdims": 1}, {"axis": (0, 2), "keepdims": 1}):
            as_numpy(lambda x, f=f, o=option: f(x, where=MASK, initial=2, **o), X)
    with pytest.raises(ShapeError):
        sf.trace(lambda x: np.sum(x[0, 0], where=MASK))(X)


@pytest.mark.parametrize(
    "name", ["sum", "prod", "mean", "var", "std", "max", "min", "any", "all", "argmax", "argmin",
             "ptp", "count_nonzero", "nansum"]
)  # fmt: skip
def test_any_true_value_keeps_dimensions(name):
    for keep in (1, 0, True):
        as_numpy(lambda x, k=keep: getattr(np, name)(x, axis=1, keepdims=k), X, ulps=2)
