"""Expressions that several families share: over a row of the log, and within the pairs that a user is shown."""

from __future__ import annotations

import polars as pl

from features._declare import Log


def share_watched(log: Log) -> pl.Expr:
    """Seconds watched by seconds of the clip, from 0 to 1 (clips repeat); null without a duration."""
    return pl.when(log.duration > 0).then((log.timespent / log.duration).clip(0.0, 1.0))


def is_positive(log: Log) -> pl.Expr:
    """Any sign of approval: a like, a share or a bookmark."""
    return log.like | log.share | log.bookmarks


def rank_within(value: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Rank of the value within the user's pairs as a share in (0, 1], ties averaged; null where the value is null."""
    return value.rank("average").over(user_id) / value.count().over(user_id)


def zscore_within(value: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Distance from the mean over the user's pairs in standard deviations; null for one pair or a constant."""
    value = value.cast(pl.Float64)
    spread = value.std().over(user_id)
    return pl.when(spread > 1e-9).then((value - value.mean().over(user_id)) / spread)
