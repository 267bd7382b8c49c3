"""What is rising and what is fading: sums that decay with age, and short lookbacks against long ones.

Half-lives are counted in horizons, so they mean the same on every clock. A rate that decays is pulled to the key's own
rate over all its history, and that one to the rate over all keys: a key with few recent rows falls back in two steps.
"""

import polars as pl

from features import Aggregate, Log, aggregate, count, decayed, horizon, per_pair, smoothed
from features.counters import n_recent_exposures
from features.rates import dislike_rate, like_rate
from features.toolkit import share_watched

THINGS = ["item_id", "source_id", "main_genre"]
ENTITIES = ["user_id", *THINGS]
PULL = 10.0  # rows that the key's own past counts for, and as many of all keys
FAST, SLOW = horizon(1), horizon(4)


def faded_rate(x: pl.Expr) -> Aggregate:
    """Mean of the non-null values, a row counting half after each horizon, pulled to the key's smoothed mean."""
    own = smoothed(x, strength=PULL)
    return (decayed(x, FAST) + PULL * own) / (decayed(x.is_not_null(), FAST) + PULL)


@aggregate(keys=THINGS)
def faded_exposures(log: Log) -> Aggregate:
    """Exposures of the key, each counting half after each horizon; 0 if it has none."""
    return decayed(pl.lit(1), FAST)


@aggregate(keys=THINGS)
def momentum(log: Log) -> Aggregate:
    """Exposures with a half-life of one horizon by those with one of four: high for what is rising; null if none."""
    return decayed(pl.lit(1), FAST) / decayed(pl.lit(1), SLOW)


@aggregate(keys=[*ENTITIES, ("user_id", "main_genre"), ("user_id", "source_id")])
def faded_like_rate(log: Log) -> Aggregate:
    """Share of exposures that ended in a like, the late ones counting more; null only without any history."""
    return faded_rate(log.like)


@aggregate(keys=ENTITIES)
def faded_dislike_rate(log: Log) -> Aggregate:
    """Share of exposures that ended in a dislike, the late ones counting more; null only without any history."""
    return faded_rate(log.dislike)


@aggregate(keys=[*ENTITIES, ("user_id", "source_id")])
def faded_watch_share(log: Log) -> Aggregate:
    """Mean share of the clip that was watched, late exposures counting more; null only without any history."""
    return faded_rate(share_watched(log))


@aggregate(keys=["user_id", "item_id", "source_id"], lookbacks=[horizon(2), horizon(3)], model_input=False)
def exposures_within(log: Log) -> Aggregate:
    """Number of exposures of the key within the last horizons; 0 if none."""
    return count()


@per_pair(
    each=[
        (n_recent_exposures[key], *(exposures_within.over(key, lookback=horizon(n)) for n in (2, 3)))
        for key in ("item_id", "source_id", "user_id")
    ]
)
def slope(last: pl.Expr, last_two: pl.Expr, last_three: pl.Expr) -> pl.Expr:
    """Slope of the line through the exposures of the last three horizons, by their mean (+ 1); never null."""
    before = last_three - last_two
    return (last - before) / 2 / (last_three / 3 + 1)


@per_pair(
    each=[
        *((faded_like_rate[key], like_rate[key]) for key in ("item_id", "source_id", "user_id")),
        (faded_dislike_rate["user_id"], dislike_rate["user_id"]),
    ]
)
def drift(of_late: pl.Expr, ever: pl.Expr) -> pl.Expr:
    """How far the rate with late rows counting more is above that of all rows; null only without any history."""
    return of_late - ever
