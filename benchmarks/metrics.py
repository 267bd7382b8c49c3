"""Time per-user AUC on many rows, against a scikit-learn loop over the users of a slice, and against RecTools.

    python -m benchmarks.metrics [--rows 10_000_000] [--users 100_000] [--slice-rows 50_000] [--repeats 5]
    python -m benchmarks.metrics --rectools     # makes an environment for RecTools, outside the repository, once

Prints seconds (median of the repeats). Where two are compared they take turns, so that a busy machine slows both, and
the ratio is that of the medians. Both must give the same value, or the benchmark fails.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import polars as pl
from rich.table import Table
from sklearn.metrics import roc_auc_score

from benchmarks._cached import cache_folder, environment_python
from benchmarks._figures import keep
from benchmarks._metrics_rectools import against_rectools
from competitions import Metric
from engine import out
from validation import evaluate, paired_bootstrap

GROUP = ("window", "user")


def random_pairs(n_rows: int, n_users: int, levels: tuple[int, ...], seed: int = 0) -> pl.DataFrame:
    """Scored pairs of four windows in random row order; scores of three decimals, so that many tie."""
    rng = np.random.default_rng(seed)
    relevance = rng.choice(np.array(levels, dtype=np.int8), n_rows)
    return pl.DataFrame(
        {
            "window": rng.integers(0, 4, n_rows),
            "user": rng.integers(0, n_users, n_rows).astype(np.uint32),
            "relevance": relevance,
            "score": np.round(rng.normal(size=n_rows) + 0.2 * relevance, 3),
            "other": np.round(rng.normal(size=n_rows) + 0.2 * relevance, 3),
        }
    )


def scikit_learn_loop(frame: pl.DataFrame) -> float:
    """Mean of ``roc_auc_score`` over the groups that have both classes."""
    values = []
    for part in frame.partition_by(GROUP):
        relevance = part["relevance"].to_numpy()
        if 0 < relevance.sum() < len(relevance):
            values.append(roc_auc_score(relevance, part["score"].to_numpy()))
    return float(np.mean(values))


def timed(function: Callable[[], object]) -> tuple[float, object]:
    """Seconds that a call takes, and what it returns."""
    start = perf_counter()
    result = function()
    return perf_counter() - start, result


def time_whole(n_rows: int, n_users: int, repeats: int) -> dict[str, float]:
    """Time the metrics and the bootstrap on the whole table; return the seconds by what was timed."""
    auc, found = Metric("user_auc"), {}
    for levels in ((-1, 0, 1), (0, 1)):
        frame = random_pairs(n_rows, n_users, levels)
        seconds = median(timed(partial(evaluate, auc, frame, group=GROUP))[0] for _ in range(repeats))
        found[f"user_auc, {len(levels)} levels, {n_rows:,} rows"] = seconds
    seconds, _ = timed(partial(evaluate, Metric("ndcg_at_k"), frame, group=GROUP))
    found[f"ndcg_at_k, {n_rows:,} rows"] = seconds
    compare = partial(paired_bootstrap, user="user", group=GROUP, score_a="score", score_b="other", seed=0)
    seconds, _ = timed(partial(compare, frame, auc))
    found[f"paired bootstrap, 1000 resamples of {n_users:,} users"] = seconds
    return found


def time_slice(n_rows: int, n_users: int, repeats: int) -> tuple[list[float], list[float]]:
    """Time ours and the loop in turns on a slice with the same number of rows per user."""
    frame = random_pairs(n_rows, n_users, (0, 1))
    ours, loop = [], []
    for _ in range(repeats):
        ours.append(timed(lambda: evaluate(Metric("user_auc"), frame, group=GROUP)))
        loop.append(timed(lambda: scikit_learn_loop(frame)))
    value, expected = ours[0][1], loop[0][1]
    if not (
        isinstance(value, float)
        and isinstance(expected, float)
        and math.isclose(value, expected, rel_tol=1e-9)
    ):
        raise SystemExit(f"user_auc is {value}, the scikit-learn loop gives {expected}")
    return [s for s, _ in ours], [s for s, _ in loop]


def main() -> None:
    """Read the sizes, run all parts, print one table, keep the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--slice-rows", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rectools", action="store_true", help="compare with RecTools too")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="where its environment is kept")
    asked = parser.parse_args()
    n_users = max(1, asked.users * asked.slice_rows // asked.rows)
    compared = {
        f"scikit-learn loop, {asked.slice_rows:,} rows": time_slice(asked.slice_rows, n_users, asked.repeats)
    }
    if asked.rectools:
        python = str(environment_python(asked.cache, "requirements-rectools.txt"))
        compared[f"RecTools, {asked.rows:,} rows"] = against_rectools(asked.rows, asked.repeats, [python])
    timed_alone = time_whole(asked.rows, asked.users, asked.repeats)
    out.print(_as_table(timed_alone, compared))
    figures = {
        name: {"ours": ours, "theirs": theirs, "theirs_over_ours": median(theirs) / median(ours)}
        for name, (ours, theirs) in compared.items()
    }
    keep("metrics", {"seconds": timed_alone, "user_auc_against": figures})


def _as_table(alone: dict[str, float], compared: dict[str, tuple[list[float], list[float]]]) -> Table:
    table = Table(title="Metrics: seconds")
    for heading in ("what", "ours", "theirs", "theirs / ours"):
        table.add_column(heading)
    for name, seconds in alone.items():
        table.add_row(name, f"{seconds:.2f}", "", "")
    for name, (ours, theirs) in compared.items():
        ratio = f"{median(theirs) / median(ours):.1f}"
        table.add_row(f"user_auc against {name}", f"{median(ours):.4f}", f"{median(theirs):.2f}", ratio)
    return table


if __name__ == "__main__":
    main()
