"""Which scores the submission uses: the mean of ranks, unless a learned blend is surely better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from competitions import Metric
from stacking._blender import BASELINE, MIN_EVAL_WINDOWS
from validation import MIN_USERS, Difference, get_metric, paired_bootstrap

N_RESAMPLES = 1000


@dataclass(frozen=True)
class Choice:
    """Which scores the submission uses, and why.

    ``differences``: for each learned blend its metric minus the baseline's, in the metric's own direction.
    """

    chosen: str
    reason: str
    differences: Mapping[str, Difference]


def choose_blend(
    oof: pl.DataFrame, metric: Metric, *, user: str, blends: Sequence[str], seed: int, forced: str = "auto"
) -> Choice:
    """Choose among the scored blends, the first of which is the baseline.

    A learned blend replaces the baseline only when the paired bootstrap interval of its difference (users resampled
    with all their folds) lies on the better side of zero and rests on at least ``validation.MIN_USERS`` users; of
    several such blends the one with the largest mean difference. ``forced`` other than ``"auto"`` is chosen
    whatever the scores are.

    Parameters
    ----------
    oof
        ``fold``, ``window``, the user column, ``relevance`` and a column for each blend; see ``CvBundle.oof``.
    """
    can_compare = get_metric(metric.name).scope != "whole"
    learned = [blend for blend in blends if blend != BASELINE]
    differences = {b: _difference(oof, metric, user, b, seed) for b in learned if can_compare}
    if forced != "auto":
        return Choice(forced, f"blender = {forced!r} in the settings", differences)
    sign = 1 if metric.greater_is_better else -1
    better = {b: sign * d.mean for b, d in differences.items() if d.excludes_zero and sign * d.mean > 0}
    if better:
        best = max(better, key=lambda blend: better[blend])
        d = differences[best]
        reason = f"it differs from {BASELINE} by {d.mean:+.4f} [{d.low:+.4f}, {d.high:+.4f}], surely for the better"
        return Choice(best, reason, differences)
    if learned and not can_compare:
        why = f"{metric.name} is no mean over users, so no learned blend can be shown to be better"
    else:
        why = _why_baseline(oof, differences)
    return Choice(BASELINE, why, differences)


def _difference(oof: pl.DataFrame, metric: Metric, user: str, blend: str, seed: int) -> Difference:
    return paired_bootstrap(
        oof,
        metric,
        user=user,
        group=["window", user],
        score_a=BASELINE,
        score_b=blend,
        n_resamples=N_RESAMPLES,
        seed=seed,
    )


def _why_baseline(oof: pl.DataFrame, differences: Mapping[str, Difference]) -> str:
    """Say why no learned blend replaces the baseline."""
    if not differences:
        n_folds = oof["fold"].n_unique()
        return (
            f"learned blends are not scored: they need {MIN_EVAL_WINDOWS} eval windows, there are {n_folds}"
        )
    n_users = min(d.n_users for d in differences.values())
    if n_users < MIN_USERS:
        users = "1 user counts" if n_users == 1 else f"{n_users} users count"
        return f"no learned blend can be shown to be better: only {users}, and {MIN_USERS} are needed"
    return "no learned blend is surely better"
