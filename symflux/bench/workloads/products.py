"""Matrix products alone: sizes, four layouts, tall and skinny ones, with bias and relu behind."""

import functools

from ..row import Row

ORDER = 70


def operands(m, n, k, dtype, layout):
    """Stored as the layout says: n as written, t transposed."""
    import numpy as np

    r = np.random.default_rng(0)
    a = r.standard_normal((m, k) if layout[0] == "n" else (k, m)).astype(dtype)
    b = r.standard_normal((k, n) if layout[1] == "n" else (n, k)).astype(dtype)
    return a, b, r.standard_normal(n).astype(dtype)


def product(layout, epilogue, np):
    def f(a, b, bias):
        a = a if layout[0] == "n" else a.T
        b = b if layout[1] == "n" else b.T
        if not epilogue:
            return a @ b
        return np.maximum(a @ b + bias, 0)

    return f


def _numpy(layout, epilogue, np):
    if not epilogue:
        return product(layout, epilogue, np)

    def f(a, b, bias):
        a = a if layout[0] == "n" else a.T
        b = b if layout[1] == "n" else b.T
        c = a @ b
        c += bias
        return np.maximum(c, 0, out=c)

    return f


def _torch(layout, epilogue, torch):
    def f(a, b, bias):
        a = a if layout[0] == "n" else a.T
        b = b if layout[1] == "n" else b.T
        return torch.relu_(torch.addmm(bias, a, b)) if epilogue else torch.mm(a, b)

    return f


def product_row(m, n, k, dtype, layout="nn", epilogue=False):
    tools = {
        "symflux": lambda sf, np: sf.compile(product(layout, epilogue, np)),
        "numpy": functools.partial(_numpy, layout, epilogue),
        "jax": lambda jax, np: jax.jit(product(layout, epilogue, np)),
        "torch": functools.partial(_torch, layout, epilogue),
    }
    variant = f"{layout} bias relu" if epilogue else layout
    return Row(
        "product", f"{m}x{n}x{k} {dtype}", variant,
        functools.partial(operands, m, n, k, dtype, layout), tools,
        1e-4 if dtype == "float32" else 1e-11, max(m, n, k) <= 16 or (m, epilogue) == (32, True),
        torch_compile=False,
    )  # fmt: skip


SIZES = (4, 8, 16, 32, 64, 96, 128, 256, 512, 1024, 2048)
SKINNY = ((1, 1000, 1000), (1000, 1, 1000), (8, 1000, 1000), (1000, 8, 1000), (300, 300, 8))


def rows():
    both = ("float32", "float64")
    found = [product_row(n, n, n, dtype) for dtype in both for n in SIZES]
    found += [
        product_row(n, n, n, dtype, layout)
        for dtype in both
        for n in (16, 128, 512, 1024)
        for layout in ("nt", "tn", "tt")
    ]
    found += [product_row(*sizes, dtype) for dtype in both for sizes in SKINNY]
    found += [product_row(n, n, n, dtype, "nt", True) for dtype in both for n in (32, 256, 1024)]
    return found
