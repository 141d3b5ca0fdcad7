"""Runs rows: a worker for each tool, results compared first, then timed in turns.

All workers of a row live at the same time and are timed in short bursts, one after the other,
round by round, so that a machine that becomes slower or faster does so for all of them. With one
thread they are all bound to the same core.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .row import Row
from .tools import FOR_TARGET, INTO, ON_BUFFERS, OWN, TOOLS, builder_of

__all__ = ["Measured", "Options", "Outcome", "measure_row"]


@dataclass(frozen=True)
class Options:
    """How rows are measured: tools beside SymFlux, threads of each, seconds of a burst, rounds;
    ``pythons`` are interpreters of tools that are not installed beside SymFlux; ``target`` is one
    that SymFlux's code is made for too, beside this machine."""

    peers: tuple[str, ...]
    threads: int = 1
    burst: float = 0.02
    rounds: int = 9
    pythons: Mapping[str, str] = field(default_factory=dict)
    patience: float = 300.0
    target: str = ""


@dataclass
class Outcome:
    """What one tool did: seconds of a call (the best and the median burst), seconds of compiling
    (cold, and from the disk cache where there is one), bytes of memory that calls need beyond the
    imported tool; or why there is nothing."""

    tool: str
    best: float = 0.0
    median: float = 0.0
    compile: float = 0.0
    cached: float | None = None
    memory: int = 0
    peak: int = 0
    problem: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def is_timed(self) -> bool:
        return not self.problem


@dataclass
class Measured:
    """A row and what each tool did, SymFlux first."""

    row: Row
    outcomes: list[Outcome]

    def of(self, tool: str) -> Outcome | None:
        return next((o for o in self.outcomes if o.tool == tool and o.is_timed), None)

    @property
    def best_peer(self) -> Outcome | None:
        """The fastest of the others."""
        others = [o for o in self.outcomes if o.tool not in OWN and o.is_timed]
        return min(others, key=self._against, default=None)

    def beside(self, peer: Outcome) -> Outcome | None:
        """What SymFlux did under the conditions of a peer: arrays for the results are given to it
        where the peer works on buffers bound beforehand (unless making them is faster)."""
        ours, into = self.of("symflux"), self.of(INTO)
        if ours is None or into is None or peer.tool not in ON_BUFFERS:
            return ours
        return min(ours, into, key=lambda o: o.best)

    def _against(self, peer: Outcome) -> float:
        ours = self.beside(peer)
        return peer.best / ours.best if ours else peer.best

    @property
    def ratio(self) -> float | None:
        """How many times as long the best peer takes."""
        peer = self.best_peer
        return self._against(peer) if peer and self.of("symflux") else None


#: Loads this package by its folder, so that it works where SymFlux is not installed.
_START = f"""
import importlib.util, sys
folder = {str(Path(__file__).parent)!r}
spec = importlib.util.spec_from_file_location("bench", folder + "/__init__.py")
sys.modules["bench"] = importlib.util.module_from_spec(spec)
from bench.worker import main
sys.exit(main(*sys.argv[1:]))
"""


