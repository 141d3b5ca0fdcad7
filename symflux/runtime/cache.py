"""Compiled code kept on disk between processes.

An entry is found by what its code depends on, and nothing else: the canonical text of the graph,
how the call maps to it, the processor's real features, the versions of everything that takes part,
and the sources of this compiler. It holds object code that refers to no address of the process that
made it; captured arrays and other objects are given to it when it is loaded.

Nothing is loaded that somebody else could have written: the folder and the file must belong to this
user, and to nobody else's pen. Files are written aside and moved into place, so that many processes
may write at once; every entry carries a checksum, and one that does not match, or that cannot be
loaded, is made anew. Only files of this module's own making are ever removed: their names have a
pattern, and they lie in a folder of their own inside of the one that was chosen.
Whatever goes wrong with the disk costs the saving of time, never the answer; it is said once, as a
:class:`~symflux.errors.CacheWarning`.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import stat
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import config
from ..errors import CacheWarning
from ..version import __version__
from .execute import LOADED

try:  # hashlib would load OpenSSL first
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

if TYPE_CHECKING:
    from ..codegen.llvm.image import Image

__all__ = [
    "CacheInfo", "cache_clear", "cache_info", "fingerprint", "folder", "recall", "remember",
    "through",
]  # fmt: skip

_MAGIC = b"symflux code 1\n"
#: The folder inside of the chosen one, and what the names of its files look like.
_FOLDER = "symflux-code"
_SUFFIX = ".sfc"
_KERNEL = ".sfk"
_ENTRY = re.compile(r"[0-9a-f]{64}\.sf[ck]")
_ASIDE = re.compile(r"[0-9a-f]{64}\.sf[ck]\.\d+-\d+\.new")
#: After how many entries written by one process the size of the folder is looked at.
_EVERY = 32
#: Seconds after which a file that was never moved into place is rubbish.
_STALE = 3600.0
#: Bytes that no entry has.
_MOST = 2**31
#: Failures to write that the next try would meet again.
_LASTING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class CacheInfo(NamedTuple):
    """What the cache did in this process, and what is on the disk.

    ``refused`` counts entries that were there and could not be trusted or read. ``bytes`` are those
    of kernels that programs share, too."""

    hits: int
    misses: int
    refused: int
    folder: str
    entries: int
    bytes: int


class _State:
    """What happened in this process."""

    def __init__(self) -> None:
        self.hits = self.misses = self.refused = self.written = 0
        self.broken = False  # writing failed: it is not tried again
        self.said: set[str] = set()


_state = _State()
_numbers = itertools.count()  # tells apart what threads write at once


def _digest(data: bytes) -> bytes:
    return bytes(blake2b(data, digest_size=32).digest())


def _say(message: str) -> None:
    """Warn, once for each text."""
    if message not in _state.said:
        _state.said.add(message)
        warnings.warn(message, CacheWarning, stacklevel=2)


# --- where ----------------------------------------------------------------------------------------


def folder() -> Path | None:
    """The folder of the cache; None when it is switched off, or there is no such place.

    Inside of what the setting ``cache_dir`` names; by default of one in the user's cache
    directory."""
    chosen = os.fspath(config.get("cache_dir")).strip()
    if chosen.lower() in ("off", "0", "none", "no"):
        return None
    try:
        base = Path(chosen).expanduser() if chosen else _usual_base()
    except RuntimeError as error:  # a user without a home, or one that does not exist
        if chosen:
            _say(f"the cache of compiled code cannot be used: {chosen}: {error}")
        return None
    return None if base is None else base / _FOLDER


def _usual_base() -> Path | None:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return Path(base, "symflux", "cache") if base else None
    if sys.platform == "darwin":
        return Path("~/Library/Caches/symflux").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "symflux"


def _mine(status: os.stat_result) -> bool:
    """Whether a file or folder is this user's, and only this user may write to it."""
    if not hasattr(os, "getuid"):
        return True  # its rights are not told by mode bits
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _safe_around(status: os.stat_result) -> bool:
    """Whether nobody else may put a folder in place of one in here."""
    if not hasattr(os, "getuid"):
        return True
    others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return status.st_uid in (os.getuid(), 0) and (not others or bool(status.st_mode & stat.S_ISVTX))


def _usable_folder(create: bool) -> Path | None:
    """The folder, if there is one that can be trusted."""
    path = folder()
    if path is None:
        return None
    try:
        if create:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fine = stat.S_ISDIR((around := path.parent.stat()).st_mode) and _safe_around(around)
        if fine:
            if create:
                path.mkdir(mode=0o700, exist_ok=True)
            fine = stat.S_ISDIR((status := path.stat()).st_mode) and _mine(status)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _say(f"the cache of compiled code cannot be used: {error}")
        return None
    if not fine:
        _say(
            f"the cache of compiled code in {path} is not used: others than you may write to it. "
            "Make it yours (chmod go-w), or set SYMFLUX_CACHE_DIR to another folder or to off"
        )
        return None
    return path


