"""Training: steps of a network 784-256-128-10 in place, and the mean cross-entropy of logits."""

import functools
import itertools

from ..row import Row, differentiable

ORDER = 20
RATE = 0.01
SIZES = (784, 256, 128, 10)


def step_inputs(batch, sizes=SIZES):
    import numpy as np

    r = np.random.default_rng(0)
    params = [
        (
            (r.standard_normal((i, o)) / i**0.5).astype(np.float32),
            np.zeros(o, np.float32),
        )
        for i, o in itertools.pairwise(sizes)
    ]
    x = r.standard_normal((batch, sizes[0])).astype(np.float32)
    return params, x, r.integers(0, sizes[-1], batch)


def cross_entropy(np):
    """The mean over rows, as books write it, with the shift that keeps it finite."""

    def f(logits, labels):
        z = logits - np.max(logits, axis=1, keepdims=True)
        picked = np.take_along_axis(z, labels[:, None], axis=1)[:, 0]
        return np.mean(np.log(np.sum(np.exp(z), axis=1)) - picked)

    return f


def forward(np):
    def f(params, x, labels):
        for w, b in params[:-1]:
            x = np.maximum(x @ w + b, 0)
        w, b = params[-1]
        return cross_entropy(np)(x @ w + b, labels)

    return f


def descent(value_and_grad, np):
    """One step of gradient descent: the loss before it, and the new params."""

    def step(params, x, labels):
        loss, grads = value_and_grad(forward(np))(params, x, labels)
        new = [
            (w - np.float32(RATE) * dw, b - np.float32(RATE) * db)
            for (w, b), (dw, db) in zip(params, grads, strict=True)
        ]
        return loss, new

    return step


def _jax_step(jax, np):
    step = jax.jit(descent(jax.value_and_grad, np), donate_argnums=0)
    held = []

    def call(params, x, labels):
        # a donated array is gone after the call: the newest ones are kept here
        if not held:
            held.append(jax.tree.map(np.copy, params))
        loss, held[0] = step(held[0], x, labels)
        return loss, held[0]

    return call


def _numpy_step(np):
    def step(params, x, labels):
        layers, rows = [x], np.arange(x.shape[0])
        for w, b in params[:-1]:
            h = layers[-1] @ w
            h += b
            layers.append(np.maximum(h, 0, out=h))
        w, b = params[-1]
        z = layers[-1] @ w
        z += b
        z -= z.max(axis=1, keepdims=True)
        picked = z[rows, labels]
        np.exp(z, out=z)
        total = z.sum(axis=1)
        loss = np.mean(np.log(total) - picked)
        z /= total[:, None]
        z[rows, labels] -= 1.0
        z *= np.float32(1.0 / x.shape[0])
        for n in reversed(range(len(params))):
            w, b = params[n]
            dw, db = layers[n].T @ z, z.sum(axis=0)
            if n:
                z = z @ w.T
                z *= layers[n] > 0
            dw *= np.float32(RATE)
            w -= dw
            b -= np.float32(RATE) * db
        return loss, params

    return step


def _torch_loss(torch):
    functional = torch.nn.functional

    def loss(params, x, labels):
        for w, b in params[:-1]:
            x = torch.relu(torch.addmm(b, x, w))
        w, b = params[-1]
        return functional.cross_entropy(torch.addmm(b, x, w), labels)

    return loss


def _torch_step(torch, compiled=False):
    loss = _torch_loss(torch)
    if compiled:
        loss = torch.compile(loss)

    def step(params, x, labels):
        leaves = [t for pair in params for t in pair]
        for t in leaves:
            t.requires_grad_(True)
        value = loss(params, x, labels)
        grads = torch.autograd.grad(value, leaves)
        with torch.no_grad():
            torch._foreach_add_(leaves, grads, alpha=-RATE)
        return value.detach(), params

    return step


def step_row(batch, sizes=SIZES):
    tools = {
        "symflux": lambda sf, np: sf.compile(descent(sf.value_and_grad, np), donate="params"),
        "numpy": _numpy_step,
        "jax": _jax_step,
        "torch": _torch_step,
    }
    name = "-".join(map(str, sizes))
    return Row(
        "training", f"{name} batch {batch}", "step",
        functools.partial(step_inputs, batch, sizes), tools, 1e-4, sizes != SIZES,
    )  # fmt: skip


def logits(n, classes):
    import numpy as np

    r = np.random.default_rng(0)
    return r.standard_normal((n, classes)).astype(np.float32), r.integers(0, classes, n)


def _entropy_by_hand(np):
    def f(z, labels):
        rows = np.arange(z.shape[0])
        z = z - z.max(axis=1, keepdims=True)
        picked = z[rows, labels]
        np.exp(z, out=z)
        total = z.sum(axis=1)
        z /= total[:, None]
        z[rows, labels] -= 1.0
        z *= np.float32(1.0 / z.shape[0])
        return np.mean(np.log(total) - picked), z

    return f


def entropy_rows(n, classes):
    return differentiable(
        "cross-entropy", f"{n}x{classes}", functools.partial(logits, n, classes), cross_entropy,
        torch=lambda torch: torch.nn.functional.cross_entropy, rtol=1e-4, small=n < 1000,
        gradient={"numpy": _entropy_by_hand},
    )  # fmt: skip


def rows():
    found = [step_row(4, (6, 5, 4, 3)), *(step_row(batch) for batch in (1, 128, 1024))]
    return found + entropy_rows(32, 20) + entropy_rows(4096, 1000)
