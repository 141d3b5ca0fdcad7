"""Lists, dicts and objects among the arguments that a compiled function changes."""

import copy
import dataclasses

import numpy as np
import pytest

import symflux as sf
from symflux.errors import ArgumentError


@dataclasses.dataclass
class State:
    x: object
    steps: float = 0.0


class Layer(sf.tree.Container):
    def __init__(self):
        self.W, self.mean, self.name = np.ones((2, 2)), np.zeros(2), "layer"


def step_of(d):
    d["w"] = d["w"] * 2.0
    return np.sum(d["w"])


def new_key(d):
    d["speed"] = d["w"] + 1.0


def fewer_keys(d):
    w = d.pop("w")
    d["b"] += w[0]


def number_in_list(items):
    items[1] = items[0] * items[1]
    return items[0] + 1.0


def longer(items):
    items.append(items[0] * 3.0)
    items.insert(0, 7.5)


def shorter(items):
    return items.pop()


def exchanged(items):
    items[0], items[1] = items[1], items[0]


def nested(tree):
    tree["a"][1]["w"] = tree["a"][0] + tree["a"][1]["w"]
    tree["a"][0] += 1.0


def in_tuple(tree):
    tree["a"][1]["w"] = tree["a"][0] + tree["a"][1]["w"]


def attribute(state):
    state.x = state.x - 0.5
    state.steps += 1.0


def layer(layer, x):
    layer.mean = 0.9 * layer.mean + 0.1 * x
    return layer.W @ x


def with_arrays(d, u):
    u[0] = 5.0
    d["u"] = u
    d["v"] = u * 2.0
    return u


def by_loop(items):
    for i in range(len(items) - 1):
        items[i + 1] = items[i] + items[i + 1]


def plain_value(d):
    d["k"] = 3
    d["z"] = True


CASES = [
    (step_of, lambda: ({"w": np.arange(3.0), "b": np.ones(2)},)),
    (new_key, lambda: ({"w": np.arange(3.0)},)),
    (fewer_keys, lambda: ({"w": np.arange(3.0), "b": np.ones(2)},)),
    (number_in_list, lambda: ([2.0, 5.0],)),
    (longer, lambda: ([np.ones(2), 4.0],)),
    (shorter, lambda: ([np.ones(2), np.zeros(3)],)),
    (exchanged, lambda: ([np.ones(2), np.zeros(2)],)),
    (in_tuple, lambda: ({"a": (np.ones(2), {"w": np.arange(2.0)})},)),
    (nested, lambda: ({"a": [np.ones(2), {"w": np.arange(2.0)}]},)),
    (attribute, lambda: (State(np.ones(3)),)),
    (layer, lambda: (Layer(), np.arange(2.0))),
    (with_arrays, lambda: ({"q": np.ones(1)}, np.zeros(3))),
    (by_loop, lambda: ([1.0, 2.0, 3.0, 4.0],)),
    (by_loop, lambda: ([np.ones(2), np.ones(2), np.ones(2)],)),
    (plain_value, lambda: ({"w": np.ones(2)},)),
]


def content(obj):
    if isinstance(obj, dict):
        return {k: content(v) for k, v in obj.items()}
    if isinstance(obj, list | tuple):
        return type(obj)(content(v) for v in obj)
    if isinstance(obj, State | Layer):
        return type(obj).__name__, content(vars(obj))
    return np.asarray(obj).tolist(), np.asarray(obj).dtype.name


@pytest.mark.parametrize(("fn", "make"), CASES)
def test_arguments_hold_what_they_hold_in_python(fn, make):
    ours, theirs = make(), make()
    held = copy.copy(ours)
    compiled = sf.compile(fn)
    for _ in range(1 if fn in (shorter, fewer_keys, with_arrays) else 2):
        found, right = compiled(*ours), fn(*theirs)
        assert content(ours) == content(theirs)
        if right is not None:
            np.testing.assert_allclose(found, right)
    for mine, before in zip(ours, held, strict=True):
        assert mine is before


def test_arrays_and_containers_that_stay_are_the_callers_own():
    inner, array = {"w": np.ones(2)}, np.arange(3.0)
    d = {"inner": inner, "array": array}

    @sf.compile
    def f(d):
        d["inner"]["w"] = d["array"] * 2.0
        d["more"] = {"deep": [d["array"] + 1.0]}

    f(d)
    assert d["inner"] is inner
    assert d["array"] is array
    assert inner["w"].tolist() == [0.0, 2.0, 4.0]
    assert d["more"]["deep"][0].tolist() == [1.0, 2.0, 3.0]


def test_a_new_container_takes_the_place_of_the_old_one_which_stays_as_it_was():
    old = {"w": np.ones(2)}
    d = {"p": old}

    @sf.compile
    def f(d):
        d["p"] = {"w": d["p"]["w"] * 3.0}

    f(d)
    assert old["w"].tolist() == [1.0, 1.0]
    assert d["p"]["w"].tolist() == [3.0, 3.0]


def test_a_container_that_is_moved_is_refused():
    def f(items):
        items[0], items[1] = items[1], items[0]

    with pytest.raises(ArgumentError, match="puts a dict of its arguments into another place"):
        sf.compile(f)([{"w": np.ones(2)}, {"w": np.zeros(2)}])

    def g(d):
        d["b"] = {"inner": d["a"]}

    with pytest.raises(ArgumentError, match="puts a dict of its arguments into another place"):
        sf.compile(g)({"a": {"w": np.ones(2)}})


def test_what_is_no_array_is_refused():
    def f(d):
        d["name"] = "two"

    with pytest.raises(ArgumentError, match=r"neither an array nor a number .*'two' \(str\)"):
        sf.compile(f)({"w": np.ones(2)})


def test_containers_are_left_alone_on_demand_and_by_derivatives():
    def f(d):
        d["w"] = d["w"] * 2.0
        return np.sum(d["w"] ** 2)

    d = {"w": np.ones(2)}
    assert sf.compile(f, write_back=False)(d) == 8.0
    assert sf.grad(f)(d)["w"].tolist() == [8.0, 8.0]
    assert sf.vmap(f)({"w": np.ones((3, 2))}).tolist() == [8.0, 8.0, 8.0]
    assert d["w"].tolist() == [1.0, 1.0]


def test_nested_compiled_functions_change_the_containers_of_the_outer_call():
    @sf.compile
    def inner(d):
        d["w"] = d["w"] + 1.0

    @sf.compile
    def outer(d):
        inner(d)
        inner(d)
        return d["w"] * 2.0

    d = {"w": np.zeros(2)}
    assert outer(d).tolist() == [4.0, 4.0]
    assert d["w"].tolist() == [2.0, 2.0]


def test_results_given_as_out_beside_changed_containers():
    out = np.zeros(())
    d = {"w": np.ones(2)}
    f = sf.compile(step_of)
    f(d, out=out)
    assert out == 4.0
    assert d["w"].tolist() == [2.0, 2.0]
