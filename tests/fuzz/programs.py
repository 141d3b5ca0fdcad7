"""NumPy programs as a person would write them, as data: statements, loops, branches, blocks.

A program is source text. Under NumPy and plain Python loops it says what is right; traced, it is
what the compiler is tested on. ``draws`` makes random ones, ``shrink_programs`` makes them small.
"""

import re

import numpy as np

#: Other arguments than arrays of the program's dtype, by the letter of their names: how many values
#: integers have, and the dtype.
ARGUMENTS = {
    "n": (6, "int64"), "h": (9, "int32"), "m": (2, "bool"), "u": (200, "uint8"),
    "w": (None, "float32"),
}  # fmt: skip


class Line:
    """Statements that make one value: ``text`` with ``{t}`` for it and ``{0}`` for operands."""

    def __init__(self, target, text, names):
        self.targets, self.text, self.names = [target], text, list(names)
        self.reads = []

    def render(self):
        return self.text.format(*self.names, t=self.targets[0]).split("\n")

    def blocks(self):
        return []


class Region:
    """A loop or branch: ``kind``, the carries that go in, a block for each body.

    ``extra`` is the number of iterations or text of it, what a branch depends on, or the number
    of a branch; ``{0}`` in it is the first of the other values that the region ``reads``. A scan
    goes over that one, elements ``element``, if it reads one. ``low`` is where a loop counts from,
    ``also`` another condition of a while loop.
    """

    def __init__(self, kind, targets, names, bodies, extra, reads=()):
        self.kind, self.targets, self.names = kind, targets, list(names)
        self.bodies, self.extra, self.reads = bodies, extra, list(reads)
        self.order, self.element, self.low, self.also = "", "", 0, ""

    def blocks(self):
        return self.bodies

    @property
    def looks(self):
        """The text of ``extra``."""
        return str(self.extra).format(*self.reads)

    def render(self):
        lines = []
        for number, body in enumerate(self.bodies):
            lines += self._body(number, body)
        return [*lines, self._call()]

    def _body(self, number, body):
        """The lines of a body's function."""
        tag, given = self.targets[0], ", ".join(body.params)
        name = f"b{number}_{tag}"
        head, unpack = {
            "fori": (f"def {name}(i_{tag}, s):", [f"{given}, = s"]),
            "scan": (f"def {name}(s, e_{tag}):", [f"{given}, = s"]),
            "while": (f"def {name}(s):", [f"i_{tag}, {given}, = s"]),
        }.get(self.kind, (f"def {name}({given}):", []))
        if self.element:
            unpack = [f"e_{tag}, {self.element} = e_{tag}", *unpack]
        inner = unpack + [line for step in body.steps for line in step.render()]
        results = ", ".join(body.results) + ","
        kept = "".join(f"{y}, " for y in body.stacked)
        inner.append({
            "while": f"return (i_{tag} + 1, {results})",
            "scan": f"return ({results}), ({kept})",
            "map": f"return {body.results[0]}",
        }.get(self.kind, f"return ({results})"))  # fmt: skip
        return [head, *(f"    {line}" for line in inner)]

    def _call(self):
        """The line that runs the region."""
        tag, into, carries = self.targets[0], ", ".join(self.names) + ",", len(self.names)
        left, others = ", ".join(self.targets[:carries]) + ",", self.targets[carries:]
        if self.kind == "fori":
            return f"{left} = fori_loop({self.low}, {self.looks}, b0_{tag}, ({into}))"
        if self.kind == "while":
            test = f"lambda s: (s[0] < {self.looks}){self.also}"
            return f"_, {left} = while_loop({test}, b0_{tag}, ({self.low}, {into}))"
        if self.kind == "cond":
            return f"{left} = cond({self.looks}, b0_{tag}, b1_{tag}, {into[:-1]})"
        if self.kind == "switch":
            branches = ", ".join(f"b{n}_{tag}" for n in range(len(self.bodies)))
            return f"{left} = switch({self.looks}, [{branches}], {into[:-1]})"
        if self.kind == "map":
            return f"{self.targets[0]} = smap(b0_{tag}, {self.names[0]})"
        xs = f"np.arange({self.extra}) * 0.25"
        xs = f"({xs}, {self.reads[0]})" if self.element else xs
        kept = "".join(f"{t}, " for t in others)
        return f"({left}), ({kept}) = scan(b0_{tag}, ({into}), {xs}{self.order})"


class Block:
    """Steps, and the names of their results."""

    def __init__(self, params, steps, results, stacked=()):
        self.params, self.steps = list(params), list(steps)
        self.results, self.stacked = list(results), list(stacked)


class Program:
    """A function of arrays x0, x1, ..., integers n0, ... and ``ARGUMENTS``: shapes, and a block."""

    def __init__(self, shapes, block, seed, dtype="float64"):
        self.shapes, self.block, self.seed, self.dtype = shapes, block, seed, dtype

    @property
    def source(self):
        lines = [line for step in self.block.steps for line in step.render()]
        lines.append(f"return ({', '.join(self.block.results)},)")
        return f"def f({', '.join(self.block.params)}):\n" + "".join(f"    {x}\n" for x in lines)

    @property
    def smooth(self):
        """The numbers of the arguments of the program's own dtype, which come first."""
        return tuple(i for i, name in enumerate(self.block.params) if name[0] == "x")

    @property
    def writes(self):
        """The numbers of the arguments that the function writes to."""
        found = re.findall(r"^ +([xn]\d+)\[.*\] [-+*]?= ", self.source, re.MULTILINE)
        return tuple(i for i, name in enumerate(self.block.params) if name in found)

    def arguments(self, salt=0):
        rng = np.random.default_rng([self.seed, salt])
        found = []
        for name, shape in zip(self.block.params, self.shapes, strict=True):
            most, dtype = ARGUMENTS.get(name[0], (None, self.dtype))
            drawn = rng.uniform(-1, 1, shape) if most is None else rng.integers(0, most, shape)
            found.append(np.asarray(drawn, dtype))
        return found


class Text(Program):
    """A program given as text."""

    source = ""

    def __init__(self, shapes, source, dtype="float64"):
        lines = source.strip().split("\n")
        params = lines[0].partition("(")[2].rpartition(")")[0].split(", ")
        super().__init__(shapes, Block(params, [], []), 5, dtype)
        self.source = source.strip() + "\n"


class Value:
    """A name with its shape, a bound, and whether a rounding can have changed it.

    The kind is ``f`` for numbers of the program's dtype, ``i`` and ``h`` for 64 and 32-bit integers
    from 0 to 9, ``w`` for Python's (numbers of iterations), and ``b`` for bools.
    """

    def __init__(self, name, shape, bound, exact=False, kind="f"):
        self.name, self.shape, self.bound = name, tuple(shape), bound
        self.exact, self.kind = exact or kind != "f", kind

    @property
    def size(self):
        return int(np.prod(self.shape))

    def first(self):
        """Text of the first element of this operand."""
        return "{0}[" + ", ".join(["0"] * len(self.shape)) + "]" if self.shape else "{0}"


def fits(a, b, most):
    """Whether two values broadcast to an array that is not too large."""
    try:
        return int(np.prod(np.broadcast_shapes(a.shape, b.shape))) <= most
    except ValueError:
        return False
