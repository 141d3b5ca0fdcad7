"""Arrays among the arguments that a function writes to: they change as they do in NumPy."""

import dataclasses

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import symflux as sf
from symflux.errors import ArgumentError, DTypeError

# --- functions that write, of an array of shape (4, 6) --------------------------------------------


def stencil(u):
    u[1:-1] += 0.25 * (u[2:] - 2.0 * u[1:-1] + u[:-2])


def whole(u):
    u[...] = np.sin(u) + u[::-1]


def one_element(u):
    u[2, 3] = 5.0
    return np.sum(u)


def one_picked(u):
    u[np.argmax(u[:, 0])] = u[0]
    u[[0, 2], 1] = -1.0


def masked(u):
    u[u > 7.0] = 0.0
    return u > 3.0


def through_views(u):
    row = u[1]
    row *= 2.0
    row[::2] = 0.0
    u.T[-1] += 1.0
    u.reshape(-1)[3:5] = -3.0
    return row, u[:, 1]


def in_place_operators(u):
    u += 1.0
    u **= 2
    u -= u.mean()
    u /= 3.0


def with_functions(u):
    np.add.at(u, ([0, 1, 1], 2), 1.5)
    sf.numpy.asarray(u, copy=True)[:] = 0.0
    sf.numpy.array(u)[:] = 0.0
    np.real(u)[0] = np.ravel(u[:, 2:4])[1]
    u.astype(u.dtype, copy=False)[1, 1] = np.nan
    np.nan_to_num(u, copy=False, nan=7.0)
    np.broadcast_arrays(np.atleast_2d(u), u[:1])[0][3] = u[3] * 2.0
    np.split(np.flip(u), 2)[0][0] = np.arange(6)
    u[2].fill(-2.0)


def returned(u):
    u[0] = u[-1] * 2.0
    return u


def returned_among_others(u):
    u[0] = 0.0
    return {"u": u, "copy": u.copy(), "sum": u.sum()}


def renamed(u):
    u = u + 1.0  # another array: the argument stays
    u[0] = 0.0
    return u


def swapped(u):
    first = u[0].copy()
    u[0], u[1] = u[1], first


def only_read(u):
    return 2.0 * u


FUNCTIONS = [
    stencil, whole, one_element, one_picked, masked, through_views, in_place_operators,
    with_functions, returned, returned_among_others, renamed, swapped, only_read,
]  # fmt: skip

# --- layouts of the array -------------------------------------------------------------------------


LAYOUTS = {
    "contiguous": lambda a: a,
    "slice": lambda a: _part(np.zeros((7, 10), a.dtype), np.s_[1:5, 2:8], a),
    "steps": lambda a: _part(np.zeros((8, 18), a.dtype), np.s_[::2, 1::3], a),
    "backwards": lambda a: _part(np.zeros((4, 6), a.dtype), np.s_[::-1, ::-1], a),
    "columns": lambda a: np.asfortranarray(a),
    "foreign": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": lambda a: _part(
        np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape), np.s_[...], a
    ),
}


def _part(big, index, values):
    view = big[index]
    view[...] = values
    return view


def _example(dtype=np.float64):
    return (np.arange(24.0).reshape(4, 6) % 11).astype(dtype)


def _same(found, wanted):
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        found, wanted = tuple(found.values()), tuple(wanted.values())
    if isinstance(wanted, tuple):
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            _same(a, b)
    elif wanted is None:
        assert found is None
    else:
        found, wanted = np.asarray(found), np.asarray(wanted)
        assert found.dtype.newbyteorder("=") == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=1e-6 if wanted.dtype == "f4" else 1e-13)


def _whole(a):
    while a.base is not None:
        a = a.base
    return a


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("fn", FUNCTIONS)
def test_an_argument_changes_as_in_numpy(fn):
    for dtype in (np.float64, np.float32):
        f = sf.compile(fn)
        for layout in ("contiguous", "contiguous", *LAYOUTS, "contiguous"):
            u, v = LAYOUTS[layout](_example(dtype)), _example(dtype)
            wanted = fn(v)
            found = f(u)
            _same(found, wanted)
            _same(u.astype(dtype), v)
            if wanted is v:
                assert found is u
            if fn is returned_among_others:
                assert found["u"] is u and found["copy"] is not u
            if fn is renamed:
                assert found is not u
            u[...] = 0
            assert not _whole(u).any()  # nothing beside it was written


