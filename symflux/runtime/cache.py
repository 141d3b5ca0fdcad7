"""Compiled code kept on disk between processes.

An entry is found by what its code depends on, and nothing else: the canonical text of the graph,
how the call maps to it, the processor's real features, the versions of everything that takes part,
and the sources of this compiler. It holds object code that refers to no address of the process that
made it; captured arrays and other objects are given to it when it is loaded.

Nothing is loaded that somebody else could have written: the folder and the file must belong to this
user, and to nobody else's pen. Files are written aside and moved into place, so that many processes
may write at once; every entry carries a checksum, and one that does not match is made anew.
Whatever goes wrong with the disk costs the saving of time, never the answer; it is said once, as a
:class:`~symflux.errors.CacheWarning`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .. import config
from ..errors import CacheWarning
from ..version import __version__

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
_SUFFIX = ".sfc"
#: After how many entries written by one process the size of the folder is looked at.
_EVERY = 32
#: Seconds after which a file that was never moved into place is rubbish.
_STALE = 3600.0


class CacheInfo(NamedTuple):
    """What the cache did in this process, and what is on the disk.

    ``refused`` counts entries that were there and could not be trusted or read."""

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
    """The folder of the cache; None when it is switched off.

    The setting ``cache_dir``; by default a folder in the user's cache directory."""
    chosen = config.get("cache_dir")
    if chosen.strip().lower() in ("off", "0", "none", "no"):
        return None
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return Path(base, "symflux", "cache") if base else None
    if sys.platform == "darwin":
        return Path("~/Library/Caches/symflux").expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(base or "~/.cache").expanduser() / "symflux"
    except RuntimeError:  # a user without a home
        return None


def _mine(status: os.stat_result) -> bool:
    """Whether a file or folder is this user's, and only this user may write to it."""
    if not hasattr(os, "getuid"):
        return True  # its rights are not told by mode bits
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _usable_folder(create: bool) -> Path | None:
    """The folder, if there is one that can be trusted."""
    path = folder()
    if path is None:
        return None
    try:
        if create:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        _say(f"the cache of compiled code cannot be used: {error}")
        return None
    if not stat.S_ISDIR(status.st_mode) or not _mine(status):
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
            f"symflux {__version__} {_sources()}",
            machine.maker,
            f"numpy {np.__version__} {sys.implementation.cache_tag} {sys.abiflags} "
            f"{sys.implementation.name} {sys.version}",
            f"{machine.triple} {machine.cpu} {machine.features} {machine.vector_bytes}",
            f"threads {available()} of {processors()}",
        )
    )


def _sources() -> str:
    """The sizes and times of the compiler's own files: one that changed makes other code."""
    import symflux.codegen

    found = blake2b(digest_size=32)
    for root in (Path(__file__).parents[1], Path(symflux.codegen.__file__).parent):
        for path, status in sorted(_python_files(str(root))):
            found.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return found.hexdigest()


def _python_files(root: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
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
    from ..codegen.llvm.image import Image

    path = _usable_folder(create=False)
    refused = _state.refused
    data = None if path is None else _read(path / (name + _SUFFIX))
    if data is None:
        _state.misses += refused == _state.refused
        return None
    head = len(_MAGIC)
    digest, payload = data[head : head + 32], data[head + 32 :]
    try:
        if data[:head] != _MAGIC or _digest(name.encode() + payload) != digest:
            raise ValueError("it is damaged")
        image = Image.from_bytes(payload)
    except ValueError as error:
        _refuse(path / (name + _SUFFIX), str(error))  # type: ignore[operator]
        return None
    _state.hits += 1
    return image


def _read(path: Path) -> bytes | None:
    """The contents of a file of this user's; None where there is no such file."""
    try:
        opened = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        _refuse(path, str(error))
        return None
    with open(opened, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or not _mine(status):
            _refuse(path, "others than you may write to it")
            return None
        try:
            data = file.read()
            if time.time() - status.st_mtime > _STALE:
                os.utime(path)  # the entries that were used last stay
        except OSError as error:
            _refuse(path, str(error))
            return None
    return data


def _refuse(path: Path, why: str) -> None:
    """An entry is not used: say so, and make room for a good one."""
    _state.refused += 1
    _say(f"compiled code in {path.parent} is made anew: {why}")
    with contextlib.suppress(OSError):
        path.unlink()


def remember(name: str, image: Image) -> None:
    """Keep an image under this name."""
    path = _usable_folder(create=True)
    if path is None or _state.broken:
        return
    payload = image.to_bytes()
    digest = _digest(name.encode() + payload)
    try:
        _write(path, name + _SUFFIX, _MAGIC + digest + payload)
    except OSError as error:
        _state.broken = True
        _say(f"compiled code is not kept: {error}")
        return
    if _state.written % _EVERY == 0:
        _shrink(path)
    _state.written += 1


def _write(path: Path, name: str, data: bytes) -> None:
    """A file that appears whole or not at all."""
    aside = path / f"{name}.{os.getpid()}-{next(_numbers)}.new"
    opened = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(opened, "wb") as file:
            file.write(data)
        os.replace(aside, path / name)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


def _files(path: Path) -> list[tuple[float, int, str]]:
    """(time of last use, size, path) of all files of the cache."""
    found = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.endswith((_SUFFIX, ".new")):
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # another process removed it
                    found.append((status.st_mtime, status.st_size, entry.path))
    except FileNotFoundError:
        pass
    return found


def _shrink(path: Path) -> None:
    """Remove what was not used for longest, until the folder is well below its bound."""
    files = sorted(_files(path))
    limit = config.get("cache_size") * 2**20
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
    sizes = [size for _, size, name in files if name.endswith(_SUFFIX)]
    return CacheInfo(
        _state.hits, _state.misses, _state.refused, str(path) if path else "", len(sizes),
        sum(sizes),
    )  # fmt: skip


def cache_clear() -> int:
    """Remove all compiled code from the disk; how many entries that were.

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


def through(name: Callable[[], str], make: Callable[[], Image]) -> Image:
    """The image of this name from the disk; otherwise what ``make`` makes, which is kept."""
    if folder() is None:
        return make()
    found = recall(key := name())
    if found is None:
        found = make()
        remember(key, found)
    return found
