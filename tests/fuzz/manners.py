"""How a random program is run, and what it is compared with: NumPy, differences, graphs."""

import random

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from symflux.codegen import threads

import symflux as sf
from symflux.trace.trace import trace
from symflux.transform.evaluate import evaluate

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
    with case.ways():
        return sf.compile(fn, **options)


def _runs(case, call, wanted, what):
    """Two calls with one thread and one with two; what earlier calls returned must not change."""
    kept = None
    for count in (1, 1, 2):
        threads.set_threads(count)
        with case.ways():
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
    kinds = [(a.shape, a.dtype) for a in args]
    if how == 0:
        twin = dict(zip(kinds, args, strict=True))
        return [twin[kind] for kind in kinds]
    if how == 1:
        every = zip(kinds, args, strict=True)
        base = {k: np.concatenate([a, *[a[:1]] * len(args)]) for k, a in every if a.shape}
        return [base[k][i : i + len(a)] if a.shape else a
                for i, (k, a) in enumerate(zip(kinds, args, strict=True))]  # fmt: skip
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
    with case.ways():
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
        with case.ways():
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
                    fits = [i for i, a in enumerate(free)
                            if a.shape == y.shape != () and a.dtype == y.dtype]  # fmt: skip
                    out[n] = free.pop(fits[0]) if fits else y
            with case.ways():
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


def _interpreted(fn, args):
    """The function, as the interpreter of graphs runs it for arguments of these shapes."""
    traced = trace(getattr(fn, "traced", fn), args, {})
    return lambda *args: evaluate(traced.graph, [*args, *traced.captures])


def _slope(program, slope):
    """Raise unless differences of the plain loss along a direction say the same as a derivative,
    which ``slope`` gives for arguments and the direction.

    A step may cross a kink or a jump; that all of them do, at other arguments too, is an error.
    """
    if program.dtype == "float32":
        return
    loss, along = _loss(program, PLAIN), _along(program)
    for salt in (0, 11):
        args, said = program.arguments(salt), []
        found = slope(args, along)
        for step in (1e-5, 1e-6, 1e-4, 1e-7):
            up, down = (
                loss(*[a.copy() if d is None else a + h * d
                       for a, d in zip(args, along, strict=True)])
                for h in (step, -step)
            )  # fmt: skip
            said.append(float(up - down) / (2 * step))
            if abs(said[-1] - found) <= 1e-6 * (1 + abs(found)):
                return
    raise Wrong(f"a derivative is {found}, differences say {said}")


def _along(program, salt=7):
    """A direction for the arguments; None for integers."""
    smooth = program.smooth
    return [
        np.abs(a) + 0.125 if i in smooth else None for i, a in enumerate(program.arguments(salt))
    ]


def _grad(case):
    program = case.program
    args = program.arguments()
    fn = sf.value_and_grad(_loss(program, TRACED), argnums=program.smooth)

    def flat(*args):
        value, slopes = fn(*args)
        return (value, *slopes)

    value = np.asarray(_loss(program, PLAIN)(*[a.copy() for a in args]))
    says = _interpreted(flat, args)
    wanted = says(*args)
    same([np.asarray(wanted[0], value.dtype)], [value], "the loss", program.dtype)

    def slope(args, along):
        parts = zip([d for d in along if d is not None], says(*args)[1:], strict=True)
        return float(sum(np.sum(d * s) for d, s in parts))

    _slope(program, slope)
    f = _compiled(case, flat)
    _runs(case, lambda: f(*args), wanted, "gradient")


def _jvp(case):
    """Derivatives in forward mode, through while loops too."""
    program = case.program
    args = program.arguments()
    loss, count, smooth = _loss(program, TRACED), len(args), len(program.smooth)

    def flat(*given):
        numbers = given[smooth:count]
        return sf.jvp(lambda *xs: loss(*xs, *numbers), given[:smooth], given[count:])

    def given(args, along):
        return [*args, *[d for d in along if d is not None]]

    value = np.asarray(_loss(program, PLAIN)(*[a.copy() for a in args]))
    both = given(args, _along(program))
    says = _interpreted(flat, both)
    wanted = says(*both)
    same([np.asarray(wanted[0], value.dtype)], [value], "the loss", program.dtype)
    _slope(program, lambda *at: float(says(*given(*at))[1]))
    f = _compiled(case, flat)
    _runs(case, lambda: f(*both), wanted, "forward mode")


def _hessian(case):
    program = case.program
    args = program.arguments()
    loss = _loss(program, TRACED)
    fn = sf.hessian(loss)
    wanted = _interpreted(fn, args)(*args)
    _curve(program, args, _along(program)[0], wanted[0])
    f = _compiled(case, lambda *args: (fn(*args),))
    _runs(case, lambda: f(*args), wanted, "Hessian")


def _curve(program, args, along, found):
    """Raise unless differences of the gradient by the first argument give the Hessian."""
    if program.dtype == "float32":
        return
    says = _interpreted(sf.grad(_loss(program, TRACED)), args)
    curve = np.tensordot(found, along, along.ndim)
    for step in (1e-5, 1e-6, 1e-4):
        (up,), (down,) = (says(args[0] + h * along, *args[1:]) for h in (step, -step))
        off = np.abs((up - down) / (2 * step) - curve)
        if np.all(off <= 1e-5 * (1 + np.max(np.abs(curve)))):
            return
    raise Wrong(f"a Hessian differs from differences of the gradient by {np.max(off)}")


def _vmap(case):
    """Batches along any axis; some arguments are the same for all rows."""
    program = case.program
    rows = [program.arguments(salt) for salt in range(3)]
    bits = random.Random(program.seed)
    axes = [bits.choice((0, 0, None, -1 if s else 0)) for s in program.shapes]
    axes[0] = axes[0] or 0
    args = []
    for i, axis in enumerate(axes):
        if axis is None:
            rows = [[*row[:i], rows[0][i], *row[i + 1 :]] for row in rows]
        args.append(rows[0][i] if axis is None else np.stack([row[i] for row in rows], axis))
    wanted = [np.stack(y) for y in zip(*[right(program, *row) for row in rows], strict=True)]
    f = _compiled(case, sf.vmap(function(program, TRACED), in_axes=tuple(axes)))
    _runs(case, lambda: f(*args), wanted, "vmap")


def _vgrad(case):
    """Gradients of each row of a batch."""
    program = case.program
    rows = [program.arguments(salt) for salt in range(3)]
    fn = sf.grad(_loss(program, TRACED), argnums=program.smooth)
    says = _interpreted(fn, rows[0])
    slopes = zip(*[says(*row) for row in rows], strict=True)
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

    def pure(*args):
        numbers = args[len(ws) :]
        slopes = sf.grad(loss, argnums=program.smooth)(*args)
        new = [w - 0.5 * s for w, s in zip(args, slopes, strict=False)]
        return (*new, loss(*new, *numbers))

    f = _compiled(case, step)
    state = args[: len(ws)]
    says = _interpreted(pure, args)
    for number in range(3):
        threads.set_threads(1 + number % 2)
        *state, wanted = says(*state, *numbers)
        with case.ways():
            found = f(*numbers)
        found = [np.asarray(found), *map(np.asarray, ws)]
        same(found, [np.asarray(wanted), *state], f"training step {number}", program.dtype)


_MANNERS = {
    "plain": _plain, "donate": _donate, "out": _out, "grad": _grad, "hessian": _hessian,
    "vmap": _vmap, "vgrad": _vgrad, "jvp": _jvp, "params": _params,
}  # fmt: skip
