"""Calls with very many arguments or results: the same answers, whichever way they come and go.

Tables of buffers and loops over equal arguments are for calls with hundreds of parts; lowered
thresholds let small calls take the same ways.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symflux as sf
from symflux.thresholds import lowered

ROWS = [np.arange(3.0) + n for n in range(6)]


def nested(x: Any) -> Any:
    out: Any = x
    for n in range(5):
        out = (out, [x * n], {"a": x + n, n: (x - n,)})
    return out


def floats(xs: list[Any]) -> Any:
    return [sum(x * x for x in xs), *[x + n for n, x in enumerate(xs)]]


def mixed(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Arrays, floats, integers, bools; results that are arguments, constants, twice the same."""
    total = sum(np.sum(x) for x in a) + sum(b)
    return {"t": total, "again": [total, total, a[0]], "none": None, "c": c * 2, "d": [d, d]}


def captured(x: Any) -> Any:
    return [x * row for row in ROWS] + [np.sum(row) * x for row in ROWS]


def dtypes(xs: list[Any]) -> Any:
    return [x + 1 for x in xs]


CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "nested": (nested, (0.3,)),
    "nested arrays": (nested, (np.arange(4.0),)),
    "floats": (floats, ([0.1 * n for n in range(9)],)),
    "arrays": (floats, ([np.arange(3.0) + n for n in range(9)],)),
    "rows of two lengths": (floats, ([np.arange(3.0)] * 4 + [np.array(2.0)] * 4,)),
    "mixed": (mixed, ([np.arange(n + 1.0) for n in range(5)], (1.0, 2, True, 3.5), 7, True)),
    "captured": (captured, (2.0,)),
    "dtypes": (dtypes, ([np.arange(3, dtype=d) for d in "bhilBHILfd"],)),
    "scalars of NumPy": (dtypes, ([np.dtype(d).type(3) for d in "bhilBHILfd"],)),
}


def same(got: Any, want: Any) -> None:
    """Equal structures, types of containers included, with equal elements."""
    if isinstance(want, dict):
        assert type(got) is dict and list(got) == list(want)
        for key in want:
            same(got[key], want[key])
    elif isinstance(want, (list, tuple)):
        assert type(got) is type(want) and len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            same(g, w)
    elif want is None:
        assert got is None
    else:
        assert np.shape(got) == np.shape(want)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("alike", [1, 3])
def test_calls_by_table_give_the_same_results(name: str, alike: int) -> None:
    function, args = CALLS[name]
    usual = sf.compile(function)(*args)
    with lowered(many_buffers=0, alike=alike):
        compiled = sf.compile(function)
        for _ in range(3):
            same(compiled(*args), usual)


def test_calls_by_table_keep_no_references() -> None:
    """What a call takes and makes is freed: objects of results, arguments, the call's memory."""
    with lowered(many_buffers=0, alike=2):
        f = sf.compile(lambda xs: ([x * 2 for x in xs], {"first": xs[0]}, 0.5))
        args = [np.arange(3.0) + n for n in range(8)]
        f(args)
        before = [sys.getrefcount(x) for x in args]
        made = f(args)
        assert [sys.getrefcount(made[0][n]) for n in range(8)] == [2] * 8
        del made
        gc.collect()
        assert [sys.getrefcount(x) for x in args] == before
        for _ in range(50):
            with pytest.raises((TypeError, ValueError)):
                f([*args, "no number"])
        gc.collect()
        assert [sys.getrefcount(x) for x in args] == before


def test_what_does_not_fit_a_table_of_arguments_is_still_answered() -> None:
    with lowered(many_buffers=0, alike=2):
        f = sf.compile(lambda xs: [x + 1 for x in xs])
        for args in ([1.0] * 6, [1.0] * 5 + [2], [np.ones(2)] * 6, [1.0] * 6, [1.5] * 7):
            same(f(args), [x + 1 for x in args])
        strided = np.arange(20.0)[::2]
        same(f([np.ones(10)] * 5 + [strided]), [np.ones(10) + 1] * 5 + [strided + 1])


def test_outputs_given_as_arrays_by_table() -> None:
    with lowered(many_buffers=0, alike=2):
        f = sf.compile(lambda xs: [x * 2 for x in xs])
        args = [np.arange(3.0) + n for n in range(6)]
        out = [np.empty(3) for _ in args]
        for _ in range(3):
            got = f(args, out=out)
            assert all(g is o for g, o in zip(got, out, strict=True))
            same(out, [2 * x for x in args])


def test_arrays_donated_by_table_share_no_memory() -> None:
    """In-place updates of many arrays; an array that overlaps another one is not written twice."""

    def step(xs: list[Any], y: Any) -> None:
        for x in xs:
            x += y

    with lowered(many_buffers=0, alike=2):
        f = sf.compile(step)
        for _ in range(3):
            xs, y = [np.arange(3.0) + n for n in range(6)], np.ones(3)
            f(xs, y)
            same(xs, [np.arange(3.0) + n + 1 for n in range(6)])
        both = np.arange(4.0)
        xs = [np.arange(3.0), both[:3], both[1:], *[np.arange(3.0) for _ in range(3)]]
        want = [x.copy() for x in xs]
        with pytest.raises(sf.errors.ArgumentError, match="shares memory"):
            f(xs, y)
        same(xs, want)
