"""Random expression graphs: every op, dtype and region, typed, and the same for the same seed."""

import math
import random

import numpy as np

from symflux.ir import Graph, Kind, constant, symbol
from symflux.ir.node import item
from symflux.ir.op import registered
from symflux.ir.types import DTYPES, ArrayType, is_floating, numpy_dtype
from symflux.ir.walk import rewrite, substitute
from symflux.ops import control, index
from symflux.ops.contract import contract
from symflux.ops.shape import broadcast_to, concatenate, pad, reshape, slice_, transpose

#: Attributes that pointwise ops need.
ATTRIBUTES = {
    "cast": lambda r: {"dtype": r.choice(DTYPES)},
    "logaddexp_slope": lambda r: {"operand": r.randrange(2)},
    "polygamma": lambda r: {"order": r.randrange(2)},
    "power_less": lambda r: {"less": r.randrange(1, 3)},
    "sinc": lambda r: {"order": r.randrange(3)},
    "sinc_pi": lambda r: {"order": r.randrange(3)},
}
#: Amounts beyond the width are undefined in machine code; see ``shift``.
SHIFTS = frozenset({"shl", "shr"})
#: What users and derivatives are made of, and most laws speak of.
FREQUENT = frozenset({
    "add", "sub", "mul", "div", "neg", "where", "pow", "exp", "log", "sqrt", "abs", "maximum",
    "minimum", "not", "and", "or", "eq", "lt", "cast", "log1p", "sigmoid",
})  # fmt: skip
FLOAT_LITERALS = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.75, 4.0, 0.25, 10.0)


