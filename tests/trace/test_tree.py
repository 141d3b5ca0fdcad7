"""Containers: taken apart, compared, named and rebuilt."""

import dataclasses
from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest

from symflux import tree
from symflux.errors import StructureError

Point = namedtuple("Point", "x y")


@dataclasses.dataclass(frozen=True)
class State:
    W: Any
    name: str = "s"
    rate: float = 0.5
    size: int = dataclasses.field(default=3, metadata={"static": True})


class Layer(tree.Container):
    def __init__(self, W, activation=np.tanh, bias=None):
        self.W = W
        self.activation = activation
        self.rate = 0.1
        self.parts = [W, 2]
        self.bias = bias


EXAMPLES = (
    1, None, (), [], {}, (1, 2), [1, [2, (3,)]], {"b": 1, "a": {"c": (2, None)}}, Point(1, [2]),
    {"layers": [Point(1, 2), None], 3: 4}, OrderedDict(z=1, y=2), State(7), (State([1, 2]),),
)  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_taking_apart_and_rebuilding_are_inverse(example):
    leaves, structure = tree.flatten(example)
    assert len(structure) == len(leaves)
    again = structure.unflatten(leaves)
    assert again == example
    assert type(again) is type(example)
    assert tree.structure(again) == structure
    assert hash(tree.structure(again)) == hash(structure)


def test_leaves_come_in_the_order_of_the_container():
    assert tree.leaves({"b": [1, 2], "a": Point(3, {"y": 4, "x": 5})}) == [1, 2, 3, 4, 5]


def test_structures_differ_where_containers_do():
    examples = [1, None, (1,), [1], {"a": 1}, {"b": 1}, (1, 1), ((1,),), Point(1, 2), (1, 2, 3),
                {"a": 1, "b": 1}, {"b": 1, "a": 1}, State(1), State(1, "t"),
                State([1]), OrderedDict(a=1)]  # fmt: skip
    structures = [tree.structure(e) for e in examples]
    for i, first in enumerate(structures):
        for j, second in enumerate(structures):
            assert (first == second) is (i == j or {i, j} == {6}), (examples[i], examples[j])


def test_dataclass_fields_that_cannot_be_traced_are_static():
    leaves, structure = tree.flatten(State(np.ones(2)))
    assert leaves[1] == 0.5
    assert len(leaves) == 2
    assert structure.paths("s") == ["s.W", "s.rate"]
    assert structure != tree.structure(State(np.ones(2), size=4))


def test_containers_hold_arrays_and_keep_the_rest():
    layer = Layer(np.ones(2))
    leaves, structure = tree.flatten(layer)
    assert [type(leaf) for leaf in leaves] == [np.ndarray, np.ndarray, int]
    assert structure.paths("model") == ["model.W", "model.parts[0]", "model.parts[1]"]
    again = structure.unflatten([5, 6, 7])
    assert (again.W, again.parts, again.activation, again.rate) == (5, [6, 7], np.tanh, 0.1)
    assert tree.structure(Layer(np.zeros(9))) == structure
    assert tree.structure(Layer(np.ones(2), np.sin)) != structure
    assert tree.structure(Layer(np.ones(2), bias=np.ones(2))) != structure


def test_nested_containers_have_readable_paths():
    model = {"layers": [Layer(np.ones(2)), Layer(np.ones(3))], "scale": (1.0,)}
    names = [name for name, _ in tree.paths(model, "m")]
    assert names[0] == "m['layers'][0].W"
    assert names[3] == "m['layers'][1].W"
    assert names[-1] == "m['scale'][0]"


def test_registered_classes_are_containers():
    class Pair:
        def __init__(self, a, b):
            self.a, self.b = a, b

    assert tree.leaves([Pair(1, 2)])[0].a == 1
    tree.register(
        Pair, lambda p: ((p.a, p.b), "tag"), lambda s, c: Pair(*c), lambda s, n: [".a", ".b"]
    )
    mapped = tree.map(lambda v: v * 10, [Pair(1, (2, 3))])
    assert (mapped[0].a, mapped[0].b) == (10, (20, 30))
    assert tree.structure(Pair(1, 2)).paths("p") == ["p.a", "p.b"]


