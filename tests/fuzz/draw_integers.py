"""Random steps with integers and bools: counts, places, masks, and what depends on them."""

import numpy as np

from .programs import fits


class Integers:
    """Steps of a generator that make integers and bools, or pick elements by them.

    Integers are from 0 to 9 and come from what no rounding can have changed, so that loops may
    run and branches be taken by them. They meet floats of 64 bits only: NumPy's 32-bit ones would
    be widened, in loops after the first iteration.
    """

    def number(self, pool):
        """A scalar integer of the pool."""
        return self.any(pool, lambda v: not v.shape, "iw")

    def integers(self, pool):
        """An integer, an array of them, or of bools."""
        r = self.random
        k = self.any(pool, kinds="ihw")
        if k is None or r.random() < 0.3:
            return self.counted(pool)
        j = self.any(pool, lambda v: fits(k, v, self.most), "ihw") or k
        c, m = r.randint(1, 5), r.randint(2, 7)
        both = np.broadcast_shapes(k.shape, j.shape)
        wide = next(kind for kind in "ihw" if kind in (k.kind, j.kind))
        chosen = [
            (f"({{0}} * {c} + {{1}}) % {m}", [k, j], both, wide),
            (f"({{0}} + {c}) % {m}", [k], k.shape, k.kind),
            ("(9 - {0})", [k], k.shape, k.kind),
            ("({0} ^ {1}) % 8", [k, j], both, wide),
            (f"{{0}} > {c}", [k], k.shape, "b"),
            ("{0} % 2 == {1} % 2", [k, j], both, "b"),
        ]  # fmt: skip
        if wide != "w":
            chosen += [
                ("np.where({0} > {1}, {0}, {1} // 2)", [k, j], both, wide),
                ("np.minimum({0}, {1})", [k, j], both, wide),
            ]
        text, operands, shape, kind = r.choice(chosen)
        if k.shape and r.random() < 0.3:
            text, operands, shape, kind = r.choice([
                ("{0}[::-1]", [k], k.shape, k.kind),
                ("np.sum({0}) % 7", [k], (), "i"),
                (f"np.cumsum({{0}}, {r.randrange(len(k.shape))}) % 5", [k], k.shape, "i"),
                ("np.max({0})", [k], (), k.kind),
                (k.first(), [k], (), k.kind),
            ])  # fmt: skip
        return self.line(pool, text, operands, shape, 9, kind=kind)

    def counted(self, pool):
        """Integers from the values of exact floats, or from nothing but their places."""
        r = self.random
        a = self.any(pool, lambda v: v.exact)
        if a is None:
            return None
        n = a.shape[0] if a.shape else 3
        narrow = r.random() < 0.5
        places = f"np.arange({n}, dtype=np.int32)" if narrow else f"np.arange({n})"
        text, shape, kind = r.choice([
            (f"1 * ({a.first()} > 0.3) + 1 * ({a.first()} > -0.3)", (), "i"),
            ("1 * ({0} > 0.1) + 2 * ({0} < -0.4)", a.shape, "i"),
            ("{0} > 0.0", a.shape, "b"),
            (f"({places} * {r.randint(1, 5)}) % {r.randint(2, 7)}", (n,), "h" if narrow else "i"),
            (f"np.sum({{0}} > {r.choice((0.0, 0.5, -0.5))}) % 5", (), "i"),
            (f"np.arg{r.choice(('min', 'max'))}({{0}}) % 7", (), "i"),
        ])  # fmt: skip
        return self.line(pool, text, [a], shape, 9, kind=kind)

    def mixed(self, pool):
        """Floats that integers or bools pick, place or weigh."""
        r = self.random
        k = self.any(pool, kinds="ihbw")
        a = self.any(pool)
        if k is None or a is None:
            return None
        if k.kind != "b" and r.random() < 0.5:
            a = self.any(pool, lambda v: v.shape[:1] == k.shape[:1] != ()) or a
            return self.picked(pool, a, k) if a.shape else None
        b = self.any(pool, lambda v: fits(a, v, self.most)) or a
        shape = np.broadcast_shapes(a.shape, b.shape)
        if not fits(a, k, self.most):
            return None
        if k.kind != "b" and (k.kind == "w" or self.dtype == "float64") and r.random() < 0.5:
            text = r.choice(
                ("{0} * (0.25 + 0.125 * {1})", "({0} + 0.1 * {1})", "{0} / (2.5 + {1})")
            )
            return self.line(pool, text, [a, k], np.broadcast_shapes(a.shape, k.shape), a.bound + 1)
        test = "{2}" if k.kind == "b" else f"{{2}} % 3 == {r.randrange(3)}"
        try:
            shape = np.broadcast_shapes(shape, k.shape)
        except ValueError:
            return None
        bound = max(a.bound, b.bound)
        return self.line(pool, f"np.where({test}, {{0}}, {{1}})", [a, b, k], shape, bound)

    def picked(self, pool, a, k):
        """Rows of an array, or a copy with rows written, at computed places."""
        r = self.random
        n, rest = a.shape[0], a.shape[1:]
        if r.random() < 0.5:
            if len(k.shape) + len(rest) > 3:
                return None
            text = f"{{0}}[{{1}} % {n}]"
            return self.line(pool, text, [a, k], (*k.shape, *rest), a.bound, exact=True)
        same = self.any(pool, lambda v: v.shape == a.shape)
        if len(k.shape) > 1 or k.shape not in ((), (n,)):
            return None
        rows = "{1}[0]" if k.shape == () else "{1}"
        write = f"np.add.at({{t}}, {{2}} % {n}, 0.125 * {rows})"
        if k.shape == ():  # which of several places is written last would be open
            value = r.choice(("= 0.25", f"= 0.5 * {rows}", f"+= 0.5 * {rows}"))
            write = r.choice((write, f"{{t}}[{{2}} % {n}] {value}"))
        bound = a.bound + (1 if k.shape == () else n) * same.bound
        return self.written(pool, a, same, write, bound, [k])