# --- what an entry is found by --------------------------------------------------------------------


@cache
def _environment() -> str:
    """What all code of this process depends on."""
    import numpy as np

    from ..codegen.llvm.machine import host
    from ..codegen.threads import available, processors

    machine = host()
    return "\n".join(
        (
            f"symflux {__version__} {_sources()[0]}",
            machine.maker,
            f"numpy {np.__version__} {sys.implementation.cache_tag} {sys.abiflags} "
            f"{sys.implementation.name} {sys.version}",
            f"{machine.triple} {machine.cpu} {machine.features} {machine.vector_bytes}",
            f"threads {available()} of {processors()}",
        )
    )


@cache
def _sources() -> tuple[str, float]:
    """A digest of what tells the versions of the compiler's own files apart, and when the last of
    them changed."""
    import symflux.codegen

    here = Path(__file__).parents[1]
    return _files_digest(
        (here, Path(symflux.codegen.__file__).parent),
        here.parent / f"symflux-{__version__}.dist-info" / "RECORD",
    )


def _files_digest(roots: Iterable[Path], record: Path) -> tuple[str, float]:
    """Sizes and times of Python files, and what an installer wrote down of their contents.

    Times of modification may be pinned, so that different files have the same ones; the times at
    which the file system put them there cannot be set, but not every file system has them."""
    found = blake2b(digest_size=32)
    newest = 0.0
    for root in roots:
        for path, status in sorted(_python_files(str(root))):
            text = f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n"
            found.update(text.encode("utf-8", "surrogateescape"))
            newest = max(newest, status.st_ctime, status.st_mtime)
    with contextlib.suppress(FileNotFoundError):
        found.update(record.read_bytes())
    return found.hexdigest(), newest


