"""Random contractions: any layout, batches, offsets, dtypes and sizes around the tiles' edges."""

import random

from symflux.codegen.builder import Builder
from symflux.codegen.ir import BYTES
from symflux.codegen.scalars import FLOATS, SCALARS, SIGNED, UNSIGNED

EXTENTS = (1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 33)
#: limits of the plan of a contraction as for a tiny cache: small products go through every loop
SMALL_CACHES = {
    "product_panel": 256, "product_long_panel": 512, "product_block": 512,
    "product_columns": 1024, "product_sums": 1024, "pack_b_rows": 1, "pack_a_columns": 1,
    "pack_a_distance": 0, "product_unrolled": 8, "pack_a_transposed": 0, "pack_a_straight": 0,
}  # fmt: skip
UNARY = ("neg", "abs", "tanh", "exp", "sqrt", "sigmoid", "sign")


class _Contraction:
    """One random contraction with an epilogue, inside up to one outer loop."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.seed = seed

    def strides(self, extents, gaps):
        """Strides of a dense layout of ``extents`` in random order; the elements that it spans."""
        order = list(extents)
        self.random.shuffle(order)
        step, strides = 1, {}
        for name in order:
            strides[name] = step
            step *= extents[name]
            if gaps and self.random.random() < 0.2:
                step += self.random.randint(1, 3)
        return strides, 1 + sum((extents[d] - 1) * strides[d] for d in extents)

    def dims(self):
        """(role, extent) of each dimension, by name, in random order."""
        roles = ["m", "n", "k"] + ["batch"] * (self.random.random() < 0.3)
        roles += [r for r in ("m", "n", "k") if self.random.random() < 0.15]
        self.random.shuffle(roles)
        most = 33 if len(roles) < 4 else 6
        sizes = [e for e in EXTENTS if e <= most]
        return {f"{role}{i}": (role, self.random.choice(sizes)) for i, role in enumerate(roles)}

    def program(self):
        pick = self.random.choice
        dtype = pick(["f32", "f32", "f64", "f64", "f16", "i32", "i64", "u8"])
        kind = next(k for k in (FLOATS, SIGNED, UNSIGNED) if dtype in k)
        wide = pick([d for d in sorted(kind) if BYTES[d] >= BYTES[dtype]])
        wide = dtype if self.random.random() < 0.7 else wide
        dims = self.dims()
        outer = pick([1, 1, 2, 3])
        extents = {name: extent for name, (_, extent) in dims.items()}
        in_a = {n: e for n, e in extents.items() if dims[n][0] != "n"}
        in_b = {n: e for n, e in extents.items() if dims[n][0] != "m"}
        in_y = {n: e for n, e in extents.items() if dims[n][0] != "k"}
        strides_a, span_a = self.strides(in_a, gaps=True)
        strides_b, span_b = self.strides(in_b, gaps=True)
        strides_y, span_y = self.strides(in_y, gaps=True)
        start = self.random.randint(0, 5)

        b = Builder(f"contraction{self.seed}")
        x = b.input("x", dtype, span_a * outer + start)
        w = b.input("w", dtype, span_b)
        bias = b.input("bias", wide, span_y)
        y = b.inout("y", wide, span_y * outer)
        spec = [
            (role, extent, strides_a.get(name, 0), strides_b.get(name, 0))
            for name, (role, extent) in dims.items()
        ]
        named = [name for name, (role, _) in dims.items() if role != "k"]
        with (
            b.kernel("k"),
            b.loop(outer, mode=pick(["serial", "parallel"])) as i,
            b.contract(x, w, spec, i * span_a + start, 0, dtype=wide) as product,
        ):
            place = sum(
                (v * strides_y[n] for n, v in zip(named, product.indices, strict=True)), i * 0
            )
            value = product.acc
            if self.random.random() < 0.6:
                value = value + b.load(bias, place)
            if self.random.random() < 0.3:
                value = value + b.load(y, place + i * span_y)
            if self.random.random() < 0.6:
                value = b.let(pick([op for op in UNARY if wide in SCALARS[op].domain]), value)
            b.store(y, place + i * span_y, value)
        return b.program()


def random_contraction(seed):
    """The program of a seed."""
    return _Contraction(seed).program()
