"""When, in a feed whose log may have no time: events and gaps on the clock, in horizons (a week of vk2024).

For logs that say how long a clip was watched. Where the clock counts rows, a span of rows stands for a span of time,
as long as the service is as busy.
"""

import polars as pl

from features import Aggregate, Log, Window, aggregate, first, last, per_pair, table

ENTITIES = ["user_id", "item_id", "source_id", ("user_id", "source_id")]
PAUSE = 168  # a pause of more than this part of a horizon (an hour of a week) ends a session
DAYS = 7  # of a horizon
TICKS = 10_000  # of a horizon: gaps are counted in them, so that their squares are exact


def shown_at(log: Log) -> pl.Expr:
    """Clock of the exposures of which the seconds watched are known."""
    return log.clock.filter(log.timespent.is_not_null())


@aggregate(keys=ENTITIES, model_input=False)
def last_shown(log: Log) -> Aggregate:
    """Clock of the key's last exposure; null if it has none."""
    return last(shown_at(log))


@aggregate(keys=ENTITIES, model_input=False)
def first_shown(log: Log) -> Aggregate:
    """Clock of the key's first exposure; null if it has none."""
    return first(shown_at(log))


@aggregate(keys=["user_id", "item_id", "source_id"], model_input=False)
def last_disliked(log: Log) -> Aggregate:
    """Clock of the key's last dislike; null if it has none."""
    return last(log.clock.filter(log.timespent.is_not_null() & log.dislike))


@per_pair(each=["last_shown__user_id", "last_shown__item_id", "last_shown__source_id",
                "last_shown__user_id_x_source_id", "first_shown__user_id", "first_shown__source_id",
                "first_shown__user_id_x_source_id", "last_disliked__user_id", "last_disliked__item_id",
                "last_disliked__source_id"])  # fmt: skip
def horizons_since(event: pl.Expr, cutoff: pl.Expr, horizon: pl.Expr) -> pl.Expr:
    """Horizons from the event to the cutoff; null if it never happened."""
    return (cutoff - event) / horizon


@per_pair(each=[("first_shown__user_id", "last_shown__user_id", "n_exposures__user_id"),
                ("first_shown__item_id", "last_shown__item_id", "n_exposures__item_id"),
                ("first_shown__user_id_x_source_id", "last_shown__user_id_x_source_id",
                 "n_exposures__user_id_x_source_id")])  # fmt: skip
def mean_gap(first: pl.Expr, last: pl.Expr, n: pl.Expr, horizon: pl.Expr) -> pl.Expr:
    """Mean horizons between the exposures of the key; null below two of them."""
    return pl.when(n > 1).then((last - first) / horizon / (n - 1))


@per_pair(each=[("last_shown__user_id_x_source_id", "mean_gap__first_shown__user_id_x_source_id")])
def overdue(last: pl.Expr, gap: pl.Expr, cutoff: pl.Expr, horizon: pl.Expr) -> pl.Expr:
    """Time since the user last met the source in mean gaps between, as log(1 + x); null below two exposures."""
    return pl.when(gap > 0).then(((cutoff - last) / horizon / gap).log1p())


@table(
    key="user_id",
    columns={
        "n_sessions": pl.UInt32,
        "session_rows": pl.Float32,
        "last_session_rows": pl.UInt32,
        "n_days_active": pl.UInt32,
        "gap_spread": pl.Float32,
    },
    needs=["user_id", "timespent"],
    meanings={
        "n_sessions": "Number of the user's sessions, which end with a pause of 1/168 horizon; null if he has none.",
        "session_rows": "Mean exposures of the user in a session; null if he has none.",
        "last_session_rows": "Exposures of the user in the last session; null if he has none.",
        "n_days_active": "Number of sevenths of a horizon with an exposure of the user; null if there is none.",
        "gap_spread": "Standard deviation of the gaps between the user's exposures by their mean; null below two gaps.",
    },
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
