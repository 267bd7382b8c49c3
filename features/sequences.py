"""A user's newest rows before the cutoff as arrays, for nets that ask for them by name (``needs``).

Each array has as many places as its name says, 20 if it says none, in the order of the clock, the newest row in the
last place; for those whose name ends in ``shuffled``, all rows before the cutoff are shuffled first, so that they tell
what the order is worth. Places before the user's first row are null; a user without rows has null instead of an array.
All arrays of a user whose names end alike tell of the same rows: they may be read side by side. Trees never get them:
an array is no number. Ids are UInt32, as in the competitions that come along; for one with other ids the dtypes are to
be changed here.
Contents lie one vector after the other, so that a place has as many numbers as a vector: 2.5 KB a pair for 20 rows of
32 numbers, which are computed only for models that read them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import polars as pl

from features import Column, Log, Window, table
from features.toolkit import codes, share_watched, usual

SHUFFLED = "_shuffled"
PLACES = {
    "": 20,
    "_50": 50,
    "_200": 200,
    SHUFFLED: 20,
    "_200" + SHUFFLED: 200,
}  # of an array, by what its name ends in
Body = Callable[[pl.LazyFrame, Window], pl.LazyFrame]


def rows_of(suffix: str) -> str:
    """Say which rows the arrays of a suffix hold."""
    return f"the user's last {PLACES[suffix]} rows" + (
        " once all are shuffled" if suffix.endswith(SHUFFLED) else ""
    )


def columns_of(suffix: str, meanings: Mapping[str, tuple[pl.DataType, str]]) -> dict[str, Column]:
    """Declare the arrays of a suffix, by dtype and meaning of what each holds."""
    return {
        f"{name}{suffix}": Column(pl.Array(dtype, PLACES[suffix]), meaning.format(rows_of(suffix)))
        for name, (dtype, meaning) in meanings.items()
    }


def last_rows(suffix: str) -> Body:
    """Make the table of items, relevance and gaps."""

    def body(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Items, relevance and gaps of the user's newest rows before the cutoff; null without rows."""
        until_next = pl.col("clock").shift(-1, fill_value=window.cutoff) - pl.col("clock")
        return newest(
            history, window, suffix, last_items=pl.col("item_id"), last_relevances=pl.col("relevance"),
            last_gaps=until_next.cast(pl.Float32),
        )  # fmt: skip

    body.__name__ = f"last_rows{suffix}"
    return body


def last_clips(suffix: str) -> Body:
    """Make the table of sources, reactions and watch shares."""

    def body(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Sources, reactions and watch shares of the user's newest rows before the cutoff; null without rows."""
        bits = {"like": 1, "dislike": 2, "share": 4, "bookmarks": 8}
        actions = pl.sum_horizontal(
            pl.col(name).cast(pl.UInt8) * pl.lit(bit, pl.UInt8) for name, bit in bits.items()
        )
        share = share_watched(Log(history.collect_schema()))
        return newest(
            history, window, suffix, last_sources=pl.col("source_id"), last_actions=actions.cast(pl.UInt8),
            last_watch_shares=share.cast(pl.Float32),
        )  # fmt: skip

    body.__name__ = f"last_clips{suffix}"
    return body


def last_contents(suffix: str) -> Body:
    """Make the table of contents."""
    length = PLACES[suffix]

    def body(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Contents of the user's newest rows before the cutoff, one after the other; null without rows."""
        users, rows = (
            newest(history, window, suffix, rows=pl.col("row")).collect(engine="in-memory").get_columns()
        )
        # Contents lie in the items' table and are joined to every row: so rows are chosen first.
        chosen = rows.arr.explode(empty_as_null=True).drop_nulls()
        content = history.filter(pl.col("row").is_in(chosen.implode())).select("row", "content")
        known = content.collect(engine="streaming")
        width = cast("pl.Array", known.schema["content"]).size
        vectors = np.full((known.height + 1, width), np.nan, dtype=np.float32)
        vectors[:-1] = known["content"].to_numpy()
        at = codes(rows.arr.explode(empty_as_null=True), known["row"])
        arrays = vectors[at].reshape(len(users), length * width)
        name = f"last_contents{suffix}"
        return pl.LazyFrame([users, pl.Series(name, arrays, dtype=pl.Array(pl.Float32, length * width))])

    body.__name__ = f"last_contents{suffix}"
    return body


def contents_of(length: int) -> Callable[[Mapping[str, pl.DataType]], pl.DataType]:
    """Give the dtype of so many contents of a log one after the other."""
    return lambda log: pl.Array(pl.Float32, length * cast("pl.Array", log["content"]).size)


def newest(history: pl.LazyFrame, window: Window, suffix: str, **values: pl.Expr) -> pl.LazyFrame:
    """List values of each user's newest rows as arrays of a suffix, with nulls in front; named with it."""
    length = PLACES[suffix]
    places = pl.lit(pl.Series([list(range(-length, 0))], dtype=pl.List(pl.Int64)))
    named = {
        f"{name}{suffix}": value.sort_by(drawn(window)) if suffix.endswith(SHUFFLED) else value
        for name, value in values.items()
    }
    lists = history.group_by("user_id").agg(value.tail(length).alias(name) for name, value in named.items())
    return lists.select("user_id", pl.col(*named).list.gather(places, null_on_oob=True).list.to_array(length))


def drawn(window: Window) -> pl.Expr:
    """Draw a number for each of a user's rows, by its place and the time to the cutoff: a multiplicative hash."""
    times, plus, mixed, middle = (
        pl.lit(n, pl.UInt64) for n in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xBF58476D1CE4E5B9, 1 << 29)
    )
    number = (
        pl.int_range(pl.len(), dtype=pl.UInt64) * times
        + (window.cutoff - pl.col("clock")).cast(pl.UInt64) * plus
    )
    return (number ^ (number // middle)) * mixed // (middle * 8)


for _suffix in PLACES:
    table(
        key="user_id",
        columns=columns_of(
            _suffix,
            {
                "last_items": (
                    pl.UInt32(),
                    "Items of {}, the newest last; null before the first; null without rows.",
                ),
                "last_relevances": (pl.Int8(), "Relevance of {}, the newest last; null before the first."),
                "last_gaps": (
                    pl.Float32(),
                    "Units of the clock from each of {} to the next, of the newest to the cutoff; null before "
                    "the first.",
                ),
            },
        ),
        needs={"item_id": pl.UInt32, **usual("relevance")},
        model_input=False,
    )(last_rows(_suffix))
    table(
        key="user_id",
        columns=columns_of(
            _suffix,
            {
                "last_sources": (
                    pl.UInt32(),
                    "Sources of {}, the newest last; null before the first and if unknown.",
                ),
                "last_actions": (
                    pl.UInt8(),
                    "Like 1 + dislike 2 + share 4 + bookmark 8 of {}; null before the first.",
                ),
                "last_watch_shares": (
                    pl.Float32(),
                    "Share watched, at most 1, of {}; null before the first, and without a duration.",
                ),
            },
        ),
        needs={
            "source_id": pl.UInt32,
            **usual("like", "dislike", "share", "bookmarks", "timespent", "duration"),
        },
        model_input=False,
    )(last_clips(_suffix))
    table(
        key="user_id",
        columns={
            f"last_contents{_suffix}": Column(
                contents_of(PLACES[_suffix]),
                f"Content of {rows_of(_suffix)}, the newest last, one vector after the other; null before the first "
                "and where unknown; null without rows.",
            )
        },
        needs=usual("content"),
        model_input=False,
    )(last_contents(_suffix))
