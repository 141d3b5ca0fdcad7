"""Records behave as the standard library's dataclasses do."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass

import pytest

from symflux.records import field, record, replace


@record(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0


@record(slots=True)
class Bag:
    name: str
    items: list = field(default_factory=list)

    def __post_init__(self):
        self.items.append(self.name)


@record(frozen=True)
class Wide:
    x: int = 1


@record(frozen=True)
class Wider(Wide):
    """A field of its own behind the inherited ones."""

    y: int = 2


@record(eq=False)
class Mutable:
    a: object = None


def test_values():
    assert Point(1) == Point(x=1, y=0) != Point(1, 2)
    assert hash(Point(1)) == hash(Point(1, 0)) and len({Point(1), Point(1, 0)}) == 1
    assert repr(Point(1)) == "Point(x=1, y=0)"
    assert Point(1) != Wide(1) and Wide(1) != Wider(1)
    assert Wider() == Wider(1, 2) and repr(Wider(5)) == "Wider(x=5, y=2)"
    assert Point.__match_args__ == ("x", "y")
    match Point(3, 4):
        case Point(a, b):
            assert (a, b) == (3, 4)


def test_defaults_are_made_anew():
    assert Bag("a").items == ["a"] and Bag("b").items == ["b"]
    assert Bag("c", ["d"]).items == ["d", "c"]
    with pytest.raises(TypeError):
        hash(Bag("a"))
    assert Bag("a") == Bag("a")


def test_identity_without_eq():
    one, other = Mutable(), Mutable()
    assert one != other and len({one, other}) == 2
    one.a = one
    assert repr(one) == "Mutable(a=...)"


def test_frozen_records_do_not_change():
    for obj in (Point(1), Wide(), Wider()):
        with pytest.raises(FrozenInstanceError, match="'x' of a"):
            obj.x = 2
        with pytest.raises(FrozenInstanceError):
            del obj.x
    with pytest.raises(AttributeError):
        Bag("a").other = 1  # slots


def test_wrong_calls_are_those_of_an_ordinary_function():
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'x'"):
        Point()
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'z'"):
        Point(1, z=2)
    with pytest.raises(TypeError, match="Point has no field z"):
        replace(Point(1), z=2)


def test_replace_copy_and_pickle():
    assert replace(Point(1, 2), y=5) == Point(1, 5)
    assert replace(Wider(1, 2), x=4) == Wider(4, 2)
    for obj in (Point(1, 2), Wider(3), Bag("a")):
        assert copy.copy(obj) == obj == copy.deepcopy(obj)
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(obj, protocol)) == obj


def test_the_same_as_a_dataclass():
    @dataclass(frozen=True)
    class Reference:
        x: int
        y: str = "a"

    @record(frozen=True)
    class Ours:
        x: int
        y: str = "a"

    for args, kwargs in (((1,), {}), ((1, "b"), {}), ((), {"x": 3}), ((2,), {"y": "c"})):
        ours, reference = Ours(*args, **kwargs), Reference(*args, **kwargs)
        assert (ours.x, ours.y) == (reference.x, reference.y)
        assert repr(ours).partition("(")[2] == repr(reference).partition("(")[2]
        assert hash(ours) == hash(reference)
