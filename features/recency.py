"""When: time since the last event of a key, and the rhythm of a user. Needs a timestamp that is seen beforehand."""

import polars as pl

from features import Aggregate, Log, Window, aggregate, first, last, per_pair, raw, table

PAUSE = 3_600_000_000  # microseconds without an exposure that end a visit


@aggregate(
    keys=["user_id", "item_id", ("user_id", "main_genre"), ("user_id", "source_id")], model_input=False
)
def last_seen(log: Log) -> Aggregate:
    """Instant of the key's last exposure; null if it has none."""
    return last(log.timestamp)


@aggregate(keys=["user_id"], model_input=False)
def last_liked(log: Log) -> Aggregate:
    """Instant of the key's last like; null if it has none."""
    return last(log.timestamp.filter(log.like))


@aggregate(keys=["user_id", "item_id"], model_input=False)
def first_seen(log: Log) -> Aggregate:
    """Instant of the key's first exposure; null if it has none."""
    return first(log.timestamp)


@aggregate(keys=["user_id"])
def n_days(log: Log) -> Aggregate:
    """Number of distinct calendar days with an exposure; null if it has none."""
    return raw(log.timestamp.dt.date().n_unique())


@per_pair(each=["last_seen__user_id", "last_seen__item_id", "last_seen__user_id_x_main_genre",
                "last_seen__user_id_x_source_id", "last_liked__user_id", "first_seen__user_id",
                "first_seen__item_id"])  # fmt: skip
def hours_since(event: pl.Expr, timestamp: pl.Expr) -> pl.Expr:
    """Hours from the event to the pair; null if it never happened, negative if it was later (per-user clocks)."""
    return (timestamp - event).dt.total_seconds() / 3600


@per_pair
def hour_of_day(timestamp: pl.Expr) -> pl.Expr:
    """Hour of the day of the pair, 0 to 23, in the log's time zone; null if the instant is unknown."""
    return timestamp.dt.hour().cast(pl.UInt8)


@per_pair
def exposures_per_day(n_exposures__user_id: pl.Expr, n_days__user_id: pl.Expr) -> pl.Expr:
    """Mean number of the user's exposures on a day with any; null for a user without history."""
    return n_exposures__user_id / n_days__user_id


@table(
    key="user_id",
    columns={"n_visits": pl.UInt32, "visit_rows": pl.Float32, "last_visit_rows": pl.UInt32},
    needs=["user_id", "timestamp"],
    meanings={
        "n_visits": "Number of the user's visits, which end with an hour without exposures; null if there are none.",
        "visit_rows": "Mean exposures of the user in a visit; null if there are none.",
        "last_visit_rows": "Exposures of the user in the last visit; null if there are none.",
    },
)
def visits(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Visits of each user by the instants of the exposures."""
    user, at = pl.col("user_id"), pl.col("timestamp").dt.epoch("us")
    rows = history.select(user, at=at).drop_nulls("at").sort("user_id", "at")
    gap = pl.when(user == user.shift(1)).then(pl.col("at") - pl.col("at").shift(1))
    rows = rows.with_columns(is_first=gap.is_null() | (gap > PAUSE))
    n = pl.col("is_first").sum()
    return rows.group_by("user_id").agg(
        n_visits=n.cast(pl.UInt32),
        visit_rows=(pl.len() / n).cast(pl.Float32),
        last_visit_rows=(pl.len() - pl.col("is_first").arg_true().last()).cast(pl.UInt32),
    )
