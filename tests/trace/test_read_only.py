"""Views that NumPy shows and lets nobody write to: diagonals, windows, what is broadcast."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import symflux as sf
from symflux.errors import ReadOnlyError

VIEWS = {
    "diagonal": np.diagonal,
    "offset": lambda u: u.diagonal(1),
    "diagonal of a stack": lambda u: np.linalg.diagonal(u[None]),
    "diag": np.diag,
    "broadcast": lambda u: np.broadcast_to(u[0], (2, 3)),
    "broadcast together": lambda u: np.broadcast_arrays(u[:1], u)[0],
    "windows": lambda u: sliding_window_view(u, (2, 2)),
    "windows of a row": lambda u: sliding_window_view(u[0], 2)[::-1],
    "part of a diagonal": lambda u: np.diagonal(u)[1:],
    "turned": lambda u: np.broadcast_to(u, (2, 3, 3)).T,
    "sparse grid": lambda u: np.meshgrid(u[0], u[1], sparse=True, copy=False)[0],
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_show_what_is_written_to_their_base_later(name):
    def f(u):
        seen = VIEWS[name](u)
        before = seen * 1.0
        u[0, 0] = 50.0
        u[0] += 1.0
        u[1, 1:] *= 2.0
        return before, seen * 1.0

    u = np.arange(9.0).reshape(3, 3)
    want = f(u.copy())
    for given in (sf.compile(f)(u.copy()), sf.compile(f, write_back=False)(u)):
        assert all(np.array_equal(a, b) for a, b in zip(given, want, strict=True))


@pytest.mark.parametrize(
    "name", [n for n in VIEWS if n not in ("broadcast together", "sparse grid")]
)
def test_nobody_writes_to_them(name):
    def assigns(u):
        VIEWS[name](u)[0] = 1.0
        return u

    def adds(u):
        seen = VIEWS[name](u)
        seen += 1.0
        return u

    u = np.arange(9.0).reshape(3, 3)
    for f in (assigns, adds):
        with pytest.raises(ValueError, match="read-only"):
            f(u.copy())
        with pytest.raises(ReadOnlyError, match=r"read-only(.|\n)*test_read_only\.py"):
            sf.compile(f)(u.copy())


def test_grids_are_copies():
    def f(u, v):
        x, y = np.meshgrid(u, v)
        x[0] = 5.0
        y += u[0]
        return x, y, u * 1.0

    u, v = np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])
    for a, b in zip(sf.compile(f)(u, v), f(u.copy(), v), strict=True):
        assert np.array_equal(a, b)
