"""The inner hold-out that stops a fit early, so that the eval window is never looked at."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import polars as pl

from models._pair_frame import PairFrame
from models._ranker import FitContext, FitReport

_SEARCH_SHARE = 0.5  # of the time budget, when a refit follows


class _Reporting(Protocol):
    @property
    def report(self) -> FitReport: ...


_F = TypeVar("_F", bound=_Reporting)
# (rows, hold-out, most iterations, share of the time budget) -> fitted
Train = Callable[[PairFrame, PairFrame | None, int, float], _F]


def inner_holdout(train: PairFrame, share: float, seed: int) -> tuple[PairFrame, PairFrame] | None:
    """Split off a share of the users of the last train window: their rows of that window become the hold-out.

    The last window is the nearest to what will be predicted. Which users are drawn depends on the seed and on the
    set of users only, not on the order of the rows.

    Returns
    -------
    (rest, hold-out), or None if one of them could teach nothing: a share of 0, fewer than two users, a rest of one
    level of relevance, or no group of the hold-out with two.
    """
    last = pl.col("window") == pl.col("window").max()
    users = train.table.filter(last)[train.user].drop_nulls().unique().sort()
    if share <= 0 or len(users) < 2:
        return None
    n_held = min(len(users) - 1, math.ceil(share * len(users)))
    drawn = np.random.default_rng(seed).choice(len(users), size=n_held, replace=False)
    is_held = (last & pl.col(train.user).is_in(users.gather(np.sort(drawn)).implode())).fill_null(False)
    rest, held = train.take(~is_held), train.take(is_held)
    levels = held.table.group_by(train.user).agg(pl.col("relevance").n_unique())["relevance"]
    can_teach = rest.table["relevance"].n_unique() > 1 and bool((levels > 1).any())
    return (rest, held) if can_teach else None


def search_and_refit(
    train: Train[_F], rows: PairFrame, context: FitContext, *, most: int, holdout: float, refit: bool
) -> _F:
    """Fit with the number of iterations that the context gives, or else with the one a hold-out tells.

    Parameters
    ----------
    train
        Fits on rows, up to a number of iterations, stopped by a hold-out if there is one and by a share of the time
        budget.
    most
        Iterations at most.
    holdout
        Share of the users of the last train window.
    refit
        After the search, fit again on all rows, the hold-out included; the report then tells how the search ended.
    """
    if context.iterations is not None:
        return train(rows, None, max(1, context.iterations), 1.0)
    split = inner_holdout(rows, holdout, context.seed)
    if split is None:
        return train(rows, None, most, 1.0)
    if not refit:
        return train(*split, most, 1.0)
    found = train(*split, most, _SEARCH_SHARE).report
    refitted = train(rows, None, found.iterations or 1, 1.0)
    is_late = "time budget" in (found.stopped_by, refitted.report.stopped_by)
    stopped_by = "time budget" if is_late else found.stopped_by
    joined = replace(refitted.report, stopped_by=stopped_by, notes=found.notes)
    return cast("_F", replace(cast(Any, refitted), report=joined))