@dataclasses.dataclass
class State:
    u: object
    rate: float = 0.5


HOLDERS = {
    "tuple": lambda a: ((a, 0.5), lambda s: s[0]),
    "list": lambda a: ([a, 2.0], lambda s: s[0]),
    "dict": lambda a: ({"k": 2, "u": a}, lambda s: s["u"]),
    "dataclass": lambda a: (State(a), lambda s: s.u),
    "nested": lambda a: ({"s": [(State([a]),)]}, lambda s: s["s"][0][0].u[0]),
}


@pytest.mark.parametrize("fn", [stencil, returned, masked])
@pytest.mark.parametrize("holder", HOLDERS)
def test_arrays_in_containers(fn, holder):
    held, get = HOLDERS[holder](_example())
    f = sf.compile(lambda s: fn(get(s)))
    for turn in range(3):
        held, _ = HOLDERS[holder](LAYOUTS["slice"](_example()) if turn == 1 else _example())
        v = _example()
        _same(f(held), fn(v))
        _same(get(held), v)


def test_keywords_defaults_and_several_arrays():
    def advance(x, v, dt=0.5, *, log):
        v -= dt * x
        x += dt * v
        log[0], log[1:] = x.sum(), log[:-1].copy()

    f = sf.compile(advance)
    mine, theirs = ([np.arange(3.0), np.ones(3), np.zeros(4)] for _ in range(2))
    for dt in (0.5, 0.25, 0.5, 0.5):
        f(mine[0], mine[1], dt, log=mine[2])
        advance(theirs[0], theirs[1], dt, log=theirs[2])
        f(mine[0], mine[1], log=mine[2])
        advance(theirs[0], theirs[1], log=theirs[2])
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, 1e-14)


@pytest.mark.parametrize("dtype", ["i1", "u2", "i8", "?", "f2", "f4"])
def test_other_dtypes_are_cast_as_by_numpy(dtype):
    def assign(u):
        u[1:] = u[:-1] * 1.5
        u[0] = 1

    u, v = np.arange(5).astype(dtype), np.arange(5).astype(dtype)
    sf.compile(assign)(u)
    assign(v)
    np.testing.assert_array_equal(u, v)
    if dtype[0] in "iu?":
        with pytest.raises(DTypeError, match="in place"):
            sf.compile(lambda u: u.__iadd__(0.5))(u)
        np.testing.assert_array_equal(u, v)


def test_an_array_without_axes_changes_in_place():
    def count(n, x):
        before = n
        n += x
        n[...] = n * 2.0
        return n, before, n + 0.0

    f = sf.compile(count)
    n, m = np.array(1.0), np.array(1.0)
    for x in (1.0, 2.0, 3.0):
        found, wanted = f(n, x), count(m, x)
        assert found[0] is n and n == m
        np.testing.assert_array_equal(found, wanted)
    fill = sf.compile(lambda n: n.__setitem__(..., 2.0))
    fill(n)
    assert n == 2.0
    for number in (1.0, np.float64(1.0), 1):
        with pytest.raises(ArgumentError, match="cannot be written to"):
            fill(number)


# --- where the writes happen ----------------------------------------------------------------------


def in_branch(u, n):
    if n > 2:
        u[0] = -1.0
    sf.cond(u[1] > 0, lambda: u.__setitem__(1, -2.0), lambda: u.__setitem__(2, 9.0))


def in_loop(u, n):
    def body(i, total):
        u[i] = total + u[i]
        return total + 1.0

    return sf.fori_loop(0, 4, body, 0.0)


def in_steps_of_python(u, n):
    for i in range(1, len(u)):
        u[i] += u[i - 1]


def in_inner_function(u, n):
    inner = sf.compile(in_steps_of_python)
    inner(u[1:], n)
    inner(u, n)


def in_loss(u, n):
    def loss(w):
        u[1] = 7.0
        return np.sum(w * w)

    return sf.grad(loss)(u * 2.0)


