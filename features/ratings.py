"""Mean and spread of ratings, for competitions that have them."""

import polars as pl

from features import Aggregate, Log, aggregate, last, mean, per_pair, smoothed, std


@aggregate(keys=["user_id", "item_id", "main_genre", ("user_id", "main_genre"), ("age_group", "item_id"),
                 ("gender", "item_id")])  # fmt: skip
def rating_mean(log: Log) -> Aggregate:
    """Smoothed mean rating of the key; null only without any history."""
    return smoothed(log.rating, strength=5)


@aggregate(keys=["user_id", "item_id"])
def rating_spread(log: Log) -> Aggregate:
    """Standard deviation of the key's ratings; null below two ratings."""
    return std(log.rating)


@aggregate(keys=["user_id", "item_id"], lookbacks=[last(10)])
def rating_recent(log: Log) -> Aggregate:
    """Mean of the key's last ratings; null if it has none."""
    return mean(log.rating)


@aggregate(keys=["item_id"])
def rating_median(log: Log) -> pl.Expr:
    """Median rating of the key; null if it has none."""
    return log.rating.median()


@per_pair
def rating_trend(rating_recent__item_id__last10: pl.Expr, rating_mean__item_id: pl.Expr) -> pl.Expr:
    """Mean of the item's last 10 ratings minus its mean; null for an item without ratings."""
    return rating_recent__item_id__last10 - rating_mean__item_id
