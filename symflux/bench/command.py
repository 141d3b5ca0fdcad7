"""``python -m symflux bench``: options in, the table out."""

from __future__ import annotations

import argparse
import compileall
import importlib
import importlib.metadata
import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..codegen.llvm.machine import at_level, missing
from ..errors import SymFluxError
from ..runtime.limits import Limits, measure
from .row import Row
from .runner import Measured, Options, known_tools, measure_row
from .table import as_json, as_markdown, as_text, from_json, limits_of
from .workloads import all_rows

__all__ = ["add_options", "run"]


class BenchError(SymFluxError):
    """Options of ``bench`` that name nothing."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "select", nargs="*", metavar="WORDS",
        help='rows whose name holds all words of one of these, such as "mlp gradient"',
    )  # fmt: skip
    parser.add_argument("--peers", default="", help="names or parts of names, separated by commas")
    parser.add_argument("--quick", action="store_true", help="few rounds, short bursts")
    parser.add_argument("--threads", type=int, default=1, help="of every tool (default: 1)")
    parser.add_argument(
        "--target", default="", metavar="NAME",
        help="a column more: SymFlux with code for it, such as x86-64-v3 on wider processors",
    )  # fmt: skip
    parser.add_argument(
        "--python", action="append", default=[], metavar="TOOL=PATH",
        help="the interpreter of a tool that is installed elsewhere",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    parser.add_argument(
        "--resume", action="store_true",
        help="keep the rows that the JSON file has, measure those it lacks, show all",
    )  # fmt: skip
    parser.add_argument(
        "--budget", type=float, metavar="SECONDS", help="begin no further row after so long"
    )
    parser.add_argument("--list", action="store_true", help="names of the rows, and no more")


def select(rows: Sequence[Row], patterns: Sequence[str]) -> list[Row]:
    """The rows whose name holds all words of one of the patterns; all without any."""
    wanted = [pattern.split() for pattern in patterns]
    if not wanted:
        return list(rows)
    return [row for row in rows if any(all(w in row.name for w in words) for words in wanted)]


def run(options: argparse.Namespace) -> None:
    """Measure and print.

    Raises:
        BenchError: when no row, no peer or no target has such a name.
    """
    rows = select(all_rows(), options.select)
    if not rows:
        raise BenchError(f"no row is named like {', '.join(options.select)}", right="--list")
    if options.list:
        print("\n".join(f"{row.name}: {', '.join(row.tools)}" for row in rows))
        return
    peers = known_tools([p for p in options.peers.split(",") if p])
    if options.peers and not peers:
        raise BenchError(f"no peer is named like {options.peers}")
    pythons = dict(entry.split("=", 1) for entry in options.python)
    burst, rounds = (0.005, 3) if options.quick else (0.02, 9)
    _check_target(options.target)
    how = Options(peers, options.threads, burst, rounds, pythons, target=options.target)
    before = _before(options)
    _compile_sources()
    limits = limits_of(before) if before else measure(options.threads)
    results = {m.row.name: m for m in from_json(before, all_rows())} if before else {}
    place = {row.name: n for n, row in enumerate(all_rows())}
    begin = time.monotonic()
    for row in rows:
        if options.budget is not None and time.monotonic() - begin > options.budget:
            break
        if row.name not in results:
            results[row.name] = measure_row(row, how, _progress)
            # written each time, so that what has been measured is kept if a later row fails
            _write(options, sorted(results.values(), key=lambda m: place[m.row.name]), limits)
    _progress("")
    ordered = sorted(results.values(), key=lambda m: place[m.row.name])
    _write(options, ordered, limits)
    print(as_text(ordered, limits, options.target))


def _before(options: argparse.Namespace) -> Any:
    """What the JSON file holds, if it is to be resumed; None without one.

    Raises:
        BenchError: when no file is named, or it was measured with other threads or another target.
    """
    if not options.resume:
        return None
    if options.json is None:
        raise BenchError("--resume needs --json FILE")
    if not options.json.exists():
        return None
    data = json.loads(options.json.read_text())
    if data["limits"]["threads"] != options.threads:
        raise BenchError(f"{options.json} was measured with {data['limits']['threads']} threads")
    if (target := data.get("target", "")) != options.target:
        other = f"--target {target}" if target else "no --target"
        raise BenchError(f"{options.json} was measured with {other}")
    return data


def _check_target(name: str) -> None:
    """Refuse a target that does not exist, or that this processor cannot run."""
    if not name or name == "native":
        return
    try:
        at_level(name)
    except ValueError as error:
        raise BenchError(f"--target {name}: {error}") from None
    if absent := missing(name):
        raise BenchError(f"--target {name}: this processor does not have {', '.join(absent)}")


def _compile_sources() -> None:
    """Write SymFlux's bytecode, as an installer does for every package: a source tree that was
    just changed would pay for that in the first row."""
    for package in ("symflux", "symflux.codegen"):
        for folder in importlib.import_module(package).__path__:
            compileall.compile_dir(folder, quiet=2)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _write(options: argparse.Namespace, results: list[Measured], limits: Limits) -> None:
    if options.json:
        found = as_json(results, limits, environment(), options.target)
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(as_markdown(results, limits, options.target))


def environment() -> dict[str, Any]:
    """The versions that the figures belong to."""
    versions = {}
    for name in ("symflux", "numpy", "llvmlite", "jax", "torch", "casadi", "numba", "pytensor"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version(), "machine": platform.machine()} | versions