def plainly(fn, u, n):
    """What Python would do, by hand where SymFlux has functions of its own."""
    if fn is in_branch:
        if n > 2:
            u[0] = -1.0
        u[1 if u[1] > 0 else 2] = -2.0 if u[1] > 0 else 9.0
        return None
    if fn is in_loop:
        u[:4] += np.arange(4.0)
        return 4.0
    if fn is in_inner_function:
        in_steps_of_python(u[1:], n)
        in_steps_of_python(u, n)
        return None
    if fn is in_loss:
        gradient = 4.0 * u
        u[1] = 7.0
        return gradient
    return fn(u, n)


@pytest.mark.parametrize("fn", [in_branch, in_loop, in_steps_of_python, in_inner_function, in_loss])
def test_writes_in_branches_loops_and_inner_functions(fn):
    f = sf.compile(fn, static_argnames="n")
    for n, first in ((1, 1.0), (1, -1.0), (3, 1.0), (3, 1.0)):
        u, v = first * np.arange(1.0, 6.0), first * np.arange(1.0, 6.0)
        _same(f(u, n), plainly(fn, v, n))
        np.testing.assert_array_equal(u, v)


def test_a_branch_writes_to_its_operands():
    def choose(u, w):
        def swap(a, b):
            a[0] = b[1]
            return a.sum()

        return sf.cond(w[0] > 0, swap, lambda a, b: b[0], u, w)

    f = sf.compile(choose)
    for w in (np.ones(2), -np.ones(2), np.ones(2)):
        u = np.arange(2.0) + 5.0
        found = f(u, w)
        assert (found, u[0]) == ((7.0, 1.0) if w[0] > 0 else (-1.0, 5.0))


# --- what is left as it is ------------------------------------------------------------------------


def scratch(w, x):
    x *= 2.0
    w[0] = 1.0
    return np.sum(w * w * x)


def _runs(w, x):
    yield lambda: sf.compile(scratch, write_back=False)(w, x)
    yield lambda: sf.grad(scratch)(w, x)
    yield lambda: sf.value_and_grad(scratch, (0, 1))(w, x)
    yield lambda: sf.gradient(scratch, w, x)
    yield lambda: sf.jacobian(scratch)(w, x)
    yield lambda: sf.hessian(scratch)(w, x)
    yield lambda: sf.jvp(scratch, (w, x), (w, x))
    yield lambda: sf.vjp(scratch, w, x)[1](1.0)
    yield lambda: sf.hvp(scratch, (w, x), (w, x))
    yield lambda: sf.vmap(scratch, (0, None))(np.stack([w, w]), x)
    yield lambda: sf.vmap(scratch, (None, 0))(w, np.stack([x, x]))
    yield lambda: sf.vmap(sf.grad(scratch))(np.stack([w, w]), np.stack([x, x]))
    yield lambda: sf.fori_loop(0, 3, lambda i, c: (c.__setitem__(0, 0.0), c)[1], w)
    yield lambda: sf.trace(scratch)(w, x)
    yield lambda: sf.compile(scratch).lower(w, x)


def _read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


@pytest.mark.parametrize("number", range(15))
def test_derivatives_and_batches_leave_arguments_as_they_are(number):
    w, x = _read_only(np.array([3.0, 4.0])), _read_only(np.array([0.5, 2.0]))
    run = list(_runs(w, x))[number]
    first = run()
    for _ in range(2):
        again = run()
        if isinstance(again, np.ndarray | np.generic):
            np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal((w, x), ([3.0, 4.0], [0.5, 2.0]))


def test_derivatives_inside_of_a_function_leave_its_arrays_as_they_are():
    @sf.compile
    def step(w, x):
        g = sf.grad(scratch)(w, x)
        h = sf.vmap(scratch, (None, 0))(w, np.stack([x, x]))
        inner = sf.compile(scratch, write_back=False)(w, x)
        w -= 0.5 * g
        return g, h, inner, x * 1.0

    for _ in range(2):
        w, x = np.array([3.0, 4.0]), np.array([0.5, 2.0])
        g, h, inner, same = step(w, x)
        np.testing.assert_array_equal(g, [0.0, 4.0 * 8.0])
        np.testing.assert_array_equal(h, 2 * [1.0 + 64.0])
        assert inner == 65.0
        np.testing.assert_array_equal(same, [0.5, 2.0])
        np.testing.assert_array_equal((w, x), ([3.0, 4.0 - 16.0], [0.5, 2.0]))


# --- what is refused ------------------------------------------------------------------------------


