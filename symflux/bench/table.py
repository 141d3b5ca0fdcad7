"""What was measured, as text, Markdown and JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ..runtime.limits import Limits
from .row import Row
from .runner import Measured, Outcome
from .tools import FOR_TARGET, INTO, OWN

__all__ = ["as_json", "as_markdown", "as_text", "from_json", "limits_of", "summary"]

COLUMNS = (
    "workload", "size", "variant", "symflux us", "out= us", "target us", "best peer", "peer us",
    "times faster", "of limit", "compile ms", "cached ms", "peer ms", "memory MB", "peer MB",
)  # fmt: skip


def _number(value: float | None, digits: int = 3) -> str:
    """Three significant digits, without an exponent."""
    if value is None:
        return "-"
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}"


def of_limit(measured: Measured, limits: Limits) -> float | None:
    """The share of the machine's limit that SymFlux reaches: 1 is as fast as can be."""
    ours = measured.of("symflux")
    if ours is None or "flops" not in ours.facts:
        return None
    f = ours.facts
    return limits.seconds(f["flops"], f["moved"], f["working_set"], f["dtype"]) / ours.best


def _least(measured: Measured, field: str) -> float | None:
    """The least of the peers, whoever it is."""
    others = [o for o in measured.outcomes if o.tool not in OWN and o.is_timed]
    if field == "compile":
        others = [o for o in others if o.tool not in ("numpy", "torch")]  # they do not compile
    return min((getattr(o, field) for o in others), default=None)


def _cells(measured: Measured, limits: Limits) -> list[str]:
    row, ours, peer = measured.row, measured.of("symflux"), measured.best_peer
    into, target = measured.of(INTO), measured.of(FOR_TARGET)
    scaled = lambda v, by: _number(None if v is None else v * by)  # noqa: E731
    return [
        row.workload, row.size, row.variant,
        scaled(ours and ours.best, 1e6),
        scaled(into and into.best, 1e6),
        scaled(target and target.best, 1e6),
        peer.tool if peer else "-",
        scaled(peer and peer.best, 1e6),
        _number(measured.ratio),
        _number(of_limit(measured, limits), 2),
        scaled(ours and ours.compile, 1e3),
        scaled(ours and ours.cached, 1e3),
        scaled(_least(measured, "compile"), 1e3),
        scaled(ours and ours.memory, 1e-6),
        scaled(_least(measured, "memory"), 1e-6),
    ]  # fmt: skip


def summary(results: Sequence[Measured]) -> list[str]:
    """The geometric mean, the rows behind a peer, and what did not run."""
    ratios = [(m.ratio, m) for m in results if m.ratio is not None]
    lines = []
    if ratios:
        mean = math.exp(sum(math.log(r) for r, _ in ratios) / len(ratios))
        lines.append(f"geometric mean over {len(ratios)} rows: {mean:.2f} times the best peer")
    behind = sorted((pair for pair in ratios if pair[0] < 1), key=lambda pair: pair[0])
    lines.append(f"rows behind a peer: {len(behind)}")
    for ratio, m in behind:
        peer = m.best_peer
        assert peer is not None
        ours = m.beside(peer)
        assert ours is not None
        figures = f"{_number(ours.best * 1e6)} us against {_number(peer.best * 1e6)} us"
        lines.append(f"  {m.row.name}: {ratio:.2f}, {figures} ({peer.tool})")
    lines += _gradient_costs(results)
    problems = [(m.row.name, o) for m in results for o in m.outcomes if o.problem]
    lines += [f"not timed: {name}, {o.tool}: {o.problem}" for name, o in problems]
    return lines


def _gradient_costs(results: Sequence[Measured]) -> list[str]:
    """How many times as long as its function each derivative takes."""
    best = {
        (m.row.workload, m.row.size, m.row.variant): ours.best
        for m in results
        if (ours := m.of("symflux")) is not None
    }
    costs = {
        f"{workload} {size}": seconds / best[workload, size, "forward"]
        for (workload, size, variant), seconds in best.items()
        if variant in ("gradient", "jacobian") and (workload, size, "forward") in best
    }
    if not costs:
        return []
    mean = math.exp(sum(map(math.log, costs.values())) / len(costs))
    lines = [f"derivative against function: geometric mean {mean:.2f}"]
    return lines + [f"  {name}: {cost:.2f}" for name, cost in costs.items()]


def _columns(target: str) -> list[str]:
    """The heads of the columns; that of the target says which it is."""
    return [f"{target} us" if target and c == "target us" else c for c in COLUMNS]


def as_text(results: Sequence[Measured], limits: Limits, target: str = "") -> str:
    """Columns side by side; ``target`` is what the code of one of them was made for."""
    rows = [_columns(target), *(_cells(m, limits) for m in results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = [str(limits), ""]
    for row in rows:
        left = [c.ljust(w) for c, w in zip(row[:3], widths[:3], strict=True)]
        right = [c.rjust(w) for c, w in zip(row[3:], widths[3:], strict=True)]
        lines.append("  ".join(left + right).rstrip())
    return "\n".join([*lines, "", *summary(results)])


def as_markdown(results: Sequence[Measured], limits: Limits, target: str = "") -> str:
    """The same as a table of Markdown."""
    lines = [
        str(limits),
        "",
        _bar(_columns(target)),
        _bar(["---"] * 3 + ["---:"] * (len(COLUMNS) - 3)),
    ]
    lines += [_bar(_cells(m, limits)) for m in results]
    return "\n".join([*lines, "", *(f"- {line.strip()}" for line in summary(results)), ""])


def _bar(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def as_json(
    results: Sequence[Measured], limits: Limits, environment: dict[str, Any], target: str = ""
) -> Any:
    """Everything that was measured, seconds and bytes."""

    def outcome(o: Outcome) -> dict[str, Any]:
        if o.problem:
            return {"problem": o.problem}
        found = {name: getattr(o, name) for name in _FIGURES}
        return found | {name: o.facts[name] for name in _FACTS if name in o.facts}

    return {
        "environment": environment,
        "target": target,
        "limits": {
            "threads": limits.threads, "bandwidth": limits.bandwidth, "flops": limits.flops,
        },
        "rows": [
            {
                "workload": m.row.workload, "size": m.row.size, "variant": m.row.variant,
                "ratio": m.ratio, "of_limit": of_limit(m, limits),
                "tools": {o.tool: outcome(o) for o in m.outcomes},
            }
            for m in results
        ],
    }  # fmt: skip


_FIGURES = ("best", "median", "compile", "cached", "memory", "peak")
_FACTS = ("flops", "moved", "working_set", "dtype", "kernels")


def from_json(data: Any, rows: Iterable[Row]) -> list[Measured]:
    """What ``as_json`` wrote, for those of ``rows`` that are in it."""
    known = {(row.workload, row.size, row.variant): row for row in rows}
    found = []
    for entry in data["rows"]:
        row = known.get((entry["workload"], entry["size"], entry["variant"]))
        if row is not None:
            found.append(Measured(row, [_outcome(t, o) for t, o in entry["tools"].items()]))
    return found


def limits_of(data: Any) -> Limits:
    """The limits that ``as_json`` wrote."""
    found = data["limits"]
    bandwidth = tuple((size, rate) for size, rate in found["bandwidth"])
    return Limits(found["threads"], bandwidth, found["flops"])


def _outcome(tool: str, data: dict[str, Any]) -> Outcome:
    if "problem" in data:
        return Outcome(tool, problem=data["problem"])
    facts = {name: data[name] for name in _FACTS if name in data}
    return Outcome(tool, facts=facts, **{name: data[name] for name in _FIGURES})