def _python_files(root: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                with contextlib.suppress(FileNotFoundError):  # a link to nowhere
                    yield entry.path[len(root) :], entry.stat()
            elif entry.is_dir() and entry.name != "__pycache__":
                for path, status in _python_files(entry.path):
                    yield f"/{entry.name}{path}", status


def fingerprint(graph_text: str, call_text: str) -> str:
    """The name of an entry: a digest of all that its code depends on."""
    whole = "\0".join((_environment(), graph_text, call_text))
    return _digest(whole.encode()).hex()


# --- entries --------------------------------------------------------------------------------------


def recall(name: str) -> Image | None:
    """The image of this name, if it is there and can be trusted."""
    refused = _state.refused
    found = _look_up(name, _SUFFIX)
    _state.misses += found is None and refused == _state.refused
    return found


def _look_up(name: str, suffix: str) -> Image | None:
    from ..codegen.llvm.image import Image

    path = _usable_folder(create=False)
    data = None if path is None else _read(path / (name + suffix))
    if path is None or data is None:
        return None
    head = len(_MAGIC)
    digest, payload = data[head : head + 32], data[head + 32 :]
    try:
        if data[:head] != _MAGIC or _digest(name.encode() + payload) != digest:
            raise ValueError("it is damaged")
        return Image.from_bytes(payload)
    except ValueError as error:
        _refuse(path, error)
        return None


def _read(path: Path) -> bytes | None:
    """The contents of a file of this user's; None where there is no such file."""
    # a FIFO does not wait for somebody to write to it
    flags = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    try:
        opened = os.open(path, os.O_RDONLY | sum(flags))
        try:
            status = os.fstat(opened)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("it is no file")
            if not _mine(status):
                raise ValueError("others than you may write to it")
            if status.st_size > _MOST:
                raise ValueError("it is damaged")
            with open(opened, "rb", closefd=False) as file:
                data = file.read()
            if time.time() - status.st_mtime > _STALE:
                with contextlib.suppress(OSError):
                    os.utime(path)  # the entries that were used last stay
        finally:
            os.close(opened)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _refuse(path.parent, error)
        return None
    return data


def _refuse(path: Path, why: BaseException) -> None:
    """An entry is not used: say so. A good one will be put in its place."""
    _state.refused += 1
    reason = (why.strerror if isinstance(why, OSError) else None) or str(why)
    _say(f"compiled code in {path} is made anew: {reason}")


def remember(name: str, image: Image, suffix: str = _SUFFIX) -> None:
    """Keep an image under this name."""
    path = _usable_folder(create=True)
    if path is None or _state.broken:
        return
    payload = image.to_bytes()
    digest = _digest(name.encode() + payload)
    try:
        _write(path, name + suffix, _MAGIC + digest + payload)
    except OSError as error:
        _state.broken = error.errno in _LASTING
        _say(f"compiled code is not kept in {path}: {error.strerror}")
        return
    if _state.written % _EVERY == 0:
        _shrink(path)
    _state.written += 1


def _write(path: Path, name: str, data: bytes) -> None:
    """A file that appears whole or not at all."""
    aside = path / f"{name}.{os.getpid()}-{next(_numbers)}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    opened = os.open(aside, flags, 0o600)
    try:
        with open(opened, "wb") as file:
            file.write(data)
        if (path / name).is_dir():
            os.rmdir(path / name)
        os.replace(aside, path / name)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


def _files(path: Path) -> list[tuple[float, int, str]]:
    """(time of last use, size, path) of all files of the cache."""
    found = []
    with contextlib.suppress(OSError, ValueError), os.scandir(path) as entries:
        for entry in entries:
            if _ENTRY.fullmatch(entry.name) or _ASIDE.fullmatch(entry.name):
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue  # another process removed it
                if not stat.S_ISDIR(status.st_mode):
                    found.append((status.st_mtime, status.st_size, entry.path))
    return found


def _limit() -> int:
    """The bytes that may be kept."""
    try:
        wanted = config.get("cache_size")
        if not 0 <= wanted < 2**40:
            raise ValueError(f"the setting cache_size is {wanted}, which is no number of MiB")
    except (TypeError, ValueError) as error:
        _say(f"compiled code is kept in the usual amount: {error}")
        wanted = config.SETTINGS["cache_size"].default
    return int(wanted * 2**20)


def _shrink(path: Path) -> None:
    """Remove what was not used for longest, until the folder is well below its bound."""
    files = sorted(_files(path))
    limit = _limit()
    total = sum(size for _, size, _ in files)
    now = time.time()
    target = limit if total <= limit else limit * 3 // 4
    for used, size, name in files:
        stale = name.endswith(".new") and now - used > _STALE
        if total > target or stale:
            try:
                os.unlink(name)
            except OSError:
                continue
            total -= size


# --- for users ------------------------------------------------------------------------------------


def cache_info() -> CacheInfo:
    """How often compiled code came from the disk in this process, and what lies there.

    >>> cache_info().hits >= 0
    True
    """
    path = folder()
    files = _files(path) if path is not None else []
    sizes = [size for _, size, name in files if not name.endswith(".new")]
    entries = sum(name.endswith(_SUFFIX) for _, _, name in files)
    return CacheInfo(
        _state.hits, _state.misses, _state.refused, str(path) if path else "", entries,
        sum(sizes),
    )  # fmt: skip


def cache_clear() -> int:
    """Remove all compiled code from the disk; how many files that were.

    >>> from symflux import config
    >>> with config.override(cache_dir="off"):
    ...     cache_clear()
    0
    """
    path = folder()
    count = 0
    for _, _, name in _files(path) if path is not None else []:
        try:
            os.unlink(name)
        except OSError:
            continue
        count += 1
    return count


def through(
    name: Callable[[], str], make: Callable[[], Image], load: Callable[[Image], Any]
) -> Any:
    """What ``load`` makes of the image of this name from the disk, or of what ``make`` makes, which
    is kept."""
    key = _key(name)
    if key is None:
        return load(make())
    found = recall(key)
    if found is not None:
        try:
            loaded = load(found)
        except Exception as error:  # whatever is wrong with it, a good one can be made
            path = folder()
            assert path is not None
            _refuse(path, error)
        else:
            _state.hits += 1
            return loaded
    made = make()
    loaded = load(made)
    remember(key, made)
    return loaded


class Kernels:
    """The kernels of contractions that programs share, beside the entries."""

    def recall(self, name: str) -> Image | None:
        """The image that holds the kernel of this name, if it can be trusted."""
        key = _key(lambda: fingerprint("kernel", name))
        return None if key is None else _look_up(key, _KERNEL)

    def remember(self, name: str, image: Image) -> None:
        """Keep the image for the kernel of this name."""
        key = _key(lambda: fingerprint("kernel", name))
        if key is not None:
            remember(key, image, _KERNEL)


def _key(name: Callable[[], str]) -> str | None:
    """The name of an entry; None where the disk is not used."""
    if folder() is None:
        return None
    try:
        if _sources()[1] > LOADED:  # what this process runs may not be what is there now
            return None
        return name()
    except OSError as error:  # the compiler's own files cannot be looked at
        _say(f"compiled code is not kept: {error.strerror}")
        return None
