"""When, in a feed whose log may have no time: events and gaps on the clock, in horizons (a week of vk2024).

For logs that say how long a clip was watched. Where the clock counts rows, a span of rows stands for a span of time,
as long as the service is as busy.
"""

import polars as pl

from features import Aggregate, Column, Log, Window, aggregate, first, last, per_pair, raw, table
from features.counters import n_exposures
from features.toolkit import usual

ENTITIES = ["user_id", "item_id", "source_id", ("user_id", "source_id")]
PAUSE = 168  # a pause of more than this part of a horizon (an hour of a week) ends a session
DAYS = 7  # of a horizon
TICKS = 10_000  # of a horizon: gaps are counted in them, so that their squares are exact


def shown_at(log: Log) -> pl.Expr:
    """Clock of the exposures of which the seconds watched are known."""
    return log.clock.filter(log.timespent.is_not_null())


@aggregate(keys=ENTITIES, model_input=False, uses_time=True)
def last_shown(log: Log) -> Aggregate:
    """Clock of the key's last exposure; null if it has none."""
    return last(shown_at(log))


@aggregate(keys=ENTITIES, model_input=False, uses_time=True)
def first_shown(log: Log) -> Aggregate:
    """Clock of the key's first exposure; null if it has none."""
    return first(shown_at(log))


@aggregate(keys=["user_id", "item_id", "source_id"], model_input=False, uses_time=True)
def last_disliked(log: Log) -> Aggregate:
    """Clock of the key's last dislike; null if it has none."""
    return last(log.clock.filter(log.timespent.is_not_null() & log.dislike))


@per_pair(
    each=[
        *(last_shown[key] for key in ENTITIES),
        *(first_shown[key] for key in ("user_id", "source_id", ("user_id", "source_id"))),
        *(last_disliked[key] for key in ("user_id", "item_id", "source_id")),
    ]
)
def horizons_since(event: pl.Expr, cutoff: pl.Expr, horizon: pl.Expr) -> pl.Expr:
    """Horizons from the event to the cutoff; null if it never happened."""
    return (cutoff - event) / horizon


@per_pair(
    each=[
        (first_shown[key], last_shown[key], n_exposures[key])
        for key in ("user_id", "item_id", ("user_id", "source_id"))
    ]
)
def mean_gap(first: pl.Expr, last: pl.Expr, n: pl.Expr, horizon: pl.Expr) -> pl.Expr:
    """Mean horizons between the exposures of the key; null below two of them."""
    return pl.when(n > 1).then((last - first) / horizon / (n - 1))


@per_pair(each=[(last_shown["user_id", "source_id"], mean_gap[first_shown["user_id", "source_id"]])])
def overdue(last: pl.Expr, gap: pl.Expr, cutoff: pl.Expr, horizon: pl.Expr) -> pl.Expr:
    """Time since the user last met the source in mean gaps between, as log(1 + x); null below two exposures."""
    return pl.when(gap > 0).then(((cutoff - last) / horizon / gap).log1p())


