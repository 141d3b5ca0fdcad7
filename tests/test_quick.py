"""The mark ``quick``: which cases of a test run every time."""

import doctest

import pytest

from . import quick


def test_examples():
    assert doctest.testmod(quick).failed == 0


def test_values_without_a_hash_and_equal_ones_of_other_types_are_told_apart():
    one, other = [1], [1]
    cases = [{"x": x} for x in (one, other, one, 1, True, 1.0, 1)]
    assert sorted(quick.chosen(cases, together=1)) == [0, 1, 3, 4, 5]


def test_every_two_values_meet():
    cases = [{"x": x, "y": y, "z": z} for x in range(4) for y in range(3) for z in range(3)]
    kept = [cases[n] for n in quick.chosen(cases, together=2)]
    assert len(kept) < 16
    for one, two in ("xy", "xz", "yz"):
        assert {(c[one], c[two]) for c in kept} == {(c[one], c[two]) for c in cases}


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("y", "abc")
@pytest.mark.parametrize("x", range(3))
def test_the_other_cases_are_slow(request, x, y):
    assert (request.node.get_closest_marker("slow") is None) == ("abc"[x] == y)
