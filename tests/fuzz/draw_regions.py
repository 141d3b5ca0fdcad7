"""Random loops and branches: several carries, counts that are inputs, writes to arrays around."""

from .programs import Block, Line, Region, Value

#: Iterations of loops, and of loops without regions inside over small arrays.
TRIPS = (1, 2, 3, 4)
MANY_TRIPS = (7, 8, 9, 16, 17, 33, 65)


class Regions:
    """Steps of a generator that have blocks of their own."""

    def carries(self, pool):
        r = self.random
        first = self.any(pool)
        if first is None:
            return []
        found = [first]
        for _ in range(r.choice((0, 1, 1, 2, 3))):
            alike = self.any(pool, lambda v: v.shape == first.shape)
            found.append(alike if r.random() < 0.75 else self.any(pool))
        if r.random() < 0.35:
            found.insert(r.randint(0, len(found)), self.any(pool, kinds="ihb") or first)
        if r.random() < 0.1 and self.dtype == "float64":
            found.append(Value("0.5", (), 1.0))
        return found

    def body(self, pool, carries, depth, index, more=()):
        """A block from carries to carries, often the same arrays in other places; and all values
        that it has. ``more`` are values that each iteration is given besides."""
        r = self.random
        params = [Value(next(self.names), c.shape, 4.0, kind=c.kind) for c in carries]
        inner = [v for v in pool if r.random() < 0.3] + [*more, *params]
        steps = self.grow(inner, r.randint(0, 3), depth - 1, index)
        results = []
        for p in params:
            options = [v for v in inner if v.shape == p.shape and v.kind == p.kind and v is not p]
            others = [q for q in params if q in options]
            if others and r.random() < 0.5:
                v = r.choice(others)  # they change places
            elif options and r.random() < 0.85:
                v = options[-1] if r.random() < 0.5 else r.choice(options)
            else:
                v = p
            if v not in params and p.kind == "f":
                mixed = r.random() < 0.5
                text = "(0.5 * {0} + 0.25 * {1})" if mixed else "0.75 * {0}"
                step = self.line(inner, text, [v, p] if mixed else [v], p.shape, 3.0)
                v = p if step is None else inner[-1]
                steps += [] if step is None else [step]
            elif p.kind in "ih" and r.random() < 0.6:
                text = f"({{0}} + {r.choice((1, 1, 2))}) % {r.randint(2, 9)}"
                step = self.line(inner, text, [v], p.shape, 9, kind=p.kind)
                v = v if step is None else inner[-1]
                steps += [] if step is None else [step]
            results.append(v.name)
        made = [v.name for v in inner if v not in pool]
        stacked = r.sample(made, min(len(made), r.choice((0, 1, 2, 3))))
        return Block([p.name for p in params], steps, results, stacked), inner

    def loop(self, pool, depth, index):
        r = self.random
        carries = self.carries(pool)
        if not carries:
            return None
        kind = r.choice(["fori", "fori", "scan", "scan", *["while"] * self.while_loops])
        targets = [next(self.names) for _ in carries]
        trips, reads, more, low = r.choice(TRIPS), [], [], 0
        if r.random() < 0.15 and sum(c.size for c in carries) < 3000:
            trips, depth = r.choice(MANY_TRIPS), 1
        if kind == "scan":
            index = f"e_{targets[0]} > 0.3"
            over = self.any(pool, lambda v: len(v.shape) > 1 and v.shape[0] <= 8)
            if over is not None and r.random() < 0.5:
                more = [Value(next(self.names), over.shape[1:], over.bound, over.exact)]
                trips, reads, index = over.shape[0], [over.name], f"e_{targets[0]} > 0.3"
        else:
            number, index = f"i_{targets[0]}", f"i_{targets[0]} % 2 == 0"
            more = [Value(number, (), 9, kind="w")]
            count, low = self.number(pool), r.choice((0, 0, 0, 1, -1))
            if count is not None and self.while_loops and r.random() < 0.8:
                trips, reads = r.choice(("{0} % 4", "{0} // 2", "{0} - 2")), [count.name]
            elif r.random() < 0.1:
                trips = 0
        block, inner = self.body(pool, carries, depth, index, more)
        extra = []
        if kind == "scan":
            known = {v.name: v for v in inner}
            block.stacked = [y for y in block.stacked if trips * known[y].size <= 4 * self.most]
            extra = [(next(self.names), known[y]) for y in block.stacked]
        else:
            block.stacked = []
        pool += [Value(t, c.shape, 4.0, kind=c.kind) for t, c in zip(targets, carries, strict=True)]
        for t, y in extra:
            if len(y.shape) < 3:
                kind_of = "i" if y.kind == "w" else y.kind
                pool.append(Value(t, (trips, *y.shape), 4.0, kind=kind_of))
        names = [c.name for c in carries]
        region = Region(kind, targets + [t for t, _ in extra], names, [block], trips, reads)
        region.low, region.order = low, r.choice(("", "", ", reverse=True"))
        counts = [n for n, c in enumerate(carries, 1) if c.kind in "ih" and not c.shape]
        if kind == "while" and counts and r.random() < 0.5:
            region.also = f" & (s[{r.choice(counts)}] < {r.randint(3, 8)})"
        region.element = more[0].name if kind == "scan" and more else ""
        return region

    def branches(self, pool, carries, depth, index, number):
        """Bodies of branches between the same carries."""
        bodies = [self.body(pool, carries, depth, index)[0] for _ in range(number)]
        for body in bodies:
            body.stacked = []
        targets = [next(self.names) for _ in carries]
        pool += [Value(t, c.shape, 4.0, kind=c.kind) for t, c in zip(targets, carries, strict=True)]
        return targets, [c.name for c in carries], bodies

    def branch(self, pool, depth, index):
        r = self.random
        carries = self.carries(pool)
        tested = self.any(pool, lambda v: v.exact, r.choice(("f", "f", "ib")))
        if tested is None or not carries:
            return None
        test = {
            "f": f"{tested.first()} > {r.choice((0.0, -2.0, 2.0))}",
            "i": f"{tested.first()} % 2 == 0", "b": tested.first(),
        }[tested.kind]  # fmt: skip
        reads = [tested.name]
        if index is not None and r.random() < 0.6:
            test, reads = index, []
        return Region("cond", *self.branches(pool, carries, depth, index, 2), test, reads)

    def switch(self, pool, depth, index):
        r = self.random
        carries, k = self.carries(pool), self.number(pool)
        if k is None or not carries:
            return None
        which = r.choice(("{0}", "{0} % 3", "{0} - 1", "{0} // 2 - 1"))
        found = self.branches(pool, carries, depth, index, r.choice((2, 3, 3, 4)))
        return Region("switch", *found, which, [k.name])

    def map(self, pool, depth, index):
        a = self.any(pool, lambda v: len(v.shape) >= 2 and v.shape[0] <= 64)
        if a is None:
            return None
        row = Value(next(self.names), a.shape[1:], a.bound)
        inner = [row]
        steps = self.grow(inner, self.random.randint(1, 3), 0, index)
        last = inner[-1]
        if a.shape[0] * last.size > self.most or len(last.shape) > 2:
            return None
        name = next(self.names)
        pool.append(Value(name, (a.shape[0], *last.shape), last.bound, kind=last.kind))
        return Region("map", [name], [a.name], [Block([row.name], steps, [last.name])], None)

    # --- arrays of the function around ---

    def around(self, pool, depth, index):
        """A region whose statements write to an array of the function around it."""
        a = self.any(pool, lambda v: v.shape and 1 < v.size <= self.most)
        if a is None:
            return None
        name = next(self.names)
        self.open.append(Value(name, a.shape, 4.0))
        kind = self.random.choice((self.loop, self.loop, self.branch, self.switch))
        region = kind(pool, depth, index)
        done = self.open.pop()
        if region is None:
            return None
        steps = [Line(name, "1.0 * {0}", [a.name]), region]
        steps[0].text = "{t} = " + steps[0].text
        return [*steps, self.line(pool, "0.25 * {0}", [done], a.shape, 4.0)]

    def store(self, pool):
        """A statement that writes to such an array, or a value that reads it."""
        r = self.random
        w = r.choice(self.open)
        if r.random() < 0.3:
            return self.line(pool, "0.5 * {0}", [w], w.shape, 4.0)
        same = self.any(pool, lambda v: v.shape == w.shape)
        k = self.number(pool)
        axis = r.randrange(len(w.shape))
        n = w.shape[axis]
        low = r.randint(0, n - 1)
        high = r.randint(low + 1, n)
        before = ":, " * axis
        place, other = f"{before}{low}:{high}", f"{before}{n - high}:{n - low}"
        names = [w.name]
        value = "0.25"
        if same is not None and r.random() < 0.8:
            names, value = [w.name, same.name], f"0.5 * {{1}}[{other}]"
        elif k is not None:
            names, place = [w.name, k.name], f"{before}{{1}} % {n}"
        text = f"{{0}}[{place}] {r.choice(('=', '=', '+=', '*='))} {value}"
        return Line(w.name, text, names)