@table(
    key="user_id",
    columns={
        "n_sessions": Column(
            pl.UInt32,
            "Number of the user's sessions, which end with a pause of 1/168 horizon; null if they have none.",
        ),
        "session_rows": Column(
            pl.Float32, "Mean exposures of the user in a session; null if they have none."
        ),
        "last_session_rows": Column(
            pl.UInt32, "Exposures of the user in the last session; null if they have none."
        ),
        "n_days_active": Column(
            pl.UInt32, "Number of sevenths of a horizon with an exposure of the user; null if there is none."
        ),
        "gap_spread": Column(
            pl.Float32,
            "Standard deviation of the gaps between the user's exposures by their mean; null below two gaps.",
        ),
    },
    needs=usual("user_id", "timespent"),
)
def sessions(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Sessions and gaps of each user; all sums are of integers."""
    pause, day, tick = (max(window.horizon // n, 1) for n in (PAUSE, DAYS, TICKS))
    user, clock = pl.col("user_id"), pl.col("clock")
    rows = (
        history.filter(pl.col("timespent").is_not_null()).select("user_id", "clock").sort("user_id", "clock")
    )
    gap = pl.when(user == user.shift(1)).then(clock - clock.shift(1))
    age = (window.cutoff - 1 - clock) // day  # days are counted back from the cutoff
    rows = rows.with_columns(gap=gap, is_new_day=gap.is_null() | (age != age.shift(1)))
    is_first = pl.col("gap").is_null() | (pl.col("gap") > pause)
    ticks = pl.col("gap") // tick
    n, total, squares = ticks.count(), ticks.sum().cast(pl.Float64), (ticks * ticks).sum()
    spread = ((squares - total * total / n) / (n - 1)).clip(lower_bound=0).sqrt()
    return rows.group_by("user_id").agg(
        n_sessions=is_first.sum().cast(pl.UInt32),
        session_rows=(pl.len() / is_first.sum()).cast(pl.Float32),
        last_session_rows=(pl.len() - is_first.arg_true().last()).cast(pl.UInt32),
        n_days_active=pl.col("is_new_day").sum().cast(pl.UInt32),
        gap_spread=pl.when((n > 1) & (total > 0)).then(spread / (total / n)).cast(pl.Float32),
    )


VISIT_PAUSE = 3_600_000_000  # microseconds without an exposure that end a visit


@aggregate(
    keys=["user_id", "item_id", ("user_id", "main_genre"), ("user_id", "source_id")],
    model_input=False,
    uses_time=True,
)
def last_seen(log: Log) -> Aggregate:
    """Instant of the key's last exposure; null if it has none."""
    return last(log.timestamp)


@aggregate(keys=["user_id"], model_input=False, uses_time=True)
def last_liked(log: Log) -> Aggregate:
    """Instant of the key's last like; null if it has none."""
    return last(log.timestamp.filter(log.like))


@aggregate(keys=["user_id", "item_id"], model_input=False, uses_time=True)
def first_seen(log: Log) -> Aggregate:
    """Instant of the key's first exposure; null if it has none."""
    return first(log.timestamp)


@aggregate(keys=["user_id"])
def n_days(log: Log) -> Aggregate:
    """Number of distinct calendar days with an exposure; null if it has none."""
    return raw(log.timestamp.dt.date().n_unique())


@per_pair(each=[last_seen["user_id"], last_seen["item_id"], last_seen["user_id", "main_genre"],
                last_seen["user_id", "source_id"], last_liked["user_id"], first_seen["user_id"],
                first_seen["item_id"]])  # fmt: skip
def hours_since(event: pl.Expr, timestamp: pl.Expr) -> pl.Expr:
    """Hours from the event to the pair; null if it never happened, negative if it was later (per-user clocks)."""
    return (timestamp - event).dt.total_seconds() / 3600


@per_pair
def hour_of_day(timestamp: pl.Expr) -> pl.Expr:
    """Hour of the day of the pair, 0 to 23, in the log's time zone; null if the instant is unknown."""
    return timestamp.dt.hour().cast(pl.UInt8)


@per_pair
def exposures_per_day(
    exposures: pl.Expr = n_exposures["user_id"], days: pl.Expr = n_days["user_id"]
) -> pl.Expr:
    """Mean number of the user's exposures on a day with any; null for a user without history."""
    return exposures / days


@table(
    key="user_id",
    columns={
        "n_visits": Column(
            pl.UInt32,
            "Number of the user's visits, which end with an hour without exposures; null if there are none.",
        ),
        "visit_rows": Column(pl.Float32, "Mean exposures of the user in a visit; null if there are none."),
        "last_visit_rows": Column(
            pl.UInt32, "Exposures of the user in the last visit; null if there are none."
        ),
    },
    needs=usual("user_id", "timestamp"),
)
def visits(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Visits of each user by the instants of the exposures."""
    user, at = pl.col("user_id"), pl.col("timestamp").dt.epoch("us")
    rows = history.select(user, at=at).drop_nulls("at").sort("user_id", "at")
    gap = pl.when(user == user.shift(1)).then(pl.col("at") - pl.col("at").shift(1))
    rows = rows.with_columns(is_first=gap.is_null() | (gap > VISIT_PAUSE))
    n = pl.col("is_first").sum()
    return rows.group_by("user_id").agg(
        n_visits=n.cast(pl.UInt32),
        visit_rows=(pl.len() / n).cast(pl.Float32),
        last_visit_rows=(pl.len() - pl.col("is_first").arg_true().last()).cast(pl.UInt32),
    )
