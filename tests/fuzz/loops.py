"""Random programs of the loop IR: typed, verified, in bounds, and the same for the same seed.

Every kind of statement in every dtype, nested. What makes a program valid beyond its types:

  - Indices. A window of a buffer is a base index and a length; an access adds to the base an affine
    sum of loop variables, or a clamped value, that is smaller than the length.
  - Independence. Entering a vector or parallel loop (or an epilogue) splits the windows of some
    buffers by iteration; only those may be stored to inside, and each only within its own part.
  - Initialisation. The first kernel fills every output; a kernel that uses a temp fills it first.
  - Definedness. A float is clamped before it is cast to an integer, a shift's amount is masked, the
    sign of a nan is not looked at.
  - Termination. A while carries a counter.
"""

import random
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from symflux.codegen.ir import (
    BYTES,
    DTYPES,
    Block,
    Buffer,
    Const,
    Contract,
    Dim,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Program,
    Role,
    Store,
    Var,
    While,
)
from symflux.codegen.ranges import LIMITS
from symflux.codegen.scalars import FLOATS, INTS, SCALARS, SIGNED, numpy_dtype

ELEMENTARY = tuple(name for name, row in SCALARS.items() if row.native == "mathlib")
ARITHMETIC = tuple(
    name for name, row in SCALARS.items() if row.native != "mathlib" and row.result == "same"
)
COMPARISONS = tuple(name for name, row in SCALARS.items() if row.result == "bool")
SHIFTS = frozenset({"shl", "shr"})
COMBINING = ("add", "mul", "minimum", "maximum", "and", "or")
FLOAT_LITERALS = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.75, 1e3, float("inf"), float("nan"))
INT_LITERALS = (0, 1, 2, 3, 7, 8, -1, -2, -8, 100)
MODES = ("serial", "serial", "vector", "parallel", "unroll")


@dataclass(frozen=True)
class Window:
    """Elements ``base + 0 .. length-1`` of a buffer."""

    base: Index
    length: int


@dataclass
class Scope:
    """What statements of the current block may use."""

    values: list = field(default_factory=list)  # Vars, innermost last
    loops: list = field(default_factory=list)  # (loop variable, constant extent)
    stores: dict = field(default_factory=dict)  # buffer -> Window
    loads: dict = field(default_factory=dict)
    recent: list = field(default_factory=list)  # (buffer, index) accessed before, still valid


