"""Random NumPy programs run in every manner, against plain NumPy and the interpreter of graphs.

    python -m tests.fuzz.campaign 1000           # programs from seed 0 on
    python -m tests.fuzz.campaign 1000 --seed 5  # from seed 5 on
    python -m tests.fuzz.campaign 1 --seed 5     # one: what fails is printed as small as it gets

Most programs are small and run with thresholds lowered at random, so that every decision of
the compiler is made in combination with others; the others have extents on both sides of the
thresholds' real values. Each runs with one thread and with two, which must give the same bits.
"""

import argparse
import math
import random
import sys
import time
import traceback
from collections import Counter

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from symflux.codegen import threads

import symflux as sf
from symflux import config
from symflux.thresholds import TABLE, lowered
from symflux.trace.trace import trace
from symflux.transform.evaluate import evaluate

from .draws import Generator
from .programs import Text
from .shrink_programs import shrink

MOST = 600_000  # elements of an array


def extents():
    """Extents on both sides of every threshold's real value, read as elements or as bytes of them,
    of vectors and of square matrices, and some others."""
    found = {1, 2, 3, 4, 5, 7, 9, 17, 31, 33, 100, 1000, 5000, 131_073, 300_000}
    for row in TABLE.values():
        for number in row.default if isinstance(row.default, tuple) else (row.default,):
            for size in (int(number), int(number) // 8):
                side = math.isqrt(size) if size > 1000 else 1
                found |= {size - 1, size, size + 1, side, side + 1}
    return tuple(sorted(e for e in found if 0 < e <= MOST))


REAL = extents()
SMALL = (1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 23, 33, 100)
MANNERS = ("plain",) * 4 + ("donate",) * 3 + ("grad",) * 3
MANNERS += ("out", "vmap", "vgrad", "params", "hessian")


class Case:
    """A program, how it is run, and the thresholds meanwhile."""

    def __init__(self, program, manner, limits, seed):
        self.program, self.manner, self.limits, self.seed = program, manner, limits, seed

    def __str__(self):
        return (
            f"seed {self.seed}: {self.manner}, thresholds {self.limits}\n"
            f"arguments {self.program.shapes} {self.program.dtype}\n{self.program.source}"
        )


def some_lowered(r):
    """Lower values of a few of the thresholds, or of many."""
    share = r.choice((0.1, 0.4, 0.8))
    return {n: r.choice(row.low) for n, row in TABLE.items() if r.random() < share}


def draw(seed, large=None):
    """The case of a seed; ``large`` says at which sizes, by default the seed does."""
    r = random.Random(seed)
    large = r.random() < 0.35 if large is None else large
    manner = r.choice(MANNERS)
    limits = {} if large else some_lowered(r)
    sizes, most = (REAL, MOST) if large else (SMALL, 600)
    if large:  # as many decisions are about short axes as about long ones
        longest = r.choice((70, 3000, MOST))
        sizes = [e for e in sizes if longest // 100 <= e <= longest]
    if manner in ("vmap", "vgrad", "hessian"):
        sizes, most = [e for e in sizes if e < 3000] or SMALL, most // 8
    if manner == "hessian":
        sizes, most = [e for e in sizes if e < 20] or SMALL[:11], 60
    smooth = manner in ("grad", "vgrad", "params", "hessian")
    steps = r.randint(1, 3) if manner == "hessian" else None
    program = Generator(seed, sizes, most, not smooth, steps, manner != "params").program()
    return Case(program, manner, limits, seed)


# --- what a program means -------------------------------------------------------------------------


def _fori(low, high, body, state):
    for i in range(low, high):
        state = body(i, state)
    return state


def _while(test, body, state):
    while test(state):
        state = body(state)
    return state


def _scan(body, state, xs, reverse=False):
    rows = []
    elements = list(zip(*xs, strict=True)) if isinstance(xs, tuple) else list(xs)
    for x in elements[::-1] if reverse else elements:
        state, row = body(state, x)
        rows.append(row)
    rows = rows[::-1] if reverse else rows
    return state, tuple(np.stack(column) for column in zip(*rows, strict=True))


def _switch(index, branches, *operands):
    return branches[min(max(int(index), 0), len(branches) - 1)](*operands)


PLAIN = {
    "np": np,
    "windows": sliding_window_view,
    "fori_loop": _fori,
    "while_loop": _while,
    "scan": _scan,
    "cond": lambda test, yes, no, *operands: yes(*operands) if test else no(*operands),
    "switch": _switch,
    "smap": lambda fn, xs: np.stack([fn(x) for x in xs]),
}
TRACED = {
    "np": np, "windows": sliding_window_view, "fori_loop": sf.fori_loop, "scan": sf.scan,
    "while_loop": sf.while_loop, "cond": sf.cond, "switch": sf.switch,
    "smap": sf.map,
}  # fmt: skip


def function(program, names):
    """The program's function, with these loops."""
    scope = dict(names)
    exec(compile(program.source, f"<program {program.seed}>", "exec"), scope)
    return scope["f"]


def right(program, *args):
    """What the program's results should be."""
    found = right_after(program, *args)
    return found[: len(found) - len(program.writes)]


def right_after(program, *args):
    """The same, and behind them what the arguments that it writes to should be afterwards."""
    args = [a.copy() for a in args]
    found = [np.asarray(y) for y in function(program, PLAIN)(*args)]
    return found + [args[i] for i in program.writes]


# --- comparing ------------------------------------------------------------------------------------


class Wrong(Exception):
    """A result is not what it should be."""


def same(found, wanted, what, dtype="float64"):
    """Raise where values differ by more than rounding of numbers of this dtype explains."""
    if len(found) != len(wanted):
        raise Wrong(f"{what}: {len(found)} results instead of {len(wanted)}")
    for n, (x, y) in enumerate(zip(found, wanted, strict=True)):
        x, y = np.asarray(x), np.asarray(y)
        if x.shape != y.shape or x.dtype != y.dtype:
            raise Wrong(f"{what}: result {n} is {x.dtype}{x.shape} instead of {y.dtype}{y.shape}")
        if not y.size:
            continue
        wide = y.astype("f8")
        off = np.abs(x.astype("f8") - wide)
        narrow = "float32" in (dtype, str(y.dtype))
        limit = (2e-3 if narrow else 1e-9) * (1.0 + np.max(np.abs(wide)))
        wrong = ~(off <= limit) & ~(np.isnan(x) & np.isnan(y))
        if wrong.any():
            at = np.unravel_index(int(np.argmax(wrong)), y.shape)
            raise Wrong(
                f"{what}: result {n} has {x[at]} instead of {y[at]} at {tuple(map(int, at))}, "
                f"{int(wrong.sum())} of {y.size} are wrong"
            )


def same_bits(found, before, what):
    """Raise where values of two runs differ at all."""
    for n, (x, y) in enumerate(zip(found, before, strict=True)):
        if np.asarray(x).tobytes() != np.asarray(y).tobytes():
            raise Wrong(f"{what}: result {n} differs")


# --- manners --------------------------------------------------------------------------------------


def check(case):
    """Raise what is wrong with a case, whatever that is."""
    before = threads.threads()
    try:
        with np.errstate(all="ignore"):
            _MANNERS[case.manner](case)
    finally:
        threads.set_threads(before)


def _compiled(case, fn, **options):
    with lowered(**case.limits):
        return sf.compile(fn, **options)


def _runs(case, call, wanted, what):
    """Two calls with one thread and one with two; what earlier calls returned must not change."""
    kept = None
    for count in (1, 1, 2):
        threads.set_threads(count)
        with lowered(**case.limits):
            found = call()
        same(found, wanted, f"{what}, {count} threads", case.program.dtype)
        if kept is not None:
            same_bits(found, kept[1], f"{what}, {count} threads instead of 1")
            same_bits(kept[0], kept[1], f"{what}, after another call")
        kept = found, [np.array(x) for x in found]


def _laid_out(program, salt=0):
    """The arguments as a caller may hold them: one array several times, views that overlap or
    skip elements, columns first."""
    args = program.arguments(salt)
    how = program.seed % 6
    if program.writes and how < 2:
        return args
    if how == 0:
        twin = dict(zip(program.shapes, args, strict=True))
        return [twin[s] for s in program.shapes]
    if how == 1:
        base = {a.shape: np.concatenate([a, *[a[:1]] * len(args)]) for a in args if a.shape}
        return [base[a.shape][i : i + len(a)] if a.shape else a for i, a in enumerate(args)]
    if how == 2:
        return [np.repeat(a, 2, -1)[..., ::2] if a.shape else a for a in args]
    return [np.array(a, order="F") for a in args] if how == 3 else args


def _plain(case):
    program = case.program
    args = _laid_out(program)
    f = _compiled(case, function(program, TRACED))
    if program.writes:
        _runs(case, lambda: _written(f, program, _laid_out(program)),
              right_after(program, *args), "plain")  # fmt: skip
    else:
        copies = [a.copy() for a in args]
        _runs(case, lambda: f(*args), right(program, *args), "plain")
        same_bits(args, copies, "arguments")
    other = _laid_out(program, 1)
    wanted = right_after(program, *other)
    with lowered(**case.limits):
        found = _written(f, program, other)
    same(found, wanted, "other arguments", program.dtype)


def _written(f, program, args):
    """The results of a call, and behind them the arguments that it writes to."""
    return [*f(*args), *[args[i] for i in program.writes]]


def _donate(case):
    program = case.program
    args = program.arguments()
    names = [n for i, n in enumerate(program.block.params)
             if (case.seed >> i) % 4 < 3 and i not in program.writes]  # fmt: skip
    f = _compiled(case, function(program, TRACED), donate=tuple(names))
    wanted = right_after(program, *args)
    _runs(case, lambda: _written(f, program, [a.copy() for a in args]), wanted, "donated")
    state, copies = [a.copy() for a in args], args
    for step in range(2):  # results are the next arguments
        with lowered(**case.limits):
            found = _written(f, program, state)
        wanted = right_after(program, *copies)
        same(found, wanted, f"donated, step {step}", program.dtype)
        used = iter(zip(found, wanted, strict=True))
        pair = next(used, None)
        state, again = [], []
        for shape, old, fresh in zip(program.shapes, copies, program.arguments(2), strict=True):
            fits = pair is not None and pair[1].shape == shape and pair[1].dtype == old.dtype
            if fits and old.dtype.kind == "f":
                state.append(np.array(pair[0]))
                again.append(np.array(pair[1]))
                pair = next(used, None)
            else:
                state.append(fresh.copy())
                again.append(fresh)
        copies = again


def _out(case):
    program = case.program
    args = program.arguments()
    wanted = right_after(program, *args)
    results = len(wanted) - len(program.writes)
    f = _compiled(case, function(program, TRACED))
    for count in (1, 2):
        threads.set_threads(count)
        for overlap in (False, True):
            given = [a.copy() for a in args]
            out = [np.full(y.shape, np.nan, y.dtype) for y in wanted[:results]]
            if overlap:
                free = [a for i, a in enumerate(given) if i not in program.writes]
                for n, y in enumerate(out):
                    fits = [i for i, a in enumerate(free) if a.shape == y.shape != ()]
                    at = fits[0] if fits and y.dtype == given[0].dtype else None
                    out[n] = y if at is None else free.pop(at)
            with lowered(**case.limits):
                f(*given, out=tuple(out))
            out += [given[i] for i in program.writes]
            same(out, wanted, f"out=, overlap {overlap}, {count} threads", program.dtype)


def _loss(program, names):
    f = function(program, names)

    def loss(*args):
        total = 0.0
        for n, y in enumerate(f(*args)):
            y = y + 0.1 * n
            total = total + np.sum(y / (1.5 + y * y)) * (1 / max(1, getattr(y, "size", 1)))
        return total

    return loss


def _graph_says(fn, args):
    """What the interpreter of graphs says."""
    traced = trace(getattr(fn, "traced", fn), args, {})
    return evaluate(traced.graph, [*args, *traced.captures])


def _grad(case):
    program = case.program
    args = program.arguments()
    fn = sf.value_and_grad(_loss(program, TRACED), argnums=program.smooth)

    def flat(*args):
        value, slopes = fn(*args)
        return (value, *slopes)

    value = np.asarray(_loss(program, PLAIN)(*[a.copy() for a in args]))
    wanted = _graph_says(flat, args)
    same([np.asarray(wanted[0], value.dtype)], [value], "the loss", program.dtype)
    f = _compiled(case, flat)
    _runs(case, lambda: f(*args), wanted, "gradient")


def _hessian(case):
    program = case.program
    args = program.arguments()
    fn = sf.hessian(_loss(program, TRACED))
    wanted = _graph_says(fn, args)
    f = _compiled(case, lambda *args: (fn(*args),))
    _runs(case, lambda: f(*args), wanted, "Hessian")


def _vmap(case):
    program = case.program
    rows = [program.arguments(salt) for salt in range(3)]
    wanted = [np.stack(y) for y in zip(*[right(program, *row) for row in rows], strict=True)]
    args = [np.stack(column) for column in zip(*rows, strict=True)]
    f = _compiled(case, sf.vmap(function(program, TRACED)))
    _runs(case, lambda: f(*args), wanted, "vmap")


def _vgrad(case):
    """Gradients of each row of a batch."""
    program = case.program
    rows = [program.arguments(salt) for salt in range(3)]
    fn = sf.grad(_loss(program, TRACED), argnums=program.smooth)
    slopes = zip(*[_graph_says(fn, row) for row in rows], strict=True)
    args = [np.stack(column) for column in zip(*rows, strict=True)]
    f = _compiled(case, sf.vmap(fn))
    _runs(case, lambda: f(*args), [np.stack(column) for column in slopes], "vmap of gradient")


def _params(case):
    """Steps of training in place: the params are the arguments."""
    program = case.program
    args = program.arguments()
    loss = _loss(program, TRACED)
    ws, numbers = [sf.param(args[i]) for i in program.smooth], args[len(program.smooth) :]

    def step(*numbers):
        slopes = sf.gradient(lambda: loss(*ws, *numbers), sf.params(*ws))
        for w in ws:
            sf.update(w, -0.5 * slopes[w])
        return loss(*ws, *numbers)

    def pure(*ws):
        slopes = sf.grad(loss, argnums=program.smooth)(*ws, *numbers)
        new = [w - 0.5 * s for w, s in zip(ws, slopes, strict=True)]
        return (*new, loss(*new, *numbers))

    f = _compiled(case, step)
    state = args[: len(ws)]
    for number in range(3):
        threads.set_threads(1 + number % 2)
        *state, wanted = _graph_says(pure, state)
        with lowered(**case.limits):
            found = f(*numbers)
        found = [np.asarray(found), *map(np.asarray, ws)]
        same(found, [np.asarray(wanted), *state], f"training step {number}", program.dtype)


_MANNERS = {
    "plain": _plain, "donate": _donate, "out": _out, "grad": _grad, "hessian": _hessian,
    "vmap": _vmap, "vgrad": _vgrad, "params": _params,
}  # fmt: skip


# --- campaigns ------------------------------------------------------------------------------------


def problem(case):
    """What is wrong with a case in words; None if nothing is."""
    try:
        check(case)
    except Wrong as error:
        return f"Wrong: {error}"
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {at.name}: {error}"[:2000]
    return None


def small(case):
    """The smallest case that still goes wrong in the same way."""
    kind = (problem(case) or "").split(":")[0]
    return shrink(case, lambda other: (problem(other) or "").split(":")[0] == kind)


def text_case(shapes, source, manner="plain", dtype="float64", **limits):
    """The case of a program given as text: what once failed."""
    return Case(Text(shapes, source, dtype), manner, limits, 5)


def main(arguments):
    """Run the programs of many seeds; print those that fail, small."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.campaign")
    parser.add_argument("programs", type=int)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--seconds", type=float, default=1e9, help="after which it stops")
    parser.add_argument("--large", action="store_true", help="real thresholds only")
    parser.add_argument("--keep", action="store_true", help="do not shrink what fails")
    options = parser.parse_args(arguments)
    end, manners, failed, seed = time.monotonic() + options.seconds, Counter(), 0, options.seed
    config.put("prove", "all")
    for seed in range(options.seed, options.seed + options.programs):
        if time.monotonic() > end:
            break
        case = draw(seed, large=True if options.large else None)
        manners[case.manner] += 1
        if found := problem(case):
            failed += 1
            print(f"--- {found}\n{case if options.keep else small(case)}", flush=True)
    else:
        seed += 1
    print(f"{sum(manners.values())} programs, seeds {options.seed} to {seed - 1}: {failed} failed")
    print(", ".join(f"{name} {number}" for name, number in sorted(manners.items())))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
