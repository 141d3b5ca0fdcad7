"""Random NumPy programs as a person would write them: loops with several carries, windows, moves.

A program is source text. Under NumPy and plain Python loops it says what is right; traced, it is
what the compiler is tested on. Every value stays below a bound, and nothing jumps where a rounding
could tip it over, so that results compare with one small tolerance.
"""

import random
from itertools import count

import numpy as np

#: Iterations of loops.
TRIPS = (1, 2, 3, 4)


class Line:
    """Statements that make one value: ``text`` with ``{t}`` for it and ``{0}`` for operands."""

    def __init__(self, target, text, names):
        self.targets, self.text, self.names = [target], text, list(names)

    def render(self):
        return self.text.format(*self.names, t=self.targets[0]).split("\n")

    def blocks(self):
        return []


class Region:
    """A loop or branch: ``kind``, the carries that go in, a block for each body."""

    def __init__(self, kind, targets, names, bodies, extra):
        self.kind, self.targets, self.names = kind, targets, list(names)
        self.bodies, self.extra, self.order = bodies, extra, ""

    def blocks(self):
        return self.bodies

    def render(self):
        tag = self.targets[0]
        into = ", ".join(self.names) + ","
        carries = self.targets[: len(self.names)]
        lines = []
        for number, body in enumerate(self.bodies):
            given = ", ".join(body.params)
            head = {
                "fori": f"def b{number}_{tag}(i_{tag}, s):",
                "scan": f"def b{number}_{tag}(s, e_{tag}):",
                "while": f"def b{number}_{tag}(s):",
                "cond": f"def b{number}_{tag}({given}):",
                "map": f"def b{number}_{tag}({given}):",
            }[self.kind]
            lines.append(head)
            inner = []
            if self.kind == "while":
                inner.append(f"i_{tag}, {given}, = s")
            elif self.kind in ("fori", "scan"):
                inner.append(f"{given}, = s")
            for step in body.steps:
                inner += step.render()
            results = ", ".join(body.results) + ","
            kept = "".join(f"{y}, " for y in body.stacked)
            inner.append({
                "while": f"return (i_{tag} + 1, {results})",
                "scan": f"return ({results}), ({kept})",
                "map": f"return {body.results[0]}",
            }.get(self.kind, f"return ({results})"))  # fmt: skip
            lines += [f"    {line}" for line in inner]
        left = ", ".join(carries) + ","
        lines += {
            "fori": lambda: [f"{left} = fori_loop(0, {self.extra}, b0_{tag}, ({into}))"],
            "while": lambda: [
                f"_, {left} = while_loop(lambda s: s[0] < {self.extra}, b0_{tag}, (0, {into}))"
            ],
            "cond": lambda: [f"{left} = cond({self.extra}, b0_{tag}, b1_{tag}, {into[:-1]})"],
            "map": lambda: [f"{carries[0]} = smap(b0_{tag}, {self.names[0]})"],
            "scan": lambda: [
                f"({left}), ({''.join(f'{t}, ' for t in self.targets[len(self.names) :])}) = "
                f"scan(b0_{tag}, ({into}), np.arange({self.extra}) * 0.25{self.order})"
            ],
        }[self.kind]()
        return lines


class Block:
    """Steps, and the names of their results."""

    def __init__(self, params, steps, results, stacked=()):
        self.params, self.steps = list(params), list(steps)
        self.results, self.stacked = list(results), list(stacked)


class Program:
    """A function of arrays x0, x1, ...: shapes of the arguments, and a block."""

    def __init__(self, shapes, block, seed, dtype="float64"):
        self.shapes, self.block, self.seed, self.dtype = shapes, block, seed, dtype

    @property
    def source(self):
        lines = [line for step in self.block.steps for line in step.render()]
        lines.append(f"return ({', '.join(self.block.results)},)")
        return f"def f({', '.join(self.block.params)}):\n" + "".join(f"    {x}\n" for x in lines)

    def arguments(self, salt=0):
        rng = np.random.default_rng([self.seed, salt])
        return [np.asarray(rng.uniform(-1, 1, s), self.dtype) for s in self.shapes]


class Text(Program):
    """A program given as text."""

    source = ""

    def __init__(self, shapes, source, dtype="float64"):
        lines = source.strip().split("\n")
        params = lines[0].partition("(")[2].rpartition(")")[0].split(", ")
        super().__init__(shapes, Block(params, [], []), 0, dtype)
        self.source = source.strip() + "\n"


