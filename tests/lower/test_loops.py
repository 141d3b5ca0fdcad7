"""Which loops run as one, which in vectors, which are written out; values against NumPy."""

import numpy as np
import pytest

import symflux as sf
from symflux import config
from symflux.testing import check_gradients
from symflux.thresholds import lowered

RANDOM = np.random.default_rng(3)


def lines(f, *args):
    """The loop lines of all kernels, and a check of the values."""
    compiled = sf.compile(f)
    np.testing.assert_allclose(compiled(*args), f(*args), rtol=1e-13, atol=1e-13)
    return [x.strip() for x in str(compiled.kernels).splitlines() if "loop " in x]


def test_neighbours_in_memory_run_as_one_loop():
    x, y = RANDOM.normal(size=(2, 20, 30))
    (loop,) = lines(lambda x, y: x * y + 2.0, x, y)
    assert loop == "loop i < 600 vector {"


def test_a_sum_of_everything_is_one_loop():
    (loop,) = lines(lambda x: np.sum(x * x), RANDOM.normal(size=(4, 5, 6)))
    assert "loop i < 120 vector carry" in loop


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x + x[0],
        lambda x: x[:, ::-1] * 2.0,
        lambda x: np.pad(x, 1),
        lambda x: x.T + 0.5,
        lambda x: x[1:, 2:] * x[:-1, :-2],
        lambda x: np.take(x, [3, 1, 1], axis=1),
        lambda x: np.concatenate([x, x[:2]]),
        lambda x: np.sum(x, axis=0) * 2.0,
        lambda x: np.argmax(x),
        lambda x: np.where(np.arange(12.0) > 4.0, x, 0.0),
        lambda x: np.cumsum(x, axis=1),
    ],
)
def test_what_does_not_lie_side_by_side_keeps_its_loops(f):
    lines(f, RANDOM.normal(size=(11, 12)))


def energy(p):
    d = p[:, None, :] - p[None, :, :]
    return np.sum(1.0 / np.sqrt(np.sum(d * d, axis=-1) + 0.01))


def test_short_inner_loops_are_written_out_in_a_vector_loop():
    p = RANDOM.normal(size=(37, 3))
    loops = lines(energy, p)
    assert len(loops) == 2 and "vector carry" in loops[1]


def test_sums_at_a_few_places_stay_in_registers():
    p = RANDOM.normal(size=(37, 3))
    gradient = sf.compile(sf.grad(energy))
    gradient(p)
    wide = [x for x in str(gradient.kernels).splitlines() if "vector carry" in x]
    assert len(wide) == 1 and wide[0].count("f64 =") == 3
    check_gradients(energy, (p[:9],), order=2)


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("shape", [(40, 2), (9, 8), (3, 40, 3), (17, 1), (12, 0), (30, 2, 4)])
@pytest.mark.parametrize("reduce", [np.sum, np.max, np.prod, np.argmin])
def test_short_last_axes(shape, reduce):
    x = RANDOM.normal(size=shape)
    if 0 in shape and reduce in (np.max, np.argmin):
        return
    lines(lambda x: reduce(x, axis=-1), x)
    lines(lambda x: reduce(x, axis=0), x)
    lines(lambda x: np.exp(x - np.sum(x, axis=-1, keepdims=True)), x)


def test_a_few_terms_are_added_in_registers_wherever_they_lie():
    x = RANDOM.normal(size=(5, 40))
    loops = lines(lambda x: np.sum(x * x, axis=0), x)
    assert loops == ["loop i < 40 vector {"]
    assert len(lines(lambda x: np.sum(x * x, axis=0), RANDOM.normal(size=(9, 40)))) == 3
    lines(lambda x: np.max(x, axis=1) + np.sum(x, axis=1), RANDOM.normal(size=(6, 4, 20)))


def mixture(means, scales, x):
    """The log-likelihood of points in the plane under Gaussians that are turned and stretched."""
    y = np.einsum("nj,kij->nki", x, scales) - means
    terms = -0.5 * np.sum(y * y, axis=2)
    top = np.max(terms, axis=1, keepdims=True)
    return np.sum(np.log(np.sum(np.exp(terms - top), axis=1)) + top[:, 0])


def test_short_products_fuse_with_what_is_summed_of_them():
    """Points run in vectors; all five Gaussians and the sums of their gradients are written out."""
    means, scales, x = (RANDOM.normal(size=shape) for shape in ((5, 2), (5, 2, 2), (50, 2)))
    (loop, *_) = [x for x in lines(mixture, means, scales, x) if "vector" in x]
    assert "i < 50 vector carry" in loop
    gradient = sf.compile(sf.grad(mixture, 0))
    gradient(means, scales, x)
    text = str(gradient.kernels)
    (wide,) = [x for x in text.splitlines() if "vector carry" in x and "< 50" in x]
    assert wide.count("f64 =") == 10 and "contract " not in text.replace("(contract ", "(")
    check_gradients(mixture, (means, scales, x[:7]), order=2)


def test_what_would_part_the_axes_of_a_long_contraction_follows_it():
    """The factors of ``shift`` differ along one of the two axes that are one to the contraction."""
    points, x = RANDOM.normal(size=(90, 4, 6)), RANDOM.normal(size=(90, 5))
    shift = RANDOM.normal(size=(4, 1, 5))

    def moments(points, x, shift):
        return np.einsum("nki,nj->kij", points, x) - shift

    compiled = sf.compile(moments)
    np.testing.assert_allclose(compiled(points, x, shift), moments(points, x, shift), rtol=1e-12)
    text = str(compiled.kernels)
    contraction = text[text.index("contract ") :].split("}")[0]
    assert "load shift" not in contraction and "load shift" in text

    bias = sf.compile(lambda points, x, b: np.einsum("nki,nj->kij", points, x) - b)
    bias(points, x, shift[0])
    text = str(bias.kernels)
    assert "load b" in text[text.index("contract ") :].split("}")[0]


def few_places(x, at):
    """Sums in memory, the elements of which are then read at places that data give."""
    sums = np.sum((x * x).reshape(len(x), 3, 3, 2), axis=(1, 2))
    return np.concatenate([sums, x[:, :4]], axis=1)[:, at] * sums[:, :1]


def mixed_columns(x, at):
    """As in the constructor of a triangular matrix: columns picked from several arrays."""
    both = np.concatenate([np.exp(np.sin(x[:, :2])), x[:, 2:6]], axis=1)
    return both[:, at] * np.sum(both, axis=1, keepdims=True) + both[:, ::-1]


def soft_columns(x, at):
    w = np.exp(x[:, :6] - np.max(x[:, :6], axis=1, keepdims=True))
    return w / np.sum(w, axis=1, keepdims=True) + at


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("f", [few_places, mixed_columns, soft_columns])
@pytest.mark.parametrize("n, piece", [(9, 15e3), (200, 15e3), (301, 0.5)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_iterations_of_vector_loops_share_no_elements(f, n, piece, dtype):
    """Each wrote its few elements to the same scratch memory, and read them at any place."""
    x, at = RANDOM.normal(size=(n, 18)).astype(dtype), np.array([4, 0, -1, 3, 3, 5])
    with lowered(share_from=0.0 if piece < 1 else 3e4, share_piece=piece):
        with config.override(verify=True):  # the loops as they were lowered, too
            compiled = sf.compile(f)
            rtol, atol = (1e-12, 1e-14) if dtype == "float64" else (1e-5, 1e-6)
            np.testing.assert_allclose(compiled(x, at), f(x, at), rtol=rtol, atol=atol)
        loops = str(compiled.kernels)
    assert "vector" in loops or n != 200
