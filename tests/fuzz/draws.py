"""Random NumPy programs: loops with several carries, windows, moves, products, updates.

Every value stays below a bound, and nothing jumps where a rounding could tip it over, so that
results compare with one small tolerance.
"""

import random
from itertools import count

import numpy as np

from .draw_integers import Integers
from .draw_regions import Regions
from .programs import Block, Line, Program, Value, fits

#: Functions that take long to compile: a program has a few of them.
ELEMENTARY = ("sin(", "cos(", "tanh(", "arctan(", "exp(", "log(")

#: Short sides of matrices, if no extents are short.
SIDES = (1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 24, 25, 31, 32, 33, 48, 49, 63, 64)


class Generator(Integers, Regions):
    """One random program; ``extents`` are those that axes are drawn from, ``most`` the elements of
    an array at most; without ``while_loops`` it has derivatives in both modes; with ``writes`` it
    may write to its arguments."""

    def __init__(self, seed, extents, most, while_loops=True, steps=None, writes=True):
        self.random = random.Random(seed)
        self.seed, self.most, self.while_loops = seed, most, while_loops
        self.longest_sum = most if while_loops else 100  # for the interpreter's sake
        self.names = (f"v{n}" for n in count())
        pick = self.random.choice
        self.long, self.short = pick(extents), pick([e for e in extents if e <= 64] or SIDES)
        self.steps = steps or self.random.choice((1, 2, 2, 3, 3, 4, 5, 7))
        self.dtype = "float32" if self.random.random() < 0.15 else "float64"
        self.functions = set(self.random.sample(ELEMENTARY, self.random.choice((0, 1, 1, 2))))
        self.writes = writes and self.random.random() < 0.2
        self.open = []  # arrays that statements in regions may write to

    def program(self):
        r = self.random
        n, m = self.long, self.short
        shapes = [(n,)] * 3
        if n * m <= self.most:
            shapes += r.choice([[(m, n)] * 3, [(n, m)] * 3, [(m, n), (n, m), (m,), (m, m)]])
        if n * n <= self.most:
            shapes += [(n, n)]
            shapes += [(k, n, n) for k in (2, 3) if k * n * n <= self.most and r.random() < 0.3]
        if 3 * n * m <= self.most:
            shapes += r.choice([[], [], [(3, m, n)] * 2, [(2, n, m), (2, n, m), (m, n)]])
        args = [r.choice(shapes) for _ in range(r.randint(1, 4))]
        if r.random() < 0.6:
            args.append(args[0])
        pool = [Value(f"x{i}", s, 1.0, True) for i, s in enumerate(args)]
        pool += [Value(f"n{i}", (), 9.0, kind="i") for i in range(r.choice((0, 1, 1, 2)))]
        params, given, steps = [v.name for v in pool], list(pool), []
        if self.writes and len(args) > 1:  # a view of that one would change with it
            self.open, pool = pool[:1], pool[1:]
        if r.random() < 0.3:
            steps = self.others(pool, shapes, params, given)
        count = len(pool)
        steps += self.grow(pool, self.steps, depth=r.choice((2, 2, 2, 3)))
        results = self.results(pool, count)
        block = Block(params, steps, [v.name for v in results])
        return Program([v.shape for v in given[: len(params)]], block, self.seed, self.dtype)

    def others(self, pool, shapes, params, given):
        """Arguments of other dtypes, and lines that convert some of them."""
        lines = []
        for n in range(self.random.randint(1, 2)):
            letter, shape = self.random.choice("hmuw"), self.random.choice(shapes)
            value = Value(f"{letter}{n}", shape, 1.0, True, letter.replace("m", "b"))
            params.append(value.name)
            given.append(value)
            if letter in "hm":
                pool.append(value)
            else:
                text = f"{{0}}.astype(np.{self.dtype}) * {0.5 if letter == 'w' else 0.005}"
                lines.append(self.line(pool, text, [value], shape, 1.0))
        return [line for line in lines if line is not None]

    def results(self, pool, arguments):
        made = pool[arguments:] or pool
        number = min(len(made), self.random.randint(1, 3))
        results = self.random.sample(made, number)
        results += [made[-1]] if made[-1] not in results else []
        if self.random.random() < 0.15:
            results.append(self.random.choice(pool))  # an argument, or a result twice
        return results

    def grow(self, pool, number, depth, index=None):
        """Steps that add to ``pool``; ``index`` is the number of the iteration, if there is one."""
        made = []
        for _ in range(number):
            kinds = [self.pointwise] * 6 + [self.move] * 4 + [self.reduce] * 2
            kinds += [self.product, self.windows, self.update, self.gather]
            kinds += [self.integers, self.mixed] * 2 + [*[self.store] * (2 * bool(self.open))]
            regions = [self.loop] * 3 + [self.branch, self.switch, self.map, self.around]
            kinds += regions if depth else []
            step = None
            while step is None:
                kind = self.random.choice(kinds)
                step = kind(pool, depth, index) if kind in regions else kind(pool)
            made += step if isinstance(step, list) else [step]
        return made

    def any(self, pool, accept=lambda v: True, kinds="f"):
        options = [v for v in pool if v.kind in kinds and accept(v)]
        if not options:
            return None
        if self.random.random() < 0.3:
            return self.random.choice(options)
        return options[-1 - min(int(self.random.expovariate(0.4)), len(options) - 1)]

    def pick(self, options):
        """One of the texts that only call functions which the program has."""
        left = [f for f in ELEMENTARY if f not in self.functions]
        return self.random.choice([o for o in options if not any(f in o[0] for f in left)])

    def array(self, pool):
        return self.any(pool, lambda v: v.shape and v.size > 1)

    def line(self, pool, text, operands, shape, bound, exact=False, kind="f"):
        if int(np.prod(shape)) > self.most or 0 in shape:
            return None
        name = next(self.names)
        if bound > 4 and kind == "f":
            text, bound, exact = f"{text} * {1 / bound:.3g}", 1.01, False
        exact = exact and all(o.exact for o in operands)
        pool.append(Value(name, shape, bound, exact, kind))
        return Line(name, f"{{t}} = {text}", [o.name for o in operands])

    def pointwise(self, pool):
        r = self.random
        a = self.any(pool)
        if a is None:
            return None
        if r.random() < 0.35:
            text, bound = self.pick([
                ("np.sin({0})", 1), ("np.tanh({0})", 1), ("np.exp(-{0} * {0})", 1),
                ("np.sqrt({0} * {0} + 0.25)", a.bound + 0.5), ("-{0}", a.bound),
                ("{0} * 0.5", a.bound), ("({0} + 1.0)", a.bound + 1), ("np.abs({0})", a.bound),
                ("np.log(1.5 + {0} * {0})", a.bound + 1), ("({0} / (1.5 + {0} * {0}))", 1),
                ("1.0 / (1.0 + np.exp(-{0}))", 1), ("({0} ** 2)", a.bound**2),
                ("np.clip({0}, -0.5, 0.75)", a.bound), ("np.arctan({0})", 1.6),
            ])  # fmt: skip
            return self.line(pool, text, [a], a.shape, bound)
        b = self.any(pool, lambda v: fits(a, v, self.most))
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
        c = self.any(pool, lambda v: v.exact and fits(v, Value("", shape, 1), self.most))
        if c is not None:
            text = f"np.where({{2}} > {r.choice((0.0, 0.3, -0.2))}, {{0}}, {{1}})"
            shape_c = np.broadcast_shapes(shape, c.shape)
            if r.random() < 0.2:
                return self.line(pool, text, [a, b, c], shape_c, max(a.bound, b.bound))
        text, bound = self.pick(choices)
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
            ("np.swapaxes({0}, 0, -1)", [a],
             [a.shape[-1], *a.shape[1:-1], a.shape[0]] if len(a.shape) > 1 else a.shape),
            (f"np.split({{0}}, [{k}], {axis})[{int(k == 0)}]", [a],
             [(k or n) if i == axis else e for i, e in enumerate(a.shape)]),
            *[("np.tril({0})", [a], a.shape), ("np.triu({0}, 1)", [a], a.shape)]
            * (len(a.shape) > 1),
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
        text, bound, shape = self.pick([
            (f"np.sum({{0}}, {args}) * {1 / n:.6g}", a.bound, shape),
            (f"np.mean({{0}}, {args})", a.bound, shape),
            (f"np.max({{0}}, {args})", a.bound, shape),
            (f"np.sum({{0}} ** 2, {args}) * {1 / n:.6g}", a.bound**2, shape),
            (f"np.var({{0}}, {args})", 2 * a.bound**2, shape),
            (f"np.sqrt(np.var({{0}}, {args}) + 0.1)", a.bound + 0.4, shape),
            (f"np.min({{0}}, {args})", a.bound, shape),
            (f"np.log(np.sum(np.exp({{0}}), {args}) * {1 / n:.6g})", a.bound, shape),
            (f"(np.exp({{0}}) / np.sum(np.exp({{0}}), {axis}, keepdims=True))", 1, a.shape),
            (f"({{0}} - np.mean({{0}}, {axis}, keepdims=True))", 2 * a.bound, a.shape),
        ])  # fmt: skip
        if n <= self.longest_sum and axis is not None and r.random() < 0.15:
            text, bound, shape = f"np.cumsum({{0}}, {axis}) * {1 / n:.6g}", a.bound, a.shape
        return self.line(pool, text, [a], shape, bound)

    def product(self, pool):
        """A contraction over any axis of either operand, or of stacks, often with more on top."""
        r = self.random
        a = self.array(pool)
        b = a and self.any(pool, lambda v: v.shape and set(v.shape) & set(a.shape))
        if b is None:
            return None
        i, j = r.choice([(i, j) for i, n in enumerate(a.shape) for j, m in enumerate(b.shape)
                         if n == m])  # fmt: skip
        n = a.shape[i]
        if a.size * b.size // n > 30 * self.most:
            return None
        rest, more = [*a.shape[:i], *a.shape[i + 1 :]], [*b.shape[:j], *b.shape[j + 1 :]]
        if i == len(a.shape) - 1 and j == 0 and len(b.shape) < 3:
            text, shape = "{0} @ {1}", (*rest, *more)
        elif len(a.shape) == len(b.shape) == 3 and a.shape[0] == b.shape[0] and i and j:
            left, right = ("bik", "bki")[i == 1], ("bjk", "bkj")[j == 1]
            text, shape = f"np.einsum('{left},{right}->bij', {{0}}, {{1}})", (*rest, more[1])
        else:
            text, shape = f"np.tensordot({{0}}, {{1}}, ({i}, {j}))", (*rest, *more)
        if len(shape) > 3:
            return None
        text, operands = f"{text} * {1 / n:.6g}", [a, b]
        bound = a.bound * b.bound
        bias = self.any(pool, lambda v: v.shape == shape[-1:] or v.shape == shape)
        if bias is not None and r.random() < 0.4:
            text, bound, operands = f"({text} + {{2}})", bound + bias.bound, [a, b, bias]
        if r.random() < 0.4 and shape:
            text, bound = r.choice([(f"np.maximum({text} + 0.125, 0.0)", bound + 0.125),
                                    (f"np.tanh({text})", 1)])  # fmt: skip
        return self.line(pool, text, operands, shape, bound)

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
        dtype = "" if self.dtype == "float64" else ", dtype=np.float32"
        weights = f"(np.arange(1.0, {total + 1}.0{dtype})"
        weights += f".reshape({tuple(sizes)}) * {1 / total**2:.6g})"
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

    def written(self, pool, a, other, write, bound, more=()):
        """A copy of ``a`` that a statement writes to."""
        made = self.line(pool, "1.0 * {0}", [a, other, *more], a.shape, 4.0)
        if made is not None:
            made.text += f"\n{write}\n{{t}} = {{t}} * {min(1.0, 4 / bound):.3g}"
        return made
