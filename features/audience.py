"""Who liked the item, and how far this user is from them."""

import polars as pl

from features import Aggregate, Log, aggregate, mean, per_pair, smoothed


@aggregate(keys=["item_id", "source_id", "main_genre"])
def audience_age(log: Log) -> Aggregate:
    """Mean age in years of those who liked the key, pulled to that of all likes; null only without any like."""
    return smoothed(log.age.filter(log.like), strength=5)


@aggregate(keys=["item_id"])
def shunned_age(log: Log) -> Aggregate:
    """Mean age in years of those who disliked the key; null if nobody did."""
    return mean(log.age.filter(log.dislike))


@per_pair(each=["audience_age__item_id", "audience_age__main_genre", "audience_age__source_id"])
def age_distance(audience: pl.Expr, age: pl.Expr) -> pl.Expr:
    """Age of the user minus the mean age of those who liked the key, in years; null if either is unknown."""
    return age.cast(pl.Float32) - audience


@per_pair
def same_gender_share(
    n_likes__gender_x_item_id: pl.Expr, n_likes__item_id: pl.Expr, gender: pl.Expr
) -> pl.Expr:
    """Share of the item's likes that came from the user's gender, pulled to one half (4 rows); null if unknown."""
    share = (n_likes__gender_x_item_id + 2.0) / (n_likes__item_id + 4.0)
    return pl.when(gender.is_not_null()).then(share)