class Generator:
    """One random graph; ``size`` is the number of steps, ``depth`` how far regions may nest,
    ``without`` names ops to leave out."""

    def __init__(self, seed, size=12, depth=2, dtypes=None, without=frozenset()):
        self.random = random.Random(seed)
        self.size = size
        self.depth = depth
        self.without = without
        self.dtypes = dtypes or (*self.random.sample(DTYPES, 2), "f64", "f32")
        self.extents = [self.random.choice((1, 2, 3, 5)) for _ in range(3)]
        self.pool = []

    def graph(self, name="fuzz"):
        inputs = tuple(
            symbol(f"x{i}", self.shape(), self.random.choice(self.dtypes))
            for i in range(self.random.randint(1, 4))
        )
        self.pool = list(inputs)
        self.grow()
        made = [n for n in self.pool[len(inputs) :] if isinstance(n.type, ArrayType)] or self.pool
        outputs = self.random.sample(made, min(len(made), self.random.randint(1, 3)))
        return Graph(name, inputs, (*outputs, made[-1]))

    def grow(self):
        steps = [
            *[self.pointwise] * 10, *[self.index_map] * 4, *[self.reduction] * 2,
            self.contraction, self.gather, self.literal,
        ]  # fmt: skip
        if self.depth:
            steps += [self.cond, self.scan, self.loop]
        for _ in range(self.size):
            try:
                made = self.random.choice(steps)()
            except (TypeError, ValueError):
                continue  # the op does not take these operands
            for node in made:
                if math.prod(node.shape) <= 200:
                    self.pool.append(node)

    # choices

    def shape(self):
        rank = self.random.choice((0, 1, 1, 2, 2, 3))
        return tuple(self.random.choice(self.extents) for _ in range(rank))

    def any(self, accept=lambda node: True):
        options = [n for n in self.pool if accept(n)]
        if not options:
            raise ValueError("nothing fits")
        # recent nodes first, so that chains grow
        return options[-1 - min(int(self.random.expovariate(0.35)), len(options) - 1)]

    def number(self, dtype):
        if dtype == "bool":
            return constant(self.random.random() < 0.5, "bool")
        if is_floating(dtype):
            return constant(self.random.choice(FLOAT_LITERALS), dtype)
        return constant(self.random.choice((0, 1, 2, 3, 7)), dtype)

    # steps: each gives the nodes it made

    def literal(self):
        dtype = self.random.choice(self.dtypes)
        shape = self.shape()
        if self.random.random() < 0.5:
            return [broadcast_to(self.number(dtype), shape=shape)]
        if math.prod(shape) > 12:
            return [index.iota(shape=shape, dtype="i64", axis=self.random.randrange(len(shape)))]
        values = [self.number(dtype)["data"] for _ in range(math.prod(shape))]
        array = np.frombuffer(b"".join(values), numpy_dtype(dtype)).reshape(shape)
        return [constant(array, dtype)]

    def pointwise(self):
        for _ in range(8):
            try:
                return self.one_pointwise()
            except (TypeError, ValueError):
                continue  # the op does not take these operands
        return []

    def one_pointwise(self):
        ops = [op for op in registered().values() if op.kind is Kind.POINTWISE]
        if self.random.random() < 0.5:
            ops = [op for op in ops if op.name in FREQUENT]
        ops = [op for op in ops if op.name not in self.without]
        op = self.random.choice(ops)
        first = self.any()
        attrs = ATTRIBUTES.get(op.name, lambda r: {})(self.random)
        if op.name == "where":
            x = self.any()
            condition = self.any(lambda n: n.dtype == "bool")
            return [op(condition, x, self.beside(x))]
        if op.name in SHIFTS:
            return [self.shift(op, first)]
        for count in (1, 2):
            try:
                return [op(first, *[self.beside(first) for _ in range(count - 1)], **attrs)]
            except TypeError:
                continue
        raise TypeError(f"{op.name} takes none of these")

    def shift(self, op, x):
        return op(x, constant(self.random.randrange(8), x.dtype))

    def beside(self, x):
        """A second operand for x: a literal, or a node of its dtype."""
        if self.random.random() < 0.4:
            return self.number(x.dtype)
        return self.any(lambda n: n.dtype == x.dtype and _broadcast(n.shape, x.shape))

    def reduction(self):
        op = self.random.choice([o for o in registered().values() if o.kind is Kind.REDUCTION])
        x = self.any()
        axes = tuple(i for i in range(len(x.shape)) if self.random.random() < 0.6)
        return [op(x, axes=axes)]

    def index_map(self):
        x = self.any()
        return [self.random.choice((self.reshaped, self.transposed, self.broadcast, self.sliced,
                                    self.padded, self.joined))(x)]  # fmt: skip

    def reshaped(self, x):
        size = math.prod(x.shape)
        kept = [n for n in x.shape if n != 1]
        choices = [(size,), tuple(kept), (1, *x.shape), (*x.shape, 1), tuple(reversed(x.shape))]
        return reshape(x, shape=self.random.choice(choices))

    def transposed(self, x):
        axes = list(range(len(x.shape)))
        self.random.shuffle(axes)
        return transpose(x, axes=tuple(axes))

    def broadcast(self, x):
        wide = tuple(self.random.choice(self.extents) if n == 1 else n for n in x.shape)
        lead = tuple(self.random.choice(self.extents) for _ in range(self.random.randrange(2)))
        return broadcast_to(x, shape=lead + wide)

    def sliced(self, x):
        start, step, shape = [], [], []
        for n in x.shape:
            by = self.random.choice((1, 1, 1, 2, -1, -2))
            count = self.random.randint(0 if self.random.random() < 0.1 else min(n, 1), n)
            count = min(count, (n + abs(by) - 1) // abs(by))
            reach = max(count - 1, 0) * abs(by)
            low = self.random.randint(0, max(n - 1 - reach, 0))
            start.append(low if by > 0 or not count else low + reach)
            step.append(by)
            shape.append(count)
        return slice_(x, start=tuple(start), step=tuple(step), shape=tuple(shape))

    def padded(self, x):
        low, high, interior = (
            tuple(self.random.choice((0, 0, 1, 2)) for _ in x.shape) for _ in range(3)
        )
        return pad(x, low=low, high=high, interior=interior)

    def joined(self, x):
        axis = self.random.randrange(max(len(x.shape), 1))
        parts = [x]
        for _ in range(self.random.randrange(1, 3)):
            parts.append(self.any(lambda n: n.dtype == x.dtype and _joins(n.shape, x.shape, axis)))
        return concatenate(*parts, axis=axis)

    def contraction(self):
        x = self.any()
        y = self.any(lambda n: n.dtype == x.dtype)
        letters = [chr(ord("a") + i) for i in range(len(x.shape))]
        word = []
        for i, n in enumerate(y.shape):
            match = [c for c, m in zip(letters, x.shape, strict=True) if m == n and c not in word]
            fresh = chr(ord("p") + i)
            word.append(self.random.choice(match) if match else fresh)
        shared = [c for c in word if c in letters]
        summed = {c for c in shared if self.random.random() < 0.6}
        result = [c for c in dict.fromkeys([*letters, *word]) if c not in summed]
        self.random.shuffle(result)
        return [contract(x, y, spec=f"{''.join(letters)},{''.join(word)}->{''.join(result)}")]

    def gather(self):
        x = self.any(lambda n: n.shape and n.shape[0])
        indices = self.any(lambda n: n.dtype[0] in "iu" and len(n.shape) < 2)
        axis = self.random.randrange(len(x.shape))
        if self.random.random() < 0.5:
            return [index.take(x, indices, axis=axis)]
        updates = self.any(lambda n: n.dtype != "bool" and n.shape[:1] == indices.shape[:1])
        return [index.scatter_add(updates, indices, size=self.random.choice(self.extents), axis=0)]

    # regions

    def inner(self, inputs, name):
        """A generator for the body of a region with these inputs."""
        made = Generator(
            self.random.random(),
            self.random.randint(2, 6),
            self.depth - 1,
            self.dtypes,
            self.without,
        )
        made.extents = self.extents
        made.pool = list(inputs)
        made.grow()
        return made

    def like(self, nodes):
        return tuple(symbol(f"p{i}", n.shape, n.dtype) for i, n in enumerate(nodes))

    def same_type(self, pool, type_):
        """A node of that type, one made late if there is any."""
        return self.random.choice([n for n in pool if n.type == type_][-3:])

    def cond(self):
        predicate = self.any(lambda n: n.type == ArrayType((), "bool"))
        operands = [self.any() for _ in range(self.random.randint(1, 3))]
        pools = []
        for name in ("then", "otherwise"):
            inputs = self.like(operands)
            pools.append((inputs, self.inner(inputs, name).pool))
        types = [n.type for n in operands]
        wanted = [self.random.choice(types) for _ in range(self.random.randint(1, 2))]
        branches = [
            Graph("branch", inputs, tuple(self.same_type(pool, t) for t in wanted))
            for inputs, pool in pools
        ]
        node = control.cond(predicate, *operands, then=branches[0], otherwise=branches[1])
        return self.items(node)

    def scan(self):
        length = self.random.choice((0, 1, 2, 3))
        carries = [self.any() for _ in range(self.random.randint(1, 3))]
        consts = [self.any() for _ in range(self.random.randrange(3))]
        sequences = [n for n in self.pool if n.shape and n.shape[0] == length][-2:]
        elements = tuple(symbol("e", n.shape[1:], n.dtype) for n in sequences)
        inside = (symbol("i", (), "i64"), *self.like(carries), *elements, *self.like(consts))
        pool = self.inner(inside, "body").pool
        results = [self.same_type(pool, n.type) for n in carries]
        stacked = [self.random.choice(pool) for _ in range(self.random.randrange(3))]
        node = control.scan(
            *carries, *sequences, *consts, body=Graph("body", inside, (*results, *stacked)),
            length=length, carry=len(carries), consts=len(consts),
            reverse=self.random.random() < 0.3,
        )  # fmt: skip
        return self.items(node)

    def loop(self):
        """A while loop that counts, so that it ends."""
        carries = [constant(0, "i64"), *(self.any() for _ in range(self.random.randint(1, 2)))]
        consts = [self.any() for _ in range(self.random.randrange(2))]
        inside, tested = self.like([*carries, *consts]), self.like([*carries, *consts])
        pool = self.inner(inside, "body").pool
        results = [inside[0] + 1, *(self.same_type(pool, n.type) for n in carries[1:])]
        going = registered()["lt"](tested[0], constant(self.random.randrange(4), "i64"))
        node = control.while_(
            *carries, *consts, test=Graph("test", tested, (going,)),
            body=Graph("body", inside, tuple(results)), consts=len(consts),
        )  # fmt: skip
        return self.items(node)

    def items(self, node):
        numbers = range(len(node.type.items))
        picked = self.random.sample(numbers, self.random.randint(1, len(numbers)))
        return [item(node, i) for i in picked]


def _broadcast(x, y):
    try:
        np.broadcast_shapes(x, y)
    except ValueError:
        return False
    return True


def _joins(x, y, axis):
    return len(x) == len(y) and x[:axis] == y[:axis] and x[axis + 1 :] == y[axis + 1 :]


def random_graph(seed, **options):
    return Generator(seed, **options).graph()


def arguments(graph, seed):
    """Moderate values: exponentials of them stay finite, integers count."""
    rng = np.random.default_rng(seed)
    made = []
    for x in graph.inputs:
        dtype = numpy_dtype(x.dtype)
        if x.dtype == "bool":
            made.append(rng.random(x.shape) < 0.5)
        elif is_floating(x.dtype):
            made.append(rng.normal(size=x.shape).astype(dtype))
        else:
            made.append(rng.integers(0, 6, x.shape).astype(dtype))
    return [np.asarray(a) for a in made]


# --- noise: how well conditioned a graph is -------------------------------------------------------


def noisy(graph, seed, units=2000.0):
    """The graph with every float value off by some units in the last place."""
    rng = random.Random(seed)

    def shake(node):
        attrs = {
            name: noisy(value, rng.random(), units) if isinstance(value, Graph) else value
            for name, value in node.attrs
        }
        if any(isinstance(value, Graph) for _, value in node.attrs):
            node = node.op(*node.inputs, **attrs)
        if not isinstance(node.type, ArrayType) or not is_floating(node.dtype):
            return node
        limits = np.finfo(numpy_dtype(node.dtype))
        size = min(units * float(limits.eps), 1 / 64)
        return node * constant(1 + size * rng.choice((-1, 1)), node.dtype)

    return Graph(graph.name, graph.inputs, tuple(rewrite(graph.outputs, shake)))


# --- shrinking ------------------------------------------------------------------------------------


def shrink(graph, fails, steps=400):
    """A smaller graph for which ``fails`` still holds: one output, fewer nodes."""
    assert fails(graph)
    tried = 0
    progress = True
    while progress and tried < steps:
        progress = False
        for candidate in smaller(graph):
            tried += 1
            if tried > steps:
                break
            if len(candidate.nodes) <= len(graph.nodes) and _holds(fails, candidate):
                graph, progress = candidate, True
                break
    return graph


def _holds(fails, graph):
    try:
        return fails(graph)
    except (TypeError, ValueError):
        return False


def smaller(graph):
    if len(graph.outputs) > 1:
        for y in graph.outputs:
            yield _pruned(graph, (y,))
    for node in reversed(graph.nodes):
        if not isinstance(node.type, ArrayType):
            continue
        if node.op.kind is Kind.SOURCE and node in graph.outputs:
            continue
        for x in node.inputs:
            if x.type == node.type:
                yield _replaced(graph, node, x)
        if node.inputs:
            fresh = symbol("cut", node.shape, node.dtype)
            yield _replaced(graph, node, fresh)
        if node not in graph.outputs:
            yield _pruned(graph, (node,)) if node.inputs else graph


def _replaced(graph, node, value):
    return _pruned(graph, tuple(substitute(graph.outputs, {node: value})))


def _pruned(graph, outputs):
    made = Graph(graph.name, (), outputs)
    inputs = tuple(n for n in made.nodes if n.op.name == "input")
    return Graph(graph.name, inputs, outputs)


__all__ = ["Generator", "arguments", "noisy", "random_graph", "shrink"]
