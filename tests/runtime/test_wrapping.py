"""Compiled and derived functions as methods, in copies and in pickles; their names."""

import copy
import dataclasses
import functools
import gc
import inspect
import multiprocessing
import pickle
import sys
import weakref

import numpy as np
import pytest

import symflux as sf


class Spring:
    """A spring."""

    stiffness = 5.0

    def __init__(self, scale=2.0):
        self.scale = scale
        self.offsets = np.arange(3.0)

    @sf.compile
    def force(self, x):
        """What pulls."""
        return self.scale * x + self.offsets.sum()

    @sf.grad
    def slope(self, x):
        return self.scale * x**3

    @sf.value_and_grad
    def both(self, x):
        return self.scale * x**2

    @sf.compile(static_argnums=2)
    def power(self, x, n):
        return self.scale * x**n

    @staticmethod
    @sf.compile
    def double(x):
        return 2 * x


class Stiff(Spring):
    @sf.compile
    def force(self, x):
        return super().force(x) + 1.0


@sf.compile
def decorated(x):
    """Adds one."""
    return x + 1.0


@sf.grad
def derived(x):
    return x * x


def plain(x):
    return np.sum(np.sin(x))


class Slots:
    __slots__ = ("scale",)

    @sf.compile
    def force(self, x):
        return self.scale * x


@dataclasses.dataclass  # equal ones are equal, and have no hash
class Data:
    scale: float

    @sf.compile
    def force(self, x):
        return self.scale * x


def test_methods_see_their_own_instance():
    one, other = Spring(), Spring(3.0)
    assert (one.force(1.0), other.force(1.0)) == (5.0, 6.0)
    one.scale = 10.0
    other.offsets[0] = 7.0
    assert (one.force(1.0), other.force(1.0)) == (13.0, 13.0)
    assert (one.slope(2.0), other.slope(2.0)) == (120.0, 36.0)
    assert one.both(3.0) == (90.0, 60.0)
    assert (one.power(2.0, 3), one.power(2.0, 2)) == (80.0, 40.0)
    assert Spring.double(3.0) == one.double(4.0) - 2.0 == 6.0
    assert one.force is one.force  # compiled once


@pytest.mark.parametrize("cls", [Slots, Data, Stiff])
def test_methods_of_all_kinds_of_classes(cls):
    one = cls(2.0) if cls is not Slots else cls()
    one.scale = 2.0
    more = 4.0 if cls is Stiff else 0.0
    assert one.force(3.0) == 6.0 + more
    one.scale = 5.0
    assert one.force(3.0) == 15.0 + more
    other = copy.copy(one)
    other.scale = 1.0
    assert (one.force(3.0), other.force(3.0)) == (15.0 + more, 3.0 + more)


def test_methods_of_one_object_in_another_trace():
    one = Spring()
    assert sf.compile(lambda x: one.force(x) + one.slope(x))(2.0) == 31.0
    assert sf.grad(lambda x: one.force(x) * x)(2.0) == 2 * 2.0 * 2.0 + 3.0


@pytest.mark.parametrize(
    "make", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_of_an_object_are_their_own(make):
    one = Spring()
    one.force(1.0), one.slope(1.0)
    other = make(one)
    other.scale = 7.0
    assert (other.force(1.0), other.slope(1.0)) == (10.0, 21.0)
    assert (one.force(1.0), one.slope(1.0)) == (5.0, 6.0)
    bound = make(one.force)
    assert bound(1.0) == 5.0


def test_objects_are_freed_with_what_was_compiled_for_them():
    one = Spring()
    one.force(1.0)
    seen = weakref.ref(one)
    del one
    gc.collect()
    assert seen() is None


def test_names_and_signatures_are_the_function_s():
    assert (decorated.__name__, decorated.__qualname__) == ("decorated", "decorated")
    assert (decorated.__doc__, decorated.__module__) == ("Adds one.", __name__)
    assert list(inspect.signature(decorated).parameters) == ["x"]
    assert list(inspect.signature(Spring().force).parameters) == ["x"]
    assert Spring.force.__doc__ == "What pulls."
    assert sf.grad(plain).__wrapped__ is plain and sf.grad(plain).__module__ == __name__
    assert type(decorated).__doc__.startswith("A function compiled")


LOCAL = {
    "compiled": lambda k: sf.compile(lambda x: k * x),
    "partial": lambda k: sf.compile(functools.partial(lambda x, c: c * x, c=k)),
    "gradient": lambda k: sf.grad(lambda x: k * x**2 / 2 + 0 * x),
    "jacobian": lambda k: sf.jacobian(lambda x: k * x**2 / 2, mode="forward"),
    "hessian": lambda k: sf.hessian(lambda x: k * x**3 / 6),
    "vmap": lambda k: sf.vmap(lambda x: k * x),
    "compiled gradient": lambda k: sf.compile(sf.grad(lambda x: k * x**2 / 2)),
    "static": lambda k: sf.compile(lambda x, n=1: k * x**n, static_argnames="n"),
}


@pytest.mark.parametrize("name", LOCAL)
def test_local_functions_are_pickled_by_value(name):
    pytest.importorskip("cloudpickle")
    function = LOCAL[name](3.0)
    again = pickle.loads(pickle.dumps(function))
    x = np.array([2.0]) if name == "vmap" else 2.0
    assert type(again) is type(function)
    assert again(x) == function(x) == 6.0


def test_functions_are_pickled_by_name_where_they_are_found():
    assert pickle.loads(pickle.dumps(decorated)) is decorated
    assert pickle.loads(pickle.dumps(derived)) is derived
    assert pickle.loads(pickle.dumps(Spring.force)) is Spring.force
    assert b"cloudpickle" not in pickle.dumps(sf.compile(plain))
    assert pickle.loads(pickle.dumps(sf.grad(plain)))(np.zeros(2)).tolist() == [1.0, 1.0]
    assert copy.deepcopy(decorated) is decorated


def test_what_cannot_be_pickled_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(pickle.PicklingError, match="pip install cloudpickle"):
        pickle.dumps(sf.compile(lambda x: x))


@pytest.mark.slow
def test_functions_are_sent_to_other_processes():
    pytest.importorskip("cloudpickle")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(decorated, [1.0, 2.0]) == [2.0, 3.0]
        assert pool.map(LOCAL["gradient"](3.0), [1.0, 2.0]) == [3.0, 6.0]
        assert pool.map(Spring(4.0).slope, [1.0]) == [12.0]
