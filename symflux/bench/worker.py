"""One implementation of one row in a process of its own: it builds, shows its result, is timed.

Started by ``runner`` with a tool, the name of a row, a folder, and whether to let the tool start
(``tools.load``). Its first line says that the tool is imported. Then it answers commands, one line
of JSON each: ``{"build": true}`` makes the function and calls it (the result lies in the folder as
``TOOL.npz``), ``{"time": n}`` runs n calls, ``{"burst": s}`` finds how many calls take s seconds,
``{"memory": n}`` says what n calls need.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import timeit
from pathlib import Path
from typing import Any, TextIO

from .tools import Prepared, flat, load, prepare
from .workloads import find

__all__ = ["main"]


def memory(field: str = "VmHWM") -> int:
    """Bytes of this process: ``VmHWM`` at the most, ``VmRSS`` now. 0 where nothing tells."""
    with contextlib.suppress(OSError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0


def reset_peak() -> None:
    """Let the peak begin again at what is in use now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


class Timer:
    """Calls of a prepared function, without a wrapper around each."""

    def __init__(self, prepared: Prepared) -> None:
        function = getattr(prepared.function, "trigger", prepared.function)
        names = {f"a{i}": value for i, value in enumerate(prepared.args)}
        listed = [*names, *(f"{key}=k_{key}" for key in prepared.keywords)]
        names |= {f"k_{key}": value for key, value in prepared.keywords.items()}
        setup = "; ".join(["f = f_", *(f"{n} = {n}_" for n in names)])  # local variables
        given = {f"{n}_": value for n, value in names.items()} | {"f_": function}
        self.timer = timeit.Timer(f"f({', '.join(listed)})", setup, globals=given)

    def seconds(self, count: int) -> float:
        return self.timer.timeit(count)

    def burst(self, seconds: float) -> int:
        """How many calls take that long (at least one)."""
        count = 1
        while True:
            taken = self.seconds(count)
            if taken >= seconds / 2:
                return max(1, int(count * seconds / taken))
            count *= 2 if taken <= 0 else min(10, max(2, int(seconds / taken)))


def start(tool: str, name: str, folder: Path) -> tuple[Prepared, dict[str, Any]]:
    """Build a row; the time of the first call beyond that of a later one is its compilation."""
    import numpy as np

    row = find(name)
    inputs = row.inputs()
    np.ones(1) @ np.ones(1)
    imported = memory("VmRSS") - _bytes(inputs)
    begin = time.perf_counter()
    prepared = prepare(row, tool, inputs)
    result = prepared.function(*prepared.args, **prepared.keywords)
    first = time.perf_counter() - begin
    arrays = flat(result)
    np.savez(folder / f"{tool}.npz", *arrays)
    del result, arrays
    begin = time.perf_counter()
    prepared.function(*prepared.args, **prepared.keywords)
    second = time.perf_counter() - begin
    facts: dict[str, Any] = {"first": first, "compile": max(0.0, first - second)}
    facts["base"] = imported
    if tool == "symflux":
        facts |= cost(prepared)
    return prepared, facts


def _bytes(inputs: Any) -> int:
    from .row import map_tensors

    sizes: list[int] = []
    map_tensors(lambda value: sizes.append(getattr(value, "nbytes", 0)), inputs)
    return sum(sizes)


def cost(prepared: Prepared) -> dict[str, Any]:
    """Operations, and the bytes that any program for this row has to move."""
    stages = prepared.function.specialization().stages  # type: ignore[attr-defined]
    from symflux.codegen.cost import necessary_bytes, program_cost

    found = program_cost(stages.program)
    dtypes = {b.dtype for b in stages.program.buffers}
    return {
        "flops": found.flops,
        "moved": necessary_bytes(stages.program),
        "working_set": found.peak_memory,
        "dtype": "f64" if "f64" in dtypes else "f32",
        "kernels": len(found.kernels),
    }


def serve(prepared: Prepared, base: int, lines: TextIO, answer: Any) -> None:
    """Answer commands until there are no more."""
    timer = Timer(prepared)
    for line in lines:
        command = json.loads(line)
        if "time" in command:
            answer({"seconds": timer.seconds(command["time"])})
        elif "burst" in command:
            answer({"count": timer.burst(command["burst"])})
        else:
            reset_peak()
            timer.seconds(command["memory"])
            answer({"run": max(0, memory() - base)})


def main(tool: str, name: str, folder: str, started: str) -> int:
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what tools print goes to standard error

    def answer(value: dict[str, Any]) -> None:
        channel.write(json.dumps(value) + "\n")
        channel.flush()

    try:
        load(tool, started == "started")
        answer({"imported": True})
        sys.stdin.readline()
        prepared, facts = start(tool, name, Path(folder))
    except Exception as error:
        missing = isinstance(error, ImportError)
        answer({"missing" if missing else "error": f"{type(error).__name__}: {error}"[:400]})
        return 1
    answer(facts | {"peak": memory()})
    serve(prepared, facts["base"], sys.stdin, answer)
    return 0
