"""Convolutions as contractions: overlapping strides and several summed dimensions."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from symflux.codegen.builder import Builder
from symflux.codegen.llvm.jit import compile_program

from symflux.thresholds import lowered

Array = np.ndarray[Any, Any]
#: images, height, width, channels, features, side of the window
SHAPES = [
    (2, 6, 7, 1, 3, 3), (3, 5, 5, 4, 16, 1), (2, 9, 8, 3, 5, 4), (1, 12, 30, 2, 33, 5),
    (5, 7, 20, 16, 8, 3), (2, 18, 18, 20, 40, 3),
]  # fmt: skip
LAYOUTS = {"last": ("bhwc", "ijco", "bhwo"), "first": ("bchw", "ocij", "bohw")}


def strides(axes: str, sizes: dict[str, int]) -> dict[str, int]:
    """Element strides by axis of an array stored in this order."""
    found, step = {}, 1
    for axis in reversed(axes):
        found[axis] = step
        step *= sizes[axis]
    return found


class Convolution:
    """Images x [b, h + i, w + j, c], windows w [i, j, c, o] and results y [b, h, w, o], stored with
    channels first or last; one of the three is computed from the others."""

    def __init__(self, shape: tuple[int, ...], layout: str) -> None:
        b, h, w, c, o, side = shape
        x_axes, w_axes, y_axes = LAYOUTS[layout]
        self.axes = {"x": x_axes, "w": w_axes, "y": y_axes}
        rows, columns = h - side + 1, w - side + 1
        self.extents = {"b": b, "h": rows, "w": columns, "c": c, "o": o, "i": side, "j": side}
        x = strides(x_axes, {"b": b, "h": h, "w": w, "c": c})
        self.strides = {
            "x": {**x, "i": x["h"], "j": x["w"]},
            "w": strides(w_axes, self.extents),
            "y": strides(y_axes, self.extents),
        }
        random = np.random.default_rng(0)
        self.x = random.standard_normal((b, h, w, c))
        self.w = random.standard_normal((side, side, c, o))
        self.windows = sliding_window_view(self.x, (side, side), axis=(1, 2))
        self.y = np.einsum("bhwcij,ijco->bhwo", self.windows, self.w)

    def stored(self, name: str, array: Array) -> Array:
        """The array in the order in which it is stored."""
        order = {"x": "bhwc", "w": "ijco", "y": "bhwo"}[name]
        return np.ascontiguousarray(array.transpose([order.index(a) for a in self.axes[name]]))

    def run(self, first: str, second: str, result: str, bias: bool = False) -> Array:
        """Contract two of the arrays; the third, in the order in which it is stored."""
        arrays = {n: self.stored(n, getattr(self, n)) for n in (first, second, result)}
        wanted = arrays.pop(result)
        b = Builder("convolution")
        operands = [b.input(n, "f64", a.size) for n, a in arrays.items()]
        shift = b.input("shift", "f64", self.extents["o"])
        out = b.output(result, "f64", wanted.size)
        steps, kept = [self.strides[n] for n in arrays], self.strides[result]
        names = [a for a in self.extents if a in kept] + [a for a in self.extents if a not in kept]
        dims = []
        for a in names:
            role = "k" if a not in kept else "m" if a in steps[0] else "n"
            dims.append((role, self.extents[a], steps[0].get(a, 0), steps[1].get(a, 0)))
        with b.kernel("k"), b.contract(*operands, dims) as product:
            index = dict(zip(names, product.indices, strict=False))
            place = sum((index[a] * kept[a] for a in index), index["o"] * 0)
            value = product.acc
            if bias:
                value = b.let("maximum", value + b.load(shift, index["o"] * 1), 0.0)
            b.store(out, place, value)
        got = np.full(wanted.shape, np.nan)
        given = {"shift": np.linspace(-1, 1, self.extents["o"]), **arrays, result: got}
        compile_program(b.program()).run(given)
        return got


@pytest.mark.quick(together=1)
@pytest.mark.parametrize("small", [False, True], ids=["usual limits", "many blocks"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_convolution_and_the_gradient_of_its_weights(layout: str, small: bool) -> None:
    limits = {"product_panel": 2048, "product_long_panel": 4096, "product_block": 4096}
    with lowered(**limits, fetched_panels=0) if small else nullcontext():
        _check_convolutions(layout)


def _check_convolutions(layout: str) -> None:
    for shape, bias in itertools.product(SHAPES, (False, True)):
        case = Convolution(shape, layout)
        want = case.y
        if bias:
            want = np.maximum(want + np.linspace(-1, 1, want.shape[-1]), 0)
        got = case.run("x", "w", "y", bias)
        np.testing.assert_allclose(got, case.stored("y", want), rtol=1e-11, atol=1e-11)
        gradient = np.einsum("bhwcij,bhwo->ijco", case.windows, case.y)
        got = case.run("x", "y", "w")
        np.testing.assert_allclose(got, case.stored("w", gradient), rtol=1e-10, atol=1e-9)