def test_map_matches_dictionaries_by_key():
    assert tree.map(lambda a, b: a - b, {"x": 1, "y": 2}, {"y": 20, "x": 10}) == {"x": -9, "y": -18}


def test_map_takes_deeper_parts_of_the_others():
    assert tree.map(lambda a, b: (a, b), [1, 2], [(3, 4), {"k": 5}]) == [(1, (3, 4)), (2, {"k": 5})]


@pytest.mark.parametrize("other", [[1], (1, 2), [1, 2, 3], {"x": 1}, None])
def test_map_refuses_other_structures(other):
    with pytest.raises(StructureError, match="expected a container of structure"):
        tree.map(lambda a, b: a, [[1, 2]], [other])


def test_unflatten_counts_its_leaves():
    with pytest.raises(StructureError, match=r"\[\*, \*\] has 2 leaves, not 3"):
        tree.structure([1, 2]).unflatten([1, 2, 3])


def test_structures_print_as_one_would_write_them():
    text = str(tree.structure({"a": (1,), "b": [Point(1, None), State(2)]}))
    assert text == "{'a': (*,), 'b': [Point(x=*, y=None), State(W=*, rate=*)]}"


def test_arrays_in_static_parts_compare_by_identity():
    x = np.ones(2)

    class Box:
        def __init__(self, value, note):
            self.value, self.note = value, note

    tree.register(Box, lambda b: ((b.value,), b.note), lambda s, c: Box(c[0], s))
    assert tree.structure(Box(1, x)) == tree.structure(Box(2, x))
    assert tree.structure(Box(1, x)) != tree.structure(Box(2, np.ones(2)))


def wrapped(n, value, *others):
    """``value`` in a tuple, list, dict or layer, by ``n``."""
    if n % 4 == 3:
        return Layer(np.ones(1), bias=[value, *others])
    parts = (value, *others)
    return (parts, list(parts), {"a": parts})[n % 4]


def nested(depth, value, *others):
    for n in range(depth):
        value = wrapped(n, value, *others)
    return value


def test_containers_nested_beyond_pythons_stack():
    core, other = np.ones(1), np.zeros(1)
    deep = nested(8000, core, other)
    leaves, structure = tree.flatten(deep)
    assert len(leaves) == len(structure) == 1 + 8000 + 3 * 2000
    assert sum(leaf is core for leaf in leaves) == 1
    assert sum(leaf is other for leaf in leaves) == 8000
    equal = tree.structure(nested(8000, other, core))
    assert equal == structure and hash(equal) == hash(structure)
    assert tree.structure(nested(8000, (core,), other)) != structure
    again = structure.unflatten(leaves)
    assert all(a is b for a, b in zip(structure.flatten_up_to(again), leaves, strict=True))
    shallow = tree.structure(nested(400, core))
    assert shallow.paths("x")[-1].startswith("x.bias[0]['a'][0][0][0].bias")
    assert str(shallow).count("Layer") == 100


def test_structures_that_differ_deep_inside_are_told_so():
    expected = tree.structure(nested(3000, np.ones(1)))
    other = np.ones(1)
    for n in range(1, 3000):
        other = wrapped(n, other)
    with pytest.raises(StructureError, match=r"expected a container of structure \(\*,\), got \*"):
        expected.flatten_up_to(other)


def test_a_container_that_holds_itself_is_refused():
    loop = [1.0]
    loop.append({"again": (loop,)})
    with pytest.raises(StructureError, match="holds itself"):
        tree.flatten((loop, 2.0))
    layer = Layer(np.ones(2))
    layer.parts.append(layer.parts)
    with pytest.raises(StructureError, match="a list that holds itself"):
        tree.flatten(layer)
