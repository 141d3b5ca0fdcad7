"""Trouble with the cache of compiled code costs the saving of time, never the answer.

And the cache removes nothing that is not its own."""

import os
import resource
import shutil
import subprocess
import sys
import time
import warnings

import pytest
from symflux.codegen.llvm.image import Image

import symflux as sf
from symflux import config
from symflux.errors import CacheWarning
from symflux.runtime import cache

from .test_cache import POSIX, counts, entry, folder, polynomial

__all__ = ["folder"]

pytestmark = POSIX
HOUR_AGO = time.time() - 7200.0


def answer():
    return sf.compile(polynomial)(2.0) == 17.0


def warned():
    """What is said while a function is compiled, which must work."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert answer()
    assert all(w.category is CacheWarning for w in caught)
    return [str(w.message) for w in caught]


def test_only_files_of_its_own_are_removed(folder):
    """A folder of the user's was cleaned of all that ended in ``.new`` or ``.sfc``."""
    assert answer()
    digest = "0" * 64
    theirs = [
        place / name
        for place in (folder, folder.parent)
        for name in (
            "thesis.tex.new",
            "a.sfc",
            "x.1-0.new",
            f"{digest}.sfc.new",
            f"{digest[1:]}.sfc",
        )
    ]
    theirs += [folder.parent / f"{digest}.sfc", folder.parent / f"{digest}.sfc.1-0.new"]
    for path in theirs:
        path.write_text("a year of work")
        os.utime(path, (HOUR_AGO, HOUR_AGO))
    inside = folder / f"{'1' * 64}.sfc"
    inside.mkdir()
    with config.override(cache_size=0):
        cache._shrink(folder)
    assert sf.cache_info().entries == 0
    assert answer() and sf.cache_info().entries == 1
    assert sf.cache_clear() == 1 and sf.cache_info().entries == 0
    assert all(path.read_text() == "a year of work" for path in theirs) and inside.is_dir()


def put_fifo(path):
    os.mkfifo(path)


def put_full_folder(path):
    path.mkdir()
    (path / "file").write_text("")


def put_socket(path):
    import socket

    before = os.getcwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def put_huge(path):
    path.write_bytes(b"")
    os.truncate(path, 2**40)


def put_unreadable(path):
    path.write_bytes(b"")
    path.chmod(0)


@pytest.mark.parametrize(
    "put",
    [put_fifo, put_socket, put_full_folder, put_unreadable, lambda path: path.mkdir(),
     lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to("nowhere"),
     put_huge],
    ids=["fifo", "socket", "folder", "unreadable", "empty folder", "device", "broken link", "huge"],
)  # fmt: skip
def test_something_else_in_place_of_an_entry(folder, put):
    assert answer()
    path = entry(folder)
    path.unlink()
    put(path)
    assert any("made anew" in text for text in warned())
    assert counts() == (0, 1, 1)
    assert answer()
    sf.cache_clear()
    assert answer()


