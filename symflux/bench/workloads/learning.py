"""A small convolutional network on images of 28x28, and a block of a transformer's encoder."""

import functools

from ..row import Row, differentiable
from .training import cross_entropy

ORDER = 30


def images(batch, size=28):
    import numpy as np

    r = np.random.default_rng(0)
    flat = (size // 4) ** 2 * 32
    shapes = ((3, 3, 1, 16), (16,), (3, 3, 16, 32), (32,), (flat, 10), (10,))
    fans = (9, 1, 144, 1, flat, 1)
    params = [
        ((r.standard_normal(s) / f**0.5) * (0.1 if f == 1 else 1.0)).astype(np.float32)
        for s, f in zip(shapes, fans, strict=True)
    ]
    x = r.standard_normal((batch, size, size, 1)).astype(np.float32)
    return params, x, r.integers(0, 10, batch)


def convolve(np, x, w, b):
    """The same size as the input, channels last: a product with the window around each place."""
    p = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(p, (3, 3), axis=(1, 2))
    return np.tensordot(seen, w, axes=((-3, -2, -1), (2, 0, 1))) + b


def pool(np, x):
    n, height, width, channels = x.shape
    return np.max(x.reshape(n, height // 2, 2, width // 2, 2, channels), axis=(2, 4))


def convolutional(np, convolve=convolve, pool=pool):
    def f(params, x, labels):
        w1, b1, w2, b2, w3, b3 = params
        x = pool(np, np.maximum(convolve(np, x, w1, b1), 0))
        x = pool(np, np.maximum(convolve(np, x, w2, b2), 0))
        return cross_entropy(np)(x.reshape(x.shape[0], -1) @ w3 + b3, labels)

    return f


def _jax_convolutional(jax):
    def convolve(np, x, w, b):
        names = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=names) + b

    def pool(np, x):
        w = (1, 2, 2, 1)
        return jax.lax.reduce_window(x, -np.inf, jax.lax.max, w, w, "VALID")

    return convolutional(jax.numpy, convolve, pool)


def _torch_convolutional(torch):
    functional = torch.nn.functional

    def layer(x, w, b):
        x = functional.conv2d(x, w.permute(3, 2, 0, 1), b, padding=1)
        return functional.max_pool2d(torch.relu(x), 2)

    def f(params, x, labels):
        w1, b1, w2, b2, w3, b3 = params
        x = layer(layer(x.permute(0, 3, 1, 2), w1, b1), w2, b2)
        x = x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)
        return functional.cross_entropy(torch.addmm(b3, x, w3), labels)

    return f


def convolutional_rows(batch, size=28):
    return differentiable(
        "conv net", f"{size}x{size} batch {batch}", functools.partial(images, batch, size),
        convolutional, rtol=1e-4, small=size < 28, torch=_torch_convolutional,
        forward={"jax": lambda jax, np: jax.jit(_jax_convolutional(jax))},
        gradient={"jax": lambda jax, np: jax.jit(jax.value_and_grad(_jax_convolutional(jax)))},
    )  # fmt: skip


def tokens(batch, length, width, heads):
    import numpy as np

    r = np.random.default_rng(0)

    def matrix(i, o):
        return (r.standard_normal((i, o)) / i**0.5).astype(np.float32)

    ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
    params = {
        "qkv": matrix(width, 3 * width), "out": matrix(width, width),
        "up": matrix(width, 4 * width), "up_bias": np.zeros(4 * width, np.float32),
        "down": matrix(4 * width, width), "down_bias": zeros.copy(),
        "scale1": ones.copy(), "shift1": zeros.copy(),
        "scale2": ones.copy(), "shift2": zeros.copy(),
    }  # fmt: skip
    return params, r.standard_normal((batch, length, width)).astype(np.float32)


def layer_norm(np, x, scale, shift):
    d = x - np.mean(x, axis=-1, keepdims=True)
    return d / np.sqrt(np.mean(d * d, axis=-1, keepdims=True) + np.float32(1e-5)) * scale + shift


def attention(np, q, k, v):
    s = (q @ k.swapaxes(-1, -2)) * np.float32(q.shape[-1] ** -0.5)
    e = np.exp(s - np.max(s, axis=-1, keepdims=True))
    return (e / np.sum(e, axis=-1, keepdims=True)) @ v


def encoder(heads, np):
    """Attention and a network of two layers, each behind a norm and beside a shortcut."""

    def f(p, x):
        batch, length, width = x.shape

        def split(y):
            return y.reshape(batch, length, heads, -1).swapaxes(1, 2)

        qkv = layer_norm(np, x, p["scale1"], p["shift1"]) @ p["qkv"]
        q, k, v = (split(qkv[..., i * width : (i + 1) * width]) for i in range(3))
        a = attention(np, q, k, v).swapaxes(1, 2).reshape(batch, length, width)
        x = x + a @ p["out"]
        h = layer_norm(np, x, p["scale2"], p["shift2"]) @ p["up"] + p["up_bias"]
        c = np.float32(0.7978845608028654)
        h = np.float32(0.5) * h * (1 + np.tanh(c * (h + np.float32(0.044715) * h * h * h)))
        return x + h @ p["down"] + p["down_bias"]

    return f


def encoder_loss(heads, np):
    def f(p, x):
        y = encoder(heads, np)(p, x)
        return np.mean(y * y)

    return f


def _torch_encoder(heads, torch):
    functional = torch.nn.functional

    def f(p, x):
        batch, length, width = x.shape
        y = functional.layer_norm(x, (width,), p["scale1"], p["shift1"]) @ p["qkv"]
        q, k, v = (t.view(batch, length, heads, -1).transpose(1, 2) for t in y.split(width, dim=-1))
        a = functional.scaled_dot_product_attention(q, k, v)
        x = x + a.transpose(1, 2).reshape(batch, length, width) @ p["out"]
        y = functional.layer_norm(x, (width,), p["scale2"], p["shift2"])
        h = functional.gelu(y @ p["up"] + p["up_bias"], approximate="tanh")
        return x + h @ p["down"] + p["down_bias"]

    return f


def _torch_encoder_loss(heads, torch):
    f = _torch_encoder(heads, torch)
    return lambda p, x: (f(p, x) ** 2).mean()


def encoder_rows(batch, length, width, heads):
    inputs = functools.partial(tokens, batch, length, width, heads)
    size = f"{batch}x{length}x{width} heads {heads}"
    forward = {
        "symflux": lambda sf, np: sf.compile(encoder(heads, np)),
        "numpy": functools.partial(encoder, heads),
        "jax": lambda jax, np: jax.jit(encoder(heads, np)),
        "torch": functools.partial(_torch_encoder, heads),
    }
    small = width < 128
    return [
        Row("transformer block", size, "forward", inputs, forward, 1e-4, small),
        *differentiable(
            "transformer block", size, inputs, functools.partial(encoder_loss, heads),
            rtol=1e-3, small=small, variants=("gradient",),
            torch=functools.partial(_torch_encoder_loss, heads),
        ),
    ]  # fmt: skip


def rows():
    return [
        *convolutional_rows(2, 8), *convolutional_rows(64),
        *encoder_rows(2, 4, 8, 2), *encoder_rows(8, 64, 128, 4),
    ]  # fmt: skip
