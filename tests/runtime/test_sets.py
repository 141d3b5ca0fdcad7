"""Sets of the surroundings are compared by generated code."""

import pytest
from symflux.codegen.llvm.words import Words

import symflux as sf


@pytest.mark.parametrize("count", [0, 1, 3, 5, 40])
def test_sets_are_compared_natively(count):
    names = {f"name{i}" for i in range(count)}
    f = sf.compile(lambda x: x * (1 + len(names)) if "a" in names else x + len(names))
    changes = [
        lambda: names.add("a"), lambda: names.remove("a"),
        lambda: names.update(map(str, range(30))),
        lambda: (names.pop(), names.add("b")), names.clear, lambda: names.update("ab"),
        lambda: (names.discard("b"), names.add("c")),
        lambda: names.symmetric_difference_update("ad"),
    ]  # fmt: skip
    for change in (lambda: None, *changes):
        change()
        wanted = 3.0 * (1 + len(names)) if "a" in names else 3.0 + len(names)
        assert f(3.0) == f(3.0) == wanted
        assert f._state.last.direct


def test_any_element_of_a_set_is_seen_to_change():
    for count in (1, 4, 5, 100, 1000):
        held = {object() for _ in range(count)}
        words = Words()
        assert words.elements(held, tuple(held))
        words.publish()
        assert words.hold()
        for element in list(held)[:: max(1, count // 7)]:
            held.remove(element)
            assert not words.hold()
            held.add(element)
            found = words.hold()  # it may have come to another place
            words.clear()
            assert words.elements(held, tuple(held)) and (found or count > 4)
            words.publish()
        held.add(object())
        assert not words.hold()
    assert not Words().elements({1, 2}, (1, 3)) and not Words().elements(set(), (1,))
