"""Which scores the submission uses: the best, or safer ones that are as good as far as the users can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from competitions import Metric
from stacking._blender import BASELINE
from validation import MIN_USERS, Difference, evaluate, get_metric, paired_bootstrap

N_RESAMPLES = 1000
N_RESAMPLES_WHOLE = 50  # of a metric that has to be computed anew for each: enough for a standard error
N_ERRORS = 1.0  # standard errors within which a lower precedence is preferred


@dataclass(frozen=True)
class Choice:
    """Which scores the submission uses, and why.

    ``best``: the candidate with the best cross-validated score. ``differences``: for each other candidate its metric
    minus that of ``best``, in the metric's own direction.
    """

    chosen: str
    reason: str
    best: str
    differences: Mapping[str, Difference]


def choose(
    oof: pl.DataFrame,
    metric: Metric,
    *,
    user: str,
    candidates: Mapping[str, int],
    seed: int,
    forced: str = "auto",
) -> Choice:
    """Choose among models and blends by their cross-validated scores.

    The best mean over the folds is what the others are compared with: a difference is paired over users, resampled with
    all their folds. Of those that are at most one standard error of their difference behind, the one of the lowest
    precedence is chosen (``first_within``). With fewer than ``validation.MIN_USERS`` users that count nothing
    can be told apart: then it is the mean of ranks. ``forced`` other than ``"auto"`` is chosen whatever the scores are.

    Parameters
    ----------
    oof
        ``fold``, ``window``, the user column, ``relevance`` and a column for each candidate; see ``CvBundle.oof``.
    candidates
        Names, and the precedence of each: see ``Blender``.
    """
    sign = 1 if metric.greater_is_better else -1
    scores = {name: sign * mean_over_folds(oof, metric, user, name) for name in candidates}
    order = sorted(candidates, key=lambda name: (-scores[name], candidates[name]))
    best = order[0]
    differences = {name: _difference(oof, metric, user, best, name, seed) for name in order[1:]}
    if forced != "auto":
        return Choice(forced, f"blender = {forced!r} in the settings", best, differences)
    n_users = min((d.n_users for d in differences.values()), default=MIN_USERS)
    if n_users < MIN_USERS and BASELINE in candidates:
        users = "1 user counts" if n_users == 1 else f"{n_users} users count"
        why = f"nothing can be shown to be better: only {users}, and {MIN_USERS} are needed"
        return Choice(BASELINE, why, best, differences)
    chosen = first_within(N_ERRORS, best, differences, candidates, is_loss=sign < 0)
    return Choice(chosen, _reason(chosen, best, candidates, differences), best, differences)


def first_within(
    n_errors: float,
    best: str,
    differences: Mapping[str, Difference],
    candidates: Mapping[str, int],
    *,
    is_loss: bool = False,
) -> str:
    """Return the candidate of the lowest precedence that is at most ``n_errors`` standard errors behind the best.

    Of several it is the best itself, or else the first: ``differences`` come from the best on.
    """
    sign = -1 if is_loss else 1
    near = [name for name, d in differences.items() if sign * d.mean >= -n_errors * d.error]
    return min([best, *near], key=lambda name: candidates[name])


def mean_over_folds(oof: pl.DataFrame, metric: Metric, user: str, name: str) -> float:
    """Mean over the folds of the metric of a score column."""
    folds = oof.partition_by("fold", maintain_order=True)
    values = [evaluate(metric, rows, group=["window", user], score=name) for rows in folds]
    return sum(values) / len(values)


def _difference(oof: pl.DataFrame, metric: Metric, user: str, best: str, name: str, seed: int) -> Difference:
    is_whole = get_metric(metric.name).scope == "whole"
    return paired_bootstrap(
        oof,
        metric,
        user=user,
        group=["window", user],
        score_a=best,
        score_b=name,
        n_resamples=N_RESAMPLES_WHOLE if is_whole else N_RESAMPLES,
        seed=seed,
    )


def _reason(
    chosen: str,
    best: str,
    candidates: Mapping[str, int],
    differences: Mapping[str, Difference],
) -> str:
    errors = "one standard error" if N_ERRORS == 1 else f"{N_ERRORS:g} standard errors"
    if chosen != best:
        d = differences[chosen]
        behind = f"{d.mean:+.4f} ± {d.error:.4f}".replace("-", "−")
        return (
            f"it is within {errors} of {best}, which has the best score, over {d.n_users:,} users ({behind}), "
            f"and averages of models go before single models, these before blends that learn more"
        )
    if not differences:
        return "it is the only candidate"
    if any(candidates[name] < candidates[best] for name in differences):
        return f"it has the best score, and nothing that goes before it is within {errors} of it"
    return "it has the best score, and nothing goes before it"
