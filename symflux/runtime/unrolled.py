"""One line on standard error while a compilation takes long: which line was unrolled, how often.

A loop of Python's is recorded iteration by iteration. Nobody sees that in the program, only that
its first call takes long; the line says where it comes from, and what to write instead.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from .. import config
from ..frames import PLACES
from ..ir.graph import Graph
from ..ir.op import Kind

__all__ = ["told", "unrolled_line"]

#: Graphs of fewer nodes, and lines that were met fewer times, are not what takes long.
_NODES, _TIMES = 500, 50


@contextmanager
def told(graph: Graph, start: float) -> Iterator[None]:
    """Compile a graph inside. If that is not over so many seconds after ``start`` (of
    ``time.perf_counter``) as the setting ``unrolled`` says, a line on standard error says why."""
    seconds = config.get("unrolled")
    if not seconds or len(graph.nodes) < _NODES:
        yield
        return
    timer = threading.Timer(max(start + seconds - time.perf_counter(), 0.0), _tell, (graph,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if time.perf_counter() - start > seconds:
            timer.join()  # it may be about to speak


def _tell(graph: Graph) -> None:
    line = unrolled_line(graph)
    if line:
        print(line, file=sys.stderr, flush=True)


def _instructions(file: str, line: int) -> int:
    """How many instructions of a line have recorded something: each does once an iteration."""
    found: Counter[int] = Counter()
    for (code, _), (_, origin) in list(PLACES.items()):
        if origin is not None and (origin.file, origin.line) == (file, line):
            found[code] += 1
    return max(found.values(), default=1)


def unrolled_line(graph: Graph) -> str:
    """Which line of the user's most nodes come from, how often it was run, and what to write
    instead; empty where no line was run often."""
    sizes: Counter[tuple[str, int]] = Counter()
    for node in graph.nodes:
        if node.origin is not None and node.op.kind is not Kind.SOURCE:
            sizes[node.origin.file, node.origin.line] += 1
    if not sizes:
        return ""
    (file, number), size = sizes.most_common(1)[0]
    # what an iteration records once is there as often as the line was run; derivatives repeat it
    ops: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    origin = None
    for node in graph.nodes:
        found = node.origin
        if found is not None and (found.file, found.line) == (file, number):
            origin = found
            if node.op.kind is not Kind.SOURCE:
                ops[not found.rule][node.op.name] += 1
    counts = (ops[True] or ops[False]).values()
    times = min(n for n in counts if 8 * n >= max(counts))
    times = min(times, sum(counts) // _instructions(file, number))
    if times < _TIMES or origin is None:
        return ""
    source = origin.source
    source = f" `{source if len(source) <= 60 else source[:57] + '...'}`" if source else ""
    whole = sum(sizes.values())
    return (
        f"symflux: {graph.name} takes long to compile: {os.path.basename(file)}:{number}{source} "
        f"was unrolled {times:,} times ({size:,} of {whole:,} operations); write its loop as "
        "sf.fori_loop or sf.scan, or compute along an axis of arrays (SYMFLUX_UNROLLED=off hides "
        "this line)"
    )