class Worker:
    """A process that holds one implementation of a row."""

    def __init__(
        self,
        row: Row,
        tool: str,
        folder: Path,
        options: Options,
        cache: Path,
        started: bool = True,
    ) -> None:
        self.tool = tool
        self.patience = options.patience
        python = options.pythons.get(tool, sys.executable)
        state = "started" if started else "imported"
        self.process = subprocess.Popen(
            [python, "-P", "-c", _START, tool, row.name, str(folder), state],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(options.threads, cache, options.target if tool == FOR_TARGET else ""),
            text=True,
        )
        self.errors: list[str] = []
        # read all the time, so that the pipe is never full
        self.reader = threading.Thread(target=self._read_errors, daemon=True)
        self.reader.start()
        self.single = options.threads == 1
        self.state: dict[str, Any] = {}

    def wait(self) -> None:
        """Until the tool is imported, or has failed to be."""
        self.state = self.ask(None)

    def build(self) -> dict[str, Any]:
        """Build, with one thread on one core; or why the tool could not be imported."""
        if "imported" not in self.state:
            return self.state
        if self.single and hasattr(os, "sched_setaffinity"):
            for thread in os.listdir(f"/proc/{self.process.pid}/task"):
                os.sched_setaffinity(int(thread), {max(os.sched_getaffinity(0))})
        return self.ask({"build": True})

    def ask(self, command: dict[str, Any] | None) -> dict[str, Any]:
        """The answer to a command; what went wrong if the process ended or took too long."""
        assert self.process.stdin is not None and self.process.stdout is not None
        if command is not None:
            with contextlib.suppress(BrokenPipeError):  # it has ended: reading says so below
                self.process.stdin.write(json.dumps(command) + "\n")
                self.process.stdin.flush()
        line = _read_line(self.process, self.patience)
        if line is None:
            self.process.kill()
            return {"error": f"no answer within {self.patience:.0f} s"}
        if not line:
            self.reader.join()
            last = self.errors[-1].strip() if self.errors else f"status {self.process.wait()}"
            return {"error": f"ended: {last}"[:300]}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def pause(self) -> None:
        """Stop the process while another one is timed: threads of some runtimes go on spinning for
        a fifth of a second after their work, on the cores that the other one needs."""
        if not self.single and hasattr(signal, "SIGSTOP"):
            self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a paused process run."""
        if not self.single and hasattr(signal, "SIGCONT"):
            self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.go_on()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()
        assert self.process.stdout is not None and self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line)
            del self.errors[:-50]


def _read_line(process: subprocess.Popen[str], patience: float) -> str | None:
    """A line of the process's output; None when it does not come in time."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], patience)
    return process.stdout.readline() if ready else None


def _environment(threads: int, cache: Path, target: str = "") -> dict[str, str]:
    """The same number of threads for everybody, a cache that nobody has used, and the target that
    SymFlux makes code for, if it is not as usual."""
    count = str(threads)
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA", "SYMFLUX", "VECLIB", "BLIS")
    given = {f"{name}_NUM_THREADS": count for name in names}
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen="
    given |= {
        "XLA_FLAGS": (flags + ("false" if threads == 1 else "true")).strip(),
        "NPROC": count,
        "JAX_PLATFORMS": "cpu",
        "SYMFLUX_CACHE_DIR": str(cache),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "torch"),
        "PYTENSOR_FLAGS": f"base_compiledir={cache / 'pytensor'}",
        "PYTHONWARNINGS": "ignore",
    }
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    return environment | given | ({"SYMFLUX_TARGET": target} if target else {})


def measure_row(
    row: Row, options: Options, progress: Callable[[str], None] = lambda text: None
) -> Measured:
    """Build a row with every tool that can, compare their results, time those that agree."""
    own = [t for t in OWN if t != FOR_TARGET or options.target]
    tools = [t for t in (*own, *options.peers) if builder_of(row, t) is not None]
    with tempfile.TemporaryDirectory(prefix="bench_") as name:
        folder = Path(name)
        outcomes, workers = _build(row, tools, folder, options, progress)
        try:
            _compare(row, outcomes, folder)
            alive = {t: w for t, w in workers.items() if outcomes[t].is_timed}
            _time(alive, outcomes, options)
        finally:
            for worker in workers.values():
                worker.close()
    return Measured(row, list(outcomes.values()))


