"""How sure a local score is: intervals over resampled users of the score itself, and of what it is compared with."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from competitions import Competition
from submissions._ledger import Interval
from submissions._manifest import Manifest
from validation import evaluate_by_group, get_metric, paired_bootstrap

N_RESAMPLES, TAILS = 1_000, (0.025, 0.975)
BASELINE = "popularity"
Values = npt.NDArray[np.float64]


def intervals(
    c: Competition, manifest: Manifest, table: pl.DataFrame, oof: pl.DataFrame | None, *, seed: int
) -> tuple[Interval, ...]:
    """Give the intervals of a scored run.

    Parameters
    ----------
    table
        The test pairs with ``relevance``, ``score`` (what was submitted) and a column for each model and blend.
    oof
        Out-of-fold scores of what was submitted, with ``fold``, ``window``, keys, ``relevance`` and ``score``.

    Returns
    -------
    tuple of Interval
        ``test``; ``test - CV``, where users draw the same lot in both; ``chosen - popularity`` and ``chosen - NAME`` of
        the single model that is best by cross-validation. What has no value is left out; so are the first two for a
        metric over all rows, which is no mean over users.
    """
    found = [*_of_test(c, table, oof, seed), *_differences(c, manifest, table, seed)]
    return tuple(one for one in found if math.isfinite(one.low + one.high))


def _of_test(c: Competition, table: pl.DataFrame, oof: pl.DataFrame | None, seed: int) -> Iterator[Interval]:
    if get_metric(c.metric.name).scope != "group":
        return
    test = evaluate_by_group(c.metric, table, group=[c.user])
    folds = [] if oof is None or oof["score"].null_count() else oof.partition_by("fold", maintain_order=True)
    scored = [evaluate_by_group(c.metric, fold, group=["window", c.user]) for fold in folds]
    users = pl.concat([frame[c.user] for frame in (test, *scored)]).unique().sort()
    sums = [_by_user(frame, c.user, users) for frame in (test, *scored)]
    rng = np.random.default_rng(seed)
    drawn = np.empty((N_RESAMPLES, 2))
    for number in range(N_RESAMPLES):
        lot = np.bincount(rng.integers(0, len(users), len(users)), minlength=len(users))
        drawn[number] = _test_and_cv(sums, lot)
    values = _test_and_cv(sums, np.ones(len(users), dtype=np.int64))
    n_users = int((sums[0][1] > 0).sum())
    yield _interval("test", values[0], drawn[:, 0], n_users)
    yield _interval("test - CV", values[0] - values[1], drawn[:, 0] - drawn[:, 1], n_users)


def _by_user(groups: pl.DataFrame, user: str, users: pl.Series) -> tuple[Values, Values]:
    """Sum what each user's groups add to the metric, and their weights: (n_users,) each."""
    of_user = groups.group_by(user).agg(
        (pl.col("value").fill_null(0) * pl.col("weight")).sum(), pl.col("weight").sum()
    )
    every = pl.DataFrame({user: users}).join(
        of_user, on=user, how="left", validate="1:1", maintain_order="left"
    )
    return every["value"].fill_null(0).to_numpy(), every["weight"].fill_null(0).to_numpy()


def _test_and_cv(sums: list[tuple[Values, Values]], lot: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Give the metric of the test, and its mean over the folds, where each user counts as often as drawn."""
    with np.errstate(invalid="ignore", divide="ignore"):
        test, *folds = (float(np.float64(lot @ value) / np.float64(lot @ weight)) for value, weight in sums)
    return test, sum(folds) / len(folds) if folds else math.nan


def _interval(name: str, value: float, drawn: Values, n_users: int) -> Interval:
    known = drawn[np.isfinite(drawn)]
    low, high = np.quantile(known, TAILS) if len(known) else (math.nan, math.nan)
    return Interval.model_construct(name=name, value=value, low=float(low), high=float(high), n_users=n_users)


def _differences(c: Competition, manifest: Manifest, table: pl.DataFrame, seed: int) -> Iterator[Interval]:
    better = 1 if c.metric.greater_is_better else -1
    models = {cv.name: cv.mean for cv in manifest.cv if cv.kind == "model" and cv.name in table.columns}
    scored = {name: better * mean for name, mean in models.items() if mean is not None and name != BASELINE}
    best = max(scored, key=scored.__getitem__, default=None)
    for name in dict.fromkeys((BASELINE, best)):
        if name is None or name not in models or name == manifest.chosen or table[name].null_count():
            continue
        found = paired_bootstrap(
            table, c.metric, user=c.user, group=[c.user], score_a=name, score_b="score", seed=seed
        )
        yield Interval.model_construct(
            name=f"chosen - {name}", value=found.mean, low=found.low, high=found.high, n_users=found.n_users
        )
