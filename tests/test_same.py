"""Settings that are equal but differ, and those that differ but are not equal."""

import dataclasses
import decimal
import itertools
import pathlib
import struct
from collections import namedtuple
from fractions import Fraction

import numpy as np
import pytest

import symflux as sf
from symflux.same import hashed, same


def nan(payload=0):
    return struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000 | payload))[0]


@dataclasses.dataclass(frozen=True)
class Config:
    rate: object
    cache: object = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    rate: object


class Own:
    """Equal by what it holds, with a cache that says nothing."""

    __slots__ = ("__held", "cache")

    def __init__(self, held, cache=None):
        self.__held = held
        self.cache = cache

    def __eq__(self, other):
        return isinstance(other, Own) and self.__held == other.__held

    def __hash__(self):
        return hash(self.__held)


class Cyclic(Own):
    def __init__(self, held):
        super().__init__(held)
        self.me = self


Point = namedtuple("Point", "x y")
Other = namedtuple("Other", "x y")

#: All members of a family are equal for Python, or could be taken for each other.
FAMILIES = [
    lambda: [1, 1.0, True, np.float64(1), np.float32(1), np.int64(1), np.True_, 1 + 0j, Fraction(1),
             decimal.Decimal(1), decimal.Decimal("1.0")],
    lambda: [0.0, -0.0, 0, False, complex(0.0, 0.0), complex(-0.0, 0.0), complex(0.0, -0.0)],
    lambda: [nan(), nan(1), -nan(), np.float64(nan()), np.float32(nan()), complex(nan(), 0.0)],
    lambda: [np.float16(0.0), np.float16(-0.0), np.longdouble(0.0), np.longdouble(-0.0),
             np.longdouble("nan")],
    lambda: [range(0), range(1, 1), pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a")],
    lambda: [np.datetime64("2020"), np.datetime64("2020-01"), np.timedelta64(60, "s"),
             np.timedelta64(1, "m")],
]  # fmt: skip
#: What may stand around them.
WRAPPERS = [
    lambda v: v, lambda v: (v,), lambda v: [v], lambda v: ((v, "a"), 1), lambda v: {"k": v},
    lambda v: {v: "k"}, lambda v: frozenset([v]), lambda v: {v, "a"}, Config, Slotted,
    lambda v: Config((Config(v),)), lambda v: Point(v, 1), lambda v: Other(v, 1),
]  # fmt: skip


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_equal_is_not_the_same(family, wrap):
    """Each member is the same as itself made anew, and as no other."""
    first, again = list(map(wrap, family())), list(map(wrap, family()))
    for (i, a), (j, b) in itertools.product(enumerate(first), enumerate(again)):
        assert same(a, b) == same(b, a) == (i == j), (a, b)
        assert i != j or hashed(a) == hashed(b)


def test_objects_of_other_classes():
    for wrap in (Own, Cyclic):
        assert same(wrap(2.0), wrap(2.0)) and not same(wrap(2.0), wrap(3.0))
        assert not same(wrap(2.0), wrap(2)) and not same(wrap((True,)), wrap((1,)))
    assert same(Own(1, cache="a"), Own(1, cache="b")) and same(Config(1, "a"), Config(1, "b"))
    assert not same(Point(1, 2), Other(1, 2)) and not same(Point(1, 2), (1, 2))
    assert not same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not same(object(), object()) and same(np.dtype("f8"), np.dtype("<f8"))
    array = np.ones(3)
    assert same(array, array) and not same(array, array.copy())


@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: (v,), Config, lambda v: Config((v,))])
def test_statics_that_are_equal_but_differ_share_no_code(wrap):
    traced = []

    @sf.compile(static_argnums=1)
    def f(x, value):
        while not np.isscalar(value):
            value = value.rate if isinstance(value, Config) else value[0]
        traced.append(value)
        return x * value

    values = [True, 1, 1.0, 0.0, -0.0, 0, 2.0, 2, np.float32(2), nan(), nan(1)]
    for value in 2 * values:
        found, wanted = f(np.ones(1), wrap(value)), np.ones(1) * value
        assert found.dtype == wanted.dtype and found.tobytes() == wanted.tobytes()
    assert len(traced) == len(values)


def test_a_fresh_nan_is_compiled_once():
    traced = []

    @sf.compile(static_argnames=("fill", "more"))
    def f(x, fill, more):
        traced.append(fill)
        return np.where(x > 0, x, fill)

    for _ in range(5):
        assert np.isnan(f(-1.0, float("nan"), (Config(float("nan")), [])[:1]))
    assert len(traced) == 1


def test_the_order_and_the_kind_of_keys_are_those_of_the_call():
    f = sf.compile(lambda d: ({k: v + 1 for k, v in d.items()}, sum(d.values())))
    calls = [{"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0}, {1: 1.0}, {True: 1.0}, {1.0: 1.0}]
    for call in calls * 3:
        assert repr(f(call)[0]) == repr({k: v + 1 for k, v in call.items()})
