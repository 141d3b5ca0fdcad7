"""A compilation that takes long says which line of the program was unrolled, and what to write."""

import numpy as np
import pytest

import symflux as sf
from symflux import config
from symflux.runtime.unrolled import unrolled_line

X = np.linspace(0.1, 1.0, 4)


def decayed(x):
    y = x * x
    for i in range(300):
        y = y + 0.01 * np.sin(y + i)  # the line
        x = x + y
    return np.sum(x * y)


def short(x):
    for i in range(12):
        x = (
            x * x
            + np.sin(x) * i
            + np.cos(x) / 3
            - np.tanh(x) * 7
            + np.exp(-x) * x
            - x / (1 + x * x)
        )
    return np.sum(x)


LINE = decayed.__code__.co_firstlineno + 3


@pytest.mark.parametrize("function", [sf.compile(decayed), sf.grad(decayed)], ids=["value", "grad"])
def test_after_some_time_a_line_says_what_was_unrolled(function, capsys):
    with config.override(unrolled=1e-9):
        function(X)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1  # once for a compilation
    assert f"test_unrolled.py:{LINE} `y = y + 0.01 * np.sin(y + i)  # the line`" in said[0]
    assert "was unrolled 300 times" in said[0]
    assert "sf.fori_loop or sf.scan" in said[0] and "SYMFLUX_UNROLLED=off" in said[0]


def test_gradients_of_params_say_it_too(capsys):
    w = sf.param(X)
    with config.override(unrolled=1e-9):
        sf.gradient(lambda: 2.0 * decayed(w), sf.params(w))
    assert capsys.readouterr().err.count("was unrolled 300 times") == 1


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_nothing_is_said_when_it_is_off_or_not_yet_time(seconds, capsys):
    with config.override(unrolled=seconds):
        sf.compile(lambda x: decayed(x) + seconds)(X)
    assert "unrolled" not in capsys.readouterr().err


def test_what_is_proposed_is_quick_and_the_same():
    def body(i, state):
        x, y = state
        y = y + 0.01 * np.sin(y + i)
        return x + y, y

    def looped(x):
        x, y = sf.fori_loop(0, 300, body, (x, x * x))
        return np.sum(x * y)

    np.testing.assert_allclose(sf.compile(looped)(X), decayed(X), rtol=1e-12)
    graph = sf.trace(looped)(X)
    assert len(graph.nodes) < 50 and unrolled_line(graph) == ""


def test_what_a_line_does_twice_counts_once():
    def f(x):
        v = x * x
        for _ in range(200):
            v = v + 0.01 * x; x = x + 0.01 * v  # fmt: skip  # noqa: E702
        return np.sum(x)

    assert "was unrolled 200 times" in unrolled_line(sf.trace(f)(X))


def test_programs_of_many_different_lines_are_not_said_to_be_unrolled():
    assert unrolled_line(sf.trace(short)(X)) == ""


def test_the_variable_of_the_environment(monkeypatch):
    for text, seconds in (("off", 0.0), ("0.5", 0.5), ("0", 0.0), ("", 0.0)):
        monkeypatch.setenv("SYMFLUX_UNROLLED", text)
        assert config.get("unrolled") == seconds
