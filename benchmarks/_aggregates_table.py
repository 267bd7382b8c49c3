"""The table of the aggregates benchmark, and what it shows."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from benchmarks._aggregates_rounds import Results
from benchmarks._figures import spread
from engine import out

# What ours may cost at most, as a share of the peer's time, by mode and peer.
WANTED = {
    ("all", "duckdb per window"): 0.35,
    ("all", "duckdb with tiles"): 0.65,
    ("all", "fused polars"): 0.25,
    ("pairs", "duckdb per window"): 0.25,
}
MANY_TO_ONE = 2.5  # 15 (cutoff, lookback) pairs against one
PEAK_GIB = 3.0
FUSED = ("polars streaming", "polars in-memory")


def print_results(mode: str, results: Results) -> None:
    """Print one line per contestant."""
    table = Table(title=f"mode {mode}: seconds of the median run")
    for heading in ("engine", "seconds", "CPU", "peak MiB", "ours / theirs", "at most"):
        table.add_column(heading)
    ours = results.median("samewise")
    for name, runs in results.runs.items():
        seconds = results.median(name)
        ratio = f"{ours / seconds:.2f}" if ours and seconds and not name.startswith("samewise") else ""
        multiplied = f" (one window x {results.times[name]})" if results.times[name] > 1 else ""
        cpu = sorted(run["cpu_seconds"] for run in runs)[len(runs) // 2] * results.times[name]
        peak = max(run["peak_mib"] for run in runs)
        limit = WANTED.get((mode, "fused polars" if name == _fused(results) else name))
        table.add_row(
            name,
            spread(results.seconds(name)) + multiplied,
            f"{cpu:.1f}",
            f"{peak:,.0f}",
            ratio,
            "" if limit is None else f"{limit:.2f}",
        )
    out.print(table)


def _fused(results: Results) -> str | None:
    """Name the faster of the two ways to run fused Polars."""
    there = [(seconds, name) for name in FUSED if (seconds := results.median(name)) is not None]
    return min(there)[1] if there else None


def findings(results: Mapping[str, Results]) -> list[str]:
    """Say for each thing that was wanted whether it was kept; silent on what was not measured."""
    lines = []
    for mode, result in results.items():
        ours = result.median("samewise")
        if ours is None:
            continue
        for (of_mode, peer), limit in WANTED.items():
            name = _fused(result) if peer == "fused polars" else peer
            theirs = result.median(name) if name else None
            if of_mode == mode and theirs is not None:
                lines.append(_judged(f"{mode}: ours / {name}", ours / theirs, limit))
        lines += _own(mode, result, ours)
    return lines


def _own(mode: str, result: Results, ours: float) -> list[str]:
    lines = []
    one, more = result.median("samewise, one window"), result.median("samewise, 30 windows")
    floor = result.median("floor")
    if one is not None:
        lines.append(_judged(f"{mode}: 15 (cutoff, lookback) pairs / one", ours / one, MANY_TO_ONE))
    if more is not None:
        lines.append(
            f"{mode}: 15 more (cutoff, lookback) pairs on the same grid cost {more - ours:.2f} s more"
        )
    if floor is not None:
        lines.append(f"{mode}: ours / floor is {ours / floor:.2f}")
    peak = max(run["peak_mib"] for run in result.runs["samewise"]) / 1024
    return [*lines, _judged(f"{mode}: peak memory in GiB", peak, PEAK_GIB)]


def _judged(what: str, value: float, limit: float) -> str:
    return f"{what} is {value:.2f}, at most {limit:.2f} is wanted: {'kept' if value <= limit else 'MISSED'}"
