"""Each example runs, and gives the numbers it promises."""

import importlib.util
import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest

import symflux as sf

FOLDER = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(request):
    """The module of an example; its dataclasses need it in ``sys.modules``."""
    name = f"example_{request.param}"
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{request.param}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[name]


def of(name):
    return pytest.mark.parametrize("example", [name], indirect=True)


def test_every_example_is_tested():
    text = Path(__file__).read_text()
    names = [path.stem for path in FOLDER.glob("*.py")]
    assert len(names) == 6
    assert [name for name in names if f'@of("{name}")' not in text] == []


@of("01_gradient")
def test_gradients(example, capsys):
    found = example.main()
    assert found["first"] == 14.0
    assert found["second"] == 6.0
    assert found["by_argument"] == (4.0, 1.0, 2.0)
    assert found["by_param"] == (4.0, 1.0)
    assert "f''(2) = 6.0" in capsys.readouterr().out


@of("02_orbit_fit")
def test_orbit_fit(example, tmp_path, capsys):
    found = example.main(["--out", str(tmp_path)])
    points = example.measurements()

    def loss(a, b, c):
        return sum(abs(a * t**2 + b * t + c - y) for t, y in points.items())

    # the best sum of absolute errors is reached by a parabola through three of the points
    best = math.inf
    for chosen in itertools.combinations(points, 3):
        through = np.linalg.solve(np.vander(chosen, 3), [points[t] for t in chosen])
        best = min(best, loss(*through))
    assert best <= loss(*found["coefficients"]) < 1.02 * best
    assert found["losses"][0] == pytest.approx(loss(0, 0, 0))
    assert found["losses"][-1] < 0.01 * found["losses"][0]
    assert found["picture"].read_bytes().startswith(b"\x89PNG")
    assert "step     0   loss" in capsys.readouterr().out


@of("03_three_ways")
def test_three_ways(example, capsys, monkeypatch):
    monkeypatch.setattr(example, "LENGTHS", (3, 5, 7))
    monkeypatch.setattr(example, "seconds", lambda run: 0.0)
    rows = {(row.way, row.length): row for row in example.main()}
    assert len(rows) == 12
    for (way, _), row in rows.items():
        assert row.error < (1e-5 if way == "numerical" else 1e-12)
    for way in ("forward (jvp)", "reverse (grad)"):
        counts = [rows[way, n].operations for n in (3, 5, 7)]
        assert counts[2] - counts[1] == counts[1] - counts[0]
    symbolic = [rows["symbolic (SymPy)", n].operations for n in (3, 5, 7)]
    assert symbolic[2] > 4 * symbolic[1] > 16 * symbolic[0]
    assert "rel. error" in capsys.readouterr().out


@of("04_linear_regression")
def test_linear_regression(example, capsys):
    found = example.main()
    assert found["after"] < 0.25 * found["before"]
    losses = found["losses"]
    assert all(b < a for a, b in itertools.pairwise(losses))
    assert found["error"] < 0.01
    assert found["gs_b"].shape == (2,)
    assert "epoch 10" in capsys.readouterr().out


@of("05_layers")
def test_layers(example, capsys):
    found = example.main()
    for group, shape in (("two", (2,)), ("deep", (2,))):
        values = list(found[group].values())
        assert len(values) == {"two": 5, "deep": 4}[group]
        for value in values:
            assert value.shape == shape
            np.testing.assert_allclose(value, values[0], rtol=1e-14)
    assert found["deep"]["Chain"].sum() == pytest.approx(1.0)
    assert found["number"] == 26
    assert found["composed"].signature() == "Chain(Dense(10, 5), Dense(5, 2))"
    assert "Chain(lambda x: x**2, lambda x: x + 1)(5) = 26" in capsys.readouterr().out


@of("digits")
def test_digits(example, tmp_path, capsys):
    outcome = example.main(["--quick", "--out", str(tmp_path)])
    assert outcome.difference < 1e-12
    assert outcome.accuracies[-1] >= 0.97
    assert len(outcome.history.losses) == 20
    # float32 rounding drives the two networks apart, but not in the first epochs
    np.testing.assert_allclose(outcome.history.losses[:5], outcome.numpy_losses[:5], rtol=1e-3)
    labels = example.load()[1][1]
    assert list(outcome.wrong) == list(np.flatnonzero(outcome.predicted != labels))
    assert len(outcome.wrong) == round((1 - outcome.accuracies[-1]) * len(labels))
    for picture in outcome.pictures:
        assert picture.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "graph Chain(x: f32[64,64], W: f32[128,64]" in printed
    assert "store W_square[" in printed
    assert sf.nn.parameter_count(outcome.model) == 17226


@of("digits")
def test_the_network_by_hand_has_the_right_slopes(example):
    (x, labels), _ = example.load("float64")
    x, labels = x[:7], labels[:7]
    model = example.build("float64")
    by_hand = example.NumpyNetwork(model)
    given = []
    by_hand.update = given.extend
    loss = by_hand.step(x, labels)
    grads = sf.grad(lambda m: sf.nn.cross_entropy(m(x), labels))(model)
    assert loss == pytest.approx(float(sf.nn.cross_entropy(model(x), labels)), rel=1e-14)
    expected = [layer.W for layer in grads] + [layer.b for layer in grads]
    for a, b in zip(given, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-15)
