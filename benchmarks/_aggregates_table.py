"""The table of the aggregates benchmark, and what it shows."""

from __future__ import annotations

from rich.table import Table

from benchmarks._aggregates_rounds import Results
from benchmarks._figures import spread
from engine import out

WANTED = {"duckdb per window": 0.25}  # what ours may cost at most, as a share of the peer's time
MANY_TO_ONE = 2.5  # 15 (cutoff, lookback) pairs against one
PEAK_GIB = 3.0


def print_results(title: str, results: Results) -> None:
    """Print one line per contestant."""
    table = Table(title=f"{title}: seconds of the median run")
    for heading in ("engine", "seconds", "CPU", "peak MiB", "ours / theirs", "at most"):
        table.add_column(heading)
    ours = results.median("samewise")
    for name, runs in results.runs.items():
        seconds = results.median(name)
        ratio = f"{ours / seconds:.2f}" if ours and seconds and not name.startswith("samewise") else ""
        multiplied = f" (one window x {results.times[name]})" if results.times[name] > 1 else ""
        cpu = sorted(run["cpu_seconds"] for run in runs)[len(runs) // 2] * results.times[name]
        peak = max(run["peak_mib"] for run in runs)
        limit = WANTED.get(name)
        table.add_row(
            name,
            spread(results.seconds(name)) + multiplied,
            f"{cpu:.1f}",
            f"{peak:,.0f}",
            ratio,
            "" if limit is None else f"{limit:.2f}",
        )
    out.print(table)


def findings(results: Results) -> list[str]:
    """Say for each thing that was wanted whether it was kept; silent on what was not measured."""
    ours = results.median("samewise")
    if ours is None:
        return []
    lines = [
        _judged(f"ours / {peer}", ours / theirs, limit)
        for peer, limit in WANTED.items()
        if (theirs := results.median(peer)) is not None
    ]
    one, more = results.median("samewise, one window"), results.median("samewise, 30 windows")
    floor = results.median("floor")
    if one is not None:
        lines.append(_judged("15 (cutoff, lookback) pairs / one", ours / one, MANY_TO_ONE))
    if more is not None:
        lines.append(f"15 more (cutoff, lookback) pairs on the same grid cost {more - ours:.2f} s more")
    if floor is not None:
        lines.append(f"ours / floor is {ours / floor:.2f}")
    peak = max(run["peak_mib"] for run in results.runs["samewise"]) / 1024
    return [*lines, _judged("peak memory in GiB", peak, PEAK_GIB)]


def _judged(what: str, value: float, limit: float) -> str:
    return f"{what} is {value:.2f}, at most {limit:.2f} is wanted: {'kept' if value <= limit else 'MISSED'}"
