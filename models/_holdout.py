"""The inner hold-out that stops a fit early, so that the eval window is never looked at."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from models._ranker import PairFrame


def inner_holdout(train: PairFrame, share: float, seed: int) -> tuple[PairFrame, PairFrame] | None:
    """Split off a share of the users of the last train window: their rows of that window become the hold-out.

    The last window is the nearest to what will be predicted. Which users are drawn depends on the seed and on the
    set of users only, not on the order of the rows.

    Returns
    -------
    (rest, hold-out), or None if there is nothing to learn from one of them: a share of 0, fewer than two users, or
    no group of the hold-out that has two levels of relevance.
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
    return (rest, held) if rest.table.height and (levels > 1).any() else None
