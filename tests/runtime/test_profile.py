"""``f.profile``: kernels by name, their costs and shares; what the clock leaves alone."""

import numpy as np
import pytest
from symflux.codegen.llvm import clock

import symflux as sf
from symflux.runtime import limits, profile
from symflux.runtime.limits import Limits

LIMITS = Limits(1, ((1 << 40, 1e9),), {"f32": 2e9, "f64": 1e9})


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(profile, "PATIENCE", 0.0)
    monkeypatch.setattr(profile, "measure", lambda threads: LIMITS)


def scaled(x, y):
    return np.sum(np.sin(x)) / (x + y)


def test_kernels_and_costs():
    f = sf.compile(scaled)
    x = np.linspace(1.0, 2.0, 1000)
    found = f.profile(x, 2.0)
    cost = f.lower(x, 2.0).cost
    assert [k.name for k in found.kernels] == [k.name for k in cost.kernels]
    assert [(k.flops, k.bytes) for k in found.kernels] == [
        (k.flops, k.bytes_moved) for k in cost.kernels
    ]
    assert found.kernels[-1].bytes == 8 * (1000 + 1000 + 2)
    assert sum(k.share for k in found.kernels) == pytest.approx(1.0)
    assert sum(k.seconds for k in found.kernels) == pytest.approx(found.seconds)
    assert 0 < found.seconds < 1.0
    assert found.runs == profile.FEWEST
    assert "test_profile.py" in found.kernels[0].note


def test_rates_and_roofline():
    k = sf.compile(scaled).profile(np.ones(1000), 2.0).slowest(1)[0]
    assert k.bytes_per_second == pytest.approx(k.bytes / k.seconds)
    assert k.flops_per_second == pytest.approx(k.flops / k.seconds)
    assert k.roofline == pytest.approx(max(k.flops, k.bytes) / 1e9 / k.seconds)


def test_the_slowest_come_first():
    def f(x, y):
        return np.sum(x), np.exp(y @ y).sum(axis=0)

    found = sf.compile(f).profile(np.ones(10), np.ones((200, 200)))
    seconds = [k.seconds for k in found.slowest()]
    assert seconds == sorted(seconds, reverse=True)
    lines = str(found).splitlines()
    assert lines[0].startswith("f: ")
    assert lines[1].split()[:2] == ["kernel", "share"]
    assert lines[2].startswith(found.slowest()[0].name)
    assert lines[-1] == str(LIMITS)


def test_arguments_are_not_changed():
    def step(w, x):
        return w - 0.1 * (x @ w)

    f = sf.compile(step, donate="w")
    w, x = np.ones(50), np.ones((50, 50))
    f.profile(w, x)
    assert np.all(w == 1.0)
    f(w, x)
    assert np.all(w == -4.0)


def test_params_are_not_changed():
    w = sf.param(np.ones(3))
    f = sf.compile(lambda x: sf.update(w, w * x))
    f.profile(2.0)
    assert np.all(np.asarray(w.value) == 1.0)


def test_other_layouts_and_types():
    found = sf.compile(lambda x, n: np.sum(x.T * n)).profile(np.ones((4, 6)).T, 3)
    assert found.kernels


def test_the_clocked_program_computes_the_same():
    f = sf.compile(scaled)
    x = np.linspace(1.0, 2.0, 1000)
    stages = f.lower(x, 2.0).stages
    native = clock.Timed(stages.program)
    out = {b.name: np.empty(1000) for b in stages.program.arguments() if b.role.name == "OUTPUT"}
    names = stages.lowered.inputs
    native.run({names[0]: x, names[1]: np.full(1, 2.0), **out})
    assert np.array_equal(next(iter(out.values())), f(x, 2.0))
    assert native.seconds().shape == (len(stages.program.kernels),)
    assert np.all(native.seconds() >= 0.0)


def test_long_code_in_several_modules():
    def f(x):
        for n in range(800):
            x = x * np.sin(x[n % 3] + n) + 0.5
        return x

    found = sf.compile(f).profile(np.ones(3))
    assert sum(k.flops for k in found.kernels) > 10_000
    assert found.seconds > 0


def test_systems_without_the_clock(monkeypatch):
    monkeypatch.setattr(profile, "available", lambda: False)
    with pytest.raises(sf.SymFluxError, match="POSIX"):
        sf.compile(scaled).profile(np.ones(3), 2.0)


def test_limits_of_this_machine(monkeypatch):
    monkeypatch.setattr(limits, "PATIENCE", 0.001)
    monkeypatch.setattr(limits, "WORKING_SETS", (24 << 10, 1 << 20))
    monkeypatch.setattr(limits, "ORDERS", (64,))
    found = limits.measure.__wrapped__(2)
    assert found.threads == 2
    assert [size for size, _ in found.bandwidth] == [24 << 10, 1 << 20]
    assert all(1e8 < rate < 1e13 for _, rate in found.bandwidth)
    assert set(found.flops) == {"f32", "f64"}
    assert all(1e8 < rate < 1e13 for rate in found.flops.values())
