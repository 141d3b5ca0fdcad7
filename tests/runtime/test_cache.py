"""Compiled code on disk: found again, told apart, and trusted only where it can be."""

import errno
import os
import stat
import subprocess
import sys
import textwrap
import threading
import warnings

import numpy as np
import pytest
from symflux.codegen.llvm import library

import symflux as sf
from symflux import config
from symflux.errors import CacheWarning
from symflux.runtime import cache
from symflux.thresholds import lowered

POSIX = pytest.mark.skipif(os.name != "posix", reason="rights are told by mode bits")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache of its own for a test, as a new process would see it."""
    monkeypatch.setattr(cache, "_state", cache._State())
    with config.override(cache_dir=str(tmp_path / "cache")):
        yield tmp_path / "cache" / "symflux-code"


def counts():
    info = sf.cache_info()
    return info.hits, info.misses, info.refused


def polynomial(x):
    return 3 * x**2 + 2 * x + 1


def entry(folder):
    (path,) = folder.glob("*.sfc")
    return path


def test_equal_functions_share_an_entry(folder):
    assert sf.compile(polynomial)(2.0) == 17.0
    assert counts() == (0, 1, 0)
    assert sf.compile(lambda y: 3 * y**2 + 2 * y + 1)(2.0) == 17.0
    assert counts() == (1, 1, 0)
    assert sf.cache_info().entries == 1 and sf.cache_info().bytes == entry(folder).stat().st_size


def test_every_level_can_be_looked_at_although_nothing_was_compiled(folder):
    sf.compile(polynomial)(2.0)
    again = sf.compile(polynomial)
    assert again(2.0) == 17.0
    assert counts() == (1, 1, 0)
    for text in (again.graph, again.kernels, again.llvm_ir, again.asm, again.cost):
        assert str(text)


SCRIPT = """
    import sys, numpy as np, symflux as sf
    scale = float(sys.argv[1])
    table = np.array([1.0, 2.0, 4.0]) * scale

    def model(params, x):
        hidden = np.tanh(params["w"] @ x + params["b"])
        return np.sum(hidden * table)

    params = {"w": np.ones((3, 2)), "b": np.arange(3.0)}
    value, gradient = sf.compile(sf.value_and_grad(model))(params, np.array([0.5, -0.25]))
    step = sf.compile(lambda x, g: x - 0.5 * g, donate=("x",))
    x = np.ones(4)
    assert step(x, np.ones(4)) is x
    total = sf.grad(lambda x: np.sum(np.sin(x) * table))(np.arange(3.0))
    print(repr(float(value)), gradient["b"].tolist(), x.tolist(), total.tolist())
    print(sf.cache_info()[:3])
