"""What share of exposures ended in which reaction, pulled to the share over all keys."""

import polars as pl

from features import Aggregate, Log, aggregate, horizon, last_n, mean, per_pair, smoothed, std

SEGMENTS = ["age_group", "gender", "occupation", "source_id", "release_year", "main_genre", "duration_bucket"]
CROSSES = [
    ("user_id", "main_genre"),
    ("user_id", "source_id"),
    ("user_id", "duration_bucket"),
    ("gender", "item_id"),
    ("age_group", "item_id"),
    ("gender", "main_genre"),
    ("age_group", "main_genre"),
    ("occupation", "main_genre"),
]


@aggregate(keys=["user_id", "item_id", *SEGMENTS, *CROSSES])
def like_rate(log: Log) -> Aggregate:
    """Smoothed share of exposures that ended in a like; null only without any history."""
    return smoothed(log.like, strength=10)


@aggregate(keys=["user_id", "item_id", *SEGMENTS, *CROSSES])
def dislike_rate(log: Log) -> Aggregate:
    """Smoothed share of exposures that ended in a dislike; null only without any history."""
    return smoothed(log.dislike, strength=10)


@aggregate(keys=["user_id", "item_id", "source_id", "main_genre", *CROSSES[:2]])
def ignore_rate(log: Log) -> Aggregate:
    """Smoothed share of exposures without a reaction; null only without any history."""
    return smoothed(log.relevance == 0, strength=10)


@aggregate(keys=["user_id", "item_id", "source_id", "main_genre", "release_year", *CROSSES[:2]])
def relevance_rate(log: Log) -> Aggregate:
    """Smoothed mean relevance of the key's exposures; null only without any history."""
    return smoothed(log.relevance, strength=5)


@aggregate(keys=["user_id"], lookbacks=[last_n(10), last_n(20), last_n(100)])
def recent_relevance(log: Log) -> Aggregate:
    """Smoothed mean relevance of the key's last exposures; null only without any history."""
    return smoothed(log.relevance, strength=5)


@aggregate(keys=["user_id", "item_id", "source_id", "main_genre"], lookbacks=[horizon(1)])
def recent_like_rate(log: Log) -> Aggregate:
    """Smoothed share of exposures that ended in a like, within the last horizon; null only if it has none at all."""
    return smoothed(log.like, strength=10)


@aggregate(keys=["user_id", "source_id", "main_genre"], lookbacks=[horizon(1)])
def recent_dislike_rate(log: Log) -> Aggregate:
    """Smoothed share of exposures that ended in a dislike, within the last horizon; null only if it has none at all."""
    return smoothed(log.dislike, strength=10)


@per_pair
def relevance_trend(
    recent_relevance__user_id__last20: pl.Expr, ever: pl.Expr = relevance_rate["user_id"]
) -> pl.Expr:
    """Mean relevance of the user's last 20 exposures minus that of all; null only without any history."""
    return recent_relevance__user_id__last20 - ever


@per_pair
def genre_affinity(
    here: pl.Expr = relevance_rate["user_id", "main_genre"], everywhere: pl.Expr = relevance_rate["user_id"]
) -> pl.Expr:
    """How much better the user likes the item's main genre than what they see; null only without any history."""
    return here - everywhere


@per_pair
def item_lift(
    item: pl.Expr = relevance_rate["item_id"], year: pl.Expr = relevance_rate["release_year"]
) -> pl.Expr:
    """How much better the item is liked than others of its year; null only without any history."""
    return item - year


@aggregate(keys=["user_id", "item_id", "main_genre", ("user_id", "main_genre"), ("age_group", "item_id"),
                 ("gender", "item_id")])  # fmt: skip
def rating_mean(log: Log) -> Aggregate:
    """Smoothed mean rating of the key; null only without any history."""
    return smoothed(log.rating, strength=5)


@aggregate(keys=["user_id", "item_id"])
def rating_spread(log: Log) -> Aggregate:
    """Standard deviation of the key's ratings; null below two ratings."""
    return std(log.rating)


@aggregate(keys=["user_id", "item_id"], lookbacks=[last_n(10)])
def rating_recent(log: Log) -> Aggregate:
    """Mean of the key's last ratings; null if it has none."""
    return mean(log.rating)


@aggregate(keys=["item_id"])
def rating_median(log: Log) -> pl.Expr:
    """Median rating of the key; null if it has none."""
    return log.rating.median()


@per_pair
def rating_trend(
    of_late: pl.Expr = rating_recent["item_id"], ever: pl.Expr = rating_mean["item_id"]
) -> pl.Expr:
    """Mean of the item's last 10 ratings minus its mean; null for an item without ratings."""
    return of_late - ever
