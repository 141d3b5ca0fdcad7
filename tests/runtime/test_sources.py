"""What is taken out of iterators, files and queues of the surroundings is not frozen."""

import collections
import contextlib
import cProfile
import functools
import io
import itertools
import pstats
import queue

import numpy as np
import pytest

import symflux as sf
from symflux.errors import TraceError

NUMBERS = [2.0, 3.0, 4.0, 5.0]


def numbers():
    yield from NUMBERS


SOURCES = {
    "list": lambda: iter(list(NUMBERS)), "tuple": lambda: iter((2.0, 3.0)), "generator": numbers,
    "expression": lambda: (v for v in NUMBERS), "range": lambda: iter(range(4)),
    "dict": lambda: iter(dict.fromkeys(NUMBERS)), "set": lambda: iter(set(NUMBERS)),
    "reversed": lambda: reversed(NUMBERS), "array": lambda: iter(np.array(NUMBERS)),
    "deque": lambda: iter(collections.deque(NUMBERS)), "count": itertools.count,
    "cycle": lambda: itertools.cycle([1.0]), "repeat": lambda: itertools.repeat(1.0, 3),
    "chain": lambda: itertools.chain([1.0], [1.0]), "map": lambda: map(float, NUMBERS),
    "filter": lambda: filter(None, NUMBERS), "slice": lambda: itertools.islice(NUMBERS, 3),
    "accumulate": lambda: itertools.accumulate(NUMBERS), "calls": lambda: iter(lambda: 1.0, 0),
    "flat": lambda: np.ones(99).flat,
}  # fmt: skip


def refused(f, *args):
    """``f`` is refused, at every call, by an error that says how to go on."""
    for _ in range(2):
        with pytest.raises(TraceError, match="every call would see this one value") as found:
            f(*args)
        assert "f(x, " in str(found.value)
    return str(found.value)


@pytest.mark.parametrize("kind", SOURCES)
def test_an_iterator_of_the_surroundings_is_not_frozen(kind):
    it = SOURCES[kind]()
    message = refused(sf.compile(lambda x: x + next(it)), 1.0)
    assert "x + next(it)" in message or kind == "flat"
    refused(sf.grad(lambda x: x * next(it)), 1.0)
    if kind != "flat":  # nothing was taken out
        assert next(it) == next(SOURCES[kind]())


def takers():
    """Ways to take something out, each with where the iterator stands."""
    it = iter(NUMBERS)
    pairs = zip(NUMBERS, itertools.count(), strict=False)

    class Holder:
        ours = iter(NUMBERS)
        __slots__ = ("own",)

    holder, settings = Holder(), type("Settings", (), {})()
    holder.own, settings.it, settings.all = iter(NUMBERS), numbers(), [iter(NUMBERS)]

    def loop(x):
        for v in it:
            return x + v

    def caught(x):
        with contextlib.suppress(Exception):
            x = x + next(it)
        return x

    def default(x, it=iter(NUMBERS)):  # noqa: B008
        return x + next(it)

    def assigns(x):
        global ASSIGNED
        ASSIGNED = 1
        return x + next(it)

    return [
        loop, caught, assigns, lambda x: default(x),
        lambda x: x + sum(it), lambda x: x + np.fromiter(it, float)[0], lambda x: x + max(*it),
        lambda x: x + next(pairs)[1], lambda x: x + next(enumerate(it))[0],
        lambda x: x + next(zip(it, [1], strict=False))[0],
        lambda x: x + next(Holder.ours), lambda x: x + next(holder.own),
        lambda x: x + next(settings.it), lambda x: x + next(settings.all[0]),
        lambda x: sf.fori_loop(0, 3, lambda i, c: c + next(it), x),
        functools.partial(lambda held, x: x + next(held), iter(NUMBERS)),
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(len(takers())))
def test_iterators_are_seen_wherever_they_stand(number):
    refused(sf.compile(takers()[number]), 1.0)


def test_files_and_queues_of_the_surroundings_are_not_frozen(tmp_path):
    path = tmp_path / "numbers"
    path.write_text("1\n2\n3\n")
    text, waiting, simple = io.StringIO("1\n2\n"), queue.Queue(), queue.SimpleQueue()
    waiting.put(1.0)
    simple.put(1.0)

    class Own(queue.Queue):
        pass

    own = Own()
    own.put(1.0)
    with path.open() as file, path.open("rb") as raw:
        for f in (
            lambda x: x + float(file.readline()), lambda x: x + float(next(file)),
            lambda x: x + np.loadtxt(file).sum(), lambda x: x + len(raw.read()),
            lambda x: x + float(text.readline()), lambda x: x + next(float(s) for s in text),
            lambda x: x + waiting.get(), lambda x: x + simple.get_nowait(),
            lambda x: x + own.get(), lambda x: x + waiting.qsize(),
        ):  # fmt: skip
            refused(sf.compile(f), 1.0)
        assert file.readline() == "1\n" and waiting.get() == 1.0


def test_an_iterator_given_as_a_static_argument_is_not_frozen():
    f = sf.compile(lambda x, it: x + next(it), static_argnames="it")
    with pytest.raises(TraceError, match="every call would see this one value"):
        f(1.0, iter(NUMBERS))


def test_sources_from_which_nothing_is_taken_are_no_trouble():
    it, log, same, waiting = iter(NUMBERS), io.StringIO(), itertools.repeat(3.0), queue.Queue()

    def f(x):
        print("traced", file=log)
        waiting.put(1)
        ours = itertools.count(1)
        return x * next(same) * next(ours) if it is not None else x

    compiled = sf.compile(f)
    assert compiled(1.0) == compiled(1.0) == 3.0
    assert next(it) == NUMBERS[0] and log.getvalue() == "traced\n" and waiting.qsize() == 1


def test_elements_read_through_flat_are_not_stale():
    a = np.arange(5.0)
    flat = a.flat
    f = sf.compile(lambda x: x * flat[1])
    assert f(2.0) == 2.0
    a[1] = 7.0
    assert f(2.0) == 14.0


def test_what_is_typed_in_is_not_frozen(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n2\n3\n"))
    with pytest.raises(TraceError, match="what is typed in"):
        sf.compile(lambda x: x + float(input()))(1.0)


def test_files_that_cannot_tell_where_they_are_do_not_break_tracing():
    class Pipe(io.RawIOBase):
        def tell(self):
            raise OSError("not seekable")

    held = {Pipe()}
    assert sf.compile(lambda x: x + len(held))(1.0) == 2.0


def test_functions_that_name_clocks_are_traced_under_a_profiler():
    """cProfile's profiler is no function; it goes on after the trace."""

    def after(x):
        return x * 2.0

    def times(x, normal=3.0):
        return x * normal

    profiler = cProfile.Profile()
    with profiler:
        assert sf.compile(lambda x: times(x) + len("normal"))(2.0) == 12.0
        assert sf.compile(lambda x, uniform: x + uniform)(1.0, 2.0) == 3.0
        after(1.0)
    assert any(name == "after" for _, _, name in pstats.Stats(profiler).stats)
