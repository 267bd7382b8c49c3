"""Time per-user AUC on many rows, and against a scikit-learn loop over the users of a slice.

    python -m benchmarks.metrics [--rows 10_000_000] [--users 100_000] [--slice-rows 50_000] [--repeats 5]

Prints seconds (median of the repeats). On the slice ours and the loop take turns, so that a busy machine slows both,
and the ratio is that of the medians. Both must give the same value, or the benchmark fails.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

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


def time_whole(n_rows: int, n_users: int, repeats: int) -> None:
    """Time the metrics and the bootstrap on the whole table."""
    auc = Metric("user_auc")
    for levels in ((-1, 0, 1), (0, 1)):
        frame = random_pairs(n_rows, n_users, levels)
        seconds = median(timed(partial(evaluate, auc, frame, group=GROUP))[0] for _ in range(repeats))
        out.print(f"user_auc, {len(levels)} levels, {n_rows:,} rows: {seconds:.2f} s")
    seconds, _ = timed(partial(evaluate, Metric("ndcg_at_k"), frame, group=GROUP))
    out.print(f"ndcg_at_k, {n_rows:,} rows: {seconds:.2f} s")
    compare = partial(paired_bootstrap, user="user", group=GROUP, score_a="score", score_b="other", seed=0)
    seconds, _ = timed(partial(compare, frame, auc))
    out.print(f"paired bootstrap, 1000 resamples of {n_users:,} users: {seconds:.2f} s")


def time_slice(n_rows: int, n_users: int, repeats: int) -> None:
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
    fast, slow = median(s for s, _ in ours), median(s for s, _ in loop)
    out.print(
        f"slice of {n_rows:,} rows: {fast:.4f} s, scikit-learn loop {slow:.2f} s, ratio {slow / fast:.0f}"
    )


def main() -> None:
    """Read the sizes and run both parts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--slice-rows", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=5)
    sizes = parser.parse_args()
    time_slice(sizes.slice_rows, max(1, sizes.users * sizes.slice_rows // sizes.rows), sizes.repeats)
    time_whole(sizes.rows, sizes.users, sizes.repeats)


if __name__ == "__main__":
    main()