def _refused(f, *args):
    """The message, the same at the first call and after one that fits."""
    before = [a.copy() for a in args]
    messages = []
    for turn in range(2):
        with pytest.raises(ArgumentError) as caught:
            f(*args)
        messages.append(str(caught.value))
        if not turn:
            f(*map(np.array, before))
    np.testing.assert_array_equal(args, before)
    assert messages[0] == messages[1]
    assert "u[0] = v[1]" in messages[0] and "write_back=False" in messages[0]
    return messages[0]


def pair(u, v):
    u[0] = v[1]


def test_what_cannot_take_the_writes_is_refused():
    f = sf.compile(pair)
    assert "`u`, which is read-only" in _refused(f, _read_only(np.ones(3)), np.ones(3))
    folded = as_strided(np.ones(3), (3,), (0,))
    assert "several elements in one place" in _refused(f, folded, np.ones(3))
    a = np.arange(6.0)
    assert "shares memory with `v`" in _refused(f, a, a)
    assert "shares memory with `v`" in _refused(f, a[:4], a[2:])
    f(a[::2], a[1::2])  # side by side
    np.testing.assert_array_equal(a, [3.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    f(np.ones(3), _read_only(np.ones(3)))
    shared = np.ones(3)
    with pytest.raises(ArgumentError, match="shares memory with the captured array"):
        sf.compile(lambda u: pair(u, shared))(shared)
    g = sf.compile(lambda u: pair(u, u + shared))
    assert "shares memory with the captured array `captured0` (shape (3,), float64)" in _refused(
        g, shared
    )
    w = sf.param(np.ones(3))
    g = sf.compile(lambda u: pair(u, u + w))
    assert "shares memory with `param" in _refused(g, w.value)


class Boxed:
    """An object that converts to an array."""

    def __array__(self, dtype=None, copy=None):
        return np.ones(3)


def test_what_is_no_array_of_numpy_is_not_written_to():
    f = sf.compile(lambda u: pair(u, np.ones(3)))
    with pytest.raises(ArgumentError, match="a Boxed, which cannot be written to"):
        f(Boxed())
    g = sf.compile(lambda u: pair(u, np.ones(3)), write_back=False)
    assert g(Boxed()) is None


def test_an_error_on_the_way_leaves_the_argument_as_it_was():
    def fails(u):
        u[0] = 5.0
        raise KeyError("user")

    u = np.zeros(2)
    with pytest.raises(KeyError):
        sf.compile(fails)(u)
    assert not u.any()


# --- together with others -------------------------------------------------------------------------


def test_written_donated_and_given_as_out():
    def step(u, v):
        u += v
        return u * 2.0, v * 3.0

    for options in ({}, {"donate": "v"}, {"donate": ("u", "v")}):
        f = sf.compile(step, **options)
        for turn in range(4):
            u, v = np.ones(3), np.ones(3)
            if turn % 2:
                out = np.zeros(3), np.zeros(3)
                assert f(u, v, out=out) is out
                _same(out, (np.full(3, 4.0), np.full(3, 3.0)))
            else:
                first, second = f(u, v)
                _same((first, second), (np.full(3, 4.0), np.full(3, 3.0)))
                assert (second is v or first is v) == bool(options)
            np.testing.assert_array_equal(u, np.full(3, 2.0))
    f = sf.compile(returned)
    for _ in range(2):
        u, out = np.ones((3, 2)), np.zeros((3, 2))
        assert f(u, out=out) is out
        np.testing.assert_array_equal((u, out), 2 * [[[2.0, 2.0], [1.0, 1.0], [1.0, 1.0]]])


def test_params_and_arrays_written_by_one_function():
    w = sf.param(np.zeros(2))

    @sf.compile
    def step(u, p):
        u += 1.0
        sf.update(w, u)
        sf.update(p, 2.0 * u)
        return u

    p = sf.param(np.zeros(2))
    for turn in (1.0, 2.0):
        u = np.full(2, turn)
        assert step(u, p) is u
    np.testing.assert_array_equal(u, [3.0, 3.0])
    np.testing.assert_array_equal((w.value, p.value), ([5.0, 5.0], [10.0, 10.0]))


@pytest.mark.slow
def test_profiles_and_inspection_run_on_copies():
    f = sf.compile(in_place_operators)
    u = _example()
    f.profile(u)
    assert f.lower(u).graph.outputs
    np.testing.assert_array_equal(u, _example())


def test_many_signatures_and_large_arrays():
    def shift(u):
        u[1:] = u[:-1] + 1.0

    f = sf.compile(shift)
    for n in (2, 5000, 3, 300_000, 5000, 2):
        u, v = np.arange(float(n)) % 7, np.arange(float(n)) % 7
        f(u)
        v[1:] = v[:-1].copy() + 1.0
        np.testing.assert_array_equal(u, v)


# --- arrays of the surroundings -------------------------------------------------------------------


class Held:
    """An object with an array."""

    def __init__(self, a):
        self.a = a


def count_in_cell(a):
    def f(x):
        a[0] += 1.0
        return 2.0 * x

    return f


def value_in_cell(a):
    def f(x):
        a[:2] = a[1] + x
        return a[0] * x

    return f


def in_default(a):
    def f(x, a=a):
        a[-1] -= x[0]
        return x + a[-1]

    return f


def in_list(a):
    held = [0, (a,)]

    def f(x):
        held[1][0][1:] *= 2.0
        held[1][0][:] += 1.0
        return x

    return f


def in_object_by_helper(a):
    held = Held(a)

    def note(x):
        held.a[0] = held.a[1] + x.sum()

    def f(x):
        note(x)
        note(x)
        return x

    return f


def by_method(a):
    class Model(Held):
        def step(self, x):
            self.a += 1.0
            return x * self.a[0]

    return Model(a).step


def in_body_of_loop(a):
    def f(x):
        def body(i, total):
            a[0] = a[0] + x[0]
            return total + 1.0

        return sf.fori_loop(0, 3, body, 0.0)

    def plain(x):
        a[0] += 3.0 * x[0]
        return 3.0

    f.plain = plain
    return f


SURROUNDINGS = [
    count_in_cell, value_in_cell, in_default, in_list, in_object_by_helper, by_method,
    in_body_of_loop,
]  # fmt: skip


@pytest.mark.parametrize("size", [3, 1000])
@pytest.mark.parametrize("make", SURROUNDINGS)
def test_arrays_of_the_surroundings_change_at_each_call(make, size):
    a, b = np.arange(float(size)) % 5, np.arange(float(size)) % 5
    f, plain = sf.compile(make(a)), make(b)
    plain = getattr(plain, "plain", plain)
    for turn in range(4):
        x = np.array([turn + 1.0, 2.0])
        _same(f(x), plain(x))
        np.testing.assert_allclose(a, b, 1e-14)
        if turn == 2:
            a[:], b[:] = 3.0, 3.0


@pytest.mark.parametrize("size", [3, 1000])
def test_derivatives_write_to_arrays_of_the_surroundings_once_a_call(size):
    a = np.zeros(size)

    def loss(w):
        a[0] += 1.0
        a[1] = w[0]
        return np.sum(w * w)

    g = sf.grad(loss)
    for turn in range(1, 4):
        w = np.full(2, float(turn))
        np.testing.assert_array_equal(g(w), 2.0 * w)
        np.testing.assert_array_equal(a[:2], [turn, turn])


def test_writes_to_arrays_of_the_surroundings_that_would_be_lost_are_refused():
    a = np.zeros(3)
    numbers = np.zeros(3, complex)

    class Model:
        seen = np.zeros(3)

    def in_class(x):
        Model.seen[0] += 1.0
        return x

    def complex_numbers(x):
        numbers[0] += 1.0
        return x

    def overlapping(x, part=a[:2]):
        part[0] += 1.0
        return x + a[0]

    for fn in (in_class, complex_numbers):
        f = sf.compile(fn)
        for _ in range(2):
            with pytest.raises(sf.SymFluxError) as caught:
                f(1.0)
            assert "+= 1.0" in str(caught.value) and "once" in str(caught.value)
        assert not Model.seen.any() and not numbers.any()
    big = np.zeros(1000)

    def frozen(x, part=big[:2]):
        big[0] += 1.0
        return x + part[0]

    for f in map(sf.compile, (overlapping, frozen)):
        for _ in range(2):
            with pytest.raises(ArgumentError, match="shares memory with the captured array"):
                f(1.0)
    b = _read_only(np.zeros(3))
    f = sf.compile(count_in_cell(b))
    for _ in range(2):
        with pytest.raises((ArgumentError, ValueError), match="read-only"):
            f(1.0)