class _Value:
    """A name with its shape, a bound, and whether a rounding can have changed it."""

    def __init__(self, name, shape, bound, exact=False):
        self.name, self.shape, self.bound, self.exact = name, shape, bound, exact

    @property
    def size(self):
        return int(np.prod(self.shape))


class Generator:
    """One random program; ``extents`` are those that axes are drawn from, ``most`` the elements of
    an array at most; without ``while_loops`` it has derivatives in both modes."""

    def __init__(self, seed, extents, most, while_loops=True, steps=None):
        self.random = random.Random(seed)
        self.seed, self.most, self.while_loops = seed, most, while_loops
        self.longest_sum = most if while_loops else 100  # for the interpreter's sake
        self.names = (f"v{n}" for n in count())
        pick = self.random.choice
        self.long, self.short = pick(extents), pick([e for e in extents if e <= 64] or [3])
        self.steps = steps or self.random.randint(2, 7)

    def program(self):
        r = self.random
        n, m = self.long, self.short
        shapes = [(n,)] * 3
        if n * m <= self.most:
            shapes += r.choice([[(m, n)] * 3, [(n, m)] * 3, [(m, n), (n, m), (m,), (m, m)]])
        if n * n <= self.most:
            shapes += [(n, n)]
        self.family = shapes
        args = [r.choice(shapes) for _ in range(r.randint(1, 4))]
        if r.random() < 0.6:
            args.append(args[0])
        pool = [_Value(f"x{i}", s, 1.0, True) for i, s in enumerate(args)]
        params = [v.name for v in pool]
        steps = self.grow(pool, self.steps, depth=2)
        results = self.results(pool, len(params))
        dtype = "float32" if r.random() < 0.15 else "float64"
        return Program(args, Block(params, steps, [v.name for v in results]), self.seed, dtype)

    def results(self, pool, arguments):
        made = pool[arguments:] or pool
        number = min(len(made), self.random.randint(1, 3))
        results = self.random.sample(made, number)
        results += [made[-1]] if made[-1] not in results else []
        if self.random.random() < 0.15:
            results.append(self.random.choice(pool))  # an argument, or a result twice
        return results

    # --- steps ---

    def grow(self, pool, number, depth, index=None):
        """Steps that add to ``pool``; ``index`` is the number of the iteration, if there is one."""
        made = []
        for _ in range(number):
            kinds = [self.pointwise] * 6 + [self.move] * 4 + [self.reduce] * 2
            kinds += [self.product, self.windows, self.update, self.gather]
            if depth:
                kinds += [self.loop] * 3 + [self.branch] + [self.map]
            step = None
            while step is None:
                kind = self.random.choice(kinds)
                if kind in (self.loop, self.branch, self.map):
                    step = kind(pool, depth, index)
                else:
                    step = kind(pool)
            made.append(step)
        return made

    def any(self, pool, accept=lambda v: True):
        options = [v for v in pool if accept(v)]
        if not options:
            return None
        if self.random.random() < 0.3:
            return self.random.choice(options)
        return options[-1 - min(int(self.random.expovariate(0.4)), len(options) - 1)]

    def array(self, pool):
        return self.any(pool, lambda v: v.shape and v.size > 1)

    def line(self, pool, text, operands, shape, bound, exact=False):
        if int(np.prod(shape)) > self.most or 0 in shape:
            return None
        name = next(self.names)
        if bound > 4:
            text, bound, exact = f"{text} * {1 / bound:.3g}", 1.01, False
        pool.append(_Value(name, tuple(shape), bound, exact and all(o.exact for o in operands)))
        return Line(name, f"{{t}} = {text}", [o.name for o in operands])

    def pointwise(self, pool):
        r = self.random
        a = self.any(pool)
        if a is None:
            return None
        if r.random() < 0.35:
            text, bound = r.choice([
                ("np.sin({0})", 1), ("np.tanh({0})", 1), ("np.exp(-{0} * {0})", 1),
                ("np.sqrt({0} * {0} + 0.25)", a.bound + 0.5), ("-{0}", a.bound),
                ("{0} * 0.5", a.bound), ("({0} + 1.0)", a.bound + 1), ("np.abs({0})", a.bound),
                ("np.log(1.5 + {0} * {0})", a.bound + 1), ("({0} / (1.5 + {0} * {0}))", 1),
                ("1.0 / (1.0 + np.exp(-{0}))", 1), ("({0} ** 2)", a.bound**2),
            ])  # fmt: skip
            return self.line(pool, text, [a], a.shape, bound)
        b = self.any(pool, lambda v: _fits(a, v, self.most))
        if b is None:
            return None
        shape = np.broadcast_shapes(a.shape, b.shape)
        both = a.bound + b.bound
        choices = [
            ("({0} + {1})", both), ("({0} - {1})", both), ("{0} * {1}", a.bound * b.bound),
            ("(0.5 * {0} + 0.25 * {1})", both), ("np.maximum({0}, {1})", both),
            ("np.minimum({0}, {1})", both), ("{0} / (2.5 + {1} * {1})", a.bound),
            ("np.sqrt({0} * {0} + {1} * {1} + 0.1)", both + 0.4),
            ("({0} / (3.5 + np.cos({1})))", a.bound),
        ]  # fmt: skip
        c = self.any(pool, lambda v: v.exact and _fits(v, _Value("", shape, 1), self.most))
        if c is not None:
            text = f"np.where({{2}} > {r.choice((0.0, 0.3, -0.2))}, {{0}}, {{1}})"
            shape_c = np.broadcast_shapes(shape, c.shape)
            if r.random() < 0.2:
                return self.line(pool, text, [a, b, c], shape_c, max(a.bound, b.bound))
        text, bound = r.choice(choices)
        return self.line(pool, text, [a, b], shape, bound)

    def move(self, pool):
        """A value whose elements are those of others at other places."""
        r = self.random
        a = self.array(pool)
        if a is None:
            return None
        axis = r.randrange(len(a.shape))
        n = a.shape[axis]
        k = r.randint(0, n - 1) if r.random() < 0.5 else min(n - 1, r.choice((1, 2, 7)))
        part = lambda text: ":, " * axis + text  # noqa: E731
        same = self.any(pool, lambda v: v.shape == a.shape)
        bound = max(a.bound, same.bound)
        padding = [(0, 0)] * len(a.shape)
        padding[axis] = (k, 0) if r.random() < 0.5 else (0, k)
        grown, less, turned = list(a.shape), list(a.shape), list(a.shape)
        grown[axis] += k
        less[axis] = n - k
        turned = turned[::-1]
        cut = part(f":{n}") if r.random() < 0.5 else part(f"{k}:")
        joined = f"np.concatenate([{{0}}[{part(f'{k}:')}], {{1}}[{part(f':{k}')}]], {axis})"
        text, names, shape = r.choice([
            (f"np.roll({{0}}, {k}, {axis})", [a], a.shape),
            (f"np.flip({{0}}, {axis})", [a], a.shape),
            (f"{{0}}[{part('::-1')}]", [a], a.shape),
            (joined, [a, same], a.shape),
            (joined, [a, same], a.shape),
            (f"np.pad({{0}}, {tuple(padding)})[{cut}]", [a], a.shape),
            (f"np.pad({{0}}, {tuple(padding)})", [a], grown),
            (f"{{0}}[{part(f'{k}:')}]", [a], less),
            (f"{{0}}[{part(f':{n - k}')}]", [a], less),
            (f"{{0}}[{part('::2')}]", [a],
             [(e + 1) // 2 if i == axis else e for i, e in enumerate(a.shape)]),
            ("{0}.T", [a], turned),
            ("{0}.reshape(-1)", [a], (a.size,)),
            ("np.stack([{0}, {1}])", [a, same], (2, *a.shape)),
            ("np.stack([{0}, {1}], -1)", [a, same], (*a.shape, 2)),
            ("{0}[None]", [a], (1, *a.shape)),
            (f"np.repeat({{0}}, 2, {axis})", [a],
             [2 * e if i == axis else e for i, e in enumerate(a.shape)]),
        ])  # fmt: skip
        if len(shape) > 3:
            return None
        return self.line(pool, text, names, shape, bound, exact=True)

    def reduce(self, pool):
        r = self.random
        a = self.array(pool)
        if a is None:
            return None
        axis = r.choice([None, *range(len(a.shape)), -1])
        n = a.size if axis is None else a.shape[axis]
        kept = r.random() < 0.3
        shape = () if axis is None else list(a.shape)
        if axis is not None:
            shape[axis] = 1
            shape = shape if kept else [e for i, e in enumerate(shape) if i != axis % len(shape)]
        elif kept:
            shape = (1,) * len(a.shape)
        args = f"{axis}, keepdims={kept}"
        text, bound, shape = r.choice([
            (f"np.sum({{0}}, {args}) * {1 / n:.6g}", a.bound, shape),
            (f"np.mean({{0}}, {args})", a.bound, shape),
            (f"np.max({{0}}, {args})", a.bound, shape),
            (f"np.sum({{0}} ** 2, {args}) * {1 / n:.6g}", a.bound**2, shape),
            (f"np.var({{0}}, {args})", 2 * a.bound**2, shape),
            (f"np.log(np.sum(np.exp({{0}}), {args}) * {1 / n:.6g})", a.bound, shape),
            (f"(np.exp({{0}}) / np.sum(np.exp({{0}}), {axis}, keepdims=True))", 1, a.shape),
            (f"({{0}} - np.mean({{0}}, {axis}, keepdims=True))", 2 * a.bound, a.shape),
        ])  # fmt: skip
        if n <= self.longest_sum and axis is not None and r.random() < 0.15:
            text, bound, shape = f"np.cumsum({{0}}, {axis}) * {1 / n:.6g}", a.bound, a.shape
        return self.line(pool, text, [a], shape, bound)

    def product(self, pool):
        a = self.array(pool)
        b = a and self.any(pool, lambda v: len(v.shape) in (1, 2) and len(a.shape) <= 2
                           and a.shape[-1] == v.shape[0])  # fmt: skip
        if b is None or a.size * b.size // a.shape[-1] > 30 * self.most:
            return None
        n = a.shape[-1]
        shape = (*a.shape[:-1], *b.shape[1:])
        text = f"{{0}} @ {{1}} * {1 / n:.6g}"
        if self.random.random() < 0.3 and shape:
            text = f"np.maximum({text} + 0.125, 0.0)"
        return self.line(pool, text, [a, b], shape, a.bound * b.bound + 0.125)

    def windows(self, pool):
        """Neighbourhoods of a padded array, weighted and added up."""
        r = self.random
        a = self.any(pool, lambda v: v.shape and min(v.shape) > 3)
        if a is None:
            return None
        rank = r.randint(1, len(a.shape))
        sizes = [r.choice((1, 2, 3, 3, 5)) for _ in range(rank)]
        axes = tuple(range(len(a.shape) - rank, len(a.shape)))
        padding = [(0, 0)] * (len(a.shape) - rank)
        padding += [(r.choice((0, 1, s)), r.choice((0, 1, s, 2 * s))) for s in sizes]
        shape = [e + sum(p) for e, p in zip(a.shape, padding, strict=True)]
        for axis, s in zip(axes, sizes, strict=True):
            shape[axis] -= s - 1
        if min(shape) < 1 or a.size * int(np.prod(sizes)) > 8 * self.most:
            return None
        total = int(np.prod(sizes))
        weights = f"(np.arange(1.0, {total + 1}.0).reshape({tuple(sizes)}) * {1 / total**2:.6g})"
        text = (
            f"(windows(np.pad({{0}}, {tuple(padding)}), {tuple(sizes)}, {axes}) * {weights})"
            f".sum({tuple(range(-rank, 0))})"
        )
        return self.line(pool, text, [a], shape, a.bound)

    def update(self, pool):
        """A copy of a value with some elements overwritten."""
        r = self.random
        a = self.array(pool)
        if a is None:
            return None
        same = self.any(pool, lambda v: v.shape == a.shape)
        axis = r.randrange(len(a.shape))
        n = a.shape[axis]
        low = r.randint(0, n - 1)
        high = r.randint(low + 1, n)
        place = ":, " * axis + f"{low}:{high}"
        other = ":, " * axis + f"{n - high}:{n - low}"
        write = r.choice([
            f"{{t}}[{place}] = {{1}}[{other}]", f"{{t}}[{place}] += 0.5 * {{1}}[{other}]",
            f"{{t}}[{place}] *= 0.5", f"{{t}}[{':, ' * axis}::2] = 0.25",
        ])  # fmt: skip
        return self.written(pool, a, same, write, a.bound + same.bound)

    def gather(self, pool):
        r = self.random
        a = self.array(pool)
        if a is None:
            return None
        n = a.shape[0]
        if r.random() < 0.5:
            text = f"{{0}}[(np.arange({n}) * {r.choice((3, 5, 7))}) % {n}]"
            return self.line(pool, text, [a], a.shape, a.bound, exact=True)
        same = self.any(pool, lambda v: v.shape == a.shape)
        places = f"(np.arange({n}) * 3) % {max(1, n // 2)}"
        write = f"np.add.at({{t}}, {places}, 0.125 * {{1}})"
        return self.written(pool, a, same, write, a.bound + same.bound)

    def written(self, pool, a, other, write, bound):
        """A copy of ``a`` that a statement writes to."""
        made = self.line(pool, "1.0 * {0}", [a, other], a.shape, 4.0)
        if made is not None:
            made.text += f"\n{write}\n{{t}} = {{t}} * {min(1.0, 4 / bound):.3g}"
        return made

    # --- regions ---

    def carries(self, pool, scalars=True):
        r = self.random
        first = self.any(pool, lambda v: scalars or v.shape)
        if first is None:
            return []
        found = [first]
        for _ in range(r.choice((0, 1, 1, 2, 3))):
            alike = self.any(pool, lambda v: v.shape == first.shape)
            found.append(alike if r.random() < 0.75 else self.any(pool))
        return found

    def body(self, pool, carries, depth, index):
        """A block from carries to carries, often the same arrays in other places."""
        r = self.random
        params = [_Value(next(self.names), c.shape, 4.0) for c in carries]
        inner = [v for v in pool if r.random() < 0.3] + params
        steps = self.grow(inner, r.randint(0, 3), depth - 1, index)
        results = []
        for p in params:
            options = [v for v in inner if v.shape == p.shape and v.name != p.name]
            others = [q for q in params if q.shape == p.shape and q is not p]
            if others and r.random() < 0.5:
                v = r.choice(others)  # they change places
            elif options and r.random() < 0.85:
                v = options[-1] if r.random() < 0.5 else r.choice(options)
            else:
                v = p
            if v not in params:
                mixed = r.random() < 0.5
                text = "(0.5 * {0} + 0.25 * {1})" if mixed else "0.75 * {0}"
                step = self.line(inner, text, [v, p] if mixed else [v], p.shape, 3.0)
                v = p if step is None else inner[-1]
                steps += [] if step is None else [step]
            results.append(v.name)
        made = [v.name for v in inner if v not in pool]
        stacked = r.sample(made, min(len(made), r.randint(0, 2)))
        return Block([p.name for p in params], steps, results, stacked), inner

    def loop(self, pool, depth, index):
        r = self.random
        carries = self.carries(pool)
        trips = r.choice(TRIPS)
        kind = r.choice(["fori", "fori", "scan", "scan", *["while"] * self.while_loops])
        if not carries:
            return None
        targets = [next(self.names) for _ in carries]
        index = f"e_{targets[0]} > 0.3" if kind == "scan" else f"i_{targets[0]} % 2 == 0"
        block, inner = self.body(pool, carries, depth, index)
        extra = []
        if kind == "scan":
            shapes = {v.name: v.shape for v in inner}
            block.stacked = [
                y for y in block.stacked if trips * int(np.prod(shapes[y])) <= 4 * self.most
            ]
            extra = [(next(self.names), (trips, *shapes[y])) for y in block.stacked]
        else:
            block.stacked = []
        for name, c in zip(targets, carries, strict=True):
            pool.append(_Value(name, c.shape, 4.0))
        pool += [_Value(name, shape, 4.0) for name, shape in extra if len(shape) <= 3]
        names = [c.name for c in carries]
        region = Region(kind, targets + [name for name, _ in extra], names, [block], trips)
        region.order = r.choice(("", "", ", reverse=True"))
        return region

    def branch(self, pool, depth, index):
        carries = self.carries(pool)
        switch = self.any(pool, lambda v: v.exact)
        if switch is None or not carries:
            return None
        place = "[" + ", ".join(["0"] * len(switch.shape)) + "]" if switch.shape else ""
        bodies = [self.body(pool, carries, depth, index)[0] for _ in range(2)]
        for body in bodies:
            body.stacked = []
        targets = [next(self.names) for _ in carries]
        pool += [_Value(n, c.shape, 4.0) for n, c in zip(targets, carries, strict=True)]
        test = f"{switch.name}{place} > {self.random.choice((0.0, -2.0, 2.0))}"
        if index is not None and self.random.random() < 0.7:
            test = index
        return Region("cond", targets, [c.name for c in carries], bodies, test)

    def map(self, pool, depth, index):
        a = self.any(pool, lambda v: len(v.shape) >= 2 and v.shape[0] <= 64)
        if a is None:
            return None
        row = _Value(next(self.names), a.shape[1:], a.bound)
        inner = [row]
        steps = self.grow(inner, self.random.randint(1, 3), 0, index)
        last = inner[-1]
        if a.shape[0] * last.size > self.most or len(last.shape) > 2:
            return None
        name = next(self.names)
        pool.append(_Value(name, (a.shape[0], *last.shape), last.bound))
        return Region("map", [name], [a.name], [Block([row.name], steps, [last.name])], None)


def _fits(a, b, most):
    """Whether two values broadcast to an array that is not too large."""
    try:
        return int(np.prod(np.broadcast_shapes(a.shape, b.shape))) <= most
    except ValueError:
        return False
