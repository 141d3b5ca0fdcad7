"""Programs of any length, and how many Python functions a call takes."""

import sys

import numpy as np


def chain(n):
    def f(x):
        for _ in range(n):
            x = np.sin(x)
        return np.sum(x)

    return f


def outputs(n):
    return lambda x: [x * i + np.sin(x) for i in range(n)]


def nest(n):
    def f(x):
        out = x
        for i in range(n):
            out = (out, x * i)
        return out

    return f


def mixed(n):
    """Operations on recent values, drawn at random."""
    draws = np.random.default_rng(1).integers(0, 8, (n, 3)).tolist()

    def f(x):
        values = [x[i] for i in range(8)]
        for kind, i, j in draws:
            a, b = values[-1 - i], values[-1 - j]
            values.append((a + b, a * b, np.sin(a), np.tanh(a - b))[kind % 4])
        return sum(values[-8:])

    return f


def calls(function, *args):
    """How many Python functions are called."""
    count = 0

    def note(frame, event, arg):
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        function(*args)
    finally:
        sys.setprofile(None)
    return count
