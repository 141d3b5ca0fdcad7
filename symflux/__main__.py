"""The command line: ``python -m symflux inspect``, ``bench`` and ``docs``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .bench import command as bench
from .errors import SymFluxError
from .inspect.pages import write
from .inspect.report import report
from .runtime.cache import cache_clear, cache_info
from .runtime.lowered import LEVELS

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m symflux", description="Look at generated code, measure it."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    look = commands.add_parser("inspect", help="print a function at any level of its compilation")
    look.add_argument("target", metavar="FILE:FUNCTION", help="a Python file and a function in it")
    look.add_argument("--level", choices=(*LEVELS, "all"), default="all", help="default: all")
    look.add_argument("--args", help='example arguments, such as "np.ones(3), 2.0"')
    measuring = commands.add_parser("bench", help="measure workloads beside other tools")
    bench.add_options(measuring)
    kept = commands.add_parser("cache", help="what compiled code is kept on disk")
    kept.add_argument("--clear", action="store_true", help="remove it")
    pages = commands.add_parser("docs", help="write the pages of docs/ that come from tables")
    pages.add_argument("folder", nargs="?", default="docs", type=Path, help="default: docs")
    return parser


def _cache(clear: bool) -> str:
    """What the cache of compiled code holds, or what was removed from it."""
    if clear:
        return f"removed {cache_clear()} files"
    info = cache_info()
    if not info.folder:
        return "compiled code is not kept on disk (SYMFLUX_CACHE_DIR)"
    return f"{info.folder}: {info.entries} compiled functions, {info.bytes / 2**20:.1f} MiB"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status (2 for a mistake of the user's)."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "inspect":
            print(report(options.target, options.level, options.args), end="")
        elif options.command == "bench":
            bench.run(options)
        elif options.command == "cache":
            print(_cache(options.clear))
        else:
            changed = write(options.folder)
            print("\n".join(f"wrote {path}" for path in changed) or "all pages are up to date")
    except SymFluxError as error:
        print(f"symflux: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
