"""A user's newest rows before the cutoff as arrays, for nets that ask for them by name (``needs``).

Each array has ``LENGTH`` places in the order of the clock, the newest row in the last place. Places before the user's
first row are null; a user without rows has null instead of an array. All arrays of a user tell of the same rows: they
may be read side by side. Trees never get them: an array is no number. Ids are UInt32, as in the competitions that
come along; for one with other ids the dtypes are to be changed here.
"""

from __future__ import annotations

import polars as pl

from features import Column, Log, Window, table
from features.toolkit import share_watched, usual

LENGTH = 20


@table(
    key="user_id",
    columns={
        "last_items": Column(
            pl.Array(pl.UInt32, LENGTH),
            "Items of the user's last 20 rows, the newest last; null before the first; null without rows.",
        ),
        "last_relevances": Column(
            pl.Array(pl.Int8, LENGTH),
            "Relevance of the user's last 20 rows, the newest last; null before the first.",
        ),
        "last_gaps": Column(
            pl.Array(pl.Float32, LENGTH),
            "Units of the clock from each of the last 20 rows to the next, of the newest to the cutoff; null "
            "before the first.",
        ),
    },
    needs={"item_id": pl.UInt32, **usual("relevance")},
    model_input=False,
)
def last_rows(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Items, relevance and gaps of the user's last 20 rows before the cutoff; null without rows."""
    until_next = pl.col("clock").shift(-1, fill_value=window.cutoff) - pl.col("clock")
    return newest(
        history, last_items=pl.col("item_id"), last_relevances=pl.col("relevance"),
        last_gaps=until_next.cast(pl.Float32),
    )  # fmt: skip


@table(
    key="user_id",
    columns={
        "last_sources": Column(
            pl.Array(pl.UInt32, LENGTH),
            "Sources of the user's last 20 rows, the newest last; null before the first and if unknown.",
        ),
        "last_actions": Column(
            pl.Array(pl.UInt8, LENGTH),
            "Like 1 + dislike 2 + share 4 + bookmark 8 of the user's last 20 rows; null before the first.",
        ),
        "last_watch_shares": Column(
            pl.Array(pl.Float32, LENGTH),
            "Share watched, at most 1, of the user's last 20 rows; null before the first, and without "
            "a duration.",
        ),
    },
    needs={
        "source_id": pl.UInt32,
        **usual("like", "dislike", "share", "bookmarks", "timespent", "duration"),
    },
    model_input=False,
)
def last_clips(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Sources, reactions and watch shares of the user's last 20 rows before the cutoff; null without rows."""
    bits = {"like": 1, "dislike": 2, "share": 4, "bookmarks": 8}
    actions = pl.sum_horizontal(
        pl.col(name).cast(pl.UInt8) * pl.lit(bit, pl.UInt8) for name, bit in bits.items()
    )
    share = share_watched(Log(history.collect_schema()))
    return newest(
        history, last_sources=pl.col("source_id"), last_actions=actions.cast(pl.UInt8),
        last_watch_shares=share.cast(pl.Float32),
    )  # fmt: skip


def newest(history: pl.LazyFrame, **values: pl.Expr) -> pl.LazyFrame:
    """List values of each user's newest rows as arrays of ``LENGTH``, with nulls in front."""
    places = pl.lit(pl.Series([list(range(-LENGTH, 0))], dtype=pl.List(pl.Int64)))
    lists = history.group_by("user_id").agg(value.tail(LENGTH).alias(name) for name, value in values.items())
    return lists.select(
        "user_id", pl.col(*values).list.gather(places, null_on_oob=True).list.to_array(LENGTH)
    )