class Generator:
    """One random program from a seed; ``size`` is about the number of statements."""

    def __init__(self, seed, size=40):
        self.random = random.Random(seed)
        self.seed = seed
        self.size = size
        self.left = 0
        self.trips = 1  # how often the current block runs
        self.epilogue = False
        self.out = []
        self.scope = Scope()
        self.dtypes = [*self.random.sample(DTYPES, 3), "f64", "i64"]

    # choices

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, options):
        return self.random.choice(list(options))

    def dtype(self):
        return self.pick(self.dtypes)

    def literal(self, dtype):
        if dtype == "bool":
            return Const(self.chance(0.5), "bool")
        if dtype in FLOATS:
            last = len(FLOAT_LITERALS) if self.chance(0.1) else -2
            return Const(self.pick(FLOAT_LITERALS[:last]), dtype)
        low, high = LIMITS[dtype]
        return Const(self.pick([v for v in (*INT_LITERALS, low, high) if low <= v <= high]), dtype)

    # the program

    def program(self):
        buffers = self.buffers()
        n = Var("i64", "n")
        sized = [
            Buffer(f"s{i}", "f64", n, role) for i, role in enumerate((Role.INPUT, Role.OUTPUT))
        ]
        self.sinks = {
            dtype: Buffer(f"seen_{dtype}", dtype, 24, Role.OUTPUT)
            for dtype in dict.fromkeys(self.dtypes)
        }
        temps = [Buffer(f"t{i}", self.dtype(), 12, Role.TEMP, 0) for i in range(2)]
        outputs = [b for b in buffers if b.role is Role.OUTPUT]
        kernels = [self.filling([*outputs, *self.sinks.values()])]
        for number in range(self.random.randint(1, 2)):
            self.left = self.size
            kernels.append(self.kernel(number, buffers, temps[number], sized))
        arena = max(12 * BYTES[t.dtype] for t in temps)
        return Program(
            f"fuzz{self.seed}",
            (*buffers, *sized, *temps, *self.sinks.values()),
            tuple(kernels),
            (n,),
            arena,
        )

    def buffers(self):
        made = []
        for number, role in enumerate(
            (Role.INPUT, Role.INPUT, Role.INPUT, Role.CONST, Role.INOUT, Role.OUTPUT, Role.OUTPUT)
        ):
            dtype = self.dtypes[number % len(self.dtypes)]
            size = self.random.randint(12, 24)
            data = None
            if role is Role.CONST:
                values = [self.literal(dtype).value for _ in range(size)]
                data = np.array(values, numpy_dtype(dtype)).tobytes()
            made.append(Buffer(f"b{number}", dtype, size, role, None, data))
        return made

    def filling(self, outputs):
        self.out = []
        for buffer in outputs:
            self.fill(buffer)
        return Kernel("fill", Block(tuple(self.out)))

    def fill(self, buffer):
        var = Var("i64", "i")
        value = self.literal(buffer.dtype)
        store = Store(buffer, Index(((var, 1),)), value)
        self.out.append(Loop(var, buffer.size, Block((store,)), mode="vector"))

    def kernel(self, number, buffers, temp, sized):
        whole = {b: Window(Index(), b.size) for b in (*buffers, temp)}
        writable = (Role.INOUT, Role.OUTPUT, Role.TEMP)
        stores = {b: w for b, w in whole.items() if b.role in writable}
        self.scope = Scope(stores=stores, loads=whole)
        self.out = []
        self.trips = 1
        self.fill(temp)
        while self.left > 0:
            self.statement()
        self.over_size(*sized)
        self.observe(number)
        return Kernel(f"k{number}", Block(tuple(self.out)), f"seed {self.seed}")

    def observe(self, number):
        """Store the last values of each dtype, so that what was computed can be seen."""
        for dtype, buffer in self.sinks.items():
            values = [v for v in self.scope.values if v.dtype == dtype][-12:]
            for place, value in enumerate(values):
                self.out.append(Store(buffer, Index((), 12 * number + place), value))

    def over_size(self, source, target):
        """A loop whose extent is only known at the call."""
        (n, var) = (source.size, Var("i64", "i"))
        with self.block() as statements, self.independent({}):
            value = Var("f64")
            self.out.append(Load(value, source, Index(((var, 1),))))
            self.scope.values.append(value)
            for _ in range(self.random.randint(0, 3)):
                self.let(self.pick(["f64", self.dtype()]))
            self.out.append(Store(target, Index(((var, 1),)), self.value("f64")))
        self.out.append(
            Loop(var, n, Block(tuple(statements)), mode=self.pick(["serial", "vector"]))
        )

    # blocks

    @contextmanager
    def block(self, trips=1):
        """Collect statements in a scope of their own."""
        outer, self.out = self.out, []
        scope = self.scope
        self.scope = Scope(
            list(scope.values),
            list(scope.loops),
            dict(scope.stores),
            dict(scope.loads),
            list(scope.recent),
        )
        self.trips *= max(trips, 1)
        yield self.out
        self.trips //= max(trips, 1)
        self.scope = scope
        self.out = outer

    @contextmanager
    def independent(self, variables):
        """Split windows by the iterations of ``variables`` (Var -> extent); {}: store nothing."""
        outer = self.scope.stores
        iterations = int(np.prod(list(variables.values()))) if variables else 0
        stores = {}
        for buffer, window in outer.items():
            length = window.length // iterations if iterations else 0
            if length and self.chance(0.7):
                step, terms = length, []
                for var, extent in variables.items():
                    terms.append((var, step))
                    step *= extent
                base = Index((*window.base.terms, *terms), window.base.offset)
                stores[buffer] = self.scope.loads[buffer] = Window(base, length)
        self.scope.stores = stores
        self.scope.recent = [(b, i) for b, i in self.scope.recent if b not in stores]
        yield

    def body(self, budget):
        for _ in range(budget):
            self.statement()
        if self.chance(0.7):
            self.store()

    # statements

    def statement(self):
        self.left -= 1
        roll = self.random.random()
        deep = self.trips > 100
        if roll < 0.5 or deep:
            self.let(self.dtype())
        elif roll < 0.62:
            self.load(self.dtype())
        elif roll < 0.72:
            self.store()
        elif roll < 0.76:
            self.alias()
        elif roll < 0.88:
            self.loop()
        elif roll < 0.94:
            self.branch()
        elif roll < 0.97:
            self.loop_while()
        else:
            self.contract()

    def define(self, op, args, dtype, reassociate=False):
        result = Var(dtype)
        self.out.append(Let(result, op, tuple(args), reassociate))
        self.scope.values.append(result)
        return result

    def value(self, dtype):
        """An operand: mostly a value of the scope, the recent ones rather."""
        values = [v for v in self.scope.values if v.dtype == dtype]
        if values and self.chance(0.8):
            return self.pick(values[-6:] if self.chance(0.7) else values)
        if self.chance(0.5):
            return self.literal(dtype)
        others = [v for v in self.scope.values if v.dtype != dtype]
        if others and self.chance(0.5):
            return self.cast(self.pick(others), dtype)
        return self.load(dtype) or self.literal(dtype)

    def cast(self, value, dtype):
        if value.dtype in FLOATS and dtype in INTS:
            low, high = (-100, 100) if dtype in SIGNED else (0, 100)
            known = self.define("isfinite", (value,), "bool")
            finite = self.define("select", (known, value, Const(0.0, value.dtype)), value.dtype)
            above = self.define("maximum", (finite, Const(float(low), value.dtype)), value.dtype)
            value = self.define("minimum", (above, Const(float(high), value.dtype)), value.dtype)
        return self.define("cast", (value,), dtype)

    def let(self, dtype):
        roll = self.random.random()
        if roll < 0.12:
            condition = self.value("bool")
            return self.define("select", (condition, self.value(dtype), self.value(dtype)), dtype)
        if roll < 0.2:
            others = [v for v in self.scope.values if v.dtype != dtype]
            if others:
                return self.cast(self.pick(others), dtype)
        if roll < 0.24 and dtype != "bool":
            sources = [d for d in DTYPES if d != "bool" and BYTES[d] == BYTES[dtype]]
            # reinterpreted floats would be arbitrary patterns, so only integers are read so
            sources = [d for d in sources if d in INTS and dtype in INTS]
            if sources:
                return self.define("bitcast", (self.value(self.pick(sources)),), dtype)
        if dtype == "bool" and roll < 0.7:
            source = self.dtype()
            ops = [op for op in COMPARISONS if source in SCALARS[op].domain]
            op = self.pick(ops)
            return self.define(op, [self.value(source) for _ in range(SCALARS[op].arity)], "bool")
        if dtype in FLOATS and roll < 0.4:
            op = self.pick(ELEMENTARY)
            return self.define(op, [self.value(dtype) for _ in range(SCALARS[op].arity)], dtype)
        op = self.pick([op for op in ARITHMETIC if dtype in SCALARS[op].domain])
        args = [self.value(dtype) for _ in range(SCALARS[op].arity)]
        if op == "copysign":  # the sign of a nan is nobody's promise
            unknown = self.define("isnan", (args[1],), "bool")
            args[1] = self.define("select", (unknown, Const(1.0, dtype), args[1]), dtype)
        if op in SHIFTS:
            args[1] = self.define("and", (args[1], Const(8 * BYTES[dtype] - 1, dtype)), dtype)
        return self.define(op, args, dtype)

    # memory

    def index(self, window):
        """A random place in a window."""
        if self.chance(0.15):
            value = self.define("maximum", (self.value("i64"), Const(0, "i64")), "i64")
            high = Const(window.length - 1, "i64")
            value = self.define("minimum", (value, high), "i64")
            return Index((*window.base.terms, (value, 1)), window.base.offset)
        terms, offset, room = list(window.base.terms), window.base.offset, window.length - 1
        loops = self.random.sample(self.scope.loops, min(2, len(self.scope.loops)))
        for var, extent in loops:
            most = room // (extent - 1) if extent > 1 else 3
            if most < 1:
                continue
            coefficient = self.random.randint(1, most)
            reach = coefficient * max(extent - 1, 0)
            room -= reach
            if self.chance(0.2):
                coefficient, offset = -coefficient, offset + reach
            terms.append((var, coefficient))
        return Index(tuple(terms), offset + self.random.randint(0, room))

    def place(self, buffers, windows):
        """One of the buffers and an index in its window, often one that was used before."""
        known = [(b, i) for b, i in self.scope.recent if b in buffers]
        if known and self.chance(0.5):
            return self.pick(known[-4:])
        buffer = self.pick(buffers)
        index = self.index(windows[buffer])
        self.scope.recent.append((buffer, index))
        return buffer, index

    def load(self, dtype):
        buffers = [b for b in self.scope.loads if b.dtype == dtype]
        if not buffers:
            return None
        buffer, index = self.place(buffers, self.scope.loads)
        result = Var(dtype)
        self.out.append(Load(result, buffer, index))
        self.scope.values.append(result)
        return result

    def store(self):
        if not self.scope.stores:
            return
        buffer, index = self.place(self.scope.stores, self.scope.stores)
        value = self.value(buffer.dtype)
        self.out.append(Store(buffer, index, value))

    def alias(self):
        """Load an element, store one that may be the same, and load the first again."""
        if not self.scope.stores:
            return
        buffer, first = self.place(self.scope.stores, self.scope.stores)
        again = first if self.chance(0.5) else self.index(self.scope.stores[buffer])
        values = []
        for index in (first, again):
            values.append(Var(buffer.dtype))
            self.out.append(Load(values[-1], buffer, index))
            if len(values) == 1:
                stored = self.value(buffer.dtype)
                self.out.append(Store(buffer, self.index(self.scope.stores[buffer]), stored))
        self.scope.values.extend(values)
        self.out.append(Store(buffer, self.index(self.scope.stores[buffer]), self.pick(values)))

    # nests

    def extent(self):
        """(what the loop says, the extent if it is a literal)."""
        if self.chance(0.1):
            value = self.define("maximum", (self.value("i64"), Const(0, "i64")), "i64")
            return self.define("minimum", (value, Const(3, "i64")), "i64"), None
        extent = self.pick([0, 1, 2, 3, 4, 5, 6, 9])
        return (Const(extent, "i64") if self.chance(0.1) else extent), extent

    def loop(self):
        mode = self.pick(MODES)
        extent, known = self.extent()
        var = Var("i64", self.pick("ijk"))
        carried = [self.dtype() for _ in range(self.pick([0, 0, 1, 2]))]
        inits = tuple(self.value(d) for d in carried)
        params = tuple(Var(d, self.pick(["", "acc"])) for d in carried)
        independent = mode in ("vector", "parallel")
        with self.block(known or 3) as statements:
            if known:
                self.scope.loops.append((var, known))
            self.scope.values.append(var)
            if independent:
                with self.independent({var: known} if known else {}):
                    self.body(self.random.randint(1, 5))
                    yields = tuple(self.combined(p) for p in params)
            else:
                self.scope.values.extend(params)
                self.body(self.random.randint(1, 5))
                yields = tuple(self.value(d) for d in carried)
        self.finish(
            lambda results: Loop(
                var, extent, Block(tuple(statements), yields), params, inits, results, mode
            ),
            carried,
        )

    def finish(self, make, dtypes):
        results = tuple(Var(d) for d in dtypes)
        self.out.append(make(results))
        self.scope.values.extend(results)

    def combined(self, param):
        """The next value of a carried param of an independent loop."""
        dtype = param.dtype
        op = self.pick([op for op in COMBINING if dtype in SCALARS[op].domain])
        total = param
        for _ in range(self.random.randint(0, 2)):
            args = [total, self.value(dtype)]
            self.random.shuffle(args)
            total = Var(dtype)
            self.out.append(Let(total, op, tuple(args), True))
        if self.chance(0.2):
            total = self.combined_inside(op, total)
        return total

    def combined_inside(self, op, total):
        """Combine further in an inner loop or under a condition."""
        dtype, result, inner, following = (
            total.dtype,
            Var(total.dtype),
            Var(total.dtype),
            Var(total.dtype),
        )
        if self.chance(0.5):
            value = self.value(dtype)
            body = Block((Let(following, op, (inner, value), True),), (following,))
            self.out.append(Loop(Var("i64"), 3, body, (inner,), (total,), (result,)))
        else:
            condition, value = self.value("bool"), self.value(dtype)
            then = Block((Let(following, op, (value, total), True),), (following,))
            self.out.append(If(condition, then, Block((), (total,)), (result,)))
        return result

    def branch(self):
        condition = self.value("bool")
        dtypes = [self.dtype() for _ in range(self.pick([0, 1, 2]))]
        sides = []
        for _ in range(2):
            with self.block() as statements:
                self.body(self.random.randint(0, 3))
                yields = tuple(self.value(d) for d in dtypes)
            sides.append(Block(tuple(statements), yields))
        self.finish(lambda results: If(condition, *sides, results), dtypes)

    def loop_while(self):
        count, most = Var("i64", "count"), Const(self.random.randint(0, 4), "i64")
        dtypes = [self.dtype() for _ in range(self.pick([0, 1, 2]))]
        inits = (Const(0, "i64"), *[self.value(d) for d in dtypes])
        params = (count, *[Var(d) for d in dtypes])
        with self.block(3) as statements:
            self.scope.values.extend(params)
            self.scope.stores = {}
            self.body(self.random.randint(0, 2))
            go_on = self.define("lt", (count, most), "bool")
            if self.chance(0.5):
                go_on = self.define("and", (go_on, self.value("bool")), "bool")
        condition = Block(tuple(statements), (go_on,))
        with self.block(3) as statements:
            self.scope.values.extend(params)
            self.body(self.random.randint(0, 3))
            following = self.define("add", (count, Const(1, "i64")), "i64")
            yields = (following, *[self.value(d) for d in dtypes])
        body = Block(tuple(statements), yields)
        self.finish(
            lambda results: While(params, inits, condition, body, results), ["i64", *dtypes]
        )

    def contract(self):
        if self.epilogue:
            return
        kinds = [
            d for d in self.dtypes if d != "bool" and any(b.dtype == d for b in self.scope.loads)
        ]
        if not kinds:
            return
        dtype = self.pick(kinds)
        operands = [b for b in self.scope.loads if b.dtype == dtype]
        a, b = self.pick(operands), self.pick(operands)
        m, n, k = (self.random.randint(1, 3) for _ in range(3))
        window_a, window_b = self.scope.loads[a], self.scope.loads[b]
        if window_a.length < m * k or window_b.length < n * k:
            return
        row_a, inner_a = (k, 1) if self.chance(0.5) else (1, m)
        row_b, inner_b = (k, 1) if self.chance(0.5) else (1, n)
        dims = [
            Dim("m", m, row_a, 0, Var("i64", "m")),
            Dim("n", n, 0, row_b, Var("i64", "n")),
            Dim("k", k, inner_a, inner_b, Var("i64", "k")),
        ]
        self.random.shuffle(dims)
        wider = list(self.wider(dtype))
        acc = Var(self.pick(wider), "acc")
        offset_a = self.index(Window(window_a.base, window_a.length - m * k + 1))
        offset_b = self.index(Window(window_b.base, window_b.length - n * k + 1))
        outer = {d.var: d.extent for d in dims if d.role != "k"}
        with self.block(m * n) as statements:
            self.scope.stores = {x: w for x, w in self.scope.stores.items() if x not in (a, b)}
            with self.independent(outer):
                self.scope.loops.extend(outer.items())
                self.scope.values.extend([acc, *outer])
                self.epilogue = True
                self.body(self.random.randint(1, 4))
                self.store()
                self.epilogue = False
        self.out.append(
            Contract(tuple(dims), a, b, offset_a, offset_b, acc, Block(tuple(statements)))
        )

    def wider(self, dtype):
        kinds = (FLOATS, SIGNED, INTS - SIGNED)
        return [
            d for d in DTYPES
            if any(d in kind and dtype in kind for kind in kinds) and BYTES[d] >= BYTES[dtype]
        ]  # fmt: skip


def random_program(seed, size=40):
    """The random program of a seed."""
    return Generator(seed, size).program()