@pytest.mark.parametrize(
    "broken",
    [
        lambda objects, names: ((b"garbage" * 99, *objects[1:]), names, ()),
        lambda objects, names: ((b"", *objects[1:]), names, ()),
        lambda objects, names: ((objects[0][: len(objects[0]) // 2], *objects[1:]), names, ()),
        lambda objects, names: ((bytes(len(objects[0])), *objects[1:]), names, ()),
        lambda objects, names: ((), names, ()),
        lambda objects, names: (objects, names[:1], ()),
        lambda objects, names: (objects, (*names, "nosuch"), ()),
        lambda objects, names: (objects, names, ("nosuch",)),
        lambda objects, names: (objects, names, ("memory", "threads", "memory")),
    ],
)
def test_an_entry_with_a_right_checksum_and_a_broken_object(folder, broken):
    assert answer()
    path = entry(folder)
    good = path.read_bytes()
    head = len(cache._MAGIC) + 32
    image = Image.from_bytes(good[head:])
    payload = Image(*broken(image.objects, image.names)).to_bytes()
    digest = cache._digest(path.stem.encode() + payload)
    path.write_bytes(cache._MAGIC + digest + payload)
    assert any("made anew" in text for text in warned())
    assert counts() == (0, 1, 1) and path.read_bytes() == good
    assert answer() and counts() == (1, 1, 1)


@pytest.mark.slow
def test_broken_services_in_an_entry_are_made_anew(tmp_path):
    """The pool and the allocator of a process come with the first entry that needs them."""
    script = """if 1:
        import glob, sys, numpy as np, symflux as sf
        from symflux.codegen.llvm.image import Image
        from symflux.runtime import cache
        x = np.arange(200000.0)
        assert np.array_equal(sf.compile(lambda x: x * 2.0 + 1.0)(x), x * 2.0 + 1.0)
        print(sf.cache_info()[:3])
        for path in glob.glob(sf.cache_info().folder + "/*"):
            data = open(path, "rb").read()
            image = Image.from_bytes(data[len(cache._MAGIC) + 32:])
            assert image.needs
            own = len(image.objects) - len(image.needs)
            bad = (*image.objects[:own], *(data[:99] for data in image.objects[own:]))
            payload = Image(bad, image.names, image.needs).to_bytes()
            name = path.rsplit("/", 1)[1].removesuffix(".sfc").encode()
            data = cache._MAGIC + cache._digest(name + payload) + payload
            open(path, "wb").write(data)
    """
    printed = [
        subprocess.run(
            [sys.executable, "-c", script], env=os.environ | {"SYMFLUX_CACHE_DIR": str(tmp_path)},
            capture_output=True, text=True, check=True,
        ).stdout.strip()
        for _ in range(2)
    ]  # fmt: skip
    assert printed == ["(0, 1, 0)", "(0, 0, 1)"]


@pytest.mark.parametrize(
    "chosen", ["~nosuchuser/x", "/dev/null", "/dev/null/x", "a\0b", "x" * 9999]
)
def test_a_folder_that_cannot_be(chosen, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cache, "_state", cache._State())
    with config.override(cache_dir=chosen):
        assert warned()
        assert warned() == []
        assert sf.cache_info().entries == sf.cache_clear() == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", ["", "many", "-1", "1e3", "99999999999999999999", "0", " 7 "])
def test_a_size_that_means_nothing(folder, monkeypatch, size):
    monkeypatch.setenv("SYMFLUX_CACHE_SIZE", size)
    said = warned()
    assert any("usual amount" in text for text in said) == (size not in ("0", " 7 "))
    assert sf.cache_info().entries == (size != "0")
    for value in (None, float("nan"), "12"):
        sf.cache_clear()
        monkeypatch.setattr(cache, "_state", cache._State())
        with config.override(cache_size=value):
            assert any("usual amount" in text for text in warned())


@pytest.mark.skipif(POSIX.args[0] or os.geteuid() == 0, reason="root reads everything")
@pytest.mark.parametrize("rights", [0o000, 0o300, 0o500])
@pytest.mark.parametrize("outer", [False, True])
def test_folders_without_rights(folder, rights, outer):
    assert answer()
    place = folder.parent if outer else folder
    place.chmod(rights)
    try:
        for f in (polynomial, lambda x: x * 2.0):
            with warnings.catch_warnings(record=True):
                warnings.simplefilter("always")
                assert sf.compile(f)(2.0) == f(2.0)
        sf.cache_info()
        with config.override(cache_size=0):
            cache._shrink(folder)
    finally:
        place.chmod(0o700)


def test_a_folder_that_is_only_read_still_serves(folder, monkeypatch):
    assert answer()
    os.utime(entry(folder), (HOUR_AGO, HOUR_AGO))

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(cache.os, "utime", refuse)
    assert warned() == [] and counts() == (1, 1, 0)


def test_no_file_descriptors_are_left(folder):
    """Entries that cannot be opened now are not removed, and are found again later."""
    assert answer()
    path = entry(folder)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        while True:
            try:
                held.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        cache._sources.cache_clear()
        cache._environment.cache_clear()
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            assert answer() and sf.compile(lambda x: x * 4.0)(2.0) == 8.0
            cache._sources()
    except OSError:
        pass  # of the last line
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert held and path.exists()
    hits = counts()[0]
    assert warned() == [] and counts()[0] == hits + 1


def test_source_files_with_pinned_times_are_told_apart(tmp_path):
    """Reproducible builds give all files one time; equal sizes are not rare."""
    root, record = tmp_path / "symflux", tmp_path / "RECORD"
    (root / "lower").mkdir(parents=True)
    source = root / "lower" / "plan.py"
    (root / "link.py").symlink_to("nowhere")

    def digest(text):
        source.write_text(text)
        os.utime(source, (315532800, 315532800))
        return cache._files_digest((root,), record)[0]

    first = digest("x = 1\n")
    assert cache._files_digest((root,), record)[0] == first
    assert digest("x = 2\n") != first
    before = cache._files_digest((root,), record)[0]
    record.write_text("plan.py,sha256=...")  # as an installer writes it down
    assert cache._files_digest((root,), record)[0] != before


def test_code_of_a_process_that_is_older_than_its_files_is_not_kept(folder, monkeypatch):
    """It may still run the files that were there before."""
    monkeypatch.setattr(cache, "LOADED", cache._sources()[1] - 1.0)
    assert warned() == [] and counts() == (0, 0, 0) and not folder.exists()


def test_a_folder_given_as_a_path(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_state", cache._State())
    with config.override(cache_dir=tmp_path / "c"):
        assert answer() and sf.cache_info().entries == 1
    shutil.rmtree(tmp_path / "c")