"""


def run(folder, *arguments, **environment):
    """What the script prints in a new process: its results, and hits, misses, refused."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(SCRIPT), *arguments],
        env=os.environ | {"SYMFLUX_CACHE_DIR": str(folder)} | environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    values, counted = result.stdout.rsplit("(", 1)
    return values, tuple(int(n) for n in counted.strip(" )\n").split(","))


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder, what the process that filled it printed, and its counts."""
    folder = tmp_path_factory.mktemp("filled") / "c"
    return folder, *run(folder, "1.0")


def test_a_second_process_compiles_nothing(filled):
    folder, first, made = filled
    second, found = run(folder, "1.0")
    assert first == second
    assert made[0] == 0 and found == (made[1], 0, 0)


@pytest.mark.slow
def test_captured_arrays_are_given_to_the_code_when_it_is_loaded(filled):
    other, counted = run(filled[0], "3.0")
    without, _ = run("off", "3.0")
    assert other == without
    assert counted[1:] == (0, 0)


@pytest.mark.slow
def test_many_processes_at_once(tmp_path):
    folder = tmp_path / "c"
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(SCRIPT), "1.0"]
    environment = os.environ | {"SYMFLUX_CACHE_DIR": str(folder)}
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    printed = {process.communicate()[0].rsplit("(", 1)[0] for process in running}
    assert len(printed) == 1 and all(process.returncode == 0 for process in running)
    assert not list(folder.rglob("*.new"))
    assert run(folder, "1.0")[1][1:] == (0, 0)


def test_many_threads_at_once(folder):
    found = []

    def work(n):
        found.append(sf.compile(lambda x: polynomial(x) + float(n % 3))(2.0))

    workers = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(found) == sorted(17.0 + n % 3 for n in range(12))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[:60] + bytes([data[60] ^ 128]) + data[61:],
        lambda data: b"something else entirely",
        lambda data: data + b"more",
    ],
)
def test_damaged_entries_are_made_anew_and_told(folder, damage):
    sf.compile(polynomial)(2.0)
    path = entry(folder)
    good = path.read_bytes()
    path.write_bytes(damage(good))
    with pytest.warns(CacheWarning, match="made anew"):
        assert sf.compile(polynomial)(2.0) == 17.0
    assert counts() == (0, 1, 1)
    assert path.read_bytes() == good
    assert sf.compile(polynomial)(2.0) == 17.0
    assert counts() == (1, 1, 1)


def test_an_entry_under_the_name_of_another_is_not_used(folder):
    sf.compile(polynomial)(2.0)
    first = entry(folder)
    sf.compile(lambda x: x * 2.0)(2.0)
    (second,) = [p for p in folder.glob("*.sfc") if p != first]
    second.write_bytes(first.read_bytes())
    with pytest.warns(CacheWarning, match="made anew"):
        assert sf.compile(lambda x: x * 2.0)(2.0) == 4.0


@POSIX
def test_what_others_may_write_is_never_loaded(folder):
    sf.compile(polynomial)(2.0)
    path = entry(folder)
    path.chmod(0o666)
    with pytest.warns(CacheWarning, match="others than you may write"):
        assert sf.compile(polynomial)(2.0) == 17.0
    assert counts() == (0, 1, 1)
    assert not stat.S_IMODE(entry(folder).stat().st_mode) & 0o022


@POSIX
def test_a_folder_that_others_may_write_to_is_not_used(folder, monkeypatch):
    folder.mkdir(parents=True)
    for path in (folder, folder.parent):
        path.chmod(0o777)
        monkeypatch.setattr(cache, "_state", cache._State())
        with pytest.warns(CacheWarning, match="chmod go-w"):
            assert sf.compile(polynomial)(2.0) == 17.0
        assert not list(folder.iterdir())
        path.chmod(0o755)
    folder.parent.chmod(0o1777)  # there only the owner may move a folder
    assert sf.compile(polynomial)(2.0) == 17.0 and len(list(folder.iterdir())) == 1


@POSIX
def test_a_link_in_place_of_an_entry_is_not_followed(folder, tmp_path):
    sf.compile(polynomial)(2.0)
    path = entry(folder)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(CacheWarning, match="made anew"):
        assert sf.compile(polynomial)(2.0) == 17.0


def test_a_full_disk_costs_nothing_but_time(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.os, "replace", full)
    with pytest.warns(CacheWarning, match="not kept") as caught:
        assert sf.compile(polynomial)(2.0) == 17.0
        assert sf.compile(lambda x: x * 2.0)(2.0) == 4.0
    assert len(caught) == 1
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_state", cache._State())
    (tmp_path / "file").write_text("not a folder")
    with (
        config.override(cache_dir=str(tmp_path / "file" / "cache")),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        assert sf.compile(polynomial)(2.0) == 17.0
    assert caught and all(w.category is CacheWarning for w in caught)


def test_it_is_bounded_and_the_entries_used_last_stay(folder):
    with config.override(cache_size=1):
        image_size = 0
        names = []
        from symflux.codegen.llvm.image import Image

        for n in range(40):
            image = Image((bytes([n]) * 50_000,), ("entry",))
            names.append(cache.fingerprint("graph", str(n)))
            cache.remember(names[-1], image)
            image_size = len(image.to_bytes())
            os.utime(folder / f"{names[-1]}.sfc", (n, n))
        cache._shrink(folder)
    left = {p.stem for p in folder.glob("*.sfc")}
    assert sum(p.stat().st_size for p in folder.glob("*.sfc")) <= 2**20
    assert left == set(names[-len(left) :]) and len(left) * image_size > 2**19


def test_rubbish_of_processes_that_died_goes(folder):
    sf.compile(polynomial)(2.0)
    name = entry(folder).name
    dead, young = folder / f"{name}.1-0.new", folder / f"{name}.2-0.new"
    dead.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(dead, (0, 0))
    cache._shrink(folder)
    assert not dead.exists() and young.exists()


def test_what_makes_other_code_makes_another_entry(folder):
    x = np.ones(4)
    sf.compile(lambda x: x * 2.0)(x)
    sf.compile(lambda x: x * 2.0, donate=("x",))(x.copy())
    sf.compile(lambda x: x * 3.0)(x)
    sf.compile(lambda x: x * 2.0)(x.astype("f4"))
    sf.compile(lambda x: [x * 2.0])(x)
    sf.compile(lambda x: (x * 2.0,))(x)
    sf.compile(lambda x: x[0] * 2.0)((x,))
    assert counts() == (0, 7, 0)


def test_the_processor_and_the_versions_count(monkeypatch):
    before = cache.fingerprint("graph", "call")
    assert before == cache.fingerprint("graph", "call") != cache.fingerprint("graphc", "all")
    known = cache._environment()
    for word in ("llvmlite", "numpy", "symflux", "threads"):
        assert word in known
    monkeypatch.setattr(cache, "_environment", lambda: known.replace("x86", "x87") + "+avx1024")
    assert cache.fingerprint("graph", "call") != before


def test_passes_run_for_whoever_wants_to_see_them(folder, capsys):
    sf.compile(polynomial)(2.0)
    with config.override(print_after="all"):
        assert sf.compile(polynomial)(2.0) == 17.0
    assert "-- " in capsys.readouterr().err
    assert counts() == (0, 1, 0)


def test_switched_off(folder):
    with config.override(cache_dir="off"):
        assert sf.compile(polynomial)(2.0) == 17.0
        assert sf.cache_info().folder == ""
    assert not folder.exists() and counts() == (0, 0, 0)


def test_the_command(folder, capsys):
    from symflux.__main__ import main

    sf.compile(polynomial)(2.0)
    assert main(["cache"]) == 0
    assert "1 compiled functions" in capsys.readouterr().out
    assert main(["cache", "--clear"]) == 0
    assert sf.cache_info().entries == 0


def test_kernels_of_products_come_from_the_disk_unless_damaged(folder):
    """They are entries of their own: trusted, counted and removed like the others."""
    library.forget()
    a, b = np.random.default_rng(0).random((2, 48, 48), np.float32)
    with lowered(product_unrolled=0):
        np.testing.assert_allclose(sf.compile(lambda a, b: a @ b)(a, b), a @ b, rtol=1e-5)
        kernels = sorted(folder.glob("*.sfk"))
        sizes = [path.stat().st_size for path in folder.iterdir()]
        assert kernels and sf.cache_info()[3:] == (str(folder), 1, sum(sizes))

        def again(scale):
            library.forget()
            found = sf.compile(lambda a, b: np.exp(a @ b * 0 + scale) * (a @ b))(a, b)
            np.testing.assert_allclose(found, np.exp(scale) * (a @ b), rtol=1e-5)

        before = [path.read_bytes() for path in kernels]
        again(0.5)
        assert sorted(folder.glob("*.sfk")) == kernels
        for path in kernels:
            path.write_bytes(path.read_bytes()[:-1])
        with pytest.warns(CacheWarning, match="made anew"):
            again(0.25)
        assert [path.read_bytes() for path in kernels] == before
        again(0.125)
    library.forget()
    files = list(folder.iterdir())
    assert sf.cache_clear() == len(files) >= len(sizes) + 3 and not list(folder.iterdir())