def _build(
    row: Row, tools: Sequence[str], folder: Path, options: Options, progress: Callable[[str], None]
) -> tuple[dict[str, Outcome], dict[str, Worker]]:
    """All import at once; then they build one after the other, undisturbed."""
    cache = folder / "cache"
    workers = {tool: Worker(row, tool, folder, options, cache) for tool in tools}
    again = None
    if "symflux" in workers:  # its second process has only imported it
        again = Worker(row, "symflux", folder, options, cache, started=False)
    for worker in (*workers.values(), *([again] if again else [])):
        worker.wait()
    outcomes: dict[str, Outcome] = {}
    for tool, worker in workers.items():
        progress(f"{row.name}: {tool}")
        outcome = outcomes[tool] = Outcome(tool)
        facts = worker.build()
        outcome.problem = facts.get("missing") or facts.get("error", "")
        if outcome.is_timed:
            outcome.compile, outcome.peak = facts["compile"], facts["peak"]
            outcome.facts = facts
    if again is not None:  # a second process, for which the first has filled the disk cache
        facts = again.build()
        outcomes["symflux"].cached = facts.get("compile")
        again.close()
    return outcomes, workers


def _compare(row: Row, outcomes: dict[str, Outcome], folder: Path) -> None:
    """Results must agree with NumPy's, or where it has none with the first tool's that ran."""
    ran = [t for t, o in outcomes.items() if o.is_timed]
    if not ran:
        return
    reference = "numpy" if "numpy" in ran else ran[0]
    wanted = list(_arrays(folder / f"{reference}.npz"))
    for tool in ran:
        if tool != reference:
            outcomes[tool].problem = difference(
                list(_arrays(folder / f"{tool}.npz")), wanted, row.rtol
            )


def _arrays(path: Path) -> Iterator[Any]:
    with np.load(path, allow_pickle=False) as file:
        for name in file.files:
            yield file[name]


def difference(found: Sequence[Any], wanted: Sequence[Any], rtol: float) -> str:
    """In words, how results differ; empty where they agree to ``rtol`` of the largest element."""
    if len(found) != len(wanted):
        return f"{len(found)} results instead of {len(wanted)}"
    for n, (a, b) in enumerate(zip(found, wanted, strict=True)):
        if a.size != b.size:
            return f"result {n} has shape {a.shape} instead of {b.shape}"
        a, b = a.reshape(-1).astype(np.float64), b.reshape(-1).astype(np.float64)
        scale = float(np.max(np.abs(b), initial=0.0)) or 1.0
        off = float(np.max(np.abs(a - b), initial=0.0)) / scale
        if not off <= rtol:
            return f"result {n} is off by {off:.1e} (allowed {rtol:.0e})"
    return ""


def _time(workers: dict[str, Worker], outcomes: dict[str, Outcome], options: Options) -> None:
    """Bursts in turns; who begins changes from round to round."""
    counts: dict[str, int] = {}
    for tool, worker in list(workers.items()):
        answer = worker.ask({"burst": options.burst})
        if "error" in answer:
            outcomes[tool].problem = answer["error"]
            del workers[tool]
        else:
            counts[tool] = answer["count"]
    seconds: dict[str, list[float]] = {tool: [] for tool in workers}
    order = list(workers)
    for worker in workers.values():
        worker.pause()
    for _ in range(options.rounds):
        for tool in order:
            workers[tool].go_on()
            answer = workers[tool].ask({"time": counts[tool]})
            workers[tool].pause()
            seconds[tool].append(answer["seconds"] / counts[tool])
        order = order[1:] + order[:1]
    for worker in workers.values():
        worker.go_on()
    for tool, times in seconds.items():
        outcome = outcomes[tool]
        outcome.best, outcome.median = min(times), statistics.median(times)
        outcome.memory = workers[tool].ask({"memory": 2})["run"]


def known_tools(names: Sequence[str]) -> tuple[str, ...]:
    """The tools of these names, or whose names contain them (all without any), SymFlux left out."""
    peers = [t for t in TOOLS if t not in OWN]
    if not names:
        return tuple(peers)
    wanted = {t for n in names for t in peers if t == n or (n not in peers and n in t)}
    return tuple(t for t in peers if t in wanted)
