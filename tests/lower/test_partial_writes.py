"""Writes to a part of an array touch that part only, and leave NumPy's values."""

import numpy as np
import pytest
from symflux.codegen.interp import run
from symflux.codegen.passes.pinpoint import pinpoint
from symflux.codegen.text import parse_program, print_program

import symflux as sf

N = 20_000


def first(u, i, j, v):
    u[0] = v


def part(u, i, j, v):
    u[10:20] += v


def picked(u, i, j, v):
    u[i] = v


def grown(u, i, j, v):
    u[i] += u[i - 1] * v


def twice(u, i, j, v):
    u[i] = v
    u[j] = v + u[i]


def row(u, i, j, v):
    u[i] = np.arange(40.0) + v


def column(u, i, j, v):
    u[:, j] = v


def element(u, i, j, v):
    u[i, j] -= v


def border(u, i, j, v):
    u[0] = u[-1] = v
    u[:, 0] = u[:, -1] = 2.0 * v


def looped(u, i, j, v):
    def body(k, total):
        u[k] = 0.5 * u[k - 1] + v
        return total

    sf.fori_loop(1, 20, body, 0.0)


def in_python(u, i, j, v):
    for k in range(1, 20):
        u[k] = 0.5 * u[k - 1] + v


VECTORS, MATRICES = [first, part, picked, grown, twice, looped], [row, column, element, border]


@pytest.mark.parametrize("write", [*VECTORS, *MATRICES])
def test_a_write_to_a_part_leaves_the_rest_and_does_not_go_over_it(write):
    shape = (N,) if write in VECTORS else (500, 40)
    f = sf.compile(write)
    for i, j in ((3, 5), (-1, 0), (7, 7), (shape[0] - 1, -1)):
        u = np.arange(float(np.prod(shape))).reshape(shape)
        u.flat[5], u.flat[-2] = -0.0, np.nan
        wanted = u.copy()
        (in_python if write is looped else write)(wanted, i, j, 2.5)
        f(u, i, j, 2.5)
        assert u.tobytes() == wanted.tobytes()
    # elements that are written; a loop works on a copy, two places at once are looked for
    touched = {row: 40, column: 500, element: 502, border: 1080, looped: 2 * N, twice: 2 * N}
    # (pieces for threads count whole)
    assert sum(k.bytes_written for k in f.cost.kernels) <= 8.1 * touched.get(write, 20)


@pytest.mark.parametrize("index", [N, -N - 1, 10**15])
def test_an_index_beyond_the_array_writes_nothing(index):
    u = np.arange(float(N))
    sf.compile(picked)(u, index, 0, 2.5)
    assert np.all(u == np.arange(float(N)))


HEAD = """program p {{
  buffer u : f64[12] inout
  buffer w : f64[12] input
  buffer at : i64[2] input
  kernel k {{
    %e = load at[0] : i64
    %b = load at[1] : i64
    {} }} }}"""
#: bodies, and how many loops are left
PROGRAMS = [
    ("loop i < 12 { %0 = load u[i] : f64 %1 = eq i, %e : bool %2 = load w[i] : f64 "
     "%3 = select %1, %2, %0 : f64 store u[i], %3 }", 0),
    ("loop i < 12 { %0 = load u[i] : f64 %1 = eq %e, i : bool %4 = lt i, %b : bool "
     "%5 = and %4, %1 : bool %3 = select %5, 1.0, %0 : f64 store u[i], %3 }", 0),
    ("loop i < 4 { %m = mul i, 3 : i64 loop j < 3 { %0 = load u[3*i + j] : f64 "
     "%4 = add %m, j : i64 %1 = eq %4, %e : bool %3 = select %1, 7.0, %0 : f64 "
     "store u[3*i + j], %3 } }", 1),
    # pieces for threads: all alike, the last one shorter, and such that overlap
    ("loop i < 4 parallel { %m = mul i, 3 : i64 loop j < 3 { %0 = load u[3*i + j] : f64 "
     "%4 = add %m, j : i64 %1 = eq %4, %e : bool %3 = select %1, 7.0, %0 : f64 "
     "store u[3*i + j], %3 } }", 0),
    ("loop i < 3 parallel { %m = mul i, 5 : i64 %r = sub 12, %m : i64 %n = minimum %r, 5 : i64 "
     "loop j < %n { %0 = load u[5*i + j] : f64 %4 = add %m, j : i64 %1 = eq %4, %e : bool "
     "%3 = select %1, 7.0, %0 : f64 store u[5*i + j], %3 } }", 0),
    ("loop i < 4 { %m = mul i, 2 : i64 loop j < 3 { %0 = load u[2*i + j] : f64 "
     "%4 = add %m, j : i64 %1 = eq %4, %e : bool %3 = select %1, 7.0, %0 : f64 "
     "store u[2*i + j], %3 } }", 1),
    ("loop i < 4 parallel { loop j < 3 { %0 = load u[3*i + j] : f64 "
     "%1 = eq j, %e : bool %3 = select %1, 7.0, %0 : f64 store u[3*i + j], %3 } }", 1),
    ("loop i < 4 { %1 = eq i, %e : bool loop j < 3 { %0 = load u[3*i + j] : f64 "
     "%2 = load w[j] : f64 %3 = select %1, %2, %0 : f64 store u[3*i + j], %3 } }", 1),
    # others of another element, of another buffer, where the place is inside, or several stores
    ("loop i < 11 { %0 = load u[i + 1] : f64 %1 = eq i, %e : bool "
     "%3 = select %1, 1.0, %0 : f64 store u[i], %3 }", 1),
    ("loop i < 12 { %0 = load w[i] : f64 %1 = eq i, %e : bool "
     "%3 = select %1, 1.0, %0 : f64 store u[i], %3 }", 1),
    ("loop i < 12 { %0 = load u[i] : f64 %1 = eq i, %e : bool "
     "%3 = select %1, %0, 1.0 : f64 store u[i], %3 }", 1),
    ("loop i < 12 { %0 = load u[i] : f64 %4 = mul i, i : i64 %1 = eq i, %4 : bool "
     "%3 = select %1, 1.0, %0 : f64 store u[i], %3 }", 1),
    ("loop i < 12 { %0 = load u[i] : f64 %1 = lt i, %e : bool "
     "%3 = select %1, 1.0, %0 : f64 store u[i], %3 }", 1),
    ("loop i < 11 { %0 = load u[i] : f64 store u[i + 1], 2.0 %1 = eq i, %e : bool "
     "%3 = select %1, 1.0, %0 : f64 store u[i], %3 }", 1),
]  # fmt: skip


@pytest.mark.parametrize(("body", "left"), PROGRAMS)
def test_loops_of_which_one_iteration_changes_something(body, left):
    program = parse_program(HEAD.format(body))
    changed = pinpoint(program)
    assert print_program(changed).count("loop") == left
    for e in (0, 5, 11, 3, -1, 12, 10**12):
        for b in (0, 4, 9):
            arrays = {"w": np.arange(12.0) + 20, "at": np.array([e, b])}
            results = []
            for p in (program, changed):
                u = np.arange(12.0)
                run(p, {"u": u, **arrays})
                results.append(u)
            np.testing.assert_array_equal(*results)
