"""The yardstick of the frontend's tests: a traced function means what NumPy computes for it."""

import numpy as np

from symflux import tree
from symflux.trace.param import Param
from symflux.trace.trace import raise_by_number, trace
from symflux.transform.evaluate import evaluate

TOLERANCE = {"float16": 4e-3, "float32": 2e-6, "float64": 1e-13}


def numbers(traced, args, kwargs):
    """What the inputs of the graph stand for: argument leaves, then captures."""
    leaves = tree.leaves((args, kwargs))
    live = [c.value if isinstance(c, Param) else c for c in traced.captures]
    return [np.asarray(v.value if isinstance(v, Param) else v) for v in (*leaves, *live)]


def traced_result(fn, *args, **kwargs):
    """The result of ``fn`` by its graph: trace it, run the oracle, rebuild the container."""
    found = trace(fn, args, kwargs)
    values = evaluate(found.graph, numbers(found, args, kwargs))
    if found.failure is not None:
        raise_by_number(found.errors, values[found.failure])
    return found.out_tree.unflatten(values[: len(found.out_tree)]), found


def assert_same(got, wanted, weak, tolerance=None):
    """Dtype, shape and values; and whether a Python number stayed one."""
    is_python = type(wanted) in (bool, int, float)
    assert weak == is_python, f"weak is {weak}, NumPy gives a {type(wanted).__name__}"
    wanted = np.asarray(wanted)
    assert got.dtype == wanted.dtype, f"{got.dtype}, NumPy gives {wanted.dtype}"
    assert got.shape == wanted.shape, f"{got.shape}, NumPy gives {wanted.shape}"
    if wanted.dtype.kind == "f":
        rtol = TOLERANCE[wanted.dtype.name] if tolerance is None else tolerance
        finite = np.abs(wanted[np.isfinite(wanted)])
        scale = float(finite.max()) if finite.size else 1.0
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol * scale)
    else:
        np.testing.assert_array_equal(got, wanted)


def assert_agrees(fn, *args, tolerance=None, **kwargs):
    """``fn`` traced means what ``fn`` computes, leaf by leaf."""
    with np.errstate(all="ignore"):
        wanted = fn(*_copied(args), **_copied(kwargs))
    got, found = traced_result(fn, *_copied(args), **_copied(kwargs))
    structure = tree.structure(wanted)
    assert structure == found.out_tree
    leaves = zip(tree.leaves(got), tree.leaves(wanted), found.weak, strict=True)
    for mine, numpys, weak in leaves:
        assert_same(mine, numpys, weak, tolerance)
    return found


def _copied(values):
    """Arguments of one's own: NumPy changes them in place."""
    return tree.map(lambda v: v.copy() if isinstance(v, np.ndarray) else v, values)
