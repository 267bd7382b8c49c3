"""How fast are mergeable aggregates? ``python -m benchmarks.aggregates --data DIR`` (or ``--rows N`` simulated ones).

4 keys (user, item, source, user x source) x 15 aggregates x 5 cutoffs x 3 lookbacks, against what one would write
instead: fused Polars and DuckDB per (key, window, lookback), DuckDB rewritten with tiles, one Polars query per feature
(timed on the middle window and multiplied by the number of windows), featuretools (``--featuretools``: on a slice, in
an environment of its own), and the floor: one streaming pass over each key, no windows.

Every engine delivers a frame per (key, cutoff, lookback), one row per pair of the window. A frame is consumed (the sum
of each column) and dropped. Every run is a process of its own with ``--threads`` threads; engines take turns, and the
ratios are those of medians. The first round warms up and is not timed: its values are compared, and the benchmark fails
if they differ. All but ours read a log that was joined with the items beforehand; ours does that join itself
(``--peers-join``: the others too).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks import _aggregates_inputs as inputs
from benchmarks._aggregates_job import Job
from benchmarks._aggregates_rounds import Contestant, Results, compete
from benchmarks._aggregates_table import findings, print_results
from benchmarks._cached import cache_folder, environment_python, package_folder, simulated
from benchmarks._figures import keep
from engine import out

MORE = (None, 1, 2, 3, 4, 5)  # 15 more (cutoff, lookback) pairs on the same grid of tiles


def main() -> int:
    """Compare, print, keep the figures; exit code 1 if the engines disagree."""
    asked = arguments()
    data = asked.data or simulated(asked.cache / "data", asked.rows)
    found = inputs.prepared(data, asked.cache, asked.threads)
    keys = ", ".join(f"{n:,} {name}" for name, n in found.n_keys.items())
    per_row = found.n_keys["user_id_x_source_id"] / found.n_rows
    out.print(
        f"{found.n_rows:,} rows, keys: {keys} ({per_row:.2f} a row); {found.n_pairs:,} pairs in all windows"
    )
    packages = None if "duckdb" in asked.without else package_folder(asked.cache)
    job = replace(found.job, is_joined=not asked.peers_join)
    results = {"all rows": compete(contestants(job, asked), asked.repeats, packages)}
    print_results("all rows", results["all rows"])
    if asked.featuretools:
        results["slice"] = on_a_slice(found, asked.slice_rows, asked.repeats, asked.cache)
        print_results("slice", results["slice"])
    lines = findings(results["all rows"])
    out.print("\n".join(lines), highlight=False)
    keep(
        "aggregates",
        {
            "rows": found.n_rows,
            "keys": found.n_keys,
            "pairs": found.n_pairs,
            "peers_join": asked.peers_join,
            "threads": asked.threads,
            "findings": lines,
            "engines": {name: result.figures() for name, result in results.items()},
        },
        asked.out,
    )
    problems = [problem for result in results.values() for problem in result.problems]
    out.print("\n".join(problems) or "All engines agree.", highlight=False)
    return 1 if problems else 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with the files of vk2024, real or simulated")
    parser.add_argument("--rows", type=int, default=10_000_000, help="simulated rows, without --data")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--without", nargs="+", default=[], metavar="NAME", help="leave out engines: duckdb, ..."
    )
    parser.add_argument("--peers-join", action="store_true", help="the others join the items themselves too")
    parser.add_argument("--featuretools", action="store_true", help="also featuretools, on --slice-rows rows")
    parser.add_argument("--slice-rows", type=int, default=100_000)
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="what is kept between runs")
    parser.add_argument("--out", type=Path, help="file of the figures")
    return parser.parse_args()


def on_a_slice(whole: inputs.Inputs, n_rows: int, repeats: int, cache: Path) -> Results:
    """Let featuretools, fused Polars and ours compete on the rows and pairs of some of the users."""
    job = whole.job
    share = min(1.0, n_rows / whole.n_rows)
    part = inputs.prepared(job.data, cache, job.threads, sample_users=share)
    out.print(f"A slice of {part.n_rows:,} rows ({share:.2%} of the users) for featuretools", highlight=False)
    python = environment_python(cache, "requirements-featuretools.txt")
    child = Path(__file__).with_name("_featuretools_child.py")
    entered = [
        Contestant("samewise", "samewise", part.job),
        Contestant("polars streaming", "polars streaming", part.job),
        Contestant("featuretools", "featuretools", part.job, program=(str(python), str(child))),
    ]
    return compete(entered, repeats, None)


def contestants(job: Job, asked: argparse.Namespace) -> list[Contestant]:
    """Who takes part, ours first."""
    middle = (sorted(job.cutoffs)[len(job.cutoffs) // 2],)
    every = [
        Contestant("samewise", "samewise", job),
        Contestant("polars streaming", "polars streaming", job),
        Contestant("polars in-memory", "polars in-memory", job),
        Contestant("duckdb per window", "duckdb per window", job),
        Contestant("duckdb with tiles", "duckdb with tiles", job),
        Contestant(
            "polars per feature", "polars per feature", replace(job, cutoffs=middle), len(job.cutoffs), 1
        ),
        Contestant("floor", "floor", job),
        Contestant(
            "samewise, one window", "samewise", replace(job, cutoffs=job.cutoffs[:1], lookbacks=(None,))
        ),
        Contestant("samewise, 30 windows", "samewise", replace(job, lookbacks=MORE)),
    ]
    return [one for one in every if not any(name in one.name for name in asked.without)]


if __name__ == "__main__":
    sys.exit(main())
